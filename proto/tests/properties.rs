//! Properties of frames, messages, ids and the handshake that hold for any value and any bytes.
//! `BATON_SEED=<number>` repeats a run.

#![allow(clippy::unwrap_used, reason = "test code")]

mod messages;
mod seeded;
#[path = "../../fuzz/src/messages.rs"]
#[allow(dead_code, reason = "only the reading half is used here")]
mod wire;

use baton_proto::ProtoError;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, RANGE_BYTES_MAX, write_message};
use baton_proto::hello::{Hello, InstallKey, Proof, VERSION_MAX, VERSION_MIN, Welcome};
use baton_proto::ids::{Cursor, WorkspaceId};
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage};
use baton_proto::v1::Close;
use messages::{RESERVED, entries, strategies as s};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::Union;

/// Any frame of any kind that this version sends, as bytes.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let one = |entry: messages::Entry| {
        (any::<u64>(), entry.payloads)
            .prop_map(move |(at, payload)| frame_bytes(entry.kind.number(), at, &payload))
            .boxed()
    };
    Union::new(entries().into_iter().map(one))
}

fn frame_bytes(kind: u16, at: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header { len: u32::try_from(payload.len()).unwrap(), kind, at, ..Header::default() }.sealed(payload);
    [&header.to_bytes()[..], payload].concat()
}

/// Header fields near the bounds as well as anywhere.
fn headers() -> impl Strategy<Value = Header> {
    let kind = prop_oneof![select(Kind::ALL).prop_map(Kind::number), 0u16..300, any::<u16>()];
    let len = prop_oneof![0u32..100, 65_530u32..65_600, (RANGE_BYTES_MAX - 4)..(2 * RANGE_BYTES_MAX), any::<u32>()];
    (len, kind, any::<[u64; 3]>(), any::<[u32; 3]>()).prop_map(
        |(len, kind, [at, wall_us, tag], [mono_us, segment, crc])| Header {
            len,
            kind,
            at,
            wall_us,
            mono_us,
            segment,
            tag,
            crc,
        },
    )
}

#[test]
fn every_message_survives() {
    // The strategies themselves write each value, read it and compare.
    for entry in entries() {
        seeded::check(100, &entry.payloads, |payload| {
            assert!(payload.len() <= entry.kind.payload_bytes_max() as usize, "{:?}", entry.kind);
            assert_eq!(wire::reencode(entry.kind, &payload), Ok(payload), "{:?}", entry.kind);
        });
    }
}

#[test]
fn every_prefix_of_a_frame_waits() {
    seeded::check(400, &frames(), |bytes| {
        for end in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..end]), Ok(None), "after {end} of {} bytes", bytes.len());
        }
        let frame = Frame::parse(&bytes).unwrap().unwrap();
        assert_eq!((frame.total_bytes(), frame.payload), (bytes.len(), &bytes[HEADER_BYTES..]));
    });
}

#[test]
fn a_stream_of_frames_reads_the_same_however_it_is_cut() {
    let streams = (vec(frames(), 1..6), vec(any::<Index>(), 0..8));
    seeded::check(200, &streams, |(frames, cuts)| {
        let stream = frames.concat();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([stream.len()]).collect();
        ends.sort_unstable();
        let (mut buffer, mut read, mut fed) = (Vec::new(), Vec::new(), 0);
        for end in ends {
            buffer.extend_from_slice(&stream[fed..end]);
            fed = end;
            while let Some(frame) = Frame::parse(&buffer).unwrap() {
                let used = frame.total_bytes();
                read.push(buffer.drain(..used).collect::<Vec<u8>>());
            }
        }
        assert_eq!(read, frames);
        assert!(buffer.is_empty());
    });
}

#[test]
fn a_header_is_taken_exactly_when_it_is_within_its_bounds() {
    seeded::check(4000, &headers(), |header| {
        let parsed = Header::parse(&header.to_bytes());
        match Kind::from_number(header.kind) {
            Some(kind) if header.len <= kind.payload_bytes_max() => assert_eq!(parsed, Ok(Some(header))),
            Some(kind) => {
                let (kind, max) = (header.kind, kind.payload_bytes_max());
                assert_eq!(parsed, Err(ProtoError::TooLarge { kind, len: header.len, max }));
            }
            None if Kind::is_record_number(header.kind) => {
                assert_eq!(parsed, Err(ProtoError::UnknownKind { kind: header.kind }));
            }
            // An unknown message is skipped, as long as it is no larger than a message may be.
            None if header.len as usize <= baton_proto::codec::CONTROL_BYTES_MAX => {
                assert_eq!(parsed, Ok(Some(header)));
                assert_eq!(header.known_kind(), None);
            }
            None => assert!(matches!(parsed, Err(ProtoError::TooLarge { .. }))),
        }
    });
}

#[test]
fn any_bytes_are_a_header_or_refused() {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        (headers(), vec(any::<u8>(), 0..100)).prop_map(|(header, tail)| { [&header.to_bytes()[..], &tail].concat() })
    ];
    let damage = proptest::option::weighted(0.5, (any::<Index>(), any::<u8>()));
    seeded::check(4000, &(bytes, damage), |(mut bytes, damage)| {
        if let Some((at, flip)) = damage.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Ok(Some(header)) = Header::parse(&bytes) {
            let max = header
                .known_kind()
                .map_or(baton_proto::codec::CONTROL_BYTES_MAX, |kind| kind.payload_bytes_max() as usize);
            assert!(header.len as usize <= max);
            assert_eq!(header.to_bytes(), bytes[..HEADER_BYTES], "a reserved field was let through");
        }
    });
}

#[test]
fn a_records_checksum_notices_every_flipped_bit() {
    seeded::check(200, &(frames(), any::<Index>(), 0u32..8), |(bytes, at, bit)| {
        let at = at.index(bytes.len());
        if (44..48).contains(&at) || (6..8).contains(&at) {
            return; // Reserved bytes: refused, not summed.
        }
        let mut bad = bytes.clone();
        bad[at] ^= 1 << bit;
        if let Ok(Some(frame)) = Frame::parse(&bad) {
            assert!(!frame.header.is_intact(frame.payload), "byte {at}, bit {bit}");
        }
    });
}

#[test]
fn a_message_with_bytes_too_many_or_too_few_is_refused() {
    for entry in entries().into_iter().filter(|entry| entry.is_message) {
        let cases = (entry.payloads.clone(), vec(any::<u8>(), 1..4), any::<Index>());
        seeded::check(50, &cases, |(payload, more, cut)| {
            let longer = [&payload[..], &more].concat();
            assert!(
                matches!(wire::reencode(entry.kind, &longer), Err(ProtoError::Body { .. })),
                "{:?} took more",
                entry.kind
            );
            if !payload.is_empty() {
                let shorter = &payload[..cut.index(payload.len())];
                assert!(wire::reencode(entry.kind, shorter).is_err(), "{:?} took less", entry.kind);
            }
        });
    }
}

#[test]
fn any_bytes_are_a_message_or_refused() {
    let kind = select(Kind::ALL);
    let noise = (kind.clone(), vec(any::<u8>(), 0..600));
    seeded::check(4000, &noise, |(kind, payload)| {
        let read = wire::reencode(kind, &payload);
        assert!(!RESERVED.contains(&kind) || read.is_err());
    });
    // A message with some bytes changed comes much further than noise.
    let mutated = kind.prop_flat_map(|kind| {
        let payloads = entries().into_iter().find(|entry| entry.kind == kind).map(|entry| entry.payloads);
        let changes = vec((any::<Index>(), any::<u8>()), 1..4);
        (Just(kind), payloads.unwrap_or_else(|| Just(Vec::new()).boxed()), changes)
    });
    seeded::check(1000, &mutated, |(kind, mut payload, changes)| {
        if !payload.is_empty() {
            for (at, byte) in changes {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        if let Ok(once) = wire::reencode(kind, &payload) {
            assert_eq!(wire::reencode(kind, &once), Ok(once.clone()));
        }
    });
}

#[test]
fn a_message_larger_than_a_peer_takes_is_not_written() {
    let mut out = vec![1, 2, 3];
    let close = |bytes: usize| Close { reason: "x".repeat(bytes), grace_ms: 0 };
    let written = write_message(Kind::Close, 1, &close(baton_proto::codec::CONTROL_BYTES_MAX), &mut out);
    assert!(matches!(written, Err(ProtoError::Body { .. })));
    assert_eq!(out, [1, 2, 3], "nothing of it stays behind");
    write_message(Kind::Close, 1, &close(baton_proto::codec::CONTROL_BYTES_MAX - 12), &mut out).unwrap();
    let frame = Frame::parse(&out[3..]).unwrap().unwrap();
    assert_eq!(frame.payload.len(), baton_proto::codec::CONTROL_BYTES_MAX);
}

#[test]
fn the_newest_shared_version_is_taken_or_none() {
    seeded::check(2000, &(s::hello(), 0u16..4, 0u16..4), |(hello, low, high)| {
        for hello in [hello.clone(), Hello { version_min: low, version_max: high, ..hello }] {
            let both =
                (hello.version_min..=hello.version_max).filter(|v| (VERSION_MIN..=VERSION_MAX).contains(v)).max();
            assert_eq!(hello.shared_version().ok(), both);
        }
    });
}

#[test]
fn only_the_key_the_direction_and_the_nonces_of_this_talk_prove() {
    let talks = (s::hello(), s::welcome(), any::<[[u8; 32]; 3]>(), any::<u16>());
    seeded::check(300, &talks, |(hello, welcome, [key, other, nonce], version)| {
        let (right, wrong) = (InstallKey::new(key), InstallKey::new(other));
        let proof = Proof { proof: right.dialler_proof(&hello, version, &nonce) };
        assert!(right.believes_dialler(&hello, version, &nonce, &proof));
        assert_eq!(wrong.believes_dialler(&hello, version, &nonce, &proof), key == other);
        let later = Hello { nonce: other, ..hello.clone() };
        assert_eq!(right.believes_dialler(&later, version, &nonce, &proof), other == hello.nonce, "a replayed proof");
        let welcome = Welcome { version, nonce, proof: right.listener_proof(&hello, version, &nonce), ..welcome };
        assert!(right.believes_listener(&hello, &welcome));
        assert!(!right.believes_listener(&hello, &Welcome { proof: proof.proof, ..welcome }), "a reflected proof");
    });
}

#[test]
fn ids_and_cursors_survive_text_and_any_text_is_one_or_refused() {
    seeded::check(
        500,
        &(s::session_id(), s::instance_id(), any::<u64>(), s::client_id()),
        |(session, instance, offset, client)| {
            assert_eq!(session.to_string().parse(), Ok(session));
            assert!(session.to_string().parse::<WorkspaceId>().is_err());
            assert_eq!(client.as_str().parse(), Ok(client.clone()));
            let cursor = Cursor { instance, offset };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
            let json = serde_json::to_string(&(session, cursor, &client)).unwrap();
            assert_eq!(serde_json::from_str::<(_, Cursor, _)>(&json).unwrap(), (session, cursor, client));
            let name = session.socket_name();
            assert!(name.len() == 8 && name.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        },
    );
    let texts =
        prop_oneof![any::<String>(), "(ins|ses)_[0-9a-fA-F:+]{0,40}", "agent:[ -~]{0,70}", "[0-9a-fA-F-]{30,40}"];
    seeded::check(2000, &texts, |text| {
        if let Ok(cursor) = text.parse::<Cursor>() {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        if let Ok(client) = text.parse::<baton_proto::ClientId>() {
            assert_eq!(client.as_str().parse(), Ok(client.clone()));
            assert!(client.as_str().len() <= 70);
        }
    });
}

#[test]
fn any_bytes_are_one_launch_message_or_none() {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..100),
        (s::session_id(), 1u16..10, any::<u32>(), any::<i64>(), any::<Index>(), any::<u8>()).prop_map(
            |(session, op, pid, arg, at, flip)| {
                let mut bytes = [0; LAUNCH_BYTES];
                bytes[0..4].copy_from_slice(b"BtL1");
                bytes[4..6].copy_from_slice(&op.to_le_bytes());
                bytes[8..24].copy_from_slice(session.uuid().as_bytes());
                bytes[24..28].copy_from_slice(&pid.to_le_bytes());
                bytes[32..40].copy_from_slice(&arg.to_le_bytes());
                assert!(LaunchMessage::from_bytes(&bytes).is_some_and(|message| message.to_bytes() == bytes));
                bytes[at.index(LAUNCH_BYTES)] ^= flip;
                bytes.to_vec()
            }
        ),
    ];
    seeded::check(2000, &bytes, |bytes| {
        if let Some(message) = LaunchMessage::from_bytes(&bytes) {
            assert_eq!(message.to_bytes()[..], bytes);
        }
    });
}
