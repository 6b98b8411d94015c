//! Baton is replaced by another version of itself while shells run, and a version that does not work is not kept.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ServerStatus, SessionDetail, SessionStatus, UpgradePart, UpgradeRequest, Upgrading};
use baton_proto::ids::SessionId;
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Seed, Setup, scenario};
use http::Method;
use serde_json::Value;

use crate::survive::Flood;

const PATH: &str = "/v1/upgrade";

fn worker(session: SessionId) -> UpgradeRequest {
    UpgradeRequest { part: UpgradePart::Worker, session_id: Some(session) }
}

fn service(part: UpgradePart) -> UpgradeRequest {
    UpgradeRequest { part, session_id: None }
}

/// Starts the flood.
async fn go(baton: &Baton, flood: &Flood) {
    let mut owner = baton.attach(flood.session, Attach::named("owner")).await;
    owner.until_output("ready\r\n").await;
    owner.claim(false).await.unwrap();
    owner.type_text("go\r").await;
    // What is unacknowledged when a worker is killed, or unread when its client leaves, is the client's to send again.
    owner.until_output("1\r\n2\r\n").await;
}

/// Which file it is: device and inode.
fn file_id(path: impl AsRef<Path>) -> (u64, u64) {
    let found = fs::metadata(path).unwrap();
    (found.dev(), found.ino())
}

fn runs(pid: u32) -> (u64, u64) {
    file_id(format!("/proc/{pid}/exe"))
}

/// Who serves: launcher, sessiond, bridge.
async fn serving(baton: &Baton) -> [u32; 3] {
    let whole = |status: &ServerStatus| status.sessiond.is_some() && status.launcher.is_some();
    let status: ServerStatus = baton.api().get_until("/v1/status", whole).await;
    [status.launcher.unwrap().pid, status.sessiond.unwrap().pid, status.bridge.pid]
}

/// Puts a program there that knows its version, and does nothing else but this.
fn install_script(baton: &Baton, name: &str, body: &str) {
    let script = baton.scratch().join(format!("{name}.sh"));
    let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo {name} 99.0.0; exit 0; }}\n{body}\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    baton.install(name, &script);
}

/// Types a line in a shell and waits for what it prints, so that the session is known to work.
async fn shell_works(baton: &Baton, session: SessionId, word: &str) {
    let mut client = baton.attach(session, Attach::named("checker")).await;
    client.claim(true).await.unwrap();
    client.type_text(&format!("echo {word}-$((6*7))\r")).await;
    client.until_output(&format!("{word}-42")).await;
}

#[test]
fn a_hundred_workers_in_a_row_under_flood_and_not_a_byte_is_missing() {
    scenario(Duration::from_secs(300), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let flood = Flood::start(baton, "flooded").await;
        go(baton, &flood).await;
        let shell = Process::of(flood.shell);
        let mut before = baton.session(flood.session).await.session.worker_pid;
        let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
        // More of them for who asks: docs/RELIABILITY.md.
        let rounds = std::env::var("BATON_UPGRADES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
        for round in 0..rounds {
            tokio::time::sleep(seed.millis(0..30)).await;
            let begun = Instant::now();
            let answer: Upgrading = baton.api().post(PATH, &worker(flood.session)).await;
            let took = begun.elapsed();
            (slowest, all) = (slowest.max(took), all + took);
            assert!(shell.is_alive(), "the shell noticed round {round}");
            assert!(answer.worker_pid.is_some() && answer.worker_pid != before, "round {round}: {answer:?}");
            let detail = baton.session(flood.session).await.session;
            assert_eq!((detail.pid, detail.status), (Some(flood.shell), SessionStatus::Running), "round {round}");
            assert_eq!(detail.worker_pid, answer.worker_pid, "round {round}");
            before = answer.worker_pid;
        }
        println!("{rounds} rounds, slowest {slowest:?}, mean {:?}", all / rounds);
        flood.finish(baton).await;
    });
}

#[test]
fn whoever_is_killed_while_workers_are_replaced_the_session_goes_on() {
    scenario(Duration::from_secs(300), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let flood = Flood::start(baton, "flooded").await;
        go(baton, &flood).await;
        let shell = Process::of(flood.shell);
        let path = format!("/v1/sessions/{}", flood.session);
        let (mut replaced, mut refused) = (0, 0);
        for round in 0..45 {
            // Whoever is told of may be the one that was just killed.
            let victim = loop {
                let pid = match round % 3 {
                    0 => serving(baton).await[0],
                    1 => serving(baton).await[1],
                    _ => baton.session(flood.session).await.session.worker_pid.unwrap_or_default(),
                };
                if let Some(victim) = Process::find(pid).filter(Process::is_alive) {
                    break victim;
                }
            };
            let request = worker(flood.session);
            let api = baton.api();
            let asked = api.call(Method::POST, PATH, Some(&request));
            let wait = seed.millis(0..14);
            let kill = async {
                tokio::time::sleep(wait).await;
                victim.kill().await;
            };
            let (answer, ()) = tokio::join!(asked, kill);
            if answer.status == 200 {
                replaced += 1
            } else {
                refused += 1
            }
            assert!(shell.is_alive(), "the shell noticed round {round}");
            let works = |detail: &SessionDetail| {
                let worker = detail.session.worker_pid.and_then(Process::find);
                detail.session.status == SessionStatus::Running && worker.is_some_and(|worker| worker.is_alive())
            };
            let detail: SessionDetail = baton.api().get_until(&path, works).await;
            assert_eq!(detail.session.pid, Some(flood.shell), "round {round}");
        }
        println!("{replaced} replaced, {refused} refused");
        assert!(replaced > 0, "some get through");
        flood.finish(baton).await;
    });
}

#[test]
fn the_command_line_replaces_everything_once_and_says_what_it_did() {
    scenario(Duration::from_secs(120), Setup::plain().installed(), async |baton: &Baton| {
        let session = baton.shell().await;
        let shell = baton.session(session).await.session.pid.unwrap();
        let mut client = baton.attach(session, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("kept=yes; echo before-$kept\r").await;
        client.until_output("before-yes").await;
        let states = |plan: &Value| -> Vec<(String, String)> {
            let text = |part: &Value, key: &str| part[key].as_str().unwrap().to_owned();
            plan["parts"].as_array().unwrap().iter().map(|part| (text(part, "part"), text(part, "state"))).collect()
        };
        let each = |state: &str| {
            ["bridge", "sessiond", "worker", "launcher"].map(|part| (part.to_owned(), state.to_owned())).to_vec()
        };
        let plan: Value = baton.cli(["upgrade", "--dry-run", "--json"]).await.json();
        assert_eq!(states(&plan), each("current"));
        // Another file of the same content is another version.
        for name in ["baton-bridge", "baton-sessiond"] {
            baton.install(name, &baton_tests::binaries::path(name));
        }
        let before = serving(baton).await;
        let plan: Value = baton.cli(["upgrade", "--dry-run", "--json"]).await.json();
        assert_eq!(states(&plan), each("outdated"));
        assert!(baton.cli(["upgrade", "--dry-run"]).await.ok().contains("would be replaced"));
        assert_eq!(serving(baton).await, before, "nothing was changed");

        let done: Value = baton.cli(["upgrade", "--json"]).await.json();
        assert_eq!(states(&done), each("replaced"), "{done}");
        let after = serving(baton).await;
        let detail = baton.session(session).await.session;
        let installed = |name: &str| file_id(baton.scratch().join("bin").join(name));
        for (pid, old, name) in [
            (after[0], before[0], "baton-sessiond"),
            (after[1], before[1], "baton-sessiond"),
            (after[2], before[2], "baton-bridge"),
            (detail.worker_pid.unwrap(), 0, "baton-sessiond"),
        ] {
            assert_ne!(pid, old);
            assert_eq!(runs(pid), installed(name), "{name} {pid}");
        }
        assert_eq!(detail.pid, Some(shell), "the same shell");
        // It has let go before it has ended.
        if let Some(launcher) = Process::find(before[0]) {
            launcher.gone().await;
        }
        shell_works(baton, session, "after").await;
        let plan: Value = baton.cli(["upgrade", "--json"]).await.json();
        assert_eq!(states(&plan), each("current"));

        // The new launcher has a spare of its own, which works as ever.
        Process::of(after[0]).kill().await;
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        Process::of(detail.worker_pid.unwrap()).kill().await;
        shell_works(baton, session, "later").await;
        assert_eq!(baton.session(session).await.session.pid, Some(shell));
    });
}

#[test]
fn a_version_that_hangs_after_a_crash_is_given_up_for_the_one_that_served() {
    scenario(Duration::from_secs(180), Setup::plain().installed(), async |baton: &Baton| {
        let session = baton.shell().await;
        shell_works(baton, session, "before").await;
        for name in ["baton-bridge", "baton-sessiond"] {
            install_script(baton, name, "exec sleep 1000");
        }
        let worker = Process::of(baton.session(session).await.session.worker_pid.unwrap());
        let program = baton.session(session).await.session.pid;
        worker.kill().await;
        // It has 20 s; then a worker of the launcher's own version serves.
        loop {
            let attached = tokio::time::timeout(Duration::from_secs(5), shell_works(baton, session, "worker")).await;
            if attached.is_ok() {
                break;
            }
        }
        assert_eq!(baton.session(session).await.session.pid, program);
        baton.kill_bridge().await;
        shell_works(baton, session, "bridge").await;
        baton.kill_sessiond().await;
        shell_works(baton, session, "sessiond").await;
        let log = fs::read_to_string(baton.home.logs_dir().join("launcher.log")).unwrap();
        assert!(log.contains("ended"), "{log}");
    });
}

#[test]
fn a_version_that_ends_at_start_is_not_kept() {
    scenario(Duration::from_secs(120), Setup::plain().installed(), async |baton: &Baton| {
        let session = baton.shell().await;
        let before = serving(baton).await;
        let worker_before = baton.session(session).await.session.worker_pid;
        // One that does not even know its version is not tried on anybody.
        let script = baton.scratch().join("broken.sh");
        fs::write(&script, "#!/bin/sh\nexit 101\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        baton.install("baton-sessiond", &script);
        let refused = baton.cli(["upgrade"]).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("nothing was changed"), "{refused:?}");
        assert_eq!(serving(baton).await, before);

        for name in ["baton-bridge", "baton-sessiond"] {
            install_script(baton, name, "exit 101");
        }
        let done = baton.cli(["upgrade", "--json"]).await;
        assert_eq!(done.code, Some(1), "{done:?}");
        let plan: Value = serde_json::from_str(&done.stdout).unwrap();
        for part in plan["parts"].as_array().unwrap() {
            assert_eq!(part["state"], "kept", "{plan}");
            assert!(part["detail"].as_str().is_some_and(|detail| detail.contains("log")), "{plan}");
        }
        let after = serving(baton).await;
        let detail = baton.session(session).await.session;
        assert_eq!((after[0], detail.worker_pid), (before[0], worker_before), "they never stopped");
        // sessiond and bridge had to end for it, and are of the version before again.
        assert!(after[1] != before[1] && after[2] != before[2]);
        assert_eq!(runs(after[1]), runs(before[0]));
        shell_works(baton, session, "still").await;

        // A worker that is killed while what is installed does not work is followed all the same.
        Process::of(detail.worker_pid.unwrap()).kill().await;
        shell_works(baton, session, "again").await;
        let detail_after = baton.session(session).await.session;
        assert_eq!(detail_after.pid, detail.pid);
        assert_eq!(runs(detail_after.worker_pid.unwrap()), runs(before[0]));
    });
}

#[test]
fn a_version_that_hangs_is_not_kept() {
    scenario(Duration::from_secs(120), Setup::plain().installed(), async |baton: &Baton| {
        let session = baton.shell().await;
        let before = serving(baton).await;
        let worker_before = baton.session(session).await.session.worker_pid;
        for name in ["baton-bridge", "baton-sessiond"] {
            install_script(baton, name, "exec sleep 1000");
        }
        baton.api().refused(Method::POST, PATH, &worker(session), ErrorCode::InvalidTransition).await;
        assert_eq!(baton.session(session).await.session.worker_pid, worker_before, "it never stopped");
        for part in [UpgradePart::Launcher, UpgradePart::Bridge] {
            let _: Upgrading = baton.api().post(PATH, &service(part)).await;
        }
        let replaced = |status: &ServerStatus| status.bridge.pid != before[2] && status.sessiond.is_some();
        let status: ServerStatus = baton.api().get_until("/v1/status", replaced).await;
        assert_ne!(runs(status.bridge.pid), file_id(baton.scratch().join("bin/baton-bridge")));
        assert_eq!(status.launcher.unwrap().pid, before[0]);
        shell_works(baton, session, "still").await;
    });
}

#[test]
fn a_worker_that_takes_over_and_then_fails_is_followed_by_one_of_the_version_before() {
    for how in ["exits", "hangs"] {
        let setup = Setup::plain().installed().env("BATON_TEST_HALF", how);
        scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
            let flood = Flood::start(baton, "flooded").await;
            go(baton, &flood).await;
            let before = serving(baton).await;
            baton.install("baton-sessiond", &PathBuf::from(env!("CARGO_BIN_EXE_baton-half-worker")));
            let shell = Process::of(flood.shell);
            baton.api().refused(Method::POST, PATH, &worker(flood.session), ErrorCode::InvalidTransition).await;
            assert!(shell.is_alive());
            let works = |detail: &SessionDetail| detail.session.status == SessionStatus::Running;
            let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{}", flood.session), works).await;
            assert_eq!(detail.session.pid, Some(flood.shell));
            assert_eq!(runs(detail.session.worker_pid.unwrap()), runs(before[0]));
            flood.finish(baton).await;
        });
    }
}

#[test]
fn twenty_launchers_in_a_row_under_flood() {
    scenario(Duration::from_secs(200), Setup::plain(), async |baton: &Baton| {
        let flood = Flood::start(baton, "flooded").await;
        go(baton, &flood).await;
        let shell = Process::of(flood.shell);
        for round in 0..20 {
            let [before, sessiond, bridge] = serving(baton).await;
            let _: Upgrading = baton.api().post(PATH, &service(UpgradePart::Launcher)).await;
            let next = |status: &ServerStatus| status.launcher.as_ref().is_some_and(|launcher| launcher.pid != before);
            let status: ServerStatus = baton.api().get_until("/v1/status", next).await;
            assert_eq!((status.bridge.pid, status.sessiond.unwrap().pid), (bridge, sessiond), "nobody else noticed");
            assert!(shell.is_alive(), "round {round}");
            if round % 5 == 4 {
                // What it took over works: a worker is followed, a service restarted, a session created.
                Process::of(baton.session(flood.session).await.session.worker_pid.unwrap()).kill().await;
                baton.kill_bridge().await;
                baton.script("exit 3").await;
            }
        }
        flood.finish(baton).await;
    });
}

#[test]
fn who_may_not_administer_replaces_nothing() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        for bad in [
            serde_json::json!({"part": "worker"}),
            serde_json::json!({"part": "bridge", "session_id": session}),
            serde_json::json!({"part": "shell"}),
        ] {
            baton.api().refused(Method::POST, PATH, &bad, ErrorCode::Invalid).await;
        }
        let ended = baton.script("exit 0").await;
        let over = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{ended}"), over).await;
        baton.api().refused(Method::POST, PATH, &worker(ended), ErrorCode::SessionEnded).await;
        let nobody: SessionId = "ses_00000000000000000000000000000007".parse().unwrap();
        baton.api().refused(Method::POST, PATH, &worker(nobody), ErrorCode::NotFound).await;
    });
}
