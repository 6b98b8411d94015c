//! A worker and sessiond, asked by peers of other versions.

use std::path::Path;
use std::time::Duration;

use baton_proto::frame::{Header, Kind};
use baton_proto::hello::{Hello, InstallKey, Proof, Role, VERSION_MAX, VERSION_MIN};
use baton_proto::v1::{self, Class, Inspection};
use baton_tests::peer::Peer;
use baton_tests::{Baton, Setup, scenario, session};

/// What a peer that speaks these versions is told: the version, or why not.
async fn ask(socket: &Path, key: &InstallKey, version_min: u16, version_max: u16) -> Result<u16, String> {
    let hello = Hello { version_min, version_max, ..Peer::hello(Role::Bridge) };
    let mut peer = Peer::connect(socket).await.unwrap();
    let welcome = peer.greet(&hello).await.map_err(|err| err.to_string())?;
    assert!(key.believes_listener(&hello, &welcome), "the proof is about what was offered");
    let proof = Proof { proof: key.dialler_proof(&hello, welcome.version, &welcome.nonce) };
    peer.send(Kind::Proof, 0, &proof).await.unwrap();
    let accepted = peer.next().await.unwrap().expect("an answer to the proof");
    assert_eq!(accepted.kind(), Some(Kind::Accepted));
    Ok(welcome.version)
}

#[test]
fn peers_of_other_versions_agree_on_one_or_are_told_why_not() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        for socket in [baton.worker_socket(session), baton.sessiond_socket()] {
            let ask = async |min, max| ask(&socket, &baton.key(), min, max).await;
            // Of a later build that still speaks this version.
            assert_eq!(ask(VERSION_MIN, VERSION_MAX + 8).await, Ok(VERSION_MAX));
            assert_eq!(ask(0, VERSION_MAX).await, Ok(VERSION_MAX));
            // Only older, only later, and no range at all: told, never hung up on in silence, and nothing is harmed.
            for (min, max) in [(0, VERSION_MIN - 1), (VERSION_MAX + 1, VERSION_MAX + 8), (VERSION_MAX + 1, VERSION_MIN)]
            {
                let refused = ask(min, max).await.unwrap_err();
                assert!(refused.contains("version"), "{min} to {max} at {}: {refused}", socket.display());
            }
            assert_eq!(ask(VERSION_MIN, VERSION_MAX).await, Ok(VERSION_MAX));
        }
    });
}

#[test]
fn a_worker_skips_a_request_of_a_later_version_and_closes_on_unknown_data() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut peer = baton.worker_peer(session).await;
        peer.attach(&session::client_id(), Class::Person).await;
        for number in [61, 120, 191, 250, u16::MAX] {
            assert_eq!(Kind::from_number(number), None, "take another number: {number} has come to be used");
            let header = Header { len: 5, kind: number, at: 99, ..Header::default() };
            peer.send_raw(&[&header.to_bytes()[..], b"later"].concat()).await.unwrap();
            // It goes on with what it knows.
            let inspection: Inspection = peer.ask(Kind::Inspect, &v1::Inspect {}, Kind::Inspection).await;
            assert!(inspection.head <= 1 << 20);
        }
        let header = Header { len: 5, kind: 31, ..Header::default() };
        peer.send_raw(&[&header.to_bytes()[..], b"later"].concat()).await.unwrap();
        while let Ok(Some(_)) = peer.next().await {}
        // That connection has ended, and nothing else.
        let mut peer = baton.worker_peer(session).await;
        let _: Inspection = peer.ask(Kind::Inspect, &v1::Inspect {}, Kind::Inspection).await;
    });
}
