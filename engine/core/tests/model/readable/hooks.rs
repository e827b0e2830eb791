//! Jobs around the run.

use crate::play::check;

#[test]
fn hooks_stand_around_a_good_run() {
    check(
        "on-start: s; on-success: w; on-failure-hook: l; on-exit: e; a",
        "s done; a done; w done; e done",
        "
            run running, launch s
            s succeeded, launch a
            a succeeded, l skipped (this end of the run does not ask for it), launch w
            w succeeded, launch e
            e succeeded, run succeeded, close
        ",
    );
}

#[test]
fn hooks_stand_around_a_bad_run() {
    check(
        "on-start: s; on-success: w; on-failure-hook: l -> m; on-exit: e; a -> b",
        "s done; a fails; l done; m done; e done",
        "
            run running, launch s
            s succeeded, launch a
            a failed, b skipped (something it needs failed), w skipped (this end of the run does not ask for it), run failing, launch l
            l succeeded, launch m
            m succeeded, launch e
            e succeeded, run failed, close
        ",
    );
}

#[test]
fn nothing_starts_if_the_first_hook_fails() {
    check(
        "on-start: s -> t; on-failure-hook: l; on-exit: e; a -> g{x}",
        "s fails; l done; e done; states",
        "
            run running, launch s
            s failed, t skipped (something it needs failed), a cancelled (the hook `on-start` failed), g/x cancelled (the hook `on-start` failed), g cancelled (the hook `on-start` failed), run failing, launch l
            l succeeded, launch e
            e succeeded, run failed, close
            a cancelled, g cancelled, g/x cancelled, s failed, t skipped, l succeeded, e succeeded, run failed
        ",
    );
}

#[test]
fn the_first_hook_fails_and_ends_what_stands_beside() {
    check(
        "on-start: s, t; a",
        "s fails; t was-cancelled",
        "
            run running, launch s, launch t
            s failed, a cancelled (the hook `on-start` failed), run failing, stop t for RunFailing
            t cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn the_first_hook_may_fail_if_it_says_so() {
    check(
        "on-start: s[allow-failure]; a",
        "s fails; a done",
        "
            run running, launch s
            s failed, launch a
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_failing_last_hook_changes_nothing() {
    check(
        "on-success: w -> x; on-exit: e; a",
        "a done; w fails; e fails",
        "
            run running, launch a
            a succeeded, launch w
            w failed, x skipped (something it needs failed), launch e
            e failed, run succeeded, close
        ",
    );
}

#[test]
fn a_cancelled_run_ends_with_its_last_hook() {
    check(
        "on-success: w; on-failure-hook: l; on-exit: e; a -> b",
        "cancel; a was-cancelled; e done",
        "
            run running, launch a
            b cancelled (the run was cancelled), run cancelling, stop a for Run
            a cancelled (the run was cancelled), w skipped (this end of the run does not ask for it), l skipped (this end of the run does not ask for it), launch e
            e succeeded, run cancelled, close
        ",
    );
}

#[test]
fn a_killed_run_has_no_last_hook() {
    check(
        "on-exit: e; a",
        "kill; a was-cancelled",
        "
            run running, launch a
            run cancelling, stop a for Kill
            a cancelled (the run was killed), e skipped (this end of the run does not ask for it), run cancelled, close
        ",
    );
}

#[test]
fn a_cancel_during_a_hook_ends_the_hook_not_the_outcome() {
    check(
        "on-success: w -> x; on-exit: e; a",
        "a done; cancel; w was-cancelled; e done",
        "
            run running, launch a
            a succeeded, launch w
            x cancelled (the run was cancelled), run cancelling, stop w for Run
            w cancelled (the run was cancelled), launch e
            e succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_kill_during_the_last_hook_ends_it() {
    check(
        "on-exit: e; a",
        "a done; kill; e was-cancelled",
        "
            run running, launch a
            a succeeded, launch e
            run cancelling, stop e for Kill
            e cancelled (the run was killed), run succeeded, close
        ",
    );
}

#[test]
fn a_kill_after_a_cancel_ends_the_last_hook() {
    check(
        "on-exit: e; a",
        "cancel; cancel; a was-cancelled; cancel; kill; e was-cancelled",
        "
            run running, launch a
            run cancelling, stop a for Run
            ignored: it is so already
            a cancelled (the run was cancelled), launch e
            ignored: it is so already
            stop e for Kill
            e cancelled (the run was killed), run cancelled, close
        ",
    );
}

#[test]
fn a_cancel_during_the_first_hook() {
    check(
        "on-start: s; on-exit: e; a",
        "cancel; s was-cancelled; e done",
        "
            run running, launch s
            a cancelled (the run was cancelled), run cancelling, stop s for Run
            s cancelled (the run was cancelled), launch e
            e succeeded, run cancelled, close
        ",
    );
}

#[test]
fn a_cancelled_run_that_never_began() {
    check(
        "on-start: s; on-exit: e; a",
        "queued; cancel",
        "
            s cancelled (the run was cancelled), a cancelled (the run was cancelled), e skipped (this end of the run does not ask for it), run cancelled, close
        ",
    );
}

#[test]
fn hooks_are_tried_again() {
    check(
        "on-exit: e[retry=2 delay=1s]; a",
        "cancel; a was-cancelled; e fails; after 1s; e done",
        "
            run running, launch a
            run cancelling, stop a for Run
            a cancelled (the run was cancelled), launch e
            e retrying in 1s
            launch e#2
            e succeeded, run cancelled, close
        ",
    );
}

#[test]
fn the_time_of_the_run_does_not_end_its_hooks() {
    check(
        "timeout: 10s; on-exit: e; a",
        "a done; after 10s; e done",
        "
            run running, launch a
            a succeeded, launch e
            -
            e succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cancel_after_the_run_took_too_long_does_not_change_how_it_ends() {
    check(
        "timeout: 10s; on-exit: e; a",
        "after 10s; a was-cancelled; cancel; e was-cancelled",
        "
            run running, launch a
            run cancelling, stop a for RunTimeout
            a cancelled (the run took longer than it may), launch e
            stop e for Run
            e cancelled (the run was cancelled), run failed, close
        ",
    );
}

#[test]
fn a_main_job_failed_by_hand_during_the_first_hook() {
    check(
        "on-start: s; a; b",
        "fail a; s done",
        "
            run running, launch s
            a failed (a person said so), b cancelled (the run is failing, and nothing new starts), run failing
            s succeeded, run failed, close
        ",
    );
}

#[test]
fn the_first_hook_fails_after_a_main_job_was_failed_by_hand() {
    check(
        "on-failure: finish-possible; on-start: s; a; b",
        "fail a; s fails",
        "
            run running, launch s
            a failed (a person said so), run failing
            s failed, b cancelled (the hook `on-start` failed), run failed, close
        ",
    );
}

#[test]
fn paused_before_the_first_hook() {
    check(
        "on-start: s; a",
        "queued; pause; open; resume; s done; a done",
        "
            -
            s ready, run paused
            run running, launch s
            s succeeded, launch a
            a succeeded, run succeeded, close
        ",
    );
}
