//! A client that lives through everything: it comes back with its cursor and checks each byte; a typist also keeps what is not
//! acknowledged and sends it again under the same number, as the page does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Exit, ResumeMode, ServerFrame};
use baton_proto::ids::{Cursor, Epoch, SessionId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::desk::Marks;
use super::echoed::{Answers, Record, Records};
use super::numbered::NumberedCheck;
use super::world::{Order, Phase, Point, Shared, World};
use crate::attach::Attach;
use crate::seed::Seed;
use crate::stream::StreamClient;
use crate::websocket::{Incoming, UpgradeRefused};

/// The page's bound of what is on its way.
const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024;
/// A lease's signs of life.
const HEARTBEAT: Duration = Duration::from_secs(4);
/// How long a client may fail to attach once no more faults fall.
pub const CALM_ATTACH_LIMIT: Duration = Duration::from_secs(30);
/// How long a page waits for `ready` before it tries again.
const OPEN_LIMIT: Duration = Duration::from_secs(12);
/// A gap is told only when this much has been written since: the journal's bound, less what a segment's end may cost.
const TRIMMED_AFTER_BYTES: u64 = 48 << 20;

/// How a client judges what it gets.
#[derive(Debug)]
pub enum Content {
    /// Numbered output.
    Numbered(NumberedCheck),
    /// What an echo program says; `judge` holds the rules of input.
    Echo {
        /// The program's answers.
        answers: Answers,
        /// What was typed, cut into records.
        records: Records,
        /// Whether it is this client who tells what the program read.
        judge: bool,
    },
    /// What a shell writes: the same for everybody, each answer once.
    Shell(Marks),
    /// Whatever it is: this client takes screens in place of bytes when it is too slow for them.
    Viewer,
}

/// Who it is and what it does.
#[derive(Debug)]
pub struct Role {
    /// Its name in the book.
    pub name: String,
    /// How it attaches.
    pub attach: Attach,
    /// How it judges.
    pub content: Content,
    /// Which typist it is, if it types.
    pub typist: Option<u64>,
    /// Between two messages it does nothing for so long.
    pub slow: Duration,
    /// How its program ends, if that is known.
    pub code: Option<i32>,
    /// Its program ends by itself.
    pub brief: bool,
    /// Its own random numbers.
    pub seed: Seed,
}

/// What it keeps from one connection to the next.
pub struct Client {
    world: Arc<World>,
    session: SessionId,
    shared: Arc<Shared>,
    role: Role,
    stream: u64,
    next_seq: u64,
    /// Not acknowledged: seq, epoch, bytes.
    pending: VecDeque<(u64, Epoch, Vec<u8>)>,
    resume: Option<Cursor>,
    epoch: Epoch,
    skipped: u64,
    broken: bool,
    crc: crc32fast::Hasher,
    claimed: Option<Instant>,
}

enum Over {
    Cut,
    Exit(Exit),
}

impl Client {
    /// A client that has not attached yet.
    #[must_use]
    pub fn new(world: &Arc<World>, session: SessionId, shared: &Arc<Shared>, mut role: Role) -> Self {
        let stream = role.seed.number() >> 12;
        role.attach.input_stream = Some(stream);
        role.attach.name = Some(role.name.clone());
        Self {
            world: Arc::clone(world),
            session,
            shared: Arc::clone(shared),
            role,
            stream,
            next_seq: 1,
            pending: VecDeque::new(),
            resume: None,
            epoch: Epoch(0),
            skipped: 0,
            broken: false,
            crc: crc32fast::Hasher::new(),
            claimed: None,
        }
    }

    fn wrong(&self, text: &str) {
        self.world.ledger.violation(&self.role.name, text);
    }

    /// Follows the session until its program ends.
    pub async fn run(mut self) {
        let mut orders = self.world.enlist(&self.role.name);
        let mut calm_since = None;
        loop {
            match self.open().await {
                Some(mut client) => {
                    calm_since = None;
                    let over = self.connected(&mut client, &mut orders).await;
                    match over {
                        Ok(over) => {
                            self.take(&mut client).await;
                            if let Over::Exit(exit) = over {
                                return self.ended(&exit, client.offset);
                            }
                        }
                        Err(Half) => {
                            self.take(&mut client).await;
                            let (seq, epoch) = (self.next_seq, client.epoch);
                            client.break_off(&[b'?'; 400], epoch, seq).await;
                        }
                    }
                    self.world.ledger.count("reconnects", 1);
                }
                None if self.world.phase() > Phase::Storm => {
                    let since = *calm_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > CALM_ATTACH_LIMIT {
                        return self.wrong("cannot attach although no fault has fallen for long");
                    }
                }
                None => calm_since = None,
            }
            tokio::time::sleep(self.role.seed.millis(1..120)).await;
        }
    }

    /// One try to attach.
    async fn open(&mut self) -> Option<StreamClient> {
        let attach = Attach { resume: self.resume, ..self.role.attach.clone() };
        self.world.reached(Point::Attaching, Some(self.session));
        let opened = tokio::time::timeout(OPEN_LIMIT, StreamClient::open(&self.world.api, self.session, attach)).await;
        let client = match opened {
            Ok(Ok(client)) => client,
            Ok(Err(err)) => {
                self.refused(&err);
                return None;
            }
            Err(_) => {
                self.world.ledger.note(&format!("{}: no `ready` within {OPEN_LIMIT:?}", self.role.name));
                return None;
            }
        };
        if client.ready.epoch < self.epoch {
            self.wrong(&format!("epoch {} after {}", client.ready.epoch, self.epoch));
        }
        if let Err(text) = self.shared.told(client.ready.epoch, client.ready.owner.as_ref()) {
            self.wrong(&text);
        }
        if client.ready.mode == ResumeMode::Gap || client.ready.lost.is_some() {
            let lost = client.ready.lost.unwrap_or(0);
            self.gap(lost, client.offset).await;
        }
        if self.role.typist.is_some() {
            self.settled(client.ready.input_seq);
            let highest = self.next_seq - 1;
            if client.ready.input_seq > highest {
                self.wrong(&format!("input_seq {} of {highest} that were sent", client.ready.input_seq));
            }
        }
        Some(client)
    }

    /// Who is refused learns why; a living session that is said not to be there would end a page.
    fn refused(&self, err: &anyhow::Error) {
        let status = err.downcast_ref::<UpgradeRefused>().map(|refused| refused.status);
        let text = format!("{err:#}");
        let gone = ["`not_found`", "`forbidden`", "`unauthenticated`", "`session_ended`"];
        if matches!(status, Some(401 | 403 | 404)) || gone.iter().any(|code| text.contains(code)) {
            self.wrong(&format!("turned away from a living session: {text}"));
        } else if status.is_some() || text.contains("instead of `ready`") {
            self.world.ledger.count("attaches refused for now", 1);
            self.world.ledger.note(&format!("{}: {text}", self.role.name));
        }
    }

    /// One connection.
    async fn connected(
        &mut self,
        client: &mut StreamClient,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Result<Over, Half> {
        if self.role.typist.is_some() {
            // All that was not taken, under the same numbers.
            for (seq, epoch, bytes) in self.pending.clone() {
                if client.try_input(&bytes, epoch, seq).await.is_err() {
                    return Ok(Over::Cut);
                }
            }
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut typing = Instant::now() + self.role.seed.millis(0..50);
        loop {
            tokio::select! {
                incoming = client.next() => {
                    if let Some(over) = self.heard(client, &incoming) {
                        return Ok(over);
                    }
                    self.take(client).await;
                    if !self.role.slow.is_zero() && self.world.phase() == Phase::Storm {
                        tokio::time::sleep(self.role.slow).await;
                    }
                }
                _ = heartbeat.tick() => {
                    // Who does not type keeps control from those who do for a while only.
                    let idle = self.role.typist.is_none() && client.owner.as_ref() == Some(&client.id);
                    if idle && self.claimed.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(3) {
                        self.claimed = None;
                        if client.try_send(ClientFrame::Release).await.is_err() {
                            return Ok(Over::Cut);
                        }
                    }
                    if client.try_send(ClientFrame::Heartbeat).await.is_err() {
                        return Ok(Over::Cut);
                    }
                }
                Some(order) = orders.recv() => {
                    if self.world.phase() == Phase::Storm && !self.obey(client, order).await? {
                        return Ok(Over::Cut);
                    }
                }
                () = tokio::time::sleep_until(typing), if self.role.typist.is_some() => {
                    typing = Instant::now() + self.role.seed.millis(2..90);
                    if self.world.phase() == Phase::Storm && !self.types(client).await {
                        return Ok(Over::Cut);
                    }
                }
            }
        }
    }

    /// Judges a message; how the connection is over, if it is.
    fn heard(&mut self, client: &StreamClient, incoming: &Incoming) -> Option<Over> {
        match incoming {
            Incoming::Data { .. } => {}
            Incoming::Screen { .. } if matches!(self.role.content, Content::Viewer) => {
                self.world.ledger.count("screens in place of bytes", 1);
            }
            Incoming::Screen { .. } => self.wrong("a screen in spite of `snapshot: never`"),
            Incoming::Closed { code, reason } => {
                if let Some(code @ (4000 | 4001 | 4003 | 4004)) = code {
                    self.wrong(&format!("closed with {code}: {reason}"));
                }
                return Some(Over::Cut);
            }
            Incoming::Frame(frame) => match frame {
                ServerFrame::Exit { code, signal, reason } => {
                    return Some(Over::Exit(Exit { code: *code, signal: *signal, reason: reason.clone() }));
                }
                ServerFrame::Lease { owner, epoch, .. } => {
                    if let Err(text) = self.shared.told(*epoch, owner.as_ref()) {
                        self.wrong(&text);
                    }
                    if owner.as_ref() == Some(&client.id) {
                        self.world.reached(Point::Claimed, Some(self.session));
                    }
                }
                ServerFrame::InputAck { seq } => self.settled(*seq),
                ServerFrame::Error { code, message, seq, accepted, .. } => self.failed(*code, message, *seq, *accepted),
                _ => {}
            },
        }
        None
    }

    fn failed(&mut self, code: ErrorCode, message: &str, seq: Option<u64>, accepted: Option<u64>) {
        match (code, seq) {
            (ErrorCode::InputUncertain, Some(seq)) => {
                self.world.ledger.note(&format!("{}: input {seq} is uncertain", self.role.name));
                self.pending.retain(|(pending, ..)| *pending != seq);
                if let Err(text) = self.shared.typed().uncertain(self.stream, seq) {
                    self.wrong(&text);
                }
            }
            (
                ErrorCode::NotOwner | ErrorCode::LeaseLost | ErrorCode::InputFull | ErrorCode::SessionEnded,
                Some(seq),
            ) => {
                let accepted = accepted.unwrap_or(seq - 1);
                let epoch = self.pending.iter().find(|(pending, ..)| *pending == seq).map(|(_, epoch, _)| *epoch);
                if let Some(epoch) = epoch {
                    self.shared.typed().refused(self.stream, epoch.0, accepted);
                    self.pending.retain(|(pending, under, _)| *pending <= accepted || *under != epoch);
                }
            }
            (ErrorCode::Internal | ErrorCode::Invalid, _) => self.wrong(&format!("`{code}`: {message}")),
            (ErrorCode::InputUncertain, None) => self.wrong("uncertain, and not which"),
            _ => self.world.ledger.note(&format!("{}: `{code}`: {message}", self.role.name)),
        }
    }

    /// Everything up to `seq` is done with.
    fn settled(&mut self, seq: u64) {
        while self.pending.front().is_some_and(|(pending, ..)| *pending <= seq) {
            self.pending.pop_front();
        }
        self.shared.typed().acknowledged(self.stream, seq);
    }

    /// Types if it may, and claims what is free: as keys do.
    async fn types(&mut self, client: &mut StreamClient) -> bool {
        let Some(who) = self.role.typist else { return true };
        if client.owner.is_none() {
            self.world.reached(Point::Claiming, Some(self.session));
            return client.try_send(ClientFrame::Claim { force: false }).await.is_ok();
        }
        if client.owner.as_ref() != Some(&client.id) {
            return true;
        }
        for _ in 0..self.role.seed.within(1..5) {
            let in_flight: usize = self.pending.iter().map(|(.., bytes)| bytes.len()).sum();
            if in_flight >= IN_FLIGHT_BYTES_MAX {
                return true;
            }
            let len = match self.role.seed.within(0..40) {
                0..=2 => 4000,
                3..=6 => self.role.seed.within(100..1000),
                _ => self.role.seed.within(1..40),
            };
            let bytes = self.role.seed.bytes(usize::try_from(len).unwrap_or(1));
            let (seq, epoch) = (self.next_seq, client.epoch);
            self.next_seq += 1;
            let (record, frame) = Record::of(who, self.stream, epoch.0, seq, &bytes);
            self.shared.typed().sending(record);
            self.world.ledger.count("inputs sent", 1);
            self.pending.push_back((seq, epoch, frame.clone()));
            let sent = client.try_input(&frame, epoch, seq).await.is_ok();
            self.world.reached(Point::InputSent, Some(self.session));
            if !sent {
                return false;
            }
        }
        true
    }

    /// Does as it is told; false when the connection is to be dropped.
    async fn obey(&mut self, client: &mut StreamClient, order: Order) -> Result<bool, Half> {
        let frame = match order {
            Order::Drop => return Ok(false),
            Order::Half => return Err(Half),
            Order::Claim(force) => ClientFrame::Claim { force },
            Order::Release => ClientFrame::Release,
            Order::Request => ClientFrame::RequestControl,
            Order::Detach => ClientFrame::Detach,
            Order::Resize(cols, rows) => ClientFrame::Viewport { cols, rows },
            Order::Transfer => {
                let others: Vec<_> = client
                    .frames
                    .iter()
                    .rev()
                    .find_map(|frame| if let ServerFrame::Clients { clients } = frame { Some(clients) } else { None })
                    .into_iter()
                    .flatten()
                    .filter(|other| other.client_id != client.id)
                    .map(|other| other.client_id.clone())
                    .collect();
                if others.is_empty() {
                    return Ok(true);
                }
                ClientFrame::Transfer { to_client_id: self.role.seed.one_of(&others).clone() }
            }
        };
        if matches!(order, Order::Claim(_)) {
            self.world.reached(Point::Claiming, Some(self.session));
        }
        Ok(client.try_send(frame).await.is_ok())
    }

    /// Judges the bytes that came.
    async fn take(&mut self, client: &mut StreamClient) {
        self.epoch = self.epoch.max(client.epoch);
        self.resume = Some(client.cursor());
        // Only who is attached, for a transfer, is looked at again.
        if client.frames.len() > 64 {
            client.frames.drain(..32);
        }
        let bytes = std::mem::take(&mut client.output);
        if client.skipped > 0 {
            let skipped = std::mem::take(&mut client.skipped);
            self.gap(skipped, client.offset - bytes.len() as u64).await;
        }
        if bytes.is_empty() {
            return;
        }
        self.shared.heard(client.offset);
        if self.broken {
            return;
        }
        self.world.ledger.count("bytes checked", bytes.len() as u64);
        self.crc.update(&bytes);
        let judged = match &mut self.role.content {
            Content::Numbered(check) => check.feed(&bytes).map_err(|difference| difference.text),
            Content::Echo { answers, records, judge } => answers.feed(&bytes).map(|typed| {
                if *judge {
                    let mut shared = self.shared.typed();
                    for text in records.feed(&typed).into_iter().filter_map(|piece| shared.read(piece).err()) {
                        self.world.ledger.violation(&self.role.name, &text);
                    }
                }
            }),
            Content::Shell(marks) => marks.feed(&bytes),
            Content::Viewer => Ok(()),
        };
        if let Err(text) = judged {
            self.broken = true;
            self.wrong(&text);
        }
    }

    /// Bytes that are told to be nowhere: that must be true, and there must be a reason.
    async fn gap(&mut self, lost: u64, begin: u64) {
        self.world.ledger.count("gaps told", 1);
        self.world.ledger.count("bytes told lost", lost);
        self.skipped += lost;
        match &mut self.role.content {
            Content::Numbered(check) => check.skip(lost),
            Content::Echo { .. } | Content::Shell(_) => self.broken = true,
            Content::Viewer => {}
        }
        let (since, until) = self.shared.written_in(begin.saturating_sub(lost), begin);
        if self.world.was_full_between(since, until) {
            self.world.ledger.count("gaps that a full disk left", 1);
            self.shared.tear();
            return;
        }
        let Some(detail) = self.world.ask(self.session, Duration::from_secs(30)).await else { return };
        let (oldest, head) = (detail.session.oldest_cursor.offset, detail.session.cursor.offset);
        if oldest < begin || head < begin + TRIMMED_AFTER_BYTES {
            self.wrong(&format!(
                "{lost} bytes before {begin} are told to be lost; the oldest kept is {oldest}, the newest {head}"
            ));
        }
    }

    /// The program has ended.
    fn ended(&self, exit: &Exit, offset: u64) {
        let name = &self.role.name;
        if self.world.phase() < Phase::End && !self.role.brief {
            self.wrong(&format!("told of an end that nobody caused: {exit:?}"));
        }
        if let Content::Shell(marks) = &self.role.content {
            self.shared.shell().come.extend(&marks.come);
        }
        if let Some(code) = self.role.code {
            judge_exit(&self.world, name, exit, code);
        }
        let total = written(&self.world, self.session);
        if let Some(total) = total.filter(|total| *total > offset) {
            // What a full disk cost at the very end is told, and no byte follows it.
            let (since, until) = self.shared.written_in(offset, total);
            if self.world.was_full_between(since, until) {
                self.world.ledger.count("gaps that a full disk left", 1);
                return;
            }
        }
        if self.skipped == 0
            && !matches!(self.role.content, Content::Viewer)
            && let Err(text) = self.shared.whole(offset, self.crc.clone().finalize())
        {
            self.wrong(&text);
        }
        if let Some(total) = total
            && total != offset
            && !self.broken
        {
            self.wrong(&format!("the program wrote {total} bytes, {offset} came before its end was told"));
        }
    }
}

/// An exit code must be true, or said to be unknown where nobody could learn it.
pub fn judge_exit(world: &World, name: &str, exit: &Exit, code: i32) {
    if exit.code == Some(code) && exit.signal.is_none() {
        world.ledger.count("exit codes true", 1);
    } else if exit.code.is_none() && exit.signal.is_none() && exit.reason == "status_unknown" {
        world.ledger.count("exit codes honestly unknown", 1);
        world.ledger.note(&format!("{name}: {exit:?}"));
    } else {
        world.ledger.violation(name, &format!("the program ended with {code}, told was {exit:?}"));
    }
}

/// How much the session's program says that it wrote.
fn written(world: &World, session: SessionId) -> Option<u64> {
    let name = world.sessions().get(&session)?.name.clone();
    std::fs::read_to_string(world.stop_file(&name).with_extension("total")).ok()?.parse().ok()
}

/// Half of a frame is to be sent.
struct Half;
