//! The processes behind the bridge: sessiond's control connection and one connection to each worker.
//!
//! The bridge dials; it proves that it holds the install key and checks that the listener does. A connection that is
//! gone is dialled again, by whoever needs it.

pub mod catalog;
pub mod conn;
pub mod dial;
pub mod sessiond;
