//! What the proxy refused, told to whichever worker there is.
//!
//! A named pipe in the directory of the program's instance, which proxy and worker both hold open for reading and writing: the
//! one that dies takes nothing of it along, and nobody waits for the other. Both opened it before they confined themselves.
//! A line is a refusal, `HOST PORT [ADDRESS]`, whole or not there at all (pipe(7), `PIPE_BUF`). While nobody reads, the pipe
//! fills up, and what comes then is not told.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use baton_proto::denied::{Act, Denied};
use baton_proto::egress::Host;
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::Mode;

use crate::seldom::Seldom;
use crate::worker::monotonic;

const NAME: &str = "egress.refused";
/// Bytes of a line: a name has 253, an address 45.
const LINE_BYTES_MAX: usize = 320;
/// Bytes that are taken at once: a turn of a worker is short.
const READ_BYTES: usize = 4096;

/// A host that was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// As it was asked for.
    pub host: Host,
    /// As it was asked for.
    pub port: u16,
    /// The name is allowed, and leads to this address of this host or of a private network.
    pub home: Option<IpAddr>,
}

impl Refused {
    /// For a person: what was refused, why and what to do.
    #[must_use]
    pub fn denied(&self) -> Denied {
        let Self { host, port, .. } = self;
        let why = match self.home {
            None => {
                // What an address serves differs from port to port, most of all at home; a name is one service's.
                let port = match host {
                    Host::Address(_) => format!(":{port}"),
                    Host::Name(_) => String::new(),
                };
                format!(
                    "it is not one of this session's hosts; allow it with `baton new --allow-host {host}{port}` (`allow_hosts` \
                     in the API) when a session is made"
                )
            }
            Some(address) => {
                let address = Host::Address(address);
                format!(
                    "it leads to {address}, which is this host's own or of a private network, and a name that is allowed does \
                     not allow that; allow the address itself with `baton new --allow-host {address}:{port}` when a session is made"
                )
            }
        };
        Denied { act: Act::Reach, path: format!("{host}:{port}"), why }
    }

    fn line(&self) -> String {
        let home = self.home.map(|address| format!(" {address}")).unwrap_or_default();
        format!("{} {}{home}\n", self.host, self.port)
    }

    /// Takes nothing for granted: what wrote it has spoken to the network.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let host = Host::parse(words.next()?).ok()?;
        let port = words.next()?.parse().ok()?;
        let home = words.next().map(str::parse).transpose().ok()?;
        words.next().is_none().then_some(Self { host, port, home })
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let path = directory.join(NAME);
    match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(err) => return Err(err.into()),
    }
    // For both: an end that is open for one only is told when the last of the others goes, and without another it can't be
    // opened at all (fifo(7)).
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let pipe = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)?;
    if pipe.metadata()?.file_type().is_fifo() { Ok(pipe) } else { Err(io::Error::other("it is no pipe")) }
}

/// The proxy's end.
#[derive(Debug)]
pub struct Teller {
    /// `None` = it could not be opened, which was said.
    pipe: Option<File>,
    lately: Mutex<Seldom<Refused>>,
}

impl Teller {
    /// Of the program's instance.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let said =
            |err: &io::Error| tracing::warn!("refused hosts are not told: `{NAME}` in the session's directory: {err}");
        Self { pipe: open(directory).inspect_err(said).ok(), lately: Mutex::default() }
    }

    /// Tells the worker, now and then: the program decides how often it asks.
    pub fn tell(&self, refused: &Refused) {
        let Some(mut pipe) = self.pipe.as_ref() else { return };
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.may_tell(refused.clone(), monotonic()) {
            // A pipe that is full is read by nobody.
            let _ = pipe.write(refused.line().as_bytes());
        }
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Heard {
    pipe: File,
    /// Of a line that is not whole; no longer than a line is.
    rest: Vec<u8>,
}

impl Heard {
    /// Of the program's instance.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { pipe: open(directory)?, rest: Vec::new() })
    }

    /// What has come, as much as is taken at once.
    ///
    /// # Errors
    /// The pipe is not to be read any more.
    pub fn take(&mut self) -> io::Result<Vec<Refused>> {
        let mut buffer = [0; READ_BYTES];
        let count = match (&self.pipe).read(&mut buffer) {
            // While this end is open for writing, too, a pipe does not end.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(err) => return Err(err),
        };
        Ok(lines(&mut self.rest, &buffer[..count]))
    }
}

impl AsFd for Heard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The refusals of lines that are whole now. What is no line of ours is passed over.
fn lines(rest: &mut Vec<u8>, bytes: &[u8]) -> Vec<Refused> {
    let mut found = Vec::new();
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        // Of one that is too long the beginning is kept, so that its end is not taken for a line.
        rest.extend_from_slice(&part[..part.len().min((LINE_BYTES_MAX + 1).saturating_sub(rest.len()))]);
        if part.ends_with(b"\n") {
            if rest.len() <= LINE_BYTES_MAX {
                found.extend(Refused::parse(rest.strip_suffix(b"\n").unwrap_or(rest)));
            }
            rest.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(host: &str, port: u16, home: Option<&str>) -> Refused {
        Refused { host: Host::parse(host).unwrap(), port, home: home.map(|home| home.parse().unwrap()) }
    }

    #[test]
    fn what_is_told_arrives_whoever_is_there() {
        let directory = std::env::temp_dir().join(format!("baton-refused-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (first, second) = (refused("example.org", 443, None), refused("[2001:db8::7]", 1, Some("10.0.0.1")));
        let teller = Teller::new(&directory);
        teller.tell(&first);
        // A worker that comes later, and its successor.
        let mut heard = Heard::new(&directory).unwrap();
        assert_eq!(heard.take().unwrap(), std::slice::from_ref(&first));
        drop(heard);
        teller.tell(&second);
        // The same again, and too much.
        teller.tell(&first);
        (0..100).for_each(|number| teller.tell(&refused("a", number + 1, None)));
        drop(teller);
        let mut heard = Heard::new(&directory).unwrap();
        let _spare = Teller::new(&directory);
        assert_eq!(heard.take().unwrap(), [], "what nobody held open is gone");
        let next = Teller::new(&directory);
        (0..100).for_each(|number| next.tell(&refused("a", number + 1, None)));
        assert_eq!(heard.take().unwrap().len(), crate::seldom::TOLD_MAX);
        assert_eq!(heard.take().unwrap(), []);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn another_file_in_its_place_is_not_taken_for_it() {
        let directory = std::env::temp_dir().join(format!("baton-no-pipe-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(NAME), "example.org 443\n").unwrap();
        assert!(Heard::new(&directory).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = refused("example.org", 443, None).denied().text();
        assert!(text.starts_with("the sandbox refused reaching `example.org:443`: "), "{text}");
        assert!(text.contains("`baton new --allow-host example.org`"), "{text}");
        let text = refused("home.test", 80, Some("fd00::1")).denied().text();
        assert!(text.contains("leads to [fd00::1]") && text.contains("--allow-host [fd00::1]:80`"), "{text}");
        let text = refused("127.0.0.1", 8099, None).denied().text();
        assert!(text.contains("`baton new --allow-host 127.0.0.1:8099`"), "{text}");
    }

    proptest! {
        /// Whatever comes, in whatever pieces: no panic, and nothing is kept without bound.
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..4096), piece in 1_usize..512) {
            let mut rest = Vec::new();
            for part in bytes.chunks(piece) {
                lines(&mut rest, part);
                prop_assert!(rest.len() <= LINE_BYTES_MAX + 1);
            }
        }

        #[test]
        fn lines_come_back_in_whatever_pieces(
            told in prop::collection::vec(("[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", 1_u16.., prop::option::of(any::<std::net::Ipv6Addr>())), 0..8),
            piece in 1_usize..64,
        ) {
            let told: Vec<Refused> = told
                .into_iter()
                .map(|(host, port, home)| Refused { host: Host::parse(&host).unwrap(), port, home: home.map(IpAddr::V6) })
                .collect();
            let text: String = told.iter().map(Refused::line).collect();
            let mut rest = Vec::new();
            let found: Vec<Refused> = text.as_bytes().chunks(piece).flat_map(|part| lines(&mut rest, part)).collect();
            prop_assert_eq!(found, told);
        }
    }
}
