//! The shape of a parameter.

use serde_json::json;

use super::words;
use crate::schema::Schema;

pub(super) fn param() -> Schema {
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
