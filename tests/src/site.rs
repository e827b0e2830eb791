//! A `weir serve` with its pages, and somebody who looks at them without a browser.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::http::{self, Answer, form};
use crate::{Process, Stage, until};

/// The password that tests choose.
pub const PASSWORD: &str = "a long password";

/// A server with pages.
#[derive(Debug)]
pub struct Site {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The one-time password of `admin`, if this was the first start.
    pub one_time: Option<String>,
}

/// Somebody who has logged in, or a program with a token.
#[derive(Clone, Debug)]
pub struct Visitor {
    address: SocketAddr,
    header: (String, String),
}

impl Stage {
    /// Starts a server with pages on a free port; `flows` are folders below this stage.
    ///
    /// # Panics
    /// It does not start.
    pub fn site(&self, flows: &[&str]) -> Site {
        self.site_with("127.0.0.1:0", flows, &[])
    }

    /// As [`Self::site`], at this address and with more arguments.
    ///
    /// # Panics
    /// It does not start.
    pub fn site_with(&self, listen: &str, flows: &[&str], more: &[&str]) -> Site {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("serve.log"))
            .expect("a log can be written");
        let mut command = self.command(&["serve", "--listen", listen]);
        command.args(more);
        for folder in flows {
            command.arg("--flows").arg(self.path().join(folder));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("weir starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut next = || lines.next().and_then(Result::ok);
        let told = next().unwrap_or_else(|| panic!("it did not start: {}", self.read("serve.log")));
        let address = told
            .strip_prefix("pages at http")
            .and_then(|rest| rest.strip_prefix("s").unwrap_or(rest).strip_prefix("://"))
            .and_then(|rest| rest.trim_end_matches('/').parse().ok())
            .unwrap_or_else(|| panic!("no address: {told}"));
        let is_first = !self.home().join("seen-first").exists();
        let one_time = if is_first {
            let line = next().unwrap_or_default();
            line.rsplit(' ').next().map(str::to_owned)
        } else {
            None
        };
        std::fs::write(self.home().join("seen-first"), "").expect("written");
        Site { child, address, one_time }
    }
}

impl Site {
    /// The administrator, with [`PASSWORD`] from now on.
    ///
    /// # Panics
    /// This was not the first start.
    pub fn admin(&self) -> Visitor {
        let word = self.one_time.clone().expect("it is the first start");
        self.first_login("admin", &word)
    }

    /// Logs in with a one-time password and chooses [`PASSWORD`].
    ///
    /// # Panics
    /// It does not fit.
    pub fn first_login(&self, name: &str, word: &str) -> Visitor {
        let visitor = self.log_in(name, word).expect("the one-time password fits");
        let fields = form(&[("old", word), ("new", PASSWORD), ("again", PASSWORD)]);
        let answer = visitor.post("/password", &fields);
        assert_eq!(answer.status, 303, "{}", answer.body);
        self.visitor_of(&answer).expect("a new session")
    }

    /// Logs in; `None` if that is refused.
    pub fn log_in(&self, name: &str, password: &str) -> Option<Visitor> {
        let fields = form(&[("name", name), ("password", password)]);
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        self.visitor_of(&http::send(self.address, "POST", "/login", &kind, &fields))
    }

    fn visitor_of(&self, answer: &Answer) -> Option<Visitor> {
        let cookie = answer.header("set-cookie")?.split(';').next()?.to_owned();
        Some(Visitor { address: self.address, header: ("Cookie".to_owned(), cookie) })
    }

    /// Somebody whose browser keeps this cookie.
    pub fn visitor(&self, cookie: &str) -> Visitor {
        Visitor { address: self.address, header: ("Cookie".to_owned(), cookie.to_owned()) }
    }

    /// A program with a token.
    pub fn token(&self, token: &str) -> Visitor {
        let header = ("Authorization".to_owned(), format!("Bearer {token}"));
        Visitor { address: self.address, header }
    }

    /// Somebody who has not logged in.
    pub fn stranger(&self) -> Visitor {
        Visitor { address: self.address, header: ("X-Nobody".to_owned(), "1".to_owned()) }
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process { pid: self.child.id() as i32 }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        self.end(Signal::TERM);
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        Process { pid: self.child.id() as i32 }.signal(signal);
        until("the server has ended", || self.child.try_wait().expect("it is our child"));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.end(Signal::KILL);
        }
    }
}

impl Visitor {
    /// Sends any request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let own = (self.header.0.as_str(), self.header.1.as_str());
        let all: Vec<(&str, &str)> = headers.iter().copied().chain([own]).collect();
        http::send(self.address, method, path, &all, body)
    }

    /// Reads a page.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Reads a page that comes bit by bit, until these words are there; [`http::rest`] reads on.
    pub fn follow(&self, path: &str, words: &str) -> (std::net::TcpStream, Vec<u8>) {
        let own = (self.header.0.as_str(), self.header.1.as_str());
        http::follow(self.address, path, &[own], words)
    }

    /// Sends a form.
    pub fn post(&self, path: &str, fields: &str) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/x-www-form-urlencoded")], fields)
    }

    /// Sends JSON.
    pub fn post_json(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }
}
