//! What a run prints of its cases, one after the other. (core)

use std::collections::BTreeSet;
use std::path::Path;

use crate::finding::Shape;
use crate::outcome::Status;
use crate::report::failure::{WIDTH, add_bundle, add_field, failure_head};
use crate::report::{Paint, case_line, expected_lines, wrapped};
use crate::suite::CaseResult;

/// Failures of one kind that are told in full; those that follow are told in short.
const IN_FULL: usize = 3;

/// Prints the cases of one run, and knows which failures it has told. A bug that breaks twenty cases alike is told
/// in full of the first few; of the others only what is their own, and where the rest is.
#[derive(Clone, Debug, Default)]
pub struct CaseLines {
    kinds: Vec<(Kind, Vec<String>)>,
}

/// What is alike of two failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    status: Status,
    shapes: BTreeSet<Shape>,
    /// The faulty subject that does the same damage.
    subject: Option<String>,
}

impl CaseLines {
    /// A line for a case that passed or failed as expected, else the failure, an empty line around it. A failure
    /// whose folder was not kept is told in full, as it stands nowhere else.
    pub fn of(&mut self, result: &CaseResult, paint: Paint) -> String {
        if result.status == Status::Pass {
            return format!("{}\n", case_line(result, paint));
        }
        if result.status == Status::Xfail {
            let reason = expected_lines(result, "              ");
            return format!("{}\n{reason}", case_line(result, paint));
        }
        let told = self.told_before(result);
        let text = match &result.bundle {
            Some(bundle) if told.len() >= IN_FULL => in_short(result, bundle, &told),
            Some(_) | None => result.text.clone(),
        };
        format!("\n{}{text}\n", failure_head(result, paint))
    }

    /// The failures of the same kind before this one, which is one more from now on.
    fn told_before(&mut self, result: &CaseResult) -> Vec<String> {
        let findings = result.verdict.findings.iter();
        let kind = Kind {
            status: result.status,
            shapes: findings.map(|finding| finding.shape).collect(),
            subject: result.cause.as_ref().map(|cause| cause.subject.clone()),
        };
        if kind.shapes.is_empty() {
            return Vec::new();
        }
        let known = self.kinds.iter_mut().find(|(known, _)| *known == kind);
        let Some((_, ids)) = known else {
            self.kinds.push((kind, vec![result.id.clone()]));
            return Vec::new();
        };
        let before = ids.clone();
        ids.push(result.id.clone());
        before
    }
}

/// What is a failure's own, and where the rest is.
fn in_short(result: &CaseResult, bundle: &Path, told: &[String]) -> String {
    let mut out = String::new();
    for finding in &result.verdict.findings {
        let text = format!("{} [{}, {}]", finding.headline, finding.shape, finding.rule);
        out.push_str(&format!("\n{}", wrapped(&text, "  ", WIDTH)));
    }
    let cause = match result.cause {
        Some(_) => ", and the same likely cause",
        None => "",
    };
    let first = &told[..told.len().min(IN_FULL)];
    out.push('\n');
    add_field(
        &mut out,
        "Like",
        &format!("{} above: the same shapes{cause}", first.join(", ")),
    );
    add_bundle(&mut out, bundle);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::report::LikelyCause;
    use crate::scenario::expand;

    fn failed(id: &str, shapes: &[Shape], subject: Option<&str>) -> CaseResult {
        let text = format!(
            "id = \"{id}\"\ntitle = \"A promise.\"\nrules = [\"FIFO-9\"]\n[[plan]]\ndo = \"start-logmon\""
        );
        let scenario = expand(&text, "x.toml").unwrap().pop().unwrap();
        let mut result = CaseResult::skipped(&scenario, Status::Fail, "");
        result.skipped = None;
        result.attempts = 3;
        result.bundle = Some(format!("out/{}.bundle", id.replace('/', "-")).into());
        result.text = "\n  the whole text\n".to_owned();
        let findings = shapes.iter().map(|shape| Finding {
            shape: *shape,
            rule: "FIFO-9".parse().unwrap(),
            stream: None,
            headline: "2 records are wrong".to_owned(),
            details: vec!["a detail".to_owned()],
        });
        result.verdict.findings = findings.collect();
        result.cause = subject.map(|subject| LikelyCause {
            text: "a cause".to_owned(),
            subject: subject.to_owned(),
            score: 1.0,
            ways_out: Vec::new(),
        });
        result
    }

    #[test]
    fn the_fourth_failure_of_a_kind_is_told_in_short() {
        let mut lines = CaseLines::default();
        let mut told = |id: &str, shapes: &[Shape], subject| {
            lines.of(&failed(id, shapes, subject), Paint::Plain)
        };
        let repeated = [Shape::Repeated];
        for id in ["mon/a", "mon/b", "mon/c"] {
            assert!(told(id, &repeated, Some("x")).contains("the whole text"));
        }
        assert_eq!(
            told("mon/d", &repeated, Some("x")),
            "
FAIL  mon/d                                       MUST  FIFO-9  0.00 s  3/3 runs
      A promise.

  2 records are wrong [repeated, FIFO-9]

  Like           mon/a, mon/b, mon/c above: the same shapes, and the same likely
                 cause
  Re-run         harness repro out/mon-d.bundle
  Look           harness show out/mon-d.bundle --html

"
        );
        // Another shape more, or another cause, is another kind.
        let both = [Shape::Repeated, Shape::Torn];
        for (shapes, subject) in [
            (&both[..], Some("x")),
            (&repeated, Some("y")),
            (&repeated, None),
        ] {
            assert!(told("mon/e", shapes, subject).contains("the whole text"));
        }
    }

    #[test]
    fn what_was_not_kept_or_has_no_shape_is_told_in_full_each_time() {
        let mut lines = CaseLines::default();
        for shapes in [&[Shape::Repeated][..], &[]] {
            for _ in 0..5 {
                let mut result = failed("mon/a", shapes, None);
                result.bundle = result.bundle.filter(|_| shapes.is_empty());
                assert!(lines.of(&result, Paint::Plain).contains("the whole text"));
            }
        }
    }
}
