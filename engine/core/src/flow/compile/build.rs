//! The graph from the jobs: scopes in breadth-first order, remedies shared where they are the same.

mod remedies;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::names::{Needs, resolve};
use super::{Compiled, Owner, Remedy};
use crate::catalogue::Catalogue;
use crate::flow::{Flow, Job, Late, Project, spread};
use crate::graph::{Graph, HookScopes, JobKind, JobRules, LateRules, Scope, Timing};
use crate::ids::{JobIx, ScopeIx};
use crate::job_type::{Nature, Traits};
use crate::mistake::{Mistake, Place, Severity};

/// Groups, `foreach` and remedies may be nested this deep.
const MAX_DEPTH: u32 = 32;

/// Jobs that remedies go back to, by name; `None` for those that are not there.
type Targets = BTreeMap<String, Option<JobIx>>;

/// Jobs that still need numbers.
struct Pending {
    jobs: Vec<Parts>,
    scope: ScopeIx,
    depth: u32,
    /// Whether the project's and the catalogue's remedies are for them. Not for the jobs of a remedy: a cure that
    /// needs curing is a failure.
    is_curable: bool,
    /// The jobs are the body of a `foreach`.
    is_body: bool,
}

/// A job and what stands in it, taken apart so that no text is kept twice.
struct Parts {
    job: Arc<Job>,
    /// The jobs of a group.
    inner: Vec<Job>,
    /// The jobs of each of its remedies.
    cures: Vec<Vec<Job>>,
}

impl Parts {
    fn of(mut job: Job) -> Self {
        let inner = std::mem::take(&mut job.jobs);
        let cures = job.recover.iter_mut().map(|one| std::mem::take(&mut one.jobs)).collect();
        Self { job: Arc::new(job), inner, cures }
    }
}

struct Builder<'a> {
    file: String,
    project: &'a Project,
    catalogue: &'a Catalogue,
    traits: &'a dyn Fn(&str) -> Traits,
    graph: Graph,
    jobs: Vec<Arc<Job>>,
    owners: Vec<Owner>,
    remedies: Vec<Arc<Remedy>>,
    pending: VecDeque<Pending>,
    mistakes: Vec<Mistake>,
    /// The remedies of jobs without their own, by job type and the jobs that they go back to.
    shared: BTreeMap<(String, Targets), (u32, u32)>,
    /// By job type, the names of jobs that shared remedies go back to.
    target_names: BTreeMap<String, Vec<String>>,
    /// By job, which jobs of its scope need it, be it by way of others, and itself.
    below: BTreeMap<JobIx, Vec<bool>>,
    /// Scopes of the remedies that more than one job has, by their ids.
    cures: BTreeMap<String, ScopeIx>,
    /// The times of jobs before, each once.
    timings: VecDeque<Arc<Timing>>,
}

pub(super) fn build(
    mut flow: Flow,
    project: Project,
    catalogue: &Catalogue,
    traits: &dyn Fn(&str) -> Traits,
) -> Result<Compiled, Vec<Mistake>> {
    let mut builder = Builder {
        file: flow.name.clone(),
        project: &project,
        catalogue,
        traits,
        graph: Graph {
            on_failure: flow.on_failure,
            timeout: flow.timeout,
            late: late_rules(flow.late.as_ref()),
            ..Graph::default()
        },
        jobs: Vec::new(),
        owners: Vec::new(),
        remedies: Vec::new(),
        pending: VecDeque::new(),
        mistakes: Vec::new(),
        shared: BTreeMap::new(),
        target_names: BTreeMap::new(),
        below: BTreeMap::new(),
        cures: BTreeMap::new(),
        timings: VecDeque::new(),
    };
    builder.queue_all(std::mem::take(&mut flow.jobs), Owner::Flow, 0, true);
    let mut hook = |jobs: Vec<Job>, key| {
        (!jobs.is_empty()).then(|| builder.queue_all(jobs, Owner::Hook(key), 0, true))
    };
    let written = std::mem::take(&mut flow.hooks);
    let hooks = HookScopes {
        on_start: hook(written.on_start, "on-start"),
        on_success: hook(written.on_success, "on-success"),
        on_failure: hook(written.on_failure, "on-failure"),
        on_exit: hook(written.on_exit, "on-exit"),
    };
    builder.graph.hooks = hooks;
    while let Some(pending) = builder.pending.pop_front() {
        builder.number(pending);
    }
    let Builder { mut graph, jobs, owners, remedies, mut mistakes, .. } = builder;
    if !mistakes.is_empty() {
        mistakes.sort();
        return Err(mistakes);
    }
    graph.measure();
    let entries = catalogue.entries().iter();
    let catalogue = entries.map(|entry| (entry.id.clone(), Arc::clone(entry))).collect();
    Ok(Compiled { flow, project, graph: Arc::new(graph), jobs, owners, remedies, catalogue })
}

fn late_rules(late: Option<&Late>) -> LateRules {
    late.map_or_else(LateRules::default, |late| LateRules {
        start_within: late.start_within,
        finish_within: late.finish_within,
        then: late.then,
    })
}

impl Builder<'_> {
    fn queue_all(&mut self, jobs: Vec<Job>, owner: Owner, depth: u32, is_curable: bool) -> ScopeIx {
        self.queue(jobs.into_iter().map(Parts::of).collect(), owner, depth, is_curable)
    }

    /// Gives a scope its number; its jobs get theirs when it is their turn.
    fn queue(&mut self, jobs: Vec<Parts>, owner: Owner, depth: u32, is_curable: bool) -> ScopeIx {
        let scope = ScopeIx(self.graph.scopes.len() as u32);
        self.graph.scopes.push(Scope::default());
        self.owners.push(owner);
        if depth > MAX_DEPTH {
            let place = jobs.first().map_or_else(Place::default, |parts| parts.job.place);
            self.mistake(
                "too-deep",
                place,
                format!("jobs are nested deeper than {MAX_DEPTH}"),
                None,
            );
        } else {
            let is_body = matches!(owner, Owner::Foreach(_));
            self.pending.push_back(Pending { jobs, scope, depth, is_curable, is_body });
        }
        scope
    }

    /// Gives the jobs of a scope their numbers and rules.
    fn number(&mut self, pending: Pending) {
        let Pending { jobs, scope, depth, is_curable, is_body } = pending;
        let needs = if is_body {
            Needs { lists: vec![Vec::new()], names: BTreeMap::new() }
        } else {
            resolve(jobs.iter().map(|parts| &*parts.job), &self.file, &mut self.mistakes)
        };
        let first = self.jobs.len() as u32;
        self.graph.scopes[scope.at()] = Scope::new(first, &needs.lists);
        self.jobs.extend(jobs.iter().map(|parts| Arc::clone(&parts.job)));
        self.graph.jobs.resize(self.jobs.len(), JobRules { scope, ..JobRules::default() });
        for (place, parts) in jobs.into_iter().enumerate() {
            let ix = JobIx(first + place as u32);
            let job = Arc::clone(&parts.job);
            let rules = if !is_body && self.has_items(&job) {
                let owner = Owner::Foreach(ix);
                let body = self.queue(vec![parts], owner, depth + 1, is_curable);
                let parallel = job.parallel.unwrap_or(0);
                let (fail_fast, rolling) = (job.fail_fast, job.rolling.clone());
                let kind = JobKind::Foreach { body, parallel, fail_fast, rolling };
                JobRules { scope, kind, ..node_rules(&job) }
            } else if let Some(uses) = &job.uses {
                let remedies = self.remedies_of(
                    &job,
                    &uses.job_type,
                    parts.cures,
                    ix,
                    &needs.names,
                    depth,
                    is_curable,
                );
                let kind = match (self.traits)(&uses.job_type).nature {
                    Nature::Work | Nature::Waits | Nature::Fault => JobKind::Work,
                    Nature::Instant => JobKind::Instant,
                    Nature::Asks => JobKind::Asks,
                };
                JobRules { scope, kind, remedies, ..work_rules(&job) }
            } else {
                let inner = self.queue_all(parts.inner, Owner::Group(ix), depth + 1, is_curable);
                JobRules { scope, kind: JobKind::Group(inner), ..work_rules(&job) }
            };
            let mut rules = if is_body { body_rules(rules) } else { rules };
            self.share_timing(&mut rules);
            self.graph.jobs[ix.at()] = rules;
        }
    }

    /// Whether a job has a task for each item of a list, or for each of its hosts.
    fn has_items(&self, job: &Job) -> bool {
        let works_on_hosts = |job_type: &str| (self.traits)(job_type).works_on_hosts;
        job.foreach.is_some() || spread(job, &self.project.hosts, works_on_hosts).is_some()
    }

    /// Takes the times of an earlier job if they are the same. Only the last few different ones are looked at.
    fn share_timing(&mut self, rules: &mut JobRules) {
        if let Some(same) = self.timings.iter().find(|other| **other == rules.timing) {
            rules.timing = Arc::clone(same);
            return;
        }
        self.timings.push_front(Arc::clone(&rules.timing));
        self.timings.truncate(8);
    }

    fn mistake(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        let file = self.file.clone();
        self.mistakes.push(Mistake { file, place, severity: Severity::Error, code, message, help });
    }
}

/// The rules of one piece of work or of a group.
fn work_rules(job: &Job) -> JobRules {
    JobRules {
        after: job.after,
        decide: job.when.is_some() || job.destroys.is_some(),
        allow_failure: job.allow_failure,
        destroys: job.destroys.is_some(),
        has_check: job.unless.is_some(),
        on_lost: job.on_lost,
        timing: Arc::new(Timing {
            retry: (*job.retry).clone(),
            timeout: job.timeout,
            late: late_rules(job.late.as_deref()),
        }),
        ..JobRules::default()
    }
}

/// The rules of a `foreach` as it stands among its neighbours.
fn node_rules(job: &Job) -> JobRules {
    JobRules {
        after: job.after,
        decide: job.when.is_some(),
        allow_failure: job.allow_failure,
        destroys: job.destroys.is_some(),
        timing: Arc::new(Timing { late: late_rules(job.late.as_deref()), ..Timing::default() }),
        ..JobRules::default()
    }
}

/// The rules of what a `foreach` does with each item.
fn body_rules(rules: JobRules) -> JobRules {
    JobRules {
        after: crate::flow::After::default(),
        decide: rules.destroys,
        allow_failure: false,
        timing: Arc::new(Timing { late: LateRules::default(), ..(*rules.timing).clone() }),
        ..rules
    }
}
