//! The hosts of a project, as the command line sees them: found, chosen, and the way to each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use weir_core::flow::{Host, Project};
use weir_core::hosts::{BadSelector, Route, Surroundings, select};
use weir_core::mistake::Severity;
use weir_core::schema::nearest;
use weir_core::secret::Secret;
use weir_engine::home::Home;
use weir_engine::hosts::user_folder;
use weir_engine::library::{FileText, Library, Source};

use crate::access;
use crate::args::Global;
use crate::end::wrong;
use crate::flow_file::dressed;
use crate::shipped;
use crate::style::Style;

/// The file that makes a folder a project.
const PROJECT: &str = "project.yaml";
/// How many folders are looked in: the one named, and those above it.
const LEVELS: usize = 3;

/// A project whose hosts are looked at.
pub(crate) struct Inventory {
    pub(crate) project: Arc<Project>,
    folder: PathBuf,
    home: PathBuf,
}

impl Inventory {
    /// The project of a folder, or of one above it.
    ///
    /// # Errors
    /// There is none, or it has mistakes, which have been told.
    pub(crate) async fn find(global: &Global, dir: &Path) -> anyhow::Result<Self> {
        let whole = std::path::absolute(dir)?;
        let folder = if whole.is_file() { whole.parent() } else { Some(whole.as_path()) };
        let above = folder.into_iter().flat_map(Path::ancestors).take(LEVELS);
        let folder = above.into_iter().find(|folder| folder.join(PROJECT).is_file());
        let Some(folder) = folder else {
            return Err(wrong(format!(
                "there is no {PROJECT} in {} or above it\nhelp: name the project's folder with --dir DIR",
                dir.display()
            )));
        };
        let file = folder.join(PROJECT);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        let home = access::home_path(global)?;
        let library = shipped::library(&home).await?;
        let project = load(global, &library, &file, &text)?;
        Ok(Self { project: Arc::new(project), folder: folder.to_owned(), home })
    }

    /// The inventory of a project that is at hand.
    pub(crate) fn of(project: Project, folder: &Path, home: &Path) -> Self {
        Self { project: Arc::new(project), folder: folder.to_owned(), home: home.to_owned() }
    }

    /// The hosts that a selector means; all without one.
    ///
    /// # Errors
    /// It is wrong, or means none.
    pub(crate) fn chosen(&self, selector: Option<&str>) -> anyhow::Result<Vec<&Host>> {
        let hosts = &self.project.hosts;
        let Some(selector) = selector else { return Ok(hosts.values().collect()) };
        let chosen = select(hosts, selector).map_err(|error| {
            let help = match &error {
                BadSelector::Unknown { nearest: None, .. } if !hosts.is_empty() => {
                    "\nhelp: `weir hosts list` lists them"
                }
                _ => "",
            };
            wrong(format!("{error}{help}"))
        })?;
        if chosen.is_empty() {
            return Err(wrong(format!(
                "`{selector}` selects no host\nhelp: `weir hosts list` shows the labels of each"
            )));
        }
        Ok(chosen)
    }

    /// The host of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn host(&self, name: &str) -> anyhow::Result<&Host> {
        let hosts = &self.project.hosts;
        hosts.get(name).ok_or_else(|| {
            let help = match nearest(name, hosts.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`weir hosts list` lists them".to_owned(),
            };
            wrong(format!("there is no host `{name}`\nhelp: {help}"))
        })
    }

    /// What opens the way to hosts: the secrets that the project may read, whoever holds the home.
    ///
    /// # Errors
    /// The secrets can't be read.
    pub(crate) async fn keys(&self) -> anyhow::Result<Keys<'_>> {
        let secrets = if self.home.is_dir() {
            let home = Home::open(&self.home)?;
            weir_engine::secrets::of_project(&home, &self.project.name).await?
        } else {
            BTreeMap::new()
        };
        Ok(Keys { inventory: self, secrets, user_folder: user_folder() })
    }

    /// Where it is kept what was done to a host.
    pub(crate) fn records(&self, host: &str) -> anyhow::Result<PathBuf> {
        Ok(self.kept()?.join(host))
    }

    fn kept(&self) -> anyhow::Result<PathBuf> {
        Ok(Home::open(&self.home)?.hosts(&self.project.name))
    }
}

/// What opens the way to hosts.
pub(crate) struct Keys<'a> {
    inventory: &'a Inventory,
    secrets: BTreeMap<String, Secret>,
    user_folder: Option<PathBuf>,
}

impl Keys<'_> {
    /// The way to a host.
    ///
    /// # Errors
    /// There is none, or a secret on it is not known.
    pub(crate) fn route(&self, host: &str) -> anyhow::Result<Route> {
        let Inventory { project, folder, home, .. } = self.inventory;
        let kept = home.is_dir().then(|| self.inventory.kept()).transpose()?;
        let around = Surroundings {
            project,
            folder,
            user_folder: self.user_folder.as_deref(),
            kept: kept.as_deref(),
            secret: &|name| self.secrets.get(name).cloned(),
        };
        Ok(around.route(host)?)
    }
}

fn load(global: &Global, library: &Library, file: &Path, text: &str) -> anyhow::Result<Project> {
    let name = file.display().to_string();
    let text = FileText { name: name.clone(), text: text.to_owned() };
    let ids = library.catalogue.entries().iter().map(|entry| entry.id.clone()).collect();
    let (project, mut mistakes) =
        weir_core::flow::load_project(&name, &text.text, &library.job_types, &ids);
    mistakes.retain(|mistake| mistake.severity == Severity::Error);
    project.ok_or_else(|| {
        let source = Source { folder: PathBuf::new(), project: None, flow: text };
        tell!("{}", dressed(&mistakes, &source, Style::find(global)).trim_end());
        wrong(format!("{name} has mistakes"))
    })
}
