//! The machines that flows work on: which there are, whether each is reached, what it says of itself.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Redirect;
use serde_json::{Map, Value};
use weir_engine::people::Role;

use crate::address::Path;
use crate::clock::{At, bytes, span};
use crate::error::PageError;
use crate::form::{self, Fields, encoded, own_page};
use crate::hosts::{self, Known};
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;
use crate::words::Words;

/// Hosts that are shown.
const MOST: usize = 500;

#[derive(Template)]
#[template(path = "hosts.html")]
pub(crate) struct Hosts {
    s: Shell,
    projects: Vec<Project>,
    is_cut: bool,
}

struct Project {
    name: String,
    /// Where its hosts are looked at from.
    href: String,
    may_look: bool,
    hosts: Vec<Line>,
}

#[derive(Template)]
#[template(path = "host.html")]
pub(crate) struct Host {
    s: Shell,
    line: Line,
    project: String,
    href: String,
    may_look: bool,
    facts: Vec<(&'static str, String)>,
}

struct Line {
    name: String,
    href: String,
    login: String,
    through: Vec<String>,
    becomes: String,
    labels: Vec<String>,
    looked: Option<LookedLine>,
}

struct LookedLine {
    at: At,
    is_reached: bool,
    /// Each machine on the way with the time it took.
    hops: Vec<(String, String)>,
    error: String,
}

fn project_address(project: &str) -> String {
    format!("/hosts/{}", if project.is_empty() { "-".to_owned() } else { encoded(project) })
}

impl Line {
    fn new(host: &Known) -> Self {
        let user = host.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let login = match host.port {
            22 => format!("{user}{}", host.address),
            port if host.address.contains(':') => format!("{user}[{}]:{port}", host.address),
            port => format!("{user}{}:{port}", host.address),
        };
        let hop = |hop: &weir_core::hosts::HopLooked| {
            let took = hop.ms.map(std::time::Duration::from_millis).map(span);
            (hop.name.clone(), took.unwrap_or_default())
        };
        Self {
            name: host.name.clone(),
            href: format!("{}/{}", project_address(&host.project), encoded(&host.name)),
            login,
            through: host.through.clone(),
            becomes: host.becomes.clone().unwrap_or_default(),
            labels: host.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            looked: host.looked.as_ref().map(|found| LookedLine {
                at: At::new(found.at),
                is_reached: found.is_reached,
                hops: found.looked.hops.iter().map(hop).collect(),
                error: found.looked.error.clone().unwrap_or_default(),
            }),
        }
    }
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
) -> Result<Page<Hosts>, PageError> {
    let mut all = hosts::all(&site, &me).await?;
    let is_cut = all.len() > MOST;
    all.truncate(MOST);
    let mut projects: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for host in &all {
        projects.entry(host.project.clone()).or_default().push(Line::new(host));
    }
    let projects = projects
        .into_iter()
        .map(|(name, hosts)| Project {
            href: project_address(&name),
            may_look: me.may(Role::Operator, &name),
            name,
            hosts,
        })
        .collect();
    Ok(Page(Hosts { s, projects, is_cut }))
}

pub(crate) async fn show(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path((project, name)): Path<(String, String)>,
) -> Result<Page<Host>, PageError> {
    let project = form::project(&project).to_owned();
    let host = hosts::one(&site, &me, (&project, &name), Role::Viewer).await?;
    let facts = host.looked.as_ref().map(|found| facts(&found.looked.facts, &s));
    Ok(Page(Host {
        line: Line::new(&host),
        href: project_address(&project),
        may_look: me.may(Role::Operator, &project),
        facts: facts.unwrap_or_default(),
        project,
        s,
    }))
}

/// What a host says of itself, as people read it.
fn facts(facts: &Map<String, Value>, words: &Words) -> Vec<(&'static str, String)> {
    let w = words.host;
    let text = |key: &str| facts.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| facts.get(key).and_then(Value::as_u64);
    let of = |free: &str, all: &str| {
        let (free, all) = (bytes(number(free)? * 1024), bytes(number(all)? * 1024));
        Some(format!("{free} / {all}"))
    };
    let skew = facts.get("clock_skew_ms").and_then(Value::as_i64).map(|skew| {
        let error = facts.get("clock_skew_error_ms").and_then(Value::as_i64).unwrap_or(0);
        format!("{:+.1} s (± {:.1} s)", skew as f64 / 1000.0, error as f64 / 1000.0)
    });
    let up = number("uptime_s").map(|secs| span(std::time::Duration::from_secs(secs)));
    let rows = [
        (w.host_name, text("hostname")),
        (w.user, text("user")),
        (w.os, text("os")),
        (w.kernel, text("kernel")),
        (w.architecture, text("architecture")),
        (w.cores, number("cores").map(|cores| cores.to_string())),
        (w.memory_free, of("memory_free_kib", "memory_kib")),
        (w.disk_free, of("disk_free_kib", "disk_kib")),
        (w.up, up),
        (w.clock_skew, skew),
        (w.boot_id, text("boot_id")),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Goes to one host of a project, or to all of them; then back to where the button was.
pub(crate) async fn look(
    State(site): State<Shared>,
    me: Who,
    Path(project): Path<String>,
    fields: Fields,
) -> Result<Redirect, PageError> {
    let project = form::project(&project).to_owned();
    me.must(Role::Operator, &project)?;
    let all = hosts::all(&site, &me).await?;
    let wanted = fields.get("host");
    let names: Vec<String> = all
        .into_iter()
        .filter(|host| host.project == project && wanted.is_none_or(|name| name == host.name))
        .map(|host| host.name)
        .collect();
    if names.is_empty() {
        return Err(PageError::no_page());
    }
    hosts::look(&site, &me, &project, names).await?;
    Ok(Redirect::to(fields.get("back").map_or("/hosts", own_page)))
}
