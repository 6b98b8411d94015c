//! Where the binaries under test are: beside the test's own executable, as cargo lays them out.

use std::path::PathBuf;

/// The binary of this name, built in the same profile as the running test.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own executable");
    // target/<profile>/deps/it-<hash>
    let profile =
        test.parent().and_then(|deps| deps.parent()).expect("a test executable is below target/<profile>/deps");
    let binary = profile.join(name);
    assert!(
        binary.is_file(),
        "`{}` is missing: build the binaries with `cargo build -p baton-cli -p baton-bridge -p baton-sessiond` \
         (`cargo xtask test` does), in the profile and target directory of the tests",
        binary.display()
    );
    binary
}
