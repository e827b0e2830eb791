//! What the supervisor costs: a task through client and supervisor against the least that any engine must do, in
//! rotating rounds of one run; only the ratios mean something from one machine to the next.
//!
//! `spawn_floor [DIR] [ROUNDS] [TASKS]`: DIR is where all of them write, best on a file system made for it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use weir_core::flow::Limits;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{JobError, Launch, Phase, ProcessEnd, ProcessId};
use weir_core::secret::Secret;
use weir_engine::processes::{Client, Ended, Program};

/// Bytes of a large log.
const LOG: usize = 256 << 20;

fn main() -> ExitCode {
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(9);
    let tasks = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(400);
    let dir = tempfile::tempdir_in(dir).expect("the folder can be written to");
    match measure(dir.path(), rounds, tasks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Something to measure: it gets a folder of its own.
type Subject<'a> = (&'static str, Box<dyn Fn(&Path) -> io::Result<()> + 'a>);

fn measure(dir: &Path, rounds: usize, tasks: u32) -> io::Result<()> {
    let home = dir.join("home");
    fs::create_dir(&home)?;
    let client = Arc::new(Client::new(&home, Program::this())?);
    // The first job starts the supervisor.
    supervised(&client, &home.join("first"), 1, 1);
    for parallel in [2, 1] {
        let subjects: Vec<Subject<'_>> = vec![
            ("engine-like", Box::new(|dir| engine_like(dir, tasks, parallel))),
            (
                "supervised",
                Box::new(|dir| {
                    supervised(&client, dir, tasks, parallel);
                    Ok(())
                }),
            ),
        ];
        compare(&format!("{tasks} x sh -c true, {parallel} parallel"), dir, rounds, &subjects)?;
    }
    let source = dir.join("source");
    let line = b"a line of fifty-two bytes, as a job might write it.\n";
    fs::write(&source, line.iter().copied().cycle().take(LOG).collect::<Vec<u8>>())?;
    let job = format!("cat {}", source.display());
    let subjects: Vec<Subject<'_>> = vec![
        (
            "cat | cat > file",
            Box::new(|dir| {
                let script = format!("{job} | cat > {}/log", dir.display());
                let status = Command::new("sh").arg("-c").arg(script).status()?;
                assert!(status.success());
                Ok(())
            }),
        ),
        (
            "captured",
            Box::new(|dir| {
                capture(&client, dir, &job, &[]);
                Ok(())
            }),
        ),
        (
            "masked",
            Box::new(|dir| {
                capture(&client, dir, &job, &[Secret::new("s", "hunter2-hunter2")]);
                Ok(())
            }),
        ),
    ];
    compare("a log of 256 MB", dir, rounds.min(7), &subjects)?;
    assert!(client.shutdown_if_idle());
    Ok(())
}

fn compare(what: &str, dir: &Path, rounds: usize, subjects: &[Subject<'_>]) -> io::Result<()> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            let own = dir.join(format!("round-{round}-{at}"));
            fs::create_dir(&own)?;
            let begun = Instant::now();
            subjects[at].1(&own)?;
            times[at].push(begun.elapsed());
            fs::remove_dir_all(&own)?;
        }
    }
    let out = &mut io::stdout();
    writeln!(out, "{what}, median of {rounds} rounds")?;
    for (at, (name, _)) in subjects.iter().enumerate() {
        let mut ratios: Vec<f64> = times[at]
            .iter()
            .zip(&times[0])
            .map(|(own, floor)| own.as_secs_f64() / floor.as_secs_f64())
            .collect();
        let mut own = times[at].clone();
        own.sort_unstable();
        ratios.sort_by(f64::total_cmp);
        let middle = own.len() / 2;
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        writeln!(
            out,
            "  {name:18} {:9.1} ms, time ratio {:.2} ({low:.2} to {high:.2}), speed ratio {:.2}",
            own[middle].as_secs_f64() * 1e3,
            ratios[middle],
            1.0 / ratios[middle]
        )?;
    }
    Ok(())
}

/// The least an engine does: two pipes read to their ends, a log file, a process group. Survives nothing.
fn engine_like(dir: &Path, tasks: u32, parallel: u32) -> io::Result<()> {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..parallel)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            return Ok(());
                        }
                        let mut log = File::create(dir.join(format!("{task}.log")))?;
                        let mut child = Command::new("/bin/sh")
                            .args(["-c", "true"])
                            .env_clear()
                            .env("PATH", "/usr/bin:/bin")
                            .stdin(Stdio::null())
                            .stdout(Stdio::piped())
                            .stderr(Stdio::piped())
                            .process_group(0)
                            .spawn()?;
                        let mut text = Vec::new();
                        if let Some(mut pipe) = child.stdout.take() {
                            pipe.read_to_end(&mut text)?;
                        }
                        if let Some(mut pipe) = child.stderr.take() {
                            pipe.read_to_end(&mut text)?;
                        }
                        log.write_all(&text)?;
                        child.wait()?;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("the thread does not panic")?;
        }
        Ok(())
    })
}

fn order(script: &str, secrets: &[Secret]) -> Launch {
    Launch {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        script: None,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        working_dir: "/".into(),
        run_as: None,
        limits: Limits::default(),
        secrets: Arc::from(secrets),
    }
}

fn id(dir: &Path, task: u32) -> ProcessId {
    let attempt = AttemptId { run: RunId(1), task: TaskIx(task), number: 1 };
    ProcessId { attempt, phase: Phase::Work, folder: dir.join(format!("{task}.1")) }
}

/// Each end launches the next task, in the thread that tells it.
fn supervised(client: &Arc<Client>, dir: &Path, tasks: u32, parallel: u32) {
    let (sender, receiver) = mpsc::channel();
    let chain = Chain {
        client: Arc::clone(client),
        dir: dir.to_owned(),
        launch: order("true", &[]),
        next: AtomicU32::new(0),
        tasks,
        sender,
    };
    let chain = Arc::new(chain);
    for _ in 0..parallel {
        Arc::clone(&chain).launch_next();
    }
    for _ in 0..tasks {
        let end = receiver.recv_timeout(Duration::from_mins(1)).expect("it ends");
        assert_eq!(end, Ok(ProcessEnd::Exited(0)));
    }
}

struct Chain {
    client: Arc<Client>,
    dir: PathBuf,
    launch: Launch,
    next: AtomicU32,
    tasks: u32,
    sender: mpsc::Sender<Result<ProcessEnd, JobError>>,
}

impl Chain {
    fn launch_next(self: Arc<Self>) {
        let task = self.next.fetch_add(1, Ordering::Relaxed);
        if task >= self.tasks {
            return;
        }
        let own = Arc::clone(&self);
        let on_end = Box::new(move |ended: Ended| {
            let sender = own.sender.clone();
            own.launch_next();
            sender.send(ended.end).expect("somebody listens");
        });
        self.client.launch_with(&id(&self.dir, task), &self.launch, on_end);
    }
}

fn capture(client: &Client, dir: &Path, job: &str, secrets: &[Secret]) {
    let (sender, receiver) = mpsc::channel();
    let id = id(dir, 0);
    let on_end = Box::new(move |ended: Ended| {
        sender.send(ended.end).expect("somebody listens");
    });
    client.launch_with(&id, &order(job, secrets), on_end);
    let end = receiver.recv_timeout(Duration::from_mins(1)).expect("it ends");
    assert_eq!(end, Ok(ProcessEnd::Exited(0)));
    assert_eq!(fs::metadata(id.folder.join("log")).expect("there is a log").len(), LOG as u64);
}
