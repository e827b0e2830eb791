//! Work on hosts, through the built binary, on the lab: whatever happens to the line, the engine or the host, what has
//! begun is found again, runs once, and its log is whole; and nothing that asks a person can hang a run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::{Lab, Stage, until};

/// The hosts of the lab as a project knows them.
fn project(lab: &Lab, stage: &Stage) {
    let known = lab.known_hosts();
    // What one host shows is not what is known of it.
    let text = std::fs::read_to_string(&known).expect("`up` has written it");
    let key_of = |address: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{address},")));
        line.and_then(|line| line.split_once(' ')).map(|(_, key)| key.to_owned())
    };
    if let (Some(other), true) = (key_of("10.50.0.5"), text.contains("10.2.14.28")) {
        let lines = text.lines().filter(|line| !line.starts_with("10.2.14.28,"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.push(format!("10.2.14.28 {other}"));
        stage.write("known_hosts", lines.join("\n") + "\n");
    } else {
        stage.write("known_hosts", &text);
    }
    stage.write(
        "project.yaml",
        format!(
            "name: hosts\n\
             recover: [{{ match: {{ class: [connection, refused] }}, diagnosis: As it should be., then: fail }}]\n\
             secrets: [vcap, wrong]\n\
             known-hosts: known_hosts\n\
             host-defaults: {{ user: ubuntu, key: {key}, via: [jumpbox] }}\n\
             hosts:\n\
             \x20 jumpbox: {{ address: 10.50.0.5, via: [] }}\n\
             \x20 centos: {{ address: 10.50.0.5, user: ec2-user, become: root, via: [] }}\n\
             \x20 master1: {{ address: 10.2.14.11, labels: {{ role: master }} }}\n\
             \x20 slave1: {{ address: 10.2.14.21, labels: {{ role: slave }} }}\n\
             \x20 broker: {{ address: 10.2.14.31, user: vcap, password: {{ secret: vcap }}, \
             become: {{ user: root, password: {{ secret: vcap }} }} }}\n\
             \x20 asked: {{ address: 10.2.14.31, user: vcap, password: {{ secret: vcap }}, become: root }}\n\
             \x20 mistyped: {{ address: 10.2.14.31, user: vcap, password: {{ secret: wrong }} }}\n\
             \x20 keyless: {{ address: 10.2.14.31, user: vcap }}\n\
             \x20 inner: {{ address: 10.2.14.29, via: [{{ host: jumpbox, become: root, \
             key-on-hop: /root/.ssh/id_ed25519 }}] }}\n\
             \x20 changed: {{ address: 10.2.14.28 }}\n\
             \x20 unknown: {{ address: 127.0.0.1 }}\n\
             \x20 direct: {{ address: 10.2.14.11, via: [] }}\n\
             \x20 nobody: {{ address: 10.2.14.99 }}\n\
             \x20 refused: {{ address: 10.50.0.5, port: 23, via: [] }}\n\
             \x20 through: {{ address: 10.2.14.11, via: [refused] }}\n",
            key = lab.key().display(),
        ),
    );
    for (name, value) in [("vcap", lab.password()), ("wrong", "not-the-password".to_owned())] {
        stage.weir_reads(&["secret", "set", name], &value).good();
    }
}

fn stage(lab: &Lab) -> Stage {
    let stage = lab.stage();
    project(lab, &stage);
    stage
}

/// One job named `work` on a host.
fn flow_on(stage: &Stage, host: &str, script: &str) -> PathBuf {
    let lines = script.replace('\n', "\n        ");
    let head = "jobs:\n  work:\n    uses: ssh\n    with:";
    let body = format!("{head}\n      hosts: {host}\n      script: |\n        {lines}\n");
    stage.flow("one", &body)
}

fn task<'a>(run: &'a Value, path: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["path"] == path).unwrap_or_else(|| panic!("{path}: {run:#}"))
}

fn state<'a>(run: &'a Value, path: &str) -> &'a str {
    task(run, path)["state"].as_str().unwrap_or_default()
}

/// The bytes of the log of the first attempt of the only task.
fn log(stage: &Stage, run: i64) -> Vec<u8> {
    std::fs::read(stage.home().join(format!("runs/{run}/0.1/log"))).expect("it has a log")
}

fn until_on(lab: &Lab, host: &str, test: &str) {
    until(test, || (lab.on(host, test).code == 0).then_some(()));
}

#[test]
fn every_way_to_a_host_works_or_says_why_not() {
    let hosts = ["jumpbox", "master1", "broker", "inner", "nginx"];
    let Some(lab) = Lab::up(&hosts) else { return };
    let stage = stage(&lab);
    let good = ["jumpbox", "centos", "master1", "broker", "inner"];
    let bad = [
        ("asked", "refused", "sudo"),
        ("mistyped", "refused", "password"),
        ("keyless", "refused", "publickey"),
        ("changed", "refused", "key"),
        ("unknown", "refused", "key"),
        ("direct", "connection", "nreachable"),
        ("nobody", "connection", "10.2.14.99"),
        ("refused", "connection", "refused"),
        ("through", "connection", "refused"),
    ];
    let mut jobs = String::from("on-failure: finish-possible\njobs:\n");
    for host in good.into_iter().chain(bad.map(|row| row.0)) {
        let with = format!("hosts: {host}, script: 'echo \"$(hostname) $(id -un)\"'");
        jobs.extend([format!("  {host}: {{ uses: ssh, with: {{ {with} }} }}\n")]);
    }
    let flow = stage.flow("ways", &jobs);
    let begun = Instant::now();
    let run = stage.run(&flow, &[]);
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    let said = |host: &str| stage.weir(&["logs", "1", host]).out;
    for (host, expected) in good.into_iter().zip([
        "jumpbox ubuntu",
        "jumpbox root",
        "master1 ubuntu",
        "broker root",
        "inner ubuntu",
    ]) {
        assert_eq!(state(&run, host), "succeeded", "{:#}", task(&run, host));
        assert!(said(host).contains(expected), "{host}: {}", said(host));
    }
    for (host, class, words) in bad {
        let task = task(&run, host);
        assert_eq!(task["state"], "failed", "{task:#}");
        assert_eq!(task["attempts"][0]["error_class"], class, "{task:#}");
        let message = task["attempts"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{host}: {message}");
    }
    // The hop that fails is the one that is named.
    let message = task(&run, "through")["attempts"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("hop refused"), "{message}");
    stage.verify();
}

#[test]
fn a_cut_line_a_killed_engine_and_an_end_that_nobody_saw_lose_nothing() {
    line_is_cut_for(Duration::ZERO);
}

#[test]
#[ignore = "takes a minute by the clock: see `make lab`"]
fn lab_a_line_that_is_cut_for_a_minute_loses_nothing() {
    line_is_cut_for(Duration::from_mins(1));
}

fn line_is_cut_for(span: Duration) {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    // 50 MB, half of it while the line is dead and no engine lives.
    let flow = flow_on(
        &stage,
        "master1",
        "echo once >>/var/tmp/begun\n\
         head -c 18750000 /dev/urandom | base64 -w 99 | tee -a /var/tmp/said\n\
         touch /var/tmp/half\n\
         until [ -e /var/tmp/go ]; do sleep 0.05; done\n\
         head -c 18750000 /dev/urandom | base64 -w 99 | tee -a /var/tmp/said\n\
         touch /var/tmp/over",
    );
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "master1", "test -e /var/tmp/half");
    let fault = lab.fault("cut", "jumpbox", &["eth0"]);
    server.kill();
    lab.on("master1", "touch /var/tmp/go").good();
    until_on(&lab, "master1", "test -e /var/tmp/over");
    // The next engine can't reach it at first.
    let server = stage.serve();
    let shown = until("it is known to be out of reach", || {
        let shown = stage.show(run);
        (state(&shown, "work") == "unreachable").then_some(shown)
    });
    let reason = task(&shown, "work")["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("out of reach since 2"), "{reason}");
    assert!(reason.contains("host master1"), "{reason}");
    // Not to wait for something: so long is the line dead.
    std::thread::sleep(span);
    fault.end();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(task(&shown, "work")["attempts"].as_array().map(Vec::len), Some(1));
    let log = log(&stage, run);
    assert!(log.len() > 50_000_000, "{}", log.len());
    let said = lab.on("master1", "cat /var/tmp/said").good().to_owned();
    let differs = log.iter().zip(said.as_bytes()).position(|(here, there)| here != there);
    let around = |at: usize| {
        String::from_utf8_lossy(&log[at.saturating_sub(200)..log.len().min(at + 200)]).into_owned()
    };
    assert!(differs.is_none(), "at {differs:?}: {}", around(differs.unwrap_or(0)));
    assert_eq!(log.len(), said.len(), "{}", around(log.len().min(said.len())));
    let events = stage.weir(&["events", &run.to_string()]);
    assert!(events.good().contains("unreachable"), "{}", events.out);
    assert!(events.out.contains("host master1"), "{}", events.out);
    assert_eq!(lab.on("master1", "cat /var/tmp/begun").good(), "once\n");
    server.stop();
    stage.verify();
}

#[test]
fn what_began_is_not_begun_again_when_the_answer_is_lost() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(
        &stage,
        "master1",
        "echo once >>/var/tmp/begun\nuntil [ -e /var/tmp/go ]; do /usr/bin/sleep.real 0.05; done\necho ended",
    );
    // Whoever launches waits for the work's leader by short sleeps: here the first of them lasts until the line is cut.
    lab.on(
        "master1",
        "cp /usr/bin/sleep /usr/bin/sleep.real && printf '#!/bin/sh\\nuntil [ -e /var/tmp/cut ]; do \
         /usr/bin/sleep.real 0.05; done\\nexec /usr/bin/sleep.real \"$@\"\\n' >/usr/bin/sleep.new && \
         chmod 755 /usr/bin/sleep.new && mv /usr/bin/sleep.new /usr/bin/sleep",
    )
    .good();
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "master1", "test -s /var/tmp/begun");
    let fault = lab.fault("cut", "jumpbox", &["eth0"]);
    lab.on("master1", "touch /var/tmp/cut").good();
    server.kill();
    let server = stage.serve();
    fault.end();
    lab.on("master1", "touch /var/tmp/go").good();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(lab.on("master1", "cat /var/tmp/begun").good(), "once\n");
    assert!(String::from_utf8_lossy(&log(&stage, run)).contains("ended\n"));
    server.stop();
    stage.verify();
}

#[test]
fn a_reboot_is_told_from_a_cut_line() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(&stage, "master1", "echo begun\ntouch /var/tmp/begun\nsleep 1000");
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "master1", "test -e /var/tmp/begun");
    lab.reboot("master1");
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    let work = task(&shown, "work");
    assert_eq!(work["state"], "lost", "{work:#}");
    let reason = work["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("host was rebooted"), "{reason}");
    assert!(String::from_utf8_lossy(&log(&stage, run)).contains("begun\n"));
    server.stop();
    stage.verify();
}

#[test]
fn work_goes_on_through_the_faults_of_its_host() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(
        &stage,
        "master1",
        "touch /var/tmp/begun\nuntil [ -e /var/tmp/go ]; do sleep 0.05; done\nseq 1 20000",
    );
    let server = stage.serve();
    let faults =
        [("sshd", "master1", None), ("freeze", "master1", None), ("loss", "jumpbox", Some("20"))];
    for (kind, host, more) in faults {
        lab.on("master1", "rm -f /var/tmp/begun /var/tmp/go").good();
        let run = server.door().begin(&flow, &json!({})).expect("begun");
        until_on(&lab, "master1", "test -e /var/tmp/begun");
        let more: Vec<&str> = more.into_iter().collect();
        let fault = lab.fault(kind, host, &more);
        if kind == "freeze" {
            fault.end();
            lab.on("master1", "touch /var/tmp/go").good();
        } else {
            lab.on("master1", "touch /var/tmp/go").good();
            if kind == "sshd" {
                // A new connection is not to be had meanwhile; the open one is enough.
                until("it has ended", || (stage.show(run)["state"] == "succeeded").then_some(()));
            }
            fault.end();
        }
        server.door().watch(run, |_| false).expect("the server stays");
        let shown = stage.show(run);
        assert_eq!(shown["state"], "succeeded", "{kind}: {shown:#}");
        let log = String::from_utf8(log(&stage, run)).expect("numbers");
        assert_eq!(log.lines().count(), 20_000, "{kind}");
        assert!(log.ends_with("19999\n20000\n"), "{kind}");
    }
    server.stop();
    stage.verify();
}

#[test]
fn a_full_disk_is_told_and_nothing_begins() {
    let Some(lab) = Lab::up(&["jumpbox"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(&stage, "jumpbox", "touch /dev/shm/begun");
    let home = lab.fault("disk", "jumpbox", &["/home/ubuntu"]);
    let var = lab.fault("disk", "jumpbox", &["/var/tmp"]);
    let key = std::fs::read_to_string(lab.key().with_extension("pub")).expect("a public key");
    // A login is still possible: its key is on the disk that is full.
    lab.on(
        "jumpbox",
        &format!(
            "rm /home/ubuntu/.full; mkdir -m 700 /home/ubuntu/.ssh; echo '{}' >/home/ubuntu/.ssh/authorized_keys; \
             chown -R ubuntu: /home/ubuntu; chmod 755 /home/ubuntu; cat /dev/zero >/home/ubuntu/.full 2>/dev/null; true",
            key.trim_end()
        ),
    )
    .good();
    let run = stage.run(&flow, &[]);
    let work = task(&run, "work");
    // The catalogue's remedy finds nothing to remove, so a person is asked.
    assert_eq!(work["state"], "asking", "{work:#}");
    let reason = work["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no room on a disk of the host; it came back"), "{reason}");
    for attempt in work["attempts"].as_array().expect("a list") {
        let message = attempt["message"].as_str().unwrap_or_default();
        assert!(message.contains("o space left"), "{message}");
    }
    assert_eq!(lab.on("jumpbox", "test ! -e /dev/shm/begun").code, 0);
    home.end();
    var.end();
    assert_eq!(state(&stage.run(&flow, &[]), "work"), "succeeded");
}

#[test]
fn a_cancel_ends_all_that_runs_on_the_host() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(
        &stage,
        "master1",
        "sh -c 'trap \"\" TERM; sleep 1234' &\nsetsid sleep 1234 &\ntouch /var/tmp/begun\nwait",
    );
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "master1", "test -e /var/tmp/begun && pgrep -f '[s]leep 1234'");
    stage.weir(&["cancel", &run.to_string()]).good();
    server.door().watch(run, |_| false).expect("the server stays");
    assert_eq!(stage.show(run)["state"], "cancelled");
    assert_eq!(lab.on("master1", "pgrep -af '[s]leep 1234'").out, "");
    server.stop();
    stage.verify();
}

#[test]
fn a_kill_gives_up_on_a_host_that_is_out_of_reach_and_says_so() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = flow_on(&stage, "master1", "touch /var/tmp/begun\nsleep 1234");
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "master1", "test -e /var/tmp/begun");
    let fault = lab.fault("cut", "jumpbox", &["eth0"]);
    stage.weir(&["cancel", &run.to_string(), "--detach"]).good();
    let reason = until("a person sees why it does not end", || {
        let shown = stage.show(run);
        let reason = task(&shown, "work")["reason"].as_str().unwrap_or_default();
        (state(&shown, "work") == "cancelling" && !reason.is_empty()).then(|| reason.to_owned())
    });
    assert!(reason.contains("host master1"), "{reason}");
    assert!(reason.contains(&format!("weir cancel {run} --kill")), "{reason}");
    stage.weir(&["cancel", &run.to_string(), "--kill", "--detach"]).good();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "cancelled", "{shown:#}");
    let reason = task(&shown, "work")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("it may still be at work"), "{reason}");
    fault.end();
    assert_eq!(lab.on("master1", "pgrep -f '[s]leep 1234'").code, 0, "that was the truth");
    server.stop();
    stage.verify();
}

#[test]
fn a_port_behind_a_host_is_seen_from_there() {
    let Some(lab) = Lab::up(&["jumpbox", "master1"]) else { return };
    let stage = stage(&lab);
    let flow = stage.flow(
        "seen",
        "on-failure: finish-possible\njobs:\n  \
         there: { uses: wait, with: { hosts: jumpbox, tcp: '10.2.14.11:22', within: 20s } }\n  \
         here: { uses: wait, with: { tcp: '10.2.14.11:22', within: 1s } }\n  \
         shut: { uses: wait, with: { hosts: jumpbox, http: { url: 'http://10.2.14.11:81/' }, within: 1s } }\n",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(state(&run, "there"), "succeeded", "{run:#}");
    assert_eq!(state(&run, "here"), "timed-out", "{run:#}");
    let reason = task(&run, "shut")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("jumpbox can't connect to it"), "{reason}");
}

#[test]
fn a_secret_is_nowhere_in_clear_on_a_host() {
    let Some(lab) = Lab::up(&["jumpbox", "broker"]) else { return };
    let stage = stage(&lab);
    let secret = "Sesame-open-4711";
    stage.weir_reads(&["secret", "set", "wrong"], secret).good();
    let flow = stage.flow(
        "secret",
        "jobs:\n  work:\n    uses: ssh\n    with:\n      hosts: broker\n      env: { TOKEN: \"{{ secret('wrong') }}\" }\n      \
         script: |\n        echo \"{{ secret('wrong') }} $TOKEN\"\n        touch /var/tmp/begun\n        \
         until [ -e /var/tmp/go ]; do sleep 0.05; done\n",
    );
    let password = lab.password();
    let in_arguments = |host: &str| {
        let script = format!(
            "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c -e {secret} -e {password} || true"
        );
        // Our own command names them: once for the shell, and for grep.
        lab.on(host, &format!("{} | grep -qx '[0-2]'", script.replace(" || true", ""))).code
    };
    let on_disk = |host: &str, but: &str| {
        lab.on(
            host,
            &format!("grep -rlFs -e {secret} -e {password} /home /root /tmp /var /run /etc | grep -v {but} || true"),
        )
        .out
    };
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until_on(&lab, "broker", "test -e /var/tmp/begun");
    for host in ["jumpbox", "broker"] {
        assert_eq!(in_arguments(host), 0, "arguments on {host}");
    }
    assert_eq!(on_disk("jumpbox", "/nowhere"), "");
    // What it has said is in its own folder there, which nobody else may enter, until the log has been fetched.
    assert_eq!(on_disk("broker", "/attempts/"), "");
    let open = "find / -xdev -path '*/.weir/*' -perm /077 2>/dev/null | head; find /root/.weir /home/*/.weir /var/tmp/weir-* \
                -perm /077 2>/dev/null | head";
    assert_eq!(lab.on("broker", open).out, "");
    lab.on("broker", "touch /var/tmp/go").good();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    until("the host is swept", || (on_disk("broker", "/nowhere").is_empty()).then_some(()));
    let log = String::from_utf8_lossy(&log(&stage, run)).into_owned();
    assert_eq!(log, "*** ***\n");
    for args in
        [&["show", "1", "--json"][..], &["events", "1", "--json"], &["plan", "secret.flow.yaml"]]
    {
        let ended = stage.weir(args);
        let told = ended.out + &ended.err;
        assert!(!told.contains(secret) && !told.contains(&password), "{args:?}: {told}");
    }
    server.stop();
    stage.verify();
}
