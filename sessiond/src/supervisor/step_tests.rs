//! sessiond's decisions, without a process in sight.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use baton_proto::launch::{LaunchMessage, Op};
use baton_proto::spec::{Grant, Layer, LayerStatus, Profile, SessionKind, SessionSpec};
use baton_proto::v1::{Class, Dimensions, ExitRecord, Inspection, LeaseRecord, SessionEntry, SizePolicy, Status};
use baton_proto::{Epoch, ErrorCode, InstanceId, SessionId};

use super::admission::SHOWN_BYTES_MAX;
use super::event::{Action, Answer, ConnId, Event, Request};
use super::registry::Bytes;
use super::step::{ANSWER_WITHIN, Core, Limits, SESSION_VARIABLE};

pub(super) const CONN: ConnId = ConnId(1);

pub(super) fn id(number: u128) -> SessionId {
    SessionId::from_uuid(uuid::Uuid::from_u128(number))
}

pub(super) fn spec(number: u128) -> SessionSpec {
    SessionSpec {
        session: id(number),
        instance: InstanceId::from_uuid(uuid::Uuid::from_u128(number + 1000)),
        kind: SessionKind::Terminal,
        command: vec!["sh".to_owned()],
        login: false,
        cwd: "/".to_owned(),
        env: vec![("PATH".to_owned(), "/bin".to_owned()), (SESSION_VARIABLE.to_owned(), "an outer one".to_owned())],
        size: Dimensions { cols: 80, rows: 24 },
        policy: SizePolicy::Holder,
        profile: Profile::Host,
        title: String::new(),
        creator: None,
        class: Class::Person,
        idle_timeout_s: 0,
        lease_ttl_ms: 15_000,
        close_grace_ms: 5000,
        journal_bytes: 64 << 20,
        record_input: false,
        created_us: 0,
        boot_id: "boot".to_owned(),
        parked_ttl_s: 0,
        grants: Vec::new(),
        sandbox_required: false,
        limits: baton_proto::limits::Limits::default(),
        allow_hosts: Vec::new(),
        ssh_agent: None,
    }
}

pub(super) fn exit(reason: &str) -> ExitRecord {
    ExitRecord { code: Some(0), signal: None, reason: reason.to_owned(), closed: false }
}

pub(super) fn inspection(exit: Option<ExitRecord>) -> Box<Inspection> {
    Box::new(Inspection {
        program_pid: 21,
        worker_pid: 20,
        instance: spec(1).instance,
        lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
        clients: vec![],
        head: 0,
        oldest: 0,
        oldest_screen: 0,
        journal_bytes: 0,
        size: Dimensions { cols: 80, rows: 24 },
        policy: SizePolicy::Holder,
        foreground: None,
        cwd: None,
        echo: true,
        canonical: true,
        at_prompt: true,
        screen: baton_proto::v1::ScreenState::default(),
        input_queued: 0,
        last_activity_us: 77,
        exit,
        parked_since_us: None,
        layers: Vec::new(),
    })
}

/// A core and the moment it believes in.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            core: Core::new(Limits { journal_total_bytes: 1000, allow_host: true, require: false }),
            now: Instant::now(),
        }
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        self.core.step(event, self.now)
    }

    pub(super) fn ask(&mut self, request_id: u64, request: Request) -> Vec<Action> {
        self.step(Event::Request { conn: CONN, id: request_id, request, wall_us: 55 })
    }

    pub(super) fn launcher(&mut self, op: Op, number: u128, pid: u32, arg: i64) -> Vec<Action> {
        self.step(Event::Launcher(LaunchMessage { op, session: id(number), pid, arg }))
    }

    /// A session that runs and whose worker is known to the launcher.
    pub(super) fn running(number: u128) -> Self {
        let mut bench = Self::new();
        bench.ask(9, Request::Spawn(Box::new(spec(number))));
        bench.launcher(Op::WorkerStarted, number, 20, 21);
        bench.step(Event::Inspected(id(number), inspection(None)));
        bench
    }

    pub(super) fn entry(&self, number: u128) -> SessionEntry {
        self.core.list_part(None).0.into_iter().find(|entry| entry.spec.session == id(number)).unwrap()
    }
}

pub(super) fn answers(actions: &[Action]) -> Vec<(u64, &Answer)> {
    actions
        .iter()
        .filter_map(|action| if let Action::Answer(_, id, answer) = action { Some((*id, answer)) } else { None })
        .collect()
}

fn dials(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Dial(_)))
}

pub(super) fn refused(actions: &[Action]) -> ErrorCode {
    match answers(actions)[..] {
        [(_, Answer::Failed(failed))] => failed.code,
        _ => panic!("{actions:?}"),
    }
}

#[test]
fn a_spawn_is_written_down_started_dialled_and_answered() {
    let mut bench = Bench::new();
    bench.ask(1, Request::List);
    let actions = bench.ask(2, Request::Spawn(Box::new(spec(1))));
    let [Action::Tell(CONN, entry), Action::Store(stored)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((&entry.status, &entry.socket, entry.spec.env.len()), (&Status::Starting, &None, 0));
    let names: Vec<_> = stored.env.iter().filter(|(name, _)| name == SESSION_VARIABLE).collect();
    assert_eq!(names, [&(SESSION_VARIABLE.to_owned(), id(1).to_string())]);
    assert_eq!(stored.created_us, 55);
    let actions = bench.launcher(Op::WorkerStarted, 1, 20, 21);
    assert!(matches!(&actions[..], [Action::NoteWorker(_, 20), Action::Dial(_), Action::Tell(..)]), "{actions:?}");
    let actions = bench.step(Event::Inspected(id(1), inspection(None)));
    let [(2, Answer::Session(entry))] = answers(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((&entry.status, entry.worker_pid, entry.program_pid), (&Status::Running, Some(20), Some(21)));
    assert_eq!(entry.socket, Some(id(1).socket_name()));
    assert!(actions.iter().any(|action| matches!(action, Action::Tell(CONN, _))));
}

fn confined(spec: &mut SessionSpec, root: &str) {
    spec.profile = Profile::Workspace;
    spec.grants = vec![Grant::whole(root.to_owned())];
}

#[test]
fn a_confined_session_carries_its_grants_and_whether_all_is_required() {
    let mut bench = Bench::new();
    bench.core = Core::new(Limits { journal_total_bytes: 1000, allow_host: false, require: true });
    let mut asked = spec(1);
    confined(&mut asked, "/srv");
    let actions = bench.ask(1, Request::Spawn(Box::new(asked)));
    let [Action::Store(stored)] = &actions[..] else { panic!("{actions:?}") };
    assert!(stored.sandbox_required && stored.grants.len() == 1, "{stored:?}");
    // What was achieved comes from the worker, and is told to who listens.
    bench.ask(2, Request::List);
    bench.launcher(Op::WorkerStarted, 1, 20, 21);
    let layer = Layer { name: "landlock".to_owned(), status: LayerStatus::Enforced, abi: Some(7), detail: None };
    let told = Inspection { layers: vec![layer.clone()], ..*inspection(None) };
    bench.step(Event::Inspected(id(1), Box::new(told)));
    assert_eq!(bench.entry(1).layers, [layer]);
    // A launcher that forbids what sessiond let pass is believed.
    let mut bench = Bench::new();
    bench.ask(1, Request::Spawn(Box::new(spec(1))));
    bench.launcher(Op::WorkerGone, 1, 0, crate::launcher::core::FORBIDDEN);
    let Status::Failed { reason } = bench.entry(1).status else { panic!("{:?}", bench.entry(1)) };
    assert!(reason.contains("sandbox.allow_host"), "{reason}");
}

#[test]
fn bad_specs_are_refused_before_anything_is_done() {
    let bad = |change: fn(&mut SessionSpec)| {
        let mut spec = spec(1);
        change(&mut spec);
        refused(&Bench::new().ask(1, Request::Spawn(Box::new(spec))))
    };
    assert_eq!(bad(|spec| spec.command.clear()), ErrorCode::Invalid);
    assert_eq!(bad(|spec| spec.command = vec![String::new()]), ErrorCode::Invalid);
    assert_eq!(bad(|spec| spec.command.push("a\0b".to_owned())), ErrorCode::Invalid);
    assert_eq!(bad(|spec| "relative".clone_into(&mut spec.cwd)), ErrorCode::Invalid);
    assert_eq!(bad(|spec| spec.env.push(("A=B".to_owned(), String::new()))), ErrorCode::Invalid);
    assert_eq!(bad(|spec| spec.size.cols = 0), ErrorCode::Invalid);
    assert_eq!(bad(|spec| spec.command.push("x".repeat(SHOWN_BYTES_MAX))), ErrorCode::TooLarge);
    assert_eq!(bad(|spec| confined(spec, "relative")), ErrorCode::Invalid);
    assert_eq!(bad(|spec| confined(spec, "/a\0b")), ErrorCode::Invalid);
    assert_eq!(bad(|spec| confined(spec, &format!("/{}", "x".repeat(4096)))), ErrorCode::Invalid);
    assert_eq!(
        bad(|spec| {
            confined(spec, "/srv");
            spec.grants = vec![spec.grants[0].clone(); 65];
        }),
        ErrorCode::Invalid
    );
    assert_eq!(bad(|spec| spec.kind = SessionKind::Browser), ErrorCode::Invalid);
    let mut strict = Bench::new();
    strict.core = Core::new(Limits { journal_total_bytes: 1000, allow_host: false, require: false });
    assert_eq!(refused(&strict.ask(1, Request::Spawn(Box::new(spec(1))))), ErrorCode::Denied);
    let mut bench = Bench::running(1);
    assert_eq!(refused(&bench.ask(2, Request::Spawn(Box::new(spec(1))))), ErrorCode::Invalid);
    // Another id, the same eight characters.
    let twin = id(1 | 1 << 100);
    assert_eq!(twin.socket_name(), id(1).socket_name());
    assert_eq!(
        refused(&bench.ask(2, Request::Spawn(Box::new(SessionSpec { session: twin, ..spec(1) })))),
        ErrorCode::Busy
    );
}

#[test]
fn what_is_on_no_disk_is_no_session() {
    let mut bench = Bench::new();
    bench.ask(1, Request::List);
    let full = || super::session::failed(ErrorCode::DiskFull, "the disk is full");
    assert_eq!(refused(&bench.ask(2, Request::NoRoom(full()))), ErrorCode::DiskFull);
    bench.ask(3, Request::Spawn(Box::new(spec(1))));
    let actions = bench.step(Event::NotStored(id(1), full()));
    let [Action::Tell(CONN, entry), Action::Answer(CONN, 3, Answer::Failed(why))] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((why.code, &entry.status), (ErrorCode::DiskFull, &Status::Failed { reason: why.message.clone() }));
    assert!(bench.core.list_part(None).0.is_empty());
    // Its id is free, and so is its socket's name.
    let actions = bench.ask(4, Request::Spawn(Box::new(spec(1))));
    assert!(matches!(actions[..], [Action::Tell(..), Action::Store(_)]), "{actions:?}");
}

#[test]
fn a_program_that_never_started_is_a_failed_session() {
    let mut bench = Bench::new();
    bench.ask(2, Request::Spawn(Box::new(spec(1))));
    bench.launcher(Op::WorkerStarted, 1, 20, 0);
    let failed = ExitRecord { code: Some(127), ..exit("failed: `x` was not found") };
    let actions = bench.step(Event::Inspected(id(1), inspection(Some(failed))));
    let [(2, Answer::Session(entry))] = answers(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(entry.status, Status::Failed { reason: "`x` was not found".to_owned() });
    assert!(actions.iter().any(|action| matches!(action, Action::HangUp(_))));
    // Nor is one whose worker died first.
    let mut bench = Bench::new();
    bench.ask(2, Request::Spawn(Box::new(spec(1))));
    let actions = bench.launcher(Op::WorkerGone, 1, 0, 256);
    let [(2, Answer::Session(entry))] = answers(&actions)[..] else { panic!("{actions:?}") };
    assert!(matches!(entry.status, Status::Failed { .. }));
}

#[test]
fn the_end_is_noted_told_and_serves_its_journal_on_request() {
    let mut bench = Bench::running(1);
    bench.ask(1, Request::List);
    let closed = ExitRecord { closed: true, ..exit("enough") };
    let actions = bench.step(Event::Exit(id(1), closed.clone(), 60));
    assert!(matches!(&actions[..], [Action::HangUp(_), Action::NoteEnd(..), Action::Tell(..)]), "{actions:?}");
    assert_eq!(bench.entry(1).status, Status::Closed(closed));
    // Its worker still listens.
    let actions = bench.ask(3, Request::Open(id(1)));
    assert!(matches!(answers(&actions)[..], [(3, Answer::Session(entry))] if entry.socket.is_some()));
    // Later it is gone: look for one that the launcher does not know, then have one started.
    bench.launcher(Op::WorkerGone, 1, 0, 0);
    assert_eq!(bench.entry(1).socket, None);
    let actions = bench.ask(4, Request::Open(id(1)));
    assert!(dials(&actions) && answers(&actions).is_empty(), "{actions:?}");
    let actions = bench.step(Event::Absent(id(1)));
    assert!(matches!(&actions[..], [Action::Replay(_)]), "{actions:?}");
    let actions = bench.launcher(Op::WorkerStarted, 1, 30, 0);
    assert!(matches!(answers(&actions)[..], [(4, Answer::Session(entry))] if entry.socket.is_some()), "{actions:?}");
    assert!(!dials(&actions));
    // One that can't be started is an answer too.
    bench.launcher(Op::WorkerGone, 1, 0, 0);
    bench.ask(5, Request::Open(id(1)));
    bench.step(Event::Absent(id(1)));
    assert_eq!(refused(&bench.launcher(Op::WorkerGone, 1, 0, 256)), ErrorCode::Internal);
}

#[test]
fn a_worker_that_does_not_answer_is_asked_again_and_never_declared_dead() {
    let mut bench = Bench::running(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let actions = bench.step(Event::Unreached(id(1)));
        assert!(actions.is_empty(), "{actions:?}");
        assert_eq!(bench.entry(1).status, Status::Running);
        // Measurements are another deadline; look past them.
        while !dials(&bench.core.step(Event::DeadlinePassed, bench.now)) {
            let next = bench.core.deadline().unwrap();
            waits.push(next.duration_since(bench.now).as_millis());
            bench.now = next;
        }
    }
    assert!(waits.iter().all(|wait| *wait <= 5000), "{waits:?}");
    let actions = bench.ask(2, Request::Status);
    assert!(
        matches!(answers(&actions)[..], [(2, Answer::Status(counts))] if (counts.running, counts.parked) == (0, 1))
    );
    // Even a socket that nobody listens on, while the launcher says that there is a worker.
    assert!(bench.step(Event::Absent(id(1))).is_empty());
    bench.step(Event::Inspected(id(1), inspection(None)));
    let actions = bench.ask(2, Request::Status);
    assert!(
        matches!(answers(&actions)[..], [(2, Answer::Status(counts))] if (counts.running, counts.parked) == (1, 0))
    );
}

#[test]
fn what_is_found_on_disk_is_adopted_ended_or_lost() {
    let mut bench = Bench::new();
    let actions = bench.step(Event::Found(Box::new(spec(1)), Some((exit("exit"), 5))));
    assert!(actions.is_empty());
    assert_eq!(bench.entry(1).status, Status::Exited(exit("exit")));
    for number in [2, 3, 4] {
        assert!(dials(&bench.step(Event::Found(Box::new(spec(number)), None))));
    }
    bench.step(Event::Inspected(id(2), inspection(None)));
    assert_eq!(bench.entry(2).status, Status::Running);
    for (number, end, status) in [(3, Some(exit("exit")), Status::Exited(exit("exit"))), (4, None, Status::Lost)] {
        let actions = bench.step(Event::Absent(id(number)));
        assert!(matches!(&actions[..], [Action::AskJournal(_)]), "{actions:?}");
        bench.step(Event::Remains(id(number), end, 6));
        assert_eq!(bench.entry(number).status, status);
    }
    // Lost too early: the launcher was still starting it when sessiond died.
    assert!(dials(&bench.launcher(Op::WorkerStarted, 4, 20, 21)));
    bench.step(Event::Inspected(id(4), inspection(None)));
    assert_eq!(bench.entry(4).status, Status::Running);
}

#[test]
fn only_the_ended_are_forgotten() {
    let mut bench = Bench::running(1);
    assert_eq!(refused(&bench.ask(2, Request::Forget(id(1)))), ErrorCode::SessionRunning);
    assert_eq!(refused(&bench.ask(2, Request::Forget(id(9)))), ErrorCode::NotFound);
    bench.step(Event::Exit(id(1), exit("exit"), 60));
    let actions = bench.ask(3, Request::Forget(id(1)));
    assert!(matches!(&actions[..], [Action::Forget(_, CONN, 3)]), "{actions:?}");
    let actions = bench.step(Event::Forgotten(id(1), CONN, 3, Err("disk".to_owned())));
    assert_eq!(refused(&actions), ErrorCode::Internal);
    let actions = bench.step(Event::Forgotten(id(1), CONN, 3, Ok(())));
    assert!(matches!(answers(&actions)[..], [(3, Answer::Done)]));
    assert_eq!(refused(&bench.ask(4, Request::Open(id(1)))), ErrorCode::NotFound);
    // The name is free again.
    assert!(matches!(&bench.ask(5, Request::Spawn(Box::new(spec(1))))[..], [Action::Store(_)]));
}

#[test]
fn who_waits_too_long_is_told_how_things_are() {
    let mut bench = Bench::new();
    bench.ask(2, Request::Spawn(Box::new(spec(1))));
    bench.now += ANSWER_WITHIN;
    let actions = bench.step(Event::DeadlinePassed);
    assert!(matches!(answers(&actions)[..], [(2, Answer::Session(entry))] if entry.status == Status::Starting));
    // Who left is told nothing.
    let mut bench = Bench::new();
    bench.ask(2, Request::Spawn(Box::new(spec(1))));
    bench.step(Event::ConnClosed(CONN));
    bench.launcher(Op::WorkerStarted, 1, 20, 21);
    assert!(answers(&bench.step(Event::Inspected(id(1), inspection(None)))).is_empty());
}

#[test]
fn too_much_journal_costs_the_longest_ended_first_and_the_living_last() {
    let mut bench = Bench::running(1);
    for (number, at) in [(2, 30), (3, 10), (4, 20)] {
        bench.step(Event::Found(Box::new(spec(number)), Some((exit("exit"), at))));
    }
    bench.now += Duration::from_secs(1);
    assert!(matches!(&bench.step(Event::DeadlinePassed)[..], [Action::Measure]));
    let mut measured = |sizes: [u64; 4]| -> Vec<(u128, Option<u64>)> {
        let sizes = sizes.map(|current| Bytes { current, earlier: 0 });
        let bytes: BTreeMap<_, _> = (1..).map(id).zip(sizes).collect();
        let numbered = |action: &Action| match action {
            Action::DropJournals(session) => ((1..5).find(|number| id(*number) == *session).unwrap(), None),
            Action::Trim(session, bytes) => ((1..5).find(|number| id(*number) == *session).unwrap(), Some(*bytes)),
            other => panic!("{other:?}"),
        };
        bench.step(Event::Measured(bytes)).iter().map(numbered).collect()
    };
    assert_eq!(measured([400, 200, 200, 200]), []);
    assert_eq!(measured([500, 200, 200, 200]), [(3, None)]);
    assert_eq!(measured([900, 200, 200, 100]), [(3, None), (4, None), (2, None)]);
    assert_eq!(measured([1500, 200, 0, 200]), [(4, None), (2, None), (1, Some(1000))]);
}

#[test]
fn a_long_list_comes_in_parts_and_whole() {
    let mut bench = Bench::new();
    for number in 1..=50 {
        let mut spec = spec(number);
        spec.command.push("x".repeat(20_000));
        bench.step(Event::Found(Box::new(spec), Some((exit("exit"), 1))));
    }
    let (mut seen, mut parts, mut after) = (Vec::new(), 0, None);
    loop {
        let (part, last) = bench.core.list_part(after);
        seen.extend(part.iter().map(|entry| entry.spec.session));
        parts += 1;
        match last {
            Some(_) => after = last,
            None => break,
        }
    }
    assert_eq!(seen, (1..=50).map(id).collect::<Vec<_>>());
    assert!(parts > 5);
}
