//! A program under a PTY, as a person sees it: what it wrote, what one types, the state it leaves the terminal in.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::sync::Notify;

use crate::baton::Baton;
use crate::binaries;
use crate::process::LOOK_EVERY;
use crate::stream::MESSAGE_LIMIT;
use crate::websocket::find;

/// What the program wrote so far.
#[derive(Default)]
struct Written {
    bytes: Mutex<(Vec<u8>, bool)>,
    more: Notify,
}

/// What became of a text that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// It came.
    Found,
    /// It did not come so far.
    NotInTime,
    /// The program ended first.
    Ended,
}

/// A program under a PTY.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    /// Kept until the end: dropping it types Ctrl-D into the terminal.
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    written: Arc<Written>,
    seen: usize,
    /// The terminal's settings before the program began.
    pub initial: String,
}

impl Terminal {
    /// Starts `baton` with these arguments in a terminal of this size.
    ///
    /// # Panics
    /// When there is no PTY, or no `baton`.
    #[must_use]
    pub fn baton(baton: &Baton, args: &[&str], size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(binaries::path("baton"));
        command.args(args);
        command.env_clear();
        for (name, value) in baton.env() {
            command.env(name, value);
        }
        // Without one it would start in the caller's HOME.
        command.cwd(baton.scratch());
        Self::program(command, size)
    }

    /// Starts a program in a terminal of this size.
    ///
    /// # Panics
    /// When there is no PTY, or no such program.
    #[must_use]
    pub fn program(command: CommandBuilder, size: (u16, u16)) -> Self {
        let (cols, rows) = size;
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("a PTY");
        let initial = settings(&*pair.master);
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let written = Arc::new(Written::default());
        let shared = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            loop {
                // The end of output is an error here: Linux hangs the terminal up.
                let read = reader.read(&mut chunk).unwrap_or(0);
                let mut bytes = shared.bytes.lock().expect("no panic while it is held");
                bytes.0.extend_from_slice(&chunk[..read]);
                bytes.1 = read == 0;
                drop(bytes);
                shared.more.notify_waiters();
                if read == 0 {
                    return;
                }
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        Self { master: pair.master, writer, child, written, seen: 0, initial }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).expect("an open terminal");
        self.writer.flush().expect("an open terminal");
    }

    /// Types if the terminal is still there; whether it was.
    pub fn try_type(&mut self, text: &str) -> bool {
        self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush()).is_ok()
    }

    /// Waits for this text for so long, and for nothing that was waited for before.
    ///
    /// # Panics
    /// Never.
    pub async fn seek(&mut self, needle: &str, limit: Duration) -> Sought {
        let limit = tokio::time::Instant::now() + limit;
        loop {
            let more = self.written.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            {
                let bytes = self.written.bytes.lock().expect("no panic while it is held");
                if let Some(at) = find(&bytes.0[self.seen..], needle.as_bytes()) {
                    self.seen += at + needle.len();
                    return Sought::Found;
                }
                if bytes.1 {
                    return Sought::Ended;
                }
            }
            if tokio::time::timeout_at(limit, more).await.is_err() {
                return Sought::NotInTime;
            }
        }
    }

    /// The exit code, if the program has ended by itself.
    pub fn code(&mut self) -> Option<u32> {
        self.child.try_wait().ok().flatten().filter(|status| status.signal().is_none()).map(|status| status.exit_code())
    }

    /// Gives the window another size.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, cols: u16, rows: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("an open terminal");
    }

    /// The terminal's settings, to be compared.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn settings(&self) -> String {
        settings(&*self.master)
    }

    /// Everything written so far, as text.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.bytes.lock().expect("no panic while it is held").0).into_owned()
    }

    /// Waits until this text is written that nobody has waited for yet; what was written before it.
    ///
    /// # Panics
    /// When it is not.
    pub async fn until(&mut self, needle: &str) -> String {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            let more = self.written.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let ended = {
                let bytes = self.written.bytes.lock().expect("no panic while it is held");
                let unseen = &bytes.0[self.seen..];
                if let Some(at) = find(unseen, needle.as_bytes()) {
                    self.seen += at + needle.len();
                    return String::from_utf8_lossy(&unseen[..at]).into_owned();
                }
                bytes.1
            };
            assert!(!ended, "the program ended without writing {needle:?}: {:?}", self.text());
            if tokio::time::timeout_at(limit, more).await.is_err() {
                panic!("waited for {needle:?} in vain: {:?}", self.text());
            }
        }
    }

    /// Waits until the program has ended and everything it wrote was read; its exit code.
    ///
    /// # Panics
    /// When it does not end, or somebody it started goes on writing.
    pub async fn exit_code(&mut self) -> u32 {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                assert!(status.signal().is_none(), "a signal ended it: {status:?}");
                if self.written.bytes.lock().expect("no panic while it is held").1 {
                    return status.exit_code();
                }
            }
            assert!(tokio::time::Instant::now() < limit, "the program does not end: {:?}", self.text());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The program's process.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("a process")
    }
}

fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("an open terminal"))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing of a failed test stays behind; one that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
