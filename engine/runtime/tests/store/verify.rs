//! What can't be is found; what can be is not complained of.

use std::sync::Mutex;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;
use weir_core::ids::RunId;
use weir_engine::store::Finding;
use weir_engine::store::rows::Batch;

use crate::fixture::{
    RUN_SUCCEEDED, RUNNING, SUCCEEDED, attempt, folder, new_run, open, run_change, task,
    task_event, version,
};

async fn filled() -> TempDir {
    let folder = folder();
    let store = open(&folder).await;
    let mut batch = version();
    batch.append(new_run(1));
    batch.append(new_run(2));
    batch.append(Batch {
        runs: vec![run_change(1, RUN_SUCCEEDED, 3), run_change(2, 1, 2)],
        tasks: vec![task(1, 0, SUCCEEDED), task(2, 0, RUNNING)],
        attempts: vec![attempt(1, 0, SUCCEEDED), attempt(2, 0, RUNNING)],
        events: vec![task_event(1, 2, 0), task_event(1, 3, 0), task_event(2, 2, 0)],
        ..Batch::default()
    });
    store.commit(batch).await.expect("it commits");
    store.close().await;
    folder
}

/// Changes the database behind the store's back.
async fn change(folder: &TempDir, sql: &str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.path().join("weir.db"))
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "1")
        .connect()
        .await
        .expect("it opens");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect(sql);
}

async fn findings(folder: &TempDir) -> Vec<String> {
    let store = open(folder).await;
    let found = store.verify(None).await.expect("readable");
    store.close().await;
    found.iter().map(Finding::to_string).collect()
}

#[tokio::test]
async fn broken_rules_are_found() {
    assert_eq!(findings(&filled().await).await, Vec::<String>::new());
    let cases = [
        (
            "DELETE FROM event WHERE run = 1 AND seq = 2",
            "run 1: its events are not numbered from 1 without gaps: 2 events up to number 3",
        ),
        (
            "DELETE FROM event WHERE run = 1 AND seq = 3",
            "run 1: it says that its last event is 3, the events say 2",
        ),
        (
            "UPDATE attempt SET ended_at = NULL, state = 4 WHERE run = 1",
            "run 1: task 0 has ended, its attempt 1 has not",
        ),
        ("DELETE FROM attempt WHERE run = 2", "run 2: task 0 has no row for its attempt 1"),
        (
            "UPDATE task SET attempt = 0 WHERE run = 1",
            "run 1: task 0 has an attempt 1 that it does not know of",
        ),
        (
            "UPDATE task SET attempt = 2 WHERE run = 2;
             INSERT INTO attempt (run, task, number, state, started_at) VALUES (2, 0, 2, 4, 1)",
            "run 2: task 0 has 2 attempts that have not ended",
        ),
        ("UPDATE task SET state = 4 WHERE run = 1", "run 1: it has ended, its task 0 has not"),
        ("DELETE FROM task WHERE run = 2", "run 2: event 2 is about task 0, which has never moved"),
        ("DELETE FROM run WHERE id = 2", "run 2: there are tasks, but no run"),
        ("DELETE FROM run WHERE id = 2", "a row of event needs one of run that is not there"),
        ("UPDATE blob SET content = x'00'", "the text 1"),
        (
            "UPDATE version SET texts = '{\"flow.yaml\":\"' || hex(randomblob(32)) || '\"}'",
            "which is not there",
        ),
        (
            "UPDATE run SET state = 6 WHERE id = 2",
            "the database is damaged: CHECK constraint failed in run",
        ),
    ];
    for (sql, expected) in cases {
        let folder = filled().await;
        change(&folder, sql).await;
        let found = findings(&folder).await;
        let expected = expected
            .replace("the text 1", &format!("the text {} was changed", crate::fixture::hash()));
        assert!(
            found.iter().any(|what| what.contains(&expected)),
            "{sql}\nexpected {expected}\nfound {found:#?}"
        );
    }
}

#[tokio::test]
async fn damage_of_the_file_is_found() {
    let folder = filled().await;
    // An index that does not know of a row.
    change(
        &folder,
        "CREATE TABLE extra (a INTEGER); CREATE INDEX extra_a ON extra (a); INSERT INTO extra VALUES (7);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'run_origin')
          WHERE name = 'extra_a';",
    )
    .await;
    let found = findings(&folder).await;
    assert!(found.iter().any(|what| what.starts_with("the database is damaged: ")), "{found:#?}");
}

#[tokio::test]
async fn events_are_held_against_rows() {
    let folder = filled().await;
    let store = open(&folder).await;
    let seen = Mutex::new(Vec::new());
    let found = store
        .verify(Some(&|saved, _attempts, events| {
            seen.lock().expect("nobody panics here").push((
                saved.run.id,
                saved.tasks.len(),
                events.len(),
            ));
            if saved.run.id == 2 { vec!["task 0 should be asking".to_owned()] } else { vec![] }
        }))
        .await
        .expect("readable");
    assert_eq!(
        found,
        [Finding { run: Some(RunId(2)), what: "task 0 should be asking".to_owned() }]
    );
    assert_eq!(seen.into_inner().expect("nobody panics here"), [(1, 1, 3), (2, 1, 2)]);
}
