//! Values that are typed: `NAME=VALUE`, `NAME=@FILE`, `NAME=-`.

use std::io::Read as _;

use anyhow::Context as _;
use serde_json::{Map, Value};
use weir_core::flow::{Param, ParamKind};

use crate::args::Global;
use crate::end::wrong;
use crate::prompt;
use crate::style::Style;

/// The largest value that is read from a file or from standard input, in bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Values as they were given, and where they came from.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The values, as text.
    pub(crate) values: Map<String, Value>,
    /// The names of those that stood on the command line itself.
    typed: Vec<String>,
}

/// Reads values. `flag` is what they were given with, for messages.
///
/// # Errors
/// One is not written `NAME=VALUE`, or its file can't be read.
pub(crate) fn read(given: &[String], flag: &str) -> anyhow::Result<Given> {
    let mut all = Given::default();
    let mut has_read_input = false;
    for text in given {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let shown = text.split_once('=').map_or(text.as_str(), |_| "=...");
            return Err(wrong(format!(
                "`{flag} {shown}` has no name or no value\nhelp: write `{flag} NAME=VALUE`"
            )));
        };
        let value = if value == "-" {
            if has_read_input {
                return Err(wrong(
                    "standard input can give one value only\nhelp: put the others into files: NAME=@FILE",
                ));
            }
            has_read_input = true;
            read_all(&mut std::io::stdin().lock())
                .with_context(|| format!("the value of `{name}` can't be read"))?
        } else if let Some(rest) = value.strip_prefix("@@") {
            all.typed.push(name.to_owned());
            format!("@{rest}")
        } else if let Some(file) = value.strip_prefix('@') {
            let mut open = std::fs::File::open(file)
                .map_err(|error| wrong(format!("`{name}`: {file} can't be read: {error}")))?;
            read_all(&mut open)
                .map_err(|error| wrong(format!("`{name}`: {file} can't be read: {error}")))?
        } else {
            all.typed.push(name.to_owned());
            value.to_owned()
        };
        all.values.insert(name.to_owned(), Value::from(value));
    }
    Ok(all)
}

/// All that can be read, as text, without the line end that closes a file's last line.
pub(crate) fn read_all(from: &mut dyn std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    let count = from.take(LARGEST + 1).read_to_string(&mut text)?;
    if count as u64 > LARGEST {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is larger than 8 MiB",
        ));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

impl Given {
    /// Warns of secrets that stood on the command line, and asks for those that are missing where a person can answer.
    ///
    /// # Errors
    /// The terminal can't be read.
    pub(crate) fn fill_secrets(&mut self, global: &Global, params: &[Param]) -> anyhow::Result<()> {
        for param in params.iter().filter(|param| param.kind == ParamKind::Secret) {
            let name = &param.name;
            if self.typed.contains(name) {
                tell!(
                    "{}: the secret `{name}` stood on the command line, where every user of this machine can read it\n{}: \
                     give it with `-p {name}=-` or `-p {name}=@FILE`",
                    Style::find(global).warn("warning"),
                    Style::find(global).good("help"),
                );
            }
            let is_missing = !self.values.contains_key(name) && param.default.is_none();
            if is_missing && prompt::can_ask() {
                let about = param
                    .description
                    .as_ref()
                    .map(|words| format!(" ({words})"))
                    .unwrap_or_default();
                let value = prompt::hidden(&format!("{name}{about}: "))?;
                self.values.insert(name.clone(), Value::from(value));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(given: &[&str]) -> String {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        match read(&given, "-p") {
            Ok(given) => Value::Object(given.values).to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_are_typed_or_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "two\nlines\n").expect("written");
        let path = format!("b=@{}", file.path().display());
        assert_eq!(
            told(&["a=1", &path, "c=@@x", "d="]),
            r#"{"a":"1","b":"two\nlines","c":"@x","d":""}"#
        );
        assert_eq!(told(&["a=1", "a=2"]), r#"{"a":"2"}"#);
    }

    #[test]
    fn a_value_without_a_name_is_not_repeated() {
        assert_eq!(
            told(&["=hidden"]),
            "`-p =...` has no name or no value\nhelp: write `-p NAME=VALUE`"
        );
        assert_eq!(
            told(&["name"]),
            "`-p name` has no name or no value\nhelp: write `-p NAME=VALUE`"
        );
        assert!(told(&["a=@/nowhere"]).starts_with("`a`: /nowhere can't be read: "));
    }
}
