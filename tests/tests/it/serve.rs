//! `weir serve` when it is stopped or killed: it says so, nothing is lost, and nothing is done twice.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Chance, Site, Stage, Visitor, until};

const HELLO: &str = "name: hello\njobs: { a: { uses: command, with: { script: echo hello } } }\n";

fn stage() -> Stage {
    let stage = Stage::new();
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write("flows/tap/hello.flow.yaml", HELLO);
    stage
}

fn token(stage: &Stage) -> String {
    let made = stage.weir(&["token", "add", "ci", "--role", "operator"]);
    assert_eq!(made.code, 0, "{}", made.err);
    made.out.trim().to_owned()
}

/// A flow with so many jobs that all wait for the file `go`.
fn many(stage: &Stage, count: usize) {
    let dir = stage.path().display();
    let job = format!(
        "for i in $(seq 1 {count}); do :; done; touch {dir}/{{{{ item }}}}.began; while [ ! -e {dir}/go ]; do sleep 0.05; \
         done; touch {dir}/{{{{ item }}}}.over"
    );
    let items: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let text = format!(
        "name: many\njobs:\n  each:\n    foreach: [{}]\n    uses: command\n    with: {{ script: '{job}' }}\n",
        items.join(", ")
    );
    stage.write("flows/tap/many.flow.yaml", text);
}

fn all_are(stage: &Stage, count: usize, what: &str) {
    until(what, || {
        let is = |n| stage.path().join(format!("{n}.{what}")).exists();
        (0..count).all(is).then_some(())
    });
}

fn begin(visitor: &Visitor, flow: &str) -> i64 {
    let answer = visitor.post_json(&format!("/api/v1/flows/tap/{flow}/runs"), &json!({}));
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["run"]["id"].as_i64().expect("a run")
}

fn ended(stage: &Stage, run: i64) -> Value {
    until("the run has ended", || {
        let run = stage.show(run);
        (!run["ended_at"].is_null()).then_some(run)
    })
}

#[test]
fn twenty_jobs_go_on_while_the_server_is_stopped() {
    let stage = stage();
    many(&stage, 20);
    let site = stage.site_with("127.0.0.1:0", &["flows"], &["--slots", "20"]);
    let run = begin(&site.token(&token(&stage)), "many");
    all_are(&stage, 20, "began");
    site.stop();
    let log = stage.read("serve.log");
    assert!(log.contains("unfinished runs, taken up by the next engine: 1 (running)"), "{log}");
    assert!(log.contains("jobs that work go on meanwhile"), "{log}");
    // Nobody is there when they end.
    stage.write("go", "");
    all_are(&stage, 20, "over");
    let site = stage.site(&["flows"]);
    let run = ended(&stage, run);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let tasks = run["tasks"].as_array().expect("tasks");
    let tries: Vec<usize> = tasks
        .iter()
        .filter_map(|task| task["attempts"].as_array().map(Vec::len))
        .filter(|tries| *tries > 0)
        .collect();
    assert_eq!(tries, vec![1; 20]);
    site.stop();
    stage.verify();
}

/// Posts, and reads the status if it comes.
fn post(to: SocketAddr, path: &str, headers: &str, body: &str) -> Option<u16> {
    let mut line = TcpStream::connect(to).ok()?;
    line.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    line.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // It may be cut anywhere.
    let _ = line.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

fn runs(stage: &Stage) -> usize {
    stage.weir(&["runs", "--json", "--limit", "1000"]).json().as_array().map_or(0, Vec::len)
}

#[test]
fn what_is_asked_of_a_server_that_is_killed_is_done_once_or_not_at_all() {
    const ROUNDS: u64 = 16;
    let stage = stage();
    let mut site: Option<Site> = Some(stage.site(&["flows"]));
    let token = token(&stage);
    let auth = format!("Authorization: Bearer {token}\r\n");
    let visitor = site.as_ref().expect("it serves").token(&token);
    let page = visitor.get("/flows/tap/hello/run").body;
    let version = page.split_once("name=\"version\" value=\"").expect("a version").1;
    let version = version.split('"').next().unwrap_or_default().to_owned();
    let mut chance = Chance::new();
    let (mut done, mut undone) = (0, 0);
    for round in 0..ROUNDS {
        let serving = site.take().unwrap_or_else(|| stage.site(&["flows"]));
        let address = serving.address;
        let before = runs(&stage);
        // By a page's form, or by the API with a key.
        let is_page = round % 2 == 0;
        let key =
            format!("{auth}Idempotency-Key: round-{round}\r\nContent-Type: application/json\r\n");
        let asking = {
            let (auth, key, version) = (auth.clone(), key.clone(), version.clone());
            std::thread::spawn(move || {
                if is_page {
                    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
                    let body = format!("version={version}&do=go");
                    post(address, "/flows/tap/hello/run", &format!("{auth}{form}"), &body)
                } else {
                    post(address, "/api/v1/flows/tap/hello/runs", &key, "{}")
                }
            })
        };
        // The moment of the kill is what is tried here: anywhere from before the request to behind its answer.
        std::thread::sleep(Duration::from_micros(chance.below(40_000)));
        serving.kill();
        let status = asking.join().expect("it does not panic");
        let serving = stage.site(&["flows"]);
        let after = runs(&stage);
        assert!(after == before || after == before + 1, "{before} runs, then {after}");
        if let Some(status) = status {
            assert!([201, 303].contains(&status), "{status}");
            assert_eq!(after, before + 1, "it was said that a run had begun");
        }
        if after > before {
            done += 1;
        } else {
            undone += 1;
        }
        if !is_page {
            // Whether or not it was heard the first time: now there is one.
            let again = post(serving.address, "/api/v1/flows/tap/hello/runs", &key, "{}");
            assert_eq!(again, Some(201));
            assert_eq!(runs(&stage), before + 1);
        }
        site = Some(serving);
    }
    writeln!(std::io::stdout(), "{done} were done, {undone} were not").expect("it is shown");
    for run in 1..=runs(&stage) {
        assert_eq!(ended(&stage, run as i64)["state"], "succeeded");
    }
    drop(site);
    stage.verify();
}
