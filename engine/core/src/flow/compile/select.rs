//! Jobs by the paths that people write, such as `group/job[0]`.

use std::collections::BTreeSet;

use super::{Compiled, Owner};
use crate::graph::JobKind;
use crate::ids::{JobIx, ScopeIx};
use crate::schema::nearest;

/// A job that a path names, and the items on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The job. For `each` or `each[2]` it is the `foreach` itself, for `each[2]/inner` the job in its body.
    pub job: JobIx,
    /// Each `foreach` on the way with the item that was asked for.
    pub items: Vec<(JobIx, u32)>,
}

/// A path that names no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flow has no job `{path}`")]
pub struct Unknown {
    /// The path.
    pub path: String,
    /// The path that may have been meant.
    pub nearest: Option<String>,
}

/// Which jobs of a flow shall run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only these, if any.
    pub only: Vec<String>,
    /// Only these and all that needs them, if any.
    pub from: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
}

impl Compiled {
    /// The job that a path names among the flow's own jobs.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, path: &str) -> Result<Selected, Unknown> {
        let mut scope = ScopeIx(0);
        let mut selected: Option<Selected> = None;
        let mut walked = String::new();
        for part in path.split('/') {
            if let Some(before) = &selected {
                let inner = self.inner(before.job);
                scope = inner.ok_or_else(|| Unknown {
                    path: path.to_owned(),
                    nearest: Some(walked.clone()),
                })?;
            }
            let (name, item) = split_item(part);
            let found = self.graph.jobs_of(scope).find(|job| self.job(*job).name == name);
            let Some(job) = found else {
                let names = self.graph.jobs_of(scope).map(|job| self.jobs[job.at()].name.as_str());
                let nearest = nearest(name, names).map(|near| format!("{walked}{near}"));
                return Err(Unknown { path: path.to_owned(), nearest });
            };
            let is_foreach = matches!(self.graph.job(job).kind, JobKind::Foreach { .. });
            let mut items = selected.map(|selected| selected.items).unwrap_or_default();
            match item {
                Some(item) if is_foreach => items.push((job, item)),
                Some(_) => {
                    return Err(Unknown {
                        path: path.to_owned(),
                        nearest: Some(format!("{walked}{name}")),
                    });
                }
                None => {}
            }
            selected = Some(Selected { job, items });
            walked.push_str(part);
            walked.push('/');
        }
        selected.ok_or_else(|| Unknown { path: path.to_owned(), nearest: None })
    }

    /// The path of a job without items, such as `group/job`. The body of a `foreach` has the path of its `foreach`;
    /// jobs of hooks and remedies begin with `on-exit/` or the remedy's id.
    pub fn path(&self, job: JobIx) -> String {
        let name = &self.job(job).name;
        match self.owner(self.graph.job(job).scope) {
            Owner::Flow => name.clone(),
            Owner::Group(group) => format!("{}/{name}", self.path(group)),
            Owner::Foreach(foreach) => self.path(foreach),
            Owner::Hook(key) => format!("{key}/{name}"),
            Owner::Remedy(remedy) => format!("{}/{name}", self.remedies[remedy as usize].id),
        }
    }

    /// The jobs of the flow that a choice leaves out. Where a group is left out, so is all in it.
    ///
    /// # Errors
    /// A path names no job; all of them are told. An item of a `foreach` can't be chosen before the run: its `foreach` is.
    pub fn disabled(&self, choice: &Choice) -> Result<BTreeSet<JobIx>, Vec<Unknown>> {
        let mut unknown = Vec::new();
        let mut jobs_of = |paths: &[String]| {
            let found = paths.iter().map(|path| self.find(path));
            found
                .filter_map(|found| found.map_err(|error| unknown.push(error)).ok())
                .map(|found| found.job)
                .collect()
        };
        let (only, from, skip): (Vec<_>, Vec<_>, Vec<_>) =
            (jobs_of(&choice.only), jobs_of(&choice.from), jobs_of(&choice.skip));
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let mut disabled = BTreeSet::new();
        if !(only.is_empty() && from.is_empty()) {
            let mut kept = BTreeSet::new();
            let mut around = BTreeSet::new();
            for job in only.into_iter().chain(self.downstream(&from)) {
                self.add_with_inner(job, &mut kept);
                around.extend(self.around(job));
            }
            for job in self.flow_jobs() {
                if !kept.contains(&job) && !around.contains(&job) {
                    disabled.insert(job);
                }
            }
        }
        for job in skip {
            self.add_with_inner(job, &mut disabled);
        }
        Ok(disabled)
    }

    /// These jobs and all that needs them, in their own scopes and in those around them.
    fn downstream(&self, from: &[JobIx]) -> BTreeSet<JobIx> {
        let mut all = BTreeSet::new();
        let mut open = from.to_vec();
        let mut passed = BTreeSet::new();
        while let Some(job) = open.pop() {
            let is_new = all.insert(job);
            if !is_new {
                continue;
            }
            open.extend(self.dependents(job));
            for outer in self.around(job) {
                if passed.insert(outer) {
                    open.extend(self.dependents(outer));
                }
            }
        }
        all
    }

    fn dependents(&self, job: JobIx) -> impl Iterator<Item = JobIx> {
        let scope = self.graph.scope(self.graph.job(job).scope);
        scope.dependents(job.0 - scope.first).iter().map(|place| JobIx(scope.first + place))
    }

    /// The groups and `foreach` that a job stands in, innermost first.
    fn around(&self, job: JobIx) -> Vec<JobIx> {
        let mut outer = Vec::new();
        let mut at = job;
        while let Owner::Group(next) | Owner::Foreach(next) = self.owner(self.graph.job(at).scope) {
            outer.push(next);
            at = next;
        }
        outer
    }

    /// All jobs of the flow itself, without hooks and remedies.
    fn flow_jobs(&self) -> BTreeSet<JobIx> {
        let mut all = BTreeSet::new();
        for job in self.graph.jobs_of(ScopeIx(0)) {
            self.add_with_inner(job, &mut all);
        }
        all
    }

    fn add_with_inner(&self, job: JobIx, all: &mut BTreeSet<JobIx>) {
        all.insert(job);
        if let JobKind::Group(inner) | JobKind::Foreach { body: inner, .. } =
            self.graph.job(job).kind
        {
            for job in self.graph.jobs_of(inner) {
                self.add_with_inner(job, all);
            }
        }
    }

    /// The scope of the jobs that stand in a group, or in a `foreach` over a group.
    fn inner(&self, job: JobIx) -> Option<ScopeIx> {
        match self.graph.job(job).kind {
            JobKind::Group(inner) => Some(inner),
            JobKind::Foreach { body, .. } => {
                self.graph.jobs_of(body).next().and_then(|body| self.inner(body))
            }
            JobKind::Work | JobKind::Instant | JobKind::Asks => None,
        }
    }
}

/// `job[3]` as name and item.
fn split_item(part: &str) -> (&str, Option<u32>) {
    let item = part.strip_suffix(']').and_then(|part| part.rsplit_once('['));
    match item.map(|(name, item)| (name, item.parse())) {
        Some((name, Ok(item))) => (name, Some(item)),
        Some((_, Err(_))) | None => (part, None),
    }
}
