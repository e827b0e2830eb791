//! What follows from an event: who may start now that something has ended.
//!
//! What tasks that hold others make of their ends stands in `hold`, failures and remedies in `remedy` and `rewind`,
//! the parts of the run in `stage`.

use std::time::Duration;

use super::event::{Command, Out, Record, RecordKind};
use super::task::{Cause, NONE, NeedVerdict, Question, TaskState};
use super::{PARTS, Part, Run, Stage, TOP};
use crate::flow::After;
use crate::graph::{Graph, JobKind, JobRules};
use crate::ids::TaskIx;
use crate::time::Timestamp;

/// One step under way: the run, the time, and what it leaves.
pub(super) struct Mover<'a> {
    pub(super) run: &'a mut Run,
    pub(super) graph: &'a Graph,
    pub(super) now: Timestamp,
    pub(super) out: &'a mut Out,
    /// The part of the run in which something failed whose consequences for the rest are still to be drawn.
    pub(super) sweeps: Option<Part>,
}

impl Mover<'_> {
    pub(super) fn rules(&self, ix: u32) -> &JobRules {
        self.graph.job(self.run.tasks[ix as usize].job)
    }

    pub(super) fn note(&mut self, kind: RecordKind, ix: u32) {
        let attempt = self.run.tasks[ix as usize].attempt;
        self.out.records.push(Record { kind, task: Some(TaskIx(ix)), attempt });
    }

    pub(super) fn note_run(&mut self, kind: RecordKind) {
        self.out.records.push(Record { kind, task: None, attempt: 0 });
    }

    pub(super) fn set(&mut self, ix: u32, state: TaskState, cause: Cause) {
        let was_moving = self.run.is_moving(ix);
        let task = &mut self.run.tasks[ix as usize];
        let was_waiting = task.state == TaskState::Waiting;
        let is_waiting = state == TaskState::Waiting;
        let holder = (task.item != NONE && was_waiting != is_waiting).then_some(task.parent);
        self.run.counts[usize::from(task.state.code())] -= 1;
        self.run.counts[usize::from(state.code())] += 1;
        if !matches!(
            state,
            TaskState::Running
                | TaskState::Unreachable
                | TaskState::Cancelling(_)
                | TaskState::Retrying
        ) {
            task.until = Timestamp::ZERO;
        }
        task.state = state;
        task.cause = cause;
        task.since = self.now;
        if let Some(holder) = holder {
            let holder = &mut self.run.tasks[holder as usize];
            holder.unopened = holder.unopened + u32::from(is_waiting) - u32::from(was_waiting);
        }
        let is_moving = self.run.is_moving(ix);
        self.run.moving = self.run.moving + u32::from(is_moving) - u32::from(was_moving);
        self.note(RecordKind::Task(state), ix);
    }

    /// The task has ended for good.
    pub(super) fn finish(&mut self, ix: u32, state: TaskState, cause: Cause) {
        debug_assert!(state.is_final());
        self.set(ix, state, cause);
        self.run.ended.push(ix);
    }

    /// Carries out everything that follows, until nothing more does.
    ///
    /// What needs a failed task is left out before the failure sweeps the rest of the run, so that each keeps the
    /// reason nearest to it.
    pub(super) fn drain(&mut self) {
        loop {
            if let Some(ix) = self.run.ended.pop() {
                self.after_end(ix);
            } else if let Some(ix) = self.run.settle.pop_front() {
                self.settle(ix);
            } else if let Some(part) = self.sweeps.take() {
                self.sweep_after_failure(part);
            } else if !self.next_stage() {
                break;
            }
        }
    }

    /// Keeps the run's state if it is another one now.
    pub(super) fn note_state(&mut self) {
        let state = self.run.derived_state();
        if state != self.run.state {
            self.run.state = state;
            self.note_run(RecordKind::Run(state));
        }
    }

    fn after_end(&mut self, ix: u32) {
        let task = self.run.tasks[ix as usize];
        if task.state.is_failure()
            && let Some(part) = self.run.part_failed_by(ix)
        {
            self.fail_run(part);
        }
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        let is_open = self.is_open(task.parent);
        let dependents = scope.dependents(task.job.0 - scope.first);
        if dependents.len() > 64 {
            self.run.settle.reserve(dependents.len());
            self.out.records.reserve(dependents.len());
            self.out.commands.reserve(dependents.len());
        }
        for dependent in dependents {
            let at = task.base + dependent;
            let waiting = &mut self.run.tasks[at as usize];
            waiting.open -= 1;
            if waiting.open == 0 && is_open && waiting.state == TaskState::Waiting {
                self.run.settle.push_back(at);
            }
        }
        if task.parent < TOP {
            self.inner_task_ended(task.parent, ix);
        } else {
            self.run.parts[(task.parent - TOP) as usize].left -= 1;
        }
    }

    /// Whether tasks that stand in `parent` may start.
    fn is_open(&self, parent: u32) -> bool {
        if parent >= TOP {
            let stage = match PARTS[(parent - TOP) as usize] {
                Part::Main => Stage::Main,
                Part::OnStart => Stage::OnStart,
                Part::OnSuccess | Part::OnFailure => Stage::Outcome,
                Part::OnExit => Stage::OnExit,
            };
            return self.run.stage == stage;
        }
        matches!(
            self.run.tasks[parent as usize].state,
            TaskState::Running | TaskState::Recovering(_)
        )
    }

    /// All that a task needs has ended: does it start?
    pub(super) fn settle(&mut self, ix: u32) {
        let task = self.run.tasks[ix as usize];
        if task.state != TaskState::Waiting || task.open > 0 {
            return;
        }
        let rules = self.graph.job(task.job);
        if let Err(cause) = self.judge(ix) {
            self.leave_out(ix, TaskState::Skipped, cause);
        } else if self.sweeps.is_some() && self.is_swept(ix) {
            // It stays as it is: the sweep that comes next ends it.
        } else if rules.decide {
            self.set(ix, TaskState::Deciding, Cause::None);
            self.out.commands.push(Command::Decide { task: TaskIx(ix) });
        } else {
            self.proceed(ix);
        }
    }

    /// Whether what a task needs has ended as it asks.
    fn judge(&self, ix: u32) -> Result<(), Cause> {
        let task = self.run.tasks[ix as usize];
        let after = self.graph.job(task.job).after;
        let scope = self.graph.scope(self.graph.job(task.job).scope);
        let (mut good, mut bad, mut allowed, mut neutral) = (0_u32, 0_u32, 0_u32, 0_u32);
        for need in scope.needs(task.job.0 - scope.first) {
            let need = &self.run.tasks[(task.base + need) as usize];
            match need.state.verdict(need.cause).expect("a task settles when its needs have ended")
            {
                NeedVerdict::Good => good += 1,
                NeedVerdict::Neutral => neutral += 1,
                NeedVerdict::Failed if self.graph.job(need.job).allow_failure => allowed += 1,
                NeedVerdict::Failed | NeedVerdict::Held => bad += 1,
            }
        }
        let holds = match after {
            After::AllSuccess => bad == 0 && neutral == 0,
            After::AllDone => true,
            After::OneSuccess => good + allowed > 0,
            After::OneFailed => bad + allowed > 0,
            After::AllFailed => good + neutral == 0 && bad + allowed > 0,
            After::NoneFailed => bad == 0,
        };
        if holds {
            Ok(())
        } else if after.is_for_failure() {
            Err(Cause::NeedDone)
        } else if bad > 0 {
            Err(Cause::NeedFailed)
        } else {
            Err(Cause::NeedSkipped)
        }
    }

    /// The task may start.
    pub(super) fn proceed(&mut self, ix: u32) {
        match self.rules(ix).kind {
            JobKind::Work => self.make_ready(ix),
            JobKind::Instant if self.run.paused => self.make_ready(ix),
            JobKind::Instant => self.launch(ix),
            JobKind::Asks => {
                let timeout = self.rules(ix).timing.timeout;
                self.set(ix, TaskState::Asking(Question::Approval), Cause::None);
                self.wake_at_timeout(ix, timeout);
            }
            JobKind::Group(_) => self.open_group(ix),
            JobKind::Foreach { .. } => self.open_foreach(ix),
        }
    }

    /// The task waits for a slot. If what it needs runs again meanwhile, it waits for that first.
    pub(super) fn make_ready(&mut self, ix: u32) {
        if self.run.tasks[ix as usize].open > 0 {
            return self.set(ix, TaskState::Waiting, Cause::None);
        }
        self.set(ix, TaskState::Ready, Cause::None);
        if !self.run.paused {
            self.out.commands.push(Command::Admit { task: TaskIx(ix) });
        }
    }

    pub(super) fn launch(&mut self, ix: u32) {
        let timeout = self.rules(ix).timing.timeout;
        let task = &mut self.run.tasks[ix as usize];
        task.attempt += 1;
        task.tries = task.tries.saturating_add(1);
        let attempt = task.attempt;
        self.set(ix, TaskState::Launching, Cause::None);
        self.out.commands.push(Command::Launch { task: TaskIx(ix), attempt });
        self.wake_at_timeout(ix, timeout);
    }

    pub(super) fn wake_at_timeout(&mut self, ix: u32, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            let at = self.now.plus(timeout);
            self.run.tasks[ix as usize].until = at;
            self.out.commands.push(Command::Wake { task: TaskIx(ix), at });
        }
    }
}
