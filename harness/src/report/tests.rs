//! Tests of the further reports: each is read back, and tells what the report holds.

use std::collections::BTreeMap;

use super::*;
use crate::finding::{Finding, Shape};
use crate::outcome::{Ending, Status, Verdict};
use crate::scenario::expand;
use crate::suite::{CaseResult, Counts, Skip, SweptCase, ending};

/// Every status once, two of them twice.
const STATUSES: [Status; 12] = [
    Status::Pass,
    Status::Fail,
    Status::Xfail,
    Status::Xpass,
    Status::Flaky,
    Status::Inconclusive,
    Status::SkippedCapability,
    Status::SkippedFilter,
    Status::ErrorSuite,
    Status::ErrorEnvironment,
    Status::Pass,
    Status::Fail,
];

/// Everything that means something in one of the forms.
const HOSTILE: &str =
    "5 < 6 & \"a\" | b `c` # d \\ 100 %, e: [f](g) *h* <!-- i --> ]]> $j$ \u{1b}[31m ```";

fn case(number: usize, status: Status) -> CaseResult {
    let text = format!(
        "id = \"data/case-{number}\"\ntitle = \"A promise.\"\nrules = [\"DATA-1\"]\n[[plan]]\ndo = \"start-logmon\""
    );
    let scenario = expand(&text, "x.toml").unwrap().pop().unwrap();
    let mut result = CaseResult::skipped(&scenario, status, HOSTILE);
    if !status.has_run() {
        return result;
    }
    result.skipped = None;
    result.attempts = 3;
    result.seconds = 0.25;
    result.passed = if status == Status::Pass { 3 } else { 0 };
    let failed = matches!(status, Status::Fail | Status::Xfail | Status::Flaky);
    if failed {
        result.verdict = Verdict {
            findings: vec![Finding {
                shape: Shape::LostTail,
                rule: "DATA-3".parse().unwrap(),
                stream: None,
                headline: format!("lost: {HOSTILE}"),
                details: vec![HOSTILE.to_owned(), "second".to_owned()],
            }],
            ..Verdict::default()
        };
        result.cause = Some(LikelyCause {
            text: format!("because {HOSTILE}"),
            subject: "loses-it".to_owned(),
            score: 1.0,
            ways_out: vec![HOSTILE.to_owned()],
        });
        result.passes_here = Some(PassesHere {
            part: "driver".into(),
            subjects: vec!["good".into(), HOSTILE.into()],
            command: Some("harness run --filter data/x --out out-beside".into()),
        });
        result.text = format!("\n  {HOSTILE}\n  line two\n");
        result.bundle = Some("out/a bundle".into());
    }
    if status == Status::Inconclusive {
        result.verdict.unmet.push(HOSTILE.to_owned());
    }
    if matches!(status, Status::ErrorSuite | Status::ErrorEnvironment) {
        result.verdict.suite_errors.push(HOSTILE.to_owned());
    }
    result
}

pub(super) fn report_of(statuses: &[Status]) -> Report {
    let cases: Vec<CaseResult> = statuses
        .iter()
        .enumerate()
        .map(|(number, status)| case(number, *status))
        .collect();
    let ending = ending(&cases);
    Report {
        version: REPORT_VERSION,
        suite: "harness 0.0.0".to_owned(),
        complete: true,
        ending: Some(ending),
        exit_code: Some(ending.code()),
        message: None,
        seed: 7,
        stress: 1,
        config: None,
        expectations: None,
        not_begun: Vec::new(),
        fewer: Vec::new(),
        filtered: true,
        shard: None,
        merged_shards: None,
        sweep: vec![SweptCase {
            case: "data/case".into(),
            records: 9,
            every: 3,
            points: vec![1, 3, 6, 9],
            played: 4,
            first_failure: Some(6),
            repro: Some("harness repro x".into()),
        }],
        began_unix_ms: 1,
        seconds: 1.5,
        subject: SubjectFacts {
            name: HOSTILE.to_owned(),
            driver: vec!["drv".into(), "<{task}>".into()],
            adapter: crate::adapter::AdapterKind::Command,
            logmon: vec!["mon".into()],
            kept_logmon: None,
            serving: None,
            under_test: vec!["driver".into()],
            capabilities: vec!["forwards".into()],
        },
        probes: Vec::new(),
        counts: Counts::of(&cases),
        cases,
    }
}

/// A text as the writers may show it: what no form can hold is replaced.
fn shown(text: &str) -> String {
    text.replace('\u{1b}', "\u{fffd}")
}

mod whole_run;

mod tap_text {
    use super::*;

    /// A test point as a TAP reader sees it.
    #[derive(Debug, Default)]
    struct Point {
        ok: bool,
        number: usize,
        description: String,
        directive: Option<(String, String)>,
        yaml: BTreeMap<String, String>,
    }

    /// Reads TAP 14: the plan, the points and why it bails out.
    fn read(text: &str) -> (usize, Vec<Point>, Option<String>) {
        let mut lines = text.lines().peekable();
        assert_eq!(lines.next(), Some("TAP version 14"));
        let plan = lines.next().unwrap().strip_prefix("1..").unwrap();
        let mut points = Vec::new();
        let mut bail = None;
        while let Some(line) = lines.next() {
            if line.starts_with('#') {
                continue;
            }
            if let Some(why) = line.strip_prefix("Bail out! ") {
                bail = Some(why.to_owned());
                continue;
            }
            let mut point = point(line);
            if lines.next_if_eq(&"  ---").is_some() {
                for line in lines.by_ref().take_while(|line| *line != "  ...") {
                    if let Some((name, value)) = line.trim_start().split_once(": ") {
                        point.yaml.insert(name.to_owned(), value.to_owned());
                    }
                }
            }
            points.push(point);
        }
        (plan.parse().unwrap(), points, bail)
    }

    fn point(line: &str) -> Point {
        let (ok, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ").unwrap()),
        };
        let (number, rest) = rest.split_once(" - ").unwrap();
        // An escaped `#` is none.
        let hidden = rest.replace("\\\\", "\u{1}").replace("\\#", "\u{2}");
        let back = |text: &str| text.replace('\u{1}', "\\").replace('\u{2}', "#");
        let (description, directive) = match hidden.split_once(" # ") {
            Some((description, directive)) => {
                let (word, why) = directive.split_once(' ').unwrap_or((directive, ""));
                assert!(!why.contains('#'), "a second directive in {line}");
                (back(description), Some((word.to_owned(), back(why))))
            }
            None => (back(&hidden), None),
        };
        Point {
            ok,
            number: number.parse().unwrap(),
            description,
            directive,
            yaml: BTreeMap::new(),
        }
    }

    fn counts(points: &[Point]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for point in points {
            let directive = point.directive.as_ref().map_or("", |(word, _)| word);
            let kind = format!("{} {directive}", if point.ok { "ok" } else { "not ok" });
            *counts.entry(kind.trim().to_owned()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn each_case_is_a_point_and_each_status_has_its_meaning() {
        let report = report_of(&STATUSES);
        let (plan, points, bail) = read(&tap(&report));
        assert_eq!((plan, points.len(), bail), (12, 12, None));
        let expected = [("not ok", 7), ("not ok TODO", 1), ("ok", 2), ("ok SKIP", 2)];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(counts(&points), BTreeMap::from(expected));
        for (index, (point, result)) in points.iter().zip(&report.cases).enumerate() {
            assert_eq!((point.number, &point.description), (index + 1, &result.id));
            if let Some(Skip { why }) = &result.skipped {
                let (word, told) = point.directive.as_ref().unwrap();
                assert_eq!(
                    (word.as_str(), told.as_str()),
                    ("SKIP", shown(why).as_str())
                );
            }
        }
    }

    #[test]
    fn a_failure_has_its_diagnostics_in_yaml() {
        let mut report = report_of(&[Status::Fail, Status::Pass]);
        let (_, points, _) = read(&tap(&report));
        let yaml = &points[0].yaml;
        let value = |name: &str| -> String { serde_json::from_str(&yaml[name]).unwrap() };
        assert_eq!(value("message"), shown(&format!("lost: {HOSTILE}")));
        assert_eq!(value("severity"), "fail");
        assert_eq!(
            (value("rule"), value("shape")),
            ("DATA-3".into(), "lost-tail".into())
        );
        assert_eq!(value("likely_cause"), shown(&format!("because {HOSTILE}")));
        // It is no shipped case: a run would not know it.
        assert!(value("rerun").starts_with("harness repro "));
        assert!(points[1].yaml.is_empty());
        report.cases[0].bundle = None;
        let text = tap(&report);
        assert!(
            text.contains("harness run --filter data/case-0 --scenario FILE --driver"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_shows_nothing_bails_out() {
        let mut report = report_of(&[Status::SkippedFilter]);
        assert_eq!(report.ending, Some(Ending::NothingRan));
        report.message = Some("no case\nis left".to_owned());
        let (_, _, bail) = read(&tap(&report));
        assert_eq!(
            bail.unwrap(),
            "nothing ran, so nothing is shown: no case is left"
        );
        report.ending = None;
        let (_, _, bail) = read(&tap(&report));
        assert!(bail.unwrap().starts_with("the run has not ended"));
    }

    #[test]
    fn an_expected_failure_has_its_reason_behind_todo() {
        let mut report = report_of(&[Status::Xfail]);
        report.cases[0].expected = Some(super::whole_run::expected());
        let (_, points, _) = read(&tap(&report));
        let (word, why) = points[0].directive.as_ref().unwrap();
        assert_eq!(word, "TODO");
        assert_eq!(*why, shown(&format!("expected [torn]: because {HOSTILE}")));
        let told: String = serde_json::from_str(&points[0].yaml["expected"]).unwrap();
        assert!(told.ends_with("; a link; a note"), "{told}");
    }
}

mod junit_text {
    use super::*;

    #[test]
    fn counts_and_properties_are_those_of_the_report() {
        let report = report_of(&STATUSES);
        let xml = junit(&report).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let all = |name: &str| {
            document
                .descendants()
                .filter(|one| one.has_tag_name(name))
                .count()
        };
        assert_eq!(all("testcase"), 12);
        assert_eq!((all("failure"), all("error"), all("skipped")), (4, 3, 3));
        assert_eq!(all("flakyFailure"), 0);
        let suite = document
            .descendants()
            .find(|one| one.has_tag_name("testsuite"))
            .unwrap();
        let told = ["tests", "failures", "errors", "skipped"].map(|name| suite.attribute(name));
        assert_eq!(told, ["12", "4", "3", "3"].map(Some));
        let failed = document
            .descendants()
            .find(|one| one.attribute("name") == Some("data/case-1"))
            .unwrap();
        let property = |name: &str| {
            failed
                .descendants()
                .find(|one| one.has_tag_name("property") && one.attribute("name") == Some(name))
                .and_then(|one| one.attribute("value"))
        };
        assert_eq!(property("rule"), Some("DATA-3"));
        assert_eq!(property("seed"), Some("7"));
        assert_eq!(
            property("re-run"),
            Some(rerun(&report, "data/case-1").as_str())
        );
    }
}

mod markdown_text {
    use super::*;

    /// The rows of the tables, each a list of its cells as they are shown, heads left out.
    fn rows(text: &str) -> Vec<Vec<String>> {
        let lines: Vec<&str> = text.lines().collect();
        let heads = |index: usize| {
            lines
                .get(index + 1)
                .is_some_and(|next| next.starts_with("|---"))
        };
        let rows = lines
            .iter()
            .enumerate()
            .filter(|(index, line)| line.starts_with("| ") && !heads(*index));
        rows.map(|(_, line)| cells(line)).collect()
    }

    fn cells(line: &str) -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '|' => cells.push(String::new()),
                '\\' => cells.last_mut().unwrap().extend(chars.next()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        let inner = &cells[1..cells.len() - 1];
        inner.iter().map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn the_tables_tell_counts_failures_and_skips() {
        let report = report_of(&STATUSES);
        let text = markdown(&report);
        let rows = rows(&text);
        let of_width = |width: usize| rows.iter().filter(move |row| row.len() == width);
        let counts: BTreeMap<&str, usize> = of_width(2)
            .map(|row| (row[0].as_str(), row[1].parse().unwrap()))
            .collect();
        let expected = report.counts.by_status.iter();
        let expected: BTreeMap<&str, usize> = expected
            .map(|(status, count)| (status.as_str(), *count))
            .collect();
        assert_eq!(counts, expected);
        let failed: Vec<_> = of_width(6).collect();
        assert_eq!(failed.len(), 8);
        assert_eq!(
            failed[0].as_slice(),
            [
                "data/case-1",
                "fail",
                "MUST",
                "DATA-3",
                "lost-tail",
                &shown(&format!("lost: {HOSTILE}"))
            ]
        );
        let skipped: Vec<_> = of_width(3).collect();
        assert_eq!(skipped.len(), 2);
        assert_eq!(
            skipped[0].as_slice(),
            ["skipped:capability", &shown(HOSTILE), "1"]
        );
        assert_eq!(text.matches("<details>").count(), 8);
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
        assert!(text.contains("**Likely cause:**"), "{text}");
        let passes = "**Passes here:** the drivers good and ";
        let command = "```sh\nharness run --filter data/x --out out-beside\n```\n";
        assert!(text.contains(passes) && text.contains(command), "{text}");
    }

    #[test]
    fn a_block_of_code_ends_where_it_should() {
        let mut report = report_of(&[Status::Fail]);
        report.cases[0].bundle = None;
        let text = markdown(&report);
        let fences: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("````"))
            .collect();
        assert_eq!(fences, ["````text", "````"], "{text}");
        assert!(
            text.contains("```sh\nharness run --filter data/case-0 --scenario FILE --driver"),
            "{text}"
        );
    }

    #[test]
    fn its_size_is_bounded() {
        let mut report = report_of(&[Status::Fail; 120]);
        for result in &mut report.cases {
            result.text = "a line of a failure that is quite long, as they may be\n".repeat(400);
        }
        let text = markdown(&report);
        assert!(text.len() < 1_000_000, "{} bytes", text.len());
        assert!(
            text.contains("70 more are told in `report.json`"),
            "no word of the rest"
        );
        assert!(
            text.contains("(250 more lines)"),
            "no word of the lines left out"
        );
    }
}

mod page {
    use super::*;

    fn parsed(page: &str) -> roxmltree::Document<'_> {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        roxmltree::Document::parse_with_options(page, options)
            .unwrap_or_else(|error| panic!("{error} in\n{page}"))
    }

    #[test]
    fn every_case_is_there_and_what_is_wrong_is_unfolded_and_first() {
        let report = report_of(&STATUSES);
        let page = html(&report);
        let document = parsed(&page);
        let cases: Vec<_> = document
            .descendants()
            .filter(|one| one.tag_name().name() == "details")
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for case in &cases {
            *counts
                .entry(case.attribute("data-status").unwrap())
                .or_default() += 1;
        }
        let told: BTreeMap<&str, usize> = document
            .descendants()
            .filter_map(|one| Some((one.attribute("data-count")?, one.text()?.parse().unwrap())))
            .collect();
        assert_eq!(counts, told);
        let expected = report.counts.by_status.iter();
        let expected: BTreeMap<&str, usize> = expected
            .map(|(status, count)| (status.as_str(), *count))
            .collect();
        assert_eq!(counts, expected);
        let failed = STATUSES.iter().filter(|one| **one == Status::Fail);
        assert!(failed.count() > 0 && page.contains("<dt>Passes here</dt><dd>the drivers good"));
        assert!(page.contains("; harness run --filter data/x --out out-beside</dd>"));
        let open: Vec<_> = cases
            .iter()
            .filter(|one| one.has_attribute("open"))
            .collect();
        assert_eq!(open.len(), 7);
        assert_eq!(cases[0].attribute("data-status"), Some("fail"));
        let text: String = cases[0]
            .descendants()
            .filter_map(|one| one.text())
            .collect();
        assert!(text.contains(&shown(&format!("lost: {HOSTILE}"))), "{text}");
        assert!(text.contains("line two"), "{text}");
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let page = html(&report_of(&STATUSES));
        for node in parsed(&page).descendants() {
            let name = node.tag_name().name();
            assert!(
                !matches!(name, "link" | "img" | "iframe" | "object"),
                "<{name}>"
            );
            assert!(
                !node.has_attribute("src") && !node.has_attribute("href"),
                "<{name}>"
            );
        }
    }
}

mod annotation_lines {
    use super::*;

    #[test]
    fn a_failure_is_an_error_and_a_flaky_case_a_warning_each_on_one_line() {
        let mut report = report_of(&STATUSES);
        report.cases.iter_mut().for_each(|one| one.bundle = None);
        let text = annotations(&report);
        let lines: Vec<&str> = text.lines().collect();
        let of = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(
            (of("::error title="), of("::warning title="), lines.len()),
            (6, 1, 7)
        );
        let (title, message) = lines[0]
            .strip_prefix("::error title=")
            .unwrap()
            .split_once("::")
            .unwrap();
        assert_eq!(title, "fail data/case-1 [DATA-3]");
        let back = message.replace("%0A", "\n").replace("%25", "%");
        let first = back.lines().next().unwrap();
        assert_eq!(first, shown(&format!("lost: {HOSTILE}")));
        assert!(message.contains("100 %25, e:") && back.contains("\nRe-run: harness run "));
    }

    #[test]
    fn a_title_can_not_end_its_property() {
        let mut report = report_of(&[Status::Fail]);
        report.cases[0].id = "a,b::c%\nd".to_owned();
        let text = annotations(&report);
        assert!(
            text.starts_with("::error title=fail a%2Cb%3A%3Ac%25%0Ad [DATA-3]::"),
            "{text}"
        );
    }
}
