//! The launcher's messages: one fixed size, over inherited `SOCK_SEQPACKET` pairs, descriptors beside them.
//!
//! The launcher is root of the process tree and must be too small to fail: it parses nothing but this.
//!
//! | op | from → to | descriptors | meaning |
//! | --- | --- | --- | --- |
//! | `SpawnWorker` | sessiond → launcher | spec memfd | start a worker for `session`; `arg` says for what ([`Start`]) |
//! | `WorkerStarted` | launcher → sessiond | | `pid` serves the session; `arg` = the program's pid, 0 if there is none |
//! | `WorkerGone` | launcher → sessiond | | the worker and its handles are gone; `arg` = wait status |
//! | `Keep` | worker → launcher | listener, read window, PTY master | hold these for a successor |
//! | `Program` | worker → launcher | pidfd | `pid` is the session's program |
//! | `ProgramExited` | launcher → worker | | reaped as its new parent; `arg` = wait status |
//! | `Done` | worker → launcher | | the program is gone: drop the duplicates |
//! | `Drained` | launcher → worker | | the duplicates are dropped |
//! | `Stop` | sessiond → launcher | | end sessiond and bridge, then the launcher; workers stay |
//! | `Retire` | sessiond → launcher | | kill the worker if its session has ended; `WorkerGone` answers |
//! | `Listen` | launcher → worker | listener | the socket's file was gone: it is bound anew, listen here from now on |
//! | `Ready` | sessiond, bridge → launcher | | it serves: the program it was started from is one that works |
//! | `Replace` | sessiond → launcher | | start the installed version in this one's place: of `session`'s worker, else of the [`Part`] in `arg` |
//! | `Standby` | next worker → launcher | | what it was given can be read by it, and it waits |
//! | `Park` | launcher → worker | | stop at a record's end and leave: the next one stands by |
//! | `Parked` | worker → launcher | | `arg` output bytes are in the journal, nothing more is read, and it leaves |
//! | `Go` | launcher → next worker | | the one before has ended: take over |
//! | `Taken` | worker → launcher | | it took over and serves |
//! | `Adopt` | sessiond → launcher | | `session`'s worker has no launcher: ask it for what is to be kept; `WorkerStarted` answers |
//! | `NotReplaced` | launcher → sessiond | | `session` keeps the version it has; `arg` says why ([`NotReplaced`]) |

use crate::ids::SessionId;
use crate::spec::Profile;
use uuid::Uuid;

/// Bytes of a message.
pub const LAUNCH_BYTES: usize = 48;

/// Most descriptors beside one message.
pub const LAUNCH_FDS_MAX: usize = 4;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What a message says. Numbers are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Op { $($(#[$doc])* $name = $number,)* }

        impl Op {
            const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

ops! {
    /// sessiond → launcher.
    SpawnWorker = 1;
    /// launcher → sessiond.
    WorkerStarted = 2;
    /// launcher → sessiond.
    WorkerGone = 3;
    /// worker → launcher.
    Keep = 4;
    /// worker → launcher.
    Program = 5;
    /// launcher → worker.
    ProgramExited = 6;
    /// worker → launcher.
    Done = 7;
    /// launcher → worker.
    Drained = 8;
    /// sessiond → launcher.
    Stop = 9;
    /// launcher → worker.
    Listen = 10;
    /// sessiond → launcher.
    Retire = 11;
    /// sessiond or bridge → launcher.
    Ready = 12;
    /// sessiond → launcher.
    Replace = 13;
    /// next worker → launcher.
    Standby = 14;
    /// launcher → worker.
    Park = 15;
    /// worker → launcher.
    Parked = 16;
    /// launcher → next worker.
    Go = 17;
    /// worker → launcher.
    Taken = 18;
    /// launcher → sessiond.
    NotReplaced = 19;
    /// sessiond → launcher.
    Adopt = 20;
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(i64)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            /// The number in `arg`.
            #[must_use]
            pub const fn number(self) -> i64 {
                self as i64
            }

            /// What the number in `arg` says.
            #[must_use]
            pub const fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// A process of Baton's that is no worker, as `arg` of [`Op::Replace`]. Numbers are never reused.
    Part {
        /// The launcher itself, its spare with it.
        Launcher = 1,
        /// sessiond.
        Supervisor = 2,
        /// The bridge.
        Bridge = 3,
    }
}

numbered! {
    /// What a worker is started for, as `arg` of [`Op::SpawnWorker`]. The launcher can't read the spec: this is how it
    /// knows what is to be allowed, and the worker holds the spec to it. Numbers are never reused.
    Start {
        /// A program that is not confined.
        Host = 0,
        /// None: the session has ended, its journal is to be served.
        Replay = 1,
        /// A program under the profile `workspace`.
        Workspace = 2,
        /// A program under the profile `locked`.
        Locked = 3,
    }
}

impl Start {
    /// That of a program under this profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Host => Self::Host,
            Profile::Workspace => Self::Workspace,
            Profile::Locked => Self::Locked,
        }
    }
}

numbered! {
    /// Why a worker was not replaced, as `arg` of [`Op::NotReplaced`]. Numbers are never reused.
    NotReplaced {
        /// There is no worker with a program to hand over, or it is being replaced already.
        Busy = 1,
        /// The next one did not get as far as standing by; the one before never stopped.
        NotStarted = 2,
        /// The one before did not come to a record's end in time, and goes on.
        NotParked = 3,
        /// The next one took over and did not serve: a worker of the launcher's own version did.
        RolledBack = 4,
    }
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchMessage {
    /// What.
    pub op: Op,
    /// Which session; nil where none is meant.
    pub session: SessionId,
    /// A process, 0 where none is meant.
    pub pid: u32,
    /// As the op says.
    pub arg: i64,
}

impl LaunchMessage {
    const MAGIC: [u8; 4] = *b"BtL1";

    /// A message with no process and no argument.
    #[must_use]
    pub const fn new(op: Op, session: SessionId) -> Self {
        Self { op, session, pid: 0, arg: 0 }
    }

    /// The message as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LAUNCH_BYTES] {
        let mut out = [0; LAUNCH_BYTES];
        out[0..4].copy_from_slice(&Self::MAGIC);
        out[4..6].copy_from_slice(&(self.op as u16).to_le_bytes());
        out[8..24].copy_from_slice(self.session.uuid().as_bytes());
        out[24..28].copy_from_slice(&self.pid.to_le_bytes());
        out[32..40].copy_from_slice(&self.arg.to_le_bytes());
        out
    }

    /// Reads a message; `None` when the bytes are not exactly one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LAUNCH_BYTES] = bytes.try_into().ok()?;
        let zero = bytes[6..8].iter().chain(&bytes[28..32]).chain(&bytes[40..]).all(|byte| *byte == 0);
        if bytes[0..4] != Self::MAGIC || !zero {
            return None;
        }
        Some(Self {
            op: Op::from_number(u16::from_le_bytes(*bytes[4..].first_chunk()?))?,
            session: SessionId::from_uuid(Uuid::from_bytes(*bytes[8..].first_chunk()?)),
            pid: u32::from_le_bytes(*bytes[24..].first_chunk()?),
            arg: i64::from_le_bytes(*bytes[32..].first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_and_anything_else_is_refused() {
        let message = LaunchMessage {
            op: Op::ProgramExited,
            session: SessionId::from_uuid(Uuid::from_u128(5)),
            pid: 77,
            arg: -1,
        };
        let bytes = message.to_bytes();
        assert_eq!(LaunchMessage::from_bytes(&bytes), Some(message));
        assert_eq!(LaunchMessage::from_bytes(&bytes[..47]), None);
        for at in [0, 5, 6, 30, 47] {
            let mut bad = bytes;
            bad[at] ^= 0x80;
            assert_eq!(LaunchMessage::from_bytes(&bad), None, "byte {at}");
        }
    }
}
