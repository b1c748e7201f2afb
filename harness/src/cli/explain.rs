//! `harness explain`. (edge)

use super::console;
use super::refusal::Refusal;
use crate::finding::Shape;
use crate::outcome::Ending;
use crate::report;
use crate::rule::{RuleId, Spec};
use crate::scenario::Scenario;
use crate::self_test::{Catch, Kind, Part, catalogue, passing};
use crate::suite;

/// Prints a rule or a case.
pub(super) fn explain(id: &str) -> Result<Ending, Refusal> {
    let spec = Spec::shipped();
    let files = suite::shipped_files()
        .map_err(|error| Refusal::new(Ending::SuiteBug, suite::error_chain(&error)))?;
    let upper = id.to_uppercase();
    if let Some(rule) = upper.parse::<RuleId>().ok().and_then(|id| spec.rule(&id)) {
        console::say(&report::explain_rule(rule, &files));
        return Ok(Ending::Conformant);
    }
    let cases = named(id, &files);
    if let Some(scenario) = cases.first() {
        console::say(&report::explain_case(
            scenario,
            spec,
            &catches(&cases),
            &passed_by(&cases),
        ));
        if cases.len() > 1 {
            let ids: Vec<&str> = cases.iter().map(|one| one.id.as_str()).collect();
            console::say(&format!(
                "\nVariants\n{}",
                report::wrapped(&ids.join(", "), "  ", 80)
            ));
        }
        return Ok(Ending::Conformant);
    }
    let near: Vec<&str> = files
        .iter()
        .flat_map(|(_, cases)| cases)
        .map(|scenario| scenario.id.as_str())
        .filter(|known| known.contains(id) || id.contains(known))
        .take(5)
        .collect();
    let hint = if near.is_empty() {
        "rules look like FIFO-10 and cases like data/smoke; `harness list` names the cases".into()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Err(Refusal::new(
        Ending::Usage,
        format!("no rule and no case is called `{id}`; {hint}"),
    ))
}

/// The case of this id; or else all variants of the file of this name; or else those variants of
/// one file whose ids go on from it.
fn named<'a>(id: &str, files: &'a [(&str, Vec<Scenario>)]) -> Vec<&'a Scenario> {
    let mut all = files.iter().flat_map(|(_, cases)| cases);
    if let Some(exact) = all.find(|one| one.id == id) {
        return vec![exact];
    }
    if let Some((_, cases)) = files.iter().find(|(name, _)| *name == id) {
        return cases.iter().collect();
    }
    let longer = format!("{id}-");
    files
        .iter()
        .filter(|(name, _)| longer.starts_with(&format!("{name}-")))
        .map(|(_, cases)| -> Vec<&Scenario> {
            cases
                .iter()
                .filter(|one| one.id.starts_with(&longer))
                .collect()
        })
        .find(|cases| !cases.is_empty())
        .unwrap_or_default()
}

/// The faulty subjects that these cases are there to catch.
fn catches(cases: &[&Scenario]) -> Vec<(String, Shape)> {
    catalogue()
        .into_iter()
        .filter_map(|known| match known.kind {
            Kind::Faulty(Catch { case, shape }) if cases.iter().any(|one| one.id == case) => {
                Some((format!("{} `{}`", known.part.as_str(), known.name), shape))
            }
            Kind::Faulty(_) | Kind::Good { .. } => None,
        })
        .collect()
}

/// The good subjects that pass all of these cases.
fn passed_by(cases: &[&Scenario]) -> Vec<String> {
    let [first, rest @ ..] = cases else {
        return Vec::new();
    };
    let mut named = Vec::new();
    for part in [Part::Driver, Part::Logmon] {
        let mut all = passing(first, part);
        for case in rest {
            let others = passing(case, part);
            all.retain(|one| others.contains(one));
        }
        named.extend(
            all.iter()
                .map(|one| format!("{} `{}`", part.as_str(), one.name)),
        );
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(id: &str) -> Vec<String> {
        let files = suite::shipped_files().unwrap();
        named(id, &files)
            .into_iter()
            .map(|one| one.id.clone())
            .collect()
    }

    #[test]
    fn an_exact_id_names_that_case_alone() {
        assert_eq!(ids("life/stop"), ["life/stop"]);
        let variant = ids("mon/restart").pop().unwrap();
        assert_eq!(ids(&variant), [variant]);
    }

    #[test]
    fn a_files_name_names_its_own_variants_and_no_other_files() {
        let variants = ids("mon/restart");
        assert!(variants.len() > 1);
        assert!(
            !variants.iter().any(|id| id.contains("restart-writing")),
            "{variants:?}"
        );
        assert!(ids("mon/restart-writing").len() > 1);
        assert!(ids("fifo").is_empty());
    }

    #[test]
    fn the_beginning_of_variants_names_those() {
        let all = ids("mon/restart");
        let first = all[0].rsplit_once('-').unwrap().0;
        let some = ids(first);
        assert!(!some.is_empty() && some.len() < all.len());
        assert!(some.iter().all(|id| id.starts_with(first)));
    }
}
