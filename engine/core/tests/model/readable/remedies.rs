//! Known failures and their cures.

use crate::play::check;

#[test]
fn a_cure_then_another_attempt() {
    check(
        "a -> b; cure a: fix -> probe then retry",
        "a fails cure 0; a!fix done; a!probe done; a done; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, launch a!probe
            a!probe succeeded, launch a#2
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_without_jobs_tries_again_after_a_while() {
    check(
        "a[delay=5s]; cure a: then retry limit 2",
        "a fails cure 0; after 5s; a fails cure 0; after 10s; a fails cure 0; a reject",
        "
            run running, launch a
            a retrying in 5s
            launch a#2
            a retrying in 10s
            launch a#3
            a asks as cure 0 did not last, run asking
            a failed (a person said so), run failed, close
        ",
    );
}

#[test]
fn a_cure_s_attempts_do_not_count_as_retries() {
    check(
        "a[retry=2 delay=1s]; cure a: fix then retry",
        "a fails cure 0; a!fix done; a fails; after 1s; a fails",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, launch a#2
            a retrying in 1s
            launch a#3
            a failed, run failed, close
        ",
    );
}

#[test]
fn a_cure_that_did_not_last_asks() {
    check(
        "a -> b; cure a: fix then retry",
        "a fails cure 0; a!fix done; a fails cure 0; a approve; a!fix~2 done; a done; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, launch a#2
            a asks as cure 0 did not last, run asking
            a recovering, run running, launch a!fix~2
            a!fix~2 succeeded, launch a#3
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_that_failed_asks() {
    check(
        "a -> b; cure a: fix -> probe then retry",
        "a fails cure 0; a!fix fails; a continue; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix failed, a!probe skipped (something it needs failed), a asks as cure 0 failed, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_that_failed_is_tried_again() {
    check(
        "a; cure a: fix then retry",
        "a fails cure 0; a!fix fails; a approve; a!fix~2 done; a done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix failed, a asks as cure 0 failed, run asking
            a recovering, run running, launch a!fix~2
            a!fix~2 succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_that_failed_is_given_up() {
    check(
        "a -> b; cure a: fix then retry",
        "a fails cure 0; a!fix fails; a reject",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix failed, a asks as cure 0 failed, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn the_jobs_of_a_cure_are_tried_again() {
    check(
        "a; cure a: fix[retry=2 delay=1s] then retry",
        "a fails cure 0; a!fix fails; after 1s; a!fix done; a done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix retrying in 1s
            launch a!fix#2
            a!fix succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn two_cures_for_two_failures() {
    check(
        "a; cure a: fix then retry; cure a: mend then retry",
        "a fails cure 0; a!fix done; a fails cure 1; a!mend done; a done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, launch a#2
            a recovering, launch a!mend
            a!mend succeeded, launch a#3
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_that_destroys_asks_first() {
    check(
        "a; cure a: fix then retry destroys",
        "a fails cure 0; a approve; a!fix done; a done",
        "
            run running, launch a
            a asks about cure 0, run asking
            a recovering, run running, launch a!fix
            a!fix succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_that_destroys_is_refused() {
    check(
        "a -> b; cure a: fix then retry destroys",
        "a fails cure 0; a reject",
        "
            run running, launch a
            a asks about cure 0, run asking
            a failed (a person said so), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn continue_without_jobs() {
    check(
        "a -> b; cure a: then continue",
        "a fails cure 0; b done",
        "
            run running, launch a
            a succeeded (its remedy says to go on), launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn continue_after_its_jobs() {
    check(
        "a -> b; cure a: fix then continue",
        "a fails cure 0; a!fix done; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, a succeeded (its remedy says to go on), launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn ask_without_jobs_offers_another_attempt() {
    check(
        "a -> b; cure a: then ask",
        "a fails cure 0; a approve; a done; b done",
        "
            run running, launch a
            a asks about cure 0, run asking
            run running, launch a#2
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn ask_after_its_jobs_does_not_ask_for_the_same_again() {
    check(
        "a -> b; cure a: fix then ask",
        "a fails cure 0; a!fix done; a approve; a done; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, a asks what follows cure 0, run asking
            run running, launch a#2
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn ask_after_its_jobs_and_count_as_done() {
    check(
        "a -> b; cure a: fix then ask",
        "a fails cure 0; a!fix done; a continue; b done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, a asks what follows cure 0, run asking
            a succeeded (a person said so), run running, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn fail_at_once() {
    check(
        "a[retry=3] -> b; cure a: then fail",
        "a fails cure 0",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn fail_after_its_jobs() {
    check(
        "a[retry=3] -> b; cure a: fix then fail",
        "a fails cure 0; a!fix done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, a failed, b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn a_cure_does_not_retry_blindly_what_destroys() {
    check(
        "a[destroys] -> b; cure a: then retry",
        "a fails unknown-outcome cure 0; a approve; after 10s; a done; b done",
        "
            run running, launch a
            a asks about cure 0, run asking
            a retrying in 10s, run running
            launch a#2
            a succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_to_an_earlier_job() {
    check(
        "a -> b -> c -> d; cure c: fix then retry-from a",
        "a done; b done; c fails cure 0; c!fix done; a done; b done; c done; d done",
        "
            run running, launch a
            a succeeded, launch b
            b succeeded, launch c
            c recovering, launch c!fix
            c!fix succeeded, a waiting, b waiting, c waiting, launch a#2
            a succeeded, launch b#2
            b succeeded, launch c#2
            c succeeded, launch d
            d succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_to_itself() {
    check(
        "a -> b; cure b: then retry-from b",
        "a done; b fails cure 0; b done",
        "
            run running, launch a
            a succeeded, launch b
            b waiting, launch b#2
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_past_a_group() {
    check(
        "a -> g{x -> y} -> c; cure c: then retry-from a",
        "a done; g/x done; g/y done; c fails cure 0; a done; g/x done; g/y done; c done",
        "
            run running, launch a
            a succeeded, g running, launch g/x
            g/x succeeded, launch g/y
            g/y succeeded, g succeeded, launch c
            a waiting, g waiting, g/x waiting, g/y waiting, c waiting, launch a#2
            a succeeded, g running, launch g/x#2
            g/x succeeded, launch g/y#2
            g/y succeeded, g succeeded, launch c#2
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_past_a_list() {
    check(
        "a -> f*2[parallel=1] -> c; cure c: then retry-from a",
        "a done; f[0] done; f[1] done; c fails cure 0; a done; f[0] done; f[1] done; c done",
        "
            run running, launch a
            a succeeded, f running, launch f[0]
            f[0] succeeded, launch f[1]
            f[1] succeeded, f succeeded, launch c
            a waiting, f waiting, f[0] waiting, f[1] waiting, c waiting, launch a#2
            a succeeded, f running, launch f[0]#2
            f[0] succeeded, launch f[1]#2
            f[1] succeeded, f succeeded, launch c#2
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_within_a_group() {
    check(
        "g{x -> y} -> b; cure y: then retry-from x",
        "g/x done; g/y fails cure 0; g/x done; g/y done; b done",
        "
            g running, run running, launch g/x
            g/x succeeded, launch g/y
            g/x waiting, g/y waiting, launch g/x#2
            g/x succeeded, launch g/y#2
            g/y succeeded, g succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_leaves_alone_what_was_skipped_on_purpose() {
    check(
        "a -> b -> c; cure c: then retry-from a",
        "skip b; a done; c fails cure 0; a done; c done",
        "
            run running, launch a
            b disabled (a person said so), launch c
            a succeeded
            a waiting, c waiting, launch a#2, launch c#2
            a succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_leaves_alone_what_works_beside() {
    check(
        "a -> c; a -> d -> e; cure c: then retry-from a",
        "a done; c fails cure 0; d done; a done; c done; e done",
        "
            run running, launch a
            a succeeded, launch c, launch d
            a waiting, c waiting, launch a#2
            d succeeded, launch e
            a succeeded, launch c#2
            c succeeded
            e succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_makes_wait_what_has_not_begun_beside() {
    check(
        "a -> c; a -> d; cure c: then retry-from a",
        "no slots; a done; admit c; c fails cure 0; slots; admit d; a done; d done; c done",
        "
            run running, launch a
            -
            a succeeded, c ready, d ready
            launch c
            a waiting, c waiting, d waiting, a ready
            launch a#2
            ignored: that does not fit what the task is doing
            a succeeded, launch c#2, launch d
            d succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_makes_wait_what_is_tried_again_beside() {
    check(
        "a -> c; a -> d[retry=2 delay=5s]; cure c: then retry-from a",
        "a done; d fails; c fails cure 0; after 5s; a done; d done; c done",
        "
            run running, launch a
            a succeeded, launch c, launch d
            d retrying in 5s
            a waiting, c waiting, launch a#2
            d waiting
            a succeeded, launch c#2, launch d#2
            d succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_judges_anew_what_was_not_due_beside() {
    check(
        "on-failure: finish-possible; a -> c; a -> d[after=one-failed]; cure c: then retry-from a",
        "a done; c fails cure 0; a fails; d done",
        "
            run running, launch a
            a succeeded, d skipped (what it needs did not fail), launch c
            a waiting, c waiting, d waiting, launch a#2
            a failed, c skipped (something it needs failed), run failing, launch d
            d succeeded, run failed, close
        ",
    );
}

#[test]
fn back_leaves_to_its_course_what_has_not_ended() {
    check(
        "a -> b -> c; cure c: then retry-from a",
        "succeed b; c fails cure 0; a done; c done",
        "
            run running, launch a
            b succeeded (a person said so), launch c
            c waiting, launch c#2
            a succeeded
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_undoes_the_failure_of_the_run() {
    check(
        "on-failure: finish-possible; a -> c[after=all-done]; cure c: then retry-from a",
        "a fails; c fails cure 0; a done; c done",
        "
            run running, launch a
            a failed, run failing, launch c
            a waiting, c waiting, run running, launch a#2
            a succeeded, launch c#2
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_does_not_undo_what_the_failure_swept() {
    check(
        "b; a -> c[after=all-done]; cure c: then retry-from a; x -> y",
        "a fails; c fails cure 0; a done; c done; b done; x done",
        "
            run running, launch b, launch a, launch x
            a failed, y cancelled (the run is failing, and nothing new starts), run failing, launch c
            a waiting, c waiting, launch a#2
            a succeeded, launch c#2
            c succeeded
            b succeeded
            x succeeded, run failed, close
        ",
    );
}

#[test]
fn back_only_as_often_as_it_may() {
    check(
        "a -> c; cure c: then retry-from a",
        "a done; c fails cure 0; a done; c fails cure 0; c retry; c done",
        "
            run running, launch a
            a succeeded, launch c
            a waiting, c waiting, launch a#2
            a succeeded, launch c#2
            c asks as cure 0 did not last, run asking
            run running, launch c#3
            c succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_works_while_the_run_is_failing() {
    check(
        "a; b; cure b: fix then retry",
        "b fails cure 0; a fails; b!fix done; b done",
        "
            run running, launch a, launch b
            b recovering, launch b!fix
            a failed, run failing
            b!fix succeeded, launch b#2
            b succeeded, run failed, close
        ",
    );
}

#[test]
fn a_cure_is_ended_by_on_failure_cancel() {
    check(
        "on-failure: cancel; a; b; cure b: fix then retry",
        "b fails cure 0; a fails; b!fix was-cancelled",
        "
            run running, launch a, launch b
            b recovering, launch b!fix
            a failed, run failing, stop b!fix for RunFailing
            b!fix cancelled (the run is failing, and nothing new starts), b cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn a_cure_is_paused() {
    check(
        "a; cure a: fix then retry",
        "pause; a fails cure 0; resume; a!fix done; a done",
        "
            run running, launch a
            run paused
            a recovering, a!fix ready
            run running, launch a!fix
            a!fix succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_goes_on_after_a_crash() {
    check(
        "a; cure a: fix -> probe then retry",
        "a fails cure 0; a!fix done; crash; a!probe done; crash; a done",
        "
            run running, launch a
            a recovering, launch a!fix
            a!fix succeeded, launch a!probe
            launch a!probe
            a!probe succeeded, launch a#2
            launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_with_a_group() {
    check(
        "a; cure a: g{x -> y} -> z then retry",
        "a fails cure 0; a!g/x done; a!g/y done; a!z done; a done",
        "
            run running, launch a
            a recovering, a!g running, launch a!g/x
            a!g/x succeeded, launch a!g/y
            a!g/y succeeded, a!g succeeded, launch a!z
            a!z succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_timed_out_attempt_is_cured() {
    check(
        "a[timeout=5s]; cure a: fix then retry",
        "after 5s; a fails cure 0; a!fix done; a done",
        "
            run running, launch a
            stop a for Timeout
            a recovering, launch a!fix
            a!fix succeeded, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn items_are_cured_one_by_one() {
    check(
        "f*2; cure f[]: fix then retry",
        "f[0] fails cure 0; f[1] fails cure 0; f[0]!fix done; f[0] done; f[1]!fix done; f[1] done",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] recovering, launch f[0]!fix
            f[1] recovering, launch f[1]!fix
            f[0]!fix succeeded, launch f[0]#2
            f[0] succeeded
            f[1]!fix succeeded, launch f[1]#2
            f[1] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_cure_whose_jobs_are_all_skipped_asks() {
    check(
        "a; cure a: fix[decide] then retry",
        "a fails cure 0; a!fix not-due; a retry; a done",
        "
            run running, launch a
            a recovering, decide a!fix
            a!fix skipped (its condition `when` did not hold), a asks as cure 0 failed, run asking
            run running, launch a#2
            a succeeded, run succeeded, close
        ",
    );
}

#[test]
fn back_past_empty_lists() {
    check(
        "a -> f*0, g*0 -> c; cure c: then retry-from a",
        "a done; crash; c fails cure 0; a done; crash; c done",
        "
            run running, launch a
            a succeeded, f running, f succeeded, g running, g succeeded, launch c
            launch c
            a waiting, f waiting, g waiting, c waiting, launch a#2
            a succeeded, f running, f succeeded, g running, g succeeded, launch c#2
            launch c#2
            c succeeded, run succeeded, close
        ",
    );
}
