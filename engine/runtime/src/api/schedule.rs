//! What can be asked about schedules: which there are, when they are due, what became of due times; and to pause one or
//! to make up for a span of dates.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_core::schedule::{Edge, Schedule, read_time};
use weir_core::time::Timestamp;

use super::Problem;
use crate::begin::BeginError;
use crate::engine::{Handle, wall_clock};
use crate::folders::with_calendars;
use crate::library::{Loaded, Source};
use crate::schedules::{Readies, own_wanted};

/// So many runs may be made for a span of dates at once.
const MOST_BACKFILLED: usize = 10_000;

/// A flow by the path of its file or by its name.
pub(super) async fn load(handle: &Handle, flow: &str) -> Result<Loaded, BeginError> {
    let path = std::path::Path::new(flow);
    if !path.is_absolute() {
        return crate::begin::known_flow(handle, flow).await;
    }
    let source = Source::read(path)?;
    handle
        .library()
        .load(&source)
        .map_err(|mistakes| BeginError::Mistakes(mistakes, Box::new(source)))
}

/// The time schedules of a flow with their calendars, or the one that is asked for.
async fn of_flow(
    handle: &Handle,
    flow: &str,
    name: Option<&str>,
) -> Result<(Loaded, Vec<Arc<Schedule>>), Problem> {
    let loaded = load(handle, flow).await?;
    let texts: crate::library::Texts =
        serde_json::from_str(&loaded.version.texts).unwrap_or_default();
    let mut found = Vec::new();
    for schedule in &loaded.compiled.flow.schedules {
        if name.is_none_or(|name| name == schedule.id) {
            let whole = with_calendars(schedule, &texts.file).map_err(|mistakes| {
                let lines = mistakes.iter().map(|mistake| mistake.message.clone());
                Problem::call(lines.collect::<Vec<_>>().join("\n"))
            })?;
            found.push(whole);
        }
    }
    let (project, of) = (&loaded.version.project, &loaded.version.flow);
    let own = handle.own_schedules(project, of).await;
    let mut readies = Readies::new(handle.shared(), &loaded);
    for (id, own) in own {
        if name.is_none_or(|name| name == id) {
            let wanted = own_wanted(&mut readies, &texts.file, own);
            found.extend(wanted.map(|wanted| wanted.schedule));
        }
    }
    if found.is_empty() {
        let ids = loaded.compiled.flow.schedules.iter().map(|schedule| schedule.id.as_str());
        let known: Vec<&str> = ids.collect();
        return Err(Problem::call(match (name, known.as_slice()) {
            (_, []) => "the flow has no schedules\nhelp: add `schedules:` to its file".to_owned(),
            (Some(name), known) => {
                format!("the flow has no schedule `{name}`\nhelp: there is {}", known.join(", "))
            }
            (None, _) => unreachable!("without a name all are found"),
        }));
    }
    Ok((loaded, found))
}

pub(super) async fn next(
    handle: &Handle,
    flow: &str,
    name: Option<&str>,
    after: Option<Timestamp>,
    count: usize,
) -> Result<Value, Problem> {
    let (_, schedules) = of_flow(handle, flow, name).await?;
    let after = after.unwrap_or_else(wall_clock);
    Ok(schedules
        .iter()
        .map(|schedule| {
            let mut times = Vec::new();
            let mut at = after;
            while let Some(due) = schedule.next_after(at).filter(|_| times.len() < count.min(10_000))
            {
                times.push(json!({ "due": due, "local": schedule.local(due) }));
                at = due;
            }
            json!({
                "schedule": schedule.id, "timezone": schedule.timezone.name(), "spec": schedule.spec(),
                "is_timed": schedule.trigger.is_time(), "paused": schedule.paused, "times": times,
            })
        })
        .collect())
}

pub(super) async fn list(
    handle: &Handle,
    project: Option<&str>,
    flow: Option<&str>,
) -> Result<Value, Problem> {
    let mut shown = handle.schedules_shown(None).await?;
    shown.retain(|one| {
        project.is_none_or(|project| one.project == project)
            && flow.is_none_or(|flow| one.flow == flow)
    });
    serde_json::to_value(shown).map_err(Problem::inner)
}

pub(super) async fn fires(
    handle: &Handle,
    schedule: i64,
    before: Option<Timestamp>,
    limit: u32,
) -> Result<Value, Problem> {
    let fired = handle.fired(schedule, before, limit).await?;
    serde_json::to_value(fired).map_err(Problem::inner)
}

pub(super) async fn flows(handle: &Handle) -> Result<Value, Problem> {
    let rows = handle.store().loaded_flows().await?;
    let files = handle.flow_files();
    let mut found: Vec<Value> = Vec::new();
    for row in rows.iter().filter(|row| !row.is_gone) {
        let state = files.get(std::path::Path::new(&row.file));
        found.push(json!({
            "project": row.project, "flow": row.flow, "file": row.file, "version": row.version, "since": row.at,
            "error": state.and_then(|state| state.error.clone()),
            "error_since": state.filter(|state| state.error.is_some()).map(|state| state.since),
        }));
    }
    // Files that have never been right.
    for (file, state) in files.iter().filter(|(_, state)| state.flow.is_none()) {
        found.push(json!({
            "project": null, "flow": null, "file": file, "version": null, "since": null, "error": state.error,
            "error_since": state.since,
        }));
    }
    Ok(Value::Array(found))
}

pub(super) async fn pause(
    handle: &Handle,
    flow: &str,
    name: &str,
    is_paused: bool,
    by: &str,
) -> Result<Value, Problem> {
    let (project, flow) = if let Some((project, flow)) = flow.split_once('/') {
        (project.to_owned(), flow)
    } else {
        // A name alone is enough where one flow has it.
        let rows = handle.store().schedules().await?;
        let mut projects: Vec<String> = rows
            .into_iter()
            .filter(|row| *row.flow == *flow && *row.name == *name && row.state != 2)
            .map(|row| row.project.to_string())
            .collect();
        projects.dedup();
        if projects.len() > 1 {
            let names: Vec<String> =
                projects.iter().map(|project| format!("{project}/{flow}")).collect();
            return Err(Problem::call(format!(
                "several projects have a flow `{flow}`\nhelp: name one of {}",
                names.join(", ")
            )));
        }
        (projects.pop().unwrap_or_default(), flow)
    };
    handle.pause_schedule((&project, flow, name), is_paused, by).await?;
    Ok(Value::Null)
}

/// A span of dates to make up for.
pub(super) struct Span {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) is_preview: bool,
    pub(super) parallel: u32,
}

pub(super) async fn backfill(
    handle: &Handle,
    flow: &str,
    name: Option<&str>,
    span: Span,
    by: &str,
) -> Result<Value, Problem> {
    let (loaded, mut schedules) = of_flow(handle, flow, name).await?;
    schedules.retain(|schedule| schedule.trigger.is_time());
    let schedule = match schedules.as_slice() {
        [one] => one,
        [] => return Err(Problem::call("no schedule of the flow has due times")),
        _ => {
            let ids: Vec<&str> = schedules.iter().map(|schedule| schedule.id.as_str()).collect();
            return Err(Problem::call(format!(
                "the flow has several schedules\nhelp: choose one with `--schedule`: {}",
                ids.join(", ")
            )));
        }
    };
    let read = |text: &str, edge| {
        read_time(text, schedule.timezone, edge).ok_or_else(|| {
            Problem::call(format!(
                "`{text}` is no point in time\nhelp: write a date such as `2026-11-01`, or a date and time on the clock of {}",
                schedule.timezone.name()
            ))
        })
    };
    let (from, to) = (read(&span.from, Edge::Begin)?, read(&span.to, Edge::End)?);
    if from > to {
        return Err(Problem::call(
            "the span ends before it begins\nhelp: write the earlier date after `--from`",
        ));
    }
    let mut dues = Vec::new();
    let mut at = Timestamp::from_millis(from.millis() - 1);
    while let Some(due) = schedule.next_after(at).filter(|due| *due <= to) {
        if dues.len() == MOST_BACKFILLED {
            return Err(Problem::call(format!(
                "there are more than {MOST_BACKFILLED} due times in that span\nhelp: choose a shorter one"
            )));
        }
        dues.push(due);
        at = due;
    }
    if dues.is_empty() {
        return Err(Problem::call(format!(
            "`{}` has no due time in that span\nhelp: `weir next` shows when it has",
            schedule.id
        )));
    }
    let times: Vec<Value> =
        dues.iter().map(|due| json!({ "due": due, "local": schedule.local(*due) })).collect();
    if span.is_preview {
        return Ok(json!({ "schedule": schedule.id, "times": times, "runs": [] }));
    }
    let runs = handle.backfill(&loaded, schedule, dues, span.parallel, by).await?;
    let runs: Vec<i64> = runs.into_iter().map(|run| run.0).collect();
    Ok(json!({ "schedule": schedule.id, "times": times, "runs": runs }))
}
