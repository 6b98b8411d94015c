//! The loop of an attached terminal. Everything that can happen comes together here, and one value owns all state.
//!
//! ```text
//!  stdin ─► Keys ─► Window ─────────► Stream ─► bridge
//!  stdout ◄─ Output ◄─ Screen/Notice/Painter ◄─ Mirror ◄─ Stream ◄─ bridge      (the Stream breaks and is opened anew)
//! ```

mod hear;
mod link;
mod own;
mod show;
mod signals;

use std::io::{self, IsTerminal};
use std::time::Duration;

use baton_proto::api::{ClientFrame, Session, SnapshotChoice, TermFacts, Viewport};
use baton_proto::v1::ClientKind;
use baton_proto::{ClientId, Cursor, InstanceId};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use link::Link;
use show::Face;
use signals::{Signals, Told};

use super::control::Control;
use super::facts::Asking;
use super::keys::{DetachKey, Keys};
use super::mirror::Mirror;
use super::notice::Notice;
use super::raw_mode::RawMode;
use super::screen::Screen;
use super::stream::{Broken, Stream};
use super::terminal::{Input, Output, size};
use super::window::Window;
use super::{FAREWELL, Left, Mode};
use crate::api::Api;
use crate::names::label;
use crate::report::Report;

/// A sign of life, so that the lease does not run out.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Nothing heard for so long, heartbeats included: the connection is as good as broken.
const SILENCE: Duration = Duration::from_secs(12);

/// After so long without a word it is worth asking whether anybody is there.
const IDLE: Duration = Duration::from_secs(1);

/// An answer that takes longer is worth a remark.
const ANSWER: Duration = Duration::from_millis(2500);

/// Pauses between attempts to connect: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// One attempt to connect. The launcher takes the connection while the bridge restarts, so it may wait for it.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A broken connection shorter than this is nobody's business.
const QUIET: Duration = Duration::from_secs(1);

/// Output that may wait for the terminal; beyond, the stream is not read.
const BACKLOG_BYTES: u64 = 256 << 10;

/// Output is acknowledged in steps of this.
const ACK_BYTES: u64 = 64 << 10;

/// A begun sequence whose rest does not come was a key.
const KEY_PAUSE: Duration = Duration::from_millis(30);

/// Remarks about refused keys come at most this often.
const REMARK_PAUSE: Duration = Duration::from_secs(3);

/// A program that does not read is asked again after this, if nothing was acknowledged meanwhile.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// Between the two sizes that make a program draw its screen anew.
const REDRAW_PAUSE: Duration = Duration::from_millis(60);

/// What is assumed of a terminal that does not know its size.
const SIZE: Viewport = Viewport { cols: 80, rows: 24 };

/// Runs until the program ends or the person leaves; the terminal is as it was when this returns.
pub async fn run(api: &Api, session: Session, mode: Mode, detach: DetachKey) -> Result<Left, Report> {
    let cannot = |err: io::Error| Report::failed("this terminal cannot be attached").why(err);
    let mut signals = Signals::new().map_err(cannot)?;
    let mut output = Output::start().map_err(cannot)?;
    let raw = RawMode::enter().map_err(cannot)?;
    let mut input = Input::start().map_err(cannot)?;
    let mut live = Live::new(api, session, mode, Keys::new(detach));
    live.asking = io::stdout().is_terminal().then(|| Asking::begin(&mut output)).flatten();
    let left = live.until_left(&mut input, &mut output, &mut signals, &raw).await;
    if let Some(asking) = live.asking.take() {
        asking.drain(&mut live.keys, &mut input).await;
    }
    // From here on what is typed belongs to the user's own shell.
    drop(input);
    live.leave(&left, &mut output, &mut signals, &raw).await;
    drop(output);
    drop(raw);
    if live.on_terminal && !live.screen.is_line_start() {
        crate::out::remark("");
    }
    Ok(left)
}

/// All state of an attached terminal.
struct Live {
    api: Api,
    session: Session,
    name: String,
    mode: Mode,
    client: ClientId,
    /// What this terminal is like, as far as it is known; and whether this connection was told.
    term: TermFacts,
    term_told: bool,
    asking: Option<Asking>,
    /// Numbers input within this attach.
    input_stream: u64,
    link: Link,
    backoff: Duration,
    /// When the connection broke.
    down_since: Option<Instant>,
    /// Nothing listened at the last attempt.
    not_running: bool,
    heard: Instant,
    heartbeat: Instant,
    /// Since when an answer is due.
    asked: Option<Instant>,

    /// The life of the program that is shown, and the bytes of it that were taken.
    instance: Option<InstanceId>,
    offset: u64,
    /// Output up to here is old.
    replay_until: Option<u64>,
    /// Nothing of the session was shown yet.
    unshown: bool,
    /// The screen may not be right before the program draws it anew.
    partial: bool,
    /// The first output may begin in the middle of anything.
    begins_within: bool,
    /// Second half of making it do so.
    redraw: Option<Instant>,
    /// It has ended already; what is kept is shown.
    ended: bool,
    /// Presence has named this client since it connected.
    listed: bool,

    control: Control,
    claiming: bool,
    window: Window,
    full_until: Option<Instant>,
    remarked: Option<Instant>,

    keys: Keys,
    key_due: Option<Instant>,
    size: Viewport,
    /// When it changed last.
    resized_at: Option<Instant>,
    on_terminal: bool,
    /// What was written to the terminal.
    screen: Screen,
    session_size: Viewport,
    /// The session's screen; none before the first is known.
    mirror: Option<Mirror>,
    face: Face,
    notice: Notice,
    /// For each piece of output on its way to the terminal: bytes queued up to its end, and its offset.
    unacknowledged: std::collections::VecDeque<(u64, u64)>,
    acknowledged: u64,
    detach_sent: bool,
}

impl Live {
    fn new(api: &Api, session: Session, mode: Mode, keys: Keys) -> Self {
        let now = Instant::now();
        // 53 bits: any language can hold the number.
        let input_stream = u64::try_from(Uuid::new_v4().as_u128() & ((1 << 53) - 1)).unwrap_or(1).max(1);
        let mut live = Self {
            api: api.clone(),
            name: label(&session),
            session,
            mode,
            client: ClientId::from(Uuid::new_v4()),
            term: TermFacts::default(),
            term_told: false,
            asking: None,
            input_stream,
            link: Link::Waiting(now),
            backoff: BACKOFF.0,
            down_since: None,
            not_running: false,
            heard: now,
            heartbeat: now + HEARTBEAT,
            asked: None,
            instance: None,
            offset: 0,
            replay_until: None,
            unshown: true,
            partial: false,
            begins_within: false,
            redraw: None,
            ended: false,
            listed: false,
            control: Control::Unknown,
            claiming: false,
            window: Window::default(),
            full_until: None,
            remarked: None,
            keys,
            key_due: None,
            size: size().unwrap_or(SIZE),
            resized_at: None,
            on_terminal: io::stdout().is_terminal(),
            screen: Screen::new(),
            session_size: SIZE,
            mirror: None,
            face: Face::Away(now, None),
            notice: Notice::default(),
            unacknowledged: std::collections::VecDeque::new(),
            acknowledged: 0,
            detach_sent: false,
        };
        live.open();
        live
    }

    async fn until_left(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        signals: &mut Signals,
        raw: &RawMode,
    ) -> Left {
        loop {
            let now = Instant::now();
            let deadline = self.deadline().unwrap_or(now + HEARTBEAT);
            // A terminal that takes no output holds up this stream, and nothing else.
            let may_listen = !matches!(self.link, Link::Up(_)) || output.backlog() < BACKLOG_BYTES;
            let left = tokio::select! {
                event = self.link.event(), if may_listen => self.on_link(event, output).await,
                read = input.next(), if self.window.has_room() => match read {
                    Some(bytes) => {
                        let segments = self.keys.feed(&bytes);
                        self.on_segments(segments).or_else(|| self.hold_keys())
                    }
                    None => Some(Left::Detached),
                },
                () = output.progress() => match output.written() {
                    Ok(written) => { self.on_written(written); None }
                    Err(_) => Some(Left::Detached),
                },
                told = signals.next() => match told {
                    Told::Resized => { self.on_resized(); None }
                    Told::Suspend => { self.suspend(input, output, signals, raw).await; None }
                    Told::Continued => { self.on_continued(raw); None }
                    Told::End(kind) => Some(Left::Signal(kind.as_raw_value())),
                },
                () = sleep_until(deadline) => self.on_time(Instant::now()),
            };
            if let Some(left) = left {
                return left;
            }
            self.pump();
            self.refresh(output);
            raw.note(self.screen.modes());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let after = |since: Option<Instant>, pause| since.map(|since| since + pause).filter(|at| *at > Instant::now());
        let (down, unanswered) = (after(self.down_since, QUIET), after(self.asked, ANSWER));
        [Some(self.heartbeat), self.key_due, self.full_until, self.redraw, self.notice.deadline(), down, unanswered]
            .into_iter()
            .chain([self.face_deadline()])
            .flatten()
            .min()
    }

    fn open(&mut self) {
        let hello = ClientFrame::Hello {
            client_id: self.client.clone(),
            resume_cursor: self.cursor(),
            client_kind: Some(ClientKind::Cli),
            name: Some(own_name()),
            cols: Some(self.size.cols),
            rows: Some(self.size.rows),
            input_stream: Some(self.input_stream),
            term: Some(self.term.clone()),
            // The terminal shows whatever was there before: a session's first bytes mean what they say only on a clear screen.
            snapshot: if self.instance.is_none() { SnapshotChoice::Always } else { SnapshotChoice::Auto },
        };
        self.term_told = true;
        let (api, id, client) = (self.api.clone(), self.session.id, self.client.clone());
        self.link = Link::Opening(Box::pin(async move {
            tokio::time::timeout(ATTEMPT, Stream::open(&api, id, &client, &hello))
                .await
                .unwrap_or(Err(Broken::Lost { not_running: false }))
        }));
    }

    fn cursor(&self) -> Option<Cursor> {
        self.instance.map(|instance| Cursor { instance, offset: self.offset })
    }

    fn send(&self, frame: &ClientFrame) {
        if let Link::Up(stream) = &self.link {
            stream.send(frame);
        }
    }

    fn on_time(&mut self, now: Instant) -> Option<Left> {
        if self.key_due.is_some_and(|at| at <= now) {
            self.key_due = None;
            let segments = self.keys.flush();
            if let Some(left) = self.on_segments(segments) {
                return Some(left);
            }
        }
        if self.full_until.is_some_and(|at| at <= now) {
            self.full_until = None;
            self.window.retry();
        }
        if self.redraw.is_some_and(|at| at <= now) {
            self.redraw = None;
            self.tell_size();
        }
        if self.down_since.is_some_and(|since| now - since >= QUIET) {
            let text = if self.not_running {
                "[Baton is not running; the session lives on: run `baton up` in another terminal]"
            } else {
                "[connection lost, trying again; the session lives on]"
            };
            self.notice.keep(text, now);
        }
        if self.heartbeat <= now {
            self.ask(now);
        }
        if self.asked.is_some_and(|since| now - since >= ANSWER) {
            self.notice.keep("[no answer; the session lives on]", now);
        }
        None
    }

    /// A sign of life, which is answered.
    fn ask(&mut self, now: Instant) {
        self.heartbeat = now + HEARTBEAT;
        if matches!(self.link, Link::Up(_)) {
            self.send(&ClientFrame::Heartbeat);
            self.asked.get_or_insert(now);
        }
    }

    /// Remarks that are due; and whether the connection is still one.
    fn refresh(&mut self, output: &mut Output) {
        let now = Instant::now();
        self.settle(now, output);
        if let (true, Face::Through, Some(mirror)) = (self.on_terminal, &self.face, &self.mirror) {
            let mut out = Vec::new();
            self.notice.tick(now, &self.screen, mirror, self.size, &mut out);
            output.push(out);
        }
        // While the terminal takes nothing the stream is not read, so its silence says nothing.
        if output.backlog() >= BACKLOG_BYTES {
            self.heard = now;
            self.asked = None;
        } else if matches!(self.link, Link::Up(_)) && now - self.heard > SILENCE {
            self.on_broken(Broken::Lost { not_running: false }, now);
        }
    }

    async fn leave(&mut self, left: &Left, output: &mut Output, signals: &mut Signals, raw: &RawMode) {
        self.show_last(left, output);
        if matches!(left, Left::Ended(_)) {
            // The last output is worth waiting for, but not for ever if somebody says stop.
            tokio::select! {
                () = output.drained() => {}
                () = signals.end() => output.give_up(),
            }
        } else {
            self.detach().await;
            if tokio::time::timeout(FAREWELL, output.drained()).await.is_err() {
                output.give_up();
            }
        }
        raw.note(self.screen.modes());
    }

    /// Gives the terminal back to the user's shell for as long as this process is stopped.
    async fn suspend(&mut self, input: &mut Input, output: &mut Output, signals: &mut Signals, raw: &RawMode) {
        if let Some(asking) = self.asking.take() {
            asking.drain(&mut self.keys, input).await;
        }
        self.show_last(&Left::Detached, output);
        // What a terminal does not take by then comes once it goes on.
        let _ = tokio::time::timeout(FAREWELL, output.drained()).await;
        raw.note(self.screen.modes());
        raw.suspend();
        signals.stop().await;
        // What the shell wrote meanwhile goes up into the terminal's history.
        self.unshown = true;
        raw.resume();
        self.on_continued(raw);
    }

    async fn detach(&mut self) {
        if std::mem::replace(&mut self.detach_sent, true) {
            return;
        }
        self.send(&ClientFrame::Detach);
        if let Link::Up(stream) = std::mem::replace(&mut self.link, Link::Waiting(Instant::now())) {
            stream.close(FAREWELL).await;
        }
    }
}

/// What others see this client as.
fn own_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let user = user.map_or_else(|| "terminal".to_owned(), |user| user.name);
    let tty = nix::unistd::ttyname(io::stdin()).ok();
    let tty = tty.as_deref().and_then(|path| path.strip_prefix("/dev").ok()).map(|path| path.display().to_string());
    let name = tty.map_or_else(|| user.clone(), |tty| format!("{user} on {tty}"));
    name.chars().take(64).collect()
}
