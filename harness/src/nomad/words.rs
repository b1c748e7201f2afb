//! What a plugin says of itself, in words. (core)

use plugin::proto::base::{
    NomadConfig, NomadDriverConfig, PluginInfoResponse, PluginType, SetConfigRequest,
};
use plugin::proto::driver::driver_capabilities::{FsIsolation, MountConfigs};
use plugin::proto::driver::fingerprint_response::HealthState;
use plugin::proto::driver::network_isolation_spec::Mode;
use plugin::proto::driver::{DriverCapabilities, FingerprintResponse};
use plugin::spec::Spec;

use super::version::Version;

/// The version of the interface that Nomad speaks to drivers.
const API_VERSION: &str = "v0.1.0";
/// Its numbers.
const API_NUMBERS: [i64; 3] = [0, 1, 0];
/// The ports that an agent gives to its drivers, lowest and highest, unless it is told others.
const CLIENT_PORTS: (u32, u32) = (14_000, 14_512);

/// Who it is, or what Nomad would not load it for.
pub(super) fn info(info: &PluginInfoResponse) -> Result<String, String> {
    let versions = info.plugin_api_versions.join(", ");
    let mut wrong = Vec::new();
    match info.r#type() {
        PluginType::Driver => {}
        PluginType::Device => wrong.push("it is a device plugin".to_owned()),
        PluginType::Unknown => wrong.push(format!("its type is {}, not 2 (driver)", info.r#type)),
    }
    if info.name.is_empty() {
        wrong.push("it has no name".to_owned());
    }
    if let Err(none) = chosen_version(info) {
        wrong.push(none);
    }
    if Version::parse(&info.plugin_version).is_none() {
        wrong.push(format!("its version {:?} is none", info.plugin_version));
    }
    if wrong.is_empty() {
        Ok(format!(
            "driver `{}` {}, interface {versions}",
            info.name, info.plugin_version
        ))
    } else {
        Err(wrong.join("; "))
    }
}

/// The version of the interface that an agent would choose, in the plugin's own words: so it is told in SetConfig.
fn chosen_version(info: &PluginInfoResponse) -> Result<&str, String> {
    let all = || info.plugin_api_versions.join(", ");
    let mut chosen = None;
    for text in &info.plugin_api_versions {
        match Version::parse(text) {
            // The original reads all of them before it looks at one.
            None => {
                return Err(format!(
                    "{text:?} of its versions of the interface, [{}], is none",
                    all()
                ));
            }
            Some(version) if version.is(API_NUMBERS) => chosen = Some(text.as_str()),
            Some(_) => {}
        }
    }
    chosen.ok_or_else(|| {
        format!(
            "its versions of the interface are [{}], without {API_VERSION}",
            all()
        )
    })
}

/// What SetConfig says beside the configuration itself: the version of the interface, and what an agent tells of
/// itself. It knows nothing of the machine's processors, and says nothing of them.
pub(super) fn set_config(info: &PluginInfoResponse, msgpack_config: Vec<u8>) -> SetConfigRequest {
    let driver = NomadDriverConfig {
        client_min_port: CLIENT_PORTS.0,
        client_max_port: CLIENT_PORTS.1,
    };
    SetConfigRequest {
        msgpack_config,
        nomad_config: Some(NomadConfig {
            driver: Some(driver),
        }),
        plugin_api_version: chosen_version(info).unwrap_or(API_VERSION).to_owned(),
    }
}

/// The keys that a configuration may have; those that it must have are marked with `*`. An agent computes a default
/// that is an expression, which nobody does here, so such a key has to be set, too.
pub(super) fn schema(spec: &Spec) -> String {
    let mut keys = Vec::new();
    add_keys(spec, &mut keys);
    match keys.as_slice() {
        [] => "no keys".to_owned(),
        keys => keys.join(" "),
    }
}

fn add_keys(spec: &Spec, keys: &mut Vec<String>) {
    let mut add = |name: &str, required: bool| {
        let mark = if required { "*" } else { "" };
        keys.push(format!("{name}{mark}"));
    };
    match spec {
        Spec::Attr { name, required, .. }
        | Spec::Block { name, required, .. }
        | Spec::BlockAttrs { name, required, .. } => add(name, *required),
        Spec::BlockList(blocks) | Spec::BlockSet(blocks) => add(&blocks.name, blocks.min > 0),
        Spec::BlockMap { name, .. } => add(name, false),
        Spec::Object(nodes) => nodes.values().for_each(|node| add_keys(node, keys)),
        Spec::Array(nodes) => nodes.iter().for_each(|node| add_keys(node, keys)),
        // With a default nothing has to be given.
        Spec::Default { primary, default } => {
            let before = keys.len();
            add_keys(primary, keys);
            let is_computed =
                |spec: &Spec| matches!(spec, Spec::Literal(literal) if literal.value().is_none());
            let computed = if is_computed(default) { "*" } else { "" };
            for key in keys.iter_mut().skip(before) {
                *key = format!("{}{computed}", key.trim_end_matches('*'));
            }
        }
        Spec::Literal(_) => {}
    }
}

/// What a driver can do.
pub(super) fn capabilities(of: &DriverCapabilities) -> String {
    let mut words = Vec::new();
    words.push(
        if of.send_signals {
            "takes signals"
        } else {
            "takes no signals"
        }
        .to_owned(),
    );
    words.push(
        if of.exec {
            "runs commands in a task"
        } else {
            "runs no commands in a task"
        }
        .to_owned(),
    );
    let isolation = match of.fs_isolation() {
        FsIsolation::None => "none",
        FsIsolation::Chroot => "chroot",
        FsIsolation::Image => "image",
        FsIsolation::Unveil => "unveil",
    };
    words.push(format!("file system isolation {isolation}"));
    let modes: Vec<&str> = of
        .network_isolation_modes()
        .map(|mode| match mode {
            Mode::Host => "host",
            Mode::Group => "group",
            Mode::Task => "task",
            Mode::None => "none",
        })
        .collect();
    if !modes.is_empty() {
        words.push(format!("networks {}", modes.join(" and ")));
    }
    if of.must_create_network {
        words.push("makes its networks".to_owned());
    }
    match of.mount_configs() {
        MountConfigs::AnyMounts => {}
        MountConfigs::NoMounts => words.push("takes no mounts".to_owned()),
    }
    if of.disable_log_collection {
        words.push("wants no log collection".to_owned());
    }
    if of.dynamic_workload_users {
        words.push("takes users of Nomad's".to_owned());
    }
    words.join(", ")
}

/// How a driver is; an error if Nomad would give it no task.
pub(super) fn fingerprint(of: &FingerprintResponse) -> Result<String, String> {
    let described = match of.health_description.as_str() {
        "" => String::new(),
        text => format!(" ({text})"),
    };
    let attributes = match of.attributes.len() {
        1 => "1 attribute".to_owned(),
        many => format!("{many} attributes"),
    };
    if !of.err.is_empty() {
        return Err(format!("it fails: {}", of.err));
    }
    match of.health() {
        HealthState::Healthy => Ok(format!("healthy{described}, {attributes}")),
        HealthState::Unhealthy => Err(format!("unhealthy{described}, {attributes}")),
        HealthState::Undetected => Err(format!("undetected{described}, {attributes}")),
    }
}

#[cfg(test)]
mod tests {
    use plugin::spec::{Literal, Type};

    use super::*;

    fn driver() -> PluginInfoResponse {
        PluginInfoResponse {
            r#type: PluginType::Driver.into(),
            plugin_api_versions: vec![API_VERSION.to_owned()],
            plugin_version: "0.1.0-dev".to_owned(),
            name: "mock".to_owned(),
        }
    }

    #[test]
    fn what_nomad_would_not_load_is_told_as_a_whole() {
        assert_eq!(
            info(&driver()),
            Ok("driver `mock` 0.1.0-dev, interface v0.1.0".to_owned())
        );
        let wrong = PluginInfoResponse {
            r#type: 7,
            plugin_api_versions: vec!["v9".to_owned()],
            plugin_version: "new".to_owned(),
            name: String::new(),
        };
        let text = info(&wrong).unwrap_err();
        for part in ["type is 7", "no name", "[v9], without v0.1.0", "\"new\""] {
            assert!(text.contains(part), "{text}");
        }
        let mixed = PluginInfoResponse {
            plugin_api_versions: vec![API_VERSION.to_owned(), "new".to_owned()],
            ..driver()
        };
        let text = info(&mixed).unwrap_err();
        assert_eq!(
            text,
            "\"new\" of its versions of the interface, [v0.1.0, new], is none"
        );
    }

    #[test]
    fn a_version_of_the_interface_is_told_back_as_it_was_told() {
        for text in ["0.1", "v0.1.0", "v00.1.0"] {
            let driver = PluginInfoResponse {
                plugin_api_versions: vec!["0.2.0".to_owned(), text.to_owned()],
                ..driver()
            };
            assert!(info(&driver).is_ok(), "{text}");
            let told = set_config(&driver, Vec::new());
            assert_eq!(told.plugin_api_version, text);
            let ports = told.nomad_config.unwrap().driver.unwrap();
            assert_eq!(
                (ports.client_min_port, ports.client_max_port),
                (14_000, 14_512)
            );
        }
    }

    #[test]
    fn a_key_that_has_a_default_need_not_be_given() {
        let spec = Spec::object([
            (
                "a",
                Spec::required("command", Type::parse("string").unwrap()),
            ),
            (
                "b",
                Spec::optional("args", Type::parse("list(string)").unwrap()),
            ),
            (
                "c",
                Spec::required("times", Type::parse("number").unwrap())
                    .or(Literal::parse("3").unwrap()),
            ),
        ]);
        assert_eq!(schema(&spec), "command* args times");
        let computed = Literal::parse("lower(\"A\")").unwrap();
        let key = Spec::optional("name", Type::parse("string").unwrap()).or(computed);
        assert_eq!(schema(&key), "name*");
        assert_eq!(schema(&Spec::Array(Vec::new())), "no keys");
    }

    #[test]
    fn a_driver_without_health_gets_no_task() {
        let mut one = FingerprintResponse {
            health: HealthState::Healthy.into(),
            health_description: "ready".to_owned(),
            ..FingerprintResponse::default()
        };
        assert_eq!(
            fingerprint(&one),
            Ok("healthy (ready), 0 attributes".to_owned())
        );
        one.health = HealthState::Undetected.into();
        assert!(fingerprint(&one).is_err());
        one.health = HealthState::Healthy.into();
        one.err = "no kernel".to_owned();
        assert_eq!(fingerprint(&one), Err("it fails: no kernel".to_owned()));
    }

    #[test]
    fn what_a_driver_can_do_is_one_line() {
        let all = DriverCapabilities {
            send_signals: true,
            exec: false,
            network_isolation_modes: vec![Mode::Host.into(), Mode::Group.into()],
            disable_log_collection: true,
            ..DriverCapabilities::default()
        };
        assert_eq!(
            capabilities(&all),
            "takes signals, runs no commands in a task, file system isolation none, \
             networks host and group, wants no log collection"
        );
    }
}
