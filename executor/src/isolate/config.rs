//! The configuration of a container, as the runtime specification of the Open Container Initiative has it (core).
//!
//! It stands as the one file that the container library reads, so it can be looked at, and no type of that library is
//! needed to make it.

use serde_json::{Value, json};

use super::capabilities::{Sets, names};
use super::container::NamespaceMode;

/// The version of the specification that it is written in.
const VERSION: &str = "1.0.2";

/// What of /proc and /sys tells of the host, or reaches it, and is covered.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// What of /proc changes the host, and can't be written.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Its groups, the one above among them; none: those of the executor.
    pub(crate) groups: Vec<u32>,
}

/// A process in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its program as it was asked for, and its arguments.
    pub(crate) args: Vec<String>,
    /// Each as `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) ids: Ids,
    pub(crate) capabilities: Sets,
    pub(crate) oom_score_adj: i16,
}

/// A device as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) is_block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The rights of its file, of the owner, the group and others.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Of `r`, `w` and `m`.
    pub(crate) access: String,
}

/// A mount whose paths are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) host: String,
    pub(crate) task: String,
    pub(crate) is_read_only: bool,
}

/// What a container is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The absolute path of the root, without links.
    pub(crate) root: String,
    pub(crate) process: Process,
    pub(crate) pid: NamespaceMode,
    pub(crate) ipc: NamespaceMode,
    pub(crate) binds: Vec<Bind>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) cgroups_path: String,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_reserve_bytes: Option<u64>,
    pub(crate) cpu_shares: Option<u64>,
}

/// Gives how a namespace is, of a task that says it or not: what the task says counts more than what the executor was
/// told.
pub(crate) fn mode(of_task: Option<NamespaceMode>, of_executor: NamespaceMode) -> NamespaceMode {
    of_task.unwrap_or(of_executor)
}

/// The namespaces that a task has of its own.
fn namespaces(pid: NamespaceMode, ipc: NamespaceMode) -> Vec<&'static str> {
    let mut own = vec!["mount"];
    own.extend((pid == NamespaceMode::Private).then_some("pid"));
    own.extend((ipc == NamespaceMode::Private).then_some("ipc"));
    own
}

/// What is mounted for every task, before what was asked for.
fn kernel_mounts() -> Vec<Value> {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

fn bind(bind: &Bind) -> Value {
    // What is mounted there later on one side is not seen on the other.
    let mut options = vec!["rbind", "rprivate"];
    options.extend(bind.is_read_only.then_some("ro"));
    json!({ "destination": bind.task, "type": "bind", "source": bind.host, "options": options })
}

fn kind(node: &Node) -> &'static str {
    if node.is_block { "b" } else { "c" }
}

/// The devices that a task may use: none but what is allowed. The container library adds those that every task has.
fn device_rules(nodes: &[Node]) -> Vec<Value> {
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    rules.extend(nodes.iter().map(|node| {
        json!({
            "allow": true,
            "type": kind(node),
            "major": node.major,
            "minor": node.minor,
            "access": node.access,
        })
    }));
    rules
}

fn device(node: &Node) -> Value {
    json!({
        "path": node.path,
        "type": kind(node),
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    })
}

/// Gives the part of the configuration that is about one process.
pub(crate) fn process(process: &Process) -> Value {
    let sets = process.capabilities;
    json!({
        "terminal": false,
        "user": {
            "uid": process.ids.uid,
            "gid": process.ids.gid,
            "additionalGids": process.ids.groups,
        },
        "args": process.args,
        "env": process.env,
        "cwd": process.cwd,
        "capabilities": {
            "bounding": names(sets.bounding),
            "effective": names(sets.effective),
            "permitted": names(sets.permitted),
            "inheritable": names(sets.inheritable),
            "ambient": names(sets.ambient),
        },
        // A program that changes its user by its mode gains nothing by that.
        "noNewPrivileges": true,
        "oomScoreAdj": process.oom_score_adj,
    })
}

/// Gives the configuration.
pub(crate) fn config(parts: &Parts) -> Value {
    let mut mounts = kernel_mounts();
    mounts.extend(parts.binds.iter().map(bind));
    let own = namespaces(parts.pid, parts.ipc);
    let namespaces: Vec<Value> = own.iter().map(|kind| json!({ "type": kind })).collect();
    let mut resources = json!({ "devices": device_rules(&parts.nodes) });
    if let Some(bytes) = parts.memory_bytes {
        resources["memory"]["limit"] = bytes.into();
    }
    if let Some(bytes) = parts.memory_reserve_bytes {
        resources["memory"]["reservation"] = bytes.into();
    }
    if let Some(shares) = parts.cpu_shares {
        resources["cpu"] = json!({ "shares": shares });
    }
    json!({
        "ociVersion": VERSION,
        "root": { "path": parts.root, "readonly": false },
        "process": process(&parts.process),
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": parts.cgroups_path,
            "resources": resources,
            "devices": parts.nodes.iter().map(device).collect::<Vec<_>>(),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use NamespaceMode::{Host, Private};

    fn parts() -> Parts {
        Parts {
            root: "/srv/root".into(),
            process: Process {
                args: vec!["sh".into(), "-c".into(), "true".into()],
                env: vec!["A=1".into()],
                cwd: "/data".into(),
                ids: Ids {
                    uid: 7,
                    gid: 8,
                    groups: vec![8, 9],
                },
                capabilities: Sets {
                    bounding: 1 << 10,
                    ..Sets::default()
                },
                oom_score_adj: 0,
            },
            pid: Private,
            ipc: Private,
            binds: Vec::new(),
            nodes: Vec::new(),
            cgroups_path: "/one".into(),
            memory_bytes: None,
            memory_reserve_bytes: None,
            cpu_shares: None,
        }
    }

    fn types(config: &Value) -> Vec<&str> {
        let all = config["linux"]["namespaces"].as_array().unwrap();
        all.iter()
            .map(|one| one["type"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn a_task_has_a_mount_namespace_always_and_the_others_if_they_are_private() {
        for (pid, ipc, expected) in [
            (Private, Private, &["mount", "pid", "ipc"][..]),
            (Private, Host, &["mount", "pid"]),
            (Host, Private, &["mount", "ipc"]),
            (Host, Host, &["mount"]),
        ] {
            let config = config(&Parts {
                pid,
                ipc,
                ..parts()
            });
            assert_eq!(types(&config), expected, "{pid:?} {ipc:?}");
        }
    }

    #[test]
    fn what_the_task_says_counts_more_than_what_the_executor_was_told() {
        assert_eq!(mode(None, Host), Host);
        assert_eq!(mode(None, Private), Private);
        assert_eq!(mode(Some(Host), Private), Host);
        assert_eq!(mode(Some(Private), Host), Private);
    }

    #[test]
    fn a_mount_is_a_recursive_and_private_bind() {
        let bind = |is_read_only| Bind {
            host: "/srv/a".into(),
            task: "/data".into(),
            is_read_only,
        };
        let config = config(&Parts {
            binds: vec![bind(true), bind(false)],
            ..parts()
        });
        let mounts = config["mounts"].as_array().unwrap();
        let (fixed, own) = mounts.split_at(mounts.len() - 2);
        assert_eq!(
            own,
            [
                json!({"destination": "/data", "type": "bind", "source": "/srv/a", "options": ["rbind", "rprivate", "ro"]}),
                json!({"destination": "/data", "type": "bind", "source": "/srv/a", "options": ["rbind", "rprivate"]}),
            ]
        );
        let fixed: Vec<&str> = fixed
            .iter()
            .map(|mount| mount["destination"].as_str().unwrap())
            .collect();
        assert_eq!(fixed, ["/proc", "/dev", "/dev/pts", "/dev/shm", "/sys"]);
    }

    #[test]
    fn a_device_is_made_and_allowed_behind_the_rule_that_forbids_all() {
        let node = Node {
            path: "/dev/fuse".into(),
            is_block: false,
            major: 10,
            minor: 229,
            mode: 0o666,
            uid: 0,
            gid: 5,
            access: "rw".into(),
        };
        let disk = Node {
            path: "/dev/vdb".into(),
            is_block: true,
            major: 254,
            minor: 16,
            access: "r".into(),
            ..node.clone()
        };
        let config = config(&Parts {
            nodes: vec![node, disk],
            ..parts()
        });
        assert_eq!(
            config["linux"]["resources"]["devices"],
            json!([
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                {"allow": true, "type": "b", "major": 254, "minor": 16, "access": "r"},
            ])
        );
        assert_eq!(
            config["linux"]["devices"][0],
            json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 5})
        );
        assert_eq!(config["linux"]["devices"][1]["type"], "b");
    }

    #[test]
    fn only_limits_that_were_asked_for_are_set() {
        let resources = |parts: &Parts| config(parts)["linux"]["resources"].clone();
        let none = resources(&parts());
        assert_eq!(
            (&none["memory"], &none["cpu"]),
            (&Value::Null, &Value::Null)
        );
        let both = resources(&Parts {
            memory_bytes: Some(64 << 20),
            cpu_shares: Some(500),
            ..parts()
        });
        assert_eq!(both["memory"], json!({"limit": 67_108_864}));
        assert_eq!(both["cpu"], json!({"shares": 500}));
    }

    #[test]
    fn what_is_kept_and_what_is_the_most_are_said_each_for_itself() {
        for (limit, kept, expected) in [
            (Some(9), None, json!({"limit": 9})),
            (Some(9), Some(4), json!({"limit": 9, "reservation": 4})),
            (None, Some(4), json!({"reservation": 4})),
        ] {
            let config = config(&Parts {
                memory_bytes: limit,
                memory_reserve_bytes: kept,
                ..parts()
            });
            assert_eq!(config["linux"]["resources"]["memory"], expected);
        }
    }

    #[test]
    fn a_process_is_its_user_with_its_groups_and_gains_nothing() {
        let config = config(&parts());
        let process = &config["process"];
        assert_eq!(
            process["user"],
            json!({"uid": 7, "gid": 8, "additionalGids": [8, 9]})
        );
        assert_eq!(process["args"], json!(["sh", "-c", "true"]));
        assert_eq!(
            (&process["cwd"], &process["env"]),
            (&json!("/data"), &json!(["A=1"]))
        );
        assert_eq!(process["noNewPrivileges"], true);
        assert_eq!(process["oomScoreAdj"], 0);
        let bounding = &process["capabilities"]["bounding"];
        assert_eq!(bounding, &json!(["CAP_NET_BIND_SERVICE"]));
        assert_eq!(process["capabilities"]["ambient"], json!([]));
    }

    #[test]
    fn what_reaches_the_host_is_covered() {
        let linux = config(&parts())["linux"].clone();
        let has = |list: &str, path: &str| linux[list].as_array().unwrap().contains(&json!(path));
        assert!(has("maskedPaths", "/proc/kcore") && has("maskedPaths", "/sys/firmware"));
        assert!(has("readonlyPaths", "/proc/sys") && has("readonlyPaths", "/proc/sysrq-trigger"));
        assert_eq!(linux["cgroupsPath"], "/one");
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_place(args in proptest::collection::vec(any::<String>(), 1..4), cwd in any::<String>()) {
            let mut parts = parts();
            parts.process.args.clone_from(&args);
            parts.process.cwd.clone_from(&cwd);
            let text = config(&parts).to_string();
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back["process"]["args"], &json!(args));
            prop_assert_eq!(&back["process"]["cwd"], &json!(cwd));
        }
    }
}
