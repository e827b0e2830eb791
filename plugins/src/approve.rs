//! `approve`: waits for a person. What the person is asked and may answer is judged by [`weir_core::form`]; the engine
//! keeps the question and the answer, no work is done here.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::form;
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Nature, Plan, PlanContext,
};
use weir_core::outcome::{Outcome, Outputs};
use weir_core::schema::Schema;

use crate::settings;

/// The job type `approve`.
pub struct Approve;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    message: String,
    #[serde(default, rename = "form")]
    _form: Value,
    #[serde(default)]
    approvers: Vec<String>,
}

#[async_trait]
impl JobType for Approve {
    fn name(&self) -> &'static str {
        "approve"
    }

    fn about(&self) -> &'static str {
        "Asks a person, with a form if need be, and goes on when it is approved."
    }

    fn schema(&self) -> Schema {
        let message = Schema::text()
            .not_empty()
            .describe("What the person must know to decide.")
            .example("Format HDFS on {{ params.cluster }}?");
        let form = Schema::map(Schema::object().open())
            .describe(
                "What the person must fill in: names and fields, each with the keys of a flow's parameter (`type`, \
                 `enum`, `default`, `pattern`, `min`, `max`, `description`) and `required` (default true). The \
                 answers are the job's outputs.",
            )
            .example(json!({ "hosts": { "type": "integer", "min": 1, "default": 3 } }));
        let approvers = Schema::list(Schema::text())
            .describe(
                "Who may decide: names of users or groups. Whoever may operate the flow, if empty.",
            )
            .example(json!(["ops", "alice"]));
        Schema::object()
            .required("message", message)
            .optional("form", form)
            .optional("approvers", approvers)
    }

    fn nature(&self) -> Nature {
        Nature::Asks
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        match with.get("form") {
            // Another shape is the schema's to tell.
            Some(Value::Object(_)) => form::fields(with).err().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let mut steps = vec![format!("ask a person: {}", settings.message)];
        for field in form::fields(with).map_err(|faults| bad_form(&faults))? {
            let kind = serde_json::to_value(field.kind).unwrap_or_default();
            let unless = field.default.map(|default| format!(", {default} unless changed"));
            steps.push(format!(
                "  {}: {}{}",
                field.name,
                kind.as_str().unwrap_or_default(),
                unless.unwrap_or_default()
            ));
        }
        if !settings.approvers.is_empty() {
            steps.push(format!("  to be decided by {}", settings.approvers.join(", ")));
        }
        let unknown = vec!["the answer".to_owned()];
        Ok(Plan { steps, unknown, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        settings::read::<Settings>(with, &cx.secrets)?;
        form::fields(with).map_err(|faults| bad_form(&faults))?;
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        Ok(Outcome::Ask { message: settings.message, outputs: Outputs::new() })
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

fn bad_form(faults: &[Fault]) -> JobError {
    let all: Vec<_> =
        faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.message)).collect();
    settings::wrong(format!("the form is wrong: {}", all.join("; ")))
}
