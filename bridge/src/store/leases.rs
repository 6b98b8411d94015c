//! The history of leases: who had control when. Nobody decides by it.

use baton_proto::ids::{ClientId, Epoch, InstanceId, SessionId};
use baton_proto::v1::{ClientKind, LeaseRecord};
use rusqlite::{Row, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::clock;
use crate::problem::Outcome;

/// Rows of a session's history that are looked through, the newest.
const ROWS_MAX: u32 = 1000;

/// A lease as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The epoch.
    pub epoch: Epoch,
    /// Who had it.
    pub owner: Option<ClientId>,
    /// That client's name.
    pub owner_name: Option<String>,
    /// That client's kind.
    pub owner_kind: Option<ClientKind>,
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// In which life of the program; none if an older Baton noted it.
    pub instance: Option<InstanceId>,
    /// Output at that moment.
    pub head: Option<u64>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<LeaseRow> {
    let text = |at: usize| row.get::<_, Option<String>>(at);
    Ok(LeaseRow {
        epoch: Epoch(unsigned(row.get(0)?)),
        owner: text(1)?.and_then(|id| id.parse().ok()),
        owner_name: text(2)?,
        owner_kind: text(3)?.and_then(|kind| serde_json::from_value(kind.into()).ok()),
        at_us: unsigned(row.get(4)?),
        instance: text(5)?.and_then(|id| id.parse().ok()),
        head: row.get::<_, Option<i64>>(6)?.map(unsigned),
    })
}

impl Store {
    /// Notes a lease as it was announced, unless it is what was noted last.
    pub fn note_lease(&self, session: SessionId, instance: InstanceId, head: u64, record: &LeaseRecord) {
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
                    "INSERT INTO leases
                         (session_id, epoch, owner, owner_name, owner_kind, expired, at_us, instance, head)
                     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS
                         (SELECT 1 FROM leases WHERE id = (SELECT max(id) FROM leases WHERE session_id = ?1)
                          AND epoch = ?2 AND owner IS ?3 AND expired = ?6 AND instance IS ?8)",
                )?
                .execute(params![
                    session.to_string(),
                    signed(record.epoch.0),
                    owner,
                    name,
                    kind,
                    record.expired,
                    signed(clock::now_us()),
                    instance.to_string(),
                    signed(head)
                ])?;
            Ok(())
        });
    }

    /// The newest of a session's history, oldest first.
    ///
    /// # Errors
    /// `internal`.
    pub async fn leases(&self, session: SessionId) -> Outcome<Vec<LeaseRow>> {
        self.read(move |connection| {
            let newest = "SELECT epoch, owner, owner_name, owner_kind, at_us, instance, head FROM leases
                          WHERE session_id = ?1 ORDER BY id DESC LIMIT ?2";
            let mut statement = connection.prepare(newest)?;
            let rows = statement.query_map(params![session.to_string(), ROWS_MAX], read)?;
            let mut rows: Vec<LeaseRow> = rows.collect::<rusqlite::Result<_>>()?;
            rows.reverse();
            Ok(rows)
        })
        .await
    }

    /// Keeps the newest of the history.
    pub fn prune_leases(&self, keep: u64) {
        self.write(move |connection| {
            connection.execute("DELETE FROM leases WHERE id <= (SELECT max(id) FROM leases) - ?1", [signed(keep)])?;
            Ok(())
        });
    }
}
