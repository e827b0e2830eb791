//! The processes that belong to an attempt: finding them, ending them, seeing them gone.
//!
//! To a tree belong the session of the job's first process, all descendants, all processes that carry the attempt's
//! mark in their environment, all processes that hold its log open for writing, and the whole sessions of those. Only
//! a process that drops all of these at once gets away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::folder::LOG;
use super::sys::{self, PidFd};

/// The variable that marks the processes of an attempt.
pub(crate) const MARK: &str = "WEIR_ATTEMPT";
/// How long killed processes may take to go.
const BOUND: Duration = Duration::from_secs(10);
/// How often to look again where no descriptor tells.
const LOOK: Duration = Duration::from_millis(100);
/// The flag of a thread of the kernel's (`PF_KTHREAD`).
const KERNEL: u64 = 0x0020_0000;

/// What a tree is known by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// The mark with its value: `WEIR_ATTEMPT=...`.
    pub(crate) mark: Vec<u8>,
    /// The process that leads the session, where known.
    pub(crate) leader: Option<i32>,
    /// The attempt's folder.
    pub(crate) folder: PathBuf,
    /// The lists of the members of its control groups.
    pub(crate) groups: Vec<PathBuf>,
}

/// How far a tree reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only the leader's own session.
    Session,
    /// All of it.
    Tree,
}

/// Processes that would not end.
#[derive(Debug)]
pub(crate) struct Stuck(pub(crate) Vec<i32>);

/// A process at one moment. The time it started tells it from a later one with the same number.
#[derive(Clone, Debug)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    started: u64,
    /// The variable that marks it.
    mark: Option<Vec<u8>>,
    /// The files it has open for writing: device and inode.
    writes: Vec<(u64, u64)>,
}

/// All processes at one moment.
pub(crate) struct Snapshot(Vec<Process>);

impl Snapshot {
    /// Looks at the machine. Those that have ended and wait to be reaped do not count, nor does this process.
    pub(crate) fn take(reach: Reach) -> io::Result<Self> {
        let own = std::process::id() as i32;
        let mut processes = Vec::with_capacity(256);
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pid != own
                && pid != 1
                && let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
                && let Some(mut process) = parse(pid, &stat)
            {
                match reach {
                    Reach::Session => {}
                    Reach::Tree => {
                        process.mark = mark_of(pid);
                        process.writes = writes_of(pid);
                    }
                }
                processes.push(process);
            }
        }
        Ok(Self(processes))
    }

    /// The members of a tree, by number, with the time each started. `known` were members before.
    pub(crate) fn members(
        &self,
        target: &Target,
        reach: Reach,
        known: &BTreeMap<i32, u64>,
    ) -> BTreeMap<i32, u64> {
        let mut members = BTreeMap::new();
        if reach == Reach::Session {
            for process in &self.0 {
                if Some(process.session) == target.leader {
                    members.insert(process.pid, process.started);
                }
            }
            return members;
        }
        let own_session = sys::session_of(0);
        let log = fs::metadata(target.folder.join(LOG)).ok().map(|log| (log.dev(), log.ino()));
        let mut sessions: BTreeSet<i32> = target.leader.into_iter().collect();
        let grouped: BTreeSet<i32> = target
            .groups
            .iter()
            .filter_map(|list| fs::read_to_string(list).ok())
            .flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
            .collect();
        for process in &self.0 {
            if known.get(&process.pid) == Some(&process.started)
                || target.leader == Some(process.pid)
                || grouped.contains(&process.pid)
                || process.mark.as_ref() == Some(&target.mark)
                || log.is_some_and(|log| process.writes.contains(&log))
            {
                members.insert(process.pid, process.started);
                sessions.insert(process.session);
            }
        }
        if let Some(own) = own_session {
            sessions.remove(&own);
        }
        // Sessions and children, until nothing is added.
        loop {
            let before = members.len();
            for process in &self.0 {
                if !members.contains_key(&process.pid)
                    && (sessions.contains(&process.session)
                        || members.contains_key(&process.parent))
                {
                    members.insert(process.pid, process.started);
                    if Some(process.session) != own_session {
                        sessions.insert(process.session);
                    }
                }
            }
            if members.len() == before {
                return members;
            }
        }
    }
}

/// Ends a tree: TERM to all, `grace`, KILL, until none is left.
///
/// # Errors
/// Something is still there long after it was killed, or belongs to somebody else.
pub(crate) fn end(target: &Target, reach: Reach, grace: Duration) -> Result<(), Stuck> {
    let begun = Instant::now();
    let mut known = BTreeMap::new();
    let mut held: BTreeMap<(i32, u64), PidFd> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let asked_at = uptime();
    let mut is_first = true;
    loop {
        let members = match Snapshot::take(reach) {
            Ok(snapshot) => snapshot.members(target, reach, &known),
            // /proc can't be read: no descriptors, most likely. What is known is all there is.
            Err(_) => known.clone(),
        };
        if members.is_empty() {
            return Ok(());
        }
        let spent = begun.elapsed();
        let kills = spent >= grace;
        if spent >= grace.saturating_add(BOUND) {
            return Err(Stuck(members.into_keys().collect()));
        }
        held.retain(|(pid, started), _| members.get(pid) == Some(started));
        for (&pid, &started) in &members {
            let key = (pid, started);
            if let std::collections::btree_map::Entry::Vacant(place) = held.entry(key)
                && let Ok(process) = PidFd::open(pid)
                && started_at(pid) == Some(started)
            {
                place.insert(process);
            }
            let Some(process) = held.get(&key) else { continue };
            // Who has ended meanwhile is seen gone by the next look.
            if kills {
                let _gone = process.signal(libc::SIGKILL);
            } else if (is_first || started < asked_at) && told.insert(key) {
                // Not those that were started since: they are how the others tidy up.
                let _gone = process.signal(libc::SIGTERM);
                // A stopped process can't hear TERM.
                let _gone = process.signal(libc::SIGCONT);
            }
        }
        is_first = false;
        known = members;
        let limit = if kills { LOOK } else { grace.saturating_sub(spent) };
        let fds: Vec<_> = held.values().map(AsFd::as_fd).collect();
        let limit = if fds.len() < known.len() { limit.min(LOOK) } else { limit };
        if sys::poll_readable(&fds, Some(limit)).is_err() {
            std::thread::sleep(LOOK.min(limit));
        }
    }
}

/// Whether any of a tree is there.
pub(crate) fn is_alive(snapshot: &Snapshot, target: &Target) -> bool {
    !snapshot.members(target, Reach::Tree, &BTreeMap::new()).is_empty()
}

fn parse(pid: i32, stat: &str) -> Option<Process> {
    // The name may hold anything, so count from its last bracket.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let threads: u64 = fields.get(17)?.parse().ok()?;
    let flags: u64 = fields.get(6)?.parse().ok()?;
    if flags & KERNEL != 0 {
        return None;
    }
    // A first thread may have ended before the others.
    if matches!(*fields.first()?, "X" | "x") || (*fields.first()? == "Z" && threads <= 1) {
        return None;
    }
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        mark: None,
        writes: Vec::new(),
    })
}

/// The time since the machine was started, as processes tell when they were: in hundredths of a second.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split(' ').next().unwrap_or_default();
    seconds.replace('.', "").parse().unwrap_or(u64::MAX)
}

fn started_at(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &stat).map(|process| process.started)
}

fn mark_of(pid: i32) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let is_mark = |text: &&[u8]| {
        text.strip_prefix(MARK.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
    };
    environ.split(|byte| *byte == 0).find(is_mark).map(<[u8]>::to_vec)
}

fn writes_of(pid: i32) -> Vec<(u64, u64)> {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    fds.flatten()
        .filter_map(|fd| {
            let path = fd.path();
            // The link's own mode tells how the file was opened.
            let link = fs::symlink_metadata(&path).ok()?;
            let file = if link.mode() & 0o200 == 0 { None } else { fs::metadata(&path).ok() }?;
            file.is_file().then(|| (file.dev(), file.ino()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_mislead() {
        let line = "7 (a) R 1 2) S 5 7 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4321 2 3";
        let process = parse(7, line).expect("reads");
        assert_eq!((process.parent, process.session, process.started), (5, 6, 4321));
        assert!(parse(7, &line.replace(") S", ") Z")).is_none());
    }
}
