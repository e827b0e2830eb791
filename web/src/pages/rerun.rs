//! Running again: what of it, with which values, which version; first what would happen, then doing it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value};
use std::sync::Arc;
use weir_core::flow::compile::{Choice, Compiled};
use weir_core::ids::RunId;
use weir_core::run::{From, Will};
use weir_engine::begin::{self, Begin};
use weir_engine::library::Loaded;
use weir_engine::people::Role;
use weir_engine::view::RunView;

use crate::address::{Path, Query};
use crate::error::{Kind, PageError};
use crate::flows;
use crate::form::Fields;
use crate::pages::begin::{Destroys, confirmed, destroys, note};
use crate::pages::field::{self, Field};
use crate::pages::lines::{DiffLine, diff, short};
use crate::pages::run::{allowed, is_open, read};
use crate::picture::dag::mark;
use crate::shell::{Page, Shell};
use crate::site::{Shared, Site};
use crate::who::{Origin, Who};

#[derive(Template)]
#[template(path = "rerun.html")]
struct Rerun {
    s: Shell,
    run: i64,
    flow: String,
    wrong: Vec<String>,
    from: String,
    newest: bool,
    jobs: Vec<Job>,
    fields: Vec<Field>,
    destroys: Vec<Destroys>,
    preview: Option<Preview>,
}

struct Job {
    path: String,
    depth: u32,
    state: &'static str,
    said: &'static str,
    mark: &'static str,
    is_chosen: bool,
}

struct Preview {
    version: String,
    before: String,
    is_other: bool,
    lines: Vec<Line>,
    diff: Vec<DiffLine>,
}

struct Line {
    path: String,
    will: &'static str,
    said: &'static str,
    reason: String,
}

/// What of a run is run again, as a form says.
fn chosen(fields: &Fields) -> From {
    let jobs: Vec<String> = fields.all("job").map(str::to_owned).collect();
    match (fields.text("from"), jobs.first()) {
        ("all", _) => From::All,
        ("job", Some(job)) => From::Job(job.clone()),
        ("only", Some(_)) => From::Only(jobs),
        _ => From::Failed,
    }
}

pub(crate) async fn form(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let run = read(&site, &me, id).await?;
    me.must(Role::Operator, &run.project)?;
    if is_open(&run) {
        return Ok(Redirect::to(&format!("/runs/{id}")).into_response());
    }
    let mut fields = Fields(fields);
    if fields.get("from").is_none() {
        // What was fine as a whole has nothing that failed.
        let from = if run.state == "succeeded" { "all" } else { "failed" };
        fields.0.push(("from".to_owned(), from.to_owned()));
    }
    let compiled = version(&site, &run.version).await?;
    let mut page = page(s, &run, &compiled, &fields, None);
    look(&site, &mut page, &fields).await?;
    Ok(Page(page).into_response())
}

async fn version(site: &Site, version: &str) -> Result<Arc<Compiled>, PageError> {
    let found = site.handle.library().version(site.handle.store(), version).await;
    found.map_err(PageError::broken)
}

/// Fills in what would happen.
async fn look(site: &Site, page: &mut Rerun, fields: &Fields) -> Result<(), PageError> {
    let newest = fields.text("version") == "newest";
    let plan = match begin::preview(&site.handle, RunId(page.run), &chosen(fields), newest).await {
        Ok(plan) => plan,
        Err(error) => {
            let error = PageError::from(error);
            if error.kind != Kind::Bad {
                return Err(error);
            }
            page.wrong.push(error.detail);
            return Ok(());
        }
    };
    let lines = plan
        .preview
        .lines
        .into_iter()
        .map(|line| {
            let will = match line.will {
                Will::Run => "run",
                Will::Unsafe => "unsafe",
                Will::Reuse => "reuse",
                Will::Skip => "skip",
            };
            Line { path: line.path, will, said: page.s.state(will), reason: line.reason }
        })
        .collect();
    page.preview = Some(Preview {
        is_other: plan.version != plan.origin_version,
        version: short(&plan.version),
        before: short(&plan.origin_version),
        lines,
        diff: plan.texts.map(|(before, after)| diff(&before, &after)).unwrap_or_default(),
    });
    Ok(())
}

pub(crate) async fn start(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    origin: Origin,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Operator).await?;
    let run = read(&site, &me, id).await?;
    let newest = fields.text("version") == "newest";
    let loaded = if newest { flows::load(&site, &run.project, &run.flow).await.ok() } else { None };
    let compiled = match &loaded {
        Some(loaded) => Arc::clone(&loaded.compiled),
        None => version(&site, &run.version).await?,
    };
    let values = edited(&compiled, &run, &fields);
    let mut all = run.params.as_object().cloned().unwrap_or_default();
    all.extend(values.clone());
    let is_go = fields.text("do") == "go";
    let mut page = page(s, &run, &compiled, &fields, Some(&fields));
    look(&site, &mut page, &fields).await?;
    // Only what will run destroys anything.
    let runs: Vec<String> = page
        .preview
        .iter()
        .flat_map(|preview| &preview.lines)
        .filter(|line| line.will == "run" || line.will == "unsafe")
        .map(|line| line.path.clone())
        .collect();
    page.destroys = destroyed(&site, &run, &compiled, loaded, &all, &fields).await?;
    page.destroys.retain(|one| {
        let plain = one.path.replace("[]", "");
        runs.iter().any(|path| {
            *path == one.path || *path == plain || plain.starts_with(&format!("{path}/"))
        })
    });
    let is_confirmed = !page.destroys.iter().any(|one| one.is_missing);
    for one in &mut page.destroys {
        one.is_missing &= is_go;
    }
    if !is_go {
        return Ok(Page(page).into_response());
    }
    if page.wrong.is_empty() && is_confirmed {
        let confirm = confirmed(&page.destroys);
        let begin = Begin {
            params: values,
            confirm,
            ..Begin::rerun(RunId(id), chosen(&fields), newest, &me.name)
        };
        match site.handle.begin(begin).await.map_err(PageError::from) {
            Ok(new) => {
                let after = Some(format!("run {new}"));
                note(&site, &me, &origin, "run.rerun", &format!("run {id}"), after).await?;
                return Ok(Redirect::to(&format!("/runs/{new}")).into_response());
            }
            Err(error) if error.kind == Kind::Bad => page.wrong.push(error.detail),
            Err(error) => return Err(error),
        }
    }
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response())
}

/// What was changed of the parameters: a secret that was left empty and a value that is as before are not.
fn edited(compiled: &Compiled, run: &RunView, fields: &Fields) -> Map<String, Value> {
    let mut values = field::params(&compiled.flow.params, fields);
    values.retain(|name, value| {
        let before = run.params.get(name).map(field::typed);
        before.as_deref() != value.as_str()
    });
    values
}

async fn destroyed(
    site: &Site,
    run: &RunView,
    compiled: &Arc<Compiled>,
    loaded: Option<Loaded>,
    values: &Map<String, Value>,
    fields: &Fields,
) -> Result<Vec<Destroys>, PageError> {
    let loaded = if let Some(loaded) = loaded {
        loaded
    } else {
        let row = site.handle.store().version(&run.version).await?;
        Loaded {
            compiled: Arc::clone(compiled),
            version: row.ok_or_else(PageError::no_page)?,
            blobs: Vec::new(),
            folder: std::path::PathBuf::new(),
            warnings: Vec::new(),
        }
    };
    Ok(destroys(&loaded, values, Some(fields), &Choice::default()))
}

fn page(
    s: Shell,
    run: &RunView,
    compiled: &Compiled,
    fields: &Fields,
    given: Option<&Fields>,
) -> Rerun {
    let before = run.params.as_object();
    let chosen: Vec<&str> = fields.all("job").collect();
    let jobs = run
        .tasks
        .iter()
        .filter(|task| !task.path.contains('['))
        .take(2_000)
        .map(|task| Job {
            is_chosen: chosen.contains(&task.path.as_str()),
            path: task.path.clone(),
            depth: task.depth.min(6),
            state: task.state,
            said: s.state(task.state),
            mark: mark(task.state),
        })
        .collect();
    let params = &compiled.flow.params;
    Rerun {
        run: run.id,
        flow: run.flow.clone(),
        wrong: Vec::new(),
        from: fields.text("from").to_owned(),
        newest: fields.text("version") == "newest",
        jobs,
        fields: params.iter().map(|param| Field::param(param, before, given, &s)).collect(),
        destroys: Vec::new(),
        preview: None,
        s,
    }
}
