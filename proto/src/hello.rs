//! The handshake on every local socket: which version both speak, and that both hold the install key.
//!
//! ```text
//! dialler                                listener
//!   Hello {versions, role, nonce}   ──►
//!                                   ◄──  Welcome {version, nonce, who, proof}
//!   Proof {proof}                   ──►
//!                                   ◄──  Accepted | Refused
//! ```
//!
//! Same uid is necessary and never sufficient: below Landlock ABI 9 a process with no filesystem right at all can still
//! connect to a path socket. The key is 32 bytes in a 0600 file that sandboxed sessions can't read; each side proves it
//! with HMAC-SHA-256 (RFC 2104) over both nonces, its direction, the dialler's role and the version, so that neither
//! a recorded nor a reflected proof is worth anything.

use bincode::{Decode, Encode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::ErrorCode;
use crate::ids::{InstanceId, SessionId};

/// Oldest protocol version this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest protocol version this build speaks.
pub const VERSION_MAX: u16 = 1;

/// Seconds a peer has to finish the handshake.
pub const HANDSHAKE_TIMEOUT_S: u64 = 5;

/// Connections that may be in the handshake at once on one socket; one more is refused.
pub const HANDSHAKES_MAX: usize = 64;

/// A 32-byte random number, used once.
pub type Nonce = [u8; 32];

/// Who dials. What a role may ask is decided by the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Role {
    /// sessiond, with the generation counted under its lock; a worker refuses a lower one than it has seen.
    Supervisor {
        /// Rises with each start of sessiond.
        generation: u64,
    },
    /// The bridge.
    Bridge,
    /// The command line, for `down` and for a status without a bridge.
    Cli,
}

/// First message of the dialler.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Oldest version it speaks.
    pub version_min: u16,
    /// Newest version it speaks.
    pub version_max: u16,
    /// Who it is.
    pub role: Role,
    /// Its nonce.
    pub nonce: Nonce,
    /// Names of optional abilities; unknown ones are ignored. At most 16 of 32 bytes.
    pub capabilities: Vec<String>,
    /// Build of the dialler, for logs only; versions are never compared by it.
    pub build: String,
}

/// Which process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Who {
    /// sessiond.
    Supervisor,
    /// The worker of this session.
    Worker {
        /// Its session.
        session: SessionId,
        /// Its instance.
        instance: InstanceId,
    },
}

/// The listener's answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The newest version both speak.
    pub version: u16,
    /// Who answers.
    pub who: Who,
    /// Its process.
    pub pid: u32,
    /// Its nonce.
    pub nonce: Nonce,
    /// Its proof that it holds the key.
    pub proof: [u8; 32],
    /// Names of optional abilities.
    pub capabilities: Vec<String>,
    /// Build of the listener, for logs only.
    pub build: String,
}

/// The dialler's proof that it holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Proof {
    /// See [`InstallKey::dialler_proof`].
    pub proof: [u8; 32],
}

/// The listener believes the dialler.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {}

impl Hello {
    /// The newest version both sides speak.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] when there is none.
    pub fn shared_version(&self) -> Result<u16, ErrorCode> {
        shared_version((self.version_min, self.version_max), (VERSION_MIN, VERSION_MAX)).ok_or(ErrorCode::Refused)
    }
}

/// The newest version in both ranges, each from its oldest to its newest; `None` when they have none in common, or one of
/// them is no range.
#[must_use]
pub const fn shared_version(theirs: (u16, u16), ours: (u16, u16)) -> Option<u16> {
    let newest = if theirs.1 < ours.1 { theirs.1 } else { ours.1 };
    let oldest = if theirs.0 > ours.0 { theirs.0 } else { ours.0 };
    let ranges = theirs.0 <= theirs.1 && ours.0 <= ours.1;
    if ranges && oldest <= newest { Some(newest) } else { None }
}

/// The per-install secret. Its bytes are shown to nobody: no `Debug`, no `Display`.
#[derive(Clone)]
pub struct InstallKey([u8; 32]);

impl std::fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstallKey(…)")
    }
}

impl InstallKey {
    /// Bytes of a key file.
    pub const BYTES: usize = 32;

    /// Takes the bytes of the key file.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of its file, to write it again when it was deleted.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// What the listener puts into [`Welcome::proof`].
    #[must_use]
    pub fn listener_proof(&self, hello: &Hello, version: u16, listener_nonce: &Nonce) -> [u8; 32] {
        self.mac(b"baton listener", hello, version, listener_nonce).finalize().into_bytes().into()
    }

    /// What the dialler puts into [`Proof::proof`].
    #[must_use]
    pub fn dialler_proof(&self, hello: &Hello, version: u16, listener_nonce: &Nonce) -> [u8; 32] {
        self.mac(b"baton dialler", hello, version, listener_nonce).finalize().into_bytes().into()
    }

    /// Whether the listener's proof is right (compared in constant time).
    #[must_use]
    pub fn believes_listener(&self, hello: &Hello, welcome: &Welcome) -> bool {
        self.mac(b"baton listener", hello, welcome.version, &welcome.nonce).verify_slice(&welcome.proof).is_ok()
    }

    /// Whether the dialler's proof is right (compared in constant time).
    #[must_use]
    pub fn believes_dialler(&self, hello: &Hello, version: u16, listener_nonce: &Nonce, proof: &Proof) -> bool {
        self.mac(b"baton dialler", hello, version, listener_nonce).verify_slice(&proof.proof).is_ok()
    }

    fn mac(&self, direction: &[u8], hello: &Hello, version: u16, listener_nonce: &Nonce) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("HMAC takes any key length"));
        let (role, generation) = match hello.role {
            Role::Supervisor { generation } => (0u8, generation),
            Role::Bridge => (1, 0),
            Role::Cli => (2, 0),
        };
        mac.update(direction);
        mac.update(&[role]);
        mac.update(&generation.to_le_bytes());
        mac.update(&version.to_le_bytes());
        mac.update(&hello.version_min.to_le_bytes());
        mac.update(&hello.version_max.to_le_bytes());
        mac.update(&hello.nonce);
        mac.update(listener_nonce);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            role: Role::Bridge,
            nonce: [3; 32],
            capabilities: vec![],
            build: String::new(),
        }
    }

    #[test]
    fn proofs_hold_for_one_key_direction_and_pair_of_nonces() {
        let (key, other, hello, nonce) = (InstallKey::new([1; 32]), InstallKey::new([2; 32]), hello(), [9; 32]);
        let proof = Proof { proof: key.dialler_proof(&hello, 1, &nonce) };
        assert!(key.believes_dialler(&hello, 1, &nonce, &proof));
        assert!(!other.believes_dialler(&hello, 1, &nonce, &proof));
        assert!(!key.believes_dialler(&hello, 1, &[8; 32], &proof));
        assert!(!key.believes_dialler(&hello, 2, &nonce, &proof));
        let grown = Hello { role: Role::Supervisor { generation: 1 }, ..hello.clone() };
        assert!(!key.believes_dialler(&grown, 1, &nonce, &proof));
        let reflected = Proof { proof: key.listener_proof(&hello, 1, &nonce) };
        assert!(!key.believes_dialler(&hello, 1, &nonce, &reflected));
    }

    #[test]
    fn the_newest_shared_version_is_taken() {
        let range = |version_min, version_max| Hello { version_min, version_max, ..hello() }.shared_version();
        assert_eq!(range(1, 1), Ok(1));
        assert_eq!(range(1, 9), Ok(1));
        assert_eq!(range(0, 0), Err(ErrorCode::Refused));
        assert_eq!(range(2, 9), Err(ErrorCode::Refused));
        assert_eq!(range(9, 1), Err(ErrorCode::Refused));
    }
}
