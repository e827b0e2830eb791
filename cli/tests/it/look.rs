//! Commands that only look: help, check, plan, graph, schema, types, runs, show, logs, events, diagnose, catalogue.

use insta::assert_snapshot;
use serde_json::Value;

use crate::stage::{Stage, steady};

const GROUPS: &str = "
params:
  where: { type: string, default: here }
jobs:
  prepare: { uses: command, title: Make it ready, with: { script: 'echo list=1 >>\"$WEIR_OUTPUT\"' }, outputs: [list] }
  each:
    needs: [prepare]
    foreach: '[1, 2]'
    uses: command
    with: { script: 'echo item {{ item }}' }
  inspect:
    needs: [each]
    jobs:
      one: { uses: noop }
      two: { needs: [one], when: params.where == 'there', uses: approve, with: { message: Go? } }
  wipe:
    needs: [inspect]
    after: none-failed
    destroys: the old report of {{ params.where }}
    uses: command
    with: { script: 'rm -f report; echo {{ jobs.prepare.outputs.list }}' }
hooks:
  on-exit: { tidy: { uses: noop } }
";

#[test]
fn every_command_explains_itself() {
    let stage = Stage::new();
    let help = stage.weir("--help");
    assert_eq!(help.code, Some(0));
    assert_snapshot!("help", help.out);
    let mut all = String::new();
    let names =
        help.out.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: Vec<&str> =
        names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase())).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        let said = stage.weir(&format!("{name} --help"));
        assert_eq!(said.code, Some(0), "{name}");
        all.extend(["=== weir ", name, " --help\n", &said.out, "\n"]);
    }
    assert_snapshot!("help_of_commands", all);
    assert_snapshot!("no_command", stage.weir("").told());
    assert_snapshot!("unknown_command", stage.weir("rnu").told());
}

#[test]
fn a_check_finds_all_at_once() {
    let stage = Stage::with("good", GROUPS);
    assert_snapshot!("check_good", stage.weir("check good.flow.yaml").told());
    stage.flow("bad", "jobs:\n  a: { uses: comand }\n  b: { needs: [a, c], uses: noop }\n  c: { needs: [b], uses: noop }\n");
    stage.file("more/project.yaml", "name: more\ndefault: {}\n");
    stage.file("catalogue/own.yaml", "entries:\n  - id: OWN-01\n    titel: x\n");
    let said = stage.weir("check .");
    assert_eq!(said.code, Some(2));
    assert_snapshot!("check_bad", said.told());
    let json = stage.weir("check . --json");
    assert_eq!(json.code, Some(2));
    let mistakes = json.json()["mistakes"].as_array().cloned().unwrap_or_default();
    assert!(mistakes.len() >= 4, "{json:?}");
    for key in ["file", "place", "severity", "code", "message", "help"] {
        assert!(mistakes[0].get(key).is_some(), "{key}");
    }
    assert_eq!(stage.weir("check nowhere").code, Some(2));
    stage.file("empty/readme", "");
    assert_eq!(stage.weir("check empty").code, Some(2));
}

#[test]
fn a_check_finds_flows_that_begin_each_other_without_an_end() {
    let stage = Stage::with("good", GROUPS);
    let behind = |flow: &str, other: &str| {
        format!(
            "name: {flow}\nschedules: [{{ id: s, after-flow: {other} }}]\njobs: {{ x: {{ uses: noop }} }}\n"
        )
    };
    stage.file("round/a.flow.yaml", &behind("a", "c"));
    stage.file("round/b.flow.yaml", &behind("b", "a"));
    stage.file("round/c.flow.yaml", &behind("c", "b"));
    stage.file("round/d.flow.yaml", &behind("d", "c"));
    let said = stage.weir("check round --json");
    assert_eq!(said.code, Some(0), "{said:?}");
    let mistakes = said.json()["mistakes"].as_array().cloned().unwrap_or_default();
    let told: Vec<&str> = mistakes
        .iter()
        .filter(|mistake| mistake["code"] == "endless")
        .filter_map(|mistake| mistake["message"].as_str()?.rsplit(": ").next())
        .collect();
    assert_eq!(told, ["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"]);
}

#[test]
fn a_plan_says_what_is_destroyed_first() {
    let stage = Stage::with("good", GROUPS);
    assert_snapshot!("plan", stage.weir("plan good.flow.yaml -p where=there").told());
    assert!(stage.weir("plan good.flow.yaml --json").json()["jobs"].is_array());
    assert!(!stage.home().join("weir.db").exists(), "nothing is written");
}

#[test]
fn a_graph_is_drawn_in_three_ways() {
    let stage = Stage::with("good", GROUPS);
    for format in ["text", "dot", "mermaid"] {
        let said = stage.weir(&format!("graph good.flow.yaml --format {format}"));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_snapshot!(format!("graph_{format}"), said.out);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let stage = Stage::new();
    let mut command = stage.command("schema");
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), "")
    );
}

#[test]
fn schemas_are_json() {
    let stage = Stage::new();
    let schema = stage.weir("schema").json();
    assert!(schema["properties"]["jobs"].is_object(), "{schema}");
    assert!(stage.weir("schema command").json().to_string().contains("\"script\":{"));
    assert_snapshot!("schema_unknown", stage.weir("schema comand").told());
    assert_snapshot!("types", stage.weir("types").told());
}

#[test]
fn a_run_is_looked_at_afterwards() {
    let stage = Stage::with("good", GROUPS);
    stage.weir("run good.flow.yaml -q");
    assert_snapshot!("runs", stage.weir("runs").told());
    assert_snapshot!("show", stage.weir("show 1").told());
    assert_eq!(stage.weir("runs --state failed --json").json(), Value::Array(Vec::new()));
    assert_eq!(stage.weir("runs --state odd").code, Some(2));
    assert_snapshot!("logs_all", stage.weir("logs 1").told());
    assert_eq!(stage.weir("logs 1 each[1]").out, "item 2\n");
    let times = steady(&stage.weir("logs 1 each[1] --times").out);
    assert!(times == "TIME item 2\n" || times == "         item 2\n", "{times}");
    let events = stage.weir("events 1 --json").out;
    let kinds: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    assert_eq!(kinds.first().map(|event| &event["seq"]), Some(&1.into()));
    assert!(
        kinds.iter().any(|event| event["kind"] == "asking" && event["path"] == "wipe"),
        "{events}"
    );
    assert_eq!(stage.weir(&format!("events 1 --after {}", kinds.len())).out, "");
}

#[test]
fn logs_are_the_bytes_that_were_written() {
    let stage = Stage::with(
        "raw",
        "jobs:\n  a: { uses: command, with: { script: \"printf 'one\\\\ntwo\\\\n\\\\377\\\\000three'\" } }\n",
    );
    stage.weir("run raw.flow.yaml -q");
    let bytes = |args: &str| stage.command(args).output().expect("it runs").stdout;
    assert_eq!(bytes("logs 1 a"), b"one\ntwo\n\xff\x00three");
    assert_eq!(bytes("logs 1 a --tail 1"), b"\xff\x00three");
    assert_eq!(bytes("logs 1 a -f --tail 2"), b"two\n\xff\x00three");
}

#[test]
fn a_known_failure_is_recognised_in_any_log() {
    let stage = Stage::new();
    stage.file("home/catalogue/own.yaml", "entries:\n  - id: OWN-01\n    title: The table is locked\n    match: { log: 'table (?P<table>\\w+) is locked', uses: [command] }\n    rank: primary\n    diagnosis: Somebody else works on it.\n    advice: [Wait for it.]\n    then: ask\n    sample: ['ERROR: table users is locked']\n");
    stage.file("some.log", "one\nERROR: table users is locked\nthree\n");
    stage.file("other.log", "all is well\n");
    assert_snapshot!("diagnose_file", stage.weir("diagnose some.log").told());
    assert_snapshot!("diagnose_nothing", stage.weir("diagnose other.log").told());
    assert_eq!(stage.weir("diagnose some.log --type wait").code, Some(1));
    assert_eq!(stage.fed("diagnose -", "table a is locked\n").code, Some(0));
    assert_snapshot!("diagnose_draft", stage.weir("diagnose some.log --draft 2").told());
    assert_eq!(stage.weir("diagnose some.log --draft 9").code, Some(2));
    assert_snapshot!("catalogue_one", stage.weir("catalogue OWN-01").told());
    assert!(stage.weir("catalogue").out.lines().count() > 1);
    assert_eq!(stage.weir("catalogue OWN-02").code, Some(2));
    stage.flow(
        "fails",
        "jobs:\n  a: { uses: command, with: { script: 'echo table t is locked; exit 1' } }\n",
    );
    assert_eq!(stage.weir("run fails.flow.yaml -q").code, Some(4));
    assert_eq!(stage.weir("reject 1 a -q").code, Some(1));
    assert_snapshot!("diagnose_run", stage.weir("diagnose 1").told());
}

#[test]
fn a_remedy_of_the_catalogue_is_held_against_its_job_type() {
    let stage = Stage::new();
    let entry = "entries:\n  - id: OWN-01\n    title: t\n    match: { log: x }\n    rank: primary\n    diagnosis: d\n    jobs: { pause: { uses: wait, with: { fro: 10s } } }\n    then: retry\n    sample: x\n";
    stage
        .file("home/catalogue/own.yaml", &format!("# a good one\n{}", entry.replace("fro", "for")));
    assert_eq!(stage.weir("catalogue OWN-01").code, Some(0));
    stage.file("home/catalogue/own.yaml", entry);
    for command in ["catalogue OWN-01", "check home/catalogue/own.yaml"] {
        let told = stage.weir(command);
        assert_eq!(told.code, Some(2), "{command}");
        assert!(told.err.contains("own.yaml:7:42"), "{command}: {}", told.err);
        assert!(told.err.contains("did you mean `for`?"), "{command}: {}", told.err);
    }
}

#[test]
fn work_that_answers_again_is_running_again() {
    let stage = Stage::with(
        "far",
        "jobs: { a: { uses: test, with: { unreachable-for: 300ms, run-for: 2s } } }\n",
    );
    assert_eq!(stage.weir("run far.flow.yaml -q").code, Some(0));
    let events = stage.weir("events 1").out;
    let place = |word: &str| events.find(word).unwrap_or_else(|| panic!("no {word} in {events}"));
    let again = events.rfind("running").expect("it runs");
    assert!(place("unreachable") < again, "{events}");
    // Why stands beside its log, not in it.
    assert!(place("as it was told to be") < again, "{events}");
    assert_eq!(stage.weir("logs 1 a").out, "");
    let task = &stage.show(1)["tasks"][0];
    assert_eq!((&task["reason"], &task["attempts"][0]["message"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_is_out_of_reach_says_why_and_since_when() {
    let stage = Stage::with("far", "jobs: { a: { uses: test, with: { unreachable-for: 1h } } }\n");
    let mut running = stage.start("run far.flow.yaml");
    running.wait_for("unreachable");
    let task = &stage.show(1)["tasks"][0];
    let since = task["since"].as_str().expect("a time");
    let expected = format!("out of reach since {since}: unreachable, as it was told to be");
    assert_eq!(task["reason"], expected);
    assert_eq!(stage.weir("cancel 1 -q").code, Some(0));
    assert_eq!(running.end().code, Some(3));
}

#[test]
fn an_end_that_cannot_be_confirmed_is_told_and_a_kill_gives_up_on_it() {
    let stage = Stage::with(
        "stuck",
        "jobs: { a: { uses: test, with: { hang: true, cancel-error: true } } }\n",
    );
    let mut running = stage.start("run stuck.flow.yaml");
    running.wait_for("running");
    stage.weir("cancel 1 --detach -q");
    running.wait_for("cancelling: would not end, as it was told");
    let task = &stage.show(1)["tasks"][0];
    assert_eq!(task["state"], "cancelling");
    let reason = task["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("would not end, as it was told"), "{reason}");
    assert!(reason.contains("weir cancel 1 --kill"), "{reason}");
    stage.weir("cancel 1 --kill --detach -q");
    running.wait_for("cancelled: its end could not be confirmed, and it may still be at work");
    assert_eq!(running.end().code, Some(3));
    let task = &stage.show(1)["tasks"][0];
    assert_eq!(task["state"], "cancelled");
    assert_eq!(
        task["reason"],
        "its end could not be confirmed, and it may still be at work: would not end, as it was told (the run was killed)"
    );
}
