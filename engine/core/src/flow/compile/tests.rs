//! What a flow becomes when it is compiled.

use std::fmt::Write;

use super::*;
use crate::flow::{Recover, Text, Then, Uses};
use crate::graph::JobKind;
use crate::job_type::Nature;
use crate::mistake::Place;

fn text(source: &str) -> Text {
    Text { source: source.to_owned(), place: Place::default() }
}

/// A job from words: its name, what it needs and, after `:`, its type.
fn job(words: &str) -> Job {
    let (names, job_type) = words.split_once(':').unwrap_or((words, "command"));
    let mut names = names.split_whitespace();
    Job {
        name: names.next().unwrap_or_default().to_owned(),
        needs: names.map(text).collect(),
        uses: Some(Box::new(Uses { job_type: job_type.trim().to_owned(), ..Uses::default() })),
        ..Job::default()
    }
}

fn group(words: &str, jobs: Vec<Job>) -> Job {
    Job { uses: None, jobs, ..job(words) }
}

fn each(job: Job) -> Job {
    Job { foreach: Some(Box::new(text("[1, 2]"))), parallel: Some(3), ..job }
}

fn recover(log: &str, then: Then, jobs: Vec<Job>) -> Recover {
    Recover {
        catalogue: None,
        signature: Some(Signature { log: Some(log.to_owned()), ..Signature::default() }),
        diagnosis: Some(format!("met {log}")),
        jobs,
        then: Some(then),
        limit: None,
        place: Place::default(),
    }
}

fn entry(id: &str, types: &[&str], rank: Rank, then: Then) -> Entry {
    let job_types = types.iter().map(|&name| name.to_owned()).collect();
    Entry {
        id: id.to_owned(),
        title: id.to_owned(),
        rank,
        signature: Signature { log: Some(id.to_owned()), job_types, ..Signature::default() },
        is_general: id.starts_with("NET"),
        diagnosis: String::new(),
        advice: vec![],
        jobs: vec![],
        then,
        limit: 4,
        destroys: None,
        confirm: None,
        guard: None,
        sample: vec![],
        source: None,
        place: Place::default(),
    }
}

fn nature(job_type: &str) -> Nature {
    match job_type {
        "noop" => Nature::Instant,
        "approve" => Nature::Asks,
        "wait" => Nature::Waits,
        _ => Nature::Work,
    }
}

fn traits(job_type: &str) -> Traits {
    Traits { nature: nature(job_type), works_on_hosts: job_type == "ssh" }
}

fn catalogue() -> Catalogue {
    let mut cured = entry("SSH-01", &["ssh"], Rank::Primary, Then::Retry);
    cured.jobs = vec![job("mend: ssh")];
    let mut wiped = entry("SSH-02", &["ssh"], Rank::Guard, Then::Continue);
    wiped.destroys = Some(text("all"));
    Catalogue::new(vec![
        entry("NET-01", &[], Rank::Transient, Then::Retry),
        cured,
        wiped,
        entry("BACK-01", &["hdfs"], Rank::Primary, Then::RetryFrom(text("format"))),
        entry("MARK-01", &[], Rank::Marker, Then::Fail),
    ])
}

fn compiled(jobs: Vec<Job>) -> Result<Compiled, Vec<Mistake>> {
    compile_in(jobs, Project::default())
}

fn compile_in(jobs: Vec<Job>, project: Project) -> Result<Compiled, Vec<Mistake>> {
    let flow = Flow { name: "flow".to_owned(), jobs, ..Flow::default() };
    compile(flow, project, &catalogue(), &traits)
}

/// The graph as people would draw it.
fn drawn(compiled: &Compiled) -> String {
    let graph = &compiled.graph;
    let mut out = String::new();
    for (scope, owner) in compiled.owners.iter().enumerate() {
        let block = graph.scopes[scope].block;
        writeln!(out, "scope {scope} {owner:?} block {block}").expect("to a string");
        for ix in graph.jobs_of(ScopeIx(scope as u32)) {
            let rules = graph.job(ix);
            let place = ix.0 - graph.scopes[scope].first;
            let needs: Vec<String> =
                graph.scopes[scope].needs(place).iter().map(ToString::to_string).collect();
            let kind = format!("{:?}", rules.kind).replace('\n', " ");
            write!(out, "  {} {} [{}] {kind}", ix.0, compiled.path(ix), needs.join(" "))
                .expect("to a string");
            let (first, end) = rules.remedies;
            for remedy in first..end {
                let cure = &graph.remedies[remedy as usize];
                let scope = cure.scope.map(|scope| format!(" by {}", scope.0)).unwrap_or_default();
                write!(
                    out,
                    "\n    {}{scope} {:?}",
                    compiled.remedies[remedy as usize].id, cure.then
                )
                .expect("to a string");
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn groups_foreach_and_remedies_become_scopes() {
    let mut mended = job("c b: ssh");
    mended.recover = vec![recover("x", Then::RetryFrom(text("a")), vec![job("fix")])];
    let jobs = vec![
        job("a: approve"),
        group("b a", vec![job("b1: noop"), job("b2 b1: wait")]),
        mended,
        each(job("d: ssh")),
        each(group("e d", vec![job("e1: ssh")])),
    ];
    let compiled = compiled(jobs).expect("a good flow");
    insta::assert_snapshot!(drawn(&compiled), @r#"
    scope 0 Flow block 7
      0 a [] Asks
        NET-01 Retry
      1 b [0] Group(ScopeIx(1))
      2 c [1] Work
        c.recover[0] by 2 RetryFrom(JobIx(0))
        SSH-01 by 3 Retry
        SSH-02 Ask
        NET-01 Retry
      3 d [] Foreach { body: ScopeIx(4), parallel: 3, fail_fast: false, rolling: None }
      4 e [3] Foreach { body: ScopeIx(5), parallel: 3, fail_fast: false, rolling: None }
    scope 1 Group(JobIx(1)) block 2
      5 b/b1 [] Instant
        NET-01 Retry
      6 b/b2 [0] Work
        NET-01 Retry
    scope 2 Remedy(1) block 1
      7 c.recover[0]/fix [] Work
    scope 3 Remedy(2) block 1
      8 SSH-01/mend [] Work
    scope 4 Foreach(JobIx(3)) block 1
      9 d [] Work
        SSH-01 by 3 Retry
        SSH-02 Ask
        NET-01 Retry
    scope 5 Foreach(JobIx(4)) block 2
      10 e [] Group(ScopeIx(6))
    scope 6 Group(JobIx(10)) block 1
      11 e/e1 [] Work
        SSH-01 by 3 Retry
        SSH-02 Ask
        NET-01 Retry
    "#);
}

#[test]
fn a_body_carries_the_work_and_its_foreach_the_rest() {
    let mut work = each(job("d"));
    work.when = Some(Box::new(text("true")));
    work.timeout = Some(std::time::Duration::from_secs(9));
    Arc::make_mut(&mut work.retry).attempts = 5;
    work.allow_failure = true;
    work.unless = Some(Box::default());
    let compiled = compiled(vec![work]).expect("a good flow");
    let [node, body] = &compiled.graph.jobs[..] else { panic!("two jobs") };
    assert!(
        node.decide
            && node.allow_failure
            && node.timing.timeout.is_none()
            && node.timing.retry.attempts == 1
    );
    assert!(!body.decide && !body.allow_failure && body.has_check);
    assert_eq!(
        (body.timing.retry.attempts, body.timing.timeout.map(|span| span.as_secs())),
        (5, Some(9))
    );
    assert_eq!(body.kind, JobKind::Work);
    assert!(Arc::ptr_eq(&compiled.jobs[0], &compiled.jobs[1]));
}

#[test]
fn a_guard_asks_and_going_back_needs_a_way_back() {
    let jobs =
        vec![job("format"), job("start format: hdfs"), job("other: hdfs"), job("more start: hdfs")];
    let compiled = compiled(jobs).expect("a good flow");
    let then = |ix: usize| {
        let (first, _) = compiled.graph.jobs[ix].remedies;
        compiled.graph.remedies[first as usize].then
    };
    use crate::graph::ThenRules;
    assert_eq!(then(1), ThenRules::RetryFrom(JobIx(0)));
    assert_eq!(then(2), ThenRules::Ask);
    assert_eq!(compiled.graph.jobs[1].remedies, compiled.graph.jobs[3].remedies);
    let ssh = compile_in(vec![job("a: ssh")], Project::default()).expect("a good flow");
    let guard = &ssh.graph.remedies[1];
    assert_eq!(
        (ssh.remedies[1].id.as_str(), guard.then, guard.destroys),
        ("SSH-02", ThenRules::Ask, true)
    );
}

#[test]
fn the_project_comes_between_and_entries_can_be_named() {
    let mut named = recover("", Then::Continue, vec![]);
    named.catalogue = Some(text("SSH-01"));
    named.signature = None;
    named.limit = Some(9);
    let project =
        Project { recover: vec![recover("p", Then::Retry, vec![job("q")])], ..Project::default() };
    let mut own = job("a");
    own.recover = vec![named];
    let compiled = compile_in(vec![own, job("b")], project).expect("a good flow");
    let ids: Vec<(&str, Layer)> =
        compiled.remedies.iter().map(|remedy| (remedy.id.as_str(), remedy.layer)).collect();
    let shared = [("project.recover[0]", Layer::Project), ("NET-01", Layer::Catalogue)];
    assert_eq!(ids, [&[("SSH-01", Layer::Job)][..], &shared, &shared].concat());
    assert_eq!(compiled.graph.remedies[0].limit, 9);
    assert_eq!(compiled.graph.remedies[1].scope, compiled.graph.remedies[3].scope);
    let known = compiled.known_failures(JobIx(0));
    let names: Vec<&str> = known.iter().map(|known| known.id.as_str()).collect();
    assert_eq!(names, ["SSH-01", "project.recover[0]", "NET-01", "MARK-01"]);
}

#[test]
fn all_mistakes_are_told() {
    let mut lost = job("f");
    lost.recover = vec![recover("x", Then::RetryFrom(text("g")), vec![])];
    let mut unknown = recover("x", Then::Ask, vec![]);
    unknown.catalogue = Some(text("SSH-1"));
    lost.recover.push(unknown);
    let jobs = vec![job("a b"), job("b c"), job("c b"), job("dd aa"), job("dd"), lost];
    let mistakes = compiled(jobs).expect_err("a bad flow");
    let told: Vec<String> = mistakes
        .iter()
        .map(|mistake| {
            format!(
                "{}: {}; {}",
                mistake.code,
                mistake.message,
                mistake.help.as_deref().unwrap_or("-")
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    circle: jobs need each other in a circle: b -> c -> b; take one of these needs away
    repeated-job: there are two jobs `dd`; -
    unknown-entry: the catalogue has no entry `SSH-1`; did you mean `SSH-01`?
    unknown-job: `f` needs no job `g` of its own group; name a job that this one needs, directly or by way of others; items of a foreach have none, unless its body is a group
    unknown-job: there is no job `aa` beside `dd`; -
    "#);
    let mut deep = job("x");
    for _ in 0..40 {
        deep = group("g", vec![deep]);
    }
    assert_eq!(compiled(vec![deep]).expect_err("too deep")[0].code, "too-deep");
}

#[test]
fn paths_lead_to_jobs() {
    let jobs = vec![
        group("g", vec![job("x"), each(group("yard x", vec![job("z")]))]),
        job("h g"),
        each(job("i h")),
    ];
    let compiled = compiled(jobs).expect("a good flow");
    let found = |path: &str| match compiled.find(path) {
        Ok(Selected { job, items }) => format!("{} {items:?}", compiled.path(job)),
        Err(Unknown { nearest, .. }) => format!("no, {nearest:?}"),
    };
    for (path, expected) in [
        ("g", "g []"),
        ("g/x", "g/x []"),
        ("g/yard[1]/z", "g/yard/z [(JobIx(4), 1)]"),
        ("g/yard/z", "g/yard/z []"),
        ("i[0]", "i [(JobIx(2), 0)]"),
        ("g/yrad", "no, Some(\"g/yard\")"),
        ("h[0]", "no, Some(\"h\")"),
        ("h/x", "no, Some(\"h/\")"),
        ("", "no, None"),
    ] {
        assert_eq!(found(path), expected, "{path}");
    }
    let left_out = |only: &[&str], from: &[&str], skip: &[&str]| {
        let owned = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        let choice = Choice { only: owned(only), from: owned(from), skip: owned(skip) };
        let disabled = compiled.disabled(&choice).expect("known");
        let mut paths: Vec<String> = disabled.iter().map(|job| compiled.path(*job)).collect();
        paths.dedup();
        paths.sort();
        paths.dedup();
        paths.join(" ")
    };
    assert_eq!(left_out(&[], &[], &[]), "");
    assert_eq!(left_out(&["g/x"], &[], &[]), "g/yard g/yard/z h i");
    assert_eq!(left_out(&[], &["g/yard"], &[]), "g/x");
    assert_eq!(left_out(&[], &["h"], &["i"]), "g g/x g/yard g/yard/z i");
    let choice = Choice { skip: vec!["a".to_owned(), "b".to_owned()], ..Choice::default() };
    assert_eq!(compiled.disabled(&choice).expect_err("unknown").len(), 2);
}

#[test]
fn a_hundred_thousand_jobs_share_their_remedies() {
    let mut jobs = vec![job("root")];
    for number in 0..99_998 {
        jobs.push(job(&format!(
            "job-{number} root: {}",
            if number % 2 == 0 { "ssh" } else { "hdfs" }
        )));
    }
    let mut sink = job("sink");
    sink.needs = (0..99_998).map(|number| text(&format!("job-{number}"))).collect();
    jobs.push(sink);
    let compiled = compiled(jobs).expect("a good flow");
    assert_eq!(compiled.graph.jobs.len(), 100_001, "one of them is the cure");
    // root and sink: NET-01; ssh: its two and NET-01; hdfs: BACK-01 and NET-01.
    assert_eq!(compiled.remedies.len(), 6);
}
