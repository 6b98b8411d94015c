//! The harness of the tests in `it/`: the real binaries, driven from outside as their users drive them.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`baton`] | one Baton of a test's own: directories, processes, what is kept when the test fails |
//! | [`binaries`] | where the binaries under test are |
//! | [`mod@scenario`] | a test: a Baton, a deadline, a body |
//! | [`http`] | the public API over TCP and over `bridge.sock` |
//! | [`session`] | its sessions: made, attached to, read |
//! | [`websocket`], [`attach`], [`stream`] | a client attached by WebSocket, JSON or binary; or one that misbehaves |
//! | [`events`] | a client of the event stream |
//! | [`follower`] | a client that comes back, by cursor, however often it is cut off |
//! | [`peer`] | a hand on the local sockets of worker and sessiond: honest, or not |
//! | [`terminal`] | a program under a PTY, as a person sees it: the command line attached to a session |
//! | [`oracle`], [`recording`] | a foreign terminal to compare screens with; what real programs wrote |
//! | [`disk`] | a small file system of a test's own, full or not to be written |
//! | [`browser`] | the page in Chromium |
//! | [`chaos`] | everything at once, and a killer |
//! | [`ordinary`] | a test once more without root's rights |
//! | [`process`] | other processes: alive, killed, how large |
//! | [`scribble`] | random output, of everything terminals know |
//! | [`seed`] | random numbers that can be had again |
//! | [`stepped`] | a bridge that stops between two steps of an approval, and believes other clocks |
//! | [`witness`] | what files are there, and who spoke to a socket: whether anything happened |
//!
//! Every test has a Baton of its own and a deadline. Nothing waits for an amount of time where it can wait for an event;
//! what has no event (a process that another one starts) is asked for again until the deadline.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "seeds and figures belong into the test's output")]

pub mod attach;
pub mod baton;
pub mod binaries;
pub mod browser;
pub mod chaos;
pub mod disk;
pub mod events;
pub mod follower;
pub mod http;
pub mod oracle;
pub mod ordinary;
pub mod own_network;
pub mod peer;
pub mod process;
pub mod recording;
pub mod scenario;
pub mod scribble;
pub mod seed;
pub mod session;
pub mod stepped;
pub mod stream;
pub mod terminal;
pub mod websocket;
pub mod witness;

pub use attach::{Attach, Protocol};
pub use baton::{Baton, CliOutput, Setup};
pub use http::{Answer, Api};
pub use scenario::scenario;
pub use seed::Seed;
pub use stream::StreamClient;
pub use websocket::Incoming;
