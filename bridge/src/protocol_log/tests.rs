use super::file::FILE_BYTES_MAX;
use super::*;
use baton_proto::api::{ClientFrame, ServerFrame};
use baton_proto::ids::{Cursor, Epoch};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use uuid::Uuid;

const CANARY: &str = "c4n4ry-of-a-secret";

fn instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(7))
}

fn session(number: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(number))
}

fn client() -> ClientId {
    ClientId::from(Uuid::from_u128(9))
}

fn switched_on() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

fn heartbeat() -> Message {
    Message::Text(r#"{"type":"heartbeat"}"#.into())
}

fn said(tape: &Tape, message: &Message, way: Way) {
    tape.note(tape.head(message, way), way);
}

fn lines(directory: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text:?}");
    text.lines().map(str::to_owned).collect()
}

/// The lines without their time.
fn heads(directory: &Path, session: SessionId) -> Vec<String> {
    let timeless = |line: String| line.split_once(' ').unwrap().1.replace(client().as_str(), "C");
    lines(directory, &format!("{session}.log")).into_iter().map(timeless).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_head_is_what_is_not_the_payload() {
    let check = |message: Message, way: Way, expected: &str| {
        assert_eq!(Head::of(&message, way, instance()).to_string(), expected, "{message:?}");
    };
    let text = |value: serde_json::Value| Message::Text(value.to_string().into());
    let cursor = Cursor { instance: instance(), offset: 21 };
    for (bytes, encoded) in [(0, ""), (1, "eA=="), (2, "eHg="), (3, "eHh4"), (4, "eHh4eA==")] {
        let frame = ClientFrame::Input { data_b64: encoded.to_owned(), epoch: Epoch(3), seq: Some(8) };
        let frame = serde_json::to_string(&frame).unwrap();
        let expected = format!("input message_bytes={} data_bytes={bytes} epoch=3 seq=8", frame.len());
        check(Message::Text(frame.into()), Way::In, &expected);
    }
    let data = serde_json::to_string(&ServerFrame::Data { data_b64: "eHh4".to_owned(), cursor }).unwrap();
    let expected = format!("data message_bytes={} data_bytes=3 cursor={cursor}", data.len());
    check(Message::Text(data.into()), Way::Out, &expected);
    check(text(serde_json::json!({"type": "input_ack", "seq": 4})), Way::Out, "input_ack message_bytes=28 seq=4");
    check(
        text(serde_json::json!({"type": "lease", "epoch": 4, "owner": CANARY})),
        Way::Out,
        "lease message_bytes=55 epoch=4",
    );
    let mut data = vec![0];
    data.extend_from_slice(&21u64.to_be_bytes());
    data.extend_from_slice(CANARY.as_bytes());
    let expected = format!("data message_bytes=27 data_bytes=18 cursor={cursor}");
    check(Message::Binary(data.clone().into()), Way::Out, &expected);
    // A client's binary messages are input.
    check(Message::Binary(data.into()), Way::In, "invalid message_bytes=27");
    let mut input = vec![2];
    input.extend_from_slice(&5u64.to_be_bytes());
    input.extend_from_slice(&6u64.to_be_bytes());
    check(Message::Binary(input.clone().into()), Way::In, "input message_bytes=17 data_bytes=0 epoch=6 seq=5");
    check(Message::Binary(input[..16].to_vec().into()), Way::In, "invalid message_bytes=16");
    check(Message::Binary(Vec::new().into()), Way::In, "invalid message_bytes=0");
    check(Message::Ping(CANARY.into()), Way::In, "ws_ping message_bytes=18");
}

#[test]
fn nothing_a_client_writes_comes_through() {
    for frame in [
        serde_json::json!({"type": CANARY}),
        serde_json::json!({"type": "ack", "cursor": CANARY}),
        serde_json::json!({"type": "input", "data_b64": CANARY, "epoch": CANARY, "seq": CANARY}),
        serde_json::json!({"type": "input", "data_b64": CANARY, CANARY: CANARY}),
        serde_json::json!({"type": "error", "code": CANARY, "message": CANARY}),
        serde_json::json!({"type": "mode", "title": CANARY}),
        serde_json::json!(CANARY),
    ] {
        let head = Head::of(&Message::Text(frame.to_string().into()), Way::In, instance()).to_string();
        assert!(!head.contains(CANARY), "{head}");
    }
}

#[test]
fn every_frame_of_the_api_has_its_name() {
    let document: serde_json::Value = serde_json::from_str(&crate::routes::openapi().unwrap()).unwrap();
    let mut frames = 0;
    for schema in ["ClientFrame", "ServerFrame"] {
        for frame in document["components"]["schemas"][schema]["oneOf"].as_array().unwrap() {
            // Some are put together of two parts.
            let parts = frame["allOf"].as_array().cloned().unwrap_or_else(|| vec![frame.clone()]);
            let kind = parts.iter().find_map(|part| part["properties"]["type"]["enum"][0].as_str()).unwrap();
            let message = Message::Text(serde_json::json!({"type": kind}).to_string().into());
            assert_eq!(Head::of(&message, Way::Out, instance()).kind, kind);
            frames += 1;
        }
    }
    assert!(frames > 20, "{frames} frames");
}

#[tokio::test]
async fn frames_are_written_while_it_is_on() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("protocol");
    let on = Arc::new(AtomicBool::new(false));
    let log = ProtocolLog::open(directory.clone(), Arc::clone(&on));
    let tape = log.tape(session(1), Arc::default(), client(), instance());
    said(&tape, &heartbeat(), Way::In);
    log.flush().await;
    assert!(!directory.exists(), "nothing is made for a log that nobody wants");
    on.store(true, Ordering::Relaxed);
    tape.hello(40, None);
    said(&tape, &heartbeat(), Way::In);
    said(&tape, &Message::Text(r#"{"type":"pong"}"#.into()), Way::Out);
    on.store(false, Ordering::Relaxed);
    said(&tape, &heartbeat(), Way::In);
    log.flush().await;
    let expected = ["C in hello message_bytes=40", "C in heartbeat message_bytes=20", "C out pong message_bytes=15"];
    assert_eq!(heads(&directory, session(1)), expected);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.join(format!("{}.log", session(1)))), 0o600);
    assert_eq!(mode(&directory), 0o700);
}

#[tokio::test]
async fn a_file_is_bounded_and_the_one_before_it_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = ProtocolLog::open(dir.path().to_owned(), switched_on());
    let tape = log.tape(session(1), Arc::default(), client(), instance());
    let message = heartbeat();
    let mut noted = 0;
    for _ in 0..12 {
        for _ in 0..4000 {
            said(&tape, &message, Way::In);
            noted += 1;
        }
        log.flush().await;
    }
    let (newer, older) = (format!("{}.log", session(1)), format!("{}.1.log", session(1)));
    assert_eq!(names(dir.path()), [older.clone(), newer.clone()]);
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
    assert!(size(&newer) <= FILE_BYTES_MAX && size(&older) <= FILE_BYTES_MAX);
    assert!(size(&older) > FILE_BYTES_MAX - 200, "it was full");
    let kept = lines(dir.path(), &newer).len() + lines(dir.path(), &older).len();
    assert!(kept < noted, "{kept} of {noted} lines: older ones were given up");
}

#[tokio::test]
async fn what_does_not_fit_is_counted_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody writes yet: a disk that does not answer.
    let (log, writer) = ProtocolLog::with_room(dir.path().to_owned(), switched_on(), 3);
    let tapes = [1, 2].map(|number| log.tape(session(number), Arc::default(), client(), instance()));
    for _ in 0..5 {
        said(&tapes[0], &heartbeat(), Way::In);
    }
    said(&tapes[1], &heartbeat(), Way::In);
    let writing = std::thread::spawn(move || writer.run());
    log.flush().await;
    let beat = "C in heartbeat message_bytes=20";
    assert_eq!(heads(dir.path(), session(1)), [beat, beat, beat, "- - dropped frames=2"]);
    assert_eq!(heads(dir.path(), session(2)), ["- - dropped frames=1"]);
    said(&tapes[0], &heartbeat(), Way::In);
    log.flush().await;
    assert_eq!(heads(dir.path(), session(1)).last().unwrap(), beat);
    drop(log);
    writing.join().unwrap();
}

#[tokio::test]
async fn what_a_disk_does_not_take_is_counted_and_told_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("protocol");
    std::fs::write(&directory, "in its place").unwrap();
    let log = ProtocolLog::open(directory.clone(), switched_on());
    let tape = log.tape(session(1), Arc::default(), client(), instance());
    for _ in 0..3 {
        said(&tape, &heartbeat(), Way::In);
        log.flush().await;
    }
    std::fs::remove_file(&directory).unwrap();
    said(&tape, &heartbeat(), Way::In);
    log.flush().await;
    assert_eq!(heads(&directory, session(1)), ["- - dropped frames=3", "C in heartbeat message_bytes=20"]);
}

#[tokio::test]
async fn a_session_that_is_forgotten_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = ProtocolLog::open(dir.path().to_owned(), switched_on());
    let forgotten = Arc::new(AtomicBool::new(false));
    let [first, second] = [1, 2].map(session);
    let tape = log.tape(first, Arc::clone(&forgotten), client(), instance());
    let other = log.tape(second, Arc::default(), client(), instance());
    std::fs::write(dir.path().join(format!("{first}.1.log")), "older\n").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "somebody's\n").unwrap();
    std::fs::write(dir.path().join(format!("{}.log", session(3))), "forgotten meanwhile\n").unwrap();
    said(&tape, &heartbeat(), Way::In);
    said(&other, &heartbeat(), Way::In);
    forgotten.store(true, Ordering::Release);
    log.forget(first);
    // Its streams end a little later, and say so.
    said(&tape, &heartbeat(), Way::Out);
    log.flush().await;
    let [second_file, third_file] = [second, session(3)].map(|session| format!("{session}.log"));
    assert_eq!(names(dir.path()), ["notes.txt".to_owned(), second_file.clone(), third_file]);
    log.keep(HashSet::from([second]));
    log.flush().await;
    assert_eq!(names(dir.path()), ["notes.txt".to_owned(), second_file]);
}

#[tokio::test]
async fn no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (dir.path().join("protocol"), dir.path().join("elsewhere"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join(format!("{}.log", session(1)))).unwrap();
    let log = ProtocolLog::open(directory, switched_on());
    said(&log.tape(session(1), Arc::default(), client(), instance()), &heartbeat(), Way::In);
    log.flush().await;
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "");
}
