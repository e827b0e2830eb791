//! What may be removed, what stays whatever is asked, and what is added up before.

use weir_core::ids::{RunId, TaskIx};
use weir_engine::store::Store;
use weir_engine::store::prune::Kept;
use weir_engine::store::rows::{Batch, DiagnosisRow, RunRow};

use crate::fixture::{RUN_FAILED, RUN_SUCCEEDED, at, event, folder, open, run_row, version};

const ALL_OLD: Kept = Kept { after: None, runs: Some(1) };

/// A run that has ended so.
fn past(id: i64, state: u8) -> RunRow {
    RunRow { state, ended_at: Some(at(id + 1)), ..run_row(id) }
}

async fn with(store: &Store, runs: Vec<RunRow>) {
    let events = runs.iter().map(|run| event(run.id, 1)).collect();
    let batch = Batch { new_runs: runs, events, ..version() };
    store.commit(batch).await.expect("committed");
}

async fn left(store: &Store) -> Vec<i64> {
    let rows = store.runs(&weir_engine::store::RunFilter::default(), None, 100).await;
    let mut ids: Vec<i64> = rows.expect("readable").iter().map(|run| run.id).collect();
    ids.reverse();
    ids
}

async fn removable(store: &Store, kept: Kept) -> Vec<i64> {
    let found = store.removable_runs(("tap", "tour"), kept, RunId(0), 100).await;
    found.expect("readable").iter().map(|run| run.0).collect()
}

#[tokio::test]
async fn what_either_bound_keeps_is_kept() {
    let folder = folder();
    let store = open(&folder).await;
    with(&store, (1..=6).map(|id| past(id, RUN_SUCCEEDED)).collect()).await;
    let kept = |after: Option<i64>, runs| Kept { after: after.map(at), runs };
    assert_eq!(removable(&store, kept(None, None)).await, [0_i64; 0]);
    assert_eq!(removable(&store, kept(None, Some(4))).await, [1, 2]);
    // Run 3 ended at 4.
    assert_eq!(removable(&store, kept(Some(4), None)).await, [1, 2, 3]);
    assert_eq!(removable(&store, kept(Some(4), Some(5))).await, [1]);
    assert_eq!(removable(&store, kept(Some(2), Some(2))).await, [1]);
    // The last one stays in any case: its number is not given again.
    assert_eq!(removable(&store, kept(Some(1_000), None)).await, [1, 2, 3, 4, 5]);
    let other = store.removable_runs(("tap", "other"), ALL_OLD, RunId(0), 100).await;
    assert_eq!(other.expect("readable"), []);
    store.close().await;
}

#[tokio::test]
async fn what_is_needed_stays_whatever_is_asked() {
    let folder = folder();
    let store = open(&folder).await;
    with(
        &store,
        vec![
            past(1, RUN_FAILED),
            past(2, RUN_SUCCEEDED),
            // Moves, and is a rerun of 1.
            RunRow { origin: Some(1), ..run_row(3) },
            past(4, RUN_FAILED),
            // Moves, and was begun by an attempt of 4; 6 was, too, and has ended.
            RunRow { parent: Some("4/0/1".to_owned()), ..run_row(5) },
            RunRow { parent: Some("4/1/1".to_owned()), ..past(6, RUN_FAILED) },
            past(7, RUN_FAILED),
            past(8, RUN_FAILED),
        ],
    )
    .await;
    assert_eq!(removable(&store, ALL_OLD).await, [7], "2 is the last that went well");
    let all: Vec<RunId> = (1..=8).map(RunId).collect();
    store.remove_runs(&all).await.expect("removed");
    assert_eq!(left(&store).await, [1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(store.removed_runs().await.expect("readable"), [RunId(7)]);
    store.folders_are_gone(&[RunId(7)]).await.expect("noted");
    assert_eq!(store.removed_runs().await.expect("readable"), []);
    assert_eq!(store.verify(None).await.expect("readable"), []);
    store.close().await;
}

#[tokio::test]
async fn what_was_met_and_cured_is_still_counted() {
    let folder = folder();
    let store = open(&folder).await;
    with(&store, (1..=4).map(|id| past(id, RUN_SUCCEEDED)).collect()).await;
    let met = |run: i64, result: &str| DiagnosisRow {
        run: RunId(run),
        task: TaskIx(0),
        attempt: 0,
        at: at(run),
        signature: "SYS-02".to_owned(),
        evidence: "{}".to_owned(),
        then: "retry".to_owned(),
        used: true,
        result: Some(result.to_owned()),
    };
    let diagnoses = vec![met(1, "cured"), met(2, "failed"), met(3, "cured")];
    store.commit(Batch { diagnoses, ..Batch::default() }).await.expect("committed");
    let before = store.signature_counts().await.expect("readable");
    assert_eq!((before[0].met, before[0].cured, before[0].not_cured), (3, 2, 1));
    // Once, and once more: sums are added to sums.
    for run in [1, 2] {
        store.remove_runs(&[RunId(run)]).await.expect("removed");
        assert_eq!(store.signature_counts().await.expect("readable"), before);
    }
    assert_eq!(left(&store).await, [3, 4]);
    assert_eq!(store.verify(None).await.expect("readable"), []);
    store.close().await;
}
