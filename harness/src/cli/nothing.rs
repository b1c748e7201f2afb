//! Why a run plays nothing, and what to do about it. (core)

use std::collections::BTreeSet;

use crate::suite::{ANOTHER_SHARD, CANT_SWEEP, Choice, Filter, Selected};

/// What is said where no case is left: the cases that were asked for and don't apply; else how many of those that
/// apply are left out by what, and the way out of the reason that the others don't outlast.
pub(super) fn nothing_ran(selected: &[Selected], filter: &Filter) -> String {
    if !filter.is_all()
        && let Some(text) = asked_in_vain(selected, filter)
    {
        return text;
    }
    let reasons: Vec<&str> = selected
        .iter()
        .filter_map(|one| match &one.choice {
            Choice::Filtered { why } => Some(why.as_str()),
            Choice::Run | Choice::NotApplicable { .. } => None,
        })
        .collect();
    if reasons.is_empty() {
        return "no case applies to this subject; `harness list --why-skipped` says why".to_owned();
    }
    let swept_not: Vec<&str> = reasons
        .iter()
        .filter_map(|why| why.strip_prefix(CANT_SWEEP))
        .collect();
    let elsewhere = reasons.iter().filter(|why| **why == ANOTHER_SHARD).count();
    let filtered = reasons.len() - swept_not.len() - elsewhere;
    let mut parts = Vec::new();
    if filtered > 0 {
        parts.push(format!("{filtered} filtered out"));
    }
    if elsewhere > 0 {
        parts.push(format!("{elsewhere} in other shards"));
    }
    if !swept_not.is_empty() {
        let whys: BTreeSet<&str> = swept_not.iter().copied().collect();
        let why = match whys.iter().next() {
            Some(why) if whys.len() == 1 => why,
            Some(_) | None => "",
        };
        parts.push(format!(
            "{} that --sweep can't kill logmon in{why}",
            swept_not.len()
        ));
    }
    let way_out = if !swept_not.is_empty() {
        "--sweep wants cases whose task writes records, without a kill, a stop or a fault of their own: \
         name some with --filter, for instance data/smoke"
    } else if elsewhere > 0 {
        "`harness report merge` takes this shard as it takes the others"
    } else {
        "`harness list` shows the ids, families, tags and rules that --filter and --exclude compare with"
    };
    format!(
        "no case is left of {} that apply: {}; {way_out}",
        reasons.len(),
        parts.join(", ")
    )
}

/// The cases that the filter asks for, if there are some and none of them applies to the subject.
fn asked_in_vain(selected: &[Selected], filter: &Filter) -> Option<String> {
    let is_asked = |one: &&Selected| filter.leaves_out(&one.scenario).is_none();
    let inapplicable = |one: &Selected| match &one.choice {
        Choice::NotApplicable { why } => Some((one.scenario.id.clone(), why.clone())),
        Choice::Run | Choice::Filtered { .. } => None,
    };
    let asked: Option<Vec<(String, String)>> =
        selected.iter().filter(is_asked).map(inapplicable).collect();
    match asked?.as_slice() {
        [] => None,
        [(id, why)] => Some(format!("{id} does not apply: {why}{WAY_OUT}")),
        [(id, why), rest @ ..] => Some(format!(
            "none of the {} cases that were asked for applies, {id} for instance because {why}{WAY_OUT}",
            rest.len() + 1
        )),
    }
}

/// Where to read about capabilities.
const WAY_OUT: &str = "; `harness list --why-skipped` says it of each, and --capability of `harness run --help` how \
                       a subject declares what it can do";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;

    fn selected(id: &str, choice: Choice) -> Selected {
        let text = format!(
            "id = \"{id}\"\ntitle = \"A promise.\"\nrules = [\"HEAL-1\"]\n[[plan]]\ndo = \"start-logmon\""
        );
        let scenario = expand(&text, "x.toml").unwrap().pop().unwrap();
        Selected { scenario, choice }
    }

    #[test]
    fn what_was_asked_for_and_does_not_apply_is_told_with_its_reason() {
        let lacking = |id| {
            let why = "the driver does not declare forwards".to_owned();
            selected(id, Choice::NotApplicable { why })
        };
        let other = |id| {
            let why = "no --filter matches it".to_owned();
            selected(id, Choice::Filtered { why })
        };
        let asking =
            |glob: &str| Filter::new(&[glob.to_owned()], &[], None, BTreeSet::new()).unwrap();
        let all = [lacking("heal/a"), lacking("heal/b"), other("mon/c")];
        let text = nothing_ran(&all, &asking("heal/a"));
        assert!(
            text.starts_with(
                "heal/a does not apply: the driver does not declare forwards; `harness"
            ),
            "{text}"
        );
        let text = nothing_ran(&all, &asking("heal/*"));
        assert!(
            text.starts_with(
                "none of the 2 cases that were asked for applies, heal/a for instance"
            ),
            "{text}"
        );
        // What nothing matches is another matter, and so is a case that applies and is in another shard.
        assert!(nothing_ran(&all, &asking("data/*")).starts_with("no case is left of 1"));
        let why = ANOTHER_SHARD.to_owned();
        let all = [
            lacking("heal/a"),
            selected("heal/b", Choice::Filtered { why }),
        ];
        assert!(nothing_ran(&all, &asking("heal/*")).contains("in other shards"));
    }

    fn of(reasons: &[&str]) -> String {
        let one = |why: &&str| {
            let why = (*why).to_owned();
            selected("heal/x", Choice::Filtered { why })
        };
        nothing_ran(
            &reasons.iter().map(one).collect::<Vec<_>>(),
            &Filter::default(),
        )
    }

    #[test]
    fn each_reason_is_counted_and_its_own_way_out_is_told() {
        assert!(of(&[]).starts_with("no case applies to this subject"));
        let filter = "no --filter matches it";
        let text = of(&[filter, "--exclude x matches it"]);
        assert!(
            text.starts_with("no case is left of 2 that apply: 2 filtered out; `harness list`")
        );
        let text = of(&[filter, ANOTHER_SHARD]);
        assert!(
            text.contains("1 filtered out, 1 in other shards; `harness report merge`"),
            "{text}"
        );
        assert!(!text.contains("--filter"), "{text}");
        let unswept = format!("{CANT_SWEEP}: its plan has one");
        let text = of(&[filter, &unswept]);
        assert!(
            text.contains("1 that --sweep can't kill logmon in: its plan has one; --sweep wants"),
            "{text}"
        );
        let other = format!("{CANT_SWEEP}: it is short");
        assert!(
            of(&[&unswept, &other]).contains("2 that --sweep can't kill logmon in; --sweep wants")
        );
    }
}
