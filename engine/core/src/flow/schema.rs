//! The shape of a flow file and of `project.yaml`, declared once: the check, the reference and the schema for editors
//! all come from here.
//!
//! The settings in `with` have the shape that their job type declares; here they are any mapping.

mod editor;
mod job;
mod param;
mod project;
mod recover;
mod schedule;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::notice::Reason;
use crate::outcome::ErrorClass;
use crate::schema::{Checker, NAME, Schema, WORD};

pub use editor::json_schema;

/// The shape of a flow file.
pub(crate) static FLOW: LazyLock<Checker> = LazyLock::new(|| Checker::new(flow()));
/// The shape of `project.yaml`.
pub(crate) static PROJECT: LazyLock<Checker> = LazyLock::new(|| Checker::new(project::project()));

/// The shape of a schedule.
pub(crate) static SCHEDULE: LazyLock<Checker> =
    LazyLock::new(|| Checker::new(schedule::schedule()));

/// What names somebody who is told. A webhook's name is a part of the name of a secret.
const RECEIVER: &str =
    r"^(mail:[^\s@,;:<>()\[\]]+@[^\s@,;:<>()\[\]]+|webhook:[A-Za-z0-9_][A-Za-z0-9_-]{0,79})$";

/// Whether a job has a key of that name.
pub(crate) fn is_job_key(key: &str) -> bool {
    let jobs = FLOW.schema().0.pointer("/$defs/job/properties");
    jobs.is_some_and(|keys| keys.get(key).is_some())
}

/// Whether a job type can't do without settings.
pub(crate) fn with_is_needed(schema: &Schema) -> bool {
    schema.0.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty())
}

fn flow() -> Schema {
    with_shapes(
        Schema::object()
            .required("name", name("The flow's name."))
            .optional("title", words("What people read in lists."))
            .optional("description", words("What it is for."))
            .optional("labels", Schema::map(scalar_text()).describe("Words to find it by."))
            .optional("params", Schema::map(param::param()).with("propertyNames", names_like(WORD)).describe("What may be set when a run begins."))
            .optional("schedules", Schema::list(schedule::schedule()).describe("When it runs by itself."))
            .optional("concurrency", concurrency())
            .optional("on-failure", on_failure())
            .optional("retry", Schema::reference("retry").describe("Retries of every job that says nothing else."))
            .optional("timeout", Schema::span().describe("After which the run is cancelled and has failed."))
            .optional("late", Schema::reference("late"))
            .optional("locks", texts("Things that one run at a time may work on."))
            .optional("notify", Schema::list(notify()).describe("Who is told of what."))
            .optional("hooks", hooks())
            .optional("keep", keep())
            .required("jobs", Schema::reference("jobs").describe("The jobs."))
            .with("x-weir-hints", json!({
                "env": "write `env` in each job, or under `defaults` in project.yaml for all of them",
                "defaults": "write `defaults` in project.yaml",
                "steps": "write `jobs:`, a mapping of names to jobs",
                "tasks": "write `jobs:`, a mapping of names to jobs",
                "version": "versions are told apart by content: remove it",
                "cron": "write `schedules: [{ id: daily, cron: ... }]`",
                "schedule": "write `schedules: [{ id: daily, cron: ... }]`",
                "parameters": "write `params:`",
                "hosts": "write `hosts` in project.yaml",
                "secrets": "write `secrets` in project.yaml",
            })),
    )
}

/// The shapes that stand in more than one place, or in themselves.
fn with_shapes(schema: Schema) -> Schema {
    schema
        .define(
            "jobs",
            Schema::map(Schema::reference("job")).with("propertyNames", names_like(NAME)),
        )
        .define("job", job::job())
        .define("uses", job::uses())
        .define("check-uses", job::uses_parts(Schema::object()).with("required", json!(["uses"])))
        .define("retry", job::retry())
        .define("late", job::late())
        .define("limits", job::limits())
        .define("env", job::env())
        .define("recover", recover::recover())
        .define("class", Schema::choice(ErrorClass::ALL.map(ErrorClass::name)))
}

fn concurrency() -> Schema {
    Schema::object()
        .required(
            "policy",
            Schema::choice(["queue", "skip", "parallel", "cancel-running", "pipeline"])
                .describe("What happens to one more run."),
        )
        .optional(
            "limit",
            Schema::integer()
                .minimum(1)
                .maximum(100_000)
                .describe("How many runs may move at once."),
        )
        .optional(
            "key",
            Schema::text().not_empty().describe("Counts runs with the same value apart."),
        )
        .describe("How many runs of this flow may move at once.")
}

/// Which runs of a flow are kept.
fn keep() -> Schema {
    Schema::object()
        .optional("age", Schema::span().describe("Runs that have ended within so long are kept."))
        .optional(
            "runs",
            Schema::integer()
                .minimum(1)
                .maximum(1_000_000)
                .describe("So many of the last runs are kept."),
        )
        .not_empty()
        .describe("Which runs are kept; all, if it is not written.")
}

fn on_failure() -> Schema {
    Schema::choice(["finish-running", "cancel", "finish-possible"])
        .default("finish-running")
        .describe("What a failure does to the rest of the run.")
}

fn notify() -> Schema {
    Schema::object()
        .required(
            "on",
            one_or_many(Schema::choice(Reason::ALL.map(Reason::name))).describe("The reasons."),
        )
        .required(
            "to",
            one_or_many(
                plain(Schema::text())
                    .pattern(RECEIVER)
                    .with("x-weir-form", "write it like `mail:ops@example.org` or `webhook:name`"),
            )
            .describe("The receivers."),
        )
        .optional(
            "window",
            Schema::span().describe("So long nobody is told of the same again; 5m if not said."),
        )
}

fn hooks() -> Schema {
    Schema::object()
        .optional("on-start", Schema::reference("jobs").describe("Before the first job."))
        .optional("on-success", Schema::reference("jobs").describe("When all has ended well."))
        .optional("on-failure", Schema::reference("jobs").describe("When the run has failed."))
        .optional(
            "on-exit",
            Schema::reference("jobs").describe("At the very end, however it went."),
        )
        .describe("Jobs around the run.")
}

fn name(words: &str) -> Schema {
    plain(Schema::text()).pattern(NAME).with("x-weir-form", form_of(NAME)).describe(words)
}

fn words(words: &str) -> Schema {
    plain(Schema::text()).describe(words)
}

fn plain(schema: Schema) -> Schema {
    schema.fixed()
}

/// A text that may be written as a number or as `true`: it is taken letter by letter.
fn scalar_text() -> Schema {
    Schema::one_of([Schema::text(), Schema::number(), Schema::boolean()])
}

fn texts(words: &str) -> Schema {
    one_or_many(Schema::text().not_empty()).describe(words)
}

fn one_or_many(item: Schema) -> Schema {
    Schema::one_of([item.clone(), Schema::list(item)])
}

pub(crate) fn names_like(pattern: &str) -> Value {
    json!({ "pattern": pattern, "x-weir-form": form_of(pattern) })
}

fn form_of(pattern: &str) -> &'static str {
    match pattern {
        NAME => "use letters, digits, `-` and `_`, at most 100, and do not begin with `-`",
        WORD => "use letters, digits and `_`, at most 100, and begin with a letter",
        _ => "use letters, digits, `-`, `_` and `.`, and do not begin with `-` or `.`",
    }
}
