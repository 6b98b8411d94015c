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

pub mod facts;
pub mod sequence;
pub mod view;

pub use facts::Facts;
pub use sequence::{Introducer, Sequence, Terminator};
