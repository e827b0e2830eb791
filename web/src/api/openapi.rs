//! What the API is, as `OpenAPI` 3.1: made from the list of calls, so that it names each of them and no other.

use axum::Json;
use serde_json::{Map, Value, json};
use weir_core::notice::Reason;

use crate::api::people::MOST_DAYS;
use crate::api::schedules::{MOST_AT_ONCE, MOST_TIMES, TIMES};
use crate::api::{CALLS, PAGE, PAGE_MOST, shapes};
use crate::pages::runs::STATES;
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

/// What can be asked as the command line does.
const CALLED: [&str; 26] = [
    "hello",
    "begin",
    "rerun",
    "preview",
    "wish",
    "show",
    "runs",
    "events",
    "watch",
    "log",
    "schedules",
    "next",
    "fires",
    "flows",
    "pause-schedule",
    "resume-schedule",
    "backfill",
    "signatures",
    "diagnoses",
    "secret-set",
    "secret-list",
    "secret-remove",
    "verify",
    "notices",
    "prune",
    "people",
];

const SAID: &[Said] = &[
    said("GET", "/openapi.json", "This description", &[], None, (200, Some("Any"))),
    said(
        "POST",
        "/ask",
        "What `weir` asks when WEIR_URL is set: the requests of the home's socket, for programs of the same version only. With \
         `watch` the answer is a line for each event. Sent again with the same Idempotency-Key, `begin` and `rerun` answer \
         with the same run",
        &[],
        Some("Ask"),
        (200, None),
    ),
    said("GET", "/flows", "The flows that are known", PAGED, None, (200, Some("Flows"))),
    said(
        "GET",
        "/flows/{project}/{flow}",
        "A flow; `-` stands for no project",
        &[],
        None,
        (200, Some("Flow")),
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
        "POST",
        HOOKS,
        "Begin a run by a call that is signed with the project's secret `trigger`; each signature counts once",
        &[],
        Some("Hook"),
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
        (200, Some("Runs")),
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
        "A task; with `/log` behind its path its log, of which a Range may be asked, or the last lines (`tail`), each line \
         behind the time it was written (`times`), and all that comes until the attempt has ended (`follow`)",
        &[("attempt", "integer"), ("tail", "integer"), ("times", "boolean"), ("follow", "boolean")],
        None,
        (200, Some("Task")),
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
        "/schedules",
        "When flows run by themselves",
        &[("project", "string"), ("flow", "string"), ("cursor", "string"), ("limit", "integer")],
        None,
        (200, Some("List")),
    ),
    said("GET", "/schedules/{id}", "A schedule", &[], None, (200, Some("Schedule"))),
    said("DELETE", "/schedules/{id}", "Remove a schedule that was added", &[], None, (204, None)),
    said(
        "POST",
        "/flows/{project}/{flow}/schedules",
        "Add a schedule to a flow",
        &[],
        Some("NewSchedule"),
        (201, Some("ScheduleMade")),
    ),
    said(
        "GET",
        "/schedules/{id}/next",
        "Its next due times, in UTC and on its own clock",
        &[("after", "string"), ("count", "integer")],
        None,
        (200, Some("DueTimes")),
    ),
    said(
        "GET",
        "/schedules/{id}/fires",
        "What became of its due times, newest first",
        PAGED,
        None,
        (200, Some("Fires")),
    ),
    said("POST", "/schedules/{id}/pause", "Pause it", &[], None, (204, None)),
    said("POST", "/schedules/{id}/resume", "Let it go on from now", &[], None, (204, None)),
    said(
        "POST",
        "/schedules/{id}/backfill",
        "Begin a run for each due time of a span of dates, or look which they would be",
        &[],
        Some("Backfill"),
        (201, Some("Backfilled")),
    ),
    said(
        "GET",
        "/hosts",
        "The hosts of projects, each with what was found when somebody looked last",
        &[("project", "string")],
        None,
        (200, Some("Hosts")),
    ),
    said("GET", "/hosts/{project}/{host}", "A host", &[], None, (200, Some("Host"))),
    said(
        "POST",
        "/hosts/{project}/{host}/look",
        "Go there now: is it reached, what does it say of itself",
        &[],
        None,
        (200, Some("Host")),
    ),
    said("GET", "/projects", "The projects", &[], None, (200, Some("Projects"))),
    said("GET", "/nodes", "The processes that serve this home", &[], None, (200, Some("Nodes"))),
    said(
        "GET",
        "/diagnoses",
        "Known failures that were met, newest first",
        &[("signature", "string"), ("cursor", "string"), ("limit", "integer")],
        None,
        (200, Some("Diagnoses")),
    ),
    said(
        "GET",
        "/catalogue",
        "The catalogue of known failures",
        &[],
        None,
        (200, Some("Catalogue")),
    ),
    said(
        "GET",
        "/notices",
        "Who was told of what, who is still to be told and who could not be, newest first",
        &[("run", "integer"), ("state", "string"), ("cursor", "string"), ("limit", "integer")],
        None,
        (200, Some("Notices")),
    ),
    said(
        "POST",
        "/notices/again",
        "Try once more to deliver a notice that was given up",
        &[],
        Some("Notice"),
        (204, None),
    ),
    said("GET", "/users", "Who may log in", &[], None, (200, Some("Users"))),
    said(
        "GET",
        "/tokens",
        "The tokens; their values are never shown again",
        &[],
        None,
        (200, Some("Tokens")),
    ),
    said(
        "POST",
        "/tokens",
        "Make a token; its value is in the answer and nowhere else",
        &[],
        Some("NewToken"),
        (201, Some("NewTokenMade")),
    ),
    said("DELETE", "/tokens/{name}", "Remove a token", &[], None, (204, None)),
    said(
        "GET",
        "/audit",
        "What was changed by whom, newest first",
        PAGED,
        None,
        (200, Some("Audit")),
    ),
];

const BASE: &str = "/api/v1";

/// What is known by its signature.
const HOOKS: &str = "/hooks/{project}";

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
            let schema = if name == "id" {
                json!({ "type": "integer", "format": "int64", "minimum": 1 })
            } else {
                json!({ "type": "string", "minLength": 1 })
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    for (name, kind) in said.query {
        parameters.push(json!({ "name": name, "in": "query", "schema": query(said, name, kind) }));
    }
    if (said.path.ends_with("/runs") || said.path == "/ask") && said.method == "POST" {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "pattern": "^[!-~]{1,200}$" },
        }));
    }
    if said.path == HOOKS {
        for (name, pattern) in
            [("Weir-Timestamp", "^[0-9]{1,15}$"), ("Weir-Signature", "^sha256=[0-9a-fA-F]{64}$")]
        {
            parameters.push(json!({
                "name": name, "in": "header", "required": true, "schema": { "type": "string", "pattern": pattern },
            }));
        }
    }
    let mut operation = json!({
        "summary": said.summary, "parameters": parameters, "responses": responses(said, need),
    });
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
        operation["requestBody"] = json!({ "content": of_schema("application/json", body) });
    }
    operation
}

/// The shape of what stands behind the `?`.
fn query(said: &Said, name: &str, kind: &str) -> Value {
    match name {
        "limit" => {
            json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE })
        }
        "attempt" | "run" => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        "after" if said.path.ends_with("/next") => {
            json!({ "type": "string", "format": "date-time" })
        }
        "count" => {
            json!({ "type": "integer", "minimum": 1, "maximum": MOST_TIMES, "default": TIMES })
        }
        "cursor" if said.path.ends_with("/fires") => {
            json!({ "type": "string", "format": "date-time", "description": "the `next` of an earlier page" })
        }
        "tail" | "after" => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        "state" if said.path == "/notices" => {
            json!({ "type": "string", "enum": ["waiting", "delivered", "given-up"] })
        }
        "cursor" if said.path == "/notices" => {
            json!({
                "type": "string", "pattern": "^[0-9]{1,18}[.][0-9]{1,18}[.][0-9]{1,2}[.].",
                "description": "the `next` of an earlier page",
            })
        }
        "state" => json!({ "type": "string", "enum": STATES }),
        "cursor" if !["/flows", "/schedules"].contains(&said.path) => {
            json!({ "type": "string", "pattern": "^[0-9]{0,18}$", "description": "the `next` of an earlier page" })
        }
        _ => json!({ "type": kind }),
    }
}

fn of_schema(kind: &str, schema: &str) -> Value {
    json!({ kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn responses(said: &Said, need: Need) -> Map<String, Value> {
    let text = |kind: &str| json!({ kind: { "schema": { "type": "string" } } });
    let (status, schema) = said.answer;
    let mut answer = json!({ "description": said.summary });
    if let Some(schema) = schema {
        answer["content"] = of_schema("application/json", schema);
    }
    let mut responses = Map::new();
    let mut add = |status: u16, answer: Value| responses.insert(status.to_string(), answer);
    match (said.method, said.path) {
        ("POST", "/runs/{id}/rerun") => {
            let content = of_schema("application/json", "Preview");
            add(
                200,
                json!({ "description": "What it would do, for `preview`", "content": content }),
            );
        }
        ("POST", "/schedules/{id}/backfill") => {
            let content = of_schema("application/json", "Backfilled");
            add(
                200,
                json!({ "description": "Which they would be, for `preview`", "content": content }),
            );
        }
        ("GET", "/runs/{id}") => {
            add(304, json!({ "description": "As it was when its ETag was given" }));
        }
        ("POST", "/ask") => {
            let none = json!({});
            answer["content"] = json!({ "application/json": none, "application/x-ndjson": none });
        }
        ("GET", "/runs/{id}/events") => answer["content"] = json!({ "text/event-stream": {} }),
        ("GET", "/runs/{id}/tasks/{path}") => {
            let log = text("text/plain");
            answer["content"]["text/plain"] = log["text/plain"].clone();
            add(
                206,
                json!({ "description": "The part of the log that was asked for", "content": log }),
            );
            add(416, json!({ "description": "The log has no such part", "content": log }));
        }
        _ => {}
    }
    add(status, answer);
    let mut problem = |status: u16, words: &str| {
        let content = of_schema("application/problem+json", "Problem");
        add(status, json!({ "description": words, "content": content }));
    };
    if said.path == HOOKS {
        problem(401, "The signature does not fit, or its time is over");
        problem(404, "There is no such project or flow, or it takes no calls");
        problem(409, "The call came before");
        problem(422, "What was sent does not fit");
    } else if need != Need::Nobody {
        problem(401, "There is no valid token");
        problem(403, "The role does not allow it");
        problem(404, "It is not there, or may not be seen");
        problem(409, "It does not fit how things stand");
        problem(422, "What was sent does not fit");
    }
    responses
}

fn schemas() -> Map<String, Value> {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let given = json!({
        "Ask": {
            "type": "object", "required": ["call"], "description": "the other members belong to the call",
            "properties": { "call": { "type": "string", "enum": CALLED } },
        },
        "NewRun": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "params": { "type": "object" },
                "confirm": { "type": "array", "items": { "type": "string" }, "description": "the words against what the flow destroys" },
                "only": texts, "from": texts, "skip": texts,
            },
        },
        "Notice": {
            "type": "object", "additionalProperties": false, "required": ["run", "seq", "reason", "to"],
            "properties": {
                "run": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                "seq": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                "reason": { "type": "string", "enum": Reason::ALL.map(Reason::name) },
                "to": { "type": "string", "minLength": 1 },
            },
        },
        "Hook": {
            "type": "object", "additionalProperties": false, "required": ["flow"],
            "properties": {
                "flow": { "type": "string" }, "params": { "type": "object" },
                "confirm": { "type": "array", "items": { "type": "string" }, "description": "the words against what the flow destroys" },
            },
        },
        "Rerun": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "from": { "description": "jobs are named by their paths", "oneOf": [
                    { "type": "string", "enum": ["failed", "all"] },
                    { "type": "object", "additionalProperties": false, "required": ["job"], "properties": { "job": { "type": "string" } } },
                    { "type": "object", "additionalProperties": false, "required": ["only"], "properties": { "only": texts } },
                ] },
                "params": { "type": "object" },
                "confirm": texts, "version": { "type": "string", "enum": ["same", "newest"] }, "preview": { "type": "boolean" },
            },
        },
        "NewSchedule": {
            "type": "object", "additionalProperties": false, "required": ["id"],
            "description": "the keys of a schedule in a flow file: one of `cron`, `every`, `at` and `after-flow`, and more",
            "properties": {
                "id": { "type": "string" }, "cron": { "type": "string" }, "every": { "type": "string" }, "at": { "type": "string" },
                "after-flow": { "type": "string" }, "on": {}, "timezone": { "type": "string" }, "from": { "type": "string" },
                "until": { "type": "string" }, "misfire": { "type": "string", "enum": ["run-once", "skip", "run-all"] },
                "catch-up": { "type": ["integer", "string"] }, "missing": { "type": "string", "enum": ["shift", "skip"] },
                "duplicate": { "type": "string", "enum": ["first", "last", "both"] }, "jitter": { "type": "string" }, "calendar": {},
                "paused": { "type": "boolean" }, "params": { "type": "object" }, "confirm": {},
            },
        },
        "Backfill": {
            "type": "object", "additionalProperties": false, "required": ["from", "to"],
            "properties": {
                "from": { "type": "string", "description": "a date, or a date and time on the schedule's clock" }, "to": { "type": "string" },
                "parallel": { "type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE, "description": "how many of the runs may move at once" }, "preview": { "type": "boolean" },
            },
        },
        "Answer": { "type": "object", "additionalProperties": false, "properties": { "values": { "type": "object" } } },
        "NewToken": {
            "type": "object", "additionalProperties": false, "required": ["name", "role"],
            "properties": {
                "name": { "type": "string", "description": "up to 64 letters, digits and `-_.@+`" },
                "role": { "type": "string", "enum": ["viewer", "operator", "author", "admin"] },
                "project": { "type": "string", "description": "none for all projects" },
                "days": { "type": ["integer", "null"], "minimum": 1, "maximum": MOST_DAYS, "description": "none for good" },
            },
        },
    });
    let mut all = shapes::answers();
    all.extend(given.as_object().cloned().unwrap_or_default());
    all
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
