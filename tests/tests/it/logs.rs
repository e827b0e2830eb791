//! Logs on the page of a task: one of a gigabyte, searched and looked through for errors; the times of lines.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_tests::http::Answer;
use weir_tests::{Stage, Visitor};

use crate::pages::{ended, start};

/// What opening a page may take; here without optimisation and beside other tests.
const SOON: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|own| own == name) && path.is_file() {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

/// A log of a gigabyte; what stands at each multiple of a mebibyte is given by `odd`.
fn write_gigabyte(path: &Path, odd: &[(usize, &str)]) {
    let plain = "2026-11-21 14:03:12 INFO all is as it should be, block after block\n";
    let mut usual = plain.repeat(MIB / plain.len());
    usual.push_str(&".".repeat(MIB - usual.len() - 1));
    usual.push('\n');
    let mut file = File::create(path).expect("a log can be written");
    for at in 0..1024 {
        let mut piece = usual.clone();
        for (_, line) in odd.iter().filter(|(place, _)| *place == at) {
            piece.replace_range(..=line.len(), &format!("{line}\n"));
        }
        file.write_all(piece.as_bytes()).expect("there is room");
    }
}

/// Reads a page, which must not take long: not each time of a few, for the machine may be busy with other tests.
fn soon(visitor: &Visitor, path: &str, within: Duration) -> Answer {
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let page = visitor.get(path);
        took.push(begun.elapsed());
        if begun.elapsed() < within {
            return page;
        }
    }
    panic!("{path} took {took:?}");
}

/// Goes on looking until a page has `words` or a redirect; how often that was asked.
fn look_on(visitor: &Visitor, path: &str, words: &str) -> (Answer, u32) {
    let mut path = path.to_owned();
    for times in 1..400 {
        let page = soon(visitor, &path, 2 * SOON);
        if page.status == 303 || page.body.contains(words) {
            return (page, times);
        }
        let rest =
            page.body.split("&amp;from=").nth(1).or_else(|| page.body.split("&#38;from=").nth(1));
        let from =
            rest.unwrap_or_else(|| panic!("{path} neither finds nor goes on: {}", page.body));
        let from = from.split(['#', '"', '&']).next().unwrap_or_default();
        let base = path.split("&from=").next().unwrap_or_default();
        path = format!("{base}&from={from}");
    }
    panic!("{path} is looked through without end");
}

#[test]
fn a_log_of_a_gigabyte_opens_at_once_and_takes_no_memory() {
    let stage = Stage::new();
    stage.write(
        "flows/large.flow.yaml",
        "name: large\njobs: { a: { uses: command, with: { script: echo begun } } }\n",
    );
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let run = start(&admin, "-/large");
    ended(&stage, run);
    let log = find(&stage.home(), "log").expect("there is a log");
    let odd = [(90, "java.io.IOException: no such block"), (160, "a needle of gold")];
    write_gigabyte(&log, &odd);
    let page = format!("/runs/{run}/task?path=a");
    let before = site.process().memory();

    let shown = soon(&admin, &page, SOON);
    assert!(shown.body.contains("1.0 GB") && shown.body.contains("block after block"));
    for at in [0, 500 * MIB, 1023 * MIB] {
        let part = soon(&admin, &format!("{page}&at={at}"), SOON);
        assert!(part.body.contains("block after block"), "{at}");
    }
    let (found, looks) = look_on(&admin, &format!("{page}&q=NEEDLE"), "needle of gold");
    assert!(found.body.contains(&format!("at={}", 160 * MIB)), "after {looks} looks");
    let (found, looks) = look_on(&admin, &format!("{page}&jump=error"), "no end");
    let to = found.header("location").unwrap_or_default();
    let at = 90 * MIB;
    assert!(to.ends_with(&format!("&at={at}#o{at}")), "{to} after {looks} looks");

    let more = site.process().memory().saturating_sub(before);
    assert!(more < 32 * MIB as u64, "{} MiB more", more / MIB as u64);
    fs::remove_file(log).expect("it is there");
}

#[test]
fn lines_have_the_times_at_which_they_were_written() {
    let stage = Stage::new();
    let script = "echo one; sleep 1.5; echo two; echo and; sleep 1.5; echo three; sleep 0.5";
    stage.write(
        "flows/slow.flow.yaml",
        format!("name: slow\njobs: {{ a: {{ uses: command, with: {{ script: '{script}' }} }} }}\n"),
    );
    let site = stage.site(&["flows"]);
    let admin = site.admin();
    let run = start(&admin, "-/slow");
    let shown = ended(&stage, run);
    let page = admin.get(&format!("/runs/{run}/task?path=a")).body;
    let times: Vec<&str> =
        page.split("data-at=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(times.len() >= 2, "{times:?} in {page}");
    assert!(times.is_sorted(), "{times:?}");
    let (from, to) = (&shown["started_at"], &shown["ended_at"]);
    let is_within = |time: &&str| from.as_str() <= Some(*time) && Some(*time) <= to.as_str();
    assert!(times.iter().all(is_within), "{times:?} from {from} to {to}");
    assert!(page.contains("class=\"log timed\""), "{page}");
}
