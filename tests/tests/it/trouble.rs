//! A server that can't write for a while, seen through its pages: it says so, jobs go on, nothing is lost.

use serde_json::{Value, json};
use weir_tests::{Site, Stage, Thief, Visitor, until};

/// So many jobs work meanwhile.
const JOBS: usize = 20;

/// A flow whose jobs all wait for the file `go`, and one that is over at once.
fn stage() -> Stage {
    let stage = Stage::new();
    let dir = stage.path().display();
    let script = format!(
        "touch {dir}/{{{{ item }}}}.began; until [ -e {dir}/go ]; do sleep 0.5; done; touch {dir}/{{{{ item }}}}.over"
    );
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write(
        "flows/tap/many.flow.yaml",
        format!(
            "name: many\njobs:\n  each: {{ foreach: 'range({JOBS}) | list', uses: command, with: {{ script: '{script}' }} }}\n"
        ),
    );
    stage.write("flows/tap/hello.flow.yaml", "name: hello\njobs: { a: { uses: noop } }\n");
    stage
}

fn serve(stage: &Stage) -> (Site, Visitor) {
    let site = stage.site_with("127.0.0.1:0", &["flows"], &["--slots", "20"]);
    let admin = site.admin();
    (site, admin)
}

fn begin(visitor: &Visitor, flow: &str) -> i64 {
    let answer = visitor.post_json(&format!("/api/v1/flows/tap/{flow}/runs"), &json!({}));
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["run"]["id"].as_i64().expect("a run")
}

fn all_are(stage: &Stage, what: &str) {
    until(what, || {
        let is = |n| stage.path().join(format!("{n}.{what}")).exists();
        (0..JOBS).all(is).then_some(())
    });
}

fn ended(visitor: &Visitor, run: i64) -> Value {
    until("the run has ended", || {
        let run = visitor.get(&format!("/api/v1/runs/{run}")).json()["run"].take();
        run["ended_at"].is_string().then_some(run)
    })
}

/// What the server says of itself while it can't write, and that it still shows what there is.
fn says_so(admin: &Visitor, run: i64) {
    until("it says that it can't write", || {
        let page = admin.get("/runs").body;
        page.contains("write just now").then_some(())
    });
    let system = admin.get("/system").body;
    assert!(system.contains("write:"), "{system}");
    assert_eq!(admin.get("/readyz").status, 503);
    assert_eq!(admin.get("/healthz").status, 200);
    let shown = admin.get(&format!("/runs/{run}"));
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("data-state=\"running\""), "{}", shown.body);
}

/// How many begins of runs the audit knows.
fn begins_in_audit(admin: &Visitor) -> usize {
    let mut begins = 0;
    let mut path = "/api/v1/audit?limit=100".to_owned();
    loop {
        let page = admin.get(&path).json();
        let items = page["items"].as_array().expect("a list");
        begins += items.iter().filter(|item| item["what"] == "run.begin").count();
        let Some(next) = page["next"].as_str() else { return begins };
        path = format!("/api/v1/audit?limit=100&cursor={next}");
    }
}

fn is_well_again(admin: &Visitor) {
    until("it is well again", || (admin.get("/readyz").status == 200).then_some(()));
    assert!(!admin.get("/runs").body.contains("write just now"));
    assert!(admin.get("/system").body.contains("All is well"));
}

#[test]
fn a_full_disk_is_told_on_every_page_and_twenty_jobs_go_on() {
    let stage = stage();
    let disk = stage.small_disk("home", 64 << 20);
    let (site, admin) = serve(&stage);
    let run = begin(&admin, "many");
    all_are(&stage, "began");
    disk.fill();
    // Nothing moves by itself just now: what is asked needs room.
    let asker = admin.clone();
    let asked = std::thread::spawn(move || {
        let mut begun = Vec::new();
        while begun.len() < 200 {
            begun.push(begin(&asker, "hello"));
        }
        begun
    });
    says_so(&admin, run);
    // A session can't be kept: that is told as what it is.
    let login = [("name", "admin"), ("password", weir_tests::PASSWORD)];
    let refused = site.stranger().post("/login", &weir_tests::http::form(&login));
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("Nothing can be written just now"), "{}", refused.body);
    stage.write("go", "");
    all_are(&stage, "over");
    disk.free();
    let begun = asked.join().expect("each was answered at last");
    is_well_again(&admin);
    for run in &begun {
        assert_eq!(ended(&admin, *run)["state"], "succeeded");
    }
    // Who began what is kept for each of them, also where that had to wait.
    assert_eq!(begins_in_audit(&admin), begun.len() + 1);
    let shown = ended(&admin, run);
    let tasks = shown["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), JOBS + 1, "{shown:#}");
    for task in &tasks[1..] {
        // Its end could not be written where the disk was full: then it is lost, never a success that was not, and it was
        // not begun again.
        let state = task["state"].as_str().unwrap_or_default();
        assert!(["succeeded", "lost"].contains(&state), "{task:#}");
        assert_eq!(task["attempts"].as_array().map(Vec::len), Some(1), "{task:#}");
    }
    // Who could not log in while there was no room can now.
    assert!(site.log_in("admin", weir_tests::PASSWORD).is_some());
    site.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn a_database_that_is_gone_for_a_while_is_told_and_twenty_jobs_go_on() {
    let stage = stage();
    let (site, admin) = serve(&stage);
    let run = begin(&admin, "many");
    all_are(&stage, "began");
    let thief = Thief::of(&stage.home());
    let asker = admin.clone();
    let asked = std::thread::spawn(move || begin(&asker, "hello"));
    says_so(&admin, run);
    stage.write("go", "");
    all_are(&stage, "over");
    // Their ends are known and wait, too; who looks sees them as they were kept last.
    assert_eq!(admin.get(&format!("/api/v1/runs/{run}")).json()["run"]["state"], "running");
    thief.gives_back();
    is_well_again(&admin);
    let hello = asked.join().expect("it was answered at last");
    assert_eq!(ended(&admin, hello)["state"], "succeeded");
    let shown = ended(&admin, run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    let tasks = shown["tasks"].as_array().expect("tasks");
    assert!(tasks[1..].iter().all(|task| task["attempts"].as_array().map(Vec::len) == Some(1)));
    site.stop();
    stage.verify();
    stage.wait_until_empty();
}
