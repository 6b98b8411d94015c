//! Programs that must not die, and processes that nobody may leave behind: looked at all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_proto::api::{Page, Session};
use http::Method;

use super::family::{Family, zombies};
use super::world::{Phase, World};
use crate::process::Process;

const LOOK_EVERY: Duration = Duration::from_millis(150);
/// A zombie that its parent has not taken notice of for so long is one that nobody will. A stopped parent takes none.
const ZOMBIE_LIMIT: Duration = Duration::from_secs(15);

/// Watches until the end.
pub async fn guard(world: Arc<World>) {
    let mut zombies_since: BTreeMap<(u32, u32), Instant> = BTreeMap::new();
    let mark = world.baton.mark();
    while world.phase() < Phase::End {
        programs(&world);
        if let Some(answer) = world.call(Method::GET, "/v1/sessions?limit=200", None).await
            && answer.status == 200
        {
            known(&world, &answer.json::<Page<Session>>());
        }
        let family = Family::find(&mark);
        let parents: Vec<Process> = [family.launcher, family.spare, family.sessiond, family.bridge]
            .into_iter()
            .flatten()
            .chain(family.workers)
            .collect();
        let now = zombies(&parents);
        zombies_since.retain(|zombie, _| now.contains(zombie));
        for zombie in now {
            let since = *zombies_since.entry(zombie).or_insert_with(Instant::now);
            if since.elapsed() > ZOMBIE_LIMIT {
                world.ledger.violation("processes", &format!("{} is a zombie of {}", zombie.0, zombie.1));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Programs that nobody ended live.
pub fn programs(world: &World) {
    let dead: Vec<String> = world
        .sessions()
        .values()
        .filter(|watched| !watched.ending && !watched.program.is_alive())
        .map(|watched| format!("{} (process {})", watched.name, watched.program.pid))
        .collect();
    for name in dead {
        world.ledger.violation("programs", &format!("died although nobody ended it: {name}"));
    }
}

/// What the API says of the sessions: the same program as ever; and where their workers are now.
fn known(world: &World, page: &Page<Session>) {
    for session in &page.items {
        let wrong = {
            let mut sessions = world.sessions();
            let Some(watched) = sessions.get_mut(&session.id) else { continue };
            if let Some(worker) = session.worker_pid.and_then(Process::find) {
                watched.worker = Some(worker);
            }
            let other = session.pid.is_some_and(|pid| pid != watched.program.pid);
            (!watched.ending && (other || !session.status.is_living())).then(|| {
                format!(
                    "{} is {:?} with process {:?}, its program is {}",
                    watched.name, session.status, session.pid, watched.program.pid
                )
            })
        };
        if let Some(text) = wrong {
            world.ledger.violation("the API", &text);
        }
    }
}
