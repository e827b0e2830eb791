//! Entries of the catalogue, cured for real on hosts of the lab: a real program fails there, Weir finds out why, remedies
//! it, and the run goes on from the right job. No person is asked, except where one must be.

use std::path::PathBuf;

use serde_json::{Value, json};
use weir_tests::{Lab, Server, Stage, states, until};

/// Hosts, and an engine that runs flows on them.
struct Field {
    server: Server,
    stage: Stage,
    lab: Lab,
}

impl Field {
    fn up(hosts: &[&str]) -> Option<Self> {
        let lab = Lab::up(hosts)?;
        let stage = lab.stage();
        stage.write(
            "project.yaml",
            format!(
                "name: cures\nknown-hosts: {}\n\
                 host-defaults: {{ user: ubuntu, key: {}, via: [jumpbox], become: root }}\n\
                 hosts:\n\
                 \x20 jumpbox: {{ address: 10.50.0.5, via: [], labels: {{ role: jump }} }}\n\
                 \x20 nginx: {{ address: 10.2.14.28 }}\n\
                 \x20 dns: {{ address: 10.2.14.53 }}\n",
                lab.known_hosts().display(),
                lab.key().display()
            ),
        );
        let server = stage.serve();
        Some(Self { server, stage, lab })
    }

    /// A flow of three jobs on a host; `work`, the one in the middle, is written below its name.
    fn flow(&self, host: &str, work: &str) -> PathBuf {
        let mark = |job: &str| {
            format!(
                "uses: ssh\n    with: {{ hosts: {host}, script: 'echo {job} >>/var/tmp/order' }}\n"
            )
        };
        let work = work.trim_end().replace('\n', "\n    ");
        self.stage.flow(
            "cure",
            &format!(
                "jobs:\n  before:\n    {}  work:\n    needs: [before]\n    {work}\n  after:\n    needs: [work]\n    {}",
                mark("before"),
                mark("after")
            ),
        )
    }

    /// Runs a flow until it has ended or asks; `meanwhile` is a script for its host, as soon as a remedy runs.
    fn run(&self, flow: &std::path::Path, host: &str, meanwhile: &str) -> Value {
        let run = self.server.door().begin(flow, &json!({})).expect("begun");
        if !meanwhile.is_empty() {
            self.watch(run, "recovering");
            self.lab.on(host, meanwhile).good();
        }
        self.watch(run, "asking");
        self.stage.show(run)
    }

    /// Until a task of the run is in that state, or the run has ended.
    fn watch(&self, run: i64, state: &str) {
        let is_there = |event: &Value| event["kind"] == state;
        self.server.door().watch(run, is_there).expect("the server stays");
    }

    /// The job in the middle fails, is diagnosed as `id`, cured, and tried again; what follows it runs, and what went before
    /// it is not repeated.
    #[track_caller]
    fn cured(&self, id: &str, host: &str, work: &str, meanwhile: &str) -> Value {
        self.lab.on(host, "rm -f /var/tmp/order").good();
        let shown = self.run(&self.flow(host, work), host, meanwhile);
        self.went_well(id, &shown, "retry", Some("cured"));
        assert_eq!(task(&shown, "work")["state"], "succeeded", "{id}: {shown:#}");
        assert!(states(&shown).contains("work/recover.1/"), "{id}: {}", states(&shown));
        assert_eq!(self.lab.on(host, "cat /var/tmp/order").out, "before\nafter\n", "{id}");
        shown
    }

    #[track_caller]
    fn went_well(&self, id: &str, shown: &Value, then: &str, result: Option<&str>) {
        let logs = || self.stage.weir(&["logs", &shown["id"].to_string()]).out;
        assert_eq!(shown["state"], "succeeded", "{id}: {}\n{shown:#}", logs());
        let found = task(shown, "work")["diagnoses"].as_array().expect("diagnoses").clone();
        assert!(!found.is_empty(), "{id}: it did not fail: {}", logs());
        for one in &found {
            assert_eq!((&one["signature"], &one["then"]), (&json!(id), &json!(then)), "{one:#}");
        }
        assert_eq!(found.last().expect("one")["result"].as_str(), result, "{id}: {shown:#}");
    }

    fn until_on(&self, host: &str, test: &str) {
        until(test, || (self.lab.on(host, test).code == 0).then_some(()));
    }

    fn down(self) {
        self.server.stop();
        self.stage.verify();
    }
}

fn task<'a>(run: &'a Value, path: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["path"] == path).unwrap_or_else(|| panic!("{path}: {run:#}"))
}

/// A job that runs a script on a host.
fn script(host: &str, script: &str) -> String {
    let lines = script.replace('\n', "\n    ");
    format!("uses: ssh\nwith:\n  hosts: {host}\n  script: |\n    {lines}\n")
}

/// Makes a package of that name in /root; `control` are more lines of its description, `after` what runs when it is
/// installed.
fn package(lab: &Lab, host: &str, name: &str, control: &str, after: &str) {
    let make = format!(
        "set -e; mkdir -p /root/{name}/DEBIAN; cd /root/{name}/DEBIAN\n\
         printf '%s\\n' 'Package: {name}' 'Version: 1' 'Architecture: all' 'Maintainer: Weir' 'Description: {name}' {control} >control\n\
         printf '%s\\n' '#!/bin/sh' '{after}' >postinst\n\
         chmod 755 postinst\n\
         dpkg-deb --root-owner-group --build /root/{name} /root/{name}.deb"
    );
    lab.on(host, &make).good();
}

#[test]
fn packages() {
    let host = "jumpbox";
    let Some(field) = Field::up(&[host]) else { return };
    let lab = &field.lab;
    package(lab, host, "tool", "", "exit 0");
    package(lab, host, "needy", "'Depends: mesos'", "exit 0");
    package(
        lab,
        host,
        "slow",
        "",
        "touch /var/tmp/in; until [ -e /var/tmp/go ]; do sleep 0.05; done",
    );
    // Another one installs something just now, and goes on with it for a while.
    let installs =
        "rm -f /var/tmp/in /var/tmp/go; setsid dpkg -i /root/slow.deb >/dev/null 2>&1 </dev/null &";
    let tool = script(host, "apt-get -q -y install /root/tool.deb");

    // The host has never fetched the lists.
    field.cured("PKG-04", host, &script(host, "apt-get -q -y install mesos"), "");

    lab.on(host, installs).good();
    field.until_on(host, "test -e /var/tmp/in");
    field.cured("PKG-01", host, &tool, "touch /var/tmp/go");

    // What installs is killed in the middle.
    lab.on(host, "dpkg --purge slow").good();
    lab.on(host, installs).good();
    field.until_on(host, "test -e /var/tmp/in");
    lab.on(host, "pkill -9 -x dpkg; pkill -9 -f '[s]low.postinst'; touch /var/tmp/go").good();
    let work = format!("uses: package\nwith: {{ hosts: {host}, name: mesos, state: absent }}");
    field.cured("PKG-02", host, &work, "");
    assert_eq!(lab.on(host, "dpkg --audit").good(), "");

    assert_ne!(lab.on(host, "dpkg -i /root/needy.deb").code, 0);
    lab.on(host, "dpkg --purge tool").good();
    field.cured("PKG-03", host, &tool, "");
    lab.on(host, "dpkg -s tool needy mesos").good();

    let holds = "rm -f /var/tmp/in /var/tmp/go; setsid flock /var/cache/debconf/config.dat sh -c \
                 'touch /var/tmp/in; until [ -e /var/tmp/go ]; do sleep 0.05; done' >/dev/null 2>&1 </dev/null &";
    lab.on(host, holds).good();
    field.until_on(host, "test -e /var/tmp/in");
    let answers = script(host, "echo 'weir weir/answer string 42' | debconf-set-selections");
    field.cured("PKG-05", host, &answers, "touch /var/tmp/go");
    field.down();
}

#[test]
fn accounts_services_disks_and_ports() {
    let host = "jumpbox";
    let Some(field) = Field::up(&[host]) else { return };
    let lab = &field.lab;

    // A power loss has left the lock, and nothing in it.
    lab.on(host, "touch -d '1 hour ago' /etc/passwd.lock").good();
    field.cured("SYS-05", host, &format!("uses: user\nwith: {{ hosts: {host}, name: alice }}"), "");
    lab.on(host, "id alice").good();

    // What is so already is no failure.
    lab.on(host, "rm -f /var/tmp/order").good();
    let shown = field.run(&field.flow(host, &script(host, "useradd alice")), host, "");
    field.went_well("SYS-06", &shown, "continue", None);
    assert_eq!(states(&shown), "before succeeded, work already-done, after succeeded");
    let start = "start-stop-daemon --start --background --make-pidfile --pidfile /run/nap.pid --exec /usr/bin/sleep -- 1000";
    lab.on(host, start).good();
    let shown = field.run(&field.flow(host, &script(host, start)), host, "");
    field.went_well("SYS-02", &shown, "continue", None);

    lab.on(host, "rm -rf /var/log/nginx").good();
    field.cured("SYS-04", host, &script(host, "nginx -t"), "");

    // Old downloads fill the disk.
    lab.on(
        host,
        "mount -t tmpfs -o size=4m small /var/cache && mkdir -p /var/cache/apt/archives/partial && \
         head -c 3500000 /dev/zero >/var/cache/apt/archives/old_1_all.deb",
    )
    .good();
    field.cured("SYS-07", host, &script(host, "head -c 2000000 /dev/zero >/var/cache/data"), "");
    lab.on(host, "umount /var/cache").good();

    // The old process still has the port.
    let listens = "setsid /usr/bin/python3 -c 'import socket, time; s = socket.create_server((\"0.0.0.0\", 80)); time.sleep(1000)' \
                   >/dev/null 2>&1 </dev/null &";
    lab.on(host, listens).good();
    field.until_on(host, "ss -Hltn 'sport = :80' | grep -q .");
    field.cured("NET-02", host, &script(host, "nginx"), "pkill -f '[c]reate_server'");
    lab.on(host, "pgrep -x nginx").good();
    field.down();
}

#[test]
fn logins_from_host_to_host() {
    let host = "jumpbox";
    let Some(field) = Field::up(&[host, "inner"]) else { return };
    let lab = &field.lab;
    let ssh = "ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=accept-new ubuntu@10.2.14.29 hostname";
    let login = script(host, ssh);

    lab.on(host, "chmod 644 /root/.ssh/id_ed25519").good();
    field.cured("SSH-01", host, &login, "");
    assert_eq!(lab.on(host, "stat -c %a /root/.ssh/id_ed25519").good(), "600\n");

    // sshd takes one login at a time, and somebody has begun one.
    let narrow = "sed -i 's/^MaxStartups.*/MaxStartups 1/' /etc/ssh/sshd_config.d/00-lab.conf; kill -HUP \"$(cat /run/sshd.pid)\"";
    lab.on("inner", narrow).good();
    field.until_on("inner", "test -s /run/sshd.pid && ss -Hltn 'sport = :22' | grep -q .");
    let begins = "rm -f /var/tmp/in /var/tmp/go; setsid bash -c 'exec 3<>/dev/tcp/10.2.14.29/22; read -r line <&3; \
                  touch /var/tmp/in; until [ -e /var/tmp/go ]; do sleep 0.05; done' >/dev/null 2>&1 </dev/null &";
    lab.on(host, begins).good();
    field.until_on(host, "test -e /var/tmp/in");
    field.cured("SSH-02", host, &login, "touch /var/tmp/go");

    // Without that folder nobody is let in any more; but the engine is in.
    let check =
        "[ -e /var/tmp/once ] || { touch /var/tmp/once; rmdir /run/sshd; }\n/usr/sbin/sshd -t";
    field.cured("SSH-03", host, &script(host, check), "");

    // Another machine may stand there: that is for a person.
    lab.on(
        host,
        "ssh-keygen -q -t ed25519 -N '' -f /tmp/other && \
                  echo \"10.2.14.29 $(cut -d' ' -f1,2 /tmp/other.pub)\" >/root/.ssh/known_hosts",
    )
    .good();
    let shown = field.run(&field.flow(host, &login), host, "");
    assert_eq!(states(&shown), "before succeeded, work asking, after waiting", "{shown:#}");
    assert_eq!(task(&shown, "work")["diagnoses"][0]["signature"], "SSH-04", "{shown:#}");
    field.stage.weir(&["cancel", &shown["id"].to_string()]);
    field.down();
}

#[test]
fn names_and_pages() {
    let Some(field) = Field::up(&["jumpbox", "dns", "nginx"]) else { return };
    let lab = &field.lab;
    field.cured("DNS-03", "dns", &script("dns", "rndc reload"), "");
    lab.on("dns", "rndc status").good();

    // A flow's own jobs know how to mend it; the run goes back to the one that writes the file.
    lab.on("dns", "printf '%s\\n' '# the zone' '$TTL 60' '@ SOA ns.tap.wyn. root.tap.wyn. 1 60 60 60 60' '@ NS ns' 'ns A 10.2.14.53' >/srv/zone.in")
        .good();
    let zone = field.stage.flow(
        "zone",
        "jobs:
  before: { uses: ssh, with: { hosts: dns, script: echo before >/var/tmp/order } }
  render:
    needs: [before]
    uses: ssh
    with: { hosts: dns, script: 'echo render >>/var/tmp/order; cp /srv/zone.in /etc/bind/db.tap.wyn' }
  work:
    needs: [render]
    uses: ssh
    with: { hosts: dns, script: 'echo work >>/var/tmp/order; named-checkzone tap.wyn /etc/bind/db.tap.wyn' }
    recover:
      - use: DNS-01
        jobs:
          comments:
            uses: ssh
            with: { hosts: '{{ failed.host }}', script: \"sed -i 's/^#/;/' /srv/zone.in\" }
        then: retry-from render
  after: { needs: [work], uses: ssh, with: { hosts: dns, script: echo after >>/var/tmp/order } }
",
    );
    let shown = field.run(&zone, "dns", "");
    field.went_well("DNS-01", &shown, "retry-from", Some("cured"));
    assert_eq!(
        lab.on("dns", "cat /var/tmp/order").out,
        "before\nrender\nwork\nrender\nwork\nafter\n"
    );

    // The page comes up while it is waited for.
    lab.on(
        "nginx",
        "echo 'events {} http { server { listen 10.2.14.28:80; } }' >/etc/nginx/nginx.conf",
    )
    .good();
    let page = script("jumpbox", "curl -sS -o /dev/null http://10.2.14.28/");
    lab.on("jumpbox", "rm -f /var/tmp/order").good();
    let flow = field.flow("jumpbox", &page);
    let run = field.server.door().begin(&flow, &json!({})).expect("begun");
    field.watch(run, "recovering");
    lab.on("nginx", "nginx >/dev/null 2>&1").good();
    field.watch(run, "asking");
    let shown = field.stage.show(run);
    field.went_well("NET-01", &shown, "retry", Some("cured"));
    assert_eq!(lab.on("jumpbox", "cat /var/tmp/order").out, "before\nafter\n");
    field.down();
}

#[test]
fn a_remedy_finds_the_host_that_failed_however_it_was_named() {
    let Some(field) = Field::up(&["jumpbox"]) else { return };
    let lab = &field.lab;
    let flow = field.stage.flow(
        "named",
        "params: { where: { type: string, default: jumpbox } }
jobs:
  work:
    uses: ssh
    with:
      hosts: WHERE
      script: '[ -e /var/tmp/mended ] || { echo it is broken; exit 1; }'
    FOREACH
    recover:
      - match: { log: it is broken }
        diagnosis: It is.
        jobs:
          mend:
            uses: ssh
            with: { hosts: '{{ failed.host }}', script: 'touch /var/tmp/mended; [ {{ host.name }} = jumpbox ]' }
        then: retry
",
    );
    let text = std::fs::read_to_string(&flow).expect("a flow");
    for (place, foreach) in [
        ("jumpbox", ""),
        ("role=jump", ""),
        ("'{{ params.where }}'", "foreach: [once]"),
        ("'{{ item.name }}'", "foreach: \"{{ hosts('all')[:1] }}\""),
    ] {
        lab.on("jumpbox", "rm -f /var/tmp/mended").good();
        let foreach = foreach
            .replace("hosts('all')[:1]", "hosts('jumpbox')")
            .replace("[once]", "\"{{ ['once'] }}\"");
        std::fs::write(&flow, text.replace("WHERE", place).replace("FOREACH", &foreach))
            .expect("written");
        let shown = field.run(&flow, "jumpbox", "");
        assert_eq!(shown["state"], "succeeded", "{place}: {shown:#}");
        lab.on("jumpbox", "test -e /var/tmp/mended").good();
    }
    field.down();
}
