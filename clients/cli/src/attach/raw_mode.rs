//! The terminal in raw mode, and its way back whatever happens: the guard restores it when it is dropped, and so does a
//! panic of any thread before its message is printed.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::reset;
use super::screen::Modes;

/// How the terminal was, and what programs have turned on since; `None` while it is not in raw mode.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

static HOOK: Once = Once::new();

#[derive(Debug)]
struct Before {
    termios: Termios,
    modes: Modes,
}

/// Keeps the window's title on the terminal's stack, and takes it from there.
const KEEP_TITLE: &[u8] = b"\x1b[22;0t";
const OWN_TITLE: &[u8] = b"\x1b[23;0t";

/// The terminal is in raw mode for as long as this lives.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Puts the terminal of stdin into raw mode.
    pub fn enter() -> io::Result<Self> {
        let termios = tcgetattr(io::stdin())?;
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore(true);
                usual(info);
            }));
        });
        *before() = Some(Before { termios: termios.clone(), modes: Modes::default() });
        let guard = Self(());
        guard.apply(termios)?;
        // What the program titles its window is the program's: the user's own title comes back at the end.
        write_to_terminal(KEEP_TITLE);
        Ok(guard)
    }

    /// Notes what programs have turned on, for the way back.
    pub fn note(&self, modes: Modes) {
        if let Some(before) = before().as_mut() {
            before.modes = modes;
        }
    }

    /// The terminal as it was, until [`Self::resume`]: this process is about to be stopped.
    pub fn suspend(&self) {
        if let Some(state) = before().as_ref() {
            give_back(state, b"");
        }
    }

    /// After [`Self::suspend`], what [`Self::reenter`] does not.
    pub fn resume(&self) {
        write_to_terminal(KEEP_TITLE);
    }

    /// Raw mode again: the process was stopped, and a shell took the terminal back meanwhile.
    pub fn reenter(&self) -> io::Result<()> {
        self.apply(tcgetattr(io::stdin())?)
    }

    fn apply(&self, mut termios: Termios) -> io::Result<()> {
        cfmakeraw(&mut termios);
        Ok(tcsetattr(io::stdin(), SetArg::TCSANOW, &termios)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(false);
    }
}

fn before() -> std::sync::MutexGuard<'static, Option<Before>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn restore(panicking: bool) {
    let Some(state) = before().take() else { return };
    give_back(&state, if panicking { b"\r\n" } else { b"" });
}

/// Modes, title and settings as they were, and then some bytes more.
fn give_back(state: &Before, last: &[u8]) {
    let mut out = reset::bytes(state.modes);
    out.extend_from_slice(OWN_TITLE);
    out.extend_from_slice(last);
    write_to_terminal(&out);
    // Nothing better can be done about a terminal that is gone.
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &state.termios);
}

/// To stdout if it is a terminal.
fn write_to_terminal(bytes: &[u8]) {
    use std::io::IsTerminal;
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        // A terminal that is gone needs no reset.
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }
}
