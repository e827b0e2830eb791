//! What became of work that was launched by a supervisor that is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_core::job_type::ProcessId;

use super::cancel::outcome;
use super::cgroup::Cgroup;
use super::folder::{End, Ended};
use super::jobs::{Node, Record, spawn, tell};
use super::tree::{self, Reach, Stuck, Target};

/// A folder without an end, of which this supervisor knows nothing.
pub(super) struct Case {
    folder: PathBuf,
    target: Target,
    grace: Duration,
    /// The end that the folder tells; it then stays.
    ended: Option<Ended>,
}

impl Node {
    /// Finds out what became of something that was launched by another supervisor.
    pub(super) fn judge(self: &Arc<Self>, id: &ProcessId, grace: Duration, ended: Option<Ended>) {
        let target = self.target(id, None, &Cgroup::default());
        let mut table = self.table();
        table.judging.push(Case { folder: id.folder.clone(), target, grace, ended });
        if !table.judges {
            table.judges = true;
            let node = Arc::clone(self);
            spawn("judge", move || node.judge_all());
        }
    }

    /// Looks at the machine once for all cases that wait: after a crash there may be thousands.
    fn judge_all(self: &Arc<Self>) {
        loop {
            let cases = {
                let mut table = self.table();
                let cases = std::mem::take(&mut table.judging);
                table.judges = !cases.is_empty();
                cases
            };
            if cases.is_empty() {
                return;
            }
            // Twice, for a process shows no variables in the instant in which it becomes another program.
            let snapshots = [(); 2].map(|()| tree::Snapshot::take(Reach::Tree));
            for case in cases {
                let is_gone = snapshots.iter().all(|snapshot| {
                    snapshot.as_ref().is_ok_and(|taken| !tree::is_alive(taken, &case.target))
                });
                let node = Arc::clone(self);
                if is_gone {
                    node.conclude(case, &Ok(()));
                } else {
                    spawn("end orphans", move || {
                        let result = tree::end(&case.target, Reach::Tree, case.grace);
                        node.conclude(case, &result);
                    });
                }
            }
        }
    }

    fn conclude(self: &Arc<Self>, case: Case, result: &Result<(), Stuck>) {
        if result.is_err() {
            let mut table = self.table();
            // Whoever waits for the end goes on waiting: the work may still be done.
            if let Some(job) = table.jobs.get_mut(&case.folder) {
                for cancel in std::mem::take(&mut job.cancels) {
                    tell(&cancel.channel, &outcome(cancel.tag, result));
                }
            }
            drop(table);
            let node = Arc::clone(self);
            // Each round has a bound of its own, so this does not spin.
            spawn("end orphans", move || {
                let result = tree::end(&case.target, Reach::Tree, case.grace);
                node.conclude(case, &result);
            });
            return;
        }
        match case.ended {
            Some(ended) => self.finish_at(&case.folder, &ended, Record::IsThere),
            None => self.finish(&case.folder, End::Lost, Record::Write),
        }
    }
}
