//! Runs and states as lines of lists.

use weir_core::run::RunState;
use weir_core::time::Timestamp;
use weir_engine::store::rows::RunRow;

use crate::clock::{self, At};
use crate::form::flow_address;
use crate::picture::dag::mark;
use crate::words::Words;

/// A run in a list.
pub(crate) struct RunLine {
    pub(crate) id: i64,
    pub(crate) href: String,
    pub(crate) project: String,
    pub(crate) flow: String,
    pub(crate) flow_href: String,
    pub(crate) state: &'static str,
    pub(crate) said: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) at: At,
    pub(crate) took: String,
    pub(crate) by: String,
    pub(crate) origin: Option<i64>,
}

impl RunLine {
    pub(crate) fn new(row: RunRow, words: &Words, now: Timestamp) -> Self {
        let state = RunState::from_code(row.state).map_or("", RunState::name);
        Self {
            id: row.id,
            href: format!("/runs/{}", row.id),
            flow_href: flow_address(&row.project, &row.flow),
            project: row.project,
            flow: row.flow,
            state,
            said: words.state(state),
            mark: mark(state),
            at: At::new(row.started_at.unwrap_or(row.created_at)),
            took: clock::between(row.started_at, row.ended_at, now),
            by: row.by,
            origin: row.origin,
        }
    }
}

/// A line of a difference.
pub(crate) struct DiffLine {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// The difference of two texts.
pub(crate) fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let kind = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "new",
        Some(b'-') => "old",
        Some(b'@') => "at",
        _ => "same",
    };
    weir_core::diff::unified(before, after)
        .into_iter()
        .map(|text| DiffLine { kind: kind(&text), text })
        .collect()
}

/// The beginning of a hash.
pub(crate) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
