//! The report as JUnit XML. (core)
//!
//! A failed case is a `failure` whose type is the shape of its first finding; a case that proves
//! nothing, or that the suite or the machine spoilt, is an `error`; a case that was not played is
//! `skipped`; a flaky one passes with a `flakyFailure` in it, as CI systems expect.

use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use crate::outcome::Status;
use crate::report::Report;
use crate::suite::CaseResult;

/// The XML text.
///
/// # Errors
/// What the XML writer can't express.
pub fn junit(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new("task-log contract");
    suite.add_property(("seed", report.seed.to_string().as_str()));
    suite.add_property(("subject", report.subject.name.as_str()));
    suite.add_property(("complete", if report.complete { "true" } else { "false" }));
    suite.set_time(seconds(report.seconds));
    for result in &report.cases {
        suite.add_test_case(case(result, report.seed));
    }
    let mut junit = JunitReport::new("harness");
    junit.set_time(seconds(report.seconds));
    junit.add_test_suite(suite);
    junit.to_string()
}

fn case(result: &CaseResult, seed: u64) -> TestCase {
    let mut case = TestCase::new(result.id.as_str(), status(result));
    case.set_classname(result.id.split('/').next().unwrap_or_default());
    case.set_time(seconds(result.seconds));
    let rules: Vec<&str> = result.rules.iter().map(|rule| rule.as_str()).collect();
    case.add_property(("rules", rules.join(" ").as_str()));
    case.add_property(("level", result.level.as_str()));
    case.add_property(("profile", result.profile.as_str()));
    case.add_property(("seed", seed.to_string().as_str()));
    if let Some(bundle) = &result.bundle {
        case.add_property(("bundle", bundle.display().to_string().as_str()));
    }
    case
}

fn status(result: &CaseResult) -> TestCaseStatus {
    match result.status {
        Status::Pass | Status::Xfail => TestCaseStatus::success(),
        Status::Fail | Status::Xpass => told(result, NonSuccessKind::Failure),
        Status::Inconclusive | Status::ErrorSuite | Status::ErrorEnvironment => {
            told(result, NonSuccessKind::Error)
        }
        Status::Flaky => {
            let mut rerun = TestRerun::new(NonSuccessKind::Failure);
            rerun.set_type(kind(result));
            rerun.set_message(message(result));
            rerun.set_description(result.text.as_str());
            let mut status = TestCaseStatus::success();
            status.add_rerun(rerun);
            status
        }
        Status::SkippedCapability | Status::SkippedFilter => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message(result));
            status
        }
    }
}

fn told(result: &CaseResult, non_success: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(non_success);
    status.set_type(kind(result));
    status.set_message(message(result));
    status.set_description(result.text.as_str());
    status
}

/// The shape of the first finding, or the status where there is none.
fn kind(result: &CaseResult) -> &str {
    match result.verdict.findings.first() {
        Some(finding) => finding.shape.as_str(),
        None => result.status.as_str(),
    }
}

fn message(result: &CaseResult) -> String {
    let verdict = &result.verdict;
    if let Some(skip) = &result.skipped {
        return skip.why.clone();
    }
    let finding = verdict
        .findings
        .first()
        .map(|finding| format!("{}: {}", finding.rule, finding.headline));
    verdict
        .suite_errors
        .first()
        .cloned()
        .or(finding)
        .or_else(|| {
            verdict
                .unmet
                .first()
                .map(|unmet| format!("not met: {unmet}"))
        })
        .unwrap_or_default()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
