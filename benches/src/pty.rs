//! A command under a terminal, as a person waits for it.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// The size that everything is measured at.
pub const SIZE: PtySize = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
/// Nothing for so long: the screen is complete.
const QUIET: Duration = Duration::from_millis(100);
/// Longer than anything measured.
const LIMIT: Duration = Duration::from_secs(20);

/// How long until a text was shown, and how many bytes came until nothing more did.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// From the start of the command.
    pub time: Duration,
    /// In all.
    pub bytes: usize,
}

/// Runs a command until it has written `text` and then fallen silent; then ends it.
pub fn until_shown(words: &[String], environment: &[(String, String)], text: &str) -> Result<Shown> {
    let pair = native_pty_system().openpty(SIZE)?;
    let mut command = CommandBuilder::from_argv(words.iter().map(Into::into).collect());
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    for (name, value) in environment {
        command.env(name, value);
    }
    let mut reader = pair.master.try_clone_reader()?;
    let (chunks, read) = channel();
    let thread = std::thread::spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        // Linux ends a terminal's output with an error.
        while let Ok(n @ 1..) = reader.read(&mut chunk) {
            if chunks.send((Instant::now(), chunk[..n].to_vec())).is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let mut child = pair.slave.spawn_command(command)?;
    drop(pair.slave);
    let shown = wait(&read, begun, text.as_bytes());
    child.kill()?;
    child.wait()?;
    drop(pair.master);
    drop(read);
    let _ = thread.join();
    shown
}

fn wait(read: &Receiver<(Instant, Vec<u8>)>, begun: Instant, text: &[u8]) -> Result<Shown> {
    let mut all = Vec::new();
    let mut time = None;
    loop {
        let patience = if time.is_some() { QUIET } else { LIMIT.saturating_sub(begun.elapsed()) };
        match read.recv_timeout(patience) {
            Ok((at, chunk)) => {
                let from = all.len().saturating_sub(text.len());
                all.extend_from_slice(&chunk);
                if time.is_none() && all[from..].windows(text.len()).any(|window| window == text) {
                    time = Some(at - begun);
                }
            }
            Err(RecvTimeoutError::Timeout) if time.is_some() => break,
            Err(_) if time.is_some() => break,
            Err(_) => bail!("the text never came; this did: {:?}", String::from_utf8_lossy(&all)),
        }
    }
    Ok(Shown { time: time.unwrap_or_default(), bytes: all.len() })
}
