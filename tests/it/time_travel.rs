//! Looking back in the page: the screen as it was while the shell runs on, search, recordings, and lines above a screen.

use std::time::Duration;

use baton_proto::api::{CreateTerminal, Link, SessionStatus};
use baton_proto::ids::SessionId;
use baton_tests::browser::Page;
use baton_tests::{Attach, Baton, Setup, StreamClient, scenario, session};
use serde_json::json;

/// WebDriver's names of keys.
const CTRL: char = '\u{e009}';
const SHIFT: char = '\u{e008}';
const RELEASE: char = '\u{e000}';
const ESCAPE: char = '\u{e00c}';
const HOME: char = '\u{e011}';
const END: char = '\u{e010}';
const PAGE_UP: char = '\u{e00e}';

/// The page, signed in, showing this session.
async fn open(baton: &Baton, session: SessionId) -> Page {
    let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login", "session_id": session})).await;
    let page = Page::open(&link.url).await;
    page.until_state("connection-state", "live").await;
    page.element("terminal").await;
    page
}

/// A shell and somebody who types into it.
async fn shell(baton: &Baton, title: &str) -> (SessionId, StreamClient) {
    let session = baton.create(&CreateTerminal { title: Some(title.to_owned()), ..session::bash() }).await;
    let mut typist = baton.attach(session, Attach::named("Otto").viewport(90, 28)).await;
    typist.claim(false).await.unwrap();
    // What is typed before it would be seen twice: as the terminal echoes it, and as the shell does.
    typist.until_output("$ ").await;
    (session, typist)
}

async fn said(page: &Page, what: &str) -> String {
    let value = page.run(&format!("return String(window.batonTest.{what}())")).await.expect("window.batonTest");
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until the page looks back in this way, or at nothing but the present: `live`.
async fn until_looking(page: &Page, wanted: &str) {
    until(page, "looking", wanted, |state| state == wanted).await;
}

async fn until_past(page: &Page, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    until(page, "past", what, wanted).await
}

async fn until(page: &Page, name: &str, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let text = said(page, name).await;
        if wanted(&text) {
            return text;
        }
        if tokio::time::Instant::now() > limit {
            let file = page.screenshot("failed").await;
            panic!("`{name}` does not become {what} ({}):\n{text}\n{}", file.display(), page.source().await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Gives the page this look, and waits until nothing moves any more.
async fn look(page: &Page, width: u32, height: u32, scheme: &str) {
    page.look(width, height, scheme).await;
    let moves = "return document.getAnimations().filter((one) => one.playState === 'running').length";
    while page.run(moves).await.unwrap() != json!(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn slide(page: &Page, to: u32) {
    let script = format!(
        "const slider = document.querySelector('[data-testid=history-slider]'); slider.value = {to}; \
         slider.dispatchEvent(new Event('input', {{bubbles: true}}));"
    );
    page.run(&script).await.unwrap();
}

/// Moves the slider from now towards the beginning until the past is as wanted.
async fn slide_back_to(page: &Page, what: &str, wanted: impl Fn(&str) -> bool) {
    for place in (0..1000).rev().step_by(15) {
        slide(page, place).await;
        until_looking(page, "shown").await;
        if wanted(&said(page, "past").await) {
            return;
        }
    }
    let file = page.screenshot("failed").await;
    panic!("no place of the slider shows {what} ({}): {}", file.display(), said(page, "past").await);
}

#[test]
fn one_looks_back_while_the_shell_runs_on() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "past").await;
        typist.type_text("echo first-$((1+1))\r").await;
        typist.until_output("first-2").await;
        typist.type_text("clear; echo second-$((2+2))\r").await;
        typist.until_output("second-4").await;
        let page = open(baton, session).await;
        let shows = |text: &'static str| move |rows: &[String]| rows.iter().any(|row| row == text);
        page.until_rows("the present", shows("second-4")).await;
        let size = baton.session(session).await.session.size;

        page.click("history-button").await;
        until_looking(&page, "shown").await;
        slide_back_to(&page, "the first line", |past| past.lines().any(|row| row == "first-2")).await;
        let banner = page.element("history-banner").await.text().await.unwrap();
        assert!(banner.contains("You look at") && banner.contains("the shell runs on"), "{banner}");

        // The present goes on underneath; the past stays.
        typist.type_text("echo third-$((3+3))\r").await;
        page.until_rows("what came meanwhile", shows("third-6")).await;
        let past = said(&page, "past").await;
        assert!(past.contains("first-2") && !past.contains("second-4") && !past.contains("third-6"), "{past}");

        // Whatever is typed goes nowhere, also after a click on the screen of the past.
        page.type_text("lost-keys").await;
        page.click("history-screen").await;
        page.type_text("lost-keys").await;
        for (width, height) in [(1280, 800), (390, 844)] {
            for scheme in ["dark", "light"] {
                look(&page, width, height, scheme).await;
                page.screenshot(&format!("history-{width}x{height}-{scheme}")).await;
                let overflow =
                    page.run("return document.documentElement.scrollWidth - window.innerWidth").await.unwrap();
                assert!(overflow.as_i64().is_some_and(|pixels| pixels <= 0), "{width}x{height}: {overflow}");
            }
        }
        page.look(1280, 800, "dark").await;

        // Back at once; the session's size is what it was.
        page.click("history-live").await;
        until_looking(&page, "live").await;
        let rows = page.until_rows("the present", shows("third-6")).await;
        assert!(!rows.iter().any(|row| row == "first-2"), "{rows:#?}");
        assert_eq!(baton.session(session).await.session.size, size, "looking back resizes nothing");
        typist.type_text("echo fourth-$((4+4))\r").await;
        typist.until_output("fourth-8").await;
        let output = String::from_utf8_lossy(&typist.output).into_owned();
        assert!(!output.contains("lost-keys"), "{output}");
        page.close().await;
    });
}

#[test]
fn who_has_control_types_nothing_into_the_present_and_keeps_its_size() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let page = open(baton, session).await;
        page.click("claim").await;
        page.until_state("lease-state", "mine").await;
        page.click("terminal").await;
        page.type_text("echo ready-$((1+1))\n").await;
        page.until_rows("the shell", |rows| rows.iter().any(|row| row == "ready-2")).await;
        let size = baton.session(session).await.session.size;
        // By the keyboard alone: back, to the beginning, to now, away.
        page.type_text(&format!("{CTRL}{SHIFT}h{RELEASE}")).await;
        until_past(&page, "the present", |past| past.contains("ready-2")).await;
        page.type_text(&HOME.to_string()).await;
        until_past(&page, "the beginning", |past| !past.contains("ready-2")).await;
        page.type_text("echo lost-keys\n").await;
        page.type_text(&END.to_string()).await;
        until_past(&page, "now", |past| past.contains("ready-2")).await;
        page.type_text(&ESCAPE.to_string()).await;
        until_looking(&page, "live").await;
        // The terminal has the keyboard again, once the page is drawn anew.
        let typing = "return document.activeElement.classList.contains('xterm-helper-textarea')";
        while page.run(typing).await.unwrap() != true {
            tokio::time::sleep(baton_tests::process::LOOK_EVERY).await;
        }
        page.type_text("echo back-$((2+2))\n").await;
        let rows = page.until_rows("what was typed", |rows| rows.iter().any(|row| row == "back-4")).await;
        assert!(!rows.iter().any(|row| row.contains("lost-keys")), "{rows:#?}");
        assert_eq!(baton.session(session).await.session.size, size);
        page.close().await;
    });
}

#[test]
fn a_search_finds_what_is_long_gone_from_the_screen_and_opens_it() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "search").await;
        typist.type_text("for i in $(seq 1 900); do echo row $i of many; done; echo é日-needle-$((40+2)); clear; echo over-$((1+1))\r").await;
        typist.until_output("over-2").await;
        let page = open(baton, session).await;
        page.until_rows("the present", |rows| rows.iter().any(|row| row == "over-2")).await;
        page.click("terminal").await;
        page.type_text(&format!("{CTRL}{SHIFT}f{RELEASE}")).await;
        page.element("search-field").await;
        page.type_text("needle-42").await;
        let hit = page.element("search-hit").await.text().await.unwrap();
        assert!(hit.contains("é日-needle-42") && hit.contains("row 900 of many"), "the hit has its context: {hit}");
        page.click("search-hit").await;
        until_past(&page, "the hit", |past| past.lines().any(|row| row == "é日-needle-42")).await;
        until(&page, "pastMarked", "the hit", |marked| marked == "needle-42").await;
        for (width, height) in [(1280, 800), (390, 844)] {
            for scheme in ["dark", "light"] {
                look(&page, width, height, scheme).await;
                page.screenshot(&format!("search-{width}x{height}-{scheme}")).await;
            }
        }
        page.look(1280, 800, "dark").await;
        // A regular expression; a broken one says what is wrong with it.
        page.element("search-field").await.clear().await.unwrap();
        page.element("search-field").await.send_keys("^row 1[23]7 of").await.unwrap();
        page.until_text("search-summary", |text| text.contains("Nothing found")).await;
        page.click("search-regex").await;
        page.until_text("search-summary", |text| text.starts_with("2 lines")).await;
        page.element("search-field").await.send_keys("(").await.unwrap();
        let error = page.element("search-error").await.text().await.unwrap();
        assert!(!error.is_empty(), "{error}");
        // Escape closes the panel, then the past.
        page.type_text(&ESCAPE.to_string()).await;
        page.click("history-screen").await;
        page.type_text(&ESCAPE.to_string()).await;
        until_looking(&page, "live").await;
        assert!(!page.has("search-panel").await);
        page.close().await;
    });
}

#[test]
fn a_recording_plays_up_to_now_and_an_ended_session_is_looked_back_at() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "played").await;
        for n in 1..=4 {
            typist.type_text(&format!("clear; echo step-{n}-$((1+1)); sleep 0.7\r")).await;
            typist.until_output(&format!("step-{n}-2")).await;
        }
        typist.type_text("echo last-$((1+1))\r").await;
        typist.until_output("last-2").await;
        let page = open(baton, session).await;
        page.until_rows("the present", |rows| rows.iter().any(|row| row == "last-2")).await;
        page.click("history-button").await;
        until_past(&page, "the present", |past| past.contains("last-2")).await;
        page.click("history-play").await;
        until_past(&page, "the first step", |past| past.contains("step-1-2") && !past.contains("step-4-2")).await;
        page.click("history-play").await;
        until_looking(&page, "shown").await;
        let paused = said(&page, "past").await;
        page.screenshot("history-paused").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(said(&page, "past").await, paused, "paused is paused");
        page.run(
            "const speed = document.querySelector('.past-speed select'); speed.value = '8'; \
             speed.dispatchEvent(new Event('change', {bubbles: true}))",
        )
        .await
        .unwrap();
        page.click("history-play").await;
        // It has caught up: the present again.
        until_looking(&page, "live").await;

        typist.type_text("exit 3\r").await;
        page.element("exit-banner").await;
        page.click("history-button").await;
        until_past(&page, "the end", |past| past.contains("exit 3")).await;
        let banner = page.element("history-banner").await.text().await.unwrap();
        assert!(banner.contains("has ended"), "{banner}");
        slide_back_to(&page, "the second step", |past| past.contains("step-2-2") && !past.contains("step-3-2")).await;
        page.click("history-play").await;
        until_past(&page, "the end", |past| past.contains("exit 3")).await;
        until_looking(&page, "shown").await;
        page.click("history-live").await;
        until_looking(&page, "live").await;
        assert!(matches!(baton.session(session).await.session.status, SessionStatus::Exited));
        page.close().await;
    });
}

#[test]
fn commands_are_ticks_on_the_slider() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "ticks").await;
        // As a shell with integration marks a command, and how it ended.
        typist
            .type_text(
                "printf '\\033]133;C;cmdline=make\\007'; echo building-$((1+1)); printf '\\033]133;D;2\\007'; sleep 0.2; clear; echo over-$((1+1))\r",
            )
            .await;
        typist.until_output("over-2").await;
        let page = open(baton, session).await;
        page.until_rows("the present", |rows| rows.iter().any(|row| row == "over-2")).await;
        page.click("history-button").await;
        let tick = page.css(".tick-failed").await.attr("title").await.unwrap().unwrap_or_default();
        assert!(tick.contains("make · exit 2"), "{tick}");
        page.type_text(&PAGE_UP.to_string()).await;
        let past = until_past(&page, "the command's end", |past| past.contains("building-2")).await;
        assert!(!past.contains("over-2"), "{past}");
        page.click("history-live").await;
        page.close().await;
    });
}

#[test]
fn lines_above_a_screen_come_when_somebody_looks_for_them() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "long").await;
        // More than is sent byte by byte to who attaches.
        let lines = |first: u32, last: u32, word: &str| {
            format!(
                "awk 'BEGIN {{ for (i = {first}; i <= {last}; i++) printf \"line %d %060d\\n\", i, i }}'; echo {word}-$((1+1))\r"
            )
        };
        typist.type_text(&lines(1, 6000, "over")).await;
        typist.until_output("over-2").await;
        let page = open(baton, session).await;
        page.until_rows("the present", |rows| rows.iter().any(|row| row == "over-2")).await;
        let before = page.number("lines").await;
        assert!(before < 200, "the page got a screen, not {before} lines");
        let wheel = json!({"type": "mouseWheel", "x": 700, "y": 400, "deltaX": 0, "deltaY": -400});
        while !page.has("load-earlier").await {
            page.web().cdp().send_raw("Input.dispatchMouseEvent", wheel.clone()).await.unwrap();
        }
        // The program writes on meanwhile: nothing is lost or doubled where the two join.
        typist.type_text(&lines(6001, 6100, "again")).await;
        page.click("load-earlier").await;
        typist.until_output("again-2").await;
        let expected: Vec<String> = (1..=6100).map(|n| format!("line {n} {n:060}")).collect();
        let all =
            until(&page, "allLines", "everything", |all| all.starts_with("$ awk") && all.contains("\nagain-2")).await;
        let lines: Vec<&str> = all.lines().filter(|line| line.starts_with("line ")).collect();
        assert_eq!(lines, expected, "each line once, in order");
        page.close().await;
    });
}

/// What the program reads when it asks its terminal these things.
async fn asked(baton: &Baton, page: &Page, queries: &str, turn: u32) -> String {
    let answers = baton.scratch().join(format!("answers-{turn}"));
    // Quiet and unedited, so that the answers reach the file and nothing else does; two silent seconds end it.
    let script = format!(
        "stty -echo -icanon min 0 time 20; printf '{queries}'; cat >{}; stty sane; clear; echo asked-{turn}-$((1+1))\n",
        answers.display()
    );
    page.type_text(&script).await;
    page.until_rows("the end", |rows| rows.iter().any(|row| *row == format!("asked-{turn}-2"))).await;
    String::from_utf8_lossy(&std::fs::read(answers).unwrap()).into_owned()
}

#[test]
fn a_query_is_answered_once_however_many_pages_watch() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let first = open(baton, session).await;
        let second = open(baton, session).await;
        first.click("claim").await;
        first.until_state("lease-state", "mine").await;
        second.until_state("lease-state", "held").await;
        first.click("terminal").await;
        let answers = asked(baton, &first, r"\033[c\033[6n\033]11;?\007\033[?u\033[>q\033[5n", 1).await;
        let count = |start: &str, end: char| {
            let ends = |answer: &&str| answer.starts_with(start) && answer.ends_with(end);
            answers.split('\u{1b}').filter(ends).count()
        };
        assert_eq!(count("[?", 'c'), 1, "DA1: {answers:?}");
        assert_eq!(count("[", 'R'), 1, "CPR: {answers:?}");
        assert_eq!(count("[0", 'n'), 1, "DSR: {answers:?}");
        assert_eq!(answers.matches("]11;").count(), 1, "OSC 11: {answers:?}");
        // The background is the first page's own, as it declared it; and when it looks different, as it looks then.
        assert!(answers.contains("]11;rgb:0d0d/1010/1414"), "{answers:?}");
        let epoch = first.number("epoch").await;
        first.look(1280, 800, "light").await;
        first.css("[data-shade=light]").await;
        first.until_state("connection-state", "live").await;
        let answers = asked(baton, &first, r"\033]11;?\007", 2).await;
        assert_eq!(answers.matches("]11;").count(), 1, "OSC 11: {answers:?}");
        assert!(answers.contains("]11;rgb:ffff/ffff/ffff"), "{answers:?}");
        assert_eq!(first.number("epoch").await, epoch, "control was kept");
        first.close().await;
        second.close().await;
    });
}

#[test]
fn a_page_that_falls_behind_a_flood_ends_with_its_screen() {
    scenario(Duration::from_secs(150), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton, "flood").await;
        let page = open(baton, session).await;
        page.until_rows("the prompt", |rows| rows[0].starts_with('$')).await;
        let last = 3_000_000;
        typist.type_text(&format!("seq 1 {last}; echo flooded-$((1+1))\r")).await;
        let limit = tokio::time::Instant::now() + Duration::from_secs(90);
        let rows = loop {
            let rows = page.rows().await;
            if rows.iter().any(|row| row == "flooded-2") {
                break rows;
            }
            assert!(tokio::time::Instant::now() < limit, "the flood does not end: {rows:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let end = rows.iter().position(|row| row == "flooded-2").unwrap();
        let expected: Vec<String> = (last + 1 - end..=last).map(|n| n.to_string()).collect();
        assert_eq!(rows[..end], expected, "the last screenful is exact");
        page.until_state("connection-state", "live").await;
        // It goes on from there, byte by byte.
        typist.type_text("echo after-$((2+2))\r").await;
        page.until_rows("what came after", |rows| rows.iter().any(|row| row == "after-4")).await;
        page.close().await;
    });
}
