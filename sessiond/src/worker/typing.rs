//! What is typed: which epoch may, in which order, and what became of it.
//!
//! The queue is not in the output loop. A frame is typed whole or not at all; what is refused is said so, with the reason.

use std::collections::VecDeque;

use baton_proto::frame::Kind;
use baton_proto::lease::{Monotonic, Refusal};
use baton_proto::v1::{
    Attachment, InputAck, InputHeader, InputRecord, InputRefused, InputUncertain, MarkKind, MarkRecord,
};
use baton_proto::{ClientId, Epoch, ErrorCode};

use super::Worker;
use super::clock::wall_us;
use super::pty::{Pty, Terminal as _};
use super::window::{InFlight, InputIntent};

/// Bytes that wait for a program which does not read; one frame more is refused with `input_full`.
pub const QUEUE_BYTES_MAX: usize = 256 << 10;
/// Bytes typed in one turn, so that output keeps flowing through a paste.
const TURN_BYTES: usize = 64 << 10;
/// Refusals remembered, so that nothing behind a refused frame is typed before it.
const HOLES_MAX: usize = 256;

/// Bytes of answers to queries that wait for a program which does not read; more answers are dropped.
const REPLY_BYTES_MAX: usize = 4096;

const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// A frame that waits.
#[derive(Debug)]
struct Pending {
    intent: InputIntent,
    bytes: Vec<u8>,
    done: usize,
    /// The terminal hid what is typed when some of it was.
    hidden: bool,
}

/// Whether a terminal hides what is typed: a password prompt.
fn hides(terminal: &Pty) -> bool {
    let (echo, canonical) = terminal.echo_and_canonical();
    canonical && !echo
}

/// An answer to a query, typed by nobody.
#[derive(Debug)]
struct Reply {
    /// The query's place in the output. Those of answers that were dropped behind this one are counted in.
    offset: u64,
    bytes: Vec<u8>,
    done: usize,
}

/// A refused frame: until it is repeated, or the epoch is another, nothing behind it in its stream is typed.
#[derive(Debug)]
struct Hole {
    client: ClientId,
    stream: u64,
    epoch: Epoch,
    seq: u64,
}

/// Follows bracketed paste through what is typed, so that one cut off by a change of owner is closed.
#[derive(Debug, Default)]
pub struct PasteTracker {
    tail: Vec<u8>,
    open: bool,
}

impl PasteTracker {
    /// Bytes the kernel took.
    pub fn feed(&mut self, bytes: &[u8]) {
        // Markers are six bytes long: five of the past are enough to see one that was split.
        for byte in bytes {
            if self.tail.len() == PASTE_BEGIN.len() {
                self.tail.remove(0);
            }
            self.tail.push(*byte);
            if self.tail == PASTE_BEGIN {
                self.open = true;
            } else if self.tail == PASTE_END {
                self.open = false;
            }
        }
    }

    /// Whether a paste was begun and not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

/// The input queue.
#[derive(Debug, Default)]
pub struct Typing {
    queue: VecDeque<Pending>,
    bytes: usize,
    holes: VecDeque<Hole>,
    paste: PasteTracker,
    /// Typed between frames, before those that wait: the program waits for them.
    replies: VecDeque<Reply>,
    /// Told already that answers are dropped.
    replies_dropped: bool,
    /// What was begun is typed to its end, and nothing else: the next worker types the rest.
    begins_nothing: bool,
}

impl Typing {
    /// Bytes not yet taken by the kernel.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether `poll` is to wait for room in the terminal.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        if self.begins_nothing { !self.is_between_frames() } else { !self.is_empty() }
    }

    /// Whether nothing waits to be typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.replies.is_empty()
    }

    /// Whether nothing is typed in part.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        let frame = self.queue.front().is_none_or(|pending| pending.done == 0);
        frame && self.replies.front().is_none_or(|reply| reply.done == 0)
    }

    /// From now on nothing new is begun; or it is again.
    pub fn begin_nothing(&mut self, nothing: bool) {
        self.begins_nothing = nothing;
    }

    /// Takes an answer to a query up to `offset`; false when it is dropped.
    fn push_reply(&mut self, offset: u64, bytes: Vec<u8>) -> bool {
        let waiting: usize = self.replies.iter().map(|reply| reply.bytes.len() - reply.done).sum();
        match self.replies.back_mut() {
            Some(last) if waiting + bytes.len() > REPLY_BYTES_MAX => {
                last.offset = offset;
                false
            }
            _ => {
                self.replies.push_back(Reply { offset, bytes, done: 0 });
                true
            }
        }
    }

    /// Whether an answer may be typed now: not within somebody's frame.
    fn reply_is_next(&self) -> bool {
        !self.replies.is_empty() && self.queue.front().is_none_or(|pending| pending.done == 0)
    }

    fn highest_queued(&self, client: &ClientId, stream: u64) -> Option<u64> {
        let of_stream = |it: &&Pending| it.intent.stream == stream && it.intent.client == *client;
        self.queue.iter().rev().find(of_stream).map(|pending| pending.intent.seq)
    }

    /// Whether something before this frame was refused; a repeat of the refused frame itself closes the hole.
    fn behind_hole(&mut self, client: &ClientId, stream: u64, epoch: Epoch, seq: u64) -> bool {
        let Some(at) = self.holes.iter().position(|hole| hole.stream == stream && hole.client == *client) else {
            return false;
        };
        let hole = &self.holes[at];
        if hole.epoch == epoch && seq > hole.seq {
            return true;
        }
        self.holes.remove(at);
        false
    }

    fn open_hole(&mut self, client: &ClientId, stream: u64, epoch: Epoch, seq: u64) {
        if self.holes.len() >= HOLES_MAX {
            self.holes.pop_front();
        }
        self.holes.push_back(Hole { client: client.clone(), stream, epoch, seq });
    }
}

impl Worker {
    /// An input frame of the connection `conn`.
    pub(super) fn input(&mut self, conn: u64, header: InputHeader, bytes: &[u8], now: Monotonic) {
        let InputHeader { attachment, epoch, seq } = header;
        let Some(attached) = self.attached.get(&attachment).filter(|it| it.conn == conn) else {
            self.refuse_input(conn, attachment, seq, 0, ErrorCode::NotOwner, None);
            return;
        };
        let (client, stream) = (attached.entry.client.clone(), attached.input_stream);
        let typed = self.journal.state().typed(&client, stream);
        let queued = self.typing.highest_queued(&client, stream);
        if seq != 0 && seq <= typed {
            // A repeat: it was typed, and the acknowledgement was lost on the way.
            self.ack(conn, attachment, typed);
            return;
        }
        if seq != 0 && queued.is_some_and(|queued| seq <= queued) {
            return;
        }
        let accepted = queued.unwrap_or(0).max(typed);
        if self.terminal.is_none() || !self.is_running() {
            self.refuse_input(conn, attachment, seq, accepted, ErrorCode::SessionEnded, None);
            return;
        }
        match self.lease.admit(&client, Some(epoch), now) {
            Ok(effects) => self.apply(effects, now),
            Err(refusal) => {
                let by = match &refusal {
                    Refusal::Lost { by } => by.as_ref().map(|owner| owner.name.clone()),
                    _ => None,
                };
                self.refuse_input(conn, attachment, seq, accepted, refusal.code(), by);
                return;
            }
        }
        let hole = seq != 0 && self.typing.behind_hole(&client, stream, epoch, seq);
        if hole || self.typing.bytes + bytes.len() > QUEUE_BYTES_MAX {
            if seq != 0 && !hole {
                self.typing.open_hole(&client, stream, epoch, seq);
            }
            self.refuse_input(conn, attachment, seq, accepted, ErrorCode::InputFull, None);
            return;
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let intent = InputIntent { client, stream, epoch, seq, len };
        self.typing.bytes += bytes.len();
        self.typing.queue.push_back(Pending { intent, bytes: bytes.to_vec(), done: 0, hidden: false });
        self.type_queued(now);
    }

    /// An answer to the query that ends at `offset`. It belongs to no client: no epoch, no mark, no acknowledgement.
    pub(super) fn reply(&mut self, offset: u64, bytes: Vec<u8>) {
        if self.terminal.is_none() || !self.is_running() {
            return;
        }
        if self.typing.push_reply(offset, bytes) {
            self.typing.replies_dropped = false;
        } else if !std::mem::replace(&mut self.typing.replies_dropped, true) {
            tracing::warn!("the program asks the terminal and does not read the answers: they are dropped");
        }
    }

    /// Types an answer; false when the terminal takes no more.
    fn type_reply(&mut self) -> bool {
        let (Some(terminal), Some(reply)) = (self.terminal.as_ref(), self.typing.replies.front_mut()) else {
            return false;
        };
        let before = self.window.answered_until();
        // First, so that a successor never gives it again; a kill right here leaves one query without an answer.
        self.window.set_answered(reply.offset.max(before));
        match terminal.write(&reply.bytes[reply.done..]) {
            Ok(Some(n)) => {
                reply.done += n;
                if reply.done >= reply.bytes.len() {
                    self.typing.replies.pop_front();
                }
                n > 0
            }
            Ok(None) => {
                if reply.done == 0 {
                    self.window.set_answered(before);
                }
                false
            }
            Err(err) => {
                tracing::debug!(error = %err, "the terminal takes no answer");
                self.typing.replies.clear();
                false
            }
        }
    }

    /// Writes what the kernel takes.
    pub(super) fn type_queued(&mut self, now: Monotonic) {
        let mut budget = TURN_BYTES;
        while budget > 0 {
            if self.typing.begins_nothing && self.typing.is_between_frames() {
                return;
            }
            if self.typing.reply_is_next() {
                if !self.type_reply() {
                    return;
                }
                continue;
            }
            let Some(terminal) = self.terminal.as_ref() else { return };
            let Some(pending) = self.typing.queue.front_mut() else { return };
            if pending.done == 0 {
                self.window.input_begins(&pending.intent);
            }
            // Before it is written: the program may have shown its next prompt by the time that the kernel took it.
            if self.record_input && hides(terminal) {
                pending.hidden = true;
            }
            let rest = &pending.bytes[pending.done..];
            let written = if rest.is_empty() { Ok(Some(0)) } else { terminal.write(rest) };
            match written {
                Ok(Some(n)) => {
                    self.typing.paste.feed(&rest[..n]);
                    pending.done += n;
                    self.typing.bytes -= n;
                    budget = budget.saturating_sub(n.max(1));
                    self.last_activity = now;
                    if pending.done == pending.bytes.len() {
                        self.window.input_written();
                        if let Some(pending) = self.typing.queue.pop_front() {
                            self.typed(pending);
                        }
                    } else if n == 0 {
                        return;
                    }
                }
                Ok(None) => {
                    if pending.done == 0 {
                        self.window.input_settled();
                    }
                    return;
                }
                Err(err) => {
                    tracing::debug!(error = %err, "the terminal takes no input");
                    self.window.input_settled();
                    self.drop_queue(ErrorCode::SessionEnded, None);
                    return;
                }
            }
        }
    }

    fn typed(&mut self, pending: Pending) {
        let InputIntent { client, stream, epoch, seq, len } = pending.intent;
        // And after it: it may have asked meanwhile.
        let secret = pending.hidden || self.terminal.as_ref().is_none_or(hides);
        let bytes = (self.record_input && !secret).then_some(pending.bytes);
        let record = InputRecord { client: client.clone(), stream, epoch, seq, len, bytes };
        self.window.settle_uncertain(&client, stream, seq);
        let appended = self.journal.append_input(&record);
        // Without a record, the window goes on saying that it was typed: a successor takes it from there.
        if appended.is_ok() {
            self.window.input_settled();
        }
        self.deliver_last(Kind::InputMark, appended);
        if seq != 0
            && let Some(attachment) = self.lease.attachment(&client)
            && let Some(attached) = self.attached.get(&attachment).filter(|it| it.input_stream == stream)
        {
            let conn = attached.conn;
            self.ack(conn, attachment, seq);
        }
    }

    /// The epoch is another: what is unwritten is dropped and answered, an open paste is closed.
    pub(super) fn epoch_changed(&mut self) {
        let by = self.lease.owner().map(|owner| owner.name.clone());
        self.drop_queue(ErrorCode::LeaseLost, by);
        if self.typing.paste.is_open()
            && let Some(terminal) = self.terminal.as_ref()
        {
            // Six bytes; a program that has stopped reading altogether gets none of them and needs none.
            if terminal.write(PASTE_END).is_ok_and(|written| written == Some(PASTE_END.len())) {
                self.typing.paste.feed(PASTE_END);
            }
        }
    }

    fn drop_queue(&mut self, code: ErrorCode, by: Option<String>) {
        let dropped: Vec<Pending> = self.typing.queue.drain(..).collect();
        self.typing.bytes = 0;
        for pending in dropped {
            let InputIntent { client, stream, epoch, seq, .. } = pending.intent;
            // As it was before the next line: a frame that is refused is none of those that are accepted.
            let accepted = self.journal.state().typed(&client, stream);
            let cut = pending.done > 0;
            if cut {
                // A part of it was typed: a repeat must not type that part again.
                let len = u32::try_from(pending.done).unwrap_or(u32::MAX);
                self.settle_unsure(InputRecord { client: client.clone(), stream, epoch, seq, len, bytes: None });
                self.window.input_settled();
            }
            let attached = self
                .lease
                .attachment(&client)
                .and_then(|attachment| Some((attachment, self.attached.get(&attachment)?)))
                .filter(|(_, attached)| attached.input_stream == stream);
            if let Some((attachment, conn)) = attached.map(|(attachment, attached)| (attachment, attached.conn)) {
                self.refuse_input(conn, attachment, seq, accepted, code, by.clone());
            }
        }
    }

    /// Input that may or may not have been typed, or was in part, counts as typed, so that no repeat types it; and its client
    /// hears at each attach that it is not known, until it types something later.
    fn settle_unsure(&mut self, record: InputRecord) {
        let InputRecord { client, stream, seq, .. } = record.clone();
        if seq != 0 {
            self.window.set_uncertain(&InputUncertain { client, stream, seq });
        }
        let appended = self.journal.append_input(&record);
        self.deliver_last(Kind::InputMark, appended);
    }

    fn ack(&mut self, conn: u64, attachment: Attachment, seq: u64) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send(Kind::InputAck, 0, &InputAck { attachment, seq });
        }
    }

    fn refuse_input(
        &mut self,
        conn: u64,
        attachment: Attachment,
        seq: u64,
        accepted: u64,
        code: ErrorCode,
        by: Option<String>,
    ) {
        let since_us = (code == ErrorCode::LeaseLost).then_some(self.lease_since_us);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send(Kind::InputRefused, 0, &InputRefused { attachment, seq, accepted, code, by, since_us });
        }
    }

    /// What a predecessor was writing when it died.
    pub(super) fn settle_in_flight(&mut self, in_flight: InFlight) {
        match in_flight {
            InFlight::Nothing => {}
            InFlight::Written(intent) => {
                let InputIntent { client, stream, epoch, seq, len } = intent;
                if seq == 0 || seq > self.journal.state().typed(&client, stream) {
                    let record = InputRecord { client, stream, epoch, seq, len, bytes: None };
                    let appended = self.journal.append_input(&record);
                    self.deliver_last(Kind::InputMark, appended);
                }
            }
            InFlight::Uncertain(intent) => {
                let InputIntent { client, stream, epoch, seq, .. } = intent;
                tracing::warn!(%client, seq, "a write was in flight when the worker died");
                let text = format!("{client} {stream} {seq}");
                self.settle_unsure(InputRecord { client, stream, epoch, seq, len: 0, bytes: None });
                let appended = self.journal.append(
                    Kind::Mark,
                    &MarkRecord { offset: self.journal.head(), kind: MarkKind::InputUncertain, text },
                );
                self.deliver_last(Kind::Mark, appended);
            }
        }
        self.window.input_settled();
        self.lease_since_us = wall_us();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_is_seen_however_it_is_split() {
        let whole = [b"x".as_slice(), PASTE_BEGIN, b"text"].concat();
        for split in 0..whole.len() {
            let mut paste = PasteTracker::default();
            paste.feed(&whole[..split]);
            paste.feed(&whole[split..]);
            assert!(paste.is_open(), "split at {split}");
            paste.feed(&PASTE_END[..3]);
            assert!(paste.is_open());
            paste.feed(&PASTE_END[3..]);
            assert!(!paste.is_open());
        }
    }

    #[test]
    fn answers_that_are_not_read_are_bounded_and_none_is_given_later() {
        let mut typing = Typing::default();
        assert!(typing.push_reply(10, vec![b'x'; REPLY_BYTES_MAX]), "one that fits is taken");
        assert!(!typing.push_reply(20, vec![b'y'; 1]));
        assert!(!typing.push_reply(30, vec![b'y'; 1]));
        assert_eq!(typing.replies.len(), 1);
        assert_eq!(typing.replies[0].offset, 30, "a successor takes those that were dropped for answered");
        typing.replies.clear();
        assert!(typing.push_reply(40, vec![b'z'; 100]));
    }

    #[test]
    fn nothing_behind_a_refused_frame_is_typed_before_it() {
        let client: ClientId = "agent:a".parse().unwrap();
        let mut typing = Typing::default();
        typing.open_hole(&client, 1, Epoch(4), 7);
        assert!(typing.behind_hole(&client, 1, Epoch(4), 8));
        assert!(!typing.behind_hole(&client, 2, Epoch(4), 8), "another stream");
        assert!(!typing.behind_hole(&client, 1, Epoch(4), 7), "the frame itself closes it");
        assert!(!typing.behind_hole(&client, 1, Epoch(4), 8));
        typing.open_hole(&client, 1, Epoch(4), 9);
        assert!(!typing.behind_hole(&client, 1, Epoch(5), 10), "a new epoch begins anew");
    }
}
