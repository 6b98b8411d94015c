//! `baton new`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use baton_proto::api::{
    ClaimRequest, CreateTerminal, Created, FolderGrant, Layer, LeaseAnswer, Session, SessionStatus,
};

use crate::api::{Api, terminal};
use crate::args::{NewArgs, SandboxArg};
use crate::attach::{self, Mode};
use crate::context::Context;
use crate::limits;
use crate::names::{label, short};
use crate::out;
use crate::report::{Exit, Report, clean_line};

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

/// The same for a confined session: what leads to sockets that it does not have is left out.
const TAKEN_ALONG_CONFINED: &[&str] = &["PATH", "LANG", "LANGUAGE", "TZ", "EDITOR", "VISUAL", "PAGER"];

fn taken_along(confined: bool, ssh_agent: bool) -> BTreeMap<String, String> {
    let taken = if confined { TAKEN_ALONG_CONFINED } else { TAKEN_ALONG };
    // Which agent is meant; the session is given the relay's socket in its place.
    let agent = ssh_agent.then_some("SSH_AUTH_SOCK");
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| taken.contains(&name.as_str()) || agent == Some(name.as_str()) || name.starts_with("LC_"))
        .collect()
}

/// `DIR[:rwcd]` as a grant; the directory is resolved here, where it was named.
pub(super) fn grant(text: &str) -> Result<FolderGrant, Report> {
    let is_rights = |rights: &str| !rights.is_empty() && rights.chars().all(|right| "rwcd".contains(right));
    let is_directory = |path: &str| std::path::Path::new(path).is_dir();
    // A name may end as rights do.
    let (path, rights) = match text.rsplit_once(':').filter(|(_, rights)| is_rights(rights)) {
        Some((path, rights)) if is_directory(path) && is_directory(text) => {
            return Err(Report::usage(format!("`{path}` and `{text}` are both directories")).hint(format!(
                "`{text}:rwcd` grants the second; `{path}/:{rights}` the first with the rights `{rights}`"
            )));
        }
        Some((path, rights)) if !is_directory(text) => (path, rights),
        _ => (text, "rwcd"),
    };
    let resolved = std::path::Path::new(path).canonicalize().map_err(|err| {
        // A path may have a colon in it, so only one that is not there is looked at again.
        match text.rsplit_once(':').filter(|(path, rights)| !is_rights(rights) && is_directory(path)) {
            Some((path, rights)) => Report::usage(format!("`{rights}` are no rights on `{path}`")).hint(format!(
                "there are r (read, always given), w (write), c (create) and d (delete), as in `{path}:rw`; without any all are given"
            )),
            None => Report::usage(format!("`{path}` is no directory to grant")).why(err),
        }
    })?;
    let root_path = resolved
        .into_os_string()
        .into_string()
        .map_err(|path| Report::usage(format!("`{}` is not UTF-8", path.display())))?;
    Ok(FolderGrant {
        root_path,
        allow_write: rights.contains('w'),
        allow_create: rights.contains('c'),
        allow_delete: rights.contains('d'),
        ..FolderGrant::default()
    })
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
    let confined = matches!(args.sandbox, Some(SandboxArg::Workspace | SandboxArg::Locked));
    let grants = args.grant.iter().map(|text| grant(text)).collect::<Result<Vec<_>, _>>()?;
    let limits = limits::parse(&args.limit)?;
    let size = attach::size();
    let body = CreateTerminal {
        command: if args.command.is_empty() { None } else { Some(args.command) },
        cwd: Some(cwd),
        env: taken_along(confined, args.ssh_agent),
        title: args.name,
        cols: size.map(|size| size.cols),
        rows: size.map(|size| size.rows),
        sandbox: args.sandbox.map(Into::into),
        grants: (!grants.is_empty()).then_some(grants),
        limits,
        allow_hosts: args.allow_host,
        ssh_agent: args.ssh_agent,
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
    for remark in missing(&session) {
        out::remark(&remark);
    }
    if confined && session.grants.is_empty() {
        out::remark(
            "No folder of yours is granted: what it writes goes with it. `--grant DIR` lets it keep files there.",
        );
    }
    if let Some(remark) = std::env::home_dir().and_then(|home| closes_home(&session.grants, &home)).filter(|_| confined)
    {
        out::remark(&remark);
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

/// What a person has to know whose session can't write to its own HOME: a right on that would be one on everything below it, a
/// grant that lacks it included.
fn closes_home(grants: &[FolderGrant], home: &std::path::Path) -> Option<String> {
    let home = home.canonicalize().ok()?;
    let partial = |grant: &&FolderGrant| {
        let rights = [grant.allow_write, grant.allow_create, grant.allow_delete];
        rights.contains(&true) && rights.contains(&false)
    };
    let grant =
        grants.iter().filter(partial).find(|grant| std::path::Path::new(&grant.root_path).starts_with(&home))?;
    let root = clean_line(&grant.root_path);
    Some(format!(
        "Its HOME can only be read, since `{root}`, which is in it, is granted some of w, c and d: with all of them or none it could \
         be written to."
    ))
}

/// What a person has to know who asked for confinement or limits and got less.
fn missing(session: &Session) -> Vec<String> {
    let named = |layer: &Layer| match &layer.detail {
        Some(detail) => format!("{}: {}", clean_line(&layer.name), clean_line(detail)),
        None => clean_line(&layer.name),
    };
    let confinement: Vec<String> = session.sandbox.missing().map(named).collect();
    let limits: Vec<String> = session.limits.missing().map(named).collect();
    let said = [("Not all of its confinement holds", confinement), ("Not all of its limits hold as they are", limits)];
    said.into_iter()
        .filter(|(_, missing)| !missing.is_empty())
        .map(|(what, missing)| format!("{what}. {}.", missing.join("; ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_closes_home_is_told() {
        let home = std::path::Path::new("/usr");
        let closes = |text: &str| closes_home(&[grant(text).unwrap()], home).is_some();
        assert!(closes("/usr/bin:rw") && closes("/usr/bin:cd"));
        assert!(!closes("/usr/bin:r") && !closes("/usr/bin:rwcd") && !closes("/etc:rw"));
    }

    #[test]
    fn a_grant_is_a_directory_and_its_rights() {
        let rights =
            |text: &str| grant(text).map(|it| (it.root_path, it.allow_write, it.allow_create, it.allow_delete));
        assert_eq!(rights("/usr").unwrap(), ("/usr".to_owned(), true, true, true));
        assert_eq!(rights("/usr:r").unwrap(), ("/usr".to_owned(), false, false, false));
        assert_eq!(rights("/usr:rwc").unwrap(), ("/usr".to_owned(), true, true, false));
        assert_eq!(rights("/usr:d").unwrap(), ("/usr".to_owned(), false, false, true));
        assert!(rights("/nowhere/at/all").is_err());
        for odd in ["x", "rx", "", "ro", "RW"] {
            let told = format!("{:?}", grant(&format!("/usr:{odd}")).unwrap_err());
            assert!(told.contains(&format!("`{odd}` are no rights on `/usr`")) && told.contains("w (write)"), "{told}");
        }
        // A name that ends as rights do is a name, unless it could be both.
        let scratch = std::env::temp_dir().join(format!("baton-grant-{}", std::process::id()));
        std::fs::create_dir(&scratch).unwrap();
        let scratch = scratch.canonicalize().unwrap();
        let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(path("co:lon:r")).unwrap();
        assert_eq!(rights(&path("co:lon:r")).unwrap(), (path("co:lon:r"), true, true, true));
        assert_eq!(rights(&path("co:lon:r:rw")).unwrap(), (path("co:lon:r"), true, false, false));
        std::fs::create_dir(path("co:lon")).unwrap();
        let told = format!("{:?}", grant(&path("co:lon:r")).unwrap_err());
        assert!(told.contains("are both directories"), "{told}");
        assert_eq!(rights(&path("co:lon:r:rwcd")).unwrap(), (path("co:lon:r"), true, true, true));
        assert_eq!(rights(&path("co:lon/:r")).unwrap(), (path("co:lon"), false, false, false));
        std::fs::remove_dir_all(&scratch).unwrap();
        let told = format!("{:?}", grant("/nowhere:rw").unwrap_err());
        assert!(told.contains("`/nowhere` is no directory to grant"), "{told}");
    }
}
