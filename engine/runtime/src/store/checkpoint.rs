//! Copying what was committed from SQLite's log into the database, away from the writer's path.
//!
//! SQLite would do it inside a commit once the log has 1,000 pages, and that commit then takes a third of a second on a
//! busy disk. Here another connection does it beside the writer (`PASSIVE`: it waits for nobody), when the log has grown
//! or nothing else is to be done. Only if the log gets very long does the writer wait for it once.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connect;
use crate::home::Home;

/// From so many bytes on, the log is copied beside the writer. Below [`connect::LOG_KEEPS`] its length tells nothing.
const GROWN: u64 = connect::LOG_KEEPS + (1 << 20);
/// From so many bytes on, the writer waits until it is copied, so that it can begin anew.
const VERY_LONG: u64 = 32 << 20;
/// The log is looked at once in so many rows: some 100 kB.
const LOOK_EVERY: usize = 2_000;

pub(super) struct Checkpoints {
    home: Home,
    /// The thread that copies, once it was needed. Each time is answered.
    copier: Option<Copier>,
    running: Option<Receiver<()>>,
    rows_since_look: usize,
    owed: bool,
}

struct Copier {
    ask: Sender<Sender<()>>,
    /// `None` if no thread could be made.
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn new(home: Home) -> Self {
        Self { home, copier: None, running: None, rows_since_look: 0, owed: false }
    }

    /// Whether something was written since the last one began.
    pub(super) fn owed(&self) -> bool {
        self.owed
    }

    /// So many rows were committed.
    pub(super) fn wrote(&mut self, rows: usize) {
        self.owed = true;
        self.rows_since_look += rows.max(1);
        if self.rows_since_look < LOOK_EVERY {
            return;
        }
        self.rows_since_look = 0;
        let bytes = std::fs::metadata(self.home.log()).map_or(0, |data| data.len());
        if bytes >= VERY_LONG {
            self.begin();
            self.join();
            // What was written while that one ran is little; after this the log begins anew.
            self.begin();
            self.join();
        } else if bytes >= GROWN {
            self.begin();
        }
    }

    /// Begins one unless one is under way.
    pub(super) fn begin(&mut self) {
        if let Some(running) = &self.running
            && running.try_recv() == Err(TryRecvError::Empty)
        {
            return;
        }
        self.owed = false;
        let copier = self.copier.get_or_insert_with(|| {
            let (ask, asked) = channel();
            let home = self.home.clone();
            let made = std::thread::Builder::new()
                .name("weir-copies".to_owned())
                .spawn(move || copy_when_asked(&home, &asked));
            if let Err(error) = &made {
                tracing::debug!(%error, "no thread to copy the log into the database");
            }
            Copier { ask, thread: made.ok() }
        });
        let (tell, told) = channel();
        // If there is no thread, `tell` is dropped here and nobody waits.
        let _ = copier.ask.send(tell);
        self.running = Some(told);
    }

    fn join(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.recv();
        }
    }

    /// Copies all, empties the log and closes the writer's connection, which is the last.
    pub(super) fn last(&mut self, connection: Option<Connection>) {
        self.join();
        if let Some(Copier { ask, thread: Some(thread) }) = self.copier.take() {
            drop(ask);
            let _ = thread.join();
        }
        if let Some(connection) = connection {
            copy(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
}

fn copy_when_asked(home: &Home, asked: &Receiver<Sender<()>>) {
    let mut connection = None;
    for tell in asked {
        if connection.is_none() {
            connection = connect::writer(home).ok();
        }
        if let Some(connection) = &connection {
            copy(connection, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        let _ = tell.send(());
    }
}

/// It is a service: a full disk or a busy database is met and told by the writer.
fn copy(connection: &Connection, how: &str) {
    if let Err(error) = connection.query_row(how, [], |_| Ok(())) {
        tracing::debug!(%error, "the log could not be copied into the database");
    }
}
