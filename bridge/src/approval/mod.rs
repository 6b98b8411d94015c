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
//! | [`gate`] | the one function that every such request goes through |
//! | [`inbox`] | requests, decisions, expiry; who waits for them |
//! | [`run`] | an approved action, once |
//! | [`sealed`] | payloads in the database, for whoever has the install key only |
//!
//! What may happen between a request and its result, and what becomes of it, is in `docs/approvals.md`.

pub mod context;
pub mod gate;
pub mod gated;
pub mod inbox;
mod run;
pub mod sealed;

#[cfg(test)]
mod tests;
