//! A question to an SQLite database: one query, read only, of which the first value of the first row counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, Error, InterruptHandle, OpenFlags};
use serde::Deserialize;
use serde_json::Value;
use weir_core::outcome::Outputs;

use super::look::{LIMIT, Seen};

/// How long to wait for somebody who writes.
const BUSY: Duration = Duration::from_secs(2);

/// The setting `sql`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Settings {
    database: String,
    query: String,
}

impl Settings {
    pub(super) fn question(self) -> Result<Question, String> {
        let file = file_of(&self.database)?.to_owned();
        if self.query.trim().is_empty() {
            return Err("`sql.query` asks nothing".to_owned());
        }
        Ok(Question { file, query: self.query })
    }
}

/// Judges the name of a database.
pub(super) fn check_database(database: &str) -> Result<(), String> {
    file_of(database).map(|_| ())
}

/// The file of `sqlite:FILE` or `FILE`.
fn file_of(database: &str) -> Result<&Path, String> {
    let database = database.trim();
    let file = match database.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme, _)) if scheme.len() > 1 && !scheme.contains('/') => {
            return Err(format!("`wait` can't ask a database at `{scheme}:`, only SQLite"));
        }
        _ => database,
    };
    if file.is_empty() || file == ":memory:" {
        return Err(format!("`{database}` names no file of a database"));
    }
    Ok(Path::new(file))
}

/// A query, and which database answers it.
pub(super) struct Question {
    file: PathBuf,
    query: String,
}

/// Why there is no answer.
enum Trouble {
    /// There may be one later.
    NotYet(String),
    /// There can't be one, ever.
    Never(String),
}

impl Question {
    /// Which database is asked. Not what: that may hold what nobody should read.
    pub(super) fn in_words(&self) -> String {
        format!("sql {}", self.file.display())
    }

    /// Asks once.
    ///
    /// # Errors
    /// The query is none that only reads.
    pub(super) async fn look(&self, folder: &Path) -> Result<Seen, String> {
        let path = folder.join(&self.file);
        let query = self.query.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let asked = tokio::task::spawn_blocking(move || {
            let connection = open(&path)?;
            // Whoever asks may give up first: then nobody knows how to interrupt.
            let _given_up = tell.send(Interrupt(connection.get_interrupt_handle()));
            ask(&connection, &query)
        });
        // Dropped with this look: a query that takes too long ends with it.
        let _interrupt = told.await;
        let answer = asked.await.map_err(|_| "the query could not be asked".to_owned())?;
        let shown = self.file.display();
        match answer {
            Ok(value) if holds(&value) => {
                let seen = format!("{shown} answers {}", in_words(&value));
                Ok(Seen::Holds { seen, outputs: Outputs::from([("value".to_owned(), value)]) })
            }
            Ok(value) => Ok(Seen::NotYet(format!("{shown} answers {}", in_words(&value)))),
            Err(Trouble::NotYet(why)) => Ok(Seen::NotYet(format!("{shown}: {why}"))),
            Err(Trouble::Never(why)) => Err(format!("`sql.query`: {why}")),
        }
    }
}

/// Interrupts the query when dropped.
struct Interrupt(InterruptHandle);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

fn open(path: &Path) -> Result<Connection, Trouble> {
    if !path.exists() {
        return Err(Trouble::NotYet("it is not there".to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| not_yet(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| not_yet(&error))?;
    Ok(connection)
}

/// The first value of the first row; null if there is none.
fn ask(connection: &Connection, query: &str) -> Result<Value, Trouble> {
    let mut statement = connection.prepare(query).map_err(|error| match error {
        Error::MultipleStatement => Trouble::Never("it must be one statement".to_owned()),
        error => not_yet(&error),
    })?;
    if !statement.readonly() {
        return Err(Trouble::Never("it would change something, and may only read".to_owned()));
    }
    if statement.column_count() == 0 {
        return Err(Trouble::Never("it answers nothing".to_owned()));
    }
    let mut rows = statement.query([]).map_err(|error| not_yet(&error))?;
    let Some(row) = rows.next().map_err(|error| not_yet(&error))? else { return Ok(Value::Null) };
    Ok(match row.get(0).map_err(|error| not_yet(&error))? {
        Cell::Null => Value::Null,
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => number.into(),
        Cell::Text(text) if text.len() <= LIMIT => text.into(),
        Cell::Blob(bytes) if bytes.len() <= LIMIT => {
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        Cell::Text(_) | Cell::Blob(_) => {
            return Err(Trouble::Never("what it answers is larger than 1 MiB".to_owned()));
        }
    })
}

fn not_yet(error: &Error) -> Trouble {
    Trouble::NotYet(match error {
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        error => error.to_string(),
    })
}

/// Neither null, 0, false nor empty.
fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_so) => *is_so,
        Value::Number(number) => number.as_f64().is_none_or(|number| number != 0.0),
        Value::String(text) => {
            let text = text.trim();
            !text.is_empty() && text != "0" && !text.eq_ignore_ascii_case("false")
        }
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => text.chars().take(200).collect(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_database_is_a_file_of_sqlite() {
        let file = |text| file_of(text).map(|path| path.display().to_string());
        for (text, path) in [
            ("a.db", "a.db"),
            ("sqlite:a.db", "a.db"),
            ("sqlite:///srv/a.db", "/srv/a.db"),
            ("/srv/a:b.db", "/srv/a:b.db"),
        ] {
            assert_eq!(file(text).as_deref(), Ok(path), "{text}");
        }
        for text in ["", "sqlite:", ":memory:", "sqlite::memory:", "postgres://a/b"] {
            assert!(file(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_holds() {
        for value in
            [json!(null), json!(0), json!(0.0), json!(""), json!(" "), json!("0"), json!("False")]
        {
            assert!(!holds(&value), "{value}");
        }
        for value in [json!(1), json!(-0.5), json!("no"), json!("true")] {
            assert!(holds(&value), "{value}");
        }
    }
}
