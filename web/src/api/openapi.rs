//! What the API is, as `OpenAPI` 3.1: made from the list of calls, so that it names each of them and no other.

use axum::Json;
use serde_json::{Map, Value, json};

use crate::api::CALLS;
use crate::routes::Need;

/// What a call does, its parameters behind the `?`, the name of its body's schema, the status and schema of its answer.
struct Said {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
    answer: (u16, Option<&'static str>),
}

const PAGED: &[(&str, &str)] = &[("cursor", "string"), ("limit", "integer")];

const fn said(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
    answer: (u16, Option<&'static str>),
) -> Said {
    Said { method, path, summary, query, body, answer }
}

const SAID: &[Said] = &[
    said("GET", "/openapi.json", "This description", &[], None, (200, Some("Any"))),
    said("GET", "/flows", "The flows that are known", PAGED, None, (200, Some("List"))),
    said(
        "GET",
        "/flows/{project}/{flow}",
        "A flow; `-` stands for no project",
        &[],
        None,
        (200, Some("Any")),
    ),
    said(
        "POST",
        "/flows/{project}/{flow}/runs",
        "Begin a run; sent again with the same Idempotency-Key it answers with the same run",
        &[],
        Some("NewRun"),
        (201, Some("Made")),
    ),
    said(
        "GET",
        "/runs",
        "Runs, newest first",
        &[
            ("project", "string"),
            ("flow", "string"),
            ("state", "string"),
            ("cursor", "string"),
            ("limit", "integer"),
        ],
        None,
        (200, Some("List")),
    ),
    said("GET", "/runs/{id}", "A run with its tasks", &[], None, (200, Some("Run"))),
    said(
        "GET",
        "/runs/{id}/events",
        "A run's events as they come (server-sent events)",
        &[("after", "integer")],
        None,
        (200, None),
    ),
    said(
        "POST",
        "/runs/{id}/rerun",
        "Begin a run again, or look what that would do",
        &[],
        Some("Rerun"),
        (201, Some("Made")),
    ),
    said("POST", "/runs/{id}/cancel", "End a run", &[], None, (204, None)),
    said("POST", "/runs/{id}/kill", "End a run at once", &[], None, (204, None)),
    said("POST", "/runs/{id}/pause", "Start nothing new in a run", &[], None, (204, None)),
    said("POST", "/runs/{id}/resume", "Let a paused run go on", &[], None, (204, None)),
    said(
        "GET",
        "/runs/{id}/tasks/{path}",
        "A task; with `/log` behind its path its log, of which a Range may be asked",
        &[("attempt", "integer")],
        None,
        (200, Some("Any")),
    ),
    said(
        "POST",
        "/runs/{id}/tasks/{path}",
        "Act on a task: behind its path stands `/skip`, `/retry`, `/succeed`, `/fail`, `/approve` or `/reject`",
        &[],
        Some("Answer"),
        (204, None),
    ),
    said(
        "GET",
        "/diagnoses",
        "Known failures that were met, newest first",
        &[("signature", "string"), ("cursor", "string"), ("limit", "integer")],
        None,
        (200, Some("List")),
    ),
    said("GET", "/catalogue", "The catalogue of known failures", &[], None, (200, Some("List"))),
    said("GET", "/users", "Who may log in", &[], None, (200, Some("List"))),
    said(
        "GET",
        "/tokens",
        "The tokens; their values are never shown again",
        &[],
        None,
        (200, Some("List")),
    ),
    said(
        "POST",
        "/tokens",
        "Make a token; its value is in the answer and nowhere else",
        &[],
        Some("NewToken"),
        (201, Some("Any")),
    ),
    said("DELETE", "/tokens/{name}", "Remove a token", &[], None, (204, None)),
    said(
        "GET",
        "/audit",
        "What was changed by whom, newest first",
        PAGED,
        None,
        (200, Some("List")),
    ),
];

const BASE: &str = "/api/v1";

pub(crate) async fn show() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, need) in CALLS {
        let path = path.replace("{*path}", "{path}");
        let Some(said) = SAID
            .iter()
            .find(|said| said.method == *method && format!("{BASE}{}", said.path) == path)
        else {
            continue;
        };
        let entry = paths.entry(path.clone()).or_insert_with(|| json!({}));
        entry[method.to_ascii_lowercase()] = operation(said, *need);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Weir", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } } },
    })
}

fn operation(said: &Said, need: Need) -> Value {
    let mut parameters: Vec<Value> = said
        .path
        .split(['{', '}'])
        .skip(1)
        .step_by(2)
        .map(|name| {
            let kind = if name == "id" { "integer" } else { "string" };
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
        })
        .collect();
    for (name, kind) in said.query {
        parameters.push(json!({ "name": name, "in": "query", "schema": { "type": kind } }));
    }
    if said.path.ends_with("/runs") && said.method == "POST" {
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "minLength": 1, "maxLength": 200 } }));
    }
    let (status, schema) = said.answer;
    let mut answer = json!({ "description": said.summary });
    if let Some(schema) = schema {
        answer["content"] = json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    }
    let problem = |words: &str| json!({ "description": words, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let mut responses = Map::new();
    responses.insert(status.to_string(), answer);
    if said.path.ends_with("/rerun") {
        responses
            .insert("200".to_owned(), json!({ "description": "What it would do, for `preview`" }));
    }
    if need != Need::Nobody {
        responses.insert("401".to_owned(), problem("There is no valid token"));
        responses.insert("403".to_owned(), problem("The role does not allow it"));
        responses.insert("404".to_owned(), problem("It is not there, or may not be seen"));
        responses.insert("409".to_owned(), problem("It does not fit how things stand"));
        responses.insert("422".to_owned(), problem("What was sent does not fit"));
    }
    let mut operation =
        json!({ "summary": said.summary, "parameters": parameters, "responses": responses });
    if need != Need::Nobody {
        let role = match need {
            Need::Role(role) => role.name(),
            Need::Admin => "admin",
            Need::Login | Need::Nobody => "any",
        };
        operation["security"] = json!([{ "token": [] }]);
        operation["x-weir-role"] = json!(role);
    }
    if let Some(body) = said.body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{body}") } } } });
    }
    operation
}

fn schemas() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "Any": { "type": "object" },
        "List": {
            "type": "object", "required": ["items", "next"],
            "properties": { "items": { "type": "array", "items": { "type": "object" } }, "next": { "type": ["string", "null"], "description": "the cursor of the next page" } },
        },
        "Problem": {
            "type": "object", "description": "RFC 9457", "required": ["title", "status", "detail"],
            "properties": { "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" } },
        },
        "Made": { "type": "object", "required": ["run"], "properties": { "run": { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } } } },
        "Run": {
            "type": "object", "required": ["run"],
            "properties": { "run": {
                "type": "object", "required": ["id", "flow", "version", "state", "params", "tasks"],
                "properties": {
                    "id": { "type": "integer" }, "project": { "type": "string" }, "flow": { "type": "string" }, "version": { "type": "string" },
                    "state": { "type": "string", "enum": crate::pages::runs::STATES }, "origin": { "type": ["integer", "null"] },
                    "params": { "type": "object" }, "started_at": { "type": ["string", "null"], "format": "date-time" },
                    "ended_at": { "type": ["string", "null"], "format": "date-time" }, "tasks": { "type": "array", "items": { "type": "object" } },
                },
            } },
        },
        "NewRun": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "params": { "type": "object" },
                "confirm": { "type": "array", "items": { "type": "string" }, "description": "the words against what the flow destroys" },
                "only": texts, "from": texts, "skip": texts,
            },
        },
        "Rerun": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "from": { "description": "`failed`, `all`, `{\"job\": PATH}` or `{\"only\": [PATH]}`" }, "params": { "type": "object" },
                "confirm": texts, "version": { "type": "string", "enum": ["same", "newest"] }, "preview": { "type": "boolean" },
            },
        },
        "Answer": { "type": "object", "additionalProperties": false, "properties": { "values": { "type": "object" } } },
        "NewToken": {
            "type": "object", "additionalProperties": false, "required": ["name", "role"],
            "properties": {
                "name": { "type": "string" }, "role": { "type": "string", "enum": ["viewer", "operator", "author", "admin"] },
                "project": { "type": "string" }, "days": { "type": "integer", "minimum": 1 },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_described_and_nothing_else() {
        let document = document();
        let described: usize = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .filter_map(Value::as_object)
            .map(Map::len)
            .sum();
        assert_eq!(described, CALLS.len());
        assert_eq!(SAID.len(), CALLS.len());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = document();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(!document["components"]["schemas"][name].is_null(), "{name}");
        }
    }
}
