//! A configuration file and an environment variable of somebody else's making.

use baton_proto::config::Config;

/// The bytes are a file's text and, behind a zero byte, a variable's name and value.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\0');
    let (file, name, value) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let variable = name.map(|name| (format!("BATON_{name}"), value.unwrap_or("").to_owned()));
    match Config::load(file, variable.into_iter()) {
        Ok(config) => {
            // What was read can be written down and means the same.
            let written = serde_json::to_value(&config).unwrap_or_else(|err| panic!("{config:?} has no JSON: {err}"));
            let read: Config = serde_json::from_value(written).unwrap_or_else(|err| panic!("{config:?}: {err}"));
            assert_eq!(read, config);
        }
        Err(err) => assert!(!err.to_string().is_empty()),
    }
}
