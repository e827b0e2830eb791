//! `weir events`.

use serde::Deserialize as _;
use serde_json::Value;
use weir_engine::api::Request;

use crate::access::{Access, Purpose, Watch};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::lines;
use crate::style::{Look, Style};
use crate::view::{Event, local};

/// How many are asked for at once.
const PAGE: u64 = 1000;

pub(crate) async fn events(global: &Global, args: args::Events) -> Ended {
    let command = format!("weir events {}", args.run);
    let purpose = if args.follow { Purpose::Move } else { Purpose::Look };
    let mut access = Access::open(global, &command, purpose).await?;
    let told = if args.follow {
        follow(global, &mut access, &args).await
    } else {
        list(global, &mut access, &args).await
    };
    access.close().await?;
    told?;
    Ok(End::Done)
}

async fn list(global: &Global, access: &mut Access, args: &args::Events) -> anyhow::Result<()> {
    let mut after = args.after;
    loop {
        let page = access.ask(Request::Events { run: args.run, after, limit: PAGE }).await?;
        let page = page.as_array().cloned().unwrap_or_default();
        for event in &page {
            print_event(global, event)?;
        }
        let last = page.last().and_then(|event| event["seq"].as_i64());
        match last {
            Some(seq) if page.len() as u64 == PAGE => after = seq,
            Some(_) | None => return Ok(()),
        }
    }
}

async fn follow(global: &Global, access: &mut Access, args: &args::Events) -> anyhow::Result<()> {
    let mut last = args.after;
    let mut watch = watch_from(global, access, args.run, last).await?;
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Ok(Some(event)) => {
                    last = event["seq"].as_i64().unwrap_or(last);
                    print_event(global, &event)?;
                }
                Ok(None) => return Ok(()),
                Err(problem) if access.is_local() => return Err(problem.into()),
                // The engine that held the home is gone, perhaps because the run has ended.
                Err(_) => {
                    *access = open_to_follow(global, args.run).await?;
                    watch = watch_from(global, access, args.run, last).await?;
                }
            },
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
    }
}

async fn open_to_follow(global: &Global, run: i64) -> anyhow::Result<Access> {
    Access::open(global, &format!("weir events {run}"), Purpose::Move).await
}

/// A watch at whoever holds the home: one that leaves is not waited for.
async fn watch_from(
    global: &Global,
    access: &mut Access,
    run: i64,
    after: i64,
) -> anyhow::Result<Watch> {
    loop {
        match access.watch(run, after).await {
            Err(problem) if problem.is_leaving && !access.is_local() => {
                *access = open_to_follow(global, run).await?;
            }
            watch => return Ok(watch?),
        }
    }
}

/// One event a line: JSON, or words.
fn print_event(global: &Global, value: &Value) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if global.json {
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "{}", line(&Event::deserialize(value)?, Style::for_stdout(global)))?;
    }
    Ok(())
}

fn line(event: &Event, style: Style) -> String {
    let look = Look::of(event.kind.trim_start_matches("run-").trim_start_matches("attempt-"));
    let mut line = format!("{:>5}  {}  ", event.seq, style.faint(&local(event.at)));
    line.push_str(&style.look(look, &event.kind));
    if let Some(path) = &event.path {
        line.push(' ');
        line.push_str(path);
    }
    if let Some(attempt) = event.attempt.filter(|attempt| *attempt > 0) {
        add!(line, " #{attempt}");
    }
    if let Some(words) = lines::words(&event.detail) {
        add!(line, ": {words}");
    }
    if let Some(by) = &event.by {
        add!(line, " (by {by})");
    }
    line
}
