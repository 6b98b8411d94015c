//! Programs ask their terminal questions. However many clients are attached, each gets one answer, from the worker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::api::{Link, SessionDetail};
use baton_proto::ids::SessionId;
use baton_tests::browser::Page;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Setup, scenario};
use serde_json::json;

/// What the user's own terminal answers when the command line asks what it is like.
const OWN_ANSWERS: &str =
    "\x1b]10;rgb:dddd/eeee/ffff\x1b\\\x1b]11;rgb:1111/2222/3333\x1b\\\x1b[?0u\x1b[6;20;9t\x1b[?62;4;22c";

/// A session that asks DA1, CPR, OSC 11 and the keyboard flags each time `go` appears, and keeps for three seconds what it is
/// answered in files beside it: long enough for an answer that comes twice.
async fn asker(baton: &Baton) -> (SessionId, PathBuf) {
    let directory = baton.scratch().to_owned();
    let at = directory.display();
    let script = format!(
        "stty raw -echo; for n in 1 2 3; do while [ ! -e {at}/go$n ]; do sleep 0.05; done; \
         printf 'asking\\033[c\\033[6n\\033]11;?\\033\\\\\\033[?u'; \
         timeout --foreground 3 cat > {at}/answers$n; mv {at}/answers$n {at}/answered$n; done"
    );
    (baton.script(&script).await, directory)
}

/// Lets it ask; what it was answered.
async fn answers(directory: &Path, number: u32) -> String {
    std::fs::write(directory.join(format!("go{number}")), "").unwrap();
    let answered = directory.join(format!("answered{number}"));
    while !answered.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    String::from_utf8(std::fs::read(answered).unwrap()).unwrap()
}

/// One answer to each question of this round, in their order, and not a byte more. Returns the background that was answered.
fn one_answer_each(answers: &str, round: usize) -> String {
    let parts: Vec<&str> = answers.split('\x1b').collect();
    let [before, attributes, cursor, colour, end, keyboard] = parts[..] else {
        panic!("not one answer each: {:?}", answers.escape_debug().to_string())
    };
    assert_eq!((before, end), ("", "\\"));
    assert!(attributes.starts_with("[?") && attributes.ends_with('c'), "{attributes:?}");
    assert_eq!(cursor, format!("[1;{}R", 1 + round * "asking".len()), "behind what it wrote");
    assert_eq!(keyboard, "[?0u");
    colour.strip_prefix("]11;rgb:").unwrap_or_else(|| panic!("{colour:?}")).to_owned()
}

async fn clients(baton: &Baton, session: SessionId, count: u32) {
    let attached = |detail: &SessionDetail| detail.session.client_count == count;
    let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), attached).await;
}

/// The page, showing this session.
async fn page(baton: &Baton, session: SessionId) -> Page {
    let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login", "session_id": session})).await;
    let page = Page::open(&link.url).await;
    page.until_state("connection-state", "live").await;
    page
}

#[test]
fn with_two_pages_and_a_command_line_attached_there_is_one_answer_each() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (session, directory) = asker(baton).await;
        let mut desk = Terminal::baton(baton, &["attach", &session.to_string()], (80, 24));
        desk.until("\x1b[c").await;
        desk.type_text(OWN_ANSWERS);
        let owned = |detail: &SessionDetail| detail.session.lease.is_some();
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), owned).await;
        let pages = [page(baton, session).await, page(baton, session).await];
        clients(baton, session, 3).await;
        let colour = one_answer_each(&answers(&directory, 1).await, 1);
        assert_eq!(colour, "1111/2222/3333", "as the terminal that has control is");
        // They saw the program ask, and their terminals did not.
        let shown = desk.until("asking").await;
        for page in &pages {
            page.until_rows("the text", |rows| rows.iter().any(|row| row.starts_with("asking"))).await;
        }
        let after = desk.text();
        let after = &after[after.find("asking").unwrap()..];
        for question in ["\x1b[c", "\x1b[6n", "\x1b]11;?", "\x1b[?u"] {
            assert!(!after.contains(question) && !shown.contains(question), "{question:?} reached the terminal");
        }
        // What a terminal says all the same is nobody's.
        desk.type_text("\x1b[?62c\x1b[5;5R\x1b]11;rgb:0/0/0\x07\x1b[?7u");
        // Mouse and focus are what a person does.
        desk.type_text("\x1b[I");
        let second = answers(&directory, 2).await;
        let rest = second.strip_prefix("\x1b[I").unwrap_or_else(|| panic!("{:?}", second.escape_debug().to_string()));
        assert_eq!(one_answer_each(rest, 2), colour);
        for page in pages {
            page.close().await;
        }
    });
}

#[test]
fn a_page_that_changes_its_colours_says_so_and_stays_connected() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        // Asks for the background again and again; the answer has 25 bytes, and loses what makes it one.
        let script =
            "stty raw -echo; while :; do printf '\\033]11;?\\033\\\\'; head -c 25 | tr -d '\\033'; sleep 0.1; done";
        let session = baton.script(script).await;
        let mut witness = baton.attach(session, Attach::named("witness")).await;
        let page = page(baton, session).await;
        page.click("claim").await;
        page.until_state("lease-state", "mine").await;
        witness.until_output("]11;rgb:0d0d/1010/1414").await;
        let attached = async || {
            let clients = baton.session(session).await.clients;
            clients.into_iter().map(|client| (client.client_id, client.attached_at)).collect::<Vec<_>>()
        };
        let before = attached().await;
        page.look(1280, 800, "light").await;
        witness.until_output("]11;rgb:ffff/ffff/ffff").await;
        assert_eq!(attached().await, before);
        page.close().await;
    });
}

#[test]
fn with_nobody_attached_there_is_one_answer_each() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (session, directory) = asker(baton).await;
        clients(baton, session, 0).await;
        let colour = one_answer_each(&answers(&directory, 1).await, 1);
        // Who comes later, and is shown what was asked, brings no second one.
        let mut late = baton.attach(session, Attach::named("late")).await;
        late.until_output("\x1b[?u").await;
        let mut desk = Terminal::baton(baton, &["attach", "-r", &session.to_string()], (80, 24));
        desk.until("asking").await;
        desk.type_text("\x1c");
        desk.exit_code().await;
        late.drop_socket();
        clients(baton, session, 0).await;
        assert_eq!(one_answer_each(&answers(&directory, 2).await, 2), colour);
    });
}

#[test]
fn what_is_a_question_for_the_worker_is_kept_from_the_terminal_and_nothing_else_is() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let questions = [
            "\\033[>c",
            "\\033[=c",
            "\\033[5n",
            "\\033[?6n",
            "\\033[?2026$p",
            "\\033[4$p",
            "\\033]4;1;?\\007",
            "\\033]10;?\\033\\\\",
            "\\033]12;?\\007",
            "\\033[>q",
            "\\033P$qm\\033\\\\",
            "\\033P+q544e\\033\\\\",
            "\\033[14t",
            "\\033[16t",
            "\\033[18t",
            "\\033]52;c;?\\007",
            "\\033[?4m",
            "\\033[x",
        ];
        let orders = [
            "\\033[22;0t",
            "\\033[>4;1m",
            "\\033]4;1;#112233\\007",
            "\\033[1 q",
            "\\033]8;;http://x/\\007",
            "\\033[?7h",
        ];
        let printed = |all: &[&str]| all.iter().map(|it| format!("{it}.")).collect::<String>();
        let script = format!(
            "stty raw -echo; printf 'begin'; read x; printf '{}{}end'; sleep 1000",
            printed(&questions),
            printed(&orders)
        );
        let session = baton.script(&script).await;
        let mut desk = Terminal::baton(baton, &["attach", &session.to_string()], (80, 24));
        desk.until("\x1b[c").await;
        desk.type_text(OWN_ANSWERS);
        desk.until("begin").await;
        desk.type_text("\n");
        let shown = desk.until("end").await;
        let plain = |text: &str| text.replace("\\033", "\x1b").replace("\\007", "\x07").replace("\\\\", "\\");
        let expected = format!("{}{}", ".".repeat(questions.len()), plain(&printed(&orders)));
        assert!(shown.ends_with(&expected), "{:?} instead of {:?}", shown.escape_debug().to_string(), expected);
    });
}
