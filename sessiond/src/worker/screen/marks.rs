//! Which marks are worth a record. A program may ring the bell a million times a second; the journal is not for that.
//!
//! The clock is the records' own, so a journal that is gone through late gives the same marks.

use baton_proto::v1::MarkKind;

/// Between two bells, two notifications, two titles, two directories.
const APART_US: u64 = 100_000;
/// Marks that may come at once: a pasted script of a thousand lines has a few for each.
const BURST: u64 = 4096;
/// Marks a second after that.
const RATE: u64 = 200;

/// A mark: output bytes up to and with what made it, what, its text.
pub type Mark = (u64, MarkKind, String);

/// Of titles and directories only the newest counts: one that comes too soon waits for its turn.
#[derive(Debug, Default)]
struct Newest {
    told: Option<String>,
    told_us: Option<u64>,
    held: Option<(u64, String)>,
}

impl Newest {
    /// The mark, if it is to be told now.
    fn push(&mut self, offset: u64, text: String, wall_us: u64) -> Option<(u64, String)> {
        self.held = Some((offset, text));
        let soon = self.told_us.is_some_and(|told| wall_us < told.saturating_add(APART_US));
        if soon {
            return None;
        }
        self.told_us = Some(wall_us);
        self.take()
    }

    /// What waits, unless it is what was told last.
    fn take(&mut self) -> Option<(u64, String)> {
        let (offset, text) = self.held.take()?;
        if self.told.as_ref() == Some(&text) {
            return None;
        }
        self.told = Some(text.clone());
        Some((offset, text))
    }
}

/// Decides.
#[derive(Debug, Default)]
pub struct Marks {
    spent: u64,
    refilled_us: u64,
    bell_us: Option<u64>,
    notification_us: Option<u64>,
    title: Newest,
    cwd: Newest,
    /// Marks that were too many.
    dropped: u64,
}

impl Marks {
    /// A mark that was seen at this wall time. What is to be journalled goes to `out`, by rising offset.
    pub fn push(&mut self, (offset, kind, text): Mark, wall_us: u64, out: &mut Vec<Mark>) {
        let apart = |last: &mut Option<u64>| {
            let enough = last.is_none_or(|last| wall_us >= last.saturating_add(APART_US));
            if enough {
                *last = Some(wall_us);
            }
            enough
        };
        match kind {
            MarkKind::Title => {
                if let Some((offset, text)) = self.title.push(offset, text, wall_us) {
                    self.settle_one(MarkKind::Cwd, out);
                    self.spend((offset, kind, text), wall_us, out);
                }
                return;
            }
            MarkKind::Cwd => {
                if let Some((offset, text)) = self.cwd.push(offset, text, wall_us) {
                    self.settle_one(MarkKind::Title, out);
                    self.spend((offset, kind, text), wall_us, out);
                }
                return;
            }
            MarkKind::Bell if !apart(&mut self.bell_us) => return,
            MarkKind::Notification if !apart(&mut self.notification_us) => return,
            _ => {}
        }
        self.settle(out);
        self.spend((offset, kind, text), wall_us, out);
    }

    /// Nothing comes any more for now: what waits is told.
    pub fn settle(&mut self, out: &mut Vec<Mark>) {
        let before = |one: &Newest, other: &Newest| match (&one.held, &other.held) {
            (Some((one, _)), Some((other, _))) => one <= other,
            _ => true,
        };
        let order = if before(&self.title, &self.cwd) {
            [MarkKind::Title, MarkKind::Cwd]
        } else {
            [MarkKind::Cwd, MarkKind::Title]
        };
        for kind in order {
            self.settle_one(kind, out);
        }
    }

    /// Whether something waits.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.title.held.is_some() || self.cwd.held.is_some()
    }

    fn settle_one(&mut self, kind: MarkKind, out: &mut Vec<Mark>) {
        let newest = if kind == MarkKind::Title { &mut self.title } else { &mut self.cwd };
        if let Some((offset, text)) = newest.take() {
            out.push((offset, kind, text));
        }
    }

    fn spend(&mut self, mark: Mark, wall_us: u64, out: &mut Vec<Mark>) {
        let refill = wall_us.saturating_sub(self.refilled_us).saturating_mul(RATE) / 1_000_000;
        if refill > 0 {
            self.spent = self.spent.saturating_sub(refill);
            self.refilled_us = wall_us;
        }
        if self.spent < BURST {
            self.spent += 1;
            out.push(mark);
        } else {
            if self.dropped == 0 {
                tracing::warn!("the program makes more marks than are kept");
            }
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(marks: &mut Marks, offset: u64, kind: MarkKind, text: &str, wall_us: u64) -> Vec<u64> {
        let mut out = Vec::new();
        marks.push((offset, kind, text.to_owned()), wall_us, &mut out);
        out.iter().map(|(offset, _, _)| *offset).collect()
    }

    #[test]
    fn a_flood_of_bells_is_ten_a_second() {
        let mut marks = Marks::default();
        let rung: usize = (0..1_000_000).map(|n| pushed(&mut marks, n, MarkKind::Bell, "", 5_000_000 + n).len()).sum();
        assert_eq!(rung, 10);
    }

    #[test]
    fn of_titles_in_a_flood_the_last_is_told_and_order_is_kept() {
        let mut marks = Marks::default();
        assert_eq!(pushed(&mut marks, 1, MarkKind::Title, "a", 0), [1]);
        assert_eq!(pushed(&mut marks, 2, MarkKind::Title, "b", 10), [0_u64; 0]);
        assert_eq!(pushed(&mut marks, 3, MarkKind::Cwd, "/", 20), [2, 3], "what waited stands before it");
        assert_eq!(pushed(&mut marks, 4, MarkKind::Title, "c", 30), [0_u64; 0]);
        assert_eq!(pushed(&mut marks, 5, MarkKind::Title, "d", 40), [0_u64; 0]);
        assert_eq!(pushed(&mut marks, 6, MarkKind::Prompt, "", 50), [5, 6]);
        assert_eq!(pushed(&mut marks, 7, MarkKind::Title, "d", 200_000), [0_u64; 0], "it is that already");
        assert!(!marks.holds());
        assert_eq!(pushed(&mut marks, 8, MarkKind::Title, "e", 200_010), [0_u64; 0]);
        assert!(marks.holds());
        let mut out = Vec::new();
        marks.settle(&mut out);
        assert_eq!(out, [(8, MarkKind::Title, "e".to_owned())]);
    }

    #[test]
    fn no_kind_of_mark_fills_the_journal() {
        let mut marks = Marks::default();
        let kept: usize =
            (0..100_000).map(|n| pushed(&mut marks, n, MarkKind::Prompt, "", 1_000_000 + n * 20).len()).sum();
        // Two seconds.
        assert!((4096..=4096 + 2 * 200 + 1).contains(&kept), "{kept}");
        assert_eq!(pushed(&mut marks, 200_000, MarkKind::Prompt, "", 60_000_000), [200_000], "and it recovers");
    }
}
