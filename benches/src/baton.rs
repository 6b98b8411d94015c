//! A Baton of the benchmark's own: the release binaries beside this one, an empty home.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{self, Answer};

/// It ends, with its sessions, when this is dropped.
#[derive(Debug)]
pub struct Baton {
    home: TempDir,
    cli: PathBuf,
    /// `127.0.0.1:…`
    pub address: String,
    /// The owner's token.
    pub token: String,
}

impl Baton {
    /// `baton up` with an empty home.
    pub fn start() -> Result<Self> {
        let cli = std::env::current_exe()?.with_file_name("baton");
        ensure!(cli.is_file(), "{} is missing: `cargo xtask bench` builds it", cli.display());
        let home = tempfile::Builder::new().prefix("bb-").tempdir()?;
        let mut baton = Self { home, cli, address: String::new(), token: String::new() };
        let up = baton.command(&["up"]).stdout(Stdio::null()).status()?;
        ensure!(up.success(), "`baton up` failed");
        let status: Value = serde_json::from_slice(&baton.command(&["status", "--json"]).output()?.stdout)?;
        let text =
            |key: &str| status[key].as_str().map(str::to_owned).with_context(|| format!("status without `{key}`"));
        baton.address = text("url")?.trim_start_matches("http://").trim_end_matches('/').to_owned();
        baton.token = std::fs::read_to_string(text("token_file")?)?.trim().to_owned();
        Ok(baton)
    }

    /// `baton` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cli);
        command.args(arguments).envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Words for a terminal to run: `baton` with these arguments.
    pub fn words(&self, arguments: &[&str]) -> Vec<String> {
        std::iter::once(self.cli.display().to_string()).chain(arguments.iter().map(|&word| word.to_owned())).collect()
    }

    /// What makes a command line find this Baton.
    pub fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        vec![("BATON_HOME".to_owned(), home), ("BATON_LISTEN".to_owned(), "127.0.0.1:0".to_owned())]
    }

    /// A directory for programs, beside Baton's own.
    pub fn scratch(&self) -> Result<PathBuf> {
        let path = self.home.path().join("scratch");
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Asks the API.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::call(&self.address, &self.token, "GET", path, None)
    }

    /// A session of 120x40 that runs a shell script.
    pub fn script(&self, title: &str, script: &str) -> Result<String> {
        self.session(title, &["/bin/sh", "-c", script])
    }

    /// A session of 120x40 that runs a program.
    pub fn session(&self, title: &str, command: &[&str]) -> Result<String> {
        let body = json!({"command": command, "title": title, "cols": 120, "rows": 40});
        let made = http::call(&self.address, &self.token, "POST", "/v1/terminal/sessions", Some(&body))?;
        made.json()?["session_id"].as_str().map(str::to_owned).context("no session id")
    }

    /// Waits until the session's screen shows a text.
    pub fn until(&self, session: &str, text: &str) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            let screen = self.get(&format!("/v1/terminal/sessions/{session}/snapshot?format=text"))?;
            if String::from_utf8_lossy(&screen.body).contains(text) {
                return Ok(());
            }
            ensure!(Instant::now() < limit, "{text} never came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        // Nothing to be done about a failure here but to say it.
        match self.command(&["down", "--sessions"]).stdout(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("`baton down --sessions`: {other:?}"),
        }
    }
}
