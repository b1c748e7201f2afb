//! Tests of the contract's parser and of the contract itself.

use super::*;

/// A specification that fits the form, with one rule in each family.
fn smallest() -> String {
    let mut text = String::from("# Contract\n\nProse.\n\n## Terms\n\n- a list is fine here\n");
    for family in Family::ALL {
        text.push_str(&format!(
            "\n## {family}: Name\n\nProse of a family.\n{}",
            rule(&format!("{family}-1"))
        ));
    }
    text
}

fn rule(id: &str) -> String {
    format!(
        "\n### {id}: A title\n\n- who: driver\n- level: MUST\n- profile: base\n\n\
         The rule.\n\n**Why.** A reason.\n\n**Seen.** A failure.\n"
    )
}

/// The message for the smallest text after `from` was replaced once by `to`.
fn complaint(from: &str, to: &str) -> String {
    let text = smallest();
    assert!(text.contains(from), "{from:?} is not in the text");
    Spec::parse(&text.replacen(from, to, 1))
        .expect_err("the text has a slip")
        .to_string()
}

fn id(text: &str) -> RuleId {
    text.parse().expect("an id")
}

#[test]
fn the_shipped_contract_has_every_rule_of_every_family() {
    let spec = Spec::parse(include_str!("../../../SPEC.md")).expect("SPEC.md fits its form");
    let counts: Vec<(&str, Vec<u16>)> = Family::ALL
        .iter()
        .map(|family| {
            let numbers = spec.rules().filter(|rule| rule.id.family() == *family);
            (
                family.as_str(),
                numbers.map(|rule| rule.id.number()).collect(),
            )
        })
        .collect();
    let expected = [
        ("FIFO", 12),
        ("LIFE", 12),
        ("DATA", 6),
        ("MON", 16),
        ("ROT", 9),
        ("HEAL", 7),
        ("SEC", 6),
        ("COST", 4),
    ];
    assert_eq!(
        counts,
        expected.map(|(family, last)| (family, (1..=last).collect::<Vec<u16>>()))
    );
}

#[test]
fn the_shipped_contract_says_what_the_suite_relies_on() {
    let spec = Spec::shipped();
    let fifo_10 = spec.rule(&id("FIFO-10")).expect("FIFO-10");
    assert_eq!(fifo_10.title, "A write error is never ignored");
    assert_eq!(fifo_10.who, [Role::Driver]);
    assert_eq!(
        (fifo_10.level, fifo_10.profile),
        (Level::Must, Profile::Base)
    );
    assert_eq!(fifo_10.capability.as_deref(), Some("forwards"));
    assert_eq!(fifo_10.untestable, None);

    let data_5 = spec.rule(&id("DATA-5")).expect("DATA-5");
    assert_eq!(data_5.who, [Role::Driver, Role::Logmon]);

    let of = |wanted: fn(&Rule) -> bool| -> Vec<&str> {
        spec.rules()
            .filter(|rule| wanted(rule))
            .map(|rule| rule.id.as_str())
            .collect()
    };
    assert_eq!(
        of(|rule| rule.profile == Profile::Resilient),
        ["MON-8", "MON-9", "HEAL-1", "HEAL-2", "HEAL-3", "HEAL-4"]
    );
    assert_eq!(
        of(|rule| rule.level == Level::Should),
        [
            "FIFO-7", "MON-16", "ROT-8", "ROT-9", "SEC-4", "SEC-6", "COST-2", "COST-3"
        ]
    );
    assert_eq!(
        of(|rule| rule.capability.as_deref() == Some("recover")),
        ["LIFE-6", "LIFE-7", "LIFE-9"]
    );
    assert_eq!(
        of(|rule| rule.untestable.is_some()),
        ["MON-12", "MON-13", "MON-16", "ROT-8", "ROT-9", "COST-4"]
    );
}

#[test]
fn every_rule_that_the_contract_refers_to_exists() {
    let text = include_str!("../../../SPEC.md");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let mut found = 0;
    for word in words {
        if let Ok(referred) = word.parse::<RuleId>() {
            assert!(
                Spec::shipped().rule(&referred).is_some(),
                "{referred} is not in SPEC.md"
            );
            found += 1;
        }
    }
    assert!(found > 71, "only {found} ids found in SPEC.md");
}

#[test]
fn a_rule_is_read_with_its_keys_and_its_paragraphs() {
    let text = smallest().replacen(
        &rule("MON-1"),
        "\n### MON-1: A title: with a colon\n\n- who: logmon, host\n- level: SHOULD\n\
         - profile: resilient\n- capability: payload.exec\n- from outside: It takes\n  two.\n\n\
         The rule\ngoes on.\n\nAnd on.\n\n**Why.** A `why`\nof two lines.\n\nMore.\n\n**Seen.** Once\n**Why.** not.\n",
        1,
    );
    let spec = Spec::parse(&text).expect("the text fits");
    let expected = Rule {
        id: id("MON-1"),
        title: "A title: with a colon".into(),
        who: vec![Role::Logmon, Role::Host],
        level: Level::Should,
        profile: Profile::Resilient,
        capability: Some("payload.exec".into()),
        text: "The rule goes on.\n\nAnd on.".into(),
        why: "A `why` of two lines.\n\nMore.".into(),
        seen: "Once **Why.** not.".into(),
        untestable: Some("It takes two.".into()),
    };
    assert_eq!(spec.rule(&id("MON-1")), Some(&expected));
    assert_eq!(spec.rules().count(), Family::ALL.len());
}

#[test]
fn every_slip_is_an_error_that_names_its_line() {
    // In the smallest text FIFO's section begins on line 9, its rule on 13, and LIFE's on 25.
    let cases = [
        (
            "## FIFO: Name",
            "## Fifo: Name",
            "line 13: a rule outside a family's section",
        ),
        (
            "## LIFE: Name",
            "## FIFO: Name",
            "line 25: the section of FIFO stands twice",
        ),
        (
            "### FIFO-1: A title",
            "### FIFO-1 A title",
            "line 13: a rule's heading is",
        ),
        (
            "### FIFO-1: A title",
            "### FIFO-1: A title.",
            "line 13: a rule's heading is",
        ),
        (
            "### FIFO-1: A title",
            "###FIFO-1: A title",
            "line 13: a rule's heading is",
        ),
        (
            "### FIFO-1: A title",
            "### FIFO-01: A title",
            "line 13: `FIFO-01` is not a rule id",
        ),
        (
            "### FIFO-1: A title",
            "### LIFE-1: A title",
            "line 13: LIFE-1 does not belong",
        ),
        (
            "- who: driver",
            "- whom: driver",
            "line 15: unknown key `whom`",
        ),
        ("- who: driver", "- who:", "line 15: a key is written"),
        (
            "- who: driver",
            "  who: driver",
            "line 15: a key is written",
        ),
        (
            "- who: driver",
            "- level: MUST",
            "line 16: the key `level` stands twice",
        ),
        (
            "- who: driver",
            "- who: pilot",
            "line 15: unknown role `pilot`; known are `driver`",
        ),
        (
            "- who: driver",
            "- who: driver, driver",
            "line 15: the role driver stands twice",
        ),
        ("- who: driver\n", "", "line 13: FIFO-1 has no `who`"),
        ("- level: MUST\n", "", "line 13: FIFO-1 has no `level`"),
        (
            "- level: MUST",
            "- level: must",
            "line 16: a level is MUST or SHOULD, not `must`",
        ),
        ("- profile: base\n", "", "line 13: FIFO-1 has no `profile`"),
        (
            "- profile: base",
            "- profile: basic",
            "line 17: unknown profile `basic`",
        ),
        (
            "base\n",
            "base\n- capability: Signals\n",
            "line 18: a capability is lower-case",
        ),
        (
            "base\n",
            "base\n\n- capability: signals\n",
            "line 19: a rule's body holds paragraphs",
        ),
        ("The rule.\n\n", "", "line 19: FIFO-1 has no text"),
        (
            "The rule.",
            "| a | b |",
            "line 19: a rule's body holds paragraphs only",
        ),
        (
            "**Why.** A reason.\n\n",
            "",
            "line 21: **Seen.** is out of place",
        ),
        (
            "**Why.** A reason.",
            "**Why.**",
            "line 21: FIFO-1 has no **Why.**",
        ),
        (
            "**Why.** A",
            "**Because.** A",
            "line 21: unknown part `**Because.** A reason.`",
        ),
        (
            "**Seen.** A failure.\n",
            "",
            "line 13: FIFO-1 has no **Seen.**",
        ),
        (
            "**Seen.** A",
            "**Why.** A",
            "line 23: **Why.** is out of place",
        ),
    ];
    for (from, to, expected) in cases {
        let message = complaint(from, to);
        assert!(
            message.starts_with(expected),
            "{from:?} -> {to:?}\n got {message}\nwant {expected}"
        );
    }
}

#[test]
fn an_id_stands_once_and_numbers_go_up() {
    let twice = rule("FIFO-1") + &rule("FIFO-1");
    assert_eq!(
        complaint(&rule("FIFO-1"), &twice),
        "line 25: FIFO-1 stands twice, first on line 13"
    );
    let down = rule("FIFO-10") + &rule("FIFO-9");
    assert_eq!(
        complaint(&rule("FIFO-1"), &down),
        "line 25: FIFO-9 comes after a higher number"
    );
    // A gap is where a rule was dropped: its id is not used again.
    let gap = smallest().replacen(&rule("FIFO-1"), &(rule("FIFO-1") + &rule("FIFO-3")), 1);
    assert!(Spec::parse(&gap).is_ok());
}

#[test]
fn a_family_without_a_rule_is_an_error() {
    assert_eq!(
        complaint(&rule("COST-1"), "\n"),
        "line 121: no section for COST, or one without rules"
    );
    assert_eq!(
        Spec::parse("").expect_err("nothing is there").to_string(),
        "line 1: no section for FIFO, or one without rules"
    );
}

#[test]
fn ids_are_ordered_by_family_and_number() {
    let mut ids = ["COST-1", "FIFO-10", "LIFE-1", "FIFO-9", "DATA-2"].map(id);
    ids.sort();
    assert_eq!(
        ids.map(String::from),
        ["FIFO-9", "FIFO-10", "LIFE-1", "DATA-2", "COST-1"]
    );
}

#[test]
fn an_id_has_one_spelling() {
    for wrong in [
        "",
        "FIFO",
        "FIFO-",
        "FIFO-0",
        "FIFO-01",
        "FIFO-+1",
        "fifo-1",
        "FIFO-1 ",
        "X-1",
        "FIFO-65536",
    ] {
        assert_eq!(wrong.parse::<RuleId>(), Err(NotARuleId(wrong.to_owned())));
    }
    assert_eq!(id("FIFO-65535").number(), 65535);
    assert_eq!(format!("{:<8}|", id("MON-1")), "MON-1   |");
}

#[test]
fn ids_and_names_are_strings_in_data() {
    let json = serde_json::to_string(&(
        id("FIFO-10"),
        Level::Must,
        Profile::Base,
        Family::Fifo,
        Role::Host,
    ));
    let json = json.expect("strings");
    assert_eq!(json, r#"["FIFO-10","must","base","FIFO","host"]"#);
    let back: (RuleId, Level, Profile, Family, Role) =
        serde_json::from_str(&json).expect("the same");
    assert_eq!(back.0, id("FIFO-10"));
    assert!(serde_json::from_str::<RuleId>("\"FIFO-x\"").is_err());
    for role in Role::ALL {
        assert_eq!(
            serde_json::to_string(role).expect("a string"),
            format!("\"{role}\"")
        );
    }
}
