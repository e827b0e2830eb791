//! Cancel and kill, at every state of a task.

use crate::play::check;

#[test]
fn cancel_what_runs_and_waits() {
    check(
        "a -> b; c",
        "cancel; a was-cancelled; c done",
        "
            run running, launch a, launch c
            b cancelled (the run was cancelled), run cancelling, stop a for Run, stop c for Run
            a cancelled (the run was cancelled)
            c cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn cancel_twice() {
    check(
        "a",
        "cancel; cancel; a was-cancelled; cancel",
        "
            run running, launch a
            run cancelling, stop a for Run
            ignored: it is so already
            a cancelled (the run was cancelled), run cancelled, close
            ignored: the run has already ended
        ",
    );
}

#[test]
fn kill_outweighs_cancel() {
    check(
        "a; b",
        "cancel; a was-cancelled; kill; b was-cancelled",
        "
            run running, launch a, launch b
            run cancelling, stop a for Run, stop b for Run
            a cancelled (the run was cancelled)
            stop b for Kill
            b cancelled (the run was killed), run cancelled, close
        ",
    );
}

#[test]
fn cancel_does_not_outweigh_kill() {
    check(
        "a",
        "kill; cancel; a was-cancelled",
        "
            run running, launch a
            run cancelling, stop a for Kill
            ignored: it is so already
            a cancelled (the run was killed), run cancelled, close
        ",
    );
}

#[test]
fn cancel_what_is_ready() {
    check(
        "a",
        "queued; no slots; open; cancel; slots",
        "
            -
            a ready, run running
            a cancelled (the run was cancelled), run cancelled, close
            -
        ",
    );
}

#[test]
fn cancel_what_is_decided() {
    check(
        "a[decide]",
        "cancel; a go",
        "
            run running, decide a
            a cancelled (the run was cancelled), run cancelled, close
            ignored: the run has already ended
        ",
    );
}

#[test]
fn cancel_what_is_counted() {
    check(
        "f*?",
        "cancel; f items 3",
        "
            run running, expand f
            f cancelled (the run was cancelled), run cancelled, close
            ignored: the run has already ended
        ",
    );
}

#[test]
fn cancel_what_waits_to_be_tried_again() {
    check(
        "a[retry=2]",
        "a fails; cancel",
        "
            run running, launch a
            a retrying in 10s
            a cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn cancel_what_asks() {
    check(
        "a; b[asks]",
        "a asks; cancel",
        "
            b asks for approval, run running, launch a
            a asks for a judgement, run asking
            a cancelled (the run was cancelled), b cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn cancel_what_is_unreachable() {
    check(
        "a",
        "a starts; a unreached; cancel; a starts; a was-cancelled",
        "
            run running, launch a
            a running
            a unreachable
            run cancelling, stop a for Run
            ignored: it is so already
            a cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn what_does_not_end_is_told_and_a_kill_gives_up_on_it() {
    check(
        "a -> b",
        "a not-ended; a starts; cancel; a not-ended; kill; a not-ended; a fails lost; a not-ended",
        "
            run running, launch a
            ignored: it is so already
            a running
            b cancelled (the run was cancelled), run cancelling, stop a for Run
            a does not end
            stop a for Kill
            a does not end
            a cancelled (the run was killed), run cancelled, close
            ignored: the run has already ended
        ",
    );
}

#[test]
fn cancel_what_is_being_cured() {
    check(
        "a -> b; cure a: fix -> probe then retry",
        "a fails cure 0; cancel; a#1 fails; a!fix was-cancelled",
        "
            run running, launch a
            a recovering, launch a!fix
            a!probe cancelled (the run was cancelled), b cancelled (the run was cancelled), run cancelling, stop a!fix for Run
            ignored: this is about an earlier attempt
            a!fix cancelled (the run was cancelled), a cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn a_lost_attempt_that_was_cancelled_is_cancelled() {
    check(
        "a[retry=3]",
        "cancel; a fails lost",
        "
            run running, launch a
            run cancelling, stop a for Run
            a cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn an_ended_run_listens_to_nothing() {
    check(
        "a",
        "a done; cancel; kill; pause; skip a; a done; run due",
        "
            run running, launch a
            a succeeded, run succeeded, close
            ignored: the run has already ended
            ignored: the run has already ended
            ignored: the run has already ended
            ignored: the run has already ended
            ignored: the run has already ended
            ignored: the run has already ended
        ",
    );
}

#[test]
fn cancel_is_given_again_after_a_crash() {
    check(
        "a; b",
        "cancel; crash; a was-cancelled; crash; b was-cancelled",
        "
            run running, launch a, launch b
            run cancelling, stop a for Run, stop b for Run
            stop a for Run, stop b for Run
            a cancelled (the run was cancelled)
            stop b for Run
            b cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn kill_during_recovery_reaches_the_cure() {
    check(
        "a; cure a: fix then retry",
        "a fails cure 0; cancel; kill; a!fix was-cancelled",
        "
            run running, launch a
            a recovering, launch a!fix
            run cancelling, stop a!fix for Run
            stop a!fix for Kill
            a!fix cancelled (the run was killed), a cancelled (the run was killed), run cancelled, close
        ",
    );
}

#[test]
fn a_group_that_is_ended_outweighs_the_time_of_an_attempt() {
    check(
        "g{x[timeout=5s retry=3]}[timeout=6s]",
        "after 5s; after 1s; g/x fails",
        "
            g running, run running, launch g/x
            stop g/x for Timeout
            stop g/x for Group
            g/x cancelled (the group it stands in was ended), g timed-out (it took longer than it may), run failed, close
        ",
    );
}

#[test]
fn a_cancel_lifts_the_pause_so_that_the_last_hook_runs() {
    check(
        "on-exit: e; a",
        "pause; cancel; pause; a was-cancelled; e done",
        "
            run running, launch a
            run paused
            run cancelling, stop a for Run
            ignored: the run is being ended
            a cancelled (the run was cancelled), launch e
            e succeeded, run cancelled, close
        ",
    );
}

#[test]
fn a_cancelled_run_says_so_when_its_last_hook_asks() {
    check(
        "on-exit: e[on-lost=ask]; a",
        "cancel; a was-cancelled; e fails lost; e retry; e done",
        "
            run running, launch a
            run cancelling, stop a for Run
            a cancelled (the run was cancelled), launch e
            e asks how it ended, run asking
            run cancelling, launch e#2
            e succeeded, run cancelled, close
        ",
    );
}
