//! `fuzz/` has a lock file of its own, which nothing but a fuzzing run reads: it must know what our crates depend on by now.

use super::Findings;
use super::manifest::cargo_dependencies;
use super::tree::Tree;

const LOCK: &str = "fuzz/Cargo.lock";

pub fn check(tree: &Tree, findings: &mut Findings) {
    let Some(lock) = tree.texts.get(LOCK) else { return };
    for (path, text) in tree.with_extension("toml").filter(|(path, _)| path.ends_with("/Cargo.toml")) {
        let Some(package) = text.lines().find_map(|line| line.strip_prefix("name = ")) else { continue };
        let Some(locked) = lock.split("[[package]]").find(|block| block.contains(&format!("name = {package}\n")))
        else {
            continue;
        };
        for name in cargo_dependencies(&built(text)) {
            let is_locked = locked.lines().any(|line| {
                let line = line.trim().trim_start_matches('"');
                line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['"', ' ']))
            });
            if !is_locked {
                findings.errors.push(format!(
                    "`{LOCK}` does not know that `{path}` depends on `{name}`: run `cargo update --workspace` in `fuzz/`"
                ));
            }
        }
    }
}

/// A manifest without what only tests depend on: no other package's lock file has that.
fn built(text: &str) -> String {
    let mut kept = true;
    text.lines()
        .filter(|line| {
            if line.starts_with('[') {
                kept = !line.contains("dev-dependencies");
            }
            kept
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_is_not_locked_is_found() {
        let manifest = "[package]\nname = \"baton-x\"\n[dependencies]\nserde.workspace = true\nserde_json.workspace = true\n\
                        [dev-dependencies]\nproptest.workspace = true\n";
        let errors = |locked: &str| {
            let lock = format!("[[package]]\nname = \"baton-x\"\nversion = \"1\"\ndependencies = [\n{locked}]\n");
            let mut findings = Findings::default();
            check(&Tree::of(&[("x/Cargo.toml", manifest), (LOCK, &lock)]), &mut findings);
            findings.errors.len()
        };
        assert_eq!(errors(" \"serde\",\n \"serde_json 1.0.0\",\n"), 0);
        assert_eq!(errors(" \"serde_json\",\n"), 1);
        assert_eq!(errors(" \"serde\",\n"), 1);
    }
}
