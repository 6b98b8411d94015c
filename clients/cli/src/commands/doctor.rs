//! `baton doctor`

use baton_proto::api::{CheckStatus, Doctor, Layer, LayerStatus};
use baton_proto::spec::Profile;

use crate::host::examine;
use crate::out;
use crate::report::{Exit, Report};

/// Shows what this host has of what Baton uses, whether Baton runs or not.
pub fn run(json: bool) -> Result<u8, Report> {
    let doctor = examine()?;
    if json {
        out::json(&doctor)?;
    } else {
        out::line(&describe(&doctor))?;
    }
    let missing = doctor.checks.iter().any(|check| check.status == CheckStatus::Missing);
    let failed = missing || (doctor.require && !doctor.can_require);
    Ok(if failed { Exit::Failed as u8 } else { 0 })
}

fn describe(doctor: &Doctor) -> String {
    let mut lines = Vec::new();
    for check in &doctor.checks {
        let mark = match check.status {
            CheckStatus::Ok => "ok     ",
            CheckStatus::Lacking => "lacking",
            CheckStatus::Missing => "MISSING",
        };
        lines.push(format!("{mark}  {:<16} {}", check.name.replace('_', " "), check.found));
        let more = [("means", &check.means), ("cure", &check.cure)];
        lines.extend(more.into_iter().filter_map(|(what, text)| Some(format!("{:26} {what}: {}", "", text.as_ref()?))));
    }
    lines.push(String::new());
    lines.push("What is enforced here:".to_owned());
    for here in &doctor.profiles {
        let name = match here.profile {
            Profile::Host => "host",
            Profile::Workspace => "workspace",
            Profile::Locked => "locked",
        };
        lines.push(format!(
            "  {name:<16} {}",
            if here.layers.is_empty() { "nothing: programs run as you".to_owned() } else { layers(&here.layers) }
        ));
    }
    lines.push(format!("  {:<16} {}", "Baton's bridge", layers(&doctor.own)));
    lines.push(String::new());
    lines.push(match (doctor.require, doctor.can_require) {
        (true, true) => "`sandbox.require` is set, and this host meets it.".to_owned(),
        (true, false) => {
            "`sandbox.require` is set, and this host does not meet it: Baton does not start here.".to_owned()
        }
        (false, true) => "This host would meet `sandbox.require`.".to_owned(),
        (false, false) => "This host would not meet `sandbox.require`.".to_owned(),
    });
    lines.join("\n")
}

/// Layers by name, with what is missing of them.
pub fn layers(layers: &[Layer]) -> String {
    let one = |layer: &Layer| {
        let version = layer.abi.map(|abi| format!(" {abi}")).unwrap_or_default();
        match layer.status {
            LayerStatus::Enforced => format!("{}{version}", layer.name),
            LayerStatus::Partial => format!("{}{version} (in part)", layer.name),
            LayerStatus::Absent => format!("no {}", layer.name),
        }
    };
    layers.iter().map(one).collect::<Vec<_>>().join(", ").replace('_', " ")
}
