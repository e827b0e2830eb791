//! Who may go: slots, pools and locks, over all runs of this home. Pure; nothing here is kept, all of it follows from
//! the states of the tasks.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::ids::{RunId, TaskIx};

/// Who wants to go.
pub(crate) type Who = (RunId, TaskIx);

/// What a task needs besides its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// It works on this machine and takes one of the node's slots.
    pub(crate) slot: bool,
    /// Pools by name: slots wanted.
    pub(crate) pools: Vec<(String, u32)>,
    /// Things nobody else may work on.
    pub(crate) locks: Vec<String>,
    /// Higher goes before lower.
    pub(crate) priority: i32,
}

/// Slots, pools and locks, who has them and who waits for them.
#[derive(Debug)]
pub(crate) struct Limits {
    slots: u32,
    slots_used: u32,
    pools: BTreeMap<String, Pool>,
    run_locks: BTreeMap<String, RunId>,
    task_locks: BTreeMap<String, Who>,
    has: BTreeMap<Who, Wants>,
    /// Who waits, by priority and turn: those that need a slot of this machine, and those that do not.
    for_slot: BTreeSet<Place>,
    for_others: BTreeSet<Place>,
    wants: BTreeMap<Who, (Wants, u64)>,
    turn: u64,
}

/// A place in a queue: the lowest goes first.
type Place = (i32, u64, Who);

#[derive(Debug)]
struct Pool {
    size: u32,
    used: u32,
}

impl Limits {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            slots,
            slots_used: 0,
            pools: BTreeMap::new(),
            run_locks: BTreeMap::new(),
            task_locks: BTreeMap::new(),
            has: BTreeMap::new(),
            for_slot: BTreeSet::new(),
            for_others: BTreeSet::new(),
            wants: BTreeMap::new(),
            turn: 0,
        }
    }

    /// The size of a pool, as the newest project text says.
    pub(crate) fn size_pool(&mut self, name: &str, size: u32) {
        self.pools.entry(name.to_owned()).or_insert(Pool { size, used: 0 }).size = size;
    }

    /// Asks for what a task wants; it is given by [`Limits::next`]. Asking again changes nothing.
    pub(crate) fn ask(&mut self, who: Who, wants: Wants) {
        if self.has.contains_key(&who) || self.wants.contains_key(&who) {
            return;
        }
        self.turn += 1;
        let place = (-wants.priority, self.turn, who);
        self.queue(wants.slot).insert(place);
        self.wants.insert(who, (wants, self.turn));
    }

    /// Takes what a task holds already (after a restart), whether or not it is free.
    pub(crate) fn hold(&mut self, who: Who, wants: Wants) {
        if !self.has.contains_key(&who) {
            self.take(who, wants);
        }
    }

    fn queue(&mut self, needs_slot: bool) -> &mut BTreeSet<Place> {
        if needs_slot { &mut self.for_slot } else { &mut self.for_others }
    }

    /// The next who may go, given all it wants. Where all slots are taken nobody who needs one is looked at.
    pub(crate) fn next(&mut self) -> Option<Who> {
        let may_go = |place: &&Place| self.lacks(&self.wants[&place.2].0, place.2).is_none();
        let has_slot = self.slots_used < self.slots;
        let of_slot = if has_slot { self.for_slot.iter().find(may_go) } else { None };
        let of_others = self.for_others.iter().find(may_go);
        let place = *of_slot.into_iter().chain(of_others).min()?;
        let (wants, _) = self.wants.remove(&place.2).expect("whoever queues wants something");
        self.queue(wants.slot).remove(&place);
        self.take(place.2, wants);
        Some(place.2)
    }

    fn take(&mut self, who: Who, wants: Wants) {
        self.slots_used += u32::from(wants.slot);
        for (pool, slots) in &wants.pools {
            self.pools.entry(pool.clone()).or_insert(Pool { size: 1, used: 0 }).used += slots;
        }
        for lock in &wants.locks {
            self.task_locks.insert(lock.clone(), who);
        }
        self.has.insert(who, wants);
    }

    /// Gives back all a task has, or its place in the queue. Says whether a lock is free now.
    pub(crate) fn release(&mut self, who: Who) -> bool {
        if let Some((wants, turn)) = self.wants.remove(&who) {
            self.queue(wants.slot).remove(&(-wants.priority, turn, who));
        }
        let Some(wants) = self.has.remove(&who) else { return false };
        self.slots_used -= u32::from(wants.slot);
        for (pool, slots) in &wants.pools {
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.used = pool.used.saturating_sub(*slots);
            }
        }
        for lock in &wants.locks {
            if self.task_locks.get(lock) == Some(&who) {
                self.task_locks.remove(lock);
            }
        }
        !wants.locks.is_empty()
    }

    /// Takes locks for a whole run, all or none.
    pub(crate) fn lock_run(&mut self, run: RunId, locks: &[String]) -> bool {
        let is_taken = |lock: &String| {
            self.run_locks.get(lock).is_some_and(|holder| *holder != run)
                || self.task_locks.get(lock).is_some_and(|holder| holder.0 != run)
        };
        if locks.iter().any(is_taken) {
            return false;
        }
        for lock in locks {
            self.run_locks.insert(lock.clone(), run);
        }
        true
    }

    /// Who has a lock: a run, as a whole or for one of its tasks.
    pub(crate) fn holder(&self, lock: &str) -> Option<(RunId, Option<TaskIx>)> {
        let of_run = self.run_locks.get(lock).map(|run| (*run, None));
        of_run.or_else(|| self.task_locks.get(lock).map(|who| (who.0, Some(who.1))))
    }

    /// Gives back the locks of a whole run.
    pub(crate) fn unlock_run(&mut self, run: RunId) {
        self.run_locks.retain(|_, holder| *holder != run);
    }

    fn lacks(&self, wants: &Wants, who: Who) -> Option<String> {
        for lock in &wants.locks {
            if let Some(run) = self.run_locks.get(lock).filter(|run| **run != who.0) {
                return Some(format!("run {run} holds the lock `{lock}`"));
            }
            if let Some(task) = self.task_locks.get(lock).filter(|task| **task != who) {
                return Some(format!(
                    "task {} of run {} holds the lock `{lock}`",
                    task.1.0, task.0
                ));
            }
        }
        for (name, slots) in &wants.pools {
            let (size, used) = self.pools.get(name).map_or((1, 0), |pool| (pool.size, pool.used));
            if used + slots > size && (used > 0 || *slots <= size) {
                return Some(format!("{used} of {size} slots of the pool `{name}` are taken"));
            }
        }
        (wants.slot && self.slots_used >= self.slots)
            .then(|| format!("all {} slots of this machine are taken", self.slots))
    }

    /// Why a task does not go, in words.
    pub(crate) fn why(&self, who: Who) -> Option<String> {
        self.lacks(&self.wants.get(&who)?.0, who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(task: u32) -> Who {
        (RunId(1), TaskIx(task))
    }

    fn drain(limits: &mut Limits) -> Vec<u32> {
        std::iter::from_fn(|| limits.next()).map(|who| who.1.0).collect()
    }

    #[test]
    fn slots_go_by_priority_then_by_turn() {
        let mut limits = Limits::new(2);
        for (task, priority) in [(0, 0), (1, 5), (2, 0)] {
            limits.ask(who(task), Wants { slot: true, priority, ..Wants::default() });
        }
        assert_eq!(drain(&mut limits), [1, 0]);
        assert_eq!(limits.why(who(2)).as_deref(), Some("all 2 slots of this machine are taken"));
        limits.release(who(1));
        assert_eq!(drain(&mut limits), [2]);
    }

    #[test]
    fn a_lock_has_one_holder_and_who_waits_for_it_stops_nobody_else() {
        let mut limits = Limits::new(10);
        let wants = |lock: &str| Wants { locks: vec![lock.to_owned()], ..Wants::default() };
        limits.ask(who(0), wants("hdfs:c1"));
        limits.ask(who(1), wants("hdfs:c1"));
        limits.ask(who(2), wants("hdfs:c2"));
        assert_eq!(drain(&mut limits), [0, 2]);
        limits.release(who(0));
        assert_eq!(drain(&mut limits), [1]);
        assert!(!limits.lock_run(RunId(2), &["hdfs:c2".to_owned(), "x".to_owned()]));
        limits.release(who(2));
        assert!(limits.lock_run(RunId(2), &["hdfs:c2".to_owned(), "x".to_owned()]));
    }

    #[test]
    fn a_task_that_wants_more_than_a_pool_has_runs_alone() {
        let mut limits = Limits::new(10);
        limits.size_pool("net", 2);
        let wants = |slots| Wants { pools: vec![("net".to_owned(), slots)], ..Wants::default() };
        limits.ask(who(0), wants(3));
        limits.ask(who(1), wants(1));
        assert_eq!(drain(&mut limits), [0]);
        limits.release(who(0));
        assert_eq!(drain(&mut limits), [1]);
    }
}
