//! REST under `/api/v1`: the same that pages do, for programs.

pub(crate) mod ask;
pub(crate) mod flows;
pub(crate) mod hooks;
pub(crate) mod hosts;
pub(crate) mod log;
pub(crate) mod notices;
pub(crate) mod once;
pub(crate) mod openapi;
pub(crate) mod people;
pub(crate) mod runs;
pub(crate) mod schedules;
mod shapes;

use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::routing::{delete, get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_engine::people::Role;

use crate::error::PageError;
use crate::routes::Need;
use crate::site::Shared;

const LOOK: Need = Need::Role(Role::Viewer);
const RUN: Need = Need::Role(Role::Operator);
const CHANGE: Need = Need::Role(Role::Author);

/// Method, address, need.
pub(crate) const CALLS: &[(&str, &str, Need)] = &[
    ("GET", "/api/v1/openapi.json", Need::Nobody),
    // Each request says by itself what more it needs.
    ("POST", "/api/v1/ask", LOOK),
    ("GET", "/api/v1/flows", LOOK),
    ("GET", "/api/v1/flows/{project}/{flow}", LOOK),
    ("POST", "/api/v1/flows/{project}/{flow}/runs", RUN),
    ("POST", "/api/v1/flows/{project}/{flow}/schedules", CHANGE),
    // Who calls is known by the signature.
    ("POST", "/api/v1/hooks/{project}", Need::Nobody),
    ("GET", "/api/v1/runs", LOOK),
    ("GET", "/api/v1/runs/{id}", LOOK),
    ("GET", "/api/v1/runs/{id}/events", LOOK),
    ("POST", "/api/v1/runs/{id}/rerun", RUN),
    ("POST", "/api/v1/runs/{id}/cancel", RUN),
    ("POST", "/api/v1/runs/{id}/kill", RUN),
    ("POST", "/api/v1/runs/{id}/pause", RUN),
    ("POST", "/api/v1/runs/{id}/resume", RUN),
    // A task's path may hold slashes: the last part of the address says what is done to it.
    ("GET", "/api/v1/runs/{id}/tasks/{*path}", LOOK),
    ("POST", "/api/v1/runs/{id}/tasks/{*path}", RUN),
    ("GET", "/api/v1/schedules", LOOK),
    ("GET", "/api/v1/schedules/{id}", LOOK),
    ("DELETE", "/api/v1/schedules/{id}", CHANGE),
    ("GET", "/api/v1/schedules/{id}/next", LOOK),
    ("GET", "/api/v1/schedules/{id}/fires", LOOK),
    ("POST", "/api/v1/schedules/{id}/pause", CHANGE),
    ("POST", "/api/v1/schedules/{id}/resume", CHANGE),
    ("POST", "/api/v1/schedules/{id}/backfill", RUN),
    ("GET", "/api/v1/hosts", LOOK),
    ("GET", "/api/v1/hosts/{project}/{host}", LOOK),
    ("POST", "/api/v1/hosts/{project}/{host}/look", RUN),
    ("GET", "/api/v1/projects", LOOK),
    ("GET", "/api/v1/nodes", Need::Admin),
    ("GET", "/api/v1/diagnoses", LOOK),
    ("GET", "/api/v1/catalogue", LOOK),
    ("GET", "/api/v1/notices", LOOK),
    ("POST", "/api/v1/notices/again", RUN),
    ("GET", "/api/v1/users", Need::Admin),
    ("GET", "/api/v1/tokens", Need::Admin),
    ("POST", "/api/v1/tokens", Need::Admin),
    ("DELETE", "/api/v1/tokens/{name}", Need::Admin),
    ("GET", "/api/v1/audit", Need::Admin),
];

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/v1/ask", post(ask::ask))
        .route("/api/v1/flows", get(flows::list))
        .route("/api/v1/flows/{project}/{flow}", get(flows::show))
        .route("/api/v1/flows/{project}/{flow}/runs", post(flows::begin))
        .route("/api/v1/flows/{project}/{flow}/schedules", post(schedules::add))
        .route("/api/v1/hooks/{project}", post(hooks::call))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{id}", get(runs::show))
        .route("/api/v1/runs/{id}/events", get(runs::events))
        .route("/api/v1/runs/{id}/rerun", post(runs::rerun))
        .route("/api/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/api/v1/runs/{id}/kill", post(runs::kill))
        .route("/api/v1/runs/{id}/pause", post(runs::pause))
        .route("/api/v1/runs/{id}/resume", post(runs::resume))
        .route("/api/v1/runs/{id}/tasks/{*path}", get(runs::task).post(runs::act))
        .route("/api/v1/schedules", get(schedules::list))
        .route("/api/v1/schedules/{id}", get(schedules::show).delete(schedules::remove))
        .route("/api/v1/schedules/{id}/next", get(schedules::next))
        .route("/api/v1/schedules/{id}/fires", get(schedules::fires))
        .route("/api/v1/schedules/{id}/pause", post(schedules::pause))
        .route("/api/v1/schedules/{id}/resume", post(schedules::resume))
        .route("/api/v1/schedules/{id}/backfill", post(schedules::backfill))
        .route("/api/v1/hosts", get(hosts::list))
        .route("/api/v1/hosts/{project}/{host}", get(hosts::show))
        .route("/api/v1/hosts/{project}/{host}/look", post(hosts::look))
        .route("/api/v1/projects", get(hosts::projects))
        .route("/api/v1/nodes", get(hosts::nodes))
        .route("/api/v1/diagnoses", get(runs::diagnoses))
        .route("/api/v1/catalogue", get(runs::catalogue))
        .route("/api/v1/notices", get(notices::list))
        .route("/api/v1/notices/again", post(notices::send_again))
        .route("/api/v1/users", get(people::users))
        .route("/api/v1/tokens", get(people::tokens).post(people::add_token))
        .route("/api/v1/tokens/{name}", delete(people::remove_token))
        .route("/api/v1/audit", get(people::audit))
}

/// A page of a list: `next` is the `cursor` of the page behind it.
#[derive(Serialize)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) next: Option<String>,
}

/// The most items of a page, and how many come if nobody says.
pub(crate) const PAGE_MOST: u64 = 200;
pub(crate) const PAGE: u64 = 50;

/// A body of JSON. An empty body is an empty object; keys that are not known are refused.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|error| PageError::bad(error.to_string()))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(bytes)
            .map_err(|error| PageError::bad(format!("the body does not fit: {error}")))?;
        Ok(Self(value))
    }
}

/// A cursor as a number.
pub(crate) fn cursor(text: Option<&str>) -> Result<Option<i64>, PageError> {
    let wrong = || PageError::bad("a cursor is the `next` of an earlier page");
    match text {
        None | Some("") => Ok(None),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| wrong())
        }
        Some(_) => Err(wrong()),
    }
}

/// How many items of a list are wanted.
pub(crate) fn limit(asked: Option<u64>) -> Result<u64, PageError> {
    match asked {
        None => Ok(PAGE),
        Some(limit @ 1..=PAGE_MOST) => Ok(limit),
        Some(limit) => {
            Err(PageError::bad(format!("limit is {limit}: a page has 1 to {PAGE_MOST} items")))
        }
    }
}
