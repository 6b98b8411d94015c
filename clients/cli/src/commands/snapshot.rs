//! `baton snapshot`: the screen, now or as it was.

use baton_proto::api::SnapshotFormat;

use crate::api::{Api, terminal};
use crate::args::SnapshotArgs;
use crate::commands::export::write_file;
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::report::Report;

/// Prints a screen.
pub async fn run(context: &Context, args: &SnapshotArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let format = match args.format {
        SnapshotFormat::Ansi => "ansi",
        SnapshotFormat::Text => "text",
        SnapshotFormat::Html => "html",
        SnapshotFormat::Json => "json",
    };
    let format = if args.json { "json" } else { format };
    let mut path = format!("{}?format={format}&scrollback={}", terminal(session.id, "snapshot"), args.scrollback);
    if let Some(at) = args.at {
        path.push_str(&format!("&{}", at.known(&session)?.parameter()));
    }
    let name = label(&session);
    let what = format!("the screen of `{name}` cannot be had");
    let answer = api.get_raw(&what, &path).await.map_err(|report| match report.code() {
        Some(baton_proto::ErrorCode::CursorTrimmed) => {
            report.hint("`baton ls --json` has `oldest_screen_cursor`, the oldest that can be drawn")
        }
        _ => report.in_words(&[("cursor", "--at"), ("at", "--at"), ("scrollback", "--scrollback")]),
    })?;
    if answer.header("baton-approximate").is_some() {
        out::remark("baton: output before this screen was never kept; it is as good as what is left");
    }
    match &args.output {
        Some(file) => write_file(file, &answer.body)?,
        None => {
            out::bytes(&answer.body)?;
            if matches!(format, "text" | "json" | "html") && !answer.body.ends_with(b"\n") {
                out::bytes(b"\n")?;
            }
        }
    }
    Ok(0)
}
