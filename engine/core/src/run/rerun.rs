//! Which tasks of a new run take their result from an earlier one, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::task::TaskState;
use super::{Run, Start, TOP};
use crate::graph::Graph;
use crate::ids::{RunId, TaskIx};
use crate::time::Timestamp;

/// What is to run again. Jobs are named by their paths, such as `group/job`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// What did not end well, and all below it.
    Failed,
    /// This job and all below it.
    Job(String),
    /// These jobs alone; all others are left out.
    Only(Vec<String>),
    /// Everything.
    All,
}

/// The run that is rerun, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Its tasks by path.
    pub tasks: BTreeMap<String, OriginTask>,
}

/// A task of the run that is rerun.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginTask {
    /// How it ended.
    pub state: TaskState,
    /// The item it was for.
    pub item: Option<Value>,
}

/// What a rerun will do, task by task, in the flow's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// A line for each task that is known beforehand.
    pub lines: Vec<PreviewLine>,
}

/// What a rerun will do with one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewLine {
    /// The task's path.
    pub path: String,
    /// What will happen to it.
    pub will: Will,
    /// Why.
    pub reason: String,
}

/// What will happen to a task in a rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Will {
    /// It runs.
    Run,
    /// It runs, and what it did before can't be done twice without harm.
    Unsafe,
    /// Its earlier result is taken.
    Reuse,
    /// It is left out.
    Skip,
}

/// What a rerun will do. `path_of` names the tasks of a fresh run of `graph`.
///
/// # Errors
/// A chosen job is not there; each message names one.
pub fn plan_rerun(
    graph: &std::sync::Arc<Graph>,
    path_of: &dyn Fn(&Run, TaskIx) -> String,
    origin: &Origin,
    from: &From,
) -> Result<(Start, Preview), Vec<String>> {
    let mut out = super::Out::default();
    let run = Run::new(
        RunId(0),
        std::sync::Arc::clone(graph),
        &Start::default(),
        Timestamp::ZERO,
        Timestamp::ZERO,
        &mut out,
    );
    let paths: Vec<String> =
        (0..run.tasks.len() as u32).map(|ix| path_of(&run, TaskIx(ix))).collect();
    let main = run.parts[0].base
        ..run.parts[1..]
            .iter()
            .filter(|part| part.count > 0)
            .map(|part| part.base)
            .min()
            .unwrap_or(run.tasks.len() as u32);
    let by_path: BTreeMap<&str, u32> =
        main.clone().map(|ix| (paths[ix as usize].as_str(), ix)).collect();
    let chosen: Vec<&String> = match from {
        From::Job(job) => vec![job],
        From::Only(jobs) => jobs.iter().collect(),
        From::Failed | From::All => Vec::new(),
    };
    let unknown: Vec<String> = chosen
        .iter()
        .filter(|path| !by_path.contains_key(path.as_str()))
        .map(|path| format!("there is no job `{path}` in this flow version"))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let chosen: BTreeSet<u32> = chosen.iter().map(|path| by_path[path.as_str()]).collect();
    let is_within = |ix: u32, set: &BTreeSet<u32>| {
        set.contains(&ix) || holders_of(&run, ix).any(|holder| set.contains(&holder))
    };
    // Tasks come in the order of their blocks: what holds a task stands before it, but a need may stand after.
    let mut must_run: BTreeSet<u32> = BTreeSet::new();
    for ix in main.clone() {
        let path = &paths[ix as usize];
        let is_chosen = match from {
            From::All => true,
            From::Job(_) | From::Only(_) => is_within(ix, &chosen),
            From::Failed => !origin.tasks.get(path).is_some_and(|task| did_end_well(task.state)),
        };
        if is_chosen {
            must_run.insert(ix);
        }
    }
    if matches!(from, From::Only(_)) {
        // What holds a chosen job must open for it; what else stands there is left out.
        let holders = must_run.iter().flat_map(|ix| holders_of(&run, *ix)).collect::<Vec<_>>();
        must_run.extend(holders);
    } else {
        spread(&run, &mut must_run);
    }
    let mut start = Start::default();
    let mut preview = Preview::default();
    for ix in main {
        let path = paths[ix as usize].clone();
        let before = origin.tasks.get(&path).map(|task| task.state);
        let rules = graph.job(run.tasks[ix as usize].job);
        let (will, reason) = if must_run.contains(&ix) {
            let did_work = before
                .is_some_and(|state| state == TaskState::Succeeded || state == TaskState::Lost);
            match before {
                _ if rules.destroys => {
                    (Will::Unsafe, "it destroys, and asks for its words again".to_owned())
                }
                Some(state) if did_work && !rules.has_check => {
                    (Will::Run, format!("it {} before and runs again", past(state)))
                }
                Some(state) => (Will::Run, format!("it {}", past(state))),
                None => (Will::Run, "it was not there before".to_owned()),
            }
        } else if let From::Only(_) = from {
            start.disabled.push(ix);
            (Will::Skip, "it was not chosen".to_owned())
        } else {
            match before {
                Some(TaskState::Disabled) => {
                    start.disabled.push(ix);
                    (Will::Skip, "it was left out before".to_owned())
                }
                Some(TaskState::Skipped) => {
                    start.skipped.push(ix);
                    (Will::Skip, "it was skipped".to_owned())
                }
                Some(state) if did_end_well(state) => {
                    start.reused.push(ix);
                    (Will::Reuse, format!("it {}", past(state)))
                }
                Some(state) => {
                    start.disabled.push(ix);
                    (Will::Skip, format!("it {}, and is not below what runs again", past(state)))
                }
                None => {
                    start.disabled.push(ix);
                    (
                        Will::Skip,
                        "it was not there before, and is not below what runs again".to_owned(),
                    )
                }
            }
        };
        preview.lines.push(PreviewLine { path, will, reason });
    }
    Ok((start, preview))
}

/// The tasks that hold a task, from the inside out.
fn holders_of(run: &Run, ix: u32) -> impl Iterator<Item = u32> + '_ {
    let parent = |ix: &u32| {
        let parent = run.tasks[*ix as usize].parent;
        (parent < TOP).then_some(parent)
    };
    std::iter::successors(parent(&ix), parent)
}

/// Adds what is below, and what holds, the tasks that run.
fn spread(run: &Run, must_run: &mut BTreeSet<u32>) {
    let mut work: Vec<u32> = must_run.iter().copied().collect();
    while let Some(ix) = work.pop() {
        let task = &run.tasks[ix as usize];
        let scope = run.graph.scope(run.graph.job(task.job).scope);
        let below =
            scope.dependents(task.job.0 - scope.first).iter().map(|place| task.base + place);
        let holder = (task.parent < TOP).then_some(task.parent);
        for other in below.chain(holder) {
            if must_run.insert(other) {
                work.push(other);
                if Some(other) != holder {
                    hold(run, other, must_run, &mut work);
                }
            }
        }
    }
}

fn hold(run: &Run, ix: u32, must_run: &mut BTreeSet<u32>, work: &mut Vec<u32>) {
    for child in run.children(ix) {
        if must_run.insert(child) {
            work.push(child);
        }
        hold(run, child, must_run, work);
    }
}

/// Whether the result of a task in this state can be taken over.
pub fn did_end_well(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Succeeded
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Skipped
            | TaskState::Disabled
    )
}

fn past(state: TaskState) -> String {
    match state {
        TaskState::Succeeded => "succeeded".to_owned(),
        TaskState::Reused => "was reused".to_owned(),
        TaskState::AlreadyDone => "was already done".to_owned(),
        TaskState::Failed => "failed".to_owned(),
        TaskState::Waiting | TaskState::Ready => "never ran".to_owned(),
        other => format!("was {}", other.name()),
    }
}

/// The tasks, known before a run moves, of these jobs of the flow's own.
pub fn tasks_of(graph: &std::sync::Arc<Graph>, jobs: &BTreeSet<crate::ids::JobIx>) -> Vec<u32> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let mut out = super::Out::default();
    let run = Run::new(
        RunId(0),
        std::sync::Arc::clone(graph),
        &Start::default(),
        Timestamp::ZERO,
        Timestamp::ZERO,
        &mut out,
    );
    (0..run.tasks.len() as u32).filter(|ix| jobs.contains(&run.tasks[*ix as usize].job)).collect()
}
