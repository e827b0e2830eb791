//! Every flow of up to four jobs, and small flows of every other kind, with everything that can happen to them.

use std::fmt::Write;

use crate::explore::everything;
use crate::notation::Sketch;
use crate::world::{Scope, User};

const USERS: &[User] = &[User::Cancel, User::Retry, User::Skip, User::Rerun, User::Pause];

/// Explores a flow with each single act of a person in turn, and says how many states there were.
#[track_caller]
fn explore(flow: &str, users: &[User], scope: &Scope) -> usize {
    let mut states = 0;
    for user in users {
        let scope = Scope { users: vec![*user], ..scope.clone() };
        match everything(Sketch::new(flow), scope) {
            Ok(met) => states += met,
            Err(trail) => panic!("`{flow}`, a person may {user:?}\n{trail}"),
        }
    }
    states
}

/// All flows of so many jobs whose needs stand before them, as lists of needs.
fn all_dags(jobs: usize) -> Vec<Vec<Vec<usize>>> {
    let pairs: Vec<(usize, usize)> =
        (0..jobs).flat_map(|need| (need + 1..jobs).map(move |job| (need, job))).collect();
    let dags = (0..1_u32 << pairs.len()).map(|mask| {
        let mut needs = vec![Vec::new(); jobs];
        for (bit, (need, job)) in pairs.iter().enumerate() {
            if mask >> bit & 1 == 1 {
                needs[*job].push(*need);
            }
        }
        needs
    });
    dags.collect()
}

/// One flow for each shape: those that differ only in what jobs are called count once.
fn shapes(jobs: usize) -> Vec<Vec<Vec<usize>>> {
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for dag in all_dags(jobs) {
        let form = permutations(jobs).into_iter().map(|order| {
            let mut edges: Vec<(usize, usize)> = Vec::new();
            for (job, needs) in dag.iter().enumerate() {
                edges.extend(needs.iter().map(|need| (order[*need], order[job])));
            }
            edges.sort_unstable();
            edges
        });
        let form = form.min().expect("there is at least one order");
        if !seen.contains(&form) {
            seen.push(form);
            kept.push(dag);
        }
    }
    kept
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    let into_each = |order: Vec<usize>| {
        (0..n).map(move |at| {
            let mut order = order.clone();
            order.insert(at, n - 1);
            order
        })
    };
    shorter.into_iter().flat_map(into_each).collect()
}

/// The notation of a flow with these needs; `attrs` for each job.
fn text(needs: &[Vec<usize>], attrs: &[&str]) -> String {
    let name = |job: usize| char::from(b'a' + job as u8);
    let mut text = String::new();
    for (job, needs) in needs.iter().enumerate() {
        if !needs.is_empty() {
            let names: Vec<String> = needs.iter().map(|need| name(*need).to_string()).collect();
            write!(text, "{} -> ", names.join(", ")).expect("a string takes text");
        }
        write!(text, "{}[{}]; ", name(job), attrs[job]).expect("a string takes text");
    }
    text
}

#[test]
fn there_are_as_many_flows_as_there_should_be() {
    assert_eq!([1, 2, 3, 4].map(|jobs| all_dags(jobs).len()), [1, 2, 8, 64]);
    // https://oeis.org/A003087
    assert_eq!([1, 2, 3, 4].map(|jobs| shapes(jobs).len()), [1, 2, 6, 31]);
}

#[test]
fn every_shape_of_four_jobs() {
    let mut states = 0;
    let scope = Scope { crashes: 2, ..Scope::default() };
    for jobs in 1..=4 {
        for needs in shapes(jobs) {
            let attrs = vec!["retry=2 delay=0"; jobs];
            let users = if jobs < 4 { USERS } else { &[User::Retry] };
            states += explore(&text(&needs, &attrs), users, &scope);
            states += explore(&text(&needs, &vec![""; jobs]), USERS, &scope);
        }
    }
    println!("every shape of four jobs: {states} states");
    assert!(states > LEAST, "so few states can't be all");
}

/// Fewer states than this in one of the tests below: the model has lost its wits.
const LEAST: usize = 500_000;

const RULES: [&str; 6] =
    ["all-success", "all-done", "one-success", "one-failed", "all-failed", "none-failed"];

#[test]
fn every_flow_of_four_jobs_with_every_rule() {
    let mut states = 0;
    for needs in all_dags(4) {
        for rule in RULES {
            let rule = format!("after={rule}");
            for (third, policy, users, crashes) in [
                ("", "finish-running", &[User::Cancel, User::Pause][..], 0),
                ("", "finish-running", &[User::Rerun], 1),
                (&rule, "cancel", &[User::Kill], 0),
                (&rule, "finish-possible", &[User::Skip], 0),
            ] {
                let third = format!("{third} allow-failure");
                let attrs = ["", "", third.trim(), &rule];
                let flow = format!("on-failure: {policy}; {}", text(&needs, &attrs));
                states += explore(&flow, users, &Scope { crashes, ..Scope::default() });
            }
        }
    }
    println!("every flow of four jobs with every rule: {states} states");
    assert!(states > LEAST, "so few states can't be all");
}

/// Every kind of job, beside and below every other.
#[test]
fn every_two_jobs_that_may_get_lost() {
    let kinds = [
        "retry=2 delay=0",
        "on-lost=retry delay=0",
        "on-lost=ask allow-failure",
        "destroys decide",
        "destroys check retry=2 delay=0 after=all-done",
        "timeout=0",
        "timeout=0 retry=2 delay=0",
        "asks timeout=0",
        "instant after=one-failed",
    ];
    let mut states = 0;
    for (number, first) in kinds.iter().enumerate() {
        for second in kinds {
            let below = format!("a[{first}] -> b[{second}]");
            let scope = Scope { crashes: 1, loses: true, watches: true, ..Scope::default() };
            let user = USERS[number % USERS.len()];
            states += explore(&below, &[user], &scope);
        }
    }
    let watched = Scope { crashes: 2, loses: true, watches: true, ..Scope::default() };
    for kind in kinds {
        states += explore(&format!("a[{kind}]"), USERS, &watched);
        let scope = Scope { crashes: 1, loses: true, ..Scope::default() };
        states += explore(&format!("a[{kind}]; b"), &[User::Cancel, User::Pause], &scope);
    }
    println!("every two jobs that may get lost: {states} states");
    assert!(states > LEAST, "so few states can't be all");
}

#[test]
fn small_flows_of_every_kind() {
    let mut all = 0;
    let users = &[User::Cancel, User::Kill, User::Skip, User::Fail, User::Retry, User::Pause];
    for flow in [
        "g{x -> y} -> b",
        "a -> g{x; y[allow-failure]} -> b[after=all-done]",
        "on-failure: cancel; a; g{x -> h{y; z}}",
        "on-failure: finish-possible; g{x; y}[allow-failure] -> b[after=one-failed]",
        "g{x[timeout=0 retry=2 delay=0] -> y}[timeout=0] -> b",
        "g{h{x}[decide]}[decide]; g -> b[after=none-failed]",
        "f*2 -> b",
        "f*3[parallel=1]; a",
        "f*3[parallel=2 fail-fast] -> b[after=all-done]",
        "on-failure: cancel; f*2[retry=2 delay=0]; a",
        "a -> f*2[parallel=1 after=one-failed]; a -> b",
        "f*0 -> b; c -> g*1[destroys]",
        "f*2{x -> y}[parallel=1]",
        "f*3[batch=2] -> b[after=all-done]",
        "f*3[batch=1 pause=0 max-failures=2]; a",
        "f*2{x -> y}[batch=1 pause=0]",
        "a -> f*2[batch=1 pause=0] -> c; cure c: then retry-from a",
        "f*2{g*2[parallel=1]}[parallel=1 fail-fast]",
        "a -> b; cure a: fix then retry",
        "a[retry=2 delay=0]; cure a: fix -> probe then retry limit 2; cure a: then retry",
        "a; b; cure a: fix then continue; cure b: then ask",
        "on-failure: cancel; a; b; cure a: fix then retry; cure b: mend then fail",
        "a -> b; cure b: then retry-from a",
        "a -> b -> c; cure c: fix then retry-from a",
        "a -> c; a -> d -> e; cure c: then retry-from a",
        "a -> c; a -> d[after=one-failed]; cure c: then retry-from a",
        "a -> c[after=all-done]; b; cure c: then retry-from a",
        "on-failure: finish-possible; a -> c[after=all-done]; a -> b; cure c: then retry-from a",
        "a -> g{x} -> c; cure c: then retry-from a limit 2",
        "a -> f*2[parallel=1] -> c; cure c: then retry-from a",
        "g{x -> y; x -> z} -> b; cure y: then retry-from x",
        "a -> c; a -> d[decide destroys]; cure c: then retry-from a destroys",
        "f*2[parallel=1]; cure f[]: fix then retry",
        "on-start: s; on-success: w; on-failure-hook: l; on-exit: e; a",
        "on-start: s -> t; on-exit: e; a; b",
        "on-start: s; on-exit: e[retry=2 delay=0]; a[allow-failure]",
        "timeout: 0; on-failure-hook: l; on-exit: e; a -> b",
        "timeout: 0; a[timeout=0]; cure a: fix then retry",
        "on-start: s; on-failure-hook: l; a; cure s: fix then retry; cure l: then ask",
    ] {
        let scope = Scope { crashes: 1, ..Scope::default() };
        let states = explore(flow, users, &scope);
        all += states;
    }
    println!("small flows of every kind: {all} states");
    assert!(all > LEAST, "so few states can't be all");
}
