//! The launcher's decisions against random histories: workers, programs and services that die whenever they like.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use baton_proto::SessionId;
use baton_proto::launch::{LaunchMessage, Op, Start};
use baton_proto::spec::Profile;
use nix::sys::signal::Signal;

use super::core::{
    Action, Core, Event, HEALTHY_WITHIN, Mode, Process, RETIRE_WITHIN, RETIRED, Running, STOP_GRACE, Service,
};

/// A descriptor that counts its copies.
pub(super) type Handle = Rc<()>;

pub(super) fn session(number: u128) -> SessionId {
    SessionId::from_uuid(uuid::Uuid::from_u128(number))
}

pub(super) fn message(op: Op, session: SessionId, pid: u32, arg: i64) -> LaunchMessage {
    LaunchMessage { op, session, pid, arg }
}

/// A small generator whose seed is all there is to know of a history.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What is true of a session outside of the launcher.
#[derive(Debug, Default)]
struct Life {
    worker: Option<u32>,
    mode: Option<Mode>,
    program: Option<u32>,
    program_ended: bool,
    done: bool,
    /// What the worker alive now was told.
    told_exit: bool,
    next: Option<u32>,
    stands_by: bool,
    next_killed: bool,
    park_asked: bool,
    parked: bool,
    killed: bool,
    on_trial: bool,
    serves: bool,
    /// The launcher reaped the program.
    reaped: bool,
    handles: Vec<Handle>,
    /// What nobody is to keep.
    rejected: Vec<Handle>,
}

/// The machine around the launcher.
struct World {
    core: Core<Handle>,
    now: Instant,
    random: Random,
    pids: u32,
    lives: BTreeMap<SessionId, Life>,
    services: BTreeMap<Service, u32>,
    /// Sessions sessiond waits to hear of.
    asked: BTreeSet<SessionId>,
    /// How often a worker was not replaced.
    refused: u32,
    stopped: bool,
    exited: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            core: Core::new(1000),
            now: Instant::now(),
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            pids: 100,
            lives: BTreeMap::new(),
            services: BTreeMap::new(),
            asked: BTreeSet::new(),
            refused: 0,
            stopped: false,
            exited: false,
        };
        world.feed(Event::Begin);
        world
    }

    fn pid(&mut self) -> u32 {
        self.pids += 1;
        self.pids
    }

    fn feed(&mut self, event: Event<Handle>) {
        let actions = self.core.step(event, self.now);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ForkWorker(id, mode) => {
                let life = self.lives.get_mut(&id).expect("a worker for a session nobody asked for");
                assert_eq!(life.worker, None, "two workers of one session");
                match mode {
                    Mode::TakeOver => assert!(life.program.is_some() && !life.done, "nothing to take over"),
                    Mode::Fresh => assert!(life.program.is_none(), "the program would be started twice"),
                    Mode::Replay => {}
                    Mode::Succeed => panic!("nobody is there to follow"),
                }
                (life.on_trial, life.killed, life.parked, life.serves) = (false, false, false, false);
                if self.random.one_in(8) {
                    return self.feed(Event::WorkerNotForked(id));
                }
                let pid = self.pid();
                let life = self.lives.get_mut(&id).unwrap();
                (life.worker, life.mode, life.told_exit) = (Some(pid), Some(mode), false);
                let running = Running { pid, pidfd: Handle::default(), channel: Some(Handle::default()) };
                self.feed(Event::WorkerForked(id, running));
            }
            Action::ForkSuccessor(id) => {
                let life = &self.lives[&id];
                assert!(life.program.is_some() && !life.done && life.worker.is_some(), "nothing to hand over");
                assert_eq!(life.next, None, "two successors of one worker");
                if self.random.one_in(8) {
                    return self.feed(Event::SuccessorNotForked(id));
                }
                let pid = self.pid();
                let life = self.lives.get_mut(&id).unwrap();
                (life.next, life.stands_by, life.park_asked) = (Some(pid), false, false);
                let running = Running { pid, pidfd: Handle::default(), channel: Some(Handle::default()) };
                self.feed(Event::SuccessorForked(id, running));
            }
            Action::Kill(Process::Successor(id)) => {
                let life = self.lives.get_mut(&id).unwrap();
                assert!(life.next.is_some(), "nobody is there to kill");
                life.next_killed = true;
            }
            Action::Kill(Process::Worker(id)) => {
                let life = self.lives.get_mut(&id).unwrap();
                let ended = life.done || life.mode != Some(Mode::TakeOver) && life.program.is_none();
                let hangs = life.mode == Some(Mode::TakeOver) && !life.serves;
                assert!(ended || life.on_trial || life.parked || hangs, "a worker that serves a program is killed");
                life.killed = true;
            }
            Action::Kill(other) => panic!("{other:?} is killed"),
            Action::Proved(service) => assert!(self.services.contains_key(&service)),
            Action::ForkHeir | Action::Adopt(_) => {}
            Action::ForkService(service) => {
                assert!(!self.stopped, "started after the stop");
                assert!(!self.services.contains_key(&service), "two of one service");
                if self.random.one_in(8) {
                    return self.feed(Event::ServiceNotForked(service));
                }
                let pid = self.pid();
                self.services.insert(service, pid);
                self.feed(Event::ServiceForked(service, Running { pid, pidfd: Handle::default(), channel: None }));
            }
            Action::TellSessiond(told) => match told.op {
                Op::WorkerStarted => {
                    let life = &self.lives[&told.session];
                    assert_eq!(Some(told.pid), life.worker);
                    assert!(life.done || told.arg == i64::from(life.program.unwrap()));
                    self.asked.remove(&told.session);
                }
                Op::WorkerGone => {
                    let life = self.lives.remove(&told.session).expect("gone twice");
                    assert_eq!(life.worker, None, "gone and alive");
                    assert!(life.done || life.program.is_none(), "a running session was given up");
                    self.asked.remove(&told.session);
                    assert!(
                        life.handles.iter().all(|handle| Rc::strong_count(handle) == 1),
                        "handles of nobody are kept"
                    );
                }
                Op::NotReplaced => self.refused += 1,
                other => panic!("{other:?} to sessiond"),
            },
            Action::TellWorker(id, told) => {
                let life = self.lives.get_mut(&id).unwrap();
                if told.op == Op::Go {
                    assert_eq!(life.worker, None, "two readers of one terminal");
                    assert!(life.stands_by && !life.next_killed && !life.done);
                    (life.worker, life.mode, life.told_exit) = (life.next.take(), Some(Mode::TakeOver), false);
                    (life.on_trial, life.killed, life.parked, life.serves) = (true, false, false, false);
                    return;
                }
                assert!(life.worker.is_some());
                match told.op {
                    Op::Park => {
                        assert!(life.stands_by && !life.park_asked, "asked before anybody can follow");
                        life.park_asked = true;
                    }
                    Op::ProgramExited => {
                        assert_eq!(Some(told.pid), life.program);
                        assert!(life.reaped);
                        life.told_exit = true;
                    }
                    Op::Drained => {
                        assert!(life.done);
                        assert!(life.handles.iter().all(|handle| Rc::strong_count(handle) == 1), "not dropped");
                    }
                    other => panic!("{other:?} to a worker"),
                }
            }
            Action::Signal(service, _) => assert!(self.services.contains_key(&service), "nobody is there to signal"),
            Action::Exit => {
                assert!(self.stopped && self.services.is_empty());
                self.exited = true;
            }
        }
    }

    /// Something happens.
    fn turn(&mut self) {
        self.now += Duration::from_millis(self.random.below(3000) as u64);
        let ids: Vec<SessionId> = self.lives.keys().copied().collect();
        let some = if ids.is_empty() { None } else { Some(ids[self.random.below(ids.len())]) };
        match (self.random.below(24), some) {
            (14, Some(id)) => self.feed(Event::FromSessiond(message(Op::Replace, id, 0, 0), vec![])),
            (15..=17, Some(id)) => self.successor_goes_on(id),
            (18, Some(id)) => self.successor_dies(id),
            (19 | 20, Some(id)) => self.worker_parks(id),
            (21, Some(id)) => self.worker_serves(id),
            (22, Some(id)) => {
                if self.lives[&id].killed {
                    self.worker_dies(id);
                } else if self.lives[&id].next_killed {
                    self.successor_dies(id);
                }
            }
            (23, _) => {
                let service = Service::ALL[self.random.below(2)];
                let ready = message(Op::Ready, session(0), 0, 0);
                match service {
                    _ if !self.services.contains_key(&service) => {}
                    Service::Supervisor => self.feed(Event::FromSessiond(ready, vec![])),
                    Service::Bridge => self.feed(Event::FromBridge(ready)),
                }
            }
            (0 | 1, _) => self.spawn(),
            (2..=5, Some(id)) => self.worker_goes_on(id),
            (6 | 7, Some(id)) => self.worker_dies(id),
            (8, Some(id)) => self.program_ends(id),
            (9, _) => {
                let service = Service::ALL[self.random.below(2)];
                if self.services.remove(&service).is_some() {
                    self.feed(Event::Ended(Process::Service(service), None));
                }
            }
            (11, Some(id)) => self.socket_vanishes(id),
            (12, _) => {
                let service = Service::ALL[self.random.below(2)];
                self.feed(Event::Replace(service));
            }
            (13, Some(id)) => self.feed(Event::FromSessiond(message(Op::Retire, id, 0, 0), vec![])),
            // Asked twice, as after a launcher's death between acting and taking.
            (10, Some(id)) => {
                self.feed(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]));
            }
            _ => {}
        }
        if self.core.deadline().is_some_and(|at| at <= self.now) {
            self.feed(Event::DeadlinePassed);
        }
    }

    fn spawn(&mut self) {
        let id = session(u128::from(self.pid()));
        let replay = self.random.one_in(4);
        self.lives.insert(id, Life::default());
        self.asked.insert(id);
        let arg = if replay { Start::Replay } else { Start::Workspace }.number();
        self.feed(Event::FromSessiond(message(Op::SpawnWorker, id, 0, arg), vec![Handle::default()]));
    }

    fn worker_goes_on(&mut self, id: SessionId) {
        let pid = self.pid();
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.worker.is_some() && !life.done) else { return };
        let (op, pid, handles) = match (life.mode.unwrap(), life.handles.len(), life.program) {
            (Mode::Fresh, 0, _) => (Op::Keep, 0, (0..3).map(|_| Handle::default()).collect()),
            (Mode::Fresh, _, None) => {
                life.program = Some(pid);
                (Op::Program, pid, vec![Handle::default()])
            }
            (Mode::Replay, ..) => (Op::Done, 0, Vec::new()),
            (_, _, Some(_)) if life.program_ended => (Op::Done, 0, Vec::new()),
            _ => return,
        };
        life.done = op == Op::Done;
        life.handles.extend(handles.iter().cloned());
        self.feed(Event::FromWorker(id, message(op, id, pid, 0), handles));
    }

    fn successor_goes_on(&mut self, id: SessionId) {
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.next.is_some() && !life.stands_by) else { return };
        life.stands_by = true;
        self.feed(Event::FromSuccessor(id, message(Op::Standby, id, 0, 0)));
    }

    fn successor_dies(&mut self, id: SessionId) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        if life.next.take().is_some() {
            life.next_killed = false;
            self.feed(Event::Ended(Process::Successor(id), Some(0x6500)));
        }
    }

    /// It says so, and leaves now or later.
    fn worker_parks(&mut self, id: SessionId) {
        let asked = |life: &&mut Life| life.park_asked && life.worker.is_some() && !life.done && !life.on_trial;
        let Some(life) = self.lives.get_mut(&id).filter(asked) else { return };
        if !std::mem::replace(&mut life.parked, true) {
            self.feed(Event::FromWorker(id, message(Op::Parked, id, 0, 1234), vec![]));
        }
        if self.random.one_in(2) {
            self.worker_dies(id);
        }
    }

    fn worker_serves(&mut self, id: SessionId) {
        let taken = |life: &&mut Life| life.mode == Some(Mode::TakeOver) && life.worker.is_some() && !life.serves;
        let Some(life) = self.lives.get_mut(&id).filter(taken) else { return };
        (life.serves, life.on_trial) = (true, false);
        self.feed(Event::FromWorker(id, message(Op::Taken, id, 0, 0), vec![]));
    }

    /// Of a worker that has been heard of: the first of its handles is the listener.
    fn socket_vanishes(&mut self, id: SessionId) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        let listener = Handle::default();
        if life.done {
            life.rejected.push(listener.clone());
        } else if let Some(known) = life.handles.first_mut() {
            *known = listener.clone();
        } else {
            return;
        }
        self.feed(Event::Rebound(id, listener));
    }

    fn worker_dies(&mut self, id: SessionId) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        if life.worker.take().is_some() {
            self.feed(Event::Ended(Process::Worker(id), Some(9)));
        }
    }

    fn program_ends(&mut self, id: SessionId) {
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.program.is_some() && !life.program_ended) else {
            return;
        };
        life.program_ended = true;
        // An orphan is the launcher's to reap; a worker reaps its own program.
        if life.worker.is_none() || life.mode == Some(Mode::TakeOver) {
            life.reaped = true;
            self.feed(Event::Ended(Process::Program(id), Some(0x300)));
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        for (id, life) in &self.lives {
            let kept = &self.core.sessions()[id];
            assert_eq!(kept.worker.as_ref().map(|worker| worker.pid), life.worker);
            assert_eq!(kept.next.as_ref().map(|next| next.running.pid), life.next);
            let waits = life.next.is_some() && !life.next_killed || life.on_trial && !life.killed;
            assert!(!waits || self.core.deadline().is_some(), "one that may never answer is waited for");
            assert!(life.worker.is_some() || self.core.deadline().is_some(), "a session without worker or plan");
            assert!(life.worker.is_none() || life.done || life.told_exit == life.reaped, "an exit status was not told");
            let held = life.handles.iter().filter(|handle| Rc::strong_count(handle) > 1).count();
            assert_eq!(held, if life.done { 0 } else { life.handles.len() });
            assert!(life.rejected.iter().all(|handle| Rc::strong_count(handle) == 1), "kept for nobody");
        }
        assert_eq!(self.core.sessions().len(), self.lives.len());
        assert!(self.asked.iter().all(|id| self.lives.contains_key(id)), "an asker is left without answer");
        for service in Service::ALL {
            let planned = self.core.deadline().is_some() || self.stopped;
            assert!(self.services.contains_key(&service) || planned, "a service without plan");
        }
    }
}

#[test]
fn no_history_loses_a_program_or_starts_one_twice() {
    for seed in 1..=400 {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..150 {
                world.turn();
                world.check();
            }
            world.stopped = true;
            world.feed(Event::Stop);
            for _ in 0..20 {
                world.turn();
            }
            for service in Service::ALL {
                if world.services.remove(&service).is_some() {
                    world.feed(Event::Ended(Process::Service(service), None));
                }
            }
            assert!(world.exited, "the stop has no end");
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_stop_asks_then_kills() {
    let mut core = Core::<Handle>::new(10);
    let start = Instant::now();
    for service in Service::ALL {
        core.step(Event::ServiceForked(service, Running { pid: 1, pidfd: Handle::default(), channel: None }), start);
    }
    let asked = core.step(Event::FromSessiond(message(Op::Stop, session(0), 0, 0), vec![]), start);
    assert_eq!(asked, Service::ALL.map(|service| Action::Signal(service, Signal::SIGTERM)));
    assert_eq!(core.deadline(), Some(start + STOP_GRACE));
    assert_eq!(core.step(Event::Ended(Process::Service(Service::Bridge), None), start), []);
    let killed = core.step(Event::DeadlinePassed, start + STOP_GRACE);
    assert_eq!(killed, [Action::Signal(Service::Supervisor, Signal::SIGKILL)]);
    assert_eq!(core.step(Event::Ended(Process::Service(Service::Supervisor), None), start), [Action::Exit]);
    // Nobody is started in between.
    let spawn = Event::FromSessiond(message(Op::SpawnWorker, session(1), 0, 0), vec![Handle::default()]);
    assert!(matches!(core.step(spawn, start)[..], [Action::TellSessiond(LaunchMessage { op: Op::WorkerGone, .. })]));
}

#[test]
fn a_service_with_old_sockets_is_replaced_at_once_and_by_force_if_it_must_be() {
    let mut core = Core::<Handle>::new(10);
    let (service, start) = (Service::Bridge, Instant::now());
    // Nobody to replace.
    assert_eq!(core.step(Event::Replace(service), start), []);
    let forked = |pid| Event::ServiceForked(service, Running { pid, pidfd: Handle::default(), channel: None });
    core.step(forked(1), start);
    // More often than deaths are free.
    for turn in 0..20 {
        assert_eq!(core.step(Event::Replace(service), start), [Action::Signal(service, Signal::SIGTERM)]);
        assert_eq!(core.step(Event::Replace(service), start), [], "asked once");
        if turn == 0 {
            let killed = core.step(Event::DeadlinePassed, start + STOP_GRACE);
            assert_eq!(killed, [Action::Signal(service, Signal::SIGKILL)]);
        }
        let ended = core.step(Event::Ended(Process::Service(service), None), start);
        assert_eq!(ended, [Action::ForkService(service)]);
        core.step(forked(2), start);
        assert_eq!(core.deadline(), Some(start + HEALTHY_WITHIN), "it has to serve");
        let ready = core.step(Event::FromBridge(message(Op::Ready, session(0), 0, 0)), start);
        assert_eq!((ready, core.deadline()), (vec![Action::Proved(service)], None));
    }
    // One that stops for good is not replaced.
    core.step(Event::Replace(service), start);
    core.step(Event::Stop, start);
    assert_eq!(core.step(Event::Ended(Process::Service(service), None), start), [Action::Exit]);
}

#[test]
fn a_worker_that_dies_at_once_is_started_ever_more_slowly_and_never_given_up() {
    let mut core = Core::<Handle>::new(10);
    let (id, mut now) = (session(1), Instant::now());
    core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
    let fork = |core: &mut Core<Handle>, now| {
        let running = Running { pid: 5, pidfd: Handle::default(), channel: None };
        core.step(Event::WorkerForked(id, running), now);
    };
    fork(&mut core, now);
    core.step(Event::FromWorker(id, message(Op::Program, id, 6, 0), vec![Handle::default()]), now);
    let mut waits = Vec::new();
    for _ in 0..40 {
        let died = now;
        let mut actions = core.step(Event::Ended(Process::Worker(id), None), now);
        if actions.is_empty() {
            now = core.deadline().unwrap();
            actions = core.step(Event::DeadlinePassed, now);
        }
        assert_eq!(actions, [Action::ForkWorker(id, Mode::TakeOver)]);
        waits.push(now.duration_since(died).as_millis());
        fork(&mut core, now);
    }
    assert_eq!(waits[19..23], [0, 50, 100, 200]);
    assert_eq!(waits[39], 2000);
}

#[test]
fn only_the_worker_of_an_ended_session_is_retired() {
    let mut core = Core::<Handle>::new(10);
    let (id, now) = (session(1), Instant::now());
    let retire = |core: &mut Core<Handle>| core.step(Event::FromSessiond(message(Op::Retire, id, 0, 0), vec![]), now);
    // Nobody is there: said so, apart from any other end.
    assert_eq!(retire(&mut core), [Action::TellSessiond(message(Op::WorkerGone, id, 0, RETIRED))]);
    core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
    core.step(Event::WorkerForked(id, Running { pid: 5, pidfd: Handle::default(), channel: None }), now);
    assert_eq!(retire(&mut core), []);
    core.step(Event::FromWorker(id, message(Op::Program, id, 6, 0), vec![Handle::default()]), now);
    assert_eq!(retire(&mut core), []);
    // sessiond heard of the end before the launcher did: what it asked for is done then, unless that was long ago.
    for (later, killed) in [(RETIRE_WITHIN, true), (RETIRE_WITHIN + Duration::from_millis(1), false)] {
        let mut core = Core::<Handle>::new(10);
        core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
        core.step(Event::WorkerForked(id, Running { pid: 5, pidfd: Handle::default(), channel: None }), now);
        core.step(Event::FromWorker(id, message(Op::Program, id, 6, 0), vec![Handle::default()]), now);
        assert_eq!(retire(&mut core), []);
        let done = core.step(Event::FromWorker(id, message(Op::Done, id, 0, 0), vec![]), now + later);
        assert_eq!(done.contains(&Action::Kill(Process::Worker(id))), killed, "{done:?}");
    }
    core.step(Event::FromWorker(id, message(Op::Done, id, 0, 0), vec![]), now + RETIRE_WITHIN * 2);
    assert_eq!(retire(&mut core), [Action::Kill(Process::Worker(id))]);
    let gone = core.step(Event::Ended(Process::Worker(id), Some(9)), now);
    assert_eq!(gone, [Action::TellSessiond(message(Op::WorkerGone, id, 0, 9))]);
    // One that serves a journal has not to be asked what it knows.
    core.step(
        Event::FromSessiond(message(Op::SpawnWorker, id, 0, Start::Replay.number()), vec![Handle::default()]),
        now,
    );
    core.step(Event::WorkerForked(id, Running { pid: 7, pidfd: Handle::default(), channel: None }), now);
    assert_eq!(retire(&mut core), [Action::Kill(Process::Worker(id))]);
}

#[test]
fn a_new_sessiond_is_told_of_every_worker() {
    let mut core = Core::<Handle>::new(10);
    let now = Instant::now();
    for number in [1, 2] {
        let id = session(number);
        core.step(Event::FromSessiond(message(Op::SpawnWorker, id, 0, 0), vec![Handle::default()]), now);
        let pid = u32::try_from(number).unwrap();
        core.step(Event::WorkerForked(id, Running { pid, pidfd: Handle::default(), channel: None }), now);
    }
    core.step(Event::FromWorker(session(2), message(Op::Program, session(2), 77, 0), vec![Handle::default()]), now);
    let forked = Event::ServiceForked(Service::Supervisor, Running { pid: 9, pidfd: Handle::default(), channel: None });
    // The first has not said yet that its program runs.
    assert_eq!(core.step(forked, now), [Action::TellSessiond(message(Op::WorkerStarted, session(2), 2, 77))]);
}

#[test]
fn a_spare_tries_a_worker_again_that_may_not_have_got_past_its_gate() {
    let now = Instant::now();
    let mut core = Core::<Handle>::new(10);
    let mut kept = super::core::Kept::new(Handle::default(), false);
    kept.worker = Some(Running { pid: 5, pidfd: Handle::default(), channel: None });
    core.restore_session(session(1), Some(kept));
    core.restore_session(session(2), Some(super::core::Kept::new(Handle::default(), true)));
    let actions = core.step(Event::Begin, now);
    assert!(actions.contains(&Action::ForkWorker(session(2), Mode::Replay)), "{actions:?}");
    let again = core.step(Event::Ended(Process::Worker(session(1)), None), now);
    assert_eq!(again, [Action::ForkWorker(session(1), Mode::Fresh)]);
    core.step(Event::WorkerForked(session(1), Running { pid: 6, pidfd: Handle::default(), channel: None }), now);
    // Once, not for ever.
    let gone = core.step(Event::Ended(Process::Worker(session(1)), Some(1)), now);
    assert_eq!(gone, [Action::TellSessiond(message(Op::WorkerGone, session(1), 0, 1))]);
}

#[test]
fn where_it_is_forbidden_nothing_unconfined_is_started_whoever_asks() {
    let now = Instant::now();
    let mut core = Core::<Handle>::new(10);
    core.forbid_host();
    let ask = |core: &mut Core<Handle>, number: u128, start: i64| {
        let message = message(Op::SpawnWorker, session(number), 0, start);
        core.step(Event::FromSessiond(message, vec![Handle::default()]), now)
    };
    let refused = |number, arg| [Action::TellSessiond(message(Op::WorkerGone, session(number), 0, arg))];
    assert_eq!(ask(&mut core, 1, Start::Host.number()), refused(1, super::core::FORBIDDEN));
    // A number that this version does not know is no way round.
    assert_eq!(ask(&mut core, 1, 99), refused(1, super::core::STATUS_UNKNOWN));
    assert!(core.sessions().is_empty());
    for (number, start) in [(2, Start::Workspace), (3, Start::Locked)] {
        assert_eq!(ask(&mut core, number, start.number()), [Action::ForkWorker(session(number), Mode::Fresh)]);
    }
    assert_eq!(core.sessions()[&session(3)].profile, Profile::Locked);
    assert_eq!(ask(&mut core, 4, Start::Replay.number()), [Action::ForkWorker(session(4), Mode::Replay)]);
    // What runs already is taken over as ever.
    let mut kept = super::core::Kept::new(Handle::default(), false);
    kept.worker = Some(Running { pid: 5, pidfd: Handle::default(), channel: None });
    core.restore_session(session(5), Some(kept));
    core.step(Event::FromWorker(session(5), message(Op::Program, session(5), 77, 0), vec![Handle::default()]), now);
    let again = core.step(Event::Ended(Process::Worker(session(5)), None), now);
    assert_eq!(again, [Action::ForkWorker(session(5), Mode::TakeOver)]);
}
