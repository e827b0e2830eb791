//! A run that goes as it should, and the rules of `after` against every kind of end.

use crate::play::check;

#[test]
fn a_chain_runs_link_by_link() {
    check(
        "a -> b -> c",
        "a starts; a done; b done; c done",
        "
            run running, launch a
            a running
            a succeeded, launch b
            b succeeded, launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_diamond_joins() {
    check(
        "a -> b, c -> d",
        "a done; b done; c done; d done",
        "
            run running, launch a
            a succeeded, launch b, launch c
            b succeeded
            c succeeded, launch d
            d succeeded, run succeeded, close
        ",
    );
}

#[test]
fn nothing_to_do_ends_at_once() {
    check(
        "a[instant] -> b[instant], c[instant] -> d[instant]",
        "",
        "
            run running, a succeeded, b succeeded, c succeeded, d succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_failed_job_skips_all_below() {
    check(
        "a -> b -> c",
        "a fails",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), c skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_job_that_had_nothing_to_do_counts_as_done() {
    check(
        "a -> b",
        "a already-done; b done",
        "
            run running, launch a
            a already-done, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn all_success_wants_each() {
    check(
        "a, b -> c[after=all-success]",
        "a done; b fails",
        "
            run running, launch a, launch b
            a succeeded
            b failed, c skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn all_success_does_not_take_a_skip() {
    check(
        "a, b[decide] -> c[after=all-success]",
        "a done; b not-due",
        "
            run running, launch a, decide b
            a succeeded
            b skipped (its condition `when` did not hold), c skipped (something it needs was skipped), run succeeded, close
        ",
    );
}

#[test]
fn all_done_takes_any_end() {
    check(
        "a, b -> c[after=all-done]",
        "a fails; b done; c done",
        "
            run running, launch a, launch b
            a failed, run failing
            b succeeded, launch c
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn all_done_takes_a_skip() {
    check(
        "a[decide] -> b[after=all-done]",
        "a not-due; b done",
        "
            run running, decide a
            a skipped (its condition `when` did not hold), launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn one_success_needs_one() {
    check(
        "on-failure: finish-possible; a, b -> c[after=one-success]",
        "a fails; b done; c done",
        "
            run running, launch a, launch b
            a failed, run failing
            b succeeded, launch c
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn one_success_of_none() {
    check(
        "on-failure: finish-possible; a, b -> c[after=one-success] -> d",
        "a fails; b fails",
        "
            run running, launch a, launch b
            a failed, run failing
            b failed, c skipped (something it needs failed), d skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn one_failed_runs_after_a_failure() {
    check(
        "a, b -> c[after=one-failed]",
        "a fails; b done; c done",
        "
            run running, launch a, launch b
            a failed, run failing
            b succeeded, launch c
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn one_failed_is_skipped_if_all_is_well() {
    check(
        "a, b -> c[after=one-failed]",
        "a done; b done",
        "
            run running, launch a, launch b
            a succeeded
            b succeeded, c skipped (what it needs did not fail), run succeeded, close
        ",
    );
}

#[test]
fn all_failed_wants_each() {
    check(
        "a, b -> c[after=all-failed]",
        "a fails; b fails; c done",
        "
            run running, launch a, launch b
            a failed, run failing
            b failed, launch c
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn all_failed_does_not_take_a_success() {
    check(
        "a, b -> c[after=all-failed]",
        "a fails; b done",
        "
            run running, launch a, launch b
            a failed, run failing
            b succeeded, c skipped (what it needs did not fail), run failed, close
        ",
    );
}

#[test]
fn all_failed_does_not_take_a_skip() {
    check(
        "a, b[decide] -> c[after=all-failed]",
        "b not-due; a fails",
        "
            run running, launch a, decide b
            b skipped (its condition `when` did not hold)
            a failed, c skipped (what it needs did not fail), run failed, close
        ",
    );
}

#[test]
fn none_failed_takes_a_skip() {
    check(
        "a, b[decide] -> c[after=none-failed]",
        "b not-due; a done; c done",
        "
            run running, launch a, decide b
            b skipped (its condition `when` did not hold)
            a succeeded, launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn none_failed_does_not_take_a_failure() {
    check(
        "on-failure: finish-possible; a, b -> c[after=none-failed]",
        "a fails; b done",
        "
            run running, launch a, launch b
            a failed, run failing
            b succeeded, c skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_time_out_is_a_failure() {
    check(
        "on-failure: finish-possible; a[timeout=5s] -> b[after=one-failed]",
        "after 5s; a fails; b done",
        "
            run running, launch a
            stop a for Timeout
            a timed-out, run failing, launch b
            b succeeded, run failed, close
        ",
    );
}

#[test]
fn a_loss_is_a_failure() {
    check(
        "on-failure: finish-possible; a -> b[after=all-failed]",
        "a fails lost; b done",
        "
            run running, launch a
            a lost, run failing, launch b
            b succeeded, run failed, close
        ",
    );
}

#[test]
fn what_was_cancelled_is_no_success() {
    check(
        "a -> b, c[after=one-failed], d[after=none-failed], e[after=all-done]",
        "a was-cancelled; c done; e done",
        "
            run running, launch a
            a cancelled, b skipped (something it needs failed), d skipped (something it needs failed), launch c, launch e
            c succeeded
            e succeeded, run cancelled, close
        ",
    );
}

#[test]
fn a_skip_passes_on_to_what_needs_it() {
    check(
        "a[decide] -> b -> c",
        "a not-due",
        "
            run running, decide a
            a skipped (its condition `when` did not hold), b skipped (something it needs was skipped), c skipped (something it needs was skipped), run succeeded, close
        ",
    );
}

#[test]
fn a_job_below_a_skipped_failure_counts_it_as_failed() {
    check(
        "on-failure: finish-possible; a -> b -> c[after=one-failed]",
        "a fails; c done",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), run failing, launch c
            c succeeded, run failed, close
        ",
    );
}

#[test]
fn a_failure_that_is_allowed_fails_nothing() {
    check(
        "a[allow-failure] -> b -> c",
        "a fails; b done; c done",
        "
            run running, launch a
            a failed, launch b
            b succeeded, launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn an_allowed_failure_is_a_failure_to_those_who_ask() {
    check(
        "a[allow-failure] -> b[after=one-failed], c[after=none-failed], d[after=all-failed]",
        "a fails; b done; c done; d done",
        "
            run running, launch a
            a failed, launch b, launch c, launch d
            b succeeded
            c succeeded
            d succeeded, run succeeded, close
        ",
    );
}

#[test]
fn allowing_a_failure_does_not_make_a_skip_good() {
    check(
        "on-failure: finish-possible; a -> b[allow-failure] -> c",
        "a fails",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), c skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_person_s_skip_lets_what_needs_it_go_on() {
    check(
        "a -> b -> c",
        "skip b; a done; c done",
        "
            run running, launch a
            b disabled (a person said so), launch c
            a succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_reused_result_counts_as_done() {
    check(
        "a -> b",
        "a done; b done",
        "
            run running, launch a
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_condition_that_can_not_be_worked_out_fails() {
    check(
        "a[decide] -> b",
        "a broken",
        "
            run running, decide a
            a failed (its definition could not be worked out), b skipped (something it needs failed), run failed, close
        ",
    );
}
