//! Jobs that hold jobs.

use crate::play::check;

#[test]
fn a_group_runs_its_jobs_then_what_needs_it() {
    check(
        "a -> g{x -> y; z} -> b",
        "a done; g/x done; g/z done; g/y done; b done",
        "
            run running, launch a
            a succeeded, g running, launch g/x, launch g/z
            g/x succeeded, launch g/y
            g/z succeeded
            g/y succeeded, g succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_failure_in_a_group_fails_it() {
    check(
        "g{x -> y; z} -> b; c",
        "g/x fails; g/z done; c done",
        "
            g running, run running, launch c, launch g/x, launch g/z
            g/x failed, g/y skipped (something it needs failed), b cancelled (the run is failing, and nothing new starts), run failing
            g/z succeeded, g failed (something in it failed)
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn a_group_may_finish_what_is_possible() {
    check(
        "on-failure: finish-possible; g{x -> y; z -> w} -> b",
        "g/x fails; g/z done; g/w done",
        "
            g running, run running, launch g/x, launch g/z
            g/x failed, g/y skipped (something it needs failed), run failing
            g/z succeeded, launch g/w
            g/w succeeded, g failed (something in it failed), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_group_whose_failure_is_allowed() {
    check(
        "g{x -> y; z}[allow-failure] -> b",
        "g/x fails; g/z done; b done",
        "
            g running, run running, launch g/x, launch g/z
            g/x failed, g/y skipped (something it needs failed)
            g/z succeeded, g failed (something in it failed), launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn an_allowed_failure_in_a_group() {
    check(
        "g{x[allow-failure] -> y}",
        "g/x fails; g/y done",
        "
            g running, run running, launch g/x
            g/x failed, launch g/y
            g/y succeeded, g succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_group_that_is_not_due_is_skipped_whole() {
    check(
        "g{x -> y}[decide] -> b",
        "g not-due",
        "
            run running, decide g
            g/x skipped (its condition `when` did not hold), g/y skipped (its condition `when` did not hold), g skipped (its condition `when` did not hold), b skipped (something it needs was skipped), run succeeded, close
        ",
    );
}

#[test]
fn a_group_of_skips_is_a_skip() {
    check(
        "g{x[decide]} -> b; g -> c[after=none-failed]",
        "g/x not-due; c done",
        "
            g running, run running, decide g/x
            g/x skipped (its condition `when` did not hold), g skipped (something it needs was skipped), b skipped (something it needs was skipped), launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_group_in_a_group() {
    check(
        "g{h{x -> y} -> z} -> b",
        "g/h/x done; g/h/y done; g/z done; b done",
        "
            g running, g/h running, run running, launch g/h/x
            g/h/x succeeded, launch g/h/y
            g/h/y succeeded, g/h succeeded, launch g/z
            g/z succeeded, g succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn cancel_reaches_into_groups() {
    check(
        "g{h{x -> y}; z}",
        "cancel; g/h/x was-cancelled; g/z was-cancelled",
        "
            g running, g/h running, run running, launch g/z, launch g/h/x
            g/h/y cancelled (the run was cancelled), run cancelling, stop g/h/x for Run, stop g/z for Run
            g/h/x cancelled (the run was cancelled), g/h cancelled (the run was cancelled)
            g/z cancelled (the run was cancelled), g cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn on_failure_cancel_reaches_into_groups() {
    check(
        "on-failure: cancel; a; g{h{x -> y}; z}",
        "a fails; g/h/x was-cancelled; g/z was-cancelled",
        "
            g running, g/h running, run running, launch a, launch g/z, launch g/h/x
            a failed, g/h/y cancelled (the run is failing, and nothing new starts), run failing, stop g/h/x for RunFailing, stop g/z for RunFailing
            g/h/x cancelled (the run is failing, and nothing new starts), g/h cancelled (the run is failing, and nothing new starts)
            g/z cancelled (the run is failing, and nothing new starts), g cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn a_group_takes_too_long() {
    check(
        "g{x -> y; z}[timeout=5s] -> b",
        "g/z done; after 5s; g/x was-cancelled",
        "
            g running, run running, launch g/x, launch g/z
            g/z succeeded
            g/y cancelled (the group it stands in was ended), stop g/x for Group
            g/x cancelled (the group it stands in was ended), g timed-out (it took longer than it may), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn an_empty_group_ends_at_once() {
    check(
        "g{} -> b",
        "b done",
        "
            g running, g succeeded, run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_person_fails_a_group_that_waits() {
    check(
        "a -> g{x -> y}",
        "fail g; a done; states",
        "
            run running, launch a
            g/x disabled (a person said so), g/y disabled (a person said so), g failed (a person said so), run failing
            a succeeded, run failed, close
            a succeeded, g failed, g/x disabled, g/y disabled, run failed
        ",
    );
}

#[test]
fn a_person_succeeds_a_group_that_waits() {
    check(
        "a -> g{x -> y} -> b",
        "succeed g; a done; b done; states",
        "
            run running, launch a
            g/x disabled (a person said so), g/y disabled (a person said so), g succeeded (a person said so), launch b
            a succeeded
            b succeeded, run succeeded, close
            a succeeded, g succeeded, b succeeded, g/x disabled, g/y disabled, run succeeded
        ",
    );
}

#[test]
fn a_person_skips_a_job_of_a_group() {
    check(
        "a -> g{x -> y} -> b",
        "skip g/x; a done; g/y done; b done",
        "
            run running, launch a
            g/x disabled (a person said so)
            a succeeded, g running, launch g/y
            g/y succeeded, g succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_person_skips_all_of_a_group() {
    check(
        "a -> g{x} -> b",
        "skip g/x; a done; b done",
        "
            run running, launch a
            g/x disabled (a person said so)
            a succeeded, g running, g succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_rejected_group_leaves_nothing_waiting() {
    check(
        "g{x -> y}[decide destroys]",
        "g unconfirmed; g reject; states",
        "
            run running, decide g
            g asks to confirm, run asking
            g/x disabled (a person said so), g/y disabled (a person said so), g failed (a person said so), run failed, close
            g failed, g/x disabled, g/y disabled, run failed
        ",
    );
}
