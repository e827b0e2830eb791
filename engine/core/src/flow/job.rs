//! What a job is: its work, what it needs, and all that is said of its attempts.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Places, Recover, Text};
use crate::mistake::Place;

/// A node of the DAG: one thing done somewhere, or a group of jobs.
///
/// A flow may have a hundred thousand: what few jobs have is boxed, what jobs inherit is shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// What people read.
    pub title: Option<String>,
    /// Where its name stands.
    pub place: Place,
    /// The job type, and its settings. `None` for a group.
    pub uses: Option<Box<Uses>>,
    /// The jobs of a group. Empty for a single job.
    pub jobs: Vec<Job>,
    /// The jobs that must have ended first: names in the same group, and where each stands.
    pub needs: Vec<Text>,
    /// How they must have ended.
    pub after: After,
    /// An expression that must hold, too.
    pub when: Option<Box<Text>>,
    /// An expression that yields a list; each item makes a task.
    pub foreach: Option<Box<Text>>,
    /// How many items at once; all if not said.
    pub parallel: Option<u32>,
    /// The first item that fails ends the others.
    pub fail_fast: bool,
    /// Items in batches, one batch after the other.
    pub rolling: Option<Box<Rolling>>,
    /// How often and when to try again.
    pub retry: Arc<Retry>,
    /// After which an attempt is ended.
    pub timeout: Option<Duration>,
    /// The time between TERM and KILL.
    pub grace: Duration,
    /// Holds if there is nothing left to do: then the job is *already done*.
    pub unless: Option<Box<Uses>>,
    /// Must hold after the work, or the attempt has failed.
    pub verify: Option<Box<Uses>>,
    /// What the job must leave behind: names, and patterns over the whole value.
    pub outputs: Vec<Output>,
    /// Variables for the work.
    pub env: Arc<[(String, Text)]>,
    /// The folder it works in.
    pub working_dir: Option<Box<Text>>,
    /// The user it works as (needs root).
    pub run_as: Option<Box<Text>>,
    /// Bounds on what it may use.
    pub limits: Arc<Limits>,
    /// What is lost for good when it runs (a template over `params` and `item`). Must be confirmed in these words.
    pub destroys: Option<Box<Text>>,
    /// Named slots that it takes while it runs.
    pub pools: Vec<PoolUse>,
    /// Things that one task at a time may work on.
    pub locks: Vec<Text>,
    /// When a start or an end counts as late.
    pub late: Option<Box<Late>>,
    /// Its failure fails nothing else.
    pub allow_failure: bool,
    /// What to do when nobody knows how it ended.
    pub on_lost: OnLost,
    /// Failures known to its author, and what cures them.
    pub recover: Vec<Recover>,
}

/// Items in batches, one batch after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// How many items a batch has.
    pub batch: u32,
    /// The time between the end of a batch and the begin of the next.
    pub pause: Option<Duration>,
    /// After so many failed items nothing more starts.
    pub max_failures: u32,
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
    /// Where each text of `with` stands.
    pub places: Places,
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
