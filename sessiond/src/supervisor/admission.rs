//! Which specs are started: the last word before something runs.

use baton_proto::ErrorCode;
use baton_proto::spec::{GRANT_PATH_BYTES_MAX, GRANTS_MAX, OUTPUT_ROOTS_MAX, Profile, SessionKind, SessionSpec};
use baton_proto::v1::Failed;

use super::session::{failed, shown_bytes};
use super::step::Core;

/// Sessions known at once, ended ones included. More are refused: forget some.
pub const SESSIONS_MAX: usize = 20_000;

/// Bytes of command, directory and title together; they are in every list.
pub const SHOWN_BYTES_MAX: usize = 256 << 10;

impl Core {
    /// Why a new session can't be started, if it can't.
    pub(super) fn refusal(&self, spec: &SessionSpec) -> Option<Failed> {
        if let Some(unfit) = self.unfit(spec) {
            return Some(unfit);
        }
        if self.sessions.contains_key(&spec.session) {
            let why = "there is a session of this id already; every session has an id of its own";
            return Some(failed(ErrorCode::Invalid, why));
        }
        if self.names.contains_key(&spec.session.socket_name()) {
            return Some(failed(
                ErrorCode::Busy,
                "the id shares its socket's name with another session; mint a new one",
            ));
        }
        if self.sessions.len() >= SESSIONS_MAX {
            let why = format!("{SESSIONS_MAX} sessions are known; forget some that have ended");
            return Some(failed(ErrorCode::RateLimited, &why));
        }
        None
    }

    /// Why nothing is started from a spec, whoever's it is.
    pub(super) fn unfit(&self, spec: &SessionSpec) -> Option<Failed> {
        let invalid = |why: &str| Some(failed(ErrorCode::Invalid, why));
        let has_nul = |text: &str| text.contains('\0');
        if spec.command.first().is_none_or(String::is_empty) || spec.command.iter().any(|word| has_nul(word)) {
            return invalid("the command is empty or contains a NUL byte");
        }
        if !spec.cwd.starts_with('/') || has_nul(&spec.cwd) {
            return invalid("the working directory is not an absolute path");
        }
        if spec.env.iter().any(|(name, value)| name.is_empty() || name.contains('=') || has_nul(name) || has_nul(value))
        {
            return invalid("a variable has an empty name, or `=` or NUL where there can't be one");
        }
        if !spec.size.is_valid() {
            return invalid("a terminal has from 1 to 2000 columns and rows");
        }
        if shown_bytes(spec) > SHOWN_BYTES_MAX {
            let why = format!(
                "command, directory, grants and title have more than {SHOWN_BYTES_MAX} bytes; pass a file instead"
            );
            return Some(failed(ErrorCode::TooLarge, &why));
        }
        // The last word before something runs: nobody gets less confinement than they asked for.
        match (spec.kind, spec.profile) {
            (SessionKind::Terminal, Profile::Host) if self.limits.allow_host => None,
            (SessionKind::Terminal, Profile::Host) => {
                Some(failed(ErrorCode::Denied, "`sandbox.allow_host = false`: unconfined sessions are forbidden here"))
            }
            (SessionKind::Terminal, Profile::Workspace | Profile::Locked) => unfit_grants(spec),
            _ => invalid("this version runs terminals only"),
        }
    }
}

/// Why the grants are none, if they are; whether they may be given is for the worker to find out, which looks at the files.
fn unfit_grants(spec: &SessionSpec) -> Option<Failed> {
    let unfit = |why: String| Some(failed(ErrorCode::Invalid, &why));
    if spec.grants.len() > GRANTS_MAX {
        return unfit(format!("a session has at most {GRANTS_MAX} grants"));
    }
    for grant in &spec.grants {
        if grant.output_roots.len() > OUTPUT_ROOTS_MAX {
            return unfit(format!("a grant has at most {OUTPUT_ROOTS_MAX} output roots"));
        }
        let mut paths = std::iter::once(&grant.root).chain(&grant.output_roots);
        let bad = |path: &&String| !path.starts_with('/') || path.contains('\0') || path.len() > GRANT_PATH_BYTES_MAX;
        if let Some(path) = paths.find(bad) {
            let shown: String = path.chars().take(80).collect();
            return unfit(format!("`{}` is no absolute path: a grant names a directory by one", shown.escape_debug()));
        }
    }
    None
}
