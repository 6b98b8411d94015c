//! What waits for a person before it is done, and how it is done once, as it was shown.
//!
//! ```text
//!   route, frame ─► gate ─┬─ allow ─► Permit ─► the worker
//!                         ├─ deny ──► 403
//!                         └─ ask ───► inbox (SQLite) ─► a person ─► run ─► Permit ─► the worker
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`gated`] | what is asked about: a closed enum, and a table of every route and frame against it |
//! | [`context`] | all that a decision is about, and its hash |
//! | [`bound`] | the same, told thing by thing |
//! | [`gate`] | the one function that every such request goes through |
//! | [`inbox`] | the policy in force, seals, and what of a request is in memory only |
//! | [`request`] | a request: made, kept, told of; each change of its state |
//! | [`waiting`] | who sees it and waits for it; the time it has |
//! | [`decision`] | what a person says, and what voids it |
//! | [`run`] | an approved action, once |
//! | [`sealed`] | payloads in the database, for whoever has the install key only |
//!
//! What may happen between a request and its result, and what becomes of it, is in `docs/approvals.md`.

mod bound;
pub mod context;
pub mod decision;
pub mod gate;
pub mod gated;
pub mod inbox;
pub mod request;
mod rights;
mod run;
pub mod sealed;
pub mod waiting;

#[cfg(test)]
mod tests;

/// A step between a request and its result, where a test stops or kills this bridge. In any other build there is nothing here.
#[cfg(not(feature = "taken-over"))]
async fn reached(_step: &str) {}
#[cfg(feature = "taken-over")]
use crate::taken_over::reached;
