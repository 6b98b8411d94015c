//! sessiond's connection to one worker: dial, prove both sides, then listen for the end of the session.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use baton_proto::frame::{Kind, read_body};
use baton_proto::hello::{HANDSHAKE_TIMEOUT_S, Hello, InstallKey, Proof, Role, VERSION_MAX, VERSION_MIN, Welcome, Who};
use baton_proto::home::through;
use baton_proto::v1::{ExitRecord, Failed, From as Start, Inspect, Inspection, Subscribe, Trim};
use baton_proto::{InstanceId, ProtoError, SessionId};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::conn::fresh_nonce;
use super::pipe::{Pipe, PipeError};

/// What a link has to tell.
#[derive(Debug)]
pub enum News {
    /// How the session is; the handshake is done.
    Inspected(Box<Inspection>),
    /// The program ended.
    Exit(ExitRecord),
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No socket, or one that nobody listens on.
    #[error("nobody listens")]
    Absent,
    /// The stream is over.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// It is not the worker it should be.
    #[error("somebody else answers: {0}")]
    Stranger(&'static str),
    /// It does not want sessiond.
    #[error("the worker refused: {0}")]
    Refused(String),
    /// It took too long.
    #[error("the worker does not answer")]
    Late,
}

impl From<ProtoError> for LinkError {
    fn from(err: ProtoError) -> Self {
        Self::Pipe(PipeError::Proto(err))
    }
}

#[derive(Debug)]
enum Phase {
    Welcome(Hello),
    Accepted,
    Open,
}

/// A connection to a worker.
#[derive(Debug)]
pub struct Link {
    /// Its stream.
    pub pipe: Pipe,
    session: SessionId,
    instance: InstanceId,
    phase: Phase,
    deadline: Instant,
    /// Id of the next request.
    next: u64,
}

impl Link {
    /// Connects and says hello. Never waits: a listener whose queue is full is an error to retry.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn dial(
        workers: &OwnedFd,
        session: SessionId,
        instance: InstanceId,
        generation: u64,
        now: Instant,
    ) -> Result<Self, LinkError> {
        let mut pipe = Pipe::new(connect_to(workers, &session.socket_name())?).map_err(PipeError::from)?;
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            role: Role::Supervisor { generation },
            nonce: fresh_nonce()?,
            capabilities: Vec::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        };
        pipe.send(Kind::Hello, 0, &hello)?;
        let deadline = now + Duration::from_secs(HANDSHAKE_TIMEOUT_S);
        Ok(Self { pipe, session, instance, phase: Phase::Welcome(hello), deadline, next: 1 })
    }

    /// When its handshake is too late.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!matches!(self.phase, Phase::Open)).then_some(self.deadline)
    }

    /// The next thing the worker told that matters here.
    ///
    /// # Errors
    /// [`LinkError`]: the link is to be dropped.
    pub fn next_news(&mut self, key: &InstallKey) -> Result<Option<News>, LinkError> {
        loop {
            let Some((header, payload)) = self.pipe.next_frame()? else { return Ok(None) };
            let Some(kind) = header.known_kind() else { continue };
            if kind == Kind::Refused {
                return Err(LinkError::Refused(read_body::<Failed>(kind, &payload)?.message));
            }
            match (&self.phase, kind) {
                (Phase::Welcome(hello), Kind::Welcome) => {
                    let welcome: Welcome = read_body(kind, &payload)?;
                    let proof = self.answer(hello, &welcome, key)?;
                    self.pipe.send(Kind::Proof, 0, &proof)?;
                    self.phase = Phase::Accepted;
                }
                (Phase::Accepted, Kind::Accepted) => {
                    self.phase = Phase::Open;
                    let subscribe = Subscribe { from: Start::Head, without_output: true };
                    self.ask(Kind::Subscribe, &subscribe)?;
                    self.ask(Kind::Inspect, &Inspect {})?;
                }
                (Phase::Open, Kind::Inspection) => {
                    return Ok(Some(News::Inspected(Box::new(read_body(kind, &payload)?))));
                }
                (Phase::Open, Kind::Exit) => return Ok(Some(News::Exit(read_body(kind, &payload)?))),
                // Presence, leases, marks: a worker's business with its clients.
                (Phase::Open, _) => {}
                (_, _) => return Err(ProtoError::OutOfOrder { kind: header.kind, expected: "a handshake" }.into()),
            }
        }
    }

    /// Believes the worker or does not; then proves this side.
    fn answer(&self, hello: &Hello, welcome: &Welcome, key: &InstallKey) -> Result<Proof, LinkError> {
        if !(hello.version_min..=hello.version_max).contains(&welcome.version) {
            return Err(LinkError::Stranger("it chose a version that was not offered"));
        }
        if !key.believes_listener(hello, welcome) {
            return Err(LinkError::Stranger("its proof of the install key is wrong"));
        }
        if welcome.who != (Who::Worker { session: self.session, instance: self.instance }) {
            return Err(LinkError::Stranger("it is not the worker of this session and instance"));
        }
        Ok(Proof { proof: key.dialler_proof(hello, welcome.version, &welcome.nonce) })
    }

    /// Has the worker trim its journal.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn trim(&mut self, max_bytes: u64) -> Result<(), LinkError> {
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        self.ask(Kind::Trim, &Trim { max_bytes })
    }

    fn ask<T: baton_proto::codec::Encode>(&mut self, kind: Kind, body: &T) -> Result<(), LinkError> {
        let id = self.next;
        self.next += 1;
        Ok(self.pipe.send(kind, id, body)?)
    }
}

fn connect_to(workers: &OwnedFd, name: &str) -> Result<UnixStream, LinkError> {
    let failed = |err: Errno| match err {
        Errno::ENOENT | Errno::ECONNREFUSED => LinkError::Absent,
        err => LinkError::Pipe(PipeError::Io(io::Error::from(err))),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
    let address = UnixAddr::new(&through(workers.as_raw_fd(), name)).map_err(failed)?;
    connect(fd.as_raw_fd(), &address).map_err(failed)?;
    Ok(fd.into())
}
