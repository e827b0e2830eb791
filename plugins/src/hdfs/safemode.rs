//! `hdfs.safemode`: waits until the active name node is out of safe mode, or in it. It never makes it leave: blocks may
//! be missing.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Nature, Plan, PlanContext,
};
use weir_core::outcome::{Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::format_span;

use super::names::{self, NameNodes, Watched};
use super::report::{Facts, facts};
use super::web::Cluster;
use crate::begun::Begun;
use crate::settings::{self, Span};
use crate::ssh::Pool;
use crate::stop::Stops;
use crate::way::Way;

/// The job type `hdfs.safemode`.
pub struct Safemode {
    pool: Arc<Pool>,
    stops: Stops,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Read by the engine, which finds the way.
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    name_node: NameNodes,
    #[serde(default)]
    wait: Wait,
    within: Option<Span>,
    every: Option<Span>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wait {
    #[default]
    Leave,
    Enter,
}

struct Look<'a> {
    cluster: &'a Cluster,
    wait: Wait,
}

#[async_trait]
impl Watched for Look<'_> {
    async fn look(&self) -> Result<Outputs, String> {
        let facts = facts(self.cluster).await?;
        let is_right = match self.wait {
            Wait::Leave => facts.safe_mode.is_empty(),
            Wait::Enter => !facts.safe_mode.is_empty(),
        };
        if is_right { Ok(outputs(&facts)) } else { Err(why(&facts)) }
    }
}

fn why(facts: &Facts) -> String {
    if facts.safe_mode.is_empty() {
        return format!("{} is not in safe mode", facts.node);
    }
    let first = facts.safe_mode.lines().next().unwrap_or_default().trim();
    format!(
        "{} is in safe mode with {} live data nodes and {} missing blocks: {first}",
        facts.node, facts.live_nodes, facts.missing_blocks
    )
}

fn outputs(facts: &Facts) -> Outputs {
    let safemode = if facts.safe_mode.is_empty() { "off" } else { "on" };
    [
        ("name_node".to_owned(), Value::from(facts.node.as_str())),
        ("safemode".to_owned(), safemode.into()),
    ]
    .into()
}

impl Safemode {
    /// Asks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }
}

#[async_trait]
impl JobType for Safemode {
    fn name(&self) -> &'static str {
        "hdfs.safemode"
    }

    fn about(&self) -> &'static str {
        "Waits until HDFS has left its safe mode. It is never made to leave."
    }

    fn schema(&self) -> Schema {
        names::schema(Schema::object())
            .optional(
                "wait",
                Schema::choice(["leave", "enter"])
                    .default("leave")
                    .describe("What is waited for: that it is out of safe mode, or in it."),
            )
            .optional(
                "within",
                Schema::span()
                    .describe("How long to wait. Without: until the job's `timeout`.")
                    .example("5m"),
            )
            .optional(
                "every",
                Schema::span().default("1s").describe("The pause between two looks."),
            )
            .describe("Outputs: `name_node` (the active one), `safemode`.")
    }

    fn nature(&self) -> Nature {
        Nature::Waits
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        names::check(with)
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let what = match settings.wait {
            Wait::Leave => "has left",
            Wait::Enter => "is in",
        };
        let within = settings.within.map(|within| format!(", at most {}", format_span(within.0)));
        let cluster = settings.name_node.cluster(Way::Here, None)?;
        let step = format!(
            "wait until {} {what} its safe mode{}",
            cluster.names(),
            within.unwrap_or_default()
        );
        Ok(Plan { steps: vec![step], ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        settings.name_node.cluster(Way::of(cx, &self.pool), None)?;
        Ok(Begun::now(cx))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let stop = self.stops.watch(cx);
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let cluster = settings.name_node.cluster(Way::of(cx, &self.pool), None)?;
        let begun = Begun::read(handle, "wait")?;
        let look = Look { cluster: &cluster, wait: settings.wait };
        stop.or(async {
            Ok(names::watch(&look, begun.at, settings.within, settings.every, false, cx).await)
        })
        .await
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        self.stops.stop(cx);
        Ok(())
    }
}
