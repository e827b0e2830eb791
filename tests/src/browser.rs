//! A real browser, steered by `WebDriver` (W3C): chromium without a screen and its driver, both ended with the test.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::{LIMIT, Process, http, until};

/// The name under which `WebDriver` hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one. It asks pages for English.
    ///
    /// # Panics
    /// chromium or its driver is not here: see `scripts/install-test-needs`.
    pub fn start() -> Self {
        let profile = tempfile::Builder::new().prefix("weir-").tempdir().expect("a folder");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is here: see scripts/install-test-needs");
        let lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("successfully on port ")?
                    .1
                    .trim_end_matches('.')
                    .parse::<u16>()
                    .ok()
            })
            .expect("the driver says its port");
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            profile,
        };
        let data = browser.profile.path().join("profile");
        let args = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en-US",
            format!("--user-data-dir={}", data.display()),
        ]);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.call("POST", "/session", &wanted);
        made["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let kind = [("Content-Type", "application/json; charset=utf-8")];
        let answer = http::send(self.address, method, path, &kind, &body);
        let value = answer.json()["value"].take();
        if answer.status == 200 { Ok(value) } else { Err(value["message"].to_string()) }
    }

    fn path(&self, rest: &str) -> String {
        format!("/session/{}{rest}", self.session)
    }

    /// Opens a page.
    pub fn open(&self, address: &str) {
        self.call("POST", &self.path("/url"), &json!({ "url": address }));
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.call("GET", &self.path("/url"), &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    fn find(&self, css: &str) -> Option<String> {
        let wanted = json!({ "using": "css selector", "value": css });
        let found = self.try_call("POST", &self.path("/element"), &wanted).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    /// Waits for an element.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&self, css: &str) -> String {
        until(&format!("{css} is on {}", self.address()), || self.find(css))
    }

    /// Whether there is such an element now.
    pub fn has(&self, css: &str) -> bool {
        self.find(css).is_some()
    }

    /// Clicks, as a person would: it must be there, to be seen and not covered.
    pub fn click(&self, css: &str) {
        until(&format!("{css} can be clicked"), || {
            let element = self.find(css)?;
            let path = self.path(&format!("/element/{element}/click"));
            self.try_call("POST", &path, &json!({})).ok()
        });
    }

    /// Types into a field, in place of what is there.
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.wait_for(css);
        self.call("POST", &self.path(&format!("/element/{element}/clear")), &json!({}));
        let path = self.path(&format!("/element/{element}/value"));
        self.call("POST", &path, &json!({ "text": text }));
    }

    /// The text of an element, as a person sees it.
    pub fn text(&self, css: &str) -> String {
        until(&format!("{css} has a text"), || {
            let element = self.find(css)?;
            let path = self.path(&format!("/element/{element}/text"));
            self.try_call("GET", &path, &Value::Null).ok()?.as_str().map(str::to_owned)
        })
    }

    /// Waits until an element's text holds `part`.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_text(&self, css: &str, part: &str) {
        until(&format!("{css} says {part}"), || self.text(css).contains(part).then_some(()));
    }

    /// Runs a script in the page; what it returns.
    pub fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.call("POST", &self.path("/execute/sync"), &body)
    }

    /// Has a script run in each page that is opened from now on, before the page's own.
    pub fn bring(&self, script: &str) {
        let body = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": script },
        });
        self.call("POST", &self.path("/goog/cdp/execute"), &body);
    }

    /// Sets the size of what is seen.
    pub fn resize(&self, width: u32, height: u32) {
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let body = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.call("POST", &self.path("/goog/cdp/execute"), &body);
    }

    /// Turns scripts off or on for pages opened from now on.
    pub fn set_scripts(&self, on: bool) {
        let body =
            json!({ "cmd": "Emulation.setScriptExecutionDisabled", "params": { "value": !on } });
        self.call("POST", &self.path("/goog/cdp/execute"), &body);
    }

    /// Keeps a picture of what is seen.
    ///
    /// # Panics
    /// It can't be written.
    pub fn picture(&self, to: &Path) {
        let found = self.call("GET", &self.path("/screenshot"), &Value::Null);
        let bytes = from_base64(found.as_str().unwrap_or_default());
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::write(to, bytes).expect("written");
    }

    /// What the browser complained of since it was asked last: scripts that failed, what a policy refused, what was
    /// not found.
    pub fn complaints(&self) -> Vec<String> {
        let found = self.call("POST", &self.path("/se/log"), &json!({ "type": "browser" }));
        let entries = found.as_array().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(|entry| entry["message"].as_str().unwrap_or("?").to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // The driver ends the browser with the session.
            let _gone = self.try_call("DELETE", &self.path(""), &Value::Null);
        }
        let begun = std::time::Instant::now();
        let _gone = self.driver.kill();
        // The browser may take its time, or have lost its driver: whoever knows the profile's folder is its.
        let profile = self.profile.path().to_string_lossy().into_owned();
        let is_over = |driver: &mut Child| {
            let left = Process::that_know(&profile);
            for process in &left {
                process.kill();
            }
            left.is_empty() && matches!(driver.try_wait(), Ok(Some(_)) | Err(_))
        };
        while begun.elapsed() < LIMIT && !is_over(&mut self.driver) {
            std::thread::yield_now();
        }
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
