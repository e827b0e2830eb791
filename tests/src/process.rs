//! Processes of this machine, as `/proc` shows them.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// A process. Its number may stand for another one later: ask at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: i32,
}

impl Process {
    /// All processes in whose arguments or environment `text` stands, but this one.
    pub fn that_know(text: &str) -> Vec<Self> {
        let own = std::process::id() as i32;
        let entries = fs::read_dir("/proc").expect("there is a /proc");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut found: Vec<Self> = pids
            .filter(|pid| *pid != own)
            .map(|pid| Self { pid })
            .filter(|process| process.knows(text))
            .collect();
        found.sort();
        found
    }

    /// Its arguments, for people.
    pub fn command(self) -> String {
        String::from_utf8_lossy(&self.read("cmdline")).replace('\0', " ").trim_end().to_owned()
    }

    /// A file of its folder in `/proc`; empty if it is gone.
    pub fn read(self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap_or_default()
    }

    /// Memory that it holds now, in bytes; 0 if it is gone.
    pub fn memory(self) -> u64 {
        let status = String::from_utf8_lossy(&self.read("status")).into_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>();
        kib.unwrap_or(0) * 1024
    }

    /// Whether it lives: what is only waited for by its parent does not.
    pub fn is_alive(self) -> bool {
        let stat = String::from_utf8_lossy(&self.read("stat")).into_owned();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Ends it at once. It may be gone already.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Sends it a signal. It may be gone already.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _gone = kill_process(pid, signal);
        }
    }

    fn knows(self, text: &str) -> bool {
        let has = |file| {
            let bytes = self.read(file);
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        has("cmdline") || has("environ")
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}
