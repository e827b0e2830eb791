//! Attempts, groups and runs that take too long, and late ones.

use crate::play::check;

#[test]
fn an_attempt_takes_too_long() {
    check(
        "a[timeout=5s] -> b",
        "after 5s; a fails",
        "
            run running, launch a
            stop a for Timeout
            a timed-out, b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn an_attempt_that_took_too_long_is_tried_again() {
    check(
        "a[timeout=5s retry=2 delay=1s]",
        "after 5s; a fails; after 1s; a starts; after 4s; a done",
        "
            run running, launch a
            stop a for Timeout
            a retrying in 1s
            launch a#2
            a running
            -
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_timer_of_an_old_attempt_does_nothing() {
    check(
        "a[timeout=5s retry=2 delay=1s]",
        "a fails; after 1s; after 4s; a due; a done",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            -
            ignored: its time has not come
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn unreachable_does_not_stop_the_clock() {
    check(
        "a[timeout=5s]",
        "a starts; a unreached; after 5s; a was-cancelled",
        "
            run running, launch a
            a running
            a unreachable
            stop a for Timeout
            a timed-out, run failed, close
        ",
    );
}

#[test]
fn the_run_takes_too_long() {
    check(
        "timeout: 10s; on-failure-hook: h; on-exit: e; a -> b; c[retry=2 delay=1h]",
        "c fails; after 10s; a was-cancelled; h done; e done",
        "
            run running, launch a, launch c
            c retrying in 5m
            b cancelled (the run took longer than it may), c cancelled (the run took longer than it may), run cancelling, stop a for RunTimeout
            a cancelled (the run took longer than it may), launch h
            h succeeded, launch e
            e succeeded, run failed, close
        ",
    );
}

#[test]
fn a_cancel_outweighs_the_time_of_an_attempt() {
    check(
        "a[timeout=5s retry=3]",
        "after 5s; cancel; a fails",
        "
            run running, launch a
            stop a for Timeout
            run cancelling, stop a for Run
            a cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn an_approval_takes_too_long() {
    check(
        "a[asks timeout=5s] -> b",
        "after 5s",
        "
            a asks for approval, run asking
            a timed-out (it took longer than it may), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_late_task_is_noted_once() {
    check(
        "a -> b[start-within=5s]",
        "after 5s; crash; after 1s; a done; b done",
        "
            run running, launch a
            b is late
            launch a
            -
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_late_task_is_cancelled() {
    check(
        "a[finish-within=5s cancel] -> b",
        "after 5s; a was-cancelled",
        "
            run running, launch a
            a is late, stop a for Late
            a cancelled (it was late), b skipped (something it needs failed), run cancelled, close
        ",
    );
}

#[test]
fn a_task_that_has_started_does_not_start_late() {
    check(
        "a[start-within=5s]",
        "after 5s; a done",
        "
            run running, launch a
            -
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_group_that_has_started_does_not_start_late() {
    check(
        "g{x}[start-within=5s]",
        "after 5s; g/x done",
        "
            g running, run running, launch g/x
            -
            g/x succeeded, g succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_late_run_is_noted() {
    check(
        "late: finish-within=5s; a",
        "after 5s; after 5s; a done",
        "
            run running, launch a
            run is late
            -
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_late_run_is_cancelled() {
    check(
        "late: finish-within=5s cancel; on-exit: e; a",
        "after 5s; a was-cancelled; e done",
        "
            run running, launch a
            run is late, run cancelling, stop a for RunTimeout
            a cancelled (the run took longer than it may), launch e
            e succeeded, run failed, close
        ",
    );
}

#[test]
fn a_run_that_starts_too_late_does_not_start() {
    check(
        "late: start-within=5s cancel; on-failure-hook: h; on-exit: e; a",
        "queued; after 5s",
        "
            run is late, a cancelled (the run took longer than it may), h skipped (this end of the run does not ask for it), e skipped (this end of the run does not ask for it), run failed, close
        ",
    );
}

#[test]
fn a_run_due_too_early_is_ignored() {
    check(
        "timeout: 10s; a",
        "run due; after 9s; run due; a done; run due",
        "
            run running, launch a
            ignored: its time has not come
            -
            ignored: its time has not come
            a succeeded, run succeeded, close
            ignored: the run has already ended
        ",
    );
}

#[test]
fn late_and_out_of_time_at_once() {
    check(
        "a[timeout=5s finish-within=5s]",
        "after 5s; a fails",
        "
            run running, launch a
            a is late, stop a for Timeout
            a timed-out, run failed, close
        ",
    );
}
