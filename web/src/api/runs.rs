//! Runs, their tasks, logs and events; what was recognised in them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::ids::RunId;
use weir_core::run::{From, RunState};
use weir_engine::api as engine;
use weir_engine::begin::{self, Begin};
use weir_engine::people::Role;
use weir_engine::store::DiagnosisFilter;
use weir_engine::store::rows::RunRow;

use crate::address::{Path, Query};
use crate::api::flows::made;
use crate::api::{Body, List, cursor, limit, log};
use crate::error::PageError;
use crate::pages::begin::note;
use crate::pages::run::{allowed, read, wish};
use crate::pages::runs::{self, seen};
use crate::pages::task;
use crate::site::{Shared, stopped};
use crate::who::{Origin, Who};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    project: Option<String>,
    flow: Option<String>,
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<List>, PageError> {
    let limit = limit(asked.limit)?;
    if asked.state.as_deref() == Some("") {
        return Err(runs::no_state(""));
    }
    let which = runs::Asked {
        flow: asked.flow.unwrap_or_default(),
        project: asked.project.unwrap_or_default(),
        state: asked.state.unwrap_or_default(),
        before: cursor(asked.cursor.as_deref())?,
    };
    let (rows, next) = seen(&site, &me, &which, limit).await?;
    let items = rows.iter().map(head).collect();
    Ok(Json(List { items, next: next.map(|next| next.to_string()) }))
}

pub(crate) fn head(row: &RunRow) -> Value {
    json!({
        "id": row.id, "project": row.project, "flow": row.flow, "version": row.version,
        "state": RunState::from_code(row.state).map(RunState::name), "reason": row.reason, "origin": row.origin,
        "by": row.by, "created_at": row.created_at, "started_at": row.started_at, "ended_at": row.ended_at,
    })
}

pub(crate) async fn show(
    State(site): State<Shared>,
    me: Who,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    let run = read(&site, &me, id).await?;
    let body = json!({ "run": run }).to_string();
    let tag = format!("\"{}\"", &crate::password::digest(&body)[..16]);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
        let asks = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, asks);
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct After {
    #[serde(default)]
    after: u32,
}

/// A run's events as they come, until it has ended.
pub(crate) async fn events(
    State(site): State<Shared>,
    me: Who,
    headers: HeaderMap,
    Path(id): Path<i64>,
    Query(After { after }): Query<After>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = seen.unwrap_or(i64::from(after));
    // Many may watch: what is ready before it can be sent takes memory for each of them.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Value>(8);
    let mut stopping = site.stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stopped(&mut stopping) => {}
            result = engine::watch(&site.handle, RunId(id), after, sender) => {
                if let Err(error) = result {
                    tracing::warn!("a run can't be watched: {error}");
                }
            }
        }
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let value = receiver.recv().await?;
        let event = Event::default().id(value["seq"].to_string()).data(value.to_string());
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let keep = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep).into_response())
}

/// What of a run is run again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Again {
    from: From,
    params: Map<String, Value>,
    confirm: Vec<String>,
    version: Version,
    preview: bool,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Version {
    Same,
    Newest,
}

impl Default for Again {
    fn default() -> Self {
        Self {
            from: From::Failed,
            params: Map::new(),
            confirm: Vec::new(),
            version: Version::Same,
            preview: false,
        }
    }
}

pub(crate) async fn rerun(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    Body(again): Body<Again>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let newest = again.version == Version::Newest;
    if again.preview {
        let plan = begin::preview(&site.handle, RunId(id), &again.from, newest).await?;
        return Ok(Json(json!({
            "lines": plan.preview.lines, "version": plan.version, "origin_version": plan.origin_version, "texts": plan.texts,
        }))
        .into_response());
    }
    let begin = Begin {
        params: again.params,
        confirm: again.confirm,
        ..Begin::rerun(RunId(id), again.from, newest, &me.name)
    };
    let run = site.handle.begin(begin).await?;
    note(&site, &me, &origin, "run.rerun", &format!("run {id}"), Some(format!("run {run}")))
        .await?;
    Ok(made(run.0))
}

macro_rules! wishes {
    ($($name:ident)*) => {
        $(pub(crate) async fn $name(
            State(site): State<Shared>,
            me: Who,
            origin: Origin,
            Path(id): Path<i64>,
        ) -> Result<StatusCode, PageError> {
            allowed(&site, &me, id, Role::Operator).await?;
            wish(&site, &me, &origin, id, stringify!($name)).await?;
            Ok(StatusCode::NO_CONTENT)
        })*
    };
}
wishes! { cancel kill pause resume }

/// A task, or behind `/log` its log.
pub(crate) async fn task(
    State(site): State<Shared>,
    me: Who,
    headers: HeaderMap,
    Path((id, path)): Path<(i64, String)>,
    Query(which): Query<log::Which>,
) -> Result<Response, PageError> {
    let mut run = read(&site, &me, id).await?;
    if let Some(place) = run.tasks.iter().position(|task| task.path == path) {
        return Ok(Json(json!({ "task": run.tasks.swap_remove(place) })).into_response());
    }
    let path = path.strip_suffix("/log").ok_or_else(PageError::no_page)?;
    log::show(site, &headers, id, path, which).await
}

/// The values of an answer.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Given {
    values: Map<String, Value>,
}

/// Does something to a task: the last part of the address says what.
pub(crate) async fn act(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path((id, path)): Path<(i64, String)>,
    Body(given): Body<Given>,
) -> Result<StatusCode, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let (path, what) = path.rsplit_once('/').ok_or_else(PageError::no_page)?;
    match what {
        "skip" | "retry" | "succeed" | "fail" => {
            task::carry_out(&site, &me, &origin, id, path, what).await?;
        }
        "approve" | "reject" => {
            task::give(&site, &me, &origin, id, path, what, given.values).await?;
        }
        _ => return Err(PageError::no_page()),
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diagnoses {
    signature: Option<String>,
    cursor: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn diagnoses(
    State(site): State<Shared>,
    me: Who,
    Query(asked): Query<Diagnoses>,
) -> Result<Json<List>, PageError> {
    let store = site.handle.store();
    let limit = limit(asked.limit)?;
    let filter = DiagnosisFilter { run: None, signature: asked.signature };
    let before = cursor(asked.cursor.as_deref())?.map(RunId);
    let rows = store.diagnoses(&filter, before, limit).await?;
    let next = (rows.len() as u64 == limit)
        .then(|| rows.last().map(|row| row.run.0.to_string()))
        .flatten();
    let mut items = Vec::new();
    for row in rows {
        let Some(run) = store.run(row.run).await? else { continue };
        if me.role_in(&run.project).is_none() {
            continue;
        }
        let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
        items.push(json!({
            "run": row.run, "attempt": row.attempt, "signature": row.signature, "at": row.at, "then": row.then,
            "result": row.result, "path": evidence["path"], "text": evidence["text"],
        }));
    }
    Ok(Json(List { items, next }))
}

pub(crate) async fn catalogue(State(site): State<Shared>) -> Result<Json<List>, PageError> {
    let entries = site.handle.library().catalogue.entries();
    let items = entries
        .iter()
        .map(|entry| {
            json!({
                "id": entry.id, "title": entry.title, "rank": entry.rank, "diagnosis": entry.diagnosis,
                "log": entry.signature.log, "advice": entry.advice,
            })
        })
        .collect();
    Ok(Json(List { items, next: None }))
}
