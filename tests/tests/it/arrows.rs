//! Which crate may know which, and what the pure one may not know at all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use weir_tests::root;

/// The arrows of the design, and no others.
const ARROWS: [(&str, &[&str]); 6] = [
    ("weir", &["weir-core", "weir-engine", "weir-plugins", "weir-web"]),
    ("weir-web", &["weir-core", "weir-engine"]),
    ("weir-engine", &["weir-core", "weir-migrations"]),
    ("weir-plugins", &["weir-core"]),
    ("weir-migrations", &[]),
    ("weir-core", &[]),
];

/// What would let the pure crate wait, read, write, ask the time or draw lots, directly or through another.
const IMPURE: [&str; 14] = [
    "tokio",
    "mio",
    "async-std",
    "smol",
    "sea-orm",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "libsqlite3-sys",
    "libc",
    "rustix",
    "getrandom",
    "rand",
    "tempfile",
];

/// What cargo knows of the crates that are built here: those for other systems need not have been fetched.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = Command::new(&cargo).arg("-vV").output().expect("cargo can be started").stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("it says where it runs");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--filter-platform",
            host,
        ])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo speaks JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn only_the_arrows_of_the_design_exist() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        if !package["source"].is_null() || name == "weir-tests" {
            continue;
        }
        let (_, allowed) = ARROWS
            .into_iter()
            .find(|(from, _)| *from == name)
            .unwrap_or_else(|| panic!("the design knows no crate `{name}`"));
        for dependency in list(&package["dependencies"]) {
            let to = text(&dependency["name"]);
            // Tests of a crate may need more than the crate.
            let is_inner = dependency["path"].is_string() && dependency["kind"] != "dev";
            assert!(!is_inner || allowed.contains(&to.as_str()), "`{name}` must not know `{to}`");
            assert_ne!(to, "weir-tests", "`{name}` must not know its tests");
        }
        seen.insert(name);
    }
    assert_eq!(seen, ARROWS.into_iter().map(|(from, _)| from.to_owned()).collect());
}

#[test]
fn the_core_can_reach_nothing_outside() {
    let metadata = metadata();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut open: Vec<&str> =
        names.iter().filter(|(_, name)| *name == "weir-core").map(|(id, _)| id.as_str()).collect();
    assert_eq!(open.len(), 1);
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !reached.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id).expect("each package is resolved");
        for dependency in list(&node["deps"]) {
            let is_normal = list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null() && kind["target"].is_null());
            if is_normal {
                open.push(dependency["pkg"].as_str().expect("an id"));
            }
        }
    }
    let reached: BTreeSet<&str> = reached.into_iter().map(|id| names[id].as_str()).collect();
    assert!(reached.contains("minijinja"), "the search found too little: {reached:?}");
    let impure: Vec<_> = IMPURE.into_iter().filter(|name| reached.contains(name)).collect();
    assert!(impure.is_empty(), "weir-core reaches {impure:?}");
}
