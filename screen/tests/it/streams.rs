//! Random streams that look like what programs write: mostly well-formed, on screens so small that every edge is met.

use baton_proto::v1::Dimensions;
use proptest::prelude::*;

/// A screen with edges near.
pub fn size() -> impl Strategy<Value = Dimensions> {
    prop_oneof![
        4 => (2u16..14, 1u16..7).prop_map(|(cols, rows)| Dimensions { cols, rows }),
        1 => (20u16..60, 5u16..20).prop_map(|(cols, rows)| Dimensions { cols, rows }),
    ]
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z ]{1,9}".prop_map(|text| text.into_bytes()),
        2 => "[a-zA-Z0-9_`{|}~#@]{1,20}".prop_map(|text| text.into_bytes()),
        2 => prop::sample::select(vec!["日本", "漢", "한글", "🎉", "👩\u{200d}💻", "❤\u{fe0f}", "🇩🇪", "é", "─│┌", "ａ", "ﬀ"])
            .prop_map(bytes),
        1 => prop::sample::select(vec!["\u{301}", "e\u{301}", "\u{200d}", "\u{fe0f}", "漢\u{301}\u{302}", "\u{ad}", "\u{feff}"])
            .prop_map(bytes),
    ]
}

fn control() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "\r\n", "\r\n", "\r\n", "\n", "\r", "\t", "\x08", "\x0e", "\x0f", "\x07", "\u{85}", "\u{84}", "\u{88}",
    ])
    .prop_map(bytes)
}

/// A number where small ones, none, and ones beyond any edge are all likely.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0u16..14).prop_map(|number| number.to_string()),
        2 => Just(String::new()),
        1 => prop::sample::select(vec!["999", "65535", "99999999999"]).prop_map(str::to_owned),
    ]
}

fn csi() -> impl Strategy<Value = Vec<u8>> {
    let moves = prop::sample::select(b"ABCDEFGIZ`adeHHHfJKLMPSTX@bgXJKKLMPrsu".to_vec());
    let plain = (number(), number(), moves)
        .prop_map(|(first, second, action)| match action {
            b'H' | b'f' | b'r' => format!("\x1b[{first};{second}{}", char::from(action)),
            _ => format!("\x1b[{first}{}", char::from(action)),
        })
        .prop_map(String::into_bytes);
    let rare = (number(), prop::sample::select(vec![" @", " A", "'}", "'~", "!p", " q", "\"q", "S", "T"]))
        .prop_map(|(number, action)| format!("\x1b[{number}{action}").into_bytes());
    let selective =
        prop::sample::select(vec!["\x1b[?J", "\x1b[?1J", "\x1b[?2J", "\x1b[?K", "\x1b[?1K", "\x1b[?2K", "\x1b[3J"])
            .prop_map(bytes);
    prop_oneof![8 => plain, 1 => rare, 1 => selective]
}

fn mode() -> impl Strategy<Value = Vec<u8>> {
    let private = prop::sample::select(vec![
        1u16, 2, 5, 6, 6, 7, 7, 9, 12, 25, 45, 45, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1016, 1047, 1048,
        1049, 1049, 2004, 2026,
    ]);
    prop_oneof![
        5 => (private, any::<bool>()).prop_map(|(mode, on)| format!("\x1b[?{mode}{}", if on { 'h' } else { 'l' }).into_bytes()),
        2 => (prop::sample::select(vec![4u16, 20]), any::<bool>())
            .prop_map(|(mode, on)| format!("\x1b[{mode}{}", if on { 'h' } else { 'l' }).into_bytes()),
    ]
}

fn sgr() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "7",
        "8",
        "9",
        "22",
        "23",
        "24",
        "27",
        "31",
        "39",
        "44",
        "49",
        "53",
        "97",
        "103",
        "1;33;45",
        "38;5;200",
        "48;5;17",
        "38;2;1;2;3",
        "48;2;250;0;9",
        "4:3",
        "4:0",
        "21",
        "58:2::9:8:7",
        "58;5;3",
        "59",
        "38:5:99",
        "48:2:1:2:3",
    ])
    .prop_map(|params| format!("\x1b[{params}m").into_bytes())
}

fn escape() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "\x1b7", "\x1b7", "\x1b8", "\x1b8", "\x1bD", "\x1bE", "\x1bH", "\x1bM", "\x1bM", "\x1b=", "\x1b>", "\x1bc",
        "\x1bn", "\x1bo", "\x1b~", "\x1b#8", "\x1b%G", "\x1b(0", "\x1b(0", "\x1b(B", "\x1b)0", "\x1b)A", "\x1b*K",
        "\x1b+4", "\x1b-B",
    ])
    .prop_map(bytes)
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "\x1b]0;title\x07",
        "\x1b]2;ein Titel – so\x1b\\",
        "\x1b]2;\x07",
        "\x1b[22;0t",
        "\x1b[23;0t",
        "\x1b[22t",
        "\x1b]7;file://host/tmp\x1b\\",
        "\x1b]8;;http://a/\x1b\\",
        "\x1b]8;id=1:x=2;http://b/?;\x07",
        "\x1b]8;;\x1b\\",
        "\x1b]4;1;rgb:12/34/56\x07",
        "\x1b]10;#abc\x07",
        "\x1b]11;rgb:ffff/0000/8080\x1b\\",
        "\x1b]12;?\x07",
        "\x1b]104\x07",
        "\x1b]104;1;2\x07",
        "\x1b]111\x07",
        "\x1bP$qm\x1b\\",
        "\x1b_Gi=1;AAAA\x1b\\",
        "\x1b[>5u",
        "\x1b[>1u",
        "\x1b[<u",
        "\x1b[=3;2u",
        "\x1b[>4;2m",
        "\x1b]133;A\x07",
        "\u{9d}2;c1\u{9c}",
        "\u{9b}31m",
    ])
    .prop_map(bytes)
}

/// What no program should write, and some do.
fn malformed() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "\x1b",
            "\x1b[",
            "\x1b[3",
            "\x1b[3\n1m",
            "\x1b]2;open",
            "\x1bP1$",
            "\x18",
            "\x1a",
            "\x1b[<<1m",
            "\x1b[1 2m",
            "\x7f",
            "\x1b_x",
            "\x1b[3é1m",
            "\x1b]2;x\x1b[1m",
            "\x1b(\x1b)",
            "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;32;33;34m",
        ])
        .prop_map(bytes),
        prop::collection::vec(any::<u8>(), 1..4),
    ]
}

/// One piece of a stream.
pub fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => text(),
        6 => control(),
        8 => csi(),
        3 => mode(),
        4 => sgr(),
        3 => escape(),
        2 => string(),
        1 => malformed(),
    ]
}

/// A stream of up to `pieces` pieces.
pub fn stream(pieces: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 1..pieces).prop_map(|pieces| pieces.concat())
}
