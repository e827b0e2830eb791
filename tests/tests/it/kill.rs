//! Promises 1, 2 and 3: whatever is killed, and whenever, each attempt runs at most once, and every run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Chance, Process, Server, Stage, until};

/// So often something is killed.
const KILLS: usize = 200;
/// So many flows run meanwhile.
const FLOWS: usize = 50;

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Engine,
    Supervisor,
    Both,
}

/// Says that the attempt runs, in one write, and proves that no earlier attempt of the task still does: the lock is
/// held for as long as any process of that attempt lives.
const BODY: &str = r#"
      exec 9>>{{ params.dir }}/lock.$WEIR_RUN.{{ params.name }}.NAME
      flock -n 9 || echo "$WEIR_RUN/NAME/$WEIR_ATTEMPT_NUMBER" >>{{ params.dir }}/overlaps
      echo "$WEIR_RUN/NAME/$WEIR_ATTEMPT_NUMBER" >>{{ params.dir }}/began
      sleep SPAN
      echo "$WEIR_RUN/NAME/$WEIR_ATTEMPT_NUMBER" >>{{ params.dir }}/ended"#;

/// A flow of three to seven jobs, each of which may need any of those before it.
fn write_flow(stage: &Stage, chance: &mut Chance, number: usize) -> PathBuf {
    let mut text = String::from(
        "params: { dir: { type: string }, name: { type: string } }\n\
         retry: { attempts: 1000, delay: 10ms, jitter: 0, on: [lost, internal] }\njobs:\n",
    );
    let jobs = 3 + chance.below(5);
    for job in 0..jobs {
        let needs: Vec<String> =
            (0..job).filter(|_| chance.below(3) == 0).map(|need| format!("j{need}")).collect();
        let span = format!("0.{:02}", chance.below(60));
        let body = BODY.replace("NAME", &format!("j{job}")).replace("SPAN", &span);
        let uses = "uses: command\n    with:\n     script: |";
        text.extend([format!("  j{job}:\n    needs: [{}]\n    {uses}{body}\n", needs.join(", "))]);
    }
    stage.flow(&format!("f{number}"), &text)
}

#[test]
fn whatever_is_killed_each_attempt_runs_once_and_every_run_ends() {
    let stage = Stage::new();
    let mut chance = Chance::new();
    let mut flows: Vec<(String, PathBuf)> = (0..FLOWS)
        .map(|number| (format!("f{number}"), write_flow(&stage, &mut chance, number)))
        .collect();
    let mut server = Some(stage.serve());
    let mut killed_supervisors = 0;
    for kill in 0..KILLS {
        let engine = server.take().unwrap_or_else(|| stage.serve());
        if kill * FLOWS / KILLS >= FLOWS - flows.len()
            && let Some((name, flow)) = flows.pop()
        {
            begin(&stage, &engine, &flow, &name);
        }
        // The moment must not depend on what Weir does: that is the point.
        thread::sleep(Duration::from_millis(chance.below(120)));
        let victim = match chance.below(10) {
            0..6 => Victim::Engine,
            6..8 => Victim::Supervisor,
            _ => Victim::Both,
        };
        killed_supervisors += usize::from(strike(&stage, engine, victim, &mut server));
    }
    assert!(killed_supervisors > 10, "only {killed_supervisors} supervisors were there to kill");
    let server = server.take().unwrap_or_else(|| stage.serve());
    assert!(flows.is_empty(), "{} flows never began", flows.len());
    let runs = all_runs(&server);
    assert_eq!(runs.len(), FLOWS);
    for run in &runs {
        server.door().watch(*run, |_| false).expect("the server stays");
    }
    server.stop();
    stage.verify();
    judge(&stage, &runs);
    stage.wait_until_empty();
}

fn begin(stage: &Stage, engine: &Server, flow: &std::path::Path, name: &str) {
    let params = json!({ "dir": stage.path(), "name": name });
    engine.door().begin(flow, &params).expect("the engine was not killed yet");
}

/// Kills; says whether there was a supervisor among the dead. An engine that is not killed is given back.
fn strike(stage: &Stage, engine: Server, victim: Victim, server: &mut Option<Server>) -> bool {
    let supervisor = match victim {
        Victim::Engine => None,
        Victim::Supervisor | Victim::Both => stage.supervisor(),
    };
    supervisor.into_iter().for_each(Process::kill);
    match victim {
        Victim::Engine | Victim::Both => engine.kill(),
        Victim::Supervisor => *server = Some(engine),
    }
    supervisor.is_some()
}

fn all_runs(server: &Server) -> Vec<i64> {
    let request = json!({
        "call": "runs", "project": null, "flow": null, "state": null, "before": null, "limit": 1000,
    });
    let runs = server.door().ask(&request).expect("it answers").expect("there are runs");
    let runs = runs.as_array().expect("a list");
    runs.iter().map(|run| run["id"].as_i64().expect("a number")).collect()
}

/// What the jobs wrote against what Weir knows.
fn judge(stage: &Stage, runs: &[i64]) {
    assert_eq!(stage.read("overlaps"), "", "an attempt began while an earlier one still ran");
    let mut began = BTreeMap::new();
    for line in stage.read("began").lines() {
        *began.entry(line.to_owned()).or_insert(0) += 1;
    }
    let twice: Vec<_> = began.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "began more than once: {twice:?}");
    let ended: BTreeSet<String> = stage.read("ended").lines().map(str::to_owned).collect();
    let mut known = BTreeSet::new();
    let mut lost = 0;
    for run in runs {
        let shown = stage.show(*run);
        assert_eq!(shown["state"], "succeeded", "run {run}: {shown:#}");
        for (id, state) in attempts(&shown) {
            match state.as_str() {
                "succeeded" => assert!(
                    began.contains_key(&id) && ended.contains(&id),
                    "{id} succeeded, and never ran to its end"
                ),
                "lost" => lost += 1,
                // A supervisor that was killed while it began has surely started nothing.
                "failed" => assert!(!began.contains_key(&id), "{id} failed, and had begun"),
                other => panic!("{id} ended {other}: {shown:#}"),
            }
            known.insert(id);
        }
    }
    let unknown: Vec<_> = began.keys().filter(|id| !known.contains(*id)).collect();
    assert!(unknown.is_empty(), "ran, and nobody knows of it: {unknown:?}");
    assert!(lost > 0, "no attempt was lost: the supervisors died too gently");
}

fn attempts(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for task in run["tasks"].as_array().expect("tasks") {
        for attempt in task["attempts"].as_array().expect("attempts") {
            let id = format!("{}/{}/{}", run["id"], text(&task["path"]), attempt["number"]);
            found.push((id, text(&attempt["state"])));
        }
    }
    found
}

#[test]
fn a_job_goes_on_while_the_engine_is_dead_and_its_end_is_found() {
    let stage = Stage::new();
    let flow = stage.flow(
        "long",
        "params: { dir: { type: string } }\njobs:\n  wait:\n    uses: command\n    with:\n      script: |\n        \
         echo before; touch {{ params.dir }}/began\n        \
         while [ ! -e {{ params.dir }}/go ]; do sleep 0.01; done\n        \
         echo after; echo answer=42 >\"$WEIR_OUTPUT\"; touch {{ params.dir }}/over\n",
    );
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({ "dir": stage.path() })).expect("begun");
    until("the job runs", || stage.path().join("began").exists().then_some(()));
    server.kill();
    stage.write("go", "");
    until("the job ends by itself", || stage.path().join("over").exists().then_some(()));
    let server = stage.serve();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(shown["tasks"][0]["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    assert_eq!(shown["tasks"][0]["outputs"]["answer"], "42");
    assert_eq!(stage.weir(&["logs", &run.to_string(), "wait"]).out, "before\nafter\n");
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}
