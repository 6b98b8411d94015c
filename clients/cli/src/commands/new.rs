//! `baton new`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use baton_proto::api::{ClaimRequest, CreateTerminal, Created, LeaseAnswer, SessionStatus};
use baton_proto::spec::Profile;

use crate::api::{Api, terminal};
use crate::args::{NewArgs, SandboxArg};
use crate::attach::{self, Mode};
use crate::context::Context;
use crate::names::{label, short};
use crate::out;
use crate::report::{Exit, Report};

/// What a shell takes along from where it was started, laid over the environment that Baton was started with: that one
/// may be of another login. TERM is not among it, because the session has a terminal of its own.
const TAKEN_ALONG: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_AUTH_SOCK",
    "SSH_CONNECTION",
    "VIRTUAL_ENV",
];

fn taken_along() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| TAKEN_ALONG.contains(&name.as_str()) || name.starts_with("LC_"))
        .collect()
}

/// Starts a session; attaches unless told not to.
pub async fn run(context: &Context, args: NewArgs) -> Result<u8, Report> {
    let attach = !args.detach && !args.json;
    if attach {
        attach::needs_terminal(Some("`baton new -d` starts a session without attaching to it"))?;
    }
    let cwd = match &args.cwd {
        Some(path) => path
            .canonicalize()
            .map_err(|err| Report::usage(format!("`{}` is no directory to start in", path.display())).why(err))?,
        None => std::env::current_dir().map_err(|err| {
            Report::failed("the current directory cannot be found: it may have been deleted")
                .why(err)
                .hint("start the session elsewhere with --cwd DIR")
        })?,
    };
    let cwd =
        cwd.into_os_string().into_string().map_err(|cwd| Report::usage(format!("`{}` is not UTF-8", cwd.display())))?;
    let size = attach::size();
    let body = CreateTerminal {
        command: if args.command.is_empty() { None } else { Some(args.command) },
        cwd: Some(cwd),
        env: taken_along(),
        title: args.name,
        cols: size.map(|size| size.cols),
        rows: size.map(|size| size.rows),
        sandbox: args.sandbox.map(|profile| match profile {
            SandboxArg::Host => Profile::Host,
            SandboxArg::Workspace => Profile::Workspace,
            SandboxArg::Locked => Profile::Locked,
        }),
        ..CreateTerminal::default()
    };
    let api = Api::open(context).await?;
    let created: Created = api.post("the session cannot be started", "/v1/terminal/sessions", &body).await?;
    let session = api.session(created.session_id).await?.session;
    if created.status == SessionStatus::Failed {
        let mut report = Report::new(Exit::Failed, format!("`{}` could not be started", label(&session)));
        if let Some(why) = session.failure {
            report = report.why(why);
        }
        return Err(report);
    }
    if attach {
        return attach::attach(&api, context, session, Mode::Control).await;
    }
    // Control is claimed for the commands that follow; if somebody was quicker, so be it.
    let claim = ClaimRequest { client_id: context.scripted_client()?, force: false };
    let claimed: Result<LeaseAnswer, Report> =
        api.post("control cannot be claimed", &terminal(session.id, "claim"), &claim).await;
    if let Err(report) = claimed
        && report.exit_code() != Exit::Lease as u8
        && report.code() != Some(baton_proto::ErrorCode::SessionEnded)
    {
        return Err(report);
    }
    if args.json {
        out::json(&created)?;
    } else {
        out::line(&session.id.to_string())?;
        if io::stderr().is_terminal() {
            let name =
                if session.title.is_empty() { short(&session.id.to_string()).to_owned() } else { label(&session) };
            out::remark(&format!("It runs. Attach with `baton attach {name}`."));
        }
    }
    Ok(0)
}
