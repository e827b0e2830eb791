//! What work leaves behind: the file that `$WEIR_OUTPUT` names, read with suspicion.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::JobError;
use weir_core::outcome::{ErrorClass, Outputs};
use weir_core::secret::Secret;

use crate::mask;

/// The name of the file in the attempt's folder.
pub(crate) const FILE: &str = "output";

/// How much of it is read.
pub(crate) const LIMIT: u64 = 1 << 20;

/// How the file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// An object if it begins with `{`, else lines.
    #[default]
    Auto,
    /// `key=value` lines, and `key<<END` with the lines up to `END`.
    Lines,
    /// One JSON object.
    Json,
}

/// Reads the outputs in `folder`; none if the work wrote nothing. A file that gives a secret away is deleted.
///
/// # Errors
/// [`ErrorClass::Output`] if it is not what it should be, [`ErrorClass::Internal`] if it can't be read.
pub(crate) async fn read(
    folder: &Path,
    format: Format,
    secrets: &[Secret],
) -> Result<Outputs, JobError> {
    let path = folder.join(FILE);
    let bytes = slurp(path.clone()).await?;
    let text = text_of(bytes)?;
    // Also looks at names: a secret has no business in either.
    refuse_secrets(&text, &path, secrets).await?;
    parse(&text, format).map_err(wrong)
}

/// The outputs in the bytes of a file that lies elsewhere.
///
/// # Errors
/// As [`read`].
pub(crate) fn of_bytes(
    bytes: Vec<u8>,
    format: Format,
    secrets: &[Secret],
) -> Result<Outputs, JobError> {
    if bytes.len() as u64 > LIMIT {
        return Err(wrong("the output file is larger than 1 MiB"));
    }
    let text = text_of(bytes)?;
    if let Some(secret) = mask::find(&text, secrets) {
        return Err(wrong(format!(
            "the output file holds the secret `{}`: outputs are kept and shown; it was deleted",
            secret.name()
        )));
    }
    parse(&text, format).map_err(wrong)
}

fn text_of(bytes: Vec<u8>) -> Result<String, JobError> {
    String::from_utf8(bytes).map_err(|error| {
        wrong(format!("the output file is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// Deletes a file of outputs if its text gives a secret away.
///
/// # Errors
/// [`ErrorClass::Output`] if it does.
pub(crate) async fn refuse_secrets(
    text: &str,
    path: &Path,
    secrets: &[Secret],
) -> Result<(), JobError> {
    let Some(secret) = mask::find(text, secrets) else { return Ok(()) };
    let gone = tokio::fs::remove_file(path).await;
    let what = if gone.is_ok() { "; it was deleted" } else { "; delete it" };
    Err(wrong(format!(
        "the output file holds the secret `{}`: outputs are kept and shown{what}",
        secret.name()
    )))
}

/// The bytes of a file that whoever wrote it may have prepared to harm its reader: a pipe to block on, a link to
/// elsewhere, no end. Nothing if there is no file.
pub(crate) async fn slurp(path: PathBuf) -> Result<Vec<u8>, JobError> {
    // Most work leaves none, and to find that is too little to be handed to another thread.
    let read = match open(&path) {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(file)) => tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            file.take(LIMIT + 1).read_to_end(&mut bytes).map(|_| bytes)
        })
        .await
        .map_err(|error| JobError::new(ErrorClass::Internal, error.to_string()))?,
        Err(error) => Err(error),
    };
    match read {
        Ok(bytes) if bytes.len() as u64 > LIMIT => {
            Err(wrong("the output file is larger than 1 MiB"))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(JobError::new(
            ErrorClass::Internal,
            format!("the output file can't be read: {error}"),
        )),
    }
}

/// `None` if there is no file.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link"));
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(Some(file))
}

/// Reads the text of an output file. What is wrong is said without quoting the file: it may hold what nobody may see.
fn parse(text: &str, format: Format) -> Result<Outputs, String> {
    let is_object = match format {
        Format::Auto => text.trim_start().starts_with('{'),
        Format::Lines => false,
        Format::Json => !text.trim().is_empty(),
    };
    if is_object {
        return match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(object.into_iter().collect()),
            Ok(_) => Err("the output file is JSON, but no object".to_owned()),
            Err(error) => Err(format!(
                "the output file is no JSON object: mistake at line {}, column {}",
                error.line(),
                error.column()
            )),
        };
    }
    let mut outputs = Outputs::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let at = at + 1;
        if line.trim().is_empty() {
            continue;
        }
        // Whichever mark comes first decides: `a=b<<c` is a value, `a<<b=c` a longer text.
        let equals = line.find('=').unwrap_or(usize::MAX);
        let (key, value) = match line.split_once("<<") {
            Some((key, end)) if key.len() < equals && !end.trim().is_empty() => {
                let mut value: Vec<&str> = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, line)) if line == end.trim() => break,
                        Some((_, line)) => value.push(line),
                        None => {
                            return Err(format!(
                                "line {at} of the output file opens a text that is never closed"
                            ));
                        }
                    }
                }
                (key.trim(), value.join("\n"))
            }
            _ => match line.split_once('=') {
                Some((key, value)) => (key.trim(), value.to_owned()),
                None => {
                    return Err(format!(
                        "line {at} of the output file is neither `key=value` nor `key<<END`"
                    ));
                }
            },
        };
        let mut letters = key.chars();
        let well = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.'));
        if !well {
            return Err(format!(
                "line {at} of the output file: a name is a letter, then letters, digits, `_`, `-` and `.`"
            ));
        }
        outputs.insert(key.to_owned(), Value::String(value));
    }
    Ok(outputs)
}

fn wrong(message: impl Into<String>) -> JobError {
    JobError::new(ErrorClass::Output, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text, Format::Auto) {
            Ok(outputs) => serde_json::to_string(&outputs).expect("outputs are JSON"),
            Err(why) => why,
        }
    }

    #[test]
    fn outputs_are_lines_or_an_object() {
        let table = [
            ("", "{}"),
            ("a=1\n\nb = x=y \r\n", r#"{"a":"1","b":" x=y "}"#),
            ("a=b<<c\n", r#"{"a":"b<<c"}"#),
            ("t<<END\none=1\n\nthree\nEND\nu=2", r#"{"t":"one=1\n\nthree","u":"2"}"#),
            ("t<<END\none", "line 1 of the output file opens a text that is never closed"),
            ("a=1\na=2", r#"{"a":"2"}"#),
            ("a=1\nhello", "line 2 of the output file is neither `key=value` nor `key<<END`"),
            (
                "1a=1",
                "line 1 of the output file: a name is a letter, then letters, digits, `_`, `-` and `.`",
            ),
            (r#" {"n": 1, "l": [true]}"#, r#"{"l":[true],"n":1}"#),
            (r#"{"n": 1} x"#, "the output file is no JSON object: mistake at line 1, column 10"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
