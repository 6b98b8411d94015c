//! Characters that a reader does not see, or sees as something else: a text that has them looks like one that it is not.

/// Whether a character is not to be seen for what it is: controls, what changes the direction or joins (bidi and other formats),
/// what has no width, line ends, and spaces that are not the space.
///
/// After `General_Category` Cc, Cf, Zl, Zp, Zs and `Default_Ignorable_Code_Point` of Unicode 16.
#[must_use]
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
            | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Adds a hidden character as what it is called: `\t`, `\n`, `\r`, `\x1b`, `\u{202e}`.
pub fn escape(char: char, out: &mut String) {
    match char {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\0'..='\x7f' => {
            out.push_str("\\x");
            for nibble in [char as u32 >> 4, char as u32 & 15] {
                out.extend(char::from_digit(nibble, 16));
            }
        }
        _ => out.extend(char.escape_unicode()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_for_what_it_is_is_not_hidden() {
        assert!(!"a ~äß漢字🦀e\u{301}ا\u{5d0}\u{fffd}…".chars().any(is_hidden));
        for char in
            "\0\t\n\r\x1b\x7f\u{9b}\u{a0}\u{ad}\u{200b}\u{200d}\u{202e}\u{2028}\u{2066}\u{3000}\u{feff}\u{e0041}"
                .chars()
        {
            assert!(is_hidden(char), "{char:?}");
            let mut text = String::new();
            escape(char, &mut text);
            assert!(text.is_ascii() && text.starts_with('\\'), "{text}");
        }
    }

    #[test]
    fn what_is_hidden_is_called_by_its_name() {
        let escaped = |char| {
            let mut text = String::new();
            escape(char, &mut text);
            text
        };
        assert_eq!(
            ['\t', '\n', '\x1b', '\u{9b}', '\u{202e}'].map(escaped),
            ["\\t", "\\n", "\\x1b", "\\u{9b}", "\\u{202e}"]
        );
    }
}
