//! Lines against what Quartz and cron(8) say of them, against two other readers, and wrong ones.

use std::str::FromStr as _;

use chrono::{NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").expect(text)
}

/// The first times after a moment, as text.
fn times(line: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(line).unwrap_or_else(|bad| panic!("{line}: {bad}"));
    let mut found = Vec::new();
    let mut time = at(after);
    while let Some(next) = cron.next(time, |_| false).filter(|_| found.len() < count) {
        assert!(next > time && cron.holds(next), "{line}: {next} after {time}");
        found.push(next.format("%Y-%m-%d %H:%M:%S").to_string());
        time = next;
    }
    found
}

#[test]
fn lines_mean_what_quartz_and_cron_say() {
    // From Saturday, 2026-11-21, noon.
    for (line, expected) in [
        ("0 30 9 ? * MON-FRI", ["2026-11-23 09:30:00", "2026-11-24 09:30:00"]),
        ("0 0 12 ? * SUN 2030", ["2030-01-06 12:00:00", "2030-01-13 12:00:00"]),
        ("@daily", ["2026-11-22 00:00:00", "2026-11-23 00:00:00"]),
        ("@Hourly", ["2026-11-21 13:00:00", "2026-11-21 14:00:00"]),
        ("0 0 0 ? * 1", ["2026-11-22 00:00:00", "2026-11-29 00:00:00"]),
        ("0 0 0 * * 7", ["2026-11-28 00:00:00", "2026-12-05 00:00:00"]),
        ("0 0 0 L * ?", ["2026-11-30 00:00:00", "2026-12-31 00:00:00"]),
        ("0 0 0 LW * ?", ["2026-11-30 00:00:00", "2026-12-31 00:00:00"]),
        ("0 0 0 LW 1,2 ?", ["2027-01-29 00:00:00", "2027-02-26 00:00:00"]),
        ("0 0 0 15W * ?", ["2026-12-15 00:00:00", "2027-01-15 00:00:00"]),
        ("0 0 0 1W * ?", ["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        ("0 0 0 1W 5 ?", ["2027-05-03 00:00:00", "2028-05-01 00:00:00"]),
        ("0 0 0 ? * 6L", ["2026-11-27 00:00:00", "2026-12-25 00:00:00"]),
        ("0 0 0 ? * FRIL", ["2026-11-27 00:00:00", "2026-12-25 00:00:00"]),
        ("0 0 0 ? * 6#3", ["2026-12-18 00:00:00", "2027-01-15 00:00:00"]),
        ("0 0 0 ? * fri#3", ["2026-12-18 00:00:00", "2027-01-15 00:00:00"]),
        ("0 0 0 ? * MON#5", ["2026-11-30 00:00:00", "2027-03-29 00:00:00"]),
        ("0 0 0 L-3 * ?", ["2026-11-27 00:00:00", "2026-12-28 00:00:00"]),
        ("0 0 0 L-3W * ?", ["2026-11-27 00:00:00", "2026-12-28 00:00:00"]),
        ("0 0 0 L-30 * ?", ["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        ("0 0 0 ? * L", ["2026-11-28 00:00:00", "2026-12-05 00:00:00"]),
        ("0 0/10 * * * ?", ["2026-11-21 12:10:00", "2026-11-21 12:20:00"]),
        ("0 0 1/5 * * ?", ["2026-11-21 16:00:00", "2026-11-21 21:00:00"]),
        ("0 0 22-2 * * ?", ["2026-11-21 22:00:00", "2026-11-21 23:00:00"]),
        ("0 0 22-2/2 * * ?", ["2026-11-21 22:00:00", "2026-11-22 00:00:00"]),
        ("0 0 0 ? * SAT-MON", ["2026-11-22 00:00:00", "2026-11-23 00:00:00"]),
        ("0 0 0 1 NOV-FEB ?", ["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        ("0 0 0 1 7/6 ?", ["2027-07-01 00:00:00", "2028-07-01 00:00:00"]),
        ("*/5 * * * *", ["2026-11-21 12:05:00", "2026-11-21 12:10:00"]),
        ("0 0 1 * MON", ["2026-11-23 00:00:00", "2026-11-30 00:00:00"]),
        ("0 0 * * 7", ["2026-11-22 00:00:00", "2026-11-29 00:00:00"]),
        ("0 0 * * 5-7", ["2026-11-22 00:00:00", "2026-11-27 00:00:00"]),
        ("0 0 * * 1#2", ["2026-12-14 00:00:00", "2027-01-11 00:00:00"]),
        ("59 59 23 31 12 ? 2026-2027", ["2026-12-31 23:59:59", "2027-12-31 23:59:59"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
    ] {
        assert_eq!(times(line, "2026-11-21 12:00:00", 2), expected, "{line}");
    }
}

#[test]
fn a_line_may_have_no_time_left() {
    assert_eq!(times("0 0 0 30 2 ?", "2026-01-01 00:00:00", 1), Vec::<String>::new());
    assert_eq!(times("0 0 0 1 1 ? 2020", "2026-01-01 00:00:00", 1), Vec::<String>::new());
    assert_eq!(times("0 0 0 1 1 ? 2020", "1900-01-01 00:00:00", 9).len(), 1);
}

#[test]
fn a_wrong_line_is_marked_where_it_is_wrong() {
    for (line, marked, said) in [
        ("61 * * * *", "61", "`61` is no minute; it goes from 0 to 59"),
        ("0 0 25 * * ?", "25", "`25` is no hour; it goes from 0 to 23"),
        (
            "0 2 * * MNO",
            "MNO",
            "`MNO` is no day of the week; did you mean `MON`? it goes from 0 to 6 or from SUN to SAT",
        ),
        (
            "0 0 0 ? * 0",
            "0",
            "`0` is no day of the week; it goes from 1 to 7 or from SUN to SAT: with a field for seconds Sunday is 1, as in Quartz",
        ),
        ("*/0 * * * *", "0", "a step of 0 leads nowhere; write a step of at least 1"),
        (
            "*/60 * * * *",
            "60",
            "a step of 60 is wider than the field: the minute goes from 0 to 59; write a step of at most 59",
        ),
        (
            "0 0 0 1 1/13 ?",
            "13",
            "a step of 13 is wider than the field: the month goes from 1 to 12; write a step of at most 12",
        ),
        (
            "* * * *",
            "* * * *",
            "a cron line has 5, 6 or 7 fields, and here 4 stand; write `minute hour day month weekday`, or with a second before them and a year behind",
        ),
        (
            "* * * * * * * x y",
            "x y",
            "a cron line has 5, 6 or 7 fields, and here 9 stand; write `minute hour day month weekday`, or with a second before them and a year behind",
        ),
        (
            "0 0 12 1 * MON",
            "MON",
            "the day of the month and the day of the week can't both say something here; put `?` in one of the two, or write two schedules",
        ),
        (
            "0 0 12 ? ? MON",
            "?",
            "`?` can't stand for the month; write `*` for any; `?` is for days alone",
        ),
        ("0 0 12 1,? * ?", "?", "`?` stands alone; write `?` as the whole field, or remove it"),
        (
            "0 0 12 L-31 * ?",
            "L-31",
            "`L-31` is no day from the end of the month; write `L` for the last day, `L-3` for the third before it (up to 30), `LW` for the last workday",
        ),
        (
            "0 0 12 32W * ?",
            "32W",
            "`32W` is no workday of the month; write `15W` for the workday nearest to the 15th, `LW` for the last one",
        ),
        (
            "0 0 12 ? * FRI#6",
            "6",
            "a month has no 6 of a weekday; write 1 to 5 behind `#`: `FRI#3` is the third Friday",
        ),
        (
            "0 0 12 1 1 ? 2027-2026",
            "2027-2026",
            "the range 2027-2026 goes backwards; write the earlier year first",
        ),
        (
            "0 2,,3 * * *",
            "",
            "a number is missing in the hour; write a number; it goes from 0 to 23",
        ),
        ("@dayly", "@dayly", "`@dayly` is no word for a cron line; did you mean `@daily`?"),
        ("0 +2 * * *", "+2", "`+2` is no hour; it goes from 0 to 23"),
    ] {
        let bad = Cron::parse(line).expect_err(line);
        assert_eq!(format!("{bad}; {}", bad.help), said, "{line}");
        assert_eq!(&line[bad.from..bad.to], marked, "{line}");
    }
}

/// A field of plain numbers, lists, ranges and steps.
fn field(least: u32, greatest: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        Just("*".to_owned()),
        (least..=greatest).prop_map(|number| number.to_string()),
        (least..=greatest, least..=greatest).prop_map(|(a, b)| format!(
            "{}-{}",
            a.min(b),
            a.max(b)
        )),
        (2..=(greatest - least).min(9)).prop_map(|step| format!("*/{step}")),
        (least..=greatest, least..=greatest, 1_u32..5).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
    ];
    proptest::collection::vec(item, 1..3).prop_map(|items| {
        if items.iter().any(|item| item == "*") { "*".to_owned() } else { items.join(",") }
    })
}

fn moment() -> impl Strategy<Value = NaiveDateTime> {
    (2000_i32..2060, 1_u32..=365, 0_u32..86_400).prop_map(|(year, day, second)| {
        let time = NaiveTime::from_num_seconds_from_midnight_opt(second, 0).expect("of a day");
        NaiveDate::from_yo_opt(year, day).expect("a day").and_time(time)
    })
}

fn special_day() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("L".to_owned()),
        Just("LW".to_owned()),
        (1_u32..=28).prop_map(|day| format!("{day}W")),
        (1_u32..=31, 1_u32..=31).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn special_weekday() -> impl Strategy<Value = String> {
    prop_oneof![
        (1_u32..=7).prop_map(|day| format!("{day}L")),
        (1_u32..=7, 1_u32..=5).prop_map(|(day, nth)| format!("{day}#{nth}")),
        prop::sample::select(vec!["MON-FRI", "SUN,SAT", "TUEL", "FRI#2"]).prop_map(str::to_owned),
    ]
}

fn own(line: &str, after: NaiveDateTime) -> Option<NaiveDateTime> {
    Cron::parse(line).unwrap_or_else(|bad| panic!("{line}: {bad}")).next(after, |_| false)
}

fn of_croner(line: &str, after: NaiveDateTime) -> Option<NaiveDateTime> {
    use croner::parser::{CronParser, Seconds};
    let is_five = line.split(' ').count() == 5;
    let seconds = if is_five { Seconds::Disallowed } else { Seconds::Required };
    let parser = CronParser::builder()
        .seconds(seconds)
        .alternative_weekdays(!is_five)
        .sloppy_ranges(true)
        .build();
    let cron = parser.parse(line).unwrap_or_else(|bad| panic!("{line}: {bad}"));
    cron.find_next_occurrence(&Utc.from_utc_datetime(&after), false).ok().map(|at| at.naive_utc())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_lines_mean_what_the_crate_cron_says(
        second in field(0, 59), minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12),
        weekday in field(1, 7), by_week in any::<bool>(), after in moment(),
    ) {
        let line = if by_week {
            format!("{second} {minute} {hour} ? {month} {weekday}")
        } else {
            format!("{second} {minute} {hour} {day} {month} ?")
        };
        let other = ::cron::Schedule::from_str(&line).expect(&line);
        let theirs = other.after(&Utc.from_utc_datetime(&after)).next().map(|at| at.naive_utc());
        // It looks no further than 2100.
        if let Some(theirs) = theirs {
            prop_assert_eq!(own(&line, after), Some(theirs), "{} after {}", line, after);
        }
    }

    #[test]
    fn special_days_mean_what_the_crate_croner_says(
        hour in 0_u32..24, day in special_day(), weekday in special_weekday(), by_week in any::<bool>(), after in moment(),
    ) {
        let line = if by_week { format!("0 0 {hour} ? * {weekday}") } else { format!("0 0 {hour} {day} * ?") };
        if let Some(theirs) = of_croner(&line, after) {
            prop_assert_eq!(own(&line, after), Some(theirs), "{} after {}", line, after);
        }
    }

    #[test]
    fn five_fields_mean_what_the_crate_croner_says(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 6),
        after in moment(),
    ) {
        let line = format!("{minute} {hour} {day} {month} {weekday}");
        if let Some(theirs) = of_croner(&line, after) {
            prop_assert_eq!(own(&line, after), Some(theirs), "{} after {}", line, after);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-0-9*?LW#/,@A-Z ]{0,24}|\\PC{0,40}") {
        if let Err(bad) = Cron::parse(&text) {
            prop_assert!(text.get(bad.from..bad.to).is_some(), "{:?}", bad);
        }
    }
}
