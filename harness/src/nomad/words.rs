//! What a plugin says of itself, in words. (core)

use plugin::proto::base::{PluginInfoResponse, PluginType};
use plugin::proto::driver::driver_capabilities::{FsIsolation, MountConfigs};
use plugin::proto::driver::fingerprint_response::HealthState;
use plugin::proto::driver::network_isolation_spec::Mode;
use plugin::proto::driver::{DriverCapabilities, FingerprintResponse};
use plugin::spec::Spec;

/// The version of the interface that Nomad speaks to drivers.
pub(super) const API_VERSION: &str = "v0.1.0";

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
    if !info
        .plugin_api_versions
        .iter()
        .any(|one| one == API_VERSION)
    {
        wrong.push(format!(
            "its versions of the interface are [{versions}], without {API_VERSION}"
        ));
    }
    if !is_version(&info.plugin_version) {
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

/// Numbers with dots between them, and what may follow: the original refuses to load anything else.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').all(is_number)
}

/// The keys that a configuration may have; those that it must have are marked with `*`.
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
        Spec::Default { primary, .. } => {
            let before = keys.len();
            add_keys(primary, keys);
            for key in keys.iter_mut().skip(before) {
                if key.ends_with('*') {
                    key.pop();
                }
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
        for version in ["", "1.", "v", "1.x"] {
            assert!(!is_version(version), "{version}");
        }
        assert!(is_version("v1.2.3+a") && is_version("1"));
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
