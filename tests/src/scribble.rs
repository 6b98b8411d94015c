//! Random output of programs that know every sequence there is, and of some that know none.

use crate::seed::Seed;

/// Text that terminals disagree about sooner or later.
const WORDS: [&str; 16] = [
    "hello",
    "x",
    "   ",
    "a b",
    "0123456789",
    "ünïcödé",
    "日本語",
    "中",
    "한국",
    "👍",
    "é",
    "e\u{301}",
    "o\u{308}\u{323}",
    "👨\u{200d}👩\u{200d}👧",
    "❤\u{fe0f}",
    "┌──┐",
];

/// Modes with a number, by `CSI ? n h` and `l`. Not 3 (it resizes) and not 2026 (a snapshot never has it).
const PRIVATE_MODES: [u16; 14] = [1, 6, 7, 12, 25, 45, 66, 1000, 1002, 1003, 1004, 1006, 1016, 2004];

/// Sequences as they are.
const FIXED: [&str; 34] = [
    "\r",
    "\n",
    "\r\n",
    "\x08",
    "\t",
    "\x0b",
    "\x0c",
    "\x07",
    "\x0e",
    "\x0f",
    "\x1b7",
    "\x1b8",
    "\x1bD",
    "\x1bE",
    "\x1bM",
    "\x1bH",
    "\x1b=",
    "\x1b>",
    "\x1b(0",
    "\x1b(B",
    "\x1b)0",
    "\x1b)B",
    "\x1b[?6l\x1b[m\x1b#8",
    "\x1b[g",
    "\x1b[3g",
    "\x1b[s",
    "\x1b[u",
    "\x1b[!p",
    "\x1bc",
    "\x1b[>1u",
    "\x1b[<u",
    "\x1b[22;0t",
    "\x1b[23;0t",
    "\x1b[4h",
];

/// Control sequences that take one number.
const COUNTED: [char; 21] =
    ['@', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'I', 'J', 'K', 'L', 'M', 'P', 'S', 'T', 'X', 'Z', '`', 'b', 'd'];

/// Strings for the terminal itself.
const STRINGS: [&str; 18] = [
    "0;both",
    "1;icon",
    "2;title 日本",
    "2;",
    "7;file://demo/tmp/demo",
    "8;;https://example.org/a",
    "8;id=7;https://example.org/b",
    "8;;",
    "4;1;rgb:12/34/56",
    "4;7;#abcdef;8;#010203",
    "10;#102030",
    "11;rgb:aa/bb/cc",
    "12;#ffffff",
    "104",
    "104;1",
    "110",
    "111",
    "112",
];

/// Sequences cut off, cancelled, unknown or not UTF-8.
const NOISE: [&[u8]; 14] = [
    b"\x1b[12;\x18",
    b"\x1b[1;2\x1a",
    b"\x1b[?99h",
    b"\x1b[>4;1m",
    b"\x1b[38;5m",
    b"\x1b[;;;m",
    b"\x1b_apc\x1b\\",
    b"\x1b^pm\x1b\\",
    b"\x1bPdcs\x1b\\",
    b"\xff",
    b"\xe3\x81",
    b"\xf0\x9f\x91",
    b"\x1b[1\x1b[2",
    b"\x1b]9;note\x07",
];

/// So many steps of output for a terminal of this size.
#[must_use]
pub fn scribble(seed: &mut Seed, steps: usize, cols: u16, rows: u16) -> Vec<Vec<u8>> {
    let mut wraps = true;
    (0..steps)
        .map(|_| {
            let mut written = step(seed, cols, rows);
            // A wide character that finds no room, because nothing wraps, is where xterm's state depends on how it was fed:
            // on whether the character behind it came in the same chunk.
            while !wraps && !written.is_ascii() {
                written = step(seed, cols, rows);
            }
            match &written[..] {
                b"\x1b[?7l" => wraps = false,
                b"\x1b[?7h" | b"\x1bc" | b"\x1b[!p" => wraps = true,
                _ => {}
            }
            written
        })
        .collect()
}

/// The fewest steps for which `fails` still says so: what is left of a random failure for a person to read.
pub fn shrink(mut steps: Vec<Vec<u8>>, mut fails: impl FnMut(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    steps
}

fn step(seed: &mut Seed, cols: u16, rows: u16) -> Vec<u8> {
    let text = match seed.within(0..100) {
        0..35 => (*seed.one_of(&WORDS)).to_owned(),
        35..40 => "abcdefghij".repeat(usize::from(cols) / 10 + 1),
        40..58 => (*seed.one_of(&FIXED)).to_owned(),
        58..70 => format!("\x1b[{}{}", seed.within(0..6), seed.one_of(&COUNTED)),
        70..76 => format!("\x1b[{};{}H", number(seed, rows), number(seed, cols)),
        76..86 => rendition(seed),
        86..89 => format!("\x1b[{};{}r", number(seed, rows), number(seed, rows)),
        89..93 => format!("\x1b[?{}{}", seed.one_of(&PRIVATE_MODES), seed.one_of(&['h', 'l'])),
        93 => other_screen(seed),
        94 => format!("\x1b[{}{}", seed.one_of(&[4, 20]), seed.one_of(&['h', 'l'])),
        95 => format!("\x1b[{} q", seed.within(0..7)),
        96..98 => format!("\x1b]{}{}", seed.one_of(&STRINGS), seed.one_of(&["\x07", "\x1b\\"])),
        _ => return seed.one_of(&NOISE).to_vec(),
    };
    text.into_bytes()
}

/// To the alternate screen or back. Not back in origin mode: xterm's screens have margins of their own, and the cursor would come
/// to be outside of them, where nothing else can bring it.
fn other_screen(seed: &mut Seed) -> String {
    let mode = seed.one_of(&[47, 1047, 1049]);
    if seed.within(0..2) == 0 { format!("\x1b[?{mode}h") } else { format!("\x1b[?6l\x1b[?{mode}l") }
}

/// A line or column: mostly on the screen, sometimes left out, sometimes far off.
fn number(seed: &mut Seed, limit: u16) -> String {
    match seed.within(0..12) {
        0 => String::new(),
        1 => "0".to_owned(),
        2 => (limit + 7).to_string(),
        _ => (1 + seed.within(0..u64::from(limit))).to_string(),
    }
}

fn rendition(seed: &mut Seed) -> String {
    let byte = |seed: &mut Seed| seed.within(0..256);
    let one = match seed.within(0..12) {
        0 => String::new(),
        1..4 => (30 + seed.within(0..8) + 10 * seed.within(0..2) + 60 * seed.within(0..2)).to_string(),
        4 => format!("{};5;{}", seed.one_of(&[38, 48]), byte(seed)),
        5 => format!("{};2;{};{};{}", seed.one_of(&[38, 48]), byte(seed), byte(seed), byte(seed)),
        6 => format!("4:{}", seed.within(0..6)),
        7 => format!("58:2::{}:{}:{}", byte(seed), byte(seed), byte(seed)),
        8 => format!("58:5:{}", byte(seed)),
        9 => (*seed.one_of(&[22, 23, 24, 25, 27, 28, 29, 39, 49, 59])).to_string(),
        _ => seed.one_of(&[1, 2, 3, 4, 5, 7, 8, 9, 21]).to_string(),
    };
    format!("\x1b[{one}m")
}
