//! Dates on which a schedule does not run: written as dates and weekdays, or read from an iCalendar file (RFC 5545).
//!
//! Of a calendar file each event's whole days count: those of a date, of a span of dates, and of yearly repeats. Times of
//! day are no days off.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};

/// Dates on which a schedule does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysOff {
    dates: BTreeSet<NaiveDate>,
    /// Month and day, of any year.
    yearly: BTreeSet<(u32, u32)>,
    /// Bit 0 is Sunday.
    weekdays: u8,
}

/// A calendar that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct BadCalendar {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it: lower case, no full stop.
    pub message: String,
}

/// A text that is no day off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no day")]
pub struct NoDay;

/// The longest event that is taken for days off.
const LONGEST: i64 = 366;

impl DaysOff {
    /// Whether a date is among them.
    pub fn has(&self, date: NaiveDate) -> bool {
        if *self == Self::default() {
            return false;
        }
        self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1
            || self.dates.contains(&date)
            || self.yearly.contains(&(date.month(), date.day()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether no day is left.
    pub fn is_always(&self) -> bool {
        self.weekdays == 0x7f
    }

    /// Adds a day as people write it: `2026-12-24`, `12-25` (each year), `SAT`, or a span `2026-12-24..2027-01-02`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn add(&mut self, text: &str) -> Result<(), NoDay> {
        const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let date =
            |text: &str| NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").map_err(|_| NoDay);
        let lower = text.trim().to_ascii_lowercase();
        let short = lower.get(..3).unwrap_or_default();
        if let Some(at) = WEEKDAYS.iter().position(|day| *day == short) {
            const WHOLE: [&str; 7] =
                ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
            if lower.len() != 3 && lower != WHOLE[at] {
                return Err(NoDay);
            }
            self.weekdays |= 1 << at;
        } else if let Some((first, last)) = lower.split_once("..") {
            let (first, last) = (date(first)?, date(last)?);
            let length = (last - first).num_days();
            if !(0..=10 * LONGEST).contains(&length) {
                return Err(NoDay);
            }
            self.dates.extend(first.iter_days().take(length as usize + 1));
        } else if let Ok(date) = date(&lower) {
            self.dates.insert(date);
        } else {
            // Each year: the 29th of February is a day, too.
            let day = date(&format!("2000-{lower}"))?;
            self.yearly.insert((day.month(), day.day()));
        }
        Ok(())
    }

    /// Adds all that another has.
    pub fn extend(&mut self, other: Self) {
        self.dates.extend(other.dates);
        self.yearly.extend(other.yearly);
        self.weekdays |= other.weekdays;
    }

    /// The days off of an iCalendar file.
    ///
    /// # Errors
    /// It is no calendar, or says something that can't be understood as days off: a wrong guess would run what must
    /// not.
    pub fn from_icalendar(text: &str) -> Result<Self, BadCalendar> {
        let mut days = Self::default();
        let mut event: Option<Event> = None;
        let lines = unfold(text);
        let bad = |line: usize, message: String| BadCalendar { line, message };
        if !lines.first().is_some_and(|(_, line)| line.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
            return Err(bad(1, "an iCalendar file begins with `BEGIN:VCALENDAR`".to_owned()));
        }
        for (number, line) in &lines {
            let Some((head, value)) = cut(line) else { continue };
            let name = head.split(';').next().unwrap_or_default().to_ascii_uppercase();
            match (name.as_str(), &mut event) {
                ("BEGIN", _) if value.eq_ignore_ascii_case("VEVENT") => {
                    event = Some(Event::default());
                }
                ("END", Some(found)) if value.eq_ignore_ascii_case("VEVENT") => {
                    found.add_to(&mut days).map_err(|message| bad(*number, message))?;
                    event = None;
                }
                ("DTSTART", Some(event)) => {
                    event.is_timed = value.contains('T');
                    event.start = day(value);
                    if event.start.is_none() {
                        return Err(bad(*number, format!("`{value}` is no date")));
                    }
                }
                ("DTEND", Some(event)) => event.end = day(value),
                ("DURATION", Some(event)) => event.duration = Some(value.to_owned()),
                ("RRULE", Some(event)) => event.rule = Some(value.to_ascii_uppercase()),
                ("RDATE", Some(event)) => {
                    event.more.extend(value.split(',').filter_map(day));
                }
                ("EXDATE", Some(event)) => {
                    event.without.extend(value.split(',').filter_map(day));
                }
                ("STATUS", Some(event)) => {
                    event.is_cancelled = value.eq_ignore_ascii_case("CANCELLED");
                }
                _ => {}
            }
        }
        Ok(days)
    }
}

/// A VEVENT, as far as it matters.
#[derive(Default)]
struct Event {
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    duration: Option<String>,
    rule: Option<String>,
    more: Vec<NaiveDate>,
    without: BTreeSet<NaiveDate>,
    is_timed: bool,
    is_cancelled: bool,
}

impl Event {
    fn add_to(&self, days: &mut DaysOff) -> Result<(), String> {
        if self.is_timed || self.is_cancelled {
            return Ok(());
        }
        let Some(start) = self.start else { return Err("an event has no DTSTART".to_owned()) };
        let length = match (&self.end, &self.duration) {
            // The end is the day behind the last.
            (Some(end), _) => (*end - start).num_days(),
            (None, Some(text)) => {
                let span = |unit| text.strip_prefix('P')?.strip_suffix(unit)?.parse::<i64>().ok();
                span('D')
                    .or_else(|| span('W').map(|weeks| weeks * 7))
                    .ok_or_else(|| format!("`{text}` is no span of days"))?
            }
            (None, None) => 1,
        };
        if !(1..=LONGEST).contains(&length) {
            return Err(format!("an event is {length} days long, and may be 1 to {LONGEST}"));
        }
        let last_year = match self.rule.as_deref() {
            None => None,
            Some(rule) => Some(yearly_until(rule, start)?),
        };
        let mut add = |first: NaiveDate| {
            let all = first.iter_days().take(length as usize);
            days.dates.extend(all.filter(|day| !self.without.contains(day)));
        };
        add(start);
        self.more.iter().copied().for_each(&mut add);
        match last_year {
            None => {}
            // With exceptions, or an end, each year is written out.
            Some(last) => {
                for year in start.year() + 1..=last {
                    if let Some(first) = start.with_year(year) {
                        add(first);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The last year of a yearly rule.
fn yearly_until(rule: &str, start: NaiveDate) -> Result<i32, String> {
    let mut last = super::cron::LAST_YEAR;
    let mut is_yearly = false;
    for part in rule.split(';') {
        match part.split_once('=') {
            Some(("FREQ", "YEARLY")) => is_yearly = true,
            Some(("UNTIL", until)) => {
                let until = day(until).ok_or_else(|| format!("`{until}` is no date"))?;
                let is_reached = start.with_year(until.year()).is_none_or(|day| day <= until);
                last = if is_reached { until.year() } else { until.year() - 1 };
            }
            Some(("COUNT", count)) => {
                let count: i32 = count.parse().map_err(|_| format!("`{count}` is no count"))?;
                last = start.year().saturating_add(count - 1).min(last);
            }
            Some(("INTERVAL", "1") | ("WKST", _)) => {}
            Some(("BYMONTH", month)) if month.parse() == Ok(start.month()) => {}
            Some(("BYMONTHDAY", day)) if day.parse() == Ok(start.day()) => {}
            _ => {
                return Err(format!(
                    "the rule `{rule}` can't be read: days off repeat each year on the same date (FREQ=YEARLY), others are written out (RDATE)"
                ));
            }
        }
    }
    if is_yearly { Ok(last) } else { Err(format!("the rule `{rule}` is not FREQ=YEARLY")) }
}

/// The lines of a calendar with their numbers: one that begins with a blank goes on with the one before.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, before))) => before.push_str(more),
            (_, _) if line.trim().is_empty() => {}
            (_, _) => lines.push((at + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

/// A line's name with its parameters, and its value. A colon between quotes is none.
fn cut(line: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let at = line.find(|c| {
        is_quoted ^= c == '"';
        c == ':' && !is_quoted
    })?;
    Some((&line[..at], &line[at + 1..]))
}

/// The date of a value: `20261224`, or the one before the `T`.
fn day(value: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(value.trim().get(..8)?, "%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect(text)
    }

    #[test]
    fn days_are_written_as_people_do() {
        let mut days = DaysOff::default();
        for text in ["2026-12-24", "12-25", "Sat", "sunday", "2027-01-01..2027-01-03", "02-29"] {
            assert_eq!(days.add(text), Ok(()), "{text}");
        }
        for text in
            ["", "Sa", "Sattag", "24.12.2026", "13-01", "2026-02-30", "2027-01-03..2027-01-01"]
        {
            assert_eq!(days.add(text), Err(NoDay), "{text}");
        }
        for (text, is_off) in [
            ("2026-12-24", true),
            ("2027-12-24", false),
            ("2031-12-25", true),
            ("2026-11-21", true),
            ("2026-11-22", true),
            ("2026-11-23", false),
            ("2027-01-01", true),
            ("2027-01-04", false),
            ("2028-02-29", true),
        ] {
            assert_eq!(days.has(date(text)), is_off, "{text}");
        }
    }

    #[test]
    fn a_calendar_file_gives_whole_days() {
        let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Ne\r\n w year\r\nDTSTART;VALUE=DATE:20260101\r\nRRULE:FREQ=YEARLY\r\n\
            END:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\n\
            DTSTART;TZID=\"Asia/Shanghai\":20261130T100000\r\nDTEND:20261130T110000Z\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART:20270501\r\nSTATUS:CANCELLED\r\nEND:VEVENT\r\n\
            BEGIN:VEVENT\r\nDTSTART:20240310\r\nDURATION:P2D\r\nRRULE:FREQ=YEARLY;COUNT=2\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let days = DaysOff::from_icalendar(text).expect("it can be read");
        for (text, is_off) in [
            ("2025-01-01", false),
            ("2026-01-01", true),
            ("2090-01-01", true),
            ("2026-12-24", true),
            ("2026-12-26", true),
            ("2026-12-27", false),
            ("2026-11-30", false),
            ("2027-05-01", false),
            ("2025-03-11", true),
            ("2026-03-10", false),
        ] {
            assert_eq!(days.has(date(text)), is_off, "{text}");
        }
        let wrong = |text: &str| DaysOff::from_icalendar(text).expect_err("wrong").to_string();
        assert_eq!(wrong("hello"), "line 1: an iCalendar file begins with `BEGIN:VCALENDAR`");
        assert!(
            wrong("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\nRRULE:FREQ=WEEKLY\nEND:VEVENT\nEND:VCALENDAR")
                .starts_with("line 5: the rule `FREQ=WEEKLY` can't be read")
        );
    }
}
