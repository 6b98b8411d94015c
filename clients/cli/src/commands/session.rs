//! `baton close` and `baton rename`

use baton_proto::ErrorCode;
use baton_proto::api::{CloseRequest, SessionPatch};

use crate::api::{Api, terminal};
use crate::args::{CloseArgs, RenameArgs};
use crate::context::Context;
use crate::names;
use crate::out;
use crate::report::Report;

/// Ends a session.
pub async fn close(context: &Context, args: &CloseArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let name = names::label(&session);
    let body = CloseRequest { reason: args.reason.clone() };
    match api.post_unit(&format!("`{name}` cannot be closed"), &terminal(session.id, "close"), &body).await {
        // What was wanted is so already.
        Err(report) if report.code() == Some(ErrorCode::SessionEnded) => {
            out::remark(&format!("`{name}` has ended already."));
        }
        result => result?,
    }
    Ok(0)
}

/// Gives a session another name.
pub async fn rename(context: &Context, args: &RenameArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let body = SessionPatch { title: Some(args.new.clone()), ..SessionPatch::default() };
    api.patch(
        &format!("`{}` cannot be renamed", names::label(&session)),
        &format!("/v1/sessions/{}", session.id),
        &body,
    )
    .await?;
    Ok(0)
}
