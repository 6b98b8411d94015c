//! A hand on the local sockets of worker and sessiond: it can speak the protocol as the bridge does, and it can not.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use baton_proto::frame::{self, Frame, Header, Kind};
use baton_proto::hello::{Hello, InstallKey, Proof, Role, VERSION_MAX, VERSION_MIN, Welcome};
use baton_proto::ids::{ClientId, Epoch};
use baton_proto::v1::{self, Attached, Attachment, Class, ClientKind, Failed, InputHeader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::stream::MESSAGE_LIMIT;

/// One message from the other side.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Received {
    /// What it is, if this version knows it.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.header.known_kind()
    }

    /// Its body as this message.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn body<T: bincode::Decode<()>>(&self) -> T {
        let kind = self.kind().expect("a known kind");
        frame::read_body(kind, &self.payload).unwrap_or_else(|err| panic!("{kind:?}: {err}"))
    }
}

/// One connection to a local socket.
#[derive(Debug)]
pub struct Peer {
    stream: UnixStream,
    buffer: Vec<u8>,
    requests: u64,
}

impl Peer {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).await.with_context(|| format!("connect to {}", path.display()))?;
        Ok(Self { stream, buffer: Vec::new(), requests: 0 })
    }

    /// A `Hello` of this version.
    #[must_use]
    pub fn hello(role: Role) -> Hello {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("the kernel has random numbers");
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            role,
            nonce,
            capabilities: vec![],
            build: "test".to_owned(),
        }
    }

    /// The whole handshake, both proofs checked.
    ///
    /// # Errors
    /// What the other side refused, or that it could not prove the key.
    pub async fn handshake(&mut self, key: &InstallKey, role: Role) -> Result<Welcome> {
        let hello = Self::hello(role);
        let welcome = self.greet(&hello).await?;
        ensure!(key.believes_listener(&hello, &welcome), "the listener's proof is wrong");
        self.send(Kind::Proof, 0, &Proof { proof: key.dialler_proof(&hello, welcome.version, &welcome.nonce) }).await?;
        let accepted = self.next().await?.context("closed before `Accepted`")?;
        match accepted.kind() {
            Some(Kind::Accepted) => Ok(welcome),
            Some(Kind::Refused) => bail!("refused: {:?}", accepted.body::<Failed>()),
            other => bail!("{other:?} instead of `Accepted`"),
        }
    }

    /// The handshake's first half.
    ///
    /// # Errors
    /// What the other side refused.
    pub async fn greet(&mut self, hello: &Hello) -> Result<Welcome> {
        self.send(Kind::Hello, 0, hello).await?;
        let welcome = self.next().await?.context("closed before `Welcome`")?;
        match welcome.kind() {
            Some(Kind::Welcome) => Ok(welcome.body()),
            Some(Kind::Refused) => bail!("refused: {:?}", welcome.body::<Failed>()),
            other => bail!("{other:?} instead of `Welcome`"),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send<T: bincode::Encode>(&mut self, kind: Kind, at: u64, body: &T) -> Result<()> {
        let mut bytes = Vec::new();
        frame::write_message(kind, at, body, &mut bytes)?;
        self.send_raw(&bytes).await
    }

    /// Sends these bytes, whatever they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next message; `None` when the other side has closed.
    ///
    /// # Errors
    /// When the bytes are no message, or nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<Received>> {
        tokio::time::timeout(MESSAGE_LIMIT, self.read()).await.context("nothing came")?
    }

    async fn read(&mut self) -> Result<Option<Received>> {
        loop {
            if let Some(frame) = Frame::parse(&self.buffer)? {
                let received = Received { header: frame.header, payload: frame.payload.to_vec() };
                let used = frame.total_bytes();
                self.buffer.drain(..used);
                return Ok(Some(received));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => {
                    ensure!(self.buffer.is_empty(), "closed within a message");
                    return Ok(None);
                }
                Ok(_) => {}
                // What we sent was not read to its end: the close is a reset.
                Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                Err(err) => return Err(err.into()),
            }
        }
    }

    /// Everything until the other side closes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn until_closed(&mut self) -> Result<Vec<Received>> {
        let mut received = Vec::new();
        while let Some(message) = self.next().await? {
            received.push(message);
        }
        Ok(received)
    }

    /// A request and its answer; events and records that come before it are passed over.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn request<T: bincode::Encode>(&mut self, kind: Kind, body: &T) -> Result<Received> {
        self.requests += 1;
        let id = self.requests;
        self.send(kind, id, body).await?;
        self.answer(id).await
    }

    /// A request whose answer must be of this kind.
    ///
    /// # Panics
    /// When it is another.
    pub async fn ask<T: bincode::Encode, A: bincode::Decode<()>>(&mut self, kind: Kind, body: &T, answer: Kind) -> A {
        let received = self.request(kind, body).await.expect("an answer");
        if received.kind() == Some(Kind::Failed) && answer != Kind::Failed {
            panic!("{kind:?} failed: {:?}", received.body::<Failed>());
        }
        assert_eq!(received.kind(), Some(answer), "the answer to {kind:?}");
        received.body()
    }

    async fn answer(&mut self, id: u64) -> Result<Received> {
        loop {
            let received = self.next().await?.context("closed before the answer")?;
            if received.header.kind >= Kind::Done.number() && received.header.at == id {
                return Ok(received);
            }
        }
    }

    /// Waits for an event of this kind.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn event(&mut self, kind: Kind) -> Result<Received> {
        loop {
            let received = self.next().await?.with_context(|| format!("closed before {kind:?}"))?;
            if received.kind() == Some(kind) {
                return Ok(received);
            }
        }
    }

    /// Attaches a client to a worker.
    ///
    /// # Panics
    /// When the worker refuses.
    pub async fn attach(&mut self, client: &ClientId, class: Class) -> Attached {
        let attach = v1::Attach {
            client: client.clone(),
            kind: if class == Class::Agent { ClientKind::Agent } else { ClientKind::Cli },
            class,
            name: "peer".to_owned(),
            viewport: None,
            input_stream: 1,
        };
        self.ask(Kind::Attach, &attach, Kind::Attached).await
    }

    /// Types, as the bridge forwards it.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn input(&mut self, attachment: Attachment, epoch: Epoch, seq: u64, bytes: &[u8]) -> Result<()> {
        let payload = [&InputHeader { attachment, epoch, seq }.to_bytes()[..], bytes].concat();
        let len = u32::try_from(payload.len())?;
        self.send_raw(&[&Header::message(Kind::Input, 0, len).to_bytes()[..], &payload].concat()).await
    }
}
