//! Reading: what is left to do after a start, lists by pages, and readers beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_engine::store::rows::{
    Batch, BlockRow, DiagnosisRow, ResultRow, SavedRun, SignatureCount, VersionRow,
};
use weir_engine::store::{DiagnosisFilter, RunFilter};

use crate::fixture::{
    RUN_FAILED, RUN_RUNNING, RUN_SUCCEEDED, RUNNING, SUCCEEDED, at, folder, hash, new_run, open,
    run_change, run_row, task, task_event, version,
};

fn diagnosis(
    run: i64,
    task: u32,
    attempt: u32,
    signature: &str,
    result: Option<&str>,
) -> DiagnosisRow {
    DiagnosisRow {
        run: RunId(run),
        task: TaskIx(task),
        attempt,
        at: at(9),
        signature: signature.to_owned(),
        evidence: r#"{"line":"Name node is in safe mode"}"#.to_owned(),
        then: "retry".to_owned(),
        used: true,
        result: result.map(str::to_owned),
    }
}

#[tokio::test]
async fn unfinished_runs_come_with_all_that_moves_them() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    let mut batch = Batch::default();
    for id in 1..=3 {
        batch.append(new_run(id));
    }
    batch.runs.push(run_change(2, RUN_SUCCEEDED, 1));
    let mut waiting = task(1, 11, 6);
    waiting.until = Some(at(77));
    waiting.extra = -1;
    batch.tasks = vec![waiting, task(1, 2, SUCCEEDED), task(2, 0, SUCCEEDED)];
    let block = BlockRow {
        run: RunId(1),
        first: TaskIx(10),
        owner: TaskIx(2),
        scope: 3,
        count: 2,
        remedy: None,
        items: Some(r#"["a;b","c,d"]"#.to_owned()),
    };
    batch.blocks = vec![block.clone(), BlockRow { run: RunId(2), ..block.clone() }];
    batch.diagnoses = vec![
        diagnosis(1, 2, 1, "HDFS-02", Some("cured")),
        diagnosis(1, 2, 2, "HDFS-02", None),
        diagnosis(1, 2, 3, "HDFS-01", Some("failed")),
        diagnosis(2, 0, 1, "HDFS-02", Some("cured")),
    ];
    batch.results =
        vec![ResultRow { run: RunId(1), task: TaskIx(2), outputs: r#"{"id":7}"#.to_owned() }];
    store.commit(batch.clone()).await.expect("it commits");

    let expected = SavedRun {
        run: run_row(1),
        tasks: vec![task(1, 2, SUCCEEDED), waiting],
        blocks: vec![block],
        used: vec![(TaskIx(2), "HDFS-01".to_owned(), 1), (TaskIx(2), "HDFS-02".to_owned(), 2)],
    };
    let saved = store.unfinished().await.expect("readable");
    assert_eq!(saved, vec![expected.clone(), SavedRun { run: run_row(3), ..SavedRun::default() }]);
    assert_eq!(store.saved_run(RunId(1)).await.expect("readable"), Some(expected));
    assert_eq!(store.saved_run(RunId(4)).await.expect("readable"), None);
    assert_eq!(store.results(RunId(1)).await.expect("readable"), batch.results);
    assert_eq!(store.blocks(RunId(1)).await.expect("readable"), batch.blocks[..1]);
    let all = store.diagnoses(&DiagnosisFilter::default(), None, 10).await.expect("readable");
    assert_eq!(
        all.iter().map(|found| (found.run.0, found.attempt)).collect::<Vec<_>>(),
        [(2, 1), (1, 1), (1, 2), (1, 3)]
    );
    let filter = DiagnosisFilter { run: Some(RunId(1)), signature: Some("HDFS-02".to_owned()) };
    assert_eq!(store.diagnoses(&filter, None, 10).await.expect("readable"), batch.diagnoses[..2]);
    let count = |signature: &str, met, cured, not_cured| SignatureCount {
        signature: signature.to_owned(),
        met,
        cured,
        not_cured,
    };
    assert_eq!(
        store.signature_counts().await.expect("readable"),
        vec![count("HDFS-01", 1, 0, 1), count("HDFS-02", 3, 2, 0)]
    );
}

#[tokio::test]
async fn ten_thousand_unfinished_runs_are_read_in_one_go() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    for first in (1..=10_000).step_by(500) {
        let mut batch = Batch::default();
        for id in first..first + 500 {
            batch.append(new_run(id));
            for number in 0..20 {
                batch.tasks.push(task(id, number, if number < 10 { SUCCEEDED } else { RUNNING }));
            }
        }
        store.commit(batch).await.expect("it commits");
    }
    let begun = Instant::now();
    let saved = store.unfinished().await.expect("readable");
    let took = begun.elapsed();
    assert_eq!(saved.len(), 10_000);
    assert!(saved.iter().all(|saved| saved.tasks.len() == 20));
    // Unoptimised and beside whatever else runs: finds what grows with the square. The figure is the benchmark's.
    assert!(took.as_secs_f64() < 15.0, "{took:?}");
}

#[tokio::test]
async fn runs_are_listed_by_pages() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    let mut batch = Batch::default();
    for id in 1..=50 {
        let mut row = run_row(id);
        row.flow = if id % 2 == 0 { "even" } else { "odd" }.to_owned();
        row.project = if id > 40 { "late" } else { "tap" }.to_owned();
        row.origin = (id == 50).then_some(7);
        batch.new_runs.push(row);
        if id % 5 == 0 {
            batch.runs.push(run_change(id, RUN_FAILED, 1));
        }
    }
    store.commit(batch).await.expect("it commits");
    let list = async |filter: RunFilter, before: Option<i64>| -> Vec<i64> {
        let page = store.runs(&filter, before.map(RunId), 4).await.expect("readable");
        page.into_iter().map(|run| run.id).collect()
    };
    let all = RunFilter::default();
    assert_eq!(list(all.clone(), None).await, [50, 49, 48, 47]);
    assert_eq!(list(all.clone(), Some(47)).await, [46, 45, 44, 43]);
    assert_eq!(list(all.clone(), Some(3)).await, [2, 1]);
    assert_eq!(list(all, Some(1)).await, [0_i64; 0]);
    let failed = RunFilter { state: Some(RUN_FAILED), ..RunFilter::default() };
    assert_eq!(list(failed.clone(), None).await, [50, 45, 40, 35]);
    assert_eq!(
        list(RunFilter { state: Some(RUN_RUNNING), ..failed.clone() }, None).await,
        [49, 48, 47, 46]
    );
    assert_eq!(
        list(RunFilter { state: Some(RUN_SUCCEEDED), ..failed.clone() }, None).await,
        [0_i64; 0]
    );
    let odd = RunFilter { project: Some("tap".to_owned()), flow: Some("odd".to_owned()), ..failed };
    assert_eq!(list(odd, None).await, [35, 25, 15, 5]);
    let late = RunFilter { project: Some("late".to_owned()), ..RunFilter::default() };
    assert_eq!(list(late, Some(43)).await, [42, 41]);
    assert_eq!(list(RunFilter { origin: Some(7), ..RunFilter::default() }, None).await, [50]);
    assert_eq!(store.last_run_id().await.expect("readable"), RunId(50));
}

#[tokio::test]
async fn versions_and_children_are_found() {
    let folder = folder();
    let store = open(&folder).await;
    assert_eq!(store.last_run_id().await.expect("readable"), RunId(0));
    store.commit(version()).await.expect("it commits");
    let old = version().versions.remove(0);
    let new = VersionRow { hash: "6f".repeat(32), at: at(1), ..old.clone() };
    store
        .commit(Batch { versions: vec![new.clone()], ..Batch::default() })
        .await
        .expect("it commits");
    assert_eq!(store.latest_version("tap", "tour").await.expect("readable"), Some(new.clone()));
    assert_eq!(store.latest_version("", "tour").await.expect("readable"), None);
    // The old text is put back.
    let again = VersionRow { at: at(2), ..old.clone() };
    store
        .commit(Batch { blobs: version().blobs, versions: vec![again], ..Batch::default() })
        .await
        .expect("what is there already is no mistake");
    assert_eq!(store.latest_version("tap", "tour").await.expect("readable"), Some(old.clone()));
    assert_eq!(store.version(&new.hash).await.expect("readable"), Some(new));
    assert_eq!(store.blob(&hash()).await.expect("readable").as_deref(), Some(&b"name: tour"[..]));
    assert_eq!(store.blob("none").await.expect("readable"), None);

    let parent = AttemptId { run: RunId(1), task: TaskIx(3), number: 2 };
    store.commit(new_run(1)).await.expect("it commits");
    let mut child = new_run(2);
    child.new_runs[0].parent = Some(parent.to_string());
    store.commit(child).await.expect("it commits");
    let found = store.child_of(parent).await.expect("readable").expect("it is there");
    assert_eq!(found.id, 2);
    assert_eq!(store.child_of(AttemptId { number: 1, ..parent }).await.expect("readable"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_commits_while_the_writer_writes() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut looks, mut last) = (0, 1);
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    let saved =
                        store.saved_run(RunId(1)).await.expect("readable").expect("it is there");
                    // Each commit moves the run's number and ten tasks together.
                    let states: Vec<i64> = saved.tasks.iter().map(|task| task.extra).collect();
                    assert!(
                        states.iter().all(|extra| *extra == saved.run.seq),
                        "{} {states:?}",
                        saved.run.seq
                    );
                    assert!(saved.run.seq >= last, "time goes forward");
                    last = saved.run.seq;
                    looks += 1;
                }
            })
        })
        .collect();
    for seq in 2..300 {
        let mut batch = Batch { runs: vec![run_change(1, RUN_RUNNING, seq)], ..Batch::default() };
        for number in 0..10 {
            let mut row = task(1, number, RUNNING);
            row.extra = seq;
            batch.tasks.push(row);
        }
        batch.events.push(task_event(1, seq, 0));
        store.commit(batch).await.expect("it commits");
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("no reader met a torn commit");
    }
    let page = store.events(RunId(1), 100, 3).await.expect("readable");
    assert_eq!(page.iter().map(|event| event.seq).collect::<Vec<_>>(), [101, 102, 103]);
}
