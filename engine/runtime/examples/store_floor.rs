//! How near the store comes to what SQLite itself can do.
//!
//! The floor: one thread takes all that waits (4,096 at most) and commits it in one transaction, synced, an UPDATE of a
//! task and an INSERT of an event for each transition, with prepared statements and nothing between it and SQLite. The
//! store does the same through its public face, with the tables and checks it has. Both in the same second, in turns;
//! what counts is the ratio.
//!
//! `cargo run --release -p weir-engine --example store_floor [-- ROUNDS [MILLISECONDS [FOLDER]]]`

#![expect(unsafe_code, reason = "the floor is SQLite's own C interface")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;
use weir_core::ids::{RunId, TaskIx};
use weir_core::time::Timestamp;
use weir_engine::home::Home;
use weir_engine::store::Store;
use weir_engine::store::rows::{Batch, BlobRow, EventRow, RunRow, TaskRow, VersionRow};

const TASKS: u32 = 100_000;
const OUTSTANDING: [usize; 4] = [1, 16, 128, 1_024];

/// A change of a task, and the event that says so.
#[derive(Clone, Copy)]
struct Transition {
    task: u32,
    seq: i64,
    at: i64,
}

/// What one way did in one turn.
#[derive(Clone, Copy, Default)]
struct Figures {
    each_second: f64,
    /// Of the whole process, in microseconds.
    cpu_each: f64,
    /// Median and 99th percentile from submitting to hearing, in microseconds.
    p50: f64,
    p99: f64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize =
        arguments.next().map_or(7, |text| text.parse().expect("ROUNDS is a number"));
    let millis: u64 =
        arguments.next().map_or(500, |text| text.parse().expect("MILLISECONDS is a number"));
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let span = Duration::from_millis(millis);
    let folder = tempfile::tempdir_in(folder).expect("a folder can be made");
    let mut raw = Raw::open(&folder.path().join("raw.db"));
    let mut store = Ours::open(&folder.path().join("home"));

    println!(
        "transitions a second (CPU microseconds each) [p50, p99 in ms], {rounds} rounds of {millis} ms"
    );
    for outstanding in OUTSTANDING {
        let mut turns: Vec<(Figures, Figures)> = Vec::new();
        let before = store.store.counts();
        for round in 0..=rounds {
            let (first, second);
            if round % 2 == 0 {
                first = raw.measure(outstanding, span);
                second = store.measure(outstanding, span);
            } else {
                second = store.measure(outstanding, span);
                first = raw.measure(outstanding, span);
            }
            // The first round warms up.
            if round > 0 {
                turns.push((first, second));
            }
        }
        let of =
            |pick: &dyn Fn(&(Figures, Figures)) -> f64| median(turns.iter().map(pick).collect());
        println!(
            "{outstanding:>5}: raw {:>7.0} ({:>5.1}) [{:.2}, {:.2}]  store {:>7.0} ({:>5.1}) [{:.2}, {:.2}]  rate {:.2}  cpu {:.2}",
            of(&|(raw, _)| raw.each_second),
            of(&|(raw, _)| raw.cpu_each),
            of(&|(raw, _)| raw.p50 / 1e3),
            of(&|(raw, _)| raw.p99 / 1e3),
            of(&|(_, ours)| ours.each_second),
            of(&|(_, ours)| ours.cpu_each),
            of(&|(_, ours)| ours.p50 / 1e3),
            of(&|(_, ours)| ours.p99 / 1e3),
            of(&|(raw, ours)| ours.each_second / raw.each_second),
            of(&|(raw, ours)| ours.cpu_each / raw.cpu_each),
        );
        let after = store.store.counts();
        let commits = (after.commits - before.commits) as f64;
        println!(
            "       store: {:.1} transitions and {:.1} statements a commit",
            (after.orders - before.orders) as f64 / commits,
            (after.statements - before.statements) as f64 / commits
        );
    }
    store.close();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Keeps `outstanding` transitions under way for `span`, and waits for the last.
fn drive(
    outstanding: usize,
    span: Duration,
    seq: &mut i64,
    ended: &Receiver<i64>,
    mut submit: impl FnMut(Transition),
) -> Figures {
    let first = *seq;
    let mut begun_at: Vec<Instant> = Vec::new();
    let mut took: Vec<f64> = Vec::new();
    let mut next = |begun_at: &mut Vec<Instant>| {
        *seq += 1;
        begun_at.push(Instant::now());
        // Side by side, as the tasks of a run are.
        let task = *seq % i64::from(TASKS);
        submit(Transition { task: task as u32, seq: *seq, at: 1_795_000_000_000 + *seq });
    };
    let cpu = cpu_ticks();
    let begun = Instant::now();
    for _ in 0..outstanding {
        next(&mut begun_at);
    }
    let mut under_way = outstanding;
    while under_way > 0 {
        let done = ended.recv().expect("the writer lives");
        took.push(begun_at[(done - first - 1) as usize].elapsed().as_secs_f64() * 1e6);
        if begun.elapsed() < span {
            next(&mut begun_at);
        } else {
            under_way -= 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let count = took.len() as f64;
    took.sort_by(f64::total_cmp);
    Figures {
        each_second: count / seconds,
        cpu_each: (cpu_ticks() - cpu) as f64 * 10_000.0 / count,
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    }
}

/// The processor time of this process, in hundredths of a second (`proc(5)`).
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let after_name = stat.rsplit(')').next().expect("the name ends");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// SQLite without anything around it.
struct Raw {
    sender: Sender<Transition>,
    ended: Receiver<i64>,
    seq: i64,
}

impl Raw {
    fn open(path: &Path) -> Self {
        let database = Sqlite::open(path);
        database.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE task (run INTEGER, task INTEGER, state INTEGER, attempt INTEGER, since INTEGER,
               PRIMARY KEY (run, task)) WITHOUT ROWID;
             CREATE INDEX task_open ON task (run, task) WHERE state < 10;
             CREATE TABLE event (run INTEGER, seq INTEGER, at INTEGER, kind INTEGER, task INTEGER, attempt INTEGER,
               PRIMARY KEY (run, seq)) WITHOUT ROWID;",
        );
        database.execute(&format!(
            "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < {})
             INSERT INTO task SELECT 1, i, 0, 0, 0 FROM n",
            TASKS - 1
        ));
        let (sender, orders) = channel::<Transition>();
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            let begin = database.prepare(c"BEGIN IMMEDIATE");
            let update = database.prepare(
                c"UPDATE task SET state = ?, attempt = ?, since = ? WHERE run = ? AND task = ?",
            );
            let insert = database.prepare(
                c"INSERT INTO event (run, seq, at, kind, task, attempt) VALUES (?, ?, ?, ?, ?, ?)",
            );
            let commit = database.prepare(c"COMMIT");
            while let Ok(first) = orders.recv() {
                let batch: Vec<Transition> =
                    std::iter::once(first).chain(orders.try_iter().take(4_095)).collect();
                database.step(begin, &[]);
                for it in &batch {
                    database.step(update, &[3 + it.seq % 2, 1, it.at, 1, i64::from(it.task)]);
                    database.step(insert, &[1, it.seq, it.at, 7, i64::from(it.task), 1]);
                }
                database.step(commit, &[]);
                for it in &batch {
                    if tell.send(it.seq).is_err() {
                        return;
                    }
                }
            }
        });
        Self { sender, ended, seq: 0 }
    }

    fn measure(&mut self, outstanding: usize, span: Duration) -> Figures {
        let sender = self.sender.clone();
        drive(outstanding, span, &mut self.seq, &self.ended, |transition| {
            sender.send(transition).expect("the writer lives");
        })
    }
}

/// A connection; used by one thread, and open as long as the program.
struct Sqlite(*mut ffi::sqlite3);

// SAFETY: it is handed to the one thread that uses it from then on.
unsafe impl Send for Sqlite {}

impl Sqlite {
    fn open(path: &Path) -> Self {
        let path = CString::new(path.to_str().expect("a plain path")).expect("no NUL");
        let mut database = std::ptr::null_mut();
        // SAFETY: the path ends in NUL, and the pointer's place is ours.
        let code = unsafe { ffi::sqlite3_open(path.as_ptr(), &raw mut database) };
        assert_eq!(code, ffi::SQLITE_OK);
        Self(database)
    }

    fn execute(&self, sql: &str) {
        let sql = CString::new(sql).expect("no NUL");
        // SAFETY: the connection is open, the text ends in NUL, and no callback is given.
        let code = unsafe {
            ffi::sqlite3_exec(
                self.0,
                sql.as_ptr(),
                None,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(code, ffi::SQLITE_OK, "{sql:?}");
    }

    fn prepare(&self, sql: &CStr) -> *mut ffi::sqlite3_stmt {
        let mut statement = std::ptr::null_mut();
        // SAFETY: as above; the statement lives as long as the program.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                self.0,
                sql.as_ptr(),
                -1,
                &raw mut statement,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(code, ffi::SQLITE_OK, "{sql:?}");
        statement
    }

    fn step(&self, statement: *mut ffi::sqlite3_stmt, values: &[i64]) {
        // SAFETY: the statement is of this connection and has as many places as there are values.
        unsafe {
            for (place, value) in (1..).zip(values) {
                ffi::sqlite3_bind_int64(statement, place, *value);
            }
            let code = ffi::sqlite3_step(statement);
            assert_eq!(code, ffi::SQLITE_DONE, "{:?}", CStr::from_ptr(ffi::sqlite3_errmsg(self.0)));
            ffi::sqlite3_reset(statement);
        }
    }
}

/// The store through its public face.
struct Ours {
    runtime: tokio::runtime::Runtime,
    store: Store,
    tell: Sender<i64>,
    ended: Receiver<i64>,
    seq: i64,
}

impl Ours {
    fn open(path: &Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = runtime.block_on(async {
            let store = Store::open(&Home::open(path).expect("it opens")).await.expect("it opens");
            let hash = "5e".repeat(32);
            let run = RunRow {
                id: 1,
                version: hash.clone(),
                params: "{}".to_owned(),
                confirm: "[]".to_owned(),
                start: "{}".to_owned(),
                ..RunRow::default()
            };
            let version = VersionRow {
                hash: hash.clone(),
                project: String::new(),
                flow: "bench".to_owned(),
                texts: "{}".to_owned(),
                at: Timestamp::ZERO,
            };
            let mut batch = Batch {
                blobs: vec![BlobRow { hash, content: Vec::new() }],
                versions: vec![version],
                new_runs: vec![run],
                ..Batch::default()
            };
            batch.tasks = (0..TASKS)
                .map(|task| row(Transition { task, seq: 0, at: 1_795_000_000_000 }))
                .collect();
            store.commit(batch).await.expect("it commits");
            store
        });
        let (tell, ended) = channel();
        Self { runtime, store, tell, ended, seq: 0 }
    }

    fn measure(&mut self, outstanding: usize, span: Duration) -> Figures {
        let (store, tell) = (&self.store, &self.tell);
        drive(outstanding, span, &mut self.seq, &self.ended, |transition| {
            let event = EventRow {
                run: RunId(1),
                seq: transition.seq,
                at: Timestamp::from_millis(transition.at),
                kind: 7,
                task: Some(TaskIx(transition.task)),
                attempt: Some(1),
                by: None,
                detail: None,
            };
            let batch =
                Batch { tasks: vec![row(transition)], events: vec![event], ..Batch::default() };
            let tell = tell.clone();
            store.submit(
                batch,
                Box::new(move |result| {
                    result.expect("it commits");
                    // At the end nobody listens any more.
                    let _ = tell.send(transition.seq);
                }),
            );
        })
    }

    fn close(self) {
        let expected = self.seq;
        let Self { runtime, store, .. } = self;
        runtime.block_on(async {
            let last = store.events(RunId(1), expected - 1, 10).await.expect("readable");
            assert_eq!(last.len(), 1, "all is there");
            store.close().await;
        });
    }
}

fn row(transition: Transition) -> TaskRow {
    TaskRow {
        run: RunId(1),
        task: TaskIx(transition.task),
        state: (3 + transition.seq % 2) as u8,
        cause: 0,
        attempt: 1,
        tries: 1,
        since: Timestamp::from_millis(transition.at),
        until: None,
        extra: 0,
    }
}
