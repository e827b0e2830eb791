//! A failed attempt: its remedy, its retries, the person who is asked.

use std::time::Duration;

use super::event::{Command, RecordKind};
use super::settle::Mover;
use super::task::{Cause, NONE, Question, TaskState};
use super::{Added, Run};
use crate::flow::{OnLost, Retry};
use crate::graph::ThenRules;
use crate::ids::TaskIx;
use crate::outcome::ErrorClass;

impl Mover<'_> {
    /// An attempt has failed: its remedy, its retries and the question whether it is safe decide what comes next.
    pub(super) fn failed(&mut self, ix: u32, class: ErrorClass, remedy: Option<u32>) {
        let rules = self.graph.job(self.run.tasks[ix as usize].job);
        let attempt_state = match class {
            ErrorClass::Timeout => TaskState::TimedOut,
            ErrorClass::Lost => TaskState::Lost,
            ErrorClass::Exit
            | ErrorClass::Connection
            | ErrorClass::Quota
            | ErrorClass::UnknownOutcome
            | ErrorClass::Verify
            | ErrorClass::Output
            | ErrorClass::Definition
            | ErrorClass::Refused
            | ErrorClass::Internal => TaskState::Failed,
        };
        let is_unclear = matches!(class, ErrorClass::Lost | ErrorClass::UnknownOutcome);
        let is_unsafe = is_unclear && rules.destroys && !rules.has_check;
        if let Some(remedy) = remedy {
            return self.recognised(ix, remedy, attempt_state, is_unsafe);
        }
        let may_ask = class == ErrorClass::Lost && rules.on_lost == OnLost::Ask;
        let tries = u32::from(self.run.tasks[ix as usize].tries);
        let on_lost = class == ErrorClass::Lost
            && rules.on_lost == OnLost::Retry
            && tries < rules.timing.retry.attempts.max(2);
        let by_class =
            tries < rules.timing.retry.attempts && rules.timing.retry.on.contains(&class);
        if may_ask || is_unsafe {
            self.note(RecordKind::AttemptEnded(attempt_state), ix);
            self.set(ix, TaskState::Asking(Question::Unknown), Cause::None);
        } else if on_lost || by_class {
            self.note(RecordKind::AttemptEnded(attempt_state), ix);
            self.retry_later(ix, tries);
        } else {
            self.finish(ix, attempt_state, Cause::None);
        }
    }

    /// The failure is a known one. Where another attempt is not safe a person decides, whatever the remedy says.
    fn recognised(&mut self, ix: u32, remedy: u32, attempt_state: TaskState, is_unsafe: bool) {
        let cure = &self.graph.remedies[remedy as usize];
        self.note(RecordKind::AttemptEnded(attempt_state), ix);
        let does_nothing = cure.scope.is_none_or(|scope| self.graph.scope(scope).count == 0);
        let tries_again = match cure.then {
            ThenRules::Retry | ThenRules::RetryFrom(_) => true,
            ThenRules::Continue | ThenRules::Ask | ThenRules::Fail => false,
        };
        let asks_first = cure.destroys
            || (cure.then == ThenRules::Ask && does_nothing)
            || (is_unsafe && tries_again);
        if cure.then == ThenRules::Fail && does_nothing {
            self.finish(ix, attempt_state, Cause::None);
        } else if self.run.used(TaskIx(ix), remedy) >= cure.limit {
            self.set(ix, TaskState::Asking(Question::Repeated(remedy)), Cause::None);
        } else if asks_first {
            self.set(ix, TaskState::Asking(Question::Diagnosed(remedy)), Cause::None);
        } else {
            self.apply_remedy(ix, remedy);
        }
    }

    /// A person says to go on with a remedy. One that only asks has nothing to go on with but another attempt.
    pub(super) fn approve_remedy(&mut self, ix: u32, remedy: u32) {
        let cure = &self.graph.remedies[remedy as usize];
        let does_nothing = cure.scope.is_none_or(|scope| self.graph.scope(scope).count == 0);
        if does_nothing && cure.then == ThenRules::Ask {
            self.make_ready(ix);
        } else {
            self.apply_remedy(ix, remedy);
        }
    }

    /// Uses a remedy once more for a task whose attempt has failed.
    fn apply_remedy(&mut self, ix: u32, remedy: u32) {
        let cure = &self.graph.remedies[remedy as usize];
        let used = self.run.used.entry((ix, remedy)).or_insert(0);
        *used += 1;
        let used = *used;
        let Some(scope) = cure.scope.filter(|scope| self.graph.scope(*scope).count > 0) else {
            self.note(RecordKind::Added { first: 0, count: 0, remedy: Some(remedy) }, ix);
            if cure.then == ThenRules::Retry {
                self.uncount_try(ix);
                return self.retry_later(ix, used);
            }
            return self.after_remedy(ix, remedy);
        };
        let first = self.run.add_block(scope, ix, NONE);
        let count = self.graph.scope(scope).count;
        let task = &mut self.run.tasks[ix as usize];
        task.inner = first;
        task.holds = count;
        task.held = count;
        self.run.keep_added(Added {
            first: TaskIx(first),
            owner: TaskIx(ix),
            scope,
            count: 1,
            remedy: Some(remedy),
        });
        self.note(RecordKind::Added { first, count: 1, remedy: Some(remedy) }, ix);
        self.set(ix, TaskState::Recovering(remedy), Cause::None);
        self.open_tasks(first, count);
    }

    pub(super) fn after_remedy(&mut self, ix: u32, remedy: u32) {
        match self.graph.remedies[remedy as usize].then {
            ThenRules::Retry => {
                self.uncount_try(ix);
                self.make_ready(ix);
            }
            ThenRules::RetryFrom(job) => self.rewind(ix, job),
            ThenRules::Continue => self.finish(ix, TaskState::Succeeded, Cause::Remedied),
            ThenRules::Ask => {
                self.set(ix, TaskState::Asking(Question::Remedied(remedy)), Cause::None);
            }
            ThenRules::Fail => self.finish(ix, TaskState::Failed, Cause::None),
        }
    }

    /// An attempt that a remedy follows does not count against `retry.attempts`.
    fn uncount_try(&mut self, ix: u32) {
        let task = &mut self.run.tasks[ix as usize];
        task.tries = task.tries.saturating_sub(1);
    }

    /// Waits before the next attempt.
    fn retry_later(&mut self, ix: u32, tries: u32) {
        let wait = wait_before(&self.rules(ix).timing.retry, tries, chance_of(self.run, ix));
        let at = self.now.plus(wait);
        self.set(ix, TaskState::Retrying, Cause::None);
        self.run.tasks[ix as usize].until = at;
        if !self.run.paused {
            self.out.commands.push(Command::Wake { task: TaskIx(ix), at });
        }
    }
}

/// The wait after so many tries; `chance` from 0 to 1 shortens it by up to the retry's jitter.
fn wait_before(retry: &Retry, tries: u32, chance: f64) -> Duration {
    if retry.delay.is_zero() {
        return Duration::ZERO;
    }
    let factor = retry.backoff.max(1.0).powi(tries.saturating_sub(1).min(1_000) as i32);
    let wait = (retry.delay.as_secs_f64() * factor).min(retry.max_delay.as_secs_f64());
    let wait = wait * (1.0 - retry.jitter.clamp(0.0, 1.0) * chance);
    Duration::from_millis((wait * 1_000.0) as u64)
}

/// A number from 0 to 1 that follows from who the attempt is, so that a replay waits alike (`SplitMix64`).
fn chance_of(run: &Run, ix: u32) -> f64 {
    let attempt = run.tasks[ix as usize].attempt;
    let mut x = (run.id.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ u64::from(ix).rotate_left(32)
        ^ u64::from(attempt).wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
