//! How many columns a character takes, and whether it joins the one before it.

use unicode_width::UnicodeWidthChar;

/// Columns of a character: 0 joins the character before it.
#[must_use]
pub fn columns(character: char) -> u8 {
    if ('\u{20}'..'\u{7f}').contains(&character) {
        return 1;
    }
    match character.width() {
        Some(0) => 0,
        Some(2) => 2,
        _ => 1,
    }
}

/// Whether every terminal gives the cell's text the width we gave it. Where they might not, the cursor's column is said again
/// behind it.
#[must_use]
pub fn is_undisputed(text: &str) -> bool {
    let mut characters = text.chars();
    let (Some(first), None) = (characters.next(), characters.next()) else { return text.is_empty() };
    match u32::from(first) {
        // Latin, Greek, Cyrillic; punctuation, arrows, boxes and blocks.
        0x20..0x300 | 0x370..0x483 | 0x2010..0x2028 | 0x2190..0x231a | 0x2500..0x25fd => true,
        // Kana, ideographs, Hangul syllables, full-width forms: wide since East Asian Width exists.
        0x3041..0x3097 | 0x30a0..0x3100 | 0x3400..0x4dc0 | 0x4e00..0xa000 | 0xac00..0xd7a4 | 0xff01..0xff61 => true,
        _ => false,
    }
}
