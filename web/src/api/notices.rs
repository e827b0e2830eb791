//! Notices: who was told of what, who is still to be, who could not be; sending one again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use weir_engine::api::notice::notice_view;

use crate::address::Query;
use crate::api::{Body, List, limit};
use crate::error::PageError;
use crate::notices::{self, Asked, Named};
use crate::site::Shared;
use crate::who::{Origin, Who};

pub(crate) async fn list(
    State(site): State<Shared>,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<List>, PageError> {
    let limit = limit(asked.limit)?;
    let (rows, next) = notices::seen(&site, &me, &asked, limit).await?;
    Ok(Json(List { items: rows.iter().map(notice_view).collect(), next }))
}

pub(crate) async fn send_again(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    Body(named): Body<Named>,
) -> Result<StatusCode, PageError> {
    notices::send_again(&site, (&me, &origin), named).await?;
    Ok(StatusCode::NO_CONTENT)
}
