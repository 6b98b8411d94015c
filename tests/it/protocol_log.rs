//! The heads of streams' frames in a file a session: what is in it, what never is, and who it holds up: nobody.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, ServerFrame, Settings};
use baton_proto::ids::{ClientId, Cursor, Epoch, SessionId};
use baton_tests::websocket::find;
use baton_tests::{Attach, Baton, Incoming, Setup, StreamClient, scenario};
use http::Method;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a file, at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn paths(baton: &Baton, session: SessionId) -> [PathBuf; 2] {
    ["log", "1.log"].map(|end| baton.home.protocol_logs_dir().join(format!("{session}.{end}")))
}

/// A line of the log.
#[derive(Debug, Clone, Default, PartialEq)]
struct Line {
    client: String,
    way: String,
    kind: String,
    message_bytes: Option<u64>,
    data_bytes: Option<u64>,
    cursor: Option<Cursor>,
    epoch: Option<u64>,
    seq: Option<u64>,
    frames: Option<u64>,
}

/// Nothing but a time, an id, words of Baton's own and numbers: there is no place for anything else in a line.
fn parse(line: &str) -> Line {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{line}")).to_owned();
    let at = word();
    assert!(at.len() == 24 && at.ends_with('Z') && !at.contains(|c: char| c.is_ascii_lowercase()), "{line}");
    let mut read = Line { client: word(), way: word(), kind: word(), ..Line::default() };
    assert!(read.client == "-" || read.client.parse::<ClientId>().is_ok(), "{line}");
    assert!(matches!(read.way.as_str(), "in" | "out" | "-"), "{line}");
    assert!(read.kind.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
    for field in words {
        let (name, value) = field.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let number = || Some(value.parse().unwrap_or_else(|_| panic!("{line}")));
        match name {
            "message_bytes" => read.message_bytes = number(),
            "data_bytes" => read.data_bytes = number(),
            "epoch" => read.epoch = number(),
            "seq" => read.seq = number(),
            "frames" => read.frames = number(),
            "cursor" => read.cursor = Some(value.parse().unwrap_or_else(|_| panic!("{line}"))),
            _ => panic!("`{name}` in {line}"),
        }
    }
    read
}

fn read(path: &Path) -> Vec<Line> {
    // The last line may be on its way.
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(parse).collect()
}

/// The lines, once they are as wanted: they are written behind the stream.
async fn until(path: &Path, what: &str, wanted: impl Fn(&[Line]) -> bool) -> Vec<Line> {
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        let lines = read(path);
        if wanted(&lines) {
            return lines;
        }
        assert!(tokio::time::Instant::now() < limit, "no {what} in {lines:#?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn until_gone(paths: &[PathBuf]) {
    let limit = tokio::time::Instant::now() + LIMIT;
    while paths.iter().any(|path| path.exists()) {
        assert!(tokio::time::Instant::now() < limit, "{paths:?} are still there");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn switch(baton: &Baton, on: bool) {
    let _ = baton.cli(["settings", "set", "terminal_protocol_log", if on { "on" } else { "off" }]).await.ok();
    assert_eq!(baton.api().get::<Settings>("/v1/settings").await.defaults.terminal_protocol_log, on);
}

async fn beat(stream: &mut StreamClient) {
    stream.send(ClientFrame::Heartbeat).await;
    stream.until("pong", |incoming| matches!(incoming, Incoming::Frame(ServerFrame::Pong { .. })).then_some(())).await;
}

#[test]
fn heads_are_logged_and_what_frames_carry_is_not() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        const CANARY: &str = "c4n4ryX7qZ";
        let session = baton.script("read line; printf '\\033]0;%s\\007<%s>\\n' \"$line\" \"$line\"; cat").await;
        let path = &paths(baton, session)[0];
        // Open before it is switched on, one in each protocol.
        let mut typist = baton.attach(session, Attach::named(CANARY)).await;
        let mut watcher = baton.attach(session, Attach::named(CANARY).binary()).await;
        let epoch = typist.claim(false).await.unwrap().epoch;
        assert!(!baton.home.protocol_logs_dir().exists(), "nobody asked for it");
        switch(baton, true).await;
        typist.input(format!("{CANARY}\n").as_bytes(), epoch, 1).await;
        typist.until_acked(1).await;
        let shown = format!("<{CANARY}>");
        typist.until_output(&shown).await;
        watcher.until_output(&shown).await;
        let cursor = watcher.cursor();
        watcher.send(ClientFrame::Ack { cursor }).await;
        // What is refused is a frame like any other, and so is what is none.
        watcher.input(CANARY.as_bytes(), Epoch(epoch.0 + 5), 3).await;
        watcher.until_error().await;
        beat(&mut watcher).await;
        let mut late = baton.attach(session, Attach::named(CANARY)).await;
        late.until_output(&shown).await;
        beat(&mut late).await;
        late.send(ClientFrame::Detach).await;
        late.until_closed().await;

        // The title is told when the screen is drawn, who is there a moment after somebody came.
        let lines = until(path, "detach, or title", |lines| {
            let of = |client: &ClientId, kind: &str| {
                lines.iter().any(|line| line.client == client.as_str() && line.kind == kind)
            };
            let late = of(&late.id, "detach") && of(&late.id, "ws_close");
            late && of(&typist.id, "mode") && of(&typist.id, "clients")
        })
        .await;
        let found = |client: &ClientId, way: &str, kind: &str| {
            let found =
                lines.iter().find(|line| line.client == client.as_str() && line.way == way && line.kind == kind);
            found.unwrap_or_else(|| panic!("no {way} {kind} of {client:?}: {lines:#?}")).clone()
        };
        let bytes = CANARY.len() as u64 + 1;
        let typed = found(&typist.id, "in", "input");
        assert_eq!((typed.data_bytes, typed.epoch, typed.seq), (Some(bytes), Some(epoch.0), Some(1)));
        assert!(typed.message_bytes > typed.data_bytes);
        assert_eq!(found(&typist.id, "out", "input_ack").seq, Some(1));
        // In JSON and in binary a place in the output is told the same.
        for client in [&typist.id, &watcher.id] {
            let mut data = lines.iter().filter(|line| line.client == client.as_str() && line.kind == "data");
            let last = data.next_back().unwrap_or_else(|| panic!("no data of {client:?}: {lines:#?}"));
            assert_eq!(last.cursor, Some(cursor), "{lines:#?}");
            assert!(last.data_bytes.unwrap() > 0);
        }
        assert_eq!(found(&watcher.id, "in", "ack").cursor, Some(cursor));
        let stale = found(&watcher.id, "in", "input");
        assert_eq!((stale.message_bytes, stale.data_bytes), (Some(17 + bytes - 1), Some(bytes - 1)));
        assert_eq!((stale.epoch, stale.seq), (Some(epoch.0 + 5), Some(3)));
        assert_eq!(found(&watcher.id, "out", "error").seq, Some(3));
        found(&watcher.id, "in", "heartbeat");
        found(&watcher.id, "out", "pong");
        found(&typist.id, "out", "clients");
        found(&late.id, "in", "hello");
        assert_eq!(found(&late.id, "out", "ready").cursor.map(|at| at.instance), Some(cursor.instance));

        let everything = fs::read(path).unwrap();
        let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
        // Whatever stands before it: base64 has three forms of the same bytes.
        let encoded = ["", "x", "xx"].map(|before| {
            let encoded = BASE64.encode(format!("{before}{CANARY}"));
            encoded[4..encoded.len() - 4].to_owned()
        });
        for form in encoded.iter().map(String::as_str).chain([CANARY, &hex]) {
            assert!(find(&everything, form.as_bytes()).is_none(), "`{form}` is in the log");
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path), mode(&baton.home.protocol_logs_dir())), (0o600, 0o700));

        // Off at once, on streams that are open; and on again by the file alone.
        switch(baton, false).await;
        typist.input(b"unseen\n", epoch, 2).await;
        typist.until_output("unseen\r\nunseen").await;
        fs::write(baton.home.config_file(), "[defaults]\nterminal_protocol_log = true\n").unwrap();
        let on = |now: &Settings| now.defaults.terminal_protocol_log;
        let _: Settings = baton.api().get_until("/v1/settings", on).await;
        typist.input(b"seen\n", epoch, 3).await;
        typist.until_acked(3).await;
        let acked = |line: &Line| line.kind == "input_ack" && line.seq == Some(3);
        let lines = until(path, "input_ack", |lines| lines.iter().any(acked)).await;
        let inputs = lines.iter().filter(|line| line.client == typist.id.as_str() && line.kind == "input");
        assert_eq!(inputs.map(|line| line.seq).collect::<Vec<_>>(), [Some(1), Some(3)]);

        // A bridge that starts with it on logs from the first frame on, behind what is there.
        let before = lines.len();
        baton.kill_bridge().await;
        let mut back = baton.attach(session, Attach::default()).await;
        beat(&mut back).await;
        let id = back.id.as_str().to_owned();
        let lines =
            until(path, "hello", |lines| lines.iter().any(|line| line.client == id && line.kind == "hello")).await;
        assert!(lines.len() > before);
    });
}

#[test]
fn the_file_is_bounded_and_goes_with_its_session() {
    let setup = Setup::plain().env("BATON_DEFAULTS__TERMINAL_PROTOCOL_LOG", "true");
    scenario(Duration::from_secs(150), setup, async |baton: &Baton| {
        let session = baton.shell().await;
        let [newer, older] = paths(baton, session);
        let mut stream = baton.attach(session, Attach::default()).await;
        // Each has a line, and its answer another: more than two files hold.
        for _ in 0..60 {
            for _ in 0..200 {
                stream.send(ClientFrame::Heartbeat).await;
            }
            beat(&mut stream).await;
        }
        let limit = tokio::time::Instant::now() + LIMIT;
        while !older.exists() {
            assert!(tokio::time::Instant::now() < limit, "there is no older file");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for path in [&newer, &older] {
            let size = fs::metadata(path).unwrap().len();
            assert!(size <= FILE_BYTES_MAX, "`{}` has {size} bytes", path.display());
        }
        assert!(fs::metadata(&older).unwrap().len() > FILE_BYTES_MAX / 2);
        let written = read(&older).len();
        assert!(written > 1000, "{written} lines");
        assert_eq!(fs::read_dir(baton.home.protocol_logs_dir()).unwrap().count(), 2);
        // The environment says it, so nobody else can.
        let revision = baton.api().get::<Settings>("/v1/settings").await.revision;
        let body = json!({"expected_revision": revision, "terminal_protocol_log": false});
        baton.api().refused(Method::PATCH, "/v1/settings/defaults", &body, ErrorCode::Invalid).await;

        // Gone with its session, though a stream is there till the end; another's stays.
        let kept = baton.shell().await;
        let mut other = baton.attach(kept, Attach::default()).await;
        beat(&mut other).await;
        let kept_file = paths(baton, kept)[0].clone();
        until(&kept_file, "pong", |lines| lines.iter().any(|line| line.kind == "pong")).await;
        let close = format!("/v1/terminal/sessions/{session}/close");
        let answer = baton.api().call(Method::POST, &close, Some(&json!({"reason": "done"}))).await;
        assert_eq!(answer.status, 202, "{answer}");
        stream.until_exit().await;
        let forget = format!("/v1/sessions/{session}");
        let answer = baton.api().call::<()>(Method::DELETE, &forget, None).await;
        assert_eq!(answer.status, 204, "{answer}");
        stream.until_closed().await;
        until_gone(&[newer.clone(), older.clone()]).await;

        // What was forgotten while there was no bridge goes when there is one.
        fs::write(&newer, "left\n").unwrap();
        baton.kill_bridge().await;
        until_gone(&[newer]).await;
        assert!(kept_file.exists());
    });
}

#[test]
fn a_disk_that_does_not_answer_holds_up_no_stream() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let session = baton.script("stty -echo; echo begin; exec cat").await;
        let path = paths(baton, session)[0].clone();
        // Who opens a pipe that nobody reads waits: as if the disk were gone.
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let mut stream = baton.attach(session, Attach::default()).await;
        stream.until_output("begin").await;
        let epoch = stream.claim(false).await.unwrap().epoch;
        switch(baton, true).await;
        // More than twice as many as may wait: the thread may have taken as many before it came to the pipe.
        const FRAMES: usize = 20_000;
        for _ in 0..FRAMES / 200 {
            for _ in 0..200 {
                stream.send(ClientFrame::Heartbeat).await;
            }
            beat(&mut stream).await;
        }
        stream.input(b"still here\n", epoch, 1).await;
        stream.until_output("still here").await;
        switch(baton, false).await;

        // It answers: what waited is written, and how many had no place.
        let file = path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut pipe = fs::File::open(&file).unwrap();
            let (mut text, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
            let limit = std::time::Instant::now() + LIMIT;
            while find(&text, b" dropped frames=").is_none() || !text.ends_with(b"\n") {
                let count = pipe.read(&mut bytes).unwrap();
                text.extend_from_slice(&bytes[..count]);
                if count == 0 {
                    // Closed between two writes.
                    let lines = text.iter().filter(|byte| **byte == b'\n').count();
                    assert!(std::time::Instant::now() < limit, "{lines} lines, none of which says what was dropped");
                    std::thread::sleep(LOOK_EVERY);
                }
            }
            String::from_utf8(text).unwrap()
        });
        let text = reading.await.expect("what waited");
        let lines: Vec<Line> = text.lines().map(parse).collect();
        let dropped: u64 = lines.iter().filter_map(|line| line.frames).sum();
        let written = lines.iter().filter(|line| line.kind != "dropped").count() as u64;
        assert!(dropped > 0 && written >= 8192, "{written} written, {dropped} dropped");
        fs::remove_file(&path).unwrap();
    });
}
