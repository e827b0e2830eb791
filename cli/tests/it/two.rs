//! Two processes on one home.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::Signal;
use weir_engine::home::{Home, HomeLock};

use crate::stage::Stage;

const WAITS: &str = "jobs:\n  work: { uses: command, with: { script: 'echo begun; until [ -e go ]; do sleep 0.05; done; echo done' } }\n";

#[test]
fn commands_go_to_the_server() {
    let stage = Stage::with("waits", WAITS);
    let mut server = stage.start("serve --no-web");
    server.wait_for("serving");
    let mut run = stage.start("run waits.flow.yaml");
    stage.begun(&mut run);
    assert_eq!(stage.show(1)["state"], "running");
    assert_snapshot!("served_already", stage.weir("serve").told());
    stage.file("go", "");
    assert_eq!(run.end().code, Some(0));
    server.signal(Signal::TERM);
    let said = server.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.ends_with("stopped; no run is unfinished\n"), "{said:?}");
}

#[test]
fn a_socket_that_nobody_answers_at_is_no_server() {
    let stage = Stage::with("waits", WAITS);
    let home = Home::open(&stage.home()).expect("a home can be made");
    let socket = UnixListener::bind(home.socket()).expect("a socket can be made");
    // As left by an engine that was killed while it began a process: open for a moment, and then closed.
    let dead = thread::spawn(move || drop(socket.accept().expect("the new one knocks")));
    let mut server = stage.start("serve --no-web");
    server.wait_for("serving");
    dead.join().expect("it has closed the socket");
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn a_server_that_stops_says_what_it_leaves_and_the_next_takes_it_up() {
    let stage = Stage::with("waits", WAITS);
    let mut server = stage.start("serve --no-web");
    server.wait_for("serving");
    assert_eq!(stage.weir("run waits.flow.yaml --detach -q").out, "1\n");
    let mut watch = stage.start("show 1 --watch");
    watch.wait_for("work: running");
    server.signal(Signal::INT);
    assert!(server.end().err.contains("unfinished runs, taken up by the next engine: 1 (running)"));
    // The watcher takes the run up itself.
    stage.file("go", "");
    let said = watch.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.show(1)["tasks"][0]["attempts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_run_in_another_terminal_can_be_cancelled() {
    let stage = Stage::with("waits", WAITS);
    let mut run = stage.start("run waits.flow.yaml");
    stage.begun(&mut run);
    assert_eq!(stage.weir("cancel 1 -q").code, Some(0));
    assert_eq!(run.end().code, Some(3));
}

#[test]
fn a_detached_run_goes_on_without_a_server() {
    let stage = Stage::with("waits", WAITS);
    let said = stage.weir("run waits.flow.yaml --detach");
    assert_snapshot!("detached", said.told());
    stage.file("go", "");
    assert_eq!(stage.weir("show 1 --watch -q").code, Some(0));
}

#[test]
fn logs_are_followed_until_the_attempt_ends() {
    let stage = Stage::with("waits", WAITS);
    let mut run = stage.start("run waits.flow.yaml");
    stage.begun(&mut run);
    let mut follower =
        stage.command("logs 1 work -f").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("it was asked for"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("text");
    assert_eq!(line, "begun\n");
    let since = Instant::now();
    stage.file("go", "");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "done\n");
    assert!(follower.wait().expect("it ends").success());
    // The job itself looks every 50 ms.
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn all_logs_of_a_run_are_followed() {
    let stage = Stage::with(
        "waits",
        &format!(
            "{WAITS}  last: {{ needs: [work], uses: command, with: {{ script: 'printf no-newline' }} }}\n"
        ),
    );
    let mut run = stage.start("run waits.flow.yaml");
    stage.begun(&mut run);
    let follower = stage.command("logs 1 -f").stdout(Stdio::piped()).spawn().expect("it starts");
    stage.file("go", "");
    let output = follower.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    if !text.contains("last |") {
        // The run may have ended before the follower came: then all logs are printed as they are.
        assert!(text.contains("==> last, attempt 1 <=="), "{text}");
    }
    assert!(
        text.contains("begun") && text.contains("done") && text.contains("no-newline"),
        "{text}"
    );
    run.end();
}

#[test]
fn who_holds_a_home_and_does_not_answer_is_named() {
    let stage = Stage::new();
    let home = Home::open(&stage.home()).expect("a home");
    let _lock = HomeLock::take(&home, "weir something").expect("nobody has it");
    let said = stage.weir("runs");
    assert_eq!(said.code, Some(1));
    assert_snapshot!("held", said.told());
}

#[test]
fn looking_takes_up_no_run() {
    let stage = Stage::with("waits", WAITS);
    let mut run = stage.start("run waits.flow.yaml");
    stage.begun(&mut run).signal(Signal::KILL);
    run.end();
    stage.file("go", "");
    for args in ["show 1 --json", "runs", "events 1", "logs 1 work", "verify"] {
        assert_eq!(stage.weir(args).code, Some(0), "{args}");
    }
    assert_eq!(stage.show(1)["state"], "running");
    let said = stage.weir("show 1 --watch");
    assert_eq!(said.code, Some(0), "{said:?}");
    let attempts = stage.show(1)["tasks"][0]["attempts"].as_array().map(Vec::len);
    assert_eq!(attempts, Some(1), "the job ran once");
}
