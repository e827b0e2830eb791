//! The last lines of tasks' logs: from the home's folder, or from the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_engine::home::Home;
use weir_web::client::Client;

use crate::access::{self, Access};
use crate::args::Global;
use crate::terminal::{clean, cut};
use crate::view::Task;

/// Tasks whose last lines are shown, from files and from a server: each is asked for by itself.
const MOST: usize = 64;
const MOST_ASKED: usize = 8;

/// Where the last lines come from.
pub(crate) enum LastLines {
    Home(Home),
    Server(Arc<Client>),
}

impl LastLines {
    /// # Errors
    /// The home can't be used.
    pub(crate) fn find(global: &Global, access: &Access) -> anyhow::Result<Self> {
        Ok(match access {
            Access::Server(client) => Self::Server(Arc::clone(client)),
            Access::Local(_) | Access::Remote(_) => {
                Self::Home(Home::open(&access::home_path(global)?)?)
            }
        })
    }

    /// The last lines of the last attempts of tasks, by the tasks' numbers.
    pub(crate) async fn of(
        &self,
        run: i64,
        tasks: impl Iterator<Item = &Task>,
        lines: usize,
    ) -> BTreeMap<u32, Vec<String>> {
        let mut found = BTreeMap::new();
        match self {
            Self::Home(home) => {
                for task in tasks.take(MOST) {
                    let Some(attempt) = task.attempts.last() else { continue };
                    let id = AttemptId {
                        run: RunId(run),
                        task: TaskIx(task.number),
                        number: attempt.number,
                    };
                    let folder = weir_engine::engine::attempt_folder(home, id);
                    let bytes = weir_engine::logs::tail(&folder, lines).unwrap_or_default();
                    found.insert(task.number, shown(&bytes));
                }
            }
            Self::Server(client) => {
                for task in tasks.filter(|task| !task.attempts.is_empty()).take(MOST_ASKED) {
                    // What can't be had is left out: the command is about the run.
                    let Ok(bytes) = client.tail(run, &task.path, lines).await else { continue };
                    found.insert(task.number, shown(&bytes));
                }
            }
        }
        found
    }
}

fn shown(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n').map(clean).filter(|line| !line.is_empty());
    lines.map(|line| cut(&line, 400, "…")).collect()
}
