//! The due times of a week, day by day on the clock of one zone.

use std::sync::Arc;

use weir_core::schedule::{Edge, Schedule, Tz, local, read_time};
use weir_core::time::Timestamp;

use crate::words::Words;

/// Days that are shown.
const DAYS: usize = 7;
/// Due times of one schedule on one day that are shown one by one.
const EACH: usize = 4;
/// Due times that are counted.
const COUNTED: usize = 2_000;
const DAY_MS: i64 = 86_400_000;

/// A week.
pub(crate) struct Calendar {
    pub(crate) days: Vec<Day>,
    /// The first day of the week behind.
    pub(crate) later: String,
    /// The first day of the week before, if it is not over.
    pub(crate) earlier: Option<String>,
}

pub(crate) struct Day {
    pub(crate) date: String,
    pub(crate) weekday: &'static str,
    pub(crate) is_today: bool,
    pub(crate) dues: Vec<Due>,
}

/// A due time, or the first of many.
pub(crate) struct Due {
    pub(crate) exact: String,
    /// On the clock of the zone.
    pub(crate) clock: String,
    pub(crate) id: i64,
    pub(crate) name: String,
    /// How many follow on the same day, if they are not shown.
    pub(crate) more: String,
}

/// The date of a point in time on a zone's clock.
pub(crate) fn date(zone: Tz, at: Timestamp) -> String {
    local(zone, at)[..10].to_owned()
}

/// So many days behind a date.
fn moved(date: &str, days: i64) -> Option<String> {
    let at = Timestamp::parse(&format!("{date}T00:00:00Z")).ok()?;
    Some(date_of(Timestamp::from_millis(at.millis() + days * DAY_MS)))
}

fn date_of(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

fn weekday(date: &str, words: &Words) -> &'static str {
    let w = words.schedule;
    let names = [w.thu, w.fri, w.sat, w.sun, w.mon, w.tue, w.wed];
    let days = Timestamp::parse(&format!("{date}T00:00:00Z"))
        .map_or(0, |at| at.millis().div_euclid(DAY_MS));
    names[days.rem_euclid(7) as usize]
}

impl Calendar {
    /// The week from a date on; this one if there is no such date or it is over.
    pub(crate) fn new(
        schedules: &[(i64, String, Arc<Schedule>)],
        zone: Tz,
        from: &str,
        now: Timestamp,
        words: &Words,
    ) -> Self {
        let today = date(zone, now);
        let is_date = from.len() == 10 && moved(from, 0).is_some();
        let first = if is_date && *from > *today { from.to_owned() } else { today.clone() };
        let mut days = Vec::with_capacity(DAYS);
        for ahead in 0..DAYS {
            let Some(date) = moved(&first, ahead as i64) else { break };
            let begin = read_time(&date, zone, Edge::Begin).unwrap_or(now);
            let end = read_time(&date, zone, Edge::End).unwrap_or(now);
            // What was due today is told as what became of it.
            let after = Timestamp::from_millis(begin.millis() - 1).max(now);
            let mut dues: Vec<Due> = schedules
                .iter()
                .flat_map(|(id, name, schedule)| of_day(schedule, *id, name, zone, (after, end)))
                .collect();
            dues.sort_by(|one, other| (&one.exact, &one.name).cmp(&(&other.exact, &other.name)));
            days.push(Day { weekday: weekday(&date, words), is_today: date == today, date, dues });
        }
        let before = moved(&first, -(DAYS as i64)).unwrap_or_default();
        Self {
            later: moved(&first, DAYS as i64).unwrap_or_default(),
            earlier: (first > today).then(|| before.max(today)),
            days,
        }
    }
}

fn of_day(
    schedule: &Schedule,
    id: i64,
    name: &str,
    zone: Tz,
    (after, end): (Timestamp, Timestamp),
) -> Vec<Due> {
    let mut dues = Vec::new();
    let (mut at, mut count) = (after, 0_usize);
    while let Some(due) = schedule.next_after(at).filter(|due| *due <= end && count < COUNTED) {
        count += 1;
        at = due;
        if count <= EACH {
            let clock = local(zone, due);
            dues.push(Due {
                exact: due.to_string(),
                clock: clock.get(11..16).unwrap_or_default().to_owned(),
                id,
                name: name.to_owned(),
                more: String::new(),
            });
        }
    }
    if count > EACH {
        // One line stands for all of them.
        dues.truncate(1);
        let sign = if count == COUNTED { "≥ " } else { "" };
        dues[0].more = format!("{sign}{count} ×");
    }
    dues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Words};

    #[test]
    fn days_follow_each_other_and_have_their_names() {
        assert_eq!(moved("2026-12-29", 7).as_deref(), Some("2027-01-05"));
        assert_eq!(moved("2026-02-31", 0), None);
        let words = Words::of(Lang::En);
        assert_eq!(weekday("2026-11-21", words), "Sat");
        assert_eq!(weekday("1969-12-31", words), "Wed");
    }
}
