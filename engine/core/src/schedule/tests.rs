//! Due times against a look at every minute, and against what the tables say of changes of the clock.

use chrono::{NaiveDateTime, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

fn schedule(trigger: Trigger, timezone: Tz) -> Schedule {
    Schedule {
        id: "s".to_owned(),
        missing: Missing::usual(&trigger),
        duplicate: Duplicate::usual(&trigger),
        trigger,
        timezone,
        misfire: Misfire::default(),
        catch_up: CatchUp::default(),
        jitter: Duration::ZERO,
        days_off: DaysOff::default(),
        calendars: Vec::new(),
        from: None,
        until: None,
        params: Map::new(),
        confirm: Vec::new(),
        paused: false,
        place: Place::default(),
    }
}

fn cron(line: &str, zone: &str) -> Schedule {
    let cron = Cron::parse(line).unwrap_or_else(|bad| panic!("{line}: {bad}"));
    schedule(Trigger::Cron(Box::new(cron)), zone.parse().expect(zone))
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

/// The next due times on the schedule's own clock.
fn next(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = time(after);
    while let Some(due) = schedule.next_after(at).filter(|_| found.len() < count) {
        assert!(due > at);
        found.push(schedule.local(due));
        at = due;
    }
    found
}

#[test]
fn a_time_that_the_clock_leaves_out_is_moved_or_left_out() {
    let mut daily = cron("0 30 2 * * ?", "America/New_York");
    assert_eq!(
        next(&daily, "2027-03-13T12:00:00Z", 2),
        ["2027-03-14 03:00:00 -04:00", "2027-03-15 02:30:00 -04:00"]
    );
    daily.missing = Missing::Skip;
    assert_eq!(
        next(&daily, "2027-03-13T12:00:00Z", 2),
        ["2027-03-15 02:30:00 -04:00", "2027-03-16 02:30:00 -04:00"]
    );
    // Several that are left out are moved to one moment.
    let twice = cron("0 0,30 2 * * ?", "America/New_York");
    assert_eq!(
        next(&twice, "2027-03-13T12:00:00Z", 2),
        ["2027-03-14 03:00:00 -04:00", "2027-03-15 02:00:00 -04:00"]
    );
    // What runs in every hour goes on at its own pace.
    let often = cron("0 */30 * * * ?", "America/New_York");
    assert_eq!(
        next(&often, "2027-03-14T06:00:00Z", 3),
        ["2027-03-14 01:30:00 -05:00", "2027-03-14 03:00:00 -04:00", "2027-03-14 03:30:00 -04:00"]
    );
    // Samoa left out a whole day.
    let samoa = cron("0 0 9 * * ?", "Pacific/Apia");
    assert_eq!(
        next(&samoa, "2011-12-29T00:00:00Z", 3),
        ["2011-12-29 09:00:00 -10:00", "2011-12-31 00:00:00 +14:00", "2011-12-31 09:00:00 +14:00"]
    );
}

#[test]
fn a_time_that_the_clock_repeats_counts_as_the_schedule_says() {
    let mut daily = cron("0 30 1 * * ?", "America/New_York");
    let first = ["2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"];
    assert_eq!(next(&daily, "2026-10-31T12:00:00Z", 2), first);
    daily.duplicate = Duplicate::Last;
    assert_eq!(
        next(&daily, "2026-10-31T12:00:00Z", 2),
        ["2026-11-01 01:30:00 -05:00", "2026-11-02 01:30:00 -05:00"]
    );
    daily.duplicate = Duplicate::Both;
    assert_eq!(
        next(&daily, "2026-10-31T12:00:00Z", 2),
        ["2026-11-01 01:30:00 -04:00", "2026-11-01 01:30:00 -05:00"]
    );
    let often = cron("*/30 * * * *", "America/New_York");
    assert_eq!(
        next(&often, "2026-11-01T04:45:00Z", 4),
        [
            "2026-11-01 01:00:00 -04:00",
            "2026-11-01 01:30:00 -04:00",
            "2026-11-01 01:00:00 -05:00",
            "2026-11-01 01:30:00 -05:00"
        ]
    );
}

#[test]
fn intervals_points_bounds_and_days_off() {
    let mut every = schedule(Trigger::Every(Duration::from_mins(40)), Tz::UTC);
    assert_eq!(
        next(&every, "2026-11-21T12:01:00Z", 2),
        ["2026-11-21 12:40:00 +00:00", "2026-11-21 13:20:00 +00:00"]
    );
    every.from = Some(time("2026-11-21T12:10:00Z"));
    every.until = Some(time("2026-11-21T12:50:00Z"));
    assert_eq!(
        next(&every, "2026-01-01T00:00:00Z", 9),
        ["2026-11-21 12:10:00 +00:00", "2026-11-21 12:50:00 +00:00"]
    );
    let once = schedule(Trigger::At(time("2026-12-24T18:00:00+08:00")), Tz::Asia__Shanghai);
    assert_eq!(next(&once, "2026-01-01T00:00:00Z", 9), ["2026-12-24 18:00:00 +08:00"]);
    assert_eq!(next(&once, "2026-12-24T10:00:00Z", 9), Vec::<String>::new());
    let mut workdays = cron("0 9 * * *", "Europe/Berlin");
    for day in ["SAT", "SUN", "12-25", "2026-12-24"] {
        workdays.days_off.add(day).expect(day);
    }
    assert_eq!(
        next(&workdays, "2026-12-23T12:00:00Z", 2),
        ["2026-12-28 09:00:00 +01:00", "2026-12-29 09:00:00 +01:00"]
    );
}

#[test]
fn points_in_time_are_read_on_the_schedules_clock() {
    let zone = Tz::America__New_York;
    for (text, expected) in [
        ("2026-12-24 18:00", "2026-12-24T23:00:00.000Z"),
        ("2026-12-24T18:00:30", "2026-12-24T23:00:30.000Z"),
        ("2026-12-24T18:00:00+08:00", "2026-12-24T10:00:00.000Z"),
        ("2027-03-14 02:30", "2027-03-14T07:00:00.000Z"),
        ("2026-11-01 01:30", "2026-11-01T05:30:00.000Z"),
        ("2026-12-24", "2026-12-24T05:00:00.000Z"),
    ] {
        let read = read_time(text, zone, Edge::Begin).map(|at| at.to_string());
        assert_eq!(read.as_deref(), Some(expected), "{text}");
    }
    let end = read_time("2026-12-24", zone, Edge::End).map(|at| at.to_string());
    assert_eq!(end.as_deref(), Some("2026-12-25T04:59:59.999Z"));
    assert_eq!(read_time("tomorrow", zone, Edge::Begin), None);
}

#[test]
fn a_zone_that_is_not_known_has_a_near_one() {
    assert_eq!(zone_named("Asia/Shanghai"), Ok(Tz::Asia__Shanghai));
    for (name, near) in [
        ("Asia/Shangai", Some("Asia/Shanghai")),
        ("asia/shanghai", Some("Asia/Shanghai")),
        ("Berlin", Some("Europe/Berlin")),
        ("America/New York", Some("America/New_York")),
        ("Middle-earth/Shire", None),
    ] {
        assert_eq!(zone_named(name), Err(near), "{name}");
    }
}

#[test]
fn changes_of_a_clock_are_as_far_apart_as_the_search_takes_for_granted() {
    // From 1997 to 2037, in steps of half of what is taken for granted.
    let (begin, end) = (852_076_800, 2_114_380_800);
    for name in ZONES {
        let zone: Tz = name.parse().expect(name);
        let mut last: Option<i64> = None;
        let mut before = zone::offset(zone, begin);
        for at in (begin..end).step_by(zone::APART as usize / 2) {
            let offset = zone::offset(zone, at);
            if offset != before {
                assert!(last.is_none_or(|last| at - last > 2 * zone::APART), "{zone} near {at}");
                (last, before) = (Some(at), offset);
            }
        }
    }
}

const ZONES: [&str; 20] = [
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/Caracas",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Antarctica/Troll",
];

/// A line, and a second way to say when it holds: on the fields of a local minute.
type Case = (&'static str, fn(NaiveDateTime) -> bool);

const LINES: [Case; 9] = [
    ("0 30 2 * * ?", |at| (at.hour(), at.minute()) == (2, 30)),
    ("0 0 0 * * ?", |at| (at.hour(), at.minute()) == (0, 0)),
    ("15 1 * * *", |at| (at.hour(), at.minute()) == (1, 15)),
    ("*/20 * * * *", |at| at.minute() % 20 == 0),
    ("0 */15 0-3 * * ?", |at| at.minute() % 15 == 0 && at.hour() < 4),
    ("0 0 */2 * * ?", |at| at.minute() == 0 && at.hour() % 2 == 0),
    ("59 23 * * *", |at| (at.hour(), at.minute()) == (23, 59)),
    ("0 0 3 ? * SUN", |at| {
        use chrono::Datelike as _;
        (at.hour(), at.minute()) == (3, 0) && at.weekday() == chrono::Weekday::Sun
    }),
    ("0 10 22-1 * * ?", |at| at.minute() == 10 && (at.hour() >= 22 || at.hour() < 2)),
];

/// All due times in the minutes from one to another, by looking at each.
fn by_minute(
    schedule: &Schedule,
    holds: fn(NaiveDateTime) -> bool,
    from: i64,
    to: i64,
) -> Vec<i64> {
    let local = |minute: i64| {
        let at = Utc.timestamp_opt(minute * 60, 0).single().expect("a time of our days");
        at.with_timezone(&schedule.timezone).naive_local()
    };
    // A day more on each side, as what is shown twice may be shown there.
    let mut last_shown = std::collections::BTreeMap::new();
    let mut first_shown = std::collections::BTreeMap::new();
    let shown: Vec<(i64, NaiveDateTime)> =
        (from - 1500..to + 1500).map(|minute| (minute, local(minute))).collect();
    for (minute, local) in &shown {
        last_shown.insert(*local, *minute);
        first_shown.entry(*local).or_insert(*minute);
    }
    let mut found = Vec::new();
    for (at, (minute, local)) in shown.iter().enumerate().skip(1500).take((to - from) as usize) {
        let mut is_due = holds(*local)
            && match schedule.duplicate {
                Duplicate::Both => true,
                Duplicate::First => first_shown[local] == *minute,
                Duplicate::Last => last_shown[local] == *minute,
            };
        let mut left_out = shown[at - 1].1 + chrono::TimeDelta::minutes(1);
        while schedule.missing == Missing::Shift && left_out < *local && !is_due {
            is_due = holds(left_out);
            left_out += chrono::TimeDelta::minutes(1);
        }
        if is_due {
            found.push(*minute);
        }
    }
    found
}

/// The minutes around which the clock of a zone was changed in thirty years.
fn changes(zone: Tz) -> Vec<i64> {
    let (mut at, end) = (852_076_800, 1_798_761_600);
    let mut found = Vec::new();
    while let Some(change) = zone::next_change(zone, at, end) {
        found.push(change.at / 60);
        at = change.at;
    }
    found
}

#[test]
fn due_times_are_those_that_a_look_at_every_minute_finds() {
    let mut looked = 0;
    for (which, name) in ZONES.iter().enumerate() {
        let zone: Tz = name.parse().expect(name);
        let mut around = changes(zone);
        around.extend([15_000_000, 20_000_000 + which as i64 * 10_000]);
        for (number, middle) in around.into_iter().enumerate() {
            // Each change meets some of the lines, each line some of the changes.
            for turn in [number % 2] {
                let (line, holds) = LINES[(number * 5 + turn * 4 + which) % LINES.len()];
                let mut schedule = cron(line, name);
                if turn == 1 {
                    let all = [Duplicate::First, Duplicate::Last, Duplicate::Both];
                    schedule.duplicate = all[(number + which) % 3];
                    schedule.missing = if number % 2 == 0 { Missing::Shift } else { Missing::Skip };
                }
                let (from, to) = (middle - 200, middle + 300);
                let expected = by_minute(&schedule, holds, from, to);
                let mut found = Vec::new();
                let mut at = Timestamp::from_millis(from * 60_000 - 1);
                while let Some(due) =
                    schedule.next_after(at).filter(|due| due.millis() < to * 60_000)
                {
                    found.push(due.millis() / 60_000);
                    at = due;
                }
                assert_eq!(
                    found, expected,
                    "{line} in {name} around minute {middle}, {:?} {:?}",
                    schedule.missing, schedule.duplicate
                );
                looked += 1;
            }
        }
    }
    assert!(looked > 800, "only {looked} stretches were looked at");
}

#[test]
fn a_search_over_years_finds_what_small_steps_find() {
    // Yearly and rarer: the search jumps over most changes.
    for (line, zone) in [
        ("0 30 2 L MAR ?", "Europe/Berlin"),
        ("0 30 1 ? NOV SUN#1", "America/New_York"),
        ("0 0 0 29 FEB ?", "Australia/Lord_Howe"),
        ("0 30 2 ? MAR 1L", "Europe/Berlin"),
    ] {
        let schedule = cron(line, zone);
        let mut at = time("1999-01-01T00:00:00Z");
        for _ in 0..8 {
            let due = schedule.next_after(at).expect("there is a next");
            // From a second before, no jump is needed.
            let near = Timestamp::from_millis(due.millis() - 1000);
            assert_eq!(schedule.next_after(near), Some(due), "{line}");
            // And from no day in between anything else is found.
            let mut between = at;
            while between < near {
                assert_eq!(schedule.next_after(between), Some(due), "{line} after {between}");
                between = between.plus(Duration::from_hours(24 * 40));
            }
            at = due;
        }
    }
}

fn settled(schedule: &Schedule, after: &str, now: &str) -> String {
    let settled = settle(schedule, 7, time(after), time(now));
    let show = |at: Timestamp| at.to_string()[11..19].to_owned();
    let runs: Vec<String> = settled
        .runs
        .iter()
        .map(|due| format!("{}{}", show(due.at), if due.is_late { " late" } else { "" }))
        .collect();
    let missed = settled.missed.map(|(from, to)| format!(" missed {}..{}", show(from), show(to)));
    let next = settled.next.map_or("none".to_owned(), show);
    format!("{}{} next {next}", runs.join(", "), missed.unwrap_or_default())
}

#[test]
fn what_was_missed_is_made_up_for_as_the_schedule_says() {
    let mut often = cron("0 */10 * * * ?", "UTC");
    let (last, now) = ("2026-11-21T11:00:00Z", "2026-11-21T12:05:00Z");
    assert_eq!(settled(&often, last, now), "12:00:00 late missed 11:10:00..11:50:00 next 12:10:00");
    assert_eq!(settled(&often, last, "2026-11-21T11:10:30Z"), "11:10:00 next 11:20:00");
    assert_eq!(settled(&often, last, "2026-11-21T11:09:59Z"), " next 11:10:00");
    often.misfire = Misfire::Skip;
    assert_eq!(settled(&often, last, now), " missed 11:10:00..12:00:00 next 12:10:00");
    assert_eq!(
        settled(&often, last, "2026-11-21T12:00:20Z"),
        "12:00:00 missed 11:10:00..11:50:00 next 12:10:00"
    );
    often.misfire = Misfire::RunAll;
    often.catch_up = CatchUp::Count(2);
    assert_eq!(
        settled(&often, last, now),
        "11:50:00 late, 12:00:00 late missed 11:10:00..11:40:00 next 12:10:00"
    );
    often.catch_up = CatchUp::Within(Duration::from_mins(30));
    assert_eq!(
        settled(&often, last, now),
        "11:40:00 late, 11:50:00 late, 12:00:00 late missed 11:10:00..11:30:00 next 12:10:00"
    );
    often.misfire = Misfire::RunOnce;
    often.catch_up = CatchUp::Within(Duration::from_mins(4));
    assert_eq!(settled(&often, last, now), " missed 11:10:00..12:00:00 next 12:10:00");
    // Thirty days of every second cost no more than what is made up for.
    let each = cron("* * * * * ?", "UTC");
    let found = settle(&each, 0, time("2026-10-22T12:00:00Z"), time("2026-11-21T12:00:00Z"));
    assert_eq!((found.runs.len(), found.runs[0].is_late), (62, true));
    assert_eq!(found.missed.map(|(_, to)| to), Some(time("2026-11-21T11:58:58Z")));
}

#[test]
fn jitter_delays_and_never_hurries() {
    let mut often = cron("0 */10 * * * ?", "UTC");
    often.jitter = Duration::from_mins(2);
    let due = time("2026-11-21T11:10:00Z");
    let begins = often.begins_at(due, 1);
    assert!(begins >= due && begins <= due.plus(often.jitter));
    assert_eq!(begins, often.begins_at(due, 1), "the same each time");
    let many: std::collections::BTreeSet<i64> =
        (0..100).map(|chance| often.begins_at(due, chance).millis()).collect();
    assert!(many.len() > 90);
    let early = Timestamp::from_millis(begins.millis() - 1);
    assert_eq!(settle(&often, 1, time("2026-11-21T11:00:00Z"), early).runs, []);
    assert_eq!(settle(&often, 1, time("2026-11-21T11:00:00Z"), begins).runs.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// However often one looks, and whenever: each due time is settled once, as a run or as missed.
    #[test]
    fn each_due_time_is_settled_once(
        line in prop::sample::select(vec!["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 12 ? * MON", "*/20 * * * * ?"]),
        zone in prop::sample::select(ZONES.to_vec()),
        misfire in prop::sample::select(vec![Misfire::RunOnce, Misfire::Skip, Misfire::RunAll]),
        jitter in 0_u64..20, keep in 0_u32..5, chance in any::<u64>(),
        steps in proptest::collection::vec(1_i64..200_000, 1..8), start in 1_700_000_000_i64..1_900_000_000,
    ) {
        let mut schedule = cron(line, zone);
        (schedule.misfire, schedule.catch_up) = (misfire, CatchUp::Count(keep));
        schedule.jitter = Duration::from_secs(jitter);
        let mut now = Timestamp::from_millis(start * 1000);
        let mut up_to = now;
        let mut last: Option<Timestamp> = None;
        for step in steps {
            now = now.plus(Duration::from_secs(step as u64));
            let found = settle(&schedule, chance, up_to, now);
            let mut expected = schedule.next_after(up_to);
            if let Some((from, to)) = found.missed {
                prop_assert_eq!(expected, Some(from));
                prop_assert!(from <= to && last.is_none_or(|last| last < from));
                expected = schedule.next_after(to);
                last = Some(to);
            }
            for due in &found.runs {
                prop_assert_eq!(expected, Some(due.at));
                prop_assert!(schedule.begins_at(due.at, chance) <= now, "early");
                prop_assert!(last.is_none_or(|last| last < due.at), "twice");
                expected = schedule.next_after(due.at);
                last = Some(due.at);
            }
            prop_assert_eq!(found.next, expected);
            if let Some(next) = expected {
                prop_assert!(schedule.begins_at(next, chance) > now, "left behind");
            }
            up_to = found.up_to;
        }
    }
}
