//! Adding a schedule to a flow: a form, its next due times before it is added, the values of the flow's parameters.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::flow::compile::Choice;
use weir_core::flow::{Param, ParamKind};
use weir_core::schedule::zones;
use weir_engine::api::Problem;
use weir_engine::begin::BeginError;
use weir_engine::engine::wall_clock;
use weir_engine::library::Loaded;
use weir_engine::people::Role;

use crate::address::{Path, Query};
use crate::clock::At;
use crate::error::{Kind, PageError};
use crate::form::{self, Fields, flow_address};
use crate::pages::begin::{Destroys, confirmed, destroys};
use crate::pages::field::{self, Field};
use crate::pages::schedule::Time;
use crate::schedules;
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::{Origin, Who};

/// Due times that are shown before it is added.
const SHOWN: usize = 5;

#[derive(Template)]
#[template(path = "schedule_form.html")]
struct Form {
    s: Shell,
    name: String,
    href: String,
    wrong: Vec<String>,
    given: Fields,
    kinds: [(&'static str, &'static str); 3],
    misfires: [(&'static str, &'static str); 3],
    zones: Vec<&'static str>,
    fields: Vec<Field>,
    destroys: Vec<Destroys>,
    /// When it would be due.
    times: Option<Vec<Time>>,
}

impl Form {
    /// What was typed.
    fn typed(&self, name: &str) -> &str {
        self.given.text(name)
    }

    /// Whether more was typed than what everybody needs.
    fn has_more(&self) -> bool {
        ["from", "until", "jitter", "catch-up", "calendar"]
            .iter()
            .any(|name| !self.typed(name).is_empty())
            || !matches!(self.typed("misfire"), "" | "run-once")
    }
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    #[serde(default)]
    flow: String,
}

/// The form of a flow that was chosen from a list.
pub(crate) async fn choose(Query(Chosen { flow }): Query<Chosen>) -> Result<Redirect, PageError> {
    let (project, flow) = flow.split_once('/').ok_or_else(PageError::no_page)?;
    Ok(Redirect::to(&format!("{}/schedule", flow_address(project, flow))))
}

pub(crate) async fn form(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let project = form::project(&project);
    me.must(Role::Author, project)?;
    let loaded = loaded(&site, project, &name).await?;
    let destroys = destroys(&loaded, &Map::new(), None, &Choice::default());
    Ok(Page(page(s, &loaded, project, Fields::default(), Vec::new(), destroys)).into_response())
}

/// The flow as it is in effect: schedules are added to that.
async fn loaded(site: &crate::site::Site, project: &str, name: &str) -> Result<Loaded, PageError> {
    match site.handle.flow_in_effect(project, name).await {
        Ok(loaded) => Ok(loaded),
        // A flow that is known but lies in no folder says why; one that is not has no page.
        Err(error @ BeginError::Bad(_))
            if site.handle.store().latest_version(project, name).await?.is_some() =>
        {
            Err(PageError::conflict(Problem::from(error).message))
        }
        Err(BeginError::Bad(_)) => Err(PageError::no_page()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn add(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    origin: Origin,
    Path((project, name)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, PageError> {
    let project = form::project(&project);
    me.must(Role::Author, project)?;
    let loaded = loaded(&site, project, &name).await?;
    let params = &loaded.compiled.flow.params;
    let values = field::params(params, &fields);
    let destroys = destroys(&loaded, &values, Some(&fields), &Choice::default());
    let said = said(&fields, params, &values, confirmed(&destroys));
    let is_go = fields.text("do") == "go";
    let mut bad = field::wrong(params, &values);
    bad.retain(|(name, _)| params.iter().any(|param| param.name == *name && !is_secret(param)));
    let mut wrong = Vec::new();
    let mut times = None;
    if is_go && bad.is_empty() && !destroys.iter().any(|one| one.is_missing) {
        match schedules::add(&site, (&me, &origin), (project, &name), &said).await {
            Ok(id) => return Ok(Redirect::to(&format!("/schedules/{id}")).into_response()),
            Err(error) if matches!(error.kind, Kind::Bad | Kind::Conflict) => {
                wrong.push(error.detail);
            }
            Err(error) => return Err(error),
        }
    } else if bad.is_empty() {
        match site.handle.read_schedule(project, &name, &said).await {
            Ok(schedule) => {
                let mut found = Vec::new();
                let mut at = wall_clock();
                while let Some(due) = schedule.next_after(at).filter(|_| found.len() < SHOWN) {
                    found.push(Time { at: At::new(due), local: schedule.local(due) });
                    at = due;
                }
                times = Some(found);
            }
            Err(error) => {
                let error = PageError::from(error);
                if error.kind != Kind::Bad {
                    return Err(error);
                }
                wrong.push(error.detail);
            }
        }
    }
    let is_fine = times.is_some() && !is_go;
    let status = if is_fine { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let mut page = page(s, &loaded, project, fields, bad, destroys);
    page.wrong.extend(wrong);
    page.times = times;
    Ok((status, Page(page)).into_response())
}

fn is_secret(param: &Param) -> bool {
    param.kind == ParamKind::Secret
}

/// What was typed, in the keys of a flow file.
fn said(
    fields: &Fields,
    params: &[Param],
    values: &Map<String, Value>,
    confirm: Vec<String>,
) -> Map<String, Value> {
    let mut said = Map::new();
    let text = |name: &str| fields.text(name).trim();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            said.insert(key.to_owned(), Value::from(value));
        }
    };
    put("id", text("id"));
    put(
        match text("kind") {
            "every" => "every",
            "at" => "at",
            _ => "cron",
        },
        text("what"),
    );
    for key in ["timezone", "misfire", "from", "until", "jitter", "catch-up"] {
        put(key, text(key));
    }
    // What holds anyway need not be kept.
    if text("misfire") == "run-once" {
        said.remove("misfire");
    }
    if let Ok(count) = text("catch-up").parse::<u32>() {
        said.insert("catch-up".to_owned(), count.into());
    }
    let days: Vec<Value> = text("calendar")
        .split([',', '\n'])
        .map(str::trim)
        .filter(|day| !day.is_empty())
        .map(Value::from)
        .collect();
    if !days.is_empty() {
        said.insert("calendar".to_owned(), days.into());
    }
    let own: Map<String, Value> = params
        .iter()
        .filter(|param| !is_secret(param))
        .filter_map(|param| Some((param, values.get(&param.name)?)))
        // What holds anyway may change with the flow.
        .map(|(param, value)| (param, meant(param.kind, value)))
        .filter(|(param, value)| param.default.as_ref() != Some(value))
        .map(|(param, value)| (param.name.clone(), value))
        .collect();
    if !own.is_empty() {
        said.insert("params".to_owned(), own.into());
    }
    if !confirm.is_empty() {
        said.insert("confirm".to_owned(), confirm.into());
    }
    said
}

/// What was typed, as a value of its parameter's kind.
fn meant(kind: ParamKind, value: &Value) -> Value {
    match (kind, value) {
        (ParamKind::String | ParamKind::Secret, _) => value.clone(),
        (_, Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        (_, _) => value.clone(),
    }
}

fn page(
    s: Shell,
    loaded: &Loaded,
    project: &str,
    given: Fields,
    bad: Vec<(String, String)>,
    destroys: Vec<Destroys>,
) -> Form {
    let flow = &loaded.compiled.flow;
    let known = (!given.0.is_empty()).then_some(&given);
    let mut fields: Vec<Field> = flow
        .params
        .iter()
        .filter(|param| !is_secret(param))
        .map(|param| Field::param(param, None, known, &s))
        .collect();
    for (name, why) in bad {
        if let Some(field) = fields.iter_mut().find(|field| field.name == name) {
            field.wrong = Some(why);
        }
    }
    let w = s.schedule;
    Form {
        name: flow.name.clone(),
        href: flow_address(project, &flow.name),
        wrong: Vec::new(),
        kinds: [("cron", w.cron), ("every", w.every), ("at", w.at)],
        misfires: [
            ("run-once", w.misfire_once),
            ("skip", w.misfire_skip),
            ("run-all", w.misfire_all),
        ],
        zones: zones().collect(),
        fields,
        destroys,
        times: None,
        given,
        s,
    }
}
