//! Failures that are known, and people who decide.

use serde_json::Value;
use weir_tests::{Stage, states, until};

/// A flow of these jobs; `DIR` stands for the stage's folder.
fn flow(stage: &Stage, name: &str, body: &str) -> std::path::PathBuf {
    stage.flow(name, &body.replace("DIR", &stage.path().display().to_string()))
}

fn diagnoses(task: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let found = task["diagnoses"].as_array().expect("diagnoses");
    let tell = |one: &Value| (text(&one["signature"]), text(&one["then"]), text(&one["result"]));
    found.iter().map(tell).collect()
}

fn asks(stage: &Stage, run: i64) -> String {
    let shown = stage.show(run);
    assert_eq!(shown["state"], "asking", "{shown:#}");
    states(&shown)
}

#[test]
fn a_remedy_cures_and_the_task_is_tried_again() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "cure",
        "jobs:
  a:
    uses: command
    with: { script: '[ -e DIR/cured ] || { echo lock of load stays; exit 17; }' }
    recover:
      - match: { log: 'lock of (?P<what>\\w+) stays', exit: 17 }
        diagnosis: An earlier run left its lock.
        jobs:
          unlock: { uses: command, with: { script: touch DIR/cured } }
        then: retry
  b: { needs: [a], uses: noop }
",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(states(&run), "a succeeded, a/recover.1/unlock succeeded, b succeeded", "{run:#}");
    let found = diagnoses(&run["tasks"][0]);
    assert_eq!(found, [("a.recover[0]".into(), "retry".into(), "cured".into())]);
    let evidence = &run["tasks"][0]["diagnoses"][0]["evidence"];
    assert_eq!(evidence["captures"]["what"], "load");
    assert_eq!(evidence["text"], "lock of load stays");
    stage.verify();
}

#[test]
fn the_same_failure_after_its_remedy_asks() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "again",
        "jobs:
  a:
    uses: command
    with: { script: 'echo x >>DIR/tries; echo broken; exit 1' }
    recover:
      - match: { log: broken }
        diagnosis: It is broken.
        jobs: { mend: { uses: noop } }
        then: retry
        limit: 2
",
    );
    let ended = stage.weir(&["run", flow.to_str().expect("plain")]);
    assert_eq!(ended.code, 4, "{}{}", ended.out, ended.err);
    let asking = asks(&stage, 1);
    assert!(asking.starts_with("a asking"), "{asking}");
    assert_eq!(stage.read("tries").lines().count(), 3);
    // A person says no.
    assert_eq!(stage.weir(&["reject", "1", "a"]).code, 1);
    let shown = stage.show(1);
    assert_eq!(
        (shown["state"].as_str(), shown["tasks"][0]["state"].as_str()),
        (Some("failed"), Some("failed"))
    );
    stage.verify();
}

#[test]
fn retry_from_runs_an_earlier_job_and_all_between_again() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "back",
        "jobs:
  make: { uses: command, with: { script: 'echo make >>DIR/order; echo n=$(wc -l <DIR/order) >$WEIR_OUTPUT' } }
  carry: { needs: [make], uses: command, with: { script: 'echo carry >>DIR/order' } }
  beside: { uses: command, with: { script: 'echo beside >>DIR/beside' } }
  take:
    needs: [carry]
    uses: command
    with: { script: 'echo take >>DIR/order; [ {{ jobs.make.outputs.n }} -gt 1 ] || { echo it is stale; exit 5; }' }
    recover:
      - match: { log: stale }
        diagnosis: What was made is stale.
        then: retry-from make
",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(
        states(&run),
        "make succeeded, carry succeeded, beside succeeded, take succeeded",
        "{run:#}"
    );
    assert_eq!(stage.read("order"), "make\ncarry\ntake\nmake\ncarry\ntake\n");
    assert_eq!(stage.read("beside"), "beside\n");
    stage.verify();
}

#[test]
fn an_entry_of_the_catalogue_is_found_by_itself_and_by_its_name() {
    let stage = Stage::new();
    // SYS-02 says that what was wanted is so already.
    let flow = flow(
        &stage,
        "known",
        "jobs:
  by-itself: { uses: command, with: { script: 'echo \"start: Job is already running: x\"; exit 1' } }
  by-name:
    uses: command
    allow-failure: true
    with: { script: 'echo \"start: Job is already running: y\"; exit 1' }
    recover:
      - use: SYS-02
        then: fail
",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!(states(&run), "by-itself already-done, by-name failed", "{run:#}");
    for task in run["tasks"].as_array().expect("tasks") {
        assert_eq!(diagnoses(task)[0].0, "SYS-02", "{task:#}");
    }
    let text = stage.write("a.log", "first\nstart: Job is already running: mesos\n");
    let known = stage.weir(&["diagnose", text.to_str().expect("plain")]);
    assert!(known.code == 0 && known.out.contains("SYS-02"), "{}{}", known.out, known.err);
}

#[test]
fn people_decide_one_task_at_a_time() {
    let stage = Stage::new();
    let job = "uses: command\n    with: { script: 'echo bad; [ -e DIR/NAME.fine ]' }\n    recover:\n      \
               - { match: { log: bad }, diagnosis: Bad., then: ask }\n";
    let mut body = String::from("jobs:\n");
    for name in ["tried", "skipped", "done", "failed"] {
        body.extend([
            format!("  {name}:\n    allow-failure: true\n    "),
            job.replace("NAME", name),
        ]);
    }
    let flow = flow(&stage, "people", &body);
    assert_eq!(stage.weir(&["run", flow.to_str().expect("plain")]).code, 4);
    assert_eq!(asks(&stage, 1), "tried asking, skipped asking, done asking, failed asking");
    stage.write("tried.fine", "");
    for (verb, task, code) in [
        ("retry", "tried", 4),
        ("skip", "skipped", 4),
        ("succeed", "done", 4),
        ("fail", "failed", 0),
    ] {
        let ended = stage.weir(&[verb, "1", task]);
        assert_eq!(ended.code, code, "{verb}: {}{}", ended.out, ended.err);
    }
    let shown = stage.show(1);
    assert_eq!(
        states(&shown),
        "tried succeeded, skipped disabled, done succeeded, failed failed",
        "{shown:#}"
    );
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(stage.weir(&["retry", "1", "tried"]).code, 2, "the run is over");
    assert_eq!(stage.weir(&["retry", "1", "nobody"]).code, 2);
    stage.verify();
}

#[test]
fn an_approval_waits_for_a_person_and_takes_a_form() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "gate",
        "jobs:
  gate: { uses: approve, with: { message: Go on? } }
  after: { needs: [gate], uses: noop }
",
    );
    let file = flow.to_str().expect("plain");
    assert_eq!(stage.weir(&["run", file]).code, 4);
    assert_eq!(asks(&stage, 1), "gate asking, after waiting");
    assert_eq!(stage.weir(&["approve", "1", "gate"]).code, 0);
    assert_eq!(states(&stage.show(1)), "gate succeeded, after succeeded");
    assert_eq!(stage.weir(&["run", file]).code, 4);
    assert_eq!(stage.weir(&["reject", "2", "gate"]).code, 1);
    assert_eq!(stage.show(2)["state"], "failed");
    stage.verify();
}

#[test]
fn nothing_is_destroyed_without_the_words_that_name_it() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "wipe",
        "params: { disk: { type: string, default: sdb } }
jobs:
  wipe:
    uses: command
    destroys: all on {{ params.disk }}
    with: { script: 'echo gone >>DIR/gone' }
",
    );
    let file = flow.to_str().expect("plain");
    let run = |more: &[&str]| stage.weir(&[&["run", file], more].concat()).code;
    assert_eq!(run(&[]), 4);
    assert_eq!(run(&["--confirm", "all on sdc"]), 4);
    assert_eq!(stage.read("gone"), "", "it was destroyed without the words");
    assert_eq!(run(&["--confirm", "all on sdb"]), 0);
    assert_eq!(stage.read("gone").lines().count(), 1);
    // A rerun asks again, and words for another disk are other words.
    assert_eq!(stage.weir(&["rerun", "3", "--all"]).code, 4);
    let other = ["rerun", "3", "--all", "-p", "disk=sdc", "--confirm", "all on sdb"];
    assert_eq!(stage.weir(&other).code, 4);
    assert_eq!(stage.read("gone").lines().count(), 1);
    assert_eq!(stage.weir(&["approve", "1", "wipe"]).code, 0);
    assert_eq!(stage.read("gone").lines().count(), 2);
    stage.verify();
}

/// Hangs after it has told why, unless somebody has cured it; `MORE` stands for what else its job says.
const HANGS: &str = "jobs:
  a:
    uses: command
    timeout: 1s
    with: { script: '[ -e DIR/cured ] || { echo waiting for the lock of load; trap \"touch DIR/ending\" TERM; sleep 600 & wait; sleep 600; }' }
MORE";

#[test]
fn an_attempt_that_timed_out_is_diagnosed_by_its_class_and_its_log() {
    let stage = Stage::new();
    let cured = |name: &str, found: &str| {
        let more = format!(
            "    grace: 100ms
    recover:
      - match: {{ {found} }}
        diagnosis: It hangs.
        jobs: {{ mend: {{ uses: command, with: {{ script: touch DIR/cured }} }} }}
        then: retry
"
        );
        let flow = flow(&stage, name, &HANGS.replace("MORE", &more));
        let run = stage.run(&flow, &[]);
        assert_eq!(states(&run), "a succeeded, a/recover.1/mend succeeded", "{run:#}");
        let task = &run["tasks"][0];
        assert_eq!(
            diagnoses(task),
            [("a.recover[0]".into(), "retry".into(), "cured".into())],
            "{task:#}"
        );
        let first = &task["attempts"][0];
        assert_eq!(
            (&first["state"], &first["error_class"]),
            (&"timed-out".into(), &"timeout".into())
        );
        std::fs::remove_file(stage.path().join("cured")).expect("it was cured");
        task["diagnoses"][0]["evidence"]["text"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(
        cured("by-log", "log: 'waiting for the lock of (?P<what>\\w+)'"),
        "waiting for the lock of load"
    );
    cured("by-class", "class: timeout");
    cured("by-both", "class: timeout, log: lock of load");
    // What is known does not fit: it stays timed out, and says so.
    let other = HANGS.replace(
        "MORE",
        "    grace: 100ms\n    recover: [{ match: { class: exit }, diagnosis: No., then: continue }]\n",
    );
    let run = stage.run(&flow(&stage, "other", &other), &[]);
    assert_eq!(states(&run), "a timed-out", "{run:#}");
    let attempt = &run["tasks"][0]["attempts"][0];
    assert_eq!(attempt["error_class"], "timeout", "{attempt:#}");
    let failed = stage.weir(&["show", "4"]);
    assert!(failed.out.contains("took longer than 1s"), "{}", failed.out);
    // Plain retries by class still count.
    let again = HANGS.replace(
        "MORE",
        "    grace: 100ms\n    retry: { attempts: 2, delay: 10ms, on: [timeout] }\n",
    );
    let run = stage.run(&flow(&stage, "again", &again), &[]);
    assert_eq!(states(&run), "a timed-out", "{run:#}");
    assert_eq!(run["tasks"][0]["attempts"].as_array().map(Vec::len), Some(2), "{run:#}");
    stage.verify();
}

#[test]
fn a_timeout_that_the_engine_did_not_live_to_carry_out_comes_to_the_same() {
    let stage = Stage::new();
    let more = "    grace: 2s
    recover:
      - match: { class: timeout, log: lock of load }
        diagnosis: It hangs.
        jobs: { mend: { uses: command, with: { script: touch DIR/cured } } }
        then: retry
";
    let flow = flow(&stage, "hangs", &HANGS.replace("MORE", more));
    let server = stage.serve();
    let begun = stage.weir(&["run", flow.to_str().expect("plain"), "--detach"]);
    assert_eq!(begun.code, 0, "{}{}", begun.out, begun.err);
    // The timeout is being carried out: the job was asked to end, and does not.
    until("the job is asked to end", || stage.path().join("ending").exists().then_some(()));
    server.kill();
    let server = stage.serve();
    let run = until("the run ends", || {
        let run = stage.show(1);
        (run["state"] != "running").then_some(run)
    });
    assert_eq!(states(&run), "a succeeded, a/recover.1/mend succeeded", "{run:#}");
    let attempts = run["tasks"][0]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    assert_eq!(attempts[0]["error_class"], "timeout", "{attempts:#?}");
    server.stop();
    stage.verify();
}

#[test]
fn a_question_says_what_each_answer_does_and_an_approval_tries_again() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "question",
        "jobs:
  a:
    uses: command
    with: { script: 'echo bad; [ -e DIR/fine ]' }
    recover: [{ match: { log: bad }, diagnosis: Bad., then: ask }]
",
    );
    let asks = |ended: weir_tests::Ended, told: &[&str]| {
        assert_eq!(ended.code, 4, "{}{}", ended.out, ended.err);
        for line in told {
            assert!(ended.err.contains(line), "{line}: {}", ended.err);
        }
    };
    let answers = [
        "weir approve 1 a  tries it again",
        "weir reject 1 a   counts it as failed",
        "weir succeed 1 a  counts it as done",
        "weir skip 1 a     leaves it out",
    ];
    asks(stage.weir(&["run", flow.to_str().expect("plain")]), &answers);
    // As long as nothing is mended it comes to the same question.
    asks(stage.weir(&["approve", "1", "a"]), &answers);
    stage.write("fine", "");
    assert_eq!(stage.weir(&["approve", "1", "a"]).code, 0);
    let run = stage.show(1);
    assert_eq!(states(&run), "a succeeded");
    assert_eq!(run["tasks"][0]["attempts"].as_array().map(Vec::len), Some(3));
    assert_eq!(diagnoses(&run["tasks"][0]).last().map(|found| found.2.as_str()), Some("cured"));
    stage.verify();
}

#[test]
fn what_a_project_knows_holds_for_all_its_jobs_but_a_job_knows_better() {
    let stage = Stage::new();
    stage.write(
        "project.yaml",
        "name: tap
recover:
  - match: { log: lock of (?P<what>\\w+) stays }
    diagnosis: An earlier run left its lock.
    jobs:
      unlock: { uses: command, with: { script: 'touch DIR/{{ remedy.captures.what }}' } }
    then: retry
"
        .replace("DIR", &stage.path().display().to_string()),
    );
    let flow = flow(
        &stage,
        "project",
        "jobs:
  a: { uses: command, with: { script: '[ -e DIR/load ] || { echo lock of load stays; exit 17; }' } }
  b:
    uses: command
    with: { script: '[ -e DIR/dump ] || { echo lock of dump stays; exit 17; }' }
    recover: [{ match: { log: stays }, diagnosis: It may., then: continue }]
",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(states(&run), "a succeeded, a/recover.1/unlock succeeded, b succeeded", "{run:#}");
    let of = |at: usize| diagnoses(&run["tasks"][at]).pop().expect("it was diagnosed");
    assert_eq!((of(0).1.as_str(), of(0).2.as_str()), ("retry", "cured"), "{run:#}");
    assert_eq!(of(2).1, "continue", "{run:#}");
    assert_eq!((stage.read("dump"), stage.path().join("load").exists()), (String::new(), true));
    stage.verify();
}

#[test]
fn an_approval_takes_the_values_of_its_form_and_refuses_others() {
    let stage = Stage::new();
    let flow = flow(
        &stage,
        "form",
        "jobs:
  gate:
    uses: approve
    with:
      message: How much?
      form:
        size: { type: integer, min: 1, max: 9 }
        why: { type: string, default: none }
  after:
    needs: [gate]
    uses: command
    with: { script: 'echo {{ jobs.gate.outputs.size }} {{ jobs.gate.outputs.why }} >DIR/answer' }
",
    );
    assert_eq!(stage.weir(&["run", flow.to_str().expect("plain")]).code, 4);
    for (values, told) in [
        (&[] as &[&str], "size"),
        (&["-v", "size=10"], "size"),
        (&["-v", "size=much"], "size"),
        (&["-v", "size=3", "-v", "sise=3"], "sise"),
    ] {
        let refused = stage.weir(&[&["approve", "1", "gate"], values].concat());
        assert_eq!(refused.code, 2, "{values:?}: {}{}", refused.out, refused.err);
        assert!(refused.err.contains(told), "{values:?}: {}", refused.err);
        asks(&stage, 1);
    }
    let approved =
        stage.weir(&["approve", "1", "gate", "-v", "size=3", "--value", "why=it's \"so\""]);
    assert_eq!(approved.code, 0, "{}{}", approved.out, approved.err);
    assert_eq!(stage.read("answer"), "3 it's \"so\"\n");
    assert_eq!(stage.show(1)["tasks"][0]["outputs"]["size"], 3);
    stage.verify();
}

#[test]
fn what_a_person_is_asked_stands_with_the_task() {
    let stage = Stage::new();
    let checks = "[{ name: disks, value: 1, required: 2, severity: should }]";
    let flow = stage.flow(
        "ask",
        &format!("jobs:\n  look:\n    uses: checklist\n    with: {{ checks: {checks} }}\n"),
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(run["tasks"][0]["state"], "asking", "{run:#}");
    let asked = "1 of 1 checks should hold and do not; let it pass?";
    assert_eq!(run["tasks"][0]["reason"], asked, "{run:#}");
    stage.weir(&["approve", "1", "look"]).good();
    assert_eq!(stage.show(1)["tasks"][0]["state"], "succeeded");
    stage.verify();
}
