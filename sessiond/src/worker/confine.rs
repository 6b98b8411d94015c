//! How a session's program is confined: from the spec to the sandbox, and what came of it back to whoever asks.
//!
//! The worker itself is not confined by Landlock, which would forbid it to signal its own program and to read its working
//! directory; the program is, between fork and exec.

use std::error::Error as _;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use baton_proto::home::Home;
use baton_proto::spec::{Layer, LayerStatus, Profile, SessionSpec};
use baton_sandbox::places::StartFile;
use baton_sandbox::report::Kind;
use baton_sandbox::{Confined, ExecError, Jail, Refusal, Request, limits, profile};
use nix::unistd::{User, geteuid, ttyname};

use super::Worker;
use super::granted::{self, Changed};
use crate::supervisor::registry;
use crate::{agent, private};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// It could not be started.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// It could not be confined as it asks.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A grant is not what it was.
    #[error(transparent)]
    Changed(#[from] Changed),
    /// It is to reach some hosts, and would reach all.
    #[error("the session is to reach some hosts and no others, and this host gives it no network of its own")]
    NoNetworkOfItsOwn,
    /// It is to use the ssh agent through the relay, and would reach it past that.
    #[error(
        "the session is to use the person's ssh agent as far as Baton lets it, and this host gives it no view of its own"
    )]
    NoViewOfItsOwn,
    /// The way to the ssh agent could not be opened.
    #[error("the session's way to the person's ssh agent could not be opened")]
    Agent(#[source] std::io::Error),
    /// The way to the hosts it may reach could not be opened.
    #[error("the session's way to the hosts it may reach could not be opened")]
    WayOut(#[source] std::io::Error),
    /// Who is to end what it starts could not be prepared.
    #[error("it could not be seen to that what the session starts ends with it")]
    Sweeper(#[source] std::io::Error),
    /// The launcher does not have what it is to keep: nobody could go on with the session if this worker died.
    #[error("the launcher could not be given the session to keep")]
    Kept(#[source] std::io::Error),
    /// The spec says another profile than the launcher was asked for.
    #[error("the launcher was asked for the profile {asked:?}, and the session's spec says {spec:?}")]
    Profile {
        /// What the launcher was asked for.
        asked: Profile,
        /// What the spec says.
        spec: Profile,
    },
}

impl NotStarted {
    /// What happened, why, and what to do.
    pub(super) fn reason(&self) -> String {
        let mut reason = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        if let Self::Exec(ExecError::Confinement { missing, .. }) = self
            && !missing.is_empty()
        {
            reason = format!("{reason} (missing: {})", missing.join(", "));
        }
        let hint = match self {
            // What a plain program lacks its message says.
            Self::Exec(err @ ExecError::Confinement { .. }) => err.hint(),
            Self::Refused(err) => err.hint(),
            Self::Changed(err) => err.hint(),
            Self::NoNetworkOfItsOwn => {
                Some("`baton doctor` says what user namespaces lack here; without `allow_hosts` it starts")
            }
            Self::NoViewOfItsOwn => {
                Some("`baton doctor` says what user namespaces lack here; without `ssh_agent` it starts")
            }
            _ => None,
        };
        hint.map_or(reason.clone(), |hint| format!("{reason}; {hint}"))
    }

    /// The exit code a shell would give.
    pub(super) const fn shell_code(&self) -> i32 {
        match self {
            Self::Exec(err) => err.shell_code(),
            _ => 126,
        }
    }
}

/// Prepares the confinement that a spec asks for; `None` for `host`. `asked` is what the launcher allowed: a spec that says
/// something else runs nothing.
pub(super) fn jail(
    spec: &SessionSpec,
    home: &Home,
    session: &Path,
    asked: Profile,
    terminal: &OwnedFd,
) -> Result<Option<Jail>, NotStarted> {
    if spec.profile != asked {
        return Err(NotStarted::Profile { asked, spec: spec.profile });
    }
    if !profile::is_confined(spec.profile) {
        return Ok(None);
    }
    let private = private::of_session(session);
    // Of an earlier life.
    private::remove(&private)
        .map_err(|source| Refusal::Prepare { what: format!("emptying `{}`", private.display()), source })?;
    if spec.ssh_agent.is_some() {
        let what = "the directory of the ssh agent's socket".to_owned();
        agent::make_directory(&session.join(spec.instance.to_string()))
            .map_err(|source| Refusal::Prepare { what, source })?;
    }
    let request = request(spec, home, session, ttyname(terminal).ok());
    let jail = Jail::prepare(&request)?;
    granted::same_as_ever(session, spec, jail.granted())?;
    Ok(Some(jail))
}

/// What a confined program's HOME begins with. Without a start file zsh asks a new user what it should be like. A login shell
/// begins with the system's `PATH` and leaves the rest to the user's own files, which a confined one does not see: the tools
/// that it may use would not be found.
fn start_files(spec: &SessionSpec) -> Vec<StartFile> {
    let mut files = vec![StartFile { name: ".zshrc", text: String::new() }];
    if let Some((_, path)) = spec.env.iter().find(|(name, _)| *name == "PATH") {
        let quoted = path.replace('\'', r"'\''");
        let made = "# Made by Baton: the directories in which this session's tools are.";
        let text = format!("{made}\nexport PATH='{quoted}'\n");
        files.extend([".profile", ".zprofile"].map(|name| StartFile { name, text: text.clone() }));
    }
    files
}

/// What the confinement of a session's program is made of, and asked by.
pub(super) fn request(spec: &SessionSpec, home: &Home, session: &Path, terminal: Option<PathBuf>) -> Request {
    Request {
        profile: spec.profile,
        grants: spec.grants.clone(),
        home: user_home(),
        private: private::of_session(session),
        hidden: vec![home.state.clone(), home.runtime.clone(), home.config.clone()],
        probe: home.key_file(),
        terminal,
        cwd: PathBuf::from(&spec.cwd),
        required: spec.sandbox_required,
        private_bytes: spec.limits.disk_bytes,
        start_files: start_files(spec),
        ssh_agent: spec.ssh_agent.as_ref().map(|_| agent::directory(&session.join(spec.instance.to_string()))),
    }
}

/// The user's HOME: Baton's own, not one that a session was given.
pub(crate) fn user_home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.or_else(|| Some(User::from_uid(geteuid()).ok()??.dir))
}

/// What a confined program needs to know of its own places.
pub(super) fn own_environment(env: &mut Vec<(OsString, OsString)>, spec: &SessionSpec) {
    env.retain(|(name, _)| name != "TMPDIR");
    env.push(("TMPDIR".into(), "/tmp".into()));
    if spec.ssh_agent.is_some() {
        env.retain(|(name, _)| name != "SSH_AUTH_SOCK");
        env.push(("SSH_AUTH_SOCK".into(), Path::new(profile::SSH_AGENT).join(profile::SSH_AGENT_SOCKET).into()));
    }
}

impl Worker {
    /// Keeps what was achieved, for itself, for a successor and for sessiond.
    pub(super) fn is_confined(&mut self, confined: Option<&Confined>) {
        self.layers = confined.map(|confined| confined.layers().to_vec()).unwrap_or_default();
        if !self.spec.allow_hosts.is_empty() {
            let reached = format!("its own, and through Baton's proxy: {}", self.spec.allow_hosts.join(", "));
            self.layers.iter_mut().filter(|it| it.name == "network").for_each(|it| it.detail = Some(reached.clone()));
        }
        self.layers.extend(self.spec.ssh_agent.as_ref().map(|_| Layer {
            name: "ssh-agent".to_owned(),
            // Told after it was opened: a session that is to have it and can't is not started.
            status: LayerStatus::Enforced,
            abi: None,
            detail: Some(
                "it may list the keys of the person's ssh agent and sign with them, and nothing else".to_owned(),
            ),
        }));
        let view = Kind::Mounts.name();
        let own_view = self.layers.iter().any(|layer| layer.name == view && layer.status != LayerStatus::Absent);
        let program = self.program.as_ref().map_or(0, |program| program.pid);
        self.layers.extend(limits::layers(&self.spec.limits, program, own_view));
        if self.layers.is_empty() {
            return;
        }
        for layer in self.layers.iter().filter(|layer| layer.status != LayerStatus::Enforced) {
            let Layer { name, status, detail, .. } = layer;
            tracing::warn!(session = %self.spec.session, layer = name, ?status, "{}", detail.as_deref().unwrap_or("not enforced"));
        }
        if let Err(err) = registry::write_layers(&self.directory, self.spec.instance, &self.layers) {
            tracing::error!(session = %self.spec.session, "how the program is confined could not be written down: {err}");
        }
    }

    /// Removes HOME and temporary files of a confined program that has ended. In a thread: there may be many, and nobody is
    /// to wait for them; no program is started by this process any more.
    pub(super) fn remove_private(&mut self) {
        let private = private::of_session(&self.directory);
        if !profile::is_confined(self.spec.profile) || !private.exists() {
            return;
        }
        let session = self.spec.session;
        let agent = agent::directory(&self.directory.join(self.spec.instance.to_string()));
        let looking = self.denials.take();
        let spawned = std::thread::Builder::new().name("baton-cleaner".to_owned()).spawn(move || {
            // One that panicked has said so.
            let _ = looking.map(std::thread::JoinHandle::join);
            // Its relay ends with the program; one that had none has no directory.
            let _ = std::fs::remove_dir_all(agent);
            if let Err(err) = private::remove(&private) {
                // What the session left running may still write to it; who forgets the session removes the rest.
                tracing::warn!(%session, "its temporary files could not all be removed: {err}");
            }
        });
        match spawned {
            Ok(cleaner) => self.cleaner = Some(cleaner),
            Err(err) => tracing::warn!(%session, "its temporary files stay until the session is forgotten: {err}"),
        }
    }

    /// Waits until that is done: with this process it would stop half-way.
    pub(super) fn clean_up(&mut self) {
        if let Some(cleaner) = self.cleaner.take() {
            // One that panicked has said so.
            let _ = cleaner.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::registry::tests::spec;

    #[test]
    fn a_spec_that_says_another_profile_than_was_asked_for_runs_nothing() {
        let (scratch, terminal) =
            (tempfile::tempdir().unwrap(), OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let home = Home::below(scratch.path());
        let session = scratch.path().join("session");
        for asked in [Profile::Host, Profile::Workspace, Profile::Locked] {
            for says in [Profile::Host, Profile::Workspace, Profile::Locked] {
                let spec = SessionSpec { profile: says, ..spec() };
                let refused = matches!(
                    jail(&spec, &home, &session, asked, &terminal),
                    Err(NotStarted::Profile { asked: a, spec: s }) if (a, s) == (asked, says)
                );
                assert_eq!(refused, asked != says, "{asked:?} {says:?}");
            }
        }
    }
}
