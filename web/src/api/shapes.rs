//! The shapes of what the API answers, as JSON Schema.

use serde_json::{Map, Value, json};

use crate::pages::runs::STATES;

/// What a task can be.
const TASK_STATES: [&str; 18] = [
    "waiting",
    "ready",
    "launching",
    "running",
    "unreachable",
    "retrying",
    "recovering",
    "asking",
    "cancelling",
    "succeeded",
    "failed",
    "timed-out",
    "cancelled",
    "lost",
    "skipped",
    "already-done",
    "reused",
    "disabled",
];

/// Every shape of an answer, by name.
pub(super) fn answers() -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, shape: Value| all.insert(name.to_owned(), shape);
    add("Problem", problem());
    add("Made", object(json!({ "run": object(json!({ "id": number() })) })));
    add("Flows", list(flow_line()));
    add("Flow", object(json!({ "flow": flow() })));
    add("Runs", list(run_line()));
    add("Run", object(json!({ "run": run() })));
    add("Task", object(json!({ "task": task() })));
    add("Preview", preview());
    add("Diagnoses", list(diagnosis_line()));
    add("Catalogue", list(entry()));
    add("Users", list(user()));
    add("Tokens", list(token()));
    add(
        "NewTokenMade",
        object(json!({ "token": object(json!({ "name": text(), "value": text() })) })),
    );
    add("Notices", list(notice()));
    add("Audit", list(audit_line()));
    add("Schedules", list(schedule()));
    add("Schedule", object(json!({ "schedule": schedule() })));
    add("ScheduleMade", object(json!({ "schedule": object(json!({ "id": number() })) })));
    add("DueTimes", due_times());
    add("Fires", list(fire()));
    add("Backfilled", backfilled());
    add("Hosts", list(host()));
    add("Host", object(json!({ "host": host() })));
    add(
        "Projects",
        list(object(
            json!({ "project": text(), "flows": number(), "hosts": number(), "role": text_or_none() }),
        )),
    );
    add("Nodes", list(node()));
    // For calls whose answer is not spelled out.
    add("Any", json!({ "type": "object" }));
    add("List", list(json!({ "type": "object" })));
    all
}

/// An object that has all of these.
fn object(properties: Value) -> Value {
    let names: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    let mut shape = json!({ "type": "object", "required": names });
    shape["properties"] = properties;
    shape
}

fn list(item: Value) -> Value {
    object(json!({
        "items": array(item),
        "next": { "type": ["string", "null"], "description": "the cursor of the next page" },
    }))
}

fn array(item: Value) -> Value {
    let mut shape = json!({ "type": "array" });
    shape["items"] = item;
    shape
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_none() -> Value {
    json!({ "type": ["string", "null"] })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

fn number_or_none() -> Value {
    json!({ "type": ["integer", "null"] })
}

fn switch() -> Value {
    json!({ "type": "boolean" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn time_or_none() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn labels() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn problem() -> Value {
    let mut shape =
        object(json!({ "type": text(), "title": text(), "status": number(), "detail": text() }));
    shape["description"] = json!("RFC 9457");
    shape
}

fn flow_line() -> Value {
    object(json!({
        "project": text(), "flow": text(), "title": text_or_none(), "labels": labels(), "has_mistakes": switch(),
    }))
}

fn flow() -> Value {
    let param = object(json!({
        "name": text(), "type": text(), "enum": true, "pattern": text_or_none(), "min": true, "max": true,
        "description": text_or_none(), "default": true, "required": switch(),
    }));
    let job = object(json!({
        "path": text(), "title": text_or_none(), "uses": text_or_none(), "needs": array(text()), "destroys": text_or_none(),
    }));
    object(json!({
        "project": text(), "flow": text(), "title": text_or_none(), "description": text_or_none(), "labels": labels(),
        "version": text(), "params": array(param), "jobs": array(job),
    }))
}

fn schedule() -> Value {
    let last = json!({ "anyOf": [fire(), { "type": "null" }] });
    object(json!({
        "id": number(), "project": text(), "flow": text(), "schedule": text(), "spec": { "type": "object" },
        "state": { "type": "string", "enum": ["active", "paused", "ended", "flow-gone"] }, "paused_by": text_or_none(),
        "paused_at": time_or_none(), "next_due": time_or_none(), "next_local": text_or_none(), "version": text(), "last": last,
        "added_by": text_or_none(), "own": { "type": ["object", "null"] },
    }))
}

fn fire() -> Value {
    object(json!({
        "due": time(), "since": time(), "at": time(), "outcome": { "type": "string", "enum": ["run", "missed", "refused"] },
        "run": number_or_none(), "cause": text_or_none(), "reason": text_or_none(), "run_state": text_or_none(),
    }))
}

fn times() -> Value {
    array(object(json!({ "due": time(), "local": text() })))
}

fn due_times() -> Value {
    object(json!({
        "schedule": text(), "timezone": text_or_none(), "is_timed": switch(), "state": text(), "times": times(),
    }))
}

fn backfilled() -> Value {
    object(json!({ "schedule": text(), "times": times(), "runs": array(number()) }))
}

fn host() -> Value {
    let hop = object(json!({ "name": text(), "ms": number_or_none() }));
    let mut looked = object(json!({
        "at": time(), "is_reached": switch(), "hops": array(hop), "error": text_or_none(), "facts": { "type": "object" },
    }));
    looked["type"] = json!(["object", "null"]);
    object(json!({
        "project": text(), "name": text(), "address": text(), "port": number(), "user": text_or_none(),
        "becomes": text_or_none(), "through": array(text()), "labels": labels(), "looked": looked,
    }))
}

fn node() -> Value {
    object(json!({
        "pid": number(), "version": text(), "started_at": time(), "is_well": switch(), "trouble": text_or_none(),
        "unfinished": { "type": "object" },
    }))
}

fn run_line() -> Value {
    object(json!({
        "id": number(), "project": text(), "flow": text(), "version": text(), "state": { "type": "string", "enum": STATES },
        "reason": text_or_none(), "origin": number_or_none(), "by": text(), "created_at": time(),
        "started_at": time_or_none(), "ended_at": time_or_none(),
    }))
}

fn run() -> Value {
    let mut shape = run_line();
    let more = json!({
        "parent": text_or_none(), "params": { "type": "object" }, "due_at": time(), "tasks": array(task()),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        shape["properties"][name] = value.clone();
        if let Some(required) = shape["required"].as_array_mut() {
            required.push(json!(name));
        }
    }
    shape
}

fn task() -> Value {
    let attempt = object(json!({
        "number": number(), "state": text(), "exit_code": number_or_none(), "signal": number_or_none(),
        "error_class": text_or_none(), "message": text_or_none(), "started_at": time(), "ended_at": time_or_none(),
    }));
    let diagnosis = object(json!({
        "signature": text(), "attempt": number(), "at": time(), "then": text(), "result": text_or_none(),
        "evidence": { "type": "object" },
    }));
    object(json!({
        "job": text(), "path": text(), "item": true, "state": { "type": "string", "enum": TASK_STATES }, "reason": text_or_none(),
        "uses": text_or_none(), "since": time_or_none(), "attempts": array(attempt), "outputs": { "type": "object" },
        "diagnoses": array(diagnosis), "number": number(), "depth": number(),
    }))
}

fn preview() -> Value {
    let will = json!({ "type": "string", "enum": ["run", "reuse", "skip", "unsafe"] });
    object(json!({
        "lines": array(object(json!({ "path": text(), "will": will, "reason": text() }))),
        "version": text(), "origin_version": text(),
        "texts": {
            "type": ["array", "null"], "items": text(), "minItems": 2, "maxItems": 2,
            "description": "the flow as it ran and as it would run, where they differ",
        },
    }))
}

fn diagnosis_line() -> Value {
    object(json!({
        "run": number(), "attempt": number(), "signature": text(), "at": time(), "then": text(), "result": text_or_none(),
        "path": text_or_none(), "text": text_or_none(),
    }))
}

fn notice() -> Value {
    object(json!({
        "run": number(), "seq": number(), "reason": text_or_none(), "to": text(), "project": text(), "flow": text_or_none(),
        "subject": text_or_none(), "state": { "type": "string", "enum": ["waiting", "delivered", "given-up"] },
        "tries": number(), "at": time(), "due_at": time(), "ended_at": time_or_none(), "error": text_or_none(),
    }))
}

fn entry() -> Value {
    object(json!({
        "id": text(), "title": text(), "rank": text(), "diagnosis": text(), "log": text_or_none(), "advice": array(text()),
    }))
}

fn role() -> Value {
    json!({ "type": "string", "enum": ["viewer", "operator", "author", "admin"] })
}

fn user() -> Value {
    let roles = array(object(json!({ "project": text(), "role": role() })));
    object(json!({ "name": text(), "roles": roles, "one_time": switch(), "at": time() }))
}

fn token() -> Value {
    object(json!({
        "name": text(), "project": text(), "role": role(), "at": time(), "expires_at": time_or_none(), "by": text(),
    }))
}

fn audit_line() -> Value {
    object(json!({
        "id": number(), "at": time(), "by": text(), "origin": text(), "what": text(), "target": text(),
        "before": text_or_none(), "after": text_or_none(),
    }))
}
