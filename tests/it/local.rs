//! The protocol of the local sockets, spoken by a hand that holds the key: what the bridge relies on.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::frame::Kind;
use baton_proto::hello::Role;
use baton_proto::v1::{self, Class, Failed, From, LeaseRecord, SessionEntry, Sessions, SupervisorStatus};
use baton_tests::peer::Peer;
use baton_tests::{Attach, Baton, Setup, scenario, session};

#[test]
fn a_repeated_claim_repeats_its_answer() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut peer = baton.worker_peer(session).await;
        let a = peer.attach(&session::client_id(), Class::Person).await;
        let b = peer.attach(&session::client_id(), Class::Person).await;
        let claim =
            |of: &v1::Attached, force, request| v1::Claim { attachment: of.attachment, force, if_epoch: None, request };
        // A bridge that was killed between the claim and its answer asks again, under the same number.
        let first: LeaseRecord = peer.ask(Kind::Claim, &claim(&a, false, 7), Kind::LeaseState).await;
        let forced: LeaseRecord = peer.ask(Kind::Claim, &claim(&b, true, 9), Kind::LeaseState).await;
        assert_eq!(forced.epoch, first.epoch.next());
        let again: LeaseRecord = peer.ask(Kind::Claim, &claim(&a, false, 7), Kind::LeaseState).await;
        assert_eq!((again.epoch, again.owner), (first.epoch, first.owner), "the answer of then, and nothing changes");
        let refused: Failed = peer.ask(Kind::Claim, &claim(&a, false, 8), Kind::Failed).await;
        assert_eq!(refused.code, ErrorCode::LeaseHeld);
        assert!(refused.owner.is_some());
        // Compare and set.
        let late = v1::Claim { if_epoch: Some(first.epoch), ..claim(&a, true, 10) };
        let _: Failed = peer.ask(Kind::Claim, &late, Kind::Failed).await;
        let now = v1::Claim { if_epoch: Some(forced.epoch), ..claim(&a, true, 11) };
        let taken: LeaseRecord = peer.ask(Kind::Claim, &now, Kind::LeaseState).await;
        assert_eq!(taken.epoch, forced.epoch.next());
    });
}

#[test]
fn a_worker_refuses_a_sessiond_of_a_generation_before_the_last() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut sessiond = Peer::connect(&baton.sessiond_socket()).await.unwrap();
        sessiond.handshake(&baton.key(), Role::Bridge).await.unwrap();
        let status: SupervisorStatus = sessiond.ask(Kind::AskStatus, &v1::AskStatus {}, Kind::Status).await;
        assert!(status.generation >= 1 && status.running == 1);
        let mut old = Peer::connect(&baton.worker_socket(session)).await.unwrap();
        let refused = old.handshake(&baton.key(), Role::Supervisor { generation: status.generation - 1 }).await;
        assert!(refused.is_err(), "an older sessiond is not obeyed");
        baton.kill_sessiond().await;
        let mut sessiond = Peer::connect(&baton.sessiond_socket()).await.unwrap();
        sessiond.handshake(&baton.key(), Role::Cli).await.unwrap();
        let now: SupervisorStatus = sessiond.ask(Kind::AskStatus, &v1::AskStatus {}, Kind::Status).await;
        assert!(now.generation > status.generation && now.pid != status.pid);
        assert_eq!(now.launcher_pid, status.launcher_pid);
        // It adopted what lives.
        let list: Sessions = sessiond.ask(Kind::ListSessions, &v1::ListSessions {}, Kind::Sessions).await;
        let entry = list.sessions.iter().find(|entry| entry.spec.session == session).expect("the session");
        assert_eq!(entry.status, v1::Status::Running);
        assert_eq!(entry.program_pid, baton.session(session).await.session.pid);
        // A second session of the same number is refused; one that is not known is not found.
        let refused: Failed = sessiond.ask(Kind::Spawn, &entry.spec, Kind::Failed).await;
        assert!(!refused.message.is_empty());
        let nobody = baton_proto::ids::SessionId::from_uuid(uuid::Uuid::now_v7());
        let refused: Failed = sessiond.ask(Kind::OpenSession, &v1::OpenSession { session: nobody }, Kind::Failed).await;
        assert_eq!(refused.code, ErrorCode::NotFound);
        let refused: Failed = sessiond.ask(Kind::ForgetSession, &v1::ForgetSession { session }, Kind::Failed).await;
        assert_eq!(refused.code, ErrorCode::SessionRunning);
        let open: SessionEntry = sessiond.ask(Kind::OpenSession, &v1::OpenSession { session }, Kind::Session).await;
        assert!(open.socket.is_some());
    });
}

#[test]
fn every_subscriber_is_sent_the_journal_as_it_is() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let script = format!("stty -echo; echo ready; read go; {program} flood 8388608; echo end; sleep 1000");
        let session = baton.script(&script).await;
        let mut owner = baton.attach(session, Attach::named("owner").binary()).await;
        owner.until_output("ready\r\n").await;
        owner.claim(false).await.unwrap();
        // From the start, from the middle of a record, from now on; and one that reads a little at a time.
        let mut subscribers = Vec::new();
        for from in [From::Offset(0), From::Offset(3), From::Head, From::Offset(0)] {
            let mut peer = baton.worker_peer(session).await;
            let subscribe = v1::Subscribe { from, without_output: false };
            let subscribed: v1::Subscribed = peer.ask(Kind::Subscribe, &subscribe, Kind::Subscribed).await;
            assert_eq!(subscribed.lost, 0);
            subscribers.push((subscribed.start, peer));
        }
        owner.type_text("go\r").await;
        let total = 7 + 8_388_608 / 64 * 65 + 5;
        let mut reading = Vec::new();
        for (n, (start, mut peer)) in subscribers.into_iter().enumerate() {
            reading.push(tokio::spawn(async move {
                let (mut place, mut bytes) = (None::<u64>, Vec::new());
                loop {
                    let received = peer.next().await.unwrap().expect("the worker stays");
                    if received.kind() == Some(Kind::Output) {
                        assert!(received.header.is_intact(&received.payload), "the checksum at {}", received.header.at);
                        let at = received.header.at;
                        if let Some(place) = place {
                            assert_eq!(at, place, "no gap and no overlap");
                        } else {
                            assert!(at <= start, "the first record reaches beyond the start");
                            bytes.resize(usize::try_from(at).unwrap(), 0);
                        }
                        bytes.extend_from_slice(&received.payload);
                        place = Some(at + received.payload.len() as u64);
                    }
                    if n == 3 && bytes.len() % 7 == 0 {
                        tokio::time::sleep(Duration::from_micros(300)).await;
                    }
                    if place.is_some_and(|place| place >= total) {
                        return bytes;
                    }
                }
            }));
        }
        owner.until_offset(total).await;
        let journal = baton.output(session).await;
        assert_eq!(journal.len() as u64, total);
        for reader in reading {
            let bytes = reader.await.expect("every record in its place");
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            assert!(first <= 7 && bytes[first..] == journal[first..], "a subscriber has other bytes than the journal");
        }
    });
}
