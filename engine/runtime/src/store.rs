//! The only place that knows SQL.
//!
//! What is committed through [`Store::commit`] or [`Store::submit`] is on the disk when the caller hears of it, and in
//! the order in which it was submitted. Reads see what was committed when they began.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::sync::oneshot;

use crate::home::{self, Home};

pub mod backup;
mod checkpoint;
mod columns;
mod connect;
mod entity;
mod error;
mod faults;
mod notices;
pub mod people;
#[cfg(test)]
mod plans;
pub mod prune;
mod read;
pub mod rows;
mod schedule;
mod table;
mod verify;
mod writer;

pub use error::{Advice, CommitError, Error, Trouble};
pub use faults::{Fault, Faults, Point};
pub use notices::{NoticeFilter, NoticeKey};
pub use read::{DiagnosisFilter, RunFilter};
pub use verify::{Finding, Refold};
pub use writer::Done;

use rows::{Batch, SecretRow};
use writer::{Brought, Counters, Desk, Order, SecretChange, Work, Writer};

/// How long to wait before a batch that could not be written is submitted again.
pub(crate) const RESUBMIT: Duration = Duration::from_millis(500);

/// The store of a home. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    home: Home,
    reader: DatabaseConnection,
    writer: Sender<Work>,
    desk: Arc<Desk>,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.home.path().display())
    }
}

/// What the writer has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions that were committed.
    pub commits: u64,
    /// Batches in them.
    pub orders: u64,
    /// Statements sent, BEGIN and COMMIT among them; those of failed transactions count, too.
    pub statements: u64,
    /// Rows written, after only the last word on each was kept.
    pub rows: u64,
}

impl Store {
    /// Opens the store of a home, makes it if it is not there and brings it to the newest schema. Whoever calls holds the
    /// home ([`crate::home::HomeLock`]): there is one writer.
    ///
    /// # Errors
    /// The database is of a newer program, damaged, or can't be written.
    pub async fn open(home: &Home) -> Result<Self, Error> {
        Self::open_with(home, Faults::default()).await
    }

    /// As [`Store::open`], with failures on demand.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(home: &Home, faults: Faults) -> Result<Self, Error> {
        let connection = connect::prepare(home).await?;
        let reader = connect::reader(home);
        let counters = Arc::new(Counters::default());
        let (sender, queue) = channel();
        let writer = Writer {
            home: home.clone(),
            connection: Some(connection),
            checkpoints: checkpoint::Checkpoints::new(home.clone()),
            faults,
            counters: Arc::clone(&counters),
            texts: HashMap::new(),
            is_closed: false,
            took: Duration::MAX,
        };
        let desk = Desk::new(writer);
        let its_desk = Arc::clone(&desk);
        // A thread of its own: the writer is never behind another task.
        std::thread::Builder::new()
            .name("weir-store".to_owned())
            .spawn(move || its_desk.work(queue))
            .map_err(|error| home::Error::of(home.path(), error))?;
        let inner = Inner { home: home.clone(), reader, writer: sender, desk, counters };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The home it is the store of.
    pub fn home(&self) -> &Home {
        &self.inner.home
    }

    /// Commits a batch. Its place in the order is that of this call, not of the first await.
    ///
    /// # Errors
    /// Nothing of the batch was kept; the error hands it back and [`Trouble::advice`] says what to do.
    pub fn commit(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + 'static {
        self.order(batch, Vec::new())
    }

    /// Commits a batch and calls `done` on the writer's thread, where it must not take long.
    pub fn submit(&self, batch: Batch, done: Done) {
        self.send(Order::new(batch, Vec::new(), done));
    }

    /// As [`Store::submit`], for who may wait for the disk: a small batch is written in this call where that is quick, and
    /// `done` is called in it.
    pub fn submit_and_wait(&self, batch: Batch, done: Done) {
        match self.inner.desk.bring(Box::new(Order::new(batch, Vec::new(), done))) {
            Brought::Dealt { must_look: false } => {}
            Brought::Dealt { must_look: true } => self.put(Work::Look),
            Brought::Back(order) => self.put(Work::Order(order)),
        }
    }

    /// Says to go on after a failure: what was submitted before this call is handed back, what is submitted after it is
    /// tried again. To be called when all batches that failed were handed back, before they are submitted again in their
    /// order.
    pub fn resume(&self) {
        if self.inner.counters.is_halted.load(Ordering::SeqCst) {
            self.put(Work::Resume);
        }
    }

    /// What the writer has done so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.inner.counters;
        Counts {
            commits: counters.commits.load(Ordering::Relaxed),
            orders: counters.orders.load(Ordering::Relaxed),
            statements: counters.statements.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
        }
    }

    /// Commits what waits, brings the database into one file and closes it. What is submitted afterwards is handed back.
    pub async fn close(&self) {
        let (told, closed) = oneshot::channel();
        self.inner.reader.get_sqlite_connection_pool().close().await;
        self.put(Work::Close(told));
        let _ = closed.await;
    }

    pub(crate) async fn set_secret(&self, row: SecretRow) -> Result<(), CommitError> {
        self.alone(self.order(Batch::default(), vec![SecretChange::Set(row)])).await
    }

    pub(crate) async fn remove_secret(&self, scope: &str, name: &str) -> Result<(), CommitError> {
        let change = SecretChange::Remove { scope: scope.to_owned(), name: name.to_owned() };
        self.alone(self.order(Batch::default(), vec![change])).await
    }

    fn order(
        &self,
        batch: Batch,
        secrets: Vec<SecretChange>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + 'static {
        self.order_all(batch, secrets, Vec::new())
    }

    fn order_all(
        &self,
        batch: Batch,
        secrets: Vec<SecretChange>,
        people: Vec<people::Change>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + 'static {
        let (tell, told) = oneshot::channel();
        let mut order = Order::new(batch, secrets, Box::new(move |result| drop(tell.send(result))));
        order.people = people;
        self.send(order);
        answer(told)
    }

    /// An order that nobody submits again: if it fails, others need not wait for it.
    async fn alone(
        &self,
        order: impl Future<Output = Result<(), CommitError>>,
    ) -> Result<(), CommitError> {
        let result = order.await;
        if result.is_err() {
            self.resume();
        }
        result
    }

    /// Removes, as an order of its own.
    async fn removal(&self, removal: prune::Removal) -> Result<(), CommitError> {
        let (tell, told) = oneshot::channel();
        let done: Done = Box::new(move |result| drop(tell.send(result)));
        let mut order = Order::new(Batch::default(), Vec::new(), done);
        order.removals.push(removal);
        self.send(order);
        self.alone(answer(told)).await
    }

    fn send(&self, order: Order) {
        self.put(Work::Order(Box::new(order)));
    }

    /// If the writer is gone, what is put is dropped: an order is handed back by that.
    fn put(&self, work: Work) {
        self.inner.desk.expect();
        let _ = self.inner.writer.send(work);
    }
}

/// What the writer says of an order.
async fn answer(told: oneshot::Receiver<Result<(), CommitError>>) -> Result<(), CommitError> {
    told.await.unwrap_or_else(|_| {
        // The writer is gone without a word: only a fault that was asked for, or a bug in it, does that.
        Err(CommitError { trouble: Trouble::Closed, message: String::new(), batch: Box::default() })
    })
}
