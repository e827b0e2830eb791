//! The shape of known failures and their cures.

use serde_json::json;

use super::{one_or_many, plain, words};
use crate::schema::Schema;

pub(super) fn recover() -> Schema {
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
