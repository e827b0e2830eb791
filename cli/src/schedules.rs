//! `weir schedules`, `weir next` and `weir backfill`: when flows run by themselves.

use anyhow::Context as _;
use serde_json::Value;
use weir_core::time::Timestamp;
use weir_engine::api::Request;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::flow_file::{self, Flow};
use crate::style::{Look, Style};
use crate::terminal::width;
use crate::view::local;

pub(crate) async fn schedules(global: &Global, args: args::Schedules) -> Ended {
    match args.what {
        None => list(global, args).await,
        Some(args::SchedulesCommand::Pause { flow, id }) => pause(global, flow, id, true).await,
        Some(args::SchedulesCommand::Resume { flow, id }) => pause(global, flow, id, false).await,
    }
}

async fn list(global: &Global, args: args::Schedules) -> Ended {
    let mut access = Access::open(global, "weir schedules", Purpose::Look).await?;
    let request = Request::Schedules { project: args.project, flow: args.flow };
    let found = access.ask(request).await;
    let flows = access.ask(Request::Flows).await;
    access.close().await?;
    let found = found?;
    if global.json {
        say!("{found}")?;
        return Ok(End::Done);
    }
    let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() && !global.quiet {
        tell!("no schedules; `weir serve --flows DIR` puts those of a folder in effect");
    }
    say_text!("{}", table(rows, Style::for_stdout(global)))?;
    for flow in flows?.as_array().into_iter().flatten() {
        if let (Some(error), false) = (flow["error"].as_str(), global.quiet) {
            tell!("{} is not taken:\n{}", text(flow, "file"), error.trim_end());
        }
    }
    Ok(End::Done)
}

fn table(rows: &[Value], style: Style) -> String {
    let name = |row: &Value| format!("{} {}", flow_name(row), text(row, "schedule"));
    let names = rows.iter().map(|row| width(&name(row))).max().unwrap_or(0);
    let specs = rows.iter().map(|row| width(&spec_words(&row["spec"]))).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let (name, spec) = (name(row), spec_words(&row["spec"]));
        let state = text(row, "state");
        let next = match (row["next_due"].as_str(), state) {
            (Some(due), _) => {
                let here = Timestamp::parse(due).map(local).unwrap_or_default();
                format!("next {here} ({})", text(row, "next_local"))
            }
            (None, "paused") => format!("paused by {}", text(row, "paused_by")),
            (None, "active") => "waits".to_owned(),
            (None, state) => state.to_owned(),
        };
        let mut line = format!(
            "{name}{}  {spec}{}  {next}",
            " ".repeat(names - width(&name)),
            " ".repeat(specs - width(&spec))
        );
        let last = &row["last"];
        if let Some(run) = last["run"].as_i64() {
            let state = last["run_state"].as_str().unwrap_or_default();
            let look = Look::of(state);
            add!(
                line,
                "  last run {run} {}",
                style.look(look, &format!("{} {state}", style.mark(look)))
            );
        } else if let Some(outcome) = last["outcome"].as_str() {
            add!(line, "  last {outcome}: {}", text(last, "reason"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn flow_name(row: &Value) -> String {
    match (text(row, "project"), text(row, "flow")) {
        ("", flow) => flow.to_owned(),
        (project, flow) => format!("{project}/{flow}"),
    }
}

/// What makes it run: `cron 0 2 * * * Asia/Shanghai`.
fn spec_words(spec: &Value) -> String {
    for key in ["cron", "every", "at", "after-flow", "file"] {
        if let Some(value) = spec[key].as_str() {
            let zone = spec["timezone"].as_str().filter(|_| key == "cron").unwrap_or_default();
            return format!("{key} {value} {zone}").trim_end().to_owned();
        }
    }
    String::new()
}

async fn pause(global: &Global, flow: String, id: String, is_paused: bool) -> Ended {
    let by = access::asker();
    let (request, words) = if is_paused {
        let words = format!("`{id}` of {flow} is paused");
        (Request::PauseSchedule { flow, schedule: id, by }, words)
    } else {
        let words = format!("`{id}` of {flow} goes on");
        (Request::ResumeSchedule { flow, schedule: id, by }, words)
    };
    Access::once(global, "weir schedules", Purpose::Look, request).await?;
    if global.json {
        say!("null")?;
    } else if !global.quiet {
        say!("{words}")?;
    }
    Ok(End::Done)
}

/// What a person calls a flow, as the engine takes it.
fn called(global: &Global, flow: &str) -> anyhow::Result<String> {
    Ok(match flow_file::find_for(access::server(global)?.as_ref(), flow)? {
        Flow::File(path) => std::path::absolute(path)
            .context("the folder this runs in is gone")?
            .display()
            .to_string(),
        Flow::Name(name) => name,
    })
}

pub(crate) async fn next(global: &Global, args: args::Next) -> Ended {
    let flow = called(global, &args.flow)?;
    let request = Request::Next { flow, schedule: args.schedule, after: None, count: args.count };
    let found = Access::once(global, "weir next", Purpose::Look, request).await?;
    if global.json {
        say!("{found}")?;
        return Ok(End::Done);
    }
    for schedule in found.as_array().into_iter().flatten() {
        let paused = if schedule["paused"] == true { " (paused by its text)" } else { "" };
        say!("{}: {}{paused}", text(schedule, "schedule"), spec_words(&schedule["spec"]))?;
        say_text!("{}", times(&schedule["times"], None))?;
        if schedule["times"].as_array().is_some_and(Vec::is_empty) {
            let is_timed = schedule["is_timed"] == true;
            say!("  {}", if is_timed { "never again" } else { "when it happens" })?;
        }
    }
    Ok(End::Done)
}

/// Due times in both zones, with the runs that were made for them.
fn times(times: &Value, runs: Option<&[Value]>) -> String {
    let mut out = String::new();
    for (at, time) in times.as_array().into_iter().flatten().enumerate() {
        let due = Timestamp::parse(text(time, "due"));
        add!(out, "  {}  ({})", due.map(local).unwrap_or_default(), text(time, "local"));
        if let Some(run) = runs.and_then(|runs| runs.get(at)) {
            add!(out, "  run {run}");
        }
        out.push('\n');
    }
    out
}

pub(crate) async fn backfill(global: &Global, args: args::Backfill) -> Ended {
    let flow = called(global, &args.flow)?;
    let purpose = if args.preview { Purpose::Look } else { Purpose::Move };
    let request = Request::Backfill {
        flow,
        schedule: args.schedule,
        from: args.from,
        to: args.to,
        preview: args.preview,
        parallel: args.parallel,
        by: format!("backfill by {}", access::asker()),
    };
    let found = Access::once(global, "weir backfill", purpose, request).await?;
    if global.json {
        say!("{found}")?;
        return Ok(End::Done);
    }
    let runs = found["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    say_text!("{}", times(&found["times"], (!args.preview).then_some(runs)))?;
    let count = found["times"].as_array().map_or(0, Vec::len);
    let many = if count == 1 { "1 run".to_owned() } else { format!("{count} runs") };
    if !global.quiet {
        if args.preview {
            say!("{many} would begin, {} at once", args.parallel)?;
        } else {
            say!(
                "{many} of `{}`, {} at once; they go on in the background",
                text(&found, "schedule"),
                args.parallel
            )?;
        }
    }
    Ok(End::Done)
}
