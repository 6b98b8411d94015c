//! `baton sandbox explain`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use baton_proto::api::{Explain, Explained, FolderGrant, Verdict};
use baton_proto::spec::Profile;

use super::new::grant;
use crate::api::Api;
use crate::args::{ExplainArgs, SandboxCommand};
use crate::context::Context;
use crate::names;
use crate::out;
use crate::report::{Report, clean_line};
use crate::start::sibling;

/// Runs one of the family.
pub async fn run(context: &Context, command: SandboxCommand) -> Result<u8, Report> {
    match command {
        SandboxCommand::Explain(args) => explain(context, &args).await,
    }
}

async fn explain(context: &Context, args: &ExplainArgs) -> Result<u8, Report> {
    let question = match &args.session {
        Some(session) => of_session(context, session, &args.path).await?,
        None => of_profile(args)?,
    };
    let explained = ask(&question)?;
    if args.json {
        out::json(&explained)?;
    } else {
        out::line(&describe(&explained))?;
    }
    Ok(0)
}

/// A session that runs: its own profile and grants.
async fn of_session(context: &Context, name: &str, path: &Path) -> Result<Explain, Report> {
    let api = Api::open(context).await?;
    let detail = api.session(names::session(&api, name).await?.id).await?;
    let session = detail.session;
    let at = detail.cwd.map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Ok(Explain {
        profile: session.sandbox.profile,
        // Where it is now need not be where it could be started.
        cwd: session.grants.first().map_or_else(|| "/usr".to_owned(), |grant| grant.root_path.clone()),
        grants: session.grants,
        path: text(&at.join(path))?,
        session_id: Some(session.id),
    })
}

/// One that would be started here, as `baton new` does it.
fn of_profile(args: &ExplainArgs) -> Result<Explain, Report> {
    let cwd = args.cwd.clone().unwrap_or_else(|| PathBuf::from("."));
    let cwd = cwd
        .canonicalize()
        .map_err(|err| Report::usage(format!("`{}` is no directory to start in", cwd.display())).why(err))?;
    let profile = args.profile.into();
    let mut grants = args.grant.iter().map(|text| grant(text)).collect::<Result<Vec<_>, _>>()?;
    let at_home =
        std::env::var_os("HOME").and_then(|home| Path::new(&home).canonicalize().ok()).is_some_and(|it| it == cwd);
    if grants.is_empty() && profile != Profile::Host && !at_home {
        grants.push(FolderGrant {
            root_path: text(&cwd)?,
            allow_write: true,
            allow_create: true,
            allow_delete: true,
            ..FolderGrant::default()
        });
    }
    Ok(Explain { profile, grants, cwd: text(&cwd)?, path: text(&args.path)?, session_id: None })
}

fn text(path: &Path) -> Result<String, Report> {
    path.to_str().map(str::to_owned).ok_or_else(|| Report::usage(format!("`{}` is not UTF-8", path.display())))
}

/// Who confines programs knows what that means.
fn ask(question: &Explain) -> Result<Explained, Report> {
    let what = "this can't be explained";
    let failed = |err: std::io::Error| Report::failed(what).why(err);
    let question = serde_json::to_vec(question).map_err(|err| Report::failed(what).why(err))?;
    let mut command = Command::new(sibling("baton-sessiond")?);
    command.arg("explain").env("BATON_LOG", "error");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&question).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().last().unwrap_or_default();
        // The line of a log: what is behind its level is for people.
        let why = why.split_once("ERROR ").map_or(why, |(_, why)| why);
        let why = why.strip_prefix("baton_sessiond: ").unwrap_or(why);
        return Err(Report::failed(what).why(clean_line(why)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|err| Report::failed(what).why(err).hint("build or install all of Baton's programs together"))
}

fn describe(explained: &Explained) -> String {
    let mut lines = vec![match &explained.resolved {
        Some(resolved) if *resolved != explained.path => {
            format!("{} leads to {}", clean_line(&explained.path), clean_line(resolved))
        }
        _ => clean_line(&explained.path),
    }];
    let mut line = |what: &str, verdict: &Verdict| {
        lines.push(format!(
            "  {what:<7} {}  {}",
            if verdict.allowed { "yes" } else { "no " },
            clean_line(&verdict.why)
        ));
    };
    line("read", &explained.read);
    line("write", &explained.write);
    line("create", &explained.create);
    line("delete", &explained.delete);
    lines.extend(explained.remarks.iter().map(|remark| format!("  note: {}", clean_line(remark))));
    lines.join("\n")
}
