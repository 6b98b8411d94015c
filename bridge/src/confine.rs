//! What the bridge keeps once it has its descriptors and its configuration, before its first connection.

use std::path::PathBuf;
use std::sync::OnceLock;

use baton_proto::api::Layer;
use baton_proto::home::Home;
use baton_sandbox::own::{Own, Paths};

use crate::{assets, person};

static LAYERS: OnceLock<Vec<Layer>> = OnceLock::new();

/// Gives up what the bridge does not need, for good, in a process with one thread.
///
/// What it can't reach afterwards is looked up first. Directories count as they are now: the launcher starts another
/// bridge when it has to make them anew.
pub fn confine(home: &Home) -> &'static [Layer] {
    LAYERS.get_or_init(|| {
        let _ = person::user();
        let read = [Some(home.config.clone()), assets::directory()].into_iter().flatten();
        // SQLite's random numbers, and descriptors that are to lead nowhere.
        let devices = ["/dev/urandom", "/dev/null"].map(PathBuf::from);
        Own::bridge(Paths {
            write: vec![home.state.clone(), home.runtime.clone()],
            read: read.chain(devices).collect(),
        })
        .confine()
    })
}

/// What holds; empty in a process that did not confine itself, as in tests of the library.
pub fn layers() -> &'static [Layer] {
    LAYERS.get().map_or(&[], Vec::as_slice)
}
