//! What this host has of what Baton uses.

use std::process::{Command, Stdio};

use baton_proto::api::{Doctor, Layer, LayerStatus};
use baton_proto::config::Config;

use crate::report::Report;
use crate::start::sibling;

/// Looks. Who confines itself knows how, and `baton-sessiond doctor` has the smallest part in it.
pub fn examine() -> Result<Doctor, Report> {
    let what = "this host cannot be examined";
    let mut command = Command::new(sibling("baton-sessiond")?);
    command.arg("doctor").env("BATON_LOG", "error").stdin(Stdio::null());
    let output = command.output().map_err(|err| Report::failed(what).why(err))?;
    if !output.status.success() {
        return Err(Report::failed(what).why(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|err| Report::failed(what).why(err).hint("build or install all of Baton's programs together"))
}

/// Refuses a start that `sandbox.require` forbids here, before anything is started that would refuse it again and again.
pub fn allows(config: &Config) -> Result<(), Report> {
    if !config.sandbox.require {
        return Ok(());
    }
    let doctor = examine()?;
    if doctor.can_require {
        return Ok(());
    }
    let layers = doctor.own.iter().chain(doctor.profiles.iter().flat_map(|here| &here.layers));
    let lacking = layers.clone().find(|layer| layer.status != LayerStatus::Enforced);
    let lacking = lacking.map_or_else(|| "something".to_owned(), described);
    Err(Report::failed("Baton does not start here")
        .why(format!("`sandbox.require` is set, and this host cannot enforce {lacking}"))
        .hint("`baton doctor` says what is missing and how to get it; `sandbox.require = false` does without"))
}

fn described(layer: &Layer) -> String {
    let detail = layer.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("`{}`{detail}", layer.name)
}
