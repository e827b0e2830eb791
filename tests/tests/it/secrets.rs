//! Promise 8: a secret's value is nowhere on disk but sealed, in no form, and no other process can read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use weir_core::secret::Secret;
use weir_tests::{Stage, until};

/// With what shells, JSON, URLs and XML would escape, so that each form differs.
pub(crate) const KEPT: &str = "kept \"p@ss/w'rd\" 7<&é";
const GIVEN: &str = "given $p`a\\ss;9>%ü";

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").filter_map(Result::ok) {
        let kind = entry.file_type().expect("known");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// In which of these texts which form of a secret stands.
fn leaks(texts: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<String> {
    leaks_of(&[Secret::new("kept", KEPT), Secret::new("given", GIVEN)], texts)
}

/// In which of these texts which form of one of these secrets stands.
pub(crate) fn leaks_of(
    secrets: &[Secret],
    texts: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Vec<String> {
    let forms: Vec<Vec<u8>> = secrets.iter().flat_map(Secret::forms).collect();
    assert!(forms.len() > 15, "only {} forms", forms.len());
    let mut found = Vec::new();
    for (name, text) in texts {
        for form in &forms {
            if text.windows(form.len()).any(|part| part == form) {
                found.push(format!("{name}: {}", String::from_utf8_lossy(form)));
            }
        }
    }
    found
}

fn on_disk(stage: &Stage) -> Vec<String> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_default();
        (path.display().to_string(), bytes)
    };
    leaks(files(&stage.home()).into_iter().map(read).collect::<Vec<_>>())
}

/// What others can read of the processes of a stage, and the environment of those that are Weir's own.
fn in_processes(stage: &Stage) -> Vec<String> {
    let mut texts = Vec::new();
    for process in stage.processes() {
        let command = process.command();
        texts.push((format!("arguments of {command}"), process.read("cmdline")));
        if command.contains("weir") && !command.starts_with("/bin/sh") {
            texts.push((format!("environment of {command}"), process.read("environ")));
        }
    }
    assert!(texts.len() >= 3, "engine, supervisor and job were to be looked at: {texts:?}");
    leaks(texts)
}

/// Prints both secrets in every usual form, through every usual way.
const FLOW: &str = r#"params: { dir: { type: string }, given: { type: secret } }
jobs:
  script:
    uses: command
    env: { IN_ENV: "{{ params.given }}" }
    with:
      script: |
        for value in {{ secret('kept') }} {{ params.given }} "$IN_ENV"; do
          echo "plain: $value"
          printf '%s' "$value" | base64
          printf '%s' "x$value" | base64 -w 0; echo
          printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n'; echo
          VALUE=$value python3 - <<'END'
        import json, os, shlex, urllib.parse, html, sys, time
        value = os.environ['VALUE']
        print(json.dumps({'value': value}))
        print(json.dumps({'value': value}, ensure_ascii=False))
        print(urllib.parse.quote(value, safe=''), urllib.parse.quote_plus(value))
        print(shlex.quote(value), html.escape(value))
        half = len(value) // 2
        sys.stdout.write('split: ' + value[:half]); sys.stdout.flush(); time.sleep(0.1)
        sys.stdout.write(value[half:] + '\n'); sys.stdout.flush()
        sys.stderr.write('error: ' + value + '\n')
        END
        done
        echo harmless=yes >"$WEIR_OUTPUT"
        touch {{ params.dir }}/ready
        while [ ! -e {{ params.dir }}/go ]; do sleep 0.01; done
  python:
    needs: [script]
    uses: command
    env: { VALUE: "{{ secret('kept') }}" }
    with: { interpreter: python3, script: "import os; print('python:', os.environ['VALUE'])" }
  gives-away:
    needs: [python]
    uses: command
    allow-failure: true
    with: { script: 'echo "stolen={{ params.given }}" >"$WEIR_OUTPUT"' }
  as-argument:
    needs: [python]
    uses: command
    allow-failure: true
    with: { argv: [echo, "{{ params.given }}"] }
  fails:
    needs: [python]
    uses: command
    allow-failure: true
    with: { script: 'echo "can not log in with {{ params.given }}"; exit 9' }
    recover:
      - match: { log: 'log in with (?P<what>.*)' }
        diagnosis: The password is wrong.
        then: fail
  checks:
    needs: [python]
    uses: checklist
    allow-failure: true
    with:
      checks:
        - { name: login, script: "printf '%s' {{ params.given }}", required: 10 }
  child:
    needs: [python]
    uses: flow
    with: { flow: inner, params: { given: "{{ params.given }}" } }
"#;

const INNER: &str = "params: { given: { type: secret } }\njobs:\n  print:\n    uses: command\n    \
                     with: { script: \"echo inner {{ params.given }}\" }\n";

#[test]
fn a_secret_is_nowhere_in_clear() {
    let stage = Stage::new();
    let flow = stage.flow("outer", FLOW);
    stage.flow("inner", INNER);
    let set = stage.weir_reads(&["secret", "set", "kept"], KEPT);
    assert_eq!(set.code, 0, "{}", set.err);
    assert_eq!(stage.weir(&["secret", "list"]).out.trim(), "kept");
    let server = stage.serve();
    let run =
        server.door().begin(&flow, &json!({ "dir": stage.path(), "given": GIVEN })).expect("begun");
    until("the job has printed all", || stage.path().join("ready").exists().then_some(()));
    assert_eq!(in_processes(&stage), Vec::<String>::new());
    assert_eq!(on_disk(&stage), Vec::<String>::new(), "while it runs");
    // What was sealed must be opened again by another engine.
    server.kill();
    let server = stage.serve();
    stage.write("go", "");
    server.door().watch(run, |_| false).expect("the server stays");
    let shown = stage.show(run);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(shown["params"]["given"], "***");
    let states: BTreeMap<&str, &str> = shown["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .filter_map(|task| Some((task["path"].as_str()?, task["state"].as_str()?)))
        .collect();
    let expected = [
        ("as-argument", "failed"),
        ("checks", "failed"),
        ("child", "succeeded"),
        ("fails", "failed"),
        ("gives-away", "failed"),
        ("python", "succeeded"),
        ("script", "succeeded"),
    ];
    assert_eq!(states, BTreeMap::from(expected), "{shown:#}");
    let log = stage.weir(&["logs", &run.to_string(), "script"]).out;
    assert_eq!(log.matches("plain: ***\n").count(), 3, "{log}");
    assert_eq!(log.matches("split: ***\n").count(), 3, "{log}");
    assert_eq!(log.matches("error: ***\n").count(), 3, "{log}");
    let rerun = stage.weir(&["rerun", &run.to_string(), "--from", "python", "--json"]);
    assert_eq!(rerun.run()["state"], "succeeded", "{}{}", rerun.out, rerun.err);
    let seen: Vec<(String, Vec<u8>)> = [
        &["show", "1", "--json"][..],
        &["logs", "1"],
        &["events", "1", "--json"],
        &["diagnose", "1"],
    ]
    .into_iter()
    .map(|args| (args.join(" "), stage.weir(args)))
    .map(|(name, ended)| (name, (ended.out + &ended.err).into_bytes()))
    .collect();
    assert_eq!(leaks(seen), Vec::<String>::new());
    assert_eq!(on_disk(&stage), Vec::<String>::new(), "while the server lives");
    server.stop();
    stage.verify();
    assert_eq!(on_disk(&stage), Vec::<String>::new(), "at the end");
    let backup = stage.path().join("backup");
    let copied = stage.weir(&["backup", backup.to_str().expect("plain")]);
    assert_eq!(copied.code, 0, "{}", copied.err);
    let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap_or_default());
    assert_eq!(
        leaks(files(&backup).into_iter().map(read).collect::<Vec<_>>()),
        Vec::<String>::new()
    );
    stage.wait_until_empty();
}

#[test]
fn a_value_that_is_too_short_to_be_masked_is_refused() {
    let stage = Stage::new();
    for value in ["abc", "abc\n", "  ab "] {
        let refused = stage.weir_reads(&["secret", "set", "pin"], value);
        assert_eq!(refused.code, 2, "{value:?}: {}{}", refused.out, refused.err);
        assert!(refused.err.contains("`pin` is shorter than 4 bytes"), "{}", refused.err);
        assert!(refused.err.contains("help: "), "{}", refused.err);
    }
    assert_eq!(stage.weir(&["secret", "list"]).out, "");
    assert_eq!(stage.weir_reads(&["secret", "set", "pin"], "abcd").code, 0);
}

#[test]
fn the_key_of_the_secrets_is_in_the_environment_of_no_job() {
    let stage = Stage::new();
    let key = "6b".repeat(32);
    let dir = stage.path().display();
    let flow = stage.flow(
        "look",
        &format!(
            "jobs:
  a:
    uses: command
    env: {{ WORD: \"{{{{ secret('word') }}}}\" }}
    with:
      script: |
        env >{dir}/env
        for pid in $$ $PPID; do tr '\\0' '\\n' </proc/$pid/environ >{dir}/environ.$(cat /proc/$pid/comm); done
        [ -n \"$WORD\" ]
"
        ),
    );
    let with_key = |args: &[&str], input: Option<&str>| {
        let mut command = stage.command(args);
        command.env("WEIR_SECRET_KEY", &key);
        weir_tests::Ended::of(command, input)
    };
    assert_eq!(with_key(&["secret", "set", "word"], Some("long enough")).code, 0);
    let ended = with_key(&["run", flow.to_str().expect("plain")], None);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(stage.read("env").contains("WEIR_RUN="), "{}", stage.read("env"));
    let seen = files(stage.path()).into_iter().filter(|path| {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        text.contains("WEIR_SECRET_KEY") || text.contains(&key)
    });
    assert_eq!(seen.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    // It was the key, and not one of the home's own.
    assert_ne!(stage.weir(&["run", flow.to_str().expect("plain")]).code, 0);
}

#[test]
fn nothing_that_a_server_was_started_with_reaches_a_job() {
    let stage = Stage::new();
    let dir = stage.path().display();
    let flow = stage.flow(
        "look",
        &format!(
            "jobs:
  a:
    uses: command
    unless: env >{dir}/seen.unless; false
    verify: env >{dir}/seen.verify
    with:
      script: |
        env >{dir}/seen.job
        for pid in $$ $PPID; do tr '\\0' '\\n' </proc/$pid/environ >{dir}/seen.$(cat /proc/$pid/comm); done
"
        ),
    );
    let given = [("WEIR_TOKEN", "weir_of-the-server"), ("DIRECTORY_WORD", "of-the-directory")];
    let mut command = stage.command(&["serve", "--no-web"]);
    command.envs(given).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut server = command.spawn().expect("weir starts");
    until("it serves", || stage.home().join("weir.sock").exists().then_some(()));
    let run = stage.run(&flow, &[]);
    assert_eq!(run["state"], "succeeded", "{run}");
    for name in ["seen.unless", "seen.verify", "seen.job"] {
        assert!(stage.read(name).contains("WEIR_RUN="), "{name}: {}", stage.read(name));
    }
    let seen = files(stage.path()).into_iter().filter(|path| {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        given.iter().any(|(name, value)| text.contains(name) || text.contains(value))
    });
    assert_eq!(seen.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    weir_tests::Process { pid: server.id() as i32 }.signal(rustix::process::Signal::TERM);
    server.wait().expect("it is our child");
}
