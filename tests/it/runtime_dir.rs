//! Directories that are deleted under a running Baton: the runtime directory, as logind does at logout, and worse.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use baton_proto::api::{CreateTerminal, SessionDetail};
use baton_proto::home::state;
use baton_proto::ids::SessionId;
use baton_tests::follower::follow;
use baton_tests::process::Process;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Seed, Setup, binaries, scenario, session};
use nix::sys::signal::Signal;

/// A shell named `work`, and its process.
async fn shell(baton: &Baton) -> (SessionId, Process) {
    let request = CreateTerminal { title: Some("work".to_owned()), ..session::bash() };
    let id = baton.create(&request).await;
    (id, Process::of(baton.session(id).await.session.pid.unwrap()))
}

/// The shell's own word for which process it is.
async fn asked(baton: &Baton) -> u32 {
    let said = baton.cli(["exec", "work", "--claim", "--", "echo $$"]).await.ok();
    said.trim().parse().unwrap_or_else(|err| panic!("{err}: {said:?}"))
}

/// `kill -9` of the session's worker; done when sessiond has its successor.
async fn kill_worker(baton: &Baton, session: SessionId) {
    let path = format!("/v1/sessions/{session}");
    // A sessiond that has just started may have to find it first.
    let detail: SessionDetail =
        baton.api().get_until(&path, |detail: &SessionDetail| detail.session.worker_pid.is_some()).await;
    let worker = Process::of(detail.session.worker_pid.unwrap());
    worker.kill().await;
    let succeeded = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker.pid);
    let _: SessionDetail = baton.api().get_until(&path, succeeded).await;
}

/// As `rm -rf`, again if somebody wrote into it meanwhile.
fn delete(directory: &Path) {
    while let Err(err) = fs::remove_dir_all(directory) {
        assert_eq!(err.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{}: {err}", directory.display());
    }
}

/// A port that nobody uses just now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_deleted_runtime_directory_is_made_anew_and_nothing_is_lost() {
    // Port 0 and a fixed one: a second Baton on the same state would find the one free and the other taken.
    for listen in ["127.0.0.1:0".to_owned(), format!("127.0.0.1:{}", free_port())] {
        let setup = Setup::plain().env("BATON_LISTEN", &listen);
        scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
            let (session, program) = shell(baton).await;
            let launcher = baton.launcher().await;
            for commands in [["status"].as_slice(), &["ls"], &["up"], &["exec", "work", "--claim", "--", "true"]] {
                delete(&baton.home.runtime);
                // The very next command finds it gone, and repairs it.
                let _ = baton.cli(commands).await.ok();
                assert_eq!(asked(baton).await, program.pid, "after {commands:?}");
            }
            assert_eq!(launcher, baton.launcher().await, "it is the same Baton");
            let mut desk = Terminal::baton(baton, &["attach", "work"], (80, 24));
            desk.until("$ ").await;
            desk.type_text("echo at-the-desk-$((20+3))\r");
            desk.until("at-the-desk-23").await;
            desk.type_text("\x1c");
            assert_eq!(desk.exit_code().await, 0);
            // The worker's successor listens where the worker did last.
            kill_worker(baton, session).await;
            delete(&baton.home.runtime);
            let _ = baton.cli(["ls"]).await.ok();
            kill_worker(baton, session).await;
            assert_eq!(asked(baton).await, program.pid);
            // And so does everything that was made after it.
            let second = baton.shell().await;
            let neighbour = Process::of(baton.session(second).await.session.pid.unwrap());
            delete(&baton.home.runtime);
            let said = baton.cli(["down", "--sessions"]).await.ok();
            assert!(said.contains("2 sessions closed"), "{said}");
            program.gone().await;
            neighbour.gone().await;
            launcher.gone().await;
        });
    }
}

#[test]
fn the_launcher_notices_by_itself_and_an_open_page_loses_no_byte() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let stop = baton.scratch().join("stop");
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let session = baton.script(&format!("exec {program} lines 1000 {}", stop.display())).await;
        let followers = [Attach::named("json"), Attach::named("binary").binary()]
            .map(|attach| follow(baton.api(), session, attach));
        for _ in 0..3 {
            let bridge = baton.bridge().await;
            delete(&baton.home.runtime);
            // Nobody asks: over TCP nothing is amiss.
            while !baton.worker_socket(session).exists() || baton.bridge().await == bridge {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _ = baton.cli(["status"]).await.ok();
            baton.kill_sessiond().await;
            kill_worker(baton, session).await;
        }
        fs::write(&stop, "").unwrap();
        let mut all = Vec::new();
        for follower in followers {
            all.push(follower.await.expect("a follower ends with the program"));
        }
        let journal = baton.output(session).await;
        assert!(journal.ends_with(b"\r\n") && journal.len() > 1000, "{} bytes", journal.len());
        for followed in all {
            assert!(followed.bytes == journal, "every byte once, in order");
        }
    });
}

#[test]
fn killed_launchers_find_the_new_sockets() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (session, program) = shell(baton).await;
        for _ in 0..3 {
            delete(&baton.home.runtime);
            let _ = baton.cli(["ls"]).await.ok();
            let launcher = baton.launcher().await;
            launcher.kill().await;
            let _ = baton.cli(["ls"]).await.ok();
            assert_eq!(asked(baton).await, program.pid);
            // Killed while nobody has noticed yet: the spare has only the old sockets.
            let launcher = baton.launcher().await;
            delete(&baton.home.runtime);
            launcher.kill().await;
            assert_eq!(asked(baton).await, program.pid);
            kill_worker(baton, session).await;
            assert_eq!(asked(baton).await, program.pid);
        }
    });
}

/// Whatever it had done by then, its spare does the rest. `BATON_TEST_SEED` repeats the choices.
#[test]
fn a_launcher_killed_while_it_mends_leaves_nothing_half_done() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let (session, program) = shell(baton).await;
        for round in 0..40 {
            let launcher = baton.launcher().await;
            delete(&baton.home.runtime);
            launcher.signal(Signal::SIGHUP);
            // Mending takes a millisecond or two.
            let begun = Instant::now();
            let moment = seed.millis(0..3000) / 1000;
            while begun.elapsed() < moment {
                std::hint::spin_loop();
            }
            launcher.kill().await;
            let _ = baton.cli(["ls"]).await.ok();
            // The one at the socket's path is the worker, and so is its successor.
            drop(baton.worker_peer(session).await);
            if round % 4 == 0 {
                kill_worker(baton, session).await;
                drop(baton.worker_peer(session).await);
            }
            assert!(program.is_alive());
        }
        assert_eq!(asked(baton).await, program.pid);
    });
}

#[test]
fn no_second_launcher_starts_on_the_same_state() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let launcher = baton.launcher().await;
        let second = async || {
            let mut command = tokio::process::Command::new(binaries::path("baton-sessiond"));
            command.args(["launcher", "--listen", "127.0.0.1:0"]).env_clear().envs(baton.env());
            command.output().await.unwrap()
        };
        for gone in [None, Some(&baton.home.runtime), Some(&baton.home.state)] {
            if let Some(gone) = gone {
                delete(gone);
            }
            let refused = second().await;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(75), "without {gone:?}: {said}");
            assert!(said.contains(&format!("process {}", launcher.pid)), "without {gone:?}: {said}");
            // Whole again for the next round, and still the first one.
            let _ = baton.cli(["up"]).await.ok();
            assert!(launcher.is_alive());
        }
    });
}

#[test]
fn logout_and_login_again() {
    let login = tempfile::Builder::new().prefix("bt-").tempdir().unwrap();
    let runtime = login.path().join("1000");
    fs::create_dir(&runtime).unwrap();
    // As on a desktop: no BATON_HOME, and a runtime directory that comes and goes with the login.
    let setup = Setup::plain().env("BATON_HOME", "").env("XDG_RUNTIME_DIR", runtime.to_str().unwrap());
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        let (_, program) = shell(baton).await;
        let elsewhere = async |args: &[&str]| {
            let mut command = baton.command(args);
            // As in a cron job.
            command.env_remove("XDG_RUNTIME_DIR");
            tokio::process::Command::from(command).output().await.unwrap()
        };
        let listed = elsewhere(&["ls"]).await;
        assert!(
            String::from_utf8_lossy(&listed.stdout).contains("work"),
            "it finds the sockets of the login: {listed:?}"
        );
        // Gone, and not to be made anew by an ordinary user.
        delete(&runtime);
        fs::write(&runtime, "").unwrap();
        for args in [["status"].as_slice(), &["ls"], &["down", "--sessions"]] {
            let told = elsewhere(args).await;
            let said = String::from_utf8_lossy(&told.stderr).into_owned();
            assert_eq!(told.status.code(), Some(6), "{args:?}: {said}");
            assert!(said.contains("what leads to it was deleted"), "{args:?}: {said}");
        }
        assert!(program.is_alive());
        fs::remove_file(&runtime).unwrap();
        fs::create_dir(&runtime).unwrap();
        assert_eq!(asked(baton).await, program.pid);
        // Stopped, logged out, logged in: a session's handles have waited with the state.
        let said = baton.cli(["down"]).await.ok();
        assert!(said.contains("1 session lives on"), "{said}");
        delete(&runtime);
        fs::create_dir(&runtime).unwrap();
        let said = baton.cli(["down"]).await.ok();
        assert!(said.contains("not running") && said.contains("live on"), "{said}");
        assert_eq!(asked(baton).await, program.pid);
        let sessions: Vec<baton_proto::api::Session> = baton.cli(["ls", "--json"]).await.json();
        Process::of(sessions[0].worker_pid.unwrap()).kill().await;
        assert_eq!(asked(baton).await, program.pid);
        // Once more, and to the end.
        let _ = baton.cli(["down"]).await.ok();
        delete(&runtime);
        fs::create_dir(&runtime).unwrap();
        let said = baton.cli(["down", "--sessions"]).await.ok();
        assert!(said.contains("1 session closed"), "{said}");
        program.gone().await;
    });
}

/// sessiond's process as the command line tells it, whose token is the newest; asked again while sessiond is started anew.
async fn sessiond(baton: &Baton) -> Process {
    loop {
        let status: serde_json::Value = baton.cli(["status", "--json"]).await.json();
        if let Some(pid) = status["sessiond"]["pid"].as_u64() {
            return Process::of(u32::try_from(pid).unwrap());
        }
    }
}

#[test]
fn a_deleted_state_directory_is_told_and_the_sessions_go_on() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (_, program) = shell(baton).await;
        let launcher = baton.launcher().await;
        delete(&baton.home.state);
        assert!(program.is_alive());
        let told = baton.cli(["status"]).await;
        assert!(told.stderr.contains("was deleted while Baton ran"), "{told:?}");
        let said = told.ok();
        assert!(said.contains("1 running") && said.contains(&format!("pid {}", launcher.pid)), "{said}");
        assert_eq!(asked(baton).await, program.pid);
        // The next sessiond knows it as well.
        sessiond(baton).await.kill().await;
        assert_eq!(asked(baton).await, program.pid);
        // Nor does a part of it matter.
        delete(&baton.home.sessions_dir());
        sessiond(baton).await.kill().await;
        assert_eq!(asked(baton).await, program.pid);
        assert!(baton.home.state.join(state::LOCK).exists() && baton.home.key_file().exists());
        // Both at once, which only the launcher can notice; and a session made in what is new.
        delete(&baton.home.state);
        delete(&baton.home.runtime);
        while !baton.home.key_file().exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = baton.cli(["new", "-d", "--name", "second", "--", "/bin/sh", "-c", "sleep 1000"]).await.ok();
        let listed = baton.cli(["ls"]).await.ok();
        assert!(listed.contains("work") && listed.contains("second"), "{listed}");
        assert_eq!(asked(baton).await, program.pid);
        let said = baton.cli(["down", "--sessions"]).await.ok();
        assert!(said.contains("2 sessions closed"), "{said}");
        program.gone().await;
        launcher.signal(Signal::SIGKILL);
    });
}
