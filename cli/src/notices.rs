//! `weir notices`: who was told of what, who is still to be told, and who could not be.

use serde_json::Value;
use weir_core::time::Timestamp;
use weir_engine::api::Request;

use crate::access::{Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::terminal::width;
use crate::view::local;

pub(crate) async fn notices(global: &Global, args: args::Notices) -> Ended {
    let request = Request::Notices { run: args.run, state: args.state, limit: args.limit };
    let found = Access::once(global, "weir notices", Purpose::Look, request).await?;
    if global.json {
        say!("{found}")?;
        return Ok(End::Done);
    }
    let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() && !global.quiet {
        tell!("no notices; `notify` in a flow file says who is told of what");
    }
    say_text!("{}", table(rows))?;
    Ok(End::Done)
}

fn table(rows: &[Value]) -> String {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let time = |row: &Value, name: &str| {
        row[name].as_str().and_then(|text| Timestamp::parse(text).ok()).map(local)
    };
    let receivers = rows.iter().map(|row| width(&text(row, "to"))).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let (to, state, tries) = (text(row, "to"), text(row, "state"), &row["tries"]);
        let how = match state.as_str() {
            "waiting" if tries == 0 => "waiting".to_owned(),
            "waiting" => format!(
                "waiting, tried {tries} times, next at {}: {}",
                time(row, "due_at").unwrap_or_default(),
                text(row, "error")
            ),
            "delivered" => format!("delivered {}", time(row, "ended_at").unwrap_or_default()),
            _ => format!("GIVEN UP after {tries} tries: {}", text(row, "error")),
        };
        add!(
            out,
            "{}  {to}{}  {}  {how}\n",
            time(row, "at").unwrap_or_default(),
            " ".repeat(receivers - width(&to)),
            text(row, "subject"),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_up_stands_out() {
        let row = |state: &str, tries: u32, error: Option<&str>| {
            json!({
                "to": "mail:ops@example.org", "subject": "[Weir] a has failed (run 7)", "state": state, "tries": tries,
                "at": null, "due_at": null, "ended_at": null, "error": error,
            })
        };
        let shown = table(&[
            row("waiting", 0, None),
            row("waiting", 2, Some("no line")),
            row("delivered", 3, None),
            row("given-up", 40, Some("no line")),
        ]);
        let ends: Vec<&str> =
            shown.lines().filter_map(|line| line.rsplit("(run 7)  ").next()).collect();
        assert_eq!(
            ends,
            [
                "waiting",
                "waiting, tried 2 times, next at : no line",
                "delivered ",
                "GIVEN UP after 40 tries: no line"
            ]
        );
    }
}
