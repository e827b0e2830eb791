//! Reading `with`: typed settings out of a rendered value, and texts out of one that still holds templates.

use std::time::Duration;

use regex::Regex;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use weir_core::job_type::{Fault, JobError};
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;
use weir_core::time::parse_span;

use crate::mask;

/// The settings in a rendered `with`; nothing at all is as good as an empty mapping.
///
/// # Errors
/// [`ErrorClass::Definition`], without any secret in its words.
pub(crate) fn read<T: DeserializeOwned>(with: &Value, secrets: &[Secret]) -> Result<T, JobError> {
    let with = if with.is_null() { Value::Object(Map::new()) } else { with.clone() };
    serde_json::from_value(with).map_err(|error| {
        wrong(mask::hide(&format!("the settings can't be read: {error}"), secrets))
    })
}

/// A setting turned out to be wrong when it was used.
pub(crate) fn wrong(message: impl Into<String>) -> JobError {
    JobError::new(ErrorClass::Definition, message)
}

/// Whether a text still holds templates.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The text at `pointer`, if there is one and it holds no templates.
pub(crate) fn fixed<'a>(with: &'a Value, pointer: &str) -> Option<&'a str> {
    with.pointer(pointer).and_then(Value::as_str).filter(|text| !is_template(text))
}

/// The texts of the setting `name`, one or a list, that hold no templates.
pub(crate) fn fixed_texts<'a>(with: &'a Value, name: &str) -> Vec<&'a str> {
    let texts: Vec<&str> = match with.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter(|text| !is_template(text)).collect()
}

/// Something wrong with the setting at `pointer`.
pub(crate) fn fault(pointer: &str, message: impl Into<String>, help: &str) -> Fault {
    let help = (!help.is_empty()).then(|| help.to_owned());
    Fault { pointer: pointer.to_owned(), message: message.into(), help }
}

/// What is wrong with a regular expression, in a line.
pub(crate) fn regex_fault(pointer: &str, pattern: &str) -> Option<Fault> {
    let error = Regex::new(pattern).err()?.to_string();
    let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Some(fault(pointer, format!("this is no regular expression: {last}"), ""))
}

/// A span of time, written such as `1m30s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => parse_span(text.trim()).map(Self).map_err(D::Error::custom),
            Value::Number(number) if number.as_u64() == Some(0) => Ok(Self(Duration::ZERO)),
            other => Err(D::Error::custom(format!("`{other}` is no span of time such as `90s`"))),
        }
    }
}

/// A whole number, also when a template made a text of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom(format!("{value} is no whole number")))
    }
}

/// `true` or `false`, also when a template made a text of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl Flag {
    /// `true`, for what is so unless somebody says otherwise.
    pub(crate) fn yes() -> Self {
        Self(true)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(flag) => Ok(Self(flag)),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Self(true)),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Self(false)),
            other => Err(D::Error::custom(format!("{other} is neither true nor false"))),
        }
    }
}

/// A text, also when it was written as a number or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => Ok(Self(flag.to_string())),
            other => Err(D::Error::custom(format!("{other} is no text"))),
        }
    }
}

/// One, or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    /// Several, or none.
    Many(Vec<T>),
    /// One, written without a list.
    One(T),
}

impl<T> OneOrMany<T> {
    /// As a list.
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(many) => many,
            Self::One(one) => vec![one],
        }
    }
}
