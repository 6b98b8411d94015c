//! What of HOME is shown without being granted: the profile's names, and what is really there by those names.
//!
//! A session that was granted a directory above such a name can put a link in its place. What that leads to would be shown to
//! every later session, so a tool is shown where its name says it is, or in the place of another tool, and nowhere else.

use std::path::{Path, PathBuf};

use baton_proto::spec::{Grant, Profile};

use crate::held::Roots;
use crate::places::{Place, place};
use crate::profile;
use crate::secrets::Secrets;

/// What there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// Those that are shown.
    pub shown: Vec<Place>,
    /// Those whose names lead elsewhere, which are not.
    pub elsewhere: Vec<PathBuf>,
}

impl Tools {
    /// Finds them below a HOME, whose path is without links; what is shown is held in `roots`.
    #[must_use]
    pub fn find(profile: Profile, home: Option<&Path>, grants: &[Grant], secrets: &Secrets, roots: &mut Roots) -> Self {
        let mut found = Self::default();
        let Some(home) = home else { return found };
        let names: Vec<PathBuf> = profile::home_tools(profile).iter().map(|tool| home.join(tool)).collect();
        for name in &names {
            let Some(tool) = place(name) else { continue };
            if !is_meant(&tool.path, &names) {
                // What was granted is shown anyway.
                if !grants.iter().any(|grant| tool.path.starts_with(&grant.root)) {
                    found.elsewhere.push(name.clone());
                }
                continue;
            }
            // One that is swapped meanwhile is not shown.
            if !touches_secrets(&tool.path, secrets) && roots.hold(&tool.path).is_ok() {
                found.shown.push(tool);
            }
        }
        found
    }
}

/// Whether a path without links is that of a tool, or lies in one: no link on the way to it counts, in HOME or above it.
fn is_meant(path: &Path, names: &[PathBuf]) -> bool {
    names.iter().any(|name| path.starts_with(name))
}

/// Whether it is a secret, has one in it, or may have one later.
fn touches_secrets(tool: &Path, secrets: &Secrets) -> bool {
    let there = || secrets.places.iter().map(|secret| secret.path.as_path());
    there().any(|secret| tool.starts_with(secret))
        || there().chain(secrets.named.iter().map(PathBuf::as_path)).any(|secret| secret.starts_with(tool))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A home in which these directories and files (those with a dot in their last name) are.
    struct Home(PathBuf);

    impl Home {
        fn new(test: &str) -> Self {
            let root = std::env::temp_dir().canonicalize().unwrap();
            let home = root.join(format!("baton-tools-{test}-{}", std::process::id()));
            for directory in [".local/bin", ".local/share/mise", "go/bin", "Documents/git", ".cargo/bin"] {
                fs::create_dir_all(home.join(directory)).unwrap();
            }
            for file in [".gitconfig", ".bash_history", "Documents/git/config"] {
                fs::write(home.join(file), "").unwrap();
            }
            Self(home)
        }

        fn link(&self, name: &str, target: impl AsRef<Path>) {
            let name = self.0.join(name);
            let _ = (fs::remove_file(&name), fs::remove_dir_all(&name));
            symlink(target, name).unwrap();
        }

        fn find(&self, grants: &[Grant]) -> (Vec<String>, Vec<String>) {
            let tools =
                Tools::find(Profile::Workspace, Some(&self.0), grants, &Secrets::default(), &mut Roots::default());
            let text = |path: &Path| path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned();
            let shown = tools.shown.iter().map(|tool| text(&tool.path)).collect();
            (shown, tools.elsewhere.iter().map(|path| text(path)).collect())
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_tool_is_shown_where_its_name_says_and_nowhere_else() {
        let home = Home::new("links");
        let all = [".local/bin", ".local/share/mise", ".cargo/bin", "go/bin", ".gitconfig"].map(str::to_owned);
        assert_eq!(home.find(&[]), (all.to_vec(), Vec::new()));
        home.link("go/bin", "../Documents");
        home.link(".gitconfig", ".bash_history");
        // A link above it, to HOME itself, and out of it.
        home.link(".local/share", "../Documents");
        fs::create_dir(home.0.join("Documents/mise")).unwrap();
        home.link(".config", "Documents");
        home.link(".nvm", &home.0);
        home.link(".pyenv", "/usr");
        home.link(".rbenv", "nowhere");
        let elsewhere = [".local/share/mise", ".pyenv", ".nvm", "go/bin", ".gitconfig", ".config/git/config"];
        assert_eq!(
            home.find(&[]),
            (vec![".local/bin".to_owned(), ".cargo/bin".to_owned()], elsewhere.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn a_tool_may_lead_to_another_and_what_is_granted_needs_no_word() {
        let home = Home::new("others");
        home.link("bin", ".local/bin");
        fs::create_dir(home.0.join(".local/bin/more")).unwrap();
        home.link("go/bin", "../.local/bin/more");
        home.link(".gitconfig", "Documents/git/config");
        let (shown, elsewhere) = home.find(&[Grant::whole(home.0.join("Documents").to_str().unwrap().to_owned())]);
        assert_eq!(shown, [".local/bin", ".local/share/mise", ".cargo/bin", ".local/bin/more", ".local/bin"]);
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }

    #[test]
    fn where_a_tool_leads_to_another_that_is_a_link_too_it_is_not_shown() {
        let home = Home::new("both");
        home.link(".local/bin", "../Documents");
        home.link("bin", ".local/bin");
        let (shown, elsewhere) = home.find(&[]);
        assert!(!shown.iter().any(|tool| tool.contains("Documents")), "{shown:?}");
        assert_eq!(elsewhere, [".local/bin", "bin"]);
    }
}
