//! What files of the catalogue are taken as, and which mistakes are told.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::diagnose::{Diagnosis, Known, Matcher, Patterns, draft_entry};
use crate::ids::JobIx;

/// The catalogue that ships with Weir.
const SHIPPED: &[(&str, &str)] = &[
    ("tap.yaml", include_str!("../../../../flows/catalogue/tap.yaml")),
    ("bosh.yaml", include_str!("../../../../flows/catalogue/bosh.yaml")),
    ("dns.yaml", include_str!("../../../../flows/catalogue/dns.yaml")),
    ("mesos.yaml", include_str!("../../../../flows/catalogue/mesos.yaml")),
    ("zookeeper.yaml", include_str!("../../../../flows/catalogue/zookeeper.yaml")),
    ("packages.yaml", include_str!("../../../../flows/catalogue/packages.yaml")),
    ("ssh.yaml", include_str!("../../../../flows/catalogue/ssh.yaml")),
    ("system.yaml", include_str!("../../../../flows/catalogue/system.yaml")),
    ("hdfs.yaml", include_str!("../../../../flows/catalogue/hdfs.yaml")),
    ("mapreduce.yaml", include_str!("../../../../flows/catalogue/mapreduce.yaml")),
    ("devstack.yaml", include_str!("../../../../flows/catalogue/devstack.yaml")),
    ("nova.yaml", include_str!("../../../../flows/catalogue/nova.yaml")),
    ("cloud.yaml", include_str!("../../../../flows/catalogue/cloud.yaml")),
    ("rancher.yaml", include_str!("../../../../flows/catalogue/rancher.yaml")),
    ("cloudera.yaml", include_str!("../../../../flows/catalogue/cloudera.yaml")),
    ("network.yaml", include_str!("../../../../flows/catalogue/network.yaml")),
];

fn told(mistakes: &[crate::mistake::Mistake]) -> String {
    let line = |mistake: &crate::mistake::Mistake| {
        format!(
            "{}:{} {}; {}",
            mistake.file,
            mistake.place.line,
            mistake.message,
            mistake.help.as_deref().unwrap_or("-")
        )
    };
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn shipped() -> Catalogue {
    Catalogue::parse(SHIPPED).unwrap_or_else(|mistakes| panic!("{}", told(&mistakes)))
}

/// The whole catalogue, or what of it is for a job type, ready for the search.
fn patterns(catalogue: &Catalogue, job_type: Option<&str>) -> Arc<Patterns> {
    let is_for = |entry: &&Arc<Entry>| job_type.is_none_or(|name| entry.signature.is_for(name));
    let known =
        catalogue.entries().iter().filter(is_for).map(|entry| Known::from(&**entry)).collect();
    Arc::new(Patterns::new(known).expect("good patterns"))
}

fn diagnosed_by(patterns: &Arc<Patterns>, log: &str) -> Diagnosis {
    let mut matcher = Matcher::new(Arc::clone(patterns));
    matcher.feed(log.as_bytes());
    matcher.finish(None, None)
}

fn diagnosed(catalogue: &Catalogue, job_type: Option<&str>, log: &str) -> Diagnosis {
    diagnosed_by(&patterns(catalogue, job_type), log)
}

#[test]
fn all_of_them_are_there() {
    let catalogue = shipped();
    let ids: Vec<&str> = catalogue.entries().iter().map(|entry| entry.id.as_str()).collect();
    assert!(ids.len() >= 74, "{}", ids.len());
    for (rank, expected) in [
        (Rank::Marker, vec!["DEV-08"]),
        (Rank::Secondary, vec!["DEV-05", "DEV-07"]),
        (Rank::Ok, vec!["BOSH-03", "SYS-02", "SYS-06"]),
        (Rank::Noise, vec!["NOVA-02"]),
        (Rank::Info, vec!["DEV-10"]),
        (Rank::Guard, vec!["SSH-04", "HDFS-01", "HDFS-07", "HA-01", "HA-04", "FG-01"]),
        (
            Rank::Transient,
            vec!["MESOS-02", "ZK-01", "ZK-07", "SSH-02", "HDFS-03", "HDFS-04", "NET-01"],
        ),
    ] {
        let found: Vec<&str> = catalogue
            .entries()
            .iter()
            .filter(|entry| entry.rank == rank)
            .map(|entry| entry.id.as_str())
            .collect();
        assert_eq!(found, expected, "{rank:?}");
    }
    for entry in catalogue.entries() {
        assert!(
            !entry.rank.is_cause() || entry.rank == Rank::Ok || !entry.advice.is_empty(),
            "{}",
            entry.id
        );
        assert!(
            entry.destroys.is_none() || (entry.then == Then::Ask && entry.jobs.is_empty()),
            "{}",
            entry.id
        );
    }
}

#[test]
fn each_sample_is_recognised_with_the_whole_catalogue_loaded() {
    let catalogue = shipped();
    let mut ready: BTreeMap<Option<&str>, Arc<Patterns>> = BTreeMap::new();
    for entry in catalogue.entries() {
        let mut scopes: Vec<Option<&str>> =
            entry.signature.job_types.iter().map(|name| Some(name.as_str())).collect();
        scopes.push(None);
        for scope in scopes {
            let patterns = ready.entry(scope).or_insert_with(|| patterns(&catalogue, scope));
            for sample in &entry.sample {
                let found = diagnosed_by(patterns, &format!("before\n{sample}\nafter\n"));
                let is_seen =
                    found.primary.iter().chain(&found.others).any(|hit| hit.id == entry.id);
                match entry.rank {
                    Rank::Primary | Rank::Guard | Rank::Transient => {
                        let cause = found.primary.map(|hit| hit.id);
                        assert_eq!(cause.as_deref(), Some(entry.id.as_str()), "{scope:?} {sample}");
                    }
                    Rank::Secondary | Rank::Marker | Rank::Info => {
                        assert!(is_seen, "{} {sample}", entry.id);
                        assert_eq!(found.primary, None, "{} {sample}", entry.id);
                    }
                    Rank::Ok => {
                        assert_eq!(found.primary, None, "{} {sample}", entry.id);
                        let last = diagnosed_by(patterns, &format!("before\n{sample}\n\n"));
                        assert_eq!(last.primary.map(|hit| hit.id).as_ref(), Some(&entry.id));
                    }
                    Rank::Noise => assert_eq!(found, Diagnosis::default(), "{sample}"),
                }
            }
        }
    }
}

#[test]
fn a_devstack_log_is_cut_at_the_exit_trap() {
    let log = "\
+ lib/keystone:create_keystone_accounts
WARNING: Command tenant-list is deprecated
./stack.sh: line 488: generate-subunit: command not found
Could not determine a suitable URL for the plugin
+ exit_trap
Error on exit
World dumping... see /opt/stack/logs/worlddump-2016-04-29-080139.txt for details
ovs-vsctl: unix:/var/run/openvswitch/db.sock: database connection failed (Permission denied)
fatal: unable to connect to git.openstack.org:
";
    let found = diagnosed(&shipped(), Some("command"), log);
    assert_eq!(found.primary.map(|hit| (hit.id, hit.line)), Some(("DEV-06".to_owned(), 4)));
    assert_eq!(found.cut_at_marker, Some(6));
    let others: Vec<&str> = found.others.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!(others, ["DEV-07", "DEV-08", "DEV-05", "DEV-01"]);
}

#[test]
fn no_entry_is_met_outside_its_scope() {
    let catalogue = shipped();
    let log = "Incompatible clusterIDs in /x: namenode clusterID = CID-1a; datanode clusterID = CID-2b\nFAILED boot_it\n";
    assert_eq!(
        diagnosed(&catalogue, Some("hdfs.format"), log).primary.map(|hit| hit.id),
        Some("HDFS-02".to_owned())
    );
    assert_eq!(diagnosed(&catalogue, Some("openstack.server"), log).primary, None);
}

#[test]
fn flows_compile_with_the_whole_catalogue() {
    use crate::flow::{Flow, Project, Uses, compile::compile};
    use crate::graph::{JobKind, ThenRules};
    use crate::job_type::Nature;
    let job = |name: &str, needs: &[&str], job_type: &str| Job {
        name: name.to_owned(),
        needs: needs
            .iter()
            .map(|&need| Text { source: need.to_owned(), ..Text::default() })
            .collect(),
        uses: Some(Box::new(Uses { job_type: job_type.to_owned(), ..Uses::default() })),
        ..Job::default()
    };
    let jobs = vec![
        job("format", &[], "hdfs.format"),
        job("start", &["format"], "hdfs"),
        job("x", &[], "noop"),
    ];
    let traits = |job_type: &str| {
        let nature = if job_type == "noop" { Nature::Instant } else { Nature::Work };
        nature.into()
    };
    let compiled =
        compile(Flow { jobs, ..Flow::default() }, Project::default(), &shipped(), &traits)
            .expect("a good flow");
    let remedy = |ix: usize, id: &str| {
        let (first, end) = compiled.graph.jobs[ix].remedies;
        let at = (first..end).find(|at| compiled.remedies[*at as usize].id == id).expect(id);
        compiled.graph.remedies[at as usize].clone()
    };
    assert_eq!(remedy(1, "HDFS-06").then, ThenRules::RetryFrom(JobIx(0)));
    assert_eq!(remedy(0, "HDFS-06").then, ThenRules::RetryFrom(JobIx(0)));
    assert_eq!(remedy(1, "HDFS-01").then, ThenRules::Ask);
    assert!(remedy(1, "HDFS-02").destroys);
    let pause = remedy(2, "NET-01").scope.expect("it waits first");
    let wait = compiled.graph.jobs_of(pause).next().expect("one job");
    assert_eq!(compiled.graph.job(wait).kind, JobKind::Work);
    assert_eq!(
        compiled.job(wait).uses.as_ref().map(|uses| &uses.with["for"]),
        Some(&Value::from("10s"))
    );
    assert_eq!(compiled.graph.job(wait).remedies, (0, 0), "a cure is not cured");
}

#[test]
fn a_draft_reads_as_an_entry() {
    let line = "E: node-7 at 10.0.0.1:80 refused: \"no such 'thing' #4\"";
    let draft = draft_entry(&[line, "  second: [line] {2} "]);
    let catalogue = Catalogue::parse(&[("draft.yaml", &draft)])
        .unwrap_or_else(|bad| panic!("{}\n{draft}", told(&bad)));
    let found = diagnosed(&catalogue, Some("ssh"), &format!("{}\n", line.replace('7', "12")));
    assert_eq!(found.primary.map(|hit| hit.id).as_deref(), Some("NEW-01"));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let entry = "title: t, rank: primary, match: { log: x }, diagnosis: d, sample: x";
    let texts = [
        format!("entries:\n  - {{ id: A-01, {entry} }}\n  - {{ id: A-02, {entry}, then: ask }}\n"),
        format!(
            "entries:\n  - {{ id: A-02, {entry}, then: retry }}\n  - {{ id: a, {entry}, thn: ask }}\n"
        ),
        format!("entries:\n  - {{ id: A-02, {entry}, then: retry }}\n"),
        format!(
            "entries:\n  - {{ id: A-03, {}, then: retry }}\n",
            entry.replace("primary", "guard")
        ),
        format!(
            "entries:\n  - {{ id: A-04, {}, jobs: {{ a: {{ uses: x }} }} }}\n",
            entry.replace("primary", "marker")
        ),
        "entries: [".to_owned(),
        format!(
            "entries:\n  - {{ id: A-07, {}, then: ask }}\n",
            entry.replace("log: x", "log: 'a(?=b)'")
        ),
    ];
    let names = ["1.yaml", "2.yaml", "3.yaml", "4.yaml", "5.yaml", "6.yaml", "7.yaml"];
    let files: Vec<(&str, &str)> =
        names.iter().copied().zip(texts.iter().map(String::as_str)).collect();
    insta::assert_snapshot!(told(&Catalogue::parse(&files).expect_err("all are wrong")), @r#"
    1.yaml:2 an entry of rank `primary` must say what follows; write `then: ask` if a person must decide
    2.yaml:3 `a` does not have the right form; it must match `^[A-Z][A-Z0-9]*-[0-9]+[a-z]?$`
    2.yaml:3 `thn` is no key here; did you mean `then`?
    3.yaml:2 there is another entry `A-02`, in 1.yaml; -
    4.yaml:2 a guard is never answered without a person; write `then: ask`
    5.yaml:2 an entry of rank `marker` has no remedy: it is never the cause; -
    6.yaml:1 this is no YAML: while parsing a node, did not find expected node content; compare the indentation with the lines above, and put quotes around texts with special characters
    7.yaml:2 this is no regular expression: look-around, including look-ahead and look-behind, is not supported; a pattern is written as in the crate `regex`: no look-around, no back-references
    "#);
}

#[test]
fn a_kept_catalogue_is_read_though_job_types_have_changed_since() {
    use crate::job_types::JobTypes;
    let text = "entries:\n  - { id: A-01, title: t, rank: primary, match: { log: x }, diagnosis: d, \
                jobs: { a: { uses: gone } }, then: retry, sample: x }\n";
    let files = [("1.yaml", text)];
    let mistakes =
        Catalogue::load(&files, &JobTypes::default()).expect_err("there is no such type");
    assert_eq!(
        told(&mistakes),
        "1.yaml:2 there is no job type `gone`; there are no known job types"
    );
    let kept = Catalogue::parse(&files).expect("it was right when it was kept");
    let cure = &kept.entries()[0].jobs[0];
    assert_eq!(cure.uses.as_ref().map(|uses| uses.job_type.as_str()), Some("gone"));
    assert_eq!(cure.grace, std::time::Duration::from_secs(10), "as any other job");
}
