//! `weir secret`: values go in over standard input and never come out.

use serde_json::Value;
use weir_engine::api::Request;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global, SecretCommand};
use crate::end::{End, Ended, wrong};
use crate::{params, prompt};

pub(crate) async fn secret(global: &Global, args: args::Secret) -> Ended {
    match args.what {
        SecretCommand::Set { name, project } => set(global, name, project).await,
        SecretCommand::List => list(global).await,
        SecretCommand::Rm { name, project } => remove(global, name, project).await,
    }
}

async fn ask(global: &Global, command: &str, request: Request) -> anyhow::Result<Value> {
    let mut access = Access::open(global, command, Purpose::Look).await?;
    let answer = access.ask(request).await;
    access.close().await?;
    Ok(answer?)
}

async fn set(global: &Global, name: String, project: String) -> Ended {
    let value = if prompt::can_ask() {
        prompt::hidden(&format!("{name}: "))?
    } else {
        params::read_all(&mut std::io::stdin().lock()).map_err(|error| {
            wrong(format!("the value can't be read from standard input: {error}"))
        })?
    };
    if value.is_empty() {
        return Err(wrong(format!(
            "the value of `{name}` is empty\nhelp: write it to standard input: weir secret set {name} < FILE"
        )));
    }
    let request =
        Request::SecretSet { scope: project, name: name.clone(), value, by: access::asker() };
    ask(global, "weir secret set", request).await?;
    if !global.quiet {
        say!("`{name}` is kept")?;
    }
    Ok(End::Done)
}

async fn list(global: &Global) -> Ended {
    let secrets = ask(global, "weir secret list", Request::SecretList).await?;
    if global.json {
        say!("{secrets}")?;
        return Ok(End::Done);
    }
    for secret in secrets.as_array().into_iter().flatten() {
        let name = secret["name"].as_str().unwrap_or_default();
        match secret["scope"].as_str().filter(|scope| !scope.is_empty()) {
            Some(scope) => say!("{name}  (project {scope})")?,
            None => say!("{name}")?,
        }
    }
    Ok(End::Done)
}

async fn remove(global: &Global, name: String, project: String) -> Ended {
    let request = Request::SecretRemove { scope: project, name: name.clone() };
    let was_there = ask(global, "weir secret rm", request).await?;
    if was_there == false {
        return Err(wrong(format!(
            "there is no secret `{name}`\nhelp: `weir secret list` lists them"
        )));
    }
    if !global.quiet {
        say!("`{name}` is forgotten")?;
    }
    Ok(End::Done)
}
