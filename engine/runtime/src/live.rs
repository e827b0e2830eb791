//! A run in memory: its state, the values that go with it, and the rows that its records become.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::flow::Host;
use weir_core::flow::compile::Compiled;
use weir_core::graph::JobKind;
use weir_core::ids::{JobIx, RunId, TaskIx};
use weir_core::job_type::Handle;
use weir_core::outcome::{Failure, Outputs};
use weir_core::params::Values;
use weir_core::run::{Record, RecordKind, Run, Start, TaskState};
use weir_core::time::Timestamp;

use crate::store::rows::{
    AttemptRow, Batch, BlockRow, DiagnosisRow, EventRow, RunChange, RunRow, TaskRow,
};
use crate::turn::json;

/// What an origin knows of a task, for reruns: found by path when a `foreach` expands.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginResults {
    /// Results by path: the item it was for, whether it ended well, its outputs.
    pub(crate) tasks: BTreeMap<String, (Option<Value>, bool, Outputs)>,
    /// Whether items that ended well are reused at all.
    pub(crate) reuses_items: bool,
}

/// A run that has not ended, with all that is needed to move it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) run: Run,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) row: RunRow,
    pub(crate) values: Arc<Values>,
    pub(crate) hosts: Arc<BTreeMap<String, Host>>,
    pub(crate) confirm: Vec<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) outputs: BTreeMap<TaskIx, Outputs>,
    pub(crate) items: BTreeMap<TaskIx, Vec<Value>>,
    pub(crate) captures: BTreeMap<TaskIx, Value>,
    pub(crate) open: BTreeMap<TaskIx, AttemptRow>,
    pub(crate) origin: OriginResults,
    pub(crate) has_results: bool,
    pub(crate) folder: PathBuf,
    /// The last diagnosis of each task whose outcome is not known yet.
    pub(crate) diagnosed: BTreeMap<TaskIx, DiagnosisRow>,
    /// A known failure was cured in it.
    pub(crate) is_cured: bool,
    /// The last attempt that failed, in words, as far as this engine saw it.
    pub(crate) failure: Option<String>,
    /// How many runs of the flow may move beside it, whatever the flow says.
    pub(crate) parallel: Option<u32>,
    /// Attempts that an earlier engine may have begun.
    pub(crate) adopted: BTreeSet<(TaskIx, u32)>,
}

/// How a run began, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Began {
    #[serde(flatten)]
    pub(crate) start: Start,
    /// The project's folder, where its jobs work unless they say otherwise.
    pub(crate) folder: PathBuf,
    /// Whether items of a `foreach` that ended well in the origin are reused.
    pub(crate) reuses_items: bool,
    /// How many runs of the flow may move beside it, whatever the flow says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel: Option<u32>,
}

/// What the engine knows about an event beyond what `step` needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) by: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) failure: Option<Failure>,
    /// What its work asks a person.
    pub(crate) asked: Option<String>,
    pub(crate) items: Option<Vec<Value>>,
}

impl Note {
    /// What is wrong: for the event and for the attempt.
    pub(crate) fn of(failure: Failure) -> Self {
        let detail = Some(format!("{{\"message\":{}}}", json(&failure.message)));
        Self { detail, failure: Some(failure), ..Self::default() }
    }
}

impl Live {
    pub(crate) fn id(&self) -> RunId {
        self.run.id()
    }

    pub(crate) fn job_name(&self, job: JobIx) -> &str {
        &self.compiled.jobs[job.at()].name
    }

    pub(crate) fn path(&self, task: TaskIx) -> String {
        self.run.path(task, &|job| self.job_name(job))
    }

    pub(crate) fn find(&self, path: &str) -> Option<TaskIx> {
        self.run.find(path, &|job| self.job_name(job))
    }

    /// What finds the work of an attempt again.
    pub(crate) fn handle_of(&self, task: TaskIx, number: u32) -> Option<Handle> {
        let row = self.open.get(&task).filter(|row| row.number == number)?;
        row.handle.clone().map(Handle)
    }

    /// Whether an attempt of the task is, or may be, at work: groups have none, nor has a task whose remedy is ended.
    pub(crate) fn is_at_work(&self, task: TaskIx) -> bool {
        let at = &self.run.tasks()[task.at()];
        match self.run.graph().job(at.job).kind {
            JobKind::Group(_) | JobKind::Foreach { .. } => return false,
            JobKind::Work | JobKind::Instant | JobKind::Asks => {}
        }
        let mut held = self.run.children(task.0).map(|child| &self.run.tasks()[child as usize]);
        at.state.is_active() && held.all(|held| held.state.is_final())
    }

    /// What a reused task left behind in the origin.
    pub(crate) fn outputs_of_origin(&self, task: TaskIx) -> Outputs {
        let before = self.origin.tasks.get(&self.path(task));
        before.map(|(_, _, outputs)| outputs.clone()).unwrap_or_default()
    }

    /// Turns the records of one step into rows.
    pub(crate) fn keep(
        &mut self,
        records: &[Record],
        mut note: Note,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let id = self.id();
        for record in records {
            self.row.seq += 1;
            let mut detail = None;
            match (record.kind, record.task) {
                (RecordKind::Task(state), Some(task)) => {
                    batch.tasks.push(self.task_row(task));
                    self.keep_attempt(task, record.attempt, state, &mut note, now, batch);
                    if let Some(text) = note.detail.take() {
                        detail = Some(text);
                    }
                }
                (RecordKind::AttemptEnded(state), Some(task)) => {
                    self.keep_attempt(task, record.attempt, state, &mut note, now, batch);
                }
                (RecordKind::Added { first, count, remedy }, Some(owner)) => {
                    if let Some(remedy) = remedy {
                        detail = Some(format!(
                            "{{\"remedy\":{}}}",
                            Value::from(self.compiled.remedies[remedy as usize].id.clone())
                        ));
                    }
                    let added =
                        self.run.added().iter().find(|added| {
                            count > 0 && added.first.0 == first && added.owner == owner
                        });
                    if let Some(added) = added {
                        let items = note.items.take();
                        batch.blocks.push(BlockRow {
                            run: id,
                            first: added.first,
                            owner,
                            scope: added.scope.0,
                            count,
                            remedy,
                            items: items
                                .as_ref()
                                .map(|items| Value::from(items.clone()).to_string()),
                        });
                        if let Some(items) = items {
                            self.items.insert(owner, items);
                        }
                    }
                }
                (RecordKind::Run(state), _) => {
                    if let Some(text) = note.detail.take() {
                        detail = Some(text);
                    }
                    self.row.state = state.code();
                }
                (RecordKind::NotEnded, Some(task)) => {
                    detail = note.detail.take();
                    if let Some(failure) = note.failure.take() {
                        self.keep_trouble(task, record.attempt, failure.message, batch);
                    }
                }
                (RecordKind::Paused | RecordKind::Resumed | RecordKind::Late, _)
                | (
                    RecordKind::Task(_)
                    | RecordKind::AttemptEnded(_)
                    | RecordKind::Added { .. }
                    | RecordKind::NotEnded,
                    None,
                ) => {}
            }
            batch.events.push(EventRow {
                run: id,
                seq: self.row.seq,
                at: now,
                kind: record.kind.code(),
                task: record.task,
                attempt: (record.attempt > 0).then_some(record.attempt),
                by: note.by.clone(),
                detail,
            });
        }
        if !records.is_empty() {
            self.row.paused = self.run.is_paused();
            self.row.started_at = self.run.started_at();
            self.row.ended_at = self.run.ended_at();
            batch.runs.push(self.change());
        }
    }

    pub(crate) fn change(&self) -> RunChange {
        RunChange {
            id: self.row.id,
            state: self.row.state,
            reason: self.row.reason.clone(),
            paused: self.row.paused,
            started_at: self.row.started_at,
            ended_at: self.row.ended_at,
            seq: self.row.seq,
        }
    }

    fn task_row(&self, task: TaskIx) -> TaskRow {
        let at = &self.run.tasks()[task.at()];
        TaskRow {
            run: self.id(),
            task,
            state: at.state.code(),
            cause: at.cause.code(),
            attempt: at.attempt,
            tries: u32::from(at.tries),
            since: at.since,
            until: (at.until != Timestamp::ZERO).then_some(at.until),
            extra: at.state.extra(),
        }
    }

    fn keep_attempt(
        &mut self,
        task: TaskIx,
        number: u32,
        state: TaskState,
        note: &mut Note,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let run = self.id();
        if state == TaskState::Launching {
            let row = AttemptRow {
                run,
                task,
                number,
                state: state.code(),
                started_at: now,
                ended_at: None,
                exit_code: None,
                signal: None,
                class: None,
                message: None,
                handle: None,
            };
            batch.attempts.push(row.clone());
            self.open.insert(task, row);
            return;
        }
        let Some(row) = self.open.get_mut(&task).filter(|row| row.number == number) else { return };
        if state == TaskState::Running {
            row.state = state.code();
            row.message = None;
            batch.attempts.push(row.clone());
        } else if state == TaskState::Unreachable {
            row.message = note.failure.take().map(|failure| failure.message);
            batch.attempts.push(row.clone());
        } else if state.is_final() {
            row.message = note.asked.take();
            row.state = state.code();
            row.ended_at = Some(now);
            row.exit_code = note.exit_code.take();
            if let Some(failure) = note.failure.take() {
                row.exit_code = failure.exit_code;
                row.signal = failure.signal;
                row.class = Some(failure.class as u8);
                row.message = Some(failure.message);
            }
            batch.attempts.push(row.clone());
            self.open.remove(&task);
        }
    }

    /// Keeps why an attempt that has not ended can't be reached, or can't be seen to end.
    pub(crate) fn keep_trouble(
        &mut self,
        task: TaskIx,
        attempt: u32,
        why: String,
        batch: &mut Batch,
    ) {
        if let Some(row) = self.open.get_mut(&task).filter(|row| row.number == attempt)
            && row.message.as_deref() != Some(&why)
        {
            row.message = Some(why);
            batch.attempts.push(row.clone());
        }
    }

    /// Keeps what a job type needs to find its running work again.
    pub(crate) fn keep_handle(
        &mut self,
        task: TaskIx,
        attempt: u32,
        handle: &Handle,
        batch: &mut Batch,
    ) {
        if handle.is_folder() {
            return;
        }
        if let Some(row) = self.open.get_mut(&task).filter(|row| row.number == attempt) {
            row.handle = Some(handle.0.clone());
            batch.attempts.push(row.clone());
        }
    }
}
