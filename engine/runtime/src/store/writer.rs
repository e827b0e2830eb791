//! The one that writes. Takes everything that waits, commits it in one transaction, wakes the callers.
//!
//! Order is kept: what was submitted first is committed first or together. When a commit fails, everything that waits
//! and everything that comes is handed back unwritten until somebody says to go on ([`Work::Resume`]): a later change
//! is never kept without an earlier one.
//!
//! It has a thread of its own. A small batch that finds nothing before it is written by whoever brings it, if they may
//! wait for the disk and the disk is quick: handing it over and being woken again costs more than writing it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::faults::{Fault, Faults, Point};
use super::people::Change;
use super::prune::Removal;
use super::rows::{Batch, SecretRow};
use super::table::{self, Row, Values};
use super::{CommitError, Trouble, connect};
use crate::home::Home;

/// The most orders in one transaction: keeps the slowest answer of a flood near that of a busy moment.
const MOST_ORDERS: usize = 4_096;
/// After so long without work, what was written is copied from the log into the database.
const IDLE: Duration = Duration::from_secs(1);

/// A batch of at most so many rows may be written by who brings it.
const SMALL: usize = 64;
/// The disk is quick while the last commit took less.
const QUICK: Duration = Duration::from_millis(2);

/// Called when the batch is durable, or handed back.
pub type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// A change of the secrets.
pub(super) enum SecretChange {
    Set(SecretRow),
    Remove { scope: String, name: String },
}

/// What one caller wants committed.
pub(super) struct Order {
    pub(super) batch: Batch,
    pub(super) secrets: Vec<SecretChange>,
    pub(super) people: Vec<Change>,
    pub(super) removals: Vec<Removal>,
    /// Taken when the caller is told.
    pub(super) done: Option<Done>,
}

pub(super) enum Work {
    Order(Box<Order>),
    Resume,
    /// Something was written beside the thread: it is to see to the rest.
    Look,
    Close(oneshot::Sender<()>),
}

/// What the writer has done since it began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) orders: AtomicU64,
    pub(super) statements: AtomicU64,
    pub(super) rows: AtomicU64,
    /// A commit failed: all that comes is handed back until somebody says to go on.
    pub(super) is_halted: AtomicBool,
}

pub(super) struct Writer {
    pub(super) home: Home,
    /// `None` after a failure that left it in doubt.
    pub(super) connection: Option<Connection>,
    pub(super) checkpoints: Checkpoints,
    pub(super) faults: Faults,
    pub(super) counters: Arc<Counters>,
    pub(super) texts: Texts,
    /// Nothing is written any more.
    pub(super) is_closed: bool,
    /// How long the last commit took.
    pub(super) took: Duration,
}

/// Where the writer is found by its thread and by who writes beside it.
pub(super) struct Desk {
    writer: Mutex<Writer>,
    /// What was sent to the thread and is not worked off.
    waiting: AtomicUsize,
}

/// What became of an order that was brought to the desk.
pub(super) enum Brought {
    /// It was written. The thread must look, if so.
    Dealt { must_look: bool },
    /// It is for the thread.
    Back(Box<Order>),
}

/// The text for each table, form and number of rows, once made.
pub(super) type Texts = HashMap<(&'static [&'static str], usize), Arc<str>>;

/// How a commit went.
enum Commit {
    Done,
    Failed(Trouble, String),
    /// A fault of the kind that ends a process.
    Died,
}

impl Desk {
    pub(super) fn new(writer: Writer) -> Arc<Self> {
        Arc::new(Self { writer: Mutex::new(writer), waiting: AtomicUsize::new(0) })
    }

    /// Something is about to be sent to the thread.
    pub(super) fn expect(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Writes a small order here and now, if nothing is before it and that is quick. All troubles are the thread's.
    pub(super) fn bring(&self, order: Box<Order>) -> Brought {
        if order.batch.len() > SMALL || self.waiting.load(Ordering::SeqCst) > 0 {
            return Brought::Back(order);
        }
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Brought::Back(order),
        };
        if writer.is_closed || writer.is_halted() || writer.took > QUICK {
            return Brought::Back(order);
        }
        let owed = writer.checkpoints.owed();
        if !writer.waits_for_others(Duration::ZERO) {
            return Brought::Back(order);
        }
        let commit = writer.commit(std::slice::from_ref(&*order));
        // One that is gone after a failure is made anew with that patience.
        writer.waits_for_others(connect::BUSY);
        match commit {
            Commit::Done => {
                order.tell();
                Brought::Dealt { must_look: !owed }
            }
            Commit::Failed(..) => Brought::Back(order),
            Commit::Died => {
                order.forget();
                Brought::Dealt { must_look: true }
            }
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: works until it is closed or nobody can send any more.
    pub(super) fn work(&self, queue: Receiver<Work>) {
        let closed = loop {
            let Some(first) = self.next(&queue) else { break None };
            let works = std::iter::once(first).chain(queue.try_iter().take(MOST_ORDERS - 1));
            let mut taken = 0;
            let result = self.writer().work_off(works.inspect(|_| taken += 1));
            self.waiting.fetch_sub(taken, Ordering::SeqCst);
            match result {
                Ok(None) => {}
                Ok(Some(told)) => break Some(told),
                Err(Died) => return,
            }
        };
        {
            let mut writer = self.writer();
            if !writer.is_closed {
                writer.close();
            }
        }
        // What came in meanwhile is handed back, and so is all that comes.
        drop(queue);
        if let Some(told) = closed {
            let _ = told.send(());
        }
    }

    /// What is to be done next. When nothing was written for a while, what was is copied into the database.
    fn next(&self, queue: &Receiver<Work>) -> Option<Work> {
        let mut written = None;
        loop {
            {
                let mut writer = self.writer();
                if writer.is_closed {
                    return None;
                }
                if !writer.checkpoints.owed() {
                    drop(writer);
                    return queue.recv().ok();
                }
                let now_written = writer.counters.commits.load(Ordering::Relaxed);
                if written.replace(now_written) == Some(now_written) {
                    writer.checkpoints.begin();
                    continue;
                }
            }
            match queue.recv_timeout(IDLE) {
                Ok(work) => return Some(work),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Writer {
    /// Does all that waits; who is to be told, if it is to close then.
    fn work_off(
        &mut self,
        works: impl Iterator<Item = Work>,
    ) -> Result<Option<oneshot::Sender<()>>, Died> {
        let mut orders: Vec<Order> = Vec::new();
        for work in works {
            match work {
                Work::Order(order) => orders.push(*order),
                Work::Resume => {
                    self.commit_all(std::mem::take(&mut orders))?;
                    self.halt(false);
                }
                Work::Look => {}
                Work::Close(told) => {
                    self.commit_all(orders)?;
                    return Ok(Some(told));
                }
            }
        }
        self.commit_all(orders)?;
        Ok(None)
    }

    /// As if its process had died: its connection goes, and what that had begun.
    fn die(&mut self) -> Commit {
        self.is_closed = true;
        self.connection = None;
        Commit::Died
    }

    /// Brings the database into one file and lets go of it.
    fn close(&mut self) {
        self.is_closed = true;
        self.checkpoints.last(self.connection.take());
    }

    /// Commits orders together; if the database refuses something, one by one, so that each gets its own answer.
    fn commit_all(&mut self, orders: Vec<Order>) -> Result<(), Died> {
        if orders.is_empty() {
            return Ok(());
        }
        if self.is_halted() {
            for order in orders {
                order.hand_back(Trouble::Held, String::new());
            }
            return Ok(());
        }
        match self.commit(&orders) {
            Commit::Done => {
                for order in orders {
                    order.tell();
                }
            }
            Commit::Failed(Trouble::Refused, _) if orders.len() > 1 => {
                for order in orders {
                    if self.is_halted() {
                        order.hand_back(Trouble::Held, String::new());
                        continue;
                    }
                    match self.commit(std::slice::from_ref(&order)) {
                        Commit::Done => order.tell(),
                        Commit::Failed(trouble, message) => {
                            self.halt(true);
                            order.hand_back(trouble, message);
                        }
                        Commit::Died => {
                            order.forget();
                            return Err(Died);
                        }
                    }
                }
            }
            Commit::Failed(trouble, message) => {
                self.halt(true);
                for order in orders {
                    order.hand_back(trouble, message.clone());
                }
            }
            Commit::Died => {
                orders.into_iter().for_each(Order::forget);
                return Err(Died);
            }
        }
        Ok(())
    }

    fn is_halted(&self) -> bool {
        self.counters.is_halted.load(Ordering::SeqCst)
    }

    fn halt(&self, halts: bool) {
        self.counters.is_halted.store(halts, Ordering::SeqCst);
    }

    fn commit(&mut self, orders: &[Order]) -> Commit {
        let begun = Instant::now();
        let outcome = match self.write_all(orders) {
            Ok(outcome) => outcome,
            Err(error) => Commit::Failed(Trouble::of_write(&error), error.to_string()),
        };
        match outcome {
            Commit::Done => {
                self.took = begun.elapsed();
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters.orders.fetch_add(orders.len() as u64, Ordering::Relaxed);
                self.checkpoints.wrote(orders.iter().map(|order| order.batch.len()).sum());
                match self.faults.at(Point::AfterCommit) {
                    Fault::None => Commit::Done,
                    Fault::Fail(_) | Fault::Die => self.die(),
                }
            }
            Commit::Failed(trouble, message) => {
                self.roll_back();
                Commit::Failed(trouble, message)
            }
            Commit::Died => self.die(),
        }
    }

    /// One transaction of a few statements a table.
    fn write_all(&mut self, orders: &[Order]) -> Result<Commit, rusqlite::Error> {
        let batches = || orders.iter().map(|order| &order.batch);
        self.execute("BEGIN IMMEDIATE")?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.blobs)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.versions)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.new_runs)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.runs)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.tasks)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.blocks)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.attempts)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.results)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.diagnoses)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.events)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.requests)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.flows)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.schedules)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.schedule_events)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.fires)))?;
        self.write(&table::last_words(batches().flat_map(|batch| &batch.notices)))?;
        // Secrets change rarely, one at a time, by a person.
        for change in orders.iter().flat_map(|order| &order.secrets) {
            match change {
                SecretChange::Set(row) => self.write(&[row])?,
                SecretChange::Remove { scope, name } => {
                    self.count(1, 1);
                    self.connection()?
                        .prepare_cached("DELETE FROM secret WHERE scope = ? AND name = ?")?
                        .execute([scope, name])?;
                }
            }
        }
        for change in orders.iter().flat_map(|order| &order.people) {
            self.count(1, 1);
            change.write(self.connection()?)?;
        }
        // As does what is removed, some hundred runs at once.
        for removal in orders.iter().flat_map(|order| &order.removals) {
            self.count(1, 1);
            removal.write(self.connection()?)?;
        }
        match self.faults.at(Point::BeforeCommit) {
            Fault::None => {}
            Fault::Fail(trouble) => {
                return Ok(Commit::Failed(trouble, "a fault that was asked for".to_owned()));
            }
            Fault::Die => return Ok(Commit::Died),
        }
        self.execute("COMMIT")?;
        Ok(Commit::Done)
    }

    fn write<R: Row>(&mut self, rows: &[&R]) -> Result<(), rusqlite::Error> {
        let mut rest = rows;
        for size in table::sizes(rows.len()) {
            let (these, others) = rest.split_at(size.min(rest.len()));
            rest = others;
            let text = self.texts.entry((R::COLUMNS, size)).or_insert_with(|| {
                let mut sql = String::new();
                table::write::<R>(size, &mut sql);
                sql.into()
            });
            let text = Arc::clone(text);
            self.count(1, these.len());
            let mut statement = self.connection()?.prepare_cached(&text)?;
            Values::give(these, &mut statement)?;
            statement.raw_execute()?;
        }
        Ok(())
    }

    fn execute(&mut self, sql: &'static str) -> Result<(), rusqlite::Error> {
        self.count(1, 0);
        self.connection()?.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Ends a transaction that failed, unless the failure has ended it. A connection that can't do that is given up.
    fn roll_back(&mut self) {
        let Some(connection) = &self.connection else { return };
        if connection.is_autocommit() {
            return;
        }
        if let Err(error) = connection.execute_batch("ROLLBACK") {
            tracing::warn!(%error, "the connection is replaced after a failed rollback");
            self.connection = None;
        }
    }

    /// So long another program may hold the database before a commit fails; `false` if that can't be said.
    fn waits_for_others(&self, long: Duration) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.busy_timeout(long).is_ok())
    }

    /// The connection; a new one if the last was given up.
    fn connection(&mut self) -> Result<&Connection, rusqlite::Error> {
        if self.connection.is_none() {
            self.connection = Some(connect::writer(&self.home)?);
        }
        Ok(self.connection.as_ref().expect("it was just set"))
    }

    fn count(&self, statements: u64, rows: usize) {
        self.counters.statements.fetch_add(statements, Ordering::Relaxed);
        self.counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// The writer stopped as if its process had died.
struct Died;

impl Order {
    pub(super) fn new(batch: Batch, secrets: Vec<SecretChange>, done: Done) -> Self {
        Self { batch, secrets, people: Vec::new(), removals: Vec::new(), done: Some(done) }
    }

    fn tell(mut self) {
        if let Some(done) = self.done.take() {
            done(Ok(()));
        }
    }

    fn hand_back(mut self, trouble: Trouble, message: String) {
        self.return_batch(trouble, message);
    }

    fn return_batch(&mut self, trouble: Trouble, message: String) {
        if let Some(done) = self.done.take() {
            let batch = Box::new(std::mem::take(&mut self.batch));
            done(Err(CommitError { trouble, message, batch }));
        }
    }

    /// As if the process had died.
    fn forget(mut self) {
        self.done = None;
    }
}

/// An order that nobody will work on any more is handed back, wherever it was.
impl Drop for Order {
    fn drop(&mut self) {
        self.return_batch(Trouble::Closed, String::new());
    }
}
