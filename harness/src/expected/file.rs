//! The file of expected failures: reads it and checks every entry. (core)
//!
//! ```toml
//! [[expect]]
//! case = "mon/kill-full-pipe-bare"  # the id of a case, or a glob over ids
//! outcome = "fail"                  # or "flaky": it may pass as well
//! shape = "lost-pipe-content"       # or a list; as a failure prints it in brackets
//! reason = "the driver closes its end before it opens a new one"
//! issue = "https://example.org/17"  # optional
//! until = 2027-03-01                # optional: the last day on which the entry counts
//! ```
//!
//! Laws: no case is covered by two entries; an entry covers at least one known case; nothing is
//! skipped because it is not understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use chrono::{Days, NaiveDate};
use globset::Glob;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::finding::Shape;

/// So many cases one glob may cover: what excuses more is no known failure but a way not to look.
pub const MAX_CASES_OF_A_GLOB: usize = 20;

/// What an entry says of its cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// They fail, every time and with exactly the shapes listed.
    Fail,
    /// They pass, or fail with no other than the shapes listed.
    Flaky,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fail => "fail",
            Self::Flaky => "flaky",
        })
    }
}

/// One expected failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which entry of the file it is, from 1.
    pub number: usize,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The id of a case, or a glob over ids.
    pub case: String,
    /// What is expected.
    pub outcome: Outcome,
    /// The damage that is excused; not empty.
    pub shapes: BTreeSet<Shape>,
    /// Why it is excused; not empty.
    pub reason: String,
    /// Where it is tracked.
    pub issue: Option<String>,
    /// The last day on which the entry counts.
    pub until: Option<NaiveDate>,
    /// The known cases that it stands for, in their order; 1..=[`MAX_CASES_OF_A_GLOB`].
    pub covers: Vec<String>,
}

impl Entry {
    /// Whether it names its case by a glob.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        is_glob(&self.case)
    }

    /// The shapes as a failure prints them: `[lost-tail, torn]`.
    #[must_use]
    pub fn brackets(&self) -> String {
        brackets(&self.shapes)
    }
}

/// Shapes as a failure prints them: `[lost-tail, torn]`.
pub(super) fn brackets(shapes: &BTreeSet<Shape>) -> String {
    let names: Vec<&str> = shapes.iter().map(|shape| shape.as_str()).collect();
    format!("[{}]", names.join(", "))
}

fn is_glob(case: &str) -> bool {
    case.contains(['*', '?', '[', '{'])
}

/// Something in the file that can't stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and how to mend it.
    pub text: String,
}

/// All entries of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    expect: Vec<Spanned<RawEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    case: Option<String>,
    outcome: Option<String>,
    shape: Option<toml::Value>,
    reason: Option<String>,
    issue: Option<String>,
    until: Option<toml::Value>,
}

impl Expectations {
    /// Reads a file's text. `known` are the ids of all cases. That an entry has expired is no
    /// problem here: see [`Expectations::expired`].
    ///
    /// # Errors
    /// Everything that can't stand, by line; where the text is no TOML or has an unknown key, the
    /// first such place.
    pub fn read(text: &str, known: &BTreeSet<String>) -> Result<Self, Vec<Problem>> {
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            vec![Problem {
                line: line_of(text, &error.span().unwrap_or_default()),
                text: error.message().to_owned(),
            }]
        })?;
        let mut problems = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut covered: BTreeMap<String, usize> = BTreeMap::new();
        for (index, raw) in raw.expect.into_iter().enumerate() {
            let line = line_of(text, &raw.span());
            let raw = raw.into_inner();
            let name = name(index + 1, raw.case.as_deref());
            let mut complain = |what: String| {
                problems.push(Problem {
                    line,
                    text: format!("{name}: {what}"),
                });
            };
            let Some(entry) = checked(raw, index + 1, line, known, &mut complain) else {
                continue;
            };
            let mut is_new = true;
            for case in &entry.covers {
                match covered.insert(case.clone(), entry.number) {
                    Some(other) if is_new => {
                        is_new = false;
                        complain(format!(
                            "{case} is covered by entry {other} already; keep one of the two"
                        ));
                    }
                    Some(_) | None => {}
                }
            }
            entries.push(entry);
        }
        if problems.is_empty() {
            Ok(Self { entries })
        } else {
            Err(problems)
        }
    }

    /// All entries, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that covers a case.
    #[must_use]
    pub fn entry(&self, case: &str) -> Option<&Entry> {
        let covers = |entry: &&Entry| entry.covers.iter().any(|covered| covered == case);
        self.entries.iter().find(covers)
    }

    /// A problem for each entry whose last day is over.
    #[must_use]
    pub fn expired(&self, today: NaiveDate) -> Vec<Problem> {
        let expired = |entry: &Entry| {
            let until = entry.until.filter(|until| *until < today)?;
            Some(Problem {
                line: entry.line,
                text: format!(
                    "{}: it was to last until {until}, and today is {today}; mend the failure and \
                     take the entry out, or give `until` another day",
                    name(entry.number, Some(&entry.case))
                ),
            })
        };
        self.entries.iter().filter_map(expired).collect()
    }

    /// The entries that end within so many days from today, and their last days.
    #[must_use]
    pub fn ending_within(&self, days: u64, today: NaiveDate) -> Vec<(&Entry, NaiveDate)> {
        let end = today
            .checked_add_days(Days::new(days))
            .unwrap_or(NaiveDate::MAX);
        let entries = self.entries.iter();
        let with_day = entries.filter_map(|entry| Some((entry, entry.until?)));
        with_day
            .filter(|(_, until)| (today..=end).contains(until))
            .collect()
    }
}

fn name(number: usize, case: Option<&str>) -> String {
    match case {
        Some(case) => format!("entry {number} ({case})"),
        None => format!("entry {number}"),
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    before.matches('\n').count() + 1
}

/// The entry, if nothing is wrong with it; every complaint is made.
fn checked(
    raw: RawEntry,
    number: usize,
    line: usize,
    known: &BTreeSet<String>,
    complain: &mut impl FnMut(String),
) -> Option<Entry> {
    let case = or_complain(case(raw.case, known), complain);
    let outcome = or_complain(outcome(raw.outcome.as_deref()), complain);
    let shapes = or_complain(shapes(raw.shape.as_ref()), complain);
    let reason = or_complain(reason(raw.reason), complain);
    let issue = or_complain(issue(raw.issue), complain);
    let until = or_complain(until(raw.until.as_ref()), complain);
    let (case, covers) = case?;
    Some(Entry {
        number,
        line,
        case,
        outcome: outcome?,
        shapes: shapes?,
        reason: reason?,
        issue: issue?,
        until: until?,
        covers,
    })
}

fn or_complain<T>(read: Result<T, String>, complain: &mut impl FnMut(String)) -> Option<T> {
    read.map_err(complain).ok()
}

fn case(case: Option<String>, known: &BTreeSet<String>) -> Result<(String, Vec<String>), String> {
    let case = case.ok_or("it has no `case`; give the id of a case, or a glob over ids")?;
    if !is_glob(&case) {
        return if known.contains(&case) {
            Ok((case.clone(), vec![case]))
        } else {
            Err("there is no such case; `harness list` shows the ids".to_owned())
        };
    }
    let glob = Glob::new(&case)
        .map_err(|error| format!("`case` is no glob ({error}); use *, ?, [a-z] and {{one,two}}"))?
        .compile_matcher();
    let covers: Vec<String> = known
        .iter()
        .filter(|id| glob.is_match(id))
        .cloned()
        .collect();
    match covers.len() {
        0 => Err("the glob covers no case; `harness list` shows the ids".to_owned()),
        1..=MAX_CASES_OF_A_GLOB => Ok((case, covers)),
        many => Err(format!(
            "the glob covers {many} cases, and at most {MAX_CASES_OF_A_GLOB} are allowed; name \
             the cases that fail, or narrow it"
        )),
    }
}

fn outcome(outcome: Option<&str>) -> Result<Outcome, String> {
    match outcome {
        Some("fail") => Ok(Outcome::Fail),
        Some("flaky") => Ok(Outcome::Flaky),
        Some(other) => Err(format!(
            "`outcome` is {other:?}; it is \"fail\" or \"flaky\""
        )),
        None => Err("it has no `outcome`; it is \"fail\" or \"flaky\"".to_owned()),
    }
}

fn shapes(given: Option<&toml::Value>) -> Result<BTreeSet<Shape>, String> {
    const HINT: &str = "give the words that the failure prints in brackets, such as \
                        \"lost-tail\" or [\"lost-tail\", \"torn\"]";
    let names: Vec<&str> = match given.ok_or_else(|| format!("it has no `shape`; {HINT}"))? {
        toml::Value::String(name) => vec![name],
        toml::Value::Array(names) => names
            .iter()
            .map(|name| {
                name.as_str()
                    .ok_or_else(|| format!("`shape` has {name}; {HINT}"))
            })
            .collect::<Result<_, _>>()?,
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => return Err(format!("`shape` is no text; {HINT}")),
    };
    let mut shapes = BTreeSet::new();
    for name in names {
        let shape = Shape::ALL.iter().find(|shape| shape.as_str() == name);
        let shape = shape.ok_or_else(|| {
            if name.contains([' ', ',']) {
                return format!("`shape` names several in one text, {name:?}; {HINT}");
            }
            let known: Vec<&str> = Shape::ALL.iter().map(|shape| shape.as_str()).collect();
            format!("unknown shape `{name}`; known are {}", known.join(", "))
        })?;
        if !shapes.insert(*shape) {
            return Err(format!("`shape` names {name} twice"));
        }
    }
    if shapes.is_empty() {
        return Err(format!("`shape` is empty; {HINT}"));
    }
    Ok(shapes)
}

fn reason(reason: Option<String>) -> Result<String, String> {
    match reason {
        Some(reason) if !reason.trim().is_empty() => Ok(reason),
        Some(_) => Err("`reason` is empty; say why the failure is excused".to_owned()),
        None => Err("it has no `reason`; say why the failure is excused".to_owned()),
    }
}

fn issue(issue: Option<String>) -> Result<Option<String>, String> {
    match issue {
        Some(issue) if issue.trim().is_empty() => {
            Err("`issue` is empty; give a link, or leave it out".to_owned())
        }
        issue => Ok(issue),
    }
}

fn until(until: Option<&toml::Value>) -> Result<Option<NaiveDate>, String> {
    let Some(value) = until else { return Ok(None) };
    let date = value
        .as_datetime()
        .filter(|given| given.time.is_none() && given.offset.is_none())
        .and_then(|given| given.date);
    date.and_then(|date| {
        NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
    })
    .map(Some)
    .ok_or_else(|| format!("`until` is {value}; give a day without quotes, such as 2027-03-01"))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
