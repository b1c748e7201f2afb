//! Tests of what every report tells of the run itself, and of expected failures. Whoever reads one form only
//! must not take for a pass what ended otherwise.

use super::*;
use crate::expected::{Expected, Outcome};
use crate::report::told::{THE_RUN, troubles};
use crate::suite::Fewer;

pub(super) fn expected() -> Expected {
    Expected {
        outcome: Outcome::Fail,
        shapes: [Shape::Torn].into(),
        reason: format!("because {HOSTILE}"),
        issue: Some("a link".to_owned()),
        until: None,
        note: Some("a note".to_owned()),
    }
}

/// A report of cases that passed, of a run that ended like this.
fn ended(ending: Option<Ending>, change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report_of(&[Status::Pass, Status::SkippedFilter]);
    report.ending = ending;
    report.exit_code = ending.map(Ending::code);
    change(&mut report);
    report
}

fn stale(report: &mut Report) {
    report.expectations = Some(ExpectationFacts {
        file: "e.toml".to_owned(),
        entries: 1,
        stale: vec![StaleEntry {
            case: "data/gone".to_owned(),
            line: 3,
            reason: "r".to_owned(),
        }],
        renew: "renew it".to_owned(),
        listed: Vec::new(),
    });
}

fn fewer(report: &mut Report) {
    report.fewer = vec![Fewer {
        case: "data/gone".to_owned(),
        why: HOSTILE.to_owned(),
    }];
}

/// Whether whoever counts the failures and errors of JUnit, or the points of TAP, takes the run for a pass.
fn is_green(report: &Report) -> (bool, bool) {
    let xml = junit(report).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let suites = document.descendants();
    let suite = suites.into_iter().find(|one| one.has_tag_name("testsuite"));
    let count = |name: &str| suite.unwrap().attribute(name).unwrap().to_owned();
    let is_good_xml = count("failures") == "0" && count("errors") == "0";
    let text = tap(report);
    let is_bad = |line: &str| {
        line.starts_with("Bail out!") || line.starts_with("not ok ") && !line.contains(" # TODO ")
    };
    (is_good_xml, !text.lines().any(is_bad))
}

#[test]
fn junit_and_tap_are_green_exactly_if_the_run_ended_with_0() {
    let endings = [
        None,
        Some(Ending::NothingRan),
        Some(Ending::OutOfBudget),
        Some(Ending::Blind),
        Some(Ending::Unfit),
        Some(Ending::BadSubject),
        Some(Ending::SuiteBug),
        Some(Ending::Interrupted),
        Some(Ending::BadConfiguration),
        Some(Ending::Usage),
    ];
    for ending in endings {
        let report = ended(ending, |_| {});
        assert_eq!(is_green(&report), (false, false), "{ending:?}");
        assert!(!annotations(&report).is_empty(), "{ending:?}");
    }
    let missing = ended(Some(Ending::Failures), fewer);
    assert_eq!(is_green(&missing), (false, false));
    let out_of_date = ended(Some(Ending::ExpectationsStale), stale);
    assert_eq!(is_green(&out_of_date), (false, false));
    for status in STATUSES {
        let report = report_of(&[Status::Pass, status]);
        let is_good = report.exit_code == Some(0);
        assert_eq!(is_green(&report), (is_good, is_good), "{status}");
        assert_eq!(troubles(&report), [], "{status} is told twice");
    }
}

#[test]
fn all_that_is_wrong_with_the_run_is_told_in_every_form() {
    let report = ended(Some(Ending::OutOfBudget), |report| {
        report.message = Some(format!("no time\n{HOSTILE}"));
        report.not_begun = vec!["data/late".to_owned()];
        fewer(report);
        stale(report);
    });
    let kinds: Vec<&str> = troubles(&report).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["out-of-budget", "fewer", "stale", "not-begun"]);
    let lines = annotations(&report);
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.contains("::error title=harness%3A stale::data/gone, line 3 of e.toml"));
    let xml = junit(&report).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let of_run = document
        .descendants()
        .find(|one| one.attribute("name") == Some(THE_RUN))
        .unwrap();
    let error = of_run
        .children()
        .find(|one| one.has_tag_name("error"))
        .unwrap();
    assert_eq!(error.attribute("type"), Some("out-of-budget"));
    assert_eq!(error.text().unwrap().lines().count(), 4);
    let markdown = markdown(&report);
    let page = html(&report);
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..roxmltree::ParsingOptions::default()
    };
    let page = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let told: Vec<&str> = page
        .descendants()
        .filter_map(|one| one.attribute("data-kind"))
        .collect();
    assert_eq!(told, kinds);
    for kind in kinds {
        assert!(
            markdown.contains(&format!("\n- **{kind}:** ")),
            "{markdown}"
        );
    }
    let quiet = report_of(&[Status::Pass]);
    assert!(!super::super::markdown(&quiet).contains("wrong with the run"));
}

#[test]
fn markdown_and_html_have_the_reason_of_an_expected_failure() {
    let mut report = report_of(&[Status::Xfail]);
    report.cases[0].expected = Some(expected());
    let markdown = markdown(&report);
    assert!(
        markdown.contains("\n> expected \\[torn\\]: because 5 "),
        "{markdown}"
    );
    assert!(markdown.contains("\n> a note\n"), "{markdown}");
    let page = html(&report);
    assert!(
        page.contains("<dt>Expected</dt><dd>expected [torn]: because 5 &lt; 6"),
        "{page}"
    );
}

#[test]
fn an_entry_for_a_flaky_case_that_passed_is_told_as_unused_and_is_nothing_wrong() {
    let mut report = report_of(&[
        Status::Pass,
        Status::Flaky,
        Status::Pass,
        Status::SkippedFilter,
    ]);
    let listed = |line, outcome, covers: &[usize]| ListedEntry {
        case: "data/*".into(),
        line,
        outcome,
        shapes: [Shape::LostTail].into(),
        reason: "r".into(),
        covers: covers
            .iter()
            .map(|one| format!("data/case-{one}"))
            .collect(),
    };
    let facts = |listed: Vec<ListedEntry>| ExpectationFacts {
        file: "e.toml".to_owned(),
        entries: listed.len(),
        stale: Vec::new(),
        renew: "renew it".to_owned(),
        listed,
    };
    let used = [
        listed(1, Outcome::Flaky, &[0, 1]),
        listed(7, Outcome::Fail, &[0]),
        listed(13, Outcome::Flaky, &[3]),
    ];
    report.expectations = Some(facts(used.to_vec()));
    let text = summary(&report, Paint::Plain);
    assert!(!text.contains("unused"), "{text}");
    let passed = [
        listed(19, Outcome::Flaky, &[0, 2, 3]),
        listed(25, Outcome::Flaky, &[2]),
    ];
    report.expectations = Some(facts([&used[..], &passed].concat()));
    let text = summary(&report, Paint::Plain);
    let told = "\
unused        2 entries of e.toml say that a case is flaky, and it passed: take
              them out if it is mended (line 19, 25)
";
    assert!(text.contains(told), "{text}");
}
