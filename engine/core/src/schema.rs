//! The shapes of settings: a subset of JSON Schema (draft 2020-12) that can be checked against a text with places.
//!
//! The subset: `type`, `properties`, `required`, `additionalProperties`, `propertyNames`, `items`, `enum`, `const`,
//! `pattern`, `minimum`, `maximum`, `minLength`, `maxLength`, `minItems`, `maxItems`, `minProperties`, `oneOf`, `$ref` into
//! `$defs`, `format: regex`, the annotations `title`, `description`, `default`, `examples`, and the `x-weir-` words
//! below.

mod build;
mod check;
mod editor;
mod ready;
mod shape;
mod suggest;
mod words;

use serde_json::Value;

pub(crate) use check::has_template;
pub use check::{Checker, Finding, Templates};
pub use suggest::nearest;

/// A JSON Schema of the subset that Weir reads.
///
/// `x-weir-text` on a string says how templates in it are filled in: `plain` (default), `shell` (values are quoted
/// for a POSIX shell unless written `| raw`), `expression` (the text is an expression, without braces) or `fixed`
/// (no templates). `x-weir-span` on a string says that it is a span of time such as `1h30m`, `x-weir-size` that it
/// is a number of bytes such as `512MiB`.
///
/// ```
/// use weir_core::schema::Schema;
///
/// let schema = Schema::object()
///     .required("script", Schema::text().shell().describe("What the shell runs."))
///     .optional("interpreter", Schema::choice(["sh", "bash"]).default("sh"));
/// let findings = schema.check_value(&serde_json::json!({ "scrpt": "date" }));
/// assert_eq!(findings[0].message, "`scrpt` is no key here");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schema(pub Value);

/// What the names of flows and jobs match.
pub const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$";
/// What the names of parameters and outputs match.
pub const WORD: &str = "^[A-Za-z][A-Za-z0-9_]{0,99}$";

/// How a text of settings is read, as its schema says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextKind {
    /// Templates are filled in as they are.
    #[default]
    Plain,
    /// Values are quoted for a POSIX shell unless written `| raw`.
    Shell,
    /// The text is an expression.
    Expression,
    /// No templates.
    Fixed,
}

impl TextKind {
    /// The kind of that name; plain if there is none.
    fn named(name: &str) -> Self {
        match name {
            "shell" => Self::Shell,
            "expression" => Self::Expression,
            "fixed" => Self::Fixed,
            _ => Self::Plain,
        }
    }
}

impl Schema {
    /// How the text at a JSON pointer of settings is read. Where the schema leaves a choice, the first branch that
    /// knows the place decides. To ask for many, make a [`Checker`].
    pub fn text_kind(&self, pointer: &str) -> TextKind {
        Checker::new(self.clone()).text_kind(pointer)
    }

    /// What a schema says of one key or item.
    fn inner<'a>(&'a self, schema: &'a Value, part: &str) -> Vec<&'a Value> {
        let of_branch = |branch: &'a Value| {
            let property = branch.get("properties").and_then(|properties| properties.get(part));
            property
                .or_else(|| branch.get("additionalProperties").filter(|more| more.is_object()))
                .or_else(|| {
                    branch.get("items").filter(|_| part.bytes().all(|b| b.is_ascii_digit()))
                })
        };
        self.branches(schema).into_iter().filter_map(of_branch).collect()
    }

    /// The schema itself, or the branches of its `oneOf`, references followed.
    fn branches<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.followed(schema);
        match schema.get("oneOf").and_then(Value::as_array) {
            Some(branches) => branches.iter().flat_map(|branch| self.branches(branch)).collect(),
            None => vec![schema],
        }
    }

    /// The schema, or what its `$ref` names.
    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str);
        let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
        name.and_then(|name| self.0.get("$defs")?.get(name)).unwrap_or(schema)
    }
}

#[cfg(test)]
mod tests;
