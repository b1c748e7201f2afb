//! What a run is held to beside the rules of its cases: known failures, the cases of an earlier run,
//! and a time. (edge)

use super::args::RunArgs;
use super::expectations;
use super::previous;
use super::refusal::Refusal;
use crate::expected::Expectations;
use crate::outcome::Ending;
use crate::report::{self, ExpectationFacts, Report};
use crate::scenario::Scenario;
use crate::suite::{self, Budget, CaseResult, Choice, Selected};

/// What a run is held to.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The failures that are known.
    pub(super) expected: Expectations,
    /// When nothing new is begun.
    pub(super) budget: Budget,
    /// The cases that are to be played at least.
    at_least: Vec<String>,
}

impl Bounds {
    /// Reads the files that the arguments name; the budget begins. `own` are the cases of the run.
    ///
    /// # Errors
    /// A file that can't be read, or in which something can't stand.
    pub(super) fn read(args: &RunArgs, own: &[Scenario]) -> Result<Self, Refusal> {
        let expected = args.expected.as_deref();
        let expected = expected.map(|path| expectations::load(path, own));
        let at_least = args.no_fewer.as_deref().map(previous::played);
        let mut at_least = at_least.transpose()?.unwrap_or_default();
        // Each shard answers for its own cases, those that are gone included.
        at_least.retain(|case| args.shard.is_none_or(|shard| shard.holds(case)));
        Ok(Self {
            expected: expected.transpose()?.unwrap_or_default(),
            budget: Budget::from_now(args.budget),
            at_least,
        })
    }

    /// What a report tells of the file of expected failures before the run.
    pub(super) fn facts(&self, args: &RunArgs) -> Option<ExpectationFacts> {
        let file = args.expected.as_ref()?.display().to_string();
        let report = args.out().join("report.json").display().to_string();
        let renew = report::renewing(&file, &report);
        Some(ExpectationFacts::of(file, &self.expected, renew))
    }

    /// Writes into the report which cases of the earlier run were not played.
    pub(super) fn find_fewer(&self, report: &mut Report, cases: &[CaseResult]) {
        report.fewer = suite::fewer(&self.at_least, cases);
    }

    /// How a run ends that was neither interrupted nor refused. Writes into the report what was
    /// missing.
    pub(super) fn conclude(
        &self,
        report: &mut Report,
        selected: &[Selected],
        cases: &[CaseResult],
    ) -> Ending {
        let was_cut = self.budget.was_used_up();
        if was_cut {
            report.not_begun = not_begun(selected, cases);
            report.message =
                Some("--budget: the time was used up before everything was played".to_owned());
        }
        let is_idle = !cases.iter().any(|one| one.status.has_run());
        let mut ending = if was_cut && is_idle {
            Ending::OutOfBudget
        } else {
            suite::ending(cases)
        };
        if was_cut {
            ending = ending.max(Ending::OutOfBudget);
        }
        self.find_fewer(report, cases);
        // What there was no time for is told as that.
        let Report {
            fewer, not_begun, ..
        } = report;
        fewer.retain(|one| !not_begun.contains(&one.case));
        if !report.fewer.is_empty() {
            ending = ending.max(Ending::Failures);
        }
        if let (false, Some(facts)) = (report.filtered, &mut report.expectations) {
            facts.find_stale(cases);
            if !facts.stale.is_empty() {
                ending = ending.max(Ending::ExpectationsStale);
            }
        }
        ending
    }
}

/// The cases that were chosen and not played.
fn not_begun(selected: &[Selected], cases: &[CaseResult]) -> Vec<String> {
    let chosen = selected.iter().zip(cases);
    chosen
        .filter(|(selected, case)| selected.choice == Choice::Run && !case.status.has_run())
        .map(|(_, case)| case.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Status;
    use crate::scenario::expand;

    const ENTRY: &str =
        "[[expect]]\ncase = \"heal/b\"\noutcome = \"fail\"\nshape = \"torn\"\nreason = \"r\"\n";

    fn scenario(id: &str) -> Scenario {
        let text = format!(
            "id = \"{id}\"\ntitle = \"A promise.\"\nrules = [\"HEAL-1\"]\n[[plan]]\ndo = \"start-logmon\""
        );
        expand(&text, "x.toml").unwrap().pop().unwrap()
    }

    fn bounds(at_least: &[&str], budget: Option<Duration>) -> Bounds {
        let known = ["heal/a", "heal/b"].map(str::to_owned).into();
        Bounds {
            expected: Expectations::read(ENTRY, &known).unwrap(),
            budget: Budget::from_now(budget),
            at_least: at_least.iter().copied().map(str::to_owned).collect(),
        }
    }

    /// How a run ends in which `heal/a` passed and `heal/b` became this, and its report.
    fn concluded(bounds: &Bounds, b: Status, filtered: bool) -> (Ending, Report) {
        let mut report: Report = serde_json::from_value(serde_json::json!({
            "version": 1, "suite": "harness", "complete": false, "ending": null, "exit_code": null,
            "seed": 1, "filtered": filtered, "began_unix_ms": 0, "seconds": 1.0,
            "subject": {"name": "x", "driver": [], "logmon": [], "under_test": [], "capabilities": []},
            "probes": [], "counts": {"by_status": {}}, "cases": [],
        }))
        .unwrap();
        report.expectations = Some(ExpectationFacts::of(
            "e.toml".to_owned(),
            &bounds.expected,
            "renew it".to_owned(),
        ));
        let cases = [("heal/a", Status::Pass), ("heal/b", b)].map(|(id, status)| {
            let mut result = CaseResult::skipped(&scenario(id), status, suite::OUT_OF_TIME);
            result.skipped = result.skipped.filter(|_| !status.has_run());
            result
        });
        let selected = ["heal/a", "heal/b"].map(|id| Selected {
            scenario: scenario(id),
            choice: Choice::Run,
        });
        let ending = bounds.conclude(&mut report, &selected, &cases);
        report.ending = Some(ending);
        report.cases = cases.to_vec();
        (ending, report)
    }

    fn told(report: &Report) -> String {
        crate::report::summary(report, crate::report::Paint::Plain)
    }

    #[test]
    fn an_entry_without_a_case_makes_a_whole_run_end_with_2_and_a_filtered_one_not() {
        let (ending, report) = concluded(&bounds(&[], None), Status::SkippedCapability, false);
        assert_eq!(ending, Ending::ExpectationsStale);
        let text = told(&report);
        assert!(
            text.contains("stale         heal/b, line 1 of e.toml"),
            "{text}"
        );
        assert!(text.contains("mend it with  renew it"), "{text}");
        let (ending, _) = concluded(&bounds(&[], None), Status::SkippedCapability, true);
        assert_eq!(ending, Ending::Conformant);
    }

    #[test]
    fn a_report_that_can_renew_nothing_is_not_said_to() {
        let (ending, report) = concluded(&bounds(&[], None), Status::Xpass, true);
        assert_eq!(ending, Ending::ExpectationsStale);
        let text = told(&report);
        let advice =
            "mend it with  a run that leaves nothing out, and then\n              renew it\n";
        assert!(text.contains(advice), "{text}");
    }

    #[test]
    fn a_whole_run_with_an_expected_failure_is_conformant_but_for_it() {
        let (ending, report) = concluded(&bounds(&[], None), Status::Xfail, false);
        assert_eq!(ending, Ending::Conformant);
        let text = told(&report);
        assert!(
            text.contains("conformant but for 1 expected failure (exit 0)\n"),
            "{text}"
        );
        assert!(!text.contains("conformant (exit"), "{text}");
    }

    #[test]
    fn a_case_that_was_played_before_and_not_now_is_a_failure() {
        let (ending, report) = concluded(&bounds(&["heal/b"], None), Status::SkippedFilter, true);
        assert_eq!(ending, Ending::Failures);
        assert_eq!(report.fewer[0].case, "heal/b");
        let (ending, _) = concluded(&bounds(&["heal/a"], None), Status::SkippedFilter, true);
        assert_eq!(ending, Ending::Conformant);
    }

    #[test]
    fn a_budget_counts_only_when_something_was_left_undone() {
        let used_up = bounds(&[], Some(Duration::ZERO));
        let (ending, _) = concluded(&used_up, Status::Xfail, false);
        assert_eq!(ending, Ending::Conformant);
        assert!(used_up.budget.refuses());
        let (ending, report) = concluded(&used_up, Status::SkippedFilter, false);
        assert_eq!(ending, Ending::OutOfBudget);
        assert_eq!(report.not_begun, ["heal/b"]);
        assert!(
            told(&report).contains("; 1 not begun\n"),
            "{}",
            told(&report)
        );
    }

    #[test]
    fn a_failure_outranks_a_budget_that_is_used_up_and_what_was_not_begun_is_no_failure() {
        let used_up = bounds(&["heal/b"], Some(Duration::ZERO));
        assert!(used_up.budget.refuses());
        let (ending, report) = concluded(&used_up, Status::SkippedFilter, true);
        assert_eq!((ending, report.fewer), (Ending::OutOfBudget, Vec::new()));
        for status in [Status::Fail, Status::Inconclusive] {
            let (ending, report) = concluded(&used_up, status, true);
            assert_eq!(ending, Ending::Failures, "{status}");
            assert!(report.message.unwrap().contains("--budget"));
        }
        for status in [Status::Pass, Status::Flaky, Status::Xpass] {
            let (ending, _) = concluded(&used_up, status, true);
            assert_eq!(ending, Ending::OutOfBudget, "{status}");
        }
    }
}
