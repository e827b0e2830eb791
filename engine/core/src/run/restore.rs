//! A run made again from what is kept of it.

use std::sync::Arc;

use super::task::{Cause, NONE, TaskState};
use super::{Added, Part, Run, RunState, Stage};
use crate::graph::Graph;
use crate::ids::{RunId, TaskIx};
use crate::time::Timestamp;

/// What is kept of a task that has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedTask {
    /// The task.
    pub task: TaskIx,
    /// Where it is.
    pub state: TaskState,
    /// Why.
    pub cause: Cause,
    /// The number of its last attempt.
    pub attempt: u32,
    /// Attempts that count against `retry.attempts`.
    pub tries: u16,
    /// Since when.
    pub since: Timestamp,
    /// When it is due or must have ended; the epoch for never.
    pub until: Timestamp,
}

/// What is kept of tasks that were added.
pub type SavedBlock = Added;

/// What is kept of a run beside its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedHead {
    /// Which run.
    pub id: RunId,
    /// Where it is.
    pub state: RunState,
    /// Whether nothing new starts until it is resumed.
    pub paused: bool,
    /// The time it was for.
    pub due_at: Timestamp,
    /// When its first job could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Run {
    /// The run as it was when its last records were kept. `used` says how often each remedy was used for each task.
    ///
    /// # Errors
    /// The rows do not belong to this graph.
    pub fn restore(
        graph: Arc<Graph>,
        head: SavedHead,
        blocks: &[SavedBlock],
        tasks: &[SavedTask],
        used: &[(TaskIx, u32, u32)],
    ) -> Result<Self, String> {
        let mut run = Self::bare(head.id, graph, head.due_at);
        for block in blocks.iter().filter(|block| block.count > 0) {
            run.add_saved(*block)?;
        }
        for saved in tasks {
            let task = run.tasks.get_mut(saved.task.at()).ok_or_else(|| {
                format!("task {} is not one of this flow version's", saved.task.0)
            })?;
            task.state = saved.state;
            task.cause = saved.cause;
            task.attempt = saved.attempt;
            task.tries = saved.tries;
            task.since = saved.since;
            task.until = saved.until;
        }
        run.used = used.iter().map(|(task, remedy, count)| ((task.0, *remedy), *count)).collect();
        run.paused = head.paused;
        run.started_at = head.started_at;
        run.ended_at = head.ended_at;
        run.state = head.state;
        run.count_again();
        run.failing = run.has_failed();
        run.ending = run.ending_again();
        run.stage = run.stage_again(head.state);
        Ok(run)
    }

    fn add_saved(&mut self, block: SavedBlock) -> Result<(), String> {
        if block.first.at() != self.tasks.len()
            || block.owner.at() >= self.tasks.len()
            || block.scope.at() >= self.graph.scopes.len()
        {
            return Err(format!(
                "the block of tasks from {} on does not follow what stands before it",
                block.first.0
            ));
        }
        for item in 0..block.count {
            self.add_block(
                block.scope,
                block.owner.0,
                if block.remedy.is_some() { NONE } else { item },
            );
        }
        let holds =
            if block.remedy.is_some() { self.graph.scope(block.scope).count } else { block.count };
        let owner = &mut self.tasks[block.owner.at()];
        owner.inner = if holds > 0 { block.first.0 } else { NONE };
        owner.holds = holds;
        self.keep_added(block);
        Ok(())
    }

    fn stage_again(&self, state: RunState) -> Stage {
        if state.is_final() {
            return Stage::Ended;
        }
        if state == RunState::Queued {
            return Stage::Queued;
        }
        let left = |part: Part| self.parts[part as usize].left;
        let stages = [
            (Stage::OnStart, left(Part::OnStart)),
            (Stage::Main, left(Part::Main)),
            (Stage::Outcome, left(Part::OnSuccess) + left(Part::OnFailure)),
        ];
        stages.into_iter().find(|(_, left)| *left > 0).map_or(Stage::OnExit, |(stage, _)| stage)
    }
}
