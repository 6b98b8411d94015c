//! What every command needs to know first: where Baton keeps things, and what is configured.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use baton_proto::ClientId;
use baton_proto::config::Config;
use baton_proto::home::Home;
use uuid::Uuid;

use crate::launcher::{is_running, launcher_file};
use crate::report::Report;

/// Where Baton keeps things, from the environment.
#[derive(Debug)]
pub struct Context {
    /// Its directories.
    pub home: Home,
}

impl Context {
    /// Reads the environment. A Baton that runs already may have its sockets elsewhere: it was started in another login,
    /// or this command is in none. It says where.
    pub fn from_env() -> Result<Self, Report> {
        let mut home = Home::from_env(|name| std::env::var(name).ok()).map_err(|err| {
            Report::failed("Baton has no home").why(err).hint("set HOME, or BATON_HOME to an absolute path")
        })?;
        if is_running(&home).unwrap_or(false)
            && let Some(runtime) = launcher_file(&home).and_then(|file| file.runtime)
        {
            home.runtime = runtime;
        }
        Ok(Self { home })
    }

    /// Reads the configuration.
    pub fn config(&self) -> Result<Config, Report> {
        let path = self.home.config_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => String::new(),
            Err(err) => return Err(Report::failed(format!("`{}` cannot be read", path.display())).why(err)),
        };
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(&text, env).map_err(|err| {
            Report::usage("the configuration is not valid")
                .why(err)
                .hint(format!("it is read from `{}` and from BATON_… variables", path.display()))
        })
    }

    /// Makes the directories that are missing, for this user only.
    pub fn make_directories(&self) -> Result<(), Report> {
        for path in [&self.home.config, &self.home.state, &self.home.runtime, &self.home.logs_dir()] {
            make_private(path)?;
        }
        Ok(())
    }

    /// Who the scripted commands (`claim`, `send`, `exec` …) are: one client, so that a claim is worth something to the
    /// next command.
    pub fn scripted_client(&self) -> Result<ClientId, Report> {
        let path = self.home.state.join("cli-client-id");
        let cannot = |err: std::io::Error| Report::failed(format!("`{}` cannot be used", path.display())).why(err);
        for _ in 0..2 {
            match fs::read_to_string(&path) {
                Ok(text) => {
                    return text.trim().parse().map_err(|err| {
                        Report::failed(format!("`{}` is damaged", path.display()))
                            .why(err)
                            .hint("remove the file; it is made anew")
                    });
                }
                Err(err) if err.kind() == ErrorKind::NotFound => {}
                Err(err) => return Err(cannot(err)),
            }
            make_private(&self.home.state)?;
            // Written beside and linked into place, so that two first commands end up as the same client.
            let fresh = self.home.state.join(format!("cli-client-id.{}", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)
                .map_err(cannot)?;
            file.write_all(ClientId::from(Uuid::new_v4()).as_str().as_bytes()).map_err(cannot)?;
            let linked = fs::hard_link(&fresh, &path);
            let _ = fs::remove_file(&fresh);
            match linked {
                Err(err) if err.kind() != ErrorKind::AlreadyExists => return Err(cannot(err)),
                _ => {}
            }
        }
        Err(Report::failed(format!("`{}` comes and goes", path.display())))
    }
}

fn make_private(path: &Path) -> Result<(), Report> {
    let cannot =
        |err: std::io::Error| Report::failed(format!("the directory `{}` cannot be used", path.display())).why(err);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot)?;
    let metadata = fs::metadata(path).map_err(cannot)?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Report::new(
            crate::report::Exit::Denied,
            format!("the directory `{}` belongs to somebody else", path.display()),
        )
        .why("Baton keeps keys and sockets there, which only you may reach"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_scripted_client_stays_the_same() {
        let directory = std::env::temp_dir().join(format!("baton-context-{}", std::process::id()));
        let context = Context { home: Home::below(&directory) };
        let first = context.scripted_client().unwrap();
        assert_eq!(context.scripted_client().unwrap(), first);
        context.make_directories().unwrap();
        assert_eq!(fs::metadata(&context.home.runtime).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir_all(directory).unwrap();
    }
}
