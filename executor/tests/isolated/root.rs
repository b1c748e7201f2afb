//! A root for a task (edge): a shell and a few programs of this machine, with what they are linked to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use executor::{
    Cancel, ContainerSpec, End, Executor, IsolatedExecutor, IsolatedOptions, LaunchSpec, Launched,
};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::stage::{Stage, all, end};

/// What a task finds in `/bin`.
const PROGRAMS: [&str; 9] = [
    "sh", "cat", "dd", "echo", "grep", "ls", "readlink", "setsid", "sleep",
];

/// Why no container can be made here; none if one can.
pub(crate) fn hindrance() -> Option<&'static str> {
    if cfg!(not(feature = "isolate")) {
        return Some("this build can't isolate; it is the feature `isolate`");
    }
    if !geteuid().is_root() {
        return Some("only root can isolate");
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_cgroup = |line: &str| {
        let kind = line.split(' ').nth(2);
        kind == Some("cgroup2") || (kind == Some("cgroup") && line.contains("freezer"))
    };
    if !mounts.lines().any(is_cgroup) {
        return Some("no cgroup is mounted that could hold a task");
    }
    None
}

/// Says that a test is skipped, and why, if it is.
macro_rules! needs_containers {
    ($name:literal) => {
        if let Some(why) = $crate::root::hindrance() {
            return eprintln!("skipped: {}: {why}", $name);
        }
    };
}
pub(crate) use needs_containers;

/// The folder that a task sees as `/`.
pub(crate) struct Root(TempDir);

impl Root {
    pub(crate) fn new() -> Root {
        let folder = tempfile::tempdir().unwrap();
        // Its user must be able to enter it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = Root(folder);
        for folder in ["bin", "local", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        for name in PROGRAMS {
            root.add(&which(name), &Path::new("/bin").join(name));
        }
        root
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Copies a program of this machine, with what it is linked to.
    pub(crate) fn add(&self, program: &Path, place: &Path) {
        self.copy(program, place);
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let words = text.split_whitespace().filter(|word| word.starts_with('/'));
        for library in words.map(Path::new).filter(|path| path.is_file()) {
            self.copy(library, library);
        }
    }

    /// Another process writes it: what is open for writing can't be executed, execve(2).
    fn copy(&self, from: &Path, to: &Path) {
        let to = self.path().join(to.strip_prefix("/").unwrap());
        if !to.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let copied = Command::new("cp").arg("-L").arg(from).arg(&to).status();
            assert!(copied.unwrap().success(), "{}", from.display());
        }
    }

    /// Makes a program `closed` that can't be executed and that the executor does not change: it has a second name.
    pub(crate) fn closed(&self) {
        let path = self.path().join("local/closed");
        crate::stage::program(&path, "#!/bin/sh\n", 0o644);
        fs::hard_link(&path, self.path().join("local/second")).unwrap();
    }

    /// What a task with this root finds around it, and nothing more.
    pub(crate) fn container(&self) -> ContainerSpec {
        ContainerSpec::new(self.path())
    }
}

/// The file of a program of this machine.
pub(crate) fn which(name: &str) -> PathBuf {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("this machine has no {name}"))
}

/// An executor that isolates.
pub(crate) fn isolating() -> IsolatedExecutor {
    let options = IsolatedOptions {
        reexec: vec![env!("CARGO_BIN_EXE_executor").into()],
        ..IsolatedOptions::default()
    };
    IsolatedExecutor::new(options).unwrap()
}

/// A shell with this script in a root.
pub(crate) fn script(stage: &Stage, root: &Root, script: &str) -> LaunchSpec {
    let mut spec = LaunchSpec::new("sh", stage.logs.clone())
        .args(["-c", script])
        .env("PATH", "/bin");
    spec.container = Some(root.container());
    spec
}

/// Launches it.
pub(crate) fn launch(spec: &LaunchSpec) -> (IsolatedExecutor, Launched) {
    let executor = isolating();
    let launched = executor.launch(spec, Cancel::never()).unwrap();
    (executor, launched)
}

/// Runs a script to its end; gives what it has written to stdout. What it writes to stderr is a failure.
pub(crate) fn said(change: impl FnOnce(&mut LaunchSpec), text: &str) -> String {
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(&stage, &root, text);
    change(&mut spec);
    let (executor, _) = launch(&spec);
    let said = all(&stage.stdout);
    assert_eq!(all(&stage.stderr), "", "{text}");
    assert_eq!(end(&executor).end, End::Code(0), "{text}");
    executor.shutdown(None, std::time::Duration::ZERO).unwrap();
    said
}

/// True if a process ignores a signal, by its `/proc/PID/status`. Some are ignored by whoever has started the tests.
pub(crate) fn is_ignored(status: &str, signal: nix::sys::signal::Signal) -> bool {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let set = u64::from_str_radix(line.unwrap(), 16).unwrap();
    set & (1 << (signal as i32 - 1)) != 0
}

/// The groups of a process, each by its hierarchy.
pub(crate) fn groups(pid: i32) -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let parts = text.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        Some((controllers.to_owned(), path.to_owned()))
    });
    parts.collect()
}

/// The folders of the control groups of a task, in all hierarchies.
pub(crate) fn group_folders(pid: i32) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let points: Vec<&str> = mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(2)
                .is_some_and(|kind| kind.starts_with("cgroup"))
        })
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let name = own_name(pid);
    let folders = points
        .iter()
        .map(|point| Path::new(point).join(&name))
        .filter(|folder| folder.is_dir());
    let folders: Vec<PathBuf> = folders.collect();
    assert!(!folders.is_empty(), "{name} in none of {points:?}");
    folders
}

/// The name that all control groups of a task have.
pub(crate) fn own_name(pid: i32) -> String {
    let groups = groups(pid);
    let last = groups.iter().find_map(|(_, path)| {
        let name = path.rsplit('/').next()?;
        name.starts_with("executor-").then(|| name.to_owned())
    });
    last.unwrap_or_else(|| panic!("{groups:?}"))
}
