//! Cron lines on a local clock: which dates and times of day they mean. Time zones are not known here.
//!
//! Six and seven fields are Quartz's (second first, the week begins with Sunday = 1, exactly one of the two fields for
//! days may say something); five are those of cron(8) (the week begins with Sunday = 0 or 7, and if both fields for
//! days say something, either will do).

mod read;

use std::fmt;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// The first year that a line may name.
pub const FIRST_YEAR: i32 = 1970;
/// The last year that a line may name, and the last that is looked at.
pub const LAST_YEAR: i32 = 2199;

/// A cron line.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u32,
    months: u16,
    days: Days,
    weekdays: Weekdays,
    years: Option<Years>,
}

/// Days of the month. Bit 1 is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Days {
    is_any: bool,
    plain: u32,
    /// So many days before the last one.
    from_last: u32,
    /// The same, moved to the nearest day from Monday to Friday.
    from_last_workday: u32,
    /// The nearest day from Monday to Friday.
    workday: u32,
}

/// Days of the week. Bit 0 is Sunday.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weekdays {
    is_any: bool,
    plain: u8,
    /// The last of the month.
    last: u8,
    /// The first to fifth of the month.
    nth: [u8; 5],
}

/// A bit for each year from [`FIRST_YEAR`] on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Years([u64; 4]);

impl Years {
    fn add(&mut self, year: i32) {
        let at = (year - FIRST_YEAR) as usize;
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn has(self, year: i32) -> bool {
        let at = (year - FIRST_YEAR) as usize;
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// What is wrong with a cron line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadCron {
    /// Where it begins in the text, in bytes.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Cron {
    /// Reads a line of five, six or seven fields, or a word such as `@daily`.
    ///
    /// # Errors
    /// The first field that is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, BadCron> {
        read::line(text)
    }

    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it means some time in every hour: then it is an interval, and no time of day.
    pub fn is_hourly(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// The first time after `after`, leaving out the dates for which `is_off` holds. `None` if there is none up to
    /// [`LAST_YEAR`].
    pub fn next(
        &self,
        after: NaiveDateTime,
        is_off: impl Fn(NaiveDate) -> bool,
    ) -> Option<NaiveDateTime> {
        let (mut year, mut month) = (after.year(), after.month());
        let mut first_day = after.day();
        if year < FIRST_YEAR {
            (year, month, first_day) = (FIRST_YEAR, 1, 1);
        }
        while year <= LAST_YEAR {
            if self.years.is_some_and(|years| !years.has(year)) {
                (year, month, first_day) = (year + 1, 1, 1);
                continue;
            }
            if self.months >> month & 1 == 1 {
                let mut days = self.days_of(year, month) & (u32::MAX << first_day);
                while days != 0 {
                    let day = days.trailing_zeros();
                    days &= days - 1;
                    let date = NaiveDate::from_ymd_opt(year, month, day)
                        .expect("only days that the month has are in the set");
                    if is_off(date) {
                        continue;
                    }
                    let time = if date == after.date() {
                        self.time_after(after.time())
                    } else {
                        self.time_from(0, 0, 0)
                    };
                    if let Some(time) = time {
                        return Some(date.and_time(time));
                    }
                }
            }
            first_day = 1;
            month += 1;
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    /// Whether the line means this second.
    pub fn holds(&self, at: NaiveDateTime) -> bool {
        self.seconds >> at.second() & 1 == 1
            && self.minutes >> at.minute() & 1 == 1
            && self.hours >> at.hour() & 1 == 1
            && self.months >> at.month() & 1 == 1
            && self.years.is_none_or(|years| years.has(at.year()))
            && self.days_of(at.year(), at.month()) >> at.day() & 1 == 1
    }

    fn time_after(&self, time: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second() + 1);
        match (second, minute, hour) {
            (60, 59, hour) => self.time_from(hour + 1, 0, 0),
            (60, minute, hour) => self.time_from(hour, minute + 1, 0),
            (second, minute, hour) => self.time_from(hour, minute, second),
        }
    }

    /// The first time of a day that is not before this one.
    fn time_from(&self, hour: u32, minute: u32, second: u32) -> Option<NaiveTime> {
        let found_hour = from(u64::from(self.hours), hour)?;
        if found_hour > hour {
            return at(found_hour, from(self.minutes, 0)?, from(self.seconds, 0)?);
        }
        if let Some(found) = from(self.minutes, minute) {
            if found > minute {
                return at(hour, found, from(self.seconds, 0)?);
            }
            if let Some(second) = from(self.seconds, second) {
                return at(hour, minute, second);
            }
            if let Some(found) = from(self.minutes, minute + 1) {
                return at(hour, found, from(self.seconds, 0)?);
            }
        }
        let hour = from(u64::from(self.hours), hour + 1)?;
        at(hour, from(self.minutes, 0)?, from(self.seconds, 0)?)
    }

    /// The days of a month that are meant, as bits from 1 on.
    fn days_of(&self, year: i32, month: u32) -> u32 {
        let length = days_in(year, month);
        let all = ((1_u64 << (length + 1)) - 2) as u32;
        let first = NaiveDate::from_ymd_opt(year, month, 1)
            .map_or(0, |date| date.weekday().num_days_from_sunday());
        match (self.days.is_any, self.weekdays.is_any) {
            (true, true) => all,
            (false, true) => self.days.of(length, first) & all,
            (true, false) => self.weekdays.of(length, first) & all,
            (false, false) => (self.days.of(length, first) | self.weekdays.of(length, first)) & all,
        }
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?})", self.text)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Days {
    /// As bits; `length` is how many days the month has, `first` the weekday of its first.
    fn of(&self, length: u32, first: u32) -> u32 {
        let mut days = self.plain;
        for back in bits(self.from_last).filter(|back| *back < length) {
            days |= 1 << (length - back);
        }
        for back in bits(self.from_last_workday).filter(|back| *back < length) {
            days |= 1 << workday(length - back, length, first);
        }
        for day in bits(self.workday).filter(|day| *day <= length) {
            days |= 1 << workday(day, length, first);
        }
        days
    }
}

impl Weekdays {
    fn of(self, length: u32, first: u32) -> u32 {
        let mut days = 0;
        for day in 1..=length {
            let weekday = (first + day - 1) % 7;
            let is_last = day + 7 > length;
            let sets = self.plain
                | self.nth[((day - 1) / 7) as usize]
                | if is_last { self.last } else { 0 };
            days |= u32::from(sets >> weekday & 1) << day;
        }
        days
    }
}

/// The day from Monday to Friday that is nearest to a day, in the same month.
fn workday(day: u32, length: u32, first: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

/// How many days a month has.
pub(super) fn days_in(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if NaiveDate::from_ymd_opt(year, 2, 29).is_some() => 29,
        2 => 28,
        _ => 31,
    }
}

/// The lowest number in a set that is not below `least`.
fn from(set: u64, least: u32) -> Option<u32> {
    let rest = set.checked_shr(least)?;
    (rest != 0).then(|| least + rest.trailing_zeros())
}

fn bits(mut set: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let bit = set.trailing_zeros();
            set &= set - 1;
            bit
        })
    })
}

fn at(hour: u32, minute: u32, second: u32) -> Option<NaiveTime> {
    NaiveTime::from_hms_opt(hour, minute, second)
}

#[cfg(test)]
mod tests;
