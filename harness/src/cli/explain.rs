//! `harness explain`. (edge)

use super::console;
use super::refusal::Refusal;
use super::run::scenarios;
use crate::outcome::Ending;
use crate::report;
use crate::rule::{RuleId, Spec};

/// Prints a rule or a case.
pub(super) fn explain(id: &str) -> Result<Ending, Refusal> {
    let spec = Spec::shipped();
    let scenarios = scenarios(&[])?;
    let upper = id.to_uppercase();
    if let Some(rule) = upper.parse::<RuleId>().ok().and_then(|id| spec.rule(&id)) {
        console::say(&report::explain_rule(rule, &scenarios));
        return Ok(Ending::Conformant);
    }
    if let Some(scenario) = scenarios.iter().find(|scenario| scenario.id == id) {
        console::say(&report::explain_case(scenario, spec));
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
    Err(Refusal::new(Ending::Usage, format!("no rule and no case is called `{id}`; {hint}")))
}
