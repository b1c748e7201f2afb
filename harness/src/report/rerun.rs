//! The command that plays a case again. (core)

use std::collections::BTreeSet;
use std::path::Path;

use crate::adapter::{AdapterKind, DriverPlugin, hosted_behind};
use crate::bundled_pair::is_bundled_logmon;
use crate::capability::{Capability, Declarer};
use crate::case::Case;
use crate::report::Report;
use crate::scenario::swept_id;
use crate::serving::Serving;
use crate::suite::{Subject, shipped_scenario};

/// The command that plays the case of a failed attempt again, on one line so that it can be copied.
/// Without the attempt's facts it names the case only.
pub(super) fn of_attempt(id: &str, case: Option<&Case>) -> String {
    let Some(case) = case else {
        return shell_words::join(beginning(id));
    };
    command(
        id,
        (case.adapter, &case.driver),
        &case.logmon,
        case.serving.as_ref(),
        &case.driver_capabilities,
        case.seed,
    )
}

/// The command that plays a case of a report again, with the same subject and seed, on one line. A run knows
/// a case of somebody's own only by its file; there it is the bundle, if it was kept.
#[must_use]
pub fn rerun(report: &Report, id: &str) -> String {
    let result = report.cases.iter().find(|one| one.id == id);
    if let Some(bundle) = result.and_then(|one| one.bundle.as_ref())
        && is_own(id)
    {
        return shell_words::join(["harness", "repro", &bundle.to_string_lossy()]);
    }
    let subject = &report.subject;
    let capabilities = subject.capabilities.iter();
    command(
        id,
        (subject.adapter, &subject.driver),
        &subject.logmon,
        subject.serving.as_ref(),
        // A capability that this version does not know can't be declared to it.
        &capabilities.filter_map(|name| name.parse().ok()).collect(),
        report.seed,
    )
}

/// The command that plays the kept attempt at a case again; if nothing was kept, the case.
#[must_use]
pub fn repro(report: &Report, id: &str, bundle: Option<&Path>) -> String {
    match bundle {
        Some(bundle) => shell_words::join(["harness", "repro", &bundle.to_string_lossy()]),
        None => rerun(report, id),
    }
}

/// A case of a sweep is no case that a run knows by a filter.
fn beginning(id: &str) -> Vec<String> {
    let words: &[&str] = match swept_id(id) {
        Some(_) => &["harness", "repro", id],
        None => &["harness", "run", "--filter", id],
    };
    let own: &[&str] = if is_own(id) {
        // Whoever wrote the case knows its file.
        &["--scenario", "FILE"]
    } else {
        &[]
    };
    words.iter().chain(own).copied().map(String::from).collect()
}

/// Whether a case is somebody's own: none of the shipped ones has its id, or the id that it was swept from.
pub(super) fn is_own(id: &str) -> bool {
    let id = swept_id(id).map_or(id, |(base, _)| base);
    shipped_scenario(id).is_none()
}

fn command(
    id: &str,
    (adapter, driver): (AdapterKind, &[String]),
    logmon: &[String],
    serving: Option<&Serving>,
    capabilities: &BTreeSet<Capability>,
    seed: u64,
) -> String {
    let mut words = beginning(id);
    let bundled = Subject::bundled();
    let usual = if driver == bundled.driver {
        bundled.capabilities
    } else {
        words.extend(match DriverPlugin::behind(driver) {
            Some(plugin) => plugin.options(),
            None => vec![adapter.option().into(), shell_words::join(driver)],
        });
        Capability::of_any_command()
    };
    let declared = capabilities.difference(&usual);
    // A driver that is spoken to declares its own.
    let by_hand = |one: &&Capability| {
        one.is_declared_by_hand() && (adapter.is_command() || one.declarer() != Declarer::Driver)
    };
    for declared in declared.filter(by_hand) {
        words.extend(["--capability".into(), declared.as_str().into()]);
    }
    if !is_bundled_logmon(logmon) {
        words.extend(match hosted_behind(logmon) {
            Some(collector) => ["--nomad-logmon".into(), collector],
            None => ["--logmon".into(), shell_words::join(logmon)],
        });
        for (option, template) in serving.iter().flat_map(|serving| serving.options()) {
            words.extend([option.into(), shell_words::join(template)]);
        }
    }
    words.extend(["--seed".into(), seed.to_string()]);
    shell_words::join(words)
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream;

    use super::*;
    use crate::judge::stage::{good, records};

    #[test]
    fn a_case_of_ones_own_is_named_with_its_file() {
        let case = good(vec![records(Stream::Stdout, 1)]).case;
        let command = |id: &str| of_attempt(id, Some(&case));
        let begins = |id: &str, words: &str| {
            let command = command(id);
            assert!(command.starts_with(&format!("{words} ")), "{command}");
        };
        begins("mon/mine", "harness run --filter mon/mine --scenario FILE");
        begins(
            "data/mine-kill-logmon-after-1",
            "harness repro data/mine-kill-logmon-after-1 --scenario FILE",
        );
        for shipped in ["data/smoke", "data/smoke-kill-logmon-after-1"] {
            assert!(!command(shipped).contains("--scenario"));
        }
    }

    #[test]
    fn a_logmon_for_many_tasks_is_named_with_all_its_commands() {
        let mut case = good(vec![records(Stream::Stdout, 1)]).case;
        case.logmon = ["mine", "{log_dir}"].map(String::from).into();
        case.serving = Subject::bundled().serving;
        assert!(case.serving.is_some());
        let command = of_attempt("cost/thousand-tasks", Some(&case));
        let words = shell_words::split(&command).unwrap();
        for option in [
            "--logmon",
            "--logmon-serve",
            "--logmon-start",
            "--logmon-stop",
        ] {
            let found = words.iter().position(|word| word == option);
            let value = found.and_then(|index| words.get(index + 1));
            assert!(
                value.is_some_and(|value| value.contains('{')),
                "{option}: {command}"
            );
        }
    }
}
