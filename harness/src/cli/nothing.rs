//! Why a run plays nothing, and what to do about it. (core)

use std::collections::BTreeSet;

use crate::suite::{ANOTHER_SHARD, CANT_SWEEP, Choice, Selected};

/// What is said where no case is left: how many of those that apply are left out by what, and the way out of the
/// reason that the others don't outlast.
pub(super) fn nothing_ran(selected: &[Selected]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;

    fn of(reasons: &[&str]) -> String {
        let text = "id = \"heal/x\"\ntitle = \"A promise.\"\nrules = [\"HEAL-1\"]\n[[plan]]\ndo = \"start-logmon\"";
        let scenario = expand(text, "x.toml").unwrap().pop().unwrap();
        let one = |why: &&str| Selected {
            scenario: scenario.clone(),
            choice: Choice::Filtered {
                why: (*why).to_owned(),
            },
        };
        nothing_ran(&reasons.iter().map(one).collect::<Vec<_>>())
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
