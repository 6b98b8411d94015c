//! How far a new session is confined: what was asked for, held against who asks and what the configuration says.
//!
//! This is where it is explained; where it is enforced is elsewhere (the launcher for `host`, the worker for the rest).

use std::path::Path;

use baton_proto::ErrorCode;
use baton_proto::api::CreateTerminal;
use baton_proto::config::Sandbox;
use baton_proto::egress::AllowHosts;
use baton_proto::spec::{GRANTS_MAX, Grant, Profile};
use baton_proto::v1::Class;
use baton_sandbox::profile;

use crate::access::Principal;
use crate::problem::{Failure, Outcome};

/// What a session's program may do.
pub(super) struct Confinement {
    pub(super) profile: Profile,
    pub(super) grants: Vec<Grant>,
    /// Hosts that it may reach.
    pub(super) allow_hosts: Vec<String>,
}

/// Decides.
///
/// # Errors
/// `denied` for what is forbidden here, `invalid` for what makes no sense.
pub(super) fn confinement(
    request: &CreateTerminal,
    principal: &Principal,
    config: &Sandbox,
    home: Option<&Path>,
) -> Outcome<Confinement> {
    let denied = |detail: &str| Err(Failure::new(ErrorCode::Denied, detail));
    let profile = request.sandbox.unwrap_or(match principal.class() {
        Class::Person => Profile::Host,
        Class::Agent => Profile::Workspace,
    });
    if !profile::is_confined(profile) {
        if principal.class() == Class::Agent {
            return denied("an agent's session is confined: leave `sandbox` out, or let a person start this one");
        }
        if !config.allow_host {
            return denied(
                "`sandbox.allow_host = false`: sessions that are not confined are forbidden here; ask for `workspace`",
            );
        }
        if request.grants.is_some() || !request.allow_hosts.is_empty() {
            return Err(Failure::invalid(
                "a session that is not confined may use everything: ask for `sandbox: \"workspace\"` to grant it less",
            ));
        }
        return Ok(Confinement { profile, grants: Vec::new(), allow_hosts: Vec::new() });
    }
    if profile == Profile::Locked && !request.allow_hosts.is_empty() {
        return Err(Failure::invalid(
            "a `locked` session has no network: ask for `workspace` to allow it some hosts, or leave `allow_hosts` out",
        ));
    }
    AllowHosts::parse(&request.allow_hosts).map_err(|err| Failure::invalid(format!("`allow_hosts`: {err}")))?;
    let grants: Vec<Grant> = match &request.grants {
        Some(grants) => grants.iter().cloned().map(Grant::from).collect(),
        // Its own HOME is there whatever is granted; the person's is not granted because somebody happened to stand in it.
        None => match request.cwd.as_deref().filter(|cwd| !is_same(Path::new(cwd), home)) {
            Some(cwd) => vec![Grant::whole(cwd.to_owned())],
            None => Vec::new(),
        },
    };
    if grants.len() > GRANTS_MAX {
        return Err(Failure::invalid(format!("a session has at most {GRANTS_MAX} grants")));
    }
    for grant in &grants {
        if let Some(path) = std::iter::once(&grant.root).chain(&grant.output_roots).find(|path| !path.starts_with('/'))
        {
            return Err(Failure::invalid(format!("a grant names an absolute path; `{}` is none", path.escape_debug())));
        }
    }
    Ok(Confinement { profile, grants, allow_hosts: request.allow_hosts.clone() })
}

/// Whether what is asked for can be a limit at all. How far it holds here is seen when the program runs.
///
/// # Errors
/// `invalid`, with what to ask for instead.
pub(super) fn check_limits(request: &CreateTerminal, profile: Profile) -> Outcome<()> {
    request.limits.check().map_err(Failure::invalid)?;
    if request.limits.disk_bytes.is_some() && !profile::is_confined(profile) {
        return Err(Failure::invalid(
            "`limits.disk_bytes` bounds HOME and temporary files of a session's own; one that is not confined has none: \
             ask for `sandbox: \"workspace\"`, or leave it out",
        ));
    }
    Ok(())
}

fn is_same(path: &Path, home: Option<&Path>) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    home.is_some_and(|home| resolved(home) == resolved(path))
}

/// What a program inherits of Baton's environment: a confined one nothing that could be a token.
pub(super) fn inherited(profile: Profile, env: Vec<(String, String)>) -> Vec<(String, String)> {
    if !profile::is_confined(profile) {
        return env;
    }
    env.into_iter().filter(|(name, _)| profile::passes(name)).collect()
}
