//! Tests of the renewal of a file of expected failures from a report.

use super::*;
use crate::outcome::Ending;

const FILE: &str = "\
# Known failures of mine.

# tail
[[expect]]
case = \"data/tail\"
outcome = \"fail\"
shape = \"lost-tail\" # as of 1.2
reason = \"one\"

# the glob
[[expect]]
case = \"mon/kill-?\"
outcome = \"fail\"
shape = \"torn\"
reason = \"two\"
issue = \"https://example.org/2\"

[[expect]]
case = \"life/seldom\"
outcome = \"flaky\"
shape = \"late\"
reason = \"three\"

# the end
";

fn known() -> BTreeSet<String> {
    [
        "data/new",
        "data/tail",
        "life/seldom",
        "mon/kill-1",
        "mon/kill-2",
        "mon/kill-3",
    ]
    .map(str::to_owned)
    .into()
}

/// A case: id, status, attempts that passed, the shapes of each attempt that did not.
type Row<'a> = (&'a str, &'a str, u32, &'a [&'a [&'a str]]);

const AS_LISTED: [Row<'_>; 6] = [
    ("data/new", "pass", 1, &[]),
    ("data/tail", "xfail", 0, &[&["lost-tail"]]),
    ("life/seldom", "xfail", 1, &[&["late"]]),
    ("mon/kill-1", "xfail", 0, &[&["torn"]]),
    ("mon/kill-2", "fail", 0, &[&["torn"]]),
    ("mon/kill-3", "skipped:capability", 0, &[]),
];

fn report(rows: &[Row<'_>]) -> Report {
    let cases: Vec<_> = rows
        .iter()
        .map(|(id, status, passed, failed_as)| {
            serde_json::json!({
                "id": id, "title": "T.", "level": "must", "profile": "base", "rules": [],
                "status": status, "seconds": 0.1, "passed": passed, "attempts": 3,
                "verdict": {"findings": [], "unmet": [], "suite_errors": []},
                "bundle": null, "skipped": null, "failed_as": failed_as,
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "version": 1, "suite": "harness", "complete": true, "ending": "failures", "exit_code": 1,
        "seed": 1, "filtered": false, "began_unix_ms": 0, "seconds": 1.0,
        "subject": {"name": "x", "driver": [], "logmon": [], "under_test": [], "capabilities": []},
        "probes": [], "counts": {"by_status": {}}, "cases": cases,
    }))
    .unwrap()
}

/// [`AS_LISTED`] with some rows replaced.
fn but(rows: &[Row<'static>]) -> Vec<Row<'static>> {
    let with = |old: Row<'static>| *rows.iter().find(|new| new.0 == old.0).unwrap_or(&old);
    AS_LISTED.map(with).to_vec()
}

fn renewed(rows: &[Row<'static>], reason: Option<&str>) -> Result<Renewal, RenewalError> {
    let read = Expectations::read(FILE, &known()).unwrap();
    renew(FILE, &read, &report(&but(rows)), reason)
}

fn changes(renewal: &Renewal) -> Vec<String> {
    renewal.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_agrees_with_the_report_stays_byte_for_byte() {
    let renewal = renewed(&[], None).unwrap();
    assert_eq!(changes(&renewal), Vec::<String>::new());
    assert_eq!(renewal.text, FILE);
}

#[test]
fn an_entry_that_passes_goes_with_its_own_comment_and_no_other() {
    let renewal = renewed(&[("data/tail", "xpass", 1, &[])], None).unwrap();
    assert_eq!(changes(&renewal), ["- data/tail: passes"]);
    let (_, rest) = FILE.split_once("# the glob").unwrap();
    assert_eq!(
        renewal.text,
        format!("# Known failures of mine.\n\n# the glob{rest}")
    );
}

#[test]
fn an_entry_that_does_not_run_goes() {
    let renewal = renewed(&[("data/tail", "skipped:capability", 0, &[])], None).unwrap();
    assert_eq!(
        changes(&renewal),
        ["- data/tail: does not apply to this subject"]
    );
}

#[test]
fn a_glob_becomes_the_cases_that_still_fail() {
    let renewal = renewed(&[("mon/kill-1", "pass", 1, &[])], None).unwrap();
    assert_eq!(changes(&renewal), ["~ mon/kill-? becomes mon/kill-2"]);
    assert_eq!(renewal.text, FILE.replace("mon/kill-?", "mon/kill-2"));

    let rows: &[Row<'_>] = &[("mon/kill-3", "fail", 0, &[&["late"]])];
    let renewal = renewed(rows, Some("four")).unwrap();
    assert_eq!(
        changes(&renewal),
        [
            "~ mon/kill-? becomes mon/kill-1, mon/kill-2",
            "+ mon/kill-3 [late]"
        ]
    );
    let tail = "[[expect]]\ncase = \"mon/kill-3\"\noutcome = \"fail\"\nshape = \"late\"\nreason = \"four\"\n\n# the end\n";
    assert!(renewal.text.ends_with(tail), "{}", renewal.text);
    let twice = "issue = \"https://example.org/2\"\n\n[[expect]]\ncase = \"mon/kill-2\"";
    assert!(renewal.text.contains(twice), "{}", renewal.text);
}

#[test]
fn a_new_failure_comes_with_all_its_shapes_and_the_reason() {
    let rows: &[Row<'_>] = &[("data/new", "fail", 0, &[&["torn", "late"]])];
    let renewal = renewed(rows, Some("new in 2.0")).unwrap();
    assert_eq!(changes(&renewal), ["+ data/new [torn, late]"]);
    let (start, end) = FILE.split_once("\n# the end").unwrap();
    assert_eq!(
        renewal.text,
        format!(
            "{start}\n[[expect]]\ncase = \"data/new\"\noutcome = \"fail\"\nshape = [\"torn\", \"late\"]\nreason = \"new in 2.0\"\n\n# the end{end}"
        )
    );
    let read = Expectations::read(&renewal.text, &known()).unwrap();
    assert_eq!(read.entry("data/new").unwrap().reason, "new in 2.0");
}

#[test]
fn nothing_is_added_without_a_reason() {
    for reason in [None, Some(" ")] {
        let rows: &[Row<'_>] = &[("data/new", "fail", 0, &[&["torn"]])];
        let error = renewed(rows, reason).unwrap_err();
        assert!(matches!(&error, RenewalError::NoReason(cases) if cases == &["data/new"]));
        let rows: &[Row<'_>] = &[("data/tail", "fail", 0, &[&["torn"]])];
        assert!(matches!(
            renewed(rows, reason),
            Err(RenewalError::NoReason(_))
        ));
    }
}

#[test]
fn another_shape_is_written_down_in_place_and_the_comment_behind_it_stays() {
    let rows: &[Row<'_>] = &[("data/tail", "fail", 0, &[&["torn"]])];
    let renewal = renewed(rows, Some("now torn")).unwrap();
    assert_eq!(
        changes(&renewal),
        ["~ data/tail [lost-tail] becomes [torn]"]
    );
    let wanted = FILE
        .replace("\"lost-tail\" # as", "\"torn\" # as")
        .replace("\"one\"", "\"now torn\"");
    assert_eq!(renewal.text, wanted);
}

#[test]
fn a_file_without_entries_keeps_its_text_above_the_first() {
    let read = Expectations::read("# Nothing yet.\n", &known()).unwrap();
    let rows: &[Row<'_>] = &[("data/new", "fail", 0, &[&["torn"]])];
    let renewal = renew("# Nothing yet.\n", &read, &report(rows), Some("r")).unwrap();
    assert_eq!(
        renewal.text,
        "# Nothing yet.\n\n[[expect]]\ncase = \"data/new\"\noutcome = \"fail\"\nshape = \"torn\"\nreason = \"r\"\n"
    );
    let read = Expectations::read(&renewal.text, &known()).unwrap();
    let rows: &[Row<'_>] = &[("data/new", "pass", 1, &[])];
    let emptied = renew(&renewal.text, &read, &report(rows), None).unwrap();
    assert_eq!(emptied.text.trim_end(), "# Nothing yet.");
}

#[test]
fn a_report_that_does_not_tell_all_is_refused() {
    let refused = |change: fn(&mut Report), words: &str| {
        let read = Expectations::read(FILE, &known()).unwrap();
        let mut report = report(&AS_LISTED);
        change(&mut report);
        let error = renew(FILE, &read, &report, Some("r"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "no `{words}` in {error}");
    };
    refused(|report| report.filtered = true, "cases were left out");
    refused(
        |report| report.cases[0].status = Status::SkippedFilter,
        "cases were left out",
    );
    refused(
        |report| {
            let why = crate::suite::ENDED_BY_FAIL_FAST.to_owned();
            report.cases[0].skipped = Some(crate::suite::Skip { why });
        },
        "--fail-fast ended",
    );
    refused(|report| report.cases.clear(), "no case was played");
    refused(|report| report.complete = false, "did not come to its end");
    refused(|report| report.stress = 2, "--stress");
    refused(|report| report.version = 2, "version is 2");
    refused(
        |report| report.ending = Some(Ending::BadSubject),
        "no verdict",
    );
    refused(
        |report| report.cases[0].status = Status::Inconclusive,
        "data/new is inconclusive",
    );
    refused(
        |report| report.cases[0].status = Status::ErrorSuite,
        "data/new is error:suite",
    );
}

#[test]
fn a_case_that_is_not_clearly_decided_is_refused_by_name() {
    let refused = |row: Row<'static>, words: &str| {
        let error = renewed(&[row], Some("r")).unwrap_err().to_string();
        assert!(error.contains(words), "no `{words}` in {error}");
    };
    refused(
        ("data/new", "flaky", 1, &[&["torn"]]),
        "data/new is flaky [torn]",
    );
    refused(
        ("data/tail", "flaky", 1, &[&["lost-tail"]]),
        "data/tail is flaky",
    );
    refused(
        ("life/seldom", "flaky", 1, &[&["torn"]]),
        "life/seldom is flaky",
    );
    refused(
        ("data/new", "fail", 0, &[&["torn"], &["late"]]),
        "more than one way",
    );
}

#[test]
fn a_list_in_one_place_is_refused() {
    let text = "expect = [{ case = \"data/tail\", outcome = \"fail\", shape = \"torn\", reason = \"r\" }]\n";
    let read = Expectations::read(text, &known()).unwrap();
    let error = renew(text, &read, &report(&AS_LISTED[1..2]), Some("r")).unwrap_err();
    assert!(matches!(
        error,
        RenewalError::Rewrite(RewriteError::NoTables)
    ));
}
