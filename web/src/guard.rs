//! Before each request: who is it, may they, does it come from our own pages. After it: headers that keep browsers
//! from doing what no page of ours asks for, and errors as pages or problem+json.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Json;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use crate::error::{Kind, PageError};
use crate::jar::Jar;
use crate::pages::trouble;
use crate::proxies;
use crate::routes::{Need, methods_of, need_of};
use crate::shell::Shell;
use crate::site::Shared;
use crate::who::{self, Origin, Who};

/// No inline script or style, nothing from elsewhere, no frame around us, forms only to us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The header in which the API says which Weir it is.
pub(crate) const VERSION_HEADER: &str = "weir-version";

pub(crate) async fn guard(
    State(site): State<Shared>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let uri = request.uri().clone();
    let method = request.method().clone();
    let headers = request.headers().clone();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    let asked = proxies::asked(&site.net.proxies, peer, site.net.has_tls, &headers);
    let jar = Jar { is_secure: asked.is_secure };
    request.extensions_mut().insert(jar);
    request.extensions_mut().insert(Origin(asked.from.to_string()));
    let mut who = None;
    let asked = (&method, &uri, &headers, jar);
    let response = match admit(&site, path.as_ref(), asked, &mut who).await {
        Ok(None) => {
            if let Some(who) = &who {
                request.extensions_mut().insert(who.clone());
            }
            next.run(request).await
        }
        Ok(Some(elsewhere)) => elsewhere,
        Err(error) => error.into_response(),
    };
    let shell = Shell::of(&headers, &uri, who.as_ref(), &site);
    let mut response = dress(response, shell, &uri, &method);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(path) = &path
        && let Ok(methods) = HeaderValue::from_str(&methods_of(path.as_str()))
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// Whether the request may go on; another answer if a person is better sent elsewhere.
async fn admit(
    site: &Shared,
    path: Option<&MatchedPath>,
    (method, uri, headers, jar): (&Method, &Uri, &HeaderMap, Jar),
    found: &mut Option<Who>,
) -> Result<Option<Response>, PageError> {
    if !(method.is_safe() || is_our_own(headers)) {
        return Err(PageError::foreign());
    }
    let Some(path) = path else {
        *found = who::find(site, headers, jar).await?;
        return Err(PageError::no_page());
    };
    let need = need_of(method, path.as_str());
    if need == Some(Need::Nobody) && path.as_str().starts_with("/assets/") {
        return Ok(None);
    }
    *found = who::find(site, headers, jar).await?;
    let Some(need) = need else { return Err(PageError::no_method()) };
    let is_page = !is_api(uri) && *method == Method::GET;
    let Some(who) = &*found else {
        return match need {
            Need::Nobody => Ok(None),
            Need::Login | Need::Role(_) | Need::Admin if is_page => {
                let to = uri.path_and_query().map_or("/", |path| path.as_str());
                let to = crate::form::encoded(to);
                Ok(Some(Redirect::to(&format!("/login?to={to}")).into_response()))
            }
            Need::Login | Need::Role(_) | Need::Admin => {
                Err(who::why_not(site, headers).await?.unwrap_or_else(PageError::no_login))
            }
        };
    };
    if who.is_one_time && !matches!(need, Need::Nobody | Need::Login) {
        return if is_page {
            Ok(Some(Redirect::to("/password").into_response()))
        } else {
            Err(PageError::no_login())
        };
    }
    match need {
        Need::Role(role) if who.highest().is_none_or(|own| own < role) => {
            Err(PageError::forbidden(role))
        }
        Need::Admin if !who.is_admin() => {
            Err(PageError::forbidden(weir_engine::people::Role::Admin))
        }
        Need::Nobody | Need::Login | Need::Role(_) | Need::Admin => Ok(None),
    }
}

/// Whether a request that changes something comes from a page of ours, or from no page at all. Browsers say from where
/// they send: in Sec-Fetch-Site, older ones in Origin.
fn is_our_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, from)| from == host)
        }
        (None, None) => true,
    }
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

fn dress(mut response: Response, shell: Shell, uri: &Uri, method: &Method) -> Response {
    let mut error = response.extensions_mut().remove::<PageError>();
    if error.is_none() && !response.headers().contains_key(header::CONTENT_TYPE) {
        // What the framework itself refuses: a body that can't be read, a method that is not there.
        let status = response.status();
        if status == 405 {
            error = Some(PageError::no_method());
        } else if status.is_client_error() {
            error = Some(PageError::bad(""));
        }
    }
    if let Some(error) = error {
        response = show(&error, shell, uri);
    }
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_api(uri) {
        set(header::HeaderName::from_static(VERSION_HEADER), env!("CARGO_PKG_VERSION"));
    }
    if *method == Method::HEAD {
        *response.body_mut() = axum::body::Body::empty();
    }
    response
}

fn show(error: &PageError, shell: Shell, uri: &Uri) -> Response {
    let status = error.status();
    let mut response = if is_api(uri) {
        // Programs read English; what is wrong stands in `detail`.
        let (title, help) = trouble::words(error.kind, crate::words::Words::english());
        let problem = json!({
            "type": "about:blank", "title": title, "status": status.as_u16(),
            "detail": if error.detail.is_empty() { help } else { error.detail.clone() },
        });
        let mut response = (status, Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    } else {
        (status, trouble::page(error, shell)).into_response()
    };
    if let Kind::Slow(secs) = error.kind {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if error.kind == Kind::NoLogin && is_api(uri) {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_change_things() {
        let table: [(&[(&'static str, &'static str)], bool); 7] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://h"), ("host", "h")], false),
            (&[("origin", "http://127.0.0.1:8180"), ("host", "127.0.0.1:8180")], true),
            (&[("origin", "null"), ("host", "127.0.0.1:8180")], false),
        ];
        for (given, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_our_own(&headers), expected, "{given:?}");
        }
    }
}
