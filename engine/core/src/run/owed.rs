//! What a state owes. After a restart the commands are worked out anew from the state; none is remembered.

use super::event::Command;
use super::task::{Cause, Task, TaskState};
use super::{Run, Stage};
use crate::graph::JobKind;
use crate::ids::TaskIx;
use crate::time::Timestamp;

/// The commands that the run owes now. Each may have been carried out already: every command may be repeated.
pub fn owed(run: &Run) -> Vec<Command> {
    let mut commands = Vec::new();
    if matches!(run.stage, Stage::Queued | Stage::Ended) {
        return commands;
    }
    let graph = &run.graph;
    if let Some((timeout, start)) = graph.timeout.zip(run.started_at) {
        commands.push(Command::WakeRun { at: start.plus(timeout) });
    }
    for (ix, task) in run.tasks.iter().enumerate() {
        let &Task { state, cause, attempt, until, job, held, .. } = task;
        let task = TaskIx(ix as u32);
        let rules = graph.job(job);
        let is_container = match rules.kind {
            JobKind::Group(_) | JobKind::Foreach { .. } => true,
            JobKind::Work | JobKind::Instant | JobKind::Asks => false,
        };
        match state {
            TaskState::Deciding if rules.decide && cause != Cause::ByPerson => {
                commands.push(Command::Decide { task });
            }
            TaskState::Deciding => commands.push(Command::Expand { task }),
            TaskState::Ready if !run.paused => commands.push(Command::Admit { task }),
            TaskState::Launching | TaskState::Running | TaskState::Unreachable if !is_container => {
                commands.push(Command::Launch { task, attempt });
            }
            TaskState::Retrying if !run.paused => commands.push(Command::Wake { task, at: until }),
            TaskState::Cancelling(reason) if held == 0 && !is_container => {
                commands.push(Command::Cancel { task, attempt, reason });
            }
            TaskState::Waiting
            | TaskState::Ready
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
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => {}
        }
        if let Some(at) = run.pauses_until(task.0) {
            commands.push(Command::Wake { task, at });
        }
        if until != Timestamp::ZERO && state != TaskState::Retrying {
            commands.push(Command::Wake { task, at: until });
        }
    }
    commands
}

/// The times at which something counts as late, for runs whose flow says so.
pub fn late_times(run: &Run) -> Vec<Command> {
    let mut commands = Vec::new();
    let due_at = run.due_at;
    let late = run.graph.late;
    for within in [late.start_within, late.finish_within].into_iter().flatten() {
        commands.push(Command::WakeRun { at: due_at.plus(within) });
    }
    for (ix, task) in run.tasks.iter().enumerate() {
        let late = run.graph.job(task.job).timing.late;
        for within in [late.start_within, late.finish_within].into_iter().flatten() {
            if !task.state.is_final() {
                commands.push(Command::Wake { task: TaskIx(ix as u32), at: due_at.plus(within) });
            }
        }
    }
    commands
}
