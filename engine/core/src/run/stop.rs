//! How tasks end that do not end by their own work: cancelled, swept away by a failure, left out.

use super::event::{Command, Ignored, RecordKind};
use super::settle::Mover;
use super::task::{CancelReason, Cause, Question, TaskState};
use super::{Part, Stage};
use crate::ids::TaskIx;

impl Mover<'_> {
    /// Ends a task and all it holds: at once where nothing works, else by asking for it.
    pub(super) fn stop(&mut self, ix: u32, reason: CancelReason) {
        let task = self.run.tasks[ix as usize];
        let inner = if reason == CancelReason::Timeout { CancelReason::Group } else { reason };
        let is_container = self.run.is_container(ix);
        match task.state {
            TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Ready
            | TaskState::Retrying
            | TaskState::Asking(_) => {
                if is_container {
                    self.stop_children(ix, inner);
                }
                let state = if reason == CancelReason::Timeout {
                    TaskState::TimedOut
                } else {
                    TaskState::Cancelled
                };
                self.finish(ix, state, reason.cause());
            }
            TaskState::Running if is_container => {
                self.set(ix, TaskState::Cancelling(reason), Cause::None);
                self.stop_children(ix, inner);
            }
            TaskState::Recovering(_) => {
                self.set(ix, TaskState::Cancelling(reason), Cause::None);
                self.stop_children(ix, inner);
            }
            TaskState::Launching | TaskState::Running | TaskState::Unreachable => {
                self.set(ix, TaskState::Cancelling(reason), Cause::None);
                self.out.commands.push(Command::Cancel {
                    task: TaskIx(ix),
                    attempt: task.attempt,
                    reason,
                });
            }
            TaskState::Cancelling(earlier) => {
                if reason.outweighs(earlier) {
                    self.set(ix, TaskState::Cancelling(reason), Cause::None);
                    if task.held > 0 {
                        self.stop_children(ix, inner);
                    } else {
                        self.out.commands.push(Command::Cancel {
                            task: TaskIx(ix),
                            attempt: task.attempt,
                            reason,
                        });
                    }
                }
            }
            TaskState::Succeeded
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

    fn stop_children(&mut self, ix: u32, reason: CancelReason) {
        for child in self.run.children(ix) {
            self.stop(child, reason);
        }
    }

    /// A failure ends what stands in a part of the run: what has not begun, unless it is made for failure; and what
    /// works, too, if asked to.
    pub(super) fn sweep(&mut self, part: Part, reason: CancelReason, is_working_too: bool) {
        let block = self.run.parts[part as usize];
        for ix in block.base..block.base + block.count {
            self.sweep_task(ix, reason, is_working_too);
        }
    }

    pub(super) fn sweep_task(&mut self, ix: u32, reason: CancelReason, is_working_too: bool) {
        if self.is_made_for_failure(ix) {
            return;
        }
        match self.run.tasks[ix as usize].state {
            TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Ready
            | TaskState::Asking(Question::Approval | Question::Confirm) => self.stop(ix, reason),
            TaskState::Running if self.run.is_container(ix) => {
                for child in self.run.children(ix) {
                    self.sweep_task(child, reason, is_working_too);
                }
            }
            TaskState::Launching
            | TaskState::Running
            | TaskState::Unreachable
            | TaskState::Retrying
            | TaskState::Recovering(_)
            | TaskState::Asking(_)
            | TaskState::Cancelling(_) => {
                if is_working_too {
                    self.stop(ix, reason);
                }
            }
            TaskState::Succeeded
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

    /// Whether a task may still start once its run is failing.
    pub(super) fn is_made_for_failure(&self, ix: u32) -> bool {
        let rules = self.rules(ix);
        let scope = self.graph.scope(rules.scope);
        rules.after.is_for_failure()
            && !scope.needs(self.run.tasks[ix as usize].job.0 - scope.first).is_empty()
    }

    /// The first hook failed: none of the run's own jobs starts.
    pub(super) fn leave_out_main(&mut self) {
        let block = self.run.parts[Part::Main as usize];
        for ix in block.base..block.base + block.count {
            if !self.run.tasks[ix as usize].state.is_final() {
                self.leave_out(ix, TaskState::Cancelled, Cause::HookFailed);
            }
        }
    }

    pub(super) fn leave_out_part(&mut self, part: Part) {
        let block = self.run.parts[part as usize];
        for ix in block.base..block.base + block.count {
            if !self.run.tasks[ix as usize].state.is_final() {
                self.leave_out(ix, TaskState::Skipped, Cause::NotNeeded);
            }
        }
    }

    /// Ends a task that has not begun, and all it holds. What it holds ends the same way, or disabled under one that a
    /// person counts as done.
    pub(super) fn leave_out(&mut self, ix: u32, state: TaskState, cause: Cause) {
        if self.run.is_container(ix) {
            let inner = match state {
                TaskState::Succeeded | TaskState::Failed => (TaskState::Disabled, cause),
                state => (state, cause),
            };
            for child in self.run.children(ix) {
                if !self.run.tasks[child as usize].state.is_final() {
                    self.leave_out(child, inner.0, inner.1);
                }
            }
        }
        self.finish(ix, state, cause);
    }

    /// The whole run is to end.
    pub(super) fn end_run(&mut self, reason: CancelReason) -> Result<(), Ignored> {
        if self.run.ending.is_some_and(|earlier| !reason.outweighs(earlier)) {
            return Err(Ignored::NoChange);
        }
        self.run.ending = Some(reason);
        // Who ends a paused run wants it to end: its last hooks must not wait for somebody to resume it.
        if self.run.paused {
            self.run.paused = false;
            self.note_run(RecordKind::Resumed);
        }
        if self.run.stage == Stage::Queued {
            self.run.stage = Stage::OnStart;
        }
        let parts: &[Part] = match self.run.stage {
            Stage::Queued | Stage::OnStart | Stage::Main => &[Part::OnStart, Part::Main],
            Stage::Outcome => &[Part::OnSuccess, Part::OnFailure],
            Stage::OnExit | Stage::Ended => &[Part::OnExit],
        };
        for part in parts {
            let block = self.run.parts[*part as usize];
            for ix in block.base..block.base + block.count {
                self.stop(ix, reason);
            }
        }
        self.run.failing = self.run.has_failed();
        Ok(())
    }
}
