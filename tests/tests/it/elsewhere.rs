//! The command line asks a server over HTTP: the same words, JSON and exit codes as at home, and clear errors.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};
use weir_tests::{Ended, Site, Stage, until};

const TOKEN_NAME: &str = "ci";

/// A server with flows, and how its commands are asked from a machine without any home.
struct There {
    stage: Stage,
    site: Site,
    token: String,
}

impl There {
    fn new() -> Self {
        let stage = Stage::new();
        stage.write("flows/tap/project.yaml", "name: tap\n");
        let good = "name: good\njobs:\n  one: { uses: command, with: { script: 'echo first; echo second' } }\n  \
                    two: { needs: [one], uses: command, with: { script: echo third } }\n";
        stage.write("flows/tap/good.flow.yaml", good);
        let bad = "name: bad\njobs: { fails: { uses: command, with: { script: 'echo no space left; exit 3' } } }\n";
        stage.write("flows/tap/bad.flow.yaml", bad);
        let asks = "name: asks\njobs: { gate: { uses: approve, with: { message: Publish? } } }\n";
        stage.write("flows/tap/asks.flow.yaml", asks);
        // It ends when a file is there.
        let waits = "name: waits\nparams: { file: { type: string } }\njobs: { long: { uses: command, with: { script: \
                     'echo begun; while [ ! -e {{ params.file }} ]; do sleep 0.05; done; echo ended' } } }\n";
        stage.write("flows/tap/waits.flow.yaml", waits);
        let site = stage.site(&["flows"]);
        let token = token(&stage, TOKEN_NAME, &["--role", "operator"]);
        Self { stage, site, token }
    }

    fn command(&self, token: Option<&str>, args: &[&str]) -> std::process::Command {
        let mut command = self.stage.command(args);
        command.env("WEIR_HOME", self.stage.path().join("nowhere"));
        command.env("WEIR_URL", format!("http://{}", self.site.address));
        if let Some(token) = token {
            command.env("WEIR_TOKEN", token);
        }
        command
    }

    fn ask_as(&self, token: Option<&str>, args: &[&str]) -> Ended {
        Ended::of(self.command(token, args), None)
    }

    fn ask(&self, args: &[&str]) -> Ended {
        self.ask_as(Some(&self.token), args)
    }
}

fn token(stage: &Stage, name: &str, more: &[&str]) -> String {
    let made = stage.weir(&[&["token", "add", name], more].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    made.out.trim().to_owned()
}

#[test]
fn a_server_answers_as_a_home_does() {
    let there = There::new();
    let run = there.ask(&["run", "tap/good", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.run()["by"], "token ci");
    // By its name alone, and told in words.
    let told = there.ask(&["run", "good"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains("run 2 of tap/good succeeded"), "{}", told.err);

    let failed = there.ask(&["run", "tap/bad"]);
    assert_eq!(failed.code, 1, "{}", failed.err);
    assert!(failed.err.contains("| no space left"), "{}", failed.err);
    let again = there.ask(&["rerun", "3", "--from-failed", "--json"]);
    assert_eq!((again.code, &again.run()["origin"]), (1, &json!(3)), "{}", again.err);

    let asks = there.ask(&["run", "tap/asks"]);
    assert_eq!(asks.code, 4, "{}", asks.err);
    assert!(asks.err.contains("weir approve 5 gate"), "{}", asks.err);
    assert_eq!(there.ask(&["approve", "5", "gate"]).code, 0);
    until("run 5 has ended", || (there.stage.show(5)["state"] == "succeeded").then_some(()));

    let file = there.stage.path().join("go");
    let param = format!("file={}", file.display());
    let detached = there.ask(&["run", "tap/waits", "-p", &param, "--detach", "-q"]);
    assert_eq!((detached.code, detached.out.as_str()), (0, "6\n"), "{}", detached.err);
    assert_eq!(there.ask(&["pause", "6"]).code, 0);
    assert_eq!(there.ask(&["resume", "6"]).code, 0);
    assert_eq!(there.ask(&["cancel", "6"]).code, 0);
    assert_eq!(there.ask(&["cancel", "6"]).code, 2, "it has ended");
    let asks = there.ask(&["run", "tap/asks", "--json"]);
    assert_eq!(asks.run()["state"], "asking");
    assert_eq!(there.ask(&["skip", "7", "gate"]).code, 0);

    // What only looks says the same here and there, to the letter.
    for args in [
        &["runs", "--json"][..],
        &["runs"],
        &["runs", "--flow", "bad", "--state", "failed"],
        &["show", "1", "--json"],
        &["show", "3"],
        &["show", "99"],
        &["events", "1", "--json"],
        &["events", "3"],
        &["rerun", "3", "--from-failed", "--preview", "--json"],
        &["rerun", "1", "--from", "two", "--preview"],
        &["rerun", "1", "--from", "nothing", "--preview"],
        &["logs", "1"],
        &["logs", "1", "one", "--tail", "1"],
        &["logs", "3", "fails", "-f"],
        &["logs", "3", "fails", "--times"],
        &["logs", "1", "nothing"],
        &["schedules", "--json"],
        &["next", "tap/good"],
    ] {
        let (here, there) = (there.stage.weir(args), there.ask(args));
        assert_eq!((here.code, &here.out), (there.code, &there.out), "{args:?}: {}", there.err);
    }
    // Which task's lines come first is nobody's promise.
    let followed = there.ask(&["logs", "1", "-f"]).out;
    let mut lines: Vec<&str> = followed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.join(", "), "one | first, one | second, two | third");
    assert!(there.ask(&["logs", "1"]).out.contains("first\nsecond\n"));
    assert!(!there.stage.path().join("nowhere").exists(), "a home was made where none is wanted");
    there.stage.verify();
}

#[test]
fn who_watches_does_not_notice_that_the_server_is_killed() {
    let mut there = There::new();
    let file = there.stage.path().join("go");
    let param = format!("file={}", file.display());
    let mut run = there.command(Some(&there.token), &["run", "tap/waits", "-p", &param, "--json"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("the job has begun", || {
        there.stage.weir(&["logs", "1", "long"]).out.contains("begun").then_some(())
    });
    let mut logs = there.command(Some(&there.token), &["logs", "1", "-f"]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut piece = [0; 13];
    logs.stdout.as_mut().expect("it is piped").read_exact(&mut piece).expect("a line");
    assert_eq!(&piece, b"long | begun\n");
    let _ = logs.kill();
    let _ = logs.wait();

    let address = there.site.address.to_string();
    there.site.kill();
    there.site = there.stage.site_with(&address, &["flows"], &[]);
    std::fs::write(&file, "").expect("written");
    let ended = run.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    let shown: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(shown["run"]["state"], "succeeded");
    assert!(told.contains("does not answer; it is waited for"), "{told}");
    there.stage.verify();
}

#[test]
fn what_is_wrong_is_said() {
    let there = There::new();
    let says = |ended: &Ended, code: i32, words: &str| {
        assert_eq!(ended.code, code, "{}", ended.err);
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
        assert!(ended.err.contains("help: "), "{}", ended.err);
        assert!(!ended.err.contains(&there.token), "{}", ended.err);
    };
    says(&there.ask_as(None, &["runs"]), 2, "wants a token");
    says(&there.ask_as(Some("weir_wrong"), &["runs"]), 2, "does not know the token in WEIR_TOKEN");
    says(&there.ask_as(Some("a\nb"), &["runs"]), 2, "WEIR_TOKEN has signs that no token has");
    let past = token(&there.stage, "past", &["--role", "viewer", "--days", "0"]);
    says(&there.ask_as(Some(&past), &["runs"]), 2, "the token `past` expired at ");
    let viewer = token(&there.stage, "looks", &["--role", "viewer"]);
    says(&there.ask_as(Some(&viewer), &["run", "tap/good"]), 2, "refuses: ");
    let lab = token(&there.stage, "lab", &["--role", "admin", "--project", "lab"]);
    says(&there.ask_as(Some(&lab), &["run", "tap/good"]), 2, "knows no flow `tap/good`");
    says(&there.ask(&["run", "tap/nothing"]), 2, "knows no flow `tap/nothing`");
    says(&there.ask(&["run", "flows/tap/good.flow.yaml"]), 2, "is a file of this machine");
    says(&there.ask(&["next", "./flows/tap/good.flow.yaml"]), 2, "is a file of this machine");
    says(&there.ask(&["backup", "/tmp/nowhere"]), 2, "on the server's own machine");

    let at = |url: &str| {
        let mut command = there.command(Some(&there.token), &["runs"]);
        command.env("WEIR_URL", url);
        Ended::of(command, None)
    };
    says(&at("http://ann:hunter2@127.0.0.1"), 2, "WEIR_URL does not name a server");
    says(&at(&format!("https://{}", there.site.address)), 1, "no Weir server");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    says(&at(&format!("http://{gone}")), 1, "nobody answers at ");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address");
    std::thread::spawn(move || {
        for line in other.incoming().flatten() {
            let mut line = line;
            let _ = line.read(&mut [0; 4096]);
            let _ = line.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    says(&at(&format!("http://{address}")), 1, "is no Weir server");

    // A home that is named goes before the server.
    let here = there.stage.home().display().to_string();
    assert_eq!(there.ask_as(None, &["--home", &here, "runs"]).code, 0);
}

#[test]
fn a_request_reaches_no_file_and_no_project_that_is_not_its_own() {
    let there = There::new();
    assert_eq!(there.ask(&["run", "tap/bad"]).code, 1);
    let lab =
        there.site.token(&token(&there.stage, "lab", &["--role", "operator", "--project", "lab"]));
    let ci = there.site.token(&there.token);
    let begin = |flow: &str| json!({ "call": "begin", "flow": flow, "params": {}, "confirm": [], "only": [], "from": [], "skip": [], "by": "me" });
    for flow in ["/etc/passwd", "../../etc/passwd", "//etc/passwd"] {
        let answer = ci.post_json("/api/v1/ask", &begin(flow));
        assert_eq!(answer.status, 404, "{}", answer.body);
        assert!(!answer.body.contains("root"), "{}", answer.body);
    }
    let log = ci.post_json(
        "/api/v1/ask",
        &json!({ "call": "log", "run": 1, "path": "fails", "attempt": null }),
    );
    assert_eq!((log.status, &log.json()["folder"]), (200, &Value::Null), "{}", log.body);
    for request in [
        json!({ "call": "show", "run": 1 }),
        json!({ "call": "events", "run": 1, "after": 0, "limit": 10 }),
        json!({ "call": "watch", "run": 1, "after": 0 }),
        json!({ "call": "log", "run": 1, "path": "fails", "attempt": null }),
        json!({ "call": "preview", "run": 1, "from": "all", "newest": false }),
        json!({ "call": "wish", "run": 1, "wish": "cancel", "by": "me" }),
        begin("tap/good"),
        json!({ "call": "next", "flow": "tap/good", "schedule": null, "after": null, "count": 1 }),
    ] {
        let answer = lab.post_json("/api/v1/ask", &request);
        assert_eq!(answer.status, 404, "{request}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let all = json!({ "call": "runs", "project": null, "flow": null, "state": null, "before": null, "limit": 100 });
    assert_eq!(lab.post_json("/api/v1/ask", &all).json(), json!([]));
    for request in [
        json!({ "call": "verify" }),
        json!({ "call": "secret-list" }),
        json!({ "call": "secret-set", "scope": "", "name": "a", "value": "long enough", "by": "me" }),
        json!({ "call": "people", "ask": { "ask": "people" }, "by": "me" }),
    ] {
        let status = ci.post_json("/api/v1/ask", &request).status;
        assert!([403, 404].contains(&status), "{request}: {status}");
    }
    // Sent twice with one key it begins one run.
    let headers = [("Idempotency-Key", "once"), ("Content-Type", "application/json")];
    let send = || ci.send("POST", "/api/v1/ask", &headers, &begin("tap/good").to_string()).json();
    assert_eq!((send(), send()), (json!({ "run": 2 }), json!({ "run": 2 })));
}

#[test]
fn the_token_is_in_no_argument_and_no_log() {
    let there = There::new();
    let file = there.stage.path().join("go");
    let param = format!("file={}", file.display());
    let mut run = there.command(Some(&there.token), &["run", "tap/waits", "-p", &param]);
    run.env("WEIR_LOG", "trace").stdout(Stdio::null()).stderr(Stdio::piped());
    let run = run.spawn().expect("it starts");
    until("the job has begun", || {
        there.stage.weir(&["logs", "1", "long"]).out.contains("begun").then_some(())
    });
    let arguments = std::fs::read(format!("/proc/{}/cmdline", run.id())).expect("it lives");
    assert!(!String::from_utf8_lossy(&arguments).contains(&there.token));
    std::fs::write(&file, "").expect("written");
    let ended = run.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && !told.contains(&there.token), "{told}");
    assert!(!there.stage.read("serve.log").contains(&there.token));
}
