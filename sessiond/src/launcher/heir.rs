//! The installed launcher takes this one's place. It comes in as a spare does: told everything, it takes over when this
//! process ends, and it is given the word only when no other spare would. Until then this launcher goes on as if nothing
//! were, so that an heir which does not start, or can't read what it is told, costs nothing.

use std::os::fd::OwnedFd;
use std::time::Instant;

use super::core::HEALTHY_WITHIN;
use super::turn::{Watch, name_process};
use super::{Launcher, activation, setup, spare};

impl Launcher {
    /// Starts the installed launcher; until it has everything, this one goes on as if nothing were.
    pub(super) fn start_heir(&mut self, watch: &mut Watch) {
        let (Some(sockets), Some(locks), None) = (&self.sockets, &self.locks, &watch.heir) else { return };
        match spare::start_heir(&self.nursery, &setup::places(sockets, locks), &self.core) {
            Ok(heir) => {
                tracing::info!(pid = heir.child.pid.as_raw(), "the installed launcher starts");
                watch.heir = Some((heir, Instant::now() + HEALTHY_WITHIN));
            }
            Err(err) => tracing::error!("the installed launcher could not be started; this one goes on: {err:#}"),
        }
    }

    pub(super) fn hear_heir(&mut self, watch: &mut Watch) {
        let Some((heir, _)) = &watch.heir else { return };
        match heir.has_everything() {
            Ok(false) => return,
            Ok(true) => {}
            Err(err) => return give_heir_up(watch, &err.to_string()),
        }
        // One successor at any moment: the spare is dead before the heir is given the word.
        self.spare = None;
        match heir.appoint() {
            Ok(()) => {
                tracing::info!(pid = heir.child.pid.as_raw(), "the installed launcher takes over; this one leaves");
                // Known before this process ends: its end is not the service's.
                activation::is_served_by(heir.child.pid.as_raw().cast_unsigned());
                if let Some((heir, _)) = watch.heir.take() {
                    heir.leave_alone();
                }
                (watch.exit, watch.succeeded) = (true, true);
            }
            Err(err) => give_heir_up(watch, &err.to_string()),
        }
    }

    /// The heir's life: hears everything, says so, and serves once the launcher before it has left with a word.
    pub(super) fn inherit(mut self, socket: &OwnedFd) -> anyhow::Result<()> {
        name_process(c"baton-spare");
        let (mut whole, mut appointed, mut watch) = (false, false, Watch::default());
        let Self { home, core, sockets, locks, .. } = &mut self;
        spare::wait(socket, |bytes, handles| match (sockets.as_mut(), locks.as_mut()) {
            _ if spare::is_word(bytes) => appointed = whole,
            (Some(sockets), Some(locks)) if spare::is_places(bytes) => {
                setup::take_places(home, handles, sockets, locks)
            }
            _ => match spare::answer_whole(socket, bytes) {
                Ok(true) => whole = true,
                Ok(false) => spare::apply(bytes, handles, core),
                // The end follows.
                Err(_) => {}
            },
        });
        anyhow::ensure!(appointed, "the launcher that started this one went on without it");
        self.take_over(&mut watch);
        self.serve(watch)
    }
}

/// This launcher goes on. Dropped, the heir is killed.
pub(super) fn give_heir_up(watch: &mut Watch, why: &str) {
    if let Some((heir, _)) = watch.heir.take() {
        tracing::error!(
            pid = heir.child.pid.as_raw(),
            "the installed launcher does not take over; this one goes on: {why}"
        );
    }
}
