//! What a scenario must be before it is played. (core)

use std::collections::BTreeSet;

use mock_driver::script::{Script, Step as ScriptStep};

use super::expand::Wrong;
use super::fault::HostFault;
use super::limits::OnFull;
use super::many;
use super::model::{
    Action, Await, Condition, FifoKind, FolderKind, LogmonBinary, LogmonOutcome, LogmonOutput,
    Need, Scenario, Step,
};
use super::parts::part_gate;
use super::recovery;
use super::size::Size;
use crate::capability::Capability;
use crate::rule::{Family, RuleId, Spec};

/// Checks everything that types do not.
pub(super) fn scenario(scenario: &Scenario) -> Result<(), Wrong> {
    id(&scenario.id)?;
    if scenario.title.trim().is_empty() {
        return Err(Wrong::new(
            "title",
            "it is empty",
            "say the promise in one sentence",
        ));
    }
    if scenario.rules.is_empty() {
        return Err(Wrong::new(
            "rules",
            "the list is empty",
            "name the rules that the case checks",
        ));
    }
    for rule in &scenario.rules {
        known_rule("rules", rule)?;
    }
    for need in &scenario.needs {
        let (Need::Always(name)
        | Need::Sometimes {
            capability: name, ..
        }) = need;
        name.parse::<Capability>()
            .map_err(|error| Wrong::new("needs", error.to_string(), "correct the name"))?;
    }
    storage(scenario)?;
    if !scenario.limits.texts.is_empty() {
        return Err(Wrong::new(
            "limits.texts",
            "limits that are no numbers can only be refused",
            "say them in a step `start-logmon` with `expect = \"refused\"`",
        ));
    }
    if scenario.limits.on_full == OnFull::Drop {
        needed(scenario, "limits.on_full", Capability::DropPolicy)?;
    }
    if scenario.plan.is_empty() {
        return Err(Wrong::new("plan", "it is empty", "add `[[plan]]` steps"));
    }
    many::check(scenario)?;
    recovery::check(scenario)?;
    for plant in &scenario.host.plant {
        if plant.name.is_empty() || plant.name.contains('/') {
            let problem = format!("`{}` is no file name", plant.name);
            return Err(Wrong::new(
                "host.plant.name",
                problem,
                "give a name without `/`",
            ));
        }
    }
    let gates = scenario.tasks.values().flat_map(script_gates).collect();
    let plan = Plan { scenario, gates };
    plan.steps(&scenario.plan, "plan")
}

/// The name of an option, without its dashes and its value; none for a word that is no option.
pub(crate) fn option_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('-')?.trim_start_matches('-');
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    (!name.is_empty()).then_some(name)
}

/// A file system of its own has a size, and is not to be had everywhere.
fn storage(scenario: &Scenario) -> Result<(), Wrong> {
    let host = &scenario.host;
    match (host.log_folder, host.log_folder_bytes) {
        (FolderKind::Tmpfs, None | Some(Size(0))) => Err(Wrong::new(
            "host.log_folder_bytes",
            "there is no size",
            "say how large the file system is, for instance \"4MiB\"",
        )),
        (FolderKind::Present | FolderKind::Symlink | FolderKind::Stalling, Some(_)) => {
            Err(Wrong::new(
                "host.log_folder_bytes",
                "only `tmpfs` has a size",
                "add `log_folder = \"tmpfs\"` or leave the size out",
            ))
        }
        (FolderKind::Tmpfs, Some(_)) => {
            needed(scenario, "host.log_folder", Capability::StorageFaults)
        }
        (FolderKind::Stalling, None) => {
            needed(scenario, "host.log_folder", Capability::StallingStorage)
        }
        (FolderKind::Present | FolderKind::Symlink, None) => Ok(()),
    }
}

/// What a key asks for must stand among the needs.
pub(super) fn needed(scenario: &Scenario, key: &str, capability: Capability) -> Result<(), Wrong> {
    if scenario.needs().contains(&capability) {
        return Ok(());
    }
    Err(Wrong::new(
        key,
        format!("not everybody has {capability}"),
        format!("add \"{capability}\" to `needs`"),
    ))
}

fn id(id: &str) -> Result<(), Wrong> {
    let families: Vec<String> = Family::ALL
        .iter()
        .map(|one| one.as_str().to_lowercase())
        .collect();
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let good = id
        .split_once('/')
        .is_some_and(|(family, name)| families.iter().any(|one| one == family) && is_name(name));
    if good {
        return Ok(());
    }
    let fix = format!(
        "write `family/name` with lower-case letters, digits and hyphens; families are {}",
        families.join(", ")
    );
    Err(Wrong::new("id", format!("`{id}` is no id of a case"), fix))
}

fn known_rule(key: &str, rule: &RuleId) -> Result<(), Wrong> {
    if Spec::shipped().rule(rule).is_some() {
        return Ok(());
    }
    Err(Wrong::new(
        key,
        format!("there is no rule {rule}"),
        "SPEC.md lists the rules",
    ))
}

fn script_gates(script: &Script) -> impl Iterator<Item = &str> {
    script.steps.iter().filter_map(|step| match step {
        ScriptStep::Gate { name }
        | ScriptStep::Child {
            until_gate: Some(name),
            ..
        } => Some(name.as_str()),
        ScriptStep::Records { .. }
        | ScriptStep::Text { .. }
        | ScriptStep::Raw { .. }
        | ScriptStep::Lines { .. }
        | ScriptStep::Sleep { .. }
        | ScriptStep::Mark { .. }
        | ScriptStep::Close { .. }
        | ScriptStep::Reopen { .. }
        | ScriptStep::Child {
            until_gate: None, ..
        }
        | ScriptStep::Exec { .. }
        | ScriptStep::Ignore { .. }
        | ScriptStep::Die { .. }
        | ScriptStep::Exit { .. } => None,
    })
}

struct Plan<'a> {
    scenario: &'a Scenario,
    gates: BTreeSet<&'a str>,
}

impl Plan<'_> {
    fn steps(&self, steps: &[Step], key: &str) -> Result<(), Wrong> {
        steps.iter().enumerate().try_for_each(|(index, step)| {
            self.action(&step.action, &format!("{key} {}", index + 1))
        })
    }

    fn action(&self, action: &Action, key: &str) -> Result<(), Wrong> {
        match action {
            Action::StartTask { script } => self.script(script, key),
            Action::StartSecondTask { script } => self.second_script(script, key),
            Action::Release { gate } => self.gate(gate, key),
            Action::Await(wait) => self.wait(wait, key),
            Action::Elapse { because, .. } if because.trim().is_empty() => Err(Wrong::new(
                format!("{key}.because"),
                "it is empty",
                "name the rule whose time this is, or await a condition instead",
            )),
            Action::Mend { what } if !what.can_be_mended() => Err(Wrong::new(
                format!("{key}.what"),
                format!("`{what}` can't be mended"),
                "leave the step out",
            )),
            Action::Break { what } => self.fault(*what, key),
            Action::KillOften { count: 0, .. } => Err(Wrong::new(
                format!("{key}.count"),
                "0 kills",
                "leave the step out",
            )),
            Action::KillOften {
                count,
                gate: Some(gate),
                ..
            } => (1..*count).try_for_each(|part| self.gate(&part_gate(gate, part), key)),
            Action::Repeat { times: 0, .. } => Err(Wrong::new(
                format!("{key}.times"),
                "0 times",
                "leave the step out",
            )),
            Action::Repeat { plan, .. } if plan.is_empty() => Err(Wrong::new(
                format!("{key}.plan"),
                "it is empty",
                "leave the step out",
            )),
            Action::Repeat { plan, .. } => self.steps(plan, &format!("{key}.plan")),
            Action::StartLogmon {
                expect: LogmonOutcome::ReadyOrRefused,
                words,
                ..
            } if !words.iter().any(|word| option_name(word).is_some()) => Err(Wrong::new(
                format!("{key}.words"),
                "there is no option that logmon may refuse",
                "add one that begins with a dash, or expect `ready` or `refused`",
            )),
            Action::StartLogmon {
                expect: LogmonOutcome::Ready | LogmonOutcome::ReadyOrRefused,
                limits: Some(limits),
                ..
            }
            | Action::SecondLogmon {
                limits: Some(limits),
            }
            | Action::StartAgain {
                limits: Some(limits),
            } if !limits.texts.is_empty() => Err(Wrong::new(
                format!("{key}.limits.texts"),
                "limits that are no numbers can only be refused",
                "start logmon with `expect = \"refused\"`, or leave the texts out",
            )),
            Action::HoldReader { .. } if self.scenario.host.log_folder == FolderKind::Stalling => {
                Err(Wrong::new(
                    key,
                    "the host can't hold pipes whose lock may be held for as long as storage stalls",
                    "leave the step out, or choose another `log_folder`",
                ))
            }
            Action::StartLogmon { .. }
            | Action::SecondLogmon { .. }
            | Action::StartAgain { .. }
            | Action::StopLogmon { .. }
            | Action::SignalLogmon { .. }
            | Action::StopDriver { .. }
            | Action::DetachDriver {}
            | Action::KillDriver {}
            | Action::RecoverDriver {}
            | Action::FreezeDriver {}
            | Action::ThawDriver {}
            | Action::SignalTask { .. }
            | Action::AwaitExit { .. }
            | Action::Elapse { .. }
            | Action::HoldReader { .. }
            | Action::DropReader {}
            | Action::Look {}
            | Action::Mend { .. }
            | Action::KillOften { .. }
            | Action::ManyTasks { .. }
            | Action::Measure { .. } => Ok(()),
        }
    }

    /// What some faults need beforehand.
    fn fault(&self, what: HostFault, key: &str) -> Result<(), Wrong> {
        let host = &self.scenario.host;
        let (is_ready, fix) = match what {
            HostFault::OwnOutput => (
                host.logmon_output == LogmonOutput::Pipes,
                "add `logmon_output = \"pipes\"` to `[host]`",
            ),
            HostFault::OwnBinary => (
                host.logmon_binary == LogmonBinary::Copy,
                "add `logmon_binary = \"copy\"` to `[host]`",
            ),
            HostFault::DiskFull | HostFault::ReadOnly => (
                host.log_folder == FolderKind::Tmpfs,
                "add `log_folder = \"tmpfs\"` and `log_folder_bytes` to `[host]`",
            ),
            HostFault::StorageStalled => (
                host.log_folder == FolderKind::Stalling,
                "add `log_folder = \"stalling\"` to `[host]`",
            ),
            HostFault::FileSizeLimit
            | HostFault::NoDescriptors
            | HostFault::LogFolderAway
            | HostFault::LogFolderRemoved => (true, ""),
            HostFault::FifosAway | HostFault::FifosStale => (
                host.fifos == FifoKind::Present,
                "leave `fifos` out of `[host]`, so that there are two",
            ),
        };
        if is_ready {
            return Ok(());
        }
        Err(Wrong::new(
            format!("{key}.what"),
            format!("`{what}` is not prepared"),
            fix,
        ))
    }

    fn script(&self, name: &str, key: &str) -> Result<(), Wrong> {
        if self.scenario.tasks.contains_key(name) {
            return Ok(());
        }
        let fix = format!("add `[tasks.{name}]`, or start one that there is");
        Err(Wrong::new(
            format!("{key}.script"),
            format!("there is no script `{name}`"),
            fix,
        ))
    }

    /// A second task is known to run by the gate that it stands at.
    fn second_script(&self, name: &str, key: &str) -> Result<(), Wrong> {
        self.script(name, key)?;
        let script = self.scenario.tasks.get(name);
        if script.is_some_and(|script| script_gates(script).next().is_some()) {
            return Ok(());
        }
        Err(Wrong::new(
            format!("{key}.script"),
            format!("the script `{name}` has no gate, so nobody knows when it runs"),
            "add a step `gate` to it, and open that at the end of the plan",
        ))
    }

    fn gate(&self, name: &str, key: &str) -> Result<(), Wrong> {
        if self.gates.contains(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.gates.iter().copied().collect();
        let fix = format!(
            "the scripts' gates are: {}",
            if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            }
        );
        Err(Wrong::new(
            format!("{key}.gate"),
            format!("no script has a gate `{name}`"),
            fix,
        ))
    }

    fn wait(&self, wait: &Await, key: &str) -> Result<(), Wrong> {
        match (wait.until, &wait.gate) {
            (Condition::AtGate, Some(gate)) => self.gate(gate, key)?,
            (Condition::AtGate, None) => {
                return Err(Wrong::new(
                    format!("{key}.gate"),
                    "there is none",
                    "say which gate",
                ));
            }
            (_, Some(_)) => {
                return Err(Wrong::new(
                    format!("{key}.gate"),
                    "only `at-gate` has a gate",
                    "leave it out",
                ));
            }
            (_, None) => {}
        }
        let counts = matches!(wait.until, Condition::Accepted | Condition::Logged);
        if wait.bytes.is_some() && !counts {
            let fix = "leave it out";
            return Err(Wrong::new(
                format!("{key}.bytes"),
                "only `accepted` and `logged` count bytes",
                fix,
            ));
        }
        match (&wait.rule, wait.otherwise) {
            (Some(_), None) => Err(Wrong::new(
                format!("{key}.rule"),
                "a rule without `otherwise` is never named",
                "add `otherwise` or leave the rule out",
            )),
            (Some(rule), Some(_)) => known_rule(&format!("{key}.rule"), rule),
            (None, _) => Ok(()),
        }
    }
}
