//! The parts of a run, one after the other, and what a failure does to the rest.

use super::event::Command;
use super::settle::Mover;
use super::task::CancelReason;
use super::{PARTS, Part, Run, RunState, Stage, TOP};
use crate::flow::OnFailure;
use crate::graph::JobKind;

impl Run {
    /// The part of the run that the failure of this task fails, if nothing around the task takes it up.
    pub(super) fn part_failed_by(&self, ix: u32) -> Option<Part> {
        let mut at = ix;
        loop {
            let task = &self.tasks[at as usize];
            if self.graph.job(task.job).allow_failure {
                return None;
            }
            if task.parent >= TOP {
                return match PARTS[(task.parent - TOP) as usize] {
                    part @ (Part::Main | Part::OnStart) => Some(part),
                    Part::OnSuccess | Part::OnFailure | Part::OnExit => None,
                };
            }
            match self.graph.job(self.tasks[task.parent as usize].job).kind {
                JobKind::Group(_) => at = task.parent,
                JobKind::Foreach { .. } | JobKind::Work | JobKind::Instant | JobKind::Asks => {
                    return None;
                }
            }
        }
    }
}

impl Mover<'_> {
    pub(super) fn fail_run(&mut self, part: Part) {
        match part {
            Part::OnStart => self.sweeps = Some(Part::OnStart),
            Part::Main if self.run.failing => {}
            Part::Main => {
                let is_swept = match self.graph.on_failure {
                    OnFailure::FinishPossible => false,
                    OnFailure::FinishRunning | OnFailure::Cancel => true,
                };
                self.sweeps = self.sweeps.or(is_swept.then_some(Part::Main));
            }
            Part::OnSuccess | Part::OnFailure | Part::OnExit => return,
        }
        self.run.failing = true;
    }

    pub(super) fn sweep_after_failure(&mut self, part: Part) {
        if part == Part::OnStart {
            self.sweep(Part::OnStart, CancelReason::RunFailing, true);
            self.leave_out_main();
        } else {
            let is_working_too = self.graph.on_failure == OnFailure::Cancel;
            self.sweep(Part::Main, CancelReason::RunFailing, is_working_too);
        }
    }

    /// Whether the sweep that follows a failure ends a task that has not begun.
    pub(super) fn is_swept(&self, ix: u32) -> bool {
        let mut at = ix;
        loop {
            if self.is_made_for_failure(at) {
                return false;
            }
            let parent = self.run.tasks[at as usize].parent;
            if parent >= TOP {
                let part = PARTS[(parent - TOP) as usize];
                return part == Part::Main || self.sweeps == Some(part);
            }
            match self.rules(parent).kind {
                JobKind::Group(_) | JobKind::Foreach { .. } => at = parent,
                JobKind::Work | JobKind::Instant | JobKind::Asks => return false,
            }
        }
    }

    /// The run begins with its first hook, or with its jobs.
    pub(super) fn begin(&mut self) {
        self.run.stage = Stage::OnStart;
        if let Some(timeout) = self.graph.timeout {
            self.out.commands.push(Command::WakeRun { at: self.now.plus(timeout) });
        }
        self.open_part(Part::OnStart);
    }

    fn open_part(&mut self, part: Part) {
        let block = self.run.parts[part as usize];
        self.open_tasks(block.base, block.count);
    }

    /// Goes on to the next part of the run if this one is over. Says whether it did.
    pub(super) fn next_stage(&mut self) -> bool {
        let left = |part: Part| self.run.parts[part as usize].left;
        let is_killed = self.run.ending == Some(CancelReason::Kill);
        let has_begun = self.run.started_at.is_some();
        match self.run.stage {
            Stage::OnStart if left(Part::OnStart) == 0 => {
                self.run.stage = Stage::Main;
                self.open_part(Part::Main);
            }
            Stage::Main if left(Part::Main) == 0 => {
                let outcome = self.run.outcome();
                self.run.stage = Stage::Outcome;
                for (part, wanted) in
                    [(Part::OnSuccess, RunState::Succeeded), (Part::OnFailure, RunState::Failed)]
                {
                    if outcome == wanted && has_begun {
                        self.open_part(part);
                    } else {
                        self.leave_out_part(part);
                    }
                }
            }
            Stage::Outcome if left(Part::OnSuccess) + left(Part::OnFailure) == 0 => {
                self.run.stage = Stage::OnExit;
                if has_begun && !is_killed {
                    self.open_part(Part::OnExit);
                } else {
                    self.leave_out_part(Part::OnExit);
                }
            }
            Stage::OnExit if left(Part::OnExit) == 0 => {
                self.run.stage = Stage::Ended;
                self.run.ended_at = Some(self.now);
                self.out.commands.push(Command::Close);
                return false;
            }
            Stage::Queued
            | Stage::OnStart
            | Stage::Main
            | Stage::Outcome
            | Stage::OnExit
            | Stage::Ended => return false,
        }
        true
    }
}
