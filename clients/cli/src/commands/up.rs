//! `baton up`

use std::io::{self, IsTerminal};

use crate::api::Api;
use crate::args::UpArgs;
use crate::commands::status;
use crate::context::Context;
use crate::out;
use crate::report::Report;
use crate::start::{Started, launcher_file, start};

/// Starts what isn't running and prints where the page is.
pub async fn run(context: &Context, args: &UpArgs) -> Result<u8, Report> {
    let started = start(context, args.listen.as_deref()).await?;
    if let (Started::Already, Some(wanted), Some(launcher)) = (started, &args.listen, launcher_file(&context.home))
        && !wanted.ends_with(":0")
        && launcher.listen != *wanted
    {
        out::remark(&format!(
            "Baton runs already and listens on {}; `baton down` first to move it to {wanted}.",
            launcher.listen
        ));
    }
    if args.json {
        return status::run(context, true).await;
    }
    let status = Api::of_running(context)?.status().await?;
    out::line(&status.url)?;
    if io::stderr().is_terminal() {
        match started {
            Started::Now => out::remark("Baton runs. A shell: `baton new`. The page, signed in: `baton open`."),
            Started::Already => out::remark("Baton runs already."),
        }
    }
    Ok(0)
}
