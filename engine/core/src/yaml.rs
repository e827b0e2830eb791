//! YAML 1.2 texts as trees whose every node knows where it stands.
//!
//! Only what a file written by a person needs: the core schema, one document, keys that are texts. What a text can
//! make us spend is bounded (size, depth, nodes after aliases are filled in). Nothing here knows what a flow is.

mod read;
mod scalar;
mod source;

use serde_json::{Map, Value};

use crate::mistake::Place;

pub use read::read;
pub use source::Source;

/// Bytes that a file may have.
pub const MAX_BYTES: usize = 16 << 20;
/// Nodes that a file may have, those counted that an alias repeats.
pub const MAX_NODES: usize = 2_000_000;
/// How deep lists and mappings may stand in each other.
pub const MAX_DEPTH: usize = 64;

/// A value in a YAML text, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands. Of a block text, the first character of its first line; of an empty value, its key.
    pub place: Place,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent; never infinite, never "not a number".
    Float(f64),
    /// A text.
    Text(Box<str>),
    /// A list.
    List(Box<[Node]>),
    /// A mapping, in the file's order, without repeated keys.
    Map(Box<[Entry]>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Box<str>,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// What people call this kind of value.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Int(_) => "a whole number",
            Data::Float(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            Data::Null
            | Data::Bool(_)
            | Data::Int(_)
            | Data::Float(_)
            | Data::List(_)
            | Data::Map(_) => None,
        }
    }

    /// The entries, if it is a mapping; else none.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            Data::Null
            | Data::Bool(_)
            | Data::Int(_)
            | Data::Float(_)
            | Data::Text(_)
            | Data::List(_) => &[],
        }
    }

    /// The items, if it is a list; else none.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            Data::Null
            | Data::Bool(_)
            | Data::Int(_)
            | Data::Float(_)
            | Data::Text(_)
            | Data::Map(_) => &[],
        }
    }

    /// The entry of a mapping with that key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// The value of a mapping under that key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Takes the entries out of the mapping under a key; none if there is no such mapping.
    pub fn take(&mut self, key: &str) -> Vec<Entry> {
        let Data::Map(entries) = &mut self.data else { return Vec::new() };
        match entries.iter_mut().find(|entry| &*entry.key == key).map(|entry| &mut entry.value.data)
        {
            Some(Data::Map(inner)) => std::mem::take(inner).into_vec(),
            Some(
                Data::Null
                | Data::Bool(_)
                | Data::Int(_)
                | Data::Float(_)
                | Data::Text(_)
                | Data::List(_),
            )
            | None => Vec::new(),
        }
    }

    /// The same without places.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::from(*value),
            Data::Int(value) => Value::from(*value),
            Data::Float(value) => Value::from(*value),
            Data::Text(text) => Value::from(&**text),
            Data::List(items) => items.iter().map(Self::to_value).collect(),
            Data::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.to_string(), entry.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The tree of a value that stands nowhere.
    pub fn from_value(value: &Value) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Data::Int(value),
                None => Data::Float(number.as_f64().unwrap_or(f64::MAX)),
            },
            Value::String(text) => Data::Text(text.as_str().into()),
            Value::Array(items) => Data::List(items.iter().map(Self::from_value).collect()),
            Value::Object(map) => Data::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.as_str().into(),
                        place: Place::default(),
                        value: Self::from_value(value),
                    })
                    .collect(),
            ),
        };
        Self { place: Place::default(), data }
    }
}

#[cfg(test)]
mod tests;
