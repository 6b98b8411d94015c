//! Tests of the screen as its users see it: bytes in, views and snapshots out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod compare;
mod dirty;
mod fast_forward;
mod fixpoint;
mod ground;
mod hostile;

mod resize;
mod restore;
mod streams;
mod terminal;
