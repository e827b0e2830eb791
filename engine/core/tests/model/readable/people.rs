//! What people do to a run: pause, answer, skip, mark.

use crate::play::check;

#[test]
fn pause_starts_nothing_new() {
    check(
        "a -> b; c[asks]; d[retry=2 delay=5s]",
        "d fails; pause; pause; a done; after 5s; c approve; resume; after 1ms; d done; b done",
        "
            c asks for approval, run running, launch a, launch d
            d retrying in 5s
            run paused
            ignored: it is so already
            a succeeded, b ready
            -
            c succeeded (a person said so)
            run running, launch b
            launch d#2
            d succeeded
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn pause_holds_jobs_that_do_nothing() {
    check(
        "a -> b[instant] -> c",
        "pause; a done; resume; c done",
        "
            run running, launch a
            run paused
            a succeeded, b ready
            run running, b succeeded, launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn pause_while_a_job_waits_for_a_slot() {
    check(
        "a",
        "queued; no slots; open; pause; admit a; resume; admit a; a done",
        "
            -
            a ready, run running
            run paused
            ignored: the run is paused
            run running
            launch a
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn pause_holds_what_a_person_lets_go() {
    check(
        "a[decide destroys]",
        "a unconfirmed; pause; a approve; resume; a done",
        "
            run running, decide a
            a asks to confirm, run asking
            run paused
            a ready
            run running, launch a
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_paused_run_can_be_cancelled() {
    check(
        "a -> b; c",
        "pause; cancel; a was-cancelled; c was-cancelled",
        "
            run running, launch a, launch c
            run paused
            b cancelled (the run was cancelled), run cancelling, stop a for Run, stop c for Run
            a cancelled (the run was cancelled)
            c cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn a_paused_run_stays_so_after_a_crash() {
    check(
        "a -> b",
        "pause; a done; crash; resume; b done",
        "
            run running, launch a
            run paused
            a succeeded, b ready
            -
            run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_paused_run_times_out_what_runs() {
    check(
        "a[timeout=5s]",
        "pause; after 5s; a fails",
        "
            run running, launch a
            run paused
            stop a for Timeout
            a timed-out, run failed, close
        ",
    );
}

#[test]
fn a_retry_begun_while_paused_wakes_on_resume() {
    check(
        "a[retry=2 delay=5s]",
        "pause; a fails; after 10s; resume; after 1ms; a done",
        "
            run running, launch a
            run paused
            a retrying in 5s
            -
            run running
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn approval() {
    check(
        "a[asks] -> b",
        "why a; a approve; b done",
        "
            a asks for approval, run asking
            a waits for a person: for approval for 0
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn approval_refused() {
    check(
        "a[asks] -> b",
        "a reject",
        "
            a asks for approval, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn an_approval_can_not_be_tried_again() {
    check(
        "a[asks]",
        "a retry; retry a; a continue",
        "
            a asks for approval, run asking
            ignored: that does not fit what the task is doing
            ignored: that does not fit what the task is doing
            a succeeded (a person said so), run succeeded, close
        ",
    );
}

#[test]
fn a_run_asks_only_when_nothing_moves() {
    check(
        "a[asks]; b",
        "b done; a approve",
        "
            a asks for approval, run running, launch b
            b succeeded, run asking
            a succeeded (a person said so), run succeeded, close
        ",
    );
}

#[test]
fn a_run_asks_again_after_another_job() {
    check(
        "a[asks]; b -> c[asks]",
        "b done; a approve; c approve",
        "
            a asks for approval, run running, launch b
            b succeeded, c asks for approval, run asking
            a succeeded (a person said so)
            c succeeded (a person said so), run succeeded, close
        ",
    );
}

#[test]
fn what_destroys_is_confirmed() {
    check(
        "a[decide destroys] -> b",
        "a unconfirmed; a continue; a retry; a approve; a done; b done",
        "
            run running, decide a
            a asks to confirm, run asking
            ignored: that does not fit what the task is doing
            ignored: that does not fit what the task is doing
            run running, launch a
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn what_destroys_is_not_confirmed() {
    check(
        "a[decide destroys] -> b",
        "a unconfirmed; a reject",
        "
            run running, decide a
            a asks to confirm, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_list_that_was_confirmed_is_not_asked_again_after_a_crash() {
    check(
        "f*?[decide]",
        "f unconfirmed; f approve; crash; f items 1; f[0] done",
        "
            run running, decide f
            f asks to confirm, run asking
            run running, expand f
            expand f
            f running, launch f[0]
            f[0] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_finding_is_judged_good() {
    check(
        "a -> b",
        "a asks; a approve; b done",
        "
            run running, launch a
            a asks for a judgement, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_finding_is_judged_bad() {
    check(
        "a -> b",
        "a asks; a reject",
        "
            run running, launch a
            a asks for a judgement, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_finding_is_looked_at_again() {
    check(
        "a -> b",
        "a asks; a retry; a asks; a continue; b done",
        "
            run running, launch a
            a asks for a judgement, run asking
            run running, launch a#2
            a asks for a judgement, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn skip_what_waits() {
    check(
        "a -> b -> c",
        "skip b; skip b; a done; c done",
        "
            run running, launch a
            b disabled (a person said so), launch c
            ignored: the task has already ended
            a succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn succeed_what_waits() {
    check(
        "a -> b -> c",
        "succeed b; a done; c done",
        "
            run running, launch a
            b succeeded (a person said so), launch c
            a succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn fail_what_waits() {
    check(
        "a -> b -> c",
        "fail c; a done",
        "
            run running, launch a
            c failed (a person said so), b cancelled (the run is failing, and nothing new starts), run failing
            a succeeded, run failed, close
        ",
    );
}

#[test]
fn skip_what_is_at_work() {
    check(
        "a",
        "skip a; succeed a; fail a; retry a; a done",
        "
            run running, launch a
            ignored: the task is at work: cancel the run first
            ignored: the task is at work: cancel the run first
            ignored: the task is at work: cancel the run first
            ignored: the task is at work: cancel the run first
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn skip_what_waits_to_be_tried_again() {
    check(
        "a[retry=3] -> b",
        "a fails; skip a; b done",
        "
            run running, launch a
            a retrying in 10s
            a disabled (a person said so), launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn succeed_what_asks() {
    check(
        "a -> b",
        "a asks; succeed a; b done",
        "
            run running, launch a
            a asks for a judgement, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn fail_what_is_ready() {
    check(
        "a -> b",
        "queued; no slots; open; fail a; slots",
        "
            -
            a ready, run running
            a failed (a person said so), b skipped (something it needs failed), run failed, close
            -
        ",
    );
}

#[test]
fn mark_before_the_run_begins() {
    check(
        "a -> b",
        "queued; skip a; open; b done",
        "
            a disabled (a person said so)
            run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn fail_before_the_run_begins() {
    check(
        "a; b",
        "queued; fail a; open",
        "
            a failed (a person said so), b cancelled (the run is failing, and nothing new starts)
            run failed, close
        ",
    );
}

#[test]
fn skip_a_decision() {
    check(
        "a[decide] -> b",
        "skip a; a go; b done",
        "
            run running, decide a
            a disabled (a person said so), launch b
            ignored: the task has already ended
            b succeeded, run succeeded, close
        ",
    );
}
