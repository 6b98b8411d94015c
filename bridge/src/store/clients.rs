//! Which principal used a client id first: nobody else may.

use baton_proto::ids::ClientId;
use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::sessions::signed;
use crate::clock;
use crate::problem::Outcome;

/// Bindings nobody used for this long are forgotten.
const KEPT_US: u64 = 180 * 86_400 * 1_000_000;

impl Store {
    /// Binds a client id to a principal if nobody has it; returns who has it.
    ///
    /// # Errors
    /// `internal`.
    pub async fn bind_client(&self, client: ClientId, principal: String) -> Outcome<String> {
        self.call(move |connection| {
            let now = signed(clock::now_us());
            let bound: Option<String> = connection
                .prepare("SELECT principal FROM clients WHERE client_id = ?1")?
                .query_row([client.as_str()], |row| row.get(0))
                .optional()?;
            if let Some(bound) = bound {
                connection
                    .prepare("UPDATE clients SET last_us = ?2 WHERE client_id = ?1")?
                    .execute(params![client.as_str(), now])?;
                return Ok(bound);
            }
            connection.prepare("INSERT INTO clients VALUES (?1, ?2, ?3, ?3)")?.execute(params![
                client.as_str(),
                principal,
                now
            ])?;
            Ok(principal)
        })
        .await
    }

    /// Forgets bindings that nobody used for half a year.
    pub fn prune_clients(&self) {
        self.write(|connection| {
            let before = signed(clock::now_us().saturating_sub(KEPT_US));
            connection.execute("DELETE FROM clients WHERE last_us < ?1", [before])?;
            Ok(())
        });
    }
}
