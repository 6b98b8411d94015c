//! Everything that a journal changes on disk, in one place: so that a test can let the n-th of it fail, for every n.
//!
//! In the real thing this is nothing but the calls.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

#[cfg(test)]
use super::faults::{Faults, Op};

/// The disk, as far as a journal changes it.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    #[cfg(test)]
    pub faults: Option<std::sync::Arc<Faults>>,
}

impl Disk {
    /// Opens a file for reading and writing, made (0600) if it is not there and `create` says so.
    pub fn open(&self, path: &Path, create: bool) -> io::Result<File> {
        #[cfg(test)]
        self.asks(if create && !path.exists() { Op::Create } else { Op::Open })?;
        OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
    }

    /// Writes all of it, or says how much of it was written before it failed.
    pub fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<(), (usize, io::Error)> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            let (let_through, err) = faults.write(file, bytes.len(), at);
            if let Some(err) = err {
                let torn = &bytes[..let_through];
                return Err(file.write_all_at(torn, at).map_or_else(|err| (0, err), |()| (let_through, err)));
            }
        }
        let mut done = 0;
        while done < bytes.len() {
            match file.write_at(&bytes[done..], at + done as u64) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err((done, err)),
            }
        }
        Ok(())
    }

    /// Cuts a file off, and gives what was behind back.
    pub fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            faults.truncate(file, len)?;
        }
        file.set_len(len)
    }

    /// Has the file system set aside what `from..from + len` of a file needs. With `grow` the file is as long then; without, it
    /// stays as long as it was. False when the file system cannot do that.
    pub fn allocate(&self, file: &File, from: u64, len: u64, grow: bool) -> io::Result<bool> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            faults.allocate(file, len, grow)?;
        }
        let offset = |n: u64| i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let flags = if grow { FallocateFlags::empty() } else { FallocateFlags::FALLOC_FL_KEEP_SIZE };
        loop {
            match fallocate(file, flags, offset(from)?, offset(len)?) {
                Ok(()) => return Ok(true),
                Err(Errno::EINTR) => {}
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(false),
                Err(err) => return Err(err.into()),
            }
        }
    }

    /// Renames a file.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.asks(Op::Rename)?;
        fs::rename(from, to)
    }

    /// Removes a file. That there is none is no failure.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.asks(Op::Remove)?;
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    /// Has what was written on the disk itself.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.asks(Op::Sync)?;
        file.sync_data()
    }

    #[cfg(test)]
    fn asks(&self, op: Op) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.ask(op))
    }
}

/// Whether this says that there is no room.
pub fn is_full(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(nix::libc::ENOSPC | nix::libc::EDQUOT))
}
