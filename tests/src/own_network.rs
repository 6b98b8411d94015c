//! A test in a network of its own, whose loopback interface has whatever addresses it needs.

use std::ffi::OsStr;
use std::process::Command;

/// Runs this test once more in a network (and with a view of the mounts) of its own, behind a script of `sh` that prepares it, has
/// `args` as its first arguments and is followed by the test. True in there; false out here, once that has passed. Only root may.
///
/// # Panics
/// When the test in there has failed.
#[must_use]
pub fn again_in_own_network(test: &str, script: &str, args: &[&OsStr]) -> bool {
    const APART: &str = "BATON_TEST_OWN_NETWORK";
    if std::env::var_os(APART).is_some() {
        return true;
    }
    let may = nix::unistd::geteuid().is_root()
        && Command::new("unshare").args(["-nm", "ip", "link"]).output().is_ok_and(|output| output.status.success());
    if !may {
        println!("not tried: it needs root, `unshare` and `ip`");
        return false;
    }
    let script = format!("{script} && shift {} && exec \"$@\"", args.len());
    let this = std::env::current_exe().expect("a test knows its program");
    let status = Command::new("unshare")
        .args(["-nm", "sh", "-c", &script, "sh"])
        .args(args)
        .arg(this)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(APART, "1")
        .env_remove("NEXTEST")
        .status()
        .expect("`unshare` runs");
    assert!(status.success(), "in a network of its own");
    false
}
