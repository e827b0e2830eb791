//! The hosts of projects that somebody may see, and what was found when somebody looked: for pages and programs alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_core::flow::Host;
use weir_core::hosts::{Looked, way};
use weir_core::time::Timestamp;
use weir_engine::engine::wall_clock;
use weir_engine::people::Role;

use crate::error::PageError;
use crate::site::{Shared, Site};
use crate::who::Who;

/// How long a host may take to be reached and to answer.
const WITHIN: Duration = Duration::from_secs(15);
/// Hosts that are looked at at once.
const AT_ONCE: usize = 16;

/// A host, as people and programs see it. What opens it is not told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Known {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    /// The user that jobs become there.
    pub(crate) becomes: Option<String>,
    /// The machines to go through.
    pub(crate) through: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// What was found last, since the server has started.
    pub(crate) looked: Option<Found>,
}

/// What was found of a host, and when.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) at: Timestamp,
    pub(crate) is_reached: bool,
    #[serde(flatten)]
    pub(crate) looked: Looked,
}

/// All that somebody may see, by project and name.
pub(crate) async fn all(site: &Site, who: &Who) -> Result<Vec<Known>, PageError> {
    let mut all = Vec::new();
    for (name, found) in site.handle.projects().await? {
        if who.role_in(&name).is_none() {
            continue;
        }
        let hosts = &found.compiled.project.hosts;
        all.extend(hosts.values().map(|host| known(site, &name, host, hosts)));
    }
    Ok(all)
}

fn known(site: &Site, project: &str, host: &Host, hosts: &BTreeMap<String, Host>) -> Known {
    let mut steps = way(hosts, &host.name).unwrap_or_default();
    steps.pop();
    Known {
        project: project.to_owned(),
        name: host.name.clone(),
        address: host.address.clone(),
        port: host.login.port.unwrap_or(22),
        user: host.login.user.clone(),
        becomes: host.login.become_user.as_ref().map(|becomes| becomes.user.clone()),
        through: steps.iter().map(|step| step.host.name.clone()).collect(),
        labels: host.labels.clone(),
        looked: site.looked(project, &host.name),
    }
}

/// One, for somebody who needs a role for it.
pub(crate) async fn one(
    site: &Site,
    who: &Who,
    (project, name): (&str, &str),
    role: Role,
) -> Result<Known, PageError> {
    who.must(role, project)?;
    let all = all(site, who).await?;
    let found = all.into_iter().find(|host| host.project == project && host.name == name);
    found.ok_or_else(PageError::no_page)
}

/// Goes to hosts of a project, and keeps what was found.
pub(crate) async fn look(
    site: &Shared,
    who: &Who,
    project: &str,
    names: Vec<String>,
) -> Result<(), PageError> {
    who.must(Role::Operator, project)?;
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    for name in names {
        let (site, slots, project) = (Arc::clone(site), Arc::clone(&slots), project.to_owned());
        looks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let looked = go(&site, &project, &name).await;
            let found = Found { at: wall_clock(), is_reached: looked.error.is_none(), looked };
            site.keep_looked(&project, &name, found);
        });
    }
    while let Some(look) = looks.join_next().await {
        look.map_err(PageError::broken)?;
    }
    Ok(())
}

async fn go(site: &Site, project: &str, name: &str) -> Looked {
    let not = |why: String| Looked { error: Some(why), ..Looked::default() };
    match (site.handle.route(project, name).await, &site.lookout) {
        (Ok(route), Some(lookout)) => lookout.look(route, WITHIN).await,
        (Ok(_), None) => not("this server has no way to hosts".to_owned()),
        (Err(error), _) => not(error),
    }
}
