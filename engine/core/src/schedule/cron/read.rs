//! From the text of a cron line to what it means, or to the first field that is wrong.

use super::{BadCron, Cron, Days, FIRST_YEAR, LAST_YEAR, Weekdays, Years};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Words for whole lines.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// How the days of the week are numbered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// cron(8): Sunday is 0, and 7 as well.
    Five,
    /// Quartz: Sunday is 1.
    Quartz,
}

/// A part of the line, and where it begins.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    from: usize,
}

impl<'a> Part<'a> {
    fn wrong(self, message: impl Into<String>, help: impl Into<String>) -> BadCron {
        BadCron {
            from: self.from,
            to: self.from + self.text.len(),
            message: message.into(),
            help: help.into(),
        }
    }

    /// The parts between separators.
    fn split(self, by: char) -> impl Iterator<Item = Part<'a>> {
        self.text.split(by).map(move |text| Part {
            text,
            from: self.from + (text.as_ptr() as usize - self.text.as_ptr() as usize),
        })
    }

    fn cut(self, by: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(by)?;
        let after_from = self.from + before.len() + by.len_utf8();
        Some((Part { text: before, from: self.from }, Part { text: after, from: after_from }))
    }
}

/// A field: what it is called, its least and greatest number, its words (the first stands for the least number).
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    least: u32,
    greatest: u32,
    words: &'static [&'static str],
    /// A range may go over the end and on from the begin.
    wraps: bool,
}

const SECOND: Field = Field { name: "second", least: 0, greatest: 59, words: &[], wraps: true };
const MINUTE: Field = Field { name: "minute", least: 0, greatest: 59, words: &[], wraps: true };
const HOUR: Field = Field { name: "hour", least: 0, greatest: 23, words: &[], wraps: true };
const DAY: Field =
    Field { name: "day of the month", least: 1, greatest: 31, words: &[], wraps: true };
const MONTH: Field = Field { name: "month", least: 1, greatest: 12, words: &MONTHS, wraps: true };
const WEEKDAY: Field =
    Field { name: "day of the week", least: 1, greatest: 7, words: &WEEKDAYS, wraps: true };
const WEEKDAY_FIVE: Field = Field { least: 0, greatest: 6, ..WEEKDAY };
const YEAR: Field = Field {
    name: "year",
    least: FIRST_YEAR as u32,
    greatest: LAST_YEAR as u32,
    words: &[],
    wraps: false,
};

pub(super) fn line(text: &str) -> Result<Cron, BadCron> {
    let trimmed = text.trim();
    if trimmed.starts_with('@') {
        let whole = Part { text: trimmed, from: text.find('@').unwrap_or(0) };
        let lower = trimmed.to_ascii_lowercase();
        let Some((_, meant)) = WORDS.iter().find(|(word, _)| *word == lower) else {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            let near = crate::schema::nearest(trimmed, words.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("words known here: {}", words.join(", ")),
            };
            return Err(whole.wrong(format!("`{trimmed}` is no word for a cron line"), help));
        };
        return Ok(Cron { text: trimmed.to_owned(), ..line(meant)? });
    }
    let fields: Vec<Part<'_>> = text
        .split_whitespace()
        .map(|field| Part { text: field, from: field.as_ptr() as usize - text.as_ptr() as usize })
        .collect();
    let usual = Part { text: "0", from: 0 };
    let (form, second, rest, year) = match fields.as_slice() {
        rest if rest.len() == 5 => (Form::Five, usual, rest, None),
        [second, rest @ ..] if rest.len() == 5 => (Form::Quartz, *second, rest, None),
        [second, rest @ .., year] if rest.len() == 5 => (Form::Quartz, *second, rest, Some(*year)),
        _ => {
            let (from, to) = match fields.as_slice() {
                [.., last] if fields.len() > 7 => (fields[7].from, last.from + last.text.len()),
                _ => (0, text.len()),
            };
            let count = fields.len();
            return Err(BadCron {
                from,
                to,
                message: format!(
                    "a cron line has 5, 6 or 7 fields, and here {count} stand{}",
                    if count == 1 { "s" } else { "" }
                ),
                help: "write `minute hour day month weekday`, or with a second before them and a year behind".to_owned(),
            });
        }
    };
    let [minute, hour, day, month, weekday] = rest else {
        unreachable!("five fields were counted")
    };
    let cron = Cron {
        text: trimmed.to_owned(),
        seconds: set(second, SECOND)?,
        minutes: set(*minute, MINUTE)?,
        hours: set(*hour, HOUR)? as u32,
        days: days(*day)?,
        months: set(*month, MONTH)? as u16,
        weekdays: weekdays(*weekday, form)?,
        years: year.map(years).transpose()?.flatten(),
    };
    if form == Form::Quartz && !cron.days.is_any && !cron.weekdays.is_any {
        return Err(weekday.wrong(
            "the day of the month and the day of the week can't both say something here",
            "put `?` in one of the two, or write two schedules",
        ));
    }
    Ok(cron)
}

/// The numbers of a field as bits.
fn set(field: Part<'_>, of: Field) -> Result<u64, BadCron> {
    let mut found = 0;
    for item in field.split(',') {
        if item.text == "?" {
            return Err(item.wrong(
                format!("`?` can't stand for the {}", of.name),
                "write `*` for any; `?` is for days alone",
            ));
        }
        numbers(item, of, &mut |number| found |= 1 << number)?;
    }
    Ok(found)
}

fn years(field: Part<'_>) -> Result<Option<Years>, BadCron> {
    if field.text == "*" {
        return Ok(None);
    }
    let mut found = Years::default();
    for item in field.split(',') {
        numbers(item, YEAR, &mut |year| found.add(year as i32))?;
    }
    Ok(Some(found))
}

fn days(field: Part<'_>) -> Result<Days, BadCron> {
    let mut found = Days { is_any: is_any(field), ..Days::default() };
    if found.is_any {
        return Ok(found);
    }
    for item in field.split(',') {
        let upper = item.text.to_ascii_uppercase();
        if let Some(rest) = upper.strip_prefix('L') {
            let (rest, is_workday) = match rest.strip_suffix('W') {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let back = match rest.strip_prefix('-') {
                Some(number) => number.parse().ok().filter(|back| *back <= 30_u32),
                None => rest.is_empty().then_some(0),
            };
            let Some(back) = back else {
                return Err(item.wrong(
                    format!("`{}` is no day from the end of the month", item.text),
                    "write `L` for the last day, `L-3` for the third before it (up to 30), `LW` for the last workday",
                ));
            };
            if is_workday {
                found.from_last_workday |= 1 << back;
            } else {
                found.from_last |= 1 << back;
            }
        } else if let Some(day) = upper.strip_suffix('W') {
            let day = day.parse::<u32>().ok().filter(|day| (1..=31).contains(day));
            let Some(day) = day else {
                return Err(item.wrong(
                    format!("`{}` is no workday of the month", item.text),
                    "write `15W` for the workday nearest to the 15th, `LW` for the last one",
                ));
            };
            found.workday |= 1 << day;
        } else {
            not_any(item)?;
            numbers(item, DAY, &mut |day| found.plain |= 1 << day)?;
        }
    }
    Ok(found)
}

fn weekdays(field: Part<'_>, form: Form) -> Result<Weekdays, BadCron> {
    let mut found = Weekdays { is_any: is_any(field), ..Weekdays::default() };
    if found.is_any {
        return Ok(found);
    }
    let one = |part: Part<'_>| weekday(part, form);
    for item in field.split(',') {
        let upper = item.text.to_ascii_uppercase();
        if upper == "L" {
            found.plain |= 1 << 6;
        } else if let Some((day, nth)) = item.cut('#') {
            let day = one(day)?;
            let Some(nth) = nth.text.parse::<usize>().ok().filter(|nth| (1..=5).contains(nth))
            else {
                return Err(nth.wrong(
                    format!("a month has no {} of a weekday", nth.text),
                    "write 1 to 5 behind `#`: `FRI#3` is the third Friday",
                ));
            };
            found.nth[nth - 1] |= 1 << day;
        } else if upper.len() > 1 && upper.ends_with('L') {
            let day = one(Part { text: &item.text[..item.text.len() - 1], from: item.from })?;
            found.last |= 1 << day;
        } else {
            not_any(item)?;
            weekday_numbers(item, form, &mut found.plain)?;
        }
    }
    Ok(found)
}

/// `*` and `?` alone say nothing about the day.
fn is_any(field: Part<'_>) -> bool {
    matches!(field.text, "*" | "?")
}

fn not_any(item: Part<'_>) -> Result<(), BadCron> {
    if item.text.contains('?') {
        return Err(item.wrong("`?` stands alone", "write `?` as the whole field, or remove it"));
    }
    Ok(())
}

/// One day of the week, 0 for Sunday.
fn weekday(part: Part<'_>, form: Form) -> Result<u32, BadCron> {
    match form {
        Form::Quartz => Ok(number(part, WEEKDAY)? - 1),
        Form::Five if part.text == "7" => Ok(0),
        Form::Five => number(part, WEEKDAY_FIVE),
    }
}

fn weekday_numbers(item: Part<'_>, form: Form, found: &mut u8) -> Result<(), BadCron> {
    let field = match form {
        Form::Quartz => WEEKDAY,
        Form::Five => WEEKDAY_FIVE,
    };
    // In five fields 7 is Sunday, too: at the end of a range it is the day behind Saturday.
    let ends_with_seven = form == Form::Five
        && item.text.split('/').next().is_some_and(|range| range == "7" || range.ends_with("-7"));
    if !ends_with_seven {
        return numbers(item, field, &mut |day| *found |= 1 << ((day - field.least) % 7));
    }
    let whole = Field { greatest: 7, ..field };
    numbers(item, whole, &mut |day| *found |= 1 << (day % 7))
}

/// `*`, `5`, `1-5`, `MON-FRI`, each with `/STEP` or without.
fn numbers(item: Part<'_>, of: Field, add: &mut dyn FnMut(u32)) -> Result<(), BadCron> {
    let (range, step) = match item.cut('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let span = of.greatest - of.least + 1;
    let step_size = match step {
        None => 1,
        Some(step) => match step.text.parse::<u32>() {
            Ok(0) => {
                return Err(step.wrong("a step of 0 leads nowhere", "write a step of at least 1"));
            }
            Ok(size) if size < span || (of.least == 1 && size <= span) => size,
            Ok(size) => {
                return Err(step.wrong(
                    format!(
                        "a step of {size} is wider than the field: the {} goes from {} to {}",
                        of.name, of.least, of.greatest
                    ),
                    format!(
                        "write a step of at most {}",
                        if of.least == 1 { span } else { span - 1 }
                    ),
                ));
            }
            Err(_) => {
                return Err(step.wrong(
                    format!("`{}` is no step", step.text),
                    "write a whole number behind `/`, as in `*/5`",
                ));
            }
        },
    };
    let (first, last) = if range.text == "*" {
        (of.least, of.greatest)
    } else if let Some((first, last)) = range.cut('-') {
        (number(first, of)?, number(last, of)?)
    } else {
        let first = number(range, of)?;
        (first, if step.is_some() { of.greatest } else { first })
    };
    if first > last && !of.wraps {
        return Err(range.wrong(
            format!("the range {} goes backwards", range.text),
            format!("write the earlier {} first", of.name),
        ));
    }
    let last = if first > last { last + span } else { last };
    for value in (first..=last).step_by(step_size as usize) {
        add((value - of.least) % span + of.least);
    }
    Ok(())
}

fn number(part: Part<'_>, of: Field) -> Result<u32, BadCron> {
    let upper = part.text.to_ascii_uppercase();
    if let Some(at) = of.words.iter().position(|word| *word == upper) {
        return Ok(of.least + at as u32);
    }
    let is_number = !part.text.is_empty() && part.text.bytes().all(|byte| byte.is_ascii_digit());
    match part.text.parse::<u32>() {
        Ok(number) if is_number && (of.least..=of.greatest).contains(&number) => Ok(number),
        _ => {
            let range = match of.words {
                [] => format!("it goes from {} to {}", of.least, of.greatest),
                [first, .., last] => {
                    format!(
                        "it goes from {} to {} or from {first} to {last}",
                        of.least, of.greatest
                    )
                }
                [_] => unreachable!("no field has one word"),
            };
            let near = crate::schema::nearest(part.text, of.words.iter().copied());
            let help = match near {
                _ if part.text.is_empty() => format!("write a number; {range}"),
                Some(near) => format!("did you mean `{near}`? {range}"),
                None if of.name == WEEKDAY.name && of.least == 1 && part.text == "0" => {
                    format!("{range}: with a field for seconds Sunday is 1, as in Quartz")
                }
                None => range,
            };
            let message = if part.text.is_empty() {
                format!("a number is missing in the {}", of.name)
            } else {
                format!("`{}` is no {}", part.text, of.name)
            };
            Err(part.wrong(message, help))
        }
    }
}
