//! Why a task waits, and since when.

use crate::play::check;

#[test]
fn for_the_run_to_begin() {
    check(
        "a",
        "queued; why a; after 3s; why a",
        "
            a waits for the run to begin for 0
            -
            a waits for the run to begin for 3s
        ",
    );
}

#[test]
fn for_what_it_needs() {
    check(
        "a, b -> c",
        "after 3s; why c; a done; why c; why a",
        "
            run running, launch a, launch b
            -
            c waits for 2, first a for 3s
            a succeeded
            c waits for 1, first b for 3s
            a does not wait for 0
        ",
    );
}

#[test]
fn for_its_group() {
    check(
        "a -> g{x -> y}",
        "after 1s; why g/x; why g/y; a done; why g/x; after 1s; why g/y",
        "
            run running, launch a
            -
            g/x waits for g to begin for 1s
            g/y waits for 1, first g/x for 1s
            a succeeded, g running, launch g/x
            g/x does not wait for 0
            -
            g/y waits for 1, first g/x for 1s
        ",
    );
}

#[test]
fn for_other_items() {
    check(
        "f*2[parallel=1]",
        "after 1s; why f[1]; why f; why f[0]",
        "
            run running, f running, launch f[0]
            -
            f[1] waits for other items of f for 1s
            f does not wait for 1s
            f[0] does not wait for 1s
        ",
    );
}

#[test]
fn for_the_part_before() {
    check(
        "on-exit: e; a",
        "why e",
        "
            run running, launch a
            e waits for the part of the run before it for 0
        ",
    );
}

#[test]
fn for_a_decision() {
    check(
        "a[decide]; f*?",
        "after 1s; why a; why f",
        "
            run running, decide a, expand f
            -
            a waits for a decision for 1s
            f waits for a decision for 1s
        ",
    );
}

#[test]
fn for_a_slot() {
    check(
        "a",
        "queued; no slots; open; after 2s; why a; pause; why a",
        "
            -
            a ready, run running
            -
            a waits for a slot for 2s
            run paused
            a waits for the run to be resumed for 2s
        ",
    );
}

#[test]
fn for_its_delay() {
    check(
        "a[retry=2 delay=5s]",
        "a fails; after 2s; why a; pause; why a",
        "
            run running, launch a
            a retrying in 5s
            -
            a waits 3s more for 2s
            run paused
            a waits for the run to be resumed for 2s
        ",
    );
}

#[test]
fn for_its_remedy() {
    check(
        "a; cure a: fix then retry",
        "a fails cure 0; why a; why a!fix",
        "
            run running, launch a
            a recovering, launch a!fix
            a waits for its remedy, first a!fix for 0
            a!fix does not wait for 0
        ",
    );
}

#[test]
fn for_a_person() {
    check(
        "a[asks]; b; c",
        "b asks; c fails lost; why a; why b; why c",
        "
            a asks for approval, run running, launch b, launch c
            b asks for a judgement
            c lost, a cancelled (the run is failing, and nothing new starts), run asking
            a does not wait for 0
            b waits for a person: for a judgement for 0
            c does not wait for 0
        ",
    );
}

#[test]
fn not_at_all_when_it_has_ended() {
    check(
        "a -> b",
        "a fails; why a; why b",
        "
            run running, launch a
            a failed, b skipped (something it needs failed), run failed, close
            a does not wait for 0
            b does not wait for 0
        ",
    );
}
