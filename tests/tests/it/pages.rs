//! The pages without a browser: who may do what, what other sites may not, hostile names and logs, stopping.

use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::http::{self, form};
use weir_tests::{PASSWORD, Site, Stage, Visitor, until};

const HELLO: &str = "jobs: { a: { uses: command, with: { script: echo hello } } }\n";

fn stage() -> (Stage, Site, Visitor) {
    let stage = Stage::new();
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write("flows/tap/hello.flow.yaml", format!("name: hello\n{HELLO}"));
    stage.write("flows/lab/project.yaml", "name: lab\n");
    stage.write("flows/lab/other.flow.yaml", format!("name: other\n{HELLO}"));
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    (stage, site, admin)
}

/// What stands in the page after `before`, up to the next quote or tag.
fn after<'a>(page: &'a str, before: &str) -> &'a str {
    let rest = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}")).1;
    rest.split(['"', '<']).next().unwrap_or_default()
}

pub(crate) fn start(visitor: &Visitor, flow: &str) -> i64 {
    let page = visitor.get(&format!("/flows/{flow}/run")).body;
    let version = after(&page, "name=\"version\" value=\"").to_owned();
    let fields = form(&[("version", &version), ("do", "go")]);
    let answer = visitor.post(&format!("/flows/{flow}/run"), &fields);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let to = answer.header("location").unwrap_or_default();
    to.rsplit('/').next().and_then(|run| run.parse().ok()).expect("a run")
}

pub(crate) fn ended(stage: &Stage, run: i64) -> Value {
    until("the run has ended", || {
        let run = stage.show(run);
        (!run["ended_at"].is_null()).then_some(run)
    })
}

/// Adds somebody who has a role; they have chosen their password.
pub(crate) fn add(site: &Site, admin: &Visitor, name: &str, role: &str, project: &str) -> Visitor {
    let fields = form(&[("do", "add"), ("name", name), ("role", role), ("project", project)]);
    let page = admin.post("/users", &fields);
    assert_eq!(page.status, 200, "{}", page.body);
    let word = after(&page.body, "<code class=\"secret\">").to_owned();
    site.first_login(name, &word)
}

#[test]
fn a_role_holds_in_its_project_only() {
    let (stage, site, admin) = stage();
    let tap = start(&admin, "tap/hello");
    let lab = start(&admin, "lab/other");
    ended(&stage, tap);
    ended(&stage, lab);
    let anna = add(&site, &admin, "anna", "operator", "tap");
    assert_eq!(anna.get(&format!("/runs/{tap}")).status, 200);
    for path in [
        format!("/runs/{lab}"),
        format!("/runs/{lab}/task?path=a"),
        format!("/runs/{lab}/task/log?path=a"),
        format!("/runs/{lab}/rerun"),
        "/flows/lab/other".to_owned(),
        "/flows/lab/other/run".to_owned(),
    ] {
        assert_eq!(anna.get(&path).status, 404, "{path}");
    }
    assert_eq!(anna.post(&format!("/runs/{lab}/act"), "wish=cancel").status, 404);
    let runs = anna.get("/runs").body;
    assert!(runs.contains("hello") && !runs.contains("other"), "{runs}");
    let flows = anna.get("/flows").body;
    assert!(flows.contains("hello") && !flows.contains("other"), "{flows}");
    start(&anna, "tap/hello");
}

#[test]
fn other_sites_change_nothing() {
    let (_stage, site, admin) = stage();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    for foreign in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
    ] {
        let fields = form(&[("do", "add"), ("name", "mallory"), ("role", "admin")]);
        assert_eq!(admin.send("POST", "/users", &[kind, foreign], &fields).status, 403);
    }
    assert!(!admin.get("/users").body.contains("mallory"));
    let page = admin.get("/flows");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let login = site.stranger().get("/login?to=//evil.example").body;
    assert!(login.contains("/assets/"), "{login}");
    let asset = after(&login, "<link rel=\"stylesheet\" href=\"").to_owned();
    let css = site.stranger().get(&asset);
    assert!(css.header("cache-control").is_some_and(|keep| keep.contains("immutable")));
    let tag = css.header("etag").expect("a tag").to_owned();
    assert_eq!(site.stranger().send("GET", &asset, &[("If-None-Match", &tag)], "").status, 304);
}

#[test]
fn wrong_logins_become_slow_and_sessions_end() {
    let (_stage, site, admin) = stage();
    add(&site, &admin, "anna", "viewer", "");
    let mut seen = Vec::new();
    for _ in 0..8 {
        let fields = form(&[("name", "anna"), ("password", "guess")]);
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let answer = site.stranger().send("POST", "/login", &[kind], &fields);
        seen.push(answer.status);
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert!(seen.starts_with(&[401, 401, 401]) && seen.contains(&429), "{seen:?}");
    let second = admin.clone();
    assert_eq!(admin.post("/logout-everywhere", "").status, 303);
    assert_eq!(second.get("/flows").status, 303);
    let audit_needs_login = site.stranger().get("/audit");
    assert!(audit_needs_login.header("location").is_some_and(|to| to.starts_with("/login")));
}

#[test]
fn hostile_names_and_logs_stay_text() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let stage = Stage::new();
    let yaml = |text: &str| serde_json::Value::from(text).to_string();
    stage.write(
        "flows/evil.flow.yaml",
        format!(
            "name: evil\ntitle: {evil}\ndescription: {evil}\nlabels: {{ l: {evil} }}\nparams:\n  p: {{ type: string, default: {evil}, description: {evil} }}\njobs:\n  a:\n    title: {evil}\n    uses: command\n    with: {{ script: 'printf \"%s\\n\" {{{{ params.p }}}}; printf \"\\033]0;x<b>\\007\"; exit 3' }}\n    recover:\n      - match: {{ log: 'script' }}\n        diagnosis: {evil}\n        then: ask\n",
            evil = yaml(EVIL)
        ),
    );
    stage.write("flows/broken.flow.yaml", "name: '<script>alert(3)</script>'\njobs: 7\n");
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let run = start(&admin, "-/evil");
    until("it asks", || (stage.show(run)["state"] == "asking").then_some(()));
    for path in [
        "/flows",
        "/flows?q=%3Cscript%3E",
        "/flows/-/evil",
        "/flows/-/evil/run",
        "/flows/-/evil/versions",
        "/runs?flow=%3Cscript%3E&project=%22%3E%3Cscript%3E",
        "/runs/1",
        "/runs/1/live",
        "/runs/1/events",
        "/runs/1/task?path=a",
        "/runs/1/task?path=a&q=%3Cscript%3E",
        "/runs/1/task?path=%3Cscript%3E",
        "/runs/1/task/draft?path=a&attempt=1&l=0",
        "/asking",
        "/diagnoses?q=%3Cscript%3E",
        "/login?to=%22%3E%3Cscript%3E",
        "/%3Cscript%3E",
    ] {
        let page = admin.get(path).body;
        for evil in ["<script>alert", "<img src=x", "<b>"] {
            // Our own pages use <b>, but never beside the log's title.
            if evil == "<b>" && !page.contains("x<b>") {
                continue;
            }
            assert!(!page.contains(evil), "{path} has {evil}:\n{page}");
        }
    }
    let fields = form(&[("do", "add"), ("name", "<script>alert(1)</script>"), ("role", "viewer")]);
    let answer = admin.post("/users", &fields);
    assert_eq!(answer.status, 422);
    assert!(!answer.body.contains("<script>alert"));
    for path in ["/assets/x/..%2f..%2fCargo.toml", "/assets/x/%2e%2e%2f%2e%2e%2fCargo.toml"] {
        assert_eq!(admin.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_server_with_open_pages_stops_at_once_and_jobs_go_on() {
    let (stage, site, admin) = stage();
    stage.write(
        "flows/tap/slow.flow.yaml",
        "name: slow\njobs: { a: { uses: command, with: { script: 'echo begun; sleep 600' } } }\n",
    );
    let run = start(&admin, "tap/slow");
    until("it works", || (stage.show(run)["state"] == "running").then_some(()));
    let watching = admin.follow(&format!("/runs/{run}/stream"), "event: change");
    let begun = Instant::now();
    site.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(http::rest(watching).status, 200);
    let left = stage.processes();
    assert!(left.iter().any(|process| process.command().contains("sleep 600")), "{left:?}");
}

#[test]
fn only_who_is_told_so_is_served_beyond_this_machine() {
    let stage = Stage::new();
    let refused = stage.weir(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--insecure"), "{}", refused.err);
    let taken = stage.site(&[]);
    let other = Stage::new();
    let address = taken.address.to_string();
    let refused = other.weir(&["serve", "--listen", &address]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("can't be listened on"), "{}", refused.err);
    assert!(taken.log_in("admin", PASSWORD).is_none());
}

#[test]
fn programs_use_the_api_as_the_guide_says() {
    let (stage, site, admin) = stage();
    let made = stage.weir(&["token", "add", "ci", "--role", "operator", "--days", "30"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let token = made.out.trim().to_owned();
    assert!(!stage.weir(&["token", "list"]).out.contains(&token));
    let ci = site.token(&token);
    // The call of docs/pages.md, twice: it counts once.
    let curl = || {
        let output = std::process::Command::new("curl")
            .args(["-s", "-i", "-H", &format!("Authorization: Bearer {token}")])
            .args(["-H", "Idempotency-Key: build-4711", "-d", r#"{"params": {}}"#])
            .arg(format!("http://{}/api/v1/flows/tap/hello/runs", site.address))
            .output()
            .expect("curl is here: see scripts/install-test-needs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for _ in 0..2 {
        let said = curl();
        assert!(
            said.starts_with("HTTP/1.1 201") && said.ends_with(r#"{"run":{"id":1}}"#),
            "{said}"
        );
    }
    ended(&stage, 1);
    let headers = [("Idempotency-Key", "build-4711"), ("Content-Type", "application/json")];
    let other = ci.send("POST", "/api/v1/flows/lab/other/runs", &headers, "{}");
    assert_eq!(other.status, 409, "{}", other.body);
    assert_eq!(other.header("content-type"), Some("application/problem+json"));

    let run = ci.get("/api/v1/runs/1");
    assert_eq!(run.json()["run"]["state"], "succeeded");
    assert_eq!(run.json()["run"]["by"], "token ci");
    let tag = run.header("etag").expect("a tag").to_owned();
    assert_eq!(ci.send("GET", "/api/v1/runs/1", &[("If-None-Match", &tag)], "").status, 304);
    assert_eq!(ci.get("/api/v1/runs/1/tasks/a").json()["task"]["state"], "succeeded");
    assert_eq!(ci.get("/api/v1/runs/1/tasks/a/log").body, "hello\n");
    let part = ci.send("GET", "/api/v1/runs/1/tasks/a/log", &[("Range", "bytes=1-3")], "");
    assert_eq!((part.status, part.body.as_str()), (206, "ell"));
    assert_eq!(part.header("content-range"), Some("bytes 1-3/6"));
    let events = ci.get("/api/v1/runs/1/events").body;
    assert!(events.contains("run-succeeded") && events.contains("id: 1\n"), "{events}");

    for _ in 0..4 {
        assert_eq!(
            ci.post_json("/api/v1/flows/tap/hello/runs", &serde_json::json!({})).status,
            201
        );
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ci.get(&format!("/api/v1/runs?limit=2&cursor={cursor}")).json();
        seen.extend(
            page["items"].as_array().into_iter().flatten().filter_map(|run| run["id"].as_i64()),
        );
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);

    let preview = ci
        .post_json("/api/v1/runs/1/rerun", &serde_json::json!({ "from": "all", "preview": true }));
    assert_eq!(preview.json()["lines"][0]["will"], "run", "{}", preview.body);
    let again =
        ci.post_json("/api/v1/runs/1/rerun", &serde_json::json!({ "from": { "job": "a" } }));
    assert_eq!((again.status, again.json()["run"]["id"].as_i64()), (201, Some(6)));
    ended(&stage, 6);
    assert_eq!(ci.post_json("/api/v1/runs/6/cancel", &serde_json::json!({})).status, 409);
    let wrong = ci.post_json("/api/v1/flows/tap/hello/runs", &serde_json::json!({ "parms": {} }));
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("parms"), "{}", wrong.body);

    assert_eq!(ci.get("/api/v1/users").status, 403);
    assert_eq!(ci.get("/api/v1/nothing").status, 404);
    assert_eq!(site.stranger().get("/api/v1/runs").status, 401);
    assert_eq!(site.token("weir_wrong").get("/api/v1/runs").status, 401);
    let described = site.stranger().get("/api/v1/openapi.json").json();
    assert_eq!(described["openapi"], "3.1.0");
    let audit = admin.get("/audit").body;
    assert!(audit.contains("token ci") && audit.contains("run.begin"), "{audit}");
    assert_eq!(stage.weir(&["token", "rm", "ci"]).code, 0);
    assert_eq!(ci.get("/api/v1/runs").status, 401);
    stage.verify();
}

#[test]
fn users_are_kept_by_the_command_line_too() {
    let stage = Stage::new();
    let made =
        stage.weir_reads(&["user", "add", "root", "--role", "admin", "--password-stdin"], PASSWORD);
    assert_eq!(made.code, 0, "{}", made.err);
    let anna = stage.weir(&["user", "add", "anna", "--role", "operator", "--project", "tap"]);
    let word = anna.out.trim().to_owned();
    assert_eq!(stage.weir(&["user", "list"]).out, "anna\ttap:operator\nroot\tadmin\n");
    let last = stage.weir(&["user", "rm", "root"]);
    assert_eq!(last.code, 2, "{}", last.out);
    assert!(last.err.contains("last administrator"), "{}", last.err);
    // Somebody is known: no administrator is made.
    std::fs::write(stage.home().join("seen-first"), "").expect("written");
    let site = stage.site(&[]);
    assert!(site.log_in("admin", PASSWORD).is_none());
    let root = site.log_in("root", PASSWORD).expect("the password fits");
    assert_eq!(root.get("/users").status, 200);
    let anna = site.first_login("anna", &word);
    assert_eq!(stage.weir(&["user", "rm", "anna"]).code, 0);
    assert_eq!(anna.get("/flows").status, 303);
}
