//! What keeps Baton from starting or working well, as the command line tells it: the cause, and the exit code.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use baton_tests::{Baton, Setup, scenario};

#[test]
fn a_configuration_that_is_not_valid_names_the_key() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let _ = baton.cli(["down"]).await.ok();
        fs::create_dir_all(&baton.home.config).unwrap();
        for (text, named) in [
            ("[server]\nrate_limit = \"fast\"\n", "rate_limit = \"fast\""),
            ("[server]\nbogus = 1\n", "bogus"),
            ("[server\n", "[server"),
        ] {
            fs::write(baton.home.config_file(), text).unwrap();
            let refused = baton.cli(["up"]).await;
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(refused.stderr.contains(named), "{refused:?}");
            assert!(refused.stderr.contains(baton.home.config_file().to_str().unwrap()), "{refused:?}");
        }
        fs::remove_file(baton.home.config_file()).unwrap();
        let output = baton.command(["up"]).env("BATON_SESSION__LEASE_TTL_S", "soon").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("BATON_SESSION__LEASE_TTL_S"), "{output:?}");
    });
}

#[test]
fn a_start_that_fails_shows_what_this_start_wrote() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let _ = baton.cli(["down"]).await.ok();
        let log = baton.home.logs_dir().join("launcher.log");
        fs::OpenOptions::new().append(true).open(log).unwrap().write_all(b"a line of last year\n").unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut command = baton.command(["up"]);
        let refused = command.env("BATON_LISTEN", &address).stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&address) && said.contains("BATON_LISTEN"), "{said}");
        assert!(!said.contains("last year") && !said.contains("launcher runs"), "{said}");
    });
}

#[test]
fn a_database_that_cannot_be_used_is_told() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let _ = baton.cli(["down"]).await.ok();
        let good = fs::read(baton.home.database_file()).unwrap();
        // What SQLite keeps beside it would mend it.
        for beside in ["wal", "shm"] {
            let _ = fs::remove_file(baton.home.database_file().with_extension(format!("sqlite3-{beside}")));
        }
        fs::write(baton.home.database_file(), [0xa5; 50_000]).unwrap();
        let told = baton.cli(["up"]).await;
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.stdout.starts_with("http://"), "it runs all the same: {told:?}");
        assert!(told.stderr.contains("database") && told.stderr.contains("bridge.log"), "{told:?}");
        let status = baton.cli(["status"]).await.ok();
        assert!(status.contains("database  fails"), "{status}");
        let status: serde_json::Value = baton.cli(["status", "--json"]).await.json();
        assert_eq!(status["failing"], serde_json::json!(["database"]));
        // Sessions do not need it.
        let _ = baton.cli(["new", "-d", "--name", "work", "--", "/bin/sh", "-c", "sleep 1000"]).await.ok();
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        fs::write(baton.home.database_file(), good).unwrap();
        let _ = baton.cli(["up"]).await.ok();
        let status: serde_json::Value = baton.cli(["status", "--json"]).await.json();
        assert_eq!(status["failing"], serde_json::json!([]));
    });
}

#[test]
fn small_mistakes_are_told_plainly() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let failed = baton.cli(["new", "-d", "--name", "bad", "--", "/no/such/program"]).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let told = "`/no/such/program` could not be started: ENOENT";
        assert!(failed.stderr.contains(told), "{failed:?}");

        let gone = baton.scratch().join("gone");
        fs::create_dir(&gone).unwrap();
        let mut command = std::process::Command::new("/bin/sh");
        let script = format!("cd {0} && rmdir {0} && exec \"$BATON\" new -d", gone.display());
        command.args(["-c", &script]).env_clear().envs(baton.env());
        command.env("BATON", baton_tests::binaries::path("baton"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("--cwd"), "{said}");

        let _ = baton.cli(["new", "-d", "--name", "work", "--", "/bin/sh", "-c", "read line"]).await.ok();
        let unknown = baton.cli(["transfer", "work", "xx"]).await;
        assert_eq!(unknown.code, Some(3), "{unknown:?}");
        assert!(unknown.stderr.contains("attached are:"), "{unknown:?}");
        let closed = baton.cli(["close", "work"]).await;
        assert_eq!((closed.code, closed.stderr.as_str()), (Some(0), ""));
        while baton.cli(["ls"]).await.ok().contains("work") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again = baton.cli(["close", "work"]).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(again.stderr.contains("has ended already"), "{again:?}");
    });
}
