//! Logs that a server sends.

use std::io::Write as _;
use std::sync::Arc;

use serde::Deserialize as _;
use tokio::sync::mpsc;
use weir_core::time::Timestamp;
use weir_engine::api::{Problem, Request};
use weir_web::client::{Client, LogBytes, LogQuery};

use super::{Shown, ask, prefixed, wait_for};
use crate::access::Access;
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::style::Style;
use crate::view::{Event, Run, time_of_day};

pub(super) async fn logs(
    global: &Global,
    access: Access,
    client: &Arc<Client>,
    args: &args::Logs,
    shown: Shown,
) -> Ended {
    match &args.job {
        Some(job) => one(global, access, client, args, job, shown).await,
        None if args.follow => follow_all(&access, client, args.run, shown).await,
        None => all(global, access, client, args.run, shown).await,
    }
}

async fn one(
    global: &Global,
    mut access: Access,
    client: &Client,
    args: &args::Logs,
    path: &str,
    shown: Shown,
) -> Ended {
    let mut found = ask(&mut access, args.run, path, args.attempt).await;
    if args.follow && found.is_err() {
        let mut events = access.watch(args.run, 0).await?;
        found = wait_for(&mut access, &mut events, args, path).await;
    }
    let log = found?;
    let query = query(shown, log.attempt, args.follow);
    let mut bytes = client.log(args.run, path, &query).await?;
    let mut dress = Dress::new(shown);
    let mut is_empty = true;
    loop {
        let piece = tokio::select! {
            piece = bytes.next() => piece?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(End::Done);
            }
        };
        let Some(piece) = piece else { break };
        is_empty = false;
        print(&dress.put(piece))?;
    }
    if is_empty && !args.follow && !global.quiet {
        tell!("attempt {} of `{path}` wrote no log", log.attempt);
    }
    Ok(End::Done)
}

/// The logs of all tasks that have one, in the run's order.
async fn all(
    global: &Global,
    mut access: Access,
    client: &Client,
    run: i64,
    shown: Shown,
) -> Ended {
    let tasks = Run::read(&access.ask(Request::Show { run }).await?)?.tasks;
    let style = Style::for_stdout(global);
    let mut is_first = true;
    for task in tasks {
        let Some(attempt) = task.attempts.last() else { continue };
        let query = query(shown, attempt.number, false);
        let mut bytes = client.log(run, &task.path, &query).await?;
        let mut dress = Dress::new(shown);
        let mut has_head = false;
        while let Some(piece) = bytes.next().await? {
            if !has_head {
                let gap = if is_first { "" } else { "\n" };
                let head = format!("==> {}, attempt {} <==", task.path, attempt.number);
                say!("{gap}{}", style.strong(&head))?;
                has_head = true;
                is_first = false;
            }
            print(&dress.put(piece))?;
        }
    }
    if is_first && !global.quiet {
        tell!("no task of run {run} has written a log");
    }
    Ok(End::Done)
}

/// The logs of all tasks as they grow, each line behind its task's path, until the run has ended.
async fn follow_all(access: &Access, client: &Arc<Client>, run: i64, shown: Shown) -> Ended {
    let mut events = access.watch(run, 0).await?;
    let (sink, mut lines) = mpsc::channel::<Vec<u8>>(64);
    let printing = tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            print(&line)?;
        }
        std::io::Result::Ok(())
    });
    let mut followers = tokio::task::JoinSet::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(End::Done);
            }
        };
        let Some(event) = event else { break };
        let event = Event::deserialize(&event)?;
        if let (Some(path), "launching") = (event.path, event.kind.as_str()) {
            let query = query(shown, event.attempt.unwrap_or(1), true);
            let (client, sink) = (Arc::clone(client), sink.clone());
            followers.spawn(async move {
                let bytes = client.log(run, &path, &query).await?;
                follow_lines(&path, bytes, Dress::new(shown), sink).await
            });
        }
    }
    while let Some(followed) = followers.join_next().await {
        followed??;
    }
    drop(sink);
    printing.await??;
    Ok(End::Done)
}

async fn follow_lines(
    path: &str,
    mut bytes: LogBytes,
    mut dress: Dress,
    sink: mpsc::Sender<Vec<u8>>,
) -> Result<(), Problem> {
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = bytes.next().await? {
        rest.extend_from_slice(&dress.put(piece));
        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            // Whoever took the lines is gone: nothing is left to do with them.
            let _ = sink.send(prefixed(path, &whole)).await;
        }
    }
    if !rest.is_empty() {
        rest.push(b'\n');
        let _ = sink.send(prefixed(path, &rest)).await;
    }
    Ok(())
}

fn query(shown: Shown, attempt: u32, follow: bool) -> LogQuery {
    LogQuery { attempt: Some(attempt), tail: shown.tail, times: shown.times, follow }
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Makes the times before the lines those of the person's clock.
struct Dress {
    /// What has come of a line's time, where there are times and the line's is not whole yet.
    time: Option<Vec<u8>>,
    has_times: bool,
}

impl Dress {
    fn new(shown: Shown) -> Self {
        Self { time: shown.times.then(Vec::new), has_times: shown.times }
    }

    fn put(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.has_times {
            return bytes;
        }
        let mut out = Vec::with_capacity(bytes.len());
        for mut line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(time) = &mut self.time {
                let end = line.iter().position(|byte| *byte == b' ');
                time.extend_from_slice(&line[..end.unwrap_or(line.len())]);
                let Some(end) = end else { continue };
                let known = std::str::from_utf8(time).ok().and_then(|at| Timestamp::parse(at).ok());
                let shown =
                    known.map_or_else(|| " ".repeat(9), |at| format!("{} ", time_of_day(at)));
                out.extend_from_slice(shown.as_bytes());
                line = &line[end + 1..];
                self.time = None;
            }
            out.extend_from_slice(line);
            if line.ends_with(b"\n") {
                self.time = Some(Vec::new());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_come_in_pieces() {
        let mut dress = Dress::new(Shown { tail: None, times: true });
        let mut out = Vec::new();
        for piece in ["2026-03-01T12:", "00:00Z one\n- t", "wo\n-", " \n2026-03-01T12:00:01Z three"]
        {
            out.extend(dress.put(piece.as_bytes().to_vec()));
        }
        let out = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].ends_with(":00:00 one"), "{out}");
        assert_eq!(lines[1..3], ["         two", "         "]);
        assert!(lines[3].ends_with(":00:01 three"), "{out}");
    }
}
