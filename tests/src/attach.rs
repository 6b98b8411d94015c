//! How a client attaches: what its `hello` says, and in which protocol.

use baton_proto::api::{ClientFrame, SnapshotChoice, TermFacts};
use baton_proto::ids::{ClientId, Cursor};
use baton_proto::v1::ClientKind;

use crate::session::client_id;

/// How hot frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON text.
    Json,
    /// The subprotocol `baton.v1.binary`.
    Binary,
}

/// How a client attaches.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Who.
    pub client_id: ClientId,
    /// Which protocol.
    pub protocol: Protocol,
    /// `hello.name`.
    pub name: Option<String>,
    /// `hello.client_kind`.
    pub kind: Option<ClientKind>,
    /// `hello.cols` and `hello.rows`.
    pub viewport: Option<(u16, u16)>,
    /// `hello.input_stream`.
    pub input_stream: Option<u64>,
    /// `hello.snapshot`.
    pub snapshot: SnapshotChoice,
    /// `hello.resume_cursor`.
    pub resume: Option<Cursor>,
    /// `hello.term`.
    pub term: Option<TermFacts>,
    /// Whether what it gets is shown on a terminal of its own, [`crate::StreamClient::screen`].
    pub shown: bool,
}

impl Default for Attach {
    fn default() -> Self {
        Self {
            client_id: client_id(),
            protocol: Protocol::Json,
            name: None,
            kind: None,
            viewport: None,
            input_stream: None,
            snapshot: SnapshotChoice::Never,
            resume: None,
            term: None,
            shown: false,
        }
    }
}

impl Attach {
    /// With this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// By the binary protocol.
    #[must_use]
    pub fn binary(self) -> Self {
        Self { protocol: Protocol::Binary, ..self }
    }

    /// As this client.
    #[must_use]
    pub fn client(self, client_id: &ClientId) -> Self {
        Self { client_id: client_id.clone(), ..self }
    }

    /// From this cursor on.
    #[must_use]
    pub fn resume(self, cursor: Cursor) -> Self {
        Self { resume: Some(cursor), ..self }
    }

    /// Taking a screen in place of bytes, or not, and showing what it gets.
    #[must_use]
    pub fn shown(self, snapshot: SnapshotChoice) -> Self {
        Self { snapshot, shown: true, ..self }
    }

    /// With this input stream.
    #[must_use]
    pub fn input_stream(self, stream: u64) -> Self {
        Self { input_stream: Some(stream), ..self }
    }

    /// With this viewport.
    #[must_use]
    pub fn viewport(self, cols: u16, rows: u16) -> Self {
        Self { viewport: Some((cols, rows)), ..self }
    }

    /// The first message.
    #[must_use]
    pub fn hello(&self) -> ClientFrame {
        ClientFrame::Hello {
            client_id: self.client_id.clone(),
            resume_cursor: self.resume,
            client_kind: self.kind,
            name: self.name.clone(),
            cols: self.viewport.map(|(cols, _)| cols),
            rows: self.viewport.map(|(_, rows)| rows),
            input_stream: self.input_stream,
            term: self.term.clone(),
            snapshot: self.snapshot,
        }
    }
}
