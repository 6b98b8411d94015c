//! A framed connection to a worker or to sessiond: a reader that copies nothing, a writer that never blocks its caller.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_proto::frame::{HEADER_BYTES, Header, Kind};
use baton_proto::{ProtoError, frame};
use bytes::{BufMut as _, BytesMut};
use interprocess::local_socket::tokio::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Bytes that may wait for a peer that does not read. What does not fit is refused, so that nobody waits for a worker
/// that has stopped.
const WRITE_QUEUE_BYTES_MAX: usize = 8 << 20;

/// First and largest size of a read; it doubles while reads fill it, so that an idle session keeps a small buffer.
const READ_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=256 << 10;

/// A whole frame with its header in front, so that other headers can be written over that without moving the payload.
#[derive(Debug)]
pub struct RawFrame {
    /// The parsed header.
    pub header: Header,
    /// Header and payload.
    pub bytes: BytesMut,
}

impl RawFrame {
    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The body of a control message.
    ///
    /// # Errors
    /// [`ProtoError::Body`].
    pub fn body<T: bincode::Decode<()>>(&self, kind: Kind) -> Result<T, ProtoError> {
        frame::read_body(kind, self.payload())
    }
}

/// The reading half.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<Stream>,
    buffer: BytesMut,
    read_bytes: usize,
}

impl Reader {
    /// Reads once. `false`: the peer is gone. Cancel-safe: what was read stays in the buffer.
    ///
    /// # Errors
    /// What the kernel said.
    pub async fn read(&mut self) -> io::Result<bool> {
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes {
            self.buffer.reserve(self.wanted());
        }
        let room = self.read_bytes.max(self.wanted());
        let read = (&*self.stream).read_buf(&mut (&mut self.buffer).limit(room)).await?;
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(*READ_BYTES.end());
        } else if read * 8 < self.read_bytes {
            self.read_bytes = (self.read_bytes / 2).max(*READ_BYTES.start());
        }
        Ok(read > 0)
    }

    /// Bytes that a read should have room for: the rest of the frame at the front, at least one read.
    fn wanted(&self) -> usize {
        let rest = match Header::parse(&self.buffer) {
            Ok(Some(header)) => (HEADER_BYTES + header.len as usize).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        rest.max(self.read_bytes)
    }

    /// The next whole frame that was read, if there is one.
    ///
    /// # Errors
    /// As [`Header::parse`]: the connection is of no use any more.
    pub fn frame(&mut self) -> Result<Option<RawFrame>, ProtoError> {
        let Some(header) = Header::parse(&self.buffer)? else { return Ok(None) };
        let total = HEADER_BYTES + header.len as usize;
        if self.buffer.len() < total {
            return Ok(None);
        }
        Ok(Some(RawFrame { header, bytes: self.buffer.split_to(total) }))
    }

    /// Reads until there is a frame. Cancel-safe.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer is gone, `InvalidData` when it does not speak the protocol.
    pub async fn next(&mut self) -> io::Result<RawFrame> {
        loop {
            if let Some(frame) = self.frame().map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))? {
                return Ok(frame);
            }
            if !self.read().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Why bytes were not taken for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The peer does not read.
    Full,
    /// The connection is gone.
    Gone,
}

/// The writing half. Clones write to the same connection, in the order in which they send.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    // The channel has no bound in messages because this one, in bytes, is tighter.
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Hands whole frames to the writer; never waits.
    ///
    /// # Errors
    /// [`NotSent`].
    pub fn send(&self, bytes: Vec<u8>) -> Result<(), NotSent> {
        if self.waiting.load(Ordering::Relaxed) + bytes.len() > WRITE_QUEUE_BYTES_MAX {
            return Err(NotSent::Full);
        }
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        self.queue.send(bytes).map_err(|_| NotSent::Gone)
    }
}

/// Both halves; dropping it closes the connection.
#[derive(Debug)]
pub struct Conn {
    /// The reading half.
    pub reader: Reader,
    /// The writing half.
    pub writer: Writer,
    task: JoinHandle<()>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Conn {
    /// Takes a connected stream.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        let stream = Arc::new(stream);
        let (queue, messages) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(write(Arc::clone(&stream), messages, Arc::clone(&waiting)));
        Self {
            reader: Reader { stream, buffer: BytesMut::new(), read_bytes: *READ_BYTES.start() },
            writer: Writer { queue, waiting },
            task,
        }
    }
}

async fn write(stream: Arc<Stream>, mut messages: mpsc::UnboundedReceiver<Vec<u8>>, waiting: Arc<AtomicUsize>) {
    while let Some(mut bytes) = messages.recv().await {
        // What has gathered meanwhile goes out in one write.
        while bytes.len() < 64 << 10
            && let Ok(more) = messages.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        let written = (&*stream).write_all(&bytes).await;
        waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        if written.is_err() {
            // The reader learns of it by itself and ends the connection.
            return;
        }
    }
}

/// A request as bytes, ready to be sent under this id.
///
/// # Errors
/// [`ProtoError::Body`] when it is larger than the peer accepts.
pub fn message<T: bincode::Encode>(kind: Kind, id: u64, body: &T) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 64);
    frame::write_message(kind, id, body, &mut out)?;
    Ok(out)
}

/// Writes another id into a message.
pub fn set_id(message: &mut [u8], id: u64) {
    if let Some(at) = message.get_mut(8..16) {
        at.copy_from_slice(&id.to_le_bytes());
    }
}
