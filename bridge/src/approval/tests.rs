use std::collections::BTreeSet;

use super::gated::{Gated, Input, Judged, TABLE};
use crate::policy::ActionKind;

#[test]
fn every_route_and_frame_is_judged_or_says_why_not() {
    let document: serde_json::Value = serde_json::from_str(&crate::routes::openapi().unwrap()).unwrap();
    let mut there = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            there.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let frames = document["components"]["schemas"]["ClientFrame"]["oneOf"].as_array().unwrap();
    for frame in frames {
        let word = &frame["properties"]["type"]["enum"][0];
        there.insert(format!("frame {}", word.as_str().unwrap()));
    }
    let known: BTreeSet<String> = TABLE.iter().map(|(what, _)| (*what).to_owned()).collect();
    let new: Vec<_> = there.difference(&known).collect();
    assert!(new.is_empty(), "not in `approval::gated::TABLE`: {new:?}");
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(gone.is_empty(), "in `approval::gated::TABLE`, and no longer there: {gone:?}");
    assert_eq!(known.len(), TABLE.len(), "each once");
    for kind in [
        ActionKind::TerminalExec,
        ActionKind::TerminalInput,
        ActionKind::ProcessSpawn,
        ActionKind::SessionUnsandboxed,
        ActionKind::LeaseTake,
    ] {
        let judges = |judged: &Judged| match *judged {
            Judged::As(one) => one == kind,
            Judged::AsEither(one, other) => one == kind || other == kind,
            Judged::Not(_) => false,
        };
        assert!(TABLE.iter().any(|(_, judged)| judges(judged)), "{kind:?} is judged somewhere");
    }
}

#[test]
fn what_is_asked_for_comes_back_as_it_was() {
    let session = "ses_00000000000000000000000000000007".parse().unwrap();
    let client = "agent:fixer".parse().unwrap();
    let bytes = b"rm -rf x\r\x1b[2J\xff";
    let typed = Gated::Input(Input::new(session, client, bytes));
    let payload = typed.payload();
    assert_eq!(payload["shown"], "rm -rf x\\r\\u{1b}[2J\\xff");
    let Gated::Input(back) = Gated::of("terminal.input", payload.clone()).unwrap() else { panic!() };
    assert_eq!(back.bytes().unwrap(), bytes);
    // An edit says what is typed, never where; and what is shown of it is made of what would be typed.
    let mut elsewhere = payload.clone();
    elsewhere["session_id"] = "ses_00000000000000000000000000000008".into();
    assert!(typed.edited("terminal.input", elsewhere).is_err());
    assert!(typed.edited("terminal.exec", payload.clone()).is_err());
    let mut lies = payload;
    lies["shown"] = "ls".into();
    assert_eq!(typed.edited("terminal.input", lies).unwrap().payload()["shown"], "rm -rf x\\r\\u{1b}[2J\\xff");
}
