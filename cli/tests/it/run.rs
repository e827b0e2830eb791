//! `weir run` and `weir rerun`.

use insta::assert_snapshot;

use crate::stage::Stage;

const CHAIN: &str = "
params:
  who: { type: string, default: world }
  break_it: { type: boolean, default: false }
jobs:
  greet: { uses: command, with: { script: 'echo hello, {{ params.who }}' } }
  work:
    needs: [greet]
    uses: command
    with:
      script: |
        echo one
        echo two
        if [ {{ params.break_it }} = true ]; then echo 'it broke' >&2; exit 7; fi
  after: { needs: [work], uses: noop }
";

#[test]
fn a_run_tells_each_change_and_ends_well() {
    let stage = Stage::with("chain", CHAIN);
    assert_snapshot!(stage.weir("run chain.flow.yaml -p who=ann").told());
}

#[test]
fn a_failed_run_shows_the_last_words_and_what_to_type() {
    let stage = Stage::with("chain", CHAIN);
    assert_snapshot!(stage.weir("run chain.flow.yaml -p break_it=true").told());
    assert_snapshot!(stage.weir("run chain.flow.yaml -p break_it=true -q").told());
}

#[test]
fn the_json_is_one_object_and_nothing_else() {
    let stage = Stage::with("chain", CHAIN);
    let said = stage.weir("run chain.flow.yaml -p break_it=true --json");
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""));
    let run = &said.json()["run"];
    for key in
        ["id", "flow", "version", "state", "origin", "params", "started_at", "ended_at", "tasks"]
    {
        assert!(run.get(key).is_some(), "{key}: {run}");
    }
    let work = &run["tasks"][1];
    for key in ["job", "path", "item", "state", "reason", "attempts", "outputs", "diagnoses"] {
        assert!(work.get(key).is_some(), "{key}: {work}");
    }
    assert_eq!((&work["path"], &work["state"]), (&"work".into(), &"failed".into()));
    let attempt = &work["attempts"][0];
    assert_eq!(
        (&attempt["number"], &attempt["exit_code"], &attempt["error_class"]),
        (&1.into(), &7.into(), &"exit".into())
    );
    assert_eq!(stage.weir("show 1 --json").json(), said.json());
}

#[test]
fn wrong_calls_run_nothing_and_end_with_2() {
    let stage = Stage::with("chain", CHAIN);
    stage.flow(
        "broken",
        "jobs:\n  a: { uses: comand, with: { script: date } }\n  b: { needs: [c], uses: noop }\n",
    );
    for (name, args) in [
        ("parameter", "run chain.flow.yaml -p whom=ann"),
        ("value", "run chain.flow.yaml -p break_it=perhaps"),
        ("no_value", "run chain.flow.yaml -p who"),
        ("job", "run chain.flow.yaml --only wrok"),
        ("file", "run nowhere.flow.yaml"),
        ("name", "run nowhere"),
        ("folder", "run ."),
        ("flow", "run broken.flow.yaml"),
        ("flag", "run chain.flow.yaml --onli greet"),
        ("rerun_nothing", "rerun 1"),
        ("rerun_unknown", "rerun 1 --all"),
    ] {
        let said = stage.weir(args);
        assert_eq!(said.code, Some(2), "{args}: {said:?}");
        assert_snapshot!(format!("wrong_{name}"), said.told());
    }
    assert_eq!(stage.weir("runs --json").out, "[]\n");
}

#[test]
fn a_flow_is_a_file_a_folder_or_a_name() {
    let stage = Stage::new();
    stage.file("one/only.flow.yaml", "name: only\njobs: { a: { uses: noop } }\n");
    for flow in ["one", "one/only.flow.yaml", "one/only", "only"] {
        let said = stage.weir(&format!("run {flow} -q"));
        assert_eq!((said.code, said.told().as_str()), (Some(0), "--- exit 0\n"), "{flow}");
    }
}

#[test]
fn some_jobs_can_be_chosen() {
    let stage = Stage::with("chain", CHAIN);
    let states = |args: &str| {
        let run = stage.weir(&format!("run chain.flow.yaml --json {args}")).json()["run"].clone();
        let tasks = run["tasks"].as_array().expect("a list").clone();
        tasks
            .iter()
            .map(|task| task["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(states("--only greet"), "succeeded disabled disabled");
    assert_eq!(states("--from work"), "disabled succeeded succeeded");
    assert_eq!(states("--skip work"), "succeeded disabled succeeded");
}

#[test]
fn values_come_from_files_and_from_standard_input() {
    let stage = Stage::with("chain", CHAIN);
    stage.file("name.txt", "from a file\n");
    stage.weir("run chain.flow.yaml -q -p who=@name.txt");
    assert_eq!(stage.show(1)["params"]["who"], "from a file");
    let said = stage.fed("run chain.flow.yaml -q -p who=-", "from input\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.show(2)["params"]["who"], "from input");
}

#[test]
fn a_secret_on_the_command_line_is_warned_of_and_seen_nowhere() {
    let stage = Stage::with(
        "hush",
        "params:\n  word: { type: secret }\njobs:\n  a: { uses: command, with: { script: 'echo {{ params.word }} | tr a-z A-Z; echo {{ params.word }}' } }\n",
    );
    assert_snapshot!(stage.weir("run hush.flow.yaml -p word=xyzzy-1234").told());
    let said = stage.fed("run hush.flow.yaml -p word=-", "xyzzy-1234\n");
    assert!(!said.told().contains("xyzzy") && !said.err.contains("warning"), "{said:?}");
    let shown = stage.weir("show 1 --json").out
        + &stage.weir("events 1 --json").out
        + &stage.weir("logs 1 a").out;
    assert!(shown.contains("***") && !shown.contains("xyzzy-1234"), "{shown}");
    let missing = stage.weir("run hush.flow.yaml");
    assert_eq!(missing.code, Some(2), "{missing:?}");
}

#[test]
fn what_destroys_asks_and_says_what_to_type() {
    let stage = Stage::with(
        "wipe",
        "params:\n  what: { type: string, default: all }\njobs:\n  wipe:\n    uses: command\n    destroys: the table {{ params.what }}\n    with: { script: echo gone }\n",
    );
    let said = stage.weir("run wipe.flow.yaml");
    assert_eq!(said.code, Some(4), "{said:?}");
    assert_snapshot!(said.told());
    let said = stage.weir("approve 1 wipe");
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut command = stage.command("run wipe.flow.yaml -q --confirm");
    command.arg("the table all");
    assert_eq!(stage.run(command).code, Some(0));
    let mut command = stage.command("run wipe.flow.yaml -q -p what=users --confirm");
    command.arg("the table all");
    assert_eq!(stage.run(command).code, Some(4));
}

#[test]
fn a_rerun_begins_at_what_failed() {
    let stage = Stage::with("chain", CHAIN);
    stage.weir("run chain.flow.yaml -p break_it=true -q");
    assert_snapshot!(stage.weir("rerun 1 --from-failed --preview").told());
    assert_snapshot!(stage.weir("rerun 1 --from-failed -p break_it=false").told());
    let again = stage.show(2);
    assert_eq!((&again["origin"], &again["tasks"][0]["state"]), (&1.into(), &"reused".into()));
}

#[test]
fn a_preview_with_the_newest_text_shows_what_has_changed() {
    let stage = Stage::with("chain", CHAIN);
    stage.weir("run chain.flow.yaml -p break_it=true -q");
    stage.flow("chain", &CHAIN.replace("exit 7", "exit 0"));
    assert_snapshot!(stage.weir("rerun 1 --from work --latest --preview").told());
    assert_eq!(stage.weir("rerun 1 --from-failed --latest -q").code, Some(0));
}
