//! Tests of what belongs together and what does not.

use super::tests::report_of;
use super::*;
use crate::expected::Expectations;
use crate::outcome::{Ending, Status};
use crate::suite::{ANOTHER_SHARD, CaseResult, Counts, Fewer, Shard, Skip, ending};

/// The shards of a run whose cases have these statuses.
fn shards(statuses: &[Status], of: u32) -> Vec<NamedReport> {
    let whole = report_of(statuses);
    let part = |number: u32| {
        let shard = Shard { number, of };
        let mut report = whole.clone();
        report.shard = Some(ShardFacts { shard, whole: true });
        report.probes = vec!["canary".to_owned()];
        for result in &mut report.cases {
            if !shard.holds(&result.id) && result.status != Status::SkippedCapability {
                *result = left_to_another(result);
            }
        }
        let ended = ending(&report.cases);
        report.counts = Counts::of(&report.cases);
        (report.ending, report.exit_code) = (Some(ended), Some(ended.code()));
        NamedReport {
            name: format!("{number}.json"),
            report,
        }
    };
    (1..=of).map(part).collect()
}

fn left_to_another(result: &CaseResult) -> CaseResult {
    let mut left = result.clone();
    left.status = Status::SkippedFilter;
    left.skipped = Some(Skip {
        why: ANOTHER_SHARD.to_owned(),
    });
    left
}

fn refused(change: impl FnOnce(&mut Vec<NamedReport>)) -> String {
    let mut reports = shards(&[Status::Pass; 12], 3);
    change(&mut reports);
    merge(&reports).unwrap_err().to_string()
}

#[test]
fn all_shards_of_a_whole_run_may_be_conformant_in_any_order() {
    let mut reports = shards(&[Status::Pass; 12], 3);
    reports.reverse();
    let merged = merge(&reports).unwrap();
    assert_eq!(merged.ending, Some(Ending::Conformant));
    assert!(!merged.filtered && merged.complete);
    assert_eq!((merged.shard, merged.merged_shards), (None, Some(3)));
    assert_eq!(merged.counts.get(Status::Pass), 12);
    assert!(merged.cases.iter().all(|one| one.skipped.is_none()));
    assert!(summary(&merged, Paint::Plain).ends_with("\nconformant (exit 0)\n"));
    for shard in &reports {
        let text = summary(&shard.report, Paint::Plain);
        assert!(!text.contains("conformant"), "{text}");
    }
}

#[test]
fn one_failure_in_one_shard_is_a_failure_of_the_whole() {
    let mut statuses = [Status::Pass; 12];
    statuses[5] = Status::Fail;
    let merged = merge(&shards(&statuses, 4)).unwrap();
    assert_eq!(
        (merged.ending, merged.exit_code),
        (Some(Ending::Failures), Some(1))
    );
    assert_eq!(merged.counts, report_of(&statuses).counts);
}

#[test]
fn a_shard_that_had_nothing_to_play_is_no_fault() {
    let reports = shards(&[Status::Pass; 2], 9);
    let idle = reports
        .iter()
        .filter(|one| one.report.ending == Some(Ending::NothingRan));
    assert!(idle.count() >= 7);
    assert_eq!(merge(&reports).unwrap().ending, Some(Ending::Conformant));
}

#[test]
fn a_shard_that_could_give_no_verdict_decides() {
    let mut reports = shards(&[Status::Pass; 12], 3);
    reports[1].report.ending = Some(Ending::BadSubject);
    reports[1].report.message = Some("no driver".to_owned());
    let merged = merge(&reports).unwrap();
    assert_eq!(merged.ending, Some(Ending::BadSubject));
    assert_eq!(merged.message.unwrap(), "shard 2: no driver");
}

#[test]
fn what_was_left_out_in_its_own_shard_or_of_all_is_not_the_whole() {
    let mut reports = shards(&[Status::Pass; 12], 3);
    reports[2].report.shard.as_mut().unwrap().whole = false;
    assert!(merge(&reports).unwrap().filtered);
    let mut statuses = [Status::Pass; 12];
    statuses[3] = Status::SkippedFilter;
    let merged = merge(&shards(&statuses, 3)).unwrap();
    assert!(merged.filtered);
    assert!(summary(&merged, Paint::Plain).contains("everything that ran passed"));
}

#[test]
fn what_applied_and_was_not_played_is_counted_by_its_reason() {
    use crate::suite::{CANT_SWEEP, ENDED_BY_FAIL_FAST, NO_VERDICT, OUT_OF_TIME};
    let unswept = format!("{CANT_SWEEP}: it has a kill");
    let told = |whys: &[&str]| {
        let mut report = report_of(&vec![Status::SkippedFilter; whys.len()]);
        for (result, why) in report.cases.iter_mut().zip(whys) {
            let why = (*why).to_owned();
            result.skipped = Some(Skip { why });
        }
        let text = summary(&report, Paint::Plain);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let text = told(&[
        ENDED_BY_FAIL_FAST,
        "no --filter matches it",
        OUT_OF_TIME,
        OUT_OF_TIME,
    ]);
    assert!(
        text.contains("; 2 not begun; 1 not begun after the first failure; 1 filtered "),
        "{text}"
    );
    let text = told(&[NO_VERDICT, ANOTHER_SHARD, &unswept]);
    assert!(
        text.contains("; 1 not played; 1 in other shards; 1 not swept "),
        "{text}"
    );
}

#[test]
fn what_is_not_all_the_shards_of_one_run_is_refused_by_name() {
    assert_eq!(merge(&[]).unwrap_err(), MergeError::Nothing);
    let told = refused(|reports| drop(reports.drain(1..)));
    assert!(
        told.contains("of 3 shards, these are missing: 2, 3;"),
        "{told}"
    );
    let told = refused(|reports| reports[1].report.stress = 50);
    assert!(
        told.contains("1.json and 2.json are not of one run: each case was played 1 and 50 times"),
        "{told}"
    );
    let told = refused(|reports| reports.push(reports[0].clone()));
    assert!(
        told.contains("shard 1 is there twice, in 1.json and in 1.json"),
        "{told}"
    );
    let told = refused(|reports| reports[1].report.complete = false);
    assert!(told.contains("shard 2 is incomplete: 2.json"), "{told}");
    let told = refused(|reports| reports[1].report.shard = None);
    assert!(told.contains("2.json is no shard"), "{told}");
    let told = refused(|reports| reports[2].report.version = 99);
    assert!(told.contains("3.json has version 99"), "{told}");
    let told = refused(|reports| reports[1].report.seed = 8);
    assert!(
        told.contains("1.json and 2.json") && told.contains("seeds were 7 and 8"),
        "{told}"
    );
    let told = refused(|reports| reports[1].report.suite = "harness 9".into());
    assert!(
        told.contains("suite was harness 0.0.0 and harness 9"),
        "{told}"
    );
    let told = refused(|reports| reports[1].report.subject.driver[0] = "other".into());
    assert!(told.contains("the subjects were"), "{told}");
    let told = refused(|reports| reports[1].report.subject.capabilities.clear());
    assert!(
        told.contains("the capabilities were forwards and"),
        "{told}"
    );
    let told = refused(|reports| drop(reports[1].report.cases.pop()));
    assert!(told.contains("they know different cases"), "{told}");
    let told = refused(|reports| reports[1].report.shard.as_mut().unwrap().shard.of = 4);
    assert!(told.contains("one has 3 shards and the other 4"), "{told}");
}

#[test]
fn a_case_in_a_shard_that_it_does_not_belong_to_is_refused() {
    let told = refused(|reports| {
        let whole = report_of(&[Status::Pass; 12]);
        reports[0].report.cases = whole.cases;
    });
    assert!(told.contains("1.json has played data/case-"), "{told}");
    let told = refused(|reports| {
        for result in &mut reports[2].report.cases {
            *result = left_to_another(result);
        }
    });
    assert!(told.contains("which belongs to shard 3"), "{told}");
}

/// Shards of which each was held to this file of expected failures.
fn held_to(text: &str, statuses: &[Status]) -> Vec<NamedReport> {
    let mut reports = shards(statuses, 2);
    let known = (0..statuses.len()).map(|number| format!("data/case-{number}"));
    let expected = Expectations::read(text, &known.collect()).unwrap();
    let facts = ExpectationFacts::of("e.toml".into(), &expected, "renew it".into());
    for one in &mut reports {
        one.report.expectations = Some(facts.clone());
    }
    reports
}

const ENTRY: &str =
    "[[expect]]\ncase = \"data/case-0\"\noutcome = \"fail\"\nshape = \"torn\"\nreason = \"r\"\n";

#[test]
fn an_entry_that_stands_for_no_case_of_the_whole_is_told_and_decides() {
    let statuses = [Status::SkippedCapability, Status::Pass, Status::Pass];
    let mut reports = held_to(ENTRY, &statuses);
    let merged = merge(&reports).unwrap();
    assert_eq!(merged.ending, Some(Ending::ExpectationsStale));
    let stale = &merged.expectations.unwrap().stale;
    assert_eq!((stale[0].case.as_str(), stale[0].line), ("data/case-0", 1));
    // A case that another shard has played is none that does not apply.
    let merged = merge(&held_to(
        ENTRY,
        &[Status::Xfail, Status::Pass, Status::Pass],
    ))
    .unwrap();
    assert_eq!(merged.ending, Some(Ending::Conformant));
    // A filtered run can't know.
    reports[0].report.shard.as_mut().unwrap().whole = false;
    assert_eq!(merge(&reports).unwrap().ending, Some(Ending::Conformant));
}

#[test]
fn shards_that_were_held_to_different_failures_are_refused() {
    let told = refused(|reports| {
        *reports = held_to(ENTRY, &[Status::Pass; 3]);
        reports[1].report.expectations = None;
    });
    assert!(
        told.contains("1.json and 2.json") && told.contains("--expected"),
        "{told}"
    );
    let told = refused(|reports| {
        *reports = held_to(ENTRY, &[Status::Pass; 3]);
        let facts = reports[1].report.expectations.as_mut().unwrap();
        facts.listed[0].reason = "another".into();
    });
    assert!(
        told.contains("1.json and 2.json") && told.contains("--expected"),
        "{told}"
    );
    let told = refused(|reports| {
        *reports = held_to(ENTRY, &[Status::Pass; 3]);
        reports[0]
            .report
            .expectations
            .as_mut()
            .unwrap()
            .listed
            .clear();
    });
    assert!(told.contains("1.json does not list the entries"), "{told}");
}

#[test]
fn a_case_that_no_shard_has_played_again_decides() {
    let mut reports = shards(&[Status::Pass; 12], 3);
    let fewer = |case: &str| Fewer {
        case: case.to_owned(),
        why: "there is no such case any more".to_owned(),
    };
    // The first was played in its own shard.
    reports[1].report.fewer = vec![fewer("data/case-1")];
    assert_eq!(merge(&reports).unwrap().ending, Some(Ending::Conformant));
    reports[1].report.fewer.push(fewer("data/gone"));
    let merged = merge(&reports).unwrap();
    assert_eq!(
        (merged.ending, merged.exit_code),
        (Some(Ending::Failures), Some(1))
    );
    assert_eq!(merged.fewer, [fewer("data/gone")]);
}
