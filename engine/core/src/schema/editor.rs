//! The same shapes for editors, which know nothing of templates.

use serde_json::{Map, Value, json};

use super::{Schema, Templates};

impl Schema {
    /// The schema as plain JSON Schema. Where templates are filled in, one may stand for what it makes: for numbers,
    /// booleans and choices any text with `{{`, for lists and mappings a text that is one `{{ }}`.
    pub fn for_editors(&self, templates: Templates) -> Value {
        // The settings as a whole are never a template: only what stands in them.
        let whole = loosened(&self.0, templates);
        match whole.pointer("/anyOf/0") {
            Some(settings) if self.0.get("type").is_some() => settings.clone(),
            Some(_) | None => whole,
        }
    }
}

fn loosened(schema: &Value, templates: Templates) -> Value {
    let Some(map) = schema.as_object() else { return schema.clone() };
    let is_fixed = map.get("x-weir-text").and_then(Value::as_str) == Some("fixed")
        && !map.contains_key("x-weir-span")
        && !map.contains_key("x-weir-size");
    let kind = map.get("type").and_then(Value::as_str);
    let template = if templates == Templates::Refused
        || is_fixed
        || map.contains_key("oneOf")
        || map.contains_key("$ref")
    {
        None
    } else {
        match kind {
            Some("integer" | "number" | "boolean") => {
                Some(json!({ "type": "string", "pattern": "\\{\\{|\\{%" }))
            }
            Some("string") if map.contains_key("pattern") || map.contains_key("format") => {
                Some(json!({ "type": "string", "pattern": "\\{\\{|\\{%" }))
            }
            Some("array" | "object") => {
                Some(json!({ "type": "string", "pattern": "^\\s*\\{\\{.*\\}\\}\\s*$" }))
            }
            None if map.contains_key("enum") => {
                Some(json!({ "type": "string", "pattern": "\\{\\{|\\{%" }))
            }
            Some(_) | None => None,
        }
    };
    let mut own = Map::new();
    let mut said = Map::new();
    for (word, value) in map {
        let value = match word.as_str() {
            "properties" | "$defs" => Value::Object(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, shape)| (key.clone(), loosened(shape, templates)))
                    .collect(),
            ),
            "items" | "additionalProperties" => loosened(value, templates),
            "x-weir-hints" | "x-weir-form" => continue,
            // With templates allowed in more than one branch, several may fit.
            "oneOf" => {
                let branches: Vec<Value> = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|branch| loosened(branch, templates))
                    .collect();
                own.insert("anyOf".to_owned(), Value::from(branches));
                continue;
            }
            _ => value.clone(),
        };
        if template.is_some()
            && matches!(word.as_str(), "title" | "description" | "default" | "examples")
        {
            said.insert(word.clone(), value);
        } else {
            own.insert(word.clone(), value);
        }
    }
    match template {
        Some(template) => {
            said.insert("anyOf".to_owned(), json!([own, template]));
            Value::Object(said)
        }
        None => Value::Object(own),
    }
}
