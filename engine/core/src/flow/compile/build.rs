//! The graph from the jobs: scopes in breadth-first order, remedies shared where they are the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::names::{Needs, resolve};
use super::{Compiled, Owner, Remedy};
use crate::catalogue::{Catalogue, Entry, Rank};
use crate::diagnose::Layer;
use crate::flow::{Flow, Job, Late, Project, Recover, Then, spread};
use crate::graph::{
    Graph, HookScopes, JobKind, JobRules, LateRules, RemedyRules, Scope, ThenRules, Timing,
};
use crate::ids::{JobIx, ScopeIx};
use crate::job_type::{Nature, Traits};
use crate::mistake::{Mistake, Place, Severity};
use crate::schema::nearest;

/// Groups, `foreach` and remedies may be nested this deep.
const MAX_DEPTH: u32 = 32;

/// How often a remedy is used for one task unless it says otherwise.
const LIMIT: u32 = 1;

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
                let kind = JobKind::Foreach { body, parallel, fail_fast: job.fail_fast };
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

    /// The remedies of a job, in the order they are tried: its own, its project's, the catalogue's, general ones last.
    #[expect(clippy::too_many_arguments, reason = "all of them are the job and where it stands")]
    fn remedies_of(
        &mut self,
        job: &Job,
        job_type: &str,
        cures: Vec<Vec<Job>>,
        ix: JobIx,
        names: &BTreeMap<String, u32>,
        depth: u32,
        is_curable: bool,
    ) -> (u32, u32) {
        let targets = if is_curable { self.targets(job_type, ix, names) } else { BTreeMap::new() };
        let key = (job_type.to_owned(), targets);
        if job.recover.is_empty() {
            if !is_curable {
                return (0, 0);
            }
            if let Some(range) = self.shared.get(&key) {
                return *range;
            }
        }
        let begin = self.remedies.len() as u32;
        let mut own_targets = BTreeMap::new();
        for one in &job.recover {
            if let Some(Then::RetryFrom(target)) = &one.then {
                own_targets.insert(target.source.clone(), self.target(&target.source, ix, names));
            }
        }
        for (number, (own, cure)) in job.recover.iter().zip(cures).enumerate() {
            let id = format!("{}.recover[{number}]", job.name);
            self.add_recover(own, cure, id, Layer::Job, &job.name, &own_targets, depth);
        }
        if is_curable {
            self.add_shared(job_type, &key.1, depth);
        }
        let end = self.remedies.len() as u32;
        if job.recover.is_empty() {
            self.shared.insert(key, (begin, end));
        }
        (begin, end)
    }

    /// Adds the project's and the catalogue's remedies for a job type.
    fn add_shared(&mut self, job_type: &str, targets: &Targets, depth: u32) {
        let project = self.project;
        for (number, one) in project.recover.iter().enumerate() {
            if self.is_for(one, job_type) {
                let id = format!("project.recover[{number}]");
                self.add_recover(one, one.jobs.clone(), id, Layer::Project, "", targets, depth);
            }
        }
        let catalogue = self.catalogue;
        let causes = || catalogue.of_type(job_type).filter(|entry| entry.rank.is_cause());
        for entry in causes().filter(|entry| !entry.is_general) {
            self.add_entry(entry, targets, depth);
        }
        for entry in causes().filter(|entry| entry.is_general) {
            self.add_entry(entry, targets, depth);
        }
    }

    fn is_for(&self, recover: &Recover, job_type: &str) -> bool {
        let entry = recover.catalogue.as_ref().and_then(|id| self.catalogue.get(&id.source));
        let signature = recover.signature.as_ref().or(entry.map(|entry| &entry.signature));
        signature.is_none_or(|signature| signature.is_for(job_type))
    }

    /// The jobs that shared remedies for this type go back to, as this job sees them.
    fn targets(&mut self, job_type: &str, ix: JobIx, names: &BTreeMap<String, u32>) -> Targets {
        if !self.target_names.contains_key(job_type) {
            let project = self.project.recover.iter().filter(|one| self.is_for(one, job_type));
            let said = project.map(|one| {
                let entry = one.catalogue.as_ref().and_then(|id| self.catalogue.get(&id.source));
                one.then.as_ref().or(entry.map(|entry| &entry.then))
            });
            let known = self.catalogue.of_type(job_type).map(|entry| Some(&entry.then));
            let all = said.chain(known).filter_map(|then| match then {
                Some(Then::RetryFrom(target)) => Some(target.source.clone()),
                Some(Then::Retry | Then::Continue | Then::Ask | Then::Fail) | None => None,
            });
            let all = all.collect();
            self.target_names.insert(job_type.to_owned(), all);
        }
        let wanted = self.target_names[job_type].clone();
        wanted.into_iter().map(|name| (name.clone(), self.target(&name, ix, names))).collect()
    }

    /// The job of that name, if `ix` needs it, be it by way of others, or is it.
    fn target(&mut self, name: &str, ix: JobIx, names: &BTreeMap<String, u32>) -> Option<JobIx> {
        let scope = self.graph.scope(self.graph.jobs[ix.at()].scope);
        let place = *names.get(name)?;
        let target = JobIx(scope.first + place);
        let below = self.below.entry(target).or_insert_with(|| {
            let mut below = vec![false; scope.count as usize];
            let mut open = vec![place];
            while let Some(place) = open.pop() {
                if !std::mem::replace(&mut below[place as usize], true) {
                    open.extend(scope.dependents(place));
                }
            }
            below
        });
        below[(ix.0 - scope.first) as usize].then_some(target)
    }

    /// Adds an entry of a job's or the project's `recover`.
    #[expect(clippy::too_many_arguments, reason = "all of them are the entry and where it stands")]
    fn add_recover(
        &mut self,
        recover: &Recover,
        jobs: Vec<Job>,
        id: String,
        layer: Layer,
        job: &str,
        targets: &Targets,
        depth: u32,
    ) {
        let catalogue = self.catalogue;
        let entry = recover.catalogue.as_ref().and_then(|id| catalogue.get(&id.source));
        if let (Some(id), None) = (&recover.catalogue, entry) {
            let known = catalogue.entries().iter().map(|entry| entry.id.as_str());
            let help = nearest(&id.source, known).map(|near| format!("did you mean `{near}`?"));
            let message = format!("the catalogue has no entry `{}`", id.source);
            return self.mistake("unknown-entry", id.place, message, help);
        }
        let rank = match entry.map(|entry| entry.rank) {
            // Whoever names an entry for a job says that it is the cause there.
            Some(rank) if rank.is_cause() => rank,
            Some(_) | None => Rank::Primary,
        };
        let mut signature = recover.signature.clone().unwrap_or_default();
        if let (Some(entry), None) = (entry, &recover.signature) {
            signature = entry.signature.clone();
            // The author has chosen where it is for.
            signature.job_types.clear();
        }
        let (jobs, cure) = match entry {
            Some(entry) if jobs.is_empty() => (entry.jobs.clone(), Some(entry.id.clone())),
            Some(_) | None => (jobs, (layer != Layer::Job).then(|| id.clone())),
        };
        let destroys =
            entry.and_then(|entry| entry.destroys.as_ref()).map(|text| text.source.clone());
        let is_destructive = destroys.is_some() || jobs.iter().any(destroys_something);
        let scope = self.cure(jobs, cure, depth);
        let said = recover.then.as_ref();
        let then = said.or(entry.map(|entry| &entry.then));
        let then = match then {
            None if scope.is_some() => ThenRules::Retry,
            None => ThenRules::Ask,
            Some(then) => match (then_rules(then, targets), said) {
                (Some(rules), _) => rules,
                (None, Some(Then::RetryFrom(target))) if layer == Layer::Job => {
                    let message =
                        format!("`{job}` needs no job `{}` of its own group", target.source);
                    let help = "name a job that this one needs, directly or by way of others; items of a foreach \
                                have none, unless its body is a group";
                    return self.mistake(
                        "unknown-job",
                        target.place,
                        message,
                        Some(help.to_owned()),
                    );
                }
                (None, _) => ThenRules::Ask,
            },
        };
        self.graph.remedies.push(RemedyRules {
            scope,
            then,
            limit: recover.limit.or(entry.map(|entry| entry.limit)).unwrap_or(LIMIT),
            destroys: is_destructive,
        });
        let said = recover.diagnosis.clone();
        self.remedies.push(Arc::new(Remedy {
            id: entry.map_or(id, |entry| entry.id.clone()),
            entry: entry.map(|entry| entry.id.clone()),
            rank,
            layer,
            signature,
            diagnosis: said.or(entry.map(|entry| entry.diagnosis.clone())).unwrap_or_default(),
            advice: entry.map(|entry| entry.advice.clone()).unwrap_or_default(),
            cautions: entry.map(|entry| cautions(entry)).unwrap_or_default(),
            destroys,
            is_general: entry.is_some_and(|entry| entry.is_general),
        }));
    }

    fn add_entry(&mut self, entry: &Arc<Entry>, targets: &Targets, depth: u32) {
        let scope = self.cure(entry.jobs.clone(), Some(entry.id.clone()), depth);
        let then = match entry.rank {
            // What refused to do harm is never overruled by itself.
            Rank::Guard if entry.then != Then::Fail => ThenRules::Ask,
            Rank::Primary
            | Rank::Guard
            | Rank::Transient
            | Rank::Ok
            | Rank::Secondary
            | Rank::Marker
            | Rank::Info
            | Rank::Noise => then_rules(&entry.then, targets).unwrap_or(ThenRules::Ask),
        };
        self.graph.remedies.push(RemedyRules {
            scope,
            then,
            limit: entry.limit,
            destroys: entry.destroys.is_some() || entry.jobs.iter().any(destroys_something),
        });
        self.remedies.push(Arc::new(Remedy {
            id: entry.id.clone(),
            entry: Some(entry.id.clone()),
            rank: entry.rank,
            layer: Layer::Catalogue,
            signature: entry.signature.clone(),
            diagnosis: entry.diagnosis.clone(),
            advice: entry.advice.clone(),
            cautions: cautions(entry),
            destroys: entry.destroys.as_ref().map(|text| text.source.clone()),
            is_general: entry.is_general,
        }));
    }

    /// The scope of a remedy's jobs; remedies with the same name share it.
    fn cure(&mut self, jobs: Vec<Job>, name: Option<String>, depth: u32) -> Option<ScopeIx> {
        if jobs.is_empty() {
            return None;
        }
        if let Some(scope) = name.as_ref().and_then(|name| self.cures.get(name)) {
            return Some(*scope);
        }
        let owner = Owner::Remedy(self.remedies.len() as u32);
        let scope = self.queue_all(jobs, owner, depth + 1, false);
        if let Some(name) = name {
            self.cures.insert(name, scope);
        }
        Some(scope)
    }

    fn mistake(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        let file = self.file.clone();
        self.mistakes.push(Mistake { file, place, severity: Severity::Error, code, message, help });
    }
}

/// `None` if it goes back to a job that is not there.
fn then_rules(then: &Then, targets: &Targets) -> Option<ThenRules> {
    Some(match then {
        Then::Retry => ThenRules::Retry,
        Then::RetryFrom(target) => ThenRules::RetryFrom((*targets.get(&target.source)?)?),
        Then::Continue => ThenRules::Continue,
        Then::Ask => ThenRules::Ask,
        Then::Fail => ThenRules::Fail,
    })
}

fn destroys_something(job: &Job) -> bool {
    job.destroys.is_some() || job.jobs.iter().any(destroys_something)
}

fn cautions(entry: &Entry) -> Vec<String> {
    entry.confirm.iter().chain(&entry.guard).cloned().collect()
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
            retry: job.retry.clone(),
            timeout: job.timeout,
            late: late_rules(job.late.as_ref()),
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
        timing: Arc::new(Timing { late: late_rules(job.late.as_ref()), ..Timing::default() }),
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
