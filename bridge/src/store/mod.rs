//! The only SQL. One thread writes; what has gathered while it committed is committed together.
//!
//! Rows are intents and history: nothing a session needs to live is only here. So a failing disk makes the bridge
//! *degraded*, which `/v1/health` says, and takes no session down. Nothing here is on the way of a keystroke or of output.

pub mod approvals;
pub mod audit;
pub mod clients;
pub mod events;
pub mod idempotency;
pub mod leases;
pub mod links;
pub mod logins;
mod migrations;
pub mod sessions;
pub mod tokens;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use baton_proto::ErrorCode;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::approval::sealed::Seals;
use crate::problem::{Failure, Outcome};
use trouble::{Place, Trouble};

/// Jobs that may wait for the disk, of less than a KiB each; events have a queue of their own. What is beyond that is history
/// that nobody decides by: it is dropped, and the bridge says that it is degraded. The audit log counts what it loses.
const JOBS_MAX: usize = 10_000;
/// Between two looks at whether a database that failed can be written again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Jobs committed together.
const BATCH_MAX: usize = 512;

/// Called when the transaction of its job has been committed, or not.
type Completion = Box<dyn FnOnce(&Result<(), Trouble>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Completion + Send>;

#[derive(Debug, Default)]
struct Health {
    waiting: AtomicUsize,
    failing: AtomicBool,
    /// The file can't be used: what succeeds is in memory only.
    memory_only: AtomicBool,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    health: Arc<Health>,
    place: Place,
    path: PathBuf,
    /// For what has no place in the file in clear; none without an install key: then that is not kept.
    seals: Option<Seals>,
}

impl Store {
    /// Opens the database and starts its thread. A database that can't be opened is replaced by one in memory: history
    /// is lost with the process, sessions are not.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let health = Arc::new(Health::default());
        let connection = match open(path) {
            Ok(connection) => Some(connection),
            Err(err) => {
                tracing::error!(
                    "the database `{}` can't be used, history is kept in memory only: {err}",
                    path.display()
                );
                health.memory_only.store(true, Ordering::Relaxed);
                let memory = Connection::open_in_memory().and_then(|mut connection| {
                    migrations::apply(&mut connection)?;
                    Ok(connection)
                });
                memory.map_err(|err| tracing::error!("no database in memory either: {err}")).ok()
            }
        };
        let (jobs, queue) = mpsc::channel();
        let thread_health = Arc::clone(&health);
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Some(connection) = connection {
                write(&connection, &queue, &thread_health);
            }
        });
        if let Err(err) = spawned {
            tracing::error!("the database has no thread: {err}");
            health.failing.store(true, Ordering::Relaxed);
        }
        Self { jobs, health, place: Place::of(path), path: path.to_owned(), seals: None }
    }

    /// Seals what may hold secrets that somebody typed, also what a Baton of before left in clear.
    #[must_use]
    pub fn sealing(mut self, seals: Option<Seals>) -> Self {
        self.seals = seals;
        self.seal_resume_commands();
        self
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it seals with.
    pub(crate) const fn seals(&self) -> Option<&Seals> {
        self.seals.as_ref()
    }

    /// Whether history is not being kept.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.health.failing.load(Ordering::Relaxed) || self.health.memory_only.load(Ordering::Relaxed)
    }

    /// Whether what is committed is gone with this process.
    #[must_use]
    pub fn is_memory_only(&self) -> bool {
        self.health.memory_only.load(Ordering::Relaxed)
    }

    /// Runs statements and waits until they are committed.
    ///
    /// # Errors
    /// `disk_full`, or `internal` when the database fails otherwise.
    pub async fn call<T, F>(&self, run: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.call_then(run, |_| ()).await
    }

    /// The same; what is committed is told on the database's thread first, whether or not somebody still waits for it.
    async fn call_then<T, F, D>(&self, run: F, then: D) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(&T) + Send + 'static,
    {
        self.wait_for(run, Result::clone, then).await
    }

    /// Runs statements that change nothing: what they found holds whether or not what is committed with them could be.
    ///
    /// # Errors
    /// As [`Store::call`].
    pub async fn read<T, F>(&self, run: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.wait_for(run, |_| Ok(()), |_| ()).await
    }

    async fn wait_for<T, F, D>(
        &self,
        run: F,
        matters: fn(&Result<(), Trouble>) -> Result<(), Trouble>,
        then: D,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(&T) + Send + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let health = Arc::clone(&self.health);
        let job: Job = Box::new(move |connection| {
            let outcome = run(connection).map_err(|err| Trouble::from(&err));
            Box::new(move |committed| {
                if outcome.is_err() || committed.is_err() {
                    health.failing.store(true, Ordering::Relaxed);
                }
                if let (Ok(value), Ok(())) = (&outcome, committed) {
                    then(value);
                }
                // Whoever asked may have stopped waiting.
                drop(reply.send(outcome.and_then(|value| matters(committed).map(|()| value))));
            })
        });
        self.enqueue(job);
        match replied.await {
            Ok(outcome) => outcome.map_err(|trouble| self.place.failure(&trouble)),
            Err(_) => Err(Failure::new(ErrorCode::Internal, "the bridge has no database; sessions go on")),
        }
    }

    /// Runs statements when the thread gets to it; nobody waits.
    pub fn write<F>(&self, run: F)
    where
        F: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        if self.health.waiting.load(Ordering::Relaxed) >= JOBS_MAX {
            if !self.health.failing.swap(true, Ordering::Relaxed) {
                tracing::error!("the database does not keep up: history is being dropped");
            }
            return;
        }
        let health = Arc::clone(&self.health);
        self.enqueue(Box::new(move |connection| {
            let outcome = run(connection);
            Box::new(move |committed| match outcome {
                Ok(()) if committed.is_ok() => health.failing.store(false, Ordering::Relaxed),
                Ok(()) => health.failing.store(true, Ordering::Relaxed),
                Err(err) => {
                    tracing::error!("the database failed: {err}");
                    health.failing.store(true, Ordering::Relaxed);
                }
            })
        }));
    }

    /// Runs statements, all of them or none, and tells on the database's thread what came of it: a value when it is
    /// committed, else nothing. False when there is no database, and nothing will be told.
    pub fn wholly_then<T, F, D>(&self, run: F, then: D) -> bool
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Option<T>) + Send + 'static,
    {
        let health = Arc::clone(&self.health);
        self.enqueue(Box::new(move |connection| {
            let outcome = wholly(connection, || run(connection));
            Box::new(move |committed| {
                let committed = committed.is_ok();
                if let Err(err) = &outcome {
                    tracing::error!("the database failed: {err}");
                }
                let value = outcome.ok().filter(|_| committed);
                health.failing.store(value.is_none(), Ordering::Relaxed);
                then(value);
            })
        }))
    }

    /// Waits until everything before this is on disk.
    pub async fn flush(&self) {
        drop(self.call(|_| Ok(())).await);
    }

    /// Whether there is a thread that will come to it.
    fn enqueue(&self, job: Job) -> bool {
        self.health.waiting.fetch_add(1, Ordering::Relaxed);
        let queued = self.jobs.send(job).is_ok();
        if !queued {
            self.health.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        queued
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    // NORMAL: a crash of ours loses nothing, a crash of the machine perhaps the last commits; WAL is never corrupt.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What it has to put aside: the bridge can't write into the directories for that.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    migrations::apply(&mut connection)?;
    Ok(connection)
}

fn write(connection: &Connection, queue: &mpsc::Receiver<Job>, health: &Health) {
    let mut completions: Vec<Completion> = Vec::new();
    while let Some(first) = next_job(connection, queue, health) {
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(|err| Trouble::from(&err));
        if let Err(err) = &begun {
            tracing::error!("the database takes no transaction: {err}");
        }
        let mut next = Some(first);
        while let Some(job) = next.take() {
            completions.push(isolated(connection, job));
            if completions.len() < BATCH_MAX {
                next = queue.try_recv().ok();
            }
        }
        let commit = || connection.execute_batch("COMMIT").map_err(|err| Trouble::from(&err));
        let was_begun = begun.is_ok();
        let committed = begun.and_then(|()| commit());
        if was_begun && committed.is_err() {
            drop(connection.execute_batch("ROLLBACK"));
        }
        health.waiting.fetch_sub(completions.len(), Ordering::Relaxed);
        for complete in completions.drain(..) {
            complete(&committed);
        }
    }
}

/// Waits for a job; meanwhile, as long as the database fails, tries whether it still does.
fn next_job(connection: &Connection, queue: &mpsc::Receiver<Job>, health: &Health) -> Option<Job> {
    while health.failing.load(Ordering::Relaxed) {
        match queue.recv_timeout(TRY_AGAIN) {
            Ok(job) => return Some(job),
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            Err(mpsc::RecvTimeoutError::Timeout) => match probe(connection) {
                Ok(()) => {
                    tracing::info!("the database can be written again");
                    health.failing.store(false, Ordering::Relaxed);
                }
                Err(err) => tracing::debug!("the database still fails: {err}"),
            },
        }
    }
    queue.recv().ok()
}

/// Writes what is there already, which needs as much room as anything else.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let written = connection.execute_batch(&format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT"));
    if written.is_err() && !connection.is_autocommit() {
        drop(connection.execute_batch("ROLLBACK"));
    }
    written
}

/// Runs a job so that its failure undoes nobody else's statements.
fn isolated(connection: &Connection, job: Job) -> Completion {
    let marked = connection.execute_batch("SAVEPOINT job").is_ok();
    let changed = connection.total_changes();
    let completion = job(connection);
    if marked {
        // A job that failed half-way reports it; what it had written before is harmless history.
        let released = connection.execute_batch("RELEASE job");
        if released.is_err() && connection.total_changes() != changed {
            drop(connection.execute_batch("ROLLBACK TO job"));
        }
    }
    completion
}

/// Everything of `run`, or nothing of it.
fn wholly<T>(connection: &Connection, run: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT whole")?;
    let outcome = run();
    if outcome.is_err() {
        // With a full disk SQLite may have undone the whole transaction itself; then there is no such savepoint any more.
        drop(connection.execute_batch("ROLLBACK TO whole"));
    }
    let released = connection.execute_batch("RELEASE whole");
    let value = outcome?;
    released.map(|()| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_come_back_after_a_restart_and_a_bad_one_hurts_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let store = Store::open(&path);
        store.write(|connection| {
            connection.execute("INSERT INTO clients VALUES ('a', 'p', 1, 1)", [])?;
            Ok(())
        });
        assert!(store.call(|connection| connection.execute("INSERT INTO nowhere VALUES (1)", [])).await.is_err());
        store.write(|connection| {
            connection.execute("INSERT INTO clients VALUES ('b', 'p', 1, 1)", [])?;
            Ok(())
        });
        store.flush().await;
        assert!(!store.is_degraded());
        drop(store);
        let again = Store::open(&path);
        let count: i64 = again
            .call(|connection| connection.query_row("SELECT count(*) FROM clients", [], |row| row.get(0)))
            .await
            .unwrap();
        assert_eq!(count, 2);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_degrades_only() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("missing").join("db"));
        assert!(store.is_degraded());
        assert!(
            store.call(|connection| connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))).await.is_ok()
        );
    }
}
