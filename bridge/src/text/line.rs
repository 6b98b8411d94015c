//! The line that is being written: text, and the place in it where the next character goes.

/// Most columns a movement, a repetition or a run of blanks may count: no terminal of Baton's is wider.
pub const COLUMNS_MAX: usize = baton_proto::v1::Viewport::SIDE_MAX as usize;
/// In a longer line with characters of several bytes columns are taken for bytes: counting them anew for each tab would
/// cost more than a tab is worth.
const COUNTED_BYTES_MAX: usize = 4 << 10;
const BLANKS: &str = "                                ";

/// A line as it grows. Every column is taken to hold one character.
#[derive(Debug, Default)]
pub struct Growing {
    text: String,
    /// Where the next character goes, when that is not the end.
    place: Option<usize>,
    /// Some character has several bytes.
    wide: bool,
}

impl Growing {
    /// What is shown of it: blanks behind the cursor were rubbed out.
    pub fn shown(&self) -> &str {
        match self.place {
            Some(place) if self.text.as_bytes()[place..].iter().all(|byte| *byte == b' ') => &self.text[..place],
            _ => &self.text,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Nothing of it can be seen.
    pub fn is_blank(&self) -> bool {
        self.text.bytes().all(|byte| byte == b' ')
    }

    /// Bytes of text.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.place = None;
        self.wide = false;
    }

    /// Writes at the cursor over what is there, and returns what did not fit in before the end.
    pub fn write_over<'a>(&mut self, text: &'a str) -> &'a str {
        let Some(place) = self.place else { return text };
        let there = self.text[place..].chars().count();
        let used = text.char_indices().nth(there).map_or(text.len(), |(at, _)| at);
        let (over, rest) = text.split_at(used);
        self.wide |= !over.is_ascii();
        let end = self.right_of(place, over.chars().count());
        self.text.replace_range(place..end, over);
        self.move_to(place + over.len());
        rest
    }

    /// Writes behind the end, where the cursor is.
    pub fn append(&mut self, text: &str) {
        self.wide |= !text.is_ascii();
        self.text.push_str(text);
    }

    /// The cursor goes left.
    pub fn back(&mut self, columns: usize) {
        let from = self.place.unwrap_or(self.text.len());
        let to = if self.wide {
            let before = self.text[..from].char_indices().rev();
            before.map(|(at, _)| at).take(columns).last().unwrap_or(from)
        } else {
            from.saturating_sub(columns)
        };
        self.move_to(to);
    }

    /// The cursor goes right; beyond the end there are blanks, at most `room` of them.
    pub fn forward(&mut self, columns: usize, room: usize) {
        let left = match self.place {
            None => columns,
            Some(place) => {
                let end = self.right_of(place, columns);
                let passed = self.text[place..end].chars().count();
                self.move_to(end);
                columns - passed
            }
        };
        self.pad(left.min(room));
    }

    /// The cursor goes to a column; beyond the end there are blanks.
    pub fn go_to_column(&mut self, column: usize) {
        self.move_to(0);
        self.forward(column, column);
    }

    /// Columns before the cursor.
    pub fn column(&self) -> usize {
        let at = self.place.unwrap_or(self.text.len());
        if self.wide && at <= COUNTED_BYTES_MAX { self.text[..at].chars().count() } else { at }
    }

    /// Everything from the cursor on vanishes.
    pub fn erase_rest(&mut self) {
        if let Some(place) = self.place.take() {
            self.text.truncate(place);
        }
    }

    /// Characters at the cursor vanish, what follows them moves left.
    pub fn delete(&mut self, columns: usize) {
        if let Some(place) = self.place {
            let end = self.right_of(place, columns);
            self.text.replace_range(place..end, "");
            self.move_to(place);
        }
    }

    /// What stands at the cursor moves right.
    pub fn insert(&mut self, columns: usize) {
        if let Some(place) = self.place {
            self.text.insert_str(place, &" ".repeat(columns));
        }
    }

    /// Characters at the cursor become blanks.
    pub fn blank(&mut self, columns: usize) {
        if let Some(place) = self.place {
            let end = self.right_of(place, columns);
            let count = self.text[place..end].chars().count();
            self.text.replace_range(place..end, &" ".repeat(count));
        }
    }

    fn pad(&mut self, mut columns: usize) {
        while columns > 0 {
            let some = columns.min(BLANKS.len());
            self.text.push_str(&BLANKS[..some]);
            columns -= some;
        }
    }

    fn move_to(&mut self, place: usize) {
        self.place = (place < self.text.len()).then_some(place);
    }

    /// The byte so many characters to the right.
    fn right_of(&self, place: usize, columns: usize) -> usize {
        if self.wide {
            self.text[place..].char_indices().nth(columns).map_or(self.text.len(), |(at, _)| place + at)
        } else {
            (place + columns).min(self.text.len())
        }
    }
}
