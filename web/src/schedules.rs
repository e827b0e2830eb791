//! The schedules that somebody may see, and what they may do to them: for pages and programs alike.

use serde_json::{Map, Value};
use weir_engine::api::{Request, answer};
use weir_engine::people::Role;
use weir_engine::schedules::Shown;

use crate::error::PageError;
use crate::pages::begin::note;
use crate::site::Site;
use crate::who::{self, Origin, Who};

/// All that somebody may see, by project, flow and id.
pub(crate) async fn all(site: &Site, who: &Who) -> Result<Vec<Shown>, PageError> {
    site.handle.fresh_flows().await;
    let mut all = site.handle.schedules_shown(None).await?;
    all.retain(|one| who.role_in(&one.project).is_some());
    Ok(all)
}

/// One by its number, for somebody who needs a role for it.
pub(crate) async fn one(site: &Site, who: &Who, id: i64, role: Role) -> Result<Shown, PageError> {
    let shown = site.handle.schedules_shown(Some(id)).await?.pop();
    let shown = shown.ok_or_else(PageError::no_page)?;
    who.must(role, &shown.project)?;
    Ok(shown)
}

/// What it is called in the audit: `project/flow id`.
pub(crate) fn called(project: &str, flow: &str, schedule: &str) -> String {
    if project.is_empty() {
        format!("{flow} {schedule}")
    } else {
        format!("{project}/{flow} {schedule}")
    }
}

/// Pauses one, or lets it go on.
pub(crate) async fn pause(
    site: &Site,
    (me, origin): (&Who, &Origin),
    id: i64,
    is_paused: bool,
) -> Result<(), PageError> {
    let shown = one(site, me, id, Role::Author).await?;
    let of = (shown.project.as_str(), shown.flow.as_str(), shown.schedule.as_str());
    site.handle.pause_schedule(of, is_paused, &me.name).await?;
    let what = if is_paused { "schedule.pause" } else { "schedule.resume" };
    note(site, me, origin, what, &called(of.0, of.1, of.2), None).await
}

/// Adds one to a flow; its number.
pub(crate) async fn add(
    site: &Site,
    (me, origin): (&Who, &Origin),
    (project, flow): (&str, &str),
    said: &Map<String, Value>,
) -> Result<i64, PageError> {
    me.must(Role::Author, project)?;
    let id = site.handle.add_schedule(project, flow, said, &me.name).await?;
    let name = said.get("id").and_then(Value::as_str).unwrap_or_default();
    let after = Value::from(said.clone()).to_string();
    note(site, me, origin, "schedule.add", &called(project, flow, name), Some(after)).await?;
    Ok(id)
}

/// Takes away one that a person has added.
pub(crate) async fn remove(
    site: &Site,
    (me, origin): (&Who, &Origin),
    id: i64,
) -> Result<(), PageError> {
    let shown = one(site, me, id, Role::Author).await?;
    let of = (shown.project.as_str(), shown.flow.as_str(), shown.schedule.as_str());
    site.handle.remove_schedule(of, &me.name).await?;
    let before = shown.own.map(|own| own.to_string());
    let target = called(of.0, of.1, of.2);
    let line = who::asker(me, origin).note("schedule.remove", &target, before, None);
    Ok(site.handle.store().keep_note(line).await?)
}

/// A span of dates to make up for.
pub(crate) struct Span {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) parallel: u32,
    pub(crate) is_preview: bool,
}

/// Begins a run for each due time of a span, or says which they would be.
pub(crate) async fn backfill(
    site: &Site,
    (me, origin): (&Who, &Origin),
    id: i64,
    span: Span,
) -> Result<Value, PageError> {
    let shown = one(site, me, id, Role::Operator).await?;
    let flow = if shown.project.is_empty() {
        shown.flow.clone()
    } else {
        format!("{}/{}", shown.project, shown.flow)
    };
    let said = format!("{} to {}", span.from, span.to);
    let is_preview = span.is_preview;
    let request = Request::Backfill {
        flow,
        schedule: Some(shown.schedule.clone()),
        from: span.from,
        to: span.to,
        preview: is_preview,
        parallel: span.parallel.clamp(1, 100),
        by: format!("backfill by {}", me.name),
    };
    let found = answer(&site.handle, request).await?;
    if !is_preview {
        let target = called(&shown.project, &shown.flow, &shown.schedule);
        let runs = found["runs"].as_array().map_or(0, Vec::len);
        let after = Some(format!("{said}: {runs} runs"));
        note(site, me, origin, "schedule.backfill", &target, after).await?;
    }
    Ok(found)
}
