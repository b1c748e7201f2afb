//! `harness recheck`. (edge)

use std::collections::BTreeSet;
use std::path::Path;

use super::bundle_args::RecheckArgs;
use super::console;
use super::refusal::Refusal;
use crate::outcome::{Ending, Status, Verdict};
use crate::report::{self, Paint};
use crate::suite::Bundle;

/// Judges bundles again and returns the gravest of their endings.
pub(super) fn recheck(args: &RecheckArgs) -> Result<Ending, Refusal> {
    let paint = console::paint(args.color);
    let mut ending = Ending::Conformant;
    for path in &args.bundles {
        let bundle = Bundle::open(path)?;
        console::say(&text_of(&bundle, path, paint));
        ending = ending.max(ending_of_verdict(&bundle.verdict));
    }
    Ok(ending)
}

/// A plan that was stopped on purpose proves nothing, and is no failure either.
fn ending_of_verdict(verdict: &Verdict) -> Ending {
    match (&verdict.held, verdict.status()) {
        (Some(_), Status::Inconclusive) => Ending::Stopped,
        (Some(_) | None, status) => ending_of(status),
    }
}

/// How a command ends that looked at an attempt of this status.
pub(super) fn ending_of(status: Status) -> Ending {
    match status {
        Status::Pass | Status::Xfail | Status::SkippedCapability | Status::SkippedFilter => {
            Ending::Conformant
        }
        Status::Fail | Status::Inconclusive => Ending::Failures,
        Status::Flaky => Ending::Flaky,
        Status::Xpass => Ending::ExpectationsStale,
        Status::ErrorSuite => Ending::SuiteBug,
        Status::ErrorEnvironment => Ending::Unfit,
    }
}

fn text_of(bundle: &Bundle, path: &Path, paint: Paint) -> String {
    let Bundle {
        history, verdict, ..
    } = bundle;
    let mut text = report::attempt_head(history, verdict, paint);
    if verdict.status() != Status::Pass {
        let scenario = &history.case.scenario;
        text.push_str(&report::failure_text(
            scenario,
            verdict,
            Some(history),
            Some(path),
        ));
    }
    let then = match &bundle.then {
        Some(then) if summary(then) == summary(verdict) => "the same as when it was played".into(),
        Some(then) => format!("when it was played: {}", summary(then)),
        None => "what was said when it was played is not known".into(),
    };
    let now = summary(verdict);
    text.push_str(&report::hanging(
        "  Judged again   ",
        &format!("{now}; {then}"),
        80,
    ));
    text
}

/// The status and the shapes of a verdict: `fail (lost-middle, torn)`.
pub(super) fn summary(verdict: &Verdict) -> String {
    let status = verdict.word();
    let shapes: BTreeSet<&str> = verdict
        .findings
        .iter()
        .map(|finding| finding.shape.as_str())
        .collect();
    if shapes.is_empty() {
        return status.to_owned();
    }
    let shapes: Vec<&str> = shapes.into_iter().collect();
    format!("{status} ({})", shapes.join(", "))
}
