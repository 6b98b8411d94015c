//! How Baton's processes are started, how descriptors travel between them, and what a process gives up.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`exec`] | fork and exec in one step: descriptors by number, a controlling terminal, a gate before exec |
//! | [`fds`] | `SCM_RIGHTS`, sealed and shared memory files, descriptors that came through exec |
//! | [`own`] | what Baton's own processes give up, and how far the kernel let them |
//! | [`profile`], [`grant`] | what each profile lets a program touch, and what a grant adds: data |
//! | [`places`], [`view`] | that data held against this host; the steps to a view of the file system of one's own |
//! | [`seen`], [`verdict`] | what a program finds at a path, and what it may do there: the same data, asked instead of enforced |
//! | [`tools`] | what of HOME is shown without being granted |
//! | [`limits`] | what a program may use at most: set for it, and read back |
//! | [`secrets`] | where they are on this host; [`links`], [`aliases`]: other names and other paths of them; [`closed`]: what only root reads |
//! | [`jail`] | a confined program's start: namespaces, mounts, privileges, Landlock, seccomp, in this order |
//! | [`landlock`] | which files it uses, in the kernel's words |
//! | [`report`] | what was achieved, as the process itself tells; the proof that it was |
//! | [`process`] | pidfds, exit statuses, reaping, what `prctl` switches |
//! | [`seccomp`] | which system calls a process may make: filters as data, and what is said of a refused call |
//! | [`error`] | why a program was not started |
//!
//! This crate holds the `unsafe` that starting processes needs, each block with its argument, so that the others do
//! without. It decides nothing: who is started, and with what, is the caller's business.

pub mod aliases;
pub mod closed;
pub mod error;
pub mod exec;
pub mod fds;
pub mod grant;
pub mod held;
pub mod jail;
pub mod landlock;
pub mod limits;
pub mod links;
pub mod own;
pub mod places;
pub mod process;
pub mod profile;
pub mod report;
pub mod seccomp;
pub mod secrets;
pub mod seen;
pub mod sweeper;
mod sys;
pub mod tools;
pub mod verdict;
pub mod view;

pub use error::{ExecError, Step};
pub use exec::{Child, Gate, Launch};
pub use jail::Jail;
pub use places::{Refusal, Request};
pub use report::Confined;
