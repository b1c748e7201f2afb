//! Cases that an earlier run played and this one did not. (core)

use serde::{Deserialize, Serialize};

use crate::suite::CaseResult;

/// A case that was played before and not now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fewer {
    /// The case's id.
    pub case: String,
    /// Why it was not played, as a clause.
    pub why: String,
}

/// The cases of `before` that were not played `now`, in the order of `before`, each with its reason.
#[must_use]
pub fn fewer(before: &[String], now: &[CaseResult]) -> Vec<Fewer> {
    let missing = |case: &String| {
        let result = now.iter().find(|result| result.id == *case);
        let why = match result {
            Some(result) if result.status.has_run() => return None,
            Some(result) => result.skipped.as_ref().map_or("", |skip| &skip.why),
            None => "there is no such case any more",
        };
        Some(Fewer {
            case: case.clone(),
            why: why.to_owned(),
        })
    };
    before.iter().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Status;
    use crate::scenario::expand;

    fn result(id: &str, status: Status) -> CaseResult {
        let text = format!(
            "id = \"{id}\"\ntitle = \"A promise.\"\nrules = [\"HEAL-1\"]\n[[plan]]\ndo = \"start-logmon\""
        );
        let scenario = expand(&text, "x.toml").unwrap().pop().unwrap();
        let mut result = CaseResult::skipped(&scenario, status, "the driver does not declare it");
        if status.has_run() {
            result.skipped = None;
        }
        result
    }

    #[test]
    fn a_case_that_fails_is_played_and_one_that_is_skipped_or_gone_is_not() {
        let before = ["heal/a", "heal/b", "heal/c", "heal/d"].map(str::to_owned);
        let now = [
            result("heal/a", Status::Pass),
            result("heal/b", Status::Fail),
            result("heal/c", Status::SkippedCapability),
            result("heal/new", Status::Pass),
        ];
        let missing: Vec<String> = fewer(&before, &now)
            .into_iter()
            .map(|one| format!("{}: {}", one.case, one.why))
            .collect();
        assert_eq!(
            missing,
            [
                "heal/c: the driver does not declare it",
                "heal/d: there is no such case any more"
            ]
        );
        assert_eq!(fewer(&[], &now), []);
    }
}
