//! All that a decision is about. A person decides about what was shown; when anything of it is different at the time it would be
//! done, it is not done.

use std::path::PathBuf;

use baton_proto::ErrorCode;
use baton_proto::ids::Epoch;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::gated::Gated;
use crate::access::Principal;
use crate::app::App;
use crate::audit::chain::hex;
use crate::policy::resolve::SYSTEM_DIRS;
use crate::policy::{self, Policy};
use crate::problem::{Failure, Outcome};

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
            let var = |name: &str| spec.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            let cwd = inspection.cwd.clone().unwrap_or_else(|| spec.cwd.clone());
            let home = PathBuf::from(var("HOME").unwrap_or_else(|| "/".to_owned()));
            let sandboxed = baton_sandbox::profile::is_confined(spec.profile);
            // A confined program's HOME and temporary files are its own.
            let own = [home.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]
                .into_iter()
                .filter(|_| sandboxed)
                .map(|root| policy::Grant { root, write: true });
            let place = policy::Context {
                workspace: None,
                cwd: PathBuf::from(&cwd),
                home,
                search: search(var("PATH").as_deref()),
                env: names(&spec.env),
                sandboxed,
                grants: spec
                    .grants
                    .iter()
                    .map(|grant| policy::Grant { root: grant.root.clone().into(), write: grant.write })
                    .chain(own)
                    .collect(),
            };
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
            let Gated::Unsandboxed(request) = gated else {
                return Err(Failure::invalid("it is about no session"));
            };
            let cwd = request.cwd.clone();
            let place = policy::Context {
                workspace: None,
                cwd: PathBuf::from(cwd.clone().unwrap_or_else(|| "/".to_owned())),
                home: PathBuf::from("/"),
                search: Vec::new(),
                env: Vec::new(),
                sandboxed: false,
                grants: Vec::new(),
            };
            (place, (Value::Null, cwd, None))
        }
    };
    let (identity, cwd, epoch) = identity;
    let (who, action, policy) = (policy::Principal::from(principal), gated.action(), policy.clone());
    // Looking up programs and reading files is looking at the disk, which may be slow.
    let judged = tokio::task::spawn_blocking(move || {
        (policy::judge(&policy, &who, &action, &place), policy::target(&action, &place))
    });
    let (decision, target) =
        judged.await.map_err(|err| Failure::new(ErrorCode::Internal, format!("judging failed: {err}")))?;
    if decision.outcome == policy::Outcome::Ask && !target.complete {
        let detail = "it names more files than a person can be shown the state of (64): ask for it in parts";
        return Err(Failure::invalid(detail));
    }
    // Times in nanoseconds are larger than the numbers that canonical JSON has.
    let target = hex(&Sha256::digest(serde_json::to_vec(&target).unwrap_or_default()));
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
    Ok(Judgement { decision, hash: hex(&Sha256::digest(&canonical)), cwd, epoch })
}

/// The names in an environment; never the values.
fn names(env: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<String> = env.iter().map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names
}

/// Where a shell looks for programs; without a `PATH`, where shells look by themselves.
fn search(path: Option<&str>) -> Vec<PathBuf> {
    match path.filter(|path| !path.is_empty()) {
        Some(path) => path.split(':').map(PathBuf::from).collect(),
        None => SYSTEM_DIRS.iter().map(PathBuf::from).collect(),
    }
}
