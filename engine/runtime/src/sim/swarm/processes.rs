//! Processes and child runs, as the simulated world has them.

use serde_json::json;
use weir_core::ids::{AttemptId, RunId};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::{CancelReason, RunState};
use weir_core::time::Timestamp;

use super::{Due, Folder, Plan, Report, Swarm};
use crate::begin::Begin;
use crate::input::{Found, Order, Wish};
use crate::store::rows::DiagnosisRow;

impl Swarm {
    pub(super) fn begin_process(&mut self, id: AttemptId, plan: &Plan) {
        if !self.disk.contains_key(&id) {
            self.tell(|| format!("{id} begins"));
            let row = self.lab.mirror.attempt(id).expect("it is durable that it is launched");
            assert!(row.ended_at.is_none(), "{id} begins after its end was kept");
            for number in 1..id.number {
                let before = AttemptId { number, ..id };
                assert!(
                    self.disk.get(&before).is_none_or(|folder| !folder.is_alive),
                    "{id} begins while {before} is at work"
                );
            }
            let folder =
                Folder { is_fenced: false, is_alive: true, ended: None, plan: plan.clone() };
            self.disk.insert(id, folder);
            self.look_at_limits();
            let at = self.now + plan.millis;
            self.at(at, Due::Ends(id));
        }
        if !self.watched.contains(&id) {
            return;
        }
        let folder = &self.disk[&id];
        if folder.is_fenced {
            return;
        }
        if folder.is_alive {
            let epoch = self.epoch;
            self.soon(200, Due::Report { epoch, id, what: Report::Started });
            if self.random.chance(5) {
                self.soon(2_000, Due::Report { epoch, id, what: Report::Unreached });
                self.soon(9_000, Due::Report { epoch, id, what: Report::Started });
            }
        } else {
            self.report_end(id);
        }
    }

    pub(super) fn lose_processes(&mut self) {
        let alive: Vec<AttemptId> =
            self.disk.iter().filter(|(_, folder)| folder.is_alive).map(|(id, _)| *id).collect();
        for id in alive {
            let folder = self.disk.get_mut(&id).expect("it is there");
            folder.is_alive = false;
            let lost = Failure::new(ErrorClass::Lost, "nobody saw how it ended");
            folder.ended = Some((Outcome::Failed(lost), None));
            self.report_end(id);
        }
    }

    pub(super) fn report_end(&mut self, id: AttemptId) {
        if !self.watched.contains(&id) {
            return;
        }
        let Some((outcome, found)) = self.disk[&id].ended.clone() else { return };
        let epoch = self.epoch;
        self.report(epoch, id, Report::Ended(outcome.clone(), found.clone()));
        if self.on.repeats && self.random.chance(20) {
            self.soon(5_000, Due::Report { epoch, id, what: Report::Ended(outcome, found) });
        }
    }

    pub(super) fn report(&mut self, epoch: u32, id: AttemptId, what: Report) {
        let most = if self.on.repeats && self.random.chance(20) { 10_000 } else { 50 };
        self.soon(most, Due::Report { epoch, id, what });
    }

    pub(super) fn launch(&mut self, order: &Order) {
        let id = order.id;
        let row = self.lab.mirror.attempt(id).expect("it is durable before it is done");
        assert!(row.ended_at.is_none(), "{id} is launched after its end");
        if self.launched.insert(id) {
            self.look_at_needs(order);
        }
        if !self.watched.insert(id) {
            return;
        }
        let plan = self.plan(order);
        let epoch = self.epoch;
        if plan.is_flow {
            self.begin_child(id);
            return;
        }
        self.tell(|| format!("launch {id} {}", order.path));
        let is_late = self.on.late_launches && self.random.chance(30);
        let most = if is_late { 15_000 } else { 30 };
        if self.on.late_launches && self.random.chance(20) {
            self.soon(20_000, Due::Launch { epoch, is_late: true, id, plan: plan.clone() });
        }
        self.soon(most, Due::Launch { epoch, is_late, id, plan });
    }

    pub(super) fn plan(&mut self, order: &Order) -> Plan {
        let id = order.id;
        let compiled = &order.compiled;
        let job = compiled.job(order.job);
        let (first, end) = compiled.graph.job(order.job).remedies;
        let random = &mut self.random;
        let mut found = None;
        let mut millis = random.between(20, 15_000);
        let outputs: Outputs = [("v".to_owned(), json!(id.to_string()))].into();
        let outcome = match random.below(100) {
            0..66 => Outcome::Done { outputs, exit_code: Some(0) },
            66..70 => Outcome::AlreadyDone { outputs },
            70..73 => Outcome::Ask { message: "may it pass?".to_owned(), outputs },
            73..75 => {
                millis = 600_000;
                Outcome::Done { outputs, exit_code: Some(0) }
            }
            75..77 => Outcome::Failed(Failure::new(ErrorClass::UnknownOutcome, "no answer came")),
            77..79 => Outcome::Failed(Failure::new(ErrorClass::Connection, "no line")),
            _ => {
                if end > first && random.chance(75) {
                    let remedy = first + random.below(u64::from(end - first)) as u32;
                    let row = DiagnosisRow {
                        run: id.run,
                        task: id.task,
                        attempt: id.number,
                        at: Timestamp::from_millis(self.now),
                        signature: compiled.remedies[remedy as usize].id.clone(),
                        evidence: json!({ "captures": { "n": id.number }, "text": "x" })
                            .to_string(),
                        then: "retry".to_owned(),
                        used: false,
                        result: None,
                    };
                    let captures = json!({ "n": id.number });
                    let is_success = random.chance(3);
                    found = Some(Box::new(Found { remedy, is_success, captures, row }));
                }
                Outcome::Failed(Failure {
                    exit_code: Some(1),
                    ..Failure::new(ErrorClass::Exit, "1")
                })
            }
        };
        let uses = job.uses.as_ref().map_or("", |uses| uses.job_type.as_str());
        Plan {
            outcome,
            found,
            millis,
            has_slot: uses == "work",
            pools: job.pools.iter().map(|pool| (pool.name.clone(), pool.slots)).collect(),
            locks: job.locks.iter().map(|text| text.source.clone()).collect(),
            is_flow: uses == "flow",
        }
    }

    pub(super) fn cancel(&mut self, order: &Order, reason: CancelReason, failure: Option<Failure>) {
        let id = order.id;
        self.tell(|| format!("cancel {id}"));
        let epoch = self.epoch;
        let plan = self.plan(order);
        if plan.is_flow {
            self.soon(50, Due::ChildCancelled { epoch, id, failure });
            return;
        }
        let (outcome, found) = if reason == CancelReason::Timeout {
            self.tell(|| format!("{id} timed out"));
            let found = plan.found.clone().filter(|found| !found.is_success);
            (Outcome::Failed(ErrorClass::Timeout.into()), found)
        } else {
            (Outcome::Cancelled, None)
        };
        self.disk.entry(id).or_insert(Folder {
            is_fenced: true,
            is_alive: false,
            ended: None,
            plan,
        });
        match failure {
            None => self.soon(3_000, Due::Confirmed { epoch, id, outcome, found }),
            Some(failure) => self.soon(3_000, Due::Abandoned { epoch, id, failure }),
        }
    }

    pub(super) fn begin_child(&mut self, id: AttemptId) {
        let times = 1 + u32::from(self.on.repeats && self.random.chance(30));
        for _ in 0..times {
            let begin = Begin { parent: Some(id), ..Begin::flow(self.child.clone(), "its parent") };
            drop(self.lab.ask(begin));
        }
        let epoch = self.epoch;
        self.soon(100, Due::Child { epoch, id, run: RunId(0) });
    }

    pub(super) fn child_of(&self, id: AttemptId) -> Option<RunId> {
        let parent = id.to_string();
        let kept = &self.lab.mirror.kept;
        kept.values()
            .find(|rows| rows.run.parent.as_deref() == Some(parent.as_str()))
            .map(|rows| RunId(rows.run.id))
    }

    pub(super) fn look_at_child(&mut self, epoch: u32, id: AttemptId, run: RunId) {
        if epoch != self.epoch {
            return;
        }
        let run = if run == RunId(0) { self.child_of(id).unwrap_or(run) } else { run };
        let state = self.lab.mirror.kept.get(&run).map(super::super::mirror::Rows::state);
        match state.filter(|state| state.is_final()) {
            Some(RunState::Succeeded) => {
                let outcome = Outcome::Done { outputs: Outputs::new(), exit_code: None };
                self.report(epoch, id, Report::Ended(outcome, None));
            }
            Some(_) => {
                let failure = Failure::new(ErrorClass::Exit, "the child did not end well");
                self.report(epoch, id, Report::Ended(Outcome::Failed(failure), None));
            }
            None => {
                let at = self.now + 500;
                self.at(at, Due::Child { epoch, id, run });
            }
        }
    }

    pub(super) fn end_child(&mut self, epoch: u32, id: AttemptId, failure: Option<Failure>) {
        if epoch != self.epoch {
            return;
        }
        let child = self.child_of(id);
        let is_over = child.is_none_or(|run| self.lab.mirror.kept[&run].state().is_final());
        if is_over {
            let outcome = failure.map_or(Outcome::Cancelled, Outcome::Failed);
            self.report(epoch, id, Report::Ended(outcome, None));
            return;
        }
        if let Some(run) = child {
            self.person_wishes(run, Wish::Cancel);
        }
        let at = self.now + 500;
        self.at(at, Due::ChildCancelled { epoch, id, failure });
    }
}
