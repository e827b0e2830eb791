//! Commits: together, in order, with few statements, and again after a failure.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use weir_core::ids::RunId;
use weir_engine::store::rows::Batch;
use weir_engine::store::{Advice, CommitError, Fault, Faults, Point, Trouble};

use crate::fixture::{
    LAUNCHING, RUN_SUCCEEDED, RUNNING, SUCCEEDED, attempt, event, folder, new_run, open, open_with,
    run_change, run_row, task, task_event, transition, version,
};

#[tokio::test]
async fn what_is_committed_can_be_read() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let batch = Batch {
        runs: vec![run_change(1, RUN_SUCCEEDED, 3)],
        attempts: vec![attempt(1, 0, SUCCEEDED)],
        ..transition(1, 2, 0, SUCCEEDED)
    };
    store.commit(batch).await.expect("it commits");
    store.close().await;

    let store = open(&folder).await;
    let run = store.run(RunId(1)).await.expect("it can be read").expect("it is there");
    assert_eq!((run.state, run.seq, run.by.as_str()), (RUN_SUCCEEDED, 3, "test"));
    assert_eq!(store.tasks(RunId(1)).await.expect("readable"), vec![task(1, 0, SUCCEEDED)]);
    assert_eq!(store.attempts(RunId(1)).await.expect("readable"), vec![attempt(1, 0, SUCCEEDED)]);
    assert_eq!(
        store.events(RunId(1), 0, 10).await.expect("readable"),
        vec![event(1, 1), task_event(1, 2, 0)]
    );
}

/// Holds the writer in a commit until `go` is sent, so that a test can fill the queue behind it.
struct Gate {
    reached: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

fn gate() -> (Gate, Faults) {
    let (tell, reached) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(Some(wait));
    let faults = Faults::new(move |point| {
        if point == Point::BeforeCommit
            && let Some(wait) = wait.lock().expect("nobody panics here").take()
        {
            tell.send(()).expect("the test waits for it");
            wait.recv().expect("the test lets it go");
        }
        Fault::None
    });
    (Gate { reached, go }, faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_waits_is_committed_together_and_the_last_word_wins() {
    let folder = folder();
    let (gate, faults) = gate();
    let store = open_with(&folder, faults).await;
    let first = store.commit(version());
    gate.reached.recv().expect("the writer is in its first commit");
    let mut waiting = vec![tokio::spawn(store.commit(new_run(1)))];
    for round in 0..100 {
        let state = if round == 99 { SUCCEEDED } else { RUNNING };
        waiting.push(tokio::spawn(store.commit(Batch {
            attempts: vec![attempt(1, 0, state)],
            ..transition(1, 2 + round, 0, state)
        })));
    }
    gate.go.send(()).expect("the writer waits");
    first.await.expect("it commits");
    for commit in waiting {
        commit.await.expect("it does not panic").expect("it commits");
    }
    let counts = store.counts();
    assert_eq!((counts.commits, counts.orders), (2, 102));
    // Blob and version; then one run, one task, one attempt, and all 101 events.
    assert_eq!(counts.rows, 2 + 3 + 101);
    assert_eq!(store.tasks(RunId(1)).await.expect("readable"), vec![task(1, 0, SUCCEEDED)]);
    assert_eq!(store.attempts(RunId(1)).await.expect("readable"), vec![attempt(1, 0, SUCCEEDED)]);
    let seqs: Vec<i64> = store
        .events(RunId(1), 0, 1_000)
        .await
        .expect("readable")
        .iter()
        .map(|event| event.seq)
        .collect();
    assert_eq!(seqs, (1..=101).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_commit_has_few_statements() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let mut seq = 1;
    for count in [1_u32, 2, 3, 16, 17, 255, 256, 257, 700, 1_023, 1_024, 1_025, 3_000] {
        let mut batch = Batch::default();
        for number in 0..count {
            seq += 1;
            batch.tasks.push(task(1, number, RUNNING));
            batch.attempts.push(attempt(1, number, RUNNING));
            batch.events.push(task_event(1, seq, number));
        }
        batch.runs.push(run_change(1, 1, seq));
        let before = store.counts();
        store.commit(batch).await.expect("it commits");
        let after = store.counts();
        let statements = after.statements - before.statements;
        let tables = 4;
        let allowed = 4 + 2 * tables * u64::from(count).div_ceil(1_024);
        assert!(
            statements <= allowed,
            "{count} rows a table: {statements} statements, allowed {allowed}"
        );
        if count <= 256 {
            assert_eq!(statements, 2 + tables, "{count} rows a table");
        }
        assert_eq!(after.commits, before.commits + 1);
        assert_eq!(after.rows - before.rows, u64::from(count) * 3 + 1);
    }
    assert_eq!(store.tasks(RunId(1)).await.expect("readable").len(), 3_000);
    let last = store.events(RunId(1), seq - 1, 10).await.expect("readable");
    assert_eq!(last, vec![task_event(1, seq, 2_999)]);
}

#[tokio::test]
async fn a_plain_thread_submits_and_is_called_in_order() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let (tell, told) = mpsc::channel();
    let other = store.clone();
    std::thread::spawn(move || {
        for seq in 2..500 {
            let tell = tell.clone();
            other.submit(
                transition(1, seq, 0, RUNNING),
                Box::new(move |result| tell.send(result.map(|()| seq)).expect("the test listens")),
            );
        }
    })
    .join()
    .expect("it does not panic");
    let order: Vec<i64> = told.iter().map(|result| result.expect("it commits")).collect();
    assert_eq!(order, (2..500).collect::<Vec<_>>());
}

/// Fails as told, commit by commit; afterwards never.
fn script(faults: impl IntoIterator<Item = (Point, Fault)>) -> Faults {
    let left = Mutex::new(faults.into_iter().collect::<VecDeque<_>>());
    Faults::new(move |point| {
        let mut left = left.lock().expect("nobody panics here");
        match left.front() {
            Some((at, fault)) if *at == point => {
                let fault = *fault;
                left.pop_front();
                fault
            }
            _ => Fault::None,
        }
    })
}

#[tokio::test]
async fn after_a_failure_order_is_kept_and_all_can_be_tried_again() {
    let folder = folder();
    let store = open_with(
        &folder,
        script([
            (Point::BeforeCommit, Fault::None),
            (Point::BeforeCommit, Fault::None),
            (Point::BeforeCommit, Fault::Fail(Trouble::Full)),
        ]),
    )
    .await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");

    let failed = store.commit(transition(1, 2, 0, RUNNING)).await.expect_err("the disk is full");
    assert_eq!((failed.trouble, failed.trouble.advice()), (Trouble::Full, Advice::Retry));
    assert!(failed.to_string().starts_with("the disk is full; free some space"), "{failed}");
    assert_eq!(*failed.batch, transition(1, 2, 0, RUNNING));
    // What comes later is not kept without what came before, although the disk has space again.
    let held = store.commit(transition(1, 3, 0, SUCCEEDED)).await.expect_err("it is held");
    assert_eq!((held.trouble, held.trouble.advice()), (Trouble::Held, Advice::Retry));
    assert_eq!(store.tasks(RunId(1)).await.expect("readable"), vec![]);

    store.resume();
    let mut both = *failed.batch;
    both.append(*held.batch);
    store.commit(both).await.expect("it commits");
    assert_eq!(store.tasks(RunId(1)).await.expect("readable"), vec![task(1, 0, SUCCEEDED)]);
    assert_eq!(store.events(RunId(1), 0, 10).await.expect("readable").len(), 3);
}

#[tokio::test]
async fn a_writer_that_dies_has_kept_all_or_nothing() {
    for (point, kept) in [(Point::BeforeCommit, 0), (Point::AfterCommit, 1)] {
        let folder = folder();
        let store = open(&folder).await;
        store.commit(version()).await.expect("it commits");
        store.commit(new_run(1)).await.expect("it commits");
        store.close().await;

        let store = open_with(&folder, script([(point, Fault::Die)])).await;
        let error = store.commit(transition(1, 2, 0, RUNNING)).await.expect_err("nobody answers");
        assert_eq!(error.trouble, Trouble::Closed);
        drop(store);
        let store = open(&folder).await;
        assert_eq!(store.tasks(RunId(1)).await.expect("readable").len(), kept, "{point:?}");
        assert_eq!(store.events(RunId(1), 1, 10).await.expect("readable").len(), kept, "{point:?}");
    }
}

#[tokio::test]
async fn impossible_rows_are_refused_and_others_are_not_harmed() {
    let folder = folder();
    let (gate, faults) = gate();
    let store = open_with(&folder, faults).await;
    let first = store.commit(version());
    gate.reached.recv().expect("the writer is in its first commit");
    let good = store.commit(new_run(1));
    let mut bad = new_run(2);
    bad.new_runs[0].state = RUN_SUCCEEDED;
    let bad = store.commit(bad);
    let later = store.commit(new_run(3));
    gate.go.send(()).expect("the writer waits");
    first.await.expect("it commits");
    good.await.expect("it commits");
    let error = bad.await.expect_err("it has no end");
    assert_eq!((error.trouble, error.trouble.advice()), (Trouble::Refused, Advice::Stop));
    assert_eq!(later.await.expect_err("it is held").trouble, Trouble::Held);
    assert_eq!(store.last_run_id().await.expect("readable"), RunId(1));
    store.resume();

    let unknown_version = || {
        let mut batch = new_run(2);
        batch.new_runs[0].version = "00".repeat(32);
        batch
    };
    let cases: Vec<(&str, Batch)> = vec![
        ("a version that is not there", unknown_version()),
        ("the same run twice", new_run(1)),
        ("the same event twice", Batch { events: vec![event(1, 1)], ..Batch::default() }),
        ("an event of no run", Batch { events: vec![event(9, 1)], ..Batch::default() }),
        ("a state that is not there", transition(1, 2, 0, 19)),
        ("launching without an attempt", {
            let mut batch = transition(1, 2, 0, LAUNCHING);
            batch.tasks[0].attempt = 0;
            batch
        }),
        ("an attempt that ended and did not", {
            let mut row = attempt(1, 0, SUCCEEDED);
            row.ended_at = None;
            Batch { attempts: vec![row], ..Batch::default() }
        }),
        ("an attempt that did not end and has an end", {
            let mut row = attempt(1, 0, RUNNING);
            row.ended_at = Some(row.started_at);
            Batch { attempts: vec![row], ..Batch::default() }
        }),
        ("a run that ends without an end", {
            let mut change = run_change(1, RUN_SUCCEEDED, 2);
            change.ended_at = None;
            Batch { runs: vec![change], ..Batch::default() }
        }),
        ("two runs of one parent", {
            let child = |id| {
                let mut row = run_row(id);
                row.parent = Some("1/0/1".to_owned());
                row
            };
            Batch { new_runs: vec![child(2), child(3)], ..Batch::default() }
        }),
    ];
    for (what, batch) in cases {
        let error: CommitError = store.commit(batch.clone()).await.expect_err(what);
        assert_eq!(error.trouble, Trouble::Refused, "{what}");
        assert_eq!(*error.batch, batch, "{what}");
        store.resume();
    }
    store.commit(transition(1, 2, 0, RUNNING)).await.expect("the store is well");
}

#[tokio::test]
async fn a_closed_store_hands_back() {
    let folder = folder();
    let store = open(&folder).await;
    let waiting = store.commit(version());
    store.close().await;
    waiting.await.expect("what waited was committed");
    let error = store.commit(new_run(1)).await.expect_err("it is closed");
    assert_eq!((error.trouble, *error.batch), (Trouble::Closed, new_run(1)));
    assert!(!folder.path().join("weir.db-wal").exists(), "all is in one file");
    let store = Arc::new(open(&folder).await);
    assert!(store.version(&crate::fixture::hash()).await.expect("readable").is_some());
}

#[tokio::test]
async fn the_room_in_a_new_log_is_not_taken_for_what_was_committed() {
    let folder = folder();
    let store = open(&folder).await;
    let log = folder.path().join("weir.db-wal");
    let room = std::fs::metadata(&log).expect("there is a log").len();
    store.commit(version()).await.expect("the store is well");
    store.commit(new_run(1)).await.expect("the store is well");
    assert_eq!(std::fs::metadata(&log).expect("there is a log").len(), room, "it has grown");
    // The power fails: what is left is what the disk holds.
    let after = crate::fixture::folder();
    for name in ["weir.db", "weir.db-wal", "secret.key"] {
        let (from, to) = (folder.path().join(name), after.path().join(name));
        if from.exists() {
            std::fs::copy(from, to).expect("it can be copied");
        }
    }
    let store = open(&after).await;
    assert!(store.version(&crate::fixture::hash()).await.expect("readable").is_some());
    assert_eq!(store.last_run_id().await.expect("readable").0, 1);
}
