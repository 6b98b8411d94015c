//! What is worth finding again in the output: prompts, commands, bells, notifications, titles, directories.
//!
//! | written | mark |
//! | --- | --- |
//! | `OSC 133 ; A` or `N`, `OSC 633 ; A` | prompt; not for the prompts of further lines (`k=s`, `k=c`) |
//! | `OSC 133 ; C`, `OSC 633 ; C` | command: its text as `cmdline_url=` (percent-encoded), `cmdline=` (quoted for a shell) or a preceding `OSC 633 ; E` tell it |
//! | `OSC 133 ; D ; code`, `OSC 633 ; D ; code` | the command's end; the code if one is told |
//! | BEL | bell |
//! | `OSC 9 ; text`, `OSC 777 ; notify ; title ; text`, `OSC 99 ; … ; text` | notification; not ConEmu's numbered commands, such as progress (`OSC 9 ; 4`) |
//! | `OSC 0`, `OSC 2` | title |
//! | `OSC 7 ; file://host/path`, `OSC 9 ; 9 ; path`, `OSC 633 ; P ; Cwd=path`, `OSC 1337 ; CurrentDir=path` | directory, if it is one of this host |
//!
//! Any program can write any of these, so a mark is a hint and its text a label: [`clean`] takes out what would act on a
//! terminal or make text look like another, and cuts it at [`TEXT_BYTES_MAX`].

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
pub use baton_proto::v1::MarkKind;

use memchr::memmem;

use crate::formats::reorders;
use crate::sequence::{Introducer, Sequence};

/// What stands before a command line quoted for a shell.
const QUOTED: &[u8] = b";cmdline=";

/// Most bytes of a mark's text.
pub const TEXT_BYTES_MAX: usize = 4096;

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Of what.
    pub kind: MarkKind,
    /// What it says: one line, no control characters, at most [`TEXT_BYTES_MAX`] bytes. The exit code in decimal for
    /// [`MarkKind::CommandEnd`]; empty where nothing was told, and for prompts and bells.
    pub text: String,
}

impl Mark {
    /// The mark a control character leaves: BEL rings the bell.
    #[must_use]
    pub fn of_control(control: u8) -> Option<Self> {
        (control == 0x07).then(|| Self { kind: MarkKind::Bell, text: String::new() })
    }
}

/// Finds marks in the sequences of one stream, in order.
///
/// What is told in two sequences is remembered between them. It may be lost without harm: then a command has no text, or a
/// notification comes in two.
#[derive(Debug, Default)]
pub struct Marks {
    host: String,
    /// Of `OSC 633 ; E`: the next command's.
    command_line: String,
    /// Of `OSC 99` with more to come.
    notification: String,
}

impl Marks {
    /// Directories count if they are on `host`, by its first label; an empty one takes those of any host.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// The mark that a sequence leaves, if it leaves one.
    pub fn take(&mut self, sequence: &Sequence) -> Option<Mark> {
        if sequence.introducer != Introducer::Osc {
            return None;
        }
        let (command, rest) = sequence.command()?;
        match command {
            133 => self.shell(rest),
            633 => self.editor_shell(rest),
            // A terminal does not act upon what it could not keep whole.
            _ if sequence.truncated => None,
            0 | 2 => Some(Mark { kind: MarkKind::Title, text: clean(rest) }),
            7 => self.cwd(rest),
            9 => self.notification_or_cwd(rest),
            99 => self.desktop_notification(rest),
            777 => {
                let mut fields = rest.strip_prefix(b"notify;")?.splitn(2, |&byte| byte == b';');
                let title = clean(fields.next().unwrap_or_default());
                notification(&joined(&title, &clean(fields.next().unwrap_or_default())))
            }
            1337 => self.cwd(rest.strip_prefix(b"CurrentDir=")?),
            _ => None,
        }
    }

    /// OSC 133.
    fn shell(&mut self, rest: &[u8]) -> Option<Mark> {
        let mut fields = rest.split(|&byte| byte == b';');
        let what = fields.next()?;
        match what {
            b"A" | b"N" => {
                let further = fields.any(|field| matches!(field, b"k=s" | b"k=c"));
                (!further).then(|| Mark { kind: MarkKind::Prompt, text: String::new() })
            }
            b"C" => {
                let earlier = std::mem::take(&mut self.command_line);
                let text = if let Some(url) = fields.find_map(|field| field.strip_prefix(b"cmdline_url=")) {
                    clean(&percent_decoded(url))
                } else if let Some(at) = memmem::find(rest, QUOTED) {
                    // Quoting leaves semicolons as they are, so it goes on to the end.
                    clean(&unquoted(&rest[at + QUOTED.len()..]))
                } else {
                    earlier
                };
                Some(Mark { kind: MarkKind::Command, text })
            }
            b"D" => {
                let code = fields.next().and_then(|code| std::str::from_utf8(code).ok()?.parse::<i32>().ok());
                Some(Mark { kind: MarkKind::CommandEnd, text: code.map(|code| code.to_string()).unwrap_or_default() })
            }
            _ => None,
        }
    }

    /// OSC 633: the same, with the command line and properties told apart from them.
    fn editor_shell(&mut self, rest: &[u8]) -> Option<Mark> {
        if let Some(line) = rest.strip_prefix(b"E;") {
            let line = line.split(|&byte| byte == b';').next().unwrap_or_default();
            self.command_line = clean(&hex_unescaped(line));
            return None;
        }
        if let Some(path) = rest.strip_prefix(b"P;Cwd=") {
            return self.cwd(&hex_unescaped(path));
        }
        self.shell(rest)
    }

    fn cwd(&self, told: &[u8]) -> Option<Mark> {
        directory(told, &self.host).map(|text| Mark { kind: MarkKind::Cwd, text })
    }

    /// OSC 9 has two meanings: text to notify of, and ConEmu's commands by number.
    fn notification_or_cwd(&self, rest: &[u8]) -> Option<Mark> {
        let first = rest.split(|&byte| byte == b';').next()?;
        match crate::sequence::number(first) {
            Some(9) => {
                let path = rest.get(2..).unwrap_or_default();
                self.cwd(path.strip_prefix(b"\"").and_then(|path| path.strip_suffix(b"\"")).unwrap_or(path))
            }
            Some(1..=12) => None,
            _ => notification(&clean(rest)),
        }
    }

    /// OSC 99: `key=value:key=value ; payload`. Titles and bodies are taken; buttons, icons, questions and ends are not.
    fn desktop_notification(&mut self, rest: &[u8]) -> Option<Mark> {
        let at = memchr::memchr(b';', rest)?;
        let (mut done, mut encoded, mut told) = (true, false, true);
        for pair in rest[..at].split(|&byte| byte == b':') {
            match pair {
                b"d=0" => done = false,
                b"e=1" => encoded = true,
                b"p=title" | b"p=body" => {}
                _ if pair.starts_with(b"p=") => told = false,
                _ => {}
            }
        }
        if told {
            let payload = &rest[at + 1..];
            let text = if encoded { clean(&BASE64.decode(payload).ok()?) } else { clean(payload) };
            self.notification = joined(&self.notification, &text);
        }
        if done { notification(&std::mem::take(&mut self.notification)) } else { None }
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn notification(text: &str) -> Option<Mark> {
    (!text.is_empty()).then(|| Mark { kind: MarkKind::Notification, text: text.to_owned() })
}

fn joined(title: &str, body: &str) -> String {
    match (title, body) {
        ("", text) | (text, "") => text.to_owned(),
        (title, body) => clean(format!("{title}: {body}").as_bytes()),
    }
}

/// Text that may be shown anywhere: valid UTF-8 on one line, without control characters and those that change the order of
/// others, at most [`TEXT_BYTES_MAX`] bytes.
#[must_use]
pub fn clean(bytes: &[u8]) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        let character = match character {
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            other if other.is_control() || reorders(other) => continue,
            other => other,
        };
        if out.len() + character.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(character);
    }
    out
}

/// The absolute path that a program told as its directory, as a URL or plainly. `None` if it is no path, or one of another host:
/// shells at the far end of `ssh` tell theirs too. Names are compared by their first label, as some have the domain and some not.
#[must_use]
pub fn directory(told: &[u8], host: &str) -> Option<String> {
    let path = if told.starts_with(b"/") {
        told.to_vec()
    } else if let Some(rest) = told.strip_prefix(b"file:") {
        percent_decoded(on_host(rest, host)?)
    } else {
        // kitty's own scheme: the path as it is.
        on_host(told.strip_prefix(b"kitty-shell-cwd:")?, host)?.to_vec()
    };
    let path = clean(&path);
    path.starts_with('/').then_some(path)
}

/// The path behind `//host`, if the host is this one.
fn on_host<'a>(rest: &'a [u8], host: &str) -> Option<&'a [u8]> {
    let Some(rest) = rest.strip_prefix(b"//") else { return Some(rest) };
    let (theirs, path) = rest.split_at(memchr::memchr(b'/', rest)?);
    let label = |name: &[u8]| name.split(|&byte| byte == b'.').next().unwrap_or_default().to_ascii_lowercase();
    let here = theirs.is_empty() || host.is_empty() || theirs.eq_ignore_ascii_case(b"localhost");
    (here || label(theirs) == label(host.as_bytes())).then_some(path)
}

fn hex(bytes: &[u8]) -> Option<u8> {
    let [high, low] = bytes.first_chunk::<2>()?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Replaces what `decode` reads at `mark`: the byte meant, and how many bytes behind the mark said so.
fn decoded(text: &[u8], mark: u8, decode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let meant = if byte == mark { decode(behind) } else { None };
        let (meant, used) = meant.unwrap_or((byte, 0));
        out.push(meant);
        rest = &behind[used..];
    }
    out
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    decoded(text, b'%', |behind| Some((hex(behind)?, 2)))
}

/// `\xAB` and `\\`, as `OSC 633` has them.
fn hex_unescaped(text: &[u8]) -> Vec<u8> {
    decoded(text, b'\\', |behind| match behind {
        [b'\\', ..] => Some((b'\\', 1)),
        [b'x', digits @ ..] => Some((hex(digits)?, 3)),
        _ => None,
    })
}

/// What a shell's `printf %q` quoted: backslashes, `'…'` and `$'…'`.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let quote = if byte == b'$' && behind.first() == Some(&b'\'') { 2 } else { usize::from(byte == b'\'') };
        if quote > 0 {
            let inside = &rest[quote..];
            // In `$'…'` a backslash hides a quote.
            let hidden =
                |at: usize| quote == 2 && inside[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
            let end = (0..inside.len()).find(|&at| inside[at] == b'\'' && !hidden(at)).unwrap_or(inside.len());
            if quote == 2 {
                out.extend(decoded(&inside[..end], b'\\', ansi_c_escape));
            } else {
                out.extend_from_slice(&inside[..end]);
            }
            rest = inside.get(end + 1..).unwrap_or_default();
        } else if byte == b'\\' && !behind.is_empty() {
            out.push(behind[0]);
            rest = &behind[1..];
        } else {
            out.push(byte);
            rest = behind;
        }
    }
    out
}

fn ansi_c_escape(behind: &[u8]) -> Option<(u8, usize)> {
    Some(match *behind.first()? {
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'r' => (b'\r', 1),
        b'a' => (0x07, 1),
        b'b' => (0x08, 1),
        b'e' | b'E' => (0x1b, 1),
        b'x' => (hex(&behind[1..])?, 3),
        b'0'..=b'7' => {
            let octal = behind.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
            let value = octal.clone().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            (u8::try_from(value & 0xff).ok()?, octal.count())
        }
        other => (other, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn osc(body: &[u8]) -> Sequence {
        Sequence { introducer: Introducer::Osc, body: body.to_vec(), ..Sequence::default() }
    }

    fn mark(body: &str) -> Option<(MarkKind, String)> {
        Marks::new("here").take(&osc(body.as_bytes())).map(|mark| (mark.kind, mark.text))
    }

    #[track_caller]
    fn check(cases: &[(&str, MarkKind, &str)]) {
        for (body, kind, text) in cases {
            assert_eq!(mark(body), Some((*kind, (*text).to_owned())), "{body}");
        }
    }

    #[test]
    fn prompts_and_commands() {
        use MarkKind::{Command, CommandEnd, Prompt};
        check(&[
            ("133;A", Prompt, ""),
            ("133;A;k=i;aid=7", Prompt, ""),
            ("133;N", Prompt, ""),
            ("633;A", Prompt, ""),
            ("133;C", Command, ""),
            ("133;C;", Command, ""),
            ("133;C;cmdline_url=echo%20%22a%3bb%22%20%e2%82%ac%2", Command, "echo \"a;b\" €%2"),
            ("133;C;aid=1;cmdline_url=ls;x=y", Command, "ls"),
            ("133;C;cmdline=echo\\ a\\;b", Command, "echo a;b"),
            ("133;C;cmdline=$'a\\'b\\nc\\303\\244\\x41' 'd;$\\e'\\''f'", Command, "a'b cäA d;$\\e'f"),
            ("133;C;cmdline=$'open", Command, "open"),
            ("133;D", CommandEnd, ""),
            ("133;D;0", CommandEnd, "0"),
            ("133;D;130;aid=7", CommandEnd, "130"),
            ("133;D;-1", CommandEnd, "-1"),
            ("133;D;99999999999", CommandEnd, ""),
            ("133;D;no", CommandEnd, ""),
        ]);
        for other in ["133;B", "133;A;k=s", "133;P;k=i", "133", "133;", "1330;A", "633;B"] {
            assert_eq!(mark(other), None, "{other}");
        }
    }

    #[test]
    fn a_command_line_told_before_its_command_belongs_to_it_alone() {
        let mut marks = Marks::default();
        assert_eq!(marks.take(&osc(b"633;E;echo \\x3b\\\\n\\x0a2;nonce")), None);
        assert_eq!(marks.take(&osc(b"633;C")).unwrap().text, "echo ;\\n 2");
        assert_eq!(marks.take(&osc(b"633;C")).unwrap().text, "");
    }

    #[test]
    fn bells_titles_and_notifications() {
        use MarkKind::{Notification, Title};
        assert_eq!(Mark::of_control(7).unwrap().kind, MarkKind::Bell);
        assert_eq!(Mark::of_control(8), None);
        check(&[
            ("0;vim; x", Title, "vim; x"),
            ("2;", Title, ""),
            ("9;done; now", Notification, "done; now"),
            ("9;13;x", Notification, "13;x"),
            ("777;notify;Build;ok;2", Notification, "Build: ok;2"),
            ("777;notify;Build", Notification, "Build"),
            ("99;;Hello", Notification, "Hello"),
            ("99;i=1:p=body;Hello", Notification, "Hello"),
            ("99;e=1;SGVsbG8", Notification, "Hello"),
            ("99;e=1;SGVsbG8=", Notification, "Hello"),
        ]);
        for other in [
            "1;icon",
            "9;",
            "9;4",
            "9;4;1;50",
            "9;2;box",
            "777;other;a;b",
            "777;notify",
            "777;notify;;",
            "99;p=?;x",
            "99;p=close;x",
            "99;e=1;!",
            "99;i=1:d=0;part",
            "99",
        ] {
            assert_eq!(mark(other), None, "{other}");
        }
        let mut marks = Marks::default();
        assert_eq!(marks.take(&osc(b"99;i=1:d=0;Build")), None);
        assert_eq!(marks.take(&osc(b"99;i=1:p=body;ok")).unwrap().text, "Build: ok");
        assert_eq!(marks.take(&osc(b"99;;next")).unwrap().text, "next");
    }

    #[test]
    fn directories_of_this_host() {
        use MarkKind::Cwd;
        check(&[
            ("7;file:///tmp/a%20b", Cwd, "/tmp/a b"),
            ("7;file://here/x", Cwd, "/x"),
            ("7;file://HERE.example.org/x", Cwd, "/x"),
            ("7;file://localhost/%e6%97%a5;1", Cwd, "/日;1"),
            ("7;file:/x", Cwd, "/x"),
            ("7;/plain%20", Cwd, "/plain%20"),
            ("7;kitty-shell-cwd://here/a%20b", Cwd, "/a%20b"),
            ("9;9;/x", Cwd, "/x"),
            ("9;9;\"/x y\"", Cwd, "/x y"),
            ("633;P;Cwd=/x\\x3by", Cwd, "/x;y"),
            ("1337;CurrentDir=/x", Cwd, "/x"),
            // What hides is taken out, and what is no UTF-8 is said to be none.
            ("7;file:///a%1b%0d%e2%80%aeb%ff", Cwd, "/ab\u{fffd}"),
        ]);
        for other in [
            "7;",
            "7;relative",
            "7;file://there/x",
            "7;file://here",
            "7;http://here/x",
            "9;9;C:\\x",
            "633;P;IsWindows=1",
            "1337;SetMark",
        ] {
            assert_eq!(mark(other), None, "{other}");
        }
        assert_eq!(directory(b"file://anywhere/x", "").as_deref(), Some("/x"));
    }

    #[test]
    fn of_what_was_cut_only_the_shell_is_heard() {
        let cut = |body: &str| Marks::default().take(&Sequence { truncated: true, ..osc(body.as_bytes()) });
        assert_eq!(cut("133;C;cmdline_url=a%2").unwrap().text, "a%2");
        assert_eq!(cut("2;title"), None);
        assert_eq!(cut("7;file:///x"), None);
    }

    proptest! {
        #[test]
        fn text_is_safe_to_show_whatever_was_written(
            command in prop_oneof![
                Just("0;"), Just("7;file:///"), Just("7;/"), Just("9;"), Just("99;e=1;"), Just("99;d=0;"), Just("99;;"),
                Just("777;notify;"), Just("133;C;cmdline_url="), Just("133;C;cmdline="), Just("133;D;"), Just("633;E;"),
                Just("633;C"), Just("633;P;Cwd="), Just(""),
            ],
            bodies in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..60),
                    "(%[0-9a-f]{2}|\\\\x[0-9a-f]{2}|[$'\\\\;:=n]){0,40}".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 4000..9000),
                ],
                1..4,
            ),
        ) {
            let mut marks = Marks::default();
            for body in bodies {
                let Some(mark) = marks.take(&osc(&[command.as_bytes(), &body].concat())) else { continue };
                prop_assert!(mark.text.len() <= TEXT_BYTES_MAX);
                prop_assert!(!mark.text.contains(|it: char| it.is_control() || reorders(it)), "{:?}", mark.text);
                prop_assert!(mark.kind != MarkKind::Cwd || mark.text.starts_with('/'));
                prop_assert!(marks.notification.len() <= TEXT_BYTES_MAX && marks.command_line.len() <= TEXT_BYTES_MAX);
            }
        }

        #[test]
        fn what_is_encoded_comes_back(text in "[ -~äß€日;]{0,80}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(mark(&format!("133;C;cmdline_url={encoded}")), Some((MarkKind::Command, text.clone())));
            let quoted = format!("'{}'", text.replace('\'', "'\\''"));
            prop_assert_eq!(mark(&format!("133;C;cmdline={quoted}")), Some((MarkKind::Command, text)));
        }
    }
}
