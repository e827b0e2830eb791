//! What a person sees who writes a flow file: the wrong ones in `wrong/` give exactly the words beside them, the
//! right ones in `right/` give none, large ones are fast, and no text at all makes the reader panic.
//!
//! `BLESS=1 cargo test -p weir-core --test flows` writes the words anew.

#[path = "flows/damage.rs"]
mod damage;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use weir_core::catalogue::Catalogue;
use weir_core::flow::{self, After, Flow, Project};
use weir_core::job_type::{Nature, Traits};
use weir_core::job_types::JobTypes;
use weir_core::mistake::{Mistake, Severity};
use weir_core::schema::Schema;

/// Job types as they could be; no work is done here.
fn types() -> JobTypes {
    let mut types = JobTypes::default();
    let script = || Schema::text().shell().not_empty().describe("What the shell runs.");
    let command = Schema::object()
        .required("script", script())
        .optional("argv", Schema::list(Schema::text()))
        .optional("interpreter", Schema::text())
        .optional("output-format", Schema::choice(["auto", "lines", "json"]).fixed())
        .optional("success-codes", Schema::list(Schema::integer().minimum(0).maximum(255)));
    types.declare("command", "Runs a script.", Nature::Work, command);
    let on_hosts = Traits { nature: Nature::Work, works_on_hosts: true };
    let ssh = Schema::object()
        .required("hosts", Schema::text().not_empty().describe("Where it runs."))
        .required("script", script())
        .optional("become", Schema::text());
    types.declare("ssh", "Runs a script on hosts.", on_hosts, ssh);
    let format = Schema::object()
        .required("hosts", Schema::text())
        .optional("user", Schema::text())
        .optional("reformat", Schema::boolean());
    types.declare("hdfs.format", "Formats a file system.", on_hosts, format);
    types.declare(
        "hdfs.safemode",
        "Waits.",
        Nature::Waits,
        Schema::object().required("wait", Schema::choice(["leave", "enter"])),
    );
    let wait = Schema::object()
        .optional("tcp", Schema::text())
        .optional("within", Schema::span())
        .optional("until", Schema::text().expression());
    types.declare("wait", "Waits.", Nature::Waits, wait);
    let outputs = Schema::object().optional("outputs", Schema::map(Schema::anything()));
    types.declare("noop", "Does nothing.", Nature::Instant, outputs);
    types.declare(
        "approve",
        "Asks.",
        Nature::Asks,
        Schema::object().required("message", Schema::text()),
    );
    types
}

fn catalogue() -> BTreeSet<String> {
    ["HDFS-01", "HDFS-02", "DNS-01"].map(str::to_owned).into()
}

fn project() -> Project {
    let text = include_str!("right/project.yaml");
    let (project, mistakes) = flow::load_project("project.yaml", text, &types(), &catalogue());
    assert_eq!(mistakes, []);
    project.expect("a project without mistakes is there")
}

fn load(file: &str, text: &str) -> (Option<Flow>, Vec<Mistake>) {
    flow::load(file, text, &project(), &types(), &catalogue())
}

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test reads its cases from files; the crate itself opens none"
)]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn rendered(text: &str, mistakes: &[Mistake]) -> String {
    let shown: Vec<String> =
        mistakes.iter().map(|mistake| mistake.render(text).to_string()).collect();
    shown.join("\n")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test writes its cases where it is asked to; the crate itself writes none"
)]
fn a_wrong_file_says_what_is_wrong_and_where_and_what_would_be_right() {
    let bless = std::env::var("BLESS").is_ok();
    let files: Vec<PathBuf> = files("wrong", ".yaml");
    let (mut flows, mut wrong, mut codes) = (0, String::new(), BTreeSet::new());
    for path in &files {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = read(path);
        let mistakes = if name.ends_with(".catalogue.yaml") {
            Catalogue::load(&[(&name, &text)], &types()).err().unwrap_or_default()
        } else if name.ends_with(".flow.yaml") {
            flows += 1;
            load(&name, &text).1
        } else {
            flow::load_project(&name, &text, &types(), &catalogue()).1
        };
        let found = rendered(&text, &mistakes);
        codes.extend(mistakes.iter().map(|mistake| mistake.code));
        let beside = path.with_file_name(format!(
            "{}.txt",
            name.trim_end_matches(".yaml").trim_end_matches(".flow")
        ));
        if bless {
            std::fs::write(&beside, &found).expect("the folder can be written");
        } else if read(&beside) != found {
            writeln!(wrong, "--- {name} should say\n{}\n--- and says\n{found}", read(&beside))
                .expect("a String takes all");
        }
        assert!(!found.is_empty(), "{name} is not wrong");
        for Mistake { message, help, .. } in &mistakes {
            assert!(help.is_some(), "{name}: no help for: {message}");
            assert!(!message.ends_with('.'), "{name}: a full stop after: {message}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(flows >= 60, "only {flows} wrong flow files");
}

#[test]
fn a_right_file_is_read_without_a_word() {
    for path in files("right", ".flow.yaml") {
        let text = read(&path);
        let (flow, mistakes) = load("right", &text);
        assert_eq!(rendered(&text, &mistakes), "", "{}", path.display());
        assert!(flow.is_some());
    }
}

#[test]
fn every_key_becomes_what_it_says() {
    let (flow, _) = load("f", include_str!("right/every-key.flow.yaml"));
    insta::assert_debug_snapshot!(flow.expect("the file is right"));
}

#[test]
fn defaults_are_inherited_until_something_else_is_said() {
    let text = "name: f\nretry: { attempts: 4 }\njobs:\n  a: { uses: noop }\n  b: { uses: noop, retry: { delay: 30m }, env: { LANG: de, B: 1 } }\n  g:\n    env: { G: g }\n    retry: { attempts: 7 }\n    jobs:\n      c: { uses: noop, timeout: 5s }\n";
    let (flow, mistakes) = load("f", text);
    assert_eq!(mistakes, []);
    let flow = flow.expect("the file is right");
    let shown = |job: &weir_core::flow::Job| {
        let env: Vec<String> =
            job.env.iter().map(|(name, text)| format!("{name}={}", text.source)).collect();
        let retry = &job.retry;
        format!(
            "{} {}x {:?}..{:?} timeout {:?} env {}",
            job.name,
            retry.attempts,
            retry.delay,
            retry.max_delay,
            job.timeout,
            env.join(" ")
        )
    };
    let group = &flow.jobs[2];
    insta::assert_debug_snapshot!([shown(&flow.jobs[0]), shown(&flow.jobs[1]), shown(group), shown(&group.jobs[0])], @r#"
    [
        "a 4x 5s..300s timeout Some(7200s) env LANG=C",
        "b 4x 1800s..1800s timeout Some(7200s) env LANG=de B=1",
        "g 1x 10s..300s timeout None env LANG=C G=g",
        "c 7x 5s..300s timeout Some(5s) env LANG=C G=g",
    ]
    "#);
}

#[test]
fn a_script_as_check_runs_where_the_work_runs() {
    let text = "name: f\njobs:\n  a:\n    uses: ssh\n    with: { hosts: master1, become: root, script: make }\n    unless: test -d x\n  b:\n    uses: noop\n    verify: test -d y\n";
    let (flow, mistakes) = load("f", text);
    assert_eq!(mistakes, []);
    let flow = flow.expect("the file is right");
    let unless = flow.jobs[0].unless.clone().expect("it was written");
    assert_eq!(
        (unless.job_type.as_str(), unless.with),
        ("ssh", json!({ "hosts": "master1", "become": "root", "script": "test -d x" }))
    );
    let verify = flow.jobs[1].verify.clone().expect("it was written");
    assert_eq!(
        (verify.job_type.as_str(), verify.with),
        ("command", json!({ "script": "test -d y" }))
    );
    assert_eq!(flow.jobs[0].after, After::AllSuccess);
}

#[test]
fn the_schema_for_editors_knows_every_job_type() {
    let schema = flow::json_schema(&types());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let job = &schema["$defs"]["job"];
    assert_eq!(job["allOf"].as_array().map(Vec::len), Some(types().iter().count()));
    insta::assert_snapshot!(format!("{:#}", job["allOf"][0]), @r#"
    {
      "if": {
        "properties": {
          "uses": {
            "const": "approve"
          }
        },
        "required": [
          "uses"
        ]
      },
      "then": {
        "properties": {
          "with": {
            "type": "object",
            "properties": {
              "message": {
                "type": "string"
              }
            },
            "additionalProperties": false,
            "required": [
              "message"
            ]
          }
        },
        "required": [
          "with"
        ]
      }
    }
    "#);
    // Each reference leads somewhere.
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().expect("a reference ends");
        assert!(schema.pointer(pointer).is_some(), "{pointer}");
    }
}

/// What work makes, and the processor time it took: other tests and other people's work do not count.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let ticks = || {
        let stat = read(Path::new("/proc/thread-self/stat"));
        // Fields 14 and 15 of proc(5), in hundredths of a second; the name in brackets may hold blanks.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        assert_eq!(fields.len(), 2, "{stat}");
        fields.iter().sum::<u64>()
    };
    let before = ticks();
    let made = work();
    (made, Duration::from_millis(10 * (ticks() - before)))
}

/// A hundred layers of a thousand jobs; each needs two of the layer before. `more` is what else each has.
fn large(more: fn(&str) -> String) -> String {
    let mut text = "name: large\njobs:\n".to_owned();
    for layer in 0..100 {
        for at in 0..1000 {
            let name = |layer: usize, at: usize| format!("j{layer}_{}", at % 1000);
            let line = if layer == 0 {
                format!("  {}: {{ uses: noop }}\n", name(0, at))
            } else {
                let (left, right) = (name(layer - 1, at), name(layer - 1, at + 1));
                format!(
                    "  {}: {{ uses: noop, needs: [{left}, {right}]{} }}\n",
                    name(layer, at),
                    more(&left)
                )
            };
            text.push_str(&line);
        }
    }
    text
}

#[test]
fn a_hundred_thousand_jobs_are_checked_in_two_seconds() {
    let plain = large(|_| String::new());
    let with_templates = large(|left| {
        format!(", with: {{ outputs: {{ a: \"{{{{ jobs.{left}.outputs.a }}}}\" }} }}")
    });
    for (what, text, most) in [("plain", plain, 2), ("with templates", with_templates, 4)] {
        let ((flow, mistakes), took) =
            timed(|| flow::load("large", &text, &Project::default(), &types(), &catalogue()));
        assert_eq!(mistakes, []);
        assert_eq!(flow.map(|flow| flow.jobs.len()), Some(100_000));
        println_of(&format!("100,000 jobs, {what}, {} bytes: {took:?}", text.len()));
        assert!(took < Duration::from_secs(most), "{what}: {took:?}");
    }
}

#[test]
fn a_job_is_small_enough_to_have_a_hundred_thousand() {
    let bytes = size_of::<flow::Job>();
    assert!(bytes <= 360, "{bytes} bytes: box what few jobs have, share what they inherit");
}

#[expect(clippy::print_stdout, reason = "a figure for whoever runs the test")]
fn println_of(text: &str) {
    println!("{text}");
}

#[test]
fn what_is_made_to_be_slow_is_not() {
    let jobs = |line: &dyn Fn(usize) -> String, count: usize| {
        (0..count).fold("name: f\njobs:\n".to_owned(), |mut text, at| {
            text.push_str(&line(at));
            text
        })
    };
    let cases = [
        (
            "one circle of all",
            jobs(
                &|at| format!("  j{at}: {{ uses: noop, needs: [j{}] }}\n", (at + 1) % 100_000),
                100_000,
            ),
        ),
        (
            "unknown needs",
            jobs(&|at| format!("  j{at}: {{ uses: noop, needs: [k-{at}] }}\n"), 100_000),
        ),
        (
            "a chain that looks far back",
            jobs(
                &|at| match at {
                    0 => "  j0: { uses: noop }\n".to_owned(),
                    _ => format!(
                        "  j{at}: {{ uses: noop, needs: [j{}], when: jobs.j0.state }}\n",
                        at - 1
                    ),
                },
                30_000,
            ),
        ),
        (
            "unknown jobs in templates",
            jobs(&|at| format!("  j-{at}: {{ uses: noop, when: jobs.x_{at}.state }}\n"), 50_000),
        ),
        (
            "one line",
            format!(
                "{{\"name\": \"f\", \"title\": \"é\", \"jobs\": {{{}}}}}",
                (0..50_000)
                    .map(|at| format!(
                        "\"j{at}\": {{\"uses\": \"noop\", \"env\": {{\"A\": {at}}}}}"
                    ))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
        (
            "keys again and again",
            format!(
                "name: f\n{}{}",
                (0..100_000).map(|at| format!("k{at}: 1\n")).collect::<Vec<_>>().concat(),
                "k99999: 1\n".repeat(100_000)
            ),
        ),
        ("braces on one line", format!("a: [{}]", "{{a}: 1}, ".repeat(100_000))),
        (
            "wrong keys everywhere",
            jobs(&|at| format!("  j{at}: {{ usess: noop, neds: [x], tmeout: 1 }}\n"), 50_000),
        ),
    ];
    for (what, text) in cases {
        let ((flow, mistakes), took) = timed(|| load("f", &text));
        println_of(&format!("{what}: {took:?}, {} mistakes", mistakes.len()));
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
        assert!(mistakes.len() <= 1_000, "{what}");
        assert!(flow.is_some() || !mistakes.is_empty(), "{what}");
    }
}

/// The pieces that files are made of, right and wrong.
const PIECES: [&str; 40] = [
    "name: f\n",
    "jobs:\n",
    "  a:\n",
    "    uses: command\n",
    "    with: { script: x }\n",
    "    needs: [a, b]\n",
    "- ",
    "{{ ",
    " }}",
    "{% if x %}",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "#",
    "\t",
    "\n",
    "\r",
    "\\",
    "é，",
    "---\n",
    "...\n",
    "<<: *a\n",
    "params: { p: { type: integer, default: x } }\n",
    "    when: params.p\n",
    "    foreach: [1, 2]\n",
    "? ",
    "1e999",
    "0x",
    "~",
    "\u{feff}",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        fits(&text);
    }

    #[test]
    fn no_mixture_of_pieces_makes_the_reader_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = pieces.into_iter().map(|at| PIECES[at]).collect();
        fits(&text);
    }

    #[test]
    fn no_damage_to_a_right_file_makes_the_reader_panic(at in 0_usize..4_000, length in 0_usize..8, piece in 0..PIECES.len()) {
        let text = include_str!("right/every-key.flow.yaml");
        let from = floor(text, at % text.len());
        let to = floor(text, (from + length).min(text.len()));
        fits(&format!("{}{}{}", &text[..from], PIECES[piece], &text[to..]));
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A text is read or refused; each mistake stands in it and can be shown.
fn fits(text: &str) {
    let types = types();
    let (flow, mistakes) = flow::load("f", text, &Project::default(), &types, &BTreeSet::new());
    let is_wrong = mistakes.iter().any(|mistake| mistake.severity == Severity::Error);
    assert_eq!(flow.is_none(), is_wrong, "{text:?}");
    for mistake in &mistakes {
        assert!(
            mistake.place.line >= 1 && mistake.place.column >= 1 && mistake.place.length >= 1,
            "{mistake:?} in {text:?}"
        );
        let _ = mistake.render(text).to_string();
    }
    let (_, mistakes) = flow::load_project("p", text, &types, &BTreeSet::new());
    for mistake in &mistakes {
        let _ = mistake.render(text).to_string();
    }
}
