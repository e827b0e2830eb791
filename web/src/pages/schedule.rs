//! One schedule: its next due times, what became of those before, pausing it, making up for a span of dates.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;
use weir_core::time::Timestamp;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::schedules::Shown;
use weir_engine::store::rows::ScheduleEventRow;

use crate::address::{Path, Query};
use crate::clock::At;
use crate::error::{Kind, PageError};
use crate::form::{Fields, own_page};
use crate::pages::field::typed;
use crate::pages::schedules::{Last, Line};
use crate::schedules::{self, Span};
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::{Origin, Who};
use crate::words::Words;

/// Due times that are shown if nobody says, and at most.
const USUAL: usize = 10;
const MOST: usize = 200;
/// Past due times of a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "schedule.html")]
struct Schedule {
    s: Shell,
    line: Line,
    spec: Vec<(String, String)>,
    added_by: Option<String>,
    is_timed: bool,
    count: usize,
    times: Vec<Time>,
    fires: Vec<Last>,
    older: Option<String>,
    events: Vec<Event>,
    backfill: Backfill,
}

/// A due time in both zones.
pub(crate) struct Time {
    pub(crate) at: At,
    pub(crate) local: String,
}

impl Time {
    /// Of a list of the engine.
    fn all(times: &Value) -> Vec<Self> {
        let read = |time: &Value| {
            let due = Timestamp::parse(time["due"].as_str()?).ok()?;
            let local = time["local"].as_str().unwrap_or_default().to_owned();
            Some(Self { at: At::new(due), local })
        };
        times.as_array().into_iter().flatten().filter_map(read).collect()
    }
}

struct Event {
    at: At,
    what: &'static str,
    by: String,
}

/// The form that makes up for a span of dates, and what came of it.
#[derive(Default)]
struct Backfill {
    from: String,
    to: String,
    parallel: u32,
    wrong: Vec<String>,
    /// What would begin.
    preview: Vec<Time>,
    /// What has begun.
    runs: Vec<i64>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    n: Option<usize>,
    before: Option<Timestamp>,
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let shown = schedules::one(&site, &me, id, Role::Viewer).await?;
    let backfill = Backfill { parallel: 1, ..Backfill::default() };
    Ok(Page(page(&site, s, &me, shown, &asked, backfill).await?).into_response())
}

async fn page(
    site: &Site,
    s: Shell,
    me: &Who,
    shown: Shown,
    asked: &Asked,
    backfill: Backfill,
) -> Result<Schedule, PageError> {
    let id = shown.id;
    let count = asked.n.unwrap_or(USUAL).clamp(1, MOST);
    let found = site.handle.schedules_in_effect(Some(id)).await.pop();
    let mut times = Vec::new();
    if let Some((_, schedule)) = found.as_ref().filter(|_| shown.state == "active") {
        let mut at = wall_clock();
        while let Some(due) = schedule.next_after(at).filter(|_| times.len() < count) {
            times.push(Time { at: At::new(due), local: schedule.local(due) });
            at = due;
        }
    }
    let fired = site.handle.fired(id, asked.before, PAGE).await?;
    let older = fired.last().filter(|_| fired.len() == PAGE as usize).map(|last| {
        format!("/schedules/{id}?before={}#fires", crate::form::encoded(&last.due.to_string()))
    });
    let mut events = site.handle.store().schedule_events(id).await?;
    events.reverse();
    events.truncate(PAGE as usize);
    let said = shown.own.as_ref().and_then(Value::as_object).into_iter().flatten();
    let spec = shown.spec.as_object().into_iter().flatten();
    // What was written, and what holds beyond that.
    let mut all: BTreeMap<&String, &Value> = spec.collect();
    all.extend(said.filter(|(key, _)| *key != "id"));
    Ok(Schedule {
        spec: all.into_iter().map(|(key, value)| (key.clone(), typed(value))).collect(),
        added_by: shown.added_by.clone(),
        is_timed: shown.spec.get("timezone").is_some(),
        count,
        times,
        fires: fired.into_iter().map(|one| Last::new(one, &s)).collect(),
        older,
        events: events.into_iter().map(|row| event(row, &s)).collect(),
        backfill,
        line: Line::new(shown, me, &s),
        s,
    })
}

fn event(row: ScheduleEventRow, words: &Words) -> Event {
    let w = words.schedule;
    let names = [
        w.happened_added,
        w.happened_changed,
        w.happened_removed,
        w.happened_paused,
        w.happened_resumed,
        w.happened_ended,
        w.happened_set_back,
    ];
    Event {
        at: At::new(row.at),
        what: names.get(usize::from(row.kind)).copied().unwrap_or_default(),
        by: row.by.unwrap_or_default(),
    }
}

/// Pauses it, or lets it go on; then back to where the button was.
pub(crate) async fn pause(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Redirect, PageError> {
    let is_paused = match fields.text("do") {
        "pause" => true,
        "resume" => false,
        other => return Err(PageError::bad(format!("`{other}` can't be done to a schedule"))),
    };
    schedules::pause(&site, (&me, &origin), id, is_paused).await?;
    let own = format!("/schedules/{id}");
    Ok(Redirect::to(fields.get("back").map_or(own.as_str(), own_page)))
}

/// Takes away one that was added.
pub(crate) async fn remove(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
) -> Result<Redirect, PageError> {
    schedules::remove(&site, (&me, &origin), id).await?;
    Ok(Redirect::to("/schedules"))
}

pub(crate) async fn backfill(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let shown = schedules::one(&site, &me, id, Role::Operator).await?;
    // Whoever looks again sees the schedule, and begins nothing.
    let mut s = s;
    s.address = format!("/schedules/{id}");
    let parallel = fields.text("parallel").trim().parse::<u32>().unwrap_or(1).clamp(1, 100);
    let span = Span {
        from: fields.text("from").trim().to_owned(),
        to: fields.text("to").trim().to_owned(),
        parallel,
        is_preview: fields.text("do") != "go",
    };
    let mut form =
        Backfill { from: span.from.clone(), to: span.to.clone(), parallel, ..Backfill::default() };
    let mut status = StatusCode::OK;
    match schedules::backfill(&site, (&me, &origin), id, span).await {
        Ok(found) => {
            form.runs =
                found["runs"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            if form.runs.is_empty() {
                form.preview = Time::all(&found["times"]);
            }
        }
        Err(error) if error.kind == Kind::Bad => {
            status = StatusCode::UNPROCESSABLE_ENTITY;
            form.wrong.push(error.detail);
        }
        Err(error) => return Err(error),
    }
    let asked = Asked { n: None, before: None };
    Ok((status, Page(page(&site, s, &me, shown, &asked, form).await?)).into_response())
}
