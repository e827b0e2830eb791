//! What is wrong with a text a person wrote: where, what, and what would be right.

use std::fmt;

use serde::Serialize;

/// Where something stands in a text. Lines and columns count from 1, columns and lengths in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column of its first character.
    pub column: u32,
    /// How many characters to mark; at least 1.
    pub length: u32,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The text can't be used.
    Error,
    /// The text can be used, but will likely hurt.
    Warning,
}

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mistake {
    /// The file, as the person named it.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// How bad it is.
    pub severity: Severity,
    /// A short name that stays the same, such as `unknown-key` or `lint-interactive`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Mistake {
    /// The mistake as text with the line it stands in and the part marked. `source` is the whole file.
    pub fn render<'a>(&'a self, source: &'a str) -> impl fmt::Display + 'a {
        Rendered { mistake: self, source }
    }
}

struct Rendered<'a> {
    mistake: &'a Mistake,
    source: &'a str,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { file, place, severity, code, message, help } = self.mistake;
        let word = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{word}[{code}]: {message}")?;
        let gutter = place.line.to_string().len();
        writeln!(f, "{:gutter$}--> {file}:{}:{}", "", place.line, place.column)?;
        if let Some(line) = self.source.lines().nth((place.line as usize).saturating_sub(1)) {
            let before = (place.column as usize).saturating_sub(1);
            let pad: String = line
                .chars()
                .take(before)
                .map(|c| match c {
                    '\t' => "\t",
                    c if is_wide(c) => "  ",
                    _ => " ",
                })
                .collect();
            let marked = line.chars().skip(before).take(place.length as usize);
            let width: usize = marked.map(|c| if is_wide(c) { 2 } else { 1 }).sum();
            let marks = "^".repeat(width.max(1));
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {line}", place.line)?;
            writeln!(f, "{:gutter$} | {pad}{marks}", "")?;
        }
        if let Some(help) = help {
            writeln!(f, "{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// Whether a terminal shows a character twice as wide as a letter (East Asian Width W and F, in the main).
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}
