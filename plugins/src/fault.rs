//! `test`: fails, hangs, gets lost and asks as its settings say. Starts no process; its time is the engine's clock.
//!
//! Only where faults are allowed: the engine refuses it otherwise ([`Nature::Fault`]).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_core::job_type::{AttemptContext, Handle, JobError, JobType, Nature, Plan, PlanContext};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::Timestamp;

use crate::settings::{self, Flag, Span, Whole};
use crate::stop::Stops;

/// The job type `test`.
#[derive(Default)]
pub struct Test {
    stops: Stops,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    start_error: Option<ErrorClass>,
    run_for: Span,
    exit: Whole,
    fail_times: Option<Whole>,
    class: Option<ErrorClass>,
    lost: Flag,
    hang: Flag,
    unreachable_for: Span,
    log: Vec<String>,
    log_bytes: Whole,
    outputs: Map<String, Value>,
    ignore_cancel_for: Span,
    cancel_error: Flag,
    unknown_outcome: Flag,
    already_done: Flag,
    ask: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let none = Span(std::time::Duration::ZERO);
        Self {
            start_error: None,
            run_for: none,
            exit: Whole(0),
            fail_times: None,
            class: None,
            lost: Flag(false),
            hang: Flag(false),
            unreachable_for: none,
            log: Vec::new(),
            log_bytes: Whole(0),
            outputs: Map::new(),
            ignore_cancel_for: none,
            cancel_error: Flag(false),
            unknown_outcome: Flag(false),
            already_done: Flag(false),
            ask: None,
        }
    }
}

impl Settings {
    /// Whether attempt `number` fails, and as what.
    fn failure(&self, number: u32) -> Option<Failure> {
        let fails = match self.fail_times {
            Some(times) => i64::from(number) <= times.0,
            None => self.exit.0 != 0 || self.class.is_some(),
        };
        if !fails {
            return None;
        }
        let class = self.class.unwrap_or(ErrorClass::Exit);
        let code = match class {
            ErrorClass::Exit if self.exit.0 == 0 => Some(1),
            _ if self.exit.0 == 0 => None,
            _ => i32::try_from(self.exit.0).ok(),
        };
        let message = match code {
            Some(code) => format!("ended with code {code}, as it was told to"),
            None => format!("{}, as it was told to", class.name()),
        };
        Some(Failure { class, exit_code: code, signal: None, message })
    }
}

/// When the work began: outlives the engine in the handle.
#[derive(Serialize, Deserialize)]
struct Begun {
    at: Timestamp,
}

#[async_trait]
impl JobType for Test {
    fn name(&self) -> &'static str {
        "test"
    }

    fn about(&self) -> &'static str {
        "Fails as it is told to."
    }

    fn schema(&self) -> Schema {
        let class = |about: &str| {
            Schema::choice(ErrorClass::ALL.into_iter().map(ErrorClass::name)).describe(about)
        };
        let span = |about: &str| Schema::span().default("0").describe(about);
        let flag = |about: &str| Schema::boolean().default(false).describe(about);
        let count = |about: &str| Schema::integer().minimum(0).describe(about);
        Schema::object()
            .optional("start-error", class("It does not begin, with this class of failure."))
            .optional("run-for", span("How long it works."))
            .optional("exit", Schema::integer().default(0).describe("The code it ends with."))
            .optional(
                "fail-times",
                count("Only attempts up to this number fail (by `exit`, or 1, and `class`)."),
            )
            .optional("class", class("The class of its failure; `exit` if not said."))
            .optional("lost", flag("Nobody sees how it ends."))
            .optional("hang", flag("It never ends by itself."))
            .optional("unreachable-for", span("So long after its start nobody can tell how it is."))
            .optional("log", Schema::list(Schema::text()).describe("Lines for its log."))
            .optional(
                "log-bytes",
                count("So many bytes more for its log, in lines of 100.").default(0),
            )
            .optional("outputs", Schema::map(Schema::anything()).describe("What it leaves behind."))
            .optional("ignore-cancel-for", span("How long it goes on when asked to end."))
            .optional("cancel-error", flag("Its end can't be confirmed."))
            .optional("unknown-outcome", flag("No answer came: it may or may not have been done."))
            .optional("already-done", flag("There was nothing to do."))
            .optional("ask", Schema::text().describe("It ends by asking a person this."))
    }

    fn nature(&self) -> Nature {
        Nature::Fault
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        settings::read::<Settings>(with, &[])?;
        Ok(Plan { steps: vec![format!("pretend: {with}")], ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        if let Some(class) = settings.start_error {
            return Err(JobError::new(class, "did not begin, as it was told to"));
        }
        let begun = Begun { at: cx.clock.now() };
        Ok(Handle(serde_json::to_string(&begun).expect("a time is JSON")))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let begun: Begun = serde_json::from_str(&handle.0).map_err(|_| {
            JobError::new(ErrorClass::Internal, format!("`{}` is no handle of a test", handle.0))
        })?;
        let stop = self.stops.watch(cx);
        if cx.clock.now() < begun.at.plus(settings.unreachable_for.0) {
            return Err(JobError::new(ErrorClass::Connection, "unreachable, as it was told to be"));
        }
        for line in &settings.log {
            cx.log.line(line);
        }
        let mut left = usize::try_from(settings.log_bytes.0).unwrap_or(0);
        while left > 0 {
            let line = left.min(100);
            cx.log.line(&"x".repeat(line - 1));
            left -= line;
        }
        let work = async {
            if settings.hang.0 {
                std::future::pending::<()>().await;
            }
            let due = begun.at.plus(settings.run_for.0);
            while cx.clock.now() < due {
                cx.clock.sleep(due.since(cx.clock.now())).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.asked() => return Ok(Outcome::Cancelled),
            () = work => {}
        }
        if settings.lost.0 {
            return Ok(Outcome::Failed(Failure::new(
                ErrorClass::Lost,
                "lost, as it was told to be",
            )));
        }
        if settings.unknown_outcome.0 {
            return Ok(Outcome::Failed(Failure::new(
                ErrorClass::UnknownOutcome,
                "no answer, as it was told to",
            )));
        }
        if let Some(failure) = settings.failure(cx.id.number) {
            return Ok(Outcome::Failed(failure));
        }
        let outputs: Outputs = settings.outputs.into_iter().collect();
        Ok(match settings.ask {
            Some(message) => Outcome::Ask { message, outputs },
            None if settings.already_done.0 => Outcome::AlreadyDone { outputs },
            None => Outcome::Done { outputs, exit_code: Some(0) },
        })
    }

    async fn is_reachable(&self, handle: &Handle, with: &Value, cx: &AttemptContext) -> bool {
        let settings = settings::read::<Settings>(with, &cx.secrets);
        let begun = serde_json::from_str::<Begun>(&handle.0);
        settings.is_ok_and(|settings| {
            begun.is_ok_and(|begun| cx.clock.now() >= begun.at.plus(settings.unreachable_for.0))
        })
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        if !settings.ignore_cancel_for.0.is_zero() {
            cx.clock.sleep(settings.ignore_cancel_for.0).await;
        }
        if settings.cancel_error.0 {
            return Err(JobError::new(ErrorClass::Internal, "would not end, as it was told"));
        }
        self.stops.stop(cx);
        Ok(())
    }
}
