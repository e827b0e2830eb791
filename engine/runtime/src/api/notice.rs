//! Notices, as they are asked for.

use serde_json::{Value, json};
use weir_core::ids::RunId;
use weir_core::notice::{Message, Reason};

use super::Problem;
use crate::engine::Handle;
use crate::store::NoticeFilter;
use crate::store::rows::{NoticeRow, NoticeState};

/// Notices, newest first.
pub(super) async fn list(
    handle: &Handle,
    run: Option<i64>,
    state: Option<&str>,
    limit: u64,
) -> Result<Value, Problem> {
    let filter = NoticeFilter { run: run.map(RunId), state: state_of(state)?, before: None };
    let rows = handle.store().notices(&filter, limit).await?;
    Ok(rows.iter().map(notice_view).collect())
}

/// A state of notices by its name, if one is said.
///
/// # Errors
/// There is no such state.
pub fn state_of(name: Option<&str>) -> Result<Option<NoticeState>, Problem> {
    let named = |name| {
        NoticeState::named(name).ok_or_else(|| {
            Problem::call(format!(
                "there is no state `{name}` of notices\nhelp: use `waiting`, `delivered` or `given-up`"
            ))
        })
    };
    name.map(named).transpose()
}

/// A notice, as people and programs see it.
pub fn notice_view(row: &NoticeRow) -> Value {
    let message: Option<Message> = serde_json::from_str(&row.message).ok();
    let message = message.as_ref();
    json!({
        "run": row.run, "seq": row.seq, "reason": Reason::from_code(row.reason).map(Reason::name), "to": row.receiver,
        "project": row.project, "flow": message.map(|message| &message.flow),
        "subject": message.map(Message::subject), "state": NoticeState::name(row.state), "tries": row.tries,
        "at": row.at, "due_at": row.due_at, "ended_at": row.ended_at, "error": row.error,
    })
}
