//! People are told of what they want to know: once, and in the end surely, whatever happens on the way.

use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::post::{Fault, Post};
use weir_tests::{Server, Stage, until};

const WORD: &str = "hunter2-and-more";

fn set_secret(stage: &Stage, name: &str, value: &str) {
    let ended = stage.weir_reads(&["secret", "set", name], value);
    assert_eq!(ended.code, 0, "{}", ended.err);
}

fn mail_server(stage: &Stage) -> Post {
    let post = Post::mail();
    let address = post.address();
    set_secret(
        stage,
        "mail",
        &format!("smtp://weir:{WORD}@{address}/?from=weir@example.org&tls=none"),
    );
    post
}

fn notices(stage: &Stage) -> Vec<Value> {
    let ended = stage.weir(&["notices", "--json"]);
    ended.json().as_array().expect("a list").clone()
}

/// The only notice, once it is in this state.
fn notice(stage: &Stage, state: &str) -> Value {
    until("the notice has come so far", || {
        let all = notices(stage);
        assert!(all.len() <= 1, "{all:?}");
        all.into_iter().find(|notice| notice["state"] == state)
    })
}

fn begin(server: &Server, flow: &std::path::Path) -> i64 {
    let mut door = server.door();
    let run = door.begin(flow, &json!({})).expect("the server stays");
    door.watch(run, |_| false).expect("the server stays");
    run
}

/// What is left of a pause of so many seconds where the letter before it was seen late, on a busy machine.
fn nearly(secs: u64) -> Duration {
    Duration::from_millis(750 * secs)
}

/// No file of the home and no log shows what nobody may see.
fn assert_hidden(stage: &Stage, word: &str) {
    let mut open = vec![stage.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let is_seen = bytes.windows(word.len()).any(|part| part == word.as_bytes());
                assert!(!is_seen, "{} shows it", path.display());
            }
        }
    }
}

#[test]
fn a_mail_is_sent_until_it_is_taken_and_then_no_more() {
    let stage = Stage::new();
    let post = mail_server(&stage);
    // Refused twice, at the door and for now; taken at last by a server that does not say so.
    post.faults([Fault::Echo, Fault::Answer(451), Fault::Answer(554), Fault::Close]);
    let flow = stage.flow(
        "nightly",
        "title: Jede Nacht größer\nnotify: [{ on: failed, to: 'mail:ops@example.org', window: 2s }]\n\
         jobs:\n  load: { uses: command, with: { script: 'exit 7' } }\n",
    );
    let server = stage.serve();
    let run = begin(&server, &flow);
    let letters = post.taken(1);
    let delivered = notice(&stage, "delivered");
    assert_eq!(
        (&delivered["tries"], &delivered["to"]),
        (&json!(5), &json!("mail:ops@example.org"))
    );
    assert_eq!(delivered["subject"], format!("[Weir] nightly has failed (run {run})"));
    let all = post.letters();
    assert_eq!(all.len(), 4, "{all:?}");
    // What may have arrived is not sent again within the window.
    assert!(all[3].at - all[2].at >= nearly(2), "{all:?}");
    let id =
        |text: &str| text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned);
    for letter in &all {
        assert_eq!(id(&letter.body), id(&letters[0].body), "{}", letter.body);
        assert!(letter.head.contains("RCPT TO:<ops@example.org>"), "{}", letter.head);
    }
    let mail = &letters[0].body;
    assert!(
        mail.contains(&format!("Subject: [Weir] nightly has failed (run {run})\r\n")),
        "{mail}"
    );
    assert!(
        mail.contains("`load` failed: ") && mail.contains(&format!("weir show {run}")),
        "{mail}"
    );
    server.stop();
    // Nothing is left: another server tells nobody anything.
    let server = stage.serve();
    begin(&server, &stage.flow("quiet", "jobs: { a: { uses: noop } }\n"));
    assert_eq!(post.letters().len(), 4);
    server.stop();
    let log = stage.read("serve.log");
    assert!(log.contains("mail:ops@example.org could not be told") && log.contains("451"), "{log}");
    assert!(log.contains("535") && log.contains("***"), "{log}");
    assert_hidden(&stage, WORD);
    // Nor the form in which it is said at the door: base64 of NUL, user, NUL, password.
    assert_hidden(&stage, "aHVudGVyMi1hbmQtbW9y");
    stage.verify();
}

#[test]
fn what_a_killed_server_was_telling_is_told_once_its_window_is_over() {
    let stage = Stage::new();
    let post = Post::chat();
    let address = format!("http://{}/hook?token={WORD}", post.address());
    post.faults([Fault::Hang]);
    let flow = stage.flow(
        "f",
        "notify: [{ on: failed, to: 'webhook:ops', window: 4s }]\njobs: { a: { uses: command, with: { script: 'exit 1' } } }\n",
    );
    // Nobody serves, and no address is known: it waits.
    assert_eq!(stage.run(&flow, &[])["state"], "failed");
    assert_eq!(notice(&stage, "waiting")["tries"], 0);
    let server = stage.serve();
    let error = until("it was tried", || notices(&stage)[0]["error"].as_str().map(str::to_owned));
    assert!(error.contains("weir secret set webhook.ops"), "{error}");
    set_secret(&stage, "webhook.ops", &address);
    until("it is on its way", || (post.letters().len() == 1).then_some(()));
    server.kill();
    let server = stage.serve();
    let told = post.taken(1);
    notice(&stage, "delivered");
    let all = post.letters();
    assert_eq!(all.len(), 2, "{all:?}");
    let pause = all[1].at - all[0].at;
    assert!(pause >= nearly(4), "{pause:?}");
    let body: Value = serde_json::from_str(&told[0].body).expect("JSON");
    assert_eq!(
        (&body["notice"]["flow"], &body["notice"]["reason"]),
        (&json!("f"), &json!("failed"))
    );
    assert!(told[0].head.starts_with("POST /hook?token="), "{}", told[0].head);
    server.stop();
    assert_hidden(&stage, WORD);
    stage.verify();
}

#[test]
fn what_happens_often_is_told_once_a_window() {
    let stage = Stage::new();
    let post = Post::chat();
    post.answers(r#"{"errcode":0,"errmsg":"ok"}"#);
    set_secret(&stage, "webhook.ops", &format!("dingtalk+http://{}/", post.address()));
    let flow = stage.flow(
        "f",
        "notify: [{ on: [failed, recovered], to: ['webhook:ops', 'webhook:ops'], window: 10s }]\n\
         jobs: { a: { uses: command, with: { script: 'test -e good' } } }\n",
    );
    let server = stage.serve();
    begin(&server, &flow);
    post.taken(1);
    for _ in 0..3 {
        begin(&server, &flow);
    }
    stage.write("good", "");
    begin(&server, &flow);
    begin(&server, &flow);
    let told = post.taken(3);
    until("all are told", || {
        notices(&stage).iter().all(|notice| notice["state"] == "delivered").then_some(())
    });
    assert_eq!((told.len(), notices(&stage).len()), (3, 5));
    let text = |at: usize| {
        let body: Value = serde_json::from_str(&told[at].body).expect("JSON");
        assert_eq!(body["msgtype"], "text");
        body["text"]["content"].as_str().expect("a text").to_owned()
    };
    assert!(text(0).starts_with("[Weir] f has failed (run 1)"), "{}", text(0));
    assert!(text(1).starts_with("[Weir] f works again (run 5)"), "{}", text(1));
    assert!(text(2).starts_with("[Weir] f has failed (run 4)"), "{}", text(2));
    assert!(text(2).contains("it happened 2 times more since you were told last"), "{}", text(2));
    assert!(told[2].at - told[0].at >= nearly(10));
}

#[test]
fn what_can_not_be_delivered_is_given_up_and_that_is_told() {
    let stage = Stage::new();
    let post = Post::chat();
    // It says no with status 200.
    post.answers(r#"{"code":19021,"msg":"sign match fail"}"#);
    set_secret(&stage, "webhook.ops", &format!("feishu+http://{}/{WORD}", post.address()));
    let flow = stage
        .flow("f", "notify: [{ on: started, to: 'webhook:ops' }]\njobs: { a: { uses: noop } }\n");
    let server = stage.serve_with(&["--notices-for", "2s"]);
    begin(&server, &flow);
    let given_up = notice(&stage, "given-up");
    assert_eq!(given_up["error"], "the webhook says no: 19021 sign match fail");
    assert!(given_up["tries"].as_u64() >= Some(2), "{given_up}");
    let shown = stage.weir(&["notices", "--state", "given-up"]);
    assert!(shown.out.contains("GIVEN UP after "), "{}", shown.out);
    server.stop();
    let log = stage.read("serve.log");
    assert!(log.contains("ERROR") && log.contains("is given up after 2s: started, run 1"), "{log}");
    assert_hidden(&stage, WORD);
    let wrong = stage.weir(&["notices", "--state", "lost"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("use `waiting`, `delivered` or `given-up`"), "{}", wrong.err);
}

#[test]
fn what_was_given_up_is_sent_again_by_whoever_may() {
    let stage = Stage::new();
    let post = Post::chat();
    post.answers(r#"{"code":19021,"msg":"sign match fail"}"#);
    set_secret(&stage, "webhook.ops", &format!("feishu+http://{}/{WORD}", post.address()));
    stage.write("flows/tap/project.yaml", "name: tap\n");
    stage.write(
        "flows/tap/f.flow.yaml",
        "name: f\nnotify: [{ on: [started, succeeded], to: 'webhook:ops', window: 0 }]\njobs: { a: { uses: noop } }\n",
    );
    let site = stage.site_with("127.0.0.1:0", &["flows"], &["--notices-for", "1s"]);
    let admin = site.admin();
    let asked = admin.post_json("/api/v1/flows/tap/f/runs", &json!({}));
    assert_eq!(asked.status, 201, "{}", asked.body);
    let given_up = until("both are given up", || {
        let list = admin.get("/api/v1/notices?state=given-up").json()["items"].take();
        (list.as_array().map(Vec::len) == Some(2)).then_some(list)
    });
    assert_eq!(given_up[0]["error"], "the webhook says no: 19021 sign match fail");
    // A page at a time, none twice and none left out.
    let first = admin.get("/api/v1/notices?limit=1").json();
    let next = first["next"].as_str().expect("there is more");
    let second = admin.get(&format!("/api/v1/notices?limit=1&cursor={next}")).json();
    assert_eq!(json!([first["items"][0], second["items"][0]]), given_up);
    assert!(second["next"].is_null(), "{second}");

    let page = admin.get("/notices?state=given-up").body;
    assert_eq!(page.matches("action=\"/notices/again\"").count(), 2, "{page}");
    assert!(page.contains("[Weir] tap/f has started (run 1)"), "{page}");
    assert!(page.contains("19021 sign match fail"), "{page}");
    let token = |name: &str, project: &str, role: &str| {
        let made = stage.weir(&["token", "add", name, "--role", role, "--project", project]);
        assert_eq!(made.code, 0, "{}", made.err);
        site.token(made.out.trim())
    };
    let viewer = token("looks", "tap", "viewer");
    let page = viewer.get("/notices").body;
    assert!(page.contains("has started") && !page.contains("/notices/again"), "{page}");
    let other = token("elsewhere", "pond", "admin");
    assert!(!other.get("/notices").body.contains("has started"));
    assert_eq!(other.get("/api/v1/notices").json()["items"], json!([]));

    post.answers(r#"{"code":0}"#);
    let started =
        given_up.as_array().expect("a list").iter().find(|one| one["reason"] == "started");
    let started = started.expect("it is among them");
    let named = json!({
        "run": started["run"], "seq": started["seq"], "reason": "started", "to": "webhook:ops",
    });
    assert_eq!(viewer.post_json("/api/v1/notices/again", &named).status, 403);
    assert_eq!(other.post_json("/api/v1/notices/again", &named).status, 404);
    let before = post.letters().len();
    let form = format!("run=1&seq={}&reason=started&to=webhook%3Aops", started["seq"]);
    assert_eq!(admin.post("/notices/again", &form).status, 303);
    until("it is delivered", || {
        let list = admin.get("/api/v1/notices?state=delivered").json();
        (list["items"][0]["reason"] == "started").then_some(())
    });
    assert_eq!(post.letters().len(), before + 1);
    // What is delivered is not sent again, however often it is asked.
    assert_eq!(admin.post_json("/api/v1/notices/again", &named).status, 409);
    assert_eq!(post.letters().len(), before + 1);
    let wrong = json!({ "run": 9, "seq": 1, "reason": "started", "to": "webhook:ops" });
    assert_eq!(admin.post_json("/api/v1/notices/again", &wrong).status, 404);
    assert_eq!(admin.get("/api/v1/notices?state=lost").status, 422);
    assert!(admin.get("/audit").body.contains("notice.send-again"));
    site.stop();
    assert_hidden(&stage, WORD);
}

#[test]
fn who_is_late_is_told_of_and_ended_if_the_flow_says_so() {
    let stage = Stage::new();
    let post = Post::chat();
    set_secret(&stage, "webhook.ops", &format!("slack+http://{}/", post.address()));
    let all = "notify: [{ on: [late, failed, cancelled, succeeded, started, asking, undiagnosed], to: webhook:ops, window: 0 }]\n";
    let late = stage.flow(
        "late",
        &format!(
            "{all}late: {{ finish-within: 1s, then: cancel }}\njobs: {{ a: {{ uses: command, with: {{ script: 'sleep 600' }} }} }}\n"
        ),
    );
    let slow = stage.flow(
        "slow",
        &format!(
            "{all}jobs:\n  a: {{ uses: command, late: {{ finish-within: 1s }}, with: {{ script: 'until test -e go; do sleep 0.05; done' }} }}\n"
        ),
    );
    let bad = stage.flow(
        "bad",
        &format!(
            "{all}jobs:\n  a: {{ foreach: [1, 2], uses: command, with: {{ script: 'exit 3' }} }}\n"
        ),
    );
    let ask = stage.flow(
        "ask",
        &format!("{all}jobs: {{ sure: {{ uses: approve, with: {{ message: Is it so? }} }} }}\n"),
    );
    let server = stage.serve();
    assert_eq!(stage.show(begin(&server, &late))["state"], "failed");
    let mut door = server.door();
    let run = door.begin(&slow, &json!({})).expect("it stays");
    door.watch(run, |event| event["kind"] == "late").expect("it stays");
    stage.write("go", "");
    server.door().watch(run, |_| false).expect("it stays");
    begin(&server, &bad);
    let asking = server.door().begin(&ask, &json!({})).expect("it stays");
    let told = |words: &str| {
        until(words, || {
            let all = post.letters();
            all.into_iter().find(|letter| letter.body.contains(words)).map(|letter| letter.body)
        })
    };
    let body = told("[Weir] late is late (run 1)");
    assert!(
        body.contains("it was to end within 1s of ") && body.contains("it is cancelled"),
        "{body}"
    );
    told("[Weir] late has failed (run 1)");
    told("[Weir] slow: a is late (run 2)");
    told("[Weir] slow has succeeded (run 2)");
    told("[Weir] bad has started (run 3)");
    let body = told("[Weir] bad: a[");
    assert!(body.contains("has failed in a way that is not known"), "{body}");
    let body = told("[Weir] bad has failed (run 3)");
    assert!(body.contains("a[0] failed, a[1] failed"), "{body}");
    let body = told("[Weir] ask: sure asks for a decision (run 4)");
    assert!(body.contains("Is it so?"), "{body}");
    assert_eq!(stage.weir(&["cancel", &asking.to_string()]).code, 0);
    told("[Weir] ask was cancelled (run 4)");
    server.stop();
    stage.verify();
}
