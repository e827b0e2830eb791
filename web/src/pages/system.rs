//! How the server itself is.

use askama::Template;
use axum::extract::State;

use crate::clock::At;
use crate::error::PageError;
use crate::metrics;
use crate::shell::{Page, Shell};
use crate::site::Shared;

#[derive(Template)]
#[template(path = "system.html")]
pub(crate) struct System {
    s: Shell,
    trouble: Option<String>,
    version: &'static str,
    home: String,
    since: At,
    last: i64,
    folders: Vec<String>,
    counts: Vec<(&'static str, usize)>,
    types: Vec<(String, String)>,
}

pub(crate) async fn show(State(site): State<Shared>, s: Shell) -> Result<Page<System>, PageError> {
    let store = site.handle.store();
    let types = site.handle.library().job_types.iter();
    Ok(Page(System {
        s,
        trouble: site.handle.trouble().await,
        version: env!("CARGO_PKG_VERSION"),
        home: store.home().path().display().to_string(),
        since: At::new(site.started_at),
        last: store.last_run_id().await?.0,
        folders: site.folders.iter().map(|folder| folder.display().to_string()).collect(),
        counts: metrics::unfinished(&site).await?,
        types: types.map(|known| (known.name().to_owned(), known.about().to_owned())).collect(),
    }))
}
