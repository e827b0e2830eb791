//! Flows, and beginning a run of one.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::flow::ParamKind;
use weir_core::flow::compile::{Choice, Compiled};
use weir_engine::begin::Begin;
use weir_engine::people::Role;
use weir_engine::plan;

use crate::address::{Path, Query};
use crate::api::{Body, List, limit, once};
use crate::error::PageError;
use crate::flows;
use crate::form;
use crate::pages::begin::note;
use crate::site::Shared;
use crate::who::{Origin, Who};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    cursor: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<List>, PageError> {
    let limit = limit(asked.limit)? as usize;
    let after = asked.cursor.unwrap_or_default();
    let key = |flow: &flows::Known| format!("{}/{}", flow.project, flow.name);
    let mut known = flows::all(&site, &me).await?;
    known.sort_by_key(key);
    known.retain(|flow| key(flow) > after);
    let is_more = known.len() > limit;
    known.truncate(limit);
    let next = known.last().filter(|_| is_more).map(key);
    let items = known
        .into_iter()
        .map(|flow| {
            json!({
                "project": flow.project, "flow": flow.name, "title": flow.title,
                "labels": flow.labels.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                "has_mistakes": flow.mistakes.is_some(),
            })
        })
        .collect();
    Ok(Json(List { items, next }))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Json<Value>, PageError> {
    let project = form::project(&project);
    me.must(Role::Viewer, project)?;
    let loaded = flows::load(&site, project, &name).await?;
    let compiled = &loaded.compiled;
    let jobs: Vec<Value> = plan::jobs(compiled)
        .into_iter()
        .map(|(path, ix)| {
            let job = compiled.job(ix);
            json!({
                "path": path, "title": job.title, "uses": job.uses.as_ref().map(|uses| &uses.job_type),
                "needs": job.needs.iter().map(|need| &need.source).collect::<Vec<_>>(),
                "destroys": job.destroys.as_ref().map(|words| &words.source),
            })
        })
        .collect();
    Ok(Json(json!({ "flow": {
        "project": project, "flow": compiled.flow.name, "title": compiled.flow.title,
        "description": compiled.flow.description, "labels": compiled.flow.labels,
        "version": loaded.version.hash, "params": params(compiled), "jobs": jobs,
    } })))
}

fn params(compiled: &Compiled) -> Vec<Value> {
    compiled
        .flow
        .params
        .iter()
        .map(|param| {
            let is_secret = param.kind == ParamKind::Secret;
            json!({
                "name": param.name, "type": param.kind, "enum": param.choices, "pattern": param.pattern,
                "min": param.min, "max": param.max, "description": param.description,
                "default": if is_secret { None } else { param.default.as_ref() },
                "required": param.default.is_none(),
            })
        })
        .collect()
}

/// What a run is begun with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct New {
    params: Map<String, Value>,
    confirm: Vec<String>,
    only: Vec<String>,
    from: Vec<String>,
    skip: Vec<String>,
}

pub(crate) async fn begin(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path((project, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(new): Body<New>,
) -> Result<Response, PageError> {
    let project = form::project(&project);
    me.must(Role::Operator, project)?;
    let asked = json!([project, name, new.params, new.confirm, new.only, new.from, new.skip]);
    let mut what = String::new();
    let begun = once::begin(&site, &me, &headers, &asked, async || {
        let loaded = flows::load(&site, project, &name).await?;
        what = format!("{}/{}", loaded.version.project, loaded.version.flow);
        Ok(Begin {
            params: new.params,
            confirm: new.confirm,
            choice: Choice { only: new.only, from: new.from, skip: new.skip },
            ..Begin::flow(loaded, &me.name)
        })
    });
    let begun = begun.await?;
    if begun.is_new {
        let after = Some(format!("run {}", begun.run));
        note(&site, &me, &origin, "run.begin", &what, after).await?;
    }
    Ok(made(begun.run.0))
}

/// A run that was begun.
pub(crate) fn made(run: i64) -> Response {
    let address = format!("/api/v1/runs/{run}");
    let mut response = (StatusCode::CREATED, Json(json!({ "run": { "id": run } }))).into_response();
    if let Ok(value) = HeaderValue::from_str(&address) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}
