//! Sessions on disk: what sessiond needs to know them again after it died.
//!
//! ```text
//! <state>/sessions/<session>/session.spec   the spec, as the worker gets it; written before the worker starts
//! <state>/sessions/<session>/worker         number and start time of the worker that was last known
//! <state>/sessions/<session>/<instance>.end  how that instance ended, once sessiond knows (the journal knows first)
//! <state>/sessions/<session>/<instance>/    its journal; the worker's alone while one lives
//! <state>/sessions/<session>/<instance>.sandbox   how its program was confined; the worker writes it
//! <state>/sessions/<session>/private/       HOME and temporary files of a confined program, while it lives
//! ```
//!
//! The spec names the instance that counts. A session that was started again keeps the journal of the one before.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::frame::Kind;
use baton_proto::spec::{Layer, SessionSpec};
use baton_proto::v1::{ExitRecord, Failed};
use baton_proto::{ErrorCode, InstanceId, SessionId};

use super::session::failed;
use crate::private;
use crate::sys::host;

/// Free bytes without which no session is started: its first segment, its screen, and what is written of it here. The room it
/// keeps for a full disk is not among them.
const FREE_BYTES_MIN: u64 = 1 << 20;

const SPEC: &str = "session.spec";
const WORKER: &str = "worker";
const END_SUFFIX: &str = ".end";
const LAYERS_SUFFIX: &str = ".sandbox";

/// The directory of all sessions.
#[derive(Debug)]
pub struct Registry {
    root: PathBuf,
}

/// Bytes of journal a session has on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// Of the instance that counts.
    pub current: u64,
    /// Of the ones before.
    pub earlier: u64,
}

/// A session found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its spec, whole.
    pub spec: SessionSpec,
    /// How it ended and when that was noted, in microseconds since 1970, if it was.
    pub end: Option<(ExitRecord, u64)>,
    /// How its program was confined, as far as that was written down.
    pub layers: Vec<Layer>,
}

impl Registry {
    /// The registry below this directory.
    #[must_use]
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn dir(&self, session: SessionId) -> PathBuf {
        self.root.join(session.to_string())
    }

    /// Every session on disk. One that can't be read is told of and left alone.
    ///
    /// # Errors
    /// When the directory itself can't be read.
    pub fn scan(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let Some(session) = entry?.file_name().to_str().and_then(|name| name.parse::<SessionId>().ok()) else {
                continue;
            };
            match self.read(session) {
                Ok(one) => found.push(one),
                Err(err) => tracing::warn!(%session, "this session's files can't be read: {err}"),
            }
        }
        Ok(found)
    }

    fn read(&self, session: SessionId) -> io::Result<Found> {
        let spec: SessionSpec =
            codec::decode_large(Kind::Spawn, &self.spec_bytes(session)?).map_err(io::Error::other)?;
        if spec.session != session {
            return Err(io::Error::other("the spec is another session's"));
        }
        let end = match File::open(self.dir(session).join(end_name(spec.instance))) {
            Ok(file) => {
                let noted = file.metadata()?.mtime();
                let bytes = read_bounded(file, codec::CONTROL_BYTES_MAX)?;
                // A torn note is no note: the journal is asked again.
                let exit = codec::decode(Kind::Exit, &bytes).ok();
                exit.map(|exit| (exit, u64::try_from(noted).unwrap_or_default().saturating_mul(1_000_000)))
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => return Err(err),
        };
        let layers = read_layers(&self.dir(session), spec.instance);
        Ok(Found { spec, end, layers })
    }

    /// The spec as bytes, as a worker gets it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn spec_bytes(&self, session: SessionId) -> io::Result<Vec<u8>> {
        read_bounded(File::open(self.dir(session).join(SPEC))?, SPEC_BYTES_MAX)
    }

    /// Writes a new session down.
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` when the spec is too large.
    pub fn store(&self, spec: &SessionSpec) -> io::Result<()> {
        let mut bytes = Vec::new();
        codec::encode_large(Kind::Spawn, spec, &mut bytes)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err.to_string()))?;
        let dir = self.dir(spec.session);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        // Durable: after a power cut the session is to be known as lost, not forgotten.
        let stored = replace(&dir, SPEC, &bytes, Durable::Yes);
        if stored.is_err() {
            // Nothing is left of a session that was never written down; the directory of any other is not empty.
            let _ = fs::remove_file(dir.join(format!("{SPEC}.new")));
            let _ = fs::remove_dir(&dir);
        }
        stored
    }

    /// Writes down the spec of a session's new instance. What is kept of instances before the last is removed then.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub fn rewrite(
        &self,
        session: SessionId,
        change: impl FnOnce(SessionSpec) -> SessionSpec,
    ) -> io::Result<SessionSpec> {
        let last = self.read(session)?.spec;
        let before = last.instance;
        let spec = change(last);
        self.store(&spec)?;
        // One that never came to write anything is nobody's history: what was before it is kept instead.
        if self.dir(session).join(before.to_string()).exists()
            && let Err(err) = self.drop_others(session, &[spec.instance, before])
        {
            tracing::warn!(%session, "an earlier journal could not be removed: {err}");
        }
        Ok(spec)
    }

    /// What is to be said when there is no room for another session, as far as the file system tells.
    #[must_use]
    pub fn no_room(&self) -> Option<Failed> {
        // What cannot be told is found out by writing.
        let stat = nix::sys::statvfs::statvfs(&self.root).ok()?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        if free >= FREE_BYTES_MIN {
            return None;
        }
        let (place, free, min) = (self.root.display(), free >> 10, FREE_BYTES_MIN >> 10);
        let message = format!(
            "the disk of `{place}` is full: {free} KiB are free, a session needs {min}; free some and try again \
             (sessions that run go on)"
        );
        Some(failed(ErrorCode::DiskFull, &message))
    }

    /// What is to be said when a session could not be stored.
    #[must_use]
    pub fn not_stored(&self, err: &io::Error) -> Failed {
        let (code, advice) = match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorCode::DiskFull, "free some space"),
            io::ErrorKind::InvalidInput => (ErrorCode::TooLarge, "pass less in its environment"),
            _ => (ErrorCode::Internal, "see to the disk"),
        };
        let place = self.root.display();
        failed(code, &format!("the session could not be written down in `{place}`: {err}; {advice} and try again"))
    }

    /// Whether a session's spec is there.
    #[must_use]
    pub fn has(&self, session: SessionId) -> bool {
        self.dir(session).join(SPEC).exists()
    }

    /// Writes down again what was deleted: the spec of a living session, as the launcher keeps it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn restore(&self, session: SessionId, spec: &[u8]) -> io::Result<()> {
        let dir = self.dir(session);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        replace(&dir, SPEC, spec, Durable::No)
    }

    /// Notes which process the worker is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store_worker(&self, session: SessionId, pid: u32) -> io::Result<()> {
        let Some(start) = host::start_ticks(pid) else { return Ok(()) };
        replace(&self.dir(session), WORKER, format!("{pid} {start}\n").as_bytes(), Durable::No)
    }

    /// Whether the worker that was last known still lives; what can't be told counts as alive.
    #[must_use]
    pub fn worker_lives(&self, session: SessionId) -> bool {
        let text = match File::open(self.dir(session).join(WORKER)).and_then(|file| read_bounded(file, 64)) {
            Ok(text) => text,
            Err(err) => return err.kind() != io::ErrorKind::NotFound,
        };
        let text = String::from_utf8_lossy(&text);
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<u64>().ok());
        let (Some(Some(pid)), Some(Some(start))) = (numbers.next(), numbers.next()) else { return true };
        // After a reboot the start time differs; a recycled number has started later.
        u32::try_from(pid).ok().and_then(host::start_ticks) == Some(start)
    }

    /// Whether a worker is noted, and lives.
    #[must_use]
    pub fn has_worker(&self, session: SessionId) -> bool {
        self.dir(session).join(WORKER).exists() && self.worker_lives(session)
    }

    /// Notes how a session's instance ended.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store_end(&self, session: SessionId, instance: InstanceId, exit: &ExitRecord) -> io::Result<()> {
        let mut bytes = Vec::new();
        codec::encode(Kind::Exit, exit, &mut bytes).map_err(io::Error::other)?;
        // The journal has it too.
        replace(&self.dir(session), &end_name(instance), &bytes, Durable::No)
    }

    /// How the journal says that the session ended, if it does.
    #[must_use]
    pub fn journal_end(&self, session: SessionId, instance: InstanceId) -> Option<ExitRecord> {
        match crate::worker::journal::last_exit(&self.dir(session).join(instance.to_string()), instance) {
            Ok(exit) => exit,
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => {
                tracing::warn!(%session, "the journal can't be read: {err}");
                None
            }
        }
    }

    /// Bytes on disk below a session's journals.
    #[must_use]
    pub fn journal_bytes(&self, session: SessionId, instance: InstanceId) -> Bytes {
        let entries = fs::read_dir(self.dir(session)).into_iter().flatten().flatten();
        let journals = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let journals = journals.filter(|entry| entry.file_name() != private::NAME);
        let name = instance.to_string();
        journals.fold(Bytes::default(), |mut bytes, journal| {
            let part = if journal.file_name() == *name { &mut bytes.current } else { &mut bytes.earlier };
            *part += tree_bytes(&journal.path());
            bytes
        })
    }

    /// Removes what is kept of a session's instances but these.
    ///
    /// # Errors
    /// What the file system says.
    pub fn drop_others(&self, session: SessionId, keep: &[InstanceId]) -> io::Result<()> {
        for entry in fs::read_dir(self.dir(session))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(instance) = name.to_str().map(bare) else {
                continue;
            };
            match instance.parse::<InstanceId>() {
                Ok(instance) if !keep.contains(&instance) => {}
                _ => continue,
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes a session's journals and keeps the session.
    ///
    /// # Errors
    /// What the file system says.
    pub fn drop_journals(&self, session: SessionId) -> io::Result<()> {
        for entry in fs::read_dir(self.dir(session))? {
            let entry = entry?;
            if entry.file_name() == private::NAME {
                private::remove(&entry.path())?;
            } else if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes a session: the journals first, so that a removal that was cut short leaves a session that is still known.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, session: SessionId) -> io::Result<()> {
        self.drop_journals(session)?;
        fs::remove_dir_all(self.dir(session))
    }
}

fn end_name(instance: InstanceId) -> String {
    format!("{instance}{END_SUFFIX}")
}

/// A name without what says that it is not the journal.
fn bare(name: &str) -> &str {
    name.strip_suffix(END_SUFFIX).or_else(|| name.strip_suffix(LAYERS_SUFFIX)).unwrap_or(name)
}

/// How the program of this instance was confined, as its worker wrote it down; nothing when it did not.
#[must_use]
pub fn read_layers(session: &Path, instance: InstanceId) -> Vec<Layer> {
    let Ok(file) = File::open(session.join(format!("{instance}{LAYERS_SUFFIX}"))) else { return Vec::new() };
    let bytes = read_bounded(file, codec::CONTROL_BYTES_MAX).unwrap_or_default();
    // A torn note is no note.
    codec::decode(Kind::Inspection, &bytes).unwrap_or_default()
}

/// Writes down how the program of this instance was confined.
///
/// # Errors
/// What the file system says.
pub fn write_layers(session: &Path, instance: InstanceId, layers: &Vec<Layer>) -> io::Result<()> {
    let mut bytes = Vec::new();
    codec::encode(Kind::Inspection, layers, &mut bytes).map_err(io::Error::other)?;
    replace(session, &format!("{instance}{LAYERS_SUFFIX}"), &bytes, Durable::No)
}

/// Writes a file of a session's directory as a whole; a power cut soon after may leave none, or an empty one.
///
/// # Errors
/// What the file system says.
pub fn write_beside(session: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    replace(session, name, bytes, Durable::No)
}

fn tree_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // Room kept for a full disk is nobody's output, and nothing that trimming gives back.
    let entries = entries.filter(|entry| entry.file_name() != crate::worker::journal::RESERVE);
    let files = entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file);
    // Blocks, not length: preallocated space counts as well.
    files.map(|file| file.blocks() * 512).sum()
}

fn read_bounded(file: File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a file of more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Whether a file must be whole after a power cut, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// It must, whatever it costs.
    Yes,
    /// It can be learned anew.
    No,
}

/// Writes a file as a whole, for this user only.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8], durable: Durable) -> io::Result<()> {
    let aside = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    if durable == Durable::Yes {
        file.sync_all()?;
    }
    fs::rename(aside, dir.join(name))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use baton_proto::v1::{Class, Dimensions, SizePolicy};

    use super::*;

    pub(crate) fn spec() -> SessionSpec {
        SessionSpec {
            session: SessionId::from_uuid(uuid::Uuid::from_u128(3)),
            instance: InstanceId::from_uuid(uuid::Uuid::from_u128(4)),
            kind: baton_proto::spec::SessionKind::Terminal,
            command: vec!["sh".to_owned()],
            login: false,
            cwd: "/".to_owned(),
            env: vec![("SECRET".to_owned(), "x".to_owned())],
            size: Dimensions { cols: 80, rows: 24 },
            policy: SizePolicy::Holder,
            profile: baton_proto::spec::Profile::Host,
            title: String::new(),
            creator: None,
            class: Class::Person,
            idle_timeout_s: 0,
            lease_ttl_ms: 1,
            close_grace_ms: 1,
            journal_bytes: 1,
            record_input: false,
            created_us: 5,
            boot_id: String::new(),
            parked_ttl_s: 0,
            grants: Vec::new(),
            sandbox_required: false,
            limits: baton_proto::limits::Limits::default(),
            allow_hosts: Vec::new(),
            ssh_agent: None,
        }
    }

    #[test]
    fn a_session_is_found_again_with_its_end_and_leaves_nothing_when_removed() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (registry, spec) = (Registry::new(dir.path().to_owned()), spec());
        registry.store(&spec).unwrap();
        let own = registry.dir(spec.session);
        assert_eq!(fs::metadata(own.join(SPEC)).unwrap().permissions().mode() & 0o777, 0o600);
        let found = registry.scan().unwrap();
        assert_eq!((&found[0].spec, found[0].end.is_none()), (&spec, true));

        let exit = ExitRecord { code: Some(3), signal: None, reason: "exit".to_owned(), closed: false };
        registry.store_end(spec.session, spec.instance, &exit).unwrap();
        assert_eq!(registry.scan().unwrap()[0].end.as_ref().unwrap().0, exit);
        // A torn note is no note.
        fs::write(own.join(end_name(spec.instance)), b"torn").unwrap();
        assert!(registry.scan().unwrap()[0].end.is_none());

        assert_eq!(registry.journal_end(spec.session, spec.instance), None);
        let journal = own.join(spec.instance.to_string());
        fs::create_dir(&journal).unwrap();
        fs::write(journal.join("0"), vec![1; 10_000]).unwrap();
        assert!(registry.journal_bytes(spec.session, spec.instance).current >= 10_000);
        registry.drop_journals(spec.session).unwrap();
        assert_eq!(registry.journal_bytes(spec.session, spec.instance), Bytes::default());
        assert_eq!(registry.scan().unwrap().len(), 1);
        registry.remove(spec.session).unwrap();
        assert!(registry.scan().unwrap().is_empty() && !own.exists());
    }

    #[test]
    fn a_new_instance_is_one_rename_and_keeps_the_journal_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, first) = (Registry::new(dir.path().to_owned()), spec());
        let session = first.session;
        let instance = |number| InstanceId::from_uuid(uuid::Uuid::from_u128(number));
        let journal = |number: u128| registry.dir(session).join(instance(number).to_string());
        let exit = ExitRecord { code: Some(3), signal: None, reason: "exit".to_owned(), closed: false };
        let again = |number| {
            registry.rewrite(session, |spec| SessionSpec { instance: instance(number), cwd: "/new".to_owned(), ..spec })
        };
        registry.store(&first).unwrap();
        fs::create_dir(journal(4)).unwrap();
        fs::write(journal(4).join("0"), vec![1; 10_000]).unwrap();
        registry.store_end(session, instance(4), &exit).unwrap();
        let second = again(5).unwrap();
        assert_eq!((second.env.len(), second.cwd.as_str()), (1, "/new"));
        // The end of the instance before is not this one's.
        let found = registry.scan().unwrap().remove(0);
        assert_eq!((found.spec, found.end.is_none()), (second, true));
        let bytes = registry.journal_bytes(session, instance(5));
        assert!(bytes.current == 0 && bytes.earlier >= 10_000, "{bytes:?}");
        // It never came to write anything: the journal before it stays.
        again(6).unwrap();
        assert!(journal(4).exists());
        fs::create_dir(journal(6)).unwrap();
        again(7).unwrap();
        assert!(!journal(4).exists() && journal(6).exists());
        assert!(!registry.dir(session).join(end_name(instance(4))).exists());
        registry.drop_others(session, &[instance(7)]).unwrap();
        assert!(!journal(6).exists());
        registry.remove(session).unwrap();
        assert!(!registry.dir(session).exists());
    }

    #[test]
    fn what_is_no_session_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, spec) = (Registry::new(dir.path().to_owned()), spec());
        fs::create_dir(dir.path().join("something else")).unwrap();
        fs::create_dir(registry.dir(spec.session)).unwrap();
        fs::write(registry.dir(spec.session).join(SPEC), b"garbage").unwrap();
        assert!(registry.scan().unwrap().is_empty());
        assert!(registry.dir(spec.session).exists());
        // A spec that names another session is not believed.
        let other = SessionId::from_uuid(uuid::Uuid::from_u128(9));
        registry.store(&spec).unwrap();
        fs::create_dir(registry.dir(other)).unwrap();
        fs::copy(registry.dir(spec.session).join(SPEC), registry.dir(other).join(SPEC)).unwrap();
        assert_eq!(registry.scan().unwrap().len(), 1);
    }

    #[test]
    fn a_recycled_number_is_not_the_worker() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, spec) = (Registry::new(dir.path().to_owned()), spec());
        registry.store(&spec).unwrap();
        assert!(!registry.worker_lives(spec.session));
        registry.store_worker(spec.session, std::process::id()).unwrap();
        assert!(registry.worker_lives(spec.session));
        let start = host::start_ticks(std::process::id()).unwrap();
        fs::write(registry.dir(spec.session).join(WORKER), format!("{} {}", std::process::id(), start - 1)).unwrap();
        assert!(!registry.worker_lives(spec.session));
        // What can't be read proves nothing.
        fs::write(registry.dir(spec.session).join(WORKER), "?").unwrap();
        assert!(registry.worker_lives(spec.session));
    }
}
