//! Requests of a connection that has proved itself.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, RANGE_BYTES_MAX, read_body, write_empty};
use baton_proto::hello::Role;
use baton_proto::lease::{Monotonic, Refusal};
use baton_proto::v1::{
    Attachment, Claim, Close, Configure, DenyControl, Dimensions, Failed, From, InputHeader, Inspect, LeaseRecord,
    Liveness, RangeHeader, ReadRange, Release, RequestControl, SignalRequest, SizePolicy, Subscribe, Subscribed,
    Transfer, Trim,
};
use nix::sys::signal::Signal;

use super::Worker;
use super::journal::{Place, ReadError};
use super::pty::Terminal as _;
use super::size::check_size;

/// A refusal on its way to the asker.
#[derive(Debug)]
pub(super) struct No(Failed);

impl No {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::with_oldest(code, message, None)
    }

    pub(super) fn with_oldest(code: ErrorCode, message: impl Into<String>, oldest: Option<u64>) -> Self {
        Self(Failed { code, message: message.into(), owner: None, oldest })
    }
}

impl std::convert::From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        let mut failed = Failed { code: refusal.code(), message: String::new(), owner: None, oldest: None };
        failed.message = match refusal {
            Refusal::NotAttached => "this client is not attached to the session: attach it first".to_owned(),
            Refusal::Held { owner, force_helps } => {
                let message = if force_helps {
                    format!("`{}` has control: ask for it, or take it with force", owner.name)
                } else {
                    format!("`{}` has control, and an agent cannot take it from a person: ask for it", owner.name)
                };
                failed.owner = Some((owner.name, owner.kind));
                message
            }
            Refusal::NotOwner => "this client does not have control: claim it first".to_owned(),
            Refusal::Lost { by: Some(owner) } => format!("control has moved to `{}`", owner.name),
            Refusal::Lost { by: None } => "control was given up: claim it again".to_owned(),
            Refusal::EpochMoved => "control has changed hands in between: look again before claiming".to_owned(),
            Refusal::TooMany { max } => format!("the session has its {max} already: try again later"),
        };
        Self(failed)
    }
}

impl std::convert::From<ReadError> for No {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::Trimmed => Self::new(ErrorCode::CursorTrimmed, "this part of the journal is no longer kept"),
            ReadError::Io(err) => Self::new(ErrorCode::Internal, format!("the journal cannot be read: {err}")),
        }
    }
}

/// How a request is answered.
pub(super) enum Answer {
    /// `Done`.
    Done,
    /// The lease as it is now.
    Lease,
    /// The lease as it was when the request was first answered.
    LeaseThen(LeaseRecord),
    /// The handler has answered, or no answer is due.
    Given,
}

impl Worker {
    /// Deals with one frame of a connection.
    pub(super) fn request(&mut self, conn: u64, role: Role, frame: &Frame<'_>, now: Monotonic) {
        let Some(kind) = frame.header.known_kind() else { return };
        let id = frame.header.at;
        if !allowed(role, kind) {
            self.fail(
                conn,
                id,
                No::new(ErrorCode::Forbidden, format!("a frame of kind {} is not for this peer", kind.number())),
            );
            return;
        }
        match self.dispatch(conn, kind, id, frame.payload, now) {
            Ok(Answer::Given) => {}
            Ok(Answer::Done) => {
                let mut bytes = Vec::with_capacity(HEADER_BYTES);
                write_empty(Kind::Done, id, &mut bytes);
                let end = self.journal.end();
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.send_fenced_bytes(end, bytes);
                }
            }
            Ok(Answer::Lease) => self.answer_lease(conn, id, &self.lease.record(now)),
            Ok(Answer::LeaseThen(record)) => self.answer_lease(conn, id, &record),
            Err(no) => self.fail(conn, id, no),
        }
    }

    fn answer_lease(&mut self, conn: u64, id: u64, record: &LeaseRecord) {
        let end = self.journal.end();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send_fenced(end, Kind::LeaseState, id, record);
        }
    }

    pub(super) fn fail(&mut self, conn: u64, id: u64, no: No) {
        let end = self.journal.end();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send_fenced(end, Kind::Failed, id, &no.0);
        }
    }

    fn dispatch(&mut self, conn: u64, kind: Kind, id: u64, payload: &[u8], now: Monotonic) -> Result<Answer, No> {
        match kind {
            Kind::Input => {
                let (header, bytes) = InputHeader::split(payload)
                    .ok_or_else(|| No::new(ErrorCode::Invalid, "an input frame is too short for its header"))?;
                self.input(conn, header, bytes, now);
                Ok(Answer::Given)
            }
            Kind::Attach => self.attach(conn, id, read(kind, payload)?, now),
            Kind::Detach => self.detach(conn, &read(kind, payload)?, now),
            Kind::Viewport => self.viewport(conn, &read(kind, payload)?, now),
            Kind::ResizeRequest => self.resize_request(conn, &read(kind, payload)?, now),
            Kind::Claim => {
                let Claim { attachment, force, if_epoch, request } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let (answer, effects) = self.lease.claim(&client, force, if_epoch, request, now);
                self.apply(effects, now);
                // The answer given then, if this is a repeat: whoever lost it must not take a later owner for its own success.
                Ok(Answer::LeaseThen(answer?))
            }
            Kind::Release => {
                let Release { attachment } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let effects = self.lease.release(&client, now)?;
                self.apply(effects, now);
                Ok(Answer::Lease)
            }
            Kind::Transfer => {
                let Transfer { attachment, to } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let effects = self.lease.transfer(&client, &to, now)?;
                self.apply(effects, now);
                Ok(Answer::Lease)
            }
            Kind::RequestControl => {
                let RequestControl { attachment } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let effects = self.lease.request(&client, now)?;
                self.apply(effects, now);
                Ok(Answer::Lease)
            }
            Kind::DenyControl => {
                let DenyControl { attachment, client: asker } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let effects = self.lease.deny(&client, &asker)?;
                self.apply(effects, now);
                Ok(Answer::Done)
            }
            Kind::Liveness => {
                let Liveness { attachment, alive } = read(kind, payload)?;
                let client = self.client_of(conn, attachment)?;
                let effects = if alive { self.lease.revive(&client, now) } else { self.lease.silent(&client, now) };
                self.apply(effects, now);
                Ok(Answer::Lease)
            }
            Kind::ReadRange => self.read_range(conn, id, &read(kind, payload)?),
            Kind::Subscribe => self.subscribe(conn, id, &read(kind, payload)?),
            Kind::Signal => self.signal(conn, &read(kind, payload)?, now),
            Kind::Close => {
                let Close { reason, grace_ms } = read(kind, payload)?;
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
                self.close(&reason, Duration::from_millis(u64::from(grace_ms)), now);
                Ok(Answer::Done)
            }
            Kind::Trim => {
                let Trim { max_bytes } = read(kind, payload)?;
                self.journal
                    .trim(max_bytes)
                    .map_err(|err| No::new(ErrorCode::Internal, format!("the journal cannot be trimmed: {err}")))?;
                Ok(Answer::Done)
            }
            Kind::Inspect => {
                let Inspect {} = read(kind, payload)?;
                let inspection = self.inspect(now);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.send(Kind::Inspection, id, &inspection);
                }
                Ok(Answer::Given)
            }
            Kind::Snapshot => self.snapshot(conn, id, &read(kind, payload)?),
            Kind::Locate => self.locate(conn, id, read(kind, payload)?),
            Kind::Facts => self.facts(conn, &read(kind, payload)?),
            Kind::Configure => self.configure(&read(kind, payload)?, now),
            _ => {
                Err(No::new(ErrorCode::Invalid, format!("a frame of kind {} is no request to a worker", kind.number())))
            }
        }
    }

    pub(super) fn client_of(&self, conn: u64, attachment: Attachment) -> Result<baton_proto::ClientId, No> {
        self.attached
            .get(&attachment)
            .filter(|it| it.conn == conn)
            .map(|it| it.entry.client.clone())
            .ok_or_else(|| No::from(Refusal::NotAttached))
    }

    fn read_range(&mut self, conn: u64, id: u64, range: &ReadRange) -> Result<Answer, No> {
        let oldest = self.journal.oldest();
        if range.from < oldest {
            let mut no = No::from(ReadError::Trimmed);
            no.0.oldest = Some(oldest);
            return Err(no);
        }
        let wanted = range.max_bytes.min(RANGE_BYTES_MAX) as usize;
        let mut place = self.journal.place_of(range.from)?;
        let first = Place::first_of(self.journal.first_number());
        if range.from == oldest && place.bytes_since(first) <= wanted / 2 {
            // What stands before the very first output (its size, what was typed ahead) belongs to nobody else's answer.
            place = first;
        }
        let mut records = std::mem::take(&mut self.scratch);
        let read = self.journal.read(place, wanted, &mut records);
        let outcome = read.map(|next| {
            if next.is_none() {
                records.clear();
            }
            let head = self.journal.head();
            // Nothing stands there, and more was written: that is lost.
            let mut next_offset = if next.is_none() { range.from.max(head) } else { range.from };
            let mut rest = records.as_slice();
            while let Ok(Some(frame)) = Frame::parse(rest) {
                let until = super::journal::reaches(&frame);
                // Output is there up to `next`, or known to be lost.
                next_offset = next_offset.max(until);
                rest = &rest[frame.total_bytes()..];
            }
            let header = RangeHeader { next: next_offset, head, oldest };
            let len = u32::try_from(records.len()).unwrap_or(u32::MAX) + super::RANGE_HEADER_LEN;
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.send_bytes(&Header::message(Kind::Range, id, len).to_bytes());
                conn.send_bytes(&header.to_bytes());
                conn.send_bytes(&records);
            }
        });
        self.scratch = records;
        outcome?;
        Ok(Answer::Given)
    }

    fn subscribe(&mut self, conn: u64, id: u64, subscribe: &Subscribe) -> Result<Answer, No> {
        let (oldest, head) = (self.journal.oldest(), self.journal.head());
        let (place, start, lost) = match subscribe.from {
            From::Head => (self.journal.end(), head, 0),
            From::Offset(offset) => {
                let start = offset.clamp(oldest, head);
                (self.journal.place_of(start)?, start, start.saturating_sub(offset))
            }
        };
        let clients = self.clients();
        let journal = self.journal_state();
        let limits = self.limits_reached();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send(Kind::Subscribed, id, &Subscribed { start, lost });
            conn.send(Kind::Clients, 0, &clients);
            conn.subscribe(place, subscribe.without_output);
            if !subscribe.without_output {
                conn.send(Kind::ScreenState, 0, self.screens.state());
            }
            if let Some(journal) = journal {
                conn.send(Kind::JournalState, 0, &journal);
            }
            for limit in &limits {
                conn.send(Kind::LimitReached, 0, limit);
            }
        }
        Ok(Answer::Given)
    }

    fn signal(&mut self, conn: u64, request: &SignalRequest, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, request.attachment)?;
        let effects = self.lease.admit(&client, request.epoch, now)?;
        self.apply(effects, now);
        let ended = || No::new(ErrorCode::SessionEnded, "the program has ended: there is nothing to signal");
        let terminal = self.terminal.as_ref().ok_or_else(ended)?;
        let signal = Signal::try_from(request.signal)
            .map_err(|_| No::new(ErrorCode::Invalid, format!("{} is not a signal", request.signal)))?;
        let group = terminal.foreground().and_then(|group| i32::try_from(group).ok()).ok_or_else(ended)?;
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), signal)
            .map_err(|err| No::new(ErrorCode::Internal, format!("the kernel refused the signal: {err}")))?;
        Ok(Answer::Done)
    }

    fn configure(&mut self, configure: &Configure, now: Monotonic) -> Result<Answer, No> {
        if let Some((policy, size)) = configure.policy {
            if let SizePolicy::Cap { max_cols, max_rows } = policy {
                check_size(Dimensions { cols: max_cols, rows: max_rows })?;
            }
            size.map(check_size).transpose()?;
            self.policy = policy;
            match (policy, size) {
                (SizePolicy::Fixed, Some(size)) => self.set_size(size, now),
                (SizePolicy::Fixed, None) => {}
                _ => self.follow_owner(now),
            }
        }
        if let Some(seconds) = configure.idle_timeout_s {
            self.idle_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            // The time counts from here: a session idle for long is not closed by the change itself.
            self.last_activity = now;
        }
        if let Some(record_input) = configure.record_input {
            self.record_input = record_input;
        }
        Ok(Answer::Done)
    }
}

fn read<T: baton_proto::codec::Decode<()>>(kind: Kind, payload: &[u8]) -> Result<T, No> {
    read_body(kind, payload).map_err(|err| No::new(ErrorCode::Invalid, err.to_string()))
}

/// What a role may ask. The command line ends sessions and looks at them; typing goes through the bridge.
const fn allowed(role: Role, kind: Kind) -> bool {
    match role {
        Role::Bridge => true,
        Role::Supervisor { .. } => {
            matches!(
                kind,
                Kind::Subscribe | Kind::Inspect | Kind::ReadRange | Kind::Close | Kind::Trim | Kind::Configure
            )
        }
        Role::Cli => matches!(kind, Kind::Subscribe | Kind::Inspect | Kind::ReadRange | Kind::Close),
    }
}
