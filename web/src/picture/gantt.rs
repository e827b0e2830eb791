//! When the attempts of a run were at work: a bar each, on one scale.

use weir_core::time::Timestamp;
use weir_engine::view::{RunView, TaskView};

use crate::clock;
use crate::form::task_address;

/// Rows that are drawn at most.
const MOST: usize = 400;
/// The width of the scale.
const WIDE: f64 = 1000.0;

/// The bars of a run.
pub(crate) struct Gantt {
    pub(crate) rows: Vec<Row>,
    pub(crate) took: String,
}

/// A task and its attempts.
pub(crate) struct Row {
    pub(crate) path: String,
    pub(crate) href: String,
    pub(crate) depth: u32,
    pub(crate) bars: Vec<Bar>,
    pub(crate) took: String,
}

/// An attempt.
pub(crate) struct Bar {
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) state: &'static str,
    pub(crate) title: String,
}

impl Gantt {
    pub(crate) fn new(run: &RunView, now: Timestamp) -> Self {
        let begin = run.started_at.unwrap_or(run.created_at);
        let end = run.ended_at.unwrap_or(now);
        let whole = end.since(begin).as_secs_f64().max(0.001);
        let tried: Vec<&TaskView> =
            run.tasks.iter().filter(|task| !task.attempts.is_empty()).collect();
        let place = |at: Timestamp| at.since(begin).as_secs_f64() / whole * WIDE;
        let row = |task: &&TaskView| {
            let bar = |attempt: &weir_engine::view::AttemptView| {
                let x = place(attempt.started_at).min(WIDE - 2.0);
                let to = place(attempt.ended_at.unwrap_or(end));
                let took = clock::between(Some(attempt.started_at), attempt.ended_at, now);
                Bar {
                    x: format!("{x:.1}"),
                    width: format!("{:.1}", (to - x).max(3.0)),
                    state: attempt.state,
                    title: format!("{}: {took}", attempt.number),
                }
            };
            let first = task.attempts.first().map(|attempt| attempt.started_at);
            let last = task.attempts.last().and_then(|attempt| attempt.ended_at);
            Row {
                path: task.path.clone(),
                href: task_address(run.id, &task.path),
                depth: task.depth.min(6),
                bars: task.attempts.iter().map(bar).collect(),
                took: clock::between(first, last, now),
            }
        };
        Self {
            rows: tried.iter().take(MOST).map(row).collect(),
            took: clock::between(run.started_at, run.ended_at, now),
        }
    }
}
