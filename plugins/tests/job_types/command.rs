//! `command` and `checklist`: real processes.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_core::flow::Limits;
use weir_core::job_type::{Handle, JobType, PlanContext};
use weir_plugins::{Checklist, Command};

use crate::stage::Stage;

/// Each of these settings in an attempt of its own, and what came of it.
async fn table(job_type: &dyn JobType, settings: impl IntoIterator<Item = Value>) -> String {
    let mut told = String::new();
    for with in settings {
        let stage = Stage::with_secret("token", "s3cret-value");
        let outcome = stage.play(job_type, &with).await;
        told += &[&with.to_string(), "\n  ", &outcome.replace('\n', "\n  "), "\n"].concat();
    }
    told
}

#[tokio::test]
async fn command_ends_as_its_process_does() {
    let long = format!("# {}\necho long=$((40 + 2)) >\"$WEIR_OUTPUT\"", "x".repeat(200 << 10));
    let told = table(
        &Command,
        [
            json!({ "script": "true" }),
            json!({ "script": "exit 3" }),
            json!({ "script": "exit 3", "success-codes": [0, 3] }),
            json!({ "script": "exit 3", "success-codes": 3 }),
            json!({ "script": "false; echo not reached >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo $missing" }),
            json!({ "script": "no-such-program" }),
            json!({ "script": "kill -9 $$" }),
            json!({ "script": "sh -c 'kill -11 $$'" }),
            json!({ "script": "echo \"$0 $#\" >&2; echo where=$PWD >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "printf 'n=1\\ntext<<.\\none\\ntwo\\n.\\n' >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo '{\"n\": 1, \"list\": [1, 2]}' >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo '{=1' >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo '{=1' >\"$WEIR_OUTPUT\"", "output-format": "lines" }),
            json!({ "script": "echo '[1]' >\"$WEIR_OUTPUT\"", "output-format": "json" }),
            json!({ "script": "echo hello >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo hello >\"$WEIR_OUTPUT\"; exit 4" }),
            json!({ "script": "printf 'a=\\377' >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "head -c 1048577 /dev/zero >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "mkfifo \"$WEIR_OUTPUT\"" }),
            json!({ "script": "mkdir \"$WEIR_OUTPUT\"" }),
            json!({ "script": "ln -s /etc/passwd \"$WEIR_OUTPUT\"" }),
            json!({ "script": "echo token=s3cret-value >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "printf 's3cret-%s' value | base64 | sed 's/^/b=/' >\"$WEIR_OUTPUT\"" }),
            json!({ "script": "import os\nopen(os.environ['WEIR_OUTPUT'], 'w').write('by=python')", "interpreter": ["python3"] }),
            json!({ "script": "false | true; echo reached=yes >\"$WEIR_OUTPUT\"", "interpreter": "bash -euo pipefail" }),
            json!({ "script": "true", "interpreter": "/no/such/thing -x" }),
            json!({ "argv": ["sh", "-c", "echo \"$0=$1\" >\"$WEIR_OUTPUT\"", "n", 42] }),
            json!({ "argv": ["echo", "s3cret-value"] }),
            json!({ "argv": ["printf", "czNjcmV0LXZhbHVl"] }),
            json!({ "argv": ["a\0b"] }),
            json!({ "argv": [""] }),
            json!({}),
            json!({ "script": "true", "argv": ["true"] }),
            json!({ "argv": ["true"], "interpreter": "sh" }),
            json!({ "argv": [] }),
            json!({ "script": " " }),
            json!({ "script": "true", "interpreter": "" }),
            json!({ "script": "true", "success-codes": [0, 256] }),
            json!({ "scirpt": "true" }),
        ],
    )
    .await;
    insta::assert_snapshot!("command", told);
    let stage = Stage::new();
    assert_eq!(
        stage.play(&Command, &json!({ "script": long })).await,
        r#"done with 0 {"long":"42"}"#
    );
}

#[tokio::test]
async fn a_secret_reaches_the_script_but_never_its_arguments() {
    let stage = Stage::with_secret("token", "s3cret-value");
    let with = json!({ "script": "t='s3cret-value'\necho length=${#t} >\"$WEIR_OUTPUT\"" });
    assert_eq!(stage.play(&Command, &with).await, r#"done with 0 {"length":"12"}"#);
    assert_eq!(stage.processes.argv(0), ["/bin/sh", "-eu", "/proc/self/fd/3"]);

    let stage = Stage::with_secret("token", "s3cret-value");
    let with = json!({ "script": "echo token=s3cret-value >\"$WEIR_OUTPUT\"; exit 9" });
    assert_eq!(stage.play(&Command, &with).await, "failed with 9, exit: ended with code 9");
    assert!(!stage.cx.folder.join("output").exists(), "a secret must not stay in a file");
}

#[tokio::test]
async fn a_command_knows_who_it_is() {
    let mut stage = Stage::new();
    stage.attempt(2);
    stage.cx.env = vec![
        ("NAME".to_owned(), "a value".to_owned()),
        ("WEIR_RUN".to_owned(), "forged".to_owned()),
    ];
    let told = stage
        .play(
            &Command,
            &json!({ "script": "env | grep -E '^(WEIR_|NAME|PATH)' | sort >\"$WEIR_OUTPUT\"" }),
        )
        .await;
    insta::assert_snapshot!(told.replace(r#"",""#, "\"\n\""), @r#"
    done with 0 {"NAME":"a value"
    "PATH":"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    "WEIR_ATTEMPT_NUMBER":"2"
    "WEIR_FLOW":"demo"
    "WEIR_JOB":"group/job[0]"
    "WEIR_OUTPUT":"HOME/attempt-2/output"
    "WEIR_PROJECT":"tap"
    "WEIR_RUN":"7"}
    "#);
}

#[tokio::test]
async fn limits_are_named_when_they_kill() {
    let mut stage = Stage::new();
    stage.cx.limits = Limits {
        memory: Some(96 << 20),
        cpu_time: Some(2),
        file_size: Some(1536),
        ..Limits::default()
    };
    let mut told = Vec::new();
    for (number, signal) in [9, 24, 25, 11].into_iter().enumerate() {
        stage.attempt(number as u32 + 1);
        told.push(stage.play(&Command, &json!({ "script": format!("kill -{signal} $$") })).await);
    }
    stage.attempt(9);
    told.push(stage.play(&Command, &json!({ "script": "sh -c 'kill -9 $$'; true" })).await);
    insta::assert_snapshot!(told.join("\n"), @r#"
    failed by 9, exit: ended by SIGKILL (9), perhaps by the kernel for want of memory (limit 96 MiB)
    failed by 24, exit: ended by SIGXCPU (24): the limit of 2 s of processor time
    failed by 25, exit: ended by SIGXFSZ (25): the limit of 1.5 KiB for a file
    failed by 11, exit: ended by SIGSEGV (11), perhaps for want of memory (limit 96 MiB)
    failed with 137, exit: ended with code 137: a program was ended by SIGKILL (9), perhaps by the kernel for want of memory (limit 96 MiB)
    "#);
}

#[tokio::test]
async fn a_command_is_found_again_and_never_started_twice() {
    let stage = Stage::new();
    let with = json!({ "script": "echo ran >>ran; echo n=1 >\"$WEIR_OUTPUT\"" });
    let first = Command.start(&with, &stage.cx).await.expect("it starts");
    let again = Command.start(&with, &stage.cx).await.expect("it is found");
    assert_eq!(first, again);
    assert_eq!(stage.follow(&Command, &again, &with).await, r#"done with 0 {"n":"1"}"#);
    stage.processes.forget();
    assert_eq!(stage.follow(&Command, &again, &with).await, r#"done with 0 {"n":"1"}"#);
    assert_eq!(fs::read_to_string(stage.cx.working_dir.join("ran")).expect("it ran"), "ran\n");
    fs::remove_file(stage.cx.folder.join("exit")).expect("it has ended");
    assert_eq!(
        stage.follow(&Command, &again, &with).await,
        "failed, lost: nobody saw how it ended; nothing of it is left running"
    );
}

#[tokio::test]
async fn a_cancelled_command_has_ended_or_never_begins() {
    let stage = Stage::new();
    let with = json!({ "script": "echo begun; exec sleep 1000" });
    let handle = Command.start(&with, &stage.cx).await.expect("it starts");
    Command.cancel(Some(&handle), &with, &stage.cx).await.expect("it ends");
    assert_eq!(
        stage.follow(&Command, &handle, &with).await,
        "failed by 15, exit: ended by SIGTERM (15)"
    );

    let stage = Stage::new();
    Command.cancel(None, &with, &stage.cx).await.expect("nothing is to be ended");
    let handle = Command.start(&with, &stage.cx).await.expect("the folder is there");
    assert_eq!(stage.follow(&Command, &handle, &with).await, "cancelled");
    assert!(stage.processes.launched.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_plan_shows_what_would_run() {
    let cx = PlanContext {
        path: "job".to_owned(),
        working_dir: "/srv".into(),
        env: Vec::new(),
        host: None,
    };
    let mut told = Vec::new();
    for (job_type, with) in [
        (&Command as &dyn JobType, json!({ "script": "one\n  two\n\n", "interpreter": "bash -e" })),
        (&Command, json!({ "argv": ["printf", "%s\n", "it's", ""] })),
        (&Checklist, json!({ "checks": [{ "name": "cores", "script": "nproc", "required": 2 }] })),
    ] {
        let plan = job_type.plan(&with, &cx).await.expect("it can be told");
        told.extend(plan.steps);
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    run with bash -e in /srv:
      one
        two
    run in /srv: printf $'%s\n' 'it'\''s' ''
    measure:
      cores: >= 2
    "#);
}

#[tokio::test]
async fn a_checklist_tells_what_it_measured() {
    let check = |check: Value| json!({ "checks": [check] });
    let told = table(
        &Checklist,
        [
            json!({ "checks": [
                { "name": "cores", "script": "echo 8", "required": 4 },
                { "name": "memory", "script": "echo 15.5 GiB", "required": 16, "unit": "GiB", "severity": "should" },
                { "name": "swappiness", "value": 60, "required": 10, "compare": "<=", "severity": "should", "help": "sysctl vm.swappiness=10" },
                { "name": "java", "script": "echo '1.8.0_292'", "required": "1\\.8\\..*", "compare": "matches" },
                { "name": "zone", "value": "a", "required": "a" },
                { "name": "tool", "script": "echo /bin/sh" },
            ] }),
            json!({ "checks": [
                { "name": "soft", "value": 1, "required": 2, "severity": "should" },
                { "name": "missing", "script": "command -v no-such-tool", "help": "apt-get install it" },
                { "name": "text", "script": "echo many", "required": 3 },
            ] }),
            check(json!({ "name": "n", "value": "10", "required": "9", "compare": ">=" })),
            check(json!({ "name": "n", "value": "10", "required": 10.0, "compare": "==" })),
            check(json!({ "name": "n", "value": "abc", "required": "b", "compare": "matches" })),
            check(json!({ "name": "on", "value": true })),
            check(json!({ "name": "on", "value": false })),
            check(json!({ "name": "on", "value": "" })),
            check(json!({ "name": "leak", "script": "echo s3cret-value" })),
            check(json!({ "name": "leak", "value": "s3cret-value" })),
            check(json!({ "name": "told", "script": "t='s3cret-value'; echo ${#t}", "required": 12 })),
            check(json!({ "name": "n" })),
            check(json!({ "name": "n", "value": 1, "script": "true" })),
            check(json!({ "name": "n", "value": 1, "compare": "==" })),
            check(json!({ "name": "n", "value": 1, "required": "many", "compare": ">=" })),
            check(json!({ "name": "n", "value": 1, "required": "(", "compare": "matches" })),
            json!({ "checks": [{ "name": "n", "value": 1 }, { "name": "n", "value": 2 }] }),
            json!({ "checks": [] }),
        ],
    )
    .await;
    insta::assert_snapshot!("checklist", told);
}

#[tokio::test]
async fn a_checklist_goes_on_where_it_stood() {
    let stage = Arc::new(Stage::new());
    let with = json!({ "checks": [
        { "name": "first", "script": "echo ran >>ran; echo 1" },
        { "name": "second", "script": "echo begun >begun; exec sleep 1000" },
        { "name": "third", "script": "echo ran >>ran" },
    ] });
    let handle = Checklist.start(&with, &stage.cx).await.expect("it starts");
    let follow = tokio::spawn({
        let (stage, with, handle) = (stage.clone(), with.clone(), handle.clone());
        async move { stage.follow(&Checklist, &handle, &with).await }
    });
    // The second check is under way once it has written its file.
    while !stage.cx.working_dir.join("begun").exists() {
        tokio::task::yield_now().await;
    }
    follow.abort();
    Checklist.cancel(Some(&handle), &with, &stage.cx).await.expect("it ends");
    let told = stage.follow(&Checklist, &Handle::folder(), &with).await;
    assert_eq!(told, "cancelled");
    assert_eq!(fs::read_to_string(stage.cx.working_dir.join("ran")).expect("it ran"), "ran\n");
}
