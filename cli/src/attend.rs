//! Stays with a run until it ends, asks a person, or is left: shows how it goes, and hears Ctrl-C.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_core::time::Timestamp;
use weir_engine::Wish;
use weir_engine::api::{Problem, Request};
use weir_engine::engine::wall_clock;

use crate::access::{self, Access, Purpose, Watch};
use crate::args::Global;
use crate::draw::{self, Room};
use crate::end::{End, Ended};
use crate::last_lines::LastLines;
use crate::lines::{self, Which};
use crate::style::Style;
use crate::summary;
use crate::terminal::Terminal;
use crate::view::{Event, Run};
use crate::words;

/// The shortest time between two pictures.
const PICTURE: Duration = Duration::from_millis(100);

/// How often the last lines of logs and the times are looked at again where nothing else happens.
const LOOK: Duration = Duration::from_millis(500);

/// Why nobody stays any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Ended,
    Asks,
    Left,
}

/// Stays with a run. `since` is the time from which on events are told.
///
/// # Errors
/// The engine went away and nobody took its place, or the run can't be read.
pub(crate) async fn attend(
    global: &Global,
    access: Access,
    command: &str,
    run: i64,
    since: Timestamp,
) -> Ended {
    let mut attendant = Attendant::new(global, access, command, run, since)?;
    let over = attendant.stay().await;
    if let Some(terminal) = &mut attendant.terminal {
        terminal.clear();
    }
    let over = match over {
        Ok(over) => over,
        Err(problem) => {
            attendant.access.leave().await;
            return Err(problem);
        }
    };
    let shown = attendant.show().await;
    let Attendant { access, last_lines, style, .. } = attendant;
    let told = match shown {
        Ok(shown) => tell(global, &last_lines, &shown, over, style).await,
        Err(error) => Err(error),
    };
    match over {
        Over::Left => access.leave().await,
        Over::Ended | Over::Asks => access.close().await?,
    }
    told
}

/// The last words on a run: the object, or the summary.
async fn tell(
    global: &Global,
    last_lines: &LastLines,
    shown: &Value,
    over: Over,
    style: Style,
) -> Ended {
    let run = Run::read(shown)?;
    if global.json {
        // How the run ended is told by the exit code, too, whoever reads.
        words::unless_gone(say!("{shown}"))?;
    } else if over == Over::Left {
        tell!(
            "run {0} is left as it is ({1}): its jobs work on\n`weir show {0} --watch` attaches again, `weir serve` takes it up",
            run.id,
            run.state
        );
    } else if !global.quiet || run.state != "succeeded" {
        let failed = run.failed().take(summary::IN_FULL);
        let last = last_lines.of(run.id, failed, summary::LAST_LINES).await;
        tell_text!("{}", summary::text(&run, wall_clock(), &last, style));
    }
    Ok(match over {
        Over::Left => End::Cancelled,
        Over::Ended | Over::Asks => End::of_run(&run.state),
    })
}

struct Attendant<'g> {
    global: &'g Global,
    access: Access,
    command: String,
    last_lines: LastLines,
    run: i64,
    since: Timestamp,
    style: Style,
    terminal: Option<Terminal>,
    last_seq: i64,
    /// Whether the events come from the engine in this process.
    watches_here: bool,
    interrupts: u32,
    picture: Picture,
}

/// What is drawn, and when it was asked for.
struct Picture {
    run: Option<Run>,
    is_old: bool,
    asked_at: Instant,
    /// How long the engine took to answer: who asks often must not slow down the run.
    cost: Duration,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl<'g> Attendant<'g> {
    fn new(
        global: &'g Global,
        access: Access,
        command: &str,
        run: i64,
        since: Timestamp,
    ) -> anyhow::Result<Self> {
        let is_drawn = !global.json && !global.quiet;
        Ok(Self {
            global,
            last_lines: LastLines::find(global, &access)?,
            access,
            command: command.to_owned(),
            run,
            since,
            style: Style::find(global),
            terminal: if is_drawn { Terminal::find() } else { None },
            last_seq: 0,
            watches_here: false,
            interrupts: 0,
            picture: Picture {
                run: None,
                is_old: true,
                asked_at: Instant::now(),
                cost: Duration::ZERO,
            },
        })
    }

    /// The run as it is.
    async fn show(&mut self) -> anyhow::Result<Value> {
        Ok(self.access.ask(Request::Show { run: self.run }).await?)
    }

    async fn stay(&mut self) -> anyhow::Result<Over> {
        let mut signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        self.watches_here = self.access.is_local();
        let mut watch = match self.access.watch(self.run, self.last_seq).await {
            Ok(watch) => watch,
            Err(problem) => self.find_again(problem).await?,
        };
        let mut tick = tokio::time::interval(PICTURE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = watch.next() => match event {
                    Ok(Some(event)) => {
                        if self.take(&event, &mut watch)? && self.is_asking().await? {
                            return Ok(Over::Asks);
                        }
                    }
                    Ok(None) => return Ok(Over::Ended),
                    Err(problem) => watch = self.find_again(problem).await?,
                },
                _ = signals.interrupt.recv() => {
                    if self.interrupted().await? {
                        return Ok(Over::Left);
                    }
                }
                _ = signals.terminate.recv() => return Ok(Over::Left),
                _ = signals.hang_up.recv() => return Ok(Over::Left),
                _ = tick.tick(), if self.terminal.is_some() => self.draw().await?,
            }
        }
    }

    /// Tells of an event and of all that have come behind it; whether the run asks after them.
    fn take(&mut self, first: &Value, watch: &mut Watch) -> anyhow::Result<bool> {
        let mut asks = false;
        let mut next = Some(first.clone());
        while let Some(value) = next {
            let event = Event::deserialize(&value)?;
            self.last_seq = event.seq;
            if event.kind.starts_with("run-") {
                asks = event.kind == "run-asking";
            }
            self.tell(&event);
            next = watch.ready();
        }
        self.picture.is_old = true;
        Ok(asks)
    }

    fn tell(&self, event: &Event) {
        if self.terminal.is_some() || self.global.json || event.at < self.since {
            return;
        }
        let which = if self.global.quiet { Which::Trouble } else { Which::All };
        if let Some(line) = lines::line(event, which, self.style) {
            tell!("{line}");
        }
    }

    /// Whether the run asks now: what was read may be long past.
    async fn is_asking(&mut self) -> anyhow::Result<bool> {
        Ok(Run::read(&self.show().await?)?.state == "asking")
    }

    /// Ctrl-C: the first cancels, the second leaves. Says whether to leave.
    async fn interrupted(&mut self) -> anyhow::Result<bool> {
        self.interrupts += 1;
        if self.interrupts > 1 {
            return Ok(true);
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.clear();
        }
        tell!("run {} is being cancelled; Ctrl-C again leaves it", self.run);
        let wish = Request::Wish { run: self.run, wish: Wish::Cancel, by: access::asker() };
        if let Err(problem) = self.access.ask(wish).await {
            // It may have ended, or be cancelled already: its events will tell.
            tracing::debug!("{problem}");
        }
        Ok(false)
    }

    /// The engine that moved the run is gone: another one, or this process, takes the run up.
    async fn find_again(&mut self, problem: Problem) -> anyhow::Result<Watch> {
        if self.watches_here {
            return Err(problem.into());
        }
        tracing::debug!("{problem}; it is taken up again");
        loop {
            if !self.access.is_local() {
                self.access = Access::open(self.global, &self.command, Purpose::Move).await?;
            }
            self.watches_here = self.access.is_local();
            match self.access.watch(self.run, self.last_seq).await {
                // That one leaves, too.
                Err(problem) if problem.is_leaving && !self.watches_here => {}
                watch => return Ok(watch?),
            }
        }
    }

    async fn draw(&mut self) -> anyhow::Result<()> {
        let since = self.picture.asked_at.elapsed();
        let gap = PICTURE.max(self.picture.cost * 10);
        if self.picture.run.is_none() || (self.picture.is_old && since >= gap) {
            let begun = Instant::now();
            let Ok(shown) = self.access.ask(Request::Show { run: self.run }).await else {
                // The watch will tell, and find another engine.
                return Ok(());
            };
            self.picture = Picture {
                run: Some(Run::read(&shown)?),
                is_old: false,
                asked_at: Instant::now(),
                cost: begun.elapsed(),
            };
        } else if since < LOOK {
            return Ok(());
        } else if !self.picture.is_old {
            self.picture.asked_at = Instant::now();
        }
        let Some(run) = &self.picture.run else { return Ok(()) };
        let busy = run.tasks.iter().filter(|task| task.is_active() && !task.attempts.is_empty());
        let last = self.last_lines.of(run.id, busy, 1).await;
        let last: BTreeMap<u32, String> = last
            .into_iter()
            .filter_map(|(number, mut lines)| Some((number, lines.pop()?)))
            .collect();
        let (columns, rows) = Terminal::size();
        // The last line of a terminal belongs to the cursor.
        let room = Room { columns, lines: rows.saturating_sub(1).max(2) };
        let lines = draw::tree(run, &last, wall_clock(), room, self.style);
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(lines);
        }
        Ok(())
    }
}
