//! A folder with a home and flows, on which a test runs the binary; all of it is gone afterwards, processes too.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Disk, Door, LIMIT, Process, built, until};

/// A folder for one test. Its path is the mark by which all processes that belong to it are known.
#[derive(Debug)]
pub struct Stage {
    dir: TempDir,
    net: Option<PathBuf>,
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// A `weir serve`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    socket: PathBuf,
}

impl Stage {
    /// A new one.
    ///
    /// # Panics
    /// There is no place for it.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("weir-").tempdir().expect("a folder can be made");
        Self { dir, net: None }
    }

    /// A new one whose commands run in that network namespace.
    pub(crate) fn in_net(net: PathBuf) -> Self {
        let mut stage = Self::new();
        stage.net = Some(net);
        stage
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The home.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It can't be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below the stage")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    /// Writes a flow of that name with these lines below its name.
    pub fn flow(&self, name: &str, body: &str) -> PathBuf {
        self.write(&format!("{name}.flow.yaml"), format!("name: {name}\n{body}"))
    }

    /// A file's text; empty if it is not there.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The binary with these arguments, the home of this stage and nothing to read.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.net {
            None => Command::new(built()),
            Some(net) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", net.display())).arg("--").arg(built());
                command
            }
        };
        command.args(args).current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command.env("WEIR_HOME", self.home()).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn weir(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args), None)
    }

    /// Runs a command that reads `input`.
    pub fn weir_reads(&self, args: &[&str], input: &str) -> Ended {
        Ended::of(self.command(args), Some(input))
    }

    /// Runs a flow; the object of the run.
    pub fn run(&self, flow: &Path, more: &[&str]) -> Value {
        let args = [&["run", path(flow), "--json"], more].concat();
        self.weir(&args).run()
    }

    /// The object of a run.
    pub fn show(&self, run: i64) -> Value {
        self.weir(&["show", &run.to_string(), "--json"]).run()
    }

    /// Proves that all records fit what happened.
    ///
    /// # Panics
    /// They do not.
    pub fn verify(&self) {
        let ended = self.weir(&["verify"]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    }

    /// Starts `weir serve` and waits until it answers.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts `weir serve` with these arguments and waits until it answers.
    ///
    /// # Panics
    /// It does not.
    pub fn serve_with(&self, args: &[&str]) -> Server {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("serve.log"))
            .expect("a log can be written");
        let mut command = self.command(&[&["serve", "--no-web"], args].concat());
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("weir can be started");
        let mut server = Server { child, socket: self.home().join("weir.sock") };
        until("the server answers", || {
            if let Some(status) = server.child.try_wait().expect("it is our child") {
                panic!("the server ended with {status}: {}", self.read("serve.log"));
            }
            let pid = server.knock()?.ask(&json!({ "call": "hello" }))?.ok()?["pid"].as_i64();
            (pid == Some(i64::from(server.pid()))).then_some(())
        });
        server
    }

    /// A small disk below this folder.
    ///
    /// # Panics
    /// Only root may have one.
    pub fn small_disk(&self, name: &str, bytes: u64) -> Disk {
        Disk::mount(self.path().join(name), bytes)
    }

    /// All processes that belong to this stage: engines, supervisors, jobs.
    pub fn processes(&self) -> Vec<Process> {
        Process::that_know(path(self.path()))
    }

    /// The supervisor of the home, if one lives.
    pub fn supervisor(&self) -> Option<Process> {
        self.processes().into_iter().find(|process| process.command().starts_with("weir supervise"))
    }

    /// Waits until no process of this stage is left.
    ///
    /// # Panics
    /// One stays.
    pub fn wait_until_empty(&self) {
        until("no process is left", || {
            let left = self.processes();
            left.iter().all(|process| !process.is_alive()).then_some(())
        });
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// The log of its server goes with the stage; this may be all that is ever known of why a test failed.
    #[expect(clippy::print_stderr, reason = "what goes there is kept with the test that failed")]
    fn tell_last_words(&self) {
        let words = fs::read_to_string(self.path().join("serve.log")).unwrap_or_default();
        let lines: Vec<&str> = words.lines().collect();
        if !lines.is_empty() {
            let last = lines[lines.len().saturating_sub(50)..].join("\n");
            eprintln!("the server's last words:\n{last}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is ended may have begun something meanwhile.
        for _ in 0..50 {
            let left = self.processes();
            if left.iter().all(|process| !process.is_alive()) {
                break;
            }
            left.into_iter().for_each(Process::kill);
        }
        if std::thread::panicking() {
            self.tell_last_words();
        }
    }
}

impl Ended {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn of(mut command: Command, input: Option<&str>) -> Self {
        let what = format!("{command:?}");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // It may end without reading.
            let _unread = stdin.write_all(input.as_bytes());
        }
        let pid = Process { pid: child.id() as i32 };
        let (sender, receiver) = mpsc::channel();
        let mut err = child.stderr.take().expect("it is piped");
        let complaints = thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
        });
        thread::spawn(move || {
            let output = child.wait_with_output();
            // Who waited may have given up.
            let _unheard = sender.send(output);
        });
        let Ok(output) = receiver.recv_timeout(LIMIT * 2) else {
            pid.kill();
            panic!("{what} does not end");
        };
        let output = output.expect("its output can be read");
        let err = complaints.join().expect("reading does not panic");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&err).into_owned(),
        }
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The run that it printed.
    pub fn run(&self) -> Value {
        self.json()["run"].take()
    }
}

/// The tasks of a run and their states, in order: `a succeeded, b failed`.
pub fn states(run: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let tasks = run["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told: Vec<String> = tasks
        .iter()
        .map(|task| format!("{} {}", text(&task["path"]), text(&task["state"])))
        .collect();
    told.join(", ")
}

impl Server {
    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process { pid: self.pid() }
    }

    /// Speaks to it; `None` if it does not answer.
    pub fn knock(&self) -> Option<Door> {
        Door::knock(&self.socket)
    }

    /// Speaks to it.
    ///
    /// # Panics
    /// It does not answer.
    pub fn door(&self) -> Door {
        self.knock().expect("the server answers")
    }

    /// Ends it at once, and waits until it is gone.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, signal: Signal) {
        self.process().signal(signal);
        until("the server has ended", || self.child.try_wait().expect("it is our child"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.end(Signal::KILL);
        }
    }
}

/// A path as an argument.
fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
