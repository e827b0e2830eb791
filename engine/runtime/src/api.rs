//! What can be asked of a home: one set of requests, answered in the same process or over the socket.

pub mod notice;
mod schedule;
mod watch;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_core::flow::compile::Choice;
use weir_core::ids::RunId;
use weir_core::run::{From, RecordKind, RunState};
use weir_core::time::Timestamp;

use crate::begin::{Begin, BeginError};
use crate::engine::Handle;
use crate::input::{Refusal, Wish};
use crate::library::Source;
use crate::store::rows::EventRow;
use crate::store::{self, DiagnosisFilter, RunFilter};
use crate::view;

pub use watch::watch;

/// A request. Names on the wire are kebab-case, in `call`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Request {
    /// Who answers: `{"version","pid","command"}`.
    Hello,
    /// Begin a run: `{"run": 7, "warnings": [...]}`.
    Begin {
        /// A flow file (an absolute path), or a flow's name (`flow` or `project/flow`).
        flow: String,
        /// Values for its parameters.
        params: Map<String, Value>,
        /// The words given against `destroys`.
        confirm: Vec<String>,
        /// Run only these jobs.
        only: Vec<String>,
        /// Run these jobs and all below them.
        from: Vec<String>,
        /// Leave these jobs out.
        skip: Vec<String>,
        /// Who asks.
        by: String,
    },
    /// Begin an earlier run again: `{"run": 8}`.
    Rerun {
        /// The earlier run.
        run: i64,
        /// What of it.
        from: From,
        /// With the newest text of the flow.
        newest: bool,
        /// Values that replace those of the earlier run.
        params: Map<String, Value>,
        /// The words given against `destroys`.
        confirm: Vec<String>,
        /// Who asks.
        by: String,
    },
    /// What a rerun would do: `{"lines":[{"path","will","reason"}],"version","origin_version","texts"}`.
    Preview {
        /// The earlier run.
        run: i64,
        /// What of it.
        from: From,
        /// With the newest text of the flow.
        newest: bool,
    },
    /// Do what a person asks: `null`.
    Wish {
        /// The run.
        run: i64,
        /// What.
        wish: Wish,
        /// Who asks.
        by: String,
    },
    /// A run: the object of `weir show`.
    Show {
        /// The run.
        run: i64,
    },
    /// Runs, newest first: a list of heads.
    Runs {
        /// Only of this project.
        project: Option<String>,
        /// Only of this flow.
        flow: Option<String>,
        /// Only in this state.
        state: Option<String>,
        /// Only older than this run.
        before: Option<i64>,
        /// How many at most.
        limit: u64,
    },
    /// A run's events from one number on.
    Events {
        /// The run.
        run: i64,
        /// Only those after this number.
        after: i64,
        /// How many at most.
        limit: u64,
    },
    /// A run's events as they come; ends when the run has ended.
    Watch {
        /// The run.
        run: i64,
        /// Only those after this number.
        after: i64,
    },
    /// Where an attempt's log is: `{"folder","state"}`; of a task's last attempt if no number is given.
    Log {
        /// The run.
        run: i64,
        /// The task's path.
        path: String,
        /// Which try.
        attempt: Option<u32>,
    },
    /// Schedules: `[{"id","project","flow","schedule","spec","state","paused_by","next_due","next_local","last"}]`.
    Schedules {
        /// Only of this project.
        project: Option<String>,
        /// Only of this flow.
        flow: Option<String>,
    },
    /// When a flow is due next: `[{"schedule","timezone","times":[{"due","local"}]}]`.
    Next {
        /// A flow file (an absolute path), or a flow's name.
        flow: String,
        /// Only this schedule.
        schedule: Option<String>,
        /// After this time; now, if not said.
        after: Option<Timestamp>,
        /// How many times of each schedule.
        count: usize,
    },
    /// What became of the due times of a schedule, newest first: `[{"due","since","at","outcome","run","reason"}]`.
    Fires {
        /// The schedule's number.
        schedule: i64,
        /// Only due times before this.
        before: Option<Timestamp>,
        /// How many at most.
        limit: u32,
    },
    /// The flows that are in effect, and what is wrong with newer texts: `[{"project","flow","file","version","error"}]`.
    Flows,
    /// Notices, newest first: `[{"run","seq","reason","to","flow","project","subject","state","tries","at","due_at","ended_at","error"}]`.
    Notices {
        /// Only of this run.
        run: Option<i64>,
        /// Only in this state: `waiting`, `delivered` or `given-up`.
        state: Option<String>,
        /// How many at most.
        limit: u64,
    },
    /// Pause a schedule: `null`.
    PauseSchedule {
        /// The flow: `project/flow`, or `flow` if one project alone has it.
        flow: String,
        /// The schedule's id.
        schedule: String,
        /// Who asks.
        by: String,
    },
    /// Let a schedule go on from now: `null`.
    ResumeSchedule {
        /// The flow.
        flow: String,
        /// The schedule's id.
        schedule: String,
        /// Who asks.
        by: String,
    },
    /// Begin a run for each due time of a span: `{"schedule","times":[{"due","local"}],"runs":[7]}`.
    Backfill {
        /// A flow file (an absolute path), or a flow's name.
        flow: String,
        /// The schedule, if the flow has several.
        schedule: Option<String>,
        /// The first date, or date and time on the schedule's clock.
        from: String,
        /// The last.
        to: String,
        /// Only say which.
        preview: bool,
        /// How many of the runs may move at once.
        parallel: u32,
        /// Who asks.
        by: String,
    },
    /// How often each signature was met and cured.
    Signatures,
    /// Diagnoses, newest first.
    Diagnoses {
        /// Only of this run.
        run: Option<i64>,
        /// Only of this signature.
        signature: Option<String>,
        /// How many at most.
        limit: u64,
    },
    /// Seal a secret: `null`.
    SecretSet {
        /// The project, or empty for all.
        scope: String,
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// Who asks.
        by: String,
    },
    /// The names of all secrets.
    SecretList,
    /// Forget a secret: whether there was one.
    SecretRemove {
        /// The project, or empty for all.
        scope: String,
        /// Its name.
        name: String,
    },
    /// Copy the home while it works: `null`.
    Backup {
        /// Where to.
        to: std::path::PathBuf,
        /// Logs, too.
        logs: bool,
    },
    /// Check all that is kept: a list of what is wrong, in words.
    Verify,
    /// Remove old runs: `[{"project","flow","age","keeps","runs","first","last","bytes"}]`.
    Prune {
        /// Only say which.
        preview: bool,
    },
    /// Ask about people and tokens, see there.
    People {
        /// What.
        ask: crate::people::Ask,
        /// Who asks.
        by: String,
    },
}

impl Request {
    /// Whether nothing comes of asking it twice.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::Hello
            | Self::Preview { .. }
            | Self::Show { .. }
            | Self::Runs { .. }
            | Self::Events { .. }
            | Self::Watch { .. }
            | Self::Log { .. }
            | Self::Signatures
            | Self::Diagnoses { .. }
            | Self::SecretList
            | Self::Schedules { .. }
            | Self::Next { .. }
            | Self::Fires { .. }
            | Self::Flows
            | Self::Notices { .. }
            | Self::Verify => true,
            // With a preview nothing is changed.
            Self::Backfill { preview, .. } | Self::Prune { preview } => *preview,
            Self::Begin { .. }
            | Self::Rerun { .. }
            | Self::Wish { .. }
            | Self::SecretSet { .. }
            | Self::SecretRemove { .. }
            | Self::PauseSchedule { .. }
            | Self::ResumeSchedule { .. }
            | Self::Backup { .. } => false,
            Self::People { ask, .. } => ask.only_looks(),
        }
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The exit code of a command that meets it: 2 for a wrong call or definition, 1 otherwise.
    pub exit: i32,
    /// What is wrong, for people; may have several lines.
    pub message: String,
    /// The mistakes of a flow, for programs.
    #[serde(default)]
    pub mistakes: Value,
    /// The engine is leaving and has surely not done it: the next one may be asked the same.
    #[serde(default)]
    pub is_leaving: bool,
    /// The engine went away before it answered: nobody knows whether it has done it.
    #[serde(skip)]
    pub is_unanswered: bool,
}

impl Problem {
    /// A wrong call: exit code 2.
    pub fn call(message: impl Into<String>) -> Self {
        Self { exit: 2, ..Self::inner(message.into()) }
    }

    /// Something that is not the caller's fault: exit code 1.
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
    pub fn inner(message: impl ToString) -> Self {
        Self {
            exit: 1,
            message: message.to_string(),
            mistakes: Value::Null,
            is_leaving: false,
            is_unanswered: false,
        }
    }

    /// The engine is leaving, and has not done it.
    pub fn leaving() -> Self {
        Self { is_leaving: true, ..Self::inner("the engine that held this home is leaving") }
    }
}

impl std::convert::From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::inner(error)
    }
}

impl std::convert::From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stopped(_) => Self::inner(refusal),
            Refusal::NoRun(_) | Refusal::NoTask { .. } | Refusal::Ignored(_) | Refusal::Bad(_) => {
                Self::call(refusal.to_string())
            }
        }
    }
}

impl std::convert::From<view::Error> for Problem {
    fn from(error: view::Error) -> Self {
        match error {
            view::Error::NoRun(_) => Self::call(error.to_string()),
            view::Error::Store(_) | view::Error::Version(_) | view::Error::Rows(..) => {
                Self::inner(error)
            }
        }
    }
}

impl std::convert::From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match &error {
            BeginError::Mistakes(mistakes, source) => Self {
                mistakes: serde_json::to_value(mistakes).unwrap_or_default(),
                ..Self::call(render_mistakes(mistakes, source))
            },
            BeginError::Bad(_) | BeginError::Read(_) => Self::call(error.to_string()),
            BeginError::Refused(refusal) => refusal.clone().into(),
            BeginError::Version(_) | BeginError::Store(_) => Self::inner(error),
        }
    }
}

/// Mistakes as text, each with the line it stands in.
pub fn render_mistakes(mistakes: &[weir_core::mistake::Mistake], source: &Source) -> String {
    let text_of = |file: &str| match &source.project {
        Some(project) if project.name == file => project.text.as_str(),
        _ => source.flow.text.as_str(),
    };
    mistakes
        .iter()
        .map(|mistake| mistake.render(text_of(&mistake.file)).to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Answers a request. [`Request::Watch`] is answered by [`watch`].
///
/// # Errors
/// The request can't be granted; nothing has changed.
pub async fn answer(handle: &Handle, request: Request) -> Result<Value, Problem> {
    let store = handle.store();
    match request {
        Request::Hello => {
            Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id() }))
        }
        Request::Begin { flow, params, confirm, only, from, skip, by } => {
            let loaded = schedule::load(handle, &flow).await?;
            let warnings = loaded.warnings.len();
            let begin = Begin {
                params,
                confirm,
                choice: Choice { only, from, skip },
                ..Begin::flow(loaded, &by)
            };
            let run = handle.begin(begin).await?;
            Ok(json!({ "run": run.0, "warnings": warnings }))
        }
        Request::Rerun { run, from, newest, params, confirm, by } => {
            let begin = Begin { params, confirm, ..Begin::rerun(RunId(run), from, newest, &by) };
            Ok(json!({ "run": handle.begin(begin).await?.0 }))
        }
        Request::Preview { run, from, newest } => {
            let plan = crate::begin::preview(handle, RunId(run), &from, newest).await?;
            Ok(json!({
                "lines": plan.preview.lines,
                "version": plan.version,
                "origin_version": plan.origin_version,
                "texts": plan.texts,
            }))
        }
        Request::Wish { run, wish, by } => {
            handle.wish(RunId(run), wish, &by).await?;
            Ok(Value::Null)
        }
        Request::Show { run } => {
            let ready = handle.why_ready(RunId(run)).await;
            let why = handle.why_queued(RunId(run)).await;
            let mut run = view::run(store, handle.library(), RunId(run), &ready).await?;
            run.reason = run.reason.or(why);
            Ok(json!({ "run": run }))
        }
        Request::Runs { project, flow, state, before, limit } => {
            let state = match state {
                Some(name) => Some(
                    RunState::named(&name)
                        .ok_or_else(|| Problem::call(format!("there is no run state `{name}`")))?,
                ),
                None => None,
            };
            let filter =
                RunFilter { project, flow, state: state.map(RunState::code), origin: None };
            let rows = store.runs(&filter, before.map(RunId), limit).await?;
            Ok(rows
                .into_iter()
                .map(|row| {
                    json!({
                        "id": row.id, "project": row.project, "flow": row.flow, "version": row.version,
                        "state": RunState::from_code(row.state).map(RunState::name), "reason": row.reason, "origin": row.origin,
                        "by": row.by, "created_at": row.created_at, "started_at": row.started_at, "ended_at": row.ended_at,
                    })
                })
                .collect())
        }
        Request::Events { run, after, limit } => {
            let opened = view::open(store, handle.library(), RunId(run)).await?;
            let rows = store.events(RunId(run), after, limit).await?;
            Ok(rows.iter().map(|row| event_view(row, &opened)).collect())
        }
        Request::Watch { .. } => Err(Problem::call("this is answered by a stream")),
        Request::Log { run, path, attempt } => log(handle, RunId(run), &path, attempt).await,
        Request::Schedules { project, flow } => {
            schedule::list(handle, project.as_deref(), flow.as_deref()).await
        }
        Request::Next { flow, schedule, after, count } => {
            schedule::next(handle, &flow, schedule.as_deref(), after, count).await
        }
        Request::Fires { schedule, before, limit } => {
            schedule::fires(handle, schedule, before, limit).await
        }
        Request::Flows => schedule::flows(handle).await,
        Request::Notices { run, state, limit } => {
            notice::list(handle, run, state.as_deref(), limit).await
        }
        Request::PauseSchedule { flow, schedule, by } => {
            schedule::pause(handle, &flow, &schedule, true, &by).await
        }
        Request::ResumeSchedule { flow, schedule, by } => {
            schedule::pause(handle, &flow, &schedule, false, &by).await
        }
        Request::Backfill { flow, schedule, from, to, preview, parallel, by } => {
            let span = schedule::Span { from, to, is_preview: preview, parallel };
            schedule::backfill(handle, &flow, schedule.as_deref(), span, &by).await
        }
        Request::Signatures => {
            let counts = store.signature_counts().await?;
            Ok(counts
                .into_iter()
                .map(|count| json!({ "signature": count.signature, "met": count.met, "cured": count.cured, "not_cured": count.not_cured }))
                .collect())
        }
        Request::Diagnoses { run, signature, limit } => {
            let filter = DiagnosisFilter { run: run.map(RunId), signature };
            let rows = store.diagnoses(&filter, None, limit).await?;
            Ok(rows
                .into_iter()
                .map(|row| {
                    let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
                    json!({
                        "run": row.run, "attempt": row.attempt, "signature": row.signature, "at": row.at, "then": row.then,
                        "result": row.result, "path": evidence["path"], "text": evidence["text"],
                    })
                })
                .collect())
        }
        Request::SecretSet { scope, name, value, by } => {
            handle.set_secret(&scope, &name, &value, &by).await.map_err(|error| match error {
                crate::secrets::Error::TooShort { .. } => Problem::call(error.to_string()),
                error => Problem::inner(error),
            })?;
            Ok(Value::Null)
        }
        Request::SecretList => {
            let rows = handle.secrets().list().await.map_err(Problem::inner)?;
            Ok(rows
                .into_iter()
                .map(|row| json!({ "scope": row.scope, "name": row.name }))
                .collect())
        }
        Request::SecretRemove { scope, name } => {
            Ok(Value::from(handle.remove_secret(&scope, &name).await.map_err(Problem::inner)?))
        }
        Request::Backup { to, logs } => {
            handle.backup(&to, logs).await.map_err(Problem::inner).map(|()| Value::Null)
        }
        Request::Verify => Ok(handle.verify().await?.into_iter().map(Value::from).collect()),
        Request::Prune { preview } => {
            let pruned = if preview { handle.would_prune().await } else { handle.prune().await };
            serde_json::to_value(pruned.map_err(Problem::inner)?).map_err(Problem::inner)
        }
        Request::People { ask, by } => {
            let asker = crate::people::Asker { by, origin: "socket".to_owned() };
            crate::people::answer(handle, ask, &asker).await
        }
    }
}

async fn log(
    handle: &Handle,
    id: RunId,
    path: &str,
    attempt: Option<u32>,
) -> Result<Value, Problem> {
    let opened = view::open(handle.store(), handle.library(), id).await?;
    let task = opened
        .find(path)
        .ok_or_else(|| Problem::from(Refusal::NoTask { run: id, path: path.to_owned() }))?;
    let at = &opened.run.tasks()[task.at()];
    let number = attempt.unwrap_or(at.attempt);
    if number == 0 || number > at.attempt {
        return Err(Problem::call(match attempt {
            Some(number) => {
                format!("`{path}` of run {id} has no attempt {number}: it had {}", at.attempt)
            }
            None => format!("`{path}` of run {id} has not begun"),
        }));
    }
    let attempt = weir_core::ids::AttemptId { run: id, task, number };
    let folder = crate::engine::attempt_folder(handle.store().home(), attempt);
    let is_open = number == at.attempt && at.state.is_active();
    Ok(json!({ "folder": folder, "attempt": number, "open": is_open, "state": at.state.name() }))
}

/// An event, as people and programs see it.
pub fn event_view(row: &EventRow, opened: &view::Opened) -> Value {
    let detail = row.detail.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let path =
        row.task.filter(|task| opened.run.task(*task).is_some()).map(|task| opened.path(task));
    json!({
        "seq": row.seq, "at": row.at, "kind": RecordKind::name_of(row.kind), "path": path, "task": row.task,
        "attempt": row.attempt, "by": row.by, "detail": detail,
    })
}
