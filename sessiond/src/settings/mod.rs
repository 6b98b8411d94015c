//! The configuration, as launcher and sessiond read it when they start, and as sessiond changes it for the bridge.

pub mod edit;

use baton_proto::config::Config;
use baton_proto::home::Home;

/// Reads the configuration. One that can't be read or is refused is told of, and the defaults hold; but where it speaks of
/// confinement, the strictest is assumed: a slip of the pen elsewhere in the file must not open what it closes.
#[must_use]
pub fn load(home: &Home) -> Config {
    let path = home.config_file();
    let (text, unread) = match std::fs::read_to_string(&path) {
        Ok(text) => (text, false),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => (String::new(), false),
        Err(err) => {
            tracing::error!("the configuration can't be read, defaults hold: {err}");
            (String::new(), true)
        }
    };
    let env = environment();
    match Config::load(&text, env.iter().cloned()) {
        Ok(config) if !unread => config,
        Ok(config) => strictest(config, "sandbox"),
        Err(err) => {
            tracing::error!("the configuration is refused, defaults hold: {err}");
            let said: String = env
                .iter()
                .filter(|(name, _)| name.starts_with("BATON_SANDBOX__"))
                .map(|(name, _)| name.as_str())
                .collect();
            strictest(Config::default(), &format!("{text}{}", said.to_lowercase()))
        }
    }
}

/// The environment's variables that are text.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn strictest(mut config: Config, said: &str) -> Config {
    if said.contains("sandbox") {
        config.sandbox.allow_host = false;
        config.sandbox.require = true;
        tracing::error!("it speaks of `sandbox`: until it is corrected, no session runs unconfined, nor half confined");
    }
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_mistake_in_the_file_does_not_open_what_the_file_closes() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        std::fs::create_dir_all(&home.config).unwrap();
        let of = |text: &str| {
            std::fs::write(home.config_file(), text).unwrap();
            load(&home).sandbox
        };
        assert!(!of("[sandbox]\nallow_host = false\n").allow_host);
        assert!(of("[sandbox]\nrequire = true\n").require);
        let slip = of("[sandbox]\nallow_host = false\n[server]\nbogus = 1\n");
        assert!(!slip.allow_host && slip.require);
        assert!(of("[server]\nbogus = 1\n").allow_host);
        std::fs::remove_file(home.config_file()).unwrap();
        assert!(load(&home).sandbox.allow_host);
    }
}
