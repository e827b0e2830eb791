//! Going back: an earlier job of the same scope, and all between it and the task at hand, runs again.

use super::TOP;
use super::settle::Mover;
use super::task::{Cause, Question, TaskState};
use crate::flow::OnFailure;
use crate::ids::JobIx;

impl Mover<'_> {
    /// `job` and everything between it and the task wait again. What has not ended is left to its course, and what
    /// was left out on purpose stays so.
    ///
    /// Tasks beside that way which need something on it and have not begun wait for it; those that were not due are
    /// judged anew. What works there, or has ended by its own work, is left alone.
    pub(super) fn rewind(&mut self, ix: u32, job: JobIx) {
        let task = self.run.tasks[ix as usize];
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        let own = task.job.0 - scope.first;
        let target = job.0.wrapping_sub(scope.first);
        assert!(target < scope.count, "a remedy rewinds to a job of another scope");
        let mut above = vec![false; scope.count as usize];
        let mut work = vec![own];
        while let Some(place) = work.pop() {
            if !std::mem::replace(&mut above[place as usize], true) {
                work.extend_from_slice(scope.needs(place));
            }
        }
        let mut again = vec![false; scope.count as usize];
        work.push(target);
        while let Some(place) = work.pop() {
            let is_in = place == own
                || (above[place as usize] && self.may_run_again((task.base + place) as usize));
            if is_in && !std::mem::replace(&mut again[place as usize], true) && place != own {
                work.extend_from_slice(scope.dependents(place));
            }
        }
        again[own as usize] = true;
        let between: Vec<u32> = (0..scope.count).filter(|place| again[*place as usize]).collect();
        for place in &between {
            self.undo(task.base, *place);
        }
        self.run.failing = self.run.has_failed();
        let mut beside: Vec<u32> = between;
        while let Some(place) = beside.pop() {
            for dependent in scope.dependents(place) {
                if !again[*dependent as usize] && self.has_not_begun(task.base + dependent) {
                    again[*dependent as usize] = true;
                    self.undo(task.base, *dependent);
                    beside.push(*dependent);
                }
            }
        }
        for place in (0..scope.count).filter(|place| again[*place as usize]) {
            if self.run.tasks[(task.base + place) as usize].open == 0 {
                self.run.settle.push_back(task.base + place);
            }
        }
    }

    fn may_run_again(&self, at: usize) -> bool {
        let task = &self.run.tasks[at];
        let was_swept = task.state == TaskState::Cancelled && task.cause == Cause::RunFailing;
        task.state.is_final() && task.state != TaskState::Disabled && !was_swept
    }

    /// Whether a task beside the way back has done nothing yet, so that it can wait for what it needs once more.
    fn has_not_begun(&self, ix: u32) -> bool {
        let task = &self.run.tasks[ix as usize];
        match task.state {
            TaskState::Deciding
            | TaskState::Ready
            | TaskState::Asking(Question::Approval | Question::Confirm) => true,
            TaskState::Skipped => {
                let may_start = !self.run.failing
                    || self.graph.on_failure == OnFailure::FinishPossible
                    || self.rules(ix).after.is_for_failure();
                let was_judged = matches!(
                    task.cause,
                    Cause::NeedFailed | Cause::NeedSkipped | Cause::NeedDone | Cause::WhenFalse
                );
                may_start && was_judged
            }
            TaskState::Waiting
            | TaskState::Launching
            | TaskState::Running
            | TaskState::Unreachable
            | TaskState::Retrying
            | TaskState::Recovering(_)
            | TaskState::Asking(_)
            | TaskState::Cancelling(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => false,
        }
    }

    /// A task waits again, and what needs it, and what holds it, counts on it again.
    fn undo(&mut self, base: u32, place: u32) {
        let at = base + place;
        let task = self.run.tasks[at as usize];
        self.wait_again(at);
        if !task.state.is_final() {
            return;
        }
        if task.parent >= TOP {
            self.run.parts[(task.parent - TOP) as usize].left += 1;
        } else {
            self.run.tasks[task.parent as usize].held += 1;
        }
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        for dependent in scope.dependents(place) {
            self.run.tasks[(base + dependent) as usize].open += 1;
        }
    }

    /// A task, and all it holds, has not run yet.
    fn wait_again(&mut self, ix: u32) {
        self.run.tasks[ix as usize].tries = 0;
        self.set(ix, TaskState::Waiting, Cause::None);
        if !self.run.is_container(ix) {
            return;
        }
        for child in self.run.children(ix) {
            if self.run.tasks[child as usize].state != TaskState::Disabled {
                self.wait_again(child);
            }
        }
        let is_foreach = self.run.is_foreach(ix);
        let (mut held, mut next) = (0, None);
        for (place, child) in self.run.children(ix).enumerate() {
            let state = self.run.tasks[child as usize].state;
            held += u32::from(!state.is_final());
            if state == TaskState::Waiting {
                next = next.or(Some(place as u32));
            }
            self.run.tasks[child as usize].open = self.run.open_needs(child);
        }
        let holder = &mut self.run.tasks[ix as usize];
        holder.held = held;
        holder.next = if is_foreach { next.unwrap_or(holder.holds) } else { 0 };
    }
}
