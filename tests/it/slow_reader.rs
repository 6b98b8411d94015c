//! One client that reads nothing costs nobody anything.

use std::time::Duration;

use baton_proto::api::{ClientFrame, ServerFrame, SnapshotChoice};
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use tokio::task::JoinHandle;

const MIB: u64 = 1024 * 1024;

/// Most that a worker may grow while somebody lags.
const WORKER_GROWTH_MAX: u64 = 8 * MIB;

/// Most that the bridge may grow while somebody lags: its bound on what is queued for all who do, and some air.
const BRIDGE_GROWTH_MAX: u64 = 80 * MIB;

/// What one run showed.
#[derive(Debug)]
struct Run {
    /// Bytes that the program wrote, of 64-byte lines.
    written: u64,
    /// The longest that the terminal kept the program waiting, in milliseconds.
    slowest_ms: u64,
    worker_growth: u64,
    bridge_growth: u64,
}

/// Reads to the end of the program and checks every byte on the way, holding none of them.
fn check_everything(mut client: StreamClient) -> JoinHandle<(u64, String)> {
    tokio::spawn(async move {
        let (mut line, mut carry, mut bytes) = (0u64, Vec::new(), 0u64);
        let mut beat = tokio::time::interval(Duration::from_secs(4));
        loop {
            let incoming = tokio::select! {
                incoming = client.next() => incoming,
                _ = beat.tick() => {
                    let _ = client.try_send(ClientFrame::Heartbeat).await;
                    continue;
                }
            };
            match incoming {
                Incoming::Data { .. } => {
                    carry.append(&mut client.output);
                    let mut checked = 0;
                    // 63 characters and the two that the terminal makes of a newline; then the program's last words.
                    while let Some(row) = carry[checked..].first_chunk::<65>()
                        && !row.starts_with(b"wrote")
                    {
                        let number: Option<u64> =
                            std::str::from_utf8(&row[..20]).ok().and_then(|digits| digits.parse().ok());
                        assert_eq!(number, Some(line), "a line is missing or repeated");
                        line += 1;
                        bytes += 64;
                        checked += 65;
                    }
                    carry.drain(..checked);
                }
                Incoming::Frame(ServerFrame::Exit { .. }) | Incoming::Closed { .. } => {
                    return (bytes, String::from_utf8_lossy(&carry).into_owned());
                }
                _ => {}
            }
        }
    })
}

async fn run(baton: &Baton, seconds: u64, with_stopped_reader: bool) -> Run {
    let program = env!("CARGO_BIN_EXE_baton-test-program");
    let script = format!("stty -echo; echo ready; read go; exec {program} throttled 50 {seconds}");
    let session = baton.script(&script).await;
    let mut owner = baton.attach(session, Attach::named("owner").binary()).await;
    let detail = baton.session(session).await.session;
    let (worker, bridge) = (Process::of(detail.worker_pid.unwrap()), baton.bridge().await);
    // They say hello, and then read nothing any more; their sockets fill and stay full. One acknowledges what it has
    // parsed, as the page does; the other wants every byte and never says a word.
    let mut stopped = None;
    if with_stopped_reader {
        let page = Attach { snapshot: SnapshotChoice::Auto, ..Attach::named("stopped page") };
        let mut page = baton.attach(session, page).await;
        page.until_output("ready\r\n").await;
        page.send(ClientFrame::Ack { cursor: page.cursor() }).await;
        stopped = Some((page, baton.attach(session, Attach::named("stopped script").binary()).await));
    }
    let before = (worker.pss_bytes(), bridge.pss_bytes());
    owner.until_output("ready\r\n").await;
    owner.output.clear();
    owner.claim(false).await.unwrap();
    owner.type_text("go\r").await;
    let checked = check_everything(owner);
    let mut most = before;
    while !checked.is_finished() {
        tokio::time::sleep(Duration::from_millis(250)).await;
        if worker.is_alive() && bridge.is_alive() {
            most = (most.0.max(worker.pss_bytes()), most.1.max(bridge.pss_bytes()));
        }
    }
    let (bytes, last) = checked.await.expect("every byte in its place");
    let number = |after: &str| last.split(after).nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let written: u64 = number("wrote ").unwrap_or_else(|| panic!("the program's last words are `{last}`"));
    assert_eq!(bytes, written, "the reading client got everything");
    // The stopped page reads on: it is brought up to date by a screen, and sees the end.
    if let Some((mut page, script)) = stopped {
        script.drop_socket();
        loop {
            match page.next().await {
                Incoming::Data { .. } => page.send(ClientFrame::Ack { cursor: page.cursor() }).await,
                Incoming::Frame(ServerFrame::Exit { .. }) => break,
                Incoming::Closed { code, reason } => panic!("the stopped page was closed: {code:?} {reason}"),
                _ => {}
            }
        }
        println!(
            "the stopped page got {} MiB of {} MiB, and {} screens",
            page.output.len() as u64 / MIB,
            page.offset / MIB,
            page.screens.len()
        );
        assert!(!page.screens.is_empty() && page.skipped == 0, "screens came in place of what it was too slow for");
        assert!((page.output.len() as u64) < page.offset / 2);
    }
    Run {
        written,
        slowest_ms: number("slowest write ").unwrap(),
        worker_growth: most.0.saturating_sub(before.0),
        bridge_growth: most.1.saturating_sub(before.1),
    }
}

#[test]
fn a_stopped_reader_slows_neither_the_shell_nor_anybody_else() {
    // Enough journal for the reading client even on a machine that is busy otherwise.
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", &(256 * MIB).to_string());
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let alone = run(baton, 8, false).await;
        let lagged = run(baton, 30, true).await;
        let rate = |run: &Run, seconds: u64| run.written as f64 / MIB as f64 / seconds as f64;
        let (alone_rate, lagged_rate) = (rate(&alone, 8), rate(&lagged, 30));
        println!("without: {alone_rate:.1} MiB/s, {alone:?}");
        println!("with a stopped reader: {lagged_rate:.1} MiB/s, {lagged:?}");
        println!("growth: worker {} KiB, bridge {} KiB", lagged.worker_growth / 1024, lagged.bridge_growth / 1024);
        // More than everything between the program and the reader could hold: nobody waits for it.
        assert!(lagged.written > 32 * MIB, "{} bytes were written beside a stopped reader", lagged.written);
        assert!(lagged.slowest_ms < 5000, "the program's write was held up for {} ms", lagged.slowest_ms);
        assert!(lagged.worker_growth < WORKER_GROWTH_MAX, "the worker grew by {} bytes", lagged.worker_growth);
        assert!(lagged.bridge_growth < BRIDGE_GROWTH_MAX, "the bridge grew by {} bytes", lagged.bridge_growth);
    });
}

#[test]
fn a_journal_that_is_full_says_what_it_no_longer_has() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", &(8 * MIB).to_string());
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let total = 32 * MIB;
        let session = baton.create(&session::command([program, "flood", &total.to_string()])).await;
        let path = format!("/v1/sessions/{session}");
        let ended = |detail: &baton_proto::api::SessionDetail| !detail.session.status.is_living();
        let detail: baton_proto::api::SessionDetail = baton.api().get_until(&path, ended).await;
        let (oldest, head) = (detail.session.oldest_cursor, detail.session.cursor);
        assert_eq!(head.offset, total / 64 * 65, "all of it was written");
        let kept = head.offset - oldest.offset;
        assert!(oldest.offset > 0 && (MIB..=12 * MIB).contains(&kept), "{kept} bytes are kept of 8 MiB");
        let on_disk = size_of(&baton.home.sessions_dir());
        assert!(on_disk <= 16 * MIB, "{on_disk} bytes on disk");
        // Before the oldest: told so, with where to begin instead.
        let url = format!("/v1/terminal/sessions/{session}/output?cursor={}:0", oldest.instance);
        let problem = baton.api().refused(http::Method::GET, &url, &(), baton_proto::ErrorCode::CursorTrimmed).await;
        let begin: baton_proto::ids::Cursor = problem.oldest_cursor.unwrap().parse().unwrap();
        assert!(begin.offset >= oldest.offset);
        let bytes = baton.output_from(session, begin.offset).await;
        assert_eq!(begin.offset + bytes.len() as u64, head.offset);
        // And a stream that wants every byte is told how many are gone.
        let zero = baton_proto::ids::Cursor { offset: 0, ..oldest };
        let mut client = baton.attach(session, Attach::named("late").resume(zero)).await;
        assert_eq!(client.ready.mode, baton_proto::api::ResumeMode::Gap);
        let lost = client.ready.lost.expect("`lost` counts them");
        assert!(lost >= oldest.offset, "{lost}");
        client.until_exit().await;
        assert_eq!(lost + client.output.len() as u64, head.offset);
        assert!(bytes.ends_with(&client.output) || client.output.ends_with(&bytes));
    });
}

fn size_of(directory: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
