//! A look at the logs of jobs that run longer than a second: where in the log which time is, and whether it grew too
//! large. Nothing is looked at while nothing runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use weir_core::log_index::{Bound, Entry, Excess};
use weir_core::time::Timestamp;

use super::folder::{self, INDEX, LOG};
use super::jobs::{Node, Stage};
use super::sys;
use crate::logs::dropped;

/// How often logs are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How often while one of them may soon be too large.
const SHORT_PERIOD: Duration = Duration::from_millis(50);
/// More than the word about what was dropped takes.
const WORD: u64 = 64;
/// What is known of a log.
#[derive(Clone, Debug)]
pub(super) struct LogState {
    bound: Bound,
    /// Its size when it was last looked at; nothing was written to the index while this is `None`.
    size: Option<u64>,
}

impl LogState {
    pub(super) fn new(limit: u64) -> Self {
        Self { bound: Bound::new(limit), size: None }
    }
}

/// Makes the sampler look, if it rests.
pub(super) fn wake(node: &Node) {
    let _guard = node.sampler.0.lock().unwrap_or_else(PoisonError::into_inner);
    node.samples.store(true, Ordering::SeqCst);
    node.sampler.1.notify_one();
}

/// The sampler's thread.
pub(crate) fn run(node: &Arc<Node>) {
    loop {
        {
            let (lock, woken) = &node.sampler;
            let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
            while !node.samples.load(Ordering::SeqCst) {
                guard = woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let mut period = PERIOD;
        loop {
            std::thread::sleep(period);
            period = tick(node);
            node.samples.store(false, Ordering::SeqCst);
            let table = node.table();
            // Looked at after the flag: a job that came in between has either set it or is seen here.
            if table.jobs.is_empty() && table.groups.is_empty() {
                break;
            }
            drop(table);
            node.samples.store(true, Ordering::SeqCst);
        }
    }
}

fn tick(node: &Arc<Node>) -> Duration {
    let now = folder::now();
    let mut looks = Vec::new();
    let mut unwritten = Vec::new();
    {
        let table = node.table();
        for (folder, job) in &table.jobs {
            match &job.stage {
                Stage::Running(_) if now.since(job.started) >= PERIOD => {
                    looks.push((folder.clone(), job.log.clone(), job.started));
                }
                Stage::Unwritten(ended) => unwritten.push((folder.clone(), ended.clone())),
                Stage::Running(_) | Stage::Beginning | Stage::Closing(..) | Stage::Finishing => {}
            }
        }
    }
    for (folder, ended) in unwritten {
        node.finish_at(&folder, &ended, super::jobs::Record::Write);
    }
    node.table().groups.retain(|group| !group.remove());
    let mut period = PERIOD;
    for (folder, mut log, started) in looks {
        // No room for the index, or the folder is gone: the next look may do better.
        if let Err(error) = look(&folder, &mut log, started, now)
            && error.kind() == io::ErrorKind::Unsupported
        {
            let reason = format!(
                "its log grew beyond {} bytes, and this file system can't drop the middle of a file",
                log.bound.limit()
            );
            note(&folder, &reason);
            node.end_because(&folder, reason);
        }
        if log.size.unwrap_or(0).saturating_sub(log.bound.hole_end()) > log.bound.limit() / 4 {
            period = SHORT_PERIOD;
        }
        if let Some(job) = node.table().jobs.get_mut(&folder) {
            job.log = log;
        }
    }
    period
}

fn look(folder: &Path, log: &mut LogState, started: Timestamp, now: Timestamp) -> io::Result<()> {
    let size = fs::metadata(folder.join(LOG))?.len();
    if log.size == Some(size) {
        return Ok(());
    }
    if log.size.is_none() {
        record(folder, Entry::Point(0, started))?;
    }
    record(folder, Entry::Point(size, now))?;
    log.size = Some(size);
    bound(folder, log, size)
}

/// The last look at the log of a job that has ended.
pub(super) fn last_look(folder: &Path, mut log: LogState) {
    let Ok(meta) = fs::metadata(folder.join(LOG)) else { return };
    let size = meta.len();
    // The end tells what could not be done here: nothing.
    if log.size.is_some_and(|known| known != size) {
        let _no_room = record(folder, Entry::Point(size, folder::now()));
    }
    if let Err(error) = bound(folder, &mut log, size)
        && error.kind() == io::ErrorKind::Unsupported
    {
        let _too_large = write_anew(folder, &log, size);
    }
}

/// Where the middle of a file can't be dropped: the log is written anew without it. Nobody writes to it any more.
fn write_anew(folder: &Path, log: &LogState, size: u64) -> io::Result<()> {
    let begin = log.bound.kept_begin();
    let mut from = File::open(folder.join(LOG))?;
    let end = log.bound.limit() - begin - WORD;
    let aside = folder.join("log.anew");
    let mut to =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    io::copy(&mut (&mut from).take(begin), &mut to)?;
    to.write_all(dropped(size - begin - end).as_bytes())?;
    from.seek(io::SeekFrom::Start(size - end))?;
    io::copy(&mut from.take(end), &mut to)?;
    fs::rename(&aside, folder.join(LOG))?;
    // It tells of places in the log as it was.
    fs::remove_file(folder.join(INDEX))
}

/// Drops the middle of a log that is too large.
fn bound(folder: &Path, log: &mut LogState, size: u64) -> io::Result<()> {
    let Some(Excess { begin, from, end }) = log.bound.excess(size) else { return Ok(()) };
    // First the word, then the deed: a reader that finds zeros looks into the index for a hole.
    record(folder, Entry::Hole(begin, end))?;
    let file = OpenOptions::new().write(true).open(folder.join(LOG))?;
    sys::punch_hole(&file, from, end).map_err(|error| match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => io::ErrorKind::Unsupported.into(),
        _ => error,
    })?;
    log.bound.dropped(end);
    Ok(())
}

fn record(folder: &Path, entry: Entry) -> io::Result<()> {
    let path: PathBuf = folder.join(INDEX);
    let mut index: File = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    index.write_all(&entry.record())
}

/// Adds a line of ours to a log.
pub(super) fn note(folder: &Path, text: &str) {
    if let Ok(mut log) = folder::open_log(folder) {
        // A full disk: the end carries the reason, too.
        let _no_room = log.write_all(format!("\nweir: {text}\n").as_bytes());
    }
}
