//! `weir verify`, `weir backup`, `weir restore`.

use anyhow::Context as _;
use weir_engine::api::Request;
use weir_engine::store::backup;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::view::local;

pub(crate) async fn verify(global: &Global) -> Ended {
    let wrong = Access::once(global, "weir verify", Purpose::Look, Request::Verify).await?;
    let list: Vec<&str> =
        wrong.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    if global.json {
        say!("{wrong}")?;
    } else if list.is_empty() {
        if !global.quiet {
            say!("all records fit what happened")?;
        }
    } else {
        for line in &list {
            say!("{line}")?;
        }
    }
    Ok(if list.is_empty() { End::Done } else { End::Failed })
}

pub(crate) async fn backup(global: &Global, args: args::Backup) -> Ended {
    let to = std::path::absolute(&args.to).context("the folder this runs in is gone")?;
    let request = Request::Backup { to: to.clone(), logs: !args.no_logs };
    Access::once(global, "weir backup", Purpose::Look, request).await?;
    if !global.quiet && !global.json {
        say!("{} holds the backup; the key of the secrets is not in it", to.display())?;
    }
    Ok(End::Done)
}

pub(crate) async fn restore(global: &Global, args: args::Restore) -> Ended {
    let home = access::home_path(global)?;
    let manifest = backup::restore(&args.from, &home).await?;
    if global.json {
        say!("{}", serde_json::to_string(&manifest)?)?;
    } else if !global.quiet {
        say!(
            "{} is as it was at {}: runs up to {}",
            home.display(),
            local(manifest.at),
            manifest.last_run
        )?;
        let key = home.join("secret.key");
        if !key.is_file() && std::env::var_os("WEIR_SECRET_KEY").is_none() {
            say!("the key of the secrets was not in the backup: put it back as {}", key.display())?;
        }
    }
    Ok(End::Done)
}
