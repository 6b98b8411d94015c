//! Any bytes: no panic, no unbounded time, and the same screen from a snapshot.

use baton_proto::v1::Dimensions;
use baton_screen::hostile::any_bytes;
use baton_screen::{Screen, What};
use proptest::prelude::*;

use crate::compare::difference;
use crate::streams;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
        any_bytes(&data);
    }

    #[test]
    fn nearly_well_formed(head in any::<[u8; 3]>(), stream in streams::stream(40), broken in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut data = [head.as_slice(), &stream].concat();
        for (index, byte) in broken {
            let at = index.index(data.len());
            data[at] = byte;
        }
        any_bytes(&data);
    }
}

/// A string too long to wait for: those who join inside of it are told where they are, and see what the others see.
#[test]
fn joined_inside_of_a_string_without_end() {
    let size = Dimensions { cols: 20, rows: 4 };
    for (begin, end) in [
        (&b"\x1b]1337;File=:"[..], &b"\x07"[..]),
        (b"\x1b]52;c;", b"\x1b\\"),
        (b"\x1bPq", b"\x1b\\"),
        (b"\x1b_G", b"\x1b\\"),
        (b"\x1bX", b"\x1b\\"),
        (b"\x1b[", b"m"),
        (b"\x1b(", b"B"),
    ] {
        let filler = if begin.len() == 2 && matches!(begin[1], b'[' | b'(') { b"\r".as_slice() } else { b"A" };
        let stream = [b"before", begin, &filler.repeat(100_000), end, b"after\r\n\x1b[1mend"].concat();
        let mut whole = Screen::new(size);
        whole.feed(&stream, &mut Vec::new());
        for cut in [
            5,
            7,
            9,
            20,
            60_000,
            65_000,
            66_000,
            70_000,
            100_010,
            stream.len() - 17,
            stream.len() - 16,
            stream.len() - 15,
        ] {
            let mut before = Screen::new(size);
            before.feed(&stream[..cut], &mut Vec::new());
            let boundary = usize::try_from(before.boundary()).unwrap();
            assert!(cut - boundary <= 64 * 1024 + 8, "{boundary} is far before {cut}");
            let mut joined = Screen::restore(size, 0, before.boundary(), &before.snapshot(0));
            assert_eq!(joined.boundary(), before.boundary());
            joined.feed(&stream[boundary..], &mut Vec::new());
            let difference = difference(&whole.view(0), &joined.view(0));
            assert!(difference.is_none(), "joined at {cut}, {boundary}: {}", difference.unwrap());
        }
    }
}

#[test]
fn a_string_too_long_is_not_acted_upon_and_the_next_one_is() {
    let mut screen = Screen::new(Dimensions { cols: 20, rows: 4 });
    let mut seen = Vec::new();
    screen.feed(&[b"\x1b]2;", b"long".repeat(2000).as_slice(), b"\x07\x1b]2;short\x07"].concat(), &mut seen);
    assert_eq!(screen.title(), Some("short"));
    assert_eq!(seen.iter().filter(|seen| seen.what == What::Modes).count(), 1);
}

#[test]
fn a_gap_begins_anew() {
    let mut screen = Screen::new(Dimensions { cols: 20, rows: 4 });
    screen.feed(b"kept \x1b]2;cut off", &mut Vec::new());
    screen.gap(1000);
    assert_eq!((screen.offset(), screen.boundary()), (1000, 1000));
    screen.feed(b"shown", &mut Vec::new());
    let text: String = screen.view(0).lines[0].cells.iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(text.trim_end(), "kept shown");
}
