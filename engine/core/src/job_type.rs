//! What a kind of work must be able to do, and what it is given to do it with.
//!
//! A job type never writes to the store and never decides what comes next: it plans, starts, follows and cancels.
//! Work is split so that it survives a restart of the engine: `start` begins it or finds it begun, `follow` may be
//! called again by an engine that did not start it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::flow::Limits;
use crate::hosts::Route;
use crate::ids::AttemptId;
use crate::outcome::{ErrorClass, Failure, Outcome, Outputs};
use crate::schema::Schema;
use crate::secret::Secret;
use crate::time::Timestamp;

/// A kind of work.
#[async_trait]
pub trait JobType: Send + Sync {
    /// The name that flow files use, such as `command` or `hdfs.format`.
    fn name(&self) -> &str;

    /// What it is for: one sentence for `weir types` and the reference.
    fn about(&self) -> &str;

    /// The shape of `with:`. The check, the reference page and the form come from it.
    fn schema(&self) -> Schema;

    /// How the engine treats it.
    fn nature(&self) -> Nature {
        Nature::Work
    }

    /// Whether it works on hosts: then `with.hosts` selects them, each host is a task of its own, and
    /// [`AttemptContext::host`] is the way to it.
    fn works_on_hosts(&self) -> bool {
        false
    }

    /// Whether [`JobType::start`] does no more in one go than ask the supervisor for a process: then the engine's own
    /// thread may begin it.
    fn begins_at_once(&self) -> bool {
        false
    }

    /// What is wrong with these settings beyond their shape. Texts may still hold templates.
    fn check(&self, _with: &Value) -> Vec<Fault> {
        Vec::new()
    }

    /// The setting by which this loses something for good, if there is one: then the job must say in `destroys` what is
    /// lost. Texts may still hold templates; one that may turn out so counts.
    fn destroys_by(&self, _with: &Value) -> Option<&'static str> {
        None
    }

    /// What this would do, by reading only.
    ///
    /// # Errors
    /// What is needed to tell could not be read.
    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError>;

    /// Begins the work, or finds it if this attempt had already begun it.
    ///
    /// # Errors
    /// The work has surely not begun.
    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError>;

    /// Follows the work to its end. May be called again, after a crash, by another node.
    ///
    /// # Errors
    /// The end can't be told: [`ErrorClass::Connection`] means *unreachable, ask again*; anything else ends the attempt.
    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError>;

    /// Whether work that could not be reached answers again. Asked before it is followed anew; `false` also where only
    /// following can tell.
    async fn is_reachable(&self, _handle: &Handle, _with: &Value, _cx: &AttemptContext) -> bool {
        false
    }

    /// Asks the work to end and returns when that is confirmed. `None` is work whose start nobody saw: its later
    /// start must be made impossible, too.
    ///
    /// # Errors
    /// The end could not be confirmed.
    async fn cancel(
        &self,
        handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError>;
}

/// How the engine treats a job type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It works outside of the engine and takes a slot.
    Work,
    /// It waits, and takes no slot.
    Waits,
    /// It does nothing: it has ended as soon as it starts, and leaves its `with.outputs`.
    Instant,
    /// A person answers, and no work is done. `with` has `message` and `form`.
    Asks,
    /// As [`Nature::Work`], but only where faults are allowed (tests and simulations).
    Fault,
}

/// What the engine knows of a job type before any of its work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// How the engine treats it.
    pub nature: Nature,
    /// Whether it works on hosts.
    pub works_on_hosts: bool,
}

impl From<Nature> for Traits {
    fn from(nature: Nature) -> Self {
        Self { nature, works_on_hosts: false }
    }
}

/// Something wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which setting: a JSON pointer into `with`; empty for all of it.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// What a job type needs to find its running work again. Opaque to the engine; at most 4 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle(pub String);

impl Handle {
    /// The handle of work that its attempt folder tells all about.
    pub const fn folder() -> Self {
        Self(String::new())
    }

    /// Whether the attempt folder tells all about this work.
    pub fn is_folder(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a job type could not do what it was asked.
pub type JobError = Failure;

/// What a job would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What would be lost for good; stands first.
    pub destroys: Vec<String>,
    /// What would be done, a line each.
    pub steps: Vec<String>,
    /// Unified diffs of what would be written.
    pub diffs: Vec<String>,
    /// What can't be known before it runs, and why.
    pub unknown: Vec<String>,
}

/// Which part of an attempt is at work. Each has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Is it already done?
    Unless,
    /// The work.
    Work,
    /// Did it really work?
    Verify,
}

/// What a plan is made with.
#[derive(Clone)]
pub struct PlanContext {
    /// The job's path.
    pub path: String,
    /// The folder that relative paths start at.
    pub working_dir: PathBuf,
    /// The variables the work would see.
    pub env: Vec<(String, String)>,
    /// The way to the host, for job types that work on hosts.
    pub host: Option<Arc<Route>>,
}

/// What an attempt works with.
#[derive(Clone)]
pub struct AttemptContext {
    /// Who it is: run, task and attempt. Never a process id.
    pub id: AttemptId,
    /// Which part of the attempt this is.
    pub phase: Phase,
    /// The project's name, or empty.
    pub project: String,
    /// The flow's name.
    pub flow: String,
    /// The task's path, such as `group/job[0]`.
    pub path: String,
    /// The folder of this phase of the attempt; made by whoever begins the work.
    pub folder: PathBuf,
    /// The folder to work in.
    pub working_dir: PathBuf,
    /// Variables for the work, secrets among them.
    pub env: Vec<(String, String)>,
    /// The way to the host, for job types that work on hosts.
    pub host: Option<Arc<Route>>,
    /// The user to work as.
    pub run_as: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// The time between TERM and KILL.
    pub grace: Duration,
    /// What must be masked in the log.
    pub secrets: Arc<[Secret]>,
    /// Processes on this machine.
    pub processes: Arc<dyn Processes>,
    /// Other runs.
    pub runs: Arc<dyn Runs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where a job type without processes writes what people should read.
    pub log: Arc<dyn Log>,
}

impl AttemptContext {
    /// This attempt's part of the identity of a process.
    pub fn process_id(&self) -> ProcessId {
        ProcessId { attempt: self.id, phase: self.phase, folder: self.folder.clone() }
    }
}

/// The identity of a process tree of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// The attempt.
    pub attempt: AttemptId,
    /// The part of it.
    pub phase: Phase,
    /// Its folder.
    pub folder: PathBuf,
}

/// Processes on this machine, in sessions of their own, that outlive the engine.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Starts it, or finds that it had been started. After [`Processes::cancel`] it is never started.
    ///
    /// # Errors
    /// It has surely not been started: no such program, folder or user, or a bound that can't be set.
    async fn launch(&self, id: &ProcessId, launch: Launch) -> Result<(), JobError>;

    /// Waits for its end.
    ///
    /// # Errors
    /// [`ErrorClass::Internal`] if its end can't be learnt.
    async fn wait(&self, id: &ProcessId) -> Result<ProcessEnd, JobError>;

    /// TERM, `grace`, KILL; returns when nothing of the tree is left. Work not launched yet never will be.
    ///
    /// # Errors
    /// Something of it would not end.
    async fn cancel(&self, id: &ProcessId, grace: Duration) -> Result<(), JobError>;
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments. Never holds a secret.
    pub argv: Vec<String>,
    /// What the program finds at `/proc/self/fd/3` (a script that is too long for, or must not be seen in, `argv`).
    /// Kept in memory only.
    pub script: Option<Vec<u8>>,
    /// All its variables.
    pub env: Vec<(String, String)>,
    /// The folder it works in.
    pub working_dir: PathBuf,
    /// The user it works as.
    pub run_as: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// Values to mask in its output. Empty: the log goes straight from the process to the file.
    pub secrets: Arc<[Secret]>,
}

/// How a process tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// Its first process ended with this code.
    Exited(i32),
    /// Its first process was ended by this signal.
    Signalled(i32),
    /// Nobody saw how it ended; nothing of it is left.
    Lost,
    /// It was cancelled before it began.
    Fenced,
}

/// Other runs, for job types that begin some.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Begins a run of `flow` (a name in the same project, or `project/flow`), or finds the one that `parent` began.
    ///
    /// # Errors
    /// There is no such flow, or the parameters do not fit.
    async fn begin(
        &self,
        parent: AttemptId,
        flow: &str,
        params: Value,
        confirm: Vec<String>,
    ) -> Result<i64, JobError>;

    /// Waits for its end: the run's final state and the outputs of its jobs, by path.
    ///
    /// # Errors
    /// There is no such run.
    async fn wait(&self, run: i64) -> Result<(String, Outputs), JobError>;

    /// Cancels it and waits for its end.
    ///
    /// # Errors
    /// There is no such run.
    async fn cancel(&self, run: i64) -> Result<(), JobError>;

    /// The run that `parent` began, if any.
    async fn child_of(&self, parent: AttemptId) -> Option<i64>;

    /// Why it ended as it did, for people, where it is not for what its tasks did.
    async fn reason(&self, _run: i64) -> Option<String> {
        None
    }

    /// The paths of its tasks that failed, for people; empty if that can't be told.
    async fn failed_jobs(&self, _run: i64) -> Vec<String> {
        Vec::new()
    }
}

/// The time, real or simulated.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns when so much time has gone by.
    async fn sleep(&self, span: Duration);
}

/// Where a job type without processes writes what people should read.
pub trait Log: Send + Sync {
    /// Adds a line to the attempt's log, secrets masked. A line that can't be written is dropped.
    fn line(&self, text: &str);
}

impl From<ErrorClass> for Failure {
    fn from(class: ErrorClass) -> Self {
        Self::new(class, class.name())
    }
}
