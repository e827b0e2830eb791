//! `weir plan`: what a flow would do and destroy, by reading only.

use std::collections::BTreeMap;
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
use weir_engine::library::{Library, Loaded};

use crate::access;
use crate::args::{self, Global};
use crate::end::{End, Ended, wrong};
use crate::flow_file;
use crate::hosts::inventory::{Inventory, Keys};
use crate::params;
use crate::shipped;
use crate::style::Style;

/// What one job would do.
#[derive(Clone, Debug, Default, Serialize)]
struct Step {
    path: String,
    title: Option<String>,
    uses: Option<String>,
    needs: Vec<String>,
    when: Option<String>,
    foreach: Option<String>,
    hosts: Option<String>,
    destroys: Option<String>,
    plan: Plan,
}

pub(crate) async fn plan(global: &Global, args: args::Plan) -> Ended {
    let given = params::read(&args.params.params, "-p")?;
    let path = flow_file::find_file(&args.flow)?;
    let library = shipped::library(&access::home_path(global)?).await?;
    let loaded = flow_file::load(global, &library, &path)?;
    let params = resolved(&loaded.compiled, &given.values).map_err(|bad| wrong(bad.join("\n")))?;
    let cx = context(&loaded.compiled, params);
    let home = access::home_path(global)?;
    let inventory = Inventory::of(loaded.compiled.project.clone(), &loaded.folder, &home);
    let keys = inventory.keys().await?;
    let mut steps = Vec::new();
    for (path, job) in jobs(&loaded.compiled) {
        steps.push(step(&library, &loaded, &cx, &keys, path, job).await);
    }
    if global.json {
        say!(
            "{}",
            serde_json::json!({ "flow": loaded.compiled.flow.name, "version": loaded.version.hash, "jobs": steps })
        )?;
    } else {
        say_text!("{}", text(&loaded.compiled.flow.name, &steps, Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}

/// What the flow would destroy, by path, as far as its words can be known before it runs.
pub(crate) fn destroyed(loaded: &Loaded, given: &Map<String, Value>) -> Vec<(String, String)> {
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
            due: weir_engine::engine::wall_clock(),
            flow: compiled.flow.name.clone(),
            project: compiled.project.name.clone(),
            ..RunFacts::default()
        },
        hosts: Arc::new(compiled.project.hosts.clone()),
        ..Context::default()
    }
}

/// The flow's jobs with their paths, hooks at the end: a group before what it holds, a `foreach` once.
pub(crate) fn jobs(compiled: &Compiled) -> Vec<(String, JobIx)> {
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
    keys: &Keys<'_>,
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
    let places = if known.works_on_hosts() { places(uses, cx, keys) } else { vec![Place::here()] };
    for Place { item, route } in places {
        let item_cx = Context { item: item.clone().or_else(|| cx.item.clone()), ..cx.clone() };
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
fn places(uses: &Uses, cx: &Context, keys: &Keys<'_>) -> Vec<Place> {
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
                let route = keys.route(&host.name).map(Some).map_err(|error| error.to_string());
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

fn text(flow: &str, steps: &[Step], style: Style) -> String {
    let mut out = format!("{}\n", style.strong(flow));
    let destroyed: Vec<(&str, &str)> = steps
        .iter()
        .flat_map(|step| {
            let words = step.destroys.iter().map(String::as_str);
            words
                .chain(step.plan.destroys.iter().map(String::as_str))
                .map(|words| (step.path.as_str(), words))
        })
        .collect();
    if !destroyed.is_empty() {
        add!(out, "\n{}\n", style.bad("destroys"));
        for (path, words) in destroyed {
            add!(
                out,
                "  {path}: {words}\n    {}\n",
                style.faint(&format!("--confirm {}", crate::summary::quoted(words)))
            );
        }
    }
    for step in steps {
        let uses = step.uses.as_deref().unwrap_or("a group");
        add!(out, "\n{} ({uses})", style.strong(&step.path));
        if let Some(title) = &step.title {
            add!(out, ": {title}");
        }
        out.push('\n');
        let facts: BTreeMap<&str, String> = [
            ("after", step.needs.join(", ")),
            ("only if", step.when.clone().unwrap_or_default()),
            ("for each of", step.foreach.clone().unwrap_or_default()),
            ("on each of", step.hosts.clone().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
        for (name, value) in facts {
            add!(out, "  {} {value}\n", style.faint(name));
        }
        for line in step.plan.steps.iter().flat_map(|step| step.lines()) {
            add!(out, "  {line}\n");
        }
        for line in step.plan.diffs.iter().flat_map(|diff| diff.lines()) {
            add!(out, "    {line}\n");
        }
        for words in &step.plan.unknown {
            add!(out, "  {} {words}\n", style.warn("not known:"));
        }
    }
    out
}
