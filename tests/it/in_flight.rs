//! Descriptors that are sent and not received: the kernel counts those of all of a user's processes together, and whoever sends any
//! is held to its own limit of open files. A session that fills that count must not keep Baton from starting others.
//!
//! Only an ordinary user is held to it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_proto::api::{CreateTerminal, Created, SessionDetail, SessionStatus, WaitAnswer};
use baton_proto::spec::Profile;
use baton_tests::{Baton, Setup, binaries, ordinary, scenario, session};
use http::Method;
use nix::sys::resource::{Resource, setrlimit};
use serde_json::json;

const FILL: &str = "fill-what-is-in-flight";

/// Files that a process of this test's may have open. Few, so that what other tests of this user do is far below their own.
const FILES: u64 = 2048;

/// Runs this as an ordinary user that nothing else runs as, under a limit of its own: descriptors in flight are counted by user.
fn as_ordinary_user(uid: u32, test: &str, body: impl FnOnce()) {
    if nix::unistd::geteuid().is_root() {
        return ordinary::again_as(uid, &format!("in_flight::{test}"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, FILES / 2, FILES).unwrap();
    body();
}

/// A process of the same user, as free as a session that is not confined.
struct Filler(Child);

impl Filler {
    fn new() -> Self {
        let program = binaries::path("baton-hostile-program");
        let mut child = Command::new(program).arg(FILL).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let count: u64 = line.trim().trim_start_matches("in flight: ").parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(count > FILES, "{line}");
        Self(child)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn a_confined_session_comes_to_its_end_before_baton_does() {
    as_ordinary_user(65_501, "a_confined_session_comes_to_its_end_before_baton_does", || {
        scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
            let project = baton.person().join("project");
            std::fs::create_dir_all(&project).unwrap();
            let program = project.join("hostile");
            std::fs::copy(binaries::path("baton-hostile-program"), &program).unwrap();
            let id = baton
                .create(&CreateTerminal {
                    command: Some(vec![program.to_str().unwrap().to_owned(), FILL.to_owned()]),
                    cwd: Some(project.to_str().unwrap().to_owned()),
                    sandbox: Some(Profile::Workspace),
                    ..CreateTerminal::default()
                })
                .await;
            let start = baton.session(id).await.session.oldest_cursor;
            let wait = json!({"until": {"pattern": "in flight: [0-9]+", "cursor": start}, "timeout_s": 20.0});
            let filled: WaitAnswer = baton.api().post(&format!("/v1/terminal/sessions/{id}/wait"), &wait).await;
            let text = filled.text.expect("it fills what it may");
            let count: u64 = text.trim_start_matches("in flight: ").parse().unwrap();
            assert!((FILES / 2..FILES - 253).contains(&count), "{text}");
            // Of each kind one.
            for sandbox in [Profile::Host, Profile::Workspace] {
                let request = session::shell_script("echo started; read x");
                let cwd = Some(project.to_str().unwrap().to_owned());
                let other = baton.create(&CreateTerminal { sandbox: Some(sandbox), cwd, ..request }).await;
                let runs = |detail: &SessionDetail| detail.session.status == SessionStatus::Running;
                let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{other}"), runs).await;
            }
        });
    });
}

#[test]
fn a_start_waits_for_room_and_without_any_fails_and_says_why() {
    as_ordinary_user(65_502, "a_start_waits_for_room_and_without_any_fails_and_says_why", || {
        scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
            let filler = Filler::new();
            let request = session::shell_script("echo started; read x");
            let create = "/v1/terminal/sessions";
            let failed: Created = baton.api().post(create, &request).await;
            assert_eq!(failed.status, SessionStatus::Failed, "{failed:?}");
            let why = baton.session(failed.session_id).await.session.failure.unwrap();
            assert!(why.contains("descriptors to itself"), "{why}");
            // It is over, and can be forgotten: nothing waits for a worker that never comes.
            let path = format!("/v1/sessions/{}", failed.session_id);
            let forgotten = baton.api().call::<()>(Method::DELETE, &path, None).await;
            assert!(forgotten.status < 300, "{forgotten}");
            // Room that comes in time is found.
            let until = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(2));
                drop(filler);
            });
            let id = baton.create(&request).await;
            let runs = |detail: &SessionDetail| detail.session.status == SessionStatus::Running;
            let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), runs).await;
            until.join().unwrap();
        });
    });
}
