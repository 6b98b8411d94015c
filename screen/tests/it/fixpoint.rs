//! A snapshot restores what it was made of.

use baton_proto::v1::Dimensions;
use baton_screen::Screen;

use crate::compare::{difference, readable};

fn size(cols: u16, rows: u16) -> Dimensions {
    Dimensions { cols, rows }
}

#[track_caller]
fn check(bytes: &[u8], size: Dimensions) {
    let mut whole = Screen::new(size);
    whole.feed(bytes, &mut Vec::new());
    let snapshot = whole.snapshot(0);
    let restored = Screen::restore(size, 0, whole.boundary(), &snapshot);
    if let Some(difference) = difference(&whole.view(0), &restored.view(0)) {
        panic!("after {:?}\nas {}\n{difference}", readable(bytes), readable(&snapshot));
    }
    assert_eq!(readable(&restored.snapshot(0)), readable(&snapshot));
}

#[test]
fn of_what_programs_do() {
    let small = size(10, 4);
    for bytes in [
        &b""[..],
        b"hello",
        b"0123456789",
        b"0123456789\x1b[m",
        b"0123456789a",
        b"0123456789\x1b[2K",
        b"\x1b[31;1mred\x1b[0m plain \x1b[48;2;1;2;3mbg\x1b[K",
        b"\x1b[2;3r\x1b[?6h\x1b[2;2Hx",
        b"\x1b[?1049h\x1b[5;5Halt",
        b"main\x1b7\x1b[?47halt\x1b[3;3H\x1b7",
        "日本語日本語日本".as_bytes(),
        "012345678日本".as_bytes(),
        "e\u{301}x\u{301}".as_bytes(),
        b"\x1b(0lqk\x1b(B\x0e\x1b)0q",
        b"\x1b[4habc\x1b[Gxy",
        b"\x1b]8;id=a;http://x\x1b\\link\x1b]8;;\x1b\\ \x1b]2;title\x07\x1b]7;file:///tmp\x07",
        b"\x1b[3g\x1b[5G\x1bH\x1b[>1u\x1b[>5u\x1b[?1003;1006;2004;1004h\x1b[5 q",
        b"0123456789abc\r\x1b[A\x1b[2K",
        b"\x1b[41m0123456789abc\x1b[2;1H\x1b[X\x1b[1;10H\x1b[X",
        b"\x1b[1\"qprot\x1b[0\"q\x1b[53mover\x1b[58:2::1:2:3;4:3mcurly",
    ] {
        check(bytes, small);
    }
}

/// What a phone on a bad line has to wait for: a screen full of colours, as a system monitor or an editor fills it.
#[test]
fn a_full_screen_is_small() {
    let size = size(120, 40);
    let mut monitor = Vec::new();
    let mut editor = Vec::new();
    for row in 1..=40 {
        monitor.extend_from_slice(
            format!(
                "\x1b[{row};1H\x1b[32m{:>7}\x1b[0m user \x1b[1m{:>4}\x1b[0m \x1b[36m{:>6}M\x1b[0m \x1b[31m||||||||\x1b[90m      {:>5}%\x1b[39m \x1b[1;34m/usr/bin/\x1b[0;1mprogram{row}\x1b[0m --with=some --options{:<42}",
                row * 37, row % 20, row * 11, row, ""
            )
            .as_bytes(),
        );
        editor.extend_from_slice(
            format!(
                "\x1b[{row};1H\x1b[38;2;99;109;131m{row:>4} \x1b[38;2;198;120;221mlet \x1b[38;2;224;108;117mname{row}\x1b[38;2;171;178;191m = \x1b[38;2;97;175;239mcall\x1b[38;2;171;178;191m(\x1b[38;2;209;154;102m{row}\x1b[38;2;171;178;191m);\x1b[48;2;40;44;52m\x1b[K\x1b[49m"
            )
            .as_bytes(),
        );
    }
    for stream in [monitor, editor] {
        let mut screen = Screen::new(size);
        screen.feed(&stream, &mut Vec::new());
        let bytes = screen.snapshot(0).len();
        assert!(bytes <= 16 * 1024, "{bytes} bytes");
    }
    assert!(Screen::new(size).snapshot(0).len() < 1024);
}
