//! The hosts that tasks work on: which they are, and the way there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_core::flow::compile::Compiled;
use weir_core::flow::{Job, Uses, selector};
use weir_core::hosts::{Route, Surroundings, facts, select, way};
use weir_core::ids::{RunId, TaskIx};
use weir_core::schema::TextKind;
use weir_core::secret::Secret;
use weir_core::template::{self, Context};

use crate::engine::Handle;
use crate::live::Live;
use crate::secrets::of_project;
use crate::store;
use crate::store::rows::FlowRow;
use crate::turn::{Turn, World};

/// What a person does who has selected no host.
const NONE: &str = "help: `weir hosts list` shows the labels of each";

/// The hosts that a job is spread over, as the items of a `foreach` over them would be.
pub(crate) fn items(job: &Job, cx: &Context) -> Result<Vec<Value>, String> {
    let text = job.uses.as_deref().and_then(selector).ok_or("it has no items")?;
    let filled = template::text(&text, TextKind::Plain, cx).map_err(|error| error.to_string())?;
    if !filled.secrets.is_empty() {
        return Err("hosts can't be selected by a secret: their names are shown".to_owned());
    }
    let chosen = select(&cx.hosts, &filled.value).map_err(|error| error.to_string())?;
    if chosen.is_empty() {
        return Err(format!("`{}` selects no host\n{NONE}", filled.value));
    }
    Ok(chosen.into_iter().map(facts).collect())
}

/// The host of a task whose job is spread over several, as templates see it.
fn spread_item<'l>(live: &'l Live, job: &Job, task: TaskIx) -> Option<&'l Value> {
    if job.foreach.is_some() {
        return None;
    }
    let (number, holder) = live.run.item(task).zip(live.run.parent(task))?;
    live.items.get(&holder)?.get(number as usize)
}

/// A project of which a flow is in effect.
pub struct InEffect {
    /// That flow, with the project.
    pub compiled: Arc<Compiled>,
    /// The project's folder.
    pub folder: PathBuf,
}

impl Handle {
    /// The projects of flows that are in effect, by name, each as it was loaded last.
    ///
    /// # Errors
    /// The store can't be read. A version that can't be used is passed over.
    pub async fn projects(&self) -> Result<BTreeMap<String, InEffect>, store::Error> {
        let mut newest: BTreeMap<String, FlowRow> = BTreeMap::new();
        for row in self.store().loaded_flows().await?.into_iter().filter(|row| !row.is_gone) {
            let known = newest.entry(row.project.clone()).or_insert_with(|| row.clone());
            if row.at > known.at {
                *known = row;
            }
        }
        let mut found = BTreeMap::new();
        for (name, row) in newest {
            let compiled = self.library().version(self.store(), &row.version).await;
            let kept = self.library().kept(self.store(), &row.version).await;
            if let (Ok(compiled), Ok(kept)) = (compiled, kept) {
                found.insert(name, InEffect { compiled, folder: kept.folder });
            }
        }
        Ok(found)
    }

    /// The way to a host of a project that is in effect, with what opens it.
    ///
    /// # Errors
    /// There is no such project or host, or a secret on the way is not known; in words for people.
    pub async fn route(&self, project: &str, host: &str) -> Result<Route, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mut projects = self.projects().await.map_err(|error| text(&error))?;
        let found = projects.remove(project).ok_or("no flow of the project is in effect")?;
        let home = self.store().home();
        let secrets = of_project(home, project).await.map_err(|error| text(&error))?;
        let (user_folder, kept) = (user_folder(), home.hosts(project));
        let around = Surroundings {
            project: &found.compiled.project,
            folder: &found.folder,
            user_folder: user_folder.as_deref(),
            kept: Some(&kept),
            secret: &|name| secrets.get(name).cloned(),
        };
        around.route(host).map_err(|error| text(&error))
    }
}

impl Turn {
    /// Puts the host of a task in the place of what selects all hosts of its job.
    pub(crate) fn name_host(&self, run: RunId, task: TaskIx, uses: &Uses, with: &mut Value) {
        let Some(live) = self.runs.get(&run) else { return };
        let job = &live.compiled.jobs[live.run.tasks()[task.at()].job.at()];
        let is_same = || {
            let source = |uses: &Uses| selector(uses).map(|text| text.source);
            source(uses).is_some() && source(uses) == job.uses.as_deref().and_then(source)
        };
        if let Some(item) = spread_item(live, job, task).filter(|_| is_same())
            && let Some(hosts) = with.get_mut("hosts")
        {
            *hosts = item["name"].clone();
        }
    }

    /// The host of a piece of work as its templates see it, if it works on one.
    pub(crate) fn host_of(
        &self,
        run: RunId,
        task: TaskIx,
        uses: &Uses,
        cx: &Context,
        world: &mut dyn World,
    ) -> Option<Value> {
        if !world.library().job_types.traits(&uses.job_type).works_on_hosts {
            return None;
        }
        let mut named = Value::Object(Map::from_iter([("hosts".to_owned(), Value::Null)]));
        self.name_host(run, task, uses, &mut named);
        let name = match named["hosts"].as_str() {
            Some(name) => name.to_owned(),
            // What is wrong with it is told when the way there is looked for.
            None => template::text(&selector(uses)?, TextKind::Plain, cx).ok()?.value,
        };
        match select(&cx.hosts, &name).ok()?.as_slice() {
            [host] => Some(facts(host)),
            _ => None,
        }
    }

    /// The way to the host of a piece of work, if it works on one.
    pub(crate) fn route(
        &self,
        run: RunId,
        uses: &Uses,
        with: &Value,
        world: &mut dyn World,
    ) -> Result<Option<Arc<Route>>, String> {
        let selector = with.get("hosts").and_then(Value::as_str);
        let Some(selector) =
            selector.filter(|_| world.library().job_types.traits(&uses.job_type).works_on_hosts)
        else {
            return Ok(None);
        };
        let live = self.runs.get(&run).ok_or("the run has ended")?;
        let chosen = select(&live.hosts, selector).map_err(|error| error.to_string())?;
        let host = match chosen.as_slice() {
            [host] => host,
            [] => return Err(format!("`{selector}` selects no host\n{NONE}")),
            several => {
                return Err(format!(
                    "`{selector}` selects {} hosts, and this works on one\nhelp: give the job \
                     `foreach: \"{{{{ hosts(...) }}}}\"` over them, and `hosts: \"{{{{ item.name }}}}\"`",
                    several.len()
                ));
            }
        };
        let project = &live.compiled.project;
        let steps = way(&project.hosts, &host.name).map_err(|error| error.to_string())?;
        let names = steps.iter().flat_map(|step| step.host.login.secrets());
        let secrets: BTreeMap<&str, Secret> =
            names.filter_map(|name| Some((name, world.secret(&live.row.project, name)?))).collect();
        let (user_folder, kept) = (user_folder(), world.home().hosts(&live.row.project));
        let around = Surroundings {
            project,
            folder: &live.folder,
            user_folder: user_folder.as_deref(),
            kept: Some(&kept),
            secret: &|name| secrets.get(name).cloned(),
        };
        let route = around.route(&host.name).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(route)))
    }
}

/// The folder of the user that this process runs as.
pub fn user_folder() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|path| !path.is_empty()).map(PathBuf::from)
}
