//! What became of each case and of the whole run. (core)

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::expected::Expected;
use crate::finding::Shape;
use crate::outcome::{Ending, Status, Verdict};
use crate::report::{LikelyCause, PassesHere};
use crate::rule::{Level, Profile, RuleId};
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::task_memory::TaskMemory;

/// What became of one case, all attempts taken together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's id, `family/name`.
    pub id: String,
    /// Its promise, as one sentence.
    pub title: String,
    /// Its level.
    pub level: Level,
    /// Its profile.
    pub profile: Profile,
    /// The rules that it checks.
    pub rules: Vec<RuleId>,
    /// What became of it.
    pub status: Status,
    /// Seconds of the longest attempt.
    pub seconds: f64,
    /// Attempts that passed.
    pub passed: u32,
    /// Attempts in all; 0 if it was not played.
    pub attempts: u32,
    /// What the judge said of the attempt that counts: the first that failed, else the last.
    pub verdict: Verdict,
    /// The shapes of each attempt that did not pass, each set once, the first attempt's first; an
    /// attempt that proved nothing has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_as: Vec<BTreeSet<Shape>>,
    /// What the expectations say of it, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Where everything of that attempt is, if it was kept.
    pub bundle: Option<PathBuf>,
    /// Why it was not played.
    pub skipped: Option<Skip>,
    /// Whether it was played with `kept_logmon`, the template of those that need
    /// `keeps-descriptors`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub played_kept: bool,
    /// What all attempts together have seen, for a case that kills again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
    /// What a task costs at most, for a case that measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TaskMemory>,
    /// The likely cause of a failure, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<LikelyCause>,
    /// Good subjects that pass here, of a failure of one part alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_here: Option<PassesHere>,
    /// The failure as it is shown to people; empty if it passed or was not played.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Why a case was not played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// As a clause: `the driver does not declare forwards`.
    pub why: String,
}

impl CaseResult {
    /// The result of a case that is not played.
    #[must_use]
    pub fn skipped(scenario: &Scenario, status: Status, why: &str) -> Self {
        Self {
            id: scenario.id.clone(),
            title: scenario.title.clone(),
            level: scenario.level,
            profile: scenario.profile,
            rules: scenario.rules.clone(),
            status,
            seconds: 0.0,
            passed: 0,
            attempts: 0,
            verdict: Verdict::default(),
            failed_as: Vec::new(),
            expected: None,
            bundle: None,
            skipped: Some(Skip {
                why: why.to_owned(),
            }),
            played_kept: false,
            tally: None,
            memory: None,
            cause: None,
            passes_here: None,
            text: String::new(),
        }
    }

    /// `3/3 runs` for a case that failed in each of three attempts; `1/3 runs` if it failed once.
    #[must_use]
    pub fn failed_runs(&self) -> String {
        format!("{}/{} runs", self.attempts - self.passed, self.attempts)
    }
}

/// The status that follows from all attempts at a case, the first one first.
///
/// A pass after an attempt that did not pass is flaky, whether that one failed or proved nothing:
/// what was seen once is not forgotten. `stress` is set where a case is repeated on purpose: then
/// one failure is a failure.
#[must_use]
pub fn settle(attempts: &[Status], stress: bool) -> Status {
    let has = |status: Status| attempts.contains(&status);
    if attempts.is_empty() {
        Status::ErrorSuite
    } else if let Some(error) = [Status::ErrorSuite, Status::ErrorEnvironment]
        .into_iter()
        .find(|status| has(*status))
    {
        error
    } else if has(Status::Fail) {
        if has(Status::Pass) && !stress {
            Status::Flaky
        } else {
            Status::Fail
        }
    } else if has(Status::Inconclusive) {
        if has(Status::Pass) && !stress {
            Status::Flaky
        } else {
            Status::Inconclusive
        }
    } else {
        Status::Pass
    }
}

/// How many cases have which status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// By status; a status that no case has is left out.
    pub by_status: BTreeMap<Status, usize>,
}

impl Counts {
    /// Counts.
    #[must_use]
    pub fn of(results: &[CaseResult]) -> Self {
        let mut by_status = BTreeMap::new();
        for result in results {
            *by_status.entry(result.status).or_default() += 1;
        }
        Self { by_status }
    }

    /// The number of cases of this status.
    #[must_use]
    pub fn get(&self, status: Status) -> usize {
        self.by_status.get(&status).copied().unwrap_or_default()
    }

    /// Cases that were played.
    #[must_use]
    pub fn ran(&self) -> usize {
        self.by_status
            .iter()
            .filter(|(status, _)| status.has_run())
            .map(|(_, count)| count)
            .sum()
    }

    /// Cases that apply to the subject, played or not.
    #[must_use]
    pub fn applicable(&self) -> usize {
        self.ran() + self.get(Status::SkippedFilter)
    }
}

/// How a run ends that was neither interrupted nor refused.
///
/// A SHOULD that fails is reported and counted, and is a failure of the run all the same: who does
/// not want it judged says `--level must`.
#[must_use]
pub fn ending(results: &[CaseResult]) -> Ending {
    results
        .iter()
        .map(|result| match result.status {
            Status::Pass | Status::Xfail => Ending::Conformant,
            Status::SkippedCapability | Status::SkippedFilter => Ending::Conformant,
            Status::Flaky => Ending::Flaky,
            Status::Xpass => Ending::ExpectationsStale,
            Status::Fail | Status::Inconclusive => Ending::Failures,
            Status::ErrorSuite => Ending::SuiteBug,
            Status::ErrorEnvironment => Ending::Unfit,
        })
        .chain((Counts::of(results).ran() == 0).then_some(Ending::NothingRan))
        .max()
        .unwrap_or(Ending::NothingRan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_comes_again_is_a_failure_and_one_that_does_not_is_flaky() {
        use Status::{ErrorSuite, Fail, Flaky, Inconclusive, Pass};
        assert_eq!(settle(&[Pass], false), Pass);
        assert_eq!(settle(&[Fail, Fail, Fail], false), Fail);
        assert_eq!(settle(&[Fail, Pass, Fail], false), Flaky);
        assert_eq!(settle(&[Fail, Inconclusive, Inconclusive], false), Fail);
        assert_eq!(settle(&[Inconclusive, Inconclusive], false), Inconclusive);
        assert_eq!(settle(&[Pass, ErrorSuite], false), ErrorSuite);
        assert_eq!(settle(&[], false), ErrorSuite);
    }

    #[test]
    fn a_pass_after_an_attempt_that_proved_nothing_is_flaky() {
        use Status::{Flaky, Inconclusive, Pass};
        assert_eq!(settle(&[Inconclusive, Pass], false), Flaky);
        assert_eq!(settle(&[Inconclusive, Inconclusive, Pass], false), Flaky);
        assert_eq!(settle(&[Pass, Inconclusive, Pass], false), Flaky);
    }

    #[test]
    fn under_stress_one_failure_is_a_failure() {
        use Status::{Fail, Inconclusive, Pass};
        assert_eq!(settle(&[Pass, Fail, Pass], true), Fail);
        assert_eq!(settle(&[Pass, Inconclusive], true), Inconclusive);
        assert_eq!(settle(&[Pass, Pass], true), Pass);
    }

    #[test]
    fn a_run_of_nothing_is_never_green() {
        assert_eq!(ending(&[]), Ending::NothingRan);
    }
}
