//! The main job in one command: build, start, have a session, print the URL.

use anyhow::Result;

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{self, command};

/// Builds for release and runs `baton up` with these options; makes the session `main` when none lives.
pub fn run(project: &Project, options: &[&str]) -> Result<()> {
    binaries::build(project, Profile::Release)?;
    let path = binaries::path(project, Profile::Release, "baton");
    let baton = |arguments: &[&str]| command(&path, arguments, project.root());
    steps::run(baton(&[&["up"], options].concat()))?;
    if !lists_a_living_session(&steps::output(baton(&["ls", "--json"]))?) {
        steps::run(baton(&["new", "-d", "--name", "main"]))?;
    }
    eprintln!("open it in the browser: {0} open · here: {0} attach main", path.display());
    Ok(())
}

/// Reads just as much of `baton ls --json` as the question needs.
fn lists_a_living_session(json: &[u8]) -> bool {
    let dense: String = String::from_utf8_lossy(json).split_whitespace().collect();
    ["running", "starting"].iter().any(|status| dense.contains(&format!("\"status\":\"{status}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_session_counts() {
        assert!(lists_a_living_session(b"[{\"id\": \"ses_1\", \"status\": \"running\"}]"));
        assert!(lists_a_living_session(b"{\"items\":[{\"status\":\"starting\"}]}"));
        assert!(!lists_a_living_session(b"[]"));
        assert!(!lists_a_living_session(b"[{\"status\": \"exited\", \"title\": \"running\"}]"));
    }
}
