//! Starting a flow: its form, its plan, and the words against what it destroys.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value};
use weir_core::flow::compile::Choice;
use weir_engine::begin::Begin;
use weir_engine::library::Loaded;
use weir_engine::people::Role;
use weir_engine::plan;

use crate::address::Path;
use crate::error::{Kind, PageError};
use crate::flows;
use crate::form::{self, Fields, flow_address};
use crate::pages::field::{self, Field};
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::{self, Origin, Who};

#[derive(Template)]
#[template(path = "start.html")]
struct Start {
    s: Shell,
    name: String,
    href: String,
    version: String,
    wrong: Vec<String>,
    fields: Vec<Field>,
    only: String,
    skip: String,
    jobs: Vec<String>,
    destroys: Vec<Destroys>,
    plan: Option<Vec<Step>>,
}

/// What is destroyed, and what was typed against it.
pub(crate) struct Destroys {
    pub(crate) path: String,
    pub(crate) words: String,
    pub(crate) given: String,
    pub(crate) is_missing: bool,
}

struct Step {
    path: String,
    uses: String,
    destroys: Option<String>,
    does: String,
    unknown: Vec<String>,
}

/// What a flow destroys with these values, and whether all of it was confirmed.
pub(crate) fn destroys(
    loaded: &Loaded,
    values: &Map<String, Value>,
    fields: Option<&Fields>,
    choice: &Choice,
) -> Vec<Destroys> {
    let given: Vec<&str> = fields.map(|fields| fields.all("confirm").collect()).unwrap_or_default();
    let all = plan::destroyed(loaded, values);
    // What was typed must be right; what was left empty is asked again when the job's turn comes.
    let is_odd =
        given.iter().any(|given| !given.is_empty() && !all.iter().any(|(_, words)| words == given));
    let is_left_out = |path: &str| {
        let holds = |job: &String| path == job || path.starts_with(&format!("{job}/"));
        choice.skip.iter().any(holds) || !(choice.only.is_empty() || choice.only.iter().any(holds))
    };
    all.into_iter()
        .filter(|(path, _)| !is_left_out(path))
        .map(|(path, words)| {
            let is_given = given.contains(&words.as_str());
            Destroys {
                given: if is_given { words.clone() } else { String::new() },
                is_missing: !is_given && is_odd,
                path,
                words,
            }
        })
        .collect()
}

pub(crate) async fn form(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let project = form::project(&project);
    me.must(Role::Operator, project)?;
    let loaded = flows::load(&site, project, &name).await?;
    let destroys = destroys(&loaded, &Map::new(), None, &Choice::default());
    Ok(Page(page(s, &loaded, project, None, Vec::new(), destroys)).into_response())
}

pub(crate) async fn start(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    origin: Origin,
    Path((project, name)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, PageError> {
    let project = form::project(&project);
    me.must(Role::Operator, project)?;
    let loaded = flows::load(&site, project, &name).await?;
    let values = field::params(&loaded.compiled.flow.params, &fields);
    let choice = choice(&fields);
    let destroys = destroys(&loaded, &values, Some(&fields), &choice);
    let bad = field::wrong(&loaded.compiled.flow.params, &values);
    let is_go = fields.text("do") == "go";
    let is_other = fields.text("version") != loaded.version.hash;
    let mut wrong = Vec::new();
    if is_go && is_other {
        wrong.push(s.version_changed.to_owned());
    }
    if is_go && bad.is_empty() && !is_other && !destroys.iter().any(|one| one.is_missing) {
        match go(&site, &me, &origin, &loaded, values.clone(), &destroys, choice).await {
            Ok(run) => return Ok(Redirect::to(&format!("/runs/{run}")).into_response()),
            Err(error) if error.kind == Kind::Bad => wrong.push(error.detail),
            Err(error) => return Err(error),
        }
    }
    let mut status = StatusCode::OK;
    let mut steps = None;
    if is_go || !bad.is_empty() {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    } else {
        // Keys of hosts are secrets, which no page asks for.
        let ways = |host: &str| Err(format!("{host}: {}", s.way_when_it_runs));
        match plan::steps(site.handle.library(), &loaded, &values, &ways).await {
            Ok(found) => steps = Some(found.into_iter().map(step).collect()),
            Err(why) => wrong.extend(why),
        }
    }
    // The plan is asked for before anything is confirmed: that is not missing yet.
    let mut destroys = destroys;
    for one in &mut destroys {
        one.is_missing &= is_go;
    }
    let mut page = page(s, &loaded, project, Some(&fields), bad, destroys);
    page.wrong.extend(wrong);
    page.plan = steps;
    Ok((status, Page(page)).into_response())
}

async fn go(
    site: &Site,
    me: &Who,
    origin: &Origin,
    loaded: &Loaded,
    values: Map<String, Value>,
    destroys: &[Destroys],
    choice: Choice,
) -> Result<i64, PageError> {
    let confirm = confirmed(destroys);
    let begin = Begin { params: values, confirm, choice, ..Begin::flow(loaded.clone(), &me.name) };
    let run = site.handle.begin(begin).await?;
    let what = format!("{}/{}", loaded.version.project, loaded.version.flow);
    note(site, me, origin, "run.begin", &what, Some(format!("run {run}"))).await?;
    Ok(run.0)
}

/// The words that were given.
pub(crate) fn confirmed(destroys: &[Destroys]) -> Vec<String> {
    destroys.iter().filter(|one| !one.given.is_empty()).map(|one| one.words.clone()).collect()
}

/// Leaves a line in the audit.
pub(crate) async fn note(
    site: &Site,
    me: &Who,
    origin: &Origin,
    what: &str,
    target: &str,
    after: Option<String>,
) -> Result<(), PageError> {
    let note = who::asker(me, origin).note(what, target, None, after);
    Ok(site.handle.store().keep_note(note).await?)
}

fn choice(fields: &Fields) -> Choice {
    let list = |name: &str| {
        fields
            .text(name)
            .split(',')
            .map(str::trim)
            .filter(|job| !job.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Choice { only: list("only"), from: Vec::new(), skip: list("skip") }
}

fn step(step: plan::Step) -> Step {
    let does = step.plan.steps.into_iter().chain(step.plan.diffs).collect::<Vec<_>>().join("\n");
    Step {
        path: step.path,
        uses: step.uses.unwrap_or_default(),
        destroys: step.destroys,
        does,
        unknown: step.plan.unknown,
    }
}

fn page(
    s: Shell,
    loaded: &Loaded,
    project: &str,
    given: Option<&Fields>,
    bad: Vec<(String, String)>,
    destroys: Vec<Destroys>,
) -> Start {
    let flow = &loaded.compiled.flow;
    let mut fields: Vec<Field> =
        flow.params.iter().map(|param| Field::param(param, None, given, &s)).collect();
    let mut wrong = Vec::new();
    for (name, why) in bad {
        match fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.wrong = Some(why),
            None => wrong.push(why),
        }
    }
    Start {
        name: flow.name.clone(),
        href: flow_address(project, &flow.name),
        version: loaded.version.hash.clone(),
        wrong,
        fields,
        only: given.map(|given| given.text("only").to_owned()).unwrap_or_default(),
        skip: given.map(|given| given.text("skip").to_owned()).unwrap_or_default(),
        jobs: plan::jobs(&loaded.compiled).into_iter().map(|(path, _)| path).collect(),
        destroys,
        plan: None,
        s,
    }
}
