//! Which fault falls when: one generator decides everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use baton_proto::api::{Page, Session, SessionStatus};
use baton_proto::ids::SessionId;
use http::Method;
use nix::sys::signal::Signal;

use super::family::Family;
use super::world::{Order, POINTS, Victim, Watched, World};
use crate::process::Process;
use crate::seed::Seed;

/// Everything is as it should be within this time after a fault that takes the whole tree.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(40);
/// How long a named point is waited for.
const POINT_LIMIT: Duration = Duration::from_secs(3);
/// A killed worker has a successor within this time, also where the launcher was stopped for four seconds.
const WORKERS_WITHIN: Duration = Duration::from_secs(15);
/// After so many broken rules no more is learnt.
const VIOLATIONS_MAX: usize = 25;
/// How long the next launcher may take to hold the handles of every session again, once everything answers.
const KEPT_WITHIN: Duration = Duration::from_secs(15);

/// What can happen, and how often: weights.
const FAULTS: [(Fault, u64); 17] = [
    (Fault::KillBridge, 10),
    (Fault::KillSessiond, 10),
    (Fault::KillWorker, 22),
    (Fault::KillLauncher, 7),
    (Fault::KillSpare, 4),
    (Fault::KillSeveral, 6),
    (Fault::KillWholeTree, 4),
    (Fault::KillAtPoint, 14),
    (Fault::Stop, 10),
    (Fault::Restart, 4),
    (Fault::DownUp, 1),
    (Fault::DeleteRuntime, 1),
    (Fault::Client, 30),
    (Fault::WorkerTwice, 4),
    (Fault::Upgrade, 10),
    (Fault::FillDisk, 3),
    (Fault::KillEgress, 6),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillBridge,
    KillSessiond,
    KillWorker,
    KillLauncher,
    KillSpare,
    KillSeveral,
    KillWholeTree,
    KillAtPoint,
    Stop,
    Restart,
    DownUp,
    DeleteRuntime,
    Client,
    WorkerTwice,
    Upgrade,
    FillDisk,
    KillEgress,
}

/// Lets faults fall until the time is over.
pub async fn kill(world: Arc<World>, mut seed: Seed, until: Instant) {
    let all: u64 = FAULTS.iter().map(|(_, weight)| weight).sum();
    while Instant::now() < until && world.ledger.violations() < VIOLATIONS_MAX {
        // Mostly a fault into the middle of what the one before it caused; now and then time to heal first.
        let pause = if seed.within(0..4) == 0 { seed.millis(500..2500) } else { seed.millis(20..700) };
        tokio::time::sleep(pause).await;
        let mut pick = seed.within(0..all);
        let fault = FAULTS
            .iter()
            .find_map(|(fault, weight)| {
                let hit = pick < *weight;
                pick = pick.saturating_sub(*weight);
                hit.then_some(*fault)
            })
            .unwrap_or(Fault::KillBridge);
        // So many numbers for each fault, whatever it finds: the same faults follow.
        let mut own = seed.fork(seed.clone().number());
        seed.number();
        if let Err(text) = fall(&world, fault, &mut own).await {
            world.ledger.violation("recovery", &text);
        }
    }
}

async fn fall(world: &Arc<World>, fault: Fault, seed: &mut Seed) -> Result<(), String> {
    let mark = world.baton.mark();
    match fault {
        Fault::KillBridge => one(world, "kill bridge", Family::find(&mark).bridge),
        Fault::KillSessiond => one(world, "kill sessiond", Family::find(&mark).sessiond),
        Fault::KillLauncher => {
            let family = Family::find(&mark);
            // One without a spare is not alone in dying: that is another fault.
            one(world, "kill launcher", family.launcher.filter(|_| family.spare.is_some()));
        }
        Fault::KillSpare => {
            let family = Family::find(&mark);
            one(world, "kill spare", family.spare);
        }
        Fault::KillWorker => {
            if let Some(session) = any_session(world, seed) {
                world.kill_worker(session, "kill worker", "");
            }
        }
        Fault::WorkerTwice => {
            // Its successor, at once or nearly so.
            if let Some(session) = any_session(world, seed) {
                world.kill_worker(session, "kill worker", "first");
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(3) {
                    tokio::time::sleep(seed.millis(1..60)).await;
                    if world.kill_worker(session, "kill worker", "and its successor") {
                        break;
                    }
                }
            }
        }
        Fault::Upgrade => {
            let (part, session) = match seed.within(0..8) {
                0 => ("launcher", None),
                1 => ("sessiond", None),
                2 => ("bridge", None),
                _ => ("worker", any_session(world, seed)),
            };
            let body = serde_json::json!({ "part": part, "session_id": session });
            world.ledger.fault("replace by what is installed", &body.to_string());
            let world = Arc::clone(world);
            // Whatever becomes of it: other faults fall into the middle of it, and the rules hold.
            tokio::spawn(async move { world.call(Method::POST, "/v1/upgrade", Some(&body)).await });
        }
        Fault::KillEgress => {
            let family = Family::find(&mark);
            let mut hosting: Vec<SessionId> =
                world.sessions().values().filter(|it| it.hosts).map(|watched| watched.id).collect();
            let first = seed.within(0..1 + hosting.len() as u64);
            hosting.rotate_left(usize::try_from(first).unwrap_or(0));
            // Where one is missing, another is not alone in dying.
            let three =
                hosting.into_iter().map(|id| family.ways_out(id).collect::<Vec<_>>()).find(|three| three.len() > 2);
            let which = usize::try_from(seed.within(0..3)).unwrap_or(0);
            one(world, "kill a way out", three.and_then(|three| three.get(which).copied()));
        }
        Fault::FillDisk if !world.disk => {}
        Fault::FillDisk => {
            let filling = Arc::clone(world);
            let filled = tokio::task::spawn_blocking(move || filling.fill()).await;
            world.ledger.fault("fill the disk", if filled.is_ok() { "" } else { "in vain" });
            for _ in 0..seed.within(0..4) {
                tokio::time::sleep(seed.millis(10..900)).await;
                match seed.within(0..5) {
                    0 => one(world, "kill sessiond", Family::find(&mark).sessiond),
                    1 => one(world, "kill bridge", Family::find(&mark).bridge),
                    _ => {
                        if let Some(session) = any_session(world, seed) {
                            world.kill_worker(session, "kill worker", "on a full disk");
                        }
                    }
                }
            }
            tokio::time::sleep(seed.millis(10..1500)).await;
            world.free();
            world.ledger.note("the disk has room");
        }
        Fault::KillSeveral => {
            let family = Family::find(&mark);
            let launcher = family.launcher.filter(|_| family.spare.is_some());
            let choices = [("bridge", family.bridge), ("sessiond", family.sessiond), ("launcher", launcher)];
            let mut said = Vec::new();
            for (name, process) in choices {
                if let Some(process) = process.filter(|_| seed.within(0..2) == 0) {
                    process.signal(Signal::SIGKILL);
                    said.push(name);
                }
            }
            let sessions: Vec<SessionId> = world.sessions().keys().copied().collect();
            for session in sessions {
                if seed.within(0..3) == 0 && world.kill_worker(session, "kill worker", "with others") {
                    said.push("worker");
                }
            }
            world.ledger.fault("kill several at once", &said.join(" "));
        }
        Fault::KillWholeTree => {
            let family = Family::find(&mark);
            return whole_tree(world, &family, "kill launcher and spare together").await;
        }
        Fault::KillAtPoint => {
            let family = Family::find(&mark);
            let point = *seed.one_of(&POINTS);
            let launcher = family.launcher.filter(|_| family.spare.is_some());
            let victim = match seed.within(0..6) {
                0 | 1 => family.bridge.map(|process| Victim::One("bridge", process)),
                2 => family.sessiond.map(|process| Victim::One("sessiond", process)),
                3 => launcher.map(|process| Victim::One("launcher", process)),
                _ => Some(Victim::ItsWorker),
            };
            if let Some(victim) = victim {
                world.arm(point, victim);
                let begun = Instant::now();
                while begun.elapsed() < POINT_LIMIT {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if !world.is_armed() {
                        return Ok(());
                    }
                }
                world.disarm();
            }
        }
        Fault::Stop => {
            let family = Family::find(&mark);
            let worker = any_session(world, seed).and_then(|id| world.sessions().get(&id).and_then(|it| it.worker));
            let (name, process) = match seed.within(0..6) {
                0 => ("stop bridge", family.bridge),
                1 => ("stop sessiond", family.sessiond),
                2 => ("stop launcher", family.launcher),
                3 => ("stop spare", family.spare),
                _ => ("stop worker", worker),
            };
            let span = seed.millis(50..4000);
            if let Some(process) = process {
                process.signal(Signal::SIGSTOP);
                world.ledger.fault(name, &format!("{} for {span:?}", process.pid));
                // The storm goes on meanwhile.
                let world = Arc::clone(world);
                tokio::spawn(async move {
                    tokio::time::sleep(span).await;
                    process.signal(Signal::SIGCONT);
                    world.ledger.note(&format!("{} goes on", process.pid));
                });
            }
        }
        Fault::Restart => {
            let family = Family::find(&mark);
            let (name, process) = match seed.within(0..2) {
                0 => ("restart bridge", family.bridge),
                _ => ("restart sessiond", family.sessiond),
            };
            if let Some(process) = process {
                process.signal(Signal::SIGTERM);
                world.ledger.fault(name, &process.pid.to_string());
            }
        }
        Fault::DownUp => {
            world.fragile.store(true, Ordering::SeqCst);
            world.ledger.fault("down and up", "");
            let down = world.baton.cli(["down"]).await;
            if down.code != Some(0) {
                world.ledger.note(&format!("down: {down:?}"));
            }
            tokio::time::sleep(seed.millis(0..1500)).await;
            let healed = up_and_healthy(world).await;
            world.fragile.store(false, Ordering::SeqCst);
            return healed;
        }
        Fault::DeleteRuntime => {
            world.ledger.fault("delete the runtime directory", "");
            let _ = std::fs::remove_dir_all(&world.baton.home.runtime);
        }
        Fault::Client => {
            let order = match seed.within(0..16) {
                0..=2 => Order::Drop,
                3 | 4 => Order::Half,
                5 | 6 => Order::Claim(false),
                7..=10 => Order::Claim(true),
                11 => Order::Release,
                12 => Order::Transfer,
                13 => Order::Request,
                14 => Order::Resize(
                    20 + u16::try_from(seed.within(0..200)).unwrap_or(0),
                    10 + u16::try_from(seed.within(0..60)).unwrap_or(0),
                ),
                _ => Order::Detach,
            };
            let kind = match order {
                Order::Drop => "drop a socket",
                Order::Half => "half a frame, then reset",
                Order::Claim(_) | Order::Release | Order::Transfer | Order::Request => "move a lease",
                Order::Detach => "detach a client",
                Order::Resize(..) => "resize",
            };
            if let Some(name) = world.order(seed.number(), order) {
                world.ledger.fault(kind, &format!("{order:?} to {name}"));
            }
        }
    }
    Ok(())
}

fn one(world: &World, kind: &'static str, process: Option<Process>) {
    if let Some(process) = process {
        process.signal(Signal::SIGKILL);
        world.ledger.fault(kind, &process.pid.to_string());
    }
}

fn any_session(world: &World, seed: &mut Seed) -> Option<SessionId> {
    let sessions: Vec<SessionId> = world.sessions().keys().copied().collect();
    let at = seed.number();
    (!sessions.is_empty()).then(|| sessions[usize::try_from(at % sessions.len() as u64).unwrap_or(0)])
}

/// Launcher and spare at once: nobody is left who would start anything. A person types `baton up`.
async fn whole_tree(world: &Arc<World>, family: &Family, kind: &'static str) -> Result<(), String> {
    // Until the next launcher has the handles again a worker must live, and it must live before: two faults at once are one
    // too many. A worker's successor is late where the launcher was stopped.
    world.fragile.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while !world.has_every_worker() {
        if begun.elapsed() > WORKERS_WITHIN {
            world.fragile.store(false, Ordering::SeqCst);
            return Err("a killed worker has no successor".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let both: Vec<&Process> = [&family.launcher, &family.spare].into_iter().flatten().collect();
    for process in &both {
        process.signal(Signal::SIGKILL);
    }
    world.ledger.fault(kind, "");
    // On a busy machine one who was killed lives on for a moment: `baton up` would find everything running, and be right.
    for process in both {
        process.gone().await;
    }
    let healed = up_and_healthy(world).await;
    let kept = kept_again(world).await;
    world.fragile.store(false, Ordering::SeqCst);
    healed.and(kept)
}

/// Waits until no worker offers its session to a launcher any more: the next one has taken them all.
async fn kept_again(world: &World) -> Result<(), String> {
    let begun = Instant::now();
    let directory = world.baton.home.sessions_dir();
    while begun.elapsed() < KEPT_WITHIN {
        let living: Vec<SessionId> = world.sessions().keys().copied().collect();
        let offer = |session: &SessionId| directory.join(session.to_string()).join("keeper.sock");
        if !living.iter().any(|session| offer(session).exists()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("a worker still waits for a launcher that keeps its session".to_owned())
}

/// `baton up`, and wait until every session is known with its worker.
async fn up_and_healthy(world: &Arc<World>) -> Result<(), String> {
    let begun = Instant::now();
    let mut said = String::new();
    while begun.elapsed() < HEALTHY_WITHIN {
        let up = world.baton.cli(["up"]).await;
        if up.code == Some(0) {
            return healthy(world, HEALTHY_WITHIN).await;
        }
        said = format!("{up:?}");
        world.ledger.note(&format!("up: {said}"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(format!("`baton up` does not bring it up: {said}"))
}

/// Waits until sessiond answers, a launcher has a spare, and every watched session runs with a living worker.
pub async fn healthy(world: &Arc<World>, limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    let mut wrong = String::new();
    while begun.elapsed() < limit {
        wrong = match world.call(Method::GET, "/v1/sessions?limit=200", None).await {
            Some(answer) if answer.status == 200 => {
                let page: Page<Session> = answer.json();
                let sessions = world.sessions();
                let ill: Vec<String> = sessions
                    .values()
                    .filter(|watched| !watched.ending)
                    .filter_map(|watched| {
                        let Some(session) = page.items.iter().find(|session| session.id == watched.id) else {
                            return Some(format!("{} is not listed", watched.name));
                        };
                        let worker = session.worker_pid.and_then(Process::find);
                        (session.status != SessionStatus::Running || worker.is_none()).then(|| {
                            format!("{} is {:?} with worker {:?}", watched.name, session.status, session.worker_pid)
                        })
                    })
                    .collect();
                let family = Family::find(&world.baton.mark());
                let shut = |it: &&Watched| it.hosts && !it.ending && family.ways_out(it.id).count() < 3;
                let ill: Vec<String> = ill
                    .into_iter()
                    .chain(sessions.values().filter(shut).map(|it| format!("{} has no whole way out", it.name)))
                    .collect();
                if ill.is_empty() && family.launcher.is_some() && family.spare.is_some() {
                    world.ledger.took("healthy again after the last fault", begun.elapsed());
                    return Ok(());
                }
                format!("{}; launcher {:?}, spare {:?}", ill.join(", "), family.launcher, family.spare)
            }
            Some(answer) => format!("the bridge says {answer}"),
            None => "the bridge does not answer".to_owned(),
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("not healthy within {limit:?}: {wrong}"))
}
