//! Just enough of Cargo.toml and package.json to know what a package depends on.

use std::collections::BTreeSet;

/// Names in the dependency sections of a Cargo.toml, the workspace's own included.
pub fn cargo_dependencies(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut listing = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            let section = section.trim_start_matches('[').trim();
            listing = section.ends_with("dependencies");
            // `[dependencies.name]` names one by itself.
            if let Some((table, name)) = section.rsplit_once('.')
                && table.ends_with("dependencies")
            {
                names.insert(unquoted(name));
            }
            continue;
        }
        let name = line.split(['=', '.']).next().unwrap_or("").trim();
        if listing && line.contains('=') && !name.is_empty() && !name.starts_with('#') {
            names.insert(unquoted(name));
        }
    }
    names
}

/// Names in `dependencies` and `devDependencies` of a package.json laid out by npm, one a line.
pub fn npm_dependencies(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut listing = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('}') {
            listing = false;
        } else if listing {
            names.extend(line.split('"').nth(1).map(str::to_owned));
        } else {
            listing = ["\"dependencies\":", "\"devDependencies\":"].iter().any(|section| line.starts_with(section))
                && line.ends_with('{');
        }
    }
    names
}

fn unquoted(name: &str) -> String {
    name.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_every_way_to_write_them() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nanyhow.workspace = true\n# none = 1\n\
                    serde = { version = \"1\", features = [\n  \"derive\" ] }\n[dev-dependencies]\nproptest = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nnix = \"0\"\n[dependencies.uuid]\nversion = \"1\"\n[features]\na = []\n";
        let names: Vec<String> = cargo_dependencies(text).into_iter().collect();
        assert_eq!(names, ["anyhow", "nix", "proptest", "serde", "uuid"]);
    }

    #[test]
    fn npm_dependencies_are_read() {
        let text = "{\n  \"name\": \"web\",\n  \"scripts\": {\n    \"a\": \"b\"\n  },\n  \"dependencies\": {\n    \
                    \"@xterm/xterm\": \"6.0.0\",\n    \"preact\": \"11\"\n  },\n  \"devDependencies\": {\n    \"vite\": \"8\"\n  }\n}\n";
        let names: Vec<String> = npm_dependencies(text).into_iter().collect();
        assert_eq!(names, ["@xterm/xterm", "preact", "vite"]);
    }
}
