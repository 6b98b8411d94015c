//! Bytes from the journal, for a client that is further back than the chunks: one range at a time, as its socket takes
//! them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, Kind, read_body};
use baton_proto::v1::{Dimensions, ResizeRecord};

use super::writer::{Stop, Writer};
use crate::hub::presence::End;

/// Bytes of records asked for at once.
const RANGE_BYTES: u32 = 128 << 10;
/// Bytes of output in one message: small records are sent together.
const MESSAGE_BYTES: usize = 64 << 10;
/// How long to wait for a journal that does not have yet what the feed has seen.
const NOT_YET: Duration = Duration::from_millis(10);

/// Sends one range, from the client's place up to `until`, for about `max_bytes`.
pub(super) async fn one_range(writer: &mut Writer<'_>, until: u64, max_bytes: usize) -> Result<(), Stop> {
    let from = writer.subscription.position.offset;
    writer.app.counters.ranges.fetch_add(1, Ordering::Relaxed);
    let (range, records) = match writer.session.read_range(from, RANGE_BYTES).await {
        Ok(answer) => answer,
        Err(failure) => match failure.oldest {
            Some(oldest) if failure.code == ErrorCode::CursorTrimmed && oldest.offset > from => {
                return writer.skip_to(oldest.offset).await;
            }
            _ => {
                // The worker is away: the client comes back and goes on from its cursor.
                tracing::debug!("reading the journal: {failure}");
                return Err(Stop::end(End { frame: None, code: 1012, reason: "the journal can't be read" }));
            }
        },
    };
    let limit = until.min(from.saturating_add(max_bytes as u64));
    let mut gathered: Vec<u8> = Vec::new();
    let mut rest = &records[..];
    while let Ok(Some(frame)) = Frame::parse(rest) {
        rest = &rest[frame.total_bytes()..];
        let at = frame.header.at;
        let place = writer.subscription.position.offset + gathered.len() as u64;
        if place >= limit && frame.header.known_kind() != Some(Kind::Resize) {
            break;
        }
        match frame.header.known_kind() {
            Some(Kind::Output | Kind::Stderr) => {
                if at > place {
                    flush(writer, &mut gathered).await?;
                    writer.skip_to(at.min(until)).await?;
                    if at >= until {
                        break;
                    }
                }
                let place = writer.subscription.position.offset + gathered.len() as u64;
                let bytes = usize::try_from(place - at.min(place)).ok().and_then(|skip| frame.payload.get(skip..));
                let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { continue };
                let room = usize::try_from(limit.saturating_sub(place)).unwrap_or(usize::MAX);
                gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if gathered.len() >= MESSAGE_BYTES {
                    flush(writer, &mut gathered).await?;
                }
            }
            // What happened since the client attached is told from the feed.
            Some(Kind::Resize) if at >= writer.sent && at <= place && at < writer.history_end => {
                if let Ok(ResizeRecord { cols, rows }) = read_body(Kind::Resize, frame.payload) {
                    flush(writer, &mut gathered).await?;
                    writer.send_resize(Dimensions { cols, rows }).await?;
                    writer.replayed_size = Some(Dimensions { cols, rows });
                }
            }
            _ => {}
        }
    }
    flush(writer, &mut gathered).await?;
    if writer.subscription.position.offset > from {
        return Ok(());
    }
    // Nothing came of it: the bytes were lost before they could be kept, or are not kept any more, or not yet.
    let next = range.next.max(range.oldest).min(until);
    if next > from {
        return writer.skip_to(next).await;
    }
    tokio::time::sleep(NOT_YET).await;
    Ok(())
}

async fn flush(writer: &mut Writer<'_>, gathered: &mut Vec<u8>) -> Result<(), Stop> {
    if !gathered.is_empty() {
        writer.send_bytes(gathered).await?;
        gathered.clear();
    }
    Ok(())
}
