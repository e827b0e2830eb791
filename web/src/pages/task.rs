//! A task: its attempts, its log, what was recognised, what is asked, what it left behind; and what a person does to it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::diagnose::{compile_pattern, draft_entry, draft_pattern};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::run::{Act, Answer, Question, TaskState};
use weir_engine::Wish;
use weir_engine::engine::{attempt_folder, wall_clock};
use weir_engine::logs::{self as engine_logs, Follow};
use weir_engine::people::Role;
use weir_engine::view::{self, DiagnosisView, Opened, TaskView};

use crate::address::{Path, Query};
use crate::clock::{self, At};
use crate::error::PageError;
use crate::form::{Fields, encoded, task_address};
use crate::logs::{self, Line};
use crate::pages::begin::note;
use crate::pages::field::{Field, typed};
use crate::pages::run::{allowed, read};
use crate::picture::dag::mark;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site, stopped};
use crate::who::{Origin, Who};

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    s: Shell,
    run: i64,
    flow: String,
    task: TaskView,
    task_mark: &'static str,
    title: Option<String>,
    item: Option<String>,
    is_open: bool,
    may_act: bool,
    acts: Vec<(&'static str, &'static str)>,
    rerun: Option<String>,
    question: Option<Asked>,
    diagnoses: Vec<Diagnosis>,
    attempts: Vec<AttemptLine>,
    attempt: u32,
    size: String,
    q: String,
    found: Option<Vec<Line>>,
    is_found_cut: bool,
    here: String,
    first_error: String,
    download: String,
    before: Option<u64>,
    after: Option<u64>,
    tail: Option<String>,
    lines: Vec<Line>,
    picks: bool,
    may_pick: bool,
    with: Option<String>,
    outputs: Option<String>,
}

struct Asked {
    words: String,
    fields: Vec<Field>,
    choices: Vec<(&'static str, &'static str, String)>,
}

struct Diagnosis {
    signature: String,
    words: String,
    attempt: u32,
    then: String,
    result: Option<String>,
    entry: Option<String>,
    advice: Vec<String>,
    around: Vec<(String, bool)>,
    href: Option<String>,
}

struct AttemptLine {
    number: u32,
    href: String,
    state: &'static str,
    said: &'static str,
    mark: &'static str,
    exit: String,
    at: At,
    took: String,
    message: String,
}

/// Which task, which attempt, which part of its log.
#[derive(Deserialize)]
pub(crate) struct Which {
    pub(crate) path: String,
    pub(crate) attempt: Option<u32>,
    at: Option<u64>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    pick: u8,
    #[serde(default)]
    from: u64,
}

/// Finds a task of a run.
fn find(opened: &Opened, path: &str) -> Result<TaskIx, PageError> {
    opened.find(path).ok_or_else(PageError::no_page)
}

/// The folder of an attempt; of the last one if no number is given.
pub(crate) async fn folder(
    site: &Site,
    id: i64,
    path: &str,
    attempt: Option<u32>,
) -> Result<(PathBuf, u32, bool), PageError> {
    let opened = view::open(site.handle.store(), site.handle.library(), RunId(id)).await?;
    let task = find(&opened, path)?;
    let at = &opened.run.tasks()[task.at()];
    let number = attempt.unwrap_or(at.attempt);
    if number == 0 || number > at.attempt {
        return Err(PageError::no_page());
    }
    let attempt = AttemptId { run: RunId(id), task, number };
    let is_open = number == at.attempt && at.state.is_active();
    Ok((attempt_folder(site.handle.store().home(), attempt), number, is_open))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let mut run = read(&site, &me, id).await?;
    let opened = view::open(site.handle.store(), site.handle.library(), RunId(id)).await?;
    let ix = find(&opened, &which.path)?;
    let place = run.tasks.iter().position(|task| task.path == which.path);
    let task = run.tasks.swap_remove(place.ok_or_else(PageError::no_page)?);
    let job = opened.compiled.job(opened.run.tasks()[ix.at()].job);
    let state = opened.run.tasks()[ix.at()].state;
    let may_act = me.may(Role::Operator, &run.project);
    let last = task.attempts.last().map_or(0, |attempt| attempt.number);
    let attempt = which.attempt.unwrap_or(last);
    let here = format!("{}&attempt={attempt}", task_address(id, &task.path));

    let mut page = TaskPage {
        run: id,
        flow: run.flow.clone(),
        task_mark: mark(task.state),
        title: job.title.clone(),
        item: task.item.as_ref().map(typed),
        is_open: !state.is_final(),
        may_act,
        acts: acts(&s, state),
        rerun: (run.ended_at.is_some() && !task.path.contains('['))
            .then(|| format!("/runs/{id}/rerun?from=job&job={}", encoded(&task.path))),
        question: asked(&s, state, &task, job.uses.as_ref().map(|uses| &uses.with)),
        diagnoses: task.diagnoses.iter().map(|found| diagnosis(&site, id, &task, found)).collect(),
        attempts: attempts(&s, id, &task),
        attempt,
        size: String::new(),
        q: which.q.clone(),
        found: None,
        is_found_cut: false,
        first_error: format!("{here}&q=error#log"),
        download: format!("/runs/{id}/task/log?path={}&attempt={attempt}", encoded(&task.path)),
        here,
        before: None,
        after: None,
        tail: None,
        lines: Vec::new(),
        picks: which.pick == 1,
        may_pick: false,
        with: job
            .uses
            .as_ref()
            .map(|uses| serde_json::to_string_pretty(&uses.with).unwrap_or_default()),
        outputs: (!task.outputs.is_empty())
            .then(|| serde_json::to_string_pretty(&task.outputs).unwrap_or_default()),
        task,
        s,
    };
    if attempt > 0 {
        show_log(&site, &mut page, &which).await?;
    }
    Ok(Page(page).into_response())
}

async fn show_log(site: &Site, page: &mut TaskPage, which: &Which) -> Result<(), PageError> {
    let (folder, number, is_open) = folder(site, page.run, &which.path, Some(page.attempt)).await?;
    let (at, q) = (which.at, which.q.trim().to_owned());
    let (window, found) = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        let found = if q.is_empty() { None } else { Some(logs::search(&folder, &q)?) };
        Ok((logs::window(&folder, at)?, found))
    })
    .await
    .map_err(PageError::broken)??;
    page.size = clock::bytes(window.size);
    page.before = window.before;
    page.after = window.after;
    if is_open && at.is_none() && !page.picks {
        page.tail = Some(format!(
            "/runs/{}/task/live?path={}&attempt={number}&from={}",
            page.run,
            encoded(&which.path),
            window.end
        ));
    }
    page.may_pick = !window.lines.is_empty() && !is_open;
    page.lines = window.lines;
    if let Some((lines, is_cut)) = found {
        page.found = Some(lines);
        page.is_found_cut = is_cut;
    }
    Ok(())
}

/// What a person may do to a task in this state.
fn acts(s: &Shell, state: TaskState) -> Vec<(&'static str, &'static str)> {
    let mut acts = Vec::new();
    if state == TaskState::Retrying {
        acts.push(("retry", s.act_retry));
    }
    if !state.is_final() && !state.is_active() {
        acts.push(("skip", s.act_skip));
        acts.push(("succeed", s.act_succeed));
        acts.push(("fail", s.act_fail));
    }
    acts
}

fn asked(s: &Shell, state: TaskState, task: &TaskView, with: Option<&Value>) -> Option<Asked> {
    let TaskState::Asking(question) = state else { return None };
    // The engine says in English what exactly comes of it.
    let says = match (&task.approve, s.lang) {
        (Some(words), crate::words::Lang::En) => words.as_str(),
        (Some(_) | None, _) => s.answer_approve_says,
    };
    let approve = ("approve", s.answer_approve, says);
    let reject = ("reject", s.answer_reject, s.answer_reject_says);
    let retry = ("retry", s.answer_retry, s.answer_retry_says);
    let go_on = ("continue", s.answer_continue, s.answer_continue_says);
    let (choices, fields) = match question {
        Question::Approval => {
            let fields = with.and_then(|with| weir_core::form::fields(with).ok());
            (vec![approve, reject], fields.unwrap_or_default())
        }
        Question::Confirm => (vec![approve, reject], Vec::new()),
        Question::Judgement
        | Question::Unknown
        | Question::Diagnosed(_)
        | Question::Remedied(_)
        | Question::Repeated(_)
        | Question::RemedyFailed(_) => (vec![approve, retry, go_on, reject], Vec::new()),
    };
    Some(Asked {
        words: task.reason.clone().unwrap_or_default(),
        fields: fields.iter().map(Field::question).collect(),
        choices: choices
            .into_iter()
            .map(|(name, said, says)| (name, said, says.to_owned()))
            .collect(),
    })
}

fn diagnosis(site: &Site, run: i64, task: &TaskView, found: &DiagnosisView) -> Diagnosis {
    let evidence = &found.evidence;
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(typed).collect()
    };
    let around = list(&evidence["evidence"]);
    let around = if around.is_empty() { vec![typed(&evidence["text"])] } else { around };
    let entry = site.handle.library().catalogue.get(&found.signature);
    Diagnosis {
        signature: found.signature.clone(),
        words: typed(&evidence["diagnosis"]),
        attempt: found.attempt,
        then: found.then.clone(),
        result: found.result.clone(),
        entry: entry.map(|entry| format!("/catalogue/{}", encoded(&entry.id))),
        advice: list(&evidence["advice"]),
        around: around
            .into_iter()
            .zip(evidence["evidence_from"].as_u64().unwrap_or_default()..)
            .map(|(line, number)| (line, evidence["line"].as_u64() == Some(number)))
            .collect(),
        href: evidence["offset"].as_u64().map(|at| {
            format!("{}&attempt={}&at={at}#o{at}", task_address(run, &task.path), found.attempt)
        }),
    }
}

fn attempts(s: &Shell, run: i64, task: &TaskView) -> Vec<AttemptLine> {
    let now = wall_clock();
    task.attempts
        .iter()
        .map(|attempt| AttemptLine {
            number: attempt.number,
            href: format!("{}&attempt={}#log", task_address(run, &task.path), attempt.number),
            state: attempt.state,
            said: s.state(attempt.state),
            mark: mark(attempt.state),
            exit: match (attempt.exit_code, attempt.signal) {
                (Some(code), _) => code.to_string(),
                (None, Some(signal)) => format!("SIG {signal}"),
                (None, None) => String::new(),
            },
            at: At::new(attempt.started_at),
            took: clock::between(Some(attempt.started_at), attempt.ended_at, now),
            message: attempt.message.clone().unwrap_or_default(),
        })
        .collect()
}

/// The whole log as it is.
pub(crate) async fn download(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let (folder, number, _) = folder(&site, id, &which.path, which.attempt).await?;
    let body = whole(folder);
    let plain: String = which
        .path
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' })
        .collect();
    let name = format!("attachment; filename=\"run-{id}-{plain}-{number}.log\"");
    let kind = "text/plain; charset=utf-8".to_owned();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], body).into_response())
}

/// A log from its beginning to its end as of now, piece by piece.
pub(crate) fn whole(folder: PathBuf) -> axum::body::Body {
    const PIECE: u64 = 256 * 1024;
    let pieces = stream::unfold(0_u64, move |at| {
        let folder = folder.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut reader = match engine_logs::Reader::open(&folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(Vec::new());
                    }
                    reader => reader?,
                };
                reader.read(at..at + PIECE)
            });
            match read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => Some((Ok(bytes), at + PIECE)),
                Err(error) => Some((Err(error), u64::MAX - PIECE)),
            }
        }
    });
    axum::body::Body::from_stream(pieces)
}

/// The log as it grows: lines that are ready to be shown.
pub(crate) async fn live(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(which): Query<Which>,
    headers: axum::http::HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let (folder, ..) = folder(&site, id, &which.path, which.attempt).await?;
    // A browser that comes back says what it has seen.
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let from: u64 = seen.unwrap_or(which.from);
    let mut stopping = site.stopping.clone();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Event>(4);
    let path = which.path.clone();
    tokio::spawn(async move {
        let mut follow = Follow::new(&folder, from);
        let mut at = from;
        let mut rest: Vec<u8> = Vec::new();
        loop {
            let piece = tokio::select! {
                () = sender.closed() => return,
                () = stopped(&mut stopping) => return,
                piece = follow.next() => piece,
                // Work without processes leaves no end in its folder: the task tells.
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    match self::folder(&site, id, &path, which.attempt).await {
                        Ok((_, _, true)) => continue,
                        _ => match follow.rest() {
                            Ok(bytes) if !bytes.is_empty() => Ok(Some(bytes)),
                            _ => Ok(None),
                        },
                    }
                }
            };
            let bytes = match piece {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!("a log can't be followed: {error}");
                    break;
                }
            };
            rest.extend_from_slice(&bytes);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole == 0 {
                continue;
            }
            let lines: Vec<u8> = rest.drain(..whole).collect();
            if sender.send(event(&lines, at)).await.is_err() {
                return;
            }
            at += whole as u64;
        }
        if !rest.is_empty() && sender.send(event(&rest, at)).await.is_err() {
            return;
        }
        let _ = sender.send(Event::default().event("end").data("-")).await;
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn event(bytes: &[u8], at: u64) -> Event {
    let lines: Vec<Value> = logs::lines(bytes, at)
        .into_iter()
        .map(|line| serde_json::json!({ "at": line.at, "html": line.html }))
        .collect();
    let end = at + bytes.len() as u64;
    Event::default().event("lines").id(end.to_string()).data(Value::from(lines).to_string())
}

pub(crate) async fn act(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Redirect, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let path = fields.text("path");
    carry_out(&site, &me, &origin, id, path, fields.text("act")).await?;
    Ok(Redirect::to(&task_address(id, path)))
}

/// Does something to a task.
pub(crate) async fn carry_out(
    site: &Site,
    me: &Who,
    origin: &Origin,
    id: i64,
    path: &str,
    name: &str,
) -> Result<(), PageError> {
    let act = match name {
        "skip" => Act::Skip,
        "succeed" => Act::Succeed,
        "fail" => Act::Fail,
        "retry" => Act::RetryNow,
        _ => return Err(PageError::bad(format!("`{name}` can't be done to a task"))),
    };
    let wish = Wish::Task { path: path.to_owned(), act };
    site.handle.wish(RunId(id), wish, &me.name).await?;
    note(site, me, origin, &format!("task.{name}"), &format!("run {id} {path}"), None).await
}

pub(crate) async fn answer(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Redirect, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let mut values = Map::new();
    for (name, value) in &fields.0 {
        if let Some(name) = name.strip_prefix("p.")
            && !value.is_empty()
        {
            values.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    let path = fields.text("path");
    give(&site, &me, &origin, id, path, fields.text("answer"), values).await?;
    Ok(Redirect::to(&task_address(id, path)))
}

/// Answers a task.
pub(crate) async fn give(
    site: &Site,
    me: &Who,
    origin: &Origin,
    id: i64,
    path: &str,
    name: &str,
    values: Map<String, Value>,
) -> Result<(), PageError> {
    let answer = match name {
        "approve" => Answer::Approve,
        "reject" => Answer::Reject,
        "retry" => Answer::Retry,
        "continue" => Answer::Continue,
        _ => return Err(PageError::bad(format!("`{name}` is no answer"))),
    };
    let after = (!values.is_empty()).then(|| Value::Object(values.clone()).to_string());
    let values = values.into_iter().collect();
    let wish = Wish::Answer { path: path.to_owned(), answer, values };
    site.handle.wish(RunId(id), wish, &me.name).await?;
    note(site, me, origin, &format!("task.{name}"), &format!("run {id} {path}"), after).await
}

#[derive(Template)]
#[template(path = "draft.html")]
struct Draft {
    s: Shell,
    run: i64,
    path: String,
    back: String,
    entry: String,
    matches: Vec<String>,
}

/// The draft of an entry of the catalogue from chosen lines, its pattern tried against the log.
pub(crate) async fn draft(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let fields = Fields(fields);
    let path = fields.text("path").to_owned();
    let attempt = fields.get("attempt").and_then(|number| number.parse().ok());
    let (folder, number, _) = folder(&site, id, &path, attempt).await?;
    let chosen: Vec<u64> = fields.all("l").filter_map(|at| at.parse().ok()).take(20).collect();
    let (draft, matches) = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        const MOST: u64 = 16 * 1024 * 1024;
        let mut reader = engine_logs::Reader::open(&folder)?;
        let mut lines = Vec::new();
        for at in chosen {
            let bytes = reader.read(at..at + 4096)?;
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let draft = draft_entry(&lines);
        let size = reader.size()?;
        let text = reader.read(size.saturating_sub(MOST)..size)?;
        let text = String::from_utf8_lossy(&text);
        let pattern = draft_pattern(&lines);
        let matches =
            compile_pattern(&pattern).ok().filter(|_| !pattern.is_empty()).map(|pattern| {
                let found = text.lines().filter(|line| pattern.is_match(line.as_bytes()));
                found.take(200).map(str::to_owned).collect()
            });
        let matches: Vec<String> = matches.unwrap_or_default();
        Ok((draft, matches))
    })
    .await
    .map_err(PageError::broken)??;
    let back = format!("{}&attempt={number}", task_address(id, &path));
    Ok(Page(Draft { s, run: id, path, back, entry: draft, matches }).into_response())
}
