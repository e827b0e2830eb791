//! From local times to points in time: what a change of the clock removes and what it repeats.
//!
//! Between two changes a local clock runs as UTC does. So a search goes from change to change: within one stretch it is
//! a search on the local clock, and what is special happens at its edges alone.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// Two changes of one zone's clock are never as near as this (in seconds); a test looks at all zones.
pub(crate) const APART: i64 = 6 * 3600;

/// A change of a zone's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The first second of the new offset, since 1970.
    pub(crate) at: i64,
    /// Seconds east of UTC before it.
    pub(crate) before: i64,
    /// Seconds east of UTC from then on.
    pub(crate) after: i64,
}

/// Seconds east of UTC at a second since 1970.
pub(crate) fn offset(zone: Tz, at: i64) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&naive(at)).fix().local_minus_utc())
}

/// The first change in the seconds from `from` (not itself) to `to`.
pub(crate) fn next_change(zone: Tz, from: i64, to: i64) -> Option<Change> {
    let before = offset(zone, from);
    let mut low = from;
    while low < to {
        let mut high = (low + APART).min(to);
        let after = offset(zone, high);
        if after == before {
            low = high;
            continue;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if offset(zone, middle) == before { low = middle } else { high = middle }
        }
        return Some(Change { at: high, before, after });
    }
    None
}

/// Which of two points in time that one local time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is only this one.
    Only,
    /// The first of two.
    First,
    /// The last of two.
    Last,
}

/// Which one `at` is of the points in time that show the same local time.
pub(crate) fn turn(zone: Tz, at: i64, offset: i64) -> Turn {
    match zone.offset_from_local_datetime(&naive(at + offset)) {
        chrono::LocalResult::Ambiguous(first, _) => {
            if i64::from(first.fix().local_minus_utc()) == offset {
                Turn::First
            } else {
                Turn::Last
            }
        }
        chrono::LocalResult::Single(_) | chrono::LocalResult::None => Turn::Only,
    }
}

/// A second since 1970 as a date and time of UTC; at the end of all time if it lies behind.
pub(crate) fn naive(at: i64) -> NaiveDateTime {
    DateTime::from_timestamp(at, 0).map_or(NaiveDateTime::MAX, |at| at.naive_utc())
}

/// Seconds since 1970 at which a clock of UTC shows this.
pub(crate) fn seconds(local: NaiveDateTime) -> i64 {
    local.and_utc().timestamp()
}

/// The first point in time at which a zone's clock shows `local` or, if it never does, what comes after it.
pub(crate) fn first_at(zone: Tz, local: NaiveDateTime) -> i64 {
    let wanted = seconds(local);
    match zone.offset_from_local_datetime(&local) {
        chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => {
            wanted - i64::from(offset.fix().local_minus_utc())
        }
        chrono::LocalResult::None => {
            let day = TimeDelta::days(2).num_seconds();
            let mut from = wanted - day;
            while let Some(change) = next_change(zone, from, wanted + day) {
                if change.at + change.before <= wanted && wanted < change.at + change.after {
                    return change.at;
                }
                from = change.at;
            }
            wanted
        }
    }
}
