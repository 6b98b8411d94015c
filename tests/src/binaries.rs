//! Where the binaries under test are: beside the test's (or the program's) own executable, as cargo lays them out.

use std::path::PathBuf;

/// The binary of this name, built in the same profile as the running test.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own executable");
    // A test is target/<profile>/deps/it-<hash>, a program target/<profile>/baton-chaos.
    let directory = test.parent().expect("an executable is in a directory");
    let profile =
        if directory.ends_with("deps") { directory.parent().expect("below target/<profile>") } else { directory };
    let binary = profile.join(name);
    assert!(
        binary.is_file(),
        "`{}` is missing: build the binaries with `cargo build -p baton-cli -p baton-bridge -p baton-sessiond` \
         (`cargo xtask test` does), in the profile and target directory of the tests",
        binary.display()
    );
    binary
}
