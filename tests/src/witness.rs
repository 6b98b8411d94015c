//! A witness of effects: what files are there and of what they are made, and who has spoken to sockets of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::sync::watch;

/// What a file is: a change of any of it is an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Kind and permissions.
    pub mode: u32,
    /// When it last changed, in nanoseconds: of a directory, when a name in it came or went.
    pub mtime_ns: i128,
    /// What it holds, or where it leads.
    pub bytes: Vec<u8>,
}

/// A file as it is now, its last link not followed; `None` where there is none.
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn seen(path: &Path) -> Option<Seen> {
    let meta = fs::symlink_metadata(path).ok()?;
    let bytes = if meta.is_file() {
        fs::read(path).expect("a file of the test's own")
    } else if meta.is_symlink() {
        fs::read_link(path).expect("a link of the test's own").into_os_string().into_encoded_bytes()
    } else {
        Vec::new()
    };
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Some(Seen { mode: meta.mode(), mtime_ns, bytes })
}

/// All that is below a directory, itself included, but for what is below one of `without`.
#[must_use]
pub fn tree(root: &Path, without: &[PathBuf]) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        if without.contains(&path) {
            continue;
        }
        let Some(what) = seen(&path) else { continue };
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        all.insert(path, what);
    }
    all
}

/// Each file below, as it is at one moment: what a running Baton renamed or deleted while it was read was not the last of it,
/// and all of it is read again.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn read_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                walk(&entry.path(), files)?;
            } else if kind.is_file() {
                files.push((entry.path(), fs::read(entry.path())?));
            }
        }
        Ok(())
    }
    loop {
        let mut files = Vec::new();
        match walk(directory, &mut files) {
            Ok(()) => return files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", directory.display()),
        }
    }
}

/// The names of what is not as it was.
#[must_use]
pub fn changed<'a>(before: &'a BTreeMap<PathBuf, Seen>, after: &'a BTreeMap<PathBuf, Seen>) -> Vec<&'a Path> {
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let mut names: Vec<&Path> = before.keys().chain(after.keys()).filter(differs).map(PathBuf::as_path).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A socket that counts who connects, or what arrives. Its queue is in order: once the test's own knock was heard, all that
/// came before it has been counted.
#[derive(Debug, Clone)]
pub struct Ear {
    /// What a line writes to reach it: a port, a path, a name.
    pub address: String,
    kind: Kind,
    heard: watch::Receiver<Heard>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tcp,
    Udp,
    Unix,
    Abstract,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    strangers: usize,
    knocks: usize,
}

/// What the test itself sends.
const KNOCK: &[u8] = b"a knock of the test's own";

impl Ear {
    /// A TCP listener on a port of the loopback interface.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (tell, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let knocks = begins_with_knock(&mut stream).await;
                count(&tell, knocks);
            }
        });
        Self { address: port.to_string(), kind: Kind::Tcp, heard }
    }

    /// A UDP socket on a port of the loopback interface.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let (tell, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            let mut bytes = [0; 64];
            while let Ok((len, _)) = socket.recv_from(&mut bytes).await {
                count(&tell, bytes.get(..len) == Some(KNOCK));
            }
        });
        Self { address: port.to_string(), kind: Kind::Udp, heard }
    }

    /// A Unix listener at a path.
    ///
    /// # Panics
    /// When it can't be bound.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        Self::of_unix(listener, path.to_str().expect("a plain path").to_owned(), Kind::Unix)
    }

    /// A Unix listener with an abstract name.
    ///
    /// # Panics
    /// When it can't be bound.
    #[must_use]
    pub fn of_abstract_name(name: &str) -> Self {
        let address = UnixAddr::from_abstract_name(name).expect("a name");
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("a socket");
        listener.set_nonblocking(true).expect("a socket of the test's own");
        let listener = UnixListener::from_std(listener).expect("a runtime");
        Self::of_unix(listener, name.to_owned(), Kind::Abstract)
    }

    fn of_unix(listener: UnixListener, address: String, kind: Kind) -> Self {
        let (tell, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let knocks = begins_with_knock(&mut stream).await;
                count(&tell, knocks);
            }
        });
        Self { address, kind, heard }
    }

    /// How many others it has heard: all that spoke before this was asked.
    ///
    /// # Panics
    /// When the socket is gone.
    pub async fn strangers(&self) -> usize {
        use tokio::io::AsyncWriteExt as _;
        let before = self.heard.borrow().knocks;
        let place = format!("127.0.0.1:{}", self.address);
        match self.kind {
            Kind::Tcp => TcpStream::connect(place).await.expect("it listens").write_all(KNOCK).await.expect("it reads"),
            Kind::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                let _ = socket.send_to(KNOCK, place).await.expect("it reads");
            }
            Kind::Unix => {
                let mut stream = UnixStream::connect(&self.address).await.expect("it listens");
                stream.write_all(KNOCK).await.expect("it reads");
            }
            Kind::Abstract => {
                let address = UnixAddr::from_abstract_name(&self.address).expect("a name");
                let stream = std::os::unix::net::UnixStream::connect_addr(&address).expect("it listens");
                stream.set_nonblocking(true).expect("a socket of the test's own");
                let mut stream = UnixStream::from_std(stream).expect("a runtime");
                stream.write_all(KNOCK).await.expect("it reads");
            }
        }
        let mut heard = self.heard.clone();
        let heard = heard.wait_for(|heard| heard.knocks > before).await.expect("it listens");
        heard.strangers
    }
}

/// Whether a connection is the test's own. One that says nothing is somebody's whose end comes, or not, as they like.
async fn begins_with_knock(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = [0; KNOCK.len()];
    let read = tokio::time::timeout(std::time::Duration::from_millis(500), stream.read_exact(&mut bytes)).await;
    matches!(read, Ok(Ok(_))) && bytes == KNOCK
}

fn count(tell: &watch::Sender<Heard>, knocks: bool) {
    tell.send_modify(|heard| if knocks { heard.knocks += 1 } else { heard.strangers += 1 });
}
