//! The peers: how each keeps a script's terminal, and how it is attached to.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// A peer that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Redraws from its own grid.
    Tmux,
    /// The same.
    Screen,
}

impl Peer {
    /// Those that are installed.
    pub fn installed() -> Vec<Self> {
        [Self::Tmux, Self::Screen].into_iter().filter(|peer| peer.version().is_some()).collect()
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tmux => "tmux",
            Self::Screen => "screen",
        }
    }

    /// What it calls itself, if it is there.
    pub fn version(self) -> Option<String> {
        let flag = if self == Self::Tmux { "-V" } else { "-v" };
        let output = Command::new(self.name()).arg(flag).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    /// Starts a detached session that runs a shell script. Its history is as long as the script's output.
    pub fn start(self, dir: &Path, script: &str) -> Result<()> {
        let mut command = Command::new(self.name());
        match self {
            Self::Tmux => {
                let conf = dir.join("tmux.conf");
                std::fs::write(&conf, "set -g history-limit 200000\n")?;
                command.arg("-S").arg(dir.join("tmux")).arg("-f").arg(conf);
                command.args(["new-session", "-d", "-x", "120", "-y", "40", script]);
            }
            Self::Screen => {
                let conf = dir.join("screenrc");
                std::fs::write(&conf, "defscrollback 200000\nstartup_message off\n")?;
                command.env("SCREENDIR", dir).arg("-c").arg(conf);
                command.args(["-dmS", "bench", "/bin/sh", "-c", script]);
            }
        }
        ensure!(command.stdin(Stdio::null()).status()?.success(), "{} does not start", self.name());
        Ok(())
    }

    /// The command line that attaches, and its environment.
    pub fn attach(self, dir: &Path) -> (Vec<String>, Vec<(String, String)>) {
        let socket = dir.join("tmux").display().to_string();
        match self {
            Self::Tmux => (["tmux", "-S", &socket, "attach"].map(str::to_owned).to_vec(), Vec::new()),
            Self::Screen => (
                ["screen", "-x", "bench"].map(str::to_owned).to_vec(),
                vec![("SCREENDIR".to_owned(), dir.display().to_string())],
            ),
        }
    }

    /// Ends it.
    pub fn stop(self, dir: &Path) {
        let mut command = Command::new(self.name());
        match self {
            Self::Tmux => command.arg("-S").arg(dir.join("tmux")).arg("kill-server"),
            Self::Screen => command.env("SCREENDIR", dir).args(["-S", "bench", "-X", "quit"]),
        };
        if !command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("{} was not ended", self.name());
        }
    }
}
