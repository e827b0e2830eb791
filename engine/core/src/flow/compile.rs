//! From a checked flow to the numbers a run moves on, and the texts that go with each number.
//!
//! What becomes what:
//! * a job of one piece of work: one job of the graph;
//! * a group: a job, and a scope of its own for the jobs in it;
//! * a `foreach`: a job that carries `needs`, `after`, `when`, `late` and `allow-failure`, and a scope with one job, its
//!   body, that carries everything about the work: retries, timeout, checks, `destroys`, remedies;
//! * a hook: a scope;
//! * a remedy with jobs of its own: a scope, shared by all jobs that the remedy is for.
//!
//! Scope 0 is the flow's own. Scopes are numbered as they are met, breadth first; the same texts give the same numbers.

mod build;
mod names;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalogue::{Catalogue, Entry, Rank};
use crate::diagnose::{Known, Layer};
use crate::flow::{Flow, Job, Project, Signature, Text, selector};
use crate::graph::{Graph, JobKind};
use crate::ids::{JobIx, ScopeIx};
use crate::job_type::Traits;
use crate::mistake::Mistake;

pub use select::{Choice, Selected, Unknown};

/// Everything a run of one flow version needs to know, made only from the texts of the version's bundle.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The flow as written, but for its jobs and hooks: these are in `jobs`.
    pub flow: Flow,
    /// The project it belongs to.
    pub project: Project,
    /// The rules by which its runs move.
    pub graph: Arc<Graph>,
    /// For each job of the graph, what its author wrote. The body of a `foreach` shares its job's text; the jobs
    /// of a group and of its remedies are not in its text but stand for themselves.
    pub jobs: Vec<Arc<Job>>,
    /// For each scope of the graph, whose jobs it holds.
    pub owners: Vec<Owner>,
    /// For each remedy of the graph, what it looks like and means.
    pub remedies: Vec<Arc<Remedy>>,
    /// The catalogue's entries by id, for markers, secondary matches and noise.
    pub catalogue: BTreeMap<String, Arc<Entry>>,
}

/// A known failure as one job sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// What it is called: the catalogue's id, or `JOB.recover[N]`, or `project.recover[N]`.
    pub id: String,
    /// The entry of the catalogue it comes from, if any.
    pub entry: Option<String>,
    /// What a match says.
    pub rank: Rank,
    /// Who knows it.
    pub layer: Layer,
    /// What it looks like.
    pub signature: Signature,
    /// What it means, for people.
    pub diagnosis: String,
    /// What an asked person should do, step by step.
    pub advice: Vec<String>,
    /// What a person must weigh before agreeing, and what the remedy must never touch.
    pub cautions: Vec<String>,
    /// What its jobs destroy, in words.
    pub destroys: Option<String>,
    /// Less specific ones are tried only if no specific one matches.
    pub is_general: bool,
}

/// Whose jobs a scope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The flow's own.
    Flow,
    /// A group's.
    Group(JobIx),
    /// The body of a `foreach`: one job.
    Foreach(JobIx),
    /// One of the hooks, by its key, such as `on-exit`.
    Hook(&'static str),
    /// The jobs of a remedy: its number in the graph, the first one where several share the jobs.
    Remedy(u32),
}

/// Makes a flow ready to run. `traits` tells what the engine knows of a job type.
///
/// # Errors
/// All that a check would have found and without which there is no graph: unknown or repeated names, circles, groups
/// nested too deep, remedies that name what is not there.
pub fn compile(
    flow: Flow,
    project: Project,
    catalogue: &Catalogue,
    traits: &dyn Fn(&str) -> Traits,
) -> Result<Compiled, Vec<Mistake>> {
    build::build(flow, project, catalogue, traits)
}

impl Compiled {
    /// A job's text by its number.
    pub fn job(&self, job: JobIx) -> &Arc<Job> {
        &self.jobs[job.at()]
    }

    /// The selector over whose hosts a job has a task each. `None` for any other job, and for what is done on each.
    pub fn spread(&self, job: JobIx) -> Option<Text> {
        let text = self.job(job);
        let JobKind::Foreach { .. } = self.graph.job(job).kind else { return None };
        if text.foreach.is_some() {
            return None;
        }
        text.uses.as_deref().and_then(selector)
    }

    /// Whose jobs a scope holds.
    pub fn owner(&self, scope: ScopeIx) -> Owner {
        self.owners[scope.at()]
    }

    /// What to look for in the log of a failed attempt of this job, ready for [`crate::diagnose::Patterns::new`].
    ///
    /// The first are the job's remedies: a match's index plus the first number of the job's range in the graph is the
    /// remedy's number. What follows them are the catalogue's markers, secondary entries and noise for its job type.
    pub fn known_failures(&self, job: JobIx) -> Vec<Known> {
        let (first, end) = self.graph.job(job).remedies;
        let remedies = &self.remedies[first as usize..end as usize];
        let mut known: Vec<Known> = remedies.iter().map(|remedy| Known::from(&**remedy)).collect();
        let job_type = self.job(job).uses.as_ref().map_or("", |uses| uses.job_type.as_str());
        let context = self
            .catalogue
            .values()
            .filter(|entry| !entry.rank.is_cause() && entry.signature.is_for(job_type));
        known.extend(context.map(|entry| Known::from(&**entry)));
        known
    }
}

impl From<&Remedy> for Known {
    fn from(remedy: &Remedy) -> Self {
        Self {
            id: remedy.id.clone(),
            rank: remedy.rank,
            layer: remedy.layer,
            is_general: remedy.is_general,
            signature: remedy.signature.clone(),
        }
    }
}
