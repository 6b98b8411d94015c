use proptest::prelude::*;

use super::hostile::{Owned, any_bytes, hold, lines_cut};
use super::*;

fn lines(bytes: &[u8]) -> Vec<Owned> {
    lines_cut(bytes, 0, &[])
}

fn check(bytes: &[u8], expected: &[&str]) {
    let texts: Vec<String> = lines(bytes).into_iter().map(|(text, ..)| text).collect();
    assert_eq!(texts, expected, "{}", bytes.escape_ascii());
}

#[test]
fn plain_lines_are_what_they_are() {
    check(b"one\r\ntwo\nthree", &["one", "two", "three"]);
    check(b"\r\n\n a \r\n", &["", "", " a "]);
    check("grün 日本 🦀\r\n".as_bytes(), &["grün 日本 🦀"]);
    check(b"", &[]);
    assert_eq!(lines(b"ab\r\ncd"), [("ab".to_owned(), 2, 4), ("cd".to_owned(), 6, 6)]);
}

#[test]
fn sequences_vanish() {
    check(b"\x1b[1;31merror\x1b[0m: \x1b[38;2;1;2;3mno\x1b[4:3m\x1b(B such file\r\n", &["error: no such file"]);
    check(b"\x1b]0;title\x07a\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\ b\r\n", &["alink b"]);
    check(b"\x1bPq#0;2;0;0;0~~\x1b\\a\x1b_Gf=100;AAAA\x1b\\b\x1b^x\x1b\\c\x1bXy\x1b\\d", &["abcd"]);
    check(b"a\x1b]52;c;\x18b\x1b[12\x1ac\x07\x0e\x0f\x7f", &["abc"]);
    check("a\u{9b}31mb\u{9d}0;t\u{9c}c\u{85}d\u{90}q\u{9c}e".as_bytes(), &["abc", "de"]);
    check(b"a\x1b[?25l\x1b[?2004hb\x1b[>4;1mc\x1b[!pd\x1b[ qe", &["abcde"]);
    // A string of a megabyte that nobody ends.
    check(&[b"a\x1b]0;".as_slice(), &[b'x'; 1 << 20]].concat(), &["a"]);
}

#[test]
fn what_a_carriage_return_lets_be_overwritten_was_shown() {
    check(b"10%\r20%\r\x1b[K100%\r\ndone\r\n", &["10%", "20%", "100%", "done"]);
    check(b"\r\r\nx\r\r\n", &["", "x"]);
    check(b"%                    \r \r\r\x1b[0m\x1b[J$ ls\r\n", &["%                    ", "$ ls"]);
    assert_eq!(lines(b"a\rb"), [("a".to_owned(), 1, 2), ("b".to_owned(), 3, 3)]);
}

#[test]
fn editing_within_a_line_is_followed() {
    check(b"lx\x08s\r\n", &["ls"]);
    check(b"abc\x08\x08\x1b[K\r\n", &["a"]);
    check(b"abc\x08 \x08\r\n", &["ab"]);
    check(b"abcd\x1b[3D\x1b[Px\r\n", &["axd"]);
    check(b"ad\x08\x1b[2@bc\r\n", &["abcd"]);
    check(b"abcd\x1b[4D\x1b[C\x1b[2X\r\n", &["a  d"]);
    check("日本\x08語\r\n".as_bytes(), &["日語"]);
    check(b"a\tb\t\tc\r\n", &["a       b               c"]);
    check(b"name\x1b[20Gvalue\x1b[3b\r\n", &["name               valueeee"]);
    check(b"ab\x1b[5Ccd\r\n", &["ab     cd"]);
}

#[test]
fn each_piece_that_a_full_screen_program_paints_is_a_line() {
    check(
        b"\x1b[?1049h\x1b[2J\x1b[1;1Htop - 12:00\x1b[2;5HTasks:\x1b[2;20H7\x1b[24dstatus\x1b[?1049l$ ",
        &["top - 12:00", "Tasks:", "7", "status", "$ "],
    );
    check(b"\x1b[5;21Hab\x1b[30Gcd\x1b[10Gef", &["ab       cd", "         ef"]);
    check(b"one\x1b[1A\x1b[2Ktwo\x1b[Hthree", &["one", "two", "three"]);
}

#[test]
fn what_is_no_text_is_replaced() {
    check(b"a\xffb\xc3\r\n\xe2\x82\r\n\xe2\x82", &["a\u{fffd}b\u{fffd}", "\u{fffd}", "\u{fffd}"]);
    check(b"\x80\x9b31m", &["\u{fffd}\u{fffd}31m"]);
}

#[test]
fn a_hole_ends_the_line_and_what_was_half_read() {
    let mut stripper = Stripper::new(10);
    let mut lines = Vec::new();
    let mut sink = |line: Line<'_>| lines.push((line.text.to_owned(), line.end, line.next));
    stripper.feed(b"before\x1b]0;ti", &mut sink);
    stripper.skip_to(100, &mut sink);
    stripper.feed(b"after\r\n", &mut sink);
    assert_eq!(lines, [("before".to_owned(), 16, 100), ("after".to_owned(), 105, 107)]);
}

#[test]
fn the_unfinished_line_can_be_looked_at() {
    let mut stripper = Stripper::new(0);
    let mut sink = |_: Line<'_>| {};
    stripper.feed(b"x\r\n\x1b[1mpassword\x1b[0m: ", &mut sink);
    assert_eq!(stripper.unfinished(), "password: ");
}

#[test]
fn long_lines_are_cut_and_nothing_is_lost() {
    let text = "0123456789ü".repeat(30_000);
    let cut = lines(text.as_bytes());
    assert!(cut.len() > 1 && cut.iter().all(|(text, ..)| text.len() <= LINE_BYTES_MAX));
    assert_eq!(cut.iter().map(|(text, ..)| text.as_str()).collect::<String>(), text);
    hold(&text.as_bytes()[..LINE_BYTES_MAX + 30], &[7, LINE_BYTES_MAX - 1, LINE_BYTES_MAX]);
}

/// Streams that are nothing but the costliest sequences must not take longer than their size allows.
#[test]
fn hostile_streams_cost_time_in_proportion() {
    let filler = "x".repeat(60 << 10);
    let wide = "ü".repeat(30 << 10);
    for unit in [
        "\x1b[9999b",
        "\x1b[9999C",
        "\x1b[9999D\x1b[@\x1b[P",
        "\x08",
        "\t",
        "\x1b[9999D",
        "\x1b[9999I",
        "\u{84}",
        "\x1b[H",
        "\x1b",
        "\x1b[",
        "\x1bP\x07",
        "é\x08",
        "\x1b[2000G",
        "\u{9b}",
        "\x1b]\x1b",
    ] {
        for line in [&filler, &wide] {
            let bytes = [line.as_bytes(), unit.repeat((256 << 10) / unit.len()).as_bytes()].concat();
            let mut stripper = Stripper::new(0);
            let begun = std::time::Instant::now();
            let mut longest = 0;
            stripper.feed(&bytes, &mut |line: Line<'_>| longest = longest.max(line.text.len()));
            assert!(longest <= 4 * LINE_BYTES_MAX, "{unit:?}");
            // Half a minute a megabyte in a build without optimisation; what is quadratic takes minutes.
            assert!(begun.elapsed().as_secs() < 20, "{unit:?} took {:?}", begun.elapsed());
        }
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        4 => "[a-z ]{1,9}".prop_map(String::into_bytes),
        1 => "[äöü日🦀]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..6),
        2 => prop_oneof![fixed("\r\n"), fixed("\n"), fixed("\r"), fixed("\x08"), fixed("\t"), fixed("\x1b"), fixed("\x07")],
        3 => (prop_oneof![Just(""), Just("?")], prop_oneof![Just(""), Just("1"), Just("3;7"), Just("1049"), Just("0")],
              prop::sample::select(b"ABCDGHJKPX@bdmhlI`".to_vec()))
            .prop_map(|(mark, number, end)| format!("\x1b[{mark}{number}{}", char::from(end)).into_bytes()),
        1 => prop_oneof![fixed("\x1b]0;t\x07"), fixed("\x1bPx\x1b\\"), fixed("\u{9b}1m"), fixed("\u{85}"), fixed("\x1bM"),
                         fixed("\x1b[\n1m"), fixed("\x1bE"), fixed("\u{9d}x\u{9c}")],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn terminal_output_holds(pieces in prop::collection::vec(piece(), 0..24), cuts in prop::collection::vec(0usize..400, 0..6)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        hold(&pieces.concat(), &cuts);
    }

    #[test]
    fn any_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0usize..200, 0..6)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        hold(&bytes, &cuts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    // The fuzz target's body, over bytes of every sort and over those that mean something to a terminal.
    #[test]
    fn any_bytes_hold_as_the_fuzzer_holds_them(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(
                prop::sample::select(b"\x1b[]0;1mKJHPX\\ab\r\n\x08\t\x07\x9c\xc2\x9b\xe2\x82\xac\xf0\x9f\xa6\x80@bCD?".to_vec()),
                0..300,
            ),
        ],
    ) {
        any_bytes(&bytes);
    }
}
