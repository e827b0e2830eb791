//! What is wrong with a template, for the person who wrote it.

use std::fmt;

use minijinja::ErrorKind;

use super::context::Missing;
use crate::mistake::Place;
use crate::schema::nearest;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Which text of the settings: a JSON pointer; empty outside of settings.
    pub pointer: String,
    /// Where it stands in the file; the column is known only in a text's first line.
    pub place: Place,
    /// The line within the text, from 1.
    pub line: u32,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl TemplateError {
    pub(super) fn new(message: String, help: Option<String>) -> Self {
        Self { pointer: String::new(), place: Place::default(), line: 1, message, help }
    }

    /// From minijinja's error. `missing` is the last name that was looked for in vain.
    pub(super) fn of(error: &minijinja::Error, missing: Option<&Missing>) -> Self {
        let detail = error.detail().unwrap_or_default();
        let (message, help) = match error.kind() {
            ErrorKind::UndefinedError => match missing {
                Some(missing) => missing.told(),
                None => (
                    format!("undefined: {}", if detail.is_empty() { "a name" } else { detail }),
                    None,
                ),
            },
            ErrorKind::SyntaxError => (
                format!("this is no template: {detail}"),
                Some(
                    "text that is no template stands between `{% raw %}` and `{% endraw %}`"
                        .to_owned(),
                ),
            ),
            ErrorKind::OutOfFuel => ("the template does not end".to_owned(), None),
            ErrorKind::UnknownFilter if detail.contains("safe") || detail.contains("escape") => (
                detail.to_owned(),
                Some(
                    "values are quoted for the shell by themselves; `| raw` turns that off"
                        .to_owned(),
                ),
            ),
            ErrorKind::InvalidOperation if !detail.is_empty() => (detail.to_owned(), None),
            kind if detail.is_empty() => (kind.to_string(), None),
            kind => (format!("{kind}: {detail}"), None),
        };
        let line = error.line().map_or(1, |line| line as u32);
        Self { line, ..Self::new(message, help) }
    }

    /// The same, for a text at `pointer` that begins at `place`.
    pub(super) fn at(mut self, pointer: &str, place: Place) -> Self {
        pointer.clone_into(&mut self.pointer);
        self.place = place;
        if self.line > 1 {
            self.place = Place { line: place.line + self.line - 1, column: 1, length: 1 };
        }
        self
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " (help: {help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Missing {
    /// Which of the names looked for in vain an error is about: the last one, but for `a.b-c`, which asks for `a.b` and
    /// for `c`.
    pub(super) fn meant(all: &[Self]) -> Option<&Self> {
        let last = all.last()?;
        let whole = |before: &&Self| {
            last.path.is_empty()
                && before
                    .known
                    .iter()
                    .any(|known| known.starts_with(&format!("{}-{}", before.name, last.name)))
        };
        all.iter().rev().nth(1).filter(whole).or(Some(last))
    }

    /// The message and the help.
    pub(super) fn told(&self) -> (String, Option<String>) {
        let Self { path, name, known } = self;
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let near = nearest(name, known.iter().map(String::as_str));
        // `jobs.name-node` is read as `jobs.name` minus `node`.
        let cut = known.iter().find(|known| {
            known.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-'))
        });
        let help = match (cut, near) {
            (Some(cut), _) => Some(format!(
                "a name with `-` is written `{path}['{cut}']` or `{path}.{}`",
                cut.replace('-', "_")
            )),
            (None, Some(near)) => Some(format!("did you mean `{near}`?")),
            (None, None) if known.is_empty() => None,
            (None, None) => {
                let some: Vec<&str> = known.iter().take(8).map(String::as_str).collect();
                Some(format!("there is: {}", some.join(", ")))
            }
        };
        (format!("`{full}` is not defined"), help)
    }
}
