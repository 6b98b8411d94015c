//! Baton's session side: three roles of one binary.
//!
//! | role | module | what it does |
//! | --- | --- | --- |
//! | launcher | [`launcher`] | root of the process tree: starts and restarts the others, keeps each session's handles |
//! | supervisor | [`supervisor`] | `sessiond`: which sessions there are, spawn, adoption, limits; never touches their bytes |
//! | worker | [`worker`] | owns one session: PTY, journal, subscribers, lease |
//!
//! Besides, [`egress`] is the way out of a session that may reach some hosts, [`agent`] the way to the person's ssh agent. [`survey`] looks at what runs while none of the first two does, for `baton ls --parked`.
//!
//! [`doctor`] looks at the host, for `baton doctor`; [`explain`] answers what a confined program may do.
//!
//! Each is single-threaded, decides in pure state machines and keeps I/O at the rim. `kill -9` of any one of them, and
//! the session's program does not notice.
#![deny(unsafe_code)]

pub mod agent;
pub mod doctor;
pub mod egress;
pub mod explain;
pub mod hostile;
pub mod launcher;
pub mod private;
mod seldom;
pub mod settings;
pub mod supervisor;
pub mod survey;
pub mod sys;
pub mod tended;
pub mod worker;
