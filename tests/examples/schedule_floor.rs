//! What the scheduler costs: 10,000 schedules due in one second, all durable; how late schedules are that are spread
//! over half a minute; what 10,000 of them cost while none is due.
//!
//! `schedule_floor [DIR]`: DIR is where it writes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::ids::RunId;
use weir_core::time::Timestamp;
use weir_engine::engine::{Config, Engine, wall_clock};
use weir_engine::home::{Home, HomeLock};
use weir_engine::library::Library;
use weir_engine::processes::Program;
use weir_engine::store::rows::FireRow;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// So many schedules.
const MANY: usize = 10_000;

fn main() -> ExitCode {
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            measure(&dir, Spread::OneInstant).await?;
            measure(&dir, Spread::HalfAMinute).await
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("schedule_floor: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _nobody = writeln!(io::stdout(), "{line}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    OneInstant,
    HalfAMinute,
}

async fn measure(dir: &Path, spread: Spread) -> Outcome<()> {
    let scratch = tempfile::tempdir_in(dir)?;
    let flows = scratch.path().join("flows");
    std::fs::create_dir(&flows)?;
    // Read before it is due: in a debug build that takes its time.
    let begin = wall_clock().plus(Duration::from_secs(30));
    let begin = Timestamp::from_millis(begin.millis() - begin.millis() % 1000);
    let mut text = String::from("name: many\nschedules:\n");
    for at in 0..MANY {
        let more = match spread {
            Spread::OneInstant => 0,
            Spread::HalfAMinute => at as u64 * 30_000 / MANY as u64,
        };
        let due = begin.plus(Duration::from_millis(more));
        writeln!(text, "  - {{ id: s{at}, at: \"{due}\" }}")?;
    }
    text.push_str("jobs:\n  a: { uses: noop }\n");
    std::fs::write(flows.join("many.flow.yaml"), text)?;

    let home = Home::open(&scratch.path().join("home"))?;
    let _lock = HomeLock::take(&home, "schedule_floor")?;
    let types = weir_core::job_types::JobTypes::new(weir_plugins::all());
    let library = Library::new(types, Vec::new()).map_err(|_| "the catalogue is empty")?;
    let engine = Engine::start(Config {
        home,
        slots: 8,
        library: Arc::new(library),
        program: Program::this(),
        takes_up: true,
    })
    .await?;
    let handle = engine.handle();
    let begun = Instant::now();
    handle.watch_folders(vec![flows]).await;
    say(&format!("{MANY} schedules read and in effect: {:.0?}", begun.elapsed()));
    let cpu = cpu_time()?;
    let waited = Instant::now();
    let until = Timestamp::from_millis(begin.millis() - 500).since(wall_clock());
    tokio::time::sleep(until).await;
    let share = cpu_time()?.saturating_sub(cpu).as_secs_f64() / waited.elapsed().as_secs_f64();
    say(&format!("while none is due, for {until:.0?}: {:.2} % of a core", share * 100.0));
    let store = handle.store();
    let last = loop {
        if store.last_run_id().await? >= RunId(MANY as i64) {
            break wall_clock();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    if spread == Spread::OneInstant {
        say(&format!("due at one instant: all durable after {:?}", last.since(begin)));
    }
    let mut late = Vec::with_capacity(MANY);
    for row in store.schedules().await? {
        let fires: Vec<FireRow> = store.fires(row.id, None, 10).await?;
        let [fire] = fires.as_slice() else {
            return Err(format!("{} fired {} times", row.name, fires.len()).into());
        };
        let run = store.run(RunId(fire.run.ok_or("it began no run")?)).await?.ok_or("no run")?;
        if run.created_at < fire.due_at {
            return Err(format!("{} was early", row.name).into());
        }
        late.push(run.created_at.since(fire.due_at));
    }
    late.sort();
    let of = |part: usize| late[(late.len() - 1) * part / 100];
    if spread == Spread::HalfAMinute {
        say(&format!(
            "spread over 30 s: late p50 {:?}, p99 {:?}, most {:?}",
            of(50),
            of(99),
            of(100)
        ));
    }
    engine.stop().await;
    Ok(())
}

/// What this process has used of the processors.
fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(") ").ok_or("no such file")?.1;
    let ticks: Vec<u64> =
        rest.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
