//! One call of an executable: a process, a line in, lines out, and nothing left of it afterwards.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use weir_core::job_type::Log;
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;
use weir_core::time::format_span;

use super::process::{Group, Line, Lines};
use crate::mask;

/// The longest line that an executable may write to its standard output, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// Where a line of its standard error is cut, in bytes.
const LONGEST_COMPLAINT: usize = 8 << 10;

/// How much of what it wrote is quoted, in characters.
const QUOTE: usize = 200;

/// How executables are called.
pub(super) struct Call<'a> {
    pub(super) program: &'a Path,
    /// Where its log lines and complaints go.
    pub(super) log: Option<&'a dyn Log>,
    /// What must not stand in any message.
    pub(super) secrets: &'a [Secret],
    /// How long it may take from its answer to its end.
    pub(super) leave: Duration,
}

/// Why a call has no result. What is said is to be read after the name.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The executable could not be started: surely nothing was done.
    NotBegun(String),
    /// It answered that it can't.
    Refused {
        /// What kind of failure, if it said.
        class: Option<ErrorClass>,
        /// What it said.
        message: String,
    },
    /// It broke off, or spoke in riddles: nobody knows what was done.
    Silent(String),
}

impl Call<'_> {
    /// Makes one call and returns its result. The process has ended when this returns, and what it left behind in its
    /// process group, too; also if this is dropped.
    ///
    /// # Errors
    /// See [`Wrong`].
    pub(super) async fn make(
        &self,
        method: &str,
        params: &Value,
        patience: Option<Duration>,
    ) -> Result<Value, Wrong> {
        let mut group = self.spawn().await?;
        let pipes = group.pipes();
        let (mut stdin, mut stdout, mut stderr) =
            pipes.map_err(|error| Wrong::NotBegun(format!("can't be talked to: {error}")))?;
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = format!("{request}\n");
        let mut complaints = Vec::new();
        let answer = {
            let talk = async {
                // An executable that does not read has its answer judged all the same. The line stays open: its end
                // tells the executable that nobody waits any more.
                let feed = async {
                    let _ = stdin.write_all(request.as_bytes()).await;
                    std::future::pending::<Infallible>().await
                };
                tokio::select! {
                    answer = self.read_answer(&mut stdout) => answer,
                    () = group.gone() => Err(Broken::Ended),
                    never = feed => match never {},
                    never = self.listen(&mut stderr, &mut complaints) => match never {},
                }
            };
            match patience {
                Some(patience) => match timeout(patience, talk).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Broken::Late(patience)),
                },
                None => talk.await,
            }
        };
        drop(stdin);
        let leave = match &answer {
            Ok(_) | Err(Broken::Ended | Broken::Refused(_)) => self.leave,
            Err(Broken::Late(_) | Broken::Riddle(_)) => Duration::ZERO,
        };
        let status = {
            let leaving = group.leave(leave);
            tokio::select! {
                status = leaving => status,
                never = self.listen(&mut stderr, &mut complaints) => match never {},
            }
        };
        // What it complained of last may still stand in the line; nobody holds it open any more.
        let rest = self.listen_to_end(&mut stderr, &mut complaints);
        let _ = timeout(Duration::from_millis(100), rest).await;
        match answer {
            Ok(result) => Ok(result),
            Err(Broken::Refused(error)) => {
                Err(Wrong::Refused { class: error.class(), message: self.quote(&error.message) })
            }
            Err(Broken::Late(patience)) => Err(Wrong::Silent(self.with_complaints(
                format!("did not answer `{method}` within {}", format_span(patience)),
                &complaints,
            ))),
            Err(Broken::Riddle(what)) => Err(Wrong::Silent(
                self.with_complaints(format!("answered `{method}` with {what}"), &complaints),
            )),
            Err(Broken::Ended) => {
                let end = match status.map(|status| (status.code(), status.signal())) {
                    Some((Some(code), _)) => format!("ended with code {code}"),
                    Some((None, Some(signal))) => format!("was ended by signal {signal}"),
                    Some((None, None)) | None => "closed its standard output".to_owned(),
                };
                Err(Wrong::Silent(self.with_complaints(
                    format!("{end} without an answer to `{method}`"),
                    &complaints,
                )))
            }
        }
    }

    /// Starts the executable. One that is just being written is given a moment.
    async fn spawn(&self) -> Result<Group, Wrong> {
        let mut tries = 0;
        loop {
            match Group::spawn(self.program) {
                Ok(group) => return Ok(group),
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    sleep(Duration::from_millis(10)).await;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.program.exists() => {
                    let why = "can't be started: the interpreter in its first line was not found";
                    return Err(Wrong::NotBegun(why.to_owned()));
                }
                Err(error) => return Err(Wrong::NotBegun(format!("can't be started: {error}"))),
            }
        }
    }

    /// Reads lines up to the answer.
    async fn read_answer(&self, lines: &mut Lines) -> Result<Value, Broken> {
        loop {
            let line = match lines.next(LONGEST_LINE).await {
                Ok(Line::Whole(line)) => line,
                Ok(Line::Part(_)) => {
                    return Err(Broken::Riddle("a line of more than 1 MiB".to_owned()));
                }
                Ok(Line::End) | Err(_) => return Err(Broken::Ended),
            };
            if line.trim().is_empty() {
                continue;
            }
            let Ok(message) = serde_json::from_str::<Message>(&line) else {
                return Err(Broken::Riddle(format!(
                    "`{}`, which is no message of JSON-RPC (what people should read belongs on standard error)",
                    self.quote(&line)
                )));
            };
            if message.jsonrpc != "2.0" {
                return Err(Broken::Riddle("another version of JSON-RPC than 2.0".to_owned()));
            }
            match message {
                Message { method: Some(method), params, .. } => {
                    let line = params.get("line").and_then(Value::as_str);
                    if method == "log"
                        && let Some(line) = line
                    {
                        self.say(line);
                    }
                }
                Message { id, .. } if id != 1 => {
                    return Err(Broken::Riddle(format!("an answer to call {id} instead of 1")));
                }
                Message { error: Some(error), .. } => return Err(Broken::Refused(error)),
                Message { result, .. } => return Ok(result),
            }
        }
    }

    /// As [`Call::listen_to_end`], and then rests: for beside something else that decides.
    async fn listen(&self, lines: &mut Lines, complaints: &mut Vec<String>) -> Infallible {
        self.listen_to_end(lines, complaints).await;
        std::future::pending().await
    }

    /// Passes on what comes over standard error. Keeps the last words.
    async fn listen_to_end(&self, lines: &mut Lines, complaints: &mut Vec<String>) {
        loop {
            match lines.next(LONGEST_COMPLAINT).await {
                Ok(Line::Whole(line) | Line::Part(line)) => {
                    self.say(&line);
                    if !line.trim().is_empty() {
                        complaints.push(line);
                    }
                    if complaints.len() > 3 {
                        complaints.remove(0);
                    }
                }
                Ok(Line::End) | Err(_) => return,
            }
        }
    }

    fn say(&self, text: &str) {
        if let Some(log) = self.log {
            text.lines().for_each(|line| log.line(line));
        }
    }

    fn with_complaints(&self, what: String, complaints: &[String]) -> String {
        match complaints.last() {
            Some(last) => format!("{what}; it said: {}", self.quote(last)),
            None => what,
        }
    }

    /// What it wrote, short, in a line and without secrets.
    fn quote(&self, text: &str) -> String {
        // Hidden first: a secret that is cut in two is not found.
        let hidden = mask::hide(text.trim(), self.secrets);
        let plain = hidden.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut quoted: String = plain.clone().take(QUOTE).collect();
        if plain.count() > QUOTE {
            quoted.push('…');
        }
        quoted
    }
}

/// Why there is no result.
enum Broken {
    /// It answered with an error.
    Refused(RpcError),
    /// It did not answer in time.
    Late(Duration),
    /// It wrote something that is no answer: what.
    Riddle(String),
    /// Its standard output came to an end.
    Ended,
}

/// A message of JSON-RPC 2.0, whichever way round.
#[derive(Deserialize)]
struct Message {
    jsonrpc: String,
    #[serde(default)]
    id: Value,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

impl RpcError {
    fn class(&self) -> Option<ErrorClass> {
        let named = self.data.get("class").and_then(Value::as_str).and_then(ErrorClass::named);
        named.or(match self.code {
            -32602 => Some(ErrorClass::Definition),
            -32700 | -32603 | -32601 | -32600 => Some(ErrorClass::Internal),
            _ => None,
        })
    }
}
