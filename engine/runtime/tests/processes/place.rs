//! A home of its own for a test, and the few things that tests do in it.

use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use weir_core::flow::Limits;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{JobError, Launch, Phase, ProcessEnd, ProcessId, Processes};
use weir_engine::logs::Follow;
use weir_engine::processes::{Client, Program};

/// No test waits longer for anything; a test that does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    _dir: TempDir,
    pub(crate) home: PathBuf,
    pub(crate) client: Client,
    runtime: Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let home = dir.path().to_owned();
        Self::at(dir, home)
    }

    pub(crate) fn at(dir: TempDir, home: PathBuf) -> Self {
        let client = Client::new(&home, Program::this()).expect("the home is there");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        Self { _dir: dir, home, client, runtime }
    }

    /// The engine is gone and another one has begun: all the supervisor sees of that is the connection.
    pub(crate) fn restart_engine(&mut self) {
        self.client = Client::new(&self.home, Program::this()).expect("the home is there");
    }

    pub(crate) fn id(&self, task: u32) -> ProcessId {
        let attempt = AttemptId { run: RunId(7), task: TaskIx(task), number: 1 };
        let folder = self.home.join(format!("runs/7/{task}.1"));
        ProcessId { attempt, phase: Phase::Work, folder }
    }

    /// Runs a future, with patience.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
        })
    }

    pub(crate) fn launch(&self, id: &ProcessId, launch: Launch) {
        self.wait(self.client.launch(id, launch)).expect("it starts");
    }

    pub(crate) fn end(&self, id: &ProcessId) -> ProcessEnd {
        self.wait(self.client.wait(id)).expect("it ends")
    }

    pub(crate) fn cancel(&self, id: &ProcessId, grace: Duration) {
        self.wait(self.client.cancel(id, grace)).expect("it can be cancelled");
    }

    /// Launches and waits for the end.
    pub(crate) fn run(&self, id: &ProcessId, launch: Launch) -> Result<ProcessEnd, JobError> {
        self.wait(async {
            self.client.launch(id, launch).await?;
            self.client.wait(id).await
        })
    }

    #[expect(clippy::unused_self, reason = "reads as the others do")]
    pub(crate) fn log_text(&self, id: &ProcessId) -> String {
        String::from_utf8(log(id)).expect("the log is text")
    }

    /// Waits until the log holds a text.
    pub(crate) fn until_log(&self, id: &ProcessId, text: &str) -> String {
        self.wait(async {
            let mut follow = Follow::new(&id.folder, 0);
            let mut log = String::new();
            while !log.contains(text) {
                let piece = follow.next().await.expect("the log can be read");
                let piece = piece.unwrap_or_else(|| panic!("ended without `{text}`: {log}"));
                log.push_str(&String::from_utf8_lossy(&piece));
            }
            log
        })
    }

    /// A pipe by which the test lets a job go on.
    pub(crate) fn gate(&self, name: &str) -> PathBuf {
        let path = self.home.join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        path
    }

    /// The supervisor's process id.
    pub(crate) fn supervisor(&self) -> i32 {
        let text = fs::read_to_string(self.home.join("supervisor.lock")).expect("there is a lock");
        text.trim().parse().expect("it holds a number")
    }

    /// Ends the supervisor as nothing ends it in good order.
    pub(crate) fn kill_supervisor(&self) {
        signal(self.supervisor(), "KILL");
    }

    /// Waits until no supervisor is there: until its lock is free.
    pub(crate) fn until_no_supervisor(&self) {
        let lock = File::open(self.home.join("supervisor.lock")).expect("there is a lock");
        lock.lock().expect("the lock becomes free");
    }

    /// The processes that carry the mark of an attempt of this home.
    pub(crate) fn marked(&self) -> Vec<i32> {
        let home = fs::metadata(&self.home).expect("the home is there");
        let mark = format!("WEIR_ATTEMPT={:x}-{:x}/", home.dev(), home.ino());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|byte| *byte == 0).any(|text| text.starts_with(mark.as_bytes())) {
                found.push(pid);
            }
        }
        found
    }

    /// Nothing may be left: no process, no supervisor.
    pub(crate) fn close(self) {
        assert_eq!(self.marked(), Vec::<i32>::new(), "processes are left");
        assert!(self.client.shutdown_if_idle(), "the supervisor stays");
        if self.home.join("supervisor.lock").exists() {
            self.until_no_supervisor();
        }
        let error = fs::read_to_string(self.home.join("supervisor.err")).unwrap_or_default();
        assert_eq!(error, "", "the supervisor met an error");
    }
}

/// All bytes of a log.
pub(crate) fn log(id: &ProcessId) -> Vec<u8> {
    fs::read(id.folder.join("log")).expect("there is a log")
}

/// A test that failed must not leave its jobs behind.
impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() && self.home.exists() {
            for pid in self.marked() {
                let _gone =
                    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    }
}

/// A script for sh.
pub(crate) fn sh(script: &str) -> Launch {
    Launch {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        script: None,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        working_dir: PathBuf::from("/tmp"),
        run_as: None,
        limits: Limits::default(),
        secrets: Arc::new([]),
    }
}

/// Opens a gate: whoever reads it goes on.
pub(crate) fn open_gate(path: &Path) {
    OpenOptions::new().write(true).open(path).expect("somebody reads");
}

pub(crate) fn signal(pid: i32, name: &str) {
    let done = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(done.success());
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| file.read_to_string(&mut stat))
        .is_ok_and(|_| !stat.contains(") Z "))
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
