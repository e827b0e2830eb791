//! The engine dies, the supervisor dies, both die: no job runs twice, none is forgotten.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use weir_core::job_type::{Launch, ProcessEnd, Processes};
use weir_core::outcome::ErrorClass;
use weir_engine::processes::{Client, Program};

use crate::place::{Place, is_alive, open_gate, sh};

crate::tests![
    the_engine_dies,
    the_engine_is_away_when_it_ends,
    the_supervisor_dies,
    the_supervisor_dies_and_a_daemon_is_left,
    both_die,
    both_die_and_no_supervisor_begins_at_once,
    the_supervisor_dies_before_it_starts_anything,
    the_supervisor_dies_while_orders_arrive,
    thousands_are_lost_at_once,
];

/// Says that it runs, waits at a gate, ends with 7. Counts its starts.
fn gated(place: &Place, gate: &std::path::Path) -> Launch {
    let starts = place.home.join("starts");
    sh(&format!(
        "echo start >>{}; echo ready $$; read x <{}; echo done; exit 7",
        starts.display(),
        gate.display()
    ))
}

fn starts(place: &Place) -> usize {
    fs::read_to_string(place.home.join("starts")).unwrap_or_default().lines().count()
}

fn pid_in(log: &str) -> i32 {
    log.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("it said its number")
}

fn the_engine_dies() {
    let mut place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    place.launch(&id, gated(&place, &gate));
    place.until_log(&id, "ready");
    place.restart_engine();
    // The new engine can't know whether it was launched, so it launches.
    place.launch(&id, gated(&place, &gate));
    open_gate(&gate);
    assert_eq!(place.end(&id), ProcessEnd::Exited(7));
    assert!(place.log_text(&id).ends_with("done\n"));
    assert_eq!(starts(&place), 1);
    place.close();
}

fn the_engine_is_away_when_it_ends() {
    let mut place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    place.launch(&id, gated(&place, &gate));
    place.until_log(&id, "ready");
    place.restart_engine();
    open_gate(&gate);
    // The supervisor writes the end and goes.
    place.until_no_supervisor();
    assert_eq!(place.run(&id, gated(&place, &gate)), Ok(ProcessEnd::Exited(7)));
    assert_eq!(starts(&place), 1);
    place.close();
}

fn the_supervisor_dies() {
    let place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    place.launch(&id, gated(&place, &gate));
    let pid = pid_in(&place.until_log(&id, "\n"));
    let end = place.wait(async {
        let wait = place.client.wait(&id);
        let kill = async { place.kill_supervisor() };
        tokio::join!(wait, kill).0
    });
    assert_eq!(end, Ok(ProcessEnd::Lost));
    assert!(!is_alive(pid), "its orphan still runs");
    assert_eq!(starts(&place), 1);
    // Asked again it says the same; the next job is not harmed.
    assert_eq!(place.end(&id), ProcessEnd::Lost);
    assert_eq!(place.run(&place.id(2), sh("exit 2")), Ok(ProcessEnd::Exited(2)));
    place.close();
}

fn the_supervisor_dies_and_a_daemon_is_left() {
    let place = Place::new();
    let id = place.id(1);
    place.launch(
        &id,
        sh("(setsid sh -c 'trap \"\" TERM; echo ready $$; while :; do sleep 1000; done' &); exec sleep 1000"),
    );
    let pid = pid_in(&place.until_log(&id, "\n"));
    place.kill_supervisor();
    assert_eq!(place.end(&id), ProcessEnd::Lost);
    assert!(!is_alive(pid), "its daemon still runs");
    place.close();
}

fn both_die() {
    let mut place = Place::new();
    let gate = place.gate("gate");
    let ids = [place.id(1), place.id(2), place.id(3)];
    for id in &ids {
        place.launch(id, gated(&place, &gate));
        place.until_log(id, "ready");
    }
    // An engine that still runs would start another supervisor to ask what became of its jobs.
    place.restart_engine();
    place.kill_supervisor();
    place.until_no_supervisor();
    assert_eq!(place.marked().len(), 3, "they outlive both");
    for id in &ids {
        assert_eq!(place.run(id, gated(&place, &gate)), Ok(ProcessEnd::Lost));
    }
    assert_eq!(starts(&place), 3);
    place.close();
}

fn both_die_and_no_supervisor_begins_at_once() {
    let mut place = Place::new();
    let (id, gate) = (place.id(1), place.gate("gate"));
    place.launch(&id, gated(&place, &gate));
    place.until_log(&id, "ready");
    place.restart_engine();
    place.kill_supervisor();
    place.until_no_supervisor();
    // The first three supervisors of the next engine are killed while they begin.
    let program = place.home.join("program");
    let this = std::env::current_exe().expect("this program has a file");
    let script = format!(
        "#!/bin/sh\ncd {}\necho try >>tries\n[ $(wc -l <tries) -gt 3 ] || kill -KILL $$\nexec {} \"$@\"\n",
        place.home.display(),
        this.display()
    );
    fs::write(&program, script).expect("the program can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    place.client = Client::new(&place.home, Program::at(&program)).expect("the home is there");
    // What never began may be said to have failed, and begin again as another attempt; what ran may not.
    let new = place.id(2);
    let (lost, failed) = place.wait(async {
        let ran = async {
            place.client.launch(&id, gated(&place, &gate)).await?;
            place.client.wait(&id).await
        };
        tokio::join!(ran, place.client.launch(&new, sh("echo never")))
    });
    assert_eq!(lost, Ok(ProcessEnd::Lost));
    assert_eq!(failed.expect_err("it can't be launched").class, ErrorClass::Internal);
    assert_eq!(starts(&place), 1);
    assert!(!new.folder.exists(), "what failed was launched all the same");
    place.close();
}

fn the_supervisor_dies_before_it_starts_anything() {
    let place = Place::new();
    // It has made the folder, and dies before the start.
    assert_eq!(place.run(&place.id(1), sh("true")), Ok(ProcessEnd::Exited(0)));
    place.kill_supervisor();
    let id = place.id(2);
    fs::create_dir(&id.folder).expect("the folder can be made");
    assert_eq!(place.run(&id, sh("echo ran")), Ok(ProcessEnd::Lost));
    place.close();
}

fn the_supervisor_dies_while_orders_arrive() {
    let place = Place::new();
    let starts_file = place.home.join("starts");
    let (mut done, mut lost) = (0, 0);
    for round in 0..10 {
        // A supervisor that lives, so that the kill meets it at work.
        let first = place.id(round * 1000);
        assert_eq!(place.run(&first, sh("true")), Ok(ProcessEnd::Exited(0)));
        let ids: Vec<_> = (1..40).map(|number| place.id(round * 1000 + number)).collect();
        let ends = place.wait(async {
            let runs: Vec<_> = ids
                .iter()
                .map(|id| async {
                    let script = format!("echo {} >>{}", id.attempt.task.0, starts_file.display());
                    place.client.launch(id, sh(&script)).await?;
                    place.client.wait(id).await
                })
                .collect();
            let kill = async {
                // After some of them: each round at another moment.
                let _first_end = place.client.wait(&ids[round as usize * 2]).await;
                place.kill_supervisor();
            };
            let mut all = Vec::new();
            let mut set = std::pin::pin!(kill);
            let mut killed = false;
            for run in runs {
                let mut run = std::pin::pin!(run);
                if killed {
                    all.push(run.await);
                } else {
                    tokio::select! {
                        biased;
                        () = &mut set => { killed = true; all.push(run.await); }
                        end = &mut run => all.push(end),
                    }
                }
            }
            all
        });
        for end in ends {
            match end.expect("each has an end") {
                ProcessEnd::Exited(0) => done += 1,
                ProcessEnd::Lost => lost += 1,
                other @ (ProcessEnd::Exited(_) | ProcessEnd::Signalled(_) | ProcessEnd::Fenced) => {
                    panic!("ended as {other:?}");
                }
            }
        }
    }
    let text = fs::read_to_string(&starts_file).expect("some ran");
    let mut ran: Vec<&str> = text.lines().collect();
    let count = ran.len();
    ran.sort_unstable();
    ran.dedup();
    assert_eq!(ran.len(), count, "a job ran twice");
    assert!(count >= done && count <= done + lost, "{count} ran, {done} done, {lost} lost");
    place.close();
}

fn thousands_are_lost_at_once() {
    let place = Place::new();
    let ids: Vec<_> = (0..5_000).map(|number| place.id(number)).collect();
    for id in &ids {
        fs::create_dir_all(&id.folder).expect("the folder can be made");
        fs::write(id.folder.join("log"), "").expect("the log can be made");
    }
    // A look at the whole machine for each would take minutes; the patience of the test is far less.
    let ends = place.wait(async {
        let waits: Vec<_> = ids
            .iter()
            .map(|id| {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let on_end = Box::new(move |end| drop(sender.send(end)));
                place.client.wait_with(id, on_end);
                receiver
            })
            .collect();
        let mut ends = Vec::new();
        for wait in waits {
            let ended: weir_engine::processes::Ended = wait.await.expect("it is told");
            ends.push(ended.end);
        }
        ends
    });
    assert!(ends.iter().all(|end| *end == Ok(ProcessEnd::Lost)));
    place.close();
}
