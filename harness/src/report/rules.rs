//! A rule or a case, explained. (core)

use crate::finding::Shape;
use crate::report::words::cut;
use crate::report::{plan_words, wrapped};
use crate::rule::{Role, Rule, Spec};
use crate::scenario::{Need, Scenario};

const WIDTH: usize = 80;

/// A rule: what it says, why, what was seen, and the cases that check it.
#[must_use]
pub fn explain_rule(rule: &Rule, scenarios: &[Scenario]) -> String {
    let who: Vec<&str> = rule.who.iter().map(|role: &Role| role.as_str()).collect();
    let mut out = format!("{}  {}\n", rule.id, rule.title);
    out.push_str(&format!(
        "{}, profile {}, kept by the {}{}\n",
        rule.level.keyword(),
        rule.profile,
        who.join(" and the "),
        rule.capability
            .as_ref()
            .map(|capability| format!(", if it declares {capability}"))
            .unwrap_or_default()
    ));
    add_part(&mut out, "Rule", &rule.text);
    add_part(&mut out, "Why", &rule.why);
    add_part(&mut out, "Seen", &rule.seen);
    if let Some(reason) = &rule.untestable {
        add_part(&mut out, "Not tested from outside", reason);
    }
    let cases: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| scenario.rules.contains(&rule.id))
        .collect();
    out.push_str("\nChecked by\n");
    if cases.is_empty() {
        out.push_str("  no case yet\n");
    }
    for scenario in cases {
        let line = format!("  {:<34}  {}", scenario.id, scenario.title);
        out.push_str(&cut(&line, WIDTH));
        out.push('\n');
    }
    out
}

/// A case: its promise, its rules, the plan in words, and the faulty subjects that it is there to
/// catch, each with the shape of its damage.
#[must_use]
pub fn explain_case(scenario: &Scenario, spec: &Spec, catches: &[(String, Shape)]) -> String {
    let mut out = format!("{}\n{}", scenario.id, wrapped(&scenario.title, "", WIDTH));
    out.push_str(&format!(
        "{}, profile {}",
        scenario.level.keyword(),
        scenario.profile
    ));
    if !scenario.tags.is_empty() {
        out.push_str(&format!(", tags {}", scenario.tags.join(", ")));
    }
    out.push('\n');
    out.push_str("\nChecks\n");
    for id in &scenario.rules {
        let title = spec.rule(id).map_or("unknown", |rule| rule.title.as_str());
        out.push_str(&format!("  {id:<9} {title}\n"));
    }
    let needs: Vec<&str> = scenario
        .needs
        .iter()
        .map(|need| match need {
            Need::Always(capability) | Need::Sometimes { capability, .. } => capability.as_str(),
        })
        .collect();
    if !needs.is_empty() {
        out.push_str(&format!(
            "\nNeeds\n  the driver to declare {}\n",
            needs.join(", ")
        ));
    }
    let limits = &scenario.limits;
    out.push_str(&format!(
        "\nLimits\n  {} files of {} per stream, lines up to {} in one piece\n",
        limits.max_files,
        super::bytes(limits.max_file_bytes.0),
        super::bytes(limits.line_guard.0)
    ));
    out.push_str("\nPlan\n");
    for line in plan_words(&scenario.plan) {
        let depth = line.len() - line.trim_start().len();
        let indent = " ".repeat(depth + 2);
        let rest = " ".repeat(depth + 5);
        // The first line stands under its number, the others under its text.
        let text = wrapped(line.trim_start(), &rest, WIDTH);
        out.push_str(&format!("{indent}{}", text.trim_start()));
    }
    if !catches.is_empty() {
        out.push_str("\nCatches the faulty subjects\n");
    }
    for (name, shape) in catches {
        out.push_str(&format!("  {name:<38}  as {shape}\n"));
    }
    out
}

fn add_part(out: &mut String, title: &str, text: &str) {
    out.push_str(&format!("\n{title}\n"));
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&wrapped(&paragraph.replace('\n', " "), "  ", WIDTH));
    }
}
