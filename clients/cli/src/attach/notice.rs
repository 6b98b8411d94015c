//! A remark of Baton's own on a screen that belongs to a program.
//!
//! On the main screen it stands on the bottom line for a moment: a line is made free below the cursor if there is none,
//! and the remark is taken away before anything else is written, so the program's text is never written over. On the
//! alternate screen, or with a scroll region, there is no free place; there the window's title says it.

use std::time::Duration;

use baton_proto::api::Viewport;
use tokio::time::Instant;

use super::screen::Screen;
use crate::report::clean_line;

/// How long a remark stays.
const SHOWN: Duration = Duration::from_secs(4);

/// Output must rest for so long before a remark is put into it.
const REST: Duration = Duration::from_millis(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The bottom line of a screen with so many rows.
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

    /// Must be called before output is written: takes a remark off the bottom line.
    pub fn before_output(&mut self, now: Instant, out: &mut Vec<u8>) {
        if let Some(Place::Line(rows)) = self.drawn {
            erase(rows, out);
            self.drawn = None;
        }
        if self.text.is_some() && self.drawn.is_none() {
            self.draw_at = Some(now + REST);
        }
    }

    /// The terminal has another size: where the bottom line was is anybody's guess.
    pub fn resized(&mut self) {
        if let Some(Place::Line(_)) = self.drawn {
            self.drawn = None;
            self.text = None;
        }
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let draw = if self.drawn.is_none() { self.draw_at } else { self.draw_at.filter(|_| self.text.is_some()) };
        self.text.as_ref().and_then(|_| [self.until, draw].into_iter().flatten().min())
    }

    /// Draws or removes what is due.
    pub fn tick(&mut self, now: Instant, screen: &Screen, size: Viewport, out: &mut Vec<u8>) {
        if self.until.is_some_and(|until| until <= now) {
            self.remove(out);
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
        self.undraw(out);
        let modes = screen.modes();
        if modes.alternate || modes.region {
            out.extend_from_slice(format!("\x1b[22;2t\x1b]2;{text}\x07").as_bytes());
            self.drawn = Some(Place::Title);
        } else {
            draw(&text, size, out);
            self.drawn = Some(Place::Line(size.rows));
        }
    }

    /// Takes everything back, at the end.
    pub fn remove(&mut self, out: &mut Vec<u8>) {
        self.undraw(out);
        self.text = None;
        self.until = None;
        self.draw_at = None;
    }

    fn undraw(&mut self, out: &mut Vec<u8>) {
        match self.drawn.take() {
            Some(Place::Line(rows)) => erase(rows, out),
            Some(Place::Title) => out.extend_from_slice(b"\x1b[23;2t"),
            None => {}
        }
    }
}

fn draw(text: &str, size: Viewport, out: &mut Vec<u8>) {
    // The last column stays free: writing there may leave the terminal about to wrap.
    let text: String = text.chars().take(usize::from(size.cols.saturating_sub(1))).collect();
    // Down and up again scrolls only if the cursor is on the last line, and then takes the cursor along with its text.
    out.extend_from_slice(
        format!("\x1bD\x1b[A\x1b7\x1b[{};1H\x1b[0m\x1b[2K\x1b[2m{text}\x1b[0m\x1b8", size.rows).as_bytes(),
    );
}

fn erase(rows: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\x1b7\x1b[{rows};1H\x1b[0m\x1b[2K\x1b8").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Viewport = Viewport { cols: 20, rows: 5 };

    fn tick(notice: &mut Notice, screen: &Screen, now: Instant) -> String {
        let mut out = Vec::new();
        notice.tick(now, screen, SIZE, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[tokio::test]
    async fn a_remark_comes_when_output_rests_and_goes_before_it() {
        let now = Instant::now();
        let screen = Screen::new();
        let mut notice = Notice::default();
        notice.say("[a remark \x1b that is too long]", now);
        let drawn = tick(&mut notice, &screen, now);
        assert!(drawn.contains("\x1b[5;1H") && drawn.contains("[a remark \u{fffd} that is\x1b"), "{drawn:?}");
        let mut out = Vec::new();
        notice.before_output(now, &mut out);
        assert!(!out.is_empty(), "taken away before output");
        assert_eq!(tick(&mut notice, &screen, now), "", "not at once again");
        assert!(tick(&mut notice, &screen, now + REST).contains("a remark"));
        assert!(tick(&mut notice, &screen, now + SHOWN).contains("\x1b[2K"));
        assert_eq!(notice.deadline(), None);
    }

    #[tokio::test]
    async fn a_full_screen_program_is_left_alone() {
        let now = Instant::now();
        let mut screen = Screen::new();
        screen.feed(b"\x1b[?1049h", &mut Vec::new());
        let mut notice = Notice::default();
        notice.keep("[gone]", now);
        assert_eq!(tick(&mut notice, &screen, now), "\x1b[22;2t\x1b]2;[gone]\x07");
        let mut out = Vec::new();
        notice.before_output(now, &mut out);
        assert!(out.is_empty());
        notice.withdraw(now);
        assert_eq!(tick(&mut notice, &screen, now), "\x1b[23;2t");
    }

    #[tokio::test]
    async fn nothing_is_put_into_a_sequence() {
        let now = Instant::now();
        let mut screen = Screen::new();
        screen.feed(b"\x1b[3", &mut Vec::new());
        let mut notice = Notice::default();
        notice.say("[x]", now);
        assert_eq!(tick(&mut notice, &screen, now), "");
        assert_eq!(notice.deadline(), Some(now + REST));
    }
}
