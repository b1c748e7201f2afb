//! Which cases apply to a subject, and which of them were asked for. (core)

use std::collections::{BTreeMap, BTreeSet};

use globset::{Glob, GlobMatcher};

use crate::capability::Declarer;
use crate::rule::{Level, Profile, Role};
use crate::scenario::Scenario;
use crate::suite::{ANOTHER_SHARD, Shard, Subject};

/// What of the applicable cases was asked for. The default asks for all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    level: Option<Level>,
    profiles: BTreeSet<Profile>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

/// A pattern that is no glob.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a glob; use *, ?, [a-z] and {{one,two}}, for instance 'mon/*'")]
pub struct FilterError {
    text: String,
    source: globset::Error,
}

impl Filter {
    /// A filter by globs, level and profiles. Each glob is compared with the id, the family, the
    /// tags and the rules of a case. `level` `must` leaves out SHOULD cases. No profile means all.
    ///
    /// # Errors
    /// The first text that is no glob.
    pub fn new(
        include: &[String],
        exclude: &[String],
        level: Option<Level>,
        profiles: BTreeSet<Profile>,
    ) -> Result<Self, FilterError> {
        let patterns = |texts: &[String]| -> Result<Vec<Pattern>, FilterError> {
            texts.iter().map(|text| Pattern::new(text)).collect()
        };
        Ok(Self {
            include: patterns(include)?,
            exclude: patterns(exclude)?,
            level,
            profiles,
        })
    }

    /// Whether everything is asked for.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.include.is_empty()
            && self.exclude.is_empty()
            && self.level != Some(Level::Must)
            && (self.profiles.is_empty() || self.profiles.len() == Profile::ALL.len())
    }

    /// Why a case is left out; none if it is asked for.
    #[must_use]
    pub fn leaves_out(&self, scenario: &Scenario) -> Option<String> {
        if !self.include.is_empty() && !self.include.iter().any(|one| one.matches(scenario)) {
            return Some("no --filter matches it".to_owned());
        }
        if let Some(pattern) = self.exclude.iter().find(|one| one.matches(scenario)) {
            return Some(format!("--exclude {} matches it", pattern.text));
        }
        if self.level == Some(Level::Must) && scenario.level == Level::Should {
            return Some("it is a SHOULD, and --level must was given".to_owned());
        }
        if !self.profiles.is_empty() && !self.profiles.contains(&scenario.profile) {
            return Some(format!(
                "its profile is {}, which --profile leaves out",
                scenario.profile
            ));
        }
        None
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, FilterError> {
        let glob = Glob::new(text).map_err(|source| FilterError {
            text: text.to_owned(),
            source,
        })?;
        Ok(Self {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
        })
    }

    fn matches(&self, scenario: &Scenario) -> bool {
        let family = scenario.id.split('/').next().unwrap_or_default();
        self.matcher.is_match(&scenario.id)
            || self.matcher.is_match(family)
            || scenario.tags.iter().any(|tag| self.matcher.is_match(tag))
            || scenario
                .rules
                .iter()
                .any(|rule| self.matcher.is_match(rule.as_str()))
    }
}

/// What is to be done with a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is played.
    Run,
    /// It does not apply to the subject.
    NotApplicable {
        /// Why, as a clause: `the driver does not declare forwards`.
        why: String,
    },
    /// It applies and was not asked for.
    Filtered {
        /// Why, as a clause.
        why: String,
    },
}

/// A case and what is to be done with it.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The case.
    pub scenario: Scenario,
    /// What is to be done with it.
    pub choice: Choice,
}

/// Decides for each case, in the given order.
#[must_use]
pub fn select(scenarios: Vec<Scenario>, subject: &Subject, filter: &Filter) -> Vec<Selected> {
    scenarios
        .into_iter()
        .map(|scenario| {
            let choice = choose(&scenario, subject, filter);
            Selected { scenario, choice }
        })
        .collect()
}

/// Leaves what would be played to another shard where it belongs to one.
#[must_use]
pub fn of_shard(selected: Vec<Selected>, shard: Shard) -> Vec<Selected> {
    let leave = |mut one: Selected| {
        if one.choice == Choice::Run && !shard.holds(&one.scenario.id) {
            one.choice = Choice::Filtered {
                why: ANOTHER_SHARD.to_owned(),
            };
        }
        one
    };
    selected.into_iter().map(leave).collect()
}

/// Decides for one case.
#[must_use]
pub fn choose(scenario: &Scenario, subject: &Subject, filter: &Filter) -> Choice {
    match not_applicable(scenario, subject) {
        Some(why) => Choice::NotApplicable { why },
        None => match filter.leaves_out(scenario) {
            Some(why) => Choice::Filtered { why },
            None => Choice::Run,
        },
    }
}

fn not_applicable(scenario: &Scenario, subject: &Subject) -> Option<String> {
    let roles = scenario.roles();
    if roles.is_disjoint(&subject.under_test) {
        let judged: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        return Some(format!("it judges only the {}", judged.join(" and the ")));
    }
    if scenario.many.is_some() && !subject.under_test.contains(&Role::Logmon) {
        // No driver has a part in it.
        return Some("it judges only the logmon".into());
    }
    let mut missing: BTreeMap<Declarer, Vec<&str>> = BTreeMap::new();
    for need in scenario.needs() {
        if !subject.can(need) {
            missing
                .entry(need.declarer())
                .or_default()
                .push(need.as_str());
        }
    }
    let clauses: Vec<String> = missing
        .into_iter()
        .map(|(who, names)| {
            let who = match who {
                Declarer::Driver => "the driver does not declare",
                Declarer::Logmon => "logmon does not declare",
                Declarer::Machine => "this machine does not allow",
            };
            format!("{who} {}", names.join(", "))
        })
        .collect();
    (!clauses.is_empty()).then(|| clauses.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;

    fn why(needs: &str) -> Option<String> {
        let text = format!(
            "id = \"heal/x\"\ntitle = \"A promise.\"\nrules = [\"HEAL-1\"]\nneeds = [{needs}]\n[[plan]]\ndo = \"start-logmon\""
        );
        let scenario = expand(&text, "x.toml").unwrap().pop().unwrap();
        let subject = Subject::from_templates(Some("drv {task}"), Some("mon"), &BTreeSet::new());
        not_applicable(&scenario, &subject.unwrap())
    }

    #[test]
    fn whoever_lacks_a_capability_is_named_with_it() {
        assert_eq!(why(""), None);
        assert_eq!(why("\"signals\""), None);
        assert_eq!(
            why("\"merged\", \"recover\"").unwrap(),
            "the driver does not declare merged, recover"
        );
        assert_eq!(
            why("\"storage-faults\"").unwrap(),
            "this machine does not allow storage-faults"
        );
        assert_eq!(
            why("\"storage-faults\", \"keeps-descriptors\"").unwrap(),
            "logmon does not declare keeps-descriptors and this machine does not allow storage-faults"
        );
    }
}
