//! `weir logs`: bytes as they were written, to standard output.

mod from_server;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_engine::api::{Problem, Request};
use weir_engine::home::Home;
use weir_engine::logs::{Follow, Reader};

use crate::access::{Access, Purpose, Watch, home_path};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::style::Style;
use crate::view::{Event, Run, time_of_day};

/// How much is read at once, in bytes.
const PIECE: u64 = 256 * 1024;

/// What is printed of a log.
#[derive(Clone, Copy, Debug)]
struct Shown {
    tail: Option<usize>,
    times: bool,
}

/// The log of one attempt.
#[derive(Clone, Debug)]
struct Log {
    folder: PathBuf,
    attempt: u32,
    is_open: bool,
}

pub(crate) async fn logs(global: &Global, args: args::Logs) -> Ended {
    let access = Access::open(global, &format!("weir logs {}", args.run), Purpose::Look).await?;
    let shown = Shown { tail: args.tail, times: args.times };
    if let Access::Server(client) = &access {
        let client = std::sync::Arc::clone(client);
        return from_server::logs(global, access, &client, &args, shown).await;
    }
    match args.job.clone() {
        Some(job) => one(global, access, &args, &job, shown).await,
        None if args.follow && !access.is_local() => {
            follow_all(global, &access, args.run, shown).await
        }
        None => all(global, access, &args, shown).await,
    }
}

async fn ask(
    access: &mut Access,
    run: i64,
    path: &str,
    attempt: Option<u32>,
) -> Result<Log, Problem> {
    let answer = access.ask(Request::Log { run, path: path.to_owned(), attempt }).await?;
    Ok(Log {
        folder: PathBuf::from(answer["folder"].as_str().unwrap_or_default()),
        attempt: answer["attempt"]
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0),
        is_open: answer["open"].as_bool().unwrap_or(false),
    })
}

async fn one(
    global: &Global,
    mut access: Access,
    args: &args::Logs,
    path: &str,
    shown: Shown,
) -> Ended {
    let mut found = ask(&mut access, args.run, path, args.attempt).await;
    let mut watch = None;
    if args.follow && !access.is_local() {
        // From here on no end is missed.
        let mut events = access.watch(args.run, 0).await?;
        if found.is_err() {
            found = wait_for(&mut access, &mut events, args, path).await;
        }
        watch = Some(events);
    }
    // Files are read from here on: whoever wants the home may have it.
    access.close().await?;
    let log = found?;
    if !args.follow || !log.is_open {
        if !print(&log.folder, shown)? && !global.quiet {
            tell!("attempt {} of `{path}` wrote no log", log.attempt);
        }
        return Ok(End::Done);
    }
    if watch.is_none() && !global.quiet {
        tell!("nobody moves run {0} now: `weir show {0} --watch` takes it up", args.run);
    }
    let (over, is_over) = oneshot::channel();
    let ended = async {
        if let Some(mut events) = watch {
            wait_for_end(&mut events, path, log.attempt).await;
            let _ = over.send(());
        }
        std::future::pending::<()>().await;
    };
    let mut printer = Printer::new(&log.folder, shown)?;
    tokio::select! {
        result = follow(&log.folder, printer.start, is_over, |offset, bytes| printer.print(offset, &bytes)) => result?,
        () = ended => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(End::Done)
}

/// Waits until the task has begun.
async fn wait_for(
    access: &mut Access,
    events: &mut Watch,
    args: &args::Logs,
    path: &str,
) -> Result<Log, Problem> {
    loop {
        let event = events.next().await?;
        let is_its = event
            .as_ref()
            .is_some_and(|event| event["path"] == path && event["attempt"].as_u64() > Some(0));
        if is_its || event.is_none() {
            match ask(access, args.run, path, args.attempt).await {
                Ok(log) => return Ok(log),
                Err(problem) if event.is_none() => return Err(problem),
                Err(_) => {}
            }
        }
    }
}

/// Waits until an attempt has ended, or its run has.
async fn wait_for_end(events: &mut Watch, path: &str, attempt: u32) {
    while let Ok(Some(event)) = events.next().await {
        if let Ok(event) = Event::deserialize(&event)
            && event.path.as_deref() == Some(path)
            && event.attempt >= Some(attempt)
            && !matches!(
                event.kind.as_str(),
                "launching" | "running" | "unreachable" | "cancelling" | "not-ended" | "late"
            )
            && !(event.attempt == Some(attempt)
                && matches!(event.kind.as_str(), "waiting" | "ready" | "asking"))
        {
            return;
        }
    }
}

/// Hands out a log as it grows, until its work or its task has ended.
async fn follow(
    folder: &Path,
    start: u64,
    mut is_over: oneshot::Receiver<()>,
    mut take: impl FnMut(u64, Vec<u8>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut log = Follow::new(folder, start);
    loop {
        let offset = log.offset();
        tokio::select! {
            biased;
            piece = log.next() => match piece? {
                Some(bytes) => take(offset, bytes)?,
                None => return Ok(()),
            },
            Ok(()) = &mut is_over => {
                let offset = log.offset();
                return take(offset, log.rest()?);
            }
        }
    }
}

/// Prints a log as it is; whether there was one.
fn print(folder: &Path, shown: Shown) -> std::io::Result<bool> {
    let mut reader = match Reader::open(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut printer = Printer::new(folder, shown)?;
    let (mut at, size) = (printer.start, reader.size()?);
    while at < size {
        let end = size.min(at + PIECE);
        printer.print(at, &reader.read(at..end)?)?;
        at = end;
    }
    Ok(size > 0)
}

/// Writes to standard output, with times if they are asked for.
struct Printer {
    reader: Option<Reader>,
    folder: PathBuf,
    times: bool,
    start: u64,
    is_line_start: bool,
}

impl Printer {
    fn new(folder: &Path, shown: Shown) -> std::io::Result<Self> {
        let mut reader = Reader::open(folder).ok();
        let start = match (&mut reader, shown.tail) {
            (Some(reader), Some(lines)) => reader.tail_start(lines)?,
            (None, _) | (_, None) => 0,
        };
        Ok(Self {
            reader,
            folder: folder.to_owned(),
            times: shown.times,
            start,
            is_line_start: true,
        })
    }

    fn print(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.times {
            out.write_all(bytes)?;
            return out.flush();
        }
        let mut at = offset;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_line_start {
                out.write_all(self.time_at(at).as_bytes())?;
            }
            out.write_all(line)?;
            self.is_line_start = line.ends_with(b"\n");
            at += line.len() as u64;
        }
        out.flush()
    }

    fn time_at(&mut self, offset: u64) -> String {
        if self.reader.is_none() {
            self.reader = Reader::open(&self.folder).ok();
        }
        let known = self.reader.as_mut().and_then(|reader| reader.time_at(offset).ok().flatten());
        known.map_or_else(|| "         ".to_owned(), |at| format!("{} ", time_of_day(at)))
    }
}

/// The logs of all tasks that have one, in the run's order.
async fn all(global: &Global, mut access: Access, args: &args::Logs, shown: Shown) -> Ended {
    let run = access.ask(Request::Show { run: args.run }).await;
    let mut found = Vec::new();
    if let Ok(run) = &run {
        for task in Run::read(run)?.tasks.into_iter().filter(|task| !task.attempts.is_empty()) {
            if let Ok(log) = ask(&mut access, args.run, &task.path, None).await {
                found.push((task.path, log));
            }
        }
    }
    access.close().await?;
    run?;
    let style = Style::for_stdout(global);
    let mut is_first = true;
    for (path, log) in found {
        if std::fs::metadata(log.folder.join("log")).is_ok_and(|file| file.len() > 0) {
            let gap = if is_first { "" } else { "\n" };
            say!("{gap}{}", style.strong(&format!("==> {path}, attempt {} <==", log.attempt)))?;
            print(&log.folder, shown)?;
            is_first = false;
        }
    }
    if is_first && !global.quiet {
        tell!("no task of run {} has written a log", args.run);
    }
    Ok(End::Done)
}

/// The logs of all tasks as they grow, each line behind its task's path, until the run has ended.
async fn follow_all(global: &Global, access: &Access, run: i64, shown: Shown) -> Ended {
    let home = Home::open(&home_path(global)?)?;
    let mut events = access.watch(run, 0).await?;
    let (sink, mut lines) = mpsc::channel::<Vec<u8>>(64);
    let printing = tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            let mut out = std::io::stdout().lock();
            out.write_all(&line).and_then(|()| out.flush())?;
        }
        std::io::Result::Ok(())
    });
    let mut open: BTreeMap<String, oneshot::Sender<()>> = BTreeMap::new();
    let mut followers = tokio::task::JoinSet::new();
    let mut is_over = false;
    let problem = loop {
        let event = tokio::select! {
            event = events.next() => event,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(End::Done);
            }
        };
        let raw = match event {
            Ok(Some(event)) => event,
            Ok(None) => break None,
            // The engine may end with the run.
            Err(problem) => break Some(problem).filter(|_| !is_over),
        };
        let event = Event::deserialize(&raw)?;
        is_over = matches!(event.kind.as_str(), "run-succeeded" | "run-failed" | "run-cancelled");
        let (Some(path), Some(task)) = (event.path, raw["task"].as_u64()) else { continue };
        match event.kind.as_str() {
            "launching" => {
                let id = AttemptId {
                    run: RunId(run),
                    task: TaskIx(u32::try_from(task).unwrap_or(u32::MAX)),
                    number: event.attempt.unwrap_or(1),
                };
                let folder = weir_engine::engine::attempt_folder(&home, id);
                let (over, has_ended) = oneshot::channel();
                open.insert(path.clone(), over);
                let sink = sink.clone();
                followers.spawn(async move {
                    follow_lines(&path, &folder, shown, has_ended, sink).await
                });
            }
            "running" | "unreachable" | "cancelling" | "not-ended" | "late" | "added" => {}
            _ => drop(open.remove(&path).map(|over| over.send(()))),
        }
    };
    for (_, over) in open {
        let _ = over.send(());
    }
    while let Some(followed) = followers.join_next().await {
        followed??;
    }
    drop(sink);
    printing.await??;
    problem.map_or(Ok(End::Done), |problem| Err(problem.into()))
}

async fn follow_lines(
    path: &str,
    folder: &Path,
    shown: Shown,
    is_over: oneshot::Receiver<()>,
    sink: mpsc::Sender<Vec<u8>>,
) -> std::io::Result<()> {
    // An attempt that is only being launched has no log yet: it is followed from its first byte.
    let start = Printer::new(folder, shown).map_or(0, |printer| printer.start);
    let (pieces, mut more) = mpsc::unbounded_channel::<Vec<u8>>();
    let following = follow(folder, start, is_over, move |_, bytes| {
        // Whoever took the lines is gone: nothing is left to do with them.
        let _ = pieces.send(bytes);
        Ok(())
    });
    let splitting = async {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(bytes) = more.recv().await {
            rest.extend_from_slice(&bytes);
            if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
                let whole: Vec<u8> = rest.drain(..=end).collect();
                let _ = sink.send(prefixed(path, &whole)).await;
            }
        }
        if !rest.is_empty() {
            rest.push(b'\n');
            let _ = sink.send(prefixed(path, &rest)).await;
        }
    };
    tokio::join!(following, splitting).0
}

fn prefixed(path: &str, lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 2);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" | ");
        out.extend_from_slice(line);
    }
    out
}

/// The log file of an attempt, for searching it.
///
/// # Errors
/// There is no such attempt.
pub(crate) async fn file_of(access: &mut Access, run: i64, path: &str) -> Result<PathBuf, Problem> {
    if let Access::Server(client) = access {
        return Err(Problem::call(format!(
            "the logs of run {run} are at {}\nhelp: `weir logs {run} JOB | weir diagnose -` searches one of them here",
            client.place()
        )));
    }
    Ok(ask(access, run, path, None).await?.folder.join("log"))
}

/// A value of a JSON object as a number, if it is one.
pub(crate) fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok())
}
