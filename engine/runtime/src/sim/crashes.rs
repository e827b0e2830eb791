//! One scenario with everything in it, stopped at each durable operation and each action in turn: it must end as if
//! nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use weir_core::ids::{AttemptId, JobIx, RunId, TaskIx};
use weir_core::job_type::Handle;
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::{Answer, TaskState};
use weir_core::time::Timestamp;

use super::lab::{BEGIN, Lab};
use crate::begin::Begin;
use crate::input::{Action, Found, Input, Order, Wish};
use crate::library::Loaded;
use crate::store::Fault;
use crate::store::rows::DiagnosisRow;

const FLOW: &str = r#"
name: rich
late: { finish-within: 30s }
locks: [whole]
hooks:
  on-start: { begin: { uses: work } }
  on-exit: { end: { uses: work, with: { in: "{{ jobs.last.state }}" } } }
jobs:
  first: { uses: work }
  flaky: { needs: first, uses: work, retry: { attempts: 3, delay: 2s } }
  slow: { uses: work, timeout: 5s, retry: { attempts: 2, delay: 1s, on: timeout } }
  each: { needs: first, foreach: [1, 2, 3], parallel: 2, uses: work, locks: [thing] }
  group:
    needs: flaky
    jobs:
      make: { uses: work }
      check:
        needs: make
        uses: work
        recover:
          - { match: { exit: 1 }, then: retry-from make, jobs: { fix: { uses: work, with: { in: "{{ remedy.captures.n }}" } } } }
  known: { uses: work, recover: [{ match: { exit: 1 }, then: retry, limit: 2 }] }
  no: { needs: first, when: "jobs.first.outputs.v == 'x'", uses: work }
  ask: { needs: [each, slow], uses: approve, with: { message: go } }
  last: { needs: [ask, group, known], uses: work, with: { in: "{{ jobs.each.outputs }} {{ jobs.first.outputs.v }}" } }
"#;

/// How an attempt ends and after how long; never by itself without a time.
fn fate(path: &str, number: u32) -> (Option<i64>, Outcome) {
    let failed =
        || Outcome::Failed(Failure { exit_code: Some(1), ..Failure::new(ErrorClass::Exit, "1") });
    let outputs = Outputs::from([("v".to_owned(), json!(format!("{path}.{number}")))]);
    let done = Outcome::Done { outputs, exit_code: Some(0) };
    match (path, number) {
        ("flaky" | "known", 1 | 2) | ("group/check", 1) => (Some(700), failed()),
        ("slow", 1) => (None, done),
        _ => (Some(1_000), done),
    }
}

/// When it ends, how, and what is known of its failure.
type Fate = (Option<i64>, Outcome, Option<Box<Found>>);

struct Play {
    lab: Lab,
    loaded: Loaded,
    /// What has begun, with its end. It outlives the engine.
    begun: BTreeMap<AttemptId, Fate>,
    watched: BTreeSet<AttemptId>,
    operations: u64,
    stops_at: u64,
}

impl Play {
    fn new(stops_at: u64) -> Self {
        let lab = Lab::new(2);
        let loaded = lab.load(FLOW, "");
        let (begun, watched) = (BTreeMap::new(), BTreeSet::new());
        Self { lab, loaded, begun, watched, operations: 0, stops_at }
    }

    /// Another operation comes: does the engine die before it?
    fn dies(&mut self) -> bool {
        self.operations += 1;
        if self.operations != self.stops_at {
            return false;
        }
        self.watched.clear();
        self.lab.restart(true);
        true
    }

    fn play(&mut self) -> String {
        for _ in 0..10_000 {
            if self.lab.mirror.kept.is_empty() && self.lab.turn.runs.is_empty() {
                // Nobody was told that it began, so it is asked for (again).
                drop(self.lab.ask(Begin::flow(self.loaded.clone(), "test")));
            } else if self.lab.world.submitted.is_some() {
                self.commit();
            } else if !self.lab.world.acts.is_empty() {
                if !self.dies() {
                    let action = self.lab.world.acts.remove(0);
                    self.act(&action);
                }
            } else if !self.go_on() {
                return self.end();
            }
        }
        panic!("it never ends: {}", self.lab.states(RunId(1)))
    }

    fn commit(&mut self) {
        if self.dies() {
            return;
        }
        let (number, result) = self.lab.commit(Fault::None, Fault::None).expect("it is told");
        if !self.dies() {
            self.lab.take(Input::Committed { number, result });
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Launch(order) => {
                let id = order.id;
                if !self.begun.contains_key(&id) {
                    let (after, outcome) = fate(&order.path, id.number);
                    let found = matches!(outcome, Outcome::Failed(_)).then(|| self.found(order));
                    let at = after.map(|after| self.lab.world.now + after);
                    self.begun.insert(id, (at, outcome, found.flatten()));
                }
                self.watched.insert(id);
                self.lab.take(Input::AttemptStarted { id, handle: Handle::folder() });
            }
            Action::Cancel(order, _) => {
                let at = Some(self.lab.world.now + 100);
                self.begun.insert(order.id, (at, Outcome::Cancelled, None));
                self.watched.insert(order.id);
            }
            Action::Abandon(order, failure) => {
                panic!("{} is given up: {}", order.id, failure.message)
            }
            Action::Publish(_) => {}
        }
    }

    fn found(&self, order: &Order) -> Option<Box<Found>> {
        let (first, end) = order.compiled.graph.job(order.job).remedies;
        let captures = json!({ "n": "seven" });
        let row = DiagnosisRow {
            run: order.id.run,
            task: order.id.task,
            attempt: order.id.number,
            at: Timestamp::from_millis(self.lab.world.now),
            signature: order.compiled.remedies.get(first as usize)?.id.clone(),
            evidence: json!({ "captures": captures }).to_string(),
            then: "retry".to_owned(),
            used: false,
            result: None,
        };
        (end > first).then(|| Box::new(Found { remedy: first, is_success: false, captures, row }))
    }

    /// The next thing that comes with time. Says whether anything does.
    fn go_on(&mut self) -> bool {
        let run = RunId(1);
        let ends = self.watched.iter().filter_map(|id| Some((self.begun[id].0?, *id))).min();
        let wake = self.lab.turn.next_wake().map(Timestamp::millis);
        match (ends, wake) {
            (Some((at, id)), wake) if wake.is_none_or(|wake| at <= wake) => {
                self.lab.world.now = self.lab.world.now.max(at);
                self.watched.remove(&id);
                let (_, outcome, found) = self.begun[&id].clone();
                self.lab.take(Input::AttemptEnded { id, outcome, found });
            }
            _ if self.is_asked(run) => {
                let (path, values) = ("ask".to_owned(), Outputs::new());
                let wish = Wish::Answer { path, answer: Answer::Approve, values };
                let (by, reply) = ("test".to_owned(), Box::new(|_| ()));
                self.lab.take(Input::Wish { run, wish, by, reply });
            }
            (_, Some(wake)) => {
                self.lab.world.now = self.lab.world.now.max(wake);
                self.lab.finish();
            }
            (_, None) => return false,
        }
        true
    }

    fn is_asked(&self, run: RunId) -> bool {
        let live = self.lab.turn.runs.get(&run);
        live.is_some_and(|live| {
            let task = live.find("ask").and_then(|task| live.run.task(task));
            task.is_some_and(|task| matches!(task.state, TaskState::Asking(_)))
        })
    }

    /// How everything ended, without times.
    fn end(&self) -> String {
        self.lab.verify();
        assert_eq!(self.lab.mirror.kept.len(), 1, "it began once");
        let rows = &self.lab.mirror.kept[&RunId(1)];
        let compiled = &self.loaded.compiled;
        let run = crate::adopt::restore(compiled, &rows.saved()).expect("rows make a run");
        let name = |job: JobIx| compiled.jobs[job.at()].name.as_str();
        let mut lines = vec![format!("run {}", run.state().name())];
        for (ix, task) in run.tasks().iter().enumerate() {
            let outputs = rows.results.get(&(ix as u32)).map_or("", String::as_str);
            let path = run.path(TaskIx(ix as u32), &name);
            let (state, attempt, tries) = (task.state.name(), task.attempt, task.tries);
            lines.push(format!("{path} {state} {:?} {attempt} {tries} {outputs}", task.cause));
        }
        for row in rows.diagnoses.values() {
            lines.push(format!("{} {} {:?} {}", row.task.0, row.attempt, row.result, row.used));
        }
        let lates = rows.events.iter().filter(|event| event.kind == 99).count();
        lines.push(format!("{lates} late, begun {}", self.begun.len()));
        lines.join("\n")
    }
}

#[test]
fn wherever_the_engine_stops_the_end_is_the_same() {
    let mut whole = Play::new(0);
    let wanted = whole.play();
    assert!(wanted.starts_with("run succeeded"), "{wanted}");
    assert!(wanted.contains("group/make succeeded None 2"), "it went back once: {wanted}");
    assert!(whole.operations > 60, "{} operations are few", whole.operations);
    assert!(whole.lab.world.now > BEGIN);
    let mut differ = Vec::new();
    for stops_at in 1..=whole.operations {
        let mut play = Play::new(stops_at);
        let end = play.play();
        if end != wanted {
            differ.push(format!("stopped at operation {stops_at}:\n{end}"));
        }
    }
    assert!(differ.is_empty(), "wanted:\n{wanted}\n\n{}", differ.join("\n\n"));
}
