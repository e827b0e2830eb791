//! The shape of a schedule.

use serde_json::json;

use super::{name, plain, texts};
use crate::schema::Schema;

pub(super) fn schedule() -> Schema {
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
