//! A client of `WS /v1/events`.

use baton_proto::api::Event;
use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::http::Api;
use crate::websocket::{RawStream, open_raw};

/// The event stream.
#[derive(Debug)]
pub struct Events(RawStream);

impl Events {
    /// Opens it: what happens after a cursor (0 = all that is kept), or from now on.
    ///
    /// # Errors
    /// What broke, or refused.
    pub async fn open(api: &Api, cursor: Option<u64>) -> anyhow::Result<Self> {
        let query = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        open_raw(api, &format!("/v1/events{query}"), &[]).await.map(Self)
    }

    /// The next one; `None` once the stream has ended.
    ///
    /// # Panics
    /// When a message is no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`")));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All up to and with the one that is wanted.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await.expect("the stream goes on"));
            if events.last().is_some_and(&wanted) {
                return events;
            }
        }
    }
}

/// What a shell's mark of a command says that it runs.
#[must_use]
pub fn command_of(event: &Event) -> Option<&str> {
    (event.kind == "mark" && event.data["kind"] == "command").then(|| event.data["text"].as_str())?
}
