//! How far a new session is confined: what was asked for, held against who asks and what the configuration says.
//!
//! This is where it is explained; where it is enforced is elsewhere (the launcher for `host`, the worker for the rest).

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use baton_proto::ErrorCode;
use baton_proto::api::CreateTerminal;
use baton_proto::config::Sandbox;
use baton_proto::egress::AllowHosts;
use baton_proto::spec::{AGENT_SOCKET_BYTES_MAX, GRANTS_MAX, Grant, Profile};
use baton_proto::v1::Class;

use crate::access::Principal;
use crate::approval::gate::Permit;
use crate::problem::{Failure, Outcome};

/// What a session's program may do.
pub(super) struct Confinement {
    pub(super) profile: Profile,
    pub(super) grants: Vec<Grant>,
    /// Hosts that it may reach.
    pub(super) allow_hosts: Vec<String>,
    /// The socket of the ssh agent that it may use.
    pub(super) ssh_agent: Option<String>,
}

/// Decides.
///
/// # Errors
/// `denied` for what is forbidden here, `invalid` for what makes no sense.
pub(super) fn confinement(
    request: &CreateTerminal,
    principal: &Principal,
    config: &Sandbox,
    inherited: &[(String, String)],
    permit: Option<&Permit>,
) -> Outcome<Confinement> {
    let home = inherited.iter().find(|(name, _)| name == "HOME").map(|(_, home)| Path::new(home));
    let denied = |detail: &str| Err(Failure::new(ErrorCode::Denied, detail));
    let profile = profile(request, principal);
    if !baton_sandbox::profile::is_confined(profile) {
        if principal.class() == Class::Agent && permit.is_none() {
            return denied("an agent's session is confined: leave `sandbox` out, or let a person start this one");
        }
        may_be_unconfined(request, config)?;
        if request.ssh_agent {
            return Err(Failure::invalid(
                "a session that is not confined has your ssh agent as it is, where `SSH_AUTH_SOCK` is set: leave `ssh_agent` out, or \
                 ask for `sandbox: \"workspace\"` to let it list keys and sign only",
            ));
        }
        return Ok(Confinement { profile, grants: Vec::new(), allow_hosts: Vec::new(), ssh_agent: None });
    }
    if profile == Profile::Locked && !request.allow_hosts.is_empty() {
        return Err(Failure::invalid(
            "a `locked` session has no network: ask for `workspace` to allow it some hosts, or leave `allow_hosts` out",
        ));
    }
    let ssh_agent = if request.ssh_agent { Some(agent(request, principal, profile, inherited)?) } else { None };
    AllowHosts::parse(&request.allow_hosts).map_err(|err| Failure::invalid(format!("`allow_hosts`: {err}")))?;
    let grants = grants(request, home);
    if grants.len() > GRANTS_MAX {
        return Err(Failure::invalid(format!("a session has at most {GRANTS_MAX} grants")));
    }
    for grant in &grants {
        if let Some(path) = std::iter::once(&grant.root).chain(&grant.output_roots).find(|path| !path.starts_with('/'))
        {
            return Err(Failure::invalid(format!("a grant names an absolute path; `{}` is none", path.escape_debug())));
        }
    }
    Ok(Confinement { profile, grants, allow_hosts: request.allow_hosts.clone(), ssh_agent })
}

/// The profile that is asked for, or what such a principal has when it says nothing.
pub(crate) fn profile(request: &CreateTerminal, principal: &Principal) -> Profile {
    request.sandbox.unwrap_or(match principal.class() {
        Class::Person => Profile::Host,
        Class::Agent => Profile::Workspace,
    })
}

/// What a confined session is granted.
pub(crate) fn grants(request: &CreateTerminal, home: Option<&Path>) -> Vec<Grant> {
    match &request.grants {
        Some(grants) => grants.iter().cloned().map(Grant::from).collect(),
        // Its own HOME is there whatever is granted; the person's is not granted because somebody happened to stand in it.
        None => match request.cwd.as_deref().filter(|cwd| !is_same(Path::new(cwd), home)) {
            Some(cwd) => vec![Grant::whole(cwd.to_owned())],
            None => Vec::new(),
        },
    }
}

/// Whether there may be a session that is not confined, whoever asks.
///
/// # Errors
/// As [`confinement`].
pub(super) fn may_be_unconfined(request: &CreateTerminal, config: &Sandbox) -> Outcome<()> {
    if !config.allow_host {
        let detail =
            "`sandbox.allow_host = false`: sessions that are not confined are forbidden here; ask for `workspace`";
        return Err(Failure::new(ErrorCode::Denied, detail));
    }
    if request.grants.is_some() || !request.allow_hosts.is_empty() {
        return Err(Failure::invalid(
            "a session that is not confined may use everything: ask for `sandbox: \"workspace\"` to grant it less",
        ));
    }
    Ok(())
}

/// The socket of the person's ssh agent, for a session that asks to use it.
fn agent(
    request: &CreateTerminal,
    principal: &Principal,
    profile: Profile,
    inherited: &[(String, String)],
) -> Outcome<String> {
    const VARIABLE: &str = "SSH_AUTH_SOCK";
    if principal.class() == Class::Agent {
        let detail = "the keys of a person's ssh agent are the person's to lend: leave `ssh_agent` out, or let a person start this \
                      session";
        return Err(Failure::new(ErrorCode::Denied, detail));
    }
    if profile == Profile::Locked {
        return Err(Failure::invalid(
            "a `locked` session reaches nothing outside, an ssh agent neither: ask for `workspace`, or leave `ssh_agent` out",
        ));
    }
    let of_baton = || inherited.iter().find(|(name, _)| name == VARIABLE).map(|(_, path)| path);
    let Some(path) = request.env.get(VARIABLE).or_else(of_baton).filter(|path| !path.is_empty()) else {
        return Err(Failure::invalid(
            "there is no ssh agent to use: `SSH_AUTH_SOCK` is neither in `env` nor in the environment Baton was started with. Start \
             one (`eval \"$(ssh-agent)\"; ssh-add`) and ask again from there",
        ));
    };
    if !path.starts_with('/') || path.contains('\0') || path.len() > AGENT_SOCKET_BYTES_MAX {
        let path = path.chars().take(200).collect::<String>();
        let path = path.escape_debug();
        return Err(Failure::invalid(format!(
            "`SSH_AUTH_SOCK` is the absolute path of a socket, of at most {AGENT_SOCKET_BYTES_MAX} bytes; `{path}` is none"
        )));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(path.clone()),
        Ok(_) => Err(Failure::invalid(format!("`SSH_AUTH_SOCK`: `{}` is no socket", path.escape_debug()))),
        Err(err) => Err(Failure::invalid(format!(
            "`SSH_AUTH_SOCK` names `{}`, where no agent is ({err}): start one (`eval \"$(ssh-agent)\"; ssh-add`) and ask again from there",
            path.escape_debug()
        ))),
    }
}

/// Whether what is asked for can be a limit at all. How far it holds here is seen when the program runs.
///
/// # Errors
/// `invalid`, with what to ask for instead.
pub(super) fn check_limits(request: &CreateTerminal, profile: Profile) -> Outcome<()> {
    request.limits.check().map_err(Failure::invalid)?;
    if request.limits.disk_bytes.is_some() && !baton_sandbox::profile::is_confined(profile) {
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
pub(crate) fn inherited(profile: Profile, env: Vec<(String, String)>) -> Vec<(String, String)> {
    if !baton_sandbox::profile::is_confined(profile) {
        return env;
    }
    env.into_iter().filter(|(name, _)| baton_sandbox::profile::passes(name)).collect()
}
