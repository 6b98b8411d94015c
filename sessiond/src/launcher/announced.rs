//! `launcher.json`: which launcher runs, where it listens, and where its sockets are. It is in the state directory, and
//! again in the runtime directory for the day on which the state directory is deleted.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use baton_proto::home::{Home, runtime, state};

fn files(home: &Home) -> [PathBuf; 2] {
    [home.state.join(state::LAUNCHER_FILE), home.runtime.join(runtime::LAUNCHER_FILE)]
}

/// Tells who runs here: both files, each replaced as a whole.
///
/// # Errors
/// What the kernel said of the first that could not be written.
pub fn announce(home: &Home, listen: SocketAddr) -> io::Result<()> {
    // A command line whose environment names another runtime directory finds this one. A path that is not text is
    // found by those who have the same environment.
    let runtime = home.runtime.to_str().map(|path| format!(",\"runtime\":{}", quoted(path))).unwrap_or_default();
    let text = format!("{{\"pid\":{},\"listen\":\"{listen}\"{runtime}}}\n", std::process::id());
    let written = files(home).map(|path| {
        let aside = path.with_extension("json.new");
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&aside, &path)
        };
        write().inspect_err(|_| {
            let _ = std::fs::remove_file(&aside);
        })
    });
    written.into_iter().collect()
}

/// Whether both files are there and tell of this process.
#[must_use]
pub fn is_complete(home: &Home) -> bool {
    files(home).iter().all(|path| pid_in(path) == Some(std::process::id()))
}

/// The announcement's end.
pub fn withdraw(home: &Home) {
    for path in files(home) {
        // Whoever reads a stale one finds no such process.
        let _ = std::fs::remove_file(path);
    }
}

/// The process that announced itself.
#[must_use]
pub fn pid(home: &Home) -> Option<u32> {
    files(home).iter().find_map(|path| pid_in(path))
}

fn pid_in(path: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    let (_, rest) = text.split_once("\"pid\":")?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn it_is_told_twice_and_read_from_either() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(&dir.path().join("a \"b\\c\n"));
        for dir in [&home.state, &home.runtime] {
            std::fs::create_dir_all(dir).unwrap();
        }
        assert_eq!((pid(&home), is_complete(&home)), (None, false));
        announce(&home, "127.0.0.1:7420".parse().unwrap()).unwrap();
        let text = std::fs::read_to_string(home.state.join(state::LAUNCHER_FILE)).unwrap();
        assert!(text.contains(r#""listen":"127.0.0.1:7420","runtime":""#), "{text}");
        assert!(text.contains(r#"a \"b\\c\u000a/run"#), "{text}");
        std::fs::remove_dir_all(&home.state).unwrap();
        assert_eq!((pid(&home), is_complete(&home)), (Some(std::process::id()), false));
        withdraw(&home);
        assert_eq!(pid(&home), None);
    }
}
