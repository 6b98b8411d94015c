//! A test once more as an ordinary user: what root may is not what most people have.

use std::process::Command;

/// Runs a test of the same binary again without privileges, when this process has some. `test` is its whole name.
///
/// # Panics
/// When it fails.
pub fn again(test: &str) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let status = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("BATON_TEST_AS_ORDINARY_USER", "1")
        .env_remove("NEXTEST")
        .env("BATON_TEST_ARTIFACTS", std::env::temp_dir())
        .current_dir("/")
        .status();
    assert!(status.expect("setpriv").success(), "as an ordinary user");
}
