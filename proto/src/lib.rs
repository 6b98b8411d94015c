//! What crosses a socket in Baton: bytes in, values out. No I/O, no async, no clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`ids`] | identifiers, epochs and cursors as types |
//! | [`frame`] | the 48-byte header that every frame and every journal record begins with |
//! | [`codec`] | control message bodies: bincode with a limit, trailing bytes refused |
//! | [`hello`] | the handshake: version range, mutual proof of the install key |
//! | [`v1`] | the messages of protocol version 1, by stable number |
//! | [`lease`] | the lease machine; the worker runs it and nobody else keeps an owner |
//! | [`denied`] | what a sandbox refused |
//! | [`limits`] | what a session may use at most |
//! | [`launch`] | the launcher's few fixed-size messages |
//! | [`spec`] | what a worker is told when it starts |
//! | [`api`] | types of the public HTTP and WebSocket API |
//! | [`config`], [`home`] | the configuration file as a value; where files and sockets are |
//!
//! A change of anything that crosses a local socket is a new message number in [`v1`], a golden
//! frame in `tests/golden.rs`, a line in `docs/protocol.md` and one in `CHANGELOG.md`.
#![forbid(unsafe_code)]

pub mod api;
pub mod codec;
pub mod config;
pub mod denied;
pub mod egress;
pub mod error;
pub mod frame;
pub mod hello;
pub mod hidden;
pub mod home;
pub mod ids;
pub mod launch;
pub mod lease;
pub mod limits;
pub mod spec;
pub mod time;
pub mod v1;

pub use error::{ErrorCode, ProtoError};
pub use ids::{ClientId, Cursor, Epoch, InstanceId, SessionId};
