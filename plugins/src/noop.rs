//! `noop`: does nothing. A place for many needs to meet, and for outputs worked out from others.

use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::job_type::{AttemptContext, Handle, JobError, JobType, Nature, Plan, PlanContext};
use weir_core::outcome::Outcome;
use weir_core::schema::Schema;

/// The job type `noop`.
pub struct Noop;

#[async_trait]
impl JobType for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn about(&self) -> &'static str {
        "Does nothing, and leaves the outputs it is given."
    }

    fn schema(&self) -> Schema {
        let outputs = Schema::map(Schema::anything())
            .describe("Names and values to leave behind.")
            .example(json!({ "total": "{{ jobs.count.outputs.lines }}" }));
        Schema::object().optional("outputs", outputs)
    }

    fn nature(&self) -> Nature {
        Nature::Instant
    }

    async fn plan(&self, _with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        Ok(Plan { steps: vec!["do nothing".to_owned()], ..Plan::default() })
    }

    async fn start(&self, _with: &Value, _cx: &AttemptContext) -> Result<Handle, JobError> {
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        _cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let outputs = with.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Outcome::Done { outputs: outputs.into_iter().collect(), exit_code: None })
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        _cx: &AttemptContext,
    ) -> Result<(), JobError> {
        Ok(())
    }
}
