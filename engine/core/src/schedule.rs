//! When a flow runs by itself: due times worked out from what is written. Now comes in as an argument.
//!
//! Cron lines are looked up on a local clock ([`cron`]) and turned into points in time by rules of our own (`zone`),
//! so that what happens when the clock is changed is said by the schedule and by nothing else.

mod calendar;
pub mod cron;
mod missed;
mod zone;

use std::time::Duration;

use chrono::NaiveDateTime;
use serde_json::{Map, Value};

use crate::flow::Text;
use crate::mistake::Place;
use crate::time::{Timestamp, format_span};
use cron::Cron;
use zone::{Turn, naive, seconds};

pub use calendar::{BadCalendar, DaysOff, NoDay};
pub use chrono_tz::Tz;
pub use missed::{Due, MISSED_AFTER, Settled, settle};

/// When a flow runs by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name within the flow.
    pub id: String,
    /// What makes it run.
    pub trigger: Trigger,
    /// The zone whose clock the times are read on.
    pub timezone: Tz,
    /// What becomes of times that a change of the clock removes.
    pub missing: Missing,
    /// What becomes of times that a change of the clock repeats.
    pub duplicate: Duplicate,
    /// What follows times at which nobody could run it.
    pub misfire: Misfire,
    /// How much is made up for.
    pub catch_up: CatchUp,
    /// Each run is delayed by up to this, left to chance.
    pub jitter: Duration,
    /// Dates on which it does not run.
    pub days_off: DaysOff,
    /// Files of dates on which it does not run, beside the flow's: read by whoever loads the flow.
    pub calendars: Vec<Text>,
    /// No time before this one counts.
    pub from: Option<Timestamp>,
    /// No time after this one counts.
    pub until: Option<Timestamp>,
    /// Values of the runs' parameters. Templates where another flow or a file is the trigger.
    pub params: Map<String, Value>,
    /// What its runs may destroy, in the words of `destroys`.
    pub confirm: Vec<String>,
    /// Its text says that it does not run.
    pub paused: bool,
    /// Where its id stands.
    pub place: Place,
}

/// What makes a schedule run.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// The times of a cron line.
    Cron(Box<Cron>),
    /// Each so much, counted from `from` or else from 1970-01-01T00:00:00Z.
    Every(Duration),
    /// One point in time.
    At(Timestamp),
    /// The end of a run of another flow.
    AfterFlow {
        /// Its project, if it is not the same.
        project: Option<String>,
        /// The flow.
        flow: String,
        /// How the run must have ended.
        on: Vec<EndKind>,
    },
    /// A file that comes or changes: a path with `*` and `?` in its last part.
    File(String),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// All went well.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// What becomes of times that a change of the clock removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It runs at the first moment after them.
    Shift,
    /// It does not run.
    Skip,
}

/// What becomes of times that a change of the clock repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// It runs the first time.
    First,
    /// It runs the last time.
    Last,
    /// It runs each time.
    Both,
}

/// What follows times at which nobody could run it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfire {
    /// One run, for the last of them.
    #[default]
    RunOnce,
    /// None.
    Skip,
    /// A run for each, as far as `catch-up` goes.
    RunAll,
}

/// How much is made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// So many of the last times that were missed.
    Count(u32),
    /// Those that were missed within so long.
    Within(Duration),
}

impl Default for CatchUp {
    fn default() -> Self {
        Self::Count(1_000)
    }
}

impl Trigger {
    /// Whether times alone make it run.
    pub fn is_time(&self) -> bool {
        match self {
            Self::Cron(_) | Self::Every(_) | Self::At(_) => true,
            Self::AfterFlow { .. } | Self::File(_) => false,
        }
    }
}

impl EndKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The name of the run's state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Misfire {
    /// Its name in flow files.
    pub fn name(self) -> &'static str {
        match self {
            Self::RunOnce => "run-once",
            Self::Skip => "skip",
            Self::RunAll => "run-all",
        }
    }
}

impl Missing {
    /// Its name in flow files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Skip => "skip",
        }
    }

    /// What holds if nothing is written. What runs in every hour is an interval: it goes on at its own pace.
    pub fn usual(trigger: &Trigger) -> Self {
        match trigger {
            Trigger::Cron(cron) if cron.is_hourly() => Self::Skip,
            _ => Self::Shift,
        }
    }
}

impl Duplicate {
    /// Its name in flow files.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Both => "both",
        }
    }

    /// What holds if nothing is written. What runs in every hour is an interval: it goes on at its own pace.
    pub fn usual(trigger: &Trigger) -> Self {
        match trigger {
            Trigger::Cron(cron) if cron.is_hourly() => Self::Both,
            _ => Self::First,
        }
    }
}

impl Schedule {
    /// The first due time after `after`; `None` if there is none any more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = match self.from {
            Some(from) if from > after => Timestamp::from_millis(from.millis() - 1),
            Some(_) | None => after,
        };
        let next = match &self.trigger {
            Trigger::Cron(cron) => self.next_of_cron(cron, after),
            Trigger::Every(span) => self.next_of_interval(*span, after),
            Trigger::At(at) => (*at > after && !self.is_off_at(*at)).then_some(*at),
            Trigger::AfterFlow { .. } | Trigger::File(_) => None,
        }?;
        self.until.is_none_or(|until| next <= until).then_some(next)
    }

    /// When the run for a due time begins: later by a part of the jitter that `chance` chooses, the same each time.
    pub fn begins_at(&self, due: Timestamp, chance: u64) -> Timestamp {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return due;
        }
        // The due time is mixed in, so that it is another delay each time (the mix of splitmix64).
        let mut mix = chance ^ (due.millis() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mix = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mix = (mix ^ (mix >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        due.plus(Duration::from_millis((mix ^ (mix >> 31)) % (most + 1)))
    }

    /// A point in time on the schedule's clock, such as `2026-11-22 02:30:00 +08:00`.
    pub fn local(&self, at: Timestamp) -> String {
        local(self.timezone, at)
    }

    /// What it says about when it runs, for people and programs: the keys of the flow file.
    pub fn spec(&self) -> Value {
        let mut spec = Map::new();
        let mut put = |key: &str, value: Value| drop(spec.insert(key.to_owned(), value));
        match &self.trigger {
            Trigger::Cron(cron) => put("cron", cron.text().into()),
            Trigger::Every(span) => put("every", format_span(*span).into()),
            Trigger::At(at) => put("at", at.to_string().into()),
            Trigger::AfterFlow { project, flow, on } => {
                let name =
                    project.as_ref().map_or(flow.clone(), |project| format!("{project}/{flow}"));
                put("after-flow", name.into());
                put("on", on.iter().map(|kind| kind.name()).collect());
            }
            Trigger::File(pattern) => put("file", pattern.clone().into()),
        }
        if self.trigger.is_time() {
            put("timezone", self.timezone.name().into());
            put("misfire", self.misfire.name().into());
        }
        if let Trigger::Cron(_) = self.trigger {
            put("missing", self.missing.name().into());
            put("duplicate", self.duplicate.name().into());
        }
        match self.catch_up {
            CatchUp::Count(count) if self.catch_up != CatchUp::default() => {
                put("catch-up", count.into());
            }
            CatchUp::Count(_) => {}
            CatchUp::Within(span) => put("catch-up", format_span(span).into()),
        }
        if !self.jitter.is_zero() {
            put("jitter", format_span(self.jitter).into());
        }
        for (key, time) in [("from", self.from), ("until", self.until)] {
            if let Some(time) = time {
                put(key, time.to_string().into());
            }
        }
        if self.paused {
            put("paused", true.into());
        }
        Value::Object(spec)
    }

    fn next_of_interval(&self, span: Duration, after: Timestamp) -> Option<Timestamp> {
        let span = i64::try_from(span.as_millis()).ok().filter(|span| *span > 0)?;
        let origin = self.from.map_or(0, Timestamp::millis);
        let mut at =
            origin.checked_add((after.millis() - origin).div_euclid(span) * span + span)?;
        // Days off end: one of ten thousand days is not off, or none is.
        let last = after.millis().saturating_add(10_000 * 86_400_000);
        while self.is_off_at(Timestamp::from_millis(at)) {
            at = at.checked_add(span).filter(|at| *at < last)?;
        }
        Some(Timestamp::from_millis(at))
    }

    fn is_off_at(&self, at: Timestamp) -> bool {
        let second = at.millis().div_euclid(1000);
        self.days_off.has(naive(second + zone::offset(self.timezone, second)).date())
    }

    fn next_of_cron(&self, cron: &Cron, after: Timestamp) -> Option<Timestamp> {
        let is_off = |date| self.days_off.has(date);
        let next = |after: i64| cron.next(naive(after), is_off).map(seconds);
        let mut at = after.millis().div_euclid(1000);
        let mut offset = zone::offset(self.timezone, at);
        // All changes up to here have been met.
        let mut met = at;
        loop {
            // The search on the local clock holds up to the next change.
            let found = next(at + offset).map(|local| local - offset);
            let is_far = found.is_none_or(|found| found - at > 2 * FAR);
            let end = if is_far { at + FAR } else { found.unwrap_or(at) };
            if let Some(change) = zone::next_change(self.timezone, met, end) {
                let is_removed = change.after > change.before && self.missing == Missing::Shift;
                if is_removed {
                    let removed = next(change.at + change.before - 1);
                    if removed.is_some_and(|local| local < change.at + change.after) {
                        return Some(Timestamp::from_millis(change.at * 1000));
                    }
                }
                (at, offset, met) = (change.at - 1, change.after, change.at);
                continue;
            }
            let found = found?;
            if is_far {
                // Changes in between move nothing: no time near them is meant.
                at = found - FAR;
                met = at;
                offset = zone::offset(self.timezone, at);
                continue;
            }
            let is_meant = match (zone::turn(self.timezone, found, offset), self.duplicate) {
                (Turn::Only, _)
                | (_, Duplicate::Both)
                | (Turn::First, Duplicate::First)
                | (Turn::Last, Duplicate::Last) => true,
                (Turn::First, Duplicate::Last) | (Turn::Last, Duplicate::First) => false,
            };
            if is_meant {
                return Some(Timestamp::from_millis(found * 1000));
            }
            (at, met) = (found, found);
        }
    }
}

/// A point in time on a zone's clock, such as `2026-11-22 02:30:00 +08:00`.
pub fn local(zone: Tz, at: Timestamp) -> String {
    let second = at.millis().div_euclid(1000);
    let offset = zone::offset(zone, second);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let local = naive(second + offset);
    format!("{} {sign}{:02}:{:02}", local.format("%Y-%m-%d %H:%M:%S"), minutes / 60, minutes % 60)
}

/// Reads a point in time: RFC 3339, or a date and time (or a date alone) on a zone's clock. A time that the clock
/// never shows is the moment after it; one that it shows twice is the first.
pub fn read_time(text: &str, zone: Tz, edge: Edge) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = Timestamp::parse(&text.replacen(' ', "T", 1)) {
        return Some(at);
    }
    for format in ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            return Some(Timestamp::from_millis(zone::first_at(zone, local) * 1000));
        }
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let begin = |date: chrono::NaiveDate| {
        zone::first_at(zone, date.and_time(chrono::NaiveTime::MIN)) * 1000
    };
    Some(Timestamp::from_millis(match edge {
        Edge::Begin => begin(date),
        Edge::End => begin(date.succ_opt()?) - 1,
    }))
}

/// Which end of a day a date alone stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first moment.
    Begin,
    /// Its last.
    End,
}

/// A zone by its name in the IANA database.
///
/// # Errors
/// There is none; the name that may have been meant.
pub fn zone_named(name: &str) -> Result<Tz, Option<&'static str>> {
    name.parse().map_err(|_| {
        let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        // A city alone is what people remember.
        let city = name.rsplit('/').next().unwrap_or(name).replace(' ', "_");
        let of_city = |zone: &&str| {
            zone.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(&city))
        };
        names()
            .find(|zone| zone.eq_ignore_ascii_case(name))
            .or_else(|| names().filter(|zone| zone.contains('/')).find(of_city))
            .or_else(|| crate::schema::nearest(name, names()))
    })
}

/// The names of all zones.
pub fn zones() -> impl Iterator<Item = &'static str> {
    chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
}

/// Seconds beyond which a change of the clock can't make a local time come again: no clock was ever set by so much.
const FAR: i64 = 2 * 86_400;

#[cfg(test)]
mod tests;
