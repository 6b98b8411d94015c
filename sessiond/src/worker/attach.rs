//! Who is attached: attaching, leaving, and what the lease machine decided about it, carried out in its order.

use baton_proto::ClientId;
use baton_proto::codec::Encode;
use baton_proto::frame::Kind;
use baton_proto::lease::{Effect, Monotonic};
use baton_proto::v1::{
    Attach, Attached, Attachment, ClientEntry, Clients, ControlDenied, ControlRequested, Detach, Replaced,
};

use super::clock::wall_us;
use super::serve::{Answer, No};
use super::{AttachedClient, Worker};

/// Entries of one presence message; what is more is not shown.
const CLIENTS_SHOWN_MAX: usize = 4096;
/// Characters of a client's name.
const NAME_CHARS_MAX: usize = 64;

impl Worker {
    pub(super) fn attach(&mut self, conn: u64, id: u64, attach: Attach, now: Monotonic) -> Result<Answer, No> {
        let Attach { client, kind, class, name, viewport, input_stream } = attach;
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let viewport = viewport.filter(|size| size.is_valid());
        self.next_attachment += 1;
        let attachment = Attachment(self.next_attachment);
        let effects = self.lease.attach(&client, attachment, kind, class, &name, now)?;
        let entry = ClientEntry { client: client.clone(), kind, name, viewport, attached_us: wall_us() };
        self.attached.insert(attachment, AttachedClient { conn, input_stream, entry, facts: None });
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
            resized_at: self.journal.state().resized_at,
            policy: self.policy,
            input_seq: self.journal.state().typed(&client, input_stream),
            exit: self.exit.clone(),
        };
        let end = self.journal.end();
        let uncertain = self.window.uncertain(&client, input_stream);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send_fenced(end, Kind::Attached, id, &answer);
            if let Some(uncertain) = uncertain {
                conn.send_fenced(end, Kind::InputUncertain, 0, &uncertain);
            }
        }
        Ok(Answer::Given)
    }

    pub(super) fn detach(&mut self, conn: u64, detach: &Detach, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, detach.attachment)?;
        self.drop_attachment(detach.attachment, &client, detach.release, now);
        Ok(Answer::Done)
    }

    pub(super) fn drop_attachment(&mut self, attachment: Attachment, client: &ClientId, release: bool, now: Monotonic) {
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
                    // Before the record: a worker that is killed in between has told nobody of it.
                    self.window.set_epoch(record.epoch);
                    let appended = self.journal.append_lease(&record);
                    self.deliver_last(Kind::Lease, appended);
                    if changed {
                        self.epoch_changed();
                        self.use_owners_facts();
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

    pub(super) fn tell_client<T: Encode>(&mut self, client: &ClientId, kind: Kind, body: &T) {
        if let Some(attachment) = self.lease.attachment(client)
            && let Some(attached) = self.attached.get(&attachment)
            && let Some(conn) = self.conns.get_mut(&attached.conn)
        {
            conn.send_fenced(self.journal.end(), kind, 0, body);
        }
    }

    pub(super) fn clients(&self) -> Clients {
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
}
