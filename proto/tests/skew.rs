//! Old and new peers: which version they speak, what an older one makes of what it does not know, and that nothing of what
//! was released is ever another.
//!
//! `golden/list.txt` has the checksum of every golden file, `golden/kinds.txt` every number of a kind or an op. Both are
//! append-only. `BATON_BLESS=1 cargo test -p baton-proto --test golden --test skew` writes golden files and lines that are
//! missing, and changes none.

#![allow(clippy::unwrap_used, reason = "test code")]

mod messages;
#[path = "../../fuzz/src/messages.rs"]
#[allow(dead_code, reason = "only the reading half is used here")]
mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use baton_proto::error::{ErrorCode, ProtoError};
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind};
use baton_proto::hello::{Hello, Role, VERSION_MAX, VERSION_MIN, shared_version};
use baton_proto::launch::{LaunchMessage, Op};
use messages::{entries, examples};
use sha2::{Digest as _, Sha256};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Whether what is missing is to be written.
fn blessed() -> bool {
    std::env::var_os("BATON_BLESS").is_some_and(|value| value == "1")
}

/// Compares `now`, a value by its name, with the lines `name value` of a list that only grows.
fn check_list(file: &str, now: &BTreeMap<String, String>) {
    let path = golden().join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut kept = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(' ').unwrap_or_else(|| panic!("{file}: `{line}` is no name and value"));
        assert!(kept.insert(name.to_owned(), value.to_owned()).is_none(), "{file}: `{name}` is there twice");
    }
    for (name, value) in &kept {
        match now.get(name) {
            Some(here) => {
                assert_eq!(here, value, "{file}: `{name}` was released as the right one and is the left one now")
            }
            None => panic!("{file}: `{name} {value}` was released and is gone"),
        }
    }
    let missing: Vec<_> = now.iter().filter(|(name, _)| !kept.contains_key(*name)).collect();
    if missing.is_empty() {
        return;
    }
    assert!(blessed(), "{file} lacks {missing:?}; BATON_BLESS=1 adds what is missing, and changes nothing");
    kept.extend(missing.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut text: String =
        text.lines().filter(|line| line.starts_with('#')).fold(String::new(), |text, line| text + line + "\n");
    for (name, value) in kept {
        writeln!(text, "{name} {value}").unwrap();
    }
    fs::write(&path, text).unwrap();
}

#[test]
fn both_sides_take_the_newest_version_they_have_in_common_or_none() {
    const NEWEST: u16 = 6;
    let ranges = || (0..=NEWEST).flat_map(|min| (0..=NEWEST).map(move |max| (min, max)));
    for dialler in ranges() {
        for listener in ranges() {
            let expected = (0..=NEWEST)
                .filter(|version| {
                    (dialler.0..=dialler.1).contains(version) && (listener.0..=listener.1).contains(version)
                })
                .max();
            assert_eq!(shared_version(dialler, listener), expected, "{dialler:?} dials {listener:?}");
            assert_eq!(shared_version(listener, dialler), expected, "it is the same from the other side");
        }
    }
    // What this build does with every range that a peer may offer.
    for (version_min, version_max) in ranges() {
        let hello = Hello { version_min, version_max, ..examples::hellos()[0].1.clone() };
        let expected = shared_version((version_min, version_max), (VERSION_MIN, VERSION_MAX));
        assert_eq!(hello.shared_version(), expected.ok_or(ErrorCode::Refused), "{version_min} to {version_max}");
    }
    assert_eq!(shared_version((1, u16::MAX), (0, u16::MAX)), Some(u16::MAX));
}

fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let header = Header { len: u32::try_from(payload.len()).unwrap(), kind, at: 7, ..Header::default() };
    [&header.to_bytes()[..], payload].concat()
}

#[test]
fn a_control_message_of_a_later_version_is_skipped_and_what_follows_is_read() {
    let unknown = (32..=u16::MAX).filter(|number| Kind::from_number(*number).is_none());
    for number in unknown {
        let mut bytes = frame(number, b"whatever a later version says");
        let first = bytes.len();
        bytes.extend_from_slice(&frame(Kind::Done.number(), b""));
        let skipped = Frame::parse(&bytes).unwrap().unwrap();
        assert_eq!((skipped.header.known_kind(), skipped.total_bytes()), (None, first), "kind {number}");
        let next = Frame::parse(&bytes[first..]).unwrap().unwrap();
        assert_eq!(next.header.known_kind(), Some(Kind::Done));
    }
}

#[test]
fn data_of_a_later_version_ends_the_connection() {
    for number in (0..32).filter(|number| Kind::from_number(*number).is_none()) {
        assert_eq!(
            Frame::parse(&frame(number, b"data")),
            Err(ProtoError::UnknownKind { kind: number }),
            "kind {number}"
        );
    }
}

#[test]
fn a_message_with_more_bytes_than_it_has_or_may_have_is_refused() {
    for entry in entries() {
        for (example, payload) in &entry.examples {
            if matches!(entry.kind, Kind::Output | Kind::Stderr | Kind::Input | Kind::Range | Kind::Screen) {
                continue; // their payload ends with bytes of any length
            }
            let longer = [payload.as_slice(), &[0]].concat();
            assert!(wire::reencode(entry.kind, &longer).is_err(), "{:?} {example}: a byte too many", entry.kind);
            if let Some((_, shorter)) = payload.split_last() {
                let cut = &payload[..shorter.len()];
                assert!(wire::reencode(entry.kind, cut).is_err(), "{:?} {example}: a byte too few", entry.kind);
            }
        }
    }
    for kind in Kind::ALL {
        let max = kind.payload_bytes_max();
        let header = |len| Header { len, kind: kind.number(), ..Header::default() }.to_bytes();
        assert!(Header::parse(&header(max)).is_ok());
        let refused = Err(ProtoError::TooLarge { kind: kind.number(), len: max + 1, max });
        assert_eq!(Header::parse(&header(max + 1)), refused, "before a byte of it is read");
    }
    // Flags and what is reserved are for later versions, which agree on one before they set them.
    for at in [6, 7, 44, 45, 46, 47] {
        let mut bytes = frame(Kind::Done.number(), b"");
        bytes[at] = 1;
        assert!(matches!(Header::parse(&bytes), Err(ProtoError::Reserved { .. })), "byte {at}");
        assert_eq!(bytes.len(), HEADER_BYTES);
    }
}

#[test]
fn numbers_of_kinds_and_ops_are_those_that_were_released() {
    let mut now = BTreeMap::new();
    for kind in Kind::ALL {
        assert!(
            now.insert(format!("kind/{:03}", kind.number()), format!("{kind:?}")).is_none(),
            "{kind:?} has a taken number"
        );
    }
    // Every op that can be read, whatever it is called: found by its number.
    for number in 0..=u16::MAX {
        let mut bytes = LaunchMessage::new(Op::Stop, examples::session()).to_bytes();
        bytes[4..6].copy_from_slice(&number.to_le_bytes());
        if let Some(message) = LaunchMessage::from_bytes(&bytes) {
            assert_eq!(message.op as u16, number);
            now.insert(format!("op/{number:03}"), format!("{:?}", message.op));
        }
    }
    for (number, role) in [Role::Supervisor { generation: 0 }, Role::Bridge, Role::Cli].into_iter().enumerate() {
        let bytes = bincode::encode_to_vec(role, bincode::config::legacy()).unwrap();
        assert_eq!(bytes[0], u8::try_from(number).unwrap());
        let name = format!("{role:?}");
        now.insert(format!("role/{number:03}"), name.split([' ', '{']).next().unwrap().to_owned());
    }
    check_list("kinds.txt", &now);
}

#[test]
fn golden_files_are_those_that_were_released() {
    let mut now = BTreeMap::new();
    for file in fs::read_dir(golden().join("v1")).unwrap() {
        let file = file.unwrap();
        let name = format!("v1/{}", file.file_name().into_string().unwrap());
        let mut hash = String::new();
        for byte in Sha256::digest(fs::read(file.path()).unwrap()) {
            write!(hash, "{byte:02x}").unwrap();
        }
        // The list of error codes grows at its end; `golden.rs` looks at each line.
        if name != "v1/error_codes.txt" {
            now.insert(name, hash);
        }
    }
    check_list("list.txt", &now);
}
