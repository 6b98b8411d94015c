//! `kill -9` any one Baton process, and the shell does not notice; nor does a client lose or repeat a byte.

use std::time::{Duration, Instant};

use baton_proto::api::{CreateTerminal, SessionDetail, SessionStatus};
use baton_proto::ids::SessionId;
use baton_tests::follower::{Followed, follow};
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Seed, Setup, scenario, session};
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

/// The last number that `seq` writes.
const SEQ_TO: u64 = 5_000_000;

/// What `seq 1 N` writes through a terminal that turns `\n` into `\r\n`.
fn seq(to: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(usize::try_from(to * 9).unwrap());
    for number in 1..=to {
        text.extend_from_slice(number.to_string().as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// What the numbered lines and their end look like; `None` when the bytes are not exactly that.
fn lines(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (body, end) = text.rsplit_once("end ")?;
    let last: u64 = end.strip_suffix("\r\n")?.parse().ok()?;
    let mut expected = String::with_capacity(body.len());
    for line in 1..=last {
        expected.push_str(&format!("line {line}\r\n"));
    }
    (expected == body).then_some(last)
}

/// Where the numbered lines are not what was written, and what stands there.
fn unlike(bytes: &[u8]) -> String {
    let mut before = "";
    let text = String::from_utf8_lossy(bytes);
    for (at, line) in text.split_inclusive("\r\n").enumerate() {
        if line != format!("line {}\r\n", at + 1) && !line.starts_with("end ") {
            let rest: Vec<&str> = text.split_inclusive("\r\n").skip(at).take(4).collect();
            return format!("behind {before:?}, line {} of {} bytes: {rest:?}", at + 1, bytes.len());
        }
        before = line;
    }
    format!("at the end: {before:?}")
}

/// A session that floods and then counts at 1000 lines a second until it is told to stop.
pub struct Flood {
    pub session: SessionId,
    stop: std::path::PathBuf,
    pub shell: u32,
    pub followers: Vec<JoinHandle<Followed>>,
}

impl Flood {
    pub async fn start(baton: &Baton, name: &str) -> Self {
        let stop = baton.scratch().join(format!("stop-{name}"));
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        // A line from the owner starts it, so that everybody is attached when the flood begins.
        let script =
            format!("stty -echo; echo ready; read go; seq 1 {SEQ_TO}; exec {program} lines 1000 {}", stop.display());
        let request = CreateTerminal { title: Some(name.to_owned()), ..session::shell_script(&script) };
        let session = baton.create(&request).await;
        let followers = [Attach::named("json"), Attach::named("binary").binary()]
            .map(|attach| follow(baton.api(), session, attach))
            .into();
        let shell = baton.session(session).await.session.pid.unwrap();
        Self { session, stop, shell, followers }
    }

    /// Ends the program, and compares what everybody has.
    pub async fn finish(self, baton: &Baton) {
        std::fs::write(&self.stop, "").unwrap();
        let mut all = Vec::new();
        for follower in self.followers {
            all.push(follower.await.expect("a follower ends with the program"));
        }
        let journal = baton.output(self.session).await;
        let mut expected = b"ready\r\n".to_vec();
        expected.append(&mut seq(SEQ_TO));
        if let Some(at) = journal.iter().zip(&expected).position(|(a, b)| a != b) {
            let about = |bytes: &[u8]| {
                String::from_utf8_lossy(&bytes[at.saturating_sub(20)..bytes.len().min(at + 20)]).into_owned()
            };
            panic!("the journal differs at {at}: {:?}, not {:?}", about(&journal), about(&expected));
        }
        assert!(
            journal.len() > expected.len(),
            "the journal has {} bytes, `seq` alone wrote {}",
            journal.len(),
            expected.len()
        );
        let counted = lines(&journal[expected.len()..])
            .unwrap_or_else(|| panic!("a gap or a repetition {}", unlike(&journal[expected.len()..])));
        expected.extend_from_slice(&journal[expected.len()..]);
        assert!(journal == expected, "the journal is what the program wrote");
        for followed in &all {
            let at = followed.bytes.iter().zip(&journal).position(|(a, b)| a != b);
            assert!(
                followed.bytes == journal,
                "{} has {} bytes, the journal {}; the first difference is at {at:?}",
                followed.client,
                followed.bytes.len(),
                journal.len(),
            );
            assert_eq!((followed.exit.code, followed.exit.signal), (Some(7), None));
        }
        let detail = baton.session(self.session).await.session;
        assert_eq!(detail.status, SessionStatus::Exited);
        assert_eq!(detail.exit.map(|exit| (exit.code, exit.signal)), Some((Some(7), None)));
        let reconnects: Vec<u32> = all.iter().map(|followed| followed.reconnects).collect();
        println!("{} bytes and {counted} counted lines to everybody; reconnects {reconnects:?}", journal.len());
    }
}

/// Forty kills need a launcher that restarts at once or nearly so; its backoff bounds this test's time.
#[test]
fn forty_kills_of_bridge_and_sessiond_under_flood_lose_and_repeat_nothing() {
    scenario(Duration::from_secs(400), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let mut flood = Flood::start(baton, "flooded").await;
        let mut owner = baton.attach(flood.session, Attach::named("owner")).await;
        let owner_id = owner.id.clone();
        owner.until_output("ready\r\n").await;
        let lease = owner.claim(false).await.unwrap();
        owner.type_text("go\r").await;
        // What is unread on a socket when its client comes with another one is the client's to send again.
        owner.until_output("1\r\n2\r\n").await;
        drop(owner);
        // The owner keeps its lease by following as everybody does.
        flood.followers.push(follow(baton.api(), flood.session, Attach::named("owner").client(&owner_id).binary()));
        let shell = Process::of(flood.shell);
        let mut slowest = Duration::ZERO;
        for round in 0..40 {
            tokio::time::sleep(seed.millis(0..400)).await;
            let begun = Instant::now();
            if round < 20 {
                baton.kill_bridge().await;
            } else {
                baton.kill_sessiond().await;
            }
            slowest = slowest.max(begun.elapsed());
            assert!(shell.is_alive(), "the shell noticed kill {round}");
            let detail = baton.session(flood.session).await;
            assert_eq!(detail.session.pid, Some(flood.shell), "after kill {round}");
            assert_eq!(detail.session.status, SessionStatus::Running, "after kill {round}");
            assert_eq!(detail.session.title, "flooded");
            let now = detail.session.lease.expect("the lease is as before");
            assert_eq!((now.owner, now.epoch), (lease.owner.clone().unwrap(), lease.epoch), "after kill {round}");
        }
        println!("slowest from kill to answer: {slowest:?}");
        // Everybody is attached as before, under the same names.
        let names = |names: Vec<String>| {
            let mut names = names;
            names.sort();
            names
        };
        let attached: SessionDetail = baton
            .api()
            .get_until(&format!("/v1/sessions/{}", flood.session), |detail: &SessionDetail| detail.clients.len() == 3)
            .await;
        assert_eq!(
            names(attached.clients.into_iter().map(|client| client.name).collect()),
            ["binary", "json", "owner"]
        );
        flood.finish(baton).await;
    });
}

#[test]
fn a_killed_worker_has_a_successor_with_the_same_shell_and_every_byte() {
    scenario(Duration::from_secs(180), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let mut flood = Flood::start(baton, "flooded").await;
        let mut owner = baton.attach(flood.session, Attach::named("owner")).await;
        let owner_id = owner.id.clone();
        owner.until_output("ready\r\n").await;
        let lease = owner.claim(false).await.unwrap();
        owner.type_text("go\r").await;
        // What a worker that is killed has not acknowledged, and what is unread on a socket that is replaced, is the client's
        // to send again.
        owner.until_output("1\r\n2\r\n").await;
        drop(owner);
        flood.followers.push(follow(baton.api(), flood.session, Attach::named("owner").client(&owner_id)));
        let path = format!("/v1/sessions/{}", flood.session);
        for kill in 0..8 {
            // The first two hit the flood itself.
            tokio::time::sleep(seed.millis(0..200)).await;
            let living = |detail: &SessionDetail| detail.session.worker_pid.is_some();
            let before: SessionDetail = baton.api().get_until(&path, living).await;
            let worker = Process::of(before.session.worker_pid.unwrap());
            worker.kill().await;
            let after: SessionDetail = baton
                .api()
                .get_until(&path, |detail: &SessionDetail| {
                    detail.session.worker_pid.is_some_and(|pid| pid != worker.pid) && detail.session.lease.is_some()
                })
                .await;
            assert_eq!(after.session.pid, Some(flood.shell), "after kill {kill}");
            assert_eq!(after.session.status, SessionStatus::Running);
            assert_eq!(after.session.instance, before.session.instance, "the same life of the program");
            let now = after.session.lease.unwrap();
            assert_eq!((now.owner, now.epoch), (lease.owner.clone().unwrap(), lease.epoch), "after kill {kill}");
        }
        flood.finish(baton).await;
    });
}

#[test]
fn a_socket_that_outlives_its_worker_takes_nothing_from_the_client_that_came_back() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut before = baton.attach(session, Attach::named("owner")).await;
        before.until_output("$ ").await;
        before.claim(false).await.unwrap();
        let worker = Process::of(baton.session(session).await.session.worker_pid.unwrap());
        worker.kill().await;
        let succeeded = |it: &SessionDetail| it.session.worker_pid.is_some_and(|pid| pid != worker.pid);
        let path = format!("/v1/sessions/{session}");
        let _: SessionDetail = baton.api().get_until(&path, succeeded).await;
        before.until_closed().await;
        let back = Attach::named("owner").client(&before.id).input_stream(1);
        let mut back = baton.attach(session, back).await;
        // Only now the bridge is rid of the socket of before: at once, or when it has waited a second for its farewell.
        drop(before);
        let begun = Instant::now();
        let mut seq = 0;
        while begun.elapsed() < Duration::from_millis(1500) {
            seq += 1;
            back.input(b"\n", back.ready.epoch, seq).await;
            back.until_acked(seq).await;
        }
        assert_eq!(baton.session(session).await.clients.len(), 1);
    });
}

#[test]
fn a_program_that_ends_while_its_worker_is_dead_keeps_its_exit_code_and_last_words() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let stop = baton.scratch().join("stop");
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let session = baton.create(&session::command([program, "lines", "200", stop.to_str().unwrap()])).await;
        let follower = follow(baton.api(), session, Attach::named("follower"));
        let before = baton.session(session).await.session;
        let (worker, shell) = (Process::of(before.worker_pid.unwrap()), Process::of(before.pid.unwrap()));
        // Stopped it reads nothing; the program ends; killed it is succeeded.
        worker.signal(Signal::SIGSTOP);
        std::fs::write(&stop, "").unwrap();
        shell.gone().await;
        worker.kill().await;
        let followed = follower.await.unwrap();
        assert_eq!(
            (followed.exit.code, followed.exit.signal),
            (Some(7), None),
            "the status is true: {:?}",
            followed.exit
        );
        assert!(lines(&followed.bytes).is_some(), "{:?}", String::from_utf8_lossy(&followed.bytes));
        assert_eq!(baton.output(session).await, followed.bytes);
    });
}

#[test]
fn a_killed_launcher_is_nobodys_loss() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let stop = baton.scratch().join("stop");
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let session = baton.create(&session::command([program, "lines", "1000", stop.to_str().unwrap()])).await;
        let shell = Process::of(baton.session(session).await.session.pid.unwrap());
        let launcher = baton.launcher().await;
        launcher.kill().await;
        assert!(shell.is_alive());
        // `baton up` finds what lives and starts what does not.
        let _ = baton.cli(["up"]).await.ok();
        let baton_again = baton.cli(["status", "--json"]).await.json::<serde_json::Value>();
        assert!(
            baton_again["launcher"]["pid"].as_u64().is_some_and(|pid| pid != u64::from(launcher.pid)),
            "{baton_again}"
        );
        let url = baton_again["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        let api = baton.api_at(&url);
        let detail: SessionDetail = api
            .get_until(&format!("/v1/sessions/{session}"), |detail: &SessionDetail| {
                detail.session.status == SessionStatus::Running && detail.session.pid.is_some()
            })
            .await;
        assert_eq!(detail.session.pid, Some(shell.pid), "the shell is the same");
        let follower = follow(api.clone(), session, Attach::named("follower"));
        std::fs::write(&stop, "").unwrap();
        let followed = follower.await.unwrap();
        assert_eq!(followed.exit.code, Some(7));
        assert!(lines(&followed.bytes).is_some(), "numbered lines without a gap or a repetition");
    });
}

#[test]
fn a_new_launcher_holds_what_the_old_one_held() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let stop = baton.scratch().join("stop");
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let session = baton.create(&session::command([program, "lines", "1000", stop.to_str().unwrap()])).await;
        let shell = Process::of(baton.session(session).await.session.pid.unwrap());
        baton.launcher().await.kill().await;
        let _ = baton.cli(["up"]).await.ok();
        let status = baton.cli(["status", "--json"]).await.json::<serde_json::Value>();
        let api = baton.api_at(status["url"].as_str().unwrap());
        let path = format!("/v1/sessions/{session}");
        let detail: SessionDetail =
            api.get_until(&path, |detail: &SessionDetail| detail.session.worker_pid.is_some()).await;
        let follower = follow(api.clone(), session, Attach::named("follower"));
        // The new tree heals as the old one did: a worker killed now has a successor.
        let worker = Process::of(detail.session.worker_pid.unwrap());
        worker.kill().await;
        let succeeded = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker.pid);
        let detail: SessionDetail = api.get_until(&path, succeeded).await;
        assert_eq!(detail.session.status, SessionStatus::Running);
        assert!(shell.is_alive());
        std::fs::write(&stop, "").unwrap();
        let followed = follower.await.unwrap();
        assert_eq!(followed.exit.code, Some(7));
        assert!(lines(&followed.bytes).is_some(), "numbered lines without a gap or a repetition");
    });
}

#[test]
fn up_starts_what_is_not_running_and_down_leaves_sessions_alone() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let before = baton.session(session).await.session;
        let shell = Process::of(before.pid.unwrap());
        let bridge = baton.bridge().await;
        // Up again changes nothing.
        let _ = baton.cli(["up"]).await.ok();
        assert_eq!(baton.bridge().await, bridge);
        let _ = baton.cli(["down"]).await.ok();
        bridge.gone().await;
        assert!(shell.is_alive(), "`down` leaves sessions alone");
        assert!(
            baton.nobody().send(http::Method::GET, "/v1/health", None).await.is_err(),
            "nobody listens after `down`"
        );
        let _ = baton.cli(["up"]).await.ok();
        let status = baton.cli(["status", "--json"]).await.json::<serde_json::Value>();
        let api = baton.api_at(status["url"].as_str().unwrap().trim_end_matches('/'));
        let after: SessionDetail = api
            .get_until(&format!("/v1/sessions/{session}"), |detail: &SessionDetail| {
                detail.session.status == SessionStatus::Running
            })
            .await;
        assert_eq!((after.session.pid, after.session.instance), (before.pid, before.instance));
        let mut client = baton_tests::StreamClient::open(&api, session, Attach::named("again")).await.unwrap();
        client.claim(false).await.unwrap();
        client.type_text("echo adopted-$((1+1))\r").await;
        client.until_output("adopted-2").await;
    });
}
