//! What a failure does to the rest of the run.

use crate::play::check;

#[test]
fn finish_running_starts_nothing_new() {
    check(
        "a -> b; c -> d; e -> f[after=one-failed]",
        "a fails; c done; e fails; f done",
        "
            run running, launch a, launch c, launch e
            a failed, b skipped (something it needs failed), d cancelled (the run is failing, and nothing new starts), run failing
            c succeeded
            e failed, launch f
            f succeeded, run failed, close
        ",
    );
}

#[test]
fn finish_running_keeps_retrying_what_has_begun() {
    check(
        "a; b[retry=2 delay=5s]",
        "b fails; a fails; after 5s; b done",
        "
            run running, launch a, launch b
            b retrying in 5s
            a failed, run failing
            launch b#2
            b succeeded, run failed, close
        ",
    );
}

#[test]
fn finish_running_withdraws_what_is_ready() {
    check(
        "a; b",
        "a fails",
        "
            run running, launch a, launch b
            a failed, run failing
        ",
    );
}

#[test]
fn cancel_ends_what_runs() {
    check(
        "on-failure: cancel; a -> b; c -> d; e[retry=2]; f; f -> g[after=all-done]",
        "e fails; a fails; c was-cancelled; f was-cancelled; g done",
        "
            run running, launch a, launch c, launch e, launch f
            e retrying in 10s
            a failed, b skipped (something it needs failed), d cancelled (the run is failing, and nothing new starts), e cancelled (the run is failing, and nothing new starts), run failing, stop c for RunFailing, stop f for RunFailing
            c cancelled (the run is failing, and nothing new starts)
            f cancelled (the run is failing, and nothing new starts), launch g
            g succeeded, run failed, close
        ",
    );
}

#[test]
fn cancel_does_not_try_again_what_timed_out_meanwhile() {
    check(
        "on-failure: cancel; a; b[timeout=5s retry=3]",
        "after 5s; a fails; b fails",
        "
            run running, launch a, launch b
            stop b for Timeout
            a failed, run failing, stop b for RunFailing
            b cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn finish_possible_leaves_out_only_what_needs_it() {
    check(
        "on-failure: finish-possible; a -> b; c -> d",
        "a fails; c done; d done",
        "
            run running, launch a, launch c
            a failed, b skipped (something it needs failed), run failing
            c succeeded, launch d
            d succeeded, run failed, close
        ",
    );
}

#[test]
fn the_second_failure_sweeps_nothing_new() {
    check(
        "a; b; c[after=all-done]; a, b -> c -> d",
        "a fails; b fails; c fails",
        "
            run running, launch a, launch b
            a failed, d cancelled (the run is failing, and nothing new starts), run failing
            b failed, launch c
            c failed, run failed, close
        ",
    );
}

#[test]
fn an_allowed_failure_does_not_fail_the_run() {
    check(
        "a[allow-failure]; b -> c",
        "a fails; b done; c done",
        "
            run running, launch a, launch b
            a failed
            b succeeded, launch c
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn cleaning_up_runs_to_its_end() {
    check(
        "a -> b; a -> clean{x -> y}[after=one-failed]",
        "a fails; clean/x done; clean/y done",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), clean running, run failing, launch clean/x
            clean/x succeeded, launch clean/y
            clean/y succeeded, clean succeeded, run failed, close
        ",
    );
}

#[test]
fn a_choice_of_one_success_does_not_start_while_failing() {
    check(
        "a, b -> c[after=one-success]",
        "b done; a fails",
        "
            run running, launch a, launch b
            b succeeded
            a failed, c cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn a_failure_cancels_what_waits_for_a_person_to_begin() {
    check(
        "a; b[asks]; c[destroys decide]",
        "c unconfirmed; a fails",
        "
            b asks for approval, run running, launch a, decide c
            c asks to confirm
            a failed, b cancelled (the run is failing, and nothing new starts), c cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn a_failure_leaves_what_asks_after_its_work() {
    check(
        "a; b -> c",
        "b asks; a fails; b approve",
        "
            run running, launch a, launch b
            b asks for a judgement
            a failed, c cancelled (the run is failing, and nothing new starts), run asking
            b succeeded (a person said so), run failed, close
        ",
    );
}

#[test]
fn a_job_that_somebody_else_cancelled_is_no_success() {
    check(
        "a -> b; c",
        "c done; a was-cancelled",
        "
            run running, launch a, launch c
            c succeeded
            a cancelled, b skipped (something it needs failed), run cancelled, close
        ",
    );
}
