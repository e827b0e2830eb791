//! Trying again.

use crate::play::check;

#[test]
fn each_class_has_its_say() {
    check(
        "a[retry=3 on=connection delay=5s]",
        "a fails connection; after 5s; a fails exit",
        "
            run running, launch a
            a retrying in 5s
            launch a#2
            a failed, run failed, close
        ",
    );
}

#[test]
fn as_often_as_it_may() {
    check(
        "a[retry=3 delay=1s] -> b",
        "a fails; after 1s; a fails; after 2s; a fails",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            a retrying in 2s
            launch a#3
            a failed, b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn the_wait_grows_up_to_a_bound() {
    check(
        "a[retry=6 delay=10s backoff=3 max-delay=1m]",
        "a fails; after 10s; a fails; after 30s; a fails; after 1m; a fails; after 1m; a fails; after 1m; a done",
        "
            run running, launch a
            a retrying in 10s
            launch a#2
            a retrying in 30s
            launch a#3
            a retrying in 1m
            launch a#4
            a retrying in 1m
            launch a#5
            a retrying in 1m
            launch a#6
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn no_wait_is_no_wait() {
    check(
        "a[retry=9 delay=0 backoff=1000000]",
        "a fails; after 1ms; a fails; after 1ms; a done",
        "
            run running, launch a
            a retrying in 0
            launch a#2
            a retrying in 0
            launch a#3
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_huge_factor_stays_within_the_bound() {
    check(
        "a[retry=3 delay=1ms backoff=1e300 max-delay=7s]",
        "a fails; after 1ms; a fails; after 7s; a done",
        "
            run running, launch a
            a retrying in 1ms
            launch a#2
            a retrying in 7s
            launch a#3
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn an_old_attempt_is_not_listened_to() {
    check(
        "a[retry=2 delay=5s]",
        "a#1 fails; a#1 done; a#1 starts; after 5s; a#1 done; a#1 fails; a#2 done",
        "
            run running, launch a
            a retrying in 5s
            ignored: this is about an earlier attempt
            ignored: this is about an earlier attempt
            launch a#2
            ignored: this is about an earlier attempt
            ignored: this is about an earlier attempt
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_repeated_end_is_ignored() {
    check(
        "a -> b",
        "a done; a done; a fails; a starts; b done",
        "
            run running, launch a
            a succeeded, launch b
            ignored: the task has already ended
            ignored: the task has already ended
            ignored: the task has already ended
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn what_does_not_fit_is_ignored() {
    check(
        "a -> b",
        "b#0 done; b#1 done; a go; b approve; a approve; open; resume; retry b; retry a; skip a",
        "
            run running, launch a
            ignored: this is about an earlier attempt
            ignored: this is about an earlier attempt
            ignored: that does not fit what the task is doing
            ignored: that does not fit what the task is doing
            ignored: that does not fit what the task is doing
            ignored: it is so already
            ignored: it is so already
            ignored: that does not fit what the task is doing
            ignored: the task is at work: cancel the run first
            ignored: the task is at work: cancel the run first
        ",
    );
}

#[test]
fn not_before_its_time() {
    check(
        "a[retry=2 delay=5s]",
        "a fails; a due; after 4s; a due; after 1s; a done",
        "
            run running, launch a
            a retrying in 5s
            ignored: its time has not come
            -
            ignored: its time has not come
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn lost_is_tried_again_by_class() {
    check(
        "a[retry=2 delay=1s]",
        "a fails lost; after 1s; a done",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn lost_without_retries_is_lost() {
    check(
        "a -> b",
        "a fails lost",
        "
            run running, launch a
            a lost, b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn on_lost_retry_tries_once_more() {
    check(
        "a[on-lost=retry delay=1s]",
        "a fails lost; after 1s; a fails lost",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            a lost, run failed, close
        ",
    );
}

#[test]
fn on_lost_ask_asks() {
    check(
        "a[on-lost=ask retry=3] -> b",
        "a fails lost; a retry; a fails lost; a continue; b done",
        "
            run running, launch a
            a asks how it ended, run asking
            run running, launch a#2
            a asks how it ended, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn on_lost_ask_can_be_refused() {
    check(
        "a[on-lost=ask] -> b",
        "a fails lost; a reject",
        "
            run running, launch a
            a asks how it ended, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_job_that_destroys_is_not_tried_again_blindly() {
    check(
        "a[destroys retry=3] -> b",
        "a fails unknown-outcome; a approve; a done; b done",
        "
            run running, launch a
            a asks how it ended, run asking
            run running, launch a#2
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_job_that_destroys_asks_when_lost() {
    check(
        "a[destroys on-lost=retry]",
        "a fails lost; a continue",
        "
            run running, launch a
            a asks how it ended, run asking
            a succeeded (a person said so), run succeeded, close
        ",
    );
}

#[test]
fn a_job_that_destroys_and_can_check_is_tried_again() {
    check(
        "a[destroys check retry=2 delay=1s]",
        "a fails lost; after 1s; a already-done",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            a already-done, run succeeded, close
        ",
    );
}

#[test]
fn a_job_that_destroys_is_tried_again_when_it_plainly_failed() {
    check(
        "a[destroys retry=2 delay=1s]",
        "a fails; after 1s; a done",
        "
            run running, launch a
            a retrying in 1s
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn unreachable_is_not_lost() {
    check(
        "a[retry=2] -> b",
        "a starts; a unreached; a unreached; a starts; a unreached; a done; b done",
        "
            run running, launch a
            a running
            a unreachable
            ignored: it is so already
            a running
            a unreachable
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn retry_now_does_not_wait() {
    check(
        "a[retry=2 delay=1h]",
        "a fails; retry a; a done",
        "
            run running, launch a
            a retrying in 5m
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn the_timer_of_a_retry_that_was_made_now_changes_nothing() {
    check(
        "a[retry=2 delay=5s]",
        "a fails; retry a; after 5s; a done",
        "
            run running, launch a
            a retrying in 5s
            launch a#2
            -
            a succeeded, run succeeded, close
        ",
    );
}
