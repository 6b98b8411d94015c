//! What people said about a session: its name, labels, keys. Whether it lives is not asked here.

use std::collections::BTreeMap;

use baton_proto::api::{AgentInput, Record};
use baton_proto::ids::{SessionId, WorkspaceId};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::Store;
use crate::approval::sealed::Seals;
use crate::problem::Outcome;

/// What a program finds around it, as far as the policy has to know: of its environment the names, and the two values that say what a
/// word means. sessiond tells nobody the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// `HOME`.
    pub home: Option<String>,
    /// `PATH`.
    pub path: Option<String>,
    /// The names of all variables, sorted.
    pub names: Vec<String>,
}

impl Surroundings {
    /// Of an environment.
    #[must_use]
    pub fn of(env: &[(String, String)]) -> Self {
        let var = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let mut names: Vec<String> = env.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        Self { home: var("HOME"), path: var("PATH"), names }
    }
}

/// A session's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub title: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// A client's key for create-or-resume.
    pub terminal_id: Option<String>,
    /// Its workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// The principal that made it.
    pub creator: String,
    /// The agent it belongs to.
    pub owner_agent_id: Option<String>,
    /// What a respawn runs.
    pub resume_cmd: Option<Vec<String>>,
    /// Whether an agent's input goes straight to the program.
    pub agent_input: AgentInput,
    /// How much is recorded.
    pub record: Record,
    /// Seconds without output, input and client until it closes.
    pub idle_timeout_s: Option<u64>,
    /// Whether typed bytes are recorded.
    pub record_input: bool,
    /// When it was made.
    pub created_us: u64,
    /// Output bytes when it ended.
    pub head: u64,
    /// Oldest byte kept when it ended.
    pub oldest: u64,
    /// Last output or input when it ended.
    pub last_activity_us: u64,
    /// What its program finds around it; `None` of one that an older Baton kept, or none did.
    pub surroundings: Option<Surroundings>,
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn parsed<T: serde::de::DeserializeOwned>(text: Option<String>) -> Option<T> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// SQLite's integers have a sign; ours do not need the bit.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Begins a text that is sealed; one in clear is a JSON array.
const SEALED: &str = "sealed:";

fn name_of_resume_cmd(id: SessionId) -> String {
    format!("session {id} resume_cmd")
}

/// Arguments may be secret. Without a key to seal them they are not kept.
fn sealed_resume_cmd(seals: Option<&Seals>, id: SessionId, command: &str) -> Option<String> {
    let sealed = seals?.seal_text(&name_of_resume_cmd(id), command).ok()?;
    Some(format!("{SEALED}{sealed}"))
}

fn opened_resume_cmd(seals: Option<&Seals>, id: SessionId, kept: String) -> Option<String> {
    match kept.strip_prefix(SEALED) {
        Some(sealed) => seals?.open_text(&name_of_resume_cmd(id), sealed),
        None => Some(kept),
    }
}

fn read(row: &Row<'_>, seals: Option<&Seals>) -> rusqlite::Result<Option<SessionRow>> {
    let Ok(id) = row.get::<_, String>("id")?.parse() else { return Ok(None) };
    let resume_cmd: Option<String> = row.get("resume_cmd")?;
    Ok(Some(SessionRow {
        id,
        title: row.get("title")?,
        labels: parsed(row.get("labels")?).unwrap_or_default(),
        terminal_id: row.get("terminal_id")?,
        workspace_id: row.get::<_, Option<String>>("workspace_id")?.and_then(|text| text.parse().ok()),
        creator: row.get("creator")?,
        owner_agent_id: row.get("owner_agent_id")?,
        resume_cmd: parsed(resume_cmd.and_then(|kept| opened_resume_cmd(seals, id, kept))),
        agent_input: parsed(row.get("agent_input")?).unwrap_or_default(),
        record: parsed(row.get("record")?).unwrap_or_default(),
        idle_timeout_s: row.get::<_, Option<i64>>("idle_timeout_s")?.map(unsigned),
        record_input: row.get("record_input")?,
        created_us: unsigned(row.get("created_us")?),
        head: unsigned(row.get("head")?),
        oldest: unsigned(row.get("oldest")?),
        last_activity_us: unsigned(row.get("last_activity_us")?),
        surroundings: parsed(row.get("surroundings")?),
    }))
}

fn put(connection: &Connection, seals: Option<&Seals>, row: &SessionRow) -> rusqlite::Result<()> {
    connection
        .prepare("INSERT OR REPLACE INTO sessions VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)")?
        .execute(params![
            row.id.to_string(),
            row.title,
            json(&row.labels),
            row.terminal_id,
            row.workspace_id.map(|id| id.to_string()),
            row.creator,
            row.owner_agent_id,
            row.resume_cmd.as_ref().and_then(|command| sealed_resume_cmd(seals, row.id, &json(command))),
            json(&row.agent_input),
            json(&row.record),
            row.idle_timeout_s.map(signed),
            row.record_input,
            signed(row.created_us),
            signed(row.head),
            signed(row.oldest),
            signed(row.last_activity_us),
            row.surroundings.as_ref().map(json),
        ])?;
    Ok(())
}

impl Store {
    /// Every session's row.
    ///
    /// # Errors
    /// `internal`.
    pub async fn sessions(&self) -> Outcome<Vec<SessionRow>> {
        let seals = self.seals().cloned();
        self.read(move |connection| {
            let mut statement = connection.prepare("SELECT * FROM sessions")?;
            statement.query_map([], |row| read(row, seals.as_ref()))?.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Writes a session's row and waits for it.
    ///
    /// # Errors
    /// `internal`.
    pub async fn save_session(&self, row: SessionRow) -> Outcome<()> {
        let seals = self.seals().cloned();
        self.call(move |connection| put(connection, seals.as_ref(), &row)).await
    }

    /// Seals what a Baton of before kept in clear.
    pub(super) fn seal_resume_commands(&self) {
        let Some(seals) = self.seals().cloned() else { return };
        self.write(move |connection| {
            let mut clear = connection.prepare("SELECT id, resume_cmd FROM sessions WHERE resume_cmd LIKE '[%'")?;
            let rows = clear.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
            for (id, command) in rows {
                let sealed = id.parse().ok().and_then(|id| sealed_resume_cmd(Some(&seals), id, &command));
                connection.execute("UPDATE sessions SET resume_cmd = ?2 WHERE id = ?1", params![id, sealed])?;
            }
            Ok(())
        });
    }

    /// Notes where an ended session ended.
    pub fn note_end(&self, id: SessionId, head: u64, oldest: u64, last_activity_us: u64) {
        self.write(move |connection| {
            connection
                .prepare("UPDATE sessions SET head = ?2, oldest = ?3, last_activity_us = ?4 WHERE id = ?1")?
                .execute(params![id.to_string(), signed(head), signed(oldest), signed(last_activity_us)])?;
            Ok(())
        });
    }

    /// Removes a session's row.
    pub fn forget_session(&self, id: SessionId) {
        self.write(move |connection| {
            connection.execute("DELETE FROM sessions WHERE id = ?1", [id.to_string()])?;
            connection.execute("DELETE FROM leases WHERE session_id = ?1", [id.to_string()])?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_row_survives_the_disk() {
        let path = tempfile::tempdir().unwrap().keep().join("db");
        let open = |key: u8| Store::open(&path).sealing(Some(Seals::of(&[key; 32])));
        let store = open(7);
        let row = SessionRow {
            id: SessionId::from_uuid(Uuid::from_u128(9)),
            title: "build".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            terminal_id: Some("t".to_owned()),
            workspace_id: None,
            creator: "owner".to_owned(),
            owner_agent_id: None,
            resume_cmd: Some(vec!["sh".to_owned()]),
            agent_input: AgentInput::Held,
            record: Record::Full,
            idle_timeout_s: Some(5),
            record_input: true,
            created_us: 1,
            head: 2,
            oldest: 1,
            last_activity_us: 3,
            surroundings: Some(Surroundings::of(&[("HOME".to_owned(), "/home/a".to_owned())])),
        };
        store.save_session(row.clone()).await.unwrap();
        assert_eq!(store.sessions().await.unwrap(), vec![row.clone()]);
        let command = "SELECT resume_cmd FROM sessions";
        let kept = async |store: &Store| {
            store
                .call(move |connection| connection.query_row(command, [], |row| row.get::<_, String>(0)))
                .await
                .unwrap()
        };
        assert!(kept(&store).await.starts_with(SEALED), "arguments may be secret");
        let without = vec![SessionRow { resume_cmd: None, ..row.clone() }];
        assert_eq!(open(8).sessions().await.unwrap(), without, "sealed by another installation");
        // One that a Baton of before kept is sealed at the next start.
        let clear = |connection: &Connection| connection.execute("UPDATE sessions SET resume_cmd = '[\"sh\"]'", []);
        store.call(clear).await.unwrap();
        assert_eq!(store.sessions().await.unwrap(), vec![row.clone()]);
        let store = open(7);
        assert_eq!(store.sessions().await.unwrap(), vec![row.clone()]);
        assert!(kept(&store).await.starts_with(SEALED));
        store.forget_session(row.id);
        assert_eq!(store.sessions().await.unwrap(), vec![]);
    }
}
