//! A project's hosts through the built binary, on real ones: looked at, asked, worked on batch by batch.

use serde_json::Value;
use weir_tests::{Lab, Stage, states};

/// The lab's hosts as a project has them: keys and passwords in secrets.
fn project(lab: &Lab, stage: &Stage) {
    let known = lab.known_hosts();
    let text = format!(
        "name: site
known-hosts: {}
secrets: [ops_key, vcap]
host-defaults: {{ user: ubuntu, key: {{ secret: ops_key }}, via: [jumpbox] }}
hosts:
  jumpbox: {{ address: 10.50.0.5 }}
  master1: {{ address: 10.2.14.11, user: ec2-user, become: root, labels: {{ role: master }}, vars: {{ myid: 7 }} }}
  slave1: {{ address: 10.2.14.21, labels: {{ role: slave }} }}
  slave2: {{ address: 10.2.14.22, labels: {{ role: slave }} }}
  vcap: {{ address: 10.2.14.22, user: vcap, password: {{ secret: vcap }}, become: {{ user: root, password: {{ secret: vcap }} }} }}
  inner: {{ address: 10.2.14.29, via: [{{ host: jumpbox, become: root, key-on-hop: /root/.ssh/id_ed25519 }}] }}
",
        known.display()
    );
    stage.write("project.yaml", text);
    let key = std::fs::read_to_string(lab.key()).expect("the lab has made it");
    let secrets = [("ops_key", key), ("vcap", lab.password())];
    for (name, value) in secrets {
        stage.weir_reads(&["secret", "set", name, "--project", "site"], &value).good();
    }
}

fn reached(check: &Value) -> Vec<(String, bool)> {
    let hosts = check["hosts"].as_array().expect("a list").iter();
    let name = |host: &Value| host["name"].as_str().expect("a name").to_owned();
    hosts.map(|host| (name(host), host["is_reached"] == true)).collect()
}

#[test]
fn hosts_are_checked_hop_by_hop_and_say_what_they_are() {
    let Some(lab) = Lab::up(&["jumpbox", "master1", "slave1", "slave2", "inner"]) else { return };
    let stage = lab.stage();
    project(&lab, &stage);
    let check = stage.weir(&["hosts", "check", "--json"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let names: Vec<(String, bool)> = reached(&check.json());
    let all = ["inner", "jumpbox", "master1", "slave1", "slave2", "vcap"];
    assert_eq!(names, all.map(|name| (name.to_owned(), true)));

    let facts = stage.weir(&["hosts", "facts", "master1", "--json"]).json();
    let boot_id = lab.on("master1", "cat /proc/sys/kernel/random/boot_id");
    assert_eq!(facts["boot_id"], boot_id.good().trim());
    assert_eq!((&facts["hostname"], &facts["user"]), (&"master1".into(), &"root".into()));
    assert!(facts["cores"].as_u64() > Some(0) && facts["disk_free_kib"].is_u64(), "{facts}");
    assert!(facts["clock_skew_ms"].as_i64().is_some_and(|skew| skew.abs() < 5_000), "{facts}");

    // Who is to blame is named: the host, then the machine on the way.
    let fault = lab.fault("cut", "slave1", &[]);
    let check = stage.weir(&["hosts", "check", "slave1,slave2", "--within", "3"]);
    assert_eq!(check.code, 1, "{}", check.out);
    assert!(check.out.contains("slave1 ✗") && check.out.contains("✓ slave2"), "{}", check.out);
    fault.end();
    let fault = lab.fault("cut", "jumpbox", &[]);
    let check = stage.weir(&["hosts", "check", "master1", "--within", "3", "--json"]);
    assert_eq!(check.code, 1, "{}", check.out);
    let host = &check.json()["hosts"][0];
    assert_eq!(host["hops"][0]["name"], "jumpbox");
    assert_eq!(host["hops"][0]["is_reached"], false, "{host}");
    fault.end();
    for text in [check.out, check.err] {
        assert!(!text.contains(&lab.password()), "{text}");
    }
}

#[test]
fn a_job_goes_over_its_hosts_in_batches_each_a_task() {
    let Some(lab) = Lab::up(&["jumpbox", "master1", "slave1", "slave2"]) else { return };
    let stage = lab.stage();
    project(&lab, &stage);
    let flow = stage.flow(
        "go",
        "params: { role: { default: slave } }
jobs:
  each:
    uses: ssh
    with:
      hosts: role={{ params.role }}
      script: |
        echo \"on $(uname -n) for {{ item.name }} as $(id -un)\"
        date +%s%N >/tmp/when
        printf 'name=%s\\nwhen=%s\\n' \"$(uname -n)\" \"$(cat /tmp/when)\" >>\"$WEIR_OUTPUT\"
    rolling: { batch: 1, pause: 1s }
    verify: test -s /tmp/when
  one:
    needs: [each]
    uses: ssh
    with: { hosts: master1, script: \"id -un; echo {{ jobs.each.outputs | map(attribute='name') | join('+') }}\" }
",
    );
    let run = stage.run(&flow, &[]);
    assert_eq!(states(&run), "each succeeded, each[0] succeeded, each[1] succeeded, one succeeded");
    let log = stage.weir(&["logs", "1", "each[1]"]).out;
    assert!(log.contains("on slave2 for slave2 as ubuntu"), "{log}");
    let log = stage.weir(&["logs", "1", "one"]).out;
    assert!(log.contains("root\nslave1+slave2"), "{log}");
    let tasks = run["tasks"].as_array().expect("a list");
    let when = |path: &str| -> i128 {
        let task = tasks.iter().find(|task| task["path"] == path).expect("it is there");
        let when = task["outputs"]["when"].to_string();
        when.trim_matches('"').parse().expect("a number")
    };
    let pause_ms = (when("each[1]") - when("each[0]")) / 1_000_000;
    assert!(pause_ms >= 1_000, "{pause_ms} ms");
    // The rest of the hosts is left alone when one fails.
    stage.flow(
        "stop",
        "jobs:\n  each: { uses: ssh, rolling: { batch: 1 }, with: { hosts: role=slave, script: exit 3 } }\n",
    );
    let run = stage.run(&stage.path().join("stop.flow.yaml"), &[]);
    assert_eq!(states(&run), "each failed, each[0] failed, each[1] cancelled");
    // What was written on a host can be read back, without the secret in it.
    let flow = stage.flow(
        "write",
        "params: { zk: { default: one } }
jobs:
  conf: { uses: file, with: { hosts: slave1, path: /tmp/zk, content: \"{{ params.zk }} {{ secret('vcap') }}\\n\" } }
",
    );
    for zk in ["one", "two", "two"] {
        stage.run(&flow, &["-p", &format!("zk={zk}")]);
    }
    let config = stage.weir(&["hosts", "config", "slave1", "/tmp/zk"]);
    assert!(config.good().contains("-one ***\n    +two ***"), "{}", config.out);
    assert_eq!(config.out.matches("flow write: conf").count(), 2, "{}", config.out);
    let plan = stage.weir(&["plan", "go.flow.yaml"]);
    assert!(plan.good().contains("on each of role={{ params.role }}"), "{}", plan.out);
    stage.verify();
}
