//! Errors for people: what happened, why, what to do; and the exit code that scripts read.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use baton_proto::ErrorCode;
use baton_proto::api::Problem;
use baton_proto::hidden::{self, is_hidden};

/// Exit codes, stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did not work.
    Failed = 1,
    /// It was asked for in a way that makes no sense.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Somebody else has control.
    Lease = 4,
    /// Not allowed.
    Denied = 5,
    /// Baton does not answer.
    Unreachable = 6,
    /// A person would be asked: `policy explain` only, whose exit code is its answer.
    Asked = 7,
    /// The time was up.
    Timeout = 124,
}

/// Why a command ends with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    exit: Exit,
    what: String,
    why: Option<String>,
    hint: Option<String>,
    code: Option<ErrorCode>,
    silent: bool,
}

impl Report {
    /// An error with its exit code.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, hint: None, code: None, silent: false }
    }

    /// Exit code 1.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// Exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The reader of our output went away: nothing to say, and no failure of ours.
    pub fn reader_gone() -> Self {
        Self { silent: true, ..Self::failed("nobody reads the output") }
    }

    /// Says why.
    #[must_use]
    pub fn why(mut self, why: impl Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the bridge answered, under the words of the command: `what` is what did not work.
    pub fn problem(what: impl Into<String>, problem: &Problem) -> Self {
        let mut report = Self::new(exit_of(problem.code), what).why(&problem.detail);
        report.code = Some(problem.code);
        report.hint = match problem.code {
            ErrorCode::Unauthenticated => {
                Some("the token file may be of another installation; see `baton status`".to_owned())
            }
            ErrorCode::SessiondDown => Some("try again; if it stays so, run `baton down` and `baton up`".to_owned()),
            ErrorCode::Internal => Some(format!("the bridge's log has it as {}", problem.request_id)),
            _ => None,
        };
        report
    }

    /// Names what the bridge calls by its parameters as it is typed here: `q` is `PATTERN`.
    #[must_use]
    pub fn in_words(mut self, words: &[(&str, &str)]) -> Self {
        if let Some(why) = &mut self.why {
            for (parameter, word) in words {
                *why = why.replace(&format!("`{parameter}`"), &format!("`{word}`"));
            }
        }
        self
    }

    /// Why, in one line: for a list in which what was tried stands already.
    pub fn reason(&self) -> &str {
        self.why.as_deref().unwrap_or(&self.what)
    }

    /// The stable code, if the bridge sent one.
    pub const fn code(&self) -> Option<ErrorCode> {
        self.code
    }

    /// What the process ends with.
    pub const fn exit_code(&self) -> u8 {
        if self.silent { 0 } else { self.exit as u8 }
    }

    /// Writes it to stderr.
    pub fn show(&self) {
        if self.silent {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        let (bold, plain) = if stderr.is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        // Nobody is left to be told when stderr is gone.
        let _ = writeln!(stderr, "{bold}baton: {}{plain}", clean(&self.what));
        if let Some(why) = &self.why {
            let _ = writeln!(stderr, "  {}", clean(why).replace('\n', "\n  "));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "  hint: {}", clean(hint));
        }
    }
}

const fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::Invalid => Exit::Usage,
        ErrorCode::NotFound | ErrorCode::ClientNotAttached => Exit::NotFound,
        ErrorCode::LeaseHeld | ErrorCode::NotOwner | ErrorCode::LeaseLost => Exit::Lease,
        ErrorCode::Unauthenticated
        | ErrorCode::Forbidden
        | ErrorCode::Denied
        | ErrorCode::ClientIdTaken
        | ErrorCode::Refused => Exit::Denied,
        ErrorCode::SessiondDown => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// Text that came from elsewhere (titles, names, messages), without what a terminal would obey or not show: each such character
/// stands as what it is called (`\x1b`, `\u{202e}`).
pub fn clean(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(clean_line).collect();
    lines.join("\n")
}

/// As [`clean`], on one line: line ends and tabs stand as `\n`, `\t`.
pub fn clean_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if is_hidden(char) { hidden::escape(char, &mut out) } else { out.push(char) }
    }
    out
}

/// As [`clean_line`], for what somebody decides about: no two texts look the same. A backslash before what would make it look like
/// an escape is doubled.
pub fn exact_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied();
        let is_escape = |next: char| is_hidden(next) || matches!(next, 't' | 'n' | 'r' | 'x' | 'u' | '\\');
        match char {
            '\\' if next.is_some_and(is_escape) => out.push_str("\\\\"),
            char if is_hidden(char) => hidden::escape(char, &mut out),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_bridge_become_exit_codes() {
        for (code, exit) in [
            (ErrorCode::LeaseHeld, 4),
            (ErrorCode::NotFound, 3),
            (ErrorCode::Denied, 5),
            (ErrorCode::SessiondDown, 6),
            (ErrorCode::Invalid, 2),
            (ErrorCode::Busy, 1),
        ] {
            assert_eq!(exit_of(code) as u8, exit, "{code}");
        }
        assert_eq!(Report::reader_gone().exit_code(), 0);
    }

    #[test]
    fn parameters_are_called_by_what_is_typed() {
        let report = Report::usage("no").why("`q` repeats too much, not `quiet`; `at` lies in the future");
        let report = report.in_words(&[("q", "PATTERN"), ("at", "--at")]);
        assert_eq!(report.why.as_deref(), Some("`PATTERN` repeats too much, not `quiet`; `--at` lies in the future"));
    }

    #[test]
    fn foreign_text_cannot_speak_to_the_terminal() {
        assert_eq!(clean_line("a\x1b[2Jb\nc\td"), r"a\x1b[2Jb\nc\td");
        assert_eq!(clean("a\nb\u{9b}c\r\n"), "a\nb\\u{9b}c\\r\n");
        assert_eq!(clean_line("rm \u{202e}fdp.a\u{200b}\u{2028}"), r"rm \u{202e}fdp.a\u{200b}\u{2028}");
        assert_eq!(clean_line("caf\u{e9} e\u{301} 漢字 🦀"), "caf\u{e9} e\u{301} 漢字 🦀");
    }

    #[test]
    fn no_two_texts_look_the_same() {
        assert_eq!(exact_line(r"\d C:\Users"), r"\d C:\Users", "nothing that could be taken for something else");
        let texts = ["\n", r"\n", r"\\n", "\\\n", "\t", r"\t", "\x1b", r"\x1b", "\u{202e}", r"\u{202e}", "\\"];
        let shown: std::collections::HashSet<String> = texts.iter().map(|text| exact_line(text)).collect();
        assert_eq!(shown.len(), texts.len(), "{shown:?}");
    }
}
