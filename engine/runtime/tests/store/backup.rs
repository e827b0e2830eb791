//! A backup is whole or not there; a home that was restored in part says so.

use std::os::unix::fs::MetadataExt as _;

use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_engine::home::{self, Home, HomeLock};
use weir_engine::secrets::Secrets;
use weir_engine::store::Store;
use weir_engine::store::backup::{Error, Part, backup, restore};

use weir_engine::store::rows::Batch;

use crate::fixture::{
    RUNNING, attempt, folder, home, new_run, open, run_change, transition, version,
};

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_restored() {
    let folder = folder();
    let store = open(&folder).await;
    let secrets = Secrets::open(&home(&folder), store.clone()).await.expect("a key is made");
    secrets.set("tap", "vcap", b"value", "ada").await.expect("it is kept");
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let tried = AttemptId { run: RunId(1), task: TaskIx(0), number: 1 };
    let log = home(&folder).attempt(tried).join("log");
    std::fs::create_dir_all(log.parent().expect("it has a folder")).expect("it can be made");
    std::fs::write(&log, "hello\n").expect("it can be written");
    let known = |home: &Home| home.hosts("tap").join("known_hosts");
    std::fs::create_dir_all(home(&folder).hosts("tap")).expect("it can be made");
    std::fs::write(known(&home(&folder)), "a key\n").expect("it can be written");

    let place = tempfile::tempdir().expect("a folder");
    let target = place.path().join("monday");
    let other = store.clone();
    let writing = tokio::spawn(async move {
        for seq in 2..200 {
            other
                .commit(Batch {
                    runs: vec![run_change(1, 1, seq)],
                    attempts: vec![attempt(1, 0, RUNNING)],
                    ..transition(1, seq, 0, RUNNING)
                })
                .await
                .expect("it commits beside the backup");
        }
    });
    let manifest =
        backup(&store, &target, Part::Included, Part::Included).await.expect("it is made");
    writing.await.expect("it does not panic");
    assert_eq!(
        (manifest.last_run, manifest.key, manifest.logs),
        (RunId(1), Part::Included, Part::Included)
    );
    let error =
        backup(&store, &target, Part::LeftOut, Part::LeftOut).await.expect_err("it is there");
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    let names: Vec<_> = std::fs::read_dir(place.path())
        .expect("readable")
        .map(|entry| entry.expect("readable"))
        .collect();
    assert_eq!(names.len(), 1, "nothing unfinished is left: {names:?}");

    let new = place.path().join("new-home");
    assert_eq!(restore(&target, &new).await.expect("it is restored"), manifest);
    let restored = Home::open(&new).expect("it is whole");
    assert_eq!(
        std::fs::metadata(restored.secret_key()).expect("it is there").mode() & 0o777,
        0o600
    );
    assert_eq!(std::fs::read_to_string(known(&restored)).expect("it is there"), "a key\n");
    assert_eq!(
        std::fs::read_to_string(restored.attempt(tried).join("log")).expect("it is there"),
        "hello\n"
    );
    let copy = Store::open(&restored).await.expect("it opens");
    assert_eq!(copy.verify(None).await.expect("readable").len(), 0);
    let saved = copy.saved_run(RunId(1)).await.expect("readable").expect("it is there");
    let events = copy.events(RunId(1), 0, 1_000).await.expect("readable");
    assert_eq!(saved.run.seq, events.len() as i64);
    assert_eq!(
        saved.tasks.len(),
        usize::from(events.len() > 1),
        "task and events are of one moment"
    );
    let secrets = Secrets::open(&restored, copy.clone()).await.expect("the key is there");
    assert_eq!(
        &secrets.get("tap", "vcap").await.expect("it opens").expect("it is there")[..],
        b"value"
    );
    assert_eq!(copy.home_id().await.expect("readable"), manifest.home);
}

#[tokio::test]
async fn the_key_is_left_out_unless_asked_for() {
    let folder = folder();
    let store = open(&folder).await;
    let secrets = Secrets::open(&home(&folder), store.clone()).await.expect("a key is made");
    secrets.set("", "mail", b"value", "ada").await.expect("it is kept");
    let place = tempfile::tempdir().expect("a folder");
    let target = place.path().join("copy");
    backup(&store, &target, Part::LeftOut, Part::LeftOut).await.expect("it is made");
    let mut names: Vec<String> = std::fs::read_dir(&target)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["backup.json", "weir.db"]);
    let new = place.path().join("home");
    restore(&target, &new).await.expect("it is restored");
    let restored = Home::open(&new).expect("it is whole");
    let copy = Store::open(&restored).await.expect("it opens");
    let error =
        Secrets::open(&restored, copy).await.expect_err("the key is kept elsewhere").to_string();
    assert!(error.contains("put the file back"), "{error}");
}

#[tokio::test]
async fn only_an_empty_home_is_restored_into() {
    let folder = folder();
    let store = open(&folder).await;
    let place = tempfile::tempdir().expect("a folder");
    let target = place.path().join("copy");
    backup(&store, &target, Part::LeftOut, Part::LeftOut).await.expect("it is made");
    let error = restore(&target, folder.path()).await.expect_err("it is in use").to_string();
    assert!(error.contains("is not empty: ") && error.contains("weir.db"), "{error}");

    let error =
        restore(place.path(), &place.path().join("home")).await.expect_err("no backup").to_string();
    assert!(error.contains("is no backup: backup.json"), "{error}");

    let held = Home::open(&place.path().join("held")).expect("it opens");
    let _lock = HomeLock::take(&held, "weir serve").expect("nobody has it");
    let error = restore(&target, held.path()).await.expect_err("it is held");
    assert!(matches!(error, Error::Home(home::Error::Held { .. })), "{error}");
}

#[tokio::test]
async fn a_restore_that_did_not_end_is_told_and_done_again() {
    let folder = folder();
    let store = open(&folder).await;
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let place = tempfile::tempdir().expect("a folder");
    let target = place.path().join("copy");
    backup(&store, &target, Part::LeftOut, Part::LeftOut).await.expect("it is made");
    let whole = std::fs::read(target.join("weir.db")).expect("it is there");
    std::fs::write(target.join("weir.db"), &whole[..whole.len() / 2]).expect("it is damaged");

    let new = place.path().join("home");
    let error = restore(&target, &new).await.expect_err("its database is cut short").to_string();
    assert!(error.contains("its database is damaged"), "{error}");
    let error = Home::open(&new).expect_err("it is half restored").to_string();
    assert!(error.contains(&format!("run `weir restore {}` again", target.display())), "{error}");

    std::fs::write(target.join("weir.db"), whole).expect("it is whole again");
    restore(&target, &new).await.expect("it is restored");
    let copy = Store::open(&Home::open(&new).expect("it is whole")).await.expect("it opens");
    assert_eq!(copy.last_run_id().await.expect("readable"), RunId(1));
}
