//! One task per session owns the connection to its worker, the attachments made over it, and its subscribers' feed.
//!
//! ```text
//!   worker ══records, answers══► task ──chunks, controls──► Feed ◄── one Position per socket, wait or exec
//!          ◄═requests, input════      ──mail──────────────► Presence (one per attached client)
//! ```
//!
//! Nothing here keeps an owner as truth: [`Live`](session::Live) is what the worker last said. When its connection
//! breaks, the feed ends, every socket is told to come back (close 1012) and resumes by cursor; nothing is patched up
//! behind a client's back.

pub mod chunk;
pub mod feed;
pub mod marks;
pub mod presence;
pub mod screens;
pub mod session;
mod task;
