//! Known failures: those that were met here, and the catalogue.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use weir_core::catalogue::Entry;
use weir_core::flow::Then;
use weir_core::ids::RunId;
use weir_engine::store::DiagnosisFilter;

use crate::address::{Path, Query};
use crate::clock::At;
use crate::error::PageError;
use crate::form::{encoded, task_address};
use crate::pages::field::typed;
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;

/// Diagnoses that are listed.
const MOST: u64 = 50;

#[derive(Template)]
#[template(path = "diagnoses.html")]
pub(crate) struct Diagnoses {
    s: Shell,
    q: String,
    counts: Vec<Count>,
    latest: Vec<Met>,
    entries: Vec<EntryLine>,
}

struct Count {
    signature: String,
    href: String,
    met: u64,
    cured: u64,
    not_cured: u64,
}

struct Met {
    at: At,
    signature: String,
    run: i64,
    path: String,
    href: String,
    line: String,
    result: String,
}

struct EntryLine {
    id: String,
    title: String,
    rank: &'static str,
    then: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    signature: Option<String>,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Query(Asked { q, signature }): Query<Asked>,
) -> Result<Page<Diagnoses>, PageError> {
    let store = site.handle.store();
    let filter = DiagnosisFilter { run: None, signature };
    let mut latest = Vec::new();
    for row in store.diagnoses(&filter, None, MOST).await? {
        let Some(run) = store.run(RunId(row.run.0)).await? else { continue };
        if me.role_in(&run.project).is_none() {
            continue;
        }
        let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
        let path = typed(&evidence["path"]);
        latest.push(Met {
            at: At::new(row.at),
            signature: row.signature,
            run: row.run.0,
            href: task_address(row.run.0, &path),
            path,
            line: typed(&evidence["text"]),
            result: row.result.unwrap_or_default(),
        });
    }
    // How often over all projects is for those who see all of them.
    let counts = if me.sees_all() { store.signature_counts().await? } else { Vec::new() };
    let wanted = q.trim().to_lowercase();
    let fits = |entry: &&std::sync::Arc<Entry>| {
        [&entry.id, &entry.title, &entry.diagnosis]
            .iter()
            .any(|text| text.to_lowercase().contains(&wanted))
    };
    let entries = site.handle.library().catalogue.entries().iter().filter(fits);
    Ok(Page(Diagnoses {
        counts: counts
            .into_iter()
            .map(|count| Count {
                href: format!("/diagnoses?signature={}", encoded(&count.signature)),
                signature: count.signature,
                met: count.met,
                cured: count.cured,
                not_cured: count.not_cured,
            })
            .collect(),
        latest,
        entries: entries
            .map(|entry| EntryLine {
                id: entry.id.clone(),
                title: entry.title.clone(),
                rank: entry.rank.name(),
                then: then(&entry.then),
            })
            .collect(),
        q,
        s,
    }))
}

fn then(then: &Then) -> String {
    match then {
        Then::Retry => "retry".to_owned(),
        Then::RetryFrom(job) => format!("retry-from {}", job.source),
        Then::Continue => "continue".to_owned(),
        Then::Ask => "ask".to_owned(),
        Then::Fail => "fail".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "entry.html")]
pub(crate) struct EntryPage {
    s: Shell,
    id: String,
    title: String,
    diagnosis: String,
    rank: &'static str,
    pattern: Option<String>,
    then: String,
    types: String,
    destroys: Option<String>,
    guard: Option<String>,
    known_from: Option<String>,
    advice: Vec<String>,
    samples: Vec<String>,
}

pub(crate) async fn entry(
    State(site): State<Shared>,
    s: Shell,
    Path(id): Path<String>,
) -> Result<Page<EntryPage>, PageError> {
    let entry = site.handle.library().catalogue.get(&id).ok_or_else(PageError::no_page)?;
    Ok(Page(EntryPage {
        s,
        id,
        title: entry.title.clone(),
        diagnosis: entry.diagnosis.clone(),
        rank: entry.rank.name(),
        pattern: entry.signature.log.clone(),
        then: then(&entry.then),
        types: entry.signature.job_types.join(", "),
        destroys: entry.destroys.as_ref().map(|words| words.source.clone()),
        guard: entry.guard.clone().or_else(|| entry.confirm.clone()),
        known_from: entry.source.clone(),
        advice: entry.advice.clone(),
        samples: entry.sample.clone(),
    }))
}
