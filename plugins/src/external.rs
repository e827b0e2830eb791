//! Job types that are executables of their own and speak JSON-RPC over their standard input and output. How to write
//! one stands in `docs/external-job-types.md`.
//!
//! Each call is a process of its own ([`call`]): nothing is kept between calls, so that a restart of the engine or a
//! crash of the executable loses nothing but a call.

mod call;
mod find;
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_core::job_type::{
    AttemptContext, Handle, JobError, JobType, Nature, Phase, Plan, PlanContext,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;

use crate::stop::Stops;
use crate::{mask, settings};
use call::{Call, Wrong};

pub use find::{Problem, external, external_within};

/// How often a follow that broke is begun in all before the outcome counts as unknown.
const FOLLOWS: u32 = 3;

/// The longest handle an executable may give, in bytes: the engine keeps 4 KiB with what is around it.
const LONGEST_HANDLE: usize = 3 << 10;

/// How long calls may take. A `follow` may take as long as its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For `describe`.
    pub describe: Duration,
    /// For `plan`.
    pub plan: Duration,
    /// For `start`.
    pub start: Duration,
    /// For `cancel`, beyond the job's grace.
    pub cancel: Duration,
    /// From the answer to the end of the process.
    pub leave: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            describe: Duration::from_secs(10),
            plan: Duration::from_secs(30),
            start: Duration::from_mins(1),
            cancel: Duration::from_mins(1),
            leave: Duration::from_secs(2),
        }
    }
}

/// A job type that an executable carries out.
struct External {
    program: PathBuf,
    name: String,
    about: String,
    schema: Schema,
    nature: Nature,
    bounds: Bounds,
    stops: Stops,
}

/// What stands in the engine's handle.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Begun {
    /// It began, and this is how the executable finds it.
    Handle(String),
    /// Nobody knows whether it began: why.
    Unclear(String),
}

impl Begun {
    fn into_handle(self) -> Handle {
        Handle(serde_json::to_string(&self).expect("texts are JSON"))
    }
}

/// The answer to `start`.
#[derive(Deserialize)]
#[serde(expecting = "an object with a `handle`")]
struct Started {
    handle: String,
}

/// The answer to `follow`: an outcome in which all but its kind may be left out.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", expecting = "an object with a `kind`")]
enum Ended {
    Done {
        #[serde(default)]
        outputs: Outputs,
        exit_code: Option<i32>,
    },
    AlreadyDone {
        #[serde(default)]
        outputs: Outputs,
    },
    Failed {
        class: Option<ErrorClass>,
        exit_code: Option<i32>,
        message: String,
    },
    Cancelled,
    Ask {
        message: String,
        #[serde(default)]
        outputs: Outputs,
    },
}

/// The answer to `plan`.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object with `steps`")]
struct Planned {
    destroys: Vec<String>,
    steps: Vec<String>,
    diffs: Vec<String>,
    unknown: Vec<String>,
}

#[async_trait]
impl JobType for External {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn nature(&self) -> Nature {
        self.nature
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let context =
            json!({ "path": cx.path, "working_dir": cx.working_dir, "env": variables(&cx.env) });
        let params = json!({ "with": with, "context": context });
        let call =
            Call { program: &self.program, log: None, secrets: &[], leave: self.bounds.leave };
        let answer = call.make("plan", &params, Some(self.bounds.plan)).await;
        let answer = answer.map_err(|wrong| self.failure(wrong, ErrorClass::Internal))?;
        let Planned { destroys, steps, diffs, unknown } =
            serde_json::from_value(answer).map_err(|error| self.misread("plan", &error))?;
        Ok(Plan { destroys, steps, diffs, unknown })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        if cx.run_as.is_some() {
            return Err(settings::wrong(format!(
                "`{}` works as Weir's own user and can't change to another: take `run-as` away",
                self.name
            )));
        }
        let made = tokio::fs::create_dir_all(&cx.folder).await;
        made.map_err(|error| {
            let folder = cx.folder.display();
            JobError::new(ErrorClass::Internal, format!("{folder} can't be made: {error}"))
        })?;
        let params = params(with, None, cx);
        let answer = self.call(cx).make("start", &params, Some(self.bounds.start)).await;
        let unclear = |why: String| Ok(Begun::Unclear(mask::hide(&why, &cx.secrets)).into_handle());
        match answer {
            Ok(answer) => match serde_json::from_value::<Started>(answer) {
                Ok(Started { handle }) if handle.len() > LONGEST_HANDLE => {
                    unclear(format!("`{}` answered `start` with a handle beyond 3 KiB", self.name))
                }
                Ok(Started { handle }) => Ok(Begun::Handle(handle).into_handle()),
                Err(error) => unclear(self.misread("start", &error).message),
            },
            // It may well have begun before the answer got lost: whoever decides on another attempt must know.
            Err(Wrong::Silent(why)) => unclear(format!("`{}` {why}", self.name)),
            Err(wrong @ (Wrong::NotBegun(_) | Wrong::Refused { .. })) => {
                Err(self.failure(wrong, ErrorClass::Refused))
            }
        }
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let stop = self.stops.watch(cx);
        let handle = match begun(handle)? {
            Begun::Handle(handle) => handle,
            Begun::Unclear(why) => {
                return Ok(Outcome::Failed(Failure::new(ErrorClass::UnknownOutcome, why)));
            }
        };
        stop.or(self.follow_on(&handle, with, cx)).await
    }

    async fn cancel(
        &self,
        handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        let handle = match handle.map(begun).transpose()? {
            Some(Begun::Handle(handle)) => Some(handle),
            Some(Begun::Unclear(_)) | None => None,
        };
        let params = params(with, handle.as_deref(), cx);
        let patience = self.bounds.cancel.saturating_add(cx.grace);
        let answer = self.call(cx).make("cancel", &params, Some(patience)).await;
        answer.map_err(|wrong| self.failure(wrong, ErrorClass::Internal))?;
        self.stops.stop(cx);
        Ok(())
    }
}

impl External {
    fn call<'a>(&'a self, cx: &'a AttemptContext) -> Call<'a> {
        Call {
            program: &self.program,
            log: Some(&*cx.log),
            secrets: &cx.secrets,
            leave: self.bounds.leave,
        }
    }

    /// Follows, again if need be, until there is an outcome.
    async fn follow_on(
        &self,
        handle: &str,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let params = params(with, Some(handle), cx);
        let mut follows = 1;
        loop {
            let why = match self.call(cx).make("follow", &params, None).await {
                Ok(answer) => match serde_json::from_value::<Ended>(answer) {
                    Ok(ended) => return Ok(judge(ended, cx)),
                    Err(error) => self.misread("follow", &error).message,
                },
                Err(wrong @ Wrong::Refused { .. }) => {
                    return Err(self.failure(wrong, ErrorClass::Internal));
                }
                Err(Wrong::NotBegun(why) | Wrong::Silent(why)) => format!("`{}` {why}", self.name),
            };
            let why = mask::hide(&why, &cx.secrets);
            if follows >= FOLLOWS {
                return Ok(Outcome::Failed(Failure::new(ErrorClass::UnknownOutcome, why)));
            }
            cx.log.line(&format!("{why}; follows again"));
            cx.clock.sleep(Duration::from_secs(u64::from(follows))).await;
            follows += 1;
        }
    }

    /// A call that went wrong, as the engine wants to know it. `default` is for an error without a class.
    fn failure(&self, wrong: Wrong, default: ErrorClass) -> JobError {
        let name = &self.name;
        match wrong {
            Wrong::NotBegun(why) | Wrong::Silent(why) => {
                JobError::new(ErrorClass::Internal, format!("`{name}` {why}"))
            }
            Wrong::Refused { class, message } => JobError::new(class.unwrap_or(default), message),
        }
    }

    fn misread(&self, method: &str, error: &serde_json::Error) -> JobError {
        let message = format!("`{}` answered `{method}` with something else: {error}", self.name);
        JobError::new(ErrorClass::Internal, message)
    }
}

fn begun(handle: &Handle) -> Result<Begun, JobError> {
    serde_json::from_str(&handle.0).map_err(|_| {
        JobError::new(ErrorClass::Internal, "this is no handle of an external job type")
    })
}

/// The outcome, without secrets in what is kept of it.
fn judge(ended: Ended, cx: &AttemptContext) -> Outcome {
    let kept = match &ended {
        Ended::Done { outputs, .. }
        | Ended::AlreadyDone { outputs }
        | Ended::Ask { outputs, .. } => serde_json::to_string(outputs).expect("outputs are JSON"),
        Ended::Failed { .. } | Ended::Cancelled => String::new(),
    };
    if let Some(secret) = mask::find(&kept, &cx.secrets) {
        let why =
            format!("an output holds the secret `{}`: outputs are kept and shown", secret.name());
        return Outcome::Failed(Failure::new(ErrorClass::Output, why));
    }
    match ended {
        Ended::Done { outputs, exit_code } => Outcome::Done { outputs, exit_code },
        Ended::AlreadyDone { outputs } => Outcome::AlreadyDone { outputs },
        Ended::Failed { class, exit_code, message } => Outcome::Failed(Failure {
            class: class.unwrap_or(ErrorClass::Exit),
            exit_code,
            signal: None,
            message: mask::hide(&message, &cx.secrets),
        }),
        Ended::Cancelled => Outcome::Cancelled,
        Ended::Ask { message, outputs } => {
            Outcome::Ask { message: mask::hide(&message, &cx.secrets), outputs }
        }
    }
}

/// What `start`, `follow` and `cancel` are told. Goes over standard input only: there are secrets in it.
fn params(with: &Value, handle: Option<&str>, cx: &AttemptContext) -> Value {
    let phase = match cx.phase {
        Phase::Unless => "unless",
        Phase::Work => "work",
        Phase::Verify => "verify",
    };
    json!({
        "with": with,
        "handle": handle,
        "context": {
            "attempt": cx.id.to_string(),
            "run": cx.id.run.0,
            "number": cx.id.number,
            "phase": phase,
            "project": cx.project,
            "flow": cx.flow,
            "path": cx.path,
            "folder": cx.folder,
            "working_dir": cx.working_dir,
            "env": variables(&cx.env),
            "grace_ms": cx.grace.as_millis() as u64,
        },
    })
}

fn variables(env: &[(String, String)]) -> Map<String, Value> {
    env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// Where an executable is at home: it is started there.
fn home(program: &Path) -> &Path {
    program.parent().unwrap_or(Path::new("/"))
}
