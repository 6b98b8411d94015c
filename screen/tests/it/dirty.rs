//! A client that was in the middle of something else shows what a fresh one shows.

use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use proptest::prelude::*;

use crate::compare::{difference, readable};
use crate::streams;

const DIRTY: &[&[u8]] = &[
    // Stale text, scrolled, with colours of its own.
    b"\x1b]4;1;#123456\x07\x1b]11;#fff\x07\x1b[44mold\r\nold\r\nold\r\nold\r\nold\r\nold\r\nold\x1b[5 q",
    // The alternate screen, a region in origin mode, tabs, a saved cursor.
    b"\x1b[?1049hother\x1b[2;3r\x1b[?6h\x1b[3g\x1b7\x1b[>3u",
    // A shifted character set, a pen, a link, insert mode, no autowrap.
    b"\x1b)0\x0e\x1b[1;3;4:3;7;58:5:3m\x1b]8;;http://old/\x07\x1b[4h\x1b[20h\x1b[?7lxyz\x1b[1\"q",
    // A string that never ended.
    b"\x1b]2;title and no end",
    b"\x1bP1$qm",
    b"\x1b_application",
    // Half a sequence, half a character.
    b"\x1b[38;2;1",
    b"\x1b(",
    b"\xe6\x97",
    // A synchronised update, mouse and paste modes, an invisible cursor.
    b"\x1b[?2026h\x1b[?1003;1006;1004;2004;1;66;45;5h\x1b[?25l\x1b[>4;2m",
];

fn check(dirt: &[u8], stream: &[u8], size: Dimensions) -> Result<(), TestCaseError> {
    let mut screen = Screen::new(size);
    screen.feed(stream, &mut Vec::new());
    let snapshot = screen.snapshot(0);
    let mut fresh = Screen::restore(size, 0, 0, &snapshot);
    let mut client = Screen::new(size);
    client.feed(dirt, &mut Vec::new());
    client.feed(&snapshot, &mut Vec::new());
    for rest in [b"".as_slice(), b"x", b"\x1b8\x1b[?1049l\x1b8y\tz\r\n"] {
        fresh.feed(rest, &mut Vec::new());
        client.feed(rest, &mut Vec::new());
        let difference = difference(&fresh.view(0), &client.view(0));
        prop_assert!(
            difference.is_none(),
            "{}\nafter {} and {}\n{}",
            difference.unwrap(),
            readable(dirt),
            readable(&snapshot),
            readable(rest)
        );
    }
    Ok(())
}

#[test]
fn whatever_was_going_on() {
    let size = Dimensions { cols: 12, rows: 4 };
    for dirt in DIRTY {
        for stream in
            [&b""[..], b"$ ls\r\nfile\r\n$ ", b"\x1b[?1049h\x1b[31mfull\x1b[2;3r\x1b[?6h", b"0123456789abcd\x1b7"]
        {
            check(dirt, stream, size).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn and_at_random(dirt in streams::stream(16), last in prop::sample::select(DIRTY), stream in streams::stream(16), size in streams::size()) {
        // Whether its own cursor blinks a terminal cannot be told to forget.
        check(&[&dirt, b"\x1b[?12l".as_slice(), last].concat(), &stream, size)?;
    }
}
