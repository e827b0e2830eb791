//! How a run begins: a flow or an earlier run, values for its parameters, a choice of jobs; all judged before anything
//! is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_core::flow::compile::{Choice, Compiled};
use weir_core::graph::JobKind;
use weir_core::ids::{AttemptId, JobIx, RunId, TaskIx};
use weir_core::mistake::Mistake;
use weir_core::outcome::Outputs;
use weir_core::params::{self, Given, Values};
use weir_core::run::{self, From, Origin, OriginTask, Preview, Run, Start, did_end_well};
use weir_core::time::Timestamp;

use crate::engine::Ground;
use crate::fill;
use crate::input::{NewRun, Refusal};
use crate::library::{Loaded, ReadError, Source, VersionError};
use crate::live::{Began, OriginResults};
use crate::store;
use crate::store::rows::VersionRow;

/// What is asked for.
#[derive(Debug)]
pub struct Begin {
    /// The flow, or the run that is rerun.
    pub what: What,
    /// Values for parameters: texts are read as the parameter's type asks.
    pub params: Map<String, Value>,
    /// The words given against `destroys`.
    pub confirm: Vec<String>,
    /// Which jobs shall run.
    pub choice: Choice,
    /// Who asks.
    pub by: String,
    /// The attempt that asks, if it is one.
    pub parent: Option<AttemptId>,
    /// The time the run is for; now, if not said.
    pub due_at: Option<Timestamp>,
    /// The request that asks, if it counts once: what its sender calls it, and a hash of what it asks for.
    pub request: Option<(String, String)>,
}

/// What is to run.
#[derive(Debug)]
pub enum What {
    /// A flow.
    Flow(Box<Loaded>),
    /// An earlier run, again.
    Rerun {
        /// The run.
        origin: RunId,
        /// What of it.
        from: From,
        /// With the newest text of the flow, not the one that ran.
        newest: bool,
    },
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The flow has mistakes.
    #[error("the flow has {} mistakes", .0.len())]
    Mistakes(Vec<Mistake>, Box<Source>),
    /// Values, words or choices do not fit: all of them, a line each.
    #[error("{}", .0.join("\n"))]
    Bad(Vec<String>),
    /// A file can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The version that ran can't be used.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The engine does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Begin {
    /// A run of a flow with nothing else said.
    pub fn flow(loaded: Loaded, by: &str) -> Self {
        Self {
            what: What::Flow(Box::new(loaded)),
            params: Map::new(),
            confirm: Vec::new(),
            choice: Choice::default(),
            by: by.to_owned(),
            parent: None,
            due_at: None,
            request: None,
        }
    }

    /// An earlier run again.
    pub fn rerun(origin: RunId, from: From, newest: bool, by: &str) -> Self {
        Self {
            what: What::Rerun { origin, from, newest },
            params: Map::new(),
            confirm: Vec::new(),
            choice: Choice::default(),
            by: by.to_owned(),
            parent: None,
            due_at: None,
            request: None,
        }
    }
}

/// What a rerun would do, and with which version.
#[derive(Debug)]
pub struct RerunPlan {
    /// What would happen to each task.
    pub preview: Preview,
    /// The version it would run.
    pub version: String,
    /// The version that ran.
    pub origin_version: String,
    /// The flow's text that ran and the one that would run, where they differ.
    pub texts: Option<(String, String)>,
}

struct Worked {
    loaded: Loaded,
    start: Start,
    preview: Preview,
    origin: Option<(RunId, OriginResults)>,
    inherited: Map<String, Value>,
}

/// Works out everything that can be before the run is written.
pub(crate) async fn prepare(ground: &Ground, begin: Begin) -> Result<NewRun, BeginError> {
    let Worked { loaded, start, origin, inherited, .. } =
        work_out(ground, begin.what, &begin.choice).await?;
    let mut given = inherited;
    given.extend(begin.params);
    let ready = Ready::new(&loaded, given, begin.confirm, &|values| seal_params(ground, values))
        .map_err(BeginError::Bad)?;
    let (origin, origin_results) =
        origin.map_or((None, OriginResults::default()), |(run, results)| (Some(run.0), results));
    Ok(NewRun {
        blobs: loaded.blobs,
        start,
        origin,
        origin_results,
        parent: begin.parent,
        due_at: begin.due_at,
        request: begin.request,
        ..ready.run(&begin.by, Timestamp::ZERO)
    })
}

/// A run of a flow with all that does not differ from run to run worked out: schedules begin many.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The flow.
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) version: Arc<VersionRow>,
    /// Values for parameters, as they were given.
    pub(crate) given: Map<String, Value>,
    values: Arc<Values>,
    sealed_params: String,
    confirm: Vec<String>,
    key: String,
    locks: Vec<String>,
    folder: PathBuf,
    /// How many runs of the flow may move beside it.
    pub(crate) parallel: Option<u32>,
}

impl Ready {
    /// Works it out. All that does not fit is told.
    pub(crate) fn new(
        loaded: &Loaded,
        given: Map<String, Value>,
        confirm: Vec<String>,
        seal: &dyn Fn(&Values) -> String,
    ) -> Result<Self, Vec<String>> {
        let compiled = Arc::clone(&loaded.compiled);
        let values = Arc::new(resolve(&compiled, &given)?);
        let bad = |why: String| vec![why];
        Ok(Self {
            key: fill::concurrency_key(&compiled, &values).map_err(bad)?,
            locks: locks_of(&compiled, &values).map_err(bad)?,
            sealed_params: seal(&values),
            version: Arc::new(loaded.version.clone()),
            folder: loaded.folder.clone(),
            compiled,
            given,
            values,
            confirm,
            parallel: None,
        })
    }

    /// One whose values are templates that are filled in when something happens.
    pub(crate) fn unfilled(
        loaded: &Loaded,
        given: Map<String, Value>,
        confirm: Vec<String>,
    ) -> Self {
        Self {
            compiled: Arc::clone(&loaded.compiled),
            version: Arc::new(loaded.version.clone()),
            given,
            values: Arc::default(),
            sealed_params: "{}".to_owned(),
            confirm,
            key: String::new(),
            locks: Vec::new(),
            folder: loaded.folder.clone(),
            parallel: None,
        }
    }

    /// The same with other values.
    pub(crate) fn with(
        &self,
        given: Map<String, Value>,
        seal: &dyn Fn(&Values) -> String,
    ) -> Result<Self, String> {
        let values = Arc::new(resolve(&self.compiled, &given).map_err(|bad| bad.join("; "))?);
        Ok(Self {
            key: fill::concurrency_key(&self.compiled, &values)?,
            locks: locks_of(&self.compiled, &values)?,
            sealed_params: seal(&values),
            given,
            values,
            ..self.clone()
        })
    }

    /// A run of it for a time.
    pub(crate) fn run(&self, by: &str, due_at: Timestamp) -> NewRun {
        NewRun {
            compiled: Arc::clone(&self.compiled),
            version: Arc::clone(&self.version),
            blobs: Vec::new(),
            values: Arc::clone(&self.values),
            sealed_params: self.sealed_params.clone(),
            confirm: self.confirm.clone(),
            start: Start::default(),
            origin: None,
            origin_results: OriginResults::default(),
            parent: None,
            by: by.to_owned(),
            due_at: Some(due_at),
            key: self.key.clone(),
            locks: self.locks.clone(),
            folder: self.folder.clone(),
            parallel: self.parallel,
            request: None,
        }
    }
}

async fn work_out(ground: &Ground, what: What, choice: &Choice) -> Result<Worked, BeginError> {
    match what {
        What::Flow(loaded) => {
            let disabled = loaded.compiled.disabled(choice).map_err(|unknown| {
                BeginError::Bad(
                    unknown
                        .into_iter()
                        .map(|unknown| match &unknown.nearest {
                            Some(near) => format!("{unknown}\n  help: there is `{near}`"),
                            None => unknown.to_string(),
                        })
                        .collect(),
                )
            })?;
            let start = Start {
                disabled: run::tasks_of(&loaded.compiled.graph, &disabled),
                ..Start::default()
            };
            Ok(Worked {
                loaded: *loaded,
                start,
                preview: Preview::default(),
                origin: None,
                inherited: Map::new(),
            })
        }
        What::Rerun { origin, from, newest } => work_out_rerun(ground, origin, &from, newest).await,
    }
}

async fn work_out_rerun(
    ground: &Ground,
    origin: RunId,
    from: &From,
    newest: bool,
) -> Result<Worked, BeginError> {
    let Some(saved) = ground.store.saved_run(origin).await? else {
        return Err(BeginError::Bad(vec![format!("there is no run {origin}")]));
    };
    if saved.run.ended_at.is_none() {
        return Err(BeginError::Bad(vec![format!(
            "run {origin} has not ended\n  help: `weir cancel {origin}` ends it; `weir retry {origin} JOB` tries one job again"
        )]));
    }
    let before = ground.library.version(&ground.store, &saved.run.version).await?;
    let loaded = if newest {
        newest_of(ground, &saved.run.version).await?
    } else {
        same(ground, &saved.run.version, &before).await?
    };
    let began: Began = serde_json::from_str(&saved.run.start).unwrap_or_default();
    let run = crate::adopt::restore(&before, &saved).map_err(|why| BeginError::Bad(vec![why]))?;
    let results = origin_results(ground, origin).await.map_err(|why| BeginError::Bad(vec![why]))?;
    let mut known = Origin::default();
    for ix in (0..run.tasks().len() as u32).map(TaskIx) {
        let path = run.path(ix, &|job| before.jobs[job.at()].name.as_str());
        let item = results.tasks.get(&path).and_then(|task| task.0.clone());
        known.tasks.insert(path, OriginTask { state: run.tasks()[ix.at()].state, item });
    }
    let compiled = Arc::clone(&loaded.compiled);
    let path_of = |run: &Run, task| run.path(task, &|job| compiled.jobs[job.at()].name.as_str());
    let (start, preview) =
        run::plan_rerun(&loaded.compiled.graph, &path_of, &known, from).map_err(BeginError::Bad)?;
    let mut inherited =
        open_params(ground, &saved.run.params).map_err(|why| BeginError::Bad(vec![why]))?;
    inherited.retain(|name, _| loaded.compiled.flow.params.iter().any(|param| param.name == *name));
    let results = OriginResults { reuses_items: matches!(from, From::Failed), ..results };
    let loaded = Loaded { folder: if newest { loaded.folder } else { began.folder }, ..loaded };
    Ok(Worked { loaded, start, preview, origin: Some((origin, results)), inherited })
}

pub(crate) async fn same(
    ground: &Ground,
    version: &str,
    compiled: &Arc<Compiled>,
) -> Result<Loaded, BeginError> {
    let row = ground
        .store
        .version(version)
        .await?
        .ok_or_else(|| VersionError::Missing(version.to_owned()))?;
    let folder = ground.library.kept(&ground.store, version).await?.folder;
    Ok(Loaded {
        compiled: Arc::clone(compiled),
        version: row,
        blobs: Vec::new(),
        folder,
        warnings: Vec::new(),
    })
}

async fn newest_of(ground: &Ground, version: &str) -> Result<Loaded, BeginError> {
    let kept = ground.library.kept(&ground.store, version).await?;
    load_file(ground, &kept.file)
}

pub(crate) fn load_file(ground: &Ground, file: &Path) -> Result<Loaded, BeginError> {
    let source = Source::read(file)?;
    ground
        .library
        .load(&source)
        .map_err(|mistakes| BeginError::Mistakes(mistakes, Box::new(source)))
}

/// What a rerun would do.
///
/// # Errors
/// As for beginning it.
pub async fn preview(
    handle: &crate::engine::Handle,
    origin: RunId,
    from: &From,
    newest: bool,
) -> Result<RerunPlan, BeginError> {
    let ground = handle.shared();
    let worked = work_out_rerun(ground, origin, from, newest).await?;
    let origin_version = ground.store.run(origin).await?.map(|row| row.version).unwrap_or_default();
    let version = worked.loaded.version.hash.clone();
    let texts = if version == origin_version {
        None
    } else {
        let before = ground.library.texts(&ground.store, &origin_version).await?.0.flow.text;
        let after = worked
            .loaded
            .blobs
            .first()
            .map(|blob| String::from_utf8_lossy(&blob.content).into_owned())
            .unwrap_or_default();
        Some((before, after))
    };
    Ok(RerunPlan { preview: worked.preview, version, origin_version, texts })
}

/// What the tasks of an earlier run were for and left behind, by path.
pub(crate) async fn origin_results(
    ground: &Ground,
    origin: RunId,
) -> Result<OriginResults, String> {
    let text = |error: store::Error| error.to_string();
    let Some(saved) = ground.store.saved_run(origin).await.map_err(text)? else {
        return Ok(OriginResults::default());
    };
    let compiled = ground
        .library
        .version(&ground.store, &saved.run.version)
        .await
        .map_err(|error| error.to_string())?;
    let run = crate::adopt::restore(&compiled, &saved)?;
    let outputs = crate::adopt::results(&ground.store, origin).await.map_err(text)?.outputs;
    let items: BTreeMap<u32, Vec<Value>> = saved
        .blocks
        .iter()
        .filter_map(|block| {
            Some((block.owner.0, serde_json::from_str(block.items.as_ref()?).ok()?))
        })
        .collect();
    let mut results = OriginResults::default();
    let name = |job: JobIx| compiled.jobs[job.at()].name.as_str();
    for ix in (0..run.tasks().len() as u32).map(TaskIx) {
        let path = run.path(ix, &name);
        let item = run
            .item(ix)
            .zip(run.parent(ix))
            .and_then(|(item, parent)| items.get(&parent.0)?.get(item as usize).cloned());
        let is_well = did_end_well(run.tasks()[ix.at()].state);
        let left = match run.graph().job(run.tasks()[ix.at()].job).kind {
            // Reused as a whole, a `foreach` has no items of its own: their values go with it.
            JobKind::Foreach { .. } => {
                Outputs::from([(fill::ITEMS.to_owned(), fill::value_of(&run, &name, &outputs, ix))])
            }
            JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Group(_) => {
                outputs.get(&ix).cloned().unwrap_or_default()
            }
        };
        results.tasks.insert(path, (item, is_well, left));
    }
    Ok(results)
}

/// A run that a job of another run asks for.
pub(crate) async fn of_child(
    ground: &Ground,
    parent: AttemptId,
    flow: &str,
    params: Value,
    confirm: Vec<String>,
) -> Result<Begin, BeginError> {
    let row = ground
        .store
        .run(parent.run)
        .await?
        .ok_or_else(|| BeginError::Bad(vec![format!("there is no run {}", parent.run)]))?;
    let began: Began = serde_json::from_str(&row.start).unwrap_or_default();
    let loaded = by_name(ground, &row.project, &began.folder, flow).await?;
    let params = match params {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let by = format!("run {}", parent.run);
    Ok(Begin { params, confirm, parent: Some(parent), ..Begin::flow(loaded, &by) })
}

/// A flow by its name: a file of the project's folder, or a version that ran here before.
async fn by_name(
    ground: &Ground,
    project: &str,
    folder: &Path,
    name: &str,
) -> Result<Loaded, BeginError> {
    let (project, flow) = name.split_once('/').unwrap_or((project, name));
    let file = folder.join(format!("{flow}.flow.yaml"));
    if file.is_file() {
        return load_file(ground, &file);
    }
    match ground.store.latest_version(project, flow).await? {
        Some(row) => {
            let compiled = ground.library.version(&ground.store, &row.hash).await?;
            same(ground, &row.hash, &compiled).await
        }
        None => Err(BeginError::Bad(vec![format!(
            "there is no flow `{flow}`: neither {} nor a run of it in this home",
            file.display()
        )])),
    }
}

/// A flow by the name it ran under here before.
///
/// # Errors
/// There is none, or its text has mistakes now.
pub async fn known_flow(handle: &crate::engine::Handle, name: &str) -> Result<Loaded, BeginError> {
    let ground = handle.shared();
    let (project, flow) = name.split_once('/').unwrap_or(("", name));
    let found = match ground.store.latest_version(project, flow).await? {
        Some(row) => Some(row),
        None if project.is_empty() => ground.store.latest_version_of(flow).await?,
        None => None,
    };
    let Some(row) = found else {
        return Err(BeginError::Bad(vec![format!(
            "there is no file `{name}`, and no flow of that name ran in this home"
        )]));
    };
    let file = ground.library.kept(&ground.store, &row.hash).await?.file;
    if file.is_file() {
        return load_file(ground, &file);
    }
    let compiled = ground.library.version(&ground.store, &row.hash).await?;
    same(ground, &row.hash, &compiled).await
}

/// The names of the locks that a whole run holds.
pub(crate) fn locks_of(compiled: &Compiled, params: &Arc<Values>) -> Result<Vec<String>, String> {
    compiled.flow.locks.iter().map(|lock| fill::flow_text(compiled, params, lock)).collect()
}

/// Values for the flow's parameters: texts are read as each parameter's kind asks.
pub(crate) fn resolve(
    compiled: &Compiled,
    given: &Map<String, Value>,
) -> Result<Values, Vec<String>> {
    let given: Vec<(String, Given)> = given
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name.clone(), Given::Text(text.clone())),
            other => (name.clone(), Given::Json(other.clone())),
        })
        .collect();
    params::resolve(&compiled.flow.params, &given).map_err(|bad| {
        bad.into_iter()
            .map(|bad| match &bad.help {
                Some(help) => format!("{bad}\n  help: {help}"),
                None => bad.to_string(),
            })
            .collect()
    })
}

pub(crate) fn seal_params(ground: &Ground, values: &Values) -> String {
    let mut kept: Map<String, Value> = values.plain.clone().into_iter().collect();
    for (name, secret) in &values.secrets {
        let sealed = ground.secrets.vault().seal_text("param", name, secret.expose());
        kept.insert(name.clone(), serde_json::json!({ "$sealed": sealed }));
    }
    Value::Object(kept).to_string()
}

/// Parameters as they were given, the sealed ones opened.
pub(crate) fn open_params(ground: &Ground, text: &str) -> Result<Map<String, Value>, String> {
    let mut given: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    for (name, value) in &mut given {
        let Some(sealed) = value.get("$sealed").and_then(Value::as_str) else { continue };
        let opened = ground
            .secrets
            .vault()
            .open_text("param", name, sealed)
            .map_err(|error| error.to_string())?;
        *value = Value::from(opened.as_str());
    }
    Ok(given)
}
