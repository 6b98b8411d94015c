//! What the bridge keeps once it has its descriptors and its configuration, before its first connection.

use std::path::PathBuf;
use std::sync::OnceLock;

use baton_proto::api::Layer;
use baton_sandbox::own::{self, Own, Paths};

use crate::config::{Options, StartError};
use crate::{assets, clock, person};

static LAYERS: OnceLock<Vec<Layer>> = OnceLock::new();

/// Gives up what the bridge does not need, for good, in a process with one thread.
///
/// What it can't reach afterwards is looked up first. Directories count as they are now: the launcher starts another
/// bridge when it has to make them anew.
///
/// # Errors
/// That the kernel lacks something although `sandbox.require` is set.
pub fn confine(options: &Options) -> Result<(), StartError> {
    let home = &options.home;
    let layers = LAYERS.get_or_init(|| {
        let _ = (person::user(), clock::boot_id());
        let read = [Some(home.config.clone()), assets::directory()].into_iter().flatten();
        // SQLite's random numbers, and descriptors that are to lead nowhere.
        let devices = ["/dev/urandom", "/dev/null"].map(PathBuf::from);
        let write = vec![home.state.clone(), home.runtime.clone()];
        Own::bridge(Paths { write, read: read.chain(devices).collect(), ..Paths::default() }).confine()
    });
    match own::lacking(layers).filter(|_| options.config.sandbox.require) {
        Some(lacking) => Err(StartError::Unconfined(own::required(lacking))),
        None => Ok(()),
    }
}

/// What holds; empty in a process that did not confine itself, as in tests of the library.
pub fn layers() -> &'static [Layer] {
    LAYERS.get().map_or(&[], Vec::as_slice)
}
