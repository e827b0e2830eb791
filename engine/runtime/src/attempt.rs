//! An attempt from its start to its end: is it already done, the work, did it really work, what is known of its failure.
//!
//! Everything here may be repeated by another engine after a crash: which part has begun is read from the attempt's
//! folders and its handle, and each part is begun at most once.

mod flight;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::diagnose::compile_pattern;
use weir_core::flow::Output;
use weir_core::ids::AttemptId;
use weir_core::job_type::{AttemptContext, Clock, Handle, JobError, Phase, Processes, Runs};
use weir_core::mask::mask;
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::CancelReason;
use weir_core::time::format_span;

use crate::attempt::flight::Flight;
use crate::diagnosis;
use crate::input::{Found, Input, Order, Work};
use crate::logs;

/// Carries out attempts. Shared by all of them.
pub(crate) struct Attempts {
    pub(crate) home: PathBuf,
    pub(crate) processes: Arc<dyn Processes>,
    pub(crate) runs: Arc<dyn Runs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) report: Box<dyn Fn(Input) + Send + Sync>,
    pub(crate) flights: Mutex<BTreeMap<AttemptId, Arc<Flight>>>,
}

/// How long to wait before work that does not answer is asked again: first, and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long to wait before an end that could not be confirmed is asked for again.
const CANCEL_AGAIN: Duration = Duration::from_secs(5);

/// How long the end of work that has been ended waits for who follows it: the last of its log may come that way.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long a kill goes on asking for an end that can't be confirmed.
const KILL_FOR: Duration = Duration::from_secs(10);

/// What became of asking for an end.
enum End {
    /// Nothing of it is left.
    Confirmed,
    /// Nobody knows whether something of it is left, and why.
    GivenUp(String),
    /// As [`End::GivenUp`], and who asked beside us reports it.
    GivenUpElsewhere,
}

impl Attempts {
    fn flights(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of one part of an attempt.
    pub(crate) fn folder(home: &Path, id: AttemptId, phase: Phase) -> PathBuf {
        let name = format!("{}.{}", id.task.0, id.number);
        let folder = home.join("runs").join(id.run.0.to_string());
        match phase {
            Phase::Work => folder.join(name),
            Phase::Unless => folder.join(format!("{name}.unless")),
            Phase::Verify => folder.join(format!("{name}.verify")),
        }
    }

    /// Sees that the attempt has begun, and follows it to its end. Doing it twice does it once.
    pub(crate) async fn launch(self: Arc<Self>, order: Order) {
        let id = order.id;
        let flight = {
            let mut flights = self.flights();
            if flights.contains_key(&id) {
                return;
            }
            Arc::clone(flights.entry(id).or_insert_with(|| Arc::new(Flight::followed())))
        };
        if let Some(outcome) = self.fly(&order, &flight).await
            && !flight.is_cancelled()
        {
            let found = match &outcome {
                Outcome::Failed(failure) => self.diagnose(&order, failure).await,
                Outcome::Done { .. }
                | Outcome::AlreadyDone { .. }
                | Outcome::Cancelled
                | Outcome::Ask { .. } => None,
            };
            (self.report)(Input::AttemptEnded { id, outcome, found });
        }
        flight.lands();
        self.flights().remove(&id);
    }

    async fn diagnose(&self, order: &Order, failure: &Failure) -> Option<Box<Found>> {
        let folder = Self::folder(&self.home, order.id, Phase::Work);
        diagnosis::of_attempt(order, folder, failure, self.clock.now()).await
    }

    /// `None` if the end was asked for: whoever asked reports the end.
    async fn fly(&self, order: &Order, flight: &Flight) -> Option<Outcome> {
        let has_begun =
            order.handle.is_some() || Self::folder(&self.home, order.id, Phase::Work).exists();
        if let Some(unless) = order.unless.as_ref().filter(|_| !has_begun) {
            match self.part(order, unless, Phase::Unless, None, flight).await? {
                Outcome::Done { outputs, .. } | Outcome::AlreadyDone { outputs } => {
                    return Some(Outcome::AlreadyDone { outputs });
                }
                Outcome::Failed(failure) if failure.class == ErrorClass::Exit => {}
                Outcome::Failed(failure) => {
                    return Some(Outcome::Failed(about("`unless`", failure)));
                }
                Outcome::Cancelled => return Some(Outcome::Cancelled),
                Outcome::Ask { message, .. } => {
                    let failure = Failure::new(
                        ErrorClass::Definition,
                        format!("`unless` can't ask a person: {message}"),
                    );
                    return Some(Outcome::Failed(failure));
                }
            }
        }
        let outcome =
            self.part(order, &order.work, Phase::Work, order.handle.clone(), flight).await?;
        let Outcome::Done { outputs, exit_code } = outcome else { return Some(outcome) };
        let outputs = masked(outputs, order);
        if let Some(verify) = &order.verify {
            match self.part(order, verify, Phase::Verify, None, flight).await? {
                Outcome::Done { .. } | Outcome::AlreadyDone { .. } => {}
                Outcome::Failed(mut failure) => {
                    failure.message = format!(
                        "the work ended well, but `verify` did not hold: {}",
                        failure.message
                    );
                    failure.class = ErrorClass::Verify;
                    return Some(Outcome::Failed(failure));
                }
                Outcome::Cancelled => return Some(Outcome::Cancelled),
                Outcome::Ask { message, .. } => {
                    let failure = Failure::new(
                        ErrorClass::Definition,
                        format!("`verify` can't ask a person: {message}"),
                    );
                    return Some(Outcome::Failed(failure));
                }
            }
        }
        Some(match missing_output(&order.outputs, &outputs) {
            Some(message) => Outcome::Failed(Failure {
                class: ErrorClass::Output,
                exit_code,
                signal: None,
                message,
            }),
            None => Outcome::Done { outputs, exit_code },
        })
    }

    async fn part(
        &self,
        order: &Order,
        work: &Work,
        phase: Phase,
        handle: Option<Handle>,
        flight: &Flight,
    ) -> Option<Outcome> {
        if flight.is_cancelled() {
            return None;
        }
        let cx = self.context(order, work, phase);
        let handle = match handle {
            Some(handle) => handle,
            None => match work.job_type.start(&work.with, &cx).await {
                Ok(handle) => handle,
                Err(failure) => return Some(Outcome::Failed(shown(failure, order))),
            },
        };
        if phase == Phase::Work {
            (self.report)(Input::AttemptStarted { id: order.id, handle: handle.clone() });
        }
        let mut pause = ASK_AGAIN.0;
        loop {
            match work.job_type.follow(&handle, &work.with, &cx).await {
                Ok(Outcome::Failed(failure)) => {
                    return Some(Outcome::Failed(shown(failure, order)));
                }
                Ok(outcome) => return Some(outcome),
                // Whoever asks for the end sees that it comes, reachable or not.
                Err(_) if flight.is_cancelled() => return None,
                Err(failure) if failure.class == ErrorClass::Connection => {
                    // Not into its log: that is the work's own, byte for byte.
                    let why = shown(failure, order).message;
                    (self.report)(Input::AttemptUnreached { id: order.id, why });
                    self.clock.sleep(pause).await;
                    pause = (pause * 2).min(ASK_AGAIN.1);
                    if work.job_type.is_reachable(&handle, &work.with, &cx).await {
                        pause = ASK_AGAIN.0;
                        let handle = match phase {
                            Phase::Work => handle.clone(),
                            Phase::Unless | Phase::Verify => Handle::folder(),
                        };
                        (self.report)(Input::AttemptStarted { id: order.id, handle });
                    }
                }
                Err(failure) => return Some(Outcome::Failed(shown(failure, order))),
            }
        }
    }

    /// Sees that the attempt ends, and never begins if it has not. What took too long has failed, and its log may say
    /// why; what was ended for any other reason is only cancelled. A kill that can't be confirmed gives up in the end,
    /// and says so.
    pub(crate) async fn cancel(self: Arc<Self>, order: Order, reason: CancelReason) {
        let (outcome, found) = match self.end(&order, reason).await {
            End::GivenUpElsewhere => return,
            End::GivenUp(why) => (Outcome::Failed(given_up(&why)), None),
            End::Confirmed => self.ended(&order, reason).await,
        };
        (self.report)(Input::AttemptEnded { id: order.id, outcome, found });
        self.flights().remove(&order.id);
    }

    /// How an attempt has ended whose end was asked for.
    async fn ended(&self, order: &Order, reason: CancelReason) -> (Outcome, Option<Box<Found>>) {
        match reason {
            CancelReason::Timeout => {
                let failure = timed_out(order);
                let found = self.diagnose(order, &failure).await;
                // A log that says that all is well says so of what had ended, not of what did not.
                (Outcome::Failed(failure), found.filter(|found| !found.is_success))
            }
            CancelReason::Run
            | CancelReason::Kill
            | CancelReason::RunTimeout
            | CancelReason::RunFailing
            | CancelReason::FailFast
            | CancelReason::Rolling
            | CancelReason::Group
            | CancelReason::Late => (Outcome::Cancelled, None),
        }
    }

    /// As [`Attempts::cancel`], for an attempt that can't be carried out any more and has failed for that.
    pub(crate) async fn abandon(self: Arc<Self>, order: Order, failure: Failure) {
        if let End::GivenUpElsewhere = self.end(&order, CancelReason::Run).await {
            return;
        }
        let outcome = Outcome::Failed(failure);
        (self.report)(Input::AttemptEnded { id: order.id, outcome, found: None });
        self.flights().remove(&order.id);
    }

    /// Returns when the end of all parts is confirmed, and who follows them has told the last of it; or when a kill has
    /// given up on that.
    async fn end(&self, order: &Order, reason: CancelReason) -> End {
        let begun = self.clock.now();
        let grace = if reason == CancelReason::Kill { Duration::ZERO } else { order.grace };
        let flight = Arc::clone(
            self.flights().entry(order.id).or_insert_with(|| Arc::new(Flight::not_followed())),
        );
        flight.cancel();
        let mut left = None;
        for (phase, work) in [
            (Phase::Unless, order.unless.as_ref()),
            (Phase::Work, Some(&order.work)),
            (Phase::Verify, order.verify.as_ref()),
        ] {
            let Some(work) = work else { continue };
            let mut cx = self.context(order, work, phase);
            cx.grace = grace;
            let handle = order.handle.as_ref().filter(|_| phase == Phase::Work);
            let mut told = String::new();
            while let Err(failure) = work.job_type.cancel(handle, &work.with, &cx).await {
                if flight.is_given_up() {
                    return End::GivenUpElsewhere;
                }
                let why = shown(failure, order).message;
                if why != told {
                    tracing::warn!(attempt = %order.id, "its end can't be confirmed: {why}");
                    (self.report)(Input::AttemptNotEnded { id: order.id, why: why.clone() });
                    told.clone_from(&why);
                }
                if reason == CancelReason::Kill && self.clock.now().since(begun) >= KILL_FOR {
                    left = Some(why);
                    break;
                }
                self.clock.sleep(CANCEL_AGAIN).await;
            }
        }
        if let Some(why) = left {
            return if flight.gives_up() { End::GivenUp(why) } else { End::GivenUpElsewhere };
        }
        tokio::select! {
            () = flight.landed() => {}
            () = self.clock.sleep(LAST_WORDS) => {}
        }
        End::Confirmed
    }

    fn context(&self, order: &Order, work: &Work, phase: Phase) -> AttemptContext {
        let folder = Self::folder(&self.home, order.id, phase);
        AttemptContext {
            id: order.id,
            phase,
            project: order.project.clone(),
            flow: order.flow.clone(),
            path: order.path.clone(),
            log: Arc::new(logs::Writer::new(folder.clone(), Arc::clone(&order.secrets))),
            folder,
            working_dir: order.working_dir.clone(),
            env: order.env.clone(),
            host: work.host.clone(),
            run_as: order.run_as.clone(),
            limits: order.limits.clone(),
            grace: order.grace,
            secrets: Arc::clone(&order.secrets),
            processes: Arc::clone(&self.processes),
            runs: Arc::clone(&self.runs),
            clock: Arc::clone(&self.clock),
        }
    }
}

fn given_up(why: &str) -> Failure {
    let message = format!("its end could not be confirmed, and it may still be at work: {why}");
    Failure::new(ErrorClass::Lost, message)
}

fn timed_out(order: &Order) -> Failure {
    let message = match order.compiled.graph.job(order.job).timing.timeout {
        Some(timeout) => format!("took longer than {}, its timeout", format_span(timeout)),
        None => "took longer than it may".to_owned(),
    };
    Failure::new(ErrorClass::Timeout, message)
}

fn about(what: &str, mut failure: Failure) -> Failure {
    failure.message.insert_str(0, &format!("{what}: "));
    failure
}

fn shown(mut failure: JobError, order: &Order) -> Failure {
    failure.message = mask(&failure.message, &order.secrets);
    failure
}

fn masked(outputs: Outputs, order: &Order) -> Outputs {
    if order.secrets.is_empty() {
        return outputs;
    }
    let text = serde_json::to_string(&outputs).unwrap_or_default();
    let clean = mask(&text, &order.secrets);
    if clean == text { outputs } else { serde_json::from_str(&clean).unwrap_or_default() }
}

/// What is wrong with the outputs, going by what was declared.
fn missing_output(declared: &[Output], outputs: &Outputs) -> Option<String> {
    for output in declared {
        let value = outputs.get(&output.name);
        let text = match value {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        match &output.pattern {
            None if text.is_empty() => {
                return Some(format!("the job ended well but left no output `{}`", output.name));
            }
            None => {}
            Some(pattern) => match compile_pattern(&format!("^(?:{pattern})$")) {
                Ok(matcher) if matcher.is_match(text.as_bytes()) => {}
                Ok(_) => {
                    return Some(format!(
                        "output `{}` is `{text}`, which does not match `{pattern}`",
                        output.name
                    ));
                }
                Err(error) => {
                    return Some(format!(
                        "the pattern of output `{}` can't be read: {error}",
                        output.name
                    ));
                }
            },
        }
    }
    None
}
