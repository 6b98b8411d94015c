//! Ten thousand events a second through the log, to three clients of which one does not read.
//!
//! The events are marks of five hundred sessions: each goes from a program through its terminal, its worker and the bridge into
//! the database and from there to the clients. The time is from the program's write to the client's read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::baton::Baton;
use crate::figures::{Row, Samples, Table};
use crate::produce::{BURST, PER_SECOND, SECONDS};

/// Each may have as many events as [`PER_SECOND`].
const SESSIONS: u32 = 500;
/// Nothing for so long: it never comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nothing for so long: a part is over.
const QUIET: Duration = Duration::from_secs(5);
/// Between two looks at the bridge's memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one client has read.
#[derive(Debug, Default)]
struct Heard {
    /// Numbers of events, as they came.
    seqs: Vec<u64>,
    /// From the write to the read, of the steady part.
    latency: Samples,
    /// When the first and the last mark of each part were read, and how many.
    parts: [Option<(Instant, Instant, u32)>; 2],
    /// Events that this client was told it has lost.
    lost: u64,
    /// Events that never got a number, since the log's queue was full.
    dropped: u64,
    marks: HashSet<(String, u64)>,
}

impl Heard {
    fn take(&mut self, text: &str) -> Result<()> {
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let event: Value = serde_json::from_str(text)?;
        let seq = event["seq"].as_u64().context("an event without a number")?;
        if event["type"] == "gap" {
            let lost = event["data"]["lost"].as_u64().context("a gap of nobody knows how many")?;
            // One that the log itself has, since its queue was full, has a number as any event, and stands for none.
            if self.seqs.last().is_some_and(|last| last + 1 == seq) {
                self.seqs.push(seq);
                self.dropped += lost;
            } else {
                self.lost += lost;
            }
            return Ok(());
        }
        self.seqs.push(seq);
        let data = &event["data"];
        if event["type"] != "mark" || data["kind"] != "command" {
            return Ok(());
        }
        let (number, written) = data["text"].as_str().and_then(|text| text.split_once(' ')).context("a mark's text")?;
        let (number, written): (u64, u128) = (number.parse()?, written.parse()?);
        let session = event["scope_id"].as_str().context("an event without a session")?;
        ensure!(self.marks.insert((session.to_owned(), number)), "mark {number} of {session} came twice");
        let steady = number <= u64::from(SECONDS * PER_SECOND);
        if steady {
            self.latency.time(Duration::from_nanos(u64::try_from(wall.saturating_sub(written))?));
        }
        let part = &mut self.parts[usize::from(!steady)];
        *part = Some(part.map_or((now, now, 1), |(first, _, count)| (first, now, count + 1)));
        Ok(())
    }

    /// Whether each number between the first and the last came once.
    fn is_whole(&self) -> bool {
        self.seqs.windows(2).all(|pair| pair[0] + 1 == pair[1])
    }

    /// Marks a second, and how many.
    fn rate(&self, part: usize) -> (f64, u32) {
        self.parts[part]
            .map_or((f64::NAN, 0), |(first, last, count)| (f64::from(count) / (last - first).as_secs_f64(), count))
    }
}

async fn connect(address: &str, token: &str) -> Result<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{address}/v1/events").into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let stream = TcpStream::connect(address).await?;
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

/// Reads until it is enough; what was read so far is asked about when nothing comes for a moment.
async fn read(
    stream: &mut WebSocketStream<TcpStream>,
    count: &AtomicU64,
    enough: impl Fn(&Heard) -> bool,
) -> Result<Heard> {
    let mut heard = Heard::default();
    let mut quiet = Instant::now();
    loop {
        let Ok(message) = tokio::time::timeout(LOOK_EVERY, stream.next()).await else {
            if enough(&heard) {
                return Ok(heard);
            }
            ensure!(quiet.elapsed() < PATIENCE, "nothing more came");
            continue;
        };
        quiet = Instant::now();
        match message.context("the stream ended")?? {
            Message::Text(text) => heard.take(&text)?,
            Message::Close(close) => bail!("closed: {close:?}"),
            _ => {}
        }
        count.store(heard.marks.len() as u64, Ordering::Relaxed);
    }
}

/// A client that reads, in a thread of its own.
fn reader(baton: &Baton, count: &Arc<AtomicU64>, over: &Arc<AtomicBool>) -> Result<JoinHandle<Result<Heard>>> {
    let (address, token) = (baton.address.clone(), baton.token.clone());
    let (count, over) = (Arc::clone(count), Arc::clone(over));
    let (connected, is_connected) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut stream = connect(&address, &token).await?;
            connected.send(())?;
            read(&mut stream, &count, |_| over.load(Ordering::Relaxed)).await
        })
    });
    is_connected.recv().context("no connection")?;
    Ok(thread)
}

/// The bridge as `/proc` shows it.
struct Process(PathBuf);

impl Process {
    fn of_bridge(baton: &Baton) -> Result<Self> {
        let status = baton.get("/v1/status")?.json()?;
        let pid = status["bridge"]["pid"].as_u64().context("no bridge")?;
        Ok(Self(PathBuf::from(format!("/proc/{pid}"))))
    }

    /// What is in memory, in MiB.
    fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(self.0.join("status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("no KiB")?.parse::<f64>()? / 1024.0)
    }

    /// Seconds of processor time so far.
    fn processor(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(self.0.join("stat"))?;
        let fields: Vec<&str> =
            stat.rsplit_once(") ").context("no command")?.1.split_whitespace().skip(11).take(2).collect();
        // Linux: of a hundredth second each, on every architecture that Baton is for.
        fields.iter().try_fold(0.0, |sum, ticks| Ok(sum + ticks.parse::<f64>()? / 100.0))
    }
}

/// Opens a gate, and looks at the bridge until both readers have so many marks, or nothing more comes: whether each mark becomes an
/// event is not what is asked here, but whether each event comes to each reader.
fn part(gate: &Path, counts: &[Arc<AtomicU64>], wanted: u32, bridge: &Process, memory: &mut Samples) -> Result<()> {
    drop(std::fs::OpenOptions::new().write(true).open(gate)?);
    let (mut before, mut since) = (0, Instant::now());
    loop {
        memory.add(bridge.memory()?);
        let least = counts.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or_default();
        if least >= u64::from(wanted) {
            return Ok(());
        }
        if least > before {
            (before, since) = (least, Instant::now());
        }
        if since.elapsed() > QUIET {
            ensure!(least > 0, "no marks came");
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Runs all of it.
pub fn run(baton: &Baton) -> Result<Table> {
    let scratch = baton.scratch()?;
    let gates = ["steady", "burst"].map(|name| scratch.join(name));
    for gate in &gates {
        mkfifo(gate, Mode::from_bits_truncate(0o600))?;
    }
    let program = std::env::current_exe()?.display().to_string();
    let [steady, burst] = gates.each_ref().map(|gate| gate.display().to_string());
    let mut sessions = Vec::new();
    for index in 0..SESSIONS {
        let words = [&program, "produce", &steady, &burst, &index.to_string(), &SESSIONS.to_string()];
        sessions.push(baton.session(&format!("events-{index}"), &words)?);
    }
    for session in &sessions {
        baton.until(session, "ready")?;
    }
    // What was asked of the workers meanwhile is done, and their screens are put away.
    std::thread::sleep(Duration::from_secs(5));

    let bridge = Process::of_bridge(baton)?;
    let before = bridge.memory()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stopped = runtime.block_on(connect(&baton.address, &baton.token))?;
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let over = Arc::new(AtomicBool::new(false));
    let readers = [reader(baton, &counts[0], &over)?, reader(baton, &counts[1], &over)?];
    let (steady, all) = (SESSIONS * SECONDS * PER_SECOND, SESSIONS * (SECONDS * PER_SECOND + BURST));
    let mut memory = Samples::default();
    let processor = bridge.processor()?;
    part(&gates[0], &counts, steady, &bridge, &mut memory)?;
    let processor = (bridge.processor()? - processor) / f64::from(SECONDS);
    // Who is not at the gate when it opens stays behind it.
    std::thread::sleep(Duration::from_secs(2));
    part(&gates[1], &counts, all, &bridge, &mut memory)?;
    over.store(true, Ordering::Relaxed);
    let mut heard = Vec::new();
    for reader in readers {
        heard.push(reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??);
    }
    // The one that did not read begins to.
    let newest = heard[0].seqs.last().copied().unwrap_or_default();
    let late = runtime.block_on(read(&mut stopped, &AtomicU64::new(0), |heard| {
        heard.seqs.last().is_some_and(|seq| *seq >= newest)
    }))?;
    let after = bridge.memory()?;

    let mut table = Table {
        title: format!("Events: {SESSIONS} sessions, {} a second, three clients", SESSIONS * PER_SECOND),
        rows: Vec::new(),
    };
    let mut row = |group: &str, who: &str, unit, samples, note| {
        table.rows.push(Row { group: group.to_owned(), who: who.to_owned(), unit, samples, note });
    };
    for (index, heard) in heard.iter().enumerate() {
        ensure!(heard.is_whole() && heard.lost == 0, "a reader missed events, or heard some twice");
        let who = format!("baton, reader {}", index + 1);
        let (rate, count) = heard.rate(0);
        let note = format!("{count} of {steady} marks, {rate:.0}/s; each event once");
        row("write to read", &who, "ms", heard.latency.clone(), note);
    }
    for (index, heard) in heard.iter().enumerate() {
        let mut rate = Samples::default();
        let (per_second, count) = heard.rate(1);
        rate.add(per_second);
        let note = format!(
            "{count} of {} marks, written at once; each event once, {} that the log had no place for",
            all - steady,
            heard.dropped
        );
        row("as fast as they come", &format!("baton, reader {}", index + 1), "events/s", rate, note);
    }
    let from = heard[0].seqs.partition_point(|seq| Some(seq) < late.seqs.first());
    let missing = ((heard[0].seqs.len() - from) as u64).saturating_sub(late.seqs.len() as u64);
    ensure!(missing == late.lost, "{missing} events are missing, and {} are said to be", late.lost);
    let note = format!("read afterwards: {}; told to be lost, and missing: {missing}", late.seqs.len());
    row("the one that did not read", "baton, stopped", "", Samples::default(), note);
    let note = format!("{before:.0} before, {after:.0} after");
    row("memory of the bridge", "baton", "MiB", memory, note);
    let mut share = Samples::default();
    share.add(processor);
    row("processor time of the bridge", "baton", "cores", share, "while steady".to_owned());
    Ok(table)
}
