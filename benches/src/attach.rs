//! From nothing to a full screen, after many lines of output: time until the last line is shown, and bytes until silence.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::baton::Baton;
use crate::figures::{Row, Samples, Table};
use crate::peer::Peer;
use crate::pty;

const ROUNDS: usize = 21;

/// Lines, then a last one, then silence.
fn script(lines: u32) -> (String, String) {
    let last = format!("END-{lines}");
    let line = "%06.0f   Compiling something-with-a-name v1.2.3 (a path that takes some room on the line)";
    // The last line is made of two parts, so that the command line itself does not show it.
    let script = format!("seq -f '{line}' 1 {lines}; printf 'END-%s\\n' {lines}; exec sleep 100000");
    (script, last)
}

/// Runs all of it.
pub fn run(baton: &Baton) -> Result<Table> {
    let mut table = Table { title: format!("Attach → full screen (120x40, {ROUNDS} rounds)"), rows: Vec::new() };
    for lines in [10_000, 100_000] {
        after(baton, lines, &mut table)?;
    }
    Ok(table)
}

fn after(baton: &Baton, lines: u32, table: &mut Table) -> Result<()> {
    let (script, last) = script(lines);
    let name = format!("attach-{lines}");
    let session = baton.script(&name, &script)?;
    baton.until(&session, &last)?;
    let peers: Vec<(Peer, tempfile::TempDir)> = Peer::installed()
        .into_iter()
        .map(|peer| {
            // screen takes no directory that others can look into.
            let dir =
                tempfile::Builder::new().prefix("bp-").permissions(std::fs::Permissions::from_mode(0o700)).tempdir()?;
            peer.start(dir.path(), &script)?;
            Ok((peer, dir))
        })
        .collect::<Result<_>>()?;
    // As an idle session is: nobody has a screen in memory any more.
    std::thread::sleep(Duration::from_secs(4));
    let mut times: Vec<(String, Samples, Samples)> = ["baton ws", "baton attach"]
        .into_iter()
        .map(str::to_owned)
        .chain(peers.iter().map(|(peer, _)| peer.name().to_owned()))
        .map(|who| (who, Samples::default(), Samples::default()))
        .collect();
    for _ in 0..ROUNDS {
        for (at, (_, time, bytes)) in times.iter_mut().enumerate() {
            let shown = match at {
                0 => by_websocket(baton, &session, &last)?,
                1 => pty::until_shown(&baton.words(&["attach", "-r", &name]), &baton.environment(), &last)?,
                _ => {
                    let (peer, dir) = &peers[at - 2];
                    let (words, environment) = peer.attach(dir.path());
                    pty::until_shown(&words, &environment, &last)?
                }
            };
            time.time(shown.time);
            #[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
            bytes.add(shown.bytes as f64 / 1024.0);
        }
    }
    for (peer, dir) in &peers {
        peer.stop(dir.path());
    }
    for (who, samples, bytes) in times {
        let version = peers.iter().find(|(peer, _)| peer.name() == who).and_then(|(peer, _)| peer.version());
        let note = format!("{:.1} KiB {}", bytes.median(), version.unwrap_or_default());
        table.rows.push(Row { group: format!("after {lines} lines"), who, unit: "ms", samples, note });
    }
    Ok(())
}

/// Connects, says hello, and waits for a message with the last line; then for silence.
fn by_websocket(baton: &Baton, session: &str, last: &str) -> Result<pty::Shown> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = uuid::Uuid::new_v4();
        let begun = Instant::now();
        let url = format!("ws://{}/v1/terminal/streams/{session}?client_id={client}", baton.address);
        let mut request = url.into_client_request()?;
        let bearer = format!("Bearer {}", baton.token);
        request.headers_mut().insert("authorization", bearer.parse()?);
        request.headers_mut().insert("sec-websocket-protocol", "baton.v1.binary".parse()?);
        let stream = tokio::net::TcpStream::connect(&baton.address).await?;
        stream.set_nodelay(true)?;
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let hello = serde_json::json!({"type": "hello", "client_id": client.to_string(), "client_kind": "web"});
        socket.send(Message::text(hello.to_string())).await?;
        let (mut time, mut bytes) = (None, 0);
        loop {
            let patience = if time.is_some() { Duration::from_millis(100) } else { Duration::from_secs(20) };
            let Ok(message) = tokio::time::timeout(patience, socket.next()).await else { break };
            let message = message.context("the stream ended")??;
            bytes += message.len();
            if time.is_none()
                && let Message::Binary(data) = &message
                && data.windows(last.len()).any(|window| window == last.as_bytes())
            {
                time = Some(begun.elapsed());
            }
        }
        match time {
            Some(time) => Ok(pty::Shown { time, bytes }),
            None => bail!("the last line never came"),
        }
    })
}
