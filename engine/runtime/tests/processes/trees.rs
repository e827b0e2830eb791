//! What jobs leave behind, and how a whole tree is ended.

use std::time::Duration;

use weir_core::job_type::ProcessEnd;

use crate::place::{Place, is_alive, is_root, sh, signal};

crate::tests![
    what_stays_in_the_session_is_ended,
    what_ignores_the_end_is_killed,
    a_daemon_is_left_alone_until_it_is_cancelled,
    cancel_ends_the_whole_tree,
    cancel_ends_what_ignores_it,
    cancel_ends_what_is_stopped,
    cancel_lets_work_end_in_its_own_way,
    cancel_twice_the_second_without_grace,
];

/// The number that follows a word in a log.
fn number_after(log: &str, word: &str) -> i32 {
    let rest = &log[log.find(word).expect("the word is there") + word.len()..];
    rest.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number follows")
}

fn what_stays_in_the_session_is_ended() {
    let place = Place::new();
    let id = place.id(1);
    assert_eq!(place.run(&id, sh("sleep 1000 & echo left $!; exit 3")), Ok(ProcessEnd::Exited(3)));
    assert!(!is_alive(number_after(&place.log_text(&id), "left")));

    // In a process group of its own, as shells with job control make them.
    let id = place.id(2);
    assert_eq!(
        place.run(&id, sh("set -m; (sleep 1000 & echo left $!; wait) & sleep 0.2; exit 3")),
        Ok(ProcessEnd::Exited(3))
    );
    assert!(!is_alive(number_after(&place.log_text(&id), "left")));
    place.close();
}

fn what_ignores_the_end_is_killed() {
    let place = Place::new();
    let id = place.id(1);
    let script = "sh -c 'trap \"\" TERM; echo left $$; while :; do sleep 1000; done' & \
                  until grep -q left LOG; do :; done; exit 3";
    let script = script.replace("LOG", &id.folder.join("log").display().to_string());
    assert_eq!(place.run(&id, sh(&script)), Ok(ProcessEnd::Exited(3)));
    assert!(!is_alive(number_after(&place.log_text(&id), "left")));
    place.close();
}

fn a_daemon_is_left_alone_until_it_is_cancelled() {
    let place = Place::new();
    let id = place.id(1);
    let script = "(setsid sh -c 'echo daemon $$; exec sleep 1000' &) ; \
                  until grep -q daemon LOG; do :; done; exit 0";
    let script = script.replace("LOG", &id.folder.join("log").display().to_string());
    assert_eq!(place.run(&id, sh(&script)), Ok(ProcessEnd::Exited(0)));
    let daemon = number_after(&place.log_text(&id), "daemon");
    assert!(is_alive(daemon));
    place.cancel(&id, Duration::from_secs(5));
    assert!(!is_alive(daemon));
    // How it ended stays as it was.
    assert_eq!(place.end(&id), ProcessEnd::Exited(0));
    place.close();
}

fn cancel_ends_the_whole_tree() {
    let place = Place::new();
    let id = place.id(1);
    // A child, a daemon in its own session, and one that carries no mark, known by the log it holds.
    let script = "echo child $$; (setsid sh -c 'echo daemon $$; exec sleep 1000' &); \
                  (env -i setsid sh -c 'echo bare $$; exec sleep 1000' &); \
                  sleep 1000 & wait";
    place.launch(&id, sh(script));
    place.until_log(&id, "daemon");
    let log = place.until_log(&id, "bare");
    let pids = ["child", "daemon", "bare"].map(|word| number_after(&log, word));
    assert!(pids.into_iter().all(is_alive));
    place.cancel(&id, Duration::from_secs(10));
    assert!(!pids[..2].iter().any(|pid| is_alive(*pid)));
    if is_root() {
        assert!(!is_alive(pids[2]));
    }
    assert_eq!(place.end(&id), ProcessEnd::Signalled(15));
    place.close();
}

fn cancel_ends_what_ignores_it() {
    let place = Place::new();
    let id = place.id(1);
    place.launch(&id, sh("trap '' TERM HUP INT; echo ready; while :; do sleep 1000; done"));
    place.until_log(&id, "ready");
    place.cancel(&id, Duration::from_millis(50));
    assert_eq!(place.end(&id), ProcessEnd::Signalled(9));
    place.close();
}

fn cancel_ends_what_is_stopped() {
    let place = Place::new();
    let id = place.id(1);
    place.launch(&id, sh("trap 'exit 7' TERM; echo ready $$; while :; do sleep 0.01; done"));
    let pid = number_after(&place.until_log(&id, "\n"), "ready");
    signal(pid, "STOP");
    place.cancel(&id, Duration::from_secs(20));
    assert_eq!(place.end(&id), ProcessEnd::Exited(7));
    place.close();
}

fn cancel_lets_work_end_in_its_own_way() {
    let place = Place::new();
    let id = place.id(1);
    place.launch(
        &id,
        sh("trap 'echo tidying; sleep 0.1; echo tidied; exit 7' TERM; echo ready; while :; do sleep 0.01; done"),
    );
    place.until_log(&id, "ready");
    place.cancel(&id, Duration::from_secs(20));
    assert_eq!(place.end(&id), ProcessEnd::Exited(7));
    assert!(place.log_text(&id).ends_with("tidying\ntidied\n"), "{}", place.log_text(&id));
    place.close();
}

fn cancel_twice_the_second_without_grace() {
    use weir_core::job_type::Processes;
    let place = Place::new();
    let id = place.id(1);
    place.launch(&id, sh("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done"));
    place.until_log(&id, "ready");
    let results = place.wait(async {
        let gentle = place.client.cancel(&id, Duration::from_secs(1000));
        let hard = async {
            // Only after the gentle one was heard.
            let mut follow = weir_engine::logs::Follow::new(&id.folder, 0);
            let mut log = Vec::new();
            while !log.windows(5).any(|part| part == b"asked") {
                log.extend(follow.next().await.expect("reads").expect("still runs"));
            }
            place.client.cancel(&id, Duration::ZERO).await
        };
        tokio::join!(gentle, hard)
    });
    assert_eq!(results, (Ok(()), Ok(())));
    assert_eq!(place.end(&id), ProcessEnd::Signalled(9));
    place.close();
}
