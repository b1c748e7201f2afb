//! The mock driver once more, as a plugin of Nomad: good, and with each of its faults. (core)

use super::catalogue::{
    Catch, DRIVERS, Fault, Kind, Known, Part, RECOVERIES, RECOVERS_AND_FORWARDS,
};
use crate::adapter::AdapterKind;
use crate::finding::Shape;

/// What the names of all of them begin with.
pub(super) const PREFIX: &str = "plugin-";
/// The pattern of all of them.
pub(super) const ALL: &str = "plugin-*";
/// The folder of their configurations among the examples.
const CONFIGURATIONS: &str = "plugins";

/// The faults whose damage a host is told of in another way. What dies is the process beside the task and not
/// the plugin, which answers `WaitTask` with an error.
const OTHERWISE: &[(&str, Shape)] = &[("dies-of-sigpipe", Shape::Died)];

/// The one without a fault.
pub(super) fn good() -> Known {
    known("mock", None, Kind::Good { program: None })
}

/// The faulty ones: each is caught as it is where it is reached otherwise, but for [`OTHERWISE`].
pub(super) fn faulty() -> impl Iterator<Item = Known> {
    faults().map(|(fault, case, shape)| {
        let otherwise = OTHERWISE.iter().find(|(name, _)| name == fault);
        let shape = otherwise.map_or(*shape, |(_, shape)| *shape);
        known(fault, Some(fault), Kind::Faulty(Catch { case, shape }))
    })
}

fn faults() -> impl Iterator<Item = &'static Fault> {
    DRIVERS.iter().chain(RECOVERIES)
}

fn known(name: &str, fault: Option<&str>, kind: Kind) -> Known {
    let configured = fault.map(|fault| {
        let path = configuration(fault).0;
        format!("--plugin-config {{examples}}/{path} ")
    });
    Known {
        name: format!("{PREFIX}{name}"),
        part: Part::Driver,
        template: format!(
            "{{self}} nomad driver {}--task-config {{examples}}/nomad_task.toml \
             --capability forwards,no-log-collection,checks-paths -- {{self}} mock-driver plugin",
            configured.unwrap_or_default()
        ),
        serving: None,
        adapter: AdapterKind::Stdio,
        capabilities: RECOVERS_AND_FORWARDS,
        kind,
    }
}

/// The configurations of the faulty ones: their paths among the examples, and what they say.
pub(super) fn configurations() -> impl Iterator<Item = (String, String)> {
    let faults = faults();
    faults.map(|(fault, _, _)| configuration(fault))
}

fn configuration(fault: &str) -> (String, String) {
    (
        format!("{CONFIGURATIONS}/{fault}.toml"),
        format!("fault = \"{fault}\"\n"),
    )
}
