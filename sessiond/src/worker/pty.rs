//! The terminal a session's program runs on, behind the seam where another system's would go.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use baton_proto::v1::Dimensions;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, tcgetattr, tcsetattr};
use rustix::termios::Winsize;

/// What a read of a terminal would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Nothing has come.
    Nothing,
    /// At least so many bytes, and a read that asks for no more gets them all.
    Bytes(NonZeroUsize),
    /// Only a read can tell: the last process that had it open has closed it, or the question was refused.
    Unknown,
}

/// What the worker needs of a terminal.
pub trait Terminal {
    /// For `poll`.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// What a read would bring now.
    fn unread(&self) -> Unread;

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

    fn unread(&self) -> Unread {
        let bytes = || {
            let bytes = rustix::io::ioctl_fionread(&self.master).ok()?;
            usize::try_from(bytes).ok()
        };
        match bytes().map(NonZeroUsize::new) {
            None => return Unread::Unknown,
            Some(Some(bytes)) => return Unread::Bytes(bytes),
            Some(None) => {}
        }
        // What was written last may be on its way between the kernel's two buffers: FIONREAD does not count it, and a read
        // would bring it. `poll` moves it first, as a read does (`n_tty_poll` of Linux's `drivers/tty/n_tty.c`).
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let came = match poll(&mut fds, PollTimeout::ZERO) {
            Ok(0) => return Unread::Nothing,
            Ok(_) => bytes().and_then(NonZeroUsize::new),
            Err(_) => None,
        };
        came.map_or(Unread::Unknown, Unread::Bytes)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SIZE: Dimensions = Dimensions { cols: 80, rows: 24 };

    #[test]
    fn what_was_written_is_told_to_the_byte_before_it_is_read() {
        let (pty, slave) = Pty::open(SIZE).unwrap();
        let mut program = std::fs::File::from(slave);
        let mut into = [0; 4096];
        for round in 1..=2000 {
            let len = 1 + round % 90;
            program.write_all(&vec![b'x'; len]).unwrap();
            // A write has returned: a read would bring it, so it is told, however far the kernel has got with it.
            assert_eq!(pty.unread(), Unread::Bytes(NonZeroUsize::new(len).unwrap()), "round {round}");
            assert_eq!(pty.read(&mut into[..len]).unwrap(), Some(len), "round {round}");
            assert_eq!(pty.unread(), Unread::Nothing, "round {round}");
        }
    }

    #[test]
    fn a_read_under_flood_brings_what_was_told() {
        let (pty, slave) = Pty::open(SIZE).unwrap();
        let flood = std::thread::spawn(move || {
            let mut program = std::fs::File::from(slave);
            for _ in 0..500 {
                program.write_all(&[b'y'; 1000]).unwrap();
            }
        });
        let (mut into, mut got) = ([0; 65_536], 0);
        loop {
            match pty.unread() {
                Unread::Bytes(bytes) => {
                    assert_eq!(pty.read(&mut into[..bytes.get()]).unwrap(), Some(bytes.get()));
                    got += bytes.get();
                }
                Unread::Nothing => std::thread::yield_now(),
                // The program has closed it.
                Unread::Unknown => {
                    assert_eq!(pty.read(&mut into).unwrap(), Some(0));
                    break;
                }
            }
        }
        flood.join().unwrap();
        assert_eq!(got, 500_000);
    }
}
