//! The audit log: who did what to what, when, and whether it was allowed, as a chain that nobody changes unseen.
//!
//! ```text
//!   row n-1 ── hash ─► row n {…, prev_hash} ── hash ─► row n+1 …        audit_head {seq, hash} signed with a key
//!   older rows ─► a seal {from, to, prev_hash, last_hash, count} signed with the same key, in their place
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`entry`] | what a row says: a closed list of actions, an actor, an outcome, small details |
//! | [`anchor`] | where the log ends, kept beside the database too |
//! | [`chain`] | the hash of a row, what is signed, and the check; no I/O |
//! | [`log`] | writing: with what it records, before an answer, or when there is time; retention |
//! | [`seldom`] | what happens too often for a row each |
//!
//! What a person types and what a program prints is in no row, nor is any secret: a line for `exec` is kept as its length and
//! a keyed digest. Plain input leaves no row at all, so that nothing here is on the way of a keystroke.

pub mod anchor;
pub mod chain;
pub mod entry;
pub mod log;
pub mod seldom;
#[cfg(test)]
mod tests;

pub use entry::{Action, Actor, Details, Entry, Verdict};
pub use log::Audit;
