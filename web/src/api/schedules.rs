//! Schedules: which there are, when they are due, what became of their due times; adding, pausing, making up for dates.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::time::Timestamp;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::schedules::Shown;

use crate::address::{Path, Query};
use crate::api::{Body, List, limit};
use crate::error::PageError;
use crate::form;
use crate::schedules::{self, Span};
use crate::site::Shared;
use crate::who::{Origin, Who};

/// Due times that are told if nobody says, and at most.
pub(crate) const TIMES: usize = 10;
pub(crate) const MOST_TIMES: usize = 1_000;
/// Runs that may move at once, of those that make up for a span of dates.
pub(crate) const MOST_AT_ONCE: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    project: Option<String>,
    flow: Option<String>,
    cursor: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    me: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, PageError> {
    let limit = limit(wanted.limit)? as usize;
    let after = wanted.cursor.unwrap_or_default();
    let key = |one: &Shown| format!("{}/{}/{}", one.project, one.flow, one.schedule);
    let project = wanted.project.as_deref().map(form::project);
    let mut all = schedules::all(&site, &me).await?;
    all.sort_by_key(key);
    all.retain(|one| {
        key(one) > after
            && project.is_none_or(|project| one.project == project)
            && wanted.flow.as_ref().is_none_or(|flow| one.flow == *flow)
    });
    let is_more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| is_more).map(key);
    let items = all.iter().map(|one| json!(one)).collect();
    Ok(Json(List { items, next }))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
) -> Result<Json<Value>, PageError> {
    let shown = schedules::one(&site, &me, id, Role::Viewer).await?;
    Ok(Json(json!({ "schedule": shown })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ahead {
    after: Option<Timestamp>,
    count: Option<usize>,
}

/// The next due times, in UTC and on the schedule's clock.
pub(crate) async fn next(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(ahead): Query<Ahead>,
) -> Result<Json<Value>, PageError> {
    let shown = schedules::one(&site, &me, id, Role::Viewer).await?;
    let count = ahead.count.unwrap_or(TIMES);
    if !(1..=MOST_TIMES).contains(&count) {
        return Err(PageError::bad(format!(
            "count is {count}: 1 to {MOST_TIMES} times can be told"
        )));
    }
    let mut at = ahead.after.unwrap_or_else(wall_clock);
    let found = site.handle.schedules_in_effect(Some(id)).await.pop();
    let mut times = Vec::new();
    if let Some((_, schedule)) = &found {
        while let Some(due) = schedule.next_after(at).filter(|_| times.len() < count) {
            times.push(json!({ "due": due, "local": schedule.local(due) }));
            at = due;
        }
    }
    Ok(Json(json!({
        "schedule": shown.schedule, "timezone": shown.spec["timezone"],
        "is_timed": found.as_ref().is_some_and(|(_, schedule)| schedule.trigger.is_time()),
        "state": shown.state, "times": times,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Past {
    cursor: Option<Timestamp>,
    limit: Option<u64>,
}

pub(crate) async fn fires(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(past): Query<Past>,
) -> Result<Json<List>, PageError> {
    schedules::one(&site, &me, id, Role::Viewer).await?;
    let limit = limit(past.limit)? as u32;
    let fired = site.handle.fired(id, past.cursor, limit).await?;
    let next = (fired.len() == limit as usize)
        .then(|| fired.last().map(|one| one.due.to_string()))
        .flatten();
    Ok(Json(List { items: fired.iter().map(|one| json!(one)).collect(), next }))
}

/// Adds a schedule to a flow: its body has the keys of a schedule in a flow file.
pub(crate) async fn add(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path((project, flow)): Path<(String, String)>,
    Body(said): Body<Map<String, Value>>,
) -> Result<Response, PageError> {
    let of = (form::project(&project), flow.as_str());
    let id = schedules::add(&site, (&me, &origin), of, &said).await?;
    let made = Json(json!({ "schedule": { "id": id } }));
    let place = [(header::LOCATION, format!("/api/v1/schedules/{id}"))];
    Ok((StatusCode::CREATED, place, made).into_response())
}

pub(crate) async fn remove(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
) -> Result<StatusCode, PageError> {
    schedules::remove(&site, (&me, &origin), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn pause(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
) -> Result<StatusCode, PageError> {
    schedules::pause(&site, (&me, &origin), id, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn resume(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
) -> Result<StatusCode, PageError> {
    schedules::pause(&site, (&me, &origin), id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is made up for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backfill {
    from: String,
    to: String,
    #[serde(default = "one")]
    parallel: u32,
    #[serde(default)]
    preview: bool,
}

fn one() -> u32 {
    1
}

pub(crate) async fn backfill(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    Body(asked): Body<Backfill>,
) -> Result<(StatusCode, Json<Value>), PageError> {
    let Backfill { from, to, parallel, preview } = asked;
    if !(1..=MOST_AT_ONCE).contains(&parallel) {
        return Err(PageError::bad(format!(
            "parallel is {parallel}: 1 to {MOST_AT_ONCE} runs can move at once"
        )));
    }
    let span = Span { from, to, parallel, is_preview: preview };
    let found = schedules::backfill(&site, (&me, &origin), id, span).await?;
    Ok((if preview { StatusCode::OK } else { StatusCode::CREATED }, Json(found)))
}
