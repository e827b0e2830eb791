//! What can happen to a run, what it then asks for, and what is kept of it.

use serde::{Deserialize, Serialize};

use super::RunState;
use super::task::{Answer, CancelReason, TaskState};
use crate::ids::TaskIx;
use crate::outcome::ErrorClass;
use crate::time::Timestamp;

/// It happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run may begin.
    Opened,
    /// Whether a task may start was worked out.
    Decided {
        /// The task.
        task: TaskIx,
        /// What came out.
        verdict: Verdict,
    },
    /// The items of a `foreach` were worked out.
    Expanded {
        /// The task of the `foreach`.
        task: TaskIx,
        /// How many items.
        count: u32,
        /// Tasks of the new block, counted from its first, whose result is taken from the origin of a rerun.
        reused: Vec<u32>,
    },
    /// A slot and the locks are the task's.
    Admitted {
        /// The task.
        task: TaskIx,
    },
    /// An attempt was seen to begin.
    Started {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
    },
    /// The other side of an attempt does not answer.
    Unreached {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
    },
    /// The end of an attempt was asked for, and can't be confirmed.
    NotEnded {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
    },
    /// An attempt ended.
    Ended {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
        /// How.
        ending: Ending,
        /// The known failure that was recognised: its remedy's number in the graph.
        remedy: Option<u32>,
    },
    /// A time came that a task waited for, or must have ended by.
    Due {
        /// The task.
        task: TaskIx,
    },
    /// The time came by which the run must have ended.
    RunDue,
    /// A person answered.
    Answered {
        /// The task that asked.
        task: TaskIx,
        /// What.
        answer: Answer,
    },
    /// A person acts on a task.
    Acted {
        /// The task.
        task: TaskIx,
        /// How.
        act: Act,
    },
    /// A person cancelled the run.
    Cancelled,
    /// A person killed the run.
    Killed,
    /// A person paused the run.
    Paused,
    /// A person resumed the run.
    Resumed,
}

/// What a person does to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Leave it out; what needs it goes on.
    Skip,
    /// Count it as done.
    Succeed,
    /// Count it as failed.
    Fail,
    /// Do not wait for the delay.
    RetryNow,
}

/// Whether a task may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Go,
    /// Its `when` does not hold.
    NotDue,
    /// It destroys, and the words were not given.
    Unconfirmed,
    /// It could not be worked out.
    Broken,
}

/// How an attempt ended, as far as it matters for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The work is done.
    Done,
    /// There was nothing to do.
    AlreadyDone,
    /// It failed.
    Failed(ErrorClass),
    /// It was ended.
    Cancelled,
    /// A person must judge.
    Ask,
}

/// Do it. Every command may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Work out whether the task may start: answer with [`Event::Decided`].
    Decide {
        /// The task.
        task: TaskIx,
    },
    /// Work out its items: answer with [`Event::Expanded`], or [`Event::Decided`] if that fails.
    Expand {
        /// The task.
        task: TaskIx,
    },
    /// Give it a slot and its locks when there are some: answer with [`Event::Admitted`].
    Admit {
        /// The task.
        task: TaskIx,
    },
    /// See that the attempt has begun, follow it: answer with [`Event::Started`] and [`Event::Ended`].
    Launch {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
    },
    /// See that the attempt ends, and never begins if it has not: answer with [`Event::Ended`].
    Cancel {
        /// The task.
        task: TaskIx,
        /// Which try.
        attempt: u32,
        /// Why; a kill gives no grace.
        reason: CancelReason,
    },
    /// Send [`Event::Due`] when this time has come.
    Wake {
        /// The task.
        task: TaskIx,
        /// When.
        at: Timestamp,
    },
    /// Send [`Event::RunDue`] when this time has come.
    WakeRun {
        /// When.
        at: Timestamp,
    },
    /// The run has ended.
    Close,
}

/// Why an event changed nothing. Not an error: late and repeated events are part of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is about an earlier attempt.
    #[error("this is about an earlier attempt")]
    OldAttempt,
    /// The task has ended.
    #[error("the task has already ended")]
    AlreadyEnded,
    /// The run has ended.
    #[error("the run has already ended")]
    RunEnded,
    /// The run is being ended, and can't be paused any more.
    #[error("the run is being ended")]
    RunEnding,
    /// It does not fit the task's state.
    #[error("that does not fit what the task is doing")]
    WrongState,
    /// The task works; it must be cancelled first.
    #[error("the task is at work: cancel the run first")]
    AtWork,
    /// Its time has not come.
    #[error("its time has not come")]
    NotDue,
    /// The run is paused.
    #[error("the run is paused")]
    Paused,
    /// It is as asked for already.
    #[error("it is so already")]
    NoChange,
    /// There is no such task.
    #[error("there is no such task")]
    NoTask,
}

/// Something that is to be kept: the rows change by these, and so do the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub kind: RecordKind,
    /// The task, if it is about one.
    pub task: Option<TaskIx>,
    /// Its last attempt; 0 before the first.
    pub attempt: u32,
}

/// What happened, as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The task moved to this state.
    Task(TaskState),
    /// The run moved to this state.
    Run(RunState),
    /// The task's attempt ended in this state, and the task did not.
    AttemptEnded(TaskState),
    /// Tasks were added: the items of a `foreach`, or the jobs of a remedy.
    Added {
        /// The first new task.
        first: u32,
        /// How many items; 1 for a remedy.
        count: u32,
        /// The remedy's number in the graph, if it is one.
        remedy: Option<u32>,
    },
    /// Nothing new starts.
    Paused,
    /// It goes on.
    Resumed,
    /// A start or an end is late.
    Late,
    /// The end of the task's attempt can't be confirmed.
    NotEnded,
}

impl RecordKind {
    /// Its number in the store. Never changes.
    pub fn code(self) -> u8 {
        match self {
            Self::Task(state) => state.code(),
            Self::Run(state) => 32 + state.code(),
            Self::AttemptEnded(state) => 64 + state.code(),
            Self::Added { .. } => 96,
            Self::Paused => 97,
            Self::Resumed => 98,
            Self::Late => 99,
            Self::NotEnded => 100,
        }
    }

    /// The kind's name in `weir events` and the API, from its number.
    pub fn name_of(code: u8) -> String {
        let task = |code| TaskState::from_code(code, 1).map(TaskState::name);
        let name = match code {
            0..32 => task(code).map(str::to_owned),
            32..64 => RunState::from_code(code - 32).map(|state| format!("run-{}", state.name())),
            64..96 => task(code - 64).map(|name| format!("attempt-{name}")),
            96 => Some("added".to_owned()),
            97 => Some("paused".to_owned()),
            98 => Some("resumed".to_owned()),
            99 => Some("late".to_owned()),
            100 => Some("not-ended".to_owned()),
            _ => None,
        };
        name.unwrap_or_else(|| code.to_string())
    }
}

/// What one step asks for and what it leaves to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Out {
    /// What must be done once the records are durable.
    pub commands: Vec<Command>,
    /// What happened, in order.
    pub records: Vec<Record>,
}

impl Out {
    /// Forgets everything, keeps the room.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.records.clear();
    }
}
