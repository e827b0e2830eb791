//! Which runs may move: the concurrency policies of flows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::flow::ConcurrencyPolicy;
use weir_core::ids::RunId;

/// A run at its gate.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) run: RunId,
    /// Runs with the same key count together.
    pub(crate) key: String,
    pub(crate) policy: ConcurrencyPolicy,
    /// How many may move; 0 is any number.
    pub(crate) limit: u32,
}

/// What becomes of a run whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    /// It ends at once, cancelled.
    Refuse,
    /// This older run is to end first.
    CancelOldest(RunId),
}

#[derive(Debug, Default)]
pub(crate) struct Gates {
    moving: BTreeMap<String, BTreeSet<RunId>>,
    key_of: BTreeMap<RunId, String>,
    queued: BTreeMap<RunId, Entry>,
    cancelling: BTreeSet<RunId>,
}

impl Gates {
    /// A run waits to begin.
    pub(crate) fn queue(&mut self, entry: &Entry) {
        self.queued.insert(entry.run, entry.clone());
    }

    /// A run moves already (after a restart).
    pub(crate) fn enter_again(&mut self, entry: &Entry) {
        self.moving.entry(entry.key.clone()).or_default().insert(entry.run);
        self.key_of.insert(entry.run, entry.key.clone());
    }

    /// The next run, in the order they were asked for, with what becomes of it. `has_locks` takes a run's locks.
    pub(crate) fn next(
        &mut self,
        mut has_locks: impl FnMut(RunId) -> bool,
    ) -> Option<(RunId, Verdict)> {
        let mut found = None;
        for (run, entry) in &self.queued {
            let moving = self.moving.get(&entry.key);
            let count = moving.map_or(0, BTreeSet::len);
            let is_full = entry.limit > 0 && count >= entry.limit as usize;
            let verdict = match entry.policy {
                ConcurrencyPolicy::Skip if is_full => Verdict::Refuse,
                ConcurrencyPolicy::CancelRunning if is_full => {
                    let oldest =
                        moving.into_iter().flatten().find(|run| !self.cancelling.contains(run));
                    match oldest {
                        Some(oldest)
                            if count - self.cancelling_in(&entry.key) >= entry.limit as usize =>
                        {
                            Verdict::CancelOldest(*oldest)
                        }
                        _ => continue,
                    }
                }
                ConcurrencyPolicy::Queue if is_full => continue,
                ConcurrencyPolicy::Queue
                | ConcurrencyPolicy::Skip
                | ConcurrencyPolicy::Parallel
                | ConcurrencyPolicy::CancelRunning
                | ConcurrencyPolicy::Pipeline => {
                    if !has_locks(*run) {
                        continue;
                    }
                    Verdict::Open
                }
            };
            found = Some((*run, verdict));
            break;
        }
        let (run, verdict) = found?;
        match verdict {
            Verdict::Open => {
                let entry = self.queued.remove(&run).expect("it was found there");
                self.enter_again(&entry);
            }
            Verdict::Refuse => {
                self.queued.remove(&run);
            }
            Verdict::CancelOldest(oldest) => {
                self.cancelling.insert(oldest);
            }
        }
        Some(match verdict {
            Verdict::CancelOldest(_) | Verdict::Open | Verdict::Refuse => (run, verdict),
        })
    }

    fn cancelling_in(&self, key: &str) -> usize {
        self.moving.get(key).map_or(0, |runs| runs.intersection(&self.cancelling).count())
    }

    /// A run has ended.
    pub(crate) fn leave(&mut self, run: RunId) {
        self.queued.remove(&run);
        self.cancelling.remove(&run);
        if let Some(key) = self.key_of.remove(&run)
            && let Some(runs) = self.moving.get_mut(&key)
        {
            runs.remove(&run);
            if runs.is_empty() {
                self.moving.remove(&key);
            }
        }
    }

    /// The runs before this one at the same gate that still move, if the policy is `pipeline`, in order.
    pub(crate) fn before(&self, entry: &Entry) -> Vec<RunId> {
        if entry.policy != ConcurrencyPolicy::Pipeline {
            return Vec::new();
        }
        let moving = self.moving.get(&entry.key);
        moving.into_iter().flat_map(|moving| moving.range(..entry.run)).copied().collect()
    }

    /// Why a run waits to begin, in words.
    pub(crate) fn why(&self, run: RunId) -> Option<String> {
        let entry = self.queued.get(&run)?;
        let moving: Vec<String> =
            self.moving.get(&entry.key)?.iter().map(ToString::to_string).collect();
        Some(format!(
            "run {} of this flow moves, and {} may",
            moving.join(", "),
            entry.limit.max(1)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: i64, policy: ConcurrencyPolicy) -> Entry {
        Entry { run: RunId(run), key: "p/f/".to_owned(), policy, limit: 1 }
    }

    fn all(gates: &mut Gates) -> Vec<(i64, Verdict)> {
        std::iter::from_fn(|| gates.next(|_| true)).map(|(run, verdict)| (run.0, verdict)).collect()
    }

    #[test]
    fn a_queued_run_begins_when_the_one_before_has_ended() {
        let mut gates = Gates::default();
        gates.queue(&entry(1, ConcurrencyPolicy::Queue));
        gates.queue(&entry(2, ConcurrencyPolicy::Queue));
        assert_eq!(all(&mut gates), [(1, Verdict::Open)]);
        assert_eq!(gates.why(RunId(2)).as_deref(), Some("run 1 of this flow moves, and 1 may"));
        gates.leave(RunId(1));
        assert_eq!(all(&mut gates), [(2, Verdict::Open)]);
    }

    #[test]
    fn skip_refuses_and_cancel_running_ends_the_oldest_once() {
        let mut gates = Gates::default();
        gates.queue(&entry(1, ConcurrencyPolicy::Skip));
        gates.queue(&entry(2, ConcurrencyPolicy::Skip));
        assert_eq!(all(&mut gates), [(1, Verdict::Open), (2, Verdict::Refuse)]);
        gates.queue(&entry(3, ConcurrencyPolicy::CancelRunning));
        assert_eq!(all(&mut gates), [(3, Verdict::CancelOldest(RunId(1)))]);
        gates.leave(RunId(1));
        assert_eq!(all(&mut gates), [(3, Verdict::Open)]);
    }
}
