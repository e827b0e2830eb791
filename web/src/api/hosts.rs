//! Hosts, projects, and the server itself as a node.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_engine::people::Role;

use crate::address::{Path, Query};
use crate::api::List;
use crate::error::PageError;
use crate::form;
use crate::hosts;
use crate::site::Shared;
use crate::who::Who;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    project: Option<String>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    me: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, PageError> {
    let project = wanted.project.as_deref().map(form::project);
    let mut all = hosts::all(&site, &me).await?;
    all.retain(|host| project.is_none_or(|project| host.project == project));
    Ok(Json(List { items: all.iter().map(|host| json!(host)).collect(), next: None }))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Json<Value>, PageError> {
    let project = form::project(&project);
    let host = hosts::one(&site, &me, (project, &name), Role::Viewer).await?;
    Ok(Json(json!({ "host": host })))
}

/// Goes there now.
pub(crate) async fn look(
    State(site): State<Shared>,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Json<Value>, PageError> {
    let project = form::project(&project);
    let host = hosts::one(&site, &me, (project, &name), Role::Operator).await?;
    hosts::look(&site, &me, project, vec![host.name]).await?;
    let host = hosts::one(&site, &me, (project, &name), Role::Viewer).await?;
    Ok(Json(json!({ "host": host })))
}

/// The projects of flows that are in effect, and of those that ran here.
pub(crate) async fn projects(State(site): State<Shared>, me: Who) -> Result<Json<List>, PageError> {
    let mut flows: BTreeMap<String, usize> = BTreeMap::new();
    for flow in crate::flows::all(&site, &me).await? {
        *flows.entry(flow.project).or_default() += 1;
    }
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for host in hosts::all(&site, &me).await? {
        *hosts.entry(host.project).or_default() += 1;
    }
    let items = flows
        .into_iter()
        .map(|(project, flows)| {
            json!({
                "flows": flows, "hosts": hosts.get(&project).copied().unwrap_or(0),
                "role": me.role_in(&project).map(Role::name), "project": project,
            })
        })
        .collect();
    Ok(Json(List { items, next: None }))
}

/// The processes that serve this home: one.
pub(crate) async fn nodes(State(site): State<Shared>) -> Result<Json<List>, PageError> {
    let trouble = site.handle.trouble().await;
    let unfinished: BTreeMap<&str, usize> =
        crate::metrics::unfinished(&site).await?.into_iter().collect();
    let node = json!({
        "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION"), "started_at": site.started_at,
        "is_well": trouble.is_none(), "trouble": trouble, "unfinished": unfinished,
    });
    Ok(Json(List { items: vec![node], next: None }))
}
