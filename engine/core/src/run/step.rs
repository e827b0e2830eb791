//! One event into a run. The `match` on state and event stands here; what follows from it in `settle` and `stop`.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Act, Command, Ending, Event, Ignored, Out, RecordKind, Verdict};
use super::settle::Mover;
use super::task::{Answer, CancelReason, Cause, Question, TaskState};
use super::{LATE_RUN, Run, Stage};
use crate::flow::LateThen;
use crate::graph::{JobKind, LateRules};
use crate::ids::TaskIx;
use crate::outcome::ErrorClass;
use crate::time::Timestamp;

/// Takes one event into the run and says what must be done next. What is done and kept is added to `out`.
///
/// # Errors
/// The event changes nothing, and why: it is late, repeated, or does not fit.
pub fn step(run: &mut Run, event: Event, now: Timestamp, out: &mut Out) -> Result<(), Ignored> {
    let graph = Arc::clone(&run.graph);
    let mut mover = Mover { run, graph: &graph, now, out, sweeps: None };
    mover.take(event)?;
    mover.drain();
    mover.note_state();
    Ok(())
}

/// What an attempt is at.
enum Work {
    Launching,
    Running,
    Unreachable,
    Cancelling(CancelReason),
}

impl Mover<'_> {
    fn take(&mut self, event: Event) -> Result<(), Ignored> {
        if self.run.stage == Stage::Ended {
            return Err(Ignored::RunEnded);
        }
        match event {
            Event::Opened => self.opened(),
            Event::Decided { task, verdict } => self.decided(task, verdict),
            Event::Expanded { task, count, reused } => self.expanded(task, count, &reused),
            Event::Admitted { task } => self.admitted(task),
            Event::Started { task, attempt } => self.started(task, attempt),
            Event::Unreached { task, attempt } => self.unreached(task, attempt),
            Event::NotEnded { task, attempt } => self.not_ended(task, attempt),
            Event::Ended { task, attempt, ending, remedy } => {
                self.attempt_ended(task, attempt, ending, remedy)
            }
            Event::Due { task } => self.due(task),
            Event::RunDue => self.run_due(),
            Event::Answered { task, answer } => self.answered(task, answer),
            Event::Acted { task, act } => self.acted(task, act),
            Event::Cancelled => self.end_run(CancelReason::Run),
            Event::Killed => self.end_run(CancelReason::Kill),
            Event::Paused => self.paused(true),
            Event::Resumed => self.paused(false),
        }
    }

    fn state_of(&self, task: TaskIx) -> Result<TaskState, Ignored> {
        self.run.tasks.get(task.at()).map(|task| task.state).ok_or(Ignored::NoTask)
    }

    fn opened(&mut self) -> Result<(), Ignored> {
        if self.run.stage != Stage::Queued {
            return Err(Ignored::NoChange);
        }
        self.run.started_at = Some(self.now);
        self.begin();
        Ok(())
    }

    fn decided(&mut self, task: TaskIx, verdict: Verdict) -> Result<(), Ignored> {
        let TaskState::Deciding = self.state_of(task)? else {
            return Err(self.does_not_fit(task));
        };
        match verdict {
            Verdict::Go => self.proceed(task.0),
            Verdict::NotDue => self.leave_out(task.0, TaskState::Skipped, Cause::WhenFalse),
            Verdict::Unconfirmed => {
                self.set(task.0, TaskState::Asking(Question::Confirm), Cause::None);
            }
            Verdict::Broken => self.leave_out(task.0, TaskState::Failed, Cause::BadDefinition),
        }
        Ok(())
    }

    fn expanded(&mut self, task: TaskIx, count: u32, reused: &[u32]) -> Result<(), Ignored> {
        let state = self.state_of(task)?;
        let (TaskState::Deciding, JobKind::Foreach { body, .. }) =
            (state, &self.rules(task.0).kind)
        else {
            return Err(self.does_not_fit(task));
        };
        self.expand(task.0, *body, count, reused);
        Ok(())
    }

    /// Why an event that is not about an attempt does not fit the task.
    fn does_not_fit(&self, task: TaskIx) -> Ignored {
        if self.run.tasks[task.at()].state.is_final() {
            Ignored::AlreadyEnded
        } else {
            Ignored::WrongState
        }
    }

    fn admitted(&mut self, task: TaskIx) -> Result<(), Ignored> {
        match self.state_of(task)? {
            TaskState::Ready if self.run.paused => Err(Ignored::Paused),
            TaskState::Ready => {
                self.launch(task.0);
                Ok(())
            }
            TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Launching
            | TaskState::Running
            | TaskState::Unreachable
            | TaskState::Retrying
            | TaskState::Recovering(_)
            | TaskState::Asking(_)
            | TaskState::Cancelling(_) => Err(Ignored::WrongState),
            TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => Err(Ignored::AlreadyEnded),
        }
    }

    /// What the attempt is at, if it is the task's last one and has not ended.
    fn work_of(&self, task: TaskIx, attempt: u32) -> Result<Work, Ignored> {
        let at = self.run.tasks.get(task.at()).ok_or(Ignored::NoTask)?;
        if at.attempt != attempt && !at.state.is_final() {
            return Err(Ignored::OldAttempt);
        }
        let is_container = self.run.is_container(task.0);
        match at.state {
            TaskState::Launching => Ok(Work::Launching),
            TaskState::Running if !is_container => Ok(Work::Running),
            TaskState::Unreachable => Ok(Work::Unreachable),
            // While a remedy is being ended the attempt it is for has long ended.
            TaskState::Cancelling(reason) if !is_container && at.held == 0 => {
                Ok(Work::Cancelling(reason))
            }
            TaskState::Running | TaskState::Cancelling(_) if is_container => {
                Err(Ignored::WrongState)
            }
            TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Ready
            | TaskState::Running
            | TaskState::Retrying
            | TaskState::Recovering(_)
            | TaskState::Asking(_)
            | TaskState::Cancelling(_) => Err(Ignored::OldAttempt),
            TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => Err(Ignored::AlreadyEnded),
        }
    }

    fn started(&mut self, task: TaskIx, attempt: u32) -> Result<(), Ignored> {
        match self.work_of(task, attempt)? {
            Work::Launching | Work::Unreachable => {
                self.set(task.0, TaskState::Running, Cause::None);
                Ok(())
            }
            Work::Running | Work::Cancelling(_) => Err(Ignored::NoChange),
        }
    }

    fn unreached(&mut self, task: TaskIx, attempt: u32) -> Result<(), Ignored> {
        match self.work_of(task, attempt)? {
            Work::Launching | Work::Running => {
                self.set(task.0, TaskState::Unreachable, Cause::None);
                Ok(())
            }
            Work::Unreachable | Work::Cancelling(_) => Err(Ignored::NoChange),
        }
    }

    fn not_ended(&mut self, task: TaskIx, attempt: u32) -> Result<(), Ignored> {
        match self.work_of(task, attempt)? {
            Work::Cancelling(_) => {
                self.note(RecordKind::NotEnded, task.0);
                Ok(())
            }
            Work::Launching | Work::Running | Work::Unreachable => Err(Ignored::NoChange),
        }
    }

    fn attempt_ended(
        &mut self,
        task: TaskIx,
        attempt: u32,
        ending: Ending,
        remedy: Option<u32>,
    ) -> Result<(), Ignored> {
        let ix = task.0;
        match (self.work_of(task, attempt)?, ending) {
            (Work::Cancelling(reason), _) => self.cancelled(ix, reason, remedy),
            (Work::Launching | Work::Running | Work::Unreachable, ending) => match ending {
                Ending::Done => self.finish(ix, TaskState::Succeeded, Cause::None),
                Ending::AlreadyDone => self.finish(ix, TaskState::AlreadyDone, Cause::None),
                Ending::Cancelled => self.finish(ix, TaskState::Cancelled, Cause::None),
                Ending::Failed(class) => self.failed(ix, class, remedy),
                Ending::Ask => {
                    self.note(RecordKind::AttemptEnded(TaskState::Succeeded), ix);
                    self.set(ix, TaskState::Asking(Question::Judgement), Cause::None);
                }
            },
        }
        Ok(())
    }

    /// An attempt whose end was asked for has ended.
    fn cancelled(&mut self, ix: u32, reason: CancelReason, remedy: Option<u32>) {
        match reason {
            CancelReason::Timeout => self.failed(ix, ErrorClass::Timeout, remedy),
            CancelReason::Run
            | CancelReason::Kill
            | CancelReason::RunTimeout
            | CancelReason::RunFailing
            | CancelReason::FailFast
            | CancelReason::Rolling
            | CancelReason::Group
            | CancelReason::Late => self.finish(ix, TaskState::Cancelled, reason.cause()),
        }
    }

    fn due(&mut self, task: TaskIx) -> Result<(), Ignored> {
        let at = *self.run.tasks.get(task.at()).ok_or(Ignored::NoTask)?;
        if at.state.is_final() {
            return Err(Ignored::AlreadyEnded);
        }
        let is_late = self.task_late(task.0);
        let begins_batch = self.begin_batch(task.0);
        if at.until == Timestamp::ZERO || at.until > self.now {
            return if is_late || begins_batch { Ok(()) } else { Err(Ignored::NotDue) };
        }
        match self.run.tasks[task.at()].state {
            TaskState::Retrying if self.run.paused && !is_late => return Err(Ignored::Paused),
            TaskState::Retrying if !self.run.paused => self.make_ready(task.0),
            TaskState::Launching
            | TaskState::Running
            | TaskState::Unreachable
            | TaskState::Asking(_) => self.stop(task.0, CancelReason::Timeout),
            TaskState::Cancelling(_) if !is_late => return Err(Ignored::NoChange),
            // It has no time of its own to keep in these states, or was ended for being late just now.
            TaskState::Retrying
            | TaskState::Cancelling(_)
            | TaskState::Waiting
            | TaskState::Deciding
            | TaskState::Ready
            | TaskState::Recovering(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Cancelled
            | TaskState::Lost
            | TaskState::Skipped
            | TaskState::AlreadyDone
            | TaskState::Reused
            | TaskState::Disabled => {}
        }
        Ok(())
    }

    /// Notes that a task is late, once, and ends it if its job says so. Says whether it did.
    fn task_late(&mut self, ix: u32) -> bool {
        let late = self.rules(ix).timing.late;
        if !self.is_late(late, self.run.has_begun(ix)) || !self.run.late.insert(ix) {
            return false;
        }
        self.note(RecordKind::Late, ix);
        if late.then == LateThen::Cancel {
            self.stop(ix, CancelReason::Late);
        }
        true
    }

    fn is_late(&self, late: LateRules, has_begun: bool) -> bool {
        let is_past = |within: Option<Duration>| {
            within.is_some_and(|within| self.run.due_at.plus(within) <= self.now)
        };
        (is_past(late.start_within) && !has_begun) || is_past(late.finish_within)
    }

    fn run_due(&mut self) -> Result<(), Ignored> {
        let late = self.graph.late;
        let is_late =
            self.is_late(late, self.run.started_at.is_some()) && self.run.late.insert(LATE_RUN);
        if is_late {
            self.note_run(RecordKind::Late);
        }
        let limit =
            self.graph.timeout.zip(self.run.started_at).map(|(span, start)| start.plus(span));
        let is_over =
            limit.is_some_and(|limit| limit <= self.now) && self.run.stage < Stage::Outcome;
        let is_ended = (is_over || (is_late && late.then == LateThen::Cancel))
            && self.end_run(CancelReason::RunTimeout).is_ok();
        if is_late || is_ended { Ok(()) } else { Err(Ignored::NotDue) }
    }

    fn answered(&mut self, task: TaskIx, answer: Answer) -> Result<(), Ignored> {
        let state = self.state_of(task)?;
        let TaskState::Asking(question) = state else {
            return Err(self.does_not_fit(task));
        };
        let ix = task.0;
        match (question, answer) {
            (
                Question::Approval
                | Question::Confirm
                | Question::Judgement
                | Question::Unknown
                | Question::Diagnosed(_)
                | Question::Repeated(_)
                | Question::RemedyFailed(_)
                | Question::Remedied(_),
                Answer::Reject,
            ) => self.leave_out(ix, TaskState::Failed, Cause::ByPerson),
            (Question::Approval | Question::Judgement, Answer::Approve | Answer::Continue) => {
                self.finish(ix, TaskState::Succeeded, Cause::ByPerson);
            }
            (Question::Confirm, Answer::Approve) => self.proceed(ix),
            (Question::Approval | Question::Confirm, Answer::Retry)
            | (Question::Confirm, Answer::Continue) => {
                return Err(Ignored::WrongState);
            }
            (
                Question::Diagnosed(remedy)
                | Question::Repeated(remedy)
                | Question::RemedyFailed(remedy),
                Answer::Approve,
            ) => {
                self.approve_remedy(ix, remedy);
            }
            (Question::Unknown | Question::Remedied(_), Answer::Approve)
            | (
                Question::Judgement
                | Question::Unknown
                | Question::Diagnosed(_)
                | Question::Repeated(_)
                | Question::RemedyFailed(_)
                | Question::Remedied(_),
                Answer::Retry,
            ) => self.make_ready(ix),
            (
                Question::Unknown
                | Question::Diagnosed(_)
                | Question::Repeated(_)
                | Question::RemedyFailed(_)
                | Question::Remedied(_),
                Answer::Continue,
            ) => self.finish(ix, TaskState::Succeeded, Cause::ByPerson),
        }
        Ok(())
    }

    fn acted(&mut self, task: TaskIx, act: Act) -> Result<(), Ignored> {
        let state = self.state_of(task)?;
        match (state, act) {
            (
                TaskState::Retrying
                | TaskState::Asking(
                    Question::Judgement
                    | Question::Unknown
                    | Question::Diagnosed(_)
                    | Question::Repeated(_)
                    | Question::RemedyFailed(_)
                    | Question::Remedied(_),
                ),
                Act::RetryNow,
            ) => self.make_ready(task.0),
            (
                TaskState::Waiting
                | TaskState::Deciding
                | TaskState::Ready
                | TaskState::Retrying
                | TaskState::Asking(_),
                act,
            ) => {
                let state = match act {
                    Act::Skip => TaskState::Disabled,
                    Act::Succeed => TaskState::Succeeded,
                    Act::Fail => TaskState::Failed,
                    Act::RetryNow => return Err(Ignored::WrongState),
                };
                self.leave_out(task.0, state, Cause::ByPerson);
            }
            (
                TaskState::Launching
                | TaskState::Running
                | TaskState::Unreachable
                | TaskState::Recovering(_)
                | TaskState::Cancelling(_),
                _,
            ) => return Err(Ignored::AtWork),
            (
                TaskState::Succeeded
                | TaskState::Failed
                | TaskState::TimedOut
                | TaskState::Cancelled
                | TaskState::Lost
                | TaskState::Skipped
                | TaskState::AlreadyDone
                | TaskState::Reused
                | TaskState::Disabled,
                _,
            ) => return Err(Ignored::AlreadyEnded),
        }
        Ok(())
    }

    fn paused(&mut self, is_paused: bool) -> Result<(), Ignored> {
        if self.run.paused == is_paused {
            return Err(Ignored::NoChange);
        }
        if self.run.ending.is_some() {
            return Err(Ignored::RunEnding);
        }
        self.run.paused = is_paused;
        let kind = if is_paused { RecordKind::Paused } else { RecordKind::Resumed };
        self.note_run(kind);
        if !is_paused {
            for ix in 0..self.run.tasks.len() as u32 {
                let task = &self.run.tasks[ix as usize];
                match task.state {
                    TaskState::Ready => self.out.commands.push(Command::Admit { task: TaskIx(ix) }),
                    TaskState::Retrying => {
                        self.out.commands.push(Command::Wake { task: TaskIx(ix), at: task.until });
                    }
                    TaskState::Waiting
                    | TaskState::Deciding
                    | TaskState::Launching
                    | TaskState::Running
                    | TaskState::Unreachable
                    | TaskState::Recovering(_)
                    | TaskState::Asking(_)
                    | TaskState::Cancelling(_)
                    | TaskState::Succeeded
                    | TaskState::Failed
                    | TaskState::TimedOut
                    | TaskState::Cancelled
                    | TaskState::Lost
                    | TaskState::Skipped
                    | TaskState::AlreadyDone
                    | TaskState::Reused
                    | TaskState::Disabled => {}
                }
            }
        }
        Ok(())
    }
}
