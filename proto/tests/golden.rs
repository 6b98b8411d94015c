//! Golden bytes: one file a kind of frame, the launcher's messages, and the numbers that stand for words on the wire.
//!
//! The files are append-only. Old workers serve new bridges, so what is written here stays readable and is written the
//! same for ever. `BATON_BLESS=1 cargo test -p baton-proto --test golden` writes files that are missing; it never
//! overwrites one, and neither should you: a message that has to change gets a new number.

#![allow(clippy::unwrap_used, reason = "test code")]

mod messages;
#[path = "../../fuzz/src/messages.rs"]
#[allow(dead_code, reason = "only the reading half is used here")]
mod wire;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use baton_proto::error::ErrorCode;
use baton_proto::frame::{Frame, Header, Kind};
use baton_proto::hello::InstallKey;
use baton_proto::launch::{LaunchMessage, Op};
use messages::{RESERVED, entries, examples};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// What a golden file holds; writes it first if it is missing and `BATON_BLESS` is set.
fn golden(name: &str, now: &str) -> String {
    let path = directory().join(name);
    match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == ErrorKind::NotFound && std::env::var_os("BATON_BLESS").is_some_and(|v| v == "1") => {
            fs::create_dir_all(directory()).unwrap();
            fs::write(&path, now).unwrap();
            now.to_owned()
        }
        Err(err) => panic!(
            "there is no golden file `{}` ({err}); BATON_BLESS=1 writes the ones that are missing",
            path.display()
        ),
    }
}

/// Compares `now` with the golden file of this name.
fn check(name: &str, now: &str) {
    let kept = golden(name, now);
    assert!(
        kept == now,
        "`{name}` is not what this build writes.\nPeers of the released version write and read\n{kept}\n\
         and this build\n{now}\nGolden files never change: give what is new a new number."
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut out, line| {
        for byte in line {
            write!(out, "{byte:02x}").unwrap();
        }
        out.push('\n');
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `Hello` → `hello`, `InputMark` → `input_mark`.
fn snake(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut out, (at, letter)| {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
        out
    })
}

fn file_name(kind: Kind, example: &str) -> String {
    let name = snake(&format!("{kind:?}"));
    let dot = if example.is_empty() { "" } else { "." };
    format!("{:03}_{name}{dot}{example}.hex", kind.number())
}

/// The frame as it is sent: a record sealed, a message with a request's id.
fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let header = if Kind::is_record_number(kind.number()) {
        Header {
            len,
            kind: kind.number(),
            at: 0x0102_0304_0506,
            wall_us: 1_700_000_000_000_000,
            mono_us: 250,
            segment: 3,
            tag: examples::instance().tag(),
            crc: 0,
        }
        .sealed(payload)
    } else {
        Header::message(kind, 0x2A, len)
    };
    [&header.to_bytes()[..], payload].concat()
}

#[test]
fn every_kind_is_written_as_its_golden_frame() {
    for entry in entries() {
        for (example, payload) in &entry.examples {
            check(&file_name(entry.kind, example), &hex(&frame(entry.kind, payload)));
        }
    }
}

#[test]
fn every_golden_frame_is_read() {
    for file in fs::read_dir(directory()).unwrap() {
        let path = file.unwrap().path();
        // The other files are not frames.
        if !path.file_name().unwrap().to_str().unwrap().starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let bytes = unhex(&fs::read_to_string(&path).unwrap());
        let frame = Frame::parse(&bytes).unwrap().unwrap();
        assert_eq!(frame.total_bytes(), bytes.len(), "{}", path.display());
        let kind = frame.header.known_kind().unwrap_or_else(|| panic!("no kind is that of {}", path.display()));
        if Kind::is_record_number(kind.number()) {
            assert!(frame.header.is_intact(frame.payload), "{}", path.display());
        }
        let again = wire::reencode(kind, frame.payload).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        assert_eq!(again, frame.payload, "{}", path.display());
    }
}

#[test]
fn every_kind_has_a_golden_frame_and_every_golden_frame_a_kind() {
    let here = entries();
    for kind in Kind::ALL {
        let examples = here.iter().filter(|entry| entry.kind == *kind).flat_map(|entry| &entry.examples).count();
        if RESERVED.contains(kind) {
            assert_eq!(examples, 0, "{kind:?} is reserved: it has no message yet");
        } else {
            assert!(examples > 0, "{kind:?} has no example in tests/messages, so no golden frame");
        }
    }
    let expected: BTreeSet<String> = here
        .iter()
        .flat_map(|entry| entry.examples.iter().map(|(example, _)| file_name(entry.kind, example)))
        .chain(["launch.hex", "carried_state.hex", "numbers.txt", "error_codes.txt", "proofs.txt"].map(str::to_owned))
        .collect();
    let found: BTreeSet<String> =
        fs::read_dir(directory()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let orphans: Vec<_> = found.difference(&expected).collect();
    assert!(orphans.is_empty(), "golden files that nothing writes any more: {orphans:?}");
}

#[test]
fn the_launchers_messages_are_as_they_were() {
    let ops = [
        Op::SpawnWorker,
        Op::WorkerStarted,
        Op::WorkerGone,
        Op::Keep,
        Op::Program,
        Op::ProgramExited,
        Op::Done,
        Op::Drained,
        Op::Stop,
        Op::Listen,
        Op::Retire,
        Op::Ready,
        Op::Replace,
        Op::Standby,
        Op::Park,
        Op::Parked,
        Op::Go,
        Op::Taken,
        Op::NotReplaced,
        Op::Adopt,
    ];
    let messages = ops.map(|op| LaunchMessage { op, session: examples::session(), pid: 77, arg: -1 });
    let text: String =
        messages.iter().flat_map(|message| hex(&message.to_bytes()).into_bytes()).map(char::from).collect();
    check("launch.hex", &text);
    let kept = unhex(&golden("launch.hex", &text));
    for (message, bytes) in messages.iter().zip(kept.chunks(baton_proto::launch::LAUNCH_BYTES)) {
        assert_eq!(LaunchMessage::from_bytes(bytes), Some(*message));
    }
}

#[test]
fn what_a_segment_carries_is_as_it_was() {
    use baton_proto::codec;

    let state = examples::carried_state();
    let mut bytes = Vec::new();
    codec::encode(Kind::Lease, &state, &mut bytes).unwrap();
    let kept = unhex(&golden("carried_state.hex", &hex(&bytes)));
    check("carried_state.hex", &hex(&bytes));
    assert_eq!(codec::decode::<baton_proto::v1::CarriedState>(Kind::Lease, &kept), Ok(state));
}

#[test]
fn words_keep_their_numbers() {
    use baton_proto::spec::{Profile, SessionKind};
    use baton_proto::v1::{Class, ClientKind, MarkKind, MouseMode, ScreenFormat};

    let mut lines = String::new();
    let mut add = |value: &dyn std::fmt::Debug, bytes: Vec<u8>| {
        let number = u32::from_le_bytes(bytes.try_into().unwrap());
        writeln!(lines, "{number:3} {value:?}").unwrap();
    };
    macro_rules! words {
        ($($type:ident: $($word:ident)+;)+) => {
            $($(add(
                &format_args!("{}::{}", stringify!($type), stringify!($word)),
                bincode::encode_to_vec($type::$word, bincode::config::legacy()).unwrap(),
            );)+)+
        };
    }
    words! {
        ClientKind: Web Desktop Cli Agent Mcp;
        Class: Person Agent;
        MarkKind: Prompt Command CommandEnd Bell Notification Title Cwd InputUncertain;
        ScreenFormat: Ansi Text Html Json;
        MouseMode: None X10 Clicks Drags All;
        SessionKind: Terminal Browser File Process;
        Profile: Host Workspace Locked;
    }
    check("numbers.txt", &lines);
}

#[test]
fn error_codes_keep_numbers_texts_and_statuses() {
    let mut lines = String::new();
    let (mut numbers, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for code in ErrorCode::ALL {
        let wire = bincode::encode_to_vec(code, bincode::config::legacy()).unwrap();
        let number = u32::from_le_bytes(wire.try_into().unwrap());
        assert_eq!(number, *code as u32, "{code} crosses a socket under another number than it has");
        assert!(numbers.insert(number), "{code} has a number that is taken");
        assert!(texts.insert(code.as_str()), "{code} has a text that is taken");
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{}\"", code.as_str()));
        writeln!(lines, "{number:3} {} {}", code.as_str(), code.status()).unwrap();
    }
    // Codes are added at the end: what the file has must be there unchanged, line by line.
    let kept = golden("error_codes.txt", &lines);
    for line in kept.lines() {
        assert!(lines.lines().any(|now| now == line), "`{line}` was released and is gone or changed");
    }
    for line in lines.lines() {
        assert!(kept.lines().any(|kept| kept == line), "`{line}` is new: append it to error_codes.txt");
    }
}

#[test]
fn kinds_have_numbers_of_their_own_in_their_range() {
    let numbers: BTreeSet<u16> = Kind::ALL.iter().map(|kind| kind.number()).collect();
    assert_eq!(numbers.len(), Kind::ALL.len());
    for number in 0..=u16::MAX {
        assert_eq!(Kind::from_number(number).map(Kind::number), numbers.contains(&number).then_some(number));
    }
    assert!(!numbers.contains(&0), "0 stays free: zeroed memory is no frame");
    assert!(numbers.iter().all(|number| *number < 256));
}

#[test]
fn every_kind_is_in_the_document() {
    let document = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")).unwrap();
    for kind in Kind::ALL {
        let line = format!("| {} | `{kind:?}` |", kind.number());
        assert!(document.contains(&line), "docs/protocol.md has no line that begins `{line}`");
    }
}

#[test]
fn proofs_are_as_they_were() {
    let key = InstallKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    let mut lines = String::new();
    for (name, hello) in examples::hellos() {
        let name = if name.is_empty() { "bridge" } else { name };
        let nonce = [0x77; 32];
        write!(lines, "{name} listener {}", hex(&key.listener_proof(&hello, 1, &nonce))).unwrap();
        write!(lines, "{name} dialler {}", hex(&key.dialler_proof(&hello, 1, &nonce))).unwrap();
    }
    check("proofs.txt", &lines);
}
