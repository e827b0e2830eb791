//! `flow`: runs another flow as a child run.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::job_type::{
    AttemptContext, Handle, JobError, JobType, Nature, Phase, Plan, PlanContext,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome};
use weir_core::schema::Schema;

use crate::settings;

/// The job type `flow`. Its handle is the child run's number.
pub struct Flow;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    flow: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    confirm: Vec<String>,
}

#[async_trait]
impl JobType for Flow {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn about(&self) -> &'static str {
        "Runs another flow as a child run and ends as that ends."
    }

    fn schema(&self) -> Schema {
        let flow = Schema::text()
            .not_empty()
            .describe("The flow: its name in the same project, or `project/flow`.")
            .example("hdfs-format")
            .example("tap/local-dns");
        let params = Schema::map(Schema::anything())
            .describe("Values for its parameters.")
            .example(json!({ "cluster": "{{ params.cluster }}" }));
        let confirm = Schema::list(Schema::text())
            .describe(
                "The words that name what its jobs destroy. What confirmed this run does not confirm the child: it \
                 must be said here.",
            )
            .example(json!(["the namespace of cluster c1"]));
        Schema::object()
            .required("flow", flow)
            .optional("params", params)
            .optional("confirm", confirm)
    }

    fn nature(&self) -> Nature {
        Nature::Waits
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let mut steps = vec![format!("run flow {}", settings.flow)];
        steps.extend(settings.params.iter().map(|(name, value)| format!("  {name}: {value}")));
        let unknown = vec![format!("what {} would do: plan it by itself", settings.flow)];
        Ok(Plan { destroys: settings.confirm, steps, unknown, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        match cx.phase {
            Phase::Work => {}
            Phase::Unless | Phase::Verify => {
                return Err(settings::wrong(
                    "a flow can't be run by `unless` or `verify`: make it a job of its own",
                ));
            }
        }
        let params = Value::Object(settings.params);
        let run = cx.runs.begin(cx.id, &settings.flow, params, settings.confirm).await?;
        cx.log.line(&format!("run {run} of flow {}", settings.flow));
        Ok(Handle(run.to_string()))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let run = child(handle)?;
        let (state, outputs) = cx.runs.wait(run).await?;
        cx.log.line(&format!("run {run} {state}"));
        let flow = settings.flow;
        Ok(match state.as_str() {
            "succeeded" => Outcome::Done { outputs, exit_code: None },
            // Somebody ended it on purpose: to begin it again would be to disobey.
            "cancelled" => {
                let reason = cx.runs.reason(run).await;
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                Outcome::Failed(Failure::new(
                    ErrorClass::Refused,
                    format!("run {run} of flow {flow} was cancelled{why}"),
                ))
            }
            other => {
                let failed = cx.runs.failed_jobs(run).await;
                let which = if failed.is_empty() { "" } else { ": " };
                Outcome::Failed(Failure::new(
                    ErrorClass::Exit,
                    format!("run {run} of flow {flow} {other}{which}{}", failed.join(", ")),
                ))
            }
        })
    }

    async fn cancel(
        &self,
        handle: Option<&Handle>,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        let run = match handle {
            Some(handle) => Some(child(handle)?),
            None => cx.runs.child_of(cx.id).await,
        };
        match run {
            Some(run) => cx.runs.cancel(run).await,
            None => Ok(()),
        }
    }
}

fn child(handle: &Handle) -> Result<i64, JobError> {
    handle.0.parse().map_err(|_| {
        JobError::new(ErrorClass::Internal, format!("`{}` is no number of a run", handle.0))
    })
}
