//! The proof: what the events of a run add up to, to be compared with its rows. Deliberately not made with `step`.

use std::collections::BTreeMap;

use super::RunState;
use super::task::TaskState;
use crate::time::Timestamp;

/// An event as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the run, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// `RecordKind` as its number.
    pub kind: u8,
    /// The task, if it is about one.
    pub task: Option<u32>,
    /// The attempt, if it is about one.
    pub attempt: Option<u32>,
}

/// What rows and events must agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The run's state as its number.
    pub state: u8,
    /// Whether it is paused.
    pub paused: bool,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its tasks that have moved.
    pub tasks: BTreeMap<u32, TaskImage>,
    /// Its attempts, by task and number.
    pub attempts: BTreeMap<(u32, u32), AttemptImage>,
}

/// What rows and events must agree on of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskImage {
    /// Its state as its number.
    pub state: u8,
    /// Since when.
    pub since: Timestamp,
    /// The number of its last attempt.
    pub attempt: u32,
}

/// What rows and events must agree on of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptImage {
    /// Its state as its number.
    pub state: u8,
    /// When it was launched.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where rows and events do not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: the events say {events}, the rows say {rows}")]
pub struct Mismatch {
    /// What it is about.
    pub what: String,
    /// What the events add up to.
    pub events: String,
    /// What the rows hold.
    pub rows: String,
}

/// What the events of one run, in order, add up to.
///
/// # Errors
/// The numbers of the events have a gap, or an event can't be understood.
pub fn fold(events: impl IntoIterator<Item = Kept>) -> Result<Image, String> {
    let mut image = Image::default();
    let launching = TaskState::Launching.code();
    let running = TaskState::Running.code();
    for (seq, event) in (1..).zip(events) {
        if event.seq != seq {
            return Err(format!("event {seq} is missing: {} follows", event.seq));
        }
        match (event.kind, event.task) {
            (code, Some(task)) if code < 32 => {
                let state = TaskState::from_code(code, 1)
                    .ok_or_else(|| format!("event {seq}: no task state has number {code}"))?;
                let number = event.attempt.unwrap_or(0);
                image
                    .tasks
                    .insert(task, TaskImage { state: code, since: event.at, attempt: number });
                if code == launching {
                    image.attempts.insert(
                        (task, number),
                        AttemptImage { state: code, started_at: event.at, ended_at: None },
                    );
                } else if let Some(attempt) = image
                    .attempts
                    .get_mut(&(task, number))
                    .filter(|attempt| attempt.ended_at.is_none())
                {
                    if state.is_final() {
                        *attempt =
                            AttemptImage { state: code, ended_at: Some(event.at), ..*attempt };
                    } else if code == running {
                        attempt.state = code;
                    }
                }
            }
            (code, None) if (32..64).contains(&code) => {
                let state = RunState::from_code(code - 32)
                    .ok_or_else(|| format!("event {seq}: no run state has number {}", code - 32))?;
                image.state = state.code();
                image.ended_at = state.is_final().then_some(event.at);
            }
            (code, Some(task)) if (64..96).contains(&code) => {
                let key = (task, event.attempt.unwrap_or(0));
                let attempt = image
                    .attempts
                    .get_mut(&key)
                    .ok_or_else(|| format!("event {seq}: an attempt ended that never began"))?;
                *attempt = AttemptImage { state: code - 64, ended_at: Some(event.at), ..*attempt };
            }
            (97, None) => image.paused = true,
            (98, None) => image.paused = false,
            (96 | 100, Some(_)) | (99, _) => {}
            (code, _) => return Err(format!("event {seq} of kind {code} can't be understood")),
        }
    }
    Ok(image)
}

impl Image {
    /// All places where these rows differ from what the events add up to.
    pub fn compare(&self, rows: &Self) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut differ = |what: String, events: String, rows: String| {
            if events != rows {
                found.push(Mismatch { what, events, rows });
            }
        };
        differ("the run's state".into(), self.state.to_string(), rows.state.to_string());
        differ(
            "whether the run is paused".into(),
            self.paused.to_string(),
            rows.paused.to_string(),
        );
        differ(
            "the run's end".into(),
            format!("{:?}", self.ended_at),
            format!("{:?}", rows.ended_at),
        );
        for task in
            self.tasks.keys().chain(rows.tasks.keys().filter(|task| !self.tasks.contains_key(task)))
        {
            differ(
                format!("task {task}"),
                format!("{:?}", self.tasks.get(task)),
                format!("{:?}", rows.tasks.get(task)),
            );
        }
        for key in self
            .attempts
            .keys()
            .chain(rows.attempts.keys().filter(|key| !self.attempts.contains_key(key)))
        {
            differ(
                format!("attempt {} of task {}", key.1, key.0),
                format!("{:?}", self.attempts.get(key)),
                format!("{:?}", rows.attempts.get(key)),
            );
        }
        found
    }
}
