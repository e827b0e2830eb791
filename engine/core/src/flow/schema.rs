//! The shape of a flow file and of `project.yaml`, declared once: the check, the reference and the schema for editors
//! all come from here.
//!
//! The settings in `with` have the shape that their job type declares; here they are any mapping.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::job_types::JobTypes;
use crate::outcome::ErrorClass;
use crate::schema::{Checker, NAME, Schema, Templates, WORD};

/// The shape of a flow file.
pub(crate) static FLOW: LazyLock<Checker> = LazyLock::new(|| Checker::new(flow()));
/// The shape of `project.yaml`.
pub(crate) static PROJECT: LazyLock<Checker> = LazyLock::new(|| Checker::new(project()));

/// The JSON Schema (draft 2020-12) of flow files, with the settings of every known job type. For editors: a text with
/// a template fits where it may stand.
pub fn json_schema(types: &JobTypes) -> Value {
    let mut schema = flow().for_editors(Templates::Refused);
    let names: Vec<&str> = types.iter().map(crate::job_types::Known::name).collect();
    let mut settings = Vec::new();
    for known in types.iter() {
        let mut with = known.schema().for_editors(Templates::Filled);
        hoist(&mut schema, &mut with, known.name());
        // Without `with` the settings are empty: right only for a type that needs none.
        let mut then = json!({ "properties": { "with": with } });
        if with_is_needed(known.schema()) {
            then["required"] = json!(["with"]);
        }
        settings.push(json!({
            "if": { "properties": { "uses": { "const": known.name() } }, "required": ["uses"] },
            "then": then,
        }));
    }
    for shape in ["job", "check-uses"] {
        let job = &mut schema["$defs"][shape];
        job["properties"]["uses"]["enum"] = json!(names);
        job["allOf"] = json!(settings);
    }
    let mut all = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flow of Weir",
    });
    if let (Some(all), Some(schema)) = (all.as_object_mut(), schema.as_object_mut()) {
        all.append(schema);
    }
    all
}

/// Moves the shapes that a job type defines to the outermost schema, where references look for them.
fn hoist(schema: &mut Value, with: &mut Value, type_name: &str) {
    let Some(shapes) = with.as_object_mut().and_then(|with| with.remove("$defs")) else { return };
    let prefix = format!("{type_name}:");
    rename(with, &prefix);
    if let Value::Object(shapes) = shapes {
        for (name, mut shape) in shapes {
            rename(&mut shape, &prefix);
            schema["$defs"][format!("{prefix}{name}")] = shape;
        }
    }
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (word, value) in map {
                match value {
                    Value::String(name) if word == "$ref" => {
                        *name = name.replace("#/$defs/", &format!("#/$defs/{prefix}"));
                    }
                    inner => rename(inner, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

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
            .optional("params", Schema::map(param()).with("propertyNames", names_like(WORD)).describe("What may be set when a run begins."))
            .optional("schedules", Schema::list(schedule()).describe("When it runs by itself."))
            .optional("concurrency", concurrency())
            .optional("on-failure", on_failure())
            .optional("retry", Schema::reference("retry").describe("Retries of every job that says nothing else."))
            .optional("timeout", Schema::span().describe("After which the run is cancelled and has failed."))
            .optional("late", Schema::reference("late"))
            .optional("locks", texts("Things that one run at a time may work on."))
            .optional("notify", Schema::list(notify()).describe("Who is told of what."))
            .optional("hooks", hooks())
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

fn project() -> Schema {
    with_shapes(
        Schema::object()
            .required("name", name("The project's name."))
            .optional("title", words("What people read in lists."))
            .optional("defaults", defaults())
            .optional(
                "secrets",
                Schema::list(
                    plain(Schema::text())
                        .pattern("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
                        .with("x-weir-form", "use letters, digits, `_`, `-` and `.`"),
                )
                .describe("Names of secrets that its flows may use."),
            )
            .optional(
                "pools",
                Schema::map(Schema::integer().minimum(1).maximum(1_000_000))
                    .with("propertyNames", names_like(NAME))
                    .describe("How many slots each pool has."),
            )
            .optional(
                "hosts",
                Schema::map(host())
                    .with("propertyNames", names_like(HOST_NAME))
                    .describe("The machines that flows act on, by name."),
            )
            .optional(
                "host-defaults",
                login(Schema::object())
                    .describe("How to get to hosts and log in there, where they say nothing else."),
            )
            .optional(
                "known-hosts",
                plain(Schema::text())
                    .not_empty()
                    .describe("`accept-new`, or a file of known host keys beside this one."),
            )
            .optional(
                "recover",
                Schema::list(recover())
                    .describe("Failures known to the project, and what cures them."),
            )
            .optional(
                "permissions",
                Schema::anything().describe("Who may do what. Read by the server."),
            )
            .with(
                "x-weir-hints",
                json!({
                    "jobs": "jobs stand in flow files, NAME.flow.yaml beside this one",
                    "env": "write `defaults: { env: ... }`",
                    "retry": "write `defaults: { retry: ... }`",
                    "timeout": "write `defaults: { timeout: ... }`",
                }),
            ),
    )
}

/// What the name of a host matches.
const HOST_NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$";

/// The shapes that stand in more than one place, or in themselves.
fn with_shapes(schema: Schema) -> Schema {
    schema
        .define(
            "jobs",
            Schema::map(Schema::reference("job")).with("propertyNames", names_like(NAME)),
        )
        .define("job", job())
        .define("uses", uses())
        .define("check-uses", uses_parts(Schema::object()).with("required", json!(["uses"])))
        .define("retry", retry())
        .define("late", late())
        .define("limits", limits())
        .define("env", env())
        .define("recover", recover())
        .define("class", Schema::choice(ErrorClass::ALL.map(ErrorClass::name)))
}

fn uses_parts(schema: Schema) -> Schema {
    schema
        .optional("uses", plain(Schema::text()).not_empty().describe("The job type."))
        .optional("with", Schema::map(Schema::anything()).describe("Its settings."))
}

/// `unless` and `verify`.
fn uses() -> Schema {
    Schema::one_of([
        Schema::text().shell().not_empty().describe("A shell script that must end with 0."),
        Schema::reference("check-uses"),
    ])
}

fn job() -> Schema {
    uses_parts(Schema::object())
        .optional("title", words("What people read."))
        .optional("needs", one_or_many(plain(Schema::text()).not_empty()).describe("The jobs that must have ended first."))
        .optional("after", Schema::choice(["all-success", "all-done", "one-success", "one-failed", "all-failed", "none-failed"]).default("all-success").describe("How they must have ended."))
        .optional("when", Schema::one_of([Schema::text().expression().not_empty(), Schema::boolean()]).describe("An expression over `params` and earlier `jobs` that must hold, too."))
        .optional("foreach", Schema::one_of([Schema::text().expression().not_empty(), Schema::list(Schema::anything())]).describe("An expression that yields a list: each item makes a task."))
        .optional("parallel", Schema::integer().minimum(1).maximum(100_000).describe("How many items at once."))
        .optional("fail-fast", Schema::boolean().default(false).describe("The first item that fails ends the others."))
        .optional("retry", Schema::reference("retry"))
        .optional("timeout", Schema::span().describe("After which an attempt is ended."))
        .optional("grace", Schema::span().describe("The time between TERM and KILL."))
        .optional("unless", Schema::reference("uses").describe("Holds if there is nothing left to do."))
        .optional("verify", Schema::reference("uses").describe("Must hold after the work."))
        .optional("outputs", outputs())
        .optional("env", Schema::reference("env"))
        .optional("working-dir", Schema::text().not_empty().describe("The folder it works in."))
        .optional("run-as", Schema::text().not_empty().describe("The user it works as (needs root)."))
        .optional("limits", Schema::reference("limits"))
        .optional("destroys", Schema::text().not_empty().describe("What is lost for good when it runs. Must be confirmed in these words."))
        .optional("pools", one_or_many(pool_use()).describe("Named slots that it takes while it runs."))
        .optional("locks", texts("Things that one task at a time may work on."))
        .optional("late", Schema::reference("late"))
        .optional("allow-failure", Schema::boolean().default(false).describe("Its failure fails nothing else."))
        .optional("on-lost", Schema::choice(["fail", "retry", "ask"]).default("fail").describe("What to do when nobody knows how it ended."))
        .optional("recover", Schema::list(Schema::reference("recover")).describe("Failures known to its author, and what cures them."))
        .optional("jobs", Schema::reference("jobs").describe("The jobs of a group."))
        .with("x-weir-hints", json!({
            "script": "write it under `with:`, beside `uses: command`",
            "command": "write `uses: command` and `with: { script: ... }`",
            "run": "write `uses: command` and `with: { script: ... }`",
            "type": "write `uses:`",
            "depends": "write `needs:`",
            "depends-on": "write `needs:`",
            "depends_on": "write `needs:`",
            "dependsOn": "write `needs:`",
            "if": "write `when:`",
            "condition": "write `when:`",
            "retries": "write `retry: { attempts: ... }`",
            "cwd": "write `working-dir:`",
            "user": "write `run-as:`",
            "hosts": "write it under `with:`",
            "concurrency": "write `parallel:` for the items of a `foreach`, or `pools:`",
            "on-failure": "`on-failure` is a key of the whole flow; in a job write `allow-failure:` or `recover:`",
            "hooks": "`hooks` is a key of the whole flow",
            "params": "`params` is a key of the whole flow; for a child run write it under `with:`",
            "secrets": "write `{{ secret('name') }}` where the value is used",
        }))
}

fn param() -> Schema {
    Schema::object()
        .optional(
            "type",
            Schema::choice(["string", "integer", "number", "boolean", "list", "object", "secret"])
                .default("string")
                .describe("What values it takes."),
        )
        .optional("default", Schema::anything().describe("The value when none is given."))
        .optional(
            "enum",
            Schema::list(Schema::anything()).not_empty().describe("The only values allowed."),
        )
        .optional("pattern", Schema::regex().describe("What the text must match as a whole."))
        .optional("min", Schema::number().describe("Least value; least length of a text."))
        .optional("max", Schema::number().describe("Greatest value; greatest length of a text."))
        .optional("description", words("What people read."))
        .with(
            "x-weir-hints",
            json!({
                "choices": "write `enum:`",
                "values": "write `enum:`",
                "options": "write `enum:`",
                "required": "a parameter without `default` must be given: remove it",
                "minimum": "write `min:`",
                "maximum": "write `max:`",
                "value": "write `default:`",
            }),
        )
}

fn schedule() -> Schema {
    Schema::object()
        .required("id", name("Its name within the flow."))
        .optional(
            "cron",
            plain(Schema::text()).not_empty().describe("A cron line of 5, 6 or 7 fields."),
        )
        .optional("every", Schema::span().describe("The time between two runs."))
        .optional("at", plain(Schema::text()).not_empty().describe("One point in time (RFC 3339)."))
        .optional(
            "flow",
            plain(Schema::text()).not_empty().describe("Another flow whose end starts this one."),
        )
        .optional(
            "file",
            plain(Schema::text()).not_empty().describe("A file whose coming starts it."),
        )
        .optional(
            "timezone",
            plain(Schema::text()).not_empty().describe("Such as Asia/Shanghai; UTC if not said."),
        )
        .optional(
            "start",
            plain(Schema::text()).not_empty().describe("Not before this point in time."),
        )
        .optional(
            "end",
            plain(Schema::text()).not_empty().describe("Not after this point in time."),
        )
        .optional(
            "misfire",
            Schema::choice(["run-once", "skip", "run-all"])
                .describe("What follows times that were missed."),
        )
        .optional(
            "catch-up",
            Schema::one_of([Schema::integer().minimum(0), Schema::span()])
                .describe("How much is made up for at most."),
        )
        .optional(
            "missing",
            Schema::choice(["shift", "skip"]).describe("For hours that a change of clock removes."),
        )
        .optional(
            "duplicate",
            Schema::choice(["first", "last", "both"])
                .describe("For hours that a change of clock repeats."),
        )
        .optional("jitter", Schema::span().describe("A delay of up to this, left to chance."))
        .optional("calendars", texts("Calendars of days off."))
        .optional("paused", Schema::boolean())
        .optional(
            "params",
            Schema::map(Schema::anything()).describe("Values of the run's parameters."),
        )
        .optional("confirm", texts("What its runs may destroy, in the words of `destroys`."))
        .with(
            "x-weir-hints",
            json!({
                "name": "write `id:`",
                "tz": "write `timezone:`",
                "interval": "write `every:`",
            }),
        )
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

fn on_failure() -> Schema {
    Schema::choice(["finish-running", "cancel", "finish-possible"])
        .default("finish-running")
        .describe("What a failure does to the rest of the run.")
}

fn notify() -> Schema {
    let reasons = [
        "started",
        "succeeded",
        "failed",
        "cancelled",
        "recovered",
        "late",
        "asking",
        "undiagnosed",
    ];
    Schema::object()
        .required("on", one_or_many(Schema::choice(reasons)).describe("The reasons."))
        .required(
            "to",
            one_or_many(
                plain(Schema::text())
                    .pattern("^(mail|webhook):[^\\s]+$")
                    .with("x-weir-form", "write it like `mail:ops@example.org` or `webhook:name`"),
            )
            .describe("The receivers."),
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

fn retry() -> Schema {
    Schema::object()
        .optional(
            "attempts",
            Schema::integer().minimum(1).maximum(1000).describe("Attempts in all; 1 is no retry."),
        )
        .optional("delay", Schema::span().describe("The wait before the second attempt."))
        .optional(
            "backoff",
            Schema::number()
                .minimum(1)
                .maximum(100)
                .describe("What the wait is multiplied by each time."),
        )
        .optional("max-delay", Schema::span().describe("The longest wait."))
        .optional(
            "jitter",
            Schema::number()
                .minimum(0)
                .maximum(1)
                .describe("The part of the wait that is left to chance."),
        )
        .optional(
            "on",
            one_or_many(Schema::reference("class"))
                .describe("The classes of failure that are tried again."),
        )
        .describe("How often and when to try again.")
}

fn late() -> Schema {
    Schema::object()
        .optional(
            "start-within",
            Schema::span().describe("Longest wait from the due time to the start."),
        )
        .optional(
            "finish-within",
            Schema::span().describe("Longest wait from the due time to the end."),
        )
        .optional(
            "then",
            Schema::choice(["notify", "cancel"]).default("notify").describe("What follows."),
        )
        .not_empty()
        .describe("When a start or an end counts as late.")
}

fn limits() -> Schema {
    let count = || Schema::integer().minimum(1);
    Schema::object()
        .optional("memory", Schema::size().describe("Memory."))
        .optional("cpu-time", Schema::span().describe("Processor time."))
        .optional("cpus", Schema::number().minimum(0.01).maximum(10_000).describe("Processors."))
        .optional("open-files", count().describe("Open files."))
        .optional("processes", count().describe("Processes."))
        .optional("file-size", Schema::size().describe("The largest file it may write."))
        .optional(
            "log-size",
            Schema::size().describe("The log's size beyond which its middle is dropped."),
        )
        .describe("Bounds on what an attempt may use.")
}

fn env() -> Schema {
    Schema::map(scalar_text())
        .with(
            "propertyNames",
            json!({
                "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                "x-weir-form": "use letters, digits and `_`, and begin with no digit",
            }),
        )
        .describe("Variables for the work.")
}

fn outputs() -> Schema {
    let pattern = || Schema::regex().describe("What the whole value must match.");
    let detailed = Schema::object()
        .optional("pattern", pattern())
        .optional("description", words("What people read."));
    Schema::one_of([
        Schema::map(Schema::one_of([pattern(), Schema::nothing(), detailed]))
            .with("propertyNames", names_like(NAME)),
        Schema::list(plain(Schema::text()).pattern(NAME).with("x-weir-form", form_of(NAME))),
    ])
    .describe("What the job must leave behind: names, and patterns over the whole value.")
}

fn pool_use() -> Schema {
    Schema::one_of([
        plain(Schema::text()).not_empty(),
        Schema::object()
            .required("name", plain(Schema::text()).not_empty().describe("The pool's name."))
            .optional(
                "slots",
                Schema::integer()
                    .minimum(1)
                    .maximum(1_000_000)
                    .default(1)
                    .describe("How many of its slots."),
            )
            .optional(
                "priority",
                Schema::integer()
                    .minimum(-1000)
                    .maximum(1000)
                    .default(0)
                    .describe("Higher goes before lower."),
            ),
    ])
}

fn recover() -> Schema {
    Schema::object()
        .optional(
            "use",
            plain(Schema::text()).not_empty().describe("An entry of the catalogue, by its id."),
        )
        .optional("match", signature())
        .optional("diagnosis", words("What it means."))
        .optional("jobs", Schema::reference("jobs").describe("The jobs that cure it."))
        .optional(
            "then",
            Schema::one_of([
                plain(Schema::text())
                    .pattern("^(retry|continue|ask|fail|retry-from [A-Za-z0-9_][A-Za-z0-9_-]*)$")
                    .with(
                        "x-weir-form",
                        "it can be `retry`, `retry-from JOB`, `continue`, `ask` or `fail`",
                    ),
                Schema::object().required(
                    "retry-from",
                    plain(Schema::text()).not_empty().describe("A job that this one needs."),
                ),
            ])
            .describe("What follows."),
        )
        .optional(
            "limit",
            Schema::integer()
                .minimum(1)
                .maximum(1000)
                .default(1)
                .describe("How often for one task."),
        )
        .with(
            "x-weir-hints",
            json!({
                "uses": "write `use:` for an entry of the catalogue, or `jobs:` for what cures it",
                "log": "write `match: { log: ... }`",
                "exit": "write `match: { exit: ... }`",
                "id": "write `use:` for an entry of the catalogue",
            }),
        )
}

fn signature() -> Schema {
    Schema::object()
        .optional("log", Schema::regex().describe("A regular expression over a line of the log."))
        .optional(
            "exit",
            one_or_many(Schema::integer().minimum(-1).maximum(255)).describe("Exit codes."),
        )
        .optional("class", one_or_many(Schema::reference("class")).describe("Classes of failure."))
        .optional(
            "uses",
            one_or_many(plain(Schema::text()).not_empty()).describe("Job types it may be met in."),
        )
        .not_empty()
        .describe("What the failure looks like. All that is said must hold.")
}

fn defaults() -> Schema {
    Schema::object()
        .optional("retry", Schema::reference("retry"))
        .optional("timeout", Schema::span().describe("After which an attempt is ended."))
        .optional("grace", Schema::span().describe("The time between TERM and KILL."))
        .optional("env", Schema::reference("env"))
        .optional("working-dir", Schema::text().not_empty().describe("The folder to work in."))
        .optional("run-as", Schema::text().not_empty().describe("The user to work as."))
        .optional("limits", Schema::reference("limits"))
        .optional("on-failure", on_failure())
        .describe("What each job of its flows has unless it says otherwise.")
}

fn host() -> Schema {
    login(
        Schema::object()
            .required("address", plain(Schema::text()).not_empty().describe("Where it answers.")),
    )
    .optional("labels", Schema::map(scalar_text()).describe("What selectors match."))
    .with(
        "x-weir-hints",
        json!({
            "ip": "write `address:`",
            "hostname": "write `address:`",
            "jump": "write `via: [HOST]`",
            "role": "write `labels: { role: ... }`",
            "sudo": "write `become: root`",
        }),
    )
}

/// How to get to a host and log in there: for one host, or for all that say nothing else.
fn login(schema: Schema) -> Schema {
    let hop = Schema::object()
        .required("host", plain(Schema::text()).not_empty().describe("A host of this file."))
        .optional("become", becomes().describe("Who may read that key there."))
        .optional(
            "key-on-hop",
            plain(Schema::text())
                .not_empty()
                .describe("The path, on that host, of the key for the next one."),
        );
    schema
        .optional("port", Schema::integer().minimum(1).maximum(65_535).default(22))
        .optional("user", plain(Schema::text()).not_empty().describe("Who logs in."))
        .optional(
            "key",
            Schema::one_of([
                plain(Schema::text()).not_empty().describe("A file beside this one."),
                secret(),
            ])
            .describe("The key to log in with; the agent and the usual files if not said."),
        )
        .optional("password", secret().describe("The password to log in with."))
        .optional("become", becomes().describe("The user to become there."))
        .optional(
            "via",
            one_or_many(Schema::one_of([plain(Schema::text()).not_empty(), hop]))
                .describe("The hosts to go through, in order."),
        )
        .optional("vars", Schema::map(Schema::anything()).describe("Values for templates."))
}

fn secret() -> Schema {
    Schema::object()
        .required("secret", plain(Schema::text()).not_empty().describe("A secret's name."))
}

fn becomes() -> Schema {
    Schema::one_of([
        plain(Schema::text()).not_empty(),
        Schema::object()
            .optional("user", plain(Schema::text()).not_empty().default("root"))
            .required("password", secret().describe("What `sudo` may ask for.")),
    ])
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

fn names_like(pattern: &str) -> Value {
    json!({ "pattern": pattern, "x-weir-form": form_of(pattern) })
}

fn form_of(pattern: &str) -> &'static str {
    match pattern {
        NAME => "use letters, digits, `-` and `_`, at most 100, and do not begin with `-`",
        WORD => "use letters, digits and `_`, at most 100, and begin with a letter",
        _ => "use letters, digits, `-`, `_` and `.`, and do not begin with `-` or `.`",
    }
}
