//! Representative values; the golden frames are made of them. What is here stays as it is: a new case is a new name.

use baton_proto::api::ProcessConfinement;
use baton_proto::denied::{Act, Denied};
use baton_proto::error::ErrorCode;
use baton_proto::frame::{Header, Kind};
use baton_proto::hello::{Hello, Role, Welcome, Who};
use baton_proto::ids::{ClientId, Epoch, InstanceId, SessionId};
use baton_proto::limits::{LimitReached, Limits, Resource};
use baton_proto::spec::{Grant, Layer, LayerStatus, Profile, SessionKind, SessionSpec};
use baton_proto::v1::*;
use uuid::Uuid;

use super::one;

type Examples<T> = Vec<(&'static str, T)>;

pub fn person() -> ClientId {
    "0192f00d-0000-7000-8000-000000000001".parse().unwrap()
}

pub fn agent() -> ClientId {
    "agent:fixer-2".parse().unwrap()
}

pub fn session() -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(0x0192_f00d_0000_7000_8000_0123_4567_89ab))
}

pub fn instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(0x0192_f00e_0000_7000_9000_0123_4567_89ab))
}

fn size() -> Dimensions {
    Dimensions { cols: 120, rows: 40 }
}

fn owner() -> LeaseOwner {
    LeaseOwner { client: person(), name: "desk".to_owned(), kind: ClientKind::Cli, class: Class::Person }
}

fn held() -> LeaseRecord {
    LeaseRecord { epoch: Epoch(7), owner: Some(owner()), expired: false, expires_in_ms: None }
}

pub fn input_records() -> Examples<InputRecord> {
    let plain =
        InputRecord { client: person(), stream: 0x1122_3344_5566_7788, epoch: Epoch(7), seq: 3, len: 4, bytes: None };
    vec![("", plain.clone()), ("recorded", InputRecord { bytes: Some(b"ls\r\n".to_vec()), ..plain })]
}

pub fn resize_records() -> Examples<ResizeRecord> {
    one(ResizeRecord { cols: 120, rows: 40 })
}

pub fn lease_records() -> Examples<LeaseRecord> {
    let by_agent =
        LeaseOwner { client: agent(), name: "fixer".to_owned(), kind: ClientKind::Agent, class: Class::Agent };
    vec![
        ("", held()),
        ("free", LeaseRecord { epoch: Epoch(8), owner: None, expired: false, expires_in_ms: None }),
        ("expired", LeaseRecord { epoch: Epoch(9), owner: Some(by_agent), expired: true, expires_in_ms: Some(0) }),
    ]
}

pub fn mark_records() -> Examples<MarkRecord> {
    let text = format!("{} 12 3", person());
    vec![
        ("", MarkRecord { offset: 4711, kind: MarkKind::CommandEnd, text: "0".to_owned() }),
        ("input_uncertain", MarkRecord { offset: 9, kind: MarkKind::InputUncertain, text }),
    ]
}

pub fn exit_records() -> Examples<ExitRecord> {
    vec![
        ("", ExitRecord { code: Some(3), signal: None, reason: "exit".to_owned(), closed: false }),
        ("signal", ExitRecord { code: None, signal: Some(9), reason: "done for today".to_owned(), closed: true }),
        ("unknown", ExitRecord { code: None, signal: None, reason: "status_unknown".to_owned(), closed: false }),
    ]
}

pub fn gap_records() -> Examples<GapRecord> {
    one(GapRecord { lost: 19_456 })
}

pub fn hellos() -> Examples<Hello> {
    let hello = |role| Hello {
        version_min: 1,
        version_max: 1,
        role,
        nonce: std::array::from_fn(|at| u8::try_from(at).unwrap()),
        capabilities: vec!["example".to_owned()],
        build: "0.1.0".to_owned(),
    };
    vec![
        ("", hello(Role::Bridge)),
        ("supervisor", hello(Role::Supervisor { generation: 12 })),
        ("cli", hello(Role::Cli)),
    ]
}

pub fn welcomes() -> Examples<Welcome> {
    let welcome = |who| Welcome {
        version: 1,
        who,
        pid: 4321,
        nonce: [0x11; 32],
        proof: [0x22; 32],
        capabilities: Vec::new(),
        build: "0.1.0".to_owned(),
    };
    vec![
        ("", welcome(Who::Worker { session: session(), instance: instance() })),
        ("supervisor", welcome(Who::Supervisor)),
    ]
}

pub fn failures() -> Examples<Failed> {
    let failed = |code, message: &str| Failed { code, message: message.to_owned(), owner: None, oldest: None };
    vec![
        ("", failed(ErrorCode::NotFound, "no session has this id")),
        (
            "lease_held",
            Failed {
                owner: Some(("desk".to_owned(), ClientKind::Cli)),
                ..failed(ErrorCode::LeaseHeld, "`desk` has control")
            },
        ),
        ("cursor_trimmed", Failed { oldest: Some(4096), ..failed(ErrorCode::CursorTrimmed, "kept from byte 4096 on") }),
    ]
}

pub fn attaches() -> Examples<Attach> {
    vec![
        (
            "",
            Attach {
                client: person(),
                kind: ClientKind::Web,
                class: Class::Person,
                name: "Firefox, désk".to_owned(),
                viewport: Some(size()),
                input_stream: 99,
            },
        ),
        (
            "agent",
            Attach {
                client: agent(),
                kind: ClientKind::Mcp,
                class: Class::Agent,
                name: String::new(),
                viewport: None,
                input_stream: 0,
            },
        ),
    ]
}

pub fn detaches() -> Examples<Detach> {
    one(Detach { attachment: Attachment(5), release: true })
}

pub fn input() -> Vec<u8> {
    let header = InputHeader { attachment: Attachment(5), epoch: Epoch(7), seq: 3 };
    [&header.to_bytes()[..], b"echo hi\r"].concat()
}

pub fn viewports() -> Examples<Viewport> {
    one(Viewport { attachment: Attachment(5), size: size() })
}

pub fn resize_requests() -> Examples<ResizeRequest> {
    one(ResizeRequest { attachment: Attachment(5), size: size() })
}

pub fn claims() -> Examples<Claim> {
    vec![
        ("", Claim { attachment: Attachment(5), force: false, if_epoch: None, request: 0 }),
        ("forced", Claim { attachment: Attachment(5), force: true, if_epoch: Some(Epoch(7)), request: 42 }),
    ]
}

pub fn releases() -> Examples<Release> {
    one(Release { attachment: Attachment(5) })
}

pub fn transfers() -> Examples<Transfer> {
    one(Transfer { attachment: Attachment(5), to: agent() })
}

pub fn control_requests() -> Examples<RequestControl> {
    one(RequestControl { attachment: Attachment(5) })
}

pub fn control_denials() -> Examples<DenyControl> {
    one(DenyControl { attachment: Attachment(5), client: agent() })
}

pub fn livenesses() -> Examples<Liveness> {
    one(Liveness { attachment: Attachment(5), alive: false })
}

pub fn read_ranges() -> Examples<ReadRange> {
    one(ReadRange { from: 1 << 40, max_bytes: 65_536 })
}

pub fn signals() -> Examples<SignalRequest> {
    vec![
        ("", SignalRequest { attachment: Attachment(5), epoch: Some(Epoch(7)), signal: 2 }),
        ("current_epoch", SignalRequest { attachment: Attachment(5), epoch: None, signal: 15 }),
    ]
}

pub fn closes() -> Examples<Close> {
    one(Close { reason: "done for today".to_owned(), grace_ms: 5000 })
}

pub fn subscribes() -> Examples<Subscribe> {
    vec![
        ("", Subscribe { from: From::Offset(77), without_output: false }),
        ("head", Subscribe { from: From::Head, without_output: true }),
    ]
}

pub fn configures() -> Examples<Configure> {
    let capped = SizePolicy::Cap { max_cols: 200, max_rows: 60 };
    vec![
        ("", Configure { policy: Some((capped, None)), idle_timeout_s: Some(600), record_input: Some(true) }),
        (
            "fixed",
            Configure { policy: Some((SizePolicy::Fixed, Some(size()))), idle_timeout_s: None, record_input: None },
        ),
    ]
}

pub fn attacheds() -> Examples<Attached> {
    one(Attached {
        attachment: Attachment(5),
        instance: instance(),
        lease: held(),
        head: 123_456,
        oldest: 4096,
        size: size(),
        resized_at: 100,
        policy: SizePolicy::Holder,
        input_seq: 3,
        exit: None,
    })
}

pub fn snapshots() -> Examples<SnapshotRequest> {
    vec![
        ("", SnapshotRequest { at: ScreenAt::Offset(4711), format: ScreenFormat::Ansi, history: 100 }),
        ("head", SnapshotRequest { at: ScreenAt::Head, format: ScreenFormat::Json, history: 0 }),
        ("time", SnapshotRequest { at: ScreenAt::Time(1_700_000_000_000_000), format: ScreenFormat::Text, history: 0 }),
    ]
}

pub fn facts() -> Examples<TerminalFacts> {
    let nothing =
        TerminalFacts { attachment: Attachment(5), fg: None, bg: None, kitty: None, da1: None, cell_px: None };
    let all = TerminalFacts {
        fg: Some([216, 216, 216]),
        bg: Some([17, 18, 19]),
        kitty: Some(31),
        da1: Some("62;22".to_owned()),
        cell_px: Some((9, 18)),
        ..nothing.clone()
    };
    vec![("", all), ("nothing", nothing)]
}

pub fn screen() -> Vec<u8> {
    let header = ScreenHeader {
        offset: 4711,
        wall_us: 1_700_000_000_000_000,
        cols: 120,
        rows: 40,
        last: true,
        approximate: false,
    };
    [&header.to_bytes()[..], b"\x1b[Hhello"].concat()
}

pub fn locateds() -> Examples<Located> {
    one(Located { offset: 4711, wall_us: 1_700_000_000_000_000 })
}

pub fn limits_reached() -> Examples<LimitReached> {
    let limit = |resource, limit, reached, text: &str| LimitReached { resource, limit, reached, text: text.to_owned() };
    vec![
        ("", limit(Resource::OpenFiles, 256, true, "`make` (4711) has all of its 256 files open")),
        ("eased", limit(Resource::DiskBytes, 1 << 30, false, "")),
    ]
}

pub fn denied() -> Denied {
    let why = "it is a secret: no confined session is shown it, whatever is granted".to_owned();
    Denied { act: Act::Read, path: "/etc/shadow".to_owned(), why }
}

pub fn journal_states() -> Examples<JournalState> {
    let failing =
        JournalState { error: Some("No space left on device (os error 28)".to_owned()), from: 4711, lost: 17 };
    vec![("", failing), ("recovered", JournalState { error: None, from: 4711, lost: 90_000 })]
}

pub fn screen_state() -> ScreenState {
    ScreenState {
        offset: 4711,
        alt_screen: true,
        mouse: MouseMode::Drags,
        focus_reports: true,
        bracketed_paste: true,
        application_cursor: false,
        kitty_keyboard: 5,
        title: Some("notes - vim".to_owned()),
        cwd: Some("/srv/project".to_owned()),
    }
}

pub fn range() -> Vec<u8> {
    let header = RangeHeader { next: 5, head: 5, oldest: 0 };
    let bytes = b"hello";
    let record = Header {
        len: 5,
        kind: Kind::Output.number(),
        at: 0,
        wall_us: 1_700_000_000_000_000,
        mono_us: 250,
        segment: 1,
        tag: instance().tag(),
        crc: 0,
    }
    .sealed(bytes);
    [&header.to_bytes()[..], &record.to_bytes()[..], bytes].concat()
}

fn client_entry() -> ClientEntry {
    ClientEntry {
        client: person(),
        kind: ClientKind::Desktop,
        name: "desk".to_owned(),
        viewport: Some(size()),
        attached_us: 1_700_000_000_000_000,
    }
}

pub fn inspections() -> Examples<Inspection> {
    one(Inspection {
        program_pid: 1001,
        worker_pid: 1000,
        instance: instance(),
        lease: held(),
        clients: vec![client_entry()],
        head: 123_456,
        oldest: 4096,
        oldest_screen: 8192,
        journal_bytes: 8 << 20,
        size: size(),
        policy: SizePolicy::Fixed,
        foreground: Some((1002, "vim notes".to_owned())),
        cwd: Some("/srv/project".to_owned()),
        echo: true,
        canonical: false,
        at_prompt: true,
        screen: screen_state(),
        input_queued: 17,
        last_activity_us: 1_700_000_000_000_000,
        exit: exit_records().pop().map(|(_, exit)| exit),
        parked_since_us: Some(1_700_000_000_000_001),
        layers: layers(),
    })
}

pub fn subscribeds() -> Examples<Subscribed> {
    one(Subscribed { start: 77, lost: 12 })
}

pub fn clients() -> Examples<Clients> {
    let bot = ClientEntry {
        client: agent(),
        kind: ClientKind::Agent,
        name: "fixer".to_owned(),
        viewport: None,
        attached_us: 1,
    };
    vec![("", Clients { clients: vec![client_entry(), bot] }), ("nobody", Clients { clients: Vec::new() })]
}

pub fn input_acks() -> Examples<InputAck> {
    one(InputAck { attachment: Attachment(5), seq: 3 })
}

pub fn input_refusals() -> Examples<InputRefused> {
    let refused =
        |code| InputRefused { attachment: Attachment(5), seq: 4, accepted: 3, code, by: None, since_us: None };
    vec![
        ("", refused(ErrorCode::NotOwner)),
        (
            "lease_lost",
            InputRefused {
                by: Some("tablet".to_owned()),
                since_us: Some(1_700_000_000_000_000),
                ..refused(ErrorCode::LeaseLost)
            },
        ),
    ]
}

pub fn controls_requested() -> Examples<ControlRequested> {
    one(ControlRequested { owner: person(), client: agent(), name: "fixer".to_owned() })
}

pub fn controls_denied() -> Examples<ControlDenied> {
    vec![
        ("", ControlDenied { client: agent(), by: Some("desk".to_owned()) }),
        ("too_late", ControlDenied { client: agent(), by: None }),
    ]
}

pub fn replaceds() -> Examples<Replaced> {
    one(Replaced { attachment: Attachment(4) })
}

pub fn inputs_uncertain() -> Examples<InputUncertain> {
    one(InputUncertain { client: person(), stream: 99, seq: 4 })
}

pub fn spec() -> SessionSpec {
    SessionSpec {
        session: session(),
        instance: instance(),
        kind: SessionKind::Terminal,
        command: vec!["bash".to_owned(), "-l".to_owned()],
        login: true,
        cwd: "/srv/project".to_owned(),
        env: vec![("TERM".to_owned(), "xterm-256color".to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())],
        size: size(),
        policy: SizePolicy::Holder,
        profile: Profile::Host,
        title: "main".to_owned(),
        creator: Some(person()),
        class: Class::Person,
        idle_timeout_s: 0,
        lease_ttl_ms: 15_000,
        close_grace_ms: 5000,
        journal_bytes: 64 << 20,
        record_input: false,
        created_us: 1_700_000_000_000_000,
        boot_id: "6f0c3a52-0000-4000-8000-000000000000".to_owned(),
        parked_ttl_s: 86_400,
        grants: Vec::new(),
        sandbox_required: false,
        limits: Limits::default(),
        allow_hosts: Vec::new(),
        ssh_agent: None,
    }
}

fn layers() -> Vec<Layer> {
    let layer = |name: &str, status, abi, detail: Option<&str>| Layer {
        name: name.to_owned(),
        status,
        abi,
        detail: detail.map(str::to_owned),
    };
    vec![
        layer("landlock", LayerStatus::Enforced, Some(7), None),
        layer("network", LayerStatus::Partial, None, Some("UDP is not stopped")),
        layer("seccomp", LayerStatus::Absent, None, None),
    ]
}

pub fn specs() -> Examples<SessionSpec> {
    let locked = SessionSpec {
        kind: SessionKind::Process,
        command: vec!["true".to_owned()],
        login: false,
        env: Vec::new(),
        profile: Profile::Locked,
        creator: None,
        class: Class::Agent,
        grants: vec![
            Grant::whole("/srv/project".to_owned()),
            Grant {
                root: "/srv/notes".to_owned(),
                output_roots: vec!["/srv/notes/out".to_owned()],
                ..Grant::default()
            },
        ],
        sandbox_required: true,
        limits: Limits { memory_bytes: Some(2 << 30), wall_s: Some(60), ..Limits::default() },
        allow_hosts: vec!["example.org".to_owned(), "*.example.net:443".to_owned()],
        ssh_agent: Some("/run/user/1000/ssh-agent.socket".to_owned()),
        ..spec()
    };
    vec![("", spec()), ("locked", locked)]
}

pub fn opens() -> Examples<OpenSession> {
    one(OpenSession { session: session() })
}

pub fn upgrades() -> Examples<Upgrade> {
    vec![
        ("launcher", Upgrade { what: Upgradable::Launcher }),
        ("sessiond", Upgrade { what: Upgradable::Supervisor }),
        ("bridge", Upgrade { what: Upgradable::Bridge }),
        ("worker", Upgrade { what: Upgradable::Worker(session()) }),
    ]
}

pub fn edits_of_settings() -> Examples<EditSettings> {
    let change = |section, key: &str, value| SettingChange { section, key: key.to_owned(), value };
    one(EditSettings {
        expected_revision: "0123456789abcdef".to_owned(),
        changes: vec![
            change(SettingsSection::Defaults, "terminal_idle_timeout", Some(SettingValue::Number(3600))),
            change(SettingsSection::Defaults, "terminal_debug_overlay", Some(SettingValue::Flag(true))),
            change(
                SettingsSection::Agent("claude".to_owned()),
                "path",
                Some(SettingValue::Text("/usr/bin/claude".to_owned())),
            ),
            change(SettingsSection::Agent("codex".to_owned()), "path", None),
        ],
    })
}

pub fn forgets() -> Examples<ForgetSession> {
    one(ForgetSession { session: session() })
}

pub fn respawns() -> Examples<Respawn> {
    let same = Respawn { session: session(), command: None, cwd: None, idle_timeout_s: None, record_input: None };
    let resumed = Respawn {
        command: Some(vec!["agent".to_owned(), "--resume".to_owned()]),
        cwd: Some("/srv/project".to_owned()),
        idle_timeout_s: Some(60),
        record_input: Some(false),
        ..same.clone()
    };
    vec![("", same), ("resumed", resumed)]
}

pub fn entries() -> Examples<SessionEntry> {
    let entry = |status| SessionEntry {
        spec: SessionSpec { env: Vec::new(), ..spec() },
        status,
        worker_pid: None,
        program_pid: None,
        socket: None,
        layers: Vec::new(),
    };
    let exit = || exit_records().remove(0).1;
    let running = SessionEntry {
        worker_pid: Some(1000),
        program_pid: Some(1001),
        socket: Some(session().socket_name()),
        layers: layers(),
        ..entry(Status::Running)
    };
    vec![
        ("", running),
        ("starting", entry(Status::Starting)),
        ("exited", entry(Status::Exited(exit()))),
        ("closed", entry(Status::Closed(exit()))),
        ("lost", entry(Status::Lost)),
        ("failed", entry(Status::Failed { reason: "`nosuch` is not a program".to_owned() })),
    ]
}

pub fn sessions() -> Examples<Sessions> {
    let entry = entries().remove(0).1;
    vec![("", Sessions { sessions: vec![entry], last: true }), ("none", Sessions { sessions: Vec::new(), last: false })]
}

pub fn statuses() -> Examples<SupervisorStatus> {
    one(SupervisorStatus {
        version: "0.1.0".to_owned(),
        pid: 900,
        launcher_pid: 899,
        started_us: 1_700_000_000_000_000,
        generation: 12,
        running: 3,
        parked: 1,
        lost: 2,
        confinement: vec![ProcessConfinement {
            process: "sessiond".to_owned(),
            layers: vec![
                Layer { name: "seccomp".to_owned(), status: LayerStatus::Enforced, abi: None, detail: None },
                Layer {
                    name: "landlock".to_owned(),
                    status: LayerStatus::Partial,
                    abi: Some(5),
                    detail: Some("signals are not covered".to_owned()),
                },
            ],
        }],
    })
}

pub fn carried_state() -> CarriedState {
    let streams = vec![
        StreamPosition { client: agent(), stream: 1, seq: 9 },
        StreamPosition { client: person(), stream: 99, seq: 3 },
    ];
    CarriedState { lease: held(), size: size(), resized_at: 100, streams }
}
