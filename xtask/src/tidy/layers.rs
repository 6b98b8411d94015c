//! Dependencies between our own crates point one way.

use super::Findings;
use super::manifest::cargo_dependencies;
use super::tree::Tree;

/// What each crate may use of ours. The bridge never links sessiond: they share bytes, not code.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("proto", &[]),
    ("sandbox", &["baton-proto"]),
    ("screen", &["baton-proto"]),
    ("sessiond", &["baton-proto", "baton-sandbox", "baton-screen"]),
    ("bridge", &["baton-proto", "baton-sandbox"]),
    ("clients/cli", &["baton-proto", "baton-screen"]),
    ("tests", &["baton-proto", "baton-sandbox", "baton-screen"]),
    ("benches", &[]),
    ("xtask", &[]),
];

pub fn check(tree: &Tree, findings: &mut Findings) {
    for (path, text) in tree.with_extension("toml") {
        let Some(package) = path.strip_suffix("/Cargo.toml").filter(|package| *package != "fuzz") else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package) else {
            findings.errors.push(format!("`{package}` is a crate without a layer: name it in xtask's tidy checks"));
            continue;
        };
        for ours in cargo_dependencies(text).iter().filter(|name| name.starts_with("baton-")) {
            if !allowed.contains(&ours.as_str()) {
                findings.errors.push(format!(
                    "`{path}` uses `{ours}`: dependencies point proto <- sandbox <- sessiond, proto <- bridge, screen <- cli"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_against_the_layers_is_found() {
        let errors = |package: &str, dependency: &str| {
            let mut findings = Findings::default();
            let text = format!("[dependencies]\n{dependency}.workspace = true\n");
            check(&Tree::of(&[(&format!("{package}/Cargo.toml"), &text)]), &mut findings);
            findings.errors.len()
        };
        assert_eq!(errors("bridge", "baton-proto"), 0);
        assert_eq!(errors("bridge", "baton-sessiond"), 1);
        assert_eq!(errors("proto", "baton-sandbox"), 1);
        assert_eq!(errors("newcomer", "serde"), 1);
    }
}
