//! The flows that are known: those that are in effect, those whose files were never right, and those that ran here.

use weir_engine::begin::BeginError;
use weir_engine::library::Loaded;

use crate::error::PageError;
use crate::site::Site;
use crate::who::Who;

/// How the files of flows end.
const ENDING: &str = ".flow.yaml";

/// A flow that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    /// What is wrong with its file now.
    pub(crate) mistakes: Option<String>,
}

/// All flows that somebody may see, by project and name.
pub(crate) async fn all(site: &Site, who: &Who) -> Result<Vec<Known>, PageError> {
    site.handle.fresh_flows().await;
    let mut known = of_files(site);
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
            mistakes: None,
        });
    }
    known.retain(|flow| who.role_in(&flow.project).is_some());
    known.sort_by(|one, other| (&one.project, &one.name).cmp(&(&other.project, &other.name)));
    Ok(known)
}

/// A flow ready to run: the version that is in effect, or the newest that ran here.
pub(crate) async fn load(site: &Site, project: &str, name: &str) -> Result<Loaded, PageError> {
    site.handle.fresh_flows().await;
    match site.handle.flow_in_effect(project, name).await {
        Ok(loaded) => return Ok(loaded),
        Err(BeginError::Bad(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut files = of_files(site).into_iter();
    if let Some(mistakes) = files
        .find(|flow| flow.project == project && flow.name == name)
        .and_then(|flow| flow.mistakes)
    {
        return Err(PageError::bad(mistakes));
    }
    if site.handle.store().latest_version(project, name).await?.is_none() {
        return Err(PageError::no_page());
    }
    let called = format!("{project}/{name}");
    Ok(weir_engine::begin::known_flow(&site.handle, &called).await?)
}

/// What the watched folders hold. A file that was never right is called as its file is.
fn of_files(site: &Site) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    for (file, state) in site.handle.flow_files() {
        let (project, name) = state.flow.unwrap_or_else(|| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            (String::new(), name.trim_end_matches(ENDING).to_owned())
        });
        // Of two with one name the one in effect counts.
        let same = known.iter().position(|one| one.project == project && one.name == name);
        let own = Known {
            project,
            name,
            title: state.title,
            labels: state.labels.into_iter().collect(),
            mistakes: state.error,
        };
        match same {
            Some(at) if known[at].mistakes.is_some() && own.mistakes.is_none() => known[at] = own,
            Some(_) => {}
            None => known.push(own),
        }
    }
    known
}
