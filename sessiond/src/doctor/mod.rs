//! `baton-sessiond doctor`: what this host has of what Baton uses, as JSON for `baton doctor`. Tries each thing in a process of
//! its own or in this one, which does nothing else; changes nothing and starts nothing that stays.

mod host;

pub(crate) use self::host::namespaces;

use std::io::{self, Write as _};

use anyhow::Context as _;
use baton_proto::api::{Check, CheckStatus, Doctor, Layer, LayerStatus, ProfileHere};
use baton_proto::config::Config;
use baton_proto::home::Home;
use baton_proto::spec::Profile;
use baton_sandbox::own::{self, Own, Paths};

/// Prints what was found.
///
/// # Errors
/// When there is no home, or nobody reads the answer.
pub fn run() -> anyhow::Result<()> {
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let mut out = serde_json::to_vec(&examine(&home)?)?;
    out.push(b'\n');
    io::stdout().write_all(&out).context("nobody reads the answer")
}

fn examine(home: &Home) -> anyhow::Result<Doctor> {
    let config = config(home)?;
    let namespaces = host::namespaces();
    let mut checks = vec![host::kernel(), host::user_namespaces(namespaces)];
    checks.extend([host::cgroups(), host::linger(), host::open_files(), host::terminals()]);
    // Last: for good, and the most that any process of Baton's gives up.
    let write = vec![home.state.clone(), home.runtime.clone()];
    let own = Own::bridge(Paths { write, ..Paths::default() }).confine();
    let layer = |name: &str| own.iter().find(|layer| layer.name == name);
    checks.splice(1..1, [landlock(layer("landlock")), seccomp(layer("seccomp"))]);
    let profiles = [Profile::Host, Profile::Workspace, Profile::Locked].map(|profile| ProfileHere {
        layers: if profile == Profile::Host { Vec::new() } else { session(namespaces.is_ok(), &own) },
        profile,
    });
    let all = profiles.iter().flat_map(|profile| &profile.layers);
    let can_require = own::lacking(&own).is_none() && all.clone().all(|layer| layer.status == LayerStatus::Enforced);
    Ok(Doctor { checks, profiles: profiles.into(), own, require: config.sandbox.require, can_require })
}

fn config(home: &Home) -> anyhow::Result<Config> {
    let path = home.config_file();
    let text = match std::fs::read_to_string(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("could not read `{}`", path.display()))?,
    };
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(&text, env).with_context(|| format!("the configuration in `{}` is refused", path.display()))
}

/// What a confined session gets: namespaces where they can be made, the rest as this very process got it a moment ago.
fn session(namespaces: bool, own: &[Layer]) -> Vec<Layer> {
    let separate = |name: &str| Layer {
        name: name.to_owned(),
        status: if namespaces { LayerStatus::Enforced } else { LayerStatus::Absent },
        abi: None,
        detail: (!namespaces).then(|| "needs user namespaces".to_owned()),
    };
    let others = own.iter().filter(|layer| layer.name != "core_dumps").cloned();
    [separate("mounts"), separate("network")].into_iter().chain(others).collect()
}

fn landlock(layer: Option<&Layer>) -> Check {
    let status = layer.map_or(LayerStatus::Absent, |layer| layer.status);
    let abi = layer.and_then(|layer| layer.abi);
    let lacks = status != LayerStatus::Enforced;
    Check {
        name: "landlock".to_owned(),
        status: if lacks { CheckStatus::Lacking } else { CheckStatus::Ok },
        found: abi.map_or_else(|| "none".to_owned(), |abi| format!("version {abi}")),
        means: layer.and_then(|layer| layer.detail.clone()),
        cure: lacks.then(|| {
            let how = if abi.is_some() {
                "a kernel from 6.12 on covers everything"
            } else {
                "a kernel from 5.13 on, built with it, and `landlock` in `lsm=` of its command line"
            };
            how.to_owned()
        }),
    }
}

fn seccomp(layer: Option<&Layer>) -> Check {
    let holds = layer.is_some_and(|layer| layer.status == LayerStatus::Enforced);
    Check {
        name: "seccomp".to_owned(),
        status: if holds { CheckStatus::Ok } else { CheckStatus::Lacking },
        found: if holds { "filters of system calls work" } else { "no filters of system calls" }.to_owned(),
        means: (!holds)
            .then(|| "neither Baton's processes nor confined sessions are kept from dangerous system calls".to_owned()),
        cure: (!holds)
            .then(|| "a kernel with CONFIG_SECCOMP_FILTER; some containers and emulators have none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_namespaces_a_session_lacks_what_needs_them() {
        let layer =
            |name: &str| Layer { name: name.to_owned(), status: LayerStatus::Enforced, abi: None, detail: None };
        let own = [layer("privileges"), layer("core_dumps"), layer("landlock")];
        let lacking = |namespaces| {
            let layers = session(namespaces, &own);
            layers
                .iter()
                .filter(|layer| layer.status != LayerStatus::Enforced)
                .map(|layer| layer.name.clone())
                .collect::<Vec<_>>()
        };
        assert!(lacking(true).is_empty());
        assert_eq!(lacking(false), ["mounts", "network"]);
        assert!(session(true, &own).iter().all(|layer| layer.name != "core_dumps"));
    }

    #[test]
    fn what_is_missing_comes_with_a_cure() {
        for check in [landlock(None), seccomp(None)] {
            assert_eq!(check.status, CheckStatus::Lacking);
            assert!(check.cure.is_some(), "{check:?}");
        }
    }
}
