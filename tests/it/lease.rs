//! The rules of the lease that are not the hand-over itself: expiry, standing claims, sizes, the routes.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, CreateTerminal, LeaseAnswer, ServerFrame, Size, SizeMode};
use baton_tests::stream::LeaseSeen;
use baton_tests::{Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::json;

fn lifetime(seconds: u32) -> Setup {
    Setup::plain().env("BATON_SESSION__LEASE_TTL_S", &seconds.to_string())
}

async fn answered(client: &mut StreamClient) -> Option<String> {
    client
        .until("a pong", |incoming| match incoming {
            Incoming::Frame(ServerFrame::Pong { expires_at }) => Some(expires_at.clone()),
            _ => None,
        })
        .await
}

#[test]
fn a_lease_whose_connection_is_gone_expires_and_is_then_anybodys() {
    scenario(Duration::from_secs(30), lifetime(1), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut a = baton.attach(session, Attach::named("A")).await;
        let mut b = baton.attach(session, Attach::named("B")).await;
        let held = a.claim(false).await.unwrap();
        b.until_epoch(held.epoch).await;
        let id = a.id.clone();
        a.drop_socket();
        // Presence ends at once, the lease later: same owner, same epoch, claimable.
        b.until("presence without A", |incoming| match incoming {
            Incoming::Frame(ServerFrame::Clients { clients }) => {
                clients.iter().all(|client| client.client_id != id).then_some(())
            }
            _ => None,
        })
        .await;
        assert_eq!(b.claim(false).await.unwrap_err().code, ErrorCode::LeaseHeld, "not yet expired");
        let expired = b.until_lease().await;
        assert_eq!(expired, LeaseSeen { owner: Some(id.clone()), epoch: held.epoch, expired: true });
        let claimed = b.claim(false).await.unwrap();
        assert_eq!(claimed, LeaseSeen { owner: Some(b.id.clone()), epoch: held.epoch.next(), expired: false });
        // Who comes back is an observer like any other.
        let mut back = baton.attach(session, Attach::named("A").client(&id)).await;
        assert_eq!(back.ready.owner.as_ref(), Some(&b.id));
        back.input(b"x", held.epoch, 1).await;
        assert_eq!(back.until_error().await.code, ErrorCode::LeaseLost);
    });
}

#[test]
fn who_comes_back_in_time_or_keeps_its_heart_beating_keeps_the_lease() {
    scenario(Duration::from_secs(40), lifetime(2), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut a = baton.attach(session, Attach::named("A")).await;
        let held = a.claim(false).await.unwrap();
        let id = a.id.clone();
        a.drop_socket();
        let mut a = baton.attach(session, Attach::named("A").client(&id)).await;
        assert_eq!((a.ready.owner.as_ref(), a.ready.epoch), (Some(&id), held.epoch));
        let mut b = baton.attach(session, Attach::named("B")).await;
        // Two lifetimes long a sign of life each quarter: the lease stays, and its owner is told until when.
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            a.send(ClientFrame::Heartbeat).await;
            assert!(answered(&mut a).await.is_some(), "the owner is told when its lease expires");
            b.send(ClientFrame::Heartbeat).await;
            assert_eq!(answered(&mut b).await, None, "an observer has no lease to expire");
            assert_eq!(b.claim(false).await.unwrap_err().code, ErrorCode::LeaseHeld);
        }
        // Silence on an open connection: the lease expires, is told to all, and still is the owner's until claimed.
        let expired = b.until_lease().await;
        assert_eq!(expired, LeaseSeen { owner: Some(id.clone()), epoch: held.epoch, expired: true });
        a.until("the expiry", |incoming| {
            matches!(incoming, Incoming::Frame(ServerFrame::Lease { expired: Some(true), .. })).then_some(())
        })
        .await;
        a.input(b"echo still-$((40+2))-typing\r", held.epoch, 1).await;
        a.until_acked(1).await;
        a.until_output("still-42-typing").await;
        let renewed = b.until_lease().await;
        assert_eq!(
            renewed,
            LeaseSeen { owner: Some(id), epoch: held.epoch, expired: false },
            "accepted input renews it"
        );
    });
}

#[test]
fn a_standing_claim_waits_its_turn() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.claim(false).await.unwrap();
        let mut waiting = Vec::new();
        for name in ["first", "second", "denied", "leaves"] {
            let mut client = baton.attach(session, Attach::named(name)).await;
            client.send(ClientFrame::RequestControl).await;
            let asked = owner
                .until("control_requested", |incoming| match incoming {
                    Incoming::Frame(ServerFrame::ControlRequested { client_id, name }) => {
                        Some((client_id.clone(), name.clone()))
                    }
                    _ => None,
                })
                .await;
            assert_eq!(asked, (client.id.clone(), name.to_owned()));
            waiting.push(client);
        }
        let [mut first, mut second, mut denied, mut leaves]: [StreamClient; 4] = waiting.try_into().unwrap();
        owner.send(ClientFrame::DenyControl { client_id: denied.id.clone() }).await;
        let by = denied
            .until("control_denied", |incoming| match incoming {
                Incoming::Frame(ServerFrame::ControlDenied { by }) => Some(by.clone()),
                _ => None,
            })
            .await;
        assert_eq!(by.as_deref(), Some("owner"));
        leaves.send(ClientFrame::Detach).await;
        leaves.until_closed().await;
        // Freed, it goes to who asked first; then to who asked second; then to nobody.
        owner.send(ClientFrame::Release).await;
        let epoch = owner.epoch;
        for client in [&mut first, &mut second] {
            let lease = client
                .until("its turn", |incoming| match incoming {
                    Incoming::Frame(ServerFrame::Lease { owner: Some(owner), epoch, .. }) => {
                        Some((owner.clone(), *epoch))
                    }
                    _ => None,
                })
                .await;
            assert!(lease.1 > epoch);
            let me = client.id.clone();
            if lease.0 != me {
                client
                    .until("its turn", |incoming| match incoming {
                        Incoming::Frame(ServerFrame::Lease { owner: Some(owner), .. }) => (*owner == me).then_some(()),
                        _ => None,
                    })
                    .await;
            }
            client.send(ClientFrame::Release).await;
        }
        let last = second.epoch;
        second
            .until("the free lease", |incoming| match incoming {
                Incoming::Frame(ServerFrame::Lease { owner: None, epoch, .. }) => (*epoch > last).then_some(()),
                _ => None,
            })
            .await;
        assert_eq!(baton.session(session).await.session.lease, None, "denied and gone claims are not carried out");
    });
}

#[test]
fn nothing_but_a_verb_takes_a_lease() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut a = baton.attach(session, Attach::named("A").viewport(90, 20)).await;
        a.send(ClientFrame::Viewport { cols: 91, rows: 21 }).await;
        a.send(ClientFrame::Heartbeat).await;
        answered(&mut a).await;
        a.input(b"echo no\r", a.epoch, 1).await;
        assert_eq!(a.until_error().await.code, ErrorCode::NotOwner, "a free lease is nobody's");
        a.send(ClientFrame::Resize { cols: 50, rows: 10 }).await;
        assert_eq!(a.until_error().await.code, ErrorCode::NotOwner);
        a.send(ClientFrame::Release).await;
        assert_eq!(a.until_error().await.code, ErrorCode::NotOwner);
        a.send(ClientFrame::Transfer { to_client_id: a.id.clone() }).await;
        assert_eq!(a.until_error().await.code, ErrorCode::NotOwner);
        let detail = baton.session(session).await;
        assert_eq!(detail.session.lease, None);
        assert_eq!(
            (detail.session.size.cols, detail.session.size.rows),
            (80, 24),
            "a viewport without lease is not the size"
        );
        // Claiming brings the viewport declared last.
        a.claim(false).await.unwrap();
        a.until("its size", |incoming| match incoming {
            Incoming::Frame(ServerFrame::Resize { cols: 91, rows: 21, .. }) => Some(()),
            _ => None,
        })
        .await;
    });
}

#[test]
fn a_fixed_size_stays_and_a_capped_one_is_clipped() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let sized = |size| CreateTerminal { size: Some(size), ..session::bash() };
        let fixed = Size { policy: SizeMode::Fixed, cols: 70, rows: 17, max_cols: None, max_rows: None };
        let session = baton.create(&sized(fixed)).await;
        let mut a = baton.attach(session, Attach::named("A").viewport(100, 40)).await;
        a.claim(false).await.unwrap();
        a.send(ClientFrame::Resize { cols: 100, rows: 40 }).await;
        assert_eq!(a.until_error().await.code, ErrorCode::SizeFixed);
        a.type_text("stty size\r").await;
        a.until_output("17 70").await;

        let capped = Size { policy: SizeMode::Cap, cols: 80, rows: 24, max_cols: Some(90), max_rows: Some(25) };
        let session = baton.create(&sized(capped)).await;
        let mut a = baton.attach(session, Attach::named("A").viewport(100, 20)).await;
        a.claim(false).await.unwrap();
        a.type_text("stty size\r").await;
        a.until_output("20 90").await;
        let body = json!({"client_id": a.id, "cols": 60, "rows": 99});
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/resize"), &body).await;
        a.type_text("stty size\r").await;
        a.until_output("25 60").await;
    });
}

#[test]
fn the_routes_do_what_the_frames_do() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let api = baton.api();
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let mut watcher = baton.attach(session, Attach::named("watcher")).await;
        watcher.until_output("$ ").await;
        let (a, b) = (session::client_id(), session::client_id());
        // A claim attaches its client.
        let lease: LeaseAnswer = api.post(&at("claim"), &json!({"client_id": a})).await;
        assert_eq!(lease.lease_owner.as_ref(), Some(&a));
        assert!(lease.lease_expires_at.is_some());
        assert!(baton.session(session).await.clients.iter().any(|client| client.client_id == a));
        let problem = api.refused(Method::POST, &at("claim"), &json!({"client_id": b}), ErrorCode::LeaseHeld).await;
        assert!(problem.owner_name.is_some() && problem.owner_kind.is_some(), "{problem:?}");
        for (verb, body) in [
            ("input", json!({"client_id": b, "text": "echo no\r"})),
            ("resize", json!({"client_id": b, "cols": 10, "rows": 10})),
            ("signal", json!({"client_id": b, "signal": "INT"})),
            ("exec", json!({"client_id": b, "command": "echo no"})),
            ("release", json!({"client_id": b})),
            ("transfer", json!({"client_id": b, "to_client_id": a})),
        ] {
            let answer = api.call(Method::POST, &at(verb), Some(&body)).await;
            let code = answer.problem().code;
            assert!(matches!(code, ErrorCode::NotOwner | ErrorCode::ClientNotAttached), "{verb}: {answer}");
        }
        api.refused(
            Method::POST,
            &at("transfer"),
            &json!({"client_id": a, "to_client_id": b}),
            ErrorCode::ClientNotAttached,
        )
        .await;

        // All three ways to type, and a stale epoch.
        api.post_done(&at("input"), &json!({"client_id": a, "text": "echo te"})).await;
        api.post_done(&at("input"), &json!({"client_id": a, "data_b64": "eHQtJCgoMSsxKSk=", "epoch": lease.epoch}))
            .await;
        api.post_done(&at("input"), &json!({"client_id": a, "keys": ["Backspace", ")", "Enter"]})).await;
        watcher.until_output("text-2").await;
        let stale = json!({"client_id": a, "text": "echo stale\r", "epoch": lease.epoch.0 + 5});
        let answer = api.call(Method::POST, &at("input"), Some(&stale)).await;
        assert!(matches!(answer.problem().code, ErrorCode::LeaseLost | ErrorCode::NotOwner), "{answer}");
        for bad in [
            json!({"client_id": a}),
            json!({"client_id": a, "text": "x", "keys": ["a"]}),
            json!({"client_id": a, "keys": ["NoSuchKey"]}),
            json!({"client_id": a, "data_b64": "%%%"}),
            json!({"client_id": "not-an-id", "text": "x"}),
            json!({"client_id": a, "text": "x", "surprise": 1}),
        ] {
            api.refused(Method::POST, &at("input"), &bad, ErrorCode::Invalid).await;
        }
        api.refused(Method::POST, &at("signal"), &json!({"client_id": a, "signal": "NOPE"}), ErrorCode::Invalid).await;
        api.refused(Method::POST, &at("resize"), &json!({"client_id": a, "cols": 0, "rows": 10}), ErrorCode::Invalid)
            .await;

        // By force, by transfer, by release; what a claim attached is attached until its lease ends.
        let forced: LeaseAnswer = api.post(&at("claim"), &json!({"client_id": b, "force": true})).await;
        assert_eq!(forced.epoch, lease.epoch.next());
        api.refused(Method::POST, &at("detach"), &json!({"client_id": a}), ErrorCode::ClientNotAttached).await;
        let to_watcher = json!({"client_id": b, "to_client_id": watcher.id});
        let given: LeaseAnswer = api.post(&at("transfer"), &to_watcher).await;
        assert_eq!((given.lease_owner.as_ref(), given.epoch), (Some(&watcher.id), forced.epoch.next()));
        let freed: LeaseAnswer = api.post(&at("release"), &json!({"client_id": watcher.id})).await;
        assert_eq!((freed.lease_owner, freed.lease_expires_at), (None, None));
        // Detaching releases.
        let again: LeaseAnswer = api.post(&at("claim"), &json!({"client_id": a})).await;
        api.post_done(&at("detach"), &json!({"client_id": a})).await;
        api.refused(Method::POST, &at("detach"), &json!({"client_id": a}), ErrorCode::ClientNotAttached).await;
        watcher.until_epoch(again.epoch.next()).await;
        let owners: Vec<_> = watcher.leases().into_iter().map(|lease| lease.owner).collect();
        assert_eq!(owners, [Some(a.clone()), Some(b), Some(watcher.id.clone()), None, Some(a), None]);
        assert!(!String::from_utf8_lossy(&watcher.output).contains("stale"));
    });
}
