//! All flows, with their last runs.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use weir_core::time::Timestamp;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::store::RunFilter;

use crate::address::Query;
use crate::clock::At;
use crate::error::PageError;
use crate::flows;
use crate::form::flow_address;
use crate::pages::lines::RunLine;
use crate::schedules;
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;

/// Flows and runs of each that are shown.
const MOST: usize = 200;
const RUNS: u64 = 10;

#[derive(Template)]
#[template(path = "flows.html")]
pub(crate) struct Flows {
    s: Shell,
    q: String,
    lines: Vec<Line>,
    is_cut: bool,
}

struct Line {
    name: String,
    project: String,
    title: Option<String>,
    labels: Vec<String>,
    href: String,
    runs: Vec<RunLine>,
    /// When it runs by itself next.
    next: Option<At>,
    is_wrong: bool,
    may_run: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Query(Asked { q }): Query<Asked>,
) -> Result<Page<Flows>, PageError> {
    let wanted = q.trim().to_lowercase();
    let fits = |flow: &flows::Known| {
        let mut texts = vec![flow.name.clone(), flow.project.clone()];
        texts.extend(flow.title.clone());
        texts.extend(flow.labels.iter().map(|(name, value)| format!("{name}={value}")));
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    };
    let mut known = flows::all(&site, &me).await?;
    known.retain(fits);
    let is_cut = known.len() > MOST;
    let mut next: BTreeMap<(String, String), Timestamp> = BTreeMap::new();
    for one in schedules::all(&site, &me).await? {
        let Some(due) = one.next_due else { continue };
        let first = next.entry((one.project, one.flow)).or_insert(due);
        *first = due.min(*first);
    }
    let now = wall_clock();
    let mut lines = Vec::new();
    for flow in known.into_iter().take(MOST) {
        let filter = RunFilter {
            project: Some(flow.project.clone()),
            flow: Some(flow.name.clone()),
            ..RunFilter::default()
        };
        let rows = site.handle.store().runs(&filter, None, RUNS).await?;
        lines.push(Line {
            href: flow_address(&flow.project, &flow.name),
            runs: rows.into_iter().map(|row| RunLine::new(row, &s, now)).collect(),
            next: next.get(&(flow.project.clone(), flow.name.clone())).copied().map(At::new),
            is_wrong: flow.mistakes.is_some(),
            may_run: me.may(Role::Operator, &flow.project),
            labels: flow
                .labels
                .into_iter()
                .map(
                    |(name, value)| if value.is_empty() { name } else { format!("{name}={value}") },
                )
                .collect(),
            name: flow.name,
            project: flow.project,
            title: flow.title,
        });
    }
    Ok(Page(Flows { s, q, lines, is_cut }))
}
