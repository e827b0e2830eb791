//! What a rerun would do, as a table and with the difference of the flow's texts. Pure.

use serde_json::Value;

use crate::style::{Look, Style};
use crate::terminal::width;

/// The preview of a rerun, as the engine answers it, for people.
pub(crate) fn text(answer: &Value, style: Style) -> String {
    let mut out = String::new();
    let lines = answer["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let wide = lines.iter().map(|line| width(&word(line, "path"))).max().unwrap_or(0).min(48);
    for line in lines {
        let (path, will, reason) = (word(line, "path"), word(line, "will"), word(line, "reason"));
        let look = match will.as_str() {
            "run" => Look::Busy,
            "unsafe" => Look::Bad,
            "reuse" => Look::Good,
            _ => Look::Out,
        };
        let gap = " ".repeat(wide.saturating_sub(width(&path)));
        let shown = style.look(look, &format!("{will:<6}"));
        let line = format!("{path}{gap}  {shown}  {}", style.faint(&reason));
        add!(out, "{}\n", line.trim_end());
    }
    let count = |will: &str| lines.iter().filter(|line| line["will"] == will).count();
    add!(
        out,
        "\n{} run, {} of them unsafe to repeat; {} reused, {} skipped\n",
        count("run") + count("unsafe"),
        count("unsafe"),
        count("reuse"),
        count("skip"),
    );
    let texts = answer["texts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let [before, after] = texts {
        let short = |name: &str| {
            answer[name].as_str().unwrap_or_default().chars().take(12).collect::<String>()
        };
        add!(
            out,
            "\nthe flow has changed: version {} ran, {} would run\n",
            short("origin_version"),
            short("version")
        );
        for line in weir_core::diff::unified(
            before.as_str().unwrap_or_default(),
            after.as_str().unwrap_or_default(),
        ) {
            let dressed = match line.as_bytes().first() {
                Some(b'-') => style.bad(&line),
                Some(b'+') => style.good(&line),
                Some(b'@') => style.faint(&line),
                _ => line,
            };
            out.push_str(&dressed);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_preview_is_a_table_and_a_difference() {
        let answer = json!({
            "lines": [
                { "path": "fetch", "will": "reuse", "reason": "it succeeded before" },
                { "path": "load", "will": "run", "reason": "it failed before" },
                { "path": "format", "will": "unsafe", "reason": "it destroys, and asks for its words again" },
                { "path": "report", "will": "skip", "reason": "it was not chosen" },
            ],
            "version": "0123456789abcdef", "origin_version": "fedcba9876543210",
            "texts": ["name: a\nb: 1\n", "name: a\nb: 2\n"],
        });
        insta::assert_snapshot!(text(&answer, Style::plain()));
    }
}
