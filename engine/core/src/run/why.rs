//! Why a task does not run: one reason, and what would free it.

use super::task::{NONE, Question, TaskState};
use super::{Run, Stage, TOP};
use crate::ids::TaskIx;
use crate::time::Timestamp;

/// Why a task does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The run has not begun.
    Run,
    /// This many of its needs have not ended; the first of them.
    Needs {
        /// How many.
        count: u32,
        /// The first.
        first: TaskIx,
    },
    /// The group it stands in has not begun.
    Group(TaskIx),
    /// As many items of its `foreach` run as may.
    Items(TaskIx),
    /// The next batch of its `foreach` begins then.
    Pause(Timestamp),
    /// The part of the run before its own has not ended.
    Part,
    /// Its condition or its items are being worked out.
    Decision,
    /// The run is paused.
    Paused,
    /// It needs a slot or a lock.
    Slot,
    /// It waits until it may be tried again.
    Delay(Timestamp),
    /// Its remedy works; the first task of it that has not ended.
    Remedy(TaskIx),
    /// A person must answer.
    Person(Question),
}

/// Why a task does not run, if it does not and has not ended.
pub fn why(run: &Run, task: TaskIx) -> Option<Waits> {
    let at = run.task(task)?;
    match at.state {
        TaskState::Waiting if run.stage == Stage::Queued => Some(Waits::Run),
        TaskState::Waiting if at.open > 0 => {
            let scope = run.graph.scope(run.graph.job(at.job).scope);
            let first = scope
                .needs(at.job.0 - scope.first)
                .iter()
                .map(|need| at.base + need)
                .find(|need| !run.tasks[*need as usize].state.is_final())?;
            Some(Waits::Needs { count: at.open, first: TaskIx(first) })
        }
        TaskState::Waiting if at.parent >= TOP => Some(Waits::Part),
        TaskState::Waiting
            if at.item != NONE
                && let Some(until) = run.pauses_until(at.parent) =>
        {
            Some(Waits::Pause(until))
        }
        TaskState::Waiting
            if run.item(task).is_some()
                && run.tasks[at.parent as usize].state == TaskState::Running =>
        {
            Some(Waits::Items(TaskIx(at.parent)))
        }
        TaskState::Waiting => Some(Waits::Group(TaskIx(at.parent))),
        TaskState::Deciding => Some(Waits::Decision),
        TaskState::Ready | TaskState::Retrying if run.paused => Some(Waits::Paused),
        TaskState::Ready => Some(Waits::Slot),
        TaskState::Retrying => Some(Waits::Delay(at.until)),
        TaskState::Recovering(_) => {
            let first =
                run.children(task.0).find(|child| !run.tasks[*child as usize].state.is_final())?;
            Some(Waits::Remedy(TaskIx(first)))
        }
        TaskState::Asking(question) => Some(Waits::Person(question)),
        TaskState::Launching
        | TaskState::Running
        | TaskState::Unreachable
        | TaskState::Cancelling(_)
        | TaskState::Succeeded
        | TaskState::Failed
        | TaskState::TimedOut
        | TaskState::Cancelled
        | TaskState::Lost
        | TaskState::Skipped
        | TaskState::AlreadyDone
        | TaskState::Reused
        | TaskState::Disabled => None,
    }
}

/// Since when a task has not run: since it is in its state or, if it has never moved, since what holds it began, or
/// the run, or since it was due.
pub fn waits_since(run: &Run, task: TaskIx) -> Option<Timestamp> {
    let at = run.task(task)?;
    if at.since != Timestamp::ZERO {
        return Some(at.since);
    }
    let holder = run.parent(task).and_then(|holder| waits_since(run, holder));
    holder.or(run.started_at).or(Some(run.due_at))
}
