//! The flows that ship with Weir, run as the README says: with real processes, and a real name server.

use serde_json::Value;

use crate::stage::Stage;

fn shipped(name: &str) -> String {
    format!("{}/../flows/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn states(run: &Value) -> Vec<(String, String)> {
    let tasks = run["tasks"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tasks.iter().map(|task| (text(&task["path"]), text(&task["state"]))).collect()
}

#[test]
fn the_tour_is_cured_retried_and_ends_well() {
    let stage = Stage::new();
    let said = stage.weir(&format!("run {} --json", shipped("tour/tour.flow.yaml")));
    assert_eq!(said.code, Some(0), "{said:?}");
    let run = stage.show(1);
    let task = |path: &str| -> Value {
        run["tasks"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|task| task["path"] == path)
            .expect(path)
            .clone()
    };
    assert_eq!(task("flaky")["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(task("stale")["diagnoses"][0]["result"], "cured");
    assert_eq!(task("stale/recover.1/refresh")["state"], "succeeded");
    assert_eq!(task("on-exit/tidy")["state"], "succeeded");
    assert_eq!(task("approval")["state"], "skipped");
    assert_eq!(stage.weir("verify").code, Some(0));
}

#[test]
fn the_tour_goes_on_from_the_failed_step_with_what_was_done_before() {
    let stage = Stage::new();
    let said = stage.weir(&format!("run {} -p break_at=total", shipped("tour/tour.flow.yaml")));
    assert_eq!(said.code, Some(1), "{said:?}");
    let said = stage.weir("rerun 1 --from-failed -p break_at= --json");
    assert_eq!(said.code, Some(0), "{said:?}");
    let rerun = said.json()["run"].clone();
    assert_eq!(rerun["origin"], 1);
    let state = |path: &str| {
        states(&rerun).into_iter().find(|(own, _)| own == path).map(|(_, state)| state)
    };
    assert_eq!(
        state("weigh").as_deref(),
        Some("reused"),
        "a foreach is reused as a whole, its list with it"
    );
    assert_eq!(state("inspect/weight").as_deref(), Some("succeeded"), "it reads that list");
    assert_eq!(stage.weir("verify").code, Some(0));
}

#[test]
fn the_tour_asks_and_a_person_approves() {
    let stage = Stage::new();
    let said = stage.weir(&format!("run {} -p approve=false", shipped("tour/tour.flow.yaml")));
    assert_eq!(said.code, Some(4), "{said:?}");
    let said = stage.weir("approve 1 approval");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.show(1)["state"], "succeeded");
}

#[test]
fn the_name_server_is_set_up_proven_and_not_touched_again() {
    let stage = Stage::new();
    let dir = stage.path("dns");
    let run =
        format!("run {} --json -p dir={}", shipped("local-dns/local-dns.flow.yaml"), dir.display());
    let said = stage.weir(&format!("{run} -p keep_running=true"));
    assert_eq!(said.code, Some(0), "bind9 must be there (scripts/install-test-needs): {said:?}");
    let said = stage.weir(&run);
    assert_eq!(said.code, Some(0), "{said:?}");
    let again = states(&said.json()["run"]);
    for path in ["outside", "activate", "start"] {
        assert!(again.contains(&(path.to_owned(), "already-done".to_owned())), "{path}: {again:?}");
    }
    assert!(again.contains(&("on-exit/stop".to_owned(), "succeeded".to_owned())), "{again:?}");
}
