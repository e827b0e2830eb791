//! Logging in by a provider of OIDC: on the way there, and back.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use weir_core::hex;
use weir_engine::people::Source;

use super::login::{Entered, Login, To, enter, unwelcome};
use crate::address::Query;
use crate::error::PageError;
use crate::form::own_page;
use crate::jar::Jar;
use crate::logins::{Entry, Failure, steps};
use crate::password;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::Origin;

/// How long somebody may take to log in there.
const PATIENCE: Duration = Duration::from_mins(10);
/// The longest address that is come back to.
const LONGEST: usize = 1024;

/// What somebody comes back with.
#[derive(Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    /// Who sends them (RFC 9207); not all say so.
    #[serde(default)]
    iss: String,
}

pub(crate) async fn begin(
    State(site): State<Shared>,
    s: Shell,
    jar: Jar,
    Query(To { to }): Query<To>,
) -> Result<Response, PageError> {
    let Some(provider) = site.logins.provider() else { return Err(PageError::no_page()) };
    let secret = password::secret();
    match provider.begin(&secret).await {
        Ok(address) => {
            let to = Some(own_page(&to)).filter(|to| to.len() <= LONGEST).unwrap_or("/");
            let kept = format!("{secret}.{}", hex::encode(to.as_bytes()));
            let cookie = jar.set_login(&kept, PATIENCE);
            let headers = AppendHeaders([(header::SET_COOKIE, cookie)]);
            Ok((headers, Redirect::to(&address)).into_response())
        }
        Err(failure) => Ok(refused(&site, s, jar, &failure)),
    }
}

pub(crate) async fn back(
    State(site): State<Shared>,
    s: Shell,
    jar: Jar,
    Origin(origin): Origin,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, PageError> {
    let Some(provider) = site.logins.provider() else { return Err(PageError::no_page()) };
    let kept = jar.login(&headers).unwrap_or_default();
    let (secret, to) = kept.split_once('.').unwrap_or_default();
    if secret.is_empty() || back.state != steps::state(secret) {
        return Ok(refused(&site, s, jar, &Failure::Lost));
    }
    let found = if !back.error.is_empty() {
        let said = format!("{} {}", back.error, back.error_description);
        Err(Failure::Refused(said.trim().to_owned()))
    } else if !back.iss.is_empty() && back.iss != provider.issuer() {
        Err(Failure::Doubtful(format!("{} sends them", back.iss)))
    } else {
        provider.finish(&site.handle, secret, back.code).await
    };
    let found = match found {
        Ok(found) => found,
        Err(failure) => return Ok(refused(&site, s, jar, &failure)),
    };
    let (name, changes) = match site.logins.arrive(&site.handle, found, &origin).await? {
        Entry::Open(name, changes) => (name, changes),
        Entry::Unwelcome(why) => {
            let said = (unwelcome(&s, &why), why.to_string());
            return Ok(shown(&site, s, jar, StatusCode::FORBIDDEN, said));
        }
        Entry::Wrong | Entry::Trouble => return Ok(refused(&site, s, jar, &Failure::Lost)),
    };
    let to = hex::decode(to).and_then(|to| String::from_utf8(to).ok()).unwrap_or_default();
    let to = own_page(&to).to_owned();
    let lasts = provider.session();
    let entered = Entered { name, source: Source::Oidc, lasts, changes, to };
    let mut response = enter(&site, (jar, &headers), origin, entered).await?;
    response.headers_mut().append(header::SET_COOKIE, jar.set_login("", Duration::ZERO));
    Ok(response)
}

/// The page of a login that did not work.
fn refused(site: &Site, s: Shell, jar: Jar, failure: &Failure) -> Response {
    if !matches!(failure, Failure::Lost) {
        let title = site.logins.provider_title().unwrap_or_default();
        tracing::warn!("a login by {title} did not work: {failure}");
    }
    let words = s.login;
    let (status, why, detail) = match failure {
        Failure::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, words.provider_away, String::new()),
        Failure::Unfit(_) => (StatusCode::SERVICE_UNAVAILABLE, words.provider_unfit, String::new()),
        Failure::Refused(said) => (StatusCode::FORBIDDEN, words.provider_refused, said.clone()),
        Failure::Doubtful(why) => (StatusCode::FORBIDDEN, words.provider_doubtful, why.clone()),
        Failure::Nameless(claim) => (StatusCode::FORBIDDEN, words.nameless, claim.clone()),
        Failure::Lost => (StatusCode::UNPROCESSABLE_ENTITY, words.login_lost, String::new()),
    };
    shown(site, s, jar, status, (why, detail))
}

fn shown(
    site: &Site,
    s: Shell,
    jar: Jar,
    status: StatusCode,
    wrong: (&'static str, String),
) -> Response {
    let mut page = Login::new(site, s, String::new());
    page.wrong = Some(wrong);
    let cookie = jar.set_login("", Duration::ZERO);
    (status, AppendHeaders([(header::SET_COOKIE, cookie)]), Page(page)).into_response()
}
