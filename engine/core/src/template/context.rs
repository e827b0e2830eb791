//! What a template sees, looked up only when it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Error, ErrorKind, Value};
use serde_json::Value as Json;

use crate::flow::Host;
use crate::hosts;
use crate::params::Values;
use crate::secret::Secret;
use crate::time::Timestamp;

/// What the templates of one task see.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The parameters.
    pub params: Arc<Values>,
    /// The run.
    pub run: RunFacts,
    /// The jobs that have ended, as far as the task may see them. `None`: `jobs` is not defined.
    pub jobs: Option<Arc<dyn Jobs>>,
    /// The item of a `foreach`.
    pub item: Option<Json>,
    /// The host that is worked on, as [`hosts::facts`] tells it. `None`: `host` is not defined.
    pub host: Option<Json>,
    /// The secrets that may be read. `None`: `secret` is not defined.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// The project's hosts.
    pub hosts: Arc<BTreeMap<String, Host>>,
    /// In a remedy's jobs: what failed.
    pub failed: Option<Failed>,
}

/// What templates see of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Its number.
    pub id: i64,
    /// The logical time it runs for.
    pub due: Timestamp,
    /// Its flow.
    pub flow: String,
    /// Its project.
    pub project: String,
    /// Which attempt this is, from 1, if it is one.
    pub attempt: Option<u32>,
}

/// What failed, as the jobs of its remedy see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// The path of the failed task.
    pub job: String,
    /// The host it worked on, if it was one.
    pub host: Option<String>,
    /// What was said of its failure.
    pub message: String,
    /// What the signature's pattern captured.
    pub captures: BTreeMap<String, String>,
}

/// Jobs as templates see them.
pub trait Jobs: fmt::Debug + Send + Sync {
    /// How a job is, by name. `None` if there is no such job.
    fn job(&self, name: &str) -> Option<JobFacts>;

    /// The names of all jobs there are.
    fn names(&self) -> Vec<String>;
}

/// What a template sees of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFacts {
    /// The name of its state.
    pub state: String,
    /// What it left behind: a mapping, or for a `foreach` a list of them.
    pub outputs: Json,
}

impl Jobs for BTreeMap<String, JobFacts> {
    fn job(&self, name: &str) -> Option<JobFacts> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Secrets by name.
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The secret, if there is one that may be read here.
    fn secret(&self, name: &str) -> Option<Secret>;

    /// The names of those that may be read here.
    fn names(&self) -> Vec<String>;
}

impl Secrets for BTreeMap<String, Secret> {
    fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// What one filling-in has touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Secrets that were read, and values made from them.
    pub(super) secrets: Vec<Secret>,
    /// Secrets that were read since a value was last written.
    pub(super) fresh: usize,
    /// Names that were looked for in vain, the last ones of them.
    pub(super) missing: Vec<Missing>,
}

/// A name that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What it was looked for in.
    pub(super) path: String,
    /// The name.
    pub(super) name: String,
    /// What is there.
    pub(super) known: Vec<String>,
}

/// The record of what is touched, shared by all that a template sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Arc<Mutex<Touched>>);

impl Trace {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Touched) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, secret: &Secret) -> Value {
        self.with(|touched| {
            touched.fresh += 1;
            if !touched.secrets.contains(secret) {
                touched.secrets.push(secret.clone());
            }
        });
        Value::from(secret.expose())
    }

    fn miss(&self, path: &str, name: &str, known: Vec<String>) {
        let missing = Missing { path: path.to_owned(), name: name.to_owned(), known };
        self.with(|touched| {
            let keep_from = touched.missing.len().saturating_sub(3);
            touched.missing.drain(..keep_from);
            touched.missing.push(missing);
        });
    }
}

/// All that a template sees.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) cx: Context,
    pub(super) trace: Trace,
}

fn of_json(value: &Json) -> Value {
    Value::from(Serde(value))
}

/// Names that the environment itself defines.
const GLOBALS: [&str; 3] = ["range", "dict", "namespace"];

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = match name {
            "params" => Some(Value::from_object(Params(Arc::clone(self)))),
            "run" => Some(self.run()),
            "item" => self.cx.item.as_ref().map(of_json),
            "host" => self.cx.host.as_ref().map(of_json),
            "jobs" => {
                self.cx.jobs.as_ref().map(|_| Value::from_object(JobsByName(Arc::clone(self))))
            }
            "secret" => self.cx.secrets.as_ref().map(|_| self.secret()),
            "hosts" => Some(self.hosts()),
            "failed" => self.cx.failed.as_ref().map(|failed| {
                of_json(&serde_json::json!({
                    "job": failed.job, "host": failed.host, "message": failed.message,
                }))
            }),
            "remedy" => self
                .cx
                .failed
                .as_ref()
                .map(|failed| of_json(&serde_json::json!({ "captures": failed.captures }))),
            _ => None,
        };
        if found.is_none() && !GLOBALS.contains(&name) {
            let mut known = vec!["params", "run", "hosts"];
            known.extend(self.cx.item.as_ref().map(|_| "item"));
            known.extend(self.cx.host.as_ref().map(|_| "host"));
            known.extend(self.cx.jobs.as_ref().map(|_| "jobs"));
            known.extend(self.cx.secrets.as_ref().map(|_| "secret"));
            known.extend(self.cx.failed.as_ref().into_iter().flat_map(|_| ["failed", "remedy"]));
            self.trace.miss("", name, known.into_iter().map(str::to_owned).collect());
        }
        found
    }
}

impl Root {
    fn run(&self) -> Value {
        let RunFacts { id, due, flow, project, attempt } = &self.cx.run;
        of_json(&serde_json::json!({
            "id": id, "due": due.to_string(), "flow": flow, "project": project, "attempt": attempt,
        }))
    }

    fn secret(self: &Arc<Self>) -> Value {
        let root = Arc::clone(self);
        Value::from_function(move |name: String| {
            let secrets = root.cx.secrets.as_ref();
            if let Some(secret) = secrets.and_then(|secrets| secrets.secret(&name)) {
                return Ok(root.trace.read(&secret));
            }
            let names = secrets.map(|secrets| secrets.names()).unwrap_or_default();
            let near = crate::schema::nearest(&name, names.iter().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            let message = format!("there is no secret `{name}` here{near}");
            Err(Error::new(ErrorKind::InvalidOperation, message))
        })
    }

    fn hosts(self: &Arc<Self>) -> Value {
        let root = Arc::clone(self);
        Value::from_function(move |selector: String| {
            let chosen = hosts::select(&root.cx.hosts, &selector)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
            Ok(chosen.into_iter().map(|host| of_json(&hosts::facts(host))).collect::<Value>())
        })
    }
}

/// `params`
#[derive(Debug)]
struct Params(Arc<Root>);

impl Object for Params {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let Values { plain, secrets } = &*self.0.cx.params;
        if let Some(value) = plain.get(name) {
            return Some(of_json(value));
        }
        if let Some(secret) = secrets.get(name) {
            return Some(self.0.trace.read(secret));
        }
        let known = plain.keys().chain(secrets.keys()).cloned().collect();
        self.0.trace.miss("params", name, known);
        None
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // Without the secrets: whoever writes out all parameters does not mean them.
        Enumerator::Values(
            self.0.cx.params.plain.keys().map(|name| Value::from(name.as_str())).collect(),
        )
    }
}

/// `jobs`
#[derive(Debug)]
struct JobsByName(Arc<Root>);

impl Object for JobsByName {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let jobs = self.0.cx.jobs.as_ref()?;
        if let Some(facts) = jobs.job(name) {
            return Some(Value::from_object(OneJob {
                root: Arc::clone(&self.0),
                name: name.to_owned(),
                facts,
            }));
        }
        let names = jobs.names();
        if let Some(meant) = names.iter().find(|known| known.replace('-', "_") == name) {
            let facts = jobs.job(meant)?;
            return Some(Value::from_object(OneJob {
                root: Arc::clone(&self.0),
                name: meant.clone(),
                facts,
            }));
        }
        self.0.trace.miss("jobs", name, names);
        None
    }
}

/// `jobs.NAME`
#[derive(Debug)]
struct OneJob {
    root: Arc<Root>,
    name: String,
    facts: JobFacts,
}

impl Object for OneJob {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "state" => Some(Value::from(self.facts.state.as_str())),
            "outputs" if self.facts.outputs.is_object() => {
                Some(Value::from_object(Outputs(Arc::clone(self))))
            }
            "outputs" => Some(of_json(&self.facts.outputs)),
            name => {
                let known = ["state", "outputs"].map(str::to_owned).to_vec();
                self.root.trace.miss(&format!("jobs.{}", self.name), name, known);
                None
            }
        }
    }
}

/// `jobs.NAME.outputs`
#[derive(Debug)]
struct Outputs(Arc<OneJob>);

impl Object for Outputs {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let outputs = self.0.facts.outputs.as_object()?;
        let dashed = || {
            outputs.iter().find(|(key, _)| key.replace('-', "_") == name).map(|(_, value)| value)
        };
        if let Some(value) = outputs.get(name).or_else(dashed) {
            return Some(of_json(value));
        }
        let path = format!("jobs.{}.outputs", self.0.name);
        self.0.root.trace.miss(&path, name, outputs.keys().cloned().collect());
        None
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.0.facts.outputs.as_object().into_iter().flat_map(|map| map.keys());
        Enumerator::Values(keys.map(|key| Value::from(key.as_str())).collect())
    }
}
