//! Tests of checking a configuration by its schema.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn kind(text: &str) -> Type {
    Type::parse(text).unwrap()
}

fn checked(spec: &Spec, json: &Json) -> Result<Value, Vec<String>> {
    spec.check(&Value::from_json(json))
        .map_err(|faults| faults.0.iter().map(Fault::to_string).collect())
}

#[track_caller]
fn gives(spec: &Spec, json: &Json, expected: &Json) {
    assert_eq!(checked(spec, json), Ok(Value::from_json(expected)));
}

#[track_caller]
fn fails(spec: &Spec, json: &Json, expected: &[&str]) {
    let found = checked(spec, json).unwrap_err();
    assert_eq!(found, expected);
}

fn task() -> Spec {
    Spec::object([
        ("command", Spec::required("command", Type::String)),
        ("args", Spec::optional("args", kind("list(string)"))),
        (
            "enabled",
            Spec::optional("enabled", Type::Bool).or(true.into()),
        ),
        ("retries", Spec::optional("retries", Type::Number)),
    ])
}

#[test]
fn every_key_of_the_schema_is_there_and_defaults_stand_in() {
    gives(
        &task(),
        &json!({"command": "sh"}),
        &json!({"args": null, "command": "sh", "enabled": true, "retries": null}),
    );
    gives(
        &task(),
        &json!({"command": "sh", "args": ["-c"], "enabled": false, "retries": 3}),
        &json!({"args": ["-c"], "command": "sh", "enabled": false, "retries": 3}),
    );
}

#[test]
fn scalars_are_converted_as_in_hcl() {
    gives(
        &task(),
        &json!({"command": 5, "args": [true, 0.5], "enabled": "false", "retries": "3"}),
        &json!({"args": ["true", "0.5"], "command": "5", "enabled": false, "retries": 3}),
    );
}

#[test]
fn a_tuple_has_each_value_of_its_own_type() {
    let spec = Spec::object([("t", Spec::optional("t", kind("tuple([string, number])")))]);
    gives(&spec, &json!({"t": [1, "2"]}), &json!({"t": ["1", 2]}));
    gives(&spec, &json!({}), &json!({"t": null}));
    fails(
        &spec,
        &json!({"t": ["a"]}),
        &["t: expected tuple([string, number]), found a list of 1"],
    );
    fails(
        &spec,
        &json!({"t": ["a", "b"]}),
        &["t[1]: expected number, found the string \"b\""],
    );
}

#[test]
fn a_default_that_has_to_be_computed_is_asked_for() {
    let computed = Literal::parse("upper(\"x\")").unwrap();
    let nested = Spec::object([("n", Spec::optional("n", Type::String).or(computed))]);
    let spec = Spec::object([(
        "b",
        Spec::Block {
            name: "b".to_owned(),
            required: false,
            nested: Box::new(nested),
        },
    )]);
    gives(&spec, &json!({"b": {"n": "y"}}), &json!({"b": {"n": "y"}}));
    gives(&spec, &json!({}), &json!({"b": null}));
    fails(
        &spec,
        &json!({"b": {}}),
        &[
            "b.n: expected a value, as the default is computed by \"upper(\\\"x\\\")\", found nothing",
        ],
    );
}

#[test]
fn every_fault_names_its_place_what_is_expected_and_what_stands_there() {
    fails(
        &task(),
        &json!({"comand": "sh", "args": ["a", ["b"]], "enabled": "perhaps", "retries": "many"}),
        &[
            "args[1]: expected string, found a list of 1",
            "command: expected string, found nothing",
            "enabled: expected bool, found the string \"perhaps\"",
            "retries: expected number, found the string \"many\"",
            "comand: expected no such key, found the string \"sh\"; did you mean command?",
        ],
    );
    fails(
        &task(),
        &json!(["sh"]),
        &["the whole: expected an object, found a list of 1"],
    );
    fails(
        &task(),
        &json!(null),
        &["command: expected string, found nothing"],
    );
    fails(
        &task(),
        &json!({"command": "sh", "args": "-c", "image": 1}),
        &[
            "args: expected list(string), found the string \"-c\"",
            "image: expected no such key, found the number 1",
        ],
    );
    let faults = task().check(&Value::Null).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "use the configuration: command: expected string, found nothing"
    );
}

fn mounts() -> Blocks {
    Blocks {
        name: "mount".to_owned(),
        min: 1,
        max: 2,
        nested: Box::new(Spec::object([(
            "target",
            Spec::required("target", Type::String),
        )])),
    }
}

#[test]
fn blocks_are_lists_with_a_least_and_a_greatest_number() {
    let spec = Spec::object([("mounts", Spec::BlockList(mounts()))]);
    gives(
        &spec,
        &json!({"mount": {"target": "a"}}),
        &json!({"mounts": [{"target": "a"}]}),
    );
    fails(
        &spec,
        &json!({}),
        &["mount: expected 1 to 2 blocks, found 0"],
    );
    fails(
        &spec,
        &json!({"mount": [{"target": "a"}, {"targt": "b"}, 7]}),
        &[
            "mount: expected 1 to 2 blocks, found 3",
            "mount[1].target: expected string, found nothing",
            "mount[1].targt: expected no such key, found the string \"b\"; did you mean target?",
            "mount[2]: expected a block, found the number 7",
        ],
    );
    let any_number = Blocks {
        min: 0,
        max: 0,
        ..mounts()
    };
    let spec = Spec::object([("mounts", Spec::BlockList(any_number))]);
    gives(&spec, &json!({}), &json!({"mounts": []}));
    fails(
        &spec,
        &json!({"mount": 1}),
        &["mount: expected blocks, found the number 1"],
    );
}

#[test]
fn a_set_has_each_value_once() {
    let spec = Spec::object([
        ("blocks", Spec::BlockSet(Blocks { max: 0, ..mounts() })),
        ("words", Spec::optional("words", kind("set(string)"))),
        ("numbers", Spec::optional("numbers", kind("set(number)"))),
    ]);
    gives(
        &spec,
        &json!({
            "mount": [{"target": "b"}, {"target": "a"}, {"target": "b"}],
            "words": ["b", "a", "b"], "numbers": [10, 9, 0.5, 10],
        }),
        &json!({
            "blocks": [{"target": "a"}, {"target": "b"}],
            "words": ["a", "b"], "numbers": [0.5, 9, 10],
        }),
    );
}

#[test]
fn one_block_may_be_an_object_or_a_list_of_one_or_not_be_there() {
    let block = |required| {
        let nested = Spec::object([("x", Spec::optional("x", Type::Any))]);
        let (name, nested) = ("b".to_owned(), Box::new(nested));
        Spec::object([(
            "b",
            Spec::Block {
                name,
                required,
                nested,
            },
        )])
    };
    for json in [json!({"b": {"x": [1]}}), json!({"b": [{"x": [1]}]})] {
        gives(&block(true), &json, &json!({"b": {"x": [1]}}));
    }
    for json in [json!({}), json!({"b": null}), json!({"b": []})] {
        gives(&block(false), &json, &json!({"b": null}));
        fails(&block(true), &json, &["b: expected a block, found nothing"]);
    }
    fails(
        &block(true),
        &json!({"b": [{}, {}]}),
        &["b: expected one block, found a list of 2"],
    );
    fails(
        &block(false),
        &json!({"b": true}),
        &["b: expected one block, found the bool true"],
    );
}

#[test]
fn labels_and_free_attributes_are_maps() {
    let spec = Spec::object([
        (
            "env",
            Spec::BlockAttrs {
                name: "env".to_owned(),
                kind: Type::Number,
                required: false,
            },
        ),
        (
            "volumes",
            Spec::BlockMap {
                name: "volume".to_owned(),
                labels: vec!["type".to_owned(), "name".to_owned()],
                nested: Box::new(Spec::object([("ro", Spec::optional("ro", Type::Bool))])),
            },
        ),
    ]);
    gives(&spec, &json!({}), &json!({"env": null, "volumes": {}}));
    gives(
        &spec,
        &json!({"env": {"A": 1, "B": "2"}, "volume": {"bind": {"data": {"ro": true}, "tmp": {}}}}),
        &json!({"env": {"A": 1, "B": 2}, "volumes": {"bind": {"data": {"ro": true}, "tmp": {"ro": null}}}}),
    );
    fails(
        &spec,
        &json!({"env": {"A": "x"}, "volume": {"bind": {"data": {"rw": 1}, "tmp": 3}, "disk": []}}),
        &[
            "env.A: expected number, found the string \"x\"",
            "volume.bind.data.rw: expected no such key, found the number 1",
            "volume.bind.tmp: expected one block, found the number 3",
            "volume.disk: expected an object of blocks by their labels, found a list of 0",
        ],
    );
}

#[test]
fn objects_have_exactly_their_keys_and_any_collection_is_of_one_type() {
    let spec = Spec::object([
        (
            "o",
            Spec::optional("o", kind("object({a = string, b = number})")),
        ),
        ("l", Spec::optional("l", kind("list(any)"))),
        ("m", Spec::optional("m", kind("map(string)"))),
    ]);
    gives(
        &spec,
        &json!({"o": {"a": 1, "b": 2}, "l": ["a", 1, true, null], "m": {"k": 1}}),
        &json!({"o": {"a": "1", "b": 2}, "l": ["a", "1", "true", null], "m": {"k": "1"}}),
    );
    fails(
        &spec,
        &json!({"o": {"a": "x", "c": 1}}),
        &[
            "o.b: expected number, found nothing",
            "o.c: expected no such key, found the number 1",
        ],
    );
}

#[test]
fn arrays_and_constants_take_their_place() {
    let spec = Spec::Array(vec![
        Spec::optional("a", Type::Number),
        Spec::Literal(Literal::parse("[1, {x = \"y\"}]").unwrap()),
    ]);
    gives(&spec, &json!({"a": 2}), &json!([2, [1, {"x": "y"}]]));
    // A second attribute may stand in for the first; both are known names.
    let spec = Spec::Default {
        primary: Box::new(Spec::optional("new", Type::Number)),
        default: Box::new(Spec::optional("old", Type::Number)),
    };
    gives(&spec, &json!({"old": 1}), &json!(1));
}

proptest! {
    #[test]
    fn what_was_checked_passes_again_unchanged(
        command in ".{1,20}", args in proptest::option::of(proptest::collection::vec(".{0,9}", 0..5)),
        retries in proptest::option::of(any::<i64>()),
    ) {
        let value = Value::from_json(&json!({"command": command, "args": args, "retries": retries}));
        let once = task().check(&value).unwrap();
        prop_assert_eq!(task().check(&once), Ok(once));
    }
}
