//! From the text of a file to a flow or a project, with everything that is wrong with it.

use std::collections::BTreeSet;

use super::parse::{Inherited, Reader};
use super::{Defaults, Flow, Job, Param, Project, Schedule, check, lint};
use crate::job_types::JobTypes;
use crate::mistake::{Mistake, Place, Severity};
use crate::yaml::{self, Node, Source};

/// Reads a flow file. `file` is what mistakes call it. The flow is there if no mistake is an error; warnings of the
/// linter stand among the mistakes, too. Mistakes are sorted by place.
///
/// ```
/// use std::collections::BTreeSet;
/// use weir_core::flow::{self, Project};
/// use weir_core::job_types::JobTypes;
///
/// let text = "name: a\njobs:\n  b: { uses: nop }\n";
/// let (flow, mistakes) =
///     flow::load("a.flow.yaml", text, &Project::default(), &JobTypes::default(), &BTreeSet::new());
/// assert!(flow.is_none());
/// assert_eq!(mistakes[0].code, "unknown-job-type");
/// assert_eq!(mistakes[0].place.line, 3);
/// ```
pub fn load(
    file: &str,
    text: &str,
    project: &Project,
    types: &JobTypes,
    catalogue: &BTreeSet<String>,
) -> (Option<Flow>, Vec<Mistake>) {
    let source = Source::new(text);
    let (node, mut mistakes) = yaml::read(file, &source);
    let Some(node) = node else { return (None, sorted(empty(file, mistakes))) };
    let mut reader = Reader::new(file, &source, types);
    let flow = reader.flow(node, project);
    mistakes.append(&mut reader.mistakes);
    let around = check::Around { file, source: &source, project, types, catalogue };
    mistakes.append(&mut check::flow(&flow, &around));
    mistakes.append(&mut lint::flow(&flow, &around));
    finish(flow, mistakes)
}

/// Reads a `project.yaml`. `file` is what mistakes call it. The project is there if no mistake is an error.
pub fn load_project(
    file: &str,
    text: &str,
    types: &JobTypes,
    catalogue: &BTreeSet<String>,
) -> (Option<Project>, Vec<Mistake>) {
    let source = Source::new(text);
    let (node, mut mistakes) = yaml::read(file, &source);
    let Some(node) = node else { return (None, sorted(empty(file, mistakes))) };
    let mut reader = Reader::new(file, &source, types);
    let project = reader.project(&node);
    mistakes.append(&mut reader.mistakes);
    let around = check::Around { file, source: &source, project: &project, types, catalogue };
    mistakes.append(&mut check::project(&node, &around));
    mistakes.append(&mut lint::recovers(&project.recover, &around));
    finish(project, mistakes)
}

/// Reads a schedule that a person adds to a flow: one mapping with the keys of a schedule in a flow file. The schedule is
/// there if what it says about time can be read; it can be used if there are no mistakes.
pub fn load_schedule(text: &str, params: &[Param]) -> (Option<Schedule>, Vec<Mistake>) {
    const FILE: &str = "schedule";
    let source = Source::new(text);
    let (node, mut mistakes) = yaml::read(FILE, &source);
    let Some(node) = node else { return (None, sorted(empty(FILE, mistakes))) };
    let types = JobTypes::default();
    let mut reader = Reader::new(FILE, &source, &types);
    let schedule = reader.own_schedule(&node, params);
    mistakes.append(&mut reader.mistakes);
    (schedule, sorted(mistakes))
}

/// The jobs of a remedy in a file of the catalogue, whose shape is right. Without job types they are taken as they are.
pub(crate) fn load_cure(
    file: &str,
    source: &Source<'_>,
    jobs: &Node,
    types: Option<&JobTypes>,
) -> (Vec<Job>, Vec<Mistake>) {
    let nothing = JobTypes::default();
    let mut reader = Reader::new(file, source, types.unwrap_or(&nothing));
    let jobs = reader.jobs(jobs, &Inherited::from_project(&Defaults::default()));
    let mut mistakes = reader.mistakes;
    if let Some(types) = types {
        // Which project, and so which hosts and secrets, is known when a flow runs.
        let (project, catalogue) = (Project::default(), BTreeSet::new());
        let around =
            check::Around { file, source, project: &project, types, catalogue: &catalogue };
        mistakes.append(&mut check::cure(&jobs, &around));
    }
    (jobs, sorted(mistakes))
}

fn finish<T>(what: T, mistakes: Vec<Mistake>) -> (Option<T>, Vec<Mistake>) {
    let is_right = mistakes.iter().all(|mistake| mistake.severity == Severity::Warning);
    (is_right.then_some(what), sorted(mistakes))
}

/// A file in which nothing stands is wrong, too.
fn empty(file: &str, mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    if mistakes.is_empty() {
        mistakes.push(Mistake {
            file: file.to_owned(),
            place: Place { line: 1, column: 1, length: 1 },
            severity: Severity::Error,
            code: "empty-file",
            message: "the file is empty".to_owned(),
            help: Some("begin with `name:`; `weir schema` tells all keys".to_owned()),
        });
    }
    mistakes
}

fn sorted(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    for mistake in &mut mistakes {
        mistake.place.length = mistake.place.length.max(1);
    }
    mistakes.sort();
    mistakes.dedup();
    let more = mistakes.len().saturating_sub(check::MAX_MISTAKES);
    if more > 0 {
        mistakes.truncate(check::MAX_MISTAKES);
        if let Some(last) = mistakes.last_mut() {
            last.help = Some(format!(
                "{}; {more} more mistakes are not shown",
                last.help.as_deref().unwrap_or("")
            ));
        }
    }
    mistakes
}
