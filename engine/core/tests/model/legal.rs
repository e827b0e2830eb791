//! Which moves are legal, written down once more and apart from `step`, to judge it by.

use weir_core::run::{RunState, TaskState};

/// From, and everything that may follow it at once.
const TASK_MOVES: &[(&str, &str)] = &[
    (
        "waiting",
        "deciding ready launching running asking succeeded failed timed-out cancelled skipped reused disabled",
    ),
    (
        "deciding",
        "deciding waiting ready launching running asking succeeded failed cancelled skipped disabled",
    ),
    ("ready", "waiting launching succeeded failed cancelled disabled"),
    (
        "launching",
        "waiting running unreachable retrying recovering asking cancelling succeeded failed timed-out cancelled lost already-done",
    ),
    (
        "running",
        "waiting unreachable retrying recovering asking cancelling succeeded failed timed-out cancelled lost skipped already-done",
    ),
    (
        "unreachable",
        "waiting running retrying recovering asking cancelling succeeded failed timed-out cancelled lost already-done",
    ),
    ("retrying", "waiting ready succeeded failed cancelled disabled"),
    ("recovering", "waiting ready asking cancelling succeeded failed"),
    (
        "asking",
        "waiting deciding ready running retrying recovering succeeded failed timed-out cancelled skipped disabled",
    ),
    (
        "cancelling",
        "cancelling waiting retrying recovering asking succeeded failed timed-out cancelled",
    ),
    // What has ended runs again only on the way back to an earlier job, and then waits first.
    ("succeeded", "waiting"),
    ("failed", "waiting"),
    ("timed-out", "waiting"),
    ("cancelled", "waiting"),
    ("lost", "waiting"),
    ("skipped", "waiting"),
    ("already-done", "waiting"),
    ("reused", "waiting"),
    ("disabled", ""),
];

const RUN_MOVES: &[(&str, &str)] = &[
    ("queued", "running paused asking failing succeeded failed cancelled cancelling"),
    ("running", "paused asking failing cancelling succeeded failed cancelled"),
    ("paused", "running asking failing cancelling succeeded failed cancelled"),
    ("asking", "running paused failing cancelling succeeded failed cancelled"),
    ("failing", "running paused asking cancelling failed cancelled succeeded"),
    ("cancelling", "asking succeeded failed cancelled"),
    ("succeeded", ""),
    ("failed", ""),
    ("cancelled", ""),
];

fn word(state: TaskState) -> &'static str {
    if state == TaskState::Deciding { "deciding" } else { state.name() }
}

fn allows(moves: &[(&str, &str)], from: &str, to: &str) -> bool {
    let followers = moves.iter().find(|(name, _)| *name == from).expect("every state has a line").1;
    followers.split(' ').any(|name| name == to)
}

/// Whether a task may move so.
pub(crate) fn is_legal(from: TaskState, to: TaskState) -> bool {
    allows(TASK_MOVES, word(from), word(to))
}

/// Whether a run may move so.
pub(crate) fn is_legal_run(from: RunState, to: RunState) -> bool {
    allows(RUN_MOVES, from.name(), to.name())
}
