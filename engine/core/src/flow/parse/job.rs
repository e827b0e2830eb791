//! Jobs, and the work they name.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::settings::{self, Inherited, put};
use super::{Reader, named, one_or_many};
use crate::flow::spread::HOSTS;
use crate::flow::{After, Job, OnLost, Output, Places, PoolUse, Text, Uses, schema};
use crate::mistake::Place;
use crate::schema::{Templates, has_template};
use crate::yaml::{Data, Entry, Node};

impl Reader<'_> {
    /// A job of a mapping.
    pub(super) fn job(&mut self, entry: &Entry, inherited: &Inherited) -> Job {
        let node = &entry.value;
        self.job_together(entry);
        let is_group = node.entry("jobs").is_some();
        let mut own = inherited.clone();
        if let Some(retry) = node.get("retry") {
            settings::retry_into(retry, Arc::make_mut(&mut own.retry));
        }
        if let Some(env) = node.get("env") {
            let mut all = own.env.to_vec();
            self.env_into(env, &mut all);
            own.env = all.into();
        }
        put(&mut own.grace, node.get("grace").and_then(settings::span));
        let text = |reader: &Self, key: &str| node.get(key).and_then(|node| reader.text(node));
        let boxed = |reader: &Self, key: &str| text(reader, key).map(Box::new);
        own.working_dir = boxed(self, "working-dir").or(own.working_dir);
        own.run_as = boxed(self, "run-as").or(own.run_as);
        if let Some(limits) = node.get("limits") {
            settings::limits_into(limits, Arc::make_mut(&mut own.limits));
        }
        let jobs = node.get("jobs").map(|jobs| self.jobs(jobs, &own)).unwrap_or_default();
        // A group is not tried again as a whole: what it says of retries is for its jobs.
        let retry = if is_group { Arc::default() } else { own.retry };
        let timeout = node.get("timeout").and_then(settings::span);
        let uses = self.uses_of(node);
        let unless = self.check_of(node, "unless", uses.as_ref()).map(Box::new);
        let verify = self.check_of(node, "verify", uses.as_ref()).map(Box::new);
        Job {
            name: entry.key.to_string(),
            title: text(self, "title").map(|text| text.source),
            place: entry.place,
            uses: uses.map(Box::new),
            jobs,
            needs: node.get("needs").map(|node| self.texts(node)).unwrap_or_default(),
            after: node.get("after").and_then(|node| named(node, after)).unwrap_or_default(),
            when: boxed(self, "when"),
            foreach: node.get("foreach").and_then(|node| self.foreach(node)).map(Box::new),
            parallel: node.get("parallel").and_then(settings::whole),
            fail_fast: node.get("fail-fast").and_then(settings::truth).unwrap_or_default(),
            rolling: node.get("rolling").map(|node| Box::new(settings::rolling(node))),
            retry,
            timeout: if is_group { timeout } else { timeout.or(own.timeout) },
            grace: own.grace,
            unless,
            verify,
            outputs: node.get("outputs").map(outputs).unwrap_or_default(),
            env: own.env,
            working_dir: own.working_dir,
            run_as: own.run_as,
            limits: own.limits,
            destroys: boxed(self, "destroys"),
            pools: node
                .get("pools")
                .map(|node| one_or_many(node).iter().filter_map(pool_use).collect())
                .unwrap_or_default(),
            locks: node.get("locks").map(|node| self.texts(node)).unwrap_or_default(),
            late: node.get("late").map(settings::late).map(Box::new),
            allow_failure: node.get("allow-failure").and_then(settings::truth).unwrap_or_default(),
            on_lost: node.get("on-lost").and_then(|node| named(node, on_lost)).unwrap_or_default(),
            recover: node
                .get("recover")
                .map(|node| self.recovers(node, inherited))
                .unwrap_or_default(),
        }
    }

    /// `uses` and `with` of a mapping, its settings held against their schema.
    fn uses_of(&mut self, node: &Node) -> Option<Uses> {
        let name = node.get("uses")?;
        let job_type = name.text()?;
        let with = node.entry("with");
        self.hold_with(job_type, with, name.place);
        let mut uses = Uses {
            job_type: job_type.to_owned(),
            place: name.place,
            with: Value::Object(Map::new()),
            places: Places::default(),
        };
        if let Some(Entry { value: value @ Node { data: Data::Map(_), .. }, .. }) = with {
            uses.with = value.to_value();
            let mut places = Vec::new();
            collect_places(value, &mut String::new(), &mut places);
            uses.places = places.into_iter().collect();
        }
        Some(uses)
    }

    /// `unless` or `verify`: a mapping with `uses`, or a script that runs where the job's own work runs.
    fn check_of(&mut self, node: &Node, key: &str, work: Option<&Uses>) -> Option<Uses> {
        let check = node.get(key)?;
        let Some(script) = check.text() else { return self.uses_of(check) };
        let takes_script = |work: &&Uses| {
            work.job_type != "command"
                && self.types.get(&work.job_type).is_some_and(|known| {
                    known
                        .schema()
                        .0
                        .get("properties")
                        .is_some_and(|keys| keys.get("script").is_some())
                })
        };
        let script_by = |job_type: &str| Uses {
            job_type: job_type.to_owned(),
            place: check.place,
            with: Value::Object(Map::new()),
            places: Places::default(),
        };
        let mut uses = match work {
            // The same hosts, user and so on, another script.
            Some(work) if takes_script(&work) => work.clone(),
            // Work that is no script is done on hosts all the same.
            Some(work)
                if work.with.get(HOSTS).is_some()
                    && self.types.traits(&work.job_type).works_on_hosts =>
            {
                let mut uses = script_by("ssh");
                for key in [HOSTS, "become"] {
                    if let (Some(value), Value::Object(with)) = (work.with.get(key), &mut uses.with)
                    {
                        with.insert(key.to_owned(), value.clone());
                    }
                }
                uses.places = work
                    .places
                    .iter()
                    .filter(|(pointer, _)| ["/hosts", "/become"].contains(pointer))
                    .collect();
                uses
            }
            Some(_) | None => script_by("command"),
        };
        if let Value::Object(with) = &mut uses.with {
            with.insert("script".to_owned(), Value::from(script));
        }
        uses.places = uses.places.iter().chain([("/script", check.place)]).collect();
        Some(uses)
    }

    fn hold_with(&mut self, job_type: &str, with: Option<&Entry>, uses: Place) {
        let Some(known) = self.types.get(job_type) else { return };
        let Some(with) = with else {
            if schema::with_is_needed(known.schema()) {
                let nothing = Node { place: uses, data: Data::Map(Box::default()) };
                for mut finding in known.checker().check(&nothing, uses, Templates::Filled) {
                    finding.message =
                        format!("{} from the settings of `{job_type}`", finding.message);
                    finding.help = finding.help.map(|help| format!("{help} under `with:`"));
                    self.add(finding);
                }
            }
            return;
        };
        if !matches!(with.value.data, Data::Map(_)) {
            return;
        }
        for mut finding in known.checker().check(&with.value, with.place, Templates::Filled) {
            let at = self.source.at(finding.place);
            if finding.code == "unknown-key"
                && !finding.pointer.contains('/')
                && schema::is_job_key(at)
            {
                finding.help = Some(format!(
                    "`{at}` is a key of the job: move it out of `with`, beside `uses`"
                ));
            } else if finding.code == "missing-key" && finding.pointer.is_empty() {
                finding.message = format!("{} from the settings of `{job_type}`", finding.message);
            }
            self.add(finding);
        }
    }

    /// An expression, or a list written out, which becomes one.
    fn foreach(&mut self, node: &Node) -> Option<Text> {
        if !matches!(node.data, Data::List(_)) {
            return self.text(node);
        }
        if let Some(inner) = first_template(node) {
            self.mistake(
                inner.place,
                "template-in-list",
                "templates are not filled in inside of a list that is written out".to_owned(),
                Some("write the whole list as one expression, such as \"{{ [params.a, params.b] }}\"".to_owned()),
            );
        }
        let mut source = String::new();
        literal(node, &mut source);
        Some(Text { source, place: node.place })
    }
}

fn first_template(node: &Node) -> Option<&Node> {
    match &node.data {
        Data::Text(text) => has_template(text).then_some(node),
        Data::List(items) => items.iter().find_map(first_template),
        Data::Map(entries) => entries.iter().find_map(|entry| first_template(&entry.value)),
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) => None,
    }
}

/// Writes a value as an expression that yields it.
fn literal(node: &Node, out: &mut String) {
    match &node.data {
        Data::Null => out.push_str("none"),
        Data::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                literal(item, out);
            }
            out.push(']');
        }
        Data::Map(entries) => {
            out.push('{');
            for (at, entry) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                out.push_str(&Value::from(&*entry.key).to_string());
                out.push_str(": ");
                literal(&entry.value, out);
            }
            out.push('}');
        }
        Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => {
            out.push_str(&node.to_value().to_string());
        }
    }
}

/// Where each scalar stands, by JSON pointer.
fn collect_places(node: &Node, pointer: &mut String, places: &mut Vec<(Box<str>, Place)>) {
    let length = pointer.len();
    match &node.data {
        Data::List(items) => {
            for (at, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&at.to_string());
                collect_places(item, pointer, places);
                pointer.truncate(length);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                pointer.push('/');
                pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                collect_places(&entry.value, pointer, places);
                pointer.truncate(length);
            }
        }
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => {
            places.push((pointer.as_str().into(), node.place));
        }
    }
}

fn outputs(node: &Node) -> Vec<Output> {
    match &node.data {
        Data::Map(entries) => entries
            .iter()
            .map(|Entry { key, place, value }| {
                let pattern =
                    value.text().or_else(|| value.get("pattern").and_then(|node| node.text()));
                Output { name: key.to_string(), pattern: pattern.map(str::to_owned), place: *place }
            })
            .collect(),
        Data::List(items) => items
            .iter()
            .filter_map(|item| {
                let name = item.text()?.to_owned();
                Some(Output { name, pattern: None, place: item.place })
            })
            .collect(),
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => Vec::new(),
    }
}

fn pool_use(node: &Node) -> Option<PoolUse> {
    let name = node.text().or_else(|| node.get("name").and_then(|node| node.text()))?;
    Some(PoolUse {
        name: name.to_owned(),
        slots: node.get("slots").and_then(settings::whole).unwrap_or(1),
        priority: node.get("priority").and_then(settings::whole).unwrap_or(0),
        place: node.get("name").map_or(node.place, |node| node.place),
    })
}

fn after(name: &str) -> Option<After> {
    match name {
        "all-success" => Some(After::AllSuccess),
        "all-done" => Some(After::AllDone),
        "one-success" => Some(After::OneSuccess),
        "one-failed" => Some(After::OneFailed),
        "all-failed" => Some(After::AllFailed),
        "none-failed" => Some(After::NoneFailed),
        _ => None,
    }
}

fn on_lost(name: &str) -> Option<OnLost> {
    match name {
        "fail" => Some(OnLost::Fail),
        "retry" => Some(OnLost::Retry),
        "ask" => Some(OnLost::Ask),
        _ => None,
    }
}
