//! The answers are those xterm's "Control Sequences" document, and the protocols it does not know, their own.

use super::*;
use crate::facts::Rgb;
use crate::sequence::Terminator;
use crate::view::{Colour, CursorView, Modes, Mouse, MouseEncoding, Shape, Style, Underline};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Fixed {
    cursor: CursorView,
    margins: (u16, u16),
    pen: Style,
    modes: Modes,
    reverse_wraparound: bool,
    synchronised: bool,
    modify_other_keys: u8,
    palette: Option<(u8, Rgb)>,
    background: Option<Rgb>,
}

impl Default for Fixed {
    fn default() -> Self {
        let cursor =
            CursorView { row: 0, col: 0, wrap_pending: false, visible: true, shape: Shape::Default, blinking: false };
        Self {
            cursor,
            margins: (0, 23),
            pen: Style::default(),
            modes: Modes::default(),
            reverse_wraparound: false,
            synchronised: false,
            modify_other_keys: 0,
            palette: None,
            background: None,
        }
    }
}

impl State for Fixed {
    fn size(&self) -> (u16, u16) {
        (80, 24)
    }
    fn cursor(&self) -> CursorView {
        self.cursor
    }
    fn margins(&self) -> (u16, u16) {
        self.margins
    }
    fn pen(&self) -> Style {
        self.pen
    }
    fn modes(&self) -> Modes {
        self.modes.clone()
    }
    fn synchronised(&self) -> bool {
        self.synchronised
    }
    fn reverse_wraparound(&self) -> bool {
        self.reverse_wraparound
    }
    fn modify_other_keys(&self) -> u8 {
        self.modify_other_keys
    }
    fn palette(&self, index: u8) -> Option<Rgb> {
        self.palette.filter(|(set, _)| *set == index).map(|(_, colour)| colour)
    }
    fn dynamic(&self, which: Dynamic) -> Option<Rgb> {
        self.background.filter(|_| which == Dynamic::Background)
    }
}

/// The sequence that is written so. ESC is `^`, the terminators `~` (BEL) and `^\`.
fn sequence(text: &str) -> Sequence {
    let rest = text.strip_prefix('^').unwrap();
    let (introducer, rest) = match rest.as_bytes()[0] {
        b'[' => (Introducer::Csi, &rest[1..]),
        b']' => (Introducer::Osc, &rest[1..]),
        b'P' => (Introducer::Dcs, &rest[1..]),
        b'_' => (Introducer::Apc, &rest[1..]),
        b'X' => (Introducer::Sos, &rest[1..]),
        _ => (Introducer::Esc, rest),
    };
    let mut sequence = Sequence { introducer, ..Sequence::default() };
    let mut bytes = rest.as_bytes();
    if let Some(head) = bytes.strip_suffix(b"~") {
        bytes = head;
        sequence.terminator = Terminator::Bel;
    } else if let Some(head) = bytes.strip_suffix(b"^\\") {
        bytes = head;
    }
    if matches!(introducer, Introducer::Csi | Introducer::Dcs) {
        if matches!(bytes[0], b'<'..=b'?') {
            sequence.private = Some(bytes[0]);
            bytes = &bytes[1..];
        }
        let params = bytes.iter().take_while(|byte| matches!(byte, b'0'..=b';')).count();
        sequence.params = bytes[..params].to_vec();
        bytes = &bytes[params..];
    }
    if !matches!(introducer, Introducer::Osc | Introducer::Apc | Introducer::Sos) {
        let intermediates = bytes.iter().take_while(|byte| matches!(byte, 0x20..=0x2f)).count();
        sequence.intermediates = bytes[..intermediates].to_vec();
        sequence.action = bytes[intermediates];
        bytes = &bytes[intermediates + 1..];
    }
    sequence.body = bytes.to_vec();
    sequence
}

fn ask(text: &str, facts: &Facts, state: &Fixed) -> String {
    let answer = answer(&sequence(text), facts, state).unwrap_or_default();
    String::from_utf8(answer).unwrap().replace('\x1b', "^").replace('\x07', "~")
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    check_with(&Facts::default(), &Fixed::default(), cases);
}

#[track_caller]
fn check_with(facts: &Facts, state: &Fixed, cases: &[(&str, &str)]) {
    for (question, expected) in cases {
        assert_eq!(ask(question, facts, state), *expected, "to {question}");
        assert!(is_query(&sequence(question)), "{question} is swallowed");
    }
}

#[test]
fn attributes_and_version() {
    check(&[
        ("^[c", "^[?62;22c"),
        ("^[0c", "^[?62;22c"),
        ("^Z", "^[?62;22c"),
        ("^[1c", ""),
        ("^[>c", "^[>1;10000;0c"),
        ("^[>0c", "^[>1;10000;0c"),
        ("^[=c", "^P!|00000000^\\"),
        ("^[>q", "^P>|Baton(0.1.0)^\\"),
        ("^[>0q", "^P>|Baton(0.1.0)^\\"),
        ("^[>1q", ""),
        ("^[x", "^[2;1;1;128;128;1;0x"),
        ("^[1x", "^[3;1;1;128;128;1;0x"),
        ("^[2x", ""),
    ]);
    let facts = |da1: &str| Facts { da1: Some(da1.to_owned()), ..Facts::default() };
    check_with(&facts("65;1;4;22"), &Fixed::default(), &[("^[c", "^[?65;1;4;22c")]);
    // What would type something else than attributes is not taken.
    for hostile in ["", "62c\r", "62;22\x1b[", "?62", &"1;".repeat(40)] {
        check_with(&facts(hostile), &Fixed::default(), &[("^[c", "^[?62;22c")]);
    }
}

#[test]
fn status_and_cursor() {
    let mut state = Fixed::default();
    (state.cursor.row, state.cursor.col) = (4, 79);
    let cases = [("^[5n", "^[0n"), ("^[6n", "^[5;80R"), ("^[?6n", "^[?5;80R"), ("^[7n", ""), ("^[?1n", "")];
    check_with(&Facts::default(), &state, &cases);
    // In origin mode, the region's first row is row 1.
    state.margins = (3, 9);
    check_with(&Facts::default(), &state, &[("^[6n", "^[5;80R")]);
    state.modes.origin = true;
    check_with(&Facts::default(), &state, &[("^[6n", "^[2;80R"), ("^[?6n", "^[?2;80R")]);
    check(&[
        ("^[?15n", "^[?13n"),
        ("^[?25n", "^[?21n"),
        ("^[?26n", "^[?27;1;0;0n"),
        ("^[?55n", "^[?50n"),
        ("^[?56n", "^[?57;0n"),
        ("^[?75n", "^[?70n"),
        ("^[?85n", "^[?83n"),
    ]);
}

#[test]
fn the_colour_scheme_follows_the_background() {
    check(&[("^[?996n", "^[?997;1n")]);
    let light = Facts { background: Some((255, 255, 255)), ..Facts::default() };
    check_with(&light, &Fixed::default(), &[("^[?996n", "^[?997;2n")]);
    let dark_program = Fixed { background: Some((0, 0, 80)), ..Fixed::default() };
    check_with(&light, &dark_program, &[("^[?996n", "^[?997;1n")]);
}

#[test]
fn modes_are_told_as_they_are() {
    check(&[
        ("^[4$p", "^[4;2$y"),
        ("^[20$p", "^[20;2$y"),
        ("^[2$p", "^[2;0$y"),
        ("^[?7$p", "^[?7;1$y"),
        ("^[?25$p", "^[?25;1$y"),
        ("^[?2004$p", "^[?2004;2$y"),
        ("^[?2026$p", "^[?2026;2$y"),
        ("^[?2027$p", "^[?2027;0$y"),
        ("^[?65535$p", "^[?65535;0$y"),
        ("^[?$p", "^[?0;0$y"),
    ]);
    let mut state = Fixed { reverse_wraparound: true, synchronised: true, ..Fixed::default() };
    state.cursor.visible = false;
    state.cursor.blinking = true;
    state.modes = Modes {
        alt_screen: true,
        mouse: Mouse::Drags,
        mouse_encoding: MouseEncoding::Sgr,
        focus_reports: true,
        bracketed_paste: true,
        application_cursor: true,
        application_keypad: true,
        origin: true,
        autowrap: false,
        insert: true,
        newline: true,
        reverse_video: true,
        alternate_scroll: true,
        kitty_keyboard: 0,
    };
    let on = [1, 5, 6, 12, 45, 47, 66, 1002, 1004, 1006, 1007, 1047, 1049, 2004, 2026];
    let off = [7, 9, 25, 1000, 1003, 1005, 1016];
    for (mode, value) in on.iter().map(|mode| (mode, 1)).chain(off.iter().map(|mode| (mode, 2))) {
        let (question, expected) = (format!("^[?{mode}$p"), format!("^[?{mode};{value}$y"));
        check_with(&Facts::default(), &state, &[(&question, &expected)]);
    }
    check_with(&Facts::default(), &state, &[("^[4$p", "^[4;1$y"), ("^[20$p", "^[20;1$y")]);
}

#[test]
fn keyboard_flags_are_those_the_holder_has() {
    let mut state = Fixed { modify_other_keys: 2, ..Fixed::default() };
    state.modes.kitty_keyboard = 5;
    check_with(&Facts::default(), &state, &[("^[?u", "^[?0u"), ("^[?4m", "^[>4;2m"), ("^[?1m", "")]);
    let facts = |kitty| Facts { kitty: Some(kitty), ..Facts::default() };
    check_with(&facts(31), &state, &[("^[?u", "^[?5u")]);
    check_with(&facts(1), &state, &[("^[?u", "^[?1u")]);
}

#[test]
fn windows() {
    check(&[
        ("^[11t", "^[1t"),
        ("^[13t", "^[3;0;0t"),
        ("^[18t", "^[8;24;80t"),
        ("^[19t", "^[9;24;80t"),
        ("^[14t", ""),
        ("^[16t", ""),
        // Never a title that a program chose.
        ("^[20t", "^]L^\\"),
        ("^[21t", "^]l^\\"),
        ("^[\"v", "^[24;80;1;1;1\"w"),
        ("^[?2;1;0S", "^[?2;3;0S"),
    ]);
    let facts = Facts { cell_px: Some((9, 18)), ..Facts::default() };
    let cases =
        [("^[14t", "^[4;432;720t"), ("^[14;2t", "^[4;432;720t"), ("^[15t", "^[5;432;720t"), ("^[16t", "^[6;18;9t")];
    check_with(&facts, &Fixed::default(), &cases);
    let facts = Facts { cell_px: Some((0, 18)), ..Facts::default() };
    check_with(&facts, &Fixed::default(), &[("^[14t", "")]);
}

#[test]
fn colours_end_as_the_question_does() {
    check(&[
        ("^]10;?~", "^]10;rgb:dfdf/e4e4/eaea~"),
        ("^]11;?^\\", "^]11;rgb:0d0d/1010/1414^\\"),
        ("^]12;?~", "^]12;rgb:dfdf/e4e4/eaea~"),
        ("^]10;?;?~", "^]10;rgb:dfdf/e4e4/eaea~^]11;rgb:0d0d/1010/1414~"),
        ("^]10;#fff;?~", "^]11;rgb:0d0d/1010/1414~"),
        ("^]4;1;?~", "^]4;1;rgb:f0f0/8585/7f7f~"),
        (
            "^]4;16;?;231;?;232;?;255;?^\\",
            "^]4;16;rgb:0000/0000/0000^\\^]4;231;rgb:ffff/ffff/ffff^\\^]4;232;rgb:0808/0808/0808^\\^]4;255;rgb:eeee/eeee/eeee^\\",
        ),
        ("^]4;67;?~", "^]4;67;rgb:5f5f/8787/afaf~"),
        ("^]4;1;#123456;2;?~", "^]4;2;rgb:7c7c/c9c9/8f8f~"),
        ("^]4;256;?~", ""),
        ("^]4;x;?~", ""),
        ("^]17;?~", ""),
        ("^]52;c;?~", ""),
    ]);
    let facts =
        Facts { foreground: Some((1, 2, 3)), background: Some((4, 5, 6)), cursor: Some((7, 8, 9)), ..Facts::default() };
    let state = Fixed { background: Some((250, 0, 10)), palette: Some((3, (9, 9, 9))), ..Fixed::default() };
    let cases = [
        ("^]10;?~", "^]10;rgb:0101/0202/0303~"),
        ("^]11;?~", "^]11;rgb:fafa/0000/0a0a~"),
        ("^]12;?~", "^]12;rgb:0707/0808/0909~"),
        ("^]4;3;?~", "^]4;3;rgb:0909/0909/0909~"),
    ];
    check_with(&facts, &state, &cases);
}

#[test]
fn settings_are_told_so_that_setting_them_changes_nothing() {
    check(&[
        ("^P$qm^\\", "^P1$r0m^\\"),
        ("^P$qr^\\", "^P1$r1;24r^\\"),
        ("^P$q q^\\", "^P1$r0 q^\\"),
        ("^P$q\"p^\\", "^P1$r62;1\"p^\\"),
        ("^P$q\"q^\\", "^P1$r0\"q^\\"),
        ("^P$qt^\\", "^P1$r24t^\\"),
        ("^P$qs^\\", "^P0$r^\\"),
        ("^P$q^\\", "^P0$r^\\"),
    ]);
    let mut state = Fixed { margins: (2, 9), ..Fixed::default() };
    state.pen = Style {
        bold: true,
        inverse: true,
        underline: Underline::Curly,
        underline_colour: Colour::Rgb(1, 2, 3),
        fg: Colour::Indexed(9),
        bg: Colour::Rgb(4, 5, 6),
        ..Style::default()
    };
    let pen = "0;1;7;4:3;91;48:2::4:5:6;58:2::1:2:3";
    let cases = [
        ("^P$qm^\\", format!("^P1$r{pen}m^\\")),
        ("^P$qr^\\", "^P1$r3;10r^\\".to_owned()),
        ("^[#|", format!("^[{pen}m")),
    ];
    for (question, expected) in &cases {
        check_with(&Facts::default(), &state, &[(question, expected)]);
    }
    for (shape, blinking, number) in
        [(Shape::Block, true, 1), (Shape::Block, false, 2), (Shape::Underline, true, 3), (Shape::Bar, false, 6)]
    {
        state.cursor.shape = shape;
        state.cursor.blinking = blinking;
        check_with(&Facts::default(), &state, &[("^P$q q^\\", &format!("^P1$r{number} q^\\"))]);
    }
}

#[test]
fn capabilities_are_known_or_not() {
    check(&[
        ("^P+q544E^\\", "^P1+r544E=787465726D2D323536636F6C6F72^\\"),
        ("^P+q436f;524742^\\", "^P1+r436F=323536^\\^P1+r524742=382F382F38^\\"),
        ("^P+q5463^\\", "^P1+r5463^\\"),
        ("^P+q6B31;436F^\\", "^P0+r6B31^\\^P1+r436F=323536^\\"),
        ("^P+qxyz^\\", "^P0+r^\\"),
        ("^P+q^\\", "^P0+r^\\"),
    ]);
}

#[test]
fn thousands_of_questions_in_one_are_cut() {
    let mut names = sequence(&format!("^P+q{}^\\", "436F;".repeat(800)));
    names.truncated = true;
    let colours = sequence(&format!("^]4{}~", ";1;?".repeat(1000)));
    for (question, one) in [(names, "\x1bP1+r436F=323536\x1b\\"), (colours, "\x1b]4;1;rgb:f0f0/8585/7f7f\x07")] {
        let answer = answer(&question, &Facts::default(), &Fixed::default()).unwrap();
        assert!(answer.len() <= ANSWER_BYTES_MAX && answer.len() > ANSWER_BYTES_MAX - 2 * one.len());
        assert_eq!(answer, one.repeat(answer.len() / one.len()).as_bytes(), "only whole answers");
    }
    // The last name of a string that was cut may be the beginning of another.
    let mut cut = sequence("^P+q544E;436F^\\");
    cut.truncated = true;
    let answer = answer(&cut, &Facts::default(), &Fixed::default()).unwrap();
    assert_eq!(answer, b"\x1bP1+r544E=787465726D2D323536636F6C6F72\x1b\\");
}

#[test]
fn what_stays_without_an_answer_is_still_a_question() {
    for question in [
        "^[1;1;1;1;24;80*y",
        "^[1$w",
        "^[1$u",
        "^[&u",
        "^['|",
        "^[#S",
        "^[?1g",
        "^[> q",
        "^[>100 q",
        "^]3;?WM_NAME~",
        "^]5;0;?~",
        "^]19;?~",
        "^]21;foreground=?~",
        "^]22;?__current__~",
        "^]50;?~",
        "^]52;p;?^\\",
        "^]60~",
        "^]61~",
        "^]99;i=1:p=?;~",
        "^]702;?~",
        "^]1337;ReportCellSize~",
        "^]1337;RequestUpload=format=tgz~",
        "^]1337;Capabilities~",
        "^]5522;type=read;dGV4dA==~",
        "^_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA^\\",
        "^P+Q666F6E74^\\",
    ] {
        assert_eq!(ask(question, &Facts::default(), &Fixed::default()), "", "{question}");
        assert!(is_query(&sequence(question)), "{question} is swallowed");
    }
}

#[test]
fn what_only_looks_like_a_question_reaches_the_clients() {
    for other in [
        "^[m",
        "^[1;5r",
        "^[2 q",
        "^[>1u",
        "^[<u",
        "^[=1u",
        "^[s",
        "^[u",
        "^[22;0t",
        "^[8;24;80t",
        "^[?1;2c",
        "^[!p",
        "^[>4;1m",
        "^[>4n",
        "^[5S",
        "^[?25h",
        "^[61\"p",
        "^[>2 q",
        "^]0;?~",
        "^]2;a;?;b~",
        "^]8;;http://x/?;?~",
        "^]9;?~",
        "^]777;notify;a;?~",
        "^]4;1;#fff~",
        "^]10;#fff~",
        "^]11;rgb:00/00/00~",
        "^]12;red~",
        "^]52;c;aGk=~",
        "^]52;?;aGk=~",
        "^]104~",
        "^]110~",
        "^]133;A~",
        "^]7;file:///?~",
        "^]99;i=1;?~",
        "^]1337;SetMark~",
        "^]22;pointer~",
        "^_Gi=1,a=T,f=100;a=q^\\",
        "^_Ga=p,i=1;^\\",
        "^_other^\\",
        "^Pq#0^\\",
        "^Ptmux;x^\\",
        "^X?^\\",
        "^c",
        "^7",
        "^(B",
        "^#Z",
    ] {
        assert!(!is_query(&sequence(other)), "{other} is not swallowed");
        assert_eq!(answer(&sequence(other), &Facts::default(), &Fixed::default()), None, "{other}");
    }
}

/// What the engine itself is asked, and answers.
fn replies(screen: &mut crate::Screen, text: &str) -> String {
    let mut seen = Vec::new();
    screen.feed(text.replace('^', "\x1b").as_bytes(), &mut seen);
    let replies = seen.into_iter().filter_map(|seen| match seen.what {
        crate::What::Reply(reply) => Some(String::from_utf8(reply).unwrap().replace('\x1b', "^")),
        _ => None,
    });
    replies.collect()
}

#[test]
fn the_engine_says_of_every_mode_what_it_did_with_it() {
    let size = baton_proto::v1::Dimensions { cols: 80, rows: 24 };
    let known =
        [1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1016, 1047, 1049, 2004, 2026];
    for mode in 0..3000 {
        let mut screen = crate::Screen::new(size);
        let on = replies(&mut screen, &format!("^[?{mode}h^[?{mode}$p"));
        let off = replies(&mut screen, &format!("^[?{mode}l^[?{mode}$p"));
        let value = if known.contains(&mode) { [1, 2] } else { [0, 0] };
        assert_eq!([on, off], value.map(|value| format!("^[?{mode};{value}$y")));
    }
    for (mode, value) in [(4, [1, 2]), (20, [1, 2]), (2, [0, 0]), (12, [0, 0])] {
        let mut screen = crate::Screen::new(size);
        let on = replies(&mut screen, &format!("^[{mode}h^[{mode}$p"));
        let off = replies(&mut screen, &format!("^[{mode}l^[{mode}$p"));
        assert_eq!([on, off], value.map(|value| format!("^[{mode};{value}$y")));
    }
}

#[test]
fn the_engine_answers_from_the_state_right_before_the_question() {
    let mut screen = crate::Screen::new(baton_proto::v1::Dimensions { cols: 10, rows: 8 });
    let cases = [
        ("0123456789^[6n", "^[1;10R"),
        ("x^[6n", "^[2;2R"),
        ("^[3;6r^[?6h^[2;4H^[6n^[?6n", "^[2;4R^[?2;4R"),
        ("^[?6l^[6n", "^[1;1R"),
        ("^P$qr^\\", "^P1$r3;6r^\\"),
        ("^[1;38;2;1;2;3m^P$qm^\\^[m^P$qm^\\", "^P1$r0;1;38:2::1:2:3m^\\^P1$r0m^\\"),
        ("^[5 q^P$q q^\\", "^P1$r5 q^\\"),
        ("^]11;#102030^\\^]11;?^\\", "^]11;rgb:1010/2020/3030^\\"),
        ("^]4;7;rgb:ff/00/00^\\^]4;7;?^\\", "^]4;7;rgb:ffff/0000/0000^\\"),
        ("^]104;7^\\^]4;7;?^\\", "^]4;7;rgb:cfcf/d6d6/dede^\\"),
        ("^[>4;2m^[?4m", "^[>4;2m"),
        ("^[18t", "^[8;8;10t"),
        // A title comes back to nobody.
        ("^]2;echo pwned^\\^[21t", "^]l^\\"),
    ];
    for (written, expected) in cases {
        assert_eq!(replies(&mut screen, written), expected, "{written}");
    }
    screen.set_facts(Facts { kitty: Some(31), ..Facts::default() });
    assert_eq!(replies(&mut screen, "^[?u^[>5u^[?u^[<u^[?u"), "^[?0u^[?5u^[?0u");
}

fn sequences() -> impl Strategy<Value = Sequence> {
    let introducers = prop_oneof![
        Just(Introducer::Esc),
        Just(Introducer::Csi),
        Just(Introducer::Osc),
        Just(Introducer::Dcs),
        Just(Introducer::Apc),
    ];
    let bodies = prop_oneof![
        "[0-9;?:=#a-fA-F\" $qmr*|]{0,40}",
        "(4|10|11|12|52|99|1337|21|5|13);[0-9;?]{0,40}",
        any::<Vec<u8>>().prop_map(|bytes| bytes.iter().map(|&byte| char::from(byte)).collect()),
    ];
    (
        introducers,
        proptest::option::of(0x3c..=0x3f_u8),
        "[0-9;:]{0,24}",
        proptest::collection::vec(0x20..=0x2f_u8, 0..2),
        0x40..=0x7e_u8,
        bodies,
        any::<[bool; 2]>(),
    )
        .prop_map(|(introducer, private, params, intermediates, action, body, [bel, truncated])| Sequence {
            introducer,
            private,
            params: params.into_bytes(),
            intermediates,
            action,
            body: body.into_bytes(),
            terminator: if bel { Terminator::Bel } else { Terminator::St },
            truncated,
        })
}

/// The table that every client's own list is held against, too.
#[test]
fn the_table_of_questions_is_right() {
    let table: std::collections::BTreeMap<String, Vec<String>> =
        serde_json::from_str(include_str!("vectors.json")).unwrap();
    let asks = |text: &str| {
        let mut found = Vec::new();
        crate::ground::Ground::default().feed(text.as_bytes(), &mut |event, _| {
            if let crate::ground::Event::Sequence(sequence) = event {
                found.push(is_query(sequence));
            }
        });
        assert_eq!(found.len(), 1, "{} is one sequence", text.escape_debug());
        found[0]
    };
    for (list, texts) in &table {
        for text in texts {
            assert_eq!(asks(text), list != "others", "{} in `{list}`", text.escape_debug());
        }
    }
    assert!(table["questions"].len() > 80 && table["others"].len() > 50 && !table["mixed"].is_empty());
}

proptest! {
    /// Whatever is asked: only what clients swallow is answered, the answer is bounded, and it cannot press Enter or end early.
    #[test]
    fn answers_are_answers(sequence in sequences(), cell in any::<(u16, u16)>(), da1 in any::<String>(), row in any::<u16>()) {
        let facts = Facts { cell_px: Some(cell), da1: Some(da1), kitty: Some(u32::MAX), ..Facts::default() };
        let mut state = Fixed::default();
        state.cursor.row = row;
        if let Some(answer) = answer(&sequence, &facts, &state) {
            prop_assert!(is_query(&sequence));
            prop_assert!(!answer.is_empty() && answer.len() <= ANSWER_BYTES_MAX);
            prop_assert_eq!(answer[0], 0x1b);
            prop_assert!(answer.iter().all(|byte| matches!(byte, 0x07 | 0x1b | b' '..=b'~')), "{:?}", answer);
        }
    }
}
