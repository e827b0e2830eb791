//! Flows in a few characters.
//!
//! `a, b -> c` needs, `g{x -> y}` a group, `f*3` a `foreach` of three items (`f*?`: the test says how many),
//! `f*2{x -> y}` one over a group, `c[after=one-failed retry=3]` settings. Statements end with `;` or a line's end.
//! Others: `on-failure: cancel`, `timeout: 1h`, `late: start-within=1m cancel`, `on-exit: h1 -> h2` and the other
//! hooks, and `cure b: fix -> probe then retry-from a limit 2 destroys`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_core::flow::{After, LateThen, OnFailure, OnLost, Rolling};
use weir_core::graph::{
    Graph, JobKind, JobRules, LateRules, RemedyRules, Scope, ThenRules, Timing,
};
use weir_core::ids::{JobIx, ScopeIx, TaskIx};
use weir_core::outcome::ErrorClass;
use weir_core::run::Run;
use weir_core::time::parse_span;

/// A flow made from its notation.
pub(crate) struct Sketch {
    pub(crate) graph: Arc<Graph>,
    /// The name of each job.
    pub(crate) names: Vec<String>,
    /// How many items each `foreach` has, where the notation says.
    pub(crate) items: BTreeMap<u32, u32>,
}

#[derive(Clone, Default)]
struct Node {
    name: String,
    needs: Vec<String>,
    attrs: Vec<String>,
    inner: Option<Vec<Node>>,
    items: Items,
}

/// Whether a node is a `foreach`, and over how many items.
#[derive(Clone, Copy, Default, PartialEq)]
enum Items {
    #[default]
    NoList,
    Some(u32),
    Asked,
}

struct Cure {
    of: String,
    jobs: Vec<Node>,
    then: String,
    target: Option<String>,
    limit: u32,
    destroys: bool,
}

impl Sketch {
    pub(crate) fn new(text: &str) -> Self {
        let mut main = Vec::new();
        let mut graph = Graph::default();
        let mut hooks: BTreeMap<&str, Vec<Node>> = BTreeMap::new();
        let mut cures = Vec::new();
        for statement in statements(text) {
            match statement.split_once(':') {
                Some(("on-failure", value)) => {
                    graph.on_failure = match value.trim() {
                        "cancel" => OnFailure::Cancel,
                        "finish-possible" => OnFailure::FinishPossible,
                        "finish-running" => OnFailure::FinishRunning,
                        other => panic!("no on-failure `{other}`"),
                    };
                }
                Some(("timeout", value)) => graph.timeout = Some(span(value.trim())),
                Some(("late", value)) => {
                    let attrs: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
                    graph.late = late(&attrs);
                }
                Some((hook, value)) if hook.starts_with("on-") => {
                    nodes(value, hooks.entry(hook).or_default());
                }
                Some((head, value)) if head.starts_with("cure ") => {
                    cures.push(cure(head["cure ".len()..].trim(), value));
                }
                _ => nodes(statement, &mut main),
            }
        }
        let mut maker =
            Maker { graph, names: Vec::new(), items: BTreeMap::new(), work: Vec::new(), cures };
        maker.scope(main);
        for (hook, jobs) in hooks {
            let scope = Some(maker.scope(jobs));
            let hooks = &mut maker.graph.hooks;
            match hook {
                "on-start" => hooks.on_start = scope,
                "on-success" => hooks.on_success = scope,
                "on-failure-hook" => hooks.on_failure = scope,
                "on-exit" => hooks.on_exit = scope,
                other => panic!("no hook `{other}`"),
            }
        }
        maker.make()
    }

    /// How a task is called: `g/x`, `f[0]/x`, `b!fix` for the job of a remedy, `b!fix~2` at its second use.
    pub(crate) fn path(&self, run: &Run, task: TaskIx) -> String {
        let at = run.task(task).expect("the task is there");
        let name = &self.names[at.job.at()];
        let Some(parent) = run.parent(task) else { return name.clone() };
        let holder = self.path(run, parent);
        if let Some(item) = run.item(task) {
            return format!("{holder}[{item}]");
        }
        match run.remedy_of(task) {
            Some((_, 1)) => format!("{holder}!{name}"),
            Some((_, uses)) => format!("{holder}!{name}~{uses}"),
            None => format!("{holder}/{name}"),
        }
    }

    /// The task that is called so.
    pub(crate) fn task(&self, run: &Run, path: &str) -> TaskIx {
        let mut all = (0..run.tasks().len() as u32).map(TaskIx);
        all.find(|task| self.path(run, *task) == path)
            .unwrap_or_else(|| panic!("no task `{path}` now"))
    }
}

struct Maker {
    graph: Graph,
    names: Vec<String>,
    items: BTreeMap<u32, u32>,
    work: Vec<(ScopeIx, Vec<Node>)>,
    cures: Vec<Cure>,
}

impl Maker {
    fn scope(&mut self, jobs: Vec<Node>) -> ScopeIx {
        let scope = ScopeIx(self.graph.scopes.len() as u32);
        self.graph.scopes.push(Scope::default());
        self.work.push((scope, jobs));
        scope
    }

    fn make(mut self) -> Sketch {
        while !self.work.is_empty() {
            let (scope, jobs) = self.work.remove(0);
            self.number(scope, jobs);
        }
        for cure in std::mem::take(&mut self.cures) {
            self.cure(cure);
        }
        while !self.work.is_empty() {
            let (scope, jobs) = self.work.remove(0);
            self.number(scope, jobs);
        }
        self.graph.measure();
        Sketch { graph: Arc::new(self.graph), names: self.names, items: self.items }
    }

    fn number(&mut self, scope: ScopeIx, jobs: Vec<Node>) {
        let first = self.graph.jobs.len() as u32;
        let place = |name: &String| {
            jobs.iter().position(|job| job.name == *name).expect("a need stands beside") as u32
        };
        let needs: Vec<Vec<u32>> =
            jobs.iter().map(|job| job.needs.iter().map(place).collect()).collect();
        self.graph.scopes[scope.at()] = Scope::new(first, &needs);
        self.graph.jobs.extend(jobs.iter().map(|_| JobRules::default()));
        self.names.extend(jobs.iter().map(|job| job.name.clone()));
        for (ix, job) in (first..).zip(jobs) {
            let all = rules(&job.attrs);
            if let Items::Some(items) = job.items {
                self.items.insert(ix, items);
            }
            let rules = if job.items != Items::NoList {
                let own = job.attrs.iter().filter(|attr| !is_of_node(attr)).cloned();
                // What destroys is confirmed item by item.
                let confirm = all.destroys.then(|| "decide".to_owned());
                let body = Node {
                    name: format!("{}[]", job.name),
                    attrs: own.chain(confirm).collect(),
                    inner: job.inner.clone(),
                    ..Node::default()
                };
                let body = self.scope(vec![body]);
                let parallel = value(&job.attrs, "parallel").map_or(0, |n| n.parse().expect("n"));
                let fail_fast = job.attrs.iter().any(|attr| attr == "fail-fast");
                let rolling = value(&job.attrs, "batch").map(|batch| Rolling {
                    batch: batch.parse().expect("a number"),
                    pause: value(&job.attrs, "pause").map(span),
                    max_failures: value(&job.attrs, "max-failures")
                        .map_or(1, |count| count.parse().expect("a number")),
                });
                JobRules {
                    kind: JobKind::Foreach {
                        body,
                        parallel,
                        fail_fast,
                        rolling: rolling.map(Box::new),
                    },
                    after: all.after,
                    allow_failure: all.allow_failure,
                    decide: all.decide,
                    destroys: all.destroys,
                    timing: Arc::new(Timing { late: all.timing.late, ..Timing::default() }),
                    ..JobRules::default()
                }
            } else if let Some(inner) = job.inner {
                JobRules { kind: JobKind::Group(self.scope(inner)), ..all }
            } else {
                all
            };
            self.graph.jobs[ix as usize] = JobRules { scope, ..rules };
        }
    }

    fn cure(&mut self, cure: Cure) {
        let job = self.names.iter().position(|name| *name == cure.of).expect("a job to cure");
        let named = |name: &String| {
            JobIx(self.names.iter().position(|other| other == name).expect("a job") as u32)
        };
        let then = match cure.then.as_str() {
            "retry" => ThenRules::Retry,
            "retry-from" => ThenRules::RetryFrom(named(&cure.target.expect("a job"))),
            "continue" => ThenRules::Continue,
            "ask" => ThenRules::Ask,
            "fail" => ThenRules::Fail,
            other => panic!("no cure goes on with `{other}`"),
        };
        let scope = (!cure.jobs.is_empty()).then(|| self.scope(cure.jobs));
        let number = self.graph.remedies.len() as u32;
        let range = &mut self.graph.jobs[job].remedies;
        *range = if range.1 == 0 { (number, number + 1) } else { (range.0, number + 1) };
        self.graph.remedies.push(RemedyRules {
            scope,
            then,
            limit: cure.limit,
            destroys: cure.destroys,
        });
    }
}

/// Statements at the outermost level.
fn statements(text: &str) -> Vec<&str> {
    split(text, |c| c == ';' || c == '\n')
}

fn split(text: &str, is_end: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            c if depth == 0 && is_end(c) => {
                parts.push(text[begin..at].trim());
                begin = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Adds the nodes of `a, b -> c`.
fn nodes(text: &str, all: &mut Vec<Node>) {
    let chain: Vec<String> =
        text.replace("->", "\u{1}").split('\u{1}').map(str::to_owned).collect();
    // A chain inside a group must not be cut.
    let mut links: Vec<String> = Vec::new();
    let mut depth = 0_i32;
    for part in chain {
        if depth > 0 {
            let last = links.last_mut().expect("an open group has begun");
            last.push_str("->");
            last.push_str(&part);
        } else {
            links.push(part.clone());
        }
        depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
    }
    let mut before: Vec<String> = Vec::new();
    for link in links {
        let mut names = Vec::new();
        for one in split(&link, |c| c == ',') {
            let node = node(one);
            names.push(node.name.clone());
            let place = all.iter().position(|other| other.name == node.name);
            let at = place.unwrap_or_else(|| {
                all.push(Node { name: node.name.clone(), ..Node::default() });
                all.len() - 1
            });
            let known = &mut all[at];
            known.attrs.extend(node.attrs);
            known.inner = known.inner.take().or(node.inner);
            if node.items != Items::NoList {
                known.items = node.items;
            }
            known.needs.extend(before.iter().cloned());
        }
        before = names;
    }
}

fn node(text: &str) -> Node {
    let mut node = Node::default();
    let end = text.find(['*', '{', '[']).unwrap_or(text.len());
    text[..end].trim().clone_into(&mut node.name);
    assert!(!node.name.is_empty(), "a job without a name in `{text}`");
    let mut rest = text[end..].trim();
    if let Some(after) = rest.strip_prefix('*') {
        let end = after.find(['{', '[']).unwrap_or(after.len());
        node.items = after[..end].trim().parse().map_or(Items::Asked, Items::Some);
        rest = after[end..].trim();
    }
    if rest.starts_with('{') {
        let end = rest.rfind('}').expect("a group ends");
        let mut inner = Vec::new();
        for statement in statements(&rest[1..end]) {
            nodes(statement, &mut inner);
        }
        node.inner = Some(inner);
        rest = rest[end + 1..].trim();
    }
    if let Some(attrs) = rest.strip_prefix('[') {
        let attrs = attrs.strip_suffix(']').expect("settings end");
        node.attrs = attrs.split_whitespace().map(str::to_owned).collect();
    }
    node
}

fn cure(of: &str, text: &str) -> Cure {
    let (jobs_text, rest) = match text.trim().strip_prefix("then ") {
        Some(rest) => ("", rest),
        None => text.split_once(" then ").expect("a cure says what follows"),
    };
    let mut jobs = Vec::new();
    if !jobs_text.trim().is_empty() {
        nodes(jobs_text, &mut jobs);
    }
    let mut words = rest.split_whitespace();
    let then = words.next().expect("what follows").to_owned();
    let target = (then == "retry-from").then(|| words.next().expect("a job").to_owned());
    let mut cure = Cure { of: of.to_owned(), jobs, then, target, limit: 1, destroys: false };
    while let Some(word) = words.next() {
        match word {
            "limit" => cure.limit = words.next().expect("a number").parse().expect("a number"),
            "destroys" => cure.destroys = true,
            other => panic!("a cure can't be `{other}`"),
        }
    }
    cure
}

fn value<'a>(attrs: &'a [String], name: &str) -> Option<&'a str> {
    attrs.iter().find_map(|attr| attr.strip_prefix(name)?.strip_prefix('='))
}

fn span(text: &str) -> Duration {
    parse_span(text).expect("a span of time")
}

/// Settings of a `foreach` itself; all others are those of each item.
fn is_of_node(attr: &str) -> bool {
    [
        "after",
        "allow-failure",
        "decide",
        "parallel",
        "fail-fast",
        "batch",
        "pause",
        "max-failures",
        "start-within",
        "finish-within",
        "cancel",
    ]
    .iter()
    .any(|own| attr == *own || attr.starts_with(&format!("{own}=")))
}

fn late(attrs: &[String]) -> LateRules {
    LateRules {
        start_within: value(attrs, "start-within").map(span),
        finish_within: value(attrs, "finish-within").map(span),
        then: if attrs.iter().any(|attr| attr == "cancel") {
            LateThen::Cancel
        } else {
            LateThen::Notify
        },
    }
}

fn rules(attrs: &[String]) -> JobRules {
    let mut rules = JobRules::default();
    let mut timing = Timing { late: late(attrs), ..Timing::default() };
    timing.retry.jitter = 0.0;
    for attr in attrs {
        let (name, value) = attr.split_once('=').unwrap_or((attr, ""));
        match name {
            "after" => {
                rules.after = match value {
                    "all-success" => After::AllSuccess,
                    "all-done" => After::AllDone,
                    "one-success" => After::OneSuccess,
                    "one-failed" => After::OneFailed,
                    "all-failed" => After::AllFailed,
                    "none-failed" => After::NoneFailed,
                    other => panic!("no rule `{other}`"),
                }
            }
            "allow-failure" => rules.allow_failure = true,
            "decide" => rules.decide = true,
            "destroys" => rules.destroys = true,
            "check" => rules.has_check = true,
            "instant" => rules.kind = JobKind::Instant,
            "asks" => rules.kind = JobKind::Asks,
            "retry" => timing.retry.attempts = value.parse().expect("a number"),
            "delay" => timing.retry.delay = span(value),
            "backoff" => timing.retry.backoff = value.parse().expect("a number"),
            "max-delay" => timing.retry.max_delay = span(value),
            "jitter" => timing.retry.jitter = value.parse().expect("a number"),
            "on" => {
                let class = |name| ErrorClass::named(name).expect("a class");
                timing.retry.on = value.split('+').map(class).collect();
            }
            "timeout" => timing.timeout = Some(span(value)),
            "on-lost" => {
                rules.on_lost = match value {
                    "retry" => OnLost::Retry,
                    "ask" => OnLost::Ask,
                    "fail" => OnLost::Fail,
                    other => panic!("no on-lost `{other}`"),
                }
            }
            "parallel" | "fail-fast" | "batch" | "pause" | "max-failures" | "start-within"
            | "finish-within" | "cancel" => {}
            other => panic!("no setting `{other}`"),
        }
    }
    rules.timing = Arc::new(timing);
    rules
}
