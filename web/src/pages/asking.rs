//! All that waits until a person decides.

use askama::Template;
use axum::extract::State;
use weir_core::run::{RunState, TaskState};
use weir_engine::store::RunFilter;

use crate::clock::At;
use crate::error::PageError;
use crate::form::task_address;
use crate::pages::run::read;
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;

/// Unfinished runs that are looked through for each state.
const MOST: u64 = 500;

#[derive(Template)]
#[template(path = "asking.html")]
pub(crate) struct Asking {
    s: Shell,
    lines: Vec<Line>,
}

struct Line {
    run: i64,
    flow: String,
    path: String,
    href: String,
    since: Option<At>,
    words: String,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
) -> Result<Page<Asking>, PageError> {
    let store = site.handle.store();
    let mut lines = Vec::new();
    for state in [RunState::Asking, RunState::Running, RunState::Failing, RunState::Paused] {
        let filter = RunFilter { state: Some(state.code()), ..RunFilter::default() };
        for row in store.runs(&filter, None, MOST).await? {
            let is_asked = store.tasks(weir_core::ids::RunId(row.id)).await?.iter().any(|task| {
                matches!(TaskState::from_code(task.state, task.extra), Some(TaskState::Asking(_)))
            });
            if me.role_in(&row.project).is_none() || !is_asked {
                continue;
            }
            let run = read(&site, &me, row.id).await?;
            for task in run.tasks.into_iter().filter(|task| task.state == "asking") {
                lines.push(Line {
                    run: run.id,
                    flow: run.flow.clone(),
                    href: task_address(run.id, &task.path),
                    path: task.path,
                    since: task.since.map(At::new),
                    words: task.reason.unwrap_or_default(),
                });
            }
        }
    }
    Ok(Page(Asking { s, lines }))
}
