//! The cases that come with the suite. (core)

/// Every shipped scenario file as (path below `scenarios`, text), by family in the contract's order.
/// The longest case of a family stands first: cases start in this order.
#[must_use]
pub fn shipped() -> Vec<(&'static str, &'static str)> {
    macro_rules! files {
        ($($path:literal),* $(,)?) => {
            vec![$(($path, include_str!(concat!("../../scenarios/", $path)))),*]
        };
    }
    files![
        "fifo/very-late-reader.toml",
        "fifo/disabled.toml",
        "fifo/eof-after-exit.toml",
        "fifo/frozen-reader.toml",
        "fifo/late-reader.toml",
        "fifo/never-reads.toml",
        "fifo/no-fifo.toml",
        "fifo/opened-once.toml",
        "fifo/second-task.toml",
        "fifo/silent-stream.toml",
        "fifo/slow-reader.toml",
        "fifo/start-without-reader.toml",
        "fifo/tiny-pipe.toml",
        "life/short-lived.toml",
        "life/child-holds-streams.toml",
        "life/exit-code.toml",
        "life/exit-in-gap.toml",
        "life/frozen-driver.toml",
        "life/kill-task.toml",
        "life/recover.toml",
        "life/recover-fifos.toml",
        "life/recover-ended.toml",
        "life/recover-no-logmon.toml",
        "life/recover-both-killed.toml",
        "life/restarts-100.toml",
        "life/stop-blocked.toml",
        "life/stop.toml",
        "life/stop-family.toml",
        "life/storm.toml",
        "data/binary.toml",
        "data/concurrent-writers.toml",
        "data/line-lengths.toml",
        "data/no-final-newline.toml",
        "data/prompt.toml",
        "data/real-binary.toml",
        "data/real-seq.toml",
        "data/smoke.toml",
        "mon/creates-fifo.toml",
        "mon/drains.toml",
        "mon/eof-is-not-the-end.toml",
        "mon/kill-empty-pipe.toml",
        "mon/kill-full-pipe.toml",
        "mon/kill-kept.toml",
        "mon/kill-random.toml",
        "mon/loses-its.toml",
        "mon/one-stream.toml",
        "mon/other-limits.toml",
        "mon/refuses.toml",
        "mon/restart-writing.toml",
        "mon/restart.toml",
        "mon/second-logmon.toml",
        "mon/start-again.toml",
        "mon/start-order.toml",
        "mon/stop-adds-nothing.toml",
        "mon/stop-drains.toml",
        "mon/two-kills.toml",
        "mon/unknown-option.toml",
        "rot/boundary.toml",
        "rot/continues-after-restart.toml",
        "rot/hostile-names.toml",
        "rot/lets-go.toml",
        "rot/limits-odd.toml",
        "rot/limits-refused.toml",
        "rot/lines-in-pieces.toml",
        "rot/long-lines.toml",
        "rot/retention-at-start.toml",
        "rot/retention.toml",
        "heal/disk-full.toml",
        "heal/disk-full-drop.toml",
        "heal/file-size-limit.toml",
        "heal/log-folder-away.toml",
        "heal/log-folder-removed.toml",
        "heal/no-descriptors.toml",
        "heal/read-only.toml",
        "heal/stalled-storage.toml",
        "heal/too-few-descriptors.toml",
        "sec/dev-stdout.toml",
        "sec/linked-log-folder.toml",
        "sec/planted-links.toml",
        "sec/private-fifo.toml",
        "cost/thousand-tasks.toml",
        "cost/hundred-tasks.toml",
        "cost/idle.toml",
        "cost/logmon-restarts.toml",
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::rule::Spec;
    use crate::scenario::{Scenario, expand};

    fn all() -> Vec<(&'static str, Scenario)> {
        shipped()
            .into_iter()
            .flat_map(|(path, text)| {
                let scenarios = match expand(text, path) {
                    Ok(scenarios) => scenarios,
                    Err(error) => panic!("{path}: {error}"),
                };
                scenarios.into_iter().map(move |scenario| (path, scenario))
            })
            .collect()
    }

    #[test]
    fn every_file_of_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut found = BTreeSet::new();
        for family in std::fs::read_dir(&folder).unwrap() {
            let family = family.unwrap().path();
            for file in std::fs::read_dir(&family).unwrap() {
                let path = file.unwrap().path();
                let path = path.strip_prefix(&folder).unwrap();
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
        let shipped: BTreeSet<String> = shipped()
            .into_iter()
            .map(|(path, _)| path.to_owned())
            .collect();
        assert_eq!(shipped, found);
    }

    #[test]
    fn every_case_is_named_like_its_file_and_only_once() {
        let mut seen = BTreeSet::new();
        for (path, scenario) in all() {
            let name = path.trim_end_matches(".toml");
            assert!(
                scenario.id.starts_with(name),
                "{path} holds {}",
                scenario.id
            );
            assert!(seen.insert(scenario.id.clone()), "{} twice", scenario.id);
        }
    }

    #[test]
    fn every_case_checks_rules_that_the_contract_has() {
        for (path, scenario) in all() {
            assert!(!scenario.rules.is_empty(), "{path}");
            for rule in &scenario.rules {
                assert!(Spec::shipped().rule(rule).is_some(), "{path}: {rule}");
            }
        }
    }
}
