//! The rows and events of one run, kept as a store keeps them: from the records of each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_core::graph::Graph;
use weir_core::ids::{RunId, TaskIx};
use weir_core::run::{
    AttemptImage, Image, Kept, Record, RecordKind, Run, RunState, SavedBlock, SavedHead, SavedTask,
    TaskImage, TaskState, fold,
};
use weir_core::time::Timestamp;

/// What is durable of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    pub(crate) id: RunId,
    pub(crate) state: RunState,
    pub(crate) paused: bool,
    pub(crate) due_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) tasks: BTreeMap<u32, Saved>,
    pub(crate) blocks: Vec<SavedBlock>,
    pub(crate) used: BTreeMap<(u32, u32), u32>,
    pub(crate) late: BTreeSet<Option<TaskIx>>,
    /// State, launched, ended: by task and number.
    pub(crate) attempts: BTreeMap<(u32, u32), (u8, Timestamp, Option<Timestamp>)>,
}

/// A task's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Saved {
    pub(crate) state: TaskState,
    pub(crate) cause: weir_core::run::Cause,
    pub(crate) attempt: u32,
    pub(crate) tries: u16,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Rows {
    pub(crate) fn new(run: &Run) -> Self {
        Self {
            id: run.id(),
            state: RunState::Queued,
            paused: false,
            due_at: run.due_at(),
            started_at: None,
            ended_at: None,
            tasks: BTreeMap::new(),
            blocks: Vec::new(),
            used: BTreeMap::new(),
            late: BTreeSet::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Keeps what a step left.
    pub(crate) fn apply(&mut self, run: &Run, records: &[Record], now: Timestamp) {
        for record in records {
            let ix = record.task.map_or(0, |task| task.0);
            match record.kind {
                RecordKind::Task(state) => {
                    let task = run.tasks()[ix as usize];
                    let saved = Saved {
                        state: task.state,
                        cause: task.cause,
                        attempt: task.attempt,
                        tries: task.tries,
                        since: task.since,
                        until: task.until,
                    };
                    self.tasks.insert(ix, saved);
                    self.attempt_moves(ix, record.attempt, state, now);
                }
                RecordKind::Run(state) => {
                    self.state = state;
                }
                RecordKind::AttemptEnded(state) => {
                    let attempt = self.attempts.get_mut(&(ix, record.attempt));
                    let attempt = attempt.expect("what ends has begun");
                    *attempt = (state.code(), attempt.1, Some(now));
                }
                RecordKind::Added { first, count, remedy } => {
                    if let Some(remedy) = remedy {
                        *self.used.entry((ix, remedy)).or_insert(0) += 1;
                    }
                    if count > 0 {
                        let block = run.added().iter().find(|block| block.first.0 == first);
                        self.blocks.push(*block.expect("what was added is there"));
                    }
                }
                RecordKind::Paused => self.paused = true,
                RecordKind::Resumed => self.paused = false,
                RecordKind::Late => {
                    self.late.insert(record.task);
                }
                RecordKind::NotEnded => {}
            }
        }
        self.started_at = run.started_at();
        self.ended_at = run.ended_at();
    }

    fn attempt_moves(&mut self, ix: u32, number: u32, state: TaskState, now: Timestamp) {
        if state == TaskState::Launching {
            self.attempts.insert((ix, number), (state.code(), now, None));
        } else if let Some(attempt) =
            self.attempts.get_mut(&(ix, number)).filter(|attempt| attempt.2.is_none())
        {
            if state.is_final() {
                *attempt = (state.code(), attempt.1, Some(now));
            } else if state == TaskState::Running {
                attempt.0 = state.code();
            }
        }
    }

    /// The run, made again.
    pub(crate) fn restore(&self, graph: &Arc<Graph>) -> Run {
        let head = SavedHead {
            id: self.id,
            state: self.state,
            paused: self.paused,
            due_at: self.due_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
        };
        let tasks: Vec<SavedTask> = self
            .tasks
            .iter()
            .map(|(ix, saved)| SavedTask {
                task: TaskIx(*ix),
                state: saved.state,
                cause: saved.cause,
                attempt: saved.attempt,
                tries: saved.tries,
                since: saved.since,
                until: saved.until,
            })
            .collect();
        let used: Vec<(TaskIx, u32, u32)> =
            self.used.iter().map(|((ix, remedy), n)| (TaskIx(*ix), *remedy, *n)).collect();
        let mut run = Run::restore(Arc::clone(graph), head, &self.blocks, &tasks, &used)
            .expect("the rows belong to the graph");
        run.remember_late(self.late.iter().copied());
        run
    }

    /// What the events must add up to.
    pub(crate) fn image(&self) -> Image {
        Image {
            state: self.state.code(),
            paused: self.paused,
            ended_at: self.ended_at,
            tasks: self
                .tasks
                .iter()
                .map(|(ix, task)| {
                    let state = task.state.code();
                    (*ix, TaskImage { state, since: task.since, attempt: task.attempt })
                })
                .collect(),
            attempts: self
                .attempts
                .iter()
                .map(|(key, (state, started_at, ended_at))| {
                    let (state, started_at, ended_at) = (*state, *started_at, *ended_at);
                    (*key, AttemptImage { state, started_at, ended_at })
                })
                .collect(),
        }
    }
}

/// Adds the events of a step's records.
pub(crate) fn keep_events(events: &mut Vec<Kept>, records: &[Record], now: Timestamp) {
    for record in records {
        events.push(Kept {
            seq: events.len() as i64 + 1,
            at: now,
            kind: record.kind.code(),
            task: record.task.map(|task| task.0),
            attempt: record.task.map(|_| record.attempt),
        });
    }
}

/// Says where events and rows disagree, if they do.
pub(crate) fn disagreement(events: &[Kept], rows: &Rows) -> Option<String> {
    match fold(events.iter().copied()) {
        Ok(image) => image.compare(&rows.image()).first().map(ToString::to_string),
        Err(why) => Some(why),
    }
}
