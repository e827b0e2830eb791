//! Jobs that stand side by side as a graph: who is there, who is needed, who waits in a circle.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::flow::Job;

/// Circles that are shown of one scope.
const MAX_CIRCLES: usize = 10;
/// Steps that all walks over one scope may take together. What is then not known is not told.
const MAX_STEPS: usize = 20_000_000;

/// Jobs that stand side by side.
pub(super) struct Scope<'a> {
    pub(super) jobs: &'a [Job],
    /// An item of a `foreach` is at hand.
    pub(super) has_item: bool,
    outer: Outer<'a>,
    by_name: BTreeMap<&'a str, usize>,
    /// Names with `-`, written with `_`.
    dashed: OnceCell<BTreeMap<String, usize>>,
    /// Where the needs of each job begin in `needs`; one more entry at the end.
    begins: Vec<u32>,
    needs: Vec<u32>,
    walks: RefCell<Walks>,
}

/// What lies around a scope.
#[derive(Clone, Copy)]
pub(super) enum Outer<'a> {
    /// Nothing that has run before.
    Nothing,
    /// What this job needs has run, and maybe the job itself.
    Needs { scope: &'a Scope<'a>, job: usize, with_itself: bool },
    /// All jobs of the scope have ended.
    All(&'a Scope<'a>),
}

/// Whether what a job speaks of has ended when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It has.
    Ended,
    /// It may not have: it must be needed.
    NotNeeded,
    /// It is the job itself.
    Itself,
    /// There is no such job.
    Unknown,
}

#[derive(Default)]
struct Walks {
    stamps: Vec<u32>,
    stamp: u32,
    steps: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new(jobs: &'a [Job], outer: Outer<'a>, has_item: bool) -> Self {
        let by_name: BTreeMap<&str, usize> =
            jobs.iter().enumerate().map(|(at, job)| (job.name.as_str(), at)).collect();
        let mut begins = vec![0];
        let mut needs = Vec::new();
        for job in jobs {
            let known = job.needs.iter().filter_map(|need| by_name.get(need.source.as_str()));
            needs.extend(known.map(|at| *at as u32));
            begins.push(needs.len() as u32);
        }
        Self {
            jobs,
            has_item,
            outer,
            by_name,
            dashed: OnceCell::new(),
            begins,
            needs,
            walks: RefCell::default(),
        }
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The job of that name as templates say it: with `_` for `-`, if need be.
    fn said(&self, name: &str) -> Option<usize> {
        self.place_of(name).or_else(|| {
            let dashed = self.dashed.get_or_init(|| {
                let with_dash =
                    self.jobs.iter().enumerate().filter(|(_, job)| job.name.contains('-'));
                with_dash.map(|(at, job)| (job.name.replace('-', "_"), at)).collect()
            });
            dashed.get(name).copied()
        })
    }

    /// Whether a scope around this one has such a job.
    pub(super) fn is_outside(&self, name: &str) -> bool {
        match self.outer {
            Outer::Nothing => false,
            Outer::Needs { scope, .. } | Outer::All(scope) => {
                scope.knows(name) || scope.is_outside(name)
            }
        }
    }

    /// The group of this scope that has such a job.
    pub(super) fn group_of(&self, name: &str) -> Option<&'a str> {
        let mut groups = self.jobs.iter().take(super::MAX_NAMES);
        groups
            .find(|group| group.jobs.iter().any(|job| job.name == name))
            .map(|group| group.name.as_str())
    }

    /// Names that a job can speak of, nearest first; not all, if there are very many.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let own = self.jobs.iter().take(super::MAX_NAMES);
        let mut names: Vec<&str> = own.map(|job| job.name.as_str()).collect();
        match self.outer {
            Outer::Nothing => {}
            Outer::Needs { scope, .. } | Outer::All(scope) => names.extend(scope.names()),
        }
        names
    }

    /// Whether the job `name` has ended when the job at `at` starts, and that job. `at` is `None` for a scope's
    /// inner ones.
    pub(super) fn reach(&self, at: usize, name: &str) -> (Reach, Option<&'a Job>) {
        if let Some(target) = self.said(name) {
            let reach = if target == at {
                Reach::Itself
            } else if self.reaches(at, target) {
                Reach::Ended
            } else {
                Reach::NotNeeded
            };
            return (reach, Some(&self.jobs[target]));
        }
        match self.outer {
            Outer::Nothing => (Reach::Unknown, None),
            Outer::All(scope) => match scope.said(name) {
                Some(target) => (Reach::Ended, Some(&scope.jobs[target])),
                None => (Reach::Unknown, None),
            },
            Outer::Needs { scope, job, with_itself } => match scope.reach(job, name) {
                (Reach::Itself, job) if with_itself => (Reach::Ended, job),
                (Reach::Itself, job) => (Reach::NotNeeded, job),
                found => found,
            },
        }
    }

    fn needs_of(&self, at: usize) -> &[u32] {
        &self.needs[self.begins[at] as usize..self.begins[at + 1] as usize]
    }

    /// Whether a job needs another one, directly or not. Walks are bounded; beyond that the answer is yes.
    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        if self.needs_of(from).contains(&(to as u32)) {
            return true;
        }
        let mut found = false;
        let is_whole = self.walk(from, |at| {
            found = at == to;
            found
        });
        found || !is_whole
    }

    /// The names of all jobs that one needs, directly or not.
    pub(super) fn all_needs(&self, from: usize) -> Vec<&'a str> {
        let mut names = Vec::new();
        self.walk(from, |at| {
            if at != from {
                names.push(self.jobs[at].name.as_str());
            }
            false
        });
        names
    }

    /// Visits what a job needs until `visit` says that it is enough. False if the steps ran out.
    fn walk(&self, from: usize, mut visit: impl FnMut(usize) -> bool) -> bool {
        let mut walks = self.walks.borrow_mut();
        let walks = &mut *walks;
        walks.stamps.resize(self.jobs.len(), 0);
        walks.stamp += 1;
        let mut open = vec![from];
        walks.stamps[from] = walks.stamp;
        while let Some(at) = open.pop() {
            for need in self.needs_of(at) {
                walks.steps += 1;
                let need = *need as usize;
                if walks.stamps[need] != walks.stamp {
                    walks.stamps[need] = walks.stamp;
                    if visit(need) {
                        return true;
                    }
                    open.push(need);
                }
            }
            if walks.steps > MAX_STEPS {
                return false;
            }
        }
        true
    }

    /// Jobs that wait for each other: of each knot the shortest circle through its first job.
    pub(super) fn circles(&self) -> Vec<Vec<usize>> {
        let stuck = self.stuck();
        if stuck.is_empty() {
            return Vec::new();
        }
        let places: BTreeMap<usize, u32> =
            stuck.iter().enumerate().map(|(node, at)| (*at, node as u32)).collect();
        let mut graph: DiGraph<usize, ()> = DiGraph::new();
        for at in &stuck {
            graph.add_node(*at);
        }
        for (node, at) in stuck.iter().enumerate() {
            for need in self.needs_of(*at) {
                if let Some(to) = places.get(&(*need as usize)) {
                    graph.add_edge(NodeIndex::new(node), NodeIndex::new(*to as usize), ());
                }
            }
        }
        // Tarjan's algorithm as petgraph has it calls itself once for each job of a chain; this one does not.
        let mut knots: Vec<Vec<usize>> = kosaraju_scc(&graph)
            .into_iter()
            .filter(|knot| knot.len() > 1)
            .map(|knot| {
                let mut knot: Vec<usize> = knot.into_iter().map(|node| graph[node]).collect();
                knot.sort_unstable();
                knot
            })
            .collect();
        knots.sort();
        knots.iter().take(MAX_CIRCLES).map(|knot| self.circle_in(knot)).collect()
    }

    /// The jobs that can never start, and those between them.
    fn stuck(&self) -> Vec<usize> {
        let mut open_needs: Vec<usize> = Vec::with_capacity(self.jobs.len());
        let mut dependents: Vec<u32> = vec![0; self.jobs.len() + 1];
        for at in 0..self.jobs.len() {
            let needs = self.needs_of(at);
            open_needs.push(needs.iter().filter(|need| **need as usize != at).count());
            for need in needs {
                dependents[*need as usize + 1] += 1;
            }
        }
        for at in 1..dependents.len() {
            dependents[at] += dependents[at - 1];
        }
        let mut list = vec![0_u32; self.needs.len()];
        let mut next = dependents.clone();
        for at in 0..self.jobs.len() {
            for need in self.needs_of(at) {
                let slot = &mut next[*need as usize];
                list[*slot as usize] = at as u32;
                *slot += 1;
            }
        }
        let mut ready: Vec<usize> =
            (0..self.jobs.len()).filter(|at| open_needs[*at] == 0).collect();
        while let Some(at) = ready.pop() {
            for dependent in &list[dependents[at] as usize..dependents[at + 1] as usize] {
                let dependent = *dependent as usize;
                if dependent == at {
                    continue;
                }
                open_needs[dependent] -= 1;
                if open_needs[dependent] == 0 {
                    ready.push(dependent);
                }
            }
        }
        (0..self.jobs.len()).filter(|at| open_needs[*at] > 0).collect()
    }

    fn circle_in(&self, knot: &[usize]) -> Vec<usize> {
        let first = knot[0];
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([first]);
        while let Some(at) = queue.pop_front() {
            for need in self.needs_of(at) {
                let need = *need as usize;
                if need == at || knot.binary_search(&need).is_err() {
                    continue;
                }
                if need == first {
                    let mut path = vec![at];
                    while let Some(before) = path.last().and_then(|at| came_from.get(at)) {
                        path.push(*before);
                    }
                    path.reverse();
                    return path;
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(need) {
                    entry.insert(at);
                    queue.push_back(need);
                }
            }
        }
        knot.to_vec()
    }
}
