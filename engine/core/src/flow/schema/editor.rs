//! The JSON Schema that editors read: flow files with the settings of every known job type.

use serde_json::{Value, json};

use super::{flow, with_is_needed};
use crate::job_types::JobTypes;
use crate::schema::Templates;

/// The JSON Schema (draft 2020-12) of flow files, with the settings of every known job type. For editors: a text with
/// a template fits where it may stand.
pub fn json_schema(types: &JobTypes) -> Value {
    let mut schema = flow().for_editors(Templates::Refused);
    let names: Vec<&str> = types.iter().map(crate::job_types::Known::name).collect();
    let mut settings = Vec::new();
    for known in types.iter() {
        let mut with = known.schema().for_editors(Templates::Filled);
        hoist(&mut schema, &mut with, known.name());
        // Without `with` the settings are empty: right only for a type that needs none.
        let mut then = json!({ "properties": { "with": with } });
        if with_is_needed(known.schema()) {
            then["required"] = json!(["with"]);
        }
        settings.push(json!({
            "if": { "properties": { "uses": { "const": known.name() } }, "required": ["uses"] },
            "then": then,
        }));
    }
    for shape in ["job", "check-uses"] {
        let job = &mut schema["$defs"][shape];
        job["properties"]["uses"]["enum"] = json!(names);
        job["allOf"] = json!(settings);
    }
    let mut all = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flow of Weir",
    });
    if let (Some(all), Some(schema)) = (all.as_object_mut(), schema.as_object_mut()) {
        all.append(schema);
    }
    all
}

/// Moves the shapes that a job type defines to the outermost schema, where references look for them.
fn hoist(schema: &mut Value, with: &mut Value, type_name: &str) {
    let Some(shapes) = with.as_object_mut().and_then(|with| with.remove("$defs")) else { return };
    let prefix = format!("{type_name}:");
    rename(with, &prefix);
    if let Value::Object(shapes) = shapes {
        for (name, mut shape) in shapes {
            rename(&mut shape, &prefix);
            schema["$defs"][format!("{prefix}{name}")] = shape;
        }
    }
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (word, value) in map {
                match value {
                    Value::String(name) if word == "$ref" => {
                        *name = name.replace("#/$defs/", &format!("#/$defs/{prefix}"));
                    }
                    inner => rename(inner, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
