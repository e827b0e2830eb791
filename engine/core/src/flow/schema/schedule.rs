//! The shape of a schedule.

use serde_json::json;

use super::{name, one_or_many, plain, texts};
use crate::schema::Schema;

pub(super) fn schedule() -> Schema {
    Schema::object()
        .required("id", name("Its name within the flow."))
        .optional(
            "cron",
            plain(Schema::text()).not_empty().describe("A cron line of 5 fields, or of 6 or 7 as in Quartz."),
        )
        .optional("every", Schema::span().describe("The time between two runs."))
        .optional(
            "at",
            plain(Schema::text()).not_empty().describe("One point in time: RFC 3339, or a date and time in `timezone`."),
        )
        .optional(
            "after-flow",
            plain(Schema::text()).not_empty().describe("Another flow (`flow` or `project/flow`) whose end starts this one."),
        )
        .optional(
            "on",
            one_or_many(Schema::choice(["succeeded", "failed", "cancelled"]))
                .describe("How the run of `after-flow` must have ended; `succeeded` if not said."),
        )
        .optional(
            "file",
            plain(Schema::text()).not_empty().describe("A path, with `*` and `?` in its last part: a file that comes or changes starts it."),
        )
        .optional(
            "timezone",
            plain(Schema::text()).not_empty().describe("Such as Asia/Shanghai; UTC if not said."),
        )
        .optional("from", plain(Schema::text()).not_empty().describe("Not before this point in time, or this day."))
        .optional("until", plain(Schema::text()).not_empty().describe("Not after this point in time, or this day."))
        .optional(
            "misfire",
            Schema::choice(["run-once", "skip", "run-all"])
                .default("run-once")
                .describe("What follows times that were missed."),
        )
        .optional(
            "catch-up",
            Schema::one_of([Schema::integer().minimum(0).maximum(10_000), Schema::span()])
                .describe("How much is made up for at most: so many times, or those of the last so long."),
        )
        .optional(
            "missing",
            Schema::choice(["shift", "skip"]).describe("For times that a change of the clock removes."),
        )
        .optional(
            "duplicate",
            Schema::choice(["first", "last", "both"])
                .describe("For times that a change of the clock repeats."),
        )
        .optional("jitter", Schema::span().describe("A delay of up to this, left to chance."))
        .optional(
            "calendar",
            texts("Days off: dates, spans of dates, weekdays, or an iCalendar file beside this one."),
        )
        .optional("paused", Schema::boolean().describe("It does not run until this is removed."))
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
                "flow": "write `after-flow:`",
                "start": "write `from:`",
                "end": "write `until:`",
                "calendars": "write `calendar:`",
                "holidays": "write `calendar:`",
                "enabled": "write `paused: true` for one that shall not run",
                "backfill": "write `misfire:` and `catch-up:`; `weir backfill` makes up for a span of dates",
            }),
        )
}
