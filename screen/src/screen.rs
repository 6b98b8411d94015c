//! A screen as the rest of Baton uses it: bytes of a stream in; what is seen, what is to be answered, what is worth marking out.

use std::fmt;

use baton_proto::v1::{Dimensions, MarkKind};

use crate::engine::{ScreenEngine as _, Terminal};
use crate::facts::Facts;
use crate::fast_forward::Skip;
use crate::ground::{Event, Ground};
use crate::marks::{Mark, Marks};
use crate::queries;
use crate::view::{Modes, Screenful};

/// Bytes it is worth skipping.
const SKIP_MIN: usize = 1024;

/// Bytes fed before it is looked again whether what follows can be skipped.
const STRETCH: usize = 1024;

/// Something the bytes said to somebody else than the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Right behind the byte that made it.
    pub offset: u64,
    /// What.
    pub what: What,
}

/// See [`Seen`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The program asked; these bytes are to be typed.
    Reply(Vec<u8>),
    /// Worth finding again.
    Mark(MarkKind, String),
    /// The modes or the title are not what they were when this was last said.
    Modes,
}

// The worker computes screens of the past on a thread of their own.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Screen>();
};

/// What a program's output shows, at one place of it.
pub struct Screen {
    ground: Ground,
    terminal: Terminal,
    facts: Facts,
    marks: Marks,
    /// Bytes taken.
    offset: u64,
    /// What [`What::Modes`] was last said of.
    told: (Modes, Option<String>),
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Screen")
            .field("offset", &self.offset)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// A screen nothing was written to, without lines above it.
    #[must_use]
    pub fn new(size: Dimensions) -> Self {
        Self::with_history(size, 0)
    }

    /// The same, keeping up to `lines` lines that scroll off its top.
    #[must_use]
    pub fn with_history(size: Dimensions, lines: usize) -> Self {
        Self {
            ground: Ground::default(),
            terminal: Terminal::new(size, lines),
            facts: Facts::default(),
            marks: Marks::default(),
            offset: 0,
            told: (Modes::default(), None),
        }
    }

    /// The screen a [`Screen::snapshot`] was made of; the stream goes on at `offset`.
    #[must_use]
    pub fn restore(size: Dimensions, lines: usize, offset: u64, snapshot: &[u8]) -> Self {
        let mut screen = Self::with_history(size, lines);
        let terminal = &mut screen.terminal;
        screen.ground.feed(snapshot, &mut |event, _| terminal.apply(event));
        // A snapshot that ends in a string was made inside of one that is skipped.
        screen.ground.skip();
        screen.offset = offset;
        screen.told = (screen.modes(), screen.title().map(str::to_owned));
        screen
    }

    /// The stream does not begin at 0 but here. To be said before the first byte.
    pub fn start_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Goes on with the stream, however it is cut.
    pub fn feed(&mut self, bytes: &[u8], seen: &mut Vec<Seen>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.feed_some(rest, seen);
        }
    }

    /// Without [`Screen::feed`]'s skipping of what nobody sees: what that is measured against, and has to equal.
    #[doc(hidden)]
    pub fn feed_plainly(&mut self, bytes: &[u8], seen: &mut Vec<Seen>) {
        let Self { ground, terminal, facts, marks, offset, told } = self;
        let start = *offset;
        ground.feed(bytes, &mut |event, end| take(event, start + end as u64, terminal, facts, marks, told, seen));
        self.offset += bytes.len() as u64;
    }

    /// Feeds a stretch, skipping what nobody sees of it. Returns the rest.
    fn feed_some<'a>(&mut self, bytes: &'a [u8], seen: &mut Vec<Seen>) -> &'a [u8] {
        let rows = usize::from(self.size().rows);
        if bytes.len() < SKIP_MIN || !self.ground.is_ground() || !self.terminal.is_plain() {
            let (now, rest) = bytes.split_at(bytes.len().min(STRETCH));
            self.feed_plainly(now, seen);
            return rest;
        }
        let skip = Skip::find(bytes, rows);
        let skipped = if skip.length() < SKIP_MIN { 0 } else { skip.length() };
        if skipped > 0 {
            for sequence in skip.sequences() {
                self.feed_plainly(sequence, seen);
                self.offset -= sequence.len() as u64;
            }
            // It is skipped to behind a CR.
            self.terminal.apply(Event::Control(b'\r'));
            self.offset += skipped as u64;
        }
        // What ended the run is fed with it, or nothing would be fed if that is at its beginning.
        let end = (skip.run + STRETCH).min(bytes.len());
        let (now, rest) = bytes[skipped..].split_at(end - skipped);
        self.feed_plainly(now, seen);
        rest
    }

    /// The bytes up to `to` are not known. What they would have changed is not known either; the next byte is read as the first of
    /// something new.
    pub fn gap(&mut self, to: u64) {
        self.ground.reset();
        self.terminal.preceding = 0;
        self.offset = self.offset.max(to);
    }

    /// Another size, at this place of the stream.
    pub fn resize(&mut self, size: Dimensions) {
        self.terminal.resize(size);
    }

    /// Bytes taken, counted from the stream's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The state is the one at this offset: the bytes between it and [`Screen::offset`] are the beginning of something unfinished.
    #[must_use]
    pub fn boundary(&self) -> u64 {
        self.offset.saturating_sub(self.ground.unfinished())
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> Dimensions {
        self.terminal.size()
    }

    /// What the program switched on.
    #[must_use]
    pub fn modes(&self) -> Modes {
        self.terminal.modes()
    }

    /// The program's title, if it set one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.terminal.title()
    }

    /// The directory the program told (OSC 7), as it told it.
    #[must_use]
    pub fn cwd(&self) -> Option<&str> {
        self.terminal.cwd()
    }

    /// Whose terminal answers are made for.
    pub fn set_facts(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Directories told by programs on other hosts than this are no marks. Without a host all are.
    pub fn set_host(&mut self, host: &str) {
        self.marks = Marks::new(host);
    }

    /// Lines kept above the screen that is shown.
    #[must_use]
    pub fn history(&self) -> usize {
        self.terminal.screen().history()
    }

    /// All that is seen at [`Screen::boundary`], with up to `history` lines above the screen.
    #[must_use]
    pub fn view(&self, history: usize) -> Screenful {
        self.terminal.view(history)
    }

    /// Terminal bytes that bring a terminal of this size, in whatever state, to [`Screen::boundary`]; the stream goes on there. Up to
    /// `history` lines above the screen come first.
    #[must_use]
    pub fn snapshot(&self, history: usize) -> Vec<u8> {
        let mut bytes = self.terminal.snapshot(history);
        bytes.extend_from_slice(self.ground.reopening());
        bytes
    }
}

/// Acts upon one event, and says what it says to others.
fn take(
    event: Event<'_>,
    offset: u64,
    terminal: &mut Terminal,
    facts: &Facts,
    marks: &mut Marks,
    told: &mut (Modes, Option<String>),
    seen: &mut Vec<Seen>,
) {
    let mut mark = |found: Option<Mark>| {
        if let Some(Mark { kind, text }) = found {
            seen.push(Seen { offset, what: What::Mark(kind, text) });
        }
    };
    match event {
        Event::Text(_) => terminal.apply(event),
        Event::Control(control) => {
            mark(Mark::of_control(control));
            terminal.apply(event);
        }
        // Half of all sequences, and of no interest to anybody else.
        Event::Sequence(sequence) if sequence.is_csi(0, b"", b'm') => terminal.apply(event),
        Event::Sequence(sequence) => {
            mark(marks.take(sequence));
            if let Some(answer) = queries::answer(sequence, facts, &*terminal) {
                seen.push(Seen { offset, what: What::Reply(answer) });
            }
            terminal.apply(event);
            if terminal.modes() != told.0 || terminal.title() != told.1.as_deref() {
                *told = (terminal.modes(), terminal.title().map(str::to_owned));
                seen.push(Seen { offset, what: What::Modes });
            }
        }
    }
}
