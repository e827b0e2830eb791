//! What comes into the loop, and what goes out of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weir_core::flow::compile::Compiled;
use weir_core::flow::{Limits, Output};
use weir_core::hosts::Route;
use weir_core::ids::{AttemptId, JobIx, RunId};
use weir_core::job_type::{Handle, JobType};
use weir_core::outcome::{Failure, Outcome, Outputs};
use weir_core::params::Values;
use weir_core::run::{Act, Answer, CancelReason, Start};
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use crate::live::OriginResults;
use crate::store::rows::{Batch, BlobRow, DiagnosisRow, EventRow, VersionRow};

/// Told when what was asked for is durable, or can't be.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// Why something that was asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such run, or it has ended and can't be moved.
    #[error("there is no unfinished run {0}")]
    NoRun(RunId),
    /// The run has no such task.
    #[error("run {run} has no task `{path}`")]
    NoTask {
        /// The run.
        run: RunId,
        /// The path asked for.
        path: String,
    },
    /// The task or run is not in a state that allows it.
    #[error("{0}")]
    Ignored(String),
    /// What was given does not fit.
    #[error("{0}")]
    Bad(String),
    /// The engine stops.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

/// A run to begin, worked out as far as possible.
pub(crate) struct NewRun {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) version: Arc<VersionRow>,
    pub(crate) blobs: Vec<BlobRow>,
    pub(crate) values: Arc<Values>,
    pub(crate) sealed_params: String,
    pub(crate) confirm: Vec<String>,
    pub(crate) start: Start,
    pub(crate) origin: Option<i64>,
    pub(crate) origin_results: OriginResults,
    pub(crate) parent: Option<AttemptId>,
    pub(crate) by: String,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) request: Option<(String, String)>,
    pub(crate) key: String,
    pub(crate) locks: Vec<String>,
    pub(crate) folder: PathBuf,
    /// How many runs of the flow may move beside it, whatever the flow says: for runs made for a span of dates.
    pub(crate) parallel: Option<u32>,
}

/// What a person asks of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// End it.
    Cancel,
    /// End it at once.
    Kill,
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Act on a task.
    Task {
        /// Its path.
        path: String,
        /// How.
        act: Act,
    },
    /// Answer a task.
    Answer {
        /// Its path.
        path: String,
        /// What.
        answer: Answer,
        /// The values of its form.
        values: Outputs,
    },
}

/// It happened.
pub(crate) enum Input {
    Begin(Box<NewRun>, Reply<RunId>),
    /// Something is asked of the schedules.
    Schedule(crate::fire::Ask, Reply<()>),
    /// Begin a run for each of these due times.
    Backfill {
        ready: Box<crate::begin::Ready>,
        blobs: Vec<BlobRow>,
        dues: Vec<Timestamp>,
        by: String,
        reply: Reply<Vec<RunId>>,
    },
    Wish {
        run: RunId,
        wish: Wish,
        by: String,
        reply: Reply<()>,
    },
    AttemptStarted {
        id: AttemptId,
        handle: Handle,
    },
    /// Its other side does not answer, and why.
    AttemptUnreached {
        id: AttemptId,
        why: String,
    },
    /// Its end was asked for and can't be confirmed, and why.
    AttemptNotEnded {
        id: AttemptId,
        why: String,
    },
    AttemptEnded {
        id: AttemptId,
        outcome: Outcome,
        found: Option<Box<Found>>,
    },
    Committed {
        number: u64,
        result: Result<(), CommitFailure>,
    },
    Ask(Box<dyn FnOnce(&crate::turn::Turn) + Send>),
    Wait {
        run: RunId,
        done: Box<dyn FnOnce() + Send>,
    },
    Stop,
}

/// Why a batch is not durable.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// The same batch may go through later.
    Later(String, Box<Batch>),
    /// It never will.
    Never(String),
}

/// A known failure that was recognised in an attempt's log.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The remedy's number in the graph.
    pub(crate) remedy: u32,
    /// The log says that the work was done after all.
    pub(crate) is_success: bool,
    /// What the pattern caught, by name.
    pub(crate) captures: Value,
    /// What is kept.
    pub(crate) row: DiagnosisRow,
}

/// Everything an attempt is carried out with.
pub(crate) struct Order {
    pub(crate) id: AttemptId,
    pub(crate) project: String,
    pub(crate) flow: String,
    pub(crate) path: String,
    pub(crate) work: Work,
    pub(crate) unless: Option<Work>,
    pub(crate) verify: Option<Work>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: PathBuf,
    pub(crate) run_as: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) grace: Duration,
    pub(crate) secrets: Arc<[Secret]>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) handle: Option<Handle>,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) job: JobIx,
}

impl Order {
    /// Whether each of its parts begins in a moment, without waiting for anything.
    pub(crate) fn begins_at_once(&self) -> bool {
        let parts = [self.unless.as_ref(), Some(&self.work), self.verify.as_ref()];
        parts.into_iter().flatten().all(|part| part.job_type.begins_at_once())
    }
}

/// A piece of work: its type and its settings, filled in.
#[derive(Clone)]
pub(crate) struct Work {
    /// The way to the host it is done on, for job types that work on hosts.
    pub(crate) host: Option<Arc<Route>>,
    pub(crate) job_type: Arc<dyn JobType>,
    pub(crate) with: Value,
}

/// Do it, now that it is durable.
pub(crate) enum Action {
    /// See that the attempt has begun, and follow it.
    Launch(Box<Order>),
    /// See that the attempt ends.
    Cancel(Box<Order>, CancelReason),
    /// The attempt can't be carried out any more: see that it ends or never begins, and then that it has failed so.
    Abandon(Box<Order>, Failure),
    /// These events are durable.
    Publish(Arc<[EventRow]>),
}
