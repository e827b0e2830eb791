//! The socket in the home: other commands on this machine speak to the engine that holds it. A request a line, an
//! answer a line; a watch is answered by many.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use weir_core::ids::RunId;

use crate::api::{self, Problem, Request};
use crate::engine::Handle;

/// The longest request, in bytes.
const REQUEST_MAX: u64 = 16 * 1024 * 1024;

/// How long what was asked before the door closes may take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long to wait before the next client is let in where one could not be.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Answers on the home's socket until it is closed or dropped.
pub struct Door {
    path: PathBuf,
    is_leaving: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens the socket. The caller holds the home's lock, so a socket that is there is a leftover.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn open(path: &Path, handle: Handle) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let (address, _folder) = address(path)?;
        let listener = UnixListener::bind(&address)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let (is_leaving, leaving) = watch::channel(false);
        let task = tokio::spawn(let_in(listener, handle, leaving));
        Ok(Self { path: path.to_owned(), is_leaving, task })
    }

    /// Lets nobody in any more, and returns when all that was asked is answered. Who asks while it closes is told that
    /// nothing was done.
    pub async fn close(mut self) {
        // Who does not find the socket waits for the home to be free.
        let _ = std::fs::remove_file(&self.path);
        self.is_leaving.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

async fn let_in(listener: UnixListener, handle: Handle, mut leaving: watch::Receiver<bool>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (handle, leaving) = (handle.clone(), leaving.clone());
                    clients.spawn(async move {
                        if let Err(error) = serve(&handle, stream, leaving).await {
                            tracing::debug!("a client of the socket went away: {error}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("a client could not be let in: {error}");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            },
            Some(_) = clients.join_next() => {}
            () = closes(&mut leaving) => break,
        }
    }
    drop(listener);
    let answered = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, answered).await.is_err() {
        tracing::warn!("a client of the socket gets no answer: it took too long");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// An address that fits into the 107 bytes that a Unix socket's may have, and what keeps it valid.
fn address(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd as _;
    if path.as_os_str().len() < 100 {
        return Ok((path.to_owned(), None));
    }
    let folder = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((short, Some(folder)))
}

/// Returns when the door closes.
async fn closes(leaving: &mut watch::Receiver<bool>) {
    // The door that is dropped closes, too.
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

async fn serve(
    handle: &Handle,
    stream: UnixStream,
    mut leaving: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut limited = (&mut reader).take(REQUEST_MAX);
        tokio::select! {
            biased;
            () = closes(&mut leaving) => {
                return send(&mut writer, &reply(Err(Problem::leaving()))).await;
            }
            count = limited.read_line(&mut line) => if count? == 0 {
                return Ok(());
            },
        }
        match serde_json::from_str(&line) {
            Ok(Request::Watch { run, after }) => {
                let (sink, mut events) = mpsc::channel(256);
                let watching = api::watch(handle, RunId(run), after, sink);
                let sending = async {
                    while let Some(event) = events.recv().await {
                        send(&mut writer, &json!({ "event": event })).await?;
                    }
                    io::Result::Ok(())
                };
                let both = async { tokio::join!(watching, sending) };
                let (result, sent) = tokio::select! {
                    both = both => both,
                    () = closes(&mut leaving) => (Err(Problem::leaving()), Ok(())),
                };
                sent?;
                send(&mut writer, &reply(result.map(|()| Value::Null))).await?;
            }
            Ok(request) => {
                let answer = api::answer(handle, request).await;
                send(&mut writer, &reply(answer)).await?;
            }
            Err(error) => {
                let problem = Problem::call(format!("the request can't be read: {error}"));
                send(&mut writer, &reply(Err(problem))).await?;
            }
        }
    }
}

fn reply(result: Result<Value, Problem>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(problem) => json!({ "problem": problem }),
    }
}

async fn send(writer: &mut OwnedWriteHalf, value: &Value) -> io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    writer.write_all(line.as_bytes()).await
}

/// Speaks to the engine that holds a home.
pub struct Caller {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Caller {
    /// Knocks. `None` if nobody answers there.
    pub async fn connect(path: &Path) -> Option<Self> {
        let (address, _folder) = address(path).ok()?;
        let stream = UnixStream::connect(address).await.ok()?;
        let (reader, writer) = stream.into_split();
        Some(Self { reader: BufReader::new(reader), writer })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the engine says, or that it went away.
    pub async fn ask(&mut self, request: &Request) -> Result<Value, Problem> {
        self.send(request).await?;
        match self.next().await? {
            Answer::Done(value) => Ok(value),
            Answer::Event(_) => Err(went_away("it answers what was not asked")),
        }
    }

    /// Watches a run; call [`Caller::next`] for its events.
    ///
    /// # Errors
    /// The engine went away.
    pub async fn watch(&mut self, run: RunId, after: i64) -> Result<(), Problem> {
        self.send(&Request::Watch { run: run.0, after }).await
    }

    /// The next event of a watch, or its end.
    ///
    /// # Errors
    /// What the engine says, or that it went away.
    pub async fn next(&mut self) -> Result<Answer, Problem> {
        let mut line = String::new();
        match self.reader.read_line(&mut line).await {
            Ok(0) => return Err(went_away("it closed the socket")),
            // The engine closed the socket with our request still in it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Problem::leaving());
            }
            Err(error) => return Err(went_away(&error.to_string())),
            Ok(_) => {}
        }
        let mut value: Value =
            serde_json::from_str(&line).map_err(|error| went_away(&error.to_string()))?;
        if let Some(event) = value.get_mut("event") {
            return Ok(Answer::Event(event.take()));
        }
        if let Some(problem) = value.get_mut("problem") {
            let problem = serde_json::from_value(problem.take())
                .map_err(|error| went_away(&error.to_string()))?;
            return Err(problem);
        }
        Ok(Answer::Done(value.get_mut("ok").map(Value::take).unwrap_or_default()))
    }

    async fn send(&mut self, request: &Request) -> Result<(), Problem> {
        let mut line = crate::turn::json(request);
        line.push('\n');
        // A request without its end is none: nothing was done.
        self.writer.write_all(line.as_bytes()).await.map_err(|_| Problem::leaving())
    }
}

/// What comes from a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An event.
    Event(Value),
    /// The answer, and the end of it.
    Done(Value),
}

fn went_away(why: &str) -> Problem {
    Problem {
        is_unanswered: true,
        ..Problem::inner(format!(
            "the engine that held this home went away before it answered ({why}); what was asked may or may not be \
             done\nhelp: `weir runs` and `weir show` tell"
        ))
    }
}
