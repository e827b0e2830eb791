//! A home of its own for each test, and rows to fill it with.

use tempfile::TempDir;
use weir_core::ids::{RunId, TaskIx};
use weir_core::time::Timestamp;
use weir_engine::home::Home;
use weir_engine::store::rows::{
    AttemptRow, Batch, BlobRow, EventRow, RunChange, RunRow, TaskRow, VersionRow,
};
use weir_engine::store::{Faults, Store};

/// A task that is launched, one that runs, and one that has succeeded.
pub(crate) const LAUNCHING: u8 = 3;
pub(crate) const RUNNING: u8 = 4;
pub(crate) const SUCCEEDED: u8 = 10;
/// A run that runs, and ones that have ended.
pub(crate) const RUN_RUNNING: u8 = 1;
pub(crate) const RUN_SUCCEEDED: u8 = 6;
pub(crate) const RUN_FAILED: u8 = 7;

/// A folder that goes when the test ends.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

pub(crate) fn home(folder: &TempDir) -> Home {
    Home::open(folder.path()).expect("the home opens")
}

pub(crate) async fn open(folder: &TempDir) -> Store {
    open_with(folder, Faults::default()).await
}

pub(crate) async fn open_with(folder: &TempDir, faults: Faults) -> Store {
    Store::open_with(&home(folder), faults).await.expect("the store opens")
}

/// A point in time of our days, so that numbers are as long as they will be.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000 + millis)
}

/// SHA-256 of `name: tour`.
pub(crate) fn hash() -> String {
    "7604b8f91fa6af95c0c81bf436ac3e3f2b36f428660c197805fda7af49a725b6".to_owned()
}

/// The version that all runs are of.
pub(crate) fn version() -> Batch {
    Batch {
        blobs: vec![BlobRow { hash: hash(), content: b"name: tour".to_vec() }],
        versions: vec![VersionRow {
            hash: hash(),
            project: "tap".to_owned(),
            flow: "tour".to_owned(),
            texts: "{}".to_owned(),
            at: at(0),
        }],
        ..Batch::default()
    }
}

pub(crate) fn run_row(id: i64) -> RunRow {
    RunRow {
        id,
        project: "tap".to_owned(),
        flow: "tour".to_owned(),
        version: hash(),
        state: RUN_RUNNING,
        params: "{}".to_owned(),
        confirm: "[]".to_owned(),
        start: "{}".to_owned(),
        by: "test".to_owned(),
        due_at: at(id),
        created_at: at(id),
        started_at: Some(at(id)),
        seq: 1,
        ..RunRow::default()
    }
}

/// A new run with its first event.
pub(crate) fn new_run(id: i64) -> Batch {
    Batch { new_runs: vec![run_row(id)], events: vec![event(id, 1)], ..Batch::default() }
}

pub(crate) fn event(run: i64, seq: i64) -> EventRow {
    EventRow {
        run: RunId(run),
        seq,
        at: at(seq),
        kind: 1,
        task: None,
        attempt: None,
        by: None,
        detail: None,
    }
}

pub(crate) fn task_event(run: i64, seq: i64, task: u32) -> EventRow {
    EventRow { task: Some(TaskIx(task)), attempt: Some(1), kind: 7, ..event(run, seq) }
}

pub(crate) fn task(run: i64, task: u32, state: u8) -> TaskRow {
    TaskRow {
        run: RunId(run),
        task: TaskIx(task),
        state,
        cause: 0,
        attempt: 1,
        tries: 1,
        since: at(i64::from(task)),
        until: None,
        extra: 0,
    }
}

pub(crate) fn attempt(run: i64, task: u32, state: u8) -> AttemptRow {
    AttemptRow {
        run: RunId(run),
        task: TaskIx(task),
        number: 1,
        state,
        started_at: at(i64::from(task)),
        ended_at: (state >= 10).then(|| at(i64::from(task) + 5)),
        exit_code: (state >= 10).then_some(0),
        signal: None,
        class: None,
        message: None,
        handle: None,
    }
}

/// A transition as the floor has it: a task changes and an event says so.
pub(crate) fn transition(run: i64, seq: i64, number: u32, state: u8) -> Batch {
    Batch {
        tasks: vec![task(run, number, state)],
        events: vec![task_event(run, seq, number)],
        ..Batch::default()
    }
}

pub(crate) fn run_change(id: i64, state: u8, seq: i64) -> RunChange {
    RunChange {
        id,
        state,
        reason: None,
        paused: false,
        started_at: Some(at(id)),
        ended_at: (state >= 6).then(|| at(seq)),
        seq,
    }
}
