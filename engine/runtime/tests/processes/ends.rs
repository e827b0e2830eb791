//! How work begins and how its end is told.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use weir_core::job_type::{ProcessEnd, Processes};
use weir_core::outcome::ErrorClass;

use crate::place::{Place, open_gate, sh};

crate::tests![
    codes_and_signals,
    what_a_program_finds,
    a_script_in_memory,
    orders_of_any_size,
    what_can_not_be_started_says_why,
    launched_twice_runs_once,
    thousands_at_once,
    cancelled_before_its_launch_it_never_runs,
    cancelled_during_its_launch,
    waited_for_without_a_launch_it_is_lost,
    a_folder_that_only_holds_a_log_can_be_launched_in,
    a_long_home,
    an_idle_supervisor_goes_by_itself,
    a_busy_supervisor_stays,
    the_end_comes_without_a_runtime,
];

fn codes_and_signals() {
    let place = Place::new();
    for (number, (script, end)) in [
        ("exit 0", ProcessEnd::Exited(0)),
        ("exit 255", ProcessEnd::Exited(255)),
        ("kill -9 $$", ProcessEnd::Signalled(9)),
        // Rust ignores SIGPIPE; a job must not.
        ("kill -PIPE $$", ProcessEnd::Signalled(13)),
        ("kill -TERM $$", ProcessEnd::Signalled(15)),
        ("exec >&- 2>&- <&-; exit 4", ProcessEnd::Exited(4)),
        ("cd /; exec sh -c 'exit 5'", ProcessEnd::Exited(5)),
        // Standard input is empty.
        ("cat && exit 6", ProcessEnd::Exited(6)),
    ]
    .into_iter()
    .enumerate()
    {
        let id = place.id(number as u32);
        assert_eq!(place.run(&id, sh(script)), Ok(end), "{script}");
    }
    place.close();
}

fn what_a_program_finds() {
    let place = Place::new();
    let id = place.id(1);
    let mut launch = sh("pwd; echo $A; ls /proc/self/fd; ps -o sid= -p $$ | tr -d ' '; echo $$");
    launch.env.push(("A".into(), "b=c d".into()));
    launch.env.push(("WEIR_ATTEMPT".into(), "not this one".into()));
    launch.working_dir = "/usr".into();
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(0)));
    let log = place.log_text(&id);
    let lines: Vec<&str> = log.lines().collect();
    // 3 is the folder that ls reads: nothing of ours is open in a job.
    assert_eq!(lines[..6], ["/usr", "b=c d", "0", "1", "2", "3"]);
    assert_eq!(lines[6], lines[7], "it leads a session of its own");

    let id = place.id(2);
    assert_eq!(place.run(&id, sh("echo $WEIR_ATTEMPT")), Ok(ProcessEnd::Exited(0)));
    assert!(place.log_text(&id).ends_with("/7/2/1/work\n"), "{}", place.log_text(&id));
    place.close();
}

fn a_script_in_memory() {
    let place = Place::new();
    let id = place.id(1);
    let mut launch = sh("");
    launch.argv = vec!["sh".into(), "/proc/self/fd/3".into(), "x".into()];
    launch.script = Some(b"echo from memory $1\nexit 8\n".to_vec());
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(8)));
    assert_eq!(place.log_text(&id), "from memory x\n");
    place.close();
}

fn orders_of_any_size() {
    let place = Place::new();
    let id = place.id(1);
    let mut launch = sh("echo ${#A}");
    launch.env.push(("A".into(), "x".repeat(100_000)));
    let mut script = b"#".repeat(3_000_000);
    script.extend_from_slice(b"\necho ${#A}\n");
    launch.argv = vec!["sh".into(), "/proc/self/fd/3".into()];
    launch.script = Some(script);
    assert_eq!(place.run(&id, launch), Ok(ProcessEnd::Exited(0)));
    assert_eq!(place.log_text(&id), "100000\n");
    place.close();
}

fn what_can_not_be_started_says_why() {
    let mut place = Place::new();
    let text_file = place.home.join("text");
    fs::write(&text_file, "no program").expect("writes");
    let mut permissions = fs::metadata(&text_file).expect("there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&text_file, permissions).expect("sets");
    let text_file = text_file.display().to_string();
    let program = |name: &str| {
        let mut launch = sh("");
        launch.argv = vec![name.into()];
        launch
    };
    let mut no_folder = sh("true");
    no_folder.working_dir = "/no/such/folder".into();
    let mut nul = sh("true");
    nul.env.push(("A".into(), "a\0b".into()));
    let mut nothing = sh("");
    nothing.argv.clear();
    let mut stranger = sh("true");
    stranger.run_as = Some("no-such-user".into());
    let not_a_program =
        format!("`{text_file}` is no program: a script must begin with `#!` and its interpreter");
    let cases = [
        (
            program("no-such-program"),
            ErrorClass::Refused,
            "no program `no-such-program` in the PATH of the job",
        ),
        (program("/no/such/program"), ErrorClass::Refused, "no program `/no/such/program`"),
        (
            program("/etc/passwd"),
            ErrorClass::Refused,
            "can't run `/etc/passwd`: Permission denied (os error 13)",
        ),
        (program(&text_file), ErrorClass::Refused, &not_a_program),
        (
            no_folder,
            ErrorClass::Refused,
            "can't work in folder `/no/such/folder`: No such file or directory (os error 2)",
        ),
        (nul, ErrorClass::Definition, "a variable holds a NUL or has no proper name"),
        (nothing, ErrorClass::Definition, "there is no program to run"),
        (stranger, ErrorClass::Refused, "no user `no-such-user` on this machine"),
    ];
    for (number, (launch, class, message)) in cases.into_iter().enumerate() {
        let id = place.id(number as u32);
        let error = place.run(&id, launch.clone()).expect_err(message);
        assert_eq!((error.class, error.message.as_str()), (class, message));
        if class == ErrorClass::Refused {
            // Asked again later, by another engine, it says the same and does not run.
            place.restart_engine();
            let again = place.run(&id, sh("true")).expect_err(message);
            assert_eq!(again, error);
        }
    }
    place.close();
}

fn launched_twice_runs_once() {
    let place = Place::new();
    for number in 0..50 {
        let id = place.id(number);
        let ends = place.wait(async {
            let run = || async {
                place.client.launch(&id, sh("echo once; exit 3")).await?;
                place.client.wait(&id).await
            };
            tokio::join!(run(), run(), run(), run())
        });
        let end = Ok(ProcessEnd::Exited(3));
        assert_eq!(ends, (end.clone(), end.clone(), end.clone(), end));
        assert_eq!(place.log_text(&id), "once\n");
    }
    place.close();
}

fn thousands_at_once() {
    let place = Place::new();
    let (sender, receiver) = mpsc::channel();
    let count = 2_000;
    for number in 0..count {
        let sender = sender.clone();
        let on_end = Box::new(move |ended| sender.send((number, ended)).expect("somebody listens"));
        place.client.launch_with(&place.id(number), &sh(&format!("exit {}", number % 200)), on_end);
    }
    let mut seen = vec![false; count as usize];
    for _ in 0..count {
        let (number, ended): (u32, weir_engine::processes::Ended) =
            receiver.recv_timeout(Duration::from_secs(30)).expect("all end");
        assert_eq!(ended.end, Ok(ProcessEnd::Exited((number % 200) as i32)));
        assert!(!std::mem::replace(&mut seen[number as usize], true), "told twice");
    }
    place.close();
}

fn cancelled_before_its_launch_it_never_runs() {
    let mut place = Place::new();
    let id = place.id(1);
    place.cancel(&id, Duration::ZERO);
    assert_eq!(place.run(&id, sh("echo ran")), Ok(ProcessEnd::Fenced));
    place.restart_engine();
    assert_eq!(place.run(&id, sh("echo ran")), Ok(ProcessEnd::Fenced));
    place.cancel(&id, Duration::ZERO);
    assert!(!id.folder.join("log").exists());
    place.close();
}

fn cancelled_during_its_launch() {
    let place = Place::new();
    let mut fenced = 0;
    for number in 0..60 {
        let id = place.id(number);
        let end = place.wait(async {
            let launch = place.client.launch(&id, sh("echo ran; exec sleep 1000"));
            let cancel = place.client.cancel(&id, Duration::from_secs(5));
            // Either may reach the supervisor first.
            let (launched, cancelled) = if number % 2 == 0 {
                tokio::join!(launch, cancel)
            } else {
                let (cancelled, launched) = tokio::join!(cancel, launch);
                (launched, cancelled)
            };
            launched.expect("it starts or is fenced");
            cancelled.expect("it is cancelled");
            place.client.wait(&id).await.expect("it ends")
        });
        match end {
            ProcessEnd::Fenced => {
                fenced += 1;
                assert!(fs::read(id.folder.join("log")).unwrap_or_default().is_empty());
            }
            ProcessEnd::Signalled(15) => {}
            other @ (ProcessEnd::Exited(_) | ProcessEnd::Signalled(_) | ProcessEnd::Lost) => {
                panic!("ended as {other:?}");
            }
        }
    }
    assert!(fenced > 0, "a cancel that comes first was never tried");
    place.close();
}

fn waited_for_without_a_launch_it_is_lost() {
    let place = Place::new();
    let id = place.id(1);
    assert_eq!(place.end(&id), ProcessEnd::Lost);
    assert_eq!(place.run(&id, sh("echo ran")), Ok(ProcessEnd::Lost));
    assert!(!id.folder.join("log").exists());
    place.close();
}

fn a_folder_that_only_holds_a_log_can_be_launched_in() {
    use weir_core::job_type::Log;
    let place = Place::new();
    let id = place.id(1);
    let writer = weir_engine::logs::Writer::new(id.folder.clone(), std::sync::Arc::new([]));
    writer.line("about to begin");
    assert_eq!(place.run(&id, sh("echo ran; exit 2")), Ok(ProcessEnd::Exited(2)));
    assert_eq!(place.run(&id, sh("echo ran; exit 2")), Ok(ProcessEnd::Exited(2)));
    writer.line("done");
    assert_eq!(place.log_text(&id), "about to begin\nran\ndone\n");
    place.close();
}

fn a_long_home() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let home = dir.path().join("h".repeat(120)).join("o".repeat(120));
    fs::create_dir_all(&home).expect("the home can be made");
    let mut place = Place::at(dir, home);
    let id = place.id(1);
    assert_eq!(place.run(&id, sh("exit 1")), Ok(ProcessEnd::Exited(1)));
    place.restart_engine();
    assert_eq!(place.end(&id), ProcessEnd::Exited(1));
    place.close();
}

fn an_idle_supervisor_goes_by_itself() {
    let mut place = Place::new();
    assert_eq!(place.run(&place.id(1), sh("exit 1")), Ok(ProcessEnd::Exited(1)));
    place.restart_engine();
    place.until_no_supervisor();
    // The next one is no worse.
    assert_eq!(place.run(&place.id(2), sh("exit 2")), Ok(ProcessEnd::Exited(2)));
    assert_eq!(place.end(&place.id(1)), ProcessEnd::Exited(1));
    place.close();
}

fn a_busy_supervisor_stays() {
    let place = Place::new();
    let id = place.id(1);
    let gate = place.gate("gate");
    place.launch(&id, sh(&format!("read x <{}; exit 4", gate.display())));
    assert!(!place.client.shutdown_if_idle());
    open_gate(&gate);
    assert_eq!(place.end(&id), ProcessEnd::Exited(4));
    place.close();
}

fn the_end_comes_without_a_runtime() {
    let place = Place::new();
    let (sender, receiver) = mpsc::channel();
    let id = place.id(1);
    let again = sender.clone();
    let on_end = Box::new(move |ended| sender.send(ended).expect("somebody listens"));
    place.client.launch_with(&id, &sh("exit 9"), on_end);
    let ended: weir_engine::processes::Ended = receiver.recv().expect("it ends");
    assert_eq!(ended.end, Ok(ProcessEnd::Exited(9)));
    place.client.wait_with(&id, Box::new(move |ended| again.send(ended).expect("listens")));
    assert_eq!(receiver.recv().expect("it has ended"), ended);
    place.close();
}
