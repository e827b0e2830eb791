//! A run as plain lines, one for each change: for pipes, files and people who read line by line. Pure.

use serde_json::Value;

use crate::style::{Look, Style};
use crate::view::{Event, time_of_day};

/// Which changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that a person may want to know.
    All,
    /// What went wrong or needs a person.
    Trouble,
}

/// The line for an event, if it is worth one.
pub(crate) fn line(event: &Event, which: Which, style: Style) -> Option<String> {
    let state = state(event)?;
    let look = Look::of(state);
    let words = words(&event.detail);
    if event.kind.starts_with("attempt-") && words.is_none() {
        // The task's own change comes right behind it, with the reason.
        return None;
    }
    let is_trouble = matches!(look, Look::Bad | Look::Asking);
    if which == Which::Trouble && !is_trouble {
        return None;
    }
    let mut line = format!("{} ", style.faint(&time_of_day(event.at)));
    match &event.path {
        Some(path) => line.push_str(path),
        None => line.push_str("run"),
    }
    line.push_str(": ");
    line.push_str(&style.look(look, state));
    if let Some(attempt) = event.attempt.filter(|attempt| *attempt > 1 && event.path.is_some()) {
        add!(line, " (attempt {attempt})");
    }
    if let Some(words) = words {
        line.push_str(": ");
        line.push_str(&words);
    }
    if let Some(by) = &event.by {
        add!(line, " (by {by})");
    }
    Some(line)
}

/// The state that an event tells of, if people care.
fn state(event: &Event) -> Option<&str> {
    match event.kind.as_str() {
        // A run can say nothing for a moment: steps on the way, over before anybody reads of them.
        "waiting" | "ready" => None,
        // An attempt is told of when it is launched: that it was seen to begin may come too late to be told.
        "launching" => Some("running"),
        "running" if event.attempt.is_some() => None,
        "not-ended" => Some("cancelling"),
        "added" => Some("known failure").filter(|_| event.detail.get("remedy").is_some()),
        kind => Some(
            kind.strip_prefix("run-").or_else(|| kind.strip_prefix("attempt-")).unwrap_or(kind),
        ),
    }
}

/// What an event's detail says to people.
pub(crate) fn words(detail: &Value) -> Option<String> {
    let text =
        |name: &str| detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(message) = text("message") {
        return Some(message.lines().next().unwrap_or_default().to_owned());
    }
    if let Some(remedy) = text("remedy") {
        return Some(format!("{remedy}, its remedy begins"));
    }
    text("answer").or_else(|| text("act")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    fn told(which: Which) -> String {
        let events = json!([
            { "kind": "run-running" },
            { "kind": "ready", "path": "load", "attempt": 0 },
            { "kind": "launching", "path": "load", "attempt": 1 },
            { "kind": "attempt-failed", "path": "load", "attempt": 1, "detail": { "class": "exit", "message": "exit code 75" } },
            { "kind": "retrying", "path": "load", "attempt": 1 },
            { "kind": "launching", "path": "load", "attempt": 2 },
            { "kind": "added", "path": "load", "attempt": 2, "detail": { "remedy": "HDFS-02" } },
            { "kind": "added", "path": "each" },
            { "kind": "succeeded", "path": "load", "attempt": 2 },
            { "kind": "asking", "path": "group/gate[1]" },
            { "kind": "skipped", "path": "group/gate[1]", "by": "ann", "detail": { "act": "skip" } },
            { "kind": "run-failed" },
        ]);
        let lines = events.as_array().expect("a list").iter().filter_map(|event| {
            let event = Event::deserialize(event).expect("an event");
            let line = line(&event, which, Style::plain())?;
            Some(line.split_once(' ').expect("a time").1.to_owned())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_change_is_a_line() {
        insta::assert_snapshot!(told(Which::All));
    }

    #[test]
    fn quiet_tells_of_trouble_only() {
        insta::assert_snapshot!(told(Which::Trouble));
    }
}
