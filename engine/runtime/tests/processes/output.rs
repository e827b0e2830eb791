//! Logs: what is in them, what is not, and how they are read while they grow.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::job_type::{Launch, ProcessEnd, Processes};
use weir_core::secret::Secret;
use weir_engine::logs::{self, Follow, Reader};

use crate::place::{Place, is_alive, log, open_gate, sh};

crate::tests![
    any_bytes,
    many_lines_followed,
    a_line_is_seen_at_once,
    following_what_has_not_begun,
    secrets_are_masked,
    a_daemon_that_keeps_a_masked_output_does_not_hold_up_the_end,
    a_masked_log_is_whole,
    times_of_a_long_job,
    the_middle_of_a_large_log_is_dropped,
    a_small_bound_holds_for_a_short_job,
    a_large_log_is_bounded_while_it_grows,
    the_end_of_a_large_log,
];

fn with_secret(script: &str, secret: &str) -> Launch {
    let mut launch = sh(script);
    launch.env.push(("S".into(), secret.into()));
    launch.secrets = Arc::new([Secret::new("s", secret)]);
    launch
}

fn any_bytes() {
    let place = Place::new();
    let script = r"printf '\377\000\376\n\000'; printf 'no newline' >&2";
    let all = b"\xff\0\xfe\n\0no newline";
    assert_eq!(place.run(&place.id(1), sh(script)), Ok(ProcessEnd::Exited(0)));
    assert_eq!(log(&place.id(1)), all);
    let masked = with_secret(script, "hunter22");
    assert_eq!(place.run(&place.id(2), masked), Ok(ProcessEnd::Exited(0)));
    assert_eq!(log(&place.id(2)), all);
    let mode = fs::metadata(place.id(1).folder.join("log")).expect("there is a log").mode();
    assert_eq!(mode & 0o777, 0o600);
    place.close();
}

fn many_lines_followed() {
    let place = Place::new();
    for (number, masks) in [(1, false), (2, true)] {
        let id = place.id(number);
        let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
        let launch = if masks { with_secret(script, "hunter22") } else { sh(script) };
        place.launch(&id, launch);
        let log = place.wait(async {
            let mut follow = Follow::new(&id.folder, 0);
            let mut log = Vec::new();
            while let Some(piece) = follow.next().await.expect("the log can be read") {
                log.extend(piece);
            }
            log
        });
        let log = String::from_utf8(log).expect("text");
        assert!(log.lines().eq((0..20_000).map(|line| format!("line {line}"))));
        assert_eq!(place.end(&id), ProcessEnd::Exited(0));
    }
    place.close();
}

fn a_line_is_seen_at_once() {
    let place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    let script =
        format!("echo ready; for n in 1 2 3 4; do read x <{}; echo go; done", gate.display());
    place.launch(&id, sh(&format!("{script}; read x <{}", gate.display())));
    place.wait(async {
        let mut follow = Follow::new(&id.folder, 0);
        assert_eq!(follow.next().await.expect("reads"), Some(b"ready\n".to_vec()));
        let mut took = Vec::new();
        for _ in 0..4 {
            let begun = Instant::now();
            open_gate(&gate);
            assert_eq!(follow.next().await.expect("reads"), Some(b"go\n".to_vec()));
            took.push(begun.elapsed());
        }
        // The quickest: a busy machine may hold one of them up.
        assert!(took.iter().min() < Some(&Duration::from_millis(200)), "{took:?}");
        open_gate(&gate);
        assert_eq!(follow.next().await.expect("reads"), None);
    });
    assert_eq!(place.end(&id), ProcessEnd::Exited(1));
    place.close();
}

fn following_what_has_not_begun() {
    let place = Place::new();
    let id = place.id(1);
    let log = place.wait(async {
        let mut follow = Follow::new(&id.folder, 3);
        let (launched, log) =
            tokio::join!(place.client.launch(&id, sh("echo begun")), follow.next());
        launched.expect("it starts");
        log
    });
    assert_eq!(log.expect("reads"), Some(b"un\n".to_vec()));
    assert_eq!(place.end(&id), ProcessEnd::Exited(0));
    place.close();
}

fn secrets_are_masked() {
    let place = Place::new();
    let id = place.id(1);
    let secret = "hunter2-hunter2";
    // Whole, as base64, and over two writes of two programs.
    let script = "echo whole $S; printf %s $S | base64; \
                  printf hunter2-; /bin/echo hunter2; echo >&2 err $S; printf 'at the end '$S";
    assert_eq!(place.run(&id, with_secret(script, secret)), Ok(ProcessEnd::Exited(0)));
    let log = place.log_text(&id);
    assert_eq!(log, "whole ***\n***\n***\nerr ***\nat the end ***");
    for entry in fs::read_dir(&id.folder).expect("the folder is there").flatten() {
        let content = fs::read(entry.path()).expect("reads");
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{entry:?}");
    }
    place.close();
}

fn a_daemon_that_keeps_a_masked_output_does_not_hold_up_the_end() {
    let place = Place::new();
    let id = place.id(1);
    let (gate, daemons) = (place.gate("gate"), place.gate("daemons"));
    let script = format!(
        "(setsid sh -c 'echo daemon $$; read x <{}; echo $S; exec sleep 1000' &); read x <{}; echo over",
        daemons.display(),
        gate.display()
    );
    place.launch(&id, with_secret(&script, "hunter2-hunter2"));
    let said = place.until_log(&id, "daemon");
    let daemon: i32 =
        said.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("its number");
    open_gate(&gate);
    assert_eq!(place.end(&id), ProcessEnd::Exited(0));
    assert!(is_alive(daemon));
    // What it writes after the end is masked, too.
    open_gate(&daemons);
    place.wait(async {
        while !log(&id).ends_with(b"***\n") {
            tokio::task::yield_now().await;
        }
    });
    place.cancel(&id, Duration::from_secs(5));
    assert!(!is_alive(daemon));
    assert!(!place.log_text(&id).contains("hunter2"));
    place.close();
}

fn a_masked_log_is_whole() {
    let place = Place::new();
    let id = place.id(1);
    let script = "head -c 50000000 /dev/zero | tr '\\0' x; echo; echo $S";
    assert_eq!(place.run(&id, with_secret(script, "hunter2-hunter2")), Ok(ProcessEnd::Exited(0)));
    let log = log(&id);
    assert_eq!(log.len(), 50_000_005);
    assert!(log.ends_with(b"x\n***\n"));
    place.close();
}

fn times_of_a_long_job() {
    let place = Place::new();
    let id = place.id(1);
    assert_eq!(
        place.run(&id, sh("echo one; sleep 1.3; echo two; sleep 1.3; echo three")),
        Ok(ProcessEnd::Exited(0))
    );
    let mut reader = Reader::open(&id.folder).expect("opens");
    let mut at = |offset| reader.time_at(offset).expect("reads").expect("noted").millis();
    let (one, two, three) = (at(0), at(4), at(8));
    assert!(two - one >= 900 && three - two >= 300, "{one} {two} {three}");
    let middle = weir_core::time::Timestamp::from_millis(two);
    assert_eq!(reader.offset_at(middle).expect("reads"), 8);

    // A short one leaves no index.
    assert_eq!(place.run(&place.id(2), sh("echo short")), Ok(ProcessEnd::Exited(0)));
    assert!(!place.id(2).folder.join("log.index").exists());
    place.close();
}

fn bounded(script: &str, bytes: u64) -> Launch {
    let mut launch = sh(script);
    launch.limits.log_size = Some(bytes);
    launch
}

fn the_middle_of_a_large_log_is_dropped() {
    let place = Place::new();
    let id = place.id(1);
    let script = "echo first; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo last";
    assert_eq!(place.run(&id, bounded(script, 4 << 20)), Ok(ProcessEnd::Exited(0)));
    let log = fs::metadata(id.folder.join("log")).expect("there is a log");
    assert_eq!(log.len(), 20_000_012);
    assert!(log.blocks() * 512 <= 4 << 20, "{} bytes on disk", log.blocks() * 512);
    let shown = logs::read(&id.folder, 0..u64::MAX).expect("reads");
    let text = String::from_utf8(shown).expect("no zeros are shown");
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains("x\n[... 15 MB dropped ...]\nx"), "{}", text.len());
    assert_eq!(text.len() as u64, 20_000_012 - 15_859_712 + 25, "what is left is shown");
    assert_eq!(logs::tail(&id.folder, 1).expect("reads"), b"last\n");
    place.close();
}

fn a_small_bound_holds_for_a_short_job() {
    for (number, bytes) in [(1, 100 << 10), (2, 16 << 10)] {
        let place = Place::new();
        let id = place.id(number);
        let script = "echo first; head -c 240000 /dev/zero | tr '\\0' x; echo; echo last";
        assert_eq!(place.run(&id, bounded(script, bytes)), Ok(ProcessEnd::Exited(0)));
        let log = fs::metadata(id.folder.join("log")).expect("there is a log");
        assert!(log.blocks() * 512 <= bytes, "{} bytes on disk", log.blocks() * 512);
        let shown = logs::read(&id.folder, 0..u64::MAX).expect("reads");
        assert!(shown.starts_with(b"first\nxxx") && shown.ends_with(b"xxx\nlast\n"));
        assert!(shown.len() as u64 <= bytes + 40, "{} bytes", shown.len());
        place.close();
    }
}

fn a_large_log_is_bounded_while_it_grows() {
    let place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    let script = format!(
        "echo first; sleep 1.1; head -c 20000000 /dev/zero; echo; read x <{}; echo last",
        gate.display()
    );
    place.launch(&id, bounded(&script, 4 << 20));
    place.wait(async {
        let log = id.folder.join("log");
        // All is written, and the middle is gone.
        while fs::metadata(&log).map_or(true, |log| {
            log.len() < 20_000_007 || log.blocks() * 512 > (4 << 20) + (64 << 10)
        }) {
            tokio::task::yield_now().await;
        }
    });
    open_gate(&gate);
    assert_eq!(place.end(&id), ProcessEnd::Exited(0));
    let shown = logs::read(&id.folder, 0..u64::MAX).expect("reads");
    assert!(shown.starts_with(b"first\n") && shown.ends_with(b"\nlast\n"));
    assert!(shown.len() < (4 << 20) + (64 << 10));
    place.close();
}

fn the_end_of_a_large_log() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let file = fs::File::create(dir.path().join("log")).expect("makes");
    // A gigabyte that takes no room: what is not read can't cost anything.
    file.set_len(1 << 30).expect("grows");
    std::os::unix::fs::FileExt::write_all_at(&file, b"\nlast but one\nlast\n", (1 << 30) - 19)
        .expect("writes");
    let mut took = Vec::new();
    for _ in 0..4 {
        let begun = Instant::now();
        let tail = logs::tail(dir.path(), 2).expect("reads");
        assert_eq!(tail, b"last but one\nlast\n");
        took.push(begun.elapsed());
    }
    assert!(took.iter().min() < Some(&Duration::from_millis(100)), "{took:?}");
}
