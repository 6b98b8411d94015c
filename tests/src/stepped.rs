//! A bridge that stops where a test wants it to, between two steps of an approval, and believes the clocks that a test gives it.
//! It is the build for tests (`baton_bridge::taken_over`); in the one that is installed there are neither.

use std::fs;
use std::path::PathBuf;

use crate::baton::Baton;
use crate::{binaries, process};

/// The steps between a request and its result, in their order.
pub const STEPS: [&str; 8] = ["asking", "asked", "deciding", "decided", "judged", "executing", "performed", "written"];

/// See the module.
#[derive(Debug)]
pub struct Stepped<'a>(&'a Baton);

impl<'a> Stepped<'a> {
    /// Puts that build in the place of the bridge, which has to be [`crate::Setup::installed`]. It serves after the next kill.
    #[must_use]
    pub fn install(baton: &'a Baton) -> Self {
        baton.install("baton-bridge", &binaries::path("baton-bridge-taken-over"));
        Self(baton)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.home.state.join(name)
    }

    /// In one step: half a name is none.
    fn say(&self, name: &str, text: &str) {
        let aside = self.path(&format!("{name}.test"));
        fs::write(&aside, text).expect("the state directory can be written");
        fs::rename(aside, self.path(name)).expect("the state directory can be written");
    }

    /// Whoever gets to this step waits there.
    pub fn stop_at(&self, step: &str) {
        let _ = fs::remove_file(self.path("taken-over.stopped"));
        self.say("taken-over.stop", step);
    }

    /// Waits until somebody is at that step; the test's deadline bounds it.
    pub async fn until_stopped(&self) {
        while !self.path("taken-over.stopped").exists() {
            tokio::time::sleep(process::LOOK_EVERY).await;
        }
    }

    /// Whoever waits goes on.
    pub fn go_on(&self) {
        let _ = fs::remove_file(self.path("taken-over.stop"));
        let _ = fs::remove_file(self.path("taken-over.stopped"));
    }

    /// Kills the bridge where it stands. The next one stops nowhere.
    ///
    /// # Panics
    /// When no next one comes.
    pub async fn kill(&self) {
        let bridge = self.bridge();
        bridge.kill().await;
        self.go_on();
        let restarted = |status: &baton_proto::api::ServerStatus| status.bridge.pid != bridge.pid;
        let _: baton_proto::api::ServerStatus = self.0.api().get_until("/v1/status", restarted).await;
    }

    /// The bridge's process, by its own word where it has stopped, and found without asking it where it has not.
    fn bridge(&self) -> process::Process {
        let stopped = fs::read_to_string(self.path("taken-over.stopped")).ok();
        if let Some(pid) = stopped.and_then(|pid| pid.parse().ok()) {
            return process::Process::of(pid);
        }
        let all = process::with_environment(&self.0.mark());
        let lines: Vec<_> = all.iter().map(process::Process::command_line).collect();
        let bridge = all.iter().zip(&lines).find(|(_, line)| line.ends_with("/baton-bridge"));
        *bridge.unwrap_or_else(|| panic!("a bridge runs: {lines:?}")).0
    }

    /// Sets the wall clock, and the one that nobody sets, so many seconds off from what they are.
    pub fn set_clocks(&self, wall_s: i64, boot_s: i64) {
        self.say("taken-over.clocks", &format!("{wall_s} {boot_s}"));
    }
}
