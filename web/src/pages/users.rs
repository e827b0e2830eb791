//! Users, their roles, tokens.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use weir_engine::engine::wall_clock;
use weir_engine::people::{self, Ask, Role, Source};

use crate::clock::At;
use crate::error::PageError;
use crate::form::Fields;
use crate::password;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::{self, Origin, Who};

#[derive(Template)]
#[template(path = "users.html")]
struct Users {
    s: Shell,
    /// What is shown once: whose or of what, and the secret itself.
    secret: Option<(String, String)>,
    wrong: Vec<String>,
    people: Vec<Person>,
    roles: Vec<(&'static str, &'static str)>,
    tokens: Vec<Token>,
}

struct Person {
    name: String,
    is_one_time: bool,
    /// Who vouches for them, if not we.
    elsewhere: Option<&'static str>,
    roles: Vec<RoleOf>,
}

struct RoleOf {
    project: String,
    said: &'static str,
}

struct Token {
    name: String,
    role: &'static str,
    project: String,
    expires: Option<At>,
    by: String,
}

pub(crate) async fn list(State(site): State<Shared>, s: Shell) -> Result<Response, PageError> {
    Ok(Page(page(&site, s).await?).into_response())
}

async fn page(site: &Site, s: Shell) -> Result<Users, PageError> {
    let store = site.handle.store();
    let said = |code| Role::from_code(code).map_or("", |role| s.state(role.name()));
    let people = store.people().await?;
    let tokens = store.tokens().await?;
    Ok(Users {
        secret: None,
        wrong: Vec::new(),
        people: people
            .into_iter()
            .map(|person| Person {
                elsewhere: Some(Source::of(&person))
                    .filter(|source| *source != Source::Here)
                    .map(Source::said),
                name: person.name,
                is_one_time: person.is_one_time,
                roles: person
                    .roles
                    .into_iter()
                    .map(|(project, code)| RoleOf { project, said: said(code) })
                    .collect(),
            })
            .collect(),
        roles: Role::ALL.iter().map(|role| (role.name(), s.state(role.name()))).collect(),
        tokens: tokens
            .into_iter()
            .map(|token| Token {
                name: token.name,
                role: said(token.role),
                project: token.project,
                expires: token.expires_at.map(At::new),
                by: token.by,
            })
            .collect(),
        s,
    })
}

pub(crate) async fn change(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    origin: Origin,
    fields: Fields,
) -> Result<Response, PageError> {
    let asked = ask(&site, &fields).await;
    let asker = who::asker(&me, &origin);
    let result = match asked {
        Ok((ask, secret)) => match people::answer(&site.handle, ask, &asker).await {
            Ok(_) => Ok(secret),
            Err(problem) => Err(PageError::from(problem)),
        },
        Err(error) => Err(error),
    };
    match result {
        Ok(None) => Ok(Redirect::to("/users").into_response()),
        Ok(Some(secret)) => {
            let mut page = page(&site, s).await?;
            page.secret = Some((fields.text("name").to_owned(), secret));
            Ok(Page(page).into_response())
        }
        Err(error) if error.kind == crate::error::Kind::Bad => {
            let mut page = page(&site, s).await?;
            page.wrong.push(error.detail);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response())
        }
        Err(error) => Err(error),
    }
}

/// What is asked, and the secret that is made for it.
async fn ask(site: &Site, fields: &Fields) -> Result<(Ask, Option<String>), PageError> {
    let name = fields.text("name").trim().to_owned();
    let project = fields.text("project").trim().to_owned();
    let role = || {
        Role::named(fields.text("role"))
            .ok_or_else(|| PageError::bad(format!("there is no role `{}`", fields.text("role"))))
    };
    let is_known = site.handle.store().person(&name).await?.is_some();
    Ok(match fields.text("do") {
        "add" if is_known => {
            return Err(PageError::bad(format!("there is a user `{name}` already")));
        }
        "reset" if !is_known => return Err(PageError::bad(format!("there is no user `{name}`"))),
        "add" | "reset" => {
            let word = password::one_time();
            let hash = password::hash(&word).await.map_err(PageError::broken)?;
            let role = if fields.text("do") == "add" { Some((project, role()?)) } else { None };
            (Ask::Add { name, password: hash, one_time: true, role }, Some(word))
        }
        "role" => (Ask::Role { name, project, role: Some(role()?) }, None),
        "take-role" => (Ask::Role { name, project, role: None }, None),
        "log-out" => (Ask::LogOut { name }, None),
        "remove" => (Ask::Remove { name }, None),
        "add-token" => {
            let days = fields.text("days").trim();
            let expires_at = if days.is_empty() {
                None
            } else {
                let days: u64 = days
                    .parse()
                    .ok()
                    .filter(|days| (1..=36_500).contains(days))
                    .ok_or_else(|| PageError::bad("days must be a number from 1 to 36500"))?;
                Some(wall_clock().plus(Duration::from_hours(days * 24)))
            };
            let token = password::token();
            let hash = password::digest(&token);
            (Ask::AddToken { name, hash, project, role: role()?, expires_at }, Some(token))
        }
        "remove-token" => (Ask::RemoveToken { name }, None),
        other => return Err(PageError::bad(format!("`{other}` can't be done to users"))),
    })
}
