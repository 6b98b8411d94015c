//! Requests of a connection that has proved itself.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, RANGE_BYTES_MAX, read_body, write_empty};
use baton_proto::hello::Role;
use baton_proto::lease::{Effect, Monotonic, Refusal};
use baton_proto::v1::{
    Attach, Attached, Attachment, Claim, ClientEntry, Clients, Close, Configure, ControlDenied, ControlRequested,
    DenyControl, Detach, Dimensions, Failed, From, InputHeader, Inspect, Inspection, LeaseRecord, Liveness,
    RangeHeader, ReadRange, Release, Replaced, RequestControl, ResizeRecord, ResizeRequest, SignalRequest, SizePolicy,
    Subscribe, Subscribed, Transfer, Trim, Viewport,
};
use nix::sys::signal::Signal;

use super::clock::wall_us;
use super::journal::ReadError;
use super::pty::Terminal as _;
use super::{AttachedClient, Worker, processes};

/// Clients whose last viewport is remembered, so that getting the lease back brings it back.
const VIEWPORTS_MAX: usize = 256;
/// Entries of one presence message; what is more is not shown.
const CLIENTS_SHOWN_MAX: usize = 4096;
/// Characters of a client's name.
const NAME_CHARS_MAX: usize = 64;

/// A refusal on its way to the asker.
#[derive(Debug)]
pub(super) struct No(Failed);

impl No {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Failed { code, message: message.into(), owner: None, oldest: None })
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
enum Answer {
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

    fn fail(&mut self, conn: u64, id: u64, no: No) {
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
            Kind::Configure => self.configure(&read(kind, payload)?, now),
            _ => {
                Err(No::new(ErrorCode::Invalid, format!("a frame of kind {} is no request to a worker", kind.number())))
            }
        }
    }

    fn client_of(&self, conn: u64, attachment: Attachment) -> Result<baton_proto::ClientId, No> {
        self.attached
            .get(&attachment)
            .filter(|it| it.conn == conn)
            .map(|it| it.entry.client.clone())
            .ok_or_else(|| No::from(Refusal::NotAttached))
    }

    fn attach(&mut self, conn: u64, id: u64, attach: Attach, now: Monotonic) -> Result<Answer, No> {
        let Attach { client, kind, class, name, viewport, input_stream } = attach;
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let viewport = viewport.filter(|size| size.is_valid());
        self.next_attachment += 1;
        let attachment = Attachment(self.next_attachment);
        let effects = self.lease.attach(&client, attachment, kind, class, &name, now)?;
        let entry = ClientEntry { client: client.clone(), kind, name, viewport, attached_us: wall_us() };
        self.attached.insert(attachment, AttachedClient { conn, input_stream, entry });
        self.presence_changed = true;
        self.apply(effects, now);
        if let Some(size) = viewport {
            self.remember_viewport(&client, size);
            self.follow_owner(now);
        }
        let answer = Attached {
            attachment,
            instance: self.spec.instance,
            lease: self.lease.record(now),
            head: self.journal.head(),
            oldest: self.journal.oldest(),
            size: self.journal.state().size,
            policy: self.policy,
            input_seq: self.journal.state().typed(&client, input_stream),
            exit: self.exit.clone(),
        };
        let end = self.journal.end();
        let uncertain = self.uncertain.take_if(|it| it.client == client && it.stream == input_stream);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send_fenced(end, Kind::Attached, id, &answer);
            if let Some(uncertain) = uncertain {
                conn.send_fenced(end, Kind::InputUncertain, 0, &uncertain);
            }
        }
        Ok(Answer::Given)
    }

    fn detach(&mut self, conn: u64, detach: &Detach, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, detach.attachment)?;
        self.drop_attachment(detach.attachment, &client, detach.release, now);
        Ok(Answer::Done)
    }

    pub(super) fn drop_attachment(
        &mut self,
        attachment: Attachment,
        client: &baton_proto::ClientId,
        release: bool,
        now: Monotonic,
    ) {
        self.attached.remove(&attachment);
        self.presence_changed = true;
        // A newer connection of the same client stays attached.
        if self.lease.attachment(client) == Some(attachment) {
            let effects = if release { self.lease.detach(client, now) } else { self.lease.gone(client, now) };
            self.apply(effects, now);
        }
        if self.attached.is_empty() {
            self.last_client = now;
        }
    }

    /// Carries out what the lease machine decided, in its order.
    pub(super) fn apply(&mut self, effects: Vec<Effect>, now: Monotonic) {
        for effect in effects {
            match effect {
                Effect::Announce { record, changed } => {
                    if changed {
                        self.lease_since_us = wall_us();
                    }
                    let appended = self.journal.append_lease(&record);
                    self.deliver_last(Kind::Lease, appended);
                    if changed {
                        self.epoch_changed();
                        self.follow_owner(now);
                    }
                }
                Effect::Requested { owner, client, name } => {
                    let to = owner.clone();
                    self.tell_client(&to, Kind::ControlRequested, &ControlRequested { owner, client, name });
                }
                Effect::Denied { client, by } => {
                    let to = client.clone();
                    self.tell_client(&to, Kind::ControlDenied, &ControlDenied { client, by });
                }
                Effect::Replaced { attachment } => {
                    if let Some(older) = self.attached.remove(&attachment)
                        && let Some(conn) = self.conns.get_mut(&older.conn)
                    {
                        conn.send_fenced(self.journal.end(), Kind::Replaced, 0, &Replaced { attachment });
                    }
                    self.presence_changed = true;
                }
            }
        }
    }

    fn tell_client<T: baton_proto::codec::Encode>(&mut self, client: &baton_proto::ClientId, kind: Kind, body: &T) {
        if let Some(attachment) = self.lease.attachment(client)
            && let Some(attached) = self.attached.get(&attachment)
            && let Some(conn) = self.conns.get_mut(&attached.conn)
        {
            conn.send_fenced(self.journal.end(), kind, 0, body);
        }
    }

    fn remember_viewport(&mut self, client: &baton_proto::ClientId, size: Dimensions) {
        self.viewports.retain(|(known, _)| known != client);
        if self.viewports.len() >= VIEWPORTS_MAX {
            self.viewports.pop_front();
        }
        self.viewports.push_back((client.clone(), size));
    }

    /// The size follows the owner's viewport, where the policy says so.
    pub(super) fn follow_owner(&mut self, now: Monotonic) {
        let Some(owner) = self.lease.owner() else { return };
        let Some((_, size)) = self.viewports.iter().find(|(client, _)| *client == owner.client) else { return };
        let size = match self.policy {
            SizePolicy::Holder => *size,
            SizePolicy::Fixed => return,
            SizePolicy::Cap { max_cols, max_rows } => {
                Dimensions { cols: size.cols.min(max_cols), rows: size.rows.min(max_rows) }
            }
        };
        self.set_size(size, now);
    }

    fn set_size(&mut self, size: Dimensions, now: Monotonic) {
        if !size.is_valid() || size == self.journal.state().size {
            return;
        }
        // What the program wrote for the old size stands before the mark of the new one.
        self.read_terminal(now);
        let Some(terminal) = self.terminal.as_ref() else { return };
        if let Err(err) = terminal.resize(size) {
            tracing::warn!(error = %err, "the terminal keeps its size");
            return;
        }
        self.last_activity = now;
        let appended = self.journal.append_resize(ResizeRecord { cols: size.cols, rows: size.rows });
        self.deliver_last(Kind::Resize, appended);
    }

    fn viewport(&mut self, conn: u64, viewport: &Viewport, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, viewport.attachment)?;
        check_size(viewport.size)?;
        if let Some(attached) = self.attached.get_mut(&viewport.attachment) {
            attached.entry.viewport = Some(viewport.size);
            self.presence_changed = true;
        }
        self.remember_viewport(&client, viewport.size);
        if self.lease.owner().is_some_and(|owner| owner.client == client) {
            self.follow_owner(now);
        }
        Ok(Answer::Done)
    }

    fn resize_request(&mut self, conn: u64, request: &ResizeRequest, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, request.attachment)?;
        check_size(request.size)?;
        // To others, whether they ever held the lease or not, it is simply not theirs (spec: `not_owner`).
        let effects = self.lease.admit(&client, None, now).map_err(|_| Refusal::NotOwner)?;
        self.apply(effects, now);
        if self.policy == SizePolicy::Fixed {
            return Err(No::new(ErrorCode::SizeFixed, "the session's size is fixed: change its size policy first"));
        }
        if let Some(attached) = self.attached.get_mut(&request.attachment) {
            attached.entry.viewport = Some(request.size);
            self.presence_changed = true;
        }
        self.remember_viewport(&client, request.size);
        self.follow_owner(now);
        Ok(Answer::Done)
    }

    fn read_range(&mut self, conn: u64, id: u64, range: &ReadRange) -> Result<Answer, No> {
        let oldest = self.journal.oldest();
        if range.from < oldest {
            let mut no = No::from(ReadError::Trimmed);
            no.0.oldest = Some(oldest);
            return Err(no);
        }
        let wanted = range.max_bytes.min(RANGE_BYTES_MAX) as usize;
        let place = self.journal.place_of(range.from)?;
        let mut records = std::mem::take(&mut self.scratch);
        let read = self.journal.read(place, wanted, &mut records);
        let outcome = read.map(|next| {
            if next.is_none() {
                records.clear();
            }
            let mut next_offset = range.from;
            let mut rest = records.as_slice();
            while let Ok(Some(frame)) = Frame::parse(rest) {
                let len = match frame.header.known_kind() {
                    Some(Kind::Output | Kind::Stderr) => u64::from(frame.header.len),
                    _ => 0,
                };
                next_offset = next_offset.max(frame.header.at + len);
                rest = &rest[frame.total_bytes()..];
            }
            let header = RangeHeader { next: next_offset, head: self.journal.head(), oldest };
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
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send(Kind::Subscribed, id, &Subscribed { start, lost });
            conn.send(Kind::Clients, 0, &clients);
            conn.subscribe(place, subscribe.without_output);
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

    fn clients(&self) -> Clients {
        let mut clients: Vec<ClientEntry> =
            self.attached.values().take(CLIENTS_SHOWN_MAX).map(|attached| attached.entry.clone()).collect();
        clients.sort_by(|a, b| a.client.cmp(&b.client));
        Clients { clients }
    }

    /// Tells every subscriber who is attached, once a turn.
    pub(super) fn tell_presence(&mut self) {
        if !std::mem::take(&mut self.presence_changed) {
            return;
        }
        let clients = self.clients();
        let mut bytes = Vec::new();
        if let Err(err) = baton_proto::frame::write_message(Kind::Clients, 0, &clients, &mut bytes) {
            tracing::warn!(error = %err, "presence is too large to tell");
            return;
        }
        let end = self.journal.end();
        for conn in self.conns.values_mut().filter(|conn| conn.is_subscribed()) {
            conn.send_fenced_bytes(end, bytes.clone());
        }
    }

    fn inspect(&self, now: Monotonic) -> Inspection {
        let foreground = self.terminal.as_ref().and_then(|terminal| terminal.foreground());
        let (echo, canonical) = self.terminal.as_ref().map_or((false, false), |terminal| terminal.echo_and_canonical());
        let program_pid = self.program.as_ref().map_or(0, |program| program.pid);
        let idle_us = u64::try_from(now.since(self.last_activity).as_micros()).unwrap_or(u64::MAX);
        Inspection {
            program_pid,
            worker_pid: std::process::id(),
            instance: self.spec.instance,
            lease: self.lease.record(now),
            clients: self.clients().clients,
            head: self.journal.head(),
            oldest: self.journal.oldest(),
            journal_bytes: self.journal.bytes(),
            size: self.journal.state().size,
            policy: self.policy,
            foreground: foreground.and_then(|pid| Some((pid, processes::command_line(pid)?))),
            cwd: foreground.or(Some(program_pid).filter(|pid| *pid != 0)).and_then(processes::cwd),
            echo,
            canonical,
            at_prompt: program_pid != 0
                && self.typing.queued_bytes() == 0
                && processes::waits_for_line(program_pid, foreground, canonical),
            input_queued: self.typing.queued_bytes() as u64,
            last_activity_us: wall_us().saturating_sub(idle_us),
            exit: self.exit.clone(),
        }
    }
}

fn read<T: baton_proto::codec::Decode<()>>(kind: Kind, payload: &[u8]) -> Result<T, No> {
    read_body(kind, payload).map_err(|err| No::new(ErrorCode::Invalid, err.to_string()))
}

fn check_size(size: Dimensions) -> Result<(), No> {
    if size.is_valid() {
        return Ok(());
    }
    Err(No::new(
        ErrorCode::Invalid,
        format!("{} columns and {} rows: both must be from 1 to {}", size.cols, size.rows, Viewport::SIDE_MAX),
    ))
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
