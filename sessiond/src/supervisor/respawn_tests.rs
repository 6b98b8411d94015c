//! Starting an ended session again, without a process in sight.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_proto::launch::Op;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::{ExitRecord, Respawn, Status};
use baton_proto::{ErrorCode, InstanceId};

use super::event::{Action, Answer, Event, Request};
use super::registry::Bytes;
use super::respawn::Change;
use super::step::ANSWER_WITHIN;
use super::step_tests::{Bench, CONN, answers, exit, id, inspection, refused, spec};
use crate::launcher::core::{RETIRE_WITHIN, RETIRED};

fn change(number: u128) -> Change {
    Change {
        asked: Respawn { session: id(number), command: None, cwd: None, idle_timeout_s: None, record_input: None },
        instance: InstanceId::from_uuid(uuid::Uuid::from_u128(number + 2000)),
        boot_id: "this boot".to_owned(),
        worker_lives: false,
    }
}

fn respawn(change: Change) -> Request {
    Request::Respawn(Box::new(change))
}

/// A session found on disk with this end.
fn found(end: Option<ExitRecord>) -> Bench {
    let mut bench = Bench::new();
    bench.step(Event::Found(Box::new(spec(1)), end.map(|exit| (exit, 10))));
    bench
}

fn lost() -> Bench {
    let mut bench = found(None);
    bench.step(Event::Absent(id(1)));
    bench.step(Event::Remains(id(1), None, 50));
    assert_eq!(bench.entry(1).status, Status::Lost);
    bench
}

fn rewritten(change: &Change) -> Event {
    Event::Rewritten(id(1), Ok(Box::new(change.applied(spec(1)))))
}

fn started(bench: &mut Bench, change: &Change) {
    let actions = bench.step(rewritten(change));
    assert!(matches!(&actions[..], [Action::Start(..)]), "{actions:?}");
    let entry = bench.entry(1);
    assert_eq!((entry.status, entry.spec.instance, entry.socket), (Status::Starting, change.instance, None));
    assert_eq!(entry.spec.boot_id, "this boot");
    bench.launcher(Op::WorkerStarted, 1, 30, 31);
    let actions = bench.step(Event::Inspected(id(1), inspection(None)));
    let [(7, Answer::Session(entry))] = answers(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((&entry.status, entry.spec.instance), (&Status::Running, change.instance));
}

#[test]
fn a_lost_or_exited_session_is_written_down_anew_and_then_started() {
    for mut bench in [lost(), found(Some(exit("exit")))] {
        let actions = bench.ask(7, respawn(change(1)));
        let [Action::Rewrite(rewrite)] = &actions[..] else { panic!("{actions:?}") };
        // Until that is done it is the session that ended.
        assert!(!matches!(bench.entry(1).status, Status::Starting));
        assert_eq!(bench.entry(1).spec.instance, spec(1).instance);
        let change = (**rewrite).clone();
        started(&mut bench, &change);
    }
}

#[test]
fn the_worker_that_serves_the_journal_goes_first() {
    // Kept by the launcher, or asked for and not there yet.
    for announced in [true, false] {
        let mut bench = found(Some(exit("exit")));
        bench.ask(3, Request::Open(id(1)));
        bench.step(Event::Absent(id(1)));
        if announced {
            bench.launcher(Op::WorkerStarted, 1, 20, 0);
        }
        let actions = bench.ask(7, respawn(change(1)));
        assert!(matches!(&actions[..], [Action::Retire(_)]), "{actions:?}");
        if !announced {
            // Its start is told although it is about to be killed.
            assert!(bench.launcher(Op::WorkerStarted, 1, 20, 0).is_empty());
        }
        // Nobody is sent to a worker that is about to go.
        assert!(answers(&bench.ask(8, Request::Open(id(1)))).is_empty());
        bench.step(Event::ConnClosed(super::event::ConnId(99)));
        let actions = bench.launcher(Op::WorkerGone, 1, 0, 9);
        assert!(matches!(&actions[..], [Action::Rewrite(_)]), "{actions:?}");
        bench.step(rewritten(&change(1)));
        // The launcher's own answer, when the worker had gone by itself just before.
        assert!(bench.launcher(Op::WorkerGone, 1, 0, RETIRED).is_empty());
        bench.launcher(Op::WorkerStarted, 1, 30, 31);
        let actions = bench.step(Event::Inspected(id(1), inspection(None)));
        let ids: Vec<u64> = answers(&actions).iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, if announced { vec![7, 8] } else { vec![3, 7, 8] });
    }
    // The launcher knows of none.
    let mut bench = found(Some(exit("exit")));
    bench.launcher(Op::WorkerStarted, 1, 20, 0);
    bench.ask(7, respawn(change(1)));
    assert!(matches!(&bench.launcher(Op::WorkerGone, 1, 0, RETIRED)[..], [Action::Rewrite(_)]));
    started(&mut bench, &change(1));
}

#[test]
fn what_runs_was_closed_or_never_started_is_not_started_again() {
    assert_eq!(refused(&Bench::running(1).ask(7, respawn(change(1)))), ErrorCode::SessionRunning);
    assert_eq!(refused(&Bench::new().ask(7, respawn(change(1)))), ErrorCode::NotFound);
    for end in [ExitRecord { closed: true, ..exit("idle_timeout") }, exit("failed: no such program")] {
        assert_eq!(refused(&found(Some(end)).ask(7, respawn(change(1)))), ErrorCode::InvalidTransition);
    }
    // Believed lost, but its worker lives.
    let lives = Change { worker_lives: true, ..change(1) };
    assert_eq!(refused(&lost().ask(7, respawn(lives))), ErrorCode::SessionRunning);
    let bad = |asked: Respawn| refused(&lost().ask(7, respawn(Change { asked, ..change(1) })));
    let asked = change(1).asked;
    assert_eq!(bad(Respawn { cwd: Some("relative".to_owned()), ..asked.clone() }), ErrorCode::Invalid);
    assert_eq!(bad(Respawn { command: Some(vec![]), ..asked.clone() }), ErrorCode::Invalid);
    assert_eq!(bad(Respawn { command: Some(vec!["a\0b".to_owned()]), ..asked }), ErrorCode::Invalid);
    // Asked twice: one of them starts it.
    let mut bench = lost();
    bench.ask(7, respawn(change(1)));
    assert_eq!(refused(&bench.ask(8, respawn(change(1)))), ErrorCode::SessionRunning);
    assert_eq!(refused(&bench.ask(9, Request::Forget(id(1)))), ErrorCode::SessionRunning);
    started(&mut bench, &change(1));
}

#[test]
fn what_cannot_be_written_down_leaves_the_session_as_it_was() {
    let mut bench = lost();
    bench.ask(7, respawn(change(1)));
    let actions = bench.step(Event::Rewritten(id(1), Err("no space left".to_owned())));
    assert!(matches!(answers(&actions)[..], [(7, Answer::Failed(failed))] if failed.message.contains("no space left")));
    assert_eq!((bench.entry(1).status, bench.entry(1).spec.instance), (Status::Lost, spec(1).instance));
    // And the next time it works.
    bench.ask(7, respawn(change(1)));
    started(&mut bench, &change(1));
}

#[test]
fn a_worker_that_does_not_go_is_said_and_not_waited_for() {
    let mut bench = found(Some(exit("exit")));
    bench.launcher(Op::WorkerStarted, 1, 20, 0);
    bench.ask(7, respawn(change(1)));
    assert!(RETIRE_WITHIN < ANSWER_WITHIN);
    assert!(bench.core.deadline().unwrap() <= bench.now + RETIRE_WITHIN);
    bench.now += RETIRE_WITHIN + Duration::from_millis(1);
    let actions = bench.step(Event::DeadlinePassed);
    assert!(matches!(answers(&actions)[..], [(7, Answer::Failed(_))]), "{actions:?}");
    // Whatever the launcher says later is about a session that has ended.
    assert!(bench.launcher(Op::WorkerGone, 1, 0, 9).iter().all(|action| matches!(action, Action::Tell(..))));
    bench.ask(7, respawn(change(1)));
    started(&mut bench, &change(1));
}

#[test]
fn who_is_lost_and_found_is_not_started_twice() {
    let mut bench = lost();
    bench.launcher(Op::WorkerStarted, 1, 20, 0);
    bench.ask(7, respawn(change(1)));
    let actions = bench.launcher(Op::WorkerStarted, 1, 20, 21);
    assert!(matches!(answers(&actions)[..], [(7, Answer::Failed(failed))] if failed.code == ErrorCode::SessionRunning));
    assert!(actions.iter().any(|action| matches!(action, Action::Dial(_))), "{actions:?}");
    assert_eq!(bench.entry(1).status, Status::Starting);
}

#[test]
fn a_change_changes_what_was_asked_and_nothing_else() {
    let before = SessionSpec {
        login: true,
        record_input: true,
        idle_timeout_s: 9,
        env: vec![("PWD".to_owned(), "/old".to_owned()), ("A".to_owned(), "b".to_owned())],
        ..spec(1)
    };
    let same = change(1).applied(before.clone());
    let expected = SessionSpec { instance: change(1).instance, boot_id: "this boot".to_owned(), ..before.clone() };
    assert_eq!(same, expected);
    let asked = Respawn {
        command: Some(vec!["agent".to_owned()]),
        cwd: Some("/new".to_owned()),
        idle_timeout_s: Some(0),
        record_input: Some(false),
        ..change(1).asked
    };
    let resumed = Change { asked, ..change(1) }.applied(before);
    assert_eq!((resumed.command, resumed.login, resumed.cwd), (vec!["agent".to_owned()], false, "/new".to_owned()));
    assert_eq!((resumed.idle_timeout_s, resumed.record_input), (0, false));
    assert_eq!(resumed.env, [("PWD".to_owned(), "/new".to_owned()), ("A".to_owned(), "b".to_owned())]);
}

#[test]
fn what_is_kept_of_earlier_lives_is_the_first_to_go() {
    let mut bench = Bench::running(1);
    bench.step(Event::Found(Box::new(spec(2)), Some((exit("exit"), 10))));
    let sizes = [(id(1), Bytes { current: 500, earlier: 300 }), (id(2), Bytes { current: 400, earlier: 0 })];
    let actions = bench.step(Event::Measured(sizes.into()));
    assert!(matches!(&actions[..], [Action::DropEarlier(session)] if *session == id(1)), "{actions:?}");
    assert_eq!(CONN.0, 1);
}
