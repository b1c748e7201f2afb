//! The report as JUnit XML. (core)
//!
//! A failed case is a `failure` whose type is the shape of its first finding; a case that proves
//! nothing, or that the suite or the machine spoilt, is an `error`; a case that was not played is
//! `skipped`. A flaky one is a `failure` too: a run with it is no pass (exit 3), and a `flakyFailure` in a
//! test case that passes is green to most readers. An expected failure is `skipped` with the type `xfail`
//! and the reason; an unexpected pass is a `failure` of type `xpass`. What is wrong with the run itself is an
//! `error` of a test case of its own, the last one.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use crate::outcome::Status;
use crate::report::expected::expected_sentences;
use crate::report::told::{THE_RUN, Trouble, ending, headline, kind, printable, rule, troubles};
use crate::report::{Report, rerun};
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
    suite.add_property(("ending", ending(report).as_str()));
    if let Some(message) = &report.message {
        suite.set_system_err(printable(message));
    }
    suite.set_time(seconds(report.seconds));
    for result in &report.cases {
        suite.add_test_case(case(report, result));
    }
    if let Some(case) = of_the_run(report) {
        suite.add_test_case(case);
    }
    let mut junit = JunitReport::new("harness");
    junit.set_time(seconds(report.seconds));
    junit.add_test_suite(suite);
    junit.to_string()
}

/// What is wrong with the run itself, as a case of its own: most readers look at nothing but cases.
fn of_the_run(report: &Report) -> Option<TestCase> {
    let troubles = troubles(report);
    let first = troubles.first()?;
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(first.kind);
    status.set_message(printable(&match troubles.len() - 1 {
        0 => first.text.clone(),
        more => format!("{} (and {more} more)", first.text),
    }));
    let lines = troubles
        .iter()
        .map(|Trouble { kind, text }| format!("{kind}: {text}\n"));
    status.set_description(printable(&lines.collect::<String>()));
    let mut case = TestCase::new(THE_RUN, status);
    case.set_classname("harness");
    case.set_time(seconds(report.seconds));
    Some(case)
}

fn case(report: &Report, result: &CaseResult) -> TestCase {
    let mut case = TestCase::new(result.id.as_str(), status(result));
    case.set_classname(result.id.split('/').next().unwrap_or_default());
    case.set_time(seconds(result.seconds));
    let rules: Vec<&str> = result.rules.iter().map(|rule| rule.as_str()).collect();
    case.add_property(("rule", rule(result)));
    case.add_property(("rules", rules.join(" ").as_str()));
    case.add_property(("level", result.level.as_str()));
    case.add_property(("profile", result.profile.as_str()));
    case.add_property(("seed", report.seed.to_string().as_str()));
    case.add_property(("status", result.status.as_str()));
    case.add_property(("re-run", rerun(report, &result.id).as_str()));
    if let Some(cause) = &result.cause {
        case.add_property(("likely cause", cause.text.as_str()));
    }
    if let Some(bundle) = &result.bundle {
        case.add_property(("bundle", bundle.display().to_string().as_str()));
    }
    case
}

fn status(result: &CaseResult) -> TestCaseStatus {
    match result.status {
        Status::Pass => TestCaseStatus::success(),
        Status::Xfail => {
            let mut status = TestCaseStatus::skipped();
            status.set_type("xfail");
            status.set_message(message(result));
            status.set_description(result.text.as_str());
            status
        }
        Status::Fail | Status::Xpass | Status::Flaky => told(result, NonSuccessKind::Failure),
        Status::Inconclusive | Status::ErrorSuite | Status::ErrorEnvironment => {
            told(result, NonSuccessKind::Error)
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
    status.set_description(printable(&result.text));
    status
}

/// The rule and what is wrong; the reason of a skip.
fn message(result: &CaseResult) -> String {
    let headline = headline(result);
    let found = match result.verdict.findings.first() {
        Some(finding) if result.verdict.suite_errors.is_empty() => {
            format!("{}: {headline}", finding.rule)
        }
        Some(_) | None => headline,
    };
    let flaky =
        (result.status == Status::Flaky).then(|| format!("flaky: {} failed", result.failed_runs()));
    let expected = if result.status == Status::Pass {
        Vec::new()
    } else {
        expected_sentences(result)
    };
    let found = Some(found).filter(|text| !text.is_empty());
    let parts: Vec<String> = flaky.into_iter().chain(found).chain(expected).collect();
    printable(&parts.join("; "))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
