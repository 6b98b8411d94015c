//! Coming back, coming late, and being too slow: exact bytes where they continue what a client has, else the screen and the
//! bytes from where it stands. Whatever it was given, a client's terminal shows what the program's output shows.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, CreateTerminal, ResumeMode, ServerFrame, SnapshotChoice};
use baton_proto::frame::{Frame, Kind, read_body};
use baton_proto::ids::{Cursor, InstanceId, SessionId};
use baton_proto::v1::{Dimensions, RangeHeader, ReadRange, ResizeRecord};
use baton_screen::Screen;
use baton_tests::process::Process;
use baton_tests::stream::MESSAGE_LIMIT;
use baton_tests::{Attach, Baton, Incoming, Protocol, Seed, Setup, StreamClient, scenario, session};
use serde_json::json;

const MIB: u64 = 1024 * 1024;

/// More than is given as bytes to who comes back, in lines.
const FAR: &str = "seq 1 60000";

/// What a session's output shows, by its journal from the beginning on; and the output.
async fn reference(baton: &Baton, session: SessionId, size: (u16, u16)) -> (Screen, Vec<u8>) {
    let mut peer = baton.worker_peer(session).await;
    let mut screen = Screen::new(Dimensions { cols: size.0, rows: size.1 });
    let (mut from, mut output, mut resizes) = (0, Vec::new(), 0);
    loop {
        let answer = peer.request(Kind::ReadRange, &ReadRange { from, max_bytes: 1 << 20 }).await.unwrap();
        assert_eq!(answer.kind(), Some(Kind::Range));
        let (range, mut records) = RangeHeader::split(&answer.payload).unwrap();
        while let Some(frame) = Frame::parse(records).unwrap() {
            records = &records[frame.total_bytes()..];
            let (at, place) = (frame.header.at, output.len() as u64);
            match frame.header.known_kind() {
                Some(Kind::Output) => {
                    let known = usize::try_from(place - at).unwrap().min(frame.payload.len());
                    let new = &frame.payload[known..];
                    screen.feed(new, &mut Vec::new());
                    output.extend_from_slice(new);
                }
                // Answers overlap by whole records; a resize is told apart by its time.
                Some(Kind::Resize) if frame.header.wall_us > resizes => {
                    resizes = frame.header.wall_us;
                    let ResizeRecord { cols, rows } = read_body(Kind::Resize, frame.payload).unwrap();
                    screen.resize(Dimensions { cols, rows });
                }
                _ => {}
            }
        }
        if range.next >= range.head {
            assert_eq!(output.len() as u64, range.head);
            return (screen, output);
        }
        from = range.next;
    }
}

/// The client has everything, and its terminal shows what it should.
async fn assert_up_to_date(baton: &Baton, session: SessionId, size: (u16, u16), client: &StreamClient) {
    let (expected, output) = reference(baton, session, size).await;
    assert_eq!(client.offset, output.len() as u64, "it has all there is");
    let since = output.len() - client.output.len().min(output.len());
    if let Some(last) = client.screens.last() {
        let after = usize::try_from(*last).unwrap();
        assert!(client.output.ends_with(&output[after..]), "every byte since the screen, once");
    } else {
        assert!(output[since..] == client.output, "the bytes are the program's");
    }
    let shown = client.screen.as_ref().expect("a client with a terminal");
    assert_eq!(shown.size(), expected.size());
    assert_eq!(
        (shown.view(0), shown.boundary()),
        (expected.view(0), expected.boundary()),
        "{} shows {:#?}",
        client.id,
        client.rows()
    );
}

fn protocols() -> [Protocol; 2] {
    [Protocol::Json, Protocol::Binary]
}

/// A way to attach that shows what it gets.
fn shown(name: &str, choice: SnapshotChoice, protocol: Protocol) -> Attach {
    Attach { protocol, ..Attach::named(name).shown(choice) }
}

/// A script that does what it is told by lines.
async fn told(baton: &Baton, size: (u16, u16), script: &str) -> SessionId {
    let request = CreateTerminal { cols: Some(size.0), rows: Some(size.1), ..session::shell_script(script) };
    baton.create(&request).await
}

#[test]
fn who_comes_back_soon_gets_the_bytes_and_who_comes_late_the_screen() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script =
            format!("stty -echo; echo one; read x; echo two; read x; {FAR}; echo three; read x; echo four; read x");
        let session = told(baton, (80, 24), &script).await;
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.claim(false).await.unwrap();
        owner.until_output("one\r\n").await;
        // Fresh and small: everything, from the beginning.
        let mut first = baton.attach(session, shown("first", SnapshotChoice::Auto, Protocol::Json)).await;
        assert_eq!((first.ready.mode, first.ready.lost), (ResumeMode::Exact, None));
        first.until_output("one\r\n").await;
        let left_at = first.cursor();
        first.drop_socket();
        owner.type_text("\r").await;
        owner.until_output("two\r\n").await;
        for protocol in protocols() {
            // Nothing twice, nothing lost.
            let back = shown("back", SnapshotChoice::Auto, protocol).resume(left_at);
            let mut back = baton.attach(session, back).await;
            assert_eq!(back.ready.mode, ResumeMode::Exact);
            back.until_output("two\r\n").await;
            assert_eq!((back.output.as_slice(), back.screens.len()), (&b"two\r\n"[..], 0));
            // Unless it wants a screen whatever there is.
            let mut always =
                baton.attach(session, shown("always", SnapshotChoice::Always, protocol).resume(left_at)).await;
            assert_eq!(always.ready.mode, ResumeMode::Snapshot);
            always.until_shown("two").await;
            assert_up_to_date(baton, session, (80, 24), &always).await;
        }
        owner.type_text("\r").await;
        owner.until_output("three\r\n").await;
        let head = owner.cursor();
        for protocol in protocols() {
            let mut late = baton.attach(session, shown("late", SnapshotChoice::Auto, protocol).resume(left_at)).await;
            assert_eq!((late.ready.mode, late.ready.lost), (ResumeMode::Snapshot, None));
            late.until_shown("three").await;
            late.until_offset(head.offset).await;
            assert_eq!(late.screens.len(), 1);
            assert!(late.output.len() < 100_000, "{} bytes behind the screen", late.output.len());
            assert_up_to_date(baton, session, (80, 24), &late).await;
            let mut fresh = baton.attach(session, shown("fresh", SnapshotChoice::Auto, protocol)).await;
            assert_eq!(fresh.ready.mode, ResumeMode::Snapshot);
            fresh.until_shown("three").await;
            // Every byte, however far back, for who wants it.
            let mut never =
                baton.attach(session, shown("never", SnapshotChoice::Never, protocol).resume(left_at)).await;
            assert_eq!((never.ready.mode, never.ready.lost), (ResumeMode::Exact, None));
            never.until_offset(head.offset).await;
            assert!(never.screens.is_empty() && never.output.len() as u64 == head.offset - left_at.offset);
            // They go on from there.
            let _ = (&mut fresh, &mut never);
        }
        let mut late = baton.attach(session, shown("late", SnapshotChoice::Auto, Protocol::Binary)).await;
        late.until_shown("three").await;
        owner.type_text("\r").await;
        late.until_shown("four").await;
        owner.until_output("four\r\n").await;
        assert_up_to_date(baton, session, (80, 24), &late).await;
    });
}

#[test]
fn a_size_that_changed_meanwhile_needs_a_screen() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let long = "printf '%0200d' 7; echo";
        let script =
            format!("stty -echo; {long}; echo one; read x; {long}; echo two; read x; {long}; echo three; read x");
        let session = told(baton, (80, 24), &script).await;
        let mut owner = baton.attach(session, Attach::named("owner").viewport(80, 24)).await;
        owner.claim(false).await.unwrap();
        owner.until_output("one\r\n").await;
        let left_at = owner.cursor();
        owner.send(ClientFrame::Resize { cols: 57, rows: 11 }).await;
        let resized = |incoming: &Incoming| {
            matches!(incoming, Incoming::Frame(ServerFrame::Resize { cols: 57, rows: 11, .. })).then_some(())
        };
        owner.until("the new size", resized).await;
        // Nothing was written since: the bytes so far were for the old size, and there are no others.
        let same = baton.attach(session, shown("same", SnapshotChoice::Auto, Protocol::Json).resume(left_at)).await;
        assert_eq!((same.ready.mode, same.ready.size), (ResumeMode::Exact, (57, 11)));
        owner.type_text("\r").await;
        owner.until_output("two\r\n").await;
        for protocol in protocols() {
            let mut back = baton.attach(session, shown("back", SnapshotChoice::Auto, protocol)).await;
            assert_eq!((back.ready.mode, back.ready.size), (ResumeMode::Snapshot, (57, 11)));
            back.until_shown("two").await;
            assert_up_to_date(baton, session, (80, 24), &back).await;
            // While it watches, sizes change at their place.
            owner.send(ClientFrame::Resize { cols: 90, rows: 30 }).await;
            owner.send(ClientFrame::Resize { cols: 57, rows: 11 }).await;
            for _ in 0..2 {
                let frame =
                    |incoming: &Incoming| matches!(incoming, Incoming::Frame(ServerFrame::Resize { .. })).then_some(());
                back.until("a size", frame).await;
            }
            assert_eq!(back.size, (57, 11));
        }
        let mut last = baton.attach(session, shown("last", SnapshotChoice::Always, Protocol::Binary)).await;
        owner.type_text("\r").await;
        last.until_shown("three").await;
        owner.until_output("three\r\n").await;
        assert_up_to_date(baton, session, (80, 24), &last).await;
    });
}

#[test]
fn what_is_gone_is_counted_and_the_screen_takes_its_place() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", &(8 * MIB).to_string());
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let script = format!("{program} flood {}; echo flooded; read x; echo done", 24 * MIB);
        let session = told(baton, (80, 24), &script).await;
        let head = |detail: &baton_proto::api::SessionDetail| detail.session.cursor.offset > 24 * MIB;
        let path = format!("/v1/sessions/{session}");
        let _: baton_proto::api::SessionDetail = baton.api().get_until(&path, head).await;
        let instance = baton.session(session).await.session.instance;
        let zero = Cursor { instance, offset: 0 };
        for protocol in protocols() {
            let mut late = baton.attach(session, shown("late", SnapshotChoice::Auto, protocol).resume(zero)).await;
            assert_eq!(late.ready.mode, ResumeMode::Gap);
            let lost = late.ready.lost.expect("how many");
            assert!(lost > 8 * MIB, "{lost}");
            late.until_shown("flooded").await;
            assert_eq!(late.screens.len(), 1, "in place of what is gone");
            // Who has nothing misses nothing.
            let mut fresh = baton.attach(session, shown("fresh", SnapshotChoice::Auto, protocol)).await;
            assert_eq!((fresh.ready.mode, fresh.ready.lost), (ResumeMode::Snapshot, None));
            fresh.until_shown("flooded").await;
            assert_eq!(fresh.rows(), late.rows());
            // Who wants bytes gets those there are.
            let mut never = baton.attach(session, shown("never", SnapshotChoice::Never, protocol).resume(zero)).await;
            assert_eq!(never.ready.mode, ResumeMode::Gap);
            let lost = never.ready.lost.expect("how many");
            never.until_output("flooded\r\n").await;
            assert_eq!(lost + never.output.len() as u64, never.offset);
        }
        // A place of another life: this one from its beginning, which is gone here.
        let other = Cursor { instance: InstanceId::from_uuid(uuid::Uuid::now_v7()), offset: 7 };
        let mut other = baton.attach(session, shown("other", SnapshotChoice::Auto, Protocol::Json).resume(other)).await;
        assert_eq!((other.ready.mode, other.ready.lost), (ResumeMode::Snapshot, None));
        other.until_shown("flooded").await;
    });
}

#[test]
fn whoever_joins_in_an_unbroken_flood_ends_with_the_same_screen() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", &(256 * MIB).to_string());
    scenario(Duration::from_secs(150), setup, async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let enough = baton.scratch().join("enough");
        let script = format!("stty -echo; echo ready; read x; exec {program} paint 8 {}", enough.display());
        let session = told(baton, (80, 24), &script).await;
        let mut owner = baton.attach(session, Attach::named("owner").binary()).await;
        owner.until_output("ready\r\n").await;
        owner.claim(false).await.unwrap();
        owner.type_text("\r").await;
        let mut joined = Vec::new();
        let mut until = 0;
        for number in 0..12u64 {
            // Somewhere in the next megabytes; the flood does not wait.
            until += MIB / 2 + seed.within(0..MIB);
            let reached = |detail: &baton_proto::api::SessionDetail| detail.session.cursor.offset >= until;
            let _: baton_proto::api::SessionDetail =
                baton.api().get_until(&format!("/v1/sessions/{session}"), reached).await;
            let protocol = protocols()[usize::try_from(number % 2).unwrap()];
            let acks = number % 3 == 0;
            let api = baton.api();
            let attach = shown(&format!("client {number}"), SnapshotChoice::Auto, protocol);
            let mut client = StreamClient::open(&api, session, attach).await.expect("a stream");
            let begun = client.ready.cursor.offset;
            joined.push(tokio::spawn(async move {
                loop {
                    match client.next().await {
                        Incoming::Frame(ServerFrame::Exit { .. }) => return (client, begun),
                        Incoming::Closed { code, reason } => panic!("{} was closed: {code:?} {reason}", client.id),
                        Incoming::Data { .. } | Incoming::Screen { .. } if acks => {
                            client.send(ClientFrame::Ack { cursor: client.cursor() }).await;
                        }
                        _ => {}
                    }
                }
            }));
        }
        drop(owner);
        let detail = baton.session(session).await.session;
        assert!(detail.status.is_living(), "it is written all the while");
        std::fs::write(&enough, "").unwrap();
        for client in joined {
            let (client, begun) = client.await.expect("a client that is served to the end");
            assert!(!client.screens.is_empty(), "it came late");
            println!("joined at {begun}, {} screens, {} KiB", client.screens.len(), client.output.len() / 1024);
            assert_up_to_date(baton, session, (80, 24), &client).await;
        }
    });
}

#[test]
fn who_stops_reading_gets_the_screen_and_what_happened_in_order() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let third = 14 * MIB;
        let step = format!("{program} paint {third}; echo step; read x");
        let script = format!("stty -echo; echo ready; read x; {step}; {step}; {step}; echo end; read x");
        let session = told(baton, (80, 24), &script).await;
        let mut owner = baton.attach(session, Attach::named("owner").binary()).await;
        owner.claim(false).await.unwrap();
        owner.until_output("ready\r\n").await;
        let mut stopped = Vec::new();
        for (protocol, acks) in [(Protocol::Json, false), (Protocol::Binary, true), (Protocol::Binary, false)] {
            let mut client = baton.attach(session, shown("stopped", SnapshotChoice::Auto, protocol)).await;
            client.until_output("ready\r\n").await;
            if acks {
                client.send(ClientFrame::Ack { cursor: client.cursor() }).await;
            }
            stopped.push((client, acks));
        }
        let resized = |cols: u16| {
            move |incoming: &Incoming| {
                matches!(incoming, Incoming::Frame(ServerFrame::Resize { cols: now, .. }) if *now == cols).then_some(())
            }
        };
        let mut sizes = Vec::new();
        for (cols, rows) in [(90, 30), (70, 25), (80, 26)] {
            owner.type_text("\r").await;
            owner.until_output("step\r\n").await;
            // Between the floods control goes and comes, and the size changes.
            owner.send(ClientFrame::Release).await;
            owner.until_lease().await;
            owner.claim(false).await.unwrap();
            owner.send(ClientFrame::Resize { cols, rows }).await;
            owner.until("the new size", resized(cols)).await;
            sizes.push((cols, rows));
        }
        owner.type_text("\r").await;
        owner.until_output("end\r\n").await;
        let (leases, head) = (owner.leases(), owner.offset);
        assert!(head > 3 * third);
        for (mut client, acks) in stopped {
            while client.offset < head || client.size != (80, 26) || client.epoch < owner.epoch {
                let next = tokio::time::timeout(MESSAGE_LIMIT, client.next()).await;
                match next.unwrap_or_else(|_| panic!("nothing comes any more; {}", client.story())) {
                    Incoming::Closed { code, reason } => panic!("closed for being slow: {code:?} {reason}"),
                    Incoming::Data { .. } | Incoming::Screen { .. } if acks => {
                        client.send(ClientFrame::Ack { cursor: client.cursor() }).await;
                    }
                    _ => {}
                }
            }
            println!("{} screens, {} KiB of {} KiB", client.screens.len(), client.output.len() / 1024, head / 1024);
            assert!(!client.screens.is_empty() && (client.output.len() as u64) < head / 2, "it was brought up to date");
            // Everything that happened to control, in its order.
            let seen: Vec<_> = client.leases().into_iter().map(|lease| (lease.owner, lease.epoch)).collect();
            let told: Vec<_> = leases.iter().map(|lease| (lease.owner.clone(), lease.epoch)).collect();
            assert!(told.ends_with(&seen) && seen.len() >= 6, "{seen:?} of {told:?}");
            let told = client.frames.iter().filter_map(|frame| match frame {
                ServerFrame::Resize { cols, rows, .. } => Some((*cols, *rows)),
                _ => None,
            });
            let mut told: Vec<_> = told.collect();
            told.dedup();
            assert_eq!(told.last(), sizes.last(), "the newest size at the end");
            // In binary the size of a screen is named before it; it is an older one where the size changed at the screen's own place.
            let mut first = Vec::new();
            for size in told {
                if !first.contains(&size) {
                    first.push(size);
                }
            }
            assert_eq!(first, sizes, "every size, in order");
            assert_up_to_date(baton, session, (80, 24), &client).await;
        }
    });
}

#[test]
fn the_screen_of_an_ended_session_comes_with_its_end() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = told(baton, (80, 24), &format!("{FAR}; echo over; exit 4")).await;
        let ended = |detail: &baton_proto::api::SessionDetail| !detail.session.status.is_living();
        let path = format!("/v1/sessions/{session}");
        let _: baton_proto::api::SessionDetail = baton.api().get_until(&path, ended).await;
        for protocol in protocols() {
            let mut late = baton.attach(session, shown("late", SnapshotChoice::Auto, protocol)).await;
            assert_eq!(late.ready.mode, ResumeMode::Snapshot);
            assert_eq!(late.until_exit().await.code, Some(4));
            assert!(late.rows().iter().any(|row| row == "over"), "{:?}", late.rows());
            assert_up_to_date(baton, session, (80, 24), &late).await;
        }
    });
}

#[test]
fn the_snapshot_route_draws_now_then_and_there() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script = "stty -echo; printf 'first <b>\\r\\n\\033]0;a title\\007'; read x; printf '\\033[2J\\033[Hsecond'; read x; exit 0";
        let session = told(baton, (60, 20), script).await;
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.claim(false).await.unwrap();
        owner.until_output("a title\u{7}").await;
        let first_at = owner.cursor();
        let get = async |query: &str| {
            let path = format!("/v1/terminal/sessions/{session}/snapshot{query}");
            baton.api().call::<()>(http::Method::GET, &path, None).await
        };
        let text = get("?format=text").await;
        assert_eq!((text.status, &text.body[..]), (200, &b"first <b>\n"[..]), "{text}");
        let header = |answer: &baton_tests::Answer, name: &str| answer.header(name).map(str::to_owned);
        assert_eq!(header(&text, "content-type").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(header(&text, "baton-cursor"), Some(first_at.to_string()));
        assert_eq!((text.header("baton-cols"), text.header("baton-rows")), (Some("60"), Some("20")));
        let at = header(&text, "baton-at").expect("when");
        assert_eq!(text.header("baton-approximate"), None);
        owner.type_text("\r").await;
        owner.until_output("second").await;
        let now = get("?format=text").await;
        assert_eq!(&now.body[..], b"second\n");
        // The past: by its place and by its time.
        for query in [format!("?format=text&cursor={first_at}"), format!("?format=text&at={at}")] {
            let past = get(&query).await;
            assert_eq!(&past.body[..], b"first <b>\n", "{query}");
            assert_eq!(header(&past, "baton-cursor"), Some(first_at.to_string()));
        }
        // Terminal bytes draw it.
        let ansi = get(&format!("?cursor={first_at}")).await;
        assert_eq!(ansi.header("content-type"), Some("application/octet-stream"));
        let drawn = Screen::restore(Dimensions { cols: 60, rows: 20 }, 0, first_at.offset, &ansi.body);
        let mut screen = Screen::new(Dimensions { cols: 60, rows: 20 });
        let output = baton.output(session).await;
        screen.feed(&output[..usize::try_from(first_at.offset).unwrap()], &mut Vec::new());
        assert_eq!(drawn.view(0), screen.view(0));
        // Markup is text there, and nothing in it runs.
        let html = get(&format!("?format=html&cursor={first_at}")).await;
        assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = html.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        assert_eq!(html.header("x-content-type-options"), Some("nosniff"));
        let page = String::from_utf8(html.body.to_vec()).unwrap();
        assert!(page.contains("first &lt;b&gt;") && !page.contains("<b>"), "{page}");
        let json: serde_json::Value = get(&format!("?format=json&cursor={first_at}")).await.json();
        assert_eq!((&json["cols"], &json["title"]), (&json!(60), &json!("a title")));
        // What can't be.
        let path = |query: &str| format!("/v1/terminal/sessions/{session}/snapshot{query}");
        for query in
            ["?at=noon", "?scrollback=10001", "?format=png", "?cursor=x", &format!("?cursor={first_at}&at={at}")]
        {
            baton.api().refused(http::Method::GET, &path(query), &(), ErrorCode::Invalid).await;
        }
        let beyond = format!("?cursor={}:99999", first_at.instance);
        baton.api().refused(http::Method::GET, &path(&beyond), &(), ErrorCode::Invalid).await;
        let other = format!("?cursor={}:1", InstanceId::from_uuid(uuid::Uuid::now_v7()));
        baton.api().refused(http::Method::GET, &path(&other), &(), ErrorCode::CursorTrimmed).await;
        // An ended session has a screen too, and a past.
        owner.type_text("\r").await;
        owner.until_exit().await;
        assert_eq!(&get("?format=text").await.body[..], b"second\n");
        assert_eq!(&get(&format!("?format=text&cursor={first_at}")).await.body[..], b"first <b>\n");
    });
}

#[test]
fn a_worker_that_is_killed_costs_no_screen() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let script = format!("stty -echo; {program} paint {}; echo; echo painted; read x", 12 * MIB);
        let session = told(baton, (80, 24), &script).await;
        let head = |detail: &baton_proto::api::SessionDetail| detail.session.cursor.offset > 12 * MIB;
        let path = format!("/v1/sessions/{session}");
        let detail: baton_proto::api::SessionDetail = baton.api().get_until(&path, head).await;
        let (instance, written) = (detail.session.instance, 12 * MIB);
        let (expected, output) = reference(baton, session, (80, 24)).await;
        let asking: Vec<_> = (0..6)
            .map(|_| {
                let api = baton.api();
                let offsets: Vec<u64> = (0..8).map(|_| seed.within(0..written)).collect();
                tokio::spawn(async move {
                    let mut drawn = Vec::new();
                    for offset in offsets {
                        let path = format!("/v1/terminal/sessions/{session}/snapshot?cursor={instance}:{offset}");
                        let answer = api.call::<()>(http::Method::GET, &path, None).await;
                        assert_eq!(answer.status, 200, "{answer}");
                        let at: Cursor = answer.header("baton-cursor").unwrap().parse().unwrap();
                        assert!(at.offset <= offset && offset - at.offset < 64 * 1024, "{at} for {offset}");
                        drawn.push((at.offset, answer.body));
                    }
                    drawn
                })
            })
            .collect();
        let mut killed = 0;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let successor = |detail: &baton_proto::api::SessionDetail| {
                detail.session.worker_pid.is_some_and(|pid| pid != killed && Process::find(pid).is_some())
            };
            let detail: baton_proto::api::SessionDetail = baton.api().get_until(&path, successor).await;
            killed = detail.session.worker_pid.unwrap();
            Process::of(killed).kill().await;
        }
        let mut all = Vec::new();
        for task in asking {
            all.extend(task.await.expect("every screen in spite of it"));
        }
        for (offset, bytes) in all {
            let drawn = Screen::restore(Dimensions { cols: 80, rows: 24 }, 0, offset, &bytes);
            let mut screen = Screen::new(Dimensions { cols: 80, rows: 24 });
            // Every cell was painted within the last hundred kilobytes.
            let until = usize::try_from(offset).unwrap();
            let from = output[..until.saturating_sub(200_000)].iter().rposition(|byte| *byte == 0x1b).unwrap_or(0);
            screen.feed(&output[from..until], &mut Vec::new());
            if from > 0 {
                assert_eq!(drawn.view(0).lines, screen.view(0).lines, "at {offset}");
            }
        }
        // And whoever attaches to the successor gets the newest.
        let mut late = baton.attach(session, shown("late", SnapshotChoice::Auto, Protocol::Binary)).await;
        late.until_shown("painted").await;
        assert_eq!(late.screen.as_ref().unwrap().view(0), expected.view(0));
    });
}
