//! What a job may do to its log, its processes and its disk, and what becomes of it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use weir_tests::{Ended, Process, Server, Stage, states, until};

const MIB: u64 = 1 << 20;

/// A flow of one job `a` with that script and more lines of its own.
fn one_job(stage: &Stage, more: &str, script: &str) -> std::path::PathBuf {
    let mut text = format!("jobs:\n  a:\n    uses: command\n{more}    with:\n      script: |\n");
    for line in script.replace("DIR", &stage.path().display().to_string()).lines() {
        text.push_str("        ");
        text.push_str(line);
        text.push('\n');
    }
    stage.flow("one", &text)
}

fn wait_for(stage: &Stage, name: &str) {
    until(name, || stage.path().join(name).exists().then_some(()));
}

/// The most memory that a process ever held, in bytes.
fn peak(process: Process) -> u64 {
    let status = String::from_utf8_lossy(&process.read("status")).into_owned();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it lives");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024
}

fn log(stage: &Stage, args: &[&str]) -> Ended {
    let ended = stage.weir(&[&["logs", "1", "a"], args].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended
}

fn state(run: &Value) -> (&str, &str) {
    (
        run["state"].as_str().unwrap_or_default(),
        run["tasks"][0]["state"].as_str().unwrap_or_default(),
    )
}

/// A job writes `size` bytes; neither engine nor supervisor grows, and the end of the log is found at once.
fn big_log(stage: &Stage, server: &Server, flow: &Path, params: &Value, size: u64) {
    let run = server.door().begin(flow, params).expect("begun");
    wait_for(stage, "written");
    let supervisor = stage.supervisor().expect("the job is its child");
    assert!(peak(supervisor) < 32 * MIB, "supervisor: {} MiB", peak(supervisor) / MIB);
    assert!(peak(server.process()) < 160 * MIB, "engine: {} MiB", peak(server.process()) / MIB);
    stage.write("go", "");
    server.door().watch(run, |_| false).expect("the server stays");
    let path = stage.home().join(format!("runs/{run}/0.1/log"));
    assert!(fs::metadata(&path).expect("a log").len() >= size, "the log is not whole");
    let begun = Instant::now();
    let ended = stage.weir(&["logs", &run.to_string(), "a", "--tail", "2"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(
        ended.out.ends_with("the last line\n") && ended.out.lines().count() == 2,
        "{}",
        ended.out
    );
    assert!(peak(server.process()) < 160 * MIB, "engine: {} MiB", peak(server.process()) / MIB);
    fs::remove_file(path).expect("space is given back");
}

const WRITE: &str = "yes 'a line of sixty-four bytes, so that a million of them are many..' | head -c SIZE\n\
                     echo; echo the last line; touch DIR/written\n\
                     while [ ! -e DIR/go ]; do sleep 0.01; done";

#[test]
fn a_log_of_a_gigabyte_costs_disk_and_nothing_else() {
    let stage = Stage::new();
    let size = 1024 * MIB;
    let script = WRITE.replace("SIZE", &size.to_string());
    let flow = one_job(&stage, "    limits: { log-size: 2GiB }\n", &script);
    let server = stage.serve();
    big_log(&stage, &server, &flow, &json!({}), size);
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn a_long_log_that_is_masked_costs_no_memory_either() {
    let stage = Stage::new();
    let size = 64 * MIB;
    let script = WRITE.replace("SIZE", &size.to_string());
    assert_eq!(stage.weir_reads(&["secret", "set", "door"], "open-sesame-42").code, 0);
    let more = "    limits: { log-size: 2GiB }\n    env: { DOOR: \"{{ secret('door') }}\" }\n";
    let flow = one_job(&stage, more, &script);
    let server = stage.serve();
    big_log(&stage, &server, &flow, &json!({}), size);
    server.stop();
    stage.wait_until_empty();
}

#[test]
fn the_middle_of_a_log_beyond_its_bound_is_dropped() {
    let stage = Stage::new();
    // It goes on until the disk has been given back; blocks are of 512 bytes.
    let script = "log=$(dirname \"$WEIR_OUTPUT\")/log; echo the first line; seq 1000000\n\
                  until [ $(stat -c %b \"$log\") -lt 4096 ]; do sleep 0.01; done; echo the last line";
    let flow = one_job(&stage, "    limits: { log-size: 1MiB }\n    timeout: 1m\n", script);
    let run = stage.run(&flow, &[]);
    assert_eq!(state(&run), ("succeeded", "succeeded"), "{run:#}");
    let text = log(&stage, &[]).out;
    assert!(text.starts_with("the first line\n") && text.ends_with("the last line\n"));
    assert!((text.len() as u64) < 2 * MIB, "{}", text.len());
}

#[test]
fn ten_thousand_lines_a_second_are_followed_without_a_gap() {
    let stage = Stage::new();
    let script =
        "for second in 1 2 3; do seq $((second * 10000 - 9999)) $((second * 10000)); sleep 1; done";
    let flow = one_job(&stage, "", script);
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun");
    until("the log begins", || {
        fs::metadata(stage.home().join(format!("runs/{run}/0.1/log"))).ok().map(|_| ())
    });
    let followed = stage.weir(&["logs", &run.to_string(), "a", "-f"]);
    let lines: Vec<String> = (1..=30_000).map(|line| line.to_string()).collect();
    let expected = lines.join("\n") + "\n";
    assert_eq!(followed.code, 0, "{}", followed.err);
    assert!(followed.out == expected, "{} of {} bytes", followed.out.len(), expected.len());
    server.stop();
}

#[test]
fn what_stays_in_a_jobs_session_is_ended_and_a_daemon_is_left_alone() {
    let stage = Stage::new();
    let script = "sleep 1000 & echo $! >DIR/left\n\
                  (setsid sh -c 'echo $$ >DIR/daemon; exec sleep 1000' </dev/null >/dev/null 2>&1 &)\n\
                  until [ -s DIR/daemon ]; do sleep 0.01; done";
    let run = stage.run(&one_job(&stage, "", script), &[]);
    assert_eq!(state(&run), ("succeeded", "succeeded"), "{run:#}");
    let process = |name| Process { pid: stage.read(name).trim().parse().expect("a number") };
    assert!(!process("left").is_alive(), "what a job leaves in its session outlives it");
    let daemon = process("daemon");
    assert!(daemon.is_alive(), "a daemon in its own session does not");
    daemon.kill();
}

/// A tree: a child, one that ignores TERM, and one in a session of its own.
const TREE: &str = "sleep 1000 &\n\
                    sh -c 'trap \"\" TERM; while :; do sleep 1000; done' &\n\
                    setsid sleep 1000 &\n\
                    trap 'echo heard' TERM\n\
                    touch DIR/ready\n\
                    while :; do sleep 0.05; done";

#[test]
fn a_timeout_ends_the_whole_tree() {
    let stage = Stage::new();
    let flow = one_job(&stage, "    timeout: 2s\n    grace: 300ms\n", TREE);
    let run = stage.run(&flow, &[]);
    assert_eq!(state(&run), ("failed", "timed-out"), "{run:#}");
    assert!(stage.path().join("ready").exists(), "the machine is too slow for this test");
    assert!(log(&stage, &[]).out.contains("heard"), "nobody asked it to end before it was killed");
    stage.wait_until_empty();
    stage.verify();
}

#[test]
fn cancel_ends_the_whole_tree_and_says_so_when_it_has() {
    let stage = Stage::new();
    let flow = one_job(&stage, "    grace: 300ms\n", TREE);
    let server = stage.serve();
    let run = server.door().begin(&flow, &json!({})).expect("begun").to_string();
    wait_for(&stage, "ready");
    let ended = stage.weir(&["cancel", &run]);
    // The command returns when all of it is gone, not when it was asked to go.
    let jobs: Vec<Process> = stage
        .processes()
        .into_iter()
        .filter(|process| process.is_alive() && process.command().contains("sleep"))
        .collect();
    assert!(jobs.is_empty(), "{:?}", jobs.iter().map(|job| job.command()).collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let shown = stage.show(1);
    assert_eq!(state(&shown), ("cancelled", "cancelled"), "{shown:#}");
    server.stop();
    stage.verify();
    stage.wait_until_empty();
}

#[test]
fn an_interrupt_cancels_and_waits() {
    let stage = Stage::new();
    let flow = one_job(&stage, "    grace: 300ms\n", TREE);
    let mut command = stage.command(&["run", flow.to_str().expect("plain")]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_for(&stage, "ready");
    Process { pid: child.id() as i32 }.signal(Signal::INT);
    let status = until("it ends", || child.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(3));
    assert_eq!(state(&stage.show(1)), ("cancelled", "cancelled"));
    stage.wait_until_empty();
}

#[test]
fn a_job_may_close_its_outputs() {
    let stage = Stage::new();
    let script = "echo before; exec >&- 2>&-; sleep 0.2; printf 'answer=42\\n' >\"$WEIR_OUTPUT\"";
    let run = stage.run(&one_job(&stage, "", script), &[]);
    assert_eq!(state(&run), ("succeeded", "succeeded"), "{run:#}");
    assert_eq!(run["tasks"][0]["outputs"]["answer"], "42");
    assert_eq!(log(&stage, &[]).out, "before\n");
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are_in_a_log() {
    let stage = Stage::new();
    let flow = one_job(&stage, "", "printf 'a\\000b\\377\\376c\\n'; printf 'no end'");
    let run = stage.run(&flow, &[]);
    assert_eq!(state(&run), ("succeeded", "succeeded"), "{run:#}");
    let output = stage.command(&["logs", "1", "a"]).output().expect("started");
    assert!(output.stdout.starts_with(b"a\0b\xff\xfec\nno end"), "{:?}", output.stdout);
    stage.verify();
}

#[test]
fn an_output_that_is_no_text_fails_the_job_that_made_it() {
    let stage = Stage::new();
    let flow = one_job(&stage, "", "printf 'x=\\377\\376\\n' >\"$WEIR_OUTPUT\"");
    let run = stage.run(&flow, &[]);
    assert_eq!(state(&run), ("failed", "failed"), "{run:#}");
    assert_eq!(run["tasks"][0]["attempts"][0]["error_class"], "output", "{run:#}");
    // NUL is text, if an odd one.
    let flow = one_job(&stage, "", "printf 'x=a\\000b\\n' >\"$WEIR_OUTPUT\"");
    assert_eq!(stage.run(&flow, &[])["tasks"][0]["outputs"]["x"], "a\0b");
    assert_eq!(stage.weir(&["show", "2"]).code, 0);
    stage.verify();
}

#[test]
fn a_job_that_fills_its_disk_fails_and_nothing_else_does() {
    let stage = Stage::new();
    let small = stage.small_disk("disk", MIB);
    let script = format!("head -c 8M /dev/zero >{}/file", small.path().display());
    let run = stage.run(&one_job(&stage, "", &script), &[]);
    assert_eq!(state(&run), ("failed", "failed"), "{run:#}");
    assert_eq!(run["tasks"][0]["attempts"][0]["error_class"], "exit");
    assert!(log(&stage, &[]).out.contains("No space left"), "{}", log(&stage, &[]).out);
    stage.verify();
}

#[test]
fn a_span_of_time_may_be_filled_in() {
    let stage = Stage::new();
    let flow = stage.flow(
        "spans",
        "params: { n: { type: string, default: '20' } }
jobs:
  a: { uses: wait, with: { for: '{{ params.n }}ms' } }
  b: { needs: [a], uses: wait, with: { file: { path: nowhere }, within: '{{ params.n }}ms', every: 5ms } }
",
    );
    let file = flow.to_str().expect("plain");
    let checked = stage.weir(&["check", file]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let run = stage.run(&flow, &[]);
    assert_eq!(states(&run), "a succeeded, b timed-out", "{run:#}");
    let run = stage.run(&flow, &["-p", "n=soon"]);
    let attempt = &run["tasks"][0]["attempts"][0];
    assert_eq!(attempt["error_class"], "definition", "{run:#}");
    let message = attempt["message"].as_str().unwrap_or_default();
    assert!(message.contains("soonms"), "{message}");
    stage.verify();
}
