//! A real HDFS with two name nodes on the lab: one that had a single one is converted, a new one begun; who is active changes,
//! and what would lose something is refused. What `make lab` runs.

use std::path::PathBuf;

use serde_json::Value;
use weir_tests::{root, states, until};

use crate::lab_hdfs::{Site, task};

const MASTERS: [&str; 3] = ["master1", "master2", "master3"];

/// An HDFS on the lab whose hosts have `ZooKeeper`, too.
struct Pair {
    flow: PathBuf,
    site: Site,
}

impl Pair {
    /// Nothing but `ZooKeeper` runs so far.
    fn new() -> Option<Self> {
        let site = Site::with(&["master2", "master3"])?;
        let project = std::fs::read_to_string(root().join("flows/hdfs-ha/project.yaml"));
        site.stage.write("project.yaml", project.expect("the project is there"));
        let flow = root().join("flows/hdfs-ha/hdfs-ha.flow.yaml");
        let pair = Self { flow, site };
        let jobs = [
            "plan",
            "sound",
            "install-zookeeper",
            "configure-zookeeper",
            "start-zookeeper",
            "quorum",
        ];
        let only: Vec<&str> = jobs.iter().flat_map(|job| ["--only", job]).collect();
        let mesos = root().join("flows/mesos-cluster/mesos-cluster.flow.yaml");
        let run = pair.site.stage.run(&mesos, &only);
        assert_eq!(run["state"], "succeeded", "{run:#}\n{}", pair.site.log(&run));
        Some(pair)
    }

    #[track_caller]
    fn succeeds(&self) -> Value {
        let run =
            self.site.stage.run(&self.flow, &["-p", "block_size=1048576", "-p", "extension=0"]);
        assert_eq!(run["state"], "succeeded", "{}\n{}", states(&run), self.site.log(&run));
        run
    }

    /// A run of one job as the user of the services, on that host.
    fn as_hdfs(&self, uses: &str, host: &str, more: &str) -> Value {
        let job = format!("{{ uses: {uses}, with: {{ hosts: {host}, become: hdfs{more} }} }}");
        self.site.job("one", &job)
    }

    /// The active name node, as the job type sees it.
    fn active(&self) -> String {
        let run = self.as_hdfs("hdfs.active", "master1", "");
        let active = run["tasks"][0]["outputs"]["active"].as_str();
        active
            .unwrap_or_else(|| panic!("none is active: {run:#}\n{}", self.site.log(&run)))
            .to_owned()
    }

    /// What tells whether anything was changed: files, owners, processes.
    fn seen(&self) -> String {
        let look = "find /etc/hadoop /etc/alternatives/hadoop-conf -printf '%p %T@ %i %U %m\\n' 2>/dev/null | sort; \
                    find /mnt/cloudera-hdfs -name VERSION -printf '%p %T@ %i %U %m\\n' 2>/dev/null | sort; ls -l /etc/rc2.d; \
                    cat /run/hadoop-hdfs-*.pid 2>/dev/null";
        let hosts = MASTERS.iter().chain(&["slave1", "slave2"]);
        hosts.map(|host| self.site.lab.on(host, look).out).collect()
    }
}

/// The first task of each of these jobs ended so.
#[track_caller]
fn are(run: &Value, state: &str, jobs: &[&str]) {
    for job in jobs {
        assert_eq!(task(run, &format!("{job}[0]"))["state"], state, "{job}: {}", states(run));
    }
}

fn other(node: &str) -> &'static str {
    if node == "master1" { "master2" } else { "master1" }
}

#[test]
#[ignore = "starts an HDFS with all that belongs to it: see `make lab`"]
fn lab_hdfs_is_converted_to_a_pair_and_hands_over() {
    let Some(pair) = Pair::new() else { return };
    let site = &pair.site;
    site.succeeds(&[]);
    let put = "{ uses: hdfs.put, with: { hosts: jumpbox, name-node: 10.2.14.11, path: /tmp/kept, content: 'it was here before' } }";
    assert_eq!(site.job("put", put)["state"], "succeeded");
    let space = site.version("namespaceID");

    // The plan reads only.
    let before = pair.seen();
    let plan = || site.stage.weir(&["plan", pair.flow.to_str().expect("plain")]).good().to_owned();
    let told = plan();
    assert!(told.contains("install hadoop-hdfs-journalnode"), "{told}");
    assert_eq!(pair.seen(), before);

    // What is in it stays; the journals and the second name node get it.
    let run = pair.succeeds();
    are(&run, "already-done", &["format"]);
    are(&run, "succeeded", &["shared-edits", "standby", "election"]);
    assert_eq!(site.version("namespaceID"), space);
    let kept = || site.lab.on("master2", "su hdfs -c 'hdfs dfs -cat /tmp/kept 2>/dev/null'").out;
    assert_eq!(kept(), "it was here before");

    // Once more: nothing changes.
    let before = pair.seen();
    let run = pair.succeeds();
    are(
        &run,
        "already-done",
        &["format", "shared-edits", "standby", "election", "active", "stale"],
    );
    assert_eq!(pair.seen(), before);
    plan();
    assert_eq!(pair.seen(), before);

    // The flow for a single name node would undo it.
    let run = site.run(&[]);
    assert_eq!(run["state"], "failed", "{run:#}");
    assert!(site.log(&run).contains("two name nodes are configured here"), "{}", site.log(&run));
    assert_eq!(pair.seen(), before);

    // Handed over on demand, once.
    let first = pair.active();
    let to = format!(", name-node: {}", other(&first));
    let run = pair.as_hdfs("hdfs.active", "master1", &to);
    assert_eq!(states(&run), "one succeeded", "{}", site.log(&run));
    assert_eq!(states(&pair.as_hdfs("hdfs.active", "master1", &to)), "one already-done");
    assert_eq!(pair.active(), other(&first));

    // The active one dies: the other one takes over, with all that is in it. The next run brings the dead one back.
    site.lab.on(other(&first), "kill -9 \"$(cat /run/hadoop-hdfs-namenode.pid)\"").good();
    until("the other one has taken over", || (pair.active() == first).then_some(()));
    assert_eq!(kept(), "it was here before");
    let run = pair.succeeds();
    assert_eq!(task(&run, "whole")["outputs"]["live_nodes"], 2);
    assert_eq!(pair.active(), first);

    another_namespace(&pair, other(&first), &first);
    a_journal_node_that_was_replaced(&pair);
    site.stage.verify();
}

/// A standby with another namespace is refused; without the words it is not written over.
fn another_namespace(pair: &Pair, standby: &str, active: &str) {
    let site = &pair.site;
    let dirs = "/mnt/cloudera-hdfs/1/dfs/nn /mnt/cloudera-hdfs/2/dfs/nn";
    let spoil = format!(
        "service hadoop-hdfs-zkfc stop; service hadoop-hdfs-namenode stop; \
         for dir in {dirs}; do sed -i 's/^blockpoolID=.*/blockpoolID=BP-1-other-1/' $dir/current/VERSION; done"
    );
    site.lab.on(standby, &spoil).good();
    let pools = || site.lab.on(standby, "cat /mnt/cloudera-hdfs/*/dfs/nn/current/VERSION").out;
    let before = pools();
    let more = format!(", name-node: {active}, unlock: true");
    let run = pair.as_hdfs("hdfs.standby", standby, &more);
    assert_eq!(states(&run), "one failed", "{run:#}");
    assert!(site.log(&run).contains("is of another namespace"), "{}", site.log(&run));
    let flow = site.stage.flow(
        "anew",
        &format!("jobs:\n  anew: {{ uses: hdfs.standby, destroys: what {standby} has, with: {{ hosts: {standby}, become: hdfs{more}, reformat: true }} }}\n"),
    );
    let run = site.stage.run(&flow, &[]);
    assert_eq!(run["state"], "asking", "{run:#}");
    site.stage.weir(&["cancel", &run["id"].to_string()]);
    assert_eq!(pools(), before);
    let run = site.stage.run(&flow, &["--confirm", &format!("what {standby} has")]);
    assert_eq!(run["state"], "succeeded", "{}", site.log(&run));
    assert!(!pools().contains("BP-1-other-1"), "{}", pools());
    pair.succeeds();
}

/// A journal node with an empty disk: a person decides, and nothing is formatted.
fn a_journal_node_that_was_replaced(pair: &Pair) {
    let site = &pair.site;
    let empty = "service hadoop-hdfs-journalnode stop; rm -rf /mnt/cloudera-hdfs/1/dfs/jn/*; service hadoop-hdfs-journalnode start";
    site.lab.on("master3", empty).good();
    until("it answers again", || {
        let ask = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8480'";
        (site.lab.on("master3", ask).code == 0).then_some(())
    });
    let run = pair.as_hdfs("hdfs.shared-edits", "master1", "");
    assert_eq!(run["state"], "asking", "{run:#}\n{}", site.log(&run));
    assert!(run.to_string().contains("and not on master3"), "{run:#}");
    site.stage.weir(&["cancel", &run["id"].to_string()]);
    site.lab.on("master3", "test ! -e /mnt/cloudera-hdfs/1/dfs/jn/lab/current/VERSION").good();
}

#[test]
#[ignore = "starts an HDFS with all that belongs to it: see `make lab`"]
fn lab_hdfs_begins_as_a_pair() {
    let Some(pair) = Pair::new() else { return };
    let run = pair.succeeds();
    are(&run, "succeeded", &["format", "standby", "election"]);
    // To format with journal nodes fills them, too.
    are(&run, "already-done", &["shared-edits"]);
    assert_eq!(task(&run, "whole")["outputs"]["live_nodes"], 2);
    let before = pair.seen();
    let run = pair.succeeds();
    are(&run, "already-done", &["format", "shared-edits", "standby", "election", "active"]);
    assert_eq!(pair.seen(), before);
    by_hand(&pair);
    pair.site.stage.verify();
}

/// Without failover controllers the job type makes one active itself, and has the other one take over.
fn by_hand(pair: &Pair) {
    let lab = &pair.site.lab;
    let manual = "sed -i '/automatic-failover/s/true/false/' /etc/hadoop/conf/hdfs-site.xml; \
                  service hadoop-hdfs-zkfc stop; service hadoop-hdfs-namenode restart";
    for host in &MASTERS[..2] {
        lab.on(host, manual).good();
    }
    for host in &MASTERS[..2] {
        let ask = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8020'";
        until("it takes calls", || (lab.on(host, ask).code == 0).then_some(()));
    }
    for (more, told) in [
        ("", "make master1 active (master1: standby, master2: standby)"),
        (", name-node: master2", "have master2 take over from master1"),
    ] {
        let run = pair.as_hdfs("hdfs.active", "master1", more);
        assert_eq!(states(&run), "one succeeded", "{}", pair.site.log(&run));
        assert!(pair.site.log(&run).contains(told), "{}", pair.site.log(&run));
        assert_eq!(states(&pair.as_hdfs("hdfs.active", "master1", more)), "one already-done");
    }
    // The flow brings the controllers back, and formats nothing anew.
    let run = pair.succeeds();
    are(&run, "succeeded", &["hdfs-site", "stale", "start-controllers"]);
    are(&run, "already-done", &["format", "shared-edits", "standby", "election"]);
}
