//! The hub's loop: frames of the worker, requests of the bridge, and the clock that says who has fallen silent.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::ServerFrame;
use baton_proto::frame::Kind;
use baton_proto::hello::Who;
use baton_proto::home::runtime;
use baton_proto::ids::{ClientId, Cursor};
use baton_proto::v1::{
    Attach, Attached, Attachment, Clients, ControlDenied, ControlRequested, Detach, Dimensions, ExitRecord, Failed,
    From, GapRecord, InputAck, InputRefused, InputUncertain, Inspect, Inspection, LeaseRecord, Liveness, Replaced,
    ResizeRecord, SessionEntry, Status, Subscribe, Subscribed,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::feed::{Chunk, Ended, Feed};
use super::presence::{Identity, Presence};
use super::session::{Attaching, Command, HubContext, Live, RestAttachment, Session, Watching, until_us};
use crate::clock;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::upstream::conn::{Conn, RawFrame, message, set_id};
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
}

struct Hub {
    session: Weak<Session>,
    entry: watch::Receiver<Arc<SessionEntry>>,
    context: Arc<HubContext>,
    link: Option<Link>,
    retry_at: Instant,
    pause: Duration,
}

/// Runs until the session is forgotten.
pub(super) async fn run(
    session: Weak<Session>,
    entry: watch::Receiver<Arc<SessionEntry>>,
    commands: mpsc::Receiver<Command>,
    context: Arc<HubContext>,
) {
    let pause = Duration::from_millis(10);
    Hub { session, entry, context, link: None, retry_at: Instant::now(), pause }.run(commands).await;
}

/// Notes what an inspection says.
pub(super) fn note_inspection(live: &mut Live, inspection: &Inspection) {
    live.head = live.head.max(inspection.head);
    live.oldest = inspection.oldest;
    live.size = Some(inspection.size);
    live.policy = Some(inspection.policy);
    live.clients = Arc::new(inspection.clients.clone());
    live.modes = (inspection.echo, inspection.canonical, inspection.at_prompt);
    live.last_activity_us = live.last_activity_us.max(inspection.last_activity_us);
    live.exit.clone_from(&inspection.exit);
    live.known = true;
}

impl Hub {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let deadline = self.deadline();
            let Some(link) = self.link.as_mut() else {
                // A living session is held on to, so that its lease, size and end are known.
                let wanted = self.entry.borrow().socket.is_some() && self.is_living();
                tokio::select! {
                    command = commands.recv() => match command {
                        Some(Command::Forget) | None => return,
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
                    Some(command) if !matches!(command, Command::Forget) => self.handle(command),
                    _ => {
                        link.feed.end(Ended::Forgotten);
                        return;
                    }
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

    fn is_living(&self) -> bool {
        matches!(self.entry.borrow().status, Status::Starting | Status::Running)
    }

    // ---- the connection ----

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
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            note_inspection(&mut live, &inspection);
            live.lease_until_us = lease_until(&inspection.lease, None, self.context.lease_ttl);
            live.lease = Some(inspection.lease);
        }
        let now = Instant::now();
        self.link = Some(Link {
            conn,
            feed,
            next_id: 3,
            pending: HashMap::new(),
            attachments: HashMap::new(),
            by_client: HashMap::new(),
            rest: Vec::new(),
            used: now,
            inspected: now,
            clients_due: None,
            clients_told: now.checked_sub(Duration::from_secs(60)).unwrap_or(now),
        });
        self.pause = Duration::from_millis(10);
        for frame in early {
            self.frame(frame).map_err(|why| broke(&why))?;
        }
        Ok(())
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
                Pending::Own => {}
            }
        }
        link.feed.end(Ended::WorkerAway);
        if let Some(session) = self.session.upgrade() {
            session.live_mut().carrier = None;
        }
        self.retry_at = Instant::now();
    }

    // ---- what the worker says ----

    fn frames(&mut self) -> Result<(), String> {
        while let Some(link) = self.link.as_mut() {
            match link.conn.reader.frame() {
                Ok(Some(frame)) => self.frame(frame)?,
                Ok(None) => {
                    link.feed.wake();
                    return Ok(());
                }
                Err(err) => return Err(err.to_string()),
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: RawFrame) -> Result<(), String> {
        let Some(kind) = frame.header.known_kind() else { return Ok(()) };
        let body = |err: baton_proto::ProtoError| err.to_string();
        match kind {
            Kind::Output | Kind::Stderr => self.output(frame),
            Kind::Resize => self.resized(frame.body(kind).map_err(body)?),
            Kind::Lease => self.leased(frame.body(kind).map_err(body)?),
            Kind::Exit => self.exited(frame.body(kind).map_err(body)?),
            // Records that nobody is told of yet. Their `at` is an offset, and must not be taken for an answer's id.
            Kind::InputMark | Kind::Mark => {}
            Kind::Gap => self.gap(frame.header.at, frame.body(kind).map_err(body)?),
            Kind::Clients => self.clients(frame.body(kind).map_err(body)?),
            Kind::InputAck => {
                let ack: InputAck = frame.body(kind).map_err(body)?;
                if let Some(presence) = self.presence(ack.attachment) {
                    presence.acked(ack.seq);
                }
            }
            Kind::InputRefused => self.input_refused(frame.body(kind).map_err(body)?),
            Kind::InputUncertain => self.input_uncertain(&frame.body(kind).map_err(body)?),
            Kind::ControlRequested => {
                let asked: ControlRequested = frame.body(kind).map_err(body)?;
                let told = ServerFrame::ControlRequested { client_id: asked.client, name: asked.name };
                self.tell(&asked.owner, told);
            }
            Kind::ControlDenied => {
                let denied: ControlDenied = frame.body(kind).map_err(body)?;
                self.tell(&denied.client, ServerFrame::ControlDenied { by: denied.by });
            }
            Kind::Replaced => {
                let replaced: Replaced = frame.body(kind).map_err(body)?;
                if let Some(presence) = self.forget_attachment(replaced.attachment) {
                    presence.replaced();
                }
            }
            _ => self.answered(frame)?,
        }
        Ok(())
    }

    fn presence(&self, attachment: Attachment) -> Option<&Arc<Presence>> {
        self.link.as_ref()?.attachments.get(&attachment)
    }

    fn tell(&self, client: &ClientId, frame: ServerFrame) {
        let Some(link) = self.link.as_ref() else { return };
        if let Some(presence) = link.by_client.get(client).and_then(|attachment| link.attachments.get(attachment)) {
            presence.tell(frame);
        }
    }

    fn output(&mut self, frame: RawFrame) {
        let Some(link) = self.link.as_mut() else { return };
        let (at, wall_us) = (frame.header.at, frame.header.wall_us);
        let head = link.feed.head();
        let end = at + frame.payload().len() as u64;
        if end <= head {
            return;
        }
        self.context.output_bytes.fetch_add(end - head.max(at), Ordering::Relaxed);
        if at > head {
            // A hole: what lies between is nowhere. Subscribers find out from the journal, which says so.
            link.feed.skip_to(at);
        }
        let chunk = Chunk::of_record(frame.bytes, at);
        // Nothing the worker says twice is passed on twice.
        let chunk = if at < head { Chunk::of_bytes(Arc::new(chunk).from(head).payload(), head) } else { chunk };
        link.feed.push(chunk);
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            live.head = end;
            live.last_activity_us = live.last_activity_us.max(wall_us);
        }
    }

    fn gap(&mut self, at: u64, gap: GapRecord) {
        if let Some(link) = self.link.as_mut() {
            let head = link.feed.head().max(at + gap.lost);
            link.feed.skip_to(head);
        }
    }

    fn resized(&mut self, size: ResizeRecord) {
        let Some(link) = self.link.as_mut() else { return };
        let cursor = Cursor { instance: link.feed.instance, offset: link.feed.head() };
        link.feed.control(show::text(&ServerFrame::Resize { cols: size.cols, rows: size.rows, cursor }), None, false);
        let Some(session) = self.session.upgrade() else { return };
        session.live_mut().size = Some(Dimensions { cols: size.cols, rows: size.rows });
        self.context.events.session(session.id, "resize", serde_json::json!({ "cols": size.cols, "rows": size.rows }));
    }

    fn leased(&mut self, record: LeaseRecord) {
        let Some(session) = self.session.upgrade() else { return };
        let Some(link) = self.link.as_mut() else { return };
        let owner = record.owner.as_ref().and_then(|owner| link.by_client.get(&owner.client)).copied();
        let carried = owner.and_then(|attachment| link.attachments.get(&attachment));
        if let Some(presence) = carried {
            presence.set_silent(record.expired);
        }
        let until = lease_until(&record, carried.map(|presence| presence.last_heard()), self.context.lease_ttl);
        let before = {
            let mut live = session.live_mut();
            live.carrier = carried.cloned();
            live.lease_until_us = until;
            live.lease.replace(record.clone())
        };
        let frame = show::lease_frame(&record, until);
        link.feed.control(show::text(&frame), Some(record.epoch), false);
        self.context.events.lease(session.id, &record, until);
        // A REST attachment lasts as long as the lease it was made for.
        if let Some(LeaseRecord { epoch, owner: Some(former), .. }) = before
            && epoch != record.epoch
            && let Some(attachment) = link.by_client.get(&former.client).copied()
            && link.attachments.get(&attachment).is_some_and(|presence| presence.rest)
        {
            self.detach(attachment, false, None);
        }
    }

    fn exited(&mut self, exit: ExitRecord) {
        let Some(link) = self.link.as_mut() else { return };
        let frame = ServerFrame::Exit { code: exit.code, signal: exit.signal, reason: exit.reason.clone() };
        link.feed.control(show::text(&frame), None, true);
        let Some(session) = self.session.upgrade() else { return };
        let (oldest, last_activity_us) = {
            let mut live = session.live_mut();
            live.exit = Some(exit.clone());
            (live.oldest, live.last_activity_us)
        };
        self.context.events.exit(session.id, &exit, link.feed.head(), oldest, last_activity_us);
    }

    fn clients(&mut self, clients: Clients) {
        let Some(session) = self.session.upgrade() else { return };
        let count = u32::try_from(clients.clients.len()).unwrap_or(u32::MAX);
        session.live_mut().clients = Arc::new(clients.clients);
        let Some(link) = self.link.as_mut() else { return };
        let interval = CLIENTS_INTERVAL + Duration::from_micros(500) * count;
        link.clients_due.get_or_insert((link.clients_told + interval).max(Instant::now()));
    }

    fn input_refused(&mut self, refused: InputRefused) {
        let Some(presence) = self.presence(refused.attachment) else { return };
        presence.refused(refused.clone());
        if !presence.rest {
            presence.tell(show::input_refused(&refused));
        }
    }

    fn input_uncertain(&mut self, uncertain: &InputUncertain) {
        let Some(link) = self.link.as_ref() else { return };
        let presence = link.by_client.get(&uncertain.client).and_then(|attachment| link.attachments.get(attachment));
        if let Some(presence) = presence.filter(|presence| presence.input_stream == uncertain.stream) {
            presence.tell(show::input_uncertain(uncertain.seq));
        }
    }

    fn answered(&mut self, frame: RawFrame) -> Result<(), String> {
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        let Some(pending) = link.pending.remove(&frame.header.at) else { return Ok(()) };
        match pending {
            Pending::Call(reply) => drop(reply.send(Ok(frame))),
            Pending::Detach(reply) => drop(reply.send(Ok(()))),
            Pending::Own => {
                if frame.header.known_kind() == Some(Kind::Inspection)
                    && let Some(session) = self.session.upgrade()
                {
                    let inspection: Inspection = frame.body(Kind::Inspection).map_err(|err| err.to_string())?;
                    note_inspection(&mut session.live_mut(), &inspection);
                }
            }
            Pending::Attach { presence, reply } => match frame.header.known_kind() {
                Some(Kind::Attached) => {
                    let attached: Attached = frame.body(Kind::Attached).map_err(|err| err.to_string())?;
                    self.attached(attached, presence, reply);
                }
                Some(Kind::Failed) => {
                    let failed: Failed = frame.body(Kind::Failed).map_err(|err| err.to_string())?;
                    reply.refuse(Failure::of(failed, None));
                }
                _ => return Err("it gave an answer to something else".to_owned()),
            },
        }
        Ok(())
    }

    fn attached(&mut self, attached: Attached, presence: Arc<Presence>, reply: AttachReply) {
        let Some(link) = self.link.as_mut() else { return };
        let attachment = attached.attachment;
        presence.heard();
        let owner = attached.lease.owner.as_ref().is_some_and(|owner| owner.client == presence.identity.client);
        presence.set_silent(owner && attached.lease.expired);
        link.attachments.insert(attachment, Arc::clone(&presence));
        link.by_client.insert(presence.identity.client.clone(), attachment);
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            live.head = attached.head;
            live.oldest = attached.oldest;
            live.size = Some(attached.size);
            live.policy = Some(attached.policy);
            if owner {
                live.lease_until_us = lease_until(&attached.lease, Some(presence.last_heard()), self.context.lease_ttl);
                live.carrier = Some(Arc::clone(&presence));
            }
            live.lease = Some(attached.lease.clone());
        }
        let writer = link.conn.writer.clone();
        let taken = match reply {
            AttachReply::Socket(reply) => {
                let subscription = link.feed.subscribe();
                reply.send(Ok(Attaching { attached, subscription, writer })).is_ok()
            }
            AttachReply::Rest(replies) => {
                link.rest.push(attachment);
                let answer = RestAttachment { attachment, presence, writer, fresh: true };
                let mut taken = false;
                for reply in replies {
                    taken |= reply.send(Ok(answer.clone())).is_ok();
                }
                taken
            }
        };
        if !taken {
            // Whoever asked has stopped waiting: nobody would ever detach it.
            self.detach(attachment, false, None);
        }
    }

    // ---- what the bridge asks ----

    fn handle(&mut self, command: Command) {
        let Some(link) = self.link.as_mut() else {
            return refuse(command, Failure::down("the worker is away; try again"));
        };
        link.used = Instant::now();
        match command {
            Command::Attach { presence, viewport, reply } => {
                self.refresh_modes();
                self.attach(presence, viewport, AttachReply::Socket(reply));
            }
            Command::Rest { identity, join, reply } => self.rest(identity, join, reply),
            Command::Detach { attachment, release, reply } => self.detach(attachment, release, reply),
            Command::Call { message, reply } => self.send(message, Pending::Call(reply)),
            Command::Heard { attachment } => self.heard(attachment),
            Command::Forget => {}
            Command::Watch { reply } => {
                let exit = self.session.upgrade().and_then(|session| session.live_mut().exit.clone());
                drop(reply.send(Ok(Watching { subscription: link.feed.subscribe(), exit })));
            }
        }
    }

    fn send(&mut self, mut message: Vec<u8>, pending: Pending) {
        let Some(link) = self.link.as_mut() else { return };
        let id = link.next_id;
        link.next_id += 1;
        set_id(&mut message, id);
        if link.conn.writer.send(message).is_err() {
            let failure = Failure::down("the session's worker does not read; try again");
            match pending {
                Pending::Call(reply) => drop(reply.send(Err(failure))),
                Pending::Attach { reply, .. } => reply.refuse(failure),
                Pending::Detach(reply) => drop(reply.send(Err(failure))),
                Pending::Own => {}
            }
            return;
        }
        link.pending.insert(id, pending);
    }

    fn own<T: bincode::Encode>(&mut self, kind: Kind, body: &T) {
        match message(kind, 0, body) {
            Ok(bytes) => self.send(bytes, Pending::Own),
            Err(err) => tracing::error!("a message of our own does not fit: {err}"),
        }
    }

    fn refresh_modes(&mut self) {
        let Some(link) = self.link.as_mut() else { return };
        if link.inspected.elapsed() >= MODES_MAX_AGE {
            link.inspected = Instant::now();
            // Answered before the attachment that follows on the same connection.
            self.own(Kind::Inspect, &Inspect {});
        }
    }

    fn attach(&mut self, presence: Arc<Presence>, viewport: Option<Dimensions>, reply: AttachReply) {
        let Identity { client, kind, class, name } = presence.identity.clone();
        let attach = Attach { client, kind, class, name, viewport, input_stream: presence.input_stream };
        match message(Kind::Attach, 0, &attach) {
            Ok(bytes) => self.send(bytes, Pending::Attach { presence, reply }),
            Err(err) => reply.refuse(Failure::invalid(err.to_string())),
        }
    }

    fn rest(&mut self, identity: Identity, join: bool, reply: oneshot::Sender<Outcome<RestAttachment>>) {
        let Some(link) = self.link.as_mut() else { return };
        if let Some(attachment) = link.by_client.get(&identity.client).copied()
            && let Some(presence) = link.attachments.get(&attachment)
        {
            let presence = Arc::clone(presence);
            let writer = link.conn.writer.clone();
            if presence.heard() {
                self.heard(attachment);
            }
            drop(reply.send(Ok(RestAttachment { attachment, presence, writer, fresh: false })));
            return;
        }
        if !join && !self.is_owner(&identity.client) {
            let detail = "this client is not attached to the session: `claim` attaches it";
            drop(reply.send(Err(Failure::new(ErrorCode::ClientNotAttached, detail))));
            return;
        }
        let Some(link) = self.link.as_mut() else { return };
        // A second attaching would replace the first, and whoever waits for that would hold a dead number.
        let under_way = link.pending.values_mut().find_map(|pending| match pending {
            Pending::Attach { presence, reply: AttachReply::Rest(replies) }
                if presence.identity.client == identity.client =>
            {
                Some(replies)
            }
            _ => None,
        });
        if let Some(replies) = under_way {
            replies.push(reply);
            return;
        }
        self.attach(Arc::new(Presence::new(identity, 0, true)), None, AttachReply::Rest(vec![reply]));
    }

    fn detach(&mut self, attachment: Attachment, release: bool, reply: Option<oneshot::Sender<Outcome<()>>>) {
        let known = self.forget_attachment(attachment).is_some();
        let pending = reply.map_or(Pending::Own, Pending::Detach);
        match (known, message(Kind::Detach, 0, &Detach { attachment, release }), pending) {
            (true, Ok(bytes), pending) => self.send(bytes, pending),
            (_, _, Pending::Detach(reply)) => drop(reply.send(Ok(()))),
            _ => {}
        }
    }

    fn forget_attachment(&mut self, attachment: Attachment) -> Option<Arc<Presence>> {
        let link = self.link.as_mut()?;
        let presence = link.attachments.remove(&attachment)?;
        if link.by_client.get(&presence.identity.client) == Some(&attachment) {
            link.by_client.remove(&presence.identity.client);
        }
        if presence.rest {
            link.rest.retain(|rest| *rest != attachment);
        }
        if let Some(session) = self.session.upgrade() {
            let mut live = session.live_mut();
            if live.carrier.as_ref().is_some_and(|carrier| Arc::ptr_eq(carrier, &presence)) {
                // From here on the worker counts.
                live.carrier = None;
                live.lease_until_us = until_us(Instant::now(), self.context.lease_ttl);
            }
        }
        Some(presence)
    }

    // ---- the clock ----

    /// The attachment that carries the lease, if it is one of ours.
    fn owner(&self) -> Option<(Attachment, &Arc<Presence>)> {
        let session = self.session.upgrade()?;
        let link = self.link.as_ref()?;
        let client = session.live_mut().lease.as_ref()?.owner.as_ref()?.client.clone();
        let attachment = *link.by_client.get(&client)?;
        Some((attachment, link.attachments.get(&attachment)?))
    }

    fn is_owner(&self, client: &ClientId) -> bool {
        let Some(session) = self.session.upgrade() else { return false };
        let live = session.live_mut();
        live.lease.as_ref().and_then(|lease| lease.owner.as_ref()).is_some_and(|owner| owner.client == *client)
    }

    fn heard(&mut self, attachment: Attachment) {
        let Some(presence) = self.presence(attachment).filter(|presence| presence.is_silent()) else { return };
        presence.set_silent(false);
        self.own(Kind::Liveness, &Liveness { attachment, alive: true });
    }

    fn deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let ttl = self.context.lease_ttl;
        let silence = self.owner().filter(|(_, owner)| !owner.is_silent()).map(|(_, owner)| owner.last_heard() + ttl);
        let rest = link.rest.iter().filter_map(|attachment| link.attachments.get(attachment));
        let rest = rest.map(|presence| presence.last_heard() + ttl + REST_LINGER).min();
        let unused = (!self.is_living()).then(|| link.used + ENDED_LINGER);
        [silence, rest, unused, link.clients_due].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let (now, ttl) = (Instant::now(), self.context.lease_ttl);
        let silent = self
            .owner()
            .filter(|(_, owner)| !owner.is_silent() && owner.last_heard() + ttl <= now)
            .map(|(attachment, owner)| (attachment, Arc::clone(owner)));
        if let Some((attachment, owner)) = silent {
            owner.set_silent(true);
            self.own(Kind::Liveness, &Liveness { attachment, alive: false });
        }
        let Some(link) = self.link.as_mut() else { return };
        if link.clients_due.is_some_and(|due| due <= now) {
            link.clients_due = None;
            link.clients_told = now;
            if let Some(session) = self.session.upgrade() {
                let clients = session.live();
                link.feed.clients(show::clients_frame(&clients.clients));
                link.feed.wake();
                self.context.events.clients(session.id, &clients.clients);
            }
        }
        let over = |attachment: &Attachment| {
            link.attachments.get(attachment).is_some_and(|presence| presence.last_heard() + ttl + REST_LINGER <= now)
        };
        let over: Vec<_> = link.rest.iter().copied().filter(over).collect();
        for attachment in over {
            self.detach(attachment, false, None);
        }
        self.leave_ended(now);
    }

    /// Lets an ended session's worker go when nobody uses it.
    fn leave_ended(&mut self, now: Instant) {
        let living = self.is_living();
        let Some(link) = self.link.as_mut() else { return };
        if living || now < link.used + ENDED_LINGER {
            return;
        }
        // Whoever stopped waiting for an answer does not keep the worker.
        link.pending.retain(|_, pending| !matches!(pending, Pending::Call(reply) if reply.is_closed()));
        if link.attachments.is_empty() && link.pending.is_empty() && link.feed.subscribers() == 0 {
            self.link = None;
        } else {
            link.used = now;
        }
    }
}

/// When a lease ends if nothing more is heard: microseconds since 1970.
fn lease_until(record: &LeaseRecord, heard: Option<Instant>, ttl: Duration) -> u64 {
    match (record.expires_in_ms, heard) {
        (Some(ms), _) => clock::now_us() + ms * 1000,
        (None, Some(heard)) => until_us(heard, ttl),
        (None, None) => until_us(Instant::now(), ttl),
    }
}

fn refuse(command: Command, failure: Failure) {
    // Whoever asked may have stopped waiting.
    match command {
        Command::Attach { reply, .. } => drop(reply.send(Err(failure))),
        Command::Rest { reply, .. } => drop(reply.send(Err(failure))),
        Command::Call { reply, .. } => drop(reply.send(Err(failure))),
        Command::Watch { reply } => drop(reply.send(Err(failure))),
        Command::Detach { reply: Some(reply), .. } => drop(reply.send(Ok(()))),
        Command::Detach { .. } | Command::Heard { .. } | Command::Forget => {}
    }
}
