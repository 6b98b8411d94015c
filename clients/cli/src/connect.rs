//! One connection to the bridge's socket. The socket is reached through its directory's descriptor, because a Unix
//! socket path holds 108 bytes and a state directory may be longer.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use baton_proto::home::{Home, runtime, through};
use interprocess::local_socket::tokio::{Stream, prelude::*};
use interprocess::local_socket::{GenericFilePath, ToFsName};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// Connects. The launcher holds the listener, so that this succeeds while the bridge is being restarted; what is sent
/// waits for it.
pub async fn connect(home: &Home) -> io::Result<Stream> {
    let directory = open(&home.runtime, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let path = through(directory.as_raw_fd(), runtime::BRIDGE_SOCKET);
    let name = path.to_fs_name::<GenericFilePath>()?;
    Stream::connect(name).await
}

/// Whether a failed [`connect`] means that Baton does not run.
pub fn means_not_running(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}
