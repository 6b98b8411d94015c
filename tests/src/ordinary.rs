//! A test once more as an ordinary user: what root may is not what most people have.

use std::process::Command;

/// Who has none: `nobody`.
const NOBODY: u32 = 65534;

/// Runs a test of the same binary again without privileges, when this process has some. `test` is its whole name.
///
/// # Panics
/// When it fails.
pub fn again(test: &str) {
    again_as(NOBODY, test);
}

/// The same as a user of its own, for a test that uses up what a user has.
///
/// # Panics
/// When it fails.
pub fn again_as(uid: u32, test: &str) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let status = Command::new("setpriv")
        .args(["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups"])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("BATON_TEST_AS_ORDINARY_USER", "1")
        .env_remove("NEXTEST")
        .env("BATON_TEST_ARTIFACTS", std::env::temp_dir())
        .current_dir("/")
        .status();
    assert!(status.expect("setpriv").success(), "as an ordinary user");
}
