//! What is durable is acted on, and what has gathered is submitted.

use std::sync::Arc;

use weir_core::ids::AttemptId;
use weir_core::outcome::{ErrorClass, Failure, Outcome};
use weir_core::run::{CancelReason, Command, TaskState};

use super::{After, Turn, World, is_past};
use crate::input::{Action, CommitFailure};
use crate::store::RESUBMIT;

impl Turn {
    /// Submits what has gathered, unless a batch is on its way.
    pub(super) fn flush(&mut self, world: &mut dyn World) {
        let now = world.now();
        if let Some((_, batch)) = self.handed_back.take_if(|(at, _)| is_past(*at, now, RESUBMIT)) {
            let (number, _) =
                self.committing.as_ref().expect("what is submitted again was submitted");
            world.submit(*number, *batch);
            return;
        }
        if self.committing.is_some() || self.broken.is_some() {
            return;
        }
        // What is done may show that it can't be done: then there is something to write after all.
        while self.batch.is_empty() {
            if self.after.is_empty() {
                return;
            }
            let after = std::mem::take(&mut self.after);
            self.act(after, world);
            self.settle(world);
        }
        self.number += 1;
        self.committing = Some((self.number, std::mem::take(&mut self.after)));
        world.submit(self.number, std::mem::take(&mut self.batch));
    }

    pub(super) fn committed(
        &mut self,
        number: u64,
        result: Result<(), CommitFailure>,
        world: &mut dyn World,
    ) {
        assert!(
            self.committing.as_ref().is_some_and(|(at, _)| *at == number),
            "batch {number} was not on its way"
        );
        match result {
            Ok(()) => {
                self.trouble = None;
                let (_, after) = self.committing.take().expect("it is on its way");
                self.act(after, world);
            }
            Err(CommitFailure::Later(message, batch)) => {
                self.trouble = Some(message);
                self.handed_back = Some((world.now().plus(RESUBMIT), batch));
            }
            Err(CommitFailure::Never(message)) => self.broken = Some(message),
        }
    }

    pub(super) fn act(&mut self, after: After, world: &mut dyn World) {
        if !after.events.is_empty() {
            world.act(Action::Publish(after.events.into()));
        }
        if after.has_notices {
            world.tell();
        }
        if after.is_unheard && world.is_watched() {
            world.act(Action::Publish(Arc::default()));
        }
        for (run, command) in after.commands {
            match command {
                Command::Launch { task, attempt } => {
                    self.carry_out(AttemptId { run, task, number: attempt }, None, world);
                }
                Command::Cancel { task, attempt, reason } => {
                    self.carry_out(AttemptId { run, task, number: attempt }, Some(reason), world);
                }
                Command::Decide { .. }
                | Command::Expand { .. }
                | Command::Admit { .. }
                | Command::Wake { .. }
                | Command::WakeRun { .. }
                | Command::Close => unreachable!("only launches and cancels wait for their batch"),
            }
        }
        for run in after.ended {
            self.runs.remove(&run);
            self.closed.remove(&run);
            for done in self.waiting.remove(&run).unwrap_or_default() {
                done();
            }
        }
        for answer in after.answers {
            answer();
        }
    }

    pub(super) fn carry_out(
        &mut self,
        id: AttemptId,
        cancel: Option<CancelReason>,
        world: &mut dyn World,
    ) {
        // What was decided since may have made it void: a launch whose end was asked for meanwhile is only cancelled.
        let Some(task) = self.runs.get(&id.run).and_then(|live| live.run.task(id.task)) else {
            return;
        };
        let is_wanted = match (task.state, cancel) {
            (TaskState::Launching | TaskState::Running | TaskState::Unreachable, None)
            | (TaskState::Cancelling(_), Some(_)) => task.attempt == id.number,
            _ => false,
        };
        if !is_wanted {
            return;
        }
        match self.make_order(id, world) {
            Ok(order) => world.act(match cancel {
                None => Action::Launch(order),
                Some(reason) => Action::Cancel(order, reason),
            }),
            Err(message) => self.give_up(id, cancel, message, world),
        }
    }

    /// An attempt whose settings can't be filled in can't be begun or followed. If it may be at work it must end first.
    pub(super) fn give_up(
        &mut self,
        id: AttemptId,
        cancel: Option<CancelReason>,
        message: String,
        world: &mut dyn World,
    ) {
        let failure = Failure::new(ErrorClass::Definition, message);
        let may_work = cancel.is_some()
            || self
                .runs
                .get(&id.run)
                .is_some_and(|live| live.adopted.contains(&(id.task, id.number)));
        match self.bare_order(id, world).filter(|_| may_work) {
            Some(order) => world.act(match cancel {
                Some(reason) => Action::Cancel(order, reason),
                None => Action::Abandon(order, failure),
            }),
            None => self.attempt_ended(id, Outcome::Failed(failure), None, world),
        }
    }
}
