//! `weir diagnose`: the catalogue over any log.

use std::fmt::Write as _;
use std::io::{BufRead as _, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use weir_core::catalogue::{Catalogue, Entry};
use weir_core::diagnose::{Diagnosis, Known, Match, Matcher, Patterns, draft_entry};
use weir_core::outcome::ErrorClass;
use weir_engine::api::Request;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::catalogue::then_words;
use crate::end::{End, Ended, wrong};
use crate::logs;
use crate::shipped;
use crate::style::Style;
use crate::terminal::clean;
use crate::view::Run;

/// What is searched, and what is known of its end.
struct Searched {
    name: String,
    job_type: Option<String>,
    exit: Option<i32>,
    class: Option<ErrorClass>,
    message: String,
}

pub(crate) async fn diagnose(global: &Global, args: args::Diagnose) -> Ended {
    let path = Path::new(&args.what);
    let run = args.what.parse::<i64>().ok().filter(|_| !path.exists());
    if !args.draft.is_empty() {
        return draft(&args);
    }
    let library = shipped::library(&access::home_path(global)?).await?;
    let found = if let Some(run) = run {
        of_run(global, &library.catalogue, &args, run).await?
    } else {
        let searched = Searched {
            name: args.what.clone(),
            job_type: args.job_type.clone(),
            exit: args.exit,
            class: None,
            message: String::new(),
        };
        let diagnosis = search(&library.catalogue, &searched, &mut *open(&args.what)?)?;
        vec![(searched, diagnosis)]
    };
    let is_known = found.iter().any(|(_, diagnosis)| diagnosis.primary.is_some());
    if global.json {
        let all: Vec<Value> = found
            .iter()
            .map(|(searched, diagnosis)| json!({ "of": searched.name, "diagnosis": diagnosis }))
            .collect();
        say!("{}", Value::from(all))?;
    } else {
        for (searched, diagnosis) in &found {
            say_text!(
                "{}",
                text(&searched.name, diagnosis, &library.catalogue, Style::for_stdout(global))
            )?;
        }
        if found.is_empty() && !global.quiet {
            say!("no job of run {} has failed", args.what)?;
        }
    }
    Ok(if is_known || found.is_empty() { End::Done } else { End::Failed })
}

fn open(what: &str) -> anyhow::Result<Box<dyn Read>> {
    if what == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = std::fs::File::open(what)
        .map_err(|error| wrong(format!("{what} can't be read: {error}")))?;
    Ok(Box::new(file))
}

/// Each failed job of a run, by its last attempt.
async fn of_run(
    global: &Global,
    catalogue: &Catalogue,
    args: &args::Diagnose,
    id: i64,
) -> anyhow::Result<Vec<(Searched, Diagnosis)>> {
    let mut access = Access::open(global, &format!("weir diagnose {id}"), Purpose::Look).await?;
    let shown = access.ask(Request::Show { run: id }).await;
    let mut files = Vec::new();
    if let Ok(shown) = &shown {
        let run = Run::read(shown)?;
        for task in run.failed().filter(|task| !task.attempts.is_empty()) {
            let file = logs::file_of(&mut access, id, &task.path).await;
            let raw = shown["run"]["tasks"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|raw| raw["path"] == *task.path);
            let last =
                raw.and_then(|raw| raw["attempts"].as_array()?.last().cloned()).unwrap_or_default();
            let searched = Searched {
                name: task.path.clone(),
                job_type: args.job_type.clone().or_else(|| task.uses.clone()),
                exit: args.exit.or_else(|| logs::number(&last["exit_code"])),
                class: last["error_class"].as_str().and_then(ErrorClass::named),
                message: last["message"].as_str().unwrap_or_default().to_owned(),
            };
            files.push((searched, file));
        }
    }
    access.close().await?;
    shown?;
    let mut found = Vec::new();
    for (searched, file) in files {
        // A job without a log may still have said why it failed.
        let mut log: Box<dyn Read> = match std::fs::File::open(file?) {
            Ok(file) => Box::new(file),
            Err(_) => Box::new(std::io::empty()),
        };
        let diagnosis = search(catalogue, &searched, &mut *log)?;
        found.push((searched, diagnosis));
    }
    Ok(found)
}

fn search(
    catalogue: &Catalogue,
    searched: &Searched,
    log: &mut dyn Read,
) -> anyhow::Result<Diagnosis> {
    let entries: Vec<&Arc<Entry>> = match &searched.job_type {
        Some(job_type) => catalogue.of_type(job_type).collect(),
        None => catalogue.entries().iter().collect(),
    };
    let patterns = Patterns::new(entries.into_iter().map(|entry| Known::from(&**entry)).collect())?;
    let mut matcher = Matcher::new(Arc::new(patterns));
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count =
            log.read(&mut piece).with_context(|| format!("{} can't be read", searched.name))?;
        if count == 0 {
            break;
        }
        matcher.feed(&piece[..count]);
    }
    if !searched.message.is_empty() {
        matcher.feed(b"\n");
        matcher.feed(searched.message.as_bytes());
        matcher.feed(b"\n");
    }
    Ok(matcher.finish(searched.exit, searched.class))
}

fn text(name: &str, diagnosis: &Diagnosis, catalogue: &Catalogue, style: Style) -> String {
    let mut out = String::new();
    match &diagnosis.primary {
        Some(found) => add_primary(&mut out, name, found, catalogue.get(&found.id), style),
        None => {
            let _ = writeln!(out, "{}: nothing known was found", style.strong(name));
        }
    }
    if let Some(line) = diagnosis.cut_at_marker {
        let _ = writeln!(out, "  what stands from line {line} on comes after the failure");
    }
    for other in &diagnosis.others {
        let _ = writeln!(
            out,
            "  {} {} ({}), {}",
            style.faint("also"),
            other.id,
            other.rank.name(),
            place(other)
        );
    }
    out
}

fn add_primary(
    out: &mut String,
    name: &str,
    found: &Match,
    entry: Option<&Arc<Entry>>,
    style: Style,
) {
    let title = entry.map(|entry| entry.title.as_str()).unwrap_or_default();
    let _ = writeln!(out, "{}: {} {title}", style.strong(name), style.bad(&found.id));
    let _ = writeln!(out, "  {}", place(found));
    for (name, value) in &found.captures {
        let _ = writeln!(out, "  {} = {}", name, clean(value.as_bytes()));
    }
    let Some(entry) = entry else { return };
    let _ = writeln!(out, "  {}", entry.diagnosis.trim());
    for (number, step) in entry.advice.iter().enumerate() {
        let _ = writeln!(out, "    {}. {step}", number + 1);
    }
    if let Some(confirm) = &entry.confirm {
        let _ = writeln!(out, "  {} {confirm}", style.warn("weigh first:"));
    }
    let jobs: Vec<&str> = entry.jobs.iter().map(|job| job.name.as_str()).collect();
    let remedy = if jobs.is_empty() { String::new() } else { format!("{}, ", jobs.join(", ")) };
    let _ = writeln!(
        out,
        "  {}",
        style.faint(&format!("remedy: {remedy}then {}", then_words(&entry.then)))
    );
}

fn place(found: &Match) -> String {
    let often = if found.count > 1 { format!(", {} times", found.count) } else { String::new() };
    match found.line {
        0 => format!("by its exit code or class{often}"),
        line => format!("line {line}{often}: {}", clean(found.text.as_bytes())),
    }
}

/// A draft of a new entry from chosen lines.
fn draft(args: &args::Diagnose) -> Ended {
    if args.draft.contains(&0) {
        return Err(wrong("lines count from 1"));
    }
    let mut lines: Vec<(u64, String)> = Vec::new();
    let reader = std::io::BufReader::new(open(&args.what)?);
    for (number, line) in (1..).zip(reader.split(b'\n')) {
        let line = line.with_context(|| format!("{} can't be read", args.what))?;
        if args.draft.contains(&number) {
            lines.push((number, clean(&line)));
        }
    }
    if let Some(missing) =
        args.draft.iter().find(|number| lines.iter().all(|(found, _)| found != *number))
    {
        return Err(wrong(format!("{} has no line {missing}", args.what)));
    }
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    say_text!("{}", draft_entry(&texts))?;
    Ok(End::Done)
}
