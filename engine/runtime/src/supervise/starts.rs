//! Tells engines that a job has started, a moment late: what ends within that moment is told by its end alone, and an
//! engine is not woken twice for a job of a millisecond.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::jobs::{Node, Stage};

/// How late a start may be told: far less than a person notices, far more than the shortest jobs take.
const MAY_WAIT: Duration = Duration::from_millis(10);

/// The starts that have not been told yet, by the folders of their attempts.
#[derive(Default)]
pub(super) struct Starts {
    untold: Mutex<Untold>,
    woken: Condvar,
}

#[derive(Default)]
struct Untold {
    folders: Vec<PathBuf>,
    /// The thread waits to be woken; otherwise it looks by itself soon.
    rests: bool,
}

impl Starts {
    /// It has started.
    pub(super) fn add(&self, folder: PathBuf) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.folders.push(folder);
        if std::mem::take(&mut untold.rests) {
            self.woken.notify_one();
        }
    }

    /// Those that were added since the last call; waits for the first.
    fn take(&self) -> Vec<PathBuf> {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        while untold.folders.is_empty() {
            untold.rests = true;
            untold = self.woken.wait(untold).unwrap_or_else(PoisonError::into_inner);
        }
        drop(untold);
        // Those that come meanwhile are told with them, a little early.
        thread::sleep(MAY_WAIT);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut untold.folders)
    }
}

/// The thread that tells.
pub(super) fn run(node: &Arc<Node>) -> ! {
    loop {
        let folders = node.starts.take();
        let mut table = node.table();
        for folder in folders {
            if let Some(job) = table.jobs.get_mut(&folder)
                && matches!(job.stage, Stage::Running(_) | Stage::Closing(..))
            {
                job.tell_start();
            }
        }
    }
}
