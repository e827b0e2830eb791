//! What the command line asks of a server: the requests of the home's socket, for whoever may make them.

use std::time::Duration;

use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_core::flow::compile::Choice;
use weir_core::ids::RunId;
use weir_core::run::{Act, Answer};
use weir_engine::api::{self as engine, Problem, Request};
use weir_engine::begin::Begin;
use weir_engine::people::{self, Role};
use weir_engine::{Wish, view};

use crate::api::{Body, once};
use crate::error::{Kind, PageError};
use crate::flows;
use crate::pages::begin::note;
use crate::pages::run::allowed;
use crate::pages::runs;
use crate::site::{Shared, Site, stopped};
use crate::who::{self, Origin, Who};

/// How often somebody who watches hears that the line still holds.
const STILL_HERE: Duration = Duration::from_secs(15);
/// Events that are on their way to somebody who watches.
const ON_THE_WAY: usize = 64;
/// Runs of a list.
const RUNS_MOST: u64 = 1000;

pub(crate) async fn ask(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, PageError> {
    // What is no key is refused also where none is wanted.
    once::key(&headers)?;
    let request = admit(&site, &me, request).await?;
    let mut audit = audit_line(&request);
    let answer = match request {
        Request::Watch { run, after } => return Ok(watch(site, run, after)),
        Request::Begin { flow, params, confirm, only, from, skip, .. } => {
            let asked = json!(["begin", flow, params, confirm, only, from, skip]);
            let begun = once::begin(&site, &me, &headers, &asked, async || {
                let (project, name) = flow.split_once('/').unwrap_or(("", &flow));
                let loaded = flows::load(&site, project, name).await?;
                let choice = Choice { only, from, skip };
                Ok(Begin { params, confirm, choice, ..Begin::flow(loaded, &me.name) })
            });
            told_once(&begun.await?, &mut audit)
        }
        Request::Rerun { run, from, newest, params, confirm, .. } => {
            let asked = json!(["rerun", run, from, newest, params, confirm]);
            let begun = once::begin(&site, &me, &headers, &asked, async || {
                Ok(Begin { params, confirm, ..Begin::rerun(RunId(run), from, newest, &me.name) })
            });
            told_once(&begun.await?, &mut audit)
        }
        Request::Runs { project, flow, state, before, limit } => {
            let which = runs::Asked {
                project: project.unwrap_or_default(),
                flow: flow.unwrap_or_default(),
                state: state.unwrap_or_default(),
                before,
            };
            let (rows, _) = runs::seen(&site, &me, &which, limit.min(RUNS_MOST)).await?;
            Value::Array(rows.iter().map(crate::api::runs::head).collect())
        }
        Request::People { ask, .. } => {
            people::answer(&site.handle, ask, &who::asker(&me, &origin)).await?
        }
        Request::Signatures if !me.sees_all() => json!([]),
        request => {
            let seen = seen_rows(&request);
            let mut answer = engine::answer(&site.handle, request).await?;
            // Where it lies on this machine is for this machine.
            if let Value::Object(facts) = &mut answer {
                facts.shift_remove("folder");
            }
            if let (Some(of), Value::Array(rows)) = (seen, &mut answer) {
                let mut kept = Vec::new();
                for row in rows.drain(..) {
                    if of.may_see(&site, &me, &row).await? {
                        kept.push(row);
                    }
                }
                *rows = kept;
            }
            answer
        }
    };
    if let Some((what, target)) = audit {
        let after = answer["run"].as_i64().map(|run| format!("run {run}"));
        note(&site, &me, &origin, &what, &target, after).await?;
    }
    Ok(Json(answer).into_response())
}

/// The answer about a run that was begun. If it had been begun before, the audit knows of it.
fn told_once<T>(begun: &once::Begun, audit: &mut Option<T>) -> Value {
    if !begun.is_new {
        *audit = None;
    }
    json!({ "run": begun.run })
}

/// The rows of a list that not everybody may see.
#[derive(Clone, Copy)]
enum Rows {
    /// Those of a project.
    OfProject,
    /// Those of a run.
    OfRun,
}

fn seen_rows(request: &Request) -> Option<Rows> {
    match request {
        Request::Schedules { .. } | Request::Flows | Request::Notices { .. } => {
            Some(Rows::OfProject)
        }
        Request::Diagnoses { .. } => Some(Rows::OfRun),
        _ => None,
    }
}

impl Rows {
    async fn may_see(self, site: &Site, me: &Who, row: &Value) -> Result<bool, PageError> {
        match self {
            // A file that was never right belongs to no project yet.
            Self::OfProject => Ok(match row["project"].as_str() {
                Some(project) => me.role_in(project).is_some(),
                None => me.sees_all(),
            }),
            Self::OfRun => {
                let Some(run) = row["run"].as_i64() else { return Ok(false) };
                let run = site.handle.store().run(RunId(run)).await?;
                Ok(run.is_some_and(|run| me.role_in(&run.project).is_some()))
            }
        }
    }
}

/// Refuses what somebody may not ask. In what is left, they are who asks, and flows are named by project and name.
async fn admit(site: &Site, me: &Who, mut request: Request) -> Result<Request, PageError> {
    match &mut request {
        Request::Hello
        | Request::Runs { .. }
        | Request::Schedules { .. }
        | Request::Flows
        | Request::Signatures => {}
        Request::Begin { flow, by, .. } => {
            *flow = named(site, me, flow, Role::Operator).await?;
            by.clone_from(&me.name);
        }
        Request::Backfill { flow, by, preview, .. } => {
            let role = if *preview { Role::Viewer } else { Role::Operator };
            *flow = named(site, me, flow, role).await?;
            *by = format!("backfill by {}", me.name);
        }
        Request::Next { flow, .. } => *flow = named(site, me, flow, Role::Viewer).await?,
        Request::PauseSchedule { flow, by, .. } | Request::ResumeSchedule { flow, by, .. } => {
            *flow = named(site, me, flow, Role::Author).await?;
            by.clone_from(&me.name);
        }
        Request::Rerun { run, by, .. } | Request::Wish { run, by, .. } => {
            of_run(site, me, *run, Role::Operator).await?;
            by.clone_from(&me.name);
        }
        Request::Preview { run, .. } => of_run(site, me, *run, Role::Operator).await?,
        Request::Show { run }
        | Request::Events { run, .. }
        | Request::Watch { run, .. }
        | Request::Log { run, .. } => of_run(site, me, *run, Role::Viewer).await?,
        Request::Diagnoses { run, .. } | Request::Notices { run, .. } => {
            if let Some(run) = run {
                of_run(site, me, *run, Role::Viewer).await?;
            }
        }
        Request::SecretSet { scope, by, .. } => {
            me.must(Role::Admin, scope)?;
            by.clone_from(&me.name);
        }
        Request::SecretRemove { scope, .. } => me.must(Role::Admin, scope)?,
        // The number of a schedule does not say whose it is.
        Request::Fires { .. } | Request::SecretList | Request::Verify | Request::Prune { .. } => {
            everywhere(me)?;
        }
        Request::People { by, .. } => {
            everywhere(me)?;
            by.clone_from(&me.name);
        }
        Request::Backup { .. } => {
            return Err(PageError::bad(
                "a backup is made on the server's own machine\nhelp: run `weir backup` there, with its data folder as --home",
            ));
        }
    }
    Ok(request)
}

fn everywhere(me: &Who) -> Result<(), PageError> {
    if me.is_admin() { Ok(()) } else { Err(PageError::forbidden(Role::Admin)) }
}

async fn of_run(site: &Site, me: &Who, run: i64, role: Role) -> Result<(), PageError> {
    match allowed(site, me, run, role).await {
        Err(error) if error.kind == Kind::NoPage => {
            Err(PageError::no_such(view::Error::NoRun(RunId(run)).to_string()))
        }
        other => other.map(|_| ()),
    }
}

/// The project and the name of a flow that somebody may use so far.
async fn named(site: &Site, me: &Who, flow: &str, role: Role) -> Result<String, PageError> {
    let (project, name) = match flow.split_once('/') {
        Some((project, name)) => (Some(project), name),
        None => (None, flow),
    };
    let mut known = flows::all(site, me).await?;
    known.retain(|known| known.name == name && project.is_none_or(|of| of == known.project));
    // As at the socket: the one without a project first.
    known.sort_by(|one, other| one.project.cmp(&other.project));
    match known.as_slice() {
        [] => Err(PageError::no_such(format!(
            "the server knows no flow `{flow}`\nhelp: `GET /api/v1/flows` lists those it knows; a file of this machine is not \
             sent there"
        ))),
        [one, more @ ..] if more.is_empty() || one.project.is_empty() => {
            me.must(role, &one.project)?;
            // Not `/name`: that would be a path.
            if one.project.is_empty() {
                return Ok(one.name.clone());
            }
            Ok(format!("{}/{}", one.project, one.name))
        }
        many => {
            let names: Vec<String> =
                many.iter().map(|one| format!("{}/{}", one.project, one.name)).collect();
            Err(PageError::bad(format!(
                "several projects have a flow `{name}`\nhelp: name one of {}",
                names.join(", ")
            )))
        }
    }
}

/// What the audit says of a request that changes something, and of what.
fn audit_line(request: &Request) -> Option<(String, String)> {
    let line = |what: &str, target: String| Some((what.to_owned(), target));
    match request {
        Request::Begin { flow, .. } => line("run.begin", flow.clone()),
        Request::Rerun { run, .. } => line("run.rerun", format!("run {run}")),
        Request::Backfill { flow, preview: false, .. } => line("run.backfill", flow.clone()),
        Request::PauseSchedule { flow, schedule, .. } => {
            line("schedule.pause", format!("{flow} {schedule}"))
        }
        Request::ResumeSchedule { flow, schedule, .. } => {
            line("schedule.resume", format!("{flow} {schedule}"))
        }
        Request::SecretSet { scope, name, .. } => line("secret.set", format!("{scope}/{name}")),
        Request::Prune { preview: false } => line("runs.prune", "old runs".to_owned()),
        Request::SecretRemove { scope, name } => line("secret.remove", format!("{scope}/{name}")),
        Request::Wish { run, wish, .. } => {
            let of_task = |verb: &str, path: &str| line(verb, format!("run {run} {path}"));
            match wish {
                Wish::Cancel => line("run.cancel", format!("run {run}")),
                Wish::Kill => line("run.kill", format!("run {run}")),
                Wish::Pause => line("run.pause", format!("run {run}")),
                Wish::Resume => line("run.resume", format!("run {run}")),
                Wish::Task { path, act } => match act {
                    Act::Skip => of_task("task.skip", path),
                    Act::Succeed => of_task("task.succeed", path),
                    Act::Fail => of_task("task.fail", path),
                    Act::RetryNow => of_task("task.retry", path),
                },
                Wish::Answer { path, answer, .. } => match answer {
                    Answer::Approve => of_task("task.approve", path),
                    Answer::Reject => of_task("task.reject", path),
                    Answer::Retry => of_task("task.retry", path),
                    Answer::Continue => of_task("task.continue", path),
                },
            }
        }
        _ => None,
    }
}

/// A run's events as they come: a line each, as at the socket, with an empty line now and then.
fn watch(site: Shared, run: i64, after: i64) -> Response {
    let (lines, receiver) = mpsc::channel::<String>(ON_THE_WAY);
    let mut stopping = site.stopping.clone();
    tokio::spawn(async move {
        let (sink, mut events) = mpsc::channel::<Value>(ON_THE_WAY);
        let watching = engine::watch(&site.handle, RunId(run), after, sink);
        let sending = async {
            loop {
                let line = match tokio::time::timeout(STILL_HERE, events.recv()).await {
                    Ok(Some(event)) => json!({ "event": event }).to_string(),
                    Ok(None) => return,
                    Err(_) => String::new(),
                };
                if lines.send(line + "\n").await.is_err() {
                    events.close();
                    return;
                }
            }
        };
        let result = tokio::select! {
            (result, ()) = async { tokio::join!(watching, sending) } => result,
            () = stopped(&mut stopping) => Err(Problem::leaving()),
        };
        let last = match result {
            Ok(()) => json!({ "ok": null }),
            Err(problem) => json!({ "problem": problem }),
        };
        let _ = lines.send(format!("{last}\n")).await;
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), receiver))
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    ([(header::CONTENT_TYPE, kind)], RawBody::from_stream(body)).into_response()
}
