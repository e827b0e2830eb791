//! Who may use which address: every one of them, asked by every role, by tokens, by those of another project, and by
//! nobody.

use std::collections::BTreeSet;

use weir_tests::{Site, Stage, Visitor};
use weir_web::{Need, listed};

use crate::pages::{add, ended, start};

/// How much somebody may do: 0 nothing, 1 to 4 as their role.
struct Asker {
    name: &'static str,
    level: u8,
    /// Their role holds in another project than the one that addresses here are about.
    is_elsewhere: bool,
    visitor: Visitor,
}

/// Words that no other project's people should see.
const OURS: [&str; 2] = ["quarry", "blasting"];

fn token(stage: &Stage, site: &Site, name: &str, more: &[&str]) -> Visitor {
    let made = stage.weir(&[&["token", "add", name], more].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    site.token(made.out.trim())
}

fn askers(stage: &Stage, site: &Site, admin: &Visitor) -> Vec<Asker> {
    let nobody = |name, visitor| Asker { name, level: 0, is_elsewhere: false, visitor };
    let mut all = vec![
        nobody("nobody", site.stranger()),
        nobody("wrong-token", site.token("weir_wrong")),
        nobody("old-token", token(stage, site, "old", &["--role", "admin", "--days", "0"])),
    ];
    let roles = [("viewer", 1), ("operator", 2), ("author", 3), ("admin", 4)];
    for (role, level) in roles {
        let person = add(site, admin, &format!("the-{role}"), role, "");
        let program = token(stage, site, role, &["--role", role]);
        for visitor in [person, program] {
            all.push(Asker { name: role, level, is_elsewhere: false, visitor });
        }
    }
    let person = add(site, admin, "neighbour", "author", "meadow");
    let program = token(stage, site, "neighbour", &["--role", "author", "--project", "meadow"]);
    for visitor in [person, program] {
        all.push(Asker { name: "neighbour", level: 3, is_elsewhere: true, visitor });
    }
    all
}

/// What a need asks for at least.
fn level_of(need: Need) -> u8 {
    match need {
        Need::Nobody => 0,
        Need::Login => 1,
        Need::Role(role) => role.code(),
        Need::Admin => 4,
    }
}

#[test]
fn each_role_may_use_exactly_its_addresses() {
    let stage = Stage::new();
    let flow = "jobs: { a: { uses: noop } }\n";
    stage.write("flows/quarry/project.yaml", "name: quarry\n");
    let weekly = "schedules: [{ id: weekly, cron: '0 0 4 ? * SUN' }]\n";
    let notify = "notify: [{ on: succeeded, to: 'webhook:nobody' }]\n";
    stage.write(
        "flows/quarry/blasting.flow.yaml",
        format!("name: blasting\n{weekly}{notify}{flow}"),
    );
    stage.write("flows/meadow/project.yaml", "name: meadow\n");
    stage.write("flows/meadow/mowing.flow.yaml", format!("name: mowing\n{flow}"));
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let run = start(&admin, "quarry/blasting");
    ended(&stage, run);
    let askers = askers(&stage, &site, &admin);

    let mut wrong = Vec::new();
    for (method, pattern, need) in listed() {
        let (ends_session, never_ends) = (
            pattern.starts_with("/logout"),
            pattern.ends_with("/stream") || pattern == "/api/v1/runs/{id}/events",
        );
        let path = address(pattern);
        let ours = ["{project}", "/runs/{id}", "/schedules/{id}"];
        let is_about_ours = ours.iter().any(|part| pattern.contains(part));
        for asker in &askers {
            let may = asker.level >= level_of(need);
            if may && (ends_session || never_ends && !asker.is_elsewhere) {
                continue;
            }
            let is_api = path.starts_with("/api/");
            let kind =
                if is_api { "application/json" } else { "application/x-www-form-urlencoded" };
            let body = if is_api && method == "POST" { "{}" } else { "" };
            let answer = asker.visitor.send(method, &path, &[("Content-Type", kind)], body);
            let is_sent_away = answer.status == 303
                && answer.header("location").is_some_and(|to| to.starts_with("/login?"));
            let is_refused = is_sent_away || [401, 403].contains(&answer.status);
            // What is sent may be refused before anybody looks whether the thing is there.
            let is_hidden =
                !asker.is_elsewhere || !is_about_ours || [404, 422].contains(&answer.status);
            let tells = asker.is_elsewhere
                && !pattern.contains('{')
                && OURS.iter().any(|word| answer.body.contains(word));
            let is_fine = if pattern == "/login" {
                // A login without a name is refused to everybody.
                true
            } else if pattern == "/api/v1/hooks/{project}" {
                // A call counts by its signature; without one, no role helps.
                answer.status == 401
            } else if may {
                !is_refused && is_hidden && !tells
            } else {
                is_refused
            };
            if !is_fine || answer.status >= 500 {
                let (name, level) = (asker.name, asker.level);
                wrong.push(format!("{name} ({level}) {method} {path}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // What was refused did not happen.
    let may_run = ["admin", "the-operator", "the-author", "the-admin"];
    let may_too = ["token operator", "token author", "token admin"];
    let runs = admin.get("/api/v1/runs?limit=200").json();
    let by = |list: &serde_json::Value| -> BTreeSet<String> {
        let items = list["items"].as_array().into_iter().flatten();
        items.filter_map(|item| item["by"].as_str().map(str::to_owned)).collect()
    };
    let began = by(&runs);
    assert!(began.len() > 3, "{began:?}");
    let may = |name: &String| may_run.iter().chain(&may_too).any(|one| one == name);
    assert!(began.iter().all(may), "{began:?}");
    stage.verify();
}

/// An address of a pattern: what it names is there, except where that would be changed for good.
fn address(pattern: &str) -> String {
    let query = if pattern.starts_with("/runs/{id}/task") { "?path=a" } else { "" };
    let path = pattern
        .replace("{project}", "quarry")
        .replace("{flow}", "blasting")
        .replace("{id}", "1")
        .replace("{host}", "nothing")
        .replace("{*path}", "a")
        .replace("{path}", "a")
        .replace("{name}", "nothing")
        .replace("{host}", "front")
        .replace("{tag}", "nothing");
    path + query
}
