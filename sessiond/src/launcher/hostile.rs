//! What a launcher is told by processes below it and by the launcher before it, whatever that is.
//!
//! The bytes are a script of messages and notes. The launcher's decisions are pure, so that its promises can be looked at
//! after each: no process is signalled that it did not start, no session is kept beyond the bound, and what the spare is
//! told makes a copy that keeps the same.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use baton_proto::SessionId;
use baton_proto::launch::{LAUNCH_BYTES, LAUNCH_FDS_MAX, LaunchMessage};
use uuid::Uuid;

use super::core::{Action, Changed, Core, Event, Process, Running, Service};
use super::spare;

/// Sessions that are told apart.
const SESSIONS: u8 = 6;
/// Sessions a launcher keeps here.
const SESSIONS_MAX: usize = 4;
/// Steps of one script: a handle is a descriptor.
const STEPS_MAX: usize = 48;

fn handle() -> OwnedFd {
    match File::open("/dev/null") {
        Ok(file) => file.into(),
        Err(err) => panic!("/dev/null: {err}"),
    }
}

fn session(byte: u8) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(u128::from(byte % SESSIONS)))
}

/// Plays the script.
///
/// # Panics
/// If a promise does not hold, or there are no descriptors.
pub fn any_bytes(data: &[u8]) {
    let (mut core, mut copy) = (Core::new(SESSIONS_MAX), Core::new(SESSIONS_MAX));
    let mut now = Instant::now();
    let mut rest = data;
    drop(core.step(Event::Begin, now));
    for _ in 0..STEPS_MAX {
        let Some(([what, which], behind)) = rest.split_first_chunk::<2>() else { break };
        rest = behind;
        now += Duration::from_millis(u64::from(*which) * 10);
        let running = || Running { pid: u32::from(*which) + 2, pidfd: handle(), channel: Some(handle()) };
        let service = Service::ALL[usize::from(which & 1)];
        let event = match what % 12 {
            0 | 1 => message(&mut rest, *which).map(|message| Event::FromSessiond(message, handles(*what))),
            2..=4 => {
                message(&mut rest, *which).map(|message| Event::FromWorker(session(*which), message, handles(*what)))
            }
            5 => Some(Event::WorkerForked(session(*which), running())),
            6 => Some(Event::WorkerNotForked(session(*which))),
            7 => Some(Event::ServiceForked(service, running())),
            8 => Some(Event::Ended(Process::Worker(session(*which)), Some(i64::from(*what)))),
            9 => Some(Event::Ended(Process::Service(service), None)),
            10 => Some(Event::DeadlinePassed),
            _ => {
                note(&mut rest, *which);
                None
            }
        };
        let Some(event) = event else { continue };
        for action in core.step(event, now) {
            if let Action::TellSessiond(message) | Action::TellWorker(_, message) = action {
                assert_eq!(LaunchMessage::from_bytes(&message.to_bytes()), Some(message));
            }
        }
        let living = core.sessions().values().filter(|kept| !kept.replay).count();
        assert!(living <= SESSIONS_MAX + 1, "{living} sessions are kept");
        for changed in core.take_changed() {
            tell(changed, &core, &mut copy);
        }
    }
    let sessions = |core: &Core<OwnedFd>| {
        let known = core.sessions().iter();
        let facts = known.map(|(session, kept)| {
            let worker = kept.worker.as_ref().map(|worker| (worker.pid, worker.channel.is_some()));
            let program = kept.program.as_ref().map(|program| (program.pid, program.exit));
            let handles = (kept.listener.is_some(), kept.window.is_some(), kept.master.is_some());
            (*session, kept.replay, kept.done, kept.announced, worker, program, handles)
        });
        facts.collect::<Vec<_>>()
    };
    assert_eq!(sessions(&core), sessions(&copy), "the spare keeps something else");
}

/// A message: sealed so that most of them are one, else as the bytes are.
fn message(rest: &mut &[u8], which: u8) -> Option<LaunchMessage> {
    let (bytes, behind) = rest.split_at(rest.len().min(17));
    *rest = behind;
    let mut whole = [0; LAUNCH_BYTES];
    whole[..4].copy_from_slice(b"BtL1");
    let place = |at: usize| bytes.get(at).copied().unwrap_or(0);
    whole[4] = place(0);
    whole[8..24].copy_from_slice(session(which).uuid().as_bytes());
    for at in 0..4 {
        whole[24 + at] = place(1 + at);
    }
    for at in 0..8 {
        whole[32 + at] = place(5 + at);
    }
    let message = LaunchMessage::from_bytes(&whole)?;
    assert_eq!(message.to_bytes(), whole, "a message is one spelling of its fields");
    Some(message)
}

fn handles(what: u8) -> Vec<OwnedFd> {
    (0..usize::from(what >> 4) % (LAUNCH_FDS_MAX + 1)).map(|_| handle()).collect()
}

/// A note of somebody's making, on a launcher of its own: a keeper may be of another version.
fn note(rest: &mut &[u8], which: u8) {
    let (bytes, behind) = rest.split_at(rest.len().min(spare::BYTES));
    *rest = behind;
    let mut whole = [0; spare::BYTES];
    whole[..bytes.len()].copy_from_slice(bytes);
    let mut core = Core::new(SESSIONS_MAX);
    let given = (0..which % 9).map(|_| handle()).collect();
    spare::apply(&whole, given, &mut core);
    assert!(core.sessions().len() <= 1);
}

/// Tells the copy as the launcher tells its spare.
fn tell(changed: Changed, core: &Core<OwnedFd>, copy: &mut Core<OwnedFd>) {
    let (bytes, handles) = match changed {
        Changed::Session(session) => spare::encode_session(session, core.sessions().get(&session)),
        Changed::Service(service) => spare::encode_service(service, core.service(service)),
    };
    let given: Result<Vec<OwnedFd>, _> = handles.iter().map(|handle| handle.try_clone_to_owned()).collect();
    match given {
        Ok(given) => spare::apply(&bytes, given, copy),
        Err(err) => panic!("no descriptors: {err}"),
    }
}
