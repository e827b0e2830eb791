//! People begin runs, act on them and answer them.

use std::sync::{Arc, PoisonError};

use weir_core::ids::{RunId, TaskIx};
use weir_core::outcome::Outputs;
use weir_core::run::{Act, Answer, From, Question, TaskState};

use super::{Due, PHASE_ONE, Swarm};
use crate::begin::Begin;
use crate::input::{Input, Wish};
use crate::library::Loaded;

impl Swarm {
    pub(super) fn begin(&mut self) {
        let loaded = self.random.pick(&self.flows).expect("there is one").clone();
        let mut begin = Begin::flow(loaded.clone(), "test");
        if self.random.chance(50) {
            begin.confirm = vec!["everything".to_owned()];
        }
        self.begin_as(begin, loaded);
    }

    pub(super) fn begin_as(&mut self, begin: Begin, loaded: Loaded) {
        let new = self.lab.rt.block_on(crate::begin::prepare(&self.lab.ground, begin));
        let Ok(new) = new else { return };
        let told = Arc::clone(&self.acknowledged);
        let reply = Box::new(move |result: Result<RunId, _>| {
            if let Ok(run) = result {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(run);
            }
        });
        let before = self.lab.turn.runs.keys().next_back().copied();
        self.lab.take(Input::Begin(Box::new(new), reply));
        let newest = self.lab.turn.runs.keys().next_back().copied();
        if let Some(run) = newest.filter(|_| newest != before) {
            self.of_run.insert(run, loaded);
        }
    }

    pub(super) fn person(&mut self) {
        let runs: Vec<RunId> = self.lab.turn.runs.keys().copied().collect();
        if self.now >= PHASE_ONE {
            for run in runs {
                self.answer_all(run);
            }
            if !self.lab.turn.runs.is_empty() || self.is_committing {
                let at = self.now + 5_000;
                self.at(at, Due::Person);
            }
            return;
        }
        if self.random.chance(10) {
            return self.rerun();
        }
        let Some(run) = self.random.pick(&runs).copied() else { return };
        let live = &self.lab.turn.runs[&run];
        let count = live.run.tasks().len() as u64;
        let path = live.path(TaskIx(self.random.below(count) as u32));
        let wish = match self.random.below(20) {
            0 => Wish::Cancel,
            1 => Wish::Kill,
            2..5 => Wish::Pause,
            5..8 => Wish::Resume,
            8..14 => {
                let acts = [Act::Skip, Act::Succeed, Act::Fail, Act::RetryNow];
                Wish::Task { path, act: *self.random.pick(&acts).expect("there are some") }
            }
            _ => return self.answer_all(run),
        };
        self.person_wishes(run, wish);
    }

    pub(super) fn person_wishes(&mut self, run: RunId, wish: Wish) {
        self.tell(|| format!("run {run}: {wish:?}"));
        self.lab.take(Input::Wish { run, wish, by: "person".to_owned(), reply: Box::new(|_| ()) });
    }

    /// A person decides whatever is asked, and lets a paused run go on.
    pub(super) fn answer_all(&mut self, run: RunId) {
        let live = &self.lab.turn.runs[&run];
        if live.run.is_paused() {
            self.person_wishes(run, Wish::Resume);
        }
        let Some(live) = self.lab.turn.runs.get(&run) else { return };
        let asking: Vec<(String, Question)> = (0..live.run.tasks().len() as u32)
            .filter_map(|ix| match live.run.tasks()[ix as usize].state {
                TaskState::Asking(question) => Some((live.path(TaskIx(ix)), question)),
                _ => None,
            })
            .collect();
        for (path, question) in asking {
            let answers: &[Answer] = match question {
                Question::Approval | Question::Confirm => &[Answer::Approve, Answer::Reject],
                Question::Judgement
                | Question::Unknown
                | Question::Diagnosed(_)
                | Question::Repeated(_)
                | Question::RemedyFailed(_)
                | Question::Remedied(_) => {
                    &[Answer::Approve, Answer::Reject, Answer::Retry, Answer::Continue]
                }
            };
            let answer = *self.random.pick(answers).expect("there are some");
            self.person_wishes(run, Wish::Answer { path, answer, values: Outputs::new() });
        }
    }

    pub(super) fn rerun(&mut self) {
        let ended: Vec<RunId> = self
            .of_run
            .keys()
            .filter(|run| self.lab.mirror.kept.get(run).is_some_and(|rows| rows.state().is_final()))
            .copied()
            .collect();
        let Some(origin) = self.random.pick(&ended).copied() else { return };
        let from = match self.random.below(3) {
            0 => From::All,
            1 => From::Job("j0".to_owned()),
            _ => From::Failed,
        };
        self.tell(|| format!("rerun {origin} {from:?}"));
        let loaded = self.of_run[&origin].clone();
        self.begin_as(Begin::rerun(origin, from, false, "person"), loaded);
    }
}
