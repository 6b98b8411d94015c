//! Whether something may happen: rules about what an action does, not about how it is written.
//!
//! ```text
//!   Action ─► effect (shell ─► wrapper ─► resolve) ─► judge ◄─ rules ◄─ file (live)
//!                                                      └─► Judgement
//! ```
//!
//! A policy on command lines is for good questions; what holds a program is its sandbox. Hence: what is not understood is
//! asked about, nothing is guessed, and of several rules the strictest wins. The core does no I/O but through
//! [`resolve::Resolve`].

mod action;
mod effect;
pub mod file;
mod glob;
pub mod hostile;
mod judge;
mod placed;
pub mod program;
pub mod resolve;
mod rules;
mod shell;
mod target;
mod wrapper;

pub use action::{
    Action, ActionKind, Context, Grant, Judgement, Outcome, Principal, PrincipalKind, Reason, Risk, RiskTag,
};
pub use file::Noticed;
pub use judge::{judge, judge_with};
pub use rules::{DEFAULTS, Policy, PolicyError, example_context};
pub use target::{FileState, Inode, Target, target};

#[cfg(test)]
mod tests;
