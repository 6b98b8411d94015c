//! Journals that were damaged on disk: every reader goes around the damage, and says how many bytes are missing.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baton_proto::api::SessionDetail;
use baton_proto::frame::{Frame, HEADER_BYTES};
use baton_proto::ids::SessionId;
use baton_tests::process::Process;
use baton_tests::{Answer, Attach, Baton, Setup, binaries, scenario};
use http::Method;
use serde_json::Value;

/// Output of a session: it fills two segments and a part of a third.
const FLOOD_BYTES: u64 = 9 << 20;
/// Bytes of a line of `baton-test-program flood`, as the terminal has them (CR LF).
const FLOOD_LINE: u64 = 65;
/// Where the records of a segment begin.
const RECORDS_AT: usize = 16 << 10;
/// Longer than any reader may take for 9 MiB, damaged or not, on a machine that does a lot else.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// What happens to a segment's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Nothing,
    Payload,
    Header,
    SegmentHead,
    Zeros,
    CutWithinRecord,
    Emptied,
    Removed,
    /// Nobody ever writes to it.
    Fifo,
    Directory,
    Garbage,
    Swapped,
}

const HARMS: [Harm; 12] = [
    Harm::Nothing,
    Harm::Payload,
    Harm::Header,
    Harm::SegmentHead,
    Harm::Zeros,
    Harm::Garbage,
    Harm::CutWithinRecord,
    // What was the oldest byte is remembered: it only ever rises.
    Harm::Emptied,
    Harm::Removed,
    Harm::Fifo,
    Harm::Directory,
    Harm::Swapped,
];

/// A record in the middle of a segment: where it begins, and bytes of its payload.
fn a_record(bytes: &[u8]) -> (usize, usize) {
    let (mut at, mut found) = (RECORDS_AT, None);
    while let Ok(Some(frame)) = Frame::parse(&bytes[at..]) {
        if frame.payload.len() > 100 && (found.is_none() || at < bytes.len() / 2) {
            found = Some((at, frame.payload.len()));
        }
        at += frame.total_bytes();
    }
    found.expect("a segment has records")
}

impl Harm {
    fn does(self, dir: &Path, number: u32) {
        let path = dir.join(format!("{number:08}.seg"));
        let other = dir.join(format!("{:08}.seg", if number == 1 { 2 } else { number - 1 }));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (record, len) = a_record(&bytes);
        let flip = |at: usize| file.write_all_at(&[bytes[at] ^ 0x20], at as u64).unwrap();
        match self {
            Self::Nothing => {}
            Self::Payload => flip(record + HEADER_BYTES + len / 2),
            // Of its length, its offset, its instance.
            Self::Header => [0, 9, 33].map(|at| flip(record + at)).into_iter().collect(),
            Self::SegmentHead => flip(20),
            Self::Zeros => file.write_all_at(&[0; 4096], record as u64 + 20).unwrap(),
            Self::CutWithinRecord => file.set_len((record + HEADER_BYTES + len / 2) as u64).unwrap(),
            Self::Emptied => file.set_len(0).unwrap(),
            Self::Removed => fs::remove_file(&path).unwrap(),
            Self::Fifo => {
                fs::remove_file(&path).unwrap();
                nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            }
            Self::Directory => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
            Self::Garbage => {
                let garbage: Vec<u8> = bytes.iter().rev().take(5000).map(|byte| byte.wrapping_mul(31)).collect();
                file.write_all_at(&garbage, bytes.len() as u64).unwrap();
            }
            Self::Swapped => {
                let away = dir.join("away");
                fs::rename(&path, &away).unwrap();
                fs::rename(&other, &path).unwrap();
                fs::rename(&away, &other).unwrap();
            }
        }
    }

    /// Whether a screen of behind it, with a keyframe in between, is as it was.
    const fn heals(self) -> bool {
        !matches!(self, Self::Swapped)
    }
}

/// Every file's bytes and times.
type Files = BTreeMap<PathBuf, (Vec<u8>, i64, i64)>;

fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let meta = fs::metadata(&path).unwrap();
            // Whoever opens a FIFO waits for somebody to write to it.
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            (path.clone(), (bytes, meta.mtime(), meta.mtime_nsec()))
        })
        .collect()
}

fn put_back(dir: &Path, files: &Files) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
    for (path, (bytes, ..)) in files {
        fs::write(path, bytes).unwrap();
    }
}

/// What is left of the output: offset and bytes of each piece, and how much is missing.
struct Left {
    pieces: Vec<(u64, Vec<u8>)>,
    lost: u64,
}

impl Left {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }
}

async fn get(baton: &Baton, id: SessionId, rest: &str) -> Answer {
    let begun = Instant::now();
    let path = format!("/v1/terminal/sessions/{id}/{rest}");
    let answer = tokio::time::timeout(ANSWER_WITHIN, async {
        loop {
            let answer = baton.api().call::<()>(Method::GET, &path, None).await;
            if answer.status != 503 {
                return answer;
            }
            // The worker was killed a moment ago.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    answer.await.unwrap_or_else(|_| panic!("{path} takes longer than {:?}", begun.elapsed()))
}

fn offset(answer: &Answer) -> u64 {
    answer.header("baton-cursor").unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// `GET …/output`, page by page, against what was written.
async fn output(baton: &Baton, id: SessionId, expected: &[u8]) -> Left {
    let session = baton.session(id).await.session;
    let (mut at, mut left) = (session.oldest_cursor.offset, Left { pieces: Vec::new(), lost: 0 });
    loop {
        let answer = get(baton, id, &format!("output?cursor={}:{at}", session.instance)).await;
        if answer.status == 410 && left.pieces.is_empty() {
            // What was oldest when somebody last looked is not there any more.
            let oldest = answer.problem().oldest_cursor.expect("the oldest that is");
            let oldest: u64 = oldest.rsplit_once(':').unwrap().1.parse().unwrap();
            assert!(oldest > at);
            at = oldest;
            continue;
        }
        assert_eq!(answer.status, 200, "{answer}");
        let lost: u64 = answer.header("baton-lost").map_or(0, |lost| lost.parse().unwrap());
        let from = at + lost;
        let until = from + answer.body.len() as u64;
        assert_eq!(offset(&answer), until);
        let written = usize::try_from(from).unwrap()..usize::try_from(until).unwrap();
        assert!(answer.body[..] == expected[written], "what is handed out was written");
        if until == at {
            assert_eq!(at, session.cursor.offset, "the end that `ls` tells is reached");
            return left;
        }
        if !answer.body.is_empty() {
            left.pieces.push((from, answer.body.to_vec()));
        }
        left.lost += lost;
        at = until;
    }
}

fn missing(text: &str) -> u64 {
    let number = |line: &str| {
        let rest = line.strip_prefix("baton: ").unwrap_or(line);
        rest.split_once(" bytes of output")?.0.parse::<u64>().ok()
    };
    text.lines().filter_map(number).sum()
}

struct Healthy {
    id: SessionId,
    output: Vec<u8>,
    /// Screens at some places.
    screens: Vec<(u64, String)>,
}

async fn screen(baton: &Baton, id: SessionId, at: u64) -> (u64, bool, String) {
    let instance = baton.session(id).await.session.instance;
    let answer = get(baton, id, &format!("snapshot?format=text&cursor={instance}:{at}")).await;
    assert_eq!(answer.status, 200, "at {at}: {answer}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    (offset(&answer), answer.header("baton-approximate").is_some(), text)
}

/// Everything that reads, over a session that lost something or nothing. How much it has lost, and where from.
async fn read_everywhere(baton: &Baton, healthy: &Healthy, what: &str, heals: bool) -> Left {
    let (id, name) = (healthy.id, healthy.id.to_string());
    let left = output(baton, id, &healthy.output).await;
    let oldest = baton.session(id).await.session.oldest_cursor.offset;
    let kept: u64 = left.pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(oldest + kept + left.lost, healthy.output.len() as u64, "{what}: every byte is accounted for");
    let bytes = left.bytes();

    let log = baton.cli(["log", &name]).await;
    assert_eq!(log.code, Some(0), "{what}: {}", log.stderr);
    assert!(log.stdout.as_bytes() == bytes, "{what}: `log` prints what is whole, and nothing else");
    assert_eq!(missing(&log.stderr), left.lost + oldest, "{what}: {}", log.stderr);
    let json = baton.cli(["log", "--json", &name]).await.ok();
    let lines = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.filter_map(|line| line["lost"].as_u64()).sum::<u64>(), left.lost, "{what}");

    let (mut hits, mut lost, mut cursor) = (0, 0, String::new());
    loop {
        let answer = get(baton, id, &format!("search?q=%5C.%7B43%7D%24&regex=true&limit=1000{cursor}")).await;
        let answer: Value = answer.json();
        hits += answer["items"].as_array().unwrap().len() as u64;
        lost += answer["lost"].as_u64().unwrap();
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(lost, left.lost, "{what}: search");
    let lines: u64 = left.pieces.iter().map(|(_, bytes)| bytes.len() as u64 / FLOOD_LINE).sum();
    let pieces = left.pieces.len() as u64;
    assert!(hits <= lines + pieces + 1 && hits + 2 * pieces + 2 >= lines, "{what}: {hits} lines found of {lines}");
    let found = baton.cli(["search", "--limit", "1", &name, "nowhere to be found"]).await;
    assert_eq!((found.code, missing(&found.stderr)), (Some(1), left.lost), "{what}: {}", found.stderr);

    let cast = get(baton, id, "recording.cast").await;
    assert_eq!(cast.status, 200, "{what}: {cast}");
    let text = String::from_utf8(cast.body.to_vec()).unwrap();
    let events = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut marked, mut played) = (0, String::new());
    for event in events {
        match (event[1].as_str().unwrap(), event[2].as_str().unwrap()) {
            ("m", text) => marked += missing(text),
            ("o", text) => played.push_str(text),
            _ => {}
        }
    }
    let begin = text.find("\"o\"").map(|_| oldest).unwrap();
    assert_eq!(marked, left.lost, "{what}: export, from {begin}");
    if oldest == 0 {
        assert!(played.as_bytes().starts_with(&bytes), "{what}: what is played was written");
    }
    let file = baton.scratch().join("out.cast");
    let export = baton.cli(["export", "-o", file.to_str().unwrap(), &name]).await;
    assert_eq!(export.code, Some(0), "{what}: {}", export.stderr);

    for (at, expected) in &healthy.screens {
        if *at < oldest {
            continue;
        }
        let (cursor, approximate, text) = screen(baton, id, *at).await;
        assert!(cursor <= *at, "{what}");
        assert!(approximate || text == *expected, "{what}: at {at} it is said that the screen is right: {text}");
        let hurt = left.pieces.iter().all(|(from, bytes)| *from > *at || from + (bytes.len() as u64) < *at);
        assert!(!hurt || approximate || text == *expected, "{what}: at {at}");
    }
    let (_, approximate, text) = screen(baton, id, healthy.output.len() as u64).await;
    let end_is_whole = left.pieces.last().is_some_and(|(from, bytes)| {
        // A keyframe stands in between.
        bytes.len() > 2 << 20 && from + bytes.len() as u64 == healthy.output.len() as u64
    });
    if end_is_whole && heals {
        assert!(!approximate, "{what}: a keyframe behind the damage is right");
        assert_eq!(&text, &healthy.screens.last().unwrap().1);
    }
    let shown = baton.cli(["snapshot", "--format", "text", &name]).await;
    assert_eq!(shown.code, Some(0), "{what}: {}", shown.stderr);

    let sessions: Value = baton.cli(["ls", "--all", "--json"]).await.json();
    let listed = sessions.as_array().unwrap().iter().find(|session| session["id"] == name.as_str()).unwrap();
    let end = format!(":{}", healthy.output.len());
    assert!(listed["cursor"].as_str().unwrap().ends_with(&end), "{what}: {listed}");
    left
}

async fn flood(baton: &Baton, then: &str) -> SessionId {
    let program = binaries::path("baton-test-program");
    baton.script(&format!("{} flood {FLOOD_BYTES}; {then}", program.display())).await
}

fn expected() -> Vec<u8> {
    (0..FLOOD_BYTES / 64).flat_map(|line| format!("{line:020}{}\r\n", ".".repeat(43)).into_bytes()).collect()
}

async fn healthy(baton: &Baton, id: SessionId) -> Healthy {
    let output = baton.output(id).await;
    let mut screens = Vec::new();
    for part in 0..=8 {
        let at = output.len() as u64 * part / 8;
        let (cursor, approximate, text) = screen(baton, id, at).await;
        assert!(!approximate && cursor == at, "nothing is missing");
        screens.push((at, text));
    }
    Healthy { id, output, screens }
}

/// Its worker is gone; whoever reads it next starts another.
async fn retire(baton: &Baton, id: SessionId) {
    let path = format!("/v1/sessions/{id}");
    let detail = baton.session(id).await;
    if let Some(worker) = detail.session.worker_pid.and_then(Process::find) {
        worker.kill().await;
    }
    let retired = |detail: &SessionDetail| detail.session.worker_pid.is_none_or(|pid| Process::find(pid).is_none());
    let _: SessionDetail = baton.api().get_until(&path, retired).await;
}

fn ended_session_with_damage_in(part: usize) {
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(580), setup, async |baton: &Baton| {
        let id = flood(baton, "exit 3").await;
        let path = format!("/v1/sessions/{id}");
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&path, ended).await;
        let healthy = healthy(baton, id).await;
        assert!(healthy.output == expected());
        // By itself, so that everything it writes is written.
        let over = |detail: &SessionDetail| !ended(detail) || detail.session.worker_pid.is_none();
        let _: SessionDetail = baton.api().get_until(&path, over).await;
        let dir = baton.home.sessions_dir().join(id.to_string());
        let dir = dir.join(baton.session(id).await.session.instance.to_string());
        retire(baton, id).await;
        let whole = files(&dir);
        let segments: Vec<&PathBuf> = whole.keys().filter(|path| path.extension().is_some()).collect();
        let last = u32::try_from(segments.len()).unwrap();
        assert!(last >= 3, "{segments:?}");
        let number = [1, 2, last][part];
        for harm in HARMS {
            let what = format!("{harm:?} in segment {number} of {last}");
            harm.does(&dir, number);
            let before = files(&dir);
            let left = read_everywhere(baton, &healthy, &what, harm.heals()).await;
            println!("{what}: {} bytes lost, {} pieces", left.lost, left.pieces.len());
            let detail = baton.session(id).await.session;
            assert_eq!(detail.exit.and_then(|exit| exit.code), Some(3), "{what}");
            let missing = left.lost + detail.oldest_cursor.offset;
            match harm {
                Harm::Nothing | Harm::Garbage | Harm::SegmentHead => assert_eq!(missing, 0, "{what}"),
                Harm::Payload | Harm::Header => assert!((1..=64 << 10).contains(&missing), "{what}: {missing}"),
                Harm::Zeros => assert!((1..=3 * (64 << 10)).contains(&missing), "{what}: {missing}"),
                _ => assert!(missing > 0, "{what}"),
            }
            retire(baton, id).await;
            assert!(files(&dir) == before, "{what}: who reads changes nothing");
            put_back(&dir, &whole);
        }
    });
}

#[test]
fn an_ended_session_with_damage_in_its_oldest_segment_is_read_around_it() {
    ended_session_with_damage_in(0);
}

#[test]
fn an_ended_session_with_damage_in_a_middle_segment_is_read_around_it() {
    ended_session_with_damage_in(1);
}

#[test]
fn an_ended_session_with_damage_in_its_newest_segment_is_read_around_it() {
    ended_session_with_damage_in(2);
}

// The worker is killed after its journal was damaged: its successor keeps what is whole, marks what is not, and the session
// goes on at the right place.
#[test]
fn a_living_session_goes_on_after_its_journal_was_damaged_and_its_worker_killed() {
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(580), setup, async |baton: &Baton| {
        for (harm, newest) in [
            (Harm::Payload, true),
            (Harm::Header, true),
            (Harm::Zeros, true),
            (Harm::SegmentHead, true),
            (Harm::CutWithinRecord, true),
            (Harm::Emptied, true),
            (Harm::Removed, true),
            (Harm::Garbage, true),
            (Harm::Zeros, false),
            (Harm::Removed, false),
            (Harm::Swapped, false),
        ] {
            let id = flood(baton, "echo ready; stty -echo; read line; echo got $line; exec sleep 600").await;
            let mut client = baton.attach(id, Attach::named("hand")).await;
            client.until_output("ready").await;
            let mut healthy = healthy(baton, id).await;
            let detail = baton.session(id).await.session;
            let dir = baton.home.sessions_dir().join(id.to_string()).join(detail.instance.to_string());
            let last = files(&dir).keys().filter(|path| path.extension().is_some()).count();
            let number = if newest { u32::try_from(last).unwrap() } else { 2 };
            let what = format!("{harm:?} in segment {number} of {last} of a living session");
            harm.does(&dir, number);
            let worker = Process::of(detail.worker_pid.unwrap());
            worker.kill().await;
            let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker.pid);
            let path = format!("/v1/sessions/{id}");
            let _: SessionDetail = baton.api().get_until(&path, next).await;
            let left = read_everywhere(baton, &healthy, &what, harm.heals()).await;
            println!("{what}: {} bytes lost, {} pieces", left.lost, left.pieces.len());
            let oldest = baton.session(id).await.session.oldest_cursor.offset;
            match harm {
                Harm::Garbage | Harm::SegmentHead => assert_eq!(left.lost, 0, "{what}"),
                Harm::Payload | Harm::Header => assert!((1..=64 << 10).contains(&left.lost), "{what}: {}", left.lost),
                Harm::Zeros => assert!((1..=3 * (64 << 10)).contains(&left.lost), "{what}: {}", left.lost),
                _ => assert!(left.lost + oldest > 0, "{what}"),
            }
            // It is typed into, and what it says then follows what it said before.
            let sent = baton.cli(["send", "--claim", &id.to_string(), "--text", "on", "--enter"]).await;
            assert_eq!(sent.code, Some(0), "{what}: {}", sent.stderr);
            let before = healthy.output.len();
            healthy.output.extend_from_slice(b"got on\r\n");
            let grown = |detail: &SessionDetail| detail.session.cursor.offset == healthy.output.len() as u64;
            let _: SessionDetail = baton.api().get_until(&path, grown).await;
            let after = output(baton, id, &healthy.output).await;
            assert_eq!(after.lost, left.lost, "{what}: nothing more is lost");
            assert!(after.bytes().ends_with(&healthy.output[before..]), "{what}");
            let close = baton.cli(["close", &id.to_string()]).await;
            assert_eq!(close.code, Some(0), "{what}: {}", close.stderr);
        }
    });
}
