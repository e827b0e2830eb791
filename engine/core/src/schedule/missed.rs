//! What becomes of due times by now: which run, which were missed, and from where it goes on.

use std::collections::VecDeque;
use std::time::Duration;

use super::{CatchUp, Misfire, Schedule};
use crate::time::Timestamp;

/// A due time that is late by more than this counts as missed. It is Quartz's bound.
pub const MISSED_AFTER: Duration = Duration::from_mins(1);

/// No more than this many runs are made up for, whatever the schedule says.
const MOST: usize = 10_000;

/// A due time whose run begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time.
    pub at: Timestamp,
    /// Its time had passed without a run.
    pub is_late: bool,
}

/// What becomes of the due times up to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Those that run now, in order.
    pub runs: Vec<Due>,
    /// The first and the last that do not run as they were missed; others of `runs` may lie between.
    pub missed: Option<(Timestamp, Timestamp)>,
    /// All times up to here are settled.
    pub up_to: Timestamp,
    /// The next one.
    pub next: Option<Timestamp>,
}

/// Settles all due times after `after` whose runs are to begin by `now`.
///
/// What it costs grows with the runs that are made up for, not with how long nobody looked.
pub fn settle(schedule: &Schedule, chance: u64, after: Timestamp, now: Timestamp) -> Settled {
    let mut settled = Settled { up_to: after, ..Settled::default() };
    let begins_at = |due| schedule.begins_at(due, chance);
    let too_late = Timestamp::from_millis(
        now.millis().saturating_sub(i64::try_from(MISSED_AFTER.as_millis()).unwrap_or(i64::MAX)),
    );
    let mut next = schedule.next_after(after);
    if let Some(first) = next.filter(|due| begins_at(*due) < too_late) {
        let kept = match (schedule.misfire, schedule.catch_up) {
            (Misfire::Skip, _) => 0,
            (Misfire::RunOnce, CatchUp::Count(count)) => 1.min(count as usize),
            (Misfire::RunOnce, CatchUp::Within(_)) => 1,
            (Misfire::RunAll, CatchUp::Count(count)) => (count as usize).min(MOST),
            (Misfire::RunAll, CatchUp::Within(_)) => MOST,
        };
        let oldest = match schedule.catch_up {
            CatchUp::Within(span) => Timestamp::from_millis(
                now.millis().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
            ),
            CatchUp::Count(_) => Timestamp::from_millis(i64::MIN),
        };
        // One more is looked for than is kept: it is the last that is missed for good.
        let mut last = last_missed(schedule, chance, after, too_late, kept + 1);
        settled.up_to = last.back().copied().unwrap_or(first);
        while last.len() > kept || last.front().is_some_and(|due| *due < oldest) {
            let Some(missed) = last.pop_front() else { break };
            settled.missed = Some((first, missed));
        }
        settled.runs.extend(last.into_iter().map(|at| Due { at, is_late: true }));
        next = schedule.next_after(settled.up_to);
    }
    while let Some(due) = next.filter(|due| begins_at(*due) <= now) {
        settled.runs.push(Due { at: due, is_late: false });
        settled.up_to = due;
        next = schedule.next_after(due);
    }
    settled.next = next;
    settled
}

/// The last `count` due times after `after` whose runs were to begin before `bound`; there is at least one.
fn last_missed(
    schedule: &Schedule,
    chance: u64,
    after: Timestamp,
    bound: Timestamp,
    count: usize,
) -> VecDeque<Timestamp> {
    // Looked for in a stretch before the bound that grows until it holds enough of them.
    let mut stretch: i64 = 60_000;
    loop {
        let from = Timestamp::from_millis(bound.millis().saturating_sub(stretch)).max(after);
        let mut found = VecDeque::new();
        let mut seen = 0_usize;
        let mut at = from;
        while let Some(due) = schedule.next_after(at) {
            if schedule.begins_at(due, chance) >= bound {
                break;
            }
            seen += 1;
            found.push_back(due);
            if found.len() > count {
                found.pop_front();
            }
            at = due;
        }
        if seen >= count || from == after {
            return found;
        }
        stretch = stretch.saturating_mul(8);
    }
}
