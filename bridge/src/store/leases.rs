//! The history of leases: who had control when. Nobody decides by it.

use baton_proto::ids::SessionId;
use baton_proto::v1::LeaseRecord;
use rusqlite::params;

use super::Store;
use super::sessions::signed;
use crate::clock;

impl Store {
    /// Notes a lease as it was announced.
    pub fn note_lease(&self, session: SessionId, record: &LeaseRecord) {
        let record = record.clone();
        self.write(move |connection| {
            let (owner, name, kind) = match &record.owner {
                Some(owner) => (
                    Some(owner.client.to_string()),
                    Some(owner.name.clone()),
                    serde_json::to_value(owner.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)),
                ),
                None => (None, None, None),
            };
            connection
                .prepare(
                    "INSERT INTO leases (session_id, epoch, owner, owner_name, owner_kind, expired, at_us)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    session.to_string(),
                    signed(record.epoch.0),
                    owner,
                    name,
                    kind,
                    record.expired,
                    signed(clock::now_us())
                ])?;
            Ok(())
        });
    }

    /// Keeps the newest of the history.
    pub fn prune_leases(&self, keep: u64) {
        self.write(move |connection| {
            connection.execute("DELETE FROM leases WHERE id <= (SELECT max(id) FROM leases) - ?1", [signed(keep)])?;
            Ok(())
        });
    }
}
