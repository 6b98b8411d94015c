//! Who is let in and who is not, over a real socket pair.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use baton_proto::SessionId;
use baton_proto::codec::Encode;
use baton_proto::frame::{Frame, Header, Kind, read_body, write_message};
use baton_proto::hello::{Hello, InstallKey, Proof, Role, Welcome, Who};
use baton_proto::v1::{AskStatus, Failed, OpenSession};

use super::conn::{Conn, ConnError, Identity};
use super::event::Request;
use super::pipe::{OUTGOING_MAX, Pipe, PipeError};

/// A client at one end of a pair, sessiond's connection at the other.
struct Pair {
    client: UnixStream,
    conn: Conn,
    identity: Identity,
}

impl Pair {
    fn new() -> Self {
        let (client, ours) = UnixStream::pair().unwrap();
        let identity = Identity { key: InstallKey::new([7; 32]), pid: 42 };
        Self { client, conn: Conn::new(Pipe::new(ours).unwrap(), Instant::now()), identity }
    }

    fn send<T: Encode>(&mut self, kind: Kind, at: u64, body: &T) {
        let mut bytes = Vec::new();
        write_message(kind, at, body, &mut bytes).unwrap();
        self.client.write_all(&bytes).unwrap();
    }

    fn step(&mut self) -> Result<Option<(u64, Request)>, ConnError> {
        self.conn.pipe.fill().unwrap();
        let got = self.conn.next_request(&self.identity);
        if let Err(why) = &got {
            self.conn.refuse(why);
        }
        got
    }

    fn receive(&mut self) -> (Header, Vec<u8>) {
        let mut bytes = vec![0; baton_proto::frame::HEADER_BYTES];
        self.client.read_exact(&mut bytes).unwrap();
        let header = Header::parse(&bytes).unwrap().unwrap();
        let mut payload = vec![0; header.len as usize];
        self.client.read_exact(&mut payload).unwrap();
        (header, payload)
    }

    fn refusal(&mut self) -> String {
        let (header, payload) = self.receive();
        assert_eq!(header.known_kind(), Some(Kind::Refused));
        read_body::<Failed>(Kind::Refused, &payload).unwrap().message
    }

    /// The whole handshake with this key; the last answer is what sessiond thinks of the proof.
    fn shake(&mut self, hello: &Hello, key: &InstallKey) -> Result<Option<(u64, Request)>, ConnError> {
        self.send(Kind::Hello, 0, hello);
        self.step()?;
        let (_, payload) = self.receive();
        let welcome: Welcome = read_body(Kind::Welcome, &payload).unwrap();
        assert_eq!((welcome.who, welcome.pid), (Who::Supervisor, 42));
        assert!(self.identity.key.believes_listener(hello, &welcome));
        self.send(Kind::Proof, 0, &Proof { proof: key.dialler_proof(hello, welcome.version, &welcome.nonce) });
        self.step()
    }
}

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        role: Role::Bridge,
        nonce: [3; 32],
        capabilities: vec!["something new".to_owned()],
        build: "test".to_owned(),
    }
}

#[test]
fn who_holds_the_key_may_ask() {
    let mut pair = Pair::new();
    let key = pair.identity.key.clone();
    assert!(pair.conn.deadline().is_some());
    assert!(pair.shake(&hello(), &key).unwrap().is_none());
    assert_eq!(pair.receive().0.known_kind(), Some(Kind::Accepted));
    assert!(pair.conn.is_open() && pair.conn.deadline().is_none());
    pair.send(Kind::AskStatus, 5, &AskStatus {});
    assert!(matches!(pair.step().unwrap(), Some((5, Request::Status))));
    // What this version does not know is skipped; a request that comes in pieces waits for its rest.
    let mut bytes = Header { len: 3, kind: 250, at: 9, ..Header::default() }.to_bytes().to_vec();
    bytes.extend_from_slice(b"new");
    let session = SessionId::from_uuid(uuid::Uuid::from_u128(1));
    write_message(Kind::OpenSession, 6, &OpenSession { session }, &mut bytes).unwrap();
    for byte in &bytes[..bytes.len() - 1] {
        pair.client.write_all(&[*byte]).unwrap();
        assert!(pair.step().unwrap().is_none());
    }
    pair.client.write_all(&bytes[bytes.len() - 1..]).unwrap();
    assert!(matches!(pair.step().unwrap(), Some((6, Request::Open(asked))) if asked == session));
}

#[test]
fn who_does_not_is_told_and_let_go() {
    let mut pair = Pair::new();
    let err = pair.shake(&hello(), &InstallKey::new([8; 32])).unwrap_err();
    assert!(matches!(err, ConnError::Refused(_)), "{err:?}");
    assert!(pair.refusal().contains("proof"));

    // A proof for another nonce is worth nothing: the first thing said must be `Hello`.
    let mut pair = Pair::new();
    pair.send(Kind::Proof, 0, &Proof { proof: [0; 32] });
    assert!(pair.step().is_err());
    assert!(pair.refusal().contains("`Hello`"));

    // Nor is a request before the proof.
    let mut pair = Pair::new();
    pair.send(Kind::Hello, 0, &hello());
    pair.step().unwrap();
    pair.receive();
    pair.send(Kind::AskStatus, 5, &AskStatus {});
    assert!(pair.step().is_err());
    assert!(pair.refusal().contains("`Proof`"));

    for (bad, words) in [
        (Hello { version_min: 2, version_max: 9, ..hello() }, "version"),
        (Hello { role: Role::Supervisor { generation: 9 }, ..hello() }, "one sessiond"),
    ] {
        let mut pair = Pair::new();
        pair.send(Kind::Hello, 0, &bad);
        assert!(pair.step().is_err());
        let refusal = pair.refusal();
        assert!(refusal.contains(words), "{refusal}");
    }
}

#[test]
fn a_stranger_can_make_sessiond_buffer_no_more_than_a_handshake() {
    let mut pair = Pair::new();
    // A spec of a megabyte is announced; its header alone ends the conversation.
    pair.client.write_all(&Header::message(Kind::Spawn, 1, 1 << 20).to_bytes()).unwrap();
    assert!(matches!(pair.step(), Err(ConnError::Pipe(PipeError::Proto(_)))));
    for bad in [Header::message(Kind::Hello, 0, 1025), Header { kind: 3, len: u32::MAX, ..Header::default() }] {
        let mut pair = Pair::new();
        pair.client.write_all(&bad.to_bytes()).unwrap();
        assert!(matches!(pair.step(), Err(ConnError::Pipe(PipeError::Proto(_)))));
    }
}

#[test]
fn requests_out_of_order_end_the_connection() {
    let open = || {
        let mut pair = Pair::new();
        let key = pair.identity.key.clone();
        pair.shake(&hello(), &key).unwrap();
        pair.receive();
        pair
    };
    // No id, an answer, a second handshake, a body that is none.
    let mut pair = open();
    pair.send(Kind::AskStatus, 0, &AskStatus {});
    assert!(pair.step().is_err());
    let mut pair = open();
    pair.client.write_all(&Header::message(Kind::Done, 5, 0).to_bytes()).unwrap();
    assert!(pair.step().is_err());
    let mut pair = open();
    pair.send(Kind::Hello, 0, &hello());
    assert!(pair.step().is_err());
    let mut pair = open();
    pair.client.write_all(&Header::message(Kind::OpenSession, 5, 3).to_bytes()).unwrap();
    pair.client.write_all(b"abc").unwrap();
    assert!(pair.step().is_err());
}

#[test]
fn who_does_not_read_is_not_waited_for() {
    let mut pair = Pair::new();
    let failed =
        Failed { code: baton_proto::ErrorCode::Invalid, message: "x".repeat(60_000), owner: None, oldest: None };
    let mut sent = 0;
    let err = loop {
        match pair.conn.pipe.send(Kind::Failed, 1, &failed) {
            Ok(()) => sent += 60_000,
            Err(err) => break err,
        }
        assert!(sent < 2 * OUTGOING_MAX, "no bound");
    };
    assert!(matches!(err, PipeError::Full), "{err:?}");
    // What the kernel had taken is whole frames up to a point.
    pair.client.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; 200_000];
    let count = pair.client.read(&mut bytes).unwrap();
    assert!(Frame::parse(&bytes[..count]).unwrap().is_some());
}
