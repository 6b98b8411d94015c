//! `baton log`: what a session wrote, byte for byte, or the lines of it in which something is found.

use std::io::{self, IsTerminal};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_proto::api::{ClientFrame, ServerFrame, Session, SnapshotChoice, WaitAnswer, WaitRequest, WaitUntil};
use baton_proto::v1::ClientKind;
use baton_proto::{ClientId, Cursor};
use serde::Serialize;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use crate::api::{Api, terminal};
use crate::args::LogArgs;
use crate::attach::screen::Screen;
use crate::attach::stream::{Broken, Incoming, Stream};
use crate::commands::search::{Pattern, Printer, missing};
use crate::context::Context;
use crate::interrupt;
use crate::moment::Moment;
use crate::names::{self, label};
use crate::out;
use crate::report::Report;

/// Bytes of one page.
const PAGE_BYTES: usize = 1 << 20;

/// Output is acknowledged in steps of this.
const ACK_BYTES: u64 = 64 << 10;

/// How often a broken connection is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Hits asked for at once.
const GREP_PAGE: usize = 500;

/// Seconds of one wait for more output.
const FOLLOW_S: f64 = 600.0;

/// How long output is let come before it is searched.
const BURST: Duration = Duration::from_millis(100);

/// Signs of life.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Cancels an escape sequence.
const CAN: u8 = 0x18;

/// A piece of output, for `--json`.
#[derive(Debug, Serialize)]
struct Piece {
    from: Cursor,
    cursor: Cursor,
    data_b64: String,
}

/// Output that is not there, for `--json`.
#[derive(Debug, Serialize)]
struct Gap {
    from: Cursor,
    cursor: Cursor,
    lost: u64,
}

/// Where the output goes.
struct Sink {
    json: bool,
    /// On a terminal, queries in old output would be answered into the user's shell.
    screen: Option<Screen>,
}

impl Sink {
    /// Says that output is missing from a place on.
    fn gap(&self, from: Cursor, lost: u64) -> Result<(), Report> {
        out::remark(&format!("baton: {}", missing(lost)));
        if self.json {
            let cursor = Cursor { offset: from.offset.saturating_add(lost), ..from };
            out::json_line(&Gap { from, cursor, lost })?;
        }
        Ok(())
    }

    fn write(&mut self, from: Cursor, cursor: Cursor, bytes: &[u8]) -> Result<(), Report> {
        if self.json {
            return out::json_line(&Piece { from, cursor, data_b64: STANDARD.encode(bytes) });
        }
        match &mut self.screen {
            None => out::bytes(bytes),
            Some(screen) => {
                let mut kept = Vec::with_capacity(bytes.len());
                screen.feed(bytes, &mut kept);
                out::bytes(&kept)
            }
        }
    }
}

/// Prints what a session wrote.
pub async fn run(context: &Context, args: &LogArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let since = match args.since {
        Some(since) => since.since(&api, &session).await.map_err(|report| trimmed(report, &session))?,
        None => None,
    };
    // Nothing is what such a place gives, and looks like a session that wrote nothing.
    let beyond = since.is_some_and(|since| since.offset > session.cursor.offset);
    if args.since.is_some_and(Moment::is_future) {
        out::remark("baton: the time of --since is yet to come");
    } else if beyond {
        out::remark(&format!("baton: the output has not come as far as --since: it ends at {}", session.cursor));
    }
    let since = if beyond { Some(session.cursor) } else { since };
    if let Some(pattern) = &args.grep {
        return grep(&api, &session, pattern, since, args).await;
    }
    let glance = !args.json && !args.raw && io::stdout().is_terminal();
    let mut sink = Sink { json: args.json, screen: glance.then(Screen::new) };
    let ended = tokio::select! {
        printed = print(&api, &session, since, args.follow, &mut sink) => printed.map(|()| 0),
        // Ended by a signal it would leave the terminal to the shell as the program has it.
        told = interrupt::told(), if glance => Ok(told.exit_code()),
    };
    let reset = sink.screen.as_ref().map_or(Ok(()), |screen| {
        let mut out = if screen.is_ground() { Vec::new() } else { vec![CAN] };
        out.extend_from_slice(&crate::attach::reset_bytes(screen));
        out::bytes(&out)
    });
    match (ended, reset) {
        (Ok(0), Err(report)) => Err(report),
        (ended, _) => ended,
    }
}

/// Prints what is kept from a place on, and what follows if it is to be followed.
async fn print(
    api: &Api,
    session: &Session,
    since: Option<Cursor>,
    following: bool,
    sink: &mut Sink,
) -> Result<(), Report> {
    let mut cursor = since;
    while cursor
        .is_none_or(|cursor| cursor.instance != session.cursor.instance || cursor.offset < session.cursor.offset)
    {
        let (bytes, next, lost) =
            api.output(session.id, cursor, PAGE_BYTES).await.map_err(|report| trimmed(report, session))?;
        if cursor == Some(next) {
            break;
        }
        let from = Cursor { offset: next.offset.saturating_sub(bytes.len() as u64), ..next };
        if cursor.is_none() && from.offset > lost {
            out::remark(&format!("baton: {} bytes of output are no longer kept", from.offset - lost));
        }
        if lost > 0 {
            sink.gap(Cursor { offset: from.offset.saturating_sub(lost), ..from }, lost)?;
        }
        if !bytes.is_empty() {
            sink.write(from, next, &bytes)?;
        }
        cursor = Some(next);
        if bytes.is_empty() && lost == 0 {
            break;
        }
    }
    let cursor = cursor.unwrap_or(session.cursor);
    if following && session.status.is_living() {
        follow(api, session, cursor, sink).await?;
    }
    Ok(())
}

/// Prints the lines in which something is found. A line counts once it has ended; the last one when nothing follows.
async fn grep(
    api: &Api,
    session: &Session,
    pattern: &str,
    since: Option<Cursor>,
    args: &LogArgs,
) -> Result<u8, Report> {
    let pattern = Pattern { text: pattern.to_owned(), regex: true, ignore_case: false, context: 0 };
    let mut printer = Printer::new(false);
    let mut found = false;
    let mut cursor = since;
    loop {
        let detail = api.session(session.id).await?;
        let living = detail.session.status.is_living();
        let page = pattern.page(api, session.id, cursor, GREP_PAGE).await.map_err(|report| trimmed(report, session))?;
        let more = page.answer.next_cursor;
        let wait = args.follow && living && more.is_none();
        if page.answer.lost > 0 {
            out::remark(&format!("baton: {}", missing(page.answer.lost)));
        }
        for hit in &page.answer.items {
            // What has not ended may still become another line.
            if wait && page.resume.is_some_and(|resume| hit.cursor.offset > resume.offset) {
                continue;
            }
            found = true;
            if args.json { out::json_line(hit)? } else { printer.print(hit)? }
        }
        cursor = more.or(page.resume).or(cursor);
        if more.is_some() {
            continue;
        }
        if !wait {
            return Ok(u8::from(!found));
        }
        until_more(api, session, detail.session.cursor).await?;
    }
}

/// Waits until there is output behind this place, or the program ends.
async fn until_more(api: &Api, session: &Session, head: Cursor) -> Result<(), Report> {
    let behind = Cursor { offset: head.offset + 1, ..head };
    let until = WaitUntil { pattern: None, exit: Some(true), idle_ms: None, cursor: Some(behind), mark: None };
    let body = WaitRequest { until, timeout_s: Some(FOLLOW_S) };
    let limit = Duration::from_secs_f64(FOLLOW_S) + Duration::from_secs(30);
    let _: WaitAnswer = api.ask("the session cannot be followed", &terminal(session.id, "wait"), &body, limit).await?;
    // Output comes in bursts: one search for each is enough.
    sleep(BURST).await;
    Ok(())
}

fn trimmed(report: Report, session: &Session) -> Report {
    match report.code() {
        Some(baton_proto::ErrorCode::CursorTrimmed) => {
            report.hint(format!("without --since, `baton log {}` begins with what is kept", label(session)))
        }
        _ => report,
    }
}

/// Prints what comes from `cursor` on, until the program ends. A broken connection is opened anew where it broke.
async fn follow(api: &Api, session: &Session, mut cursor: Cursor, sink: &mut Sink) -> Result<(), Report> {
    let client = ClientId::from(Uuid::new_v4());
    let mut acknowledged = cursor.offset;
    loop {
        let hello = ClientFrame::Hello {
            client_id: client.clone(),
            resume_cursor: Some(cursor),
            client_kind: Some(ClientKind::Cli),
            name: Some("baton log".to_owned()),
            cols: None,
            rows: None,
            input_stream: None,
            term: None,
            snapshot: SnapshotChoice::Never,
        };
        let mut stream = match Stream::open(api, session.id, &client, &hello).await {
            Ok(stream) => stream,
            Err(broken) => {
                may_come_back(broken)?;
                sleep(RETRY).await;
                continue;
            }
        };
        let mut heartbeat = interval(HEARTBEAT);
        loop {
            let incoming = tokio::select! {
                incoming = stream.next() => incoming,
                _ = heartbeat.tick() => {
                    stream.send(&ClientFrame::Heartbeat);
                    continue;
                }
            };
            match incoming {
                Ok(Incoming::Data(bytes, after) | Incoming::Snapshot(bytes, after)) => {
                    let begin = after.saturating_sub(bytes.len() as u64);
                    if begin > cursor.offset {
                        sink.gap(cursor, begin - cursor.offset)?;
                    }
                    let known =
                        usize::try_from(cursor.offset.saturating_sub(begin)).unwrap_or(usize::MAX).min(bytes.len());
                    let next = Cursor { instance: cursor.instance, offset: after.max(cursor.offset) };
                    if known < bytes.len() {
                        sink.write(
                            Cursor { instance: cursor.instance, offset: begin + known as u64 },
                            next,
                            &bytes[known..],
                        )?;
                    }
                    cursor = next;
                    if cursor.offset >= acknowledged + ACK_BYTES {
                        acknowledged = cursor.offset;
                        stream.send(&ClientFrame::Ack { cursor });
                    }
                }
                Ok(Incoming::Frame(frame)) => match *frame {
                    ServerFrame::Exit { .. } => {
                        stream.close(Duration::from_millis(200)).await;
                        return Ok(());
                    }
                    ServerFrame::Ready { instance, status, cursor: head, lost, .. } => {
                        if let Some(lost) = lost {
                            out::remark(&format!("baton: {lost} bytes of output are no longer kept"));
                        }
                        if instance != cursor.instance {
                            cursor = Cursor { instance, offset: 0 };
                            acknowledged = 0;
                        }
                        if !status.is_living() && head.offset <= cursor.offset {
                            return Ok(());
                        }
                    }
                    _ => {}
                },
                Err(broken) => {
                    may_come_back(broken)?;
                    break;
                }
            }
        }
        sleep(RETRY).await;
    }
}

fn may_come_back(broken: Broken) -> Result<(), Report> {
    match broken {
        Broken::Lost { .. } => Ok(()),
        Broken::Refused(report) => Err(report),
        Broken::SentAway => Err(Report::failed("somebody let this client leave")),
        Broken::Replaced => Err(Report::failed("another connection took the place of this one")),
    }
}
