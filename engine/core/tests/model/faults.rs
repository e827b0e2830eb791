//! The checker checked: each fault that is put into the engine must be found, and by how short a way.

use crate::explore::shortest;
use crate::fault::Fault;
use crate::notation::Sketch;
use crate::world::{Scope, User};

/// Looks for the shortest way to the fault: its length, and what it breaks.
#[track_caller]
fn finds(fault: Fault, flow: &str, user: Option<User>, crashes: u8, length: usize, broken: &str) {
    let users: Vec<User> = user.into_iter().collect();
    let acts = users.len() as u8;
    let scope = Scope { users, acts, crashes, fault, ..Scope::default() };
    let sound = Scope { fault: Fault::None, ..scope.clone() };
    if let Some(trail) = shortest(Sketch::new(flow), sound) {
        panic!("`{flow}` is broken without the fault\n{trail}");
    }
    let Some(trail) = shortest(Sketch::new(flow), scope) else {
        panic!("{fault:?} is not found in `{flow}`");
    };
    assert!(
        trail.moves.len() == length && trail.broken.contains(broken),
        "{fault:?} is found in {} moves, not {length}\n{trail}",
        trail.moves.len(),
    );
}

#[test]
fn acting_before_the_commit() {
    finds(Fault::ActsBeforeCommit, "a", None, 1, 3, "lives, and it is Some(Ready)");
}

#[test]
fn forgetting_to_launch_after_a_restart() {
    finds(Fault::OwedForgetsLaunching, "a", None, 1, 2, "stuck");
}

#[test]
fn forgetting_to_cancel_after_a_restart() {
    finds(Fault::OwedForgetsCancel, "a", Some(User::Cancel), 1, 3, "stuck");
}

#[test]
fn forgetting_to_ask_for_slots_after_a_restart() {
    finds(Fault::OwedForgetsReady, "a", None, 1, 1, "stuck");
}

#[test]
fn taking_the_end_of_an_earlier_attempt() {
    finds(Fault::TakesOldAttempts, "a[retry=2 delay=0]", None, 0, 6, "ended a later one");
}

#[test]
fn counting_one_need_less() {
    finds(Fault::CountsOneNeedLess, "a, b -> c", None, 0, 5, "before what it needs has ended");
}

#[test]
fn not_passing_the_end_into_groups() {
    finds(Fault::CancelStaysOutsideGroups, "g{h{x}}", Some(User::Cancel), 0, 3, "stuck");
}

#[test]
fn taking_a_skip_for_a_failure() {
    finds(Fault::SkipIsFailure, "a -> b", Some(User::Skip), 0, 1, "wanted task 0 Disabled");
}

#[test]
fn forgetting_that_the_run_is_paused() {
    finds(Fault::RestoreForgetsPaused, "a -> b", Some(User::Pause), 1, 3, "starts in a paused run");
}

#[test]
fn forgetting_how_often_a_remedy_was_used() {
    finds(
        Fault::RestoreForgetsRemedies,
        "a[delay=0]; cure a: then retry",
        None,
        1,
        10,
        "was used 2 times",
    );
}

#[test]
fn not_keeping_what_waits_again() {
    finds(
        Fault::RewindIsNotKept,
        "a -> b; cure b: then retry-from a",
        None,
        0,
        8,
        "made again from its rows differs",
    );
}

#[test]
fn launching_twice() {
    finds(Fault::LaunchesTwice, "a", None, 1, 4, "was started twice");
}

#[test]
fn not_forbidding_the_launch_of_what_was_cancelled() {
    finds(
        Fault::CancelDoesNotFence,
        "a",
        Some(User::Cancel),
        0,
        4,
        "lives, and it is Some(Cancelled)",
    );
}
