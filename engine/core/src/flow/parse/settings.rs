//! Settings that stand in more than one place: retries, spans, bounds, variables; and what jobs inherit.

use std::sync::Arc;
use std::time::Duration;

use super::{Reader, one_or_many};
use crate::flow::{Defaults, Keep, Late, LateThen, Limits, Retry, Rolling, Text};
use crate::outcome::ErrorClass;
use crate::size::parse_size;
use crate::time::parse_span;
use crate::yaml::{Data, Node};

/// The time between TERM and KILL where nothing else is said.
const GRACE: Duration = Duration::from_secs(10);

/// What a job has unless it says otherwise: from the project, the flow and the groups around it.
#[derive(Clone, Debug)]
pub(crate) struct Inherited {
    pub(super) retry: Arc<Retry>,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) env: Arc<[(String, Text)]>,
    pub(super) working_dir: Option<Box<Text>>,
    pub(super) run_as: Option<Box<Text>>,
    pub(super) limits: Arc<Limits>,
}

impl Inherited {
    /// What the project says for all jobs.
    pub(crate) fn from_project(defaults: &Defaults) -> Self {
        let Defaults { retry, timeout, grace, env, working_dir, run_as, limits, .. } =
            defaults.clone();
        Self {
            retry: Arc::new(retry.unwrap_or_default()),
            timeout,
            grace: grace.unwrap_or(GRACE),
            env: env.into(),
            working_dir: working_dir.map(Box::new),
            run_as: run_as.map(Box::new),
            limits: Arc::new(limits.unwrap_or_default()),
        }
    }
}

impl Reader<'_> {
    /// Variables, those inherited first; a job's own replace them.
    pub(super) fn env_into(&self, node: &Node, env: &mut Vec<(String, Text)>) {
        for entry in node.entries() {
            let Some(text) = self.text(&entry.value) else { continue };
            match env.iter_mut().find(|(name, _)| **name == *entry.key) {
                Some((_, value)) => *value = text,
                None => env.push((entry.key.to_string(), text)),
            }
        }
    }
}

/// A span of time.
pub(super) fn span(node: &Node) -> Option<Duration> {
    match &node.data {
        Data::Text(text) => parse_span(text).ok(),
        Data::Int(0) => Some(Duration::ZERO),
        Data::Null
        | Data::Bool(_)
        | Data::Int(_)
        | Data::Float(_)
        | Data::List(_)
        | Data::Map(_) => None,
    }
}

/// A number of bytes.
fn size(node: &Node) -> Option<u64> {
    match &node.data {
        Data::Text(text) => parse_size(text),
        Data::Int(bytes) => u64::try_from(*bytes).ok(),
        Data::Null | Data::Bool(_) | Data::Float(_) | Data::List(_) | Data::Map(_) => None,
    }
}

/// A whole number that fits.
pub(super) fn whole<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    let number = match node.data {
        Data::Int(number) => number,
        Data::Float(number) if number.fract() == 0.0 => number as i64,
        Data::Null
        | Data::Bool(_)
        | Data::Float(_)
        | Data::Text(_)
        | Data::List(_)
        | Data::Map(_) => return None,
    };
    T::try_from(number).ok()
}

/// Any number.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node.data {
        Data::Int(number) => Some(number as f64),
        Data::Float(number) => Some(number),
        Data::Null | Data::Bool(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
    }
}

/// `true` or `false`.
pub(super) fn truth(node: &Node) -> Option<bool> {
    match node.data {
        Data::Bool(value) => Some(value),
        Data::Null
        | Data::Int(_)
        | Data::Float(_)
        | Data::Text(_)
        | Data::List(_)
        | Data::Map(_) => None,
    }
}

/// Classes of failure.
pub(super) fn classes(node: &Node) -> Vec<ErrorClass> {
    let names = one_or_many(node).iter().filter_map(|node| node.text());
    names.filter_map(ErrorClass::named).collect()
}

/// Replaces what is said of retries; the rest stays.
pub(super) fn retry_into(node: &Node, retry: &mut Retry) {
    let Retry { attempts, delay, backoff, max_delay, jitter, on } = retry;
    put(attempts, node.get("attempts").and_then(whole));
    put(delay, node.get("delay").and_then(span));
    put(backoff, node.get("backoff").and_then(number));
    put(max_delay, node.get("max-delay").and_then(span));
    put(jitter, node.get("jitter").and_then(number));
    put(on, node.get("on").map(classes));
    if node.get("max-delay").is_none() {
        *max_delay = (*max_delay).max(*delay);
    }
}

/// Replaces the bounds that are written; the rest stays.
pub(super) fn limits_into(node: &Node, limits: &mut Limits) {
    let Limits { memory, cpu_time, cpus_milli, open_files, processes, file_size, log_size } =
        limits;
    let put_some = |place: &mut Option<u64>, value: Option<u64>| {
        if value.is_some() {
            *place = value;
        }
    };
    put_some(memory, node.get("memory").and_then(size));
    put_some(cpu_time, node.get("cpu-time").and_then(span).map(|span| span.as_secs().max(1)));
    put_some(
        cpus_milli,
        node.get("cpus").and_then(number).map(|cpus| (cpus * 1000.0).round() as u64),
    );
    put_some(open_files, node.get("open-files").and_then(whole));
    put_some(processes, node.get("processes").and_then(whole));
    put_some(file_size, node.get("file-size").and_then(size));
    put_some(log_size, node.get("log-size").and_then(size));
}

/// Batches: one item each, and an end at the first failure, where nothing else is said.
pub(super) fn rolling(node: &Node) -> Rolling {
    Rolling {
        batch: node.get("batch").and_then(whole).unwrap_or(1).max(1),
        pause: node.get("pause").and_then(span),
        max_failures: node.get("max-failures").and_then(whole).unwrap_or(1).max(1),
    }
}

/// Which runs are kept.
pub(super) fn keep(node: &Node) -> Keep {
    Keep { age: node.get("age").and_then(span), runs: node.get("runs").and_then(whole) }
}

/// When something counts as late.
pub(super) fn late(node: &Node) -> Late {
    let then = match node.get("then").and_then(|node| node.text()) {
        Some("cancel") => LateThen::Cancel,
        Some(_) | None => LateThen::Notify,
    };
    Late {
        start_within: node.get("start-within").and_then(span),
        finish_within: node.get("finish-within").and_then(span),
        then,
    }
}

pub(super) fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
