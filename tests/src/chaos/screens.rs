//! Somebody who asks for screens: of now, and of places in the past. The screen at a place is a function of the journal, so
//! whoever answers, and whatever died meanwhile, says the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::ids::{Cursor, SessionId};
use http::Method;

use super::world::{Phase, Point, World};
use crate::seed::Seed;

/// Places that are looked at again.
const KNOWN_MAX: usize = 12;

/// Asks until the storm is over, and once more in the calm.
pub async fn look(world: Arc<World>, session: SessionId, name: String, mut seed: Seed) {
    // Cursor, size, checksum.
    let mut known: VecDeque<(String, String, u32)> = VecDeque::new();
    while world.phase() < Phase::End {
        let path = format!("/v1/terminal/sessions/{session}/snapshot?format=ansi");
        world.reached(Point::Snapshot, Some(session));
        if let Some((at, size, crc)) = ask(&world, &path).await {
            known.push_back((at, size, crc));
            if known.len() > KNOWN_MAX {
                known.pop_front();
            }
        }
        if !known.is_empty() {
            let (asked, size, crc) = seed.one_of(known.make_contiguous()).clone();
            world.reached(Point::Snapshot, Some(session));
            let found = ask(&world, &format!("{path}&cursor={asked}")).await;
            // Trimmed meanwhile, or nobody there: nothing is said.
            // One place has two screens when the size changed right there.
            if let Some((at, now, again)) = found.filter(|(_, now, _)| *now == size) {
                world.ledger.count("screens compared", 1);
                if again != crc || !is_boundary_of(&at, &asked) {
                    let text =
                        format!("the screen at {asked} of {now} was {crc:08x}, and is {again:08x} (at {at}) now");
                    world.ledger.violation(&name, &text);
                }
            }
        }
        tokio::time::sleep(seed.millis(150..1500)).await;
    }
}

/// A byte that begins a character is known to be none once the next byte has come. Who asks for the place between the two gets the
/// one before, with the same screen: up to three bytes of an unfinished character.
fn is_boundary_of(answered: &str, asked: &str) -> bool {
    let offset = |cursor: &str| cursor.parse::<Cursor>().ok().map(|cursor| (cursor.instance, cursor.offset));
    match (offset(answered), offset(asked)) {
        (Some((one, at)), Some((other, place))) => one == other && at <= place && place - at <= 3,
        _ => false,
    }
}

/// One screen: where it is, its size, its checksum.
async fn ask(world: &World, path: &str) -> Option<(String, String, u32)> {
    let answer = tokio::time::timeout(Duration::from_secs(20), world.call(Method::GET, path, None)).await.ok()??;
    if answer.status != 200 {
        return None;
    }
    let size = format!("{} by {}", answer.header("baton-cols")?, answer.header("baton-rows")?);
    Some((answer.header("baton-cursor")?.to_owned(), size, crc32fast::hash(&answer.body)))
}
