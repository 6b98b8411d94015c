//! What sequences do, where terminals are not of one mind and ours is of xterm.js's, or where it was wrong once.

use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use baton_screen::view::{Colour, MouseEncoding, Shape, Underline};

fn after(cols: u16, rows: u16, text: &str) -> Screen {
    let mut screen = Screen::new(Dimensions { cols, rows });
    screen.feed(text.as_bytes(), &mut Vec::new());
    screen
}

/// The rows as text, `_` for the second half of a wide character, and the cursor.
#[track_caller]
fn check(cols: u16, rows: u16, text: &str, shown: &[&str], cursor: (u16, u16)) {
    let view = after(cols, rows, text).view(0);
    let lines: Vec<String> = view
        .lines
        .iter()
        .map(|line| {
            let text: String =
                line.cells.iter().map(|cell| if cell.width == 0 { "_" } else { cell.text.as_str() }).collect();
            text.trim_end().to_owned()
        })
        .collect();
    assert_eq!(lines, shown);
    assert_eq!((view.cursor.row, view.cursor.col), cursor);
}

#[test]
fn lines_wrap_when_the_next_character_comes() {
    check(5, 3, "abcde", &["abcde", "", ""], (0, 4));
    assert!(after(5, 3, "abcde").view(0).cursor.wrap_pending);
    check(5, 3, "abcde\r\nf", &["abcde", "f", ""], (1, 1));
    check(5, 3, "abcdef", &["abcde", "f", ""], (1, 1));
    assert!(after(5, 3, "abcdef").view(0).lines[0].wrapped);
    assert!(!after(5, 3, "abcde\r\nf").view(0).lines[0].wrapped);
    check(5, 3, "abcde\x1b[?7lfgh", &["abcdh", "", ""], (0, 4));
}

#[test]
fn wide_characters_are_whole_or_not_there() {
    check(5, 2, "abcd漢", &["abcd", "漢_"], (1, 2));
    check(5, 2, "漢字\x1b[2Gx", &[" x字_", ""], (0, 2));
    check(5, 2, "漢字\x1b[1Gx", &["x 字_", ""], (0, 1));
    check(6, 2, "漢字\x1b[2G\x1b[P", &[" 字_", ""], (0, 1));
    check(6, 1, "漢字\x1b[2G\x1b[X", &["  字_"], (0, 1));
}

#[test]
fn combining_characters_join_the_cell_before_the_cursor() {
    check(5, 1, "e\u{301}x", &["e\u{301}x"], (0, 2));
    check(5, 1, "e\x1b[1m\u{301}", &["e\u{301}"], (0, 1));
    check(5, 1, "abcde\u{301}", &["abcde\u{301}"], (0, 4));
}

#[test]
fn what_is_repeated_was_printed_last() {
    check(7, 2, "ab\x1b[2b", &["abbb", ""], (0, 4));
    check(7, 2, "ab\x1b[m\x1b[2b", &["ab", ""], (0, 2));
    // More than a screenful, three wide ones to a line.
    let cursor = |count: usize| {
        let repeated = after(7, 2, &format!("漢\x1b[{}b", count - 1)).view(0).cursor;
        let written = after(7, 2, &"漢".repeat(count)).view(0).cursor;
        (repeated, written)
    };
    for count in [2, 6, 20, 21, 22, 100, 5001] {
        let (repeated, written) = cursor(count);
        assert_eq!(repeated, written, "{count}");
    }
}

#[test]
fn regions_scroll_by_themselves() {
    check(5, 4, "1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\nx", &["1", "3", "x", "4"], (2, 1));
    check(5, 4, "1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[2;1H\x1bMx", &["1", "x", "2", "4"], (1, 1));
    check(5, 3, "1\r\n2\r\n3\x1b[2;1H\x1b[M", &["1", "3", ""], (1, 0));
    check(5, 3, "1\r\n2\r\n3\x1b[2;1H\x1b[9L", &["1", "", ""], (1, 0));
}

#[test]
fn erasing_leaves_the_background_and_nothing_else() {
    let view = after(5, 1, "\x1b[1;4;31;44mab\x1b[K").view(0);
    let style = view.lines[0].cells[3].style;
    assert_eq!(
        (style.bg, style.fg, style.bold, style.underline),
        (Colour::Indexed(4), Colour::Default, false, Underline::None)
    );
}

#[test]
fn the_alternate_screen_is_empty_each_time() {
    check(5, 2, "main\x1b[?1049h\x1b[Halt\x1b[?1049l!", &["main!", ""], (0, 4));
    check(5, 2, "main\x1b[?1049h\x1b[Halt\x1b[?1049l\x1b[?1049h", &["", ""], (0, 4));
    check(5, 2, "a\x1b[?47hb\x1b[?47lc", &["a c", ""], (0, 3));
}

#[test]
fn decaln_fills_with_plain_lines() {
    let view = after(3, 2, "\x1b]8;;http://a\x07\x1b[21;58:5:1;7m\x1b#8").view(0);
    let cell = &view.lines[1].cells[2];
    assert_eq!(
        (cell.text.as_str(), cell.link, cell.style.underline, cell.style.inverse),
        ("E", None, Underline::Single, true)
    );
}

#[test]
fn the_cursor_is_shaped_and_blinks() {
    let cursor = |text: &str| {
        let cursor = after(3, 1, text).view(0).cursor;
        (cursor.shape, cursor.blinking)
    };
    assert_eq!(cursor("\x1b[5 q"), (Shape::Bar, true));
    assert_eq!(cursor("\x1b[4 q"), (Shape::Underline, false));
    assert_eq!(cursor("\x1b[4 q\x1b[ q"), (Shape::Default, false));
    assert_eq!(cursor("\x1b[?12h"), (Shape::Default, true));
    assert_eq!(cursor("\x1b[?12h\x1b[8 q"), (Shape::Default, false));
}

#[test]
fn mouse_encodings_hide_each_other() {
    let encoding = |text: &str| after(3, 1, text).modes().mouse_encoding;
    assert_eq!(encoding("\x1b[?1005;1006h"), MouseEncoding::Sgr);
    assert_eq!(encoding("\x1b[?1006;1005h"), MouseEncoding::Utf8);
    assert_eq!(encoding("\x1b[?1006;1005h\x1b[?1005l"), MouseEncoding::Sgr);
    assert_eq!(encoding("\x1b[?1016h\x1b[?1006l"), MouseEncoding::Default);
}
