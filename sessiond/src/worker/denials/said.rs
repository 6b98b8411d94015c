//! What a program said that was refused something: its words, and the paths in them. Pure.
//!
//! Programs say it in the words of strerror(3), with the path somewhere on the same line. Which of it was the sandbox's
//! doing is not for this file to say.

/// Bytes of a line that are looked at.
const LINE_BYTES_MAX: usize = 4096;
/// Complaints of one command.
const COMPLAINTS_MAX: usize = 16;
/// Paths of one line.
const PATHS_MAX: usize = 6;

/// The error that a line speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// EACCES.
    Denied,
    /// EROFS.
    ReadOnly,
    /// ENOENT.
    Absent,
}

/// What the line says was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// Nothing that is understood.
    Unsaid,
    /// Something was to be made.
    Create,
    /// Something was to be removed.
    Delete,
}

/// One line that complains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Of what.
    pub error: Error,
    /// About which attempt.
    pub meant: Meant,
    /// What could be a path in it, the likeliest first; as written.
    pub paths: Vec<String>,
}

/// The complaints in a command's output, the newest first.
#[must_use]
pub fn complaints(output: &[u8]) -> Vec<Complaint> {
    let text = plain(output);
    let mut found = Vec::new();
    for line in text.lines().rev().filter(|line| line.len() <= LINE_BYTES_MAX) {
        if found.len() >= COMPLAINTS_MAX {
            break;
        }
        let lower = line.to_lowercase();
        let Some(error) = error(&lower) else { continue };
        let paths = paths(line);
        if !paths.is_empty() {
            found.push(Complaint { error, meant: meant(&lower), paths });
        }
    }
    found
}

fn error(lower: &str) -> Option<Error> {
    // Node has the number's name and no more than that in some messages.
    if lower.contains("permission denied") || lower.contains("eacces") {
        Some(Error::Denied)
    } else if lower.contains("read-only file system") || lower.contains("erofs") {
        Some(Error::ReadOnly)
    } else if lower.contains("no such file or directory") || lower.contains("enoent") {
        Some(Error::Absent)
    } else {
        None
    }
}

fn meant(lower: &str) -> Meant {
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["remove", "unlink", "rmdir", "delete"]) {
        Meant::Delete
    } else if says(&["create", "touch", "mkdir", "symlink", "hard link"]) {
        Meant::Create
    } else {
        Meant::Unsaid
    }
}

/// What is quoted, then what stands between colons, then what looks like a path.
fn paths(line: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let mut push = |text: &str| {
        let text = text.trim();
        let known = paths.iter().any(|path| path == text);
        if !text.is_empty() && !known && !text.contains('\0') && paths.len() < PATHS_MAX {
            paths.push(text.to_owned());
        }
    };
    for (open, close) in [('\'', '\''), ('‘', '’'), ('"', '"'), ('`', '`'), ('`', '\'')] {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once(open) {
            let Some((quoted, after)) = after.split_once(close) else { break };
            push(quoted);
            rest = after;
        }
    }
    let parts: Vec<&str> = line.split(": ").collect();
    // The first is who says it, and a number is that of a line.
    let said = parts.get(1..).filter(|said| !said.is_empty()).unwrap_or(&parts);
    for part in said.iter().filter(|_| parts.len() > 1) {
        let number = part.bytes().all(|byte| byte.is_ascii_digit());
        if !number && (part.starts_with('/') || !part.contains(' ')) {
            push(part);
        }
    }
    for word in said.iter().flat_map(|part| part.split_ascii_whitespace()) {
        let word = word.trim_matches([':', ',', ';', '(', ')', '\'', '"', '`']);
        if word.starts_with('/') {
            push(word);
        }
    }
    // An error's name between colons is no path.
    paths.retain(|path| error(&path.to_lowercase()).is_none());
    paths
}

/// The text of terminal output: without escape sequences and other control characters.
fn plain(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => match chars.next() {
                // CSI: up to its final byte.
                Some('[') => {
                    chars.by_ref().find(|char| ('@'..='~').contains(char));
                }
                // A string: up to BEL or ST.
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    while let Some(char) = chars.next() {
                        if char == '\u{7}' || (char == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\n' => plain.push('\n'),
            '\t' => plain.push(' '),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn check(line: &str, error: Error, meant: Meant, first: &str) {
        let found = complaints(line.as_bytes());
        assert_eq!(found.len(), 1, "{line}");
        assert!(baton_proto::denied::complains(line), "clients wait for what is said of it: {line}");
        assert_eq!((found[0].error, found[0].meant), (error, meant), "{line}");
        assert_eq!(found[0].paths.first().map(String::as_str), Some(first), "{line}: {:?}", found[0].paths);
    }

    #[test]
    fn what_programs_say() {
        use Error::{Absent, Denied, ReadOnly};
        use Meant::{Create, Delete, Unsaid};
        for (line, error, meant, first) in [
            ("cat: /etc/shadow: Permission denied", Denied, Unsaid, "/etc/shadow"),
            ("bash: /usr/x: Read-only file system", ReadOnly, Unsaid, "/usr/x"),
            ("bash: line 1: out/x: Permission denied", Denied, Unsaid, "out/x"),
            ("/bin/sh: 1: cannot create /usr/x: Read-only file system", ReadOnly, Create, "/usr/x"),
            ("touch: cannot touch '/usr/a b': Read-only file system", ReadOnly, Create, "/usr/a b"),
            ("mkdir: cannot create directory ‘/usr/x’: Permission denied", Denied, Create, "/usr/x"),
            ("rm: cannot remove 'notes/x': Permission denied", Denied, Delete, "notes/x"),
            ("PermissionError: [Errno 13] Permission denied: '/root/x'", Denied, Unsaid, "/root/x"),
            ("Error: EROFS: read-only file system, open '/usr/x'", ReadOnly, Unsaid, "/usr/x"),
            ("cat: /home/u/.ssh/id: No such file or directory", Absent, Unsaid, "/home/u/.ssh/id"),
            ("\u{1b}[31mls:\u{1b}[0m cannot open directory '/var/x': Permission denied\r", Denied, Unsaid, "/var/x"),
        ] {
            check(line, error, meant, first);
        }
    }

    #[test]
    fn other_lines_say_nothing_and_there_are_not_too_many() {
        for line in ["", "fine", "Permission denied", "sudo: Permission denied (publickey)"] {
            let found = complaints(line.as_bytes());
            assert!(
                found.iter().all(|complaint| complaint.paths.iter().all(|path| !path.starts_with('/'))),
                "{found:?}"
            );
        }
        let many = "cat: /x: Permission denied\n".repeat(1000);
        assert_eq!(complaints(many.as_bytes()).len(), COMPLAINTS_MAX);
        let wide = format!("cat: {}: Permission denied", "/x ".repeat(LINE_BYTES_MAX));
        assert!(complaints(wide.as_bytes()).is_empty());
        let paths = format!("ls: {}: Permission denied", (0..100).map(|n| format!("/{n} ")).collect::<String>());
        assert_eq!(complaints(paths.as_bytes())[0].paths.len(), PATHS_MAX);
    }

    /// What holds for any output: so many complaints, so many paths, and none of them longer than a line or more than text.
    fn holds(bytes: &[u8]) {
        let found = complaints(bytes);
        assert!(found.len() <= COMPLAINTS_MAX, "{bytes:?}");
        for complaint in &found {
            assert!((1..=PATHS_MAX).contains(&complaint.paths.len()), "{bytes:?}: {complaint:?}");
            for path in &complaint.paths {
                assert!(path.len() <= LINE_BYTES_MAX && !path.chars().any(char::is_control), "{bytes:?}: {path:?}");
            }
        }
    }

    #[test]
    fn sequences_and_characters_that_never_end_are_taken() {
        for bytes in [&b"\x1b["[..], b"\x1b]0;x", b"\x1b", b"\xe2\x80", b"'\x1b[m: Permission denied'"] {
            holds(bytes);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            holds(&bytes);
        }

        /// Made of what this file looks for, so that more than the first look is tried.
        #[test]
        fn any_complaints_are_taken(parts in prop::collection::vec(
            prop_oneof![
                select(vec![
                    "Permission denied", "EACCES", "Read-only file system", "No such file or directory", "\x1b[", "\x1b]", "\u{7}",
                    "\x1b\\", "'", "\"", "`", "‘", "’", ": ", "\n", "/", "/usr/x ", "cannot remove", "touch", "\0", "\u{9d}", "1",
                ]).prop_map(|text| text.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..8),
                (1_usize..LINE_BYTES_MAX + 8).prop_map(|count| b"x".repeat(count)),
            ],
            0..96,
        )) {
            holds(&parts.concat());
        }
    }
}
