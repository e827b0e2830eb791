//! Who reads what Weir prints may have seen enough at any time.

use std::process::Stdio;

use weir_tests::Stage;

/// How a command ends whose output nobody reads: its code, and what it complained of.
fn unread(stage: &Stage, args: &[&str]) -> (i32, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe is made");
    drop(reader);
    let mut command = stage.command(args);
    command.stdout(writer).stderr(Stdio::piped());
    let output = command.output().expect("weir can be started");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn no_command_minds_that_nobody_reads_its_output() {
    let stage = Stage::new();
    let job = "jobs: { a: { uses: command, with: { script: 'echo hello; exit CODE' } } }";
    let good = stage.flow("good", &job.replace("CODE", "0"));
    let bad = stage.flow("bad", &job.replace("CODE", "1"));
    let (good, bad) = (good.to_str().expect("plain"), bad.to_str().expect("plain"));
    let log = stage.write("a.log", "start: Job is already running: mesos\n");
    let log = log.to_str().expect("plain");
    stage.run(good.as_ref(), &[]);
    assert_eq!(stage.weir_reads(&["secret", "set", "word"], "long enough").code, 0);
    let backup = stage.path().join("backup");
    let backup = backup.to_str().expect("plain");
    let commands: &[(&[&str], i32)] = &[
        (&["--help"], 0),
        (&["--version"], 0),
        (&["run", good], 0),
        (&["run", good, "--json"], 0),
        (&["run", bad, "--json"], 1),
        (&["run", good, "--detach"], 0),
        (&["check", good], 0),
        (&["plan", good], 0),
        (&["graph", good], 0),
        (&["schema"], 0),
        (&["schema", "command"], 0),
        (&["types"], 0),
        (&["runs"], 0),
        (&["runs", "--json"], 0),
        (&["show", "1"], 0),
        (&["show", "1", "--json"], 0),
        (&["show", "1", "--watch", "--json"], 0),
        (&["logs", "1"], 0),
        (&["logs", "1", "a"], 0),
        (&["logs", "1", "a", "--follow"], 0),
        (&["events", "1"], 0),
        (&["events", "1", "--json", "--follow"], 0),
        (&["rerun", "1", "--all", "--preview"], 0),
        (&["rerun", "1", "--all", "--json"], 0),
        (&["diagnose", log], 0),
        (&["diagnose", "1"], 0),
        (&["catalogue"], 0),
        (&["catalogue", "SYS-02"], 0),
        (&["secret", "list"], 0),
        (&["doctor"], 0),
        (&["verify"], 0),
        (&["backup", backup], 0),
        (&["completions", "bash"], 0),
    ];
    for (args, code) in commands {
        let (ended, complaints) = unread(&stage, args);
        assert_eq!(ended, *code, "{args:?}: {complaints}");
        assert!(
            !complaints.contains("panic") && !complaints.contains("pipe"),
            "{args:?}: {complaints}"
        );
    }
}
