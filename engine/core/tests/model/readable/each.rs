//! Tasks for each item of a list.

use crate::play::check;

#[test]
fn all_items_at_once() {
    check(
        "f*3 -> b",
        "f[1] done; f[0] done; f[2] done; b done",
        "
            run running, f running, launch f[0], launch f[1], launch f[2]
            f[1] succeeded
            f[0] succeeded
            f[2] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn no_more_than_may_at_once() {
    check(
        "f*4[parallel=2] -> b",
        "f[0] done; f[1] done; f[3] done; f[2] done; b done",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] succeeded, launch f[2]
            f[1] succeeded, launch f[3]
            f[3] succeeded
            f[2] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_list_of_nothing_is_done() {
    check(
        "f*0 -> b",
        "b done",
        "
            run running, f running, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn the_list_is_worked_out_first() {
    check(
        "f*? -> b",
        "f items 2; f[0] done; f[1] done; b done",
        "
            run running, expand f
            f running, launch f[0], launch f[1]
            f[0] succeeded
            f[1] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_list_that_can_not_be_worked_out_fails() {
    check(
        "f*? -> b",
        "f broken",
        "
            run running, expand f
            f failed (its definition could not be worked out), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn the_condition_comes_before_the_list() {
    check(
        "f*?[decide] -> b",
        "f go; f items 1; f[0] done; b done",
        "
            run running, decide f
            expand f
            f running, launch f[0]
            f[0] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_failed_item_fails_the_whole_at_the_end() {
    check(
        "f*3[parallel=1] -> b; c -> d",
        "f[0] fails; f[1] done; c done; d done; f[2] done",
        "
            run running, f running, launch f[0], launch c
            f[0] failed, launch f[1]
            f[1] succeeded, launch f[2]
            c succeeded, launch d
            d succeeded
            f[2] succeeded, f failed (something in it failed), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn fail_fast_ends_the_others() {
    check(
        "f*4[parallel=2 fail-fast] -> b",
        "f[0] done; f[1] fails; f[2] was-cancelled",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] succeeded, launch f[2]
            f[1] failed, f[3] cancelled (another item failed, and `fail-fast` is on), stop f[2] for FailFast
            f[2] cancelled (another item failed, and `fail-fast` is on), f failed (something in it failed), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn an_item_that_ends_well_while_fail_fast_ends_it_is_cancelled() {
    check(
        "f*2[fail-fast]",
        "f[0] fails; f[1] done",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] failed, stop f[1] for FailFast
            f[1] cancelled (another item failed, and `fail-fast` is on), f failed (something in it failed), run failed, close
        ",
    );
}

#[test]
fn items_are_tried_again() {
    check(
        "f*2[retry=2 delay=5s parallel=1]",
        "f[0] fails; after 5s; f[0] done; f[1] done",
        "
            run running, f running, launch f[0]
            f[0] retrying in 5s
            launch f[0]#2
            f[0] succeeded, launch f[1]
            f[1] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn groups_for_each_item() {
    check(
        "f*2{x -> y}[parallel=1] -> b",
        "f[0]/x done; f[0]/y done; f[1]/x done; f[1]/y done; b done",
        "
            run running, f running, f[0] running, launch f[0]/x
            f[0]/x succeeded, launch f[0]/y
            f[0]/y succeeded, f[0] succeeded, f[1] running, launch f[1]/x
            f[1]/x succeeded, launch f[1]/y
            f[1]/y succeeded, f[1] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_failure_in_one_item_s_group() {
    check(
        "f*2{x -> y} -> b",
        "f[0]/x fails; f[1]/x done; f[1]/y done",
        "
            run running, f running, f[0] running, f[1] running, launch f[0]/x, launch f[1]/x
            f[0]/x failed, f[0]/y skipped (something it needs failed), f[0] failed (something in it failed)
            f[1]/x succeeded, launch f[1]/y
            f[1]/y succeeded, f[1] succeeded, f failed (something in it failed), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn reused_items_do_not_run() {
    check(
        "f*?[parallel=1] -> b",
        "f items 3 reused 0,2; f[1] done; b done",
        "
            run running, expand f
            f[0] reused, f[2] reused, f running, launch f[1]
            f[1] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn reused_groups_bring_their_jobs() {
    check(
        "f*?{x -> y} -> b",
        "f items 2 reused 0; f[1]/x done; f[1]/y done; states; b done",
        "
            run running, expand f
            f[0] reused, f[0]/x reused, f[0]/y reused, f running, f[1] running, launch f[1]/x
            f[1]/x succeeded, launch f[1]/y
            f[1]/y succeeded, f[1] succeeded, f succeeded, launch b
            f succeeded, b launching, f[0] reused, f[0]/x reused, f[0]/y reused, f[1] succeeded, f[1]/x succeeded, f[1]/y succeeded, run running
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn all_items_reused() {
    check(
        "f*? -> b",
        "f items 2 reused 0,1; b done",
        "
            run running, expand f
            f[0] reused, f[1] reused, f running, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn another_failure_withdraws_items_that_wait() {
    check(
        "f*3[parallel=1]; a",
        "a fails; f[0] done",
        "
            run running, f running, launch f[0], launch a
            a failed, f[1] cancelled (the run is failing, and nothing new starts), f[2] cancelled (the run is failing, and nothing new starts), run failing
            f[0] succeeded, f cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn another_failure_ends_items_if_asked_to() {
    check(
        "on-failure: cancel; f*3[parallel=2]; a",
        "a fails; f[0] was-cancelled; f[1] was-cancelled",
        "
            run running, f running, launch f[0], launch f[1], launch a
            a failed, f[2] cancelled (the run is failing, and nothing new starts), run failing, stop f[0] for RunFailing, stop f[1] for RunFailing
            f[0] cancelled (the run is failing, and nothing new starts)
            f[1] cancelled (the run is failing, and nothing new starts), f cancelled (the run is failing, and nothing new starts), run failed, close
        ",
    );
}

#[test]
fn a_person_skips_an_item_that_waits() {
    check(
        "f*3[parallel=1]",
        "skip f[1]; f[0] done; f[2] done",
        "
            run running, f running, launch f[0]
            f[1] disabled (a person said so)
            f[0] succeeded, launch f[2]
            f[2] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn cancel_ends_all_items() {
    check(
        "f*3[parallel=2] -> b",
        "cancel; f[0] was-cancelled; f[1] was-cancelled",
        "
            run running, f running, launch f[0], launch f[1]
            f[2] cancelled (the run was cancelled), b cancelled (the run was cancelled), run cancelling, stop f[0] for Run, stop f[1] for Run
            f[0] cancelled (the run was cancelled)
            f[1] cancelled (the run was cancelled), f cancelled (the run was cancelled), run cancelled, close
        ",
    );
}

#[test]
fn each_in_each() {
    check(
        "f*2{g*2[parallel=1]}[parallel=1]",
        "f[0]/g[0] done; f[0]/g[1] done; f[1]/g[0] done; f[1]/g[1] done",
        "
            run running, f running, f[0] running, f[0]/g running, launch f[0]/g[0]
            f[0]/g[0] succeeded, launch f[0]/g[1]
            f[0]/g[1] succeeded, f[0]/g succeeded, f[0] succeeded, f[1] running, f[1]/g running, launch f[1]/g[0]
            f[1]/g[0] succeeded, launch f[1]/g[1]
            f[1]/g[1] succeeded, f[1]/g succeeded, f[1] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn a_list_made_for_failure_runs_whole() {
    check(
        "a -> f*2[after=one-failed parallel=1]",
        "a fails; f[0] done; f[1] done",
        "
            run running, launch a
            a failed, run failing, f running, launch f[0]
            f[0] succeeded, launch f[1]
            f[1] succeeded, f succeeded, run failed, close
        ",
    );
}

#[test]
fn items_that_destroy_are_confirmed_one_by_one() {
    check(
        "f*2[destroys]",
        "f[0] go; f[0] done; f[1] unconfirmed; f[1] approve; f[1] done",
        "
            run running, f running, decide f[0], decide f[1]
            launch f[0]
            f[0] succeeded
            f[1] asks to confirm, run asking
            run running, launch f[1]
            f[1] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn the_time_of_an_item_runs_for_the_item() {
    check(
        "f*2[timeout=5s parallel=1]",
        "after 5s; f[0] fails; f[1] done",
        "
            run running, f running, launch f[0]
            stop f[0] for Timeout
            f[0] timed-out, launch f[1]
            f[1] succeeded, f failed (something in it failed), run failed, close
        ",
    );
}
