//! Jobs that are spread over hosts: who works where, with which secrets, and what is made of the ends.

use serde_json::json;
use weir_core::hosts::Key;
use weir_core::outcome::Outcome;
use weir_core::run::From;
use weir_core::secret::Secret;

use super::lab::Lab;

const PROJECT: &str = "\
name: tap
known-hosts: accept-new
host-defaults: { user: ubuntu, via: [jump], key: { secret: tap_key } }
hosts:
  jump: { address: 10.50.0.5, key: keys/jump }
  d1: { address: 10.0.0.1, labels: { role: data }, vars: { myid: 1 } }
  d2: { address: 10.0.0.2, labels: { role: data }, become: { password: { secret: sudo_word } } }
  d3: { address: 10.0.0.3, labels: { role: data } }
";

fn lab() -> Lab {
    let mut lab = Lab::new(8);
    for name in ["tap_key", "sudo_word"] {
        lab.world.secrets.insert(name.to_owned(), format!("value of {name}"));
    }
    lab
}

fn left(key: &str, value: &str) -> Outcome {
    let outputs = [(key.to_owned(), json!(value))].into();
    Outcome::Done { outputs, exit_code: Some(0) }
}

#[test]
fn each_host_of_a_selector_is_a_task_with_its_own_way() {
    let mut lab = lab();
    let flow = lab.load(
        "name: f\njobs:\n  a: { uses: on-hosts, with: { hosts: role=data, in: \"{{ item.name }} {{ item.vars }}\" } }\n  \
         b: { needs: a, uses: work, with: { in: \"{{ jobs.a.outputs | map(attribute='x') | join }}\" } }\n",
        PROJECT,
    );
    let run = lab.begin(&flow);
    assert_eq!(lab.states(run), "a=running a[0]=launching a[1]=launching a[2]=launching b=waiting");
    let order = lab.order("a[1]");
    assert_eq!(order.work.with, json!({ "hosts": "d2", "in": "d2 {}" }));
    let route = order.work.host.clone().expect("it works on a host");
    let way: Vec<&str> = route.hops.iter().map(|hop| hop.name.as_str()).collect();
    assert_eq!(way, ["jump", "d2"]);
    assert_eq!(route.hops[0].key, Key::File("/keys/jump".into()));
    let known = lab.world.store.home().hosts("tap").join("known_hosts");
    assert_eq!(route.known_hosts, weir_core::hosts::KnownHosts::AcceptNew(known));
    let names: Vec<&str> = order.secrets.iter().map(Secret::name).collect();
    assert_eq!(names, ["tap_key", "sudo_word"], "all of them are masked in the log");
    lab.ends(run, "a[2]", left("x", "3"));
    lab.ends(run, "a[0]", left("x", "1"));
    lab.ends(run, "a[1]", left("x", "2"));
    assert_eq!(lab.order("b").work.with, json!({ "in": "123" }));
    lab.done(run, "b");
    assert_eq!(lab.run_state(run), "succeeded");
    lab.verify();
}

#[test]
fn one_host_by_its_name_or_from_an_item_is_a_single_task() {
    let mut lab = lab();
    let flow = lab.load(
        "name: f\njobs:\n  a: { uses: on-hosts, with: { hosts: d1 } }\n  \
         g:\n    foreach: \"hosts('d2,d3')\"\n    jobs:\n      \
         x: { uses: on-hosts, with: { hosts: \"{{ item.name }}\" }, verify: { uses: on-hosts, with: { hosts: d1 } } }\n",
        PROJECT,
    );
    let run = lab.begin(&flow);
    assert_eq!(
        lab.states(run),
        "a=launching g=running g[0]/x=launching g[0]=running g[1]/x=launching g[1]=running"
    );
    let order = lab.order("g[1]/x");
    assert_eq!(order.work.host.as_ref().map(|route| route.host().name.as_str()), Some("d3"));
    let verify = order.verify.and_then(|work| work.host).expect("the check works on a host, too");
    assert_eq!(verify.host().name, "d1");
}

#[test]
fn a_selector_that_means_no_host_fails_its_job() {
    let mut lab = lab();
    let flow = lab.load(
        "name: f\nparams: { role: { default: date } }\njobs:\n  a: { uses: on-hosts, with: { hosts: \"role={{ params.role }}\" } }\n",
        PROJECT,
    );
    let run = lab.begin(&flow);
    assert_eq!(lab.run_state(run), "failed");
    let told = lab.mirror.details(run);
    assert!(told.contains("`role=date` selects no host"), "{told}");
}

#[test]
fn a_secret_that_is_missing_fails_the_task_and_says_what_to_do() {
    let mut lab = lab();
    lab.world.secrets.remove("sudo_word");
    let flow = lab.load("name: f\njobs:\n  a: { uses: on-hosts, with: { hosts: d2 } }\n", PROJECT);
    let run = lab.begin(&flow);
    assert_eq!(lab.run_state(run), "failed");
    let told = lab.mirror.details(run);
    assert!(
        told.contains("the secret `sudo_word`, the password for `sudo` of host `d2`"),
        "{told}"
    );
}

#[test]
fn a_rerun_goes_only_to_the_hosts_that_failed() {
    let mut lab = lab();
    let flow = lab.load(
        "name: f\njobs:\n  a: { uses: on-hosts, parallel: 2, with: { hosts: role=data } }\n",
        PROJECT,
    );
    let run = lab.begin(&flow);
    assert_eq!(lab.states(run), "a=running a[0]=launching a[1]=launching a[2]=waiting");
    lab.done(run, "a[0]");
    lab.crash();
    lab.fails(run, "a[1]");
    lab.done(run, "a[2]");
    assert_eq!(lab.run_state(run), "failed");
    let again = lab.rerun(run, From::Failed);
    assert_eq!(lab.states(again), "a=running a[0]=reused a[1]=launching a[2]=reused");
    assert_eq!(lab.order("a[1]").work.with, json!({ "hosts": "d2" }));
    lab.done(again, "a[1]");
    assert_eq!(lab.run_state(again), "succeeded");
    lab.verify();
}

#[test]
fn hosts_go_in_batches_with_a_pause_that_outlasts_a_crash() {
    let mut lab = lab();
    let flow = lab.load(
        "name: f\njobs:\n  a: { uses: on-hosts, rolling: { batch: 2, pause: 30s }, with: { hosts: role=data } }\n",
        PROJECT,
    );
    let run = lab.begin(&flow);
    assert_eq!(lab.states(run), "a=running a[0]=launching a[1]=launching a[2]=waiting");
    lab.done(run, "a[0]");
    lab.done(run, "a[1]");
    lab.pass(20_000);
    lab.crash();
    lab.pass(9_000);
    assert_eq!(lab.states(run), "a=running a[0]=succeeded a[1]=succeeded a[2]=waiting");
    lab.pass(2_000);
    assert_eq!(lab.states(run), "a=running a[0]=succeeded a[1]=succeeded a[2]=launching");
    lab.done(run, "a[2]");
    assert_eq!(lab.run_state(run), "succeeded");
    lab.verify();
}
