//! The shape of `project.yaml`.

use serde_json::json;

use super::recover::recover;
use super::{
    keep, name, names_like, on_failure, one_or_many, plain, scalar_text, with_shapes, words,
};
use crate::schema::{NAME, Schema};

/// What the name of a host matches.
const HOST_NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$";

pub(super) fn project() -> Schema {
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
        .optional("keep", keep())
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
