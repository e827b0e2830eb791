//! Old runs are removed as their flows say: whole, and none by accident.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_tests::{Stage, until};

fn ids(stage: &Stage) -> Vec<i64> {
    let runs = stage.weir(&["runs", "--json", "--limit", "1000"]).json();
    runs.as_array().expect("a list").iter().filter_map(|run| run["id"].as_i64()).collect()
}

fn prune(stage: &Stage, more: &[&str]) -> Value {
    let ended = stage.weir(&[&["prune", "--json"], more].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.json()
}

fn run(stage: &Stage, flow: &Path, more: &[&str]) -> Value {
    stage.weir(&[&["run", flow.to_str().expect("plain"), "--json"], more].concat()).run()
}

#[test]
fn a_flow_keeps_what_it_says_and_others_keep_all() {
    let stage = Stage::new();
    let job =
        "jobs: { a: { uses: command, with: { script: 'echo hello; exit {{ params.code }}' } } }\n";
    let params = "params: { code: { type: integer, default: 0 } }\n";
    let few = stage.flow("few", &format!("keep: {{ runs: 2 }}\n{params}{job}"));
    let all = stage.flow("all", &format!("{params}{job}"));
    for _ in 0..2 {
        assert_eq!(run(&stage, &few, &[])["state"], "succeeded");
        assert_eq!(run(&stage, &all, &[])["state"], "succeeded");
    }
    // Runs 5 to 8 of `few` fail: 3 is the last that went well.
    for _ in 0..4 {
        assert_eq!(run(&stage, &few, &["-p", "code=3"])["state"], "failed");
    }
    let home = stage.home();
    let logs = |id: i64| home.join(format!("runs/{id}")).exists();
    assert!((1..=8).all(logs));
    let wanted = json!([{
        "project": "", "flow": "few", "age": null, "keeps": 2, "runs": 3, "first": 1, "last": 6,
    }]);
    let without_bytes = |mut found: Value| {
        assert!(found[0]["bytes"].as_u64() > Some(0), "{found}");
        found[0].as_object_mut().expect("an object").remove("bytes");
        found
    };
    assert_eq!(without_bytes(prune(&stage, &["--preview"])), wanted);
    assert_eq!(ids(&stage), [8, 7, 6, 5, 4, 3, 2, 1], "a preview removes nothing");
    assert_eq!(without_bytes(prune(&stage, &[])), wanted);
    assert_eq!(ids(&stage), [8, 7, 4, 3, 2]);
    let left: Vec<i64> = (1..=8).filter(|id| logs(*id)).collect();
    assert_eq!(left, [2, 3, 4, 7, 8]);
    let gone = stage.weir(&["show", "1"]);
    assert_eq!(gone.code, 2, "{}", gone.out);
    assert!(gone.err.contains("no run 1"), "{}", gone.err);
    stage.verify();
    assert_eq!(prune(&stage, &[]), json!([]));
    // Numbers go on.
    assert_eq!(run(&stage, &few, &[])["id"], 9);
    stage.verify();
}

#[test]
fn what_may_be_needed_stays() {
    let stage = Stage::new();
    let dir = stage.path().display();
    let flow = stage.flow(
        "careful",
        &format!(
            "keep: {{ runs: 1 }}\njobs:\n  a: {{ uses: command, with: {{ script: '[ -e {dir}/begun ] || exit 4; touch \
             {dir}/again; until [ -e {dir}/go ]; do sleep 0.02; done' }} }}\n"
        ),
    );
    let flow = flow.to_str().expect("plain");
    assert_eq!(stage.weir(&["run", flow]).code, 1);
    stage.write("begun", "");
    let server = stage.serve();
    // A rerun of run 1 moves while two more are begun.
    assert_eq!(stage.weir(&["rerun", "1", "--all", "--detach"]).code, 0);
    until("the rerun works", || stage.path().join("again").exists().then_some(()));
    for _ in 0..2 {
        assert_eq!(stage.weir(&["run", flow, "--detach"]).code, 0);
    }
    assert_eq!(prune(&stage, &[]), json!([]), "runs 2, 3 and 4 move, and 2 is a rerun of 1");
    stage.write("go", "");
    until("all have ended", || {
        let list = stage.weir(&["runs", "--json"]).json();
        list.as_array()?.iter().all(|run| run["ended_at"].is_string()).then_some(())
    });
    assert_eq!(prune(&stage, &[])[0]["runs"], 3);
    assert_eq!(ids(&stage), [4]);
    server.stop();
    stage.verify();
}

#[test]
fn a_file_that_began_a_run_does_not_begin_another_when_that_is_removed() {
    let stage = Stage::new();
    stage.write(
        "flows/drop.flow.yaml",
        "name: drop\nkeep: { runs: 1 }\nschedules: [{ id: come, file: '*.csv' }]\njobs: { a: { uses: noop } }\n",
    );
    stage.write("flows/one.csv", "1");
    let flows = stage.path().join("flows");
    let serve = || stage.serve_with(&["--flows", flows.to_str().expect("plain")]);
    let ended = |count: usize| {
        until("so many runs have ended", || {
            let list = stage.weir(&["runs", "--json"]).json();
            let ended = list.as_array()?.iter().filter(|run| run["ended_at"].is_string()).count();
            (ended == count).then_some(())
        });
    };
    let server = serve();
    ended(1);
    stage.write("flows/two.csv", "2");
    ended(2);
    assert_eq!(prune(&stage, &[])[0]["runs"], 1);
    assert_eq!(ids(&stage), [2]);
    server.stop();
    // The next server finds both files, and has seen both.
    let server = serve();
    stage.write("flows/three.csv", "3");
    ended(2);
    assert_eq!(ids(&stage), [3, 2]);
    server.stop();
    stage.verify();
}

#[test]
fn a_server_removes_by_itself_and_goes_on_where_a_dead_one_was() {
    let stage = Stage::new();
    let flow = stage.flow("few", "keep: { runs: 1 }\njobs: { a: { uses: noop } }\n");
    for _ in 0..3 {
        assert_eq!(stage.weir(&["run", flow.to_str().expect("plain")]).code, 0);
    }
    let server = stage.serve_with(&["--prune-every", "100ms"]);
    until("the old ones are gone", || (ids(&stage) == [3]).then_some(()));
    until("it says so", || {
        stage.read("serve.log").contains("2 old runs are removed (1 to 2").then_some(())
    });
    server.stop();
    stage.verify();
    // A folder that an engine could not remove any more is removed by the next.
    let left = stage.home().join("runs/2/0.1");
    fs::create_dir_all(&left).expect("made");
    fs::write(left.join("log"), "old").expect("written");
    let db = stage.home().join("weir.db");
    let note = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute('insert into removed_run values (2)')\ndb.commit()\n";
    let python = std::process::Command::new("python3").args(["-c", note]).arg(db).status();
    assert!(python.expect("python3").success());
    assert_eq!(prune(&stage, &[]), json!([]));
    assert!(!left.exists());
}

#[test]
fn an_age_of_nothing_is_a_mistake() {
    let stage = Stage::new();
    let flow = stage.flow("never", "keep: { age: 0 }\njobs: { a: { uses: noop } }\n");
    let checked = stage.weir(&["check", flow.to_str().expect("plain")]);
    assert_eq!(checked.code, 2, "{}", checked.out);
    assert!(
        checked.err.contains("an `age` of 0 keeps nothing")
            || checked.out.contains("an `age` of 0 keeps nothing")
    );
}
