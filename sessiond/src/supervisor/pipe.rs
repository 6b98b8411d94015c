//! A non-blocking stream of frames with bounds in both directions.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use baton_proto::ProtoError;
use baton_proto::codec::Encode;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, write_empty, write_message};

/// Bytes that may wait for a peer to read them. One that reads none of them is not waited for.
pub const OUTGOING_MAX: usize = 4 << 20;

/// Bytes read from one peer before the others get their turn.
const READ_A_TURN: usize = 256 << 10;

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The kernel says so.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer does not read.
    #[error("the peer leaves more than {OUTGOING_MAX} bytes unread")]
    Full,
    /// The peer does not speak the protocol.
    #[error(transparent)]
    Proto(#[from] ProtoError),
}

/// A stream of frames.
#[derive(Debug)]
pub struct Pipe {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// How much of `outgoing` the kernel took.
    sent: usize,
}

impl Pipe {
    /// Takes a stream over and makes it non-blocking.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: Vec::new(), outgoing: Vec::new(), sent: 0 })
    }

    /// Reads what is there, up to a turn's worth.
    ///
    /// # Errors
    /// [`PipeError::Closed`], [`PipeError::Io`]; frames read before are still to be had by [`Pipe::next_frame`].
    pub fn fill(&mut self) -> Result<(), PipeError> {
        let mut chunk = [0; 16 << 10];
        let mut read = 0;
        while read < READ_A_TURN {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(PipeError::Closed),
                Ok(count) => {
                    self.incoming.extend_from_slice(&chunk[..count]);
                    read += count;
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }

    /// The header of the frame at the front, as soon as it is whole: to refuse a payload before it is buffered.
    ///
    /// # Errors
    /// [`PipeError::Proto`].
    pub fn next_header(&self) -> Result<Option<Header>, PipeError> {
        Ok(Header::parse(&self.incoming)?)
    }

    /// Takes the frame at the front; `None` until it is whole.
    ///
    /// # Errors
    /// [`PipeError::Proto`].
    pub fn next_frame(&mut self) -> Result<Option<(Header, Vec<u8>)>, PipeError> {
        let Some(frame) = Frame::parse(&self.incoming)? else { return Ok(None) };
        let (header, payload, total) = (frame.header, frame.payload.to_vec(), frame.total_bytes());
        self.incoming.drain(..total);
        if self.incoming.is_empty() && self.incoming.capacity() > READ_A_TURN {
            self.incoming = Vec::new();
        }
        debug_assert_eq!(total, HEADER_BYTES + payload.len());
        Ok(Some((header, payload)))
    }

    /// Queues a message and sends what the kernel takes.
    ///
    /// # Errors
    /// [`PipeError`].
    pub fn send<T: Encode>(&mut self, kind: Kind, at: u64, body: &T) -> Result<(), PipeError> {
        write_message(kind, at, body, &mut self.outgoing)?;
        self.flush()
    }

    /// Queues a message without body and sends what the kernel takes.
    ///
    /// # Errors
    /// [`PipeError`].
    pub fn send_empty(&mut self, kind: Kind, at: u64) -> Result<(), PipeError> {
        write_empty(kind, at, &mut self.outgoing);
        self.flush()
    }

    /// Sends what the kernel takes.
    ///
    /// # Errors
    /// [`PipeError::Io`], or [`PipeError::Full`] when too much is left.
    pub fn flush(&mut self) -> Result<(), PipeError> {
        while self.sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err.into()),
            }
        }
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
            if self.outgoing.capacity() > READ_A_TURN {
                self.outgoing = Vec::new();
            }
        } else if self.sent > READ_A_TURN {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        if self.waiting() > OUTGOING_MAX { Err(PipeError::Full) } else { Ok(()) }
    }

    /// Bytes the peer has still to read.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outgoing.len() - self.sent
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
