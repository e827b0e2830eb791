//! How kinds of values, choices and texts are called in messages.

use serde_json::Value;

use super::ready::{Kind, Reading, Shape};
use crate::yaml::{Data, Node};

/// What people call a kind of value.
pub(super) fn of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Boolean => "`true` or `false`",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::Text => "text",
        Kind::List => "a list",
        Kind::Map => "a mapping",
    }
}

/// What people call what a shape takes.
pub(super) fn of_shape(shape: &Shape) -> String {
    match (shape.reading, &shape.constant, shape.kind, &shape.choices) {
        (Reading::Span, ..) => "a span of time such as `90s`".to_owned(),
        (Reading::Size, ..) => "a size such as `512MiB`".to_owned(),
        (_, Some(constant), ..) => format!("`{}`", shown(constant)),
        (_, None, Some(kind), _) => of_kind(kind).to_owned(),
        (_, None, None, Some(choices)) => quoted(choices),
        (_, None, None, None) => "anything".to_owned(),
    }
}

/// `a`, `b` or `c`
pub(super) fn quoted(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(|value| format!("`{}`", shown(value))).collect();
    either(&words)
}

pub(super) fn either(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A value as it is written.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A text short enough to stand in a message.
pub(super) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() > 60 || line.len() < text.trim_end().len() {
        format!("{}...", line.chars().take(57).collect::<String>())
    } else {
        line.to_owned()
    }
}

/// The first sentence, as part of another.
pub(super) fn lower_sentence(words: &str) -> String {
    let words = words.split_once(". ").map_or(words, |(first, _)| first).trim_end_matches('.');
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// The last line of a regex error, which says why.
pub(super) fn regex_reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("").trim();
    last.strip_prefix("error: ").unwrap_or(last).to_lowercase()
}

/// What to write where a value of the wrong kind stands. `shape` is the first that would do.
pub(super) fn instead(node: &Node, shape: &Shape, expected: &str) -> String {
    let below = "write keys and values below it, each on a line of its own: `key: value`";
    match (&node.data, shape.kind) {
        (Data::Int(_) | Data::Float(_), _) if shape.reading == Reading::Span => {
            "add a unit: ms, s, m, h or d".to_owned()
        }
        (Data::Bool(_) | Data::Int(_) | Data::Float(_), Some(Kind::Text)) => {
            "put quotes around it".to_owned()
        }
        (Data::Text(text), Some(Kind::Boolean)) => match &*text.to_lowercase() {
            "yes" | "on" | "y" | "true" => "write `true` without quotes".to_owned(),
            "no" | "off" | "n" | "false" => "write `false` without quotes".to_owned(),
            _ => "write `true` or `false`".to_owned(),
        },
        (Data::Text(text), Some(Kind::Integer | Kind::Number)) => {
            if text.parse::<f64>().is_ok() {
                "remove the quotes".to_owned()
            } else {
                "write digits only".to_owned()
            }
        }
        (Data::Float(_), Some(Kind::Integer)) => "write it without a fraction".to_owned(),
        (Data::Text(text), Some(Kind::List)) => format!("write [{}]", short(text)),
        (Data::Null, Some(Kind::List)) => {
            "write items below it, `- item`, or remove the key".to_owned()
        }
        (Data::Null, _) => "write a value, or remove the key".to_owned(),
        (Data::Map(_), Some(Kind::List)) => {
            "write items below it, each with `- ` before it".to_owned()
        }
        (_, Some(Kind::Map)) => match shape.keys.first() {
            Some(key) => format!("{below}; the first key could be `{key}`"),
            None => below.to_owned(),
        },
        _ => format!("write {expected}"),
    }
}
