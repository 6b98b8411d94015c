//! Lines that try to get past, lines that must not be stopped.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::resolve::{ByFiles, ByName, Program, Resolve};
use super::*;

fn agent() -> Principal {
    Principal { kind: PrincipalKind::Agent, name: "agent".to_owned() }
}

fn decide(command: &str) -> Judgement {
    static SHIPPED: LazyLock<Policy> = LazyLock::new(|| Policy::shipped().unwrap());
    let action = Action::TerminalExec { command: command.to_owned() };
    judge_with(&SHIPPED, &agent(), &action, &example_context(), &ByName)
}

/// The entries of a corpus: what is to come of a line, and the line.
fn entries(text: &str) -> Vec<(Outcome, String)> {
    let lines = text.lines().filter(|it| !it.is_empty() && !it.starts_with("##"));
    let entry = |line: &str| {
        let (outcome, command) = line.split_at(6);
        let outcome = [Outcome::Allow, Outcome::Ask, Outcome::Deny].into_iter().find(|it| it.name() == outcome.trim());
        let outcome = outcome.unwrap_or_else(|| panic!("`{line}` has no outcome"));
        (outcome, command.replace("\\n", "\n").replace("\\t", "\t"))
    };
    lines.map(entry).collect()
}

fn lines(text: &str) -> Vec<String> {
    entries(text).into_iter().map(|it| it.1).collect()
}

/// Judges each entry; tells those that came out otherwise.
fn check(text: &str) {
    let otherwise: Vec<_> = entries(text)
        .into_iter()
        .map(|(wanted, line)| (wanted, decide(&line), line))
        .filter(|(wanted, judgement, _)| judgement.outcome != *wanted)
        .map(|(_, judgement, line)| {
            format!("{:<5} {}\t## {}", judgement.outcome.name(), line.escape_debug(), judgement.why())
        })
        .collect();
    assert!(otherwise.is_empty(), "{} otherwise:\n{}", otherwise.len(), otherwise.join("\n"));
}

#[test]
fn the_shipped_rules_hold_their_examples() {
    let policy = Policy::shipped().unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(policy.revision.len(), 64);
    for rule in &policy.rules {
        assert!(!rule.examples.matching.is_empty(), "`{}` has no example", rule.id);
    }
}

#[test]
fn nothing_gets_past_by_how_it_is_written() {
    let text = include_str!("corpus/hostile.txt");
    let all = entries(text);
    assert!(all.len() >= 120, "{}", all.len());
    assert!(all.iter().all(|it| it.0 != Outcome::Allow), "what is allowed is not hostile");
    check(text);
}

#[test]
fn what_is_harmless_is_not_asked_about() {
    let text = include_str!("corpus/harmless.txt");
    assert!(entries(text).iter().filter(|it| it.0 == Outcome::Allow).count() >= 80);
    check(text);
}

#[test]
fn nothing_is_allowed_where_nothing_confines_it() {
    let context = Context { sandboxed: false, ..example_context() };
    let action = Action::TerminalExec { command: "ls".to_owned() };
    let decision = judge_with(&Policy::shipped().unwrap(), &agent(), &action, &context, &ByName);
    assert_eq!(decision.outcome, Outcome::Ask);
    let elsewhere = Context { cwd: "/etc".into(), ..example_context() };
    let decision = judge_with(&Policy::shipped().unwrap(), &agent(), &action, &elsewhere, &ByName);
    assert_eq!(decision.outcome, Outcome::Ask);
}

#[test]
fn persons_are_judged_only_by_rules_that_name_them() {
    let person = Principal { kind: PrincipalKind::Person, name: "ada".to_owned() };
    let action = Action::TerminalExec { command: "sudo rm -rf /".to_owned() };
    let outcome = |policy: &Policy| judge_with(policy, &person, &action, &example_context(), &ByName).outcome;
    assert_eq!(outcome(&Policy::shipped().unwrap()), Outcome::Allow);
    let named = Policy::parse("p", &rule("principal = { name = \"ada\" }", "deny")).unwrap();
    assert_eq!(outcome(&named), Outcome::Deny);
    let kind = Policy::parse("p", &rule("principal = { kind = \"person\" }", "ask")).unwrap();
    assert_eq!(outcome(&kind), Outcome::Ask);
    let other = Policy::parse("p", &rule("principal = { name = \"bob\" }", "deny")).unwrap();
    assert_eq!(outcome(&other), Outcome::Allow);
}

fn rule(more: &str, decision: &str) -> String {
    format!(
        "[[rule]]\nid = \"own\"\naction = \"terminal.exec\"\nmatch = {{ program = \"sudo\" }}\n{more}\ndecision = \"{decision}\"\n\
         risk = \"low\"\nreason = \"r\"\nexamples = {{ match = [\"sudo x\"], not_match = [\"ls\"] }}\n"
    )
}

#[test]
fn order_means_nothing_and_the_strictest_wins() {
    let make =
        |id: &str, decision: &str| rule("", decision).replace("\"own\"", &format!("\"{id}\"")).replace("sudo", "frob");
    let (a, b, c) = (make("a", "allow"), make("b", "ask"), make("c", "deny"));
    for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
        let policy = Policy::parse("p", &order.map(String::as_str).concat()).unwrap();
        let action = Action::TerminalExec { command: "frob".to_owned() };
        let decision = judge_with(&policy, &agent(), &action, &example_context(), &ByName);
        assert_eq!((decision.outcome, decision.rule_ids), (Outcome::Deny, vec!["a".into(), "b".into(), "c".into()]));
    }
}

#[test]
fn a_file_whose_examples_fail_is_refused_with_the_line() {
    let bad = format!("# one\n\n{}", rule("", "ask").replace("sudo x", "ls x"));
    let err = Policy::parse("policy.toml", &bad).unwrap_err();
    assert_eq!(err.to_string(), "policy.toml:11: rule `own` does not match its example `ls x`");
    let err = Policy::parse("p", &rule("", "ask").replace("\"ls\"", "\"sudo y\"")).unwrap_err();
    assert!(err.what.contains("matches its example `sudo y`"), "{err}");
    assert_eq!(Policy::parse("p", "\n\nwithout = 3").unwrap_err().line, 3);
    assert!(Policy::parse("p", "without = [\"nothing\"]").is_err());
    let without =
        "[[rule]]\nid = \"x\"\naction = \"lease.take\"\ndecision = \"deny\"\nrisk = \"low\"\nreason = \"r\"\n";
    assert!(Policy::parse("p", without).is_ok(), "a rule needs no example");
    for (from, to) in
        [("lease.take", "lease.steal"), ("\"deny\"", "\"permit\""), ("reason", "raison"), ("\"x\"", "\"X\"")]
    {
        assert!(Policy::parse("p", &without.replace(from, to)).is_err(), "{from} {to}");
    }
    let twice = rule("", "ask") + &rule("", "deny");
    assert!(Policy::parse("p", &twice).unwrap_err().what.contains("second rule"));
}

#[test]
fn a_shipped_rule_can_be_left_out() {
    let policy = Policy::parse("p", "without = [\"git-remote\"]").unwrap();
    let action = Action::TerminalExec { command: "git push".to_owned() };
    assert_eq!(judge_with(&policy, &agent(), &action, &example_context(), &ByName).outcome, Outcome::Allow);
}

#[test]
fn every_other_action_is_judged() {
    let policy = Policy::shipped().unwrap();
    let outcome = |action: &str| {
        let action: Action = serde_json::from_str(action).unwrap();
        judge_with(&policy, &agent(), &action, &example_context(), &ByName).outcome
    };
    for (action, wanted) in [
        (r#"{"action":"browser.navigate","url":"https://example.com/a"}"#, Outcome::Allow),
        (r#"{"action":"browser.navigate","url":"http://2130706433/"}"#, Outcome::Ask),
        (r#"{"action":"browser.navigate","url":"http://0x7f.1/"}"#, Outcome::Ask),
        (r#"{"action":"browser.navigate","url":"http://user@example.com/"}"#, Outcome::Ask),
        (r#"{"action":"browser.navigate","url":"http://[::ffff:127.0.0.1]/"}"#, Outcome::Deny),
        (r#"{"action":"browser.navigate","url":"http://10.0.0.1/"}"#, Outcome::Deny),
        (r#"{"action":"browser.execute_script","url":"https://example.com/","script":"1"}"#, Outcome::Ask),
        (r#"{"action":"file.write","path":"src/lib.rs"}"#, Outcome::Allow),
        (r#"{"action":"file.write","path":"src/../../x"}"#, Outcome::Ask),
        (r#"{"action":"file.overwrite","path":"~/.ssh/config"}"#, Outcome::Deny),
        (r#"{"action":"file.delete","path":"/etc/passwd"}"#, Outcome::Ask),
        (r#"{"action":"git.commit_and_push","path":".","remote":"origin","branch":"main"}"#, Outcome::Ask),
        (r#"{"action":"connector.call","connector":"mail","method":"send"}"#, Outcome::Ask),
        (r#"{"action":"session.unsandboxed"}"#, Outcome::Ask),
        (r#"{"action":"lease.take","session":"s"}"#, Outcome::Ask),
        (r#"{"action":"agent.permission","tool":"bash"}"#, Outcome::Ask),
        (r#"{"action":"terminal.input","text":"ls\n"}"#, Outcome::Allow),
        (r#"{"action":"process.spawn","argv":["git","push"]}"#, Outcome::Ask),
        (r#"{"action":"process.spawn","argv":["sudo","ls"]}"#, Outcome::Deny),
        (r#"{"action":"process.spawn","argv":["ls","; sudo"]}"#, Outcome::Allow),
        (r#"{"action":"process.spawn","argv":[]}"#, Outcome::Ask),
        // What is typed there is judged when it is typed.
        (r#"{"action":"process.spawn","argv":["bash","--norc","--noprofile","-i"]}"#, Outcome::Allow),
        (r#"{"action":"process.spawn","argv":["zsh","-l"]}"#, Outcome::Allow),
        (r#"{"action":"process.spawn","argv":["python3"]}"#, Outcome::Allow),
        (r#"{"action":"process.spawn","argv":["bash","-i","-c","ls"]}"#, Outcome::Ask),
        (r#"{"action":"process.spawn","argv":["bash","script"]}"#, Outcome::Ask),
        (r#"{"action":"process.spawn","argv":["bash","--rcfile","x","-i"]}"#, Outcome::Ask),
        (r#"{"action":"process.spawn","argv":["bash","-c","sudo ls"]}"#, Outcome::Deny),
        (r#"{"action":"process.spawn","argv":["python3","-"]}"#, Outcome::Ask),
        (r#"{"action":"process.spawn","argv":["nice","bash"]}"#, Outcome::Ask),
        (r#"{"action":"terminal.exec","command":"bash"}"#, Outcome::Ask),
    ] {
        assert_eq!(outcome(action), wanted, "{action}");
    }
}

/// A directory of programs that are links, copies and shadows of the system's.
#[test]
fn a_program_is_what_it_leads_to() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().canonicalize().unwrap();
    symlink("/bin/rm", own.join("harmless")).unwrap();
    std::fs::write(own.join("ls"), "#!/bin/sh\nrm -rf /\n").unwrap();
    std::fs::set_permissions(own.join("ls"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let context = Context {
        cwd: own.clone(),
        search: vec![own.clone(), "/usr/bin".into(), "/bin".into()],
        grants: vec![Grant { root: own.clone(), write: true }],
        ..example_context()
    };
    let cwd = own.to_str().unwrap();
    assert!(matches!(ByFiles.program("ls", cwd, &context), Program::Shadowed(_)));
    assert!(matches!(ByFiles.program("nothing-of-the-kind", cwd, &context), Program::Missing));
    let Program::System(names) = ByFiles.program("./harmless", cwd, &context) else { panic!("a link is its target") };
    assert!(names.contains(&"rm".to_owned()), "{names:?}");
    symlink("/home/person/.ssh", own.join("notes")).unwrap();
    let outcome = |command: &str| {
        judge(&Policy::shipped().unwrap(), &agent(), &Action::TerminalExec { command: command.to_owned() }, &context)
            .outcome
    };
    // What a person installed, where the session can't write, stands for its name; a link to it from where it can does not.
    let tools = tempfile::tempdir().unwrap();
    let tools = tools.path().canonicalize().unwrap();
    for name in ["ls", "frob"] {
        std::fs::copy(own.join("ls"), tools.join(name)).unwrap();
    }
    let installed = Context { search: vec![tools.clone(), "/bin".into()], ..context.clone() };
    for name in ["ls", "frob"] {
        assert_eq!(ByFiles.program(name, cwd, &installed), Program::System(vec![name.to_owned()]));
    }
    let open = Context { sandboxed: false, ..installed.clone() };
    assert!(matches!(ByFiles.program("ls", cwd, &open), Program::Shadowed(_)));
    symlink(tools.join("frob"), own.join("cat")).unwrap();
    assert!(matches!(ByFiles.program("cat", cwd, &context), Program::Shadowed(_)));
    std::fs::remove_file(own.join("cat")).unwrap();
    assert_eq!(ByFiles.real("/dev/stdin"), None, "that is the bridge's");
    assert_eq!(outcome("echo x > /dev/stderr"), Outcome::Allow);
    assert_eq!(outcome("./harmless -rf x"), Outcome::Ask);
    assert_eq!(outcome("ls"), Outcome::Ask);
    assert_eq!(outcome("cat file"), Outcome::Allow);
    assert_eq!(outcome("dd if=/dev/zero of=x"), Outcome::Allow);
    // A link to a file that a rule names by its own name, there and not there yet.
    std::fs::write(own.join(".netrc"), "").unwrap();
    symlink(own.join(".netrc"), own.join("there")).unwrap();
    assert_eq!(ByFiles.real(own.join("there").to_str().unwrap()).as_deref(), own.join(".netrc").to_str());
    for line in ["cat there", "cat < there", "cp there x", "tac ./there", "cat src/../there"] {
        assert_eq!(outcome(line), Outcome::Deny, "{line}");
    }
    symlink("/etc", own.join("etc")).unwrap();
    for line in ["echo x > etc/hosts", "tee etc/new", "cd etc && touch x", "rm etc/*", "ls etc/../; rm etc/x"] {
        assert_eq!(outcome(line), Outcome::Ask, "{line}");
    }
}

#[test]
fn a_bad_new_file_leaves_the_old_policy_in_force() {
    use std::time::{Duration, Instant};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file::NAME);
    let mut live = file::LivePolicy::open(&path).unwrap();
    let shipped = live.current(Instant::now()).0.revision.clone();
    let mut now = Instant::now();
    let mut later = || {
        now += Duration::from_secs(1);
        now
    };
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    let left_alone = |path: &std::path::Path| std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    std::fs::write(&path, rule("", "deny").replace("sudo", "frob")).unwrap();
    assert!(matches!(live.current(later()).1, file::Change::Unsettled), "somebody is still writing");
    left_alone(&path);
    let (policy, change) = live.current(later());
    assert!(matches!(change, file::Change::Reloaded) && policy.revision != shipped);
    std::fs::write(&path, "[[rule]]").unwrap();
    left_alone(&path);
    let (kept, change) = live.current(later());
    assert!(matches!(change, file::Change::Refused(_)), "{change:?}");
    assert_eq!(kept.revision, policy.revision);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(live.current(later()).0.revision, policy.revision, "it may be about to come back");
    left_alone(dir.path());
    assert_eq!(live.current(later()).0.revision, shipped);
}

/// What docs/policy.md shows is a policy, and its lines are judged as it says.
#[test]
fn the_document_is_true() {
    let text = include_str!("../../../docs/policy.md");
    let block = |start: &str| {
        let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in the document")).1;
        rest.split_once("```").unwrap().0
    };
    let policy = Policy::parse("docs/policy.md", block("```toml\n")).unwrap_or_else(|err| panic!("{err}"));
    let mut told = 0;
    for line in block("```text\n").lines() {
        let (outcome, command) = line.split_once(char::is_whitespace).unwrap();
        let action = Action::TerminalExec { command: command.trim().to_owned() };
        let decision = judge_with(&policy, &agent(), &action, &example_context(), &ByName);
        assert_eq!(decision.outcome.name(), outcome, "{command}: {:?}", decision.reasons);
        told += 1;
    }
    assert!(told >= 6);
}

/// One way in which a shell lets a name be written.
fn quoted() -> impl Strategy<Value = String> {
    prop::collection::vec(0..5u8, 4).prop_map(|ways| {
        let mut out = String::new();
        for (it, way) in "sudo".chars().zip(ways) {
            match way {
                0 => out.push(it),
                1 => out.extend(['\\', it]),
                2 => out.extend(['\'', it, '\'']),
                3 => out.extend(['"', it, '"']),
                _ => out.extend(['\'', '\'', it]),
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_bytes_stop_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        hostile::any_bytes(&bytes);
    }

    #[test]
    fn no_shell_like_text_stops_it(text in "[a-z \n;&|<>(){}$`'\"\\\\!~*?\\[\\]#=0-9./-]{0,80}") {
        hostile::any_bytes(text.as_bytes());
    }

    #[test]
    fn however_a_denied_name_is_quoted_it_is_denied(name in quoted(), before in prop::sample::select(vec!["", "ls; ", "true && ", "nice ", "(:; ", "env ", "time "])) {
        let after = if before.starts_with('(') { " ls)" } else { " ls" };
        prop_assert_eq!(decide(&format!("{before}{name}{after}")).outcome, Outcome::Deny);
    }

    #[test]
    fn two_lines_are_judged_no_laxer_than_each(a in 0..400usize, b in 0..400usize, joint in prop::sample::select(vec!["; ", " && ", " || ", "\n", " | "])) {
        let all: Vec<String> = [lines(include_str!("corpus/hostile.txt")), lines(include_str!("corpus/harmless.txt"))].concat();
        let (a, b) = (&all[a % all.len()], &all[b % all.len()]);
        prop_assume!(!a.contains("<<") && !b.contains("<<"));
        let both = decide(&format!("{a}{joint}{b}")).outcome;
        for each in [a, b] {
            prop_assert!(both >= decide(each).outcome.min(Outcome::Ask), "{:?} in {:?} {:?} {:?}", each, a, joint, b);
        }
    }
}

/// What costs most: long words, many words, many directories, many patterns.
#[test]
fn the_worst_lines_are_judged_soon() {
    let most = shell::LINE_BYTES_MAX - 64;
    for line in [
        format!("cat {}", "/.git/hook".repeat(most / 10)),
        format!("cat {}", "a=".repeat(most / 2)),
        format!("cat {}", "a*".repeat(most / 2)),
        format!("cat {}", "?* ".repeat(most / 3)),
        format!("cd a; cd b; cd c; cat {}", "a=b=c=/d ".repeat(most / 9)),
        format!("cd a; cd b; cd c; while true; do cat {}; done", "*/.git/* ".repeat(most / 9)),
        "ls;".repeat(most / 3),
        "$(".repeat(most / 2),
        "{ ".repeat(16) + &"}; ".repeat(16),
        "nice ".repeat(most / 5),
        format!("{}ls{}", "bash -c '".repeat(4), "'".repeat(4)),
    ] {
        let begun = std::time::Instant::now();
        let outcome = decide(&line).outcome;
        // Tests are built without optimization: about twenty times as long as it is.
        let (took, name) = (begun.elapsed(), line.chars().take(24).collect::<String>());
        assert!(took < std::time::Duration::from_secs(20), "{name}: {took:?}");
        println!("{name}: {outcome:?} {took:?}");
    }
}

/// What an approval is bound to: the same as long as nothing changed, another as soon as something did.
#[test]
fn a_target_is_another_when_what_it_is_about_has_changed() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().canonicalize().unwrap();
    for name in ["work", "other", "bin"] {
        std::fs::create_dir(own.join(name)).unwrap();
    }
    symlink(own.join("work"), own.join("here")).unwrap();
    let script = own.join("work/script.py");
    std::fs::write(&script, "print(1)").unwrap();
    let mut context = Context {
        cwd: own.join("here"),
        search: vec![own.join("bin"), "/usr/bin".into(), "/bin".into()],
        env: vec!["B".to_owned(), "A".to_owned()],
        ..example_context()
    };
    let action = Action::TerminalExec { command: "cat script.py | sort > out".to_owned() };
    let first = target(&action, &context);
    assert_eq!(first, target(&action, &context));
    assert!(first.complete && first.programs.values().all(|it| it.sha256.is_some()), "{first:?}");
    let cat = first.programs.keys().find(|it| it.ends_with("/cat")).unwrap();
    assert!(first.programs[cat].inode.is_some());
    assert!(first.files.values().any(|it| it.path.as_deref() == script.to_str()), "{first:?}");
    assert_eq!(first.env, ["A", "B"]);
    let mut last = first;
    let mut changed = |context: &Context, what: &str| {
        let now = target(&action, context);
        assert_ne!(now, last, "{what}");
        last = now;
    };
    // The same bytes again, written anew: the file was away in between.
    std::fs::write(&script, "print(1)").unwrap();
    changed(&context, "a file was written");
    std::fs::remove_file(own.join("here")).unwrap();
    symlink(own.join("other"), own.join("here")).unwrap();
    changed(&context, "the working directory was swapped");
    std::fs::write(own.join("bin/cat"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(own.join("bin/cat"), std::fs::Permissions::from_mode(0o755)).unwrap();
    changed(&context, "a program stands before the system's");
    context.env.push("LD_PRELOAD".to_owned());
    changed(&context, "another environment");
    let file = Action::FileWrite { path: "new".to_owned() };
    let before = target(&file, &context);
    assert!(before.files.values().all(|it| it.inode.is_none()) && !before.files.is_empty(), "{before:?}");
    std::fs::write(own.join("other/new"), "").unwrap();
    assert_ne!(before, target(&file, &context), "it has come to be");
}
