//! What holds for any bytes at all: bodies of the fuzz targets of this crate, by their names. Each is beside its parsers.

/// A fuzz target's name, also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("text", crate::text::hostile::any_bytes),
    ("query", crate::routes::hostile::any_query),
    ("body", crate::routes::hostile::any_body),
    ("socket", crate::ws::hostile::any_bytes),
    ("recording", crate::recording::hostile::any_bytes),
    ("search", crate::search::hostile::any_bytes),
    ("policy", crate::policy::hostile::any_bytes),
    ("said", crate::exec::hostile::any_bytes),
];

/// Output records as the bytes say: pieces of them with headers that fit, at places that do or do not; other kinds of
/// records; and bytes that are none.
///
/// Each piece begins with what it is, how long it is and how far its place is off.
pub(crate) fn records(data: &[u8]) -> Vec<u8> {
    use baton_proto::frame::{Header, Kind};

    let (mut out, mut at, mut wall_us, mut rest) = (Vec::new(), 0u64, 1_700_000_000_000_000, data);
    while let Some(([what, len, off], behind)) = rest.split_first_chunk::<3>() {
        let (payload, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = behind;
        let kind = match what % 16 {
            0 => {
                // Not a record at all.
                out.extend_from_slice(payload);
                continue;
            }
            1 => Kind::Stderr,
            2 => Kind::InputMark,
            3 => Kind::Resize,
            4 => Kind::Mark,
            5 => Kind::Exit,
            6 => Kind::Gap,
            7 => Kind::Lease,
            _ => Kind::Output,
        };
        at = match off {
            0..=200 => at,
            201..=220 => at.saturating_add(u64::from(*off)),
            221..=240 => at.saturating_sub(u64::from(*off)),
            241..=250 => at.saturating_add(u64::from(*off) << 32),
            _ => u64::MAX - u64::from(255 - off),
        };
        wall_us += match off % 7 {
            0 => 3_600_000_000,
            step => u64::from(step) * 1000,
        };
        let header = Header {
            len: u32::try_from(payload.len()).unwrap_or(0),
            kind: kind.number(),
            at,
            wall_us: if off % 32 == 31 { u64::MAX } else { wall_us },
            mono_us: 0,
            segment: 1,
            tag: 7,
            crc: 0,
        };
        let header = if what / 16 == 15 { header } else { header.sealed(payload) };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(payload);
        if matches!(kind, Kind::Output | Kind::Stderr) {
            at = at.saturating_add(payload.len() as u64);
        }
    }
    out
}
