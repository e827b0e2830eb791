//! From checked trees to the types of a flow. What does not fit was found by the schema before: here it is passed
//! over in silence, so that one mistake is told once.

mod job;
mod param;
mod project;
mod recover;
mod schedule;
mod settings;
mod together;

use std::sync::Arc;

use super::{
    Concurrency, ConcurrencyPolicy, Flow, Hooks, Job, Notify, OnFailure, Project, Text, schema,
};
use crate::job_types::JobTypes;
use crate::mistake::{Mistake, Place, Severity};
use crate::notice::{self, Reason};
use crate::schema::{Checker, Finding, Templates};
use crate::yaml::{Data, Node, Source};

pub(crate) use settings::Inherited;

/// What reading needs and what it finds.
pub(crate) struct Reader<'a> {
    file: &'a str,
    source: &'a Source<'a>,
    types: &'a JobTypes,
    /// All mistakes found so far.
    pub(crate) mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// A reader of one file.
    pub(crate) fn new(file: &'a str, source: &'a Source<'a>, types: &'a JobTypes) -> Self {
        Self { file, source, types, mistakes: Vec::new() }
    }

    /// The flow of a file. The tree is taken apart on the way: the tree and the flow of a hundred thousand jobs need
    /// not be in memory together.
    pub(crate) fn flow(&mut self, mut node: Node, project: &Project) -> Flow {
        self.hold(&schema::FLOW, &node, start_of(&node));
        let node = &mut node;
        let mut inherited = Inherited::from_project(&project.defaults);
        if let Some(retry) = node.get("retry") {
            settings::retry_into(retry, Arc::make_mut(&mut inherited.retry));
            self.retry_together(retry);
        }
        self.times_together(node);
        if let Some(keep) = node.get("keep") {
            self.keep_together(keep);
        }
        if let Some(jobs) = node.entry("jobs")
            && matches!(&jobs.value.data, Data::Map(jobs) if jobs.is_empty())
        {
            let message = "the flow has no jobs".to_owned();
            self.mistake(
                jobs.place,
                "no-jobs",
                message,
                Some("add one below it: `NAME: { uses: ... }`".to_owned()),
            );
        }
        let params = node.get("params").map(|node| self.params(node)).unwrap_or_default();
        let schedules =
            node.get("schedules").map(|list| self.schedules(list, &params)).unwrap_or_default();
        let on_failure = node.get("on-failure").and_then(|node| named(node, on_failure));
        Flow {
            name: self.text_or_empty(node.get("name")),
            title: node.get("title").and_then(|node| node.text()).map(str::to_owned),
            description: node.get("description").and_then(|node| node.text()).map(str::to_owned),
            labels: node.get("labels").map(|node| self.letters(node)).unwrap_or_default(),
            params,
            jobs: node.take("jobs").into_iter().map(|entry| self.job(&entry, &inherited)).collect(),
            hooks: node.get("hooks").map(|node| self.hooks(node, &inherited)).unwrap_or_default(),
            on_failure: on_failure.or(project.defaults.on_failure).unwrap_or_default(),
            concurrency: node
                .get("concurrency")
                .map(|node| self.concurrency(node))
                .unwrap_or_default(),
            timeout: node.get("timeout").and_then(settings::span),
            late: node.get("late").map(settings::late),
            locks: node.get("locks").map(|node| self.texts(node)).unwrap_or_default(),
            notify: node
                .get("notify")
                .map(|node| node.items().iter().map(notify).collect())
                .unwrap_or_default(),
            keep: node
                .get("keep")
                .map(settings::keep)
                .or(project.defaults.keep)
                .unwrap_or_default(),
            schedules,
        }
    }

    /// The jobs of a mapping, in the file's order.
    pub(crate) fn jobs(&mut self, node: &Node, inherited: &Inherited) -> Vec<Job> {
        node.entries().iter().map(|entry| self.job(entry, inherited)).collect()
    }

    fn hooks(&mut self, node: &Node, inherited: &Inherited) -> Hooks {
        let mut of =
            |key: &str| node.get(key).map(|jobs| self.jobs(jobs, inherited)).unwrap_or_default();
        Hooks {
            on_start: of("on-start"),
            on_success: of("on-success"),
            on_failure: of("on-failure"),
            on_exit: of("on-exit"),
        }
    }

    fn concurrency(&self, node: &Node) -> Concurrency {
        let policy = node.get("policy").and_then(|node| named(node, concurrency_policy));
        let policy = policy.unwrap_or(ConcurrencyPolicy::Parallel);
        let limit = node.get("limit").and_then(settings::whole);
        let usual = match policy {
            // No bound, unless one is written.
            ConcurrencyPolicy::Parallel | ConcurrencyPolicy::Pipeline => 0,
            ConcurrencyPolicy::Queue
            | ConcurrencyPolicy::Skip
            | ConcurrencyPolicy::CancelRunning => 1,
        };
        Concurrency {
            policy,
            limit: limit.unwrap_or(usual),
            key: node.get("key").and_then(|node| self.text(node)),
        }
    }

    /// Holds a tree against a schema in which nothing is filled in later.
    pub(crate) fn hold(&mut self, checker: &Checker, node: &Node, owner: Place) {
        for finding in checker.check(node, owner, Templates::Refused) {
            self.add(finding);
        }
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        let Finding { place, code, message, help, .. } = finding;
        self.mistake(place, code, message, help);
    }

    pub(crate) fn mistake(
        &mut self,
        place: Place,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) {
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            place,
            severity: Severity::Error,
            code,
            message,
            help,
        });
    }

    /// A scalar as a text, letter by letter as it is written.
    pub(crate) fn text(&self, node: &Node) -> Option<Text> {
        let source = match &node.data {
            Data::Text(text) => text.to_string(),
            Data::Bool(_) | Data::Int(_) | Data::Float(_) => self.source.at(node.place).to_owned(),
            Data::Null | Data::List(_) | Data::Map(_) => return None,
        };
        Some(Text { source, place: node.place })
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&self, node: &Node) -> Vec<Text> {
        let nodes = one_or_many(node);
        // Nearly every job needs a few others: no room is kept for more.
        let mut texts = Vec::with_capacity(nodes.len());
        texts.extend(nodes.iter().filter_map(|node| self.text(node)));
        texts
    }

    fn text_or_empty(&self, node: Option<&Node>) -> String {
        node.and_then(|node| self.text(node)).map(|text| text.source).unwrap_or_default()
    }

    /// A mapping of names to scalars, letter by letter.
    fn letters(&self, node: &Node) -> std::collections::BTreeMap<String, String> {
        let entries = node.entries().iter();
        entries
            .filter_map(|entry| Some((entry.key.to_string(), self.text(&entry.value)?.source)))
            .collect()
    }
}

/// The items of a list, or the one thing that stands for a list of one.
pub(crate) fn one_or_many(node: &Node) -> &[Node] {
    match &node.data {
        Data::List(items) => items,
        Data::Null
        | Data::Bool(_)
        | Data::Int(_)
        | Data::Float(_)
        | Data::Text(_)
        | Data::Map(_) => std::slice::from_ref(node),
    }
}

/// The begin of a file's mapping: missing keys are marked there.
pub(crate) fn start_of(node: &Node) -> Place {
    node.entries().first().map_or(node.place, |entry| entry.place)
}

fn named<T>(node: &Node, by_name: fn(&str) -> Option<T>) -> Option<T> {
    node.text().and_then(by_name)
}

fn on_failure(name: &str) -> Option<OnFailure> {
    match name {
        "finish-running" => Some(OnFailure::FinishRunning),
        "cancel" => Some(OnFailure::Cancel),
        "finish-possible" => Some(OnFailure::FinishPossible),
        _ => None,
    }
}

fn concurrency_policy(name: &str) -> Option<ConcurrencyPolicy> {
    match name {
        "queue" => Some(ConcurrencyPolicy::Queue),
        "skip" => Some(ConcurrencyPolicy::Skip),
        "parallel" => Some(ConcurrencyPolicy::Parallel),
        "cancel-running" => Some(ConcurrencyPolicy::CancelRunning),
        "pipeline" => Some(ConcurrencyPolicy::Pipeline),
        _ => None,
    }
}

fn notify(node: &Node) -> Notify {
    let texts = |key: &str| {
        let nodes = node.get(key).map(one_or_many).unwrap_or_default();
        nodes.iter().filter_map(|node| node.text())
    };
    Notify {
        on: texts("on").filter_map(Reason::named).collect(),
        to: texts("to").map(str::to_owned).collect(),
        window: node.get("window").and_then(settings::span).unwrap_or(notice::WINDOW),
    }
}
