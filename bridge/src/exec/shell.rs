//! What differs between shells: how text is quoted, and how a line is written that marks its own beginning and end.
//!
//! Such a line is seen: the shell echoes what is typed. So the first thing it does is to go back to where the echo began, erase
//! it, and write the command there instead, as if nothing else had been typed:
//!
//! ```text
//!  printf '\e[1A\e[3G\e[J%s\n\e]7717;NONCE\a' 'COMMAND';eval ' COMMAND';printf '\e]7717;NONCE;%s\a' $?
//! ```
//!
//! Only the screen is tidied. The journal has every byte that came: who searches it or plays it back finds the line; and the
//! shell's history has it too, unless the shell is told to leave out what begins with a blank, as it does.

/// Bytes that fit into a line of a terminal in canonical mode (4095, `N_TTY_BUF_SIZE` - 1), with room for the blank and the
/// kill character before it.
const CANONICAL_BYTES_MAX: usize = 4000;

/// A kind of shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    /// Any other, taken for one that speaks POSIX.
    Plain,
}

/// Where the shell's prompt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PromptEnd {
    /// Cells before it in its row.
    pub(super) column: usize,
    /// Columns of the terminal.
    pub(super) cols: usize,
    /// Rows of the terminal.
    pub(super) rows: usize,
}

impl Shell {
    /// By the command line of what runs in the foreground.
    pub(super) fn of(command: &str) -> Self {
        match name(command) {
            "bash" => Self::Bash,
            "zsh" => Self::Zsh,
            "fish" => Self::Fish,
            _ => Self::Plain,
        }
    }

    /// The status that it has after a line that it could not parse.
    pub(super) const fn syntax_error(self) -> i32 {
        match self {
            Self::Zsh => 1,
            // `STATUS_ILLEGAL_CMD`.
            Self::Fish => 123,
            Self::Bash | Self::Plain => 2,
        }
    }

    /// The longest line of this shell, in bytes: shells with an editor of their own read as much as one likes.
    const fn line_bytes_max(self) -> usize {
        match self {
            Self::Plain => CANONICAL_BYTES_MAX,
            Self::Bash | Self::Zsh | Self::Fish => usize::MAX,
        }
    }

    /// A word that is this text. All of it is printable ASCII, so that it takes as many cells as it has bytes, and asks the
    /// shell's editor for nothing; but for a plain shell, which has no spelling for the rest.
    fn quoted(self, text: &str) -> String {
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match self {
            Self::Fish => fish_quoted(text),
            Self::Bash | Self::Zsh if !plain => {
                text.bytes().fold("$'".to_owned(), |word, byte| match byte {
                    // Some shells expand history within this kind of quotes.
                    b'\'' | b'\\' | b'!' => word + &format!("\\{byte:03o}"),
                    b' '..=b'~' => word + char::from(byte).encode_utf8(&mut [0; 4]),
                    _ => word + &format!("\\{byte:03o}"),
                }) + "'"
            }
            Self::Bash | Self::Zsh | Self::Plain => format!("'{}'", text.replace('\'', r"'\''")),
        }
    }

    /// The line that runs a command between two marks; and, if it is known where the line begins, shows the command instead of
    /// itself. Nothing if it would be too long, or the shell cannot be told of a line's end within a command.
    pub(super) fn line(self, command: &str, nonce: &str, prompt: Option<PromptEnd>) -> Option<String> {
        if self == Self::Plain && command.contains(['\n', '\t']) {
            return None;
        }
        let tidy = prompt.and_then(|prompt| self.tidy_line(command, nonce, prompt));
        tidy.or_else(|| {
            let line = self.marked(command, nonce, "", "");
            (line.len() <= self.line_bytes_max()).then_some(line)
        })
    }

    /// A line that erases its own echo. How far to go back depends on the line's length, and that on how far it goes back.
    fn tidy_line(self, command: &str, nonce: &str, prompt: PromptEnd) -> Option<String> {
        let escape = self.escape();
        let PromptEnd { column, cols, rows } = prompt;
        let mut up = 1;
        for _ in 0..4 {
            let erase = format!("{escape}[{up}A{escape}[{}G{escape}[J%s\\n", column + 1);
            let mut line = self.marked(command, nonce, &erase, &self.quoted(command));
            if !line.is_ascii() || line.len() > self.line_bytes_max() || column >= cols {
                return None;
            }
            // A row that is just full leaves it to the editor where it goes on.
            if (column + line.len()).is_multiple_of(cols) {
                line.push(' ');
            }
            let taken = (column + line.len()) / cols + 1;
            if taken >= rows {
                // Its beginning has left the screen.
                return None;
            }
            if taken == up {
                return Some(line);
            }
            up = taken;
        }
        None
    }

    const fn escape(self) -> &'static str {
        match self {
            Self::Plain => r"\033",
            Self::Bash | Self::Zsh | Self::Fish => r"\e",
        }
    }

    fn marked(self, command: &str, nonce: &str, before: &str, shown: &str) -> String {
        let escape = self.escape();
        // What begins with a blank is not taken for an option.
        let eval = self.quoted(&format!(" {command}"));
        let begin = format!(r" printf '{before}{escape}]7717;{nonce}\a' {shown}");
        let begin = begin.trim_end();
        let end = format!(r"printf '{escape}]7717;{nonce};%s\a'");
        match self {
            Self::Bash => format!("{begin};eval {eval};{end} $?"),
            // After `return`, an error or an interrupt zsh gives up the rest of a line, but not this.
            Self::Zsh => format!("{begin};{{eval {eval}}} always {{{end} $?}}"),
            Self::Fish => format!("{begin};eval {eval};{end} $status"),
            // A syntax error within a special builtin ends the line, unless it is called this way.
            Self::Plain => format!("{begin};command eval {eval};{end} $?"),
        }
    }
}

/// The program's name in a command line.
pub(super) fn name(command: &str) -> &str {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default().trim_start_matches('-')
}

/// fish knows escapes outside of quotes only.
fn fish_quoted(text: &str) -> String {
    let mut word = String::from("'");
    for byte in text.bytes() {
        match byte {
            b'\'' | b'\\' => word.extend(['\\', char::from(byte)]),
            b' '..=b'~' => word.push(char::from(byte)),
            b'\n' => word.push_str(r"'\n'"),
            _ => word.push_str(&format!(r"'\X{byte:02x}'")),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const SHELLS: [(Shell, &str); 4] =
        [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish"), (Shell::Plain, "dash")];

    #[test]
    fn shells_are_known_by_their_name() {
        assert_eq!(Shell::of("-bash"), Shell::Bash);
        assert_eq!(Shell::of("/usr/bin/fish -l"), Shell::Fish);
        assert_eq!(Shell::of("zsh -d -i"), Shell::Zsh);
        assert_eq!(Shell::of("dash"), Shell::Plain);
        assert_eq!(Shell::of(""), Shell::Plain);
    }

    #[test]
    fn real_shells_run_the_command_between_the_marks_and_tell_its_status() {
        let prompt = PromptEnd { column: 2, cols: 80, rows: 24 };
        let commands = [
            (r#"printf '%s.' 'a b' "c\\n" '!x' ; false"#, "a b.c\\\\n.!x.", 1),
            ("# nothing", "", 0),
            ("echo 'é€日'", "é€日\n", 0),
        ];
        for (shell, program) in SHELLS {
            for (command, said, code) in commands {
                let said = if shell == Shell::Fish { said.replace("\\\\", "\\") } else { said.replace("\\\\n", "\\n") };
                for prompt in [None, Some(prompt)] {
                    let line = shell.line(command, "N", prompt).unwrap();
                    let output = Command::new(program).args(["-c", &line]).output().unwrap();
                    let output = String::from_utf8(output.stdout).unwrap();
                    let (shown, rest) = output.split_once("\x1b]7717;N\x07").unwrap();
                    assert_eq!(rest, format!("{said}\x1b]7717;N;{code}\x07"), "{program}: {line}");
                    let tidy = prompt.is_some() && line.is_ascii();
                    assert_eq!(shown.ends_with(&format!("\x1b[3G\x1b[J{command}\n")), tidy, "{program}: {shown:?}");
                }
            }
        }
    }

    #[test]
    fn a_command_of_several_lines_is_one_word() {
        for (shell, program) in SHELLS {
            let line = shell.line("cat <<E\nit's\there\nE\n", "N", None);
            if shell == Shell::Plain {
                assert_eq!(line, None);
                continue;
            }
            let line =
                if shell == Shell::Fish { shell.line("echo \"it's\there\n\"", "N", None) } else { line }.unwrap();
            assert!(!line.contains(['\n', '\t']));
            let output = Command::new(program).args(["-c", &line]).output().unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            assert!(output.contains("\x07it's\there\n") && output.ends_with(";0\x07"), "{program}: {output:?}");
        }
    }

    #[test]
    fn it_goes_back_as_many_rows_as_its_echo_takes() {
        for cols in [20, 37, 80, 81, 132] {
            for length in 1..200 {
                let prompt = PromptEnd { column: 5, cols, rows: 100 };
                let line = Shell::Bash.line(&"x".repeat(length), "12345678", Some(prompt)).unwrap();
                let taken = (5 + line.len()) / cols + 1;
                assert!(line.starts_with(&format!(r" printf '\e[{taken}A\e[6G\e[J%s\n\e]")), "{cols} {length}: {line}");
                assert!(!(5 + line.len()).is_multiple_of(cols), "{cols} {length}: {line}");
            }
        }
        // What would not be on the screen any more is left as it is.
        let small = PromptEnd { column: 5, cols: 20, rows: 3 };
        assert!(Shell::Bash.line("true", "N", Some(small)).unwrap().starts_with(r" printf '\e]7717;N\a';eval ' true'"));
    }

    #[test]
    fn what_is_too_long_for_a_plain_terminals_line_is_not_typed() {
        let prompt = Some(PromptEnd { column: 2, cols: 80, rows: 200 });
        let long = "x".repeat(2500);
        assert!(Shell::Plain.line(&long, "N", prompt).unwrap().starts_with(r" printf '\033]7717;N\a'"));
        assert_eq!(Shell::Plain.line(&"'".repeat(2000), "N", prompt), None);
        assert!(Shell::Bash.line(&"'".repeat(3500), "N", None).is_some());
    }
}
