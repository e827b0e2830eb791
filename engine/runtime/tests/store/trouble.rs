//! Kill, full and read-only disks, strange homes, two processes: nothing that was acknowledged is lost, and what is wrong
//! is said.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use weir_core::ids::RunId;
use weir_engine::home::{self, Home, HomeLock};
use weir_engine::store::rows::Batch;
use weir_engine::store::{Advice, Error, Store, Trouble};

use crate::fixture::{
    RUNNING, attempt, folder, home, new_run, open, run_change, task, task_event, version,
};

/// Runs one of this binary's ignored tests as a process of its own, on that home.
fn child(test: &str, home: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(std::env::current_exe().expect("we run"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("WEIR_TEST_HOME", home)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout: ChildStdout = child.stdout.take().expect("it is piped");
    let said = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("child: ").map(str::to_owned));
    (child, said)
}

fn say(what: &str) {
    // Not `print!`: that is held back by the test runner, and a killed process would keep its last words.
    writeln!(std::io::stdout().lock(), "child: {what}").expect("the parent listens");
}

fn child_home() -> Home {
    let path = std::env::var_os("WEIR_TEST_HOME").expect("started by a test");
    Home::open(Path::new(&path)).expect("it opens")
}

#[test]
#[ignore = "a process that others start and kill"]
fn child_writes_until_it_is_killed() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime.block_on(async {
        let store = Store::open(&child_home()).await.expect("it opens");
        if store.last_run_id().await.expect("readable") == RunId(0) {
            store.commit(version()).await.expect("it commits");
            store.commit(new_run(1)).await.expect("it commits");
        }
        store
    });
    let begun = runtime.block_on(store.run(RunId(1))).expect("readable").expect("it is there").seq;
    // Several are under way at once, as in a real run.
    let (free, slots) = std::sync::mpsc::channel();
    for _ in 0..16 {
        free.send(()).expect("we listen");
    }
    let acknowledged = Arc::new(AtomicI64::new(begun));
    for seq in begun + 1.. {
        slots.recv().expect("the writer answers");
        let mut row = task(1, 0, RUNNING);
        row.extra = seq;
        let batch = Batch {
            runs: vec![run_change(1, 1, seq)],
            tasks: vec![row],
            attempts: vec![attempt(1, 0, RUNNING)],
            events: vec![task_event(1, seq, 0)],
            ..Batch::default()
        };
        let (free, acknowledged) = (free.clone(), Arc::clone(&acknowledged));
        store.submit(
            batch,
            Box::new(move |result| {
                result.expect("it commits");
                assert_eq!(acknowledged.fetch_add(1, Ordering::Relaxed) + 1, seq, "in order");
                say(&seq.to_string());
                free.send(()).expect("we listen");
            }),
        );
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = folder();
    let mut last = 0;
    for round in 1..=8 {
        let (mut writer, mut said) =
            child("trouble::child_writes_until_it_is_killed", folder.path());
        let heard: Vec<String> = said.by_ref().take(round * 37).collect();
        writer.kill().expect("it runs");
        writer.wait().expect("it is ours");
        let acknowledged: i64 = heard
            .into_iter()
            .chain(said)
            .filter_map(|line| line.parse().ok())
            .last()
            .expect("it wrote something");
        let store = open(&folder).await;
        let saved = store.saved_run(RunId(1)).await.expect("readable").expect("it is there");
        assert!(
            saved.run.seq >= acknowledged,
            "{} is there, {acknowledged} was promised",
            saved.run.seq
        );
        assert!(acknowledged > last, "it went on where it was");
        assert_eq!(saved.tasks[0].extra, saved.run.seq, "a commit is whole");
        assert_eq!(store.verify(None).await.expect("readable"), vec![]);
        last = saved.run.seq;
        store.close().await;
    }
}

#[test]
#[ignore = "a process that others start and kill"]
fn child_holds_the_home() {
    let home = child_home();
    let _lock = HomeLock::take(&home, "weir serve").expect("nobody has it");
    say("held");
    // Until the parent goes or kills us.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_second_process_is_told_who_holds_the_home() {
    let folder = folder();
    let home = home(&folder);
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command
        .args(["--exact", "trouble::child_holds_the_home", "--ignored", "--nocapture"])
        .env("WEIR_TEST_HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut holder = command.spawn().expect("it starts");
    let out = holder.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("child: held")));
    let error = HomeLock::take(&home, "weir run").expect_err("it is held");
    let home::Error::Held { holder: who, .. } = &error else { panic!("{error}") };
    assert_eq!((who.pid, who.command.as_str()), (holder.id(), "weir serve"));
    assert_eq!(HomeLock::holder(&home).as_ref(), Some(who));
    holder.kill().expect("it runs");
    holder.wait().expect("it is ours");
    HomeLock::take(&home, "weir run").expect("a dead process holds nothing");
}

/// A small disk of its own. `None` where this user can't mount.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = folder();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=700"), "weir-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        done.then_some(Self { folder })
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount")
            .args(["-o", how])
            .arg(self.folder.path())
            .status()
            .expect("it runs");
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// A batch that takes some space.
fn bulky(seq: i64) -> Batch {
    let mut event = task_event(1, seq, 0);
    event.detail = Some("x".repeat(100_000));
    Batch { tasks: vec![task(1, 0, RUNNING)], events: vec![event], ..Batch::default() }
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let disk = SmallDisk::mount(8);
    let disk = disk.expect("this test mounts a file system, and only root may: run it as root");
    let home = Home::open(disk.folder.path()).expect("it opens");
    std::fs::write(home.path().join("ballast"), vec![0; 4 << 20]).expect("there is space");
    let store = Store::open(&home).await.expect("it opens");
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    let mut seq = 1;
    let mut failed = loop {
        match store.commit(bulky(seq + 1)).await {
            Ok(()) => seq += 1,
            Err(error) => break error,
        }
    };
    assert!(seq > 3, "some space was there");
    assert_eq!(
        (failed.trouble, failed.trouble.advice()),
        (Trouble::Full, Advice::Retry),
        "{failed}"
    );
    assert_eq!(*failed.batch, bulky(seq + 1));
    for _ in 0..3 {
        store.resume();
        failed = store.commit(*failed.batch).await.expect_err("the disk is still full");
        assert_eq!(failed.trouble, Trouble::Full, "{failed}");
    }
    // What was committed is there to be read.
    let events = store.events(RunId(1), 0, 1_000).await.expect("readable");
    assert_eq!(events.len() as i64, seq);
    // A second start on the full disk says what is wrong.
    std::fs::write(home.path().join("rest"), vec![0; 8 << 20]).expect_err("the disk is full");
    let error = Home::open(home.path()).expect_err("the disk is full").to_string();
    assert!(error.starts_with("no space left for "), "{error}");
    std::fs::remove_file(home.path().join("rest")).expect("it is there");

    std::fs::remove_file(home.path().join("ballast")).expect("space is made");
    store.resume();
    store.commit(*failed.batch).await.expect("there is space");
    store.close().await;
    let store = Store::open(&home).await.expect("it opens");
    assert_eq!(store.events(RunId(1), 0, 1_000).await.expect("readable").len() as i64, seq + 1);
    store.close().await;
}

#[tokio::test]
#[ignore = "a process that others start with a limit"]
async fn child_writes_until_it_may_not() {
    let store = Store::open(&child_home()).await.expect("it opens");
    store.commit(version()).await.expect("it commits");
    store.commit(new_run(1)).await.expect("it commits");
    for seq in 2.. {
        if let Err(error) = store.commit(bulky(seq)).await {
            assert_eq!(
                (error.trouble, error.trouble.advice()),
                (Trouble::Io, Advice::Retry),
                "{error}"
            );
            store.resume();
            store.commit(*error.batch).await.expect_err("the limit holds");
            return say(&format!("{}", seq - 1));
        }
    }
}

#[tokio::test]
async fn a_file_that_may_not_grow_loses_nothing() {
    let folder = folder();
    let output = Command::new("sh")
        .arg("-c")
        // In blocks of 512 bytes. A process that does not ignore the signal dies of it.
        .arg("trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().expect("we run"))
        .args(["--exact", "trouble::child_writes_until_it_may_not", "--ignored", "--nocapture"])
        .env("WEIR_TEST_HOME", folder.path())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let kept: usize = said
        .lines()
        .find_map(|line| line.split("child: ").nth(1))
        .and_then(|count| count.trim().parse().ok())
        .expect("it says how far it came");
    assert!(kept > 3);
    let store = open(&folder).await;
    assert_eq!(store.events(RunId(1), 0, 1_000).await.expect("readable").len(), kept);
    store.commit(bulky(kept as i64 + 1)).await.expect("the limit is gone");
}

#[tokio::test]
async fn a_read_only_home_is_told() {
    // Rights do not bind root, a read-only disk does; others can't mount, but rights bind them.
    let (path, _disk, _folder) = if let Some(disk) = SmallDisk::mount(4) {
        Home::open(disk.folder.path()).expect("it opens");
        disk.remount("remount,ro");
        (disk.folder.path().to_path_buf(), Some(disk), None)
    } else {
        let folder = folder();
        let path = folder.path().join("home");
        std::fs::create_dir(&path).expect("it can be made");
        let mut rights = std::fs::metadata(&path).expect("it is there").permissions();
        rights.set_readonly(true);
        std::fs::set_permissions(&path, rights).expect("it is ours");
        (path, None, Some(folder))
    };
    let error = Home::open(&path).expect_err("it is read-only");
    assert!(matches!(error, home::Error::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains("can't be written"), "{error}");
}

#[tokio::test]
async fn a_newer_or_damaged_store_is_told() {
    let folder = folder();
    open(&folder).await.close().await;
    let database = folder.path().join("weir.db");
    {
        use sqlx::ConnectOptions as _;
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&database)
            .connect()
            .await
            .expect("it opens");
        sqlx::query("UPDATE meta SET value = '99' WHERE key = 'schema'")
            .execute(&mut connection)
            .await
            .expect("it is ours");
    }
    let error = Store::open(&home(&folder)).await.expect_err("it is newer");
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("help: use the newer weir"), "{error}");

    for name in ["weir.db-wal", "weir.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    std::fs::write(&database, "this is no database, but long enough to be read as one".repeat(100))
        .expect("written");
    let error = Store::open(&home(&folder)).await.expect_err("it is damaged");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
