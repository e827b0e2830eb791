//! Schedules: what each key says, whether the keys fit each other, and whether there is any time at all that they mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::settings::{span, truth, whole};
use super::{Reader, one_or_many};
use crate::flow::{Param, ParamKind};
use crate::mistake::Place;
use crate::schedule::cron::Cron;
use crate::schedule::{
    CatchUp, DaysOff, Duplicate, Edge, EndKind, Misfire, Missing, Schedule, Trigger, read_time,
    zone_named,
};
use crate::schema::{Checker, Templates, nearest};
use crate::time::Timestamp;
use crate::yaml::{Entry, Node};

/// Keys of which a schedule has exactly one.
const TRIGGERS: [&str; 5] = ["cron", "every", "at", "after-flow", "file"];

/// Keys that speak of due times, which other triggers do not have.
const OF_TIMES: [&str; 8] =
    ["missing", "duplicate", "misfire", "catch-up", "jitter", "calendar", "from", "until"];

impl Reader<'_> {
    /// The schedules of a list.
    pub(super) fn schedules(&mut self, list: &Node, params: &[Param]) -> Vec<Arc<Schedule>> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for (id, place) in list
            .items()
            .iter()
            .filter_map(|item| item.get("id"))
            .filter_map(|id| Some((id.text()?, id.place)))
        {
            if !seen.insert(id) {
                self.mistake(
                    place,
                    "duplicate-name",
                    format!("a schedule `{id}` stands here a second time"),
                    Some("give it another `id`".to_owned()),
                );
            }
        }
        let schedules = list.items().iter();
        schedules.filter_map(|item| self.schedule(item, params).map(Arc::new)).collect()
    }

    /// A schedule that stands alone, and is kept as it was written.
    pub(crate) fn own_schedule(&mut self, item: &Node, params: &[Param]) -> Option<Schedule> {
        self.hold(&crate::flow::schema::SCHEDULE, item, super::start_of(item));
        for entry in item.get("params").map(Node::entries).unwrap_or_default() {
            let is_secret =
                |param: &Param| param.name == *entry.key && param.kind == ParamKind::Secret;
            if params.iter().any(is_secret) {
                self.mistake(
                    entry.place,
                    "secret-in-schedule",
                    format!("`{}` is a secret, and what a schedule says can be read", entry.key),
                    Some("remove it here, and give the parameter a default in the flow".to_owned()),
                );
            }
        }
        self.schedule(item, params)
    }

    /// One schedule; `None` if it could not be read.
    fn schedule(&mut self, item: &Node, params: &[Param]) -> Option<Schedule> {
        let entries = item.entries();
        let place = entries.first().map_or(item.place, |entry| entry.place);
        let triggers: Vec<&Entry> =
            entries.iter().filter(|entry| TRIGGERS.contains(&&*entry.key)).collect();
        let written = match triggers.as_slice() {
            [] => {
                self.mistake(
                    place,
                    "missing-key",
                    "this schedule does not say when it runs".to_owned(),
                    Some(
                        "add one of `cron:`, `every:`, `at:`, `after-flow:` and `file:`".to_owned(),
                    ),
                );
                None
            }
            [one] => Some(*one),
            [first, second, ..] => {
                self.mistake(
                    second.place,
                    "two-triggers",
                    format!("`{}` and `{}` can't stand in one schedule", first.key, second.key),
                    Some("write a schedule for each".to_owned()),
                );
                None
            }
        };
        let is_time = written.is_some_and(|entry| matches!(&*entry.key, "cron" | "every" | "at"));
        self.schedule_params(item, params, written.is_none() || is_time, place);
        let zone = item.get("timezone").map_or(Some(Tz::UTC), |node| self.zone(node));
        let trigger = self.trigger(written?, item, zone.unwrap_or(Tz::UTC))?;
        self.schedule_keys(item, written?, &trigger);
        let (days_off, calendars) =
            item.get("calendar").map(|node| self.days_off(node)).unwrap_or_default();
        let timezone = zone?;
        let mut time = |key: &str, edge| match item.get(key) {
            None => Some(None),
            Some(node) => self.time(node, timezone, edge).map(Some),
        };
        let (from, until) = (time("from", Edge::Begin), time("until", Edge::End));
        let (from, until) = (from?, until?);
        let id = item.get("id");
        let schedule = Schedule {
            id: id.and_then(|id| id.text()).unwrap_or_default().to_owned(),
            missing: item
                .get("missing")
                .and_then(|node| super::named(node, missing))
                .unwrap_or(Missing::usual(&trigger)),
            duplicate: item
                .get("duplicate")
                .and_then(|node| super::named(node, duplicate))
                .unwrap_or(Duplicate::usual(&trigger)),
            trigger,
            timezone,
            misfire: item
                .get("misfire")
                .and_then(|node| super::named(node, misfire))
                .unwrap_or_default(),
            catch_up: item.get("catch-up").and_then(catch_up).unwrap_or_default(),
            jitter: item.get("jitter").and_then(span).unwrap_or_default(),
            days_off,
            calendars,
            from,
            until,
            params: match item.get("params").map(Node::to_value) {
                Some(Value::Object(params)) => params,
                _ => Map::new(),
            },
            confirm: item
                .get("confirm")
                .map(|node| self.texts(node).into_iter().map(|text| text.source).collect())
                .unwrap_or_default(),
            paused: item.get("paused").and_then(truth).unwrap_or(false),
            place: id.map_or(item.place, |id| id.place),
        };
        self.ever(&schedule, written?, item);
        Some(schedule)
    }

    fn trigger(&mut self, entry: &Entry, item: &Node, zone: Tz) -> Option<Trigger> {
        let node = &entry.value;
        match &*entry.key {
            "cron" => {
                let text = node.text()?;
                match Cron::parse(text) {
                    Ok(cron) => Some(Trigger::Cron(Box::new(cron))),
                    Err(bad) => {
                        let place = self.source.inside(node.place, text, bad.from, bad.to);
                        self.mistake(place, "bad-cron", bad.message, Some(bad.help));
                        None
                    }
                }
            }
            "every" => {
                let every = span(node)?;
                if every < Duration::from_secs(1) {
                    self.mistake(
                        node.place,
                        "out-of-range",
                        "a schedule can't run more often than each second".to_owned(),
                        Some("write at least `1s`".to_owned()),
                    );
                    return None;
                }
                Some(Trigger::Every(every))
            }
            "at" => self.time(node, zone, Edge::Begin).map(Trigger::At),
            "after-flow" => {
                let text = node.text()?;
                let (project, flow) = match text.split_once('/') {
                    Some((project, flow)) => (Some(project), flow),
                    None => (None, text),
                };
                let is_name = |name: &str| {
                    !name.is_empty()
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                };
                if !is_name(flow) || !project.is_none_or(is_name) {
                    self.mistake(
                        node.place,
                        "wrong-form",
                        format!("`{text}` does not name a flow"),
                        Some("write `flow` for one of this project, or `project/flow`".to_owned()),
                    );
                    return None;
                }
                let on: Vec<EndKind> = item
                    .get("on")
                    .map(one_or_many)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|node| super::named(node, end_kind))
                    .collect();
                Some(Trigger::AfterFlow {
                    project: project.map(str::to_owned),
                    flow: flow.to_owned(),
                    on: if on.is_empty() { vec![EndKind::Succeeded] } else { on },
                })
            }
            _ => {
                let text = node.text()?;
                let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
                if folder.contains(['*', '?']) || text.ends_with('/') {
                    self.mistake(
                        node.place,
                        "wrong-form",
                        format!("`{text}` is no pattern for files of one folder"),
                        Some("write a path whose last part may have `*` and `?`, such as `/data/in/*.csv`".to_owned()),
                    );
                    return None;
                }
                Some(Trigger::File(text.to_owned()))
            }
        }
    }

    /// Keys that mean nothing beside this trigger.
    fn schedule_keys(&mut self, item: &Node, written: &Entry, trigger: &Trigger) {
        let mut refuse = |key: &str, message: String, help: &str| {
            if let Some(entry) = item.entry(key) {
                self.mistake(entry.place, "out-of-place", message, Some(help.to_owned()));
            }
        };
        if !trigger.is_time() {
            for key in OF_TIMES {
                refuse(
                    key,
                    format!("`{key}` speaks of due times, and `{}` has none", written.key),
                    "remove it",
                );
            }
        }
        if !matches!(trigger, Trigger::Cron(_)) && trigger.is_time() {
            for key in ["missing", "duplicate"] {
                refuse(
                    key,
                    format!("`{key}` is for the times of a cron line"),
                    "remove it: an interval and a point in time are not moved by a change of the clock",
                );
            }
        }
        if !matches!(trigger, Trigger::AfterFlow { .. }) {
            refuse(
                "on",
                "`on` says how another flow must have ended".to_owned(),
                "add `after-flow:`, or remove it",
            );
        }
        let jitter = item.get("jitter");
        if let (Trigger::Every(every), Some(node)) = (trigger, jitter)
            && span(node).is_some_and(|jitter| jitter >= *every)
        {
            self.mistake(
                node.place,
                "out-of-range",
                "the delay may be as long as the time between two runs".to_owned(),
                Some("write a `jitter` that is shorter than `every`".to_owned()),
            );
        }
    }

    /// A schedule that never runs is a mistake, and not a quiet one.
    fn ever(&mut self, schedule: &Schedule, written: &Entry, item: &Node) {
        if let (Some(from), Some(until), Some(entry)) =
            (schedule.from, schedule.until, item.entry("until"))
            && from > until
        {
            self.mistake(
                entry.value.place,
                "never-runs",
                "it ends before it begins".to_owned(),
                Some("write an `until` after `from`".to_owned()),
            );
            return;
        }
        if !schedule.trigger.is_time() || schedule.next_after(Timestamp::from_millis(-1)).is_some()
        {
            return;
        }
        let help = if !schedule.days_off.is_empty() {
            "all its times lie on the days off of `calendar`, or outside of `from` and `until`"
        } else if schedule.from.is_some() || schedule.until.is_some() {
            "no time that it means lies between `from` and `until`"
        } else {
            "there is no such date in any year that it names"
        };
        self.mistake(
            written.value.place,
            "never-runs",
            "this schedule never runs".to_owned(),
            Some(help.to_owned()),
        );
    }

    fn zone(&mut self, node: &Node) -> Option<Tz> {
        let name = node.text()?;
        match zone_named(name) {
            Ok(zone) => Some(zone),
            Err(near) => {
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write a name of the IANA database, such as `Asia/Shanghai`, `Europe/Berlin` or `UTC`".to_owned(),
                };
                let message = format!("there is no time zone `{name}`");
                self.mistake(node.place, "unknown-timezone", message, Some(help));
                None
            }
        }
    }

    fn time(&mut self, node: &Node, zone: Tz, edge: Edge) -> Option<Timestamp> {
        let text = node.text()?;
        let found = read_time(text, zone, edge);
        if found.is_none() {
            self.mistake(
                node.place,
                "bad-time",
                format!("`{text}` is no point in time"),
                Some("write `2026-12-24 18:00` on the clock of `timezone`, or RFC 3339 with an offset, such as `2026-12-24T18:00:00+08:00`".to_owned()),
            );
        }
        found
    }

    fn days_off(&mut self, node: &Node) -> (DaysOff, Vec<crate::flow::Text>) {
        let (mut days, mut files) = (DaysOff::default(), Vec::new());
        for text in self.texts(node) {
            if is_file(&text.source) {
                files.push(text);
            } else if days.add(&text.source).is_err() {
                self.mistake(
                    text.place,
                    "bad-day",
                    format!("`{}` is no day off", text.source),
                    Some("write a date (`2026-12-24`), one of each year (`12-25`), a span (`2026-12-24..2027-01-02`), a weekday (`SAT`), or a file NAME.ics".to_owned()),
                );
            }
        }
        (days, files)
    }

    /// Values that a schedule gives to parameters: known, fitting, and all that must be given.
    fn schedule_params(&mut self, item: &Node, params: &[Param], is_fixed: bool, place: Place) {
        let templates = if is_fixed { Templates::Refused } else { Templates::Filled };
        for entry in item.get("params").map(Node::entries).unwrap_or_default() {
            let Some(param) = params.iter().find(|param| param.name == *entry.key) else {
                let names = || params.iter().map(|param| param.name.as_str());
                let help = match nearest(&entry.key, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if params.is_empty() => "the flow has no parameters: remove it".to_owned(),
                    None => format!(
                        "parameters of the flow: {}",
                        names().collect::<Vec<_>>().join(", ")
                    ),
                };
                let message = format!("the flow has no parameter `{}`", entry.key);
                self.mistake(entry.place, "unknown-param", message, Some(help));
                continue;
            };
            for mut finding in
                Checker::new(param.schema()).check(&entry.value, entry.place, templates)
            {
                finding.message =
                    format!("this does not fit `{}`: {}", param.name, finding.message);
                self.add(finding);
            }
        }
        let is_given =
            |name: &str| item.get("params").is_some_and(|given| given.entry(name).is_some());
        for param in params {
            if param.default.is_some() || is_given(&param.name) {
                continue;
            }
            let help = if param.kind == ParamKind::Secret {
                format!(
                    "give `{}` a default, or read `{{{{ secret('name') }}}}` where it is used",
                    param.name
                )
            } else {
                format!("add `params: {{ {}: ... }}`, or give it a default", param.name)
            };
            self.mistake(
                place,
                "missing-param",
                format!("nobody is there to give `{}` a value", param.name),
                Some(help),
            );
        }
    }
}

fn catch_up(node: &Node) -> Option<CatchUp> {
    whole(node).map(CatchUp::Count).or_else(|| span(node).map(CatchUp::Within))
}

fn missing(name: &str) -> Option<Missing> {
    match name {
        "shift" => Some(Missing::Shift),
        "skip" => Some(Missing::Skip),
        _ => None,
    }
}

fn duplicate(name: &str) -> Option<Duplicate> {
    match name {
        "first" => Some(Duplicate::First),
        "last" => Some(Duplicate::Last),
        "both" => Some(Duplicate::Both),
        _ => None,
    }
}

fn misfire(name: &str) -> Option<Misfire> {
    match name {
        "run-once" => Some(Misfire::RunOnce),
        "skip" => Some(Misfire::Skip),
        "run-all" => Some(Misfire::RunAll),
        _ => None,
    }
}

fn end_kind(name: &str) -> Option<EndKind> {
    EndKind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// Whether a day off is the name of a calendar file.
fn is_file(text: &str) -> bool {
    std::path::Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("ics"))
}
