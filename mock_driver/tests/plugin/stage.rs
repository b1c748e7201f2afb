//! What every test here needs: a host with its plugin, and tasks laid out as Nomad does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mock_driver::journal::{Event, Line};
use mock_driver::stream::Stream;
use plugin::host::{CallError, Deadlines, Launch, Plugin};
use plugin::msgpack;
use plugin::proto::base::SetConfigRequest;
use plugin::proto::driver::{ExitResult, TaskConfig, TaskHandle};
use plugin::value::Value;
use serde_json::{Value as Json, json};

use crate::support::{Fifos, Folder, LIMIT, wait_until};

/// Deadlines that a busy machine keeps.
pub(crate) fn deadlines() -> Deadlines {
    let long = Duration::from_secs(50);
    Deadlines {
        handshake: long,
        connect: long,
        call: long,
        shutdown: long,
        exit: long,
        kill: long,
    }
}

/// A running plugin and the folder with its socket.
pub(crate) struct Stage {
    pub(crate) plugin: Plugin,
    _sockets: Folder,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let sockets = Folder::new();
        let launch = Launch::new(env!("CARGO_BIN_EXE_mock_driver"))
            .arguments(["plugin"])
            .arguments(arguments)
            .variable("TMPDIR", sockets.path(""))
            .deadlines(deadlines());
        Self {
            plugin: launch.start().await.unwrap(),
            _sockets: sockets,
        }
    }

    pub(crate) fn driver(&self) -> plugin::host::Driver {
        self.plugin.driver()
    }

    /// Starts a task, and gives what finds it again.
    pub(crate) async fn start(&self, task: &TaskConfig) -> TaskHandle {
        let started = self.driver().start_task(task.clone()).await;
        started.unwrap_or_else(|error| panic!("{error}")).handle
    }

    /// The exit of a task, once it has ended.
    pub(crate) async fn exit(&self, id: &str) -> ExitResult {
        let answer = self.driver().wait_task(id, LIMIT).await.unwrap();
        assert_eq!(answer.err, "");
        answer.result.unwrap()
    }

    /// Ends the plugin as a crash does.
    pub(crate) fn kill(self) {
        let pid = self.plugin.reattach().pid;
        drop(self.plugin.detach());
        signal(pid, nix::sys::signal::Signal::SIGKILL);
        wait_until("the plugin's end", || is_gone(pid));
    }

    pub(crate) async fn set_config(&self, config: &Json) -> Result<(), CallError> {
        let request = SetConfigRequest {
            msgpack_config: bytes(config),
            nomad_config: None,
            plugin_api_version: "v0.1.0".to_owned(),
        };
        self.plugin.base().set_config(request).await
    }
}

/// A configuration as it goes over the wire.
pub(crate) fn bytes(config: &Json) -> Vec<u8> {
    msgpack::encode(&Value::from_json(config))
}

/// The place of one task: its allocation's folder, and FIFOs.
pub(crate) struct Place {
    pub(crate) fifos: Fifos,
}

impl Place {
    pub(crate) fn new() -> Self {
        let fifos = Fifos::new();
        std::fs::create_dir_all(fifos.folder.path("web")).unwrap();
        Self { fifos }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.fifos.folder.path(name)
    }

    /// A task of the id `a/web/1` with this configuration.
    pub(crate) fn task(&self, config: &Json) -> TaskConfig {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        let env = [
            ("PATH", std::env::var("PATH").unwrap()),
            ("WHO", "env".to_owned()),
        ];
        TaskConfig {
            id: "a/web/1".to_owned(),
            name: "web".to_owned(),
            alloc_id: "a".to_owned(),
            msgpack_driver_config: bytes(config),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            device_env: BTreeMap::from([("DEVICE".to_owned(), "gpu".to_owned())]),
            alloc_dir: path(self.path("").components().collect()),
            stdout_path: path(self.fifos.path(Stream::Stdout)),
            stderr_path: path(self.fifos.path(Stream::Stderr)),
            ..TaskConfig::default()
        }
    }

    /// A task that a shell plays, and whose output the driver forwards.
    pub(crate) fn shell(&self, script: &str) -> TaskConfig {
        self.task(&json!({"command": "sh", "args": ["-c", script], "forwards": true}))
    }

    /// A shell that the executor runs.
    pub(crate) fn command(&self, script: &str) -> TaskConfig {
        self.task(&json!({"command": "sh", "args": ["-c", script]}))
    }

    /// The task of a shell, which waits for the gate of this name where the script says GATE.
    pub(crate) fn gated(&self, script: &str, gate: &str) -> TaskConfig {
        self.shell(&self.with_gate(script, gate))
    }

    /// The same of a shell that the executor runs.
    pub(crate) fn gated_command(&self, script: &str, gate: &str) -> TaskConfig {
        self.command(&self.with_gate(script, gate))
    }

    fn with_gate(&self, script: &str, gate: &str) -> String {
        script.replace("GATE", &crate::support::shell_gate(&self.path(gate)))
    }

    pub(crate) fn open(&self, gate: &str) {
        std::fs::write(self.path(gate), "").unwrap();
    }

    /// The processes whose folder lies here: tasks, their executors, and commands within tasks.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let here = std::fs::canonicalize(self.path("")).unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let cwd = std::fs::read_link(format!("/proc/{pid}/cwd"));
                cwd.is_ok_and(|cwd| cwd.starts_with(&here)) && !is_gone(*pid)
            })
            .collect()
    }

    /// The same task, whose driver keeps a journal.
    pub(crate) fn journalled(&self, mut task: TaskConfig) -> TaskConfig {
        let journal = self.path("journal").to_str().unwrap().to_owned();
        task.env
            .insert("HARNESS_DRIVER_JOURNAL".to_owned(), journal);
        task
    }

    /// Waits until the journal says that a stream is blocked.
    pub(crate) fn until_blocked(&self) {
        let is = |line: &Line| matches!(line.event, Event::Blocked { .. });
        wait_until("a full pipe", || self.fifos.folder.journal().iter().any(is));
    }

    pub(crate) fn until_nothing_is_left(&self) {
        wait_until("the end of all processes", || self.processes().is_empty());
        // That of a start that was given up is removed when its process is gone.
        wait_until("the end of the executor's folders", || {
            !self.has_own("executor")
        });
        assert!(!self.has_own("mock_driver"));
    }

    /// Whether a folder of the driver's own lies in the task's.
    pub(crate) fn has_own(&self, name: &str) -> bool {
        self.own_folder(name).is_some()
    }

    fn own_folder(&self, name: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.path("web")).unwrap().flatten();
        let start = format!(".{name}-");
        let is_it = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|one| one.to_string_lossy().starts_with(&start))
        };
        entries.map(|entry| entry.path()).find(is_it)
    }

    /// Hides the executor's folder of the task.
    pub(crate) fn executors_folder_away(&self) -> Away {
        let from = self.own_folder("executor").unwrap();
        let to = self.path("away");
        std::fs::rename(&from, &to).unwrap();
        Away { from, to }
    }

    /// Lets every user enter the allocation's folder, and the task's.
    pub(crate) fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt;
        for name in ["", "web"] {
            let open = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(self.path(name), open).unwrap();
        }
    }
}

/// A folder that was hidden.
pub(crate) struct Away {
    from: PathBuf,
    to: PathBuf,
}

impl Away {
    pub(crate) fn bring_back(self) {
        std::fs::rename(self.to, self.from).unwrap();
    }
}

impl Drop for Place {
    /// A test that fails leaves no task behind.
    fn drop(&mut self) {
        for pid in self.processes() {
            signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

pub(crate) fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
}

/// Whether a process has ended, whoever is to take its status.
pub(crate) fn is_gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    state.is_empty() || state.starts_with('Z')
}

/// The number that a task or a test has written into a file.
pub(crate) fn number_in(path: &Path) -> i32 {
    let mut number = None;
    wait_until("a number in a file", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        number = text.ends_with('\n').then(|| text.trim().parse().unwrap());
        number.is_some()
    });
    number.unwrap()
}

/// What a call was refused with.
pub(crate) fn refusal<T>(answer: Result<T, CallError>) -> String {
    match answer {
        Ok(_) => panic!("the call was answered"),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn exit(exit_code: i32, signal: i32) -> ExitResult {
    ExitResult {
        exit_code,
        signal,
        oom_killed: false,
    }
}
