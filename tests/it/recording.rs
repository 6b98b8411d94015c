//! Recordings: any range of a session as an asciicast that plays what was written.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, SessionDetail, SessionStatus};
use baton_proto::frame::{Frame, HEADER_BYTES};
use baton_proto::ids::SessionId;
use baton_tests::{Answer, Attach, Baton, Setup, binaries, scenario, session};
use http::Method;
use serde_json::{Value, json};

/// A recording, read back.
struct Cast {
    head: Value,
    events: Vec<(f64, String, String)>,
}

impl Cast {
    fn read(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("content-type"), Some("application/x-asciicast"));
        let text = std::str::from_utf8(&answer.body).expect("a recording is text");
        assert!(text.ends_with('\n'), "the last line is whole");
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        let head = lines.next().expect("a line of facts");
        let events = lines.map(|line| serde_json::from_value(line).expect("[time, code, data]")).collect();
        Self { head, events }
    }

    fn all(&self, code: &str) -> Vec<&str> {
        self.events.iter().filter(|event| event.1 == code).map(|event| event.2.as_str()).collect()
    }

    fn output(&self) -> String {
        self.all("o").concat()
    }
}

fn path(id: SessionId, query: &str) -> String {
    format!("/v1/terminal/sessions/{id}/recording.cast?{query}")
}

async fn record(baton: &Baton, id: SessionId, query: &str) -> Cast {
    Cast::read(&baton.api().call::<()>(Method::GET, &path(id, query), None).await)
}

async fn ended(baton: &Baton, id: SessionId) -> SessionDetail {
    let ended = |detail: &SessionDetail| !detail.session.status.is_living();
    baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await
}

async fn snapshot(baton: &Baton, id: SessionId, cursor: &str) -> (u64, String) {
    let at = format!("/v1/terminal/sessions/{id}/snapshot?format=ansi&cursor={cursor}");
    let answer = baton.api().call::<()>(Method::GET, &at, None).await;
    assert_eq!(answer.status, 200, "{answer}");
    let offset = answer.header("baton-cursor").unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    (offset, String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn what_is_played_is_what_was_written() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let mut request = session::shell_script(
            r"printf 'grün \342\202'; sleep 0.3; printf '\254 \377 \033[1mbold\033[0m\r\n\033]9;ready\007'; sleep 0.2; printf 'end \303'; exit 3",
        );
        request.title = Some("my \"work\"/1".to_owned());
        let id = baton.create(&request).await;
        ended(baton, id).await;
        let output = baton.output(id).await;
        let expected = String::from_utf8_lossy(&output);
        let cast = record(baton, id, "").await;
        assert_eq!(cast.output(), expected);
        assert!(expected.starts_with("grün € \u{fffd} "), "{expected:?}");
        assert_eq!(cast.all("m"), ["ready"], "a notification is a marker");
        assert_eq!((&cast.head["version"], &cast.head["title"]), (&json!(3), &json!("my \"work\"/1")));
        assert_eq!((&cast.head["term"]["cols"], &cast.head["term"]["rows"]), (&json!(80), &json!(24)));
        assert!(cast.head["command"].as_str().unwrap().starts_with("/bin/sh -c"));
        assert_eq!(cast.all("x"), ["3"]);
        let total: f64 = cast.events.iter().map(|event| event.0).sum();
        assert!((0.4..30.0).contains(&total) && cast.events.iter().all(|event| event.0 >= 0.0), "{total}");
        assert!(cast.events[0].0 < 0.001, "it begins with its first event");
        let old = record(baton, id, "version=2").await;
        assert_eq!(old.output(), expected);
        assert_eq!(
            (&old.head["version"], &old.head["width"], &old.head["height"]),
            (&json!(2), &json!(80), &json!(24))
        );
        assert!(old.events.is_sorted_by_key(|event| event.0) && old.all("x").is_empty());
        assert!((old.events.last().unwrap().0 - total).abs() < 0.5);
        let quick = record(baton, id, "idle_max_s=0.01").await;
        assert!(quick.events.iter().all(|event| event.0 <= 0.01) && quick.output() == expected);
        let answer = baton.api().call::<()>(Method::GET, &path(id, ""), None).await;
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"my--work--1.cast\""));
        assert_eq!(baton.nobody().call::<()>(Method::GET, &path(id, ""), None).await.status, 401);
    });
}

#[test]
fn a_range_begins_with_the_screen_that_was_there() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let script = r"printf '\033[31m'; seq 1 200; printf '\033[0m'; sleep 0.5; echo middle; sleep 0.5; seq 300 320; exec sleep 600";
        let id = baton.script(script).await;
        let _: Value = baton
            .api()
            .get_until(&format!("/v1/terminal/sessions/{id}/search?q=320"), |found: &Value| {
                found["items"][0].is_object()
            })
            .await;
        let instance = baton.session(id).await.session.instance;
        let output = baton.output(id).await;
        let text = String::from_utf8(output.clone()).unwrap();
        let middle = text.find("middle").unwrap();
        let (begin, screen) = snapshot(baton, id, &format!("{instance}:{middle}")).await;
        assert_eq!(begin, middle as u64);
        let cast = record(baton, id, &format!("from={instance}:{middle}")).await;
        assert_eq!(cast.output(), format!("{screen}{}", &text[middle..]));
        assert!(cast.events[0].0 < 0.001 && cast.events[1].0 < 0.001, "no pause at the beginning: {:?}", cast.events);
        // A part, to the byte; in the middle of a sequence the screen before it comes first.
        let within = text.find("[31m").unwrap();
        let cast = record(baton, id, &format!("from={instance}:{within}&to={instance}:{middle}")).await;
        assert!(cast.output().ends_with(&text[within - 1..middle]), "{:?}", cast.output());
        // By time: between the two pauses.
        let at = |what: &'static str| async move {
            let found: Value = baton.api().get(&format!("/v1/terminal/sessions/{id}/search?q={what}")).await;
            found["items"][0]["at"].as_str().unwrap().to_owned()
        };
        let (from, to) = (at("middle").await, at("310").await);
        let cast = record(baton, id, &format!("from={from}&to={to}")).await;
        let played = cast.output();
        assert!(played.contains("middle\r\n") && !played.contains("310"), "{played:?}");
        for (query, code) in [
            ("version=4".to_owned(), ErrorCode::Invalid),
            ("from=yesterday".to_owned(), ErrorCode::Invalid),
            ("idle_max_s=0".to_owned(), ErrorCode::Invalid),
            (format!("from={instance}:9&to={instance}:8"), ErrorCode::Invalid),
            (format!("from={instance}:99999999"), ErrorCode::Invalid),
            (format!("follow=true&to={instance}:8"), ErrorCode::Invalid),
            ("from=ins_00000000000000000000000000000007:0".to_owned(), ErrorCode::CursorTrimmed),
        ] {
            baton.api().refused(Method::GET, &path(id, &query), &(), code).await;
        }
    });
}

#[test]
fn sizes_typed_bytes_and_the_end_are_events_and_a_live_session_can_be_followed() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut request = session::bash();
        request.record_input = Some(true);
        let id = baton.create(&request).await;
        let mut client = baton.attach(id, Attach::named("hand").viewport(100, 30)).await;
        client.claim(false).await.unwrap();
        let api = baton.api();
        let following = tokio::spawn({
            let path = path(id, "follow=true");
            async move { api.call::<()>(Method::GET, &path, None).await }
        });
        client.type_text("echo on-$((1+1))\r").await;
        client.until_output("on-2").await;
        client.send(ClientFrame::Resize { cols: 91, rows: 31 }).await;
        let path_of = format!("/v1/sessions/{id}");
        let _: SessionDetail =
            baton.api().get_until(&path_of, |detail: &SessionDetail| detail.session.size.cols == 91).await;
        client.type_text("exit 5\r").await;
        ended(baton, id).await;
        let cast = record(baton, id, "").await;
        let followed = Cast::read(&following.await.unwrap());
        let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
        for cast in [&cast, &followed] {
            assert_eq!(cast.output(), output);
            assert_eq!(cast.all("i").concat(), "echo on-$((1+1))\rexit 5\r");
            assert_eq!(cast.all("x"), ["5"]);
            assert_eq!(cast.all("r").last(), Some(&"91x31"));
        }
        // Between head and events, the size at the first byte is known, whoever attached before it.
        let sizes: Vec<String> =
            std::iter::once(format!("{}x{}", cast.head["term"]["cols"], cast.head["term"]["rows"]))
                .chain(cast.all("r").into_iter().map(str::to_owned))
                .collect();
        assert!(sizes.contains(&"100x30".to_owned()), "{sizes:?}");
    });
}

#[test]
fn what_was_typed_before_the_first_output_is_recorded_too() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let mut request = session::shell_script("exec cat");
        request.record_input = Some(true);
        let id = baton.create(&request).await;
        let mut client = baton.attach(id, Attach::named("hand")).await;
        client.claim(false).await.unwrap();
        client.type_text("early\r").await;
        client.until_output("early").await;
        assert_eq!(record(baton, id, "").await.all("i"), ["early\r"]);
    });
}

#[test]
fn a_worker_that_is_killed_interrupts_neither_a_recording_nor_a_search() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let script = "for n in $(seq 1 60); do echo line-$n; sleep 0.05; done; exit 4";
        let id = baton.script(script).await;
        let (api, path) = (baton.api(), path(id, "follow=true"));
        let following = tokio::spawn(async move { api.call::<()>(Method::GET, &path, None).await });
        for line in ["line-10", "line-30"] {
            let query = format!("/v1/terminal/sessions/{id}/search?q={line}");
            let _: Value = baton.api().get_until(&query, |found: &Value| found["items"][0].is_object()).await;
            let worker = baton.session(id).await.session.worker_pid.unwrap();
            baton_tests::process::Process::of(worker).kill().await;
        }
        ended(baton, id).await;
        let followed = Cast::read(&following.await.unwrap());
        assert_eq!(followed.output().into_bytes(), baton.output(id).await);
        assert_eq!(followed.all("x"), ["4"]);
        assert!(followed.all("m").is_empty());
    });
}

#[test]
fn what_was_trimmed_or_damaged_is_told_and_the_rest_is_played() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", "8388608");
    scenario(Duration::from_secs(180), setup, async |baton: &Baton| {
        let program = binaries::path("baton-test-program");
        let flood = format!("{} flood 12000000; exec sleep 600", program.display());
        let id = baton.script(&flood).await;
        let all = 12_000_000_u64.div_ceil(64) * 65;
        let path_of = format!("/v1/sessions/{id}");
        let detail: SessionDetail =
            baton.api().get_until(&path_of, |detail: &SessionDetail| detail.session.cursor.offset >= all).await;
        let oldest = detail.session.oldest_cursor.offset;
        assert!(oldest > 0);
        let output = String::from_utf8(baton.output(id).await).unwrap();
        let whole = record(baton, id, "").await;
        let played = whole.output();
        let screen = whole.all("o")[0];
        assert!(output.ends_with(&played[screen.len()..]) && played.len() - screen.len() > 3 << 20);
        assert!(whole.all("m").is_empty());
        // A byte of one record's payload, and the kind of another, in the segment before the newest.
        let directory =
            baton.home.state.join("sessions").join(id.to_string()).join(detail.session.instance.to_string());
        let mut segments: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        segments.sort();
        let segment = &segments[segments.len() - 2];
        let mut bytes = std::fs::read(segment).unwrap();
        let mut at = 16 << 10;
        let mut lost = 0;
        for number in 0..40 {
            let frame = Frame::parse(&bytes[at..]).unwrap().unwrap();
            let (total, len) = (frame.total_bytes(), frame.payload.len());
            if number == 8 {
                lost = len;
                bytes[at + HEADER_BYTES + 5] ^= 1;
            } else if number == 30 {
                bytes[at + 4] = 31;
            }
            at += total;
        }
        std::fs::write(segment, bytes).unwrap();
        let damaged = record(baton, id, &format!("from={}", detail.session.oldest_cursor)).await;
        let gaps = damaged.all("m");
        assert_eq!(gaps.first().copied(), Some(format!("{lost} bytes of output were not kept").as_str()), "{gaps:?}");
        assert!(gaps.len() >= 2 && damaged.output().len() > played.len() / 2, "{gaps:?}");
        assert!(damaged.output().ends_with(&output[output.len() - 100_000..]), "what lies behind is there");
        let found: Value = baton.api().get(&format!("/v1/terminal/sessions/{id}/search?q=....&limit=1000")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), 1000, "searching passes over it too");
    });
}

#[test]
fn a_time_is_one_of_the_sessions_life() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let id = baton.script("printf one; sleep 0.3; printf two").await;
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await;
        let session = detail.session;
        let path = |rest: &str| format!("/v1/terminal/sessions/{id}/{rest}");
        let screen = async |query: String| {
            let answer =
                baton.api().call::<()>(Method::GET, &path(&format!("snapshot?format=text&{query}")), None).await;
            assert_eq!(answer.status, 200, "{query}: {answer}");
            String::from_utf8(answer.body.to_vec()).unwrap().trim().to_owned()
        };
        // Its life: empty, one, both; after its end the last screen.
        assert_eq!(screen(format!("at={}", session.created_at)).await, "");
        assert_eq!(screen(format!("at={}", session.last_activity_at)).await, "onetwo");
        let token: Value = baton.api().post("/v1/auth/tokens", &json!({"name": "now", "role": "viewer"})).await;
        let now = token["created_at"].as_str().unwrap();
        assert_eq!(screen(format!("at={now}")).await, "onetwo");
        let refused = async |rest: String, code| baton.api().refused(Method::GET, &path(&rest), &(), code).await;
        for (route, name) in [("snapshot", "at"), ("recording.cast", "from"), ("recording.cast", "to")] {
            let before = refused(format!("{route}?{name}=2020-01-01T00:00:00Z"), ErrorCode::Invalid).await.detail;
            assert!(before.contains(name) && before.contains(&session.created_at), "{before}");
            let after = refused(format!("{route}?{name}=2120-01-01T00:00:00Z"), ErrorCode::Invalid).await.detail;
            assert!(after.contains("future"), "{after}");
        }
        // Cursors beyond the output.
        let beyond = format!("{}:{}", session.instance, session.cursor.offset + 1);
        for query in
            ["snapshot?cursor=", "search?q=x&cursor=", "output?cursor=", "recording.cast?from=", "recording.cast?to="]
        {
            refused(format!("{query}{beyond}"), ErrorCode::Invalid).await;
        }
        record(baton, id, &format!("from={}", session.created_at)).await;
    });
}

#[test]
fn a_time_of_which_nothing_is_kept_is_told_where_to_begin() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", "8388608");
    scenario(Duration::from_secs(180), setup, async |baton: &Baton| {
        let program = binaries::path("baton-test-program");
        let id = baton.script(&format!("sleep 0.3; {} flood 12000000; exec sleep 600", program.display())).await;
        let all = 12_000_000_u64.div_ceil(64) * 65;
        let path_of = format!("/v1/sessions/{id}");
        let detail: SessionDetail =
            baton.api().get_until(&path_of, |detail: &SessionDetail| detail.session.cursor.offset >= all).await;
        assert!(detail.session.oldest_cursor.offset > 0);
        for query in ["snapshot?at=", "recording.cast?from="] {
            let path = format!("/v1/terminal/sessions/{id}/{query}{}", detail.session.created_at);
            let problem = baton.api().refused(Method::GET, &path, &(), ErrorCode::CursorTrimmed).await;
            assert_eq!(problem.oldest_cursor.as_deref(), Some(detail.session.oldest_cursor.to_string().as_str()));
            assert!(problem.detail.contains("no longer kept"), "{}", problem.detail);
        }
        let path = format!("/v1/terminal/sessions/{id}/snapshot?at={}", detail.session.last_activity_at);
        assert_eq!(baton.api().call::<()>(Method::GET, &path, None).await.status, 200);
    });
}
