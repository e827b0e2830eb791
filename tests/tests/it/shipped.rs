//! The shipped flows that act on hosts, on the lab: they do what they say, a second run changes nothing, and a plan reads
//! only.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_tests::{Ended, Lab, Stage, root};

/// A stage that holds the secrets that shipped projects ask for.
fn stage(lab: &Lab) -> Stage {
    let stage = lab.stage();
    let key = std::fs::read_to_string(lab.key()).expect("a key");
    for (name, value) in
        [("ops_key", key), ("vcap", lab.password()), ("shadowsocks", SHARED.into())]
    {
        stage.weir_reads(&["secret", "set", name], &value).good();
    }
    stage
}

/// The password between the two ends of the proxy.
const SHARED: &str = "between-both-ends-4";

fn shipped(project: &str, flow: &str) -> PathBuf {
    root().join(format!("flows/{project}/{flow}.flow.yaml"))
}

#[track_caller]
fn succeeds(stage: &Stage, flow: &Path, more: &[&str]) -> Value {
    let run = stage.run(flow, more);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    run
}

fn state<'a>(run: &'a Value, path: &str) -> &'a str {
    let tasks = run["tasks"].as_array().expect("tasks");
    let task = tasks.iter().find(|task| task["path"] == path);
    task.unwrap_or_else(|| panic!("{path}: {run:#}"))["state"].as_str().unwrap_or_default()
}

fn dig(lab: &Lab, name: &str) -> String {
    let mut dig = lab.operator("nsenter");
    // Asked by another host of the site.
    dig.arg(format!("--net=/run/netns/{}-jumpbox", lab.name()));
    dig.args(["dig", "+short", "+time=2", "@10.2.14.53"]).args(name.split(' '));
    Ended::of(dig, None).out.trim().to_owned()
}

#[test]
fn the_logs_of_all_hosts_are_collected_and_nothing_is_changed() {
    let Some(lab) = Lab::up(&["jumpbox", "nginx", "master1", "broker", "inner"]) else { return };
    let stage = stage(&lab);
    for host in ["nginx", "broker", "inner"] {
        lab.on(
            host,
            &format!(
                "seq 1 500 >/var/log/cloud-init-output.log; echo 'of {host}' >/var/log/ansible.log"
            ),
        )
        .good();
        lab.on(host, "chmod 600 /var/log/ansible.log").good();
    }
    let run = succeeds(&stage, &shipped("logs", "logs"), &["-p", "bytes=40"]);
    let log = stage.weir(&["logs", "1"]).out;
    for host in ["nginx", "broker", "inner"] {
        assert!(log.contains(&format!("of {host}\n")), "{host}: {log}");
    }
    assert!(log.contains("cloud-init-output.log is not on master1"), "{log}");
    assert!(log.contains("499\n500\n") && !log.contains("\n100\n"), "{log}");
    // Whole they are kept with the attempts.
    let mut cat = std::process::Command::new("find");
    cat.arg(stage.home()).args([
        "-path",
        "*/artifacts/var/log/ansible.log",
        "-exec",
        "sort",
        "{}",
        "+",
    ]);
    assert_eq!(Ended::of(cat, None).good(), "of broker\nof inner\nof nginx\n");
    assert_eq!(run["tasks"].as_array().map(Vec::len), Some(10));
    assert!(!log.contains(&lab.password()));
    stage.verify();
}

#[test]
fn a_name_server_is_set_up_proven_and_rolled_back() {
    let Some(lab) = Lab::up(&["jumpbox", "dns"]) else { return };
    let stage = stage(&lab);
    let flow = shipped("local-dns", "local-dns-host");
    stage.weir(&["plan", flow.to_str().expect("plain")]).good();
    lab.on("dns", "test ! -e /var/lib/weir-local-dns").good();
    succeeds(&stage, &flow, &[]);
    assert_eq!(dig(&lab, "a.tap.wyn"), "10.2.14.28");
    assert_eq!(dig(&lab, "a.b.tap.wyn"), "10.2.14.28");
    let look = "find /etc/bind -type f -printf '%p %T@ %i\\n' | sort; cat /run/named/named.pid";
    let before = lab.on("dns", look).out;
    let run = succeeds(&stage, &flow, &[]);
    assert_eq!((state(&run, "activate"), state(&run, "start")), ("skipped", "already-done"));
    assert_eq!(lab.on("dns", look).out, before);

    // What is wrong is not loaded; what does not prove good does not stay.
    let run = stage.run(&flow, &["-p", "wildcard=10.2.14.300"]);
    assert_eq!((state(&run, "render"), state(&run, "activate")), ("failed", "skipped"), "{run:#}");
    assert_eq!(lab.on("dns", look).out, before);
    let forward = [
        "-p",
        "forwarders=[\"10.2.14.5\"]",
        "-p",
        "outside=nowhere.test",
        "-p",
        "wildcard=10.2.14.29",
    ];
    let run = stage.run(&flow, &forward);
    assert_eq!(
        (state(&run, "answers"), state(&run, "rollback")),
        ("failed", "succeeded"),
        "{run:#}"
    );
    assert_eq!(dig(&lab, "a.tap.wyn"), "10.2.14.28");
    // A serial that was handed out is not used again for another zone.
    let handed_out = |run: &Value| -> u64 {
        let tasks = run["tasks"].as_array().expect("tasks");
        let render = tasks.iter().find(|task| task["path"] == "render").expect("it renders");
        let serial = &render["outputs"]["serial"];
        serial.as_u64().or_else(|| serial.as_str()?.parse().ok()).expect("a serial")
    };
    let old = handed_out(&run);
    let run = succeeds(&stage, &flow, &["-p", "wildcard=10.2.14.30"]);
    assert_eq!(dig(&lab, "a.tap.wyn"), "10.2.14.30");
    assert!(handed_out(&run) > old, "{old} and then {}", handed_out(&run));
    stage.verify();
}

#[test]
fn a_page_is_reached_through_both_proxies() {
    let Some(lab) = Lab::up(&["jumpbox", "proxy", "nginx"]) else { return };
    let stage = stage(&lab);
    lab.on(
        "nginx",
        "mkdir -p /srv/www && echo 'from behind' >/srv/www/index.html && \
         echo 'events {} http { access_log /var/log/nginx/access.log; server { listen 10.2.14.28:80; root /srv/www; } }' \
         >/etc/nginx/nginx.conf && nginx >/dev/null 2>&1",
    )
    .good();
    let flow = shipped("local-proxy", "local-proxy");
    let open = stage.run(&flow, &["-p", "networks=[\"0.0.0.0/0\"]"]);
    assert_eq!(
        (state(&open, "sound"), open["state"].as_str()),
        ("failed", Some("failed")),
        "{open:#}"
    );
    let plan = stage.weir(&["plan", flow.to_str().expect("plain")]);
    assert!(plan.good().contains("/etc/shadowsocks-libev/near.json"), "{}", plan.out);
    assert!(!plan.out.contains(SHARED), "{}", plan.out);
    lab.on("jumpbox", "test ! -e /etc/shadowsocks-libev/near.json").good();
    succeeds(&stage, &flow, &[]);
    let curl = |arguments: &[&str]| {
        let mut curl = lab.operator("curl");
        curl.args(["-fsS", "-m", "10"]).args(arguments).arg("http://10.2.14.28/");
        Ended::of(curl, None)
    };
    assert_eq!(curl(&["-x", "http://10.50.0.5:8123"]).good(), "from behind\n");
    assert_eq!(curl(&[]).code, 7);
    // It came from the far end.
    let log = lab.on("nginx", "cat /var/log/nginx/access.log").out;
    assert!(log.lines().all(|line| line.starts_with("10.2.14.80 ")), "{log}");
    let look = |host: &str| {
        lab.on(
            host,
            "for name in ss-server ss-local privoxy; do pgrep -x $name; done; \
             find /etc/privoxy /etc/shadowsocks-libev /etc/init.d -type f -printf '%p %T@ %i\\n' | sort",
        )
        .out
    };
    let before = (look("jumpbox"), look("proxy"));
    succeeds(&stage, &flow, &[]);
    assert_eq!((look("jumpbox"), look("proxy")), before);
    // The far end is gone: the near end answers with a page of its own, which does not count.
    lab.on("proxy", "pkill -x ss-server").good();
    let run = stage.run(&flow, &["--only", "through"]);
    assert_eq!(state(&run, "through[0]"), "failed", "{run:#}");
    for path in ["runs", "weir.db"] {
        let mut grep = std::process::Command::new("grep");
        grep.args(["-rlF", SHARED]).arg(stage.home().join(path));
        assert_eq!(Ended::of(grep, None).out, "");
    }
    let readable = format!(
        "find /etc/shadowsocks-libev -perm /007 -name '*.json' -exec grep -lF {SHARED} {{}} +"
    );
    assert_eq!(lab.on("proxy", &readable).out + &lab.on("jumpbox", &readable).out, "");
    stage.verify();
}
