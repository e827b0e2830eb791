//! The values a parameter takes.

use serde_json::{Value, json};

use super::{Param, ParamKind};
use crate::schema::Schema;

impl ParamKind {
    /// The name in flow files.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Object => "object",
            Self::Secret => "secret",
        }
    }
}

impl Param {
    /// The shape of its values.
    pub fn schema(&self) -> Schema {
        let mut schema = self.shape();
        if !self.choices.is_empty() {
            schema = Schema(json!({ "enum": self.choices }));
        }
        match &self.description {
            Some(words) => schema.describe(words),
            None => schema,
        }
    }

    /// The shape of its values but for the choices.
    pub(super) fn shape(&self) -> Schema {
        let (least, most) = (self.min, self.max);
        let bounded = |schema: Schema, low: &str, high: &str| {
            let whole = |bound: f64| {
                if bound.fract() == 0.0 && bound.abs() < 9e15 {
                    Value::from(bound as i64)
                } else {
                    Value::from(bound)
                }
            };
            let schema =
                least.into_iter().fold(schema, |schema, least| schema.with(low, whole(least)));
            most.into_iter().fold(schema, |schema, most| schema.with(high, whole(most)))
        };
        match self.kind {
            ParamKind::String | ParamKind::Secret => {
                let text = bounded(Schema::text(), "minLength", "maxLength");
                match &self.pattern {
                    Some(pattern) => text.pattern(&format!("^(?:{pattern})$")),
                    None => text,
                }
            }
            ParamKind::Integer => bounded(Schema::integer(), "minimum", "maximum"),
            ParamKind::Number => bounded(Schema::number(), "minimum", "maximum"),
            ParamKind::Boolean => Schema::boolean(),
            ParamKind::List => bounded(Schema::list(Schema::anything()), "minItems", "maxItems"),
            ParamKind::Object => Schema::map(Schema::anything()),
        }
    }
}
