//! What an attempt costs on the disk.

use weir_engine::store::rows::Batch;

use crate::fixture::{
    RUNNING, SUCCEEDED, attempt, folder, new_run, open, task, task_event, version,
};

#[tokio::test]
async fn an_attempt_takes_less_than_600_bytes() {
    const RUNS: i64 = 100;
    const TASKS: u32 = 100;
    let folder = folder();
    let database = folder.path().join("weir.db");
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    for run in 1..=RUNS {
        store.commit(new_run(run)).await.expect("it commits");
    }
    store.close().await;
    let empty = std::fs::metadata(&database).expect("it is there").len();

    let store = open(&folder).await;
    for run in 1..=RUNS {
        let mut seq = 1;
        let mut next = || {
            seq += 1;
            seq
        };
        // As runs do: some tasks at a time, each written when it is launched, runs, and has ended.
        for tasks in (0..TASKS).collect::<Vec<_>>().chunks(20) {
            for (state, events) in [(3, 1), (RUNNING, 1), (SUCCEEDED, 2)] {
                let mut batch = Batch::default();
                for number in tasks {
                    batch.tasks.push(task(run, *number, state));
                    batch.attempts.push(attempt(run, *number, state));
                    for _ in 0..events {
                        batch.events.push(task_event(run, next(), *number));
                    }
                }
                store.commit(batch).await.expect("it commits");
            }
        }
    }
    store.close().await;
    let full = std::fs::metadata(&database).expect("it is there").len();
    let each = (full - empty) / (RUNS as u64 * u64::from(TASKS));
    assert!(each < 600, "{each} bytes an attempt");
    // The aim; well below the limit, so that a column too many is noticed.
    assert!(each < 300, "{each} bytes an attempt");
}
