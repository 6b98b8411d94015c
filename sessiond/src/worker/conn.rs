//! One connection to the worker: the handshake, whole frames in, records and messages out.
//!
//! A subscriber holds a place in the journal and nothing else: at the head it is sent each record from the read window as it is
//! made, behind it is sent the journal's bytes as fast as its socket takes them. Messages that speak of the state ("you are
//! attached, this is the lease") wait until the records before them are sent, so that everybody sees one order.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, read_body, write_message};
use baton_proto::hello::{Accepted, HANDSHAKE_TIMEOUT_S, Hello, InstallKey, Nonce, Proof, Role, Welcome, Who};
use baton_proto::lease::Monotonic;
use baton_proto::v1::{Failed, SCREEN_HEADER_BYTES, ScreenHeader};

use super::journal::{Journal, Place, ReadError};
use super::screen::Drawing;

/// Bytes of messages that may wait for one connection; a peer that lets more pile up is cut off.
const OUT_BYTES_MAX: usize = 8 << 20;
/// Bytes of output that wait for one connection because no record has them: enough for a burst, and for a peer that is being
/// scheduled. Beyond that they are missing for it, as the offsets of what follows tell.
const UNPLACED_BYTES_MAX: usize = 2 << 20;
/// Bytes of journal read at once for one that lags.
const CATCH_UP_BYTES: usize = 256 << 10;
/// Bytes of a screen in one frame: as many as of the journal, so that each gets its share of the socket.
const PART_BYTES: usize = 256 << 10;
/// Bytes read from a socket in one turn, so that one peer cannot keep the worker from the rest.
const TURN_BYTES: usize = 256 << 10;

/// How far the handshake is.
#[derive(Debug)]
enum Phase {
    AwaitHello,
    AwaitProof { hello: Box<Hello>, version: u16, nonce: Nonce },
    Ready(Role),
}

/// Where a subscriber is.
#[derive(Debug, Clone, Copy)]
pub struct Subscription {
    place: Place,
    without_output: bool,
}

/// A screen on its way, a part at a time.
#[derive(Debug)]
struct Answer {
    id: u64,
    drawing: Drawing,
    at: usize,
}

impl Answer {
    /// The next part as a frame, and whether it is the last.
    fn next_part(&mut self) -> (Vec<u8>, bool) {
        let end = self.drawing.bytes.len().min(self.at + PART_BYTES);
        let last = end == self.drawing.bytes.len();
        let bytes = &self.drawing.bytes[self.at..end];
        let mut part = Vec::with_capacity(HEADER_BYTES + SCREEN_HEADER_BYTES + bytes.len());
        let len = u32::try_from(SCREEN_HEADER_BYTES + bytes.len()).unwrap_or(u32::MAX);
        part.extend_from_slice(&Header::message(Kind::Screen, self.id, len).to_bytes());
        part.extend_from_slice(&ScreenHeader { last, ..self.drawing.header }.to_bytes());
        part.extend_from_slice(bytes);
        self.at = end;
        (part, last)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    stream: UnixStream,
    phase: Phase,
    deadline: Option<Monotonic>,
    input: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    fenced: VecDeque<(Place, Vec<u8>)>,
    subscription: Option<Subscription>,
    screens: VecDeque<Answer>,
    /// Records were sent last: a part of a screen is next.
    screen_next: bool,
    /// Closed as soon as `out` is written.
    closing: bool,
    dead: bool,
}

/// What the handshake needs to know of this process.
#[derive(Debug)]
pub struct Identity {
    /// The install key.
    pub key: InstallKey,
    /// Who this is.
    pub who: Who,
}

impl Conn {
    /// A connection that was just accepted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(stream: UnixStream, now: Monotonic) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            phase: Phase::AwaitHello,
            deadline: Some(now.after(std::time::Duration::from_secs(HANDSHAKE_TIMEOUT_S))),
            input: Vec::new(),
            out: Vec::new(),
            out_at: 0,
            fenced: VecDeque::new(),
            subscription: None,
            screens: VecDeque::new(),
            screen_next: true,
            closing: false,
            dead: false,
        })
    }

    /// For `poll`.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Who it is, once it has proved it.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self.phase {
            Phase::Ready(role) => Some(role),
            _ => None,
        }
    }

    /// When the handshake must be over.
    #[must_use]
    pub const fn deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    /// Whether it is to be dropped.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.dead || (self.closing && self.out_at == self.out.len())
    }

    /// Drop it at the end of this turn.
    pub fn kill(&mut self) {
        self.dead = true;
    }

    /// Whether `poll` is to wait for room in its socket.
    #[must_use]
    pub fn wants_write(&self, end: Place) -> bool {
        self.out_at < self.out.len()
            || self.subscription.is_some_and(|subscription| subscription.place < end)
            || !self.fenced.is_empty()
            || !self.screens.is_empty()
    }

    /// Whether it is sent output.
    #[must_use]
    pub fn wants_output(&self) -> bool {
        self.subscription.is_some_and(|subscription| !subscription.without_output)
    }

    /// Sends a screen as fast as the socket takes it. Its bytes do not count as messages that pile up.
    pub fn answer_screen(&mut self, id: u64, drawing: Drawing) {
        if !self.closing && !self.dead {
            self.screens.push_back(Answer { id, drawing, at: 0 });
        }
    }

    /// Bytes of screens still to be sent.
    #[must_use]
    pub fn screen_bytes(&self) -> usize {
        self.screens.iter().map(|answer| answer.drawing.bytes.len() - answer.at).sum()
    }

    /// Whether it is sent records.
    #[must_use]
    pub const fn is_subscribed(&self) -> bool {
        self.subscription.is_some()
    }

    /// Sends records from `place` on.
    pub fn subscribe(&mut self, place: Place, without_output: bool) {
        self.subscription = Some(Subscription { place, without_output });
    }

    /// Reads what is there. The frames are taken by [`Self::take_input`].
    pub fn fill(&mut self) {
        let mut taken = 0;
        let mut chunk = [0; 16 << 10];
        while taken < TURN_BYTES {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.dead = true;
                    break;
                }
                Ok(n) => {
                    self.input.extend_from_slice(&chunk[..n]);
                    taken += n;
                    if n < chunk.len() {
                        break;
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.dead = true;
                    break;
                }
            }
        }
    }

    /// What was read and not parsed, to be given back by [`Self::put_back`].
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// The first `used` bytes are dealt with. Memory of a large frame is given up.
    pub fn put_back(&mut self, mut input: Vec<u8>, used: usize) {
        if used == input.len() && input.capacity() > 64 << 10 {
            return;
        }
        input.drain(..used);
        self.input = input;
    }

    /// Goes on with the handshake. Any deviation is answered with `Refused` and the end.
    pub fn handshake(&mut self, frame: &Frame<'_>, identity: &Identity, generation_seen: u64) -> Option<Role> {
        match self.try_handshake(frame, identity, generation_seen) {
            Ok(role) => role,
            Err(why) => {
                self.refuse(why);
                None
            }
        }
    }

    fn try_handshake(
        &mut self,
        frame: &Frame<'_>,
        identity: &Identity,
        generation_seen: u64,
    ) -> Result<Option<Role>, String> {
        let kind = frame.header.known_kind();
        match (&self.phase, kind) {
            (Phase::AwaitHello, Some(Kind::Hello)) => {
                let hello: Hello = read_body(Kind::Hello, frame.payload).map_err(|err| err.to_string())?;
                let version = hello.shared_version().map_err(|_| {
                    format!(
                        "no protocol version in common: {} to {} was offered, {} to {} is spoken here",
                        hello.version_min,
                        hello.version_max,
                        baton_proto::hello::VERSION_MIN,
                        baton_proto::hello::VERSION_MAX
                    )
                })?;
                let mut nonce = Nonce::default();
                getrandom::fill(&mut nonce).map_err(|err| err.to_string())?;
                let welcome = Welcome {
                    version,
                    who: identity.who,
                    pid: std::process::id(),
                    nonce,
                    proof: identity.key.listener_proof(&hello, version, &nonce),
                    capabilities: Vec::new(),
                    build: env!("CARGO_PKG_VERSION").to_owned(),
                };
                self.send(Kind::Welcome, 0, &welcome);
                self.phase = Phase::AwaitProof { hello: Box::new(hello), version, nonce };
                Ok(None)
            }
            (Phase::AwaitProof { hello, version, nonce }, Some(Kind::Proof)) => {
                let proof: Proof = read_body(Kind::Proof, frame.payload).map_err(|err| err.to_string())?;
                if !identity.key.believes_dialler(hello, *version, nonce, &proof) {
                    return Err("the install key is not yours: read it from Baton's state directory".to_owned());
                }
                let role = hello.role;
                if let Role::Supervisor { generation } = role
                    && generation < generation_seen
                {
                    return Err(format!("sessiond generation {generation} is older than {generation_seen}"));
                }
                self.phase = Phase::Ready(role);
                self.deadline = None;
                self.send(Kind::Accepted, 0, &Accepted {});
                Ok(Some(role))
            }
            (phase, _) => {
                let due = if matches!(phase, Phase::AwaitHello) { "`hello`" } else { "`proof`" };
                Err(format!("a frame of kind {} came where {due} was due", frame.header.kind))
            }
        }
    }

    /// Says why and closes.
    pub fn refuse(&mut self, why: String) {
        tracing::debug!(why, "a connection is refused");
        self.send(Kind::Refused, 0, &Failed { code: ErrorCode::Refused, message: why, owner: None, oldest: None });
        self.closing = true;
        self.flush_out();
    }

    /// Queues a message; it may overtake records.
    pub fn send<T: baton_proto::codec::Encode>(&mut self, kind: Kind, at: u64, body: &T) {
        if self.closing || self.dead {
            return;
        }
        if let Err(err) = write_message(kind, at, body, &mut self.out) {
            tracing::warn!(error = %err, "a message is too large to send");
        }
        self.check_bound();
    }

    /// Queues bytes of whole frames; they may overtake records.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if !self.closing && !self.dead {
            self.out.extend_from_slice(bytes);
            self.check_bound();
        }
    }

    /// Queues a message behind every record made so far.
    pub fn send_fenced<T: baton_proto::codec::Encode>(&mut self, end: Place, kind: Kind, at: u64, body: &T) {
        let mut bytes = Vec::new();
        if let Err(err) = write_message(kind, at, body, &mut bytes) {
            tracing::warn!(error = %err, "a message is too large to send");
            return;
        }
        self.send_fenced_bytes(end, bytes);
    }

    /// [`Self::send_fenced`] for a message that is bytes already.
    pub fn send_fenced_bytes(&mut self, end: Place, bytes: Vec<u8>) {
        let caught_up = self.subscription.is_none_or(|subscription| subscription.place >= end);
        if caught_up && self.fenced.is_empty() {
            self.send_bytes(&bytes);
        } else if !self.closing && !self.dead {
            self.fenced.push_back((end, bytes));
            self.check_bound();
        }
    }

    fn check_bound(&mut self) {
        if self.waiting_bytes() > OUT_BYTES_MAX {
            tracing::warn!("a peer does not read its messages and is cut off");
            self.dead = true;
        }
    }

    /// A record was appended at `begin..end` (or could not be: `placed` is none, and it exists only here).
    pub fn deliver(&mut self, kind: Kind, record: &[u8], placed: Option<(Place, Place)>, journal_end: Place) {
        let Some(subscription) = self.subscription else { return };
        let output = matches!(kind, Kind::Output | Kind::Stderr);
        let (begin, end) = placed.unwrap_or((journal_end, journal_end));
        let at_head = subscription.place == begin;
        if output && subscription.without_output {
            if at_head {
                self.subscription = Some(Subscription { place: end, ..subscription });
            }
            return;
        }
        let idle = self.out_at == self.out.len() && self.fenced.is_empty();
        if at_head && idle {
            match self.write_some(record) {
                Some(0) if placed.is_some() => return,
                // What was begun is finished, and what is in no record is kept as far as it can be.
                Some(n) if n < record.len() => self.send_bytes(&record[n..]),
                _ => {}
            }
            self.subscription = Some(Subscription { place: end, ..subscription });
        } else if placed.is_none() && (!output || self.waiting_bytes() + record.len() <= UNPLACED_BYTES_MAX) {
            // Nowhere else to be found: neither a lease change nor what can be kept of the output gets lost with a full disk.
            self.send_fenced_bytes(journal_end, record.to_vec());
        }
    }

    /// What was written from `before` to `end` of the journal is nothing new to those who are at the head.
    pub fn skip(&mut self, before: Place, end: Place) {
        if let Some(subscription) = self.subscription.as_mut().filter(|it| it.place == before) {
            subscription.place = end;
        }
    }

    fn waiting_bytes(&self) -> usize {
        self.out.len() - self.out_at + self.fenced.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Writes what it can: messages, then records it has not had.
    pub fn flush(&mut self, journal: &mut Journal, scratch: &mut Vec<u8>) {
        loop {
            if self.dead || !self.flush_out() {
                return;
            }
            let place = self.subscription.map(|subscription| subscription.place);
            if let Some((fence, _)) = self.fenced.front()
                && place.is_none_or(|place| place >= *fence)
            {
                if let Some((_, bytes)) = self.fenced.pop_front() {
                    self.out = bytes;
                    self.out_at = 0;
                }
                continue;
            }
            let behind = self.subscription.filter(|it| it.place < journal.end());
            if (self.screen_next || behind.is_none())
                && let Some(answer) = self.screens.front_mut()
            {
                let (part, last) = answer.next_part();
                if last {
                    self.screens.pop_front();
                }
                self.out = part;
                self.out_at = 0;
                self.screen_next = false;
                continue;
            }
            self.screen_next = true;
            let Some(subscription) = behind else { return };
            let fence = self.fenced.front().map(|(fence, _)| *fence);
            if !self.catch_up(subscription, fence, journal, scratch) {
                return;
            }
        }
    }

    /// Sends one chunk of the journal, not beyond the fence; false when the socket takes no more.
    fn catch_up(
        &mut self,
        subscription: Subscription,
        fence: Option<Place>,
        journal: &mut Journal,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let wanted = fence.map_or(usize::MAX, |fence| fence.bytes_since(subscription.place)).min(CATCH_UP_BYTES);
        let next = match journal.read(subscription.place, wanted, scratch) {
            // Both stand between records, so that the cut does too.
            Ok(Some(next)) => match fence.filter(|fence| *fence < next) {
                Some(fence) => {
                    scratch.truncate(scratch.len().saturating_sub(next.bytes_since(fence)));
                    fence
                }
                None => next,
            },
            Ok(None) => return false,
            Err(ReadError::Trimmed) => {
                // Fell behind everything kept. The jump in the records' offsets tells how much it missed.
                let place = journal.place_of(journal.oldest()).unwrap_or_else(|_| journal.end());
                self.subscription = Some(Subscription { place, ..subscription });
                return true;
            }
            Err(ReadError::Io(err)) => {
                tracing::error!(error = %err, "the journal cannot be read; the subscriber is cut off");
                self.dead = true;
                return false;
            }
        };
        self.subscription = Some(Subscription { place: next, ..subscription });
        if subscription.without_output {
            let mut rest = scratch.as_slice();
            while let Ok(Some(frame)) = Frame::parse(rest) {
                let (whole, behind) = rest.split_at(frame.total_bytes());
                if !matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr)) {
                    self.send_bytes(whole);
                }
                rest = behind;
            }
            return true;
        }
        let Some(written) = self.write_some(scratch) else { return false };
        if written == scratch.len() {
            return true;
        }
        // What was begun is finished from memory; the place is between records again.
        let mut at = 0;
        while let Ok(Some(header)) = Header::parse(&scratch[at..]) {
            let end = at + HEADER_BYTES + header.len as usize;
            if end > written || (end == written && written > 0) {
                let resume = if end == written || at == written { written } else { end };
                self.send_bytes(&scratch[written..resume]);
                // Counted back from the chunk's end: it may have begun in the segment after the place's.
                let place = next.back(scratch.len() - resume);
                self.subscription = Some(Subscription { place, ..subscription });
                return false;
            }
            at = end;
        }
        false
    }

    /// Writes queued messages; true when none is left.
    pub fn flush_out(&mut self) -> bool {
        while self.out_at < self.out.len() {
            match self.stream.write(&self.out[self.out_at..]) {
                Ok(n) if n > 0 => self.out_at += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return false,
                _ => {
                    self.dead = true;
                    return false;
                }
            }
        }
        if self.out.capacity() > 64 << 10 {
            self.out = Vec::new();
        }
        self.out.clear();
        self.out_at = 0;
        true
    }

    /// Writes once; how many bytes the socket took, `None` when the connection is gone.
    fn write_some(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            match self.stream.write(bytes) {
                Ok(n) => return Some(n),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Some(0),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.dead = true;
                    return None;
                }
            }
        }
    }
}
