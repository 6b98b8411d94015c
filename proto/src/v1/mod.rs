//! Messages of protocol version 1. Numbers are in [`crate::frame::Kind`]; a body never changes once released:
//! what is new gets a new number. An unknown message is ignored, an unknown record ends the connection.
//!
//! A request carries an id of the sender's choice (not 0) in the header's `at`; its answer carries the same id.
//! Events carry 0. Answers to one connection come in the order of its requests; records and events are sent
//! in one order to everybody.

mod record;
mod screen;
mod settings;
mod supervisor;
mod worker;

pub use record::*;
pub use screen::*;
pub use settings::*;
pub use supervisor::*;
pub use worker::*;
