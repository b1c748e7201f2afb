//! `harness list`. (edge)

use std::collections::BTreeSet;

use serde::Serialize;

use super::args::ListArgs;
use super::configuration::subject_args;
use super::console;
use super::refusal::Refusal;
use super::run::{scenarios, subject};
use crate::outcome::Ending;
use crate::report;
use crate::rule::{Level, Profile, RuleId};
use crate::suite::{self, Choice, Filter, Selected};

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    title: &'a str,
    level: Level,
    profile: Profile,
    rules: &'a [RuleId],
    tags: &'a [String],
    applicable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_skipped: Option<&'a str>,
}

/// Lists the cases that the filter asks for, whether they apply or not.
pub(super) fn list(args: &ListArgs) -> Result<Ending, Refusal> {
    let subject = subject(&subject_args(args.config.as_deref(), &args.subject)?)?;
    let filter = Filter::new(&args.filter, &[], None, BTreeSet::new())?;
    let all: Vec<_> = scenarios(&args.scenario)?
        .into_iter()
        .filter(|scenario| filter.leaves_out(scenario).is_none())
        .filter(|scenario| args.shard.is_none_or(|shard| shard.holds(&scenario.id)))
        .collect();
    let selected = suite::select(all, &subject, &Filter::default());
    let lines: Vec<Line<'_>> = selected.iter().map(line).collect();
    if args.json {
        let json = serde_json::to_string_pretty(&lines)
            .map_err(|error| Refusal::new(Ending::SuiteBug, error.to_string()))?;
        console::say(&format!("{json}\n"));
    } else {
        for line in &lines {
            let rules: Vec<&str> = line.rules.iter().map(RuleId::as_str).collect();
            let left = format!(
                "{:<44}  {:<6}  {:<9}  ",
                line.id,
                line.level.keyword(),
                line.profile
            );
            console::say(&report::hanging(&left, &rules.join(" "), 80));
            if let (true, Some(why)) = (args.why_skipped, line.why_skipped) {
                console::say(&report::hanging("    not applicable: ", why, 80));
            }
        }
        let applicable = lines.iter().filter(|line| line.applicable).count();
        let count = format!(
            "{} cases, {applicable} applicable to {}",
            lines.len(),
            subject.describe()
        );
        console::say(&report::wrapped(&count, "", 80));
    }
    if lines.is_empty() {
        return Err(Refusal::new(
            Ending::NothingRan,
            "no case matches; globs are compared with ids, families, tags and rules",
        ));
    }
    Ok(Ending::Conformant)
}

fn line(selected: &Selected) -> Line<'_> {
    let scenario = &selected.scenario;
    let why_skipped = match &selected.choice {
        Choice::Run => None,
        Choice::NotApplicable { why } | Choice::Filtered { why } => Some(why.as_str()),
    };
    Line {
        id: &scenario.id,
        title: &scenario.title,
        level: scenario.level,
        profile: scenario.profile,
        rules: &scenario.rules,
        tags: &scenario.tags,
        applicable: why_skipped.is_none(),
        why_skipped,
    }
}
