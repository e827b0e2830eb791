//! What the pure part of a run costs: time a step, bytes a task, the worst single step, what a restart costs.
//!
//! `cargo run --release -p weir-core --example step_floor`. The figures to keep: under 300 ns a step, under 150 bytes a
//! task with its rules and edges, no step of a fan-out of 100,000 over 10 ms. Exits with 1 if one is not kept.

#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use weir_core::graph::{Graph, JobRules, Scope};
use weir_core::ids::{RunId, ScopeIx, TaskIx};
use weir_core::run::{Command, Ending, Event, Out, Run, RunState, Start, owed, step};
use weir_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1);
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let mut is_kept = true;
    let mut keep = |what: &str, figure: f64, limit: f64, unit: &str| {
        let verdict = if figure < limit { "" } else { "  TOO MUCH" };
        println!("  {what:<34} {figure:>10.1} {unit} (under {limit}){verdict}");
        is_kept &= figure < limit;
    };
    for (name, needs) in [("layers of 1,000, 3 needs each", layers()), ("1 -> 99,998 -> 1", fan())]
    {
        println!("{name}");
        let figures = measure(&needs);
        keep("time a step", figures.step_ns, 300.0, "ns");
        keep("worst step", figures.worst.as_secs_f64() * 1e3, 10.0, "ms");
        keep("memory a task", figures.bytes, 150.0, "bytes");
        keep("owed, all of them at work", figures.owed.as_secs_f64() * 1e3, 10.0, "ms");
        keep("cancel, all of them at work", figures.cancel.as_secs_f64() * 1e3, 50.0, "ms");
        keep("a failure sweeps the rest", figures.sweep.as_secs_f64() * 1e3, 50.0, "ms");
    }
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Figures {
    step_ns: f64,
    worst: Duration,
    bytes: f64,
    owed: Duration,
    cancel: Duration,
    sweep: Duration,
}

/// 100 layers of 1,000 jobs; each but the first needs three of the layer above.
fn layers() -> Vec<Vec<u32>> {
    let need = |layer: u32, place: u32| (layer - 1) * 1_000 + place % 1_000;
    let job = |ix: u32| match (ix / 1_000, ix % 1_000) {
        (0, _) => Vec::new(),
        (layer, place) => {
            vec![need(layer, place), need(layer, place * 7 + 1), need(layer, place * 13 + 5)]
        }
    };
    (0..100_000).map(job).collect()
}

fn fan() -> Vec<Vec<u32>> {
    let job = |ix: u32| match ix {
        0 => Vec::new(),
        99_999 => (1..99_999).collect(),
        _ => vec![0],
    };
    (0..100_000).map(job).collect()
}

fn measure(needs: &[Vec<u32>]) -> Figures {
    let before = resident();
    let graph = graph(needs);
    let mut out = Out::default();
    let start = Start::default();
    let begin = |out: &mut Out| Run::new(RunId(1), Arc::clone(&graph), &start, NOW, NOW, out);
    let run = begin(&mut out);
    let bytes = (resident() - before) as f64 / needs.len() as f64;

    // The best of some rounds: what else the machine does is no part of it.
    let (mut step_ns, mut worst) = (f64::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let mut timed = run.clone();
        let ((steps, _), whole) = clocked(|| play(&mut timed, |_, step| step()));
        assert_eq!(timed.state(), RunState::Succeeded, "all has been done");
        step_ns = step_ns.min(whole.as_nanos() as f64 / f64::from(steps));
        let mut of_round = Duration::ZERO;
        play(&mut run.clone(), |_, step| {
            let ((), took) = clocked(step);
            of_round = of_round.max(took);
        });
        worst = worst.min(of_round);
    }

    let mut busy = run.clone();
    all_at_work(&mut busy);
    let (commands, owed_took) = clocked(|| owed(&busy));
    assert!(commands.len() >= 999, "they are at work");
    let mut cancelled = busy.clone();
    let (result, cancel) = clocked(|| step(&mut cancelled, Event::Cancelled, NOW, &mut out));
    result.expect("it can be cancelled");
    let ending = Ending::Failed(weir_core::outcome::ErrorClass::Refused);
    let first = busy.tasks().iter().position(|task| task.state.is_active());
    let task = TaskIx(first.expect("one is at work") as u32);
    let failed = Event::Ended { task, attempt: 1, ending, remedy: None };
    let (result, sweep) = clocked(|| step(&mut busy, failed, NOW, &mut out));
    result.expect("it can fail");

    Figures { step_ns, worst, bytes, owed: owed_took, cancel, sweep }
}

fn graph(needs: &[Vec<u32>]) -> Arc<Graph> {
    let rules = JobRules { scope: ScopeIx(0), ..JobRules::default() };
    let mut graph = Graph {
        scopes: vec![Scope::new(0, needs)],
        jobs: vec![rules; needs.len()],
        ..Graph::default()
    };
    graph.measure();
    Arc::new(graph)
}

/// Runs it to its end: each task is admitted and ends. Counts the steps, and the commands they gave.
fn play(run: &mut Run, mut each: impl FnMut(u32, &mut dyn FnMut())) -> (u32, usize) {
    let (mut steps, mut commands) = (0, 0);
    let mut out = Out::default();
    let mut waiting: Vec<TaskIx> = Vec::new();
    let mut one = |event: Event, out: &mut Out, waiting: &mut Vec<TaskIx>| {
        out.clear();
        each(steps, &mut || {
            step(run, event.clone(), NOW, out).expect("it is taken");
        });
        steps += 1;
        commands += out.commands.len();
        waiting.extend(out.commands.iter().filter_map(|command| match command {
            Command::Admit { task } => Some(*task),
            _ => None,
        }));
    };
    one(Event::Opened, &mut out, &mut waiting);
    while let Some(task) = waiting.pop() {
        one(Event::Admitted { task }, &mut out, &mut waiting);
        let ended = Event::Ended { task, attempt: 1, ending: Ending::Done, remedy: None };
        one(ended, &mut out, &mut waiting);
    }
    (steps, commands)
}

/// Admits all that may start, and all that may then, but lets only the first end.
fn all_at_work(run: &mut Run) {
    let mut out = Out::default();
    step(run, Event::Opened, NOW, &mut out).expect("it begins");
    let first = Event::Admitted { task: TaskIx(0) };
    let ended = Event::Ended { task: TaskIx(0), attempt: 1, ending: Ending::Done, remedy: None };
    step(run, first, NOW, &mut out).expect("the first is ready");
    step(run, ended, NOW, &mut out).expect("the first is at work");
    let ready: Vec<TaskIx> = owed(run)
        .into_iter()
        .filter_map(|command| match command {
            Command::Admit { task } => Some(task),
            _ => None,
        })
        .collect();
    for task in ready {
        step(run, Event::Admitted { task }, NOW, &mut out).expect("it is ready");
    }
}

#[expect(clippy::disallowed_methods, reason = "a clock from outside the core measures it")]
fn clocked<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = std::time::Instant::now();
    let made = work();
    (made, begin.elapsed())
}

/// Bytes of memory that the process holds (proc(5), `statm`: pages of 4 KiB).
#[expect(clippy::disallowed_methods, reason = "the system knows what the process holds")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this runs on Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("statm has the resident pages second") * 4_096
}
