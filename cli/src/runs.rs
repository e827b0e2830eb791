//! `weir runs`.

use serde_json::Value;
use weir_core::time::Timestamp;
use weir_engine::api::Request;
use weir_engine::engine::wall_clock;

use crate::access::{Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::style::{Look, Style};
use crate::terminal::width;
use crate::view::{local, span};

pub(crate) async fn runs(global: &Global, args: args::Runs) -> Ended {
    let request = Request::Runs {
        project: args.project,
        flow: args.flow,
        state: args.state,
        before: args.before,
        limit: args.limit,
    };
    let runs = Access::once(global, "weir runs", Purpose::Look, request).await?;
    if global.json {
        say!("{runs}")?;
    } else {
        let runs = runs.as_array().cloned().unwrap_or_default();
        if runs.is_empty() && !global.quiet {
            tell!("no runs");
        }
        say_text!("{}", table(&runs, wall_clock(), Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}

fn table(runs: &[Value], now: Timestamp, style: Style) -> String {
    let text = |run: &Value, name: &str| run[name].as_str().unwrap_or_default().to_owned();
    let flow = |run: &Value| {
        let (project, flow) = (text(run, "project"), text(run, "flow"));
        if project.is_empty() || project == flow { flow } else { format!("{project}/{flow}") }
    };
    let at =
        |run: &Value, name: &str| run[name].as_str().and_then(|text| Timestamp::parse(text).ok());
    let number = |run: &Value| run["id"].to_string();
    let ids = runs.iter().map(|run| number(run).len()).max().unwrap_or(0);
    let flows = runs.iter().map(|run| width(&flow(run))).max().unwrap_or(0);
    let mut out = String::new();
    for run in runs {
        let state = text(run, "state");
        let look = Look::of(&state);
        let began = at(run, "started_at").or_else(|| at(run, "created_at")).unwrap_or(now);
        let took = at(run, "ended_at")
            .unwrap_or(now)
            .since(began)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX);
        let (name, id) = (flow(run), number(run));
        let mut line = format!(
            "{id:>ids$}  {} {}  {name}{}  {}  {:>8}",
            style.look(look, style.mark(look)),
            style.look(look, &format!("{state:<10}")),
            " ".repeat(flows - width(&name)),
            local(began),
            span(took),
        );
        if let Some(origin) = run["origin"].as_i64() {
            add!(line, "  rerun of {origin}");
        }
        if let Some(reason) = run["reason"].as_str() {
            add!(line, "  {reason}");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
