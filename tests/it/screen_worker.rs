//! The worker's screen, over the real binaries: drawn from the journal, at any place of it, whatever happens to the worker; queries
//! are answered once, marks are journalled once, and a session at rest pays nothing for it.

use std::collections::HashSet;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, SessionDetail};
use baton_proto::frame::{self, Kind};
use baton_proto::ids::SessionId;
use baton_proto::v1::{
    self, Attachment, Claim, Class, Dimensions, Failed, Inspect, Inspection, Locate, Located, MarkKind, MarkRecord,
    RangeHeader, ResizeRecord, ScreenAt, ScreenFormat, ScreenHeader, ScreenState, SnapshotRequest, TerminalFacts,
};
use baton_screen::Screen;
use baton_tests::peer::Peer;
use baton_tests::process::Process;
use baton_tests::{Baton, Setup, scenario, session};

/// A record of the journal.
struct Kept {
    kind: Kind,
    at: u64,
    wall_us: u64,
    payload: Vec<u8>,
}

/// Everything a worker has kept, each record once.
async fn journal(peer: &mut Peer, from: u64) -> Vec<Kept> {
    // The answers overlap by whole records.
    let (mut from, mut kept, mut known) = (from, Vec::new(), HashSet::new());
    loop {
        let range = v1::ReadRange { from, max_bytes: 1 << 20 };
        let answer = peer.request(Kind::ReadRange, &range).await.unwrap();
        assert_eq!(answer.kind(), Some(Kind::Range), "{:?}", answer.kind());
        let (range, mut records) = RangeHeader::split(&answer.payload).unwrap();
        let mut fresh = false;
        while let Some(record) = frame::Frame::parse(records).unwrap() {
            records = &records[record.total_bytes()..];
            let header = record.header;
            if !known.insert((header.segment, header.at, header.wall_us, header.kind, header.crc)) {
                continue;
            }
            fresh = true;
            let kind = header.known_kind().expect("a known record");
            kept.push(Kept { kind, at: header.at, wall_us: header.wall_us, payload: record.payload.to_vec() });
        }
        if !fresh || range.next >= range.head {
            return kept;
        }
        from = range.next;
    }
}

/// The screen after so many bytes of what was kept, as it is when nothing but the journal counts. Changes of size count up
/// to the place that was `asked` for, which may lie behind, within a sequence that is half written.
fn replayed(kept: &[Kept], until: u64, asked: u64, wall_us: u64) -> Screen {
    let mut screen = Screen::new(Dimensions { cols: 80, rows: 24 });
    let mut seen = Vec::new();
    for record in kept.iter().take_while(|record| record.wall_us <= wall_us) {
        match record.kind {
            Kind::Output if record.at < until => {
                let len = usize::try_from(until - record.at).unwrap().min(record.payload.len());
                screen.feed(&record.payload[..len], &mut seen);
            }
            Kind::Resize if record.at <= asked => {
                let size: ResizeRecord = frame::read_body(Kind::Resize, &record.payload).unwrap();
                screen.resize(Dimensions { cols: size.cols, rows: size.rows });
            }
            _ => {}
        }
    }
    screen
}

/// A screen, put together from its parts.
async fn drawn(
    peer: &mut Peer,
    at: ScreenAt,
    format: ScreenFormat,
    history: u32,
) -> Result<(ScreenHeader, Vec<u8>), Failed> {
    let first = peer.request(Kind::Snapshot, &SnapshotRequest { at, format, history }).await.unwrap();
    let id = first.header.at;
    let (mut received, mut bytes) = (first, Vec::new());
    loop {
        if received.kind() == Some(Kind::Failed) {
            return Err(received.body());
        }
        assert_eq!(received.kind(), Some(Kind::Screen));
        let (header, part) = ScreenHeader::split(&received.payload).unwrap();
        bytes.extend_from_slice(part);
        if header.last {
            return Ok((header, bytes));
        }
        received = loop {
            let next = peer.next().await.unwrap().expect("the rest of the screen");
            if next.header.at == id && next.header.kind >= Kind::Done.number() {
                break next;
            }
        };
    }
}

async fn head(peer: &mut Peer) -> (ScreenHeader, Vec<u8>) {
    loop {
        // All its places may be taken by who asked before; they are given back one by one.
        match drawn(peer, ScreenAt::Head, ScreenFormat::Ansi, 0).await {
            Err(failed) if failed.code == ErrorCode::Busy => {}
            answer => return answer.unwrap(),
        }
    }
}

/// A screen of a worker is what the bytes before it show.
fn assert_same(kept: &[Kept], header: &ScreenHeader, bytes: &[u8], asked: u64, wall_us: u64) {
    let screen = replayed(kept, header.offset, asked, wall_us);
    assert_eq!(screen.boundary(), header.offset, "nothing is half written where a snapshot stands");
    assert_eq!(screen.size(), Dimensions { cols: header.cols, rows: header.rows });
    let expected = screen.snapshot(0);
    assert!(
        expected == bytes,
        "at {}:\n{}\ninstead of\n{}",
        header.offset,
        String::from_utf8_lossy(bytes).escape_debug(),
        String::from_utf8_lossy(&expected).escape_debug()
    );
}

async fn inspect(peer: &mut Peer) -> Inspection {
    peer.ask(Kind::Inspect, &Inspect {}, Kind::Inspection).await
}

/// Waits until the program has written this, from the journal's beginning on.
async fn until_written(peer: &mut Peer, what: &str) -> Vec<Kept> {
    loop {
        let kept = journal(peer, 0).await;
        let output: Vec<u8> =
            kept.iter().filter(|it| it.kind == Kind::Output).flat_map(|it| it.payload.clone()).collect();
        if output.windows(what.len()).any(|window| window == what.as_bytes()) {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn threads(worker: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{worker}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|it| it.trim().to_owned())
        .collect()
}

async fn until_parked(worker: u32) {
    while threads(worker).len() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills a session's worker; the next one's connection.
async fn succeeded(baton: &Baton, session: SessionId, worker: u32) -> (Peer, u32) {
    Process::of(worker).kill().await;
    let path = format!("/v1/sessions/{session}");
    let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
    let detail: SessionDetail = baton.api().get_until(&path, next).await;
    (baton.worker_peer(session).await, detail.session.worker_pid.unwrap())
}

/// A bash that asks with `$1` (already escaped for printf) and tells in hex what came, up to the answer to a status report.
fn asker(questions: &str) -> String {
    format!(
        r#"stty raw -echo
printf '{questions}\033[5n'
IFS= read -r -d n answer
more=
IFS= read -r -t 0.4 -n 1 more
stty sane
printf 'answer '; printf '%s' "$answer" | od -An -v -tx1 | tr -d ' \n'; printf ' more %s.\n' "$more"
read line
"#
    )
}

fn in_bash(script: &str) -> CreateTerminal {
    CreateTerminal { cols: Some(80), rows: Some(24), ..session::command(["/bin/bash", "--norc", "-c", script]) }
}

fn told(kept: &[Kept]) -> String {
    let output: Vec<u8> = kept.iter().filter(|it| it.kind == Kind::Output).flat_map(|it| it.payload.clone()).collect();
    let text = String::from_utf8_lossy(&output).into_owned();
    let (_, rest) = text.rsplit_once("answer ").expect("an answer");
    let hex = rest.split(' ').next().unwrap();
    let more = rest.split(" more ").nth(1).unwrap().split(".\r\n").next().unwrap();
    assert_eq!(more, "", "nothing comes behind the last answer");
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    String::from_utf8(bytes).unwrap()
}

/// Runs [`DRAWING`] and changes the size in the middle of it, within a sequence.
async fn drawing(baton: &Baton) -> (SessionId, Peer, Vec<Kept>) {
    let session = baton.create(&in_bash(DRAWING)).await;
    let mut peer = baton.worker_peer(session).await;
    let _ = until_written(&mut peer, "half \x1b[4").await;
    let attachment = peer.attach(&session::client_id(), Class::Person).await.attachment;
    let claim = Claim { attachment, force: false, if_epoch: None, request: 0 };
    let lease: v1::LeaseRecord = peer.ask(Kind::Claim, &claim, Kind::LeaseState).await;
    for (cols, rows) in [(120, 40), (100, 30)] {
        let resize = v1::ResizeRequest { attachment, size: Dimensions { cols, rows } };
        assert_eq!(peer.request(Kind::ResizeRequest, &resize).await.unwrap().kind(), Some(Kind::Done));
    }
    peer.input(attachment, lease.epoch, 1, b"\r").await.unwrap();
    let kept = until_written(&mut peer, "drawn\r").await;
    (session, peer, kept)
}

const DRAWING: &str = r"
printf '\033]2;a title\007\033]7;file:///tmp\033\\\033[?1049h\033[?1000h\033[?2004h\033[1;31mred\033[0m \344\270\255\346\226\207 e\314\201\r\n'
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); printf '\033[%dmline %d of them\033[0m\r\n' $((31 + i % 7)) $i; done
printf '\033[?1049l\033[5;70Hwrapped around the margin\033[2;3H'
printf 'half \033[4'
read line
printf 'munderlined\033[0m\r\n'
i=0; while [ $i -lt 500 ]; do i=$((i+1)); printf '%d bottles\r\n' $i; done
printf 'drawn\r\n'
read line
";

#[test]
fn a_screen_is_what_the_bytes_before_it_show_at_the_head_in_the_past_and_at_a_time() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (_, mut peer, kept) = drawing(baton).await;
        let end = inspect(&mut peer).await;
        let (header, bytes) = head(&mut peer).await;
        assert_eq!(header.offset, end.head);
        assert!(!header.approximate);
        assert_same(&kept, &header, &bytes, end.head, u64::MAX);
        assert_eq!((end.oldest_screen, end.oldest), (0, 0));

        // Every place, and in between.
        for step in 0..60 {
            let offset = end.head * step / 59;
            let (header, bytes) = drawn(&mut peer, ScreenAt::Offset(offset), ScreenFormat::Ansi, 0).await.unwrap();
            assert!(header.offset <= offset && offset - header.offset < 64, "{} for {offset}", header.offset);
            assert_same(&kept, &header, &bytes, offset, u64::MAX);
            let record = kept.iter().rfind(|it| it.kind == Kind::Output && it.at < header.offset.max(1)).unwrap();
            assert!(step == 0 || header.wall_us == record.wall_us, "when these bytes came");
        }
        // In time: the moment right before a record has none of it.
        let outputs: Vec<&Kept> = kept.iter().filter(|it| it.kind == Kind::Output).collect();
        for record in outputs.iter().step_by(outputs.len() / 10 + 1).skip(1) {
            let wall_us = record.wall_us - 1;
            let located: Located = peer.ask(Kind::Locate, &Locate { wall_us }, Kind::Located).await;
            let first = outputs.iter().find(|it| it.wall_us > wall_us).unwrap();
            assert_eq!((located.offset, located.wall_us), (first.at, first.wall_us));
            let (header, bytes) = drawn(&mut peer, ScreenAt::Time(wall_us), ScreenFormat::Ansi, 0).await.unwrap();
            assert!(header.offset <= located.offset && header.wall_us <= wall_us);
            assert_same(&kept, &header, &bytes, located.offset, wall_us);
        }
        // The size changed within a half written sequence: behind the last place where nothing is, and before the next output.
        let resized = kept.iter().rfind(|it| it.kind == Kind::Resize).unwrap();
        let (header, bytes) = drawn(&mut peer, ScreenAt::Offset(resized.at), ScreenFormat::Ansi, 0).await.unwrap();
        assert_eq!((header.cols, header.rows, header.offset < resized.at), (100, 30, true));
        assert_same(&kept, &header, &bytes, resized.at, u64::MAX);
        let wall_us = outputs.iter().find(|it| it.at >= resized.at).unwrap().wall_us - 1;
        let (header, bytes) = drawn(&mut peer, ScreenAt::Time(wall_us), ScreenFormat::Ansi, 0).await.unwrap();
        assert_eq!((header.cols, header.rows), (100, 30));
        assert_same(&kept, &header, &bytes, resized.at, wall_us);

        let future: Located = peer.ask(Kind::Locate, &Locate { wall_us: u64::MAX }, Kind::Located).await;
        assert_eq!(future.offset, end.head);

        // The other forms, and lines above the screen.
        let screen = replayed(&kept, end.head, end.head, u64::MAX);
        let (_, text) = drawn(&mut peer, ScreenAt::Head, ScreenFormat::Text, 0).await.unwrap();
        let expected =
            baton_screen::formats::text::text(&screen.view(0), baton_screen::formats::text::TextOptions::default());
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let (_, json) = drawn(&mut peer, ScreenAt::Head, ScreenFormat::Json, 0).await.unwrap();
        assert!(json == baton_screen::formats::json::json(&screen.view(0)).unwrap());
        let (_, html) = drawn(&mut peer, ScreenAt::Head, ScreenFormat::Html, 0).await.unwrap();
        assert!(html == baton_screen::formats::html::html(&screen.view(0)).as_bytes());
        let (header, text) = drawn(&mut peer, ScreenAt::Head, ScreenFormat::Text, 400).await.unwrap();
        assert_eq!(header.offset, end.head);
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(text.ends_with(&expected), "history comes first, the screen is the same");
        assert!(lines.contains(&"400 bottles") && lines.contains(&"102 bottles"), "{text}");
        assert!(lines.len() <= 400 + 30, "{} lines", lines.len());

        // What cannot be.
        let beyond = drawn(&mut peer, ScreenAt::Offset(end.head + 1), ScreenFormat::Ansi, 0).await.unwrap_err();
        assert_eq!(beyond.code, ErrorCode::Invalid);
        let lines = SnapshotRequest::HISTORY_MAX + 1;
        let too_much = drawn(&mut peer, ScreenAt::Head, ScreenFormat::Ansi, lines).await.unwrap_err();
        assert_eq!(too_much.code, ErrorCode::Invalid);

        // What the program has switched on, and the marks it left.
        assert_eq!(end.screen.title.as_deref(), Some("a title"));
        assert_eq!(end.screen.cwd.as_deref(), Some("/tmp"));
        assert!(!end.screen.alt_screen && end.screen.bracketed_paste);
        assert_eq!(end.screen.mouse, v1::MouseMode::Clicks);
        let kept = journal(&mut peer, 0).await;
        let marks = marks(&kept);
        let title = marks.iter().find(|mark| mark.kind == MarkKind::Title).expect("a mark of the title");
        assert_eq!((title.text.as_str(), title.offset), ("a title", b"\x1b]2;a title\x07".len() as u64));
        assert!(marks.iter().any(|mark| mark.kind == MarkKind::Cwd && mark.text == "/tmp"));
    });
}

fn marks(kept: &[Kept]) -> Vec<MarkRecord> {
    kept.iter()
        .filter(|it| it.kind == Kind::Mark)
        .map(|it| frame::read_body(Kind::Mark, &it.payload).unwrap())
        .collect()
}

#[test]
fn the_head_is_drawn_during_an_unbroken_flood() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let request =
            CreateTerminal { cols: Some(80), rows: Some(24), ..session::command([program, "flood", "60000000"]) };
        let session = baton.create(&request).await;
        let mut peer = baton.worker_peer(session).await;
        let mut screens = Vec::new();
        let mut slowest = Duration::ZERO;
        loop {
            let begun = tokio::time::Instant::now();
            let before = inspect(&mut peer).await;
            if before.exit.is_some() {
                break;
            }
            let (header, bytes) = head(&mut peer).await;
            slowest = slowest.max(begun.elapsed());
            assert!(
                header.offset + 64 > before.head,
                "{} is before the {} when it was asked for",
                header.offset,
                before.head
            );
            assert!(!header.approximate);
            screens.push((header, bytes));
            let past = before.head / 2;
            screens.push(drawn(&mut peer, ScreenAt::Offset(past), ScreenFormat::Ansi, 0).await.unwrap());
        }
        println!("{} screens during a flood of 60 MB; the slowest after {slowest:?}", screens.len());
        assert!(screens.len() >= 6, "the flood was over after {} screens", screens.len());
        let kept = journal(&mut peer, 0).await;
        for (header, bytes) in screens.iter().take(12) {
            assert_same(&kept, header, bytes, header.offset, u64::MAX);
        }
    });
}

const QUESTIONS: &str = r"\033[3;7H\033[c\033[6n\033]11;?\033\\\033[?u";

#[test]
fn queries_are_answered_once_with_nobody_attached() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&in_bash(&asker(QUESTIONS))).await;
        let mut peer = baton.worker_peer(session).await;
        let kept = until_written(&mut peer, ".\r\n").await;
        let answers = told(&kept);
        assert!(answers.starts_with("\x1b[?62;22c\x1b[3;7R\x1b]11;rgb:"), "{answers:?}");
        assert!(answers.ends_with("\x1b\\\x1b[?0u\x1b[0"), "{answers:?}");
        assert_eq!(answers.matches("rgb:").count(), 1);
        assert!(kept.iter().all(|it| it.kind != Kind::InputMark), "nobody typed");
    });
}

#[test]
fn queries_are_answered_once_for_the_owners_terminal_with_two_attached() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script = format!("echo ready; read line\n{}", asker(QUESTIONS));
        let session = baton.create(&in_bash(&script)).await;
        let mut peer = baton.worker_peer(session).await;
        let _ = until_written(&mut peer, "ready").await;
        let (first, second) = (session::client_id(), session::client_id());
        let first = peer.attach(&first, Class::Person).await.attachment;
        let second = peer.attach(&second, Class::Person).await.attachment;
        let facts = |attachment: Attachment, red: u8, da1: &str| TerminalFacts {
            attachment,
            fg: None,
            bg: Some([red, 0x22, 0x33]),
            kitty: Some(31),
            da1: Some(da1.to_owned()),
            cell_px: Some((8, 16)),
        };
        let done = peer.request(Kind::Facts, &facts(first, 0x11, "64;1")).await.unwrap();
        assert_eq!(done.kind(), Some(Kind::Done));
        let done = peer.request(Kind::Facts, &facts(second, 0x99, "65;2")).await.unwrap();
        assert_eq!(done.kind(), Some(Kind::Done));
        let bad = peer.request(Kind::Facts, &facts(first, 0, "62;22c\x1b]0;x")).await.unwrap();
        assert_eq!(bad.body::<Failed>().code, ErrorCode::Invalid);
        let claim = |attachment| Claim { attachment, force: true, if_epoch: None, request: 0 };
        let _: v1::LeaseRecord = peer.ask(Kind::Claim, &claim(first), Kind::LeaseState).await;
        let lease: v1::LeaseRecord = peer.ask(Kind::Claim, &claim(second), Kind::LeaseState).await;
        peer.input(second, lease.epoch, 1, b"go\r").await.unwrap();
        let kept = until_written(&mut peer, ".\r\n").await;
        assert_eq!(told(&kept), "\x1b[?65;2c\x1b[3;7R\x1b]11;rgb:9999/2222/3333\x1b\\\x1b[?0u\x1b[0");
        assert_eq!(kept.iter().filter(|it| it.kind == Kind::InputMark).count(), 1, "answers are nobody's input");
        let now = inspect(&mut peer).await;
        assert_eq!(now.lease.epoch, lease.epoch);
        assert_eq!(now.input_queued, 0);
    });
}

/// Asks where the cursor is, at a place that tells the question, until a file exists.
fn prober(stop: &str) -> String {
    format!(
        r#"stty raw -echo
i=0; lost=0; wrong=0
while [ ! -e {stop} ]; do
  i=$((i + 1)); r=$((i / 60 % 20 + 1)); c=$((i % 60 + 1))
  printf '\033[%d;%dH\033[6n' $r $c
  if IFS= read -r -t 10 -d R a; then
    [ "$a" = $'\033'"[$r;$c" ] || wrong=$((wrong + 1))
  else
    lost=$((lost + 1))
  fi
done
more=
IFS= read -r -t 0.4 -n 1 more && wrong=$((wrong + 1))
stty sane
printf '\033[2J\033[H\r\nasked %d lost %d wrong %d.\r\n' $i $lost $wrong
read line
"#
    )
}

#[test]
fn no_query_is_answered_twice_when_workers_are_killed() {
    scenario(Duration::from_secs(180), Setup::plain(), async |baton: &Baton| {
        let stop = baton.scratch().join("stop");
        let session = baton.create(&in_bash(&prober(stop.to_str().unwrap()))).await;
        let mut peer = baton.worker_peer(session).await;
        let mut worker = inspect(&mut peer).await.worker_pid;
        const KILLS: u32 = 15;
        for kill in 0..KILLS {
            let before = inspect(&mut peer).await.head;
            while inspect(&mut peer).await.head < before + 400 + u64::from(kill) * 37 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (peer, worker) = succeeded(baton, session, worker).await;
        }
        let _ = worker;
        std::fs::write(&stop, "").unwrap();
        let kept = until_written(&mut peer, ".\r\r").await;
        let output: Vec<u8> =
            kept.iter().filter(|it| it.kind == Kind::Output).flat_map(|it| it.payload.clone()).collect();
        let text = String::from_utf8_lossy(&output);
        let (_, figures) = text.rsplit_once("asked ").unwrap();
        let numbers: Vec<u32> =
            figures.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
        println!(
            "asked {} times over {KILLS} kills: {} without an answer, {} wrong",
            numbers[0], numbers[1], numbers[2]
        );
        assert_eq!(numbers[2], 0, "an answer came twice, or late: {figures}");
        assert!(numbers[1] <= KILLS, "at most the one in flight at each kill stays without: {figures}");
        assert!(numbers[0] > KILLS * 10, "{figures}");
    });
}

#[test]
fn marks_are_journalled_once_across_kills() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        // A shell with marks: prompt, command, its end with an exit code; bells and notifications between.
        let script = r#"
i=0
while [ $i -lt 400 ]; do
  i=$((i + 1))
  printf '\033]133;A\033\\$ \033]133;B\033\\\033]133;C\033\\ran %d\r\n\033]133;D;%d\033\\' $i $((i % 5))
  sleep 0.01
done
printf '\007\033]9;all of them\007done.\r\n'
read line
"#;
        let session = baton.create(&in_bash(script)).await;
        let mut peer = baton.worker_peer(session).await;
        let mut worker = inspect(&mut peer).await.worker_pid;
        for _ in 0..6 {
            let before = inspect(&mut peer).await.head;
            while inspect(&mut peer).await.head < before + 1500 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (peer, worker) = succeeded(baton, session, worker).await;
        }
        let _ = until_written(&mut peer, "done.\r").await;
        let kept = loop {
            let kept = journal(&mut peer, 0).await;
            if marks(&kept).iter().any(|mark| mark.kind == MarkKind::Notification) {
                break kept;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let marks = marks(&kept);
        let ends: Vec<&str> =
            marks.iter().filter(|mark| mark.kind == MarkKind::CommandEnd).map(|mark| mark.text.as_str()).collect();
        let expected: Vec<String> = (1..=400).map(|i| (i % 5).to_string()).collect();
        assert_eq!(ends, expected);
        assert_eq!(marks.iter().filter(|mark| mark.kind == MarkKind::Prompt).count(), 400);
        assert_eq!(marks.iter().filter(|mark| mark.kind == MarkKind::Bell).count(), 1);
        let screen_marks: Vec<u64> =
            marks.iter().filter(|mark| mark.kind != MarkKind::InputUncertain).map(|mark| mark.offset).collect();
        assert!(screen_marks.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
        let output: Vec<u8> =
            kept.iter().filter(|it| it.kind == Kind::Output).flat_map(|it| it.payload.clone()).collect();
        for mark in marks.iter().filter(|mark| mark.kind == MarkKind::CommandEnd) {
            let at = usize::try_from(mark.offset).unwrap();
            assert!(
                output[..at].ends_with(format!("133;D;{}\x1b\\", mark.text).as_bytes()),
                "it tells where it was made"
            );
        }
    });
}

#[test]
fn a_flood_of_bells_and_marks_does_not_fill_the_journal() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let script = r"head -c 3000000 /dev/zero | tr '\0' '\a'
yes $'\033]133;A\033\\' | tr -d '\n' | head -c 3000000
yes $'\033]2;x\007\033]2;y\007' | tr -d '\n' | head -c 3000000
printf 'done.\r\n'; read line";
        let session = baton.create(&in_bash(script)).await;
        let mut peer = baton.worker_peer(session).await;
        let _ = until_written(&mut peer, "done.\r").await;
        let _ = head(&mut peer).await;
        let now = inspect(&mut peer).await;
        let _ = journal(&mut peer, 0).await;
        assert!(
            now.journal_bytes < now.head + (2 << 20),
            "{} bytes of journal for {} of output",
            now.journal_bytes,
            now.head
        );
    });
}

#[test]
fn a_session_at_rest_has_one_thread_and_its_worker_is_succeeded_with_the_same_screen() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let quiet = baton.script("sleep 1000").await;
        let (session, mut peer, kept) = drawing(baton).await;
        let worker = inspect(&mut peer).await.worker_pid;
        let (header, bytes) = head(&mut peer).await;
        assert_same(&kept, &header, &bytes, header.offset, u64::MAX);
        let busy = Process::of(worker).pss_bytes();
        assert!(threads(worker).iter().any(|name| name == "baton-screen"), "{:?}", threads(worker));
        until_parked(worker).await;
        let mut other = baton.worker_peer(quiet).await;
        let idle = inspect(&mut other).await.worker_pid;
        until_parked(idle).await;
        println!(
            "PSS of a worker: {} KiB with the engine, {} KiB parked, {} KiB with a program that never wrote",
            busy / 1024,
            Process::of(worker).pss_bytes() / 1024,
            Process::of(idle).pss_bytes() / 1024
        );
        assert_eq!(threads(worker), ["baton-sessiond"], "one thread");
        let switches = context_switches(worker);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(context_switches(worker), switches, "and nothing wakes it");

        // A parked session's screen is as it was; so is its successor's.
        assert_eq!(head(&mut peer).await, (header, bytes.clone()));
        let (mut peer, next) = succeeded(baton, session, worker).await;
        assert_eq!(head(&mut peer).await, (header, bytes.clone()));
        let told = inspect(&mut peer).await.screen;
        assert_eq!((told.title.as_deref(), told.bracketed_paste), (Some("a title"), true));
        // Without a keyframe it is computed from the beginning.
        until_parked(next).await;
        let journals = baton.home.sessions_dir().join(session.to_string());
        let mut removed = 0;
        for instance in std::fs::read_dir(journals).unwrap().flatten().filter(|it| it.path().is_dir()) {
            for file in std::fs::read_dir(instance.path()).unwrap().flatten() {
                if file.file_name().to_str().unwrap().starts_with("kf-") {
                    std::fs::remove_file(file.path()).unwrap();
                    removed += 1;
                }
            }
        }
        assert!(removed > 0, "there were keyframes");
        assert_eq!(head(&mut peer).await, (header, bytes.clone()));

        // The end changes nothing: the worker that has seen it draws it, and so does one that only has the journal.
        let close = v1::Close { reason: "test".to_owned(), grace_ms: 1000 };
        assert_eq!(peer.request(Kind::Close, &close).await.unwrap().kind(), Some(Kind::Done));
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), ended).await;
        let after = head(&mut peer).await;
        assert!(after.0.offset >= header.offset);
        Process::of(next).kill().await;
        // Asked for its output, Baton starts a worker for the journal alone.
        assert_eq!(baton.output(session).await.len() as u64, after.0.offset);
        let mut peer = baton.worker_peer(session).await;
        assert_eq!(head(&mut peer).await, after);
        let (again, bytes) = drawn(&mut peer, ScreenAt::Offset(header.offset), ScreenFormat::Ansi, 0).await.unwrap();
        assert_same(&kept, &again, &bytes, again.offset, u64::MAX);
    });
}

fn context_switches(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

#[test]
fn subscribers_are_told_what_the_program_switches_on() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&in_bash(r"read line; printf '\033[?1049h\033[?1h'; read line")).await;
        let mut peer = baton.worker_peer(session).await;
        let from = v1::From::Head;
        let _: v1::Subscribed =
            peer.ask(Kind::Subscribe, &v1::Subscribe { from, without_output: false }, Kind::Subscribed).await;
        let first: ScreenState = peer.event(Kind::ScreenState).await.unwrap().body();
        assert!(!first.alt_screen);
        let client = session::client_id();
        let attachment = peer.attach(&client, Class::Person).await.attachment;
        let claim = Claim { attachment, force: false, if_epoch: None, request: 0 };
        let lease: v1::LeaseRecord = peer.ask(Kind::Claim, &claim, Kind::LeaseState).await;
        peer.input(attachment, lease.epoch, 1, b"\r").await.unwrap();
        let next: ScreenState = peer.event(Kind::ScreenState).await.unwrap().body();
        assert!(next.alt_screen && next.application_cursor && next.offset > first.offset);
    });
}

#[test]
fn a_screen_that_nobody_reads_costs_its_reader_only_and_too_many_are_refused() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let session = baton.create(&session::command([program, "flood", "30000000"])).await;
        let mut peer = baton.worker_peer(session).await;
        let path = format!("/v1/sessions/{session}");
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&path, ended).await;
        // Asked for and not read: each has many lines of history.
        let request = |n: u64| SnapshotRequest {
            at: ScreenAt::Offset(20_000_000 + n),
            format: ScreenFormat::Ansi,
            history: 10_000,
        };
        let mut lazy = baton.worker_peer(session).await;
        for n in 0..40 {
            lazy.send(Kind::Snapshot, 1000 + n, &request(n)).await.unwrap();
        }
        // Meanwhile another asks and is answered.
        let (header, _) = head(&mut peer).await;
        assert!(header.offset > 30_000_000);
        let (mut whole, mut busy) = (0, 0);
        while whole + busy < 40 {
            let received = lazy.next().await.unwrap().expect("answers");
            match received.kind() {
                Some(Kind::Screen) => {
                    assert!(received.payload.len() <= (1 << 20) + v1::SCREEN_HEADER_BYTES);
                    whole += u32::from(ScreenHeader::split(&received.payload).unwrap().0.last);
                }
                Some(Kind::Failed) => {
                    assert_eq!(received.body::<Failed>().code, ErrorCode::Busy);
                    busy += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        println!("of 40 screens with 10,000 lines of history at once {whole} were drawn and {busy} refused");
        assert!(whole >= 10 && busy > 0, "{whole} were drawn");
    });
}
