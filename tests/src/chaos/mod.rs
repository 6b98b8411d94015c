//! The chaos runner: sessions whose output and input are checked to the byte, clients of every kind, and a killer.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`numbered`], [`echoed`] | what the programs write, and how it is checked |
//! | [`typed`] | the rules of input |
//! | [`client`] | a client that comes back, and judges |
//! | [`brief`] | sessions that end by themselves, and new ones in their place |
//! | [`desk`], [`screens`] | `baton attach` at a shell; somebody who asks for screens of now and then |
//! | [`family`], [`guard`] | Baton's processes; programs that must not die |
//! | [`killer`] | which fault falls when |
//! | [`world`], [`ledger`] | what all of them share; the run's book |
//! | [`mod@run`], [`report`] | a run from its beginning to its end; its table |
//!
//! All choices come from one seed, so that a run has the same faults in the same order. Which byte was on its way when a fault
//! fell is the machine's choice and cannot be had again.

pub mod brief;
pub mod client;
pub mod desk;
pub mod echoed;
pub mod family;
pub mod guard;
pub mod killer;
pub mod ledger;
pub mod numbered;
pub mod report;
pub mod run;
pub mod screens;
pub mod typed;
pub mod world;

pub use report::Report;
pub use run::{Options, run};
