//! The shape of a job, and of what only jobs have.

use serde_json::json;

use super::{form_of, names_like, one_or_many, plain, scalar_text, texts, words};
use crate::schema::{NAME, Schema};

pub(super) fn job() -> Schema {
    uses_parts(Schema::object())
        .optional("title", words("What people read."))
        .optional("needs", one_or_many(plain(Schema::text()).not_empty()).describe("The jobs that must have ended first."))
        .optional("after", Schema::choice(["all-success", "all-done", "one-success", "one-failed", "all-failed", "none-failed"]).default("all-success").describe("How they must have ended."))
        .optional("when", Schema::one_of([Schema::text().expression().not_empty(), Schema::boolean()]).describe("An expression over `params` and earlier `jobs` that must hold, too."))
        .optional("foreach", Schema::one_of([Schema::text().expression().not_empty(), Schema::list(Schema::anything())]).describe("An expression that yields a list: each item makes a task."))
        .optional("parallel", Schema::integer().minimum(1).maximum(100_000).describe("How many items at once."))
        .optional("fail-fast", Schema::boolean().default(false).describe("The first item that fails ends the others."))
        .optional("rolling", rolling())
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
            "serial": "write `rolling: { batch: ... }`",
            "concurrency": "write `parallel:` for the items of a `foreach`, or `pools:`",
            "on-failure": "`on-failure` is a key of the whole flow; in a job write `allow-failure:` or `recover:`",
            "hooks": "`hooks` is a key of the whole flow",
            "params": "`params` is a key of the whole flow; for a child run write it under `with:`",
            "secrets": "write `{{ secret('name') }}` where the value is used",
        }))
}

fn rolling() -> Schema {
    let count = || Schema::integer().minimum(1).maximum(100_000).default(1);
    Schema::object()
        .optional("batch", count().describe("How many items a batch has."))
        .optional(
            "pause",
            Schema::span().describe("The time between the end of a batch and the next."),
        )
        .optional(
            "max-failures",
            count().describe("After so many failed items nothing more starts."),
        )
        .with(
            "x-weir-hints",
            json!({
                "size": "write `batch:`",
                "serial": "write `batch:`",
                "delay": "write `pause:`",
            }),
        )
        .describe("Items in batches, one batch after the other.")
}

pub(super) fn uses_parts(schema: Schema) -> Schema {
    schema
        .optional("uses", plain(Schema::text()).not_empty().describe("The job type."))
        .optional("with", Schema::map(Schema::anything()).describe("Its settings."))
}

/// `unless` and `verify`.
pub(super) fn uses() -> Schema {
    Schema::one_of([
        Schema::text().shell().not_empty().describe("A shell script that must end with 0."),
        Schema::reference("check-uses"),
    ])
}

pub(super) fn retry() -> Schema {
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

pub(super) fn late() -> Schema {
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

pub(super) fn limits() -> Schema {
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
            Schema::size()
                .describe("The log's size beyond which its middle is dropped, at least 16 KiB."),
        )
        .describe("Bounds on what an attempt may use.")
}

pub(super) fn env() -> Schema {
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
