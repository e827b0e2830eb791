//! Runs again: from what failed, from a job, one job alone, all; and runs that people and failures steer.

use std::fs;

use serde_json::{Value, json};
use weir_tests::{Stage, states, until};

fn flow(stage: &Stage, name: &str, body: &str) -> std::path::PathBuf {
    stage.flow(name, &body.replace("DIR", &stage.path().display().to_string()))
}

const CHAIN: &str = "params: { word: { type: string, default: one } }
jobs:
  first: { uses: command, with: { script: 'echo first >>DIR/order; echo said={{ params.word }} >$WEIR_OUTPUT' } }
  second:
    needs: [first]
    uses: command
    with: { script: 'echo second {{ jobs.first.outputs.said }} >>DIR/order; [ -e DIR/fine ]' }
  third: { needs: [second], uses: command, with: { script: 'echo third >>DIR/order' } }
  beside: { uses: command, with: { script: 'echo beside >>DIR/beside' } }
";

fn preview(stage: &Stage, args: &[&str]) -> Value {
    let ended = stage.weir(&[&["rerun", "1", "--preview", "--json"], args].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.json()
}

fn will(preview: &Value) -> String {
    let lines = preview["lines"].as_array().unwrap_or_else(|| panic!("{preview:#}"));
    let tell = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or("?").to_owned();
        format!("{} {}", text("path"), text("will"))
    };
    lines.iter().map(tell).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_run_is_run_again_in_every_way() {
    let stage = Stage::new();
    let flow = flow(&stage, "chain", CHAIN);
    let failed = stage.run(&flow, &[]);
    assert_eq!(states(&failed), "first succeeded, second failed, third skipped, beside succeeded");
    assert_eq!(
        will(&preview(&stage, &["--from-failed"])),
        "first reuse, second run, third run, beside reuse"
    );
    assert_eq!(
        will(&preview(&stage, &["--from", "first"])),
        "first run, second run, third run, beside reuse"
    );
    assert_eq!(
        will(&preview(&stage, &["--only", "third"])),
        "first skip, second skip, third run, beside skip"
    );
    assert_eq!(will(&preview(&stage, &["--all"])), "first run, second run, third run, beside run");
    assert_eq!(stage.read("order"), "first\nsecond one\n", "a preview runs nothing");

    stage.write("fine", "");
    let rerun = |args: &[&str]| stage.weir(&[&["rerun", "1", "--json"], args].concat()).run();
    let again = rerun(&["--from-failed"]);
    assert_eq!(states(&again), "first reused, second succeeded, third succeeded, beside reused");
    assert_eq!((&again["origin"], &again["id"]), (&json!(1), &json!(2)));
    assert_eq!(again["tasks"][0]["outputs"]["said"], "one");
    assert_eq!(stage.read("order"), "first\nsecond one\nsecond one\nthird\n");

    let edited = rerun(&["--from", "first", "-p", "word=two"]);
    assert_eq!(
        states(&edited),
        "first succeeded, second succeeded, third succeeded, beside reused"
    );
    assert_eq!(edited["params"]["word"], "two");
    assert!(stage.read("order").ends_with("first\nsecond two\nthird\n"));

    fs::remove_file(stage.path().join("order")).expect("removed");
    let all = rerun(&["--all"]);
    assert_eq!(
        states(&all),
        "first succeeded, second succeeded, third succeeded, beside succeeded"
    );
    let only = stage.weir(&["rerun", "4", "--only", "third", "--json"]).run();
    assert_eq!(states(&only), "first disabled, second disabled, third succeeded, beside disabled");
    assert_eq!(stage.read("order"), "first\nsecond one\nthird\nthird\n");

    assert_eq!(stage.show(1), failed, "the origin never changes");
    stage.verify();
}

#[test]
fn a_rerun_takes_the_text_that_ran_unless_the_newest_is_asked_for() {
    let stage = Stage::new();
    let file = flow(
        &stage,
        "text",
        "jobs: { a: { uses: command, with: { script: 'echo old; exit 1' } } }\n",
    );
    assert_eq!(stage.run(&file, &[])["state"], "failed");
    flow(&stage, "text", "jobs: { a: { uses: command, with: { script: 'echo new' } } }\n");
    let same = stage.weir(&["rerun", "1", "--from-failed", "--json"]).run();
    assert_eq!(same["state"], "failed");
    let newest = stage.weir(&["rerun", "1", "--from-failed", "--latest", "--json"]).run();
    assert_eq!(newest["state"], "succeeded");
    assert_ne!(newest["version"], same["version"]);
    let shown = preview(&stage, &["--from-failed", "--latest"]);
    assert_ne!(shown["version"], shown["origin_version"], "{shown:#}");
}

#[test]
fn of_a_foreach_only_the_items_that_failed_run_again() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "each",
        "jobs:
  each:
    foreach: [a, b, c]
    uses: command
    with: { script: 'echo {{ item }} >>DIR/order; [ {{ item }} != b ] || [ -e DIR/fine ]; echo out={{ item }} >$WEIR_OUTPUT' }
  sum: { needs: [each], uses: command, with: { script: \"echo {{ jobs.each.outputs | map(attribute='out') | join('+') }}\" } }
",
    );
    let run = stage.run(&flow, &["-q"]);
    assert_eq!(run["state"], "failed", "{run:#}");
    stage.write("fine", "");
    fs::remove_file(stage.path().join("order")).expect("removed");
    let again = stage.weir(&["rerun", "1", "--from-failed", "--json"]).run();
    assert_eq!(
        states(&again),
        "each succeeded, each[0] reused, each[1] succeeded, each[2] reused, sum succeeded",
        "{again:#}"
    );
    assert_eq!(stage.read("order"), "b\n");
    assert!(stage.weir(&["logs", "2", "sum"]).out.contains("a+b+c"));
    stage.verify();
}

#[test]
fn a_flow_runs_another_and_takes_its_outputs() {
    let stage = Stage::new();
    flow(
        &stage,
        "inner",
        "params: { who: { type: string } }
jobs: { greet: { uses: command, with: { script: 'echo text=hello-{{ params.who }} >$WEIR_OUTPUT; [ {{ params.who }} != nobody ]' } } }
",
    );
    let outer = flow(
        &stage,
        "outer",
        "params: { who: { type: string, default: you } }
jobs:
  call: { uses: flow, with: { flow: inner, params: { who: '{{ params.who }}' } } }
  use: { needs: [call], uses: command, with: { script: 'echo {{ jobs.call.outputs.greet.text }}' } }
",
    );
    let run = stage.run(&outer, &[]);
    assert_eq!(states(&run), "call succeeded, use succeeded", "{run:#}");
    assert_eq!(stage.weir(&["logs", "1", "use"]).out, "hello-you\n");
    assert!(!stage.show(2)["parent"].is_null());
    let failed = stage.run(&outer, &["-p", "who=nobody"]);
    assert_eq!(states(&failed), "call failed, use skipped", "{failed:#}");
    stage.verify();
}

#[test]
fn a_failure_does_to_the_rest_what_the_flow_says() {
    let policies = [
        (
            "finish-running",
            "fails failed, slow succeeded, below skipped, after cancelled, always succeeded",
        ),
        (
            "cancel",
            "fails failed, slow cancelled, below skipped, after cancelled, always succeeded",
        ),
        (
            "finish-possible",
            "fails failed, slow succeeded, below skipped, after succeeded, always succeeded",
        ),
    ];
    for (policy, expected) in policies {
        let stage = Stage::new();
        let flow = flow(
            &stage,
            "fails",
            &format!(
                "on-failure: {policy}
jobs:
  fails: {{ uses: command, with: {{ script: 'until [ -e DIR/slow ]; do sleep 0.01; done; exit 1' }} }}
  slow: {{ uses: command, with: {{ script: 'touch DIR/slow; until [ -e DIR/go ]; do sleep 0.01; done' }} }}
  below: {{ needs: [fails], uses: noop }}
  after: {{ needs: [slow], uses: noop }}
  always: {{ needs: [fails], after: all-done, uses: command, with: {{ script: touch DIR/go }} }}
"
            ),
        );
        let run = stage.run(&flow, &[]);
        assert_eq!(
            (run["state"].as_str(), states(&run).as_str()),
            (Some("failed"), expected),
            "{policy}: {run:#}"
        );
        stage.verify();
    }
}

#[test]
fn a_paused_run_starts_nothing_until_it_is_resumed() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "halt",
        "jobs:
  a: { uses: command, with: { script: 'touch DIR/began; until [ -e DIR/go ]; do sleep 0.01; done' } }
  b: { needs: [a], uses: noop }
",
    );
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun").to_string();
    until("it runs", || stage.path().join("began").exists().then_some(()));
    let paused = stage.weir(&["pause", &run]);
    assert_eq!(paused.code, 0, "{}{}", paused.out, paused.err);
    stage.write("go", "");
    let shown = until("a has ended", || {
        let shown = stage.show(1);
        (shown["tasks"][0]["state"] == "succeeded").then_some(shown)
    });
    assert_eq!(
        (shown["state"].as_str(), states(&shown).contains("b succeeded")),
        (Some("paused"), false),
        "{shown:#}"
    );
    // It stays so over a restart.
    server.stop();
    let server = stage.serve();
    assert_eq!(stage.show(1)["state"], "paused");
    assert_eq!(stage.weir(&["resume", &run]).code, 0);
    assert_eq!(states(&stage.show(1)), "a succeeded, b succeeded");
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}
