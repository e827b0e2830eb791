//! What a flow would do and destroy, found out by reading only.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use weir_core::flow::compile::Compiled;
use weir_core::flow::{Job, Uses, selector};
use weir_core::graph::JobKind;
use weir_core::hosts::{Route, facts, select};
use weir_core::ids::{JobIx, ScopeIx};
use weir_core::job_type::{Plan, PlanContext};
use weir_core::params::{self as values, Values};
use weir_core::schema::TextKind;
use weir_core::template::{self, Context, RunFacts};

use crate::library::{Library, Loaded};

/// Tells the way to a host by its name, or why it can't be told.
pub type Ways<'a> = &'a (dyn Fn(&str) -> Result<Route, String> + Sync);

/// What one job would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Step {
    /// Its path.
    pub path: String,
    /// What people read.
    pub title: Option<String>,
    /// The job type; `None` for a group.
    pub uses: Option<String>,
    /// The jobs it needs.
    pub needs: Vec<String>,
    /// The condition, as written.
    pub when: Option<String>,
    /// The list, as written.
    pub foreach: Option<String>,
    /// The hosts it is done on, a task on each, as written.
    pub hosts: Option<String>,
    /// What is lost for good, in the words to be given.
    pub destroys: Option<String>,
    /// What its job type says.
    pub plan: Plan,
}

/// What each job of a flow would do with these values, in the flow's order.
///
/// # Errors
/// All that is wrong with the values, a sentence each.
pub async fn steps(
    library: &Library,
    loaded: &Loaded,
    given: &Map<String, Value>,
    ways: Ways<'_>,
) -> Result<Vec<Step>, Vec<String>> {
    let params = resolved(&loaded.compiled, given)?;
    let cx = context(&loaded.compiled, params);
    let mut steps = Vec::new();
    for (path, job) in jobs(&loaded.compiled) {
        steps.push(step(library, loaded, &cx, ways, path, job).await);
    }
    Ok(steps)
}

/// What the flow would destroy, by path, as far as its words can be known before it runs.
pub fn destroyed(loaded: &Loaded, given: &Map<String, Value>) -> Vec<(String, String)> {
    // Wrong values are the engine's to tell.
    let Ok(params) = resolved(&loaded.compiled, given) else { return Vec::new() };
    let cx = context(&loaded.compiled, params);
    let words = |job: &Job| {
        job.destroys.as_ref().and_then(|words| template::text(words, TextKind::Plain, &cx).ok())
    };
    let all = jobs(&loaded.compiled).into_iter();
    all.filter_map(|(path, job)| Some((path, words(&loaded.compiled.jobs[job.at()])?.value)))
        .collect()
}

fn resolved(compiled: &Compiled, given: &Map<String, Value>) -> Result<Values, Vec<String>> {
    let given: Vec<(String, values::Given)> = given
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => values::Given::Text(text.clone()),
                other => values::Given::Json(other.clone()),
            };
            (name.clone(), value)
        })
        .collect();
    values::resolve(&compiled.flow.params, &given).map_err(|bad| {
        let told = |bad: &values::BadParam| match &bad.help {
            Some(help) => format!("{}\n  help: {help}", bad.message),
            None => bad.message.clone(),
        };
        bad.iter().map(told).collect()
    })
}

fn context(compiled: &Compiled, params: Values) -> Context {
    Context {
        params: Arc::new(params),
        run: RunFacts {
            due: crate::engine::wall_clock(),
            flow: compiled.flow.name.clone(),
            project: compiled.project.name.clone(),
            ..RunFacts::default()
        },
        hosts: Arc::new(compiled.project.hosts.clone()),
        ..Context::default()
    }
}

/// The flow's jobs with their paths, hooks at the end: a group before what it holds, a `foreach` once.
pub fn jobs(compiled: &Compiled) -> Vec<(String, JobIx)> {
    let mut all = Vec::new();
    add_scope(compiled, ScopeIx(0), "", &mut all);
    let hooks = compiled.graph.hooks;
    for (name, scope) in [
        ("on-start", hooks.on_start),
        ("on-success", hooks.on_success),
        ("on-failure", hooks.on_failure),
        ("on-exit", hooks.on_exit),
    ] {
        if let Some(scope) = scope {
            add_scope(compiled, scope, &format!("{name}/"), &mut all);
        }
    }
    all
}

fn add_scope(compiled: &Compiled, scope: ScopeIx, above: &str, all: &mut Vec<(String, JobIx)>) {
    for job in compiled.graph.jobs_of(scope) {
        let path = format!("{above}{}", compiled.jobs[job.at()].name);
        all.push((path.clone(), job));
        match compiled.graph.job(job).kind {
            JobKind::Group(inner) => add_scope(compiled, inner, &format!("{path}/"), all),
            JobKind::Foreach { body, .. } => {
                for body in compiled.graph.jobs_of(body) {
                    if let JobKind::Group(inner) = compiled.graph.job(body).kind {
                        add_scope(compiled, inner, &format!("{path}[]/"), all);
                    }
                }
            }
            JobKind::Work | JobKind::Instant | JobKind::Asks => {}
        }
    }
}

async fn step(
    library: &Library,
    loaded: &Loaded,
    cx: &Context,
    ways: Ways<'_>,
    path: String,
    ix: JobIx,
) -> Step {
    let job = &loaded.compiled.jobs[ix.at()];
    let spread = loaded.compiled.spread(ix).map(|selector| selector.source);
    let words =
        job.destroys.as_ref().map(|words| match template::text(words, TextKind::Plain, cx) {
            Ok(filled) => filled.value,
            Err(_) => words.source.clone(),
        });
    let mut step = Step {
        path,
        title: job.title.clone(),
        uses: job.uses.as_ref().map(|uses| uses.job_type.clone()),
        needs: job.needs.iter().map(|need| need.source.clone()).collect(),
        when: job.when.as_ref().map(|when| when.source.clone()),
        foreach: job.foreach.as_ref().map(|list| list.source.clone()),
        hosts: spread,
        destroys: words,
        plan: Plan::default(),
    };
    let Some((uses, known)) =
        job.uses.as_ref().and_then(|uses| Some((uses, library.job_types.get(&uses.job_type)?)))
    else {
        return step;
    };
    let Some(work) = known.work() else { return step };
    let mut unknown = Vec::new();
    let places = if known.works_on_hosts() { places(uses, cx, ways) } else { vec![Place::here()] };
    for Place { item, route } in places {
        let item_cx = Context {
            item: item.clone().or_else(|| cx.item.clone()),
            host: item.clone(),
            ..cx.clone()
        };
        let filled = template::settings(&uses.with, known.schema(), &uses.places, &item_cx);
        let mut with = match filled {
            Ok(filled) => filled.with,
            // As written: what the other jobs leave behind, and secrets, are known when it runs.
            Err(errors) => {
                unknown.extend(errors.into_iter().map(|error| error.message));
                uses.with.clone()
            }
        };
        let name = item.as_ref().and_then(|item| item["name"].as_str()).map(str::to_owned);
        if let (Some(name), Some(hosts)) = (&name, with.get_mut("hosts")) {
            *hosts = Value::from(name.as_str());
        }
        let host = match route {
            Ok(route) => route.map(Arc::new),
            Err(message) => {
                step.plan.unknown.push(message);
                continue;
            }
        };
        let around = PlanContext {
            path: step.path.clone(),
            working_dir: loaded.folder.clone(),
            env: Vec::new(),
            host,
        };
        match work.plan(&with, &around).await {
            Ok(plan) => add_plan(&mut step.plan, plan, name.as_deref()),
            Err(failure) => step.plan.unknown.push(failure.message),
        }
    }
    let values = if unknown.is_empty() { "" } else { "values that are known when it runs: " };
    unknown.dedup();
    if !unknown.is_empty() {
        step.plan.unknown.push(format!("{values}{}", unknown.join("; ")));
    }
    step
}

/// Where a job would work: on a host, which its templates see as `item`, or here.
struct Place {
    item: Option<Value>,
    route: Result<Option<Route>, String>,
}

impl Place {
    fn here() -> Self {
        Self { item: None, route: Ok(None) }
    }
}

/// The hosts that a job would work on, as far as they are known before it runs.
fn places(uses: &Uses, cx: &Context, ways: Ways<'_>) -> Vec<Place> {
    let Some(selector) = selector(uses) else { return vec![Place::here()] };
    let Ok(filled) = template::text(&selector, TextKind::Plain, cx) else {
        return vec![Place::here()];
    };
    match select(&cx.hosts, &filled.value) {
        Ok(hosts) if hosts.is_empty() => {
            let route = Err(format!("`{}` selects no host", filled.value));
            vec![Place { item: None, route }]
        }
        Ok(hosts) => hosts
            .into_iter()
            .map(|host| {
                let route = ways(&host.name).map(Some);
                Place { item: Some(facts(host)), route }
            })
            .collect(),
        Err(error) => vec![Place { item: None, route: Err(error.to_string()) }],
    }
}

/// Adds what would be done on one host.
fn add_plan(all: &mut Plan, one: Plan, host: Option<&str>) {
    let named = |line: String| match host {
        Some(host) => format!("{host}: {line}"),
        None => line,
    };
    all.destroys.extend(one.destroys.into_iter().map(named));
    all.steps.extend(one.steps.into_iter().map(named));
    all.diffs.extend(one.diffs.into_iter().map(|diff| match host {
        Some(host) => format!("{host}:\n{diff}"),
        None => diff,
    }));
    all.unknown.extend(one.unknown.into_iter().map(named));
}
