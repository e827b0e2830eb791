//! What was changed, by whom, from where.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use crate::address::Query;
use crate::clock::At;
use crate::error::PageError;
use crate::shell::{Page, Shell};
use crate::site::Shared;

/// Lines of a page.
const PAGE: u64 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
pub(crate) struct Audit {
    s: Shell,
    lines: Vec<Line>,
    next: Option<String>,
}

struct Line {
    at: At,
    by: String,
    origin: String,
    what: String,
    target: String,
    before: String,
    after: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    before: Option<i64>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    Query(asked): Query<Asked>,
) -> Result<Page<Audit>, PageError> {
    let mut rows = site.handle.store().audit(asked.before, PAGE + 1).await?;
    let is_more = rows.len() as u64 > PAGE;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| is_more).map(|row| format!("/audit?before={}", row.id));
    let lines = rows
        .into_iter()
        .map(|row| Line {
            at: At::new(row.at),
            by: row.by,
            origin: row.origin,
            what: row.what,
            target: row.target,
            before: row.before.unwrap_or_default(),
            after: row.after.unwrap_or_default(),
        })
        .collect();
    Ok(Page(Audit { s, lines, next }))
}
