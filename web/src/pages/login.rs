//! Logging in and out, one's own password, what a reader prefers.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::time::Duration;
use weir_engine::engine::wall_clock;
use weir_engine::people::{Ask, Asker};
use weir_engine::store::people::{Change, SessionRow};

use crate::address::Query;
use crate::error::PageError;
use crate::form::{Fields, own_page};
use crate::jar::Jar;
use crate::password;
use crate::shell::{LANG_COOKIE, Page, Shell, THEME_COOKIE};
use crate::site::{Shared, Site};
use crate::who::{self, Origin, Who};
use crate::words::Lang;

/// How long a session lasts.
const SESSION: Duration = Duration::from_hours(7 * 24);
/// The longest name and password that are looked at.
const LONGEST: usize = 1024;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    s: Shell,
    is_wrong: bool,
    name: String,
    to: String,
}

#[derive(Template)]
#[template(path = "password.html")]
struct Password {
    s: Shell,
    is_one_time: bool,
    wrong: Option<&'static str>,
    shortest: usize,
}

/// Where to go after the login.
#[derive(Deserialize)]
pub(crate) struct To {
    #[serde(default)]
    to: String,
}

pub(crate) async fn form(s: Shell, Query(To { to }): Query<To>) -> Response {
    if s.who.is_some() {
        return Redirect::to(own_page(&to)).into_response();
    }
    Page(Login { s, is_wrong: false, name: String::new(), to }).into_response()
}

pub(crate) async fn log_in(
    State(site): State<Shared>,
    s: Shell,
    jar: Jar,
    Origin(origin): Origin,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let (name, given) = (fields.text("name").trim().to_owned(), fields.text("password"));
    let to = own_page(fields.text("to")).to_owned();
    if name.len() > LONGEST || given.len() > LONGEST {
        return Err(PageError::bad(""));
    }
    let keys = [format!("name {name}"), format!("from {origin}")];
    let now = wall_clock();
    if let Some(wait) = site.throttle.wait(&keys, now) {
        return Err(PageError::slow(wait.as_secs() + 1));
    }
    site.throttle.count(&keys, now);
    let person = site.handle.store().person(&name).await?;
    if !password::fits(given, person.as_ref().map(|person| person.password.as_str())).await {
        tracing::warn!("a wrong login from {origin}");
        let page = Page(Login { s, is_wrong: true, name, to });
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    site.throttle.forget(&keys);
    // The session that the browser had is not taken on.
    let mut changes: Vec<Change> = jar
        .session(&headers)
        .map(|old| Change::EndSession(password::digest(&old)))
        .into_iter()
        .collect();
    let secret = password::secret();
    let asker = Asker { by: name.clone(), origin: origin.clone() };
    changes.push(Change::Session(SessionRow {
        hash: password::digest(&secret),
        person: name.clone(),
        at: now,
        expires_at: now.plus(SESSION),
        origin,
    }));
    changes.push(asker.note("person.log-in", &name, None, None));
    change(&site, changes).await?;
    let is_one_time = person.is_some_and(|person| person.is_one_time);
    let to = if is_one_time { "/password" } else { to.as_str() };
    let cookie = jar.set_session(&secret, SESSION);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(to)).into_response())
}

pub(crate) async fn log_out(
    State(site): State<Shared>,
    jar: Jar,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if let Some(secret) = jar.session(&headers) {
        change(&site, vec![Change::EndSession(password::digest(&secret))]).await?;
    }
    Ok(gone(jar))
}

pub(crate) async fn log_out_everywhere(
    State(site): State<Shared>,
    jar: Jar,
    me: Who,
    origin: Origin,
) -> Result<Response, PageError> {
    if me.is_token {
        return Err(PageError::bad(""));
    }
    let asker = who::asker(&me, &origin);
    weir_engine::people::answer(&site.handle, Ask::LogOut { name: me.name }, &asker).await?;
    Ok(gone(jar))
}

fn gone(jar: Jar) -> Response {
    let cookie = jar.set_session("", Duration::ZERO);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to("/login")).into_response()
}

pub(crate) async fn account(s: Shell, me: Who) -> Result<Response, PageError> {
    if me.is_token {
        return Err(PageError::no_page());
    }
    let shortest = password::SHORTEST;
    Ok(Page(Password { s, is_one_time: me.is_one_time, wrong: None, shortest }).into_response())
}

pub(crate) async fn change_password(
    State(site): State<Shared>,
    s: Shell,
    jar: Jar,
    me: Who,
    origin: Origin,
    fields: Fields,
) -> Result<Response, PageError> {
    if me.is_token {
        return Err(PageError::no_page());
    }
    let (old, new) = (fields.text("old"), fields.text("new"));
    if old.len() > LONGEST || new.len() > LONGEST {
        return Err(PageError::bad(""));
    }
    let now = wall_clock();
    let keys = [format!("change {}", me.name)];
    if let Some(wait) = site.throttle.wait(&keys, now) {
        return Err(PageError::slow(wait.as_secs() + 1));
    }
    let person = site.handle.store().person(&me.name).await?.ok_or_else(PageError::no_login)?;
    let wrong = if new != fields.text("again") {
        Some(s.passwords_differ)
    } else if new.chars().count() < password::SHORTEST {
        Some(s.password_short)
    } else {
        site.throttle.count(&keys, now);
        if password::fits(old, Some(&person.password)).await {
            None
        } else {
            Some(s.password_wrong)
        }
    };
    if wrong.is_some() {
        let page = Password { s, is_one_time: me.is_one_time, wrong, shortest: password::SHORTEST };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response());
    }
    site.throttle.forget(&keys);
    let hash = password::hash(new).await.map_err(PageError::broken)?;
    let asker = who::asker(&me, &origin);
    let ask = Ask::Add { name: me.name.clone(), password: hash, one_time: false, role: None };
    weir_engine::people::answer(&site.handle, ask, &asker).await?;
    // All sessions have ended, this one goes on as a new one.
    let secret = password::secret();
    let session = SessionRow {
        hash: password::digest(&secret),
        person: me.name,
        at: now,
        expires_at: now.plus(SESSION),
        origin: origin.0,
    };
    change(&site, vec![Change::Session(session)]).await?;
    let cookie = jar.set_session(&secret, SESSION);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to("/")).into_response())
}

pub(crate) async fn prefer(jar: Jar, fields: Fields) -> Response {
    let mut headers = HeaderMap::new();
    let year = Duration::from_hours(365 * 24);
    if let Some(lang) = fields.get("lang").and_then(Lang::named) {
        headers.append(header::SET_COOKIE, jar.set(LANG_COOKIE, lang.tag(), year));
    }
    if let Some(theme) = fields.get("theme")
        && ["auto", "light", "dark"].contains(&theme)
    {
        headers.append(header::SET_COOKIE, jar.set(THEME_COOKIE, theme, year));
    }
    (headers, Redirect::to(own_page(fields.text("back")))).into_response()
}

async fn change(site: &Site, changes: Vec<Change>) -> Result<(), PageError> {
    site.handle.store().change_people(changes).await.map_err(PageError::broken)
}
