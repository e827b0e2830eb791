//! Which line of a log is the cause, and what it costs to find it.

use proptest::prelude::*;

use super::*;

fn known(id: &str, rank: Rank, log: &str) -> Known {
    Known {
        id: id.to_owned(),
        rank,
        layer: Layer::Catalogue,
        is_general: id.starts_with("NET") || id.starts_with("SYS"),
        signature: Signature { log: Some(log.to_owned()), ..Signature::default() },
    }
}

fn some() -> Vec<Known> {
    vec![
        known("KEY-01", Rank::Primary, "Could not determine a suitable URL"),
        known("KEY-02", Rank::Primary, "^FAILED (?P<name>[a-z_]+)$"),
        known("WAIT-01", Rank::Transient, "in safe mode"),
        known("DONE-01", Rank::Ok, "already running: (?P<job>\\S+)"),
        known("SEC-01", Rank::Secondary, "generate-subunit: command not found"),
        known("MARK-01", Rank::Marker, "^Error on exit$"),
        known("NOISE-01", Rank::Noise, "^WARNING: .* is deprecated"),
        known("NET-01", Rank::Transient, "(?i)connection (?:refused|reset)"),
        known("SYS-01", Rank::Primary, "(?P<cmd>[^\\s:]+): (?:command )?not found"),
    ]
}

fn diagnose_with(known: Vec<Known>, log: &[u8], exit: Option<i32>) -> Diagnosis {
    let mut matcher = Matcher::new(Arc::new(Patterns::new(known).expect("good patterns")));
    matcher.feed(log);
    matcher.finish(exit, None)
}

fn told(log: &str) -> String {
    let diagnosis = diagnose_with(some(), log.as_bytes(), Some(1));
    let name = |hit: &Match| format!("{}@{}x{}", hit.id, hit.line, hit.count);
    let mut words = vec![diagnosis.primary.as_ref().map_or("-".to_owned(), name)];
    words.extend(diagnosis.others.iter().map(name));
    words.extend(diagnosis.cut_at_marker.map(|line| format!("cut {line}")));
    words.join(" ")
}

#[test]
fn the_first_primary_before_the_marker_is_the_cause() {
    assert_eq!(
        told("a\nFAILED boot\nCould not determine a suitable URL\n"),
        "KEY-02@2x1 KEY-01@3x1"
    );
    assert_eq!(
        told("Could not determine a suitable URL\nError on exit\nFAILED boot\n"),
        "KEY-01@1x1 MARK-01@2x1 KEY-02@3x1 cut 2"
    );
    assert_eq!(told("ok\nError on exit\nFAILED boot\n"), "- MARK-01@2x1 KEY-02@3x1 cut 2");
}

#[test]
fn specific_goes_before_general_and_primary_before_transient() {
    assert_eq!(told("Connection refused\nFAILED boot\n"), "KEY-02@2x1 NET-01@1x1");
    assert_eq!(told("in safe mode\nFAILED boot\n"), "KEY-02@2x1 WAIT-01@1x1");
    assert_eq!(told("Connection refused\nin safe mode\n"), "WAIT-01@2x1 NET-01@1x1");
    assert_eq!(told("Connection reset\nx: not found\nconnection RESET"), "SYS-01@2x1 NET-01@1x2");
}

#[test]
fn a_line_claimed_by_a_specific_entry_is_none_for_a_general_one() {
    assert_eq!(told("./stack.sh: line 488: generate-subunit: command not found\n"), "- SEC-01@1x1");
    assert_eq!(
        told("generate-subunit: command not found\nnmae: command not found\n"),
        "SYS-01@2x1 SEC-01@1x1"
    );
    assert_eq!(told("WARNING: connection refused is deprecated\n"), "-");
}

#[test]
fn already_so_is_a_success_only_as_the_last_word() {
    assert_eq!(
        told("start: already running: x\n\nWARNING: start is deprecated\n\n"),
        "DONE-01@1x1"
    );
    assert_eq!(told("start: already running: x\nthen something else\n"), "- DONE-01@1x1");
    assert_eq!(
        told("already running: x\nConnection refused\nalready running: y"),
        "NET-01@2x1 DONE-01@1x2"
    );
    assert_eq!(told("Error on exit\nalready running: y"), "- MARK-01@1x1 DONE-01@2x1 cut 1");
}

#[test]
fn the_jobs_own_entries_go_first_and_exit_codes_count() {
    let mut list = some();
    let signature = Signature { exit: vec![7], ..Signature::default() };
    let own = |id: &str, signature| Known {
        id: id.to_owned(),
        rank: Rank::Primary,
        layer: Layer::Job,
        is_general: false,
        signature,
    };
    list.push(own("mine[0]", signature));
    list.push(own(
        "mine[1]",
        Signature { log: Some("late".to_owned()), exit: vec![7], ..Signature::default() },
    ));
    let cause = |log: &str, exit| {
        diagnose_with(list.clone(), log.as_bytes(), exit)
            .primary
            .map(|hit| hit.id)
            .unwrap_or_default()
    };
    assert_eq!(cause("FAILED boot\nlate\n", Some(7)), "mine[1]");
    assert_eq!(cause("FAILED boot\n", Some(7)), "mine[0]");
    assert_eq!(cause("FAILED boot\nlate\n", Some(1)), "KEY-02");
    assert_eq!(cause("late\n", None), "mine[1]");
    assert_eq!(cause("", None), "");
}

#[test]
fn evidence_stands_around_the_line() {
    let mut lines: Vec<String> = (1..=50).map(|line| format!("line {line}\n")).collect();
    "\x1b[31mFAILED\x1b[0m boot_it\r\n".clone_into(&mut lines[29]);
    let log = lines.concat();
    let hit = diagnose_with(some(), log.as_bytes(), None).primary.expect("found");
    assert_eq!((hit.line, hit.evidence_from, hit.evidence.len()), (30, 10, 41));
    assert_eq!(hit.evidence[20], "FAILED boot_it");
    assert_eq!((hit.evidence[0].as_str(), hit.evidence[40].as_str()), ("line 10", "line 50"));
    assert_eq!(hit.captures["name"], "boot_it");
    assert_eq!(&log.as_bytes()[hit.offset as usize..][..5], b"\x1b[31m");
    let short = diagnose_with(some(), b"a\nFAILED b\nc", None).primary.expect("found");
    assert_eq!(short.evidence, ["a", "FAILED b", "c"]);
}

#[test]
fn overlong_lines_are_cut_and_do_not_hide_what_follows() {
    for length in [LINE_CAP - 20, LINE_CAP, BLOCK - 1, BLOCK, 3 * BLOCK + 5] {
        let mut log = vec![b'x'; length];
        log.extend_from_slice(b" in safe mode\r\nFAILED boot\n");
        let diagnosis = diagnose_with(some(), &log, None);
        let hit = diagnosis.primary.expect("found");
        assert_eq!((hit.line, hit.offset as usize), (2, length + 15), "{length}");
        let is_seen = diagnosis.others.iter().any(|other| other.id == "WAIT-01");
        assert_eq!(is_seen, length < LINE_CAP - 13, "{length}");
    }
}

#[test]
fn a_bad_pattern_is_named() {
    let error = Patterns::new(vec![known("X-01", Rank::Primary, "(")]).expect_err("no regex");
    assert_eq!(error.id, "X-01");
    assert!(Patterns::new(vec![known("X-02", Rank::Primary, r"(?:\w{1000}){1000}")]).is_err());
}

proptest! {
    #[test]
    fn any_cut_of_the_log_tells_the_same(
        parts in proptest::collection::vec(prop_oneof![
            Just("FAILED boot\n"), Just("Connection refused"), Just("\n"), Just("\r"), Just("\x1b[1m"), Just("in safe mode\n"),
            Just("already running: z\n"), Just("Error on exit\n"), Just("plain text\n"), Just("x: not found\n"), Just("\u{4e2d}"),
        ], 0..60),
        long in 0..3_usize,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut log = vec![b'y'; long * (BLOCK - 7)];
        for part in &parts {
            log.extend_from_slice(part.as_bytes());
        }
        let patterns = Arc::new(Patterns::new(some()).expect("good patterns"));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
        cuts.extend([0, log.len()]);
        cuts.sort_unstable();
        let mut matcher = Matcher::new(Arc::clone(&patterns));
        for pair in cuts.windows(2) {
            matcher.feed(&log[pair[0]..pair[1]]);
        }
        let cut = matcher.finish(None, None);
        prop_assert_eq!(&cut, &diagnose_with(some(), &log, None));
        // Against the plain way: each line by itself.
        let mut first = BTreeMap::new();
        for (number, line) in log.split(|byte| *byte == b'\n').enumerate() {
            let clean = line::without_controls(&line[..line.len().min(LINE_CAP)]);
            for part in line::overprints(&clean) {
                for (index, known) in patterns.known().iter().enumerate() {
                    let regex = patterns.regex(index).filter(|_| !known.is_general);
                    if regex.is_some_and(|regex| regex.is_match(part)) {
                        first.entry(index).or_insert(number as u64 + 1);
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        for hit in cut.primary.iter().chain(&cut.others) {
            if !patterns.known()[hit.index].is_general {
                found.insert(hit.index, hit.line);
            }
        }
        prop_assert_eq!(found, first);
    }
}
