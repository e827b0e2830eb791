//! The API as its own description says: schemathesis sends what the description allows and what it does not, and looks
//! at each answer.

use std::process::Command;

use weir_tests::{Site, Stage, Visitor, root, until};

fn stage() -> (Stage, Site, Visitor) {
    let stage = Stage::new();
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write(
        "flows/tap/hello.flow.yaml",
        "name: hello
title: Says hello
labels: { team: web }
schedules:
  - { id: first, at: '2099-01-01T00:00:00Z' }
  - { id: second, at: '2099-02-01T00:00:00Z' }
params:
  word: { type: string, default: hello, pattern: '[a-z]+' }
  often: { type: integer, default: 1, min: 1, max: 9 }
jobs:
  a: { uses: noop }
  b: { needs: [a], destroys: nothing much, when: 'params.often > 9', uses: noop }
",
    );
    stage.write(
        "flows/tap/fails.flow.yaml",
        "name: fails
jobs:
  a:
    uses: command
    with: { script: 'echo no space left on device; exit 28' }
    recover: [{ match: { log: no space left }, diagnosis: The disk is full., then: fail }]
",
    );
    stage.write(
        "flows/tap/asks.flow.yaml",
        "name: asks\njobs: { a: { uses: approve, with: { message: Go on? } } }\n",
    );
    let site = stage.site(&["flows"]);
    let token = stage.weir(&["token", "add", "prober", "--role", "admin"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let token = token.out.trim().to_owned();
    let prober = site.token(&token);
    stage.write("token", &token);
    for (run, flow, state) in
        [(1, "hello", "succeeded"), (2, "fails", "failed"), (3, "asks", "asking")]
    {
        let empty = serde_json::json!({});
        let begun = prober.post_json(&format!("/api/v1/flows/tap/{flow}/runs"), &empty);
        assert_eq!(begun.status, 201, "{}", begun.body);
        until("the run is as it should be", || {
            let now = prober.get(&format!("/api/v1/runs/{run}")).json();
            (now["run"]["state"] == state).then_some(())
        });
    }
    (stage, site, prober)
}

#[test]
fn every_answer_is_one_that_the_description_knows() {
    let (stage, site, _prober) = stage();
    let tool = root().join(".cache/schemathesis/bin/schemathesis");
    assert!(tool.exists(), "schemathesis is not here: see scripts/install-test-needs");
    let mut said = String::new();
    for config in ["known", "anything"] {
        let output = Command::new(&tool)
            .arg("--config-file")
            .arg(root().join(format!("tests/tools/schemathesis-{config}.toml")))
            .args(["run", "--max-time", "40", "--seed", "1"])
            .arg(format!("http://{}/api/v1/openapi.json", site.address))
            .env("PROBER_TOKEN", stage.read("token"))
            .env("NO_COLOR", "1")
            .current_dir(stage.path())
            .output()
            .expect("schemathesis starts");
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}\n{}", stage.read("serve.log"));
    }
    assert!(said.contains("Tested:"), "nothing was tested: {said}");
    let log = stage.read("serve.log");
    assert!(!log.contains("panicked") && !log.contains("a request failed"), "{log}");
    site.stop();
    stage.verify();
}

#[test]
fn what_does_not_fit_is_refused_in_our_own_words() {
    let (_stage, _site, prober) = stage();
    for (path, status) in [
        ("/api/v1/runs/abc", 404),
        ("/api/v1/runs/99999999999999999999", 404),
        ("/api/v1/runs/%FF", 404),
        ("/api/v1/runs?limit=0", 422),
        ("/api/v1/runs?limit=201", 422),
        ("/api/v1/runs?limit=many", 422),
        ("/api/v1/runs?cursor=-1", 422),
        ("/api/v1/runs?state=", 422),
        ("/api/v1/runs?colour=red", 422),
        ("/api/v1/runs/1/events?after=-1", 422),
        ("/api/v1/runs/1/tasks/a?attempt=x", 422),
    ] {
        let answer = prober.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{path}: {}", answer.body);
        assert_eq!(answer.json()["status"], status, "{path}");
    }
    for path in ["/runs/abc", "/runs/1/task", "/runs?before=x"] {
        let page = prober.get(path);
        assert!([404, 422].contains(&page.status), "{path}: {}", page.status);
        assert!(page.body.contains("</html>"), "{path}: {}", page.body);
    }
    // A job that has written nothing has no log.
    let part = [("Range", "bytes=0-9")];
    assert_eq!(prober.send("GET", "/api/v1/runs/1/tasks/a/log", &part, "").status, 416);
    assert_eq!(prober.get("/runs/1/task/draft?path=a&attempt=1&l=0").status, 200);
    for (key, status) in [("two words", 422), ("", 422), ("one-word", 200)] {
        let part = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let hello = prober.send("POST", "/api/v1/ask", &part, r#"{"call":"hello"}"#);
        assert_eq!(hello.status, status, "`{key}`: {}", hello.body);
    }
    let wrong = prober.send("PATCH", "/api/v1/tokens", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, POST")));
    let long = serde_json::json!({ "name": "long", "role": "viewer", "days": 4_000_000_000_u32 });
    assert_eq!(prober.post_json("/api/v1/tokens", &long).status, 422);
    assert_eq!(prober.send("DELETE", "/api/v1/tokens/nobody", &[], "").status, 404);
    let again = serde_json::json!({ "name": "prober", "role": "viewer" });
    assert_eq!(prober.post_json("/api/v1/tokens", &again).status, 409);
}
