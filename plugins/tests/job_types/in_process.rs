//! `noop`, `approve`, `flow` and `test`: no process of their own.

use serde_json::{Map, Value, json};
use weir_core::form::check_answer;
use weir_core::job_type::{Handle, JobType, Nature, PlanContext};
use weir_core::outcome::Outputs;
use weir_plugins::{Approve, Flow, Noop, Test};

use crate::stage::Stage;

async fn table(job_type: &dyn JobType, settings: impl IntoIterator<Item = Value>) -> String {
    let mut told = String::new();
    for with in settings {
        let stage = Stage::new();
        let outcome = stage.play(job_type, &with).await;
        told += &[&with.to_string(), "\n  ", &outcome.replace('\n', "\n  "), "\n"].concat();
    }
    told
}

#[tokio::test]
async fn noop_and_approve() {
    let mut told = table(
        &Noop,
        [
            json!({}),
            Value::Null,
            json!({ "outputs": { "n": 1, "list": ["a"] } }),
            json!({ "output": {} }),
        ],
    )
    .await;
    told += &table(
        &Approve,
        [
            json!({ "message": "Format?" }),
            json!({ "message": "Format?", "form": { "n": { "type": "integer" } }, "approvers": ["ops"] }),
            json!({}),
            json!({ "message": "Format?", "form": { "n": { "type": "secret" }, "m": { "typ": "list" } } }),
            json!({ "message": "Format?", "form": [] }),
        ],
    )
    .await;
    insta::assert_snapshot!("noop_and_approve", told);
    assert_eq!((Noop.nature(), Approve.nature()), (Nature::Instant, Nature::Asks));
    let with = json!({ "message": "?", "form": { "n": { "type": "integer", "default": 3 } } });
    let cx = PlanContext {
        path: "job".to_owned(),
        working_dir: "/".into(),
        env: Vec::new(),
        host: None,
    };
    let plan = Approve.plan(&with, &cx).await.expect("it can be told");
    assert_eq!(plan.steps, ["ask a person: ?", "  n: integer, 3 unless changed"]);
    assert_eq!(check_answer(&with, &Map::new()), Ok(Outputs::from([("n".to_owned(), json!(3))])));
}

#[tokio::test]
async fn a_flow_ends_as_its_child_does() {
    let with = json!({ "flow": "other", "params": { "n": 1 }, "confirm": ["the lot"] });
    let stage = Stage::new();
    let outputs = Outputs::from([("a".to_owned(), json!({ "n": 2 }))]);
    let ends = [
        ("succeeded", outputs.clone(), vec![]),
        ("failed", outputs, vec!["group/b[1]".to_owned(), "c".to_owned()]),
        ("failed", Outputs::new(), vec![]),
        ("cancelled", Outputs::new(), vec![]),
    ];
    let mut told = Vec::new();
    for (state, outputs, failed) in ends {
        *stage.runs.end.lock().expect("no panic") = (state.to_owned(), outputs, failed);
        told.push(stage.play(&Flow, &with).await);
    }
    told.push(stage.play(&Flow, &json!({ "flow": "unknown" })).await);
    told.push(stage.follow(&Flow, &Handle("x".to_owned()), &with).await);
    told.push("asked of the engine:".to_owned());
    Flow.cancel(Some(&Handle("41".to_owned())), &with, &stage.cx).await.expect("it is there");
    Flow.cancel(None, &with, &stage.cx).await.expect("it is found by its parent");
    told.append(&mut stage.runs.asked.lock().expect("no panic"));
    insta::assert_snapshot!(told.join("\n"), @r#"
    done {"a":{"n":2}}
    failed, exit: run 41 of flow other failed: group/b[1], c
    failed, exit: run 41 of flow other failed
    failed, refused: run 41 of flow other was cancelled
    not begun, definition: there is no flow `unknown`
    no end, internal: `x` is no number of a run
    asked of the engine:
    begin other {"n":1} ["the lot"] for 7/12/1
    wait 41
    found 41
    wait 41
    found 41
    wait 41
    found 41
    wait 41
    cancel 41
    cancel 41
    "#);

    let fresh = Stage::new();
    Flow.cancel(None, &with, &fresh.cx).await.expect("there is nothing to end");
    assert!(fresh.runs.asked.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_flow_is_not_for_unless_and_verify() {
    let mut stage = Stage::new();
    stage.cx.phase = weir_core::job_type::Phase::Verify;
    assert_eq!(
        stage.play(&Flow, &json!({ "flow": "other" })).await,
        "not begun, definition: a flow can't be run by `unless` or `verify`: make it a job of its own"
    );
}

#[tokio::test]
async fn test_fails_as_it_is_told_to() {
    let test = Test::default();
    assert_eq!(test.nature(), Nature::Fault);
    let told = table(
        &test,
        [
            json!({}),
            json!({ "exit": 3 }),
            json!({ "class": "quota" }),
            json!({ "class": "exit" }),
            json!({ "fail-times": 1 }),
            json!({ "fail-times": 0, "exit": 3 }),
            json!({ "start-error": "connection" }),
            json!({ "start-error": "boredom" }),
            json!({ "lost": true }),
            json!({ "unknown-outcome": true }),
            json!({ "already-done": true, "outputs": { "n": 1 } }),
            json!({ "ask": "go on?", "outputs": { "n": 1 } }),
            json!({ "unreachable-for": "10s" }),
            json!({ "run-for": "soon" }),
            json!({ "hangs": true }),
        ],
    )
    .await;
    insta::assert_snapshot!("test", told);
}

#[tokio::test]
async fn test_counts_attempts_and_time() {
    let mut stage = Stage::new();
    let test = Test::default();
    let with = json!({ "fail-times": 2, "run-for": "1m", "unreachable-for": "5s", "log": ["hello"], "log-bytes": 250 });
    let handle = test.start(&with, &stage.cx).await.expect("it starts");
    assert_eq!(
        stage.follow(&test, &handle, &with).await,
        "no end, connection: unreachable, as it was told to be"
    );
    stage.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(
        stage.follow(&test, &handle, &with).await,
        "failed with 1, exit: ended with code 1, as it was told to"
    );
    assert_eq!(stage.clock.elapsed(), 60_000);
    let log = stage.log.text();
    assert!(log.starts_with("hello\nxxx"), "{log}");
    assert_eq!(log.len() + 1, "hello\n".len() + 250);
    stage.attempt(3);
    assert_eq!(stage.follow(&test, &handle, &with).await, "done with 0 {}");
}

#[tokio::test]
async fn a_hanging_test_ends_when_it_is_cancelled() {
    let stage = Stage::new();
    let test = Test::default();
    let with = json!({ "hang": true, "ignore-cancel-for": "30s" });
    let handle = test.start(&with, &stage.cx).await.expect("it starts");
    let (told, cancelled) = tokio::join!(
        stage.follow(&test, &handle, &with),
        test.cancel(Some(&handle), &with, &stage.cx)
    );
    assert_eq!((told.as_str(), cancelled), ("cancelled", Ok(())));
    assert_eq!(stage.clock.elapsed(), 30_000);
    let with = json!({ "cancel-error": true });
    let error = test.cancel(Some(&handle), &with, &stage.cx).await.expect_err("it was told to");
    assert_eq!(error.message, "would not end, as it was told");
}
