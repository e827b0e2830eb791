//! Writing schemas without braces.

use serde_json::{Map, Value, json};

use super::Schema;

/// Making one.
impl Schema {
    /// A text.
    pub fn text() -> Self {
        Self(json!({ "type": "string" }))
    }

    /// A whole number.
    pub fn integer() -> Self {
        Self(json!({ "type": "integer" }))
    }

    /// A number.
    pub fn number() -> Self {
        Self(json!({ "type": "number" }))
    }

    /// `true` or `false`.
    pub fn boolean() -> Self {
        Self(json!({ "type": "boolean" }))
    }

    /// Nothing: a key without a value.
    pub fn nothing() -> Self {
        Self(json!({ "type": "null" }))
    }

    /// Anything.
    pub fn anything() -> Self {
        Self(json!({}))
    }

    /// A list whose items are like `item`.
    pub fn list(Self(item): Self) -> Self {
        Self(json!({ "type": "array", "items": item }))
    }

    /// A mapping of names to values like `value`.
    pub fn map(Self(value): Self) -> Self {
        Self(json!({ "type": "object", "additionalProperties": value }))
    }

    /// A mapping with known keys; others are mistakes.
    pub fn object() -> Self {
        Self(json!({ "type": "object", "properties": {}, "additionalProperties": false }))
    }

    /// One of these texts.
    pub fn choice<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        Self(json!({ "enum": texts }))
    }

    /// A span of time such as `1h30m`.
    pub fn span() -> Self {
        Self(json!({
            "oneOf": [
                {
                    "type": "string",
                    "x-weir-span": true,
                    "pattern": "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
                },
                { "const": 0 },
            ],
            "examples": ["10s", "1h30m"],
        }))
    }

    /// A number of bytes such as `512MiB`.
    pub fn size() -> Self {
        Self(json!({
            "oneOf": [
                {
                    "type": "string",
                    "x-weir-size": true,
                    "pattern": "^[0-9]+ ?([kKMGT]i?B?|B)?$",
                },
                { "type": "integer", "minimum": 0 },
            ],
            "examples": ["512MiB", "2GB"],
        }))
    }

    /// A regular expression.
    pub fn regex() -> Self {
        Self(json!({ "type": "string", "format": "regex", "x-weir-text": "fixed" }))
    }

    /// Exactly one of these shapes.
    pub fn one_of(shapes: impl IntoIterator<Item = Self>) -> Self {
        let shapes: Vec<Value> = shapes.into_iter().map(|shape| shape.0).collect();
        Self(json!({ "oneOf": shapes }))
    }

    /// A shape defined once with [`Schema::define`].
    pub fn reference(name: &str) -> Self {
        Self(json!({ "$ref": format!("#/$defs/{name}") }))
    }
}

/// Saying more of it.
impl Schema {
    /// Adds a key that must be there.
    #[must_use]
    pub fn required(mut self, key: &str, shape: Self) -> Self {
        let required = self.map_mut().entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(Value::from(key));
        }
        self.optional(key, shape)
    }

    /// Adds a key that may be there.
    #[must_use]
    pub fn optional(mut self, key: &str, shape: Self) -> Self {
        let properties = self.map_mut().entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert(key.to_owned(), shape.0);
        }
        self
    }

    /// Lets a mapping have any other key, too.
    #[must_use]
    pub fn open(self) -> Self {
        self.with("additionalProperties", true)
    }

    /// Names a shape for [`Schema::reference`]. Only on the outermost schema.
    #[must_use]
    pub fn define(mut self, name: &str, shape: Self) -> Self {
        let shapes = self.map_mut().entry("$defs").or_insert_with(|| json!({}));
        if let Some(shapes) = shapes.as_object_mut() {
            shapes.insert(name.to_owned(), shape.0);
        }
        self
    }

    /// What people read.
    #[must_use]
    pub fn describe(self, words: &str) -> Self {
        self.with("description", words)
    }

    /// What holds when nothing is said.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// A value to show.
    #[must_use]
    pub fn example(mut self, value: impl Into<Value>) -> Self {
        let examples = self.map_mut().entry("examples").or_insert_with(|| json!([]));
        if let Some(examples) = examples.as_array_mut() {
            examples.push(value.into());
        }
        self
    }

    /// What a text must match (a regular expression; anchor it with `^` and `$`).
    #[must_use]
    pub fn pattern(self, pattern: &str) -> Self {
        self.with("pattern", pattern)
    }

    /// What each key of a mapping must match.
    #[must_use]
    pub fn keys_like(self, pattern: &str) -> Self {
        self.with("propertyNames", json!({ "pattern": pattern }))
    }

    /// The least number.
    #[must_use]
    pub fn minimum(self, least: impl Into<Value>) -> Self {
        self.with("minimum", least)
    }

    /// The greatest number.
    #[must_use]
    pub fn maximum(self, greatest: impl Into<Value>) -> Self {
        self.with("maximum", greatest)
    }

    /// A text must have a character, a list an item, a mapping a key.
    #[must_use]
    pub fn not_empty(self) -> Self {
        let word = match self.0.get("type").and_then(Value::as_str) {
            Some("array") => "minItems",
            Some("object") => "minProperties",
            Some(_) | None => "minLength",
        };
        self.with(word, 1)
    }

    /// A text whose templates are quoted for a POSIX shell.
    #[must_use]
    pub fn shell(self) -> Self {
        self.with("x-weir-text", "shell")
    }

    /// A text that is an expression.
    #[must_use]
    pub fn expression(self) -> Self {
        self.with("x-weir-text", "expression")
    }

    /// A text without templates.
    #[must_use]
    pub fn fixed(self) -> Self {
        self.with("x-weir-text", "fixed")
    }

    /// Adds or replaces one word of JSON Schema.
    #[must_use]
    pub fn with(mut self, word: &str, value: impl Into<Value>) -> Self {
        self.map_mut().insert(word.to_owned(), value.into());
        self
    }

    fn map_mut(&mut self) -> &mut Map<String, Value> {
        if !self.0.is_object() {
            self.0 = json!({});
        }
        self.0.as_object_mut().expect("made an object just above")
    }
}
