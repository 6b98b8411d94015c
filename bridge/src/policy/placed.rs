//! Names that a line itself puts a link under, or something that may hold one. Where they lead was not to be seen when the line was
//! looked at, so what the line then does there is not understood.

use super::effect::{Effect, normal};
use super::glob::Glob;
use super::resolve::{Kind, Resolve};

/// Options of `cp` with which links stay links.
const KEEPS_LINKS: [char; 5] = ['a', 'd', 'P', 'r', 'R'];

/// The absolute names that a call makes and that may lead elsewhere; `None` where they can't be told.
pub(super) fn made(call: &Effect, cwds: &[String], resolve: &dyn Resolve) -> Option<Vec<String>> {
    let is = |name: &str| call.names.iter().any(|it| it == name);
    let (links, moves, copies) = (is("ln"), is("mv"), is("cp"));
    if !links && !moves && !copies {
        return Some(Vec::new());
    }
    let (mut words, mut keeps, mut options) = (Vec::new(), false, true);
    for arg in &call.args {
        match arg.text() {
            Some(text) if options && text == "--" => options = false,
            Some(text) if options && text.len() > 1 && text.starts_with('-') => {
                let long = text.starts_with("--");
                keeps |= if long { text != "--force" } else { text.contains(KEEPS_LINKS) };
                if text.starts_with("-t") || text.starts_with("--t") {
                    return None;
                }
            }
            text => words.push(text),
        }
    }
    if copies && !links && !moves && !keeps {
        return Some(Vec::new());
    }
    let mut all = Vec::new();
    for cwd in cwds {
        let at = |word: &str| normal(&format!("{}/{word}", if word.starts_with('/') { "" } else { cwd }));
        let name = |word: &str| word.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let (sources, into) = match words.as_slice() {
            [] => continue,
            [one] => (std::slice::from_ref(one), cwd.clone()),
            [sources @ .., last] => (sources, at(last.as_ref()?)),
        };
        // A file stays what it is wherever it goes; one that is not there yet is made by the line, and no link unless `ln` does.
        let leads = |word: &String| links || matches!(resolve.kind(&at(word)), Some(Kind::Directory | Kind::Other));
        if sources.iter().flatten().count() == sources.len() && !sources.iter().flatten().any(leads) {
            continue;
        }
        if words.len() == 1 || resolve.kind(&into) == Some(Kind::Directory) {
            all.extend(sources.iter().map(|it| it.as_ref().map_or_else(|| into.clone(), |it| at_in(&into, &name(it)))));
        }
        if words.len() > 1 {
            // A directory that is there may not be one any more by then.
            let whole = resolve.kind(&into) != Some(Kind::Directory);
            all.extend(whole.then_some(into));
        }
    }
    Some(all)
}

fn at_in(directory: &str, name: &str) -> String {
    normal(&format!("{directory}/{name}"))
}

/// Whether a path is one of these names, or leads through it.
pub(super) fn is_there(path: &Glob, made: &[String]) -> bool {
    let (head, rest) = path.split();
    let through =
        |name: &String| head.strip_prefix(name.as_str()).is_some_and(|it| it.is_empty() || it.starts_with('/'));
    // What is not known to the end may become one of them.
    made.iter().any(|name| through(name) || (rest != Glob::default() && name.starts_with(&head)))
}

#[cfg(test)]
mod tests {
    use super::super::resolve::ByFiles;
    use super::super::{Action, Context, Grant, Outcome, Policy, Principal, PrincipalKind, judge_with};

    #[test]
    fn a_link_to_what_is_not_there_leads_there() {
        use super::super::resolve::Resolve as _;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("deep")).unwrap();
        for (link, to) in [("a", "deep/../deep/b"), ("deep/b", "../c"), ("round", "round"), ("up", "missing/d")] {
            std::os::unix::fs::symlink(to, root.join(link)).unwrap();
        }
        let real = |path: &str| ByFiles.real(root.join(path).to_str().unwrap());
        let at = |path: &str| Some(root.join(path).to_str().unwrap().to_owned());
        assert_eq!(real("a"), at("c"));
        assert_eq!(real("a/x/y"), at("c/x/y"));
        assert_eq!(real("up/x"), at("missing/d/x"));
        assert_eq!(real("deep/none"), at("deep/none"));
        assert_eq!(real("deep"), at("deep"));
        assert_eq!(real("round"), None);
    }

    #[test]
    fn a_name_that_a_line_makes_is_asked_about_when_it_may_lead_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for directory in ["deep", "plain"] {
            std::fs::create_dir(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("../plain", root.join("deep/link")).unwrap();
        let context = Context {
            workspace: None,
            cwd: root.clone(),
            home: "/home/nobody".into(),
            persons_home: None,
            search: vec!["/usr/bin".into(), "/bin".into()],
            env: Vec::new(),
            sandboxed: true,
            grants: vec![Grant { root, write: true }],
        };
        let policy = Policy::shipped().unwrap();
        let agent = Principal { kind: PrincipalKind::Agent, name: "a".to_owned() };
        for (line, outcome) in [
            ("ln -s plain x", Outcome::Allow),
            ("ln -s plain x; touch y", Outcome::Allow),
            ("ln -s plain x; touch x/y", Outcome::Ask),
            ("ln -s plain deep; touch deep/y", Outcome::Allow),
            ("ln -s plain deep; touch deep/plain/y", Outcome::Ask),
            ("ln -s plain; ls plain", Outcome::Ask),
            ("ln -s plain x && cd x && touch y", Outcome::Ask),
            ("ln -s plain x; touch x*", Outcome::Ask),
            ("mv deep/link x; touch x/y", Outcome::Ask),
            ("mv deep x; touch x/y", Outcome::Ask),
            ("mv file x; touch x", Outcome::Allow),
            ("mv file deep; touch deep/file", Outcome::Allow),
            ("cp -r deep x; touch x/y", Outcome::Ask),
            ("cp -a deep/link x; touch x", Outcome::Ask),
            ("cp deep/link x; touch x", Outcome::Allow),
            ("echo > x.new && mv x.new x && cat x", Outcome::Allow),
        ] {
            let action = Action::TerminalExec { command: line.to_owned() };
            let judged = judge_with(&policy, &agent, &action, &context, &ByFiles);
            assert_eq!(judged.outcome, outcome, "{line}: {judged:?}");
        }
    }
}
