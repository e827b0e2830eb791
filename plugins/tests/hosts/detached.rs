//! Work that goes on on its host whatever happens here: begun once, found again, ended whole.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_core::hosts::{Become, Route};
use weir_core::ids::TaskIx;
use weir_core::job_type::{Handle, JobType};
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;
use weir_plugins::{Pool, Ssh, SshBounds};

use crate::machine::{PASSWORD, run, secret};
use crate::scene::{Scene, until};
use crate::stage::in_words;

#[tokio::test]
async fn a_script_runs_with_all_that_it_is_given() {
    let mut scene = Scene::new();
    scene.stage.cx.env = vec![("FROM_JOB".into(), "it's \"here\"\nand there".into())];
    let script = "echo \"$FROM_JOB $MORE\"; pwd; cat; echo run=$WEIR_RUN >>\"$WEIR_OUTPUT\"; echo to stderr >&2\n\
                  umask; id -un; printf 'no newline'";
    let with = json!({"hosts": "all", "script": script, "env": {"MORE": 7}, "stdin": "some input\n", "dir": "/usr/share"});
    assert_eq!(scene.play(&with).await, r#"done with 0 {"run":"7"}"#);
    let expected =
        "it's \"here\"\nand there 7\n/usr/share\nsome input\nto stderr\n0022\nubuntu\nno newline";
    assert_eq!(scene.text(), expected);
    for (number, with, told, log) in [
        (2, json!({"command": ["printf", "%s|", "a b", "c'd", 7]}), "done with 0 {}", "a b|c'd|7|"),
        (3, json!({"script": "exit 3"}), "failed with 3, exit: ended with code 3", ""),
        (4, json!({"script": "exit 3", "success-codes": [0, 3]}), "done with 3 {}", ""),
        (
            5,
            json!({"script": "false; echo not reached"}),
            "failed with 1, exit: ended with code 1",
            "",
        ),
        (
            6,
            json!({"script": "kill -9 $$"}),
            "failed with 137, exit: ended with code 137: a program was ended by SIGKILL (9), perhaps by the kernel for want of memory",
            "",
        ),
        (7, json!({"script": "id -un", "become": "root"}), "done with 0 {}", "root\n"),
        (
            8,
            json!({"script": "import sys; print(sys.version_info[0])", "interpreter": "python3 -I"}),
            "done with 0 {}",
            "3\n",
        ),
        (
            9,
            json!({"script": "cd /nowhere", "dir": "/no/such"}),
            "failed with 125, exit: ended with code 125",
            "./run: 24: cd: can't cd to /no/such\n",
        ),
        (
            10,
            json!({"script": "echo '{\"a\": [1]}' >$WEIR_OUTPUT"}),
            r#"done with 0 {"a":[1]}"#,
            "",
        ),
        (
            12,
            json!({"script": format!("wc -c; {} echo long", ": a comment;\n".repeat(10_000)), "stdin": "1234"}),
            "done with 0 {}",
            "4\nlong\n",
        ),
        (11, json!({"script": "mkfifo \"$WEIR_OUTPUT\""}), "done with 0 {}", ""),
    ] {
        scene.stage.attempt(number);
        assert_eq!(scene.play(&with).await, told, "{with}");
        if number == 9 {
            assert!(scene.text().ends_with("can't cd to /no/such\n"), "{}", scene.text());
        } else {
            assert_eq!(scene.text(), log, "{with}");
        }
    }
    scene.stage.attempt(13);
    assert_eq!(
        scene.play(&json!({"script": "x", "command": ["y"], "env": {"a-b": 1}})).await,
        "wrong at `/command`: `script` and `command` can't both be run\n  help: keep one of them, or make two jobs\n\
         wrong at `/env`: `a-b` can't be a variable\n  help: a name is a letter or `_`, then letters, digits and `_`"
    );
    scene.stage.cx.host = None;
    assert!(
        scene
            .play(&json!({"script": "x"}))
            .await
            .starts_with("not begun, definition: no host was chosen")
    );
}

#[tokio::test]
async fn another_user_may_need_a_password_and_a_wrong_one_is_told_soon() {
    let mut scene = Scene::new();
    let mut hop = scene.route.hops[0].clone();
    hop.user = Some("vcap".into());
    let by = |password: &str| {
        let become_user = Become { user: "root".into(), password: Some(secret(password)) };
        Some(Arc::new(Route {
            hops: vec![hop.clone()],
            become_user: Some(become_user),
            ..scene.route.clone()
        }))
    };
    let (right, wrong) = (by(PASSWORD), by("hunter22"));
    scene.stage.cx.host = right;
    assert_eq!(scene.play(&json!({"script": "id -un"})).await, "done with 0 {}");
    assert_eq!(scene.text(), "root\n");
    scene.stage.attempt(2);
    assert_eq!(scene.play(&json!({"script": "id -un", "become": false})).await, "done with 0 {}");
    assert_eq!(scene.text(), "vcap\n");
    scene.stage.attempt(3);
    scene.stage.cx.host = wrong;
    let told = scene.play(&json!({"script": "id -un"})).await;
    assert!(told.starts_with("not begun, refused: host nginx ("), "{told}");
    assert!(told.contains("does not take the password"), "{told}");
}

#[tokio::test]
async fn a_secret_is_seen_nowhere() {
    let mut scene = Scene::new();
    scene.stage.cx.secrets = Arc::new([Secret::new("pw", "hunter22-and-more")]);
    scene.stage.cx.env = vec![("TOKEN".into(), "hunter22-and-more".into())];
    let script = "echo 'pw hunter22-and-more' \"$TOKEN\"; printf 'hunter22-'; touch begun; \
                  until [ -e go ]; do sleep 0.05; done; printf 'and-more\\n'";
    let with = json!({"script": script});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    until("it runs", || scene.home("begun").exists()).await;
    let seen = scene.machine.inside(
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cd ~ubuntu/.weir/attempts/*; find . -type f ! -name log -exec cat {} +",
    );
    assert!(!seen.contains("hunter22") && seen.contains("/proc/self/fd/3"), "{seen}");
    assert!(!handle.0.contains("hunter22"));
    fs::write(scene.home("go"), "").expect("writes");
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!(told, "done with 0 {}");
    assert_eq!(scene.text(), "pw *** ***\n***\n");
    // Afterwards there is a tombstone and nothing else, and sshd's log tells nothing.
    let left =
        scene.machine.inside("cd ~ubuntu/.weir/attempts/*; find . -type f -size +0; ls fenced");
    assert_eq!(left, "fenced\n");
    assert!(!scene.machine.log().contains("hunter22"));
    let told = {
        scene.stage.attempt(2);
        scene.play(&json!({"command": ["echo", "hunter22-and-more"]})).await
    };
    assert!(told.starts_with("not begun, definition: argument 1 holds the secret `pw`"), "{told}");
    scene.stage.attempt(3);
    let told = scene.play(&json!({"script": "echo a=$TOKEN >$WEIR_OUTPUT"})).await;
    assert!(told.contains("the output file holds the secret `pw`"), "{told}");
}

#[tokio::test]
async fn begun_twice_it_runs_once_and_a_new_engine_finds_it() {
    let scene = Scene::new();
    let with = json!({"script": "echo once >>~/count; until [ -e ~/go ]; do sleep 0.02; done; echo done; exit 4"});
    let first = scene.ssh();
    let handle = first.start(&with, scene.cx()).await.expect("it begins");
    let again = scene.ssh();
    let same = again.start(&with, scene.cx()).await.expect("it is found");
    assert_eq!(handle, same);
    drop(first);
    fs::write(scene.home("go"), "").expect("writes");
    // It ends while nobody watches.
    until("its end", || {
        scene.machine.inside("cat ~ubuntu/.weir/attempts/*/exit 2>/dev/null || true") == "code 4\n"
    })
    .await;
    let (told, _) = scene.follow(&scene.ssh(), &handle, &with).await;
    assert_eq!(told, "failed with 4, exit: ended with code 4");
    assert_eq!(scene.text(), "done\n");
    // Its end had been told, and the engine was killed before it could write that down.
    let (told, _) = scene.follow(&scene.ssh(), &handle, &with).await;
    assert_eq!(told, "failed with 4, exit: ended with code 4");
    assert_eq!(
        scene.ssh().start(&with, scene.cx()).await.expect("nothing begins"),
        Handle(handle.0.replace(&boot(&handle), ""))
    );
    assert_eq!(fs::read_to_string(scene.home("count")).expect("it ran"), "once\n");
    assert_eq!(scene.text(), "done\n");
}

fn boot(handle: &Handle) -> String {
    let handle: Value = serde_json::from_str(&handle.0).expect("JSON");
    handle["boot"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn fifty_megabytes_come_whole_over_a_line_that_is_cut_again_and_again() {
    let scene = Scene::new();
    let with = json!({"script": "seq 1 6500000"});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let expected = run(std::process::Command::new("sh").args(["-c", "seq 1 6500000 | sha256sum"]));
    let mut cuts = 0;
    let mut unreached = 0;
    let told = loop {
        // Ever further on, so that it gets done.
        scene.relay.cut_after_back(2_000_000 + 3_000_000 * cuts);
        match ssh.follow(&handle, &with, scene.cx()).await {
            Ok(outcome) => break in_words(&outcome),
            Err(error) => {
                assert_eq!(error.class, ErrorClass::Connection, "{}", error.message);
                unreached += 1;
                cuts += 1;
                assert!(cuts < 20);
            }
        }
    };
    assert_eq!(told, "done with 0 {}");
    assert!(unreached >= 3 && scene.relay.cuts() >= 3, "{unreached}");
    let log = scene.cx().folder.join("log");
    assert!(fs::metadata(&log).expect("a log").len() > 50_000_000);
    let found = run(std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("sha256sum <{}", log.display())));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_nobody_fetches_takes_no_more_room_on_the_host_than_a_log_may() {
    const LIMIT: u64 = 1 << 20;
    let mut scene = Scene::new();
    scene.stage.cx.limits.log_size = Some(LIMIT);
    let script = "echo begin; until [ -e ~/cut ]; do sleep 0.02; done; seq 1 1000000; touch ~/written\n\
                  until [ -e ~/go ]; do sleep 0.02; done; echo end";
    let with = json!({"script": script});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let there = fs::read_dir(scene.home(".weir/attempts")).expect("it has begun").flatten();
    let there = there.last().expect("it is the only one").path().join("log");
    let fault = async {
        until("its first line", || scene.text() == "begin\n").await;
        scene.relay.down();
        until("it is missed", || scene.unreached.load(Ordering::SeqCst) > 0).await;
        fs::write(scene.home("cut"), "").expect("writes");
        until("all is written", || scene.home("written").exists()).await;
        until("there is room again", || {
            fs::metadata(&there)
                .is_ok_and(|log| std::os::unix::fs::MetadataExt::blocks(&log) * 512 <= LIMIT)
        })
        .await;
        scene.relay.up();
        fs::write(scene.home("go"), "").expect("writes");
    };
    let ((told, _), ()) = tokio::join!(scene.follow(&ssh, &handle, &with), fault);
    assert_eq!(told, "done with 0 {}");
    let text = scene.text();
    let (begin, rest) = text.split_once("\n[weir: ").expect("it is said");
    let (missing, rest) = rest.split_once(" bytes are missing here: ").expect("it is said");
    let (_, rest) = rest.split_once("]\n").expect("it is said");
    assert_eq!(begin, "begin\n");
    let whole = run(std::process::Command::new("seq").arg("1000000")) + "end\n";
    assert!(whole.ends_with(rest) && rest.len() as u64 > LIMIT / 2, "{} bytes", rest.len());
    let missing: usize = missing.parse().expect("a number");
    assert_eq!(missing + rest.len(), whole.len());
    // Whoever has bounded it goes with it.
    until("no guard", || !scene.processes().contains("weir:ready")).await;
}

#[tokio::test]
async fn the_answer_to_a_launch_may_be_lost() {
    let scene = Scene::new();
    let with = json!({"script": "wc -c; echo once >>~/count", "stdin": "x".repeat(400_000)});
    // All of it arrives, and no answer comes back.
    let ssh = scene.ssh();
    scene.relay.swallow_after(300_000);
    let (started, ()) = tokio::join!(ssh.start(&with, scene.cx()), async {
        until("it runs", || scene.home("count").exists()).await;
        scene.relay.swallow_after(u64::MAX);
        scene.relay.cut();
    });
    let handle = started.expect("it may have begun");
    assert_eq!(boot(&handle), "");
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!((told.as_str(), scene.text().as_str()), ("done with 0 {}", "400000\n"));
    assert_eq!(fs::read_to_string(scene.home("count")).expect("it ran"), "once\n");
}

#[tokio::test]
async fn a_launch_that_never_arrived_is_made_up_for() {
    let scene = Scene::new();
    let with = json!({"script": "wc -c; echo once >>~/count", "stdin": "x".repeat(400_000)});
    let ssh = scene.ssh();
    scene.relay.cut_after(200_000);
    let handle = ssh.start(&with, scene.cx()).await.expect("nobody knows");
    assert_eq!((boot(&handle).as_str(), scene.home("count").exists()), ("", false));
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!((told.as_str(), scene.text().as_str()), ("done with 0 {}", "400000\n"));
    assert_eq!(fs::read_to_string(scene.home("count")).expect("it ran"), "once\n");
}

#[tokio::test]
async fn a_host_that_is_down_has_surely_not_begun_it() {
    let scene = Scene::new();
    scene.relay.down();
    let told = scene.play(&json!({"script": "touch ~/ran"})).await;
    assert!(told.starts_with("not begun, connection: host nginx ("), "{told}");
    scene.relay.up();
    assert_eq!(scene.play(&json!({"script": "touch ~/ran"})).await, "done with 0 {}");
}

#[tokio::test]
async fn cancel_ends_all_of_it_and_forbids_a_later_start() {
    let mut scene = Scene::new();
    // A child, one in a session of its own, one that hears no TERM, and a daemon whose parents have gone.
    let script = "trap '' TERM\nsetsid sh -c 'sleep 1000 & sleep 1001' &\n(setsid sh -c '(sleep 1002 &)' &)\n\
                  sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' &\ntouch ~/begun\necho up\nwhile :; do sleep 0.1; done";
    let with = json!({"script": script});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let follow = async { scene.follow(&ssh, &handle, &with).await };
    let cancel = async {
        until("it runs", || scene.home("begun").exists()).await;
        let since = Instant::now();
        ssh.cancel(Some(&handle), &with, scene.cx()).await.expect("it ends");
        let left = scene.processes();
        assert!(!left.contains("sleep 100") && !left.contains("trap"), "{left}");
        since.elapsed()
    };
    let ((told, _), took) = tokio::join!(follow, cancel);
    assert!(took >= Duration::from_secs(2), "the grace was kept: {took:?}");
    assert_eq!(
        told,
        "failed with 137, exit: ended with code 137: a program was ended by SIGKILL (9), perhaps by the kernel for want of memory"
    );
    // Its shell may tell of children that were killed.
    assert!(scene.text().starts_with("up\n"), "{}", scene.text());
    // Its start again, by an engine that has lost all but the folder, begins nothing.
    fs::remove_file(scene.home("begun")).expect("it was there");
    fs::remove_file(scene.cx().folder.join("remote.end")).expect("it was there");
    let again = scene.ssh();
    let handle = again.start(&with, scene.cx()).await.expect("it is fenced");
    assert_eq!(scene.follow(&again, &handle, &with).await.0, "cancelled");
    // Work whose start nobody saw.
    scene.stage.attempt(2);
    ssh.cancel(None, &with, scene.cx()).await.expect("nothing to end");
    let handle = ssh.start(&with, scene.cx()).await.expect("it is fenced");
    assert_eq!(scene.follow(&ssh, &handle, &with).await.0, "cancelled");
    assert!(!scene.home("begun").exists());
}

#[tokio::test]
async fn cancel_without_a_follower_takes_the_last_words_and_sweeps_up() {
    let scene = Scene::new();
    let with = json!({"script": "trap 'echo bye; exit 9' TERM; touch ~/begun; while :; do sleep 0.05; done"});
    let handle = scene.ssh().start(&with, scene.cx()).await.expect("it begins");
    until("it runs", || scene.home("begun").exists()).await;
    scene.ssh().cancel(Some(&handle), &with, scene.cx()).await.expect("it ends");
    // Its shell may tell of a child that was ended.
    assert!(scene.text().ends_with("bye\n"), "{}", scene.text());
    let left = scene.machine.inside("find ~ubuntu/.weir -type f | sed 's/.*attempts.[^/]*.//'");
    assert_eq!(left, "fenced\n");
}

#[tokio::test]
async fn a_rebooted_host_and_a_killed_leader_are_told_apart() {
    let mut scene = Scene::new();
    let with = json!({"script": "echo up; touch ~/begun; sleep 1000"});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    until("it runs", || scene.home("begun").exists()).await;
    // The process that holds the pipe is killed; what it started would go on.
    scene.machine.inside("read -r b p s <$(echo ~ubuntu/.weir/attempts/*/leader); kill -9 $p");
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!(
        told,
        "failed, lost: what watched it on the host was killed; nothing of it is left running"
    );
    assert!(!scene.processes().contains("sleep 1000"));
    assert_eq!(scene.text(), "up\n");

    scene.stage.attempt(2);
    fs::remove_file(scene.home("begun")).expect("it was there");
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    until("it runs", || scene.home("begun").exists()).await;
    scene.machine.reboot();
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!(told, "failed, lost: the host was rebooted while it ran");
    assert_eq!(scene.text(), "up\n");
}

#[tokio::test]
async fn sshd_may_go_and_come_back() {
    let scene = Scene::new();
    let with = json!({"script": "echo one; touch ~/begun; until [ -e ~/go ]; do sleep 0.02; done; echo two"});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let fault = async {
        until("its log", || scene.text() == "one\n").await;
        scene.machine.stop_sshd();
        fs::write(scene.home("go"), "").expect("writes");
        until("it is missed", || scene.unreached.load(Ordering::SeqCst) > 0).await;
        scene.machine.start_sshd();
    };
    let ((told, unreached), ()) = tokio::join!(scene.follow(&ssh, &handle, &with), fault);
    assert_eq!((told.as_str(), scene.text().as_str()), ("done with 0 {}", "one\ntwo\n"));
    assert!(unreached > 0);
}

#[tokio::test]
async fn a_dead_line_is_noticed_in_four_keep_alives_and_a_second() {
    let scene = Scene::new();
    let with =
        json!({"script": "touch ~/begun; until [ -e ~/go ]; do sleep 0.02; done; echo whole"});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let frozen = async {
        scene.watched().await;
        scene.relay.freeze(true);
        Instant::now()
    };
    let (error, since) = tokio::join!(ssh.follow(&handle, &with, scene.cx()), frozen);
    let (error, took) = (error.expect_err("the line is dead"), since.elapsed());
    assert_eq!(error.class, ErrorClass::Connection);
    assert!(error.message.contains("the line is dead: nothing comes back"), "{}", error.message);
    assert!(took < Duration::from_secs(3), "{took:?}");
    scene.relay.cut();
    scene.relay.freeze(false);
    fs::write(scene.home("go"), "").expect("writes");
    let (told, _) = scene.follow(&ssh, &handle, &with).await;
    assert_eq!((told.as_str(), scene.text().as_str()), ("done with 0 {}", "whole\n"));
    // Whoever watched on the other end has gone, too.
    until("no watcher", || !scene.processes().contains("tail")).await;
}

#[tokio::test]
async fn the_end_is_noticed_at_once() {
    let scene = Scene::new();
    let ssh = scene.ssh();
    let with = json!({"script": "until [ -e ~/go ]; do sleep 0.01; done; date +%s%N >~/ended"});
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let (told, ()) = tokio::join!(ssh.follow(&handle, &with, scene.cx()), async {
        scene.watched().await;
        fs::write(scene.home("go"), "").expect("writes");
    });
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!(in_words(&told.expect("an end")), "done with 0 {}");
    let ended: u128 =
        fs::read_to_string(scene.home("ended")).expect("it ran").trim().parse().expect("a number");
    let late = now.as_nanos().saturating_sub(ended) / 1_000_000;
    assert!(late < 1_000, "{late} ms");
}

#[tokio::test]
async fn a_task_that_ends_while_its_line_is_up_takes_one_command() {
    let mut scene = Scene::new();
    let taken = |scene: &Scene| scene.machine.log().matches("Starting session: command").count();
    let ssh = scene.ssh();
    for (number, script, told, log) in [
        (1, "true", "done with 0 {}", String::new()),
        (2, "echo short; echo n=2 >$WEIR_OUTPUT", r#"done with 0 {"n":"2"}"#, "short\n".into()),
        // Long enough to be followed.
        (
            3,
            "echo one; sleep 0.4; echo two; exit 3",
            "failed with 3, exit: ended with code 3",
            "one\ntwo\n".into(),
        ),
        (
            4,
            "echo one; sleep 0.4; seq 1 300000; echo '{\"a\": [1]}' >$WEIR_OUTPUT",
            r#"done with 0 {"a":[1]}"#,
            format!("one\n{}", run(std::process::Command::new("seq").arg("300000"))),
        ),
        (5, "sleep 0.1", "done with 0 {}", String::new()),
    ] {
        scene.stage.attempt(number);
        let before = taken(&scene);
        assert_eq!(scene.stage.play(&ssh, &json!({"script": script})).await, told, "{script}");
        assert!(scene.text() == log, "{script}: {} bytes", scene.log().len());
        assert_eq!(taken(&scene) - before, 1, "{script}: {}", scene.machine.log());
    }
    // Tombstones stay, and are swept up when they are old.
    let folders =
        || scene.machine.inside("cd ~ubuntu/.weir/attempts; for n in *; do echo \"${n%.*}\"; done");
    assert_eq!(folders(), "7.12.1\n7.12.2\n7.12.3\n7.12.4\n7.12.5\n");
    scene.machine.inside("cd ~ubuntu/.weir/attempts; touch -d '-2 days' 7.12.[1-4].*");
    scene.stage.attempt(6);
    assert_eq!(scene.play(&json!({"script": "true"})).await, "done with 0 {}");
    assert_eq!(folders(), "7.12.5\n7.12.6\n");
}

#[tokio::test]
async fn work_goes_on_when_who_watched_it_goes() {
    let scene = Scene::new();
    let with =
        json!({"script": "touch ~/begun; until [ -e ~/go ]; do sleep 0.02; done; echo whole"});
    let mut begun = None;
    // First who has begun it, then who has found it again. Their connections are closed in order.
    for _ in 0..2 {
        let ssh = scene.ssh();
        let handle = ssh.start(&with, scene.cx()).await.expect("it begins, or is found");
        assert_eq!(begun.get_or_insert(handle.clone()), &handle);
        tokio::select! {
            told = ssh.follow(&handle, &with, scene.cx()) => panic!("it ended: {told:?}"),
            () = scene.watched() => {}
        }
        drop(ssh);
        scene.relay.cut();
        until("no watcher", || !scene.processes().contains("tail")).await;
    }
    // Nobody but the work, what waits for its end, and what bounds its log.
    until("no shell of theirs", || scene.processes().matches("weir:ready").count() == 2).await;
    fs::write(scene.home("go"), "").expect("writes");
    let begun = begun.expect("it was begun");
    let (told, _) = scene.follow(&scene.ssh(), &begun, &with).await;
    assert_eq!((told.as_str(), scene.text().as_str()), ("done with 0 {}", "whole\n"));
}

#[tokio::test]
async fn twenty_tasks_on_one_host_share_its_connections() {
    let scene = Scene::new();
    let pool = Pool::of_user(SshBounds::default(), "ubuntu", scene.keys.dir.path(), None);
    let ssh = Arc::new(Ssh::new(Arc::clone(&pool)));
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let ssh = Arc::clone(&ssh);
            let mut cx = scene.cx().clone();
            cx.id.task = TaskIx(task);
            cx.folder = scene.stage.home.path().join(format!("task-{task}"));
            tokio::spawn(async move {
                let with = json!({"script": "sleep 0.5; echo $WEIR_ATTEMPT"});
                let handle = ssh.start(&with, &cx).await.expect("it begins");
                let outcome = ssh.follow(&handle, &with, &cx).await.expect("it ends");
                (in_words(&outcome), fs::read_to_string(cx.folder.join("log")).expect("a log"))
            })
        })
        .collect();
    let mut logs = Vec::new();
    for task in tasks {
        let (told, log) = task.await.expect("no panic");
        assert_eq!(told, "done with 0 {}");
        logs.push(log);
    }
    logs.sort();
    logs.dedup();
    assert_eq!(logs.len(), 20);
    assert!(pool.open_connections() <= 4, "{}", pool.open_connections());
}

#[tokio::test]
async fn attached_it_runs_on_the_connection_and_is_never_run_again() {
    let mut scene = Scene::new();
    scene.stage.cx.secrets = Arc::new([Secret::new("pw", "hunter22")]);
    let with = json!({"script": "cat; echo hunter22; echo $WEIR_RUN; echo once >>~/count; exit 3", "stdin": "in\n", "attached": true});
    assert_eq!(scene.play(&with).await, "failed with 3, exit: ended with code 3");
    assert_eq!(scene.text(), "in\n***\n7\n");
    assert!(!scene.home(".weir").exists());
    scene.stage.attempt(2);
    let with = json!({"script": "echo up; touch ~/begun; sleep 1000", "attached": true});
    let ssh = scene.ssh();
    let handle = ssh.start(&with, scene.cx()).await.expect("it is noted");
    let ((told, _), ()) = tokio::join!(scene.follow(&ssh, &handle, &with), async {
        until("it runs", || scene.home("begun").exists()).await;
        scene.relay.cut();
    });
    let gone = "failed, lost: the connection that carried it broke; nothing of it is left running";
    assert_eq!(told, gone);
    assert!(!scene.processes().contains("sleep 1000"));
    // Killed in the middle: it is not run again.
    scene.stage.attempt(3);
    let handle = ssh.start(&with, scene.cx()).await.expect("it is noted");
    fs::remove_file(scene.home("begun")).expect("it was there");
    {
        let follow = ssh.follow(&handle, &with, scene.cx());
        tokio::select! {
            told = follow => panic!("it ended: {told:?}"),
            () = until("it runs", || scene.home("begun").exists()) => {}
        }
    }
    fs::remove_file(scene.home("begun")).expect("it was there");
    ssh.cancel(Some(&handle), &with, scene.cx()).await.expect("it ends");
    assert!(!scene.processes().contains("sleep 1000"));
    let (told, _) = scene.follow(&scene.ssh(), &handle, &with).await;
    assert_eq!(told, gone);
    assert!(!scene.home("begun").exists());
}
