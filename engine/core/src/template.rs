//! Texts in which `{{ }}` and `{% %}` are filled in, and expressions (minijinja, strict: an undefined name is an error).
//!
//! What a template sees:
//! * `params.NAME`; `item` in a `foreach`; `host` in what works on one
//! * `jobs.NAME.outputs.KEY`, `jobs.NAME.state` (a `-` in a name may be written `_`, or `jobs['a-b']`)
//! * `run.id`, `run.due`, `run.flow`, `run.project`, `run.attempt`
//! * `secret('NAME')`, `hosts('role=datanode,zone!=b')`
//! * in the jobs of a remedy: `remedy.captures.NAME`, `failed.job`, `failed.host`, `failed.message`
//! * filters beside minijinja's: `raw`, `json`, `date('%Y-%m-%d')`
//!
//! Three ways of filling in ([`TextKind`]): plain; for a shell, where every value is quoted for its place ([`shell`]); as an
//! expression. A text that is one `{{ expression }}` and nothing else yields the expression's value, be it a list or a
//! number, except in a shell script. Nothing here opens a file: templates can't include others.

mod context;
mod error;
mod fill;
mod shell;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::flow::{Places, Text};
use crate::schema::{Schema, TextKind};
use crate::secret::Secret;

pub use context::{Context, Failed, JobFacts, Jobs, RunFacts, Secrets};
pub use error::TemplateError;

use fill::{Filler, fill_text, fill_value};

/// Something filled in, and the secrets that went into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled<T> {
    /// The result.
    pub value: T,
    /// The secrets that were read, and values made from them. All must be masked.
    pub secrets: Vec<Secret>,
}

/// Settings whose texts are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The settings.
    pub with: Value,
    /// The secrets that were read, and values made from them. All must be masked.
    pub secrets: Vec<Secret>,
    /// The JSON pointers of all texts that a secret went into. A job type refuses those that would be seen.
    pub secret_at: BTreeSet<String>,
}

/// Fills in a text.
///
/// # Errors
/// It is no template, or names what is not there, or a value has no place in a shell script.
pub fn text(text: &Text, kind: TextKind, cx: &Context) -> Result<Filled<String>, TemplateError> {
    let filler = Filler::new(cx);
    let value = fill_text(&filler, &text.source, kind).map_err(|error| error.at("", text.place))?;
    Ok(Filled { value, secrets: filler.secrets() })
}

/// The value of an expression, written with or without `{{ }}`.
///
/// # Errors
/// It is no expression, or names what is not there.
pub fn value(text: &Text, cx: &Context) -> Result<Filled<Value>, TemplateError> {
    let filler = Filler::new(cx);
    let value = fill_value(&filler, &text.source).map_err(|error| error.at("", text.place))?;
    Ok(Filled { value, secrets: filler.secrets() })
}

/// Whether an expression holds.
///
/// # Errors
/// It is no expression, names what is not there, or is neither true nor false.
pub fn condition(text: &Text, cx: &Context) -> Result<bool, TemplateError> {
    let found = value(text, cx)?.value;
    match found {
        Value::Bool(holds) => Ok(holds),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(TemplateError::new(
                format!("a condition must be true or false, and this is {}", fill::kind_of(&found)),
                Some("compare it with something, such as `... == 'yes'`".to_owned()),
            )
            .at("", text.place))
        }
    }
}

/// The items of a `foreach`.
///
/// # Errors
/// It is no expression, names what is not there, or is no list.
pub fn list(text: &Text, cx: &Context) -> Result<Filled<Vec<Value>>, TemplateError> {
    let Filled { value: found, secrets } = value(text, cx)?;
    match found {
        Value::Array(items) => Ok(Filled { value: items, secrets }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(TemplateError::new(
                format!("a foreach needs a list, and this is {}", fill::kind_of(&found)),
                Some("a text becomes a list with `| split(',')` or `| lines`".to_owned()),
            )
            .at("", text.place))
        }
    }
}

/// Fills in all texts of settings. `schema` says how each is read, `places` where each stands.
///
/// # Errors
/// All that is wrong, each with its JSON pointer and place.
pub fn settings(
    with: &Value,
    schema: &Schema,
    places: &Places,
    cx: &Context,
) -> Result<Rendered, Vec<TemplateError>> {
    let mut walk = fill::Walk::new(schema, places, cx);
    let with = walk.value(with, "");
    walk.end(with)
}
