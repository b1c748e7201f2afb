//! Tests of the published schema of report.json: it says what can stand there, and nothing else.

use serde_json::{Value, json};

use super::tests::report_of;
use super::*;
use crate::expected::{Expected, Outcome};
use crate::finding::Shape;
use crate::outcome::{Ending, Status};
use crate::rule::{Level, Profile};
use crate::suite::{Fewer, Shard};
use crate::tally::Tally;
use crate::task_memory::TaskMemory;

fn schema() -> jsonschema::Validator {
    let text = include_str!("../../../docs/report.schema.json");
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}

/// A report with every optional part in it.
fn full() -> Report {
    use Status::{
        ErrorEnvironment, ErrorSuite, Fail, Flaky, Inconclusive, Pass, SkippedCapability,
        SkippedFilter, Xfail, Xpass,
    };
    let mut report = report_of(&[
        Fail,
        Pass,
        Xfail,
        Xpass,
        Flaky,
        Inconclusive,
        SkippedCapability,
        SkippedFilter,
        ErrorSuite,
        ErrorEnvironment,
    ]);
    report.message = Some("a message".into());
    report.merged_shards = Some(2);
    report.shard = Some(ShardFacts {
        shard: Shard { number: 1, of: 2 },
        whole: true,
    });
    report.subject.kept_logmon = Some(vec!["mon".into()]);
    report.subject.serving = Some(crate::serving::Serving {
        serve: vec!["a".into()],
        start: vec!["b".into()],
        stop: vec!["c".into()],
    });
    report.stress = 2;
    report.config = Some("harness.toml".into());
    report.expectations = Some(ExpectationFacts {
        file: "expected.toml".into(),
        entries: 1,
        stale: vec![StaleEntry {
            case: "data/gone".into(),
            line: 3,
            reason: "a reason".into(),
        }],
        renew: "a command".into(),
        listed: vec![ListedEntry {
            case: "data/gone".into(),
            line: 3,
            outcome: Outcome::Fail,
            shapes: [Shape::LostTail].into(),
            reason: "a reason".into(),
            covers: vec!["data/gone".into()],
        }],
    });
    report.not_begun = vec!["data/later".into()];
    report.fewer = vec![Fewer {
        case: "data/once".into(),
        why: "it was filtered out".into(),
    }];
    let first = &mut report.cases[0];
    first.failed_as = vec![[Shape::LostTail].into()];
    first.expected = Some(Expected {
        outcome: Outcome::Fail,
        shapes: [Shape::LostTail].into(),
        reason: "a reason".into(),
        issue: Some("a link".into()),
        until: Some("2027-03-01".into()),
        note: Some("a note".into()),
    });
    first.played_kept = true;
    first.tally = Some(Tally::default());
    first.memory = Some(TaskMemory {
        tasks: 1,
        own_bytes: 0,
        page_table_bytes: 0,
    });
    report
}

fn problems(report: &Value) -> Vec<String> {
    let schema = schema();
    let told = schema.iter_errors(report);
    told.map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_status_shape_ending_level_and_profile_is_in_the_schema() {
    let report = serde_json::to_value(full()).unwrap();
    assert_eq!(problems(&report), Vec::<String>::new());
    let with = |pointer: &str, value: Value| {
        let mut report = report.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        problems(&report)
    };
    for shape in Shape::ALL {
        let told = with("/cases/0/verdict/findings/0/shape", json!(shape));
        assert_eq!(told, Vec::<String>::new(), "{shape}");
    }
    for ending in ENDINGS {
        assert_eq!(with("/ending", json!(ending)), Vec::<String>::new());
    }
    for level in Level::ALL {
        assert_eq!(with("/cases/0/level", json!(level)), Vec::<String>::new());
    }
    for profile in Profile::ALL {
        assert_eq!(
            with("/cases/0/profile", json!(profile)),
            Vec::<String>::new()
        );
    }
    assert_ne!(with("/ending", json!("splendid")), Vec::<String>::new());
    assert_ne!(with("/version", json!(2)), Vec::<String>::new());
}

const ENDINGS: [Ending; 14] = [
    Ending::Conformant,
    Ending::Flaky,
    Ending::ExpectationsStale,
    Ending::Failures,
    Ending::NothingRan,
    Ending::OutOfBudget,
    Ending::Stopped,
    Ending::Blind,
    Ending::Unfit,
    Ending::BadSubject,
    Ending::SuiteBug,
    Ending::Interrupted,
    Ending::BadConfiguration,
    Ending::Usage,
];

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    let report = serde_json::to_value(full()).unwrap();
    let mut places = Vec::new();
    objects(&report, String::new(), &mut places);
    assert!(places.len() > 30, "{places:?}");
    for place in places {
        let mut changed = report.clone();
        let object = changed
            .pointer_mut(&place)
            .unwrap()
            .as_object_mut()
            .unwrap();
        object.insert("unheard_of".into(), json!(1));
        assert_ne!(problems(&changed), Vec::<String>::new(), "at {place:?}");
    }
}

/// The places of all objects, as JSON pointers.
fn objects(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            places.push(at.clone());
            for (name, value) in fields {
                objects(value, format!("{at}/{name}"), places);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                objects(value, format!("{at}/{index}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
