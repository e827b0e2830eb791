//! What a person does to a run: approve, reject, skip, mark, pause, cancel.

use insta::assert_snapshot;

use crate::stage::Stage;

const GATE: &str = "
jobs:
  before: { uses: noop }
  gate:
    needs: [before]
    uses: approve
    with:
      message: Publish?
      form: { hosts: { type: integer, min: 1 } }
  after: { needs: [gate], uses: command, with: { script: 'echo on {{ jobs.gate.outputs.hosts }} hosts' } }
";

#[test]
fn a_question_ends_the_command_with_4_and_its_answer_moves_the_run_on() {
    let stage = Stage::with("gate", GATE);
    assert_snapshot!("asks", stage.weir("run gate.flow.yaml").told());
    assert_snapshot!("wrong_answer", stage.weir("approve 1 gate -v hosts=none").told());
    assert_snapshot!("answered", stage.weir("approve 1 gate -v hosts=3").told());
    assert_eq!(stage.weir("logs 1 after").out, "on 3 hosts\n");
    assert_snapshot!("answered_twice", stage.weir("approve 1 gate -v hosts=3").told());
}

#[test]
fn a_no_fails_the_run() {
    let stage = Stage::with("gate", GATE);
    stage.weir("run gate.flow.yaml -q");
    assert_eq!(stage.weir("reject 1 gate -q").code, Some(1));
    assert_eq!(stage.show(1)["tasks"][1]["state"], "failed");
}

#[test]
fn tasks_are_left_out_or_marked() {
    for (verb, state, code) in
        [("skip", "disabled", 0), ("succeed", "succeeded", 0), ("fail", "failed", 1)]
    {
        let stage = Stage::with(
            "gate",
            "jobs:\n  gate: { uses: approve, with: { message: 'Go?' } }\n  after: { needs: [gate], uses: noop }\n",
        );
        assert_eq!(stage.weir("run gate.flow.yaml -q").code, Some(4));
        let said = stage.weir(&format!("{verb} 1 gate -q"));
        assert_eq!(said.code, Some(code), "{verb}: {said:?}");
        assert_eq!(stage.show(1)["tasks"][0]["state"], state, "{verb}");
    }
}

#[test]
fn a_run_that_asks_can_be_cancelled() {
    let stage = Stage::with("gate", GATE);
    stage.weir("run gate.flow.yaml -q");
    assert_snapshot!("cancelled", stage.weir("cancel 1").told());
    assert_eq!(stage.show(1)["state"], "cancelled");
    let said = stage.weir("cancel 1");
    assert_eq!(said.code, Some(2));
    assert_snapshot!("cancelled_twice", said.told());
}

#[test]
fn what_is_not_there_is_a_wrong_call() {
    let stage = Stage::with("gate", GATE);
    stage.weir("run gate.flow.yaml -q");
    for args in [
        "show 9",
        "events 9",
        "logs 9",
        "cancel 9",
        "approve 9 gate",
        "approve 1 gaet",
        "logs 1 after",
        "logs 1 gaet",
        "rerun 9 --all --preview",
    ] {
        let said = stage.weir(args);
        assert_eq!(said.code, Some(2), "{args}: {said:?}");
        assert!(said.err.starts_with("error: "), "{args}: {said:?}");
        assert_eq!(said.out, "", "{args}");
    }
}

#[test]
fn retry_now_does_not_wait_for_the_delay() {
    let stage = Stage::with(
        "again",
        "jobs:\n  a:\n    uses: command\n    with: { script: '[ \"$WEIR_ATTEMPT_NUMBER\" -gt 1 ]' }\n    retry: { attempts: 2, delay: 1h, jitter: 0 }\n",
    );
    let mut run = stage.start("run again.flow.yaml");
    run.wait_for("retrying");
    assert_eq!(stage.weir("retry 1 a").out, "`a` of run 1 is tried again\n");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_paused_run_goes_on_when_it_is_resumed() {
    let stage = Stage::with(
        "slow",
        "jobs:\n  a: { uses: command, with: { script: 'until [ -e go ]; do sleep 0.05; done' } }\n  b: { needs: [a], uses: noop }\n",
    );
    let mut run = stage.start("run slow.flow.yaml");
    run.wait_for("a: running");
    assert_eq!(
        stage.weir("pause 1").out,
        "run 1 is paused: what works goes on, nothing new starts\n"
    );
    stage.file("go", "");
    run.wait_for("a: succeeded");
    assert_eq!(stage.show(1)["state"], "paused");
    assert_eq!(stage.weir("resume 1").out, "run 1 goes on\n");
    assert_eq!(run.end().code, Some(0));
}
