//! What a commit may cost.

use super::lab::Lab;

#[test]
fn a_fan_out_of_a_thousand_is_few_statements_and_an_idle_engine_commits_nothing() {
    let mut lab = Lab::new(2);
    let text = "name: wide\njobs:\n  root: { uses: noop }\n  each: { needs: root, foreach: 'range(1000) | list', uses: noop }\n  sink: { needs: each, uses: noop }";
    let loaded = lab.load(text, "");
    let before = lab.ground.store.counts();
    let run = lab.begin(&loaded);
    assert_eq!(lab.run_state(run), "succeeded");
    let after = lab.ground.store.counts();
    let commits = after.commits - before.commits;
    let statements = after.statements - before.statements;
    assert!(commits <= 2, "{commits} commits");
    // BEGIN, COMMIT and at most a few statements a table: events come to some 3,000 rows, of at most 1,024 each.
    assert!(statements <= 26, "{statements} statements in {commits} commits");
    assert!(after.rows - before.rows > 4_000, "all of it is kept");

    for _ in 0..100 {
        lab.world.now += 60_000;
        lab.finish();
        assert!(lab.world.submitted.is_none());
    }
    assert_eq!(lab.ground.store.counts(), after);
    assert!(lab.turn.is_settled());
    assert_eq!(lab.turn.next_wake(), None);
    lab.verify();
}
