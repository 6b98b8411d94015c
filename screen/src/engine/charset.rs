//! Character sets of seven bits (SCS): DEC's line drawing, and the national ones that replace a few ASCII characters.

/// A set, by the final byte that designates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset(u8);

impl Default for Charset {
    fn default() -> Self {
        Self(b'B')
    }
}

/// Which characters of ASCII each set replaces, in the order of its second string.
const SETS: &[(&[u8], &str, &str)] = &[
    (b"0", "`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"),
    (b"A", "#", "£"),
    (b"4", "#@[\\]{|}~", "£¾i½|¨f¼´"),
    (b"C5", "[\\]^`{|}~", "ÄÖÅÜéäöåü"),
    (b"R", "#@[\\]{|}~", "£à°ç§éùè¨"),
    (b"Q", "@[\\]^`{|}~", "àâçêîôéùèû"),
    (b"K", "@[\\]{|}~", "§ÄÖÜäöüß"),
    (b"Y", "#@[\\]`{|}~", "£§°çéùàòèì"),
    (b"E6", "@[\\]^`{|}~", "ÄÆØÅÜäæøåü"),
    (b"Z", "#@[\\]{|}", "£§¡Ñ¿°ñç"),
    (b"H7", "@[\\]^`{|}~", "ÉÄÖÅÜéäöåü"),
    (b"=", "#@[\\]^_`{|}~", "ùàéçêîèôäöüû"),
];

impl Charset {
    /// The set a final byte designates; none if there is no such set.
    pub(crate) fn designated(action: u8) -> Option<Self> {
        let known = action == b'B' || SETS.iter().any(|(actions, ..)| actions.contains(&action));
        known.then_some(Self(action))
    }

    /// The final byte that designates it.
    pub(crate) fn action(self) -> u8 {
        self.0
    }

    pub(crate) fn is_ascii(self) -> bool {
        self.0 == b'B'
    }

    pub(crate) fn map(self, character: char) -> char {
        if self.is_ascii() || !('!'..'\u{7f}').contains(&character) {
            return character;
        }
        SETS.iter()
            .find(|(actions, ..)| actions.contains(&self.0))
            .and_then(|(_, from, to)| {
                let index = from.bytes().position(|byte| char::from(byte) == character)?;
                to.chars().nth(index)
            })
            .unwrap_or(character)
    }
}
