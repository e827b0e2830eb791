//! Users, tokens, the audit.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_engine::engine::wall_clock;
use weir_engine::people::{self, Ask, Role};

use crate::address::{Path, Query};
use crate::api::{Body, List, cursor, limit};
use crate::error::PageError;
use crate::password;
use crate::site::{Shared, Site};
use crate::who::{self, Origin, Who};

async fn list(site: &Site, me: &Who, origin: &Origin, ask: Ask) -> Result<Vec<Value>, PageError> {
    let found = people::answer(&site.handle, ask, &who::asker(me, origin)).await?;
    match found {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

pub(crate) async fn users(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
) -> Result<Json<List>, PageError> {
    Ok(Json(List { items: list(&site, &me, &origin, Ask::People).await?, next: None }))
}

pub(crate) async fn tokens(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
) -> Result<Json<List>, PageError> {
    Ok(Json(List { items: list(&site, &me, &origin, Ask::Tokens).await?, next: None }))
}

/// A century: a token that lives longer lives for good.
pub(crate) const MOST_DAYS: u32 = 36_500;

/// A token that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    role: Role,
    #[serde(default)]
    project: String,
    /// Days until it expires; for good if not said.
    days: Option<u32>,
}

pub(crate) async fn add_token(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Value>), PageError> {
    if new.days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
        return Err(PageError::bad(format!("days: a token lives 1 to {MOST_DAYS} days")));
    }
    if is_token(&site, &new.name).await? {
        return Err(PageError::conflict(format!(
            "there is a token `{}` already; remove it first, or take another name",
            new.name
        )));
    }
    let token = password::token();
    let days = new.days.map(|days| Duration::from_hours(24 * u64::from(days)));
    let ask = Ask::AddToken {
        name: new.name.clone(),
        hash: password::digest(&token),
        project: new.project,
        role: new.role,
        expires_at: days.map(|days| wall_clock().plus(days)),
    };
    people::answer(&site.handle, ask, &who::asker(&me, &origin)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "token": { "name": new.name, "value": token } }))))
}

async fn is_token(site: &Site, name: &str) -> Result<bool, PageError> {
    Ok(site.handle.store().tokens().await?.iter().any(|token| token.name == name))
}

pub(crate) async fn remove_token(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Path(name): Path<String>,
) -> Result<StatusCode, PageError> {
    if !is_token(&site, &name).await? {
        return Err(PageError::no_page());
    }
    let asker = who::asker(&me, &origin);
    people::answer(&site.handle, Ask::RemoveToken { name }, &asker).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    cursor: Option<String>,
    limit: Option<u64>,
}

pub(crate) async fn audit(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Query(asked): Query<Asked>,
) -> Result<Json<List>, PageError> {
    let limit = limit(asked.limit)?;
    let ask = Ask::Audit { before: cursor(asked.cursor.as_deref())?, limit };
    let items = list(&site, &me, &origin, ask).await?;
    let next = (items.len() as u64 == limit)
        .then(|| items.last().map(|item| item["id"].to_string()))
        .flatten();
    Ok(Json(List { items, next }))
}
