//! Promise 7 through the built binary: a due time runs its flow once, never early, never twice, never silently missed.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Server, Stage, until};

/// The flow of a schedule that fires each second; its job notes what it runs for.
const EACH_SECOND: &str = "schedules:\n  - { id: each, cron: '* * * * * ?', misfire: run-all }\njobs:\n  note:\n    uses: command\n    with: { script: 'echo {{ run.due }} $(date +%s%3N) >>ran' }\n";

fn flows(stage: &Stage) -> String {
    stage.path().join("flows").to_str().expect("a plain name").to_owned()
}

fn ask(server: &Server, request: &Value) -> Value {
    let answer = server.door().ask(request).expect("the server answers");
    answer.unwrap_or_else(|problem| panic!("{problem}"))
}

fn schedules(server: &Server) -> Vec<Value> {
    let found = ask(server, &json!({ "call": "schedules", "project": null, "flow": null }));
    found.as_array().expect("a list").clone()
}

fn fires(server: &Server, schedule: i64) -> Vec<Value> {
    let request = json!({ "call": "fires", "schedule": schedule, "before": null, "limit": 10_000 });
    ask(server, &request).as_array().expect("a list").clone()
}

/// Of RFC 3339 with milliseconds in UTC: the milliseconds of its day.
fn millis(text: &str) -> i64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    ((part(11, 13) * 60 + part(14, 16)) * 60 + part(17, 19)) * 1000 + part(20, 23)
}

#[test]
fn each_second_runs_once_though_the_server_is_killed() {
    let stage = Stage::new();
    stage.write("flows/each.flow.yaml", format!("name: each\n{EACH_SECOND}"));
    let flows = flows(&stage);
    for _ in 0..3 {
        let server = stage.serve_with(&["--flows", &flows]);
        let had = stage.read("flows/ran").lines().count();
        until("it runs", || (stage.read("flows/ran").lines().count() > had + 2).then_some(()));
        // The moment must not depend on what Weir does.
        thread::sleep(Duration::from_millis(317));
        server.kill();
        thread::sleep(Duration::from_millis(1_700));
    }
    let server = stage.serve_with(&["--flows", &flows]);
    let had = stage.read("flows/ran").lines().count();
    until("it runs", || (stage.read("flows/ran").lines().count() > had + 4).then_some(()));
    let id = schedules(&server)[0]["id"].as_i64().expect("a number");
    assert_eq!(stage.weir(&["schedules", "pause", "each", "each"]).code, 0);
    let told = fires(&server, id);
    let last = told[0]["run"].as_i64().expect("a run");
    server.door().watch(last, |_| false).expect("the server stays");
    until("all have ended", || {
        let ran = stage.read("flows/ran").lines().count();
        (ran >= told.len()).then_some(())
    });
    // Without a gap, and each once: those that were due while nobody was there, too.
    let mut dues: Vec<i64> = told
        .iter()
        .map(|fire| {
            assert_eq!(fire["outcome"], "run", "{fire}");
            millis(fire["due"].as_str().expect("a time"))
        })
        .collect();
    dues.reverse();
    for pair in dues.windows(2) {
        assert!(pair[1] - pair[0] == 1_000 || pair[1] < pair[0], "a gap: {pair:?}");
    }
    let ran = stage.read("flows/ran");
    let which: BTreeSet<&str> = ran.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(which.len(), ran.lines().count(), "one ran twice: {ran}");
    let known: BTreeSet<&str> = told.iter().filter_map(|fire| fire["due"].as_str()).collect();
    assert_eq!(which, known);
    // Paused: nothing more begins, also not after another start.
    server.stop();
    let server = stage.serve_with(&["--flows", &flows]);
    // Nothing may happen: that can't be waited for.
    thread::sleep(Duration::from_millis(2_200));
    let shown = &schedules(&server)[0];
    assert_eq!((&shown["state"], fires(&server, id).len()), (&json!("paused"), told.len()));
    let ended = stage.weir(&["schedules"]);
    assert!(ended.out.contains("each each  cron * * * * * ? UTC  paused by "), "{}", ended.out);
    // Resumed: it goes on from now, and what was due meanwhile was not missed.
    assert_eq!(stage.weir(&["schedules", "resume", "each", "each"]).code, 0);
    until("it runs again", || (fires(&server, id).len() > told.len()).then_some(()));
    let next = millis(told[0]["due"].as_str().expect("a time"));
    let newest = fires(&server, id);
    let after: Vec<i64> = newest
        .iter()
        .take(newest.len() - told.len())
        .map(|fire| millis(fire["due"].as_str().expect("a time")))
        .collect();
    assert!(after.iter().all(|due| *due > next + 2_000 || *due < next), "{after:?} after {next}");
    server.stop();
    stage.verify();
}

#[test]
fn a_broken_text_changes_nothing_and_is_told_and_a_removed_one_ends() {
    let stage = Stage::new();
    stage.write("flows/p/project.yaml", "name: p\n");
    let text = |line: &str| {
        format!(
            "name: it\nschedules:\n  - {{ id: s, cron: '{line}' }}\njobs:\n  a: {{ uses: noop }}\n"
        )
    };
    stage.write("flows/p/it.flow.yaml", text("0 2 * * *"));
    let flows = flows(&stage);
    let server = stage.serve_with(&["--flows", &flows]);
    let shown = until("it is in effect", || Some(schedules(&server)).filter(|all| all.len() == 1));
    assert_eq!(
        (&shown[0]["project"], &shown[0]["spec"]["cron"]),
        (&json!("p"), &json!("0 2 * * *"))
    );
    let flows_told = || ask(&server, &json!({ "call": "flows" }));
    stage.write("flows/p/it.flow.yaml", text("0 25 * * *"));
    until("the mistake is told", || {
        let told = flows_told();
        let error = told[0]["error"].as_str()?.to_owned();
        assert!(error.contains("`25` is no hour") && error.contains("^^"), "{error}");
        Some(())
    });
    assert_eq!(schedules(&server)[0]["spec"]["cron"], "0 2 * * *", "the old one is in effect");
    let ended = stage.weir(&["schedules"]);
    assert!(ended.err.contains("it.flow.yaml is not taken"), "{}", ended.err);
    // Another server finds it broken, and still runs the text before.
    server.stop();
    let server = stage.serve_with(&["--flows", &flows]);
    until("the mistake is told again", || {
        let told = ask(&server, &json!({ "call": "flows" }));
        (told[0]["error"].is_string() && told[0]["flow"] == "it").then_some(())
    });
    assert_eq!(schedules(&server)[0]["state"], "active");
    assert!(schedules(&server)[0]["next_due"].is_string());
    stage.write("flows/p/it.flow.yaml", text("30 3 * * *"));
    until("the new text is in effect", || {
        (schedules(&server)[0]["spec"]["cron"] == "30 3 * * *").then_some(())
    });
    assert_eq!(ask(&server, &json!({ "call": "flows" }))[0]["error"], Value::Null);
    std::fs::remove_file(stage.path().join("flows/p/it.flow.yaml")).expect("removed");
    until("it has ended", || schedules(&server).is_empty().then_some(()));
    server.stop();
    stage.verify();
}

#[test]
fn what_destroys_asks_unless_its_schedule_carries_the_words() {
    let stage = Stage::new();
    let text = |name: &str, confirm: &str| {
        format!(
            "name: {name}\nschedules:\n  - {{ id: s, every: 1s{confirm} }}\nconcurrency: {{ policy: skip }}\njobs:\n  wipe: {{ uses: noop, destroys: the disk }}\n"
        )
    };
    stage.write("flows/asks.flow.yaml", text("asks", ""));
    stage.write("flows/goes.flow.yaml", text("goes", ", confirm: the disk"));
    let server = stage.serve_with(&["--flows", &flows(&stage)]);
    let state = |flow: &str| {
        schedules(&server).iter().find(|row| row["flow"] == flow).and_then(|row| {
            let run = row["last"]["run"].as_i64()?;
            Some(stage.show(run)["state"].as_str()?.to_owned())
        })
    };
    until("the one with the words goes", || state("goes").filter(|state| state == "succeeded"));
    // The first asks; others are skipped as long as it does.
    until("the one without asks", || {
        let runs = stage.weir(&["runs", "--flow", "asks", "--state", "asking", "--json"]).json();
        (runs.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    server.stop();
    stage.verify();
}

#[test]
fn a_span_of_dates_is_made_up_for_and_the_next_times_are_told() {
    let stage = Stage::new();
    let flow = stage.write(
        "daily.flow.yaml",
        "name: daily\nschedules:\n  - { id: d, cron: '30 2 * * *', timezone: Europe/Berlin }\njobs:\n  note:\n    uses: command\n    with: { script: 'echo {{ run.due }} >>ran; sleep 0.05' }\n",
    );
    let flow = flow.to_str().expect("a plain name");
    let told = stage.weir(&["next", flow, "-n", "3", "--json"]).json();
    assert_eq!(told[0]["times"].as_array().map(Vec::len), Some(3));
    assert!(told[0]["times"][0]["local"].as_str().expect("text").contains(" 02:30:00 +0"));
    // Over the change of the clock in October and over that in March: 02:30 is shown twice there, and not at all here.
    let span = ["--from", "2026-03-28", "--to", "2026-03-30"];
    let preview = stage.weir(&[&["backfill", flow, "--preview"], &span[..]].concat());
    assert_eq!(preview.code, 0, "{}", preview.err);
    for local in
        ["2026-03-28 02:30:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]
    {
        assert!(preview.out.contains(local), "{}", preview.out);
    }
    assert!(stage.weir(&["runs", "--json"]).json().as_array().expect("a list").is_empty());
    let server = stage.serve();
    let ended = stage.weir(&[&["backfill", flow, "--json"], &span[..]].concat());
    let runs: Vec<i64> = ended.json()["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| run.as_i64().expect("a number"))
        .collect();
    assert_eq!(runs.len(), 3);
    for run in &runs {
        server.door().watch(*run, |_| false).expect("the server stays");
    }
    // One at a time, in order.
    assert_eq!(
        stage.read("ran").lines().collect::<Vec<_>>(),
        ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]
    );
    for (args, word) in [
        (
            vec!["backfill", flow, "--from", "soon", "--to", "2026-03-30"],
            "`soon` is no point in time",
        ),
        (
            vec!["backfill", flow, "--from", "2026-03-30", "--to", "2026-03-29"],
            "ends before it begins",
        ),
        (vec!["next", flow, "--schedule", "x"], "no schedule `x`"),
        (vec!["schedules", "pause", "p/none", "x"], "there is no schedule `x` of p/none"),
        (vec!["serve", "--flows", "nowhere"], "can't be watched"),
    ] {
        let ended = stage.weir(&args);
        assert!(
            ended.code == 2 && ended.err.contains(word),
            "{args:?}: {} {}",
            ended.code,
            ended.err
        );
    }
    server.stop();
    stage.verify();
}

#[test]
fn a_file_and_the_end_of_another_flow_begin_runs_once() {
    let stage = Stage::new();
    stage.write(
        "flows/load.flow.yaml",
        "name: load\nparams: { path: { type: string } }\nschedules:\n  - { id: come, file: 'in/*.csv', params: { path: '{{ item }}' } }\njobs:\n  a:\n    uses: command\n    with: { script: 'echo {{ params.path }} >>loaded; echo day=monday >\"$WEIR_OUTPUT\"' }\n",
    );
    stage.write(
        "flows/report.flow.yaml",
        "name: report\nparams: { day: { type: string } }\nschedules:\n  - { id: behind, after-flow: load, params: { day: '{{ jobs.a.outputs.day }}' } }\njobs:\n  a:\n    uses: command\n    with: { script: 'echo {{ params.day }} >>reported' }\n",
    );
    stage.write("flows/in/first.csv", "1");
    let flows = flows(&stage);
    let server = stage.serve_with(&["--flows", &flows]);
    until("it is reported", || (stage.read("flows/reported") == "monday\n").then_some(()));
    assert!(stage.read("flows/loaded").ends_with("/flows/in/first.csv\n"));
    // Another server does not take it for new.
    server.stop();
    let server = stage.serve_with(&["--flows", &flows]);
    stage.write("flows/in/second.csv", "1");
    until("the second is reported", || {
        (stage.read("flows/reported").lines().count() == 2).then_some(())
    });
    let loaded = stage.read("flows/loaded");
    assert_eq!(loaded.lines().count(), 2, "{loaded}");
    assert!(loaded.ends_with("second.csv\n"), "{loaded}");
    server.stop();
    stage.verify();
}
