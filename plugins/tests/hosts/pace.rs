//! How soon what happens on a host is known here, beside a flood too.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use weir_core::ids::TaskIx;
use weir_core::job_type::{AttemptContext, JobType};
use weir_plugins::{Pool, Ssh, SshBounds};

use crate::scene::{SOON, Scene, until};
use crate::stage::in_words;

/// How much later something may be known.
const LATER: Duration = Duration::from_millis(200);

/// A task of its own on the scene's machine.
fn task(scene: &Scene, number: u32) -> AttemptContext {
    let mut cx = scene.cx().clone();
    cx.id.task = TaskIx(number);
    cx.folder = scene.stage.home.path().join(format!("task-{number}"));
    cx
}

/// From its begin to its end.
async fn took(ssh: &Ssh, cx: &AttemptContext) -> Duration {
    let since = Instant::now();
    let with = json!({"script": "echo here"});
    let handle = ssh.start(&with, cx).await.expect("it begins");
    let outcome = ssh.follow(&handle, &with, cx).await.expect("it ends");
    assert_eq!(in_words(&outcome), "done with 0 {}");
    since.elapsed()
}

/// How long after each of them was written on the host the lines of a log were there, `many` of them.
async fn lateness(log: PathBuf, mut seen: usize, many: usize) -> Vec<Duration> {
    let mut late = Vec::new();
    let since = Instant::now();
    while late.len() < many {
        assert!(since.elapsed() < SOON, "{} lines", late.len());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let text = fs::read_to_string(&log).expect("it is text");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        // The first one may have been cut by the look before.
        while let Some(end) = text[seen..].find('\n') {
            if let Ok(written) = text[seen..seen + end].parse::<u64>() {
                late.push(now.saturating_sub(Duration::from_nanos(written)));
            }
            seen += end + 1;
        }
    }
    late
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_delays_no_other_task_of_its_host_by_more_than_200_ms() {
    let scene = Scene::new();
    let pool = Pool::of_user(SshBounds::default(), "ubuntu", scene.keys.dir.path(), None);
    let ssh = Arc::new(Ssh::new(Arc::clone(&pool)));
    let begin = |number: u32, script: &str| {
        let (ssh, cx, with) = (Arc::clone(&ssh), task(&scene, number), json!({"script": script}));
        tokio::spawn(async move {
            let handle = ssh.start(&with, &cx).await.expect("it begins");
            ssh.follow(&handle, &with, &cx).await.map(|outcome| in_words(&outcome))
        })
    };
    // One that tells the time again and again, and others after it.
    let clock = begin(1, "until [ -e ~/go ]; do date +%s%N; sleep 0.05; done");
    let lines = task(&scene, 1).folder.join("log");
    until("its first line", || fs::metadata(&lines).is_ok_and(|log| log.len() > 0)).await;
    let size = || fs::metadata(&lines).map_or(0, |log| log.len() as usize);
    let mut before = lateness(lines.clone(), size(), 15).await;
    let mut alone = Vec::new();
    for number in 10..17 {
        alone.push(took(&ssh, &task(&scene, number)).await);
    }
    // On the connection that all of these share.
    let flood = begin(2, "while [ ! -e ~/go ]; do head -c 1000000 /dev/zero; done");
    let flooded = task(&scene, 2).folder.join("log");
    until("the flood", || fs::metadata(&flooded).is_ok_and(|log| log.len() > 20_000_000)).await;
    // What else is at work on a machine may hold up one round, and not all of them.
    let (mut told, mut number) = (Vec::new(), 20);
    let is_kept = loop {
        let mut after = lateness(lines.clone(), size(), 10).await;
        let mut beside = Vec::new();
        for _ in 0..5 {
            beside.push(took(&ssh, &task(&scene, number)).await);
            number += 1;
        }
        told.push(format!("lines {after:?}, tasks {beside:?}"));
        if median(&mut after) < median(&mut before) + LATER
            && median(&mut beside) < median(&mut alone) + LATER
        {
            break true;
        }
        if told.len() == 5 {
            break false;
        }
    };
    fs::write(scene.home("go"), "").expect("writes");
    for task in [clock, flood] {
        assert_eq!(task.await.expect("no panic").expect("it ends"), "done with 0 {}");
    }
    assert!(is_kept, "before: lines {before:?}, tasks {alone:?}; beside the flood: {told:#?}");
    assert!(pool.open_connections() <= 2, "{}", pool.open_connections());
}

#[tokio::test]
async fn a_line_is_known_within_200_ms() {
    let scene = Scene::new();
    let ssh = scene.ssh();
    // The first of them comes before anybody has asked for it.
    let with = json!({"script": "n=0; while [ $n -lt 20 ]; do date +%s%N; sleep 0.05; n=$((n + 1)); done"});
    let handle = ssh.start(&with, scene.cx()).await.expect("it begins");
    let log = scene.cx().folder.join("log");
    let (told, mut late) =
        tokio::join!(ssh.follow(&handle, &with, scene.cx()), lateness_from_its_begin(log));
    assert_eq!(in_words(&told.expect("it ends")), "done with 0 {}");
    assert!(median(&mut late) < LATER, "{late:?}");
}

async fn lateness_from_its_begin(log: PathBuf) -> Vec<Duration> {
    let since = Instant::now();
    while !log.exists() {
        assert!(since.elapsed() < SOON, "there is no log");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lateness(log, 0, 20).await
}
