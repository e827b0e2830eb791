//! A task: its attempts, a part of its log, what was recognised, what is asked, what it left behind; and what a person
//! does to it.

use std::path::PathBuf;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::run::{Act, Answer, Question, TaskState};
use weir_engine::Wish;
use weir_engine::engine::{attempt_folder, wall_clock};
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
use crate::site::{Shared, Site};
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
    no_error: bool,
    look_on: Option<String>,
    looked_to: String,
    here: String,
    first_error: String,
    download: String,
    before: Option<u64>,
    after: Option<u64>,
    tail: Option<String>,
    lines: Vec<Line>,
    has_times: bool,
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
    /// `error`: go to the first line that looks like one.
    #[serde(default)]
    jump: String,
    #[serde(default)]
    pick: u8,
    /// From where to look or to follow on.
    #[serde(default)]
    pub(crate) from: u64,
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
        no_error: false,
        look_on: None,
        looked_to: String::new(),
        first_error: format!("{here}&jump=error"),
        download: format!("/runs/{id}/task/log?path={}&attempt={attempt}", encoded(&task.path)),
        here,
        before: None,
        after: None,
        tail: None,
        lines: Vec::new(),
        has_times: false,
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
    if attempt > 0
        && let Some(line) = show_log(&site, &mut page, &which).await?
    {
        return Ok(Redirect::to(&format!("{}&at={line}#o{line}", page.here)).into_response());
    }
    Ok(Page(page).into_response())
}

/// Puts the part of the log that is asked for into the page; or says to which line to go instead.
async fn show_log(
    site: &Site,
    page: &mut TaskPage,
    which: &Which,
) -> Result<Option<u64>, PageError> {
    /// The most lines that one look finds.
    const MOST_FOUND: usize = 200;
    let (folder, number, is_open) = folder(site, page.run, &which.path, Some(page.attempt)).await?;
    let q = which.q.trim();
    let jumps = which.jump == "error";
    let pattern = match q {
        _ if jumps => Some(logs::error_pattern()),
        "" => None,
        text => Some(logs::text_pattern(text).map_err(|error| PageError::bad(error.to_string()))?),
    };
    let (at, from) = (which.at, which.from);
    let most = if jumps { 1 } else { MOST_FOUND };
    let (window, found) = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        let search = |pattern| logs::search(&folder, &pattern, from, most);
        let found = pattern.map(search).transpose()?;
        Ok((logs::window(&folder, at)?, found))
    })
    .await
    .map_err(PageError::broken)??;
    if let Some(found) = found {
        if jumps && let Some(line) = found.lines.first() {
            return Ok(Some(line.at));
        }
        page.no_error = jumps;
        let more = if jumps { "&jump=error".to_owned() } else { format!("&q={}", encoded(q)) };
        page.looked_to = clock::bytes(found.next.unwrap_or(window.size));
        page.look_on = found.next.map(|next| format!("{}{more}&from={next}#log", page.here));
        page.found = (!jumps).then_some(found.lines);
    }
    page.size = clock::bytes(window.size);
    page.before = window.before;
    page.after = window.after;
    page.has_times = window.has_times;
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
    Ok(None)
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
