//! Strategies for every message: any value a peer of the right version may send.

use baton_proto::api::ProcessConfinement;
use baton_proto::denied::{Act, Denied};
use baton_proto::error::ErrorCode;
use baton_proto::frame::RANGE_BYTES_MAX;
use baton_proto::hello::{Hello, Role, Welcome, Who};
use baton_proto::ids::{ClientId, Epoch, InstanceId, SessionId};
use baton_proto::limits::{LimitReached, Limits, Resource};
use baton_proto::spec::{Grant, Layer, LayerStatus, Profile, SessionKind, SessionSpec};
use baton_proto::v1::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

/// A struct whose fields are drawn from strategies.
macro_rules! draw {
    ($type:ident { $($field:ident: $from:expr),+ $(,)? }) => {
        ($($from,)+).prop_map(|($($field,)+)| $type { $($field),+ })
    };
}

/// Short texts of every script, with what terminals and decoders stumble over.
pub fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![4 => "\\PC{0,24}", 1 => any::<String>(), 1 => Just(String::new()), 1 => Just("\0\u{1b}]0;\u{7}\u{202e}\u{10ffff}".to_owned())]
}

pub fn client_id() -> impl Strategy<Value = ClientId> + Clone {
    prop_oneof![
        any::<u128>().prop_map(|bits| ClientId::from(Uuid::from_u128(bits))),
        "[A-Za-z0-9._-]{1,64}".prop_map(|agent| format!("agent:{agent}").parse().unwrap()),
    ]
}

pub fn session_id() -> impl Strategy<Value = SessionId> + Clone {
    any::<u128>().prop_map(|bits| SessionId::from_uuid(Uuid::from_u128(bits)))
}

pub fn instance_id() -> impl Strategy<Value = InstanceId> + Clone {
    any::<u128>().prop_map(|bits| InstanceId::from_uuid(Uuid::from_u128(bits)))
}

pub fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..512)
}

fn epoch() -> impl Strategy<Value = Epoch> + Clone {
    any::<u64>().prop_map(Epoch)
}

fn attachment() -> impl Strategy<Value = Attachment> + Clone {
    any::<u64>().prop_map(Attachment)
}

fn dimensions() -> impl Strategy<Value = Dimensions> + Clone {
    draw!(Dimensions { cols: any::<u16>(), rows: any::<u16>() })
}

fn error_code() -> impl Strategy<Value = ErrorCode> + Clone {
    select(ErrorCode::ALL)
}

fn class() -> impl Strategy<Value = Class> + Clone {
    select(vec![Class::Person, Class::Agent])
}

fn client_kind() -> impl Strategy<Value = ClientKind> + Clone {
    select(vec![ClientKind::Web, ClientKind::Desktop, ClientKind::Cli, ClientKind::Agent, ClientKind::Mcp])
}

fn size_policy() -> impl Strategy<Value = SizePolicy> + Clone {
    prop_oneof![
        Just(SizePolicy::Holder),
        Just(SizePolicy::Fixed),
        any::<(u16, u16)>().prop_map(|(max_cols, max_rows)| SizePolicy::Cap { max_cols, max_rows }),
    ]
}

pub fn input_record() -> impl Strategy<Value = InputRecord> {
    draw!(InputRecord {
        client: client_id(),
        stream: any::<u64>(),
        epoch: epoch(),
        seq: any::<u64>(),
        len: any::<u32>(),
        bytes: option::of(data()),
    })
}

pub fn resize_record() -> impl Strategy<Value = ResizeRecord> {
    draw!(ResizeRecord { cols: any::<u16>(), rows: any::<u16>() })
}

fn lease_owner() -> impl Strategy<Value = LeaseOwner> + Clone {
    draw!(LeaseOwner { client: client_id(), name: text(), kind: client_kind(), class: class() })
}

pub fn lease_record() -> impl Strategy<Value = LeaseRecord> + Clone {
    draw!(LeaseRecord {
        epoch: epoch(),
        owner: option::of(lease_owner()),
        expired: any::<bool>(),
        expires_in_ms: option::of(any::<u64>()),
    })
}

pub fn mark_record() -> impl Strategy<Value = MarkRecord> {
    use MarkKind::*;
    let kind = select(vec![Prompt, Command, CommandEnd, Bell, Notification, Title, Cwd, InputUncertain]);
    draw!(MarkRecord { offset: any::<u64>(), kind: kind, text: text() })
}

pub fn exit_record() -> impl Strategy<Value = ExitRecord> + Clone {
    draw!(ExitRecord {
        code: option::of(any::<i32>()),
        signal: option::of(any::<i32>()),
        reason: text(),
        closed: any::<bool>(),
    })
}

pub fn gap_record() -> impl Strategy<Value = GapRecord> {
    draw!(GapRecord { lost: any::<u64>() })
}

pub fn hello() -> impl Strategy<Value = Hello> {
    let role = prop_oneof![
        any::<u64>().prop_map(|generation| Role::Supervisor { generation }),
        Just(Role::Bridge),
        Just(Role::Cli),
    ];
    draw!(Hello {
        version_min: any::<u16>(),
        version_max: any::<u16>(),
        role: role,
        nonce: any::<[u8; 32]>(),
        capabilities: vec("[a-z_]{1,32}", 0..16),
        build: "[ -~]{0,32}",
    })
}

pub fn welcome() -> impl Strategy<Value = Welcome> {
    let worker = (session_id(), instance_id()).prop_map(|(session, instance)| Who::Worker { session, instance });
    draw!(Welcome {
        version: any::<u16>(),
        who: prop_oneof![Just(Who::Supervisor), worker],
        pid: any::<u32>(),
        nonce: any::<[u8; 32]>(),
        proof: any::<[u8; 32]>(),
        capabilities: vec("[a-z_]{1,32}", 0..16),
        build: "[ -~]{0,32}",
    })
}

pub fn failed() -> impl Strategy<Value = Failed> {
    draw!(Failed {
        code: error_code(),
        message: text(),
        owner: option::of((text(), client_kind())),
        oldest: option::of(any::<u64>()),
    })
}

pub fn attach() -> impl Strategy<Value = Attach> {
    draw!(Attach {
        client: client_id(),
        kind: client_kind(),
        class: class(),
        name: text(),
        viewport: option::of(dimensions()),
        input_stream: any::<u64>(),
    })
}

pub fn detach() -> impl Strategy<Value = Detach> {
    draw!(Detach { attachment: attachment(), release: any::<bool>() })
}

pub fn input() -> impl Strategy<Value = Vec<u8>> {
    (attachment(), epoch(), any::<u64>(), data()).prop_map(|(attachment, epoch, seq, bytes)| {
        let header = InputHeader { attachment, epoch, seq };
        let payload = [&header.to_bytes()[..], &bytes].concat();
        assert_eq!(InputHeader::split(&payload), Some((header, &bytes[..])));
        payload
    })
}

pub fn viewport() -> impl Strategy<Value = Viewport> {
    draw!(Viewport { attachment: attachment(), size: dimensions() })
}

pub fn resize_request() -> impl Strategy<Value = ResizeRequest> {
    draw!(ResizeRequest { attachment: attachment(), size: dimensions() })
}

pub fn claim() -> impl Strategy<Value = Claim> {
    draw!(Claim {
        attachment: attachment(),
        force: any::<bool>(),
        if_epoch: option::of(epoch()),
        request: any::<u64>(),
    })
}

pub fn release() -> impl Strategy<Value = Release> {
    draw!(Release { attachment: attachment() })
}

pub fn transfer() -> impl Strategy<Value = Transfer> {
    draw!(Transfer { attachment: attachment(), to: client_id() })
}

pub fn request_control() -> impl Strategy<Value = RequestControl> {
    draw!(RequestControl { attachment: attachment() })
}

pub fn deny_control() -> impl Strategy<Value = DenyControl> {
    draw!(DenyControl { attachment: attachment(), client: client_id() })
}

pub fn liveness() -> impl Strategy<Value = Liveness> {
    draw!(Liveness { attachment: attachment(), alive: any::<bool>() })
}

pub fn read_range() -> impl Strategy<Value = ReadRange> {
    draw!(ReadRange { from: any::<u64>(), max_bytes: 0..=RANGE_BYTES_MAX })
}

pub fn signal() -> impl Strategy<Value = SignalRequest> {
    draw!(SignalRequest { attachment: attachment(), epoch: option::of(epoch()), signal: any::<i32>() })
}

pub fn close() -> impl Strategy<Value = Close> {
    draw!(Close { reason: text(), grace_ms: any::<u32>() })
}

pub fn subscribe() -> impl Strategy<Value = Subscribe> {
    let from = prop_oneof![Just(From::Head), any::<u64>().prop_map(From::Offset)];
    draw!(Subscribe { from: from, without_output: any::<bool>() })
}

pub fn configure() -> impl Strategy<Value = Configure> {
    draw!(Configure {
        policy: option::of((size_policy(), option::of(dimensions()))),
        idle_timeout_s: option::of(any::<u64>()),
        record_input: option::of(any::<bool>()),
    })
}

pub fn attached() -> impl Strategy<Value = Attached> {
    draw!(Attached {
        attachment: attachment(),
        instance: instance_id(),
        lease: lease_record(),
        head: any::<u64>(),
        oldest: any::<u64>(),
        size: dimensions(),
        resized_at: any::<u64>(),
        policy: size_policy(),
        input_seq: any::<u64>(),
        exit: option::of(exit_record()),
    })
}

pub fn snapshot() -> impl Strategy<Value = SnapshotRequest> {
    let at = prop_oneof![
        Just(ScreenAt::Head),
        any::<u64>().prop_map(ScreenAt::Offset),
        any::<u64>().prop_map(ScreenAt::Time)
    ];
    let format = select(vec![ScreenFormat::Ansi, ScreenFormat::Text, ScreenFormat::Html, ScreenFormat::Json]);
    draw!(SnapshotRequest { at: at, format: format, history: any::<u32>() })
}

pub fn facts() -> impl Strategy<Value = TerminalFacts> {
    draw!(TerminalFacts {
        attachment: attachment(),
        fg: option::of(any::<[u8; 3]>()),
        bg: option::of(any::<[u8; 3]>()),
        kitty: option::of(any::<u32>()),
        da1: option::of(text()),
        cell_px: option::of(any::<(u16, u16)>()),
    })
}

pub fn screen() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u64; 2]>(), any::<[u16; 2]>(), any::<[bool; 2]>(), data()).prop_map(
        |([offset, wall_us], [cols, rows], [last, approximate], bytes)| {
            let header = ScreenHeader { offset, wall_us, cols, rows, last, approximate };
            let payload = [&header.to_bytes()[..], &bytes].concat();
            assert_eq!(ScreenHeader::split(&payload), Some((header, &bytes[..])));
            payload
        },
    )
}

pub fn located() -> impl Strategy<Value = Located> {
    draw!(Located { offset: any::<u64>(), wall_us: any::<u64>() })
}

pub fn journal_state() -> impl Strategy<Value = JournalState> {
    draw!(JournalState { error: option::of(text()), from: any::<u64>(), lost: any::<u64>() })
}

pub fn screen_state() -> impl Strategy<Value = ScreenState> + Clone {
    let mouse = select(vec![MouseMode::None, MouseMode::X10, MouseMode::Clicks, MouseMode::Drags, MouseMode::All]);
    let texts = (option::of(text()), option::of(text()));
    (any::<u64>(), any::<[bool; 4]>(), mouse, any::<u32>(), texts).prop_map(
        |(
            offset,
            [alt_screen, focus_reports, bracketed_paste, application_cursor],
            mouse,
            kitty_keyboard,
            (title, cwd),
        )| {
            ScreenState {
                offset,
                alt_screen,
                mouse,
                focus_reports,
                bracketed_paste,
                application_cursor,
                kitty_keyboard,
                title,
                cwd,
            }
        },
    )
}

pub fn range() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u64; 3]>(), data()).prop_map(|([next, head, oldest], records)| {
        let header = RangeHeader { next, head, oldest };
        let payload = [&header.to_bytes()[..], &records].concat();
        assert_eq!(RangeHeader::split(&payload), Some((header, &records[..])));
        payload
    })
}

fn client_entry() -> impl Strategy<Value = ClientEntry> + Clone {
    draw!(ClientEntry {
        client: client_id(),
        kind: client_kind(),
        name: text(),
        viewport: option::of(dimensions()),
        attached_us: any::<u64>(),
    })
}

pub fn inspection() -> impl Strategy<Value = Inspection> {
    let ids = (any::<u32>(), any::<u32>(), instance_id(), lease_record(), vec(client_entry(), 0..4));
    let journal = (any::<[u64; 4]>(), dimensions(), size_policy(), screen_state());
    let program = (option::of((any::<u32>(), text())), option::of(text()), any::<[bool; 3]>(), any::<[u64; 2]>());
    let end = (option::of(exit_record()), option::of(any::<u64>()), vec(layer(), 0..3));
    (ids, journal, program, end).prop_map(|(ids, journal, program, (exit, parked_since_us, layers))| {
        let (program_pid, worker_pid, instance, lease, clients) = ids;
        let ([head, oldest, oldest_screen, journal_bytes], size, policy, screen) = journal;
        let (foreground, cwd, [echo, canonical, at_prompt], [input_queued, last_activity_us]) = program;
        Inspection {
            program_pid,
            worker_pid,
            instance,
            lease,
            clients,
            head,
            oldest,
            oldest_screen,
            journal_bytes,
            size,
            policy,
            foreground,
            cwd,
            echo,
            canonical,
            at_prompt,
            screen,
            input_queued,
            last_activity_us,
            exit,
            parked_since_us,
            layers,
        }
    })
}

pub fn subscribed() -> impl Strategy<Value = Subscribed> {
    draw!(Subscribed { start: any::<u64>(), lost: any::<u64>() })
}

pub fn clients() -> impl Strategy<Value = Clients> {
    draw!(Clients { clients: vec(client_entry(), 0..8) })
}

pub fn input_ack() -> impl Strategy<Value = InputAck> {
    draw!(InputAck { attachment: attachment(), seq: any::<u64>() })
}

pub fn input_refused() -> impl Strategy<Value = InputRefused> {
    draw!(InputRefused {
        attachment: attachment(),
        seq: any::<u64>(),
        accepted: any::<u64>(),
        code: error_code(),
        by: option::of(text()),
        since_us: option::of(any::<u64>()),
    })
}

pub fn control_requested() -> impl Strategy<Value = ControlRequested> {
    draw!(ControlRequested { owner: client_id(), client: client_id(), name: text() })
}

pub fn control_denied() -> impl Strategy<Value = ControlDenied> {
    draw!(ControlDenied { client: client_id(), by: option::of(text()) })
}

pub fn replaced() -> impl Strategy<Value = Replaced> {
    draw!(Replaced { attachment: attachment() })
}

pub fn input_uncertain() -> impl Strategy<Value = InputUncertain> {
    draw!(InputUncertain { client: client_id(), stream: any::<u64>(), seq: any::<u64>() })
}

fn layer() -> impl Strategy<Value = Layer> + Clone {
    let status = select(vec![LayerStatus::Enforced, LayerStatus::Partial, LayerStatus::Absent]);
    draw!(Layer { name: text(), status: status, abi: option::of(any::<u32>()), detail: option::of(text()) })
}

pub fn spec() -> impl Strategy<Value = SessionSpec> + Clone {
    let kind = select(vec![SessionKind::Terminal, SessionKind::Browser, SessionKind::File, SessionKind::Process]);
    let program = (vec(text(), 1..4), any::<bool>(), text(), vec((text(), text()), 0..4));
    let shape = (dimensions(), size_policy(), select(vec![Profile::Host, Profile::Workspace, Profile::Locked]));
    let people = (text(), option::of(client_id()), class());
    let bounds = (any::<[u64; 5]>(), any::<u32>(), any::<bool>(), text());
    let grants = vec((text(), any::<[bool; 3]>(), vec(text(), 0..2)), 0..3);
    let grants = grants.prop_map(|grants| {
        let grant = |(root, rights, output_roots): (String, [bool; 3], Vec<String>)| {
            let [write, create, delete] = rights;
            Grant { root, write, create, delete, output_roots }
        };
        grants.into_iter().map(grant).collect::<Vec<_>>()
    });
    let hosts = prop::collection::vec("[a-z.*:0-9]{1,20}", 0..4);
    let confinement = (grants, any::<bool>(), limits(), hosts, option::of(text()));
    (session_id(), instance_id(), kind, program, shape, people, bounds, confinement).prop_map(
        |(session, instance, kind, program, shape, people, bounds, confinement)| {
            let (command, login, cwd, env) = program;
            let (size, policy, profile) = shape;
            let (title, creator, class) = people;
            let (numbers, close_grace_ms, record_input, boot_id) = bounds;
            let (grants, sandbox_required, limits, allow_hosts, ssh_agent) = confinement;
            let [idle_timeout_s, lease_ttl_ms, journal_bytes, created_us, parked_ttl_s] = numbers;
            SessionSpec {
                session,
                instance,
                kind,
                command,
                login,
                cwd,
                env,
                size,
                policy,
                profile,
                title,
                creator,
                class,
                idle_timeout_s,
                lease_ttl_ms,
                close_grace_ms,
                journal_bytes,
                record_input,
                created_us,
                boot_id,
                parked_ttl_s,
                grants,
                sandbox_required,
                limits,
                allow_hosts,
                ssh_agent,
            }
        },
    )
}

pub fn denied() -> impl Strategy<Value = Denied> {
    draw!(Denied { act: select(Act::ALL.to_vec()), path: text(), why: text() })
}

fn limits() -> impl Strategy<Value = Limits> + Clone {
    draw!(Limits {
        memory_bytes: option::of(any::<u64>()),
        processes: option::of(any::<u64>()),
        cpu_weight: option::of(any::<u64>()),
        open_files: option::of(any::<u64>()),
        wall_s: option::of(any::<u64>()),
        disk_bytes: option::of(any::<u64>()),
    })
}

pub fn limit_reached() -> impl Strategy<Value = LimitReached> {
    let resource = select(Resource::ALL.to_vec());
    draw!(LimitReached { resource: resource, limit: any::<u64>(), reached: any::<bool>(), text: text() })
}

pub fn open_session() -> impl Strategy<Value = OpenSession> {
    draw!(OpenSession { session: session_id() })
}

pub fn upgrade() -> impl Strategy<Value = Upgrade> {
    use Upgradable::{Bridge, Launcher, Supervisor, Worker};
    let what = prop_oneof![Just(Launcher), Just(Supervisor), Just(Bridge), session_id().prop_map(Worker)];
    what.prop_map(|what| Upgrade { what })
}

pub fn edit_settings() -> impl Strategy<Value = EditSettings> {
    let section = || prop_oneof![Just(SettingsSection::Defaults), text().prop_map(SettingsSection::Agent)];
    let value = || {
        prop_oneof![
            text().prop_map(SettingValue::Text),
            any::<u64>().prop_map(SettingValue::Number),
            any::<bool>().prop_map(SettingValue::Flag)
        ]
    };
    let change = (section(), text(), option::of(value())).prop_map(|(section, key, value)| SettingChange {
        section,
        key,
        value,
    });
    (text(), vec(change, 0..4)).prop_map(|(expected_revision, changes)| EditSettings { expected_revision, changes })
}

pub fn forget_session() -> impl Strategy<Value = ForgetSession> {
    draw!(ForgetSession { session: session_id() })
}

pub fn respawn() -> impl Strategy<Value = Respawn> {
    let what = (option::of(vec(text(), 1..4)), option::of(text()), option::of(any::<u64>()), option::of(any::<bool>()));
    (session_id(), what).prop_map(|(session, (command, cwd, idle_timeout_s, record_input))| Respawn {
        session,
        command,
        cwd,
        idle_timeout_s,
        record_input,
    })
}

pub fn session_entry() -> impl Strategy<Value = SessionEntry> + Clone {
    let status = prop_oneof![
        Just(Status::Starting),
        Just(Status::Running),
        exit_record().prop_map(Status::Exited),
        exit_record().prop_map(Status::Closed),
        Just(Status::Lost),
        text().prop_map(|reason| Status::Failed { reason }),
    ];
    draw!(SessionEntry {
        spec: spec(),
        status: status,
        worker_pid: option::of(any::<u32>()),
        program_pid: option::of(any::<u32>()),
        socket: option::of("[a-z2-7]{8}"),
        layers: vec(layer(), 0..3),
    })
}

pub fn sessions() -> impl Strategy<Value = Sessions> {
    draw!(Sessions { sessions: vec(session_entry(), 0..4), last: any::<bool>() })
}

pub fn supervisor_status() -> impl Strategy<Value = SupervisorStatus> {
    draw!(SupervisorStatus {
        version: text(),
        pid: any::<u32>(),
        launcher_pid: any::<u32>(),
        started_us: any::<u64>(),
        generation: any::<u64>(),
        running: any::<u32>(),
        parked: any::<u32>(),
        lost: any::<u32>(),
        confinement: vec(process_confinement(), 0..3),
    })
}

fn process_confinement() -> impl Strategy<Value = ProcessConfinement> {
    let status = prop_oneof![Just(LayerStatus::Enforced), Just(LayerStatus::Partial), Just(LayerStatus::Absent)];
    let layer = (text(), status, option::of(any::<u32>()), option::of(text()))
        .prop_map(|(name, status, abi, detail)| Layer { name, status, abi, detail });
    draw!(ProcessConfinement { process: text(), layers: vec(layer, 0..4) })
}
