//! Runs that other systems begin: by a token, by a signed call; as the documentation says it.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use weir_core::webhook::sign;
use weir_tests::http::Answer;
use weir_tests::{Ended, Site, Stage, Visitor, built, root};

const FLOW: &str =
    "params: { who: { type: string, default: nobody } }\njobs: { a: { uses: noop } }\n";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs()
}

fn project(stage: &Stage) {
    stage.write("flows/tour/project.yaml", "name: tour\n");
    stage.write("flows/tour/tour.flow.yaml", format!("name: tour\n{FLOW}"));
    stage.write("flows/other/project.yaml", "name: other\n");
    stage.write("flows/other/tour.flow.yaml", format!("name: tour\n{FLOW}"));
}

/// The examples behind a heading of the documentation: blocks of shell, joined.
fn examples(heading: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs/pages.md")).expect("the page is there");
    let (_, behind) = text.split_once(&format!("## {heading}\n")).expect("the heading is there");
    let section = behind.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|part| part.split("```").next());
    blocks.collect()
}

/// Runs examples as they stand, but for where the server is.
fn run(stage: &Stage, site: &Site, script: &str) -> Value {
    let script = script.replace("http://127.0.0.1:8180", &format!("http://{}", site.address));
    let tools = built().parent().expect("it is in a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-eu", "-c", &script]).current_dir(stage.path());
    command.env("PATH", format!("{tools}:{path}")).env("WEIR_HOME", stage.home());
    let ended = Ended::of(command, None);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let last = ended.out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", ended.out))
}

fn begun_by(admin: &Visitor, answer: &Value) -> (Value, Value) {
    let id = answer["run"]["id"].as_i64().expect("a run");
    let run = admin.get(&format!("/api/v1/runs/{id}")).json();
    let by = admin.get("/api/v1/runs").json()["items"]
        .as_array()
        .and_then(|all| all.iter().find(|run| run["id"] == id).map(|run| run["by"].clone()));
    (run["run"]["params"]["who"].clone(), by.unwrap_or_default())
}

#[test]
fn the_examples_of_the_documentation_begin_runs() {
    let stage = Stage::new();
    project(&stage);
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let answer = run(&stage, &site, &examples("The API"));
    assert_eq!(begun_by(&admin, &answer), (json!("ci"), json!("token ci")));
    let answer = run(&stage, &site, &examples("Webhooks"));
    assert_eq!(begun_by(&admin, &answer), (json!("a webhook"), json!("webhook tour")));
}

fn call(site: &Site, project: &str, secret: &str, at: u64, body: &str) -> Answer {
    let at = at.to_string();
    let signature = sign(secret.as_bytes(), &at, body.as_bytes());
    let headers = [("Weir-Timestamp", at.as_str()), ("Weir-Signature", signature.as_str())];
    site.stranger().send("POST", &format!("/api/v1/hooks/{project}"), &headers, body)
}

#[test]
fn a_signed_call_counts_once_also_after_a_restart() {
    let stage = Stage::new();
    project(&stage);
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let set = |project: &str, value: &str| {
        let ended = stage.weir_reads(&["secret", "set", "trigger", "--project", project], value);
        assert_eq!(ended.code, 0, "{}", ended.err);
    };
    let body = r#"{"flow":"tour","params":{"who":"a"}}"#;
    let at = now();
    // Without a secret of its own a project takes no calls.
    assert_eq!(stage.weir_reads(&["secret", "set", "trigger"], "for-all-of-them").code, 0);
    assert_eq!(call(&site, "tour", "for-all-of-them", at, body).status, 404);
    assert_eq!(call(&site, "nowhere", "for-all-of-them", at, body).status, 404);
    set("tour", "the-key-of-tour");
    set("other", "the-key-of-other");
    let detail = |answer: &Answer| answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    // What is not signed, signed by another, or long ago, begins nothing.
    let unsigned = site.stranger().send("POST", "/api/v1/hooks/tour", &[], body);
    assert_eq!(unsigned.status, 401, "{}", unsigned.body);
    let other = call(&site, "tour", "the-key-of-other", at, body);
    assert_eq!(other.status, 401);
    assert!(detail(&other).contains("the signature does not fit"), "{}", other.body);
    let old = call(&site, "tour", "the-key-of-tour", at - 400, body);
    assert_eq!(old.status, 401);
    assert!(detail(&old).contains("too far from now"), "{}", old.body);
    for (bad, status) in [
        ("hello", 422),
        (r#"{"flow":"tour","parms":{}}"#, 422),
        (r#"{"flow":"nothing"}"#, 404),
        (r#"{"flow":"tour","params":{"whom":"a"}}"#, 422),
    ] {
        let answer = call(&site, "tour", "the-key-of-tour", at, bad);
        assert_eq!(answer.status, status, "{bad}: {}", answer.body);
    }
    assert_eq!(admin.get("/api/v1/runs").json()["items"], json!([]));
    // What is right begins one run, and once.
    let good = call(&site, "tour", "the-key-of-tour", at, body);
    assert_eq!(good.status, 201, "{}", good.body);
    assert_eq!(good.header("location"), Some("/api/v1/runs/1"));
    let again = call(&site, "tour", "the-key-of-tour", at, body);
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(detail(&again).contains("began run 1"), "{}", again.body);
    site.stop();
    let site = stage.site(&["flows"]);
    assert_eq!(call(&site, "tour", "the-key-of-tour", at, body).status, 409);
    assert_eq!(call(&site, "tour", "the-key-of-tour", at + 1, body).status, 201);
    let admin = site.log_in("admin", weir_tests::PASSWORD).expect("the password fits");
    let runs = admin.get("/api/v1/runs").json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(2), "{runs}");
    let audit = admin.get("/api/v1/audit").json();
    let lines = audit["items"].as_array().expect("a list");
    let ours: Vec<_> = lines.iter().filter(|line| line["by"] == "webhook tour").collect();
    assert_eq!(ours.len(), 2, "{audit}");
    assert_eq!((&ours[0]["what"], &ours[0]["target"]), (&json!("run.begin"), &json!("tour/tour")));
    site.stop();
    let log = stage.read("serve.log");
    assert!(!log.contains("the-key-of"), "{log}");
    stage.verify();
}
