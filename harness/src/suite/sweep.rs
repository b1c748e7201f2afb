//! Which cases a sweep plays, and what came of it. (core)

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::outcome::Status;
use crate::scenario::{Moment, Scenario, points, swept, swept_id, swept_records};
use crate::suite::{CaseResult, Choice, Selected, Subject};

/// How many points of a case a sweep tries about, unless it is told how far they lie apart.
const USUAL_POINTS: u64 = 20;

/// How the reason begins why a sweep leaves a case out.
pub const CANT_SWEEP: &str = "--sweep can't kill logmon in it";

/// One case of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptCase {
    /// The case's id.
    pub case: String,
    /// Its records.
    pub records: u64,
    /// Every how manyth of them is a point, beside the first and the last.
    pub every: u64,
    /// The points that are to be tried: numbers of records.
    pub points: Vec<u64>,
    /// How many of them were played.
    pub played: usize,
    /// The first of them that did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<u64>,
    /// The command that plays it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repro: Option<String>,
}

/// Puts the points of each chosen case in its place. A case in which logmon can't be killed is left
/// out, with the reason.
#[must_use]
pub fn sweep(
    selected: Vec<Selected>,
    every: Option<u64>,
    subject: &Subject,
) -> (Vec<Selected>, Vec<SweptCase>) {
    let moment = moment(subject);
    let (mut all, mut cases) = (Vec::new(), Vec::new());
    for one in selected {
        if one.choice != Choice::Run {
            all.push(one);
            continue;
        }
        let records = match swept_records(&one.scenario) {
            Ok(records) => records,
            Err(why) => {
                let why = format!("{CANT_SWEEP}: {why}");
                all.push(Selected {
                    choice: Choice::Filtered { why },
                    ..one
                });
                continue;
            }
        };
        let every = every.unwrap_or_else(|| records.div_ceil(USUAL_POINTS).max(1));
        let points = points(records, every);
        let scenarios = points
            .iter()
            .filter_map(|point| swept(&one.scenario, *point, moment));
        all.extend(scenarios.map(|scenario| Selected {
            scenario,
            choice: Choice::Run,
        }));
        cases.push(SweptCase {
            case: one.scenario.id.clone(),
            records,
            every,
            points,
            played: 0,
            first_failure: None,
            repro: None,
        });
    }
    (all, cases)
}

/// When this subject's logmon may be killed.
fn moment(subject: &Subject) -> Moment {
    if subject.can(Capability::KeepsDescriptors) {
        Moment::AtOnce
    } else {
        Moment::WhenDue
    }
}

/// The case that an id of a sweep names, among these; none if it is no such id, or there is none.
#[must_use]
pub fn swept_named(id: &str, scenarios: &[Scenario], subject: &Subject) -> Option<Scenario> {
    let (case, record) = swept_id(id)?;
    let case = scenarios.iter().find(|one| one.id == case)?;
    swept(case, record, moment(subject))
}

/// Takes in what became of the points; `repro` is the command that plays a case again.
pub fn note_sweep(
    cases: &mut [SweptCase],
    results: &[CaseResult],
    repro: impl Fn(&CaseResult) -> String,
) {
    for case in cases {
        (case.played, case.first_failure, case.repro) = (0, None, None);
        for result in results.iter().filter(|one| one.status.has_run()) {
            let Some((id, record)) = swept_id(&result.id) else {
                continue;
            };
            if id != case.case {
                continue;
            }
            case.played += 1;
            let is_first = case.first_failure.is_none_or(|first| record < first);
            if !matches!(result.status, Status::Pass | Status::Xfail) && is_first {
                case.first_failure = Some(record);
                case.repro = Some(repro(result));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::suite::{Filter, select, shipped_scenarios};

    fn swept_by(
        subject: &Subject,
        ids: &[&str],
        every: Option<u64>,
    ) -> (Vec<Selected>, Vec<SweptCase>) {
        let mut all = shipped_scenarios().unwrap();
        all.retain(|one| ids.contains(&one.id.as_str()));
        sweep(select(all, subject, &Filter::default()), every, subject)
    }

    #[test]
    fn each_chosen_case_is_played_at_its_points_and_the_others_say_why_not() {
        let ids = ["data/smoke", "mon/kill-full-pipe-bare"];
        let (all, cases) = swept_by(&Subject::bundled(), &ids, Some(70));
        let told: Vec<(&str, bool)> = all
            .iter()
            .map(|one| (one.scenario.id.as_str(), one.choice == Choice::Run))
            .collect();
        assert_eq!(
            told,
            [
                ("data/smoke-kill-logmon-after-1", true),
                ("data/smoke-kill-logmon-after-70", true),
                ("data/smoke-kill-logmon-after-140", true),
                ("data/smoke-kill-logmon-after-200", true),
                ("mon/kill-full-pipe-bare", false),
            ]
        );
        assert_eq!((cases[0].records, cases[0].every), (200, 70));
        // All that is tried by default is about twenty points, and says how far they lie apart.
        let (_, cases) = swept_by(&Subject::bundled(), &ids, None);
        assert_eq!((cases[0].every, cases[0].points.len()), (10, 21));
    }

    #[test]
    fn a_logmon_is_killed_at_once_only_if_it_keeps_its_descriptors() {
        let needs = |subject: &Subject| {
            let (all, _) = swept_by(subject, &["data/smoke"], Some(200));
            all[0].scenario.needs()
        };
        assert_eq!(needs(&Subject::bundled()), [Capability::KeepsDescriptors]);
        let own = Subject::from_templates(None, Some("mine"), &BTreeSet::new()).unwrap();
        assert_eq!(needs(&own), []);
    }

    #[test]
    fn the_first_point_that_fails_is_named() {
        let subject = Subject::bundled();
        let (all, mut cases) = swept_by(&subject, &["data/smoke"], Some(70));
        let result = |index: usize, status| CaseResult::skipped(&all[index].scenario, status, "");
        let results = [
            result(2, Status::Fail),
            result(1, Status::Fail),
            result(0, Status::Pass),
            result(3, Status::SkippedFilter),
        ];
        note_sweep(&mut cases, &results, |one| format!("repro {}", one.id));
        assert_eq!((cases[0].played, cases[0].first_failure), (3, Some(70)));
        let repro = cases[0].repro.as_deref();
        assert_eq!(repro, Some("repro data/smoke-kill-logmon-after-70"));
        note_sweep(&mut cases, &[], |_| String::new());
        assert_eq!((cases[0].played, cases[0].first_failure), (0, None));
    }
}
