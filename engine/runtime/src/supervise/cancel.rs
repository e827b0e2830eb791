//! Ending a whole tree because somebody asks for it, or because we must.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use weir_core::job_type::ProcessId;

use super::channel::Channel;
use super::folder::{self, Claim, End};
use super::jobs::{Job, LEFTOVER_GRACE, Node, Record, Stage, spawn, tell};
use super::tree::{self, Reach, Stuck, Target};
use super::wire::Reply;

/// Who asked for the end.
pub(super) struct Cancel {
    pub(super) channel: Arc<Channel>,
    pub(super) tag: u64,
    grace: Duration,
}

impl Node {
    /// Ends a whole tree, or forbids that it begins.
    pub(crate) fn cancel(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        tag: u64,
        id: &ProcessId,
        grace: Duration,
    ) {
        let cancel = Cancel { channel: Arc::clone(channel), tag, grace };
        {
            let mut table = self.table();
            if let Some(job) = table.jobs.get_mut(&id.folder) {
                match &job.stage {
                    Stage::Beginning | Stage::Finishing => job.cancels.push(cancel),
                    Stage::Unwritten(_) => tell(channel, &Reply::Cancelled { tag }),
                    Stage::Running(_) | Stage::Closing(..) => {
                        self.begin_cancel(job, vec![cancel]);
                    }
                }
                return;
            }
            let mut job = Job::new(id, Vec::new(), None);
            job.cancels.push(cancel);
            table.jobs.insert(id.folder.clone(), job);
        }
        match folder::claim(&id.folder) {
            Ok(Claim::Ours) => self.finish(&id.folder, End::Fenced, Record::Write),
            Ok(Claim::Ended(ended)) if matches!(ended.end, End::Fenced | End::Failed(..)) => {
                self.finish_at(&id.folder, &ended, Record::IsThere);
            }
            // Its first process has ended, but a daemon of its may be left.
            Ok(Claim::Ended(ended)) => self.judge(id, grace, Some(ended)),
            Ok(Claim::Begun) => self.judge(id, grace, None),
            Err(error) => self.refuse(&id.folder, &error),
        }
    }

    pub(super) fn begin_cancel(self: &Arc<Self>, job: &mut Job, cancels: Vec<Cancel>) {
        let leader = match job.stage {
            Stage::Running(pid) | Stage::Closing(pid, _) => Some(pid),
            Stage::Beginning | Stage::Finishing | Stage::Unwritten(_) => None,
        };
        job.ending += 1;
        let target = self.target(&job.id, leader, &job.group);
        let node = Arc::clone(self);
        spawn("cancel", move || node.end_tree(&target, cancels));
    }

    fn end_tree(self: &Arc<Self>, target: &Target, cancels: Vec<Cancel>) {
        let folder = &target.folder;
        let grace = cancels.iter().map(|cancel| cancel.grace).min().unwrap_or(LEFTOVER_GRACE);
        let result = tree::end(target, Reach::Tree, grace);
        let mut table = self.table();
        if result.is_ok() {
            // The first process is gone, so the reaper is about to say so.
            while let Some(job) = table.jobs.get(folder)
                && matches!(job.stage, Stage::Running(_))
            {
                table = self.moved.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if let Some(job) = table.jobs.get_mut(folder) {
            job.ending = job.ending.saturating_sub(1);
        }
        drop(table);
        self.close(folder);
        if result.is_ok() {
            let mut table = self.table();
            while table
                .jobs
                .get(folder)
                .is_some_and(|job| matches!(job.stage, Stage::Closing(..) | Stage::Finishing))
            {
                table = self.moved.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
        }
        for cancel in cancels {
            tell(&cancel.channel, &outcome(cancel.tag, &result));
        }
    }

    /// Ends a job for a reason of ours.
    pub(super) fn end_because(self: &Arc<Self>, folder: &Path, reason: String) {
        let mut table = self.table();
        if let Some(job) = table.jobs.get_mut(folder)
            && matches!(job.stage, Stage::Running(_))
            && job.reason.is_empty()
        {
            job.reason = reason;
            self.begin_cancel(job, Vec::new());
        }
    }
}

/// What is told of a try to end a tree.
pub(super) fn outcome(tag: u64, result: &Result<(), Stuck>) -> Reply {
    match result {
        Ok(()) => Reply::Cancelled { tag },
        Err(Stuck(pids)) => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            let message =
                format!("killed, but still there after ten seconds: processes {}", pids.join(", "));
            Reply::Stuck { tag, message }
        }
    }
}
