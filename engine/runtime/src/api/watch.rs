//! Watching a run: its events as they come.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use weir_core::ids::RunId;
use weir_core::run::RunState;

use super::{Problem, event_view};
use crate::engine::Handle;
use crate::store::rows::EventRow;
use crate::view;

/// Events that are read at once.
const MOST: u64 = 1000;

/// What was heard of a run.
enum Heard {
    /// Exactly what comes next.
    Next(Vec<EventRow>),
    /// Something that only the store can tell.
    Something,
    /// Nothing more will come, or nobody listens any more.
    End,
}

/// Sends a run's events as they come, each once and in order, and closes the channel when the run has ended.
///
/// # Errors
/// There is no such run, or it can't be read.
pub async fn watch(
    handle: &Handle,
    id: RunId,
    after: i64,
    sink: mpsc::Sender<Value>,
) -> Result<(), Problem> {
    let mut live = handle.watch();
    let mut last = after;
    let mut opened = view::open(handle.store(), handle.library(), id).await?;
    let mut rows = handle.store().events(id, last, MOST).await?;
    let mut is_more = rows.len() as u64 == MOST;
    loop {
        let mut is_over = false;
        for row in &rows {
            if row.task.is_some_and(|task| opened.run.task(task).is_none()) {
                opened = view::open(handle.store(), handle.library(), id).await?;
            }
            is_over = RunState::from_code(row.kind.wrapping_sub(32))
                .is_some_and(RunState::is_final)
                && row.task.is_none();
            last = row.seq;
            if sink.send(event_view(row, &opened)).await.is_err() {
                return Ok(());
            }
        }
        if is_over {
            return Ok(());
        }
        let heard = if is_more { Heard::Something } else { next(&mut live, id, last, &sink).await };
        rows = match heard {
            Heard::Next(rows) => rows,
            Heard::Something => {
                let rows = handle.store().events(id, last, MOST).await?;
                is_more = rows.len() as u64 == MOST;
                rows
            }
            Heard::End => return Ok(()),
        };
    }
}

/// Waits for more of a run. Where many watch it, each of them reading the store at each event would cost them dearly: what
/// is heard is taken, where nothing is missing.
async fn next(
    live: &mut broadcast::Receiver<Arc<[EventRow]>>,
    id: RunId,
    last: i64,
    sink: &mpsc::Sender<Value>,
) -> Heard {
    loop {
        let events = tokio::select! {
            () = sink.closed() => return Heard::End,
            events = live.recv() => events,
        };
        match events {
            Ok(events) if events.is_empty() => return Heard::Something,
            Ok(events) => {
                let own = |event: &&EventRow| event.run == id && event.seq > last;
                let rows: Vec<EventRow> = events.iter().filter(own).cloned().collect();
                if rows.is_empty() {
                    continue;
                }
                let is_next = rows.iter().zip(last + 1..).all(|(row, seq)| row.seq == seq);
                return if is_next { Heard::Next(rows) } else { Heard::Something };
            }
            Err(RecvError::Lagged(_)) => return Heard::Something,
            Err(RecvError::Closed) => return Heard::End,
        }
    }
}
