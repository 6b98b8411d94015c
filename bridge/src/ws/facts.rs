//! What a client says of its own terminal, checked: queries are answered from what the lease's owner said.

use baton_proto::api::TermFacts;
use baton_proto::v1::{Attachment, TerminalFacts};

/// Bytes of an answer to DA1.
const DA1_BYTES_MAX: usize = 64;
/// Pixels of a cell's side.
const CELL_PX_MAX: u16 = 1024;

/// The facts for the worker. What makes no sense is left out: nobody's session depends on a colour.
pub(super) fn checked(attachment: Attachment, facts: &TermFacts) -> TerminalFacts {
    let plain = |text: &&String| {
        let good = |byte: u8| byte.is_ascii_digit() || byte == b';';
        (1..=DA1_BYTES_MAX).contains(&text.len()) && text.bytes().all(good)
    };
    let cell = |[width, height]: [u16; 2]| {
        let good = |side| (1..=CELL_PX_MAX).contains(&side);
        (good(width) && good(height)).then_some((width, height))
    };
    TerminalFacts {
        attachment,
        fg: facts.fg.as_deref().and_then(colour),
        bg: facts.bg.as_deref().and_then(colour),
        kitty: facts.kitty.map(|flags| flags & 0b1_1111),
        da1: facts.da1.as_ref().filter(plain).cloned(),
        cell_px: facts.cell_px.and_then(cell),
    }
}

/// `#rgb`, `#rrggbb`, or `rgb:r/g/b` with one to four digits each, as terminals answer.
fn colour(text: &str) -> Option<[u8; 3]> {
    let parts: Vec<&str> = match text.strip_prefix("rgb:") {
        Some(rest) => rest.split('/').collect(),
        None => {
            let digits = text.strip_prefix('#').filter(|digits| digits.is_ascii())?;
            let width = match digits.len() {
                3 => 1,
                6 => 2,
                _ => return None,
            };
            (0..3).map(|part| &digits[part * width..(part + 1) * width]).collect()
        }
    };
    let [red, green, blue] = parts[..] else { return None };
    Some([channel(red)?, channel(green)?, channel(blue)?])
}

/// So many hexadecimal digits are so many parts of their largest number.
fn channel(digits: &str) -> Option<u8> {
    if !(1..=4).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    let most = (1u32 << (4 * digits.len())) - 1;
    u8::try_from((value * 255 + most / 2) / most).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_people_and_terminals_write_them() {
        for (text, expected) in [
            ("#fff", Some([255, 255, 255])),
            ("#1e2030", Some([0x1e, 0x20, 0x30])),
            ("rgb:1e1e/2020/3030", Some([0x1e, 0x20, 0x30])),
            ("rgb:f/0/8", Some([255, 0, 136])),
            ("rgb:ffff/0000/7fff", Some([255, 0, 127])),
            ("white", None),
            ("#ffff", None),
            ("#ä1234", None),
            ("#+1+1+1", None),
            ("rgb:1/2", None),
            ("rgb:1/2/3/4", None),
            ("rgb:11111/2/3", None),
            ("", None),
        ] {
            assert_eq!(colour(text), expected, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let attachment = Attachment(3);
        let facts = TermFacts {
            fg: Some("#abc".to_owned()),
            bg: Some("none".to_owned()),
            kitty: Some(u32::MAX),
            da1: Some("62;22\x1b".to_owned()),
            cell_px: Some([0, 20]),
        };
        let expected = TerminalFacts {
            attachment,
            fg: Some([0xaa, 0xbb, 0xcc]),
            bg: None,
            kitty: Some(31),
            da1: None,
            cell_px: None,
        };
        assert_eq!(checked(attachment, &facts), expected);
        let facts = TermFacts { da1: Some("62;22".to_owned()), cell_px: Some([9, 20]), ..TermFacts::default() };
        let said = checked(attachment, &facts);
        assert_eq!((said.da1.as_deref(), said.cell_px), (Some("62;22"), Some((9, 20))));
    }
}
