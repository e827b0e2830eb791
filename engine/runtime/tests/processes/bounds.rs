//! Limits, other users, and a disk without room.

use std::fs;
use std::path::Path;
use std::process::Command;

use weir_core::job_type::{Launch, ProcessEnd};
use weir_core::outcome::ErrorClass;

use crate::place::{Place, is_root, open_gate, sh};

crate::tests![
    another_user,
    limits_of_the_kernel,
    memory,
    processes_of_a_tree,
    processors,
    cancel_reaches_a_bounded_tree,
    a_full_disk,
    a_log_without_room,
    a_log_too_large_where_no_part_can_be_dropped,
    the_log_of_a_short_job_where_no_part_can_be_dropped,
];

fn bounded(script: &str, bound: impl FnOnce(&mut Launch)) -> Launch {
    let mut launch = sh(script);
    bound(&mut launch);
    launch
}

fn groups_left() -> Vec<String> {
    let found =
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", "weir-*"]).output();
    let found = String::from_utf8(found.expect("find runs").stdout).expect("text");
    found.lines().map(ToOwned::to_owned).collect()
}

fn another_user() {
    let place = Place::new();
    let id = place.id(1);
    let launch = bounded("id -un; id -Gn; pwd; echo a=1 >$WEIR_OUTPUT; exit 3", |launch| {
        launch.run_as = Some("nobody".into());
        launch.env.push(("WEIR_OUTPUT".into(), id.folder.join("output").display().to_string()));
    });
    if !is_root() {
        let error = place.run(&id, launch).expect_err("only root may");
        assert_eq!(error.message, "run-as needs a Weir that runs as root");
        return place.close();
    }
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(3)), "{}", place.log_text(&id));
    assert_eq!(place.log_text(&id), "nobody\nnogroup\n/tmp\n");
    assert_eq!(fs::read_to_string(id.folder.join("output")).expect("reads"), "a=1\n");

    // A folder that this user may not enter.
    let id = place.id(2);
    let private = place.home.join("private");
    fs::create_dir(&private).expect("makes");
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("sets");
    let launch = bounded("true", |launch| {
        launch.run_as = Some("nobody".into());
        launch.working_dir = private;
    });
    let error = place.run(&id, launch).expect_err("not allowed");
    assert_eq!(error.class, ErrorClass::Refused, "{}", error.message);
    place.close();
}

fn limits_of_the_kernel() {
    let place = Place::new();
    let run = |number, launch| place.run(&place.id(number), launch);
    let script = "ulimit -n; ulimit -f; exit 3";
    let launch = bounded(script, |launch| {
        launch.limits.open_files = Some(123);
        launch.limits.file_size = Some(512 * 1000);
    });
    assert_eq!(run(1, launch), Ok(ProcessEnd::Exited(3)));
    assert_eq!(place.log_text(&place.id(1)), "123\n1000\n");

    let launch = bounded("while :; do :; done", |launch| launch.limits.cpu_time = Some(1));
    assert_eq!(run(2, launch), Ok(ProcessEnd::Signalled(24)));

    // What the job finds is what it was given, and none of what the step before it needed.
    let launch = bounded("env; ls /proc/self/fd", |launch| {
        launch.limits.open_files = Some(123);
        launch.env = vec![("PATH".into(), "/bin:/usr/bin".into()), ("A".into(), "b".into())];
    });
    assert_eq!(run(3, launch), Ok(ProcessEnd::Exited(0)));
    let log = place.log_text(&place.id(3));
    let mut lines: Vec<&str> =
        log.lines().filter(|line| !line.starts_with("WEIR_ATTEMPT=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "1", "2", "3", "A=b", "PATH=/bin:/usr/bin", "PWD=/tmp"]);

    let launch = bounded("true", |launch| {
        launch.limits.open_files = Some(64);
        launch.argv = vec!["no-such-program".into()];
    });
    let error = run(4, launch).expect_err("no such program");
    assert_eq!(error.message, "no program `no-such-program` in the PATH of the job");
    place.close();
}

fn memory() {
    let place = Place::new();
    // The text that tail keeps is memory; nothing else here grows.
    let script = "head -c 200000000 /dev/zero | tail -c 190000000 | wc -c; echo over";
    let id = place.id(1);
    let launch = bounded(script, |launch| launch.limits.memory = Some(64 << 20));
    let end = place.run(&id, launch).expect("the shell itself ends");
    assert_eq!(end, ProcessEnd::Exited(0));
    let log = place.log_text(&id);
    assert!(
        log.starts_with("0\n") || log.contains("exhausted") || !log.contains("190000000"),
        "{log}"
    );
    if is_root() && Path::new("/sys/fs/cgroup/memory").exists() {
        assert!(log.contains("weir: a process needed more memory than limits.memory"), "{log}");
        assert_eq!(groups_left(), Vec::<String>::new());
    }
    place.close();
}

fn processes_of_a_tree() {
    // Without groups the bound counts all processes of the user: nothing a test could rely on.
    assert!(is_root(), "this test makes control groups, and only root may: run it as root");
    let place = Place::new();
    let id = place.id(1);
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all eight";
    let launch = bounded(script, |launch| launch.limits.processes = Some(4));
    let end = place.run(&id, launch);
    assert!(matches!(end, Ok(ProcessEnd::Exited(code)) if code != 0), "{end:?}");
    let log = place.log_text(&id);
    assert!(log.to_lowercase().contains("fork") && !log.contains("all eight"), "{log}");
    assert_eq!(groups_left(), Vec::<String>::new());
    place.close();
}

fn processors() {
    let place = Place::new();
    let id = place.id(1);
    let script =
        "cat /sys/fs/cgroup/cpu$(grep :cpu: /proc/self/cgroup | cut -d: -f3)/cpu.cfs_quota_us";
    let launch = bounded(script, |launch| launch.limits.cpus_milli = Some(500));
    match place.run(&id, launch) {
        Ok(_) if Path::new("/sys/fs/cgroup/cpu").exists() => {
            assert_eq!(place.log_text(&id), "50000\n");
        }
        Ok(end) => assert!(matches!(end, ProcessEnd::Exited(_))),
        Err(error) => assert_eq!(
            error.message,
            "limits.cpus needs a control group, and none can be made on this machine"
        ),
    }
    assert_eq!(groups_left(), Vec::<String>::new());
    place.close();
}

fn cancel_reaches_a_bounded_tree() {
    let place = Place::new();
    let id = place.id(1);
    // No mark, no session, no log: only its group tells whose it is.
    let script = "(env -i setsid sh -c 'exec >FILE 2>&1; echo up; exec sleep 1000' &); \
                  until [ -s FILE ]; do :; done; echo ready; exec sleep 1000";
    let file = place.home.join("file");
    let script = script.replace("FILE", &file.display().to_string());
    let launch = bounded(&script, |launch| launch.limits.memory = Some(256 << 20));
    place.launch(&id, launch);
    place.until_log(&id, "ready");
    place.cancel(&id, std::time::Duration::from_secs(5));
    assert_eq!(place.end(&id), ProcessEnd::Signalled(15));
    if is_root() {
        assert_eq!(groups_left(), Vec::<String>::new());
    }
    place.close();
}

/// A small file system.
fn small_disk(at: &Path, bytes: u32) -> Mounted {
    mount(at, "tmpfs", &format!("size={bytes}"))
}

fn mount(at: &Path, kind: &str, options: &str) -> Mounted {
    assert!(is_root(), "this test mounts a file system, and only root may: run it as root");
    let mut command = Command::new("mount");
    let mounted = command.args(["-t", kind, "-o", options, kind]).arg(at).output();
    let mounted = mounted.expect("`mount` can be started");
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
    Mounted(at.to_owned())
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn a_full_disk() {
    let mut place = Place::new();
    let _disk = small_disk(&place.home, 1 << 20);
    place.restart_engine();
    let id = place.id(1);
    let gate = place.gate("gate");
    let script = format!(
        "echo ready; read x <{}; head -c 5000000 /dev/zero; echo $? >&2; exit 3",
        gate.display()
    );
    place.launch(&id, sh(&script));
    place.until_log(&id, "ready");
    // No folder, no inode: nothing begins, and it says why.
    open_gate(&gate);
    assert_eq!(place.end(&id), ProcessEnd::Exited(3), "the end is told though it can't be written");
    // The engine dies, too; the supervisor keeps the end until there is room.
    place.restart_engine();
    assert_eq!(place.end(&id), ProcessEnd::Exited(3));
    let log = fs::OpenOptions::new().write(true).open(id.folder.join("log")).expect("opens");
    log.set_len(10).expect("makes room");
    while fs::read_to_string(id.folder.join("exit")).unwrap_or_default().is_empty() {
        // Asked for the end, the supervisor answers from memory until it is on disk.
        assert_eq!(place.end(&id), ProcessEnd::Exited(3));
    }
    place.restart_engine();
    place.until_no_supervisor();
    assert_eq!(place.end(&id), ProcessEnd::Exited(3));
    place.close();
}

fn a_log_without_room() {
    let mut place = Place::new();
    let _disk = small_disk(&place.home, 1 << 20);
    place.restart_engine();
    let id = place.id(1);
    let mut launch = sh("head -c 5000000 /dev/zero && exit 3");
    launch.secrets = std::sync::Arc::new([weir_core::secret::Secret::new("s", "hunter2-hunter2")]);
    // Masked, the job itself does not meet the full disk, and must not wait for it.
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(3)));
    let log = fs::OpenOptions::new().write(true).open(id.folder.join("log")).expect("opens");
    log.set_len(0).expect("makes room");
    place.restart_engine();
    place.until_no_supervisor();
    assert_eq!(place.end(&id), ProcessEnd::Exited(3));
    place.close();
}

fn a_log_too_large_where_no_part_can_be_dropped() {
    let mut place = Place::new();
    // The one file system at hand that knows no holes.
    let _disk = mount(&place.home, "ramfs", "mode=700");
    place.restart_engine();
    let id = place.id(1);
    let launch = bounded("head -c 5000000 /dev/zero; echo; exec sleep 1000", |launch| {
        launch.limits.log_size = Some(1 << 20);
    });
    let error = place.run(&id, launch).expect_err("it is ended");
    let reason =
        "its log grew beyond 1048576 bytes, and this file system can't drop the middle of a file";
    assert_eq!((error.class, error.signal), (ErrorClass::Exit, Some(15)));
    assert_eq!(error.message, reason);
    let log = fs::read(id.folder.join("log")).expect("reads");
    assert!(log.ends_with(format!("\nweir: {reason}\n").as_bytes()));
    place.close();
}

fn the_log_of_a_short_job_where_no_part_can_be_dropped() {
    let mut place = Place::new();
    let _disk = mount(&place.home, "ramfs", "mode=700");
    place.restart_engine();
    let id = place.id(1);
    let launch =
        bounded("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last", |launch| {
            launch.limits.log_size = Some(1 << 20);
        });
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(0)));
    let log = fs::read(id.folder.join("log")).expect("reads");
    assert!(log.len() <= 1 << 20, "{} bytes", log.len());
    assert!(log.len() > (1 << 20) - (64 << 10), "{} bytes", log.len());
    let shown = weir_engine::logs::read(&id.folder, 0..u64::MAX).expect("reads");
    let text = String::from_utf8(shown).expect("text");
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains("x\n[... 3.9 MB dropped ...]\nx"));
    place.close();
}
