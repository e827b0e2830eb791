//! A run: graph, tasks, timeline, what it asks; live while it moves; and what a person does to it as a whole.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use weir_core::ids::RunId;
use weir_core::run::RunState;
use weir_engine::Wish;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::view::{self, Opened, RunView, TaskView};

use crate::address::{Path, Query};
use crate::clock::{self, At};
use crate::error::PageError;
use crate::form::{Fields, flow_address, task_address};
use crate::pages::begin::note;
use crate::pages::field::typed;
use crate::pages::lines::short;
use crate::pages::since::Since;
use crate::picture::dag::{Dag, mark};
use crate::picture::gantt::Gantt;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site, stopped};
use crate::who::{Origin, Who};
use crate::words::Words;

/// Tasks that are listed.
const MOST: usize = 2_000;
/// Events of a page.
const EVENTS: u64 = 500;

#[derive(Template)]
#[template(path = "run.html")]
pub(crate) struct RunPage {
    s: Shell,
    flow_href: String,
    live: Live,
}

/// The part of the page that changes.
#[derive(Template)]
#[template(path = "live.html")]
pub(crate) struct Live {
    s: Shell,
    run: RunView,
    run_mark: &'static str,
    is_open: bool,
    may_act: bool,
    begun: Option<At>,
    version: String,
    asks: Vec<Asks>,
    found: Vec<Found>,
    dag: Dag,
    tasks: Vec<TaskLine>,
    is_cut: bool,
    gantt: Gantt,
    params: Vec<(String, String)>,
    since: Option<Since>,
}

struct Asks {
    path: String,
    href: String,
    words: String,
}

struct Found {
    signature: String,
    path: String,
    href: String,
    words: String,
    line: String,
}

struct TaskLine {
    name: String,
    href: String,
    depth: u32,
    uses: String,
    item: Option<String>,
    state: &'static str,
    said: &'static str,
    mark: &'static str,
    attempts: usize,
    took: String,
    reason: String,
}

/// Reads a run that somebody may see.
pub(crate) async fn read(site: &Site, me: &Who, id: i64) -> Result<RunView, PageError> {
    Ok(read_all(site, me, id).await?.0)
}

/// As [`read`], with what its numbers mean.
async fn read_all(site: &Site, me: &Who, id: i64) -> Result<(RunView, Opened), PageError> {
    allowed(site, me, id, Role::Viewer).await?;
    let id = RunId(id);
    let ready = site.handle.why_ready(id).await;
    let why = site.handle.why_queued(id).await;
    let opened = view::open(site.handle.store(), site.handle.library(), id).await?;
    let mut run = view::shown(site.handle.store(), &opened, &ready).await?;
    run.reason = run.reason.or(why);
    Ok((run, opened))
}

/// Refuses if somebody may not do so much in the project of a run.
pub(crate) async fn allowed(
    site: &Site,
    me: &Who,
    id: i64,
    role: Role,
) -> Result<String, PageError> {
    let row = site.handle.store().run(RunId(id)).await?.ok_or_else(PageError::no_page)?;
    me.must(role, &row.project)?;
    Ok(row.project)
}

pub(crate) fn is_open(run: &RunView) -> bool {
    !RunState::named(run.state).is_some_and(RunState::is_final)
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
) -> Result<Page<RunPage>, PageError> {
    let live = look(&site, s, &me, id).await?;
    let flow_href = flow_address(&live.run.project, &live.run.flow);
    Ok(Page(RunPage { s: live.s.clone(), flow_href, live }))
}

pub(crate) async fn live(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
) -> Result<Page<Live>, PageError> {
    Ok(Page(look(&site, s, &me, id).await?))
}

async fn look(site: &Site, s: Shell, me: &Who, id: i64) -> Result<Live, PageError> {
    let (run, opened) = read_all(site, me, id).await?;
    let now = wall_clock();
    let dag = Dag::new(&opened.compiled, Words::of(s.lang), Some((id, &opened.run)));
    let asks = run
        .tasks
        .iter()
        .filter(|task| task.state == "asking")
        .map(|task| Asks {
            path: task.path.clone(),
            href: task_address(id, &task.path),
            words: task.reason.clone().unwrap_or_default(),
        })
        .collect();
    let found = run.tasks.iter().flat_map(|task| found(id, task)).take(50).collect();
    let params = match &run.params {
        Value::Object(params) => {
            params.iter().map(|(name, value)| (name.clone(), typed(value))).collect()
        }
        _ => Vec::new(),
    };
    Ok(Live {
        run_mark: mark(run.state),
        is_open: is_open(&run),
        may_act: me.may(Role::Operator, &run.project),
        begun: run.started_at.map(At::new),
        version: short(&run.version),
        asks,
        found,
        dag,
        tasks: run.tasks.iter().take(MOST).map(|task| line(id, task, &s, now)).collect(),
        is_cut: run.tasks.len() > MOST,
        gantt: Gantt::new(&run, now),
        since: Since::find(site, &run, now).await?,
        params,
        run,
        s,
    })
}

fn found(run: i64, task: &TaskView) -> Vec<Found> {
    task.diagnoses
        .iter()
        .map(|diagnosis| Found {
            signature: diagnosis.signature.clone(),
            path: task.path.clone(),
            href: task_address(run, &task.path),
            words: typed(&diagnosis.evidence["diagnosis"]),
            line: typed(&diagnosis.evidence["text"]),
        })
        .collect()
}

fn line(run: i64, task: &TaskView, words: &Words, now: weir_core::time::Timestamp) -> TaskLine {
    let first = task.attempts.first().map(|attempt| attempt.started_at);
    let last = task.attempts.last().and_then(|attempt| attempt.ended_at);
    // Behind what holds it, its last name tells enough.
    let name = if task.depth == 0 {
        task.path.clone()
    } else {
        task.path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    TaskLine {
        name,
        href: task_address(run, &task.path),
        depth: task.depth.min(6),
        uses: task.uses.clone().unwrap_or_default(),
        item: task.item.as_ref().map(typed),
        state: task.state,
        said: words.state(task.state),
        mark: mark(task.state),
        attempts: task.attempts.len(),
        took: clock::between(first, last, now),
        reason: task.reason.clone().unwrap_or_default(),
    }
}

/// Tells a page that something has happened in its run; the page then asks for what changed.
pub(crate) async fn stream(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    let mut events = site.handle.watch();
    allowed(&site, &me, id, Role::Viewer).await?;
    let mut stopping = site.stopping.clone();
    let is_over =
        site.handle.store().run(RunId(id)).await?.is_none_or(|row| row.ended_at.is_some());
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut is_over = is_over;
        // At the beginning, too: what happened before the page listened is not to be missed.
        if sender.send(false).await.is_err() {
            return;
        }
        while !is_over {
            tokio::select! {
                () = sender.closed() => return,
                () = stopped(&mut stopping) => return,
                heard = events.recv() => match heard {
                    Ok(rows) => {
                        let own = rows.iter().filter(|row| row.run == RunId(id));
                        let mut is_own = rows.is_empty();
                        for row in own {
                            is_own = true;
                            is_over |= row.task.is_none()
                                && RunState::from_code(row.kind.wrapping_sub(32)).is_some_and(RunState::is_final);
                        }
                        // A page that has not yet heard of the last change will look at this one, too.
                        if is_own && !is_over {
                            let _ = sender.try_send(false);
                        }
                    }
                    Err(RecvError::Lagged(_)) => { let _ = sender.try_send(false); }
                    Err(RecvError::Closed) => return,
                },
            }
        }
        let _ = sender.send(true).await;
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let is_over = receiver.recv().await?;
        let event = Event::default().event(if is_over { "end" } else { "change" }).data("-");
        Some((Ok(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

pub(crate) async fn act(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Redirect, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let name = fields.text("wish");
    wish(&site, &me, &origin, id, name).await?;
    Ok(Redirect::to(&format!("/runs/{id}")))
}

/// Does something to a run as a whole.
pub(crate) async fn wish(
    site: &Site,
    me: &Who,
    origin: &Origin,
    id: i64,
    name: &str,
) -> Result<(), PageError> {
    let wish = match name {
        "cancel" => Wish::Cancel,
        "kill" => Wish::Kill,
        "pause" => Wish::Pause,
        "resume" => Wish::Resume,
        _ => return Err(PageError::bad(format!("`{name}` can't be done to a run"))),
    };
    site.handle.wish(RunId(id), wish, &me.name).await?;
    note(site, me, origin, &format!("run.{name}"), &format!("run {id}"), None).await
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    s: Shell,
    run: i64,
    lines: Vec<EventLine>,
    next: Option<String>,
}

struct EventLine {
    seq: i64,
    at: At,
    kind: String,
    path: String,
    attempt: String,
    by: String,
    detail: String,
}

#[derive(Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    after: i64,
}

pub(crate) async fn events(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(After { after }): Query<After>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let opened = view::open(site.handle.store(), site.handle.library(), RunId(id)).await?;
    let rows = site.handle.store().events(RunId(id), after, EVENTS).await?;
    let next = (rows.len() as u64 == EVENTS)
        .then(|| rows.last().map(|row| format!("/runs/{id}/events?after={}", row.seq)))
        .flatten();
    let lines = rows
        .iter()
        .map(|row| {
            let value = weir_engine::api::event_view(row, &opened);
            EventLine {
                seq: row.seq,
                at: At::new(row.at),
                kind: typed(&value["kind"]),
                path: typed(&value["path"]),
                attempt: row
                    .attempt
                    .filter(|number| *number > 0)
                    .map(|n| n.to_string())
                    .unwrap_or_default(),
                by: row.by.clone().unwrap_or_default(),
                detail: typed(&value["detail"]),
            }
        })
        .collect();
    Ok(Page(Events { s, run: id, lines, next }).into_response())
}
