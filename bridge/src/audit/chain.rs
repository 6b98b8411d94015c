//! The chain itself: the hash of a row, the signatures, and the check of both. Pure.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];
/// What comes before the first row.
pub const GENESIS: Hash = [0; 32];

/// What is hashed begins with this, so that no other hash of ours can be one of a row.
const ROW_DOMAIN: &[u8] = b"baton audit row 1";

/// A row as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// Who: the principal's id.
    pub actor_id: String,
    /// Who: the principal's name.
    pub actor_name: String,
    /// Who: the role.
    pub actor_kind: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: Option<String>,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// The code of a refusal or failure.
    pub code: Option<String>,
    /// Canonical JSON.
    pub details: String,
    /// The hash of the row before.
    pub prev_hash: Hash,
    /// SHA-256 of all of the above.
    pub hash: Hash,
}

fn put(hasher: &mut Sha256, field: Option<&[u8]>) {
    match field {
        // A length before each field: no two rows have the same bytes.
        Some(bytes) => {
            hasher.update([1]);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        None => hasher.update([0]),
    }
}

impl Row {
    /// The hash that the row must have.
    #[must_use]
    pub fn computed(&self) -> Hash {
        let mut hasher = Sha256::new();
        put(&mut hasher, Some(ROW_DOMAIN));
        put(&mut hasher, Some(&self.seq.to_le_bytes()));
        put(&mut hasher, Some(&self.at_us.to_le_bytes()));
        for text in [&self.actor_id, &self.actor_name, &self.actor_kind, &self.action] {
            put(&mut hasher, Some(text.as_bytes()));
        }
        put(&mut hasher, self.subject.as_deref().map(str::as_bytes));
        put(&mut hasher, Some(self.outcome.as_bytes()));
        put(&mut hasher, self.code.as_deref().map(str::as_bytes));
        put(&mut hasher, Some(self.details.as_bytes()));
        put(&mut hasher, Some(&self.prev_hash));
        hasher.finalize().into()
    }

    /// Bytes that count towards `logs.max_bytes`: the fields, and what SQLite needs beside them, about.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        let texts = self.actor_id.len() + self.actor_name.len() + self.actor_kind.len() + self.action.len();
        let subject = match &self.subject {
            // It is in an index too.
            Some(subject) => 2 * subject.len(),
            None => 0,
        };
        (texts + subject + self.outcome.len() + self.details.len() + 128) as u64
    }
}

/// The end of the chain, kept apart from the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest row.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// Bytes of all rows that are kept.
    pub bytes: u64,
    /// The signature. What once did not verify is never signed again.
    pub mac: Vec<u8>,
}

/// What stands in the place of rows that are no longer kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The first of them.
    pub from_seq: u64,
    /// The last.
    pub to_seq: u64,
    /// The hash before the first.
    pub prev_hash: Hash,
    /// The hash of the last.
    pub last_hash: Hash,
    /// How many they were.
    pub count: u64,
    /// When they were given up, microseconds since 1970.
    pub at_us: u64,
    /// The signature.
    pub mac: Vec<u8>,
}

/// The keys, derived from the install key: a signature of the one kind is none of another.
#[derive(Clone)]
pub struct Keys {
    head: Hash,
    /// Of a head beside which a file says the same.
    beside: Hash,
    file: Hash,
    seal: Hash,
    digest: Hash,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "invariant: HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac
}

impl Keys {
    /// Those of an install key.
    #[must_use]
    pub fn of(install_key: &[u8; 32]) -> Self {
        let derived = |what: &str| mac(install_key, &[b"baton audit", what.as_bytes()]).finalize().into_bytes().into();
        Self {
            head: derived("head"),
            beside: derived("head beside a file"),
            file: derived("head file"),
            seal: derived("seal"),
            digest: derived("digest"),
        }
    }

    fn of_head(key: &Hash, head: &Head) -> Hmac<Sha256> {
        mac(key, &[&head.seq.to_le_bytes(), &head.hash, &head.bytes.to_le_bytes()])
    }

    fn of_seal(&self, seal: &Seal) -> Hmac<Sha256> {
        let numbers = [seal.from_seq, seal.to_seq, seal.count, seal.at_us].map(u64::to_le_bytes);
        mac(&self.seal, &[numbers.as_flattened(), &seal.prev_hash, &seal.last_hash])
    }

    /// Signs a head.
    #[must_use]
    pub fn signed_head(&self, head: Head) -> Head {
        let mac = Self::of_head(&self.head, &head).finalize().into_bytes().to_vec();
        Head { mac, ..head }
    }

    /// Signs a head beside which there is a file that says the same, or what was so before.
    #[must_use]
    pub fn signed_head_beside(&self, head: Head) -> Head {
        let mac = Self::of_head(&self.beside, &head).finalize().into_bytes().to_vec();
        Head { mac, ..head }
    }

    /// Whether this key signed the head as one beside a file.
    #[must_use]
    pub fn is_head_beside(&self, head: &Head) -> bool {
        Self::of_head(&self.beside, head).verify_slice(&head.mac).is_ok()
    }

    /// The signature in the file.
    pub(super) fn of_known(&self, seq: u64, at_us: u64, hash: &Hash) -> Hash {
        mac(&self.file, &[&seq.to_le_bytes(), &at_us.to_le_bytes(), hash]).finalize().into_bytes().into()
    }

    /// Whether two texts with signatures are the same, in a time that tells nothing.
    pub(super) fn is_text(&self, given: &str, own: &str) -> bool {
        let of_own = mac(&self.file, &[own.as_bytes()]).finalize().into_bytes();
        mac(&self.file, &[given.as_bytes()]).verify(&of_own).is_ok()
    }

    /// Signs a seal.
    #[must_use]
    pub fn signed_seal(&self, seal: Seal) -> Seal {
        let mac = self.of_seal(&seal).finalize().into_bytes().to_vec();
        Seal { mac, ..seal }
    }

    /// Whether this key signed the head.
    #[must_use]
    pub fn is_head(&self, head: &Head) -> bool {
        Self::of_head(&self.head, head).verify_slice(&head.mac).is_ok() || self.is_head_beside(head)
    }

    /// Whether this key signed the seal.
    #[must_use]
    pub fn is_seal(&self, seal: &Seal) -> bool {
        self.of_seal(seal).verify_slice(&seal.mac).is_ok()
    }

    /// What is kept of a text that may hold a secret: two equal ones can be told to be equal, and without the key nothing can
    /// be tried out.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        hex(mac(&self.digest, &[text.as_bytes()]).finalize().into_bytes().as_slice())
    }
}

/// As lowercase hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The row's fields are not those its hash was made of.
    HashMismatch,
    /// There is no row of this number.
    MissingSeq,
    /// The row does not follow from the one before.
    PrevMismatch,
    /// The newest row is not the one that the signed head names, or the head is not signed.
    HeadMismatch,
    /// A seal is not signed, or does not follow from the one before.
    SealMismatch,
    /// A field is of another type, or the database can't read the row.
    Unreadable,
    /// The row is not the one that it was compared with.
    NotAsExpected,
    /// The row is not the one of this number that is known from beside the database, or that file was changed.
    HeadFileMismatch,
    /// The file beside the database is missing.
    HeadFileMissing,
}

impl Why {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HashMismatch => "hash_mismatch",
            Self::MissingSeq => "missing_seq",
            Self::PrevMismatch => "prev_mismatch",
            Self::HeadMismatch => "head_mismatch",
            Self::SealMismatch => "seal_mismatch",
            Self::Unreadable => "unreadable",
            Self::NotAsExpected => "not_as_expected",
            Self::HeadFileMismatch => "head_file_mismatch",
            Self::HeadFileMissing => "head_file_missing",
        }
    }
}

/// The first row with which something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub seq: u64,
    /// What.
    pub why: Why,
}

/// Checks a chain, row by row; knows no more than one of them.
#[derive(Debug)]
pub struct Verifier {
    next_seq: u64,
    last_hash: Hash,
    /// Rows that were checked.
    pub rows: u64,
    /// Rows that seals stand for.
    pub sealed: u64,
    /// The row that was to be compared was.
    pub compared: bool,
    expected: Option<(u64, Hash)>,
    known: Option<(u64, Hash)>,
}

impl Verifier {
    /// One that has seen nothing. `expected` is a row, by number and hash, that somebody knows to have been there.
    #[must_use]
    pub const fn new(expected: Option<(u64, Hash)>) -> Self {
        Self { next_seq: 1, last_hash: GENESIS, rows: 0, sealed: 0, compared: false, expected, known: None }
    }

    /// The same, with a row that is known from beside the database.
    #[must_use]
    pub const fn knowing(self, known: Option<(u64, Hash)>) -> Self {
        Self { known, ..self }
    }

    fn is_another(&self, seq: u64, hash: Hash) -> bool {
        self.known.is_some_and(|known| known.0 == seq && known.1 != hash)
    }

    /// The number of the row that comes next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The next seal, which come before all rows.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn seal(&mut self, keys: &Keys, seal: &Seal) -> Result<(), Broken> {
        let fits = seal.from_seq == self.next_seq
            && seal.prev_hash == self.last_hash
            && seal.to_seq >= seal.from_seq
            && seal.count == seal.to_seq - seal.from_seq + 1
            && keys.is_seal(seal);
        if !fits {
            return Err(Broken { seq: self.next_seq, why: Why::SealMismatch });
        }
        let compared = self.expected.filter(|(seq, _)| *seq == seal.to_seq);
        if compared.is_some_and(|(_, hash)| hash != seal.last_hash) {
            return Err(Broken { seq: seal.to_seq, why: Why::NotAsExpected });
        }
        if self.is_another(seal.to_seq, seal.last_hash) {
            return Err(Broken { seq: seal.to_seq, why: Why::HeadFileMismatch });
        }
        self.compared |= compared.is_some();
        self.sealed += seal.count;
        (self.next_seq, self.last_hash) = (seal.to_seq + 1, seal.last_hash);
        Ok(())
    }

    /// The next row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn row(&mut self, row: &Row) -> Result<(), Broken> {
        if row.seq != self.next_seq {
            return Err(Broken { seq: self.next_seq, why: Why::MissingSeq });
        }
        let why = if row.hash != row.computed() {
            Some(Why::HashMismatch)
        } else if row.prev_hash != self.last_hash {
            Some(Why::PrevMismatch)
        } else if self.expected.is_some_and(|(seq, hash)| seq == row.seq && hash != row.hash) {
            Some(Why::NotAsExpected)
        } else if self.is_another(row.seq, row.hash) {
            Some(Why::HeadFileMismatch)
        } else {
            None
        };
        if let Some(why) = why {
            return Err(Broken { seq: row.seq, why });
        }
        self.compared |= self.expected.is_some_and(|(seq, _)| seq == row.seq);
        self.rows += 1;
        (self.next_seq, self.last_hash) = (row.seq + 1, row.hash);
        Ok(())
    }

    /// There are no more rows.
    ///
    /// # Errors
    /// What is missing at the end.
    pub fn end(&self, keys: &Keys, head: Option<&Head>) -> Result<(), Broken> {
        if let Some((seq, _)) = self.expected.filter(|(seq, _)| *seq >= self.next_seq) {
            return Err(Broken { seq, why: Why::NotAsExpected });
        }
        let last = self.next_seq - 1;
        if self.known.is_some_and(|(seq, _)| seq > last) {
            return Err(Broken { seq: self.next_seq, why: Why::MissingSeq });
        }
        let (why, seq) = match head {
            None if last == 0 => return Ok(()),
            None => (Why::HeadMismatch, last),
            // Only what is signed can say how much is missing.
            Some(head) if keys.is_head(head) && head.seq > last => (Why::MissingSeq, self.next_seq),
            Some(head) if keys.is_head(head) && head.seq == last && head.hash == self.last_hash => return Ok(()),
            Some(_) => (Why::HeadMismatch, last),
        };
        Err(Broken { seq, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, prev_hash: Hash) -> Row {
        let mut row = Row {
            seq,
            at_us: 1_000 + seq,
            actor_id: "owner".to_owned(),
            actor_name: "Ada".to_owned(),
            actor_kind: "owner".to_owned(),
            action: "login".to_owned(),
            subject: None,
            outcome: "allowed".to_owned(),
            code: None,
            details: "{}".to_owned(),
            prev_hash,
            hash: GENESIS,
        };
        row.hash = row.computed();
        row
    }

    #[test]
    fn fields_that_run_into_each_other_have_other_hashes() {
        let one = Row { actor_id: "ab".to_owned(), actor_name: "c".to_owned(), ..row(1, GENESIS) };
        let other = Row { actor_id: "a".to_owned(), actor_name: "bc".to_owned(), ..row(1, GENESIS) };
        assert_ne!(one.computed(), other.computed());
        let none = Row { subject: None, ..row(1, GENESIS) };
        let empty = Row { subject: Some(String::new()), ..row(1, GENESIS) };
        assert_ne!(none.computed(), empty.computed());
    }

    #[test]
    fn a_chain_holds_and_its_end_is_known() {
        let keys = Keys::of(&[7; 32]);
        let first = row(1, GENESIS);
        let second = row(2, first.hash);
        let head = keys.signed_head(Head { seq: 2, hash: second.hash, bytes: 9, mac: Vec::new() });
        let check = |rows: &[&Row], head: Option<&Head>, expected| {
            let mut verifier = Verifier::new(expected);
            rows.iter().try_for_each(|row| verifier.row(row)).and_then(|()| verifier.end(&keys, head))
        };
        let broken = |seq, why| Err(Broken { seq, why });
        assert_eq!(check(&[&first, &second], Some(&head), None), Ok(()));
        assert_eq!(check(&[&first], Some(&head), None), broken(2, Why::MissingSeq));
        assert_eq!(check(&[], Some(&head), None), broken(1, Why::MissingSeq));
        assert_eq!(check(&[&second], Some(&head), None), broken(1, Why::MissingSeq));
        assert_eq!(check(&[&first, &second], None, None), broken(2, Why::HeadMismatch));
        let foreign = Keys::of(&[8; 32]).signed_head(head.clone());
        assert_eq!(check(&[&first, &second], Some(&foreign), None), broken(2, Why::HeadMismatch));
        assert_eq!(check(&[&first, &second], Some(&head), Some((2, second.hash))), Ok(()));
        assert_eq!(check(&[&first, &second], Some(&head), Some((2, first.hash))), broken(2, Why::NotAsExpected));
        assert_eq!(check(&[&first, &second], Some(&head), Some((3, first.hash))), broken(3, Why::NotAsExpected));
    }

    #[test]
    fn a_digest_needs_the_key() {
        let (ours, theirs) = (Keys::of(&[1; 32]), Keys::of(&[2; 32]));
        assert_eq!(ours.digest("pw"), ours.digest("pw"));
        assert_ne!(ours.digest("pw"), theirs.digest("pw"));
        assert_eq!(hex(&[0, 0xaf]), "00af");
    }
}
