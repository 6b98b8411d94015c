//! What the roles share below their logic: clocks, the host's identity, logging, memory that outlives a process.

pub mod exhausted;
pub mod host;
pub mod log;
mod memory;

pub use memory::{SharedMemory, give_back};
