//! A home and a folder of flows that are thrown away, and the binary to be tried on them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the binary runs, with a home in it.
pub(crate) struct Stage {
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    folder: String,
}

/// A command that is still running; its standard error is read line by line.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    seen: String,
    folder: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A stage with one flow, `NAME.flow.yaml`.
    pub(crate) fn with(name: &str, text: &str) -> Self {
        let stage = Self::new();
        stage.flow(name, text);
        stage
    }

    pub(crate) fn flow(&self, name: &str, text: &str) {
        self.file(&format!("{name}.flow.yaml"), &format!("name: {name}\n{text}"));
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The binary with these arguments (split at blanks), in a clean environment.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(args.split_whitespace()).current_dir(self.folder.path()).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = self.home();
        command.env("PATH", path).env("WEIR_HOME", home).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        command
            .env("USER", "ann")
            .env("WEIR_TEST_FAULTS", "1")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn weir(&self, args: &str) -> Said {
        self.run(self.command(args))
    }

    pub(crate) fn run(&self, mut command: Command) -> Said {
        let output = command.output().expect("the binary starts");
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
            folder: self.folder.path().display().to_string(),
        }
    }

    /// As [`Self::weir`], with something on standard input.
    pub(crate) fn fed(&self, args: &str, input: &str) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        child
            .stdin
            .take()
            .expect("it was asked for")
            .write_all(input.as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
            folder: self.folder.path().display().to_string(),
        }
    }

    /// Starts the binary without waiting for its end.
    pub(crate) fn start(&self, args: &str) -> Running {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("it was asked for"));
        Running {
            child,
            lines,
            seen: String::new(),
            folder: self.folder.path().display().to_string(),
        }
    }

    /// The object of `weir show`.
    /// Waits until the job `work` of run 1 has said that it has begun: it is told of when it is launched.
    pub(crate) fn begun<'r>(&self, running: &'r mut Running) -> &'r mut Running {
        running.wait_for("work: running");
        let log = self.home().join("runs/1/0.1/log");
        let bound = Instant::now() + Duration::from_mins(1);
        while !fs::read_to_string(&log).is_ok_and(|text| text.contains("begun")) {
            assert!(Instant::now() < bound, "the job never begins");
            std::thread::yield_now();
        }
        running
    }

    pub(crate) fn show(&self, run: i64) -> Value {
        self.weir(&format!("show {run} --json")).json()["run"].clone()
    }
}

impl Running {
    /// Reads lines of standard error until one holds `words`.
    pub(crate) fn wait_for(&mut self, words: &str) -> &mut Self {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).expect("text");
            assert!(count > 0, "it ended without saying `{words}`:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(words) {
                return self;
            }
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> &mut Self {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
        self
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("text");
        let mut out = String::new();
        self.child.stdout.take().expect("it was asked for").read_to_string(&mut out).expect("text");
        let status = self.child.wait().expect("it ends");
        Said { code: status.code(), out, err: format!("{}{rest}", self.seen), folder: self.folder }
    }
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All that was said, without what differs from one time to the next.
    pub(crate) fn told(&self) -> String {
        let code = self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        let mut text = String::new();
        for (name, said) in [("out", &self.out), ("err", &self.err)] {
            if !said.is_empty() {
                text.extend(["--- ", name, "\n", said]);
            }
        }
        format!("{}--- exit {code}\n", steady(&text.replace(&self.folder, "DIR")))
    }
}

/// Times, spans and hashes as words.
pub(crate) fn steady(text: &str) -> String {
    let rules = [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "WHEN"),
        (r"\b\d\d:\d\d:\d\d\b", "TIME"),
        (r" *\b\d+\.\d s\b", " SPAN"),
        (r"\b[0-9a-f]{64}\b", "VERSION"),
        (r"\b[0-9a-f]{12}\b", "VERSION"),
        (r"process \d+", "process PID"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, words)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *words).into_owned()
    })
}
