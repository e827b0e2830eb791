//! What the store keeps, as values. Rows are the truth the engine recovers from; events are the proof.

use std::fmt;

use weir_core::ids::{RunId, TaskIx};
use weir_core::time::Timestamp;

/// A run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRow {
    /// Its number.
    pub id: i64,
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// The flow version that it runs: the hash of the bundle.
    pub version: String,
    /// `weir_core::run::RunState` as its code.
    pub state: u8,
    /// Why it is in this state, for people.
    pub reason: Option<String>,
    /// Nothing new starts until it is resumed.
    pub paused: bool,
    /// The run this one is a rerun of.
    pub origin: Option<i64>,
    /// The attempt that began it, as `run/task/attempt`; unique.
    pub parent: Option<String>,
    /// Parameters as JSON; secret ones are sealed.
    pub params: String,
    /// The words given against `destroys`, as a JSON list.
    pub confirm: String,
    /// How it began, as JSON: what is disabled or reused.
    pub start: String,
    /// Runs with the same key count together for concurrency.
    pub key: String,
    /// Who or what began it.
    pub by: String,
    /// The time it was for.
    pub due_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first job could start.
    pub started_at: Option<Timestamp>,
    /// When it ended. There exactly in final states.
    pub ended_at: Option<Timestamp>,
    /// The number of its last event.
    pub seq: i64,
}

/// What changes in a run that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct RunChange {
    /// The run.
    pub id: i64,
    /// Its state's code.
    pub state: u8,
    /// Why, for people.
    pub reason: Option<String>,
    /// Nothing new starts until it is resumed.
    pub paused: bool,
    /// When its first job could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The number of its last event.
    pub seq: i64,
}

/// A task. A task that has never moved has no row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskRow {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskIx,
    /// `weir_core::run::TaskState` as its code.
    pub state: u8,
    /// `weir_core::run::Cause` as its code.
    pub cause: u8,
    /// The number of its last attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that count against `retry.attempts`.
    pub tries: u32,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it is due (retrying), or must have ended (launching, running).
    pub until: Option<Timestamp>,
    /// What belongs to the state: the question asked, the remedy at work, why it is cancelled. 0 if nothing.
    pub extra: i64,
}

/// Tasks that were added to a run: the items of a `foreach`, or the jobs of a remedy.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockRow {
    /// The run.
    pub run: RunId,
    /// The first of the new tasks.
    pub first: TaskIx,
    /// The task they belong to.
    pub owner: TaskIx,
    /// The scope they are tasks of.
    pub scope: u32,
    /// How many items; 1 for a remedy.
    pub count: u32,
    /// The remedy's number in the graph; `None` for a `foreach`.
    pub remedy: Option<u32>,
    /// The items as a JSON list, for a `foreach`.
    pub items: Option<String>,
}

/// One try of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskIx,
    /// Which try; from 1.
    pub number: u32,
    /// `weir_core::run::TaskState` as its code: launching, running or a final one.
    pub state: u8,
    /// When it was launched.
    pub started_at: Timestamp,
    /// When it ended. There exactly in final states.
    pub ended_at: Option<Timestamp>,
    /// The exit code, where there is one.
    pub exit_code: Option<i32>,
    /// The signal, where there is one.
    pub signal: Option<i32>,
    /// `weir_core::outcome::ErrorClass` as its number.
    pub class: Option<u8>,
    /// What went wrong, for people; secrets masked.
    pub message: Option<String>,
    /// What its job type needs to find it again; `None` if the attempt folder tells all.
    pub handle: Option<String>,
}

/// What a task left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskIx,
    /// Its outputs as a JSON object.
    pub outputs: String,
}

/// The record that a signature matched.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagnosisRow {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskIx,
    /// The attempt.
    pub attempt: u32,
    /// When it was recognised.
    pub at: Timestamp,
    /// The remedy's id, such as `HDFS-02`.
    pub signature: String,
    /// Evidence as JSON: line, offset, captures, lines around, other matches.
    pub evidence: String,
    /// What followed, as text: `retry`, `ask` ...
    pub then: String,
    /// Whether what follows was carried out, not only found or asked about: it counts against the remedy's limit.
    pub used: bool,
    /// How that ended: `cured`, `failed`, `again`; `None` while it is not known.
    pub result: Option<String>,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// The run.
    pub run: RunId,
    /// Its number in the run, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// `weir_core::run::RecordKind` as its code.
    pub kind: u8,
    /// The task, if it is about one.
    pub task: Option<TaskIx>,
    /// The attempt, if it is about one.
    pub attempt: Option<u32>,
    /// Who did it, if a person or another system.
    pub by: Option<String>,
    /// More, as JSON.
    pub detail: Option<String>,
}

/// A flow version: the texts it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    /// The hash of the bundle, lower-case hex.
    pub hash: String,
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// The texts as JSON: each a file's name and the hash of its blob.
    pub texts: String,
    /// When it was first seen.
    pub at: Timestamp,
}

/// A text by its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct BlobRow {
    /// SHA-256 of the content, lower-case hex.
    pub hash: String,
    /// The content.
    pub content: Vec<u8>,
}

/// A sealed value under a name.
#[derive(Clone, PartialEq)]
pub struct SecretRow {
    /// Where it counts: a project's name, or empty for everywhere.
    pub scope: String,
    /// What it is known by.
    pub name: String,
    /// The value, sealed.
    pub sealed: Vec<u8>,
    /// The key it was sealed with.
    pub key_id: String,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
}

impl fmt::Debug for SecretRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRow({}/{}, sealed with {})", self.scope, self.name, self.key_id)
    }
}

/// How often a signature matched, and how often its remedy cured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureCount {
    /// The remedy's id, such as `HDFS-02`.
    pub signature: String,
    /// How often it matched.
    pub met: u64,
    /// How often that ended `cured`.
    pub cured: u64,
    /// How often it ended otherwise; the rest is not known yet.
    pub not_cured: u64,
}

/// Everything that one turn of the loop writes. Committed whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Texts not seen before.
    pub blobs: Vec<BlobRow>,
    /// Flow versions not seen before.
    pub versions: Vec<VersionRow>,
    /// New runs.
    pub new_runs: Vec<RunRow>,
    /// Runs that changed; the last word on a run wins.
    pub runs: Vec<RunChange>,
    /// Tasks that changed; the last word on a task wins.
    pub tasks: Vec<TaskRow>,
    /// Tasks that were added.
    pub blocks: Vec<BlockRow>,
    /// Attempts that changed; the last word on an attempt wins.
    pub attempts: Vec<AttemptRow>,
    /// What tasks left behind; the last word wins.
    pub results: Vec<ResultRow>,
    /// Signatures that matched; the last word on (run, task, attempt) wins.
    pub diagnoses: Vec<DiagnosisRow>,
    /// What happened, all of it.
    pub events: Vec<EventRow>,
    /// Requests that count once and were met now.
    pub requests: Vec<super::people::RequestRow>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        let Self {
            blobs,
            versions,
            new_runs,
            runs,
            tasks,
            blocks,
            attempts,
            results,
            diagnoses,
            events,
            requests,
        } = self;
        blobs.len()
            + versions.len()
            + new_runs.len()
            + runs.len()
            + tasks.len()
            + blocks.len()
            + attempts.len()
            + results.len()
            + diagnoses.len()
            + events.len()
            + requests.len()
    }

    /// Puts `later` behind this one: committing both in order and committing the sum is the same.
    pub fn append(&mut self, mut later: Self) {
        self.blobs.append(&mut later.blobs);
        self.versions.append(&mut later.versions);
        self.new_runs.append(&mut later.new_runs);
        self.runs.append(&mut later.runs);
        self.tasks.append(&mut later.tasks);
        self.blocks.append(&mut later.blocks);
        self.attempts.append(&mut later.attempts);
        self.results.append(&mut later.results);
        self.diagnoses.append(&mut later.diagnoses);
        self.events.append(&mut later.events);
        self.requests.append(&mut later.requests);
    }
}

/// A run with all that is needed to move it on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedRun {
    /// The run.
    pub run: RunRow,
    /// Its tasks that have moved, by number.
    pub tasks: Vec<TaskRow>,
    /// Its added tasks, by first task.
    pub blocks: Vec<BlockRow>,
    /// How often each remedy was used: (task, signature, count).
    pub used: Vec<(TaskIx, String, u32)>,
}
