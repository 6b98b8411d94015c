//! What the bridge asks of a session, passed on to the worker.

use std::sync::Arc;
use std::time::Instant;

use baton_proto::ErrorCode;
use baton_proto::frame::Kind;
use baton_proto::v1::{Attach, Attachment, Detach, Dimensions, Inspect, SnapshotRequest};
use tokio::sync::oneshot;

use super::super::presence::{Identity, Presence};
use super::super::screens::{Drawing, Drawn};
use super::super::session::{Command, RestAttachment, Watching, until_us};
use super::{AttachReply, Hub, MODES_MAX_AGE, Pending};
use crate::problem::{Failure, Outcome};
use crate::upstream::conn::{message, set_id};

impl Hub {
    pub(super) fn handle(&mut self, command: Command) {
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
            Command::Draw { request, reply } => self.draw(&request, reply),
            Command::Heard { attachment } => self.heard(attachment),
            Command::Forget | Command::Supersede => {}
            Command::Watch { reply } => {
                let exit = self.session.upgrade().and_then(|session| session.live_mut().exit.clone());
                drop(reply.send(Ok(Watching { subscription: link.feed.subscribe(), exit })));
            }
        }
    }

    pub(super) fn send(&mut self, mut message: Vec<u8>, pending: Pending) {
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
                Pending::Screen(drawing) => drawing.refuse(failure),
                Pending::Own => {}
            }
            return;
        }
        link.pending.insert(id, pending);
    }

    pub(super) fn own<T: bincode::Encode>(&mut self, kind: Kind, body: &T) {
        match message(kind, 0, body) {
            Ok(bytes) => self.send(bytes, Pending::Own),
            Err(err) => tracing::error!("a message of our own does not fit: {err}"),
        }
    }

    pub(super) fn draw(&mut self, request: &SnapshotRequest, reply: oneshot::Sender<Outcome<Drawn>>) {
        let Some(link) = self.link.as_ref() else { return };
        let drawing = Drawing::new(link.feed.instance, reply);
        match message(Kind::Snapshot, 0, request) {
            Ok(bytes) => self.send(bytes, Pending::Screen(drawing)),
            Err(err) => drawing.refuse(Failure::invalid(err.to_string())),
        }
    }

    pub(super) fn refresh_modes(&mut self) {
        let Some(link) = self.link.as_mut() else { return };
        if link.inspected.elapsed() >= MODES_MAX_AGE {
            link.inspected = Instant::now();
            // Answered before the attachment that follows on the same connection.
            self.own(Kind::Inspect, &Inspect {});
        }
    }

    pub(super) fn attach(&mut self, presence: Arc<Presence>, viewport: Option<Dimensions>, reply: AttachReply) {
        let Identity { client, kind, class, name } = presence.identity.clone();
        let attach = Attach { client, kind, class, name, viewport, input_stream: presence.input_stream };
        match message(Kind::Attach, 0, &attach) {
            Ok(bytes) => self.send(bytes, Pending::Attach { presence, reply }),
            Err(err) => reply.refuse(Failure::invalid(err.to_string())),
        }
    }

    pub(super) fn rest(&mut self, identity: Identity, join: bool, reply: oneshot::Sender<Outcome<RestAttachment>>) {
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

    pub(super) fn detach(
        &mut self,
        attachment: Attachment,
        release: bool,
        reply: Option<oneshot::Sender<Outcome<()>>>,
    ) {
        let known = self.forget_attachment(attachment).is_some();
        let pending = reply.map_or(Pending::Own, Pending::Detach);
        match (known, message(Kind::Detach, 0, &Detach { attachment, release }), pending) {
            (true, Ok(bytes), pending) => self.send(bytes, pending),
            (_, _, Pending::Detach(reply)) => drop(reply.send(Ok(()))),
            _ => {}
        }
    }

    pub(super) fn forget_attachment(&mut self, attachment: Attachment) -> Option<Arc<Presence>> {
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
}

/// Answers a command that cannot reach the worker.
pub(super) fn refuse(command: Command, failure: Failure) {
    // Whoever asked may have stopped waiting.
    match command {
        Command::Attach { reply, .. } => drop(reply.send(Err(failure))),
        Command::Rest { reply, .. } => drop(reply.send(Err(failure))),
        Command::Call { reply, .. } => drop(reply.send(Err(failure))),
        Command::Draw { reply, .. } => drop(reply.send(Err(failure))),
        Command::Watch { reply } => drop(reply.send(Err(failure))),
        Command::Detach { reply: Some(reply), .. } => drop(reply.send(Ok(()))),
        Command::Detach { .. } | Command::Heard { .. } | Command::Forget | Command::Supersede => {}
    }
}
