//! What is told when a run has ended or asks: what failed, its last words, what is known of it, what can be done now.

use std::collections::BTreeMap;

use weir_core::time::Timestamp;

use crate::style::{Look, Style};
use crate::terminal::clean;
use crate::view::{Diagnosis, Run, Task, span};

/// Last lines of a failed job's log that are shown.
pub(crate) const LAST_LINES: usize = 8;

/// Failed jobs that are shown in full; the others by name.
pub(crate) const IN_FULL: usize = 5;

/// The end of a run in words. `last_lines` has the last lines of the tasks' logs, by their numbers.
pub(crate) fn text(
    run: &Run,
    now: Timestamp,
    last_lines: &BTreeMap<u32, Vec<String>>,
    style: Style,
) -> String {
    let mut out = String::new();
    let failed: Vec<&Task> = run.failed().collect();
    for task in failed.iter().take(IN_FULL) {
        add_failure(&mut out, run, task, last_lines, style);
    }
    if failed.len() > IN_FULL {
        let names: Vec<&str> =
            failed[IN_FULL..].iter().map(|task| task.path.as_str()).take(20).collect();
        add!(out, "{} more failed: {}\n\n", failed.len() - IN_FULL, names.join(", "));
    }
    for task in run.asking() {
        add_question(&mut out, run, task, style);
    }
    let look = Look::of(&run.state);
    let began = run.started_at.unwrap_or(run.created_at);
    let took = run.ended_at.unwrap_or(now).since(began).as_millis().try_into().unwrap_or(u64::MAX);
    let reason = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    add!(
        out,
        "{} run {} of {} {}{reason} ({})\n",
        style.look(look, style.mark(look)),
        run.id,
        run.flow_name(),
        style.look(look, &run.state),
        span(took),
    );
    for command in next_commands(run) {
        add!(out, "  {command}\n");
    }
    out
}

fn add_failure(
    out: &mut String,
    run: &Run,
    task: &Task,
    last_lines: &BTreeMap<u32, Vec<String>>,
    style: Style,
) {
    let reason = task.reason.as_deref().unwrap_or("it failed");
    let look = Look::of(&task.state);
    add!(
        out,
        "{} {} {}: {reason}\n",
        style.look(look, style.mark(look)),
        style.strong(&task.path),
        task.state
    );
    for line in last_lines.get(&task.number).into_iter().flatten() {
        add!(out, "  {} {line}\n", style.faint("|"));
    }
    if let Some(diagnosis) = task.diagnoses.last() {
        add_diagnosis(out, diagnosis, style);
    }
    if !task.attempts.is_empty() {
        add!(out, "  {}\n", style.faint(&format!("weir logs {} {}", run.id, quoted(&task.path))));
    }
    out.push('\n');
}

/// What was recognised, in lines of two blanks.
pub(crate) fn add_diagnosis(out: &mut String, diagnosis: &Diagnosis, style: Style) {
    let evidence = &diagnosis.evidence;
    add!(out, "  {}: {}\n", style.strong(&diagnosis.signature), evidence.diagnosis);
    if let (Some(line), Some(text)) = (evidence.line.filter(|line| *line > 0), &evidence.text) {
        add!(out, "    line {line}: {}\n", clean(text.as_bytes()));
    }
    for (number, step) in evidence.advice.iter().enumerate() {
        add!(out, "    {}. {step}\n", number + 1);
    }
    let result = diagnosis.result.as_ref().map(|result| format!(", {result}")).unwrap_or_default();
    add!(
        out,
        "    {}\n",
        style.faint(&format!("then {}{result} (attempt {})", diagnosis.then, diagnosis.attempt))
    );
}

fn add_question(out: &mut String, run: &Run, task: &Task, style: Style) {
    let reason = task.reason.as_deref().unwrap_or("a person must decide");
    add!(out, "{} {} asks: {reason}\n", style.look(Look::Asking, "?"), style.strong(&task.path));
    if let Some(diagnosis) = task.diagnoses.last() {
        add_diagnosis(out, diagnosis, style);
    }
    let approve = task.approve.as_deref().unwrap_or("lets it go on");
    let mut answers = vec![("approve", approve), ("reject", "counts it as failed")];
    // What has been tried may be done some other way.
    if !task.attempts.is_empty() {
        if !approve.ends_with("tries it again") || approve.contains("remedy") {
            answers.push(("retry", "tries it again"));
        }
        answers.extend([("succeed", "counts it as done"), ("skip", "leaves it out")]);
    }
    let width = answers.iter().map(|(answer, _)| answer.len()).max().unwrap_or(0);
    for (answer, does) in answers {
        let command = format!("weir {answer} {} {}", run.id, quoted(&task.path));
        let pad = " ".repeat(width - answer.len());
        add!(out, "  {command}{pad}  {}\n", style.faint(does));
    }
    out.push('\n');
}

/// What can be typed next, exactly.
fn next_commands(run: &Run) -> Vec<String> {
    match run.state.as_str() {
        "failed" if run.failed().next().is_some() => {
            vec![format!("weir rerun {} --from-failed", run.id)]
        }
        "failed" | "cancelled" => vec![format!("weir rerun {} --all", run.id)],
        "paused" => vec![format!("weir resume {}", run.id)],
        _ => Vec::new(),
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(run: &serde_json::Value) -> String {
        let run = Run::read(&json!({ "run": run })).expect("a run");
        let lines = vec!["first".to_owned(), "error: no space".to_owned()];
        let tried = run.tasks.iter().filter(|task| !task.attempts.is_empty());
        let last = tried.map(|task| (task.number, lines.clone())).collect();
        text(&run, Timestamp::from_millis(65_000), &last, Style::plain())
    }

    #[test]
    fn a_failed_run_says_what_is_known_and_what_to_type() {
        insta::assert_snapshot!(told(&json!({
            "id": 7, "project": "tap", "flow": "nightly", "state": "failed",
            "tasks": [
                { "path": "all", "state": "failed", "reason": "something in it failed" },
                { "path": "all/load[0]", "state": "failed", "uses": "command", "reason": "exit code 1",
                  "attempts": [{ "number": 1 }, { "number": 2 }],
                  "diagnoses": [{ "signature": "DISK-01", "attempt": 2, "then": "ask", "result": "failed", "evidence":
                    { "diagnosis": "The disk is full.", "advice": ["Free some space.", "Try again."], "line": 12, "text": "error: no space" } }] },
                { "path": "report", "state": "cancelled" },
            ],
        })));
    }

    #[test]
    fn a_question_comes_with_its_answers() {
        insta::assert_snapshot!(told(&json!({
            "id": 8, "flow": "tour", "state": "asking",
            "tasks": [{ "path": "gate", "state": "asking", "uses": "approve", "reason": "Publish?" }],
        })));
    }

    #[test]
    fn a_good_end_is_one_line() {
        insta::assert_snapshot!(told(&json!({ "id": 9, "flow": "tour", "state": "succeeded" })));
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(["a/b", "a[0]", "it's", ""].map(quoted), ["a/b", "'a[0]'", r"'it'\''s'", "''"]);
    }
}
