//! The command line of the executor, as it is written and not yet checked (core).

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

use crate::cgroup::CgroupParent;
use crate::executor::Isolation;
use crate::isolate::{Capability, ContainerSpec, CpuShares, Device, Mount, NamespaceMode};
use crate::log_paths::LogPaths;
use crate::signal;
use crate::spec::LaunchSpec;

/// Runs a command as a task: contained, and gone when it should be.
#[derive(Debug, Parser)]
#[command(name = "executor", version, max_term_width = 80)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one task, waits for its end, and kills what it left behind.
    ///
    /// Exit codes: the task's own one, or 128 and the number of the signal that
    /// ended it. If the task could not be run, a line on stderr says why, and
    /// the code is 127 if the program is not there, 126 if it can't be
    /// executed, and 125 for anything else. The output of the task goes to its
    /// FIFOs and never to this program's stderr.
    ///
    /// SIGTERM, SIGINT, SIGHUP, SIGQUIT or another signal that would end this
    /// program stops the task: its main process gets the same signal, and the
    /// grace to end; then everything of the task is killed. A second signal ends
    /// the grace. SIGUSR1 and SIGUSR2 are handed on to the main process. What
    /// this program was started to ignore, as nohup does, it ignores.
    Run(Box<RunArgs>),
    /// Runs many tasks, and is told over stdin what to do with them.
    ///
    /// A request is one JSON object on a line of stdin, and its answer one on a
    /// line of stdout: hello, start, wait, stop, signal, destroy, detach and
    /// recover. Each task has a process of its own, so that it lives on when
    /// this one is told to detach, or is killed, and the next one takes it over.
    ///
    /// What it needs to find a task again lies in a folder `.executor-PID-NUMBER`
    /// of the task's own folder, until the task is destroyed. When stdin ends
    /// without a detach, all tasks are killed.
    Serve(ServeArgs),
    /// Keeps one task of `serve`, which is at the other end of stdin.
    #[command(hide = true)]
    Warden {
        /// Its own folder.
        folder: PathBuf,
    },
    /// Builds the container of a task, as told by whoever is at the other end of
    /// stdin.
    #[command(hide = true)]
    Container,
}

/// The options of `executor serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// A folder that only trusted users can change, from / on. The FIFOs of all
    /// tasks must lie below it, and from it on no symbolic link is followed.
    /// Without it, links in the folders above a FIFO are.
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    pub(crate) trusted_root: Option<String>,
}

const USAGE: &str = "executor run [OPTIONS] --stdout <FIFO> --stderr <FIFO> -- <COMMAND>...
       executor run [OPTIONS] --log-disabled -- <COMMAND>...
       executor run --isolate --root <DIR> [OPTIONS] … -- <COMMAND>...";

/// The heading of the options of isolation.
const ISOLATION: &str = "Isolation";

/// The options of isolation.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = ISOLATION)]
pub(crate) struct IsolationArgs {
    /// Gives the task a root, processes and capabilities of its own. It needs
    /// root, and a build with the feature `isolate`.
    #[arg(long, requires = "root", conflicts_with_all = ["task_dir", "cgroup_parent", "no_cgroup"])]
    pub(crate) isolate: bool,
    /// The folder that is the root of the task's files. Its program is looked for
    /// in `/local` there, in `/`, and in the usual folders of programs.
    #[arg(long, value_name = "DIR", requires = "isolate")]
    pub(crate) root: Option<PathBuf>,
    /// Shows the task a file or folder of the host; may be given many times.
    #[arg(long, value_name = "HOST:TASK[:ro]", requires = "isolate", value_parser = Mount::from_str)]
    pub(crate) mount: Vec<Mount>,
    /// Gives the task a device of the host, to read, write and mknod; may be given
    /// many times.
    #[arg(long, value_name = "PATH[:rwm]", requires = "isolate", value_parser = Device::from_str)]
    pub(crate) device: Vec<Device>,
    /// Whether the task sees its own processes alone, or those of the host.
    #[arg(long, value_enum, value_name = "MODE", requires = "isolate")]
    pub(crate) pid_mode: Option<ModeArg>,
    /// Whether the task has message queues of its own, or those of the host.
    #[arg(long, value_enum, value_name = "MODE", requires = "isolate")]
    pub(crate) ipc_mode: Option<ModeArg>,
    /// How much memory the processes of the task may use together.
    #[arg(long, value_name = "BYTES", requires = "isolate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) memory_bytes: Option<u64>,
    /// How much of its memory the task keeps while others have more than they keep,
    /// when the machine is short of it.
    #[arg(long, value_name = "BYTES", requires = "isolate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) memory_reserve_bytes: Option<u64>,
    /// What the task gets of the processor when that is short: from 2 to 262144.
    /// If all tasks together have more, say of how much it is a part.
    #[arg(long, value_name = "SHARES[/ALL]", requires = "isolate", value_parser = CpuShares::from_str)]
    pub(crate) cpu_shares: Option<CpuShares>,
    /// Adds a capability to those of the task, such as NET_RAW, or ALL; may be
    /// given many times.
    #[arg(long, value_name = "NAME", requires = "isolate", value_parser = Capability::from_str)]
    pub(crate) cap_add: Vec<Capability>,
    /// Takes a capability from those of the task, or ALL; may be given many times.
    #[arg(long, value_name = "NAME", requires = "isolate", value_parser = Capability::from_str)]
    pub(crate) cap_drop: Vec<Capability>,
}

/// Whose namespace the task has.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// Its own.
    Private,
    /// That of the host.
    Host,
}

impl From<ModeArg> for NamespaceMode {
    fn from(mode: ModeArg) -> NamespaceMode {
        match mode {
            ModeArg::Private => NamespaceMode::Private,
            ModeArg::Host => NamespaceMode::Host,
        }
    }
}

impl IsolationArgs {
    /// What the task finds around it; none if it is not isolated.
    pub(crate) fn into_container(self) -> Option<ContainerSpec> {
        // Each of the two options requires the other one.
        let root = self.root.filter(|_| self.isolate)?;
        Some(ContainerSpec {
            root,
            pid: self.pid_mode.map(NamespaceMode::from),
            ipc: self.ipc_mode.map(NamespaceMode::from),
            mounts: self.mount,
            devices: self.device,
            memory_bytes: self.memory_bytes,
            memory_reserve_bytes: self.memory_reserve_bytes,
            cpu_shares: self.cpu_shares,
            add: self.cap_add,
            drop: self.cap_drop,
        })
    }
}

/// The options of `executor run`.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE)]
#[command(group = ArgGroup::new("where_stdout").args(["stdout", "log_disabled"]).required(true))]
#[command(group = ArgGroup::new("where_stderr").args(["stderr", "log_disabled"]).required(true))]
pub(crate) struct RunArgs {
    /// The FIFO that the task's stdout goes to. It must exist.
    #[arg(long, value_name = "FIFO")]
    pub(crate) stdout: Option<PathBuf>,
    /// The FIFO that the task's stderr goes to. It must exist.
    #[arg(long, value_name = "FIFO")]
    pub(crate) stderr: Option<PathBuf>,
    /// Sends both to /dev/null: nobody collects a log.
    #[arg(long, conflicts_with_all = ["stdout", "stderr"])]
    pub(crate) log_disabled: bool,
    /// A folder that only trusted users can change. The FIFOs must lie below
    /// it, and from it on no symbolic link is followed. Without it, links in
    /// the folders above a FIFO are.
    #[arg(long, value_name = "DIR")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// How long to wait for somebody to read both FIFOs; 0 tries once.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub(crate) open_ms: u64,
    /// How long the task may take to end after a signal; 0 kills it at once.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub(crate) grace_ms: u64,
    /// The signal that stops the task, such as SIGTERM. Without this option it
    /// is the one that this program got.
    #[arg(long, value_name = "SIGNAL", value_parser = signal_name)]
    pub(crate) kill_signal: Option<String>,
    /// Runs the task as this user, by name or number, with its groups.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The folder that the task starts in. Without this option it is that of
    /// --task-dir, of an isolated task /, or else the current one.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// The task's own folder: its program is looked for in `local` there, then
    /// there, and only then on the host.
    #[arg(long, value_name = "DIR")]
    pub(crate) task_dir: Option<PathBuf>,
    /// Sets a variable of the task's environment; may be given many times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Hands nothing of this program's environment on to the task.
    #[arg(long)]
    pub(crate) clear_env: bool,
    /// Who is killed first when memory is short: from -1000, never, to 1000.
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i16).range(-1000..=1000))]
    pub(crate) oom_score_adj: Option<i16>,
    /// Makes the task's cgroup in this one, which must exist: an absolute path,
    /// or one below the mount. Without this option it is made in the cgroup of
    /// this program, if that can be done.
    #[arg(long, value_name = "CGROUP")]
    pub(crate) cgroup_parent: Option<PathBuf>,
    /// Makes no cgroup.
    #[arg(long, conflicts_with = "cgroup_parent")]
    pub(crate) no_cgroup: bool,
    #[command(flatten)]
    pub(crate) isolation: IsolationArgs,
    /// Says on stderr what contains the task, and what each step of its end did.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

fn variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err("write it as NAME=VALUE".into()),
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("write it from / on".into())
    }
}

fn signal_name(text: &str) -> Result<String, String> {
    match signal::named(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("there is no such signal; `kill -l` lists those that there are".into()),
    }
}

impl RunArgs {
    /// What separates the task from the host.
    pub(crate) fn isolation(&self) -> Isolation {
        if self.isolation.isolate {
            Isolation::Isolated
        } else {
            Isolation::Standard
        }
    }

    /// How long the task may take to end.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    /// Makes the launch out of the options, with what is handed on of an environment and the current folder.
    pub(crate) fn into_spec(
        self,
        inherited: Vec<(OsString, OsString)>,
        here: Option<PathBuf>,
    ) -> LaunchSpec {
        let logs = match (self.stdout, self.stderr) {
            (Some(stdout), Some(stderr)) => LogPaths::of_fifos(stdout, stderr),
            // The groups of options allow one without the other only with `--log-disabled`, which allows none.
            (Some(_), None) | (None, Some(_)) | (None, None) => LogPaths::disabled(PathBuf::new()),
        };
        let mut command = self.command.into_iter();
        let program = command.next().unwrap_or_default();
        let mut spec = LaunchSpec::new(program, logs).args(command);
        if !self.clear_env {
            spec.env = inherited;
        }
        spec.env.extend(self.env);
        spec.user = self.user;
        spec.container = self.isolation.into_container();
        // Where the executor is may be nowhere in the root of the task.
        let has_own = self.task_dir.is_some() || spec.container.is_some();
        spec.cwd = self.cwd.or(if has_own { None } else { here });
        spec.task_folder = self.task_dir;
        spec.trusted_root = self.trusted_root;
        spec.open_limit = Duration::from_millis(self.open_ms);
        spec.oom_score_adj = self.oom_score_adj;
        spec.cgroup = match self.cgroup_parent {
            Some(parent) => CgroupParent::Below(parent),
            None if self.no_cgroup => CgroupParent::Off,
            None => CgroupParent::Own,
        };
        spec
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<RunArgs, clap::Error> {
        let all = ["executor", "run"].iter().chain(words);
        Cli::try_parse_from(all).map(|cli| match cli.command {
            Command::Run(args) => *args,
            other @ (Command::Serve(_) | Command::Warden { .. } | Command::Container) => {
                panic!("{other:?}")
            }
        })
    }

    #[test]
    fn the_description_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_streams_are_said_or_none_is_collected() {
        for words in [
            &["--", "true"][..],
            &["--stdout", "a", "--", "true"],
            &["--stderr", "a", "--", "true"],
            &["--log-disabled", "--stdout", "a", "--", "true"],
            &[
                "--log-disabled",
                "--stdout",
                "a",
                "--stderr",
                "b",
                "--",
                "true",
            ],
            &["--log-disabled"],
            &[
                "--log-disabled",
                "--no-cgroup",
                "--cgroup-parent",
                "a",
                "--",
                "true",
            ],
            &["--log-disabled", "--env", "=1", "--", "true"],
            &["--log-disabled", "--kill-signal", "TREM", "--", "true"],
            &["--log-disabled", "--kill-signal", "", "--", "true"],
            &["--log-disabled", "--oom-score-adj", "1001", "--", "true"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        let spec = parse(&["--log-disabled", "--", "true"]).unwrap();
        assert!(spec.into_spec(Vec::new(), None).logs.is_disabled());
        let both = parse(&["--stdout", "a", "--stderr", "b", "--", "true", "-x"]).unwrap();
        let spec = both.into_spec(Vec::new(), None);
        assert_eq!(spec.logs, LogPaths::of_fifos("a", "b"));
        assert_eq!(
            (spec.program, spec.args),
            ("true".into(), vec!["-x".into()])
        );
    }

    #[test]
    fn a_trusted_root_of_many_tasks_is_told_from_the_root_on() {
        let root = |words: &[&str]| {
            let all = ["executor", "serve"].iter().chain(words);
            Cli::try_parse_from(all).map(|cli| match cli.command {
                Command::Serve(args) => args.trusted_root,
                other @ (Command::Run(_) | Command::Warden { .. } | Command::Container) => {
                    panic!("{other:?}")
                }
            })
        };
        assert_eq!(root(&[]).unwrap(), None);
        let told = root(&["--trusted-root", "/srv/logs"]).unwrap();
        assert_eq!(told.as_deref(), Some("/srv/logs"));
        for relative in ["", "logs", "./logs"] {
            let error = root(&["--trusted-root", relative]).unwrap_err().to_string();
            assert!(
                error.contains("write it from / on"),
                "{relative:?}: {error}"
            );
        }
    }

    #[test]
    fn the_environment_is_handed_on_unless_it_is_cleared() {
        let inherited = vec![("A".into(), "1".into())];
        let words = ["--log-disabled", "--env", "B=x=y", "--", "true"];
        let spec = parse(&words).unwrap().into_spec(inherited.clone(), None);
        assert_eq!(
            spec.env,
            [
                ("A".into(), "1".into()),
                ("B".into(), OsString::from("x=y"))
            ]
        );
        let words = ["--log-disabled", "--clear-env", "--env", "B=", "--", "true"];
        let spec = parse(&words).unwrap().into_spec(inherited, None);
        assert_eq!(spec.env, [("B".into(), OsString::new())]);
    }

    #[test]
    fn a_task_starts_in_its_folder_or_where_the_executor_is() {
        let cwd = |words: &[&str]| {
            let words = [words, &["--log-disabled", "--", "true"]].concat();
            parse(&words)
                .unwrap()
                .into_spec(Vec::new(), Some("/here".into()))
                .cwd
        };
        assert_eq!(cwd(&[]), Some("/here".into()));
        assert_eq!(cwd(&["--task-dir", "/task"]), None);
        assert_eq!(
            cwd(&["--task-dir", "/task", "--cwd", "/there"]),
            Some("/there".into())
        );
    }

    #[test]
    fn an_isolated_task_has_a_root_and_starts_in_it() {
        let words = [
            "--log-disabled",
            "--isolate",
            "--root",
            "/srv/root",
            "--mount",
            "/a:/b:ro",
            "--device",
            "/dev/fuse:r",
            "--pid-mode",
            "host",
            "--memory-bytes",
            "1000",
            "--memory-reserve-bytes",
            "500",
            "--cpu-shares",
            "5/10",
            "--cap-add",
            "net_raw",
            "--cap-drop",
            "ALL",
            "--",
            "true",
        ];
        let args = parse(&words).unwrap();
        assert_eq!(args.isolation(), Isolation::Isolated);
        let spec = args.into_spec(Vec::new(), Some("/here".into()));
        assert_eq!(spec.cwd, None);
        let expected = ContainerSpec {
            pid: Some(NamespaceMode::Host),
            mounts: vec!["/a:/b:ro".parse().unwrap()],
            devices: vec!["/dev/fuse:r".parse().unwrap()],
            memory_bytes: Some(1000),
            memory_reserve_bytes: Some(500),
            cpu_shares: Some("5/10".parse().unwrap()),
            add: vec!["NET_RAW".parse().unwrap()],
            drop: vec![Capability::All],
            ..ContainerSpec::new("/srv/root")
        };
        assert_eq!(spec.container, Some(expected));
        let plain = parse(&["--log-disabled", "--", "true"]).unwrap();
        assert_eq!(plain.isolation(), Isolation::Standard);
        assert_eq!(plain.into_spec(Vec::new(), None).container, None);
    }

    #[test]
    fn nothing_of_isolation_is_taken_without_it() {
        for words in [
            &["--isolate"][..],
            &["--root", "/a"],
            &["--mount", "/a:/b"],
            &["--pid-mode", "host"],
            &["--ipc-mode", "host"],
            &["--device", "/dev/fuse"],
            &["--memory-bytes", "5"],
            &["--memory-reserve-bytes", "5"],
            &["--cpu-shares", "5"],
            &["--cap-add", "ALL"],
            &["--cap-drop", "ALL"],
            &["--isolate", "--root", "/a", "--task-dir", "/b"],
            &["--isolate", "--root", "/a", "--no-cgroup"],
            &["--isolate", "--root", "/a", "--cgroup-parent", "b"],
            &["--isolate", "--root", "/a", "--memory-bytes", "0"],
            &["--isolate", "--root", "/a", "--mount", "/a"],
            &["--isolate", "--root", "/a", "--cap-add", "FLY"],
        ] {
            let words = [&["--log-disabled"], words, &["--", "true"]].concat();
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
