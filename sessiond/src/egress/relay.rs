//! One connection: what is asked for is judged, connected to and copied, in two threads that wait for one side each.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use baton_proto::egress::{AllowHosts, Host};

use super::head::{Decision, HEAD_BYTES_MAX, judge};
use super::home;
use super::refused::{Refused, Teller};

/// How long a client may take to say what it wants.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one address of a host may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long neither side of a connection may say anything.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Bytes copied at once.
const COPY_BYTES: usize = 16 << 10;
/// A thread's stack: buffers live on the heap.
const STACK_BYTES: usize = 256 << 10;

/// A thread of this process.
pub fn thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES)
}

/// Serves a client until one of both sides has left. Its end is nobody's error but theirs.
pub fn serve(client: TcpStream, allowed: &AllowHosts, teller: &Teller) {
    if let Err(err) = talk(&client, allowed, teller) {
        tracing::debug!("a connection ended: {err}");
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Tells a client that there are too many.
pub fn full(client: TcpStream) {
    let _ = client.set_write_timeout(Some(Duration::from_secs(1)));
    let text = "Baton: this session has as many connections as it may have; try again when others have ended.\n";
    let _ = answer(&client, "503 Service Unavailable", text);
}

fn answer(mut client: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(text.as_bytes())
}

fn talk(mut client: &TcpStream, allowed: &AllowHosts, teller: &Teller) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(IDLE_TIMEOUT))?;
    let deadline = Instant::now() + HEAD_TIMEOUT;
    let mut bytes = Vec::with_capacity(1024);
    let decision = loop {
        let mut buffer = [0; 2048];
        client
            .set_read_timeout(Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))))?;
        let room = buffer.len().min(HEAD_BYTES_MAX + 1 - bytes.len());
        let count = client.read(&mut buffer[..room])?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..count]);
        match judge(&bytes, allowed) {
            Decision::More => {}
            decided => break decided,
        }
    };
    let (host, port, head, rewritten) = match decision {
        Decision::Tunnel { host, port, head } => (host, port, head, None),
        Decision::Forward { host, port, head, rewritten } => (host, port, head, Some(rewritten)),
        Decision::Denied { host, port } => return denied(client, teller, &Refused { host, port, home: None }),
        Decision::Bad(why) => return answer(client, "400 Bad Request", &format!("Baton: {why}.\n")),
        Decision::More => return Ok(()),
    };
    let mut server = match connect(&host, port, allowed) {
        Ok(server) => server,
        Err(NotConnected::Home(address)) => {
            return denied(client, teller, &Refused { host, port, home: Some(address) });
        }
        Err(NotConnected::Failed(err)) => {
            return answer(client, "502 Bad Gateway", &format!("Baton: `{host}:{port}` can't be reached: {err}.\n"));
        }
    };
    server.set_write_timeout(Some(IDLE_TIMEOUT))?;
    match rewritten {
        Some(rewritten) => server.write_all(&rewritten)?,
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
    }
    server.write_all(&bytes[head..])?;
    both_ways(client, &server)
}

/// Refuses, to somebody who reads it; the worker knows before the program does, which may end with it.
fn denied(client: &TcpStream, teller: &Teller, refused: &Refused) -> io::Result<()> {
    tracing::debug!(host = %refused.host, refused.port, "refused");
    teller.tell(refused);
    answer(client, "403 Forbidden", &format!("Baton: {}.\n", refused.denied().text()))
}

enum NotConnected {
    /// Its addresses belong to this host or to a private network, and are not listed.
    Home(IpAddr),
    Failed(io::Error),
}

/// Connects to the first address that answers. Each is judged as it is, just before: what a name leads to is asked once.
fn connect(host: &Host, port: u16, allowed: &AllowHosts) -> Result<TcpStream, NotConnected> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => {
            let found = (name.as_str(), port).to_socket_addrs().map_err(NotConnected::Failed)?;
            found.take(ADDRESSES_MAX).collect()
        }
    };
    let mut last = NotConnected::Failed(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for address in addresses {
        match leads_home(address, allowed) {
            Ok(false) => {}
            Ok(true) => {
                last = NotConnected::Home(address.ip());
                continue;
            }
            Err(err) => {
                last = NotConnected::Failed(err);
                continue;
            }
        }
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = NotConnected::Failed(err),
        }
    }
    Err(last)
}

/// Whether an address is not of the internet, or this host's own, and is not on the list itself.
fn leads_home(address: SocketAddr, allowed: &AllowHosts) -> io::Result<bool> {
    if allowed.allows(&Host::Address(address.ip().to_canonical()), address.port()) {
        return Ok(false);
    }
    Ok(!allowed.allows_address(address.ip(), address.port()) || home::is_own(address)?)
}

fn both_ways(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    // For bytes that wait for no more: a keystroke or an answer.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let heard = Arc::new(Heard { begun: Instant::now(), at_ms: AtomicU64::new(0) });
    let back = {
        let (client, server, heard) = (client.try_clone()?, server.try_clone()?, Arc::clone(&heard));
        thread("egress-back").spawn(move || copy(&server, &client, &heard))?
    };
    copy(client, server, &heard);
    // It panics never, and if it did the connection would have ended all the same.
    let _ = back.join();
    Ok(())
}

/// When either side last said something.
struct Heard {
    begun: Instant,
    at_ms: AtomicU64,
}

impl Heard {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Copies until `from` ends, and then tells `to` so; an error, or long silence on both sides, ends the connection.
fn copy(mut from: &TcpStream, mut to: &TcpStream, heard: &Heard) {
    let mut buffer = vec![0; COPY_BYTES];
    let idle_ms = u64::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let end = loop {
        let silent_ms = heard.now_ms().saturating_sub(heard.at_ms.load(Ordering::Relaxed));
        let left_ms = idle_ms.saturating_sub(silent_ms);
        if left_ms == 0 || from.set_read_timeout(Some(Duration::from_millis(left_ms))).is_err() {
            break Shutdown::Both;
        }
        match from.read(&mut buffer) {
            Ok(0) => break Shutdown::Write,
            Ok(count) => {
                heard.at_ms.store(heard.now_ms(), Ordering::Relaxed);
                if to.write_all(&buffer[..count]).is_err() {
                    break Shutdown::Both;
                }
            }
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => break Shutdown::Both,
        }
    };
    let _ = to.shutdown(end);
    if end == Shutdown::Both {
        let _ = from.shutdown(end);
    }
}
