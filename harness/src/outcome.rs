//! What became of a case and of a run: statuses and exit codes. (core)

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Shape};

/// The status of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Everything held.
    Pass,
    /// Something did not hold, alone and again.
    Fail,
    /// Failed as the expectations say.
    Xfail,
    /// Passed although the expectations say that it fails.
    Xpass,
    /// Failed, and passed when it was run again alone.
    Flaky,
    /// A condition was not met, so the case proves nothing.
    Inconclusive,
    /// Not applicable: a capability is not declared.
    #[serde(rename = "skipped:capability")]
    SkippedCapability,
    /// Left out by a filter.
    #[serde(rename = "skipped:filter")]
    SkippedFilter,
    /// A bug in the suite.
    #[serde(rename = "error:suite")]
    ErrorSuite,
    /// The machine is to blame. No case ends so by now: the machine is looked at before the first one. The form
    /// of the report promises the word, so every reader of a report takes it.
    #[serde(rename = "error:environment")]
    ErrorEnvironment,
}

impl Status {
    /// The word for it in every report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Xfail => "xfail",
            Self::Xpass => "xpass",
            Self::Flaky => "flaky",
            Self::Inconclusive => "inconclusive",
            Self::SkippedCapability => "skipped:capability",
            Self::SkippedFilter => "skipped:filter",
            Self::ErrorSuite => "error:suite",
            Self::ErrorEnvironment => "error:environment",
        }
    }

    /// Whether the case was played.
    #[must_use]
    pub fn has_run(self) -> bool {
        match self {
            Self::Pass
            | Self::Fail
            | Self::Xfail
            | Self::Xpass
            | Self::Flaky
            | Self::Inconclusive
            | Self::ErrorSuite
            | Self::ErrorEnvironment => true,
            Self::SkippedCapability | Self::SkippedFilter => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the judge says about one history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Everything that is wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// Conditions that were not met and that the scenario gives no shape: with no finding, the
    /// case is inconclusive.
    pub unmet: Vec<String>,
    /// Errors of the suite itself.
    pub suite_errors: Vec<String>,
    /// Where the plan was stopped on purpose, so that nothing can be said of the case: "before step 3, …".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

impl Verdict {
    /// The shapes of all findings.
    #[must_use]
    pub fn shapes(&self) -> BTreeSet<Shape> {
        self.findings.iter().map(|finding| finding.shape).collect()
    }

    /// The word for what was seen: the status, or that the plan was stopped.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (&self.held, self.status()) {
            (Some(_), Status::Inconclusive) => "stopped",
            (Some(_) | None, status) => status.as_str(),
        }
    }

    /// The status that follows, before any repetition.
    #[must_use]
    pub fn status(&self) -> Status {
        if !self.suite_errors.is_empty() {
            Status::ErrorSuite
        } else if !self.findings.is_empty() {
            Status::Fail
        } else if !self.unmet.is_empty() || self.held.is_some() {
            Status::Inconclusive
        } else {
            Status::Pass
        }
    }
}

/// How `harness` ends. The highest-ranked reason wins; the order of the variants is the rank, the
/// gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All applicable cases passed.
    Conformant,
    /// Only flaky results.
    Flaky,
    /// A case passed that was to fail, or an expectation stands for no case.
    ExpectationsStale,
    /// The time budget was used up before everything was begun, and what was played is no failure.
    OutOfBudget,
    /// A case failed or proved nothing, or was not played although an earlier run did.
    Failures,
    /// Nothing was run.
    NothingRan,
    /// Stopped at a point of the plan that was asked for, so there is no verdict.
    Stopped,
    /// The suite does not see a missing line through this adapter, or a faulty subject escapes it.
    Blind,
    /// The machine is unfit.
    Unfit,
    /// The subject can't be started or is dishonest.
    BadSubject,
    /// A bug in the suite.
    SuiteBug,
    /// Interrupted by a signal.
    Interrupted,
    /// A wrong scenario, configuration or expectation file.
    BadConfiguration,
    /// A wrong command line.
    Usage,
}

impl Ending {
    /// All of them, the gravest last.
    pub const ALL: &[Self] = &[
        Self::Conformant,
        Self::Flaky,
        Self::ExpectationsStale,
        Self::OutOfBudget,
        Self::Failures,
        Self::NothingRan,
        Self::Stopped,
        Self::Blind,
        Self::Unfit,
        Self::BadSubject,
        Self::SuiteBug,
        Self::Interrupted,
        Self::BadConfiguration,
        Self::Usage,
    ];

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Conformant => 0,
            Self::Failures => 1,
            Self::ExpectationsStale => 2,
            Self::Flaky => 3,
            Self::NothingRan => 4,
            Self::Blind => 5,
            Self::OutOfBudget => 6,
            Self::Stopped => 7,
            Self::Usage => 64,
            Self::BadConfiguration => 65,
            Self::BadSubject => 69,
            Self::SuiteBug => 70,
            Self::Unfit => 75,
            Self::Interrupted => 130,
        }
    }
}
