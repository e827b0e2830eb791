//! Signals.

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::stage::Stage;

const LONG: &str = "jobs:\n  work: { uses: command, with: { script: 'echo begun; sleep 600' } }\n";

/// Ignores TERM, and takes its time.
const STUBBORN: &str = "jobs:\n  work:\n    uses: command\n    grace: 1h\n    with: { script: \"trap '' TERM; echo begun; until [ -e go ]; do sleep 0.05; done\" }\n";

#[test]
fn ctrl_c_cancels_and_waits() {
    let stage = Stage::with("long", LONG);
    let mut run = stage.start("run long.flow.yaml");
    stage.begun(&mut run).signal(Signal::INT);
    let said = run.end();
    assert_eq!(said.code, Some(3), "{said:?}");
    // Whether the signal is known depends on who is quicker: the shell or its child.
    assert_snapshot!("once", said.told().replace(": ended by SIGTERM (15)", ""));
    assert_eq!(stage.show(1)["state"], "cancelled");
}

#[test]
fn a_second_ctrl_c_leaves_the_run_and_it_can_be_attached_again() {
    let stage = Stage::with("stubborn", STUBBORN);
    let mut run = stage.start("run stubborn.flow.yaml");
    stage.begun(&mut run).signal(Signal::INT).wait_for("is being cancelled");
    run.wait_for("run: cancelling").signal(Signal::INT);
    let said = run.end();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_snapshot!("twice", said.told());
    assert_eq!(stage.show(1)["state"], "cancelling");
    stage.file("go", "");
    let said = stage.weir("show 1 --watch -q");
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(stage.show(1)["state"], "cancelled");
}

#[test]
fn terminate_leaves_the_job_at_work() {
    let stage = Stage::with("stubborn", STUBBORN);
    let mut run = stage.start("run stubborn.flow.yaml");
    stage.begun(&mut run).signal(Signal::TERM);
    assert_eq!(run.end().code, Some(3));
    assert_eq!(stage.show(1)["state"], "running");
    stage.file("go", "");
    assert_eq!(stage.weir("show 1 --watch -q").code, Some(0));
    assert_eq!(stage.show(1)["tasks"][0]["attempts"].as_array().map(Vec::len), Some(1));
}
