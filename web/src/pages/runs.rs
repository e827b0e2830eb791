//! Lists of runs, newest first.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use weir_core::ids::RunId;
use weir_core::run::RunState;
use weir_engine::engine::wall_clock;
use weir_engine::store::RunFilter;
use weir_engine::store::rows::RunRow;

use crate::address::Query;
use crate::error::PageError;
use crate::form::encoded;
use crate::pages::lines::RunLine;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::Who;

/// Runs of a page.
const PAGE: u64 = 50;
/// Pages of runs that one may not see which are passed over in one request.
const HIDDEN: usize = 20;

/// The states in the order of the list to choose from.
pub(crate) const STATES: [&str; 9] = [
    "queued",
    "running",
    "paused",
    "asking",
    "failing",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
];

#[derive(Template)]
#[template(path = "runs.html")]
pub(crate) struct Runs {
    s: Shell,
    flow: String,
    project: String,
    wanted: String,
    states: [&'static str; 9],
    lines: Vec<RunLine>,
    next: Option<String>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) flow: String,
    #[serde(default)]
    pub(crate) project: String,
    #[serde(default)]
    pub(crate) state: String,
    pub(crate) before: Option<i64>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Page<Runs>, PageError> {
    let (rows, next) = seen(&site, &me, &asked, PAGE).await?;
    let now = wall_clock();
    let next = next.map(|before| {
        format!(
            "/runs?flow={}&project={}&state={}&before={before}",
            encoded(&asked.flow),
            encoded(&asked.project),
            encoded(&asked.state)
        )
    });
    Ok(Page(Runs {
        lines: rows.into_iter().map(|row| RunLine::new(row, &s, now)).collect(),
        s,
        flow: asked.flow,
        project: asked.project,
        wanted: asked.state,
        states: STATES,
        next,
    }))
}

pub(crate) fn no_state(name: &str) -> PageError {
    let states = STATES.join(", ");
    PageError::bad(format!("there is no state `{name}`; the states are {states}"))
}

/// The runs that somebody may see, and where the next page begins if there is one.
pub(crate) async fn seen(
    site: &Site,
    me: &Who,
    asked: &Asked,
    limit: u64,
) -> Result<(Vec<RunRow>, Option<i64>), PageError> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let state = match asked.state.as_str() {
        "" => None,
        name => Some(RunState::named(name).ok_or_else(|| no_state(name))?),
    };
    let filter = RunFilter {
        project: text(&asked.project),
        flow: text(&asked.flow),
        state: state.map(RunState::code),
        origin: None,
    };
    let mut found = Vec::new();
    let mut before = asked.before;
    for _ in 0..HIDDEN {
        let rows = site.handle.store().runs(&filter, before.map(RunId), limit + 1).await?;
        let is_last = rows.len() as u64 <= limit;
        before = rows.last().map(|row| row.id);
        found.extend(rows.into_iter().filter(|row| me.role_in(&row.project).is_some()));
        if found.len() as u64 > limit {
            found.truncate(limit as usize);
            return Ok((found.clone(), found.last().map(|row| row.id)));
        }
        if is_last {
            return Ok((found, None));
        }
    }
    Ok((found, before))
}
