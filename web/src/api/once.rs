//! What a key makes happen once: a run that was begun with an `Idempotency-Key` is not begun again.

use axum::http::HeaderMap;
use serde_json::Value;
use weir_core::ids::RunId;
use weir_engine::begin::Begin;

use crate::error::PageError;
use crate::password::digest;
use crate::site::Site;
use crate::who::Who;

/// A run that was asked for.
pub(crate) struct Begun {
    pub(crate) run: RunId,
    /// It was not there before.
    pub(crate) is_new: bool,
}

/// Begins a run. If the request has a key that was used before, it must ask for the same, and is told of the same run.
///
/// # Errors
/// The run can't be begun, or the key was used for something else.
pub(crate) async fn begin(
    site: &Site,
    me: &Who,
    headers: &HeaderMap,
    asked: &Value,
    begin: impl AsyncFnOnce() -> Result<Begin, PageError>,
) -> Result<Begun, PageError> {
    let Some(key) = key(headers)? else {
        return Ok(Begun { run: site.handle.begin(begin().await?).await?, is_new: true });
    };
    let fingerprint = digest(&asked.to_string());
    // While one is carried out, those with the same key wait; then they are told of the same run.
    let lock = site.once(&me.name, &key);
    let _turn = lock.lock().await;
    if let Some(row) = site.handle.store().request(&me.name, &key).await? {
        if row.fingerprint != fingerprint {
            return Err(PageError::conflict(
                "this Idempotency-Key was used for a request that asks for something else",
            ));
        }
        return Ok(Begun { run: RunId(row.run), is_new: false });
    }
    let begin = Begin { request: Some((key, fingerprint)), ..begin().await? };
    Ok(Begun { run: site.handle.begin(begin).await?, is_new: true })
}

/// The key of a request, if it has one.
///
/// # Errors
/// It is no key.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, PageError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if is_key(key) => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => {
            Err(PageError::bad("an Idempotency-Key has 1 to 200 letters, digits and signs"))
        }
    }
}

fn is_key(key: &str) -> bool {
    (1..=200).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}
