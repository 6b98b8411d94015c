//! One shell, handed from a terminal to two windows and back.

use std::fs;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Page, Session};
use baton_proto::frame::{Frame, Kind};
use baton_proto::ids::{Epoch, SessionId};
use baton_proto::v1::{self, Class, ClientKind, LeaseRecord, RangeHeader};
use baton_tests::stream::LeaseSeen;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Setup, scenario, session};

/// Every lease that the journal holds: what the worker decided, in the order in which it did.
async fn journalled_leases(baton: &Baton, session: SessionId) -> Vec<LeaseSeen> {
    let mut peer = baton.worker_peer(session).await;
    let range = v1::ReadRange { from: 0, max_bytes: 1024 * 1024 };
    let answer = peer.request(Kind::ReadRange, &range).await.unwrap();
    assert_eq!(answer.kind(), Some(Kind::Range));
    let (_, mut records) = RangeHeader::split(&answer.payload).unwrap();
    let mut leases = Vec::new();
    while let Some(frame) = Frame::parse(records).unwrap() {
        if frame.header.known_kind() == Some(Kind::Lease) {
            assert!(frame.header.is_intact(frame.payload));
            let record: LeaseRecord = baton_proto::frame::read_body(Kind::Lease, frame.payload).unwrap();
            leases.push(LeaseSeen {
                owner: record.owner.map(|owner| owner.client),
                epoch: record.epoch,
                expired: record.expired,
            });
        }
        records = &records[frame.total_bytes()..];
    }
    leases
}

#[test]
fn the_lease_goes_from_the_terminal_to_two_windows_and_back() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        fs::write(baton.person().join(".bash_profile"), "PS1='$ '; unset PROMPT_COMMAND\n").unwrap();
        let mut desk = Terminal::baton(baton, &["new", "--name", "desk"], (80, 24));
        desk.until("$ ").await;
        let list: Page<Session> = baton.api().get("/v1/sessions?kind=terminal").await;
        assert_eq!(list.items.len(), 1);
        let session = list.items[0].id;
        assert_eq!(list.items[0].title, "desk");
        let lease = baton.session(session).await.session.lease.expect("`baton new` claims the free lease");
        assert_eq!(lease.owner_kind, ClientKind::Cli);
        let (cli, mut epoch) = (lease.owner, lease.epoch);
        let shell = baton.session(session).await.session.pid.unwrap();

        let mut a = baton.attach(session, Attach::named("A").viewport(100, 30)).await;
        let mut b = baton.attach(session, Attach::named("B").viewport(120, 40).binary()).await;
        for client in [&mut a, &mut b] {
            assert_eq!(client.ready.owner.as_ref(), Some(&cli));
            assert_eq!(client.ready.epoch, epoch);
            assert_eq!(client.ready.size, (80, 24), "the owner's viewport");
            // Observers neither type, nor resize, nor take what somebody holds.
            let refused = client.claim(false).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::LeaseHeld);
            assert!(refused.owner_name.is_some_and(|name| !name.is_empty()), "the owner's name is told");
            client.input(b"echo observers-do-not-type\r", epoch, 1).await;
            let refused = client.until_error().await;
            assert_eq!((refused.code, refused.seq, refused.accepted), (ErrorCode::NotOwner, Some(1), Some(0)));
            client.send(ClientFrame::Resize { cols: 10, rows: 10 }).await;
            assert_eq!(client.until_error().await.code, ErrorCode::NotOwner);
        }

        // Terminal → A, by force. The window's size comes with it.
        let lease = a.claim(true).await.unwrap();
        assert!(lease.epoch > epoch);
        epoch = lease.epoch;
        b.until_epoch(epoch).await;
        a.type_text("stty size; echo typed-by-$((1+1))-a\r").await;
        for client in [&mut a, &mut b] {
            client.until_output("30 100").await;
            client.until_output("typed-by-2-a").await;
        }
        desk.until("typed-by-2-a").await;

        // A → B, by transfer. What A typed before it knew is refused as lost, with who has it.
        a.send(ClientFrame::Transfer { to_client_id: b.id.clone() }).await;
        let stale = epoch;
        epoch = stale.next();
        a.until_epoch(epoch).await;
        b.until_epoch(epoch).await;
        a.input(b"echo a-types-no-more\r", stale, 1).await;
        let refused = a.until_error().await;
        assert_eq!(refused.code, ErrorCode::LeaseLost);
        assert_eq!(refused.by.as_deref(), Some("B"));
        b.type_text("stty size; echo typed-by-$((1+2))-b\r").await;
        for client in [&mut a, &mut b] {
            client.until_output("40 120").await;
            client.until_output("typed-by-3-b").await;
        }

        // B → terminal: B lets go, and the next key typed at the desk claims what is free and is itself typed.
        b.send(ClientFrame::Release).await;
        epoch = epoch.next();
        b.until_epoch(epoch).await;
        assert_eq!(baton.session(session).await.session.lease, None);
        desk.until("typed-by-3-b").await;
        desk.type_text("stty size; echo typed-by-$((2+2))-desk\r");
        epoch = epoch.next();
        for client in [&mut a, &mut b] {
            client.until_epoch(epoch).await;
            client.until_output("24 80").await;
            client.until_output("typed-by-4-desk").await;
        }
        let lease = baton.session(session).await.session.lease.unwrap();
        assert_eq!((&lease.owner, lease.epoch), (&cli, epoch));

        // Everybody was told the same in the same order, and it is what the journal says.
        assert_eq!(a.leases(), b.leases());
        let journalled = journalled_leases(baton, session).await;
        let told = &journalled[journalled.len() - a.leases().len()..];
        assert_eq!(a.leases(), told);
        assert_eq!(
            told.iter().map(|lease| lease.owner.as_ref()).collect::<Vec<_>>(),
            [Some(&a.id), Some(&b.id), None, Some(&cli)]
        );
        for text in ["observers-do-not-type", "a-types-no-more"] {
            assert!(!String::from_utf8_lossy(&baton.output(session).await).contains(text), "`{text}` was typed");
        }
        assert_eq!(baton.session(session).await.session.pid, Some(shell), "the shell is the same");

        desk.type_text("exit 9\r");
        assert_eq!(desk.exit_code().await, 9, "`new` passes the program's exit code on");
    });
}

#[test]
fn a_stale_epoch_is_dropped_by_the_worker_itself() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.script("stty -echo; echo ready; cat").await;
        let mut watcher = baton.attach(session, Attach::named("watcher")).await;
        watcher.until_output("ready").await;
        // Two connections that hold the key: whatever a bridge may do wrong, the worker compares the epoch.
        let (mut first, mut second) = (baton.worker_peer(session).await, baton.worker_peer(session).await);
        let (one, two) = (session::client_id(), session::client_id());
        let one = first.attach(&one, Class::Person).await.attachment;
        let two = second.attach(&two, Class::Person).await.attachment;
        let claim = |attachment, force| v1::Claim { attachment, force, if_epoch: None, request: 0 };
        let old: LeaseRecord = first.ask(Kind::Claim, &claim(one, false), Kind::LeaseState).await;
        first.input(one, old.epoch, 1, b"under the first epoch\n").await.unwrap();
        watcher.until_output("under the first epoch").await;
        let new: LeaseRecord = second.ask(Kind::Claim, &claim(two, true), Kind::LeaseState).await;
        assert_eq!(new.epoch, old.epoch.next());

        // The one who lost it, under the old epoch and under a guessed newer one.
        for (seq, epoch) in [(2, old.epoch), (3, new.epoch), (4, Epoch(u64::MAX))] {
            first.input(one, epoch, seq, b"stale\n").await.unwrap();
            let refused: v1::InputRefused = first.event(Kind::InputRefused).await.unwrap().body();
            assert_eq!((refused.attachment, refused.seq, refused.accepted), (one, seq, 1));
            let expected = if epoch == old.epoch { ErrorCode::LeaseLost } else { ErrorCode::NotOwner };
            assert_eq!(refused.code, expected, "epoch {epoch}");
        }
        // The owner under an epoch that is not the current one.
        second.input(two, old.epoch, 1, b"stale\n").await.unwrap();
        let refused: v1::InputRefused = second.event(Kind::InputRefused).await.unwrap().body();
        assert!(matches!(refused.code, ErrorCode::LeaseLost | ErrorCode::NotOwner), "{refused:?}");
        // Neither a signal nor a size from who has no lease.
        let signal = v1::SignalRequest { attachment: one, epoch: Some(old.epoch), signal: 9 };
        let refused: v1::Failed = first.ask(Kind::Signal, &signal, Kind::Failed).await;
        assert!(matches!(refused.code, ErrorCode::LeaseLost | ErrorCode::NotOwner), "{refused:?}");
        let resize = v1::ResizeRequest { attachment: one, size: v1::Dimensions { cols: 9, rows: 9 } };
        let refused: v1::Failed = first.ask(Kind::ResizeRequest, &resize, Kind::Failed).await;
        assert_eq!(refused.code, ErrorCode::NotOwner);

        second.input(two, new.epoch, 1, b"under the second epoch\n").await.unwrap();
        watcher.until_output("under the second epoch").await;
        assert!(!String::from_utf8_lossy(&watcher.output).contains("stale"));
    });
}
