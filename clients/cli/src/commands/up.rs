//! `baton up`

use std::io::{self, IsTerminal};

use crate::api::Api;
use crate::args::UpArgs;
use crate::commands::status;
use crate::context::Context;
use crate::launcher::launcher_file;
use crate::out;
use crate::report::Report;
use crate::start::{Started, start};

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
    let status = Api::of_running(context)?.status().await?;
    if args.json {
        status::run(context, true).await?;
    } else {
        out::line(&status.url)?;
    }
    if status.failing.iter().any(|what| what == "database") {
        return Err(Report::failed("Baton runs, but its database fails")
            .why(format!(
                "`{}` cannot be used: sessions work, history and tokens made now are forgotten at the next restart",
                context.home.database_file().display()
            ))
            .hint(format!("`{}` says why", context.home.logs_dir().join("bridge.log").display())));
    }
    if io::stderr().is_terminal() && !args.json {
        match started {
            Started::Now => out::remark("Baton runs. A shell: `baton new`. The page, signed in: `baton open`."),
            Started::Already => out::remark("Baton runs already."),
        }
    }
    Ok(0)
}
