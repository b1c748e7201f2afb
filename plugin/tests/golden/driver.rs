//! What a driver is asked and what it answers.

use plugin::proto::driver::cpu_usage::Fields as Cpu;
use plugin::proto::driver::driver_capabilities::{FsIsolation, MountConfigs};
use plugin::proto::driver::exec_task_streaming_request::{Setup, TerminalSize};
use plugin::proto::driver::fingerprint_response::HealthState;
use plugin::proto::driver::memory_usage::Fields as Memory;
use plugin::proto::driver::network_isolation_spec::Mode;
use plugin::proto::driver::*;
use plugin::proto::structs::{Attribute, attribute::Value};
use plugin::proto::{Duration, NO_TIME, Timestamp};

use super::walk::{Is, has, message, pair, text, varint};

fn own(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_task() {
    let resources = Resources {
        allocated_resources: Some(AllocatedTaskResources {
            cpu: Some(AllocatedCpuResources { cpu_shares: 500 }),
            memory: Some(AllocatedMemoryResources {
                memory_mb: 256,
                memory_max_mb: 512,
            }),
            networks: vec![NetworkResource {
                device: own("eth0"),
                cidr: own("10.0.0.0/8"),
                ip: own("10.0.0.1"),
                mbits: 10,
                reserved_ports: vec![NetworkPort {
                    label: own("ssh"),
                    value: 22,
                }],
                dynamic_ports: vec![NetworkPort {
                    label: own("http"),
                    value: 20_000,
                }],
            }],
        }),
        linux_resources: Some(LinuxResources {
            cpu_period: 1,
            cpu_quota: 2,
            cpu_shares: 3,
            memory_limit_bytes: 4,
            oom_score_adj: 5,
            cpuset_cpus: own("0-1"),
            percent_ticks: 0.5,
            cpuset_cgroup: own("/c"),
        }),
        ports: vec![PortMapping {
            label: own("http"),
            value: 8080,
            to: 80,
            host_ip: own("127.0.0.1"),
        }],
    };
    let resources_fields = message([
        (
            1,
            message([
                (1, message([(1, varint(500))])),
                (2, message([(2, varint(256)), (3, varint(512))])),
                (
                    5,
                    message([
                        (1, text("eth0")),
                        (2, text("10.0.0.0/8")),
                        (3, text("10.0.0.1")),
                        (4, varint(10)),
                        (5, message([(1, text("ssh")), (2, varint(22))])),
                        (6, message([(1, text("http")), (2, varint(20_000))])),
                    ]),
                ),
            ]),
        ),
        (
            2,
            message([
                (1, varint(1)),
                (2, varint(2)),
                (3, varint(3)),
                (4, varint(4)),
                (5, varint(5)),
                (6, text("0-1")),
                (8, Is::Double(0.5)),
                (9, text("/c")),
            ]),
        ),
        (
            3,
            message([
                (1, text("http")),
                (2, varint(8080)),
                (3, varint(80)),
                (4, text("127.0.0.1")),
            ]),
        ),
    ]);
    let task = TaskConfig {
        id: own("id"),
        name: own("name"),
        msgpack_driver_config: vec![0x80],
        env: [(own("A"), own("1"))].into(),
        device_env: [(own("B"), own("2"))].into(),
        resources: Some(resources),
        mounts: vec![Mount {
            task_path: own("/t"),
            host_path: own("/h"),
            readonly: true,
            propagation_mode: own("private"),
            selinux_label: own("z"),
            request_name: own("r"),
        }],
        devices: vec![Device {
            task_path: own("/dev/t"),
            host_path: own("/dev/h"),
            cgroup_permissions: own("rwm"),
        }],
        user: own("user"),
        alloc_dir: own("/alloc"),
        stdout_path: own("/out"),
        stderr_path: own("/err"),
        task_group_name: own("group"),
        job_name: own("job"),
        alloc_id: own("alloc"),
        network_isolation_spec: Some(NetworkIsolationSpec {
            mode: Mode::Task.into(),
            path: own("/ns"),
            labels: [(own("l"), own("v"))].into(),
            hosts_config: Some(HostsConfig {
                hostname: own("h"),
                address: own("a"),
            }),
        }),
        dns: Some(DnsConfig {
            servers: vec![own("s")],
            searches: vec![own("e")],
            options: vec![own("o")],
        }),
        job_id: own("job-id"),
        namespace: own("default"),
        node_name: own("node"),
        node_id: own("node-id"),
        parent_job_id: own("parent"),
    };
    has(
        &StartTaskRequest { task: Some(task) },
        [(
            1,
            message([
                (1, text("id")),
                (2, text("name")),
                (3, Is::Bytes(vec![0x80])),
                (4, pair("A", "1")),
                (5, pair("B", "2")),
                (6, resources_fields),
                (
                    7,
                    message([
                        (1, text("/t")),
                        (2, text("/h")),
                        (3, varint(1)),
                        (4, text("private")),
                        (5, text("z")),
                        (6, text("r")),
                    ]),
                ),
                (
                    8,
                    message([(1, text("/dev/t")), (2, text("/dev/h")), (3, text("rwm"))]),
                ),
                (9, text("user")),
                (10, text("/alloc")),
                (11, text("/out")),
                (12, text("/err")),
                (13, text("group")),
                (14, text("job")),
                (15, text("alloc")),
                (
                    16,
                    message([
                        (1, varint(2)),
                        (2, text("/ns")),
                        (3, pair("l", "v")),
                        (4, message([(1, text("h")), (2, text("a"))])),
                    ]),
                ),
                (
                    17,
                    message([(1, text("s")), (2, text("e")), (3, text("o"))]),
                ),
                (18, text("job-id")),
                (19, text("default")),
                (20, text("node")),
                (21, text("node-id")),
                (22, text("parent")),
            ]),
        )],
    );
}

#[test]
fn the_schema_of_a_task_and_what_a_driver_can_do() {
    let spec = plugin::spec::Spec::object([]).to_proto();
    let schema = TaskConfigSchemaResponse { spec: Some(spec) };
    has(&schema, [(1, message([(1, message([]))]))]);
    let capabilities = DriverCapabilities {
        send_signals: true,
        exec: true,
        fs_isolation: FsIsolation::Unveil.into(),
        network_isolation_modes: vec![Mode::Host.into(), Mode::Group.into(), Mode::None.into()],
        must_create_network: true,
        mount_configs: MountConfigs::NoMounts.into(),
        disable_log_collection: true,
        dynamic_workload_users: true,
    };
    let capabilities = Some(capabilities);
    has(
        &CapabilitiesResponse { capabilities },
        [(
            1,
            message([
                (1, varint(1)),
                (2, varint(1)),
                (3, varint(3)),
                (4, Is::Bytes(vec![0, 1, 3])),
                (5, varint(1)),
                (6, varint(1)),
                (8, varint(1)),
                (9, varint(1)),
            ]),
        )],
    );
}

#[test]
fn a_fingerprint() {
    let values = [
        Value::FloatVal(0.5),
        Value::IntVal(3),
        Value::StringVal(own("x")),
        Value::BoolVal(true),
    ];
    let expected = [
        (1, Is::Double(0.5)),
        (2, varint(3)),
        (3, text("x")),
        (4, varint(1)),
    ];
    for (value, field) in values.into_iter().zip(expected) {
        let attribute = Attribute {
            unit: own("MiB"),
            value: Some(value),
        };
        let answer = FingerprintResponse {
            attributes: [(own("k"), attribute)].into(),
            health: HealthState::Healthy.into(),
            health_description: own("well"),
            err: own("e"),
        };
        let attribute = message([field, (5, text("MiB"))]);
        let entry = message([(1, text("k")), (2, attribute)]);
        has(
            &answer,
            [
                (1, entry),
                (2, varint(2)),
                (3, text("well")),
                (4, text("e")),
            ],
        );
    }
    assert_eq!(i32::from(HealthState::Unhealthy), 1);
}

#[test]
fn the_handle_of_a_task_and_its_network() {
    let handle = TaskHandle {
        version: 1,
        config: Some(TaskConfig {
            id: own("i"),
            ..TaskConfig::default()
        }),
        state: TaskState::Exited.into(),
        driver_state: vec![1],
    };
    let fields = || {
        message([
            (1, varint(1)),
            (2, message([(1, text("i"))])),
            (3, varint(2)),
            (4, Is::Bytes(vec![1])),
        ])
    };
    let recover = RecoverTaskRequest {
        task_id: own("t"),
        handle: Some(handle.clone()),
    };
    has(&recover, [(1, text("t")), (2, fields())]);
    let network = NetworkOverride {
        port_map: [(own("http"), 80)].into(),
        addr: own("10.0.0.1"),
        auto_advertise: true,
    };
    let started = StartTaskResponse {
        result: start_task_response::Result::Fatal.into(),
        driver_error_msg: own("e"),
        handle: Some(handle),
        network_override: Some(network),
    };
    let port = message([(1, text("http")), (2, varint(80))]);
    let network = message([(1, port), (2, text("10.0.0.1")), (3, varint(1))]);
    has(
        &started,
        [(1, varint(2)), (2, text("e")), (3, fields()), (4, network)],
    );
    assert_eq!(i32::from(TaskState::Running), 1);
}

#[test]
fn the_end_of_a_task() {
    let request = WaitTaskRequest { task_id: own("t") };
    has(&request, [(1, text("t"))]);
    let result = ExitResult {
        exit_code: -1,
        signal: 9,
        oom_killed: true,
    };
    let answer = WaitTaskResponse {
        result: Some(result),
        err: own("e"),
    };
    // A negative number has ten bytes, as a varint of 64 bits.
    let result = message([(1, varint(-1)), (2, varint(9)), (3, varint(1))]);
    has(&answer, [(1, result), (2, text("e"))]);
    let all_zero = WaitTaskResponse {
        result: Some(ExitResult::default()),
        err: String::new(),
    };
    has(&all_zero, [(1, message([]))]);
    let stop = StopTaskRequest {
        task_id: own("t"),
        timeout: Some(Duration {
            seconds: 5,
            nanos: 7,
        }),
        signal: own("SIGTERM"),
    };
    let timeout = message([(1, varint(5)), (2, varint(7))]);
    has(&stop, [(1, text("t")), (2, timeout), (3, text("SIGTERM"))]);
    let destroy = DestroyTaskRequest {
        task_id: own("t"),
        force: true,
    };
    has(&destroy, [(1, text("t")), (2, varint(1))]);
    let signal = SignalTaskRequest {
        task_id: own("t"),
        signal: own("SIGHUP"),
    };
    has(&signal, [(1, text("t")), (2, text("SIGHUP"))]);
}

#[test]
fn the_state_of_a_task() {
    has(&InspectTaskRequest { task_id: own("t") }, [(1, text("t"))]);
    let task = TaskStatus {
        id: own("t"),
        name: own("n"),
        state: TaskState::Running.into(),
        started_at: Some(Timestamp {
            seconds: 1,
            nanos: 2,
        }),
        completed_at: Some(NO_TIME),
        result: Some(ExitResult::default()),
    };
    let answer = InspectTaskResponse {
        task: Some(task),
        driver: Some(TaskDriverStatus {
            attributes: [(own("k"), own("v"))].into(),
        }),
        network_override: Some(NetworkOverride::default()),
    };
    // An empty result is sent: the original host takes it for granted.
    let task = message([
        (1, text("t")),
        (2, text("n")),
        (3, varint(1)),
        (4, message([(1, varint(1)), (2, varint(2))])),
        (5, message([(1, varint(-62_135_596_800))])),
        (6, message([])),
    ]);
    let driver = message([(1, pair("k", "v"))]);
    has(&answer, [(1, task), (2, driver), (3, message([]))]);
}

#[test]
fn what_a_task_uses() {
    let request = TaskStatsRequest {
        task_id: own("t"),
        collection_interval: Some(Duration {
            seconds: 1,
            nanos: 0,
        }),
    };
    has(&request, [(1, text("t")), (2, message([(1, varint(1))]))]);
    let usage = TaskResourceUsage {
        cpu: Some(CpuUsage {
            system_mode: 1.5,
            user_mode: 2.5,
            total_ticks: 3.5,
            throttled_periods: 4,
            throttled_time: 5,
            percent: 6.5,
            measured_fields: vec![Cpu::SystemMode.into(), Cpu::Percent.into()],
        }),
        memory: Some(MemoryUsage {
            rss: 1,
            cache: 2,
            max_usage: 3,
            kernel_usage: 4,
            kernel_max_usage: 5,
            measured_fields: vec![
                Memory::Rss.into(),
                Memory::Usage.into(),
                Memory::Swap.into(),
            ],
            usage: 7,
            swap: 8,
        }),
    };
    let fields = || {
        message([
            (
                1,
                message([
                    (1, Is::Double(1.5)),
                    (2, Is::Double(2.5)),
                    (3, Is::Double(3.5)),
                    (4, varint(4)),
                    (5, varint(5)),
                    (6, Is::Double(6.5)),
                    (7, Is::Bytes(vec![0, 5])),
                ]),
            ),
            (
                2,
                message([
                    (1, varint(1)),
                    (2, varint(2)),
                    (3, varint(3)),
                    (4, varint(4)),
                    (5, varint(5)),
                    (6, Is::Bytes(vec![0, 5, 6])),
                    (7, varint(7)),
                    (8, varint(8)),
                ]),
            ),
        ])
    };
    let stats = TaskStats {
        id: own("t"),
        timestamp: Some(Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        agg_resource_usage: Some(usage.clone()),
        resource_usage_by_pid: [(own("42"), usage)].into(),
    };
    let by_pid = message([(1, text("42")), (2, fields())]);
    let stats_fields = message([
        (1, text("t")),
        (2, message([(1, varint(1))])),
        (3, fields()),
        (4, by_pid),
    ]);
    has(
        &TaskStatsResponse { stats: Some(stats) },
        [(1, stats_fields)],
    );
}

#[test]
fn what_happens_to_tasks() {
    let event = DriverTaskEvent {
        task_id: own("t"),
        alloc_id: own("a"),
        task_name: own("n"),
        timestamp: Some(Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        message: own("m"),
        annotations: [(own("k"), own("v"))].into(),
    };
    has(
        &event,
        [
            (1, text("t")),
            (2, text("a")),
            (3, text("n")),
            (4, message([(1, varint(1))])),
            (5, text("m")),
            (6, pair("k", "v")),
        ],
    );
}

#[test]
fn commands_within_a_task() {
    let request = ExecTaskRequest {
        task_id: own("t"),
        command: vec![own("ls"), own("-l")],
        timeout: Some(Duration {
            seconds: 1,
            nanos: 0,
        }),
    };
    let timeout = message([(1, varint(1))]);
    has(
        &request,
        [
            (1, text("t")),
            (2, text("ls")),
            (2, text("-l")),
            (3, timeout),
        ],
    );
    let answer = ExecTaskResponse {
        stdout: b"o".to_vec(),
        stderr: b"e".to_vec(),
        result: Some(ExitResult::default()),
    };
    has(&answer, [(1, text("o")), (2, text("e")), (3, message([]))]);
}

#[test]
fn a_conversation_with_a_command() {
    let io = |data: &str| ExecTaskStreamingIo {
        data: data.as_bytes().to_vec(),
        close: true,
    };
    let io_fields = |data| message([(1, text(data)), (2, varint(1))]);
    let request = ExecTaskStreamingRequest {
        setup: Some(Setup {
            task_id: own("t"),
            command: vec![own("sh")],
            tty: true,
        }),
        tty_size: Some(TerminalSize {
            height: 24,
            width: 80,
        }),
        stdin: Some(io("i")),
    };
    let setup = message([(1, text("t")), (2, text("sh")), (3, varint(1))]);
    let tty_size = message([(1, varint(24)), (2, varint(80))]);
    has(&request, [(1, setup), (2, tty_size), (3, io_fields("i"))]);
    let answer = ExecTaskStreamingResponse {
        stdout: Some(io("o")),
        stderr: Some(io("e")),
        exited: true,
        result: Some(ExitResult::default()),
    };
    has(
        &answer,
        [
            (1, io_fields("o")),
            (2, io_fields("e")),
            (3, varint(1)),
            (4, message([])),
        ],
    );
}
