//! What a terminal shows, as a pure function of the bytes a program wrote.
//!
//! ```text
//!   output bytes ──► ground ──► engine ──► view ──► snapshot (terminal bytes, text, HTML, JSON)
//!                      │          ▲
//!                      ├─► queries┘ ──► answers, to be typed
//!                      └─► marks ─────► prompts, commands, bells, titles, directories
//! ```
//!
//! Nothing in here reads a file, a clock or a socket. The same bytes give the same screen, whether they come at once or one at a
//! time, live or from a journal years old; that is what lets a screen be thrown away and computed again.

#![forbid(unsafe_code)]

mod engine;
pub mod facts;
mod fast_forward;
pub mod formats;
pub mod ground;
pub mod hostile;
pub mod marks;
pub mod queries;
mod screen;
pub mod sequence;
mod serialise;
pub mod view;
mod width;

pub use facts::Facts;

/// Changes whenever the same bytes may give another screen, or another snapshot: what was kept of an older one is computed again.
pub const ENGINE_VERSION: u32 = 1;

pub use screen::{Screen, Seen, What};
pub use sequence::{Introducer, Sequence, Terminator};
