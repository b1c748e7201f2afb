//! Who the plugin is, what it can do, and how it is configured.

use plugin::msgpack;
use plugin::proto::base::PluginType;
use plugin::proto::driver::fingerprint_response::HealthState;
use plugin::spec::Spec;
use plugin::value::Value;
use serde_json::json;

use crate::stage::{Stage, refusal};
use crate::support::{LIMIT, mock_driver};

#[test]
fn a_person_who_starts_it_is_told_that_it_is_a_plugin() {
    let output = mock_driver().arg("plugin").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("plugin"), "{stderr}");
}

#[test]
fn a_fault_that_does_not_exist_is_refused() {
    let output = mock_driver()
        .args(["plugin", "--fault", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("there is no fault `x`"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_a_driver_that_a_host_accepts() {
    let stage = Stage::new().await;
    let info = stage.plugin.base().plugin_info().await.unwrap();
    assert_eq!(info.r#type(), PluginType::Driver);
    assert_eq!(info.plugin_api_versions, ["v0.1.0"]);
    assert_eq!(info.name, "mock_driver");
    assert_eq!(info.plugin_version, env!("CARGO_PKG_VERSION"));
    let capabilities = stage.driver().capabilities().await.unwrap();
    assert!(capabilities.send_signals && capabilities.exec);
    stage.plugin.ping().await.unwrap();
    stage.plugin.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_of_a_task_has_defaults_and_refuses_what_is_wrong() {
    let stage = Stage::new().await;
    let schema = stage.driver().task_config_schema().await.unwrap();
    let schema = Spec::from_proto(&schema).unwrap();
    let checked = schema.check(&Value::from_json(&json!({"command": "true"})));
    let json = checked.unwrap().to_json();
    assert_eq!(
        json,
        json!({
            "args": [], "command": "true", "driver_advertise": false, "exit_code": 0,
            "forwards": false, "start_error_recoverable": false,
        })
    );
    let wrong = Value::from_json(&json!({"comand": "true", "exit_code": "x"}));
    let faults = schema.check(&wrong).unwrap_err().to_string();
    assert!(faults.contains("did you mean command?"), "{faults}");
    assert!(faults.contains("exit_code: expected number"), "{faults}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_comes_at_once_and_again_when_it_changes() {
    let stage = Stage::new().await;
    let schema = stage.plugin.base().config_schema().await.unwrap();
    let schema = schema.unwrap();
    let schema = Spec::from_proto(&schema).unwrap();
    let defaults = schema.check(&Value::Null).unwrap();
    assert_eq!(defaults.to_json(), json!({"enabled": true}));
    assert_eq!(
        msgpack::encode(&defaults),
        b"\x82\xa7enabled\xc3\xa5fault\xc0"
    );
    let mut health = stage.driver().fingerprint();
    let first = health.next(LIMIT).await.unwrap().unwrap();
    assert_eq!(first.health(), HealthState::Healthy);
    assert!(first.attributes.contains_key("driver.mock_driver"));
    stage.set_config(&json!({"enabled": false})).await.unwrap();
    let second = health.next(LIMIT).await.unwrap().unwrap();
    assert_eq!(second.health(), HealthState::Undetected);
    assert!(second.attributes.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_of_the_plugin_is_refused_by_its_key() {
    let stage = Stage::new().await;
    let why = refusal(stage.set_config(&json!({"enabled": "perhaps"})).await);
    assert!(why.contains("enabled: expected bool"), "{why}");
    let why = refusal(stage.set_config(&json!({"fault": "x"})).await);
    assert!(why.contains("fault: there is no fault `x`"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_not_known_is_told_in_the_words_that_hosts_look_for() {
    let stage = Stage::new().await;
    let driver = stage.driver();
    let zero = std::time::Duration::ZERO;
    let answers = [
        refusal(driver.wait_task("x", LIMIT).await),
        refusal(driver.stop_task("x", zero, "").await),
        refusal(driver.kill_and_destroy_task("x").await),
        refusal(driver.inspect_task("x").await),
        refusal(driver.signal_task("x", "SIGHUP").await),
        refusal(driver.exec_task("x", vec!["true".to_owned()], zero).await),
        refusal(driver.task_stats("x", zero).next(LIMIT).await),
    ];
    for why in answers {
        assert!(why.contains("task not found for given id"), "{why}");
        assert!(why.contains("Unknown"), "{why}");
    }
}
