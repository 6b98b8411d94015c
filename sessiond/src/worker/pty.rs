//! The terminal a session's program runs on, behind the seam where another system's would go.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use baton_proto::v1::Dimensions;
use nix::errno::Errno;
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, tcgetattr, tcsetattr};
use rustix::termios::Winsize;

/// What the worker needs of a terminal.
pub trait Terminal {
    /// For `poll`.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// Bytes that can be read for certain, if that can be told.
    fn available(&self) -> Option<usize>;

    /// Reads output. `Ok(None)`: nothing now; `Ok(Some(0))`: nothing ever again.
    ///
    /// # Errors
    /// What the kernel says.
    fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>>;

    /// Writes input; fewer bytes than given, or `None`, when the kernel takes no more now.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>>;

    /// Sets the size; the program gets SIGWINCH if it differs.
    ///
    /// # Errors
    /// What the kernel says.
    fn resize(&self, size: Dimensions) -> io::Result<()>;

    /// The foreground process group.
    fn foreground(&self) -> Option<u32>;

    /// Whether the terminal echoes and whether it edits lines itself.
    fn echo_and_canonical(&self) -> (bool, bool);
}

/// A Linux pseudo-terminal's master.
///
/// Our own, not portable-pty's: the sandbox has to act between fork and exec, a successor has to get along with a bare
/// descriptor, and a dropped writer must not type Ctrl-D.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
}

impl Pty {
    /// Opens a new one. Returns the slave for the program as well.
    ///
    /// # Errors
    /// What the kernel says; `ENOSPC` means that `kernel.pty.max` is reached.
    pub fn open(size: Dimensions) -> io::Result<(Self, OwnedFd)> {
        use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
        // Close-on-exec from the first moment: no other thread, no other fork can get it.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        // The line editor of the kernel erases whole characters, not bytes.
        let mut modes = tcgetattr(&slave)?;
        modes.input_flags.insert(InputFlags::IUTF8);
        tcsetattr(&slave, SetArg::TCSANOW, &modes)?;
        let pty = Self::from_master(master)?;
        pty.resize(size)?;
        Ok((pty, slave))
    }

    /// Goes on with a predecessor's.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn from_master(master: OwnedFd) -> io::Result<Self> {
        baton_sandbox::fds::set_nonblocking(&master)?;
        Ok(Self { master })
    }
}

impl Terminal for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    fn available(&self) -> Option<usize> {
        let bytes = rustix::io::ioctl_fionread(&self.master).ok()?;
        usize::try_from(bytes).ok()
    }

    fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match nix::unistd::read(&self.master, into) {
                Ok(n) => return Ok(Some(n)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                // Linux: once the last process holding the terminal is gone, reads of the master fail with EIO.
                // That is the end of output, not a failure.
                Err(Errno::EIO) => return Ok(Some(0)),
                Err(err) => return Err(err.into()),
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            match nix::unistd::write(&self.master, bytes) {
                Ok(n) => return Ok(Some(n)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(err) => return Err(err.into()),
            }
        }
    }

    fn resize(&self, size: Dimensions) -> io::Result<()> {
        let winsize = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.master, winsize)?)
    }

    fn foreground(&self) -> Option<u32> {
        nix::unistd::tcgetpgrp(&self.master)
            .ok()
            .and_then(|pid| u32::try_from(pid.as_raw()).ok())
            .filter(|pid| *pid != 0)
    }

    fn echo_and_canonical(&self) -> (bool, bool) {
        tcgetattr(&self.master).map_or((false, false), |modes| {
            (modes.local_flags.contains(LocalFlags::ECHO), modes.local_flags.contains(LocalFlags::ICANON))
        })
    }
}
