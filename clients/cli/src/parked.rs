//! What runs while Baton does not. There is no bridge to ask, so the one that knows where sessions are on disk is: `baton-sessiond
//! sessions`, which looks, changes nothing, and starts nothing.

use std::process::{Command, Stdio};

use baton_proto::api::Survey;

use crate::report::Report;
use crate::start::sibling;

/// Looks at the sessions on disk and asks their workers how they are. Whoever does not answer costs a second, all together ten.
pub fn survey() -> Result<Survey, Report> {
    let what = "what runs without Baton cannot be found out";
    let mut command = Command::new(sibling("baton-sessiond")?);
    command.arg("sessions").env("BATON_LOG", "error").stdin(Stdio::null());
    let output = command.output().map_err(|err| Report::failed(what).why(err))?;
    if !output.status.success() {
        return Err(Report::failed(what).why(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|err| Report::failed(what).why(err).hint("build or install all of Baton's programs together"))
}
