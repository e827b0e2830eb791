//! `weir hosts check`: is each host reached, machine by machine on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_core::hosts::Route;
use weir_plugins::{Pool, SshBounds};

use super::inventory::Inventory;
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::style::{Look, Style};
use crate::view::span;

/// How many hosts are looked at at once.
const AT_ONCE: usize = 16;

/// What was found of one host.
pub(super) struct Found {
    name: String,
    /// The machines on the way with the time that each took to be reached and to answer, in milliseconds.
    pub(super) hops: Vec<(String, Option<u64>)>,
    /// Why it is not reached.
    pub(super) error: Option<String>,
}

pub(crate) async fn check(global: &Global, chosen: &args::ChosenHosts, within: u64) -> Ended {
    let inventory = Inventory::find(global, &chosen.dir).await?;
    let keys = inventory.keys().await?;
    let within = Duration::from_secs(within);
    let pool = Pool::new(SshBounds::default());
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut found: Vec<Option<Found>> = Vec::new();
    let mut looks = JoinSet::new();
    for (place, host) in inventory.chosen(chosen.selector.as_deref())?.into_iter().enumerate() {
        found.push(None);
        match keys.route(&host.name) {
            Ok(route) => {
                let (pool, slots) = (Arc::clone(&pool), Arc::clone(&slots));
                looks.spawn(async move {
                    let _slot = slots.acquire_owned().await;
                    (place, look(&pool, route, within).await)
                });
            }
            Err(error) => {
                let error = Some(error.to_string());
                found[place] = Some(Found { name: host.name.clone(), hops: Vec::new(), error });
            }
        }
    }
    while let Some(look) = looks.join_next().await {
        let (place, one) = look?;
        found[place] = Some(one);
    }
    let found: Vec<Found> = found.into_iter().flatten().collect();
    let all_reached = found.iter().all(|found| found.error.is_none());
    if global.json {
        let hosts: Vec<Value> = found.iter().map(shown).collect();
        say!("{}", json!({ "hosts": hosts }))?;
    } else {
        say_text!("{}", told(&found, Style::for_stdout(global)))?;
    }
    Ok(if all_reached { End::Done } else { End::Failed })
}

/// Goes to each machine on the way, one after the other, and becomes the other user at the end.
pub(super) async fn look(pool: &Pool, route: Route, within: Duration) -> Found {
    let name = route.host().name.clone();
    let mut hops = Vec::new();
    let mut error = None;
    for (place, hop) in route.hops.iter().enumerate() {
        let is_last = place + 1 == route.hops.len();
        let part = if is_last { route.clone() } else { route.up_to(place) };
        let begun = Instant::now();
        let result = pool.run(&part, "exit 0", within).await;
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        error = match result {
            Ok(ran) if ran.code == 0 => None,
            Ok(ran) => Some(format!(
                "a shell on `{}` ends with {}: {}",
                hop.name,
                ran.code,
                String::from_utf8_lossy(&ran.err).trim()
            )),
            Err(failure) => Some(failure.message),
        };
        hops.push((hop.name.clone(), error.is_none().then_some(ms)));
        if error.is_some() {
            break;
        }
    }
    Found { name, hops, error }
}

fn shown(found: &Found) -> Value {
    let hops: Vec<Value> = found
        .hops
        .iter()
        .map(|(name, ms)| json!({ "name": name, "is_reached": ms.is_some(), "ms": ms }))
        .collect();
    json!({
        "name": found.name,
        "is_reached": found.error.is_none(),
        "hops": hops,
        "error": found.error,
    })
}

fn told(found: &[Found], style: Style) -> String {
    let wide = found.iter().map(|found| found.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for one in found {
        let look = if one.error.is_none() { Look::Good } else { Look::Bad };
        let way: Vec<String> = one
            .hops
            .iter()
            .map(|(name, ms)| match ms {
                Some(ms) => format!("{name} {}", style.faint(&span(*ms))),
                None => style.bad(&format!("{name} {}", style.mark(Look::Bad))),
            })
            .collect();
        let line = format!(
            "{} {:<wide$}  {}",
            style.look(look, style.mark(look)),
            one.name,
            way.join(" > ")
        );
        add!(out, "{}\n", line.trim_end());
        for line in one.error.iter().flat_map(|error| error.lines()) {
            add!(out, "    {line}\n");
        }
    }
    out
}
