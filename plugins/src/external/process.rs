//! The process behind a call, and the lines that come from it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep};

use super::home;

/// Variables that an executable is given from Weir's own. Those of the job come over its standard input.
const VARIABLES: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];

/// A process and all that stays in its group.
pub(super) struct Group {
    child: Child,
    id: Pid,
    has_ended: bool,
}

impl Group {
    pub(super) fn spawn(program: &Path) -> io::Result<Self> {
        let given = VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(program)
            .env_clear()
            .envs(given.collect::<Vec<(&str, OsString)>>())
            .current_dir(home(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let id = Pid::from_child(&child);
        Ok(Self { child, id, has_ended: false })
    }

    pub(super) fn pipes(&mut self) -> io::Result<(pipe::Sender, Lines, Lines)> {
        let stdin = self.child.stdin.take().map(OwnedFd::from);
        let stdout = self.child.stdout.take().map(OwnedFd::from);
        let stderr = self.child.stderr.take().map(OwnedFd::from);
        let asked = "all three were asked for";
        Ok((
            pipe::Sender::from_owned_fd(stdin.expect(asked))?,
            Lines::new(pipe::Receiver::from_owned_fd(stdout.expect(asked))?),
            Lines::new(pipe::Receiver::from_owned_fd(stderr.expect(asked))?),
        ))
    }

    /// Returns some time after its end: for when something that it left behind keeps its standard output open.
    pub(super) async fn gone(&self) {
        let mut pause = Duration::from_millis(100);
        while !self.is_zombie() {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        // What it wrote last is on its way.
        sleep(Duration::from_millis(200)).await;
    }

    /// Waits for its end, at most so long; then ends all that is left of it. How it ended, if by itself.
    pub(super) async fn leave(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        while !self.is_zombie() && Instant::now() < deadline {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        let by_itself = self.is_zombie();
        self.end().filter(|_| by_itself)
    }

    /// Whether the process has ended, without taking its number away from it.
    fn is_zombie(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pid(self.id), look), Ok(Some(_)))
    }

    /// Kills the group. Only before the process is waited for: after that its number may be another's.
    fn end(&mut self) -> Option<ExitStatus> {
        if self.has_ended {
            return None;
        }
        self.has_ended = true;
        // It fails if nothing is left.
        let _ = kill_process_group(self.id, Signal::KILL);
        self.child.wait().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// A line, or what there is of it.
pub(super) enum Line {
    Whole(String),
    Part(String),
    End,
}

/// The lines that come through a pipe.
pub(super) struct Lines {
    pipe: pipe::Receiver,
    held: Vec<u8>,
    /// How much of what is held has no end of a line in it.
    searched: usize,
}

impl Lines {
    fn new(pipe: pipe::Receiver) -> Self {
        Self { pipe, held: Vec::new(), searched: 0 }
    }

    /// The next line, or a part of it if it has `limit` bytes. Nothing is lost if this is dropped.
    pub(super) async fn next(&mut self, limit: usize) -> io::Result<Line> {
        loop {
            let end = self.held[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                return Ok(Line::Whole(self.take(self.searched + end + 1)));
            }
            if self.held.len() >= limit {
                return Ok(Line::Part(self.take(limit)));
            }
            self.searched = self.held.len();
            if self.pipe.read_buf(&mut self.held).await? == 0 {
                let rest = self.held.len();
                return Ok(if rest == 0 { Line::End } else { Line::Whole(self.take(rest)) });
            }
        }
    }

    fn take(&mut self, length: usize) -> String {
        let rest = self.held.split_off(length);
        let mut line = std::mem::replace(&mut self.held, rest);
        self.searched = 0;
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        String::from_utf8_lossy(&line).into_owned()
    }
}
