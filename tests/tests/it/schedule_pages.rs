//! Schedules by page and by REST: looked at, paused, made up for; one that a person adds fires, outlives new texts of its
//! flow and restarts of the server, and can be taken away.

use serde_json::{Value, json};

use weir_tests::{Browser, PASSWORD, Site, Stage, Visitor, until};

const FLOW: &str = "name: it
params: { day: { type: string, default: usual } }
schedules:
  - { id: daily, cron: '30 2 * * *', timezone: Asia/Shanghai }
jobs:
  note: { uses: command, with: { script: 'echo {{ params.day }} {{ run.due }} >>ran' } }
";

fn stage() -> (Stage, Site, Visitor) {
    let stage = Stage::new();
    stage.write("flows/p/project.yaml", "name: p\n");
    stage.write("flows/p/it.flow.yaml", FLOW);
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    (stage, site, admin)
}

fn token(stage: &Stage, site: &Site, name: &str, role: &str) -> Visitor {
    let made = stage.weir(&["token", "add", name, "--role", role, "--project", "p"]);
    assert_eq!(made.code, 0, "{}", made.err);
    site.token(made.out.trim())
}

fn schedules(visitor: &Visitor) -> Vec<Value> {
    let answer = visitor.get("/api/v1/schedules");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["items"].as_array().expect("a list").clone()
}

fn named(visitor: &Visitor, name: &str) -> Option<Value> {
    schedules(visitor).into_iter().find(|one| one["schedule"] == name)
}

#[test]
fn programs_see_pause_and_make_up_for_schedules() {
    let (stage, site, admin) = stage();
    let author = token(&stage, &site, "writer", "author");
    let viewer = token(&stage, &site, "looker", "viewer");
    let shown = named(&viewer, "daily").expect("it is in effect");
    let id = shown["id"].as_i64().expect("a number");
    assert_eq!((&shown["project"], &shown["flow"]), (&json!("p"), &json!("it")));
    assert!(shown["next_local"].as_str().expect("text").contains(" 02:30:00 +08:00"), "{shown}");
    let base = format!("/api/v1/schedules/{id}");
    let next = viewer.get(&format!("{base}/next?count=3&after=2026-11-21T00:00:00Z")).json();
    let locals: Vec<&str> = next["times"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| t["local"].as_str())
        .collect();
    assert_eq!(
        locals,
        ["2026-11-22 02:30:00 +08:00", "2026-11-23 02:30:00 +08:00", "2026-11-24 02:30:00 +08:00"]
    );
    assert_eq!(viewer.get(&format!("{base}/fires")).json(), json!({ "items": [], "next": null }));

    assert_eq!(viewer.post_json(&format!("{base}/pause"), &json!({})).status, 403);
    assert_eq!(author.post_json(&format!("{base}/pause"), &json!({})).status, 204);
    assert_eq!(author.post_json(&format!("{base}/pause"), &json!({})).status, 409);
    let shown = named(&viewer, "daily").expect("it is still there");
    assert_eq!((&shown["state"], &shown["paused_by"]), (&json!("paused"), &json!("token writer")));
    let page = admin.get("/schedules").body;
    assert!(page.contains("paused by token writer") && page.contains("value=\"resume\""), "{page}");
    let sent =
        admin.post(&format!("/schedules/{id}/pause"), "do=resume&back=%2Fschedules%3Fq%3Dit");
    assert_eq!((sent.status, sent.header("location")), (303, Some("/schedules?q=it")));
    assert_eq!(named(&viewer, "daily").expect("there")["state"], "active");

    let span =
        |preview: bool| json!({ "from": "2026-03-01", "to": "2026-03-03", "preview": preview });
    let preview = author.post_json(&format!("{base}/backfill"), &span(true));
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert_eq!(preview.json()["times"].as_array().map(Vec::len), Some(3));
    assert_eq!(stage.read("flows/p/ran"), "");
    let page =
        admin.post(&format!("/schedules/{id}/backfill"), "from=2026-03-01&to=soon&do=preview");
    assert_eq!(page.status, 422);
    assert!(page.body.contains("`soon` is no point in time"), "{}", page.body);
    let page = admin
        .post(&format!("/schedules/{id}/backfill"), "from=2026-03-01&to=2026-03-02&do=preview");
    assert!(
        page.body.contains("2026-03-01 02:30:00 &#43;08:00")
            || page.body.contains("2026-03-01 02:30:00 +08:00"),
        "{}",
        page.body
    );
    let begun = author.post_json(&format!("{base}/backfill"), &span(false));
    assert_eq!((begun.status, begun.json()["runs"].as_array().map(Vec::len)), (201, Some(3)));
    until("all three have run", || (stage.read("flows/p/ran").lines().count() == 3).then_some(()));
    assert!(stage.read("flows/p/ran").starts_with("usual 2026-02-28T18:30:00.000Z\n"));
    let audit = admin.get("/audit").body;
    for what in ["schedule.pause", "schedule.resume", "schedule.backfill"] {
        assert!(audit.contains(what), "{what} is not in {audit}");
    }
    site.stop();
    stage.verify();
}

#[test]
fn a_schedule_that_a_person_adds_fires_and_outlives_new_texts_and_restarts() {
    let (stage, site, admin) = stage();
    let author = token(&stage, &site, "writer", "author");
    let to = "/api/v1/flows/p/it/schedules";
    for (said, why) in [
        (json!({ "id": "x", "cron": "0 25 * * *" }), "`25` is no hour"),
        (
            json!({ "id": "x", "every": "1h", "timezone": "Shanghai" }),
            "did you mean `Asia/Shanghai`?",
        ),
        (json!({ "id": "x", "every": "1h", "params": { "days": "a" } }), "did you mean `day`?"),
        (json!({ "id": "x", "every": "1h", "params": { "day": 7 } }), "does not fit `day`"),
        (json!({ "id": "x", "at": "2001-01-01" }), "all its times have passed"),
        (json!({ "id": "x", "file": "*.csv" }), "stands in its flow's file"),
        (json!({ "id": "x", "every": "1h", "calendar": "../x.ics" }), "no file beside"),
        (json!({ "id": "a b", "every": "1h" }), "letters"),
        (json!({ "every": "1h" }), "`id`"),
        (json!({ "id": "x" }), "does not say when it runs"),
    ] {
        let answer = author.post_json(to, &said);
        assert_eq!(answer.status, 422, "{said}: {}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(why), "{said}: {detail}");
    }
    assert_eq!(
        author
            .post_json("/api/v1/flows/p/none/schedules", &json!({ "id": "x", "every": "1h" }))
            .status,
        422
    );
    assert_eq!(author.post_json(to, &json!({ "id": "daily", "every": "1h" })).status, 409);
    let said =
        json!({ "id": "each", "every": "1s", "misfire": "skip", "params": { "day": "mine" } });
    let made = author.post_json(to, &said);
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["schedule"]["id"].as_i64().expect("a number");
    assert_eq!(made.header("location"), Some(format!("/api/v1/schedules/{id}").as_str()));
    until("it fires", || stage.read("flows/p/ran").contains("mine ").then_some(()));
    let fires = author.get(&format!("/api/v1/schedules/{id}/fires")).json();
    assert_eq!(fires["items"][0]["outcome"], "run", "{fires}");
    let run = fires["items"][0]["run"].as_i64().expect("a run");
    assert_eq!(author.get(&format!("/api/v1/runs/{run}")).json()["run"]["by"], "schedule each");
    let shown = named(&author, "each").expect("it is there");
    assert_eq!((&shown["added_by"], &shown["own"]), (&json!("token writer"), &said));

    // A new text of the flow changes what the file says, and what the schedule's runs do; the schedule stays.
    stage.write("flows/p/it.flow.yaml", FLOW.replace("30 2", "45 3").replace("echo", "echo new"));
    until("the new text is in effect", || {
        (named(&author, "daily")?["spec"]["cron"] == "45 3 * * *").then_some(())
    });
    until("it fires with it", || stage.read("flows/p/ran").contains("new mine ").then_some(()));
    // A text that has a schedule of the same name is not taken.
    stage.write("flows/p/it.flow.yaml", FLOW.replace("daily", "each"));
    until("the mistake is shown", || {
        admin
            .get("/flows/p/it")
            .body
            .contains("token writer has added a schedule `each`")
            .then_some(())
    });
    assert_eq!(named(&author, "each").expect("it is there")["own"], said);
    assert!(named(&author, "daily").is_some(), "what was in effect stays so");
    // One that lacks its parameter: its due times are refused with the reason, until that is mended.
    let other = FLOW.replace(
        "day: { type: string, default: usual }",
        "other: { type: string, default: usual }",
    );
    stage.write("flows/p/it.flow.yaml", other.replace("params.day", "params.other"));
    until("it is refused", || {
        let last = named(&author, "each")?["last"].clone();
        (last["outcome"] == "refused" && last["reason"].as_str()?.contains("`day`")).then_some(())
    });
    stage.write("flows/p/it.flow.yaml", FLOW);
    until("it runs again", || (named(&author, "each")?["last"]["outcome"] == "run").then_some(()));
    // Its file goes and comes back.
    std::fs::remove_file(stage.path().join("flows/p/it.flow.yaml")).expect("removed");
    until("it rests", || (named(&author, "each")?["state"] == "flow-gone").then_some(()));
    assert!(named(&author, "daily").is_none());
    assert!(admin.get(&format!("/schedules/{id}")).body.contains("its flow is gone"));
    site.stop();
    stage.write("flows/p/it.flow.yaml", FLOW);
    let site = stage.site(&["flows"]);
    let admin = site.log_in("admin", PASSWORD).expect("the password fits");
    let had = stage.read("flows/p/ran").lines().count();
    until("it runs after the restart", || {
        (stage.read("flows/p/ran").lines().skip(had).any(|line| line.starts_with("mine ")))
            .then_some(())
    });

    // What the file has is removed there; what was added is removed here, and may be added again.
    let daily = named(&admin, "daily").expect("there")["id"].as_i64().expect("a number");
    assert_eq!(admin.send("DELETE", &format!("/api/v1/schedules/{daily}"), &[], "").status, 409);
    assert_eq!(admin.post(&format!("/schedules/{id}/pause"), "do=pause").status, 303);
    assert_eq!(admin.post(&format!("/schedules/{id}/remove"), "").status, 303);
    assert!(named(&admin, "each").is_none());
    assert_eq!(admin.get(&format!("/schedules/{id}")).status, 404);
    let again =
        admin.post_json(to, &json!({ "id": "each", "at": "2199-01-01", "timezone": "UTC" }));
    assert_eq!(again.status, 201, "{}", again.body);
    let shown = named(&admin, "each").expect("it is there again");
    assert_eq!((&shown["state"], &shown["added_by"]), (&json!("active"), &json!("admin")));
    let audit = admin.get("/audit").body;
    assert!(audit.contains("schedule.add") && audit.contains("schedule.remove"), "{audit}");
    site.stop();
    stage.verify();
}

#[test]
fn a_broken_text_is_shown_on_the_flows_page_while_the_old_one_runs() {
    let (stage, site, admin) = stage();
    stage.write("flows/p/it.flow.yaml", FLOW.replace("30 2", "30 25"));
    let page = admin.get("/flows/p/it");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("`25` is no hour"), "{}", page.body);
    assert!(page.body.contains("30 2 * * *"), "the old schedule is in effect: {}", page.body);
    assert!(admin.get("/flows").body.contains("its file has mistakes"));
    let begun = admin.post_json("/api/v1/flows/p/it/runs", &json!({}));
    assert_eq!(begun.status, 201, "{}", begun.body);
    until("the old one runs", || stage.read("flows/p/ran").starts_with("usual ").then_some(()));
    // Mended: the page shows it at once.
    stage.write("flows/p/it.flow.yaml", FLOW.replace("30 2", "15 4"));
    let page = admin.get("/flows/p/it").body;
    assert!(page.contains("15 4 * * *") && !page.contains("is no hour"), "{page}");
    // A file that was never right is told, too.
    stage.write("flows/p/odd.flow.yaml", "name: odd\n");
    assert!(admin.get("/flows").body.contains("odd"));
    site.stop();
    stage.verify();
}

#[test]
fn a_person_adds_a_schedule_and_sees_it_fire() {
    let (stage, site, _admin) = stage();
    let browser = Browser::start();
    browser.resize(1280, 860);
    let base = format!("http://{}", site.address);
    browser.open(&format!("{base}/schedules"));
    browser.type_into("#name", "admin");
    browser.type_into("#password", PASSWORD);
    browser.click("main button.go");
    browser.wait_text("h1", "Schedules");
    browser.wait_text("main", "Asia/Shanghai");
    browser.wait_text(".week", "02:30");
    browser.click("#add-flow + button");
    browser.wait_text("h1", "Add a schedule");
    browser.type_into("#id", "often");
    browser.type_into("#what", "61 * * * *");
    browser.click("button[value=preview]");
    browser.wait_text(".note.bad", "`61` is no minute");
    browser.click("#kind option[value=every]");
    browser.type_into("#what", "1s");
    browser.type_into("#timezone", "Europe/Berlin");
    browser.type_into("#f-day", "by hand");
    browser.click("button[value=preview]");
    browser.wait_for("#times tbody tr:nth-child(5)");
    browser.click("button[value=go]");
    browser.wait_text("h1", "often");
    browser.wait_text("main", "added by admin");
    // Without its `#`: the browser would only move within the page.
    let address = browser.address();
    let page = address.split('#').next().unwrap_or_default();
    until("it is seen to have fired", || {
        browser.open(page);
        browser.has("#fires a[href^='/runs/']").then_some(())
    });
    browser.click("button[value=pause]");
    browser.wait_for("h1 .state[data-state=paused]");
    browser.click("#fires a[href^='/runs/']");
    browser.wait_for("h1 .state[data-state=succeeded]");
    browser.wait_text("main", "schedule often");
    // Make up for two days of the one in the file.
    browser.open(&format!("{base}/schedules"));
    browser.click("tbody tr:first-child td:first-child a");
    browser.wait_text("h1", "daily");
    browser.type_into("#from", "2026-03-01");
    browser.type_into("#to", "2026-03-02");
    browser.click("button[value=preview]");
    browser.wait_text("#would", "2");
    browser.click("button[value=go]");
    browser.wait_text(".note.good", "have begun");
    let ran = until("both have run", || {
        let ran = stage.read("flows/p/ran");
        (ran.lines().filter(|line| line.starts_with("usual ")).count() == 2).then_some(ran)
    });
    assert!(ran.contains("by hand "), "{ran}");
    browser.open(&format!("{base}/schedules"));
    browser.click("a[href^='/schedules/'] b");
    let complaints: Vec<String> =
        browser.complaints().into_iter().filter(|text| !text.contains("422")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    drop(browser);
    site.stop();
    stage.verify();
}

#[test]
fn a_run_says_what_changed_since_the_last_good_one() {
    let (stage, site, admin) = stage();
    let run = |day: &str| {
        let begun =
            admin.post_json("/api/v1/flows/p/it/runs", &json!({ "params": { "day": day } }));
        let run = begun.json()["run"]["id"].as_i64().expect("a run");
        until("it has ended", || (!stage.show(run)["ended_at"].is_null()).then_some(()));
        run
    };
    let good = run("monday");
    assert!(!admin.get(&format!("/runs/{good}")).body.contains("last good run"));
    stage.write("flows/p/it.flow.yaml", FLOW.replace("echo", "exit 3; echo"));
    // A look at the list has the folders looked at.
    assert_eq!(admin.get("/flows").status, 200);
    until("the new text is in effect", || {
        admin.get("/flows/p/it/versions").body.contains("exit 3; echo").then_some(())
    });
    let bad = run("tuesday");
    let page = admin.get(&format!("/runs/{bad}")).body;
    let since = page.split("id=\"since\"").nth(1).unwrap_or_default();
    assert!(since.contains(&format!("/runs/{good}")), "{page}");
    assert!(since.contains("<code>monday</code> → <code>tuesday</code>"), "{since}");
    let diff = since.split("href=\"/flows/p/it/versions").nth(1).unwrap_or_default();
    let address =
        diff.split('"').next().unwrap_or_default().replace("&#38;", "&").replace("&amp;", "&");
    let diff = admin.get(&format!("/flows/p/it/versions{address}")).body;
    assert!(diff.contains("exit 3; echo"), "{diff}");
    site.stop();
    stage.verify();
}
