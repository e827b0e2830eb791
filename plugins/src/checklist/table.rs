//! The table that people read.

use serde_json::{Number, Value};

/// The widest a cell is drawn, in characters.
const WIDEST: usize = 60;

/// One check and what came of it.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) measured: String,
    pub(super) required: String,
    pub(super) verdict: Verdict,
    pub(super) help: Option<String>,
    /// What was measured, for other jobs.
    pub(super) output: Value,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as required.
    Holds,
    /// It is not, and must be.
    Fails,
    /// It is not; a person may let it pass.
    Waivable,
}

impl Verdict {
    fn in_words(self) -> &'static str {
        match self {
            Self::Holds => "ok",
            Self::Fails => "FAILED",
            Self::Waivable => "should be better",
        }
    }
}

/// Draws the table, a line for each check and one for each piece of help.
pub(super) fn draw(rows: &[Row]) -> String {
    let head = ["check", "measured", "required", "verdict"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        let verdict = match &row.help {
            Some(help) => format!("{}: {help}", row.verdict.in_words()),
            None => row.verdict.in_words().to_owned(),
        };
        [cell(&row.name), cell(&row.measured), cell(&row.required), verdict.replace('\n', " ")]
    }));
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let drawn = lines.iter().map(|[name, measured, required, verdict]| {
        format!(
            "{name:0$}  {measured:1$}  {required:2$}  {verdict}\n",
            widths[0], widths[1], widths[2]
        )
    });
    drawn.collect()
}

/// A text in one line of bounded width.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= WIDEST {
        return line;
    }
    line.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A number if it is written as one, else the text.
pub(super) fn typed(text: &str) -> Value {
    let whole = text.parse::<i64>().ok().map(Number::from);
    let as_written = whole.filter(|number| number.to_string() == text);
    match as_written {
        Some(whole) => Value::Number(whole),
        None => match number(text).and_then(Number::from_f64) {
            Some(number) if number.to_string() == text => Value::Number(number),
            _ => Value::String(text.to_owned()),
        },
    }
}
