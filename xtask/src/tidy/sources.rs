//! Checks of source files: their length, what must not stay in them, tests that nobody runs.

use super::Findings;
use super::tree::Tree;

/// Longer files carry more than one concept, or are tables.
const LINES_MAX: usize = 500;

/// Where the end-to-end tests are.
const END_TO_END: &str = "tests/it/";

pub fn check(tree: &Tree, findings: &mut Findings) {
    for extension in ["rs", "ts", "tsx"] {
        for (path, text) in tree.with_extension(extension) {
            length(path, text, findings);
            if extension == "rs" {
                unfinished(path, text, findings);
            }
        }
    }
    forgotten_tests(tree, findings);
}

fn length(path: &str, text: &str, findings: &mut Findings) {
    let is_test = path.split('/').any(|part| matches!(part, "tests" | "test"));
    let is_generated = path.ends_with(".gen.ts");
    // A file may carry its tests.
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if lines > LINES_MAX && !is_test && !is_generated {
        findings.warnings.push(format!("`{path}` has {lines} lines: is it a table, or two concepts?"));
    }
}

fn unfinished(path: &str, text: &str, findings: &mut Findings) {
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for word in ["todo", "unimplemented"] {
            if code.contains(&format!("{word}!(")) {
                findings.errors.push(format!("`{path}:{}` has a `{word}!`", at + 1));
            }
        }
    }
}

/// A file beside `main.rs` that it does not name is compiled by nobody.
fn forgotten_tests(tree: &Tree, findings: &mut Findings) {
    let main = tree.texts.get(&format!("{END_TO_END}main.rs")).map_or("", String::as_str);
    for path in tree.texts.keys() {
        let Some(name) = path.strip_prefix(END_TO_END).and_then(|file| file.strip_suffix(".rs")) else { continue };
        let module = name.strip_suffix("/mod").unwrap_or(name);
        let named = main.lines().any(|line| line.trim().trim_start_matches("pub ") == format!("mod {module};"));
        if module != "main" && !module.contains('/') && !named {
            findings.errors.push(format!("`{path}` is not a module of {END_TO_END}main.rs: its tests never run"));
        }
    }
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
    fn a_forgotten_test_file_is_found() {
        let files = [("tests/it/main.rs", "mod lease;\n"), ("tests/it/lease.rs", ""), ("tests/it/flood.rs", "")];
        let found = errors(&files);
        assert!(found.len() == 1 && found[0].contains("flood.rs"), "{found:?}");
        let nested = [("tests/it/main.rs", "mod page;"), ("tests/it/page/mod.rs", ""), ("tests/it/page/tmux.rs", "")];
        assert!(errors(&nested).is_empty());
    }

    #[test]
    fn unfinished_code_is_found_and_talk_of_it_is_not() {
        let unfinished = ["to", "do!()"].concat();
        assert_eq!(errors(&[("proto/src/a.rs", &unfinished)]).len(), 1);
        assert!(errors(&[("proto/src/a.rs", &format!("// no {unfinished} here"))]).is_empty());
    }

    #[test]
    fn a_long_file_is_mentioned_unless_it_carries_tests() {
        let warnings = |path: &str, text: &str| {
            let mut findings = Findings::default();
            length(path, text, &mut findings);
            findings.warnings.len()
        };
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(warnings("proto/src/a.rs", &long), 1);
        assert_eq!(warnings("proto/tests/a.rs", &long), 0);
        assert_eq!(warnings("proto/src/a.rs", &format!("x\n#[cfg(test)]\n{long}")), 0);
    }
}
