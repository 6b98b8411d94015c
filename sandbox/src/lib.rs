//! How Baton's processes are started, how descriptors travel between them, and what a process gives up.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`exec`] | fork and exec in one step: descriptors by number, a controlling terminal, a gate before exec |
//! | [`fds`] | `SCM_RIGHTS`, sealed and shared memory files, descriptors that came through exec |
//! | [`own`] | what Baton's own processes give up, and how far the kernel let them |
//! | [`process`] | pidfds, exit statuses, reaping, what `prctl` switches |
//! | [`seccomp`] | which system calls a process may make: filters as data, and what is said of a refused call |
//! | [`error`] | why a program was not started |
//!
//! This crate holds the `unsafe` that starting processes needs, each block with its argument, so that the others do
//! without. It decides nothing: who is started, and with what, is the caller's business.

pub mod error;
pub mod exec;
pub mod fds;
pub mod own;
pub mod process;
pub mod seccomp;

pub use error::{ExecError, Step};
pub use exec::{Child, Gate, Launch};
