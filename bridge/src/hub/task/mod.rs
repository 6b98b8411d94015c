//! The hub's loop: frames of the worker, requests of the bridge, and the clock that says who has fallen silent.

mod asked;
mod denied;
mod limits;
mod missed;
mod said;
mod silence;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::frame::{Header, Kind};
use baton_proto::hello::Who;
use baton_proto::home::runtime;
use baton_proto::ids::{ClientId, InstanceId};
use baton_proto::limits::LimitReached;
use baton_proto::v1::{
    Attachment, ExitRecord, Failed, From, Inspect, Inspection, SessionEntry, Status, Subscribe, Subscribed,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use asked::refuse;
use said::lease_until;

use super::feed::{Ended, Feed};
use super::marks::{Round, Rounds};
use super::presence::Presence;
use super::screens::Drawing;
use super::session::{Attaching, Command, HubContext, Live, RestAttachment, Session};
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::upstream::conn::{Conn, RawFrame, message};
use crate::upstream::dial::dial;

/// How long a request waits for a worker to be reachable (a successor takes over within this).
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the connection to an ended session's worker is kept without use; the worker goes soon after.
const ENDED_LINGER: Duration = Duration::from_secs(2);
/// REST attachments without a call for the lease's lifetime and this much more are detached.
const REST_LINGER: Duration = Duration::from_secs(60);
/// How old the terminal's modes may be when a client attaches.
const MODES_MAX_AGE: Duration = Duration::from_millis(100);
/// Presence is told at most this often, and less often the more clients there are: it costs clients squared.
const CLIENTS_INTERVAL: Duration = Duration::from_millis(20);
/// The first id of a request after those that make the link.
const FIRST_ID: u64 = 3;
/// And the first after those that read what was missed.
const NEXT_ID: u64 = 1000;

/// What an answer is for.
enum Pending {
    Call(oneshot::Sender<Outcome<RawFrame>>),
    Attach {
        presence: Arc<Presence>,
        reply: AttachReply,
    },
    /// Asked by the hub itself.
    Own,
    Detach(oneshot::Sender<Outcome<()>>),
    Screen(Drawing),
}

enum AttachReply {
    Socket(oneshot::Sender<Outcome<Attaching>>),
    /// Everybody who asked for this client while its attaching was under way.
    Rest(Vec<oneshot::Sender<Outcome<RestAttachment>>>),
}

impl AttachReply {
    fn refuse(self, failure: Failure) {
        // Whoever asked may have stopped waiting.
        match self {
            Self::Socket(reply) => drop(reply.send(Err(failure))),
            Self::Rest(replies) => replies.into_iter().for_each(|reply| drop(reply.send(Err(failure.clone())))),
        }
    }
}

/// One connection to the worker and what hangs on it.
struct Link {
    conn: Conn,
    feed: Arc<Feed>,
    rounds: Rounds,
    next_id: u64,
    pending: HashMap<u64, Pending>,
    attachments: HashMap<Attachment, Arc<Presence>>,
    by_client: HashMap<ClientId, Attachment>,
    /// Those of `attachments` that have no socket.
    rest: Vec<Attachment>,
    used: Instant,
    inspected: Instant,
    clients_due: Option<Instant>,
    clients_told: Instant,
    /// Marks that were read from the journal and may yet come as news.
    known_marks: Vec<Header>,
}

struct Hub {
    session: Weak<Session>,
    entry: watch::Receiver<Arc<SessionEntry>>,
    context: Arc<HubContext>,
    link: Option<Link>,
    retry_at: Instant,
    pause: Duration,
    /// Marks of this life up to this offset were told, if this process has told any.
    told: Option<(InstanceId, u64)>,
    /// The program is known to have been alive, and its end is still to be told.
    end_due: bool,
}

/// Runs until the session is forgotten.
pub(super) async fn run(
    session: Weak<Session>,
    entry: watch::Receiver<Arc<SessionEntry>>,
    end_due: bool,
    commands: mpsc::Receiver<Command>,
    context: Arc<HubContext>,
) {
    let pause = Duration::from_millis(10);
    let hub = Hub { session, entry, context, link: None, retry_at: Instant::now(), pause, told: None, end_due };
    hub.run(commands).await;
}

/// Notes what an inspection says.
pub(super) fn note_inspection(live: &mut Live, inspection: &Inspection) {
    live.head = live.head.max(inspection.head);
    live.oldest = inspection.oldest;
    live.size = Some(inspection.size);
    live.policy = Some(inspection.policy);
    live.clients = Arc::new(inspection.clients.clone());
    live.modes = (inspection.echo, inspection.canonical, inspection.at_prompt);
    live.screen.clone_from(&inspection.screen);
    live.oldest_screen = inspection.oldest_screen;
    live.last_activity_us = live.last_activity_us.max(inspection.last_activity_us);
    live.exit.clone_from(&inspection.exit);
    live.settled = inspection.exit.is_some();
    live.known = true;
}

impl Hub {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        if !self.end_due {
            self.tell_end_of_before().await;
        }
        loop {
            let deadline = self.deadline();
            let Some(link) = self.link.as_mut() else {
                self.tell_end_without_worker();
                // A living session is held on to, so that its lease, size and end are known.
                let wanted = self.entry.borrow().socket.is_some() && self.is_living();
                tokio::select! {
                    command = commands.recv() => match command {
                        Some(Command::Forget | Command::Supersede) | None => return,
                        Some(command) => self.reach_and_handle(command).await,
                    },
                    () = sleep_until(self.retry_at.into()), if wanted => self.connect_in_background().await,
                    changed = self.entry.changed() => if changed.is_err() { return },
                }
                continue;
            };
            tokio::select! {
                read = link.conn.reader.read() => {
                    let outcome = match read {
                        Ok(true) => self.frames(),
                        Ok(false) => Err("it closed the connection".to_owned()),
                        Err(err) => Err(err.to_string()),
                    };
                    if let Err(why) = outcome {
                        self.disconnect(&why);
                    }
                }
                command = commands.recv() => match command {
                    Some(Command::Supersede) => {
                        link.feed.end(Ended::WorkerAway);
                        return;
                    }
                    Some(Command::Forget) | None => {
                        link.feed.end(Ended::Forgotten);
                        return;
                    }
                    Some(command) => self.handle(command),
                },
                changed = self.entry.changed() => {
                    if changed.is_err() {
                        link.feed.end(Ended::Forgotten);
                        return;
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => self.tick(),
            }
        }
    }

    /// A program may have ended before the worker could be reached, and its end is then told by sessiond alone.
    fn tell_end_without_worker(&mut self) {
        let entry = Arc::clone(&self.entry.borrow());
        if let Status::Exited(exit) | Status::Closed(exit) = &entry.status {
            self.tell_end(exit);
        }
    }

    /// A program that ended while there was no bridge.
    async fn tell_end_of_before(&self) {
        let entry = Arc::clone(&self.entry.borrow());
        if let Status::Exited(exit) | Status::Closed(exit) = &entry.status {
            let status = show::status(&entry.status);
            self.context.events.end_of_before(entry.spec.session, status, exit).await;
        }
    }

    /// Tells the end of this life, once.
    fn tell_end(&mut self, exit: &ExitRecord) {
        if std::mem::take(&mut self.end_due) {
            self.context.events.end(self.entry.borrow().spec.session, exit);
        }
    }

    fn is_living(&self) -> bool {
        matches!(self.entry.borrow().status, Status::Starting | Status::Running)
    }

    async fn connect_in_background(&mut self) {
        if let Err(failure) = self.connect(Instant::now() + PATIENCE).await {
            tracing::debug!(session = %self.entry.borrow().spec.session, "{failure}");
            self.pause = (self.pause * 2).min(Duration::from_secs(1));
            self.retry_at = Instant::now() + self.pause;
        }
    }

    async fn reach_and_handle(&mut self, command: Command) {
        let deadline = Instant::now() + PATIENCE;
        if let Command::Detach { reply, .. } = command {
            // The attachment went with its connection.
            if let Some(reply) = reply {
                drop(reply.send(Ok(())));
            }
            return;
        }
        loop {
            match self.connect(deadline).await {
                Ok(()) => return self.handle(command),
                Err(failure) if failure.code != ErrorCode::SessiondDown || Instant::now() >= deadline => {
                    return refuse(command, failure);
                }
                // The worker's socket is there while a successor starts; it answers a moment later.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Dials the worker and subscribes.
    async fn connect(&mut self, deadline: Instant) -> Outcome<()> {
        let mut entry = Arc::clone(&self.entry.borrow_and_update());
        let id = entry.spec.session;
        if let Status::Failed { reason } = &entry.status
            && entry.socket.is_none()
        {
            return Err(Failure::new(ErrorCode::SessionEnded, format!("the session never started: {reason}")));
        }
        if entry.socket.is_none() {
            let sessiond = self.context.sessiond.get().ok_or_else(|| Failure::down("sessiond is not known yet"))?;
            // The catalog has this answer too, in the order in which sessiond spoke; here it may be older than that.
            entry = Arc::new(sessiond.open(id).await?);
        }
        let Some(socket) = entry.socket.clone() else {
            return Err(Failure::down("the session's worker is not there yet; try again"));
        };
        let directory = self.context.home.runtime.join(runtime::WORKERS_DIR);
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        let dialled = tokio::time::timeout(left, dial(&directory, &socket, &self.context.home.key_file())).await;
        let (conn, welcome) = dialled
            .map_err(|_| Failure::down("the session's worker does not answer"))?
            .map_err(|err| Failure::down(format!("the session's worker does not answer: {err}")))?;
        match welcome.who {
            Who::Worker { session, .. } if session == id => {}
            _ => return Err(Failure::new(ErrorCode::Internal, "the worker's socket belongs to another session")),
        }
        self.subscribe(conn, deadline).await
    }

    /// Subscribes at the head, learns how things are, and only then has a link: the feed begins where that was said.
    async fn subscribe(&mut self, mut conn: Conn, deadline: Instant) -> Outcome<()> {
        let broke = |why: &dyn std::fmt::Display| Failure::down(format!("the session's worker broke off: {why}"));
        let subscribe = Subscribe { from: From::Head, without_output: false };
        let mut bytes = message(Kind::Subscribe, 1, &subscribe).map_err(|err| broke(&err))?;
        bytes.extend(message(Kind::Inspect, 2, &Inspect {}).map_err(|err| broke(&err))?);
        conn.writer.send(bytes).map_err(|_| broke(&"it does not read"))?;
        let mut feed = None;
        let mut early = Vec::new();
        let inspection: Inspection = loop {
            let frame = tokio::time::timeout_at(deadline.into(), conn.reader.next())
                .await
                .map_err(|_| Failure::down("the session's worker does not answer"))?
                .map_err(|err| broke(&err))?;
            match (frame.header.known_kind(), frame.header.at) {
                (Some(Kind::Subscribed), 1) => {
                    let subscribed: Subscribed = frame.body(Kind::Subscribed).map_err(|err| broke(&err))?;
                    let instance = self.entry.borrow().spec.instance;
                    feed = Some(Feed::new(instance, subscribed.start, Arc::clone(&self.context.chunk_bytes)));
                }
                (Some(Kind::Inspection), 2) => break frame.body(Kind::Inspection).map_err(|err| broke(&err))?,
                (Some(Kind::Failed), 1 | 2) => {
                    let failed: Failed = frame.body(Kind::Failed).map_err(|err| broke(&err))?;
                    return Err(Failure::of(failed, None));
                }
                _ => early.push(frame),
            }
        };
        let Some(feed) = feed else { return Err(broke(&"it did not subscribe the bridge")) };
        // An ended session's marks were told while it lived, or nobody wants to hear of them as news.
        let missed = if self.is_living() {
            let told = self.told(feed.instance).await;
            let missed = Self::read_missed(&mut conn, &inspection, told, deadline, &mut early);
            Some((missed.await.map_err(|why| broke(&why))?, told))
        } else {
            None
        };
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            note_inspection(&mut live, &inspection);
            live.lease_until_us = lease_until(&inspection.lease, None, self.context.lease_ttl);
            live.lease = Some(inspection.lease.clone());
            drop(live);
            // What happened while nobody listened shows in what is now.
            if inspection.lease.epoch.0 > 0 {
                self.context.events.lease_found(session.id, session.cursor(inspection.head), &inspection.lease);
            }
            self.context.audit.lease(session.id, session.instance(), &inspection.lease);
        }
        let now = Instant::now();
        let start = feed.head();
        self.link = Some(Link {
            conn,
            feed,
            rounds: Rounds::default(),
            next_id: NEXT_ID,
            pending: HashMap::new(),
            attachments: HashMap::new(),
            by_client: HashMap::new(),
            rest: Vec::new(),
            used: now,
            inspected: now,
            clients_due: None,
            clients_told: now.checked_sub(Duration::from_secs(60)).unwrap_or(now),
            known_marks: Vec::new(),
        });
        self.pause = Duration::from_millis(10);
        if let Some((missed, told)) = missed {
            self.tell_missed(missed, told, start);
        }
        let failing = early.iter().any(|frame| frame.header.known_kind() == Some(Kind::JournalState));
        if !failing {
            // It would have said so: what was wrong is over, and how much is missing stands in the journal.
            self.journal_recovered(None);
        }
        let reached = early.iter().filter(|frame| frame.header.known_kind() == Some(Kind::LimitReached));
        let reached = reached.filter_map(|frame| frame.body::<LimitReached>(Kind::LimitReached).ok());
        let reached: Vec<_> = reached.map(|told| told.resource).collect();
        self.limits_eased_but(&reached);
        let is_coming = early.iter().any(|frame| frame.header.known_kind() == Some(Kind::Exit));
        if let Some(exit) = inspection.exit.filter(|_| !is_coming && self.is_living()) {
            // It ended before it was subscribed to: nothing else will say so.
            self.exited(exit);
        }
        // What was read together with the last answer is in the reader: no further read may ever bring it to notice, if it
        // was the program's end.
        let taken = early.into_iter().try_for_each(|frame| self.frame(frame)).and_then(|()| self.frames());
        taken.map_err(|why| {
            self.disconnect(&why);
            broke(&why)
        })
    }

    fn disconnect(&mut self, why: &str) {
        let Some(link) = self.link.take() else { return };
        let id = self.entry.borrow().spec.session;
        tracing::info!(session = %id, "the worker's connection ended: {why}");
        let failure = || Failure::down("the session's worker is being replaced; try again");
        for pending in link.pending.into_values() {
            match pending {
                Pending::Call(reply) => drop(reply.send(Err(failure()))),
                Pending::Attach { reply, .. } => reply.refuse(failure()),
                Pending::Detach(reply) => drop(reply.send(Ok(()))),
                Pending::Screen(drawing) => drawing.refuse(failure()),
                Pending::Own => {}
            }
        }
        link.feed.end(Ended::WorkerAway);
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            live.carrier = None;
            // Marks made from here on are not heard.
            live.round = Round::Unknown;
        }
        self.retry_at = Instant::now();
    }
}
