//! What templates and expressions come to: whether a task starts, over which items, with which settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_core::flow::compile::{Compiled, Owner};
use weir_core::flow::{Job, Text, Uses};
use weir_core::graph::JobKind;
use weir_core::ids::{AttemptId, JobIx, RunId, ScopeIx, TaskIx};
use weir_core::job_type::Nature;
use weir_core::outcome::Outputs;
use weir_core::params::Values;
use weir_core::run::{Run, TaskState, Verdict};
use weir_core::schema::TextKind;
use weir_core::secret::Secret;
use weir_core::template::{self, Context, Failed, JobFacts, RunFacts, Secrets, TemplateError};

use crate::hosts;
use crate::input::{Order, Refusal, Work};
use crate::live::{Live, Note};
use crate::turn::{Turn, World};

/// The secrets that a flow may read, by name.
struct Known(BTreeMap<String, Secret>);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets for Known {
    fn secret(&self, name: &str) -> Option<Secret> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// A flow-level text: it sees parameters alone.
pub(crate) fn flow_text(
    compiled: &Compiled,
    params: &Arc<Values>,
    text: &Text,
) -> Result<String, String> {
    let cx = Context {
        params: Arc::clone(params),
        hosts: Arc::new(compiled.project.hosts.clone()),
        ..Context::default()
    };
    template::text(text, TextKind::Plain, &cx).map(|filled| filled.value).map_err(told)
}

/// What runs of a flow are counted apart by.
pub(crate) fn concurrency_key(compiled: &Compiled, params: &Arc<Values>) -> Result<String, String> {
    compiled
        .flow
        .concurrency
        .key
        .as_ref()
        .map_or(Ok(String::new()), |key| flow_text(compiled, params, key))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn told(error: TemplateError) -> String {
    error.to_string()
}

impl Turn {
    /// Whether a task may start, and what is to be noted with it.
    pub(crate) fn decide(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> (Verdict, Note) {
        match self.try_decide(run, task, world) {
            Ok(verdict) => (verdict, Note::default()),
            Err(message) => (Verdict::Broken, crate::turn::broken(message)),
        }
    }

    fn try_decide(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<Verdict, String> {
        let job = self.job(run, task)?;
        let is_body = self.is_body(run, task);
        let cx = self.context(run, task, world)?;
        if let Some(when) = job.when.as_ref().filter(|_| !is_body)
            && !template::condition(when, &cx).map_err(told)?
        {
            return Ok(Verdict::NotDue);
        }
        let at = self.runs[&run].run.tasks()[task.at()].job;
        let is_each = matches!(self.runs[&run].run.graph().job(at).kind, JobKind::Foreach { .. });
        let Some(destroys) = job.destroys.as_ref().filter(|_| !is_each) else {
            return Ok(Verdict::Go);
        };
        let words = template::text(destroys, TextKind::Plain, &cx).map_err(told)?.value;
        let live = &self.runs[&run];
        let is_confirmed = live.confirm.iter().any(|given| given.trim() == words.trim());
        Ok(if is_confirmed { Verdict::Go } else { Verdict::Unconfirmed })
    }

    /// The items of a `foreach`, and the tasks of its new block whose result the origin has.
    pub(crate) fn expand(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<(Vec<Value>, Vec<u32>), String> {
        let job = self.job(run, task)?;
        let cx = self.context(run, task, world)?;
        let items = match &job.foreach {
            Some(text) => template::list(text, &cx).map_err(told)?.value,
            None => hosts::items(&job, &cx)?,
        };
        let live = &self.runs[&run];
        let reused = reused_items(live, task, &items);
        Ok((items, reused))
    }

    /// The outputs of a job that has ended as soon as it starts.
    pub(crate) fn instant(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<Outputs, String> {
        let job = self.job(run, task)?;
        let Some(uses) = &job.uses else { return Ok(Outputs::new()) };
        if uses.with.get("outputs").is_none() {
            return Ok(Outputs::new());
        }
        let (with, _) = self.settings(run, task, uses, world)?;
        Ok(with["outputs"]
            .as_object()
            .map(|map| map.clone().into_iter().collect())
            .unwrap_or_default())
    }

    /// What a person's answer leaves behind, if its form takes it.
    pub(crate) fn form_of(
        &mut self,
        run: RunId,
        task: TaskIx,
        values: Outputs,
        world: &mut dyn World,
    ) -> Result<Outputs, Refusal> {
        let bad = Refusal::Bad;
        let job = self.job(run, task).map_err(bad)?;
        let is_form = job
            .uses
            .as_ref()
            .and_then(|uses| world.job_type(&uses.job_type))
            .is_some_and(|kind| kind.nature() == Nature::Asks);
        let Some(uses) = job.uses.as_ref().filter(|_| is_form) else {
            if values.is_empty() {
                return Ok(Outputs::new());
            }
            return Err(Refusal::Bad("this job has no form: it takes no values".to_owned()));
        };
        let (with, _) = self.settings(run, task, uses, world).map_err(bad)?;
        let values: Map<String, Value> = values.into_iter().collect();
        weir_core::form::check_answer(&with, &values)
            .map_err(|faults| Refusal::Bad(faults.join("\n")))
    }

    /// A text of a job.
    pub(crate) fn text(
        &mut self,
        run: RunId,
        task: TaskIx,
        text: &Text,
        world: &mut dyn World,
    ) -> Result<String, String> {
        if !text.source.contains('{') {
            return Ok(text.source.clone());
        }
        let cx = self.context(run, task, world)?;
        template::text(text, TextKind::Plain, &cx).map(|filled| filled.value).map_err(told)
    }

    fn job(&self, run: RunId, task: TaskIx) -> Result<Arc<Job>, String> {
        let live = self.runs.get(&run).ok_or("the run has ended")?;
        Ok(Arc::clone(&live.compiled.jobs[live.run.tasks()[task.at()].job.at()]))
    }

    /// Whether this is the body of a `foreach`, which shares its job's text.
    fn is_body(&self, run: RunId, task: TaskIx) -> bool {
        self.runs.get(&run).is_some_and(|live| live.run.item(task).is_some())
    }

    pub(crate) fn settings(
        &mut self,
        run: RunId,
        task: TaskIx,
        uses: &Uses,
        world: &mut dyn World,
    ) -> Result<(Value, Vec<Secret>), String> {
        let library = world.library();
        let known = library
            .job_types
            .get(&uses.job_type)
            .ok_or_else(|| format!("there is no job type `{}` here", uses.job_type))?;
        let (mut with, secrets) = if has_template(&uses.with) {
            let mut cx = self.context(run, task, world)?;
            cx.host = self.host_of(run, task, uses, &cx, world);
            let rendered = template::settings(&uses.with, known.schema(), &uses.places, &cx)
                .map_err(|errors| errors.into_iter().map(told).collect::<Vec<_>>().join("\n"))?;
            (rendered.with, rendered.secrets)
        } else {
            (uses.with.clone(), Vec::new())
        };
        self.name_host(run, task, uses, &mut with);
        Ok((with, secrets))
    }

    /// Everything an attempt is carried out with.
    pub(crate) fn make_order(
        &mut self,
        id: AttemptId,
        world: &mut dyn World,
    ) -> Result<Box<Order>, String> {
        let (run, task) = (id.run, id.task);
        let job = self.job(run, task)?;
        let mut secrets = self.runs[&run].values.secrets.values().cloned().collect::<Vec<Secret>>();
        let mut work =
            |turn: &mut Self, uses: &Uses, world: &mut dyn World| -> Result<Work, String> {
                let (with, more) = turn.settings(run, task, uses, world)?;
                secrets.extend(more);
                let job_type = world
                    .job_type(&uses.job_type)
                    .ok_or_else(|| format!("there is no job type `{}` here", uses.job_type))?;
                let host = turn.route(run, uses, &with, world)?;
                secrets.extend(host.iter().flat_map(|route| route.secrets()).cloned());
                Ok(Work { host, job_type, with })
            };
        let uses = job.uses.as_ref().ok_or("a group has no work of its own")?;
        let main = work(self, uses, world)?;
        let unless = job.unless.as_ref().map(|uses| work(self, uses, world)).transpose()?;
        let verify = job.verify.as_ref().map(|uses| work(self, uses, world)).transpose()?;
        let mut env = Vec::with_capacity(job.env.len());
        for (name, text) in job.env.iter() {
            let mut cx = self.context(run, task, world)?;
            cx.host = self.host_of(run, task, uses, &cx, world);
            let filled = template::text(text, TextKind::Plain, &cx).map_err(told)?;
            secrets.extend(filled.secrets);
            env.push((name.clone(), filled.value));
        }
        let folder = self.runs[&run].folder.clone();
        let working_dir = match &job.working_dir {
            Some(text) => folder.join(self.text(run, task, text, world)?),
            None => folder,
        };
        let run_as =
            job.run_as.as_ref().map(|text| self.text(run, task, text, world)).transpose()?;
        let live = &self.runs[&run];
        let at = &live.run.tasks()[task.at()];
        let handle = live.handle_of(task, id.number);
        secrets.dedup();
        Ok(Box::new(Order {
            id,
            project: live.row.project.clone(),
            flow: live.row.flow.clone(),
            path: live.path(task),
            work: main,
            unless,
            verify,
            env,
            working_dir,
            run_as,
            limits: (*job.limits).clone(),
            grace: job.grace,
            secrets: secrets.into(),
            outputs: job.outputs.clone(),
            handle,
            compiled: Arc::clone(&live.compiled),
            job: at.job,
        }))
    }

    /// What an attempt is ended with when its settings can't be filled in any more: as far as they are known without.
    /// `None` if its job type is not at hand.
    pub(crate) fn bare_order(&self, id: AttemptId, world: &mut dyn World) -> Option<Box<Order>> {
        let job = self.job(id.run, id.task).ok()?;
        let mut secrets: Vec<Secret> =
            self.runs.get(&id.run)?.values.secrets.values().cloned().collect();
        let mut work = |uses: &Uses| {
            let job_type = world.job_type(&uses.job_type)?;
            let mut with = uses.with.clone();
            self.name_host(id.run, id.task, uses, &mut with);
            let host = self.route(id.run, uses, &with, world).ok().flatten();
            secrets.extend(host.iter().flat_map(|route| route.secrets()).cloned());
            Some(Work { host, job_type, with })
        };
        let main = work(job.uses.as_ref()?)?;
        let unless = job.unless.as_deref().and_then(&mut work);
        let verify = job.verify.as_deref().and_then(&mut work);
        let live = self.runs.get(&id.run)?;
        Some(Box::new(Order {
            id,
            project: live.row.project.clone(),
            flow: live.row.flow.clone(),
            path: live.path(id.task),
            work: main,
            unless,
            verify,
            env: Vec::new(),
            working_dir: live.folder.clone(),
            run_as: None,
            limits: (*job.limits).clone(),
            grace: job.grace,
            secrets: secrets.into(),
            outputs: Vec::new(),
            handle: live.handle_of(id.task, id.number),
            compiled: Arc::clone(&live.compiled),
            job: live.run.tasks()[id.task.at()].job,
        }))
    }

    /// What tasks left behind before the run was taken up, read once.
    pub(crate) fn read_results(&mut self, run: RunId, world: &mut dyn World) -> Result<(), String> {
        let live = self.runs.get_mut(&run).ok_or("the run has ended")?;
        if !live.has_results {
            let results = world.results(run)?;
            // What was left since the run was taken up is newer.
            for (task, outputs) in results.outputs {
                live.outputs.entry(task).or_insert(outputs);
            }
            for (task, captures) in results.captures {
                live.captures.entry(task).or_insert(captures);
            }
            live.has_results = true;
        }
        Ok(())
    }

    /// What the templates of a task see.
    fn context(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<Context, String> {
        self.read_results(run, world)?;
        let live = &self.runs[&run];
        let at = &live.run.tasks()[task.at()];
        let job = Arc::clone(&live.compiled.jobs[at.job.at()]);
        let mut item = None;
        let mut failed = None;
        let mut above = Some(task);
        while let Some(level) = above {
            let parent = live.run.parent(level);
            if let (None, Some(number), Some(holder)) = (&item, live.run.item(level), parent) {
                item =
                    live.items.get(&holder).and_then(|items| items.get(number as usize)).cloned();
            }
            if failed.is_none() && live.run.remedy_of(level).is_some() {
                failed = parent;
            }
            above = parent;
        }
        let failed = failed.map(|failed| self.failed_facts(run, failed, world)).transpose()?;
        let live = &self.runs[&run];
        let names = job_names(&job);
        let jobs: BTreeMap<String, JobFacts> =
            if names.is_empty() { BTreeMap::new() } else { visible_jobs(live, task, &names) };
        let wanted = secret_names(&job);
        let project = live.row.project.clone();
        let known = wanted
            .into_iter()
            .filter_map(|name| Some((name.clone(), world.secret(&project, &name)?)))
            .collect();
        let live = &self.runs[&run];
        Ok(Context {
            params: Arc::clone(&live.values),
            run: RunFacts {
                id: run.0,
                due: live.run.due_at(),
                flow: live.row.flow.clone(),
                project,
                attempt: (at_attempt(live, task) > 0).then(|| at_attempt(live, task)),
            },
            jobs: Some(Arc::new(jobs)),
            item,
            host: None,
            secrets: Some(Arc::new(Known(known))),
            hosts: Arc::clone(&live.hosts),
            failed,
        })
    }
}

impl Turn {
    /// What failed, as the jobs of its remedy see it.
    fn failed_facts(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<Failed, String> {
        let cx = self.context(run, task, world)?;
        let job = self.job(run, task)?;
        let host = job.uses.as_ref().and_then(|uses| self.host_of(run, task, uses, &cx, world));
        let host = host.and_then(|host| host["name"].as_str().map(str::to_owned));
        let live = &self.runs[&run];
        let captures = live
            .captures
            .get(&task)
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .unwrap_or_default();
        let message = live.diagnosed.get(&task).map(|row| row.evidence.clone()).and_then(|text| {
            let evidence: Value = serde_json::from_str(&text).ok()?;
            evidence["text"].as_str().map(str::to_owned)
        });
        Ok(Failed { job: live.path(task), host, message: message.unwrap_or_default(), captures })
    }
}

fn at_attempt(live: &Live, task: TaskIx) -> u32 {
    live.run.tasks()[task.at()].attempt
}

/// All texts of a job in which templates may stand.
fn each_text(job: &Job, see: &mut dyn FnMut(&str)) {
    fn values(value: &Value, see: &mut dyn FnMut(&str)) {
        match value {
            Value::String(text) => see(text),
            Value::Array(list) => list.iter().for_each(|value| values(value, see)),
            Value::Object(map) => map.values().for_each(|value| values(value, see)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    for uses in [&job.uses, &job.unless, &job.verify].into_iter().flatten() {
        values(&uses.with, see);
    }
    let texts = [&job.when, &job.foreach, &job.working_dir, &job.run_as, &job.destroys]
        .into_iter()
        .flatten()
        .map(Box::as_ref);
    for text in texts.chain(job.env.iter().map(|(_, text)| text)).chain(&job.locks) {
        see(&text.source);
    }
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{") || text.contains("{%") || text.contains("{#"),
        Value::Array(list) => list.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The jobs that a job's texts speak of: `*` if that can't be told from the text.
fn job_names(job: &Job) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_text(job, &mut |text| {
        let mut rest = text;
        while let Some(at) = rest.find("jobs") {
            rest = &rest[at + 4..];
            let name = if let Some(dotted) = rest.strip_prefix('.') {
                dotted.split(|c: char| !c.is_alphanumeric() && c != '_').next()
            } else if let Some(index) = rest.strip_prefix('[') {
                let quoted = index.trim_start();
                quoted
                    .strip_prefix(['\'', '"'])
                    .and_then(|quoted| quoted.split(['\'', '"']).next())
                    .or(Some("*"))
            } else {
                None
            };
            names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    });
    names
}

fn secret_names(job: &Job) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_text(job, &mut |text| {
        let mut rest = text;
        while let Some(at) = rest.find("secret") {
            rest = &rest[at + 6..];
            let inside = rest.trim_start().strip_prefix('(').map(str::trim_start);
            let name = inside
                .and_then(|inside| inside.strip_prefix(['\'', '"']))
                .and_then(|inside| inside.split(['\'', '"']).next());
            names.extend(name.map(str::to_owned));
        }
    });
    names
}

/// All jobs of a run but those in groups, as templates see them.
pub(crate) fn jobs_of(live: &Live) -> BTreeMap<String, JobFacts> {
    let all = BTreeSet::from(["*".to_owned()]);
    let jobs = jobs_named(live, ScopeIx(0), &all).into_iter();
    jobs.map(|job| (live.job_name(job).to_owned(), facts(live, TaskIx(job.0)))).collect()
}

/// The jobs beside a task, and beside what holds it, of those names.
fn visible_jobs(live: &Live, task: TaskIx, names: &BTreeSet<String>) -> BTreeMap<String, JobFacts> {
    let mut found = BTreeMap::new();
    let mut level = Some(task);
    while let Some(at) = level {
        let scope = live.run.graph().job(live.run.tasks()[at.at()].job).scope;
        for job in jobs_named(live, scope, names) {
            let Some(sibling) = live.run.sibling(at, job) else { continue };
            let name = live.job_name(job).to_owned();
            found.entry(name).or_insert_with(|| facts(live, sibling));
        }
        level = live.run.parent(at);
    }
    // A hook sees the flow's own jobs, too: they stand in the first block of the run.
    for job in jobs_named(live, ScopeIx(0), names) {
        let name = live.job_name(job).to_owned();
        found.entry(name).or_insert_with(|| facts(live, TaskIx(job.0)));
    }
    found
}

fn jobs_named(live: &Live, scope: ScopeIx, names: &BTreeSet<String>) -> Vec<JobIx> {
    if matches!(live.compiled.owner(scope), Owner::Foreach(_)) {
        return Vec::new();
    }
    let is_wanted = |name: &str| {
        names.contains("*") || names.contains(name) || names.contains(&name.replace('-', "_"))
    };
    live.run.graph().jobs_of(scope).filter(|job| is_wanted(live.job_name(*job))).collect()
}

fn facts(live: &Live, task: TaskIx) -> JobFacts {
    let name = |job| live.job_name(job);
    JobFacts {
        state: live.run.tasks()[task.at()].state.name().to_owned(),
        outputs: value_of(&live.run, &name, &live.outputs, task),
    }
}

/// What a `foreach` whose items are not in this run keeps its list under.
pub(crate) const ITEMS: &str = "items";

/// What a task left behind, as templates see it: a mapping; for a group one of mappings; for a `foreach` a list.
pub(crate) fn value_of<'n>(
    run: &Run,
    name: &dyn Fn(JobIx) -> &'n str,
    outputs: &BTreeMap<TaskIx, Outputs>,
    task: TaskIx,
) -> Value {
    let own = || {
        let own = outputs.get(&task).cloned().unwrap_or_default();
        Value::Object(own.into_iter().collect())
    };
    let child = |child| value_of(run, name, outputs, TaskIx(child));
    match run.graph().job(run.tasks()[task.at()].job).kind {
        JobKind::Foreach { .. } if run.children(task.0).next().is_some() => {
            run.children(task.0).map(child).collect()
        }
        JobKind::Foreach { .. } => {
            own().get_mut(ITEMS).map_or_else(|| Value::Array(Vec::new()), Value::take)
        }
        JobKind::Group(_) => {
            let inner = run.children(task.0);
            let inner = inner.map(|ix| (name(run.tasks()[ix as usize].job).to_owned(), child(ix)));
            Value::Object(inner.collect())
        }
        JobKind::Work | JobKind::Instant | JobKind::Asks => own(),
    }
}

/// Tasks of the block that a `foreach` is about to add whose item ended well in the origin.
fn reused_items(live: &Live, task: TaskIx, items: &[Value]) -> Vec<u32> {
    let JobKind::Foreach { body, .. } = live.run.graph().job(live.run.tasks()[task.at()].job).kind
    else {
        return Vec::new();
    };
    if !live.origin.reuses_items {
        return Vec::new();
    }
    let path = live.path(task);
    let stride = live.run.graph().scope(body).block;
    let mut reused = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let before = live.origin.tasks.get(&format!("{path}[{number}]"));
        if before.is_some_and(|(was, is_well, _)| *is_well && was.as_ref() == Some(item)) {
            let first = number as u32 * stride;
            reused.extend(first..first + stride);
        }
    }
    reused
}

impl Turn {
    /// What reused items left behind in the origin is left behind here, too.
    pub(crate) fn take_over_items(&mut self, run: RunId, first: u32, reused: &[u32]) {
        for offset in reused {
            let task = TaskIx(first + offset);
            let Some(live) = self.runs.get(&run) else { return };
            if live.run.task(task).is_none_or(|task| task.state != TaskState::Reused) {
                continue;
            }
            let outputs = live.outputs_of_origin(task);
            if !outputs.is_empty() {
                self.leave(run, task, outputs);
            }
        }
    }

    /// Why the ready tasks of a run do not start, in words.
    pub(crate) fn why_all(&self, run: RunId) -> Vec<(u32, String)> {
        let Some(live) = self.runs.get(&run) else { return Vec::new() };
        let ready =
            live.run.tasks().iter().enumerate().filter(|(_, task)| task.state == TaskState::Ready);
        ready
            .filter_map(|(ix, _)| Some((ix as u32, self.why_ready((run, TaskIx(ix as u32)))?)))
            .collect()
    }
}
