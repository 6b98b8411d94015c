//! What the worker says: records and events go to the feed in its order, answers to whoever asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use baton_proto::api::ServerFrame;
use baton_proto::frame::{Header, Kind};
use baton_proto::ids::{ClientId, Cursor};
use baton_proto::v1::{
    Attached, Attachment, Clients, ControlDenied, ControlRequested, Dimensions, ExitRecord, Failed, GapRecord,
    InputAck, InputRefused, InputUncertain, Inspection, LeaseRecord, MarkRecord, Replaced, ResizeRecord, ScreenHeader,
    ScreenState,
};

use super::super::chunk::Chunk;
use super::super::feed::Subject;
use super::super::presence::Presence;
use super::super::screens::Drawing;
use super::super::session::{Attaching, RestAttachment, until_us};
use super::{AttachReply, CLIENTS_INTERVAL, Hub, Pending, limits, note_inspection};
use crate::problem::Failure;
use crate::upstream::conn::RawFrame;
use crate::{clock, handback, show};

impl Hub {
    pub(super) fn frames(&mut self) -> Result<(), String> {
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

    pub(super) fn frame(&mut self, frame: RawFrame) -> Result<(), String> {
        let Some(kind) = frame.header.known_kind() else { return Ok(()) };
        let body = |err: baton_proto::ProtoError| err.to_string();
        match kind {
            Kind::Output | Kind::Stderr => self.output(frame),
            Kind::Resize => self.resized(frame.body(kind).map_err(body)?),
            Kind::Lease => self.leased(frame.body(kind).map_err(body)?),
            Kind::Exit => self.exited(frame.body(kind).map_err(body)?),
            Kind::Mark => {
                let mark: MarkRecord = frame.body(kind).map_err(body)?;
                self.marked(mark, &frame.header);
            }
            // A record that nobody is told of. Its `at` is an offset, and must not be taken for an answer's id.
            Kind::InputMark => {}
            Kind::ScreenState => self.screen_changed(frame.body(kind).map_err(body)?),
            Kind::JournalState => self.journal_changed(frame.body(kind).map_err(body)?),
            Kind::Denied => self.denied(frame.body(kind).map_err(body)?),
            Kind::LimitReached => self.limit_reached(frame.body(kind).map_err(body)?),
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

    pub(super) fn presence(&self, attachment: Attachment) -> Option<&Arc<Presence>> {
        self.link.as_ref()?.attachments.get(&attachment)
    }

    pub(super) fn tell(&self, client: &ClientId, frame: ServerFrame) {
        let Some(link) = self.link.as_ref() else { return };
        if let Some(presence) = link.by_client.get(client).and_then(|attachment| link.attachments.get(attachment)) {
            presence.tell(frame);
        }
    }

    pub(super) fn output(&mut self, frame: RawFrame) {
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

    pub(super) fn gap(&mut self, at: u64, gap: GapRecord) {
        if let Some(link) = self.link.as_mut() {
            let head = link.feed.head().max(at + gap.lost);
            link.feed.skip_to(head);
        }
    }

    pub(super) fn resized(&mut self, size: ResizeRecord) {
        let Some(link) = self.link.as_mut() else { return };
        let cursor = Cursor { instance: link.feed.instance, offset: link.feed.head() };
        let text = show::text(&ServerFrame::Resize { cols: size.cols, rows: size.rows, cursor });
        let dimensions = Dimensions { cols: size.cols, rows: size.rows };
        link.feed.control(text, Subject::Size(dimensions));
        let Some(session) = self.session.upgrade() else { return };
        session.live_mut().size = Some(dimensions);
        self.context.events.session(session.id, "resize", serde_json::json!({ "cols": size.cols, "rows": size.rows }));
    }

    pub(super) fn leased(&mut self, record: LeaseRecord) {
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
        link.feed.control(show::text(&frame), Subject::Lease(record.epoch));
        let at = Cursor { instance: link.feed.instance, offset: link.feed.head() };
        self.context.events.lease(session.id, at, &record, until);
        if let Some(presence) = carried.filter(|presence| handback::concerns(&record, presence))
            && before.as_ref().is_none_or(|before| before.epoch != record.epoch)
        {
            let (events, presence) = (self.context.events.clone(), Arc::clone(presence));
            tokio::spawn(handback::tell(events, Arc::clone(&session), presence, record.epoch));
        }
        self.context.audit.lease(session.id, session.instance(), &record);
        // A REST attachment lasts as long as the lease it was made for.
        if let Some(LeaseRecord { epoch, owner: Some(former), .. }) = before
            && epoch != record.epoch
            && let Some(attachment) = link.by_client.get(&former.client).copied()
            && link.attachments.get(&attachment).is_some_and(|presence| presence.rest)
        {
            self.detach(attachment, false, None);
        }
    }

    pub(super) fn exited(&mut self, exit: ExitRecord) {
        let Some(link) = self.link.as_mut() else { return };
        let Some(session) = self.session.upgrade() else { return };
        // Whoever sees the end in the feed finds here how it was.
        let (oldest, last_activity_us) = {
            let mut live = session.live_mut();
            live.exit = Some(exit.clone());
            (live.oldest, live.last_activity_us)
        };
        let frame = ServerFrame::Exit { code: exit.code, signal: exit.signal, reason: exit.reason.clone() };
        link.feed.control(show::text(&frame), Subject::End);
        self.context.events.note_end(session.id, link.feed.head(), oldest, last_activity_us);
        self.tell_end(&exit);
    }

    fn marked(&mut self, record: MarkRecord, header: &Header) {
        let Some(link) = self.link.as_mut() else { return };
        if let Some(place) = link.known_marks.iter().position(|known| known == header) {
            link.known_marks.drain(..=place);
            return;
        }
        self.take_mark(&record, header.wall_us, 0);
        if let Some(link) = self.link.as_mut() {
            link.feed.mark(record, header.wall_us);
        }
    }

    /// Follows the shell's round, and tells of the mark unless it was told before: up to an offset all were.
    pub(super) fn take_mark(&mut self, record: &MarkRecord, wall_us: u64, told: u64) {
        let Some(link) = self.link.as_mut() else { return };
        let instance = link.feed.instance;
        let mark = link.rounds.take(record, wall_us, instance);
        let Some(session) = self.session.upgrade() else { return };
        session.live_mut().round = link.rounds.round;
        let before = self.told.filter(|(of, _)| *of == instance).map_or(0, |(_, offset)| offset);
        self.told = Some((instance, before.max(record.offset)));
        if let Some(mut mark) = mark
            && record.offset > told
        {
            if link.rounds.may_tell(Instant::now()) {
                mark.left_out = Some(std::mem::take(&mut link.rounds.left_out)).filter(|count| *count > 0);
                self.context.events.mark(session.id, &mark);
            } else {
                link.rounds.left_out += 1;
            }
            session.live_mut().marks_left_out = link.rounds.left_out;
        }
    }

    pub(super) fn screen_changed(&mut self, state: ScreenState) {
        let Some(session) = self.session.upgrade() else { return };
        let Some(link) = self.link.as_ref() else { return };
        let (frame, before) = {
            let mut live = session.live_mut();
            let frame = show::mode_frame(&state);
            (frame, show::mode_frame(&std::mem::replace(&mut live.screen, state)))
        };
        let text = show::text(&frame);
        if text != show::text(&before) {
            link.feed.control(text, Subject::Mode);
        }
    }

    pub(super) fn clients(&mut self, clients: Clients) {
        let Some(session) = self.session.upgrade() else { return };
        let count = u32::try_from(clients.clients.len()).unwrap_or(u32::MAX);
        session.live_mut().clients = Arc::new(clients.clients);
        let Some(link) = self.link.as_mut() else { return };
        let interval = CLIENTS_INTERVAL + Duration::from_micros(500) * count;
        link.clients_due.get_or_insert((link.clients_told + interval).max(Instant::now()));
    }

    pub(super) fn input_refused(&mut self, refused: InputRefused) {
        let Some(presence) = self.presence(refused.attachment) else { return };
        presence.refused(refused.clone());
        if !presence.rest {
            presence.tell(show::input_refused(&refused));
        }
    }

    pub(super) fn input_uncertain(&mut self, uncertain: &InputUncertain) {
        let Some(link) = self.link.as_ref() else { return };
        let presence = link.by_client.get(&uncertain.client).and_then(|attachment| link.attachments.get(attachment));
        if let Some(presence) = presence.filter(|presence| presence.input_stream == uncertain.stream) {
            presence.tell(show::input_uncertain(uncertain.seq));
        }
    }

    pub(super) fn answered(&mut self, frame: RawFrame) -> Result<(), String> {
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        let Some(pending) = link.pending.remove(&frame.header.at) else { return Ok(()) };
        match pending {
            Pending::Screen(drawing) => self.drawn(&frame, drawing)?,
            Pending::Call(reply) => {
                // Noted here, in the worker's order: whoever asked may look at the answer when more was said since.
                if frame.header.known_kind() == Some(Kind::Inspection) {
                    self.inspected(&frame)?;
                }
                drop(reply.send(Ok(frame)));
            }
            Pending::Detach(reply) => drop(reply.send(Ok(()))),
            Pending::Own => {
                if frame.header.known_kind() == Some(Kind::Inspection) {
                    self.inspected(&frame)?;
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

    fn inspected(&self, frame: &RawFrame) -> Result<(), String> {
        let inspection: Inspection = frame.body(Kind::Inspection).map_err(|err| err.to_string())?;
        if let Some(session) = self.session.upgrade() {
            note_inspection(&mut session.live_mut(), &inspection);
        }
        Ok(())
    }

    fn drawn(&mut self, frame: &RawFrame, drawing: Drawing) -> Result<(), String> {
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        match frame.header.known_kind() {
            Some(Kind::Screen) => {
                let (header, bytes) = ScreenHeader::split(frame.payload()).ok_or("a part of a screen is too short")?;
                if let Some(drawing) = drawing.part(header, bytes) {
                    link.pending.insert(frame.header.at, Pending::Screen(drawing));
                }
            }
            Some(Kind::Failed) => {
                let failed: Failed = frame.body(Kind::Failed).map_err(|err| err.to_string())?;
                drawing.refuse(Failure::of(failed, Some(link.feed.instance)));
            }
            _ => return Err("it gave an answer to something else".to_owned()),
        }
        Ok(())
    }

    pub(super) fn attached(&mut self, attached: Attached, presence: Arc<Presence>, reply: AttachReply) {
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
            if let Some(error) = &live.journal_error {
                presence.tell(limits::failing(error));
            }
            for reached in &live.limits_reached {
                presence.tell(limits::reached(reached));
            }
        }
        if handback::concerns(&attached.lease, &presence)
            && let Some(session) = self.session.upgrade()
        {
            let events = self.context.events.clone();
            tokio::spawn(handback::tell(events, session, Arc::clone(&presence), attached.lease.epoch));
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
}

/// When a lease ends if nothing more is heard: microseconds since 1970.
pub(super) fn lease_until(record: &LeaseRecord, heard: Option<Instant>, ttl: Duration) -> u64 {
    match (record.expires_in_ms, heard) {
        (Some(ms), _) => clock::now_us() + ms * 1000,
        (None, Some(heard)) => until_us(heard, ttl),
        (None, None) => until_us(Instant::now(), ttl),
    }
}
