//! What sessiond gives up, and what it sees of the others: a launcher and workers are looked at in `/proc`, not believed.

use anyhow::bail;
use baton_proto::api::{Layer, LayerStatus, ProcessConfinement};
use baton_proto::home::Home;
use baton_sandbox::own::{self, Own, Paths, Seen};

use super::Supervisor;

/// Gives up what sessiond does not need. Directories count as they are now: the launcher starts another sessiond when it has
/// to make them anew.
///
/// # Errors
/// That the kernel lacks something although it is `required`.
pub(super) fn confine(home: &Home, required: bool) -> anyhow::Result<Vec<Layer>> {
    // The configuration, because the bridge may not: what it may have changed is in `settings::edit`.
    let write = vec![home.state.clone(), home.runtime.clone(), home.config.clone()];
    let layers = Own::sessiond(Paths { write, ..Paths::default() }).confine();
    if let Some(lacking) = own::lacking(&layers).filter(|_| required) {
        bail!("{}", own::required(lacking));
    }
    Ok(layers)
}

impl Supervisor {
    /// sessiond, the launcher, and the workers together.
    pub(super) fn confinement(&self) -> Vec<ProcessConfinement> {
        let named = |process: &str, layers| ProcessConfinement { process: process.to_owned(), layers };
        let mut all = vec![named("sessiond", self.layers.clone())];
        if let Some(seen) = own::seen(self.launcher_pid()) {
            // What it gave up, each session below it would have given up.
            let why = "it starts sessions that are not confined, which would lack what it lacks";
            all.push(named("launcher", layers_of(&[seen], why)));
        }
        let workers: Vec<Seen> = self.core.worker_pids().filter_map(own::seen).collect();
        if !workers.is_empty() {
            all.push(named("workers", layers_of(&workers, "not yet, or not by this kernel")));
        }
        all
    }
}

fn layers_of(seen: &[Seen], why: &str) -> Vec<Layer> {
    let layer = |name: &str, holds: fn(&Seen) -> bool| {
        let count = seen.iter().filter(|process| holds(process)).count();
        let status = match count {
            all if all == seen.len() => LayerStatus::Enforced,
            0 => LayerStatus::Absent,
            _ => LayerStatus::Partial,
        };
        let detail = match status {
            LayerStatus::Enforced => None,
            LayerStatus::Partial => Some(format!("{count} of {}: {why}", seen.len())),
            LayerStatus::Absent => Some(why.to_owned()),
        };
        Layer { name: name.to_owned(), status, abi: None, detail }
    };
    vec![layer("privileges", |seen| seen.no_new_privs), layer("seccomp", |seen| seen.filtered)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_not_confined_makes_the_whole_partial() {
        let (yes, no) = (Seen { no_new_privs: true, filtered: true }, Seen { no_new_privs: true, filtered: false });
        let statuses = |seen: &[Seen]| layers_of(seen, "").into_iter().map(|layer| layer.status).collect::<Vec<_>>();
        assert_eq!(statuses(&[yes, yes]), [LayerStatus::Enforced, LayerStatus::Enforced]);
        assert_eq!(statuses(&[yes, no]), [LayerStatus::Enforced, LayerStatus::Partial]);
        assert_eq!(statuses(&[no]), [LayerStatus::Enforced, LayerStatus::Absent]);
    }
}
