//! Dialling a local socket: through a directory descriptor, with the mutual proof of [`baton_proto::hello`].

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::frame::Kind;
use baton_proto::hello::{
    Accepted, HANDSHAKE_TIMEOUT_S, Hello, InstallKey, Proof, Role, VERSION_MAX, VERSION_MIN, Welcome,
};
use baton_proto::home::through;
use baton_proto::v1::Failed;
use interprocess::local_socket::GenericFilePath;
use interprocess::local_socket::tokio::{Stream, prelude::*};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::conn::{Conn, message};

/// Why a socket of ours could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody listens.
    #[error("nobody answers at `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The install key can't be read.
    #[error("the install key `{}` can't be read", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The handshake broke off.
    #[error("the handshake at `{}` broke off", path.display())]
    Handshake {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The listener said no.
    #[error("`{}` refused the bridge: {message}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its words.
        message: String,
    },
    /// The listener does not hold the install key, or is not who it must be.
    #[error("whoever listens at `{}` is not of this install", path.display())]
    Impostor {
        /// The socket.
        path: PathBuf,
    },
}

/// Connects to `directory/name` and proves both ways.
///
/// # Errors
/// [`DialError`].
pub async fn dial(directory: &Path, name: &str, key_file: &Path) -> Result<(Conn, Welcome), DialError> {
    let path = directory.join(name);
    let key = read_key(key_file).map_err(|source| DialError::Key { path: key_file.to_owned(), source })?;
    let stream = connect(directory, name).await.map_err(|source| DialError::Connect { path: path.clone(), source })?;
    let mut conn = Conn::new(stream);
    let welcome = tokio::time::timeout(Duration::from_secs(HANDSHAKE_TIMEOUT_S), greet(&mut conn, &key, &path))
        .await
        .unwrap_or_else(|_| Err(DialError::Handshake { path, source: io::ErrorKind::TimedOut.into() }))?;
    Ok((conn, welcome))
}

async fn connect(directory: &Path, name: &str) -> io::Result<Stream> {
    // A socket path holds 108 bytes; the way through the directory's descriptor is short however deep that is.
    let directory = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let path = through(directory.as_raw_fd(), name);
    Stream::connect(path.to_fs_name::<GenericFilePath>()?).await
}

fn read_key(path: &Path) -> io::Result<InstallKey> {
    let bytes = std::fs::read(path)?;
    let bytes: [u8; InstallKey::BYTES] =
        bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file must hold 32 bytes"))?;
    Ok(InstallKey::new(bytes))
}

async fn greet(conn: &mut Conn, key: &InstallKey, path: &Path) -> Result<Welcome, DialError> {
    let broke = |source: io::Error| DialError::Handshake { path: path.to_owned(), source };
    let invalid = |why: String| broke(io::Error::new(io::ErrorKind::InvalidData, why));
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|err| broke(io::Error::other(err)))?;
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        role: Role::Bridge,
        nonce,
        capabilities: Vec::new(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let send =
        |conn: &Conn, bytes: Vec<u8>| conn.writer.send(bytes).map_err(|_| broke(io::ErrorKind::BrokenPipe.into()));
    send(conn, message(Kind::Hello, 0, &hello).map_err(|err| invalid(err.to_string()))?)?;
    let welcome: Welcome = expect(conn, Kind::Welcome, path).await?;
    if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) || !key.believes_listener(&hello, &welcome) {
        return Err(DialError::Impostor { path: path.to_owned() });
    }
    let proof = Proof { proof: key.dialler_proof(&hello, welcome.version, &welcome.nonce) };
    send(conn, message(Kind::Proof, 0, &proof).map_err(|err| invalid(err.to_string()))?)?;
    let Accepted {} = expect(conn, Kind::Accepted, path).await?;
    Ok(welcome)
}

async fn expect<T: bincode::Decode<()>>(conn: &mut Conn, kind: Kind, path: &Path) -> Result<T, DialError> {
    let broke = |source: io::Error| DialError::Handshake { path: path.to_owned(), source };
    let frame = conn.reader.next().await.map_err(broke)?;
    match frame.header.known_kind() {
        Some(known) if known == kind => {
            frame.body(kind).map_err(|err| broke(io::Error::new(io::ErrorKind::InvalidData, err)))
        }
        Some(Kind::Refused) => {
            let message =
                frame.body::<Failed>(Kind::Refused).map_or_else(|err| err.to_string(), |failed| failed.message);
            Err(DialError::Refused { path: path.to_owned(), message })
        }
        _ => Err(broke(io::Error::new(io::ErrorKind::InvalidData, "another message was due"))),
    }
}
