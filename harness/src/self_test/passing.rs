//! Which good subjects pass a case: those that it applies to. (core)
//!
//! A self-test plays every one of them, so what is named here is held to it; those drivers that are spoken to
//! whole only if they are named.

use std::collections::BTreeSet;

use super::catalogue::{Kind, Known, Part, catalogue};
use super::matrix::Row;
use crate::capability::{Capability, Declarer};
use crate::outcome::Status;
use crate::scenario::Scenario;
use crate::suite::{Choice, Filter, choose};

/// The good subjects of one part that pass this case, on a machine that allows it.
#[must_use]
pub fn passing(scenario: &Scenario, part: Part) -> Vec<Known> {
    let all = catalogue().into_iter();
    all.filter(|known| known.part == part && passes(known, scenario, &whole_machine()))
        .collect()
}

/// A machine that allows everything.
fn whole_machine() -> BTreeSet<Capability> {
    let all = Capability::ALL.iter().copied();
    all.filter(|one| one.declarer() == Declarer::Machine)
        .collect()
}

fn passes(known: &Known, scenario: &Scenario, machine: &BTreeSet<Capability>) -> bool {
    let is_good = matches!(known.kind, Kind::Good { .. });
    let template = known.template.replace("{examples}", "examples");
    // A test makes a subject of every template.
    is_good
        && known.subject(&template).is_ok_and(|subject| {
            choose(scenario, &subject.on(machine), &Filter::default()) == Choice::Run
        })
}

/// What is named as passing, is due and was not played, of the subjects at these places in the catalogue: a
/// row for each, so that it is no pass.
pub(super) fn unplayed(
    known: &[Known],
    played: &BTreeSet<usize>,
    rows: &[Row],
    scenarios: &[Scenario],
    machine: &BTreeSet<Capability>,
    is_due: impl Fn(&Known, &Scenario) -> bool,
) -> Vec<Row> {
    let rows: BTreeSet<(usize, &str)> = rows
        .iter()
        .map(|row| (row.subject, row.case.as_str()))
        .collect();
    let mut missing = Vec::new();
    for (index, one) in known.iter().enumerate() {
        if !played.contains(&index) {
            continue;
        }
        let named = scenarios
            .iter()
            .filter(|scenario| is_due(one, scenario) && passes(one, scenario, machine));
        let named = named.filter(|scenario| !rows.contains(&(index, scenario.id.as_str())));
        missing.extend(named.map(|scenario| Row {
            subject: index,
            case: scenario.id.clone(),
            status: Status::Inconclusive,
            shapes: BTreeSet::new(),
            headline: "it is named as a case that this subject passes, and was not played".into(),
            blamed: None,
            unsteady: false,
        }));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::shipped_scenarios;

    fn names(id: &str, part: Part) -> Vec<String> {
        let cases = shipped_scenarios().unwrap();
        let case = cases.iter().find(|case| case.id == id).unwrap();
        let known = passing(case, part).into_iter();
        known.map(|one| one.name).collect()
    }

    #[test]
    fn only_good_subjects_that_the_case_applies_to_are_named() {
        let all = [
            "mock-run",
            "mock-play",
            "executor",
            "shell",
            "bash",
            "python",
            "stdio-bash",
            "stdio-python",
            "mock-stdio",
            "executor-serve",
            "plugin-mock",
            "plugin-executor",
        ];
        assert_eq!(names("data/smoke", Part::Driver), all);
        // It needs a driver that forwards.
        assert_eq!(
            names("mon/kill-full-pipe-bare", Part::Driver),
            [
                "mock-run",
                "mock-play",
                "python",
                "mock-stdio",
                "plugin-mock"
            ]
        );
        assert_eq!(names("data/smoke", Part::Logmon), ["logmon", "plain"]);
        // No driver has a part in it.
        assert!(names("cost/thousand-tasks", Part::Driver).is_empty());
    }

    #[test]
    fn a_case_that_is_named_and_not_played_is_no_pass() {
        let (known, cases) = (catalogue(), shipped_scenarios().unwrap());
        let smoke: Vec<Scenario> = cases
            .into_iter()
            .filter(|one| one.id == "data/smoke")
            .collect();
        let played = BTreeSet::from([0]);
        let machine = BTreeSet::new();
        let missing = |rows: &[Row]| unplayed(&known, &played, rows, &smoke, &machine, |_, _| true);
        let rows = missing(&[]);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].subject, rows[0].status), (0, Status::Inconclusive));
        assert!(missing(&rows).is_empty());
    }
}
