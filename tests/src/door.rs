//! Speaks to a running engine over the socket in its home, a line a request, as another command would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::LIMIT;

/// A connection to an engine.
#[derive(Debug)]
pub struct Door {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Door {
    /// Knocks; `None` if nobody answers.
    pub fn knock(socket: &Path) -> Option<Self> {
        let writer = UnixStream::connect(socket).ok()?;
        writer.set_read_timeout(Some(LIMIT * 2)).ok()?;
        let reader = BufReader::new(writer.try_clone().ok()?);
        Some(Self { reader, writer })
    }

    /// Asks; the answer, or the engine's objection. `None` if it went away.
    pub fn ask(&mut self, request: &Value) -> Option<Result<Value, Value>> {
        self.writer.write_all(format!("{request}\n").as_bytes()).ok()?;
        let mut answer = self.line()?;
        Some(match answer.get_mut("problem") {
            Some(problem) => Err(problem.take()),
            None => Ok(answer["ok"].take()),
        })
    }

    /// Begins a run of a flow file; its number. `None` if the engine went away before it said so.
    ///
    /// # Panics
    /// The engine objects.
    pub fn begin(&mut self, flow: &Path, params: &Value) -> Option<i64> {
        let request = json!({
            "call": "begin", "flow": flow, "params": params, "confirm": [], "only": [], "from": [], "skip": [],
            "by": "a test",
        });
        let answer = self.ask(&request)?.unwrap_or_else(|problem| panic!("{problem}"));
        Some(answer["run"].as_i64().expect("a run has a number"))
    }

    /// The events of a run from its first on, until it has ended or `enough` says so. `None` if the engine went away.
    pub fn watch(&mut self, run: i64, mut enough: impl FnMut(&Value) -> bool) -> Option<()> {
        let request = json!({ "call": "watch", "run": run, "after": 0 });
        self.writer.write_all(format!("{request}\n").as_bytes()).ok()?;
        loop {
            let line = self.line()?;
            match line.get("event") {
                Some(event) if enough(event) => return Some(()),
                Some(_) => {}
                // It leaves: another one goes on with the run.
                None if line["problem"]["is_leaving"] == true => return None,
                None => {
                    assert!(line.get("problem").is_none(), "{line}");
                    return Some(());
                }
            }
        }
    }

    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the engine says nothing for {:?}", LIMIT * 2)
            }
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("an engine speaks JSON")),
        }
    }
}
