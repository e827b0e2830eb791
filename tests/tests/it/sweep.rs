//! Promise 8 on hosts: a secret that work there needs is in no argument, no log, no plan, no page of history and no file,
//! here or there, but the one that it was written into.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_core::secret::Secret;
use weir_tests::{Lab, Stage, until};

use crate::secrets::{KEPT, files, leaks_of};

/// Writes the secret into a file, and shows it in many forms in every way that work on a host has.
const FLOW: &str = r#"params: { mark: { type: string, default: first } }
jobs:
  file:
    uses: file
    with:
      hosts: broker
      path: /etc/app.conf
      mode: '0600'
      content: "{{ params.mark }} token={{ secret('token') }}\n"
    verify: { uses: ssh, with: { hosts: broker, script: "echo {{ secret('token') }}; grep -qF token= /etc/app.conf" } }
  work:
    needs: [file]
    uses: ssh
    env: { IN_ENV: "{{ secret('token') }}" }
    unless: "echo {{ secret('token') }}; false"
    with:
      hosts: broker
      env: { TOKEN: "{{ secret('token') }}" }
      stdin: "{{ secret('token') }}"
      script: |
        for value in {{ secret('token') }} "$TOKEN" "$IN_ENV" "$(cat)"; do
          echo "plain: $value"
          printf '%s' "$value" | base64
          printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n'; echo
        done
        cat /etc/app.conf
        touch /var/tmp/begun
        until [ -e /var/tmp/go ]; do sleep 0.05; done
  attached:
    needs: [work]
    uses: ssh
    with: { hosts: broker, attached: true, env: { TOKEN: "{{ secret('token') }}" }, script: 'echo "attached: $TOKEN"' }
  argument:
    needs: [work]
    uses: ssh
    allow-failure: true
    with: { hosts: broker, command: [echo, "{{ secret('token') }}"] }
  fails:
    needs: [work]
    uses: ssh
    allow-failure: true
    with: { hosts: broker, script: 'echo "can not log in with {{ secret("token") }}"; exit 9' }
    recover:
      - match: { log: 'log in with (?P<what>.*)' }
        diagnosis: The password is wrong.
        then: fail
"#;

fn stage(lab: &Lab) -> Stage {
    let stage = lab.stage();
    stage.write(
        "project.yaml",
        format!(
            "name: sweep\nsecrets: [vcap, token]\nknown-hosts: {}\nhosts:\n\
             \x20 jumpbox: {{ address: 10.50.0.5, user: ubuntu, key: {} }}\n\
             \x20 broker: {{ address: 10.2.14.31, via: [jumpbox], user: vcap, password: {{ secret: vcap }}, \
             become: {{ user: root, password: {{ secret: vcap }} }} }}\n",
            lab.known_hosts().display(),
            lab.key().display()
        ),
    );
    stage.weir_reads(&["secret", "set", "vcap"], &lab.password()).good();
    stage.weir_reads(&["secret", "set", "token"], KEPT).good();
    stage
}

fn read(path: impl AsRef<Path>) -> (String, Vec<u8>) {
    let path = path.as_ref();
    let bytes = fs::read(path).unwrap_or_default();
    (path.display().to_string(), bytes)
}

/// The arguments of all processes of this machine, those of the hosts among them.
fn arguments() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let processes =
        entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    processes.map(|entry| read(entry.path().join("cmdline"))).collect()
}

fn task<'a>(run: &'a Value, path: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["path"] == path).unwrap_or_else(|| panic!("{path}: {run:#}"))
}

#[test]
fn secrets_of_hosts_stay_where_they_belong() {
    let hosts = ["jumpbox", "broker"];
    let Some(lab) = Lab::up(&hosts) else { return };
    let stage = stage(&lab);
    let flow = stage.flow("sweep", FLOW);
    let secrets = [Secret::new("token", KEPT), Secret::new("vcap", lab.password())];
    let on_hosts = || {
        let folders = hosts.map(|host| lab.path().join("hosts").join(host));
        let found = folders.iter().flat_map(|folder| files(folder)).filter(|path| {
            // What works there just now has said it, and nobody else may look; the file is what it is for.
            let path = path.to_string_lossy();
            !path.contains("/attempts/")
                && !path.contains("/etc/app.conf")
                && !path.contains("/new/")
        });
        leaks_of(&secrets, found.map(read))
    };
    let here = |folder: &Path| leaks_of(&secrets, files(folder).into_iter().map(read));
    let told = |args: &[&[&str]]| {
        let texts = args.iter().map(|args| {
            let ended = stage.weir(args);
            (args.join(" "), (ended.out + &ended.err).into_bytes())
        });
        leaks_of(&secrets, texts.collect::<Vec<_>>())
    };
    let none = Vec::<String>::new();
    assert_eq!(told(&[&["plan", "sweep.flow.yaml"]]), none);

    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until("the work has said it", || {
        (lab.on("broker", "test -e /var/tmp/begun").code == 0).then_some(())
    });
    assert_eq!(leaks_of(&secrets, arguments()), none);
    assert_eq!(on_hosts(), none, "while it works");
    let open =
        "find /root/.weir /home/*/.weir /var/tmp/weir-* /etc/app.conf* -perm /077 2>/dev/null";
    assert_eq!(lab.on("broker", open).out, "", "nobody else may look");
    lab.on("broker", "touch /var/tmp/go").good();
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(task(&shown, "argument")["attempts"][0]["error_class"], "definition", "{shown:#}");
    let log = stage.weir(&["logs", &run.to_string(), "work"]).out;
    assert_eq!(log.matches("plain: ***\n").count(), 4, "{log}");
    assert_eq!(lab.on("broker", "cat /etc/app.conf").good(), format!("first token={KEPT}\n"));

    // The file changes: what differs is not shown, neither before nor afterwards.
    let change = ["plan", "sweep.flow.yaml", "-p", "mark=second"];
    assert_eq!(told(&[&change]), none);
    let second = server.door().begin(&flow, &json!({ "mark": "second" })).expect("begun");
    server.door().watch(second, |_| false).expect("the server stays");
    assert_eq!(stage.show(second)["state"], "succeeded");
    let second = second.to_string();
    assert_eq!(
        told(&[
            &["show", "1", "--json"],
            &["logs", "1"],
            &["events", "1", "--json"],
            &["diagnose", "1"],
            &["show", &second, "--json"],
            &["logs", &second],
            &["hosts", "config", "broker", "/etc/app.conf"],
            &["hosts", "config", "broker", "/etc/app.conf", "--json"],
            &["hosts", "check"],
            &["hosts", "facts", "broker"],
        ]),
        none
    );
    until("the hosts are swept", || {
        let attempts = lab.on("broker", "find / -xdev -path '*/attempts/*' -type f -size +0 2>/dev/null | xargs -r grep -l token= 2>/dev/null");
        attempts.out.is_empty().then_some(())
    });
    assert_eq!(on_hosts(), none, "at the end");
    server.stop();
    stage.verify();
    assert_eq!(here(&stage.home()), none, "at home");
}
