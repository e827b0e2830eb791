//! The table of what runs, and how each thing in it begins and ends.
//!
//! A job is in the table from the moment it is asked about until its end is in its folder; what is not in the table
//! is told by its folder alone. No lock is held over a system call that may wait.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use weir_core::job_type::{Phase, ProcessId};
use weir_core::log_index;
use weir_core::outcome::ErrorClass;
use weir_core::time::Timestamp;

use super::cancel::Cancel;
use super::cgroup::Cgroup;
use super::channel::Channel;
use super::folder::{self, Claim, End, Ended};
use super::judge::Case;
use super::pump::Pump;
use super::sampler::{self, LogState};
use super::starts::Starts;
use super::sys::{self, EventFd, Status};
use super::tree::{self, MARK, Reach, Target};
use super::wire::{Reply, Tells};

/// What is left in the session of a job that has ended gets so long between TERM and KILL.
pub(crate) const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// All that the threads of the supervisor share.
pub(crate) struct Node {
    pub(super) home_id: String,
    pub(super) null: File,
    /// The main loop must look whether there is still something to do.
    pub(super) wake: EventFd,
    /// A job left the table, or its first process ended.
    pub(super) moved: Condvar,
    table: Mutex<Table>,
    /// `/proc/self/task/MAIN/children`: the orphans that came to this process.
    orphans: Option<PathBuf>,
    pub(super) samples: AtomicBool,
    pub(super) sampler: (Mutex<()>, Condvar),
    pub(super) starts: Starts,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) jobs: HashMap<PathBuf, Job>,
    pids: HashMap<i32, PathBuf>,
    /// Ends of processes whose start is not in the table yet, with the number of the newest start at that moment.
    early: HashMap<i32, (u64, Status)>,
    /// Starts in progress, and the number of the newest.
    starting: BTreeSet<u64>,
    starts: u64,
    pub(super) connections: usize,
    pub(super) judging: Vec<Case>,
    pub(super) judges: bool,
    /// Control groups that still had members when their job ended.
    pub(super) groups: Vec<Arc<Cgroup>>,
}

/// One attempt's processes.
pub(super) struct Job {
    pub(super) id: ProcessId,
    pub(super) stage: Stage,
    watchers: Vec<Watcher>,
    pub(super) cancels: Vec<Cancel>,
    /// Threads that are ending its whole tree.
    pub(super) ending: usize,
    pub(super) started: Timestamp,
    pub(super) log: LogState,
    pub(super) pump: Option<Arc<Pump>>,
    pub(super) group: Arc<Cgroup>,
    /// Why we ended it.
    pub(super) reason: String,
}

/// Where a job is.
pub(super) enum Stage {
    /// It is found out whether it may begin, or how it ended; or it is being started.
    Beginning,
    Running(i32),
    /// Its first process has ended; what is left of it is being ended.
    Closing(i32, Status),
    /// All is done but to write how it ended.
    Finishing,
    /// How it ended could not be written yet.
    Unwritten(Ended),
}

/// Who must be told.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) channel: Arc<Channel>,
    pub(super) tag: u64,
    pub(super) tells: Tells,
}

impl Watcher {
    /// It has started: who wants to know is told, once.
    fn tell_start(&mut self) {
        if self.tells == Tells::Both {
            self.tells = Tells::End;
            tell(&self.channel, &Reply::Started { tag: self.tag });
        }
    }
}

/// Whether the end must be written to the folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Write,
    IsThere,
}

impl Node {
    pub(crate) fn new(home_id: String, null: File) -> io::Result<Arc<Self>> {
        let own = std::process::id();
        let orphans = PathBuf::from(format!("/proc/self/task/{own}/children"));
        Ok(Arc::new(Self {
            home_id,
            null,
            wake: EventFd::new()?,
            moved: Condvar::new(),
            table: Mutex::default(),
            orphans: orphans.exists().then_some(orphans),
            samples: AtomicBool::new(false),
            sampler: (Mutex::new(()), Condvar::new()),
            starts: Starts::default(),
        }))
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The variable that marks the processes of an attempt.
    pub(super) fn mark(&self, id: &ProcessId) -> String {
        let phase = match id.phase {
            Phase::Unless => "unless",
            Phase::Work => "work",
            Phase::Verify => "verify",
        };
        format!("{MARK}={}/{}/{phase}", self.home_id, id.attempt)
    }

    pub(super) fn target(&self, id: &ProcessId, leader: Option<i32>, group: &Cgroup) -> Target {
        Target {
            mark: self.mark(id).into_bytes(),
            leader,
            folder: id.folder.clone(),
            groups: group.process_lists(),
        }
    }

    /// Puts a job into the table; `false` if it was there, and the watcher was added to it.
    pub(super) fn enter(&self, id: &ProcessId, watcher: Watcher, log_limit: Option<u64>) -> bool {
        let mut table = self.table();
        if let Some(job) = table.jobs.get_mut(&id.folder) {
            match &job.stage {
                Stage::Unwritten(ended) => {
                    let reply = Reply::Ended { tag: watcher.tag, ended: ended.clone() };
                    tell(&watcher.channel, &reply);
                }
                Stage::Running(_) | Stage::Closing(..) => {
                    let mut watcher = watcher;
                    watcher.tell_start();
                    job.watchers.push(watcher);
                }
                Stage::Beginning | Stage::Finishing => job.watchers.push(watcher),
            }
            return false;
        }
        table.jobs.insert(id.folder.clone(), Job::new(id, vec![watcher], log_limit));
        true
    }

    /// Tells the end of something that need not be running, or even have begun.
    pub(crate) fn watch(self: &Arc<Self>, channel: &Arc<Channel>, tag: u64, id: &ProcessId) {
        let watcher = Watcher { channel: Arc::clone(channel), tag, tells: Tells::End };
        if !self.enter(id, watcher, None) {
            return;
        }
        match folder::claim(&id.folder) {
            // Nobody launched it, and now nobody can: its end was asked for.
            Ok(Claim::Ours) => self.finish(&id.folder, End::Lost, Record::Write),
            Ok(Claim::Ended(ended)) => self.finish_at(&id.folder, &ended, Record::IsThere),
            Ok(Claim::Begun) => self.judge(id, LEFTOVER_GRACE, None),
            Err(error) => self.refuse(&id.folder, &error),
        }
    }

    /// Begins a start; `None` if it was cancelled before.
    pub(super) fn begin_start(&self, folder: &Path) -> Option<u64> {
        let mut table = self.table();
        if table.jobs.get(folder).is_some_and(|job| !job.cancels.is_empty()) {
            return None;
        }
        table.starts += 1;
        let start = table.starts;
        table.starting.insert(start);
        Some(start)
    }

    /// A start was made, or was not.
    pub(super) fn end_start(
        self: &Arc<Self>,
        folder: &Path,
        start: u64,
        pid: Option<i32>,
        pump: Option<Arc<Pump>>,
        group: Arc<Cgroup>,
    ) {
        let mut table = self.table();
        table.starting.remove(&start);
        let oldest = table.starting.first().copied().unwrap_or(u64::MAX);
        let early = pid.and_then(|pid| table.early.remove(&pid));
        if !table.early.is_empty() {
            table.early.retain(|_, (newest, _)| *newest >= oldest);
        }
        let Some(pid) = pid else { return };
        let Some(job) = table.jobs.get_mut(folder) else { return };
        job.started = folder::now();
        job.stage = Stage::Running(pid);
        job.pump = pump;
        job.group = group;
        let is_awaited = job.watchers.iter().any(|watcher| watcher.tells == Tells::Both);
        let cancels = std::mem::take(&mut job.cancels);
        if !cancels.is_empty() {
            self.begin_cancel(job, cancels);
        }
        table.pids.insert(pid, folder.to_owned());
        drop(table);
        if is_awaited {
            self.starts.add(folder.to_owned());
        }
        if let Some((_, status)) = early {
            self.ended(pid, status);
        }
        if !self.samples.load(Ordering::SeqCst) {
            sampler::wake(self);
        }
    }

    /// A child has ended: the first process of a job, or an orphan.
    pub(crate) fn ended(self: &Arc<Self>, pid: i32, status: Status) {
        let folder = {
            let mut table = self.table();
            let Some(folder) = table.pids.remove(&pid) else {
                if !table.starting.is_empty() {
                    let newest = table.starts;
                    table.early.insert(pid, (newest, status));
                }
                return;
            };
            let Some(job) = table.jobs.get_mut(&folder) else { return };
            job.stage = Stage::Closing(pid, status);
            if job.ending > 0 {
                self.moved.notify_all();
                return;
            }
            folder
        };
        if self.leaves_something(pid) {
            let node = Arc::clone(self);
            spawn("end leftovers", move || {
                let target = Target { leader: Some(pid), folder, ..Target::default() };
                // What can't be ended is left; the job has ended all the same.
                let _stuck = tree::end(&target, Reach::Session, LEFTOVER_GRACE);
                node.close(&target.folder);
            });
        } else {
            self.close(&folder);
        }
    }

    /// Whether the session of a process that has ended has members. Asks only for its process group and for the
    /// orphans that came to this process: a look at all processes would cost more than the job.
    fn leaves_something(&self, leader: i32) -> bool {
        if sys::group_is_alive(leader) {
            return true;
        }
        let Some(path) = &self.orphans else { return false };
        let mut text = String::new();
        let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
        read.is_ok()
            && text
                .split_ascii_whitespace()
                .any(|pid| pid.parse().ok().and_then(sys::session_of) == Some(leader))
    }

    /// Nothing of a job is left that must be ended: records how it ended. Does nothing while it still runs or is
    /// being ended.
    pub(super) fn close(self: &Arc<Self>, folder: &Path) {
        let (ended, pump, group) = {
            let mut table = self.table();
            let Some(job) = table.jobs.get_mut(folder) else { return };
            let Stage::Closing(_, status) = job.stage else { return };
            if job.ending > 0 {
                return;
            }
            job.stage = Stage::Finishing;
            let end = match status {
                Status::Exited(code) => End::Exited(code),
                Status::Signalled(signal) => {
                    End::Signalled(signal, std::mem::take(&mut job.reason))
                }
            };
            (end, job.pump.take(), Arc::clone(&job.group))
        };
        let ended = self.release(folder, ended, &group);
        match pump {
            Some(pump) => pump.finish(ended),
            None => self.finish(folder, ended, Record::Write),
        }
    }

    /// Takes the control groups down and says if they were why it ended.
    fn release(&self, folder: &Path, end: End, group: &Arc<Cgroup>) -> End {
        if group.process_lists().is_empty() {
            return end;
        }
        let ran_out = group.ran_out_of_memory();
        if !group.remove() {
            self.table().groups.push(Arc::clone(group));
        }
        if !ran_out {
            return end;
        }
        let reason = "a process needed more memory than limits.memory and was ended";
        sampler::note(folder, reason);
        match end {
            End::Signalled(signal, told) if told.is_empty() => {
                End::Signalled(signal, reason.to_owned())
            }
            End::Exited(_) | End::Signalled(..) | End::Lost | End::Fenced | End::Failed(..) => end,
        }
    }

    /// It ended now.
    pub(super) fn finish(&self, folder: &Path, end: End, record: Record) {
        self.finish_at(folder, &Ended { end, at: folder::now() }, record);
    }

    /// Writes the end and tells all who wait for it.
    pub(super) fn finish_at(&self, folder: &Path, ended: &Ended, record: Record) {
        if record == Record::Write && !matches!(ended.end, End::Fenced | End::Failed(..)) {
            let log = self.table().jobs.get(folder).map(|job| job.log.clone());
            if let Some(log) = log {
                sampler::last_look(folder, log);
            }
        }
        let is_written = record == Record::IsThere
            || folder::write_end(folder, ended).is_ok()
            || !folder.exists();
        let mut table = self.table();
        let (watchers, cancels) = if is_written {
            let Some(job) = table.jobs.remove(folder) else { return };
            (job.watchers, job.cancels)
        } else {
            let Some(job) = table.jobs.get_mut(folder) else { return };
            job.stage = Stage::Unwritten(ended.clone());
            (std::mem::take(&mut job.watchers), std::mem::take(&mut job.cancels))
        };
        let is_idle = table.connections == 0 && table.jobs.is_empty();
        drop(table);
        self.moved.notify_all();
        for watcher in watchers {
            tell(&watcher.channel, &Reply::Ended { tag: watcher.tag, ended: ended.clone() });
        }
        for cancel in cancels {
            tell(&cancel.channel, &Reply::Cancelled { tag: cancel.tag });
        }
        if is_idle {
            self.wake.set();
        }
        if !is_written {
            sampler::wake(self);
        }
    }

    /// The folder can't be used: nothing was begun.
    pub(super) fn refuse(&self, folder: &Path, error: &io::Error) {
        let message = format!("folder `{}` can't be used: {error}", folder.display());
        self.finish(folder, End::Failed(ErrorClass::Internal, message), Record::IsThere);
    }
}

impl Job {
    pub(super) fn new(id: &ProcessId, watchers: Vec<Watcher>, log_limit: Option<u64>) -> Self {
        Self {
            id: id.clone(),
            stage: Stage::Beginning,
            watchers,
            cancels: Vec::new(),
            ending: 0,
            started: Timestamp::ZERO,
            log: LogState::new(log_limit.unwrap_or(log_index::LIMIT)),
            pump: None,
            group: Arc::default(),
            reason: String::new(),
        }
    }

    /// Tells all who want to know that it has started.
    pub(super) fn tell_start(&mut self) {
        self.watchers.iter_mut().for_each(Watcher::tell_start);
    }
}

/// Tells an engine; one that is gone asks again when it is back.
pub(super) fn tell(channel: &Arc<Channel>, reply: &Reply) {
    let _gone = channel.send(reply.encode());
}

/// Starts a thread for something rare.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    // Without threads nothing here can be done: to stop is better than to forget a job.
    thread::Builder::new().name(name.into()).spawn(work).expect("a thread can be started");
}
