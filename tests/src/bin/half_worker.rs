//! A version of `baton-sessiond` that is good for half of the way: its worker gets ready to follow another, is let go,
//! takes over nothing. What it does then stands in `BATON_TEST_HALF`: `exits` or `hangs`.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use baton_proto::frame::Kind;
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op};
use baton_proto::{codec, spec::SessionSpec};
use baton_sandbox::fds;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--version"] => writeln!(std::io::stdout(), "baton-sessiond 99.0.0").context("saying the version"),
        ["worker", "--succeed"] => {
            stand_by()?;
            if std::env::var("BATON_TEST_HALF").is_ok_and(|how| how == "hangs") {
                loop {
                    std::thread::park();
                }
            }
            bail!("this version takes nothing over")
        }
        _ => bail!("this version does nothing else"),
    }
}

/// Says that it is ready, and waits for the word.
fn stand_by() -> anyhow::Result<()> {
    let keeper = fds::inherited(3).context("a channel")?;
    let spec = fds::read_sealed(fds::inherited(4).context("a spec")?, codec::SPEC_BYTES_MAX)?;
    let spec: SessionSpec = codec::decode_large(Kind::Spawn, &spec)?;
    fds::send(&keeper, &LaunchMessage::new(Op::Standby, spec.session).to_bytes(), &[])?;
    loop {
        let mut bytes = [0; LAUNCH_BYTES];
        let (count, _) = fds::receive(&keeper, &mut bytes)?;
        match LaunchMessage::from_bytes(&bytes[..count]) {
            Some(LaunchMessage { op: Op::Go, .. }) => return Ok(()),
            _ if count == 0 => bail!("nobody lets it go on"),
            _ => {}
        }
    }
}
