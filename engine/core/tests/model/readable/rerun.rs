//! What a rerun takes over, and what runs again.

use std::sync::Arc;

use weir_core::ids::{RunId, TaskIx};
use weir_core::run::{From, Origin, OriginTask, Out, Run, Start, TaskState, plan_rerun};
use weir_core::time::Timestamp;

use crate::notation::Sketch;
use crate::play::{check_started, same_text};

const FLOW: &str = "a -> b -> c; d -> g{x -> y; z} -> e; b -> n[after=one-failed]";

/// Plans a rerun of a run that ended so (`a succeeded, b failed`).
fn plan(flow: &str, ended: &str, from: &From) -> Result<(Start, String), Vec<String>> {
    let sketch = Sketch::new(flow);
    let mut origin = Origin::default();
    for part in ended.split(", ") {
        let (path, state) = part.split_once(' ').expect("a path and a state");
        let mut states = (10..19).filter_map(|code| TaskState::from_code(code, 0));
        let state = states.find(|other| other.name() == state).expect("a final state");
        origin.tasks.insert(path.to_owned(), OriginTask { state, item: None });
    }
    let path_of = |run: &Run, task: TaskIx| sketch.path(run, task);
    let (start, preview) = plan_rerun(&sketch.graph, &path_of, &origin, from)?;
    let lines = preview.lines.iter();
    let lines = lines.map(|line| format!("{} {:?}: {}", line.path, line.will, line.reason));
    Ok((start, lines.collect::<Vec<_>>().join("\n")))
}

#[track_caller]
fn check(ended: &str, from: &From, expect: &str) {
    check_flow(FLOW, ended, from, expect);
}

#[track_caller]
fn check_flow(flow: &str, ended: &str, from: &From, expect: &str) {
    let (start, preview) = plan(flow, ended, from).expect("the jobs are there");
    let sketch = Sketch::new(flow);
    let mut out = Out::default();
    let now = Timestamp::ZERO;
    let run = Run::new(RunId(1), Arc::clone(&sketch.graph), &start, now, now, &mut out);
    let mut states: Vec<String> = Vec::new();
    for ix in 0..run.tasks().len() as u32 {
        let state = run.tasks()[ix as usize].state;
        if state != TaskState::Waiting {
            states.push(format!("{} {}", sketch.path(&run, TaskIx(ix)), state.name()));
        }
    }
    same_text(&format!("{preview}\nbegins: {}", states.join(", ")), expect);
}

const BAD: &str = "a succeeded, b failed, c skipped, n succeeded, d succeeded, g succeeded, g/x succeeded, g/y already-done, g/z skipped, e reused";

#[test]
fn from_what_failed() {
    check(
        BAD,
        &From::Failed,
        "
            a Reuse: it succeeded
            b Run: it failed
            c Run: it was skipped
            d Reuse: it succeeded
            g Reuse: it succeeded
            e Reuse: it was reused
            n Run: it succeeded before and runs again
            g/x Reuse: it succeeded
            g/y Reuse: it was already done
            g/z Skip: it was skipped
            begins: a reused, d reused, g reused, e reused, g/x reused, g/y reused, g/z skipped
        ",
    );
}

#[test]
fn from_what_failed_in_a_group() {
    check(
        "a succeeded, b succeeded, c succeeded, n skipped, d succeeded, g failed, g/x failed, g/y skipped, g/z succeeded, e cancelled",
        &From::Failed,
        "
            a Reuse: it succeeded
            b Reuse: it succeeded
            c Reuse: it succeeded
            d Reuse: it succeeded
            g Run: it failed
            e Run: it was cancelled
            n Skip: it was skipped
            g/x Run: it failed
            g/y Run: it was skipped
            g/z Reuse: it succeeded
            begins: a reused, b reused, c reused, d reused, n skipped, g/z reused
        ",
    );
}

#[test]
fn from_a_job() {
    check(
        BAD,
        &From::Job("d".to_owned()),
        "
            a Reuse: it succeeded
            b Skip: it failed, and is not below what runs again
            c Skip: it was skipped
            d Run: it succeeded before and runs again
            g Run: it succeeded before and runs again
            e Run: it was reused
            n Reuse: it succeeded
            g/x Run: it succeeded before and runs again
            g/y Run: it was already done
            g/z Run: it was skipped
            begins: a reused, b disabled, c skipped, n reused
        ",
    );
}

#[test]
fn from_a_job_of_a_group() {
    check(
        BAD,
        &From::Job("g/x".to_owned()),
        "
            a Reuse: it succeeded
            b Skip: it failed, and is not below what runs again
            c Skip: it was skipped
            d Reuse: it succeeded
            g Run: it succeeded before and runs again
            e Run: it was reused
            n Reuse: it succeeded
            g/x Run: it succeeded before and runs again
            g/y Run: it was already done
            g/z Skip: it was skipped
            begins: a reused, b disabled, c skipped, d reused, n reused, g/z skipped
        ",
    );
}

#[test]
fn only_a_job_of_a_group() {
    check(BAD, &From::Only(vec!["g/x".to_owned(), "c".to_owned()]), "
            a Skip: it was not chosen
            b Skip: it was not chosen
            c Run: it was skipped
            d Skip: it was not chosen
            g Run: it succeeded before and runs again
            e Skip: it was not chosen
            n Skip: it was not chosen
            g/x Run: it succeeded before and runs again
            g/y Skip: it was not chosen
            g/z Skip: it was not chosen
            begins: a disabled, b disabled, d disabled, e disabled, n disabled, g/y disabled, g/z disabled
        ");
}

#[test]
fn only_a_group() {
    check(
        BAD,
        &From::Only(vec!["g".to_owned()]),
        "
            a Skip: it was not chosen
            b Skip: it was not chosen
            c Skip: it was not chosen
            d Skip: it was not chosen
            g Run: it succeeded before and runs again
            e Skip: it was not chosen
            n Skip: it was not chosen
            g/x Run: it succeeded before and runs again
            g/y Run: it was already done
            g/z Run: it was skipped
            begins: a disabled, b disabled, c disabled, d disabled, e disabled, n disabled
        ",
    );
}

#[test]
fn everything() {
    check(
        BAD,
        &From::All,
        "
            a Run: it succeeded before and runs again
            b Run: it failed
            c Run: it was skipped
            d Run: it succeeded before and runs again
            g Run: it succeeded before and runs again
            e Run: it was reused
            n Run: it succeeded before and runs again
            g/x Run: it succeeded before and runs again
            g/y Run: it was already done
            g/z Run: it was skipped
            begins:
        ",
    );
}

#[test]
fn a_job_that_is_not_there() {
    let unknown = From::Only(vec!["g/x".to_owned(), "nope".to_owned(), "g/nope".to_owned()]);
    let mistakes = plan(FLOW, BAD, &unknown).expect_err("two are not there");
    same_text(
        &mistakes.join("\n"),
        "
            there is no job `nope` in this flow version
            there is no job `g/nope` in this flow version
        ",
    );
}

#[test]
fn what_destroys_is_unsafe() {
    check_flow(
        "a[destroys] -> b[check] -> c -> d",
        "a failed, b succeeded, c lost",
        &From::Failed,
        "
            a Unsafe: it destroys, and asks for its words again
            b Run: it succeeded
            c Run: it was lost before and runs again
            d Run: it was not there before
            begins:
        ",
    );
}

#[test]
fn a_list_runs_again_and_its_items_decide() {
    check_flow(
        "a -> f*? -> b",
        "a succeeded, f failed, b cancelled",
        &From::Failed,
        "
            a Reuse: it succeeded
            f Run: it failed
            b Run: it was cancelled
            begins: a reused
        ",
    );
}

#[test]
fn a_skip_is_taken_over_and_stays_a_skip() {
    check_started(
        "a -> b; a -> s -> t; s -> u[after=none-failed]",
        &Start { reused: vec![0], skipped: vec![2], ..Start::default() },
        "b done; u done; states",
        "
            t skipped (something it needs was skipped), run running, launch b, launch u
            b succeeded
            u succeeded, run succeeded, close
            a reused, b succeeded, s skipped, t skipped, u succeeded, run succeeded
        ",
    );
}

#[test]
fn a_run_of_only_some_jobs() {
    check_started(
        "a -> g{x -> y} -> b",
        &Start { disabled: vec![0, 2, 4], ..Start::default() },
        "g/x done; states",
        "
            g running, run running, launch g/x
            g/x succeeded, g succeeded, run succeeded, close
            a disabled, g succeeded, b disabled, g/x succeeded, g/y disabled, run succeeded
        ",
    );
}

#[test]
fn a_run_in_which_nothing_is_left_to_do() {
    check_started(
        "a -> g{x}; on-exit: e",
        &Start { reused: vec![0, 1], ..Start::default() },
        "e done",
        "
            run running, launch e
            e succeeded, run succeeded, close
        ",
    );
}
