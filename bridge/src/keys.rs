//! Key names (W3C UI Events `key` values with `Ctrl+`, `Alt+`, `Shift+`) as the bytes that xterm sends for them.

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no key: use a W3C key name (`Enter`, `ArrowUp`, `F5`, `a`) with `Ctrl+`, `Alt+` or `Shift+` before it"
)]
pub struct UnknownKey(String);

/// Modifiers as xterm counts them in the parameter of a function key: one more than the sum of these bits.
#[derive(Debug, Clone, Copy, Default)]
struct Modifiers {
    shift: bool,
    alt: bool,
    ctrl: bool,
}

impl Modifiers {
    const fn parameter(self) -> u8 {
        1 + self.shift as u8 + 2 * self.alt as u8 + 4 * self.ctrl as u8
    }
}

/// Appends the bytes of a key. `application_cursor`: the program wants cursor keys as `SS3 letter`.
///
/// # Errors
/// [`UnknownKey`].
pub fn encode(name: &str, application_cursor: bool, out: &mut Vec<u8>) -> Result<(), UnknownKey> {
    let refused = || UnknownKey(name.chars().take(40).collect());
    let mut modifiers = Modifiers::default();
    let mut key = name;
    // A lone `+` is a key; so is the one in `Ctrl++`.
    while let Some((prefix, rest)) = key.split_once('+').filter(|(prefix, rest)| !prefix.is_empty() && !rest.is_empty())
    {
        match prefix {
            "Ctrl" | "Control" => modifiers.ctrl = true,
            "Alt" | "Meta" => modifiers.alt = true,
            "Shift" => modifiers.shift = true,
            _ => return Err(refused()),
        }
        key = rest;
    }
    let mut plain = |bytes: &[u8]| {
        if modifiers.alt {
            out.push(0x1b);
        }
        out.extend_from_slice(bytes);
    };
    match key {
        "Enter" => plain(b"\r"),
        "Tab" if modifiers.shift => plain(b"\x1b[Z"),
        "Tab" => plain(b"\t"),
        "Escape" | "Esc" => plain(b"\x1b"),
        "Backspace" if modifiers.ctrl => plain(b"\x08"),
        "Backspace" => plain(b"\x7f"),
        "Space" | "Spacebar" if modifiers.ctrl => plain(b"\0"),
        "Space" | "Spacebar" => plain(b" "),
        "ArrowUp" | "Up" => cursor(b'A', modifiers, application_cursor, out),
        "ArrowDown" | "Down" => cursor(b'B', modifiers, application_cursor, out),
        "ArrowRight" | "Right" => cursor(b'C', modifiers, application_cursor, out),
        "ArrowLeft" | "Left" => cursor(b'D', modifiers, application_cursor, out),
        "End" => cursor(b'F', modifiers, application_cursor, out),
        "Home" => cursor(b'H', modifiers, application_cursor, out),
        "Insert" => tilde(2, modifiers, out),
        "Delete" => tilde(3, modifiers, out),
        "PageUp" => tilde(5, modifiers, out),
        "PageDown" => tilde(6, modifiers, out),
        _ => {
            if let Some(number) = key.strip_prefix('F').and_then(|number| number.parse::<u8>().ok()) {
                return function(number, modifiers, out).ok_or_else(refused);
            }
            let mut chars = key.chars();
            let (Some(only), None) = (chars.next(), chars.next()) else { return Err(refused()) };
            let mut buffer = [0; 4];
            if modifiers.ctrl {
                plain(&[control(only).ok_or_else(refused)?]);
            } else if modifiers.shift && only.is_ascii_lowercase() {
                plain(&[only.to_ascii_uppercase() as u8]);
            } else if only.is_control() {
                return Err(refused());
            } else {
                plain(only.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    Ok(())
}

/// The control character of a key, as a terminal's keyboard has them.
fn control(key: char) -> Option<u8> {
    match key {
        'a'..='z' | 'A'..='Z' => Some(key.to_ascii_uppercase() as u8 - b'@'),
        '@' | ' ' | '2' => Some(0),
        '[' | '3' => Some(0x1b),
        '\\' | '4' => Some(0x1c),
        ']' | '5' => Some(0x1d),
        '^' | '6' => Some(0x1e),
        '_' | '-' | '/' | '7' => Some(0x1f),
        '?' | '8' => Some(0x7f),
        _ => None,
    }
}

/// Cursor keys: `CSI letter`, with modifiers `CSI 1 ; m letter`.
fn letter(last: u8, modifiers: Modifiers, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b[");
    if modifiers.parameter() > 1 {
        out.extend_from_slice(format!("1;{}", modifiers.parameter()).as_bytes());
    }
    out.push(last);
}

/// As [`letter`]; in application mode `SS3 letter`, unless there are modifiers.
fn cursor(last: u8, modifiers: Modifiers, application: bool, out: &mut Vec<u8>) {
    if application && modifiers.parameter() == 1 {
        out.extend_from_slice(&[0x1b, b'O', last]);
    } else {
        letter(last, modifiers, out);
    }
}

/// Editing keys: `CSI n ~`, with modifiers `CSI n ; m ~`.
fn tilde(number: u8, modifiers: Modifiers, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\x1b[{number}").as_bytes());
    if modifiers.parameter() > 1 {
        out.extend_from_slice(format!(";{}", modifiers.parameter()).as_bytes());
    }
    out.push(b'~');
}

/// F1 to F4 are `SS3 P…S` (with modifiers `CSI 1 ; m P…S`), F5 to F12 editing keys with gaps in the numbers.
fn function(number: u8, modifiers: Modifiers, out: &mut Vec<u8>) -> Option<()> {
    match number {
        1..=4 if modifiers.parameter() == 1 => out.extend_from_slice(&[0x1b, b'O', b'P' + number - 1]),
        1..=4 => letter(b'P' + number - 1, modifiers, out),
        5 => tilde(15, modifiers, out),
        6..=10 => tilde(number + 11, modifiers, out),
        11 | 12 => tilde(number + 12, modifiers, out),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[u8]) {
        let mut out = Vec::new();
        encode(name, false, &mut out).unwrap();
        assert_eq!(out, expected, "{name}");
    }

    #[test]
    fn cursor_keys_are_as_the_program_wants_them() {
        let keys: [(&str, &[u8]); 6] = [
            ("ArrowUp", b"\x1bOA"),
            ("Home", b"\x1bOH"),
            ("End", b"\x1bOF"),
            ("Ctrl+ArrowUp", b"\x1b[1;5A"),
            ("F1", b"\x1bOP"),
            ("Delete", b"\x1b[3~"),
        ];
        for (name, expected) in keys {
            let mut out = Vec::new();
            encode(name, true, &mut out).unwrap();
            assert_eq!(out, expected, "{name}");
        }
    }

    #[test]
    fn keys_are_what_xterm_sends() {
        for (name, expected) in [
            ("Enter", &b"\r"[..]),
            ("Tab", b"\t"),
            ("Shift+Tab", b"\x1b[Z"),
            ("Escape", b"\x1b"),
            ("Backspace", b"\x7f"),
            ("Ctrl+c", b"\x03"),
            ("Ctrl+C", b"\x03"),
            ("Ctrl+[", b"\x1b"),
            ("Ctrl+\\", b"\x1c"),
            ("Ctrl+Space", b"\0"),
            ("Alt+x", b"\x1bx"),
            ("Alt+Enter", b"\x1b\r"),
            ("Shift+a", b"A"),
            ("+", b"+"),
            ("Alt++", b"\x1b+"),
            ("ä", "ä".as_bytes()),
            ("ArrowUp", b"\x1b[A"),
            ("Ctrl+ArrowRight", b"\x1b[1;5C"),
            ("Shift+Home", b"\x1b[1;2H"),
            ("Delete", b"\x1b[3~"),
            ("Ctrl+Delete", b"\x1b[3;5~"),
            ("PageDown", b"\x1b[6~"),
            ("F1", b"\x1bOP"),
            ("Shift+F1", b"\x1b[1;2P"),
            ("F5", b"\x1b[15~"),
            ("F10", b"\x1b[21~"),
            ("F12", b"\x1b[24~"),
        ] {
            check(name, expected);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for name in ["", "Entr", "Hyper+a", "F0", "F13", "Ctrl+é", "ab", "\n", "Ctrl+Shift"] {
            assert!(encode(name, false, &mut Vec::new()).is_err(), "{name}");
        }
    }
}
