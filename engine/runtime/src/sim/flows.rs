//! Flows made up by chance: small, but with everything that can meet.

use serde_json::{Map, Value, json};

use super::random::Random;

/// The project of all of them.
pub(super) const PROJECT: &str = "name: p\npools: { net: 3 }";
/// What a job of type `flow` runs.
pub(super) const CHILD: &str = "name: child\njobs:\n  x: { uses: work, retry: { attempts: 2, delay: 1s } }\n  y: { needs: x, uses: noop }";

/// The text of a flow (JSON is YAML, too).
pub(super) fn flow(random: &mut Random, name: &str) -> String {
    let holds_locks = random.chance(25);
    let task_locks: &[&str] = if holds_locks { &["t1", "t2"] } else { &["t1", "t2", "f1"] };
    let mut flow = json!({
        "name": name,
        "params": { "yes": { "type": "boolean", "default": true } },
        "on-failure": random.pick(&["finish-running", "cancel", "finish-possible"]),
        "jobs": jobs(random, task_locks, 0),
    });
    let policies = ["queue", "skip", "parallel", "cancel-running", "pipeline"];
    let policy = *random.pick(&policies).expect("there are some");
    let mut concurrency = json!({ "policy": policy });
    if policy != "parallel" && policy != "pipeline" {
        concurrency["limit"] = random.between(1, 2).into();
    }
    flow["concurrency"] = concurrency;
    if holds_locks {
        flow["locks"] = json!([random.pick(&["f1", "f2"])]);
    }
    if random.chance(15) {
        flow["timeout"] = format!("{}s", random.between(60, 300)).into();
    }
    if random.chance(10) {
        let then = random.pick(&["notify", "cancel"]);
        flow["late"] =
            json!({ "finish-within": format!("{}s", random.between(20, 200)), "then": then });
    }
    let mut hooks = Map::new();
    for hook in ["on-start", "on-success", "on-failure", "on-exit"] {
        if random.chance(15) {
            hooks.insert(hook.to_owned(), json!({ "h": { "uses": "work" } }));
        }
    }
    if !hooks.is_empty() {
        flow["hooks"] = hooks.into();
    }
    flow.to_string()
}

fn jobs(random: &mut Random, locks: &[&str], depth: u32) -> Value {
    let count = random.between(1, if depth == 0 { 7 } else { 3 });
    let mut jobs = Map::new();
    let mut plain = Vec::new();
    for number in 0..count {
        let name = format!("{}{number}", ["j", "k", "l"][depth as usize]);
        let mut needs: Vec<String> = jobs.keys().filter(|_| random.chance(35)).cloned().collect();
        needs.truncate(3);
        let mut job = json!({ "needs": needs });
        let after = [
            "all-success",
            "all-success",
            "all-success",
            "all-success",
            "all-done",
            "one-success",
            "one-failed",
            "all-failed",
            "none-failed",
        ];
        let after = *random.pick(&after).expect("there are some");
        if !needs.is_empty() {
            job["after"] = after.into();
        }
        if random.chance(10) {
            job["when"] = random.pick(&["params.yes", "not params.yes"]).copied().into();
        } else if let Some(need) = needs.first().filter(|_| random.chance(10)) {
            job["when"] = format!("jobs.{need}.state == 'succeeded'").into();
        }
        job["allow-failure"] = random.chance(10).into();
        if random.chance(12) {
            let count = random.between(0, 4);
            job["foreach"] = (0..count).collect::<Vec<i64>>().into();
            job["fail-fast"] = random.chance(30).into();
            if random.chance(50) {
                job["parallel"] = random.between(1, 2).into();
            }
        }
        if depth < 2 && random.chance(15) {
            job["jobs"] = self::jobs(random, locks, depth + 1);
            if random.chance(30) {
                job["timeout"] = format!("{}s", random.between(5, 60)).into();
            }
            jobs.insert(name, job);
            continue;
        }
        let types = ["work", "work", "work", "work", "work", "waits", "noop", "approve", "flow"];
        let uses = *random.pick(&types).expect("there are some");
        job["uses"] = uses.into();
        match uses {
            "approve" => job["with"] = json!({ "message": "go?" }),
            "flow" => job["with"] = json!({ "flow": "child" }),
            "noop" => {}
            _ => {
                let mut earlier = needs.iter().filter(|need| plain.contains(*need));
                if let Some(need) = earlier.next().filter(|_| after == "all-success") {
                    job["with"] = json!({ "in": format!("{{{{ jobs.{need}.outputs.v }}}}") });
                }
                detail(random, locks, &needs, &mut job);
                if job.get("foreach").is_none() {
                    plain.push(name.clone());
                }
            }
        }
        jobs.insert(name, job);
    }
    jobs.into()
}

fn detail(random: &mut Random, locks: &[&str], needs: &[String], job: &mut Value) {
    if random.chance(50) {
        job["retry"] = json!({
            "attempts": random.between(1, 4),
            "delay": format!("{}ms", random.between(0, 5_000)),
            "backoff": random.between(1, 2),
            "jitter": 0.5,
        });
    }
    if random.chance(30) {
        job["timeout"] = format!("{}s", random.between(2, 60)).into();
    }
    if random.chance(40) {
        job["on-lost"] = random.pick(&["fail", "retry", "ask"]).copied().into();
    }
    if random.chance(20) {
        job["locks"] = json!([random.pick(locks)]);
    }
    if random.chance(20) {
        let (slots, priority) = (random.between(1, 2), random.between(-2, 2));
        job["pools"] = json!([{ "name": "net", "slots": slots, "priority": priority }]);
    }
    if random.chance(5) {
        job["destroys"] = "everything".into();
    }
    if random.chance(8) {
        let then = random.pick(&["notify", "cancel"]);
        job["late"] =
            json!({ "start-within": format!("{}s", random.between(1, 60)), "then": then });
    }
    let mut recover = Vec::new();
    for exit in 1..=2 {
        if !random.chance(30) {
            continue;
        }
        let mut thens =
            vec!["retry".to_owned(), "continue".to_owned(), "ask".to_owned(), "fail".to_owned()];
        if let Some(need) = needs.first().filter(|_| job.get("foreach").is_none()) {
            thens.push(format!("retry-from {need}"));
        }
        let mut entry = json!({
            "match": { "exit": exit },
            "then": random.pick(&thens),
            "limit": random.between(1, 3),
        });
        if random.chance(50) {
            entry["jobs"] = json!({ "fix": { "uses": "work" } });
        }
        recover.push(entry);
    }
    if !recover.is_empty() {
        job["recover"] = recover.into();
    }
}
