//! The page in Debian's Chromium: programs look right in it, and control goes back and forth.

use std::time::Duration;

use baton_proto::api::{ClientFrame, CreateTerminal, Link, SessionDetail, Settings};
use baton_proto::ids::SessionId;
use baton_tests::browser::Page;
use baton_tests::{Attach, Baton, Setup, scenario, session};
use http::Method;
use serde_json::json;

/// The page, signed in by a link as `baton open` makes it, showing this session.
async fn open(baton: &Baton, session: SessionId) -> Page {
    let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login", "session_id": session})).await;
    let page = Page::open(&link.url).await;
    page.until_state("connection-state", "live").await;
    page.element("terminal").await;
    page
}

/// Takes control in the page and gives its terminal the focus.
async fn take(page: &Page) {
    page.click("claim").await;
    page.until_state("lease-state", "mine").await;
    page.click("terminal").await;
}

fn file_with_lines(baton: &Baton, name: &str, lines: usize) -> String {
    let path = baton.scratch().join(name);
    let text: String = (1..=lines).map(|line| format!("this is line {line} of {lines}\n")).collect();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until the session has the page's size, whichever of the two changes last.
async fn sized(baton: &Baton, page: &Page, session: SessionId) -> (usize, usize) {
    loop {
        let size = (page.number("cols").await, page.number("rows").await);
        let detail = baton.session(session).await.session;
        if (u64::from(detail.size.cols), u64::from(detail.size.rows)) == size {
            return (usize::try_from(size.0).unwrap(), usize::try_from(size.1).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn vim_less_htop_and_tmux_look_right_in_the_page() {
    scenario(Duration::from_secs(150), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("programs".to_owned()), ..session::bash() }).await;
        let page = open(baton, session).await;
        take(&page).await;
        page.until_rows("the prompt", |rows| rows[0].starts_with('$')).await;
        let (_, height) = sized(baton, &page, session).await;

        // vim: the file, then a tilde a row, then its own line; what is typed stands where it was typed.
        let file = file_with_lines(baton, "poem", 5);
        page.type_text(&format!("vim -u NONE -N -i NONE {file}\n")).await;
        let rows = page
            .until_rows("vim", |rows| {
                rows.len() == height && rows[0] == "this is line 1 of 5" && rows[height - 2] == "~"
            })
            .await;
        for (at, row) in rows[..height - 1].iter().enumerate() {
            let expected = if at < 5 { format!("this is line {} of 5", at + 1) } else { "~".to_owned() };
            assert_eq!(*row, expected, "row {at} of vim");
        }
        page.type_text("ihello ").await;
        page.until_rows("what was typed", |rows| {
            rows[0] == "hello this is line 1 of 5" && rows[height - 1].contains("-- INSERT --")
        })
        .await;
        page.screenshot("vim").await;
        page.type_text("\u{e00c}:q!\n").await;
        page.until_rows("the prompt after vim", |rows| !rows.iter().any(|row| row == "~")).await;

        // less: a screenful, its prompt; forward by a page, to the end, back to the start.
        let file = file_with_lines(baton, "novel", 300);
        page.type_text(&format!("clear; less {file}\n")).await;
        page.until_rows("less", |rows| {
            rows[..height - 1].iter().enumerate().all(|(at, row)| *row == format!("this is line {} of 300", at + 1))
                && rows[height - 1].contains("novel")
        })
        .await;
        page.type_text(" ").await;
        page.until_rows("the next page", |rows| {
            rows[0] == format!("this is line {height} of 300") && rows[height - 1] == ":"
        })
        .await;
        page.screenshot("less").await;
        page.type_text("G").await;
        page.until_rows("the end", |rows| {
            rows[height - 2] == "this is line 300 of 300" && rows[height - 1].contains("(END)")
        })
        .await;
        page.type_text("q").await;
        page.until_rows("the prompt after less", |rows| !rows.iter().any(|row| row.contains("(END)"))).await;

        // htop: its meters, the header, the keys on the last row, and itself among the processes.
        page.type_text("clear; htop\n").await;
        let rows = page
            .until_rows("htop", |rows| {
                rows.iter().any(|row| row.contains("PID") && row.contains("USER") && row.contains("Command"))
                    && rows[height - 1].starts_with("F1Help")
                    && rows[height - 1].contains("F10Quit")
            })
            .await;
        assert!(rows.iter().any(|row| row.contains("Load average")), "{rows:#?}");
        assert!(rows.iter().any(|row| row.contains("Mem[")), "{rows:#?}");
        page.screenshot("htop").await;
        page.type_text("q").await;
        page.until_rows("the prompt after htop", |rows| !rows[height - 1].contains("F10Quit")).await;

        // tmux: its status line on the last row, two panes with a line between, each with its own text.
        page.type_text(&format!(
            "clear; TMUX= tmux -f /dev/null -S {}/tmux new -s inside 'PS1=\"% \" bash --norc --noprofile'\n",
            baton.mark()
        ))
        .await;
        page.until_rows("tmux", |rows| rows[height - 1].starts_with("[inside]") && rows[0].starts_with('%')).await;
        page.type_text("echo left\n").await;
        page.until_rows("a line in tmux", |rows| rows[1] == "left").await;
        // One by one: keys that come at once are a paste to tmux, and a paste has no prefix key.
        page.type_text("\u{e009}b\u{e000}").await;
        page.type_text("%").await;
        page.until_rows("two panes", |rows| rows[..height - 1].iter().all(|row| row.contains('│'))).await;
        page.screenshot("tmux").await;
        page.type_text(&format!("tmux -S {}/tmux kill-server\n", baton.mark())).await;
        page.until_rows("the prompt after tmux", |rows| !rows[height - 1].starts_with("[inside]")).await;
        page.type_text("clear; echo back-$((1+1))\n").await;
        page.until_rows("the shell", |rows| rows.iter().any(|row| row == "back-2")).await;
        page.close().await;
    });
}

#[test]
fn control_goes_between_the_page_and_others() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("shared".to_owned()), ..session::bash() }).await;
        let page = open(baton, session).await;
        let mut other = baton.attach(session, Attach::named("Otto").viewport(90, 28)).await;
        page.until_state("lease-state", "free").await;
        // A key typed claims what is free, and is itself typed.
        page.click("terminal").await;
        page.type_text("echo page-$((1+1))\n").await;
        page.until_state("lease-state", "mine").await;
        other.until_output("page-2").await;
        page.until_rows("what was typed", |rows| rows.iter().any(|row| row == "page-2")).await;
        // Taken by force: the page says who has it, and what is typed there goes nowhere.
        other.claim(true).await.unwrap();
        page.until_state("lease-state", "held").await;
        let state = page.element("lease-state").await.text().await.unwrap();
        assert!(state.contains("Otto"), "the page says who has control: {state}");
        page.click("terminal").await;
        page.type_text("lost-keys").await;
        // Whoever lost control is told there, and what it cost.
        page.until_text("taken-banner", |text| text.contains("Otto") && text.contains("9 bytes")).await;
        other.type_text("echo other-$((2+2))\r").await;
        other.until_output("other-4").await;
        page.until_rows("what the other typed", |rows| rows.iter().any(|row| row == "other-4")).await;
        // Asked for, given; released, claimed.
        page.click("ask-control").await;
        other
            .until("control_requested", |incoming| match incoming {
                baton_tests::Incoming::Frame(baton_proto::api::ServerFrame::ControlRequested { client_id, .. }) => {
                    Some(client_id.clone())
                }
                _ => None,
            })
            .await;
        other.send(ClientFrame::Release).await;
        page.until_state("lease-state", "mine").await;
        page.click("release").await;
        page.until_state("lease-state", "free").await;
        other.claim(false).await.unwrap();
        page.until_state("lease-state", "held").await;
        // Taken back after a question.
        page.click("take-control").await;
        page.click("confirm").await;
        page.until_state("lease-state", "mine").await;
        page.click("terminal").await;
        page.type_text("echo again-$((3+3))\n").await;
        other.until_output("again-6").await;
        assert!(!String::from_utf8_lossy(&other.output).contains("lost-keys"), "an observer's keys are not typed");
        page.close().await;
    });
}

#[test]
fn the_page_comes_back_after_a_killed_bridge_with_the_exact_screen() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("kept".to_owned()), ..session::bash() }).await;
        let page = open(baton, session).await;
        take(&page).await;
        page.type_text("clear; for i in 1 2 3 4 5; do echo row $i; done\n").await;
        page.until_rows("the rows", |rows| rows.iter().any(|row| row == "row 5")).await;
        baton.kill_bridge().await;
        page.until_state("connection-state", "live").await;
        page.until_state("lease-state", "mine").await;
        page.click("terminal").await;
        page.type_text("for i in 6 7; do echo row $i; done\n").await;
        let rows = page.until_rows("what came after", |rows| rows.iter().any(|row| row == "row 7")).await;
        let shown: Vec<&String> = rows.iter().filter(|row| row.starts_with("row ")).collect();
        assert_eq!(shown, ["row 1", "row 2", "row 3", "row 4", "row 5", "row 6", "row 7"], "each row once: {rows:#?}");
        // While output flows, too: everything is there afterwards, once.
        page.type_text("clear; for i in $(seq 1 400); do echo n$i; sleep 0.01; done; echo flowed-$((1+1))\n").await;
        page.until_rows("the flow", |rows| rows.iter().any(|row| row.starts_with("n2"))).await;
        baton.kill_bridge().await;
        page.until_state("connection-state", "live").await;
        let rows = page.until_rows("the end of the flow", |rows| rows.iter().any(|row| row == "flowed-2")).await;
        let end = rows.iter().position(|row| row == "flowed-2").unwrap();
        let tail: Vec<String> = rows[..end].to_vec();
        let expected: Vec<String> = (401 - tail.len()..=400).map(|n| format!("n{n}")).collect();
        assert_eq!(tail, expected, "the last screenful is exact");
        // The program ends: the page says so and how.
        page.type_text("exit 7\n").await;
        let banner = page.element("exit-banner").await.text().await.unwrap();
        assert!(banner.contains('7'), "{banner}");
        page.close().await;
    });
}

#[test]
fn the_page_in_four_looks() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        for name in ["deploy", "notes"] {
            baton.create(&CreateTerminal { title: Some(name.to_owned()), ..session::bash() }).await;
        }
        let session = baton.create(&CreateTerminal { title: Some("build".to_owned()), ..session::bash() }).await;
        let page = open(baton, session).await;
        take(&page).await;
        page.type_text("ls --color=always /; echo ready-$((1+1))\n").await;
        page.until_rows("the listing", |rows| rows.iter().any(|row| row == "ready-2")).await;
        let mut wide = None;
        for (width, height) in [(1280, 800), (375, 812)] {
            for scheme in ["dark", "light"] {
                page.look(width, height, scheme).await;
                // On the small screen it has fewer columns, as soon as the page has noticed.
                while width == 375 && wide == Some(page.number("cols").await) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let (cols, _) = sized(baton, &page, session).await;
                wide.get_or_insert(cols as u64);
                page.until_rows("the listing still", |rows| rows.iter().any(|row| row.contains("ready-2"))).await;
                page.screenshot(&format!("page-{width}x{height}-{scheme}")).await;
                // Nothing sticks out sideways.
                let overflow =
                    page.run("return document.documentElement.scrollWidth - window.innerWidth").await.unwrap();
                assert!(
                    overflow.as_i64().is_some_and(|pixels| pixels <= 0),
                    "{width}x{height}: {overflow} pixels too wide"
                );
            }
        }
        page.close().await;
    });
}

#[test]
fn a_session_that_is_forgotten_elsewhere_leaves_the_list_at_once() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let create = async |title: &str| {
            baton.create(&CreateTerminal { title: Some(title.to_owned()), ..session::bash() }).await
        };
        let (watched, first, second) = (create("watched").await, create("first").await, create("second").await);
        let page = open(baton, watched).await;
        let listed = |title: &'static str| move |text: &str| text.contains(title);
        for title in ["watched", "first", "second"] {
            page.until_text("session-list", listed(title)).await;
        }
        let api = baton.api();
        for (session, title) in [(first, "first"), (second, "second")] {
            // Events of the same second come first: the row is being read, or was just now.
            api.post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({})).await;
            let path = format!("/v1/sessions/{session}");
            let _: SessionDetail =
                api.get_until(&path, |detail: &SessionDetail| !detail.session.status.is_living()).await;
            let answer = api.call::<()>(Method::DELETE, &path, None).await;
            assert_eq!(answer.status, 204, "{answer}");
            // The whole list is read every 30 s: this is the event's doing.
            let gone = page.until_text("session-list", |text| !text.contains(title));
            tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it leaves the list at once");
        }
        let text = page.until_text("session-list", listed("watched")).await;
        assert!(!text.contains("first") && !text.contains("second"), "{text}");
        page.close().await;
    });
}

#[test]
fn one_can_sign_in_by_token_and_start_a_session_in_the_page() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let page = Page::open(&baton.url).await;
        page.element("login-token").await.send_keys("wrong-token").await.unwrap();
        page.click("login-submit").await;
        page.css("[role=alert]").await;
        page.element("login-token").await.clear().await.unwrap();
        page.element("login-token").await.send_keys(&baton.token).await.unwrap();
        page.screenshot("login").await;
        page.click("login-submit").await;
        page.element("session-list").await;
        page.screenshot("empty").await;
        page.click("new-session").await;
        page.element("session-item").await;
        page.until_state("connection-state", "live").await;
        page.click("terminal").await;
        page.type_text("echo made-$((1+1))-here\n").await;
        page.until_state("lease-state", "mine").await;
        page.until_rows("the new shell", |rows| rows.iter().any(|row| row == "made-2-here")).await;
        // Nothing secret is left in the address or in what scripts of other ports could read.
        let address = page.web().current_url().await.unwrap();
        assert!(!address.as_str().contains("code=") && !address.as_str().contains(&baton.token), "{address}");
        let cookie = page.run("return document.cookie").await.unwrap();
        assert_eq!(cookie.as_str(), Some(""), "scripts do not see the cookie");
        page.close().await;
    });
}

#[test]
fn the_debug_overlay_follows_the_setting_and_changes_nothing() {
    scenario(Duration::from_secs(150), Setup::plain(), async |baton: &Baton| {
        // What a colour on a ground is to the eye: WCAG 2.2, contrast ratio.
        const LOOK: &str = r#"
            const light = (colour) => {
              const [red, green, blue] = colour.match(/[\d.]+/g).map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
              return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            };
            const overlay = document.querySelector("[data-testid=debug-overlay]");
            const ground = light(getComputedStyle(overlay).backgroundColor);
            const contrast = (element) => {
              const [dark, bright] = [ground, light(getComputedStyle(element).color)].sort((one, other) => one - other);
              return (bright + 0.05) / (dark + 0.05);
            };
            const { left, top, right, bottom } = overlay.getBoundingClientRect();
            const frame = overlay.parentElement.getBoundingClientRect();
            return {
              contrast: Math.min(...[...overlay.querySelectorAll("span")].map(contrast)),
              inside: left >= frame.left && top >= frame.top && right <= frame.right && bottom <= frame.bottom,
              hidden: overlay.getAttribute("aria-hidden"),
              presses: getComputedStyle(overlay).pointerEvents,
            };"#;
        let session = baton.create(&CreateTerminal { title: Some("vitals".to_owned()), ..session::bash() }).await;
        let page = open(baton, session).await;
        take(&page).await;
        page.until_rows("the prompt", |rows| rows[0].starts_with('$')).await;
        let size = sized(baton, &page, session).await;
        assert!(!page.has("debug-overlay").await, "off unless somebody wants it");
        let switch = async |on: &str| {
            let _ = baton.cli(["settings", "set", "terminal_debug_overlay", on]).await.ok();
            // A second is what the page has; a busy machine gets a little more.
            let limit = tokio::time::Instant::now() + Duration::from_secs(5);
            while page.has("debug-overlay").await != (on == "on") {
                assert!(tokio::time::Instant::now() < limit, "the page takes no notice of `{on}`");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        switch("on").await;
        page.until_text("debug-latency", |text| text.ends_with("ms (heartbeat)")).await;
        page.click("terminal").await;
        page.type_text("seq 20\n").await;
        page.until_text("debug-latency", |text| text.ends_with("ms (key)")).await;
        let detail = baton.session(session).await;
        let epoch = detail.session.lease.map(|lease| lease.epoch.to_string()).unwrap_or_default();
        page.until_text("debug-epoch", |text| text == epoch).await;
        page.until_rows("20", |rows| rows.iter().any(|row| row == "20")).await;
        let head = baton.output(session).await.len();
        page.until_text("debug-cursor", |text| text == head.to_string()).await;
        page.until_text("debug-credit", |text| text == "512 KiB (0 bytes unacked)").await;
        assert_eq!(sized(baton, &page, session).await, size, "it takes no room from the terminal");
        for (width, height, name) in [(1280, 800, "overlay-desktop"), (390, 844, "overlay-phone")] {
            for shade in ["dark", "light"] {
                page.look(width, height, shade).await;
                let _ = sized(baton, &page, session).await;
                let look = page.run(LOOK).await.unwrap();
                assert!(look["contrast"].as_f64().unwrap() >= 4.5, "{name} {shade}: {look}");
                assert_eq!(look["inside"], true, "{name} {shade}: {look}");
                assert_eq!((&look["hidden"], &look["presses"]), (&json!("true"), &json!("none")));
                page.screenshot(&format!("{name}-{shade}")).await;
            }
        }
        page.look(1280, 800, "dark").await;
        switch("off").await;
        // By the page itself; and by an editor.
        page.click("settings-menu").await;
        page.click("baton-settings").await;
        page.click("debug-overlay-switch").await;
        let _: Settings =
            baton.api().get_until("/v1/settings", |now: &Settings| now.defaults.terminal_debug_overlay).await;
        page.css("[data-testid=\"debug-overlay\"]").await;
        page.screenshot("overlay-settings").await;
        std::fs::write(baton.home.config_file(), "[defaults]\n").unwrap();
        let limit = tokio::time::Instant::now() + Duration::from_secs(5);
        while page.has("debug-overlay").await {
            assert!(tokio::time::Instant::now() < limit, "the page takes no notice of the file");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        page.close().await;
    });
}
