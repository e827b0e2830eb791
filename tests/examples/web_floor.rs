//! What the pages and the API cost, through the built binary: from a trigger by HTTP to the job's process; lists over
//! 1,000,000 past runs, and the start before them; 500 who watch one run; 10,000 schedules of which none is due.
//!
//! `web_floor [PART]...`: `trigger`, `lists`, `watchers`, `idle`; all if none is named. It writes below `TMPDIR`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use weir_core::job_types::JobTypes;
use weir_core::run::RunState;
use weir_core::time::Timestamp;
use weir_engine::home::{Home, HomeLock};
use weir_engine::library::{Library, Source};
use weir_engine::store::Store;
use weir_engine::store::rows::{Batch, RunRow};
use weir_tests::{Process, Site, Stage};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// So many past runs.
const PAST: i64 = 1_000_000;
/// So many watch one run.
const WATCHERS: usize = 500;
/// So many schedules.
const SCHEDULES: usize = 10_000;

fn main() -> ExitCode {
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    type Part = fn() -> Outcome<()>;
    let all: [(&str, Part); 4] =
        [("trigger", trigger), ("lists", lists), ("watchers", watchers), ("idle", idle)];
    for (name, part) in all {
        if wanted(name)
            && let Err(error) = part()
        {
            say(&format!("web_floor {name}: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let _nobody = writeln!(io::stdout(), "{line}");
}

fn share(sorted: &[Duration], per_thousand: usize) -> Duration {
    sorted[(sorted.len() - 1) * per_thousand / 1000]
}

fn tell(what: &str, mut took: Vec<Duration>, wanted: &str) {
    took.sort();
    let (half, most) = (share(&took, 500), share(&took, 990));
    say(&format!("{what}: p50 {half:.2?}, p99 {most:.2?} (wanted: {wanted})"));
}

/// A connection that stays open.
struct Line {
    reader: BufReader<TcpStream>,
    head: String,
}

impl Line {
    fn open(to: SocketAddr, token: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let head = format!("Host: {to}\r\nAuthorization: Bearer {token}\r\n");
        Ok(Self { reader: BufReader::new(stream), head })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Outcome<()> {
        let mut text = format!("{method} {path} HTTP/1.1\r\n{}", self.head);
        if method == "POST" {
            write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())?;
        }
        write!(text, "\r\n{body}")?;
        self.reader.get_mut().write_all(text.as_bytes())?;
        Ok(())
    }

    /// Sends a request and reads the answer.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Outcome<String> {
        self.send(method, path, body)?;
        self.answer().map_err(|error| format!("{method} {path}: {error}").into())
    }

    fn answer(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.reader.read_exact(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status.starts_with('2') { Ok(answer) } else { Err(format!("{status} {answer}").into()) }
    }
}

fn token(stage: &Stage) -> Outcome<String> {
    let made = stage.weir(&["token", "add", "bench", "--role", "admin"]);
    if made.code == 0 { Ok(made.out.trim().to_owned()) } else { Err(made.err.into()) }
}

fn begin(line: &mut Line, flow: &str) -> Outcome<i64> {
    let answer = line.ask("POST", &format!("/api/v1/flows/-/{flow}/runs"), "{}")?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    answer["run"]["id"].as_i64().ok_or_else(|| "no run".into())
}

/// From the request that begins a run to the first thing its shell does.
fn trigger() -> Outcome<()> {
    const WARM: usize = 50;
    const COUNT: usize = 500;
    let stage = Stage::new();
    let pipe = stage.path().join("pipe");
    if !Command::new("mkfifo").arg(&pipe).status()?.success() {
        return Err("mkfifo failed".into());
    }
    let script = format!("echo x > {}", pipe.display());
    let flow = format!("jobs: {{ a: {{ uses: command, with: {{ script: '{script}' }} }} }}\n");
    stage.write("flows/tick.flow.yaml", format!("name: tick\n{flow}"));
    let mut come = File::options().read(true).write(true).open(&pipe)?;
    let site = stage.site(&["flows"]);
    let mut line = Line::open(site.address, &token(&stage)?)?;
    let mut took = Vec::new();
    for turn in 0..WARM + COUNT {
        let begun = Instant::now();
        line.send("POST", "/api/v1/flows/-/tick/runs", "{}")?;
        let mut said = [0; 2];
        come.read_exact(&mut said)?;
        if turn >= WARM {
            took.push(begun.elapsed());
        }
        line.answer()?;
        // The run ends meanwhile.
        std::thread::sleep(Duration::from_millis(5));
    }
    tell("trigger by HTTP to the first act of the job's shell", took, "p50 3 ms, p99 15 ms");
    Ok(())
}

/// Pages of runs while there are very many, and the start before them.
fn lists() -> Outcome<()> {
    const COUNT: usize = 200;
    let stage = Stage::new();
    let file = stage.write("flows/tick.flow.yaml", "name: tick\njobs: { a: { uses: noop } }\n");
    let begun = Instant::now();
    fill(&stage, &file)?;
    say(&format!("{PAST} past runs written in {:.1?}", begun.elapsed()));
    let begun = Instant::now();
    let site = stage.site(&["flows"]);
    say(&format!("start with them, up to the first page: {:.0?} (wanted: 1 s)", begun.elapsed()));
    let mut line = Line::open(site.address, &token(&stage)?)?;
    let far = PAST - 50 * 10_000;
    for (what, path) in [
        ("runs, first page", "/runs".to_owned()),
        ("runs, 10,000th page", format!("/runs?before={far}")),
        ("runs of a flow, first page", "/runs?flow=tick&project=".to_owned()),
        ("runs of a flow, far page", format!("/runs?flow=tick&before={far}")),
        ("failed runs, first page", "/runs?state=failed".to_owned()),
        ("failed runs, far page", format!("/runs?state=failed&before={far}")),
        ("running runs", "/runs?state=running".to_owned()),
        ("runs as JSON, first page", "/api/v1/runs".to_owned()),
        ("runs as JSON, 10,000th page", format!("/api/v1/runs?cursor={far}")),
        ("flows", "/flows".to_owned()),
        ("a flow", "/flows/-/tick".to_owned()),
        ("diagnoses", "/diagnoses".to_owned()),
        ("what asks", "/asking".to_owned()),
        ("audit", "/audit".to_owned()),
        ("system", "/system".to_owned()),
        ("metrics", "/metrics".to_owned()),
    ] {
        let mut took = Vec::new();
        for _ in 0..COUNT {
            let begun = Instant::now();
            line.ask("GET", &path, "")?;
            took.push(begun.elapsed());
        }
        tell(what, took, "p99 15 ms");
    }
    say(&format!("memory: {} MB", megabytes(&site)));
    Ok(())
}

/// Past runs as rows: nine of ten went well, a tenth of them is of one flow.
fn fill(stage: &Stage, file: &std::path::Path) -> Outcome<()> {
    const BATCH: i64 = 20_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let library = Library::new(JobTypes::new(weir_plugins::all()), Vec::new())
        .map_err(|_| "an empty catalogue has no mistakes")?;
    let source = Source::read(file)?;
    let loaded = library.load(&source).map_err(|_| "the flow has no mistakes")?;
    runtime.block_on(async {
        let home = Home::open(&stage.home())?;
        let _lock = HomeLock::take(&home, "web_floor")?;
        let store = Store::open(&home).await?;
        let mut batch = Batch {
            versions: vec![loaded.version.clone()],
            blobs: loaded.blobs.clone(),
            ..Batch::default()
        };
        for id in 1..=PAST {
            let at = Timestamp::from_millis(1_700_000_000_000 + id * 1000);
            let state = match id % 50 {
                1..5 => RunState::Failed,
                5 => RunState::Cancelled,
                _ => RunState::Succeeded,
            };
            let flow = if id % 10 == 0 { "tick".to_owned() } else { format!("other-{}", id % 37) };
            batch.new_runs.push(RunRow {
                id,
                flow,
                version: loaded.version.hash.clone(),
                state: state.code(),
                params: "{}".to_owned(),
                confirm: "[]".to_owned(),
                start: "{}".to_owned(),
                by: "bench".to_owned(),
                due_at: at,
                created_at: at,
                started_at: Some(at),
                ended_at: Some(at.plus(Duration::from_secs(7))),
                ..RunRow::default()
            });
            if id % BATCH == 0 {
                let full = std::mem::take(&mut batch);
                store.commit(full).await.map_err(|error| error.to_string())?;
            }
        }
        store.close().await;
        Ok(())
    })
}

/// Many watch one run while it moves.
fn watchers() -> Outcome<()> {
    let stage = Stage::new();
    let wait = format!("until [ -e {}/go ]; do sleep 0.05; done", stage.path().display());
    let mut flow =
        format!("name: long\njobs:\n  a0: {{ uses: command, with: {{ script: '{wait}' }} }}\n");
    for at in 1..100 {
        writeln!(flow, "  a{at}: {{ needs: [a{}], uses: noop }}", at - 1)?;
    }
    stage.write("flows/long.flow.yaml", flow);
    let site = stage.site(&["flows"]);
    let token = token(&stage)?;
    for (what, path) in
        [("the page's stream", "/runs/{}/stream"), ("the API's events", "/api/v1/runs/{}/events")]
    {
        let mut line = Line::open(site.address, &token)?;
        let run = begin(&mut line, "long")?;
        let path = path.replace("{}", &run.to_string());
        let before = megabytes(&site);
        let mut all = Vec::new();
        for _ in 0..WATCHERS {
            let mut line = Line::open(site.address, &token)?;
            line.send("GET", &path, "")?;
            let mut head = String::new();
            line.reader.read_line(&mut head)?;
            if !head.contains("200") {
                return Err(head.into());
            }
            all.push(line);
        }
        let held = megabytes(&site);
        stage.write("go", "");
        let (used, begun) = (cpu(site.process())?, Instant::now());
        for line in &mut all {
            let mut seen = String::new();
            while !seen.contains("run-succeeded") && !seen.contains("event: end") {
                seen.clear();
                if line.reader.read_line(&mut seen)? == 0 {
                    return Err("a stream ended early".into());
                }
            }
        }
        let after = megabytes(&site);
        say(&format!(
            "{WATCHERS} watch a run by {what}: {before} MB before, {held} MB while they wait, {after} MB at its end \
             (wanted: under 100 MB more); all had heard the end after {:.0?} and {:.1} s of a core",
            begun.elapsed(),
            cpu(site.process())? - used
        ));
        fs::remove_file(stage.path().join("go"))?;
    }
    Ok(())
}

/// Many schedules, none of them due.
fn idle() -> Outcome<()> {
    const LOOK: Duration = Duration::from_secs(30);
    let stage = Stage::new();
    let mut flow = String::from("name: many\nschedules:\n");
    for at in 0..SCHEDULES {
        let (minute, hour) = (at % 60, at / 60 % 24);
        writeln!(flow, "  - {{ id: s{at}, cron: \"0 {minute} {hour} 1 1 ? 2099\" }}")?;
    }
    flow.push_str("jobs: { a: { uses: noop } }\n");
    stage.write("flows/many.flow.yaml", flow);
    let begun = Instant::now();
    let site = stage.site(&["flows"]);
    say(&format!("start with {SCHEDULES} schedules: {:.0?}", begun.elapsed()));
    std::thread::sleep(Duration::from_secs(5));
    let (used, begun) = (cpu(site.process())?, Instant::now());
    std::thread::sleep(LOOK);
    let part = (cpu(site.process())? - used) / begun.elapsed().as_secs_f64() * 100.0;
    say(&format!(
        "{SCHEDULES} schedules, none due: {part:.2} % of a core (wanted: 0.2 %), {} MB (wanted: 40 MB)",
        megabytes(&site)
    ));
    Ok(())
}

fn megabytes(site: &Site) -> u64 {
    site.process().memory() / 1_000_000
}

/// Seconds of processor time that a process has used.
fn cpu(process: Process) -> Outcome<f64> {
    const TICKS: f64 = 100.0;
    let stat = String::from_utf8_lossy(&process.read("stat")).into_owned();
    let rest = stat.rsplit_once(") ").ok_or("it is gone")?.1;
    let ticks: Vec<u64> =
        rest.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / TICKS)
}
