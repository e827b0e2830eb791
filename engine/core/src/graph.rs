//! A flow as `step` sees it: jobs are numbers, edges are ranges in flat lists, names stay at the edge.
//!
//! Made by `flow::compile` from a flow, its project and the catalogue; never changed afterwards.

use std::sync::Arc;
use std::time::Duration;

use crate::flow::{After, LateThen, OnFailure, OnLost, Retry, Rolling};
use crate::ids::{JobIx, ScopeIx};

/// The rules by which a run of one flow version moves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// All scopes. The first is the flow's own jobs.
    pub scopes: Vec<Scope>,
    /// All jobs. Those of one scope stand side by side, in the file's order.
    pub jobs: Vec<JobRules>,
    /// What follows known failures. Those of one job stand side by side, in the order they are tried.
    pub remedies: Vec<RemedyRules>,
    /// What a failure does to the rest.
    pub on_failure: OnFailure,
    /// Jobs around the run.
    pub hooks: HookScopes,
    /// After which the run is cancelled and has failed.
    pub timeout: Option<Duration>,
    /// Longest wait from the due time to the start, and to the end.
    pub late: LateRules,
}

/// Jobs that stand side by side and need each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its first job.
    pub first: u32,
    /// How many jobs it has.
    pub count: u32,
    /// For each job of the scope, where its needs begin in `need_list`; one more entry at the end.
    pub need_at: Vec<u32>,
    /// Needs as places within the scope (0 is its first job).
    pub need_list: Vec<u32>,
    /// For each job of the scope, where its dependents begin in `dependent_list`; one more entry at the end.
    pub dependent_at: Vec<u32>,
    /// Dependents as places within the scope.
    pub dependent_list: Vec<u32>,
    /// What it takes as a block of tasks: its own jobs and, after them, those of its groups (not of its `foreach`).
    pub block: u32,
}

impl Scope {
    /// What the job at `place` needs.
    pub fn needs(&self, place: u32) -> &[u32] {
        &self.need_list
            [self.need_at[place as usize] as usize..self.need_at[place as usize + 1] as usize]
    }

    /// What needs the job at `place`.
    pub fn dependents(&self, place: u32) -> &[u32] {
        &self.dependent_list[self.dependent_at[place as usize] as usize
            ..self.dependent_at[place as usize + 1] as usize]
    }

    /// A scope of `count` jobs from job `first` on with these needs, a list for each job.
    pub fn new(first: u32, needs: &[Vec<u32>]) -> Self {
        let count = needs.len();
        let mut scope = Self { first, count: count as u32, block: count as u32, ..Self::default() };
        let mut dependents = vec![0_u32; count + 1];
        for (place, list) in needs.iter().enumerate() {
            scope.need_at.push(scope.need_list.len() as u32);
            scope.need_list.extend_from_slice(list);
            for need in list {
                assert!(
                    (*need as usize) < count,
                    "job {place} needs {need}, which is not in its scope"
                );
                dependents[*need as usize + 1] += 1;
            }
        }
        scope.need_at.push(scope.need_list.len() as u32);
        for place in 1..=count {
            dependents[place] += dependents[place - 1];
        }
        scope.dependent_at.clone_from(&dependents);
        scope.dependent_list = vec![0; scope.need_list.len()];
        for (place, list) in needs.iter().enumerate() {
            for need in list {
                let at = &mut dependents[*need as usize];
                scope.dependent_list[*at as usize] = place as u32;
                *at += 1;
            }
        }
        scope
    }
}

/// What moves one job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRules {
    /// The scope it stands in.
    pub scope: ScopeIx,
    /// What it is.
    pub kind: JobKind,
    /// How its needs must have ended.
    pub after: After,
    /// Whether something must be worked out before it may start: `when`, `destroys`.
    pub decide: bool,
    /// Its failure fails nothing else.
    pub allow_failure: bool,
    /// It destroys: never tried again blindly.
    pub destroys: bool,
    /// It can tell whether it is already done (`unless`).
    pub has_check: bool,
    /// What to do when nobody knows how it ended.
    pub on_lost: OnLost,
    /// Its remedies: a range of [`Graph::remedies`].
    pub remedies: (u32, u32),
    /// Its times. Jobs with the same ones share them: most jobs of a big flow do.
    pub timing: Arc<Timing>,
}

/// The times of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// How often and when to try again.
    pub retry: Retry,
    /// After which an attempt (or a group) is ended.
    pub timeout: Option<Duration>,
    /// When it counts as late.
    pub late: LateRules,
}

/// What a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// One piece of work.
    Work,
    /// It has ended as soon as it starts.
    Instant,
    /// A person answers; no work is done.
    Asks,
    /// The jobs of a scope.
    Group(ScopeIx),
    /// A task for each item of a list; the scope has exactly one job, which is work or a group.
    Foreach {
        /// The scope of each item.
        body: ScopeIx,
        /// How many items at once; 0 is all.
        parallel: u32,
        /// The first item that fails ends the others.
        fail_fast: bool,
        /// Items in batches, one batch after the other. Aside, for few jobs have it and each job has room for its kind.
        rolling: Option<Box<Rolling>>,
    },
}

/// What follows a known failure.
#[derive(Clone, Debug, PartialEq)]
pub struct RemedyRules {
    /// The jobs that cure it.
    pub scope: Option<ScopeIx>,
    /// What follows.
    pub then: ThenRules,
    /// How often for one task.
    pub limit: u32,
    /// It destroys: a person is asked first.
    pub destroys: bool,
}

/// What follows a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThenRules {
    /// The task is tried again.
    Retry,
    /// This job of the same scope and all between it and the task run again.
    RetryFrom(JobIx),
    /// The task counts as done.
    Continue,
    /// A person decides.
    Ask,
    /// The task has failed.
    Fail,
}

/// Scopes around the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookScopes {
    /// Before the first job.
    pub on_start: Option<ScopeIx>,
    /// When all has ended well.
    pub on_success: Option<ScopeIx>,
    /// When the run has failed.
    pub on_failure: Option<ScopeIx>,
    /// At the very end, but not after a kill.
    pub on_exit: Option<ScopeIx>,
}

/// When a start or an end counts as late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateRules {
    /// Longest wait from the due time to the start.
    pub start_within: Option<Duration>,
    /// Longest wait from the due time to the end.
    pub finish_within: Option<Duration>,
    /// What follows.
    pub then: LateThen,
}

impl Default for JobRules {
    fn default() -> Self {
        Self {
            scope: ScopeIx(0),
            kind: JobKind::Work,
            after: After::default(),
            decide: false,
            allow_failure: false,
            destroys: false,
            has_check: false,
            on_lost: OnLost::default(),
            remedies: (0, 0),
            timing: Arc::default(),
        }
    }
}

impl Graph {
    /// A scope by its number.
    pub fn scope(&self, scope: ScopeIx) -> &Scope {
        &self.scopes[scope.at()]
    }

    /// A job's rules by its number.
    pub fn job(&self, job: JobIx) -> &JobRules {
        &self.jobs[job.at()]
    }

    /// The jobs of a scope, in order.
    pub fn jobs_of(&self, scope: ScopeIx) -> impl Iterator<Item = JobIx> + use<> {
        let Scope { first, count, .. } = *self.scope(scope);
        (first..first + count).map(JobIx)
    }

    /// Works out [`Scope::block`] of every scope. Called once, when all scopes stand.
    ///
    /// # Panics
    /// A group that holds itself.
    pub fn measure(&mut self) {
        fn block(graph: &Graph, scope: ScopeIx, depth: u32) -> u32 {
            assert!(depth < 64, "groups are nested deeper than 64, or hold themselves");
            let own = graph.scope(scope).count;
            let inner: u32 = graph
                .jobs_of(scope)
                .map(|job| match graph.job(job).kind {
                    JobKind::Group(inner) => block(graph, inner, depth + 1),
                    JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Foreach { .. } => 0,
                })
                .sum();
            own + inner
        }
        for scope in 0..self.scopes.len() {
            self.scopes[scope].block = block(self, ScopeIx(scope as u32), 0);
        }
    }
}
