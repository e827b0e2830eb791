//! Scenarios that a person can read. Jobs begin and end when the test says so.

use serde_json::{Value, json};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::Handle;
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::{Act, Answer, CancelReason, From, TaskState};

use super::lab::Lab;
use crate::begin::Begin;
use crate::input::{Action, Found, Input, Order, Refusal, Wish};
use crate::store::rows::DiagnosisRow;

/// What a person would say of an action: `launch a.1`, `cancel a.1`.
fn told(action: &Action) -> Option<String> {
    let words = |order: &Order| format!("{}:{}.{}", order.id.run, order.path, order.id.number);
    match action {
        Action::Launch(order) => Some(format!("launch {}", words(order))),
        Action::Cancel(order, CancelReason::Kill) => Some(format!("kill {}", words(order))),
        Action::Cancel(order, _) => Some(format!("cancel {}", words(order))),
        Action::Abandon(order, _) => Some(format!("abandon {}", words(order))),
        Action::Publish(_) => None,
    }
}

impl Lab {
    /// What was done since the last call.
    pub(super) fn did(&mut self) -> Vec<String> {
        let acts = std::mem::take(&mut self.world.acts);
        acts.iter().filter_map(told).collect()
    }

    /// The order of the last action on a task since the last call of this or of `did`.
    pub(super) fn order(&mut self, path: &str) -> Box<Order> {
        let acts = std::mem::take(&mut self.world.acts);
        acts.into_iter()
            .rev()
            .find_map(|action| match action {
                Action::Launch(order) | Action::Cancel(order, _) if order.path == path => {
                    Some(order)
                }
                Action::Launch(_)
                | Action::Cancel(..)
                | Action::Abandon(..)
                | Action::Publish(_) => None,
            })
            .expect("it was launched")
    }

    fn id(&self, run: RunId, path: &str) -> AttemptId {
        let live = &self.turn.runs[&run];
        let task = live.find(path).expect("there is such a task");
        AttemptId { run, task, number: live.run.tasks()[task.at()].attempt }
    }

    fn starts(&mut self, run: RunId, path: &str) {
        let id = self.id(run, path);
        self.take(Input::AttemptStarted { id, handle: Handle::folder() });
        self.pass(25);
    }

    pub(super) fn ends(&mut self, run: RunId, path: &str, outcome: Outcome) {
        self.ends_so(run, path, outcome, None);
    }

    fn ends_so(&mut self, run: RunId, path: &str, outcome: Outcome, found: Option<Box<Found>>) {
        let id = self.id(run, path);
        self.take(Input::AttemptEnded { id, outcome, found });
        self.rest();
    }

    pub(super) fn done(&mut self, run: RunId, path: &str) {
        self.ends(run, path, done(json!({})));
    }

    pub(super) fn fails(&mut self, run: RunId, path: &str) {
        self.ends(run, path, failed());
    }

    /// Fails with what a remedy of its job is for.
    fn fails_known(&mut self, run: RunId, path: &str, which: u32, captures: Value) {
        let id = self.id(run, path);
        let live = &self.turn.runs[&run];
        let job = live.run.tasks()[id.task.at()].job;
        let remedy = live.run.graph().job(job).remedies.0 + which;
        let row = DiagnosisRow {
            run,
            task: id.task,
            attempt: id.number,
            at: weir_core::time::Timestamp::from_millis(self.world.now),
            signature: live.compiled.remedies[remedy as usize].id.clone(),
            evidence: json!({ "captures": captures, "text": "the line" }).to_string(),
            then: "retry".to_owned(),
            used: false,
            result: None,
        };
        let found = Box::new(Found { remedy, is_success: false, captures, row });
        self.ends_so(run, path, failed(), Some(found));
    }

    pub(super) fn crash(&mut self) {
        self.restart(false);
        self.rest();
    }

    fn result_of_diagnosis(&self, run: RunId, task: u32, attempt: u32) -> Option<String> {
        self.mirror.kept[&run].diagnoses[&(task, attempt)].result.clone()
    }
}

fn done(outputs: Value) -> Outcome {
    let outputs: Outputs = serde_json::from_value(outputs).expect("an object");
    Outcome::Done { outputs, exit_code: Some(0) }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure {
        exit_code: Some(1),
        ..Failure::new(ErrorClass::Exit, "it ended with 1")
    })
}

fn flow(rest: &str) -> String {
    format!("name: it\n{rest}")
}

#[test]
fn nothing_is_done_before_it_is_durable() {
    let mut lab = Lab::new(2);
    let loaded = lab.load(&flow("jobs: { a: { uses: work } }"), "");
    let said = lab.ask(Begin::flow(loaded, "test"));
    assert!(lab.did().is_empty());
    assert!(said.lock().expect("nobody panicked").is_none(), "nobody is told");
    lab.rest();
    assert_eq!(lab.did(), ["launch 1:a.1"]);
    assert!(said.lock().expect("nobody panicked").is_some());
}

#[test]
fn a_foreach_holds_nothing_itself_after_a_restart() {
    let mut lab = Lab::new(1);
    let text = "jobs: { a: { foreach: [1, 2], parallel: 1, uses: work, locks: [thing] } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    assert_eq!(lab.did(), ["launch 1:a[0].1"]);
    lab.crash();
    assert_eq!(lab.did(), ["launch 1:a[0].1"]);
    lab.done(run, "a[0]");
    assert_eq!(lab.did(), ["launch 1:a[1].1"]);
    lab.crash();
    lab.done(run, "a[1]");
    assert_eq!(lab.run_state(run), "succeeded");
}

#[test]
fn a_run_that_waits_for_a_lock_begins_when_a_task_gives_it_back() {
    let mut lab = Lab::new(4);
    let taker = lab.load(
        "name: taker\njobs:\n  a: { uses: work, locks: [thing] }\n  b: { needs: a, uses: work }",
        "",
    );
    let whole = lab.load("name: whole\nlocks: [thing]\njobs: { c: { uses: work } }", "");
    let one = lab.begin(&taker);
    let two = lab.begin(&whole);
    assert_eq!(lab.did(), ["launch 1:a.1"]);
    lab.done(one, "a");
    assert_eq!(lab.did(), ["launch 1:b.1", "launch 2:c.1"]);
    assert_eq!(lab.run_state(two), "running");
}

#[test]
fn a_lock_of_a_run_stays_its_own_when_its_task_takes_it_too() {
    let mut lab = Lab::new(4);
    let whole = lab.load(
        "name: whole\nlocks: [thing]\njobs:\n  a: { uses: work, locks: [thing] }\n  b: { uses: work, locks: [thing] }\n  c: { needs: [a, b], uses: work }",
        "",
    );
    let one = lab.begin(&whole);
    assert_eq!(lab.did(), ["launch 1:a.1"], "one task at a time, in the same run, too");
    let two = lab.begin(&whole);
    lab.done(one, "a");
    assert_eq!(lab.did(), ["launch 1:b.1"]);
    lab.done(one, "b");
    assert_eq!(lab.did(), ["launch 1:c.1"], "run 2 waits for the lock of run 1");
    lab.done(one, "c");
    assert_eq!(lab.did(), ["launch 2:a.1"]);
    let _ = two;
}

#[test]
fn outputs_made_after_a_restart_are_not_hidden_by_those_before_it() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a: { uses: work }\n  b:\n    needs: a\n    uses: work\n    recover: [{ match: { exit: 1 }, then: retry-from a }]\n  c: { needs: b, uses: work, with: { in: '{{ jobs.a.outputs.v }}' } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.ends(run, "a", done(json!({ "v": "old" })));
    lab.fails_known(run, "b", 0, json!({}));
    lab.crash();
    lab.ends(run, "a", done(json!({ "v": "new" })));
    lab.done(run, "b");
    assert_eq!(lab.order("c").work.with["in"], "new");
}

#[test]
fn outputs_of_the_time_before_are_not_those_of_now() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a: { uses: work }\n  b:\n    needs: a\n    uses: work\n    recover: [{ match: { exit: 1 }, then: retry-from a }]\n  c: { needs: b, uses: work, with: { in: '{{ jobs.a.outputs.v is defined }}' } }";
    let loaded = lab.load(&flow(text), "");
    for crashes in [false, true] {
        let run = lab.begin(&loaded);
        lab.ends(run, "a", done(json!({ "v": "old" })));
        lab.fails_known(run, "b", 0, json!({}));
        if crashes {
            lab.crash();
        }
        lab.done(run, "a");
        lab.done(run, "b");
        assert_eq!(lab.order("c").work.with["in"], "false", "after a crash: {crashes}");
    }
}

#[test]
fn captures_after_a_restart_are_those_of_the_last_failure() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a:\n    uses: work\n    recover:\n      - { match: { exit: 1 }, then: retry, limit: 9, jobs: { fix: { uses: work, with: { in: '{{ remedy.captures.disk }} {{ failed.message }}' } } } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.fails_known(run, "a", 0, json!({ "disk": "sda" }));
    assert_eq!(lab.order("a/recover.1/fix").work.with["in"], "sda the line");
    lab.done(run, "a/recover.1/fix");
    lab.fails_known(run, "a", 0, json!({ "disk": "sdb" }));
    lab.crash();
    assert_eq!(lab.order("a/recover.2/fix").work.with["in"], "sdb the line");
}

#[test]
fn whether_a_remedy_helped_is_noted_across_a_restart() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a: { uses: work, recover: [{ match: { exit: 1 }, then: retry }] }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.fails_known(run, "a", 0, json!({}));
    lab.crash();
    lab.pass(60_000);
    assert_eq!(lab.did(), ["launch 1:a.2"]);
    lab.done(run, "a");
    assert_eq!(lab.run_state(run), "succeeded");
    assert_eq!(lab.result_of_diagnosis(run, 0, 1).as_deref(), Some("cured"));
}

#[test]
fn a_remedy_shared_by_jobs_is_counted_for_each_across_a_restart() {
    let mut lab = Lab::new(4);
    let project = "name: p\nrecover: [{ match: { exit: 1 }, then: retry }]";
    let loaded = lab.load(&flow("jobs: { a: { uses: work }, b: { uses: work } }"), project);
    let run = lab.begin(&loaded);
    lab.fails_known(run, "b", 0, json!({}));
    lab.crash();
    lab.pass(60_000);
    lab.fails_known(run, "b", 0, json!({}));
    assert!(matches!(lab.state_of(run, "b"), TaskState::Asking(_)), "{}", lab.states(run));
}

#[test]
fn a_remedy_that_was_only_asked_about_was_not_used() {
    let mut lab = Lab::new(4);
    let text =
        "jobs:\n  a:\n    uses: work\n    recover: [{ match: { exit: 1 }, then: retry, limit: 2 }]";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    for _ in 0..3 {
        lab.fails_known(run, "a", 0, json!({}));
        lab.pass(600_000);
    }
    let answer = |answer| Wish::Answer { path: "a".to_owned(), answer, values: Outputs::new() };
    lab.wish(run, answer(Answer::Retry)).expect("it may be tried again");
    lab.crash();
    lab.fails_known(run, "a", 0, json!({}));
    lab.wish(run, answer(Answer::Approve)).expect("it may be used once more");
    lab.crash();
    let used = lab.turn.runs[&run].run.used(TaskIx(0), 0);
    assert_eq!(used, 3);
}

#[test]
fn nobody_is_told_twice_that_a_run_is_late() {
    let mut lab = Lab::new(4);
    let text =
        "late: { finish-within: 1m }\njobs: { a: { uses: work, late: { finish-within: 2m } } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.pass(180_000);
    let lates =
        |lab: &Lab| lab.mirror.kept[&run].events.iter().filter(|event| event.kind == 99).count();
    assert_eq!(lates(&lab), 2);
    lab.crash();
    lab.pass(180_000);
    assert_eq!(lates(&lab), 2);
    lab.done(run, "a");
    assert_eq!(lab.run_state(run), "succeeded");
}

#[test]
fn a_late_run_is_cancelled_if_its_flow_says_so() {
    let mut lab = Lab::new(4);
    let text = "late: { finish-within: 1m, then: cancel }\njobs: { a: { uses: work } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.did();
    lab.pass(61_000);
    assert_eq!(lab.did(), ["cancel 1:a.1"]);
    lab.ends(run, "a", Outcome::Cancelled);
    assert_eq!(lab.run_state(run), "failed");
}

#[test]
fn a_rerun_of_all_reuses_no_item_after_a_restart() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  p: { uses: work }\n  a: { needs: p, foreach: [1, 2], uses: work }";
    let loaded = lab.load(&flow(text), "");
    let one = lab.begin(&loaded);
    for path in ["p", "a[0]", "a[1]"] {
        lab.done(one, path);
    }
    let two = lab.rerun(one, From::All);
    lab.crash();
    lab.done(two, "p");
    assert_eq!(lab.states(two), "a=running a[0]=launching a[1]=launching p=succeeded");
}

#[test]
fn a_rerun_from_the_failed_reuses_items_and_their_outputs() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a: { foreach: [1, 2], uses: work }\n  b: { needs: a, uses: work, with: { in: '{{ jobs.a.outputs }}' } }\n  c: { needs: b, uses: work, with: { in: '{{ jobs.a.outputs }}' } }";
    let loaded = lab.load(&flow(text), "");
    let one = lab.begin(&loaded);
    lab.ends(one, "a[0]", done(json!({ "v": "x" })));
    lab.fails(one, "a[1]");
    assert_eq!(lab.run_state(one), "failed");
    let two = lab.rerun(one, From::Failed);
    assert_eq!(lab.states(two), "a=running a[0]=reused a[1]=launching b=waiting c=waiting");
    lab.crash();
    lab.ends(two, "a[1]", done(json!({ "v": "y" })));
    let with = lab.order("b").work.with["in"].clone();
    lab.fails(two, "b");
    // The whole `foreach` is reused now, and what came of it is still known; and once more.
    let three = lab.rerun(two, From::Failed);
    assert_eq!(lab.states(three), "a=reused b=launching c=waiting");
    assert_eq!(lab.order("b").work.with["in"], with);
    lab.done(three, "b");
    lab.crash();
    assert_eq!(lab.order("c").work.with["in"], with);
    lab.fails(three, "c");
    let four = lab.rerun(three, From::Failed);
    assert_eq!(lab.order("c").work.with["in"], with);
    lab.done(four, "c");
    assert_eq!(lab.run_state(four), "succeeded");
    assert_eq!(with, json!([{ "v": "x" }, { "v": "y" }]));
}

#[test]
fn outputs_of_groups_collect_over_a_foreach() {
    let mut lab = Lab::new(4);
    let text = "jobs:\n  a: { foreach: [1], jobs: { i: { uses: work } } }\n  b: { needs: a, uses: work, with: { in: '{{ jobs.a.outputs[0].i.v }}' } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.ends(run, "a[0]/i", done(json!({ "v": "x" })));
    assert_eq!(lab.order("b").work.with["in"], "x");
}

#[test]
fn a_job_that_works_is_ended_before_it_fails_for_its_settings() {
    let mut lab = Lab::new(4);
    let project = "name: p\nsecrets: [key]";
    let text = "jobs: { a: { uses: work, with: { in: \"{{ secret('key') }}\" } } }";
    let loaded = lab.load(&flow(text), project);
    lab.world.secrets.insert("key".to_owned(), "hush".to_owned());
    let run = lab.begin(&loaded);
    lab.starts(run, "a");
    lab.world.secrets.clear();
    lab.did();
    lab.crash();
    assert_eq!(lab.did(), ["abandon 1:a.1"], "{}", lab.states(run));
    assert_eq!(lab.states(run), "a=running");
    lab.wish(run, Wish::Cancel).expect("it is cancelled");
    assert_eq!(lab.did(), ["cancel 1:a.1"], "its end is asked for all the same");
    assert_eq!(lab.states(run), "a=cancelling");
}

#[test]
fn what_was_seen_to_begin_and_then_went_out_of_sight_is_unreachable() {
    let mut lab = Lab::new(4);
    let loaded = lab.load(&flow("jobs: { a: { uses: work } }"), "");
    let run = lab.begin(&loaded);
    let id = lab.id(run, "a");
    lab.take(Input::AttemptStarted { id, handle: Handle::folder() });
    lab.take(Input::AttemptUnreached { id, why: "out of sight".into() });
    lab.rest();
    lab.pass(1_000);
    assert_eq!(lab.states(run), "a=unreachable");
}

#[test]
fn a_job_whose_settings_are_wrong_fails_at_once() {
    let mut lab = Lab::new(4);
    let text = "jobs: { a: { uses: work, with: { in: \"{{ secret('key') }}\" } } }";
    let loaded = lab.load(&flow(text), "name: p\nsecrets: [key]");
    let run = lab.begin(&loaded);
    assert!(lab.did().is_empty());
    assert_eq!(lab.run_state(run), "failed");
}

#[test]
fn the_child_of_an_attempt_begins_once_and_not_after_its_end_was_asked_for() {
    let mut lab = Lab::new(4);
    let parent = lab.load(&flow("jobs: { a: { uses: flow } }"), "");
    let child = lab.load("name: child\njobs: { x: { uses: noop } }", "");
    let one = lab.begin(&parent);
    let begin = |lab: &Lab, number| {
        let task = lab.id(one, "a").task;
        let parent = Some(AttemptId { run: one, task, number });
        Begin { parent, ..Begin::flow(child.clone(), "run 1") }
    };
    let asked = begin(&lab, 1);
    let two = lab.begin_as(asked);
    assert_eq!(lab.run_state(two), "succeeded");
    lab.crash();
    let asked = begin(&lab, 1);
    assert_eq!(lab.begin_as(asked), two, "it has ended already, and does not begin again");
    let asked = lab.ask(begin(&lab, 2));
    lab.rest();
    let said = asked.lock().expect("nobody panicked").take();
    assert!(matches!(said, Some(Err(Refusal::Ignored(_)))), "no such attempt: {said:?}");
    lab.wish(one, Wish::Cancel).expect("it is cancelled");
    let again = begin(&lab, 1);
    assert_eq!(lab.begin_as(again), two, "what it began is still its child");
    lab.ends(one, "a", Outcome::Cancelled);

    let three = lab.begin(&parent);
    lab.wish(three, Wish::Cancel).expect("it is cancelled");
    let task = lab.id(three, "a").task;
    let late = Some(AttemptId { run: three, task, number: 1 });
    let asked = lab.ask(Begin { parent: late, ..Begin::flow(child.clone(), "run 3") });
    lab.rest();
    let said = asked.lock().expect("nobody panicked").take();
    assert!(matches!(said, Some(Err(Refusal::Ignored(_)))), "its end was asked for: {said:?}");
}

#[test]
fn what_a_restart_finds_wrong_is_committed_without_another_input() {
    let mut lab = Lab::new(4);
    let text = "jobs: { a: { uses: work, with: { in: \"{{ secret('key') }}\" } } }";
    let loaded = lab.load(&flow(text), "name: p\nsecrets: [key]");
    let asked = lab.ask(Begin::flow(loaded, "test"));
    // Durable, but the engine is gone before it acts; the next one has no attempt folder to look at and no settings.
    let committed = lab.commit(crate::store::Fault::None, crate::store::Fault::None);
    assert!(committed.is_some());
    drop(asked);
    lab.restart(false);
    lab.rest();
    let did = lab.did();
    if did.is_empty() {
        assert_eq!(lab.run_state(RunId(1)), "failed");
    } else {
        assert_eq!(did, ["abandon 1:a.1"]);
    }
}

#[test]
fn a_clock_that_is_set_back_loses_no_alarm_and_stops_no_commit() {
    let mut lab = Lab::new(4);
    let text = "timeout: 1h\njobs:\n  a: { uses: work, timeout: 10m }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    lab.starts(run, "a");
    lab.did();
    lab.world.now -= 3_600_000;
    lab.finish();
    lab.pass(3_600_000 + 600_000);
    assert_eq!(lab.did(), ["cancel 1:a.1"]);

    // A batch that could not be written is tried again soon, whatever the clock says.
    lab.take(Input::AttemptEnded {
        id: lab.id(run, "a"),
        outcome: Outcome::Cancelled,
        found: None,
    });
    let full = crate::store::Fault::Fail(crate::store::Trouble::Full);
    let (number, result) = lab.commit(full, crate::store::Fault::None).expect("it is told");
    lab.take(Input::Committed { number, result });
    assert!(lab.turn.trouble.is_some());
    lab.world.now -= 3_600_000;
    lab.finish();
    lab.world.now += 600;
    lab.finish();
    assert!(lab.world.submitted.is_some(), "it is submitted again");
    lab.rest();
    assert_eq!(lab.run_state(run), "failed");
}

#[test]
fn timers_of_what_has_ended_are_not_kept() {
    let mut lab = Lab::new(4);
    let text = "jobs: { a: { foreach: 'range(100) | list', timeout: 24h, uses: work } }";
    let loaded = lab.load(&flow(text), "");
    for _ in 0..100 {
        let run = lab.begin(&loaded);
        lab.wish(run, Wish::Kill).expect("it is killed");
        let at_work: Vec<String> = (0..100)
            .map(|item| format!("a[{item}]"))
            .filter(|path| matches!(lab.state_of(run, path), TaskState::Cancelling(_)))
            .collect();
        for path in at_work {
            lab.ends(run, &path, Outcome::Cancelled);
        }
    }
    let text = "jobs: { a: { uses: work, timeout: 24h, retry: { attempts: 1000, delay: 0s } } }";
    let loaded = lab.load(&flow(text), "");
    let run = lab.begin(&loaded);
    for _ in 0..900 {
        lab.fails(run, "a");
    }
    assert!(lab.turn.timers_kept() < 600, "{} alarms are set", lab.turn.timers_kept());
}

mod limits {
    //! Who may go: concurrency policies, pools, locks.

    use super::*;

    fn begin_three(policy: &str) -> (Lab, [RunId; 3]) {
        let mut lab = Lab::new(9);
        let text = format!(
            "concurrency: {{ {policy} }}\njobs:\n  a: {{ uses: work }}\n  b: {{ needs: a, uses: work }}"
        );
        let loaded = lab.load(&flow(&text), "");
        let runs = [lab.begin(&loaded), lab.begin(&loaded), lab.begin(&loaded)];
        (lab, runs)
    }

    #[test]
    fn queued_runs_begin_in_turn_across_restarts() {
        let (mut lab, [one, two, three]) = begin_three("policy: queue");
        assert_eq!(lab.did(), ["launch 1:a.1"]);
        assert_eq!(
            lab.turn.why_queued(two).as_deref(),
            Some("run 1 of this flow moves, and 1 may")
        );
        lab.crash();
        lab.did();
        lab.done(one, "a");
        lab.done(one, "b");
        assert_eq!(lab.did(), ["launch 1:b.1", "launch 2:a.1"]);
        lab.wish(two, Wish::Cancel).expect("it is cancelled");
        lab.ends(two, "a", Outcome::Cancelled);
        assert_eq!(lab.did(), ["cancel 2:a.1", "launch 3:a.1"]);
        assert_eq!(lab.run_state(three), "running");
    }

    #[test]
    fn a_run_too_many_is_refused_with_a_reason() {
        let (lab, [one, two, three]) = begin_three("policy: skip");
        assert_eq!(lab.run_state(one), "running");
        for run in [two, three] {
            assert_eq!(lab.run_state(run), "cancelled");
            assert!(lab.mirror.kept[&run].run.reason.is_some());
        }
    }

    #[test]
    fn the_oldest_gives_way_to_the_newest() {
        let (mut lab, [one, two, three]) = begin_three("policy: cancel-running");
        assert_eq!(lab.did(), ["launch 1:a.1", "cancel 1:a.1"]);
        lab.crash();
        assert_eq!(lab.did(), ["cancel 1:a.1"]);
        lab.ends(one, "a", Outcome::Cancelled);
        assert_eq!(lab.did(), ["launch 3:a.1"], "the second gives way before it has done anything");
        assert_eq!(lab.run_state(two), "cancelled");
        assert_eq!(lab.run_state(three), "running");
    }

    #[test]
    fn in_a_pipeline_each_job_waits_for_the_run_before() {
        let (mut lab, [one, two, three]) = begin_three("policy: pipeline");
        assert_eq!(lab.did(), ["launch 1:a.1"]);
        lab.done(one, "a");
        assert_eq!(lab.did(), ["launch 2:a.1", "launch 1:b.1"]);
        lab.crash();
        assert_eq!(lab.did(), ["launch 1:b.1", "launch 2:a.1"]);
        lab.done(two, "a");
        assert_eq!(lab.did(), ["launch 3:a.1"]);
        lab.done(three, "a");
        assert!(lab.did().is_empty());
        // The second leaves out the job that the first is still at: the third must not overtake the first.
        let skip = Wish::Task { path: "b".to_owned(), act: Act::Skip };
        lab.wish(two, skip).expect("it is left out");
        assert!(lab.did().is_empty());
        lab.done(one, "b");
        assert_eq!(lab.did(), ["launch 3:b.1"]);
    }

    #[test]
    fn in_a_pipeline_items_wait_for_the_foreach_of_the_run_before() {
        let mut lab = Lab::new(9);
        let text = "concurrency: { policy: pipeline }\njobs:\n  p: { uses: work }\n  a: { needs: p, after: all-done, foreach: [1], uses: work }";
        let loaded = lab.load(&flow(text), "");
        let (one, two) = (lab.begin(&loaded), lab.begin(&loaded));
        lab.did();
        let skip = Wish::Task { path: "p".to_owned(), act: Act::Skip };
        lab.wish(two, skip).expect("it is left out");
        assert_eq!(lab.states(two), "a=running a[0]=ready p=disabled");
        assert!(lab.did().is_empty(), "run 1 has not got so far");
        lab.done(one, "p");
        assert_eq!(lab.did(), ["launch 1:a[0].1"]);
        lab.done(one, "a[0]");
        assert_eq!(lab.did(), ["launch 2:a[0].1"]);
    }

    #[test]
    fn a_pool_gives_its_slots_by_priority() {
        let mut lab = Lab::new(9);
        let text = "jobs:\n  a: { uses: work, pools: net }\n  b: { uses: work, pools: net }\n  c: { uses: work, pools: [{ name: net, priority: 5 }] }";
        let loaded = lab.load(&flow(text), "name: p\npools: { net: 1 }");
        let run = lab.begin(&loaded);
        assert_eq!(lab.did(), ["launch 1:c.1"]);
        lab.crash();
        assert_eq!(lab.did(), ["launch 1:c.1"], "what is held is held again");
        lab.done(run, "c");
        assert_eq!(lab.did(), ["launch 1:a.1"]);
        lab.done(run, "a");
        assert_eq!(lab.did(), ["launch 1:b.1"]);
    }

    #[test]
    fn the_words_that_name_what_is_destroyed_must_be_given() {
        let mut lab = Lab::new(9);
        let text = "params: { c: { default: c1 } }\njobs: { a: { uses: work, destroys: 'the data of {{ params.c }}' } }";
        let loaded = lab.load(&flow(text), "");
        let one = lab.begin(&loaded);
        assert!(lab.did().is_empty());
        assert_eq!(lab.run_state(one), "asking");
        let two = lab.begin_as(Begin {
            confirm: vec!["the data of c1".to_owned()],
            ..Begin::flow(loaded.clone(), "test")
        });
        assert_eq!(lab.did(), ["launch 2:a.1"]);
        lab.crash();
        assert_eq!(lab.did(), ["launch 2:a.1"]);
        let yes =
            Wish::Answer { path: "a".to_owned(), answer: Answer::Approve, values: Outputs::new() };
        lab.wish(one, yes).expect("it goes on");
        assert_eq!(lab.did(), ["launch 1:a.1"]);
        lab.done(two, "a");
        let three = lab.rerun(two, From::All);
        assert_eq!(lab.run_state(three), "asking", "a rerun asks again");
    }

    #[test]
    fn what_is_confirmed_is_not_the_form() {
        let mut lab = Lab::new(9);
        let text = "jobs: { a: { uses: approve, destroys: it, with: { message: go, form: { n: { type: integer } } } } }";
        let loaded = lab.load(&flow(text), "");
        let run = lab.begin(&loaded);
        let answer = |values: Value| Wish::Answer {
            path: "a".to_owned(),
            answer: Answer::Approve,
            values: serde_json::from_value(values).expect("an object"),
        };
        lab.wish(run, answer(json!({}))).expect("it is confirmed");
        assert!(
            matches!(lab.wish(run, answer(json!({}))), Err(Refusal::Bad(_))),
            "the form is not filled in"
        );
        lab.wish(run, answer(json!({ "n": 3 }))).expect("it is filled in");
        assert_eq!(lab.outputs(run, 0), Some(json!({ "n": 3 })));
        assert_eq!(lab.run_state(run), "succeeded");
    }
}

/// A parent whose job `a` waits for a child; what the child comes to, and why.
fn child_of(parent: &str, child: &str) -> (Lab, RunId, RunId) {
    let mut lab = Lab::new(4);
    let parent = lab.load(parent, "");
    let child = lab.load(child, "");
    let run = lab.begin(&parent);
    lab.did();
    let id = lab.id(run, "a");
    let child = lab.begin_as(Begin { parent: Some(id), ..Begin::flow(child, "its parent") });
    (lab, run, child)
}

#[test]
fn a_child_that_needs_what_its_parent_holds_is_found() {
    let of_run = "name: parent\nlocks: [thing]\njobs: { a: { uses: flow, with: { flow: child } } }";
    let of_task =
        "name: parent\njobs: { a: { uses: flow, with: { flow: child }, locks: [thing] } }";
    let why = "run 2 needs the lock `thing`, which run 1 holds until `a` has ended, and that waits for run 2: neither \
               could ever go on";
    for parent in [of_run, of_task] {
        // The child as a whole ...
        let (mut lab, run, child) =
            child_of(parent, "name: child\nlocks: [thing]\njobs: { x: { uses: work } }");
        assert_eq!(lab.run_state(child), "cancelled");
        assert_eq!(lab.mirror.kept[&child].run.reason.as_deref(), Some(why));
        lab.fails(run, "a");
        assert_eq!(lab.run_state(run), "failed");
        // ... or a job of it.
        let (mut lab, run, child) =
            child_of(parent, "name: child\njobs: { x: { uses: work, locks: [thing] } }");
        assert_eq!(lab.did(), Vec::<String>::new(), "nothing is launched");
        assert_eq!(lab.run_state(child), "failed");
        let x = AttemptId { run: child, task: TaskIx(0), number: 1 };
        let row = lab.mirror.attempt(x).expect("its end is kept");
        assert_eq!(row.message.as_deref(), Some(why));
        lab.fails(run, "a");
    }
    // What another job of the parent holds will be free.
    let parent = "name: parent\njobs: { a: { uses: flow, with: { flow: child } }, b: { uses: work, locks: [thing] } }";
    let (mut lab, run, child) =
        child_of(parent, "name: child\njobs: { x: { uses: work, locks: [thing] } }");
    assert_eq!(lab.run_state(child), "running");
    lab.done(run, "b");
    assert_eq!(lab.did(), ["launch 2:x.1"]);
}
