//! What must hold at every moment: limits, needs, ends, gates.

use std::collections::BTreeMap;

use weir_core::flow::{After, ConcurrencyPolicy};
use weir_core::ids::AttemptId;
use weir_core::run::{Cause, RunState, TaskState};

use super::Swarm;
use crate::input::Order;
use crate::store::rows::Batch;

impl Swarm {
    /// Nobody exceeds what there is.
    pub(super) fn look_at_limits(&self) {
        let mut slots = 0;
        let mut pools: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let mut locks: BTreeMap<&str, AttemptId> = BTreeMap::new();
        for (id, folder) in self.disk.iter().filter(|(_, folder)| folder.is_alive) {
            slots += u32::from(folder.plan.has_slot);
            for (pool, wanted) in &folder.plan.pools {
                let at = pools.entry(pool).or_default();
                *at = (at.0 + wanted, at.1 + 1);
            }
            for lock in &folder.plan.locks {
                let other = locks.insert(lock, *id);
                assert!(other.is_none(), "{id} and {other:?} hold the lock {lock}");
                for (run, loaded) in &self.of_run {
                    let holds = loaded.compiled.flow.locks.iter().any(|text| text.source == *lock);
                    let moves = self.lab.mirror.kept.get(run).is_some_and(|rows| {
                        let state = rows.state();
                        state != RunState::Queued && !state.is_final()
                    });
                    assert!(
                        *run == id.run || !holds || !moves,
                        "{id} and run {run} hold the lock {lock}"
                    );
                }
            }
        }
        assert!(slots <= self.slots, "{slots} of {} slots are taken", self.slots);
        for (pool, (used, holders)) in pools {
            assert!(used <= 3 || holders == 1, "{used} slots of the pool {pool} are taken");
        }
    }

    /// A job does not start before what it needs has ended as it asks.
    pub(super) fn look_at_needs(&self, order: &Order) {
        let live = &self.lab.turn.runs[&order.id.run];
        let rows = &self.lab.mirror.kept[&order.id.run];
        let graph = live.run.graph();
        let mut at = Some(order.id.task);
        while let Some(task) = at {
            let job = live.run.tasks()[task.at()].job;
            let rules = graph.job(job);
            let scope = graph.scope(rules.scope);
            let (mut good, mut bad, mut allowed, mut neutral) = (0, 0, 0, 0);
            for need in scope.needs(job.0 - scope.first) {
                let need = weir_core::ids::JobIx(scope.first + need);
                let sibling = live.run.sibling(task, need).expect("needs stand beside it");
                let cause = rows.tasks.get(&sibling.0).and_then(|row| Cause::from_code(row.cause));
                match rows.task_state(sibling.0) {
                    TaskState::Succeeded
                    | TaskState::AlreadyDone
                    | TaskState::Reused
                    | TaskState::Disabled => good += 1,
                    TaskState::Failed | TaskState::TimedOut | TaskState::Lost
                        if graph.job(need).allow_failure =>
                    {
                        allowed += 1;
                    }
                    TaskState::Failed
                    | TaskState::TimedOut
                    | TaskState::Lost
                    | TaskState::Cancelled => bad += 1,
                    TaskState::Skipped if cause == Some(Cause::NeedFailed) => bad += 1,
                    TaskState::Skipped => neutral += 1,
                    // Above the task itself, what a remedy went back to may wait again.
                    _ if task != order.id.task => good += 1,
                    state => panic!("{} starts while {} is {state:?}", order.id, sibling.0),
                }
            }
            let holds = match rules.after {
                After::AllSuccess => bad + neutral == 0,
                After::AllDone => true,
                After::OneSuccess => good + allowed > 0,
                After::OneFailed => bad + allowed > 0,
                After::AllFailed => good + neutral == 0 && bad + allowed > 0,
                After::NoneFailed => bad == 0,
            };
            assert!(
                holds || task != order.id.task,
                "{} starts although its needs did not end so",
                order.id
            );
            at = live.run.parent(task);
        }
    }

    /// Nothing is kept as ended while its process lives.
    pub(super) fn look_at_ends(&self, batch: &Batch) {
        for row in batch.attempts.iter().filter(|row| row.ended_at.is_some()) {
            let id = AttemptId { run: row.run, task: row.task, number: row.number };
            let is_alive = self.disk.get(&id).is_some_and(|folder| folder.is_alive);
            assert!(!is_alive, "the end of {id} is kept while it works");
        }
    }

    /// No more runs move than may.
    pub(super) fn look_at_gates(&self) {
        let mut moving: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for (run, loaded) in &self.of_run {
            let flow = &loaded.compiled.flow;
            let limit = match flow.concurrency.policy {
                ConcurrencyPolicy::Queue
                | ConcurrencyPolicy::Skip
                | ConcurrencyPolicy::CancelRunning => flow.concurrency.limit,
                ConcurrencyPolicy::Parallel | ConcurrencyPolicy::Pipeline => continue,
            };
            let Some(rows) = self.lab.mirror.kept.get(run) else { continue };
            if rows.state() != RunState::Queued && !rows.state().is_final() {
                let at = moving.entry(flow.name.as_str()).or_default();
                *at = (at.0 + 1, limit);
            }
        }
        for (flow, (count, limit)) in moving {
            assert!(count <= limit, "{count} runs of {flow} move, and {limit} may");
        }
    }
}
