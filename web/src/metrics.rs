//! For those who watch the server: is it alive, can it work, numbers for Prometheus.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use weir_core::run::RunState;
use weir_engine::engine::wall_clock;
use weir_engine::store::RunFilter;

use crate::error::PageError;
use crate::site::{Shared, Site};

/// States whose runs are counted: there are few of them at a time.
const UNFINISHED: [RunState; 6] = [
    RunState::Queued,
    RunState::Running,
    RunState::Paused,
    RunState::Asking,
    RunState::Failing,
    RunState::Cancelling,
];
/// More are not counted.
const MOST: u64 = 10_000;

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// It can do its work: what is kept can be read, and the engine can write.
pub(crate) async fn ready(State(site): State<Shared>) -> Response {
    let trouble = match site.handle.store().last_run_id().await {
        Ok(_) => site.handle.trouble().await,
        Err(error) => Some(error.to_string()),
    };
    match trouble {
        None => "ready\n".into_response(),
        Some(why) => {
            tracing::warn!("not ready: {why}");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready; the log of the server says why\n")
                .into_response()
        }
    }
}

/// Unfinished runs by state.
pub(crate) async fn unfinished(site: &Site) -> Result<Vec<(&'static str, usize)>, PageError> {
    let mut counts = Vec::new();
    for state in UNFINISHED {
        let filter = RunFilter { state: Some(state.code()), ..RunFilter::default() };
        let count = site.handle.store().runs(&filter, None, MOST).await?.len();
        counts.push((state.name(), count));
    }
    Ok(counts)
}

pub(crate) async fn metrics(State(site): State<Shared>) -> Result<Response, PageError> {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |value: String| [(String::new(), value)];
    let states: Vec<(String, String)> = unfinished(&site)
        .await?
        .into_iter()
        .map(|(state, count)| (format!("{{state=\"{state}\"}}"), count.to_string()))
        .collect();
    family("weir_runs_unfinished", "gauge", "Runs that have not ended, by state.", &states);
    let last = site.handle.store().last_run_id().await?;
    family(
        "weir_runs_begun_total",
        "counter",
        "Runs that were begun in this home.",
        &one(last.to_string()),
    );
    let counts = site.handle.store().counts();
    for (name, help, value) in [
        ("weir_store_commits_total", "Transactions committed since the start.", counts.commits),
        ("weir_store_batches_total", "Batches in them.", counts.orders),
        ("weir_store_statements_total", "Statements sent.", counts.statements),
        ("weir_store_rows_total", "Rows written.", counts.rows),
    ] {
        family(name, "counter", help, &one(value.to_string()));
    }
    let trouble = u8::from(site.handle.trouble().await.is_some());
    family("weir_trouble", "gauge", "1 while the engine can't write.", &one(trouble.to_string()));
    let up = wall_clock().since(site.started_at).as_secs();
    family(
        "weir_uptime_seconds",
        "gauge",
        "Since when the pages are served.",
        &one(up.to_string()),
    );
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    family("weir_build_info", "gauge", "The program's version.", &[(version, "1".to_owned())]);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], out).into_response())
}
