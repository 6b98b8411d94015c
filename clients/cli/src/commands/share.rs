//! `baton share`: a link by which somebody watches one session, and its end.

use baton_proto::ErrorCode;
use baton_proto::api::ShareFrom;

use crate::api::{Api, query_value};
use crate::args::ShareArgs;
use crate::context::Context;
use crate::report::{Report, clean_line};
use crate::{names, out};

/// Makes a share link and prints it, or takes one back.
pub async fn run(context: &Context, args: &ShareArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    if let Some(id) = &args.revoke {
        let path = format!("/v1/auth/links/{}", query_value(id.trim()));
        api.delete("the link cannot be taken back", &path).await.map_err(|report| match report.code() {
            Some(ErrorCode::NotFound) => {
                report.hint("`baton audit --action link.create --json` has the ids of the links that were made")
            }
            _ => report,
        })?;
        return Ok(0);
    }
    let Some(name) = &args.name else { return Err(Report::usage("which session is to be shared?")) };
    let session = names::session(&api, name).await?;
    let from = ShareFrom::from(args.from);
    let link = api.share_link(session.id, from, args.ttl).await?;
    if args.json {
        out::json(&link)?;
        return Ok(0);
    }
    out::line(&link.url)?;
    let what = match from {
        ShareFrom::Here => "what comes from now on",
        ShareFrom::Start => "all that is kept of it",
    };
    out::remark(&format!(
        "Whoever has this link watches `{}`, {what}, until {}.",
        names::label(&session),
        clean_line(&link.expires_at)
    ));
    out::remark(&format!("To take it back: baton share --revoke {}", clean_line(&link.id)));
    Ok(0)
}
