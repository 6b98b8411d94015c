//! All that a decision is about. A person decides about what was shown; when anything of it is different at the time it would be
//! done, it is not done.

use std::path::{Path, PathBuf};

use baton_proto::ErrorCode;
use baton_proto::api::{BoundTo, CreateTerminal};
use baton_proto::ids::Epoch;
use baton_proto::spec::Grant;
use baton_proto::v1::Class;
use sha2::{Digest as _, Sha256};

use super::bound::bound_to;
use super::gated::Gated;
use super::rights;
use crate::access::Principal;
use crate::app::App;
use crate::audit::chain::hex;
use crate::hub::session::Session;
use crate::policy::resolve::SYSTEM_DIRS;
use crate::policy::{self, Policy};
use crate::problem::{Failure, Outcome};
use crate::routes::confine;
use crate::store::sessions::Surroundings;

/// What is known of the place where something would happen.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What the policy says.
    pub decision: policy::Judgement,
    /// The hash of everything.
    pub hash: String,
    /// The working directory.
    pub cwd: Option<String>,
    /// The lease's epoch, if the client holds it.
    pub epoch: Option<Epoch>,
    /// The state of what is acted on and of where, without what moves by itself: what a remembered decision is bound to.
    pub state: String,
    /// What the hash is of, thing by thing: what is another now can be told from two of them.
    pub bound_to: Vec<BoundTo>,
}

/// Judges something as things are now.
///
/// # Errors
/// `not_found`; `sessiond_down` when its session can't be asked.
pub async fn judge(app: &App, policy: &Policy, principal: &Principal, gated: &Gated) -> Outcome<Judgement> {
    let (place, identity) = match gated.session() {
        Some(id) => {
            let session = app.session(principal, id).await?;
            let spec = session.entry().spec.clone();
            let inspection = session.inspect().await?;
            let cwd = inspection.cwd.clone().unwrap_or_else(|| spec.cwd.clone());
            let place = place_of(app, &session, &cwd);
            let epoch = gated.client().and_then(|client| {
                let owns = inspection.lease.owner.as_ref().is_some_and(|owner| owner.client == *client);
                owns.then_some(inspection.lease.epoch)
            });
            let identity = serde_json::json!({
                "session": id, "instance": spec.instance, "profile": spec.profile,
                "foreground": inspection.foreground.as_ref().map(|(pid, _)| pid),
                "grants": spec.grants.iter().map(baton_proto::api::FolderGrant::from).collect::<Vec<_>>(),
                "lease": inspection.lease.epoch, "holds": epoch.is_some(),
            });
            (place, (identity, Some(cwd), epoch))
        }
        None => {
            let (Gated::Unsandboxed(request) | Gated::Spawn(request)) = gated else {
                return Err(Failure::invalid("it is about no session"));
            };
            let place = place_to_be(app, principal, request);
            let cwd = place.cwd.to_string_lossy().into_owned();
            let identity = serde_json::json!({ "sandboxed": place.sandboxed });
            (place, (identity, Some(cwd), None))
        }
    };
    let (identity, cwd, epoch) = identity;
    let lasting = ["session", "instance", "profile", "grants"].map(|key| identity.get(key).cloned());
    let (who, policy) = (policy::Principal::from(principal), policy.clone());
    let rights = match gated {
        Gated::Spawn(request) => rights::of(app, principal, request, &place.home),
        _ => rights::Rights::default(),
    };
    let actions = gated.actions();
    // Looking up programs and reading files is looking at the disk, which may be slow.
    let judged = tokio::task::spawn_blocking(move || {
        let does = actions.iter().map(|action| policy::judge(&policy, &who, action, &place));
        let wants = rights.lacking.into_iter().map(rights::where_it_leads);
        let wants = wants.map(|action| policy::judge(&policy, &who, &action, &place));
        // Bound to all that was asked for: that it has a part of it meanwhile is no other request.
        let targets = actions.iter().chain(&rights.asked).map(|action| policy::target(action, &place));
        let targets: Vec<_> = targets.collect();
        let nothing = || policy::Judgement::nothing(&policy);
        (does.chain(wants).reduce(policy::Judgement::and).unwrap_or_else(nothing), targets)
    });
    let (decision, targets) =
        judged.await.map_err(|err| Failure::new(ErrorCode::Internal, format!("judging failed: {err}")))?;
    if decision.outcome == policy::Outcome::Ask && !targets.iter().all(|target| target.complete) {
        let detail = "it names more files than a person can be shown the state of (64): ask for it in parts";
        return Err(Failure::invalid(detail));
    }
    let bound_to = bound_to(&targets, &identity, &decision.revision);
    // Times in nanoseconds are larger than the numbers that canonical JSON has.
    let target = hex(&Sha256::digest(serde_json::to_vec(&targets).unwrap_or_default()));
    let whole = serde_json::json!({
        "action": gated.kind(),
        "payload": gated.payload(),
        "principal": principal.id,
        "cwd": cwd,
        "policy": decision.revision,
        "target": target,
        "place": identity,
    });
    let canonical = serde_json_canonicalizer::to_vec(&whole)
        .map_err(|err| Failure::invalid(format!("what is asked for can't be written down: {err}")))?;
    let state = serde_json::to_vec(&(&lasting, &target)).unwrap_or_default();
    let (hash, state) = (hex(&Sha256::digest(&canonical)), hex(&Sha256::digest(&state)));
    Ok(Judgement { decision, hash, cwd, epoch, state, bound_to })
}

/// Whether an agent may start this in a session that has ended. Nobody is asked about it: what a person would say yes to is a new
/// session with this command.
///
/// # Errors
/// `denied`, with the rule.
pub async fn may_start_again(
    app: &App,
    principal: &Principal,
    session: &Session,
    argv: Vec<String>,
    cwd: &str,
) -> Outcome<()> {
    if principal.class() != Class::Agent {
        return Ok(());
    }
    let (policy, strict) = app.inbox.policy();
    let who = policy::Principal::from(principal);
    let place = place_of(app, session, cwd);
    let action = policy::Action::ProcessSpawn { argv };
    let judged = tokio::task::spawn_blocking(move || policy::judge(&policy, &who, &action, &place));
    let judged = judged.await.map_err(|err| Failure::new(ErrorCode::Internal, format!("judging failed: {err}")))?;
    if judged.outcome == policy::Outcome::Allow && !strict {
        return Ok(());
    }
    let why = judged.reasons.first().map_or("the policy is refused", |reason| reason.why.as_str());
    let detail = format!("{why}; a session that begins again asks nobody: create a new one with this command");
    Err(Failure::new(ErrorCode::Denied, detail))
}

/// A session that is there, with this working directory.
fn place_of(app: &App, session: &Session, cwd: &str) -> policy::Context {
    let spec = session.entry().spec.clone();
    // Of one that nobody wrote it down for: as it would be for one that is made now.
    let around = app.catalog.row(session.id).and_then(|row| row.surroundings);
    let around =
        around.unwrap_or_else(|| Surroundings::of(&confine::inherited(spec.profile, app.environment.variables())));
    let (home, own) = (home(&around), persons_home(app));
    let sandboxed = baton_sandbox::profile::is_confined(spec.profile);
    policy::Context {
        workspace: None,
        cwd: PathBuf::from(cwd),
        search: search(around.path.as_deref()),
        env: around.names,
        sandboxed,
        grants: granted(&spec.grants, &home, &own, sandboxed),
        persons_home: Some(own).filter(|own| *own != home),
        home,
    }
}

/// Whether an agent asks for a session that is granted what the agent does not have.
#[must_use]
pub fn wants_more(app: &App, principal: &Principal, request: &CreateTerminal) -> bool {
    !rights::of(app, principal, request, &place_to_be(app, principal, request).home).lacking.is_empty()
}

/// Where a session that is not there yet would begin.
fn place_to_be(app: &App, principal: &Principal, request: &CreateTerminal) -> policy::Context {
    let profile = confine::profile(request, principal);
    let mut env = confine::inherited(profile, app.environment.variables());
    env.retain(|(name, _)| !request.env.contains_key(name));
    env.extend(request.env.clone());
    let around = Surroundings::of(&env);
    let (home, own) = (home(&around), persons_home(app));
    let sandboxed = baton_sandbox::profile::is_confined(profile);
    let grants = if sandboxed { confine::grants(request, Some(home.as_path())) } else { Vec::new() };
    let cwd = request.cwd.clone().or_else(|| Some(grants.first()?.root.clone()));
    policy::Context {
        workspace: None,
        cwd: cwd.map_or_else(|| home.clone(), PathBuf::from),
        search: search(around.path.as_deref()),
        env: around.names,
        sandboxed,
        grants: granted(&grants, &home, &own, sandboxed),
        persons_home: Some(own).filter(|own| *own != home),
        home,
    }
}

/// What a session may change, and read beyond the system. A confined program's HOME and temporary files are its own.
fn granted(grants: &[Grant], home: &Path, persons: &Path, sandboxed: bool) -> Vec<policy::Grant> {
    // A HOME that the session's maker chose is a place like any other.
    let home = Some(home.to_owned()).filter(|home| home == persons);
    let temporary = [PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let own = home.into_iter().chain(temporary).filter(|_| sandboxed);
    let own = own.map(|root| policy::Grant { root, write: true });
    let given = grants.iter().map(|grant| policy::Grant { root: grant.root.clone().into(), write: grant.write });
    given.chain(own).collect()
}

fn persons_home(app: &App) -> PathBuf {
    home(&Surroundings::of(&app.environment.variables()))
}

/// What `~` is. Without a HOME it is nobody's: a directory that is not there, and is granted to no one.
fn home(around: &Surroundings) -> PathBuf {
    let home = around.home.as_deref().filter(|home| home.starts_with('/') && home.len() > 1);
    PathBuf::from(home.unwrap_or("/nonexistent"))
}

/// Where a shell looks for programs; without a `PATH`, where shells look by themselves.
fn search(path: Option<&str>) -> Vec<PathBuf> {
    match path.filter(|path| !path.is_empty()) {
        Some(path) => path.split(':').map(PathBuf::from).collect(),
        None => SYSTEM_DIRS.iter().map(PathBuf::from).collect(),
    }
}
