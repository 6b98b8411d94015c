//! What becomes of output on the terminal.
//!
//! ```text
//!   sizes are the same        ─► through: bytes as they come, the terminal is in the mirror's state
//!   the size changes          ─► away:    the mirror takes the bytes; for a moment nothing is written, because a terminal with
//!                                         control has its size followed and a window is dragged through many
//!   they stay different       ─► away, painted from the mirror on the alternate screen
//!   they are the same again   ─► through, after the mirror's state was written over whatever the terminal made of its own
//! ```

use std::time::Duration;

use baton_proto::api::Viewport;
use tokio::time::Instant;

use super::super::control::Control;
use super::super::mirror::Mirror;
use super::super::paint::{self, Painter};
use super::super::terminal::Output;
use super::super::{Left, Mode, reset};
use super::Live;

/// How long the session may take to follow this terminal's size before it is painted at the one it has.
const FOLLOW: Duration = Duration::from_millis(250);

/// A terminal whose size changes again within this is being dragged.
const DRAG: Duration = Duration::from_millis(60);

/// Least time between two paintings: 25 a second are plenty for eyes.
const PAINT_PAUSE: Duration = Duration::from_millis(40);

/// A painting takes at most one part in so many of the time, however large the screen.
const PAINT_SHARE: u32 = 4;

/// Cancels an escape sequence.
const CAN: u8 = 0x18;

/// What the terminal shows.
#[derive(Debug)]
pub(super) enum Face {
    /// The bytes as they come.
    Through,
    /// Something else, and from this time on what is painted.
    Away(Instant, Option<Painting>),
}

/// A session of another size on this terminal.
#[derive(Debug)]
pub(super) struct Painting {
    painter: Painter,
    /// The session's size and this terminal's when it was last said that they differ.
    told: Option<(Viewport, Viewport)>,
    /// Something changed since it was painted.
    stale: bool,
    /// A bell rang since.
    bell: bool,
    /// The remark painted.
    remark: Option<String>,
    /// Whether keys went to the program.
    active: bool,
    next: Instant,
}

impl Live {
    /// Output, once.
    pub(super) fn absorb(&mut self, bytes: &[u8], output: &mut Output) {
        if bytes.is_empty() {
            return;
        }
        let mirror = self.mirror.get_or_insert_with(|| Mirror::new(self.session_size));
        match &mut self.face {
            Face::Through => {
                let mut out = Vec::with_capacity(bytes.len() + 16);
                self.notice.before_output(Instant::now(), mirror, &mut out);
                mirror.feed(bytes);
                self.screen.feed(bytes, &mut out);
                output.push(out);
            }
            Face::Away(_, painting) => {
                let bell = mirror.feed(bytes);
                if let Some(painting) = painting {
                    painting.stale = true;
                    painting.bell |= bell;
                }
            }
        }
    }

    /// The session has this size from here on.
    pub(super) fn on_session_size(&mut self, size: Viewport) {
        self.session_size = size;
        if self.mirror.as_mut().is_some_and(|mirror| mirror.resize(size)) {
            // Even if it fits: margins are gone at a change of size, in every terminal in another way.
            self.look_away();
        }
    }

    /// The terminal does not show what the mirror has.
    pub(super) fn look_away(&mut self) {
        match &mut self.face {
            Face::Through => {
                let now = Instant::now();
                let follows = self.control.is_ours()
                    || self.claiming
                    || (self.control == Control::Unknown && self.mode != Mode::ReadOnly);
                self.face = Face::Away(if follows { now + FOLLOW } else { now }, None);
            }
            Face::Away(_, painting) => {
                if let Some(painting) = painting {
                    painting.stale = true;
                }
            }
        }
    }

    /// Somebody else wrote to the terminal; nothing of ours is on it.
    pub(super) fn forget_face(&mut self) {
        self.screen.restart();
        self.face = Face::Away(Instant::now(), None);
    }

    /// This terminal has another size.
    pub(super) fn on_own_size(&mut self, size: Viewport) {
        self.size = size;
        self.resized_at = Some(Instant::now());
        self.look_away();
        if let Face::Away(_, Some(painting)) = &mut self.face {
            painting.painter.resized(size);
        }
    }

    fn fits(&self) -> bool {
        // What is no terminal has no size.
        !self.on_terminal || self.mirror.as_ref().is_some_and(|mirror| mirror.size() == self.size)
    }

    /// When [`Self::settle`] has something to do.
    pub(super) fn face_deadline(&self) -> Option<Instant> {
        let Face::Away(from, painting) = &self.face else { return None };
        self.mirror.as_ref()?;
        let quiet = self.resized_at.map(|at| at + DRAG).filter(|_| self.fits());
        let paint = match painting {
            None => Some(*from),
            Some(painting) => painting.stale.then_some(painting.next),
        };
        [quiet, paint].into_iter().flatten().min()
    }

    /// Shows what is to be shown by now.
    pub(super) fn settle(&mut self, now: Instant, output: &mut Output) {
        if matches!(self.face, Face::Through) || self.mirror.is_none() {
            return;
        }
        if self.fits() && self.resized_at.is_none_or(|at| now >= at + DRAG) {
            self.look_through(now, output);
            return;
        }
        let Face::Away(from, painting) = &mut self.face else { return };
        if painting.is_none() {
            if now < *from {
                return;
            }
            let mut out = Vec::new();
            self.notice.painted_over(now, &mut out);
            out.push(CAN);
            out.extend_from_slice(&reset::bytes(self.screen.modes()));
            self.screen.restart();
            output.push(out);
            let mut begun = Vec::new();
            let painter = Painter::begin(self.size, &mut begun);
            *painting = Some(Painting {
                painter,
                told: None,
                stale: true,
                bell: false,
                remark: None,
                active: false,
                next: now,
            });
            self.push_own(&begun, output);
        }
        self.paint(now, output);
    }

    fn paint(&mut self, now: Instant, output: &mut Output) {
        let (Face::Away(_, Some(painting)), Some(mirror)) = (&mut self.face, &self.mirror) else { return };
        let sizes = (self.session_size, self.size);
        if painting.told != Some(sizes) {
            painting.told = Some(sizes);
            if !painting.painter.has_free_row(self.session_size) {
                let said = self.notice.current(now).unwrap_or_default().to_owned();
                let told = difference(self.session_size, self.size);
                self.notice.say(format!("{told} {said}").trim_end(), now);
            }
        }
        let mut remark = self.notice.current(now).map(str::to_owned);
        if remark.is_none() && painting.painter.has_free_row(self.session_size) {
            remark = Some(difference(self.session_size, self.size));
        }
        let active = self.control.is_ours();
        if remark != painting.remark || active != painting.active {
            painting.stale = true;
        }
        // A terminal that does not keep up is painted less often.
        if !painting.stale || now < painting.next || output.backlog() > 0 {
            return;
        }
        painting.stale = false;
        let mut out = Vec::new();
        if std::mem::take(&mut painting.bell) {
            out.push(0x07);
        }
        painting.painter.paint(&mirror.view(), remark.as_deref(), active, &mut out);
        painting.remark = remark;
        painting.active = active;
        painting.next = now + PAINT_PAUSE.max((Instant::now() - now) * PAINT_SHARE);
        self.push_own(&out, output);
    }

    /// What is ours, and leaves modes to be put back all the same.
    fn push_own(&mut self, bytes: &[u8], output: &mut Output) {
        let mut out = Vec::with_capacity(bytes.len());
        self.screen.feed(bytes, &mut out);
        output.push(out);
    }

    /// The mirror's state takes the place of whatever is shown, wherever in its bytes that ended.
    fn look_through(&mut self, now: Instant, output: &mut Output) {
        let Some(mirror) = &self.mirror else { return };
        let bytes = mirror.bytes();
        let mut out = Vec::new();
        self.notice.painted_over(now, &mut out);
        out.push(CAN);
        out.extend_from_slice(&reset::bytes(self.screen.modes()));
        self.screen.restart();
        self.screen.set_rows(self.session_size.rows);
        if std::mem::take(&mut self.unshown) {
            // What the user's terminal shows goes up into its history.
            out.extend_from_slice(format!("\x1b[{};1H", self.size.rows).as_bytes());
            out.extend(std::iter::repeat_n(b'\n', usize::from(self.size.rows)));
        }
        out.extend_from_slice(b"\x1b[H\x1b[2J");
        self.screen.feed(&bytes, &mut out);
        output.push(out);
        self.face = Face::Through;
    }

    /// What the terminal reports, as the program has to be told.
    pub(super) fn report(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &self.face {
            Face::Away(_, Some(painting)) => painting.painter.report(&bytes),
            _ => Some(bytes),
        }
    }

    /// The last that is written: what was said of the end, if anything was.
    pub(super) fn show_last(&mut self, left: &Left, output: &mut Output) {
        let now = Instant::now();
        if matches!(left, Left::Ended(_)) && !matches!(self.face, Face::Through) && self.fits() {
            self.look_through(now, output);
        }
        let Some(mirror) = &self.mirror else { return };
        let mut out = Vec::new();
        match &self.face {
            Face::Through => self.notice.remove(mirror, &mut out),
            Face::Away(..) => {
                self.notice.painted_over(now, &mut out);
                out.push(CAN);
                out.extend_from_slice(&reset::bytes(self.screen.modes()));
                self.screen.restart();
                if matches!(left, Left::Ended(_)) {
                    out.extend_from_slice(&paint::last_lines(&mirror.view(), self.size.cols));
                }
            }
        }
        output.push(out);
    }
}

/// What to make of two sizes.
fn difference(session: Viewport, own: Viewport) -> String {
    let Viewport { cols, rows } = session;
    if cols > own.cols || rows > own.rows {
        format!("[{cols}×{rows}, larger than this terminal: the part around the cursor is shown; enlarge the window]")
    } else {
        format!("[{cols}×{rows}, smaller than this terminal]")
    }
}
