//! What came of a sweep, in words. (core)

use crate::report::{grouped, hanging};
use crate::suite::SweptCase;

/// A line or two for each case of a sweep; a command stands on one line, so that it can be copied.
pub(super) fn swept_lines(cases: &[SweptCase]) -> String {
    cases.iter().map(lines).collect()
}

fn lines(case: &SweptCase) -> String {
    let which = match case.every {
        1 => "each".to_owned(),
        every => format!("one in {}, the first and the last", grouped(every)),
    };
    let cut_short = match case.points.len() - case.played.min(case.points.len()) {
        0 => String::new(),
        left => format!("; {} were not played", grouped(left as u64)),
    };
    let came = match case.first_failure {
        None if case.played == 0 => String::new(),
        None => "; all passed".to_owned(),
        Some(record) => format!("; the first that did not pass is {}", grouped(record)),
    };
    let text = format!(
        "{}: logmon killed behind {} of {} records ({which}){cut_short}{came}",
        case.case,
        grouped(case.played as u64),
        grouped(case.records),
    );
    let mut out = hanging("sweep         ", &text, 80);
    if let Some(repro) = &case.repro {
        out.push_str(&format!("              {repro}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> SweptCase {
        SweptCase {
            case: "data/smoke".into(),
            records: 2000,
            every: 1000,
            points: vec![1, 1000, 2000],
            played: 3,
            first_failure: None,
            repro: None,
        }
    }

    #[test]
    fn how_many_points_were_tried_and_how_far_they_lie_apart_is_always_told() {
        assert_eq!(
            swept_lines(&[case()]),
            "sweep         data/smoke: logmon killed behind 3 of 2,000 records (one in 1,000,\n\
             \x20             the first and the last); all passed\n"
        );
        let each = SweptCase {
            every: 1,
            records: 3,
            points: vec![1, 2, 3],
            ..case()
        };
        assert!(swept_lines(&[each]).contains("3 of 3 records (each); all passed"));
        let short = SweptCase {
            played: 0,
            ..case()
        };
        assert!(swept_lines(&[short]).ends_with("; 3 were not played\n"));
    }

    #[test]
    fn the_first_failure_is_told_with_its_command_on_a_line_of_its_own() {
        let failed = SweptCase {
            first_failure: Some(1000),
            repro: Some("harness repro out/a.bundle".into()),
            ..case()
        };
        let text = swept_lines(&[failed]);
        let end = "the first that did not pass is 1,000\n\
                   \x20             harness repro out/a.bundle\n";
        assert!(text.ends_with(end), "{text}");
    }
}
