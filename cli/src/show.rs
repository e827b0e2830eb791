//! `weir show`.

use weir_core::time::Timestamp;
use weir_engine::api::Request;
use weir_engine::engine::wall_clock;

use crate::access::{Access, Purpose};
use crate::args::{self, Global};
use crate::attend;
use crate::draw::{self, Room};
use crate::end::{End, Ended};
use crate::style::{Look, Style};
use crate::summary::add_diagnosis;
use crate::terminal::Terminal;
use crate::view::{Run, Task, local, span};

pub(crate) async fn show(global: &Global, args: args::Show) -> Ended {
    let command = format!("weir show {}", args.run);
    let purpose = if args.watch { Purpose::Move } else { Purpose::Look };
    let mut access = Access::open(global, &command, purpose).await?;
    if args.watch {
        return attend::attend(global, access, &command, args.run, Timestamp::ZERO).await;
    }
    let shown = access.ask(Request::Show { run: args.run }).await;
    access.close().await?;
    let shown = shown?;
    if global.json {
        say!("{shown}")?;
    } else {
        let (columns, _) = Terminal::size();
        say_text!(
            "{}",
            text(&Run::read(&shown)?, wall_clock(), columns, Style::for_stdout(global))
        )?;
    }
    Ok(End::Done)
}

/// A run for people: its head, its tree, and what there is to say of each task that went wrong, was tried again or asks.
pub(crate) fn text(run: &Run, now: Timestamp, columns: usize, style: Style) -> String {
    let mut out = String::new();
    let room = Room { columns: columns.max(60), lines: usize::MAX };
    let mut lines =
        draw::tree(run, &std::collections::BTreeMap::new(), now, room, style).into_iter();
    out.push_str(&lines.next().unwrap_or_default());
    out.push('\n');
    for (name, value) in facts(run) {
        add!(out, "  {} {value}\n", style.faint(&format!("{name:<9}")));
    }
    out.push('\n');
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    for task in run.tasks.iter().filter(|task| says_more(task)) {
        add_task(&mut out, task, now, style);
    }
    out
}

fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(reason) = &run.reason {
        facts.push(("reason", reason.clone()));
    }
    facts.push(("version", run.version.chars().take(12).collect()));
    if let Some(origin) = run.origin {
        facts.push(("rerun of", format!("run {origin}")));
    }
    if let Some(parent) = &run.parent {
        facts.push(("begun by", format!("attempt {parent}")));
    }
    facts.push(("by", run.by.clone()));
    facts.push(("begun", local(run.started_at.unwrap_or(run.created_at))));
    if let Some(ended) = run.ended_at {
        facts.push(("ended", local(ended)));
    }
    if !run.params.is_empty() {
        let params: Vec<String> =
            run.params.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        facts.push(("params", params.join(" ")));
    }
    facts
}

/// A value as a person would type it.
pub(crate) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => crate::summary::quoted(text),
        other => other.to_string(),
    }
}

fn says_more(task: &Task) -> bool {
    let went_awry = task.has_failed() || task.state == "asking" || task.attempts.len() > 1;
    !task.is_group() && (went_awry || !task.diagnoses.is_empty() || !task.outputs.is_empty())
}

fn add_task(out: &mut String, task: &Task, now: Timestamp, style: Style) {
    let look = Look::of(&task.state);
    add!(
        out,
        "\n{} {} {}",
        style.look(look, style.mark(look)),
        style.strong(&task.path),
        style.look(look, &task.state)
    );
    if let Some(reason) = &task.reason {
        add!(out, ": {reason}");
    }
    out.push('\n');
    if task.attempts.len() > 1 || task.has_failed() {
        for attempt in &task.attempts {
            let took = attempt
                .ended_at
                .unwrap_or(now)
                .since(attempt.started_at)
                .as_millis()
                .try_into()
                .unwrap_or(u64::MAX);
            let message =
                attempt.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            add!(out, "  attempt {} {} ({}){message}\n", attempt.number, attempt.state, span(took));
        }
    }
    for diagnosis in &task.diagnoses {
        add_diagnosis(out, diagnosis, style);
    }
    for (name, value) in &task.outputs {
        let text = plain(value);
        let text =
            crate::terminal::cut(&crate::terminal::clean(text.as_bytes()), 200, style.ellipsis());
        add!(out, "  {name} = {text}\n");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_shown_with_all_there_is_to_say() {
        let shown = json!({ "run": {
            "id": 7, "project": "tap", "flow": "nightly", "version": "0123456789abcdef0123", "state": "failed", "origin": 5,
            "by": "ann", "params": { "day": "2026-01-01", "password": "***", "n": 3 },
            "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00Z",
            "tasks": [
                { "path": "fetch", "state": "succeeded", "uses": "command", "outputs": { "file": "/tmp/a b", "rows": 3 },
                  "attempts": [{ "number": 1, "state": "succeeded", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:02Z" }] },
                { "path": "all", "state": "failed", "reason": "something in it failed" },
                { "path": "all/load", "depth": 1, "state": "failed", "uses": "command", "reason": "exit code 1",
                  "attempts": [
                    { "number": 1, "state": "failed", "message": "exit code 75", "started_at": "2026-01-01T00:00:02Z", "ended_at": "2026-01-01T00:00:12Z" },
                    { "number": 2, "state": "failed", "message": "exit code 1", "started_at": "2026-01-01T00:00:22Z", "ended_at": "2026-01-01T00:01:00Z" }],
                  "diagnoses": [{ "signature": "load.recover[0]", "attempt": 1, "then": "retry", "result": "failed",
                    "evidence": { "diagnosis": "It hung up.", "advice": [], "line": 2, "text": "hung up" } }] },
                { "path": "report", "state": "skipped", "uses": "command", "reason": "something it needs failed" },
            ],
        }});
        let run = Run::read(&shown).expect("a run");
        let told = text(&run, Timestamp::ZERO, 80, Style::plain());
        // The person's time zone is not ours to know.
        let told: Vec<&str> = told
            .lines()
            .filter(|line| !line.contains("begun ") && !line.contains("ended "))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
