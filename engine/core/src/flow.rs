//! What a flow is: the typed form of a flow file and of its project, as the rest of Weir reads it.
//!
//! Text becomes this in `flow::parse`, is judged in `flow::check` and becomes the numbers that a run moves on in
//! `flow::compile`. Nothing here opens a file.

mod check;
pub mod compile;
mod lint;
mod load;
mod names;
mod param;
mod parse;
mod schema;
mod spread;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hosts::Login;
use crate::mistake::Place;

pub use load::{load, load_project};
pub use schema::json_schema;
pub use spread::{selector, spread};

/// One flow, as its file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// The flow's name: letters, digits, `-` and `_`.
    pub name: String,
    /// What people read.
    pub title: Option<String>,
    /// Longer words on what it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub labels: BTreeMap<String, String>,
    /// What may be set when a run begins, in the file's order.
    pub params: Vec<Param>,
    /// The jobs, in the file's order.
    pub jobs: Vec<Job>,
    /// Jobs around the run.
    pub hooks: Hooks,
    /// What a failure does to the rest of the run.
    pub on_failure: OnFailure,
    /// How many runs of this flow may move at once.
    pub concurrency: Concurrency,
    /// After which the run is cancelled and has failed.
    pub timeout: Option<Duration>,
    /// When a start or an end counts as late.
    pub late: Option<Late>,
    /// Things that one run at a time may work on (templates over `params`).
    pub locks: Vec<Text>,
    /// Who is told of what. Carried out by the server.
    pub notify: Vec<Notify>,
    /// When it runs by itself. Carried out by the scheduler.
    pub schedules: Vec<Schedule>,
}

/// What may be set when a run begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name: a letter, then letters, digits and `_`.
    pub name: String,
    /// What values it takes.
    pub kind: ParamKind,
    /// The value when none is given. Without one the parameter must be given.
    pub default: Option<Value>,
    /// The only values allowed, if not empty.
    pub choices: Vec<Value>,
    /// What the text must match as a whole (a regular expression).
    pub pattern: Option<String>,
    /// Least value, for numbers and integers; least length for strings.
    pub min: Option<f64>,
    /// Greatest value, for numbers and integers; greatest length for strings.
    pub max: Option<f64>,
    /// What people read.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    List,
    /// A mapping of names to anything.
    Object,
    /// Text that is sealed at rest and masked everywhere.
    Secret,
}

/// A text in which `{{ }}` and `{% %}` are filled in when the job starts, with the place it stands at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text as written.
    pub source: String,
    /// Where its first character stands.
    pub place: Place,
}

/// A node of the DAG: one thing done somewhere, or a group of jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// What people read.
    pub title: Option<String>,
    /// Where its name stands.
    pub place: Place,
    /// The job type, and its settings. `None` for a group.
    pub uses: Option<Uses>,
    /// The jobs of a group. Empty for a single job.
    pub jobs: Vec<Job>,
    /// The jobs that must have ended first: names in the same group, and where each stands.
    pub needs: Vec<Text>,
    /// How they must have ended.
    pub after: After,
    /// An expression that must hold, too.
    pub when: Option<Text>,
    /// An expression that yields a list; each item makes a task.
    pub foreach: Option<Text>,
    /// How many items at once; all if not said.
    pub parallel: Option<u32>,
    /// The first item that fails ends the others.
    pub fail_fast: bool,
    /// How often and when to try again.
    pub retry: Retry,
    /// After which an attempt is ended.
    pub timeout: Option<Duration>,
    /// The time between TERM and KILL.
    pub grace: Duration,
    /// Holds if there is nothing left to do: then the job is *already done*.
    pub unless: Option<Uses>,
    /// Must hold after the work, or the attempt has failed.
    pub verify: Option<Uses>,
    /// What the job must leave behind: names, and patterns over the whole value.
    pub outputs: Vec<Output>,
    /// Variables for the work.
    pub env: Vec<(String, Text)>,
    /// The folder it works in.
    pub working_dir: Option<Text>,
    /// The user it works as (needs root).
    pub run_as: Option<Text>,
    /// Bounds on what it may use.
    pub limits: Limits,
    /// What is lost for good when it runs (a template over `params` and `item`). Must be confirmed in these words.
    pub destroys: Option<Text>,
    /// Named slots that it takes while it runs.
    pub pools: Vec<PoolUse>,
    /// Things that one task at a time may work on.
    pub locks: Vec<Text>,
    /// When a start or an end counts as late.
    pub late: Option<Late>,
    /// Its failure fails nothing else.
    pub allow_failure: bool,
    /// What to do when nobody knows how it ended.
    pub on_lost: OnLost,
    /// Failures known to its author, and what cures them.
    pub recover: Vec<Recover>,
}

/// A job type with its settings: one piece of work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uses {
    /// The job type's name.
    pub job_type: String,
    /// Where that name stands.
    pub place: Place,
    /// The settings; texts in them are templates.
    pub with: Value,
    /// Where each text of `with` stands, by JSON pointer (RFC 6901).
    pub places: BTreeMap<String, Place>,
}

/// How the jobs that a job needs must have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Each did its work (or need not, or was disabled).
    #[default]
    AllSuccess,
    /// They have ended, however.
    AllDone,
    /// At least one did its work.
    OneSuccess,
    /// At least one failed or was cancelled.
    OneFailed,
    /// Each failed or was cancelled.
    AllFailed,
    /// None failed nor was cancelled; skipped ones do not matter.
    NoneFailed,
}

impl After {
    /// Whether a job with this rule may still start once its run is failing.
    pub fn is_for_failure(self) -> bool {
        match self {
            Self::AllDone | Self::OneFailed | Self::AllFailed => true,
            Self::AllSuccess | Self::OneSuccess | Self::NoneFailed => false,
        }
    }
}

/// What a failed task does to the rest of its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// What runs goes on; nothing new starts but what is made for failure.
    #[default]
    FinishRunning,
    /// What runs is ended, too.
    Cancel,
    /// Whatever does not need the failed task goes on.
    FinishPossible,
}

/// How many runs of a flow may move at once, and what happens to one more.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    /// What happens to one more.
    pub policy: ConcurrencyPolicy,
    /// How many may move.
    pub limit: u32,
    /// Counts runs with the same value apart (a template over `params`).
    pub key: Option<Text>,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { policy: ConcurrencyPolicy::Parallel, limit: 0, key: None }
    }
}

/// What happens to a run when as many of its flow move as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConcurrencyPolicy {
    /// It waits its turn.
    Queue,
    /// It ends at once, cancelled.
    Skip,
    /// It moves all the same.
    Parallel,
    /// The oldest is cancelled; this one begins when that has ended.
    CancelRunning,
    /// It moves, but each job waits until the run before has ended that job.
    Pipeline,
}

/// How often and when to try again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all; 1 is no retry.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub delay: Duration,
    /// What the wait is multiplied by each time.
    pub backoff: f64,
    /// The longest wait.
    pub max_delay: Duration,
    /// The part of the wait, from 0 to 1, that is left to chance.
    pub jitter: f64,
    /// The classes of failure that are tried again.
    pub on: Vec<crate::outcome::ErrorClass>,
}

impl Default for Retry {
    fn default() -> Self {
        use crate::outcome::ErrorClass as Class;
        Self {
            attempts: 1,
            delay: Duration::from_secs(10),
            backoff: 2.0,
            max_delay: Duration::from_mins(5),
            jitter: 0.1,
            on: vec![
                Class::Exit,
                Class::Timeout,
                Class::Connection,
                Class::Lost,
                Class::Quota,
                Class::Verify,
                Class::Output,
            ],
        }
    }
}

/// A name and the pattern that its whole value must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name.
    pub name: String,
    /// A regular expression; by default anything but nothing.
    pub pattern: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// Bounds on what an attempt may use. `None` is no bound of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Limits {
    /// Memory in bytes (cgroup where writable, else `RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Processor time in seconds (`RLIMIT_CPU`).
    pub cpu_time: Option<u64>,
    /// Processors, in thousandths of one (cgroup only).
    pub cpus_milli: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes (cgroup where writable, else `RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// The largest file it may write, in bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// The log's size in bytes beyond which its middle is dropped.
    pub log_size: Option<u64>,
}

/// Slots of a pool that a task takes while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The pool's name.
    pub name: String,
    /// How many of its slots.
    pub slots: u32,
    /// Who goes first: higher before lower.
    pub priority: i32,
    /// Where it stands.
    pub place: Place,
}

/// When a start or an end counts as late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// Longest wait from the run's due time to the start.
    pub start_within: Option<Duration>,
    /// Longest wait from the run's due time to the end.
    pub finish_within: Option<Duration>,
    /// What follows.
    pub then: LateThen,
}

/// What follows lateness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateThen {
    /// Whoever asked for it is told.
    #[default]
    Notify,
    /// It is cancelled, too.
    Cancel,
}

/// What to do with a task when nobody knows how its attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLost {
    /// As for any other failure: its retries decide. A job that destroys asks.
    #[default]
    Fail,
    /// One more attempt, even where the retries say no.
    Retry,
    /// A person decides.
    Ask,
}

/// Jobs around the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    /// Before the first job. If one fails the run fails and nothing else starts.
    pub on_start: Vec<Job>,
    /// When all has ended well.
    pub on_success: Vec<Job>,
    /// When the run has failed.
    pub on_failure: Vec<Job>,
    /// At the very end, however it went, but not after a kill.
    pub on_exit: Vec<Job>,
}

/// One entry of a job's or a project's `recover`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recover {
    /// An entry of the catalogue by its id. What else is said here overrides it.
    pub catalogue: Option<Text>,
    /// What the failure looks like.
    pub signature: Option<Signature>,
    /// What it means, for people.
    pub diagnosis: Option<String>,
    /// The jobs that cure it.
    pub jobs: Vec<Job>,
    /// What follows.
    pub then: Option<Then>,
    /// How often for one task.
    pub limit: Option<u32>,
    /// Where it stands.
    pub place: Place,
}

/// What a known failure looks like. All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// A regular expression over a line of the log.
    pub log: Option<String>,
    /// Exit codes.
    pub exit: Vec<i32>,
    /// Classes of failure.
    pub class: Vec<crate::outcome::ErrorClass>,
    /// Job types it may be met in; any if empty. `ssh` also stands for `ssh.*`.
    pub job_types: Vec<String>,
}

/// What follows a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The task is tried again.
    Retry,
    /// An earlier job and all between it and this one run again.
    RetryFrom(Text),
    /// The task counts as done.
    Continue,
    /// A person decides.
    Ask,
    /// The task has failed.
    Fail,
}

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The reasons.
    pub on: Vec<String>,
    /// The receivers, such as `mail:ops@example.org` or `webhook:dingtalk`.
    pub to: Vec<String>,
}

/// When a flow runs by itself, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name within the flow.
    pub id: String,
    /// The keys as written, judged by the scheduler.
    pub keys: Value,
    /// Where it stands.
    pub place: Place,
}

/// A folder of flows: what they share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// The project's name.
    pub name: String,
    /// What people read.
    pub title: Option<String>,
    /// Settings that each job of its flows has unless it says otherwise.
    pub defaults: Defaults,
    /// Names of secrets that its flows may use.
    pub secrets: Vec<String>,
    /// How many slots each pool has.
    pub pools: BTreeMap<String, u32>,
    /// The machines that flows act on, by name.
    pub hosts: BTreeMap<String, Host>,
    /// `accept-new`, or a file of known host keys beside the project's file.
    pub known_hosts: Option<String>,
    /// Failures known to the project.
    pub recover: Vec<Recover>,
}

/// What the jobs of a project's flows have unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// Retries.
    pub retry: Option<Retry>,
    /// After which an attempt is ended.
    pub timeout: Option<Duration>,
    /// The time between TERM and KILL.
    pub grace: Option<Duration>,
    /// Variables for the work; a job's own win.
    pub env: Vec<(String, Text)>,
    /// The folder to work in.
    pub working_dir: Option<Text>,
    /// The user to work as.
    pub run_as: Option<Text>,
    /// Bounds.
    pub limits: Option<Limits>,
    /// For flows that say nothing.
    pub on_failure: Option<OnFailure>,
}

/// A machine that flows act on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its name in the project.
    pub name: String,
    /// Where it answers.
    pub address: String,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// Values for templates.
    pub vars: BTreeMap<String, Value>,
    /// How to get there and log in.
    pub login: Login,
}
