//! Accepting connections on both listeners: bounded in number, in time for their headers, in buffers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::app::App;
use crate::gate::Peer;

/// Connections at once; one more is accepted and closed, so that it fails at once and not by a time-out.
pub const CONNECTIONS_MAX: usize = 10_240;
/// A client has so long to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// How long to wait when the process has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What connections are made of.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts over TCP until the bridge stops.
    pub(crate) async fn tcp(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    // A keystroke's echo is a small packet that nothing follows.
                    if let Err(err) = stream.set_nodelay(true) {
                        tracing::debug!("TCP_NODELAY: {err}");
                    }
                    self.connection(stream, Peer::Tcp(address.ip().to_canonical()));
                }
                Err(err) => pause(&err).await,
            }
        }
    }

    /// Accepts on `bridge.sock` until the bridge stops.
    pub(crate) async fn unix(mut self, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => self.connection(stream, Peer::Unix),
                Err(err) => pause(&err).await,
            }
        }
    }

    fn connection<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.app.counters.connections_refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (router, app, mut stopping) = (self.router.clone(), Arc::clone(&self.app), self.stopping.clone());
        tokio::spawn(async move {
            app.counters.connections.fetch_add(1, Ordering::Relaxed);
            // A WebSocket outlives this future: its place goes with the requests' extensions.
            let place = Place(Arc::new(place));
            let router = TowerToHyperService::new(router);
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(place.clone());
                router.call(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stopped(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(err) = served {
                tracing::debug!("connection: {err}");
            }
            app.counters.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// A connection's place among [`CONNECTIONS_MAX`]; held by whatever lives longest of it.
#[derive(Debug, Clone)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>);

/// Waits until the bridge stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender there is no bridge either.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn pause(err: &io::Error) {
    // EMFILE and the like: the connection stays queued, and trying again at once would only burn a core.
    tracing::warn!("accepting failed: {err}");
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}
