//! The rules that findings name. (core)

use crate::rule::RuleId;
use crate::scenario::Scenario;

/// Declares the rules that the judge names, and the list that a test compares with SPEC.md.
macro_rules! rules {
    ($($constant:ident = $id:literal),+ $(,)?) => {
        $(pub(super) const $constant: &str = $id;)+
        #[cfg(test)]
        const ALL: &[&str] = &[$($id),+];
    };
}

rules! {
    FIFO_1 = "FIFO-1",
    FIFO_2 = "FIFO-2",
    FIFO_3 = "FIFO-3",
    FIFO_5 = "FIFO-5",
    FIFO_6 = "FIFO-6",
    FIFO_7 = "FIFO-7",
    FIFO_8 = "FIFO-8",
    FIFO_10 = "FIFO-10",
    FIFO_11 = "FIFO-11",
    FIFO_12 = "FIFO-12",
    LIFE_4 = "LIFE-4",
    LIFE_5 = "LIFE-5",
    LIFE_6 = "LIFE-6",
    LIFE_7 = "LIFE-7",
    LIFE_8 = "LIFE-8",
    LIFE_9 = "LIFE-9",
    LIFE_10 = "LIFE-10",
    LIFE_11 = "LIFE-11",
    LIFE_12 = "LIFE-12",
    DATA_1 = "DATA-1",
    DATA_2 = "DATA-2",
    DATA_3 = "DATA-3",
    DATA_4 = "DATA-4",
    DATA_5 = "DATA-5",
    DATA_6 = "DATA-6",
    MON_1 = "MON-1",
    MON_2 = "MON-2",
    MON_5 = "MON-5",
    MON_6 = "MON-6",
    MON_7 = "MON-7",
    MON_4 = "MON-4",
    MON_9 = "MON-9",
    MON_10 = "MON-10",
    MON_11 = "MON-11",
    MON_13 = "MON-13",
    ROT_1 = "ROT-1",
    ROT_2 = "ROT-2",
    ROT_3 = "ROT-3",
    ROT_5 = "ROT-5",
    ROT_6 = "ROT-6",
    HEAL_2 = "HEAL-2",
    HEAL_5 = "HEAL-5",
    HEAL_7 = "HEAL-7",
    SEC_2 = "SEC-2",
    SEC_3 = "SEC-3",
    SEC_4 = "SEC-4",
    SEC_5 = "SEC-5",
    COST_1 = "COST-1",
    COST_2 = "COST-2",
    COST_3 = "COST-3",
}

/// The rule of this id.
pub(super) fn named(id: &'static str) -> RuleId {
    id.parse().expect("a test parses every id of this module")
}

/// The scenario's first rule; DATA-1 for a scenario without any.
pub(super) fn first(scenario: &Scenario) -> RuleId {
    scenario
        .rules
        .first()
        .cloned()
        .unwrap_or_else(|| named(DATA_1))
}

/// The natural rule if the scenario checks it, else the scenario's first.
pub(super) fn if_checked(scenario: &Scenario, natural: &'static str) -> RuleId {
    let natural = named(natural);
    if scenario.rules.contains(&natural) {
        natural
    } else {
        first(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Spec;

    #[test]
    fn every_rule_that_the_judge_names_stands_in_the_specification() {
        for id in ALL {
            assert!(Spec::shipped().rule(&named(id)).is_some(), "{id}");
        }
    }
}
