//! What a flow is: the typed form of a flow file and of its project, as the rest of Weir reads it.
//!
//! Text becomes this in `flow::parse`, is judged in `flow::check` and becomes the numbers that a run moves on in
//! `flow::compile`. Nothing here opens a file.

mod check;
pub mod compile;
mod job;
mod lint;
mod load;
mod names;
mod param;
mod parse;
mod places;
mod project;
mod recover;
mod schema;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mistake::Place;
use crate::notice::Reason;

pub use crate::schedule::Schedule;
pub use job::{After, Job, Late, LateThen, Limits, OnLost, Output, PoolUse, Retry, Rolling, Uses};
pub(crate) use load::load_cure;
pub use load::{load, load_project, load_schedule};
pub use places::Places;
pub use project::{Defaults, Host, Project};
pub use recover::{Recover, Signature, Then};
pub use schema::json_schema;
pub(crate) use schema::names_like;
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
    /// Which of its runs are kept. Carried out by the server and by `weir prune`.
    pub keep: Keep,
    /// When it runs by itself. Carried out by the scheduler.
    pub schedules: Vec<Arc<Schedule>>,
}

/// Which runs of a flow are kept. What one of the two keeps is kept; where neither is said, all are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Those that have ended within so long.
    pub age: Option<Duration>,
    /// So many of the last.
    pub runs: Option<u32>,
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

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The reasons.
    pub on: Vec<Reason>,
    /// The receivers, such as `mail:ops@example.org` or `webhook:dingtalk`.
    pub to: Vec<String>,
    /// How long nobody is told of the same again.
    pub window: Duration,
}
