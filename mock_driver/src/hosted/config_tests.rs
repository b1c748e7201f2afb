//! Tests of configurations.

use serde_json::json;

use super::*;

fn bytes(json: &Json) -> Vec<u8> {
    msgpack::encode(&Value::from_json(json))
}

fn plan(json: &Json) -> Result<Plan, String> {
    Plan::read(&bytes(json))
}

fn script_of(plan: &Plan) -> Json {
    match &plan.payload {
        Payload::Script(script) => serde_json::from_str(&script.text).unwrap(),
        other @ (Payload::Command(_) | Payload::ScriptFile(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_schema_survives_the_wire_and_fills_in_the_defaults() {
    for schema in [Plan::schema(), Settings::schema()] {
        assert_eq!(Spec::from_proto(&schema.to_proto()), Ok(schema));
    }
    let checked = Plan::schema().check(&Value::Null).unwrap();
    let json = checked.to_json();
    assert_eq!(
        json,
        json!({
            "args": [], "driver_advertise": false, "exit_code": 0, "forwards": false,
            "start_error_recoverable": false,
        })
    );
    // What a host sends for a task that sets nothing: every key, and nil for those without default.
    let plan = Plan::read(&msgpack::encode(&checked)).unwrap();
    assert_eq!(script_of(&plan), json!({}));
    assert_eq!(Plan::read(&[]).unwrap(), plan);
}

#[test]
fn the_fields_of_nomads_mock_driver_become_a_script() {
    let plan = plan(&json!({
        "run_for": "2s", "exit_code": 3, "stdout_string": "hi", "stdout_repeat": 2,
        "stdout_repeat_duration": "100ms", "start_block_for": "1s", "start_error": "no",
        "start_error_recoverable": true, "exit_err_msg": "bad", "signal_error": "deaf",
        "plugin_exit_after": "5s", "exec_command": {"stdout_string": "ran", "exit_code": 4, "later": 1},
        "driver_ip": "10.0.0.1", "driver_port_map": "http:8080", "unheard_of": [1],
    }))
    .unwrap();
    let script = json!({"run_for": "2s", "exit_code": 3, "stdout_string": "hi", "stdout_repeat": 2, "stdout_repeat_duration": "100ms"});
    assert_eq!(script_of(&plan), script);
    assert_eq!(plan.start_block_for, Duration::from_secs(1));
    assert_eq!(plan.start_error, Some(("no".to_owned(), true)));
    assert_eq!(plan.exit_err_msg.as_deref(), Some("bad"));
    assert_eq!(plan.signal_error.as_deref(), Some("deaf"));
    assert_eq!(plan.plugin_exit_after, Some(Duration::from_secs(5)));
    let exec = plan.exec_command.unwrap().text;
    assert_eq!(exec, r#"{"exit_code":4,"stdout_string":"ran"}"#);
    let network = plan.network.unwrap();
    assert_eq!(network.port_map["http"], 8080);
    assert_eq!(
        (network.addr.as_str(), network.auto_advertise),
        ("10.0.0.1", false)
    );
}

#[test]
fn a_command_has_arguments_and_a_script_is_a_path_or_its_text() {
    let command = plan(&json!({"command": "sh", "args": ["-c", "true"], "exit_code": 0}));
    let argv = ["sh", "-c", "true"].map(str::to_owned);
    assert_eq!(command.unwrap().payload, Payload::Command(argv.into()));
    let file = plan(&json!({"script": "local/task.toml"})).unwrap();
    assert_eq!(file.payload, Payload::ScriptFile("local/task.toml".into()));
    for (text, name) in [
        ("exit_code = 3", "script.toml"),
        (r#"{"exit_code": 3}"#, "script.json"),
    ] {
        let Payload::Script(script) = plan(&json!({ "script": text })).unwrap().payload else {
            panic!("{text}");
        };
        assert_eq!((script.text.as_str(), script.name), (text, name));
    }
}

#[test]
fn a_command_is_executed_unless_it_is_forwarded_or_has_a_fault() {
    let argv = ["sh".to_owned()];
    let plain = plan(&json!({"command": "sh", "work_dir": "/a"})).unwrap();
    assert_eq!(plain.executed(None), Some(&argv[..]));
    assert_eq!(plain.work_dir.as_deref(), Some(Path::new("/a")));
    let fault = AnyFault::named("swaps-streams").unwrap();
    assert_eq!(plain.executed(Some(fault)), None);
    let forwarded = plan(&json!({"command": "sh", "forwards": true})).unwrap();
    assert_eq!(forwarded.executed(None), None);
    let played = plan(&json!({"run_for": "1s"})).unwrap();
    assert_eq!(played.executed(None), None);
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    for (json, words) in [
        (json!({"run_for": "5"}), "run_for: `5` is not a duration"),
        (
            json!({"start_block_for": "x"}),
            "start_block_for: `x` is not",
        ),
        (json!({"exit_code": 300}), "exit_code: 300 is not a status"),
        (json!({"args": "x"}), "args: expected list(string), found"),
        (json!({"args": ["x"]}), "args: there is no command"),
        (
            json!({"command": "a", "script": "b"}),
            "command, script: both are set",
        ),
        (
            json!({"command": "a", "run_for": "1s"}),
            "command, run_for: both are set",
        ),
        (
            json!({"script": "a", "exit_code": 1}),
            "script, exit_code: both are set",
        ),
        (
            json!({"command": "a", "work_dir": "local"}),
            "work_dir: local is not absolute",
        ),
        (
            json!({"script": "a", "work_dir": "/"}),
            "work_dir: there is no command",
        ),
        (
            json!({"run_for": "1s", "forwards": true}),
            "forwards: there is no command",
        ),
        (json!({"fault": "x"}), "fault: there is no fault `x`"),
        (json!({"script": "[[step]]\ndo = 'x'"}), "script: "),
        (
            json!({"exec_command": {"run_for": "x"}}),
            "exec_command.run_for: `x`",
        ),
        (
            json!({"driver_port_map": "http"}),
            "driver_port_map: `http` is not",
        ),
        (
            json!({"start_error_recoverable": true}),
            "there is no start_error",
        ),
        (
            json!({"stdout_repeat": 3}),
            "stdout_repeat: there is no text",
        ),
        (json!([1]), "expected an object"),
    ] {
        let error = plan(&json).unwrap_err();
        assert!(error.contains(words), "{json}: {error}");
    }
    assert!(Plan::read(&[0xc1]).unwrap_err().contains("0xc1"));
    let error = Settings::read(&bytes(&json!({"fault": "x"}))).unwrap_err();
    assert!(error.contains("fault: there is no fault `x`"), "{error}");
}

#[test]
fn a_host_that_configures_nothing_may_use_the_driver() {
    assert!(Settings::read(&[]).unwrap().is_enabled);
    let off = Settings::read(&bytes(&json!({"enabled": false, "fault": null, "more": 1})));
    assert!(!off.unwrap().is_enabled);
}
