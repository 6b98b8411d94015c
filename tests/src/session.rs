//! The sessions of a Baton: made, attached to, read.

use std::path::Path;

use baton_proto::api::{CreateTerminal, Created, SessionDetail};
use baton_proto::hello::Role;
use baton_proto::ids::{ClientId, SessionId};

use crate::attach::Attach;
use crate::baton::Baton;
use crate::peer::Peer;
use crate::stream::StreamClient;

impl Baton {
    /// Makes a session.
    pub async fn create(&self, request: &CreateTerminal) -> SessionId {
        let created: Created = self.api().post("/v1/terminal/sessions", request).await;
        created.session_id
    }

    /// Makes a session of `sh -c script`.
    pub async fn script(&self, script: &str) -> SessionId {
        self.create(&shell_script(script)).await
    }

    /// Makes a session of an interactive bash that reads no files and has the prompt `$ `.
    pub async fn shell(&self) -> SessionId {
        self.create(&bash()).await
    }

    /// A session and what is going on in it.
    pub async fn session(&self, session: SessionId) -> SessionDetail {
        self.api().get(&format!("/v1/sessions/{session}")).await
    }

    /// Attaches a client by WebSocket.
    pub async fn attach(&self, session: SessionId, attach: Attach) -> StreamClient {
        StreamClient::open(&self.api(), session, attach).await.expect("a stream")
    }

    /// The whole output that is kept, read through `GET …/output` from the oldest cursor on.
    ///
    /// # Panics
    /// When an answer does not fit the one before.
    pub async fn output(&self, session: SessionId) -> Vec<u8> {
        let detail = self.session(session).await;
        self.output_from(session, detail.session.oldest_cursor.offset).await
    }

    /// The output that is kept from an offset on.
    ///
    /// # Panics
    /// When an answer does not fit the one before.
    pub async fn output_from(&self, session: SessionId, from: u64) -> Vec<u8> {
        let instance = self.session(session).await.session.instance;
        let mut bytes = Vec::new();
        loop {
            let at = from + bytes.len() as u64;
            let path = format!("/v1/terminal/sessions/{session}/output?cursor={instance}:{at}&limit=1048576");
            let answer = self.api().call::<()>(http::Method::GET, &path, None).await;
            assert_eq!(answer.status, 200, "GET {path}: {answer}");
            let cursor = answer.header("baton-cursor").expect("Baton-Cursor").to_owned();
            assert_eq!(
                cursor,
                format!("{instance}:{}", at + answer.body.len() as u64),
                "Baton-Cursor is the end of the bytes"
            );
            if answer.body.is_empty() {
                return bytes;
            }
            bytes.extend_from_slice(&answer.body);
        }
    }

    /// A connection to a session's worker that holds the key, as the bridge's does.
    pub async fn worker_peer(&self, session: SessionId) -> Peer {
        let mut peer = Peer::connect(&self.worker_socket(session)).await.expect("the worker listens");
        peer.handshake(&self.key(), Role::Bridge).await.expect("the worker believes the key");
        peer
    }
}

/// A rule that lets agents have folders below this one, to read and to change.
#[must_use]
pub fn folders_rule(below: &Path) -> String {
    let below = below.display();
    format!(
        r#"
[[rule]]
id = "folders-of-this-test"
action = "agent.permission"
match = {{ name = ["folder.read", "folder.change"], path = ["{below}/**"] }}
decision = "allow"
risk = "low"
reason = "it works there"
examples = {{ match = ["folder.change {below}/project"], not_match = ["folder.change /other"] }}
"#
    )
}

/// A fresh client id.
#[must_use]
pub fn client_id() -> ClientId {
    ClientId::from(uuid::Uuid::new_v4())
}

/// A session of `sh -c script`.
#[must_use]
pub fn shell_script(script: &str) -> CreateTerminal {
    command(["/bin/sh", "-c", script])
}

/// A session of this command.
#[must_use]
pub fn command<const N: usize>(words: [&str; N]) -> CreateTerminal {
    CreateTerminal { command: Some(words.map(str::to_owned).to_vec()), ..CreateTerminal::default() }
}

/// An interactive bash that reads no files and has the prompt `$ `.
#[must_use]
pub fn bash() -> CreateTerminal {
    let env = [("PS1", "$ "), ("HISTFILE", "/dev/null")];
    CreateTerminal {
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..command(["/bin/bash", "--norc", "--noprofile", "-i"])
    }
}
