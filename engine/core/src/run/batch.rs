//! Items in batches: a batch begins when the one before has ended and its pause is over.
//!
//! Nothing is kept of it. When a pause ends follows from when the items before it ended.

use super::Run;
use super::settle::Mover;
use super::task::{Task, TaskState};
use crate::flow::Rolling;
use crate::graph::JobKind;
use crate::time::Timestamp;

/// Whether an item may start, as far as its batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// It may.
    Open,
    /// An item of a batch before has not ended.
    Waits,
    /// All have ended: it may from then on.
    Pauses(Timestamp),
}

impl Run {
    /// Whether `item`, the first of a `foreach` that waits, may start as far as its batch goes.
    pub(super) fn batch_of(&self, ix: u32, item: u32, rolling: &Rolling) -> Batch {
        let first = item - item % rolling.batch;
        let active = (first..item).filter(|item| is_active(self.item_at(ix, *item).state)).count();
        let Task { held, unopened, .. } = self.tasks[ix as usize];
        if (held - unopened) as usize > active {
            return Batch::Waits;
        }
        let has_begun = (first..item).any(|item| {
            let state = self.item_at(ix, item).state;
            is_active(state) || did_work(state)
        });
        match rolling.pause.filter(|_| !has_begun) {
            None => Batch::Open,
            Some(pause) => self
                .last_work_before(ix, first, rolling.batch)
                .map_or(Batch::Open, |end| Batch::Pauses(end.plus(pause))),
        }
    }

    /// When the last batch before `first` ended in which anything was done. Where there was nothing to do, there is
    /// nothing to wait for.
    fn last_work_before(&self, ix: u32, first: u32, batch: u32) -> Option<Timestamp> {
        let begins = (0..first).step_by(batch as usize).rev();
        begins.map(|begin| (begin..begin + batch).map(|item| *self.item_at(ix, item))).find_map(
            |items| items.filter(|task| did_work(task.state)).map(|task| task.since).max(),
        )
    }

    /// When the next batch of a `foreach` begins, if it waits for nothing else.
    pub(super) fn pauses_until(&self, ix: u32) -> Option<Timestamp> {
        let task = &self.tasks[ix as usize];
        let JobKind::Foreach { rolling: Some(rolling), .. } = &self.graph.job(task.job).kind else {
            return None;
        };
        if task.state != TaskState::Running {
            return None;
        }
        let next = self.next_item(ix)?;
        match self.batch_of(ix, next, rolling) {
            Batch::Pauses(at) => Some(at),
            Batch::Open | Batch::Waits => None,
        }
    }

    /// The first item that waits.
    pub(super) fn next_item(&self, ix: u32) -> Option<u32> {
        let Task { next, holds, .. } = self.tasks[ix as usize];
        (next..holds).find(|item| self.item_at(ix, *item).state == TaskState::Waiting)
    }

    /// Whether so many items of a `foreach` failed.
    pub(super) fn has_failed_items(&self, ix: u32, count: u32) -> bool {
        let failed =
            self.children(ix).filter(|child| self.tasks[*child as usize].state.is_failure());
        failed.take(count as usize).count() == count as usize
    }

    fn item_at(&self, ix: u32, item: u32) -> &Task {
        let Task { inner, job, .. } = self.tasks[ix as usize];
        let stride = match self.graph.job(job).kind {
            JobKind::Foreach { body, .. } => self.graph.scope(body).block,
            JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Group(_) => 1,
        };
        &self.tasks[(inner + item * stride) as usize]
    }
}

impl Mover<'_> {
    /// Begins the next batch of a `foreach` if its pause is over. Says whether it did.
    pub(super) fn begin_batch(&mut self, ix: u32) -> bool {
        if self.run.pauses_until(ix).is_none_or(|at| at > self.now) {
            return false;
        }
        let Some(next) = self.run.next_item(ix) else { return false };
        let child = self.run.children(ix).nth(next as usize);
        self.settle(child.expect("an item is one of its `foreach`"));
        self.open_items(ix);
        true
    }
}

/// Whether an item has begun and not ended.
fn is_active(state: TaskState) -> bool {
    state != TaskState::Waiting && !state.is_final()
}

/// Whether an item has ended by work of its own.
fn did_work(state: TaskState) -> bool {
    match state {
        TaskState::Succeeded | TaskState::Failed | TaskState::TimedOut | TaskState::Lost => true,
        TaskState::Waiting
        | TaskState::Deciding
        | TaskState::Ready
        | TaskState::Launching
        | TaskState::Running
        | TaskState::Unreachable
        | TaskState::Retrying
        | TaskState::Recovering(_)
        | TaskState::Asking(_)
        | TaskState::Cancelling(_)
        | TaskState::Cancelled
        | TaskState::Skipped
        | TaskState::AlreadyDone
        | TaskState::Reused
        | TaskState::Disabled => false,
    }
}
