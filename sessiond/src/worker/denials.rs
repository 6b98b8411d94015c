//! What the sandbox refused the program, told in words that a person can act on.
//!
//! ```text
//!  a command ends and fails ──► the end of its output ──► complaints, and the paths in them (`said`)
//!                                                              │ a thread, which ends
//!                        told ◄── refused by the sandbox ◄── the same rules asked that confine it (`verdict`)
//! ```
//!
//! The kernel tells only the program. So what is told here is what the program said and the rules bear out: a path that the
//! program's own permissions close is nobody's grant to give, and is not told. A program that says nothing, or says it
//! otherwise, is not understood. A shell without marks is listened to only when it ends. Hosts that are refused are told by
//! the session's proxy, which refused them (`egress::refused`).

mod said;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use baton_proto::api::{Decides, Explained, Verdict};
use baton_proto::denied::{Act, Denied};
use baton_proto::frame::{Frame, Kind};
use baton_proto::home::Home;
use baton_proto::lease::Monotonic;
use baton_proto::spec::LayerStatus;
use baton_proto::v1::{ExitRecord, MarkKind};
use baton_sandbox::landlock::Beside;
use baton_sandbox::report::Kind as Layer;
use baton_sandbox::verdict::Evaluator;
use baton_sandbox::{Request, profile};

use super::screen::Report;
use super::{Worker, clock, confine, processes};
use crate::egress::refused::{Heard, Refused};
use crate::seldom::Seldom;
use said::{Complaint, Error, Meant};

/// Bytes of a command's output that are looked at: its end.
const OUTPUT_BYTES_MAX: u64 = 16 << 10;
/// Commands that wait to be looked at; one more is not. So many fail in a moment only in a loop.
const WAITING_MAX: usize = 8;
/// What a shell answers for a program that it may not execute (exit status of sh(1)).
const NOT_EXECUTABLE: i32 = 126;

/// What is known of refusals.
#[derive(Debug)]
pub(super) struct Watch {
    /// Where the output of the running command begins.
    since: u64,
    looking: Option<JoinHandle<()>>,
    /// Commands that are looked at, or wait for it.
    waiting: Arc<AtomicUsize>,
    lately: Seldom<(Act, String)>,
    /// Hosts that the session's proxy refused.
    hosts: Option<Heard>,
}

impl Watch {
    /// Of a session that has written so much.
    pub(super) fn new(head: u64) -> Self {
        Self { since: head, looking: None, waiting: Arc::default(), lately: Seldom::default(), hosts: None }
    }

    /// Who looks now, for whoever removes what is looked at.
    pub(super) const fn take(&mut self) -> Option<JoinHandle<()>> {
        self.looking.take()
    }

    /// Where hosts that were refused are told.
    pub(super) fn refused_hosts(&self) -> Option<BorrowedFd<'_>> {
        self.hosts.as_ref().map(|hosts| hosts.as_fd())
    }
}

impl Worker {
    /// The shell marked something.
    pub(super) fn command_marked(&mut self, offset: u64, kind: MarkKind, text: &str) {
        match kind {
            MarkKind::Command => self.denials.since = offset,
            MarkKind::CommandEnd => {
                if let Some(code) = text.parse().ok().filter(|code| *code != 0) {
                    self.look_for_denials(offset, code);
                }
                self.denials.since = offset;
            }
            _ => {}
        }
    }

    /// Opens the pipe on which the session's proxy tells of hosts that it refused.
    pub(super) fn listen_for_refused_hosts(&mut self) {
        match Heard::new(&self.directory.join(self.spec.instance.to_string())) {
            Ok(heard) => self.denials.hosts = Some(heard),
            Err(err) => tracing::warn!(session = %self.spec.session, "hosts that are refused are not told: {err}"),
        }
    }

    /// The session's proxy refused some host.
    pub(super) fn hear_refused(&mut self, now: Monotonic) {
        let Some(hosts) = self.denials.hosts.as_mut() else { return };
        match hosts.take() {
            Ok(refused) => self.denied(refused.iter().map(Refused::denied).collect(), now),
            Err(err) => {
                tracing::warn!(session = %self.spec.session, "hosts that are refused are not told any more: {err}");
                self.denials.hosts = None;
            }
        }
    }

    /// The program ended; its private directories are still there.
    pub(super) fn program_ended(&mut self, record: &ExitRecord) {
        // The proxy told before it answered.
        self.hear_refused(clock::now());
        self.denials.hosts = None;
        if let Some(code) = record.code.filter(|code| *code != 0 && !record.closed) {
            self.look_for_denials(self.journal.head(), code);
        }
    }

    fn look_for_denials(&mut self, to: u64, code: i32) {
        let full = self.denials.waiting.load(Ordering::Relaxed) >= WAITING_MAX;
        if !profile::is_confined(self.spec.profile) || full {
            return;
        }
        let from = self.denials.since.max(to.saturating_sub(OUTPUT_BYTES_MAX));
        let complaints = said::complaints(&self.output_between(from, to));
        if complaints.is_empty() {
            return;
        }
        let cwd = self.screens.state().cwd.clone().or_else(|| {
            let program = self.program.as_ref().map(|program| program.pid)?;
            processes::cwd(program)
        });
        let cwd = cwd.map(PathBuf::from);
        // In a directory of the session's own, relative paths lead where this process can't follow.
        let relative = cwd.as_ref().is_none_or(|cwd| cwd.is_dir());
        let cwd = cwd.filter(|_| relative);
        let view = self.layers.iter().find(|layer| layer.name == Layer::Mounts.name());
        let beside = match view {
            Some(layer) if layer.status != LayerStatus::Absent => Beside::Namespaces,
            _ => Beside::Nothing,
        };
        let (spec, directory, shared) = (self.spec.clone(), self.directory.clone(), self.screens.shared());
        let before = self.denials.looking.take();
        let waiting = Arc::clone(&self.denials.waiting);
        waiting.fetch_add(1, Ordering::Relaxed);
        let done = Done(waiting);
        let look = move || {
            // One after the other, in the order in which they failed. One that panicked has said so.
            let _ = before.map(JoinHandle::join);
            let _done = done;
            let Ok(home) = Home::from_env(|name| std::env::var(name).ok()) else { return };
            let request = confine::request(&spec, &home, &directory, None);
            let Some(request) = request_at(request, cwd) else { return };
            let Ok(evaluator) = Evaluator::new(&request, beside) else { return };
            let asked =
                Asked { evaluator: &evaluator, request: &request, beside, executes: code == NOT_EXECUTABLE, relative };
            let denied: Vec<Denied> = complaints.iter().filter_map(|complaint| asked.judge(complaint)).collect();
            if !denied.is_empty() {
                shared.report(Report::Denied(denied));
            }
        };
        match std::thread::Builder::new().name("baton-denials".to_owned()).spawn(look) {
            Ok(looking) => self.denials.looking = Some(looking),
            // What it would have needed is gone with it, `Done` included.
            Err(err) => tracing::debug!("what was refused is not looked at: {err}"),
        }
    }

    /// The output between two offsets, as far as it is kept.
    fn output_between(&mut self, from: u64, to: u64) -> Vec<u8> {
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        let Ok(mut place) = self.journal.place_of(from) else { return bytes };
        while let Ok(Some(next)) = self.journal.read(place, 64 << 10, &mut records) {
            let mut rest = records.as_slice();
            while let Ok(Some(frame)) = Frame::parse(rest) {
                rest = &rest[frame.total_bytes()..];
                if !matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr)) {
                    continue;
                }
                let at = frame.header.at;
                if at >= to {
                    return bytes;
                }
                let within = |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
                let end = within(to).min(frame.payload.len());
                bytes.extend_from_slice(frame.payload.get(within(from).min(end)..end).unwrap_or_default());
            }
            place = next;
        }
        bytes
    }

    /// A thread found refusals.
    pub(super) fn denied(&mut self, all: Vec<Denied>, now: Monotonic) {
        let end = self.journal.end();
        for denied in all {
            let denied = denied.clean();
            if !self.denials.lately.may_tell((denied.act, denied.path.clone()), now) {
                continue;
            }
            tracing::info!(session = %self.spec.session, "{}", denied.text());
            for conn in self.conns.values_mut().filter(|conn| conn.is_subscribed()) {
                conn.send_fenced(end, Kind::Denied, 0, &denied);
            }
        }
    }
}

/// One that waited waits no more.
struct Done(Arc<AtomicUsize>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Relative paths begin where the shell is.
fn request_at(mut request: Request, cwd: Option<PathBuf>) -> Option<Request> {
    if let Some(cwd) = cwd {
        request.cwd = cwd;
    }
    request.cwd.is_absolute().then_some(request)
}

/// The rules, and what the command did.
struct Asked<'a> {
    evaluator: &'a Evaluator,
    request: &'a Request,
    beside: Beside,
    /// The shell could not execute something.
    executes: bool,
    /// It is known where relative paths begin.
    relative: bool,
}

impl Asked<'_> {
    fn judge(&self, complaint: &Complaint) -> Option<Denied> {
        complaint.paths.iter().find_map(|path| self.judge_path(complaint, path))
    }

    fn judge_path(&self, complaint: &Complaint, path: &str) -> Option<Denied> {
        if !self.relative && Path::new(path).is_relative() {
            return None;
        }
        let explained = self.evaluator.explain(Path::new(path));
        for act in self.acts(complaint, &explained) {
            let Some(verdict) = verdict(&explained, *act) else { continue };
            if verdict.allowed {
                continue;
            }
            // What anybody would be refused is not the sandbox's doing, nor what is tried next.
            if !by_sandbox(verdict.by) {
                return None;
            }
            let absent = complaint.error == Error::Absent;
            let asked = self.request.cwd.join(path);
            if absent && !(matches!(verdict.by, Decides::Secret | Decides::Covered) && asked.symlink_metadata().is_ok())
            {
                return None;
            }
            return Some(Denied { act: *act, path: asked.display().to_string(), why: verdict.why.clone() });
        }
        None
    }

    /// What may have been tried, in the order in which it would be refused.
    fn acts(&self, complaint: &Complaint, explained: &Explained) -> &'static [Act] {
        use Act::{Create, Delete, Read, Write};
        let there = explained.resolved.is_some();
        match (complaint.error, complaint.meant) {
            (Error::Absent, _) => &[Read],
            (Error::ReadOnly, Meant::Unsaid) if there => &[Write],
            (_, Meant::Delete) => &[Delete],
            (Error::ReadOnly, _) | (_, Meant::Create) if !there => &[Create],
            (_, Meant::Create) => &[Create, Write],
            (Error::Denied, Meant::Unsaid) => {
                let path = explained.resolved.as_deref().unwrap_or(&explained.path);
                // In its own view what is not granted is read-only, and says so in other words: what is denied there
                // was to be read, or executed.
                let changes = self.beside == Beside::Nothing
                    || self.request.grants.iter().any(|it| self.request.cwd.join(path).starts_with(&it.root));
                match (there, changes && !self.executes) {
                    (true, true) => &[Read, Write],
                    (true, false) => &[Read],
                    (false, true) => &[Create],
                    (false, false) => &[Read],
                }
            }
            (Error::ReadOnly, _) => &[Write],
        }
    }
}

/// `None` for what is not done with a path.
const fn verdict(explained: &Explained, act: Act) -> Option<&Verdict> {
    match act {
        Act::Read => Some(&explained.read),
        Act::Write => Some(&explained.write),
        Act::Create => Some(&explained.create),
        Act::Delete => Some(&explained.delete),
        Act::Reach => None,
    }
}

const fn by_sandbox(by: Decides) -> bool {
    match by {
        Decides::Grant | Decides::Profile | Decides::Own | Decides::Secret | Decides::Covered | Decides::Mount => true,
        // The kernel would refuse most of it to anybody but root.
        Decides::Kernel | Decides::Permissions | Decides::Absent | Decides::Unconfined => false,
    }
}
