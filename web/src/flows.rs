//! The flows that are known: those of the folders that the server was given, and those that ran here.

use std::path::{Path, PathBuf};

use weir_engine::api::render_mistakes;
use weir_engine::library::{Loaded, Source};

use crate::error::PageError;
use crate::site::Site;
use crate::who::Who;

/// How the files of flows end.
const ENDING: &str = ".flow.yaml";
/// How deep folders are searched, and how many files at most.
const DEEPEST: usize = 6;
const MOST: usize = 5_000;

/// A flow that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    /// Its file, if it lies in a folder that the server was given.
    pub(crate) file: Option<PathBuf>,
    /// What is wrong with its file now.
    pub(crate) mistakes: Option<String>,
}

/// All flows that somebody may see, by project and name.
pub(crate) async fn all(site: &Site, who: &Who) -> Result<Vec<Known>, PageError> {
    let mut known = in_folders(site);
    for (project, name, hash) in site.handle.store().flows().await? {
        if known.iter().any(|flow| flow.project == project && flow.name == name) {
            continue;
        }
        let compiled = site.handle.library().version(site.handle.store(), &hash).await.ok();
        let flow = compiled.as_ref().map(|compiled| &compiled.flow);
        known.push(Known {
            title: flow.and_then(|flow| flow.title.clone()),
            labels: flow.map(|flow| flow.labels.clone().into_iter().collect()).unwrap_or_default(),
            project,
            name,
            file: None,
            mistakes: None,
        });
    }
    known.retain(|flow| who.role_in(&flow.project).is_some());
    known.sort_by(|one, other| (&one.project, &one.name).cmp(&(&other.project, &other.name)));
    Ok(known)
}

/// A flow ready to run, as its newest text says.
pub(crate) async fn load(site: &Site, project: &str, name: &str) -> Result<Loaded, PageError> {
    let file = in_folders(site)
        .into_iter()
        .find(|flow| flow.project == project && flow.name == name)
        .and_then(|flow| flow.file);
    if let Some(file) = file {
        let source = Source::read(&file).map_err(|error| PageError::bad(error.to_string()))?;
        return site
            .handle
            .library()
            .load(&source)
            .map_err(|mistakes| PageError::bad(render_mistakes(&mistakes, &source)));
    }
    if site.handle.store().latest_version(project, name).await?.is_none() {
        return Err(PageError::no_page());
    }
    let called = format!("{project}/{name}");
    Ok(weir_engine::begin::known_flow(&site.handle, &called).await?)
}

fn in_folders(site: &Site) -> Vec<Known> {
    let mut files = Vec::new();
    for folder in &site.folders {
        find(folder, 0, &mut files);
    }
    files.sort();
    files.dedup();
    let library = site.handle.library();
    let mut known: Vec<Known> = Vec::new();
    for file in files {
        let Ok(source) = Source::read(&file) else { continue };
        let (found, mistakes) = library.check(&source);
        let is_wrong =
            mistakes.iter().any(|mistake| mistake.severity == weir_core::mistake::Severity::Error);
        let mistakes = is_wrong.then(|| render_mistakes(&mistakes, &source));
        let fallback = file.file_name().map_or_else(String::new, |name| {
            name.to_string_lossy().trim_end_matches(ENDING).to_owned()
        });
        let flow = match found {
            Some((flow, project)) => Known {
                project: project.name,
                name: flow.name,
                title: flow.title,
                labels: flow.labels.into_iter().collect(),
                file: Some(file),
                mistakes,
            },
            None => Known {
                project: String::new(),
                name: fallback,
                title: None,
                labels: Vec::new(),
                file: Some(file),
                mistakes,
            },
        };
        // Of two with one name the first counts.
        if !known.iter().any(|one| one.project == flow.project && one.name == flow.name) {
            known.push(flow);
        }
    }
    known
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEEPEST && !name.starts_with('.') {
            find(&path, depth + 1, files);
        } else if name.ends_with(ENDING) && files.len() < MOST {
            files.push(path);
        }
    }
}
