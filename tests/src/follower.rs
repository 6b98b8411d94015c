//! A client that comes back, by cursor, however often it is cut off: it ends with every byte or the test fails.

use std::time::Duration;

use baton_proto::api::{ClientFrame, Exit, ServerFrame};
use baton_proto::ids::{ClientId, Cursor, Epoch, SessionId};
use tokio::task::JoinHandle;

use crate::attach::Attach;
use crate::http::Api;
use crate::stream::StreamClient;
use crate::websocket::Incoming;

/// What a follower ended with.
#[derive(Debug)]
pub struct Followed {
    /// Who it was.
    pub client: ClientId,
    /// Every byte from its first cursor to the end.
    pub bytes: Vec<u8>,
    /// How often it came back.
    pub reconnects: u32,
    /// Leases as told, without repetition.
    pub leases: Vec<(Option<ClientId>, Epoch)>,
    /// How the program ended.
    pub exit: Exit,
}

/// Follows a session until its program ends. Whoever cuts it off, it comes back with its cursor and `snapshot: never`.
#[must_use]
pub fn follow(api: Api, session: SessionId, attach: Attach) -> JoinHandle<Followed> {
    tokio::spawn(async move {
        let mut followed = Followed {
            client: attach.client_id.clone(),
            bytes: Vec::new(),
            reconnects: 0,
            leases: Vec::new(),
            exit: Exit { code: None, signal: None, reason: String::new() },
        };
        let mut resume: Option<Cursor> = attach.resume;
        loop {
            let again = Attach { resume, ..attach.clone() };
            let Ok(mut client) = StreamClient::open(&api, session, again).await else {
                // The bridge was killed between accepting and answering.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            assert_eq!(client.ready.lost, None, "nothing was trimmed");
            note(&mut followed.leases, client.ready.owner.clone(), client.ready.epoch);
            let exit = receive(&mut client, &mut followed).await;
            followed.bytes.append(&mut client.output);
            resume = Some(client.cursor());
            if let Some(exit) = exit {
                followed.exit = exit;
                return followed;
            }
            followed.reconnects += 1;
        }
    })
}

/// Receives until the program ends, or until the connection does.
async fn receive(client: &mut StreamClient, followed: &mut Followed) -> Option<Exit> {
    let mut heartbeat = tokio::time::interval(Duration::from_secs(4));
    loop {
        tokio::select! {
            incoming = client.next() => match incoming {
                Incoming::Frame(ServerFrame::Exit { code, signal, reason }) => return Some(Exit { code, signal, reason }),
                Incoming::Frame(ServerFrame::Lease { owner, epoch, .. }) => note(&mut followed.leases, owner, epoch),
                Incoming::Frame(ServerFrame::Error { code, message, .. }) => panic!("a follower was told `{code}`: {message}"),
                Incoming::Screen { .. } => panic!("a screen in spite of `snapshot: never`"),
                Incoming::Closed { .. } => return None,
                Incoming::Data { .. } | Incoming::Frame(_) => {}
            },
            _ = heartbeat.tick() => {
                if client.try_send(ClientFrame::Heartbeat).await.is_err() {
                    return None;
                }
            }
        }
    }
}

fn note(leases: &mut Vec<(Option<ClientId>, Epoch)>, owner: Option<ClientId>, epoch: Epoch) {
    if leases.last() != Some(&(owner.clone(), epoch)) {
        leases.push((owner, epoch));
    }
}
