//! Items in batches, one batch after the other.

use crate::play::check;

#[test]
fn a_batch_begins_when_the_one_before_has_ended() {
    check(
        "f*5[batch=2] -> b",
        "f[1] done; why f[2]; f[0] done; f[2] done; f[3] done; f[4] done; b done",
        "
            run running, f running, launch f[0], launch f[1]
            f[1] succeeded
            f[2] waits for other items of f for 0
            f[0] succeeded, launch f[2], launch f[3]
            f[2] succeeded
            f[3] succeeded, launch f[4]
            f[4] succeeded, f succeeded, launch b
            b succeeded, run succeeded, close
        ",
    );
}

#[test]
fn between_two_batches_there_is_a_pause_that_a_restart_does_not_change() {
    check(
        "f*4[batch=2 pause=30s]",
        "f[0] done; after 10s; f[1] done; why f[3]; after 10s; crash; f due; why f[2]; after 20s; f[2] done; f[3] done",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] succeeded
            -
            f[1] succeeded
            f[3] waits 30s for the next batch for 10s
            -
            -
            ignored: its time has not come
            f[2] waits 20s for the next batch for 20s
            launch f[2], launch f[3]
            f[2] succeeded
            f[3] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn within_a_batch_no_more_run_than_may() {
    check(
        "f*3[batch=2 parallel=1 pause=1s]",
        "f[0] done; f[1] done; after 1s; f[2] done",
        "
            run running, f running, launch f[0]
            f[0] succeeded, launch f[1]
            f[1] succeeded
            launch f[2]
            f[2] succeeded, f succeeded, run succeeded, close
        ",
    );
}

#[test]
fn the_first_failure_ends_what_has_not_begun() {
    check(
        "f*4[batch=2] -> b",
        "f[0] fails; f[1] done",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] failed, f[2] cancelled (as many other items failed as `rolling` allows), f[3] cancelled (as many other items failed as `rolling` allows)
            f[1] succeeded, f failed (something in it failed), b skipped (something it needs failed), run failed, close
        ",
    );
}

#[test]
fn so_many_failures_are_borne() {
    check(
        "f*5[batch=2 max-failures=2]",
        "f[0] fails; f[1] done; f[2] done; f[3] fails",
        "
            run running, f running, launch f[0], launch f[1]
            f[0] failed
            f[1] succeeded, launch f[2], launch f[3]
            f[2] succeeded
            f[3] failed, f[4] cancelled (as many other items failed as `rolling` allows), f failed (something in it failed), run failed, close
        ",
    );
}

#[test]
fn where_nothing_was_done_nothing_is_waited_for() {
    check(
        "f*?[batch=1 pause=1m]",
        "f items 3 reused 0; f[1] already-done; f[2] done",
        "
            run running, expand f
            f[0] reused, f running, launch f[1]
            f[1] already-done, launch f[2]
            f[2] succeeded, f succeeded, run succeeded, close
        ",
    );
}
