//! A rule or a case, explained. (core)

use crate::capability::{Capability, Declarer};
use crate::finding::Shape;
use crate::report::words::cut;
use crate::report::{hanging, plan_words, wrapped};
use crate::rule::{Role, Rule, Spec};
use crate::scenario::{Need, Scenario};

const WIDTH: usize = 80;

/// A rule: what it says, why, what was seen, and the cases that check it, a line per file. `files`
/// are the files' names with their cases.
#[must_use]
pub fn explain_rule(rule: &Rule, files: &[(&str, Vec<Scenario>)]) -> String {
    let who: Vec<&str> = rule.who.iter().map(|role: &Role| role.as_str()).collect();
    let mut out = hanging(&format!("{}  ", rule.id), &rule.title, WIDTH);
    let facts = format!(
        "{}, profile {}, kept by the {}{}",
        rule.level.keyword(),
        rule.profile,
        who.join(" and the "),
        rule.capability
            .as_ref()
            .map(|capability| format!(", if it declares {capability}"))
            .unwrap_or_default()
    );
    out.push_str(&wrapped(&facts, "", WIDTH));
    add_part(&mut out, "Rule", &rule.text);
    add_part(&mut out, "Why", &rule.why);
    add_part(&mut out, "Seen", &rule.seen);
    if let Some(reason) = &rule.untestable {
        add_part(&mut out, "Not tested from outside", reason);
    }
    out.push_str("\nChecked by\n");
    let before = out.len();
    for (name, cases) in files {
        let checking: Vec<&Scenario> = cases
            .iter()
            .filter(|scenario| scenario.rules.contains(&rule.id))
            .collect();
        let line = match checking.as_slice() {
            [] => continue,
            [one] => format!("  {:<34}  {}", one.id, one.title),
            [_, ..] => format!("  {name:<34}  {} variants", checking.len()),
        };
        out.push_str(&cut(&line, WIDTH));
        out.push('\n');
    }
    if out.len() == before {
        out.push_str("  no case yet\n");
    }
    out
}

/// A case: its promise, its rules, the plan in words, and the faulty subjects that it is there to
/// catch, each with the shape of its damage; and the good ones that pass it.
#[must_use]
pub fn explain_case(
    scenario: &Scenario,
    spec: &Spec,
    catches: &[(String, Shape)],
    passed_by: &[String],
) -> String {
    let mut out = format!("{}\n{}", scenario.id, wrapped(&scenario.title, "", WIDTH));
    let mut facts = format!("{}, profile {}", scenario.level.keyword(), scenario.profile);
    if !scenario.tags.is_empty() {
        facts.push_str(&format!(", tags {}", scenario.tags.join(", ")));
    }
    out.push_str(&wrapped(&facts, "", WIDTH));
    out.push_str("\nChecks\n");
    for id in &scenario.rules {
        let title = spec.rule(id).map_or("unknown", |rule| rule.title.as_str());
        out.push_str(&hanging(&format!("  {id:<9} "), title, WIDTH));
    }
    if let Some(needs) = needs(scenario) {
        add_part(&mut out, "Needs", &needs);
    }
    if let Some(many) = scenario.many {
        let mut text = format!("{} in one logmon", super::grouped(u64::from(many.tasks)));
        if let Some(descriptors) = many.descriptors {
            text.push_str(&format!(
                ", which may have {} descriptors",
                super::grouped(descriptors)
            ));
        }
        add_part(&mut out, "Tasks", &text);
    }
    let limits = &scenario.limits;
    let limits = format!(
        "{} files of {} per stream, lines up to {} in one piece",
        limits.max_files,
        super::bytes(limits.max_file_bytes.0),
        super::bytes(limits.line_guard.0)
    );
    add_part(&mut out, "Limits", &limits);
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
        out.push_str(&hanging(
            &format!("  {name:<38}  "),
            &format!("as {shape}"),
            WIDTH,
        ));
    }
    if !passed_by.is_empty() {
        out.push_str("\nPassed by the good subjects\n");
        out.push_str(&wrapped(&passed_by.join(", "), "  ", WIDTH));
    }
    out
}

/// Who must declare or allow what; none if nobody must.
fn needs(scenario: &Scenario) -> Option<String> {
    let mut clauses: Vec<(Declarer, Vec<&str>)> = Vec::new();
    for need in &scenario.needs {
        let (Need::Always(name)
        | Need::Sometimes {
            capability: name, ..
        }) = need;
        // A scenario with a name that is none has been refused.
        let who = name.parse::<Capability>().ok()?.declarer();
        match clauses.iter_mut().find(|(one, _)| *one == who) {
            Some((_, names)) => names.push(name),
            None => clauses.push((who, vec![name])),
        }
    }
    let clause = |(who, names): (Declarer, Vec<&str>)| {
        let who = match who {
            Declarer::Driver => "the driver to declare",
            Declarer::Logmon => "logmon to declare",
            Declarer::Machine => "a machine that allows",
        };
        format!("{who} {}", names.join(", "))
    };
    let clauses: Vec<String> = clauses.into_iter().map(clause).collect();
    (!clauses.is_empty()).then(|| clauses.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn whoever_must_declare_or_allow_what_a_case_needs_is_named() {
        let cases = suite::shipped_scenarios().unwrap();
        let needs = |id: &str| needs(cases.iter().find(|case| case.id == id).unwrap());
        assert_eq!(
            needs("cost/thousand-tasks").unwrap(),
            "logmon to declare many-tasks; a machine that allows many-descriptors"
        );
        assert_eq!(needs("life/stop").unwrap(), "the driver to declare signals");
        assert_eq!(needs("cost/idle"), None);
    }

    #[test]
    fn explanations_fit_in_80_columns_and_a_rule_has_a_line_per_file() {
        let files = suite::shipped_files().unwrap();
        let spec = Spec::shipped();
        let mut texts = Vec::new();
        for (name, cases) in &files {
            for case in cases {
                texts.push(explain_case(case, spec, &[], &["driver `mock-run`".into()]));
                for rule in case.rules.iter().filter_map(|id| spec.rule(id)) {
                    let text = explain_rule(rule, &files);
                    let rows = text
                        .lines()
                        .filter(|line| {
                            line.strip_prefix("  ")
                                .and_then(|rest| rest.split_whitespace().next())
                                .is_some_and(|word| word == *name || word == case.id)
                        })
                        .count();
                    assert_eq!(rows, 1, "{name} in\n{text}");
                    texts.push(text);
                }
            }
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
