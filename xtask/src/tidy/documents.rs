//! Checks of documents: every dependency has its reason, every link its target.

use std::collections::BTreeMap;

use super::Findings;
use super::manifest::{cargo_dependencies, npm_dependencies};
use super::tree::Tree;

const REASONS: &str = "docs/DEPENDENCIES.md";

pub fn check(tree: &Tree, findings: &mut Findings) {
    reasons(tree, findings);
    for (path, text) in tree.with_extension("md") {
        links(tree, path, text, findings);
    }
}

fn reasons(tree: &Tree, findings: &mut Findings) {
    let document = tree.texts.get(REASONS).map_or("", String::as_str);
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in &tree.texts {
        let names = match path.rsplit('/').next() {
            Some("Cargo.toml") => cargo_dependencies(text),
            Some("package.json") => npm_dependencies(text),
            _ => continue,
        };
        for name in names.into_iter().filter(|name| !name.starts_with("baton-")) {
            users.entry(name).or_default().push(path);
        }
    }
    for (name, users) in users {
        if !document.contains(&format!("`{name}`")) {
            findings.errors.push(format!("`{name}` has no line in {REASONS} (used by {})", users.join(", ")));
        }
    }
}

/// Links to files of the repository must lead somewhere; what a web address leads to is not ours to check.
fn links(tree: &Tree, path: &str, text: &str, findings: &mut Findings) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (at, line) in text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split(['#', ' ']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !tree.paths.contains(&resolved(folder, target)) {
                findings.errors.push(format!("`{path}:{}` links to `{target}`, which is not there", at + 1));
            }
        }
    }
}

fn resolved(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Findings::default();
        check(&Tree::of(files), &mut findings);
        findings.errors
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = ("proto/Cargo.toml", "[dependencies]\nserde = \"1\"\nbaton-proto = \"0\"\n");
        assert_eq!(errors(&[manifest, (REASONS, "| `serde_json` | … |")]).len(), 1);
        assert!(errors(&[manifest, (REASONS, "| `serde` | … |")]).is_empty());
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "[a](../README.md#top) [b](gone.md) [c](https://example.org/x) [d](#here)";
        let found = errors(&[("docs/a.md", text), ("README.md", "[e](docs/a.md)")]);
        assert!(found.len() == 1 && found[0].contains("gone.md"), "{found:?}");
    }
}
