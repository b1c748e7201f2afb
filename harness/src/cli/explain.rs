//! `harness explain`. (edge)

use super::console;
use super::refusal::Refusal;
use super::run::scenarios;
use crate::finding::Shape;
use crate::outcome::Ending;
use crate::report;
use crate::rule::{RuleId, Spec};
use crate::scenario::Scenario;
use crate::self_test::{Catch, Kind, catalogue};

/// Prints a rule or a case.
pub(super) fn explain(id: &str) -> Result<Ending, Refusal> {
    let spec = Spec::shipped();
    let scenarios = scenarios(&[])?;
    let upper = id.to_uppercase();
    if let Some(rule) = upper.parse::<RuleId>().ok().and_then(|id| spec.rule(&id)) {
        console::say(&report::explain_rule(rule, &scenarios));
        return Ok(Ending::Conformant);
    }
    let family = format!("{id}-");
    let cases: Vec<_> = scenarios
        .iter()
        .filter(|one| one.id == id || one.id.starts_with(&family))
        .collect();
    if let Some(scenario) = cases.first() {
        console::say(&report::explain_case(scenario, spec, &catches(&cases)));
        if cases.len() > 1 {
            let ids: Vec<&str> = cases.iter().map(|one| one.id.as_str()).collect();
            console::say(&format!(
                "\nVariants\n{}",
                report::wrapped(&ids.join(", "), "  ", 80)
            ));
        }
        return Ok(Ending::Conformant);
    }
    let near: Vec<&str> = scenarios
        .iter()
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
