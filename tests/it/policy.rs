//! `baton policy`: asked by the command line, answered by the rules that would judge, without a bridge that runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use baton_tests::binaries;
use serde_json::Value;

/// A person's directories, without a Baton that runs.
struct Person(tempfile::TempDir);

impl Person {
    fn new() -> Self {
        let person = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(person.project().join("src")).unwrap();
        person
    }

    fn project(&self) -> PathBuf {
        self.0.path().join("project")
    }

    /// `policy.toml` in force.
    fn in_force(&self, text: &str) {
        let config = self.0.path().join("baton/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("policy.toml"), text).unwrap();
    }

    fn policy<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        Command::new(binaries::path("baton"))
            .arg("policy")
            .args(arguments)
            .current_dir(self.project())
            .env("HOME", self.0.path())
            .env("BATON_HOME", self.0.path().join("baton"))
            .output()
            .unwrap()
    }

    fn explain(&self, line: &str) -> (i32, String) {
        let output = self.policy(["explain", "--", line]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

const OWN: &str = r#"
[[rule]]
id = "frob"
action = "terminal.exec"
match = { program = "touch" }
decision = "deny"
risk = "low"
reason = "not here"
examples = { match = ["touch x"], not_match = ["ls"] }
"#;

#[test]
fn a_line_is_explained_and_the_exit_code_is_the_answer() {
    let person = Person::new();
    for (line, code, told) in [
        ("ls -la src", 0, "allow  (risk low)"),
        ("git push", 7, "git-remote"),
        ("sudo ls", 5, "deny  become-another"),
        ("ls && \"su\"do id", 5, "become-another"),
        ("x=ls; $x", 7, "command-word"),
        ("cat ~/.ssh/id_ed25519", 5, "credentials"),
        ("echo x > ../x", 7, "not certainly within"),
    ] {
        let (exit, out) = person.explain(line);
        assert_eq!(exit, code, "{line}: {out}");
        assert!(out.contains(told), "{line}: {out}");
    }
    // Several words are one command, with its quotes.
    let output = person.policy(["explain", "--json", "--", "echo", "a; sudo ls"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let judged: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&judged["outcome"], judged["revision"].as_str().unwrap().len()), (&"allow".into(), 64));
    let output = person.policy(["explain", "--json", "--", "git push --force"]);
    let judged: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        (&judged["outcome"], &judged["risk_level"], &judged["risk_tags"], &judged["rule_ids"]),
        (&"ask".into(), &"high".into(), &serde_json::json!(["network"]), &serde_json::json!(["git-remote"])),
    );
    // Another action, another place, another session.
    let outside = person.policy(["explain", "--action", r#"{"action":"file.write","path":"/etc/hosts"}"#]);
    assert_eq!(outside.status.code(), Some(7), "{outside:?}");
    assert_eq!(person.policy(["explain", "--unsandboxed", "--", "ls"]).status.code(), Some(7));
    let up = person.policy(["explain", "--cwd", "src", "--", "rm ../x"]);
    assert_eq!(up.status.code(), Some(7), "{up:?}");
}

#[test]
fn a_program_is_what_it_leads_to_wherever_a_line_goes() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let person = Person::new();
    let project = person.project();
    symlink("/bin/rm", project.join("tidy")).unwrap();
    symlink(person.0.path(), project.join("up")).unwrap();
    fs::create_dir_all(person.0.path().join(".ssh")).unwrap();
    symlink(person.0.path().join(".ssh"), project.join("notes")).unwrap();
    fs::write(person.0.path().join(".netrc"), "").unwrap();
    symlink(person.0.path().join(".netrc"), project.join("pass")).unwrap();
    fs::write(project.join("ls"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(project.join("ls"), fs::Permissions::from_mode(0o755)).unwrap();
    for (line, code) in [
        ("./tidy -rf src", 7),
        ("rm up/x", 7),
        ("cd up && rm x", 7),
        ("cat notes/id", 5),
        ("cat pass", 5),
        ("cat notes/id*", 7),
        ("cd notes && cat id", 5),
        ("./ls", 7),
        ("no-such-program", 7),
        ("command -v ls", 0),
        ("rm src/x", 0),
    ] {
        let (exit, out) = person.explain(line);
        assert_eq!(exit, code, "{line}: {out}");
    }
}

#[test]
fn a_policy_is_tested_before_it_is_in_force() {
    let person = Person::new();
    let shipped = person.policy(["test"]);
    assert_eq!(shipped.status.code(), Some(0), "{shipped:?}");
    assert_eq!(person.explain("touch x").0, 0);
    let new = person.project().join("new.toml");
    fs::write(&new, OWN).unwrap();
    let tested = person.policy(["test", "--json", new.to_str().unwrap()]);
    let told: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((tested.status.code(), &told["ok"]), (Some(0), &true.into()), "{tested:?}");
    let tried = person.policy(["explain", "--policy", new.to_str().unwrap(), "--", "touch x"]);
    assert_eq!(tried.status.code(), Some(5), "{tried:?}");
    assert_eq!(person.explain("touch x").0, 0, "it is not in force");
    person.in_force(OWN);
    assert_eq!(person.explain("touch x").0, 5);
    // One example fails: the file is refused, with its line, whoever asks.
    person.in_force(&OWN.replace("\"touch x\"", "\"ls x\""));
    let refused = person.policy(["test"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(why.contains("policy.toml:9: rule `frob` does not match its example `ls x`"), "{why}");
    let json = person.policy(["test", "--json"]);
    let told: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &told["line"]), (Some(1), &9.into()), "{json:?}");
    assert_eq!(person.policy(["explain", "--", "ls"]).status.code(), Some(1));
    // Nonsense.
    assert_eq!(person.policy(["test", "/nowhere.toml"]).status.code(), Some(1));
    assert_eq!(person.policy(["explain"]).status.code(), Some(2));
    assert_eq!(person.policy(["explain", "--action", "{}"]).status.code(), Some(2));
}
