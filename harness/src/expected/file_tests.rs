//! Tests of the file of expected failures.

use super::*;

fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = (0..25).map(|n| format!("mon/kill-{n}")).collect();
    known.extend(["data/smoke", "data/tail", "life/exit"].map(str::to_owned));
    known
}

fn entry(text: &str) -> String {
    format!(
        "[[expect]]\ncase = \"data/tail\"\noutcome = \"fail\"\nshape = \"lost-tail\"\nreason = \"why\"\n{text}"
    )
}

/// The problems of a text, each with its line in front.
fn problems(text: &str) -> Vec<String> {
    match Expectations::read(text, &known()) {
        Ok(read) => panic!("nothing is wrong with {read:?}"),
        Err(problems) => problems
            .into_iter()
            .map(|one| format!("{}: {}", one.line, one.text))
            .collect(),
    }
}

/// The only problem of a text has these words.
fn is_refused(text: &str, words: &[&str]) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    for word in words {
        assert!(found[0].contains(word), "no `{word}` in {found:?}");
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[test]
fn an_empty_file_expects_nothing() {
    for text in ["", "# nothing yet\n"] {
        assert_eq!(Expectations::read(text, &known()).unwrap().entries(), []);
    }
}

#[test]
fn an_entry_has_everything_that_was_written() {
    let text = format!(
        "# a comment\n\n{}",
        entry("issue = \"https://example.org/1\"\nuntil = 2027-03-01\n")
    );
    let read = Expectations::read(&text, &known()).unwrap();
    assert_eq!(
        read.entries(),
        [Entry {
            number: 1,
            line: 3,
            case: "data/tail".into(),
            outcome: Outcome::Fail,
            shapes: BTreeSet::from([Shape::LostTail]),
            reason: "why".into(),
            issue: Some("https://example.org/1".into()),
            until: Some(day("2027-03-01")),
            covers: vec!["data/tail".into()],
        }]
    );
    assert_eq!(read.entry("data/tail").unwrap().number, 1);
    assert_eq!(read.entry("data/smoke"), None);
}

#[test]
fn a_glob_covers_ids_and_several_shapes_can_be_listed() {
    let text = entry("")
        .replace("data/tail", "mon/kill-1?")
        .replace("\"lost-tail\"", "[\"lost-tail\", \"torn\"]")
        .replace("\"fail\"", "\"flaky\"");
    let read = Expectations::read(&text, &known()).unwrap();
    let entry = &read.entries()[0];
    assert_eq!(entry.covers.len(), 10);
    assert_eq!(entry.outcome, Outcome::Flaky);
    assert_eq!(entry.brackets(), "[lost-tail, torn]");
    assert!(entry.is_glob());
}

#[test]
fn a_glob_over_more_than_20_cases_is_refused() {
    let text = entry("").replace("data/tail", "mon/*");
    is_refused(&text, &["1: entry 1 (mon/*)", "25 cases", "at most 20"]);
    let text = entry("").replace("data/tail", "mon/kill-{?,10,11,12,13,14,15,16,17,18,19}");
    let read = Expectations::read(&text, &known()).unwrap();
    assert_eq!(read.entries()[0].covers.len(), 20);
}

#[test]
fn a_case_that_does_not_exist_is_refused() {
    is_refused(
        &entry("").replace("data/tail", "data/tale"),
        &["no such case", "harness list"],
    );
    is_refused(
        &entry("").replace("data/tail", "dota/*"),
        &["covers no case"],
    );
    is_refused(&entry("").replace("data/tail", "data/[x"), &["no glob"]);
    is_refused(
        &entry("").replace("case = \"data/tail\"\n", ""),
        &["entry 1: it has no `case`"],
    );
}

#[test]
fn an_entry_without_a_reason_is_refused() {
    is_refused(
        &entry("").replace("reason = \"why\"\n", ""),
        &["it has no `reason`"],
    );
    is_refused(
        &entry("").replace("\"why\"", "\" \""),
        &["`reason` is empty"],
    );
}

#[test]
fn an_outcome_or_a_shape_that_is_none_is_refused() {
    is_refused(
        &entry("").replace("\"fail\"", "\"fails\""),
        &["\"fails\"", "\"flaky\""],
    );
    is_refused(
        &entry("").replace("outcome = \"fail\"\n", ""),
        &["no `outcome`"],
    );
    is_refused(
        &entry("").replace("lost-tail", "lost"),
        &["unknown shape `lost`", "lost-pipe-content"],
    );
    for several in ["lost-tail torn", "lost-tail, torn"] {
        is_refused(
            &entry("").replace("lost-tail", several),
            &["several in one text", "[\"lost-tail\", \"torn\"]"],
        );
    }
    is_refused(
        &entry("").replace("\"lost-tail\"", "[]"),
        &["`shape` is empty"],
    );
    is_refused(
        &entry("").replace("\"lost-tail\"", "3"),
        &["`shape` is no text"],
    );
    is_refused(
        &entry("").replace("\"lost-tail\"", "[\"torn\", \"torn\"]"),
        &["torn twice"],
    );
    is_refused(
        &entry("").replace("shape = \"lost-tail\"\n", ""),
        &["no `shape`", "brackets"],
    );
}

#[test]
fn a_key_that_is_not_known_is_refused_with_its_line_and_the_known_ones() {
    is_refused(
        &entry("resaon = \"x\"\n"),
        &["6: ", "resaon", "`reason`", "`until`"],
    );
    is_refused("expct = 1\n", &["1: ", "expct", "expect"]);
    is_refused("[[expect]]\ncase = \n", &["2: "]);
}

#[test]
fn a_case_that_is_covered_twice_is_refused() {
    let twice = format!(
        "{}\n{}",
        entry(""),
        entry("").replace("data/tail", "data/t*")
    );
    is_refused(&twice, &["7: entry 2 (data/t*)", "data/tail", "entry 1"]);
}

#[test]
fn a_day_is_a_day_without_quotes() {
    is_refused(
        &entry("until = \"2027-03-01\"\n"),
        &["`until`", "without quotes"],
    );
    is_refused(
        &entry("until = 2027-03-01T10:00:00Z\n"),
        &["`until`", "give a day"],
    );
    is_refused(&entry("issue = \"\"\n"), &["`issue` is empty"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "[[expect]]\nshape = \"no\"\n\n[[expect]]\ncase = \"data/smoke\"\n";
    let found = problems(text);
    assert_eq!(found.len(), 4 + 3, "{found:#?}");
    assert!(
        found[6].starts_with("4: entry 2 (data/smoke)"),
        "{found:#?}"
    );
}

#[test]
fn an_entry_counts_on_its_last_day_and_no_longer() {
    let read = Expectations::read(&entry("until = 2027-03-01\n"), &known()).unwrap();
    assert_eq!(read.expired(day("2027-03-01")), []);
    let expired = read.expired(day("2027-03-02"));
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].line, 1);
    for word in [
        "entry 1 (data/tail)",
        "2027-03-01",
        "2027-03-02",
        "take the entry out",
    ] {
        assert!(expired[0].text.contains(word), "{expired:?}");
    }
}

#[test]
fn what_ends_soon_is_known_thirty_days_before() {
    let read = Expectations::read(&entry("until = 2027-03-31\n"), &known()).unwrap();
    let ending = |today| read.ending_within(30, day(today)).len();
    assert_eq!(ending("2027-02-28"), 0);
    assert_eq!(ending("2027-03-01"), 1);
    assert_eq!(ending("2027-03-31"), 1);
    assert_eq!(ending("2027-04-01"), 0, "that one has expired");
}
