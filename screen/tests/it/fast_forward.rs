//! Skipping what nobody sees is seen by nobody.

use baton_screen::Screen;
use proptest::prelude::*;

use crate::compare::{difference, readable};
use crate::streams;

/// A stretch of lines as logs and builds write them, now and then with something in it that must not be skipped.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => "[a-z ]{0,30}",
        2 => "[a-z\t]{0,12}(\x1b\\[[0-9;]{0,5}m[a-z]{0,6}){0,3}",
        1 => "[a-z漢é日]{0,20}",
        1 => "\x1b\\[(0|1;31|48;5;17|7|4:3|58:2::1:2:3)?m",
        1 => "[ -~]{60,90}",
    ];
    let end = prop_oneof![20 => Just("\r\n"), 2 => Just("\n"), 1 => Just("\r"), 1 => Just("\n\r")];
    let lines = prop::collection::vec((line, end), 1..12)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| format!("{line}{end}")).collect::<String>().into_bytes());
    // As often as makes a flood.
    (lines, 20usize..120).prop_map(|(lines, times)| lines.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn or_nothing_is_skipped(
        size in streams::size(),
        before in streams::stream(12),
        flood in prop::collection::vec(prop_oneof![4 => lines(), 1 => streams::stream(4)], 1..4),
        after in streams::stream(6),
        cut in prop_oneof![Just(usize::MAX), 1usize..9000],
    ) {
        let stream = [before, flood.concat(), after].concat();
        let (mut skipping, mut plain) = (Screen::new(size), Screen::new(size));
        let (mut seen, mut seen_plainly) = (Vec::new(), Vec::new());
        for piece in stream.chunks(cut) {
            skipping.feed(piece, &mut seen);
            plain.feed_plainly(piece, &mut seen_plainly);
        }
        let difference = difference(&plain.view(0), &skipping.view(0));
        prop_assert!(difference.is_none(), "{}", difference.unwrap());
        prop_assert_eq!(readable(&skipping.snapshot(0)), readable(&plain.snapshot(0)));
        prop_assert_eq!(seen, seen_plainly);
        prop_assert_eq!((skipping.offset(), skipping.boundary()), (plain.offset(), plain.boundary()));
    }
}
