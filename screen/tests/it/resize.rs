//! Sizes change in the middle of everything.

use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use proptest::prelude::*;

use crate::compare::{difference, readable};
use crate::streams;

fn text(screen: &Screen, history: usize) -> Vec<String> {
    let view = screen.view(history);
    let line = |line: &baton_screen::view::Line| {
        let text: String = line.cells.iter().map(|cell| cell.text.as_str()).collect();
        text.trim_end().to_owned()
    };
    view.history.iter().chain(&view.lines).map(line).collect()
}

#[test]
fn wrapped_lines_are_joined_and_cut_anew() {
    let mut screen = Screen::with_history(Dimensions { cols: 10, rows: 6 }, 10);
    screen.feed("abcdefghijklmno\r\n日本語日本語\r\n$ ".as_bytes(), &mut Vec::new());
    assert_eq!(text(&screen, 10), ["abcdefghij", "klmno", "日本語日本", "語", "$", ""]);
    screen.resize(Dimensions { cols: 20, rows: 6 });
    assert_eq!(text(&screen, 10), ["abcdefghijklmno", "日本語日本語", "$", "", "", ""]);
    assert_eq!((screen.view(0).cursor.row, screen.view(0).cursor.col), (2, 2));
    screen.resize(Dimensions { cols: 5, rows: 4 });
    assert_eq!(text(&screen, 10), ["abcde", "fghij", "klmno", "日本", "語日", "本語", "$"]);
    assert_eq!((screen.view(0).cursor.row, screen.view(0).cursor.col), (3, 2));
    screen.resize(Dimensions { cols: 15, rows: 6 });
    assert_eq!(text(&screen, 10), ["abcdefghijklmno", "日本語日本語", "$", "", "", "", ""]);
    screen.resize(Dimensions { cols: 5, rows: 3 });
    screen.resize(Dimensions { cols: 15, rows: 3 });
    // A line that was cut at the screen's top stays cut there.
    assert_eq!(text(&screen, 10), ["abcdefghijklmno", "日本", "語日本語", "$", ""]);
}

#[test]
fn the_cursor_keeps_its_line() {
    let mut screen = Screen::new(Dimensions { cols: 10, rows: 4 });
    screen.feed(b"one\r\ntwo\r\nthree\r\nfour", &mut Vec::new());
    screen.resize(Dimensions { cols: 10, rows: 2 });
    assert_eq!(text(&screen, 0), ["three", "four"]);
    assert_eq!((screen.view(0).cursor.row, screen.view(0).cursor.col), (1, 4));
    screen.resize(Dimensions { cols: 10, rows: 4 });
    assert_eq!(text(&screen, 0), ["three", "four", "", ""]);
}

#[test]
fn what_went_above_stays_there() {
    let mut screen = Screen::with_history(Dimensions { cols: 10, rows: 4 }, 4);
    screen.feed(b"one\r\ntwo\r\nthree\r\nfour", &mut Vec::new());
    screen.resize(Dimensions { cols: 10, rows: 1 });
    assert_eq!(text(&screen, 9), ["one", "two", "three", "four"]);
    screen.resize(Dimensions { cols: 10, rows: 3 });
    assert_eq!(text(&screen, 0), ["four", "", ""]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines that are kept above the screen make no difference on it.
    #[test]
    fn a_screen_is_the_same_with_history_and_without(
        history in 1usize..20,
        first in streams::size(),
        steps in prop::collection::vec((streams::stream(12), streams::size()), 1..6),
    ) {
        let (mut with, mut without) = (Screen::with_history(first, history), Screen::new(first));
        for (stream, size) in &steps {
            for screen in [&mut with, &mut without] {
                screen.feed(stream, &mut Vec::new());
                screen.resize(*size);
            }
            let difference = difference(&with.view(0), &without.view(0));
            prop_assert!(difference.is_none(), "{}", difference.unwrap());
            prop_assert_eq!(readable(&with.snapshot(0)), readable(&without.snapshot(0)));
        }
    }

    /// A snapshot made after any sizes restores, and both go on alike through more of them.
    #[test]
    fn a_snapshot_goes_on_as_its_original(
        history in prop::sample::select(vec![0usize, 0, 3, 100]),
        first in streams::size(),
        before in prop::collection::vec((streams::stream(12), streams::size()), 1..5),
        after in prop::collection::vec((streams::stream(8), streams::size()), 0..3),
    ) {
        let mut whole = Screen::with_history(first, history);
        for (stream, size) in &before {
            whole.feed(stream, &mut Vec::new());
            whole.resize(*size);
        }
        // In a single row, a snapshot cannot go back to a line above it to take out the blank that made it wrap.
        prop_assume!(whole.size().rows > 1 || history == 0);
        whole.gap(whole.offset());
        let mut restored = Screen::restore(whole.size(), history, whole.boundary(), &whole.snapshot(history));
        let step = |whole: &Screen, restored: &Screen, history: usize| {
            let difference = difference(&whole.view(history), &restored.view(history));
            prop_assert!(difference.is_none(), "{}\n{first:?} {:?}\n{}", difference.unwrap(), before.iter().map(|(stream, size)| (readable(stream), size)).collect::<Vec<_>>(), readable(&whole.snapshot(history)));
            prop_assert_eq!(readable(&whole.snapshot(history)), readable(&restored.snapshot(history)));
            Ok(())
        };
        step(&whole, &restored, history)?;
        for (stream, size) in &after {
            for screen in [&mut whole, &mut restored] {
                screen.feed(stream, &mut Vec::new());
                screen.resize(*size);
                screen.gap(screen.offset());
            }
            step(&whole, &restored, history)?;
        }
    }
}
