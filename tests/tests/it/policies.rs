//! Which runs may move at the same time, and what becomes of one more.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_tests::{Server, Stage, states, until};

/// A flow of one job that works until the file `go.N` is there, `N` being its parameter `n`.
fn waiting(stage: &Stage, name: &str, policy: &str) -> PathBuf {
    let dir = stage.path().display();
    stage.flow(
        name,
        &format!(
            "params: {{ n: {{ type: integer }}, key: {{ type: string, default: x }} }}
concurrency: {policy}
jobs:
  a: {{ uses: command, with: {{ script: 'until [ -e {dir}/go.{{{{ params.n }}}} ]; do sleep 0.02; done' }} }}
"
        ),
    )
}

/// Begins run number `n` of a flow, and returns when it is in that state.
fn begin(stage: &Stage, flow: &Path, n: i64, more: &[&str], state: &str) {
    let number = format!("n={n}");
    let flow = flow.to_str().expect("plain");
    let begun = stage.weir(&[&["run", flow, "--detach", "-q", "-p", &number], more].concat());
    assert_eq!((begun.code, begun.out.trim()), (0, n.to_string().as_str()), "{}", begun.err);
    is(stage, n, state);
}

/// Waits until a run is in a state.
fn is(stage: &Stage, run: i64, state: &str) -> Value {
    until(&format!("run {run} is {state}"), || {
        Some(stage.show(run)).filter(|shown| shown["state"] == state)
    })
}

fn end(stage: &Stage, server: Server) {
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn one_more_is_skipped() {
    let stage = Stage::new();
    let flow = waiting(&stage, "skip", "{ policy: skip, limit: 1 }");
    let server = stage.serve();
    begin(&stage, &flow, 1, &[], "running");
    begin(&stage, &flow, 2, &[], "cancelled");
    let reason = stage.show(2)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("concurrency policy is `skip`"), "{reason}");
    // The command that begins one and stays says so, too.
    let told = stage.weir(&["run", flow.to_str().expect("plain"), "-p", "n=3"]);
    assert_eq!(told.code, 3, "{}{}", told.out, told.err);
    assert!(told.err.contains("`skip`"), "{}", told.err);
    stage.write("go.1", "");
    is(&stage, 1, "succeeded");
    stage.write("go.4", "");
    begin(&stage, &flow, 4, &[], "succeeded");
    end(&stage, server);
}

#[test]
fn one_more_takes_the_place_of_the_oldest() {
    let stage = Stage::new();
    let flow = waiting(&stage, "newest", "{ policy: cancel-running, limit: 2 }");
    let server = stage.serve();
    begin(&stage, &flow, 1, &[], "running");
    begin(&stage, &flow, 2, &[], "running");
    begin(&stage, &flow, 3, &[], "running");
    assert_eq!(states(&is(&stage, 1, "cancelled")), "a cancelled");
    assert_eq!(stage.show(2)["state"], "running");
    stage.write("go.2", "");
    stage.write("go.3", "");
    for run in [2, 3] {
        is(&stage, run, "succeeded");
    }
    end(&stage, server);
}

#[test]
fn runs_go_side_by_side_and_runs_with_another_key_are_counted_apart() {
    let stage = Stage::new();
    let side_by_side = waiting(&stage, "parallel", "{ policy: parallel }");
    let by_key = waiting(&stage, "key", "{ policy: queue, limit: 1, key: '{{ params.key }}' }");
    let server = stage.serve();
    for n in 1..=3 {
        begin(&stage, &side_by_side, n, &["-p", "key=one"], "running");
    }
    begin(&stage, &by_key, 4, &["-p", "key=one"], "running");
    begin(&stage, &by_key, 5, &["-p", "key=two"], "running");
    begin(&stage, &by_key, 6, &["-p", "key=one"], "queued");
    stage.write("go.5", "");
    is(&stage, 5, "succeeded");
    assert_eq!(stage.show(6)["state"], "queued", "another key frees nothing");
    stage.write("go.4", "");
    is(&stage, 6, "running");
    for n in [1, 2, 3, 6] {
        stage.write(&format!("go.{n}"), "");
        is(&stage, n, "succeeded");
    }
    end(&stage, server);
}

#[test]
fn in_a_pipeline_each_job_waits_for_the_run_before() {
    let stage = Stage::new();
    let dir = stage.path().display();
    let flow = stage.flow(
        "pipeline",
        &format!(
            "params: {{ n: {{ type: integer }} }}
concurrency: {{ policy: pipeline }}
jobs:
  first: {{ uses: command, with: {{ script: 'echo first {{{{ params.n }}}} >>{dir}/order' }} }}
  second:
    needs: [first]
    uses: command
    with: {{ script: 'until [ -e {dir}/go.{{{{ params.n }}}} ]; do sleep 0.02; done; echo second {{{{ params.n }}}} >>{dir}/order' }}
"
        ),
    );
    let server = stage.serve();
    begin(&stage, &flow, 1, &[], "running");
    begin(&stage, &flow, 2, &[], "running");
    // The job that the first has done goes on; the one that the first is at waits, and says why.
    let waits = until("the second waits", || {
        let shown = stage.show(2);
        let second = shown["tasks"][1].clone();
        (second["state"] == "ready").then_some(second)
    });
    assert_eq!(waits["reason"], "run 1 has not ended this job (pipeline)");
    stage.write("go.2", "");
    stage.write("go.1", "");
    is(&stage, 2, "succeeded");
    assert_eq!(stage.read("order"), "first 1\nfirst 2\nsecond 1\nsecond 2\n");
    end(&stage, server);
}

#[test]
fn a_child_that_needs_a_lock_of_its_parent_fails_and_says_why() {
    let stage = Stage::new();
    stage.write("project.yaml", "name: locks\n");
    stage.flow("whole", "locks: [thing]\njobs: { x: { uses: noop } }\n");
    stage
        .flow("part", "jobs: { x: { uses: command, locks: [thing], with: { script: 'true' } } }\n");
    let parent = stage.flow(
        "parent",
        "locks: [thing]
jobs:
  whole: { uses: flow, allow-failure: true, with: { flow: whole } }
  part: { needs: [whole], uses: flow, with: { flow: part } }
",
    );
    // Their names are known once they were checked or run.
    let run = stage.run(&parent, &[]);
    assert_eq!(states(&run), "whole failed, part failed", "{run:#}");
    let why = |at: usize| run["tasks"][at]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(
        why(0).contains("run 2 needs the lock `thing`, which run 1 holds until `whole` has ended"),
        "{}",
        why(0)
    );
    assert_eq!(why(1), "run 3 of flow part failed: x");
    let child = stage.show(3);
    let reason = child["tasks"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("run 3 needs the lock `thing`, which run 1 holds until `part` has ended"),
        "{reason}"
    );
    stage.verify();
}
