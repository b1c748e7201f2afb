//! From what was played to the kill matrix and its score. (core)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::catalogue::{Kind, Known, Part};
use crate::finding::Shape;
use crate::outcome::{Ending, Status};

/// One case played against one subject, the attempts taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The subject's place in the catalogue.
    pub subject: usize,
    /// The case's id.
    pub case: String,
    /// What became of the attempt that counts.
    pub status: Status,
    /// The shapes that were found.
    pub shapes: BTreeSet<Shape>,
    /// The first finding, or why the case proved nothing, in one line.
    pub headline: String,
    /// The faulty subject that the diagnosis names as the most likely.
    pub blamed: Option<String>,
    /// An earlier attempt ended otherwise.
    pub unsteady: bool,
}

impl Row {
    fn catches(&self) -> bool {
        self.status == Status::Fail
    }
}

/// What the matrix says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Faulty subjects that were played.
    pub faulty: usize,
    /// Those caught by their case with their shape.
    pub caught: usize,
    /// Those that the diagnosis named as the most likely cause of their own damage.
    pub diagnosed: usize,
    /// Good subjects that were played.
    pub good: usize,
    /// Those that passed every case.
    pub clean: usize,
    /// Good subjects' cases that failed and then passed.
    pub unsteady: usize,
}

impl Score {
    /// How the self-test ends. A faulty subject that escapes and a good one that is blamed both
    /// mean that a verdict of this suite can't be trusted.
    #[must_use]
    pub fn ending(&self) -> Ending {
        if self.faulty + self.good == 0 {
            Ending::NothingRan
        } else if self.caught < self.faulty || self.clean < self.good {
            Ending::Blind
        } else if self.unsteady > 0 {
            Ending::Flaky
        } else {
            Ending::Conformant
        }
    }
}

/// The matrix as text, at most 100 columns, and its score.
///
/// `left_out` names the subjects that this machine can't run or can't catch, with the reason. In `full` mode
/// the cases that catch nothing alone and check no rule alone (`rules` has the rules of each case)
/// are listed at the end.
#[must_use]
pub fn matrix(
    known: &[Known],
    rows: &[Row],
    left_out: &[(String, String)],
    rules: &BTreeMap<String, Vec<String>>,
    full: bool,
) -> (String, Score) {
    let mut score = Score::default();
    let mut text = String::new();
    for part in [Part::Driver, Part::Logmon] {
        faulty(&mut text, &mut score, known, rows, part);
    }
    good(&mut text, &mut score, known, rows, left_out);
    if full {
        questioned(&mut text, known, rows, rules);
    }
    line(
        &mut text,
        &format!(
            "caught {} of {} faulty subjects, each by its case with its shape; the diagnosis names {} \
             of {}",
            score.caught, score.faulty, score.diagnosed, score.faulty
        ),
    );
    line(
        &mut text,
        &format!(
            "{} of {} good subjects pass every case that applies",
            score.clean, score.good
        ),
    );
    (text, score)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn of<'a>(rows: &'a [Row], subject: usize) -> impl Iterator<Item = &'a Row> + use<'a> {
    rows.iter().filter(move |row| row.subject == subject)
}

fn faulty(text: &mut String, score: &mut Score, known: &[Known], rows: &[Row], part: Part) {
    let mut is_first = true;
    for (index, subject) in known.iter().enumerate() {
        let Kind::Faulty(catch) = subject.kind else {
            continue;
        };
        if subject.part != part || of(rows, index).next().is_none() {
            continue;
        }
        if is_first {
            let head = format!("faulty {}", part.as_str());
            line(
                text,
                &format!("{head:<33}{:<28}{:<20}also caught by", "case", "shape"),
            );
            is_first = false;
        }
        score.faulty += 1;
        let named = of(rows, index).find(|row| row.case == catch.case);
        let is_caught = named.is_some_and(|row| row.catches() && row.shapes.contains(&catch.shape));
        score.caught += usize::from(is_caught);
        let blamed = named.and_then(|row| row.blamed.as_deref());
        let is_diagnosed = blamed == Some(subject.cause());
        score.diagnosed += usize::from(is_diagnosed);
        let others = of(rows, index).filter(|row| row.catches() && row.case != catch.case);
        let others: Vec<&str> = others.map(|row| row.case.as_str()).collect();
        let mark = if is_caught { "✓" } else { "✗" };
        line(
            text,
            &format!(
                "{:<32} {:<28}{mark} {:<18}{}",
                subject.name,
                catch.case,
                catch.shape,
                shortened(&others)
            ),
        );
        if !is_caught {
            line(text, &format!("    ESCAPED: {}", escape(named)));
        } else if !is_diagnosed {
            let instead = blamed.map_or("no cause".to_owned(), |name| format!("`{name}`"));
            line(text, &format!("    the diagnosis names {instead} instead"));
        }
    }
    if !is_first {
        text.push('\n');
    }
}

/// The first case and how many more.
fn shortened(cases: &[&str]) -> String {
    match cases {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

fn escape(named: Option<&Row>) -> String {
    match named {
        None => "its case was not played".to_owned(),
        Some(row) if row.catches() => {
            let shapes: Vec<&str> = row.shapes.iter().map(|shape| shape.as_str()).collect();
            format!("found {} instead: {}", shapes.join(", "), row.headline)
        }
        Some(row) => format!("its case ends in {}: {}", row.status, row.headline),
    }
}

fn good(
    text: &mut String,
    score: &mut Score,
    known: &[Known],
    rows: &[Row],
    left_out: &[(String, String)],
) {
    line(
        text,
        &format!("{:<33}{:<28}", "good subject", "cases passed"),
    );
    for (index, subject) in known.iter().enumerate() {
        let (Kind::Good { .. }, Some(_)) = (subject.kind, of(rows, index).next()) else {
            continue;
        };
        let played = of(rows, index).count();
        let passed = of(rows, index)
            .filter(|row| row.status == Status::Pass)
            .count();
        score.good += 1;
        score.clean += usize::from(passed == played);
        score.unsteady += of(rows, index).filter(|row| row.unsteady).count();
        let mark = if passed == played { "✓" } else { "✗" };
        let name = format!("{} ({})", subject.name, subject.part.as_str());
        line(text, &format!("{name:<33}{mark} {passed} of {played}"));
        for row in of(rows, index) {
            if row.status != Status::Pass {
                line(
                    text,
                    &format!("    {} {}: {}", row.case, row.status, row.headline),
                );
            } else if row.unsteady {
                line(
                    text,
                    &format!(
                        "    {} passed only when it was played again alone",
                        row.case
                    ),
                );
            }
        }
    }
    for (name, why) in left_out {
        line(text, &format!("{name:<33}left out: {why}"));
    }
    text.push('\n');
}

/// Cases without which every faulty subject would still be caught and every rule still checked.
fn questioned(
    text: &mut String,
    known: &[Known],
    rows: &[Row],
    rules: &BTreeMap<String, Vec<String>>,
) {
    let mut killers: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let is_faulty = known
            .get(row.subject)
            .is_some_and(|one| matches!(one.kind, Kind::Faulty(_)));
        if is_faulty && row.catches() {
            killers.entry(row.subject).or_default().push(&row.case);
        }
    }
    let mut checkers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (case, rules) in rules {
        for rule in rules {
            checkers.entry(rule).or_default().push(case);
        }
    }
    let alone: BTreeSet<&str> = killers
        .values()
        .chain(checkers.values())
        .filter_map(|cases| match cases[..] {
            [only] => Some(only),
            _ => None,
        })
        .collect();
    let questioned: Vec<&str> = rules
        .keys()
        .map(String::as_str)
        .filter(|case| !alone.contains(case))
        .collect();
    line(
        text,
        "questioned: the only killer of nothing, and no rule is checked by it alone",
    );
    for case in questioned {
        let kills = killers
            .values()
            .filter(|cases| cases.contains(&case))
            .count();
        let mut entry = String::new();
        // Writing into a string can't fail.
        write!(entry, "    {case:<40}one of the killers of {kills}").ok();
        line(text, &entry);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_test::catalogue::Catch;

    fn subjects() -> Vec<Known> {
        let one = |name: &str, kind| Known {
            name: name.into(),
            part: Part::Driver,
            template: String::new(),
            serving: None,
            adapter: crate::adapter::AdapterKind::Command,
            capabilities: &[],
            kind,
        };
        let catch = Catch {
            case: "mon/kill",
            shape: Shape::LostMiddle,
        };
        vec![
            one("good", Kind::Good { program: None }),
            one("bad", Kind::Faulty(catch)),
        ]
    }

    fn row(subject: usize, case: &str, status: Status, shapes: &[Shape]) -> Row {
        Row {
            subject,
            case: case.into(),
            status,
            shapes: shapes.iter().copied().collect(),
            headline: "what was seen".into(),
            blamed: Some("bad".into()),
            unsteady: false,
        }
    }

    fn judged(rows: &[Row]) -> (String, Score) {
        matrix(&subjects(), rows, &[], &BTreeMap::new(), false)
    }

    #[test]
    fn a_fault_is_caught_only_by_its_case_with_its_shape() {
        let good = row(0, "mon/kill", Status::Pass, &[]);
        let (text, score) = judged(&[
            good.clone(),
            row(1, "mon/kill", Status::Fail, &[Shape::LostMiddle]),
        ]);
        assert_eq!((score.caught, score.diagnosed, score.clean), (1, 1, 1));
        assert_eq!(score.ending(), Ending::Conformant, "{text}");
        for escape in [
            row(1, "mon/kill", Status::Fail, &[Shape::Late]),
            row(1, "mon/other", Status::Fail, &[Shape::LostMiddle]),
            row(1, "mon/kill", Status::Inconclusive, &[]),
            row(1, "mon/kill", Status::Pass, &[]),
        ] {
            let (text, score) = judged(&[good.clone(), escape]);
            assert!(text.contains("ESCAPED"), "{text}");
            assert_eq!(score.ending(), Ending::Blind);
        }
    }

    #[test]
    fn a_fault_that_is_caught_under_another_name_is_shown_with_it() {
        let mut caught = row(1, "mon/kill", Status::Fail, &[Shape::LostMiddle]);
        assert!(!judged(std::slice::from_ref(&caught)).0.contains("instead"));
        caught.blamed = Some("worse".into());
        let (text, score) = judged(&[caught]);
        assert_eq!((score.caught, score.diagnosed), (1, 0));
        assert!(text.contains("names `worse` instead"), "{text}");
    }

    #[test]
    fn a_good_subject_that_is_blamed_or_proves_nothing_ends_blind() {
        for status in [Status::Fail, Status::Inconclusive, Status::ErrorSuite] {
            let (text, score) = judged(&[row(0, "mon/kill", status, &[])]);
            assert_eq!(score.ending(), Ending::Blind, "{text}");
        }
    }

    #[test]
    fn a_self_test_of_nothing_is_not_green() {
        assert_eq!(judged(&[]).1.ending(), Ending::NothingRan);
    }

    #[test]
    fn a_case_that_is_the_only_killer_or_checks_a_rule_alone_is_not_questioned() {
        let rows = [
            row(1, "a/kills", Status::Fail, &[Shape::Late]),
            row(0, "a/nothing", Status::Pass, &[]),
        ];
        let rules = BTreeMap::from([
            ("a/kills".to_owned(), vec!["MON-1".to_owned()]),
            ("a/nothing".to_owned(), vec!["MON-1".to_owned()]),
            ("a/rule".to_owned(), vec!["MON-2".to_owned()]),
        ]);
        let (text, _) = matrix(&subjects(), &rows, &[], &rules, true);
        let questioned = text.split("questioned").nth(1).unwrap();
        assert!(questioned.contains("a/nothing"), "{text}");
        assert!(
            !questioned.contains("a/kills") && !questioned.contains("a/rule"),
            "{text}"
        );
    }
}
