//! The handshake against a peer without the key: whatever it says, it is not believed.

use baton_proto::frame::{Kind, read_body};
use baton_proto::hello::{Hello, InstallKey, Proof, VERSION_MAX, VERSION_MIN, Welcome};

/// The bytes are a `Hello`, a `Welcome` and a `Proof` of somebody who guesses.
pub fn run(bytes: &[u8]) {
    let key = InstallKey::new([0x5A; InstallKey::BYTES]);
    let nonce = [7; 32];
    if let Ok(hello) = read_body::<Hello>(Kind::Hello, bytes) {
        match hello.shared_version() {
            Ok(version) => {
                assert!((VERSION_MIN..=VERSION_MAX).contains(&version));
                assert!((hello.version_min..=hello.version_max).contains(&version));
                let answer = Proof { proof: key.dialler_proof(&hello, version, &nonce) };
                assert!(key.believes_dialler(&hello, version, &nonce, &answer));
                let reflected = Proof { proof: key.listener_proof(&hello, version, &nonce) };
                assert!(!key.believes_dialler(&hello, version, &nonce, &reflected), "a reflected proof was believed");
            }
            Err(_) => assert!(
                hello.version_min > VERSION_MAX
                    || hello.version_max < VERSION_MIN
                    || hello.version_min > hello.version_max
            ),
        }
        if let Some(guess) = bytes.last_chunk::<32>() {
            assert!(!key.believes_dialler(&hello, VERSION_MAX, &nonce, &Proof { proof: *guess }));
        }
    }
    if let Ok(welcome) = read_body::<Welcome>(Kind::Welcome, bytes) {
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            role: baton_proto::hello::Role::Bridge,
            nonce: [9; 32],
            capabilities: Vec::new(),
            build: String::new(),
        };
        assert!(!key.believes_listener(&hello, &welcome), "a listener without the key was believed");
    }
    if let Ok(proof) = read_body::<Proof>(Kind::Proof, bytes) {
        assert_eq!(bytes, proof.proof);
    }
}
