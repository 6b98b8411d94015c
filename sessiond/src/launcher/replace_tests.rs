//! What becomes of a process that is replaced, and of a version that does not work.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use baton_proto::SessionId;
use baton_proto::launch::{LaunchMessage, NotReplaced, Op};
use nix::sys::signal::Signal;

use super::core::{Action, Core, Event, HEALTHY_WITHIN, Mode, Process, Running, SERVES_WITHIN, Service};
use super::core_tests::{Handle, message, session};

fn running(pid: u32) -> Running<Handle> {
    Running { pid, pidfd: Handle::default(), channel: Some(Handle::default()) }
}

#[test]
fn a_service_that_does_not_serve_is_followed_by_the_program_that_did() {
    let mut core = Core::<Handle>::new(10);
    let (service, start) = (Service::Bridge, Instant::now());
    core.step(Event::ServiceForked(service, running(1)), start);
    core.step(Event::FromBridge(message(Op::Ready, session(0), 0, 0)), start);
    core.step(Event::Replace(service), start);
    core.step(Event::Ended(Process::Service(service), None), start);
    assert!(!core.falls_back(service), "the installed one is tried");
    // It hangs.
    core.step(Event::ServiceForked(service, running(2)), start);
    let late = start + HEALTHY_WITHIN;
    assert_eq!(core.step(Event::DeadlinePassed, late), [Action::Signal(service, Signal::SIGKILL)]);
    assert_eq!(core.step(Event::Ended(Process::Service(service), None), late), [Action::ForkService(service)]);
    assert!(core.falls_back(service));
    core.step(Event::ServiceForked(service, running(3)), late);
    assert_eq!(core.deadline(), None, "what is known to work has all the time it needs");
    core.step(Event::FromBridge(message(Op::Ready, session(0), 0, 0)), late);
    // A crash of one that served is no reason to change.
    core.step(Event::Ended(Process::Service(service), None), late);
    assert!(!core.falls_back(service));
}

#[test]
fn a_service_that_hangs_after_a_crash_is_given_up_too_but_a_bridge_is_not_blamed_for_a_missing_sessiond() {
    let mut core = Core::<Handle>::new(10);
    let start = Instant::now();
    for (service, pid) in [(Service::Supervisor, 1), (Service::Bridge, 2)] {
        core.step(Event::ServiceForked(service, running(pid)), start);
    }
    core.step(Event::FromSessiond(message(Op::Ready, session(0), 0, 0), vec![]), start);
    core.step(Event::FromBridge(message(Op::Ready, session(0), 0, 0)), start);
    assert_eq!(core.deadline(), None);
    for (service, pid) in [(Service::Bridge, 3), (Service::Supervisor, 4)] {
        core.step(Event::Ended(Process::Service(service), None), start);
        core.step(Event::ServiceForked(service, running(pid)), start);
    }
    let late = start + SERVES_WITHIN;
    // Without sessiond there is nothing to find: the bridge serves what it can.
    assert_eq!(core.step(Event::DeadlinePassed, late), [Action::Signal(Service::Supervisor, Signal::SIGKILL)]);
    core.step(Event::Ended(Process::Service(Service::Supervisor), None), late);
    assert!(core.falls_back(Service::Supervisor));
    core.step(Event::ServiceForked(Service::Supervisor, running(5)), late);
    core.step(Event::FromSessiond(message(Op::Ready, session(0), 0, 0), vec![]), late);
    let later = late + SERVES_WITHIN;
    assert_eq!(core.step(Event::DeadlinePassed, later), [Action::Signal(Service::Bridge, Signal::SIGKILL)]);
    core.step(Event::Ended(Process::Service(Service::Bridge), None), later);
    assert!(core.falls_back(Service::Bridge));
}

#[test]
fn a_successor_that_hangs_after_a_crash_is_followed_by_one_of_the_launchers_own_version() {
    let (mut core, id, now) = (Core::<Handle>::new(10), session(1), Instant::now());
    core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
    core.step(Event::WorkerForked(id, running(5)), now);
    assert_eq!(core.deadline(), None, "what a new session waits for is its sessiond's to say");
    let handles = (0..3).map(|_| Handle::default()).collect();
    core.step(Event::FromWorker(id, message(Op::Keep, id, 0, 0), handles), now);
    core.step(Event::FromWorker(id, message(Op::Program, id, 6, 0), vec![Handle::default()]), now);
    core.step(Event::Ended(Process::Worker(id), None), now);
    core.step(Event::WorkerForked(id, running(7)), now);
    let late = now + SERVES_WITHIN;
    assert_eq!(core.step(Event::DeadlinePassed, late), [Action::Kill(Process::Worker(id))]);
    assert_eq!(core.step(Event::Ended(Process::Worker(id), None), late), [Action::ForkWorker(id, Mode::TakeOver)]);
    assert!(core.sessions()[&id].own);
    core.step(Event::WorkerForked(id, running(8)), late);
    assert_eq!(core.deadline(), None, "what is known to work has all the time it needs");
    core.step(Event::FromWorker(id, message(Op::Taken, id, 0, 0), vec![]), late);
    // The next is of the installed version again, and serves in time.
    core.step(Event::Ended(Process::Worker(id), None), late);
    core.step(Event::WorkerForked(id, running(9)), late);
    core.step(Event::FromWorker(id, message(Op::Taken, id, 0, 0), vec![]), late);
    assert_eq!(core.deadline(), None);
}

/// A launcher with one session whose program runs and whose worker was replaced up to the phase asked for.
fn replacing(standing: bool) -> (Core<Handle>, SessionId, Instant) {
    let (mut core, id, now) = (Core::<Handle>::new(10), session(1), Instant::now());
    core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
    core.step(Event::WorkerForked(id, running(5)), now);
    let handles = (0..3).map(|_| Handle::default()).collect();
    core.step(Event::FromWorker(id, message(Op::Keep, id, 0, 0), handles), now);
    core.step(Event::FromWorker(id, message(Op::Program, id, 6, 0), vec![Handle::default()]), now);
    let asked = core.step(Event::FromSessiond(message(Op::Replace, id, 0, 0), vec![]), now);
    assert_eq!(asked, [Action::ForkSuccessor(id)]);
    core.step(Event::SuccessorForked(id, running(7)), now);
    if standing {
        let park = core.step(Event::FromSuccessor(id, message(Op::Standby, id, 0, 0)), now);
        assert_eq!(park, [Action::TellWorker(id, message(Op::Park, id, 0, 0))]);
    }
    (core, id, now)
}

fn refused(id: SessionId, why: NotReplaced) -> Action {
    Action::TellSessiond(message(Op::NotReplaced, id, 0, why.number()))
}

#[test]
fn a_worker_is_followed_by_the_one_that_stands_by() {
    let (mut core, id, now) = replacing(true);
    core.step(Event::FromWorker(id, message(Op::Parked, id, 0, 99), vec![]), now);
    let gone = core.step(Event::Ended(Process::Worker(id), Some(0)), now);
    assert_eq!(gone, [Action::TellWorker(id, message(Op::Go, id, 0, 0))]);
    assert_eq!(core.sessions()[&id].worker.as_ref().unwrap().pid, 7);
    let taken = core.step(Event::FromWorker(id, message(Op::Taken, id, 0, 0), vec![]), now);
    assert_eq!(taken, [Action::TellSessiond(message(Op::WorkerStarted, id, 7, 6))]);
    assert_eq!(core.deadline(), None);
    // Asked twice in a row: one after the other.
    assert_eq!(
        core.step(Event::FromSessiond(message(Op::Replace, id, 0, 0), vec![]), now),
        [Action::ForkSuccessor(id)]
    );
    core.step(Event::SuccessorForked(id, running(8)), now);
    let again = core.step(Event::FromSessiond(message(Op::Replace, id, 0, 0), vec![]), now);
    assert_eq!(again, [refused(id, NotReplaced::Busy)]);
}

#[test]
fn a_successor_that_does_not_get_ready_changes_nothing() {
    for hangs in [false, true] {
        let (mut core, id, now) = replacing(false);
        let gone = if hangs {
            core.step(Event::DeadlinePassed, now + HEALTHY_WITHIN)
        } else {
            core.step(Event::Ended(Process::Successor(id), Some(0x6500)), now)
        };
        assert_eq!(gone.last(), Some(&refused(id, NotReplaced::NotStarted)));
        assert_eq!(hangs, gone.contains(&Action::Kill(Process::Successor(id))));
        if hangs {
            assert_eq!(core.step(Event::Ended(Process::Successor(id), Some(9)), now), []);
        }
        assert_eq!(core.sessions()[&id].worker.as_ref().unwrap().pid, 5);
        assert_eq!(core.deadline(), None);
    }
}

#[test]
fn one_that_took_over_and_does_not_serve_is_followed_by_the_launchers_own_version() {
    for hangs in [false, true] {
        let (mut core, id, now) = replacing(true);
        core.step(Event::Ended(Process::Worker(id), Some(0)), now);
        if hangs {
            let killed = core.step(Event::DeadlinePassed, now + HEALTHY_WITHIN);
            assert_eq!(killed, [Action::Kill(Process::Worker(id))]);
        }
        let gone = core.step(Event::Ended(Process::Worker(id), Some(0x6500)), now);
        assert_eq!(gone, [refused(id, NotReplaced::RolledBack), Action::ForkWorker(id, Mode::TakeOver)]);
        assert!(core.sessions()[&id].own);
        core.step(Event::WorkerForked(id, running(8)), now);
        core.step(Event::FromWorker(id, message(Op::Taken, id, 0, 0), vec![]), now);
        // Killed later, it is followed by the installed version, which may have been mended since.
        core.step(Event::Ended(Process::Worker(id), Some(9)), now);
        assert!(!core.sessions()[&id].own);
    }
}

#[test]
fn a_worker_that_does_not_come_to_an_end_goes_on() {
    let (mut core, id, now) = replacing(true);
    let late = core.step(Event::DeadlinePassed, now + HEALTHY_WITHIN);
    assert_eq!(late, [Action::Kill(Process::Successor(id)), refused(id, NotReplaced::NotParked)]);
    // One that has said that it reads nothing more is not left in the way.
    let (mut core, id, now) = replacing(true);
    core.step(Event::FromWorker(id, message(Op::Parked, id, 0, 3), vec![]), now);
    assert_eq!(core.step(Event::DeadlinePassed, now + HEALTHY_WITHIN), [Action::Kill(Process::Worker(id))]);
    let gone = core.step(Event::Ended(Process::Worker(id), Some(9)), now + HEALTHY_WITHIN);
    assert_eq!(gone, [Action::TellWorker(id, message(Op::Go, id, 0, 0))]);
}

#[test]
fn a_program_that_ends_meanwhile_ends_the_replacing() {
    let (mut core, id, now) = replacing(true);
    let done = core.step(Event::FromWorker(id, message(Op::Done, id, 0, 0), vec![]), now);
    assert!(done.contains(&Action::Kill(Process::Successor(id))), "{done:?}");
    core.step(Event::Ended(Process::Successor(id), Some(9)), now);
    let gone = core.step(Event::Ended(Process::Worker(id), Some(0)), now);
    assert!(matches!(gone[..], [Action::TellSessiond(LaunchMessage { op: Op::WorkerGone, .. })]), "{gone:?}");
}
