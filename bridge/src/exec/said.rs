//! What a shell with integration writes around a command's output, told apart from it by its bytes.
//!
//! The marks stand where the shell can make them, which is not quite where the output begins and ends: fish still sets the
//! title, zsh has already made sure that its prompt begins a row. And a line that runs nothing has no marks at all.

use std::ops::Range;

use super::shell::{Shell, name};

/// How the marks begin that the shell makes where a command's output begins, and where it ends.
const BEGIN_MARK: &[u8] = b"\x1b]133;C";
const END_MARK: &[u8] = b"\x1b]133;D";
/// How every mark begins.
const MARK: &[u8] = b"\x1b]133;";
/// Switched off when a line has been read: what follows is not the editor's any more.
const PASTE_OFF: &[u8] = b"\x1b[?2004l";
/// Bytes that a mark may have, with the command line that it tells.
const MARK_BYTES_MAX: usize = 8192;
/// zsh's mark of a line that has no end, if nobody chose another.
const ZSH_EOL_MARKS: [&[u8]; 2] = [b"\x1b[1m\x1b[7m%\x1b[27m\x1b[1m\x1b[0m", b"\x1b[1m\x1b[7m#\x1b[27m\x1b[1m\x1b[0m"];

/// Where the command's own output ends, in what came up to the mark of its end.
pub(super) fn end_of_command(bytes: &[u8], shell: Shell, cols: usize) -> usize {
    let end = end_mark(bytes).unwrap_or(bytes.len());
    if shell == Shell::Zsh { without_eol_mark(&bytes[..end], cols) } else { end }
}

/// Whether output up to where a shell waits ends with a prompt that is marked to its end. Behind a mark that something else
/// left there are lines.
pub(super) fn is_marked_prompt(bytes: &[u8]) -> bool {
    let Some(place) = bytes.windows(MARK.len()).rposition(|window| window == MARK) else { return false };
    let rest = &bytes[place + MARK.len()..];
    rest.first() == Some(&b'B') && !rest.contains(&b'\n')
}

/// Takes the marks out that a shell makes between the commands of one line; how many bytes they were.
pub(super) fn take_marks(bytes: &mut Vec<u8>) -> usize {
    let (mut kept, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some(place) = rest.windows(MARK.len()).position(|window| window == MARK) {
        let near = &rest[place..rest.len().min(place + MARK_BYTES_MAX)];
        // What is no whole mark is output.
        let (mark, length) = osc_bytes(near).map_or((false, MARK.len()), |length| (true, length));
        kept.extend_from_slice(&rest[..if mark { place } else { place + length }]);
        rest = &rest[place + length..];
    }
    kept.extend_from_slice(rest);
    let taken = bytes.len() - kept.len();
    *bytes = kept;
    taken
}

/// Where it begins, in what came since the mark of its beginning.
pub(super) fn start_of_command(bytes: &[u8], shell: Shell) -> usize {
    if shell == Shell::Fish { behind_preamble(bytes) } else { 0 }
}

/// Where the mark begins that ends the output.
fn end_mark(bytes: &[u8]) -> Option<usize> {
    let near = bytes.len().saturating_sub(MARK_BYTES_MAX);
    let place = bytes[near..].windows(END_MARK.len()).rposition(|window| window == END_MARK)?;
    Some(near + place)
}

/// Where the output begins in what came since the line was typed, if the command's beginning is marked in it. For a shell
/// that ended before the mark was told.
pub(super) fn behind_begin_mark(bytes: &[u8]) -> Option<usize> {
    let place = bytes.windows(BEGIN_MARK.len()).position(|window| window == BEGIN_MARK)?;
    let rest = &bytes[place..bytes.len().min(place + MARK_BYTES_MAX)];
    let ended = rest.iter().skip(1).position(|byte| matches!(byte, 7 | 0x1b))? + 1;
    let behind = place + ended + if rest[ended] == 7 { 1 } else { 2 };
    // Output may be cut between the two bytes of the end.
    (behind <= bytes.len()).then_some(behind)
}

/// fish tells of a command and then leaves its editor: it sets the title and the pen, and returns to the row's beginning.
fn behind_preamble(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        at += match rest {
            [b'\r', ..] => return at + 1,
            [0x1b, b'(', b'B', ..] => 3,
            [0x1b, b']', b'0' | b'2', b';', ..] => match osc_bytes(rest) {
                Some(length) => length,
                None => return 0,
            },
            _ if rest.starts_with(PASTE_OFF) => PASTE_OFF.len(),
            [0x1b, b'[', parameters @ ..] => {
                let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
                let length = parameters.iter().take_while(|byte| plain(byte)).count();
                if parameters.get(length) != Some(&b'm') {
                    return 0;
                }
                length + 3
            }
            _ => return 0,
        };
    }
}

/// Bytes of the operating system command that these begin with.
fn osc_bytes(bytes: &[u8]) -> Option<usize> {
    let ended = bytes.iter().skip(1).position(|byte| matches!(byte, 7 | 0x1b))? + 1;
    match bytes[ended] {
        7 => Some(ended + 1),
        _ => (bytes.get(ended + 1) == Some(&b'\\')).then_some(ended + 2),
    }
}

/// Where the output ends before what zsh writes so that its prompt begins a row: a mark of `w` cells, blanks up to the row's
/// end, `\r`, `w` blanks, `\r` (`PROMPT_SP`).
fn without_eol_mark(bytes: &[u8], cols: usize) -> usize {
    let blanks_before = |end: usize| bytes[..end].iter().rev().take_while(|byte| **byte == b' ').count();
    let found = || {
        let last = bytes.len().checked_sub(1).filter(|last| bytes[*last] == b'\r')?;
        let width = blanks_before(last);
        let first = (last - width).checked_sub(1).filter(|first| bytes[*first] == b'\r')?;
        let filled = cols.checked_sub(width)?;
        // A mark of its own may end with blanks too.
        (filled > 0 && blanks_before(first) >= filled).then(|| (first - filled, width))
    };
    let Some((end, width)) = found() else { return bytes.len() };
    for mark in ZSH_EOL_MARKS {
        if width == 1 && bytes[..end].ends_with(mark) {
            return end - mark.len();
        }
    }
    // Somebody's own: so many characters, with the sequences between and behind them.
    let mut at = end;
    let mut left = width;
    while at > 0 {
        if let Some(length) = pen_before(&bytes[..at]) {
            at -= length;
        } else if left > 0 && !bytes[at - 1].is_ascii_control() {
            at -= 1;
            while at > 0 && bytes[at] & 0xc0 == 0x80 {
                at -= 1;
            }
            left -= 1;
        } else {
            break;
        }
    }
    if left == 0 { at } else { end }
}

/// Bytes of the pen sequence (SGR) that these end with.
fn pen_before(bytes: &[u8]) -> Option<usize> {
    const SGR_BYTES_MAX: usize = 64;
    let (b'm', before) = bytes.split_last()? else { return None };
    let plain = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let length = before.iter().rev().take(SGR_BYTES_MAX).take_while(plain).count();
    before[..before.len() - length].ends_with(b"\x1b[").then_some(length + 3)
}

/// Where the echo of the typed line ends, in what came since it was typed.
pub(super) fn behind_echo(bytes: &[u8]) -> Option<usize> {
    let echoed = match bytes.windows(PASTE_OFF.len()).rposition(|window| window == PASTE_OFF) {
        Some(place) => place + PASTE_OFF.len(),
        None => bytes.iter().position(|byte| *byte == b'\n')? + 1,
    };
    let blank = bytes[echoed..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    Some(echoed + blank)
}

/// Where the output ends of a command that ended the shell: fish leaves the terminal as it found it.
pub(super) fn before_farewell(bytes: &[u8], shell: Shell) -> usize {
    let mut end = bytes.len();
    if shell != Shell::Fish {
        return end;
    }
    loop {
        let rest = &bytes[..end];
        end -= match pen_before(rest) {
            Some(length) => length,
            None if rest.ends_with(PASTE_OFF) => PASTE_OFF.len(),
            None if rest.ends_with(b"\x1b(B") => 3,
            None => return end,
        };
    }
}

/// What the shell said about a line that it ran nothing of, in what came from the line's echo up to the next prompt. Of a line
/// that was in order (a comment) it says nothing.
pub(super) fn complaint(bytes: &[u8], shell: Shell, foreground: &str, cols: usize) -> Option<Range<usize>> {
    let mut end = bytes.len();
    // The prompt's own marks, the directory, the title.
    while let Some(length) = osc_before(&bytes[..end]) {
        end -= length;
    }
    if shell == Shell::Zsh {
        end = without_eol_mark(&bytes[..end], cols);
    }
    // What else is written before a prompt is not about the line: shells begin what they complain of with their name.
    let name = name(foreground).as_bytes();
    let complains = |line: &[u8]| {
        let line = line.strip_prefix(b"-").unwrap_or(line);
        !name.is_empty() && line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b": "))
    };
    let mut at = behind_echo(&bytes[..end])?;
    if shell == Shell::Fish {
        // It shows the line again.
        end = bytes[at..end].iter().position(|byte| *byte == 0x1b).map_or(end, |place| at + place);
    }
    for line in bytes[at..end].split_inclusive(|byte| *byte == b'\n') {
        if complains(line) {
            return Some(at..at + whole_lines(&bytes[at..end]));
        }
        at += line.len();
    }
    None
}

/// Bytes of the operating system command that these end with.
fn osc_before(bytes: &[u8]) -> Option<usize> {
    let body = match bytes {
        [body @ .., 7] | [body @ .., 0x1b, b'\\'] => body,
        _ => return None,
    };
    let near = body.len().saturating_sub(MARK_BYTES_MAX);
    let begin = near + body[near..].iter().rposition(|byte| *byte == 0x1b)?;
    (body.get(begin + 1) == Some(&b']')).then_some(bytes.len() - begin)
}

/// Output up to where the shell waits again, when it does not tell where that is: whole lines, for the prompt is none.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(bytes: &[u8], shell: Shell) -> &[u8] {
        let bytes = &bytes[..end_of_command(bytes, shell, 10)];
        &bytes[start_of_command(bytes, shell)..]
    }

    #[test]
    fn the_mark_at_the_end_is_no_output() {
        assert_eq!(command(b"a\r\n\x1b]133;D;0\x1b\\", Shell::Bash), b"a\r\n");
        assert_eq!(command(b"\x1b]133;D\x07", Shell::Bash), b"");
        assert_eq!(command(b"plain", Shell::Bash), b"plain");
        let far = [END_MARK, &[b'x'; 9000]].concat();
        assert_eq!(command(&far, Shell::Bash), far);
    }

    #[test]
    fn what_zsh_writes_to_begin_a_row_is_no_output() {
        let default = b"\x1b[1m\x1b[7m%\x1b[27m\x1b[1m\x1b[0m         \r \r";
        assert_eq!(command(default, Shell::Zsh), b"");
        assert_eq!(command(&[b"a\x1b[0m".as_slice(), default, b"\x1b]133;D;0\x07"].concat(), Shell::Zsh), b"a\x1b[0m");
        assert_eq!(command(b"a\r\n          \r\r", Shell::Zsh), b"a\r\n", "no mark");
        assert_eq!(command("a\x1b[31m⏎!\x1b[0m        \r  \r".as_bytes(), Shell::Zsh), b"a", "somebody's own");
        for other in [b"a    \r \r".as_slice(), b"a\r\n", b"\r", b"", b"         \r"] {
            assert_eq!(command(other, Shell::Zsh), other);
        }
        assert_eq!(command(default, Shell::Bash), default);
    }

    #[test]
    fn what_fish_writes_before_a_command_is_no_output() {
        let preamble = b"\x1b[?2004l\x1b]0;ls ~\x07\x1b[30m\x1b(B\x1b[m\r";
        assert_eq!(command(&[preamble.as_slice(), b"\x1b[31mred"].concat(), Shell::Fish), b"\x1b[31mred");
        for other in [b"\x1b[31mred\r".as_slice(), b"\x1b[2J\r", b"a\r", b"", b"\x1b]0;open"] {
            assert_eq!(command(other, Shell::Fish), other);
        }
    }

    #[test]
    fn what_fish_writes_when_it_ends_is_no_output() {
        let bytes = b"bye\r\n\x1b[30m\x1b(B\x1b[m\x1b[?2004l";
        assert_eq!(before_farewell(bytes, Shell::Fish), 5);
        assert_eq!(before_farewell(b"", Shell::Fish), 0);
        assert_eq!(before_farewell(bytes, Shell::Bash), bytes.len());
    }

    #[test]
    fn a_mark_that_was_not_told_is_found() {
        let bytes = b" \x08\x1b[Kexit 3\r\n\x1b[?2004l\r\x1b]133;C;cmdline_url=exit%203\x07exit\r\n";
        assert_eq!(&bytes[behind_begin_mark(bytes).unwrap()..], b"exit\r\n");
        assert_eq!(behind_begin_mark(b"\x1b]133;C\x1b\\x"), Some(9));
        assert_eq!(behind_begin_mark(b"\x1b]133;Copen"), None);
        assert_eq!(behind_begin_mark(b"\x1b]133;C\x1b"), None);
    }

    #[test]
    fn only_what_the_shell_says_of_a_line_is_a_complaint() {
        let prompt = "\x1b]7;file://h/\x07\x1b]133;A\x07";
        let of = |text: &str, shell, foreground| {
            let bytes = format!("{text}{prompt}").into_bytes();
            complaint(&bytes, shell, foreground, 10).map(|said| String::from_utf8(bytes[said].to_vec()).unwrap())
        };
        let echo = " \x08\x1b[Kecho )\r\n\x1b[?2004l\r";
        let error = "bash: syntax error near unexpected token `)'\r\n";
        assert_eq!(of(&format!("{echo}{error}"), Shell::Bash, "/bin/bash -i").as_deref(), Some(error));
        assert_eq!(of(&format!("{echo}own-0\r\n{error}"), Shell::Bash, "-bash").as_deref(), Some(error));
        assert_eq!(of(&format!("{echo}own-0\r\n"), Shell::Bash, "bash"), None, "a person's PROMPT_COMMAND");
        assert_eq!(of(echo, Shell::Bash, "bash"), None);
        assert_eq!(of(&format!("echo )\r\n-{error}"), Shell::Bash, "-bash").unwrap(), format!("-{error}"));
        let zsh = " \x08e\x08echo )\x1b[?2004l\r\r\nzsh: parse error near `)'\r\n\x1b[1m\x1b[7m#\x1b[27m\x1b[1m\x1b[0m         \r \r";
        assert_eq!(of(zsh, Shell::Zsh, "zsh").as_deref(), Some("zsh: parse error near `)'\r\n"));
        assert_eq!(of("", Shell::Bash, ""), None);
    }

    #[test]
    fn a_prompt_has_no_end_of_line() {
        assert_eq!(whole_lines(b"a\r\nb\r\n$ "), 6);
        assert_eq!(whole_lines(b"$ "), 0);
    }

    #[test]
    fn a_prompt_is_marked_to_its_end_or_not_at_all() {
        assert!(is_marked_prompt(b"out\r\n\x1b]133;A\x07two\r\nlines $ \x1b]133;B\x07\x1b[?2004h"));
        for other in [
            &b"$ "[..],
            b"\x1b]133;A\x07$ ",
            b"\x1b]133;A\x07inner $ \x1b]133;B\x07exit\r\nouter $ ",
            b"\x1b]133;B\x07$ \x1b]133;D;0\x07",
        ] {
            assert!(!is_marked_prompt(other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn marks_are_taken_out_and_nothing_else_is() {
        let mut bytes = b"a\r\n\x1b]133;C;cmdline_url=x\x07b\x1b]133;D;1\x1b\\c\x1b]133;\x1b[md\x1b]0;t\x07".to_vec();
        assert_eq!(take_marks(&mut bytes), 22 + 11);
        assert_eq!(bytes, b"a\r\nbc\x1b]133;\x1b[md\x1b]0;t\x07");
    }
}
