//! `weir prune`: removes old runs, or says which would go.

use serde_json::Value;
use weir_engine::api::Request;

use crate::access::{Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended};

pub(crate) async fn prune(global: &Global, args: &args::Prune) -> Ended {
    let request = Request::Prune { preview: args.preview };
    let found = Access::once(global, "weir prune", Purpose::Look, request).await?;
    if global.json {
        say!("{found}")?;
        return Ok(End::Done);
    }
    let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() && !global.quiet {
        tell!(
            "nothing to remove; `keep` in a flow file says which of its runs are kept, all others stay"
        );
    }
    say_text!("{}", table(rows, args.preview))?;
    Ok(End::Done)
}

fn table(rows: &[Value], is_preview: bool) -> String {
    let mut out = String::new();
    let done = if is_preview { "would be removed" } else { "removed" };
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        let flow = match text("project") {
            "" => text("flow").to_owned(),
            project => format!("{project}/{}", text("flow")),
        };
        let mut kept = Vec::new();
        if let Some(age) = row["age"].as_str() {
            kept.push(format!("those of the last {age}"));
        }
        if let Some(runs) = row["keeps"].as_u64() {
            kept.push(format!("the last {runs}"));
        }
        let runs = number("runs");
        let s = if runs == 1 { "" } else { "s" };
        add!(
            out,
            "{flow}: {runs} run{s} {done} ({} to {}, {:.1} MB of logs); it keeps {}\n",
            number("first"),
            number("last"),
            number("bytes") as f64 / 1e6,
            kept.join(" and "),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_what_goes_and_why() {
        let row = |age: Option<&str>, keeps: Option<u32>, runs: u32| {
            json!({
                "project": "tap", "flow": "nightly", "age": age, "keeps": keeps, "runs": runs, "first": 3, "last": 9,
                "bytes": 1_250_000,
            })
        };
        assert_eq!(
            table(&[row(Some("90d"), Some(100), 5), row(None, Some(1), 1)], true),
            "tap/nightly: 5 runs would be removed (3 to 9, 1.2 MB of logs); it keeps those of the last 90d and the last 100\n\
             tap/nightly: 1 run would be removed (3 to 9, 1.2 MB of logs); it keeps the last 1\n"
        );
    }
}
