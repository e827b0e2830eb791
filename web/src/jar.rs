//! The cookies that a browser is given, and how it must send them.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::error::PageError;

/// The session's cookie where others can listen in, and where they can't. Of the second a browser makes sure that it
/// came over TLS, from this host alone and for all of its pages.
const SESSION: &str = "weir_session";
const SECURE_SESSION: &str = "__Host-weir_session";
/// The same for what a login by a provider began with.
const LOGIN: &str = "weir_login";
const SECURE_LOGIN: &str = "__Host-weir_login";

/// Cookies of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jar {
    /// Nobody can listen in on the way to the browser.
    pub(crate) is_secure: bool,
}

impl Jar {
    /// The secret of the session, if there is one.
    pub(crate) fn session(self, headers: &HeaderMap) -> Option<String> {
        cookie(headers, self.session_name())
    }

    /// Has the browser keep the secret of a session.
    pub(crate) fn set_session(self, secret: &str, lasts: Duration) -> HeaderValue {
        self.set(self.session_name(), secret, lasts)
    }

    /// What a login by a provider began with, if one did.
    pub(crate) fn login(self, headers: &HeaderMap) -> Option<String> {
        cookie(headers, self.login_name())
    }

    /// Has the browser keep what a login by a provider begins with.
    pub(crate) fn set_login(self, value: &str, lasts: Duration) -> HeaderValue {
        self.set(self.login_name(), value, lasts)
    }

    /// Has the browser keep a value.
    pub(crate) fn set(self, name: &str, value: &str, lasts: Duration) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let lasts = lasts.as_secs();
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts}{secure}");
        HeaderValue::from_str(&text).expect("names and values are plain")
    }

    fn login_name(self) -> &'static str {
        if self.is_secure { SECURE_LOGIN } else { LOGIN }
    }

    fn session_name(self) -> &'static str {
        if self.is_secure { SECURE_SESSION } else { SESSION }
    }
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            (found == name).then(|| value.to_owned())
        })
}

impl<S: Sync> FromRequestParts<S> for Jar {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        // The guard has put it there; without it the careful answer.
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self { is_secure: true }))
    }
}
