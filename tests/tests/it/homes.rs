//! Homes that can't be used, are used by somebody else, or can't be used for a while.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use weir_tests::{Ended, Process, Stage, Thief, until};

const HELLO: &str = "jobs: { a: { uses: command, with: { script: echo hello } } }\n";

/// Runs until the file `go` is there.
fn waiting(stage: &Stage, name: &str) -> std::path::PathBuf {
    let dir = stage.path().display();
    stage.flow(
        name,
        &format!(
            "jobs:\n  a:\n    uses: command\n    with:\n      script: |\n        touch {dir}/{name}.began\n        \
             while [ ! -e {dir}/go ]; do sleep 0.01; done\n        touch {dir}/{name}.over\n"
        ),
    )
}

fn wait_for(stage: &Stage, name: &str) {
    until(name, || stage.path().join(name).exists().then_some(()));
}

/// A command on a home that is not the stage's own.
fn at(stage: &Stage, home: &Path, args: &[&str]) -> Ended {
    let mut command = stage.command(args);
    command.env("WEIR_HOME", home);
    Ended::of(command, None)
}

fn assert_told(ended: &Ended, words: &[&str]) {
    assert!(ended.code == 1 || ended.code == 2, "{}: {}", ended.code, ended.err);
    for word in words.iter().chain(&["help:"]) {
        assert!(ended.err.contains(word), "no `{word}` in: {}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

#[test]
fn a_home_that_is_read_only_is_told_and_left_as_it_was() {
    let stage = Stage::new();
    let flow = stage.flow("hello", HELLO);
    let flow = flow.to_str().expect("plain");
    let disk = stage.small_disk("disk", 16 << 20);
    let home = disk.path().join("home");
    assert_eq!(at(&stage, &home, &["run", flow]).code, 0);
    // The supervisor stays for a moment, and has files open there.
    stage.wait_until_empty();
    disk.forbid_writing();
    assert_told(&at(&stage, &home, &["run", flow]), &["can't be written", "read-write"]);
    disk.allow_writing();
    let ended = at(&stage, &home, &["run", flow, "--json"]);
    assert_eq!(ended.run()["id"], 2, "nothing was begun meanwhile");
    assert_eq!(at(&stage, &home, &["verify"]).code, 0);
}

#[test]
fn a_home_that_is_full_is_told() {
    let stage = Stage::new();
    let flow = stage.flow("hello", HELLO);
    let disk = stage.small_disk("disk", 4 << 20);
    disk.fill();
    let home = disk.path().join("home");
    let ended = at(&stage, &home, &["run", flow.to_str().expect("plain")]);
    assert_told(&ended, &["no space left"]);
    disk.free();
    assert_eq!(at(&stage, &home, &["run", flow.to_str().expect("plain")]).code, 0);
}

#[test]
fn a_disk_that_fills_up_while_a_run_moves_delays_it_and_loses_nothing() {
    let stage = Stage::new();
    let flow = waiting(&stage, "slow");
    // More than the database's log has room for without a longer file.
    let many = stage.flow("many", "jobs: { a: { foreach: 'range(20000) | list', uses: noop } }\n");
    let disk = stage.small_disk("home", 64 << 20);
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    wait_for(&stage, "slow.began");
    disk.fill();
    stage.write("go", "");
    wait_for(&stage, "slow.over");
    let mut door = server.door();
    let many = std::thread::spawn(move || door.begin(&many, &json!({})));
    until("the server says what keeps it", || {
        let log = stage.read("serve.log").to_lowercase();
        (log.contains("full") || log.contains("no space")).then_some(())
    });
    disk.free();
    let many = many.join().expect("it was heard").expect("begun");
    server.door().watch(many, |_| false).expect("the server stays");
    assert_eq!(stage.show(many)["state"], "succeeded");
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert!(shown["ended_at"].is_string(), "{shown:#}");
    // Its end could not be written where the disk was full: then it is lost, and never a success that was not.
    let state = shown["tasks"][0]["state"].as_str().unwrap_or_default();
    assert!(["succeeded", "lost"].contains(&state), "{shown:#}");
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn a_home_that_was_restored_in_part_is_refused_until_it_is_whole() {
    let stage = Stage::new();
    let flow = stage.flow("hello", HELLO);
    let flow = flow.to_str().expect("plain");
    assert_eq!(stage.weir(&["run", flow]).code, 0);
    let backup = stage.path().join("backup");
    let backup = backup.to_str().expect("plain");
    assert_eq!(stage.weir(&["backup", backup]).code, 0);
    let other = stage.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("restoring"), format!("{backup}\n")).expect("written");
    fs::write(other.join("weir.db"), b"half a data").expect("written");
    for args in [&["run", flow][..], &["runs"], &["serve"]] {
        assert_told(&at(&stage, &other, args), &["restored in part only", "weir restore"]);
    }
    let restored = at(&stage, &other, &["restore", backup]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    assert_eq!(at(&stage, &other, &["verify"]).code, 0);
    assert_eq!(at(&stage, &other, &["run", flow, "--json"]).run()["id"], 2);
}

#[test]
fn a_home_of_a_newer_version_is_refused() {
    let stage = Stage::new();
    let flow = stage.flow("hello", HELLO);
    assert_eq!(stage.weir(&["run", flow.to_str().expect("plain")]).code, 0);
    let program = "import sqlite3, sys\n\
                   db = sqlite3.connect(sys.argv[1])\n\
                   db.execute(\"update meta set value = value + 1 where key = 'schema'\")\n\
                   db.commit()\n";
    let changed = python(program).arg(stage.home().join("weir.db")).status().expect("python3");
    assert!(changed.success());
    for args in [&["run", flow.to_str().expect("plain")][..], &["runs"], &["serve"]] {
        assert_told(&stage.weir(args), &["schema", "newer"]);
    }
}

fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", program]);
    command
}

#[test]
fn a_database_that_goes_away_for_a_while_delays_and_loses_nothing() {
    let stage = Stage::new();
    let flow = waiting(&stage, "slow");
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    wait_for(&stage, "slow.began");
    let thief = Thief::of(&stage.home());
    stage.write("go", "");
    wait_for(&stage, "slow.over");
    until("the server says that it waits", || {
        let log = stage.read("serve.log");
        (log.contains("written again") || log.contains("busy") || log.contains("locked"))
            .then_some(())
    });
    thief.gives_back();
    server.door().watch(run, |_| false).expect("the server stays");
    assert_eq!(stage.show(run)["state"], "succeeded");
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn a_second_process_becomes_a_client_of_the_first() {
    let stage = Stage::new();
    let slow = waiting(&stage, "slow");
    let hello = stage.flow("hello", HELLO);
    let mut first = stage.command(&["run", slow.to_str().expect("plain"), "--json"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_for(&stage, "slow.began");
    let second = stage.run(&hello, &[]);
    assert_eq!((&second["id"], &second["state"]), (&json!(2), &json!("succeeded")));
    assert_eq!(stage.weir(&["logs", "2", "a"]).out, "hello\n");
    let refused = stage.weir(&["serve"]);
    assert_told(&refused, &["served already"]);
    let backup = stage.path().join("backup");
    assert_eq!(stage.weir(&["backup", backup.to_str().expect("plain")]).code, 0);
    let refused = stage.weir(&["restore", backup.to_str().expect("plain")]);
    assert_ne!(refused.code, 0, "a home in use was written over");
    // One that the first is asked for goes on when the first has left.
    let later = waiting(&stage, "later");
    assert_eq!(stage.weir(&["run", later.to_str().expect("plain"), "--detach"]).code, 0);
    wait_for(&stage, "later.began");
    Process { pid: first.id() as i32 }.kill();
    until("the first is gone", || first.try_wait().expect("our child"));
    let server = stage.serve();
    stage.write("go", "");
    for run in [1, 3] {
        server.door().watch(run, |_| false).expect("the server stays");
        assert_eq!(stage.show(run)["state"], "succeeded");
    }
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn a_queue_holds_over_processes() {
    let stage = Stage::new();
    let flow = waiting(&stage, "slow");
    let text = fs::read_to_string(&flow)
        .expect("written")
        .replace("jobs:\n", "concurrency: { policy: queue, limit: 1 }\njobs:\n");
    fs::write(&flow, text).expect("written");
    let mut first = stage.command(&["run", flow.to_str().expect("plain"), "--json"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_for(&stage, "slow.began");
    let second = stage.weir(&["run", flow.to_str().expect("plain"), "--detach"]);
    assert_eq!(second.code, 0, "{}", second.err);
    assert_eq!(
        (stage.show(1)["state"].clone(), stage.show(2)["state"].clone()),
        (json!("running"), json!("queued"))
    );
    stage.write("go", "");
    let status = until("the first ends", || first.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(0));
    // Whoever moves it now: it ends.
    let shown = until("the second ends", || {
        Some(stage.show(2)).filter(|shown| shown["ended_at"].is_string())
    });
    assert_eq!(shown["state"], "succeeded");
    let first = stage.show(1);
    assert!(
        shown["started_at"].as_str() >= first["ended_at"].as_str(),
        "they ran at the same time"
    );
    stage.wait_until_empty();
    stage.verify();
}

#[test]
fn whoever_holds_a_home_may_leave_at_any_time_and_every_question_is_answered() {
    let stage = Stage::new();
    let hello = stage.flow("hello", HELLO);
    let hello = hello.to_str().expect("plain");
    stage.run(hello.as_ref(), &[]);
    // Each of these becomes the engine or a client of one that is about to leave.
    let all_well = |what: &[&str]| {
        for _ in 0..12 {
            let ended = stage.weir(what);
            assert_eq!(ended.code, 0, "{what:?}: {}{}", ended.out, ended.err);
            assert_eq!(ended.err, "", "{what:?}: {}", ended.out);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| all_well(&["run", hello, "-q"]));
        scope.spawn(|| all_well(&["run", hello, "-q", "--detach"]));
        scope.spawn(|| all_well(&["show", "1", "--json"]));
        scope.spawn(|| all_well(&["events", "1"]));
    });
    let runs = stage.weir(&["runs", "--json", "-n", "100"]).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(25), "each began once");
    let left = || stage.weir(&["runs", "--json", "-n", "100", "--state", "succeeded"]).json();
    until("all end", || left().as_array().filter(|runs| runs.len() == 25).map(|_| ()));
    stage.verify();
    stage.wait_until_empty();
}
