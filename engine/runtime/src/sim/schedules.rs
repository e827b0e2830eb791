//! Schedules under a clock that is made up: over months, through crashes, standstill and jumps, each due time is
//! settled once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use weir_core::flow::compile::Choice;
use weir_core::ids::RunId;
use weir_core::schedule::Schedule;
use weir_core::time::Timestamp;

use super::lab::{BEGIN, Lab};
use super::random::Random;
use crate::begin::Ready;
use crate::fire::Ask;
use crate::input::Input;
use crate::library::Loaded;
use crate::store::Fault;
use crate::store::rows::{FireOutcome, FireRow, FlowRow, ScheduleRow};
use crate::timetable::{Load, Wanted};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

impl Lab {
    /// Puts a flow's schedules in effect, durably.
    fn put(&mut self, loaded: &Loaded) {
        self.ask_schedules(Self::load_of(loaded));
        self.rest();
    }

    fn load_of(loaded: &Loaded) -> Ask {
        let seal = |_: &weir_core::params::Values| "{}".to_owned();
        let wanted = |schedule: &Arc<Schedule>| Wanted {
            schedule: Arc::clone(schedule),
            ready: Ready::new(loaded, schedule.params.clone(), schedule.confirm.clone(), &seal)
                .map(Arc::new)
                .or_else(|_| {
                    Ok(Arc::new(Ready::unfilled(loaded, schedule.params.clone(), Vec::new())))
                }),
            own: None,
        };
        let flow = FlowRow {
            project: loaded.version.project.clone(),
            flow: loaded.version.flow.clone(),
            version: loaded.version.hash.clone(),
            file: format!("/{}.flow.yaml", loaded.version.flow),
            is_gone: false,
            at: Timestamp::from_millis(BEGIN),
        };
        let wanted = loaded.compiled.flow.schedules.iter().map(wanted).collect();
        Ask::Load { load: Box::new(Load { flow, wanted }), loaded: Box::new(loaded.clone()) }
    }

    fn ask_schedules(&mut self, ask: Ask) {
        self.take(Input::Schedule(ask, Box::new(|result| result.expect("it is granted"))));
    }

    fn pause_schedule(&mut self, flow: &str, name: &str, is_paused: bool) {
        self.ask_schedules(Ask::Pause {
            project: String::new(),
            flow: flow.to_owned(),
            name: name.to_owned(),
            is_paused,
            by: "ann".to_owned(),
        });
        self.rest();
    }

    fn schedules(&self) -> Vec<ScheduleRow> {
        self.rt.block_on(self.ground.store.schedules()).expect("the store is read")
    }

    fn fires(&self, id: i64) -> Vec<FireRow> {
        let mut fires =
            self.rt.block_on(self.ground.store.fires(id, None, 1_000_000)).expect("it is read");
        fires.reverse();
        fires
    }

    /// What became of the due times of the first schedule: `12:00 run 1, 12:01..12:05 missed`.
    fn told(&self, id: i64) -> String {
        let time = |at: Timestamp| at.to_string()[11..19].to_owned();
        let told = self.fires(id).into_iter().map(|fire| match fire.run {
            Some(run) => format!("{} run {run}", time(fire.due_at)),
            None => format!(
                "{}..{} {}",
                time(fire.since),
                time(fire.due_at),
                FireOutcome::name(fire.outcome)
            ),
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// The clock shows another time; what rings is looked at once.
    fn jump(&mut self, millis: i64) {
        self.world.now += millis;
        self.finish();
        self.rest();
        // What is left of a large number of due schedules.
        while self.turn.next_wake().is_some_and(|at| at.millis() <= self.world.now) {
            self.finish();
            self.rest();
        }
    }

    /// The engine is gone without a word, and another takes up what is kept, with the same flows.
    fn crash_and_put(&mut self, flows: &[Loaded]) {
        self.restart(false);
        self.rest();
        for loaded in flows {
            self.put(loaded);
        }
        self.finish();
        self.rest();
    }
}

fn flow(lab: &Lab, name: &str, schedules: &str) -> Loaded {
    let text = format!("name: {name}\nschedules:\n{schedules}jobs:\n  a: {{ uses: noop }}\n");
    lab.load(&text, "")
}

/// A lab whose clock shows a whole hour.
fn lab() -> Lab {
    let mut lab = Lab::new(4);
    lab.world.now = BEGIN - BEGIN.rem_euclid(3_600_000);
    lab
}

#[test]
fn a_schedule_begins_a_run_for_its_due_time_and_tells_it() {
    let mut lab = lab();
    let loaded = flow(&lab, "f", "  - { id: s, cron: '*/5 * * * *' }\n");
    lab.put(&loaded);
    lab.pass(11 * MINUTE);
    let id = lab.schedules()[0].id;
    let fires = lab.fires(id);
    assert_eq!(fires.len(), 2);
    for fire in &fires {
        let run = fire.run.expect("it ran");
        let row = lab.rt.block_on(lab.ground.store.run(RunId(run))).expect("read").expect("there");
        assert_eq!((row.due_at, row.by.as_str()), (fire.due_at, "schedule s"));
        assert!(row.created_at >= fire.due_at, "never early");
        assert_eq!(lab.run_state(RunId(run)), "succeeded");
    }
    assert_eq!(lab.turn.next_wake().map(Timestamp::millis), Some(lab.world.now + 4 * MINUTE));
    lab.verify();
}

#[test]
fn standstill_is_made_up_for_as_each_schedule_says() {
    let mut lab = lab();
    let loaded = flow(
        &lab,
        "f",
        "  - { id: all, cron: '0 * * * *', misfire: run-all, catch-up: 3 }\n  - { id: none, cron: '0 * * * *', misfire: skip }\n  - { id: one, cron: '0 * * * *' }\n",
    );
    lab.put(&loaded);
    lab.pass(61 * MINUTE);
    let begin =
        Timestamp::from_millis(lab.world.now).to_string()[11..13].parse::<u32>().expect("an hour");
    let hour = |more: u32| format!("{:02}:00:00", (begin + more) % 24);
    // Thirty days in which nobody looks, and the engine is another afterwards.
    lab.world.now += 30 * DAY + 30 * MINUTE;
    lab.crash_and_put(&[loaded]);
    let (first, before, last) = (hour(1), hour(21), hour(0));
    assert_eq!(
        lab.told(1),
        format!(
            "{} run 1, {first}..{before} missed, {} run 4, {} run 5, {last} run 6",
            hour(0),
            hour(22),
            hour(23)
        )
    );
    assert_eq!(lab.told(2), format!("{} run 2, {first}..{last} missed", hour(0)));
    assert_eq!(
        lab.told(3),
        format!("{} run 3, {first}..{} missed, {last} run 7", hour(0), hour(23))
    );
    lab.verify();
}

#[test]
fn a_pause_is_no_standstill_and_a_new_text_begins_now() {
    let mut lab = lab();
    let loaded = flow(&lab, "f", "  - { id: s, cron: '*/10 * * * *', misfire: run-all }\n");
    lab.put(&loaded);
    lab.pass(15 * MINUTE);
    lab.pause_schedule("f", "s", true);
    assert_eq!(lab.schedules()[0].paused_by.as_deref(), Some("ann"));
    lab.pass(60 * MINUTE);
    lab.crash_and_put(std::slice::from_ref(&loaded));
    lab.pass(60 * MINUTE);
    lab.pause_schedule("f", "s", false);
    assert_eq!(lab.fires(1).len(), 1, "{}", lab.told(1));
    lab.pass(10 * MINUTE);
    assert_eq!(lab.fires(1).len(), 2, "{}", lab.told(1));
    // Another text, read after a standstill: its own times of that span were not missed.
    let other = flow(&lab, "f", "  - { id: s, cron: '*/5 * * * *', misfire: run-all }\n");
    lab.world.now += 60 * MINUTE;
    lab.restart(false);
    lab.rest();
    lab.put(&other);
    lab.pass(4 * MINUTE);
    let counted = lab.fires(1).len();
    assert!(counted <= 3, "{}", lab.told(1));
    // A text without it ends it, and one that has it again begins anew.
    let without = lab.load("name: f\njobs:\n  a: { uses: noop }\n", "");
    lab.put(&without);
    lab.pass(60 * MINUTE);
    assert_eq!(lab.fires(1).len(), counted);
    lab.put(&other);
    lab.pass(5 * MINUTE);
    assert_eq!(lab.fires(1).len(), counted + 1);
    assert_eq!(lab.schedules().len(), 1, "it is the same schedule");
    lab.verify();
}

#[test]
fn a_clock_that_is_set_back_begins_nothing_twice_and_forgets_nothing() {
    let mut lab = lab();
    let loaded = flow(&lab, "f", "  - { id: s, cron: '*/10 * * * *', misfire: skip }\n");
    lab.put(&loaded);
    lab.pass(21 * MINUTE);
    assert_eq!(lab.fires(1).len(), 2);
    // By mistake the clock goes ten days ahead, runs there for a while, and is put right.
    lab.jump(10 * DAY);
    lab.pass(20 * MINUTE);
    let there = lab.fires(1).len();
    lab.jump(-10 * DAY - 20 * MINUTE);
    lab.pass(30 * MINUTE);
    assert_eq!(lab.fires(1).len(), there + 3, "{}", lab.told(1));
    // The same after a restart, and past what was begun ahead.
    lab.crash_and_put(std::slice::from_ref(&loaded));
    lab.pass(11 * DAY);
    let runs: Vec<Timestamp> = lab
        .fires(1)
        .into_iter()
        .filter(|fire| fire.run.is_some())
        .map(|fire| fire.due_at)
        .collect();
    let once: BTreeSet<Timestamp> = runs.iter().copied().collect();
    assert_eq!(once.len(), runs.len());
    // Each ten minutes, but for the one that stands for those missed on the way ahead.
    assert_eq!(runs.len() as i64, (11 * DAY) / (10 * MINUTE) + 4, "{}", lab.told(1));
    lab.verify();
}

#[test]
fn the_end_of_a_flow_begins_another_in_the_same_transaction() {
    let mut lab = lab();
    let first = lab
        .load("name: first\njobs:\n  a: { uses: noop, with: { outputs: { day: monday } } }\n", "");
    let second = lab.load(
        "name: second\nparams: { day: { type: string }, of: { type: integer, default: 0 } }\nschedules:\n  \
         - { id: behind, after-flow: first, params: { day: '{{ jobs.a.outputs.day }}', of: '{{ run.id }}' } }\n  \
         - { id: never, after-flow: first, on: [failed], params: { day: x } }\njobs:\n  a: { uses: noop }\n",
        "",
    );
    lab.put(&second);
    let run = lab.begin(&first);
    assert_eq!(run, RunId(1));
    let row = lab.rt.block_on(lab.ground.store.run(RunId(2))).expect("read").expect("it began");
    let params: serde_json::Value = serde_json::from_str(&row.params).expect("JSON");
    assert_eq!(
        (row.flow.as_str(), &params["day"], &params["of"]),
        ("second", &"monday".into(), &1.into())
    );
    assert_eq!(lab.fires(1)[0].cause.as_deref(), Some("run 1"));
    assert_eq!(lab.fires(2), []);
    // Wherever the engine stops, the one is there exactly if the other has ended.
    for dies_before in [true, false] {
        let choice = Choice::default();
        let begin =
            crate::begin::Begin { choice, ..crate::begin::Begin::flow(first.clone(), "test") };
        let _said = lab.ask(begin);
        while let Some((number, result)) = if dies_before {
            lab.commit(Fault::Die, Fault::None)
        } else {
            lab.commit(Fault::None, Fault::Die)
        } {
            lab.take(Input::Committed { number, result });
        }
        lab.restart(true);
        lab.rest();
        lab.put(&second);
        let runs = lab.rt.block_on(lab.ground.store.last_run_id()).expect("read").0;
        let begun = lab.fires(1).len() as i64;
        assert_eq!(runs, 2 * begun, "a run of each");
    }
    lab.verify();
}

/// Months of a few schedules, with crashes, standstill and a clock that jumps ahead, chosen by a seed.
fn months(seed: u64) {
    let mut random = Random::new(seed);
    let mut lab = lab();
    let lines = [
        "cron: '*/10 * * * *'",
        "cron: '30 2 * * *', timezone: Europe/Berlin",
        "cron: '0 0/30 * * * ?', timezone: America/New_York, duplicate: both",
        "every: 47m",
        "cron: '0 0 9 ? * MON-FRI', timezone: Asia/Shanghai, calendar: [12-25]",
    ];
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let misfire = random.pick(&["run-all", "run-once", "skip"]).expect("there are some");
        let jitter = random.between(0, 120);
        let catch_up = random.between(0, 5);
        writeln!(
            text,
            "  - {{ id: s{at}, {line}, misfire: {misfire}, catch-up: {catch_up}, jitter: {jitter}s }}"
        )
        .expect("a string takes all");
    }
    let loaded = flow(&lab, "f", &text);
    lab.put(&loaded);
    let begin = lab.world.now;
    for _ in 0..40 {
        match random.between(0, 9) {
            0..=3 => lab.pass(random.between(1, 300) * MINUTE),
            4 => lab.jump(random.between(1, 4_000) * MINUTE),
            5 => lab.jump(random.between(1, 40) * DAY),
            6 => {
                lab.world.now += random.between(1, 300) * MINUTE;
                lab.crash_and_put(std::slice::from_ref(&loaded));
            }
            7 | 8 => {
                // It dies with what is due on its way.
                lab.world.now += random.between(1, 100) * MINUTE;
                lab.finish();
                if random.chance(50) {
                    lab.commit(Fault::Die, Fault::None);
                } else {
                    lab.commit(Fault::None, Fault::Die);
                }
                lab.restart(true);
                lab.rest();
                lab.put(&loaded);
                lab.jump(0);
            }
            _ => lab.jump(random.between(1, 59_000)),
        }
    }
    let schedules: BTreeMap<&str, &Schedule> =
        loaded.compiled.flow.schedules.iter().map(|one| (one.id.as_str(), &**one)).collect();
    for row in lab.schedules() {
        let schedule = schedules[&*row.name];
        let mut at = Timestamp::from_millis(begin);
        for fire in lab.fires(row.id) {
            assert_eq!(
                schedule.next_after(at),
                Some(fire.since),
                "seed {seed}: {}: one was left out",
                row.name
            );
            assert!(fire.at >= fire.due_at, "seed {seed}: early");
            at = fire.due_at;
        }
        assert_eq!(at, row.up_to.min(at), "seed {seed}");
        let next = schedule.next_after(at).expect("there is a next");
        assert!(
            next.plus(schedule.jitter).plus(Duration::from_millis(1))
                > Timestamp::from_millis(lab.world.now),
            "seed {seed}: {} was left behind",
            row.name
        );
    }
    lab.verify();
}

#[test]
fn over_months_each_due_time_is_settled_once() {
    for seed in 0..5 {
        months(seed);
    }
}
