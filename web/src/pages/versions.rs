//! The texts of a flow: what it says now, what it said before, the difference.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use weir_engine::people::Role;

use crate::address::{Path, Query};
use crate::clock::At;
use crate::error::PageError;
use crate::flows;
use crate::form::{self, flow_address};
use crate::pages::lines::{DiffLine, diff, short};
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::Who;

/// Versions that are listed.
const MOST: u64 = 50;

#[derive(Template)]
#[template(path = "versions.html")]
pub(crate) struct Versions {
    s: Shell,
    name: String,
    href: String,
    all: Vec<Version>,
    a: String,
    b: String,
    diff: Vec<DiffLine>,
    source: String,
}

struct Version {
    hash: String,
    short: String,
    at: At,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    a: String,
    #[serde(default)]
    b: String,
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path((project, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Page<Versions>, PageError> {
    let project = form::project(&project);
    me.must(Role::Viewer, project)?;
    let found = site.handle.store().versions(project, &name, MOST).await?;
    let is_known = |hash: &String| found.iter().any(|(one, _)| one == hash);
    let newest = found.first().map(|(hash, _)| hash.clone()).unwrap_or_default();
    let before = found.get(1).map_or_else(|| newest.clone(), |(hash, _)| hash.clone());
    let a = if is_known(&asked.a) { asked.a } else { before };
    let b = if is_known(&asked.b) { asked.b } else { newest };
    let source = if b.is_empty() {
        match flows::load(&site, project, &name).await {
            Ok(loaded) => text_of_blob(&loaded),
            Err(error) if error.detail.is_empty() => return Err(error),
            Err(error) => error.detail,
        }
    } else {
        text(&site, &b).await?
    };
    let diff = if a == b { Vec::new() } else { diff(&text(&site, &a).await?, &source) };
    let all = found
        .into_iter()
        .map(|(hash, at)| Version { short: short(&hash), hash, at: At::new(at) })
        .collect();
    let href = flow_address(project, &name);
    Ok(Page(Versions { s, name, href, all, a, b, diff, source }))
}

fn text_of_blob(loaded: &weir_engine::library::Loaded) -> String {
    let first = loaded.blobs.first();
    first.map(|blob| String::from_utf8_lossy(&blob.content).into_owned()).unwrap_or_default()
}

/// The flow's text in a version, and behind it that of its project.
async fn text(site: &Site, version: &str) -> Result<String, PageError> {
    let texts = site.handle.library().texts(site.handle.store(), version);
    let (source, _) = texts.await.map_err(PageError::broken)?;
    Ok(match source.project {
        Some(project) => format!("{}\n# project.yaml\n{}", source.flow.text, project.text),
        None => source.flow.text,
    })
}
