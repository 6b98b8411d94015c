//! Every kind of frame with its message: examples for the golden frames, strategies for the property tests.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "test code")]

pub mod examples;
pub mod strategies;

use baton_proto::frame::{HEADER_BYTES, Kind, read_body, write_message};
use baton_proto::hello::{Accepted, Hello, Proof, Welcome};
use baton_proto::spec::SessionSpec;
use baton_proto::v1;
use bincode::{Decode, Encode};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

/// Kinds whose number is taken and whose message does not exist yet.
pub const RESERVED: [Kind; 2] = [Kind::Wait, Kind::Park];

/// One kind of frame.
pub struct Entry {
    /// Which.
    pub kind: Kind,
    /// Payloads that stay for ever, by name; the first has none.
    pub examples: Vec<(&'static str, Vec<u8>)>,
    /// Any payload of the kind, made from a value that survived the way there and back.
    pub payloads: BoxedStrategy<Vec<u8>>,
    /// Whether the payload is one control message, so that a byte more or less is refused.
    pub is_message: bool,
}

/// Every kind that has a message, or raw bytes, or an empty payload.
pub fn entries() -> Vec<Entry> {
    use examples as e;
    use strategies as s;
    vec![
        raw(Kind::Output, b"\x1b[1mhello\x1b[0m\r\n".to_vec(), s::data()),
        raw(Kind::Stderr, b"no such file\n".to_vec(), s::data()),
        message(Kind::InputMark, e::input_records(), s::input_record()),
        message(Kind::Resize, e::resize_records(), s::resize_record()),
        message(Kind::Lease, e::lease_records(), s::lease_record()),
        message(Kind::Mark, e::mark_records(), s::mark_record()),
        message(Kind::Exit, e::exit_records(), s::exit_record()),
        message(Kind::Gap, e::gap_records(), s::gap_record()),
        message::<Hello>(Kind::Hello, e::hellos(), s::hello()),
        message::<Welcome>(Kind::Welcome, e::welcomes(), s::welcome()),
        message(Kind::Proof, one(Proof { proof: [0xA5; 32] }), any::<[u8; 32]>().prop_map(|proof| Proof { proof })),
        message(Kind::Accepted, one(Accepted {}), Just(Accepted {})),
        message(Kind::Refused, e::failures(), s::failed()),
        message(Kind::Attach, e::attaches(), s::attach()),
        message(Kind::Detach, e::detaches(), s::detach()),
        raw(Kind::Input, e::input(), s::input()),
        message(Kind::Viewport, e::viewports(), s::viewport()),
        message(Kind::ResizeRequest, e::resize_requests(), s::resize_request()),
        message(Kind::Claim, e::claims(), s::claim()),
        message(Kind::Release, e::releases(), s::release()),
        message(Kind::Transfer, e::transfers(), s::transfer()),
        message(Kind::RequestControl, e::control_requests(), s::request_control()),
        message(Kind::DenyControl, e::control_denials(), s::deny_control()),
        message(Kind::Liveness, e::livenesses(), s::liveness()),
        message(Kind::Snapshot, e::snapshots(), s::snapshot()),
        message(Kind::ReadRange, e::read_ranges(), s::read_range()),
        message(Kind::Signal, e::signals(), s::signal()),
        message(Kind::Close, e::closes(), s::close()),
        message(
            Kind::Trim,
            one(v1::Trim { max_bytes: 64 << 20 }),
            any::<u64>().prop_map(|max_bytes| v1::Trim { max_bytes }),
        ),
        message(Kind::Inspect, one(v1::Inspect {}), Just(v1::Inspect {})),
        message(Kind::Subscribe, e::subscribes(), s::subscribe()),
        message(Kind::Configure, e::configures(), s::configure()),
        message(
            Kind::Locate,
            one(v1::Locate { wall_us: 1_700_000_000_000_000 }),
            any::<u64>().prop_map(|wall_us| v1::Locate { wall_us }),
        ),
        message(Kind::Facts, e::facts(), s::facts()),
        raw(Kind::Done, Vec::new(), Just(Vec::new())),
        message(Kind::Failed, e::failures(), s::failed()),
        message(Kind::Attached, e::attacheds(), s::attached()),
        raw(Kind::Range, e::range(), s::range()),
        message(Kind::Inspection, e::inspections(), s::inspection()),
        message(Kind::LeaseState, e::lease_records(), s::lease_record()),
        message(Kind::Subscribed, e::subscribeds(), s::subscribed()),
        message(Kind::Clients, e::clients(), s::clients()),
        message(Kind::InputAck, e::input_acks(), s::input_ack()),
        message(Kind::InputRefused, e::input_refusals(), s::input_refused()),
        message(Kind::ControlRequested, e::controls_requested(), s::control_requested()),
        message(Kind::ControlDenied, e::controls_denied(), s::control_denied()),
        message(Kind::Replaced, e::replaceds(), s::replaced()),
        message(Kind::InputUncertain, e::inputs_uncertain(), s::input_uncertain()),
        raw(Kind::Screen, e::screen(), s::screen()),
        message(Kind::Located, e::locateds(), s::located()),
        message(Kind::ScreenState, one(e::screen_state()), s::screen_state()),
        message(Kind::JournalState, e::journal_states(), s::journal_state()),
        message(Kind::LimitReached, e::limits_reached(), s::limit_reached()),
        message(Kind::Denied, one(e::denied()), s::denied()),
        message::<SessionSpec>(Kind::Spawn, e::specs(), s::spec()),
        message(Kind::ListSessions, one(v1::ListSessions {}), Just(v1::ListSessions {})),
        message(Kind::OpenSession, e::opens(), s::open_session()),
        message(Kind::ForgetSession, e::forgets(), s::forget_session()),
        message(Kind::Upgrade, e::upgrades(), s::upgrade()),
        message(Kind::EditSettings, e::edits_of_settings(), s::edit_settings()),
        message(Kind::Respawn, e::respawns(), s::respawn()),
        message(Kind::AskStatus, one(v1::AskStatus {}), Just(v1::AskStatus {})),
        message(Kind::Session, e::entries(), s::session_entry()),
        message(Kind::Sessions, e::sessions(), s::sessions()),
        message(Kind::Status, e::statuses(), s::supervisor_status()),
        message(Kind::SessionChanged, e::entries(), s::session_entry()),
    ]
}

/// An only example.
pub fn one<T>(value: T) -> Vec<(&'static str, T)> {
    vec![("", value)]
}

fn raw(kind: Kind, example: Vec<u8>, payloads: impl Strategy<Value = Vec<u8>> + 'static) -> Entry {
    Entry { kind, examples: one(example), payloads: payloads.boxed(), is_message: false }
}

fn message<T>(kind: Kind, examples: Vec<(&'static str, T)>, values: impl Strategy<Value = T> + 'static) -> Entry
where
    T: Encode + Decode<()> + PartialEq + std::fmt::Debug + 'static,
{
    Entry {
        kind,
        examples: examples.into_iter().map(|(name, value)| (name, there_and_back(kind, &value))).collect(),
        payloads: values.prop_map(move |value| there_and_back(kind, &value)).boxed(),
        is_message: true,
    }
}

/// The payload of a message, which reads as the same message.
pub fn there_and_back<T: Encode + Decode<()> + PartialEq + std::fmt::Debug>(kind: Kind, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(kind, 0, value, &mut out).unwrap();
    let payload = out.split_off(HEADER_BYTES);
    let back: T = read_body(kind, &payload).unwrap();
    assert_eq!(back, *value, "{kind:?}");
    payload
}
