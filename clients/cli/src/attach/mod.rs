//! `baton attach`: this terminal becomes a window on a session.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`live`] | the loop: terminal, stream, signals and time come together, one owner of all state |
//! | [`control`] | who has control, as this client sees it |
//! | [`facts`] | what this terminal is like |
//! | [`keys`] | what comes from the terminal: keys, reports, answers |
//! | [`window`] | what was typed and not yet acknowledged |
//! | [`screen`] | a glance at the output: modes, boundaries; what asks the terminal for an answer |
//! | [`mirror`] | the session's screen, computed as the worker computes it |
//! | [`paint`] | that screen on a terminal of another size |
//! | [`notice`] | remarks of Baton's own that leave the program's screen alone |
//! | [`stream`] | one WebSocket |
//! | [`terminal`] | threads that read and write the terminal |
//! | [`raw_mode`], [`reset`] | the way into raw mode and the way back, whatever happens |

mod control;
mod facts;
mod keys;
mod live;
mod mirror;
mod notice;
mod paint;
mod raw_mode;
mod reset;
pub mod screen;
pub mod stream;
mod terminal;
mod window;

use std::fs;
use std::io::{self, IsTerminal};
use std::time::Duration;

use baton_proto::api::{Exit as ProgramExit, Session};

use crate::api::Api;
use crate::args::AttachArgs;
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::report::{Exit, Report, clean_line};

use keys::DetachKey;
pub use terminal::size;

/// How this client wants to be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With control if it is free.
    Control,
    /// With control, whoever has it.
    Take,
    /// Only watching.
    ReadOnly,
}

/// How an attached session was left.
#[derive(Debug)]
enum Left {
    /// By the detach key, or because the terminal is gone.
    Detached,
    /// By a signal to this process.
    Signal(i32),
    /// The program ended.
    Ended(ProgramExit),
    /// A newer connection with this client id took over.
    Replaced,
    /// Somebody else let this client leave.
    SentAway,
    /// It cannot go on.
    Failed(Report),
}

/// How long the bridge has to take a farewell.
const FAREWELL: Duration = Duration::from_millis(500);

/// `baton attach`
pub async fn run(context: &Context, args: &AttachArgs) -> Result<u8, Report> {
    needs_terminal(None)?;
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let mode = match (args.read_only, args.take) {
        (true, _) => Mode::ReadOnly,
        (_, true) => Mode::Take,
        _ => Mode::Control,
    };
    attach(&api, context, session, mode).await
}

/// Undoes what output has turned on in the terminal it was written to.
pub fn reset_bytes(screen: &screen::Screen) -> Vec<u8> {
    reset::bytes(screen.modes())
}

/// Refuses early when there is no terminal to attach; `instead` does without.
pub fn needs_terminal(instead: Option<&str>) -> Result<(), Report> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Report::usage("stdin is not a terminal, so there is nothing to attach")
        .hint(instead.unwrap_or("without a terminal use `baton send`, `baton exec`, `baton wait` and `baton log`")))
}

/// Attaches this terminal until the program ends or the person leaves.
pub async fn attach(api: &Api, context: &Context, session: Session, mode: Mode) -> Result<u8, Report> {
    needs_terminal(None)?;
    if session.pid.is_some_and(is_ancestor) {
        return Err(Report::usage(format!("this terminal is `{}` itself", label(&session)))
            .why("attached to itself it would show itself for ever"));
    }
    let config = context.config()?;
    let detach = DetachKey::parse(&config.cli.detach_key).map_err(|why| {
        Report::usage("the configuration has no usable detach key").why(why).hint("set `cli.detach_key`")
    })?;
    let name = label(&session);
    let id = session.id;
    // What `baton new -d` or `baton claim` holds here is the same person's: attaching takes it over.
    let scripted = context.scripted_client()?;
    let ours = session.lease.as_ref().is_some_and(|lease| lease.owner == scripted);
    let mode = if mode == Mode::Control && ours { Mode::Take } else { mode };
    let left = live::run(api, session, mode, detach).await?;
    farewell(api, &name, id, left).await
}

/// Says on the restored terminal what happened, and gives the exit code.
async fn farewell(api: &Api, name: &str, id: baton_proto::SessionId, left: Left) -> Result<u8, Report> {
    let remark = |text: &str| {
        if io::stderr().is_terminal() {
            out::remark(&format!("\x1b[2m[{text}]\x1b[0m"))
        } else {
            out::remark(&format!("[{text}]"))
        }
    };
    match left {
        Left::Detached => {
            remark(&format!("detached from {name}; come back with `baton attach {name}`"));
            Ok(0)
        }
        Left::SentAway => {
            remark(&format!("detached from {name} by somebody else"));
            Ok(0)
        }
        Left::Signal(number) => {
            remark(&format!("detached from {name}"));
            Ok(u8::try_from(128 + number).unwrap_or(Exit::Failed as u8))
        }
        Left::Replaced => Err(Report::failed(format!("another connection took the place of this one in `{name}`"))),
        Left::Failed(report) => Err(report),
        Left::Ended(exit) => {
            let closed = match api.session(id).await {
                Ok(detail) => detail.session.status == baton_proto::api::SessionStatus::Closed,
                // A forgotten session tells nothing; the reason says enough.
                Err(_) => !matches!(exit.reason.as_str(), "" | "exit" | "signal" | "status_unknown"),
            };
            let (text, code) = describe(&exit, closed);
            remark(&text);
            Ok(code)
        }
    }
}

/// How a program ended, in words and as an exit code.
fn describe(exit: &ProgramExit, closed: bool) -> (String, u8) {
    let code = match (exit.code, exit.signal) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(1),
        (None, Some(signal)) => u8::try_from((128 + signal) & 0xff).unwrap_or(1),
        (None, None) => Exit::Failed as u8,
    };
    let text = match (closed, exit.code, exit.signal) {
        (true, ..) => format!("closed: {}", clean_line(&exit.reason)),
        (false, Some(code), _) => format!("exited {code}"),
        (false, None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(known) => format!("ended by {known}"),
            Err(_) => format!("ended by signal {signal}"),
        },
        (false, None, None) => format!("ended, how is not known: {}", clean_line(&exit.reason)),
    };
    (text, code)
}

/// Whether `pid` is this process or one it descends from.
fn is_ancestor(pid: u32) -> bool {
    let mut at = std::process::id();
    // A process tree is never this deep; a bound costs nothing.
    for _ in 0..1024 {
        if at == pid {
            return true;
        }
        // `pid (name) state ppid …`, where the name may contain anything, parentheses too.
        let parent = fs::read_to_string(format!("/proc/{at}/stat"))
            .ok()
            .and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        match parent {
            Some(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_decides_the_exit_code() {
        let exit = |code, signal, reason: &str| ProgramExit { code, signal, reason: reason.to_owned() };
        assert_eq!(describe(&exit(Some(3), None, "exit"), false), ("exited 3".to_owned(), 3));
        assert_eq!(describe(&exit(None, Some(9), "signal"), false), ("ended by SIGKILL".to_owned(), 137));
        assert_eq!(describe(&exit(None, Some(1), "done\x1b"), true), ("closed: done\\x1b".to_owned(), 129));
        assert_eq!(describe(&exit(None, None, "status_unknown"), false).1, 1);
    }

    #[test]
    fn ancestors_are_known() {
        assert!(is_ancestor(std::process::id()));
        assert!(is_ancestor(std::os::unix::process::parent_id()));
        assert!(!is_ancestor(u32::MAX));
    }
}
