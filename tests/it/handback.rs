//! An agent loses control to a person and gets it back: its connection lives, and it is told what happened meanwhile.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, CreateTerminal, Created, Handback, LeaseAnswer, ServerFrame};
use baton_proto::ids::SessionId;
use baton_proto::v1::ClientKind;
use baton_tests::{Api, Attach, Baton, Incoming, Setup, StreamClient, process, scenario, session};
use http::Method;
use serde_json::{Value, json};

const AGENT: &str = "agent:fixer";
/// What ends the prompt of [`marking_bash`].
const PROMPTED: &str = "\x1b]133;B\x1b\\";

async fn agent(baton: &Baton) -> Api {
    let request = json!({"name": "fixer", "role": "agent", "agent_id": "fixer"});
    let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
    baton.nobody().with_token(made["token"].as_str().expect("the secret, this once"))
}

/// A bash that marks its prompts, its commands with their lines, and its directory.
fn marking_bash() -> CreateTerminal {
    let mut request = session::bash();
    let line = "$(HISTTIMEFORMAT= history 1 | sed 's/^ *[0-9]* *//; s/ /%20/g')";
    let env = [
        ("PS1", "\\[\\e]133;A\\e\\\\\\]$ \\[\\e]133;B\\e\\\\\\]".to_owned()),
        ("PS0", format!("\\e]133;C;cmdline_url={line}\\e\\\\")),
        ("PROMPT_COMMAND", "printf '\\033]133;D;%s\\033\\\\\\033]7;file://%s\\033\\\\' \"$?\" \"$PWD\"".to_owned()),
    ];
    request.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
    request
}

async fn attach(api: &Api, session: SessionId) -> StreamClient {
    let client = AGENT.parse().expect("an id");
    StreamClient::open(api, session, Attach::named("fixer").client(&client)).await.expect("it may watch its own")
}

async fn until_handback(agent: &mut StreamClient) -> Handback {
    agent
        .until("the report of what changed", |incoming| match incoming {
            Incoming::Frame(ServerFrame::Handback(handback)) => Some(Handback::clone(handback)),
            _ => None,
        })
        .await
}

/// The commands as they are told: line, exit code, begun before, still running.
fn told(handback: &Handback) -> Vec<(Option<&str>, Option<i32>, bool, bool)> {
    let told = |run: &'_ baton_proto::api::CommandRun| (run.exit_code, run.began_before, run.running);
    let line = |at: usize| handback.commands[at].command.as_deref();
    (0..handback.commands.len())
        .map(|at| {
            let (exit_code, before, running) = told(&handback.commands[at]);
            (line(at), exit_code, before, running)
        })
        .collect()
}

#[test]
fn a_person_takes_over_and_the_agent_is_told_what_changed() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let api = agent(baton).await;
        let made: Created = api.post("/v1/terminal/sessions", &marking_bash()).await;
        let session = made.session_id;
        let mut agent = attach(&api, session).await;
        agent.until_output("$ ").await;
        let own = agent.claim(false).await.unwrap();
        agent.input(b"sleep 1000\r", own.epoch, 1).await;
        agent.until_acked(1).await;
        agent.until_output("133;C;cmdline_url=sleep%201000\x1b\\").await;

        // A person takes it in the middle of the command, without force.
        let mut person = baton.attach(session, Attach::named("Pia")).await;
        let taken = person.claim(false).await.expect("a person needs no force");
        let lost_at = agent.offset;
        // The agent's next write is refused; its connection lives.
        agent.input(b"echo mine\r", own.epoch, 2).await;
        let refused = agent.until_error().await;
        assert_eq!((refused.code, refused.by.as_deref()), (ErrorCode::LeaseLost, Some("Pia")));
        let forced = agent.claim(true).await.expect_err("an agent never forces a person's");
        assert_eq!(forced.code, ErrorCode::LeaseHeld);
        person.until_output("cmdline_url=sleep").await;
        // The shell tells a command before it starts it; until then the key is the shell's.
        let sleeps =
            || process::with_environment(&baton.mark()).iter().any(|it| it.command_line().starts_with("sleep"));
        while !sleeps() {
            tokio::time::sleep(process::LOOK_EVERY).await;
        }
        person.type_text("\u{3}").await;
        person.until_output(PROMPTED).await;
        for line in ["cd /usr", "false", "echo done"] {
            person.type_text(&format!("{line}\r")).await;
            person.until_output(line).await;
            person.until_output(PROMPTED).await;
        }
        agent.until_output("done\r\n").await;

        person.send(ClientFrame::Transfer { to_client_id: agent.id.clone() }).await;
        let handback = until_handback(&mut agent).await;
        assert!(
            agent
                .frames
                .iter()
                .any(|frame| matches!(frame, ServerFrame::Lease { epoch, .. } if *epoch == handback.epoch))
        );
        assert_eq!(handback.epoch, taken.epoch.next());
        let expected = [
            (Some("sleep 1000"), Some(130), true, false),
            (Some("cd /usr"), Some(0), false, false),
            (Some("false"), Some(1), false, false),
            (Some("echo done"), Some(0), false, false),
        ];
        assert_eq!(told(&handback), expected);
        let cwd = handback.cwd.as_ref().expect("another directory");
        assert_eq!(cwd.after, "/usr");
        assert_ne!(cwd.before.as_deref(), Some("/usr"));
        let held: Vec<_> = handback.held_by.iter().map(|holder| (holder.name.as_str(), holder.kind)).collect();
        assert_eq!(held, [("Pia", Some(ClientKind::Cli))]);
        let (from, to) = (handback.from.unwrap(), handback.to.unwrap());
        assert!(from.offset <= lost_at && to.offset == agent.offset, "{from} {to}");
        assert!(!handback.restarted && handback.commands_left_out == 0 && handback.size.is_none());
        // It is the agent's again: what it types is typed, over the same connection.
        agent.input(b"echo mine again\r", handback.epoch, 3).await;
        agent.until_acked(3).await;
        agent.until_output("mine again\r\n").await;

        // The same by REST, and after the bridge was killed: for who claims what is its own already, and who comes back.
        let claim = format!("/v1/terminal/sessions/{session}/claim");
        let body = json!({"client_id": AGENT});
        let answer: LeaseAnswer = api.post(&claim, &body).await;
        assert_eq!(answer.handback.as_deref(), Some(&handback));
        baton.kill_bridge().await;
        let mut agent = attach(&api, session).await;
        assert_eq!(until_handback(&mut agent).await, handback);
        let answer: LeaseAnswer = api.post(&claim, &body).await;
        assert_eq!(answer.handback.as_deref(), Some(&handback));
        // A person is told nothing of the kind.
        let mut person = baton.attach(session, Attach::named("Pia")).await;
        person.claim(false).await.unwrap();
        let body = json!({"client_id": person.id});
        let answer: LeaseAnswer = baton.api().post(&claim, &body).await;
        assert_eq!(answer.handback, None);
    });
}

#[test]
fn what_nobody_else_had_is_not_reported() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let api = agent(baton).await;
        let made: Created = api.post("/v1/terminal/sessions", &marking_bash()).await;
        let verb = |verb: &str| format!("/v1/terminal/sessions/{}/{verb}", made.session_id);
        let body = json!({"client_id": AGENT});
        for _ in 0..2 {
            let answer: LeaseAnswer = api.post(&verb("claim"), &body).await;
            assert_eq!(answer.handback, None);
            let _: LeaseAnswer = api.post(&verb("release"), &body).await;
        }
        // A person has it between two bridges that are killed, and gives it up: it is still told to whom it comes back.
        let mut person = baton.attach(made.session_id, Attach::named("Pia")).await;
        let held = person.claim(false).await.unwrap();
        baton.kill_bridge().await;
        let mut person = baton.attach(made.session_id, Attach::named("Pia").client(&person.id)).await;
        person.send(ClientFrame::Release).await;
        person.until_epoch(held.epoch.next()).await;
        baton.kill_bridge().await;
        let answer: LeaseAnswer = api.post(&verb("claim"), &body).await;
        let handback = answer.handback.expect("somebody had it");
        assert_eq!(handback.held_by.len(), 1);
        assert_eq!((handback.commands, handback.cwd, handback.epoch), (vec![], None, answer.epoch));
        api.refused(Method::POST, &verb("claim"), &json!({"client_id": "agent:other"}), ErrorCode::ClientIdTaken).await;
    });
}
