//! Good subjects that pass the case that failed. (core)

use serde::{Deserialize, Serialize};

use crate::rule::Role;
use crate::scenario::Scenario;
use crate::self_test::{Known, Part, passing};
use crate::suite::{Subject, shipped_scenario};

/// Good subjects of the suite's own that pass the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassesHere {
    /// `driver` or `logmon`: what is under test.
    pub part: String,
    /// Their names in the self-test, at least one.
    pub subjects: Vec<String>,
    /// The command that plays one of them, where it needs no file of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl PassesHere {
    /// Those of the part that is under test, which are reached in the same way. None if both parts are,
    /// as then no pair is known to pass, or if none passes, or if the case is not a shipped one, which the
    /// self-test plays.
    #[must_use]
    pub fn beside(subject: &Subject, scenario: &Scenario) -> Option<Self> {
        let has = |role| subject.under_test.contains(&role);
        let part = match (has(Role::Driver), has(Role::Logmon)) {
            (true, false) => Part::Driver,
            (false, true) => Part::Logmon,
            (true, true) | (false, false) => return None,
        };
        if !is_shipped(scenario) {
            return None;
        }
        let alike = |known: &Known| part == Part::Logmon || known.adapter == subject.adapter;
        let mut all = passing(scenario, part);
        all.retain(alike);
        let is_bundled = |known: &Known| known.is_bundled();
        let command = all.iter().any(is_bundled).then(|| {
            let words = ["harness", "run", "--filter", &scenario.id];
            shell_words::join(words.into_iter().chain(["--out", "out-beside"]))
        });
        let subjects: Vec<String> = all
            .iter()
            .filter(|known| !is_played(known, subject))
            .map(|known| known.name.clone())
            .collect();
        (!subjects.is_empty()).then(|| Self {
            part: part.as_str().to_owned(),
            subjects,
            command,
        })
    }

    /// `the drivers mock-run and python`.
    #[must_use]
    pub fn named(&self) -> String {
        match self.subjects.as_slice() {
            [] => String::new(),
            [one] => format!("the {} {one}", self.part),
            [most @ .., last] => format!("the {}s {} and {last}", self.part, most.join(", ")),
        }
    }

    /// Their names, and the command if there is one, on one line.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.command {
            Some(command) => format!("{}; {command}", self.named()),
            None => self.named(),
        }
    }
}

/// Whether a case is exactly a shipped one. One that was played has its seed in its scripts.
pub(super) fn is_shipped(scenario: &Scenario) -> bool {
    let Some(shipped) = shipped_scenario(&scenario.id) else {
        return false;
    };
    let mut scenario = scenario.clone();
    for (name, script) in &mut scenario.tasks {
        if shipped.tasks.get(name).is_some_and(|own| own.seed == 0) {
            script.seed = 0;
        }
    }
    let json = |one: &Scenario| serde_json::to_value(one).ok();
    json(shipped) == json(&scenario)
}

/// Whether a good subject is the one that is played. Of an example only the file's name is known.
fn is_played(known: &Known, subject: &Subject) -> bool {
    let words = match known.part {
        Part::Driver => &subject.driver,
        Part::Logmon => &subject.logmon,
    };
    if shell_words::split(&known.template).is_ok_and(|own| own == *words) {
        return true;
    }
    let (_, file) = known.template.split_once("{examples}/").unzip();
    let file = file.and_then(|rest| rest.split_whitespace().next());
    file.is_some_and(|file| words.iter().any(|word| word.ends_with(file)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bundled_pair::BUNDLED_DRIVER;
    use crate::capability::Capability;
    use crate::suite::shipped_scenarios;

    fn beside(driver: Option<&str>, logmon: Option<&str>, id: &str) -> Option<PassesHere> {
        let cases = shipped_scenarios().unwrap();
        let case = cases.iter().find(|case| case.id == id).unwrap();
        let declared = BTreeSet::from([Capability::Forwards]);
        let subject = Subject::from_templates(driver, logmon, &declared).unwrap();
        PassesHere::beside(&subject, case)
    }

    const FULL: &str = "mon/kill-full-pipe-bare";

    #[test]
    fn what_is_under_test_is_compared_with_its_like() {
        let drivers = beside(Some("./mine {task}"), None, FULL).unwrap();
        assert_eq!(
            drivers.named(),
            "the drivers mock-run, mock-play and python"
        );
        assert_eq!(
            drivers.command.unwrap(),
            "harness run --filter mon/kill-full-pipe-bare --out out-beside"
        );
        let logmons = beside(None, Some("./mine"), "data/smoke").unwrap();
        assert_eq!(logmons.named(), "the logmons logmon and plain");
        assert_eq!(beside(Some("./d {task}"), Some("./l"), FULL), None);
        assert_eq!(beside(None, None, FULL), None);
    }

    #[test]
    fn a_subject_that_failed_is_not_told_that_it_passes() {
        let own = beside(Some(BUNDLED_DRIVER), None, FULL).unwrap();
        assert_eq!(own.subjects, ["mock-play", "python"]);
        let python = "python3 /somewhere/python_driver.py --out {stdout} -- {task}";
        let own = beside(Some(python), None, FULL).unwrap();
        assert_eq!(own.subjects, ["mock-run", "mock-play"]);
    }

    #[test]
    fn nobody_is_known_to_pass_what_is_not_exactly_a_shipped_case() {
        let cases = shipped_scenarios().unwrap();
        let subject = Subject::from_templates(Some("./d {task}"), None, &BTreeSet::new()).unwrap();
        let of = |scenario: &Scenario| PassesHere::beside(&subject, scenario);
        let mut case = cases
            .into_iter()
            .find(|one| one.id == "data/smoke")
            .unwrap();
        case.tasks.values_mut().for_each(|script| script.seed = 7);
        assert!(of(&case).is_some(), "it was played with a seed");
        case.expect.release_ms += 1;
        assert_eq!(of(&case), None);
        case.expect.release_ms -= 1;
        case.id = "data/mine".into();
        assert_eq!(of(&case), None);
    }
}
