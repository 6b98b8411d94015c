//! A remark of Baton's own on a screen that belongs to a program.
//!
//! On the main screen it stands on the bottom line for a moment, or on the top one while the cursor is at the bottom. It is taken
//! away before anything else is written, and the line is painted as it was. A program that has the screen for itself, or a scroll
//! region, is left alone: there the window's title says it. Where the screen is painted anyway, the painter puts it in its place.

use std::time::Duration;

use baton_proto::api::Viewport;
use tokio::time::Instant;

use super::mirror::Mirror;
use super::paint;
use super::screen::Screen;
use crate::report::clean_line;

/// How long a remark stays.
const SHOWN: Duration = Duration::from_secs(4);

/// Output must rest for so long before a remark is put into it.
const REST: Duration = Duration::from_millis(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A line, from 0.
    Line(u16),
    Title,
}

/// At most one remark.
#[derive(Debug, Default)]
pub struct Notice {
    text: Option<String>,
    /// When it goes; `None` stays until it is replaced or withdrawn.
    until: Option<Instant>,
    /// Not before this.
    draw_at: Option<Instant>,
    drawn: Option<Place>,
}

impl Notice {
    /// Wants something said for a moment.
    pub fn say(&mut self, text: &str, now: Instant) {
        self.set(text, Some(now + SHOWN), now);
    }

    /// Wants something said until it is withdrawn.
    pub fn keep(&mut self, text: &str, now: Instant) {
        if self.text.as_deref() != Some(text) {
            self.set(text, None, now);
        }
    }

    /// What was kept is no longer so.
    pub const fn withdraw(&mut self, now: Instant) {
        if self.text.is_some() && self.until.is_none() {
            self.until = Some(now);
        }
    }

    /// Whatever it says is no longer so.
    pub const fn dismiss(&mut self, now: Instant) {
        self.until = Some(now);
    }

    fn set(&mut self, text: &str, until: Option<Instant>, now: Instant) {
        self.text = Some(clean_line(text));
        self.until = until;
        self.draw_at = Some(now);
    }

    /// Must be called before output is written, and before the mirror has it: takes a remark off its line.
    pub fn before_output(&mut self, now: Instant, mirror: &Mirror, out: &mut Vec<u8>) {
        if let Some(Place::Line(row)) = self.drawn {
            erase(row, mirror, out);
            self.drawn = None;
        }
        if self.text.is_some() && self.drawn.is_none() {
            self.draw_at = Some(now + REST);
        }
    }

    /// The screen is going to be drawn anew, all of it.
    pub fn painted_over(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.drawn.take() == Some(Place::Title) {
            out.extend_from_slice(b"\x1b[23;2t");
        }
        if self.text.is_some() {
            self.draw_at = Some(now + REST);
        }
    }

    /// What there is to say, for who paints the whole screen.
    pub fn current(&mut self, now: Instant) -> Option<&str> {
        if self.until.is_some_and(|until| until <= now) {
            self.forget();
        }
        self.draw_at = None;
        self.text.as_deref()
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let draw = if self.drawn.is_none() { self.draw_at } else { self.draw_at.filter(|_| self.text.is_some()) };
        self.text.as_ref().and_then(|_| [self.until, draw].into_iter().flatten().min())
    }

    /// Draws or removes what is due.
    pub fn tick(&mut self, now: Instant, screen: &Screen, mirror: &Mirror, size: Viewport, out: &mut Vec<u8>) {
        if self.until.is_some_and(|until| until <= now) {
            self.remove(mirror, out);
            return;
        }
        if self.draw_at.is_none_or(|at| at > now) {
            return;
        }
        let Some(text) = self.text.clone() else { return };
        if !screen.is_ground() {
            self.draw_at = Some(now + REST);
            return;
        }
        self.draw_at = None;
        self.undraw(mirror, out);
        let modes = screen.modes();
        if modes.alternate || modes.region {
            out.extend_from_slice(format!("\x1b[22;2t\x1b]2;{text}\x07").as_bytes());
            self.drawn = Some(Place::Title);
        } else {
            let bottom = size.rows.saturating_sub(1);
            let row = if mirror.view().cursor.row < bottom { bottom } else { 0 };
            draw(&text, row, size.cols, out);
            self.drawn = Some(Place::Line(row));
        }
    }

    /// Takes everything back, at the end.
    pub fn remove(&mut self, mirror: &Mirror, out: &mut Vec<u8>) {
        self.undraw(mirror, out);
        self.forget();
    }

    fn forget(&mut self) {
        self.text = None;
        self.until = None;
        self.draw_at = None;
    }

    fn undraw(&mut self, mirror: &Mirror, out: &mut Vec<u8>) {
        match self.drawn.take() {
            Some(Place::Line(row)) => erase(row, mirror, out),
            Some(Place::Title) => out.extend_from_slice(b"\x1b[23;2t"),
            None => {}
        }
    }
}

fn draw(text: &str, row: u16, cols: u16, out: &mut Vec<u8>) {
    // The last column stays free: writing there may leave the terminal about to wrap.
    let text: String = text.chars().take(usize::from(cols.saturating_sub(1))).collect();
    out.extend_from_slice(format!("\x1b7\x1b[{};1H\x1b[0m\x1b[2K\x1b[2m{text}\x1b[0m\x1b8", row + 1).as_bytes());
}

fn erase(row: u16, mirror: &Mirror, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\x1b7\x1b[{};1H\x1b[0m\x1b[2K", row + 1).as_bytes());
    paint::whole_line(&mirror.view(), row, out);
    out.extend_from_slice(b"\x1b8");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Viewport = Viewport { cols: 20, rows: 5 };

    fn mirror(output: &str) -> Mirror {
        let mut mirror = Mirror::new(SIZE);
        mirror.feed(output.as_bytes());
        mirror
    }

    fn tick(notice: &mut Notice, screen: &Screen, mirror: &Mirror, now: Instant) -> String {
        let mut out = Vec::new();
        notice.tick(now, screen, mirror, SIZE, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[tokio::test]
    async fn a_remark_comes_when_output_rests_and_goes_before_it() {
        let now = Instant::now();
        let (screen, mirror) = (Screen::new(), mirror("$ "));
        let mut notice = Notice::default();
        notice.say("[a remark \x1b that is too long]", now);
        let drawn = tick(&mut notice, &screen, &mirror, now);
        assert!(drawn.contains("\x1b[5;1H") && drawn.contains("[a remark \\x1b that\x1b"), "{drawn:?}");
        let mut out = Vec::new();
        notice.before_output(now, &mirror, &mut out);
        assert!(!out.is_empty(), "taken away before output");
        assert_eq!(tick(&mut notice, &screen, &mirror, now), "", "not at once again");
        assert!(tick(&mut notice, &screen, &mirror, now + REST).contains("a remark"));
        assert!(tick(&mut notice, &screen, &mirror, now + SHOWN).contains("\x1b[2K"));
        assert_eq!(notice.deadline(), None);
    }

    #[tokio::test]
    async fn the_line_it_stood_on_is_as_it_was() {
        let now = Instant::now();
        for output in [
            "one\r\ntwo",
            "1\r\n2\r\n3\r\n4\r\n\x1b[31mfive",
            "\x1b[5;1H\x1b[44mlast \x1b[K\x1b[1;3Hx",
            "12345678901234567890",
        ] {
            let (screen, mirror) = (Screen::new(), mirror(output));
            let mut terminal = Mirror::new(SIZE);
            terminal.feed(&mirror.bytes());
            let mut notice = Notice::default();
            notice.say("[a remark]", now);
            terminal.feed(tick(&mut notice, &screen, &mirror, now).as_bytes());
            let (said, cursor) = (terminal.view(), mirror.view().cursor);
            assert_ne!(said.lines, mirror.view().lines, "{output:?}");
            let under = &said.lines[usize::from(cursor.row)].cells;
            assert_eq!(*under, mirror.view().lines[usize::from(cursor.row)].cells, "nobody types below it: {output:?}");
            let mut out = Vec::new();
            notice.before_output(now, &mirror, &mut out);
            terminal.feed(&out);
            let (back, before) = (terminal.view(), mirror.view());
            assert_eq!((back.cursor.row, back.cursor.col), (before.cursor.row, before.cursor.col), "{output:?}");
            for (back, before) in back.lines.iter().zip(&before.lines) {
                let cells = |line: &baton_screen::view::Line| {
                    line.cells.iter().map(|cell| (cell.text.replace(' ', ""), cell.style)).collect::<Vec<_>>()
                };
                assert_eq!(cells(back), cells(before), "{output:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_full_screen_program_is_left_alone() {
        let now = Instant::now();
        let mirror = mirror("\x1b[?1049h");
        let mut screen = Screen::new();
        screen.feed(b"\x1b[?1049h", &mut Vec::new());
        let mut notice = Notice::default();
        notice.keep("[gone]", now);
        assert_eq!(tick(&mut notice, &screen, &mirror, now), "\x1b[22;2t\x1b]2;[gone]\x07");
        let mut out = Vec::new();
        notice.before_output(now, &mirror, &mut out);
        assert!(out.is_empty());
        notice.withdraw(now);
        assert_eq!(tick(&mut notice, &screen, &mirror, now), "\x1b[23;2t");
    }

    #[tokio::test]
    async fn nothing_is_put_into_a_sequence() {
        let now = Instant::now();
        let mirror = mirror("\x1b[3");
        let mut screen = Screen::new();
        screen.feed(b"\x1b[3", &mut Vec::new());
        let mut notice = Notice::default();
        notice.say("[x]", now);
        assert_eq!(tick(&mut notice, &screen, &mirror, now), "");
        assert_eq!(notice.deadline(), Some(now + REST));
    }
}
