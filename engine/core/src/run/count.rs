//! What follows from the states of all tasks: the counters, the run's state, how it ends.

use super::task::{CancelReason, Cause, TaskState};
use super::{PARTS, Part, Run, RunState, Stage, TASK_STATES, TOP};

impl Run {
    /// Whether something happens to this task without a person: it keeps the run from asking.
    pub(super) fn is_moving(&self, ix: u32) -> bool {
        match self.tasks[ix as usize].state {
            TaskState::Running | TaskState::Cancelling(_) => !self.is_container(ix),
            TaskState::Deciding
            | TaskState::Ready
            | TaskState::Launching
            | TaskState::Unreachable
            | TaskState::Retrying => true,
            TaskState::Waiting
            | TaskState::Recovering(_)
            | TaskState::Asking(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => false,
        }
    }

    /// Works out all counters from the states of the tasks.
    pub(super) fn count_again(&mut self) {
        self.counts = [0; TASK_STATES];
        self.moving = 0;
        for part in &mut self.parts {
            part.left = 0;
        }
        for ix in 0..self.tasks.len() {
            let task = self.tasks[ix];
            self.counts[usize::from(task.state.code())] += 1;
            self.moving += u32::from(self.is_moving(ix as u32));
            self.tasks[ix].open = self.open_needs(ix as u32);
            if task.parent >= TOP {
                self.parts[(task.parent - TOP) as usize].left += u32::from(!task.state.is_final());
            }
            let is_foreach = self.is_foreach(ix as u32);
            let (mut held, mut unopened, mut next) = (0, 0, None);
            for (place, child) in self.children(ix as u32).enumerate() {
                let state = self.tasks[child as usize].state;
                held += u32::from(!state.is_final());
                if is_foreach && state == TaskState::Waiting {
                    unopened += 1;
                    next = next.or(Some(place as u32));
                }
            }
            let task = &mut self.tasks[ix];
            task.held = held;
            task.unopened = unopened;
            task.next = if is_foreach { next.unwrap_or(task.holds) } else { 0 };
        }
    }

    /// The state that follows from everything else.
    pub(super) fn derived_state(&self) -> RunState {
        match self.stage {
            Stage::Ended => self.outcome(),
            Stage::Queued => RunState::Queued,
            Stage::OnStart | Stage::Main | Stage::Outcome | Stage::OnExit => {
                if self.paused {
                    RunState::Paused
                } else if self.counts[8] > 0 && self.moving == 0 {
                    RunState::Asking
                } else if self.ending.is_some() {
                    RunState::Cancelling
                } else if self.failing {
                    RunState::Failing
                } else {
                    RunState::Running
                }
            }
        }
    }

    /// How it ends, going by its own jobs and its first hook. Hooks after that change nothing.
    pub(super) fn outcome(&self) -> RunState {
        let ended_for = self.ending.and_then(|_| {
            let own = (0..self.tasks.len() as u32).filter(|ix| self.part_of(*ix).decides_outcome());
            own.filter_map(|ix| self.run_cancel_of(ix)).max_by_key(|reason| reason.weight())
        });
        match ended_for {
            Some(CancelReason::RunTimeout) => RunState::Failed,
            Some(_) => RunState::Cancelled,
            None if self.failing => RunState::Failed,
            None if self.has_cancelled() => RunState::Cancelled,
            None => RunState::Succeeded,
        }
    }

    /// Whether one of its own jobs was cancelled, be it by nobody here. What was cancelled has not done its work.
    fn has_cancelled(&self) -> bool {
        self.counts[usize::from(TaskState::Cancelled.code())] > 0
            && [Part::Main, Part::OnStart].into_iter().any(|part| {
                let block = self.parts[part as usize];
                (block.base..block.base + block.count)
                    .any(|ix| self.tasks[ix as usize].state == TaskState::Cancelled)
            })
    }

    /// Whether something that stands failed the run, or swept it.
    pub(super) fn has_failed(&self) -> bool {
        (0..self.tasks.len() as u32).any(|ix| {
            let task = &self.tasks[ix as usize];
            match task.state {
                TaskState::Failed | TaskState::TimedOut | TaskState::Lost => {
                    self.part_failed_by(ix).is_some()
                }
                TaskState::Cancelled => {
                    matches!(task.cause, Cause::RunFailing | Cause::HookFailed)
                }
                TaskState::Cancelling(reason) => reason == CancelReason::RunFailing,
                TaskState::Waiting
                | TaskState::Deciding
                | TaskState::Ready
                | TaskState::Launching
                | TaskState::Running
                | TaskState::Unreachable
                | TaskState::Retrying
                | TaskState::Recovering(_)
                | TaskState::Asking(_)
                | TaskState::Succeeded
                | TaskState::Skipped
                | TaskState::AlreadyDone
                | TaskState::Reused
                | TaskState::Disabled => false,
            }
        })
    }

    /// Whether a task has started: an attempt of it, or what it holds.
    pub(super) fn has_begun(&self, ix: u32) -> bool {
        let task = &self.tasks[ix as usize];
        let is_at_work = matches!(task.state, TaskState::Running | TaskState::Cancelling(_));
        task.attempt > 0 || (is_at_work && self.is_container(ix))
    }

    /// How many needs of a task have not ended.
    pub(super) fn open_needs(&self, ix: u32) -> u32 {
        let task = &self.tasks[ix as usize];
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        let needs = scope.needs(task.job.0 - scope.first).iter();
        needs.filter(|need| !self.tasks[(task.base + **need) as usize].state.is_final()).count()
            as u32
    }

    /// The strongest reason for which the run was asked to end, as its tasks keep it.
    pub(super) fn ending_again(&self) -> Option<CancelReason> {
        let all = (0..self.tasks.len() as u32).filter_map(|ix| self.run_cancel_of(ix));
        all.max_by_key(|reason| reason.weight())
    }

    fn part_of(&self, ix: u32) -> Part {
        let mut at = ix;
        while self.tasks[at as usize].parent < TOP {
            at = self.tasks[at as usize].parent;
        }
        PARTS[(self.tasks[at as usize].parent - TOP) as usize]
    }

    /// The reason for which the run, not only this task, is or was being ended.
    fn run_cancel_of(&self, ix: u32) -> Option<CancelReason> {
        let task = &self.tasks[ix as usize];
        let reason = if let TaskState::Cancelling(reason) = task.state {
            reason
        } else {
            let reasons = [CancelReason::Run, CancelReason::Kill, CancelReason::RunTimeout];
            reasons.into_iter().find(|reason| reason.cause() == task.cause)?
        };
        reason.is_of_run().then_some(reason)
    }
}
