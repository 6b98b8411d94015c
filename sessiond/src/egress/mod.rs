//! `baton-sessiond egress`: the way out for a session that may reach some hosts, and no others.
//!
//! ```text
//!   the program's network                       │  this host's
//!   program ──► 127.0.0.1:3128 (loopback only) ─┼─► this process ──► a host of the list
//! ```
//!
//! The program has a network of its own, in which there is nothing but loopback. The listening socket is made in there, by a
//! child that enters for it, and is held by this process, which is not in there: a socket belongs to the network it was made
//! in, whoever holds it. So nothing of Baton's runs inside, and there is no other way out.
//!
//! It is tended, as the way to the person's ssh agent is (`tended`).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`place`] | the socket in the program's network |
//! | [`head`] | what a client asks for, judged: bytes in, a decision out |
//! | `home` | whether an address is this host's own |
//! | [`refused`] | what was refused, on its way to the session's worker |
//! | `relay` | one connection: ask, connect, copy both ways |

pub mod head;
mod home;
pub mod hostile;
pub mod place;
pub mod refused;
mod relay;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use baton_proto::egress::AllowHosts;
use baton_sandbox::own::Own;

use crate::tended::{self, Connections, Given, Until};
use refused::Teller;

/// Its name as an argument and as a lock.
pub const ROLE: &str = "egress";

/// Connections of one session at once; two threads each. A browser opens six a host.
const CONNECTIONS_MAX: usize = 128;

/// What is allowed, and who is told of the rest.
type Judge = (Arc<AllowHosts>, Teller);

/// Serves, or waits to. `directory` is that of the program's instance.
///
/// # Errors
/// What it lacks; a worker that waits for it sees its pipe close without a word.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    let given = Given::inherited()?;
    let allowed = Arc::new(AllowHosts::parse(&given.spec.allow_hosts).context("the hosts of the session's spec")?);
    // Of a signal that closes the session's terminal it is no part; a writer that is gone is an error of the call.
    let listen = |given: &Given| place::listen(&given.program).context("listening in the program's network");
    tended::tend(given, directory, ROLE, listen, |given, listener, until| {
        if allowed.has_names() {
            // What turns names into addresses (nsswitch.conf(5)) loads its parts when they are first asked, and code can't be
            // mapped any more in a moment. No part knows this name (RFC 6761), so each of them is asked.
            let _ = std::net::ToSocketAddrs::to_socket_addrs(&("baton.invalid", 0));
        }
        let judge = Arc::new((Arc::clone(&allowed), Teller::new(directory)));
        let _ = Own::egress().confine();
        tracing::info!(session = %given.spec.session, hosts = given.spec.allow_hosts.len(), "the session reaches its hosts");
        serve(listener, until, &judge)
    })
}

fn serve(listener: &TcpListener, until: &Until<'_>, judge: &Arc<Judge>) -> anyhow::Result<Connections> {
    let connections = Connections::new(CONNECTIONS_MAX);
    listener.set_nonblocking(true)?;
    while until.readable(listener).context("waiting for connections")? {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(err) => {
                // Descriptors or memory run out, or the client left: with others' connections they come back.
                tracing::debug!("a connection could not be accepted: {err}");
                std::thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
        };
        let Some(counted) = connections.one_more() else {
            relay::full(stream);
            continue;
        };
        let judge = Arc::clone(judge);
        let spawned = relay::thread("egress").spawn(move || {
            relay::serve(stream, &judge.0, &judge.1);
            drop(counted);
        });
        if let Err(err) = spawned {
            tracing::debug!("no thread for a connection: {err}");
        }
    }
    Ok(connections)
}
