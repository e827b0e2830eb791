//! What all job types that ask a running HDFS are told: which name nodes there are, who asks, and from where.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{AttemptContext, Fault, JobError};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::{Timestamp, format_span};

use super::web::Cluster;
use crate::mask;
use crate::settings::{self, OneOrMany, Span};
use crate::way::{Server, Way};

/// Where a name node answers over HTTP, up to Hadoop 2.
pub(super) const PORT: u16 = 50070;
/// The pause between two looks if `every` is not said.
const PAUSE: Duration = Duration::from_secs(1);

/// The setting `name-node`.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct NameNodes(OneOrMany<String>);

impl NameNodes {
    /// What is asked, and by whom.
    ///
    /// # Errors
    /// [`ErrorClass::Definition`]: one of them is no server.
    pub(super) fn cluster(&self, way: Way, user: Option<&str>) -> Result<Cluster, JobError> {
        let mut nodes: Vec<Server> = Vec::new();
        for text in self.0.clone().into_vec() {
            let node = Server::parse(&text, PORT).map_err(settings::wrong)?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            return Err(settings::wrong("there is no name node to ask"));
        }
        Ok(Cluster::new(way, nodes, user.unwrap_or("hdfs")))
    }
}

/// Adds the settings that all of them have.
pub(super) fn schema(own: Schema) -> Schema {
    own.required(
        "name-node",
        Schema::one_of([Schema::text(), Schema::list(Schema::text())])
            .describe(
                "The name node, as `host` or `host:port`; of several the active one is found. The port is that of its \
                 pages, 50070 if not said (9870 from Hadoop 3 on).",
            )
            .example("10.2.14.11")
            .example(json!(["master1:50070", "master2:50070"])),
    )
    .optional(
        "hosts",
        Schema::text()
            .describe(
                "The host of the project that asks, such as a jump box: names mean there what they mean to it. This \
                 machine, if not said.",
            )
            .example("jumpbox"),
    )
}

/// Adds who asks.
pub(super) fn with_user(own: Schema) -> Schema {
    own.optional(
        "user",
        Schema::text()
            .default("hdfs")
            .describe("The user of HDFS that asks (simple authentication)."),
    )
}

/// What is wrong with the name nodes.
pub(super) fn check(with: &Value) -> Vec<Fault> {
    let one = settings::fixed(with, "/name-node").map(|text| ("/name-node".to_owned(), text));
    let many = with.get("name-node").and_then(Value::as_array).map_or(0, Vec::len);
    let pointers: Vec<String> = (0..many).map(|at| format!("/name-node/{at}")).collect();
    let many = pointers
        .iter()
        .filter_map(|pointer| Some((pointer.clone(), settings::fixed(with, pointer)?)));
    one.into_iter()
        .chain(many)
        .filter_map(|(pointer, text)| {
            let why = Server::parse(text, PORT).err()?;
            Some(settings::fault(&pointer, why, "write `host` or `host:port`, without `http://`"))
        })
        .collect()
}

/// Whether a path of HDFS is one: from the root on, and straight.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let is_straight = path.len() == 1
        || path[1..].split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(':'));
    if path.starts_with('/') && is_straight {
        Ok(())
    } else {
        Err(format!("`{path}` is no path of HDFS: write it from the root on, such as /user/hdfs"))
    }
}

/// Whether it is a mode in octal.
pub(super) fn is_mode(mode: &str) -> bool {
    (3..=5).contains(&mode.len()) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
}

/// A mode as HDFS writes it: `755` for `0755`.
pub(super) fn mode(text: &str) -> &str {
    let short = text.trim_start_matches('0');
    if short.is_empty() { "0" } else { short }
}

/// Something to look at again and again.
#[async_trait]
pub(super) trait Watched: Send + Sync {
    /// Looks once: what to leave behind if it is as it should be, else why it is not.
    async fn look(&self) -> Result<Outputs, String>;
}

/// Looks until it is so. Without a bound it goes on until the job's time-out; with `once` it does not.
pub(super) async fn watch(
    watched: &dyn Watched,
    begun: Timestamp,
    within: Option<Span>,
    every: Option<Span>,
    once: bool,
    cx: &AttemptContext,
) -> Outcome {
    let deadline = within.map(|within| begun.plus(within.0));
    let mut said = String::new();
    loop {
        let why = match watched.look().await {
            Ok(outputs) => return Outcome::Done { outputs, exit_code: None },
            Err(why) => mask::hide(&why, &cx.secrets),
        };
        if why != said {
            why.lines().for_each(|line| cx.log.line(line));
            said.clone_from(&why);
        }
        let now = cx.clock.now();
        if once && within.is_none() {
            return Outcome::Failed(Failure::new(ErrorClass::Verify, why));
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            let why = format!("{why} (after {})", format_span(now.since(begun)));
            return Outcome::Failed(Failure::new(ErrorClass::Timeout, why));
        }
        let pause = every.map_or(PAUSE, |every| every.0.max(Duration::from_millis(1)));
        let left = deadline.map_or(pause, |deadline| deadline.since(now));
        cx.clock.sleep(pause.min(left)).await;
    }
}
