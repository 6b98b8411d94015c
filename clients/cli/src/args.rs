//! What can be typed after `baton`.

use std::path::PathBuf;

use baton_proto::api::{ShareFrom, SnapshotFormat};
use baton_proto::spec::Profile;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::limits;
use crate::moment::Moment;

/// One live shell for terminals, browser tabs, scripts and agents.
#[derive(Debug, Parser)]
#[command(
    name = "baton",
    version,
    about = "One live shell, passed between terminals, browser tabs, scripts and agents",
    after_help = "Sessions go by their name, their id, or the last digits of it. A command that needs Baton starts it.\n\
                  Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 control, 5 denied, 6 unreachable, 124 timeout;\n\
                  `exec` and `attach` pass the program's, `policy explain` ends with 7 where a person would be asked.",
    max_term_width = 110
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start what isn't running and print the page's address
    Up(UpArgs),
    /// Stop Baton; shells live on
    Down(DownArgs),
    /// Show Baton's processes
    Status(JsonArgs),
    /// Show what this host has of what Baton uses, and what is missing
    Doctor(JsonArgs),
    /// Replace Baton's processes by the installed version; shells live on
    Upgrade(UpgradeArgs),
    /// Start a session and attach to it
    New(NewArgs),
    /// List sessions
    Ls(LsArgs),
    /// Attach this terminal to a session
    Attach(AttachArgs),
    /// Let an attached client leave; its session goes on
    Detach(DetachArgs),
    /// Open the page in a browser, signed in
    Open(OpenArgs),
    /// Take control for the commands that follow (`send`, `exec`, `signal`)
    Claim(ClaimArgs),
    /// Give control up
    Release(SessionArg),
    /// Give control to another attached client
    Transfer(TransferArgs),
    /// Ask for control; it comes when it is free
    RequestControl(SessionArg),
    /// End a session
    Close(CloseArgs),
    /// Give a session another name
    Rename(RenameArgs),
    /// Start a session again that has ended by itself or was lost with its host
    Respawn(RespawnArgs),
    /// Signal the program in the foreground
    Signal(SignalArgs),
    /// Type into a session
    Send(SendArgs),
    /// Run a line in a session's shell and wait for it
    Exec(ExecArgs),
    /// Wait until something happens in a session
    Wait(WaitArgs),
    /// Print what a session wrote
    Log(LogArgs),
    /// Print a session's screen, as it is or as it was
    Snapshot(SnapshotArgs),
    /// Print the lines of a session's output in which something is found
    Search(SearchArgs),
    /// Write a recording of a session (asciicast), for asciinema and other players
    Export(ExportArgs),
    /// What confined sessions may do
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Rules about what agents may do
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Access tokens, for other people and for agents
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show one session to somebody: make a link to watch it, or take one back
    Share(ShareArgs),
    /// What waits for a person: list it, show it exactly, approve, deny or edit it
    #[command(args_conflicts_with_subcommands = true)]
    Approvals {
        /// What to do; to list if nothing is said
        #[command(subcommand)]
        command: Option<ApprovalsCommand>,
        #[command(flatten)]
        list: ApprovalsListArgs,
    },
    /// Who did what: list it, export it, check that nobody changed it
    #[command(args_conflicts_with_subcommands = true)]
    Audit {
        /// What to do; to list if nothing is said
        #[command(subcommand)]
        command: Option<AuditCommand>,
        #[command(flatten)]
        list: AuditListArgs,
    },
    /// What may change while Baton runs: look at it and change it
    #[command(args_conflicts_with_subcommands = true)]
    Settings {
        /// What to do; to show them if nothing is said
        #[command(subcommand)]
        command: Option<SettingsCommand>,
        #[command(flatten)]
        show: JsonArgs,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print a script that lets a shell tell where its prompts and commands are
    ///
    /// At the end of ~/.bashrc: eval "$(baton shell-integration bash)"; of ~/.zshrc: eval "$(baton shell-integration zsh)"; in
    /// config.fish: baton shell-integration fish | source. Outside of sessions it does nothing.
    ShellIntegration {
        /// Which shell
        #[arg(value_enum)]
        shell: IntegrationShell,
    },
    /// How `up` becomes the launcher
    #[command(name = "__launch", hide = true)]
    Launch(LaunchArgs),
}

/// `baton up`
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Where the page listens; port 0 takes any
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Print the status as JSON instead
    #[arg(long)]
    pub json: bool,
}

/// `baton down`
#[derive(Debug, clap::Args)]
pub struct DownArgs {
    /// Close every session first
    #[arg(long)]
    pub sessions: bool,
}

/// A command that only reads.
#[derive(Debug, clap::Args)]
pub struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton upgrade`
#[derive(Debug, clap::Args)]
pub struct UpgradeArgs {
    /// Say what would be replaced, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Replace what is of the installed version too
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton new`
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// What to call it
    #[arg(long, short = 'n')]
    pub name: Option<String>,
    /// Where it starts; here if not given
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// How far it is confined
    #[arg(long, value_enum)]
    pub sandbox: Option<SandboxArg>,
    /// A directory it may use when it is confined, and how: r(ead), w(rite), c(reate), d(elete); all if not said
    ///
    /// Without any, it may use the directory it starts in. May be given more than once.
    #[arg(long, value_name = "DIR[:rwcd]", requires = "sandbox")]
    pub grant: Vec<String>,
    /// What it may use at most: memory, processes, cpu-weight, open-files, time, disk; as in memory=2GiB, time=30m
    ///
    /// May be given more than once. What the kernel can't hold the session to is said when it starts.
    #[arg(long, value_name = "NAME=VALUE")]
    pub limit: Vec<String>,
    /// A host it may reach when it is confined: NAME, *.NAME or address, with :PORT for one port only; none if not given
    #[arg(long, value_name = "HOST", requires = "sandbox")]
    pub allow_host: Vec<String>,
    /// Let it use your ssh agent's keys when it is confined: list and sign, for as long as it runs; not read, add or remove
    #[arg(long, requires = "sandbox")]
    pub ssh_agent: bool,
    /// Do not attach; print its id
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Do not attach; print what was made as JSON
    #[arg(long)]
    pub json: bool,
    /// Program and arguments; the login shell if not given
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// A sandbox profile.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SandboxArg {
    /// Not confined
    Host,
    /// Writes only where granted, no secrets, no network; reads the system and your tools
    Workspace,
    /// As `workspace`, and reads only the system and what is granted
    Locked,
}

impl From<SandboxArg> for Profile {
    fn from(profile: SandboxArg) -> Self {
        match profile {
            SandboxArg::Host => Self::Host,
            SandboxArg::Workspace => Self::Workspace,
            SandboxArg::Locked => Self::Locked,
        }
    }
}

/// `baton policy`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a policy: its rules, and every example in it
    Test {
        /// Which file; the one in force if none is named
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what would be decided about a command line or an action, by which rules, and what of it was not understood
    ///
    /// Exit codes: 0 it is allowed, 5 denied, 7 a person would be asked; 1 the policy is refused, 2 wrong arguments.
    Explain(PolicyExplainArgs),
}

/// `baton policy explain`
#[derive(Debug, clap::Args)]
pub struct PolicyExplainArgs {
    /// The command line, after `--`: one word as it stands, or the words of one command
    #[arg(last = true, required_unless_present = "action")]
    pub line: Vec<String>,
    /// Another action, as JSON: {"action":"file.write","path":"/etc/hosts"}
    #[arg(long, value_name = "JSON", conflicts_with = "line")]
    pub action: Option<String>,
    /// By another policy than the one in force
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// In this directory, which is also what a confined session may write to [default: the current one]
    #[arg(long, value_name = "DIRECTORY")]
    pub cwd: Option<PathBuf>,
    /// In this workspace
    #[arg(long, value_name = "ID")]
    pub workspace: Option<String>,
    /// For an agent of this name
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// In a session that is not confined
    #[arg(long)]
    pub unsandboxed: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton sandbox`
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Say whether a confined session may read, write, create or delete a path, and why
    Explain(ExplainArgs),
}

/// `baton sandbox explain`
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Which path; a relative one begins where the session does
    pub path: PathBuf,
    /// How far the session is confined
    #[arg(long, value_enum, default_value = "workspace")]
    pub profile: SandboxArg,
    /// A directory it may use, and how, as for `baton new`; without any, the one it starts in
    #[arg(long, value_name = "DIR[:rwcd]")]
    pub grant: Vec<String>,
    /// Where it starts; here if not given
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// A session that is there, with its own profile and grants
    #[arg(long, value_name = "NAME", conflicts_with_all = ["profile", "grant", "cwd"])]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton ls`
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Only those without supervisor and client; while Baton is stopped, everything that runs on
    #[arg(long)]
    pub parked: bool,
    /// Ended ones too
    #[arg(long, short = 'a')]
    pub all: bool,
}

/// `baton attach`
#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// Only watch
    #[arg(long, short = 'r')]
    pub read_only: bool,
    /// Take control from whoever has it
    #[arg(long, conflicts_with = "read_only")]
    pub take: bool,
}

/// `baton detach`
#[derive(Debug, clap::Args)]
pub struct DetachArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// Which client: its id or name; the only terminal attached if not given
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
}

/// `baton open`
#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// Which session to show; the list if not given
    pub name: Option<String>,
    /// Only print the link
    #[arg(long)]
    pub print: bool,
    /// Print the link as JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton claim`
#[derive(Debug, clap::Args)]
pub struct ClaimArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// Even if somebody has it
    #[arg(long, short = 'f')]
    pub force: bool,
    /// Print owner, epoch and expiry as JSON
    #[arg(long)]
    pub json: bool,
}

/// A session, or the latest active one.
#[derive(Debug, clap::Args)]
pub struct SessionArg {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
}

/// `baton transfer`
#[derive(Debug, clap::Args)]
pub struct TransferArgs {
    /// Which session
    pub name: String,
    /// To whom: an attached client's id or name
    pub to: String,
}

/// `baton close`
#[derive(Debug, clap::Args)]
pub struct CloseArgs {
    /// Which session
    pub name: String,
    /// Told to everybody who is attached
    #[arg(long)]
    pub reason: Option<String>,
}

/// `baton rename`
#[derive(Debug, clap::Args)]
pub struct RenameArgs {
    /// Which session
    pub name: String,
    /// Its name from now on
    pub new: String,
}

/// `baton respawn`
#[derive(Debug, clap::Args)]
pub struct RespawnArgs {
    /// Which session
    pub name: String,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Print the session as JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton signal`
#[derive(Debug, clap::Args)]
pub struct SignalArgs {
    /// Which session
    pub name: String,
    /// INT, TERM, HUP, QUIT, KILL, TSTP, CONT, USR1, USR2 or WINCH
    pub signal: String,
    /// Claim control first if it is free, and release it afterwards
    #[arg(long)]
    pub claim: bool,
}

/// `baton send`
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    /// Which session
    pub name: String,
    /// This text, as it is; without --text, --keys and --enter, what stdin has
    #[arg(long, conflicts_with = "keys", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// These keys: Enter, Ctrl+C, Alt+x, ArrowUp, F5 …
    #[arg(long, num_args = 1.., value_name = "KEY")]
    pub keys: Vec<String>,
    /// Press Enter after the text; alone, only Enter
    #[arg(long, conflicts_with = "keys")]
    pub enter: bool,
    /// Print as JSON where the output stood before, for `wait --since`
    #[arg(long)]
    pub json: bool,
    /// Claim control first if it is free, and release it afterwards
    #[arg(long)]
    pub claim: bool,
}

/// `baton exec`
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// Which session
    pub name: String,
    /// Seconds to wait
    #[arg(long, value_name = "S", default_value_t = 3600.0)]
    pub timeout: f64,
    /// Print exit code, output and cursors as JSON
    #[arg(long)]
    pub json: bool,
    /// Claim control first if it is free, and release it afterwards
    #[arg(long)]
    pub claim: bool,
    /// The line; several words are joined by spaces
    #[arg(last = true, required = true, value_name = "LINE")]
    pub line: Vec<String>,
}

/// `baton wait`
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// Which session
    pub name: String,
    /// Until the output matches this regular expression
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, required_unless_present_any = ["exit", "idle", "prompt"])]
    pub pattern: Option<String>,
    /// Until the program ends
    #[arg(long)]
    pub exit: bool,
    /// Until nothing was written for so many milliseconds
    #[arg(long, value_name = "MS")]
    pub idle: Option<u64>,
    /// Until the shell waits for a line
    #[arg(long)]
    pub prompt: bool,
    /// Look for the pattern from here on, not from now: a cursor (ins_…:1234), a time (14:03, 2026-01-31T14:03:00Z) or -5m
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, requires = "pattern")]
    pub since: Option<Moment>,
    /// Seconds to wait; as long as it takes if not given
    #[arg(long, value_name = "S")]
    pub timeout: Option<f64>,
    /// Print what ended the wait as JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton log`
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// Go on until the program ends
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// From here on: a cursor (ins_…:1234), a time (14:03, 2026-01-31T14:03:00Z) or -5m; everything that is kept if not given
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// Only lines in which this regular expression is found, as they were shown
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, conflicts_with = "raw")]
    pub grep: Option<String>,
    /// Every byte, even on a terminal; without it, a terminal is spared what it would answer
    #[arg(long)]
    pub raw: bool,
    /// Print pieces with their cursors, a line of JSON each; with --grep, hits
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
}

/// `baton snapshot`
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// As it was there: at a cursor (ins_…:1234), a time (14:03, 2026-01-31T14:03:00Z) or -5m; now if not given
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// In which form; ansi are terminal bytes that draw the screen with its colours and modes
    #[arg(long, value_name = "FORMAT", value_parser = snapshot_format(), default_value = "text")]
    pub format: SnapshotFormat,
    /// Lines above the screen that come first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub scrollback: u32,
    /// Write it to this file
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// `baton search`; its exit code is 1 when nothing is found
#[derive(Debug, clap::Args)]
#[command(override_usage = "baton search [OPTIONS] [NAME] PATTERN")]
pub struct SearchArgs {
    /// Which session (the latest active one if not given), and what is looked for within a line
    #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "PATTERN"])]
    pub words: Vec<String>,
    /// PATTERN is a regular expression
    #[arg(long, short = 'e')]
    pub regex: bool,
    /// Case does not matter
    #[arg(long, short = 'i')]
    pub ignore_case: bool,
    /// Lines around each hit, at most 50
    #[arg(long, short = 'C', value_name = "N", value_parser = lines_around)]
    pub context: Option<usize>,
    /// From here on: a cursor (ins_…:1234), a time (14:03, 2026-01-31T14:03:00Z) or -5m
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// Most lines; all if not given (1000 with --json)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Print hits with their cursors as JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton export`
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Which session; the latest active one if not given
    pub name: Option<String>,
    /// Into this file, `-` for stdout; on a terminal NAME.cast if not given
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where it begins: a cursor (ins_…:1234), a time (14:03, 2026-01-31T14:03:00Z) or -5m; everything that is kept if not given
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<Moment>,
    /// Where it ends; now if not given
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, conflicts_with = "follow")]
    pub to: Option<Moment>,
    /// Version of the format: 3, or 2 for older players
    #[arg(long = "version", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub cast_version: u8,
    /// Shorten pauses to so many seconds
    #[arg(long, value_name = "S")]
    pub idle_max: Option<f64>,
    /// Go on until the program ends, or until Ctrl-C; what is written by then is kept
    #[arg(long, short = 'f')]
    pub follow: bool,
}

impl SearchArgs {
    /// Which session, if that was said.
    pub fn name(&self) -> Option<&str> {
        self.words.split_last().and_then(|(_, name)| name.first()).map(String::as_str)
    }

    /// What is looked for.
    pub fn pattern(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }
}

fn snapshot_format() -> impl TypedValueParser<Value = SnapshotFormat> {
    PossibleValuesParser::new(["text", "ansi", "html", "json"]).map(|format| match format.as_str() {
        "ansi" => SnapshotFormat::Ansi,
        "html" => SnapshotFormat::Html,
        "json" => SnapshotFormat::Json,
        _ => SnapshotFormat::Text,
    })
}

fn lines_around(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|lines| *lines <= 50).ok_or_else(|| "this is a number of lines, at most 50".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|lines| *lines > 0).ok_or_else(|| "this is a number of lines, at least 1".to_owned())
}

/// `baton approvals`
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List what waits
    List(ApprovalsListArgs),
    /// Show exactly what would be done
    Show(ApprovalArgs),
    /// Say yes
    Approve(ApprovalDecisionArgs),
    /// Say no
    Deny(ApprovalDecisionArgs),
    /// Change what would be done, in $VISUAL or $EDITOR, and say yes to that
    Edit(ApprovalDecisionArgs),
    /// Tell of each request as it comes, until stopped
    Watch {
        /// Print JSON, one a line
        #[arg(long)]
        json: bool,
    },
}

/// `baton approvals list`
#[derive(Debug, clap::Args)]
pub struct ApprovalsListArgs {
    /// Also what was decided
    #[arg(long)]
    pub all: bool,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value = "100", value_parser = at_least_one)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton approvals show`
#[derive(Debug, clap::Args)]
pub struct ApprovalArgs {
    /// Its id, or the beginning of it
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton approvals approve|deny|edit`
#[derive(Debug, clap::Args)]
pub struct ApprovalDecisionArgs {
    /// Its id, or the beginning of it
    pub id: String,
    /// A few words for who asked
    #[arg(long)]
    pub notes: Option<String>,
    /// Say yes to the same again in this session, as long as it lives
    #[arg(long)]
    pub remember: bool,
    /// Do not ask again
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Do not wait for what becomes of it
    #[arg(long)]
    pub no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baton settings`
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show them
    Show(JsonArgs),
    /// Change one in the configuration file; its comments stay
    Set {
        /// Which
        #[arg(value_enum)]
        key: SettingKey,
        /// What it is to be
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take one out of the configuration file: it is what it is without
    Unset {
        /// Which
        #[arg(value_enum)]
        key: SettingKey,
    },
    /// Show an agent's program and try whether it runs, or say where it is
    Agent {
        /// Its name, such as claude; the one of `agent` if nothing is said
        name: Option<String>,
        /// Where its program is
        #[arg(long, value_name = "PATH", conflicts_with = "no_path")]
        path: Option<String>,
        /// What its name means in PATH, again
        #[arg(long)]
        no_path: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The environment that sessions start from
    Env {
        /// Read it from the login shell anew, for sessions made from now on
        #[arg(long)]
        reload: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The process that starts sessions
    Sessiond {
        /// End it and start the installed version; no session notices
        #[arg(long)]
        restart: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A setting of `[defaults]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SettingKey {
    /// Seconds without output, input and client until a person's terminal closes; 0 = never
    TerminalIdleTimeout,
    /// The agent that is meant where none is named
    Agent,
    /// Log the heads of frames on terminals' streams, a file a session, never what is in them: on or off
    TerminalProtocolLog,
    /// Show cursor, credit, epoch and latency over a terminal in the page: on or off
    TerminalDebugOverlay,
}

/// `baton audit`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the newest rows
    Ls(AuditListArgs),
    /// Check the whole log and name the first row that was changed
    Verify {
        /// A head that an earlier check printed: that row must still be there as it was
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write all rows as JSON lines
    Export(AuditWhich),
}

/// `baton audit ls`
#[derive(Debug, clap::Args)]
pub struct AuditListArgs {
    #[command(flatten)]
    pub which: AuditWhich,
    /// At most so many rows, the newest
    #[arg(long, value_name = "N", default_value = "50", value_parser = at_least_one)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which rows of the audit log.
#[derive(Debug, clap::Args)]
pub struct AuditWhich {
    /// Only of this session
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Only of this principal, by its id
    #[arg(long, value_name = "ID")]
    pub actor: Option<String>,
    /// Only of this action, such as login or session.create
    #[arg(long)]
    pub action: Option<String>,
    /// Not before this time (-1h, 14:03, 2026-01-31T14:03:00Z)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// Not after this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<Moment>,
}

/// `baton share`
#[derive(Debug, clap::Args)]
#[command(override_usage = "baton share [OPTIONS] NAME\n       baton share --revoke ID")]
pub struct ShareArgs {
    /// Which session
    #[arg(required_unless_present = "revoke")]
    pub name: Option<String>,
    /// How much of it: what comes from now on, or all that is kept
    #[arg(long, value_enum, value_name = "WHERE", default_value = "here")]
    pub from: FromArg,
    /// How long the link works, as in 90s, 30m, 7d; a day if not given, 30 days at most
    #[arg(long, value_name = "DURATION", value_parser = seconds_of)]
    pub ttl: Option<u64>,
    /// Take this link back: whoever watches by it is cut off
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "from", "ttl", "json"])]
    pub revoke: Option<String>,
    /// Print the link as JSON
    #[arg(long)]
    pub json: bool,
}

/// What a share link shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FromArg {
    /// What comes after the link was made
    Here,
    /// All that is kept
    Start,
}

impl From<FromArg> for ShareFrom {
    fn from(from: FromArg) -> Self {
        match from {
            FromArg::Here => Self::Here,
            FromArg::Start => Self::Start,
        }
    }
}

fn seconds_of(text: &str) -> Result<u64, String> {
    limits::seconds(text).ok_or_else(|| "this is a number of seconds, or as in 90s, 30m, 7d".to_owned())
}

/// `baton token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List tokens
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token and print it, this once
    Create {
        /// What to call it
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value = "viewer")]
        role: RoleArg,
        /// For the role `agent`: which
        #[arg(long, value_name = "ID", required_if_eq("role", "agent"))]
        agent_id: Option<String>,
        /// Until when it is good, such as 2030-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token useless
    Revoke {
        /// Its id or name
        token: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything
    Owner,
    /// Watch, type, approve
    Collaborator,
    /// Watch and type, never approve
    Agent,
    /// Watch
    Viewer,
}

/// A shell that a script is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IntegrationShell {
    /// bash, 4.4 or newer
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// `baton __launch`
#[derive(Debug, clap::Args)]
pub struct LaunchArgs {
    /// Where to listen
    #[arg(long)]
    pub listen: String,
    /// Written to once everything listens
    #[arg(long)]
    pub ready_fd: i32,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_typed_is_understood() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        assert!(
            matches!(parse("baton new -d --name w -- sh -c true").unwrap().command, Command::New(new) if new.command.len() == 3)
        );
        assert!(
            matches!(parse("baton send w --keys Ctrl+C Enter").unwrap().command, Command::Send(send) if send.keys.len() == 2)
        );
        assert!(matches!(parse("baton exec w -- ls -l").unwrap().command, Command::Exec(exec) if exec.line.len() == 2));
        for (line, name, pattern) in [
            ("baton search needle", None, "needle"),
            ("baton search -i w -C 3 needle", Some("w"), "needle"),
            ("baton search w -C 1 -e -- -x", Some("w"), "-x"),
        ] {
            let Command::Search(search) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!((search.name(), search.pattern()), (name, pattern), "{line}");
        }
        assert!(
            matches!(parse("baton snapshot --at -5m").unwrap().command, Command::Snapshot(args) if args.at.is_some())
        );
        assert!(
            matches!(parse("baton export --from -1h -o x.cast").unwrap().command, Command::Export(args) if args.from.is_some())
        );
        assert!(
            matches!(parse("baton share w --ttl 1h30m").unwrap().command, Command::Share(args) if args.ttl == Some(5400) && args.from == FromArg::Here)
        );
        assert!(
            matches!(parse("baton share --revoke lnk_1").unwrap().command, Command::Share(args) if args.name.is_none())
        );
        for wrong in [
            "baton share",
            "baton share w --ttl soon",
            "baton share w --from yesterday",
            "baton share w --revoke lnk_1",
            "baton share --from start --revoke lnk_1",
            "baton wait w",
            "baton exec w",
            "baton attach -r --take w",
            "baton send w --text a --keys b",
            "baton log --since x",
            "baton search",
            "baton search a b c",
            "baton search x -C 51",
            "baton snapshot --format png",
            "baton export --version 4",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
