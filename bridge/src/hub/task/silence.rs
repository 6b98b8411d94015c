//! The clock: who has fallen silent, what is told later, what is let go.

use std::sync::Arc;
use std::time::Instant;

use baton_proto::frame::Kind;
use baton_proto::ids::ClientId;
use baton_proto::v1::{Attachment, Liveness};

use super::super::presence::Presence;
use super::{ENDED_LINGER, Hub, Pending, REST_LINGER};
use crate::show;

impl Hub {
    /// The attachment that carries the lease, if it is one of ours.
    pub(super) fn owner(&self) -> Option<(Attachment, &Arc<Presence>)> {
        let session = self.session.upgrade()?;
        let link = self.link.as_ref()?;
        let client = session.live_mut().lease.as_ref()?.owner.as_ref()?.client.clone();
        let attachment = *link.by_client.get(&client)?;
        Some((attachment, link.attachments.get(&attachment)?))
    }

    pub(super) fn is_owner(&self, client: &ClientId) -> bool {
        let Some(session) = self.session.upgrade() else { return false };
        let live = session.live_mut();
        live.lease.as_ref().and_then(|lease| lease.owner.as_ref()).is_some_and(|owner| owner.client == *client)
    }

    pub(super) fn heard(&mut self, attachment: Attachment) {
        let Some(presence) = self.presence(attachment).filter(|presence| presence.is_silent()) else { return };
        presence.set_silent(false);
        self.own(Kind::Liveness, &Liveness { attachment, alive: true });
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let ttl = self.context.lease_ttl;
        let silence = self.owner().filter(|(_, owner)| !owner.is_silent()).map(|(_, owner)| owner.last_heard() + ttl);
        let rest = link.rest.iter().filter_map(|attachment| link.attachments.get(attachment));
        let rest = rest.map(|presence| presence.last_heard() + ttl + REST_LINGER).min();
        let unused = (!self.is_living()).then(|| link.used + ENDED_LINGER);
        [silence, rest, unused, link.clients_due].into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self) {
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
    pub(super) fn leave_ended(&mut self, now: Instant) {
        let living = self.is_living();
        let Some(link) = self.link.as_mut() else { return };
        if living || now < link.used + ENDED_LINGER {
            return;
        }
        // Whoever stopped waiting for an answer does not keep the worker.
        link.pending.retain(|_, pending| match pending {
            Pending::Call(reply) => !reply.is_closed(),
            Pending::Screen(drawing) => drawing.is_wanted(),
            _ => true,
        });
        if link.attachments.is_empty() && link.pending.is_empty() && link.feed.subscribers() == 0 {
            self.link = None;
        } else {
            link.used = now;
        }
    }
}
