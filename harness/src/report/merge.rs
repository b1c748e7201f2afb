//! One report out of the reports of all shards of a run. (core)
//!
//! The whole is only as good as its parts: whatever can't belong together is refused, and nothing is
//! guessed.

use std::collections::BTreeMap;

use crate::outcome::{Ending, Status};
use crate::report::{REPORT_VERSION, Report};
use crate::suite::{ANOTHER_SHARD, CaseResult, Counts, Shard, ending};

/// A report and the name that it is told by, such as its file's.
#[derive(Clone, Debug)]
pub struct NamedReport {
    /// The name.
    pub name: String,
    /// The report.
    pub report: Report,
}

/// Reports that are not the shards of one run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There is no report.
    #[error("there is nothing to merge; give the report.json of every shard")]
    Nothing,
    /// A report has another form.
    #[error(
        "{name} has version {version} of the report's form; this program reads {REPORT_VERSION}"
    )]
    Version {
        /// The report.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A report is of a run that was not told to be a shard.
    #[error("{name} is no shard: it was run without --shard")]
    NoShard {
        /// The report.
        name: String,
    },
    /// A shard's run did not come to its end.
    #[error("shard {number} is incomplete: {name} is of a run that did not end; run it again")]
    Incomplete {
        /// The report.
        name: String,
        /// Its number.
        number: u32,
    },
    /// A shard is there more than once.
    #[error("shard {number} is there twice, in {first} and in {second}; leave one out")]
    Twice {
        /// Its number.
        number: u32,
        /// The first report.
        first: String,
        /// The other one.
        second: String,
    },
    /// Shards are not there.
    #[error("of {of} shards, these are missing: {missing}; give their report.json too")]
    Missing {
        /// How many there must be.
        of: u32,
        /// Their numbers.
        missing: String,
    },
    /// Two reports are of different runs.
    #[error("{first} and {second} are not of one run: {what}")]
    Different {
        /// The first report.
        first: String,
        /// The one that differs.
        second: String,
        /// What differs, with both values, and how to mend it.
        what: String,
    },
    /// A report does not say which failures were expected.
    #[error(
        "{name} does not list the entries of its file of expected failures: it was made by another \
         version; run it again"
    )]
    Unlisted {
        /// The report.
        name: String,
    },
    /// A case stands in a shard that it does not belong to.
    #[error(
        "{name} has played {id}, which belongs to shard {number}: it was made by another program"
    )]
    Misplaced {
        /// The report.
        name: String,
        /// The case.
        id: String,
        /// The shard that it belongs to.
        number: u32,
    },
}

/// Puts the reports of all shards together, in whatever order they come.
///
/// The result is about the whole: it can be `conformant` if all shards together are every shipped case.
/// It took as long as its longest shard. The command that renews the expected failures is still that of
/// the first shard: only who writes the result knows where it lies.
///
/// # Errors
/// Anything by which the reports are not all the shards of one run.
pub fn merge(reports: &[NamedReport]) -> Result<Report, MergeError> {
    let first = reports.first().ok_or(MergeError::Nothing)?;
    let mut shards: BTreeMap<u32, &NamedReport> = BTreeMap::new();
    let mut whole = true;
    for one in reports {
        let (shard, is_part_of_whole) = checked(one)?;
        require_same_run(first, one)?;
        whole &= is_part_of_whole;
        if let Some(other) = shards.insert(shard.number, one) {
            return Err(MergeError::Twice {
                number: shard.number,
                first: other.name.clone(),
                second: one.name.clone(),
            });
        }
    }
    let of = first.report.shard.map_or(0, |facts| facts.shard.of);
    let missing: Vec<String> = (1..=of)
        .filter(|number| !shards.contains_key(number))
        .map(|number| number.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing {
            of,
            missing: missing.join(", "),
        });
    }
    let cases = cases(&shards, of)?;
    let left_out = cases.iter().any(|one| one.status == Status::SkippedFilter);
    // What one shard misses, another one may have played.
    let mut fewer = of_all(reports, |report| &report.fewer);
    fewer.retain(|fewer| {
        !cases
            .iter()
            .any(|one| one.id == fewer.case && one.status.has_run())
    });
    let mut expectations = first.report.expectations.clone();
    if let (true, Some(facts)) = (whole, &mut expectations) {
        facts.find_stale(&cases);
    }
    let is_stale = expectations
        .as_ref()
        .is_some_and(|facts| !facts.stale.is_empty());
    let ending = [
        (!fewer.is_empty()).then_some(Ending::Failures),
        is_stale.then_some(Ending::ExpectationsStale),
    ]
    .into_iter()
    .flatten()
    .fold(ending_of_all(&cases, &shards), Ending::max);
    Ok(Report {
        complete: true,
        ending: Some(ending),
        exit_code: Some(ending.code()),
        message: message(&shards, ending),
        filtered: !whole || left_out,
        shard: None,
        merged_shards: Some(of),
        began_unix_ms: reports
            .iter()
            .map(|one| one.report.began_unix_ms)
            .min()
            .unwrap_or(0),
        seconds: reports
            .iter()
            .map(|one| one.report.seconds)
            .fold(0.0, f64::max),
        probes: probes(&shards),
        fewer,
        expectations,
        counts: Counts::of(&cases),
        cases,
        ..first.report.clone()
    })
}

/// What stands in a list of any of the reports, each once.
fn of_all<T: Clone + PartialEq>(
    reports: &[NamedReport],
    list: impl Fn(&Report) -> &Vec<T>,
) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for one in reports.iter().flat_map(|one| list(&one.report)) {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    all
}

/// The shard that a report is of, and whether all shards together are the whole.
fn checked(one: &NamedReport) -> Result<(Shard, bool), MergeError> {
    let name = one.name.clone();
    if one.report.version != REPORT_VERSION {
        let version = one.report.version;
        return Err(MergeError::Version { name, version });
    }
    let Some(facts) = one.report.shard else {
        return Err(MergeError::NoShard { name });
    };
    if !one.report.complete {
        let number = facts.shard.number;
        return Err(MergeError::Incomplete { name, number });
    }
    let expectations = one.report.expectations.as_ref();
    if expectations.is_some_and(|facts| facts.listed.len() != facts.entries) {
        return Err(MergeError::Unlisted { name });
    }
    Ok((facts.shard, facts.whole))
}

fn require_same_run(first: &NamedReport, one: &NamedReport) -> Result<(), MergeError> {
    let (a, b) = (&first.report, &one.report);
    let of = |report: &Report| report.shard.map_or(0, |facts| facts.shard.of);
    // Where the file lies may differ from machine to machine.
    let expected = |report: &Report| report.expectations.as_ref().map(|one| one.listed.clone());
    let ids = |report: &Report| -> Vec<String> {
        report.cases.iter().map(|one| one.id.clone()).collect()
    };
    let what = if a.suite != b.suite {
        format!("the suite was {} and {}", a.suite, b.suite)
    } else if of(a) != of(b) {
        format!("one has {} shards and the other {}", of(a), of(b))
    } else if a.subject.driver != b.subject.driver || a.subject.logmon != b.subject.logmon {
        format!(
            "the subjects were {} and {}",
            a.subject.name, b.subject.name
        )
    } else if a.subject.capabilities != b.subject.capabilities {
        format!(
            "the capabilities were {} and {}, which decide what is played; machines and \
             declarations must be alike",
            a.subject.capabilities.join(", "),
            b.subject.capabilities.join(", ")
        )
    } else if a.subject != b.subject {
        "the subjects' commands for many tasks or for a keeper differ".to_owned()
    } else if a.seed != b.seed {
        let (a, b) = (a.seed, b.seed);
        format!("the seeds were {a} and {b}; give all shards the same --seed")
    } else if a.stress != b.stress {
        let (a, b) = (a.stress, b.stress);
        format!("each case was played {a} and {b} times; give all shards the same --stress")
    } else if expected(a) != expected(b) {
        "they were held to different expected failures; give all shards the same --expected"
            .to_owned()
    } else if ids(a) != ids(b) {
        "they know different cases".to_owned()
    } else {
        return Ok(());
    };
    Err(MergeError::Different {
        first: first.name.clone(),
        second: one.name.clone(),
        what,
    })
}

/// Each case's result in the shard that it belongs to.
fn cases(shards: &BTreeMap<u32, &NamedReport>, of: u32) -> Result<Vec<CaseResult>, MergeError> {
    let known = shards
        .values()
        .next()
        .map_or(0, |one| one.report.cases.len());
    let mut cases = Vec::with_capacity(known);
    for index in 0..known {
        // All shards know the same cases in the same order.
        let results = || {
            let result = |(number, one): (&u32, &&NamedReport)| {
                Some((
                    *number,
                    one.name.clone(),
                    one.report.cases.get(index)?.clone(),
                ))
            };
            shards.iter().filter_map(result)
        };
        for (number, name, result) in results() {
            let home = Shard::number_of(&result.id, of);
            let is_others = result
                .skipped
                .as_ref()
                .is_some_and(|skip| skip.why == ANOTHER_SHARD);
            let is_misplaced = if number == home {
                is_others
            } else {
                result.status.has_run()
            };
            if is_misplaced {
                return Err(MergeError::Misplaced {
                    name,
                    id: result.id,
                    number: home,
                });
            }
            if number == home {
                cases.push(result);
            }
        }
    }
    Ok(cases)
}

/// How the cases of the whole end: as its cases say, unless a shard ended for a graver reason of its own.
fn ending_of_all(cases: &[CaseResult], shards: &BTreeMap<u32, &NamedReport>) -> Ending {
    let own = shards.values().filter_map(|one| one.report.ending);
    own.filter(|ending| match ending {
        // These follow from a shard's cases; one that had none to play is no fault of the whole.
        Ending::Conformant
        | Ending::Flaky
        | Ending::ExpectationsStale
        | Ending::Failures
        | Ending::NothingRan => false,
        Ending::OutOfBudget
        | Ending::Stopped
        | Ending::Blind
        | Ending::Unfit
        | Ending::BadSubject
        | Ending::SuiteBug
        | Ending::Interrupted
        | Ending::BadConfiguration
        | Ending::Usage => true,
    })
    .chain([ending(cases)])
    .max()
    .unwrap_or(Ending::NothingRan)
}

/// What the shards that ended like the whole had to say.
fn message(shards: &BTreeMap<u32, &NamedReport>, ending: Ending) -> Option<String> {
    let told: Vec<String> = shards
        .iter()
        .filter(|(_, one)| one.report.ending == Some(ending))
        .filter_map(|(number, one)| {
            Some(format!("shard {number}: {}", one.report.message.as_ref()?))
        })
        .collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// A shard without a case to play has not probed the subject.
fn probes(shards: &BTreeMap<u32, &NamedReport>) -> Vec<String> {
    let found = shards.values().find(|one| !one.report.probes.is_empty());
    found
        .map(|one| one.report.probes.clone())
        .unwrap_or_default()
}
