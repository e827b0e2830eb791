//! Logging in and out, one's own password, what a reader prefers.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::time::Duration;
use weir_engine::engine::wall_clock;
use weir_engine::people::{Ask, Asker, Source, Unwelcome};
use weir_engine::store::people::{Change, SessionRow};

use crate::address::Query;
use crate::error::PageError;
use crate::form::{Fields, own_page};
use crate::jar::Jar;
use crate::logins::Entry;
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
pub(super) struct Login {
    s: Shell,
    /// What went wrong, and what exactly if there is more to say.
    pub(super) wrong: Option<(&'static str, String)>,
    name: String,
    to: String,
    /// What people call the directory.
    directory: Option<String>,
    /// What people call the provider.
    provider: Option<String>,
}

impl Login {
    pub(super) fn new(site: &Site, s: Shell, to: String) -> Self {
        let directory = site.logins.directory_title().map(str::to_owned);
        let provider = site.logins.provider_title().map(str::to_owned);
        Self { s, wrong: None, name: String::new(), to, directory, provider }
    }
}

/// Somebody who may come in.
pub(super) struct Entered {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) lasts: Duration,
    /// What is to be committed with the session.
    pub(super) changes: Vec<Change>,
    /// Where they go from here: a page of ours.
    pub(super) to: String,
}

#[derive(Template)]
#[template(path = "password.html")]
struct Password {
    s: Shell,
    is_one_time: bool,
    /// Who keeps the password, if not we.
    elsewhere: Option<&'static str>,
    wrong: Option<&'static str>,
    shortest: usize,
}

/// Where to go after the login.
#[derive(Deserialize)]
pub(crate) struct To {
    #[serde(default)]
    pub(super) to: String,
}

pub(crate) async fn form(
    State(site): State<Shared>,
    s: Shell,
    Query(To { to }): Query<To>,
) -> Response {
    if s.who.is_some() {
        return Redirect::to(own_page(&to)).into_response();
    }
    Page(Login::new(&site, s, to)).into_response()
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
    // A directory does not care how a name is written.
    let keys = [format!("name {}", name.to_lowercase()), format!("from {origin}")];
    let now = wall_clock();
    if let Some(wait) = site.throttle.wait(&keys, now) {
        return Err(PageError::slow(wait.as_secs() + 1));
    }
    site.throttle.count(&keys, now);
    let person = site.handle.store().person(&name).await?;
    let entry = if site.logins.is_asked(person.as_ref()) {
        site.logins.enter(&site.handle, (&name, given), person.as_ref(), &origin).await?
    } else if password::fits(given, person.as_ref().map(|person| person.password.as_str())).await {
        Entry::Open(name.clone(), Vec::new())
    } else {
        Entry::Wrong
    };
    let refused = |status, why, detail| {
        let mut page = Login::new(&site, s.clone(), to.clone());
        page.wrong = Some((why, detail));
        page.name.clone_from(&name);
        Ok((status, Page(page)).into_response())
    };
    let (name, changes) = match entry {
        Entry::Open(name, changes) => (name, changes),
        Entry::Wrong => {
            tracing::warn!("a wrong login from {origin}");
            return refused(StatusCode::UNAUTHORIZED, s.wrong_login, String::new());
        }
        Entry::Trouble => {
            site.throttle.take_back(&keys);
            let why = s.login.directory_trouble;
            return refused(StatusCode::SERVICE_UNAVAILABLE, why, String::new());
        }
        Entry::Unwelcome(why) => {
            site.throttle.forget(&keys);
            return refused(StatusCode::FORBIDDEN, unwelcome(&s, &why), why.to_string());
        }
    };
    site.throttle.forget(&keys);
    let is_asked = site.logins.is_asked(person.as_ref());
    let source = if is_asked { Source::Ldap } else { Source::Here };
    let is_one_time = person.is_some_and(|person| person.is_one_time);
    let to = if is_one_time { "/password".to_owned() } else { to };
    let entered = Entered { name, source, lasts: SESSION, changes, to };
    enter(&site, (jar, &headers), origin, entered).await
}

/// Lets somebody in: a session begins, and the one that the browser had is not taken on.
pub(super) async fn enter(
    site: &Site,
    (jar, headers): (Jar, &HeaderMap),
    origin: String,
    entered: Entered,
) -> Result<Response, PageError> {
    let Entered { name, source, lasts, mut changes, to } = entered;
    let now = wall_clock();
    changes.extend(jar.session(headers).map(|old| Change::EndSession(password::digest(&old))));
    let secret = password::secret();
    let asker = Asker { by: name.clone(), origin: origin.clone() };
    let by = (source != Source::Here).then(|| format!("by {}", source.said()));
    changes.push(Change::Session(SessionRow {
        hash: password::digest(&secret),
        person: name.clone(),
        at: now,
        expires_at: now.plus(lasts),
        origin,
    }));
    changes.push(asker.note("person.log-in", &name, None, by));
    site.handle.store().change_people(changes).await?;
    let cookie = jar.set_session(&secret, lasts);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&to)).into_response())
}

/// Why somebody who is vouched for may not come in, in the reader's language.
pub(super) fn unwelcome(s: &Shell, why: &Unwelcome) -> &'static str {
    match why {
        Unwelcome::NoRole { .. } => s.login.no_role,
        Unwelcome::Taken { .. } => s.login.name_taken,
        Unwelcome::Name(_) => s.login.odd_name,
        Unwelcome::Store(_) => s.err_broken,
    }
}

pub(crate) async fn log_out(
    State(site): State<Shared>,
    jar: Jar,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if let Some(secret) = jar.session(&headers) {
        let end = vec![Change::EndSession(password::digest(&secret))];
        site.handle.store().change_people(end).await?;
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
    let elsewhere = elsewhere(&me);
    let shortest = password::SHORTEST;
    let page = Password { s, is_one_time: me.is_one_time, elsewhere, wrong: None, shortest };
    Ok(Page(page).into_response())
}

/// Who keeps somebody's password, if not we.
fn elsewhere(me: &Who) -> Option<&'static str> {
    (me.source != Source::Here).then(|| me.source.said())
}

pub(crate) async fn change_password(
    State(site): State<Shared>,
    s: Shell,
    jar: Jar,
    me: Who,
    origin: Origin,
    fields: Fields,
) -> Result<Response, PageError> {
    if me.is_token || elsewhere(&me).is_some() {
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
        let shortest = password::SHORTEST;
        let page = Password { s, is_one_time: me.is_one_time, elsewhere: None, wrong, shortest };
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
    site.handle.store().change_people(vec![Change::Session(session)]).await?;
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
