//! The audit log's rows, its head and its seals. Rows are added at the end and given up from the beginning, under a seal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::sessions::{signed, unsigned};
use super::{JOBS_MAX, Store, wholly};
use crate::audit::anchor::{Anchor, Known, Signing};
use crate::audit::chain::{Broken, GENESIS, Hash, Head, Keys, Row, Seal, Verifier, Why};
use crate::audit::{Action, Actor, Details, Entry};
use crate::clock;
use crate::problem::Outcome;

/// Rows that are read, checked or given up at once: the database's one thread has other things to do.
pub const PAGE_ROWS: u32 = 500;
/// Seals kept; the two oldest become one beyond that.
const SEALS_MAX: i64 = 400;

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Newest first.
    pub newest: bool,
    /// Rows behind this one, in that order.
    pub after: Option<u64>,
    /// Of this subject.
    pub subject: Option<String>,
    /// Of this principal.
    pub actor: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before this, microseconds since 1970.
    pub since_us: Option<u64>,
    /// Not after this.
    pub until_us: Option<u64>,
}

/// A row's life of its own: what was recorded once is not recorded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// It is recorded in any case.
    No,
    /// Unless there is a row of the same subject, action and details.
    Yes,
    /// Unless the newest row of the same subject and action has the same details.
    Newest,
    /// The same, and only if there is a row of this action and subject whose details are given: the beginning of what ends here.
    After(Action),
}

const COLUMNS: &str =
    "seq, at_us, actor_id, actor_name, actor_kind, action, subject, outcome, code, details, prev_hash, hash";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        seq: unsigned(row.get(0)?),
        at_us: unsigned(row.get(1)?),
        actor_id: row.get(2)?,
        actor_name: row.get(3)?,
        actor_kind: row.get(4)?,
        action: row.get(5)?,
        subject: row.get(6)?,
        outcome: row.get(7)?,
        code: row.get(8)?,
        details: row.get(9)?,
        prev_hash: row.get(10)?,
        hash: row.get(11)?,
    })
}

fn head(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Head { seq: unsigned(row.get(0)?), hash: row.get(1)?, bytes: unsigned(row.get(2)?), mac: row.get(3)? })
    };
    connection.query_row("SELECT seq, hash, bytes, mac FROM audit_head", [], read).optional()
}

fn put_head(connection: &Connection, head: &Head) -> rusqlite::Result<()> {
    connection.prepare("INSERT OR REPLACE INTO audit_head VALUES (1, ?1, ?2, ?3, ?4)")?.execute(params![
        signed(head.seq),
        head.hash,
        signed(head.bytes),
        head.mac
    ])?;
    Ok(())
}

/// The newest row there is, whatever the head says.
fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| row.get(0).map(unsigned))
}

/// What writes the log: its keys, and what is known of it beside the database.
#[derive(Debug)]
pub struct Signer {
    /// The keys.
    pub keys: Keys,
    /// What is known.
    pub anchor: Anchor,
}

/// What is wrong with a row that is known to have been there, if it is in no seal either.
fn lacks(connection: &Connection, keys: &Keys, known: Known) -> rusqlite::Result<Option<Why>> {
    if known.seq == 0 {
        return Ok(None);
    }
    let row = connection.prepare("SELECT hash FROM audit WHERE seq = ?1")?.query_row([signed(known.seq)], |row| {
        // Of another type it is another.
        Ok(row.get::<_, Hash>(0).is_ok_and(|hash| hash == known.hash))
    });
    if let Some(is_it) = row.optional()? {
        return Ok((!is_it).then_some(Why::HeadFileMismatch));
    }
    let seals = seals(connection).unwrap_or_default();
    let is_sealed = seals.iter().any(|seal| {
        (seal.from_seq..=seal.to_seq).contains(&known.seq)
            && (seal.to_seq != known.seq || seal.last_hash == known.hash)
            && keys.is_seal(seal)
    });
    Ok((!is_sealed).then_some(Why::MissingSeq))
}

/// How the head behind this one may be signed.
fn signing(connection: &Connection, signer: &Signer, head: Option<&Head>) -> rusqlite::Result<Signing> {
    let (keys, anchor) = (&signer.keys, &signer.anchor);
    let known = anchor.known();
    let holds = known.map_or(Ok(true), |known| lacks(connection, keys, known).map(|lack| lack.is_none()))?;
    let end = head.map_or(Known::NONE, |head| Known { seq: head.seq, at_us: clock::now_us(), hash: head.hash });
    Ok(anchor.signing(keys, end, head.is_some_and(|head| keys.is_head_beside(head)), holds))
}

/// Adds one row behind the head and signs the new head, unless the head that is there was not signed by us, or rows that were known
/// are missing: signed again, what is missing or changed before it would no longer show.
fn append(connection: &Connection, signer: &Signer, entry: &Entry) -> rusqlite::Result<Known> {
    let keys = &signer.keys;
    let newest = newest(connection)?;
    let before = match head(connection) {
        Ok(Some(head)) => Some((keys.is_head(&head), head)),
        Ok(None) if newest == 0 && seals(connection)?.is_empty() => None,
        Ok(None) => Some((false, Head { seq: newest, hash: GENESIS, bytes: 0, mac: Vec::new() })),
        // A head of another shape.
        Err(rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..)) => {
            Some((false, Head { seq: newest, hash: GENESIS, bytes: 0, mac: Vec::new() }))
        }
        Err(err) => return Err(err),
    };
    let signing = match &before {
        Some((true, head)) => signing(connection, signer, Some(head))?,
        Some((false, _)) => signer.anchor.breaks(),
        None => signing(connection, signer, None)?,
    };
    let is_ours = signing != Signing::Not;
    let (_, before) = before.unwrap_or((true, Head { seq: 0, hash: GENESIS, bytes: 0, mac: Vec::new() }));
    // What is missing keeps its numbers.
    let known = signer.anchor.known().map_or(0, |known| known.seq);
    let mut row = Row {
        // Behind both, so that what was put or left there stays to be seen. A head that is not ours may say any number.
        seq: if is_ours { before.seq.max(newest) } else { newest.max(known) }.saturating_add(1),
        at_us: entry.at_us,
        actor_id: entry.actor.id.clone(),
        actor_name: entry.actor.name.clone(),
        actor_kind: entry.actor.kind.clone(),
        action: entry.action.as_str().to_owned(),
        subject: entry.subject.clone(),
        outcome: entry.verdict.as_str().to_owned(),
        code: entry.verdict.code().map(|code| code.as_str().to_owned()),
        details: entry.details.canonical(),
        prev_hash: before.hash,
        hash: GENESIS,
    };
    row.hash = row.computed();
    connection.prepare("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?.execute(
        params![
            signed(row.seq),
            signed(row.at_us),
            row.actor_id,
            row.actor_name,
            row.actor_kind,
            row.action,
            row.subject,
            row.outcome,
            row.code,
            row.details,
            row.prev_hash,
            row.hash
        ],
    )?;
    let bytes = before.bytes.saturating_add(row.bytes());
    let after = Head { seq: row.seq, hash: row.hash, bytes, mac: Vec::new() };
    let after = match signing {
        Signing::Beside => keys.signed_head_beside(after),
        Signing::Alone => keys.signed_head(after),
        Signing::Not => after,
    };
    put_head(connection, &after)?;
    Ok(Known { seq: row.seq, at_us: row.at_us, hash: row.hash })
}

fn is_recorded(connection: &Connection, entry: &Entry, once: Once) -> rusqlite::Result<bool> {
    let is_there = |action: Action, details: Option<String>| {
        connection
            .prepare("SELECT 1 FROM audit WHERE subject = ?1 AND action = ?2 AND (?3 IS NULL OR details = ?3) LIMIT 1")?
            .exists(params![entry.subject, action.as_str(), details])
    };
    match once {
        Once::No => Ok(false),
        Once::Yes => is_there(entry.action, Some(entry.details.canonical())),
        Once::Newest => {
            let newest: Option<String> = connection
                .prepare("SELECT details FROM audit WHERE subject = ?1 AND action = ?2 ORDER BY seq DESC LIMIT 1")?
                .query_row(params![entry.subject, entry.action.as_str()], |row| row.get(0))
                .optional()?;
            Ok(newest.is_some_and(|newest| newest == entry.details.canonical()))
        }
        Once::After(action) => Ok(!is_there(action, None)? || is_there(entry.action, Some(entry.details.canonical()))?),
    }
}

/// Rows that could not be written. They are told of by a row `gap` before the next that can.
#[derive(Debug, Default)]
pub struct Lost(AtomicU64);

impl Lost {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Puts a client's principal in the place of its id, where that is known: the hub knows clients alone.
fn named(connection: &Connection, entry: &mut Entry) -> rusqlite::Result<()> {
    if entry.actor.kind == Actor::CLIENT {
        let principal = connection
            .prepare("SELECT principal FROM clients WHERE client_id = ?1")?
            .query_row([&entry.actor.id], |row| row.get(0))
            .optional()?;
        if let Some(principal) = principal {
            entry.actor.id = principal;
        }
    }
    Ok(())
}

fn append_with_gap(
    connection: &Connection,
    signer: &Signer,
    entry: Option<&Entry>,
    lost: u64,
) -> rusqlite::Result<Option<Known>> {
    let mut known = None;
    if lost > 0 {
        let gap = Entry::new(Actor::baton(), Action::Gap).details(Details::none().number("lost", lost));
        known = Some(append(connection, signer, &gap)?);
    }
    entry.map_or(Ok(known), |entry| append(connection, signer, entry).map(Some))
}

impl Store {
    /// Runs statements and adds a row in one transaction; waits until both are committed.
    ///
    /// # Errors
    /// `disk_full`, or `internal`: then neither was done.
    pub async fn audited<T, F>(&self, signer: Arc<Signer>, entry: Entry, run: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let then = Arc::clone(&signer);
        let appended = self.call_then(
            move |connection| {
                wholly(connection, || {
                    let value = run(connection)?;
                    Ok((value, append(connection, &signer, &entry)?))
                })
            },
            move |(_, known)| then.anchor.committed(*known),
        );
        Ok(appended.await?.0)
    }

    /// The same, with a row only if `run` says that it changed something; whether it did.
    ///
    /// # Errors
    /// As there.
    pub async fn audited_if<F>(&self, signer: Arc<Signer>, entry: Entry, run: F) -> Outcome<bool>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<bool> + Send + 'static,
    {
        let then = Arc::clone(&signer);
        let appended = self.call_then(
            move |connection| {
                wholly(connection, || {
                    let changed = run(connection)?;
                    changed.then(|| append(connection, &signer, &entry)).transpose()
                })
            },
            move |known| known.iter().for_each(|known| then.anchor.committed(*known)),
        );
        Ok(appended.await?.is_some())
    }

    /// Adds a row if it can be; if not, it is counted. Resolves once that is known, which nobody has to wait for.
    pub fn try_audit(
        &self,
        signer: Arc<Signer>,
        mut entry: Option<Entry>,
        once: Once,
        lost: &Arc<Lost>,
    ) -> oneshot::Receiver<()> {
        let (told, known) = oneshot::channel();
        let own = u64::from(entry.is_some());
        if self.health.waiting.load(Ordering::Relaxed) >= JOBS_MAX {
            lost.0.fetch_add(own, Ordering::Relaxed);
            self.health.failing.store(true, Ordering::Relaxed);
            return known;
        }
        let (health, lost) = (Arc::clone(&self.health), Arc::clone(lost));
        self.enqueue(Box::new(move |connection| {
            let taken = lost.0.swap(0, Ordering::Relaxed);
            let outcome = wholly(connection, || {
                if let Some(entry) = &mut entry {
                    named(connection, entry)?;
                }
                let due = match &entry {
                    Some(entry) if is_recorded(connection, entry, once)? => None,
                    due => due.as_ref(),
                };
                append_with_gap(connection, &signer, due, taken)
            });
            Box::new(move |committed| {
                if outcome.is_err() || committed.is_err() {
                    lost.0.fetch_add(taken + own, Ordering::Relaxed);
                    health.failing.store(true, Ordering::Relaxed);
                }
                if let (Ok(Some(known)), Ok(())) = (&outcome, committed) {
                    signer.anchor.committed(*known);
                }
                if let Err(err) = outcome {
                    tracing::error!("the audit log failed: {err}");
                }
                // Whoever asked may have stopped waiting.
                let _ = told.send(());
            })
        }));
        known
    }

    /// Rows, in the order asked for.
    ///
    /// # Errors
    /// `internal`.
    pub async fn audit_rows(&self, which: Which, limit: u32) -> Outcome<Vec<Row>> {
        self.read(move |connection| {
            let (compare, order) = if which.newest { ("<", "DESC") } else { (">", "ASC") };
            connection
                .prepare(&format!(
                    "SELECT {COLUMNS} FROM audit
                     WHERE (?1 IS NULL OR seq {compare} ?1) AND (?2 IS NULL OR subject = ?2)
                       AND (?3 IS NULL OR actor_id = ?3) AND (?4 IS NULL OR action = ?4)
                       AND (?5 IS NULL OR at_us >= ?5) AND (?6 IS NULL OR at_us <= ?6)
                     ORDER BY seq {order} LIMIT ?7"
                ))?
                .query_map(
                    params![
                        which.after.map(signed),
                        which.subject,
                        which.actor,
                        which.action,
                        which.since_us.map(signed),
                        which.until_us.map(signed),
                        limit
                    ],
                    read,
                )?
                .collect()
        })
        .await
    }

    /// Checks the next rows of the chain; whether there are more of them.
    ///
    /// # Errors
    /// `internal`.
    pub async fn verify_audit(
        &self,
        signer: Arc<Signer>,
        mut verifier: Verifier,
    ) -> Outcome<(Verifier, Result<Step, Broken>)> {
        self.read(move |connection| {
            let step = verify_page(connection, &signer, &mut verifier);
            Ok((verifier, step))
        })
        .await
    }

    /// Gives up rows that are older than `before_us`, and the oldest of those beyond `max_bytes`, under a seal; no more than
    /// [`PAGE_ROWS`] at once. How many were given up.
    ///
    /// # Errors
    /// `internal`, `disk_full`.
    pub async fn seal_audit(&self, signer: Arc<Signer>, before_us: u64, max_bytes: u64, now_us: u64) -> Outcome<u64> {
        self.call(move |connection| wholly(connection, || seal(connection, &signer, before_us, max_bytes, now_us)))
            .await
    }

    /// The number before the next row behind this one, if there is one.
    ///
    /// # Errors
    /// `internal`.
    pub async fn audit_gap_upto(&self, seq: u64) -> Outcome<Option<u64>> {
        self.read(move |connection| {
            if !has_rows(connection)? {
                return Ok(None);
            }
            let next = "SELECT min(seq) FROM audit WHERE seq > ?1";
            let next: Option<i64> = connection.query_row(next, [signed(seq)], |row| row.get(0))?;
            Ok(next.map(|next| unsigned(next) - 1))
        })
        .await
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There are more rows.
    More,
    /// That was the last, with this hash.
    Done {
        /// Its number; 0 if there is none.
        seq: u64,
        /// Its hash.
        hash: [u8; 32],
    },
}

/// Whether there is a table of rows at all: one that was taken away whole holds none.
fn has_rows(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'audit'")?.exists([])
}

/// There are no more rows: what is missing, here or beside the database.
fn ended(signer: &Signer, verifier: &Verifier, head: Option<&Head>) -> Result<(), Broken> {
    verifier.end(&signer.keys, head)?;
    let beside = head.is_some_and(|head| signer.keys.is_head_beside(head));
    let why = signer.anchor.lacks(verifier.next_seq() == 1, beside);
    why.map_or(Ok(()), |why| Err(Broken { seq: verifier.next_seq() - 1, why }))
}

fn verify_page(connection: &Connection, signer: &Signer, verifier: &mut Verifier) -> Result<Step, Broken> {
    let keys = &signer.keys;
    let at = |verifier: &Verifier| Broken { seq: verifier.next_seq(), why: Why::Unreadable };
    if verifier.next_seq() == 1 {
        let seals = seals(connection).map_err(|_| Broken { seq: verifier.next_seq(), why: Why::SealMismatch })?;
        seals.iter().try_for_each(|seal| verifier.seal(keys, seal))?;
    }
    if !has_rows(connection).map_err(|_| at(verifier))? {
        ended(signer, verifier, head(connection).ok().flatten().as_ref())?;
        return Err(at(verifier));
    }
    let from = signed(verifier.next_seq());
    // From the very first page on what comes before is asked for too: no number is below the first.
    let from = if verifier.rows == 0 { i64::MIN } else { from };
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
    let mut statement = connection.prepare(&sql).map_err(|_| at(verifier))?;
    let mut rows = statement.query(params![from, PAGE_ROWS]).map_err(|_| at(verifier))?;
    let mut found = 0;
    while let Some(row) = rows.next().map_err(|_| at(verifier))? {
        found += 1;
        let row = read(row).map_err(|_| at(verifier))?;
        verifier.row(&row)?;
    }
    if found == PAGE_ROWS {
        return Ok(Step::More);
    }
    let head =
        head(connection).map_err(|_| Broken { seq: verifier.next_seq().saturating_sub(1), why: Why::HeadMismatch })?;
    ended(signer, verifier, head.as_ref())?;
    Ok(head.map_or(Step::Done { seq: 0, hash: GENESIS }, |head| Step::Done { seq: head.seq, hash: head.hash }))
}

fn seals(connection: &Connection) -> rusqlite::Result<Vec<Seal>> {
    connection
        .prepare("SELECT from_seq, to_seq, prev_hash, last_hash, count, at_us, mac FROM audit_seals ORDER BY from_seq")?
        .query_map([], |row| {
            Ok(Seal {
                from_seq: unsigned(row.get(0)?),
                to_seq: unsigned(row.get(1)?),
                prev_hash: row.get(2)?,
                last_hash: row.get(3)?,
                count: unsigned(row.get(4)?),
                at_us: unsigned(row.get(5)?),
                mac: row.get(6)?,
            })
        })?
        .collect()
}

fn put_seal(connection: &Connection, seal: &Seal) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO audit_seals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            signed(seal.from_seq),
            signed(seal.to_seq),
            seal.prev_hash,
            seal.last_hash,
            signed(seal.count),
            signed(seal.at_us),
            seal.mac
        ],
    )?;
    Ok(())
}

fn seal(
    connection: &Connection,
    signer: &Signer,
    before_us: u64,
    max_bytes: u64,
    now_us: u64,
) -> rusqlite::Result<u64> {
    let keys = &signer.keys;
    let Some(head) = head(connection)?.filter(|head| keys.is_head(head)) else { return Ok(0) };
    let signing = signing(connection, signer, Some(&head))?;
    if signing == Signing::Not {
        return Ok(0);
    }
    let seals = seals(connection)?;
    let mut verifier = Verifier::new(None);
    if seals.iter().any(|seal| verifier.seal(keys, seal).is_err()) {
        return Ok(0);
    }
    let (mut bytes, mut first, mut last) = (head.bytes, None, None);
    let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY seq LIMIT ?1");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([PAGE_ROWS])?;
    while let Some(row) = rows.next()? {
        let row = read(row)?;
        // The newest stays, so that there is always one to go on from.
        if (row.at_us >= before_us && bytes <= max_bytes) || row.seq >= head.seq {
            break;
        }
        // What is broken stays to be seen: a seal would hide it.
        if verifier.row(&row).is_err() {
            break;
        }
        bytes = bytes.saturating_sub(row.bytes());
        first.get_or_insert((row.seq, row.prev_hash));
        last = Some((row.seq, row.hash));
    }
    drop(rows);
    let (Some((from_seq, prev_hash)), Some((to_seq, last_hash))) = (first, last) else { return Ok(0) };
    let count = to_seq - from_seq + 1;
    let new = Seal { from_seq, to_seq, prev_hash, last_hash, count, at_us: now_us, mac: Vec::new() };
    put_seal(connection, &keys.signed_seal(new))?;
    connection.execute("DELETE FROM audit WHERE seq <= ?1", [signed(to_seq)])?;
    let head = Head { bytes, mac: Vec::new(), ..head };
    put_head(
        connection,
        &if signing == Signing::Beside { keys.signed_head_beside(head) } else { keys.signed_head(head) },
    )?;
    if let [oldest, next, ..] = seals.as_slice()
        && i64::try_from(seals.len()).unwrap_or(i64::MAX) >= SEALS_MAX
    {
        let both = Seal {
            to_seq: next.to_seq,
            last_hash: next.last_hash,
            count: oldest.count + next.count,
            mac: Vec::new(),
            ..oldest.clone()
        };
        connection.execute("DELETE FROM audit_seals WHERE from_seq = ?1", [signed(next.from_seq)])?;
        put_seal(connection, &keys.signed_seal(both))?;
    }
    Ok(count)
}
