//! What an attempt works with, small but real: processes are spawned, folders written, ports opened. Only time is
//! made up: it moves when somebody sleeps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use weir_core::flow::Limits;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{
    AttemptContext, Clock, Handle, JobError, JobType, Launch, Log, Phase, ProcessEnd, ProcessId,
    Processes, Runs,
};
use weir_core::outcome::{ErrorClass, Outcome, Outputs};
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

/// An attempt and the world around it.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) processes: Arc<RealProcesses>,
    pub(crate) runs: Arc<ScriptedRuns>,
    pub(crate) clock: Arc<MadeUpClock>,
    pub(crate) log: Arc<Lines>,
    pub(crate) cx: AttemptContext,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let processes =
            Arc::new(RealProcesses { home: home.path().to_owned(), ..RealProcesses::default() });
        let runs = Arc::new(ScriptedRuns::default());
        let clock = Arc::new(MadeUpClock::default());
        let log = Arc::new(Lines::default());
        let working_dir = home.path().join("work");
        fs::create_dir(&working_dir).expect("the folder is ours");
        let cx = AttemptContext {
            id: AttemptId { run: RunId(7), task: TaskIx(12), number: 1 },
            phase: Phase::Work,
            project: "tap".to_owned(),
            flow: "demo".to_owned(),
            path: "group/job[0]".to_owned(),
            folder: home.path().join("attempt"),
            working_dir,
            env: Vec::new(),
            host: None,
            run_as: None,
            limits: Limits::default(),
            grace: Duration::from_secs(5),
            secrets: Arc::new([]),
            processes: processes.clone(),
            runs: runs.clone(),
            clock: clock.clone(),
            log: log.clone(),
        };
        Self { home, processes, runs, clock, log, cx }
    }

    pub(crate) fn with_secret(name: &str, value: &str) -> Self {
        let mut stage = Self::new();
        stage.cx.secrets = Arc::new([Secret::new(name, value)]);
        stage
    }

    /// A fresh attempt of the same job.
    pub(crate) fn attempt(&mut self, number: u32) {
        self.cx.id.number = number;
        self.cx.folder = self.home.path().join(format!("attempt-{number}"));
    }

    /// Checks the settings, starts the work, follows it to its end, and tells all in words.
    pub(crate) async fn play(&self, job_type: &dyn JobType, with: &Value) -> String {
        let shape =
            job_type.schema().check_value(with).into_iter().map(|f| (f.pointer, f.message, f.help));
        let beyond = job_type.check(with).into_iter().map(|f| (f.pointer, f.message, f.help));
        let wrong: Vec<_> = shape
            .chain(beyond)
            .map(|(pointer, message, help)| {
                let help = help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
                format!("wrong at `{pointer}`: {message}{help}")
            })
            .collect();
        if !wrong.is_empty() {
            return self.plain(&wrong.join("\n"));
        }
        self.run(job_type, with).await
    }

    /// As [`Stage::play`], but without the checks: what a template may still have brought about.
    pub(crate) async fn run(&self, job_type: &dyn JobType, with: &Value) -> String {
        match job_type.start(with, &self.cx).await {
            Err(error) => {
                self.plain(&format!("not begun, {}: {}", error.class.name(), error.message))
            }
            Ok(handle) => self.follow(job_type, &handle, with).await,
        }
    }

    pub(crate) async fn follow(
        &self,
        job_type: &dyn JobType,
        handle: &Handle,
        with: &Value,
    ) -> String {
        let told = match job_type.follow(handle, with, &self.cx).await {
            Ok(outcome) => in_words(&outcome),
            Err(error) => format!("no end, {}: {}", error.class.name(), error.message),
        };
        self.plain(&told)
    }

    /// The text without what differs from machine to machine.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(&self.home.path().display().to_string(), "HOME")
    }
}

pub(crate) fn in_words(outcome: &Outcome) -> String {
    let shown = |outputs: &Outputs| serde_json::to_string(outputs).expect("outputs are JSON");
    match outcome {
        Outcome::Done { outputs, exit_code } => {
            let code = exit_code.map(|code| format!(" with {code}")).unwrap_or_default();
            format!("done{code} {}", shown(outputs))
        }
        Outcome::AlreadyDone { outputs } => format!("already done {}", shown(outputs)),
        Outcome::Failed(failure) => {
            let code = failure.exit_code.map(|code| format!(" with {code}")).unwrap_or_default();
            let signal = failure.signal.map(|signal| format!(" by {signal}")).unwrap_or_default();
            format!("failed{code}{signal}, {}: {}", failure.class.name(), failure.message)
        }
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Ask { message, outputs } => format!("asks: {message} {}", shown(outputs)),
    }
}

/// Processes with the folder protocol: the folder made exclusively is the launch, `log` and `exit` are files in it,
/// `fenced` forbids a launch.
#[derive(Default)]
pub(crate) struct RealProcesses {
    home: PathBuf,
    running: Mutex<BTreeMap<PathBuf, Running>>,
    /// All that was launched, in order.
    pub(crate) launched: Mutex<Vec<Launch>>,
}

#[derive(Clone)]
struct Running {
    group: rustix::process::Pid,
    end: watch::Receiver<Option<ProcessEnd>>,
}

impl RealProcesses {
    /// Forgets what it launched, as an engine that was started anew.
    pub(crate) fn forget(&self) {
        self.running.lock().expect("no test panics here").clear();
    }

    pub(crate) fn argv(&self, at: usize) -> Vec<String> {
        self.launched.lock().expect("no test panics here")[at].argv.clone()
    }

    fn find(&self, folder: &Path) -> Option<Running> {
        self.running.lock().expect("no test panics here").get(folder).cloned()
    }

    fn spawn(&self, folder: &Path, launch: &Launch) -> std::io::Result<()> {
        let log = File::create(folder.join("log"))?;
        // Without unsafe code a descriptor of a chosen number comes about by a shell.
        let mut command = Command::new("/bin/sh");
        if let Some(script) = &launch.script {
            let mut file = tempfile::NamedTempFile::new_in(&self.home)?;
            file.write_all(script)?;
            let (_, path) = file.keep().map_err(|error| error.error)?;
            command.args(["-c", "exec 3<\"$0\"; rm \"$0\"; exec \"$@\""]).arg(path);
        } else {
            command.args(["-c", "exec \"$@\"", "sh"]);
        }
        let mut child = command
            .args(&launch.argv)
            .env_clear()
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.working_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let group = rustix::process::Pid::from_child(&child);
        let (send, end) = watch::channel(None);
        let exit = folder.join("exit");
        std::thread::spawn(move || {
            let status = child.wait().expect("the child is ours and waited for once");
            let end = match (status.code(), status.signal()) {
                (Some(code), _) => ProcessEnd::Exited(code),
                (None, signal) => ProcessEnd::Signalled(signal.unwrap_or(0)),
            };
            let text = match end {
                ProcessEnd::Exited(code) => format!("code {code}\n"),
                ProcessEnd::Signalled(signal) => format!("signal {signal}\n"),
                ProcessEnd::Lost | ProcessEnd::Fenced => String::new(),
            };
            fs::write(exit, text).expect("the attempt's folder is ours");
            send.send_replace(Some(end));
        });
        let running = Running { group, end };
        self.running.lock().expect("no test panics here").insert(folder.to_owned(), running);
        Ok(())
    }
}

#[async_trait]
impl Processes for RealProcesses {
    async fn launch(&self, id: &ProcessId, launch: Launch) -> Result<(), JobError> {
        match fs::create_dir(&id.folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(JobError::new(ErrorClass::Internal, error.to_string())),
        }
        let spawned = self.spawn(&id.folder, &launch);
        self.launched.lock().expect("no test panics here").push(launch);
        spawned.map_err(|error| JobError::new(ErrorClass::Internal, error.to_string()))
    }

    async fn wait(&self, id: &ProcessId) -> Result<ProcessEnd, JobError> {
        if let Some(mut running) = self.find(&id.folder) {
            let end = running.end.wait_for(Option::is_some).await.expect("its thread sends an end");
            return Ok(end.clone().expect("it was waited for"));
        }
        if id.folder.join("fenced").exists() {
            return Ok(ProcessEnd::Fenced);
        }
        let exit = fs::read_to_string(id.folder.join("exit")).unwrap_or_default();
        Ok(match exit.trim_end().split_once(' ') {
            Some(("code", code)) => ProcessEnd::Exited(code.parse().expect("we wrote a number")),
            Some((_, signal)) => ProcessEnd::Signalled(signal.parse().expect("we wrote a number")),
            None => ProcessEnd::Lost,
        })
    }

    async fn cancel(&self, id: &ProcessId, grace: Duration) -> Result<(), JobError> {
        use rustix::process::{Signal, kill_process_group};
        if fs::create_dir(&id.folder).is_ok() {
            File::create(id.folder.join("fenced")).expect("the attempt's folder is ours");
            return Ok(());
        }
        let Some(mut running) = self.find(&id.folder) else { return Ok(()) };
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(running.group, Signal::TERM);
        let ended = running.end.wait_for(Option::is_some);
        if tokio::time::timeout(grace, ended).await.is_err() {
            let _ = kill_process_group(running.group, Signal::KILL);
        }
        running.end.wait_for(Option::is_some).await.expect("its thread sends an end");
        Ok(())
    }
}

/// Runs that end as they are told to.
#[derive(Default)]
pub(crate) struct ScriptedRuns {
    /// What was asked for, in order.
    pub(crate) asked: Mutex<Vec<String>>,
    /// How the child run ends, with its outputs and failed jobs.
    pub(crate) end: Mutex<(String, Outputs, Vec<String>)>,
    children: Mutex<BTreeMap<AttemptId, i64>>,
}

impl ScriptedRuns {
    pub(crate) fn note(&self, what: String) {
        self.asked.lock().expect("no test panics here").push(what);
    }
}

#[async_trait]
impl Runs for ScriptedRuns {
    async fn begin(
        &self,
        parent: AttemptId,
        flow: &str,
        params: Value,
        confirm: Vec<String>,
    ) -> Result<i64, JobError> {
        if flow == "unknown" {
            return Err(JobError::new(ErrorClass::Definition, "there is no flow `unknown`"));
        }
        let mut children = self.children.lock().expect("no test panics here");
        let next = 41 + children.len() as i64;
        if let Some(run) = children.get(&parent) {
            self.note(format!("found {run}"));
            return Ok(*run);
        }
        children.insert(parent, next);
        self.note(format!("begin {flow} {params} {confirm:?} for {parent}"));
        Ok(next)
    }

    async fn wait(&self, run: i64) -> Result<(String, Outputs), JobError> {
        self.note(format!("wait {run}"));
        let (state, outputs, _) = self.end.lock().expect("no test panics here").clone();
        Ok((state, outputs))
    }

    async fn cancel(&self, run: i64) -> Result<(), JobError> {
        self.note(format!("cancel {run}"));
        Ok(())
    }

    async fn child_of(&self, parent: AttemptId) -> Option<i64> {
        self.children.lock().expect("no test panics here").get(&parent).copied()
    }

    async fn failed_jobs(&self, _run: i64) -> Vec<String> {
        self.end.lock().expect("no test panics here").2.clone()
    }
}

type Hook = Box<dyn FnMut(u64) + Send>;

/// A clock that stands still unless somebody sleeps: then it jumps.
#[derive(Default)]
pub(crate) struct MadeUpClock {
    millis: Mutex<i64>,
    hook: Mutex<Option<Hook>>,
}

/// When each test begins: 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000;

impl MadeUpClock {
    /// Milliseconds since the test began.
    pub(crate) fn elapsed(&self) -> u64 {
        *self.millis.lock().expect("no test panics here") as u64
    }

    pub(crate) fn advance(&self, span: Duration) {
        *self.millis.lock().expect("no test panics here") += span.as_millis() as i64;
    }

    /// Calls this after each sleep, with the milliseconds since the test began.
    pub(crate) fn after_sleep(&self, hook: impl FnMut(u64) + Send + 'static) {
        *self.hook.lock().expect("no test panics here") = Some(Box::new(hook));
    }
}

#[async_trait]
impl Clock for MadeUpClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH + *self.millis.lock().expect("no test panics here"))
    }

    async fn sleep(&self, span: Duration) {
        self.advance(span);
        if let Some(hook) = self.hook.lock().expect("no test panics here").as_mut() {
            hook(self.elapsed());
        }
        tokio::task::yield_now().await;
    }
}

/// A log in memory.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        self.0.lock().expect("no test panics here").join("\n")
    }
}

impl Log for Lines {
    fn line(&self, text: &str) {
        self.0.lock().expect("no test panics here").push(text.to_owned());
    }
}
