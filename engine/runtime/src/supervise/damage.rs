//! What the supervisor and the engine read from each other and from attempt folders, damaged: taken or refused, never a
//! panic, never a huge allocation.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use weir_core::flow::Limits;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{Launch, Phase, ProcessId};
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;

use super::exec;
use super::folder::{self, End, Ended};
use super::wire::{self, Reply, Request, Tells};
use crate::logs;

fn id() -> ProcessId {
    let attempt = AttemptId { run: RunId(7), task: TaskIx(3), number: 2 };
    ProcessId { attempt, phase: Phase::Verify, folder: "/srv/weir/runs/7/3.2".into() }
}

fn messages() -> Vec<Vec<u8>> {
    let launch = Launch {
        argv: vec!["sh".into(), "-c".into(), "echo".into()],
        script: Some(b"echo".to_vec()),
        env: vec![("A".into(), "1".into())],
        working_dir: "/".into(),
        run_as: Some("nobody".into()),
        limits: Limits { memory: Some(1 << 20), ..Limits::default() },
        secrets: [Secret::new("door", "hunter2hunter2")].into(),
    };
    let launch = wire::launch(1, Tells::End, &id(), &launch).expect("it holds no NUL");
    vec![
        wire::hello(),
        wire::leave(),
        wire::watch(2, &id()),
        wire::cancel(3, &id(), Duration::MAX),
        launch,
    ]
}

fn replies() -> Vec<Vec<u8>> {
    let at = folder::now();
    let ended = |end| Reply::Ended { tag: 1, ended: Ended { end, at } }.encode();
    vec![
        Reply::Welcome { version: 1, pid: 2 }.encode(),
        ended(End::Signalled(9, "too large".into())),
        ended(End::Failed(ErrorClass::Refused, "no such program".into())),
        Reply::Stuck { tag: 1, message: "a process would not end".into() }.encode(),
    ]
}

fn damage(bytes: &mut Vec<u8>, wounds: &[(Index, u8, bool)]) {
    for (at, value, is_cut) in wounds {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        if *is_cut { bytes.truncate(at) } else { bytes[at] = *value }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_messages_are_read_or_refused(which in any::<Index>(), wounds in proptest::collection::vec(any::<(Index, u8, bool)>(), 1..6)) {
        let (messages, replies) = (messages(), replies());
        for mut message in [messages[which.index(messages.len())].clone(), replies[which.index(replies.len())].clone()] {
            damage(&mut message, &wounds);
            let _refused = Request::decode(&message);
            let _refused = Reply::decode(&message);
            let _refused = exec::refusal(&message);
        }
    }

    #[test]
    fn a_damaged_folder_has_an_end_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60), wounds in proptest::collection::vec(any::<(Index, u8, bool)>(), 1..4)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut line = b"failed refused 1700000000123 no such program\n".to_vec();
        damage(&mut line, &wounds);
        for text in [&bytes, &line] {
            std::fs::write(folder.path().join(folder::EXIT), text).expect("written");
            let end = folder::end(folder.path()).expect("it can be read");
            assert!(end.is_none() || text.last() == Some(&b'\n'), "a line that was cut off counted");
        }
    }

    #[test]
    fn a_damaged_index_of_a_log_does_no_harm(index in proptest::collection::vec(any::<u8>(), 0..100), wounds in proptest::collection::vec(any::<(Index, u8, bool)>(), 0..4), range in any::<(u16, u16)>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = b"one\ntwo\nthree\n".repeat(40);
        std::fs::write(folder.path().join(folder::LOG), &log).expect("written");
        // As written: a point at 100, and a hole from 200 to 300.
        let mut near = [100, 1_700_000_000_000, (1 << 63) + 200, 300_u64].map(u64::to_le_bytes).concat();
        damage(&mut near, &wounds);
        for index in [&index, &near] {
            std::fs::write(folder.path().join(folder::INDEX), index).expect("written");
            let mut reader = logs::Reader::open(folder.path()).expect("it is there");
            let read = reader.read(u64::from(range.0)..u64::from(range.1)).expect("it can be read");
            assert!(read.len() <= log.len() + 100, "more was read than there is");
            reader.tail_start(3).expect("it has lines");
            reader.time_at(u64::from(range.0)).expect("it can be asked");
        }
    }
}
