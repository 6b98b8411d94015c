//! The control connection to sessiond: one task that dials again whenever it breaks, and a handle to ask through.
//!
//! What sessiond says of its sessions goes to the [`Catalog`]; requests fail with `sessiond_down` while it is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::frame::Kind;
use baton_proto::hello::Who;
use baton_proto::home::{Home, runtime};
use baton_proto::ids::SessionId;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::{
    AskStatus, EditSettings, Failed, ForgetSession, ListSessions, OpenSession, Respawn, SessionEntry, Sessions,
    SupervisorStatus, Upgradable, Upgrade,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::catalog::Catalog;
use super::conn::{Conn, RawFrame, message, set_id};
use super::dial::dial;
use crate::problem::{Failure, Outcome};

/// How long an answer may take. Starting a worker is the slowest thing asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a request waits for sessiond to come back: the launcher restarts it within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests waiting to be written.
const REQUESTS_MAX: usize = 256;

struct Request {
    message: Vec<u8>,
    answer: oneshot::Sender<Outcome<RawFrame>>,
}

/// How sessiond is, as far as the bridge knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Not reached since the start.
    Unknown,
    /// It answered and its list is in the catalog.
    Up,
    /// It was there and is away.
    Down,
}

/// Asks sessiond.
#[derive(Debug, Clone)]
pub struct Sessiond {
    requests: mpsc::Sender<Request>,
    link: watch::Receiver<Link>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("bytes", &self.message.len()).finish_non_exhaustive()
    }
}

impl Sessiond {
    /// Starts the task that keeps the connection.
    #[must_use]
    pub fn start(home: Arc<Home>, catalog: Arc<Catalog>) -> Self {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let (up, link) = watch::channel(Link::Unknown);
        tokio::spawn(keep(home, catalog, queue, up));
        Self { requests, link }
    }

    /// How the connection is.
    #[must_use]
    pub fn link(&self) -> Link {
        *self.link.borrow()
    }

    /// Waits until the list of sessions was heard at least once since the bridge started: before that "there is no such
    /// session" would be a guess.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn listed(&self) -> Outcome<()> {
        let mut link = self.link.clone();
        let listed = async { link.wait_for(|link| *link != Link::Unknown).await.is_ok() };
        if tokio::time::timeout(PATIENCE, listed).await.unwrap_or(false) { Ok(()) } else { Err(away()) }
    }

    /// Starts a session.
    ///
    /// # Errors
    /// What sessiond refused; `sessiond_down`.
    pub async fn spawn(&self, spec: &SessionSpec) -> Outcome<SessionEntry> {
        self.ask(Kind::Spawn, spec, Kind::Session).await
    }

    /// Has a worker for this session, also for an ended one.
    ///
    /// # Errors
    /// `not_found`, `sessiond_down`.
    pub async fn open(&self, session: SessionId) -> Outcome<SessionEntry> {
        self.ask(Kind::OpenSession, &OpenSession { session }, Kind::Session).await
    }

    /// Starts an ended session again. The catalog has the new instance when this returns.
    ///
    /// # Errors
    /// `not_found`, `session_running`, `invalid_transition`, `sessiond_down`.
    pub async fn respawn(&self, request: &Respawn) -> Outcome<SessionEntry> {
        self.ask(Kind::Respawn, request, Kind::Session).await
    }

    /// Forgets an ended session and its journal.
    ///
    /// # Errors
    /// `not_found`, `session_running`, `sessiond_down`.
    pub async fn forget(&self, session: SessionId) -> Outcome<()> {
        let message = encode(Kind::ForgetSession, &ForgetSession { session })?;
        expect_kind(&self.exchange(message).await?, Kind::Done)
    }

    /// Has a worker replaced by one of the installed version.
    ///
    /// # Errors
    /// `not_found`; `session_ended`, `busy` and `invalid_transition` when the worker there is goes on; `sessiond_down`.
    pub async fn upgrade_worker(&self, session: SessionId) -> Outcome<SessionEntry> {
        self.ask(Kind::Upgrade, &Upgrade { what: Upgradable::Worker(session) }, Kind::Session).await
    }

    /// Has another of Baton's processes replaced; it is on its way then.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn upgrade(&self, what: Upgradable) -> Outcome<()> {
        let message = encode(Kind::Upgrade, &Upgrade { what })?;
        expect_kind(&self.exchange(message).await?, Kind::Done)
    }

    /// Has the configuration file changed.
    ///
    /// # Errors
    /// `revision_conflict`, `invalid`, `path_refused`, `disk_full`; `sessiond_down`.
    pub async fn edit_settings(&self, edit: &EditSettings) -> Outcome<()> {
        let message = encode(Kind::EditSettings, edit)?;
        expect_kind(&self.exchange(message).await?, Kind::Done)
    }

    /// Waits until it can be asked.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn reachable(&self) -> Outcome<()> {
        let mut link = self.link.clone();
        let up = async { link.wait_for(|link| *link == Link::Up).await.is_ok() };
        if tokio::time::timeout(PATIENCE, up).await.unwrap_or(false) { Ok(()) } else { Err(away()) }
    }

    /// How it is.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn status(&self) -> Outcome<SupervisorStatus> {
        self.ask(Kind::AskStatus, &AskStatus {}, Kind::Status).await
    }

    async fn ask<Q: bincode::Encode, A: bincode::Decode<()>>(&self, kind: Kind, body: &Q, answer: Kind) -> Outcome<A> {
        let frame = self.exchange(encode(kind, body)?).await?;
        expect_kind(&frame, answer)?;
        frame.body(answer).map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))
    }

    async fn exchange(&self, message: Vec<u8>) -> Outcome<RawFrame> {
        self.reachable().await?;
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { message, answer }).await.map_err(|_| away())?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(away()),
            Err(_) => Err(Failure::down("sessiond has not answered in time; `baton doctor` may know why")),
        }
    }
}

fn away() -> Failure {
    Failure::down(
        "sessiond does not answer; its launcher restarts it, try again in a moment (`baton up` if it stays so)",
    )
}

fn encode<T: bincode::Encode>(kind: Kind, body: &T) -> Outcome<Vec<u8>> {
    message(kind, 0, body).map_err(|err| Failure::new(ErrorCode::TooLarge, format!("the request does not fit: {err}")))
}

fn expect_kind(frame: &RawFrame, kind: Kind) -> Outcome<()> {
    match frame.header.known_kind() {
        Some(known) if known == kind => Ok(()),
        Some(Kind::Failed) => match frame.body::<Failed>(Kind::Failed) {
            Ok(failed) => Err(Failure::of(failed, None)),
            Err(err) => Err(Failure::new(ErrorCode::Internal, err.to_string())),
        },
        _ => Err(Failure::new(ErrorCode::Internal, "sessiond gave an answer to something else")),
    }
}

async fn keep(home: Arc<Home>, catalog: Arc<Catalog>, mut queue: mpsc::Receiver<Request>, up: watch::Sender<Link>) {
    let mut pause = Duration::from_millis(20);
    loop {
        match dial(&home.runtime, runtime::SESSIOND_SOCKET, &home.key_file()).await {
            Ok((conn, welcome)) if welcome.who == Who::Supervisor => {
                pause = Duration::from_millis(20);
                let ended = converse(conn, &catalog, &mut queue, &up).await;
                if up.send_replace(Link::Down) == Link::Up {
                    tracing::warn!("sessiond is away: {ended}");
                }
                if queue.is_closed() {
                    return;
                }
            }
            Ok(_) => tracing::warn!("whoever listens on sessiond's socket is not sessiond"),
            Err(err) => tracing::debug!("{err}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_millis(500)),
            // Whatever was queued for the connection that broke fails now rather than after its time-out.
            request = queue.recv() => match request {
                Some(request) => drop(request.answer.send(Err(away()))),
                None => return,
            },
        }
    }
}

async fn converse(
    mut conn: Conn,
    catalog: &Catalog,
    queue: &mut mpsc::Receiver<Request>,
    up: &watch::Sender<Link>,
) -> String {
    const LIST_ID: u64 = 1;
    let mut next_id = LIST_ID + 1;
    let mut pending: HashMap<u64, oneshot::Sender<Outcome<RawFrame>>> = HashMap::new();
    let mut listing = Vec::new();
    match message(Kind::ListSessions, LIST_ID, &ListSessions {}) {
        Ok(bytes) => {
            if conn.writer.send(bytes).is_err() {
                return "it does not read".to_owned();
            }
        }
        Err(err) => return err.to_string(),
    }
    loop {
        tokio::select! {
            frame = conn.reader.next() => {
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(err) => return err.to_string(),
                };
                match (frame.header.known_kind(), frame.header.at) {
                    (Some(Kind::Sessions), LIST_ID) => match frame.body::<Sessions>(Kind::Sessions) {
                        Ok(part) => {
                            listing.extend(part.sessions);
                            if part.last {
                                catalog.replace(std::mem::take(&mut listing));
                                up.send_replace(Link::Up);
                            }
                        }
                        Err(err) => return err.to_string(),
                    },
                    (Some(Kind::SessionChanged), 0) => match frame.body::<SessionEntry>(Kind::SessionChanged) {
                        Ok(entry) => catalog.update(entry),
                        Err(err) => return err.to_string(),
                    },
                    (kind, id) => {
                        // The catalog has a new session before its maker is answered, so that the answer can be used.
                        if kind == Some(Kind::Session)
                            && let Ok(entry) = frame.body::<SessionEntry>(Kind::Session)
                        {
                            catalog.update(entry);
                        }
                        if let Some(answer) = pending.remove(&id) {
                            // Whoever asked may have stopped waiting.
                            drop(answer.send(Ok(frame)));
                        }
                    }
                }
            }
            request = queue.recv() => {
                let Some(mut request) = request else { return "the bridge stops".to_owned() };
                let id = next_id;
                next_id += 1;
                set_id(&mut request.message, id);
                if conn.writer.send(request.message).is_err() {
                    drop(request.answer.send(Err(away())));
                    return "it does not read".to_owned();
                }
                pending.retain(|_, answer| !answer.is_closed());
                pending.insert(id, request.answer);
            }
        }
    }
}
