//! Baton is replaced by another version of itself while shells run, and a version that does not work is not kept.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ServerStatus, SessionStatus, UpgradePart, UpgradeRequest, Upgrading};
use baton_proto::ids::SessionId;
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Seed, Setup, scenario};
use http::Method;

use crate::survive::Flood;

fn worker(session: SessionId) -> UpgradeRequest {
    UpgradeRequest { part: UpgradePart::Worker, session_id: Some(session) }
}

/// Starts the flood.
async fn go(baton: &Baton, flood: &mut Flood) {
    let mut owner = baton.attach(flood.session, Attach::named("owner")).await;
    owner.until_output("ready\r\n").await;
    owner.claim(false).await.unwrap();
    owner.type_text("go\r").await;
}

#[test]
fn a_hundred_workers_in_a_row_under_flood_and_not_a_byte_is_missing() {
    scenario(Duration::from_secs(300), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let mut flood = Flood::start(baton, "flooded").await;
        go(baton, &mut flood).await;
        let shell = Process::of(flood.shell);
        let mut before = baton.session(flood.session).await.session.worker_pid;
        let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
        for round in 0..100 {
            tokio::time::sleep(seed.millis(0..30)).await;
            let begun = Instant::now();
            let answer: Upgrading = baton.api().post("/v1/upgrade", &worker(flood.session)).await;
            let took = begun.elapsed();
            (slowest, all) = (slowest.max(took), all + took);
            assert!(shell.is_alive(), "the shell noticed round {round}");
            assert!(answer.worker_pid.is_some() && answer.worker_pid != before, "round {round}: {answer:?}");
            let detail = baton.session(flood.session).await.session;
            assert_eq!((detail.pid, detail.status), (Some(flood.shell), SessionStatus::Running), "round {round}");
            assert_eq!(detail.worker_pid, answer.worker_pid, "round {round}");
            before = answer.worker_pid;
        }
        println!("slowest {slowest:?}, mean {:?}", all / 100);
        flood.finish(baton).await;
    });
}
