//! `baton send` and `baton signal`

use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_proto::api::{InputRequest, Session, SignalBody};
use baton_proto::{ClientId, Cursor, ErrorCode, SessionId};
use serde::Serialize;
use tokio::time::sleep;

use crate::api::{Api, terminal};
use crate::args::{SendArgs, SignalArgs};
use crate::commands::lease::{claim_as, explain, release_as};
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::report::Report;

/// Bytes of stdin in one request.
const PIECE_BYTES: usize = 32 << 10;

/// Types text, keys, or what stdin has.
pub async fn send(context: &Context, args: SendArgs) -> Result<u8, Report> {
    let from_stdin = args.text.is_none() && args.keys.is_empty() && !args.enter;
    if from_stdin && io::stdin().is_terminal() {
        return Err(Report::usage("there is nothing to send")
            .hint("give --text or --keys, or pipe something in; `baton attach` types by hand"));
    }
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let typist = Typist { api: &api, session: &session, client: context.scripted_client()? };
    typist
        .with_control(args.claim, async {
            if let Some(text) = args.text {
                typist.type_in(Input::Text(text)).await?;
            } else if !args.keys.is_empty() {
                typist.type_in(Input::Keys(args.keys)).await?;
            } else if from_stdin {
                typist.type_stdin().await?;
            }
            if args.enter {
                typist.type_in(Input::Keys(vec!["Enter".to_owned()])).await?;
            }
            if args.json {
                out::json(&Sent { session_id: session.id, cursor: session.cursor })?;
            }
            Ok(0)
        })
        .await
}

/// Signals the program in the foreground.
pub async fn signal(context: &Context, args: &SignalArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let typist = Typist { api: &api, session: &session, client: context.scripted_client()? };
    let signal = args.signal.to_ascii_uppercase();
    let signal = signal.strip_prefix("SIG").unwrap_or(&signal).to_owned();
    typist
        .with_control(args.claim, async {
            let body = SignalBody { client_id: typist.client.clone(), signal, epoch: None };
            let what = format!("`{}` cannot be signalled", label(&session));
            api.post_unit(&what, &terminal(session.id, "signal"), &body).await?;
            Ok(0)
        })
        .await
}

/// `baton send --json`: what is written because of it comes after this cursor.
#[derive(Debug, Serialize)]
struct Sent {
    session_id: SessionId,
    cursor: Cursor,
}

/// What can be typed.
enum Input {
    Text(String),
    Keys(Vec<String>),
    Bytes(Vec<u8>),
}

/// The scripted client, in one session.
pub struct Typist<'a> {
    /// The API.
    pub api: &'a Api,
    /// Where it types.
    pub session: &'a Session,
    /// Who it is.
    pub client: ClientId,
}

impl Typist<'_> {
    /// Does `work`, with control claimed before and released after it if `claim`; explains a refusal.
    pub async fn with_control(
        &self,
        claim: bool,
        work: impl Future<Output = Result<u8, Report>>,
    ) -> Result<u8, Report> {
        // Control that was ours before stays ours afterwards.
        let borrowed = claim && self.session.lease.as_ref().is_none_or(|lease| lease.owner != self.client);
        if borrowed {
            claim_as(self.api, self.session, &self.client, false).await?;
        }
        let result = work.await.map_err(|report| explain(report, &label(self.session)));
        if borrowed {
            match release_as(self.api, self.session, &self.client).await {
                // Somebody took it meanwhile, or the session ended: nothing is left to release.
                Err(report)
                    if matches!(
                        report.code(),
                        Some(
                            ErrorCode::NotOwner
                                | ErrorCode::LeaseLost
                                | ErrorCode::SessionEnded
                                | ErrorCode::ClientNotAttached
                        )
                    ) => {}
                Err(report) if result.is_ok() => return Err(report),
                _ => {}
            }
        }
        result
    }

    async fn type_in(&self, input: Input) -> Result<(), Report> {
        let mut body =
            InputRequest { client_id: self.client.clone(), data_b64: None, text: None, keys: None, epoch: None };
        match input {
            Input::Text(text) => body.text = Some(text),
            Input::Keys(keys) => body.keys = Some(keys),
            Input::Bytes(bytes) => body.data_b64 = Some(STANDARD.encode(bytes)),
        }
        let what = format!("`{}` takes no input", label(self.session));
        loop {
            match self.api.post_unit(&what, &terminal(self.session.id, "input"), &body).await {
                // The program does not read; nothing of this request was typed, so it waits its turn.
                Err(report) if report.code() == Some(ErrorCode::InputFull) => sleep(Duration::from_millis(50)).await,
                result => return result,
            }
        }
    }

    async fn type_stdin(&self) -> Result<(), Report> {
        let mut stdin = io::stdin().lock();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match stdin.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => self.type_in(Input::Bytes(piece[..read].to_vec())).await?,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(Report::failed("stdin cannot be read").why(err)),
            }
        }
    }
}
