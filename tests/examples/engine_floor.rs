//! What the whole engine costs: flows of processes and of `noop` jobs, durable and with logs kept, against the least
//! that any engine must do, in rotating rounds of one run. Only the ratios mean something on another machine.
//!
//! `engine_floor [DIR] [ROUNDS]`: DIR is where all of them write, best on a file system made for it.
//! `engine_floor DIR large`: only the DAG of 100,000 jobs, in a process of its own so that its memory can be told.

#![expect(
    clippy::format_push_string,
    reason = "the texts of a benchmark are made once, before it is measured"
)]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use weir_core::ids::{RunId, TaskIx};
use weir_core::job_types::JobTypes;
use weir_core::run::{RunState, TaskState};
use weir_core::time::Timestamp;
use weir_engine::begin::Begin;
use weir_engine::engine::{Config, Engine};
use weir_engine::home::{Home, HomeLock};
use weir_engine::library::{Library, Loaded, Source};
use weir_engine::processes::Program;
use weir_engine::store::Store;
use weir_engine::store::rows::{Batch, EventRow, RunRow, TaskRow};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let second = arguments.next();
    let result = if second.as_deref() == Some("large") {
        large_alone(&dir)
    } else {
        measure(&dir, second.and_then(|text| text.parse().ok()).unwrap_or(7))
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("engine_floor: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _nobody = writeln!(io::stdout(), "{line}");
}

fn bench(dir: &Path) -> Outcome<Bench> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let library = Arc::new(library()?);
    Ok(Bench { dir: dir.to_owned(), runtime, turn: AtomicU32::new(0), library })
}

fn large_alone(dir: &Path) -> Outcome<()> {
    let scratch = tempfile::tempdir_in(dir)?;
    bench(scratch.path())?.large(100_000)
}

fn measure(dir: &Path, rounds: usize) -> Outcome<()> {
    let scratch = tempfile::tempdir_in(dir)?;
    let bench = bench(scratch.path())?;
    let (w1, w2, w3) = (chain(40), fan(1_000, "command"), layers(10, 100));
    let ninja = Command::new("ninja").arg("--version").stdout(Stdio::null()).status().is_ok();

    Bench::compare(
        "W1, a chain of 40, per link",
        40,
        rounds,
        &[
            ("serial sh -c true + fdatasync", Box::new(|| bench.serial(40))),
            ("weir", Box::new(|| bench.flow(&w1))),
        ],
    )?;
    for (name, text, edges) in [
        ("W2, 1 + 1,000 + 1, per task", &w2, Shape::Fan),
        ("W3, 10 layers of 100, per task", &w3, Shape::Layers),
    ] {
        let mut subjects: Vec<Subject<'_>> = vec![
            ("two spawners, log file, own group", Box::new(|| bench.engine_like(1_000))),
            ("weir", Box::new(|| bench.flow(text))),
        ];
        if ninja {
            let bench = &bench;
            subjects.push(("ninja -j2", Box::new(move || bench_ninja(bench, edges))));
        }
        Bench::compare(name, 1_000, rounds, &subjects)?;
    }
    bench.noops(20_000)?;
    bench.start(rounds)?;
    bench.recovery()?;
    let status = Command::new(std::env::current_exe()?).arg(dir).arg("large").status()?;
    if status.success() { Ok(()) } else { Err("the large DAG failed".into()) }
}

type Subject<'a> = (&'static str, Box<dyn Fn() -> Outcome<Duration> + 'a>);

#[derive(Clone, Copy)]
enum Shape {
    Fan,
    Layers,
}

struct Bench {
    dir: PathBuf,
    runtime: tokio::runtime::Runtime,
    turn: AtomicU32,
    library: Arc<Library>,
}

fn library() -> Outcome<Library> {
    Library::new(JobTypes::new(weir_plugins::all()), Vec::new())
        .map_err(|_| "an empty catalogue has no mistakes".into())
}

impl Bench {
    /// Rotates the subjects through the rounds and prints the medians and the median of each round's ratio to the first.
    fn compare(what: &str, tasks: u32, rounds: usize, subjects: &[Subject<'_>]) -> Outcome<()> {
        let mut times = vec![Vec::new(); subjects.len()];
        for round in 0..rounds {
            for step in 0..subjects.len() {
                let subject = (round + step) % subjects.len();
                times[subject].push(subjects[subject].1()?.as_secs_f64() / f64::from(tasks) * 1e6);
            }
        }
        say(&format!("{what} ({rounds} rounds)"));
        for (subject, (name, _)) in subjects.iter().enumerate() {
            let ratios =
                times[subject].iter().zip(&times[0]).map(|(own, floor)| own / floor).collect();
            say(&format!(
                "  {name:36} {:8.0} us   ratio {:.2}",
                median(times[subject].clone()),
                median(ratios)
            ));
        }
        Ok(())
    }

    fn folder(&self) -> Outcome<PathBuf> {
        let folder = self.dir.join(self.turn.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn load(&self, folder: &Path, text: &str) -> Outcome<Loaded> {
        let file = folder.join("bench.flow.yaml");
        fs::write(&file, text)?;
        let source = Source::read(&file)?;
        self.library
            .load(&source)
            .map_err(|mistakes| weir_engine::api::render_mistakes(&mistakes, &source).into())
    }

    async fn engine(&self, folder: &Path) -> Outcome<(HomeLock, Engine)> {
        let home = Home::open(&folder.join("home"))?;
        let lock = HomeLock::take(&home, "engine_floor")?;
        let library = Arc::clone(&self.library);
        let config = Config { home, slots: 16, library, program: Program::this(), takes_up: true };
        Ok((lock, Engine::start(config).await?))
    }

    /// A flow from its begin to its end, in an engine that has started.
    fn flow(&self, text: &str) -> Outcome<Duration> {
        let folder = self.folder()?;
        let loaded = self.load(&folder, text)?;
        self.runtime.block_on(async {
            let (_lock, engine) = self.engine(&folder).await?;
            warm_up(&engine, &self.library, &folder).await?;
            let begun = Instant::now();
            let run = engine.handle().begin(Begin::flow(loaded, "bench")).await?;
            engine.handle().ended(run).await;
            let took = begun.elapsed();
            let state = engine.handle().store().run(run).await?.map(|run| run.state);
            engine.stop().await;
            if state != Some(RunState::Succeeded.code()) {
                return Err(format!("the run ended in state {state:?}").into());
            }
            Ok(took)
        })
    }

    fn serial(&self, tasks: u32) -> Outcome<Duration> {
        let mut file = File::create(self.folder()?.join("synced"))?;
        let begun = Instant::now();
        for _ in 0..tasks {
            Command::new("sh")
                .args(["-c", "true"])
                .stdin(Stdio::null())
                .process_group(0)
                .status()?;
            file.write_all(&[0; 512])?;
            file.sync_data()?;
        }
        Ok(begun.elapsed())
    }

    /// Two threads that start processes with two pipes and a log file each, and keep nothing else.
    fn engine_like(&self, tasks: u32) -> Outcome<Duration> {
        let folder = self.folder()?;
        let next = AtomicU32::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            break;
                        }
                        one_engine_like(&folder.join(format!("{task}.log")))
                            .expect("a process and a file can be made");
                    }
                });
            }
        });
        Ok(begun.elapsed())
    }

    /// `noop` jobs: each is launched and ends, durable, with its events.
    fn noops(&self, jobs: u32) -> Outcome<()> {
        let took = self.flow(&fan(jobs, "noop"))?;
        let rate = f64::from(jobs) / took.as_secs_f64();
        say(&format!("{jobs} noop jobs in one run: {rate:.0} jobs a second"));
        Ok(())
    }

    fn start(&self, rounds: usize) -> Outcome<()> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let folder = self.folder()?;
            let mark = folder.join("mark");
            let loaded = self.load(&folder, &format!("name: first\njobs:\n  a:\n    uses: command\n    with: {{ script: 'date +%s%N > {}' }}\n", mark.display()))?;
            let begun = std::time::SystemTime::now();
            self.runtime.block_on(async {
                let (_lock, engine) = self.engine(&folder).await?;
                let run = engine.handle().begin(Begin::flow(loaded, "bench")).await?;
                engine.handle().ended(run).await;
                engine.stop().await;
                Outcome::Ok(())
            })?;
            let nanos: u128 = fs::read_to_string(&mark)?.trim().parse()?;
            let begun = begun.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
            times.push((nanos - begun) as f64 / 1e6);
        }
        say(&format!(
            "start in an empty home to the first job's own first line: {:.0} ms",
            median(times)
        ));
        Ok(())
    }

    fn recovery(&self) -> Outcome<()> {
        let folder = self.folder()?;
        let loaded = self.load(&folder, &recovery_flow())?;
        self.runtime.block_on(async {
            let home = Home::open(&folder.join("home"))?;
            let lock = HomeLock::take(&home, "engine_floor")?;
            let store = Store::open(&home).await?;
            store.commit(unfinished(&loaded, 10_000)).await.map_err(|error| error.to_string())?;
            store.close().await;
            drop(lock);
            let begun = Instant::now();
            let (_lock, engine) = self.engine(&folder).await?;
            let state = engine.handle().state(RunId(10_000)).await;
            let took = begun.elapsed();
            engine.stop().await;
            say(&format!(
                "start with 10,000 unfinished runs of 20 tasks: {} ms (the last is {state:?})",
                took.as_millis()
            ));
            Ok(())
        })
    }

    fn large(&self, jobs: u32) -> Outcome<()> {
        let folder = self.folder()?;
        let text = fan(jobs, "noop");
        let begun = Instant::now();
        let loaded = self.load(&folder, &text)?;
        let checked = begun.elapsed();
        let begun = Instant::now();
        let took = self.runtime.block_on(async {
            let (_lock, engine) = self.engine(&folder).await?;
            let run = engine.handle().begin(Begin::flow(loaded, "bench")).await?;
            engine.handle().ended(run).await;
            let took = begun.elapsed();
            engine.stop().await;
            Outcome::Ok(took)
        })?;
        say(&format!(
            "a DAG of {jobs} jobs: checked in {} ms, run in {} ms, at most {} MB in all",
            checked.as_millis(),
            took.as_millis(),
            peak_kib()? / 1024
        ));
        Ok(())
    }
}

/// The first job of an engine starts the supervisor: not what is measured here.
async fn warm_up(engine: &Engine, library: &Library, folder: &Path) -> Outcome<()> {
    let file = folder.join("warm.flow.yaml");
    fs::write(&file, "name: warm\njobs:\n  a: { uses: command, with: { script: 'true' } }\n")?;
    let loaded =
        library.load(&Source::read(&file)?).map_err(|_| "the warm-up flow has no mistakes")?;
    let run = engine.handle().begin(Begin::flow(loaded, "bench")).await?;
    engine.handle().ended(run).await;
    Ok(())
}

fn one_engine_like(log: &Path) -> io::Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut file = File::create(log)?;
    let mut text = Vec::new();
    child.stdout.take().expect("it is piped").read_to_end(&mut text)?;
    child.stderr.take().expect("it is piped").read_to_end(&mut text)?;
    file.write_all(&text)?;
    child.wait()?;
    Ok(())
}

fn bench_ninja(bench: &Bench, shape: Shape) -> Outcome<Duration> {
    let folder = bench.folder()?;
    let mut text = "rule t\n  command = true\n".to_owned();
    match shape {
        Shape::Fan => {
            text.push_str("build root: t\n");
            let mut all = String::new();
            for n in 0..1_000 {
                text.push_str(&format!("build j{n}: t root\n"));
                all.push_str(&format!(" j{n}"));
            }
            text.push_str(&format!("build sink: t{all}\n"));
        }
        Shape::Layers => {
            for layer in 0..10 {
                for n in 0..100 {
                    let needs = if layer == 0 {
                        String::new()
                    } else {
                        format!(" l{}n{n} l{}n{}", layer - 1, layer - 1, (n + 1) % 100)
                    };
                    text.push_str(&format!("build l{layer}n{n}: t{needs}\n"));
                }
            }
        }
    }
    fs::write(folder.join("build.ninja"), text)?;
    let begun = Instant::now();
    let status = Command::new("ninja")
        .arg("-j2")
        .arg("--quiet")
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()?;
    let took = begun.elapsed();
    if status.success() { Ok(took) } else { Err("ninja failed".into()) }
}

fn job(text: &mut String, name: &str, uses: &str, needs: &[String]) {
    text.push_str(&format!("  {name}:\n    uses: {uses}\n"));
    if uses == "command" {
        text.push_str("    with: { script: 'true' }\n");
    }
    if !needs.is_empty() {
        text.push_str(&format!("    needs: [{}]\n", needs.join(", ")));
    }
}

fn chain(jobs: u32) -> String {
    let mut text = "name: w1\njobs:\n".to_owned();
    for n in 0..jobs {
        let needs: Vec<String> =
            n.checked_sub(1).map(|before| format!("c{before}")).into_iter().collect();
        job(&mut text, &format!("c{n}"), "command", &needs);
    }
    text
}

fn fan(jobs: u32, uses: &str) -> String {
    let mut text = "name: w2\njobs:\n".to_owned();
    job(&mut text, "root", uses, &[]);
    let names: Vec<String> = (0..jobs).map(|n| format!("j{n}")).collect();
    for name in &names {
        job(&mut text, name, uses, &["root".to_owned()]);
    }
    job(&mut text, "sink", uses, &names);
    text
}

fn layers(layers: u32, width: u32) -> String {
    let mut text = "name: w3\njobs:\n".to_owned();
    for layer in 0..layers {
        for n in 0..width {
            let needs = if layer == 0 {
                Vec::new()
            } else {
                vec![format!("l{}n{n}", layer - 1), format!("l{}n{}", layer - 1, (n + 1) % width)]
            };
            job(&mut text, &format!("l{layer}n{n}"), "command", &needs);
        }
    }
    text
}

fn recovery_flow() -> String {
    let mut text = "name: many\njobs:\n".to_owned();
    for n in 0..20 {
        let needs: Vec<String> = if n == 0 { Vec::new() } else { vec![format!("c{}", n - 1)] };
        if n == 10 {
            text.push_str(&format!(
                "  c{n}:\n    uses: approve\n    with: {{ message: go on? }}\n    needs: [{}]\n",
                needs.join(", ")
            ));
        } else {
            job(&mut text, &format!("c{n}"), "noop", &needs);
        }
    }
    text
}

/// Runs that stand in the middle: ten tasks have ended, one asks, the rest waits.
fn unfinished(loaded: &Loaded, runs: i64) -> Batch {
    let mut batch = Batch {
        versions: vec![loaded.version.clone()],
        blobs: loaded.blobs.clone(),
        ..Batch::default()
    };
    let at = Timestamp::from_millis(1_700_000_000_000);
    for id in 1..=runs {
        batch.new_runs.push(RunRow {
            id,
            flow: loaded.version.flow.clone(),
            version: loaded.version.hash.clone(),
            state: RunState::Asking.code(),
            params: "{}".to_owned(),
            confirm: "[]".to_owned(),
            start: "{}".to_owned(),
            by: "bench".to_owned(),
            due_at: at,
            created_at: at,
            started_at: Some(at),
            seq: 1,
            ..RunRow::default()
        });
        batch.events.push(EventRow {
            run: RunId(id),
            seq: 1,
            at,
            kind: 33,
            task: None,
            attempt: None,
            by: None,
            detail: None,
        });
        for task in 0..11 {
            let state = if task < 10 {
                TaskState::Skipped.code()
            } else {
                TaskState::Asking(weir_core::run::Question::Approval).code()
            };
            batch.tasks.push(TaskRow {
                run: RunId(id),
                task: TaskIx(task),
                state,
                cause: 0,
                attempt: 0,
                tries: 0,
                since: at,
                until: None,
                extra: 0,
            });
        }
    }
    batch
}

fn peak_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("the kernel tells no peak")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
