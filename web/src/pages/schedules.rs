//! All schedules: when each is due next, what became of its last due time, and the due times of a week.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use weir_core::schedule::{Tz, zone_named};
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;
use weir_engine::schedules::{Fired, Shown};

use crate::address::Query;
use crate::clock::At;
use crate::error::PageError;
use crate::form::{encoded, flow_address};
use crate::pages::calendar::Calendar;
use crate::picture::dag::mark;
use crate::schedules;
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;
use crate::words::Words;

/// Schedules that are shown.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "schedules.html")]
pub(crate) struct Schedules {
    s: Shell,
    q: String,
    zone: &'static str,
    zones: BTreeSet<&'static str>,
    lines: Vec<Line>,
    is_cut: bool,
    /// Flows that one may be added to.
    flows: Vec<String>,
    calendar: Calendar,
    /// The address of this page without the day that it begins with.
    here: String,
}

/// A schedule in a list.
pub(crate) struct Line {
    pub(crate) href: String,
    pub(crate) project: String,
    pub(crate) flow: String,
    pub(crate) flow_href: String,
    pub(crate) name: String,
    pub(crate) when: When,
    pub(crate) state: &'static str,
    pub(crate) said: &'static str,
    pub(crate) mark: &'static str,
    /// Who paused it.
    pub(crate) paused_by: Option<String>,
    pub(crate) next: Option<At>,
    pub(crate) next_local: String,
    pub(crate) last: Option<Last>,
    pub(crate) may_change: bool,
    pub(crate) may_run: bool,
}

/// What makes a schedule run, in few words.
pub(crate) struct When {
    pub(crate) kind: &'static str,
    pub(crate) what: String,
    pub(crate) zone: String,
}

/// What became of a due time.
pub(crate) struct Last {
    pub(crate) due: At,
    /// The first of a span of times that were missed.
    pub(crate) since: Option<At>,
    pub(crate) at: At,
    pub(crate) run: Option<i64>,
    pub(crate) state: &'static str,
    pub(crate) said: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) cause: String,
    pub(crate) reason: String,
}

impl When {
    pub(crate) fn new(spec: &Value, words: &Words) -> Self {
        let w = words.schedule;
        let kinds = [
            ("cron", w.cron),
            ("every", w.every),
            ("at", w.at),
            ("after-flow", w.after_flow),
            ("file", w.file),
        ];
        let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
        let found = kinds.into_iter().find(|(key, _)| spec[*key].is_string());
        let (key, kind) = found.unwrap_or(("", ""));
        let zone = if key == "cron" { text("timezone") } else { String::new() };
        Self { kind, what: text(key), zone }
    }
}

impl Last {
    pub(crate) fn new(fired: Fired, words: &Words) -> Self {
        let state = fired.run_state.unwrap_or(fired.outcome);
        Self {
            since: (fired.since != fired.due).then(|| At::new(fired.since)),
            due: At::new(fired.due),
            at: At::new(fired.at),
            run: fired.run,
            state,
            said: words.state(state),
            mark: sign(state),
            cause: fired.cause.unwrap_or_default(),
            reason: fired.reason.unwrap_or_default(),
        }
    }
}

/// The sign of a state of a schedule, of a due time, of a run.
fn sign(state: &str) -> &'static str {
    match state {
        "active" => "✓",
        "missed" | "refused" => "✗",
        "ended" => "■",
        state => mark(state),
    }
}

impl Line {
    pub(crate) fn new(shown: Shown, who: &Who, words: &Words) -> Self {
        Self {
            href: format!("/schedules/{}", shown.id),
            flow_href: flow_address(&shown.project, &shown.flow),
            when: When::new(&shown.spec, words),
            state: shown.state,
            said: words.state(shown.state),
            mark: sign(shown.state),
            paused_by: shown
                .paused_by
                .map(|by| if by == "its text" { words.schedule.by_text.to_owned() } else { by }),
            next: shown.next_due.map(At::new),
            next_local: shown.next_local.unwrap_or_default(),
            last: shown.last.map(|fired| Last::new(fired, words)),
            may_change: who.may(Role::Author, &shown.project),
            may_run: who.may(Role::Operator, &shown.project),
            project: shown.project,
            flow: shown.flow,
            name: shown.schedule,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    from: String,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Page<Schedules>, PageError> {
    let wanted = asked.q.trim().to_lowercase();
    let mut all = schedules::all(&site, &me).await?;
    let zones = zones_of(&all);
    all.retain(|one| {
        [&one.project, &one.flow, &one.schedule]
            .into_iter()
            .any(|text| text.to_lowercase().contains(&wanted))
    });
    let is_cut = all.len() > MOST;
    all.truncate(MOST);
    let zone = zone_named(&asked.zone).unwrap_or_else(|_| usual_zone(&all));
    let names: BTreeMap<i64, String> = all
        .iter()
        .filter(|one| one.state == "active")
        .map(|one| (one.id, schedules::called("", &one.flow, &one.schedule)))
        .collect();
    let in_effect = site.handle.schedules_in_effect(None).await;
    let due: Vec<_> = in_effect
        .into_iter()
        .filter_map(|(id, schedule)| Some((id, names.get(&id)?.clone(), schedule)))
        .collect();
    let calendar = Calendar::new(&due, zone, &asked.from, wall_clock(), &s);
    let here = format!("/schedules?q={}&zone={}", encoded(&asked.q), encoded(zone.name()));
    let lines = all.into_iter().map(|one| Line::new(one, &me, &s)).collect();
    let flows = site.handle.store().loaded_flows().await?;
    let flows = flows
        .into_iter()
        .filter(|flow| !flow.is_gone && me.may(Role::Author, &flow.project))
        .map(|flow| format!("{}/{}", flow.project, flow.flow))
        .collect();
    let zone = zone.name();
    Ok(Page(Schedules { q: asked.q, zone, zones, lines, is_cut, flows, calendar, here, s }))
}

fn zone_of(shown: &Shown) -> Option<Tz> {
    zone_named(shown.spec["timezone"].as_str()?).ok()
}

/// The zones of schedules, and UTC.
fn zones_of(all: &[Shown]) -> BTreeSet<&'static str> {
    all.iter().filter_map(zone_of).chain([Tz::UTC]).map(Tz::name).collect()
}

/// The zone that most schedules are read on.
fn usual_zone(all: &[Shown]) -> Tz {
    let mut counts: BTreeMap<&str, (usize, Tz)> = BTreeMap::new();
    for zone in all.iter().filter_map(zone_of) {
        counts.entry(zone.name()).or_insert((0, zone)).0 += 1;
    }
    counts.into_values().max_by_key(|(count, _)| *count).map_or(Tz::UTC, |(_, zone)| zone)
}
