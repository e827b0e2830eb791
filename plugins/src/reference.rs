//! The reference page of the job types, made from what they say of themselves.

use std::sync::Arc;

use serde_json::Value;
use weir_core::job_type::{JobType, Nature};

/// The page of all job types that ship with Weir, `test` included, as Markdown: `docs/job-types.md`.
pub fn reference() -> String {
    let head = String::from(
        "# Job types\n\n\
         What a job may name in `uses`, and the settings it takes in `with`. This page is made from the job types \
         themselves; `weir types` and `weir schema TYPE` show the same. Job types of your own: \
         [external-job-types.md](external-job-types.md).\n\n\
         Texts may hold templates (`{{ params.x }}`) unless it says *as written*. A span of time is written such as \
         `90s` or `1h30m` (ms, s, m, h, d).\n",
    );
    let sections = crate::with_faults().into_iter().map(|job_type| section(&job_type));
    std::iter::once(head).chain(sections).collect()
}

fn section(job_type: &Arc<dyn JobType>) -> String {
    let nature = match job_type.nature() {
        Nature::Work => "It takes a slot while it works.",
        Nature::Waits => "It takes no slot.",
        Nature::Instant => "It ends as soon as it starts.",
        Nature::Asks => "A person answers; it takes no slot.",
        Nature::Fault => "It takes a slot, and is refused outside of tests.",
    };
    let head = format!("\n## {}\n\n{} {nature}\n", job_type.name(), job_type.about());
    let schema = job_type.schema();
    let mut rows = Vec::new();
    settings(&schema.0, "", &mut rows);
    let table = "\n| setting | takes | meaning |\n|---|---|---|\n";
    [head, table.to_owned(), rows.concat()].concat()
}

/// A row for each setting, those of mappings and lists of mappings below them.
fn settings(schema: &Value, prefix: &str, rows: &mut Vec<String>) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map_or(Vec::new(), |names| names.iter().filter_map(Value::as_str).collect());
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, setting) in properties.into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let must = if required.contains(&name.as_str()) { " (needed)" } else { "" };
        let takes = takes(setting).replace('|', "\\|");
        let meaning = meaning(setting).replace('|', "\\|");
        rows.push(format!("| `{path}`{must} | {takes} | {meaning} |\n"));
        settings(setting, &format!("{path}."), rows);
        if let Some(item) = setting.get("items") {
            settings(item, &format!("{path}[]."), rows);
        }
    }
}

/// What a setting takes, in a few words.
fn takes(schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<_> = choices.iter().map(code).collect();
        return choices.join(", ");
    }
    if let Some(branches) = schema.get("oneOf").and_then(Value::as_array) {
        let is_span = branches.iter().any(|branch| branch.get("x-weir-span").is_some());
        if is_span {
            return "span of time".to_owned();
        }
        let branches: Vec<_> = branches.iter().map(takes).collect();
        return branches.join(" or ");
    }
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    match (text("type"), text("x-weir-text"), text("format")) {
        ("string", _, "regex") => "regular expression, as written".to_owned(),
        ("string", "shell", _) => "script".to_owned(),
        ("string", "expression", _) => "expression".to_owned(),
        ("string", "fixed", _) => "text, as written".to_owned(),
        ("string", _, _) if schema.get("x-weir-span").is_some() => "span of time".to_owned(),
        ("string", _, _) => "text".to_owned(),
        ("integer", _, _) => bounded("whole number", schema),
        ("number", _, _) => bounded("number", schema),
        ("boolean", _, _) => "`true` or `false`".to_owned(),
        ("array", _, _) => {
            let item = schema.get("items").map(takes).unwrap_or_default();
            if item.is_empty() { "list".to_owned() } else { format!("list of {item}") }
        }
        ("object", _, _) => "mapping".to_owned(),
        _ => "anything".to_owned(),
    }
}

fn bounded(what: &str, schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
        (Some(least), None) => format!("{what} from {least}"),
        (None, Some(most)) => format!("{what} up to {most}"),
        (None, None) => what.to_owned(),
    }
}

/// What it means, what holds if nothing is said, and an example.
fn meaning(schema: &Value) -> String {
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut meaning = vec![description.to_owned()];
    if let Some(default) = schema.get("default") {
        meaning.push(format!("Default: {}.", code(default)));
    }
    // Spans explain themselves.
    let is_span = takes(schema) == "span of time";
    let examples = schema.get("examples").and_then(Value::as_array).filter(|_| !is_span);
    if let Some(examples) = examples {
        let examples: Vec<_> = examples.iter().map(code).collect();
        meaning.push(format!("Such as {}.", examples.join(" or ")));
    }
    meaning.retain(|part| !part.is_empty());
    meaning.join(" ")
}

fn code(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.replace('\n', "; ");
    // Two ticks let one stand inside.
    if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") }
}
