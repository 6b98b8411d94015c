//! What was asked for, answered or run at a prompt may hold a password that somebody typed into a line. In the database it is
//! sealed: encrypted and authenticated with a key derived from the install key, XChaCha20-Poly1305 with a random nonce of 24 bytes
//! before the text (draft-irtf-cfrg-xchacha-03; so large a nonce may be random for ever). The id of the approval, or the name of
//! the row, is authenticated with it, so that a row can't be given the text of another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

const NONCE_BYTES: usize = 24;

/// The keys for payloads, derived from the install key.
#[derive(Clone)]
pub struct Seals {
    cipher: XChaCha20Poly1305,
    digest: [u8; 32],
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals(…)")
    }
}

fn derived(key: &[u8], what: &str) -> [u8; 32] {
    keyed(key, what.as_bytes())
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "invariant: HMAC takes keys of any length")]
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

impl Seals {
    /// Those of an install key.
    #[must_use]
    pub fn of(install_key: &[u8; 32]) -> Self {
        let key = derived(install_key, "baton approvals payload");
        Self { cipher: XChaCha20Poly1305::new(&key.into()), digest: derived(install_key, "baton approvals digest") }
    }

    /// Seals a text under an id.
    ///
    /// # Errors
    /// The kernel has no randomness to give, or the text is larger than 256 GiB.
    pub fn seal(&self, id: &str, text: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: id.as_bytes() });
        let sealed = sealed.map_err(|_| std::io::Error::other("the payload can't be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed under this id; `None` when it is something else, or was changed.
    #[must_use]
    pub fn open(&self, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: id.as_bytes() }).ok()
    }

    /// The same as text, for a column of text.
    ///
    /// # Errors
    /// As [`Seals::seal`].
    pub fn seal_text(&self, id: &str, text: &str) -> std::io::Result<String> {
        Ok(BASE64.encode(self.seal(id, text.as_bytes())?))
    }

    /// The way back.
    #[must_use]
    pub fn open_text(&self, id: &str, sealed: &str) -> Option<String> {
        String::from_utf8(self.open(id, &BASE64.decode(sealed).ok()?)?).ok()
    }

    /// A keyed digest of what may be guessed.
    #[must_use]
    pub fn keyed(&self, text: &[u8]) -> [u8; 32] {
        keyed(&self.digest, text)
    }

    /// A keyed digest, hexadecimal: equal texts can be told to be equal, and without the key nothing can be tried out.
    #[must_use]
    pub fn digest(&self, text: &[u8]) -> String {
        crate::audit::chain::hex(&keyed(&self.digest, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_id_and_unchanged_only() {
        let seals = Seals::of(&[7; 32]);
        let sealed = seals.seal("apr_1", b"echo hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(seals.open("apr_1", &sealed).unwrap(), b"echo hunter2");
        assert_eq!(seals.open("apr_2", &sealed), None, "of another approval");
        assert_eq!(Seals::of(&[8; 32]).open("apr_1", &sealed), None, "of another installation");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seals.open("apr_1", &changed), None, "byte {at}");
        }
        assert_eq!(seals.open("apr_1", &sealed[..10]), None);
        assert_ne!(seals.seal("apr_1", b"x").unwrap(), seals.seal("apr_1", b"x").unwrap());
    }
}
