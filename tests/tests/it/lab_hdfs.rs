//! A real HDFS on the lab: formatted once, brought up, asked, and what goes wrong with it. What takes longest is for `make lab`.

use std::path::PathBuf;

use serde_json::Value;
use weir_tests::{Ended, Lab, Stage, root, states, until};

const HOSTS: [&str; 4] = ["jumpbox", "master1", "slave1", "slave2"];

/// A lab with an HDFS that the shipped flow has brought up, and the stage it was done from.
pub(crate) struct Site {
    pub(crate) stage: Stage,
    flow: PathBuf,
    pub(crate) lab: Lab,
}

impl Site {
    fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// With more hosts than HDFS needs.
    pub(crate) fn with(more: &[&str]) -> Option<Self> {
        let lab = Lab::up(&[&HOSTS, more].concat())?;
        lab.hadoop();
        let stage = lab.stage();
        let key = std::fs::read_to_string(lab.key()).expect("a key");
        stage.weir_reads(&["secret", "set", "ops_key"], &key).good();
        let flow = root().join("flows/hdfs-format/hdfs-format.flow.yaml");
        // For small flows of the test's own, on the same hosts.
        let project = std::fs::read_to_string(root().join("flows/hdfs-format/project.yaml"));
        stage.write("project.yaml", project.expect("the project is there"));
        Some(Self { stage, flow, lab })
    }

    pub(crate) fn run(&self, more: &[&str]) -> Value {
        // Blocks as small as may be, and no pause after the last report.
        let own = ["-p", "block_size=1048576", "-p", "extension=0"];
        self.stage.run(&self.flow, &[&own, more].concat())
    }

    #[track_caller]
    pub(crate) fn succeeds(&self, more: &[&str]) -> Value {
        let run = self.run(more);
        assert_eq!(run["state"], "succeeded", "{run:#}\n{}", self.log(&run));
        run
    }

    /// A run of one job.
    pub(crate) fn job(&self, name: &str, job: &str) -> Value {
        self.stage.run(&self.stage.flow(name, &format!("jobs:\n  {name}: {job}\n")), &[])
    }

    pub(crate) fn log(&self, run: &Value) -> String {
        self.stage.weir(&["logs", &run["id"].to_string()]).out
    }

    /// As the user hdfs, on the name node.
    pub(crate) fn hdfs(&self, command: &str) -> Ended {
        self.lab.on("master1", &format!("su hdfs -c 'hdfs {command}'"))
    }

    /// What tells whether anything was changed: files, owners, processes.
    fn seen(&self) -> String {
        let look = "find /etc/hadoop /etc/alternatives/hadoop-conf /mnt/cloudera-hdfs -name VERSION -printf '%p %T@ %i %U %m\\n' \
                    -o -path '/etc/*' -printf '%p %T@ %i %U %m\\n' 2>/dev/null | sort; ls -l /etc/rc2.d; \
                    cat /run/hadoop-hdfs-*.pid 2>/dev/null";
        HOSTS[1..].iter().map(|host| self.lab.on(host, look).out).collect()
    }

    pub(crate) fn version(&self, key: &str) -> String {
        let file = "/mnt/cloudera-hdfs/1/dfs/nn/current/VERSION";
        self.lab.on("master1", &format!("sed -n 's/^{key}=//p' {file}")).out.trim().to_owned()
    }
}

pub(crate) fn task<'a>(run: &'a Value, path: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().expect("tasks");
    tasks
        .iter()
        .find(|task| task["path"] == path)
        .unwrap_or_else(|| panic!("no task {path}: {run:#}"))
}

fn diagnosed(run: &Value, path: &str) -> String {
    let told = &task(run, path)["diagnoses"];
    told.to_string()
}

const NAME_NODE: &str = "hosts: jumpbox, name-node: 10.2.14.11";

#[test]
fn what_loses_data_must_say_which_before_anything_runs() {
    let stage = Stage::new();
    stage.write("project.yaml", "name: p\nhosts: { a: { address: 10.0.0.1 } }\n");
    let format = "uses: hdfs.format, with: { hosts: a, become: hdfs, reformat: true }";
    let check = |jobs: &str| {
        let flow = stage.flow("f", &format!("jobs:\n{jobs}\n"));
        stage.weir(&["check", flow.to_str().expect("plain")])
    };
    let ended = check(&format!("  format: {{ {format} }}"));
    assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
    let told = ended.out + &ended.err;
    assert!(
        told.contains("with `reformat` something is lost for good, and `format` does not say"),
        "{told}"
    );
    assert!(told.contains("add `destroys:`"), "{told}");
    check(&format!("  format: {{ {format}, destroys: all of it }}")).good();
    check(&format!("  group: {{ destroys: all of it, jobs: {{ format: {{ {format} }} }} }}"))
        .good();
    check(&format!("  format: {{ {} }}", format.replace("true", "false"))).good();
    let looks = check(&format!("  look: {{ uses: noop, destroys: it, verify: {{ {format} }} }}"));
    assert_eq!(looks.code, 2, "{}{}", looks.out, looks.err);
}

#[test]
fn lab_hdfs_is_formatted_once_and_stays() {
    let Some(site) = Site::new() else { return };
    // The plan reads only, also where nothing is installed yet.
    let before = site.seen();
    let plan = site.stage.weir(&["plan", site.flow.to_str().expect("plain")]);
    plan.good();
    assert!(plan.out.contains("install hadoop-hdfs-namenode hadoop-client"), "{}", plan.out);
    assert_eq!(site.seen(), before);
    site.lab.on("master1", "test ! -e /mnt/cloudera-hdfs").good();

    let run = site.succeeds(&[]);
    assert_eq!(task(&run, "format[0]")["state"], "succeeded");
    assert_eq!(task(&run, "whole")["outputs"]["live_nodes"], 2);
    assert_eq!(site.version("clusterID"), "CID-4c616200-0000-4000-8000-000000000001");
    let space = site.version("namespaceID");

    // Once more: nothing changes, and what would only have looked says so.
    let before = site.seen();
    let run = site.succeeds(&[]);
    assert_eq!(site.seen(), before);
    assert_eq!(task(&run, "format[0]")["state"], "already-done");
    assert_eq!(task(&run, "format[0]")["outputs"]["namespace"], space.as_str());
    for path in ["folders", "homes", "hdfs-site[1]", "start-data-nodes[1]", "stale[0]"] {
        assert_eq!(task(&run, path)["state"], "already-done", "{path}: {run:#}");
    }
    site.stage.weir(&["plan", site.flow.to_str().expect("plain")]).good();
    assert_eq!(site.seen(), before);

    // By hand nobody formats it, and not by another job either; what runs is not formatted under its feet.
    let by_hand = site.hdfs("namenode -format -force -nonInteractive");
    assert!(by_hand.code != 0 && by_hand.err.contains("cannot be formatted"), "{}", by_hand.err);
    let run = site.run(&["-p", "reformat=true"]);
    assert_eq!(run["state"], "asking", "{run:#}");
    let plan = ["plan", site.flow.to_str().expect("plain"), "-p", "reformat=true"];
    let told = site.stage.weir(&plan).out;
    assert!(told.contains(&format!("the namespace {space} of the cluster CID-4c6162")), "{told}");
    assert_eq!(site.seen(), before);
    let id = run["id"].to_string();
    site.stage.weir(&["cancel", &id]);
    let live = "{ uses: hdfs.format, destroys: it, with: { hosts: master1, become: hdfs, reformat: true } }";
    let flow = site.stage.flow("live", &format!("jobs:\n  live: {live}\n"));
    let run = site.stage.run(&flow, &["--confirm", "it"]);
    assert_eq!(run["state"], "failed", "{run:#}");
    assert!(site.log(&run).contains("a name node works with"), "{}", site.log(&run));
    assert_eq!(site.seen(), before);

    // Another cluster's name: a person must decide.
    let run = site.job(
        "other",
        "{ uses: hdfs.format, with: { hosts: master1, become: hdfs, cluster-id: CID-other } }",
    );
    assert_eq!(run["state"], "asking", "{run:#}");
    assert!(task(&run, "other")["reason"].to_string().contains("not for CID-other"), "{run:#}");

    // With the words it is done, and the data nodes join the new namespace.
    let words = "the namespace of cluster lab";
    let run = site.succeeds(&["-p", "reformat=true", "--confirm", words]);
    assert_eq!(task(&run, "format[0]")["state"], "already-done");
    assert_ne!(site.version("namespaceID"), space);
    assert_eq!(task(&run, "whole")["outputs"]["live_nodes"], 2);
    another_cluster(&site);
    site.stage.verify();
}

#[test]
#[ignore = "starts an HDFS: see `make lab`"]
fn lab_hdfs_takes_files_and_failures_are_known() {
    let Some(site) = Site::new() else { return };
    site.succeeds(&[]);
    puts(&site);
    safe_mode(&site);
    not_formatted(&site);
    site.stage.verify();
}

/// An archive of the shape of Cloudera's, and something for the scheduler; their checksums, a line each.
const DIST: &str = r#"
set -eu
mkdir -p /srv/dist/new; cd /srv/dist/new; top=hadoop-2.3.0-cdh5.1.2
for dir in bin bin-mapreduce1 examples examples-mapreduce1 etc/hadoop etc/hadoop-mapreduce1 share/hadoop/common/lib \
    share/hadoop/mapreduce share/hadoop/mapreduce1; do
    mkdir -p $top/$dir
    echo "$dir" >$top/$dir/which
done
tar -czf ../$top.tar.gz $top
cd ..
rm -r new
echo jar >hadoop-mesos-0.1.0.jar
sha256sum $top.tar.gz hadoop-mesos-0.1.0.jar | cut -d ' ' -f 1
"#;

#[test]
#[ignore = "starts an HDFS: see `make lab`"]
fn lab_hadoop_on_mesos_is_set_up_once() {
    let Some(site) = Site::with(&["master2", "master3"]) else { return };
    site.succeeds(&[]);
    let sums = site.lab.on("master1", DIST).good().to_owned();
    let sums: Vec<&str> = sums.lines().collect();
    let (archive, jar) = (format!("archive_sha={}", sums[0]), format!("jar_sha={}", sums[1]));
    let flow = root().join("flows/hadoop-on-mesos/hadoop-on-mesos.flow.yaml");
    let place = "archive=/srv/dist/hadoop-2.3.0-cdh5.1.2.tar.gz";
    let with = ["-p", place, "-p", &archive, "-p", &jar];
    let run = site.stage.run(&flow, &with);
    assert_eq!(run["state"], "succeeded", "{run:#}\n{}", site.log(&run));

    // The job tracker is up, and what it tells the slaves to fetch is the switched tree.
    let told = site.lab.on("jumpbox", "curl -fsS http://10.2.14.11:9001/").good().trim().to_owned();
    assert_eq!(told, "hdfs://master1:8020/hadoop-2.3.0-cdh5.1.2-mesos-0.19.0.tar.gz");
    let list = format!("hdfs dfs -cat {told} 2>/dev/null | tar -tvz");
    let list = site.lab.on("master1", &list).out;
    assert!(list.contains("bin -> bin-mapreduce1"), "{list}");
    assert!(list.contains("share/hadoop/mapreduce -> mapreduce1"), "{list}");
    assert!(list.contains("bin-mapreduce2/which"), "{list}");
    assert!(list.contains("share/hadoop/common/lib/hadoop-mesos-0.1.0.jar"), "{list}");
    let shell = "sh -lc '. /etc/profile.d/hadoop.sh; echo $MESOS_NATIVE_JAVA_LIBRARY'";
    assert_eq!(site.lab.on("master1", shell).out, "/usr/local/lib/libmesos.so\n");

    // Once more: nothing changes. The plan reads only.
    let seen = || {
        let look = "find /srv/hadoop-on-mesos /etc/hadoop /usr/lib/hadoop-0.20-mapreduce /etc/profile.d -printf '%p %T@ %i %m\\n' | sort; \
                    cat /run/hadoop-0.20-mapreduce-jobtracker.pid; su hdfs -c 'hdfs dfs -ls / 2>/dev/null'";
        site.lab.on("master1", look).out
    };
    let before = seen();
    let run = site.stage.run(&flow, &with);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!(seen(), before);
    for path in ["tree[0]", "pack[0]", "put[0]", "mapred-site[0]", "start[0]"] {
        assert_eq!(task(&run, path)["state"], "already-done", "{path}: {run:#}");
    }
    let plan = [&["plan", flow.to_str().expect("plain")][..], &with].concat();
    site.stage.weir(&plan).good();
    assert_eq!(seen(), before);

    // What is not what it should be is not used.
    let run =
        site.stage.run(&flow, &[&with[..4], &["-p", &format!("jar_sha={}", sums[0])]].concat());
    assert_eq!(run["state"], "failed");
    assert!(site.log(&run).contains("is not what it should be"), "{}", site.log(&run));
    site.stage.verify();
}

/// Files of one, three and no blocks, from here and from a host: whole, once, and never over another.
fn puts(site: &Site) {
    let bytes: Vec<u8> = (0..2_500_000u32).map(|at| (at * 7 % 253) as u8).collect();
    site.stage.write("large", &bytes);
    site.stage.write("small", &bytes[..1000]);
    site.stage.write("empty", b"");
    for name in ["large", "small", "empty"] {
        let put = format!(
            "{{ uses: hdfs.put, with: {{ {NAME_NODE}, source: {name}, path: /tmp/{name} }} }}"
        );
        let run = site.job(name, &put);
        assert_eq!(states(&run), format!("{name} succeeded"), "{}", site.log(&run));
        let run = site.job(name, &put);
        assert_eq!(states(&run), format!("{name} already-done"), "{}", site.log(&run));
    }
    let sum = |path: &str| site.hdfs(&format!("dfs -cat {path}")).out.len();
    assert_eq!(sum("/tmp/small"), String::from_utf8_lossy(&bytes[..1000]).len());

    // The same file, lying on a host: streamed from there, and equal.
    site.lab
        .on("slave1", "mkdir -p /srv/x; seq 1 400000 >/srv/x/numbers; chmod 600 /srv/x/numbers")
        .good();
    let there = "{ uses: hdfs.put, with: { hosts: slave1, name-node: master1, on-host: true, source: /srv/x/numbers, \
                 path: /tmp/new/numbers, make-folders: true, owner: ubuntu, mode: '0640' } }";
    let run = site.job("there", there);
    assert_eq!(states(&run), "there succeeded", "{}", site.log(&run));
    assert_eq!(states(&site.job("there", there)), "there already-done");
    let wanted = site.lab.on("slave1", "sha256sum </srv/x/numbers").out;
    let is = site
        .lab
        .on("master1", "su hdfs -c 'hdfs dfs -cat /tmp/new/numbers 2>/dev/null' | sha256sum");
    assert_eq!(is.out, wanted);
    assert!(site.hdfs("dfs -ls /tmp/new").out.contains("-rw-r-----   2 ubuntu"));

    // Something else under that name is not replaced, unless that was said: then it is kept.
    site.lab.on("slave1", "echo other >/srv/x/numbers").good();
    let run = site.job("there", there);
    assert_eq!(states(&run), "there failed");
    assert!(site.log(&run).contains("is there already, with something else in it"));
    let over = there.replace("owner:", "overwrite: true, owner:");
    let run = site.job("there", &over);
    assert_eq!(states(&run), "there succeeded", "{}", site.log(&run));
    let backup = run["tasks"][0]["outputs"]["backup"].as_str().expect("it was kept").to_owned();
    let is = site
        .lab
        .on("master1", &format!("su hdfs -c 'hdfs dfs -cat {backup} 2>/dev/null' | sha256sum"));
    assert_eq!(is.out, wanted);
    let left = site.hdfs("dfs -ls -R /tmp").out;
    assert!(!left.contains(".weir-"), "{left}");
}

/// HDFS-03: safe mode ends while the remedy waits, and the run goes on.
fn safe_mode(site: &Site) {
    site.hdfs("dfsadmin -safemode enter").good();
    let dir = format!("{{ uses: hdfs.dir, with: {{ {NAME_NODE}, path: /tmp/after }} }}");
    let flow = site.stage.flow("dirs", &format!("jobs:\n  dirs: {dir}\n"));
    let serve = site.stage.serve();
    let begun = site.stage.weir(&["run", flow.to_str().expect("plain"), "--detach", "--json"]);
    let id = begun.run()["id"].as_i64().expect("a number");
    until("the failure is known", || {
        diagnosed(&site.stage.show(id), "dirs").contains("HDFS-03").then_some(())
    });
    site.hdfs("dfsadmin -safemode leave").good();
    until("the run has ended", || (site.stage.show(id)["state"] == "succeeded").then_some(()));
    drop(serve);
    let waits = format!("{{ uses: hdfs.safemode, with: {{ {NAME_NODE}, within: 20s }} }}");
    assert_eq!(states(&site.job("waits", &waits)), "waits succeeded");
}

/// HDFS-06: the job that formats was left out; the run goes back to it by itself.
fn not_formatted(site: &Site) {
    site.lab
        .on("master1", "service hadoop-hdfs-namenode stop; rm -rf /mnt/cloudera-hdfs/*/dfs/nn/*")
        .good();
    let flow = site.stage.flow(
        "mended",
        "jobs:\n  format:\n    uses: hdfs.format\n    \
         with: { hosts: master1, become: hdfs, cluster-id: CID-4c616200-0000-4000-8000-000000000001, unlock: true }\n    \
         unless: { uses: ssh, with: { hosts: master1, script: 'test ! -e /tmp/left-out && touch /tmp/left-out' } }\n  \
         start:\n    needs: [format]\n    after: none-failed\n    uses: ssh\n    with:\n      hosts: master1\n      script: |\n        \
         service hadoop-hdfs-namenode start\n        \
         log=/var/log/hadoop-hdfs/hadoop-hdfs-namenode-master1.log\n        \
         until bash -c 'exec 3<>/dev/tcp/127.0.0.1/8020' 2>/dev/null; do\n          \
         service hadoop-hdfs-namenode status >/dev/null 2>&1 || { tail -n 30 $log; exit 1; }\n          sleep 0.5\n        done\n",
    );
    let run = site.stage.run(&flow, &[]);
    assert_eq!(run["state"], "succeeded", "{run:#}\n{}", site.log(&run));
    assert!(diagnosed(&run, "start").contains("HDFS-06"), "{run:#}");
}

/// HDFS-02: a data node of another cluster, before and after it was started.
fn another_cluster(site: &Site) {
    let file = "/mnt/cloudera-hdfs/1/dfs/dn/current/VERSION";
    site.lab.on("slave2", &format!("service hadoop-hdfs-datanode stop; sed -i 's/^clusterID=.*/clusterID=CID-another/' {file} {}", file.replace("/1/", "/2/"))).good();
    let run = site.run(&[]);
    assert_eq!(run["state"], "asking", "{run:#}");
    assert!(diagnosed(&run, "foreign[1]").contains("HDFS-02"), "{run:#}");
    site.stage.weir(&["cancel", &run["id"].to_string()]);
    let run = site.run(&["--only", "start-data-nodes", "--only", "joined"]);
    assert_eq!(run["state"], "asking", "{run:#}\n{}", site.log(&run));
    assert!(diagnosed(&run, "joined[1]").contains("HDFS-02"), "{run:#}");
}
