//! Job types of which only the nature counts: the simulated world does their work.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use weir_core::job_type::{AttemptContext, Handle, JobError, JobType, Nature, Plan, PlanContext};
use weir_core::job_types::JobTypes;
use weir_core::outcome::Outcome;
use weir_core::schema::Schema;

struct Made {
    name: &'static str,
    nature: Nature,
}

/// The name of the type that works on hosts.
const ON_HOSTS: &str = "on-hosts";

/// `work` and `command` take a slot, `waits` and `flow` do not, `noop` is over at once, `approve` asks, `on-hosts` works on hosts.
pub(super) fn all() -> JobTypes {
    let types = [
        ("work", Nature::Work),
        ("command", Nature::Work),
        ("waits", Nature::Waits),
        ("flow", Nature::Waits),
        ("noop", Nature::Instant),
        ("approve", Nature::Asks),
        (ON_HOSTS, Nature::Work),
    ];
    JobTypes::new(types.map(|(name, nature)| Arc::new(Made { name, nature }) as Arc<dyn JobType>))
}

#[async_trait]
impl JobType for Made {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &'static str {
        "Made up."
    }

    fn schema(&self) -> Schema {
        Schema::object()
            .optional("in", Schema::text())
            .optional("hosts", Schema::text())
            .optional("script", Schema::text())
            .optional("flow", Schema::text())
            .optional("message", Schema::text())
            .optional("form", Schema::anything())
            .optional("outputs", Schema::map(Schema::anything()))
    }

    fn nature(&self) -> Nature {
        self.nature
    }

    fn works_on_hosts(&self) -> bool {
        self.name == ON_HOSTS
    }

    async fn plan(&self, _with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        Ok(Plan::default())
    }

    async fn start(&self, _with: &Value, _cx: &AttemptContext) -> Result<Handle, JobError> {
        unreachable!("the world does the work")
    }

    async fn follow(
        &self,
        _handle: &Handle,
        _with: &Value,
        _cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        unreachable!("the world does the work")
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        _cx: &AttemptContext,
    ) -> Result<(), JobError> {
        unreachable!("the world does the work")
    }
}
