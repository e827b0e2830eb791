//! The proof that rows are what the events lead to.

use weir_core::run::{AttemptImage, Image, Kept, TaskImage, fold};

use crate::store::rows::{AttemptRow, EventRow, SavedRun};

/// Every difference between a run's rows and what its events add up to, in words.
pub(crate) fn differences(
    saved: &SavedRun,
    attempts: &[AttemptRow],
    events: &[EventRow],
) -> Vec<String> {
    let kept = events.iter().map(|event| Kept {
        seq: event.seq,
        at: event.at,
        kind: event.kind,
        task: event.task.map(|task| task.0),
        attempt: event.attempt,
    });
    let folded = match fold(kept) {
        Ok(image) => image,
        Err(why) => return vec![why],
    };
    let rows = Image {
        state: saved.run.state,
        paused: saved.run.paused,
        ended_at: saved.run.ended_at,
        tasks: saved
            .tasks
            .iter()
            .map(|row| {
                (row.task.0, TaskImage { state: row.state, since: row.since, attempt: row.attempt })
            })
            .collect(),
        attempts: attempts
            .iter()
            .map(|row| {
                let image = AttemptImage {
                    state: row.state,
                    started_at: row.started_at,
                    ended_at: row.ended_at,
                };
                ((row.task.0, row.number), image)
            })
            .collect(),
    };
    folded.compare(&rows).iter().map(ToString::to_string).collect()
}
