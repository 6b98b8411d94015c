//! Bodies of messages and records: whatever the bytes, they are a message or they are refused.

use baton_proto::codec;
use baton_proto::error::ProtoError;
use baton_proto::frame::{Kind, read_body, write_message};
use baton_proto::hello::{Accepted, Hello, Proof, Welcome};
use baton_proto::launch::LaunchMessage;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::{self, InputHeader, RangeHeader};
use bincode::{Decode, Encode};

/// The first two bytes name a kind, the rest is the payload.
pub fn run(bytes: &[u8]) {
    if let Some(message) = LaunchMessage::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes);
    }
    if let Ok(state) = codec::decode::<v1::CarriedState>(Kind::Lease, bytes) {
        let mut again = Vec::new();
        assert_eq!(codec::encode(Kind::Lease, &state, &mut again), Ok(()));
        assert_eq!(codec::decode(Kind::Lease, &again), Ok(state));
    }
    let Some((number, payload)) = bytes.split_first_chunk::<2>() else { return };
    // Kinds fill a small part of the numbers: fold the others in.
    let number = u16::from_le_bytes(*number);
    let Some(kind) = Kind::from_number(number).or_else(|| Kind::from_number(number % 256)) else { return };
    if let Ok(once) = reencode(kind, payload) {
        assert!(once.len() <= kind.payload_bytes_max() as usize, "{kind:?} grew");
        let twice = reencode(kind, &once);
        assert_eq!(twice.as_ref(), Ok(&once), "{kind:?} is not stable");
    }
}

/// Reads a payload of this kind and writes it again.
///
/// The result may differ from the payload (a client id has more than one spelling), but only once.
///
/// # Errors
/// [`ProtoError::Body`] when the bytes are not this message; always for a kind that has no message in this version.
pub fn reencode(kind: Kind, payload: &[u8]) -> Result<Vec<u8>, ProtoError> {
    match kind {
        Kind::Output | Kind::Stderr => Ok(payload.to_vec()),
        Kind::Done if payload.is_empty() => Ok(Vec::new()),
        Kind::Input => {
            let (header, bytes) = InputHeader::split(payload).ok_or_else(|| short(kind))?;
            Ok([&header.to_bytes()[..], bytes].concat())
        }
        Kind::Range => {
            let (header, records) = RangeHeader::split(payload).ok_or_else(|| short(kind))?;
            Ok([&header.to_bytes()[..], records].concat())
        }
        Kind::InputMark => again::<v1::InputRecord>(kind, payload),
        Kind::Resize => again::<v1::ResizeRecord>(kind, payload),
        Kind::Lease | Kind::LeaseState => again::<v1::LeaseRecord>(kind, payload),
        Kind::Mark => again::<v1::MarkRecord>(kind, payload),
        Kind::Exit => again::<v1::ExitRecord>(kind, payload),
        Kind::Gap => again::<v1::GapRecord>(kind, payload),
        Kind::Hello => again::<Hello>(kind, payload),
        Kind::Welcome => again::<Welcome>(kind, payload),
        Kind::Proof => again::<Proof>(kind, payload),
        Kind::Accepted => again::<Accepted>(kind, payload),
        Kind::Refused | Kind::Failed => again::<v1::Failed>(kind, payload),
        Kind::Attach => again::<v1::Attach>(kind, payload),
        Kind::Detach => again::<v1::Detach>(kind, payload),
        Kind::Viewport => again::<v1::Viewport>(kind, payload),
        Kind::ResizeRequest => again::<v1::ResizeRequest>(kind, payload),
        Kind::Claim => again::<v1::Claim>(kind, payload),
        Kind::Release => again::<v1::Release>(kind, payload),
        Kind::Transfer => again::<v1::Transfer>(kind, payload),
        Kind::RequestControl => again::<v1::RequestControl>(kind, payload),
        Kind::DenyControl => again::<v1::DenyControl>(kind, payload),
        Kind::Liveness => again::<v1::Liveness>(kind, payload),
        Kind::Screen => {
            let (header, bytes) = v1::ScreenHeader::split(payload).ok_or_else(|| short(kind))?;
            Ok([&header.to_bytes()[..], bytes].concat())
        }
        Kind::Snapshot => again::<v1::SnapshotRequest>(kind, payload),
        Kind::Locate => again::<v1::Locate>(kind, payload),
        Kind::Located => again::<v1::Located>(kind, payload),
        Kind::Facts => again::<v1::TerminalFacts>(kind, payload),
        Kind::ScreenState => again::<v1::ScreenState>(kind, payload),
        Kind::JournalState => again::<v1::JournalState>(kind, payload),
        Kind::Denied => again::<baton_proto::denied::Denied>(kind, payload),
        Kind::LimitReached => again::<baton_proto::limits::LimitReached>(kind, payload),
        Kind::ReadRange => again::<v1::ReadRange>(kind, payload),
        Kind::Signal => again::<v1::SignalRequest>(kind, payload),
        Kind::Close => again::<v1::Close>(kind, payload),
        Kind::Trim => again::<v1::Trim>(kind, payload),
        Kind::Inspect => again::<v1::Inspect>(kind, payload),
        Kind::Subscribe => again::<v1::Subscribe>(kind, payload),
        Kind::Configure => again::<v1::Configure>(kind, payload),
        Kind::Attached => again::<v1::Attached>(kind, payload),
        Kind::Inspection => again::<v1::Inspection>(kind, payload),
        Kind::Subscribed => again::<v1::Subscribed>(kind, payload),
        Kind::Clients => again::<v1::Clients>(kind, payload),
        Kind::InputAck => again::<v1::InputAck>(kind, payload),
        Kind::InputRefused => again::<v1::InputRefused>(kind, payload),
        Kind::ControlRequested => again::<v1::ControlRequested>(kind, payload),
        Kind::ControlDenied => again::<v1::ControlDenied>(kind, payload),
        Kind::Replaced => again::<v1::Replaced>(kind, payload),
        Kind::InputUncertain => again::<v1::InputUncertain>(kind, payload),
        Kind::Spawn => again::<SessionSpec>(kind, payload),
        Kind::ListSessions => again::<v1::ListSessions>(kind, payload),
        Kind::OpenSession => again::<v1::OpenSession>(kind, payload),
        Kind::ForgetSession => again::<v1::ForgetSession>(kind, payload),
        Kind::Upgrade => again::<v1::Upgrade>(kind, payload),
        Kind::EditSettings => again::<v1::EditSettings>(kind, payload),
        Kind::Respawn => again::<v1::Respawn>(kind, payload),
        Kind::AskStatus => again::<v1::AskStatus>(kind, payload),
        Kind::Session | Kind::SessionChanged => again::<v1::SessionEntry>(kind, payload),
        Kind::Sessions => again::<v1::Sessions>(kind, payload),
        Kind::Status => again::<v1::SupervisorStatus>(kind, payload),
        _ => Err(ProtoError::Body { kind: kind.number(), why: "no message has this kind".to_owned() }),
    }
}

fn again<T: Encode + Decode<()>>(kind: Kind, payload: &[u8]) -> Result<Vec<u8>, ProtoError> {
    let body: T = read_body(kind, payload)?;
    let mut out = Vec::new();
    write_message(kind, 0, &body, &mut out)?;
    Ok(out.split_off(baton_proto::frame::HEADER_BYTES))
}

fn short(kind: Kind) -> ProtoError {
    ProtoError::Body { kind: kind.number(), why: "too short".to_owned() }
}
