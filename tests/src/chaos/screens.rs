//! Somebody who asks for screens: of now, and of places in the past. The screen at a place is a function of the journal, so
//! whoever answers, and whatever died meanwhile, says the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::ids::{Cursor, SessionId};
use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use bytes::Bytes;
use http::Method;

use super::world::{Phase, Point, World};
use crate::seed::Seed;

/// Places that are looked at again.
const KNOWN_MAX: usize = 12;
/// Bytes behind a place after which it is known how whatever stood there ended: an ESC and one more, or a character's.
const BEHIND_BYTES: usize = 4;

/// A screen that was answered.
#[derive(Debug, Clone)]
struct Shot {
    at: Cursor,
    size: Dimensions,
    body: Bytes,
    /// Output before it was never kept: it is as good as what is left.
    approximate: bool,
}

impl Shot {
    fn crc(&self) -> u32 {
        crc32fast::hash(&self.body)
    }
}

/// Asks until the storm is over, and once more in the calm.
pub async fn look(world: Arc<World>, session: SessionId, name: String, mut seed: Seed) {
    let mut known: VecDeque<Shot> = VecDeque::new();
    while world.phase() < Phase::End {
        let path = format!("/v1/terminal/sessions/{session}/snapshot?format=ansi");
        world.reached(Point::Snapshot, Some(session));
        if let Some(shot) = ask(&world, &path).await {
            known.push_back(shot);
            if known.len() > KNOWN_MAX {
                known.pop_front();
            }
        }
        if !known.is_empty() {
            let before = seed.one_of(known.make_contiguous()).clone();
            world.reached(Point::Snapshot, Some(session));
            let found = ask(&world, &format!("{path}&cursor={}", before.at)).await;
            // Trimmed meanwhile, or nobody there: nothing is said.
            // One place has two screens when the size changed right there. Where output is missing, nobody can know.
            if let Some(now) = found.filter(|now| now.size == before.size && !now.approximate && !before.approximate) {
                world.ledger.count("screens compared", 1);
                if leads_to(&world, session, &now, &before).await == Some(false) {
                    let text = format!(
                        "the screen at {} of {} by {} was {:08x}, and is {:08x} (at {}) now",
                        before.at,
                        before.size.cols,
                        before.size.rows,
                        before.crc(),
                        now.crc(),
                        now.at
                    );
                    world.ledger.violation(&name, &text);
                }
            }
        }
        tokio::time::sleep(seed.millis(150..1500)).await;
    }
}

/// Whether a screen answered for a place is the one that was answered as of there. `None` when the bytes cannot be had.
async fn leads_to(world: &World, session: SessionId, now: &Shot, before: &Shot) -> Option<bool> {
    if now.at.instance != before.at.instance || now.at.offset > before.at.offset {
        return Some(false);
    }
    if now.at == before.at {
        return Some(now.body == before.body);
    }
    let unfinished = usize::try_from(before.at.offset - now.at.offset).ok()?;
    let limit = unfinished + BEHIND_BYTES;
    let path = format!("/v1/terminal/sessions/{session}/output?cursor={}&limit={limit}", now.at);
    let answer = tokio::time::timeout(Duration::from_secs(20), world.call(Method::GET, &path, None)).await.ok()??;
    if answer.status != 200 || answer.body.len() < unfinished || answer.header("baton-lost").is_some() {
        return None;
    }
    let (unfinished, behind) = answer.body.split_at(unfinished);
    Some(becomes(now, before, unfinished, behind))
}

/// Whether an earlier screen is the right answer for a later one's place: nothing between them is finished when that is all there
/// is, and with what stands behind it the one becomes the other. That a character, or a string, was broken off right there is
/// known only from the bytes behind it.
fn becomes(earlier: &Shot, later: &Shot, unfinished: &[u8], behind: &[u8]) -> bool {
    let mut screen = Screen::restore(earlier.size, 0, earlier.at.offset, &earlier.body);
    screen.feed(unfinished, &mut Vec::new());
    if screen.boundary() != earlier.at.offset {
        return false;
    }
    for byte in behind {
        screen.feed(std::slice::from_ref(byte), &mut Vec::new());
        if screen.boundary() >= later.at.offset {
            return screen.boundary() == later.at.offset && screen.snapshot(0) == later.body;
        }
    }
    false
}

/// One screen: where it is, its size, its bytes.
async fn ask(world: &World, path: &str) -> Option<Shot> {
    let answer = tokio::time::timeout(Duration::from_secs(20), world.call(Method::GET, path, None)).await.ok()??;
    if answer.status != 200 {
        return None;
    }
    let size = Dimensions {
        cols: answer.header("baton-cols")?.parse().ok()?,
        rows: answer.header("baton-rows")?.parse().ok()?,
    };
    let approximate = answer.header("baton-approximate").is_some();
    Some(Shot { at: answer.header("baton-cursor")?.parse().ok()?, size, body: answer.body, approximate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::ids::InstanceId;

    const SIZE: Dimensions = Dimensions { cols: 20, rows: 4 };

    fn fed(bytes: &[u8]) -> Shot {
        let mut screen = Screen::new(SIZE);
        screen.feed(bytes, &mut Vec::new());
        let at = Cursor { instance: InstanceId::from_uuid(uuid::Uuid::nil()), offset: screen.boundary() };
        Shot { at, size: SIZE, body: screen.snapshot(0).into(), approximate: false }
    }

    #[test]
    fn a_string_that_an_escape_broke_off_is_known_from_behind_it_only() {
        // A title, ended by a sequence that is not finished; and a line feed within a sequence that is broken off.
        for (unfinished, behind) in
            [(&b"\x1b]2;title"[..], &b"\x1b[3"[..]), (b"\x1b[1\n", b"\x1b[1"), (b"\xf0\x9f\x98", b"\x1b[")]
        {
            let earlier = fed(&[b"text", unfinished].concat());
            assert_eq!(earlier.at.offset, 4);
            let later = fed(&[b"text", unfinished, behind].concat());
            assert_eq!(later.at.offset, 4 + unfinished.len() as u64);
            assert!(becomes(&earlier, &later, unfinished, behind));
            let other = fed(&[b"texT", unfinished].concat());
            assert!(!becomes(&other, &later, unfinished, behind), "another text before it");
            assert!(!becomes(&earlier, &later, unfinished, b"ab"), "it did not end there");
        }
        let (earlier, later) = (fed(b"text"), fed(b"text and more"));
        assert!(!becomes(&earlier, &later, b" and more", b"\x1b["), "the later could have been answered");
    }
}
