//! Templates and expressions: each name in them must mean something where it stands.

use super::Check;
use super::near as nearest;
use super::reach::{Reach, Scope};
use crate::flow::names::{self, Broken, Mention, What};
use crate::flow::{Text, Uses};
use crate::mistake::{Place, Severity};
use crate::schema::TextKind;

/// What a text may speak of.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    /// The scope and the job in it; `None` before any job has run.
    pub(super) jobs: Option<(&'a Scope<'a>, usize)>,
    /// `item` has a value.
    pub(super) has_item: bool,
    /// `host` has a value.
    pub(super) has_host: bool,
    /// The failure that is cured can be spoken of.
    pub(super) is_remedy: bool,
    /// The job itself has done its work.
    pub(super) knows_itself: bool,
    /// What it becomes is neither shown nor kept.
    pub(super) may_use_secrets: bool,
}

/// How the help for a name with `-` begins.
const DASHED: &str = "a name with `-` is written";
/// Filters that Weir and its template engine have.
const FILTERS: [&str; 47] = [
    "raw",
    "json",
    "date",
    "default",
    "join",
    "split",
    "lines",
    "int",
    "length",
    "first",
    "last",
    "replace",
    "lower",
    "upper",
    "trim",
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "dictsort",
    "float",
    "format",
    "groupby",
    "indent",
    "items",
    "list",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "sum",
    "title",
    "unique",
    "zip",
];
/// Tests (`x is ...`) of the template engine.
const TESTS: [&str; 37] = [
    "undefined",
    "defined",
    "none",
    "safe",
    "escaped",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "sameas",
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "<",
    "le",
    "<=",
    "gt",
    "greaterthan",
    "ge",
    "in",
    "true",
];
const FUNCTIONS: [&str; 5] = ["secret", "hosts", "range", "dict", "namespace"];
/// What can be said of a job.
const OF_A_JOB: [&str; 2] = ["outputs", "state"];
/// What can be said of the run.
const OF_THE_RUN: [&str; 5] = ["id", "due", "flow", "project", "attempt"];

impl Check<'_> {
    /// A text in which templates are filled in.
    pub(super) fn template(&mut self, text: &Text, words: &Words<'_>) {
        self.template_of(text, TextKind::Plain, words);
    }

    fn template_of(&mut self, text: &Text, kind: TextKind, words: &Words<'_>) {
        match names::of_template(&text.source, kind) {
            Ok(mentions) => self.mentions(text, &mentions, words),
            Err(broken) => self.broken(text, "bad-template", &broken),
        }
    }

    /// An expression. Says whether its truth is always the same.
    pub(super) fn expression(&mut self, text: &Text, words: &Words<'_>) -> Option<bool> {
        match names::of_expression(&text.source) {
            Ok((mentions, truth)) => {
                self.mentions(text, &mentions, words);
                truth
            }
            Err(broken) => {
                self.broken(text, "bad-expression", &broken);
                None
            }
        }
    }

    /// All texts of some settings, each as its job type reads it.
    pub(super) fn settings(&mut self, uses: &Uses, words: &Words<'_>) {
        let known = self.around.types.get(&uses.job_type);
        for (pointer, place) in uses.places.iter() {
            let Some(source) = uses.with.pointer(pointer).and_then(serde_json::Value::as_str)
            else {
                continue;
            };
            let text = Text { source: source.to_owned(), place };
            // Which host it is, that text itself says.
            let words = &Words { has_host: words.has_host && pointer != "/hosts", ..*words };
            match known.map(|known| known.checker().text_kind(pointer)).unwrap_or_default() {
                kind @ (TextKind::Plain | TextKind::Shell) => self.template_of(&text, kind, words),
                TextKind::Expression => {
                    self.expression(&text, words);
                }
                TextKind::Fixed => {}
            }
        }
    }

    fn broken(&mut self, text: &Text, code: &'static str, broken: &Broken) {
        let place = self.around.source.inside(text.place, &text.source, broken.from, broken.to);
        let what = if code == "bad-template" { "template" } else { "expression" };
        self.error(
            place,
            code,
            format!("this {what} can't be read: {}", broken.message),
            &broken.help,
        );
    }

    fn mentions(&mut self, text: &Text, mentions: &[Mention], words: &Words<'_>) {
        let mut dash_at = None;
        for mention in mentions {
            // What follows the dash of `jobs.name-node` is the rest of a name.
            if dash_at.take() == Some(mention.from) {
                dash_at = text.source[mention.to..].starts_with('-').then_some(mention.to + 1);
                continue;
            }
            let before = self.mistakes.len();
            let nowhere = Place::default();
            match &mention.what {
                What::Value(path) => self.value(path, nowhere, words),
                What::Call(name, argument) => self.call(name, argument.as_deref(), nowhere, words),
                What::Filter(name) => self.word("filter", name, &FILTERS, nowhere),
                What::Test(name) => self.word("test", name, &TESTS, nowhere),
            }
            // To find a place takes longer than to find that all is well.
            if self.mistakes.len() > before {
                let place =
                    self.around.source.inside(text.place, &text.source, mention.from, mention.to);
                for mistake in &mut self.mistakes[before..] {
                    mistake.place = place;
                    let is_cut = mistake.help.as_ref().is_some_and(|help| help.starts_with(DASHED));
                    dash_at = is_cut.then_some(mention.to + 1);
                }
            }
        }
    }

    fn word(&mut self, kind: &str, name: &str, known: &[&str], place: Place) {
        if known.contains(&name)
            || (kind == "test" && ["false", "filter", "test", ">", ">="].contains(&name))
        {
            return;
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => super::listed(&format!("known {kind}s"), known.iter().copied()),
        };
        self.error(place, "unknown-name", format!("there is no {kind} `{name}`"), &help);
    }

    fn call(&mut self, name: &str, argument: Option<&str>, place: Place, words: &Words<'_>) {
        match (name, argument) {
            ("secret", _) if !words.may_use_secrets => {
                self.error(
                    place,
                    "secret-shown",
                    "a secret can't stand here: this text is shown and kept".to_owned(),
                    "use secrets in `env` and `with` only",
                );
            }
            ("secret", Some(secret)) => {
                let known = &self.around.project.secrets;
                if known.is_empty() || known.iter().any(|known| known == secret) {
                    return;
                }
                let help = match nearest(secret, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add `{secret}` to `secrets` in project.yaml"),
                };
                self.error(
                    place,
                    "unknown-secret",
                    format!("the project has no secret `{secret}`"),
                    &help,
                );
            }
            ("hosts", Some(selector)) => self.selector(selector, place),
            ("secret" | "hosts", None) => {}
            (name, _) => self.word("function", name, &FUNCTIONS, place),
        }
    }

    fn selector(&mut self, selector: &str, place: Place) {
        if self.around.project.hosts.is_empty() {
            self.warning(
                place,
                "no-hosts",
                "the project has no hosts, so this list is always empty".to_owned(),
                "add `hosts` to project.yaml",
            );
        } else {
            self.selected(selector, place, Severity::Warning);
        }
    }

    fn value(&mut self, path: &[String], place: Place, words: &Words<'_>) {
        match path[0].as_str() {
            "params" => self.param(path, place),
            "jobs" => self.job_value(path, place, words),
            "item" if !words.has_item => self.error(
                place,
                "no-item",
                "`item` has a value only in a job with `foreach`, or in a group that has it"
                    .to_owned(),
                "add `foreach:` to the job, or name the value itself",
            ),
            "item" => {}
            "host" if words.has_host => {}
            "run" => self.of_the_run(path, place),
            "failed" | "remedy" if words.is_remedy => {}
            name => self.unknown_value(name, path, place, words),
        }
    }

    fn of_the_run(&mut self, path: &[String], place: Place) {
        let Some(name) = path.get(1).filter(|name| !OF_THE_RUN.contains(&name.as_str())) else {
            return;
        };
        let help = match nearest(name, OF_THE_RUN) {
            Some(near) => format!("did you mean `run.{near}`?"),
            None => format!("a run has: {}", OF_THE_RUN.join(", ")),
        };
        self.error(place, "unknown-name", format!("a run has no `{name}`"), &help);
    }

    fn param(&mut self, path: &[String], place: Place) {
        let Some(flow) = self.flow else { return };
        let Some(name) = path.get(1) else { return };
        if self.params.contains(name.as_str()) {
            return;
        }
        let names = || flow.params.iter().map(|param| param.name.as_str());
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `params.{near}`?"),
            None if flow.params.is_empty() => {
                format!("add `params: {{ {name}: {{ type: string }} }}` to the flow")
            }
            None => format!(
                "add `{name}` to the flow's `params`, or use one of them: {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        self.error(place, "unknown-param", format!("the flow has no parameter `{name}`"), &help);
    }

    fn job_value(&mut self, path: &[String], place: Place, words: &Words<'_>) {
        let Some((scope, at)) = words.jobs else {
            let message = "no job has run when this is worked out".to_owned();
            self.error(place, "no-jobs", message, "use `params` here");
            return;
        };
        let Some(name) = path.get(1) else { return };
        let (reach, job) = scope.reach(at, name);
        match reach {
            Reach::Ended => {}
            Reach::Itself if words.knows_itself => {}
            Reach::Itself => self.error(
                place,
                "not-needed",
                format!("`{name}` speaks of itself, before it has ended"),
                "use what earlier jobs leave behind",
            ),
            Reach::NotNeeded => {
                let own = &scope.jobs[at].name;
                let help = if scope.knows(name) {
                    format!("add `{name}` to the `needs` of `{own}`")
                } else {
                    format!("add `{name}` to the `needs` of the group that `{own}` stands in")
                };
                self.error(
                    place,
                    "not-needed",
                    format!("`{own}` uses `{name}` without needing it, so it may not have ended"),
                    &help,
                );
            }
            Reach::Unknown => {
                let names = scope.names();
                let dashed = names.iter().find(|known| {
                    known.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-'))
                });
                let help = match (dashed, nearest(name, names.iter().copied())) {
                    (Some(dashed), _) => {
                        format!(
                            "a name with `-` is written jobs['{dashed}'] or jobs.{}",
                            dashed.replace('-', "_")
                        )
                    }
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) => super::listed("jobs", names.into_iter()),
                };
                self.error(place, "unknown-job", format!("there is no job `{name}` here"), &help);
            }
        }
        let (Some(job), Some(of)) = (job, path.get(2)) else { return };
        if !OF_A_JOB.contains(&of.as_str()) {
            let declares = job.outputs.iter().any(|output| output.name == *of);
            let help = match nearest(of, OF_A_JOB) {
                _ if declares => format!("write `jobs.{name}.outputs.{of}`"),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "write `jobs.{name}.outputs.{of}` for an output, or `jobs.{name}.state`"
                ),
            };
            self.error(place, "unknown-name", format!("a job has no `{of}`"), &help);
            return;
        }
        let (true, Some(output)) = (of == "outputs", path.get(3)) else { return };
        let is_declared = job
            .outputs
            .iter()
            .any(|declared| declared.name == *output || declared.name.replace('-', "_") == *output);
        if !job.outputs.is_empty() && job.jobs.is_empty() && !is_declared {
            let names = || job.outputs.iter().map(|output| output.name.as_str());
            let help = match nearest(output, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "add `{output}` to the `outputs` of `{name}`, or use one of them: {}",
                    names().collect::<Vec<_>>().join(", ")
                ),
            };
            self.error(
                place,
                "unknown-output",
                format!("`{name}` declares no output `{output}`"),
                &help,
            );
        }
    }

    fn unknown_value(&mut self, name: &str, path: &[String], place: Place, words: &Words<'_>) {
        let has_param =
            self.flow.is_some_and(|flow| flow.params.iter().any(|param| param.name == name));
        let has_job =
            words.jobs.is_some_and(|(scope, at)| scope.reach(at, name).0 != Reach::Unknown);
        let rest = path.get(1).map_or("NAME", String::as_str);
        let help = if has_param {
            format!("write `params.{name}`")
        } else if has_job {
            format!("write `jobs.{name}`")
        } else {
            match name {
                "secrets" => format!("write `secret('{rest}')`"),
                "flow" | "project" => format!("write `run.{name}`"),
                "failed" | "remedy" => "it has a value only in the jobs of a `recover` entry".to_owned(),
                "param" | "inputs" | "vars" | "parameters" => format!("write `params.{rest}`"),
                "job" | "needs" | "steps" | "tasks" => format!("write `jobs.{rest}`"),
                "env" | "environ" => format!("in a script write ${rest}; a template can't read the environment"),
                "host" => "it has a value in `with` and `env` of a job on hosts; elsewhere write `hosts('NAME')[0]`".to_owned(),
                "null" | "nil" | "None" => "write `none`".to_owned(),
                _ => match nearest(name, ["params", "jobs", "run", "item"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "known names: params, jobs, run, item (with `foreach`), secret('...'), hosts('...'); texts stand in quotes".to_owned(),
                },
            }
        };
        self.error(place, "unknown-name", format!("`{name}` means nothing here"), &help);
    }
}
