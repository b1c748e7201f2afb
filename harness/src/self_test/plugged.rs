//! The mock driver once more, as a plugin of Nomad: good, forwarding and not, and with each of its faults. (core)

use super::catalogue::{
    Catch, DRIVERS, Fault, Kind, Known, Part, RECOVERIES, RECOVERS_AND_CONTAINS,
    RECOVERS_AND_FORWARDS,
};
use crate::adapter::AdapterKind;
use crate::finding::Shape;

/// What the names of all of them begin with.
pub(super) const PREFIX: &str = "plugin-";
/// The pattern of all of them.
pub(super) const ALL: &str = "plugin-*";
/// The configuration of a task among the examples.
const TASK: &str = "nomad_task.toml";
/// The folder of their configurations among the examples.
const CONFIGURATIONS: &str = "plugins";

/// The faults whose damage a host is told of in another way. What dies is the process beside the task and not
/// the plugin, which answers `WaitTask` with an error.
const OTHERWISE: &[(&str, Shape)] = &[("dies-of-sigpipe", Shape::Died)];

/// The one without a fault that forwards, as those with one do.
pub(super) fn good() -> Known {
    let good = Kind::Good { program: None };
    known("mock", None, ("nomad_forwarded_task.toml", true), good)
}

/// The one whose tasks are run by the executor. They hold the FIFOs themselves.
pub(super) fn executing() -> Known {
    let good = Kind::Good { program: None };
    known("executor", None, (TASK, false), good)
}

/// The faulty ones: each is caught as it is where it is reached otherwise, but for [`OTHERWISE`].
pub(super) fn faulty() -> impl Iterator<Item = Known> {
    faults().map(|(fault, case, shape)| {
        let otherwise = OTHERWISE.iter().find(|(name, _)| name == fault);
        let shape = otherwise.map_or(*shape, |(_, shape)| *shape);
        let faulty = Kind::Faulty(Catch { case, shape });
        known(fault, Some(fault), (TASK, true), faulty)
    })
}

fn faults() -> impl Iterator<Item = &'static Fault> {
    DRIVERS.iter().chain(RECOVERIES)
}

fn known(name: &str, fault: Option<&str>, (task, forwards): (&str, bool), kind: Kind) -> Known {
    let configured = fault.map(|fault| {
        let path = configuration(fault).0;
        format!("--plugin-config {{examples}}/{path} ")
    });
    Known {
        name: format!("{PREFIX}{name}"),
        part: Part::Driver,
        template: format!(
            "{{self}} nomad driver {}--task-config {{examples}}/{task} --capability {}{} \
             -- {{self}} mock-driver plugin",
            configured.unwrap_or_default(),
            if forwards { "forwards," } else { "" },
            "no-log-collection,checks-paths,contains",
        ),
        serving: None,
        adapter: AdapterKind::Stdio,
        capabilities: if forwards {
            RECOVERS_AND_FORWARDS
        } else {
            RECOVERS_AND_CONTAINS
        },
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
