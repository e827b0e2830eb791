//! `weir user` and `weir token`: who may use the pages, and keys for programs.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;
use weir_engine::api::Request;
use weir_engine::engine::wall_clock;
use weir_engine::people::{Ask, Role};
use weir_web::password;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global, TokenCommand, UserCommand};
use crate::end::{End, Ended, wrong};

pub(crate) async fn user(global: &Global, args: args::User) -> Ended {
    match args.what {
        UserCommand::Add { name, role, project, password_stdin } => {
            let word = if password_stdin { given()? } else { password::one_time() };
            let hash = password::hash(&word).await?;
            let one_time = !password_stdin;
            let role = Some((project, named(&role)?));
            if ask(global, Ask::People)
                .await?
                .as_array()
                .into_iter()
                .flatten()
                .any(|person| person["name"] == name.as_str())
            {
                return Err(wrong(format!(
                    "there is a user `{name}` already\nhelp: `weir user password {name}` makes a new password"
                )));
            }
            ask(global, Ask::Add { name, password: hash, one_time, role }).await?;
            show_once(global, &word, one_time)
        }
        UserCommand::Password { name, password_stdin } => {
            let people = ask(global, Ask::People).await?;
            if !people
                .as_array()
                .into_iter()
                .flatten()
                .any(|person| person["name"] == name.as_str())
            {
                return Err(wrong(format!("there is no user `{name}`")));
            }
            let word = if password_stdin { given()? } else { password::one_time() };
            let hash = password::hash(&word).await?;
            let one_time = !password_stdin;
            ask(global, Ask::Add { name, password: hash, one_time, role: None }).await?;
            show_once(global, &word, one_time)
        }
        UserCommand::List => list(global, &ask(global, Ask::People).await?, |person| {
            let role = |role: &Value| {
                let project = role["project"].as_str().unwrap_or_default();
                let name = role["role"].as_str().unwrap_or_default();
                if project.is_empty() { name.to_owned() } else { format!("{project}:{name}") }
            };
            let mut words: Vec<String> =
                person["roles"].as_array().into_iter().flatten().map(role).collect();
            let source = person["source"].as_str().unwrap_or_default();
            if !source.is_empty() {
                words.push(format!("by {source}"));
            }
            words.join(" ")
        }),
        UserCommand::Rm { name } => done(global, Ask::Remove { name }).await,
        UserCommand::Role { name, role, project } => {
            let role = if role == "none" { None } else { Some(named(&role)?) };
            done(global, Ask::Role { name, project, role }).await
        }
    }
}

pub(crate) async fn token(global: &Global, args: args::Token) -> Ended {
    match args.what {
        TokenCommand::Add { name, role, project, days } => {
            let token = password::token();
            let expires_at =
                days.map(|days| wall_clock().plus(Duration::from_hours(24 * u64::from(days))));
            let hash = password::digest(&token);
            let role = named(&role)?;
            ask(global, Ask::AddToken { name, hash, project, role, expires_at }).await?;
            show_once(global, &token, true)
        }
        TokenCommand::List => list(global, &ask(global, Ask::Tokens).await?, |token| {
            let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
            let until = match token["expires_at"].as_str() {
                Some(at) => format!("until {at}"),
                None => "for good".to_owned(),
            };
            format!("{} {} {until}", text("project"), text("role")).trim_start().to_owned()
        }),
        TokenCommand::Rm { name } => done(global, Ask::RemoveToken { name }).await,
    }
}

fn named(role: &str) -> anyhow::Result<Role> {
    Role::named(role).ok_or_else(|| {
        wrong(format!("there is no role `{role}`\nhelp: viewer, operator, author or admin"))
    })
}

/// A password from standard input.
fn given() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    if text.chars().count() < password::SHORTEST {
        return Err(wrong(format!("a password has at least {} characters", password::SHORTEST)));
    }
    Ok(text)
}

async fn ask(global: &Global, ask: Ask) -> anyhow::Result<Value> {
    let request = Request::People { ask, by: access::asker() };
    Access::once(global, "weir user", Purpose::Look, request).await
}

async fn done(global: &Global, what: Ask) -> Ended {
    ask(global, what).await?;
    if global.json {
        say!("null")?;
    }
    Ok(End::Done)
}

/// Prints what is printed once.
fn show_once(global: &Global, secret: &str, is_made: bool) -> Ended {
    if is_made {
        if global.json {
            say!("{}", Value::from(secret))?;
        } else {
            say!("{secret}")?;
        }
    }
    Ok(End::Done)
}

fn list(global: &Global, items: &Value, more: impl Fn(&Value) -> String) -> Ended {
    if global.json {
        say!("{items}")?;
        return Ok(End::Done);
    }
    for item in items.as_array().into_iter().flatten() {
        say!("{}\t{}", item["name"].as_str().unwrap_or_default(), more(item))?;
    }
    Ok(End::Done)
}
