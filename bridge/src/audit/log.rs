//! Writing the audit log, each row as strictly as what it records needs it.
//!
//! | what | its row | a disk that is full |
//! | --- | --- | --- |
//! | logins, tokens, login links | in the same transaction | refuses it: `507 disk_full` |
//! | sessions, leases, exec, signals, upgrades | before the answer, or when it is heard | stops nothing: counted, and told by a row `gap` |
//! | bad tokens, readers of this log | the first of a minute when it happens, the others together by one row | the same |
//!
//! Whoever may not do something can ask as often as it likes: refusals beyond [`REFUSALS_BURST`] of one actor are counted and told
//! by the next one that is written, so that nobody drives old rows out by asking.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::config::Logs;
use baton_proto::ids::{InstanceId, SessionId};
use baton_proto::v1::{LeaseRecord, SessionEntry, Status};
use rusqlite::Connection;
use tokio::sync::{Mutex, watch};

use super::anchor::Anchor;
use super::chain::{Broken, Hash, Keys, Row, Verifier, Why};
use super::entry::{Action, Actor, Details, Entry, Verdict};
use super::seldom::{COUNTED_FOR, Seldom};
use crate::access::Principal;
use crate::access::rate::Limiter;
use crate::clock;
use crate::problem::{Failure, Outcome};
use crate::store::Store;
use crate::store::audit::{Lost, Once, PAGE_ROWS, Signer, Step, Which};

/// How long something that the disk must not stop waits for its row. A disk that hangs is not waited for.
const NOTE_TIMEOUT: Duration = Duration::from_secs(2);
/// Refusals of one actor that are recorded one by one, at once and each second.
const REFUSALS_BURST: f64 = 50.0;
const REFUSALS_PER_SECOND: f64 = 0.1;
/// Between two writes of the head's file.
const HEAD_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether rows are too old or too many, and whether there is room for a gap that was not told.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// The audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    store: Store,
    /// None when the install key can't be read.
    signer: Option<Arc<Signer>>,
    lost: Arc<Lost>,
    refusals: Arc<Limiter<String>>,
    seldom: Arc<Seldom>,
    unrecorded: Arc<AtomicU64>,
    /// A check and the giving up of rows do not meet.
    whole: Arc<Mutex<()>>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were checked, up to the first broken one.
    pub rows: u64,
    /// Rows that seals stand for.
    pub sealed: u64,
    /// Whether the row to compare with was compared: what is sealed no longer can be.
    pub compared: bool,
    /// The end of the chain, or what is wrong with it.
    pub outcome: Result<(u64, Hash), Broken>,
    /// Of rows that are missing: up to which, and when the newest of them was made that is known, microseconds since 1970.
    pub missing: Option<(u64, Option<u64>)>,
}

impl Audit {
    /// The log in this database, signed with keys of this install key; `head_file` says where it ends, too.
    #[must_use]
    pub fn open(store: Store, key_file: &Path, head_file: PathBuf) -> Self {
        let keys = match std::fs::read(key_file).map(<[u8; 32]>::try_from) {
            Ok(Ok(key)) => Some(Keys::of(&key)),
            Ok(Err(_)) => {
                tracing::error!("there is no audit log: `{}` does not hold 32 bytes", key_file.display());
                None
            }
            Err(err) => {
                tracing::error!("there is no audit log: `{}` can't be read: {err}", key_file.display());
                None
            }
        };
        Self::with_anchor(store, keys, |store, keys| match store.is_memory_only() {
            // It is not the database that the file is of.
            true => Anchor::in_memory(),
            false => Anchor::open(head_file, store.path(), keys),
        })
    }

    pub(super) fn with_anchor(store: Store, keys: Option<Keys>, anchor: impl FnOnce(&Store, &Keys) -> Anchor) -> Self {
        let signer = keys.map(|keys| Arc::new(Signer { anchor: anchor(&store, &keys), keys }));
        Self {
            store,
            signer,
            lost: Arc::default(),
            refusals: Arc::new(Limiter::new(REFUSALS_PER_SECOND, REFUSALS_BURST)),
            seldom: Arc::default(),
            unrecorded: Arc::default(),
            whole: Arc::default(),
        }
    }

    fn signer(&self) -> Outcome<Arc<Signer>> {
        self.signer.clone().ok_or_else(|| {
            let detail = "there is no audit log, because the install key can't be read; the bridge's log says more";
            Failure::new(ErrorCode::Internal, detail)
        })
    }

    /// Runs statements and records them in one transaction: neither is done without the other.
    ///
    /// # Errors
    /// `disk_full`, `internal`.
    pub async fn with<T, F>(&self, entry: Entry, run: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.store.audited(self.signer()?, entry, run).await
    }

    /// The same, if `run` says that it changed something; whether it did.
    ///
    /// # Errors
    /// `disk_full`, `internal`.
    pub async fn with_if<F>(&self, entry: Entry, run: F) -> Outcome<bool>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<bool> + Send + 'static,
    {
        self.store.audited_if(self.signer()?, entry, run).await
    }

    /// Records what the disk must not stop. On disk when this resolves, unless that failed.
    pub async fn note(&self, entry: Entry) {
        let Some(signer) = self.signer.clone() else { return };
        let known = self.store.try_audit(signer, Some(entry), Once::No, &self.lost);
        if tokio::time::timeout(NOTE_TIMEOUT, known).await.is_err() {
            tracing::warn!("the database takes long: a row of the audit log is not waited for");
        }
    }

    /// Records what became of something that was asked for: done, refused, or failed. Refusals are bounded.
    pub async fn outcome<T>(&self, entry: Entry, outcome: &Outcome<T>) {
        let verdict = Verdict::of(outcome);
        if verdict == Verdict::Allowed {
            return self.note(entry).await;
        }
        if let Some(entry) = self.refusal(entry.verdict(verdict)) {
            self.note(entry).await;
        }
    }

    /// Records a refusal, if there were not too many of this actor's.
    pub async fn refused(&self, entry: Entry, code: ErrorCode) {
        if let Some(entry) = self.refusal(entry.verdict(Verdict::Denied(code))) {
            self.note(entry).await;
        }
    }

    fn refusal(&self, mut entry: Entry) -> Option<Entry> {
        if self.refusals.take(entry.actor.id.clone(), Instant::now()).is_err() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let unrecorded = self.unrecorded.swap(0, Ordering::Relaxed);
        if unrecorded > 0 {
            entry.details = entry.details.number("unrecorded", unrecorded);
        }
        Some(entry)
    }

    /// Records what may happen too often for a row each: see [`Seldom`].
    pub fn seldom(&self, key: &str, make: impl FnOnce(&str) -> Entry) {
        if let Some(entry) = self.seldom.note(key, Instant::now(), make) {
            self.tell(entry, Once::No);
        }
    }

    fn tell_counted(&self, now: Instant) {
        for entry in self.seldom.due(now) {
            self.tell(entry, Once::No);
        }
    }

    fn tell(&self, entry: Entry, once: Once) {
        if let Some(signer) = self.signer.clone() {
            drop(self.store.try_audit(signer, Some(entry), once, &self.lost));
        }
    }

    /// A line is about to be run at a prompt. What it holds may be secret: only its length and a keyed digest are kept.
    pub async fn exec(&self, principal: &Principal, session: SessionId, line: &str) {
        let Some(signer) = &self.signer else { return };
        let details = Details::none().number("bytes", line.len() as u64).text("digest", signer.keys.digest(line));
        self.note(Entry::new(principal, Action::Exec).session(session).details(details)).await;
    }

    /// A lease was announced. The actor is who has control from then on; who gave it up, or whose it was, is in the row before.
    ///
    /// A worker that is heard again says how things are now, so that a change that happened while no bridge listened is recorded
    /// then; of several only the last is.
    pub fn lease(&self, session: SessionId, instance: InstanceId, record: &LeaseRecord) {
        if record.epoch.0 == 0 && record.owner.is_none() {
            return;
        }
        let mut details = Details::none()
            .text("instance", instance.to_string())
            .number("epoch", record.epoch.0)
            .flag("expired", record.expired);
        let mut actor = Actor::baton();
        if let Some(owner) = &record.owner {
            let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
            details = details
                .text("client_id", owner.client.to_string())
                .text("owner", &owner.name)
                .maybe("client_kind", serde_json::to_value(owner.kind).ok().and_then(text));
            let id = owner.client.to_string();
            actor = Actor { id, name: owner.name.clone(), kind: Actor::CLIENT.to_owned() };
        }
        self.tell(Entry::new(actor, Action::LeaseChange).session(session).details(details), Once::Newest);
    }

    /// What sessiond says of a session: that its program runs, or how it ended. Said again, it is not recorded again.
    pub fn session(&self, entry: &SessionEntry) {
        let life = Details::none().text("instance", entry.spec.instance.to_string());
        let ended = |status: &str| life.clone().text("status", status);
        let (action, once, details) = match &entry.status {
            Status::Starting => return,
            Status::Running => (Action::SessionStart, Once::Yes, life),
            Status::Exited(exit) | Status::Closed(exit) => {
                let status = if matches!(entry.status, Status::Closed(_)) { "closed" } else { "exited" };
                let number = |number: Option<i32>| number.map(|number| number.to_string());
                // The reason may be anything that somebody typed.
                let details = ended(status).maybe("code", number(exit.code)).maybe("signal", number(exit.signal));
                (Action::SessionEnd, Once::After(Action::SessionStart), details)
            }
            Status::Lost => (Action::SessionEnd, Once::After(Action::SessionStart), ended("lost")),
            Status::Failed { .. } => (Action::SessionEnd, Once::After(Action::SessionStart), ended("failed")),
        };
        self.tell(Entry::new(Actor::baton(), action).session(entry.spec.session).details(details), once);
    }

    /// Rows that could not be written and were not told of yet.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.count()
    }

    /// Rows.
    ///
    /// # Errors
    /// `internal`.
    pub async fn rows(&self, which: Which, limit: u32) -> Outcome<Vec<Row>> {
        self.store.audit_rows(which, limit).await
    }

    /// Checks the whole chain, a page of it at a time; `expected` is a row that somebody knows to have been there.
    ///
    /// # Errors
    /// `internal` when the database can't be asked.
    pub async fn verify(&self, expected: Option<(u64, Hash)>) -> Outcome<Checked> {
        let signer = self.signer()?;
        let _whole = self.whole.lock().await;
        let known = signer.anchor.known();
        let mut verifier = Verifier::new(expected).knowing(known.map(|known| (known.seq, known.hash)));
        loop {
            let (next, step) = self.store.verify_audit(Arc::clone(&signer), verifier).await?;
            verifier = next;
            let outcome = match step {
                Ok(Step::More) => continue,
                Ok(Step::Done { seq, hash }) => Ok((seq, hash)),
                Err(broken) => Err(broken),
            };
            let Verifier { rows, sealed, compared, .. } = verifier;
            let missing = match outcome {
                Err(Broken { seq, why: Why::MissingSeq }) => {
                    let last = known.filter(|known| known.seq >= seq);
                    let upto = self.store.audit_gap_upto(seq).await?.or(last.map(|known| known.seq));
                    let upto = upto.unwrap_or(seq);
                    Some((upto, last.filter(|known| known.seq <= upto).map(|known| known.at_us)))
                }
                _ => None,
            };
            return Ok(Checked { rows, sealed, compared, outcome, missing });
        }
    }

    /// Gives up what is older, or more, than `logs` allows.
    ///
    /// # Errors
    /// `internal`, `disk_full`.
    pub async fn seal(&self, logs: &Logs, now_us: u64) -> Outcome<u64> {
        let signer = self.signer()?;
        let _whole = self.whole.lock().await;
        let before_us = now_us.saturating_sub(logs.retention_days.saturating_mul(86_400_000_000));
        let mut all = 0;
        loop {
            let count = self.store.seal_audit(Arc::clone(&signer), before_us, logs.max_bytes, now_us).await?;
            all += count;
            if count < u64::from(PAGE_ROWS) {
                return Ok(all);
            }
        }
    }

    /// Writes where the log ends beside the database, if it has grown since.
    pub async fn keep_head(&self) {
        let Some(signer) = self.signer.clone() else { return };
        let kept = tokio::task::spawn_blocking(move || signer.anchor.keep(&signer.keys)).await;
        if let Ok(Err(err)) = kept {
            tracing::warn!("the head of the audit log can't be written beside the database: {err}");
        }
    }

    /// Does so behind what is committed, until the bridge stops.
    pub async fn follow(self, mut stopping: watch::Receiver<bool>) {
        let Some(signer) = self.signer.clone() else { return };
        loop {
            tokio::select! {
                () = signer.anchor.due() => self.keep_head().await,
                _ = stopping.changed() => return,
            }
            // What comes meanwhile is written together.
            tokio::select! {
                () = tokio::time::sleep(HEAD_EVERY) => {}
                _ = stopping.changed() => return,
            }
        }
    }

    /// Gives up old rows and tells of gaps, until the bridge stops.
    pub async fn tend(self, logs: Logs, mut stopping: watch::Receiver<bool>) {
        loop {
            match self.seal(&logs, clock::now_us()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "old rows of the audit log are sealed"),
                Err(failure) => tracing::warn!("old rows of the audit log stay: {failure}"),
            }
            self.tell_counted(Instant::now());
            if let Some(signer) = self.signer.clone().filter(|_| self.lost() > 0) {
                drop(self.store.try_audit(signer, None, Once::No, &self.lost).await);
            }
            tokio::select! {
                () = tokio::time::sleep(TEND_EVERY) => {}
                _ = stopping.changed() => return self.tell_counted(Instant::now() + COUNTED_FOR),
            }
        }
    }
}
