//! What it costs to be confined: a session's start, a keystroke's way and back, and work that starts many programs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::baton::Baton;
use crate::figures::{Row, Samples, Table};
use crate::http;

/// As `Profile` spells them; the first is what the others are compared with.
const PROFILES: [&str; 3] = ["host", "workspace", "locked"];
const STARTS: usize = 101;
const KEYSTROKES: usize = 2000;
const ERRANDS: usize = 21;

/// Five hundred programs, one after the other.
const ERRAND: &str = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done";

/// Runs all of it, the profiles in turn.
pub fn run(baton: &Baton) -> Result<Table> {
    let mut table = Table { title: "What it costs to be confined".to_owned(), rows: Vec::new() };
    let mut group = |name: &str, unit, samples: [Samples; 3], note: &str| {
        for (profile, samples) in PROFILES.into_iter().zip(samples) {
            let (who, note) = (format!("baton, {profile}"), note.to_owned());
            table.rows.push(Row { group: name.to_owned(), who, unit, samples, note });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut times: [Samples; 3] = Default::default();
        for round in 0..STARTS {
            for (profile, samples) in PROFILES.into_iter().zip(&mut times) {
                let begun = Instant::now();
                let session =
                    create(baton, profile, &format!("start-{profile}-{round}"), "echo here; exec sleep 1000")?;
                let mut stream = connect(baton, &session).await?;
                until(&mut stream, b"here").await?;
                samples.time(begun.elapsed());
                close(baton, &session)?;
            }
        }
        group("create to first byte", "ms", times, "POST, WebSocket, first output");

        let mut streams = Vec::new();
        for profile in PROFILES {
            let session = create(baton, profile, &format!("keys-{profile}"), "stty raw -echo; echo here; exec cat")?;
            let mut stream = connect(baton, &session).await?;
            until(&mut stream, b"here").await?;
            let epoch = claim(&mut stream).await?;
            streams.push((stream, epoch, session));
        }
        let mut times: [Samples; 3] = Default::default();
        for stroke in 1..=KEYSTROKES {
            for ((stream, epoch, _), samples) in streams.iter_mut().zip(&mut times) {
                let key = [b'a' + u8::try_from(stroke % 26).unwrap_or_default()];
                let mut frame = vec![2];
                frame.extend_from_slice(&u64::try_from(stroke)?.to_be_bytes());
                frame.extend_from_slice(&epoch.to_be_bytes());
                frame.extend_from_slice(&key);
                let begun = Instant::now();
                stream.send(Message::binary(frame)).await?;
                until(stream, &key).await?;
                samples.add(begun.elapsed().as_secs_f64() * 1e6);
                // As somebody types who is in no hurry: what the last one left to do is done.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for (_, _, session) in &streams {
            close(baton, session)?;
        }
        group("keystroke to echo", "µs", times, "by a program, over a WebSocket");

        let mut times: [Samples; 3] = Default::default();
        for round in 0..ERRANDS {
            for (profile, samples) in PROFILES.into_iter().zip(&mut times) {
                let title = format!("errand-{profile}-{round}");
                let session =
                    create(baton, profile, &title, &format!("read go; {ERRAND}; echo d''one; exec sleep 1000"))?;
                let mut stream = connect(baton, &session).await?;
                let epoch = claim(&mut stream).await?;
                let mut frame = vec![2];
                frame.extend_from_slice(&1u64.to_be_bytes());
                frame.extend_from_slice(&epoch.to_be_bytes());
                frame.extend_from_slice(b"\r");
                let begun = Instant::now();
                stream.send(Message::binary(frame)).await?;
                until(&mut stream, b"done").await?;
                samples.time(begun.elapsed());
                close(baton, &session)?;
            }
        }
        group("500 programs in a row", "ms", times, "fork, exec and wait of `/bin/true` by a shell");
        anyhow::Ok(())
    })?;
    Ok(table)
}

/// A session of this profile that runs a shell script, in a directory that it may write to.
fn create(baton: &Baton, profile: &str, title: &str, script: &str) -> Result<String> {
    let body = json!({
        "command": ["/bin/sh", "-c", script], "title": title, "cols": 120, "rows": 40, "sandbox": profile,
        "cwd": baton.scratch()?,
    });
    let made = http::call(&baton.address, &baton.token, "POST", "/v1/terminal/sessions", Some(&body))?;
    made.json()?["session_id"].as_str().map(str::to_owned).context("no session id")
}

fn close(baton: &Baton, session: &str) -> Result<()> {
    let path = format!("/v1/terminal/sessions/{session}/close");
    http::call(&baton.address, &baton.token, "POST", &path, Some(&json!({}))).map(drop)
}

async fn connect(baton: &Baton, session: &str) -> Result<WebSocketStream<TcpStream>> {
    let client = uuid::Uuid::new_v4();
    let url = format!("ws://{}/v1/terminal/streams/{session}?client_id={client}", baton.address);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", baton.token).parse()?);
    request.headers_mut().insert("sec-websocket-protocol", "baton.v1.binary".parse()?);
    let stream = TcpStream::connect(&baton.address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let hello = json!({"type": "hello", "client_id": client.to_string(), "client_kind": "web", "input_stream": 1});
    socket.send(Message::text(hello.to_string())).await?;
    Ok(socket)
}

/// Reads until this has come as output.
async fn until(stream: &mut WebSocketStream<TcpStream>, wanted: &[u8]) -> Result<()> {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.context("nothing came")?;
        if let Message::Binary(data) = message.context("the stream ended")??
            && data.first().is_some_and(|kind| *kind < 2)
            && data.get(9..).is_some_and(|output| output.windows(wanted.len()).any(|window| window == wanted))
        {
            return Ok(());
        }
    }
}

/// Takes control, and returns the epoch.
async fn claim(stream: &mut WebSocketStream<TcpStream>) -> Result<u64> {
    stream.send(Message::text(json!({"type": "claim", "force": true}).to_string())).await?;
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.context("nothing came")?;
        let Message::Text(text) = message.context("the stream ended")?? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        match frame["type"].as_str() {
            Some("lease") if !frame["owner"].is_null() => {
                return frame["epoch"].as_u64().context("a lease without an epoch");
            }
            Some("error") => bail!("{text}"),
            _ => {}
        }
    }
}
