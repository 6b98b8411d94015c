//! `baton open`: the page in a browser, signed in by a link that works once.

use std::process::{Command, Stdio};

use crate::api::Api;
use crate::args::OpenArgs;
use crate::context::Context;
use crate::names;
use crate::out;
use crate::report::Report;

/// Prints a login link and, where there is a screen, opens it.
pub async fn run(context: &Context, args: &OpenArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = match &args.name {
        Some(name) => Some(names::session(&api, name).await?.id),
        None => None,
    };
    let mut link = api.login_link(session).await?;
    if let Some(session) = session
        && !link.url.contains("session=")
    {
        let joint = if link.url.contains('#') { '&' } else { '#' };
        link.url = format!("{}{joint}session={session}", link.url);
    }
    if args.json {
        out::json(&link)?;
    } else {
        out::line(&link.url)?;
    }
    let screen =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if args.print || args.json || !screen {
        return Ok(0);
    }
    let opened = Command::new("xdg-open")
        .arg(&link.url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(err) = opened {
        out::remark(&format!(
            "`xdg-open` cannot be run ({err}); open the link yourself. It works once, within a minute."
        ));
    }
    Ok(0)
}
