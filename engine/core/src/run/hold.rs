//! Tasks that hold others: groups, `foreach`, and a task whose remedy is at work.

use super::Added;
use super::batch::Batch;
use super::event::{Command, RecordKind};
use super::settle::Mover;
use super::task::{CancelReason, Cause, NONE, Question, Task, TaskState};
use crate::graph::JobKind;
use crate::ids::{ScopeIx, TaskIx};

impl Mover<'_> {
    fn run_container(&mut self, ix: u32) {
        let timeout = self.rules(ix).timing.timeout;
        self.set(ix, TaskState::Running, Cause::None);
        self.wake_at_timeout(ix, timeout);
    }

    pub(super) fn open_group(&mut self, ix: u32) {
        self.run_container(ix);
        let task = self.run.tasks[ix as usize];
        self.open_tasks(task.inner, task.holds);
        if task.held == 0 {
            self.inner_ended(ix);
        }
    }

    pub(super) fn open_tasks(&mut self, first: u32, count: u32) {
        for ix in first..first + count {
            let task = &self.run.tasks[ix as usize];
            if task.state == TaskState::Waiting && task.open == 0 {
                self.run.settle.push_back(ix);
            }
        }
    }

    /// A `foreach` may start: with the items it has from before it was rewound, or once they are worked out.
    pub(super) fn open_foreach(&mut self, ix: u32) {
        let task = self.run.tasks[ix as usize];
        if task.holds > 0 {
            self.run_container(ix);
            self.open_items(ix);
            if task.held == 0 {
                self.inner_ended(ix);
            }
            return;
        }
        match task.state {
            TaskState::Deciding => {}
            // What a person confirmed must not be asked again after a restart: the cause keeps it.
            TaskState::Asking(_) => self.set(ix, TaskState::Deciding, Cause::ByPerson),
            TaskState::Waiting
            | TaskState::Ready
            | TaskState::Launching
            | TaskState::Running
            | TaskState::Unreachable
            | TaskState::Retrying
            | TaskState::Recovering(_)
            | TaskState::Cancelling(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => self.set(ix, TaskState::Deciding, Cause::None),
        }
        self.out.commands.push(Command::Expand { task: TaskIx(ix) });
    }

    /// The items of a `foreach` are known.
    pub(super) fn expand(&mut self, ix: u32, body: ScopeIx, count: u32, reused: &[u32]) {
        let first = self.run.tasks.len() as u32;
        self.run.tasks.reserve(count as usize * self.graph.scope(body).block as usize);
        for item in 0..count {
            self.run.add_block(body, ix, item);
        }
        let task = &mut self.run.tasks[ix as usize];
        task.inner = if count > 0 { first } else { NONE };
        task.holds = count;
        task.held = count;
        task.next = 0;
        task.unopened = count;
        // Nothing is kept of an empty list: two of them would begin at the same task, and blocks are told apart by that.
        if count > 0 {
            let (first, owner, scope) = (TaskIx(first), TaskIx(ix), body);
            self.run.keep_added(Added { first, owner, scope, count, remedy: None });
            self.note(RecordKind::Added { first: first.0, count, remedy: None }, ix);
        }
        for offset in reused {
            assert!(
                first + offset < self.run.tasks.len() as u32,
                "a reused item is none of the `foreach`"
            );
            self.reuse(first + offset);
        }
        self.run_container(ix);
        self.open_items(ix);
        if self.run.tasks[ix as usize].held == 0 {
            self.inner_ended(ix);
        }
    }

    /// A new task, and all it holds, takes its result from the origin of a rerun.
    fn reuse(&mut self, ix: u32) {
        let task = self.run.tasks[ix as usize];
        if task.state != TaskState::Waiting {
            return;
        }
        self.set(ix, TaskState::Reused, Cause::None);
        self.run.tasks[task.parent as usize].held -= 1;
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        for dependent in scope.dependents(task.job.0 - scope.first) {
            self.run.tasks[(task.base + dependent) as usize].open -= 1;
        }
        for child in self.run.children(ix) {
            self.reuse(child);
        }
    }

    /// A task that another one holds has ended.
    pub(super) fn inner_task_ended(&mut self, holder: u32, ix: u32) {
        self.run.tasks[holder as usize].held -= 1;
        if let JobKind::Foreach { fail_fast, rolling, .. } = &self.rules(holder).kind {
            let (fail_fast, rolling) = (*fail_fast, rolling.as_deref().copied());
            let did_fail = self.run.tasks[ix as usize].state.is_failure();
            if fail_fast && did_fail && !self.rules(ix).allow_failure {
                for other in self.run.children(holder) {
                    self.stop(other, CancelReason::FailFast);
                }
            } else if let Some(rolling) = rolling.filter(|_| did_fail)
                && self.run.has_failed_items(holder, rolling.max_failures)
            {
                // What works goes on to its end.
                for other in self.run.children(holder) {
                    self.sweep_task(other, CancelReason::Rolling, false);
                }
            }
            self.open_items(holder);
        }
        if self.run.tasks[holder as usize].held == 0 {
            self.inner_ended(holder);
        }
    }

    /// Starts as many items as may run at once.
    pub(super) fn open_items(&mut self, ix: u32) {
        let JobKind::Foreach { body, parallel, rolling, .. } = &self.rules(ix).kind else { return };
        let (body, parallel, rolling) = (*body, *parallel, rolling.as_deref().copied());
        let stride = self.graph.scope(body).block;
        loop {
            let Task { state, next, holds, held, unopened, inner, .. } =
                self.run.tasks[ix as usize];
            let is_waiting = |item: &u32| {
                self.run.tasks[(inner + item * stride) as usize].state == TaskState::Waiting
            };
            let next = (next..holds).find(is_waiting).unwrap_or(holds);
            self.run.tasks[ix as usize].next = next;
            let is_full = parallel > 0 && held - unopened >= parallel;
            if state != TaskState::Running || next == holds || is_full {
                return;
            }
            match rolling.map_or(Batch::Open, |rolling| self.run.batch_of(ix, next, &rolling)) {
                Batch::Open => {}
                Batch::Waits => return,
                Batch::Pauses(at) => {
                    return self.out.commands.push(Command::Wake { task: TaskIx(ix), at });
                }
            }
            self.settle(inner + next * stride);
            if is_still_waiting(&self.run.tasks[(inner + next * stride) as usize]) {
                return;
            }
        }
    }

    /// All that a task holds has ended.
    pub(super) fn inner_ended(&mut self, ix: u32) {
        match self.run.tasks[ix as usize].state {
            TaskState::Running => {
                let (state, cause) = self.result_of(ix);
                self.finish(ix, state, cause);
            }
            TaskState::Cancelling(CancelReason::Timeout) => {
                self.finish(ix, TaskState::TimedOut, Cause::TimedOut);
            }
            TaskState::Cancelling(reason) => self.finish(ix, TaskState::Cancelled, reason.cause()),
            TaskState::Recovering(remedy) => {
                if self.result_of(ix).0 == TaskState::Succeeded {
                    self.after_remedy(ix, remedy);
                } else {
                    self.set(ix, TaskState::Asking(Question::RemedyFailed(remedy)), Cause::None);
                }
            }
            TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Ready
            | TaskState::Launching
            | TaskState::Unreachable
            | TaskState::Retrying
            | TaskState::Asking(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => {}
        }
    }

    /// What a task that holds others makes of their ends: failed if one failed, else cancelled if one was cancelled,
    /// skipped if none had anything to do.
    fn result_of(&self, ix: u32) -> (TaskState, Cause) {
        let (mut failed, mut cancelled, mut did, mut any) = (false, None, false, false);
        for child in self.run.children(ix) {
            let child = &self.run.tasks[child as usize];
            any = true;
            match child.state {
                TaskState::Failed | TaskState::TimedOut | TaskState::Lost => {
                    failed |= !self.graph.job(child.job).allow_failure;
                    did = true;
                }
                TaskState::Cancelled => cancelled = Some(child.cause),
                TaskState::Skipped => {}
                TaskState::Succeeded
                | TaskState::AlreadyDone
                | TaskState::Reused
                | TaskState::Disabled => did = true,
                TaskState::Waiting
                | TaskState::Deciding
                | TaskState::Ready
                | TaskState::Launching
                | TaskState::Running
                | TaskState::Unreachable
                | TaskState::Retrying
                | TaskState::Recovering(_)
                | TaskState::Asking(_)
                | TaskState::Cancelling(_) => {
                    unreachable!("a holder is judged when all it holds has ended")
                }
            }
        }
        if failed {
            (TaskState::Failed, Cause::InnerFailed)
        } else if let Some(cause) = cancelled {
            (TaskState::Cancelled, cause)
        } else if any && !did {
            (TaskState::Skipped, Cause::NeedSkipped)
        } else {
            (TaskState::Succeeded, Cause::None)
        }
    }
}

fn is_still_waiting(task: &Task) -> bool {
    task.state == TaskState::Waiting
}
