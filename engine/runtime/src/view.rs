//! A run as one JSON object (DESIGN section 11): the same from the store, the socket and, later, the REST API.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use weir_core::flow::ParamKind;
use weir_core::flow::compile::Compiled;
use weir_core::graph::ThenRules;
use weir_core::ids::{RunId, TaskIx};
use weir_core::outcome::{ErrorClass, Outputs};
use weir_core::run::{Question, Run, RunState, TaskState, Waits, why};
use weir_core::time::Timestamp;

use crate::library::{Library, VersionError};
use crate::store::rows::{AttemptRow, DiagnosisRow};
use crate::store::{self, Store};

/// A run, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Its number.
    pub id: i64,
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// The flow version: the hash of its texts.
    pub version: String,
    /// Its state.
    pub state: &'static str,
    /// Why, where the state does not say it all.
    pub reason: Option<String>,
    /// The run this one is a rerun of.
    pub origin: Option<i64>,
    /// The attempt that began it, as `run/task/attempt`.
    pub parent: Option<String>,
    /// Who or what began it.
    pub by: String,
    /// Parameters; secret ones as `***`.
    pub params: Value,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The time it was for.
    pub due_at: Timestamp,
    /// When its first job could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its tasks, in the flow's order; what a task holds stands behind it.
    pub tasks: Vec<TaskView>,
}

/// A task, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskView {
    /// The job's name.
    pub job: String,
    /// Its path, such as `group/job[0]`.
    pub path: String,
    /// The item it is for.
    pub item: Option<Value>,
    /// Its state.
    pub state: &'static str,
    /// Why: what went wrong, what it waits for, what is asked.
    pub reason: Option<String>,
    /// What `approve` does, if it asks a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
    /// The job type; `null` for a group.
    pub uses: Option<String>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// Its tries.
    pub attempts: Vec<AttemptView>,
    /// What it left behind.
    pub outputs: Outputs,
    /// What was recognised in its failures.
    pub diagnoses: Vec<DiagnosisView>,
    /// Its number in the run.
    pub number: u32,
    /// How deep it stands: 0 for the flow's own jobs.
    pub depth: u32,
}

/// A try of a task, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptView {
    /// Which try, from 1.
    pub number: u32,
    /// Its state.
    pub state: &'static str,
    /// The exit code, where there is one.
    pub exit_code: Option<i32>,
    /// The signal, where there is one.
    pub signal: Option<i32>,
    /// The class of the failure.
    pub error_class: Option<&'static str>,
    /// What went wrong.
    pub message: Option<String>,
    /// When it was launched.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A known failure that was met, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosisView {
    /// What it is called.
    pub signature: String,
    /// The attempt it was met in.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What followed.
    pub then: String,
    /// How that ended.
    pub result: Option<String>,
    /// The evidence: words, advice, line, offset, captures, lines around, other matches.
    pub evidence: Value,
}

/// Why a run can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Its version can't be used.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// There is none.
    #[error("there is no run {0}")]
    NoRun(RunId),
    /// Its rows do not fit its version.
    #[error("run {0} can't be read: {1}")]
    Rows(RunId, String),
}

/// A run with what its numbers mean.
pub struct Opened {
    /// The state machine as the rows say.
    pub run: Run,
    /// The flow version.
    pub compiled: Arc<Compiled>,
    /// The rows.
    pub saved: store::rows::SavedRun,
}

impl Opened {
    /// A task's path.
    pub fn path(&self, task: TaskIx) -> String {
        self.run.path(task, &|job| self.compiled.jobs[job.at()].name.as_str())
    }

    /// The task with that path.
    pub fn find(&self, path: &str) -> Option<TaskIx> {
        self.run.find(path, &|job| self.compiled.jobs[job.at()].name.as_str())
    }
}

/// Reads a run's state.
///
/// # Errors
/// There is none, or it can't be read.
pub async fn open(store: &Store, library: &Library, id: RunId) -> Result<Opened, Error> {
    let saved = store.saved_run(id).await?.ok_or(Error::NoRun(id))?;
    let compiled = library.version(store, &saved.run.version).await?;
    let run = crate::adopt::restore(&compiled, &saved).map_err(|why| Error::Rows(id, why))?;
    Ok(Opened { run, compiled, saved })
}

/// Reads a run. `ready` says, by task, why ready tasks do not start, where an engine knows.
///
/// # Errors
/// There is none, or it can't be read.
pub async fn run(
    store: &Store,
    library: &Library,
    id: RunId,
    ready: &[(u32, String)],
) -> Result<RunView, Error> {
    let opened = open(store, library, id).await?;
    shown(store, &opened, ready).await
}

/// As [`run`], of a run that has been read.
///
/// # Errors
/// What is kept of it beside its state can't be read.
pub async fn shown(
    store: &Store,
    opened: &Opened,
    ready: &[(u32, String)],
) -> Result<RunView, Error> {
    let id = RunId(opened.saved.run.id);
    let mut attempts: BTreeMap<TaskIx, Vec<AttemptRow>> = BTreeMap::new();
    for attempt in store.attempts(id).await? {
        attempts.entry(attempt.task).or_default().push(attempt);
    }
    let mut outputs = crate::adopt::results(store, id).await?.outputs;
    let mut diagnoses: BTreeMap<TaskIx, Vec<DiagnosisRow>> = BTreeMap::new();
    for row in store.diagnoses_of(id).await? {
        diagnoses.entry(row.task).or_default().push(row);
    }
    let items: BTreeMap<TaskIx, Vec<Value>> = opened
        .saved
        .blocks
        .iter()
        .filter_map(|block| Some((block.owner, serde_json::from_str(block.items.as_ref()?).ok()?)))
        .collect();
    let mut tasks = Vec::with_capacity(opened.run.tasks().len());
    for (task, depth) in in_order(&opened.run) {
        let at = &opened.run.tasks()[task.at()];
        let tries = attempts.remove(&task).unwrap_or_default();
        let found = diagnoses.remove(&task).unwrap_or_default();
        let item = opened.run.item(task).zip(opened.run.parent(task));
        let job = &opened.compiled.jobs[at.job.at()];
        tasks.push(TaskView {
            job: job.name.clone(),
            path: opened.path(task),
            item: item.and_then(|(item, parent)| items.get(&parent)?.get(item as usize).cloned()),
            state: at.state.name(),
            reason: reason(opened, task, &tries, &found, ready),
            approve: match at.state {
                TaskState::Asking(question) => Some(approve_words(opened, task, question)),
                _ => None,
            },
            uses: job.uses.as_ref().map(|uses| uses.job_type.clone()),
            since: (at.since != Timestamp::ZERO).then_some(at.since),
            attempts: tries.into_iter().map(attempt_view).collect(),
            outputs: outputs.remove(&task).unwrap_or_default(),
            diagnoses: found.into_iter().map(diagnosis_view).collect(),
            number: task.0,
            depth,
        });
    }
    let row = opened.saved.run.clone();
    Ok(RunView {
        id: row.id,
        project: row.project,
        flow: row.flow,
        version: row.version,
        state: opened.run.state().name(),
        reason: row.reason,
        origin: row.origin,
        parent: row.parent,
        by: row.by,
        params: shown_params(&opened.compiled, &row.params),
        created_at: row.created_at,
        due_at: row.due_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        tasks,
    })
}

/// Tasks with their depth: what a task holds stands behind it, what a remedy did before what its task holds now.
fn in_order(run: &Run) -> Vec<(TaskIx, u32)> {
    let mut below: BTreeMap<Option<TaskIx>, Vec<TaskIx>> = BTreeMap::new();
    for ix in (0..run.tasks().len() as u32).map(TaskIx) {
        below.entry(run.parent(ix)).or_default().push(ix);
    }
    let mut order = Vec::with_capacity(run.tasks().len());
    let mut work: Vec<(TaskIx, u32)> =
        below.get(&None).into_iter().flatten().rev().map(|task| (*task, 0)).collect();
    while let Some((task, depth)) = work.pop() {
        order.push((task, depth));
        work.extend(
            below.get(&Some(task)).into_iter().flatten().rev().map(|inner| (*inner, depth + 1)),
        );
    }
    order
}

/// The parameters without what must not be seen.
pub fn shown_params(compiled: &Compiled, text: &str) -> Value {
    let mut params: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    for param in compiled.flow.params.iter().filter(|param| param.kind == ParamKind::Secret) {
        if let Some(value) = params.get_mut(&param.name) {
            *value = Value::from("***");
        }
    }
    Value::Object(params)
}

fn attempt_view(row: AttemptRow) -> AttemptView {
    AttemptView {
        number: row.number,
        state: TaskState::from_code(row.state, 0).map_or("", TaskState::name),
        exit_code: row.exit_code,
        signal: row.signal,
        error_class: row.class.and_then(class_named),
        message: row.message,
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

fn class_named(number: u8) -> Option<&'static str> {
    ErrorClass::ALL.into_iter().find(|class| *class as u8 == number).map(ErrorClass::name)
}

fn diagnosis_view(row: DiagnosisRow) -> DiagnosisView {
    DiagnosisView {
        evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
        signature: row.signature,
        attempt: row.attempt,
        at: row.at,
        then: row.then,
        result: row.result,
    }
}

fn reason(
    opened: &Opened,
    task: TaskIx,
    tries: &[AttemptRow],
    found: &[DiagnosisRow],
    ready: &[(u32, String)],
) -> Option<String> {
    let at = &opened.run.tasks()[task.at()];
    let last = tries.last().and_then(|attempt| attempt.message.clone());
    let waits = why(&opened.run, task);
    let words = match (at.state, waits) {
        (TaskState::Asking(question), _) => {
            let diagnosis = found.last().and_then(|row| {
                let evidence: Value = serde_json::from_str(&row.evidence).ok()?;
                evidence["diagnosis"].as_str().map(|words| format!("{}: {words}", row.signature))
            });
            question_words(opened, task, question, diagnosis, last)
        }
        (TaskState::Ready, Some(Waits::Slot)) => ready
            .iter()
            .find(|(number, _)| *number == task.0)
            .map_or_else(|| "it waits for a slot".to_owned(), |(_, words)| words.clone()),
        (_, Some(waits)) => waits_words(opened, waits, last),
        (TaskState::Failed | TaskState::TimedOut | TaskState::Lost, None) => {
            match (last, at.cause.words()) {
                (Some(message), "") => message,
                (Some(message), words) if at.attempt > 0 => format!("{message} ({words})"),
                (_, words) => words.to_owned(),
            }
        }
        (TaskState::Unreachable, None) => {
            let why = last.unwrap_or_else(|| "it can't be reached".to_owned());
            format!("out of reach since {}: {why}", at.since)
        }
        (TaskState::Cancelling(_), None) => match last {
            Some(why) => format!(
                "its end can't be confirmed, and is asked for again and again: {why}\n  help: `weir cancel {} --kill` \
                 gives up on it, though it may still be at work",
                opened.saved.run.id
            ),
            None => at.cause.words().to_owned(),
        },
        (TaskState::Cancelled, None) => {
            let given_up = tries
                .last()
                .filter(|attempt| attempt.number == at.attempt && attempt.state == at.state.code());
            match given_up.and_then(|attempt| attempt.message.as_deref()) {
                Some(why) => format!("{why} ({})", at.cause.words()),
                None => at.cause.words().to_owned(),
            }
        }
        _ => at.cause.words().to_owned(),
    };
    (!words.is_empty()).then_some(words)
}

/// What a person is asked, in words.
fn question_words(
    opened: &Opened,
    task: TaskIx,
    question: Question,
    diagnosis: Option<String>,
    last: Option<String>,
) -> String {
    let job = &opened.compiled.jobs[opened.run.tasks()[task.at()].job.at()];
    let known = diagnosis
        .unwrap_or_else(|| last.clone().unwrap_or_else(|| "its last attempt failed".to_owned()));
    // A sentence of a catalogue, in the middle of one of ours.
    let clause = known.trim_end_matches('.');
    match question {
        Question::Approval => {
            let message =
                job.uses.as_ref().and_then(|uses| uses.with.get("message")).and_then(Value::as_str);
            message.unwrap_or("may it go on?").to_owned()
        }
        Question::Confirm => {
            let words = job.destroys.as_ref().map_or("", |words| words.source.as_str());
            format!("it destroys {words}, and the words were not given")
        }
        Question::Judgement => {
            last.unwrap_or_else(|| "what it found needs a person's judgement".to_owned())
        }
        Question::Unknown => {
            "nobody knows how its last attempt ended, and to repeat it may do harm".to_owned()
        }
        Question::Diagnosed(_) => known,
        Question::Remedied(_) => {
            format!("{clause}; its remedy has worked, and a person says how to go on")
        }
        Question::Repeated(_) => format!("{clause}; it came back after its remedy"),
        Question::RemedyFailed(_) => format!("{clause}; its remedy failed"),
    }
}

/// What comes of a person's approval, in words.
fn approve_words(opened: &Opened, task: TaskIx, question: Question) -> String {
    let remedy = match question {
        Question::Approval => return "lets it pass".to_owned(),
        Question::Confirm => return "lets it begin, with all that it destroys".to_owned(),
        Question::Judgement => return "counts it as done".to_owned(),
        Question::Unknown | Question::Remedied(_) => return "tries it again".to_owned(),
        Question::Diagnosed(remedy)
        | Question::Repeated(remedy)
        | Question::RemedyFailed(remedy) => remedy,
    };
    let graph = opened.run.graph();
    let rules = &graph.remedies[remedy as usize];
    let jobs = rules.scope.map_or(0, |scope| graph.scope(scope).count);
    let then = match rules.then {
        ThenRules::Retry => "tries it again".to_owned(),
        ThenRules::RetryFrom(job) => {
            let from = opened.run.sibling(task, job).map(|from| opened.path(from));
            format!("goes back to {}", from.unwrap_or_default())
        }
        ThenRules::Continue => "counts it as done".to_owned(),
        ThenRules::Ask if jobs == 0 => "tries it again".to_owned(),
        ThenRules::Ask => "asks again".to_owned(),
        ThenRules::Fail => "counts it as failed".to_owned(),
    };
    if jobs == 0 { then } else { format!("runs its remedy, then {then}") }
}

fn waits_words(opened: &Opened, waits: Waits, last: Option<String>) -> String {
    match waits {
        Waits::Run => "the run has not begun".to_owned(),
        Waits::Needs { count: 1, first } => format!("it waits for `{}`", opened.path(first)),
        Waits::Needs { count, first } => {
            format!("it waits for `{}` and {} more", opened.path(first), count - 1)
        }
        Waits::Group(group) => format!("its group `{}` has not begun", opened.path(group)),
        Waits::Items(each) => format!("as many items of `{}` run as may", opened.path(each)),
        Waits::Pause(until) => format!("the next batch begins at {until}"),
        Waits::Part => "the part of the run before it has not ended".to_owned(),
        Waits::Decision => "its condition is being worked out".to_owned(),
        Waits::Paused => "the run is paused".to_owned(),
        Waits::Slot => "it waits for a slot".to_owned(),
        Waits::Delay(until) => match last {
            Some(message) => format!("{message}; it is tried again at {until}"),
            None => format!("it is tried again at {until}"),
        },
        Waits::Remedy(task) => format!("its remedy runs `{}`", opened.path(task)),
        Waits::Person(_) => "a person must answer".to_owned(),
    }
}

/// How a run ended, and what its tasks left behind, by path.
///
/// # Errors
/// There is none, or it can't be read.
pub async fn end_of(
    store: &Store,
    library: &Library,
    id: RunId,
) -> Result<(String, Outputs), Error> {
    let opened = open(store, library, id).await?;
    let mut all = Outputs::new();
    for (task, outputs) in crate::adopt::results(store, id).await?.outputs {
        all.insert(opened.path(task), serde_json::to_value(outputs).unwrap_or_default());
    }
    Ok((opened.run.state().name().to_owned(), all))
}

/// The paths of a run's tasks that failed.
///
/// # Errors
/// There is none, or it can't be read.
pub async fn failed_jobs(
    store: &Store,
    library: &Library,
    id: RunId,
) -> Result<Vec<String>, Error> {
    let opened = open(store, library, id).await?;
    let tasks = (0..opened.run.tasks().len() as u32).map(TaskIx);
    Ok(tasks
        .filter(|task| opened.run.tasks()[task.at()].state.is_failure())
        .map(|task| opened.path(task))
        .collect())
}

/// The exit code that belongs to a run's state: 0 done, 1 failed, 3 cancelled, 4 a person must decide.
pub fn exit_code(state: &str) -> i32 {
    match RunState::named(state) {
        Some(RunState::Succeeded) => 0,
        Some(RunState::Cancelled | RunState::Cancelling) => 3,
        Some(RunState::Asking | RunState::Paused) => 4,
        Some(RunState::Failed | RunState::Failing | RunState::Queued | RunState::Running)
        | None => 1,
    }
}
