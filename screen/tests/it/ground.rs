//! The parser against another one, and against itself cut in pieces.

use baton_screen::ground::{Event, Ground};
use baton_screen::{Introducer, Sequence};
use proptest::prelude::*;
use vte::{Params, Parser, Perform};

/// What a parser found, in a form both can say it in.
#[derive(Debug, Default)]
struct Log {
    found: Vec<String>,
    text: String,
    string: Vec<u8>,
}

impl Log {
    fn say(&mut self, what: String) {
        if !self.text.is_empty() {
            self.found.push(format!("text {:?}", std::mem::take(&mut self.text)));
        }
        self.found.push(what);
    }

    fn finish(mut self) -> Vec<String> {
        self.say("end".to_owned());
        self.found
    }
}

impl Perform for Log {
    fn print(&mut self, character: char) {
        self.text.push(character);
    }

    fn execute(&mut self, byte: u8) {
        self.say(format!("control {byte}"));
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if !ignore {
            let params: Vec<String> =
                params.iter().map(|parts| parts.iter().map(u16::to_string).collect::<Vec<_>>().join(":")).collect();
            self.say(format!("csi {} {} {action}", params.join(";"), String::from_utf8_lossy(intermediates)));
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        // ST is the end of a string for us, and a sequence of its own for it.
        if !ignore && (intermediates, byte) != (b"", b'\\') {
            self.say(format!("esc {} {}", String::from_utf8_lossy(intermediates), char::from(byte)));
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _bell_terminated: bool) {
        self.say(format!("osc {}", String::from_utf8_lossy(&params.join(&b';'))));
    }

    fn hook(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        let params: Vec<String> =
            params.iter().map(|parts| parts.iter().map(u16::to_string).collect::<Vec<_>>().join(":")).collect();
        self.string =
            format!("dcs {} {} {action} ", params.join(";"), String::from_utf8_lossy(intermediates)).into_bytes();
    }

    fn put(&mut self, byte: u8) {
        self.string.push(byte);
    }

    fn unhook(&mut self) {
        let string = String::from_utf8_lossy(&std::mem::take(&mut self.string)).into_owned();
        self.say(string);
    }
}

fn numbers(sequence: &Sequence) -> String {
    let part = |part: &[u8]| {
        std::str::from_utf8(part)
            .unwrap()
            .parse::<u64>()
            .map_or(0, |number| number.min(u64::from(u16::MAX)))
            .to_string()
    };
    let parts = |field: &[u8]| field.split(|&byte| byte == b':').map(part).collect::<Vec<_>>().join(":");
    sequence.params.split(|&byte| byte == b';').map(parts).collect::<Vec<_>>().join(";")
}

fn log(log: &mut Log, event: Event<'_>) {
    match event {
        Event::Text(text) => log.text.push_str(text),
        Event::Control(control) => log.execute(control),
        Event::Sequence(sequence) => {
            let intermediates: Vec<u8> =
                sequence.private.into_iter().chain(sequence.intermediates.iter().copied()).collect();
            let (intermediates, action) = (String::from_utf8_lossy(&intermediates), char::from(sequence.action));
            let body = String::from_utf8_lossy(&sequence.body);
            match sequence.introducer {
                Introducer::Esc if sequence.action == b'\\' && intermediates.is_empty() => {}
                Introducer::Esc => log.say(format!("esc {intermediates} {action}")),
                Introducer::Csi => log.say(format!("csi {} {intermediates} {action}", numbers(sequence))),
                Introducer::Osc => log.say(format!("osc {body}")),
                Introducer::Dcs => log.say(format!("dcs {} {intermediates} {action} {body}", numbers(sequence))),
                // vte drops these.
                Introducer::Sos | Introducer::Pm | Introducer::Apc => {}
            }
        }
    }
}

/// Streams both read alike: no C1 controls, no invalid UTF-8, nothing beyond ASCII in sequences, no cancelled strings.
fn agreed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[ -~äöü漢🎉]{1,12}",
        "[\\x01-\\x17\\x19\\x1c-\\x1f]",
        "\x1b[0-OQ-WYZ`-~]",
        "\x1b[ -/]{1,2}[0-~]",
        "\x1b\\[[<-?]?[0-9]{0,6}(;[0-9]{0,3}){0,4}(:[0-9]{0,3}){0,3}[ -/]{0,1}[@-~]",
        "\x1b\\[[0-9]{0,2}[\\x08\\x0a\\x0d]{0,2}[0-9]{0,2}m",
        "\x1b\\[[0-9;]{0,4}[ -/][0-9]{1,2}[@-~]",
        "\x1b\\][0-9]{1,2};[ -~äö]{0,20}(\x07|\x1b\\\\)",
        "\x1bP[0-9]{0,2}(;[0-9]{1,2}){0,2}[!-/]?[a-z][ -~]{0,20}\x1b\\\\",
        "\x1b[X^_][ -~]{0,20}\x1b\\\\",
        "\x1b\\[[0-9;]{0,5}(\x18|\x1a|\x1b\\[m)",
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn vte_finds_the_same(stream in agreed()) {
        let mut theirs = Log::default();
        Parser::new().advance(&mut theirs, &stream);
        let mut ours = Log::default();
        let mut ground = Ground::default();
        ground.feed(&stream, &mut |event, _| log(&mut ours, event));
        prop_assert_eq!(ours.finish(), theirs.finish());
    }

    /// vte, too, is in ground at our boundaries: a fresh one continues there as if nothing had been before.
    #[test]
    fn a_boundary_is_where_another_parser_can_begin(stream in agreed(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(stream.len() + 1);
        let mut ground = Ground::default();
        ground.feed(&stream[..cut], &mut |_, _| ());
        let boundary = cut - usize::try_from(ground.unfinished()).unwrap();
        let mut whole = Log::default();
        Parser::new().advance(&mut whole, &stream);
        let mut parts = Log::default();
        Parser::new().advance(&mut parts, &stream[..boundary]);
        Parser::new().advance(&mut parts, &stream[boundary..]);
        prop_assert_eq!(whole.finish(), parts.finish());
    }

    /// Any bytes at all: where events end, and what they are, does not depend on how the bytes came.
    #[test]
    fn one_byte_at_a_time(stream in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\x1b[]P;1m\x07\\\xc2\x9b\xe2\x80\x94".to_vec())], 0..60)) {
        let found = |sizes: usize| {
            let mut ground = Ground::default();
            let mut found: Vec<(String, usize)> = Vec::new();
            for (index, chunk) in stream.chunks(sizes).enumerate() {
                ground.feed(chunk, &mut |event, end| {
                    let end = index * sizes + end;
                    match (event, found.last_mut()) {
                        (Event::Text(text), Some((before, at))) if before.starts_with("text ") => {
                            before.push_str(text);
                            *at = end;
                        }
                        (Event::Text(text), _) => found.push((format!("text {text}"), end)),
                        (event, _) => found.push((format!("{event:?}"), end)),
                    }
                });
            }
            (found, ground.unfinished())
        };
        prop_assert_eq!(found(1), found(stream.len().max(1)));
    }
}
