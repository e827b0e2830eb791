//! The remedies of each job: its own, its project's, the catalogue's; shared where they are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Builder, Targets};
use crate::catalogue::{Entry, Rank};
use crate::diagnose::Layer;
use crate::flow::compile::{Owner, Remedy};
use crate::flow::{Job, Recover, Then};
use crate::graph::{RemedyRules, ThenRules};
use crate::ids::{JobIx, ScopeIx};
use crate::schema::nearest;

/// How often a remedy is used for one task unless it says otherwise.
const LIMIT: u32 = 1;

impl Builder<'_> {
    /// The remedies of a job, in the order they are tried: its own, its project's, the catalogue's, general ones last.
    #[expect(clippy::too_many_arguments, reason = "all of them are the job and where it stands")]
    pub(super) fn remedies_of(
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
