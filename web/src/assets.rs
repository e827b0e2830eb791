//! The files that pages bring along: in the binary, named by their content, kept by browsers for good.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::address::Path;
use crate::error::PageError;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The address of an asset, with a part of its content's hash, so that a new one is a new address.
pub(crate) fn address(name: &str) -> String {
    let tag = Assets::get(name).map(|file| tag(&file.metadata.sha256_hash())).unwrap_or_default();
    format!("/assets/{tag}/{name}")
}

fn tag(hash: &[u8; 32]) -> String {
    weir_core::hex::encode(&hash[..8])
}

pub(crate) async fn asset(
    Path((asked, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let file = Assets::get(&name).ok_or_else(PageError::no_page)?;
    let tag = tag(&file.metadata.sha256_hash());
    let quoted = format!("\"{tag}\"");
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|one| one.trim() == quoted || one.trim() == "*"));
    let kind = match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    // An address of an older content must not be kept with the newer one.
    let keep = if asked == tag { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Ok(value) = HeaderValue::from_str(&quoted) {
        headers.insert(header::ETAG, value);
    }
    Ok(response)
}
