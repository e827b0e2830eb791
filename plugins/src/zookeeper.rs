//! `zookeeper`: whether an ensemble serves: one leader, and enough servers that follow it.
//!
//! `ruok` is never asked: a server that has lost its quorum still answers `imok` to it.

mod ask;
mod ensemble;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Nature, Plan, PlanContext,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::{Timestamp, format_span};

use crate::begun::Begun;
use crate::mask;
use crate::settings::{self, Flag, Span};
use crate::ssh::Pool;
use crate::stop::Stops;
use crate::way::{Server, Way};
use ask::Asked;
use ensemble::Ensemble;

/// The pause between two looks if `every` is not said.
const PAUSE: Duration = Duration::from_secs(1);

/// The job type `zookeeper`.
pub struct ZooKeeper {
    pool: Arc<Pool>,
    stops: Stops,
}

impl ZooKeeper {
    /// Asks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Read by the engine, which finds the way.
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    servers: Vec<String>,
    #[serde(default)]
    ask: Asked,
    all: Option<Flag>,
    metrics: Option<Flag>,
    within: Option<Span>,
    every: Option<Span>,
}

impl Settings {
    fn read(with: &Value, cx: &AttemptContext) -> Result<(Self, Vec<Server>), JobError> {
        let settings: Self = settings::read(with, &cx.secrets)?;
        let servers =
            settings.servers().map_err(|why| settings::wrong(mask::hide(&why, &cx.secrets)))?;
        Ok((settings, servers))
    }

    fn servers(&self) -> Result<Vec<Server>, String> {
        let mut servers: Vec<Server> = Vec::new();
        for text in &self.servers {
            let server = Server::parse(text, self.ask.port())?;
            // Whoever is counted twice would make a majority out of a minority.
            if servers.contains(&server) {
                return Err(format!("the server `{server}` stands there twice"));
            }
            servers.push(server);
        }
        if servers.is_empty() { Err("there are no servers to ask".to_owned()) } else { Ok(servers) }
    }

    fn wants_all(&self) -> bool {
        self.all.is_some_and(|flag| flag.0)
    }
}

#[async_trait]
impl JobType for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn about(&self) -> &'static str {
        "Tells whether a ZooKeeper ensemble serves: one leader, and a quorum that follows it."
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn nature(&self) -> Nature {
        Nature::Waits
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let ask = match with.get("ask").and_then(Value::as_str) {
            Some("admin-server") => Asked::AdminServer,
            _ => Asked::Words,
        };
        let servers = with.get("servers").and_then(Value::as_array).map(Vec::as_slice);
        let fixed = |at: usize| settings::fixed(with, &format!("/servers/{at}"));
        let wrong = |at: usize| Server::parse(fixed(at)?, ask.port()).err().map(|why| (at, why));
        (0..servers.unwrap_or_default().len())
            .filter_map(wrong)
            .map(|(at, why)| {
                settings::fault(&format!("/servers/{at}"), why, "write `host` or `host:port`")
            })
            .collect()
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let servers = settings.servers().map_err(settings::wrong)?;
        let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let within = settings.within.map(|within| format!(", at most {}", format_span(within.0)));
        let all = if settings.wants_all() { "all" } else { "a quorum" };
        let from = settings::fixed(with, "/hosts").unwrap_or("here");
        let step = format!(
            "ask {} from {from} whether {all} of them serve{}",
            names.join(", "),
            within.unwrap_or_default()
        );
        Ok(Plan { steps: vec![step], ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        Settings::read(with, cx)?;
        Ok(Begun::now(cx))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let stop = self.stops.watch(cx);
        let (settings, servers) = Settings::read(with, cx)?;
        let begun = Begun::read(handle, "look")?;
        let way = Way::of(cx, &self.pool);
        stop.or(async { Ok(look(&way, &settings, &servers, begun.at, cx).await) }).await
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

/// Looks until the ensemble serves or the time is up; without `within`, once.
async fn look(
    way: &Way,
    settings: &Settings,
    servers: &[Server],
    begun: Timestamp,
    cx: &AttemptContext,
) -> Outcome {
    let deadline = begun.plus(settings.within.map_or(Duration::ZERO, |within| within.0));
    let mut said = String::new();
    loop {
        let ensemble = Ensemble { answers: ask::all(way, servers, settings.ask).await };
        let told = mask::hide(&ensemble.to_string(), &cx.secrets);
        if told != said {
            told.lines().for_each(|line| cx.log.line(line));
            said = told;
        }
        let why = match ensemble.judge(settings.wants_all()) {
            Ok(outputs) => {
                let metrics = match settings.metrics {
                    Some(Flag(true)) => ask::metrics(way, servers, settings.ask).await,
                    _ => Ok(Value::Null),
                };
                return match metrics {
                    Ok(Value::Null) => done(outputs),
                    Ok(metrics) => {
                        let mut outputs = outputs;
                        outputs.insert("metrics".to_owned(), metrics);
                        done(outputs)
                    }
                    Err(why) => Outcome::Failed(Failure::new(ErrorClass::Refused, why)),
                };
            }
            Err(why) => why,
        };
        let now = cx.clock.now();
        if now >= deadline {
            let waited = match settings.within {
                Some(_) => format!("{why} (after {})", format_span(now.since(begun))),
                None => why,
            };
            let class =
                if settings.within.is_some() { ErrorClass::Timeout } else { ErrorClass::Verify };
            return Outcome::Failed(Failure::new(class, mask::hide(&waited, &cx.secrets)));
        }
        let pause = settings.every.map_or(PAUSE, |every| every.0.max(Duration::from_millis(1)));
        cx.clock.sleep(pause.min(deadline.since(now))).await;
    }
}

fn done(outputs: Outputs) -> Outcome {
    Outcome::Done { outputs, exit_code: None }
}

fn schema() -> Schema {
    Schema::object()
        .required(
            "servers",
            Schema::list(Schema::text())
                .describe(
                    "All servers of the ensemble, as `host` or `host:port`: a majority is counted of these. The port \
                     is 2181, or 8080 for the AdminServer, if not said.",
                )
                .example(json!(["10.2.14.11", "10.2.14.12", "10.2.14.13"])),
        )
        .optional(
            "hosts",
            Schema::text()
                .describe("The host of the project that asks, such as a jump box. This machine, if not said.")
                .example("jumpbox"),
        )
        .optional(
            "ask",
            Schema::choice(["words", "admin-server"])
                .default("words")
                .describe(
                    "How they are asked: by the four-letter word `srvr`, which every version answers, or by the \
                     AdminServer's `/commands/srvr` (3.5 and newer).",
                ),
        )
        .optional(
            "all",
            Schema::boolean().default(false).describe("All servers must serve; else a majority will do."),
        )
        .optional(
            "metrics",
            Schema::boolean().default(false).describe(
                "Leaves the numbers of `mntr` of each server as output `metrics`. As a word, `mntr` must be in the \
                 servers' `4lw.commands.whitelist`.",
            ),
        )
        .optional(
            "within",
            Schema::span().describe("How long to keep asking. Once, if not said.").example("1m"),
        )
        .optional("every", Schema::span().default("1s").describe("The pause between two looks."))
        .describe(
            "Asks all servers of an ensemble who leads and who follows. Done if there is one leader and a majority \
             serves. Outputs: `leader`, `followers`, `serving` (a number), `version`, `zxid`, `nodes`.",
        )
}
