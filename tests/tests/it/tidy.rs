//! What every file of the workspace keeps to, and what every shipped flow does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_tests::{Stage, root};

/// Where the language's promises may be given up.
const UNSAFE: &str = "engine/runtime/src/supervise";

/// From here on a file is looked at again when it changes; far beyond it, something is wrong.
const LONGEST: usize = 1200;

/// All files of the workspace with that ending, but what is built.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("it is below").display().to_string();
        (name, fs::read_to_string(&path).expect("source is text"))
    };
    let sources: Vec<_> = files(".rs").into_iter().map(named).collect();
    assert!(sources.len() > 100, "the search found only {} files", sources.len());
    sources
}

fn check(rule: &str, is_broken: impl Fn(&str, &str) -> bool) {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (at, line) in text.lines().enumerate() {
            if is_broken(&name, line) {
                broken.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_lives_in_it() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|file| file.0)
        .collect();
    assert!(silent.is_empty(), "these do not begin with `//!`: {silent:?}");
}

#[test]
fn nothing_unfinished_stays() {
    // Written so that they do not find themselves.
    let words = ["todo!", "unimplemented!", "dbg!"].map(|word| format!("{word}("));
    let marks = [["FIX", "ME"], ["TO", "DO:"], ["XX", "X"]].map(|parts| parts.concat());
    check("nothing unfinished stays", |_, line| {
        words.iter().chain(&marks).any(|word| line.contains(word.as_str()))
    });
}

#[test]
fn only_the_supervisor_gives_up_safety() {
    check("`unsafe` is for the supervisor", |name, line| {
        let code = line.split("//").next().unwrap_or_default();
        let is_unsafe = ["{", "fn", "impl", "extern", "trait"].iter().any(|what| {
            let words = format!("unsafe {what}");
            code.match_indices(&words).any(|(at, _)| !code[..at].ends_with(['_', '`', '"']))
        });
        // An example is a measurement, not part of Weir.
        is_unsafe && !name.starts_with(UNSAFE) && !name.contains("/examples/")
    });
}

#[test]
fn no_path_of_somebodys_machine_is_kept() {
    check("no path of a machine", |name, line| {
        let is_foreign = ["/home/runner/", "/Users/"].iter().any(|path| line.contains(path));
        let root = root().display().to_string();
        (is_foreign || line.contains(&root)) && !name.ends_with("it/tidy.rs")
    });
}

#[test]
fn no_file_grows_beyond_reading() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .collect();
    assert!(long.is_empty(), "split these by what they speak of: {long:?}");
}

#[test]
fn every_shipped_flow_is_without_a_mistake() {
    let stage = Stage::new();
    let flows = root().join("flows");
    let ended = stage.weir(&["check", flows.to_str().expect("plain")]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

#[test]
fn every_shipped_flow_fits_the_schema() {
    let stage = Stage::new();
    let printed = stage.weir(&["schema"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let schema = stage.write("schema.json", &printed.out);
    let flows = files(".flow.yaml");
    let shipped: Vec<&Path> = flows
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| path.starts_with(root().join("flows")))
        .collect();
    assert!(shipped.len() >= 2, "{shipped:?}");
    // A wrong flow must not fit, or the schema says nothing.
    let wrong = stage.flow("wrong", "jobs: { a: { uses: noop, need: [b] } }\n");
    assert!(!fits(&schema, &[&wrong]).0);
    let (is_fit, why) = fits(&schema, &shipped);
    assert!(is_fit, "{why}");
}

/// Whether files fit a schema, by somebody else's reading of both.
fn fits(schema: &Path, files: &[&Path]) -> (bool, String) {
    let program = "import json, sys, yaml, jsonschema\n\
                   schema = json.load(open(sys.argv[1]))\n\
                   jsonschema.Draft202012Validator.check_schema(schema)\n\
                   bad = 0\n\
                   for name in sys.argv[2:]:\n    \
                       for error in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(open(name))):\n        \
                           bad += 1\n        \
                           print(name, list(error.absolute_path), error.message[:300])\n\
                   sys.exit(7 if bad else 0)\n";
    let output = Command::new("python3")
        .args(["-c", program])
        .arg(schema)
        .args(files)
        .output()
        .expect("python3 is here: see scripts/install-test-needs");
    let err = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(7), "needs python3-jsonschema and python3-yaml: {err}");
    (code == Some(0), String::from_utf8_lossy(&output.stdout).into_owned())
}
