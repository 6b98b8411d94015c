//! What can wake sessiond, and what it can do about it.

use std::collections::BTreeMap;

use baton_proto::SessionId;
use baton_proto::launch::{LaunchMessage, Part};
use baton_proto::spec::{Layer, Profile, SessionSpec};
use baton_proto::v1::{EditSettings, ExitRecord, Failed, Inspection, SessionEntry, Upgradable};

use super::registry::Bytes;
use super::respawn::Change;

/// A client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What a client asks.
#[derive(Debug)]
pub enum Request {
    /// Start a session.
    Spawn(Box<SessionSpec>),
    /// Start one that this host has no room for.
    NoRoom(Failed),
    /// Every session, then changes.
    List,
    /// Have a worker for it.
    Open(SessionId),
    /// Forget it.
    Forget(SessionId),
    /// Have it replaced by the installed version.
    Upgrade(Upgradable),
    /// Start an ended one again.
    Respawn(Box<Change>),
    /// Change the configuration file.
    Settings(Box<EditSettings>),
    /// How is sessiond.
    Status,
}

/// Everything that can wake sessiond; nothing else changes its state.
#[derive(Debug)]
pub enum Event {
    /// A session was found on disk, and how it ended (and when) if that was noted.
    Found(Box<SessionSpec>, Option<(ExitRecord, u64)>),
    /// A client asks. `wall_us` is now.
    Request {
        /// Who.
        conn: ConnId,
        /// The request's id.
        id: u64,
        /// What.
        request: Request,
        /// Now, in microseconds since 1970.
        wall_us: u64,
    },
    /// A client is gone.
    ConnClosed(ConnId),
    /// The launcher tells.
    Launcher(LaunchMessage),
    /// The spec of a new session could not be stored: nothing of it is anywhere.
    NotStored(SessionId, Failed),
    /// The spec could not be sent.
    SpawnFailed(SessionId, String),
    /// How a session's program was confined, as was written down.
    Confined(SessionId, Vec<Layer>),
    /// A worker tells how its session is.
    Inspected(SessionId, Box<Inspection>),
    /// A worker tells that its program ended. `wall_us` is now.
    Exit(SessionId, ExitRecord, u64),
    /// Nobody listens at the worker's socket.
    Absent(SessionId),
    /// The worker could not be reached or the link to it broke.
    Unreached(SessionId),
    /// What the journal says of the end. `wall_us` is now.
    Remains(SessionId, Option<ExitRecord>, u64),
    /// A session's files are removed, or not.
    Forgotten(SessionId, ConnId, u64, Result<(), String>),
    /// The spec of a session's new instance is written down, or not.
    Rewritten(SessionId, Result<Box<SessionSpec>, String>),
    /// Bytes of journal on disk, by session.
    Measured(BTreeMap<SessionId, Bytes>),
    /// A deadline of [`super::step::Core::deadline`] may have passed.
    DeadlinePassed,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Answer a request.
    Answer(ConnId, u64, Answer),
    /// Tell every client that listed.
    Tell(ConnId, Box<SessionEntry>),
    /// Write the spec down, then have a worker started.
    Store(Box<SessionSpec>),
    /// Have a worker started for a session that is written down.
    Replay(SessionId),
    /// Have the launcher replace one of its own.
    Replace(Part),
    /// Have the launcher replace a worker.
    ReplaceWorker(SessionId),
    /// Have the launcher keep a worker that has none.
    Adopt(SessionId),
    /// Have the worker killed that serves an ended session's journal.
    Retire(SessionId),
    /// Write the spec of a new instance down; [`Event::Rewritten`] answers.
    Rewrite(Box<Change>),
    /// Have a worker started for a new instance that is written down.
    Start(SessionId, Profile),
    /// Connect to the worker.
    Dial(SessionId),
    /// Let the worker go.
    HangUp(SessionId),
    /// Note the worker's process.
    NoteWorker(SessionId, u32),
    /// Note how the session ended.
    NoteEnd(SessionId, ExitRecord),
    /// Look into the journal for the end.
    AskJournal(SessionId),
    /// Remove the session's files; [`Event::Forgotten`] answers.
    Forget(SessionId, ConnId, u64),
    /// Change the configuration file and answer.
    EditSettings(ConnId, u64, Box<EditSettings>),
    /// Measure the journals.
    Measure,
    /// Have a worker keep at most so many bytes of journal.
    Trim(SessionId, u64),
    /// Remove the journals of an ended session that has no worker.
    DropJournals(SessionId),
    /// Remove the journals of a session's earlier instances.
    DropEarlier(SessionId),
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// The session.
    Session(Box<SessionEntry>),
    /// The list, in parts from [`super::step::Core::list_part`].
    List,
    /// Done.
    Done,
    /// Failed.
    Failed(Failed),
    /// Sessions that run, that do not answer, that are lost.
    Status(Counts),
}

/// How many sessions are how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Running.
    pub running: u32,
    /// Running as far as anybody knows; the worker does not answer.
    pub parked: u32,
    /// Lost with their host.
    pub lost: u32,
}
