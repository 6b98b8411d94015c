//! JSON frames of a WebSocket client, and what else the API takes as JSON.

use baton_proto::api::{ClientFrame, CreateTerminal, ExecRequest, InputRequest, SessionPatch, WaitRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes are a JSON document of somebody else's making.
pub fn run(bytes: &[u8]) {
    stable::<ClientFrame>(bytes);
    stable::<CreateTerminal>(bytes);
    stable::<SessionPatch>(bytes);
    stable::<InputRequest>(bytes);
    stable::<ExecRequest>(bytes);
    stable::<WaitRequest>(bytes);
}

/// What is read can be written, and what was written is read as the same.
fn stable<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let once = serde_json::to_string(&value).unwrap_or_else(|err| panic!("read, but cannot be written: {err}"));
    let again: T =
        serde_json::from_str(&once).unwrap_or_else(|err| panic!("`{once}` was written and is not read: {err}"));
    assert_eq!(serde_json::to_string(&again).ok(), Some(once));
}
