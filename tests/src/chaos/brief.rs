//! Sessions that end: by themselves with a known code, or closed by request; a new one takes their place.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::api::{Created, SessionStatus, SnapshotChoice};
use baton_proto::ids::SessionId;
use http::Method;
use serde_json::json;

use super::client::{Client, Content, Role};
use super::numbered::NumberedCheck;
use super::run::{confine, program};
use super::world::{Phase, Point, Shared, World};
use crate::attach::Attach;
use crate::seed::Seed;

/// Asks for a session until there is one; the same key each time, so that it is one.
pub async fn create(world: &Arc<World>, body: &serde_json::Value) -> Option<SessionId> {
    let key = uuid::Uuid::new_v4().to_string();
    let api = world.api.with("idempotency-key", &key);
    for _ in 0..400 {
        world.reached(Point::Creating, None);
        match world.call_with(&api, Method::POST, "/v1/terminal/sessions", Some(body)).await {
            Some(answer) if answer.status < 300 => return Some(answer.json::<Created>().session_id),
            Some(answer) => world.ledger.note(&format!("create: {answer}")),
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// One after the other, until the storm is over.
pub async fn run(world: Arc<World>, n: u64, mut seed: Seed) {
    let mut round = 0;
    while world.phase() == Phase::Storm {
        round += 1;
        let name = format!("brief-{n}-{round}");
        let code = i32::try_from(seed.within(0..100)).unwrap_or(0);
        let output = seed.number() >> 1;
        let lines = seed.within(20..3000);
        let rate = seed.within(200..3000);
        let stop = world.stop_file(&name);
        let words = [
            "numbered",
            &output.to_string(),
            &format!("steady:{rate}"),
            &lines.to_string(),
            &stop.to_string_lossy(),
            &code.to_string(),
        ]
        .map(str::to_owned);
        let mut request = json!({"title": name, "command": program(&words)});
        if round % 2 == 0 {
            confine(&world, &mut request, round % 4 == 0);
        }
        let Some(session) = create(&world, &request).await else {
            world.ledger.violation(&name, "was not created although it was asked for 40 seconds and longer");
            return;
        };
        world.ledger.count("sessions", 1);
        let Some(detail) = world.ask(session, Duration::from_secs(60)).await else {
            world.ledger.violation(&name, "created, and not known a minute later");
            continue;
        };
        if detail.session.status == SessionStatus::Failed {
            // Its worker was killed, or had no directory to listen in, before there was a program. That is said, and true.
            world.ledger.count("sessions that never started, and say so", 1);
            world.ledger.note(&format!("{name}: {:?}", detail.session.exit));
            continue;
        }
        world.watch(&detail);
        world.ending(session);
        let shared = Arc::new(Shared::default());
        let follower = Client::new(
            &world,
            session,
            &shared,
            Role {
                name: name.clone(),
                attach: Attach { snapshot: SnapshotChoice::Never, ..Attach::default() }.binary(),
                content: Content::Numbered(NumberedCheck::new(output)),
                typist: None,
                slow: Duration::ZERO,
                code: Some(code),
                brief: true,
                seed: seed.fork(1),
            },
        );
        let closing = seed.within(0..4) == 0;
        if closing {
            let wait = seed.millis(0..1500);
            close(&world, session, &name, wait).await;
        } else if tokio::time::timeout(Duration::from_secs(180), follower.run()).await.is_err() {
            world.ledger.violation(&name, "its follower was not told of its end within three minutes");
        }
        world.sessions().remove(&session);
        // Forgotten, so that an hour's worth of them is not what is measured.
        let _ = world.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await;
    }
}

/// Closes a session by request; its program must end.
async fn close(world: &Arc<World>, session: SessionId, name: &str, wait: Duration) {
    tokio::time::sleep(wait).await;
    let program = world.sessions().get(&session).map(|watched| watched.program);
    let path = format!("/v1/terminal/sessions/{session}/close");
    for _ in 0..200 {
        world.reached(Point::Closing, Some(session));
        match world.call(Method::POST, &path, Some(&json!({"reason": "chaos"}))).await {
            Some(answer) if answer.status < 300 || answer.status == 409 => break,
            Some(answer) => world.ledger.note(&format!("close: {answer}")),
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if let Some(program) = program
        && tokio::time::timeout(Duration::from_secs(60), program.gone()).await.is_err()
    {
        world.ledger.violation(name, &format!("its program {} lives a minute after it was closed", program.pid));
    }
    world.ledger.count("sessions closed by request", 1);
}
