//! What the store keeps, as values. Rows are the truth the engine recovers from; events are the proof.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// A flow that a server has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// The version in effect.
    pub version: String,
    /// Where its text is.
    pub file: String,
    /// Its text is not there any more.
    pub is_gone: bool,
    /// Since when this version is in effect.
    pub at: Timestamp,
}

/// A schedule of a flow. Texts are shared: there may be very many in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its number.
    pub id: i64,
    /// The project, or empty.
    pub project: Arc<str>,
    /// The flow.
    pub flow: Arc<str>,
    /// Its id within the flow.
    pub name: Arc<str>,
    /// The flow version that says so.
    pub version: Arc<str>,
    /// What it says, for people and to be told apart.
    pub spec: Arc<str>,
    /// [`ScheduleState`] as its code.
    pub state: u8,
    /// Who paused it, if it is paused.
    pub paused_by: Option<String>,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
    /// All due times up to here are settled.
    pub up_to: Timestamp,
    /// The next due time, if one is known.
    pub next_due: Option<Timestamp>,
    /// The number of its last event.
    pub seq: i64,
    /// When it was first seen.
    pub at: Timestamp,
    /// What a person wrote who added it; `None` if the flow's file has it.
    pub own: Option<Arc<OwnSchedule>>,
}

/// A schedule that a person has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSchedule {
    /// A JSON object with the keys of a schedule in a flow file.
    pub text: String,
    /// Who added it.
    pub by: String,
}

/// What a schedule is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleState {
    /// It runs its flow.
    Active,
    /// No due time is left.
    Ended,
    /// No loaded flow has it.
    Removed,
}

impl ScheduleState {
    /// Its number in rows.
    pub fn code(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Ended => 1,
            Self::Removed => 2,
        }
    }

    /// Its name.
    pub fn name(code: u8) -> &'static str {
        match code {
            0 => "active",
            1 => "ended",
            _ => "removed",
        }
    }
}

/// Something that happened to a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEventRow {
    /// The schedule.
    pub schedule: i64,
    /// Its number, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// [`ScheduleEvent`] as its code.
    pub kind: u8,
    /// Who did it, if a person.
    pub by: Option<String>,
    /// More, as JSON.
    pub detail: Option<String>,
}

/// What can happen to a schedule. Its due times are told by [`FireRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleEvent {
    /// It was seen for the first time, or again after it was removed.
    Added,
    /// Its text says something else.
    Changed,
    /// No loaded flow has it any more.
    Removed,
    /// A person paused it.
    Paused,
    /// A person resumed it.
    Resumed,
    /// No due time is left.
    Ended,
    /// The clock was set back behind times that had been settled.
    SetBack,
}

impl ScheduleEvent {
    /// Its number in rows.
    pub fn code(self) -> u8 {
        match self {
            Self::Added => 0,
            Self::Changed => 1,
            Self::Removed => 2,
            Self::Paused => 3,
            Self::Resumed => 4,
            Self::Ended => 5,
            Self::SetBack => 6,
        }
    }
}

/// What became of a due time, or of a span of them that was missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireRow {
    /// The schedule.
    pub schedule: i64,
    /// The due time; the last of a span.
    pub due_at: Timestamp,
    /// The first of a span; else the due time.
    pub since: Timestamp,
    /// When it was settled.
    pub at: Timestamp,
    /// [`FireOutcome`] as its code.
    pub outcome: u8,
    /// The run that began.
    pub run: Option<i64>,
    /// What happened, where time alone does not tell: it begins one run.
    pub cause: Option<String>,
    /// Why there is no run, for people.
    pub reason: Option<String>,
}

/// What became of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FireOutcome {
    /// A run began.
    Run,
    /// It was missed, and its schedule does not make up for it.
    Missed,
    /// A run could not begin.
    Refused,
}

impl FireOutcome {
    /// Its number in rows.
    pub fn code(self) -> u8 {
        match self {
            Self::Run => 0,
            Self::Missed => 1,
            Self::Refused => 2,
        }
    }

    /// Its name.
    pub fn name(code: u8) -> &'static str {
        match code {
            0 => "run",
            1 => "missed",
            _ => "refused",
        }
    }
}

/// Somebody who is to be told of an event, or has been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// The run.
    pub run: RunId,
    /// The event of the run.
    pub seq: i64,
    /// `weir_core::notice::Reason` as its number.
    pub reason: u8,
    /// Who, such as `mail:ops@example.org`.
    pub receiver: String,
    /// What is the same: within a window one of these is sent.
    pub key: String,
    /// The project whose secrets say where it goes.
    pub project: String,
    /// The window.
    pub window: Duration,
    /// `weir_core::notice::Message` as JSON.
    pub message: String,
    /// [`NoticeState`] as its code.
    pub state: u8,
    /// How often it was sent.
    pub tries: u32,
    /// When it happened.
    pub at: Timestamp,
    /// When it is looked at next.
    pub due_at: Timestamp,
    /// When it was sent last, unless it surely did not arrive.
    pub told_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
    /// Why it has not arrived.
    pub error: Option<String>,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeState {
    /// It is to be sent.
    Waiting,
    /// The other side has taken it.
    Delivered,
    /// It could not be delivered for so long that it is not tried again.
    GivenUp,
}

impl NoticeState {
    /// Its number in rows.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name.
    pub fn name(code: u8) -> &'static str {
        match code {
            0 => "waiting",
            1 => "delivered",
            _ => "given-up",
        }
    }

    /// The state with that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Delivered, Self::GivenUp];
        all.into_iter().find(|state| Self::name(state.code()) == name)
    }
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
    /// Flows that were loaded or are gone; the last word on a flow wins.
    pub flows: Vec<FlowRow>,
    /// Schedules that changed; the last word on a schedule wins.
    pub schedules: Vec<ScheduleRow>,
    /// What happened to schedules, all of it.
    pub schedule_events: Vec<ScheduleEventRow>,
    /// What became of due times, all of it.
    pub fires: Vec<FireRow>,
    /// Who is to be told of what, or has been; the last word on a notice wins.
    pub notices: Vec<NoticeRow>,
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
            flows,
            schedules,
            schedule_events,
            fires,
            notices,
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
            + flows.len()
            + schedules.len()
            + schedule_events.len()
            + fires.len()
            + notices.len()
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
        self.flows.append(&mut later.flows);
        self.schedules.append(&mut later.schedules);
        self.schedule_events.append(&mut later.schedule_events);
        self.fires.append(&mut later.fires);
        self.notices.append(&mut later.notices);
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
