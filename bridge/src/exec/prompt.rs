//! The shell's prompt: whether it waits there, and where it is.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::v1::{Inspection, ScreenAt, ScreenFormat, SnapshotRequest};
use serde::Deserialize;

use super::said;
use super::shell::{PromptEnd, Shell};
use crate::hub::marks::Round;
use crate::hub::session::{RestAttachment, Session};
use crate::problem::{Failure, Outcome};
use crate::routes::input::not_owner;
use crate::tail::read_output;

/// How long a fresh shell may take to show its prompt.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// fish listens before it has drawn its prompt. One that takes no cells is waited for in vain for so long.
const DRAWN_WITHIN: Duration = Duration::from_millis(300);
/// How often the prompt is looked for. That a process has gone to sleep is no event: the last that is heard of a shell is its
/// prompt, and it waits for a line only after that.
pub(super) const PROMPT_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of output in which the prompt's own mark is looked for.
const PROMPT_BYTES_MAX: u64 = 8 << 10;

/// A shell that waits for a line.
#[derive(Debug)]
pub(super) struct Prompt {
    /// Its command line.
    pub(super) foreground: String,
    /// Its kind.
    pub(super) shell: Shell,
    /// Output bytes so far.
    pub(super) head: u64,
    /// Where its prompt ends, if that is known.
    pub(super) end: Option<PromptEnd>,
    /// It takes pastes for what they are.
    pub(super) paste: bool,
}

/// What is read of a screen.
#[derive(Debug, Deserialize)]
struct Screen {
    cols: usize,
    rows: usize,
    cursor: Place,
}

#[derive(Debug, Deserialize)]
struct Place {
    col: usize,
    wrap_pending: bool,
}

/// Waits for the prompt of a shell that the client controls. All that was written before it, and every mark in that, has been
/// heard by then.
///
/// # Errors
/// `not_owner`; `busy` when the shell does not wait for a line.
pub(super) async fn wait(session: &Session, attached: &RestAttachment) -> Outcome<Prompt> {
    let deadline = Instant::now() + PROMPT_TIMEOUT;
    let mut undrawn_until = None;
    loop {
        let inspection = session.inspect().await?;
        let owner = inspection.lease.owner.as_ref();
        if owner.is_none_or(|owner| owner.client != attached.presence.identity.client) {
            return Err(not_owner());
        }
        if inspection.exit.is_some() {
            return Err(Failure::new(ErrorCode::SessionEnded, "the session has ended: there is no shell any more"));
        }
        if waits(&inspection) {
            let screen = catch_up(session).await;
            let again = session.inspect().await?;
            let undrawn = screen.as_ref().is_some_and(|screen| screen.cursor.col == 0);
            let patience = *undrawn_until.get_or_insert_with(|| Instant::now() + DRAWN_WITHIN);
            if waits(&again) && again.head == inspection.head && (!undrawn || Instant::now() >= patience) {
                return Ok(of(session, again, screen.filter(|_| !undrawn)));
            }
        }
        if Instant::now() >= deadline {
            let detail = match &inspection.foreground {
                Some((_, command)) => {
                    format!("`{command}` runs in the foreground, or a line is half typed; wait for the prompt")
                }
                None => "the shell does not wait for a line".to_owned(),
            };
            return Err(Failure::new(ErrorCode::Busy, detail));
        }
        tokio::time::sleep(PROMPT_INTERVAL).await;
    }
}

fn of(session: &Session, inspection: Inspection, screen: Option<Screen>) -> Prompt {
    let foreground = inspection.foreground.map_or_else(String::new, |(_, command)| command);
    Prompt {
        shell: Shell::of(&foreground),
        foreground,
        head: inspection.head,
        end: screen.map(|Screen { cols, rows, cursor }| PromptEnd {
            column: cursor.col + usize::from(cursor.wrap_pending),
            cols,
            rows,
        }),
        paste: session.live().screen.bracketed_paste,
    }
}

/// Whether a shell sits at its prompt. On the other screen there is none: fish shows its help there, within itself.
pub(super) fn waits(inspection: &Inspection) -> bool {
    inspection.at_prompt && inspection.input_queued == 0 && !inspection.screen.alt_screen
}

/// Has the worker draw the screen: whatever it found in the output up to here it has told by then. The screen is worth reading
/// only where a line has to be tidied.
async fn catch_up(session: &Session) -> Option<Screen> {
    let format = if session.live().round == Round::Prompt { ScreenFormat::Text } else { ScreenFormat::Json };
    let request = SnapshotRequest { at: ScreenAt::Head, format, history: 0 };
    let drawn = match session.snapshot(request).await {
        Ok(drawn) => drawn,
        // Output that breaks the screen's engine does not keep a command from being run.
        Err(failure) => {
            tracing::debug!(session = %session.id, "the screen at the prompt: {failure}");
            return None;
        }
    };
    serde_json::from_slice(&drawn.payload()).ok()
}

/// Whether the prompt that the shell waits at was marked by that shell: the newest mark may be of a program that it ran.
///
/// # Errors
/// As [`read_output`].
pub(super) async fn is_marked(session: &Session, head: u64) -> Outcome<bool> {
    if session.live().round != Round::Prompt {
        return Ok(false);
    }
    let (_, bytes) = read_output(session, head.saturating_sub(PROMPT_BYTES_MAX), head).await?;
    Ok(said::is_marked_prompt(&bytes))
}

/// Whether the shell waits for a line. Every mark of what it wrote before that has been told by then.
///
/// # Errors
/// As [`Session::inspect`].
pub(super) async fn is_shown(session: &Session) -> Outcome<bool> {
    if !waits(&session.inspect().await?) {
        return Ok(false);
    }
    catch_up(session).await;
    Ok(waits(&session.inspect().await?))
}

/// Whether the shell is back at a prompt with everything heard that it wrote, up to `heard`.
///
/// # Errors
/// As [`Session::inspect`].
pub(super) async fn is_back(session: &Session, heard: u64) -> Outcome<Option<String>> {
    let inspection = session.inspect().await?;
    if !waits(&inspection) || inspection.head != heard {
        return Ok(None);
    }
    catch_up(session).await;
    let again = session.inspect().await?;
    let back = waits(&again) && again.head == heard;
    Ok(back.then(|| again.foreground.map_or_else(String::new, |(_, command)| command)))
}
