//! Screens asked of the worker: put together from their parts, and the newest one shared by all who need it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::binary;
use baton_proto::ids::{Cursor, InstanceId};
use baton_proto::v1::{Dimensions, ScreenAt, ScreenFormat, ScreenHeader, SnapshotRequest};
use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::session::{Command, Session};
use crate::problem::{Failure, Outcome};

/// Bytes of one screen, with its history. A screen of 2000 by 2000 cells, each with a colour of its own, has less.
pub const SCREEN_BYTES_MAX: usize = 64 << 20;
/// Screens of the past, or with their history, that are drawn of one session at once; who asks for more waits.
pub const SCREENS_AT_ONCE: usize = 4;
/// How long a screen may take: the worker may have to go through what was written since its last keyframe, and may be
/// replaced meanwhile.
const SCREEN_TIMEOUT: Duration = Duration::from_secs(30);
/// A screen goes on being shared while no more bytes than this have come since it was drawn.
const FRESH_BYTES: u64 = 64 << 10;
/// The shared screen is kept for so long after it was drawn.
const KEPT: Duration = Duration::from_secs(2);
/// Larger screens are not kept for whoever comes next.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A screen, as the worker drew it.
#[derive(Debug)]
pub struct Drawn {
    /// It is the screen after so many bytes of output; the stream goes on from here.
    pub offset: u64,
    /// When these bytes came, microseconds since 1970.
    pub wall_us: u64,
    /// The terminal's size.
    pub size: Dimensions,
    /// Output that was never kept lies before it.
    pub approximate: bool,
    instance: InstanceId,
    binary: Bytes,
    json: OnceLock<Utf8Bytes>,
}

impl Drawn {
    /// Its bytes alone.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.binary.slice(binary::DATA_HEADER_BYTES..)
    }

    /// The binary message.
    #[must_use]
    pub fn binary(&self) -> Bytes {
        self.binary.clone()
    }

    /// The JSON message; encoded by the first who asks, shared by the others.
    pub fn json(&self) -> Utf8Bytes {
        self.json
            .get_or_init(|| {
                let cursor = Cursor { instance: self.instance, offset: self.offset };
                let payload = &self.binary[binary::DATA_HEADER_BYTES..];
                let mut text = String::with_capacity(payload.len() / 3 * 4 + 160);
                // As with data, nothing in it needs escaping.
                text.push_str(r#"{"type":"snapshot","data_b64":""#);
                BASE64.encode_string(payload, &mut text);
                let Dimensions { cols, rows } = self.size;
                text.push_str(&format!(r#"","cursor":"{cursor}","cols":{cols},"rows":{rows}}}"#));
                text.into()
            })
            .clone()
    }
}

/// A screen whose parts are coming.
#[derive(Debug)]
pub struct Drawing {
    instance: InstanceId,
    message: BytesMut,
    reply: oneshot::Sender<Outcome<Drawn>>,
}

impl Drawing {
    /// A screen that was just asked for.
    #[must_use]
    pub fn new(instance: InstanceId, reply: oneshot::Sender<Outcome<Drawn>>) -> Self {
        Self { instance, message: BytesMut::new(), reply }
    }

    /// Whether somebody still waits for it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    /// It can't be had.
    pub fn refuse(self, failure: Failure) {
        // Whoever asked may have stopped waiting.
        drop(self.reply.send(Err(failure)));
    }

    /// Takes one part. Gives itself back while more are to come, unless nobody waits or there is no end of them.
    #[must_use]
    pub fn part(mut self, header: ScreenHeader, bytes: &[u8]) -> Option<Self> {
        if !self.is_wanted() {
            return None;
        }
        if self.message.is_empty() {
            self.message.reserve(binary::DATA_HEADER_BYTES + bytes.len());
            self.message.extend_from_slice(&[binary::SNAPSHOT; binary::DATA_HEADER_BYTES]);
        }
        if self.message.len() + bytes.len() > SCREEN_BYTES_MAX {
            let detail = "the screen has more than 64 MiB: ask for fewer lines of `scrollback`";
            self.refuse(Failure::new(ErrorCode::TooLarge, detail));
            return None;
        }
        self.message.extend_from_slice(bytes);
        if !header.last {
            return Some(self);
        }
        self.message[1..binary::DATA_HEADER_BYTES].copy_from_slice(&header.offset.to_be_bytes());
        let drawn = Drawn {
            offset: header.offset,
            wall_us: header.wall_us,
            size: Dimensions { cols: header.cols, rows: header.rows },
            approximate: header.approximate,
            instance: self.instance,
            binary: self.message.freeze(),
            json: OnceLock::new(),
        };
        drop(self.reply.send(Ok(drawn)));
        None
    }
}

#[derive(Debug, Clone)]
struct Shared {
    drawn: Arc<Drawn>,
    at: Instant,
}

/// The newest screen of a session. One is asked for at a time; it serves all who were waiting.
#[derive(Debug, Default)]
pub struct Newest {
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<Option<Shared>>,
}

impl Newest {
    fn kept(&self) -> Option<Shared> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, shared: Option<Shared>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = shared;
    }
}

impl Session {
    /// A screen, from the worker or its successor.
    ///
    /// # Errors
    /// `cursor_trimmed` with the oldest place that can be drawn; `invalid` for one not reached yet; `too_large`;
    /// `sessiond_down`.
    pub async fn snapshot(&self, request: SnapshotRequest) -> Outcome<Drawn> {
        let drawing = async {
            let _place = self.drawing.acquire().await.map_err(|_| Failure::no_session())?;
            self.draw(request).await
        };
        in_time(drawing).await
    }

    async fn draw(&self, request: SnapshotRequest) -> Outcome<Drawn> {
        loop {
            let (reply, replied) = oneshot::channel();
            self.command(Command::Draw { request, reply }).await?;
            match replied.await.unwrap_or_else(|_| Err(Failure::no_session())) {
                // The worker went away; its successor has the same journal. The hub waits for it; this only keeps one that
                // breaks off each time from being asked without a pause.
                Err(failure) if failure.code == ErrorCode::SessiondDown => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // The worker has drawn more than was read of it, by whichever connection: that it is read is nothing that others
                // are told of, and is a matter of milliseconds for whoever reads at all.
                Err(failure) if failure.code == ErrorCode::Busy => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// The newest screen as terminal bytes, shared by all who ask at about the same time. It may be a little older than
    /// the head; one that is kept from before is given only if it is of `at_least` this offset.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub async fn newest_screen(self: &Arc<Self>, at_least: u64) -> Outcome<Arc<Drawn>> {
        let since = Instant::now();
        let fits = |shared: &Shared| {
            let fresh = shared.at >= since || self.live().head.saturating_sub(shared.drawn.offset) <= FRESH_BYTES;
            shared.drawn.instance == self.instance() && shared.drawn.offset >= at_least && fresh
        };
        if let Some(shared) = self.newest.kept().filter(fits) {
            return Ok(shared.drawn);
        }
        let _asking = self.newest.asking.lock().await;
        if let Some(shared) = self.newest.kept().filter(fits) {
            return Ok(shared.drawn);
        }
        let request = SnapshotRequest { at: ScreenAt::Head, format: ScreenFormat::Ansi, history: 0 };
        let shared = Shared { drawn: Arc::new(in_time(self.draw(request)).await?), at: Instant::now() };
        if shared.drawn.binary.len() <= KEPT_BYTES_MAX {
            self.newest.keep(Some(shared.clone()));
            tokio::spawn(forget(Arc::downgrade(self), shared.at));
        }
        Ok(shared.drawn)
    }
}

async fn in_time(drawing: impl Future<Output = Outcome<Drawn>>) -> Outcome<Drawn> {
    match tokio::time::timeout(SCREEN_TIMEOUT, drawing).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::down("the session's worker has not drawn the screen in time; try again")),
    }
}

/// Forgets the shared screen, unless there is a newer one by then.
async fn forget(session: Weak<Session>, at: Instant) {
    tokio::time::sleep(KEPT).await;
    if let Some(session) = session.upgrade()
        && session.newest.kept().is_some_and(|shared| shared.at == at)
    {
        session.newest.keep(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const HEADER: ScreenHeader =
        ScreenHeader { offset: 0x0102, wall_us: 5, cols: 80, rows: 24, last: false, approximate: true };

    fn drawing() -> (Drawing, oneshot::Receiver<Outcome<Drawn>>) {
        let (reply, replied) = oneshot::channel();
        (Drawing::new(InstanceId::from_uuid(Uuid::nil()), reply), replied)
    }

    #[test]
    fn a_screen_is_put_together_from_its_parts() {
        let (drawing, mut replied) = drawing();
        let drawing = drawing.part(HEADER, b"abc").unwrap();
        let drawing = drawing.part(HEADER, b"").unwrap();
        assert!(replied.try_recv().is_err());
        assert!(drawing.part(ScreenHeader { last: true, ..HEADER }, b"def").is_none());
        let drawn = replied.try_recv().unwrap().unwrap();
        assert_eq!((drawn.offset, drawn.wall_us, drawn.approximate), (0x0102, 5, true));
        assert_eq!(drawn.size, Dimensions { cols: 80, rows: 24 });
        assert_eq!(&drawn.binary()[..], b"\x01\0\0\0\0\0\0\x01\x02abcdef");
        assert_eq!(&drawn.payload()[..], b"abcdef");
        let frame: serde_json::Value = serde_json::from_str(&drawn.json()).unwrap();
        assert_eq!((&frame["type"], &frame["data_b64"]), (&"snapshot".into(), &"YWJjZGVm".into()));
        assert_eq!((&frame["cols"], &frame["rows"]), (&80.into(), &24.into()));
        let frame: baton_proto::api::ServerFrame = serde_json::from_value(frame).unwrap();
        assert!(matches!(frame, baton_proto::api::ServerFrame::Snapshot { cursor, .. } if cursor.offset == 0x0102));
    }

    #[test]
    fn a_screen_without_end_is_refused_and_one_that_nobody_wants_dropped() {
        let part = vec![b'x'; 1 << 20];
        let (mut drawing, mut replied) = drawing();
        let mut parts = 0;
        while let Some(more) = drawing.part(HEADER, &part) {
            drawing = more;
            parts += 1;
            assert!(parts <= 64, "no bound");
        }
        assert_eq!(replied.try_recv().unwrap().unwrap_err().code, ErrorCode::TooLarge);
        let (drawing, replied) = super::tests::drawing();
        drop(replied);
        assert!(!drawing.is_wanted() && drawing.part(HEADER, b"x").is_none());
    }
}
