//! A flow and a script in, a trace out. Every step on the way is checked: the run made again from its rows is the
//! same in every field, the events add up to the rows, moves are legal, what is ignored changes nothing.
//!
//! The script is one statement a line or between `;`. Jobs are admitted as soon as they ask (unless `no slots`),
//! decisions are `go` unless the job says `decide`, timers fire as time goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use weir_core::graph::JobKind;
use weir_core::ids::{RunId, TaskIx};
use weir_core::outcome::ErrorClass;
use weir_core::run::{
    Act, Answer, Command, Ending, Event, Ignored, Kept, Out, Question, RecordKind, Run, Start,
    TaskState, Verdict, Waits, late_times, owed, step, waits_since, why,
};
use weir_core::time::{Timestamp, format_span, parse_span};

use crate::legal;
use crate::notation::Sketch;
use crate::rows::{Rows, disagreement, keep_events};

const BEGIN: Timestamp = Timestamp::from_millis(1_000_000);

/// Plays a script and compares the trace.
#[track_caller]
pub(crate) fn check(flow: &str, script: &str, expect: &str) {
    check_started(flow, &Start::default(), script, expect);
}

/// The same for a run that begins with tasks left out or reused.
#[track_caller]
pub(crate) fn check_started(flow: &str, start: &Start, script: &str, expect: &str) {
    let trace = play(Sketch::new(flow), start, script);
    same_text(&trace, expect);
}

/// Fails with the text as it is if it is not as expected.
#[track_caller]
pub(crate) fn same_text(text: &str, expect: &str) {
    let tidy = |text: &str| {
        let lines = text.trim().lines().map(str::trim);
        lines.collect::<Vec<_>>().join("\n")
    };
    let (text, expect) = (tidy(text), tidy(expect));
    assert!(text == expect, "--- got\n{text}\n--- expected\n{expect}\n---");
}

pub(crate) fn play(sketch: Sketch, start: &Start, script: &str) -> String {
    let mut player = Player::new(sketch, start);
    let mut statements: Vec<&str> = script.split(['\n', ';']).map(str::trim).collect();
    statements.retain(|statement| !statement.is_empty());
    if statements.first() == Some(&"queued") {
        statements.remove(0);
    } else {
        player.send(Event::Opened);
        player.end_line();
    }
    for statement in statements {
        player.play(statement);
        player.end_line();
    }
    player.trace
}

struct Player {
    sketch: Sketch,
    run: Run,
    rows: Rows,
    events: Vec<Kept>,
    now: Timestamp,
    timers: BTreeSet<(Timestamp, Option<TaskIx>)>,
    has_slots: bool,
    asked_for_slots: BTreeSet<TaskIx>,
    line: Vec<String>,
    trace: String,
    states: BTreeMap<u32, TaskState>,
}

impl Player {
    fn new(sketch: Sketch, start: &Start) -> Self {
        let mut out = Out::default();
        let run = Run::new(RunId(1), Arc::clone(&sketch.graph), start, BEGIN, BEGIN, &mut out);
        let mut rows = Rows::new(&run);
        rows.apply(&run, &out.records, BEGIN);
        let mut events = Vec::new();
        keep_events(&mut events, &out.records, BEGIN);
        let mut player = Self {
            sketch,
            run,
            rows,
            events,
            now: BEGIN,
            timers: BTreeSet::new(),
            has_slots: true,
            asked_for_slots: BTreeSet::new(),
            line: Vec::new(),
            trace: String::new(),
            states: BTreeMap::new(),
        };
        player.take(late_times(&player.run));
        player
    }

    fn end_line(&mut self) {
        if self.line.is_empty() {
            self.line.push("-".to_owned());
        }
        writeln!(self.trace, "{}", self.line.join(", ")).expect("a string takes text");
        self.line.clear();
    }

    fn play(&mut self, statement: &str) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["open"] => self.send(Event::Opened),
            ["cancel"] => self.send(Event::Cancelled),
            ["kill"] => self.send(Event::Killed),
            ["pause"] => self.send(Event::Paused),
            ["resume"] => self.send(Event::Resumed),
            ["run", "due"] => self.send(Event::RunDue),
            ["no", "slots"] => self.has_slots = false,
            ["slots"] => {
                self.has_slots = true;
                for task in std::mem::take(&mut self.asked_for_slots) {
                    self.send_quietly(Event::Admitted { task });
                }
            }
            ["admit", path] => {
                let task = self.task(path);
                self.send(Event::Admitted { task });
            }
            ["after", wait] => {
                let end = self.now.plus(parse_span(wait).expect("a span of time"));
                while let Some((at, task)) =
                    self.timers.first().copied().filter(|(at, _)| *at <= end)
                {
                    self.timers.remove(&(at, task));
                    self.now = self.now.max(at);
                    self.send_quietly(match task {
                        Some(task) => Event::Due { task },
                        None => Event::RunDue,
                    });
                }
                self.now = end;
            }
            ["crash"] => self.crash(),
            ["why", path] => self.why(path),
            ["states"] => self.states(),
            ["skip", path] => self.act(path, Act::Skip),
            ["succeed", path] => self.act(path, Act::Succeed),
            ["fail", path] => self.act(path, Act::Fail),
            ["retry", path] => self.act(path, Act::RetryNow),
            [path, rest @ ..] => self.about(path, rest),
            [] => unreachable!("empty statements are dropped"),
        }
    }

    fn act(&mut self, path: &str, act: Act) {
        let task = self.task(path);
        self.send(Event::Acted { task, act });
    }

    fn about(&mut self, path: &str, words: &[&str]) {
        // `b/1 fails` is about the first attempt of b, whatever the last one is.
        let (path, attempt) = match path.rsplit_once('#') {
            Some((path, number)) => (path, number.parse().ok()),
            None => (path, None),
        };
        let task = self.task(path);
        let attempt = attempt.unwrap_or(self.run.tasks()[task.at()].attempt);
        let ended = |ending, remedy| Event::Ended { task, attempt, ending, remedy };
        let answered = |answer| Event::Answered { task, answer };
        let decided = |verdict| Event::Decided { task, verdict };
        let class =
            |name: &str| ErrorClass::named(name).unwrap_or_else(|| panic!("no class `{name}`"));
        let cure = |number: &str| Some(number.parse().expect("a remedy's number"));
        self.send(match words {
            ["starts"] => Event::Started { task, attempt },
            ["unreached"] => Event::Unreached { task, attempt },
            ["not-ended"] => Event::NotEnded { task, attempt },
            ["done"] => ended(Ending::Done, None),
            ["already-done"] => ended(Ending::AlreadyDone, None),
            ["was-cancelled"] => ended(Ending::Cancelled, None),
            ["asks"] => ended(Ending::Ask, None),
            ["fails"] => ended(Ending::Failed(ErrorClass::Exit), None),
            ["fails", "cure", number] => ended(Ending::Failed(ErrorClass::Exit), cure(number)),
            ["fails", name] => ended(Ending::Failed(class(name)), None),
            ["fails", name, "cure", number] => ended(Ending::Failed(class(name)), cure(number)),
            ["due"] => Event::Due { task },
            ["approve"] => answered(Answer::Approve),
            ["reject"] => answered(Answer::Reject),
            ["retry"] => answered(Answer::Retry),
            ["continue"] => answered(Answer::Continue),
            ["go"] => decided(Verdict::Go),
            ["not-due"] => decided(Verdict::NotDue),
            ["unconfirmed"] => decided(Verdict::Unconfirmed),
            ["broken"] => decided(Verdict::Broken),
            ["items", count] => Event::Expanded {
                task,
                count: count.parse().expect("a number"),
                reused: Vec::new(),
            },
            ["items", count, "reused", reused] => Event::Expanded {
                task,
                count: count.parse().expect("a number"),
                reused: reused.split(',').map(|n| n.parse().expect("a number")).collect(),
            },
            other => panic!("a task can't be told {other:?}"),
        });
    }

    fn task(&self, path: &str) -> TaskIx {
        self.sketch.task(&self.run, path)
    }

    fn path(&self, task: TaskIx) -> String {
        self.sketch.path(&self.run, task)
    }

    fn send(&mut self, event: Event) {
        if let Err(ignored) = self.step(event) {
            self.line.push(format!("ignored: {ignored}"));
        }
    }

    /// An answer to a command may come too late; nobody needs to hear.
    fn send_quietly(&mut self, event: Event) {
        let _ = self.step(event);
    }

    fn step(&mut self, event: Event) -> Result<(), Ignored> {
        let before = self.run.clone();
        let mut out = Out::default();
        let result = step(&mut self.run, event, self.now, &mut out);
        if let Err(ignored) = result {
            assert_eq!(out, Out::default(), "what is ignored ({ignored}) leaves nothing");
            assert!(before == self.run, "what is ignored ({ignored}) changes nothing");
            return Err(ignored);
        }
        for record in &out.records {
            match record.kind {
                RecordKind::Task(to) => {
                    let task = record.task.expect("a task's record");
                    let from = self.states.insert(task.0, to);
                    let from = from.or(before.task(task).map(|task| task.state));
                    let from = from.unwrap_or(TaskState::Waiting);
                    assert!(
                        legal::is_legal(from, to),
                        "{} moved from {from:?} to {to:?}",
                        self.path(task)
                    );
                }
                RecordKind::Run(to) => {
                    let from = before.state();
                    assert!(legal::is_legal_run(from, to), "the run moved from {from:?} to {to:?}");
                }
                _ => {}
            }
        }
        self.rows.apply(&self.run, &out.records, self.now);
        keep_events(&mut self.events, &out.records, self.now);
        let again = self.rows.restore(&self.sketch.graph);
        assert!(again == self.run, "the run made again differs: {}", difference(&self.run, &again));
        assert_eq!(disagreement(&self.events, &self.rows), None);
        for record in &out.records {
            self.tell(record.kind, record.task);
        }
        self.take(out.commands);
        Ok(())
    }

    fn tell(&mut self, kind: RecordKind, task: Option<TaskIx>) {
        let path = task.map_or_else(|| "run".to_owned(), |task| self.path(task));
        let at = task.map(|task| self.run.tasks()[task.at()]);
        let words = match kind {
            RecordKind::Task(
                TaskState::Deciding | TaskState::Launching | TaskState::Cancelling(_),
            )
            | RecordKind::AttemptEnded(_)
            | RecordKind::Added { .. }
            | RecordKind::Paused
            | RecordKind::Resumed => return,
            RecordKind::Task(TaskState::Ready) if self.has_slots && !self.run.is_paused() => return,
            RecordKind::Task(TaskState::Retrying) => {
                let wait = at.expect("a task").until.since(self.now);
                format!("{path} retrying in {}", format_span(wait))
            }
            RecordKind::Task(TaskState::Asking(question)) => {
                format!("{path} asks {}", words_of(question))
            }
            RecordKind::Task(state) => {
                let cause = at.expect("a task").cause.words();
                let is_now = at.expect("a task").state == state;
                if cause.is_empty() || !is_now {
                    format!("{path} {}", state.name())
                } else {
                    format!("{path} {} ({cause})", state.name())
                }
            }
            RecordKind::Run(state) => format!("run {}", state.name()),
            RecordKind::Late => format!("{path} is late"),
            RecordKind::NotEnded => format!("{path} does not end"),
        };
        self.line.push(words);
    }

    fn take(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Decide { task } => {
                    let is_asked = self.sketch.graph.job(self.run.tasks()[task.at()].job).decide;
                    assert!(is_asked, "only jobs that say so are decided");
                    self.line.push(format!("decide {}", self.path(task)));
                }
                Command::Expand { task } => {
                    let job = self.run.tasks()[task.at()].job;
                    match self.sketch.items.get(&job.0) {
                        Some(&count) => {
                            self.send_quietly(Event::Expanded { task, count, reused: Vec::new() });
                        }
                        None => self.line.push(format!("expand {}", self.path(task))),
                    }
                }
                Command::Admit { task } if self.has_slots => {
                    self.send_quietly(Event::Admitted { task });
                }
                Command::Admit { task } => {
                    self.asked_for_slots.insert(task);
                }
                Command::Launch { task, attempt } => {
                    let path = self.path(task);
                    let number = if attempt == 1 { String::new() } else { format!("#{attempt}") };
                    let job = self.run.tasks()[task.at()].job;
                    if self.sketch.graph.job(job).kind == JobKind::Instant {
                        let ending = Ending::Done;
                        self.send_quietly(Event::Ended { task, attempt, ending, remedy: None });
                    } else {
                        self.line.push(format!("launch {path}{number}"));
                    }
                }
                Command::Cancel { task, attempt, reason } => {
                    let path = self.path(task);
                    let number = if attempt == 1 { String::new() } else { format!("#{attempt}") };
                    self.line.push(format!("stop {path}{number} for {reason:?}"));
                }
                Command::Wake { task, at } => {
                    self.timers.insert((at, Some(task)));
                }
                Command::WakeRun { at } => {
                    self.timers.insert((at, None));
                }
                Command::Close => self.line.push("close".to_owned()),
            }
        }
    }

    fn crash(&mut self) {
        self.run = self.rows.restore(&self.sketch.graph);
        self.timers.clear();
        self.asked_for_slots.clear();
        self.take(owed(&self.run));
        self.take(late_times(&self.run));
    }

    fn why(&mut self, path: &str) {
        let task = self.task(path);
        let since = waits_since(&self.run, task).map_or_else(String::new, |since| {
            format!(" for {}", format_span(self.now.since(since)))
        });
        let words = match why(&self.run, task) {
            None => "does not wait".to_owned(),
            Some(Waits::Run) => "waits for the run to begin".to_owned(),
            Some(Waits::Needs { count, first }) => {
                format!("waits for {count}, first {}", self.path(first))
            }
            Some(Waits::Group(group)) => format!("waits for {} to begin", self.path(group)),
            Some(Waits::Items(each)) => format!("waits for other items of {}", self.path(each)),
            Some(Waits::Pause(at)) => {
                format!("waits {} for the next batch", format_span(at.since(self.now)))
            }
            Some(Waits::Part) => "waits for the part of the run before it".to_owned(),
            Some(Waits::Decision) => "waits for a decision".to_owned(),
            Some(Waits::Paused) => "waits for the run to be resumed".to_owned(),
            Some(Waits::Slot) => "waits for a slot".to_owned(),
            Some(Waits::Delay(at)) => format!("waits {} more", format_span(at.since(self.now))),
            Some(Waits::Remedy(first)) => {
                format!("waits for its remedy, first {}", self.path(first))
            }
            Some(Waits::Person(question)) => format!("waits for a person: {}", words_of(question)),
        };
        self.line.push(format!("{path} {words}{since}"));
    }

    fn states(&mut self) {
        for ix in 0..self.run.tasks().len() as u32 {
            let state = self.run.tasks()[ix as usize].state;
            self.line.push(format!("{} {}", self.path(TaskIx(ix)), state.name()));
        }
        self.line.push(format!("run {}", self.run.state().name()));
    }
}

/// The first lines in which two runs differ.
pub(crate) fn difference(live: &Run, again: &Run) -> String {
    let (live, again) = (format!("{live:#?}"), format!("{again:#?}"));
    let lines =
        live.lines().zip(again.lines()).enumerate().filter(|(_, (live, again))| live != again);
    let lines = lines.map(|(at, (live, again))| format!("{at}: live {live}, again {again}"));
    lines.take(10).collect::<Vec<_>>().join("\n")
}

fn words_of(question: Question) -> String {
    match question {
        Question::Approval => "for approval".to_owned(),
        Question::Confirm => "to confirm".to_owned(),
        Question::Judgement => "for a judgement".to_owned(),
        Question::Unknown => "how it ended".to_owned(),
        Question::Diagnosed(remedy) => format!("about cure {remedy}"),
        Question::Repeated(remedy) => format!("as cure {remedy} did not last"),
        Question::RemedyFailed(remedy) => format!("as cure {remedy} failed"),
        Question::Remedied(remedy) => format!("what follows cure {remedy}"),
    }
}
