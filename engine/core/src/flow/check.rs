//! What is wrong with a flow beyond the shape of its file: names that mean nothing, jobs that wait in a circle,
//! settings that can't work together. Everything is found at once; only what is certain is told.

mod hosts;
mod jobs;
mod project;
mod reach;
mod texts;

use std::collections::BTreeSet;

use super::{Flow, Job, Project, Recover, Text};
use crate::job_types::JobTypes;
use crate::mistake::{Mistake, Place, Severity};
use crate::schema;
use crate::yaml::Source;

pub(super) use project::project;
use reach::{Outer, Scope};
use texts::Words;

/// Jobs that a flow may have, those in groups, hooks and remedies counted.
const MAX_JOBS: usize = 200_000;

/// Mistakes that are looked for; a file with more is hardly a flow.
pub(super) const MAX_MISTAKES: usize = 1_000;
/// Names that are searched for the one that may have been meant.
const MAX_NAMES: usize = 1_000;

/// What a flow is checked with.
pub(super) struct Around<'a> {
    /// What mistakes call the file.
    pub(super) file: &'a str,
    pub(super) source: &'a Source<'a>,
    pub(super) project: &'a Project,
    pub(super) types: &'a JobTypes,
    /// The ids of the catalogue.
    pub(super) catalogue: &'a BTreeSet<String>,
}

/// What is wrong with a flow.
pub(super) fn flow<'a>(flow: &'a Flow, around: &'a Around<'a>) -> Vec<Mistake> {
    let mut check = Check {
        around,
        flow: Some(flow),
        params: flow.params.iter().map(|param| param.name.as_str()).collect(),
        mistakes: Vec::new(),
        agreed: 0,
    };
    let count = count(&flow.jobs);
    if count > MAX_JOBS {
        check.error(
            flow.jobs[0].place,
            "too-many-jobs",
            format!("the flow has {count} jobs, and {MAX_JOBS} at most can run"),
            "split the flow in several, and call them with `uses: flow`; or make tasks from a list with `foreach`",
        );
        return check.mistakes;
    }
    let of_run = Words {
        jobs: None,
        has_item: false,
        has_host: false,
        is_remedy: false,
        knows_itself: false,
        may_use_secrets: false,
    };
    for text in flow.locks.iter().chain(&flow.concurrency.key) {
        check.template(text, &of_run);
    }
    let scope = Scope::new(&flow.jobs, Outer::Nothing, false);
    check.scope(&scope, false);
    let hooks = &flow.hooks;
    check.scope(&Scope::new(&hooks.on_start, Outer::Nothing, false), false);
    for jobs in [&hooks.on_success, &hooks.on_failure, &hooks.on_exit] {
        check.scope(&Scope::new(jobs, Outer::All(&scope), false), false);
    }
    check.mistakes
}

/// What is wrong with the jobs of a remedy that is for any project.
pub(super) fn cure<'a>(jobs: &'a [Job], around: &'a Around<'a>) -> Vec<Mistake> {
    let mut check =
        Check { around, flow: None, params: BTreeSet::new(), mistakes: Vec::new(), agreed: 0 };
    check.scope(&Scope::new(jobs, Outer::Nothing, true), true);
    // Which hosts there are, the project of the failed job says.
    check
        .mistakes
        .retain(|mistake| mistake.severity == Severity::Error && mistake.code != "no-hosts");
    check.mistakes
}

/// A check at work.
struct Check<'a> {
    around: &'a Around<'a>,
    /// `None` where a project or a remedy of the catalogue is checked.
    flow: Option<&'a Flow>,
    params: BTreeSet<&'a str>,
    mistakes: Vec<Mistake>,
    /// How many of the jobs around this one name in `destroys` what is lost.
    agreed: usize,
}

impl Check<'_> {
    /// The jobs that stand side by side, and all below them.
    fn scope(&mut self, scope: &Scope<'_>, is_remedy: bool) {
        self.needs(scope);
        for (at, job) in scope.jobs.iter().enumerate() {
            if self.mistakes.len() > MAX_MISTAKES {
                return;
            }
            self.job(scope, at, job, is_remedy);
            let has_item = scope.has_item || job.foreach.is_some() || self.spread(job).is_some();
            if !job.jobs.is_empty() {
                self.agreed += usize::from(job.destroys.is_some());
                let outer = Outer::Needs { scope, job: at, with_itself: false };
                self.scope(&Scope::new(&job.jobs, outer, has_item), is_remedy);
                self.agreed -= usize::from(job.destroys.is_some());
            }
            for recover in &job.recover {
                self.recover(recover, Some((scope, at)));
                if !recover.jobs.is_empty() {
                    let outer = Outer::Needs { scope, job: at, with_itself: true };
                    self.scope(&Scope::new(&recover.jobs, outer, has_item), true);
                }
            }
        }
    }

    /// What each job of a scope needs: known, not itself, once, and in no circle.
    fn needs(&mut self, scope: &Scope<'_>) {
        for job in scope.jobs {
            let mut seen = BTreeSet::new();
            for need in &job.needs {
                if self.mistakes.len() > MAX_MISTAKES {
                    return;
                }
                if need.source == job.name {
                    self.error(
                        need.place,
                        "self-need",
                        format!("`{}` needs itself", job.name),
                        "remove it: a job can only need others",
                    );
                } else if !scope.knows(&need.source) {
                    self.unknown_need(scope, job, need);
                } else if !seen.insert(need.source.as_str()) {
                    self.error(
                        need.place,
                        "repeated-need",
                        format!(
                            "`{}` stands among the needs of `{}` a second time",
                            need.source, job.name
                        ),
                        "remove one of the two",
                    );
                }
            }
        }
        for circle in scope.circles() {
            let mut names: Vec<&str> =
                circle.iter().map(|at| scope.jobs[*at].name.as_str()).collect();
            names.push(names[0]);
            let path = if names.len() > 12 {
                let (begin, end) = (names[..6].join(" -> "), names[names.len() - 5..].join(" -> "));
                format!("{begin} -> ({} more) -> {end}", names.len() - 11)
            } else {
                names.join(" -> ")
            };
            let first = &scope.jobs[circle[0]];
            let need = first.needs.iter().find(|need| need.source == names[1]);
            self.error(
                need.map_or(first.place, |need| need.place),
                "cycle",
                format!("these jobs wait for each other: {path}"),
                &format!(
                    "remove one of these needs; `{} -> {}` reads: {} needs {}",
                    names[0], names[1], names[0], names[1]
                ),
            );
        }
    }

    fn unknown_need(&mut self, scope: &Scope<'_>, job: &Job, need: &Text) {
        let known = scope.jobs.iter().map(|job| job.name.as_str()).filter(|name| *name != job.name);
        let help = if let Some(near) = near(&need.source, known) {
            format!("did you mean `{near}`?")
        } else if scope.is_outside(&need.source) {
            "a job can only need jobs of its own group: let the group need it".to_owned()
        } else if let Some(group) = scope.group_of(&need.source) {
            format!("`{}` stands in the group `{group}`: need the group", need.source)
        } else {
            listed(
                "jobs beside it",
                scope.jobs.iter().map(|job| job.name.as_str()).filter(|name| *name != job.name),
            )
        };
        self.error(
            need.place,
            "unknown-need",
            format!("`{}` needs `{}`, and there is no such job beside it", job.name, need.source),
            &help,
        );
    }

    /// An entry of `recover`; `of` is the job it belongs to.
    fn recover(&mut self, recover: &Recover, of: Option<(&Scope<'_>, usize)>) {
        if let Some(id) = &recover.catalogue
            && !self.around.catalogue.contains(&id.source)
        {
            let meant = near(&id.source, self.around.catalogue.iter().map(String::as_str));
            let help = match meant {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`weir catalogue` lists the entries; what a failure looks like can be written here with `match:`".to_owned(),
            };
            self.error(
                id.place,
                "unknown-catalogue-entry",
                format!("the catalogue has no entry `{}`", id.source),
                &help,
            );
        }
        if let (Some(super::Then::RetryFrom(job)), Some((scope, at))) = (&recover.then, of) {
            let own = &scope.jobs[at].name;
            let message = match scope.place_of(&job.source) {
                Some(target) if target == at || scope.reaches(at, target) => return,
                Some(_) => format!(
                    "`{own}` does not need `{}`, so it can't be retried from there",
                    job.source
                ),
                None => format!("there is no job `{}` to retry `{own}` from", job.source),
            };
            let needs = scope.all_needs(at);
            let meant = near(&job.source, needs.iter().copied());
            let help = match meant {
                Some(near) => format!("did you mean `{near}`?"),
                None => listed("jobs that it needs", needs.into_iter()),
            };
            self.error(job.place, "unknown-retry-from", message, &help);
        }
        let known = |name: &str| {
            self.around.types.iter().any(|known| {
                known
                    .name()
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let types = recover.signature.iter().flat_map(|signature| &signature.job_types);
        let unknown: Vec<&String> = types.filter(|name| !known(name)).collect();
        for name in unknown {
            let help = self.known_types(name);
            self.error(
                recover.place,
                "unknown-job-type",
                format!("there is no job type `{name}`"),
                &help,
            );
        }
    }

    /// What to say of a job type that is not known.
    fn known_types(&self, name: &str) -> String {
        let names = || self.around.types.iter().map(crate::job_types::Known::name);
        match near(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => listed("known job types", names()),
        }
    }

    fn error(&mut self, place: Place, code: &'static str, message: String, help: &str) {
        self.add(place, Severity::Error, code, message, help);
    }

    fn warning(&mut self, place: Place, code: &'static str, message: String, help: &str) {
        self.add(place, Severity::Warning, code, message, help);
    }

    fn add(
        &mut self,
        place: Place,
        severity: Severity,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        let file = self.around.file.to_owned();
        self.mistakes.push(Mistake {
            file,
            place,
            severity,
            code,
            message,
            help: Some(help.to_owned()),
        });
    }
}

/// The name that may have been meant.
fn near<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    schema::nearest(written, names.into_iter().take(MAX_NAMES))
}

/// `known jobs: a, b, c`, cut where it gets long.
fn listed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.take(13).collect();
    if names.is_empty() {
        return format!("there are no {what}");
    }
    if names.len() > 12 {
        names[12] = "...";
    }
    format!("{what}: {}", names.join(", "))
}

fn count(jobs: &[Job]) -> usize {
    let inner = |job: &Job| {
        let remedies: usize = job.recover.iter().map(|recover| count(&recover.jobs)).sum();
        count(&job.jobs) + remedies
    };
    jobs.len() + jobs.iter().map(inner).sum::<usize>()
}
