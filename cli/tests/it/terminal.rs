//! What a person sees at a terminal, and what is asked there.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::stage::Stage;

/// The person's side of a terminal, and the command at the other.
struct Terminal {
    person: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(stage: &Stage, args: &str) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&person).and_then(|()| unlockpt(&person)).expect("it is ours");
        tcsetwinsize(&person, Winsize { ws_row: 10, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("it has a size");
        let name =
            ptsname(&person, Vec::new()).expect("it has a name").into_string().expect("text");
        let other = OpenOptions::new().read(true).write(true).open(name).expect("it opens");
        let own = |file: &File| Stdio::from(file.try_clone().expect("a copy"));
        let mut command = stage.command(args);
        command.env("TERM", "xterm").stdin(own(&other)).stdout(own(&other)).stderr(own(&other));
        let child = command.spawn().expect("the binary starts");
        Self { person: File::from(person), child, seen: String::new() }
    }

    /// Reads until `words` have been seen.
    fn wait_for(&mut self, words: &str) -> &mut Self {
        while !self.seen.contains(words) {
            assert!(self.read(), "it ended without `{words}`: {}", self.seen);
        }
        self
    }

    fn read(&mut self) -> bool {
        let mut piece = [0; 4096];
        // Linux says EIO when the other side is closed.
        match self.person.read(&mut piece) {
            Ok(count @ 1..) => {
                self.seen.push_str(&String::from_utf8_lossy(&piece[..count]));
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    fn types(&mut self, text: &str) -> &mut Self {
        self.person.write_all(text.as_bytes()).expect("it takes keys");
        self
    }

    fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        (self.child.wait().expect("it ends").code(), self.seen)
    }
}

#[test]
fn a_tree_is_drawn_in_place_and_leaves_the_summary() {
    let stage = Stage::with(
        "draw",
        "jobs:\n  first: { uses: noop }\n  work: { needs: [first], uses: command, with: { script: 'echo the last line; until [ -e go ]; do sleep 0.05; done' } }\n  later: { needs: [work], uses: noop }\n",
    );
    let mut terminal = Terminal::start(&stage, "run draw.flow.yaml");
    terminal.wait_for("the last line").wait_for("it waits for `work`");
    stage.file("go", "");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("\x1b[36m"), "colours: {seen:?}");
    assert!(seen.contains("A\r"), "it goes up again: {seen:?}");
    let last = seen.rsplit("\x1b[J").next().unwrap_or_default();
    assert!(
        last.contains("run 1 of draw") && !last.contains("later"),
        "the tree is gone: {last:?}"
    );
}

#[test]
fn no_color_is_without_colours() {
    let stage = Stage::with("draw", "jobs:\n  first: { uses: noop }\n");
    let (code, seen) = Terminal::start(&stage, "run draw.flow.yaml --no-color").end();
    assert_eq!(code, Some(0));
    let colours = ["\x1b[3", "\x1b[1;", "\x1b[1m", "\x1b[2m"];
    assert!(colours.iter().all(|colour| !seen.contains(colour)), "{seen:?}");
}

#[test]
fn the_words_against_what_destroys_are_typed() {
    let flow =
        "jobs:\n  wipe: { uses: command, destroys: all tables, with: { script: echo gone } }\n";
    let stage = Stage::with("wipe", flow);
    let mut terminal = Terminal::start(&stage, "run wipe.flow.yaml");
    terminal.wait_for("all tables").wait_for("type these words").types("all tables\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    let mut terminal = Terminal::start(&stage, "run wipe.flow.yaml");
    terminal.wait_for("type these words").types("yes\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(4), "{seen}");
    assert!(seen.contains("these are other words"), "{seen}");
}

#[test]
fn a_missing_secret_is_asked_for_and_not_shown() {
    let stage = Stage::with(
        "hush",
        "params:\n  word: { type: secret, description: The password }\njobs:\n  a: { uses: command, with: { script: 'test {{ params.word }} = xyzzy-1234' } }\n",
    );
    let mut terminal = Terminal::start(&stage, "run hush.flow.yaml");
    terminal.wait_for("word (The password): ").types("xyzzy-1234\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains("xyzzy"), "{seen}");
}

#[test]
fn ctrl_c_at_the_terminal_cancels() {
    let stage = Stage::with(
        "long",
        "jobs:\n  work: { uses: command, with: { script: 'echo begun; sleep 600' } }\n",
    );
    let mut terminal = Terminal::start(&stage, "run long.flow.yaml");
    terminal.wait_for("begun");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&terminal.child),
        rustix::process::Signal::INT,
    )
    .expect("it lives");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(3), "{seen}");
    assert!(seen.contains("is being cancelled"), "{seen}");
}
