//! Reading and writing the terminal, each on a thread of its own: a terminal that does not take output must keep nobody
//! from detaching, and one that says nothing must keep the command from nothing.

use std::collections::VecDeque;
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use baton_proto::api::Viewport;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, watch};

/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// Reads that wait to be looked at; beyond, the terminal is not read, so that a paste waits in its own pipe.
const READS_MAX: usize = 2;

/// Bytes of one write: progress is told after each.
const WRITE_BYTES: usize = 16 << 10;

/// The size of the terminal, if there is one.
pub fn size() -> Option<Viewport> {
    let (width, height) =
        terminal_size::terminal_size_of(io::stdout()).or_else(|| terminal_size::terminal_size_of(io::stdin()))?;
    // A terminal that has not been told its size says 0.
    if width.0 == 0 || height.0 == 0 { None } else { Some(Viewport { cols: width.0, rows: height.0 }) }
}

/// What the terminal sends.
#[derive(Debug)]
pub struct Input {
    reads: mpsc::Receiver<Vec<u8>>,
    /// Closed to wake the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    /// Starts reading stdin.
    pub fn start() -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let (sender, reads) = mpsc::channel(READS_MAX);
        let thread =
            std::thread::Builder::new().name("terminal input".to_owned()).spawn(move || read_all(&stopped, &sender))?;
        Ok(Self { reads, stop: Some(stop), thread: Some(thread) })
    }

    /// The next read; `None` once the terminal is gone.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.reads.recv().await
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.reads.close();
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It looks at the pipe before each read, so it does not eat what is typed from here on.
            let _ = thread.join();
        }
    }
}

fn read_all(stopped: &impl AsFd, sender: &mpsc::Sender<Vec<u8>>) {
    let stdin = io::stdin();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        let said = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        if said(&fds[1]) {
            return;
        }
        if !said(&fds[0]) {
            continue;
        }
        match nix::unistd::read(&stdin, &mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            Err(_) => return,
        }
    }
}

/// What waits to be written, and whether anything more will come.
#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Vec<u8>>,
    closed: bool,
    given_up: bool,
}

/// What is sent to the terminal.
#[derive(Debug)]
pub struct Output {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    written: watch::Receiver<Result<u64, io::ErrorKind>>,
    queued: u64,
}

impl Output {
    /// Starts writing to stdout.
    pub fn start() -> io::Result<Self> {
        let stdout = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let shared = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        let (progress, written) = watch::channel(Ok(0));
        let queue = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("terminal output".to_owned())
            .spawn(move || write_all(stdout, &queue, &progress))?;
        Ok(Self { shared, written, queued: 0 })
    }

    /// Queues bytes. The caller looks at [`Self::backlog`] first; that is the bound.
    pub fn push(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.queued += bytes.len() as u64;
        let (queue, wake) = &*self.shared;
        queue.lock().unwrap_or_else(PoisonError::into_inner).pieces.push_back(bytes);
        wake.notify_one();
    }

    /// Bytes queued since the beginning.
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes written since the beginning, or why no more can be.
    pub fn written(&self) -> Result<u64, io::ErrorKind> {
        *self.written.borrow()
    }

    /// Bytes queued and not written.
    pub fn backlog(&self) -> u64 {
        self.queued.saturating_sub(self.written().unwrap_or(self.queued))
    }

    /// Returns when more has been written, or writing has failed.
    pub async fn progress(&mut self) {
        if self.written.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Drops what is queued; a write that is under way is left to itself.
    pub fn give_up(&self) {
        let (queue, wake) = &*self.shared;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pieces.clear();
        queue.given_up = true;
        wake.notify_one();
    }

    /// Returns when everything queued was written, or writing has failed.
    pub async fn drained(&mut self) {
        let all = self.queued;
        // An error here means that the thread is gone, and with it all that could be waited for.
        let _ = self.written.wait_for(|written| written.is_err() || written.is_ok_and(|written| written >= all)).await;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let (queue, wake) = &*self.shared;
        queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        wake.notify_one();
    }
}

fn write_all(
    mut stdout: std::fs::File,
    shared: &(Mutex<Queue>, Condvar),
    progress: &watch::Sender<Result<u64, io::ErrorKind>>,
) {
    let (queue, wake) = shared;
    let mut written = 0;
    loop {
        let piece = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(piece) = queue.pieces.pop_front() {
                    break piece;
                }
                if queue.closed {
                    return;
                }
                queue = wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        };
        for part in piece.chunks(WRITE_BYTES) {
            if queue.lock().unwrap_or_else(PoisonError::into_inner).given_up {
                return;
            }
            match write_part(&mut stdout, part) {
                Ok(()) => {
                    written += part.len() as u64;
                    // What was told before is of no interest.
                    let _ = progress.send_replace(Ok(written));
                }
                Err(err) => {
                    let _ = progress.send_replace(Err(err.kind()));
                    return;
                }
            }
        }
    }
}

fn write_part(stdout: &mut std::fs::File, mut part: &[u8]) -> io::Result<()> {
    while !part.is_empty() {
        match stdout.write(part) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => part = &part[written..],
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            // Another program left the terminal non-blocking.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(err) => return Err(err),
        }
    }
    Ok(())
}
