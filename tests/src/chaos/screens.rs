//! Somebody who asks for screens: of now, and of places in the past. The screen at a place is a function of the journal, so
//! whoever answers, and whatever died meanwhile, says the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::ids::SessionId;
use http::Method;

use super::world::{Phase, Point, World};
use crate::seed::Seed;

/// Places that are looked at again.
const KNOWN_MAX: usize = 12;

/// Asks until the storm is over, and once more in the calm.
pub async fn look(world: Arc<World>, session: SessionId, name: String, mut seed: Seed) {
    // Cursor as it was asked for, cursor as it was answered, checksum.
    let mut known: VecDeque<(String, String, u32)> = VecDeque::new();
    while world.phase() < Phase::End {
        let path = format!("/v1/terminal/sessions/{session}/snapshot?format=ansi");
        world.reached(Point::Snapshot, Some(session));
        if let Some((at, crc)) = ask(&world, &path).await {
            known.push_back((at.clone(), at, crc));
            if known.len() > KNOWN_MAX {
                known.pop_front();
            }
        }
        if !known.is_empty() {
            let (asked, answered, crc) = seed.one_of(known.make_contiguous()).clone();
            world.reached(Point::Snapshot, Some(session));
            let found = ask(&world, &format!("{path}&cursor={asked}")).await;
            // Trimmed meanwhile, or nobody there: nothing is said.
            if let Some((at, again)) = found {
                world.ledger.count("screens compared", 1);
                if (at.as_str(), again) != (answered.as_str(), crc) {
                    let text = format!("the screen at {asked} was {crc:08x} (at {answered}), and is {again:08x} (at {at}) now");
                    world.ledger.violation(&name, &text);
                }
            }
        }
        tokio::time::sleep(seed.millis(150..1500)).await;
    }
}

/// One screen: where it is, and its checksum.
async fn ask(world: &World, path: &str) -> Option<(String, u32)> {
    let answer = tokio::time::timeout(Duration::from_secs(20), world.call(Method::GET, path, None)).await.ok()??;
    if answer.status != 200 {
        return None;
    }
    Some((answer.header("baton-cursor")?.to_owned(), crc32fast::hash(&answer.body)))
}
