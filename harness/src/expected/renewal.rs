//! The file of expected failures made to agree with a report: entries that no longer hold go, new
//! failures come, comments and order stay. (core)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::expected::decide::is_excused;
use crate::expected::file::brackets;
use crate::expected::rewrite::{Rewrite, RewriteError};
use crate::expected::{Entry, Expectations, Outcome};
use crate::finding::Shape;
use crate::outcome::Status;
use crate::report::{Report, no_measure};
use crate::suite::CaseResult;

/// One change of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry went.
    Removed {
        /// The case or glob.
        case: String,
        /// Why, as a clause.
        why: String,
    },
    /// A failure came.
    Added {
        /// The case.
        case: String,
        /// Its damage.
        shapes: BTreeSet<Shape>,
    },
    /// A case fails in another way than its entry said.
    Reshaped {
        /// The case.
        case: String,
        /// What the entry said.
        from: BTreeSet<Shape>,
        /// What it says now.
        to: BTreeSet<Shape>,
    },
    /// A glob became the cases that still fail.
    Narrowed {
        /// The glob.
        glob: String,
        /// The cases.
        cases: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { case, why } => write!(f, "- {case}: {why}"),
            Self::Added { case, shapes } => write!(f, "+ {case} {}", brackets(shapes)),
            Self::Reshaped { case, from, to } => {
                write!(f, "~ {case} {} becomes {}", brackets(from), brackets(to))
            }
            Self::Narrowed { glob, cases } => {
                write!(f, "~ {glob} becomes {}", cases.join(", "))
            }
        }
    }
}

/// The file as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Its whole text.
    pub text: String,
    /// What is different, in the order of the file; empty if nothing is.
    pub changes: Vec<Change>,
}

/// Why a file can't be renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The report is no ground to stand on.
    #[error("the report can't be used: {}", .0.join("; "))]
    Report(Vec<String>),
    /// Something is to be added, and nobody says why it is excused.
    #[error("{} would be added: say with --reason why it is excused", .0.join(", "))]
    NoReason(Vec<String>),
    /// The file's form.
    #[error("the file can't be changed")]
    Rewrite(#[from] RewriteError),
}

/// What a report says of a case, whatever was expected of it then.
enum Played<'a> {
    Passed,
    Failed(&'a BTreeSet<Shape>),
    Flaky(&'a [BTreeSet<Shape>]),
    NotRun,
    /// It fails in several ways, or nothing is known.
    Unclear(String),
}

/// What becomes of an entry.
enum Fate {
    Keep,
    Remove(String),
    Reshape(BTreeSet<Shape>),
    Narrow(Vec<String>),
}

/// The file's text, made to agree with the report of a whole run. `read` is what stands in the text.
/// `reason` is given to what is added, and to what fails in another way than before.
///
/// # Errors
/// The report is of a run that was filtered, cut short or repeated on purpose, or has a case that was
/// not clearly decided; or something is added and there is no reason; or the text lists its entries
/// otherwise than as `[[expect]]`.
pub fn renew(
    text: &str,
    read: &Expectations,
    report: &Report,
    reason: Option<&str>,
) -> Result<Renewal, RenewalError> {
    let played: BTreeMap<&str, Played<'_>> = report
        .cases
        .iter()
        .map(|result| (result.id.as_str(), played(result)))
        .collect();
    let mut wrong = unusable(report);
    wrong.extend(undecided(read, &played));
    if !wrong.is_empty() {
        return Err(RenewalError::Report(wrong));
    }
    let mut rewrite = Rewrite::begin(text)?;
    let mut changes = Vec::new();
    let mut unexplained = Vec::new();
    let mut covered = BTreeSet::new();
    for entry in read.entries() {
        let fate = fate(entry, &played);
        match fate {
            Fate::Keep => covered.extend(entry.covers.iter().cloned()),
            Fate::Remove(why) => {
                rewrite.remove(entry.number);
                let case = entry.case.clone();
                changes.push(Change::Removed { case, why });
            }
            Fate::Reshape(to) => {
                rewrite.reshape(entry.number, &to, reason.unwrap_or_default());
                unexplained.push(entry.case.clone());
                covered.insert(entry.case.clone());
                changes.push(Change::Reshaped {
                    case: entry.case.clone(),
                    from: entry.shapes.clone(),
                    to,
                });
            }
            Fate::Narrow(cases) => {
                rewrite.narrow(entry.number, &cases);
                covered.extend(cases.iter().cloned());
                let glob = entry.case.clone();
                changes.push(Change::Narrowed { glob, cases });
            }
        }
    }
    for result in &report.cases {
        let is_new = !covered.contains(&result.id);
        if let (true, Some(Played::Failed(shapes))) = (is_new, played.get(result.id.as_str())) {
            rewrite.add(&result.id, shapes, reason.unwrap_or_default());
            unexplained.push(result.id.clone());
            changes.push(Change::Added {
                case: result.id.clone(),
                shapes: (*shapes).clone(),
            });
        }
    }
    if !unexplained.is_empty() && reason.is_none_or(|reason| reason.trim().is_empty()) {
        return Err(RenewalError::NoReason(unexplained));
    }
    let text = if changes.is_empty() {
        text.to_owned()
    } else {
        rewrite.end()
    };
    Ok(Renewal { text, changes })
}

/// Why the run as a whole is no ground to stand on.
fn unusable(report: &Report) -> Vec<String> {
    let mut wrong = no_measure(report);
    let left_out = |result: &CaseResult| result.status == Status::SkippedFilter;
    if report.filtered || report.cases.iter().any(left_out) {
        wrong.push("cases were left out; run without --filter, --scenario and --fail-fast".into());
    }
    if report.stress > 1 {
        wrong.push("each case was played many times; run without --stress".to_owned());
    }
    wrong
}

/// The cases of which the report does not say clearly what they do.
fn undecided(read: &Expectations, played: &BTreeMap<&str, Played<'_>>) -> Vec<String> {
    let one = |(id, played): (&&str, &Played<'_>)| match played {
        Played::Passed | Played::Failed(_) | Played::NotRun => None,
        Played::Unclear(why) => Some(format!("{id} {why}")),
        Played::Flaky(failed_as) => {
            let listed = read
                .entry(id)
                .filter(|entry| entry.outcome == Outcome::Flaky && is_excused(entry, failed_as));
            let all: Vec<String> = failed_as.iter().map(brackets).collect();
            listed.is_none().then(|| {
                format!(
                    "{id} is flaky {}; mend it, or list it by hand with outcome = \"flaky\"",
                    all.join(" and ")
                )
            })
        }
    };
    played.iter().filter_map(one).collect()
}

fn played(result: &CaseResult) -> Played<'_> {
    let status = match result.status {
        Status::Xpass => Status::Pass,
        Status::Xfail if result.passed > 0 => Status::Flaky,
        Status::Xfail => Status::Fail,
        status @ (Status::Pass
        | Status::Fail
        | Status::Flaky
        | Status::Inconclusive
        | Status::SkippedCapability
        | Status::SkippedFilter
        | Status::ErrorSuite
        | Status::ErrorEnvironment) => status,
    };
    match status {
        Status::Pass | Status::Xpass => Played::Passed,
        Status::Flaky | Status::Xfail => Played::Flaky(&result.failed_as),
        Status::Fail => match result.failed_as.as_slice() {
            [shapes] if !shapes.is_empty() => Played::Failed(shapes),
            _ => Played::Unclear("fails in more than one way".to_owned()),
        },
        Status::SkippedCapability | Status::SkippedFilter => Played::NotRun,
        Status::Inconclusive | Status::ErrorSuite | Status::ErrorEnvironment => {
            Played::Unclear(format!("is {status}"))
        }
    }
}

fn fate(entry: &Entry, played: &BTreeMap<&str, Played<'_>>) -> Fate {
    let mut excused = Vec::new();
    let mut passes = 0;
    let mut other = None;
    for case in &entry.covers {
        match played.get(case.as_str()) {
            Some(Played::Failed(shapes)) => {
                let is_as_listed = is_excused(entry, std::slice::from_ref(*shapes));
                if is_as_listed {
                    excused.push(case.clone());
                } else {
                    other = Some((*shapes).clone());
                }
            }
            // Only flaky entries get here with it, and to them a pass is as good as a failure.
            Some(Played::Flaky(_)) => excused.push(case.clone()),
            Some(Played::Passed) if entry.outcome == Outcome::Flaky => excused.push(case.clone()),
            Some(Played::Passed) => passes += 1,
            Some(Played::NotRun | Played::Unclear(_)) | None => {}
        }
    }
    match (excused.len(), passes, other) {
        (0, 0, None) => Fate::Remove("does not apply to this subject".to_owned()),
        (0, _, Some(shapes)) if !entry.is_glob() => Fate::Reshape(shapes),
        (0, 0, Some(_)) => Fate::Remove("fails in another way".to_owned()),
        (0, _, _) => Fate::Remove("passes".to_owned()),
        (_, 0, None) => Fate::Keep,
        (_, _, _) => Fate::Narrow(excused),
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
