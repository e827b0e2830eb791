//! A task: one job in one run, and every state it can be in.

use serde::{Deserialize, Serialize};

use crate::ids::JobIx;
use crate::time::Timestamp;

/// Stands for "no such number" in the dense fields of a task.
pub(super) const NONE: u32 = u32::MAX;

/// Where a task is. The table of legal moves is the `match` in `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Something it needs has not ended.
    Waiting,
    /// Whether it may start, or over which items, is being worked out.
    Deciding,
    /// It needs a slot or a lock.
    Ready,
    /// Its start is decided and durable; nobody has seen it begin.
    Launching,
    /// It works.
    Running,
    /// It works as far as is known; the other side does not answer.
    Unreachable,
    /// It waits until it may be tried again.
    Retrying,
    /// A remedy is at work; its number in the graph.
    Recovering(u32),
    /// A person decides.
    Asking(Question),
    /// Its end was asked for and is not confirmed.
    Cancelling(CancelReason),
    /// It did its work.
    Succeeded,
    /// It did not.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// It was ended, or never began, because somebody or something asked for it.
    Cancelled,
    /// Nobody knows how it ended; nothing of it is left.
    Lost,
    /// It was not due: its condition did not hold.
    Skipped,
    /// There was nothing to do.
    AlreadyDone,
    /// Its result is that of the run this one is a rerun of.
    Reused,
    /// It was left out on purpose; what needs it goes on.
    Disabled,
}

/// How many states there are.
pub const TASK_STATES: usize = 19;

impl TaskState {
    /// Its number in the store and in events. Never changes.
    pub fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Deciding => 1,
            Self::Ready => 2,
            Self::Launching => 3,
            Self::Running => 4,
            Self::Unreachable => 5,
            Self::Retrying => 6,
            Self::Recovering(_) => 7,
            Self::Asking(_) => 8,
            Self::Cancelling(_) => 9,
            Self::Succeeded => 10,
            Self::Failed => 11,
            Self::TimedOut => 12,
            Self::Cancelled => 13,
            Self::Lost => 14,
            Self::Skipped => 15,
            Self::AlreadyDone => 16,
            Self::Reused => 17,
            Self::Disabled => 18,
        }
    }

    /// What belongs to the state, as a number; 0 where nothing does.
    pub fn extra(self) -> i64 {
        if let Self::Recovering(remedy) = self {
            i64::from(remedy)
        } else if let Self::Asking(question) = self {
            question.code()
        } else if let Self::Cancelling(reason) = self {
            i64::from(reason.code())
        } else {
            0
        }
    }

    /// The state with that number and what belongs to it.
    pub fn from_code(code: u8, extra: i64) -> Option<Self> {
        Some(match code {
            0 => Self::Waiting,
            1 => Self::Deciding,
            2 => Self::Ready,
            3 => Self::Launching,
            4 => Self::Running,
            5 => Self::Unreachable,
            6 => Self::Retrying,
            7 => Self::Recovering(u32::try_from(extra).ok()?),
            8 => Self::Asking(Question::from_code(extra)?),
            9 => Self::Cancelling(CancelReason::from_code(u8::try_from(extra).ok()?)?),
            10 => Self::Succeeded,
            11 => Self::Failed,
            12 => Self::TimedOut,
            13 => Self::Cancelled,
            14 => Self::Lost,
            15 => Self::Skipped,
            16 => Self::AlreadyDone,
            17 => Self::Reused,
            18 => Self::Disabled,
            _ => return None,
        })
    }

    /// The name in JSON, events and pages. Working out whether to start counts as waiting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting | Self::Deciding => "waiting",
            Self::Ready => "ready",
            Self::Launching => "launching",
            Self::Running => "running",
            Self::Unreachable => "unreachable",
            Self::Retrying => "retrying",
            Self::Recovering(_) => "recovering",
            Self::Asking(_) => "asking",
            Self::Cancelling(_) => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
            Self::AlreadyDone => "already-done",
            Self::Reused => "reused",
            Self::Disabled => "disabled",
        }
    }

    /// Whether it has ended for good.
    pub fn is_final(self) -> bool {
        self.code() >= Self::Succeeded.code()
    }

    /// Whether it has ended badly: this is what fails a run.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Lost)
    }

    /// Whether an attempt is, or may be, at work.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Launching | Self::Running | Self::Unreachable | Self::Cancelling(_))
    }

    /// What the jobs that need it make of its end; `None` before that.
    pub(super) fn verdict(self, cause: Cause) -> Option<NeedVerdict> {
        match self {
            Self::Succeeded | Self::AlreadyDone | Self::Reused | Self::Disabled => {
                Some(NeedVerdict::Good)
            }
            Self::Failed | Self::TimedOut | Self::Lost => Some(NeedVerdict::Failed),
            Self::Cancelled => Some(NeedVerdict::Held),
            Self::Skipped if cause == Cause::NeedFailed => Some(NeedVerdict::Held),
            Self::Skipped => Some(NeedVerdict::Neutral),
            Self::Waiting
            | Self::Deciding
            | Self::Ready
            | Self::Launching
            | Self::Running
            | Self::Unreachable
            | Self::Retrying
            | Self::Recovering(_)
            | Self::Asking(_)
            | Self::Cancelling(_) => None,
        }
    }
}

/// What the jobs that need a task make of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NeedVerdict {
    /// It did its work, or need not.
    Good,
    /// It failed; whether that matters is the job's to say.
    Failed,
    /// It was kept from its work by a failure elsewhere, or by somebody.
    Held,
    /// It was not due.
    Neutral,
}

/// What a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// An `approve` job: may it go on?
    Approval,
    /// The job destroys, and the words were not given.
    Confirm,
    /// The job type found something that a person must judge.
    Judgement,
    /// Nobody knows how the attempt ended, and trying again is not safe.
    Unknown,
    /// A known failure (a remedy's number in the graph) whose cure needs a person.
    Diagnosed(u32),
    /// A known failure came back after its remedy.
    Repeated(u32),
    /// The remedy itself failed.
    RemedyFailed(u32),
    /// The remedy did its part, and a person decides what follows.
    Remedied(u32),
}

impl Question {
    fn code(self) -> i64 {
        match self {
            Self::Approval => 0,
            Self::Confirm => 1,
            Self::Judgement => 2,
            Self::Unknown => 3,
            Self::Diagnosed(remedy) => 4 + 8 * i64::from(remedy),
            Self::Repeated(remedy) => 5 + 8 * i64::from(remedy),
            Self::RemedyFailed(remedy) => 6 + 8 * i64::from(remedy),
            Self::Remedied(remedy) => 7 + 8 * i64::from(remedy),
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        let remedy = u32::try_from(code / 8).ok()?;
        Some(match code % 8 {
            0 => Self::Approval,
            1 => Self::Confirm,
            2 => Self::Judgement,
            3 => Self::Unknown,
            4 => Self::Diagnosed(remedy),
            5 => Self::Repeated(remedy),
            6 => Self::RemedyFailed(remedy),
            7 => Self::Remedied(remedy),
            _ => return None,
        })
    }

    /// The remedy it is about.
    pub fn remedy(self) -> Option<u32> {
        match self {
            Self::Diagnosed(remedy)
            | Self::Repeated(remedy)
            | Self::RemedyFailed(remedy)
            | Self::Remedied(remedy) => Some(remedy),
            Self::Approval | Self::Confirm | Self::Judgement | Self::Unknown => None,
        }
    }
}

/// What a person answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Go on as proposed: let the job start, let its finding pass, apply the remedy, try again after it.
    Approve,
    /// Do not: the task has failed.
    Reject,
    /// Try the task again.
    Retry,
    /// Count the task as done.
    Continue,
}

/// Why the end of a task was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// A person cancelled the run.
    Run,
    /// A person killed the run: no grace, no jobs at its end.
    Kill,
    /// The run took longer than it may.
    RunTimeout,
    /// The attempt, or the group, took longer than it may.
    Timeout,
    /// Something failed, and the flow says `on-failure: cancel`.
    RunFailing,
    /// Another item failed, and the job says `fail-fast`.
    FailFast,
    /// The group it stands in was ended.
    Group,
    /// It was late, and the flow says to cancel then.
    Late,
    /// As many items failed as may, and the job says `rolling`.
    Rolling,
}

impl CancelReason {
    const ALL: [Self; 9] = [
        Self::Run,
        Self::Kill,
        Self::RunTimeout,
        Self::Timeout,
        Self::RunFailing,
        Self::FailFast,
        Self::Group,
        Self::Late,
        Self::Rolling,
    ];

    fn code(self) -> u8 {
        self as u8 + 1
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// A kill outweighs all, the end of the run a time-out.
    pub(super) fn weight(self) -> u8 {
        match self {
            Self::Timeout => 0,
            Self::RunFailing | Self::FailFast | Self::Group | Self::Late | Self::Rolling => 1,
            Self::RunTimeout => 2,
            Self::Run => 3,
            Self::Kill => 4,
        }
    }

    /// Whether this reason, given later, replaces the earlier one.
    pub(super) fn outweighs(self, earlier: Self) -> bool {
        self.weight() > earlier.weight()
    }

    /// Whether it ends the run, not only a task.
    pub(super) fn is_of_run(self) -> bool {
        match self {
            Self::Run | Self::Kill | Self::RunTimeout => true,
            Self::Timeout
            | Self::RunFailing
            | Self::FailFast
            | Self::Group
            | Self::Late
            | Self::Rolling => false,
        }
    }

    /// The cause that a task cancelled for this reason keeps.
    pub fn cause(self) -> Cause {
        match self {
            Self::Run => Cause::RunCancelled,
            Self::Kill => Cause::RunKilled,
            Self::RunTimeout => Cause::RunTimedOut,
            Self::Timeout => Cause::TimedOut,
            Self::RunFailing => Cause::RunFailing,
            Self::FailFast => Cause::FailFast,
            Self::Group => Cause::GroupEnded,
            Self::Late => Cause::Late,
            Self::Rolling => Cause::Rolling,
        }
    }
}

/// Why a task is in its state, where the state does not say it all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The state says it all.
    #[default]
    None,
    /// What it needs did not end as it asks, because something failed.
    NeedFailed,
    /// What it needs did not end as it asks, because something was skipped.
    NeedSkipped,
    /// Its `when` did not hold.
    WhenFalse,
    /// The run is failing, and nothing new starts.
    RunFailing,
    /// The run was cancelled.
    RunCancelled,
    /// The run was killed.
    RunKilled,
    /// The run took longer than it may.
    RunTimedOut,
    /// It took longer than it may.
    TimedOut,
    /// Another item failed.
    FailFast,
    /// The group it stands in was ended.
    GroupEnded,
    /// It was late.
    Late,
    /// A person said so.
    ByPerson,
    /// A remedy cured it, and what follows is to go on.
    Remedied,
    /// Not what this end of the run asks for (a hook).
    NotNeeded,
    /// Something it holds failed.
    InnerFailed,
    /// The first hook failed.
    HookFailed,
    /// Its condition, its items or its settings could not be worked out.
    BadDefinition,
    /// It was skipped in the run that this one is a rerun of.
    SkippedBefore,
    /// It is made for a failure of what it needs, and there was none.
    NeedDone,
    /// As many other items failed as may.
    Rolling,
}

impl Cause {
    const ALL: [Self; 21] = [
        Self::None,
        Self::NeedFailed,
        Self::NeedSkipped,
        Self::WhenFalse,
        Self::RunFailing,
        Self::RunCancelled,
        Self::RunKilled,
        Self::RunTimedOut,
        Self::TimedOut,
        Self::FailFast,
        Self::GroupEnded,
        Self::Late,
        Self::ByPerson,
        Self::Remedied,
        Self::NotNeeded,
        Self::InnerFailed,
        Self::HookFailed,
        Self::BadDefinition,
        Self::SkippedBefore,
        Self::NeedDone,
        Self::Rolling,
    ];

    /// Its number in the store. Never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The cause with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// In words; empty where the state says it all.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::NeedFailed => "something it needs failed",
            Self::NeedSkipped => "something it needs was skipped",
            Self::WhenFalse => "its condition `when` did not hold",
            Self::RunFailing => "the run is failing, and nothing new starts",
            Self::RunCancelled => "the run was cancelled",
            Self::RunKilled => "the run was killed",
            Self::RunTimedOut => "the run took longer than it may",
            Self::TimedOut => "it took longer than it may",
            Self::FailFast => "another item failed, and `fail-fast` is on",
            Self::GroupEnded => "the group it stands in was ended",
            Self::Late => "it was late",
            Self::ByPerson => "a person said so",
            Self::Remedied => "its remedy says to go on",
            Self::NotNeeded => "this end of the run does not ask for it",
            Self::InnerFailed => "something in it failed",
            Self::HookFailed => "the hook `on-start` failed",
            Self::BadDefinition => "its definition could not be worked out",
            Self::NeedDone => "what it needs did not fail",
            Self::Rolling => "as many other items failed as `rolling` allows",
            Self::SkippedBefore => "it was skipped in the run that this one repeats",
        }
    }
}

/// One job in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Where it is.
    pub state: TaskState,
    /// Why, where the state does not say it all.
    pub cause: Cause,
    /// Attempts that count against `retry.attempts`.
    pub tries: u16,
    /// The number of its last attempt; 0 before the first.
    pub attempt: u32,
    /// Its job in the graph.
    pub job: JobIx,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it is due (retrying) or must have ended (active, or a running group); the epoch for never.
    pub until: Timestamp,
    /// The task it stands in, or a phase of the run.
    pub(super) parent: u32,
    /// The first task of the block it stands in.
    pub(super) base: u32,
    /// Which item of a `foreach` it is, or [`NONE`].
    pub(super) item: u32,
    /// The first task of what it holds, or [`NONE`].
    pub(super) inner: u32,
    /// How many direct tasks it holds (items, for a `foreach`).
    pub(super) holds: u32,
    /// Needs that have not ended.
    pub(super) open: u32,
    /// Direct tasks it holds that have not ended.
    pub(super) held: u32,
    /// The first item that waits, for a `foreach`; how many it has if none does.
    pub(super) next: u32,
    /// Items that wait, for a `foreach`.
    pub(super) unopened: u32,
}
