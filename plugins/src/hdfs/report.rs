//! `hdfs.report`: what the active name node tells of its file system, and whether that is enough.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Nature, Plan, PlanContext,
};
use weir_core::outcome::{Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::format_span;

use super::names::{self, NameNodes, Watched};
use super::web::Cluster;
use crate::begun::Begun;
use crate::settings::{self, Flag, Span, Whole};
use crate::ssh::Pool;
use crate::stop::Stops;
use crate::way::{Server, Way};

/// The job type `hdfs.report`.
pub struct Report {
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
    live_nodes: Option<Whole>,
    #[serde(default)]
    no_missing_blocks: Flag,
    cluster_id: Option<String>,
    within: Option<Span>,
    every: Option<Span>,
}

/// What the active name node tells.
pub(super) struct Facts {
    /// It, as `host:port`.
    pub(super) node: String,
    /// Why it is in safe mode; empty if it is not.
    pub(super) safe_mode: String,
    pub(super) live_nodes: i64,
    pub(super) missing_blocks: i64,
    cluster: String,
    outputs: Outputs,
}

/// Asks the active name node.
///
/// # Errors
/// There is none, or it does not tell all of it yet.
pub(super) async fn facts(cluster: &Cluster) -> Result<Facts, String> {
    let mut told = Vec::new();
    for node in cluster.nodes() {
        match state(cluster, node).await {
            Ok(state) if state == "active" => match read(cluster, node).await {
                Ok(facts) => return Ok(facts),
                Err(why) => told.push(why),
            },
            Ok(state) => told.push(format!("{node} is {state}")),
            Err(why) => told.push(why),
        }
    }
    let why = told.join("; ");
    Err(if told.len() > 1 { format!("no name node is active: {why}") } else { why })
}

async fn state(cluster: &Cluster, node: &Server) -> Result<String, String> {
    let status = bean(cluster, node, "NameNodeStatus").await?;
    Ok(status["State"].as_str().unwrap_or("of an unknown state").to_owned())
}

async fn bean(cluster: &Cluster, node: &Server, name: &str) -> Result<Value, String> {
    let bean = cluster.bean(node, name).await.map_err(|trouble| trouble.to_string())?;
    bean.ok_or_else(|| format!("{node} is starting: it does not tell its {name} yet"))
}

async fn read(cluster: &Cluster, node: &Server) -> Result<Facts, String> {
    let info = bean(cluster, node, "NameNodeInfo").await?;
    let system = bean(cluster, node, "FSNamesystemState").await?;
    let text = |bean: &Value, name: &str| bean[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| system[name].as_i64().unwrap_or_default();
    let missing_blocks = info["NumberOfMissingBlocks"].as_i64().unwrap_or_default();
    let mut outputs = Outputs::new();
    let mut add = |name: &str, value: Value| outputs.insert(name.to_owned(), value);
    add("name_node", node.to_string().into());
    add("cluster", text(&info, "ClusterId").into());
    add("block_pool", text(&info, "BlockPoolId").into());
    add("version", info["SoftwareVersion"].as_str().or(info["Version"].as_str()).into());
    add("safemode", if text(&info, "Safemode").is_empty() { "off" } else { "on" }.into());
    for (name, field) in [
        ("live_nodes", "NumLiveDataNodes"),
        ("dead_nodes", "NumDeadDataNodes"),
        ("stale_nodes", "NumStaleDataNodes"),
        ("blocks", "BlocksTotal"),
        ("under_replicated_blocks", "UnderReplicatedBlocks"),
        ("capacity", "CapacityTotal"),
        ("used", "CapacityUsed"),
        ("remaining", "CapacityRemaining"),
    ] {
        add(name, number(field).into());
    }
    add("missing_blocks", missing_blocks.into());
    // Mappings as JSON in a text, by name (and port, from 2.7 on).
    for (name, field) in [("live", "LiveNodes"), ("dead", "DeadNodes")] {
        let nodes: Value = serde_json::from_str(&text(&info, field)).unwrap_or_default();
        let names: Vec<&str> =
            nodes.as_object().into_iter().flatten().map(|(name, _)| bare(name)).collect();
        add(name, json!(names));
    }
    Ok(Facts {
        node: node.to_string(),
        safe_mode: text(&info, "Safemode"),
        live_nodes: number("NumLiveDataNodes"),
        missing_blocks,
        cluster: text(&info, "ClusterId"),
        outputs,
    })
}

/// A data node's name without its port.
fn bare(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => name,
    }
}

struct Look<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
}

#[async_trait]
impl Watched for Look<'_> {
    async fn look(&self) -> Result<Outputs, String> {
        let facts = facts(self.cluster).await?;
        let wanted = self.settings.live_nodes.map_or(0, |wanted| wanted.0);
        if facts.live_nodes < wanted {
            let live = facts.outputs["live"].as_array().map_or_else(String::new, |names| {
                names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            });
            return Err(format!(
                "{} of {wanted} data nodes are live{}{live}",
                facts.live_nodes,
                if live.is_empty() { "" } else { ": " }
            ));
        }
        if self.settings.no_missing_blocks.0 && facts.missing_blocks > 0 {
            return Err(format!("{} blocks are missing", facts.missing_blocks));
        }
        if let Some(wanted) = &self.settings.cluster_id
            && *wanted != facts.cluster
        {
            return Err(format!(
                "{} is of the cluster {}, not of {wanted}",
                facts.node, facts.cluster
            ));
        }
        Ok(facts.outputs)
    }
}

impl Report {
    /// Asks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }
}

#[async_trait]
impl JobType for Report {
    fn name(&self) -> &'static str {
        "hdfs.report"
    }

    fn about(&self) -> &'static str {
        "Asks the active name node how its file system is, and whether that is enough."
    }

    fn schema(&self) -> Schema {
        names::schema(Schema::object())
            .optional(
                "live-nodes",
                Schema::integer().minimum(0).describe("At least so many data nodes must be live.").example(3),
            )
            .optional(
                "no-missing-blocks",
                Schema::boolean().default(false).describe("No block may be missing."),
            )
            .optional("cluster-id", Schema::text().describe("The cluster that it must be."))
            .optional(
                "within",
                Schema::span().describe("How long to keep asking. Once, if not said.").example("2m"),
            )
            .optional("every", Schema::span().default("1s").describe("The pause between two looks."))
            .describe(
                "Outputs: `name_node` (the active one), `cluster`, `block_pool`, `version`, `safemode`, `live` and `dead` \
                 (names), `live_nodes`, `dead_nodes`, `stale_nodes`, `blocks`, `missing_blocks`, `under_replicated_blocks`, \
                 `capacity`, `used` and `remaining` (bytes).",
            )
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
        let cluster = settings.name_node.cluster(Way::Here, None)?;
        let live =
            settings.live_nodes.map(|live| format!(" and whether {} data nodes are live", live.0));
        let within = settings.within.map(|within| format!(", at most {}", format_span(within.0)));
        let step = format!(
            "ask {} how it is{}{}",
            cluster.names(),
            live.unwrap_or_default(),
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
        let begun = Begun::read(handle, "look")?;
        let look = Look { cluster: &cluster, settings: &settings };
        stop.or(async {
            Ok(names::watch(&look, begun.at, settings.within, settings.every, true, cx).await)
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
