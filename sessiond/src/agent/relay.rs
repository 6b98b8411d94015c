//! One connection of a session to its ssh agent: a message is read whole and judged, what is passed on goes to the person's agent,
//! and what comes back is judged as well.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::message::{self, FAILURE, Identity, LENGTH_BYTES, LIST, Request};
use super::told::Told;

/// How long a client may say nothing between two messages. `ssh` and `git` ask at once and leave.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a message may take from its first byte to its last, either way.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the agent may take to answer: it may be asking the person, who has to find the window or the token.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a client until it leaves or says nothing for long. Its end is nobody's error but its own.
pub fn serve(client: &UnixStream, agent: &Path, told: &Told) {
    let mut connection = Connection { path: agent, agent: None, told };
    if let Err(err) = talk(client, &mut connection) {
        tracing::debug!("a connection ended: {err}");
    }
}

fn talk(client: &UnixStream, connection: &mut Connection<'_>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    loop {
        let Some(request) = read_message(client, IDLE_TIMEOUT)? else { return Ok(()) };
        // What the agent does not do, or can't be asked, is a failure to who asked; the next message is asked anew.
        let answer = connection.answer(client, &request).unwrap_or_else(|err| {
            tracing::debug!("the agent can't be asked: {err}");
            connection.agent = None;
            None
        });
        write_by(client, answer.as_deref().unwrap_or(&FAILURE), Instant::now() + MESSAGE_TIMEOUT)?;
    }
}

/// A connection to the person's agent.
struct Agent {
    stream: UnixStream,
    /// What it listed last.
    keys: Vec<Identity>,
}

struct Connection<'a> {
    path: &'a Path,
    /// Made when it is needed, and again after it failed.
    agent: Option<Agent>,
    told: &'a Told,
}

impl Connection<'_> {
    /// The whole message to answer with; `None` = a failure.
    fn answer(&mut self, client: &UnixStream, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match message::request(&request[LENGTH_BYTES..]) {
            Request::Refused => Ok(None),
            Request::List => self.list(client).map(Some),
            Request::Sign { key } => self.sign(client, request, key),
        }
    }

    fn agent(&mut self) -> io::Result<&mut Agent> {
        let agent = match self.agent.take() {
            Some(agent) => agent,
            None => Agent { stream: connected(self.path)?, keys: Vec::new() },
        };
        Ok(self.agent.insert(agent))
    }

    fn list(&mut self, client: &UnixStream) -> io::Result<Vec<u8>> {
        let agent = self.agent()?;
        let answer = ask(&agent.stream, client, &LIST)?;
        agent.keys = message::identities(&answer[LENGTH_BYTES..])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what listens there lists no keys"))?;
        Ok(answer)
    }

    /// Only what has shown itself to be an agent is sent bytes that the session chose: those of a request to sign could mean
    /// something to another kind of server.
    fn sign(&mut self, client: &UnixStream, request: &[u8], key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let find = |agent: &Agent| agent.keys.iter().find(|it| it.key == key).map(|it| it.comment.clone());
        let mut known = find(self.agent()?);
        if known.is_none() {
            self.list(client)?;
            known = find(self.agent()?);
        }
        let Some(comment) = known else { return Ok(None) };
        let agent = self.agent()?;
        let answer = ask(&agent.stream, client, request)?;
        let signed = message::is_signature(&answer[LENGTH_BYTES..]);
        self.told.used(&comment, signed);
        Ok(signed.then_some(answer))
    }
}

/// Sends a whole message to the agent and waits for a whole one, as long as the client does.
fn ask(agent: &UnixStream, client: &UnixStream, request: &[u8]) -> io::Result<Vec<u8>> {
    write_by(agent, request, Instant::now() + MESSAGE_TIMEOUT)?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Of the client only that it has hung up is asked, which is always told.
        let mut waiting =
            [PollFd::new(agent.as_fd(), PollFlags::POLLIN), PollFd::new(client.as_fd(), PollFlags::empty())];
        match poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(err) => return Err(err.into()),
        }
        if waiting[1].any().unwrap_or(true) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "who asked has left"));
        }
        if waiting[0].any().unwrap_or(true) {
            return read_message(agent, MESSAGE_TIMEOUT)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads a whole message, its length included; `None` = the other side ended before one began.
fn read_message(from: &UnixStream, patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; LENGTH_BYTES];
    if read_some(from, &mut bytes[..1], Instant::now() + patience)? == 0 {
        return Ok(None);
    }
    let deadline = Instant::now() + MESSAGE_TIMEOUT;
    read_by(from, &mut bytes[1..], deadline)?;
    let length = bytes
        .first_chunk()
        .and_then(|length| message::length(*length))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no message has this length"))?;
    bytes.resize(LENGTH_BYTES + length, 0);
    read_by(from, &mut bytes[LENGTH_BYTES..], deadline)?;
    Ok(Some(bytes))
}

fn read_by(from: &UnixStream, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !into.is_empty() {
        match read_some(from, into, deadline)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => into = &mut into[count..],
        }
    }
    Ok(())
}

fn read_some(mut from: &UnixStream, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        from.set_read_timeout(Some(left(deadline)?))?;
        match from.read(into) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn write_by(mut to: &UnixStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        to.set_write_timeout(Some(left(deadline)?))?;
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Connects to the agent as it is now: one that was started again at the same path is found.
fn connected(path: &Path) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // One whose queue is full would be waited for without end.
    let patience = TimeVal::milliseconds(i64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(i64::MAX));
    setsockopt(&stream, sockopt::SendTimeout, &patience)?;
    connect(stream.as_raw_fd(), &address)?;
    Ok(UnixStream::from(stream))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A relay to what listens at a path, and the client's end.
    fn relay(path: &Path) -> (UnixStream, thread::JoinHandle<()>) {
        let (client, end) = UnixStream::pair().unwrap();
        let path = path.to_owned();
        (client, thread::spawn(move || serve(&end, &path, &Told::new(String::new()))))
    }

    fn sign(key: &[u8]) -> Vec<u8> {
        let length = u8::try_from(key.len()).unwrap();
        let mut message = vec![0, 0, 0, 14 + length, 13, 0, 0, 0, length];
        message.extend_from_slice(key);
        message.extend_from_slice(&[0, 0, 0, 1, b'd', 0, 0, 0, 0]);
        message
    }

    fn told(client: &UnixStream) -> Vec<u8> {
        read_message(client, MESSAGE_TIMEOUT).unwrap().unwrap()
    }

    #[test]
    fn only_what_lists_keys_is_sent_what_a_session_chose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // It answers as no agent does.
        let other = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 5];
            stream.read_exact(&mut heard).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // What has come is there before the end is told, which is a reset: the relay read no more of this than a length.
            let ended = stream.read_to_end(&mut heard).map_err(|err| err.kind());
            assert!(matches!(ended, Ok(_) | Err(io::ErrorKind::ConnectionReset)), "{ended:?}");
            heard
        });
        let (mut client, served) = relay(&path);
        client.write_all(&sign(b"key")).unwrap();
        assert_eq!(told(&client), FAILURE);
        drop(client);
        served.join().unwrap();
        assert_eq!(other.join().unwrap(), LIST);
    }

    #[test]
    fn an_agent_is_asked_for_keys_that_it_has_and_nothing_but_signatures_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let answers: [&[u8]; 4] =
                [b"\x0c\0\0\0\x01\0\0\0\x03key\0\0\0\x01c", b"\x0e\0\0\0\x03sig", b"\x1dsecret", b"\x0c\0\0\0\0"];
            for answer in answers {
                let Some(message) = read_message(&stream, MESSAGE_TIMEOUT).unwrap() else { break };
                asked.push(message[4]);
                stream.write_all(&u32::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(answer).unwrap();
            }
            asked
        });
        let (mut client, served) = relay(&path);
        client.write_all(&sign(b"key")).unwrap();
        assert_eq!(told(&client), b"\0\0\0\x08\x0e\0\0\0\x03sig");
        // An answer that is none is not passed on, and a key that is not there is not asked for.
        client.write_all(&sign(b"key")).unwrap();
        assert_eq!(told(&client), FAILURE);
        client.write_all(&sign(b"other")).unwrap();
        assert_eq!(told(&client), FAILURE);
        for refused in [&b"\0\0\0\x01\x13"[..], b"\0\0\0\x01\x16", b"\0\0\0\x01\x1b"] {
            client.write_all(refused).unwrap();
            assert_eq!(told(&client), FAILURE);
        }
        drop(client);
        served.join().unwrap();
        assert_eq!(agent.join().unwrap(), [11, 13, 13, 11]);
    }

    #[test]
    fn without_an_agent_every_request_fails_and_a_wrong_length_ends_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (mut client, served) = relay(&path);
        client.write_all(&LIST).unwrap();
        assert_eq!(told(&client), FAILURE);
        // It comes back.
        let listener = UnixListener::bind(&path).unwrap();
        let agent = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // One that answers and leaves before it was asked can't be asked.
            let asked = read_message(&stream, MESSAGE_TIMEOUT).unwrap();
            stream.write_all(b"\0\0\0\x05\x0c\0\0\0\0").unwrap();
            asked
        });
        client.write_all(&LIST).unwrap();
        assert_eq!(told(&client), b"\0\0\0\x05\x0c\0\0\0\0");
        client.write_all(&[0xff; 5]).unwrap();
        assert!(read_message(&client, MESSAGE_TIMEOUT).unwrap_or_default().is_none());
        served.join().unwrap();
        assert_eq!(agent.join().unwrap().unwrap(), LIST);
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // It never answers.
        let _listener = UnixListener::bind(&path).unwrap();
        let (mut client, served) = relay(&path);
        client.write_all(&LIST).unwrap();
        drop(client);
        let begun = Instant::now();
        served.join().unwrap();
        assert!(begun.elapsed() < ANSWER_TIMEOUT / 2, "{:?}", begun.elapsed());
    }
}
